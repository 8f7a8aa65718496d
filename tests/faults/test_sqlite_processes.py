"""SQLiteCache among processes: forks, kills at any moment, leases of the dead, numbers counted by many."""

import contextlib
import multiprocessing
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time

from memocache import SQLiteCache, cached
from memocache.backends.base import Busy, Lease
from tests.support.forks import UNDER_LOAD
from tests.support.processes import all_end_well
from tests.support.strict import run_strictly

_spawn = multiprocessing.get_context("spawn")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


def is_whole(path: Path) -> bool:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# ---- kill -9 ---------------------------------------------------------------------------------------------------------


TAKES_A_LEASE = """
import os, signal, sys, time
from memocache import SQLiteCache
lease = SQLiteCache(sys.argv[1]).look("key", (), time.time(), 60)
os.kill(os.getpid(), signal.SIGKILL)
"""

FILLS_FOR_EVER = """
import sys
from memocache import SQLiteCache
cache = SQLiteCache(sys.argv[1])
print("ready", flush=True)
while True:
    cache.set_many({str(number): b"x" * 2000 for number in range(500)})
    cache.clear()
"""


def test_the_lease_of_a_process_that_was_killed_runs_out(path: Path) -> None:
    with freeze_time(real_asyncio=True) as clock:
        run = subprocess.run([sys.executable, "-c", TAKES_A_LEASE, str(path)], check=False, timeout=60)
        assert run.returncode < 0
        cache = SQLiteCache(path)
        seen = cache.look("key", (), clock().timestamp(), 60)
        assert seen == Busy(None)  # nobody in this process has it
        clock.tick(timedelta(seconds=90))
        assert isinstance(cache.look("key", (), clock().timestamp(), 60), Lease)


IS_CALLED_LAST = """
import atexit, sys
atexit.register(lambda: print(f(1), f.info().hits))  # after weakref has closed the file
from memocache import SQLiteCache, cached
from memocache.backends.sqlite import file
file.CHECK_INTERVAL = -1
f = cached(cache=SQLiteCache(sys.argv[1]), namespace="f")(lambda x: x)
f(1)
"""


def test_a_call_at_the_very_end_of_a_process_leaves_what_is_there(path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", IS_CALLED_LAST, str(path)], capture_output=True, check=True, timeout=60)
    assert (run.stdout, run.stderr) == (b"1 1\n", b"")
    assert cached(cache=SQLiteCache(path), namespace="f")(lambda x: x).peek(1) == 1


def test_a_large_transaction_that_was_killed_leaves_all_or_nothing(path: Path) -> None:
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", FILLS_FOR_EVER, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
            process.kill()
        cache = SQLiteCache(path)
        assert sum(map(cache.has, map(str, range(500)))) in (0, 500)
        assert cache.set("k", 1)
        assert is_whole(path)
        cache.close()


# ---- counting --------------------------------------------------------------------------------------------------------


def _count(path: Path, ready: Any) -> None:
    cache = SQLiteCache(path, timeout=10)
    ready.wait(60)
    for _ in range(200):
        cache.inc("a")
        cache.dec("b", 2)


def test_many_processes_count_to_the_same_number(path: Path) -> None:
    ready = _spawn.Barrier(3)
    all_end_well([_spawn.Process(target=_count, args=(path, ready)) for _ in range(3)])
    assert SQLiteCache(path).get_many("a", "b") == [600, -1200]


# ---- fork ------------------------------------------------------------------------------------------------------------

PREAMBLE = """
import json, os, sys, threading
from memocache import SQLiteCache, cached
from tests.support.forks import child
path = json.loads(sys.argv[1])
cache = SQLiteCache(path, timeout=10)
"""

INHERITS_NOTHING = """
def connections():
    return [os.readlink(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{each}")].count(path)

cache.set("k", 1)
assert connections() == 1
print(child(lambda: [connections(), cache.get("k"), cache.set("k", 2), cache.get("k")]), cache.get("k"))
"""

OUTLIVES_ITS_PARENT = """
# The child's writes must not be lost when the parent, which opened the file first, is the last but one to close it.
cache.set("k", 1)
read, write = os.pipe()
pid = os.fork()
if not pid:
    cache.set("k", 2)
    os.read(read, 1)
    cache.set("k", 3)
    f = cached(cache=cache, namespace="f")(lambda: "old")
    f()
    os._exit(0)
while cache.get("k") != 2:
    pass
cache.close()
os.write(write, b"x")
assert os.waitpid(pid, 0)[1] == 0
print(cache.get("k"), cached(cache=cache, namespace="f")(lambda: "new")())
"""

IN_A_TRANSACTION = """
def work(execute):
    execute("DELETE FROM entries WHERE id = 5")
    execute("INSERT INTO entries VALUES (5, 0, x'')")
    if not seen:
        seen.append(child(lambda: [cache.get("k"), cache.set("k", 2), cache.get("k")]))

cache.set("k", 1)
seen = []
cache._database._run(lambda on: on.transact(lambda: work(on.execute)), changes=())
print(seen, cache.get("k"), cache._database._run(lambda on: on.execute("SELECT count(*) FROM entries").fetchone()))
"""


def output_of(script: str, path: Path) -> str:
    return run_strictly(PREAMBLE + script, str(path))


def test_a_child_inherits_no_connection(path: Path) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("there is no /proc here to look into")
    assert output_of(INHERITS_NOTHING, path) == "[0, 1, True, 2] 2\n"


def test_a_child_that_outlives_its_parents_connection_loses_nothing(path: Path) -> None:
    assert output_of(OUTLIVES_ITS_PARENT, path) == "3 old\n"
    assert is_whole(path)


def test_children_forked_under_load_work(path: Path) -> None:
    assert output_of(UNDER_LOAD, path) == ""
    assert is_whole(path)


def test_a_transaction_that_forks_begins_again(path: Path) -> None:
    # It was undone before the fork, so that the child did not have to wait for it.
    assert output_of(IN_A_TRANSACTION, path) == "['[1, True, 2]'] 2 (2,)\n"


# ---- marks -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def caches(path: Path) -> Iterator[list[SQLiteCache]]:
    caches = [SQLiteCache(path) for _ in range(2)]
    yield caches
    for cache in caches:
        cache.close()


def test_a_hit_does_not_read_the_file_while_nothing_changes(caches: list[SQLiteCache], monkeypatch: Any) -> None:
    here, there = caches
    here.set("k", 1)
    assert there.get("k") == 1
    monkeypatch.setattr("memocache.backends.sqlite.cache.ticks", lambda: 0.0)  # no time passes in which a file could go
    assert there.get("k") == 1
    read = []
    connection = there._database._connections.current()
    assert connection is not None
    connection.sql.set_trace_callback(read.append)
    assert there.get("k") == 1
    assert read == []
    here.set("k", 2)
    assert there.get("k") == 2
    assert len(read) == 1


def test_every_change_is_seen_elsewhere_at_once(caches: list[SQLiteCache]) -> None:
    here, there = caches
    changes = [
        (lambda: here.set("k", 1), 1),
        (lambda: here.inc("k"), 2),
        (lambda: here.delete("k"), None),
        (lambda: here.add("k", 3), 3),
        (lambda: here.set_many({"k": 4}), 4),
        (lambda: here.delete_many("k"), None),
        (lambda: here.set_many({"k": 5, "l": 6}), 5),
        (here.clear, None),
    ]
    for change, value in changes * 3:
        change()
        assert [there.get("k"), there.get("k"), here.get("k")] == [value] * 3


def test_nobody_is_told_of_a_change_before_everybody(path: Path, caches: list[SQLiteCache], monkeypatch: Any) -> None:
    # Between the change and its mark.
    here, there = caches
    third = SQLiteCache(path)
    monkeypatch.setattr("memocache.backends.sqlite.cache.ticks", lambda: 0.0)
    here.set("k", "old")
    assert [there.get("k"), there.get("k")] == ["old", "old"]
    with monkeypatch.context() as without:
        without.setattr(here._database._file, "mark_changed", lambda ids: None)
        here.set("k", "new")
        assert third.get("k") == "new"
        assert there.get("k") == "new"
        here.delete("k")
        assert third.get("k") is None
        assert there.get("k") is None
    third.close()


def test_those_who_share_a_mark_do_not_take_it_from_each_other_for_ever(
    caches: list[SQLiteCache], monkeypatch: Any
) -> None:
    here, there = caches
    monkeypatch.setattr("memocache.backends.sqlite.file.MARKS", 1)
    monkeypatch.setattr("memocache.backends.sqlite.cache.ticks", lambda: 0.0)
    keys = [f"k{number}" for number in range(4)]
    for key in keys:
        here.set(key, key)
    for _ in range(3):
        assert [cache.get(key) for cache in caches for key in keys] == keys * 2
    marks = list(there._database._file.shared.marks)
    assert [cache.get(key) for cache in caches for key in keys] == keys * 2
    assert list(there._database._file.shared.marks) == marks


def test_a_change_whose_mark_was_never_made_is_seen_by_whoever_wants_to_replace_it(
    caches: list[SQLiteCache], monkeypatch: Any
) -> None:
    # Its process was killed in between.
    here, there = caches
    with freeze_time("2030-01-01") as clock:
        first = here.look("k", (), clock().timestamp(), 60)
        assert isinstance(first, Lease)
        for _ in range(2):  # what is read anew the second time may be trusted from then on
            assert there.look("k", (), clock().timestamp(), 60) == Busy(None)
        with monkeypatch.context() as without:
            without.setattr(here._database._file, "mark_changed", lambda ids: None)
            without.setattr("memocache.backends.sqlite.cache.ticks", lambda: 0.0)
            here.clear()
            here.set("k", "new")
            assert there.look("k", (), clock().timestamp(), 60) == Busy(None)
            clock.tick(61)
            assert there.look("k", (), clock().timestamp(), 60).value == "new"
