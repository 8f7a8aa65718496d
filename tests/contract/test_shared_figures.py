"""The figures of all processes on a cache that they share: what `memocache.stats` adds up there, and reads."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import freezegun
import pytest

from memocache import (
    SimpleCache,
    cached,
    stats,
)
from memocache.stats import SharedFigures, read, share
from tests.support.redis_servers import RedisServer
from tests.support.servers import MemcachedServer

ROOT = Path(__file__).parents[2]
LONG = 3600.0  # seconds between two sendings: a test says itself when


@pytest.fixture(params=["redis", "memcached", "sqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    prefix = secrets.token_hex(5)
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/cache.db?prefix={prefix}:"
    if request.param == "memcached":
        memcached: MemcachedServer = request.getfixturevalue("memcached_tcp")
        return "memcached://{}:{}?prefix={}:&timeout=5".format(*memcached.address, prefix)
    redis: RedisServer = request.getfixturevalue("redis_server")
    return f"{redis.url}{'&' if '?' in redis.url else '?'}prefix={prefix}:&timeout=5"


@pytest.fixture(autouse=True)
def nothing_of_others(only_own_functions: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process that has shared nothing yet, and has no other functions; it shares nothing afterwards."""
    from weakref import WeakValueDictionary

    from memocache import _function

    monkeypatch.setattr(_function, "_functions", WeakValueDictionary())
    monkeypatch.setattr(stats, "_totals", None)
    yield
    if (sharing := stats.sharing()) is not None:
        sharing()


def function(namespace: str = "shop.report") -> Any:
    @cached(timeout=60, cache=SimpleCache(threshold=100), namespace=namespace)
    def report(x: int) -> int:
        return x

    return report


def found(cache: Any) -> dict[str, SharedFigures]:
    return {each.function: each for each in read(cache)}


def test_nothing_is_there_before_anybody_shares(url: str) -> None:
    assert read(url) == []


def test_what_was_counted_is_added_up(url: str) -> None:
    report = function()
    report(1), report(1)
    sharing = share(url, every=LONG)
    assert sharing.flush()
    report(1), report(2)
    assert sharing.flush()
    (figures,) = read(url)
    assert figures.function == "shop.report"
    assert (figures.totals.hits, figures.totals.misses, figures.totals.stored) == (2, 2, 2)
    assert (figures.totals.calls, figures.totals.hit_ratio) == (4, 0.5)
    assert figures.minutes[-1].hits + figures.minutes[-2].hits == 2
    assert len(figures.minutes) == 60
    assert figures.totals.seconds_computed == pytest.approx(report.info().seconds_computed, abs=1e-5)
    assert figures.slowest > 0


def test_a_minute_has_what_was_sent_in_it_and_an_hour_sixty(url: str) -> None:
    report = function()
    with freezegun.freeze_time("2030-01-01 12:00:30") as clock:
        sharing = share(url, every=LONG)
        for calls in (1, 2, 3):
            for _ in range(calls):
                report(1)
            assert sharing.flush()
            clock.tick(60)
        (figures,) = read(url)
        assert [minute.calls for minute in figures.minutes] == [0] * 56 + [1, 2, 3, 0]
        clock.tick(3600 - 180)
        (figures,) = read(url)
        assert [minute.calls for minute in figures.minutes] == [2, 3] + [0] * 58
        assert figures.totals.calls == 6


def test_a_function_that_counts_from_zero_or_is_gone_is_counted_once(url: str) -> None:
    report = function()
    sharing = share(url, every=LONG)
    report(1), report(1)
    assert sharing.flush()
    report(1)
    report.cache_clear()
    report(1)
    assert sharing.flush()
    assert report.info().calls == 1
    assert found(url)["shop.report"].totals.calls == 4
    del report
    assert sharing.flush()
    report = function()  # as another process has it
    report(1)
    assert sharing.flush()
    assert found(url)["shop.report"].totals.calls == 5


def test_applications_with_other_prefixes_do_not_mix(url: str) -> None:
    report = function()
    report(1)
    share(url, every=LONG)()
    assert found(url)["shop.report"].totals.calls == 1
    assert read(url.replace("prefix=", "prefix=x")) == []


def test_nothing_new_is_nothing_sent(url: str) -> None:
    report = function()
    sharing = share(url, every=LONG)
    report(1)
    assert sharing.flush()
    assert sharing.flush()
    assert found(url)["shop.report"].totals.calls == 1
