"""Every cache passes the same suite: one small class each."""

from collections.abc import Callable, Iterator

import pytest

from memocache import Cache, MemcachedCache, SimpleCache, TieredCache
from memocache.testing import BackendContract
from tests.servers import MemcachedServer


class TestSimpleCache(BackendContract):
    def make_cache(self) -> Cache:
        return SimpleCache(threshold=1000)


class TestMemcachedCache(BackendContract):
    @pytest.fixture(autouse=True)
    def server(self, contract_memcached: MemcachedServer) -> None:
        self.addresses = [contract_memcached.address]

    def make_cache(self) -> Cache:
        cache = MemcachedCache(self.addresses)
        cache.clear()
        return cache

    def make_peer(self, cache: Cache) -> Cache:
        return MemcachedCache(self.addresses)


class TestMemcachedCacheOnThreeServers(TestMemcachedCache):
    @pytest.fixture(autouse=True)
    def server(self, three_memcacheds: list[MemcachedServer]) -> None:
        self.addresses = [server.address for server in three_memcacheds]


class TestTieredCache(TestMemcachedCache):
    peer_delay = 5

    def make_cache(self) -> Cache:
        return TieredCache(SimpleCache(threshold=1000), super().make_cache(), near_timeout=5)

    def make_peer(self, cache: Cache) -> Cache:
        return TieredCache(SimpleCache(threshold=1000), super().make_peer(cache), near_timeout=5)


class TestTieredCacheBesideItsFar(TestTieredCache):
    def make_peer(self, cache: Cache) -> Cache:
        return MemcachedCache(self.addresses)


@pytest.fixture(scope="module")
def contract_memcached(start_memcached: Callable[..., MemcachedServer]) -> MemcachedServer:
    return start_memcached(tcp=True)


@pytest.fixture(scope="module")
def three_memcacheds(start_memcached: Callable[..., MemcachedServer]) -> list[MemcachedServer]:
    return [start_memcached() for _ in range(3)]


@pytest.fixture(scope="module")
def start_memcached(memcached_binary: object) -> Iterator[Callable[..., MemcachedServer]]:
    """Starts servers of this module's own: its tests empty them."""
    servers: list[MemcachedServer] = []

    def start(**options: object) -> MemcachedServer:
        servers.append(MemcachedServer(binary=memcached_binary, **options))
        return servers[-1].__enter__()

    yield start
    for server in servers:
        server.__exit__(None, None, None)
