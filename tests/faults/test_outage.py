"""While a cache does not answer, a process computes a call once: for those callers whom it did not answer."""

import asyncio
import itertools
import logging
import os
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest

from memocache import (
    MISSING,
    Cache,
    ForeignCache,
    MemcachedCache,
    NullCache,
    RedisCache,
    SimpleCache,
    SQLiteCache,
    TieredCache,
    UncacheFailed,
    cached,
    uncache_tag,
)
from memocache.errors import BackendError
from tests.support.threads import PATIENCE, Held, Joins, start

CALLERS = 40


class Down:
    """A cache of somebody else's whose server is down, until it is *up*."""

    def __init__(self) -> None:
        self.up = False
        self._values: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        self._ask()
        return self._values.get(key)

    def set(self, key: str, value: bytes) -> None:
        self._ask()
        self._values[key] = value

    def delete(self, key: str) -> None:
        self._ask()
        self._values.pop(key, None)

    def clear(self) -> None:
        self._ask()
        self._values.clear()

    def _ask(self) -> None:
        if not self.up:
            raise ConnectionRefusedError("nobody there")


class DownInTasks(Down):
    async def get(self, key: str) -> bytes | None:  # type: ignore[override]
        await asyncio.sleep(0)
        return super().get(key)

    async def set(self, key: str, value: bytes) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().set(key, value)

    async def delete(self, key: str) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().delete(key)

    async def clear(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        super().clear()


def no_directory(path: Path) -> Cache:
    cache = SQLiteCache(path / "files" / "cache.db")
    cache.close()
    (path / "files").rename(path / "elsewhere")
    (path / "files").touch()
    return cache


def tiers(path: Path) -> Cache:
    return TieredCache(SimpleCache(), MemcachedCache([str(path / "socket")]))


KINDS: dict[str, Callable[[Path], Cache]] = {
    "memcached": lambda path: MemcachedCache([str(path / "socket")]),
    "Redis": lambda path: RedisCache(f"unix://{path}/socket"),
    "SQLite": no_directory,
    "foreign": lambda path: ForeignCache(Down()),
    "tiers": tiers,
}
AWAITED: dict[str, Callable[[Path], Cache]] = {**KINDS, "foreign in tasks": lambda path: ForeignCache(DownInTasks())}


@pytest.fixture(params=KINDS)
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Cache:
    """One of each kind that is down."""
    return KINDS[request.param](tmp_path)


@pytest.fixture(params=AWAITED)
def awaited_cache(request: pytest.FixtureRequest, tmp_path: Path) -> Cache:
    return AWAITED[request.param](tmp_path)


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "memocache")


def counted(cache: Cache, answer: Callable[..., Any] = lambda x: x, **options: Any) -> tuple[Any, Held]:
    """Return a cached function whose first computation is held, and what holds it."""
    held = Held(answer)
    return cached(cache=cache, namespace="f", **options)(lambda x: held(x)), held


class AwaitedHeld:
    """The same for a coroutine function: held by an event of its loop."""

    def __init__(self, cache: Cache, answer: Callable[..., Any] = lambda x: x, **options: Any) -> None:
        self.computed = 0
        self.go = asyncio.Event()
        self.entered = asyncio.Event()

        @cached(cache=cache, namespace="f", **options)
        async def f(x: Any) -> Any:
            self.computed += 1
            value = answer(x)
            if self.computed == 1:
                self.entered.set()
                await self.go.wait()
            return value

        self.f = f


async def together(joins: Joins, count: int) -> None:
    """Let the loop run until so many wait."""
    async with asyncio.timeout(PATIENCE):
        while joins.count < count:
            await asyncio.sleep(0.001)


# ---- one for all -----------------------------------------------------------------------------------------------------


def test_forty_threads_compute_once_and_nothing_is_stored(cache: Cache, joins: Joins) -> None:
    f, held = counted(cache)
    leader = start(f, 1)
    held.wait()
    others = [start(f, 1) for _ in range(CALLERS - 1)]
    joins.wait(CALLERS - 1)
    held.go()
    assert [each.result(PATIENCE) for each in (leader, *others)] == [1] * CALLERS
    info = f.info()
    assert (held.computed, info.misses, info.waits, info.stored) == (1, 1, CALLERS - 1, 0)
    assert info.failures == CALLERS  # each has looked for itself
    f(1)
    assert held.computed == 2


def test_forty_tasks_compute_once(awaited_cache: Cache, joins: Joins) -> None:
    async def main() -> None:
        held = AwaitedHeld(awaited_cache)
        tasks = [asyncio.create_task(held.f(1)) for _ in range(CALLERS)]
        await together(joins, CALLERS - 1)
        held.go.set()
        assert await asyncio.gather(*tasks) == [1] * CALLERS
        info = held.f.info()
        assert (held.computed, info.misses, info.waits, info.stored) == (1, 1, CALLERS - 1, 0)
        await held.f(1)
        assert held.computed == 2

    asyncio.run(main())


def test_threads_and_tasks_together_compute_once(cache: Cache, joins: Joins) -> None:
    """A function and a coroutine function of one namespace, in two event loops and ten threads."""
    f, held = counted(cache)

    @cached(cache=cache, namespace="f")
    async def awaited(x: int) -> Any:
        return held(x)

    async def main() -> list[Any]:
        return await asyncio.gather(*[awaited(1) for _ in range(10)])

    leader = start(f, 1)
    held.wait()
    threads = [start(f, 1) for _ in range(10)]
    loops = [start(asyncio.run, main()) for _ in range(2)]
    joins.wait(30)
    held.go()
    assert [each.result(PATIENCE) for each in (leader, *threads)] == [1] * 11
    assert [each.result(PATIENCE) for each in loops] == [[1] * 10] * 2
    assert held.computed == 1


def test_other_keys_are_computed_meanwhile(cache: Cache) -> None:
    f, held = counted(cache)
    leader = start(f, 1)
    held.wait()
    assert f(2) == 2
    held.go()
    assert leader.result(PATIENCE) == 1


def test_a_cache_that_keeps_nothing_is_no_outage() -> None:
    f, held = counted(NullCache())
    leader = start(f, 1)
    held.wait()
    assert f(1) == 1
    held.go()
    leader.result(PATIENCE)
    assert held.computed == 2


def test_whoever_is_answered_joins_nobody(joins: Joins) -> None:
    server = Down()
    numbers = itertools.count(1)
    cache = ForeignCache(server)
    f, held = counted(cache, lambda x: next(numbers))
    leader = start(f, 1)
    held.wait()
    server.up = True
    cache._object.after_fork()  # the pause of its breaker is over
    assert [f(1), f(1), f.peek(1)] == [2, 2, 2]
    server.up = False
    late = start(f, 1)
    joins.wait(1)  # and whoever is not answered again joins the first
    held.go()
    assert [leader.result(PATIENCE), late.result(PATIENCE)] == [1, 1]
    server.up = True
    cache._object.after_fork()
    assert f(1) == 2  # what was computed without the cache has not replaced it


# ---- the fence -------------------------------------------------------------------------------------------------------

ENDINGS: dict[str, Callable[[Any], Any]] = {
    "uncache": lambda f: f.uncache(1),
    "uncache_all": lambda f: f.uncache_all(),
    "uncache_where": lambda f: f.uncache_where(x=1),
    "uncache_tag": lambda f: uncache_tag("x:1", f.cache),
    "put": lambda f: f.put("put", 1),
    "refresh": lambda f: f.refresh(1),
    "cache_clear": lambda f: f.cache_clear(),
    "cache.clear": lambda f: f.cache.clear(),
    "cache.delete": lambda f: f.cache.delete(f.key(1)),
}
BLOCKING = "uncache_tag", "cache.clear", "cache.delete"
"""Those that block also for a coroutine function."""


@pytest.mark.parametrize("ending", ENDINGS)
def test_who_comes_after_a_forgetting_joins_nothing_from_before(ending: str, cache: Cache, joins: Joins) -> None:
    """Also where the cache has not acknowledged it."""
    numbers = itertools.count(1)
    f, held = counted(cache, lambda x: next(numbers), tags=("x:{x}",))
    leader = start(f, 1)
    held.wait()
    before = start(f, 1)
    joins.wait(1)
    with nullcontext() if ending in ("put", "refresh") else pytest.raises(BackendError):
        ENDINGS[ending](f)
    assert f(1) >= 2
    held.go()
    assert [leader.result(PATIENCE), before.result(PATIENCE)] == [1, 1]  # who has joined gets what it waited for


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_same_of_coroutine_functions(ending: str, awaited_cache: Cache, joins: Joins) -> None:
    async def main() -> None:
        numbers = itertools.count(1)
        held = AwaitedHeld(awaited_cache, lambda x: next(numbers), tags=("x:{x}",))
        tasks = [asyncio.create_task(held.f(1)) for _ in range(2)]
        await together(joins, 1)
        call = ENDINGS[ending]
        with suppress(BackendError):
            if ending in BLOCKING:
                await asyncio.to_thread(call, held.f)
            else:
                await call(held.f)
        assert await held.f(1) >= 2
        held.go.set()
        assert await asyncio.gather(*tasks) == [1, 1]

    asyncio.run(main())


def test_forgetting_one_call_leaves_another_computation_alone(cache: Cache, joins: Joins) -> None:
    f, held = counted(cache)
    leader = start(f, 1)
    held.wait()
    with pytest.raises(UncacheFailed):
        f.uncache(2)
    other = start(f, 1)
    joins.wait(1)
    held.go()
    assert (leader.result(PATIENCE), other.result(PATIENCE), held.computed) == (1, 1, 1)


# ---- what may happen to whoever computes -----------------------------------------------------------------------------


def test_an_exception_reaches_everybody_as_its_own(cache: Cache, joins: Joins) -> None:
    def fail(x: int) -> None:
        raise error

    error = LookupError("no", 7)
    held = Held(lambda x: x)
    f = cached(cache=cache, namespace="f")(lambda x: (held(x), fail(x)))
    calls = [start(f, 1)]
    held.wait()
    calls += [start(f, 1) for _ in range(5)]
    joins.wait(5)
    held.go()
    seen = [call.exception(PATIENCE) for call in calls]
    assert seen[0] is error
    assert [(type(each), each.args if each else ()) for each in seen] == [(LookupError, ("no", 7))] * 6
    assert len(set(map(id, seen))) == 6
    assert held.computed == 1


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_a_leader_that_is_interrupted_hands_over(interrupt: type[BaseException], cache: Cache, joins: Joins) -> None:
    def answer(x: int) -> str:
        if first(x) == 1:
            raise interrupt
        second(x)
        return "second"

    numbers = itertools.count(1)
    first, second = Held(lambda x: next(numbers)), Held(lambda x: x)
    f = cached(cache=cache, namespace="f")(answer)
    leader = start(f, 1)
    first.wait()
    waiters = [start(f, 1) for _ in range(5)]
    joins.wait(5)
    first.go()
    second.wait()
    joins.wait(5 + 4)
    second.go()
    assert type(leader.exception(PATIENCE)) is interrupt
    assert [waiter.result(PATIENCE) for waiter in waiters] == ["second"] * 5
    assert (first.computed, second.computed) == (2, 1)


def test_a_caller_that_is_cancelled_leaves_the_others_alone(awaited_cache: Cache, joins: Joins) -> None:
    async def main() -> None:
        held = AwaitedHeld(awaited_cache)
        tasks = [asyncio.create_task(held.f(1)) for _ in range(5)]
        await together(joins, 4)
        for task in tasks[:2]:
            task.cancel()
        await asyncio.sleep(0)
        held.go.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in results[:2]] == [asyncio.CancelledError] * 2
        assert (results[2:], held.computed) == ([1] * 3, 1)

    asyncio.run(main())


def test_the_last_to_leave_has_the_computation_cancelled(awaited_cache: Cache, joins: Joins) -> None:
    async def main() -> None:
        held = AwaitedHeld(awaited_cache)
        tasks = [asyncio.create_task(held.f(1)) for _ in range(3)]
        await together(joins, 2)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert await asyncio.wait_for(held.f(1), PATIENCE) == 1  # nobody waits for what was cancelled
        assert held.computed == 2

    asyncio.run(main())


def test_a_function_that_calls_itself_with_the_same_arguments_does_not_wait_for_itself(cache: Cache) -> None:
    depth = itertools.count()

    @cached(cache=cache, namespace="f")
    def f(x: int) -> int:
        return x if next(depth) == 3 else f(x)

    assert start(f, 1).result(PATIENCE) == 1
    assert next(depth) == 4


def test_two_that_call_each_other_do_not_wait_for_each_other(cache: Cache) -> None:
    both = threading.Barrier(2)
    times: dict[str, int] = {"f": 0, "g": 0}

    def answer(name: str, call: Callable[[], str]) -> str:
        times[name] += 1
        if times[name] > 1:
            return name
        both.wait(PATIENCE)
        return name + call()

    f = cached(cache=cache, namespace="f")(lambda x: answer("f", lambda: g(x)))
    g: Any = cached(cache=cache, namespace="g")(lambda x: answer("g", lambda: f(x)))
    results = [start(each, 1) for each in (f, g)]
    assert [each.result(PATIENCE) for each in results] in (["fgf", "gf"], ["fg", "gfg"])


@pytest.mark.parametrize("wait", [0, 0.01])
def test_nobody_waits_longer_than_wait(wait: float, cache: Cache) -> None:
    numbers = itertools.count(1)
    f, held = counted(cache, lambda x: next(numbers), wait=wait)
    leader = start(f, 1)
    held.wait()
    assert sorted(each.result(PATIENCE) for each in [start(f, 1) for _ in range(3)]) == [2, 3, 4]
    held.go()
    assert leader.result(PATIENCE) == 1


def test_a_result_that_its_reader_uses_up_is_computed_for_each(cache: Cache, joins: Joins) -> None:
    f, held = counted(cache, lambda x: iter([x]))
    leader = start(f, 1)
    held.wait()
    other = start(f, 1)
    joins.wait(1)
    held.go()
    assert [list(each.result(PATIENCE)) for each in (leader, other)] == [[1], [1]]
    assert held.computed == 2


def test_copies_are_made_for_each(cache: Cache, joins: Joins) -> None:
    f, held = counted(cache, lambda x: [x], copy=True)
    leader = start(f, 1)
    held.wait()
    other = start(f, 1)
    joins.wait(1)
    held.go()
    first, second = leader.result(PATIENCE), other.result(PATIENCE)
    assert (first, second, held.computed) == ([1], [1], 1)
    assert first is not second


def test_nothing_is_left_behind(cache: Cache) -> None:
    f = cached(cache=cache, namespace="f")(lambda x: x)
    for number in range(50):
        f(number)
        f.refresh(number)
        f.put(number, number)
    stand_in = cache.stand_in
    assert isinstance(stand_in, SimpleCache)
    assert (len(stand_in._flights), len(stand_in), f.peek(1), f.info().stored) == (0, 0, MISSING, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_joins_nothing_of_its_parent(cache: Cache) -> None:
    f, held = counted(cache)
    leader = start(f, 1)
    held.wait()
    child = os.fork()
    if child == 0:
        os._exit(7 if f(1) == 1 else 8)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    held.go()
    assert leader.result(PATIENCE) == 1


# ---- the negative control --------------------------------------------------------------------------------------------


def test_calls_that_compute_each_for_itself_are_noticed(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if nothing stood in for the cache."""

    def look(self: Cache, *_: object) -> None:
        return

    monkeypatch.setattr(cache, "look", look.__get__(cache))
    f, held = counted(cache)
    leader = start(f, 1)
    held.wait()
    assert [each.result(PATIENCE) for each in [start(f, 1) for _ in range(5)]] == [1] * 5
    held.go()
    assert (leader.result(PATIENCE), held.computed) == (1, 6)
