"""The measured race for the fence (see tests/race.py), and that it catches who has none."""

import contextlib
import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import race
from tests.servers import MemcachedServer

LONG = os.environ.get("MEMOCACHE_LONG") == "1"
SECONDS = float(os.environ.get("MEMOCACHE_RACE_SECONDS") or (8 if LONG else 2))
ENOUGH_READS = 1000 * SECONDS


def show(name: str, tally: race.Tally, record_property: Callable[[str, object], None]) -> None:
    record_property(name, tally)
    print(f"{name}: {tally}")


@pytest.mark.parametrize("kind", ["memcached", "sqlite"])
def test_no_stale_read_in_four_processes(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    on_memcached = kind == "memcached"
    where = request.getfixturevalue("memcached_factory")().address if on_memcached else str(tmp_path / "cache.db")
    naive = race.in_processes(getattr(race, f"naive_{kind}"), where if on_memcached else f"{where}-naive", SECONDS / 2)
    ours = race.in_processes(getattr(race, f"our_{kind}"), where, SECONDS)
    show("naive", naive, record_property)
    show("ours", ours, record_property)
    assert naive.stale > 0, "the race is too slow to catch anybody"
    assert ours.stale == 0
    assert ours.reads > ENOUGH_READS
    assert ours.forgotten > ENOUGH_READS / 50
    assert 0 < ours.computed < ours.reads  # it is a cache all the same


def test_no_stale_read_from_somebody_else_s_files(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    naive = race.in_processes(race.naive_files, str(tmp_path / "naive"), SECONDS / 2)
    ours = race.in_processes(race.our_files, str(tmp_path / "ours"), SECONDS)
    show("naive", naive, record_property)
    show("ours", ours, record_property)
    assert naive.stale > 0, "the race is too slow to catch anybody"
    assert ours.stale == 0
    assert ours.reads > ENOUGH_READS / 10
    assert ours.forgotten > ENOUGH_READS / 500
    assert 0 < ours.computed < ours.reads


def test_no_stale_read_through_somebody_else_s_client(
    memcached_factory: Callable[..., MemcachedServer], record_property: Callable[[str, object], None]
) -> None:
    ours = race.in_processes(race.our_client, memcached_factory().address, SECONDS)
    show("ours", ours, record_property)
    assert ours.stale == 0
    assert ours.reads > ENOUGH_READS / 2
    assert 0 < ours.computed < ours.reads


def test_no_stale_read_in_eight_threads(record_property: Callable[[str, object], None]) -> None:
    with race.quick_switches():
        naive = race.in_threads(race.naive_dict, None, race.Truth(), SECONDS / 2, threads=8)
        ours = race.in_threads(race.our_simple, None, race.Truth(), SECONDS, threads=8)
    show("naive", naive, record_property)
    show("ours", ours, record_property)
    assert naive.stale > 0, "the race is too slow to catch anybody"
    assert ours.stale == 0
    assert ours.reads > ENOUGH_READS
    assert ours.forgotten > ENOUGH_READS / 50
    assert 0 < ours.computed < ours.reads


def test_no_stale_read_while_the_file_is_removed_and_broken(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    path = tmp_path / "cache.db"
    over = threading.Event()
    harm = Counter[str]()

    def hurt() -> None:
        chance = random.Random()
        while not over.wait(0.05 + 0.2 * chance.random()):
            what = chance.choice(["database", "all", "broken"])
            with contextlib.suppress(FileNotFoundError):
                if what == "broken":
                    with path.open("r+b") as file:
                        file.write(b"x" * 4096 * 3)
                else:
                    for each in sorted(tmp_path.glob("cache.db*" if what == "all" else "cache.db")):
                        each.unlink()
                harm[what] += 1

    hurting = threading.Thread(target=hurt)
    hurting.start()
    try:
        ours = race.in_processes(race.our_shaky_sqlite, str(path), SECONDS)
    finally:
        over.set()
        hurting.join()
    show(f"ours, file {dict(harm)}", ours, record_property)
    assert harm.total() > SECONDS
    assert ours.stale == 0
    assert ours.reads > 100 * SECONDS
