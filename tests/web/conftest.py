"""What the tests of every framework can ask for."""

import functools
import itertools
from collections.abc import Callable

import pytest

from memocache import Cache, MemcachedCache, SimpleCache
from tests.support.servers import MemcachedServer


@pytest.fixture(params=["simple", "memcached"])
def cache(request: pytest.FixtureRequest, prefix: str) -> Cache:
    """In process and on memcached."""
    if request.param == "simple":
        return SimpleCache(threshold=10_000)
    server: MemcachedServer = request.getfixturevalue("memcached")
    return MemcachedCache([server.address], key_prefix=prefix)


@pytest.fixture
def count() -> Callable[[], int]:
    """Returns 1, 2, 3 and so on."""
    return functools.partial(next, itertools.count(1))
