"""TieredCache in asyncio: what is near blocks nobody and needs no thread; and nothing is lost with a task."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from memocache import MISSING, AsyncCachedFunction, SimpleCache, TieredCache, cached
from tests.support.servers import MemcachedServer, wait_until
from tests.support.threads import PATIENCE
from tests.support.tiers import Watched


@pytest.fixture
def far(memcached: MemcachedServer, prefix: str) -> Watched:
    return Watched([memcached.address], key_prefix=prefix, timeout=5)


@pytest.fixture
def cache(far: Watched) -> TieredCache:
    return TieredCache(SimpleCache(), far, near_timeout=60)


def listed(cache: TieredCache, **options: Any) -> AsyncCachedFunction[[int], list[int]]:
    @cached(cache=cache, namespace="f", **options)
    async def f(x: int) -> list[int]:
        return [x]

    return f


@pytest.mark.parametrize("options", [{}, {"copy": True}, {"key": lambda x: x}], ids=["alias", "copy", "key"])
async def test_a_near_hit_needs_no_thread(
    far: Watched, cache: TieredCache, options: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    f = listed(cache, **options)

    for _ in range(2):
        assert await f(1) == [1]
    far.asked.clear()
    monkeypatch.setattr("memocache._pool._threads", lambda: 1 / 0)
    for _ in range(3):
        assert await f(1) == [1]
    assert await f.many([(1,), (1,)]) == [[1], [1]]
    assert await f.peek(1) == [1]
    assert far.asked == []
    assert f.info().hits == 6


async def test_far_is_asked_without_blocking_the_loop(far: Watched, cache: TieredCache) -> None:
    f = listed(cache)
    asking, go = threading.Event(), threading.Event()

    for name, call in [("look", f), ("claim", f.refresh), ("fill", f.refresh), ("forget_call", f.uncache)]:
        asking.clear()
        go.clear()
        far.before[name] = lambda: asking.set() or go.wait(PATIENCE)
        task = asyncio.create_task(call(1))
        while not asking.is_set():
            await asyncio.sleep(0)
        assert not task.done()
        go.set()
        await task


async def cancelled_in(far: Watched, name: str, call: Callable[[], Awaitable[Any]]) -> None:
    """Cancel *call* while far is being asked that, and return when far has answered."""
    asking, go, answered = threading.Event(), threading.Event(), threading.Event()
    far.before[name] = lambda: asking.set() or go.wait(PATIENCE)
    far.after[name] = answered.set
    task = asyncio.ensure_future(call())
    while not asking.is_set():
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    assert answered.wait(PATIENCE)


async def test_a_lease_that_comes_for_a_cancelled_task_is_given_back(far: Watched, cache: TieredCache) -> None:
    f = listed(cache)

    await cancelled_in(far, "look", lambda: f(1))
    assert wait_until(lambda: "fill" in far.asked)
    assert await asyncio.wait_for(f(1), PATIENCE) == [1]
    assert f.info().failures == 0


async def test_what_comes_for_a_cancelled_task_is_near_all_the_same(far: Watched, cache: TieredCache) -> None:
    f = listed(cache)

    await f(1)
    await cancelled_in(far, "look", lambda: f(1))
    assert wait_until(lambda: len(cache.near) == 1)
    far.asked.clear()
    assert await f(1) == [1]
    assert far.asked == []


@pytest.mark.parametrize("how", ["uncache", "uncache_all"])
async def test_a_forgetting_that_is_cancelled_ends_in_near_too(far: Watched, cache: TieredCache, how: str) -> None:
    f = listed(cache)

    await f(1)
    await f(1)
    assert len(cache.near) == 1
    if how == "uncache":
        await cancelled_in(far, "forget_call", lambda: f.uncache(1))
    else:
        await cancelled_in(far, "forget_tag", f.uncache_all)
    assert wait_until(lambda: len(cache.near) == 0)
    assert await f.peek(1) is MISSING
