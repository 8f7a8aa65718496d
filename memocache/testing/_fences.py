"""Forgetting is a fence (promise 4): on any cache, by function and by the verbs of the contract."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from memocache import MISSING
from memocache._entry import Entry, Origin
from memocache._policy import StoredException, allow_exception
from memocache.backends.base import Busy, Cache, Lease
from memocache.testing._counted import Counted
from memocache.testing._flights import Held
from memocache.testing._threads import PATIENCE, started

__all__ = ["FenceTests"]

GROUPS = ("all:contract",)
FORGETTINGS = ["uncache", "uncache_all", "delete", "clear", "put", "set"]


def leased(cache: Cache, key: str = "key") -> Lease:
    """Return the lease on *key*, which must be to be had."""
    seen = cache.look(key, GROUPS, time.time(), 60)
    assert isinstance(seen, Lease)
    return seen


def taken(cache: Cache, key: str = "key") -> Lease:
    """Return the lease to replace what is under *key*."""
    lease = cache.take(key, GROUPS, time.time(), 60)
    assert lease is not None
    return lease


def entry(value: object, key: str = "key", lifetime: float = 60.0) -> Entry:
    """Return an entry as the read-through makes it."""
    return Entry(key, value, time.time() + lifetime, origin=Origin(GROUPS))


def present(cache: Cache, key: str = "key", now: float | None = None) -> object:
    """Return the value that is fresh under *key*, or MISSING."""
    (found,) = cache.peek((key,), (GROUPS,), time.time() if now is None else now)
    return MISSING if found is None else found.value


class FenceTests:
    """What was forgotten stays forgotten, whoever is still computing it."""

    # ---- by function ---------------------------------------------------------------------------------------------

    def test_uncache_forgets_exactly_one_call(self, cache: Cache, counted: Counted) -> None:
        f, calls = counted(cache)
        f(1)
        f(2)
        assert f.uncache(1) is True
        assert f.uncache(1) is False
        f(1)
        f(2)
        assert calls.seen == [(1, 2), (2, 2), (1, 2)]

    def test_uncache_all_forgets_every_call_of_the_function_only(self, cache: Cache, counted: Counted) -> None:
        f, calls = counted(cache)
        g, others = counted(cache)
        for function in (f, g):
            function(1)
            function(2)
        f.uncache_all()
        for function in (f, g):
            function(1)
            function(2)
        assert (calls.count, others.count) == (4, 2)

    def test_uncache_reaches_other_processes(
        self, cache: Cache, counted: Counted, peer: Cache, catch_up: Callable[[], None]
    ) -> None:
        here, calls = counted(cache, namespace="contract.shared.uncache")
        there, elsewhere = counted(peer, namespace="contract.shared.uncache")
        here.uncache_all()
        assert here(1) == there(1) == here(1)
        assert there.uncache(1) is True
        catch_up()
        assert here(1) == here(1)
        there.uncache_all()
        catch_up()
        here(1)
        assert (calls.count, elsewhere.count) == (3, 0)

    @pytest.mark.parametrize("forget", FORGETTINGS)
    @pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
    def test_a_result_from_before_is_not_stored_after(
        self, cache: Cache, counted: Counted, peer: Cache, forget: str, elsewhere: bool
    ) -> None:
        namespace = f"contract.fence.{forget}.{elsewhere}"
        held = Held(lambda a, b: "old")
        f, calls = counted(cache, answer=held, namespace=namespace)
        other = counted(peer, namespace=namespace)[0] if elsewhere else f
        other.uncache_all()
        before = started(f, 1)
        assert held.entered.wait(PATIENCE)
        expected = _forgotten(other, forget)
        calls.answer = lambda a, b: "new"
        assert started(f, 1).result(PATIENCE) == expected  # it does not join the computation from before
        held.go.set()
        assert before.result(PATIENCE) == "old"
        assert f(1) == other.peek(1) == expected

    @pytest.mark.parametrize("forget", ["uncache", "uncache_all"])
    @pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
    def test_a_result_from_before_is_not_served_after_though_nobody_asked_in_between(
        self,
        cache: Cache,
        counted: Counted,
        peer: Cache,
        catch_up: Callable[[], None],
        forget: str,
        elsewhere: bool,
    ) -> None:
        namespace = f"contract.fence.between.{forget}.{elsewhere}"
        held = Held(lambda a, b: "old")
        f, calls = counted(cache, answer=held, namespace=namespace)
        other = counted(peer, namespace=namespace)[0] if elsewhere else f
        other.uncache_all()
        before = started(f, 1)
        assert held.entered.wait(PATIENCE)
        _forgotten(other, forget)
        if elsewhere:
            catch_up()
        held.go.set()
        assert before.result(PATIENCE) == "old"
        calls.answer = lambda a, b: "new"
        assert f(1) == f.peek(1) == other.peek(1) == "new"

    def test_a_refresh_from_before_is_not_stored_after(self, cache: Cache, counted: Counted) -> None:
        f, calls = counted(cache, answer=lambda a, b: "first")
        f(1)
        held = Held(lambda a, b: "old")
        calls.answer = held
        before = started(f.refresh, 1)
        assert held.entered.wait(PATIENCE)
        assert f(1) == "first"  # readers go on being served
        f.uncache(1)
        calls.answer = lambda a, b: "new"
        assert started(f, 1).result(PATIENCE) == "new"
        held.go.set()
        assert before.result(PATIENCE) == "old"
        assert f(1) == "new"

    def test_a_lost_lease_is_counted(self, cache: Cache, counted: Counted) -> None:
        held = Held()
        f, _ = counted(cache, answer=held)
        before = started(f, 1)
        assert held.entered.wait(PATIENCE)
        assert f.uncache(1) is True  # there was a computation to make void
        held.go.set()
        before.result(PATIENCE)
        info = f.info()
        assert (info.misses, info.stored, info.failures) == (1, 0, 1)
        assert f.peek(1) is MISSING

    # ---- by verb -------------------------------------------------------------------------------------------------

    def test_a_miss_is_a_lease_and_then_busy(self, cache: Cache, peer: Cache) -> None:
        lease = leased(cache)
        seen = cache.look("key", GROUPS, time.time(), 60)
        assert isinstance(seen, Busy)
        assert seen.flight is lease.flight
        assert isinstance(peer.look("key", GROUPS, time.time(), 60), Busy)
        assert cache.fill(lease, entry("value")) is True
        for each in (cache, peer):
            hit = each.look("key", GROUPS, time.time(), 60)
            assert isinstance(hit, Entry)
            assert (hit.key, hit.value) == ("key", "value")

    def test_a_lease_fills_once(self, cache: Cache) -> None:
        lease = leased(cache)
        assert cache.fill(lease, entry("value")) is True
        assert cache.fill(lease, entry("again")) is False
        assert present(cache) == "value"

    def test_a_lease_can_be_given_back(self, cache: Cache, peer: Cache) -> None:
        assert cache.fill(leased(cache), None) is True
        assert cache.fill(leased(peer), entry("value")) is True
        assert present(cache) == "value"

    def test_a_lease_runs_out(self, cache: Cache, peer: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
        held = leased(cache)
        late = time.time() + 61
        monkeypatch.setattr("memocache._flight.ticks", lambda: late)
        taken = peer.look("key", GROUPS, late, 60)
        assert isinstance(taken, Lease)
        assert cache.fill(held, entry("old")) is False
        assert peer.fill(taken, entry("new", lifetime=100)) is True
        assert present(cache, now=late) == "new"

    @pytest.mark.parametrize("how", ["forget", "forget_group"])
    def test_forgetting_voids_the_lease(self, cache: Cache, peer: Cache, how: str) -> None:
        lease = leased(cache)
        getattr(peer, how)("key" if how == "forget" else GROUPS[0])
        assert cache.fill(lease, entry("old")) is False or present(cache) is MISSING
        assert present(cache) is MISSING
        newer = leased(peer)
        assert peer.fill(newer, entry("new")) is True
        assert present(cache) == "new"

    def test_forgetting_voids_the_lease_also_when_another_has_taken_one(self, cache: Cache, peer: Cache) -> None:
        lease = leased(cache)
        peer.forget("key")
        newer = leased(peer)
        assert cache.fill(lease, entry("old")) is False
        assert peer.fill(newer, entry("new")) is True
        assert present(cache) == "new"

    def test_taking_leaves_the_entry_and_voids_the_lease(
        self, cache: Cache, peer: Cache, catch_up: Callable[[], None]
    ) -> None:
        lease = leased(cache)
        newer = taken(peer)
        assert cache.fill(lease, entry("old")) is False
        assert peer.fill(newer, entry("first")) is True
        newer = taken(cache)
        assert present(peer) == "first"
        assert cache.fill(newer, entry("second")) is True
        assert present(cache) == "second"
        catch_up()
        assert present(peer) == "second"

    def test_taking_leaves_a_remembered_exception(self, cache: Cache, peer: Cache) -> None:
        remembered = StoredException.of(LookupError("nobody"))
        allow_exception(LookupError)
        cache.fill(leased(cache), entry(remembered))
        newer = taken(peer)
        found = present(cache)
        assert isinstance(found, StoredException)
        assert repr(found.rebuild()) == "LookupError('nobody')"
        assert peer.fill(newer, entry("found")) is True
        assert present(peer) == "found"

    def test_what_was_taken_is_void_after_forgetting(self, cache: Cache, peer: Cache) -> None:
        cache.fill(leased(cache), entry("first"))
        newer = taken(cache)
        assert peer.forget("key") is True
        assert cache.fill(newer, entry("old")) is False
        assert present(cache) is MISSING

    def test_forget_says_whether_there_was_something(self, cache: Cache) -> None:
        assert cache.forget("key") is False
        lease = leased(cache)
        assert cache.forget("key") is True
        assert lease.flight is not None
        cache.fill(leased(cache), entry("value"))
        assert cache.forget("key") is True
        assert cache.forget("key") is False

    def test_peek_takes_no_lease(self, cache: Cache) -> None:
        assert present(cache) is MISSING
        leased(cache)

    def test_peek_sees_many(self, cache: Cache) -> None:
        for key in ("a", "b"):
            cache.fill(leased(cache, key), entry(key.upper(), key))
        found = cache.peek(("a", "nothing", "b"), (GROUPS,) * 3, time.time())
        assert [each and (each.key, each.value) for each in found] == [("a", "A"), None, ("b", "B")]

    def test_an_entry_that_ran_out_is_gone(self, cache: Cache) -> None:
        cache.fill(leased(cache), entry("value", lifetime=60))
        assert isinstance(cache.look("key", GROUPS, time.time() + 61, 60), Lease)


def _forgotten(f: Any, how: str) -> str:
    """Forget `f(1)` in one of the ways, and return what the next call must give."""
    if how == "uncache":
        assert f.uncache(1) is True
    elif how == "uncache_all":
        f.uncache_all()
    elif how == "delete":
        assert f.cache.delete(f.key(1)) is True
    elif how == "clear":
        f.cache.clear()
    elif how == "put":
        f.put("given", 1)
        return "given"
    elif how == "set":
        f.cache.set(f.key(1), "given")  # no result of the function's: `put` would make it one
    return "new"
