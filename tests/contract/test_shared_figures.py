"""The figures of all processes on a cache that they share: what `memocache.stats` adds up there, and reads."""

import gc
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import freezegun
import pytest

from memocache import (
    ForeignCache,
    JSONSerializer,
    MemcachedCache,
    NullCache,
    PickleSerializer,
    RedisCache,
    SimpleCache,
    SQLiteCache,
    TieredCache,
    _function,
    cache_from_url,
    cached,
    configure,
    stats,
)
from memocache.backends._shared import ServerCache
from memocache.backends._wire import WireServer
from memocache.stats import INDEX, MOST_FUNCTIONS, OTHERS, TOTAL, SharedFigures, read, share
from tests.support.redis_servers import RedisServer
from tests.support.refusals import refusal
from tests.support.servers import wait_until

LONG = 3600.0  # seconds between two sendings: a test says itself when


@pytest.fixture(autouse=True)
def nothing_of_others(only_own_functions: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process that has shared nothing yet, and has no other functions; it shares nothing afterwards."""
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


def test_a_clock_that_is_set_back_begins_nothing_anew(url: str) -> None:
    report, gone = function(), function("shop.gone")
    with freezegun.freeze_time("2030-01-01 12:00:30") as clock:
        sharing = share(url, every=LONG)
        report(1), gone(1)
        assert sharing.flush()
        del gone
        gc.collect()
        clock.move_to("2030-01-01 10:00:30")
        report(1)
        assert sharing.flush()
        assert {name: row.totals.calls for name, row in found(url).items()} == {"shop.report": 2, "shop.gone": 1}


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
    report(1), report(2)
    del report
    gc.collect()
    assert sharing.flush()
    assert found(url)["shop.report"].totals.calls == 6
    report = function()  # as another process has it
    report(1)
    assert sharing.flush()
    assert sharing.flush()
    assert found(url)["shop.report"].totals.calls == 7


def test_applications_with_other_prefixes_do_not_mix(url: str) -> None:
    report = function()
    report(1)
    share(url, every=LONG)()
    assert found(url)["shop.report"].totals.calls == 1
    assert read(url.replace("prefix=", "prefix=x")) == []


def test_a_thread_sends_and_sends_the_rest_when_it_is_ended(url: str) -> None:
    report = function()
    with share(url, every=0.01):
        report(1)
        assert wait_until(lambda: bool(read(url)))
        report(1)
    assert found(url)["shop.report"].totals.calls == 2
    report(1)
    assert stats.sharing() is None
    assert found(url)["shop.report"].totals.calls == 2


def test_sharing_again_goes_on_with_the_other_cache_and_counts_nothing_twice(url: str) -> None:
    report = function()
    report(1)
    first = share(url, every=LONG)
    assert first.flush()
    report(1)
    second = share(cache_from_url(url), every=LONG)  # another object, with the same entries
    report(1)
    assert second.flush()
    first()
    assert stats.sharing() is second
    assert found(url)["shop.report"].totals.calls == 3


def test_functions_of_one_name_in_two_modules_are_two(url: str) -> None:
    shop, bank = function("shop.report"), function("bank.report")
    shop(1), bank(1), bank(1)
    share(url, every=LONG)()
    assert {name: figures.totals.calls for name, figures in found(url).items()} == {"shop.report": 1, "bank.report": 2}


def test_processes_that_add_at_once_lose_nothing(url: str) -> None:
    caches = [cache_from_url(url) for _ in range(4)]
    start = threading.Barrier(len(caches))

    def add(cache: Any) -> None:
        start.wait()
        for _ in range(25):
            cache.add_to_tally("1", {"a": 1, "b": 2}, 60)
            cache.amend("names", lambda names: {**(names or {}), str(id(cache)): 1})

    with ThreadPoolExecutor(len(caches)) as threads:
        list(threads.map(add, caches))
    assert caches[0].tallies(["1", "2"], ["a", "b"]) == [{"a": 100, "b": 200}, {}]
    assert set(caches[0].get("names")) == {str(id(cache)) for cache in caches}


def test_what_another_process_changes_in_between_is_kept(url: str) -> None:
    mine, other = (cache_from_url(url) for _ in range(2))
    assert isinstance(mine, ServerCache)
    assert isinstance(other, ServerCache)

    def with_mine(names: Any) -> Any:
        if "other" not in (names or {}):
            other.amend("names", lambda names: {**(names or {}), "other": 1})
        return {**(names or {}), "mine": 1}

    assert mine.amend("names", with_mine) == mine.get("names") == {"other": 1, "mine": 1}
    other.delete("names")
    mine.set("names", with_mine(mine.get("names")))  # as it is done without a comparison
    assert mine.get("names") == {"mine": 1}


def test_there_is_a_row_for_those_beyond_the_first_thousand(url: str, caplog: pytest.LogCaptureFixture) -> None:
    cache = cache_from_url(url)
    assert isinstance(cache, ServerCache)
    cache.amend(INDEX, lambda index: {f"f{n}": 0.0 for n in range(MOST_FUNCTIONS - 1)})
    sharing = share(cache, every=LONG)
    functions = []
    for name in "abcd":
        functions.append(function(name))
        functions[-1](1)
        assert sharing.flush()
    assert [record.getMessage() for record in caplog.records] == [
        f"more than 1000 functions share their figures on {cache!r}; those beyond are counted as one, '(others)' "
        "(said once)"
    ]
    rows = found(cache)
    assert len(rows) == MOST_FUNCTIONS + 1
    assert (rows["a"].totals.calls, rows[OTHERS].totals.calls) == (1, 3)
    assert "b" not in rows


def test_the_index_is_made_anew_when_it_is_lost(url: str) -> None:
    report = function()
    with freezegun.freeze_time("2030-01-01 12:00:30") as clock:
        sharing = share(url, every=LONG)
        report(1)
        assert sharing.flush()
        sharing.cache.delete(INDEX)
        clock.tick(60)
        assert sharing.flush()  # although nothing was called
        assert found(url)["shop.report"].totals.calls == 1


def test_who_ends_is_in_the_index_whatever_has_become_of_that(url: str) -> None:
    report = function()
    with share(url, every=LONG) as sharing:
        report(1)
        assert sharing.flush()
        sharing.cache.clear()
        report(1)
    assert found(url)["shop.report"].totals.calls == 1


@pytest.mark.parametrize(
    "junk",
    [
        *("text", 7, None, {"shop.report": "x", "y": float("inf"), "": None}),
        {"a": -1.0, "b": 1e300, "c": 10**400, "d" * 2001: 1.0},
    ],
    ids=["text", "a number", "nothing", "no seconds", "impossible seconds"],
)
def test_what_others_have_written_there_does_no_harm(url: str, junk: object) -> None:
    report = function()
    cache = cache_from_url(url)
    assert isinstance(cache, ServerCache)
    cache.set(INDEX, junk, 0)
    assert read(cache) == []
    if (topology := getattr(cache, "_topology", None)) is not None:
        shard = cache._node(cache._tally(""))  # type: ignore[attr-defined]
        shard.set(cache._tally(TOTAL), b"junk", 0)
        assert topology
    elif (servers := getattr(cache, "_servers", None)) is not None:
        servers[0].set(f"{cache._tally(TOTAL)}:{stats._number('shop.report')}:hits", b"junk", 0)
    else:
        number = stats._number("shop.report")
        cache.set(cache._tally(TOTAL), {f"{number}:hits": 10**400, f"{number}:misses": -5, f"{number}:stale": True})
    sharing = share(cache, every=LONG)
    report(1), report(1)
    sharing.flush()
    sharing.flush()
    assert found(cache)["shop.report"].totals.calls == 2


@pytest.mark.parametrize("url", ["redis", "memcached"], indirect=True)
def test_many_numbers_are_read_in_few_round_trips(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    give, given = WireServer.give, list[None]()
    monkeypatch.setattr(WireServer, "give", lambda *words: given.append(None) or give(*words))  # type: ignore[func-returns-value]
    cache = cache_from_url(url)
    assert isinstance(cache, ServerCache)
    numbers = {f"{stats._number(f'shop.f{n}')}:{figure}": n for n in range(1000) for figure in stats.OF_A_MINUTE}
    for tally in ("1", "2", "3"):
        cache.add_to_tally(tally, dict(numbers), 60)
    given.clear()
    assert cache.tallies(["1", "2", "3"], list(numbers)) == [numbers] * 3
    assert len(given) == 3


@pytest.mark.parametrize("kind", ["cluster", "three memcacheds", "valkey"])
def test_on_many_servers_too(request: pytest.FixtureRequest, kind: str, prefix: str) -> None:
    cache: Any
    if kind == "three memcacheds":
        servers = request.getfixturevalue("three_memcacheds")
        cache = MemcachedCache([server.address for server in servers], key_prefix=prefix, timeout=5)
    else:
        server = request.getfixturevalue("redis_cluster" if kind == "cluster" else "valkey_server")
        cache = RedisCache(server.url, key_prefix=prefix, timeout=5)
    functions = [function(f"f{n}") for n in range(300)]
    with share(cache, every=LONG) as sharing:
        for each in functions:
            each(1), each(1)
        assert sharing.flush()
        functions[7](2)
    figures = read(cache)
    assert [each.totals.calls for each in figures] == [3 if each.function == "f7" else 2 for each in figures]
    assert len(figures) == 300


def test_a_sending_takes_few_round_trips_whatever_was_counted(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    give = WireServer.give
    monkeypatch.setattr(WireServer, "give", lambda *words, **more: (given.append(words), give(*words, **more))[1])
    functions = [function(f"f{n}") for n in range(20)]
    with freezegun.freeze_time("2030-01-01 12:00:30"):
        sharing = share(url, every=LONG)
        for _ in range(3):  # a miss, and two hits
            given.clear()
            for each in functions:
                each(1)
            assert sharing.flush()
    assert len(given) == (0 if url.startswith("sqlite") else 2)


@pytest.mark.parametrize(
    "options",
    [
        {"serializer": JSONSerializer()},
        {"serializer": PickleSerializer(b"0123456789abcdef")},
        {"compress": "zlib", "compress_above": 0},
    ],
    ids=["JSON", "pickle", "compressed"],
)
@pytest.mark.parametrize("kind", ["redis", "sqlite"])
def test_whatever_makes_bytes_of_values(
    request: pytest.FixtureRequest, kind: str, options: Any, prefix: str, tmp_path: Path
) -> None:
    cache: Any
    if kind == "redis":
        cache = RedisCache(request.getfixturevalue("redis_server").url, key_prefix=prefix, timeout=5, **options)
    else:
        cache = SQLiteCache(tmp_path / "cache.db", timeout=5, **options)
    names = ("shop.report", "\N{SNOWMAN}", "\ud800" + 300 * "x")
    functions = [function(name) for name in names]
    sharing = share(cache, every=LONG)
    for _ in range(2):
        for each in functions:
            each(1)
        assert sharing.flush()
    rows = found(cache)
    assert sorted(rows) == sorted(["shop.report", "\N{SNOWMAN}", "\\ud800" + 199 * "x"])
    assert {(each.totals.misses, each.totals.hits) for each in rows.values()} == {(1, 1)}


# ---- a cache that is down --------------------------------------------------------------------------------------------


@pytest.fixture(params=["own_redis", "own_memcached"])
def own_server(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def url_of(server: Any, options: str) -> str:
    return f"{server.url if isinstance(server, RedisServer) else f'memcached://{server.address}'}?{options}"


def test_what_could_not_be_sent_is_sent_later(own_server: Any, caplog: pytest.LogCaptureFixture) -> None:
    report = function()
    sharing = share(url_of(own_server, "timeout=5"), every=LONG)
    report(1)
    own_server.kill()
    caplog.clear()
    assert not sharing.flush()
    report(1)
    assert not sharing.flush()
    (told,) = [message for message in caplog.messages if "figures" in message]
    assert told.startswith(f"the figures could not be shared on {sharing.cache!r}, and are kept until they can: ")
    assert told.endswith(" (said once)")
    own_server.restart()
    assert wait_until(sharing.flush, 40)  # it is left alone for a moment
    assert found(sharing.cache)["shop.report"].totals.calls == 2


def test_a_redis_that_is_full_is_told_by_its_own_words(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    report = function()
    sharing = share(f"{own_redis.url}?timeout=5", every=LONG)
    report(1)
    assert sharing.flush()
    report(1)
    with own_redis.client() as client:
        client.config_set("maxmemory", 1)
        assert not sharing.flush()
        assert "NOPERM" not in caplog.messages[-1]
        assert "command not allowed when used memory > 'maxmemory'" in caplog.messages[-1]
        client.config_set("maxmemory", 0)
    assert sharing.flush()
    assert found(sharing.cache)["shop.report"].totals.calls == 2


def test_what_an_answer_was_lost_for_is_not_lost(own_server: Any) -> None:
    report = function()
    sharing = share(url_of(own_server, "timeout=1"), every=LONG)
    report(1)
    assert sharing.flush()
    report(1), report(1)
    own_server.pause()
    try:
        assert not sharing.flush()
    finally:
        own_server.resume()
    assert wait_until(sharing.flush, 40)
    totals = found(sharing.cache)["shop.report"].totals
    assert totals.misses == 1
    assert totals.hits in (2, 4, 6, 8)  # the server may have done it all the same: then it is done once more


def test_a_call_does_not_wait_for_a_server_that_hangs(own_redis: RedisServer, prefix: str) -> None:
    report = function()
    sharing = share(f"{own_redis.url}?prefix={prefix}&timeout=30", every=LONG)
    report(1)
    assert sharing.flush()
    own_redis.pause()
    try:
        report(1)
        sending = threading.Thread(target=sharing.flush)
        sending.start()
        assert wait_until(sharing._lock.locked)
        assert (report(1), report(2)) == (1, 2)
        assert sending.is_alive()
    finally:
        own_redis.resume()
    sending.join()
    assert sharing.flush()
    assert found(sharing.cache)["shop.report"].totals.calls == 4


# ---- what is refused -------------------------------------------------------------------------------------------------

WANTED = (
    "; give it a RedisCache, MemcachedCache, SQLiteCache or GAEMemcachedCache, or a URL such as "
    "'redis://127.0.0.1:6379'. The functions themselves may use any cache"
)


IN_PROCESS = "which lives in this process, where no other can add to its figures"


@pytest.mark.parametrize(
    ("cache", "why"),
    [
        (SimpleCache(), f"got SimpleCache(threshold=500, default_timeout=300), {IN_PROCESS}"),
        (NullCache(), f"got NullCache(default_timeout=300), {IN_PROCESS}"),
        (
            ForeignCache({}),
            "got ForeignCache(dict, default_timeout=300, key_prefix=''), on which processes cannot add to one number "
            "without losing what others add",
        ),
        (5, "got an int"),
    ],
    ids=["SimpleCache", "NullCache", "ForeignCache", "number"],
)
@pytest.mark.parametrize("do", [share, read], ids=["share", "read"])
def test_a_cache_that_cannot_add_for_all_is_refused_by_name(do: Callable[[Any], Any], cache: object, why: str) -> None:
    assert refusal(do, cache) == f"{do.__name__}() {why}{WANTED}"
    assert stats.sharing() is None


@pytest.mark.parametrize("every", [1e300, 0, -1, "10", None, True, float("nan"), float("inf")])
def test_seconds_that_cannot_be_are_refused(tmp_path: Path, every: Any) -> None:
    said = refusal(share, f"sqlite:///{tmp_path}/cache.db", every)
    assert said == f"share() got every={every!r}; wanted: seconds above 0, such as 10"


def test_tiers_share_on_the_far_one_and_a_name_is_a_cache(url: str) -> None:
    far = cache_from_url(url)
    configure(figures=TieredCache(SimpleCache(), far))
    report = function()
    report(1)
    sharing = share("figures", every=LONG)
    assert sharing.cache is far
    assert sharing.flush()
    assert read("figures") == read(far)
    assert found(far)["shop.report"].totals.calls == 1


@pytest.fixture(autouse=True)
def all_that_is_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "memocache")
