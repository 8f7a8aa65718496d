"""The caches that are tried: how to make one, and what stands behind it. A new one is a few lines in KINDS."""

import dataclasses
import json
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from pymemcache import PooledClient

from memocache import Cache, ForeignCache, MemcachedCache, RedisCache, SimpleCache, SQLiteCache, TieredCache
from tests.support.redis_servers import RedisServer, find_redis
from tests.support.servers import Address, MemcachedServer, Server, find_memcached, skip_or_fail

NEAR = 0.01  # seconds
PATIENT = 10.0  # seconds that a command may take where nothing is wrong with the server


Open = Callable[[Any, str, float], Cache]
"""Makes a cache for what stands somewhere (None: nowhere), with a key prefix and the seconds a command may take."""


@dataclass(frozen=True)
class Kind:
    """One kind of cache.

    *standing* runs what it needs and gives where that is, as something that JSON can say, and the server, if it is one
    that can be hurt and stands behind a FaultProxy.
    """

    name: str
    open: Open
    standing: Callable[[], AbstractContextManager[tuple[Any, Server | None]]]
    shared: bool = True  # whether several caches on the same place are one
    wire: bool = False  # whether all that passes on the wire is ours to watch over
    single: bool = True  # whether a forget is one step, and nobody else computes what is there
    bounded: bool = True  # whether it takes no more than so much memory of this process
    variant: bool = False  # of another, and not tried in a quick run
    near: float = 0.0  # seconds for which what others have forgotten may still be served

    @property
    def has_fast_hits(self) -> bool:
        """True if hits are served in this process, by a shorter way where nobody listens."""
        return bool(self.near) or self.name == "in process"

    @contextmanager
    def stand(self) -> Iterator["Stand"]:
        """Have what it needs running."""
        with self.standing() as (where, server):
            yield Stand(self, where, server)


@dataclass(frozen=True)
class Stand:
    """A kind of cache, with what it needs running."""

    kind: Kind
    where: Any
    server: Server | None

    def open(self, prefix: str = "", timeout: float = PATIENT) -> Cache:
        """Return a cache of it; where the kind is shared, two with one prefix are as in two processes."""
        return self.kind.open(self.where, prefix, timeout)

    def peers(self, count: int, prefix: str = "", timeout: float = PATIENT) -> list[Cache]:
        """Return the cache as *count* processes see it."""
        if not self.kind.shared:
            return [self.open(prefix, timeout)] * count
        return [self.open(prefix, timeout) for _ in range(count)]

    def behind(self, address: Address) -> "Stand":
        """Return the same, reached by another address."""
        return dataclasses.replace(self, where=address)

    def spelt(self) -> str:
        """Return what another process needs to have it, too; see reopened."""
        return json.dumps([self.kind.name, self.where])


def reopened(spelt: str) -> Stand:
    """Return what another process has spelt."""
    name, where = json.loads(spelt)
    return Stand(KINDS[name], tuple(where) if isinstance(where, list) else where, None)


# ---- what stands behind them -----------------------------------------------------------------------------------------


@contextmanager
def nothing() -> Iterator[tuple[None, None]]:
    yield None, None


@contextmanager
def a_memcached() -> Iterator[tuple[Address, Server]]:
    binary, reason = find_memcached()
    with MemcachedServer(binary=binary or skip_or_fail(reason)) as server:
        yield server.address, server


@contextmanager
def a_redis() -> Iterator[tuple[Address, Server]]:
    binary, reason = find_redis()
    with RedisServer(binary=binary or skip_or_fail(reason)) as server:
        yield server.address, server


@contextmanager
def a_directory() -> Iterator[tuple[str, None]]:
    with tempfile.TemporaryDirectory(prefix="mc") as directory:
        yield directory, None


SERVERS = (a_memcached, a_redis)
"""Those that start a server."""


def two_tiers(where: Any, prefix: str, timeout: float) -> Cache:
    far = MemcachedCache([where], key_prefix=prefix, timeout=timeout)
    return TieredCache(SimpleCache(threshold=10_000), far, near_timeout=NEAR)


def a_dict(where: Any, prefix: str, timeout: float) -> Cache:
    return ForeignCache({}, key_prefix=prefix)


def a_client(where: Address, prefix: str, timeout: float) -> Cache:
    timeout = min(timeout, 1.0)  # a client that was forked may wait for an answer that its parent has taken
    client = PooledClient(where, timeout=timeout, connect_timeout=timeout, default_noreply=False)
    cache = ForeignCache(client, key_prefix=prefix)
    weakref.finalize(cache, client.close)
    return cache


# ---- the table -------------------------------------------------------------------------------------------------------

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("in process", lambda where, prefix, timeout: SimpleCache(threshold=10_000), nothing, shared=False),
        Kind(
            "memcached",
            lambda where, prefix, timeout: MemcachedCache([where], key_prefix=prefix, timeout=timeout),
            a_memcached,
            wire=True,
        ),
        Kind(
            "signed memcached",
            lambda where, prefix, timeout: MemcachedCache(
                [where], key_prefix=prefix, timeout=timeout, secret="a secret of sixteen bytes or more", compress="zlib"
            ),
            a_memcached,
            wire=True,
            variant=True,
        ),
        Kind(
            "SQLite",
            lambda where, prefix, timeout: SQLiteCache(f"{where}/cache.db", key_prefix=prefix, timeout=timeout),
            a_directory,
        ),
        Kind(
            "Redis",
            lambda where, prefix, timeout: RedisCache(f"unix://{where}", key_prefix=prefix, timeout=timeout),
            a_redis,
            wire=True,
        ),
        Kind("tiers", two_tiers, a_memcached, single=False, near=NEAR),
        Kind("a dict", a_dict, nothing, shared=False, single=False, bounded=False),
        Kind("a pymemcache client", a_client, a_memcached, single=False, variant=True),
    )
}


def kinds(*, shared: bool | None = None, wire: bool | None = None, server: bool | None = None) -> list[str]:
    """Return the names of those that are as told, where it is told."""
    return [
        kind.name
        for kind in KINDS.values()
        if shared in (None, kind.shared) and wire in (None, kind.wire) and server in (None, kind.standing in SERVERS)
    ]
