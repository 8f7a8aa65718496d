"""How long a miss in this process takes, with room and without; an insert by itself; and forgetting."""

import itertools
import threading
from datetime import timedelta
from typing import Any, Final

from benchmarks.command import main
from benchmarks.harness import Case, Question, Tally
from benchmarks.scratch import Scratch

SIZE: Final = 1000
SECONDS: Final = 300
FILL: Final = "insert, with room"
EVICT: Final = "insert that evicts"
STORE: Final = "the cache's own insert that evicts"
FORGET: Final = "forget one call"
NOTHING: Final = "forget one call that was not there"
BASELINE: Final = "cachetools TTLCache, lock"

tally = Tally()
scratch = Scratch()


def work(number: int) -> int:
    tally.count += 1
    return number


def full(names: dict[str, Any]) -> dict[str, Any]:
    """Fill the cache twice over, so that it is in the state in which it stays."""
    for number in range(2 * SIZE):
        names["f"](number)
    return {**names, "numbers": itertools.count(2 * SIZE)}


question = Question(
    "miss",
    "A miss in this process, its computation free, and forgetting",
    cases=[
        Case(FILL, "f(next(numbers))", computes=1, setup="clear(); numbers = iter(range(calls))", most=SIZE),
        Case(EVICT, "f(next(numbers))", full, computes=1),
        Case(
            STORE,
            "store(next(keys), 7)",
            full,
            setup="keys = iter([str(next(numbers)) for _ in range(calls)])",
        ),
        Case(
            FORGET,
            "forget(next(numbers))",
            setup="for number in range(calls): f(number)\nnumbers = iter(range(calls))",
            most=SIZE,
        ),
        Case(NOTHING, "forget(-1)"),
    ],
    baseline=BASELINE,
    unit="us",
    notes=[
        f"Room for {SIZE} entries and a timeout of {SECONDS} s, where there can be.",
        f"{FILL}: into an empty cache, up to {SIZE} calls. {EVICT}: into a full one, each time another call.",
        f"{STORE}: without a decorated function, and under a text.",
        "moka-py, theine and the lru_caches have no way to forget one call; some others have no number of entries.",
        "theine is not among those that are cleared between the rounds.",
    ],
    venue=scratch.kept,
    tally=tally,
)


@question.contestant("memocache", "memocache")
def ours(memocache: Any) -> dict[str, Any]:
    cache = memocache.SimpleCache(threshold=SIZE, default_timeout=SECONDS)
    f = memocache.cached(cache=cache)(work)
    return {"f": f, "clear": f.uncache_all, "forget": f.uncache, "store": cache.set}


@question.contestant("no cache", "builtins", cases=[FILL, EVICT])
def no_cache(builtins: Any) -> dict[str, Any]:
    return {"f": work, "clear": lambda: None}


@question.contestant("functools.lru_cache", "functools", cases=[FILL, EVICT])
def lru_cache(functools: Any) -> dict[str, Any]:
    f = functools.lru_cache(maxsize=SIZE)(work)
    return {"f": f, "clear": f.cache_clear}


@question.contestant("wrapt.lru_cache", "wrapt", cases=[FILL, EVICT])
def wrapt_lru(wrapt: Any) -> dict[str, Any]:
    f = wrapt.lru_cache(maxsize=SIZE)(work)
    return {"f": f, "clear": f.cache_clear}


@question.contestant(BASELINE, "cachetools")
def cachetools_with_lock(cachetools: Any) -> dict[str, Any]:
    f = cachetools.cached(cachetools.TTLCache(SIZE, SECONDS), lock=threading.Lock())(work)

    def forget(number: int) -> None:
        with f.cache_lock:
            f.cache.pop(f.cache_key(number), None)

    def store(key: str, value: int) -> None:
        with f.cache_lock:
            f.cache[key] = value

    return {"f": f, "clear": f.cache_clear, "forget": forget, "store": store}


@question.contestant("cachetools TTLCache", "cachetools")
def cachetools_without_lock(cachetools: Any) -> dict[str, Any]:
    cache = cachetools.TTLCache(SIZE, SECONDS)
    f = cachetools.cached(cache)(work)

    def forget(number: int) -> None:
        cache.pop(f.cache_key(number), None)

    return {"f": f, "clear": f.cache_clear, "forget": forget, "store": cache.__setitem__}


@question.contestant("cachebox TTLCache", "cachebox")
def cachebox_ttl(cachebox: Any) -> dict[str, Any]:
    cache = cachebox.TTLCache(SIZE, SECONDS)
    f = cachebox.cached(cache)(work)

    def forget(number: int) -> None:
        cache.pop(cachebox.make_key(number), None)

    return {"f": f, "clear": cache.clear, "forget": forget, "store": cache.insert}


@question.contestant("moka-py ttl", "moka-py", cases=[FILL, EVICT])
def moka_ttl(moka_py: Any) -> dict[str, Any]:
    f = moka_py.cached(maxsize=SIZE, ttl=SECONDS)(work)
    return {"f": f, "clear": f.cache_clear}


@question.contestant("theine", "theine", cases=[EVICT])
def theine_memoize(theine: Any) -> dict[str, Any]:
    memoize = theine.Memoize(SIZE, timedelta(seconds=SECONDS))
    scratch.at_the_end(memoize.cache.close)  # it has a thread
    return {"f": memoize(work)}


@question.contestant("dogpile.cache memory", "dogpile.cache", cases=[FILL, FORGET, NOTHING])
def dogpile_memory(dogpile_cache: Any) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    region = dogpile_cache.make_region()
    region.configure("dogpile.cache.memory", expiration_time=SECONDS, arguments={"cache_dict": entries})
    f = region.cache_on_arguments()(work)
    return {"f": f, "clear": entries.clear, "forget": f.invalidate}


@question.contestant("ring.lru", "ring", cases=[FILL, EVICT, FORGET, NOTHING])
def ring_lru(ring: Any) -> dict[str, Any]:
    from ring.func.lru_cache import LruCache

    entries = LruCache(SIZE)
    f = ring.lru(entries, expire=SECONDS)(work)
    return {"f": f, "clear": entries.clear, "forget": f.delete}


@question.contestant("cachier memory", "cachier", cases=[FILL])
def cachier_memory(cachier: Any) -> dict[str, Any]:
    f = cachier.cachier(backend="memory", stale_after=timedelta(seconds=SECONDS))(work)
    return {"f": f, "clear": f.clear_cache}


@question.contestant("diskcache", "diskcache", cases=[FILL, FORGET, NOTHING])
def diskcache_memoize(diskcache: Any) -> dict[str, Any]:
    cache = diskcache.Cache(scratch.directory())
    scratch.at_the_end(cache.close)
    f = cache.memoize(expire=SECONDS)(work)
    return {"f": f, "clear": cache.clear, "forget": lambda number: cache.delete(f.__cache_key__(number))}


@question.contestant("Flask-Caching SimpleCache", "flask-caching")
def flask_caching_simple(flask_caching: Any) -> dict[str, Any]:
    from flask import Flask

    config = {"CACHE_TYPE": "SimpleCache", "CACHE_THRESHOLD": SIZE}
    cache = flask_caching.Cache(Flask(__name__), config=config)
    f = cache.memoize(SECONDS)(work)

    def forget(number: int) -> None:
        cache.delete_memoized(f, number)

    return {"f": f, "clear": cache.clear, "forget": forget, "store": cache.set}


if __name__ == "__main__":
    main([question])
