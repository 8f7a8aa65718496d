"""The options stale, jitter and errors: what is refused, who refreshes and when, and what happens if that fails."""

import asyncio
import gc
import os
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pydantic
import pytest
from freezegun import freeze_time

from memocache import MISSING, MemcachedCache, SimpleCache, _flight, _policy, cached
from memocache._entry import SECOND, Entry, EntryScope, StaleableEntry
from memocache._policy import refresh_margin
from memocache.backends.base import Busy, Cache, Lease, Stale, call_verb
from memocache.testing._harness import wait_for
from tests.support.refusals import refusal
from tests.support.servers import MemcachedServer
from tests.support.strict import run_strictly
from tests.support.threads import PATIENCE, Held, start
from tests.unit.test_tasks import joined

GROUPS = ("all:aging",)
START = 1_900_000_000.0


def aging(value: object = "old", cost: float = 0.0) -> StaleableEntry:
    """Return an entry that is fresh for a minute, and may be served for an hour."""
    fresh = START + 60
    return StaleableEntry("key", value, fresh, fresh + 3600, int(cost * SECOND), EntryScope(GROUPS), fresh_until=fresh)


def filled(cache: Cache, entry: Entry) -> None:
    lease = call_verb(cache.look, "key", GROUPS, START, 60)
    assert isinstance(lease, Lease)
    assert call_verb(cache.fill, lease, entry)


def stale(cache: Cache, seconds: float = 61) -> Stale:
    """Return what a look finds so long after the entry was made: that it is old."""
    seen = call_verb(cache.look, "key", GROUPS, START + seconds, 60)
    assert isinstance(seen, Stale)
    return seen


def lease_of(seen: Stale) -> Lease:
    assert seen.lease is not None
    return seen.lease


@pytest.fixture(autouse=True)
def stopped() -> Iterator[Any]:
    """Stop the clock: on a server, too, an entry's time to live is from now."""
    with freeze_time("2030-03-17 17:46:40") as clock:  # START
        yield clock


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stale": -1}, "stale=-1 is negative; wanted: a duration, 0 for not at all"),
        ({"stale": None}, f"stale=None is a NoneType; wanted: {_policy.WANTED}"),
        ({"timeout": None, "stale": 5}, "stale=5 has nothing to add to timeout=None, for ever; give a timeout"),
        *(
            (
                {"jitter": jitter},
                f"jitter={jitter!r}; wanted: the fraction by which timeouts vary, from 0 to below 1, such as 0.1",
            )
            for jitter in (-0.1, 1, 2.5, "0.1", True, None)
        ),
        (
            {"errors": ValueError},
            "errors=<class 'ValueError'> is a type; wanted: exception classes with how long to remember that a call "
            "raised one of them, such as errors={NotFound: 30}",
        ),
        (
            {"errors": {KeyboardInterrupt: 5}},
            "errors= names <class 'KeyboardInterrupt'>; wanted: classes of exceptions, subclasses of Exception",
        ),
        (
            {"errors": {"ValueError": 5}},
            "errors= names 'ValueError'; wanted: classes of exceptions, subclasses of Exception",
        ),
        (
            {"errors": {ValueError: 0}},
            "errors[ValueError]=0 would remember nothing; wanted: a duration above 0, or None for ever",
        ),
        ({"errors": {ValueError: "soon"}}, f"errors[ValueError]='soon' is not a duration; wanted: {_policy.WANTED}"),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, Any], message: str) -> None:
    assert refusal(cached, **options) == message


# ---- who refreshes, by the verbs of the contract ---------------------------------------------------------------------


def test_one_gets_the_lease_and_the_others_the_value(cache: Cache) -> None:
    filled(cache, aging())
    lease = lease_of(stale(cache))
    assert lease.replaces
    for _ in range(2):
        other = stale(cache)
        assert (other.entry.value, other.lease) == ("old", None)
    assert call_verb(cache.fill, lease, aging("new"))
    (found,) = call_verb(cache.peek, ("key",), (GROUPS,), START + 61)
    assert found is not None
    assert found.value == "new"


def test_whoever_refreshes_for_longer_than_the_lease_is_not_waited_for(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(cache, aging())
    first = lease_of(stale(cache))
    monkeypatch.setattr("memocache._flight.ticks", lambda: 1e12)
    second = lease_of(stale(cache, 122))
    assert call_verb(cache.fill, first, aging("late")) is False
    assert call_verb(cache.fill, second, aging("in time")) is True


def test_what_is_given_up_the_next_one_refreshes(cache: Cache) -> None:
    filled(cache, aging())
    for _ in range(3):
        seen = stale(cache)
        lease = lease_of(seen)
        seen.entry.retry_at = 0.0
        assert call_verb(cache.fill, lease, lease.old)
        lease.flight.abandon()


def test_a_refresher_that_is_gone_in_this_process_is_followed_by_the_next(cache: Cache) -> None:
    filled(cache, aging())
    lease_of(stale(cache))  # and nobody holds it
    gc.collect()
    assert call_verb(cache.fill, lease_of(stale(cache)), aging("new"))


def test_who_comes_when_the_old_value_is_gone_waits_for_the_refresh(cache: Cache) -> None:
    filled(cache, aging())
    lease = lease_of(stale(cache, 3650))
    late = call_verb(cache.look, "key", GROUPS, START + 3661, 60)
    assert isinstance(late, Busy)
    assert late.flight is lease.flight


@pytest.mark.parametrize("how", ["forget", "forget_tag"])
def test_forgetting_voids_the_lease_of_a_refresh(cache: Cache, how: str) -> None:
    filled(cache, aging())
    lease = lease_of(stale(cache))
    getattr(cache, how)("key" if how == "forget" else GROUPS[0])
    assert call_verb(cache.peek, ("key",), (GROUPS,), START + 61) == [None]
    for entry in (aging("new"), lease.old):
        call_verb(cache.fill, lease, entry)
        assert call_verb(cache.peek, ("key",), (GROUPS,), START + 61) == [None]


def test_a_server_that_fails_just_then_leaves_the_old_value(own_memcached: MemcachedServer) -> None:
    cache = MemcachedCache([own_memcached.address], timeout=5)
    filled(cache, aging())
    node = cache._node(cache._wire("key"))
    read = node.gets

    def fail_once(*args: Any) -> Any:
        node.gets = read
        own_memcached.kill()
        return read(*args)

    node.gets = fail_once
    seen = stale(cache)
    assert (seen.entry.value, seen.lease) == ("old", None)


# ---- XFetch ----------------------------------------------------------------------------------------------------------


def test_the_longer_it_takes_the_earlier_it_is_refreshed() -> None:
    samples = sorted(refresh_margin(aging(cost=2.0), 1e9) for _ in range(4000))
    assert samples[0] >= 0
    assert 1.8 < sum(samples) / 4000 < 2.2  # exponential: its mean is the cost, and its median that times ln 2
    assert 1.25 < samples[2000] < 1.52
    assert refresh_margin(aging(cost=0.0), 60) == 0
    assert max(refresh_margin(aging(cost=1000.0), 60) for _ in range(100)) == 30  # half the lifetime


@pytest.mark.parametrize(("chance", "is_early"), [(0.99, True), (0.2, False)])
def test_on_a_server_everyone_who_looks_may_be_early(
    memcached: MemcachedServer, prefix: str, monkeypatch: pytest.MonkeyPatch, chance: float, is_early: bool
) -> None:
    cache = MemcachedCache([memcached.address], key_prefix=prefix, timeout=5)
    filled(cache, aging(cost=5.0))
    monkeypatch.setattr(_policy.chance, "random", lambda: chance)
    seen = call_verb(cache.look, "key", GROUPS, START + 50, 60)  # ten seconds before, which is twice the cost
    assert isinstance(seen, Stale) is is_early
    assert isinstance(seen, StaleableEntry) is not is_early


def test_what_is_refreshed_early_is_a_hit_for_all(cache: Cache, monkeypatch: pytest.MonkeyPatch, stopped: Any) -> None:
    held = Held(lambda x: f.info().misses)

    @cached(timeout=60, stale=600, cache=cache, namespace="early")
    def f(x: int) -> int:
        if f.info().misses > 1:
            return held(x)
        ticks.append(10.0)
        return 1

    ticks = [0.0]
    for module in ("_effects", "_flight", "_readthrough"):  # which of them measures it is theirs to know
        monkeypatch.setattr(f"memocache.{module}.ticks", lambda: ticks[-1])
    monkeypatch.setattr(_policy.chance, "random", lambda: 0.99)  # 4.6 times the cost, so half the lifetime
    f(1)
    stopped.tick(timedelta(seconds=29))
    assert f(1) == 1
    assert f.info().misses == 1
    stopped.tick(timedelta(seconds=2))
    assert [f(1), f(1)] == [1, 1]
    held.wait()
    info = f.info()
    assert (info.misses, info.hits, info.stale) == (2, 3, 0)
    held.go()
    wait_for(f, lambda info: info.stored == 2)
    assert f(1) == 2


def test_without_stale_nothing_is_refreshed_early(cache: Cache, monkeypatch: pytest.MonkeyPatch, stopped: Any) -> None:
    f = cached(timeout=60, cache=cache, namespace="punctual")(lambda x: x)
    monkeypatch.setattr(_policy.chance, "random", lambda: 0.999999)
    f(1)
    stopped.tick(timedelta(seconds=59))
    f(1)
    assert f.info().misses == 1


# ---- the background --------------------------------------------------------------------------------------------------


def test_refreshes_are_done_by_a_few_threads(stopped: Any) -> None:
    busy, most = threading.Semaphore(0), []
    go = threading.Event()

    @cached(timeout=60, stale=600)
    def f(x: int) -> int:
        if stopped.time_to_freeze.timestamp() > START + 60:
            busy.release()
            most.append(sum(each.name == "memocache refresh" for each in threading.enumerate()))
            assert go.wait(PATIENCE)
        return x

    for x in range(30):
        f(x)
    stopped.tick(timedelta(seconds=61))
    assert [f(x) for x in range(30)] == list(range(30))
    for _ in range(_flight.MOST_THREADS):
        assert busy.acquire(timeout=PATIENCE)
    go.set()
    wait_for(f, lambda info: info.stored == 60)
    assert max(most) <= _flight.MOST_THREADS


def test_what_fails_in_the_foreground_leaves_the_old_result_to_its_caller_too(
    stopped: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    results = iter([1, ValueError("down"), KeyboardInterrupt()])

    @cached(timeout=60, stale=600)
    def f() -> int:
        result = next(results)
        if isinstance(result, BaseException):
            raise result
        return result

    f()
    stopped.tick(timedelta(seconds=61))
    monkeypatch.setattr(_flight, "MOST_WAITING", 0)
    assert [f(), f()] == [1, 1]
    assert (f.info().failures, f.info().stale) == (1, 2)
    assert "a refresh raised, so that the old result is served on: ValueError: down" in caplog.text
    stopped.tick(timedelta(seconds=31))
    with pytest.raises(KeyboardInterrupt):
        f()


def test_when_no_thread_can_be_started_it_is_computed_in_the_foreground(
    stopped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoThread:
        def __init__(self, **options: Any) -> None: ...
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    f = cached(timeout=60, stale=600)(lambda: object())
    first = f()
    stopped.tick(timedelta(seconds=61))
    monkeypatch.setattr(_flight.threading, "Thread", NoThread)
    assert f() is not first
    monkeypatch.undo()
    stopped.tick(timedelta(seconds=61))
    f()
    wait_for(f, lambda info: info.stored == 3)


AT_THE_VERY_END = """
import builtins, os, threading
from memocache import SimpleCache, cached

@cached(cache=SimpleCache(), timeout=1e-9, stale=60)
def old():
    return "computed"

@cached(cache=SimpleCache(), wait=1000)
def led_elsewhere():
    if threading.current_thread() is not threading.main_thread():
        begun.set()
        threading.Event().wait()
    return "alone"

class Last:
    def __del__(self):
        os.write(1, f"{old()} {led_elsewhere()}".encode())

begun = threading.Event()
old()
threading.Thread(target=led_elsewhere, daemon=True).start()
begun.wait()
builtins.last = Last()  # which are the last that Python lets go of
"""


def test_a_destructor_at_the_very_end_waits_for_no_thread() -> None:
    assert run_strictly(AT_THE_VERY_END) == "computed alone"


def test_a_refresh_waits_for_nobody_who_waits_for_the_call_that_came_upon_it(cache: Cache, stopped: Any) -> None:
    """Two old results that each need the other: nothing hangs, though a background thread refreshes each."""

    @cached(timeout=60, stale=600, cache=cache, namespace="mutual", wait=PATIENCE)
    def f(x: int, depth: int = 0) -> int:
        return f(1 - x, 1) if depth == 0 else x

    assert [f(0), f(1)] == [1, 0]
    stopped.tick(timedelta(seconds=61))
    assert [f(0), f(1)] == [1, 0]
    wait_for(f, lambda info: info.stored >= 8 or info.stored == info.misses > 4)


def test_a_function_of_the_same_namespace_without_stale_computes_in_the_foreground(cache: Cache, stopped: Any) -> None:
    old = cached(timeout=60, stale=600, cache=cache, namespace="two")(lambda x: "old")
    new = cached(timeout=60, cache=cache, namespace="two")(lambda x: "new")
    old(1)
    stopped.tick(timedelta(seconds=61))
    assert new(1) == "new"
    assert old(1) == "new"


async def test_a_task_in_the_background_is_kept_and_its_errors_are_told(
    cache: Cache, stopped: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @cached(timeout=60, stale=600, cache=cache, namespace="task")
    async def f(x: int) -> float:
        await asyncio.sleep(0)
        return 1 / (2 - f.info().misses)

    assert await f(1) == 1
    stopped.tick(timedelta(seconds=61))
    assert await f(1) == 1
    gc.collect()
    while f.info().failures == 0:
        await asyncio.sleep(0)
    assert await f(1) == 1
    assert "a refresh raised, so that the old result is served on: ZeroDivisionError: division by zero" in caplog.text


def test_a_loop_that_ends_in_the_middle_of_a_refresh_leaves_it_to_the_next(cache: Cache, stopped: Any) -> None:
    hang = True

    @cached(timeout=60, stale=600, cache=cache, namespace="ending")
    async def f(x: int) -> int:
        if f.info().misses > 1 and hang:
            await asyncio.Event().wait()
        return f.info().misses

    async def twice() -> list[int]:
        return [await f(1), await f(1)]

    assert asyncio.run(f(1)) == 1
    stopped.tick(timedelta(seconds=61))
    assert asyncio.run(twice()) == [1, 1]
    hang = False

    async def until_refreshed() -> int:
        while (value := await f(1)) == 1:
            await asyncio.sleep(0)
        return value

    assert asyncio.run(until_refreshed()) > 1
    assert f.info().failures == 0


def test_a_child_process_starts_without_the_parents_queue() -> None:
    _flight._waiting.append(print)
    _flight._after_fork()
    assert not _flight._waiting
    assert _flight._running == 0


# ---- errors ----------------------------------------------------------------------------------------------------------


class Known(Exception):
    pass


def test_an_exception_may_be_remembered_for_less_than_a_second(stopped: Any) -> None:
    @cached(cache=SimpleCache(), errors={Known: 0.5})
    def f() -> None:
        raise Known

    for _ in range(2):
        with pytest.raises(Known):
            f()
    assert f.info().misses == 1
    stopped.tick(0.6)
    with pytest.raises(Known):
        f()
    assert f.info().misses == 2


def test_an_exception_that_nobody_here_has_declared_is_computed_again(memcached: MemcachedServer, prefix: str) -> None:
    class Undeclared(Known):
        pass

    cache = MemcachedCache([memcached.address], key_prefix=prefix, timeout=5)

    def raising(x: int) -> None:
        raise Undeclared(x)

    there = cached(cache=cache, namespace="undeclared", errors={Undeclared: 30})(raising)
    with pytest.raises(Undeclared):
        there(1)
    Undeclared.__qualname__ = "renamed"  # as a process sees it that has no class of that name
    here = cached(cache=cache, namespace="undeclared")(lambda x: "computed")
    assert here(1) == "computed"
    assert here.info().failures == 1


def test_waiters_have_the_exception_that_is_remembered(cache: Cache) -> None:
    held = Held(lambda x: None)

    @cached(cache=cache, namespace="waiters", errors={Known: 30})
    def f(x: int) -> None:
        held(x)
        raise Known(x)

    leader = start(f, 1)
    held.wait()
    waiter = start(f, 1)
    held.go()
    errors = [leader.exception(PATIENCE), waiter.exception(PATIENCE)]
    assert [type(error) for error in errors] == [Known, Known]
    assert errors[0] is not errors[1]
    assert f.info().misses == 1


# ---- arguments that change -------------------------------------------------------------------------------------------


def test_a_refresh_whose_arguments_were_changed_meanwhile_is_not_stored(cache: Cache, stopped: Any) -> None:
    """It runs with the caller's own list, which the caller may use again once it has been served the old result."""
    began, go = threading.Event(), threading.Event()
    go.set()

    @cached(cache=cache, namespace="changed", timeout=60, stale=3600)
    def f(items: list[int]) -> int:
        began.set()
        assert go.wait(PATIENCE)
        return sum(items)

    items = [1, 2]
    assert f(items) == 3
    stopped.tick(61)
    began.clear()
    go.clear()
    assert f(items) == 3  # the old one, while it is computed again
    assert began.wait(PATIENCE)
    items.append(100)
    go.set()
    assert wait_for(f, lambda info: info.failures == 1).stored == 1
    assert [f([1, 2]), f.peek([1, 2, 100])] == [3, MISSING]


def test_a_function_may_change_its_own_arguments(cache: Cache) -> None:
    @cached(cache=cache, namespace="own")
    def smallest(items: list[int]) -> int:
        items.sort()
        return items[0]

    assert [smallest([2, 1]), smallest([2, 1])] == [1, 1]
    assert (smallest.info().hits, smallest.info().failures) == (1, 0)


async def test_a_refresh_that_begins_with_changed_arguments_is_not_computed(cache: Cache, stopped: Any) -> None:
    computed = []

    @cached(cache=cache, namespace="begins", timeout=60, stale=3600)
    async def f(items: list[int]) -> int:
        computed.append(list(items))
        return sum(items)

    items = [1, 2]
    await f(items)
    stopped.tick(61)
    assert await f(items) == 3  # the old one; its refresh has not begun
    items.append(100)
    await waited_for(lambda: f.info().failures == 1)
    items.pop()
    assert computed == [[1, 2]]
    assert await f.peek([1, 2]) == 3


async def waited_for(condition: Any) -> None:
    while not condition():
        await asyncio.sleep(0)


@pytest.mark.parametrize("how", ["a call", "refresh", "many", "a key function"])
async def test_whatever_its_caller_has_left_is_not_stored_for_changed_arguments(cache: Cache, how: str) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    def total(items: list[int]) -> int:
        return sum(items)

    @cached(cache=cache, namespace="left " + how, key=total if how == "a key function" else None)
    async def f(items: list[int]) -> int:
        began.set()
        await go.wait()
        return sum(items)

    items = [1, 2]
    calls = {"refresh": f.refresh(items), "many": f.many([(items,)])} if how in ("refresh", "many") else {}
    caller = asyncio.ensure_future(calls.pop(how, None) or f(items))
    for other in calls.values():
        other.close()
    await began.wait()
    waiter = asyncio.ensure_future(f([1, 2]))
    await joined(cache, 2)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    items.append(100)
    go.set()
    assert await waiter == 3  # computed for itself
    assert await f([1, 2]) == 3
    assert f.info().failures == 1


def test_what_is_computed_in_the_foreground_after_all_may_change_its_own_arguments(
    cache: Cache, stopped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_flight, "MOST_WAITING", 0)

    @cached(cache=cache, namespace="sorts", timeout=60, stale=3600)
    def f(items: list[int]) -> int:
        items.sort()
        return items[0]

    f([2, 1])
    stopped.tick(61)
    assert f([2, 1]) == 1
    assert (f.info().stored, f.info().failures, f.info().stale) == (2, 0, 0)


# ---- faithful exceptions ---------------------------------------------------------------------------------------------


def test_a_remembered_exception_has_all_that_the_first_one_has_and_nothing_that_a_caller_noted(cache: Cache) -> None:
    @cached(cache=cache, namespace="whole", errors={OSError: 60})
    def f(path: str) -> None:
        try:
            os.stat(path)
        except OSError as error:
            error.add_note("looked for it")
            raise error from KeyError(path)

    for _ in range(3):
        with pytest.raises(FileNotFoundError) as raised:
            f("/no/such")
        error = raised.value
        assert (error.filename, str(error)) == ("/no/such", "[Errno 2] No such file or directory: '/no/such'")
        assert repr(error.__cause__) == "KeyError('/no/such')"
        assert error.__notes__ == ["looked for it"]
        error.add_note("mine")
    assert f.info().misses == 1


def test_an_exception_that_cannot_be_copied_is_not_remembered(cache: Cache, caplog: pytest.LogCaptureFixture) -> None:
    class Single(LookupError):
        def __copy__(self) -> Any:
            raise TypeError

    @cached(cache=cache, namespace="single", errors={LookupError: 60})
    def f() -> None:
        raise Single

    for _ in range(2):
        with pytest.raises(Single):
            f()
    assert (f.info().misses, f.info().stored) == (2, 0)
    assert "Single cannot be copied, so that it was not remembered" in caplog.text


def test_an_exception_of_a_library_in_c_is_raised_as_it_is(cache: Cache) -> None:
    @cached(cache=cache, namespace="in C", errors={ValueError: 60})
    def f(x: str) -> int:
        return pydantic.TypeAdapter(int).validate_python(x)

    messages = set()
    for _ in range(2):
        with pytest.raises(pydantic.ValidationError) as raised:
            f("x")
        messages.add(str(raised.value))
    assert len(messages) == 1
    assert f.info().misses == (2 if cache.shared else 1)
