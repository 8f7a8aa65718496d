"""Records: enum members, and classes with fields, taken apart into these and put together again.

A shape knows how that is done for one type; record_types finds the types that annotations name, and KnownShapes are
those that may be made from bytes.
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
from collections.abc import Callable, Collection, Iterator
from itertools import repeat
from types import ModuleType
from typing import Any, Final, TypeVar

import msgspec

from memocache._signature import annotations_of, is_awaited
from memocache.errors import ConfigurationError, with_article
from memocache.serializers._extensions import KEPT
from memocache.serializers.base import NoByteForm

T = TypeVar("T")

_REMEDY = "return plain data, or use PickleSerializer(secret=...)"
_MOST_FLAG_BITS = 1024  # enum looks at each bit of a value, in time with the square of their number
_TYPING_NOTE = "__orig_class__"  # left by typing in what Generic[...]() makes
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: a class made by a class statement
_ATTRS_HASH = "_attrs_cached_hash"  # where attrs keeps the hash of an instance
_SAFE_TEXTS = {("markupsafe", "Markup"), ("django.utils.safestring", "SafeString")}


class ShapeMismatch(Exception):
    """Bytes that do not fit the type as it is today. The text says why, without words from the bytes."""


class Shape(ABC):
    """A type of records: how its instances are taken apart and put together."""

    def __init__(self, kind: type[Any]) -> None:
        self.kind = kind
        self.name = name_of(kind)

    @abstractmethod
    def disassemble(self, value: Any) -> object:
        """Return the fields of *value* by name, or what stands for a member. Raises NoByteForm."""

    @abstractmethod
    def assemble(self, content: object) -> object:
        """Return the instance that *content* was taken from, without its constructor. Raises ShapeMismatch."""


def name_of(kind: Any) -> str:
    """Return the name of the class *kind* in bytes: of its module, and of its place there."""
    # pydantic gives Page[a.Item] and Page[b.Item] one name.
    generic = getattr(kind, "__pydantic_generic_metadata__", None) or {}
    if not generic.get("args"):
        return f"{kind.__module__}.{kind.__qualname__}"
    names = [name_of(each) if isinstance(each, type) else str(each) for each in generic["args"]]
    return f"{name_of(generic['origin'])}[{', '.join(names)}]"


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
        self._slots = [name for base in kind.__mro__ for name in _slots_of(base) if name not in self._known]
        self._plain = not self._slots and kind.__dictoffset__ == 0
        self._described = [name for name in self.fields if _is_described(kind, name)]
        self._assigned = [name for name in self.fields if name not in self._described]

    def disassemble(self, value: Any) -> dict[str, object]:
        try:
            content = dict(zip(self.fields, map(getattr, repeat(value), self.fields), strict=False))
        except AttributeError:
            missing = next((field for field in self.fields if not hasattr(value, field)), "")
            raise NoByteForm(self.kind, f"has no value for its field {missing!r} here", _REMEDY) from None
        if not self._plain:
            self._refuse_strays(value)
        for name in self._described:  # what the descriptor keeps, before it makes more of it
            if name not in getattr(value, "__dict__", ()):
                raise NoByteForm(self.kind, f"keeps its field {name!r} by a descriptor", _REMEDY)
            content[name] = vars(value)[name]
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
        # A cached_property keeps its result under its own name and can compute it again; a method does not.
        owner = inspect.getattr_static(self.kind, name, None)
        is_computed = hasattr(type(owner), "__get__") and not callable(getattr(self.kind, name, None))
        return name == _TYPING_NOTE or is_computed

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
        for field in self._assigned:
            object.__setattr__(instance, field, content[field])
        for field in self._described:  # whose code would run, and change it once more
            vars(instance)[field] = content[field]
        return instance


class _AttrsShape(_DataclassShape):
    """A class made by attrs: like a dataclass, without validators, converters and hooks."""

    def __init__(self, kind: type[Any]) -> None:
        _RecordShape.__init__(self, kind, [field.name for field in kind.__attrs_attrs__])
        # What else is in the slots that attrs makes are results of cached properties, and the hash.
        others = [base for base in kind.__mro__ if "__attrs_attrs__" not in vars(base)]
        self._slots = [name for base in others for name in _slots_of(base) if name not in self._known]
        self._keeps_hash = _ATTRS_HASH in getattr(getattr(kind.__hash__, "__code__", None), "co_names", ())

    def _is_cached_result(self, name: str) -> bool:
        return name == _ATTRS_HASH or super()._is_cached_result(name)

    def _construct(self, content: dict[str, object]) -> object:
        instance = super()._construct(content)
        if self._keeps_hash:
            object.__setattr__(instance, _ATTRS_HASH, None)
        return instance


class _PydanticShape(_RecordShape):
    """A pydantic model: what it holds, as it is; nothing is validated a second time.

    Besides the fields: which of them were set, extra ones where the model allows them, and private attributes.
    """

    SET, EXTRA, PRIVATE = "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__"

    def __init__(self, kind: type[Any]) -> None:
        super().__init__(kind, kind.model_fields)
        self._slots = [name for name in self._slots if name not in (self.SET, self.EXTRA, self.PRIVATE)]
        self._private = frozenset(kind.__private_attributes__)
        self._takes_extra = kind.model_config.get("extra") == "allow"

    def disassemble(self, value: Any) -> dict[str, object]:
        content, extra, private = vars(value), value.__pydantic_extra__, value.__pydantic_private__
        if content.keys() != self._known:
            self._refuse_strays(value)
            missing = [name for name in self.fields if name not in content]
            if missing:
                raise NoByteForm(self.kind, f"has no value for its field {missing[0]!r} here", _REMEDY)
        if (extra is not None) != self._takes_extra or not self._private.issuperset(private or ()):
            raise NoByteForm(self.kind, "holds what its model does not allow", _REMEDY)
        content = {name: content[name] for name in self.fields}
        was_set = value.__pydantic_fields_set__
        if was_set != self._known:
            content[self.SET] = sorted(was_set)
        if extra:
            content[self.EXTRA] = extra
        if private is not None:
            content[self.PRIVATE] = private
        return content

    def assemble(self, content: object) -> object:
        if type(content) is not dict or content.keys() == self._known:  # as usual
            return super().assemble(content)
        was_set = content.pop(self.SET, self.fields)
        extra = content.pop(self.EXTRA, {} if self._takes_extra else None)
        private = content.pop(self.PRIVATE, None)
        instance = super().assemble(content)
        if not (
            type(was_set) in (list, tuple)
            and set(map(type, was_set)) <= {str}
            and (type(extra) is dict) == self._takes_extra
            and set(map(type, extra or ())) <= {str}
            and (private is None or (type(private) is dict and self._private.issuperset(private)))
        ):
            raise ShapeMismatch("the bytes hold what the model does not allow")
        for name, part in ((self.SET, set(was_set)), (self.EXTRA, extra), (self.PRIVATE, private)):
            object.__setattr__(instance, name, part)
        return instance

    def _construct(self, content: dict[str, object]) -> object:
        instance: Any = object.__new__(self.kind)
        put = object.__setattr__
        put(instance, "__dict__", content)
        put(instance, self.SET, set(self.fields))
        put(instance, self.EXTRA, {} if self._takes_extra else None)
        put(instance, self.PRIVATE, None)
        return instance


class _SafeTextShape(Shape):
    """A text that templates do not escape, of markupsafe or Django: never made where no function is to return one."""

    def disassemble(self, value: Any) -> str:
        return str.__str__(value)

    def assemble(self, content: object) -> object:
        if type(content) is not str:
            raise ShapeMismatch("the bytes hold no text")
        return str.__new__(self.kind, content)


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
    if issubclass(kind, str):
        return _SafeTextShape(kind) if (kind.__module__, kind.__qualname__) in _SAFE_TEXTS else None
    if dataclasses.is_dataclass(kind) and _is_pure_python(kind):
        return _DataclassShape(kind)
    if _is_model(kind):
        return _PydanticShape(kind)
    return _AttrsShape(kind) if _is_attrs(kind) and _is_pure_python(kind) else None


def _is_model(kind: type) -> bool:
    """Return whether *kind* is a model of pydantic (v2), which is imported if it is."""
    model = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    return isinstance(model, type) and issubclass(kind, model) and kind is not model


def _is_attrs(kind: type) -> bool:
    return isinstance(getattr(kind, "__attrs_attrs__", None), tuple)


def _is_pure_python(kind: type) -> bool:
    """Return whether there is nothing in an instance but its attributes, unlike in a dict or an exception."""
    return all(base is object or base.__flags__ & _HEAP_TYPE for base in kind.__mro__)


def _is_described(kind: type, name: str) -> bool:
    """Return whether *name* is an attribute of *kind* by a descriptor of the user's, such as one that validates it."""
    owner = inspect.getattr_static(kind, name, None)
    return hasattr(type(owner), "__set__") and type(owner) is not types.MemberDescriptorType


def _slots_of(base: type) -> list[str]:
    return [name for name, member in vars(base).items() if isinstance(member, types.MemberDescriptorType)]


# ---- forms that users register -------------------------------------------------------------------------------------


class RegisteredShape(Shape):
    """A class whose instances are written and read as its user says."""

    def __init__(self, kind: type[Any], dump: Callable[[Any], object], load: Callable[[Any], object]) -> None:
        super().__init__(kind)
        self._dump = dump
        self._load = load

    def disassemble(self, value: Any) -> object:
        try:
            return self._dump(value)
        except Exception as error:  # noqa: BLE001 - it is the user's
            problem = f"is registered with a dump that raised {type(error).__name__}"
        raise NoByteForm(self.kind, problem, "let it return plain data")

    def assemble(self, content: object) -> object:
        try:
            value = self._load(content)
        except Exception as error:  # noqa: BLE001 - it is the user's, and the bytes may be anybody's
            problem = f"its load raised {type(error).__name__}"
        else:
            if type(value) is self.kind:
                return value
            problem = f"its load returned {with_article(type(value))}"
        raise ShapeMismatch(problem)


_registered: Final[dict[str, RegisteredShape]] = {}
"""The shapes of what is registered, by the names of the classes."""


def _registered_shape(kind: type) -> RegisteredShape | None:
    shape = _registered.get(name_of(kind))
    return shape if shape is not None and shape.kind is kind else None


def is_registered(kind: type) -> bool:
    """Return whether somebody has said how instances of *kind* are written."""
    return _registered_shape(kind) is not None


def register(kind: type[T], dump: Callable[[T], object], load: Callable[[Any], T], *, replace: bool = False) -> None:
    """Let SafeSerializer keep instances of *kind*, a class that is not yours, as what *dump* makes of them.

    It concerns this class alone: a subclass, of which *load* would make something else, is registered by itself. Before
    or after functions are decorated is the same; each process that reads has to do it. *load* runs on bytes that
    anybody may have written who can write to the cache; where it raises, or returns another class, that is a miss.

    Args:
        kind: the class.
        dump: returns plain data: anything that SafeSerializer keeps, other registered classes included.
        load: makes the instance again.
        replace: take the place of what was registered for the class before.

    Raises:
        ConfigurationError: something else was given; or the class is registered already, or needs no registration.

    Example:
        >>> from memocache.serializers import register
        >>> class Money:
        ...     def __init__(self, amount, currency):
        ...         self.amount, self.currency = amount, currency
        >>> def dump(money):
        ...     return money.amount, money.currency
        >>> def load(parts):
        ...     return Money(*parts)
        >>> register(Money, dump, load, replace=True)  # as in a notebook, where this runs more than once
    """
    if not isinstance(kind, type):
        raise ConfigurationError(f"register() got {kind!r}; wanted: a class, such as register(Money, dump, load)")
    for name, given in (("dump", dump), ("load", load)):
        if not callable(given) or is_awaited(given):
            what = "a coroutine function" if callable(given) else with_article(type(given))
            raise ConfigurationError(f"register({kind.__name__}): {name} is {what}; wanted: a function")
    if kind in KEPT:
        raise ConfigurationError(f"register({kind.__name__}): it is kept as it is; leave the registration out")
    shape = RegisteredShape(kind, dump, load)
    if shape.name in _registered and not replace:
        raise ConfigurationError(
            f"register({kind.__name__}): {shape.name} is registered already; pass replace=True to replace that"
        )
    _registered[shape.name] = shape


class KnownShapes:
    """The shapes of the types that may be made from bytes: those that were named, and those that are registered."""

    def __init__(self) -> None:
        self._by_name: dict[str, Shape] = {}
        self._modules: list[ModuleType] = []

    def add(self, *annotations: object) -> None:
        """Add the types in *annotations*; in the place of a hint a module may stand, whose own names are looked at."""
        # Without a lock: each is one step, and two threads that name the same do no harm.
        for kind in record_types(*annotations):
            shape = shape_of(kind)
            if shape is not None:
                self._by_name[shape.name] = shape
        self._modules += [each for each in annotations if isinstance(each, ModuleType) and each not in self._modules]

    def names(self) -> list[str]:
        """Return the names of the types that were named."""
        return sorted(self._by_name)

    def find(self, name: str) -> Shape | None:
        """Return the shape with this *name*, if its type may be made from bytes."""
        shape = _registered.get(name) or self._by_name.get(name)
        return shape if shape is not None or not self._modules else self._find_in_modules(name)

    def _find_in_modules(self, name: str) -> Shape | None:
        for module in self._modules:
            kind: Any = vars(module).get(name.rpartition(".")[2])
            if issubclass(type(kind), type) and name_of(kind) == name and shape_of(kind) is not None:
                self.add(kind)
                return self._by_name.get(name)
        return None

    def of(self, kind: type) -> Shape | None:
        """Return the shape of *kind*; None if it has none. Raises NoByteForm if it would be written and never read."""
        shape: Shape | None = (_registered_shape(kind) if _registered else None) or shape_of(kind)
        if shape is None:
            return None
        known = self.find(shape.name)
        if known is None:
            problem = "no return hint names, so that it would be written and never be read"
            # The rows that pandas and Django make are of a class that nobody can name.
            if "." in kind.__qualname__ or hasattr(sys.modules.get(kind.__module__), kind.__name__):
                remedy = f"annotate the function's return type with it, or pass types=[{kind.__name__}]"
            else:
                remedy = "return a dict, or a NamedTuple that the hint names"
            raise NoByteForm(kind, problem, remedy)
        if known.kind is not kind:
            raise NoByteForm(kind, "is another type than the one named by this name", "name each type differently")
        return shape


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
    if isinstance(annotation, TypeVar):
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
    hints = field_hints(kind)
    return [] if hints is None else [*getattr(kind, "__orig_bases__", ()), *hints.values()]


def field_hints(kind: Any) -> dict[str, object] | None:
    """Return the hints of the fields of *kind* by name; None if it has no fields.

    They are resolved, one by one: a text stays where a name in it is not there, such as one that only type checkers
    know. What a class of typing has besides the type, such as Annotated, is left out.
    """
    try:
        return _field_hints(kind)
    except Exception:  # noqa: BLE001 - what the user's class has under these names may be anything
        return None


def _field_hints(kind: Any) -> dict[str, object] | None:
    declared: dict[str, object] = {}  # where there may be no annotation
    if _is_model(kind):
        declared = {name: field.annotation for name, field in kind.model_fields.items()}
        names: Collection[str] = [*declared, *kind.__private_attributes__]
    elif dataclasses.is_dataclass(kind):
        declared = {field.name: field.type for field in dataclasses.fields(kind)}
        names = declared
    elif _is_attrs(kind):
        declared = {field.name: field.type for field in kind.__attrs_attrs__}
        names = declared
    elif typing.is_typeddict(kind):
        names = [*kind.__required_keys__, *kind.__optional_keys__]
    elif issubclass(kind, msgspec.Struct):
        names = kind.__struct_fields__
    elif issubclass(kind, tuple) and hasattr(kind, "_fields"):
        names = kind._fields
    else:
        return None
    known = set(names)
    found: dict[str, object] = {}
    for base in kind.__mro__:
        for name, annotation in _annotations(base).items():
            if name in known and name not in found:
                found[name] = _resolved(base, annotation)
    if _is_model(kind):  # it knows what the parameters of a generic one stand for
        found |= {name: _resolved(kind, annotation) for name, annotation in declared.items()}
    return {name: found[name] if name in found else declared.get(name, Any) for name in names}


def _annotations(base: type) -> dict[str, object]:
    try:
        return annotations_of(base)
    except Exception:  # noqa: BLE001 - from Python 3.14 on, this runs the annotations
        return {}


def _resolved(base: type, annotation: object) -> object:
    holder = types.SimpleNamespace(__annotations__={"hint": annotation})
    known = vars(sys.modules.get(base.__module__, types))
    try:
        return typing.get_type_hints(holder, known, {base.__name__: base, **vars(base)})["hint"]
    except Exception:  # noqa: BLE001 - annotations may be any expression
        return annotation
