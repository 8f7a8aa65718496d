"""Types, and values that must all have different bytes."""

import dataclasses
import datetime as dt
import enum
import functools
import importlib.resources
import math
import operator
import re
import types
import unittest.mock
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from memocache import UnkeyableArgument
from memocache._canonical import encode
from tests.support import refusals
from tests.unit.canonical.stored_calls import (
    NAN,
    NOON,
    PARIS,
    Access,
    Box,
    Frozen,
    Keyed,
    MarkedPoint,
    OpenRecord,
    Pair,
    Point,
    Record,
    Undecorated,
    decorated,
    function,
    zone,
)


class Colour(enum.Enum):
    RED = 1
    GREEN = 2
    CRIMSON = 1  # noqa: PIE796  # a second name for the same member


class Fruit(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Place(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass
class Couple:
    x: Any
    y: Any = None


@dataclasses.dataclass
class Lazily:
    x: int

    @functools.cached_property
    def double(self) -> int:
        return 2 * self.x


@dataclasses.dataclass
class Bag(dict):
    x: int


class SlottedToo(Frozen):
    __slots__ = ("secret",)


class KeyedToo(Keyed):
    def method(self) -> None: ...


class ByInstance:
    def __init__(self, key: Any) -> None:
        self.__cache_key__ = key


class Text(str):
    pass


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<User {self.name}>"

    def method(self) -> None: ...


def zone_from_file(name: str, key: str) -> ZoneInfo:
    """The rules of the time zone of this *name*, made from a file, as those of *key*."""
    with importlib.resources.files("tzdata").joinpath("zoneinfo", name).open("rb") as file:
        return ZoneInfo.from_file(file, key=key)


BERLIN = ZoneInfo("Europe/Berlin")


def make_local() -> tuple[Any, Any, Any]:
    class Local:
        def __cache_key__(self) -> int:
            return 1

    @dataclasses.dataclass
    class LocalPair:
        x: int

    def local() -> None: ...

    return Local, LocalPair, local


Local, LocalPair, local = make_local()

DISTINCT: list[Any] = [
    *(None, "None", "", b"", b"None", (), [], {}, set(), frozenset(), "()", bytearray()),
    *(0, 1, -1, "0", "1", b"1", True, False, "True", 0.0, -0.0, 1.0, 1j, complex(1, 0), complex(0.0, -0.0)),
    *(bytearray(b"1"), 2**64, -(2**64), 10**5000, 10**5000 + 1, "\ud800", "\ud801", "?", "\ufffd", "\x00"),
    *(NAN, math.inf, -math.inf, "nan", Decimal("NaN"), Decimal("sNaN"), Decimal("NaN1"), Decimal("Infinity")),
    *(complex(NAN, 0), complex(0, NAN)),
    *(Decimal(1), Decimal("1.0"), Decimal("1.00"), Decimal("-0"), Decimal("0"), Decimal("1E+2"), Decimal(100)),
    *(Fraction(1), Fraction(1, 2), Fraction(1, 12), Fraction(11, 2)),
    *((1,), (True,), (1.0,), ("1",), [1], [True], {1}, frozenset({1}), {True}, {1: 1}, {True: 1}, {1: True}),
    *((1, 2), (True, 2), (1, (2,)), ((1,), 2), ((1, 2),), ((1,),), ((True,),), (((1,),),), [(1,), 2], (12,)),
    *(("a b", "c"), ("a", "b c"), ("a b c",), ("ab", "c"), ("a", "bc"), ("a", "b", "c"), "a b c", ("a:b", "c")),
    *((b"a", b"bc"), (b"ab", b"c"), ("str1:a",), ("a", ""), ("", "a"), ("a",), (None,), ((),), ((), ())),
    *({"a": 1, "b": 2}, {"a": 2, "b": 1}, {"a": {"b": 2}}, [("a", 1), ("b", 2)], {"a": "b"}, {"ab": ""}),
    *({frozenset({1}), 2}, {frozenset({1, 2})}, {"a": {"b": 1}, "c": 2}, {"a": {"b": 1, "c": 2}}),
    *({"a", "b"}, {"ab"}, {("a", "b")}, frozenset({frozenset()}), {frozenset()}),
    *(OrderedDict(a=1, b=2), OrderedDict(b=2, a=1), Counter(a=1, b=2), Counter(a=1), Counter(a=1, b=0)),
    *(defaultdict(int, a=1), defaultdict(list, a=1), defaultdict(None, a=1), {"a": 1}),
    *(types.MappingProxyType({"a": 1}), types.MappingProxyType(OrderedDict(a=1, b=2))),
    *(deque([1]), deque([1], maxlen=2), deque([1], 3)),
    *(range(0), range(1), range(2, 1), range(0, 3, 2), range(0, 4, 2), slice(1), slice(0, 1), slice(None, 1, 1)),
    ...,
    *(Colour.RED, Colour.GREEN, Fruit.RED, Level.LOW, Access.READ, Access.WRITE, Access.READ | Access.WRITE),
    *(Access(0), "RED"),
    *(UUID(int=1), UUID(int=2), str(UUID(int=1)), UUID(int=1).bytes),
    *(NOON.date(), NOON, NOON.time(), str(NOON), NOON.replace(fold=1), NOON.time().replace(fold=1)),
    *(NOON.replace(microsecond=1), NOON.replace(second=1), dt.date(2024, 1, 6), dt.datetime(2024, 6, 1)),
    *(NOON.replace(tzinfo=dt.UTC), NOON.replace(tzinfo=zone(0, "GMT")), NOON.replace(tzinfo=ZoneInfo("UTC"))),
    *(NOON.replace(tzinfo=dt.UTC).astimezone(PARIS), NOON.replace(tzinfo=dt.UTC).astimezone(BERLIN)),
    *(NOON.replace(tzinfo=zone(2)), NOON.replace(tzinfo=zone(-2)), NOON.time().replace(tzinfo=dt.UTC)),
    *(dt.timedelta(0), dt.timedelta(1), dt.timedelta(seconds=1), dt.timedelta(microseconds=1), dt.timedelta(-1)),
    *(dt.UTC, zone(1), zone(1, "x"), PARIS, BERLIN, "Europe/Paris"),
    *(PurePosixPath("a"), PureWindowsPath("a"), PureWindowsPath("A"), Path("a"), Path("a/b"), Path("/a"), "a"),
    *(ip_address("127.0.0.1"), ip_address("::1"), ip_address("::7f00:1"), ip_address("fe80::1%eth0"), "127.0.0.1"),
    *(ip_network("127.0.0.1"), ip_interface("127.0.0.1"), ip_network("::/64"), ip_network("::/65")),
    *(ip_interface("::1/64"), ip_interface("::1")),
    *(re.compile("a"), re.compile("a", re.I), re.compile(b"a"), re.compile("a|b")),
    *(Point(1, 2), Place(1, 2), Point(2, 1), Point(True, 2), MarkedPoint(1, 2), Pair(1, 2), Couple(1, 2)),
    *(Pair(2, 1), Pair(1), Pair("1", 2), Frozen(1), Frozen(True), Lazily(1), Box(1), {"x": 1, "y": 2}),
    *(Undecorated(1, 2), Undecorated(1, 3), Record(1), Record("1"), OpenRecord(1)),
    *(Keyed(1), KeyedToo(1), Keyed("1"), Keyed((1,)), Keyed(None), Keyed(Keyed(1))),
    *(int, bool, str, Keyed, KeyedToo, Colour, Point, Record, type, "builtins.int"),
    *(function, decorated, len, max, math.sin, math.cos, operator.add, str.lower, str.upper, dict.fromkeys),
    *(dt.datetime.now, dt.datetime.today, Keyed.method, KeyedToo.method, Keyed(1).method, Keyed(2).method),
    *(KeyedToo(1).method, [].append, [].extend, [1].append, Named.method, unittest.mock.Mock),
]


def distinct_from_each_other(values: list[Any], encoded: Callable[[Any], bytes] = encode) -> None:
    places: dict[bytes, int] = {}
    for place, value in enumerate(values):
        other = places.setdefault(encoded(value), place)
        assert other == place, f"{value!r} and {values[other]!r} are taken for the same"


refusal = functools.partial(refusals.refusal, kind=UnkeyableArgument)


def refused_with(values: list[tuple[Any, str]]) -> None:
    for value, message in values:
        with pytest.raises(UnkeyableArgument, match=message):
            encode(value)
