"""Coroutine functions, as asyncio sees them: tasks share one computation, and none of them cancels the others."""

import asyncio
import contextlib
import functools
import gc
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import Any

import freezegun
import pytest
import time_machine

from memocache import MISSING, Cache, MemcachedCache, SimpleCache, UncacheFailed, cached, disabled
from memocache._flight import Flight
from tests.support.refusals import refusal
from tests.support.servers import MemcachedServer
from tests.support.threads import PATIENCE, start


class Gated:
    """A coroutine function that says when it is being computed, and goes on when it may."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.go = asyncio.Event()
        self.computed = self.cleaned = 0

    async def __call__(self, x: Any) -> Any:
        self.computed += 1
        self.began.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            self.cleaned += 1
            raise
        return [x]


def gated(cache: Cache, **options: Any) -> tuple[Any, Gated]:
    gate = Gated()

    @cached(cache=cache, namespace="gated", **options)
    async def f(x: Any) -> Any:
        return await gate(x)

    return f, gate


async def joined(cache: Any, count: int) -> None:
    """Return once *count* calls wait for one computation: on a server, each has to look first."""
    while sum(len(flight._wake) for flight in getattr(cache, "_own_leases", cache)._flights.values()) < count:
        await asyncio.sleep(0)


async def cancelled(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# ---- what it is ------------------------------------------------------------------------------------------------------


@cached(timeout=60)
async def area(w: int, h: int = 2) -> int:
    """Return the area."""
    return w * h


class Shape:
    def __init__(self, side: int) -> None:
        self.side = side

    @cached
    async def scaled(self, by: int) -> int:
        return self.side * by

    @cached
    @classmethod
    async def made(cls, side: int) -> str:
        return f"{cls.__name__} {side}"

    @cached
    @staticmethod
    async def half(side: int) -> float:
        return side / 2

    async def __call__(self, by: int) -> int:
        return self.side * by


@pytest.mark.filterwarnings("ignore:'asyncio.iscoroutinefunction':DeprecationWarning")
def test_it_is_a_coroutine_function_still() -> None:
    assert inspect.iscoroutinefunction(area)
    assert asyncio.iscoroutinefunction(area)
    assert inspect.iscoroutinefunction(Shape(3).scaled)
    assert (area.__name__, area.__doc__, str(inspect.signature(area))) == (
        "area",
        "Return the area.",
        "(w: int, h: int = 2) -> int",
    )


def test_what_waits_is_awaited_and_what_does_not_is_not() -> None:
    for name in ("uncache", "uncache_all", "refresh", "peek", "put", "cache_clear"):
        assert inspect.iscoroutinefunction(getattr(area, name)), name
    for name in ("key", "info", "cache_info"):
        assert not inspect.iscoroutinefunction(getattr(area, name)), name


async def test_methods_callables_and_partials() -> None:
    shape = Shape(3)
    assert [await shape.scaled(2), await shape.scaled(by=2)] == [6, 6]
    assert shape.scaled.info().misses == 1
    assert await shape.scaled.uncache(2) is True
    assert await Shape(4).scaled(2) == 8
    assert await Shape.made(1) == await Shape.made(side=1) == "Shape 1"
    assert await Shape.half(3) == 1.5
    called = cached(shape)
    assert [await called(5), await called(by=5)] == [15, 15]
    assert called.info().misses == 1
    partial = cached(functools.partial(area.__wrapped__, 3))
    assert await partial() == await partial(h=2) == 6


def test_a_function_that_hands_out_coroutines_is_refused_when_it_does(cache: Cache) -> None:
    @cached(cache=cache, namespace="local")
    def hidden(x: int) -> Any:
        return area.__wrapped__(x)

    assert refusal(hidden, 1) == (
        "the cached function returned a coroutine, which can be awaited once only; "
        "put @cached on the coroutine function (async def) itself"
    )


def test_without_a_running_loop_a_computation_is_refused_and_a_hit_is_not() -> None:
    async def main() -> None:
        await area(7)

    asyncio.run(main())
    with pytest.raises(StopIteration) as hit:
        area(7).send(None)
    assert hit.value.value == 14
    assert refusal(area(8).send, None) == (
        "a cached coroutine function needs a running event loop of asyncio, and there is none here; "
        "with trio, run it in one, or cache an ordinary function that is called in a thread"
    )
    asyncio.run(main())


async def test_disabled_computes(cache: Cache) -> None:
    f, gate = gated(cache)
    gate.go.set()
    with disabled():
        assert [await f(1), await f(1)] == [[1], [1]]
        assert await f.refresh(1) == [1]
        await f.put("given", 1)
        assert await f.peek(1) is MISSING
    assert gate.computed == 3
    assert await f.peek(1) is MISSING


def test_while_disabled_a_wrong_one_among_many_leaves_the_other_calls_alone() -> None:
    computed = []

    @cached
    async def f(x: int) -> None:
        computed.append(x)

    with disabled(), pytest.raises(TypeError, match=r"f\(\) takes 1 positional argument but 2 were given"):
        asyncio.run(f.many([(1,), (2, 2), (3,)]))
    assert computed == [1, 3]


# ---- one computation -------------------------------------------------------------------------------------------------


def test_500_tasks_and_64_threads_and_one_computation(cache: Cache) -> None:
    all_there = threading.Barrier(65)
    computed = []

    @cached(cache=cache, namespace="crowd", wait=PATIENCE)
    async def f(x: int) -> list[int]:
        computed.append(x)
        await asyncio.to_thread(all_there.wait, PATIENCE)
        return [x]

    @cached(cache=cache, namespace="crowd", wait=PATIENCE)
    def g(x: int) -> list[int]:
        computed.append(x)
        return [x]

    def ask(awaited: bool) -> list[int]:
        all_there.wait(PATIENCE)
        return asyncio.run(f(1)) if awaited else g(1)  # both ways of asking are of one namespace

    async def main() -> list[list[int]]:
        return await asyncio.gather(*(f(1) for _ in range(500)))

    threads = [start(ask, number % 2 == 0) for number in range(64)]
    assert asyncio.run(main()) == [[1]] * 500
    assert [thread.result(PATIENCE) for thread in threads] == [[1]] * 64
    assert computed == [1]
    counts = [f.info(), g.info()]
    assert sum(info.misses for info in counts) == 1
    assert sum(info.hits + info.waits for info in counts) == 563


async def test_an_exception_reaches_every_task_in_an_object_of_its_own(cache: Cache) -> None:
    @cached(cache=cache, namespace="local")
    async def f(x: int) -> float:
        await joined(cache, 5)
        return 1 / x

    errors = await asyncio.gather(*(f(0) for _ in range(5)), return_exceptions=True)
    assert [type(error) for error in errors] == [ZeroDivisionError] * 5
    assert len({id(error) for error in errors}) == 5
    assert await f.peek(0) is MISSING
    assert f.info().misses == 1


def test_a_task_that_asks_for_itself_ends(cache: Cache) -> None:
    computed = []

    @cached(cache=cache, namespace="local")
    async def f(x: int) -> int:
        computed.append(x)
        await asyncio.sleep(0)
        return 1 + await f(x) if len(computed) < 3 else 0

    @cached(cache=cache, namespace="fib")
    async def fib(n: int) -> int:
        return n if n < 2 else sum(await asyncio.gather(fib(n - 1), fib(n - 2)))

    assert asyncio.run(f(1)) == 2
    assert asyncio.run(fib(60)) == 1548008755920
    assert fib.info().misses == 61


def test_recursion_may_be_deep() -> None:
    @cached
    async def depth(n: int) -> int:
        return 0 if n == 0 else 1 + await depth(n - 1)

    assert asyncio.run(depth(2000)) == 2000


async def test_an_ordinary_call_on_the_loops_own_thread_does_not_wait_for_its_task(cache: Cache) -> None:
    @cached(cache=cache, namespace="both")
    def ordinary(x: int) -> str:
        return "ordinary"

    @cached(cache=cache, namespace="both")
    async def f(x: int) -> str:
        began.set()
        await go.wait()
        return "awaited"

    began, go = asyncio.Event(), asyncio.Event()
    leader = asyncio.create_task(f(1))
    await began.wait()
    assert ordinary(1) == "ordinary"
    go.set()
    assert await leader == "awaited"


@pytest.mark.parametrize(
    "clocks",
    [
        contextlib.nullcontext,
        lambda: freezegun.freeze_time("2030-01-01"),
        lambda: time_machine.travel("2030-01-01", tick=False),
    ],
    ids=["as they are", "stopped by freezegun", "stopped by time-machine"],
)
def test_nobody_waits_longer_than_wait_and_the_computation_goes_on(cache: Cache, clocks: Any) -> None:
    async def main() -> None:
        f, gate = gated(cache, wait=0.05)
        leader = asyncio.create_task(f(1))
        await gate.began.wait()
        alone = asyncio.create_task(f(1))
        while gate.computed < 2:
            await asyncio.sleep(0)
        gate.go.set()
        assert [await leader, await alone] == [[1], [1]]
        assert (f.info().misses, f.info().stored) == (2, 1)

    with clocks():
        asyncio.run(main())


def test_polling_goes_on_while_a_test_has_stopped_the_clocks(memcached: MemcachedServer, prefix: str) -> None:
    here, there = (MemcachedCache([memcached.address], key_prefix=prefix, timeout=5) for _ in range(2))
    with freezegun.freeze_time("2030-01-01"):

        async def main() -> None:
            f, gate = gated(here)
            g, never = gated(there, wait=PATIENCE)
            leader = asyncio.create_task(f(1))
            await gate.began.wait()
            other = asyncio.create_task(g(1))
            while not there._reads:  # it has looked, or is about to
                await asyncio.sleep(0)
            gate.go.set()
            assert [await leader, await other] == [[1], [1]]
            assert never.computed == 0

        asyncio.run(main())


# ---- cancelling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [0, 1], ids=["the first", "another"])
async def test_whoever_is_cancelled_leaves_the_others_alone(cache: Cache, who: int) -> None:
    f, gate = gated(cache)
    tasks = [asyncio.create_task(f(1)) for _ in range(2)]
    await joined(cache, 2)
    await cancelled(tasks.pop(who))
    gate.go.set()
    assert await tasks[0] == [1]
    assert await f.peek(1) == [1]
    assert (gate.computed, gate.cleaned) == (1, 0)


async def test_when_the_last_is_cancelled_the_computation_is_and_its_cleanup_is_waited_for(cache: Cache) -> None:
    f, gate = gated(cache)
    tasks = [asyncio.create_task(f(1)) for _ in range(3)]
    await joined(cache, 3)
    for task in tasks[1:]:
        await cancelled(task)
    assert gate.cleaned == 0
    await cancelled(tasks[0])
    assert gate.cleaned == 1
    gate.go.set()
    assert await f(1) == [1]  # nothing is in the way of the next
    assert gate.computed == 2


async def test_a_computation_that_was_left_by_its_caller_ends_with_the_last_waiter(cache: Cache) -> None:
    f, gate = gated(cache)
    tasks = [asyncio.create_task(f(1)) for _ in range(3)]
    await joined(cache, 3)
    for task in tasks:
        await cancelled(task)
    while not gate.cleaned:
        await asyncio.sleep(0)
    gate.go.set()
    assert await f(1) == [1]


async def test_a_timeout_is_a_timeout(cache: Cache) -> None:
    async def scope(seconds: float) -> None:
        async with asyncio.timeout(seconds):
            await f(1)

    f, gate = gated(cache)
    for number, wait in enumerate((lambda seconds: asyncio.wait_for(f(1), seconds), scope)):
        seconds = 0.01
        while gate.cleaned == number:  # else it was over before the cache had answered
            with pytest.raises(TimeoutError):
                await wait(seconds)
            seconds *= 2
    assert gate.cleaned == gate.computed == 2


async def test_a_computation_may_refuse_to_be_cancelled(cache: Cache) -> None:
    @cached(cache=cache, namespace="local")
    async def stubborn(x: int) -> str:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done all the same"
        raise AssertionError

    began = asyncio.Event()
    task = asyncio.create_task(stubborn(1))
    await began.wait()
    task.cancel()
    assert await task == await stubborn(1) == "done all the same"


async def test_a_second_cancellation_reaches_the_cleanup(cache: Cache) -> None:
    seen = []

    @cached(cache=cache, namespace="local")
    async def slow_to_end(x: int) -> None:
        for began in stages:
            began.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                seen.append(x)
        raise asyncio.CancelledError

    stages = [asyncio.Event(), asyncio.Event()]
    task = asyncio.create_task(slow_to_end(1))
    for began in stages:
        await began.wait()
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(seen) == 2


async def test_a_lease_that_comes_too_late_is_given_back(own_memcached: MemcachedServer) -> None:
    here, there = (MemcachedCache([own_memcached.address], timeout=5) for _ in range(2))
    f, gate = gated(here)
    g, other = gated(there, wait=PATIENCE)
    await f.peek(0)  # connected
    own_memcached.pause()
    task = asyncio.create_task(f(1))
    while not here._reads:
        await asyncio.sleep(0)
    task.cancel()
    own_memcached.resume()
    with pytest.raises(asyncio.CancelledError):
        await task
    other.go.set()
    assert await g(1) == [1]  # and not once the lease of a minute is over
    assert gate.computed == 0


async def test_the_loop_runs_on_while_the_cache_is_slow(own_memcached: MemcachedServer) -> None:
    cache = MemcachedCache([own_memcached.address], timeout=PATIENCE)

    @cached(cache=cache, namespace="tagged", tags=("x:{x}",))
    async def g(x: int) -> int:
        return x

    f, gate = gated(cache)
    gate.go.set()
    await f(1)
    own_memcached.pause()
    calls = (f(1), f.peek(1), f.many([(1,)]), f.uncache(2), g.uncache_where(x=1), g.uncache_all())
    waiting = [asyncio.create_task(call) for call in calls]
    for _ in range(10):
        await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    own_memcached.resume()
    assert await asyncio.gather(*waiting) == [[1], [1], [[1]], False, None, None]
    assert f.info().failures == 0


def test_many_computations_run_at_once() -> None:
    inside = []

    @cached
    async def f(a: int) -> int:
        inside.append(a)
        while len(inside) < 10:
            await asyncio.sleep(0)
        if a in (3, 5):
            raise LookupError(a)
        return a

    with pytest.raises(LookupError, match="3"):
        asyncio.run(f.many([(a,) for a in range(10)]))
    assert f.info().stored == 8


async def test_a_forgetting_that_was_not_acknowledged_raises(own_memcached: MemcachedServer) -> None:
    cache = MemcachedCache([own_memcached.address], timeout=5)
    f, gate = gated(cache)
    gate.go.set()
    await f(1)
    own_memcached.kill()
    with pytest.raises(UncacheFailed):
        await f.uncache(1)
    with pytest.raises(UncacheFailed):
        await f.uncache_all()
    assert await f(1) == [1]
    assert gate.computed == 2


# ---- loops that end --------------------------------------------------------------------------------------------------


def test_nothing_is_bound_to_a_loop_that_has_ended(cache: Cache) -> None:
    async def ask(x: int) -> list[int]:
        return await asyncio.gather(f(x), f(x), f(x + 1))

    @cached(cache=cache, namespace="local")
    async def f(x: int) -> int:
        await asyncio.sleep(0)
        return x

    for _ in range(2):
        assert asyncio.run(ask(1)) == [1, 1, 2]
        assert asyncio.run(f.uncache(1)) is True
    assert f.info().misses == 3


def test_what_a_loop_left_unfinished_is_taken_over(cache: Cache) -> None:
    f, gate = gated(cache, wait=PATIENCE)
    loop = asyncio.new_event_loop()
    task = loop.create_task(f(1))
    loop.run_until_complete(gate.began.wait())
    loop.close()
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # what asyncio says of it, it says rightly
    gate.go, gate.began = asyncio.Event(), asyncio.Event()
    gate.go.set()
    for other in _all_of(task):
        other._log_destroy_pending = False
    assert asyncio.run(f(1)) == [1]
    assert gate.computed == 2


def test_the_last_waiter_for_a_loop_that_was_closed_can_be_cancelled() -> None:
    """Nobody is left there who could clean up after the computation."""
    cache, closed = SimpleCache(), asyncio.new_event_loop()
    f, gate = gated(cache)
    caller = closed.create_task(f(1))
    thread = ThreadPoolExecutor(1)
    thread.submit(closed.run_until_complete, gate.began.wait()).result(PATIENCE)

    async def wait() -> None:
        waiter = asyncio.create_task(f(1))
        await joined(cache, 2)
        thread.submit(closed.run_until_complete, cancelled(caller)).result(PATIENCE)
        leader = _all_of(caller)
        closed.close()
        for task in leader:
            task._log_destroy_pending = False
        waiter.cancel()
        await asyncio.wait({waiter}, timeout=PATIENCE)
        assert waiter.cancelled()

    with thread:
        asyncio.run(wait())


def _all_of(task: Any) -> list[Any]:
    gc.collect()
    # Not isinstance, which asks the object: there may be some that are not ready to be asked.
    tasks = [each for each in gc.get_objects() if issubclass(type(each), asyncio.Task)]
    return [each for each in tasks if each.get_loop() is task.get_loop()]


async def test_what_asyncio_cancels_before_it_began_is_in_nobodys_way(cache: Cache) -> None:
    f, gate = gated(cache)
    task = asyncio.create_task(f(1))
    before = asyncio.all_tasks()
    while asyncio.all_tasks() == before:
        await asyncio.sleep(0)
    (led,) = asyncio.all_tasks() - before
    led.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.go.set()
    assert await f(1) == [1]


# ---- the rest --------------------------------------------------------------------------------------------------------

who: ContextVar[str] = ContextVar("who", default="nobody")


async def test_context_variables_are_the_callers(cache: Cache) -> None:
    @cached(cache=cache, namespace="local", unless=lambda result: result != who.get())
    async def f(x: int) -> str:
        await asyncio.sleep(0)
        return who.get()

    who.set("somebody")
    assert await f(1) == "somebody"
    assert await f.peek(1) == "somebody"


def test_no_flight_and_no_task_is_left(cache: Cache) -> None:
    async def main() -> None:
        f, gate = gated(cache)
        gate.go.set()
        await asyncio.gather(*(f(x) for x in range(20)))
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    gc.collect()
    assert [each for each in gc.get_objects() if type(each) is Flight and each.state is None] == []
