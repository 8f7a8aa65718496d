"""What happens when many tasks ask at once for what is not there; as `benchmarks.herd` asks it of threads."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any, Final

from benchmarks.command import main
from benchmarks.harness import WrongWork
from benchmarks.herd import Question
from benchmarks.roster import Roster
from benchmarks.server import MemcachedServer

SIZE: Final = 1000
TIMEOUT: Final = 86_400

roster = Roster()
server = MemcachedServer()

Awaited = Callable[[int], Awaitable[object]]


class Cold:
    """A cached coroutine function that takes its time."""

    def __init__(self, decorate: Callable[[Awaited], Awaited], seconds: float) -> None:
        self._computed = 0
        self._key = 0

        async def compute(number: int) -> int:
            self._computed += 1
            await asyncio.sleep(seconds)
            return number

        self._f = decorate(compute)
        self._runner = asyncio.Runner()

    def stampede(self, size: int) -> tuple[int, float]:
        """Let *size* tasks ask at once for what was never asked for; return computations, and seconds for all."""
        self._key += 1
        before = self._computed
        return self._runner.run(self._ask(size)) if size else (self._computed - before, 0.0)

    async def _ask(self, size: int) -> tuple[int, float]:
        before, begin = self._computed, time.perf_counter()
        values = await asyncio.gather(*(self._f(self._key) for _ in range(size)))
        taken = time.perf_counter() - begin
        if any(value != self._key for value in values):
            raise WrongWork("somebody was given no value, or another's")
        return self._computed - before, taken


# ---- the contestants: a builder returns what decorates a function; *venue* closes what it opens ------------------


@roster.contestant("memocache", "memocache")
def ours(memocache: Any, venue: ExitStack) -> Any:
    return memocache.cached(timeout=TIMEOUT, cache=memocache.SimpleCache(threshold=SIZE))


@roster.contestant("memocache on memcached", "memocache")
def ours_on_memcached(memocache: Any, venue: ExitStack) -> Any:
    venue.enter_context(server.running())
    return memocache.cached(timeout=TIMEOUT, cache=memocache.MemcachedCache([server.address]), namespace="tasks")


@roster.contestant("moka-py ttl", "moka-py")
def moka_ttl(moka_py: Any, venue: ExitStack) -> Any:
    return moka_py.cached(maxsize=SIZE, ttl=TIMEOUT)


@roster.contestant("moka-py ttl, wait_concurrent", "moka-py")
def moka_waiting(moka_py: Any, venue: ExitStack) -> Any:
    return moka_py.cached(maxsize=SIZE, ttl=TIMEOUT, wait_concurrent=True)


@roster.contestant("cachebox TTLCache", "cachebox")
def cachebox_ttl(cachebox: Any, venue: ExitStack) -> Any:
    return cachebox.cached(cachebox.TTLCache(SIZE, TIMEOUT))


@roster.contestant("async_lru ttl", "async-lru")
def async_lru_ttl(async_lru: Any, venue: ExitStack) -> Any:
    return async_lru.alru_cache(maxsize=SIZE, ttl=TIMEOUT)


@roster.contestant("aiocache memory", "aiocache")
def aiocache_memory(aiocache: Any, venue: ExitStack) -> Any:
    return aiocache.cached(ttl=TIMEOUT)


@roster.contestant("aiocache memory, stampede", "aiocache")
def aiocache_stampede(aiocache: Any, venue: ExitStack) -> Any:
    return aiocache.cached_stampede(lease=10, ttl=TIMEOUT)


@roster.contestant("cashews memory", "cashews")
def cashews_memory(cashews: Any, venue: ExitStack) -> Any:
    cache = cashews.Cache()
    cache.setup(f"mem://?size={SIZE}")
    return cache(ttl=TIMEOUT, key="f:{number}")


@roster.contestant("cashews memory, lock", "cashews")
def cashews_lock(cashews: Any, venue: ExitStack) -> Any:
    cache = cashews.Cache()
    cache.setup(f"mem://?size={SIZE}")
    return cache(ttl=TIMEOUT, key="f:{number}", lock=True)


question = Question(roster, "tasks", "Many tasks ask at once for what is not there", "task", Cold)

if __name__ == "__main__":
    main([question])
