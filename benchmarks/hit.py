"""How long a hit in this process takes."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from benchmarks.command import main
from benchmarks.harness import Case, Question, Tally
from benchmarks.scratch import Scratch

SIZE: Final = 1000
SECONDS: Final = 300

tally = Tally()
scratch = Scratch()


def of_one(decorate: Callable[..., Any]) -> dict[str, Any]:
    @decorate
    def f(a: int) -> int:
        tally.count += 1
        return a

    return {"f": f}


def of_two(decorate: Callable[..., Any]) -> dict[str, Any]:
    @decorate
    def f(a: int, b: int) -> int:
        tally.count += 1
        return a + b

    return {"f": f}


def of_three(decorate: Callable[..., Any]) -> dict[str, Any]:
    @decorate
    def f(a: int, b: int = 0, c: int = 0) -> int:
        tally.count += 1
        return a + b + c

    return {"f": f}


def method(decorate: Callable[..., Any]) -> dict[str, Any]:
    class Shop:
        @decorate
        def total(self, a: int) -> int:
            tally.count += 1
            return a

    return {"shop": Shop()}


FUNCTIONS: Final = {"f(1)": of_one, "f(1, 2)": of_two, "f(1, b=2, c=4)": of_three}
METHOD: Final = "shop.total(1)"

question = Question(
    "hit",
    "A hit in this process",
    cases=[Case(call, call, prepare) for call, prepare in {**FUNCTIONS, METHOD: method}.items()],
    baseline="functools.lru_cache",
    unit="ns",
    notes=[
        "Each function has as many parameters as its call names.",
        f"Room for {SIZE} entries and a timeout of {SECONDS} s, where there can be: no lru_cache has a timeout,",
        "and cachier, diskcache, dogpile.cache and joblib have no number of entries.",
        "cachier and dogpile.cache leave a method's `self` out of the key. diskcache and joblib keep entries in files.",
    ],
    venue=scratch.kept,
    tally=tally,
)


@question.contestant("memocache", "memocache")
def ours(memocache: Any) -> Any:
    return memocache.cached(timeout=SECONDS, cache=memocache.SimpleCache(threshold=SIZE))


@question.contestant("functools.lru_cache", "functools")
def lru_cache(functools: Any) -> Any:
    return functools.lru_cache(maxsize=SIZE)


@question.contestant("cachetools TTLCache", "cachetools", cases=FUNCTIONS)
def cachetools_without_lock(cachetools: Any) -> Any:
    return cachetools.cached(cachetools.TTLCache(SIZE, SECONDS))


@question.contestant("cachetools TTLCache, lock", "cachetools", cases=FUNCTIONS)
def cachetools_with_lock(cachetools: Any) -> Any:
    return cachetools.cached(cachetools.TTLCache(SIZE, SECONDS), lock=threading.Lock())


@question.contestant("cachetools.cachedmethod TTLCache", "cachetools", cases=[METHOD])
def cachetools_method_without_lock(cachetools: Any) -> Any:
    cache = cachetools.TTLCache(SIZE, SECONDS)
    return cachetools.cachedmethod(lambda shop: cache, key=cachetools.keys.hashkey)


@question.contestant("cachetools.cachedmethod TTLCache, lock", "cachetools", cases=[METHOD])
def cachetools_method_with_lock(cachetools: Any) -> Any:
    cache, lock = cachetools.TTLCache(SIZE, SECONDS), threading.Lock()
    return cachetools.cachedmethod(lambda shop: cache, key=cachetools.keys.hashkey, lock=lambda shop: lock)


@question.contestant("cachebox TTLCache", "cachebox")
def cachebox_ttl(cachebox: Any) -> Any:
    return cachebox.cached(cachebox.TTLCache(SIZE, SECONDS))


@question.contestant("moka-py ttl", "moka-py")
def moka_ttl(moka_py: Any) -> Any:
    return moka_py.cached(maxsize=SIZE, ttl=SECONDS)


@question.contestant("dogpile.cache memory", "dogpile.cache")
def dogpile_memory(dogpile_cache: Any) -> Any:
    region = dogpile_cache.make_region().configure("dogpile.cache.memory", expiration_time=SECONDS)
    return region.cache_on_arguments()


@question.contestant("theine", "theine")
def theine_memoize(theine: Any) -> Any:
    memoize = theine.Memoize(SIZE, timedelta(seconds=SECONDS))
    scratch.at_the_end(memoize.cache.close)  # it has a thread
    return memoize


@question.contestant("ring.lru", "ring", cases=FUNCTIONS)
def ring_lru(ring: Any) -> Any:
    return ring.lru(maxsize=SIZE, expire=SECONDS)


@question.contestant("cachier memory", "cachier")
def cachier_memory(cachier: Any) -> Any:
    return cachier.cachier(backend="memory", stale_after=timedelta(seconds=SECONDS))


@question.contestant("diskcache", "diskcache", cases=FUNCTIONS)
def diskcache_memoize(diskcache: Any) -> Any:
    cache = diskcache.Cache(scratch.directory())
    scratch.at_the_end(cache.close)
    return cache.memoize(expire=SECONDS)


@question.contestant("Flask-Caching SimpleCache", "flask-caching")
def flask_caching_simple(flask_caching: Any) -> Any:
    from flask import Flask

    config = {"CACHE_TYPE": "SimpleCache", "CACHE_THRESHOLD": SIZE}
    return flask_caching.Cache(Flask(__name__), config=config).memoize(SECONDS)


@question.contestant("joblib.Memory", "joblib", cases=FUNCTIONS)
def joblib_memory(joblib: Any) -> Any:
    return joblib.Memory(scratch.directory(), verbose=0).cache


@question.contestant("methodtools.lru_cache", "methodtools", cases=[METHOD])
def methodtools_lru(methodtools: Any) -> Any:
    return methodtools.lru_cache(maxsize=SIZE)


@question.contestant("wrapt.lru_cache", "wrapt")
def wrapt_lru(wrapt: Any) -> Any:
    return wrapt.lru_cache(maxsize=SIZE)


if __name__ == "__main__":
    main([question])
