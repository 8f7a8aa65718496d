"""The servers that the tests of this folder empty: they are nobody else's."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memocache import Cache, ForeignCache, MemcachedCache, RedisCache, SimpleCache, SQLiteCache, TieredCache
from tests.support.redis_servers import RedisServer
from tests.support.servers import MemcachedServer


@pytest.fixture(scope="package")
def contract_memcached(start_memcached: Callable[..., MemcachedServer]) -> MemcachedServer:
    # An item that was just read, and that it moves to another queue while it is dumped, is missing in the list.
    return start_memcached(tcp=True, moves_items=False)


@pytest.fixture(scope="package")
def three_memcacheds(start_memcached: Callable[..., MemcachedServer]) -> list[MemcachedServer]:
    return [start_memcached() for _ in range(3)]


@pytest.fixture(scope="package")
def start_memcached(memcached_binary: object) -> Iterator[Callable[..., MemcachedServer]]:
    """Starts servers of this folder's own."""
    servers: list[MemcachedServer] = []

    def start(**options: object) -> MemcachedServer:
        servers.append(MemcachedServer(binary=memcached_binary, **options))
        return servers[-1].__enter__()

    yield start
    for server in servers:
        server.__exit__(None, None, None)


@pytest.fixture(params=["memcached", "redis", "sqlite", "tiered", "foreign"])
def make(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> Callable[[], Cache]:
    """Makes a cache that processes share, with the same entries each time."""
    if request.param == "redis":
        redis: RedisServer = request.getfixturevalue("redis_server")
        return lambda: RedisCache(redis.url, key_prefix=prefix, timeout=10)
    if request.param == "sqlite":
        return lambda: SQLiteCache(tmp_path / "cache" / "cache.db", timeout=10)
    if request.param == "foreign":
        held: dict[str, Any] = {}
        return lambda: ForeignCache(held)
    server: MemcachedServer = request.getfixturevalue("contract_memcached")
    if request.param == "memcached":
        return lambda: MemcachedCache([server.address], key_prefix=prefix, timeout=10)
    tiers = TieredCache(SimpleCache(), MemcachedCache([server.address], key_prefix=prefix, timeout=10))
    return lambda: tiers  # what lies near another process stays there for near_timeout
