"""What SQLiteCache takes and refuses, its connections, and what it does while others keep it from the file."""

import contextlib
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memocache import (
    BackendUnavailable,
    Cache,
    ConfigurationError,
    SimpleCache,
    SQLiteCache,
    TieredCache,
    UncacheFailed,
    cache_from_url,
    cached,
)
from memocache.backends import _wire
from tests.support.threads import PATIENCE, at_once, start


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


@pytest.fixture
def cache(path: Path) -> Iterator[SQLiteCache]:
    cache = SQLiteCache(path)
    yield cache
    cache.close()


@contextlib.contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program's connection."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


@pytest.mark.parametrize("make", [lambda cache: cache, lambda cache: TieredCache(SimpleCache(), cache)])
def test_clear_lets_go_of_what_is_remembered_of_calls(make: Callable[[SQLiteCache], Cache], cache: SQLiteCache) -> None:
    used = make(cache)
    f: Any = cached(cache=used, namespace="f")(lambda x: None)
    for number in range(90):
        f(f"{number:60000}")
    known = f._self_memoizer.bindings.current()._known_keys
    assert 0 < len(known) < 80  # within 4 MiB
    assert f("x" * 100_000) is None  # too large to be kept
    assert len(known) < 80
    used.clear()
    assert (len(known), len(cache._reads)) == (0, 0)


# ---- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": 5}, r"path= got an int; wanted: the path of a file, or of a directory for it, such as "),
        ({"path": ""}, r"path=''; wanted: the path of a file"),
        ({"path": b"x"}, r"path=b'x'; wanted: the path of a file"),
        ({"path": "a\0b"}, r"path='a\\x00b'; wanted: the path"),
        ({"path": ":memory:"}, r"path=':memory:' is no path; .*In memory, SimpleCache\(\) is the cache"),
        ({"path": "file:x?mode=ro"}, r"path='file:x\?mode=ro' is no path"),
        ({"path": "sqlite:///tmp/x.db"}, r"path= got a URL; wanted: the path .*\. Of a URL, cache_from_url\(\) makes"),
        ({"size_limit": 1000}, r"size_limit=1000; wanted: bytes, as an int from 1048576 \(1 MiB\)"),
        ({"size_limit": True}, r"size_limit=True; wanted: bytes"),
        ({"size_limit": 2e9}, r"size_limit=2000000000.0; wanted: bytes"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], message: str, path: Path) -> None:
    with pytest.raises(ConfigurationError, match=message):
        SQLiteCache(**{"path": path, **options})


def test_an_old_sqlite_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 7, 17))
    with pytest.raises(ConfigurationError, match=r"SQLiteCache needs SQLite 3\.24, and here is "):
        SQLiteCache(path)


def test_it_says_what_it_is(tmp_path: Path) -> None:
    cache = SQLiteCache(tmp_path / "c.db", 60, "shop:")
    assert repr(cache) == f"SQLiteCache('{tmp_path}/c.db', default_timeout=60, key_prefix='shop:')"


def test_a_url_stands_for_one(tmp_path: Path) -> None:
    cache = cache_from_url(f"sqlite://{tmp_path}/c.db?prefix=shop:&default_timeout=1m&timeout=2s&size_limit=2000000")
    assert repr(cache) == f"SQLiteCache('{tmp_path}/c.db', default_timeout=60, key_prefix='shop:')"
    with pytest.raises(ConfigurationError, match="size_limit"):
        cache_from_url(f"sqlite://{tmp_path}/c.db?size_limit=1")


def test_a_path_may_be_a_file_or_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    for given, meant in [
        (tmp_path / "a.db", "a.db"),
        ("~/b.db", "b.db"),
        ("c.db", "c.db"),
        ("d/e/f.db", "d/e/f.db"),
        ("there", "there/memocache.db"),
        ("new/", "new/memocache.db"),
        ("there/../g.db", "g.db"),
        ("odd name?#%41.db", "odd name?#%41.db"),
    ]:
        SQLiteCache(given).set("k", 1)
        assert (tmp_path / meant).is_file(), given


def test_a_relative_path_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cache = SQLiteCache("c.db")
    cache.set("k", 1)
    cache.close()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert cache.get("k") == 1


# ---- what is in the file ---------------------------------------------------------------------------------------------


def test_values_outlive_the_process(cache: SQLiteCache, path: Path) -> None:
    cache.set("k", (1, "x"))
    cache.close()
    assert SQLiteCache(path).get("k") == (1, "x")


def test_prefixes_keep_applications_apart(path: Path) -> None:
    one, other = SQLiteCache(path, key_prefix="a"), SQLiteCache(path, key_prefix="ab")
    one.set("bc", 1)
    other.set("c", 2)
    assert (one.get("bc"), other.get("c"), one.get("c"), other.get("bc")) == (1, 2, None, None)


def test_clear_leaves_the_tables_of_others_alone(cache: SQLiteCache, path: Path) -> None:
    with raw(path) as other:
        other.execute("CREATE TABLE mine (x)")
        other.execute("INSERT INTO mine VALUES (1)")
        cache.set("k", 1)
        assert cache.clear()
        assert other.execute("SELECT x FROM mine").fetchall() == [(1,)]
        assert other.execute("SELECT count(*) FROM entries").fetchone() == (0,)


@pytest.mark.parametrize(
    "damage", ["x''", "x'00'", "zeroblob(200)", "CAST(substr(data, 1, 60) AS BLOB)", "CAST(data || x'00' AS BLOB)"]
)
def test_bytes_that_make_no_sense_are_a_miss(damage: str, cache: SQLiteCache, path: Path) -> None:
    f = cached(cache=cache, namespace="f")(lambda x: [x])
    f(1)
    cache.set("k", "v")
    with raw(path) as other:
        other.execute(f"UPDATE entries SET data = {damage} WHERE length(data) > 50")
    again = SQLiteCache(path)  # which remembers nothing
    assert again.get("k") is None
    assert again.has("k") is False
    g = cached(cache=again, namespace="f")(lambda x: [x, "new"])
    assert g(1) == g(1) == [1, "new"]
    assert g.info().hits == 1


def test_set_many_stores_all_or_nothing(cache: SQLiteCache) -> None:
    with pytest.raises(Exception, match="lock"):
        cache.set_many({"a": 1, "b": threading.Lock()})
    assert cache.get_many("a", "b") == [None, None]
    assert cache.set_many({str(number): number for number in range(2000)}) == [str(number) for number in range(2000)]
    assert cache.get_many(*map(str, range(2000))) == list(range(2000))
    assert cache.delete_many("1", "2", "nothing") == ["1", "2"]
    assert cache.set_many({"3": 3}, timeout=-1) == []
    assert cache.get_many("1", "2", "3", "4") == [None, None, None, 4]


def test_long_values_are_not_remembered(cache: SQLiteCache) -> None:
    for key, text in (("long", "x" * 5000), ("short", "x" * 50)):
        cache.set(key, text)
        assert cache.get(key) == cache.get(key) == text
    remembered = {key: read._last is not None for key, read in cache._reads.items()}
    assert remembered == {"long": False, "short": True}


# ---- connections -----------------------------------------------------------------------------------------------------


def open_files(path: Path) -> int:
    """Return how often this process has the database open."""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("there is no /proc here to look into")
    found = 0
    for each in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            found += os.readlink(f"/proc/self/fd/{each}") == str(path)
    return found


def test_each_thread_has_a_connection_that_ends_with_it(cache: SQLiteCache) -> None:
    # Not by open files: while another connection has a lock, SQLite keeps them for the next one.
    connections = cache._database._connections._all
    inside, seen = threading.Barrier(4), []

    def use() -> None:
        cache.set("k", 1)
        inside.wait(PATIENCE)
        seen.append(len(connections))
        inside.wait(PATIENCE)

    at_once(4, use)
    assert (seen, len(connections)) == ([5] * 4, 1)


def test_close_closes_and_another_use_opens_again(cache: SQLiteCache, path: Path) -> None:
    cache.set("k", 1)
    cache.close()
    cache.close()
    assert open_files(path) == 0
    assert cache.get("k") == 1


def test_a_cache_that_is_let_go_of_closes(path: Path) -> None:
    SQLiteCache(path).set("k", 1)
    assert open_files(path) == 0


# ---- while others write ----------------------------------------------------------------------------------------------


@pytest.fixture
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """Somebody who has begun to write and does not end."""
    SQLiteCache(path).close()
    with raw(path) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def test_hits_are_served_and_misses_computed_while_somebody_else_writes(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_wire, "FIRST_PAUSE", 1000)
    cache = SQLiteCache(path, timeout=0.01)
    f = cached(cache=cache, namespace="f")(lambda x: x)
    f(1)
    with raw(path) as other, caplog.at_level(logging.WARNING, "memocache"):
        other.execute("BEGIN IMMEDIATE")
        assert [start(f, x).result(PATIENCE) for x in (1, 1, 2, 2, 3)] == [1, 1, 2, 2, 3]
        info = f.info()
        assert (info.hits, info.misses, info.failures) == (2, 4, 3)
        with pytest.raises(BackendUnavailable, match="failed before and is left alone for a moment"):
            cache.add("k", 1)  # only the first had to wait
        with pytest.raises(UncacheFailed, match=r"did not acknowledge.*SQLite at .* failed: database is locked"):
            f.uncache(1)  # which is tried all the same
        with pytest.raises(UncacheFailed, match="its calls were"):
            f.uncache_all()
        other.execute("COMMIT")
    assert f.uncache(1)  # and with that the file is known to be back
    assert f(4) == f(4) == 4
    assert f.info().hits == 3
    assert [record.getMessage().count("calls are computed until it is back") for record in caplog.records].count(1) == 1


def test_the_users_own_methods_raise(locked: sqlite3.Connection, path: Path) -> None:
    cache = SQLiteCache(path, timeout=0.01)
    for change in (
        lambda: cache.set("k", 1),
        lambda: cache.inc("k"),
        lambda: cache.delete("k"),
        lambda: cache.set_many({"k": 1}),
        lambda: cache.delete_many("k"),
        cache.clear,
    ):
        with pytest.raises(BackendUnavailable, match=r"database is locked|left alone"):
            change()
    assert cache.get("k") is None


# ---- in the middle of a transaction ----------------------------------------------------------------------------------


def test_what_interrupts_a_transaction_undoes_it_and_leaves_no_lock(cache: SQLiteCache, path: Path) -> None:
    cache.set("k", 1)

    class Interrupt(BaseException):
        pass

    def work() -> None:
        connection.execute("DELETE FROM entries")
        raise Interrupt

    connection = cache._database._connections.current()
    assert connection is not None
    with pytest.raises(Interrupt):
        cache._database._run(lambda on: on.transact(work), changes=())
    assert SQLiteCache(path, timeout=1).set("l", 1)
    assert cache.get_many("k", "l") == [1, 1]


def test_a_signal_handler_cannot_acknowledge_what_its_thread_may_undo(cache: SQLiteCache) -> None:
    cache.set("k", 1)
    seen = []

    def work() -> None:
        seen.append(cache.get("k"))
        with pytest.raises(BackendUnavailable, match="came in the middle of a transaction"):
            cache.delete("k")

    cache._database._run(lambda on: on.transact(work), changes=())
    assert seen == [1]
    assert cache.delete("k")


# ---- forgetting ------------------------------------------------------------------------------------------------------


def test_a_call_is_forgotten_at_one_moment(cache: SQLiteCache, path: Path) -> None:
    computed = []

    def compute(x: int) -> int:
        computed.append(x)
        return x

    f: Any = cached(cache=cache, namespace="f")(compute)
    other: Any = cached(cache=SQLiteCache(path), namespace="f")(compute)
    assert f(7) == 7
    connection = cache._database._connections.current()
    assert connection is not None
    connection.sql.set_trace_callback(lambda statement: other(7))  # before each of them
    assert f.uncache(7)
    connection.sql.set_trace_callback(None)
    assert other(7) == 7
    assert len(computed) == 2  # else somebody had computed in the middle, and that was deleted, too
