"""The call of a coroutine function is a coroutine like any other, also if it is a hit: it looks when it is awaited."""

import asyncio
import contextvars
import gc
import inspect
import sys
import types
import warnings
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

import anyio
import pytest

from memocache import SimpleCache, cached

Made = Callable[[], Coroutine[Any, Any, Any]]


def function() -> tuple[Any, Made]:
    @cached(cache=SimpleCache())
    async def f(a: int, b: int = 2) -> Any:
        return [a, b]

    return f, lambda: f(1)


def many_parameters() -> tuple[Any, Made]:
    @cached(cache=SimpleCache())
    async def f(a: int, b: int, c: int, d: int, e: int, f: int, g: int, h: int, *, i: int = 9) -> Any:
        return [a, i]

    return f, lambda: f(1, 2, 3, 4, 5, 6, 7, 8)


def stars() -> tuple[Any, Made]:
    @cached(cache=SimpleCache(), ignore=("args", "kwargs"))
    async def f(a: int, *args: int, **kwargs: int) -> Any:
        return [a]

    return f, lambda: f(1)


class Account:
    @cached(cache=SimpleCache())
    async def rows(self, a: int) -> Any:
        return [a]

    @cached(cache=SimpleCache())
    @classmethod
    async def of_class(cls, a: int) -> Any:
        return [a]


def method() -> tuple[Any, Made]:
    account = Account()
    return account.rows, lambda: account.rows(1)


def bound_method() -> tuple[Any, Made]:
    bound = Account().rows
    return bound, lambda: bound(1)


def class_method() -> tuple[Any, Made]:
    Account.of_class.cache_info()
    return Account.of_class, lambda: Account.of_class(1)


KINDS: Final = (function, many_parameters, stars, method, bound_method, class_method)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def cached_call(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Made]]:
    """A cached coroutine function, and a call of it that is stored."""
    f, call = request.param()
    asyncio.run(f.cache_clear())
    asyncio.run(call())
    yield f, call
    asyncio.run(f.cache_clear())


def test_it_is_what_python_and_others_take_for_a_coroutine(cached_call: tuple[Any, Made]) -> None:
    f, call = cached_call
    assert inspect.iscoroutinefunction(f)
    coroutine = call()
    assert type(coroutine) is types.CoroutineType
    assert inspect.iscoroutine(coroutine)
    assert inspect.isawaitable(coroutine)
    assert asyncio.iscoroutine(coroutine)
    assert isinstance(coroutine, Coroutine)
    assert coroutine.__name__ == f.__wrapped__.__name__
    assert coroutine.__qualname__ == f.__wrapped__.__qualname__
    coroutine.close()


def test_it_has_the_states_of_one(cached_call: tuple[Any, Made]) -> None:
    coroutine: Any = cached_call[1]()
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED
    assert coroutine.cr_frame.f_code is coroutine.cr_code
    assert (coroutine.cr_running, coroutine.cr_await, coroutine.cr_origin) == (False, None, None)
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    assert stop.value.value is asyncio.run(cached_call[1]())
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        coroutine.send(None)


def test_what_is_thrown_into_it_comes_out_and_closing_it_is_silent(cached_call: tuple[Any, Made]) -> None:
    f, call = cached_call
    hits = f.info().hits
    coroutine = call()
    with pytest.raises(ZeroDivisionError):
        coroutine.throw(ZeroDivisionError())
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED
    closed = call()
    closed.close()
    with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
        closed.send(None)
    assert f.info().hits == hits


@pytest.mark.parametrize("depth", [0, 3])
def test_it_warns_if_nobody_awaits_it_and_says_where_it_was_made(cached_call: tuple[Any, Made], depth: int) -> None:
    f, call = cached_call
    hits = f.info().hits
    before = sys.get_coroutine_origin_tracking_depth()
    sys.set_coroutine_origin_tracking_depth(depth)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call()
            gc.collect()
    finally:
        sys.set_coroutine_origin_tracking_depth(before)
    (warning,) = caught
    assert f"coroutine '{f.__wrapped__.__qualname__}' was never awaited" in str(warning.message)
    assert (__file__ in str(warning.message)) == bool(depth)
    assert f.info().hits == hits


async def test_it_looks_when_it_is_awaited(cached_call: tuple[Any, Made]) -> None:
    f, call = cached_call
    first = await call()
    hits = f.info().hits
    early = call()
    assert f.info().hits == hits
    assert await early is first
    assert f.info().hits == hits + 1
    early = call()
    await f.uncache_all()
    second = await early
    assert second is not first  # what was forgotten in between is computed anew
    early = call()
    assert await early is await call() is second


def test_wrong_arguments_are_refused_at_the_call(cached_call: tuple[Any, Made]) -> None:
    with pytest.raises(TypeError, match=r"missing (1|8) required positional argument"):
        cached_call[0]()


def test_it_runs_wherever_coroutines_do(cached_call: tuple[Any, Made]) -> None:
    _, call = cached_call
    value = asyncio.run(call())
    assert asyncio.run(call(), debug=True) is value
    assert pytest.importorskip("uvloop").run(call()) is value
    assert anyio.run(call) is value

    async def main() -> None:
        assert await asyncio.create_task(call(), name="a hit") is value
        assert [each is value for each in await asyncio.gather(call(), call())] == [True, True]
        assert await asyncio.wait_for(call(), 10) is value
        assert await asyncio.shield(call()) is value
        assert await asyncio.ensure_future(call()) is value
        assert await contextvars.copy_context().run(call) is value
        async with asyncio.TaskGroup() as group:
            task = group.create_task(call())
        assert task.result() is value
        (done,) = asyncio.as_completed([call()])
        assert await done is value
        if sys.version_info >= (3, 12):
            task = asyncio.Task(call(), loop=asyncio.get_running_loop(), eager_start=True)
            assert task.done()
            assert task.result() is value

    asyncio.run(main())


async def test_a_hit_does_not_let_others_run(cached_call: tuple[Any, Made]) -> None:
    _, call = cached_call
    ran: list[int] = []
    asyncio.get_running_loop().call_soon(ran.append, 1)
    await call()
    assert ran == []
