"""Volumes: directories of others, disks that are soon full, and a log that somebody keeps from being emptied."""

import contextlib
import logging
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memocache import SQLiteCache, UncacheFailed, cached

needs_root = pytest.mark.skipif(
    hasattr(os, "geteuid") and os.geteuid() != 0, reason="only root can make files of other users"
)
STRANGER = 12345
MEBIBYTE = 2**20


# ---- directories -----------------------------------------------------------------------------------------------------

VOLUMES = {
    "emptyDir": (0, -1, 0o777),
    "fsGroup": (0, STRANGER, 0o2777),
    "fsGroup, group only": (0, STRANGER, 0o2775),
    "of root": (0, 0, 0o775),
    "of root, sticky": (0, 0, 0o1777),
    "of another user": (STRANGER, STRANGER, 0o755),
    "ours, for a group": (None, STRANGER, 0o2775),
    "ours, for all": (None, -1, 0o777),
}
AS_OTHER_USER = """
import grp, os, pwd, sys
from memocache import ConfigurationError, SQLiteCache, cached
user, path = int(sys.argv[1]), sys.argv[2]
cached(cache=SQLiteCache(path + "-of-root", allow_shared_directory=True), namespace="f")(lambda: 0)()  # imports all
os.setgroups([12345, 0])
os.setgid(user)
os.setuid(user)
os.umask(0)
options = {}
for _ in range(4):
    try:
        cache = SQLiteCache(path, **options)
        break
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        problem, _, first = str(error).partition("; ")
        remedy = first.partition("; or ")[0]
        if remedy == "run chmod go-w":
            folder = os.path.dirname(path)
            os.chmod(folder, os.stat(folder).st_mode & 0o7755)
        elif "inside" in remedy:
            path = remedy.rpartition(": ")[2]
        else:
            if "allow_shared_directory=True" not in first:
                sys.exit("we cannot write there: " + first)
            options["allow_shared_directory"] = True
f = cached(cache=cache, namespace="f")(lambda x: x)
f(1), f(1)
stored = os.path.exists(cache._database.path)
print(f.info().hits, "of 1" + (f", mode 0{os.stat(cache._database.path).st_mode & 0o777:o}" if stored else ""))
"""


@needs_root
@pytest.mark.parametrize("volume", VOLUMES)
def test_the_advice_works_on_every_volume_of_a_container(volume: str) -> None:
    # Where nobody but root can come, unlike into pytest's directories.
    with tempfile.TemporaryDirectory() as above:
        os.chmod(above, 0o755)
        mounted = Path(above, "volume")
        mounted.mkdir()
        owner, group, permissions = VOLUMES[volume]
        os.chown(mounted, 1234 if owner is None else owner, group)
        mounted.chmod(permissions)
        run = subprocess.run(
            [sys.executable, "-c", AS_OTHER_USER, "1234", str(mounted / "cache.db")],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if volume == "of another user":
            assert run.stderr.endswith("we cannot write there: choose a path that is yours\n")
        else:
            assert run.stdout == "1 of 1, mode 0600\n", run.stderr


# ---- disks that are soon full ----------------------------------------------------------------------------------------


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Return a function that mounts a disk of so many MiB."""
    disks: list[Path] = []

    def mounted(size: int) -> Path:
        disk = tmp_path / f"disk{len(disks)}"
        disk.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m,mode=700", "tmpfs", str(disk)], check=False)
        if done.returncode:
            pytest.skip("only root may mount a file system that is soon full")
        disks.append(disk)
        return disk

    yield mounted
    for disk in disks:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("size", [5000, 100_000])
def test_the_disk_is_a_limit_like_any(size: int, mount: Callable[[int], Path]) -> None:
    path = mount(12) / "c.db"
    cache = SQLiteCache(path)
    f = cached(cache=cache, namespace="f")(lambda x: f"{x}" + "x" * size)
    count = 20 * MEBIBYTE // size
    for x in range(count):
        f(x)
    assert f.info().failures == 0
    assert f.info().stored == count
    hits = f.info().hits
    assert f(count - 1) == f"{count - 1}" + "x" * size
    assert f.info().hits == hits + 1
    assert sum(each.stat().st_size for each in path.parent.iterdir()) <= 12 * MEBIBYTE
    assert f.uncache(count - 1) is True
    assert f(count - 1)
    assert SQLiteCache(path).get(f.key(count - 1))  # another process finds it
    assert cache.clear() is True
    assert cache.set("k", "v")


def test_a_disk_that_others_fill_up_costs_entries_and_nothing_else(
    mount: Callable[[int], Path], caplog: pytest.LogCaptureFixture
) -> None:
    disk = mount(24)
    cache = SQLiteCache(disk / "c.db")
    f = cached(cache=cache, namespace="f")(lambda x: f"{x}" + "x" * 20_000)
    for x in range(400):
        f(x)
    fill(disk / "of others")
    with caplog.at_level(logging.WARNING, "memocache"):
        for x in range(1000, 1400):
            f(x)
            assert f.uncache(x) in (True, False)
            f(x)
    info = f.info()
    assert info.failures <= 1  # where a lease went with the file
    assert f(1399)[:4] == "1399"
    assert f.info().hits == info.hits + 1
    assert len(caplog.messages) <= 2
    fill(disk / "more of others")
    assert cache.clear() is True
    assert cache.set("k", "v")
    assert cache.get("k") == "v"


def fill(path: Path) -> None:
    """Take the rest of the disk."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


def test_a_value_that_the_disk_has_no_room_for_costs_no_others(mount: Callable[[int], Path]) -> None:
    cache = SQLiteCache(mount(12) / "c.db")
    cache.set_many({str(number): "x" * 1000 for number in range(500)})
    f = cached(cache=cache, namespace="f")(lambda x: "x" * x)
    assert len(f(6 * MEBIBYTE)) == 6 * MEBIBYTE
    assert f.info().failures == 1
    assert not f.uncache(6 * MEBIBYTE)  # no lease is left, for which other processes would wait
    assert sum(value is not None for value in cache.get_many(*map(str, range(500)))) > 400


def test_a_full_disk_is_not_trouble_in_the_application(mount: Callable[[int], Path]) -> None:
    cache = SQLiteCache(mount(1) / "c.db", size_limit=16 * MEBIBYTE)
    f = cached(cache=cache, namespace="f")(lambda x: "x" * 5000)
    assert {f(x) for x in range(300)} == {"x" * 5000}
    # A file that begins anew knows nothing of the lease of the call that found the disk full.
    assert f.info().stored in (299, 300)
    assert f.info().failures == 0
    assert f.peek(299) == "x" * 5000
    for number in range(2000):  # touches all of the shared memory, which has its room
        cache.has(str(number))


def test_a_disk_that_is_full_from_the_beginning_is_not_either(mount: Callable[[int], Path]) -> None:
    cache = SQLiteCache(mount(1) / "c.db")  # would need more than there is for what the processes share
    f = cached(cache=cache, namespace="f")(lambda x: x)
    assert [f(1), f(1), f(1)] == [1, 1, 1]
    assert f.info().failures == 3
    with pytest.raises(UncacheFailed, match="No space left on device"):
        f.uncache(1)


# ---- the log ---------------------------------------------------------------------------------------------------------


def test_a_reader_that_stays_does_not_make_the_log_grow_without_a_limit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "c.db"
    cache = SQLiteCache(path, size_limit=8 * MEBIBYTE)
    cache.set("k", "before")
    largest = 0
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entries").fetchone()
        with caplog.at_level(logging.WARNING, "memocache"):
            for number in range(1500):
                cache.set(str(number), "x" * 10_000)
                largest = max(largest, Path(f"{path}-wal").stat().st_size)
                assert cache.get(str(number)) is not None
        assert reader.execute("SELECT count(*) FROM entries").fetchone() == (1,)  # it still reads what it read
    assert largest < 8 * MEBIBYTE
    assert cache.get("1499") == "x" * 10_000
    assert caplog.messages == [
        f"the cache in {path} begins anew: somebody reads from it for long, and its log would grow without a limit"
    ]


def test_the_log_is_emptied_where_nobody_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = SQLiteCache(tmp_path / "c.db", size_limit=64 * MEBIBYTE)
    with caplog.at_level(logging.WARNING, "memocache"):
        for number in range(60):
            cache.set(str(number), "x" * MEBIBYTE)
            assert cache.get(str(number)) == "x" * MEBIBYTE
    assert caplog.messages == []
