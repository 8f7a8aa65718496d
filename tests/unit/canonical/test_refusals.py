import collections
import datetime as dt
import functools
import io
import math
import struct
import types
from collections import OrderedDict, defaultdict
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from memocache._canonical import encode
from memocache.errors import UnkeyableArgument
from tests.unit.canonical.samples import (
    NOON,
    Bag,
    Keyed,
    Local,
    LocalPair,
    Named,
    Pair,
    Point,
    Record,
    Text,
    decorated,
    function,
    local,
)

Misnamed = collections.namedtuple("NamedOtherwise", "x")
GIVE = "has no stable form: give Named a __cache_key__ method or use memocache.keys.register"
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
    ({1: Named("ann")}, f"a Named instance, at [an int], {GIVE}"),
    ({"ann@example.com": Named("ann")}, f"a Named instance, at [a str], {GIVE}"),
    ({(1, "a"): Named("ann")}, f"a Named instance, at [a tuple], {GIVE}"),
    ({10**5000: Named("ann")}, f"a Named instance, at [an int], {GIVE}"),
    ({"a": 1, "b" * 100: Named("ann")}, f"a Named instance, at [a str], {GIVE}"),
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
        "tests.unit.canonical.test_refusals.NamedOtherwise; define it under that name in its module",
    ),
    (
        decorated.__wrapped__,
        "the function decorated has no stable form: it is not what is found as "
        "tests.unit.canonical.stored_calls.decorated; define it under that name in its module",
    ),
    (
        types.FunctionType(function.__code__, {"__name__": "no.such.module"}, "gone"),
        "the function function has no stable form: it is not what is found as no.such.module.function; "
        "define it under that name in its module",
    ),
    *(
        (
            kind(functools.cache(function)),
            f"the function function has no stable form: it is not what is found as {function.__module__}.function; "
            "define it under that name in its module",
        )
        for kind in (staticmethod, classmethod)
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
        "a ZoneInfo made from a file, at .tzinfo, has no stable form: make it by ZoneInfo(key)",
    ),
    (
        NOON.replace(tzinfo=OwnZone()),
        "an OwnZone instance, at .tzinfo, has no stable form: give OwnZone a __cache_key__ method "
        "or use memocache.keys.register",
    ),
]


@pytest.mark.parametrize(("value", "message"), refused)
def test_what_has_no_stable_form_is_refused_with_the_place_and_the_remedy(value: Any, message: str) -> None:
    with pytest.raises(UnkeyableArgument) as caught:
        encode(value)
    assert str(caught.value) == message
    assert caught.value.__suppress_context__
