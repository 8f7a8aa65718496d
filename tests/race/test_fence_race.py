"""The measured race for the fence (see tests/support/race.py), and that it catches who has none."""

import contextlib
import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import race
from tests.support.redis_servers import RedisCluster, RedisServer
from tests.support.servers import MemcachedServer

SECONDS = float(os.environ.get("MEMOCACHE_RACE_SECONDS") or 2)
ENOUGH_READS = 1000 * SECONDS


def show(name: str, tally: race.Tally, record_property: Callable[[str, object], None]) -> None:
    record_property(name, tally)
    print(f"{name}: {tally}")


def test_no_stale_read_in_four_processes(
    memcached_factory: Callable[..., MemcachedServer], record_property: Callable[[str, object], None]
) -> None:
    address = memcached_factory().address
    check(race.naive_memcached, race.our_memcached, address, record_property)


def test_no_stale_read_on_sqlite(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    check(race.naive_sqlite, race.our_sqlite, str(tmp_path / "cache.db"), record_property, naive_at="-naive")


def test_no_stale_read_on_redis(own_redis: RedisServer, record_property: Callable[[str, object], None]) -> None:
    check(race.naive_redis, race.our_redis, own_redis.url, record_property)


def test_no_stale_read_on_redis_in_tasks(
    own_redis: RedisServer, record_property: Callable[[str, object], None]
) -> None:
    hold(race.our_redis_in_tasks, own_redis.url, record_property)


def test_no_stale_read_on_a_cluster(redis_binary: str, record_property: Callable[[str, object], None]) -> None:
    with RedisCluster(redis_binary) as cluster:
        hold(race.our_redis, cluster.url, record_property)


def hold(maker: Any, where: Any, record_property: Callable[[str, object], None]) -> None:
    ours = race.in_processes(maker, where, SECONDS)
    show("ours", ours, record_property)
    assert ours.stale == 0
    assert ours.reads > ENOUGH_READS / 4


def test_no_tier_serves_what_was_forgotten_longer_than_near_timeout(
    memcached_factory: Callable[..., MemcachedServer], record_property: Callable[[str, object], None]
) -> None:
    address = memcached_factory().address
    late = race.in_processes(race.late_tiers, address, SECONDS / 2)
    show("late", late, record_property)
    assert late.stale > 0, "the race is too slow to catch anybody"
    check(race.naive_tiers, race.our_tiers, address, record_property)


def check(
    naive: Any, ours: Any, where: Any, record_property: Callable[[str, object], None], *, naive_at: Any = None
) -> None:
    judge(
        race.in_processes(naive, where if naive_at is None else where + naive_at, SECONDS / 2),
        race.in_processes(ours, where, SECONDS),
        record_property,
    )


def judge(caught: race.Tally, held: race.Tally, record_property: Callable[[str, object], None]) -> None:
    show("naive", caught, record_property)
    show("ours", held, record_property)
    assert caught.stale > 0, "the race is too slow to catch anybody"
    assert held.stale == 0
    assert held.reads > ENOUGH_READS
    assert held.forgotten > ENOUGH_READS / 50
    assert 0 < held.computed < held.reads  # it is a cache all the same


def test_no_stale_read_in_eight_threads_with_tiers(
    memcached_factory: Callable[..., MemcachedServer], record_property: Callable[[str, object], None]
) -> None:
    address = memcached_factory().address
    with race.quick_switches():
        naive = race.in_threads(race.naive_tiers, address, race.Truth(), SECONDS / 2, threads=8)
        ours = race.in_threads(race.our_tiers, address, race.Truth(), SECONDS, threads=8)
    judge(naive, ours, record_property)


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
    judge(naive, ours, record_property)


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
