"""One computation per key, whatever happens to it (promise 3); on any cache."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from memocache.backends.base import Cache
from memocache.testing._harness import Counted
from memocache.testing._threads import PATIENCE, started

__all__ = ["FlightTests", "Held"]


class Held:
    """An answer for `counted` that says when it is being computed, and is held until it may go on."""

    def __init__(self, answer: Callable[..., Any] = lambda a, b: (a, b)) -> None:
        self._answer = answer
        self.entered = threading.Event()
        self.go = threading.Event()

    def __call__(self, a: Any, b: Any) -> Any:
        self.entered.set()
        assert self.go.wait(PATIENCE)
        return self._answer(a, b)


class FlightTests:
    """Calls from many threads at once."""

    @pytest.mark.parametrize("round_", range(3))
    def test_many_threads_and_one_computation(self, cache: Cache, counted: Counted, round_: int) -> None:
        f, calls = counted(cache)
        barrier = threading.Barrier(16)

        def ask() -> Any:
            barrier.wait(PATIENCE)
            return f(1)

        with ThreadPoolExecutor(16) as pool:
            answers = [each.result(PATIENCE) for each in [pool.submit(ask) for _ in range(16)]]
        assert answers == [(1, 2)] * 16
        assert calls.count == 1
        info = f.info()
        assert info.misses == 1
        assert info.hits + info.waits == 15

    def test_a_waiter_gets_the_leaders_result(self, cache: Cache, counted: Counted) -> None:
        held = Held()
        f, calls = counted(cache, answer=held)
        leader = started(f, 1)
        assert held.entered.wait(PATIENCE)
        waiter = started(f, 1)
        held.go.set()
        assert leader.result(PATIENCE) == waiter.result(PATIENCE) == (1, 2)
        assert calls.count == 1

    def test_a_waiter_has_a_copy_of_its_own_where_copies_are_asked_for(self, cache: Cache, counted: Counted) -> None:
        held = Held(lambda a, b: [a])
        f, calls = counted(cache, answer=held, copy=True)
        leader = started(lambda: f(1).append("the leader's") or "changed")
        assert held.entered.wait(PATIENCE)
        waiter = started(f, 1)
        held.go.set()
        assert leader.result(PATIENCE) == "changed"
        assert waiter.result(PATIENCE) == f(1) == [1]
        assert calls.count == 1

    def test_another_process_waits_for_the_lease(self, cache: Cache, counted: Counted, peer: Cache) -> None:
        held = Held()
        here, calls = counted(cache, answer=held, namespace="contract.shared.lease")
        there, elsewhere = counted(peer, namespace="contract.shared.lease")
        here.uncache_all()
        leader = started(here, 1)
        assert held.entered.wait(PATIENCE)
        waiter = started(there, 1)
        held.go.set()
        assert leader.result(PATIENCE) == waiter.result(PATIENCE) == (1, 2)
        assert (calls.count, elsewhere.count) == (1, 0)

    def test_an_exception_reaches_the_waiters(self, cache: Cache, counted: Counted) -> None:
        held = Held(lambda a, b: 1 // 0)
        f, calls = counted(cache, answer=held)
        leader = started(f, 1)
        assert held.entered.wait(PATIENCE)
        waiter = started(f, 1)
        while not f.info().waits and not waiter.done() and calls.count == 1:
            held.go.set()
        errors = [leader.exception(PATIENCE), waiter.exception(PATIENCE)]
        assert [type(error) for error in errors] == [ZeroDivisionError] * 2
        assert errors[0] is not errors[1]
        assert f.peek(1) is not None

    @pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
    def test_a_leader_that_is_interrupted_hands_over(
        self, cache: Cache, counted: Counted, interrupt: type[BaseException]
    ) -> None:
        def answer(a: Any, b: Any) -> Any:
            if calls.count == 1:
                raise interrupt
            return (a, b)

        held = Held(answer)
        f, calls = counted(cache, answer=held)
        leader = started(f, 1)
        assert held.entered.wait(PATIENCE)
        waiter = started(f, 1)
        held.go.set()
        assert isinstance(leader.exception(PATIENCE), interrupt)
        assert waiter.result(PATIENCE) == (1, 2)
        assert f.peek(1) == (1, 2)

    def test_nobody_waits_longer_than_wait(self, cache: Cache, counted: Counted) -> None:
        held = Held()
        f, calls = counted(cache, answer=lambda a, b: held(a, b) if calls.count == 1 else "alone", wait=0.05)
        leader = started(f, 1)
        assert held.entered.wait(PATIENCE)
        assert started(f, 1).result(PATIENCE) == "alone"
        held.go.set()
        assert leader.result(PATIENCE) == f(1) == (1, 2)  # what was computed alone is not stored

    def test_another_process_does_not_wait_longer_than_wait(self, cache: Cache, counted: Counted, peer: Cache) -> None:
        held = Held()
        here, _ = counted(cache, answer=held, namespace="contract.shared.wait")
        there, _ = counted(peer, answer=lambda a, b: "alone", namespace="contract.shared.wait", wait=0.05)
        here.uncache_all()
        leader = started(here, 1)
        assert held.entered.wait(PATIENCE)
        assert started(there, 1).result(PATIENCE) == "alone"
        held.go.set()
        assert leader.result(PATIENCE) == there(1) == (1, 2)

    def test_a_call_that_asks_for_itself_ends(self, cache: Cache, counted: Counted) -> None:
        def answer(a: Any, b: Any) -> Any:
            return f(a) + 1 if calls.count < 3 else 0

        f, calls = counted(cache, answer=answer)
        assert started(f, 1).result(PATIENCE) == 2

    def test_calls_that_ask_for_each_other_in_two_threads_end(self, cache: Cache, counted: Counted) -> None:
        both_inside = threading.Barrier(2)

        def answer(a: Any, b: Any) -> Any:
            if calls.seen.count((a, b)) == 1:
                both_inside.wait(PATIENCE)
                return (a, f(3 - a)[0])
            return (a, None)

        f, calls = counted(cache, answer=answer)
        first, second = started(f, 1), started(f, 2)
        assert first.result(PATIENCE) == (1, 2)
        assert second.result(PATIENCE) == (2, 1)

    def test_a_recursive_function_caches_every_level(self, cache: Cache, counted: Counted) -> None:
        f, calls = counted(cache, answer=lambda a, b: a if a < 2 else f(a - 1) + f(a - 2))
        assert f(20) == 6765
        assert calls.count == 21
