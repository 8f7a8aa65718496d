"""Shapes: how enum members, dataclasses, NamedTuples and Structs are taken apart and put together again."""

import contextlib
import dataclasses
import enum
import functools
import inspect
import types
from abc import ABC, abstractmethod
from collections.abc import Collection
from itertools import repeat
from typing import Any, Final

import msgspec

from memocache.serializers._refusal import Refused

__all__ = ["Misfit", "Shape", "shape_of"]

_REMEDY = "return plain data, or use PickleSerializer(secret=...)"
_MOST_FLAG_BITS = 1024  # enum looks at each bit of a value, in time with the square of their number
_TYPING_NOTE = "__orig_class__"  # left by typing in what Generic[...]() makes
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class made by a class statement


class Misfit(Exception):
    """What the bytes hold does not fit the type of today. The text says why, without words from the bytes."""


class Shape(ABC):
    """What instances of one type are made of."""

    def __init__(self, kind: type[Any]) -> None:
        self.kind = kind
        self.name = f"{kind.__module__}.{kind.__qualname__}"

    @abstractmethod
    def take(self, value: Any) -> object:
        """Return the fields of *value* by name, or what stands for a member. Raises Refused."""

    @abstractmethod
    def make(self, content: object) -> object:
        """Return the instance that *content* was taken from, without its constructor. Raises Misfit."""


class _Members(Shape):
    """Enum members by name; combinations of flags, which have none, by value."""

    def take(self, value: Any) -> object:
        members = self.kind.__members__
        name = value._name_
        if name is not None and members.get(name) is value:
            return name
        number = value._value_
        if isinstance(value, enum.Flag) and type(number) is int and number.bit_length() <= _MOST_FLAG_BITS:
            return number
        raise Refused(self.kind, "does not know this member by a name", _REMEDY)

    def make(self, content: object) -> object:
        if type(content) is str:
            member = self.kind.__members__.get(content)
            if member is None:
                raise Misfit("it has no such member")
            return member
        if type(content) is not int or not issubclass(self.kind, enum.Flag):
            raise Misfit("the bytes hold no member")
        if content.bit_length() <= _MOST_FLAG_BITS:
            with contextlib.suppress(ValueError):
                member = self.kind(content)
                # Before Python 3.11.4, bits that have no name were dropped in silence.
                if type(member) is self.kind and member._value_ == content:
                    return member
        raise Misfit("it has no such member")


class _Record(Shape):
    """Something with fields."""

    def __init__(self, kind: type[Any], fields: Collection[str]) -> None:
        super().__init__(kind)
        self.fields: Final = tuple(fields)
        self._known = frozenset(fields)
        self._slots = _slots_besides(kind, self._known)
        self._plain = not self._slots and kind.__dictoffset__ == 0

    def take(self, value: Any) -> dict[str, object]:
        try:
            content = dict(zip(self.fields, map(getattr, repeat(value), self.fields), strict=False))
        except AttributeError:
            missing = next((field for field in self.fields if not hasattr(value, field)), "")
            raise Refused(self.kind, f"has no value for its field {missing!r} here", _REMEDY) from None
        if not self._plain:
            self._refuse_strays(value)
        return content

    def _refuse_strays(self, value: Any) -> None:
        # They would be missing when the value comes back, as __post_init__ does not run then.
        held = getattr(value, "__dict__", ())
        if not self._slots and self._known.issuperset(held):
            return
        strays = [name for name in held if name not in self._known and not self._is_kept_result(name)]
        strays += [name for name in self._slots if hasattr(value, name)]
        if strays:
            raise Refused(self.kind, f"holds {strays[0]!r} besides its fields", f"declare it as a field, {_REMEDY}")

    def _is_kept_result(self, name: str) -> bool:
        # A cached_property keeps its result under its own name and can compute it again.
        owner = inspect.getattr_static(self.kind, name, None)
        return name == _TYPING_NOTE or hasattr(type(owner), "__get__")

    def make(self, content: object) -> object:
        if type(content) is not dict:
            raise Misfit("the bytes hold no fields")
        if content.keys() != self._known:
            missing = [field for field in self.fields if field not in content]
            unknown = len(content.keys() - self._known)
            raise Misfit(f"its fields have changed (missing: {', '.join(missing) or 'none'}; unknown: {unknown})")
        return self._build(content)

    @abstractmethod
    def _build(self, content: dict[str, object]) -> object:
        """Return an instance with exactly these fields."""


class _Dataclass(_Record):
    def __init__(self, kind: type[Any]) -> None:
        super().__init__(kind, [field.name for field in dataclasses.fields(kind)])

    def _build(self, content: dict[str, object]) -> object:
        instance = object.__new__(self.kind)
        for field in self.fields:
            object.__setattr__(instance, field, content[field])
        return instance


class _NamedTuple(_Record):
    def __init__(self, kind: type[Any]) -> None:
        super().__init__(kind, kind._fields)

    def take(self, value: Any) -> dict[str, object]:
        if not self._plain:
            self._refuse_strays(value)
        if tuple.__len__(value) != len(self.fields):
            raise Refused(self.kind, "has not as many values as fields here", _REMEDY)
        return dict(zip(self.fields, tuple.__iter__(value), strict=True))

    def _build(self, content: dict[str, object]) -> object:
        return tuple.__new__(self.kind, [content[field] for field in self.fields])


class _Struct(_Record):
    def __init__(self, kind: type[Any]) -> None:
        super().__init__(kind, kind.__struct_fields__)
        self._after = hasattr(kind, "__post_init__")

    def _build(self, content: dict[str, object]) -> object:
        instance = self.kind(**content)
        if self._after:  # msgspec has no way round it, and it may have changed the fields a second time
            for name, value in content.items():
                msgspec.structs.force_setattr(instance, name, value)
        return instance


def shape_of(kind: type) -> Shape | None:
    """Return the shape of *kind*, or None if its instances are not taken apart."""
    return _shape_of(kind)


@functools.lru_cache(maxsize=1024)
def _shape_of(kind: type[Any]) -> Shape | None:
    if issubclass(kind, enum.Enum):
        return _Members(kind) if kind is not enum.Enum and kind.__members__ else None
    if issubclass(kind, msgspec.Struct):
        return _Struct(kind) if kind is not msgspec.Struct else None
    if issubclass(kind, tuple):
        fields = getattr(kind, "_fields", None)
        named = isinstance(fields, tuple) and all(isinstance(field, str) for field in fields)
        return _NamedTuple(kind) if named else None
    if dataclasses.is_dataclass(kind) and _made_in_python(kind):
        return _Dataclass(kind)
    return None


def _made_in_python(kind: type) -> bool:
    """Return whether there is nothing in an instance but its attributes, unlike in a dict or an exception."""
    return all(base is object or base.__flags__ & _HEAP_TYPE for base in kind.__mro__)


def _slots_besides(kind: type, fields: Collection[str]) -> list[str]:
    members = [member for base in kind.__mro__ for member in vars(base).items()]
    slots = [name for name, member in members if isinstance(member, types.MemberDescriptorType)]
    return [name for name in slots if name not in fields]
