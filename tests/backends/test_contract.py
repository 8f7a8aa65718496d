"""Every cache passes the same suite: one small class each."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import aiocache
import cachelib
import cachetools
import diskcache
import pytest
from django.core.cache.backends.filebased import FileBasedCache
from django.core.cache.backends.locmem import LocMemCache
from pymemcache import PooledClient

from memocache import Cache, ForeignCache, MemcachedCache, RedisCache, SimpleCache, SQLiteCache, TieredCache
from memocache.testing import BackendContract
from tests.redis_servers import RedisCluster, RedisServer
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


class TestMemcachedCacheCompressedAndSigned(TestMemcachedCache):
    def make_cache(self) -> Cache:
        return self.make_peer(super().make_cache())

    def make_peer(self, cache: Cache) -> Cache:
        return MemcachedCache(self.addresses, compress="zlib", compress_above=0, secret="a secret of 16 bytes or more")


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


class TestRedisCache(BackendContract):
    @pytest.fixture(autouse=True)
    def server(self, redis_server: RedisServer, prefix: str) -> None:
        self.url, self.prefix = redis_server.url, prefix

    def make_cache(self) -> Cache:
        return RedisCache(self.url, key_prefix=self.prefix, timeout=10)

    def make_peer(self, cache: Cache) -> Cache:
        return self.make_cache()


class TestRedisCacheOnValkey(TestRedisCache):
    @pytest.fixture(autouse=True)
    def server(self, valkey_server: RedisServer, prefix: str) -> None:
        self.url, self.prefix = valkey_server.url, prefix


class TestRedisCacheOnCluster(TestRedisCache):
    @pytest.fixture(autouse=True)
    def server(self, redis_cluster: RedisCluster, prefix: str) -> None:
        self.url, self.prefix = redis_cluster.url, prefix


class TestForeignDict(BackendContract):
    def make_cache(self) -> Cache:
        return ForeignCache({})


class TestForeignCachelibSimpleCache(BackendContract):
    def make_cache(self) -> Cache:
        return ForeignCache(cachelib.SimpleCache())


class InDirectory(BackendContract):
    """A cache in a directory, which other processes may use, too."""

    counts_across_processes = False

    @pytest.fixture(autouse=True)
    def directory(self, tmp_path: Path) -> None:
        self.path = str(tmp_path / "cache")


class TestForeignCachelibFileSystemCache(InDirectory):
    def make_cache(self) -> Cache:
        return ForeignCache(cachelib.FileSystemCache(self.path))

    def make_peer(self, cache: Cache) -> Cache:
        return self.make_cache()


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

    def make_peer(self, cache: Cache) -> Cache:
        return self.make_cache()


class TestForeignDjangoLocmem(BackendContract):
    def make_cache(self) -> Cache:
        return ForeignCache(LocMemCache(secrets.token_hex(), {"OPTIONS": {"MAX_ENTRIES": 1000}}))


class TestForeignDjangoFilebased(InDirectory):
    def make_cache(self) -> Cache:
        return ForeignCache(FileBasedCache(self.path, {"OPTIONS": {"MAX_ENTRIES": 1000}}))

    def make_peer(self, cache: Cache) -> Cache:
        return self.make_cache()


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

    def make_peer(self, cache: Cache) -> Cache:
        return self.make_cache()


class TestTieredForeignAiocache(BackendContract):
    kinds = ("coroutine",)

    def make_cache(self) -> Cache:
        return TieredCache(SimpleCache(threshold=1000), ForeignCache(aiocache.SimpleMemoryCache()), near_timeout=5)


class TestSQLiteCache(BackendContract):
    @pytest.fixture(autouse=True)
    def file(self, tmp_path: Path) -> None:
        self.path = tmp_path / "cache" / "cache.db"

    def make_cache(self) -> Cache:
        return SQLiteCache(self.path, timeout=10, size_limit=2**24)

    def make_peer(self, cache: Cache) -> Cache:
        return SQLiteCache(self.path, timeout=10, size_limit=2**24)


class TestTieredSQLite(TestSQLiteCache):
    peer_delay = 5

    def make_cache(self) -> Cache:
        return TieredCache(SimpleCache(threshold=1000), super().make_cache(), near_timeout=5)

    def make_peer(self, cache: Cache) -> Cache:
        return self.make_cache()


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
