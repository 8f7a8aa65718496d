import collections
import copy
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import io
import itertools
import math
import operator
import random
import re
import struct
import subprocess
import sys
import textwrap
import types
import unittest.mock
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from freezegun import freeze_time
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import memocache._canonical
from memocache._canonical import encode, module_name, qualified_name
from memocache.errors import UnkeyableArgument

ROOT = Path(memocache._canonical.__file__).parents[1]
NAN = float("nan")


class Colour(enum.Enum):
    RED = 1
    GREEN = 2
    CRIMSON = 1  # noqa: PIE796  # a second name for the same member


class Fruit(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Point(NamedTuple):
    x: Any
    y: Any


class Place(NamedTuple):
    x: Any
    y: Any


class MarkedPoint(Point):
    pass


@dataclasses.dataclass
class Pair:
    x: Any
    y: Any = None


@dataclasses.dataclass
class Couple:
    x: Any
    y: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: Any


@dataclasses.dataclass
class Lazily:
    x: int

    @cached_property
    def double(self) -> int:
        return 2 * self.x


T = TypeVar("T")


@dataclasses.dataclass
class Box(Generic[T]):
    x: T


@dataclasses.dataclass
class Bag(dict):
    x: int


class Undecorated(Pair):
    def __init__(self, x: Any, secret: Any) -> None:
        super().__init__(x)
        self.secret = secret


class SlottedToo(Frozen):
    __slots__ = ("secret",)


class Record(msgspec.Struct):
    x: Any


class OpenRecord(msgspec.Struct, dict=True):
    x: Any


class Keyed:
    def __init__(self, key: Any) -> None:
        self.key = key

    def __cache_key__(self) -> Any:
        return self.key

    def method(self) -> None: ...


class KeyedToo(Keyed):
    def method(self) -> None: ...


class Text(str):
    pass


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"<User {self.name}>"

    def method(self) -> None: ...


def function() -> None: ...


@functools.lru_cache
def decorated() -> None: ...


def zone(hours: int, name: str | None = None) -> dt.timezone:
    offset = dt.timedelta(hours=hours)
    return dt.timezone(offset, name) if name else dt.timezone(offset)


PARIS, BERLIN = ZoneInfo("Europe/Paris"), ZoneInfo("Europe/Berlin")
NOON = dt.datetime(2024, 6, 1, 12)

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


def distinct_from_each_other(values: list[Any]) -> None:
    places: dict[bytes, int] = {}
    for place, value in enumerate(values):
        other = places.setdefault(encode(value), place)
        assert other == place, f"{value!r} and {values[other]!r} are taken for the same"


def test_different_values_have_different_bytes() -> None:
    assert len(DISTINCT) > 60
    distinct_from_each_other(DISTINCT)
    distinct_from_each_other([(value,) for value in DISTINCT])
    distinct_from_each_other([{"k": value} for value in DISTINCT])


@pytest.mark.parametrize("value", DISTINCT, ids=lambda value: f"{type(value).__name__}")
def test_a_value_and_its_copy_have_the_same_bytes(value: Any) -> None:
    try:
        copied = copy.deepcopy(value)
    except TypeError:  # a view on a dict cannot be copied
        copied = types.MappingProxyType(value.copy())
    assert encode(copied) == encode(value) == encode(value)


def test_the_bytes_are_pinned() -> None:
    # They must not change by accident: keys in shared caches are made of them. If they have to, so has keys.SCHEME.
    assert encode((7, "a b", None, True, -1.5, b"x")) == (
        b"tuple64:int1:7str3:a bNone0:bool1:1float21:-0x1.8000000000000p+0bytes1:x"
    )
    assert encode({"b": [1], "a": {2, 1}}) == b"dict42:str1:aset12:int1:1int1:2str1:blist6:int1:1"
    assert encode(Point(1, Keyed(2))) == (
        b"object115:str26:tests.test_canonical.Pointstr1:xint1:1str1:y"
        b"keyed57:str26:tests.test_canonical.Keyedstr13:__cache_key__int1:2"
    )
    assert encode(Colour.CRIMSON).endswith(b"str4:namestr3:RED")
    assert encode(Access.READ | Access.WRITE).endswith(b"str5:valueint1:3")


FRAME = re.compile(rb"[A-Za-z0-9_]*[A-Za-z_]([0-9]+):")


@pytest.mark.parametrize("value", DISTINCT, ids=lambda value: f"{type(value).__name__}")
def test_encodings_may_be_joined_without_a_separator(value: Any) -> None:
    whole = encode(value)
    head = FRAME.match(whole + encode("rest"))
    assert head is not None
    assert head.end() + int(head[1]) == len(whole)


same_content: list[tuple[str, Any, Any]] = [
    ("order of a dict", {"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ("order of a set", {8, 0}, {0, 8}),
    ("order of a frozenset", frozenset([8, 0]), frozenset([0, 8])),
    ("order of a Counter", Counter("ab"), Counter("ba")),
    ("order of a defaultdict", defaultdict(int, a=1, b=2), defaultdict(int, b=2, a=1)),
    ("every NaN is one", NAN, -NAN),
    ("NaN inside", [(NAN,)], [(float("inf") - float("inf"),)]),
    ("two NaN in a set", {float("nan"), float("nan"), 1}, {1, float("nan"), float("nan")}),
    ("a name for an enum's member", Colour.RED, Colour.CRIMSON),
    ("a generic's spelling", Box(1), Box[int](1)),
    ("a zone from another cache", PARIS, ZoneInfo.no_cache("Europe/Paris")),
    ("a pattern's cache", re.compile("abc"), re.compile("a" + "bc")),
    ("bound anew", Keyed(1).method, Keyed(1).method),
]


@pytest.mark.parametrize(("one", "other"), [pytest.param(*row[1:], id=row[0]) for row in same_content])
def test_the_same_content_has_the_same_bytes(one: Any, other: Any) -> None:
    assert encode(one) == encode(other)
    assert encode([{"k": one}]) == encode([{"k": other}])


# Equal bytes exactly for the same values, by an oracle of its own


def same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    if isinstance(a, complex):
        return same(a.real, b.real) and same(a.imag, b.imag)
    if isinstance(a, tuple | list | deque):
        return len(a) == len(b) and all(map(same, a, b)) and getattr(a, "maxlen", 0) == getattr(b, "maxlen", 0)
    if isinstance(a, OrderedDict):
        return same(list(a.items()), list(b.items()))
    if isinstance(a, dict):
        return same_in_any_order(list(a.items()), list(b.items()))
    if isinstance(a, set | frozenset):
        return same_in_any_order(list(a), list(b))
    if isinstance(a, Decimal):
        return a.as_tuple() == b.as_tuple()
    if isinstance(a, dt.datetime | dt.time):
        naive = {"tzinfo": None, "fold": 0}
        return a.replace(**naive) == b.replace(**naive) and a.fold == b.fold and same(a.tzinfo, b.tzinfo)
    if isinstance(a, dt.timezone):
        return a.utcoffset(None) == b.utcoffset(None) and a.tzname(None) == b.tzname(None)
    if isinstance(a, range):
        return (a.start, a.stop, a.step) == (b.start, b.stop, b.step)
    if isinstance(a, Pair | Couple):
        return same(a.x, b.x) and same(a.y, b.y)
    return bool(a == b)


def same_in_any_order(some: list[Any], others: list[Any]) -> bool:
    others = list(others)
    for one in some:
        place = next((place for place, other in enumerate(others) if same(one, other)), None)
        if place is None:
            return False
        del others[place]
    return not others


CONFUSING: list[Any] = [
    *(None, "None", "", b"", 0, 0.0, -0.0, 0j, False, "0", "False", 1, 1.0, True, "1", b"1", "a", b"a", "a b", "ab"),
    *(NAN, Decimal("NaN"), Decimal(1), Decimal("1.0"), Decimal("1.00"), Fraction(1), Colour.RED, Level.LOW, "RED"),
    *((), frozenset(), range(0), range(1, 0), "\ud800", "?", "int1:1", "str1:a", NOON, NOON.replace(fold=1), str(NOON)),
    *(NOON.replace(tzinfo=dt.UTC), NOON.replace(tzinfo=zone(0, "Z")), NOON.date(), dt.timedelta(0), UUID(int=1)),
]

letters = st.sampled_from("ab ?:1\x00\ud800\ud801") | st.characters(exclude_categories=())
texts = st.text(letters, max_size=5)
leaves = st.one_of(
    st.sampled_from(CONFUSING),
    st.sampled_from(CONFUSING),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    texts,
    st.binary(max_size=5),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.datetimes(timezones=st.sampled_from([None, dt.UTC, zone(1), PARIS, BERLIN])),
    st.timedeltas(),
    st.uuids(),
)
hashables = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple), st.frozensets(inner, max_size=3), st.builds(Point, inner, inner)
    ),
    max_leaves=4,
)
values = st.recursive(
    hashables,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.lists(texts, min_size=2, max_size=4),
        st.lists(texts, min_size=2, max_size=4).map(tuple),
        st.lists(inner, max_size=3).map(deque),
        st.dictionaries(hashables, inner, max_size=4),
        st.dictionaries(hashables, inner, max_size=3).map(OrderedDict),
        st.sets(hashables, max_size=4),
        st.builds(Pair, inner, inner),
    ),
    max_leaves=8,
)


def rebuilt(value: Any, rng: random.Random) -> Any:
    """The same value again, of new objects, sets and dicts filled in another order."""
    if type(value) is Point:
        return Point(*(rebuilt(item, rng) for item in value))
    if type(value) is Pair:
        return Pair(rebuilt(value.x, rng), rebuilt(value.y, rng))
    if type(value) in (tuple, list, deque, set, frozenset):
        items = [rebuilt(item, rng) for item in value]
        if type(value) in (set, frozenset):
            rng.shuffle(items)
        return type(value)(items)
    if type(value) in (dict, OrderedDict):
        pairs = [(rebuilt(key, rng), rebuilt(item, rng)) for key, item in value.items()]
        if type(value) is dict:
            rng.shuffle(pairs)
        return type(value)(pairs)
    if type(value) is float and math.isnan(value):
        return math.copysign(value, rng.choice([1, -1]))
    return value


def altered(value: Any, rng: random.Random) -> Any:
    """Something like *value*, a little different somewhere in it, most times."""
    if rng.random() < 0.5:
        if type(value) in (tuple, list) and value:
            place = rng.randrange(len(value))
            items = [*value[:place], altered(value[place], rng), *value[place + 1 :]]
            return type(value)(items)
        if type(value) in (dict, OrderedDict) and value:
            key = rng.choice(list(value))
            return type(value)((k, altered(v, rng) if k is key else v) for k, v in value.items())
        if type(value) is Point:
            return Point(value.x, altered(value.y, rng)) if hashable(value) else value
        if type(value) is Pair:
            return Pair(altered(value.x, rng), value.y)
    alterations = SPECIAL.get(type(value), ALTERATIONS) if rng.random() < 0.5 else ALTERATIONS
    return rng.choice(alterations)(value, rng)


def hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def converted(kind: Callable[[Any], Any]) -> Callable[[Any, random.Random], Any]:
    def convert(value: Any, rng: random.Random) -> Any:
        try:
            return kind(value)
        except (TypeError, ValueError, OverflowError, AttributeError, ArithmeticError):
            return value

    return convert


def moved_boundary(value: Any, rng: random.Random) -> Any:
    if type(value) in (tuple, list) and len(value) >= 2 and type(value[0]) is type(value[1]) is str:
        return type(value)([value[0] + value[1][:1], value[1][1:], *value[2:]])
    if type(value) in (tuple, list) and value:
        place = rng.randint(1, len(value))
        return type(value)([type(value)(value[:place]), *value[place:]])
    return value


def swallowed(value: Any, rng: random.Random) -> Any:
    """A text that ends with what its neighbour is encoded as, with and without the length, and no neighbour."""
    if type(value) in (tuple, list) and len(value) >= 2 and type(value[0]) is str:
        neighbour = encode(value[1]).decode("utf-8", "replace")
        if rng.random() < 0.5:
            neighbour = re.sub("^([a-z]+)[0-9]+:", r"\1:", neighbour)
        return type(value)([value[0] + neighbour, *value[2:]])
    return value


def reordered(value: Any, rng: random.Random) -> Any:
    if type(value) in (tuple, list, deque):
        return type(value)(rng.sample(list(value), len(value)))
    if type(value) in (dict, OrderedDict):
        return type(value)(rng.sample(list(value.items()), len(value)))
    return value


def exchanged(value: Any, rng: random.Random) -> Any:
    if type(value) in (dict, OrderedDict) and value and all(map(hashable, value.values())):
        return type(value)((item, key) for key, item in value.items())
    return Pair(value.y, value.x) if type(value) is Pair else value


ALTERATIONS: list[Callable[[Any, random.Random], Any]] = [
    *(converted(kind) for kind in (str, repr, int, float, bool, Decimal, list, tuple, set, frozenset, dict, deque)),
    converted(OrderedDict),
    converted(operator.neg),
    converted(lambda value: value[:-1]),
    converted(lambda value: value.encode()),
    converted(lambda value: value.replace(fold=1 - value.fold)),
    converted(lambda value: value.replace(tzinfo=dt.UTC)),
    converted(lambda value: Point(*value)),
    converted(lambda value: Pair(*value)),
    lambda value, rng: (value,),
    lambda value, rng: [value],
    lambda value, rng: rng.choice(CONFUSING),
    lambda value, rng: value,
    *(moved_boundary, swallowed, reordered, exchanged),
]
SPECIAL: dict[type, list[Callable[[Any, random.Random], Any]]] = {
    str: [converted(str.encode), converted(lambda value: value.encode("utf-8", "replace").decode())],
    float: [converted(operator.neg), converted(lambda value: math.nextafter(value, math.inf))],
    Decimal: [converted(Decimal.normalize), converted(lambda value: value.scaleb(1)), converted(Decimal.copy_negate)],
    tuple: [moved_boundary, swallowed],
    list: [moved_boundary, swallowed],
    dict: [reordered, exchanged],
    OrderedDict: [reordered, exchanged],
    Point: [converted(lambda value: Place(*value)), converted(tuple)],
    Pair: [converted(lambda value: Couple(value.x, value.y)), exchanged],
    Colour: [lambda value, rng: rng.choice([*Colour, *Fruit])],
    deque: [converted(lambda value: deque(value, len(value) + 1))],
    dt.datetime: [
        lambda value, rng: value.replace(tzinfo=rng.choice([None, dt.UTC, zone(1), zone(0, "Z"), PARIS, BERLIN])),
        lambda value, rng: value.replace(fold=1 - value.fold),
    ],
}


def test_the_bytes_are_the_same_exactly_where_the_values_are() -> None:
    seen: Counter[bool] = Counter()

    @settings(
        max_examples=800,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.tuples(leaves, leaves, st.lists(leaves, min_size=2, max_size=4), values), st.integers(0, 2**32))
    def check(originals: tuple[Any, ...], seed: int) -> None:
        rng = random.Random(seed)
        family = []
        for value in originals:
            again = rebuilt(value, rng)
            assert same(value, again)
            family += [value, again, *(altered(rng.choice([value, again]), rng) for _ in range(4))]
            family += [altered(altered(value, rng), rng) for _ in range(2)]
        encoded = [(value, encode(value)) for value in family]
        for (a, a_bytes), (b, b_bytes) in itertools.combinations(encoded, 2):
            alike = same(a, b)
            assert (a_bytes == b_bytes) is alike, (a, b)
            seen[alike] += 1

    check()
    assert seen[True] >= 15_000
    assert seen[False] >= 100_000


def big_value() -> Any:
    words = {f"word {number}" for number in range(300)}
    return {
        "set": words,
        "frozen": frozenset(words | {1, 2.5, None, (1, "a"), b"x", Colour.RED, Frozen(1)}),
        "dict": {word: {word, word.upper()} for word in words},
        "objects": [Pair(words, Keyed(words)), Record(words), Point(words, 1), len, int, Colour.GREEN],
        "times": {NOON, NOON.replace(tzinfo=PARIS), NOON.date(), dt.timedelta(1)},
        frozenset(words): defaultdict(list, dict.fromkeys(words, 1)),
    }


def run_python(*arguments: str, seed: str = "random") -> "subprocess.Popen[str]":
    environment = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen([sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, text=True)


def output_of(process: "subprocess.Popen[str]") -> list[str]:
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return output.split("\n")[:-1]


def test_every_process_makes_the_same_bytes_whatever_its_hash_seed() -> None:
    code = """
        from hashlib import sha256
        from memocache._canonical import encode
        from tests.test_canonical import DISTINCT, big_value
        print(list(big_value()["set"])[:5])
        print(sha256(encode(big_value())).hexdigest())
        print(sha256(b"".join(map(encode, DISTINCT))).hexdigest())
    """
    processes = [run_python("-c", textwrap.dedent(code), seed=seed) for seed in ("0", "1", "2", "3", "4294967295")]
    orders, nested, all_kinds = zip(*map(output_of, processes), strict=True)
    assert len(set(orders)) == 5  # else the seeds did not do their work
    assert len(set(nested)) == 1
    assert len(set(all_kinds)) == 1


# Nothing of the user's is called


class Hostile:
    armed = False

    def __init__(self, key: Any = 1) -> None:
        self.key = key

    def _refuse(self, *_: Any) -> Any:
        if Hostile.armed:
            raise AssertionError("a method of the user's was called")
        return 1

    __hash__ = __eq__ = __ne__ = __lt__ = __bool__ = __len__ = __iter__ = __contains__ = _refuse
    __repr__ = __str__ = __format__ = __bytes__ = __index__ = _refuse


class KeyedHostile(Hostile):
    def __cache_key__(self) -> Any:
        return self.key


@dataclasses.dataclass
class HostilePair(Pair):
    __hash__ = __eq__ = __repr__ = Hostile._refuse


class HostilePoint(Point):
    __hash__ = __eq__ = __repr__ = __iter__ = __len__ = __getitem__ = Hostile._refuse


class HostileType(type):
    __hash__ = __eq__ = __repr__ = Hostile._refuse


class OfHostileType(metaclass=HostileType):
    def __cache_key__(self) -> Any:
        return 1


@pytest.fixture
def _armed() -> Iterator[None]:
    yield
    Hostile.armed = False


@pytest.mark.usefixtures("_armed")
@pytest.mark.parametrize(
    "value",
    [
        KeyedHostile(),
        [KeyedHostile(), KeyedHostile(2)],
        {KeyedHostile(): 1},
        {KeyedHostile(), 2},
        frozenset({KeyedHostile()}),
        {1: KeyedHostile()},
        OrderedDict(k=KeyedHostile()),  # to walk over one, Python itself hashes the keys
        defaultdict(int, {KeyedHostile(): 1}),
        Counter({KeyedHostile(): 1}),
        types.MappingProxyType({KeyedHostile(): 1}),
        deque([KeyedHostile()]),
        HostilePair(1, KeyedHostile()),
        HostilePoint(1, KeyedHostile()),
        KeyedHostile(KeyedHostile()),
        KeyedHostile().__cache_key__,
        OfHostileType,
        OfHostileType(),
    ],
    ids=range(17),
)
def test_no_method_of_the_user_is_called(value: Any) -> None:
    before = encode(value)
    Hostile.armed = True
    assert encode(value) == before


@pytest.mark.usefixtures("_armed")
@pytest.mark.parametrize(
    "value", [Hostile(), [Hostile()], {Hostile(): 1}, {Hostile()}, {"a": Hostile()}, Pair(Hostile())]
)
def test_not_even_to_complain(value: Any) -> None:
    Hostile.armed = True
    with pytest.raises(UnkeyableArgument, match="a Hostile instance"):
        encode(value)


# __cache_key__


class ByAttribute:
    __cache_key__ = ("by", "attribute")


class ByProperty:
    @property
    def __cache_key__(self) -> Any:
        return ("by", "property")


class BySlot:
    __slots__ = ("__cache_key__",)


class ByInstance:
    def __init__(self, key: Any) -> None:
        self.__cache_key__ = key


class KeyedInt(int):
    def __cache_key__(self) -> Any:
        return int(self)


class KeyedColour(enum.Enum):
    RED = 1

    def __cache_key__(self) -> Any:
        return "always"


@dataclasses.dataclass
class KeyedPair:
    x: Any
    connection: Any

    def __cache_key__(self) -> Any:
        return self.x


class KeyedType(type):
    def __cache_key__(cls) -> Any:
        return cls.version


class OfKeyedType(metaclass=KeyedType):
    version = 1


class NoLongerKeyed(Keyed):
    __cache_key__ = None


class SaysYesToAll:
    def __getattr__(self, name: str) -> Any:
        return lambda: 1


def test_the_own_key_is_what_counts() -> None:
    assert encode(KeyedPair(1, object())) == encode(KeyedPair(1, object())) != encode(KeyedPair(2, None))
    assert encode(ByAttribute()) == encode(ByAttribute())
    assert encode(ByProperty()) != encode(ByAttribute())
    assert encode(ByInstance(1)) == encode(ByInstance(1)) == encode(ByInstance(lambda: 1)) != encode(ByInstance(2))
    assert encode(KeyedInt(1)) != encode(KeyedInt(2))
    assert encode(KeyedInt(1)) != encode(1)
    slotted = BySlot()
    slotted.__cache_key__ = 1
    assert encode(slotted) == encode(slotted)


def test_the_own_key_goes_before_every_other_form() -> None:
    assert b"always" in encode(KeyedColour.RED)


def test_a_class_is_keyed_by_its_name_and_its_own_key_by_its_metaclass() -> None:
    assert encode(Keyed) == b"class26:tests.test_canonical.Keyed"
    before = encode(OfKeyedType)
    OfKeyedType.version += 1
    assert encode(OfKeyedType) != before
    with pytest.raises(UnkeyableArgument, match=r"^an OfKeyedType instance has no stable form"):
        encode(OfKeyedType())


@pytest.mark.parametrize("error", [RuntimeError("boom"), UnkeyableArgument("boom"), RecursionError("boom")])
def test_an_error_of_the_own_key_comes_through_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        encode([Keyed(1), ByInstance(unittest.mock.Mock(side_effect=error))])
    assert caught.value is error


def test_an_own_key_that_is_missing_an_attribute_says_so() -> None:
    with pytest.raises(AttributeError):
        encode(BySlot())


def test_only_a_declared_own_key_counts() -> None:
    for value in (SaysYesToAll(), NoLongerKeyed(1), unittest.mock.Mock(), unittest.mock.MagicMock()):
        with pytest.raises(UnkeyableArgument):
            encode(value)


# Records


def test_a_record_is_all_that_it_holds() -> None:
    plain, more = Pair(1), Pair(1)
    more.extra = 2  # type: ignore[attr-defined]
    named, named_more = MarkedPoint(1, 2), MarkedPoint(1, 2)
    named_more.extra = 2  # type: ignore[attr-defined]
    struct, struct_more = OpenRecord(1), OpenRecord(1)
    struct_more.extra = 2  # type: ignore[attr-defined]
    slotted, slotted_more = SlottedToo(1), SlottedToo(1)
    object.__setattr__(slotted_more, "secret", 2)
    distinct_from_each_other(
        [plain, more, named, named_more, struct, struct_more, slotted, slotted_more, Pair(1, Pair(1))]
    )


def test_what_a_record_has_computed_of_itself_does_not_count() -> None:
    asked = Lazily(1)
    assert asked.double == 2
    assert encode(asked) == encode(Lazily(1))


def test_a_field_that_was_never_set_is_not_none() -> None:
    unset, none = Pair(1), Pair(1)
    del unset.x
    none.x = None
    distinct_from_each_other([unset, none, Pair(1)])


def test_a_decimal_does_not_depend_on_the_context() -> None:
    before = encode(Decimal("1E+5"))
    with decimal.localcontext() as context:
        context.capitals = 0
        context.prec = 1
        assert encode(Decimal("1E+5")) == before


def test_frozen_time_is_time() -> None:
    with freeze_time("2024-06-01 12:00"):
        now, today = dt.datetime.now(), dt.date.today()
        aware = dt.datetime.now(dt.UTC)
        assert (encode(now), encode(today)) == (encode(NOON), encode(NOON.date()))
    assert (encode(now), encode(today)) == (encode(NOON), encode(NOON.date()))
    assert encode(aware) == encode(NOON.replace(tzinfo=dt.UTC))


def test_it_may_be_imported_while_time_is_frozen() -> None:
    code = """
        import datetime, freezegun
        with freezegun.freeze_time("2024-06-01 12:00"):
            from memocache._canonical import encode
            now, today = datetime.datetime.now(), datetime.date.today()
        print(encode(now) == encode(datetime.datetime(2024, 6, 1, 12)))
        print(encode(today) == encode(datetime.date(2024, 6, 1)))
    """
    assert output_of(run_python("-c", textwrap.dedent(code))) == ["True", "True"]


# Size and depth


@pytest.mark.timeout(20)  # anything quadratic would take minutes
def test_large_values_take_linear_time() -> None:
    numbers = list(range(300_000))
    assert len(encode(numbers)) > 300_000
    assert len(encode({str(number): number for number in numbers})) > 300_000
    assert len(encode(set(numbers))) > 300_000
    assert len(encode(1 << 10_000_000)) > 2_500_000
    assert len(encode(["x" * 10_000_000] * 3)) > 30_000_000


def nested(wrap: Callable[[Any], Any], levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = wrap(value)
    return value


def called_deep(function: Callable[[], Any], frames: int) -> Any:
    return function() if frames <= 0 else called_deep(function, frames - 1)


def frames_now() -> int:
    frame, count = sys._getframe(), 0
    while frame is not None:
        frame, count = frame.f_back, count + 1
    return count


wraps: dict[str, tuple[int, Callable[[Any], Any]]] = {  # with the levels that each is
    "list": (1, lambda value: [value]),
    "tuple": (1, lambda value: (value,)),
    "dict": (1, lambda value: {"k": value}),
    "frozenset": (1, lambda value: frozenset({value})),
    "mappingproxy": (1, lambda value: types.MappingProxyType({"k": value})),
    "OrderedDict": (1, lambda value: OrderedDict(k=value)),
    "slice": (1, lambda value: slice(value)),
    "dataclass": (1, lambda value: Pair(value)),
    "namedtuple": (1, lambda value: Point(value, 1)),
    "struct": (1, lambda value: Record(value)),
    "own key": (1, lambda value: Keyed(value)),
    "own attribute": (1, lambda value: ByInstance(value)),
    "deque": (2, lambda value: deque([value])),
    "defaultdict": (2, lambda value: defaultdict(int, k=value)),
    "method": (2, lambda value: Keyed(value).method),
}


@pytest.mark.parametrize("sort", wraps)
def test_a_hundred_levels_and_no_more_however_deep_the_caller_is(sort: str) -> None:
    each, wrap = wraps[sort]
    fine, too_deep, far_too_deep = (nested(wrap, levels) for levels in (100 // each, 100 // each + 1, 1000))
    limit = sys.getrecursionlimit()
    assert limit >= 1000
    sys.setrecursionlimit(1000)
    try:
        down = 600 - frames_now()
        assert called_deep(lambda: encode(fine), down) == encode(fine)
        for value in (too_deep, far_too_deep):
            with pytest.raises(UnkeyableArgument, match=r"nested more than 100 levels deep: pass a flatter value$"):
                called_deep(lambda value=value: encode(value), down)
    finally:
        sys.setrecursionlimit(limit)


def cyclic() -> Iterator[Any]:
    a_list: list[Any] = [1]
    a_list.append(a_list)
    yield pytest.param(a_list, "a list contains itself", id="list")
    a_dict: dict[str, Any] = {}
    a_dict["a"] = [a_dict]
    yield pytest.param(a_dict, "a dict contains itself", id="dict")
    yield pytest.param({"users": (1, a_dict)}, "a dict, at ['users'][1], contains itself", id="inside")
    pair = Pair(1)
    pair.y = {"pair": (pair,)}
    yield pytest.param([pair], "a Pair, at [0], contains itself", id="dataclass")
    keyed = Keyed(1)
    keyed.key = keyed
    yield pytest.param(keyed, "a Keyed contains itself", id="own key")
    a_deque: deque[Any] = deque()
    a_deque.append(a_deque)
    yield pytest.param(a_deque, "a deque contains itself", id="deque")
    a_tuple: Any = ([],)
    a_tuple[0].append(a_tuple)
    yield pytest.param(a_tuple, "a tuple contains itself", id="tuple")


@pytest.mark.parametrize(("value", "message"), list(cyclic()))
def test_cycles_are_refused(value: Any, message: str) -> None:
    with pytest.raises(UnkeyableArgument) as caught:
        encode(value)
    assert str(caught.value) == f"{message}: pass a value without cycles"


def test_the_same_object_twice_is_no_cycle() -> None:
    twice = [1]
    assert encode([twice, twice]) == encode([[1], [1]])


# What is refused, and how


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
Misnamed = collections.namedtuple("NamedOtherwise", "x")
GIVE = "has no stable form: give Named a __cache_key__ method"
LOCAL = "is made inside a function, where no other process can name it; define it at the top of a module"
HERE = "make_local.<locals>"
ZONE_FILE = b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + struct.pack(">lbb", 0, 0, 0) + b"UTC\0"


class OwnZone(dt.tzinfo):
    def utcoffset(self, _: Any) -> dt.timedelta:
        return dt.timedelta(0)


refused: list[tuple[Any, str]] = [
    (Named("ann"), f"a Named instance {GIVE}"),
    ([1, Named("ann")], f"a Named instance, at [1], {GIVE}"),
    ({"users": [Pair(Named("ann"))]}, f"a Named instance, at ['users'][0].x, {GIVE}"),
    ({1: Named("ann")}, f"a Named instance, at [1], {GIVE}"),
    ({(1, "a"): Named("ann")}, f"a Named instance, at [a tuple], {GIVE}"),
    ({10**5000: Named("ann")}, f"a Named instance, at [an int], {GIVE}"),
    ({"a": 1, "b" * 100: Named("ann")}, f"a Named instance, at ['{'b' * 40}'], {GIVE}"),
    ({"a": 1, Named("ann"): 1}, f"a Named instance, at {{a key}}, {GIVE}"),
    ({(1, Named("ann")): 1}, f"a Named instance, at {{a key}}[1], {GIVE}"),
    (OrderedDict(a=1, b=Named("ann")), f"a Named instance, at ['b'], {GIVE}"),
    (defaultdict(int, a=Named("ann")), f"a Named instance, at .items['a'], {GIVE}"),
    ({Named("ann")}, f"a Named instance, at {{an item}}, {GIVE}"),
    (Point(1, Named("ann")), f"a Named instance, at .y, {GIVE}"),
    (Record([Named("ann")]), f"a Named instance, at .x[0], {GIVE}"),
    (slice(None, Named("ann")), f"a Named instance, at .stop, {GIVE}"),
    (Keyed([Named("ann")]), f"a Named instance, at .__cache_key__[0], {GIVE}"),
    (Named("ann").method, f"a Named instance, at .__self__, {GIVE}"),
    ([[[[[[[[[Named("ann")]]]]]]]]], f"a Named instance, at {'[0]' * 8}..., {GIVE}"),
    (
        [Text("a")],
        "a Text instance, at [0], has no stable form: its class may add to what a str is; "
        "pass a plain str or give Text a __cache_key__ method",
    ),
    (
        Bag(1),
        "a Bag instance has no stable form: its class may add to what a dict is; "
        "pass a plain dict or give Bag a __cache_key__ method",
    ),
    (lambda: 1, "a lambda has no stable form: pass a function that is defined in a module"),
    (
        defaultdict(lambda: 1),
        "a lambda, at .default_factory, has no stable form: pass a function that is defined in a module",
    ),
    (local, f"the function {HERE}.local has no stable form: it {LOCAL}"),
    (Local, f"the class {HERE}.Local has no stable form: it {LOCAL}"),
    (Local(), f"a Local instance has no stable form: its class {LOCAL}"),
    ([LocalPair(1)], f"a LocalPair instance, at [0], has no stable form: its class {LOCAL}"),
    (
        Misnamed(1),
        "a NamedOtherwise instance has no stable form: its class is not what is found as "
        "tests.test_canonical.NamedOtherwise; define it under that name in its module",
    ),
    (
        decorated.__wrapped__,
        "the function decorated has no stable form: it is not what is found as "
        "tests.test_canonical.decorated; define it under that name in its module",
    ),
    (math, "a module has no stable form: pass its name"),
    (iter([1]), "a list_iterator instance has no stable form: reading it would use it up; pass a tuple of its items"),
    (
        (n for n in [1]),
        "a generator instance has no stable form: reading it would use it up; pass a tuple of its items",
    ),
    (object(), "an object instance has no stable form: pass a value that stands for it"),
    (NotImplemented, "a NotImplementedType instance has no stable form: pass a value that stands for it"),
    (memoryview(b"a"), "a memoryview instance has no stable form: pass a value that stands for it"),
    (functools.partial(int, 1), "a partial instance has no stable form: pass a value that stands for it"),
    (
        NOON.replace(tzinfo=ZoneInfo.from_file(io.BytesIO(ZONE_FILE))),
        "a ZoneInfo without a key, at .tzinfo, has no stable form: make it by ZoneInfo(key)",
    ),
    (
        NOON.replace(tzinfo=OwnZone()),
        "an OwnZone instance, at .tzinfo, has no stable form: give OwnZone a __cache_key__ method",
    ),
]


@pytest.mark.parametrize(("value", "message"), refused)
def test_what_has_no_stable_form_is_refused_with_the_place_and_the_remedy(value: Any, message: str) -> None:
    with pytest.raises(UnkeyableArgument) as caught:
        encode(value)
    assert str(caught.value) == message
    assert caught.value.__suppress_context__


# Names


class WithClassMethod:
    @classmethod
    def made(cls) -> None: ...

    @staticmethod
    def helped() -> None: ...

    class Inner: ...


class HeirWithClassMethod(WithClassMethod): ...


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (function, "tests.test_canonical.function"),
        (Keyed, "tests.test_canonical.Keyed"),
        (Keyed.method, "tests.test_canonical.Keyed.method"),
        (decorated, "tests.test_canonical.decorated"),
        (int, "builtins.int"),
        (len, "builtins.len"),
        (OrderedDict, "collections.OrderedDict"),
        (WithClassMethod.made.__func__, "tests.test_canonical.WithClassMethod.made"),
        (WithClassMethod.helped, "tests.test_canonical.WithClassMethod.helped"),
        (WithClassMethod.Inner, "tests.test_canonical.WithClassMethod.Inner"),
    ],
)
def test_a_name_is_what_another_process_finds_it_by(thing: Any, name: str) -> None:
    assert qualified_name(thing) == name
    assert module_name(thing) == name.partition(".")[0] or name.startswith(module_name(thing) + ".")


def test_what_is_not_found_by_its_name_has_none() -> None:
    with pytest.raises(UnkeyableArgument, match=r"^a lambda has no stable form"):
        qualified_name(lambda: 1)
    with pytest.raises(UnkeyableArgument, match=r"^the function make_local.<locals>.local has no stable form"):
        qualified_name(local)
    with pytest.raises(UnkeyableArgument, match=r"is not what is found as tests.test_canonical.decorated"):
        qualified_name(decorated.__wrapped__)
    gone = types.FunctionType(function.__code__, {"__name__": "no.such.module"}, "gone")
    with pytest.raises(UnkeyableArgument, match=r"is not what is found as no\.such\.module\.function"):
        qualified_name(gone)


def test_a_class_method_is_its_class_and_its_function() -> None:
    distinct_from_each_other([WithClassMethod.made, HeirWithClassMethod.made, WithClassMethod.helped])


SCRIPT = """
    import multiprocessing
    from memocache._canonical import encode, module_name, qualified_name

    class User:
        __cache_key__ = 1

    def names():
        return [module_name(User), qualified_name(User), qualified_name(names), encode(User()).hex()]

    if __name__ == "__main__":
        print(*names())
        if {spawn}:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(*pool.apply(names))
"""


def test_a_script_has_the_name_that_it_is_imported_by(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    for place in ("tool.py", "package/tool.py"):
        (tmp_path / place).write_text(textwrap.dedent(SCRIPT.format(spawn=True)))
    prelude = f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; "
    as_script = run_python(str(tmp_path / "tool.py"))
    as_module = run_python("-c", prelude + "import tool; print(*tool.names())")
    run_as_module = run_python(
        "-c", prelude + "import runpy; runpy.run_module('package.tool', run_name='__main__', alter_sys=True)"
    )
    imported_module = run_python("-c", prelude + "import package.tool as tool; print(*tool.names())")
    without_a_file = run_python("-c", textwrap.dedent(SCRIPT.format(spawn=False)))
    expected = output_of(as_module)
    assert expected[0].startswith("tool tool.User tool.names ")
    assert output_of(as_script) == expected * 2  # the script itself, and its spawned child
    expected = output_of(imported_module)
    assert expected[0].startswith("package.tool package.tool.User package.tool.names ")
    assert output_of(run_as_module)[0] == expected[0]
    assert output_of(without_a_file)[0].startswith("__main__ __main__.User __main__.names ")


@pytest.mark.parametrize("module", [None, 5, [], "no.such.module"])
def test_a_class_of_nowhere_is_refused(module: Any) -> None:
    nowhere = type("", (), {"__module__": module})
    for value in (nowhere, nowhere()):
        with pytest.raises(UnkeyableArgument, match="has no stable form"):
            encode(value)


def test_what_has_no_module_counts_as_built_in() -> None:
    assert module_name(str.lower) == "builtins"
    assert module_name(types.SimpleNamespace(__module__=None)) == "builtins"


# numpy and pandas


def test_neither_numpy_nor_pandas_is_imported() -> None:
    code = """
        import sys
        from memocache._canonical import encode
        class Ndarray:
            __module__ = "numpy"
        try:
            encode([Ndarray()])
        except TypeError:
            print("refused", "numpy" in sys.modules or "pandas" in sys.modules)
    """
    assert output_of(run_python("-c", textwrap.dedent(code))) == ["refused False"]


def test_arrays_of_different_type_shape_or_content_differ() -> None:
    np = pytest.importorskip("numpy")
    base = np.arange(6)
    distinct_from_each_other(
        [
            *(base, base[::-1], base.reshape(2, 3), base.reshape(3, 2), base.reshape(1, 6), base.tolist()),
            *(base.astype(kind) for kind in ("i4", "u8", ">i8", "f4", "f8", "f2", "c8", "c16", "U1", "S1", "bool")),
            *(base.astype(kind) for kind in ("M8[s]", "M8[ns]", "m8[s]", "O")),
            *(np.array([]), np.array([], "f4"), np.array([[]]), np.zeros((0, 2)), np.array([0.0]), np.array([-0.0])),
            *(np.array(["a b", "c"]), np.array(["a", "b c"]), np.array(["a b", "c"], "U9"), np.array([b"a b", b"c"])),
            *(np.array([1, "a", None], object), np.array([True, "a", None], object), np.array([1, ["a"]], object)),
            *(np.array([NAN]), np.array([1.0]), np.array([math.inf]), np.array([complex(0, NAN)])),
            *(np.array([complex(NAN, 0)]), np.array(["NaT"], "M8[s]"), np.array(["NaT"], "M8[D]")),
            *(np.array(1), np.int64(1), np.int32(1), 1, np.float64(1), 1.0, np.float32(1), np.bool_(True), True),
            *(np.str_("a"), "a", np.bytes_(b"a"), b"a", np.datetime64("2024-01-01"), np.datetime64("2024-01-01", "s")),
            *(np.complex128(1), np.timedelta64(1, "s"), np.timedelta64(1, "m"), np.void(b"abc"), np.void(b"abd")),
            *(np.dtype("i4"), np.dtype(">i4"), np.dtype("f4"), np.int32, np.float32, np.add, np.sum, np.ndarray),
            *(np.zeros(2, [("a", "i4")]), np.zeros(2, [("b", "i4")]), np.zeros(2, [("a", "i8")])),
            *(np.zeros(2, [("a", "i4"), ("b", "i4")]), np.zeros(2, [("b", "i4"), ("a", "i4")])),
            *(np.zeros(2, [("a", "i4", (2,))]), np.zeros(2, [("a", "i4", (1, 2))])),
            np.array([(1, [2])], [("a", "i4"), ("b", "O")]),
        ]
    )


def test_arrays_of_the_same_content_are_the_same_however_they_lie_in_memory() -> None:
    np = pytest.importorskip("numpy")
    grid = np.arange(6.0).reshape(2, 3)
    big = np.zeros((4, 6))
    big[::2, ::2] = grid
    read_only = grid.copy()
    read_only.flags.writeable = False
    for alike in (grid.copy(), np.asfortranarray(grid), big[::2, ::2], read_only):
        assert encode(alike) == encode(grid)
    assert encode(np.array([1, "a"], object)) == encode(np.array([1, "x", "a", "x"], object)[::2])
    assert encode(np.array([1], np.longlong)) == encode(np.array([1], np.int64))
    negative = np.array([-NAN, 0.0])
    assert negative.tobytes() != np.array([NAN, 0.0]).tobytes()
    for kind in ("f8", "f4", "f2", ">f8", "c16", ">c8"):
        assert encode(negative.astype(kind)) == encode(np.array([NAN, 0.0]).astype(kind))
    assert encode(np.float64(-NAN)) == encode(np.float64(NAN))
    assert encode(np.array([complex(1, -NAN)])) == encode(np.array([complex(1, NAN)]))
    padded = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    rows = [np.frombuffer(filling * 32, padded).copy() for filling in (b"\x00", b"\xff")]
    for row in rows:
        row["a"], row["b"] = 1, 2
    assert rows[0].tobytes() != rows[1].tobytes()
    assert encode(rows[0]) == encode(rows[1])


def test_arrays_that_hold_more_than_their_bytes_are_refused() -> None:
    np = pytest.importorskip("numpy")
    OwnArray = type("OwnArray", (np.ndarray,), {})

    for value, message in [
        (np.ma.array([1], mask=[True]), "a MaskedArray instance has no stable form: pass a value"),
        (np.array([1]).view(np.recarray), "a recarray instance has no stable form"),
        (np.array([1]).view(OwnArray), "an OwnArray instance has no stable form: give OwnArray a __cache_key__"),
        (np.longdouble(1), "a longdouble instance has no stable form"),
        (np.array([1], "G"), "a ndarray instance has no stable form"),
        ([np.array([1, Named("ann")])], r"a Named instance, at \[0\].items\[1\], has no stable form"),
        (np.random.default_rng(), "a Generator instance has no stable form"),
    ]:
        with pytest.raises(UnkeyableArgument, match=message):
            encode(value)
    if hasattr(np.dtypes, "StringDType"):
        with pytest.raises(UnkeyableArgument, match="a ndarray instance has no stable form"):
            encode(np.array(["a"], np.dtypes.StringDType()))
    cyclic_array = np.array([None], object)
    cyclic_array[0] = cyclic_array
    with pytest.raises(UnkeyableArgument, match="a ndarray contains itself"):
        encode(cyclic_array)


def test_frames_of_different_type_labels_or_content_differ() -> None:
    pd = pytest.importorskip("pandas")
    numbers = pd.Series([1, 2])
    labelled = pd.Series([1, 2])
    labelled.attrs["unit"] = "m"
    stamp = pd.Timestamp(NOON)
    days = pd.date_range("2024-01-01", periods=2)
    distinct_from_each_other(
        [
            *(numbers, labelled, numbers.rename("a"), numbers.rename(1), numbers.to_frame(), numbers.array, [1, 2]),
            *(numbers.astype(kind) for kind in ("i4", "f8", "Int64", "Int32", "str", "string", "category", "object")),
            *(numbers[::-1], numbers.iloc[:1], numbers.set_axis([1, 0]), numbers.set_axis(["a", "b"])),
            *(numbers.set_axis(pd.Index([0, 1])), numbers.set_axis(pd.Index([0.0, 1.0])), numbers.to_numpy()),
            *(pd.Series([1, None]), pd.Series([1, None], dtype="Int64"), pd.Series([1, None], dtype="object")),
            *(pd.Series(["a", None], dtype="object"), pd.Series(["a", NAN], dtype="object")),
            *(pd.Series(["a b", "c"]), pd.Series(["a", "b c"]), pd.Series(days), pd.Series(days, dtype="M8[s]")),
            *(pd.Series(days.tz_localize("UTC")), pd.Series(days.tz_localize("Europe/Paris"))),
            *(
                pd.Series(["a"]).astype(pd.CategoricalDtype(kinds, ordered))
                for kinds in (["a", "b"], ["b", "a"], ["a"])
                for ordered in (True, False)
            ),
            *(pd.Series(pd.arrays.SparseArray([0, 1])), pd.Series(pd.interval_range(0, 2))),
            *(
                pd.DataFrame({"a": [1], "b": [2]}),
                pd.DataFrame({"b": [2], "a": [1]}),
                pd.DataFrame({"a": [2], "b": [1]}),
            ),
            *(pd.DataFrame({"a": [1.0], "b": [2]}), pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1]}, index=["x"])),
            *(pd.DataFrame([[1, 2]], columns=["a", "a"]), pd.DataFrame([[2, 1]], columns=["a", "a"]), pd.DataFrame()),
            *(pd.DataFrame({"a": [1]}).rename_axis("i"), pd.DataFrame({"a": [1]}).rename_axis(columns="i")),
            *(pd.Index([1, 2]), pd.Index([1, 2], name="a"), pd.Index(["1", "2"]), pd.RangeIndex(2), pd.RangeIndex(3)),
            *(days, days.tz_localize("UTC"), pd.DatetimeIndex(list(days)), pd.RangeIndex(10**12)),
            *(pd.MultiIndex.from_tuples([(1, "a")]), pd.MultiIndex.from_tuples([(1, "a")], names=["x", "y"])),
            pd.MultiIndex.from_tuples([(1, "a")], names=["y", "x"]),
            *(pd.MultiIndex.from_tuples([(1, "b")]), pd.MultiIndex.from_tuples([(1, "a"), (1, "b")])),
            *(
                stamp.replace(fold=1),
                stamp,
                NOON,
                stamp.tz_localize("UTC"),
                stamp.tz_localize("Europe/Paris"),
                stamp + pd.Timedelta(1, "ns"),
            ),
            *(pd.Timedelta(1, "ns"), pd.Timedelta(1, "s"), dt.timedelta(seconds=1), pd.NaT, pd.NA, None, NAN),
            *(pd.Period("2024"), pd.Period("2024-01"), pd.Interval(0, 1), pd.Interval(0, 1, closed="both")),
        ]
    )


def test_frames_of_the_same_content_are_the_same() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"], "c": [1.0, NAN, 3.0]})
    assert encode(frame) == encode(frame.copy())
    assert encode(frame) == encode(pd.concat([frame[["a", "b"]], frame["c"]], axis=1))  # other blocks
    assert encode(frame[["a"]]) == encode(frame[["a", "b"]][["a"]])
    assert encode(frame["a"]) == encode(frame["a"].copy())
    levels = pd.MultiIndex.from_tuples([(1, "a"), (2, "b")])
    assert encode(levels[:1]) == encode(levels[:1].remove_unused_levels())


def test_frames_that_hold_something_without_a_form_are_refused() -> None:
    pd = pytest.importorskip("pandas")

    class OwnFrame(pd.DataFrame):
        pass

    for value, message in [
        (OwnFrame({"a": [1]}), "an OwnFrame instance has no stable form: give OwnFrame a __cache_key__ method"),
        (pd.Series([Named("ann")]), r"a Named instance, at .data.items\[0\], has no stable form: give Named"),
        (pd.DataFrame({"a": [1]}).groupby("a"), "a DataFrameGroupBy instance has no stable form: pass a value"),
        (pd.offsets.Day(1), "a Day instance has no stable form: pass a value that stands for it"),
    ]:
        with pytest.raises(UnkeyableArgument, match=message):
            encode(value)
