"""Extensions: the msgpack extension types of SafeSerializer, and how single values are written and read as them.

Single values have no parts that the serializer has to look at: dates, decimals, long ints and the like.
"""

import datetime
import ipaddress
import pathlib
import re
import struct
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec.msgpack import Decoder, Encoder, Ext

from memocache._canonical import stdlib_type, zone_key
from memocache.serializers.base import NoByteForm

Writers = dict[type, Callable[[Any], object]]
Readers = dict[int, Callable[[memoryview], object]]


class Code:
    """The numbers of the extension types. They lie in caches, so none is ever given a new meaning."""

    # Their content is msgpack again.
    TUPLE: Final = 1
    SET: Final = 2
    FROZENSET: Final = 3
    PAIRS: Final = 4  # a dict whose keys msgpack cannot say: key, value, key, value ...
    OBJECT: Final = 5  # [name of the type, fields by name | name or value of the member | what was registered]
    COUNTER: Final = 6  # as PAIRS, and so are the next two
    ORDERED_DICT: Final = 7
    DEFAULTDICT: Final = 8  # [name of the factory, pairs]
    DEQUE: Final = 9  # [its largest length, items]
    PARTS: Final = 10  # of a value of another library: [how it is built of them, the parts]

    BYTEARRAY: Final = 16
    TEXT: Final = 17  # with lone surrogates
    BIG_INTEGER: Final = 18
    COMPLEX: Final = 19
    DECIMAL: Final = 20
    FRACTION: Final = 21
    UUID: Final = 22
    DATE: Final = 23
    TIME: Final = 24
    DATETIME: Final = 25  # without a zone
    MOMENT: Final = 26  # a datetime with a zone or a fold; in UTC it is msgpack's own timestamp
    TIMEDELTA: Final = 27
    ZONE: Final = 28
    PATH: Final = 29  # its place in _PATHS, and its text
    ADDRESS: Final = 30  # its place in _ADDRESSES, and its text
    ARRAY: Final = 31  # of numpy, or a scalar: the size of its head, [dtype, shape, order], its memory
    ARROW: Final = 32  # of pyarrow or polars: what it is, and a stream of Arrow IPC


class _Real:
    """The types of the datetime module, where freezegun does not replace them."""

    Date: Final[type[datetime.date]] = stdlib_type(datetime.date)
    Time: Final[type[datetime.time]] = stdlib_type(datetime.time)
    DateTime: Final[type[datetime.datetime]] = stdlib_type(datetime.datetime)


PLAIN: Final[frozenset[type]] = frozenset({type(None), bool, int, float, str, bytes})
"""The types that msgpack has itself."""

FACTORIES: Final[dict[str, Callable[[], object]]] = {
    kind.__name__: kind
    for kind in (bool, bytes, complex, dict, float, frozenset, int, list, set, str, tuple, Counter, OrderedDict, deque)
}
"""The factories that a defaultdict may have, by name."""

# Where a type is in them stands in bytes, so none is ever moved.
_PATHS: Final = (pathlib.PosixPath, pathlib.WindowsPath, pathlib.PurePosixPath, pathlib.PureWindowsPath)
_ADDRESSES: Final = tuple(
    getattr(ipaddress, f"IPv{version}{part}") for version in (4, 6) for part in ("Address", "Network", "Interface")
)
_UTC = datetime.UTC
_MICROSECOND = datetime.timedelta(microseconds=1)
_ZONE_KEY = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")  # without dots, it names nothing outside the zones
_MOST_FRACTION_BITS = 1 << 16  # reducing a fraction takes time with the square of its length

_Zone = str | tuple[int, str | None]  # the key of a ZoneInfo | microseconds from UTC, name
_encode = Encoder().encode
_decode_clock = Decoder(tuple[str, int, _Zone | None]).decode
_decode_zone = Decoder(_Zone).decode
_decode_timedelta = Decoder(tuple[int, int, int]).decode
_decode_fraction = Decoder(tuple[bytes, bytes]).decode
_COMPLEX = struct.Struct(">dd")


def _write_int(value: int) -> object:
    if -(1 << 63) <= value < 1 << 64:
        return value
    return Ext(Code.BIG_INTEGER, _int_bytes(value))


def _int_bytes(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _read_int(data: memoryview | bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _write_str(value: str) -> object:
    data = value.encode("utf-8", "surrogatepass")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return Ext(Code.TEXT, data)
    return value


def _text_writers(code: int, kinds: tuple[type, ...]) -> Writers:
    """Return the writers of *kinds* whose values are known by their text."""

    def write(value: object) -> Ext:
        text = str(value).encode("utf-8", "surrogatepass")
        return Ext(code, bytes((kinds.index(type(value)),)) + text)

    return dict.fromkeys(kinds, write)


def _text_reader(kinds: tuple[Any, ...]) -> Callable[[memoryview], object]:
    return lambda data: kinds[data[0]](str(data[1:], "utf-8", "surrogatepass"))


def _write_fraction(value: Fraction) -> Ext:
    parts = value.numerator, value.denominator
    if max(part.bit_length() for part in parts) > _MOST_FRACTION_BITS:
        raise NoByteForm(Fraction, f"is longer than {_MOST_FRACTION_BITS} bits", "return its parts as ints")
    return Ext(Code.FRACTION, _encode([_int_bytes(part) for part in parts]))


def _read_fraction(data: memoryview) -> Fraction:
    parts = _decode_fraction(data)
    if max(map(len, parts)) * 8 > _MOST_FRACTION_BITS + 8:
        raise ValueError("too long")
    return Fraction(*map(_read_int, parts))


def _write_time(value: datetime.time) -> Ext:
    text = value.replace(tzinfo=None).isoformat()
    return Ext(Code.TIME, _encode([text, value.fold, _zone_parts(value.tzinfo)]))


def _read_time(data: memoryview) -> datetime.time:
    text, fold, parts = _decode_clock(data)
    return _Real.Time.fromisoformat(text).replace(tzinfo=_make_zone(parts), fold=fold)


def _write_datetime(value: datetime.datetime) -> object:
    if value.tzinfo is None and not value.fold:
        return Ext(Code.DATETIME, value.isoformat().encode("ascii"))
    if value.tzinfo is _UTC and not value.fold and type(value) is _Real.DateTime:
        return value  # msgpack's own timestamp says this exactly, and is read without Python
    text = value.replace(tzinfo=None).isoformat()
    return Ext(Code.MOMENT, _encode([text, value.fold, _zone_parts(value.tzinfo)]))


def _read_moment(data: memoryview) -> datetime.datetime:
    text, fold, parts = _decode_clock(data)
    return _Real.DateTime.fromisoformat(text).replace(tzinfo=_make_zone(parts), fold=fold)


def _zone_parts(zone: datetime.tzinfo | None) -> _Zone | None:
    if zone is None:
        return None
    if type(zone) is datetime.timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]  # what pickle asks it for
        return offset // _MICROSECOND, name[0] if name else None
    if type(zone) is ZoneInfo and (key := zone_key(zone)) and _ZONE_KEY.fullmatch(key):
        return key
    raise NoByteForm(type(zone), "is a time zone without a form as bytes", "use datetime.timezone or ZoneInfo(key)")


def _make_zone(parts: _Zone | None) -> datetime.tzinfo | None:
    if parts is None:
        return None
    if isinstance(parts, str):
        if not _ZONE_KEY.fullmatch(parts):
            raise ValueError("not the key of a zone")
        return ZoneInfo(parts)
    offset, name = parts
    distance = offset * _MICROSECOND
    return datetime.timezone(distance) if name is None else datetime.timezone(distance, name)


def unfrozen_type(kind: type) -> type:
    """Return the type that *kind* stands in for while time is frozen; else *kind* itself."""
    if kind.__module__ != "freezegun.api":
        return kind
    return next((real for real in (_Real.DateTime, _Real.Date) if issubclass(kind, real)), kind)


WRITERS: Final[Writers] = {
    bytearray: lambda value: Ext(Code.BYTEARRAY, bytes(value)),
    complex: lambda value: Ext(Code.COMPLEX, _COMPLEX.pack(value.real, value.imag)),
    Decimal: lambda value: Ext(Code.DECIMAL, str(value).encode("ascii")),
    Fraction: _write_fraction,
    UUID: lambda value: Ext(Code.UUID, value.bytes),
    _Real.Date: lambda value: Ext(Code.DATE, value.isoformat().encode("ascii")),
    _Real.Time: _write_time,
    _Real.DateTime: _write_datetime,
    datetime.timedelta: lambda value: Ext(Code.TIMEDELTA, _encode([value.days, value.seconds, value.microseconds])),
    datetime.timezone: lambda value: Ext(Code.ZONE, _encode(_zone_parts(value))),
    ZoneInfo: lambda value: Ext(Code.ZONE, _encode(_zone_parts(value))),
    **_text_writers(Code.PATH, _PATHS),
    **_text_writers(Code.ADDRESS, _ADDRESSES),
}

# msgspec takes nearly every int and str as it is; looking at each of them is for values where it would not.
CAREFUL_WRITERS: Final[Writers] = WRITERS | {int: _write_int, str: _write_str}

KEPT: Final = PLAIN | WRITERS.keys() | {list, dict, tuple, set, frozenset, Counter, OrderedDict, defaultdict, deque}
"""The types whose values are written without a question."""

READERS: Final[Readers] = {
    Code.BYTEARRAY: bytearray,
    Code.TEXT: lambda data: str(data, "utf-8", "surrogatepass"),
    Code.BIG_INTEGER: _read_int,
    Code.COMPLEX: lambda data: complex(*_COMPLEX.unpack(data)),
    Code.DECIMAL: lambda data: Decimal(str(data, "ascii")),
    Code.FRACTION: _read_fraction,
    Code.UUID: lambda data: UUID(bytes=bytes(data)),
    Code.DATE: lambda data: _Real.Date.fromisoformat(str(data, "ascii")),
    Code.TIME: _read_time,
    Code.DATETIME: lambda data: _Real.DateTime.fromisoformat(str(data, "ascii")),
    Code.MOMENT: _read_moment,
    Code.TIMEDELTA: lambda data: datetime.timedelta(*_decode_timedelta(data)),
    Code.ZONE: lambda data: _make_zone(_decode_zone(data)),
    Code.PATH: _text_reader(_PATHS),
    Code.ADDRESS: _text_reader(_ADDRESSES),
}
