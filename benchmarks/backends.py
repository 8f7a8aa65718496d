"""Calls on memcached beside other libraries; and on each kind of cache beside what is below it, a dict or a client."""

import itertools
import os
import pickle
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Final

import memocache
from benchmarks.decorators import TIMEOUT, directory
from benchmarks.harness import Case, Group, Peer, Peers, TimedBenchmark, Venue, tally
from benchmarks.servers import MEMCACHED, REDIS

HIT: Final = "hit"
BARE: Final = "pymemcache Client.get"
ABOUT_AS_MANY: Final = 350  # bytes, as what memocache stores has
ROW: Final = {
    "id": 7,
    "name": "Ada Lovelace",
    "email": "ada@example.org",
    "active": True,
    "balance": 1815.12,
    "roles": ["admin", "author"],
    "city": "London",
}

numbers = itertools.count()


def report(account: int) -> dict[str, object]:
    tally.count += 1
    return ROW


def cached(cache: Any, **options: Any) -> dict[str, Any]:
    """Return what the statements use of a function on *cache*."""
    f = memocache.cached(timeout=TIMEOUT, cache=cache, **options)(report)
    return {"f": f, "forget": f.uncache}


def commands(client: Any, cache: Any, prefix: str = "") -> dict[str, Any]:
    """Return a client's commands, with a key of their own, as long as *cache*'s, and the bytes that it stores."""
    f = cached(cache)["f"]
    f(7)
    key, data = f"{prefix}{f.key(7)[:-2]}-{next(numbers)}", client.get(prefix + f.key(7))
    client.set(key, data)
    return {"get": client.get, "set": client.set, "delete": client.delete, "key": key, "data": data}


def on_memcached() -> Any:
    return memocache.MemcachedCache([MEMCACHED.address])


def bare_pymemcache(pymemcache: Any) -> dict[str, Any]:
    return commands(pymemcache.Client(MEMCACHED.address, default_noreply=False), on_memcached())


# ---- on memcached ------------------------------------------------------------------------------------------------

MISS: Final = "miss: forget, call"
FORGET: Final = "forget"
PEERS: Final = Peers()


def pickling_client() -> Any:
    """Return a client that takes any object: for peers that leave that to the client."""
    from pymemcache import Client, serde

    return Client(MEMCACHED.address, default_noreply=False, serde=serde.pickle_serde)


@PEERS.add("memocache", "memocache")
def ours(memocache: Any) -> dict[str, Any]:
    return cached(on_memcached())


@PEERS.add("memocache, with the stamps of three tags", "memocache", cases=[HIT])
def ours_with_tags(memocache: Any) -> dict[str, Any]:
    return cached(on_memcached(), tags=("account:{account}", "reports", "everything"), namespace="tagged")


@PEERS.add("memocache, with a near tier", "memocache", cases=[HIT])
def ours_with_near(memocache: Any) -> dict[str, Any]:
    return cached(memocache.TieredCache(memocache.SimpleCache(), on_memcached()), namespace="near")


PEERS.add(BARE, "pymemcache", statement="get(key)")(bare_pymemcache)
PEERS.add("pymemcache delete, get, set", "pymemcache", cases=[MISS], statement="delete(key); get(key); set(key, data)")(
    bare_pymemcache
)
PEERS.add("pymemcache delete", "pymemcache", cases=[FORGET], statement="delete(key)")(bare_pymemcache)


@PEERS.add("libmc Client.get", "libmc", cases=[HIT], statement="get(key)")
def bare_libmc(libmc: Any) -> dict[str, Any]:
    client, key = libmc.Client([MEMCACHED.address]), f"libmc-{next(numbers)}"
    client.set(key, pickle.dumps(ROW))
    return {"get": client.get, "key": key}


@PEERS.add("by hand: pymemcache, pickle", "pymemcache")
def by_hand(pymemcache: Any) -> dict[str, Any]:
    client = pymemcache.Client(MEMCACHED.address, default_noreply=False)

    def f(account: int) -> object:
        key = f"report:{account}"
        data = client.get(key)
        if data is not None:
            return pickle.loads(data)  # noqa: S301 - the bytes are our own
        row = report(account)
        client.set(key, pickle.dumps(row), expire=TIMEOUT)
        return row

    return {"f": f, "forget": lambda account: client.delete(f"report:{account}")}


@PEERS.add("dogpile.cache over pymemcache", "dogpile.cache")
def dogpile_pymemcache(dogpile_cache: Any) -> dict[str, Any]:
    region = dogpile_cache.make_region()
    region.configure("dogpile.cache.pymemcache", expiration_time=TIMEOUT, arguments={"url": [MEMCACHED.address]})
    f = region.cache_on_arguments()(report)
    return {"f": f, "forget": f.invalidate}


@PEERS.add("Flask-Caching over pymemcache", "flask-caching")
def flask_caching_pymemcache(flask_caching: Any) -> dict[str, Any]:
    from flask import Flask

    config = {"CACHE_TYPE": "MemcachedCache", "CACHE_MEMCACHED_SERVERS": pickling_client()}
    cache = flask_caching.Cache(Flask(__name__), config=config)
    f = cache.memoize(TIMEOUT)(report)
    return {"f": f, "forget": lambda account: cache.delete_memoized(f, account)}


@PEERS.add("ring over pymemcache", "ring")
def ring_pymemcache(ring: Any) -> dict[str, Any]:
    f = ring.memcache(pickling_client(), expire=TIMEOUT)(report)
    return {"f": f, "forget": f.delete}


memcached = TimedBenchmark(
    "memcached",
    f"A call on memcached; its result is a dict that takes {len(pickle.dumps(ROW))} bytes as a pickle",
    [Case(HIT, "f(7)"), Case(MISS, "forget(7); f(7)", computes=1), Case(FORGET, "forget(7)")],
    PEERS.values(),
    baseline=BARE,
    unit="us",
    notes=[
        f"{BARE} gets, undecoded, the very bytes that memocache stores, in each table.",
        "The computation is free.",
        f"{FORGET}: what was forgotten before, which is a delete all the same.",
        "A near tier asks memcached once in 5 s, and serves the same object in between.",
        "Peers wait for the answer to each command, as memocache does, but have no deadline, which is quicker.",
    ],
    venue=MEMCACHED.running,
)

# ---- on each kind of cache ---------------------------------------------------------------------------------------

PUT: Final = "INSERT OR REPLACE INTO bare VALUES (?, ?)"
SQL: Final = {"SELECT": "SELECT value FROM bare WHERE key = ?", "PUT": PUT, "DROP": "DELETE FROM bare WHERE key = ?"}
COMMANDS: Final = ("get(key)", "set(key, data)", "delete(key)")


def kind(
    name: str,
    make: Callable[[], Any],
    bare: str,
    package: str,
    build: Callable[[Any], dict[str, Any]],
    operations: tuple[str, str, str] = COMMANDS,
    venue: Venue = lambda: nullcontext(()),
) -> TimedBenchmark:
    """Return the benchmark of the caches that *make* returns; *build* returns what *operations* below it use."""
    get, put, drop = operations
    hit, miss, uncache = (f"{call}, {name}" for call in (HIT, "miss: uncache, call", "uncache"))
    return TimedBenchmark(
        "backends",
        name,
        [Case(hit, "f(7)"), Case(miss, "forget(7); f(7)", computes=1), Case(uncache, "forget(7)")],
        [
            Peer("memocache", "memocache", lambda memocache: cached(make())),
            *(
                Peer(bare, package, build, [case], statement)
                for case, statement in {hit: get, miss: f"{drop}; {get}; {put}", uncache: drop}.items()
            ),
        ],
        baseline=bare,
        unit="us",
        venue=venue,
        complete=True,
    )


def bare_redis(redis: Any) -> dict[str, Any]:
    return commands(redis.Redis(unix_socket_path=REDIS.address), on_redis(), "memocache:")


def on_redis() -> Any:
    return memocache.RedisCache(f"unix://{REDIS.address}")


def bare_sqlite(sqlite3: Any) -> dict[str, Any]:
    table = sqlite3.connect(f"{directory()}/bare.db", isolation_level=None)
    table.execute("PRAGMA journal_mode=WAL")
    table.execute("PRAGMA synchronous=NORMAL")
    table.execute("CREATE TABLE IF NOT EXISTS bare (key TEXT PRIMARY KEY, value BLOB)")
    data = os.urandom(ABOUT_AS_MANY)
    table.execute(PUT, ("key", data))
    return {"do": table.execute, "data": data, **SQL}


def bare_cachelib(cachelib: Any) -> dict[str, Any]:
    values, data = cachelib.SimpleCache(), os.urandom(ABOUT_AS_MANY)
    values.set("key", data)
    return {"values": values, "data": data}


def over_cachelib() -> Any:
    import cachelib

    return memocache.ForeignCache(cachelib.SimpleCache())


def near_memcached() -> Any:
    return memocache.TieredCache(memocache.SimpleCache(), on_memcached(), near_timeout=300)


backends = Group(
    "backends",
    "A call on each kind of cache, beside a dict or the bare client of its server",
    [
        kind(
            "SimpleCache",
            lambda: memocache.SimpleCache(),
            "dict",
            "builtins",
            lambda builtins: {"values": {"key": ROW}, "ROW": ROW},
            ('values.get("key")', 'values["key"] = ROW', 'values.pop("key", None)'),
        ),
        kind("MemcachedCache", on_memcached, "pymemcache", "pymemcache", bare_pymemcache, venue=MEMCACHED.running),
        kind("RedisCache", on_redis, "redis-py", "redis", bare_redis, venue=REDIS.running),
        kind(
            "SQLiteCache",
            lambda: memocache.SQLiteCache(f"{directory()}/cache.db"),
            "sqlite3",
            "sqlite3",
            bare_sqlite,
            ('do(SELECT, ("key",)).fetchone()', 'do(PUT, ("key", data))', 'do(DROP, ("key",))'),
        ),
        kind(
            "ForeignCache of a cachelib.SimpleCache",
            over_cachelib,
            "cachelib",
            "cachelib",
            bare_cachelib,
            ('values.get("key")', 'values.set("key", data)', 'values.delete("key")'),
        ),
        kind(
            "TieredCache over MemcachedCache",
            near_memcached,
            "pymemcache",
            "pymemcache",
            bare_pymemcache,
            venue=MEMCACHED.running,
        ),
    ],
    [
        "The bare client gets, undecoded, the very bytes that memocache stores, with its default options;",
        "sqlite3 and cachelib about as many bytes, sqlite3 with WAL and synchronous=NORMAL.",
        "The computation is free. uncache: what was forgotten before, which is a delete all the same.",
    ],
)
