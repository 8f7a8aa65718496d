"""Values of any size and any age on a real memcached."""

import logging
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from freezegun import freeze_time

from memocache import CachedFunction, MemcachedCache, ValueTooLarge, cached
from memocache.backends import memcached as backend
from tests.support.faults import FaultProxy
from tests.support.servers import MemcachedServer

MEGABYTE = 1024 * 1024
NOISE = random.Random(1).randbytes(MEGABYTE)  # no compression helps it
LONG_TEXT = NOISE[:300_000].hex()
DAY = 86400


@pytest.fixture
def cache(memcached: MemcachedServer, prefix: str) -> MemcachedCache:
    return MemcachedCache([memcached.address], key_prefix=prefix, timeout=5)


@pytest.fixture
def peer(memcached: MemcachedServer, prefix: str) -> MemcachedCache:
    """What another process has."""
    return MemcachedCache([memcached.address], key_prefix=prefix, timeout=5)


def echo(cache: MemcachedCache, **options: Any) -> tuple[CachedFunction[..., Any], list[Any]]:
    """Return a cached function that returns the value in the box, and the box."""
    box: list[Any] = []

    @cached(cache=cache, namespace="echo", **options)
    def f(key: int = 1) -> Any:
        return box[0]

    return f, box


# ---- size ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_an_answer_may_come_in_any_pieces(cache: MemcachedCache, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values: dict[str, object] = {f"k{n}": "\r\nEND\r\n" * n for n in range(30)}
    cache.set_many(values)
    monkeypatch.setattr(backend, "RECEIVE", piece)
    for _ in range(2):
        assert cache.get_dict("nothing", *values) == {"nothing": None, **values}


def tight(memcached: MemcachedServer, prefix: str, **_: Any) -> MemcachedCache:
    return MemcachedCache([memcached.address], key_prefix=prefix, timeout=5, max_item_size=2000)


def refused(prefix: str, memcached_factory: Callable[..., MemcachedServer], **_: Any) -> MemcachedCache:
    """The server takes less than the cache believes."""
    return MemcachedCache([memcached_factory(max_item_size="512k").address], key_prefix=prefix, timeout=5)


@pytest.fixture(params=[tight, refused])
def small(request: pytest.FixtureRequest, memcached: MemcachedServer, prefix: str, memcached_factory: Any) -> Any:
    """A cache that does not take LONG_TEXT."""
    return request.param(memcached=memcached, prefix=prefix, memcached_factory=memcached_factory)


def test_a_result_over_the_limit_is_returned_counted_and_told_once(
    small: MemcachedCache, caplog: pytest.LogCaptureFixture
) -> None:
    f, box = echo(small)
    box[:] = [LONG_TEXT]
    with caplog.at_level(logging.WARNING, "memocache"):
        assert [f(), f(), f(2)] == box * 3
    info = f.info()
    assert (info.hits, info.misses, info.failures, info.stored) == (0, 3, 3, 0)
    [message] = [record.getMessage() for record in caplog.records]
    assert "a result cannot be stored: " in message
    assert "max_item_size=" in message
    assert "option -I" in message


def test_a_result_over_the_limit_leaves_no_lease(small: MemcachedCache) -> None:
    f, box = echo(small)
    box[:] = [LONG_TEXT]
    f()
    assert not f.uncache()  # there is nothing, so that nobody waits
    box[:] = ["short"]
    assert f() == "short"
    assert f.info().waits == 0
    assert f.peek() == "short"


@pytest.mark.parametrize("how", ["put", "refresh"])
def test_a_result_over_the_limit_takes_the_old_one_away(how: str, small: MemcachedCache) -> None:
    f, box = echo(small)
    box[:] = ["old"]
    f()
    box[:] = [LONG_TEXT]
    if how == "put":
        f.put(box[0])
    else:
        assert f.refresh() == box[0]
    assert not f.peek()
    box[:] = ["new"]
    assert f() == "new"


def test_the_users_own_methods_raise(small: MemcachedCache) -> None:
    for store in (small.set, small.add):
        with pytest.raises(ValueTooLarge) as refusal:
            store("k", LONG_TEXT)
        assert "option -I" in str(refusal.value)
    assert small.get("k") is None
    assert small.set("k", "short")
    assert small.get("k") == "short"


def test_the_message_has_the_sizes(memcached: MemcachedServer) -> None:
    with pytest.raises(ValueTooLarge) as refusal:
        MemcachedCache([memcached.address], max_item_size=1024).set("k", NOISE[:2000])
    assert str(refusal.value) == (
        "the value takes 2160 bytes as an item, and the servers take 1024 (max_item_size=, "
        "the server's option -I); store less, or raise both"
    )


def test_a_refusal_for_size_is_no_outage(
    prefix: str, memcached_factory: Callable[..., MemcachedServer], caplog: pytest.LogCaptureFixture
) -> None:
    cache = refused(prefix, memcached_factory)
    for _ in range(3):
        with pytest.raises(ValueTooLarge):
            cache.set("k", LONG_TEXT)
        assert cache.set("other", 1)
        assert cache.get("other") == 1
    assert not caplog.records


def test_the_largest_value_that_is_tried_is_taken(cache: MemcachedCache) -> None:
    with pytest.raises(ValueTooLarge) as refusal:
        cache.set("k", NOISE)
    [too_much] = [int(word) for word in str(refusal.value).split() if word.isdigit() and int(word) != MEGABYTE]
    largest = NOISE[: 2 * MEGABYTE - too_much]
    assert len(largest) > MEGABYTE - 300
    assert cache.set("k", largest)
    assert cache.get("k") == largest
    with pytest.raises(ValueTooLarge, match="and the servers take 1048576"):
        cache.set("k", NOISE[: len(largest) + 1])


def test_what_would_not_fit_is_compressed_unless_told_otherwise(cache: MemcachedCache, peer: MemcachedCache) -> None:
    f, box = echo(cache)
    g, _ = echo(peer)
    box[:] = ["row " * MEGABYTE]
    assert f() == g() == box[0]
    assert (f.info().stored, g.info().hits) == (1, 1)
    cache.set("k", "x" * (16 * MEGABYTE - 10))
    assert peer.get("k") == "x" * (16 * MEGABYTE - 10)
    with pytest.raises(ValueTooLarge):  # more than is ever decompressed
        cache.set("k", "x" * (16 * MEGABYTE + 1))


def test_a_server_with_larger_items_is_used(prefix: str, memcached_factory: Callable[..., MemcachedServer]) -> None:
    server = memcached_factory(max_item_size="4m", memory_mb=64)
    f, box = echo(MemcachedCache([server.address], key_prefix=prefix, timeout=5, max_item_size=4 * MEGABYTE))
    box[:] = [LONG_TEXT * 5]
    assert f() == f() == LONG_TEXT * 5
    assert f.info().hits == 1


def test_what_has_no_form_as_bytes_leaves_no_lease(cache: MemcachedCache, peer: MemcachedCache) -> None:
    f, box = echo(cache)
    elsewhere, their_box = echo(peer)
    box[:] = [object()]
    assert f() is box[0]
    their_box[:] = ["plain"]
    assert elsewhere() == "plain"
    assert elsewhere.info().waits == 0
    assert f() == "plain"


# ---- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("timeout", "told"),
    [
        (0.001, 2),  # 1 may be gone after a tenth of a second, and 0 would be for ever
        (0.5, 2),
        (1, 2),
        (1.5, 3),
        (300, 301),
        (30 * DAY - 1, 30 * DAY),
        (30 * DAY, 0),  # one second more would be a date in 1970
        (30 * DAY + 1, 0),
        (2**31, 0),
        (2**32, 0),
        (1e300, 0),
        (0, 0),
        (None, 301),
    ],
)
def test_what_the_server_is_told_of_a_timeout(timeout: float | None, told: int, proxy: FaultProxy, prefix: str) -> None:
    cache = MemcachedCache([proxy.address], key_prefix=prefix, timeout=5)
    with freeze_time():
        assert cache.set("k", 1, timeout)
        assert cache.add("l", 1, timeout)
        assert cache.get_many("k", "l") == [1, 1]
    stores = [line.split() for line in proxy.requests if line.startswith((b"set", b"add"))]
    assert [int(expire) for _, _, _, expire, _ in stores] == [told] * 2


LONG = [
    (0.2, 0.19, 0.21),
    ("1ms", 0, 0.0011),
    (1, 0.99, 1.01),
    (300, 299, 301),
    (timedelta(days=31), 31 * DAY - 1, 31 * DAY + 1),
    ("520w", 3639 * DAY, 3641 * DAY),
    (timedelta(days=36500), 36499 * DAY, 36501 * DAY),
]


@pytest.mark.parametrize("now", ["1999-12-31 23:59:59", "2024-02-29 12:00:00", "2120-01-01"])
@pytest.mark.parametrize(("timeout", "fresh", "expired"), LONG)
def test_a_frozen_clock_moves_every_timeout(
    now: str, timeout: Any, fresh: float, expired: float, cache: MemcachedCache, peer: MemcachedCache
) -> None:
    # The server's own clock, which no test tool stops, must not come into it: all of this is done in a moment.
    f, box = echo(cache, timeout=timeout)
    elsewhere, their_box = echo(peer, timeout=timeout)
    box[:] = their_box[:] = ["first"]
    with freeze_time(now) as clock:
        f()
        cache.set("k", "first", timeout if isinstance(timeout, float | int) else 5)
        box[:] = their_box[:] = ["second"]
        clock.tick(fresh)
        assert (f(), elsewhere()) == ("first", "first")
        clock.tick(expired - fresh)
        assert (elsewhere(), f()) == ("second", "second")
        if isinstance(timeout, float | int):
            assert cache.get("k") is None
            assert cache.add("k", "second")


def test_what_was_made_in_the_future_is_a_miss(cache: MemcachedCache) -> None:
    # The clock of the host that made it was wrong, and when the value is to expire nobody knows.
    f, box = echo(cache, timeout=300)
    box[:] = ["first"]
    with freeze_time("2024-01-01 00:01:30"):
        f()
        cache.set("k", "first")
    box[:] = ["second"]
    with freeze_time("2024-01-01 00:00:31"):  # a minute apart: clocks may differ so much
        assert (f(), cache.get("k")) == ("first", "first")
    with freeze_time("2024-01-01 00:00:29"):
        assert (f(), cache.get("k")) == ("second", None)


def test_a_lease_made_in_the_future_is_none(cache: MemcachedCache, peer: MemcachedCache) -> None:
    with freeze_time("2030-01-01"):
        lease = cache.look("k", (), 1_893_456_000.0, 60)
    assert type(lease) is type(peer.look("k", (), 1_700_000_000.0, 60))
    assert not cache.fill(lease, None)
