"""How long an awaited hit in this process takes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from benchmarks.command import main
from benchmarks.harness import Case, Question, Tally

SIZE: Final = 1000
SECONDS: Final = 300
HITS: Final = 1000  # that one statement awaits: its microseconds are the nanoseconds of one

tally = Tally()


class Loop:
    """An event loop that awaits many hits at a stretch."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def running(self) -> asyncio.AbstractEventLoop:
        """Return the loop, made when it is first needed."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        return self._loop

    def prepare(self, decorate: Callable[..., Any]) -> dict[str, Any]:
        """Return what the statement uses: a function that awaits a thousand hits."""

        @decorate
        async def f(a: int) -> int:
            tally.count += 1
            return a

        return {"run": self.running().run_until_complete, "hits": lambda: hits(f)}


async def hits(f: Callable[[int], Awaitable[int]]) -> None:
    for _ in range(HITS):
        await f(1)


loop = Loop()

question = Question(
    "awaited",
    "An awaited hit in this process",
    cases=[Case("await f(1)", "run(hits())", loop.prepare)],
    baseline="moka-py ttl",
    unit="us",
    notes=[
        f"Of {HITS:,} hits that one task awaits: microseconds of all are nanoseconds of each.",
        f"Room for {SIZE} entries and a timeout of {SECONDS} s, where there can be.",
    ],
    tally=tally,
)


@question.contestant("memocache", "memocache")
def ours(memocache: Any) -> Any:
    return memocache.cached(timeout=SECONDS, cache=memocache.SimpleCache(threshold=SIZE))


@question.contestant("moka-py ttl", "moka-py")
def moka_ttl(moka_py: Any) -> Any:
    return moka_py.cached(maxsize=SIZE, ttl=SECONDS)


@question.contestant("cachebox TTLCache", "cachebox")
def cachebox_ttl(cachebox: Any) -> Any:
    return cachebox.cached(cachebox.TTLCache(SIZE, SECONDS))


@question.contestant("async_lru ttl", "async-lru")
def async_lru_ttl(async_lru: Any) -> Any:
    return async_lru.alru_cache(maxsize=SIZE, ttl=SECONDS)


@question.contestant("aiocache memory", "aiocache")
def aiocache_memory(aiocache: Any) -> Any:
    return aiocache.cached(ttl=SECONDS)


@question.contestant("cashews memory", "cashews")
def cashews_memory(cashews: Any) -> Any:
    cache = cashews.Cache()
    cache.setup(f"mem://?size={SIZE}")
    return cache(ttl=SECONDS, key="f:{a}")


if __name__ == "__main__":
    main([question])
