"""Stale results and remembered exceptions: the options stale=, jitter= and errors=, on any cache."""

import logging
import random
import threading
from typing import Any

import pytest

from memocache import MISSING
from memocache.backends.base import Cache
from memocache.testing._harness import PATIENCE, Decorator, Gate, freeze_clock, start, wait_for


class NotFound(LookupError):
    """An exception whose constructor takes other arguments than those that it has."""

    def __init__(self, kind: str, number: int) -> None:
        super().__init__(f"no {kind} {number}")
        self.kind = kind


class NotFoundHere(NotFound):
    """A subclass of the exception that is remembered."""


class CountingAnswer:
    """An answer that counts up from 0, or fails; a test can wait until it is computed."""

    def __init__(self) -> None:
        self.times = 0
        self.fails = False
        self._done = threading.Semaphore(0)

    def __call__(self, a: Any, b: Any) -> Any:
        self.times += 1
        self._done.release()
        if self.fails:
            raise LookupError(self.times)
        return self.times - 1

    def wait(self) -> None:
        """Wait until it is computed once more."""
        assert self._done.acquire(timeout=PATIENCE)


class StalenessTests:
    """The tests of results whose timeout is over, and of exceptions that are remembered."""

    # ---- stale -------------------------------------------------------------------------------------------------------

    def test_the_random_numbers_of_a_program_are_its_own(self, cache: Cache, decorate: Decorator) -> None:
        f, _ = decorate(cache, stale=60, jitter=0.1)
        random.seed(1)
        expected = random.random()
        random.seed(1)
        for _ in range(3):
            assert [f(1), f(1), f.refresh(1), f.peek(1), f.uncache(1)] == [(1, 2)] * 4 + [True]
        assert random.random() == expected

    def test_an_old_result_is_served_while_one_refreshes_it(self, cache: Cache, decorate: Decorator) -> None:
        with freeze_clock() as move:
            gate = Gate(lambda a, b: calls.count)
            f, calls = decorate(cache, answer=lambda a, b: 1 if calls.count == 1 else gate(a, b), timeout=60, stale=600)
            assert [f(1), f(1)] == [1, 1]
            move(61)
            assert [f(1) for _ in range(5)] == [1] * 5  # and nobody waits
            gate.wait()
            assert f(1) == f.peek(1) == 1
            gate.open()
            info = wait_for(f, lambda info: info.stored == 2)
            assert f(1) == 2
            assert calls.count == 2
            assert (info.misses, info.stale, info.failures) == (2, 6, 0)

    def test_what_is_older_than_stale_is_computed_in_the_foreground(self, cache: Cache, decorate: Decorator) -> None:
        with freeze_clock() as move:
            f, calls = decorate(cache, answer=lambda a, b: calls.count, timeout=60, stale=600)
            assert f(1) == 1
            move(661)
            assert f.peek(1) is MISSING
            assert f(1) == 2
            assert f.info().stale == 0

    def test_without_stale_nothing_old_is_served(self, cache: Cache, decorate: Decorator) -> None:
        with freeze_clock() as move:
            f, calls = decorate(cache, answer=lambda a, b: calls.count, timeout=60)
            assert f(1) == 1
            move(60)
            assert f(1) == 2

    def test_the_other_processes_are_served_the_old_result_too(
        self, cache: Cache, peer: Cache, decorate: Decorator
    ) -> None:
        with freeze_clock() as move:
            gate = Gate(lambda a, b: "new")
            options = {"namespace": "contract.shared.stale", "timeout": 60, "stale": 600}
            here, calls = decorate(cache, answer=lambda a, b: "old", **options)
            there, elsewhere = decorate(peer, answer=gate, **options)
            here.uncache_all()
            assert here(1) == "old"
            move(61)
            assert there(1) == "old"
            gate.wait()
            assert [here(1), there(1), here(1)] == ["old"] * 3
            gate.open()
            wait_for(there, lambda info: info.stored == 1)
            assert [here(1), there(1)] == ["new"] * 2
            assert (calls.count, elsewhere.count) == (1, 1)

    def test_a_refresh_that_raises_leaves_the_old_result_and_is_tried_again_later(
        self, cache: Cache, decorate: Decorator, caplog: pytest.LogCaptureFixture
    ) -> None:
        answer = CountingAnswer()
        with freeze_clock() as move, caplog.at_level(logging.WARNING, "memocache"):
            f, _ = decorate(cache, answer=answer, timeout=60, stale=6000)
            assert f(1) == 0
            answer.wait()
            answer.fails = True
            move(61)
            for failure, pause in enumerate([1, 2, 4, 8, 16, 30, 30], 1):
                assert f(1) == 0
                answer.wait()
                wait_for(f, lambda info, failure=failure: info.failures == failure)
                move(pause - 0.5)
                assert [f(1), f(1)] == [0, 0]
                assert answer.times == 1 + failure
                move(0.6)
            answer.fails = False
            assert f(1) == 0
            wait_for(f, lambda info: info.stored == 2)
            assert f(1) == 8
        (message,) = [record.getMessage() for record in caplog.records]
        assert "so that the old result is served on: LookupError: 2 (said once; see info())" in message

    def test_a_success_ends_the_pauses(self, cache: Cache, decorate: Decorator) -> None:
        answer = CountingAnswer()
        with freeze_clock() as move:
            f, _ = decorate(cache, answer=answer, timeout=60, stale=6000)
            f(1)
            for failures in (1, 2):
                answer.fails = True
                move(61)
                f(1)
                wait_for(f, lambda info, failures=failures: info.failures == failures)
                answer.fails = False
                move(1.1)
                f(1)
                wait_for(f, lambda info, failures=failures: info.stored == 1 + failures)

    @pytest.mark.parametrize("how", ["uncache", "uncache_all"])
    def test_forgetting_forgets_the_old_result_and_voids_its_refresh(
        self, cache: Cache, decorate: Decorator, how: str
    ) -> None:
        with freeze_clock() as move:
            gate = Gate(lambda a, b: "from before")
            answers: list[Any] = [lambda a, b: "first", gate, lambda a, b: "after"]
            f, calls = decorate(cache, answer=lambda a, b: answers[calls.count - 1](a, b), timeout=60, stale=600)
            f(1)
            move(61)
            assert f(1) == "first"
            gate.wait()
            assert f.uncache(1) is True if how == "uncache" else f.uncache_all() is None
            assert start(f, 1).result(PATIENCE) == "after"
            gate.open()
            for thread in threading.enumerate():
                if thread.name == "memocache refresh":
                    thread.join(PATIENCE)
            assert f(1) == f.peek(1) == "after"
            assert f.info().failures == 0  # it is not stored, as it should be

    def test_an_old_result_can_be_forgotten(self, cache: Cache, decorate: Decorator) -> None:
        with freeze_clock() as move:
            f, calls = decorate(cache, answer=lambda a, b: calls.count, timeout=60, stale=600)
            f(1)
            move(61)
            assert f.uncache(1) is True
            assert f.peek(1) is MISSING
            assert f(1) == 2

    def test_a_refresh_whose_result_is_not_to_be_stored_removes_the_old_one(
        self, cache: Cache, decorate: Decorator
    ) -> None:
        with freeze_clock() as move:
            f, calls = decorate(
                cache, answer=lambda a, b: calls.count, timeout=60, stale=600, unless=lambda result: result == 2
            )
            f(1)
            move(61)
            assert f(1) == 1
            wait_for(f, lambda info: info.misses == 2 and f.peek(1) is MISSING)
            assert f(1) == 3

    # ---- jitter ------------------------------------------------------------------------------------------------------

    def test_timeouts_differ_by_jitter(self, cache: Cache, decorate: Decorator) -> None:
        with freeze_clock() as move:
            f, _ = decorate(cache, timeout=100, jitter=0.1)
            f.many([(number,) for number in range(60)])
            keys = [f.key(number) for number in range(60)]
            move(89)
            assert cache.get_many(*keys).count(None) == 0
            move(11)
            assert 5 < cache.get_many(*keys).count(None) < 55
            move(11)
            assert cache.get_many(*keys).count(None) == 60

    # ---- errors ------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("kind", [NotFound, NotFoundHere])
    def test_an_exception_is_remembered_as_long_as_it_is_to_be(
        self, cache: Cache, peer: Cache, decorate: Decorator, kind: type[NotFound]
    ) -> None:
        def answer(a: Any, b: Any) -> Any:
            raise kind("user", a)

        with freeze_clock() as move:
            options = {"namespace": f"contract.shared.errors.{kind.__name__}", "errors": {NotFound: 30}}
            f, calls = decorate(cache, answer=answer, **options)
            g, elsewhere = decorate(peer, answer=answer, **options)
            f.uncache_all()
            errors = []
            for call in (f, f, g, f.peek):
                with pytest.raises(NotFound) as raised:
                    call(1)
                assert type(raised.value) is kind
                assert raised.value.args == ("no user 1",)
                assert raised.value.kind == "user"
                errors.append(raised.value)
            assert len({id(error) for error in errors}) == 4
            assert (calls.count, elsewhere.count) == (1, 0)
            assert cache.get(f.key(1)) is None
            assert cache.has(f.key(1)) is False
            info = f.info()
            assert (info.misses, info.stored) == (1, 1)
            assert info.hits + g.info().hits == 2
            move(31)
            with pytest.raises(NotFound):
                f(1)
            assert calls.count == 2
            assert f.uncache(1) is True

    def test_the_traceback_of_what_is_remembered_does_not_grow(self, cache: Cache, decorate: Decorator) -> None:
        def answer(a: Any, b: Any) -> Any:
            raise NotFound("user", a)

        f, _ = decorate(cache, answer=answer, errors={NotFound: 30})
        lengths = []
        for _ in range(5):
            with pytest.raises(NotFound) as raised:
                f(1)
            lengths.append(len(raised.traceback))
            assert raised.value.__context__ is None
        assert len(set(lengths[1:])) == 1

    def test_other_exceptions_are_not_remembered(self, cache: Cache, decorate: Decorator) -> None:
        f, calls = decorate(cache, answer=lambda a, b: 1 // a, errors={NotFound: 30, ValueError: "1m"})
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                f(0)
        assert calls.count == 2

    def test_the_most_special_class_decides(self, cache: Cache, decorate: Decorator) -> None:
        def answer(a: Any, b: Any) -> Any:
            raise a("user", 1)

        with freeze_clock() as move:
            f, calls = decorate(cache, answer=answer, errors={LookupError: 10, NotFoundHere: 100}, key=lambda a, b: 0)
            for _ in range(2):
                with pytest.raises(NotFoundHere):
                    f(NotFoundHere)
                move(11)
            assert calls.count == 1

    def test_errors_go_before_stale(self, cache: Cache, decorate: Decorator) -> None:
        answer = CountingAnswer()
        with freeze_clock() as move:
            f, _ = decorate(cache, answer=answer, timeout=60, stale=600, errors={LookupError: 30})
            assert f(1) == 0
            answer.fails = True
            move(61)
            assert f(1) == 0
            wait_for(f, lambda info: info.stored == 2)
            with pytest.raises(LookupError, match=r"^2$"):
                f(1)
            assert answer.times == 2

    def test_an_exception_without_a_form_as_bytes_is_raised_and_counted(
        self, cache: Cache, decorate: Decorator
    ) -> None:
        def answer(a: Any, b: Any) -> Any:
            raise LookupError(threading.Lock())

        f, calls = decorate(cache, answer=answer, errors={LookupError: 30})
        for _ in range(2):
            with pytest.raises(LookupError):
                f(1)
        assert calls.count == f.info().failures == 2 if cache.shared else calls.count == 1
