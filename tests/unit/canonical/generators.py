"""Random values, the same ones built anew, and ones that are a little different."""

import datetime as dt
import math
import operator
import random
import re
from collections import OrderedDict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from memocache._canonical import encode
from tests.unit.canonical.samples import (
    BERLIN,
    NAN,
    NOON,
    PARIS,
    Colour,
    Couple,
    Fruit,
    Level,
    Pair,
    Place,
    Point,
    zone,
)

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
        except (TypeError, ValueError, KeyError, OverflowError, AttributeError, ArithmeticError):
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
