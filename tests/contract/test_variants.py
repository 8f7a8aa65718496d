"""The variants of the six kinds of caches, and the objects of others: they pass the same suite."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import aiocache
import cachelib
import cachetools
import diskcache
import pytest
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from pymemcache import PooledClient

from memocache import Cache, ForeignCache, MemcachedCache, SimpleCache, TieredCache, cache_from_url
from memocache.testing import BackendContract
from tests.contract import test_caches
from tests.support.redis_servers import RedisCluster, RedisServer
from tests.support.servers import MemcachedServer, TlsMemcachedServer


class TestMemcachedCacheCompressedAndSigned(test_caches.TestMemcachedCache):
    def make_cache(self) -> Cache:
        return self.make_peer(super().make_cache())

    def make_peer(self, cache: Cache) -> Cache:
        return MemcachedCache(
            self.addresses, timeout=10, compress="zlib", compress_above=0, secret="a secret of 16 bytes"
        )


class TestMemcachedCacheOnThreeServers(test_caches.TestMemcachedCache):
    @pytest.fixture(autouse=True)
    def server(self, three_memcacheds: list[MemcachedServer]) -> None:
        self.addresses = [server.address for server in three_memcacheds]


class TestMemcachedCacheOverTls(test_caches.TestMemcachedCache):
    @pytest.fixture(autouse=True)
    def server(self, tls_memcached: TlsMemcachedServer) -> None:
        self.url = tls_memcached.url

    def make_cache(self) -> Cache:
        cache = cache_from_url(self.url)
        cache.clear()
        return cache

    def make_peer(self, cache: Cache) -> Cache:
        return cache_from_url(self.url)


class TestTieredCacheBesideItsFar(test_caches.TestTieredCache):
    def make_peer(self, cache: Cache) -> Cache:
        return MemcachedCache(self.addresses, timeout=10)


class TestRedisCacheOnValkey(test_caches.TestRedisCache):
    @pytest.fixture(autouse=True)
    def server(self, valkey_server: RedisServer, prefix: str) -> None:
        self.url, self.prefix = valkey_server.url, prefix


class TestRedisCacheOnCluster(test_caches.TestRedisCache):
    @pytest.fixture(autouse=True)
    def server(self, redis_cluster: RedisCluster, prefix: str) -> None:
        self.url, self.prefix = redis_cluster.url, prefix


class TestForeignCachelibSimpleCache(BackendContract):
    def make_cache(self) -> Cache:
        return ForeignCache(cachelib.SimpleCache())


class InDirectory(BackendContract):
    """A cache in a directory, which other processes may use, too."""

    counts_across_processes = False

    @pytest.fixture(autouse=True)
    def directory(self, tmp_path: Path) -> None:
        self.path = str(tmp_path / "cache")

    def make_peer(self, cache: Cache) -> Cache:
        return self.make_cache()


class TestForeignCachelibFileSystemCache(InDirectory):
    def make_cache(self) -> Cache:
        return ForeignCache(cachelib.FileSystemCache(self.path))


class TestForeignPymemcache(BackendContract):
    counts_across_processes = False

    @pytest.fixture(autouse=True)
    def server(self, contract_memcached: MemcachedServer) -> Iterator[None]:
        self.client = PooledClient(contract_memcached.address, timeout=10)
        yield
        self.client.close()

    def make_cache(self) -> Cache:
        cache = ForeignCache(self.client)
        cache.clear()
        return cache

    def make_peer(self, cache: Cache) -> Cache:
        return ForeignCache(self.client)


class TestForeignDiskcache(InDirectory):
    def make_cache(self) -> Cache:
        return ForeignCache(diskcache.Cache(self.path))


class TestForeignDjangoLocmem(BackendContract):
    def make_cache(self) -> Cache:
        return ForeignCache(LocMemCache(secrets.token_hex(), {"OPTIONS": {"MAX_ENTRIES": 1000}}))


class TestForeignDjangoFilebased(InDirectory):
    def make_cache(self) -> Cache:
        return ForeignCache(FileBasedCache(self.path, {"OPTIONS": {"MAX_ENTRIES": 1000}}))


class TestForeignCachetools(BackendContract):
    def make_cache(self) -> Cache:
        return ForeignCache(cachetools.LRUCache(1000))


class TestForeignAiocache(BackendContract):
    kinds = ("coroutine",)

    def make_cache(self) -> Cache:
        return ForeignCache(aiocache.SimpleMemoryCache())


class TestTieredForeign(InDirectory):
    peer_delay = 5

    def make_cache(self) -> Cache:
        return TieredCache(SimpleCache(threshold=1000), ForeignCache(diskcache.Cache(self.path)), near_timeout=5)


class TestTieredForeignAiocache(BackendContract):
    kinds = ("coroutine",)

    def make_cache(self) -> Cache:
        return TieredCache(SimpleCache(threshold=1000), ForeignCache(aiocache.SimpleMemoryCache()), near_timeout=5)


class TestTieredSQLite(test_caches.TestSQLiteCache):
    peer_delay = 5

    def make_cache(self) -> Cache:
        return TieredCache(SimpleCache(threshold=1000), super().make_cache(), near_timeout=5)

    def make_peer(self, cache: Cache) -> Cache:
        return self.make_cache()
