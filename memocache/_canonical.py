"""A value -> its canonical bytes: the same exactly where type and content are, in every process.

Every value is one frame: a tag, the length of the body, a colon, the body. No tag has a colon or ends with a
digit. The body of a container is the frames of its parts one after the other. So no content can imitate a
boundary, and frames may be joined without a separator. No class's own `__hash__`, `__eq__`, `__repr__` or
`__str__` is called.
"""

import collections
import datetime
import itertools
import operator
import re
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any, Final

from memocache import _records
from memocache._names import is_found, name_of, own_module
from memocache._records import Parts
from memocache._refusal import NO_FORM, Refusal, TooDeep, with_article
from memocache.errors import UnkeyableArgument

__all__ = ["encode"]

DEEPEST: Final = 100  # levels, of three Python frames at most: far below the recursion limit
FOREIGN: Final = sys.stdlib_module_names | {"numpy", "pandas"}  # whose classes no user gives a method

Encoder = Callable[[Any, int], bytes]


def encode(value: object) -> bytes:
    """Return the canonical bytes of *value*: equal exactly where values are the same in type and content.

    Raises:
        UnkeyableArgument: something in *value* has no stable form; the message says what and where.
    """
    try:
        return _ENCODERS.get(id(type(value)), _other)(value, 0)
    except Refusal as refusal:
        raise UnkeyableArgument(refusal.message()) from None


def _frame(tag: bytes, body: bytes) -> bytes:
    return b"%b%d:%b" % (tag, len(body), body)


def _frames(whole: object, parts: Iterable[Any], depth: int, step: Callable[[int], str]) -> list[bytes]:
    """Encode the *parts* of a *whole*; *step* says where in it the nth is."""
    if depth == DEEPEST:
        raise TooDeep(whole, DEEPEST)
    frames: list[bytes] = []
    find = _ENCODERS.get
    try:
        for part in parts:
            frames.append(find(id(type(part)), _other)(part, depth + 1))
    except Refusal as refusal:
        refusal.way.append((whole, step(len(frames))))
        raise
    return frames


# Simple values and containers


def _int(value: int, depth: int) -> bytes:
    digits = b"%x" % value  # decimal digits take quadratic time, and Python limits their number
    return b"int%d:%b" % (len(digits), digits)


def _str(value: str, depth: int) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"str%d:%b" % (len(data), data)


def _decimal(value: Any, depth: int) -> bytes:
    sign, digits, exponent = value.as_tuple()  # str() would depend on the context
    return _frame(b"Decimal", f"{sign} {exponent} ".encode() + bytes(digits))


def _zoneinfo(value: Any, depth: int) -> bytes:
    if value.key is None:
        raise Refusal("a ZoneInfo without a key", f"{NO_FORM}: make it by ZoneInfo(key)")
    return _frame(b"ZoneInfo", value.key.encode())


def _text(name: str) -> Encoder:
    """For the exact type called *name*, whose str() says all that it is."""
    tag = name.encode()
    return lambda value, depth: _frame(tag, str(value).encode("utf-8", "surrogatepass"))


def _sequence(kind: type) -> Encoder:
    tag = kind.__name__.encode()
    step = "[{}]".format

    def encode_sequence(values: Any, depth: int) -> bytes:
        body = b"".join(_frames(values, values, depth, step))
        return b"%b%d:%b" % (tag, len(body), body)  # for speed, here and in a few others, without _frame()

    return encode_sequence


def _set(kind: type) -> Encoder:
    tag = kind.__name__.encode()
    return lambda values, depth: _frame(tag, b"".join(sorted(_frames(values, values, depth, lambda _: "{an item}"))))


def _mapping(kind: type, *, ordered: bool = False) -> Encoder:
    tag = kind.__name__.encode()

    def encode_mapping(mapping: Any, depth: int) -> bytes:
        def step(position: int) -> str:
            at_value = position % 2
            key = next(itertools.islice(mapping, position // 2, None))
            return f"[{_shown(key)}]" if at_value else "{a key}"

        frames = _frames(mapping, itertools.chain.from_iterable(mapping.items()), depth, step)
        pairs = list(map(operator.add, frames[::2], frames[1::2]))
        if not ordered:
            pairs.sort()
        return _frame(tag, b"".join(pairs))

    return encode_mapping


def _shown(key: object) -> str:
    if type(key) is str:
        return repr(key[:40])
    return str(key) if type(key) is int and key.bit_length() < 64 else with_article(type(key))


def _attributes(name: str, *names: str) -> Encoder:
    """For the exact type called *name*, which is no more than the attributes with these *names*."""
    tag = name.encode()
    get = operator.attrgetter(*names)
    return lambda value, depth: _frame(
        tag, b"".join(_frames(value, get(value), depth, lambda position: f".{names[position]}"))
    )


def _record(tag: bytes, value: object, parts: Parts, depth: int, owner: str = "") -> bytes:
    """Encode a *value* of the class called *owner* that consists of *parts*."""
    names = list(parts)
    frames = _frames(value, parts.values(), depth, lambda position: f".{names[position]}")
    named = [_str(name, depth) + frame for name, frame in zip(names, frames, strict=True)]
    return _frame(tag, _str(owner, depth) + b"".join(named))


def _defaultdict(value: Any, depth: int) -> bytes:
    # A view and not a copy: a copy may have to compare the keys.
    items = types.MappingProxyType(value)
    return _record(b"defaultdict", value, {"default_factory": value.default_factory, "items": items}, depth)


def _deque(value: Any, depth: int) -> bytes:
    return _record(b"deque", value, {"maxlen": value.maxlen, "items": list(value)}, depth)


def _timezone(value: datetime.timezone, depth: int) -> bytes:
    offset = value.utcoffset(None)
    text = f"{offset.days} {offset.seconds} {offset.microseconds} {value.tzname(None)}"
    return _frame(b"timezone", text.encode("utf-8", "surrogatepass"))


# What has a name


def _class(value: type, depth: int) -> bytes:
    return _frame(b"class", name_of(value).encode())


def _function(value: object, depth: int) -> bytes:
    return _frame(b"function", name_of(value).encode())


def _method(value: Any, depth: int) -> bytes:
    return _record(b"method", value, {"__self__": value.__self__, "__func__": value.__func__}, depth)


def _builtin(value: Any, depth: int) -> bytes:
    if value.__self__ is None or type(value.__self__) is types.ModuleType:
        return _function(value, depth)
    return _record(b"method", value, {"__self__": value.__self__, "__name__": value.__name__}, depth)


def _module(value: types.ModuleType, depth: int) -> bytes:
    raise Refusal("a module", f"{NO_FORM}: pass its name")


# Everything that is not of an exact type known here


def _other(value: Any, depth: int) -> bytes:
    kind = type(value)
    _learn()
    if id(kind) in _ENCODERS:
        return _ENCODERS[id(kind)](value, depth)
    own_key = _records.own_key(value, kind)
    if own_key is not _records.NOTHING:
        owner = name_of(kind, of_instance=True)
        return _record(b"keyed", value, {"__cache_key__": own_key}, depth, owner)
    if issubclass(kind, type):
        return _class(value, depth)
    parts = _records.parts(value, kind, _plain_base)
    if parts is not None:
        return _record(b"object", value, parts, depth, name_of(kind, of_instance=True))
    if own_module(kind) == "freezegun.api":  # what today() and now() give while the time is frozen
        return _BY_TYPE[_genuine(kind)](value, depth)
    if type(getattr(value, "__qualname__", None)) is str and is_found(value, value.__qualname__):
        return _function(value, depth)  # a decorated or a compiled one
    raise Refusal(f"{with_article(kind)} instance", f"{NO_FORM}: {_remedy(kind)}")


def _learn() -> None:
    """Learn the types of modules that have been imported since the last time."""
    for name in [name for name in _LATER if name in sys.modules]:
        encoders = _LATER.get(name, {})
        kinds: list[Any] = [getattr(sys.modules.get(name), each, None) for each in encoders]
        if None not in kinds:  # as it is while another thread is importing it
            for kind, encoder in zip(kinds, encoders.values(), strict=True):
                _BY_TYPE[kind] = _ENCODERS[id(kind)] = encoder
            _LATER.pop(name, None)


def _plain_base(kind: type) -> type | None:
    return next((base for base in kind.__mro__ if id(base) in _ENCODERS), None)


def _remedy(kind: type) -> str:
    plain = _plain_base(kind)
    if plain is not None:
        return (
            f"its class may add to what {with_article(plain)} is; "
            f"pass a plain {plain.__name__} or give {kind.__name__} a __cache_key__ method"
        )
    if hasattr(kind, "__next__"):
        return "reading it would use it up; pass a tuple of its items"
    if own_module(kind).partition(".")[0] in FOREIGN:
        return "pass a value that stands for it"
    return f"give {kind.__name__} a __cache_key__ method"


def _genuine(kind: type) -> type:
    """Return the standard library's date or datetime, also where freezegun has put its own in its place."""
    return next(base for base in kind.__mro__ if base.__module__ == "datetime")


_DATE: Final = ("year", "month", "day")
_TIME: Final = ("hour", "minute", "second", "microsecond", "fold", "tzinfo")
_PATHS: Final = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
_ADDRESSES: Final = [f"IPv{version}{part}" for version in (4, 6) for part in ("Address", "Network", "Interface")]

# Of modules that are imported only where they are used; they would take longer than all of ours.
_LATER: Final[dict[str, dict[str, Encoder]]] = {
    "decimal": {"Decimal": _decimal},
    "fractions": {"Fraction": _attributes("Fraction", "numerator", "denominator")},
    "uuid": {"UUID": lambda value, depth: _frame(b"UUID", value.bytes)},
    "zoneinfo": {"ZoneInfo": _zoneinfo},
    "pathlib": {name: _text(name) for name in _PATHS},
    "ipaddress": {name: _text(name) for name in _ADDRESSES},
}

_BY_TYPE: Final[dict[type, Encoder]] = {
    type(None): lambda value, depth: b"None0:",
    type(...): lambda value, depth: b"Ellipsis0:",
    bool: lambda value, depth: b"bool1:1" if value else b"bool1:0",
    int: _int,
    float: lambda value, depth: _frame(b"float", value.hex().encode()),  # any NaN is "nan"
    complex: _attributes("complex", "real", "imag"),
    str: _str,
    bytes: lambda value, depth: _frame(b"bytes", value),
    bytearray: lambda value, depth: _frame(b"bytearray", bytes(value)),
    tuple: _sequence(tuple),
    list: _sequence(list),
    set: _set(set),
    frozenset: _set(frozenset),
    dict: _mapping(dict),
    types.MappingProxyType: _mapping(types.MappingProxyType),
    collections.Counter: _mapping(collections.Counter),
    collections.OrderedDict: _mapping(collections.OrderedDict, ordered=True),
    collections.defaultdict: _defaultdict,
    collections.deque: _deque,
    range: _attributes("range", "start", "stop", "step"),
    slice: _attributes("slice", "start", "stop", "step"),
    re.Pattern: _attributes("Pattern", "pattern", "flags"),
    _genuine(datetime.date): _attributes("date", *_DATE),
    _genuine(datetime.datetime): _attributes("datetime", *_DATE, *_TIME),
    datetime.time: _attributes("time", *_TIME),
    datetime.timedelta: _attributes("timedelta", "days", "seconds", "microseconds"),
    datetime.timezone: _timezone,
    type: _class,
    types.FunctionType: _function,
    types.MethodType: _method,
    types.BuiltinFunctionType: _builtin,
    types.ModuleType: _module,
}

# By id: a metaclass may have a __hash__ of its own, too.
_ENCODERS: Final[dict[int, Encoder]] = {id(kind): encoder for kind, encoder in _BY_TYPE.items()}
