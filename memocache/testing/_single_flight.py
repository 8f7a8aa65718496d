"""Single flight (promise 3): one computation per key, whatever happens to it; on any cache."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from memocache.backends.base import Cache
from memocache.testing._harness import PATIENCE, Decorator, Gate, start


class SingleFlightTests:
    """The tests of calls from many threads at once."""

    @pytest.mark.parametrize("round_", range(3))
    def test_many_threads_and_one_computation(self, cache: Cache, decorate: Decorator, round_: int) -> None:
        f, calls = decorate(cache)
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

    def test_a_waiter_gets_the_leaders_result(self, cache: Cache, decorate: Decorator) -> None:
        gate = Gate()
        f, calls = decorate(cache, answer=gate)
        leader = gate.hold(f, 1)
        waiter = start(f, 1)
        gate.open()
        assert leader.result(PATIENCE) == waiter.result(PATIENCE) == (1, 2)
        assert calls.count == 1

    def test_a_waiter_has_a_copy_of_its_own_where_copies_are_asked_for(self, cache: Cache, decorate: Decorator) -> None:
        gate = Gate(lambda a, b: [a])
        f, calls = decorate(cache, answer=gate, copy=True)
        leader = gate.hold(lambda: f(1).append("the leader's") or "changed")
        waiter = start(f, 1)
        gate.open()
        assert leader.result(PATIENCE) == "changed"
        assert waiter.result(PATIENCE) == f(1) == [1]
        assert calls.count == 1

    def test_another_process_waits_for_the_lease(self, cache: Cache, decorate: Decorator, peer: Cache) -> None:
        gate = Gate()
        here, calls = decorate(cache, answer=gate, namespace="contract.shared.lease")
        there, elsewhere = decorate(peer, namespace="contract.shared.lease")
        here.uncache_all()
        leader = gate.hold(here, 1)
        waiter = start(there, 1)
        gate.open()
        assert leader.result(PATIENCE) == waiter.result(PATIENCE) == (1, 2)
        assert (calls.count, elsewhere.count) == (1, 0)

    def test_an_exception_reaches_the_waiters(self, cache: Cache, decorate: Decorator) -> None:
        gate = Gate(lambda a, b: 1 // 0)
        f, calls = decorate(cache, answer=gate)
        leader = gate.hold(f, 1)
        waiter = start(f, 1)
        while not f.info().waits and not waiter.done() and calls.count == 1:
            gate.open()
        errors = [leader.exception(PATIENCE), waiter.exception(PATIENCE)]
        assert [type(error) for error in errors] == [ZeroDivisionError] * 2
        assert errors[0] is not errors[1]
        assert f.peek(1) is not None

    @pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
    def test_a_leader_that_is_interrupted_hands_over(
        self, cache: Cache, decorate: Decorator, interrupt: type[BaseException]
    ) -> None:
        def answer(a: Any, b: Any) -> Any:
            if calls.count == 1:
                raise interrupt
            return (a, b)

        gate = Gate(answer)
        f, calls = decorate(cache, answer=gate)
        leader = gate.hold(f, 1)
        waiter = start(f, 1)
        gate.open()
        assert isinstance(leader.exception(PATIENCE), interrupt)
        assert waiter.result(PATIENCE) == (1, 2)
        assert f.peek(1) == (1, 2)

    def test_nobody_waits_longer_than_wait(self, cache: Cache, decorate: Decorator) -> None:
        gate = Gate()
        f, calls = decorate(cache, answer=lambda a, b: gate(a, b) if calls.count == 1 else "alone", wait=0.05)
        leader = gate.hold(f, 1)
        assert start(f, 1).result(PATIENCE) == "alone"
        gate.open()
        assert leader.result(PATIENCE) == f(1) == (1, 2)  # what was computed alone is not stored

    def test_another_process_does_not_wait_longer_than_wait(
        self, cache: Cache, decorate: Decorator, peer: Cache
    ) -> None:
        gate = Gate()
        here, _ = decorate(cache, answer=gate, namespace="contract.shared.wait")
        there, _ = decorate(peer, answer=lambda a, b: "alone", namespace="contract.shared.wait", wait=0.05)
        here.uncache_all()
        leader = gate.hold(here, 1)
        assert start(there, 1).result(PATIENCE) == "alone"
        gate.open()
        assert leader.result(PATIENCE) == there(1) == (1, 2)

    def test_a_call_that_asks_for_itself_ends(self, cache: Cache, decorate: Decorator) -> None:
        def answer(a: Any, b: Any) -> Any:
            return f(a) + 1 if calls.count < 3 else 0

        f, calls = decorate(cache, answer=answer)
        assert start(f, 1).result(PATIENCE) == 2

    def test_calls_that_ask_for_each_other_in_two_threads_end(self, cache: Cache, decorate: Decorator) -> None:
        both_inside = threading.Barrier(2)

        def answer(a: Any, b: Any) -> Any:
            if calls.arguments.count((a, b)) == 1:
                both_inside.wait(PATIENCE)
                return (a, f(3 - a)[0])
            return (a, None)

        f, calls = decorate(cache, answer=answer)
        first, second = start(f, 1), start(f, 2)
        assert first.result(PATIENCE) == (1, 2)
        assert second.result(PATIENCE) == (2, 1)

    def test_a_recursive_function_caches_every_level(self, cache: Cache, decorate: Decorator) -> None:
        f, calls = decorate(cache, answer=lambda a, b: a if a < 2 else f(a - 1) + f(a - 2))
        assert f(20) == 6765
        assert calls.count == 21

    def test_many_joins_what_is_being_computed(self, cache: Cache, decorate: Decorator) -> None:
        gate = Gate()
        f, calls = decorate(cache, answer=gate)
        leader = gate.hold(f, 1)
        waiter = start(f.many, [(1,)])
        gate.open()
        assert [leader.result(PATIENCE), waiter.result(PATIENCE)] == [(1, 2), [(1, 2)]]
        assert calls.count == 1
