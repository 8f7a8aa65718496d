"""The caller's own cancellation reaches it: anyio's scopes, asyncio's timeouts and groups, on asyncio and on uvloop."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from memocache import Cache, cached
from tests.unit.test_tasks import joined

SOON = 0.02


class Slow:
    """A function that waits until it is cancelled, and then cleans up in a few turns of the loop."""

    def __init__(self, cache: Cache, shielded: bool = False) -> None:
        self.computed = self.cleaned = 0
        self.began = asyncio.Event()

        @cached(cache=cache, namespace="slow")
        async def slow(x: int) -> int:
            self.computed += 1
            self.began.set()
            try:
                await asyncio.Event().wait()
            finally:
                with anyio.CancelScope(shield=shielded):
                    for _ in range(5):
                        await asyncio.sleep(0)
                self.cleaned += 1
            return x

        self.f = slow


async def call(slow: Slow) -> Any:
    return await slow.f(1)


async def refresh(slow: Slow) -> Any:
    return await slow.f.refresh(1)


async def many(slow: Slow) -> Any:
    return await slow.f.many([(1,), (2,)])


async def join(slow: Slow) -> Any:
    """Wait for the computation of another call, and outlast that: its end is for the last who waits."""
    first = asyncio.ensure_future(slow.f(1))
    try:
        await slow.began.wait()
        second = asyncio.ensure_future(joined(slow.f.cache, 2))
        second.add_done_callback(lambda _: first.cancel())
        return await slow.f(1)
    finally:
        first.cancel()  # on a busy machine this call may be over before it has joined, or that one has begun


DOINGS = [call, refresh, many, join]


async def move_on_after(doing: Callable[[], Awaitable[Any]]) -> None:
    with anyio.move_on_after(SOON) as scope:
        await doing()
    assert scope.cancelled_caught


async def fail_after(doing: Callable[[], Awaitable[Any]]) -> None:
    with pytest.raises(TimeoutError):
        with anyio.fail_after(SOON):
            await doing()


async def anyio_group(doing: Callable[[], Awaitable[Any]]) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(doing)
        await anyio.sleep(SOON)
        group.cancel_scope.cancel()


async def timeout(doing: Callable[[], Awaitable[Any]]) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SOON):
            await doing()


async def wait_for(doing: Callable[[], Awaitable[Any]]) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(doing(), SOON)


async def group(doing: Callable[[], Awaitable[Any]]) -> None:
    async def fail() -> None:
        await asyncio.sleep(SOON)
        raise KeyError("the other")

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(doing())  # type: ignore[arg-type]
            group.create_task(fail())

    with pytest.raises(ExceptionGroup) as raised:
        await both()
    assert [type(each) for each in raised.value.exceptions] == [KeyError]


async def cancel(doing: Callable[[], Awaitable[Any]]) -> None:
    task = asyncio.ensure_future(doing())
    await asyncio.sleep(SOON)
    task.cancel("by the caller")
    with pytest.raises(asyncio.CancelledError) as raised:
        await task
    assert raised.value.args == ("by the caller",)
    assert task.cancelling() == 1


HOWS = [move_on_after, fail_after, anyio_group, timeout, wait_for, group, cancel]


def eager() -> asyncio.AbstractEventLoop:
    """Return a loop whose tasks begin in the call that makes them."""
    loop = asyncio.new_event_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined, unused-ignore]
    return loop


since_python_3_12 = pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
LOOPS = [
    pytest.param(asyncio.new_event_loop, id="asyncio"),
    pytest.param(lambda: pytest.importorskip("uvloop").new_event_loop(), id="uvloop"),
    pytest.param(eager, id="eager", marks=since_python_3_12),
]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("doing", DOINGS)
@pytest.mark.parametrize("how", HOWS)
def test_the_caller_s_own_cancellation_reaches_it(cache: Cache, how: Any, doing: Any, loop: Any) -> None:
    async def main() -> None:
        async def outcome(of: Any) -> int:
            task = asyncio.current_task()
            assert task is not None
            await how(of)
            return task.cancelling()

        slow = Slow(cache)
        found = await asyncio.create_task(outcome(lambda: doing(slow)))
        assert found == await asyncio.create_task(outcome(asyncio.Event().wait))
        await asyncio.sleep(0)  # nothing is left of it
        if doing is not join:  # a computation that its caller has left ends a few turns later
            assert slow.cleaned == slow.computed

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("doing", DOINGS)
async def test_a_cleanup_that_is_shielded_from_anyio_is_done(cache: Cache, doing: Any) -> None:
    slow = Slow(cache, shielded=True)
    await move_on_after(lambda: doing(slow))
    while doing is join and slow.cleaned < slow.computed:  # that of the other call
        await asyncio.sleep(0)
    assert slow.cleaned == slow.computed


async def test_a_scope_inside_a_computation_does_not_take_the_caller_s_for_its_own(cache: Cache) -> None:
    @cached(cache=cache, namespace="inside")
    async def f() -> str:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep_forever)
            await anyio.sleep_forever()
        return "went on"

    await move_on_after(f)
    assert f.info().stored == 0


async def test_a_cancellation_has_the_context_in_which_it_came(cache: Cache) -> None:
    slow = Slow(cache)

    async def caller() -> None:
        try:
            raise KeyError("before")
        except KeyError:
            await slow.f(1)

    task = asyncio.ensure_future(caller())
    await slow.began.wait()
    task.cancel("by the caller")
    with pytest.raises(asyncio.CancelledError) as raised:
        await task
    assert raised.value.args == ("by the caller",)
    found, seen = raised.value.__context__, []
    while found is not None:
        seen.append(type(found))
        found = found.__context__
    assert KeyError in seen


async def test_what_the_cleanup_raises_goes_before_the_cancellation(cache: Cache) -> None:
    began = asyncio.Event()

    @cached(cache=cache, namespace="cleanup")
    async def f() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("cannot clean up")

    task = asyncio.ensure_future(f())
    await began.wait()
    task.cancel("by the caller")
    with pytest.raises(ValueError, match="cannot clean up") as raised:
        await task
    assert isinstance(raised.value.__context__, asyncio.CancelledError)
    assert raised.value.__context__.args == ("by the caller",)
