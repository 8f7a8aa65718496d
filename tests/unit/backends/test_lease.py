"""What caches with leases write, and for how long; and the stubs that they remember."""

import time
from collections.abc import Iterator

import pytest
from freezegun import freeze_time

from memocache import CachedFunction, JSONSerializer, MemcachedCache, cached
from memocache.backends import _leases as _stubs
from memocache.backends.base import Busy, Lease
from memocache.testing._invalidation import TAGS, make_entry, miss
from tests.support.faults import FaultProxy, Flip
from tests.support.servers import MemcachedServer, wait_until


@pytest.fixture
def proxy(memcached: MemcachedServer) -> Iterator[FaultProxy]:
    with FaultProxy(memcached.address, unix=True) as proxy:
        yield proxy


def expiries(proxy: FaultProxy) -> list[tuple[str, int]]:
    """Return the commands that wrote something, with the seconds for which the server is to keep it."""
    lines = [line.split() for line in proxy.requests]
    return [(line[0].decode(), int(line[3])) for line in lines if line[0] in (b"add", b"set", b"cas")]


def aging(cache: MemcachedCache) -> CachedFunction[[int], int]:
    return cached(cache=cache, namespace="f", timeout=50, stale=30)(lambda x: -x)


def test_a_server_keeps_what_is_needed_and_no_longer(proxy: FaultProxy, prefix: str) -> None:
    with freeze_time() as clock:
        f = aging(MemcachedCache([proxy.address], key_prefix=prefix))
        f(1)
        f.uncache_all()
        # The stamp of the group for ever, the stub for the first lease, the entry while it may be served.
        assert expiries(proxy) == [("add", 0), ("add", 61), ("cas", 81), ("set", 0)]
        f(1)
        clock.tick(60)
        proxy.requests.clear()
        assert f(1) == -1
        assert wait_until(lambda: f.info().stored == 3)
    # The old value, held by whoever refreshes it and for as long as it may be served, and the new one.
    assert expiries(proxy) == [("cas", 21), ("cas", 81)]


def test_an_unreadable_entry_hides_no_other(memcached: MemcachedServer, prefix: str) -> None:
    cache = MemcachedCache([memcached.address], key_prefix=prefix)
    other = MemcachedCache([memcached.address], key_prefix=prefix, serializer=JSONSerializer())
    other.fill(miss(other, "a"), make_entry("A", "a"))
    cache.fill(miss(cache, "b"), make_entry("B", "b"))
    found = cache.peek(("a", "b"), (TAGS, TAGS), time.time())
    assert [each and each.value for each in found] == [None, "B"]


def test_a_lease_that_was_not_filled_for_a_damaged_answer_does_not_keep_others_waiting(
    proxy: FaultProxy, prefix: str
) -> None:
    cache = MemcachedCache([proxy.address], key_prefix=prefix)
    lease = miss(cache, "k")
    proxy.fault = Flip(80, 1, match=b"gets ")
    assert cache.fill(lease, make_entry("K", "k")) is False
    proxy.fault = None
    lease.flight.resolve("K")
    assert isinstance(cache.look("k", TAGS, time.time(), 60), Lease)


def test_stubs_that_have_lost_their_leaders_are_remembered_the_oldest_leave(
    memcached: MemcachedServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_stubs, "MOST", 2)
    cache = MemcachedCache([memcached.address], key_prefix=prefix)
    for key in ("a", "b", "c"):
        miss(cache, key)  # and given up at once
    assert isinstance(cache.look("c", TAGS, time.time(), 60), Lease)
    seen = [cache.look(key, TAGS, time.time(), 60) for key in ("b", "a")]
    assert [type(each) for each in seen] == [Lease, Busy]
