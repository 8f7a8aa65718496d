"""A file that is broken, removed, somebody else's, or cannot be written: caching goes on, and all processes agree."""

import contextlib
import fcntl
import itertools
import logging
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memocache import MISSING, BackendUnavailable, ConfigurationError, SQLiteCache, UncacheFailed, cached
from memocache._clock import ticks
from memocache.backends.sqlite import file
from tests.support.threads import PATIENCE, start

PAGE = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


@pytest.fixture(autouse=True)
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    with caplog.at_level(logging.WARNING, "memocache"):
        yield lambda: [record.getMessage() for record in caplog.records]


def filled(path: Path, entries: int = 300) -> None:
    """Leave a file with entries that all lie in it, and nothing beside it."""
    cache = SQLiteCache(path)
    cache.set_many({str(number): "x" * 100 for number in range(entries)})
    cache.close()


def aside(path: Path) -> list[Path]:
    return sorted(each for each in path.parent.glob("*.corrupt-*") if not each.name.endswith(("-wal", "-shm")))


def hurt(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no header": lambda path: hurt(path, 0, b"x" * 100),
    "junk": lambda path: path.write_bytes(random.Random(1).randbytes(50_000)),
    "text": lambda path: path.write_text("These are no pages. " * 1000),
    "first page": lambda path: hurt(path, 100, b"\xff" * (PAGE - 100)),
    "other pages": lambda path: hurt(path, PAGE, b"\xff" * (path.stat().st_size - PAGE)),
    "cut": lambda path: os.truncate(path, PAGE),
    "cut in a page": lambda path: os.truncate(path, PAGE + 100),
    "no table": lambda path: _execute(path, "DROP TABLE entries"),
    "other columns": lambda path: _execute(path, "ALTER TABLE entries RENAME COLUMN data TO content"),
    "another schema": lambda path: _execute(path, "PRAGMA user_version = 77"),
    "no bytes": lambda path: _execute(path, "UPDATE entries SET data = 5"),
    "text for bytes": lambda path: _execute(path, "UPDATE entries SET data = CAST(x'f16d63ff' AS TEXT)"),
}


def _execute(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


def carry_over(path: Path) -> None:
    """Have nothing in the log, so that all is read from the file."""
    _execute(path, "PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_broken_file_is_moved_aside_and_caching_goes_on(
    damage: str, path: Path, warnings: Callable[[], list[str]]
) -> None:
    filled(path)
    DAMAGE[damage](path)
    before = path.read_bytes()
    cache = SQLiteCache(path)
    f = cached(cache=cache, namespace="f")(lambda x: x)
    values = cache.get_many(*map(str, range(300)))
    assert set(values) <= {None, "x" * 100}
    assert [f(x) for x in range(300)] == [f(x) for x in range(300)] == list(range(300))
    assert f.info().hits == 300
    assert f.info().failures == 0
    (moved,) = aside(path)
    if damage != "no bytes" and "text for" not in damage:
        assert moved.read_bytes()[:100] == before[:100]
    (told,) = warnings()
    assert told.startswith(f"the cache in {path} is broken (")
    assert told.endswith(f"); it begins anew, and the old file is {moved}")
    assert moved.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", ["no header", "other pages", "cut"])
def test_a_file_that_breaks_while_it_is_open_is_moved_aside_by_one_for_all(damage: str, path: Path) -> None:
    filled(path)
    caches = [SQLiteCache(path) for _ in range(3)]  # as three processes have them
    for cache in caches:
        cache.set("k", 1)
    functions = [cached(cache=cache, namespace="f")(lambda x: x) for cache in caches]
    carry_over(path)
    DAMAGE[damage](path)
    for x, f in itertools.product(range(300), functions):
        assert f(x) == x
    assert len(aside(path)) == 1
    functions[0].uncache(1)
    assert [f.peek(1) for f in functions] == [MISSING] * 3
    assert functions[0](1) == 1
    assert [f.peek(1) for f in functions] == [1] * 3  # they all have the same file


def test_many_threads_and_caches_agree_on_one_new_file(path: Path) -> None:
    filled(path)
    caches = [SQLiteCache(path, timeout=10) for _ in range(4)]
    barrier = threading.Barrier(8)
    DAMAGE["no header"](path)

    def use(number: int) -> None:
        barrier.wait(PATIENCE)
        caches[number % 4].set(f"new {number}", number)

    for each in [start(use, number) for number in range(8)]:
        each.result(PATIENCE)
    assert len(aside(path)) == 1
    assert SQLiteCache(path).get_many(*(f"new {number}" for number in range(8))) == list(range(8))


def test_what_is_forgotten_in_the_new_file_is_not_served_from_the_old_one(path: Path) -> None:
    truth = [1]
    here, there = (cached(cache=SQLiteCache(path), namespace="f")(lambda: truth[0]) for _ in range(2))
    assert [here(), there(), there()] == [1, 1, 1]
    carry_over(path)
    DAMAGE["no header"](path)
    SQLiteCache(path).set("k", 1)  # a third one moves it aside
    assert len(aside(path)) == 1
    truth[0] = 2
    here.uncache()
    assert [there(), here()] == [2, 2]


def test_few_broken_files_are_kept(path: Path) -> None:
    for number in range(file.MOST_ASIDE + 3):
        filled(path, 3)
        DAMAGE["no header"](path)
        os.utime(path, (number, number))
        SQLiteCache(path).close()
    kept = aside(path)
    assert sorted(each.stat().st_mtime for each in kept) == [3, 4, 5]


def test_a_process_that_is_killed_while_moving_leaves_nothing_that_counts(path: Path) -> None:
    filled(path)
    cache = SQLiteCache(path)
    cache.set("k", "in the log")
    wal = path.with_name("cache.db-wal")
    left = wal.read_bytes()
    assert left
    # The database has been moved, and its log not yet.
    path.rename(path.with_name("cache.db.corrupt-x"))
    other = SQLiteCache(path)
    assert other.get("k") is cache.get("k") is None
    other.set("k", "new")
    assert cache.get("k") == "new"
    cache.close()
    other.close()
    assert SQLiteCache(path).get("k") == "new"


# ---- removed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["database", "all", "directory", "shared"])
def test_a_file_that_is_removed_is_made_again_for_all(what: str, tmp_path: Path) -> None:
    path = tmp_path / "d" / "cache.db"
    truth = [1]
    caches = [SQLiteCache(path) for _ in range(2)]
    here, there = (cached(cache=cache, namespace="f")(lambda: truth[0]) for cache in caches)
    assert [here(), there(), there()] == [1, 1, 1]
    gone = {"database": ["cache.db"], "shared": ["cache.db-shared"]}.get(what)
    for each in list(path.parent.iterdir()):
        if gone is None or each.name in gone:
            each.unlink()
    if what == "directory":
        path.parent.rmdir()
    truth[0] = 2
    here.uncache()
    assert [there(), here(), there()] == [2, 2, 2]
    truth[0] = 3
    there.uncache()
    assert [there(), here(), there()] == [3, 3, 3]
    new = cached(cache=SQLiteCache(path), namespace="f")(lambda: truth[0])
    assert new.peek() == 3


SAYS = """
f = cached(cache=SQLiteCache(path), namespace="f")(lambda: open(path + ".truth").read())
for line in sys.stdin:
    print(f() if line == "call\\n" else f.uncache(), flush=True)
"""


@pytest.mark.parametrize("thread", ["same", "other"])
@pytest.mark.parametrize("removed", [("-wal",), ("-shm",), ("-wal", "-shm")], ids="".join)
def test_who_has_another_log_than_others_begins_anew(
    removed: tuple[str, ...], thread: str, path: Path, warnings: Callable[[], list[str]]
) -> None:
    truth = path.with_name("cache.db.truth")
    truth.write_text("1")

    @cached(cache=SQLiteCache(path), namespace="f")
    def here() -> str:
        return truth.read_text()

    assert here() == here() == "1"
    for side in removed:
        path.with_name(path.name + side).unlink()
    words = [sys.executable, "-c", PREAMBLE + SAYS, str(path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:

        def there(what: str) -> str:
            assert other.stdin is not None
            assert other.stdout is not None
            other.stdin.write(what + "\n")
            other.stdin.flush()
            return other.stdout.readline().strip()

        assert there("call") == "1"
        truth.write_text("2")
        assert (here.uncache() if thread == "same" else start(here.uncache).result(PATIENCE)) in (True, False)
        assert (there("call"), here()) == ("2", "2")
        truth.write_text("3")
        assert there("uncache") == "True"
        assert (here(), there("call")) == ("3", "3")
        other.communicate()
    assert here.info().failures == 0
    why = "somebody has removed SQLite's log, or the index of that"
    assert warnings() == ([] if removed == ("-wal",) else [f"the cache in {path} begins anew: {why}"])


def test_a_directory_that_gives_way_to_a_file_is_not_trouble_in_the_application(tmp_path: Path) -> None:
    f = cached(cache=SQLiteCache(tmp_path / "d" / "cache.db"), namespace="f")(lambda x: x)
    assert f(1) == 1
    (tmp_path / "d").rename(tmp_path / "e")
    (tmp_path / "d").touch()
    assert [f(2), f(3), f(2)] == [2, 3, 2]
    with pytest.raises(UncacheFailed, match="is a file; wanted: a directory"):
        f.uncache(1)
    (tmp_path / "d").unlink()
    f.uncache(1)
    assert [f(1), f(1)] == [1, 1]
    assert f.info().hits == 1


def test_who_holds_the_lock_for_too_long_is_left_alone(path: Path) -> None:
    f = cached(cache=SQLiteCache(path, timeout=0.02), namespace="f")(lambda x: x)
    with path.with_name("cache.db-shared").open("r+b") as shared:
        fcntl.flock(shared, fcntl.LOCK_EX)
        assert start(f, 1).result(PATIENCE) == 1  # in a thread that would have to open the file
        assert f.info().failures == 1
        assert f(2) == 2  # and in one that has it open
    assert start(f, 1).result(PATIENCE) == 1


def test_a_lock_that_was_removed_is_none(path: Path) -> None:
    cache = SQLiteCache(path, timeout=10)
    shared = path.with_name("cache.db-shared")
    with shared.open("r+b") as old:
        fcntl.flock(old, fcntl.LOCK_EX)
        waiting = start(cache.set, "k", 1)
        assert not waiting.done()
        shared.unlink()
        other = SQLiteCache(path)
        other.set("l", 2)
    assert waiting.result(PATIENCE)
    assert cache.get_many("k", "l") == other.get_many("k", "l") == [1, 2]
    assert cache._database._file.identity() == other._database._file.identity()
    cache.set("k", 3)
    assert other.get("k") == 3


def test_a_connection_to_a_removed_file_does_not_take_the_new_log_away(path: Path) -> None:
    old = SQLiteCache(path)
    old.set("k", 1)
    for each in list(path.parent.iterdir()):
        each.unlink()
    new = SQLiteCache(path)
    new.set("k", 2)
    del old  # closed, it would remove the log of that name
    assert path.with_name("cache.db-wal").stat().st_size
    assert SQLiteCache(path).get("k") == 2
    new.close()
    assert SQLiteCache(path).get("k") == 2


# ---- not ours --------------------------------------------------------------------------------------------------------


def test_a_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    _execute(path, "CREATE TABLE precious (x)")
    before = path.read_bytes()
    with pytest.raises(ConfigurationError) as refused:
        SQLiteCache(path)
    assert str(refused.value) == (
        f"{path} is a database of another program (application_id 0); choose another path, or remove it"
    )
    _execute(path, "PRAGMA application_id = 5")
    with pytest.raises(ConfigurationError, match=r"another program \(application_id 5\)"):
        SQLiteCache(path)
    _execute(path, "PRAGMA application_id = 0")
    assert len(path.read_bytes()) == len(before)
    assert aside(path) == []


def test_an_empty_file_becomes_a_cache(path: Path) -> None:
    path.touch()
    path.chmod(0o600)
    assert SQLiteCache(path).set("k", 1)


# ---- no way to write -------------------------------------------------------------------------------------------------

NOBODY = 65534

PREAMBLE = """
import logging, os, resource, sys
from memocache import SQLiteCache, UncacheFailed, cached
path = sys.argv[1]
cached(lambda: 0)()  # imports everything
logging.disable()
"""

ON_A_SMALL_DISK = """
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
f = cached(cache=SQLiteCache(path, size_limit=2**24), namespace="f")(lambda x: "x" * 20_000)
print({f(x) for x in range(200)} == {"x" * 20_000}, f.info().failures > 0, f.info().stored > 0)
"""

READ_ONLY = """
if os.geteuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)
SQLiteCache(path).set("k", 1)
os.chmod(os.path.dirname(path), 0o500)
os.chmod(path, 0o400)
cache = SQLiteCache(path)
f = cached(cache=cache, namespace="f")(lambda x: x)
print([f(x) for x in range(5)], f.info().misses, f.info().failures)
try:
    f.uncache(1)
except UncacheFailed:
    print("UncacheFailed")
os.chmod(path, 0o600)
os.chmod(os.path.dirname(path), 0o700)
print(f.uncache(1), f(1), f(1), f.info().hits)
"""


def output_of(script: str, path: Path, *arguments: str) -> str:
    words = [sys.executable, "-c", PREAMBLE + script, str(path), *arguments]
    run = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_a_file_that_cannot_grow_is_not_trouble_in_the_application(path: Path) -> None:
    # The kernel lets no file of the process grow, as a full disk does.
    assert output_of(ON_A_SMALL_DISK, path) == "True True True\n"


def test_a_directory_that_cannot_be_written_is_not_trouble_in_the_application() -> None:
    with tempfile.TemporaryDirectory() as directory:  # where nobody can come, unlike into pytest's
        if os.geteuid() == 0:
            os.chown(directory, NOBODY, NOBODY)
        out = output_of(READ_ONLY, Path(directory, "c.db"))
    assert out == "[0, 1, 2, 3, 4] 5 5\nUncacheFailed\nFalse 1 1 1\n"


# ---- files that somebody has crafted, or emptied ---------------------------------------------------------------------

ENDLESS = """
    CREATE VIEW entries AS WITH RECURSIVE n(id, ends, data) AS
        (SELECT 1, 9e9, x'00' UNION ALL SELECT id, ends, data FROM n) SELECT id, ends, data FROM n WHERE id < 0
"""
PUTS_BACK = """
    CREATE TRIGGER back AFTER DELETE ON entries
        BEGIN INSERT INTO entries VALUES (OLD.id, OLD.ends, OLD.data); END
"""
CRAFTED = {
    "a view without an end": ("DROP TABLE entries", ENDLESS),
    "a view": (
        "ALTER TABLE entries RENAME TO old",
        "CREATE VIEW entries AS SELECT id, ends, data FROM old WHERE id <> 1",
    ),
    "a view that takes all": (
        "ALTER TABLE entries RENAME TO old",
        "CREATE VIEW entries AS SELECT id, ends, data FROM old",
        "CREATE TRIGGER t INSTEAD OF DELETE ON entries BEGIN SELECT 1; END",
    ),
    "a trigger that puts back": (PUTS_BACK,),
    "a trigger that changes": ("CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM entries; END",),
    "an index": ("CREATE INDEX i ON entries (length(data))",),
    "a virtual table": ("CREATE VIRTUAL TABLE other USING fts5(x)",),
    "another table": (
        "DROP TABLE entries",
        "CREATE TABLE entries (id INTEGER PRIMARY KEY, ends REAL, data BLOB GENERATED ALWAYS AS (zeroblob(9)) VIRTUAL)",
    ),
    "a name with line breaks": ('CREATE VIEW "x\nCRITICAL root logged in\x1b[2J" AS SELECT 1',),
}


@pytest.mark.parametrize("is_open", [False, True], ids=["before", "while open"])
@pytest.mark.parametrize("crafted", CRAFTED)
def test_a_crafted_file_is_moved_aside(
    crafted: str, is_open: bool, path: Path, warnings: Callable[[], list[str]]
) -> None:
    filled(path)
    cache = SQLiteCache(path, timeout=0.5)
    values = {"v": 1}
    f = cached(cache=cache, namespace="f", wait=1)(lambda x: values["v"])
    f(1)
    if not is_open:
        cache.close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        for statement in CRAFTED[crafted]:
            other.execute(statement)
    began = ticks()
    assert f(1) == 1
    values["v"] = 2
    assert f.uncache(1) in (True, False)
    assert (f(1), f(1)) == (2, 2)
    assert ticks() - began < 0.5 * 4 + 1
    if not is_open:
        assert len(aside(path)) == 1
    assert all(line.isprintable() for line in warnings())


CROSS_JOIN = f"""
    WITH n(v) AS (VALUES {", ".join("(1)" for _ in range(100))})
    SELECT sum(a.v + h.v) FROM n a, n b, n c, n d, n e, n f, n g, n h
"""


def test_a_query_without_an_end_has_a_deadline(path: Path) -> None:
    cache = SQLiteCache(path, timeout=0.5)
    connection = cache._database._connections.open()
    began = ticks()
    with pytest.raises(BackendUnavailable, match="interrupted"):
        cache._database._run(lambda _: connection.execute(CROSS_JOIN).fetchone())
    assert ticks() - began < 0.5 + 1
    cache.set_many({str(number): "x" for number in range(20_000)})  # many statements are no query without an end
    assert cache.get("19999") == "x"


def test_a_value_larger_than_any_may_be_is_not_read(path: Path) -> None:
    cache = SQLiteCache(path, size_limit=2**26)  # a value has 8 MiB
    f = cached(cache=cache, namespace="f")(lambda x: x)
    f(1)
    cache.set("k", "v")
    _execute(path, f"UPDATE entries SET data = zeroblob({9 * 2**20})")
    again = SQLiteCache(path, size_limit=2**26)
    g = cached(cache=again, namespace="f")(lambda x: x)
    tracemalloc.start()
    try:
        assert again.get("k") is None
        assert (g(1), g(1)) == (1, 1)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()
    assert g.info().hits == 1
    assert again.set("k", "w")
    assert again.get("k") == "w"


EMPTIED = """
from concurrent.futures import ThreadPoolExecutor
caches = [SQLiteCache(path) for _ in range(2)]
f, g = [cached(cache=cache, namespace="f")(lambda x: values[x]) for cache in caches]
values = {1: 1, 2: 1}
print(f(1), g(1), f(1), g(1))
side = path + sys.argv[2]
os.truncate(side, int(sys.argv[3]))
if sys.argv[4] == "other":
    with ThreadPoolExecutor(1) as pool:
        print(*pool.map(f, (1, 2)))
else:
    print(f(1), f(2))
values = {1: 2, 2: 2}
f.uncache(1)
g.uncache(2)
print(f(1), g(1), f(2), g(2), caches[0].set("k", 1), caches[1].get("k"), caches[1].clear(), caches[0].get("k"))
"""


@pytest.mark.parametrize("thread", ["same", "other"])
@pytest.mark.parametrize("size", [0, 5000])
@pytest.mark.parametrize("side", ["-shared", "-shm"])
def test_a_file_in_memory_that_somebody_empties_kills_nobody(side: str, size: int, thread: str, path: Path) -> None:
    said = output_of(EMPTIED, path, side, str(size), thread)
    assert said == "1 1 1 1\n1 1\n2 2 2 2 True 1 True None\n"
