"""Two functions of one name must not share entries on a shared cache."""

import pytest

from memocache import ConfigurationError, MemcachedCache, cached
from tests.support.servers import MemcachedServer

CACHES: list[MemcachedCache] = []


def the_cache() -> MemcachedCache:
    return CACHES[-1]


@cached(cache=the_cache)
def area(x: int) -> str:
    return "first"


first = area


@cached(cache=the_cache)
def area(x: int) -> str:
    return "second"


class Shapes:
    @cached(cache=the_cache)
    @staticmethod
    def area(x: int) -> str:
        return "first of the class"

    first = area

    @cached(cache=the_cache)
    @staticmethod
    def area(x: int) -> str:
        return "second of the class"


def plain(x: int) -> str:
    return "plain"


one, other = cached(cache=the_cache)(plain), cached(60, cache=the_cache)(plain)


@pytest.fixture(autouse=True)
def shared_cache(memcached: MemcachedServer, prefix: str) -> None:
    CACHES.append(MemcachedCache([memcached.address], key_prefix=prefix))


def test_the_one_that_its_module_does_not_know_is_refused() -> None:
    assert area(1) == "second"
    with pytest.raises(ConfigurationError) as refused:
        first(1)
    assert str(refused.value) == (
        "area goes by the same name as another cached function of its module, so that the two would share entries in a "
        "shared cache; give one another name, or pass namespace='...'"
    )


def test_so_it_is_in_a_class() -> None:
    assert Shapes.area(1) == "second of the class"
    with pytest.raises(ConfigurationError, match=r"^Shapes\.area goes by the same name"):
        Shapes.first(1)


def test_one_function_decorated_twice_shares_on_purpose() -> None:
    assert one(1) == "plain"
    assert other.peek(1) == "plain"
