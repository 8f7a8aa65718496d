"""Values without parts that msgpack cannot say exactly: each as an Ext, and back."""

import datetime
import re
import struct
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec.msgpack import Decoder, Encoder, Ext

from memocache.serializers import _tags
from memocache.serializers._refusal import Refused

__all__ = ["CAREFUL_WRITERS", "READERS", "WRITERS", "Readers", "Writers", "stand_in"]

Writers = dict[type, Callable[[Any], object]]
Readers = dict[int, Callable[[memoryview], object]]


def _true_type(kind: type[Any]) -> Any:
    # Imported under freezegun, datetime.datetime is a fake, and so it is for every later look at the module.
    return next(base for base in kind.__mro__ if base.__module__ == "datetime")


class _Real:
    """The types of the datetime module, where freezegun does not replace them."""

    day: Final[type[datetime.date]] = _true_type(datetime.date)
    clock: Final[type[datetime.time]] = _true_type(datetime.time)
    moment: Final[type[datetime.datetime]] = _true_type(datetime.datetime)


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
    return Ext(_tags.BIG_INTEGER, _int_bytes(value))


def _int_bytes(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _read_int(data: memoryview | bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _write_str(value: str) -> object:
    data = value.encode("utf-8", "surrogatepass")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return Ext(_tags.TEXT, data)
    return value


def _read_str(data: memoryview) -> str:
    return str(data, "utf-8", "surrogatepass")


def _write_complex(value: complex) -> Ext:
    return Ext(_tags.COMPLEX, _COMPLEX.pack(value.real, value.imag))


def _read_complex(data: memoryview) -> complex:
    return complex(*_COMPLEX.unpack(data))


def _write_decimal(value: Decimal) -> Ext:
    return Ext(_tags.DECIMAL, str(value).encode("ascii"))


def _read_decimal(data: memoryview) -> Decimal:
    return Decimal(str(data, "ascii"))


def _write_fraction(value: Fraction) -> Ext:
    parts = value.numerator, value.denominator
    if max(part.bit_length() for part in parts) > _MOST_FRACTION_BITS:
        raise Refused(Fraction, f"is longer than {_MOST_FRACTION_BITS} bits", "return its parts as ints")
    return Ext(_tags.FRACTION, _encode([_int_bytes(part) for part in parts]))


def _read_fraction(data: memoryview) -> Fraction:
    parts = _decode_fraction(data)
    if max(map(len, parts)) * 8 > _MOST_FRACTION_BITS + 8:
        raise ValueError("too long")
    return Fraction(*map(_read_int, parts))


def _write_uuid(value: UUID) -> Ext:
    return Ext(_tags.UUID, value.bytes)


def _read_uuid(data: memoryview) -> UUID:
    return UUID(bytes=bytes(data))


def _write_date(value: datetime.date) -> Ext:
    return Ext(_tags.DATE, value.isoformat().encode("ascii"))


def _read_date(data: memoryview) -> datetime.date:
    return _Real.day.fromisoformat(str(data, "ascii"))


def _write_timedelta(value: datetime.timedelta) -> Ext:
    return Ext(_tags.TIMEDELTA, _encode([value.days, value.seconds, value.microseconds]))


def _read_timedelta(data: memoryview) -> datetime.timedelta:
    return datetime.timedelta(*_decode_timedelta(data))


def _write_time(value: datetime.time) -> Ext:
    text = value.replace(tzinfo=None).isoformat()
    return Ext(_tags.TIME, _encode([text, value.fold, _zone_form(value.tzinfo)]))


def _read_time(data: memoryview) -> datetime.time:
    text, fold, form = _decode_clock(data)
    return _Real.clock.fromisoformat(text).replace(tzinfo=_zone(form), fold=fold)


def _write_datetime(value: datetime.datetime) -> object:
    if value.tzinfo is None and not value.fold:
        return Ext(_tags.DATETIME, value.isoformat().encode("ascii"))
    if value.tzinfo is _UTC and not value.fold and type(value) is _Real.moment:
        return value  # msgpack's own timestamp says this exactly, and is read without Python
    text = value.replace(tzinfo=None).isoformat()
    return Ext(_tags.MOMENT, _encode([text, value.fold, _zone_form(value.tzinfo)]))


def _read_datetime(data: memoryview) -> datetime.datetime:
    return _Real.moment.fromisoformat(str(data, "ascii"))


def _read_moment(data: memoryview) -> datetime.datetime:
    text, fold, form = _decode_clock(data)
    return _Real.moment.fromisoformat(text).replace(tzinfo=_zone(form), fold=fold)


def _write_zone(value: datetime.tzinfo) -> Ext:
    return Ext(_tags.ZONE, _encode(_zone_form(value)))


def _read_zone(data: memoryview) -> datetime.tzinfo | None:
    return _zone(_decode_zone(data))


def _zone_form(zone: datetime.tzinfo | None) -> _Zone | None:
    if zone is None:
        return None
    if type(zone) is datetime.timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]  # what pickle asks it for
        return offset // _MICROSECOND, name[0] if name else None
    if type(zone) is ZoneInfo and zone.key is not None and _ZONE_KEY.fullmatch(zone.key):
        return zone.key
    raise Refused(type(zone), "is a time zone without a form as bytes", "use datetime.timezone or ZoneInfo(key)")


def _zone(form: _Zone | None) -> datetime.tzinfo | None:
    if form is None:
        return None
    if isinstance(form, str):
        if not _ZONE_KEY.fullmatch(form):
            raise ValueError("not the key of a zone")
        return ZoneInfo(form)
    offset, name = form
    distance = offset * _MICROSECOND
    return datetime.timezone(distance) if name is None else datetime.timezone(distance, name)


def stand_in(kind: type) -> type:
    """Return the type that *kind* stands in for while time is frozen; else *kind* itself."""
    if kind.__module__ != "freezegun.api":
        return kind
    return next((real for real in (_Real.moment, _Real.day) if issubclass(kind, real)), kind)


WRITERS: Final[Writers] = {
    bytearray: lambda value: Ext(_tags.BYTEARRAY, bytes(value)),
    complex: _write_complex,
    Decimal: _write_decimal,
    Fraction: _write_fraction,
    UUID: _write_uuid,
    _Real.day: _write_date,
    _Real.clock: _write_time,
    _Real.moment: _write_datetime,
    datetime.timedelta: _write_timedelta,
    datetime.timezone: _write_zone,
    ZoneInfo: _write_zone,
}

# msgspec takes nearly every int and str as it is; looking at each of them is for values where it would not.
CAREFUL_WRITERS: Final[Writers] = WRITERS | {int: _write_int, str: _write_str}

READERS: Final[Readers] = {
    _tags.BYTEARRAY: bytearray,
    _tags.TEXT: _read_str,
    _tags.BIG_INTEGER: _read_int,
    _tags.COMPLEX: _read_complex,
    _tags.DECIMAL: _read_decimal,
    _tags.FRACTION: _read_fraction,
    _tags.UUID: _read_uuid,
    _tags.DATE: _read_date,
    _tags.TIME: _read_time,
    _tags.DATETIME: _read_datetime,
    _tags.MOMENT: _read_moment,
    _tags.TIMEDELTA: _read_timedelta,
    _tags.ZONE: _read_zone,
}
