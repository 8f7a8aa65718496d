import sys
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from memocache._canonical import encode
from memocache.errors import UnkeyableArgument
from tests.unit.canonical.samples import ByInstance, Keyed, Pair, Point, Record, refusal


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
    assert refusal(encode, value) == f"{message}: pass a value without cycles"


def test_the_same_object_twice_is_no_cycle() -> None:
    twice = [1]
    assert encode([twice, twice]) == encode([[1], [1]])
