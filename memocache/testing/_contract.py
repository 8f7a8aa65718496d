"""BackendContract: every promise as a test, on whatever cache a subclass makes."""

import enum
import logging
import threading
import tracemalloc
from abc import abstractmethod
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from memocache import MISSING, UnkeyableArgument
from memocache._policy import UNSET
from memocache.backends.base import Cache
from memocache.errors import with_article
from memocache.testing._harness import PATIENCE, BlockingCache, Decorator, freeze_clock, start
from memocache.testing._invalidation import InvalidationTests
from memocache.testing._single_flight import SingleFlightTests
from memocache.testing._staleness import StalenessTests
from memocache.testing._telling import TellingTests

DAY = 86400


class Status(enum.Enum):
    """Values that another service sends: those that are new there go by one name here."""

    OPEN = "open"

    @classmethod
    def _missing_(cls, value: Any) -> "Status":
        made = object.__new__(cls)
        made._name_, made._value_ = "UNKNOWN", value
        return made


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
    ((Status("archived"),), (Status("deleted"),)),
]
ODD_KEYS = ["", " ", "a b", "a\r\nflush_all\r\n", "\x00", "schlüssel", "\udc80", "k" * 251, "k" * 100_000, "#" * 41]


class BackendContract(SingleFlightTests, InvalidationTests, StalenessTests, TellingTests):
    """The suite that every cache must pass. Subclass it in your tests, and say how to make your cache.

    Example:
        class TestMyCache(BackendContract):
            def make_cache(self) -> Cache:
                return MyCache("/tmp/cache.sock")
    """

    peer_delay: ClassVar[float] = 0.0
    """The seconds for which the cache may still serve what another process has forgotten or replaced."""

    kinds: ClassVar[tuple[str, ...]] = ("function", "coroutine")
    """The kinds of functions that the cache serves."""

    counts_across_processes: ClassVar[bool] = True
    """False if `inc` is atomic between the threads of a process only."""

    @abstractmethod
    def make_cache(self) -> Cache:
        """Return an empty cache with a default timeout of 300 seconds."""

    def make_peer(self, cache: Cache) -> Cache:
        """Return *cache* as another process sees it: another object over the same entries. In process: itself."""
        return cache

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run the tests of cached functions once for each kind of functions."""
        if "decorate" in metafunc.fixturenames:
            metafunc.parametrize("decorate", self.kinds, indirect=True)

    @pytest.fixture
    def decorate(self, request: pytest.FixtureRequest) -> Iterator[Decorator]:
        """A maker of cached functions: every promise holds for ordinary and for coroutine functions."""
        decorate = Decorator(coroutines=request.param == "coroutine")
        yield decorate
        decorate.close()

    @pytest.fixture
    def cache(self) -> Iterator[Cache]:
        """The cache under test."""
        cache = self.make_cache()
        yield _block(cache)
        close = getattr(cache, "close", None)
        if close is not None:
            close()

    @pytest.fixture
    def peer(self, cache: Cache) -> Cache:
        """The cache under test, as another process sees it."""
        return _block(self.make_peer(cache))

    @pytest.fixture
    def catch_up(self) -> Iterator[Callable[[], None]]:
        """A function that lets peer_delay pass."""
        if not self.peer_delay:
            yield lambda: None
            return
        with freeze_clock() as move:
            yield lambda: move(self.peer_delay)

    # ---- the cache's methods, as in werkzeug.contrib.cache and cachelib ----------------------------------------------

    def test_get_gives_what_was_set(self, cache: Cache) -> None:
        assert cache.set("key", {"a": [1, 2]}) is True
        assert cache.get("key") == {"a": [1, 2]}

    def test_get_gives_none_for_nothing(self, cache: Cache) -> None:
        assert cache.get("nothing") is None

    @pytest.mark.parametrize("value", [None, False, 0, "", (), -1, 1 << 80, 0.5, b"\x00\xff", (1, "x")])
    def test_every_value_comes_back_in_its_type(self, cache: Cache, value: object) -> None:
        cache.set("key", value)
        got = cache.get("key")
        assert got == value
        assert type(got) is type(value)

    def test_has_tells_none_from_nothing(self, cache: Cache) -> None:
        cache.set("key", None)
        assert cache.has("key") is True
        assert cache.has("nothing") is False

    def test_set_replaces(self, cache: Cache) -> None:
        cache.set("key", 1)
        cache.set("key", 2)
        assert cache.get("key") == 2

    def test_add_stores_only_where_there_is_nothing(self, cache: Cache) -> None:
        assert cache.add("key", 1) is True
        assert cache.add("key", 2) is False
        assert cache.get("key") == 1

    def test_add_stores_where_a_value_has_expired(self, cache: Cache) -> None:
        with freeze_clock() as move:
            cache.set("key", 1, timeout=10)
            move(11)
            assert cache.add("key", 2) is True
            assert cache.get("key") == 2

    def test_delete_says_whether_there_was_something(self, cache: Cache) -> None:
        cache.set("key", 1)
        assert cache.delete("key") is True
        assert cache.delete("key") is False
        assert cache.get("key") is None

    def test_clear_deletes_everything(self, cache: Cache) -> None:
        cache.set_many({"a": 1, "b": 2})
        assert cache.clear() is True
        assert cache.get_many("a", "b") == [None, None]

    def test_many_at_once(self, cache: Cache) -> None:
        assert sorted(cache.set_many({"a": 1, "b": None})) == ["a", "b"]
        assert cache.get_many("b", "nothing", "a") == [None, None, 1]
        assert cache.get_dict("a", "nothing") == {"a": 1, "nothing": None}
        assert cache.delete_many("a", "nothing") == ["a"]
        assert cache.get("a") is None

    def test_a_key_asked_for_twice_comes_twice(self, cache: Cache) -> None:
        cache.set("a", 1)
        assert cache.get_many("a", "a") == [1, 1]

    def test_a_timeout_ends_a_value(self, cache: Cache) -> None:
        with freeze_clock() as move:
            cache.set("key", 1, timeout=10)
            move(9.9)
            assert cache.get("key") == 1
            move(0.1)
            assert cache.get("key") is None
            assert cache.has("key") is False

    def test_a_timeout_of_none_is_the_default(self, cache: Cache) -> None:
        with freeze_clock() as move:
            cache.set("key", 1)
            move(299)
            assert cache.get("key") == 1
            move(1)
            assert cache.get("key") is None

    def test_a_timeout_of_0_is_for_ever(self, cache: Cache) -> None:
        with freeze_clock() as move:
            cache.set("key", 1, timeout=0)
            move(3650 * DAY)
            assert cache.get("key") == 1

    def test_a_timeout_below_0_stores_nothing_and_leaves_nothing(self, cache: Cache) -> None:
        cache.set("key", 1)
        assert cache.set("key", 2, timeout=-1) is False
        assert cache.get("key") is None

    def test_a_timeout_may_be_longer_than_30_days(self, cache: Cache) -> None:
        with freeze_clock() as move:
            cache.set("key", 1, timeout=40 * DAY)
            move(39 * DAY)
            assert cache.get("key") == 1
            move(2 * DAY)
            assert cache.get("key") is None

    def test_inc_and_dec_count_from_0(self, cache: Cache) -> None:
        assert cache.inc("a") == 1
        assert cache.inc("a", 5) == 6
        assert cache.dec("a", 10) == -4
        assert cache.dec("b") == -1
        assert cache.get("a") == -4

    def test_inc_goes_beyond_64_bits(self, cache: Cache) -> None:
        cache.set("a", 1 << 64)
        assert cache.inc("a") == (1 << 64) + 1

    def test_inc_keeps_the_time_of_expiry(self, cache: Cache) -> None:
        with freeze_clock() as move:
            cache.set("a", 1, timeout=10)
            move(9)
            assert cache.inc("a") == 2
            move(1)
            assert cache.get("a") is None

    @pytest.mark.parametrize("value", ["1", None, 1.5, True])
    def test_inc_refuses_what_is_no_int(self, cache: Cache, value: object) -> None:
        cache.set("a", value)
        with pytest.raises(TypeError, match=f"'a' holds {with_article(type(value))}; inc and dec need an int"):
            cache.inc("a")

    def test_inc_is_atomic(self, cache: Cache, peer: Cache) -> None:
        def count(counter: Cache) -> None:
            for _ in range(50):
                counter.inc("a")

        other = peer if self.counts_across_processes else cache
        for thread in [start(count, each) for each in (cache, other, cache, other)]:
            thread.result(PATIENCE)
        assert cache.get("a") == 200

    @pytest.mark.parametrize("key", ODD_KEYS, ids=lambda key: ascii(key[:12]))
    def test_any_text_is_a_key(self, cache: Cache, key: str) -> None:
        cache.set("canary", "alive")
        cache.set(key, "odd")
        assert cache.get(key) == "odd"
        assert cache.get_many(key, "canary") == ["odd", "alive"]
        assert cache.delete(key) is True
        assert cache.get(key) is None
        assert cache.get("canary") == "alive"

    def test_odd_keys_are_all_different(self, cache: Cache) -> None:
        for number, key in enumerate(ODD_KEYS):
            cache.set(key, number)
        assert cache.get_many(*ODD_KEYS) == list(range(len(ODD_KEYS)))

    def test_the_default_timeout_is_known(self, cache: Cache) -> None:
        assert cache.default_timeout == 300

    def test_another_process_sees_what_was_set(self, cache: Cache, peer: Cache, catch_up: Callable[[], None]) -> None:
        cache.set("key", (1, "x"))
        assert cache.get("key") == peer.get("key") == (1, "x")
        peer.set("key", 2)
        catch_up()
        assert cache.get("key") == peer.get("key") == 2
        peer.delete("key")
        catch_up()
        assert cache.get("key") is None

    # ---- keys (promises 1 and 2) -------------------------------------------------------------------------------------

    def test_the_second_call_is_a_hit(self, cache: Cache, decorate: Decorator) -> None:
        f, calls = decorate(cache)
        assert f(1) == f(1) == (1, 2)
        assert calls.arguments == [(1, 2)]

    def test_every_spelling_is_the_same_call(self, cache: Cache, decorate: Decorator) -> None:
        f, calls = decorate(cache)
        for _ in range(2):
            assert f(1) == f(a=1) == f(1, 2) == f(1, b=2) == f(b=2, a=1) == (1, 2)
        assert calls.count == 1
        assert f.uncache(b=2, a=1) is True
        assert f.peek(1) is MISSING

    @pytest.mark.parametrize(("one", "other"), DISTINCT, ids=ascii)
    def test_different_calls_never_share(
        self, cache: Cache, decorate: Decorator, one: tuple[Any, ...], other: tuple[Any, ...]
    ) -> None:
        f, calls = decorate(cache, answer=lambda a, b: repr((a, b)))
        for _ in range(2):
            assert f(*one) == repr((*one, 2)[:2])
            assert f(*other) == repr((*other, 2)[:2])
        assert calls.count == 2

    def test_equal_containers_are_equal_calls(self, cache: Cache, decorate: Decorator) -> None:
        f, calls = decorate(cache, answer=lambda a, b: 1)
        f({"x": 1, "y": {2, 3}})
        f({"y": {3, 2}, "x": 1})
        assert calls.count == 1

    def test_what_has_no_stable_form_is_refused(self, cache: Cache, decorate: Decorator) -> None:
        f, calls = decorate(cache)
        with pytest.raises(UnkeyableArgument, match=r"parameter 'a' has no stable key: .*give CallLog a __cache_key__"):
            f(calls)
        assert calls.count == 0

    def test_the_key_leads_to_the_value(self, cache: Cache, decorate: Decorator, peer: Cache) -> None:
        f, _ = decorate(cache)
        f(1)
        assert cache.get(f.key(a=1)) == peer.get(f.key(1, 2)) == (1, 2)
        assert f.key(1).isascii()
        assert len(f.key("x" * 1000)) < 250

    # ---- values (promise 6) ------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("value", [None, False, 0, "", (), {}])
    def test_an_empty_value_is_a_value(self, cache: Cache, decorate: Decorator, value: object) -> None:
        f, calls = decorate(cache, answer=lambda a, b: value)
        assert f(1) == f(1) == value
        assert calls.count == 1
        assert f.peek(1) == value

    def test_peek_never_computes(self, cache: Cache, decorate: Decorator) -> None:
        f, calls = decorate(cache)
        assert f.peek(1) is MISSING
        assert calls.count == 0

    def test_put_stores(self, cache: Cache, decorate: Decorator) -> None:
        f, calls = decorate(cache)
        f.put("given", 1)
        assert f(1) == "given"
        f.put("again", 1)
        assert f(1) == "again"
        assert calls.count == 0

    def test_refresh_computes_and_replaces(self, cache: Cache, decorate: Decorator) -> None:
        answers = iter(range(9))
        f, _ = decorate(cache, answer=lambda a, b: next(answers))
        assert [f(1), f.refresh(1), f(1)] == [0, 1, 1]
        assert f.refresh(7) == 2
        assert f(7) == 2

    def test_a_refresh_that_raises_leaves_the_old_result(self, cache: Cache, decorate: Decorator) -> None:
        answers: list[Any] = ["old"]
        f, _ = decorate(cache, answer=lambda a, b: answers.pop())
        f(1)
        with pytest.raises(IndexError):
            f.refresh(1)
        assert f(1) == "old"

    def test_an_exception_is_not_kept(self, cache: Cache, decorate: Decorator) -> None:
        f, calls = decorate(cache, answer=lambda a, b: 1 // a)
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                f(0)
        assert calls.count == 2
        assert f.peek(0) is MISSING

    # ---- time (promise 9) --------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("timeout", [60, 60.0, "1m", timedelta(minutes=1), lambda result: "60s"])
    def test_a_result_is_fresh_for_its_timeout(self, cache: Cache, decorate: Decorator, timeout: Any) -> None:
        f, calls = decorate(cache, timeout=timeout)
        with freeze_clock() as move:
            f(1)
            move(59.9)
            f(1)
            assert calls.count == 1
            move(0.2)
            assert f.peek(1) is MISSING
            f(1)
            assert calls.count == 2

    def test_a_timeout_may_be_shorter_than_a_second(self, cache: Cache, decorate: Decorator) -> None:
        f, calls = decorate(cache, timeout=0.05)
        with freeze_clock() as move:
            f(1)
            move(0.04)
            f(1)
            assert calls.count == 1
            move(0.02)
            f(1)
            assert calls.count == 2

    @pytest.mark.parametrize(("timeout", "days"), [(None, 3650), ("5w", 34)])
    def test_a_timeout_may_be_long(self, cache: Cache, decorate: Decorator, timeout: Any, days: int) -> None:
        f, calls = decorate(cache, timeout=timeout)
        with freeze_clock() as move:
            f(1)
            move(days * DAY)
            f(1)
        assert calls.count == 1

    def test_no_timeout_is_the_caches_own(self, cache: Cache, decorate: Decorator) -> None:
        with freeze_clock() as move:
            f, calls = decorate(cache, timeout=UNSET)
            f(1)
            move(299)
            f(1)
            assert calls.count == 1
            move(2)
            f(1)
            assert calls.count == 2

    def test_time_moves_in_threads_too(self, cache: Cache, decorate: Decorator) -> None:
        f, calls = decorate(cache)
        with freeze_clock() as move:
            f(1)
            move(61)
            start(f, 1).result(PATIENCE)
        assert calls.count == 2

    @pytest.mark.parametrize("options", [{}, {"stale": 60}], ids=["fresh", "stale"])
    def test_what_was_made_while_the_clock_was_ahead_is_not_served_too_long(
        self, cache: Cache, decorate: Decorator, options: Any
    ) -> None:
        f, calls = decorate(cache, timeout=300, **options)
        with freeze_clock() as move:
            move(3600)
            f(1)
            move(-3600)
            f(1)
            move(361)
            f(1)
        assert calls.count >= 2

    def test_what_was_made_after_the_clock_was_set_back_has_its_time(self, cache: Cache, decorate: Decorator) -> None:
        f, calls = decorate(cache, timeout=300)
        with freeze_clock() as move:
            move(3600)
            f(1)
            move(-3600)
            f.put((2, 2), 2)
            f(1)
            move(200)
            assert f(2) == (2, 2)
        assert [arguments[0] for arguments in calls.arguments].count(2) == 0

    def test_a_clock_that_is_ahead_of_another_is_told_once(
        self, cache: Cache, decorate: Decorator, caplog: pytest.LogCaptureFixture
    ) -> None:
        f, calls = decorate(cache, timeout=300)
        with freeze_clock() as move, caplog.at_level(logging.WARNING, "memocache"):
            for x in (1, 2):
                move(100)
                f(x)
                move(-100)
                f(x)
                f(x)
        assert calls.count == (4 if cache.shared else 2)
        told = [message for message in caplog.messages if "made 100 seconds in the future" in message]
        assert len(told) == (1 if cache.shared else 0)

    # ---- what is not stored ------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "options", [{"unless": lambda result: result is None}, {"timeout": lambda result: 0 if result is None else 60}]
    )
    def test_a_result_that_is_not_wanted_is_returned_and_not_stored(
        self, cache: Cache, decorate: Decorator, options: Any
    ) -> None:
        f, calls = decorate(cache, answer=lambda a, b: a, **options)
        assert f(None) is f(None) is None
        assert calls.count == 2
        assert f("x") == f("x")
        assert calls.count == 3

    def test_an_error_of_unless_is_the_callers(self, cache: Cache, decorate: Decorator) -> None:
        f, calls = decorate(cache, unless=lambda result: result.nonsense)
        for _ in range(2):
            with pytest.raises(AttributeError):
                f(1)
        assert calls.count == 2

    def test_what_has_no_form_as_bytes_is_returned_counted_and_told_once(
        self, cache: Cache, decorate: Decorator, caplog: pytest.LogCaptureFixture
    ) -> None:
        f, calls = decorate(cache, answer=lambda a, b: threading.Lock())
        with caplog.at_level(logging.WARNING, "memocache"):
            assert [f(1).locked(), f(1).locked()] == [False, False]
        if not cache.shared:
            assert calls.count == 1
            return
        assert calls.count == 2
        assert f.info().failures == 2
        assert [record.message.count("a result cannot be stored") for record in caplog.records] == [1]

    # ---- memory ------------------------------------------------------------------------------------------------------

    def test_the_arguments_of_calls_are_not_kept_alive(self, cache: Cache, decorate: Decorator) -> None:
        if not cache.shared:  # there they are what leads to an entry, and leave with it
            return
        f, calls = decorate(cache, answer=lambda a, b: None)
        f("first")
        tracemalloc.start()
        try:
            for count, length in ((40, 1_000_000), (60, 50_000)):
                for number in range(count):
                    f(f"{number:{length}}")
                    calls.arguments.clear()
                assert tracemalloc.get_traced_memory()[0] < 2**23
        finally:
            tracemalloc.stop()

    # ---- the cache ---------------------------------------------------------------------------------------------------

    def test_the_cache_is_known(self, cache: Cache, decorate: Decorator) -> None:
        f, _ = decorate(cache)
        assert f.cache is cache

    # ---- many --------------------------------------------------------------------------------------------------------

    def test_many_computes_what_is_missing(self, cache: Cache, decorate: Decorator) -> None:
        f, calls = decorate(cache)
        f(1)
        f(3, 4)
        assert f.many([(1,), (2,), (3, 4), {"b": 4, "a": 3}, (2,)]) == [(1, 2), (2, 2), (3, 4), (3, 4), (2, 2)]
        assert sorted(calls.arguments) == [(1, 2), (2, 2), (3, 4)]
        info = f.info()
        assert (info.misses, info.stored) == (3, 3)
        assert info.hits + info.waits == 4
        assert f.many([]) == []
        assert [f.peek(2), f(2)] == [(2, 2), (2, 2)]

    def test_many_takes_any_iterable_of_calls(self, cache: Cache, decorate: Decorator) -> None:
        f, _ = decorate(cache)
        assert f.many((number,) for number in range(3)) == [(0, 2), (1, 2), (2, 2)]
        call: dict[str, int] = {}
        assert f.many(call for call["a"] in range(3)) == [(0, 2), (1, 2), (2, 2)]  # one dict for all of them

    def test_many_refuses_what_is_no_iterable(self, cache: Cache, decorate: Decorator) -> None:
        f, calls = decorate(cache)
        with pytest.raises(TypeError) as refused:
            f.many(7)  # type: ignore[call-overload]
        assert str(refused.value) == "many() got an int; wanted: an iterable of calls, such as [(7,), (8,)]"
        assert calls.count == 0

    @pytest.mark.parametrize("junk", [7, "ab", [1, 2]])
    def test_many_says_how_a_call_is_spelt(self, cache: Cache, decorate: Decorator, junk: Any) -> None:
        f, calls = decorate(cache)
        with pytest.raises(TypeError) as refused:
            f.many([(1,), junk])
        assert str(refused.value) == (
            f"a call is given as {with_article(type(junk))}; "
            "wanted: a tuple of arguments, such as (7,), or a dict of named ones"
        )
        assert calls.count == 0

    def test_the_first_call_that_fails_raises_and_the_others_stay_stored(
        self, cache: Cache, decorate: Decorator
    ) -> None:
        f, _ = decorate(cache, answer=lambda a, b: 1 / a if a < 3 else a.missing)
        with pytest.raises(ZeroDivisionError):
            f.many([(1,), (0,), (3,)])
        assert f.peek(1) == 1.0


def _block(cache: Cache) -> Cache:
    return BlockingCache(cache) if cache.awaited_only else cache
