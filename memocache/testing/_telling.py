"""The contract's tests of what is told of calls: figures, events, and what is known of an entry."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from memocache import MISSING, Event, disabled, subscribe, uncache_tag, watched
from memocache.backends._listing import Listing, StoredEntry
from memocache.backends.base import Cache
from memocache.errors import BackendError
from memocache.testing._harness import PATIENCE, BlockingCache, Decorator, freeze_clock, wait_for


def kinds(events: list[Event]) -> list[str]:
    """Return the kind of each event."""
    return [event.kind for event in events]


class TellingTests:
    """The tests of figures, events and entries."""

    def test_info_counts_calls(self, cache: Cache, decorate: Decorator) -> None:
        f, _ = decorate(cache)
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

    # ---- events ------------------------------------------------------------------------------------------------------

    def test_each_call_is_told_once(self, cache: Cache, decorate: Decorator) -> None:
        f, _ = decorate(cache)
        f(0)
        f(0)  # a hit in process, which nobody is told of yet
        with watched() as calls:
            f(0)
            f(1)
            f(1)
            f.many([(1,), (2,)])
            f.refresh(1)
            f.put("value", 3)
            f.peek(1)
            with disabled():
                f(1)
            f(3)
        assert sorted(kinds(calls)) == ["hit", "hit", "hit", "hit", "miss", "miss"]
        assert {call.function for call in calls} == {calls[0].function} != {""}
        assert [call.key for call in calls[:3]] == [f.key(0), f.key(1), f.key(1)]
        used = f.cache.inner if isinstance(f.cache, BlockingCache) else f.cache
        assert all(call.cache is used for call in calls)
        f(1)
        assert len(calls) == 6

    def test_a_miss_tells_what_the_function_raised(self, cache: Cache, decorate: Decorator) -> None:
        f, _ = decorate(cache, answer=lambda a, b: 1 / a)
        with watched() as calls:
            with pytest.raises(ZeroDivisionError):
                f(0)
            f(1)
        assert kinds(calls) == ["miss", "miss"]
        assert type(calls[0].error) is ZeroDivisionError
        assert (calls[0].seconds or 0.0) >= 0
        assert calls[1].error is None

    def test_a_remembered_exception_is_a_hit(self, cache: Cache, decorate: Decorator) -> None:
        f, _ = decorate(cache, answer=lambda a, b: 1 / a, errors={ZeroDivisionError: 60})
        with watched() as calls:
            for _ in range(2):
                with pytest.raises(ZeroDivisionError):
                    f(0)
        assert kinds(calls) == ["miss", "hit"]

    def test_the_calls_of_many_threads_add_up(self, cache: Cache, decorate: Decorator) -> None:
        told: list[Event] = []
        barrier = threading.Barrier(16)
        f, _ = decorate(cache)

        def ask() -> Any:
            barrier.wait(PATIENCE)
            return f(1)

        with subscribe(told.append, "hit", "stale", "miss", "wait"), ThreadPoolExecutor(16) as pool:
            for each in [pool.submit(ask) for _ in range(16)]:
                each.result(PATIENCE)
        info = f.info()
        waits = [event for event in told if event.kind == "wait"]
        assert kinds(told).count("hit") == info.hits
        assert len(waits) == info.waits
        assert kinds(told).count("miss") == info.misses == 1
        assert len(told) == 16
        assert sum(event.seconds or 0.0 for event in waits) == pytest.approx(info.waited)

    def test_what_is_stale_has_an_age(self, cache: Cache, decorate: Decorator) -> None:
        f, _ = decorate(cache, timeout=60, stale=600)
        with freeze_clock() as move:
            f(1)
            with watched() as calls:
                move(61)
                f(1)
            wait_for(f, lambda info: info.stored == 2)
        assert kinds(calls) == ["stale"]
        assert calls[0].age == pytest.approx(61) or cache.far is not cache

    def test_what_is_stored_and_forgotten_is_told(self, cache: Cache, decorate: Decorator) -> None:
        told: list[Event] = []
        f, _ = decorate(cache, tags=("tenant:{a}",))
        with subscribe(told.append, "stored", "uncached"):
            f(1)
            f.put((3, 3), 3)
            f.uncache(1)
            f.uncache_all()
            uncache_tag("tenant:3", f.cache)
        assert kinds(told) == ["stored", "stored", "uncached", "uncached", "uncached"]
        assert [event.key for event in told[:3]] == [f.key(1), f.key(3), f.key(1)]
        assert told[-1].key == "tenant:3"
        for stored in told[:2]:
            assert (stored.size is None) is (not cache.shared)

    def test_operations_are_told_to_those_who_ask_for_them(self, cache: Cache, decorate: Decorator) -> None:
        used = cache.inner if isinstance(cache, BlockingCache) else cache
        told: list[Event] = []
        f, _ = decorate(cache, tags=("tenant:{a}",))

        def operations(*calls: Any) -> list[str | None]:
            told.clear()
            for call in calls:
                call()
            return [event.operation for event in told if event.cache is used.far]

        with subscribe(told.append, "operation"):
            computed = operations(lambda: f(1))
            assert all(event.seconds is not None and event.seconds >= 0 for event in told)
            assert {event.key for event in told} <= {f.key(1)}
            rest = operations(
                lambda: f.uncache(1), lambda: f.refresh(1), f.uncache_all, lambda: f.many([(3,)]), lambda: f.entry(2)
            )
        if cache.shared:
            assert (computed[0], computed[-1]) == ("get", "set")
            wanted = ["delete", "claim", "set", "delete_tag", "get_many", "get", "set", "get_many"]
            assert [each for number, each in enumerate(rest) if each != rest[number - 1] or each != "delete"] == wanted
        else:
            assert (computed, rest) == ([], [])
        assert "look" not in vars(used.far)
        assert operations(lambda: f(1)) == []

    def test_a_listener_may_raise_and_use_the_cache(
        self, cache: Cache, decorate: Decorator, caplog: pytest.LogCaptureFixture
    ) -> None:
        f, calls = decorate(cache)

        def listener(event: Event) -> None:
            calls.arguments.append((event.kind,))
            g(event.kind)
            raise ValueError("of the listener")

        g, _ = decorate(cache)
        with subscribe(listener):
            assert f(1) == (1, 2)
            assert f(1) == (1, 2)
        assert [arguments[0] for arguments in calls.arguments] == [1, "stored", "miss", "hit"]
        assert [record.message.count("a listener to events raised") for record in caplog.records].count(1) == 1

    # ---- an entry ----------------------------------------------------------------------------------------------------

    def test_an_entry_is_described(self, cache: Cache, decorate: Decorator) -> None:
        f, calls = decorate(cache, timeout=60, tags=("tenant:{a}", "all"))
        with freeze_clock() as move:
            assert f.entry(1) is None
            f(1)
            move(10)
            entry: Any = f.entry(1)
        assert (entry.key, entry.tags) == (f.key(1), ("tenant:1", "all"))
        assert entry.age == pytest.approx(10)
        assert entry.expires_in == pytest.approx(50)
        assert entry.stale_for == 0
        assert entry.cost >= 0
        assert (entry.size is None) is (not cache.shared)
        assert calls.count == 1

    def test_an_entry_has_one_size_wherever_it_is_told(self, cache: Cache, decorate: Decorator) -> None:
        told: list[Event] = []
        f, _ = decorate(cache, tags=("tenant:{a}", "all"), namespace="listed.size")
        with subscribe(told.append, "stored"):
            f("x" * 5000)
        entry: Any = f.entry("x" * 5000)
        assert entry.size == told[0].size
        assert entry.size == self._listed(cache, "listed.size")[0].size

    def test_the_entry_of_one_that_is_served_stale(self, cache: Cache, decorate: Decorator) -> None:
        f, _ = decorate(cache, timeout=60, stale=600)
        with freeze_clock() as move:
            f(1)
            move(90)
            entry: Any = f.entry(1)
        assert entry.expires_in == pytest.approx(-30)
        assert entry.stale_for == pytest.approx(600)

    def test_an_entry_for_ever(self, cache: Cache, decorate: Decorator) -> None:
        f, _ = decorate(cache, timeout=None)
        f(1)
        entry: Any = f.entry(1)
        assert (entry.expires_in, entry.stale_for) == (None, 0)

    # ---- what there is -----------------------------------------------------------------------------------------------

    def _listing(self, cache: Cache, namespace: str | None, limit: int = 1000) -> Listing:
        try:
            return cache.listing(namespace, limit)
        except BackendError:
            pytest.skip("a cache that cannot list what it holds")

    def _listed(self, cache: Cache, namespace: str | None) -> list[StoredEntry]:
        return list(self._listing(cache, namespace))

    def test_what_is_stored_is_listed(self, cache: Cache, decorate: Decorator) -> None:
        f, _ = decorate(cache, timeout=60, stale=600, tags=("tenant:{a}",), namespace="listed.f")
        g, _ = decorate(cache, timeout=None, version=2, namespace="listed.f, of another")
        with freeze_clock() as move:
            f(1)
            g(1)
            move(10)
            f(2)
            cache.set("of a user", 1)
            one, two = self._listed(cache, "listed.f")
            if one.age < two.age:
                one, two = two, one
            (of_g,) = self._listed(cache, "listed.f, of another")
            everything = self._listed(cache, None)
        assert one.tag == two.tag != of_g.tag
        assert (one.age, two.age) == pytest.approx((10, 0), abs=1e-3)
        assert one.expires_in == pytest.approx(50, abs=1e-3)
        assert one.stale_for == pytest.approx(600)
        assert (of_g.expires_in, of_g.stale_for) == (None, 0)
        assert (one.size is None) is (not cache.shared)
        for entry, key in ((one, f.key(1)), (of_g, g.key(1))):
            assert entry.key == key or entry.key.startswith("#")
        if cache.shared:
            assert one.namespace == "listed.f"
        assert {(each.key, each.tag, each.size) for each in (one, two, of_g)} < {
            (each.key, each.tag, each.size) for each in everything
        }

    @pytest.mark.parametrize("version", [None, 2])
    def test_what_was_forgotten_is_not_listed(self, cache: Cache, decorate: Decorator, version: object) -> None:
        told: list[Event] = []
        f, calls = decorate(cache, tags=("tenant:{a}",), version=version, namespace="listed.forgotten")
        for number in range(4):
            f(number)
        f.uncache(0)
        uncache_tag("tenant:1", f.cache)
        listing = self._listing(cache, "listed.forgotten")
        one, two = listing
        with subscribe(told.append, "uncached"):
            assert listing.forget(one.key) is True
        assert [(event.key, event.cache) for event in told] == [(one.key, cache)]
        (left,) = self._listed(cache, "listed.forgotten")
        assert left == replace(two, age=left.age, expires_in=left.expires_in)
        f(2)
        f(3)
        assert calls.count == 5
        listing.forget_all()
        assert self._listed(cache, "listed.forgotten") == []
        f(3)
        assert calls.count == 6

    def test_what_has_expired_is_not_listed(self, cache: Cache, decorate: Decorator) -> None:
        f, _ = decorate(cache, timeout=60, namespace="listed.expired")
        with freeze_clock() as move:
            f(1)
            move(61)
            assert self._listed(cache, "listed.expired") == []

    def test_what_is_beyond_the_limit_is_counted(self, cache: Cache, decorate: Decorator) -> None:
        f, _ = decorate(cache, namespace="listed.many")
        f.many([(number,) for number in range(303)])
        listing = self._listing(cache, "listed.many", 203)
        assert len({entry.key for entry in listing}) == 203
        assert listing.others == 100
