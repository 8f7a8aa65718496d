import dataclasses
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Iterator
from typing import Any

import pytest

from memocache._canonical import encode
from memocache.errors import UnkeyableArgument
from tests.unit.canonical.samples import Pair, Point


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
