"""The six kinds of caches, which pass the same suite: a small class each."""

from pathlib import Path

import pytest

from memocache import Cache, ForeignCache, MemcachedCache, RedisCache, SimpleCache, SQLiteCache, TieredCache
from memocache.testing import BackendContract
from tests.support.redis_servers import RedisServer
from tests.support.servers import MemcachedServer


class TestSimpleCache(BackendContract):
    def make_cache(self) -> Cache:
        return SimpleCache(threshold=1000)


class TestMemcachedCache(BackendContract):
    @pytest.fixture(autouse=True)
    def server(self, contract_memcached: MemcachedServer) -> None:
        self.addresses = [contract_memcached.address]

    def make_cache(self) -> Cache:
        cache = MemcachedCache(self.addresses, timeout=10)
        cache.clear()
        return cache

    def make_peer(self, cache: Cache) -> Cache:
        return MemcachedCache(self.addresses, timeout=10)


class TestTieredCache(TestMemcachedCache):
    peer_delay = 5

    def make_cache(self) -> Cache:
        return TieredCache(SimpleCache(threshold=1000), super().make_cache(), near_timeout=5)

    def make_peer(self, cache: Cache) -> Cache:
        return TieredCache(SimpleCache(threshold=1000), super().make_peer(cache), near_timeout=5)


class TestRedisCache(BackendContract):
    @pytest.fixture(autouse=True)
    def server(self, redis_server: RedisServer, prefix: str) -> None:
        self.url, self.prefix = redis_server.url, prefix

    def make_cache(self) -> Cache:
        return RedisCache(self.url, key_prefix=self.prefix, timeout=10)

    def make_peer(self, cache: Cache) -> Cache:
        return self.make_cache()


class TestForeignDict(BackendContract):
    def make_cache(self) -> Cache:
        return ForeignCache({})


class TestSQLiteCache(BackendContract):
    @pytest.fixture(autouse=True)
    def file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "cache" / "cache.db"

    def make_cache(self) -> Cache:
        return SQLiteCache(self.path, timeout=10, size_limit=2**24)

    def make_peer(self, cache: Cache) -> Cache:
        return SQLiteCache(self.path, timeout=10, size_limit=2**24)
