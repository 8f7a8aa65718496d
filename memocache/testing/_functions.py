"""What a cached function does, on any cache."""

import logging
import threading
from datetime import timedelta
from typing import Any

import pytest
from freezegun import freeze_time

from memocache import MISSING, UnkeyableArgument
from memocache._policy import UNSET
from memocache.backends.base import Cache
from memocache.testing._harness import Counted

__all__ = ["FunctionTests"]


DISTINCT: list[tuple[Any, Any]] = [
    (("a b", "c"), ("a", "b c")),
    ((1,), ("1",)),
    ((1,), (True,)),
    ((1,), (1.0,)),
    (((1,),), ((True,),)),
    ((0.0,), (-0.0,)),
    ((None,), ("None",)),
    ((None,), ("",)),
    ((b"x",), ("x",)),
    (([1, 2],), ((1, 2),)),
    ((["1:2"],), ([1, 2],)),
    (({},), (set(),)),
]


class FunctionTests:
    """A function cached on the cache."""

    # ---- keys (promises 1 and 2) ---------------------------------------------------------------------------------

    def test_the_second_call_is_a_hit(self, cache: Cache, counted: Counted) -> None:
        f, calls = counted(cache)
        assert f(1) == f(1) == (1, 2)
        assert calls.seen == [(1, 2)]

    def test_every_spelling_is_the_same_call(self, cache: Cache, counted: Counted) -> None:
        f, calls = counted(cache)
        for _ in range(2):
            assert f(1) == f(a=1) == f(1, 2) == f(1, b=2) == f(b=2, a=1) == (1, 2)
        assert calls.count == 1
        assert f.uncache(b=2, a=1) is True
        assert f.peek(1) is MISSING

    @pytest.mark.parametrize(("one", "other"), DISTINCT, ids=ascii)
    def test_different_calls_never_share(
        self, cache: Cache, counted: Counted, one: tuple[Any, ...], other: tuple[Any, ...]
    ) -> None:
        f, calls = counted(cache, answer=lambda a, b: repr((a, b)))
        for _ in range(2):
            assert f(*one) == repr((*one, 2)[:2])
            assert f(*other) == repr((*other, 2)[:2])
        assert calls.count == 2

    def test_equal_containers_are_equal_calls(self, cache: Cache, counted: Counted) -> None:
        f, calls = counted(cache, answer=lambda a, b: 1)
        f({"x": 1, "y": {2, 3}})
        f({"y": {3, 2}, "x": 1})
        assert calls.count == 1

    def test_what_has_no_stable_form_is_refused(self, cache: Cache, counted: Counted) -> None:
        f, calls = counted(cache)
        with pytest.raises(UnkeyableArgument, match=r"parameter 'a' has no stable key: .*give Calls a __cache_key__"):
            f(calls)
        assert calls.count == 0

    def test_the_key_leads_to_the_value(self, cache: Cache, counted: Counted, peer: Cache) -> None:
        f, _ = counted(cache)
        f(1)
        assert cache.get(f.key(a=1)) == peer.get(f.key(1, 2)) == (1, 2)
        assert f.key(1).isascii()
        assert len(f.key("x" * 1000)) < 250

    # ---- values (promise 6) --------------------------------------------------------------------------------------

    @pytest.mark.parametrize("value", [None, False, 0, "", (), {}])
    def test_an_empty_value_is_a_value(self, cache: Cache, counted: Counted, value: object) -> None:
        f, calls = counted(cache, answer=lambda a, b: value)
        assert f(1) == f(1) == value
        assert calls.count == 1
        assert f.peek(1) == value

    def test_peek_never_computes(self, cache: Cache, counted: Counted) -> None:
        f, calls = counted(cache)
        assert f.peek(1) is MISSING
        assert calls.count == 0

    def test_put_stores(self, cache: Cache, counted: Counted) -> None:
        f, calls = counted(cache)
        f.put("given", 1)
        assert f(1) == "given"
        f.put("again", 1)
        assert f(1) == "again"
        assert calls.count == 0

    def test_refresh_computes_and_replaces(self, cache: Cache, counted: Counted) -> None:
        answers = iter(range(9))
        f, _ = counted(cache, answer=lambda a, b: next(answers))
        assert [f(1), f.refresh(1), f(1)] == [0, 1, 1]
        assert f.refresh(7) == 2
        assert f(7) == 2

    def test_a_refresh_that_raises_leaves_the_old_result(self, cache: Cache, counted: Counted) -> None:
        answers: list[Any] = ["old"]
        f, _ = counted(cache, answer=lambda a, b: answers.pop())
        f(1)
        with pytest.raises(IndexError):
            f.refresh(1)
        assert f(1) == "old"

    def test_an_exception_is_not_kept(self, cache: Cache, counted: Counted) -> None:
        f, calls = counted(cache, answer=lambda a, b: 1 // a)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                f(0)
        assert calls.count == 2
        assert f.peek(0) is MISSING

    # ---- time (promise 9) ----------------------------------------------------------------------------------------

    @pytest.mark.parametrize("timeout", [60, 60.0, "1m", timedelta(minutes=1), lambda result: "60s"])
    def test_a_result_is_fresh_for_its_timeout(self, cache: Cache, counted: Counted, timeout: Any) -> None:
        f, calls = counted(cache, timeout=timeout)
        with freeze_time("2030-01-01") as clock:
            f(1)
            clock.tick(timedelta(seconds=59.9))
            f(1)
            assert calls.count == 1
            clock.tick(timedelta(seconds=0.2))
            assert f.peek(1) is MISSING
            f(1)
            assert calls.count == 2

    def test_a_timeout_may_be_shorter_than_a_second(self, cache: Cache, counted: Counted) -> None:
        f, calls = counted(cache, timeout=0.05)
        with freeze_time("2030-01-01") as clock:
            f(1)
            clock.tick(timedelta(seconds=0.04))
            f(1)
            assert calls.count == 1
            clock.tick(timedelta(seconds=0.02))
            f(1)
            assert calls.count == 2

    @pytest.mark.parametrize(("timeout", "days"), [(None, 3650), ("5w", 34)])
    def test_a_timeout_may_be_long(self, cache: Cache, counted: Counted, timeout: Any, days: int) -> None:
        f, calls = counted(cache, timeout=timeout)
        with freeze_time("2030-01-01") as clock:
            f(1)
            clock.tick(timedelta(days=days))
            f(1)
        assert calls.count == 1

    def test_no_timeout_is_the_caches_own(self, cache: Cache, counted: Counted) -> None:
        with freeze_time("2030-01-01") as clock:
            f, calls = counted(cache, timeout=UNSET)
            f(1)
            clock.tick(timedelta(seconds=299))
            f(1)
            assert calls.count == 1
            clock.tick(timedelta(seconds=2))
            f(1)
            assert calls.count == 2

    def test_time_moves_in_threads_too(self, cache: Cache, counted: Counted) -> None:
        f, calls = counted(cache)
        with freeze_time("2030-01-01") as clock:
            f(1)
            clock.tick(timedelta(seconds=61))
            thread = threading.Thread(target=f, args=(1,))
            thread.start()
            thread.join()
        assert calls.count == 2

    # ---- what is not stored --------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "options", [{"unless": lambda result: result is None}, {"timeout": lambda result: 0 if result is None else 60}]
    )
    def test_a_result_that_is_not_wanted_is_returned_and_not_stored(
        self, cache: Cache, counted: Counted, options: Any
    ) -> None:
        f, calls = counted(cache, answer=lambda a, b: a, **options)
        assert f(None) is f(None) is None
        assert calls.count == 2
        assert f("x") == f("x")
        assert calls.count == 3

    def test_an_error_of_unless_is_the_callers(self, cache: Cache, counted: Counted) -> None:
        f, calls = counted(cache, unless=lambda result: result.nonsense)
        for _ in range(2):
            with pytest.raises(AttributeError):
                f(1)
        assert calls.count == 2

    def test_what_has_no_form_as_bytes_is_returned_counted_and_told_once(
        self, cache: Cache, counted: Counted, caplog: pytest.LogCaptureFixture
    ) -> None:
        f, calls = counted(cache, answer=lambda a, b: threading.Lock())
        with caplog.at_level(logging.WARNING, "memocache"):
            assert [f(1).locked(), f(1).locked()] == [False, False]
        if not cache.shared:
            assert calls.count == 1
            return
        assert calls.count == 2
        assert f.info().failures == 2
        assert [record.message.count("a result cannot be stored") for record in caplog.records] == [1]

    # ---- figures -------------------------------------------------------------------------------------------------

    def test_info_counts_calls(self, cache: Cache, counted: Counted) -> None:
        f, _ = counted(cache)
        f(1)
        f(1)
        f(1)
        f(2)
        info = f.info()
        assert (info.hits, info.misses, info.waits, info.stored, info.failures) == (2, 2, 0, 2, 0)
        assert info == f.cache_info()
        f.cache_clear()
        assert (f.info().hits, f.info().misses) == (0, 0)
        assert f.peek(1) is MISSING

    def test_the_cache_is_known(self, cache: Cache, counted: Counted) -> None:
        f, _ = counted(cache)
        assert f.cache is cache
