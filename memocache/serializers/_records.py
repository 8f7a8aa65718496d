"""Records: enum members, dataclasses, NamedTuples and Structs, taken apart into fields and put together again.

A shape knows how that is done for one type; record_types finds the types that annotations name.
"""

import contextlib
import dataclasses
import enum
import functools
import inspect
import sys
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from itertools import repeat
from typing import Any, Final

import msgspec

from memocache.serializers.base import NoByteForm

__all__ = ["Shape", "ShapeMismatch", "record_types", "shape_of"]

_REMEDY = "return plain data, or use PickleSerializer(secret=...)"
_MOST_FLAG_BITS = 1024  # enum looks at each bit of a value, in time with the square of their number
_TYPING_NOTE = "__orig_class__"  # left by typing in what Generic[...]() makes
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class made by a class statement


class ShapeMismatch(Exception):
    """Bytes that do not fit the type as it is today. The text says why, without words from the bytes."""


class Shape(ABC):
    """A type of records: how its instances are taken apart and put together."""

    def __init__(self, kind: type[Any]) -> None:
        self.kind = kind
        self.name = f"{kind.__module__}.{kind.__qualname__}"

    @abstractmethod
    def disassemble(self, value: Any) -> object:
        """Return the fields of *value* by name, or what stands for a member. Raises NoByteForm."""

    @abstractmethod
    def assemble(self, content: object) -> object:
        """Return the instance that *content* was taken from, without its constructor. Raises ShapeMismatch."""


class _EnumShape(Shape):
    """An enum: members by name; combinations of flags, which have none, by value."""

    def disassemble(self, value: Any) -> object:
        members = self.kind.__members__
        name = value._name_
        if name is not None and members.get(name) is value:
            return name
        number = value._value_
        if isinstance(value, enum.Flag) and type(number) is int and number.bit_length() <= _MOST_FLAG_BITS:
            return number
        raise NoByteForm(self.kind, "does not know this member by a name", _REMEDY)

    def assemble(self, content: object) -> object:
        if type(content) is str:
            member = self.kind.__members__.get(content)
            if member is None:
                raise ShapeMismatch("it has no such member")
            return member
        if type(content) is not int or not issubclass(self.kind, enum.Flag):
            raise ShapeMismatch("the bytes hold no member")
        if content.bit_length() <= _MOST_FLAG_BITS:
            with contextlib.suppress(ValueError):
                member = self.kind(content)
                # Before Python 3.11.4, bits that have no name were dropped in silence.
                if type(member) is self.kind and member._value_ == content:
                    return member
        raise ShapeMismatch("it has no such member")


class _RecordShape(Shape):
    """A type with fields."""

    def __init__(self, kind: type[Any], fields: Collection[str]) -> None:
        super().__init__(kind)
        self.fields: Final = tuple(fields)
        self._known = frozenset(fields)
        self._slots = _extra_slots(kind, self._known)
        self._plain = not self._slots and kind.__dictoffset__ == 0

    def disassemble(self, value: Any) -> dict[str, object]:
        try:
            content = dict(zip(self.fields, map(getattr, repeat(value), self.fields), strict=False))
        except AttributeError:
            missing = next((field for field in self.fields if not hasattr(value, field)), "")
            raise NoByteForm(self.kind, f"has no value for its field {missing!r} here", _REMEDY) from None
        if not self._plain:
            self._refuse_strays(value)
        return content

    def _refuse_strays(self, value: Any) -> None:
        # They would be missing when the value comes back, as __post_init__ does not run then.
        held = getattr(value, "__dict__", ())
        if not self._slots and self._known.issuperset(held):
            return
        strays = [name for name in held if name not in self._known and not self._is_cached_result(name)]
        strays += [name for name in self._slots if hasattr(value, name)]
        if strays:
            raise NoByteForm(self.kind, f"holds {strays[0]!r} besides its fields", f"declare it as a field, {_REMEDY}")

    def _is_cached_result(self, name: str) -> bool:
        # A cached_property keeps its result under its own name and can compute it again.
        owner = inspect.getattr_static(self.kind, name, None)
        return name == _TYPING_NOTE or hasattr(type(owner), "__get__")

    def assemble(self, content: object) -> object:
        if type(content) is not dict:
            raise ShapeMismatch("the bytes hold no fields")
        if content.keys() != self._known:
            missing = [field for field in self.fields if field not in content]
            unknown = len(content.keys() - self._known)
            raise ShapeMismatch(
                f"its fields have changed (missing: {', '.join(missing) or 'none'}; unknown: {unknown})"
            )
        return self._construct(content)

    @abstractmethod
    def _construct(self, content: dict[str, object]) -> object:
        """Return an instance with exactly these fields."""


class _DataclassShape(_RecordShape):
    def __init__(self, kind: type[Any]) -> None:
        super().__init__(kind, [field.name for field in dataclasses.fields(kind)])

    def _construct(self, content: dict[str, object]) -> object:
        instance = object.__new__(self.kind)
        for field in self.fields:
            object.__setattr__(instance, field, content[field])
        return instance


class _NamedTupleShape(_RecordShape):
    def __init__(self, kind: type[Any]) -> None:
        super().__init__(kind, kind._fields)

    def disassemble(self, value: Any) -> dict[str, object]:
        if not self._plain:
            self._refuse_strays(value)
        if tuple.__len__(value) != len(self.fields):
            raise NoByteForm(self.kind, "has not as many values as fields here", _REMEDY)
        return dict(zip(self.fields, tuple.__iter__(value), strict=True))

    def _construct(self, content: dict[str, object]) -> object:
        return tuple.__new__(self.kind, [content[field] for field in self.fields])


class _StructShape(_RecordShape):
    def __init__(self, kind: type[Any]) -> None:
        super().__init__(kind, kind.__struct_fields__)
        self._has_post_init = hasattr(kind, "__post_init__")

    def _construct(self, content: dict[str, object]) -> object:
        instance = self.kind(**content)
        if self._has_post_init:  # msgspec has no way round it, and it may have changed the fields a second time
            for name, value in content.items():
                msgspec.structs.force_setattr(instance, name, value)
        return instance


@functools.lru_cache(maxsize=1024)
def shape_of(kind: type[Any]) -> Shape | None:
    """Return the shape of *kind*, or None if its instances are not taken apart."""
    if issubclass(kind, enum.Enum):
        return _EnumShape(kind) if kind is not enum.Enum and kind.__members__ else None
    if issubclass(kind, msgspec.Struct):
        return _StructShape(kind) if kind is not msgspec.Struct else None
    if issubclass(kind, tuple):
        fields = getattr(kind, "_fields", None)
        named = isinstance(fields, tuple) and all(isinstance(field, str) for field in fields)
        return _NamedTupleShape(kind) if named else None
    if dataclasses.is_dataclass(kind) and _is_pure_python(kind):
        return _DataclassShape(kind)
    return None


def _is_pure_python(kind: type) -> bool:
    """Return whether there is nothing in an instance but its attributes, unlike in a dict or an exception."""
    return all(base is object or base.__flags__ & _HEAP_TYPE for base in kind.__mro__)


def _extra_slots(kind: type, fields: Collection[str]) -> list[str]:
    members = [member for base in kind.__mro__ for member in vars(base).items()]
    slots = [name for name, member in members if isinstance(member, types.MemberDescriptorType)]
    return [name for name in slots if name not in fields]


# ---- the types in annotations --------------------------------------------------------------------------------------


def record_types(*annotations: object) -> Iterator[type]:
    """Yield every type with a shape in *annotations*, their arguments, and the fields of what is found."""
    waiting = list(annotations)
    seen: dict[int, object] = {}  # by identity: annotations need not be hashable, and types may name themselves
    while waiting:
        annotation = waiting.pop()
        if id(annotation) in seen:
            continue
        seen[id(annotation)] = annotation
        if isinstance(annotation, type):
            if shape_of(annotation) is not None:
                yield annotation
            waiting += _field_types(annotation)
        else:
            waiting += _inner_annotations(annotation)


def _inner_annotations(annotation: object) -> list[object]:
    if isinstance(annotation, list | tuple):  # the arguments of a Callable
        return list(annotation)
    if isinstance(annotation, typing.TypeVar):
        return [annotation.__bound__, *annotation.__constraints__]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return [arguments[0]]
    if origin is typing.Literal:
        return [type(argument) for argument in arguments]
    if origin is not None:
        return [origin, *arguments]
    if isinstance(annotation, typing.NewType):
        return [annotation.__supertype__]
    if type(annotation).__name__ == "TypeAliasType":  # the `type` statement, from Python 3.12 on
        return [_alias_value(annotation)]
    return []


def _alias_value(alias: Any) -> object:
    try:
        return alias.__value__
    except Exception:  # noqa: BLE001 - evaluated only now, and it may be any expression
        return None


def _field_types(kind: type) -> list[object]:
    has_fields = (
        dataclasses.is_dataclass(kind)
        or typing.is_typeddict(kind)
        or issubclass(kind, msgspec.Struct)
        or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
    )
    if not has_fields:
        return []
    found: list[object] = list(getattr(kind, "__orig_bases__", ()))
    for base in kind.__mro__:
        found += _field_hints(base)
    return found


def _field_hints(base: type) -> list[object]:
    # One by one, so that a name that only type checkers know does not hide the others.
    try:
        annotations = inspect.get_annotations(base)
    except Exception:  # noqa: BLE001 - from Python 3.14 on, this runs the annotations
        return []
    known = vars(sys.modules.get(base.__module__, types))
    found: list[object] = []
    for name, annotation in annotations.items():
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            found += typing.get_type_hints(holder, known, {base.__name__: base, **vars(base)}).values()
        except Exception:  # noqa: BLE001 - annotations may be any expression
            continue
    return found
