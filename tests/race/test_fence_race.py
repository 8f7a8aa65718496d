"""The measured race for the fence (see tests/support/race.py), and that it catches who has none."""

import contextlib
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import race
from tests.support.redis_servers import RedisCluster

SECONDS = float(os.environ.get("MEMOCACHE_RACE_SECONDS") or 2)
ENOUGH_READS = 1000 * SECONDS

Record = Callable[[str, object], None]


@pytest.fixture
def where(place: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The server, file or folder at which the race takes place; None: in the process."""
    if place == "memcached":
        yield request.getfixturevalue("memcached_factory")().address
    elif place == "Redis":
        yield request.getfixturevalue("own_redis").url
    elif place == "cluster":
        with RedisCluster(request.getfixturevalue("redis_binary")) as cluster:
            yield cluster.url
    else:
        yield str(request.getfixturevalue("tmp_path") / place) if place else None


def caught(tally: race.Tally, record_property: Record) -> None:
    record_property("naive", tally)
    assert tally.stale > 0, "the race is too slow to catch anybody"


def held(tally: race.Tally, record_property: Record, part: float = 1) -> None:
    """Nothing was stale, and there was enough to do: a *part* of what is usual."""
    record_property("ours", tally)
    assert tally.stale == 0
    assert tally.reads > part * ENOUGH_READS
    assert tally.forgotten > part * ENOUGH_READS / 50
    assert 0 < tally.computed < tally.reads  # it is a cache all the same


@pytest.mark.parametrize(
    ("naive", "ours", "place", "part"),
    [
        (race.naive_memcached, race.our_memcached, "memcached", 1),
        (race.naive_sqlite, race.our_sqlite, "cache.db", 1),
        (race.naive_redis, race.our_redis, "Redis", 1),
        (None, race.our_redis_in_tasks, "Redis", 1 / 4),
        (None, race.our_redis, "cluster", 1 / 4),
        (race.naive_files, race.our_files, "files", 1 / 10),
        (None, race.our_client, "memcached", 1 / 2),
        (race.naive_versions, race.memcached_versions, "memcached", 1),
        (None, race.sqlite_versions, "cache.db", 1 / 2),
        (None, race.redis_versions, "Redis", 1),
        (None, race.redis_versions, "cluster", 1 / 4),
        (None, race.file_versions, "files", 1 / 10),
    ],
)
def test_no_stale_read_in_four_processes(
    naive: Any, ours: Any, where: str, part: float, tmp_path: Path, record_property: Record
) -> None:
    if naive:
        naive_at = str(tmp_path / "naive") if where.startswith(str(tmp_path)) else where
        caught(race.in_processes(naive, naive_at, SECONDS / 2), record_property)
    held(race.in_processes(ours, where, SECONDS), record_property, part)


@pytest.mark.parametrize(
    ("naive", "ours", "place"),
    [
        (race.naive_dict, race.our_simple, ""),
        (race.naive_tiers, race.our_tiers, "memcached"),
        (None, race.simple_versions, ""),
    ],
)
def test_no_stale_read_in_eight_threads(naive: Any, ours: Any, where: Any, record_property: Record) -> None:
    with race.quick_switches():
        if naive:
            caught(race.in_threads(naive, where, race.Truth(), SECONDS / 2, threads=8), record_property)
        held(race.in_threads(ours, where, race.Truth(), SECONDS, threads=8), record_property)


@pytest.mark.parametrize("place", ["memcached"])
def test_no_tier_serves_what_was_forgotten_longer_than_near_timeout(where: Any, record_property: Record) -> None:
    caught(race.in_processes(race.late_tiers, where, SECONDS / 2), record_property)
    caught(race.in_processes(race.naive_tiers, where, SECONDS / 2), record_property)
    held(race.in_processes(race.our_tiers, where, SECONDS), record_property)


def test_no_stale_read_while_the_file_is_removed_and_broken(tmp_path: Path, record_property: Record) -> None:
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
    record_property(f"file {dict(harm)}", ours)
    assert harm.total() > SECONDS
    assert ours.stale == 0
    assert ours.reads > 100 * SECONDS
