"""The measured race for the fence (see tests/race.py), and that it catches who has none."""

import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests import race
from tests.redis_servers import RedisCluster, RedisServer
from tests.servers import MemcachedServer, Server

LONG = os.environ.get("MEMOCACHE_LONG") == "1"
SECONDS = float(os.environ.get("MEMOCACHE_RACE_SECONDS") or (8 if LONG else 2))
ENOUGH_READS = 1000 * SECONDS


def show(name: str, tally: race.Tally, record_property: Callable[[str, object], None]) -> None:
    record_property(name, tally)
    print(f"{name}: {tally}")


def test_no_stale_read_in_four_processes(
    memcached_factory: Callable[..., MemcachedServer], record_property: Callable[[str, object], None]
) -> None:
    address = memcached_factory().address
    check(race.naive_memcached, race.our_memcached, address, record_property)


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


def check(naive: Any, ours: Any, where: Any, record_property: Callable[[str, object], None]) -> None:
    caught = race.in_processes(naive, where, SECONDS / 2)
    held = race.in_processes(ours, where, SECONDS)
    show("naive", caught, record_property)
    show("ours", held, record_property)
    assert caught.stale > 0, "the race is too slow to catch anybody"
    assert held.stale == 0
    assert held.reads > ENOUGH_READS
    assert held.forgotten > ENOUGH_READS / 50
    assert 0 < held.computed < held.reads  # it is a cache all the same


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


def test_no_stale_read_while_the_server_is_killed_and_stopped(
    memcached_factory: Callable[..., MemcachedServer], record_property: Callable[[str, object], None]
) -> None:
    server = memcached_factory()
    survive(race.our_shaky_memcached, server, server.address, record_property)


def test_no_stale_read_while_redis_is_killed_and_stopped(
    own_redis: RedisServer, record_property: Callable[[str, object], None]
) -> None:
    survive(race.our_shaky_redis, own_redis, own_redis.url, record_property)


def survive(maker: Any, server: Server, where: Any, record_property: Callable[[str, object], None]) -> None:
    over = threading.Event()
    harm = Counter[str]()

    def hurt() -> None:
        chance = random.Random()
        while not over.wait(0.05 + 0.2 * chance.random()):
            if chance.random() < 0.7:
                server.restart()  # kill -9: what it held is lost, and memcached counts its cas ids from 1 again
                harm["killed"] += 1
            else:
                server.pause()
                over.wait(0.15)
                server.resume()
                harm["stopped"] += 1

    hurting = threading.Thread(target=hurt)
    hurting.start()
    try:
        ours = race.in_processes(maker, where, SECONDS)
    finally:
        over.set()
        hurting.join()
    show(f"ours, server {dict(harm)}", ours, record_property)
    assert harm.total() > SECONDS
    assert ours.stale == 0
    assert ours.reads > 100 * SECONDS
