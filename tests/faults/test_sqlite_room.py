"""How much an SQLite cache may hold, and what leaves: the file stays within its limit, whatever is stored."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from memocache import SQLiteCache, ValueTooLarge, cached
from memocache.backends.sqlite import cache as sqlite_cache

LIMIT = 1024**2


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


def entries(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM entries").fetchone()[0])


@pytest.mark.parametrize(("size", "least"), [(1, 0.25), (300, 0.45), (2000, 0.4), (9000, 0.6), (100_000, 0.6)])
def test_the_file_stays_within_its_limit_and_is_used(size: int, least: float, path: Path) -> None:
    cache = SQLiteCache(path, size_limit=LIMIT)
    times = max(40, 4 * LIMIT // (size + 200))
    for number in range(times):
        assert cache.set(str(number), bytes(size) if number % 7 else bytes(size // 2))
        if not number % 10:
            assert path.stat().st_size <= LIMIT
    assert path.stat().st_size <= LIMIT
    assert path.with_name("cache.db-wal").stat().st_size <= LIMIT
    there = entries(path)
    assert least * LIMIT < there * (size * 13 / 14 + 100)
    assert sum(cache.has(str(number)) for number in range(times)) == there


def test_small_values_make_room_for_large_ones_and_back(path: Path) -> None:
    cache = SQLiteCache(path, size_limit=LIMIT)
    for round_ in range(3):
        for number in range(3000):
            assert cache.set(f"small {round_} {number}", "x" * 200)
        for number in range(12):
            assert cache.set(f"large {round_} {number}", "x" * (LIMIT // 8 - 1000))
        assert cache.get(f"large {round_} 11")
        assert path.stat().st_size <= LIMIT


def test_what_is_asked_for_stays(path: Path) -> None:
    cache = SQLiteCache(path, size_limit=LIMIT)
    with freeze_time("2030-01-01") as clock:
        for number in range(6000):
            cache.set(str(number), "x" * 500, timeout=0)
            clock.tick(0.1)
            if not number % 200:
                assert sum(map(cache.has, map(str, range(200)))) > (0 if number < 200 else 180)
        asked_for = sum(map(cache.has, map(str, range(200))))
        others = [cache.has(str(number)) for number in range(200, 6000)]
    assert asked_for > 180
    assert sum(others[:3000]) < 100  # they have left
    assert sum(others[-500:]) > 450  # and they not yet


def test_a_result_that_was_stored_is_there_even_if_the_cache_is_full(path: Path) -> None:
    f = cached(cache=SQLiteCache(path, size_limit=LIMIT), namespace="f")(lambda x: "x" * 3000)
    for number in range(1000):
        f(number)
        assert f.peek(number) == "x" * 3000
    info = f.info()
    assert (info.stored, info.failures) == (1000, 0)


def test_forgetting_works_in_a_full_cache(path: Path) -> None:
    f = cached(cache=SQLiteCache(path, size_limit=LIMIT), namespace="f")(lambda x: "x" * 3000)
    for number in range(500):
        f(number)
    assert f.uncache(499)
    f(499)
    f.uncache_all()
    assert not f.peek(499)


def test_many_at_once_may_be_more_than_there_is_room_for(path: Path) -> None:
    cache = SQLiteCache(path, size_limit=LIMIT)
    many = {str(number): "x" * 1000 for number in range(3000)}
    assert cache.set_many(many) == list(many)
    there = [value for value in cache.get_many(*many) if value]
    assert 400 < len(there) < 1000
    assert path.stat().st_size <= LIMIT


# ---- one value -------------------------------------------------------------------------------------------------------


def test_a_value_above_an_eighth_of_the_limit_is_refused(path: Path) -> None:
    cache = SQLiteCache(path, size_limit=LIMIT)
    cache.set("k", "old")
    for store in (cache.set, cache.add):
        with pytest.raises(ValueTooLarge) as refused:
            store("l", b"x" * (LIMIT // 8))
        assert str(refused.value) == (
            "the value takes 131169 bytes, and the cache takes 131072 at most (an eighth of size_limit=); "
            "store less, or raise it"
        )
    assert cache.set("l", b"x" * (LIMIT // 8 - 200))
    assert cache.get_many("k", "l") == ["old", b"x" * (LIMIT // 8 - 200)]


@pytest.mark.parametrize("how", ["call", "put", "refresh"])
def test_a_result_above_it_is_returned_and_counted_and_leaves_nothing(how: str, path: Path) -> None:
    box: list[Any] = ["old"]
    f = cached(cache=SQLiteCache(path, size_limit=LIMIT), namespace="f")(lambda: box[0])
    if how != "call":
        f()
    box[0] = b"x" * LIMIT
    assert {"call": f, "refresh": f.refresh, "put": lambda: f.put(box[0]) or box[0]}[how]() == box[0]
    assert f.info().failures == 1
    assert not f.uncache()


# ---- expired ones ----------------------------------------------------------------------------------------------------


def test_expired_entries_leave_a_few_at_a_time(path: Path) -> None:
    cache = SQLiteCache(path)
    with freeze_time("2030-01-01") as clock:
        cache.set_many({f"old {number}": "x" for number in range(2000)}, timeout=10)
        cache.set_many({f"lasting {number}": "x" for number in range(100)}, timeout=0)
        clock.tick(timedelta(seconds=11))
        for number in range(1000):
            cache.add(f"new {number}", "x")
        assert sum(cache.has(f"lasting {number}") for number in range(100)) == 100
        assert sum(cache.has(f"new {number}") for number in range(1000)) == 1000
    assert 1100 <= entries(path) < 1500


def test_no_clock_but_ours_decides(path: Path) -> None:
    cache = SQLiteCache(path)
    with freeze_time("1999-12-31"):
        cache.set("k", 1, timeout=10)
        for number in range(200):
            cache.add(str(number), number)
        assert cache.get("k") == 1
    assert cache.get("k") is None


# ---- another limit ---------------------------------------------------------------------------------------------------


def test_a_cache_larger_than_its_limit_begins_anew(path: Path) -> None:
    cache = SQLiteCache(path)
    cache.set_many({str(number): "x" * 1000 for number in range(3000)})
    cache.close()
    assert path.stat().st_size > 2 * LIMIT
    smaller = SQLiteCache(path, size_limit=LIMIT)
    assert smaller.get("1") is None
    assert path.stat().st_size <= LIMIT
    for number in range(2000):
        smaller.set(str(number), "x" * 1000)
    assert path.stat().st_size <= LIMIT


def test_clear_gives_the_room_back(path: Path) -> None:
    cache = SQLiteCache(path)
    cache.set_many({str(number): "x" * 1000 for number in range(3000)})
    cache.clear()
    assert path.stat().st_size < 10 * 4096
    assert cache.get("1") is None


def test_keys_that_have_their_id_in_common_are_told_apart(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_cache, "id_of", lambda key: 7)
    cache = SQLiteCache(path)
    f = cached(cache=cache, namespace="f")(lambda x: x)
    cache.set("a", 1)
    cache.set("b", 2)
    assert [cache.get("a"), cache.get("b")] == [None, 2]
    assert [f(x) for x in (1, 2, 1, 2)] == [1, 2, 1, 2]
    assert cache.add("c", 3)
    assert [cache.get("b"), cache.get("c")] == [None, 3]
