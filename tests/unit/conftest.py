"""What the unit tests can ask for."""

import pytest

from memocache import Cache, MemcachedCache, SimpleCache
from tests.support.servers import MemcachedServer


@pytest.fixture(params=["in process", "memcached"])
def cache(request: pytest.FixtureRequest, prefix: str) -> Cache:
    """A cache in process, and one on memcached."""
    if request.param == "in process":
        return SimpleCache(threshold=1000)
    server: MemcachedServer = request.getfixturevalue("memcached")
    return MemcachedCache([server.address], key_prefix=prefix, timeout=5)
