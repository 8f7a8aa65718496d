"""The kinds of servers that caches talk to over a connection, as far as the tests of connections and faults differ."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import pytest

from memocache import MemcachedCache, RedisCache
from memocache.backends.base import Cache
from tests.support.redis_servers import RedisServer
from tests.support.servers import Address, MemcachedServer


class Kind(ABC):
    """A kind of server."""

    name: ClassVar[str]
    server: ClassVar[str]
    """The fixture of the server that all tests share."""
    factory: ClassVar[str]
    """The fixture that starts servers of a test's own."""
    script: ClassVar[str]
    """What makes a cache in the source of another process, of the text *address*."""
    commands: ClassVar[tuple[bytes, ...]]
    """How each request that a cached function makes begins."""
    get: ClassVar[bytes]
    delete: ClassVar[bytes]
    increment: ClassVar[bytes]
    of_a_miss: ClassVar[tuple[bytes, ...]]
    """Those of a call that is computed and stored."""
    uncache_all: ClassVar[bytes]
    garbage: ClassVar[tuple[bytes, ...]]
    """Answers that are none."""
    endless: ClassVar[tuple[bytes, ...]]
    """Beginnings of answers without an end."""

    @staticmethod
    @abstractmethod
    def cache(address: Address, prefix: str = "", **options: Any) -> Cache: ...

    @staticmethod
    @abstractmethod
    def connections(server: Any) -> int:
        """Return how many *server* has."""


class Memcached(Kind):
    name, server, factory = "memcached", "memcached", "memcached_factory"
    script = "MemcachedCache([address], timeout=10)"
    commands = (b"get ", b"add ", b"gets ", b"cas ", b"delete ", b"set ")
    get, delete, increment, uncache_all = b"get ", b"delete ", b"gets ", b"set "
    of_a_miss = commands[:4]
    garbage = (
        b"\x00\xff\xfe\r\nVALUE\r\n",
        b"VALUE another 0 1\r\nx\r\nEND\r\n",
        b"VALUE k 0 99999999999\r\nx",
        b"VALUE k 0 -5\r\nx\r\nEND\r\n",
        b"ERROR\r\n",
        b"CLIENT_ERROR bad\r\n",
        b"SERVER_ERROR busy\r\n",
        b"SERVER_ERROR out of memory storing object\r\n",
    )
    endless = (b"VALUE k 0 ",)

    @staticmethod
    def cache(address: Address, prefix: str = "", **options: Any) -> MemcachedCache:
        return MemcachedCache([address], key_prefix=prefix, **options)

    @staticmethod
    def connections(server: MemcachedServer) -> int:
        """Ask ten times, since the connection of the last asking may still be closing; its own is not counted."""
        return min(int(server.stats()["curr_connections"]) for _ in range(10))


class Redis(Kind):
    name, server, factory = "redis", "redis_server", "redis_factory"
    script = 'RedisCache("unix://" + address, timeout=10)'
    commands = (b"MGET ", b"EVALSHA ", b"EVAL ", b"DEL ", b"SET ")
    get, delete, increment, uncache_all = b"GET ", b"DEL ", b"EVALSHA ", b"DEL "
    of_a_miss = commands[:2]
    garbage = (
        b"\x00\xff\xfe\r\n$5\r\n",
        b"$99999999999\r\nx",
        b"$-5\r\nx\r\n",
        b"$1\r\nxyz\r\n",
        b"*1\r\n" * 100_000,
        b"*2147483647\r\n$-1\r\n",
        b"+PONG\r\n",
        b"*1\r\n:1\r\n",
        b":one\r\n",
        b":1\r\n" * 9,
        b"-ERR bad\r\n",
        b"-MOVED 1 \xff\r\n",
        b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        b"-LOADING Redis is loading the dataset in memory\r\n",
    )
    endless = (b"$", b"$67000000\r\n")

    @staticmethod
    def cache(address: Address, prefix: str = "", **options: Any) -> RedisCache:
        url = f"unix://{address}" if isinstance(address, str) else "redis://{}:{}".format(*address)
        return RedisCache(url, key_prefix=prefix, **options)

    @staticmethod
    def connections(server: RedisServer) -> int:
        """Count all but that which asks."""
        with server.client() as client:
            return int(client.info("clients")["connected_clients"]) - 1


KINDS: dict[str, type[Kind]] = {kind.name: kind for kind in (Memcached, Redis)}
DRIVERS = [(kind, in_loop) for kind in KINDS.values() for in_loop in ([False, True] if kind is Redis else [False])]
"""Each kind, and whether in a loop; memcached has no connections of loops."""

each_driver = pytest.mark.parametrize(
    ("kind", "runner"),
    DRIVERS,
    indirect=True,
    ids=[f"{kind.name}{' in a loop' if in_loop else ''}" for kind, in_loop in DRIVERS],
)
