"""The doctor: `memocache doctor` on servers that are set up well, and on those that are not."""

import asyncio
import contextlib
import os
import re
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time
from typing import Any

import pytest
import redis as redis_py
from freezegun import freeze_time

from memocache import ForeignCache, cache_from_url, cached
from memocache._doctor import Doctor
from memocache._entry import SECOND, Entry
from memocache.backends.base import call_verb
from memocache.cli import main
from memocache.keys import all_tag
from memocache.stats import share
from tests.support.redis_servers import RedisCluster, RedisServer
from tests.support.servers import MemcachedBinary, MemcachedServer, TlsMemcachedServer, wait_until
from tests.support.threads import PATIENCE, start

GOOD_REDIS = {
    "maxmemory": "256mb",
    "maxmemory-policy": "allkeys-lru",
    "save": "",
    "appendonly": "no",
    "appendfsync": "everysec",
}


@pytest.fixture(scope="module")
def redis(redis_binary: str) -> Iterator[RedisServer]:
    with RedisServer(binary=redis_binary) as server:
        yield server


@pytest.fixture
def examine(capsys: pytest.CaptureFixture[str]) -> Callable[[str], tuple[int, dict[str, str], list[str]]]:
    """Returns the exit status, the figures that were told, and the troubles."""

    def examine(url: str) -> tuple[int, dict[str, str], list[str]]:
        status = main(["doctor", url])
        told = capsys.readouterr()
        lines = told.out.splitlines()
        troubles = [line.removeprefix("! ") for line in lines if line.startswith("! ")]
        assert (status, bool(told.err)) == ((1, True) if troubles else (0, False))
        return status, {line[:12].strip(): line[12:] for line in lines if line[11:12] == " "}, troubles

    return examine


Examine = Callable[[str], tuple[int, dict[str, str], list[str]]]
Start = Callable[..., MemcachedServer]


@pytest.fixture
def start_memcached(memcached_binary: MemcachedBinary) -> Iterator[Start]:
    """Starts memcacheds with options of the command line."""
    with ExitStack() as servers:

        def start(*options: str) -> MemcachedServer:
            server = MemcachedServer(binary=memcached_binary)
            server._options += options
            return servers.enter_context(server)

        yield start


def url_of(redis: RedisServer, prefix: str, user: str = "") -> str:
    return f"unix://{user}{redis.address}?prefix={prefix}&timeout=10"


def set_up(redis: RedisServer, **settings: str) -> None:
    with redis.client() as client:
        for name, value in {**GOOD_REDIS, **settings}.items():
            client.config_set(name, value)


# ---- Redis -----------------------------------------------------------------------------------------------------------


def test_a_redis_that_is_set_up_well(redis: RedisServer, prefix: str, examine: Examine) -> None:
    set_up(redis)
    status, figures, _ = examine(url_of(redis, prefix))
    assert status == 0
    assert figures["server"].startswith(f"redis at {redis.address}, version ")
    assert figures["memory"].endswith("of 268 MB, allkeys-lru; 0 evicted")
    assert figures["restart"] == "begins empty"
    assert "this host's" in figures["clock"]
    with redis.client() as client:
        assert not list(client.scan_iter(f"*{prefix}*"))  # of what was tried nothing is left


@pytest.mark.parametrize(
    ("settings", "trouble"),
    [
        ({"maxmemory": "0"}, "has no maxmemory, so it grows until the machine has no memory left. Set maxmemory, and "),
        ({"maxmemory-policy": "noeviction"}, "noeviction: when it is full, results are not stored any more. Set it to"),
        ({"save": "3600 1"}, "makes snapshots (save '3600 1'): killed and started again, it serves what was forgotten"),
        ({"appendonly": "yes"}, "with fsync everysec: killed and started again, it may serve what was forgotten in"),
    ],
)
def test_a_redis_that_is_not(
    redis: RedisServer, prefix: str, examine: Examine, settings: dict[str, str], trouble: str
) -> None:
    set_up(redis, **settings)
    _, _, troubles = examine(url_of(redis, prefix))
    assert len(troubles) == 1
    assert troubles[0].startswith(f"redis at {redis.address} ")
    assert trouble in troubles[0]


def test_a_redis_that_keeps_what_it_acknowledged(redis: RedisServer, prefix: str, examine: Examine) -> None:
    set_up(redis, appendonly="yes", appendfsync="always")
    status, figures, _ = examine(url_of(redis, prefix))
    assert (status, figures["restart"]) == (0, "keeps what is stored: an append-only file, fsync always")


@pytest.mark.parametrize("kind", ["redis", "memcached"])
def test_a_clock_that_is_wrong(
    kind: str, redis: RedisServer, start_memcached: Start, prefix: str, examine: Examine
) -> None:
    set_up(redis)
    url = url_of(redis, prefix) if kind == "redis" else f"memcached://{start_memcached().address}?prefix={prefix}"
    with freeze_time(datetime.now(UTC) - timedelta(minutes=10)):
        _, figures, (trouble,) = examine(url)
    minutes = r"(?:10 min(?: \d+ s)?|9 min 5\d s)"  # the other clock does not stand still
    assert re.fullmatch(rf"{minutes} ahead of this host's", figures["clock"])
    assert re.search(rf"and of this host differ by {minutes}: timeouts are wrong by as much, and beyond a min", trouble)
    assert trouble.endswith("Set the clocks of all hosts, by NTP")


def test_a_redis_that_is_full(redis_factory: Any, prefix: str, examine: Examine) -> None:
    redis = redis_factory("--maxmemory", "1", "--maxmemory-policy", "noeviction")
    _, _, (policy, refused) = examine(url_of(redis, prefix))
    assert "noeviction" in policy
    assert "refuses the command set (OOM " in refused
    assert refused.endswith(
        ", so results are computed each time. Raise maxmemory, or set maxmemory-policy to allkeys-lru"
    )


def test_commands_that_a_user_of_redis_may_not_give(redis: RedisServer, prefix: str, examine: Examine) -> None:
    set_up(redis)
    rules = ["+@all", "-evalsha", "-strlen", "-publish", "-hincrby", "-echo"]
    with redis.client() as client:
        client.execute_command("ACL", "SETUSER", "app", "reset", "on", ">pw", "~memocache*", *rules)
    url = url_of(redis, prefix, "app:pw@")
    _, _, troubles = examine(url)
    strlen, evalsha = troubles
    assert "refuses the command evalsha (NOPERM" in evalsha
    assert (
        "so results are computed each time. Allow its user the keys ~memocache*, and +evalsha (ACL SETUSER)" in evalsha
    )
    assert "so `memocache ls` does not work." in strlen
    _, _, troubles = examine(f"tiered+{url}")
    commands = [each.partition("refuses the ")[2].partition(" (")[0] for each in troubles]
    assert commands == ["command strlen", "command evalsha", "commands publish, subscribe"]
    assert troubles[2].endswith("the channels &memocache:told:*, and +publish +subscribe (ACL SETUSER)")


@pytest.mark.parametrize("login", ["", "default:wrong@", "nobody:pw@"])
def test_a_redis_that_wants_a_password(redis_factory: Any, prefix: str, examine: Examine, login: str) -> None:
    redis = redis_factory()
    with redis.client() as client:
        client.config_set("requirepass", "pw")
    _, _, (trouble,) = examine(url_of(redis, prefix, login))
    assert trouble.endswith(". Give the user and the password that it wants: redis://user:password@host")
    assert ".." not in trouble


def test_a_certificate_of_an_authority_that_nobody_knows(memcached_binary: MemcachedBinary, examine: Examine) -> None:
    with TlsMemcachedServer(binary=memcached_binary) as server:
        _, _, (trouble,) = examine("memcacheds://{}:{}".format(*server.address))
    assert "certificate verify failed" in trouble
    assert trouble.endswith(". Renew its certificate, or name its authority (ssl_ca_certs=)")


def test_a_user_of_redis_who_may_not_ask_for_figures(redis: RedisServer, prefix: str, examine: Examine) -> None:
    set_up(redis)
    with redis.client() as client:
        rules = ("+@all", "-info", "-config", "-time", "&*")
        client.execute_command("ACL", "SETUSER", "app", "reset", "on", ">pw", "~memocache*", *rules)
    status, figures, _ = examine(url_of(redis, prefix, "app:pw@"))
    assert status == 0
    assert figures[""] == "the rest is not told: the user may not ask INFO; allow it +info +config|get +time"


def test_each_server_of_a_cluster(redis_cluster: RedisCluster, prefix: str, examine: Examine) -> None:
    _, _, troubles = examine(f"{redis_cluster.url}?prefix={prefix}&timeout=10")
    assert len(troubles) == 3
    assert all("has no maxmemory" in each for each in troubles)


@pytest.mark.parametrize("read_only", ["yes", "no"])
def test_a_replica(redis_factory: Any, prefix: str, examine: Examine, read_only: str) -> None:
    replica = redis_factory("--replicaof", "127.0.0.1", "1", "--replica-read-only", read_only, "--maxmemory", "9mb")
    _, _, troubles = examine(url_of(replica, prefix))
    assert any("is a replica, which takes no writes. Name the master, or the sentinels" in each for each in troubles)
    refused = [each for each in troubles if "(READONLY " in each]
    assert [each.rpartition(". ")[2] for each in refused] == (
        ["Name the master, or the sentinels: redis+sentinel://"] if read_only == "yes" else []
    )


def test_a_redis_that_lacks_replicas(redis_factory: Any, prefix: str, examine: Examine) -> None:
    redis = redis_factory("--min-replicas-to-write", "1", "--maxmemory", "9mb", "--maxmemory-policy", "allkeys-lru")
    _, _, (trouble,) = examine(url_of(redis, prefix))
    assert "refuses the commands set, " in trouble
    assert trouble.endswith("See that its replicas run, or set min-replicas-to-write to 0")


def test_a_redis_that_is_busy(redis_factory: Any, prefix: str, examine: Examine) -> None:
    redis = redis_factory("--lua-time-limit", "1")
    with redis.client() as client, redis.client() as other:
        script = start(client.eval, "while true do end", 0)
        assert wait_until(lambda: _refuses(other))
        _, _, troubles = examine(url_of(redis, prefix))
        other.script_kill()
        with pytest.raises(redis_py.RedisError, match="killed"):
            script.result(PATIENCE)
    assert all(each.endswith("End the script that it runs (SCRIPT KILL)") for each in troubles)


def _refuses(client: "redis_py.Redis") -> bool:
    try:
        client.get("k")
    except redis_py.RedisError:
        return True
    return False


# ---- memcached -------------------------------------------------------------------------------------------------------


def test_a_memcached_that_is_set_up_well(start_memcached: Start, prefix: str, examine: Examine) -> None:
    server = start_memcached()
    status, figures, _ = examine(f"memcached://{server.address}?prefix={prefix}")
    assert status == 0
    assert figures["memory"].endswith(" of 33.6 MB; 0 evicted of 1 stored")
    assert figures["restart"] == "begins empty"


def test_a_memcached_that_evicts_nothing(start_memcached: Start, prefix: str, examine: Examine) -> None:
    server = start_memcached("-M")
    _, _, (trouble,) = examine(f"memcached://{server.address}?prefix={prefix}")
    assert trouble == (
        f"memcached at {server.address} runs with -M: when it is full, results are not stored any more. "
        "Start it without -M"
    )


def test_a_memcached_that_is_too_small(start_memcached: Start, prefix: str, examine: Examine) -> None:
    server = start_memcached("-m", "2")
    url = f"memcached://{server.address}?prefix={prefix}"
    cache = cache_from_url(url)
    for number in range(60):
        cache.set(f"{number}", "x" * 100_000)
    _, _, (trouble,) = examine(url)
    assert "items that were stored in it, for want of memory. Give it more (-m)" in trouble


def test_a_socket_that_every_user_may_speak_through(start_memcached: Start, prefix: str, examine: Examine) -> None:
    server = start_memcached("-a", "777")
    directory = os.path.dirname(server.address)
    before = stat.S_IMODE(os.stat(directory).st_mode)
    os.chmod(directory, 0o755)
    try:
        _, _, (trouble,) = examine(f"memcached://{server.address}?prefix={prefix}")
    finally:
        os.chmod(directory, before)
    assert trouble.startswith(f"other users of this machine may write to {server.address}, and so can read, forge and")


# ---- a file ----------------------------------------------------------------------------------------------------------


def test_a_file(tmp_path: Path, examine: Examine) -> None:
    url = f"sqlite:///{tmp_path}/own/cache.db?prefix=shop:"
    cache_from_url(url)
    status, figures, _ = examine(url)
    assert status == 0
    assert figures["size"].endswith(" of 1.07 GB")
    assert "power failure" in figures["restart"]


def test_a_file_in_which_somebody_writes_for_long(tmp_path: Path, examine: Examine) -> None:
    url = f"sqlite:///{tmp_path}/own/cache.db?timeout=10ms"
    cache_from_url(url)
    with contextlib.closing(sqlite3.connect(tmp_path / "own" / "cache.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        _, _, (trouble,) = examine(url)
    assert " does not take a value: SQLite at " in trouble
    assert trouble.endswith(" failed: database is locked")


def test_a_directory_in_which_others_may_write(tmp_path: Path, examine: Examine) -> None:
    shared = tmp_path / "volume"
    shared.mkdir()
    shared.chmod(0o777)
    url = f"sqlite:///{shared}/cache.db"
    cache_from_url(f"{url}?allow_shared_directory=true")
    _, _, (trouble,) = examine(f"{url}?allow_shared_directory=true")
    assert trouble.startswith(f"other users of this machine may write to {shared}, and so can read, forge and delete")
    assert main(["doctor", url]) == 1  # which is refused at once


# ---- functions -------------------------------------------------------------------------------------------------------


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/own/cache.db"


def test_a_timeout_that_is_shorter_than_its_computation(url: str, examine: Examine) -> None:
    cache = cache_from_url(url)
    for name, seconds in (("shop.slow", 30), ("shop.quick", 19)):
        lease = call_verb(cache.claim, name, (all_tag(name),), time(), 60)
        entry = Entry(name, 1, time() + seconds + 20, int(seconds * SECOND))
        assert call_verb(cache.fill, lease, entry)
    titles = {all_tag(name): name for name in ("shop.slow", "shop.quick")}
    troubles = list(Doctor(lambda line: None, titles).examine(cache))
    assert troubles == [
        "a result of shop.slow took 30 s to compute, and is kept for 20 s: raise its timeout, or let stale= serve "
        "it while it is computed again"
    ]
    assert examine(url)[0] == 0  # nobody knows whose results these are


def test_functions_that_do_not_need_a_cache(url: str, examine: Examine) -> None:
    cache = cache_from_url(url)
    functions = {}
    for name in ("never", "seldom", "good", "few"):
        functions[name] = cached(timeout=300, cache=cache, namespace=f"shop.{name}")(lambda x: x)
    with share(cache):
        for number in range(120):
            functions["never"](number)
            functions["good"](0)
        functions["few"](0)
        for number in range(1200):
            functions["seldom"](number)
        functions["seldom"](0)
    _, _, (never, seldom) = examine(url)
    assert never.startswith("shop.never was called 120 times, and never was a result found: leave out of its key what")
    assert seldom.startswith("shop.seldom has stored 1,200 results, and 0.1% of its calls found one: its keys grow wi")


# ---- somebody else's object ------------------------------------------------------------------------------------------


class AsyncDict:
    """An object whose methods are coroutine functions, of one event loop."""

    def __init__(self) -> None:
        self.held: dict[str, object] = {}
        self.loop: object = None

    def _check(self) -> None:
        self.loop = self.loop or asyncio.get_running_loop()
        assert self.loop is asyncio.get_running_loop()

    async def get(self, key: str) -> object:
        self._check()
        return self.held.get(key)

    async def set(self, key: str, value: object, ttl: float | None = None) -> None:
        self._check()
        self.held[key] = value

    async def delete(self, key: str) -> bool:
        self._check()
        return self.held.pop(key, None) is not None


@pytest.mark.parametrize("kind", [dict, AsyncDict])
def test_an_object_of_somebody_else(kind: type) -> None:
    told: list[str] = []
    cache = ForeignCache(kind(), key_prefix="shop:")
    assert list(Doctor(told.append, {}).examine(cache)) == []
    assert [line.split()[0] for line in told] == ["cache", "latency"]
