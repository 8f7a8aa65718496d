"""Flights that wait for each other, and the parts of a flight by themselves."""

import asyncio
import functools
import threading
import weakref
from contextvars import copy_context
from typing import Any

import pytest

from memocache import Cache, cached
from memocache import _flight as flights
from memocache._flight import Flight, enclosing, waiting
from memocache._pool import in_pool
from tests.support.servers import wait_until
from tests.support.threads import PATIENCE, start
from tests.unit import test_flight
from tests.unit.test_tasks import joined

# Who waits for himself fails the test.
LONGER_THAN_PATIENCE = 1000
cached_on = functools.partial(test_flight.cached_on, wait=LONGER_THAN_PATIENCE)


# ---- recursion -------------------------------------------------------------------------------------------------------


def test_a_call_that_asks_for_itself_by_way_of_another_ends(cache: Cache) -> None:
    def answer(x: int) -> list[int]:
        asked.append(x)
        return [x, *f((x + 1) % 3)] if len(asked) < 10 else [x]

    asked: list[int] = []
    f = cached_on(cache, answer)
    assert start(f, 0).result(PATIENCE)[:4] == [0, 1, 2, 0]


@pytest.mark.parametrize("size", [2, 3, 5])
def test_a_ring_of_threads_that_ask_for_each_other_ends(size: int, cache: Cache) -> None:
    all_inside = threading.Barrier(size)
    inside = threading.local()

    def answer(x: int) -> tuple[int, ...]:
        if hasattr(inside, "x"):
            return (x,)  # the second of this thread: everybody leads one, and waits for the next one
        inside.x = x
        all_inside.wait(PATIENCE)
        return (x, *call((x + 1) % size))

    def call(x: int) -> Any:
        return functions[x % 2](x)

    functions = [cached_on(cache, answer, namespace=name) for name in ("even", "odd")]
    calls = [start(call, x) for x in range(size)]
    results = [each.result(PATIENCE) for each in calls]
    for x, result in enumerate(results):
        assert result == tuple((x + step) % size for step in range(len(result)))
        assert len(result) >= 2
    # At least one could not wait, as that would have closed the ring, and computed alone.
    assert sum(f.info().misses for f in functions) > size
    assert [f.info().failures for f in functions] == [0, 0]


def test_a_computation_may_wait_for_another_that_waits_for_nobody(cache: Cache) -> None:
    go, asked = threading.Event(), threading.Event()

    def answer(x: str) -> str:
        if x == "outer":
            asked.set()
            return x + f("inner")
        assert go.wait(PATIENCE)
        return x

    f = cached_on(cache, answer)
    inner = start(f, "inner")
    outers = [start(f, "outer") for _ in range(3)]
    assert asked.wait(PATIENCE)
    go.set()
    assert inner.result(PATIENCE) == "inner"
    assert [outer.result(PATIENCE) for outer in outers] == ["outerinner"] * 3
    assert f.info().misses == 2


def test_what_has_ended_is_waited_for_by_nobody(cache: Cache) -> None:
    f = cached_on(cache, lambda x: f(x - 1) + 1 if x else 0)
    assert start(f, 30).result(PATIENCE) == 30
    assert enclosing.get() is None


def test_computations_that_each_set_a_timer_for_the_next_are_let_go(cache: Cache) -> None:
    # As with call_later of asyncio, what is begun so has a copy of the context, and no end.
    def answer(x: int) -> int:
        flights_seen.append(weakref.ref(enclosing.get()))
        timers.append(copy_context())
        return x

    flights_seen: list[Any] = []
    timers = [copy_context()]
    f = cached_on(cache, answer)
    for x in range(30):
        timers.pop().run(f, x)
    assert sum(seen() is not None for seen in flights_seen) == 1


async def test_tasks_that_each_begin_the_next_are_let_go(cache: Cache) -> None:
    flights_seen, tasks, all_done = [], set(), asyncio.Event()

    @cached(cache=cache, namespace="next", wait=LONGER_THAN_PATIENCE)
    async def f(x: int) -> int:
        flights_seen.append(weakref.ref(enclosing.get()))
        if x < 30:
            tasks.add(task := asyncio.create_task(f(x + 1)))
            task.add_done_callback(tasks.discard)
        else:
            all_done.set()
        return x

    await f(0)
    async with asyncio.timeout(PATIENCE):
        await all_done.wait()
        await asyncio.gather(*tasks)
    assert sum(seen() is not None for seen in flights_seen) < 5


@pytest.mark.parametrize("first", ["loop", "thread"])
def test_what_an_event_loop_leads_is_not_waited_for_while_that_is_blocked(first: str, cache: Cache) -> None:
    # A coroutine calls an ordinary function; the thread that computes that asks for what this event loop computes.
    led, computing, go, end = (threading.Event() for _ in range(4))

    @cached(cache=cache, namespace="in loop", wait=LONGER_THAN_PATIENCE)
    async def in_loop() -> str:
        if led.is_set():
            return "alone"
        led.set()
        assert await asyncio.to_thread(end.wait, PATIENCE)
        return "shared"

    @cached(cache=cache, namespace="in thread", wait=LONGER_THAN_PATIENCE)
    def in_thread() -> str:
        if computing.is_set():
            return "alone"
        computing.set()
        assert go.wait(PATIENCE)
        return asyncio.run(in_loop())

    async def main() -> tuple[str, str, str]:
        task = asyncio.create_task(in_loop())
        assert await asyncio.to_thread(led.wait, PATIENCE)
        thread = start(in_thread)
        assert await asyncio.to_thread(computing.wait, PATIENCE)
        if first == "thread":
            go.set()
            await joined(cache, 2)
        else:
            start(lambda: wait_until(lambda: bool(flights._blocked)) and go.set())
        result = in_thread()
        end.set()
        return result, await asyncio.wrap_future(thread), await task

    shared = "shared" if first == "thread" else "alone"
    assert start(asyncio.run, main()).result(PATIENCE) == ("alone", shared, "shared")
    assert flights._blocked == {}


# ---- by themselves ---------------------------------------------------------------------------------------------------


def flight(key: str = "k", lease: float = 60) -> Flight:
    return Flight(key, (), lease)


def test_of_the_flights_around_only_those_that_go_on_are_kept() -> None:
    outer = newest = flight("outer")
    for _ in range(30):
        enclosing.set(newest)
        newest, before = flight(), newest
        if before is not outer:
            before.resolve(None)  # a little after the next has begun
    enclosing.set(newest)
    newest.resolve(None)
    assert flight().parent is outer
    assert flights._chain(newest)[2:] == [outer]
    enclosing.set(None)


def test_a_flight_ends_once() -> None:
    resolved, failed, abandoned = flight(), flight(), flight()
    resolved.resolve(1)
    failed.fail(ValueError())
    abandoned.abandon()
    for each in (resolved, failed, abandoned):
        each.abandon()
    assert [each.state for each in (resolved, failed, abandoned)] == ["resolved", "failed", "abandoned"]
    assert all(each.over for each in (resolved, failed, abandoned))
    assert resolved.value == 1


def test_a_late_end_does_not_change_the_result() -> None:
    one = flight()
    one.abandon()
    one.resolve(1)
    assert one.state == "abandoned"


def test_a_flight_is_over_with_its_lease() -> None:
    assert not flight(lease=60).over
    assert flight(lease=0).over
    assert flight(lease=0).state is None


def test_whoever_subscribes_too_late_is_told() -> None:
    calls: list[int] = []
    one = flight()
    assert one.subscribe(lambda: calls.append(1))
    one.resolve(None)
    assert not one.subscribe(lambda: calls.append(2))
    assert calls == [1]


def test_join_says_whether_it_ended() -> None:
    one = flight()
    assert not one.join(0)
    assert not one.join(-1)
    one.resolve(None)
    assert one.join(0)
    assert one.join(1000)


def test_no_wake_up_is_lost() -> None:
    for _ in range(300):
        one = flight()
        ready = threading.Barrier(3)
        joined = [start(lambda one=one, ready=ready: (ready.wait(PATIENCE), one.join(PATIENCE))[1]) for _ in range(2)]
        ready.wait(PATIENCE)
        one.resolve(1)
        assert [each.result(PATIENCE) for each in joined] == [True, True]


def test_waiting_for_a_flight_that_waits_for_us_is_refused() -> None:
    first, second, third = flight("1"), flight("2"), flight("3")
    first.waits_for.append(second)
    second.waits_for.append(third)
    outcomes = []
    for around in (first, second, third, flight("4")):
        token = enclosing.set(around)
        with waiting(first) as allowed:
            outcomes.append(allowed)
        enclosing.reset(token)
    assert outcomes == [False, False, False, True]
    with waiting(first) as allowed:  # nobody waits for who leads nothing
        assert allowed
    assert [each.waits_for for each in (first, second, third)] == [[second], [third], []]


def test_the_flights_around_wait_as_well() -> None:
    outer = flight("outer")
    token = enclosing.set(outer)
    inner = flight("inner")
    enclosing.set(inner)
    other = flight("other")
    with waiting(other):
        assert outer.waits_for == inner.waits_for == [other]
    assert outer.waits_for == inner.waits_for == []
    enclosing.reset(token)


def test_what_has_ended_waits_for_nobody_any_more() -> None:
    one, ended = flight("1"), flight("2")
    ended.thread = one.thread = 1
    one.waits_for.append(ended)  # who leads it is only about to go on
    token = enclosing.set(ended)
    ended.resolve(None)
    with waiting(one, 2) as allowed:
        assert allowed
    ended.thread = 2
    with waiting(one, 2) as allowed:
        assert allowed
    enclosing.reset(token)


def test_a_graph_of_many_ways_is_walked_once() -> None:
    first = Flight("first", (), 60)
    level = [first]
    for number in range(40):  # 2 ** 40 ways lead through it
        above = [Flight(f"{number}{side}", (), 60) for side in "ab"]
        for each in above:
            each.waits_for = list(level)
        level = above
    assert flights._reaches(level[0], [first])
    assert not flights._reaches(level[0], [Flight("elsewhere", (), 60)])


def test_who_leads() -> None:
    loop = asyncio.new_event_loop()
    flight = Flight("key", (), 60)
    flight.thread = 0
    flight.lead_in(loop, None)
    assert (flight.thread, flight.loop, flight.has_lost_its_leader) == (threading.get_ident(), loop, False)
    loop.close()
    assert flight.has_lost_its_leader
    flight.leave_caller()
    assert (flight.parent, flight.thread) == (None, 0)


async def test_what_a_thread_of_the_pool_begins_is_led_in_the_event_loop() -> None:
    # Of a lease that was taken there and that no task has yet, only this says that it cannot go on in a blocked loop.
    assert await in_pool(threading.get_ident, ()) != threading.get_ident()
    begun = await in_pool(flight, ())
    assert (begun.thread, begun.loop) == (threading.get_ident(), asyncio.get_running_loop())
    assert flights.serving == {}


def test_leaving_a_flight_that_cannot_be_cancelled_is_nothing() -> None:
    flight = Flight("key", (), 60)
    flight.subscribe(print)
    assert not flight.leave(print)
    assert flight.state is None


def test_a_waiter_that_is_interrupted_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupting:
        def acquire(self, timeout: float = -1) -> None:
            if timeout != -1:
                raise KeyboardInterrupt

        def release(self) -> None: ...

    flight = Flight("key", (), 60)
    monkeypatch.setattr(flights.threading, "Lock", Interrupting)
    with pytest.raises(KeyboardInterrupt):
        flight.join(60)
    assert flight._wake == []
