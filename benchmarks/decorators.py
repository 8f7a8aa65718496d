"""Peers whose caches are in this process, and memocache: what decorates a function, and what may be done besides.

A peer more is an entry here, and its name in the benchmarks that it takes part in.
"""

import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from unittest.mock import patch

from benchmarks.harness import Peers, at_the_end

SIZE: Final = 1000
TIMEOUT: Final = 86_400  # seconds, longer than it takes: nothing is to expire
DAY: Final = timedelta(seconds=TIMEOUT)
HASH_POWER: Final = 16  # of libcachesim's tables: as large as by default, they take longer to make than to use

Function = Callable[..., Any]
Operations = dict[str, Function]  # "clear", "forget" and "store", where there is such a thing

IN_PROCESS: Final = Peers()  # each is built with its module, and the number of entries for which there is room


@dataclass(frozen=True)
class Decorator:
    """A peer's decorator, each time with its arguments anew, as it is written above a function.

    Args:
        decorate: returns the cached function.
        operations: is given that.
    """

    decorate: Callable[[Function], Any]
    operations: Callable[[Any], Operations] = lambda f: {}

    def __call__(self, function: Function) -> Any:
        """Return the cached function."""
        return self.decorate(function)


def chosen(names: str) -> Peers:
    """Return the peers of those *names*, which have semicolons between them."""
    return Peers({name: IN_PROCESS[name] for name in names.split("; ")})


def directory() -> str:
    """Return a new directory that goes away."""
    return at_the_end.enter_context(tempfile.TemporaryDirectory(prefix="mc"))


def add(
    name: str, package: str, make: Function, operations: Callable[[Any, Any], Operations] = lambda module, f: {}
) -> None:
    """Add a peer of whose decorators each makes a cache of its own."""
    IN_PROCESS.add(name, package)(
        lambda module, size: Decorator(lambda f: make(module, size)(f), lambda f: operations(module, f))
    )


# ---- each function has a cache of its own ------------------------------------------------------------------------


def cachetools_operations(cachetools: Any, f: Any) -> Operations:
    cache = f.cache
    return {
        "clear": f.cache_clear,
        "forget": lambda number: cache.pop(f.cache_key(number), None),
        "store": cache.__setitem__,
    }


def locked_operations(cachetools: Any, f: Any) -> Operations:
    def forget(number: int) -> None:
        with f.cache_lock:
            f.cache.pop(f.cache_key(number), None)

    def store(key: str, value: int) -> None:
        with f.cache_lock:
            f.cache[key] = value

    return {"clear": f.cache_clear, "forget": forget, "store": store}


def cachebox_operations(cachebox: Any, f: Any) -> Operations:
    cache = f.cache
    return {
        "clear": cache.clear,
        "forget": lambda number: cache.pop(cachebox.make_key(number), None),
        "store": cache.insert,
    }


def ring_operations(ring: Any, f: Any) -> Operations:
    return {"clear": f.storage.backend.clear, "forget": f.delete}


def clear(module: Any, f: Any) -> Operations:
    return {"clear": f.cache_clear}


add("no cache", "builtins", lambda m, size: lambda f: f, lambda m, f: {"clear": lambda: None})
for library in ("functools", "methodtools", "wrapt"):
    add(f"{library}.lru_cache", library, lambda m, size: m.lru_cache(maxsize=size), clear)
add("cachetools TTLCache", "cachetools", lambda m, size: m.cached(m.TTLCache(size, TIMEOUT)), cachetools_operations)
add(
    "cachetools TTLCache, lock",
    "cachetools",
    lambda m, size: m.cached(m.TTLCache(size, TIMEOUT), lock=threading.Lock()),
    locked_operations,
)
add(
    "cachetools TTLCache, condition",
    "cachetools",
    lambda m, size: m.cached(m.TTLCache(size, TIMEOUT), condition=threading.Condition()),
)
add("cachetools LFUCache", "cachetools", lambda m, size: m.cached(m.LFUCache(size)))
add("cachebox TTLCache", "cachebox", lambda m, size: m.cached(m.TTLCache(size, TIMEOUT)), cachebox_operations)
add("cachebox LRUCache", "cachebox", lambda m, size: m.cached(m.LRUCache(size)))
add("cachebox LFUCache", "cachebox", lambda m, size: m.cached(m.LFUCache(size)))
add("moka-py ttl", "moka-py", lambda m, size: m.cached(maxsize=size, ttl=TIMEOUT), clear)
add("moka-py tiny_lfu", "moka-py", lambda m, size: m.cached(maxsize=size, ttl=TIMEOUT))
add("moka-py lru", "moka-py", lambda m, size: m.cached(maxsize=size, ttl=TIMEOUT, policy="lru"))
add("moka-py ttl, wait_concurrent", "moka-py", lambda m, size: m.cached(size, ttl=TIMEOUT, wait_concurrent=True))
add("ring.lru", "ring", lambda m, size: m.lru(maxsize=size, expire=TIMEOUT), ring_operations)
add(
    "cachier memory",
    "cachier",
    lambda m, size: m.cachier(backend="memory", stale_after=DAY),
    lambda m, f: {"clear": f.clear_cache},
)
add("async_lru ttl", "async-lru", lambda m, size: m.alru_cache(maxsize=size, ttl=TIMEOUT))
add("aiocache memory", "aiocache", lambda m, size: m.cached(ttl=TIMEOUT))
add("aiocache memory, stampede", "aiocache", lambda m, size: m.cached_stampede(lease=10, ttl=TIMEOUT))

# ---- functions share a cache, or there is more to do -------------------------------------------------------------


@IN_PROCESS.add("memocache", "memocache")
def ours(memocache: Any, size: int) -> Decorator:
    cache = memocache.SimpleCache(threshold=size, default_timeout=TIMEOUT)
    return Decorator(
        lambda f: memocache.cached(timeout=TIMEOUT, cache=cache)(f),
        lambda f: {"clear": f.uncache_all, "forget": f.uncache, "store": cache.set},
    )


@IN_PROCESS.add("memocache, in Python", "memocache")
def ours_in_python(memocache: Any, size: int) -> Decorator:
    """As it is where the part in C is not built; only the fields of an entry stay in C, which is there once."""
    made = ours(memocache, size)

    def decorate(function: Function) -> Any:
        with ExitStack() as patches:
            for module in (memocache._compile, memocache._function):
                patches.enter_context(patch.object(module, "hit", None))
            return made.decorate(function)

    return Decorator(decorate, made.operations)


@IN_PROCESS.add("memocache, get and set", "memocache")
def ours_by_hand(memocache: Any, size: int) -> Decorator:
    cache = memocache.SimpleCache(threshold=size, default_timeout=TIMEOUT)

    def decorate(compute: Function) -> Function:
        def f(number: int) -> object:
            value = cache.get(f"{number}")
            if value is None:
                value = compute(number)
                cache.set(f"{number}", value)
            return value

        return f

    return Decorator(decorate)


@IN_PROCESS.add("a dict, without a limit", "builtins")
def bare_dict(builtins: Any, size: int) -> Decorator:
    def decorate(compute: Function) -> Function:
        table: dict[int, object] = {}

        def f(number: int) -> object:
            try:
                return table[number]
            except KeyError:
                value = table[number] = compute(number)
                return value

        return f

    return Decorator(decorate)


def cachetools_method(cachetools: Any, size: int, **options: Any) -> Decorator:
    cache, key = cachetools.TTLCache(size, TIMEOUT), cachetools.keys.hashkey
    return Decorator(lambda f: cachetools.cachedmethod(lambda self: cache, key=key, **options)(f))


@IN_PROCESS.add("cachetools.cachedmethod TTLCache, lock", "cachetools")
def cachetools_method_with_lock(cachetools: Any, size: int) -> Decorator:
    lock = threading.Lock()
    return cachetools_method(cachetools, size, lock=lambda self: lock)


IN_PROCESS.add("cachetools.cachedmethod TTLCache", "cachetools")(cachetools_method)


@IN_PROCESS.add("theine", "theine")
def theine_memoize(theine: Any, size: int) -> Decorator:
    memoize = theine.Memoize(size, DAY)
    at_the_end.callback(memoize.cache.close)  # it has a thread
    return Decorator(memoize)


@IN_PROCESS.add("dogpile.cache memory", "dogpile.cache")
def dogpile_memory(dogpile_cache: Any, size: int) -> Decorator:
    entries: dict[str, Any] = {}
    region = dogpile_cache.make_region()
    region.configure("dogpile.cache.memory", expiration_time=TIMEOUT, arguments={"cache_dict": entries})
    return Decorator(
        lambda f: region.cache_on_arguments()(f), lambda f: {"clear": entries.clear, "forget": f.invalidate}
    )


@IN_PROCESS.add("diskcache", "diskcache")
def diskcache_memoize(diskcache: Any, size: int) -> Decorator:
    cache = diskcache.Cache(directory())
    at_the_end.callback(cache.close)
    return Decorator(
        lambda f: cache.memoize(expire=TIMEOUT)(f),
        lambda f: {"clear": cache.clear, "forget": lambda number: cache.delete(f.__cache_key__(number))},
    )


@IN_PROCESS.add("Flask-Caching SimpleCache", "flask-caching")
def flask_caching_simple(flask_caching: Any, size: int) -> Decorator:
    from flask import Flask

    cache = flask_caching.Cache(Flask(__name__), config={"CACHE_TYPE": "SimpleCache", "CACHE_THRESHOLD": size})

    def operations(f: Any) -> Operations:
        return {"clear": cache.clear, "forget": lambda number: cache.delete_memoized(f, number), "store": cache.set}

    return Decorator(lambda f: cache.memoize(TIMEOUT)(f), operations)


@IN_PROCESS.add("joblib.Memory", "joblib")
def joblib_memory(joblib: Any, size: int) -> Decorator:
    memory = joblib.Memory(directory(), verbose=0)
    return Decorator(lambda f: memory.cache(f))


@IN_PROCESS.add("cashews memory", "cashews")
def cashews_memory(cashews: Any, size: int, **options: Any) -> Decorator:
    cache = cashews.Cache()
    cache.setup(f"mem://?size={size}")
    return Decorator(lambda f: cache(ttl=TIMEOUT, key="f:{number}", **options)(f))


IN_PROCESS.add("cashews memory, lock", "cashews")(lambda cashews, size: cashews_memory(cashews, size, lock=True))


def simulated(policy: str) -> Callable[[Any, int], Decorator]:
    """Return what builds a decorator that only knows which keys a cache with that *policy* would have."""

    def build(libcachesim: Any, size: int) -> Decorator:
        cache = getattr(libcachesim, policy)(size, hashpower=HASH_POWER)
        request = libcachesim.Request()
        request.obj_size = 1

        def decorate(compute: Function) -> Function:
            def f(number: int) -> object:
                request.obj_id = number
                return cache.get(request) or compute(number)

            return f

        return Decorator(decorate)

    return build


for policy in ("LRU", "FIFO", "LFU", "ARC", "TwoQ", "Sieve", "SLRU", "LIRS", "LeCaR", "WTinyLFU", "Cacheus", "S3FIFO"):
    IN_PROCESS.add(f"libcachesim {policy}", "libcachesim")(simulated(policy))
