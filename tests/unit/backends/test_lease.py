"""What caches with leases write, and for how long; and the markers that they remember."""

import time
from typing import Any

import pytest
from freezegun import freeze_time

from memocache import CachedFunction, JSONSerializer, MemcachedCache, cached
from memocache._entry import Entry, StaleableEntry
from memocache.backends import _leases
from memocache.backends._leases import FencedCache
from memocache.backends.base import Busy, Lease, Stale, blocks
from memocache.testing._invalidation import TAGS, make_entry, miss
from tests.support.faults import FaultProxy, Flip
from tests.support.servers import MemcachedServer, wait_until


def expiries(proxy: FaultProxy) -> list[tuple[str, int]]:
    """Return the commands that wrote something, with the seconds for which the server is to keep it."""
    lines = [line.split() for line in proxy.requests]
    return [(line[0].decode(), int(line[3])) for line in lines if line[0] in (b"add", b"set", b"cas")]


def aging(cache: MemcachedCache) -> CachedFunction[[int], int]:
    return cached(cache=cache, namespace="f", timeout=50, stale=30)(lambda x: -x)


def test_a_server_keeps_what_is_needed_and_no_longer(proxy: FaultProxy, prefix: str) -> None:
    with freeze_time() as clock:
        f = aging(MemcachedCache([proxy.address], key_prefix=prefix, timeout=5))
        f(1)
        f.uncache_all()
        # The generation of the tag for ever, the marker for the first lease, the entry while it may be served.
        assert expiries(proxy) == [("add", 0), ("add", 61), ("cas", 81), ("set", 0)]
        f(1)
        clock.tick(60)
        proxy.requests.clear()
        assert f(1) == -1
        assert wait_until(lambda: f.info().stored == 3)
    # The old value, held by whoever refreshes it and for as long as it may be served, and the new one.
    assert expiries(proxy) == [("cas", 21), ("cas", 81)]


def test_an_unreadable_entry_hides_no_other(memcached: MemcachedServer, prefix: str) -> None:
    cache = MemcachedCache([memcached.address], key_prefix=prefix, timeout=5)
    other = MemcachedCache([memcached.address], key_prefix=prefix, timeout=5, serializer=JSONSerializer())
    other.fill(miss(other, "a"), make_entry("A", "a"))
    cache.fill(miss(cache, "b"), make_entry("B", "b"))
    found = cache.peek(("a", "b"), (TAGS, TAGS), time.time())
    assert [each and each.value for each in found] == [None, "B"]


def test_a_lease_that_was_not_filled_for_a_damaged_answer_does_not_keep_others_waiting(
    proxy: FaultProxy, prefix: str
) -> None:
    cache = MemcachedCache([proxy.address], key_prefix=prefix, timeout=5)
    lease = miss(cache, "k")
    proxy.fault = Flip(80, 1, match=b"gets ")
    assert cache.fill(lease, make_entry("K", "k")) is False
    proxy.fault = None
    lease.flight.resolve("K")
    assert isinstance(cache.look("k", TAGS, time.time(), 60), Lease)


def test_markers_that_have_lost_their_leaders_are_remembered_the_oldest_leave(
    memcached: MemcachedServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_leases, "MOST_IDS", 2)
    cache = MemcachedCache([memcached.address], key_prefix=prefix, timeout=5)
    for key in ("a", "b", "c"):
        miss(cache, key)  # and given up at once
    assert isinstance(cache.look("c", TAGS, time.time(), 60), Lease)
    seen = [cache.look(key, TAGS, time.time(), 60) for key in ("b", "a")]
    assert [type(each) for each in seen] == [Lease, Busy]


# ---- the way of a plain hit, which is written twice ------------------------------------------------------------------


class OneWay(MemcachedCache):
    """A cache that looks in one way only: that of every shared cache."""

    look = blocks(FencedCache.look)  # type: ignore[assignment]


class Careless(MemcachedCache):
    """A cache whose fast way forgets to ask whether an entry is due."""

    def look(self, key: str, tags: tuple[str, ...], now: float, lease: float) -> Any:
        found = super().look(key, tags, now, lease)
        return found.entry if isinstance(found, Stale) else found


def nothing(cache: MemcachedCache, peer: MemcachedCache) -> None:
    """Leave the key empty."""


def value(cache: MemcachedCache, peer: MemcachedCache) -> None:
    cache.fill(miss(cache, "k"), make_entry("K", "k"))


def own_lease(cache: MemcachedCache, peer: MemcachedCache) -> Lease:
    return miss(cache, "k")


def lost_lease(cache: MemcachedCache, peer: MemcachedCache) -> None:
    miss(cache, "k")


def lease_of_another(cache: MemcachedCache, peer: MemcachedCache) -> Lease:
    return miss(peer, "k")


def staleable(cache: MemcachedCache, peer: MemcachedCache, **times: float) -> None:
    now = time.time()
    entry = StaleableEntry("k", "K", now - 10, now + 20, fresh_until=now - times.pop("over", 10), **times)
    cache.fill(miss(cache, "k"), entry)


def resting(cache: MemcachedCache, peer: MemcachedCache) -> None:
    staleable(cache, peer, retry_at=time.time() + 10)


def young(cache: MemcachedCache, peer: MemcachedCache) -> None:
    staleable(cache, peer, over=-15)


def refreshed_by_another(cache: MemcachedCache, peer: MemcachedCache) -> object:
    staleable(cache, peer)
    return peer.look("k", TAGS, time.time(), 60)


def unreadable(cache: MemcachedCache, peer: MemcachedCache) -> None:
    other = MemcachedCache([server.name for server in cache._servers], key_prefix=cache._prefix, secret="s" * 16)
    value(other, peer)


def expired(cache: MemcachedCache, peer: MemcachedCache) -> None:
    cache.fill(miss(cache, "k"), Entry("k", "K", time.time() - 1))


def from_the_future(cache: MemcachedCache, peer: MemcachedCache) -> None:
    with freeze_time("2030-01-01 02:00"):
        value(cache, peer)


def forgotten(cache: MemcachedCache, peer: MemcachedCache) -> None:
    value(cache, peer)
    cache.forget_tag(TAGS[0])


def found(cache: MemcachedCache) -> list[object]:
    """Return what two looks find, one while what came of the other is held, as far as it does not depend on chance."""
    seen: list[Any] = [cache.look("k", TAGS, time.time(), 60) for _ in range(2)]
    return [_told(each) for each in seen]


def _told(found: Any) -> object:
    if isinstance(found, Stale):
        return "stale", _told(found.entry), _told(found.lease)
    if isinstance(found, Lease):
        return "lease", found.key, found.tags, found.replaces, str(found.unreadable), _told(found.old)
    if isinstance(found, Busy):
        return "busy", found.flight is None
    return found and (type(found).__name__, found.key, found.value, found.serve_until, found.expires_at)


CASES = (
    *(nothing, value, own_lease, lost_lease, lease_of_another, staleable, resting, young, refreshed_by_another),
    *(unreadable, expired, from_the_future, forgotten),
)


def seen_by(kind: type[MemcachedCache], arrange: Any, memcached: MemcachedServer, prefix: str) -> list[object]:
    cache, peer = (
        make([memcached.address], key_prefix=prefix + kind.__name__, timeout=5) for make in (kind, MemcachedCache)
    )
    with freeze_time("2030-01-01"):
        held = arrange(cache, peer)
        told = found(cache)
        del held
    return told


@pytest.mark.parametrize("arrange", CASES)
def test_the_fast_look_finds_what_the_other_finds(arrange: Any, memcached: MemcachedServer, prefix: str) -> None:
    fast, slow = (seen_by(kind, arrange, memcached, prefix) for kind in (MemcachedCache, OneWay))
    assert fast == slow


def test_a_fast_look_that_finds_something_else_is_noticed(memcached: MemcachedServer, prefix: str) -> None:
    found = {kind: seen_by(kind, staleable, memcached, prefix) for kind in (Careless, OneWay)}
    assert found[Careless] != found[OneWay]
