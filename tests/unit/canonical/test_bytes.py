import copy
import ipaddress
import re
import types
from collections import Counter, defaultdict
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from memocache._canonical import encode
from tests.unit.canonical.samples import (
    DISTINCT,
    NAN,
    PARIS,
    Access,
    Box,
    Colour,
    Keyed,
    Point,
    distinct_from_each_other,
)


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
    if isinstance(value, ipaddress.IPv6Address) and str(copied) != str(value):
        pytest.skip("this Python's copy of an address forgets its zone")
    assert encode(copied) == encode(value) == encode(value)


def test_the_bytes_are_pinned() -> None:
    # They must not change by accident: keys in shared caches are made of them. If they have to, so has keys.SCHEME.
    assert encode((7, "a b", None, True, -1.5, b"x")) == (
        b"tuple64:int1:7str3:a bNone0:bool1:1float21:-0x1.8000000000000p+0bytes1:x"
    )
    assert encode({"b": [1], "a": {2, 1}}) == b"dict42:str1:aset12:int1:1int1:2str1:blist6:int1:1"
    assert encode(Point(1, Keyed(2))) == (
        b"object141:str39:tests.unit.canonical.stored_calls.Pointstr1:xint1:1str1:y"
        b"keyed70:str39:tests.unit.canonical.stored_calls.Keyedstr13:__cache_key__int1:2"
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
