"""How long a hit in this process takes."""

import threading
from collections.abc import Callable
from typing import Any, Final

from benchmarks.command import main
from benchmarks.harness import Case, Question, Tally

SIZE: Final = 1000
SECONDS: Final = 300

tally = Tally()


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
        f"Room for {SIZE} entries, a timeout of {SECONDS} s where there can be one: not in lru_cache.",
        "dogpile.cache leaves a method's `self` out of the key.",
    ],
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


if __name__ == "__main__":
    main([question])
