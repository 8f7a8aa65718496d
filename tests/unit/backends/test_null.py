"""NullCache: a function on it behaves as if it were not decorated."""

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from memocache import MISSING, ConfigurationError, NullCache, cache_from_url, cached, configure, uncache_tag
from memocache.backends.base import Cache
from memocache.testing import BackendContract
from memocache.testing._harness import Decorator


class TestNullCache:
    """What of the contract makes sense where nothing is kept."""

    pytest_generate_tests = BackendContract.pytest_generate_tests
    kinds = BackendContract.kinds
    decorate = BackendContract.decorate
    cache = BackendContract.cache
    test_what_has_no_stable_form_is_refused = BackendContract.test_what_has_no_stable_form_is_refused
    test_peek_never_computes = BackendContract.test_peek_never_computes
    test_an_exception_is_not_kept = BackendContract.test_an_exception_is_not_kept
    test_get_gives_none_for_nothing = BackendContract.test_get_gives_none_for_nothing
    test_many_takes_any_iterable_of_calls = BackendContract.test_many_takes_any_iterable_of_calls
    test_many_says_how_a_call_is_spelt = BackendContract.test_many_says_how_a_call_is_spelt
    test_a_call_that_asks_for_itself_ends = BackendContract.test_a_call_that_asks_for_itself_ends
    test_the_cache_is_known = BackendContract.test_the_cache_is_known
    test_the_default_timeout_is_known = BackendContract.test_the_default_timeout_is_known

    def make_cache(self) -> Cache:
        return NullCache()

    def test_every_call_computes_and_nothing_is_told(
        self, cache: Cache, decorate: Decorator, caplog: pytest.LogCaptureFixture
    ) -> None:
        f, calls = decorate(cache, tags=("a:{a}",), errors={LookupError: 30})
        with caplog.at_level(logging.DEBUG, "memocache"):
            assert [f(1), f(1), f.refresh(1), *f.many([(1,), (1,)])] == [(1, 2)] * 5
            f.put("given", 1)
            assert f(1) == (1, 2)
            assert [f.peek(1), f.uncache(1), f.uncache_all(), f.uncache_where(a=1)] == [MISSING, False, None, None]
            uncache_tag("a:1", cache)
        assert calls.count == 6
        info = f.info()
        assert (info.hits, info.misses, info.waits, info.stored, info.failures) == (0, 6, 0, 0, 0)
        assert not caplog.records

    def test_calls_at_once_compute_each_for_itself(self, cache: Cache, decorate: Decorator) -> None:
        together = threading.Barrier(8)

        def answer(a: Any, b: Any) -> Any:
            together.wait(30)  # all of them are inside at once
            return a

        f, calls = decorate(cache, answer=answer)
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(f, [1] * 8)) == [1] * 8
        assert calls.count == 8


def test_its_methods_say_that_nothing_is_kept() -> None:
    cache = NullCache()
    assert [cache.set("a", 1), cache.add("a", 1), cache.delete("a"), cache.has("a"), cache.clear()] == [
        *(False, False, False, False, True)
    ]
    assert [cache.inc("a"), cache.inc("a", 5), cache.dec("a", 2)] == [1, 5, -2]
    assert cache.set_many({"a": 1}) == cache.delete_many("a") == []
    assert cache.get_many("a", "b") == [None, None]
    assert repr(cache) == "NullCache(default_timeout=300)"


def test_a_url_stands_for_it() -> None:
    assert repr(cache_from_url("null://?default_timeout=1m")) == "NullCache(default_timeout=60)"


def test_what_another_cache_would_refuse_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="default_timeout='soon' is not a duration"):
        NullCache(default_timeout="soon")
    with pytest.raises(ConfigurationError, match="timeout='soon' is not a duration"):
        NullCache().set("a", 1, timeout="soon")  # type: ignore[arg-type]


def test_it_switches_off_functions_that_follow_the_default() -> None:
    f = cached(lambda: object())
    assert f() is f()
    configure(NullCache())
    assert f() is not f()


def test_closures_and_any_instance_are_served() -> None:
    class Thing:
        __slots__ = ("__weakref__",)

        @cached(cache=NullCache())
        def method(self) -> object:
            return object()

    thing = Thing()
    assert thing.method() is not thing.method()
