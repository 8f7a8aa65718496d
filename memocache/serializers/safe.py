"""SafeSerializer: the default, for values of known types, as msgpack with extensions of ours."""

import io
import re
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final

from msgspec.msgpack import Decoder, Encoder, Ext

from memocache.errors import ConfigurationError, SerializationError
from memocache.serializers._extensions import (
    CAREFUL_WRITERS,
    FACTORIES,
    KEPT,
    PLAIN,
    READERS,
    WRITERS,
    Code,
    Readers,
    Writers,
    unfrozen_type,
)
from memocache.serializers._records import KnownShapes, RegisteredShape, ShapeMismatch, is_registered, record_types
from memocache.serializers.base import TOO_DEEP_FOR_THE_STACK, NoByteForm, Serializer, path_step

__all__ = ["SafeSerializer"]

_DEEPEST: Final = 500
_LEVELS_OF_A_SCALAR: Final = 1
_MOST_ALIKE: Final = 200  # members of a set, or keys of a dict, with one hash: each is compared with all the others
_MOST_UNWATCHED: Final = 1000  # numbers in a value, before their hashes are compared
_REMEDIES: Final = {
    ("sqlite3", "Row"): "return dict(row)",
    ("sqlalchemy.engine.row", "Row"): "return row._asdict(), or a NamedTuple that the return hint names",
    ("sqlalchemy.engine.row", "RowMapping"): "return dict(row)",
    ("sqlalchemy.orm.query", "Query"): "return a list of plain rows",
    ("sqlalchemy.orm.decl_api", "DeclarativeBase"): "return its fields, as a dict or a dataclass",
    ("django.db.models.base", "Model"): "return its fields: model_to_dict(instance), or a dataclass",
    ("django.db.models.query", "QuerySet"): "return list(queryset.values())",
    ("django.utils.functional", "Promise"): "return str(text)",
    ("torch", "Tensor"): "return tensor.numpy()",
    **{("builtins", name): "return a list instead" for name in ("dict_keys", "dict_values", "dict_items", "range")},
}
"""The remedies for classes, above all of other libraries, by module and name."""


def _arrays() -> Any:
    from memocache.serializers import _arrays  # not before there is an array

    return _arrays


def _arrow() -> Any:
    from memocache.serializers import _arrow

    return _arrow


_LIBRARIES: Final = {"numpy": _arrays, "pandas": _arrays, "polars": _arrow, "pyarrow": _arrow}
"""The modules of ours that know the values of another library."""

_TYPE_NAME: Final = re.compile(r"[\w.<>]{1,200}")
_encode = Encoder().encode


class SafeSerializer(Serializer):
    """The default serializer: it keeps plain values and records, each with its exact type, and executes nothing.

    Plain are None, bool, int, float, complex, str, bytes, bytearray, list, tuple, dict with any keys, set,
    frozenset, Counter, OrderedDict, deque, defaultdict of a builtin type, date, time, datetime with its zone,
    timedelta, timezone, ZoneInfo, Decimal, Fraction, UUID, paths and IP addresses. Records are enum members,
    dataclasses, NamedTuples, msgspec Structs, pydantic models, classes made by attrs, Markup and Django's
    SafeString: those are written and read whose type was named. They come back with the fields they had, without
    `__init__`, validators and other hooks; a Struct's `__post_init__` runs, as msgspec cannot do without, but does
    not change the fields. A type whose fields have changed since is a miss. Subclasses of the plain types and all
    other objects are refused, unless they are registered: `memocache.serializers.register`. What appears twice in a
    value comes back as two equal values.

    Args:
        types: the types to make from bytes, as classes or annotations. A decorated function's return
            annotation adds to them.
        max_depth: so many containers may lie in each other.

    Example:
        >>> from typing import NamedTuple
        >>> class Point(NamedTuple):
        ...     x: int
        ...     y: int
        >>> serializer = SafeSerializer(types=[Point])
        >>> data = serializer.dumps({"at": Point(1, 2), "seen": {(3, 4)}}, b"")
        >>> serializer.loads(data, b"")
        {'at': Point(x=1, y=2), 'seen': {(3, 4)}}
    """

    codec = 1

    def __init__(self, types: Iterable[object] = (), *, max_depth: int = 100) -> None:
        if type(max_depth) is not int or not 1 <= max_depth <= _DEEPEST:
            raise ConfigurationError(f"max_depth={max_depth!r} does not work; wanted: 1 to {_DEEPEST}")
        if isinstance(types, type):
            raise ConfigurationError(f"types={types!r} is one type; wanted: several, types=[{types.__name__}]")
        self._shapes = KnownShapes()
        self._writer = MsgpackWriter(self._shapes, max_depth, WRITERS)
        self._careful_writer = MsgpackWriter(self._shapes, max_depth, CAREFUL_WRITERS)
        self._reader = MsgpackReader(self._shapes, max_depth + _LEVELS_OF_A_SCALAR)
        for given in types:
            if not any(True for _ in record_types(given)):
                raise ConfigurationError(
                    f"types= holds {given!r}, which names no enum and no class with fields;"
                    " leave it out: nothing else needs naming"
                )
            self.name_types(given)

    def __repr__(self) -> str:
        return f"SafeSerializer(types=[{', '.join(self._shapes.names())}])"

    def name_types(self, *annotations: object) -> None:
        """Let `loads` make instances of the types in *annotations*, their arguments and their fields.

        Of two types with one name the one named last is used, as it does when a module is loaded again.
        """
        self._shapes.add(*annotations)

    def dumps(self, value: object, context: bytes) -> bytes:
        """Return *value* as bytes; *context* is not looked at."""
        try:
            return self._write(value)
        except RecursionError:
            pass
        raise SerializationError(TOO_DEEP_FOR_THE_STACK)

    def _write(self, value: object) -> bytes:
        try:
            try:
                return self._writer.dumps(value)
            except (OverflowError, UnicodeEncodeError):
                # A long int or a lone surrogate: too rare to look for it in every value.
                return self._careful_writer.dumps(value)
        except RecursionError:
            raise
        except NoByteForm as refused:
            problem = str(refused)
        except Exception as error:  # noqa: BLE001 - attributes of the user's types may raise anything
            problem = f"value could not be read, {type(error).__name__}; return plain data"
        raise SerializationError(problem)

    def loads(self, data: bytes, context: bytes) -> object:
        """Return the value that *data* stands for; *context* is not looked at."""
        _load.unwatched = _MOST_UNWATCHED
        try:
            return self._reader.loads(data)
        except SerializationError:
            raise
        except Exception as error:  # noqa: BLE001 - the bytes may be anybody's
            raise SerializationError(f"the bytes are no value, {type(error).__name__}") from None


class MsgpackWriter:
    """The writer of msgpack: it turns a value into one that msgspec writes without loss.

    *scalars* has the types without parts. Most of most values needs no replacing: it is not copied, and looked at in C.
    """

    def __init__(self, shapes: KnownShapes, max_depth: int, scalars: Writers) -> None:
        self._shapes = shapes
        self._max_depth = max_depth
        self._scalars = scalars
        self._plain = PLAIN - scalars.keys()
        self._containers: dict[type, Callable[[Any, int], object]] = {
            list: self._list,
            dict: self._dict,
            tuple: lambda value, left: self._sequence(Code.TUPLE, "item", value, left),
            set: lambda value, left: self._sequence(Code.SET, "member", value, left),
            frozenset: lambda value, left: self._sequence(Code.FROZENSET, "member", value, left),
            Counter: lambda value, left: Ext(Code.COUNTER, _encode(self._pairs(value, left))),
            OrderedDict: lambda value, left: Ext(Code.ORDERED_DICT, _encode(self._pairs(value, left))),
            defaultdict: self._defaultdict,
            deque: lambda value, left: Ext(
                Code.DEQUE, _encode([value.maxlen, self._convert_each(value, value, "item", left)])
            ),
        }

    def dumps(self, value: object) -> bytes:
        """Return *value* as msgpack. Raises NoByteForm, or what msgspec and the user's attributes raise."""
        return _encode(self._convert(value, self._max_depth))

    def _convert(self, value: object, left: int) -> object:
        kind = type(value)
        container = self._containers.get(kind)
        if container is not None:
            if not left:
                raise self._too_deep(kind)
            return container(value, left - 1)
        if kind in self._plain:
            return value
        scalar = self._scalars.get(kind) or self._scalars.get(unfrozen_type(kind))
        if scalar is not None:
            return scalar(value)
        if not left:
            raise self._too_deep(kind)
        return self._record(kind, value, left - 1)

    def _list(self, value: list[object], left: int) -> object:
        if self._plain.issuperset(map(type, value)):
            return value
        return self._convert_each(value, value, "item", left)

    def _sequence(self, tag: int, part: str, value: Collection[object], left: int) -> Ext:
        return Ext(tag, _encode(self._convert_each(value, value, part, left)))

    def _dict(self, value: dict[object, object], left: int) -> object:
        plain = self._plain
        if not plain.issuperset(map(type, value)):
            return self._any_dict(value, left)
        if plain.issuperset(map(type, value.values())):
            return value
        return self._convert_values(value, "value", left)

    def _any_dict(self, value: dict[object, object], left: int) -> object:
        pairs = self._pairs(value, left)
        if PLAIN.issuperset(map(type, pairs[::2])):
            return dict(zip(pairs[::2], pairs[1::2], strict=True))
        return Ext(Code.PAIRS, _encode(pairs))

    def _pairs(self, value: dict[object, object], left: int) -> list[Any]:
        """Return the keys and values of a dict, converted: key, value, key, value ..."""
        keys = self._convert_each(value, value, "key", left)
        values = self._convert_each(value.values(), value, "value", left)
        return [side for pair in zip(keys, values, strict=True) for side in pair]

    def _defaultdict(self, value: defaultdict[object, object], left: int) -> object:
        factory = value.default_factory
        name = None if factory is None else getattr(factory, "__name__", "")
        if name is not None and FACTORIES.get(name) is not factory:
            raise NoByteForm(defaultdict, "has a factory without a form as bytes", "use list, dict, set, int or such")
        return Ext(Code.DEFAULTDICT, _encode([name, self._pairs(value, left)]))

    def _convert_each(
        self, parts: Iterable[object], container: Collection[object], part: str, left: int
    ) -> list[object]:
        plain, convert = self._plain, self._convert
        converted: list[object] = []
        try:
            for value in parts:
                converted.append(value if type(value) in plain else convert(value, left))
        except NoByteForm as refused:
            refused.path.append(path_step(container, part, len(converted)))
            raise
        return converted

    def _convert_values(self, whole: dict[Any, object], part: str, left: int) -> dict[Any, object]:
        """Return *whole* with its values converted; a copy only if that changes any."""
        plain, convert = self._plain, self._convert
        result = whole
        try:
            for key, value in whole.items():
                if type(value) not in plain:
                    converted = convert(value, left)
                    if converted is not value:
                        if result is whole:
                            result = whole.copy()
                        result[key] = converted
        except NoByteForm as refused:
            refused.path.append(path_step(whole, part, list(whole).index(key)))
            raise
        return result

    def _record(self, kind: type, value: object, left: int) -> object:
        shape = self._shapes.of(kind)
        if shape is None:
            return self._of_library(kind, value, left)
        content = shape.disassemble(value)
        if type(shape) is RegisteredShape:
            content = self._dumped(content, left)
        elif isinstance(content, dict):
            content = self._convert_values(content, "field", left)
        else:
            content = self._convert(content, left)
        return Ext(Code.OBJECT, _encode([shape.name, content]))

    def _of_library(self, kind: type, value: object, left: int) -> object:
        module = _LIBRARIES.get(kind.__module__.partition(".")[0])
        parts = None if module is None else module().parts(value, kind)
        if parts is None:
            raise NoByteForm(kind, "has no form as bytes", _remedy(kind))
        if type(parts) is Ext:
            return parts
        name, content = parts
        return Ext(Code.PARTS, _encode([name, self._convert(content, left)]))

    def _dumped(self, content: object, left: int) -> object:
        try:
            return self._convert(content, left)
        except NoByteForm as refused:
            refused.path.append(".dump()")
            raise

    def _too_deep(self, kind: type) -> NoByteForm:
        reason = f"lies more than {self._max_depth} levels deep or in a cycle"
        return NoByteForm(kind, reason, "return flatter data, or pass a larger max_depth=")


def _remedy(kind: type) -> str:
    for base in kind.__mro__:
        if (base.__module__, base.__qualname__) in _REMEDIES:
            return _REMEDIES[base.__module__, base.__qualname__]
    if issubclass(kind, Iterator) and not issubclass(kind, io.IOBase):
        return "return a list instead"
    for base in kind.__mro__[1:]:
        if is_registered(base):
            return f"register it, as {base.__name__} is; or return that"
        if base in KEPT:
            return f"return a plain {base.__name__}, or use PickleSerializer(secret=...)"
    return "return plain data, or use PickleSerializer(secret=...)"


class _Load(threading.local):
    """The reading of one value, in this thread."""

    unwatched = 0
    """So many more numbers may come before their hashes are compared: a few take no time."""
    alike: dict[int, list[object]]
    """The numbers that came since, by their hash."""


_load: Final = _Load()


def _watched(reader: Callable[[memoryview], object]) -> Callable[[memoryview], object]:
    """Return the *reader* of a type of numbers, for whose values it is easy to have one hash.

    msgspec makes a dict by itself, also where forged bytes have such numbers as keys, which are never written.
    """

    def read(data: memoryview) -> object:
        value = reader(data)
        if _load.unwatched:
            _load.unwatched -= 1
            if not _load.unwatched:
                _load.alike = {}
            return value
        try:
            alike = _load.alike.setdefault(hash(value), [])
        except TypeError:  # a signaling NaN has none, and cannot be a key
            return value
        if value not in alike:
            alike.append(value)
            _check_alike(len(alike))
        return value

    return read


_WATCHED: Final = (Code.BIG_INTEGER, Code.DECIMAL, Code.FRACTION, Code.UUID, Code.ADDRESS)
_READERS: Final[Readers] = {
    **READERS,
    **{code: _watched(READERS[code]) for code in _WATCHED},
    Code.ARRAY: lambda data: _arrays().read_array(data),
    Code.ARROW: lambda data: _arrow().read(data),
}


class MsgpackReader:
    """The reader of msgpack in which extensions may be nested *levels* deep.

    msgspec reads everything plain by itself and calls back for an extension. The content of an extension is read by
    the next reader in a chain that ends: bytes that nest without end meet that end, not the end of the stack.
    """

    def __init__(self, shapes: KnownShapes, levels: int) -> None:
        self._shapes = shapes
        self._levels = levels
        self._readers = _READERS
        self.loads = Decoder(ext_hook=self._read).decode

    def _read(self, tag: int, data: memoryview) -> object:
        reader = self._readers.get(tag)
        if reader is None:
            self._readers = readers = self._add_container_readers()
            reader = readers.get(tag)
            if reader is None:
                raise SerializationError("the bytes hold a mark that means nothing here")
        return reader(data)

    def _add_container_readers(self) -> Readers:
        # Made when first needed, and by two threads at once to no harm.
        if not self._levels:
            raise SerializationError("the bytes hold values nested too deep")
        inner = MsgpackReader(self._shapes, self._levels - 1)
        hook = inner._read
        decode_list = Decoder(list[Any], ext_hook=hook).decode
        decode_object = Decoder(tuple[str, Any], ext_hook=hook).decode
        decode_defaultdict = Decoder(tuple[str | None, list[Any]], ext_hook=hook).decode
        decode_deque = Decoder(tuple[int | None, list[Any]], ext_hook=hook).decode
        return _READERS | {
            Code.TUPLE: Decoder(tuple[Any, ...], ext_hook=hook).decode,
            Code.SET: lambda data: set(_with_few_alike(decode_list(data))),
            Code.FROZENSET: lambda data: frozenset(_with_few_alike(decode_list(data))),
            Code.PAIRS: lambda data: _dict_of(decode_list(data)),
            Code.COUNTER: lambda data: Counter(_dict_of(decode_list(data))),
            Code.ORDERED_DICT: lambda data: OrderedDict(_dict_of(decode_list(data))),
            Code.PARTS: lambda data: _arrays().build(*decode_object(data)),
            Code.DEFAULTDICT: lambda data: _defaultdict_of(*decode_defaultdict(data)),
            Code.DEQUE: lambda data: deque(*decode_deque(data)[::-1]),
            Code.OBJECT: lambda data: self._record(*decode_object(data)),
        }

    def _record(self, name: str, content: object) -> object:
        shape = self._shapes.find(name)
        if shape is None:
            raise SerializationError(_why_unnamed(name))
        try:
            return shape.assemble(content)
        except ShapeMismatch as misfit:
            raise SerializationError(f"the bytes hold {name} of another shape: {misfit}") from None


def _why_unnamed(name: str) -> str:
    if not _TYPE_NAME.fullmatch(name):
        return "the bytes hold a type with an impossible name"
    return (
        f"the bytes hold {name}, which was not named; annotate the function's return type with it,"
        f" or pass types=[{name.rpartition('.')[2]}]"
    )


def _dict_of(sides: list[Any]) -> dict[Any, object]:
    return dict(zip(_with_few_alike(sides[::2]), sides[1::2], strict=True))


def _defaultdict_of(factory: str | None, sides: list[Any]) -> defaultdict[object, object]:
    return defaultdict(None if factory is None else FACTORIES[factory], _dict_of(sides))


def _with_few_alike(members: list[Any]) -> list[Any]:
    """Return *members*, if a set of them is made in a moment: values can be found that all have the same hash."""
    if len(members) > _MOST_ALIKE:
        _check_alike(max(Counter(map(hash, members)).values()))
    return members


def _check_alike(number: int) -> None:
    if number > _MOST_ALIKE:
        raise SerializationError("the bytes hold too many values with the same hash")
