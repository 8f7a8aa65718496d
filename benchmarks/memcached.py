"""How long a hit on memcached takes, beside the bare client; and a miss, and forgetting."""

import itertools
import pickle
from typing import Any, Final

import memocache
from benchmarks.command import main
from benchmarks.harness import Case, Question, Tally
from benchmarks.server import MemcachedServer

SECONDS: Final = 300
HIT: Final = "hit"
MISS: Final = "miss: forget, call"
FORGET: Final = "forget"

ROW: Final = {
    "id": 7,
    "name": "Ada Lovelace",
    "email": "ada@example.org",
    "active": True,
    "balance": 1815.12,
    "roles": ["admin", "author"],
    "city": "London",
}
BARE: Final = "pymemcache Client.get"

tally = Tally()
server = MemcachedServer()
numbers = itertools.count()


def report(account: int) -> dict[str, object]:
    tally.count += 1
    return ROW


question = Question(
    "memcached",
    f"A call on memcached; its result is a dict that takes {len(pickle.dumps(ROW))} bytes as a pickle",
    cases=[
        Case(HIT, "f(7)"),
        Case(MISS, "forget(7); f(7)", computes=1),
        Case(FORGET, "forget(7)"),
    ],
    baseline=BARE,
    unit="us",
    notes=[
        f"{BARE} gets, undecoded, the very bytes that memocache stores, in each table.",
        "The computation is free.",
        f"{FORGET}: what was forgotten before, which is a delete all the same.",
        "A near tier asks memcached once in 5 s, and serves the same object in between.",
        "Peers wait for the answer to each command, as memocache does, but have no deadline, which is quicker.",
    ],
    venue=server.running,
    tally=tally,
)


def client(pymemcache: Any) -> Any:
    return pymemcache.Client(server.address, default_noreply=False)


def pickling_client() -> Any:
    """Return a client that takes any object: for peers that leave that to the client."""
    from pymemcache import Client, serde

    return Client(server.address, default_noreply=False, serde=serde.pickle_serde)


@question.contestant("memocache", "memocache")
def ours(memocache: Any) -> dict[str, Any]:
    f = memocache.cached(timeout=SECONDS, cache=memocache.MemcachedCache([server.address]))(report)
    return {"f": f, "forget": f.uncache}


def bare(pymemcache: Any) -> dict[str, Any]:
    """Return a client's commands, with a key of their own, as long as memocache's, and the bytes that it stores."""
    commands = client(pymemcache)
    f = ours(memocache)["f"]
    f(7)
    key, data = f"{f.key(7)[:-2]}-{next(numbers)}", commands.get(f.key(7))
    commands.set(key, data)
    return {"get": commands.get, "set": commands.set, "delete": commands.delete, "key": key, "data": data}


question.contestant(BARE, "pymemcache", statement="get(key)")(bare)
question.contestant(
    "pymemcache delete, get, set", "pymemcache", cases=[MISS], statement="delete(key); get(key); set(key, data)"
)(bare)
question.contestant("pymemcache delete", "pymemcache", cases=[FORGET], statement="delete(key)")(bare)


@question.contestant("by hand: pymemcache, pickle", "pymemcache")
def by_hand(pymemcache: Any) -> dict[str, Any]:
    commands = client(pymemcache)

    def f(account: int) -> object:
        key = f"report:{account}"
        data = commands.get(key)
        if data is not None:
            return pickle.loads(data)  # noqa: S301 - the bytes are our own
        row = report(account)
        commands.set(key, pickle.dumps(row), expire=SECONDS)
        return row

    return {"f": f, "forget": lambda account: commands.delete(f"report:{account}")}


@question.contestant("dogpile.cache over pymemcache", "dogpile.cache")
def dogpile_pymemcache(dogpile_cache: Any) -> dict[str, Any]:
    region = dogpile_cache.make_region()
    region.configure("dogpile.cache.pymemcache", expiration_time=SECONDS, arguments={"url": [server.address]})
    f = region.cache_on_arguments()(report)
    return {"f": f, "forget": f.invalidate}


@question.contestant("Flask-Caching over pymemcache", "flask-caching")
def flask_caching_pymemcache(flask_caching: Any) -> dict[str, Any]:
    from flask import Flask

    config = {"CACHE_TYPE": "MemcachedCache", "CACHE_MEMCACHED_SERVERS": pickling_client()}
    cache = flask_caching.Cache(Flask(__name__), config=config)
    f = cache.memoize(SECONDS)(report)
    return {"f": f, "forget": lambda account: cache.delete_memoized(f, account)}


@question.contestant("ring over pymemcache", "ring")
def ring_pymemcache(ring: Any) -> dict[str, Any]:
    f = ring.memcache(pickling_client(), expire=SECONDS)(report)
    return {"f": f, "forget": f.delete}


@question.contestant("memocache, with the stamps of three tags", "memocache", cases=[HIT])
def ours_with_tags(memocache: Any) -> dict[str, Any]:
    tags = ("account:{account}", "reports", "everything")
    cache = memocache.MemcachedCache([server.address])
    return {"f": memocache.cached(timeout=SECONDS, tags=tags, namespace="tagged", cache=cache)(report)}


@question.contestant("memocache, with a near tier", "memocache", cases=[HIT])
def ours_with_near(memocache: Any) -> dict[str, Any]:
    cache = memocache.TieredCache(memocache.SimpleCache(), memocache.MemcachedCache([server.address]))
    return {"f": memocache.cached(timeout=SECONDS, namespace="near", cache=cache)(report)}


@question.contestant("libmc Client.get", "libmc", cases=[HIT], statement="get(key)")
def libmc_bare(libmc: Any) -> dict[str, Any]:
    commands = libmc.Client([server.address])
    key = f"libmc-{next(numbers)}"
    commands.set(key, pickle.dumps(ROW))
    return {"get": commands.get, "key": key}


if __name__ == "__main__":
    main([question])
