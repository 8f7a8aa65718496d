"""Who subscribes to events is told of them; what the contract asks of every cache is in memocache.testing."""

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from memocache import (
    Cache,
    Event,
    MemcachedCache,
    NullCache,
    SimpleCache,
    SQLiteCache,
    cached,
    configure,
    disabled,
    subscribe,
    uncaches,
    watched,
)
from memocache._events import USUAL
from memocache._listeners import listeners, switches
from memocache.testing._harness import freeze_clock
from tests.support.refusals import refusal
from tests.support.servers import MemcachedServer, free_port
from tests.support.threads import PATIENCE, Joins, start


def test_nobody_listens_after_the_last_has_ended() -> None:
    first = subscribe(print)
    second = subscribe(print, "hit", "hit")
    assert set(listeners) == set(USUAL)
    first()
    assert set(listeners) == {"hit"}
    second()
    second()
    assert not listeners


def test_who_ends_does_not_end_somebody_who_is_equal() -> None:
    @dataclass
    class Collector:
        kinds: list[str]

        def __call__(self, event: Event) -> None:
            self.kinds.append(event.kind)

    first, second = Collector([]), Collector([])
    f = cached(timeout=60)(lambda x: x)
    with subscribe(first, "miss"):
        subscribe(second, "miss")()
        f(1)
    assert (first.kinds, second.kinds) == (["miss"], [])


def test_what_a_listener_raises_is_logged_once_each_time_that_it_listens(caplog: pytest.LogCaptureFixture) -> None:
    f = cached(timeout=60)(lambda x: x)

    def broken(event: Event) -> None:
        raise LookupError

    for number in (1, 3):
        with subscribe(broken, "miss"):
            f(number), f(number + 1)
    assert caplog.text.count("a listener to events raised (said once)") == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("hit",), "subscribe() got a str; wanted: a function that takes one Event"),
        (
            (lambda: None,),
            "subscribe() got <lambda>, which cannot be called with an Event: too many positional arguments; wanted: a "
            "function that takes one",
        ),
        (
            (print, "hits"),
            "subscribe() got the kind 'hits'; wanted: hit, stale, miss, wait, stored, uncached, evicted, failed, "
            "recovered, operation, or none for all but the last",
        ),
    ],
    ids=["no function", "takes nothing", "no kind"],
)
def test_what_cannot_be_subscribed_is_refused(given: Any, message: str) -> None:
    assert refusal(subscribe, *given) == message
    assert not listeners


@pytest.mark.parametrize("kinds", [("miss",), ("stored", "evicted")])
def test_hits_in_process_stay_fast_unless_somebody_listens_to_them(kinds: Any) -> None:
    f = cached(timeout=60)(lambda x: x)
    index = f._self_memoizer._fast_index  # no figure says who has served a hit
    with subscribe(print, *kinds):
        f(1)
        assert len(index.table) == 1
        with subscribe(list[Event]().append, "hit"):
            assert len(index.table) == 0
            f(1)
            assert len(index.table) == 0
        f(1)
        assert len(index.table) == 1


def test_who_listens_inside_disabled_leaves_it_as_it_was() -> None:
    calls: list[int] = []

    @cached(timeout=60)
    def f(x: int) -> int:
        calls.append(x)
        return x

    f(1)
    with disabled():
        with watched() as told:
            f(1)
        f(1)
    assert (calls, told) == ([1, 1, 1], [])


async def test_watched_takes_the_tasks_and_threads_of_its_context_and_no_others() -> None:
    @cached(timeout=60)
    async def f(x: int) -> int:
        return x

    @cached(timeout=60)
    def g(x: int) -> int:
        return x

    async def elsewhere() -> None:
        await go.wait()
        await f(1)
        thread = threading.Thread(target=g, args=(2,))
        thread.start()
        thread.join()

    go = asyncio.Event()
    others = asyncio.create_task(elsewhere())
    with watched() as calls:
        await asyncio.gather(f(1), f(2), asyncio.to_thread(g, 1))
        with watched() as inner:
            g(1)
        go.set()
        await others
    assert [call.kind for call in inner] == ["hit"]
    assert sorted(call.kind for call in calls) == ["hit", "miss", "miss", "miss"]


def test_what_has_to_leave_for_others_is_told_and_counted() -> None:
    cache, told = SimpleCache(threshold=10), list[Event]()

    f = cached(timeout=60, cache=cache)(lambda x: x)

    def listener(event: Event) -> None:
        thread = threading.Thread(target=cache.get, args=("x",), daemon=True)
        thread.start()
        thread.join(5)
        assert not thread.is_alive()  # no lock is held
        told.append(event)

    keys = {f.key(x) for x in range(15)}
    with subscribe(listener, "evicted"):
        for x in range(15):
            f(x)
        for x in range(20):
            cache.set(f"own {x}", x)
    of_function = [event for event in told if event.function]
    assert len(told) == 25
    assert f.info().evicted == len(of_function)
    assert {event.key for event in of_function} <= keys
    assert {(event.function, str(event.key)[:4]) for event in told if not event.function} <= {("", "own ")}


def test_a_server_that_fails_and_comes_back(own_memcached: MemcachedServer, caplog: pytest.LogCaptureFixture) -> None:
    cache, told = MemcachedCache([own_memcached.address], timeout=5), list[Event]()

    f = cached(timeout=60, cache=cache, namespace="events")(lambda x: x)
    f(1)
    recovered = threading.Event()
    with (
        subscribe(told.append, "failed", "recovered"),
        subscribe(lambda event: recovered.set(), "recovered"),
        caplog.at_level(logging.CRITICAL, "memocache"),
    ):
        own_memcached.kill()
        f(1)
        own_memcached.restart()
        while not recovered.wait(0.01):
            f(1)
    kinds = [(event.kind, bool(event.function)) for event in told]
    assert kinds[0] == ("failed", False)  # the server
    assert ("failed", True) in kinds  # the call
    assert kinds.count(("recovered", False)) == 1
    assert all(event.error is not None for event in told if event.kind == "failed")
    errors = f.info().errors
    assert sum(errors.values()) == f.info().failures > 0
    assert "the cache did not answer, so the call was computed and not stored" in errors


def test_the_figures_survive_another_cache() -> None:
    f = cached(timeout=60)(lambda x: x)
    f(1)
    f(1)
    configure(SimpleCache(threshold=7))
    f(1)
    info = f.info()
    assert (info.hits, info.misses, info.stored, info.maxsize) == (1, 2, 2, 7)
    f.cache_clear()
    info = f.info()
    assert (info.hits, info.misses, info.stored) == (0, 0, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # which is the point
def test_a_child_can_subscribe_though_its_parent_was_just_doing_so() -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold(on: bool) -> None:
        entered.set()
        leave.wait(30)

    switches["hit"].append(hold)
    try:
        thread = threading.Thread(target=lambda: subscribe(print, "hit")())
        thread.start()
        entered.wait(30)
        child = os.fork()
        if not child:
            switches["hit"].remove(hold)
            subscribe(print, "miss")()
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    finally:
        leave.set()
        thread.join()
        switches["hit"].remove(hold)


@pytest.mark.parametrize("cache", [NullCache(), SimpleCache()], ids=repr)
async def test_a_coroutine_function_that_raises_tells_the_error_of_its_miss(cache: Cache) -> None:
    @cached(timeout=60, cache=cache, wait=0)
    async def f(x: int) -> float:
        await asyncio.sleep(0)
        return 1 / x

    with watched() as calls:
        results: list[Any] = await asyncio.gather(f(0), f(0), f(1), f(1), return_exceptions=True)  # the second, alone
    assert [type(each) for each in results] == [ZeroDivisionError, ZeroDivisionError, float, float]
    assert sorted(repr(call.error) for call in calls) == ["None", "None", *[repr(results[0])] * 2]
    assert {call.kind for call in calls} == {"miss"}


def test_what_is_served_stale_is_no_miss_too_though_it_cannot_be_copied() -> None:
    def copy(value: int) -> int:
        if copies:
            raise ValueError("of the copy")
        return value

    copies: list[int] = []

    @cached(timeout=60, stale=600, copy=copy)
    def f(x: int) -> float:
        return 1 / (1 - len(copies))

    with freeze_clock() as move, pytest.MonkeyPatch.context() as patched:
        f(1)
        move(61)
        copies.append(1)
        patched.setattr("memocache._effects.in_background", lambda call: False)  # so that it is refreshed here
        with watched() as calls, pytest.raises(ValueError, match="of the copy"):
            f(1)
    assert [call.kind for call in calls] == ["stale"]


def test_a_cache_that_does_not_answer_is_named_though_another_stands_in(caplog: pytest.LogCaptureFixture) -> None:
    cache = MemcachedCache([f"127.0.0.1:{free_port()}"])

    f = cached(timeout=60, cache=cache, namespace="events")(lambda x: x)
    told: list[Event] = []
    with subscribe(told.append), caplog.at_level(logging.CRITICAL, "memocache"):
        f(1)
    assert [event.kind for event in told if event.function] == ["failed", "miss"]
    assert all(event.cache is cache for event in told if event.function)


def test_a_cache_that_is_made_while_somebody_listens_tells_of_its_operations(tmp_path: Path) -> None:
    told: list[Event] = []
    with subscribe(told.append, "operation"):
        f = cached(timeout=60, cache=SQLiteCache(tmp_path / "cache.db"), namespace="f")(lambda x: x)
        f(1)
    f(2)
    assert [event.operation for event in told] == ["get", "set"]


# ---- one outcome a call ----------------------------------------------------------------------------------------------


class Shop:
    """Methods of all kinds, with what they are called on."""

    calls: ClassVar[dict[str, Callable[[], object]]] = {
        "method": lambda: Shop().method(1),
        "class method": lambda: Shop.of_class(1),
        "static method": lambda: Shop.static(1),
        "of the class": lambda: Shop.method(Shop(), 1),
        "recursion": lambda: Shop.down(4),
        "two in a circle": lambda: Shop.one(3),
        "changed and computed": lambda: Shop.change(1),
    }

    @cached(timeout=60)
    def method(self, x: int) -> int:
        return x

    @classmethod
    @cached(timeout=60)
    def of_class(cls, x: int) -> int:
        return x

    @cached(timeout=60)
    @staticmethod
    def static(x: int) -> int:
        return x

    @staticmethod
    @cached(timeout=60)
    def down(x: int) -> int:
        return x and Shop.down(x - 1)

    @staticmethod
    @cached(timeout=60)
    def one(x: int) -> int:
        return x and Shop.two(x)

    @staticmethod
    @cached(timeout=60)
    def two(x: int) -> int:
        return Shop.one(x - 1)

    @staticmethod
    @uncaches(static, call=("{x}",))
    def change(x: int) -> int:
        return Shop.static(x)


@pytest.mark.parametrize(
    ("call", "misses"), [*(zip(Shop.calls, [1, 1, 1, 1, 5, 7, 1], strict=True))], ids=lambda given: str(given)
)
def test_each_call_of_every_kind_has_one_outcome(call: str, misses: int) -> None:
    with watched() as calls:
        Shop.calls[call]()
    assert [event.kind for event in calls] == ["miss"] * misses
    with watched() as calls:
        Shop.calls[call]()
    again = "hit" if call not in ("method", "of the class", "changed and computed") else "miss"  # another instance
    assert [event.kind for event in calls] == [again]


class Interrupted(BaseException):
    """What ends a computation, and is not its result."""


WAYS: dict[str, tuple[Callable[[int], object], list[str]]] = {
    "a result": (lambda x: x, ["miss", "wait"]),
    "an exception": (lambda x: 1 / 0, ["miss", "wait"]),
    "an iterator, which is not shared": (lambda x: iter([x]), ["miss", "miss"]),
    "an interruption": (lambda x: _raise(Interrupted()), ["miss", "miss"]),  # who waits computes in its turn
}


def _raise(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("errors", [None, {ZeroDivisionError: 60}], ids=["", "remembered"])
def test_who_waits_has_one_outcome_whatever_comes_of_it(way: str, errors: Any, joins: Joins) -> None:
    answer, kinds = WAYS[way]
    entered, go = threading.Event(), threading.Event()

    @cached(timeout=60, cache=SimpleCache(), errors=errors, wait=PATIENCE)
    def f(x: int) -> object:
        entered.set()
        assert go.wait(PATIENCE)
        return answer(x)

    told: list[Event] = []
    with subscribe(told.append, "hit", "stale", "miss", "wait"):
        calls = [start(f, 1)]
        assert entered.wait(PATIENCE)
        calls.append(start(f, 1))
        joins.wait(1)
        go.set()
        for call in calls:
            call.exception(PATIENCE)
    assert sorted(event.kind for event in told) == kinds
    with watched() as once_more, contextlib.suppress(Interrupted, ZeroDivisionError):
        f(1)
    is_stored = way == "a result" or (way == "an exception" and errors)
    assert [event.kind for event in once_more] == ["hit" if is_stored else "miss"]
