"""Whether two values are the same, without their bytes."""

import datetime as dt
import math
from collections import OrderedDict, deque
from decimal import Decimal
from typing import Any

from tests.unit.canonical.samples import Couple, Pair


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
