"""Incidents of production: a server that was demoted, connections that were forgotten, limits; and what the log says.

A connection that fails is not a server that failed, and the server's writes are not its reads.
"""

import asyncio
import contextlib
import logging
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from memocache import RedisCache, UncacheFailed, cached
from memocache._clock import ticks
from memocache.backends import _wire
from memocache.backends.base import Cache
from tests.faults.kinds import Kind, Memcached, Redis, each_driver
from tests.support.faults import Fault, FaultProxy, Garbage, Refuse, StallAfter
from tests.support.faulty import Run, World
from tests.support.redis_servers import RedisServer
from tests.support.servers import Address, ServerFailed, connect, wait_until
from tests.support.threads import at_once

if TYPE_CHECKING:
    from tests.support.faults import Exchange

TIMEOUT = 1.5
Make = Callable[..., Cache]
in_thread_or_task = pytest.mark.parametrize("runner", [False, True], indirect=True, ids=["thread", "task"])
on_redis = pytest.mark.parametrize("kind", [Redis], indirect=True, ids=["redis"])
on_memcached = pytest.mark.parametrize("kind", [Memcached], indirect=True, ids=["memcached"])


@pytest.fixture
def world(make_cache: Make, runner: asyncio.Runner | None) -> World:
    return World(make_cache(timeout=TIMEOUT), runner)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """Returns the lines of the log."""
    caplog.set_level(logging.INFO, "memocache")
    return lambda: [record.getMessage() for record in caplog.records]


Said = Callable[[], list[str]]

# ---- the wrong server ------------------------------------------------------------------------------------------------


@pytest.fixture
def endpoint(redis_factory: Callable[..., RedisServer]) -> Any:
    """A proxy as a managed service has one: its address stays, and which of two servers is the master may change."""
    old, new = redis_factory(tcp=True), redis_factory(tcp=True)
    with FaultProxy(old.address, unix=True) as proxy:
        yield proxy, old, new


def fail_over(proxy: FaultProxy, old: RedisServer, new: RedisServer) -> None:
    """Let *new* be the master, and *old* its replica, as clients with connections to *old* see it."""
    host, port = new.address
    with old.client() as client:
        client.replicaof(host, port)
    proxy.upstream = new.address


@in_thread_or_task
def test_a_server_that_was_demoted_is_left(runner: asyncio.Runner | None, endpoint: Any, said: Said) -> None:
    world = World(Redis.cache(endpoint[0].address, timeout=5), runner)
    world.check(1, 2)
    fail_over(*endpoint)
    world.f.uncache(1)  # acknowledged by the new one
    world.truth += 1
    world.check(1, 1)
    world.f.uncache_all()
    world.check(3, 3)
    assert (world.f.info().failures, said()) == (0, [])


@in_thread_or_task
def test_the_first_miss_after_it_is_stored_in_the_new_one(
    runner: asyncio.Runner | None, endpoint: Any, said: Said
) -> None:
    world = World(Redis.cache(endpoint[0].address, timeout=5), runner)
    world.check(1, 2)
    fail_over(*endpoint)
    for x in range(3, 8):
        world.check(x, x)
    assert (world.computed, world.f.info().failures, said()) == (7, 0, [])


REFUSALS = [
    b"-READONLY You can't write against a read only replica.\r\n",
    b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
    b"-LOADING Redis is loading the dataset in memory\r\n",
    b"-NOREPLICAS Not enough good replicas to write.\r\n",
    b"-NOAUTH Authentication required.\r\n",
]


@dataclass(frozen=True)
class Refusal(Fault):
    """The server does nothing, and says why."""

    data: bytes

    def play(self, exchange: "Exchange") -> None:
        exchange.reply(self.data)


@on_redis
@in_thread_or_task
@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda data: data.split()[0][1:].decode())
def test_a_refusal_of_the_wrong_server_closes_the_connection(
    refusal: bytes, proxy: FaultProxy, world: World, said: Said
) -> None:
    world.check(1)
    before = proxy.connections
    proxy.fault = Refusal(refusal, times=1)
    world.check(1)  # read again
    proxy.fault = Refusal(refusal, times=1, match=b"EVALSHA ")
    world.check(2, 2)
    assert (world.computed, world.f.info().failures, said()) == (2, 0, [])
    assert proxy.connections == before + 2
    proxy.fault = Refusal(refusal)
    world.check(3, 3, 3)
    why = refusal.partition(b" ")[2].strip().decode()
    with pytest.raises(UncacheFailed, match=re.escape(why)):
        world.f.uncache(1)
    (told,) = [line for line in said() if line.endswith("calls are computed until it is back")]
    assert told.startswith(f"redis at {proxy.address} failed: ")
    assert why in told


# ---- connections that were forgotten on the way ----------------------------------------------------------------------


@each_driver
@pytest.mark.parametrize("first", ["hit", "uncache", "uncache_all"])
def test_a_forgotten_connection_costs_no_computation_and_no_forgetting(
    first: str, proxy: FaultProxy, world: World, said: Said
) -> None:
    world.check(1)
    proxy.forget_connections()
    began = ticks()
    if first == "hit":
        world.check(1)
    elif first == "uncache":
        assert world.f.uncache(1)
    else:
        world.f.uncache_all()
    assert ticks() - began < TIMEOUT + 1
    world.truth += first != "hit"
    world.check(1, 1)
    assert (world.computed, world.f.info().failures, said()) == (1 if first == "hit" else 2, 0, [])


def test_all_that_are_idle_are_given_up_with_the_first(kind: type[Kind], proxy: FaultProxy, make_cache: Make) -> None:
    f = cached(cache=make_cache(timeout=5), namespace="f")(lambda x: x)
    f(1)
    at_once(8, lambda: [f(1) for _ in range(20)])
    proxy.forget_connections()
    began = ticks()
    for _ in range(20):
        f(1)
    assert ticks() - began < 5 + 1
    assert (f.info().misses, f.info().failures) == (1, 0)


def test_what_may_not_be_repeated_does_not_go_over_a_connection_of_long_ago(
    kind: type[Kind], proxy: FaultProxy, make_cache: Make, monkeypatch: pytest.MonkeyPatch, said: Said
) -> None:
    monkeypatch.setattr(_wire, "OLD", -TIMEOUT)  # all are of long ago
    cache = make_cache(timeout=TIMEOUT)
    cache.set("k", 1)
    proxy.forget_connections()
    began = ticks()
    assert cache.set("k", 2)
    assert ticks() - began < TIMEOUT
    assert cache.get("k") == 2
    assert said() == []


# ---- limits: the server's connections, its writes, the line ----------------------------------------------------------


@pytest.fixture
def limited(kind: type[Kind], start_server: Callable[..., Any]) -> Iterator[Any]:
    """A server that takes twelve connections more."""
    if kind is Redis:
        yield start_server("--maxclients", "12")
        return
    server = start_server(connections=64)  # fewer, and it does not start
    others: list[socket.socket] = []
    while is_taken(others, server.address):
        pass
    for other in others[:12]:
        other.close()

    def has_room() -> bool:
        with contextlib.suppress(OSError, ServerFailed):
            return int(server.stats()["curr_connections"]) <= 64 - 11
        return False

    assert wait_until(has_room)
    yield server
    for other in others:
        other.close()


def is_taken(others: list[socket.socket], address: Address) -> bool:
    """Connect once more, for *others*; return whether the server took it."""
    others.append(connect(address, 5))
    try:
        others[-1].sendall(b"version\r\n")
        return others[-1].recv(100).startswith(b"VERSION")
    except OSError:
        return False


def test_where_a_server_takes_no_more_connections_those_are_enough(kind: type[Kind], limited: Any) -> None:
    f = cached(cache=kind.cache(limited.address, timeout=2), namespace="f")(lambda x: x)
    f(1)
    at_once(30, lambda: [f(1) for _ in range(100)])
    info = f.info()
    assert info.hits + info.misses == 3001
    assert info.misses < 300


@on_memcached
def test_a_memcached_that_takes_no_more_connections_is_quoted(proxy: FaultProxy, make_cache: Make, said: Said) -> None:
    world = World(make_cache(timeout=TIMEOUT))
    world.check(1)
    refusal = b"ERROR Too many open connections\r\n"
    proxy.fault = Refusal(refusal, match=b"add ", times=1)  # it was not done, so it is asked again
    world.check(2, 2)
    assert (world.computed, world.f.info().failures, said()) == (2, 0, [])
    proxy.fault = Refusal(refusal)
    world.check(3)
    with pytest.raises(UncacheFailed, match="Too many open connections"):
        world.f.uncache(1)
    assert said()
    assert all("Too many open connections" in line for line in said())


@each_driver
def test_a_large_value_on_a_slow_line_does_not_keep_small_ones_from_being_read(
    proxy: FaultProxy, world: World, make_cache: Make, runner: asyncio.Runner | None, kind: type[Kind], said: Said
) -> None:
    large = World(make_cache(timeout=TIMEOUT), runner)
    cached_text = cached(cache=large.f.cache, namespace="large")
    text = bytes(range(256)) * 1000

    async def awaited() -> bytes:
        return text

    f: Any = cached_text(lambda: text) if runner is None else Run(cached_text(awaited), runner)
    g = large.f
    assert (f(), g(1)) == (text, (1, 0))
    proxy.fault = StallAfter(2 * _wire.LARGE, match=kind.commands[0])
    assert f() == text
    proxy.fault = None
    assert g(1) == (1, 0)
    assert (f.info().failures, g.info().failures, large.computed) == (1, 0, 1)
    assert not [line for line in said() if line.endswith("until it is back")]


@in_thread_or_task
def test_writes_that_are_paused_cost_one_deadline_and_reads_nothing(
    runner: asyncio.Runner | None,
    redis_factory: Callable[..., RedisServer],
    said: Said,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_wire, "FIRST_PAUSE", 1000)
    monkeypatch.setattr(_wire, "LONGEST_PAUSE", 1000)
    server = redis_factory()
    world = World(RedisCache(server.url, timeout=TIMEOUT), runner)
    world.check(1)
    with server.client() as client:
        client.client_pause(60_000, all=False)
        began = ticks()
        world.check(2, *[1] * 10, *range(3, 15))
        assert ticks() - began < TIMEOUT + 1
        client.client_unpause()
    assert world.f.info().hits == 10
    assert len([line for line in said() if line.endswith("until it is back")]) == 1
    assert world.f.uncache(1)  # which is asked for all the same
    world.check(60)
    before = world.computed
    world.check(60)
    assert world.computed == before
    assert said()[-1] == f"redis at {server.address} is back"


# ---- what the log says -----------------------------------------------------------------------------------------------


def test_each_different_trouble_is_logged_once_and_its_end(
    kind: type[Kind], proxy: FaultProxy, make_cache: Make, said: Said, recover: Callable[[], None]
) -> None:
    world = World(make_cache(timeout=TIMEOUT))
    for _ in range(2):  # outages
        world.check(1)
        before = len(said())
        for fault in (Refuse(), Garbage(b"HTTP/1.1 400 Bad Request\r\n\r\n")):
            for _ in range(3):
                recover()
                proxy.fault = fault
                world.check(2)
        recover()
        world.check(1)
        of_server = [line for line in said()[before:] if line.startswith(f"{kind.name} at ")]
        assert [line.rpartition("; ")[2] for line in of_server] == [
            *["calls are computed until it is back"] * 2,
            f"{kind.name} at {proxy.address} is back",
        ]


def test_a_function_tells_of_each_different_refusal(redis_factory: Callable[..., RedisServer], said: Said) -> None:
    server = redis_factory()
    f = cached(cache=RedisCache(server.url, timeout=5), namespace="f")(lambda x: x)
    with server.client() as client:
        for rights in ("-evalsha", "-mget"):
            f(1)
            client.acl_setuser("default", enabled=True, commands=[rights])
            f(2)
            f(3)
        client.acl_setuser("default", enabled=True, categories=["+@all"])
    refused = [line for line in said() if "NOPERM" in line]
    assert len(refused) == 2
    assert "evalsha" in refused[0]
    assert "mget" in refused[1]


def test_a_result_that_was_forgotten_while_it_was_computed_is_no_failure(
    kind: type[Kind], make_cache: Make, said: Said
) -> None:
    f: Any = None

    def forgetful(x: int) -> int:
        f.uncache(x)
        return x

    f = cached(cache=make_cache(timeout=5), namespace="f")(forgetful)
    assert f(1) == 1
    assert (f.info().stored, f.info().failures, said()) == (0, 0, [])


# ---- the stack of the caller -----------------------------------------------------------------------------------------


def test_a_stack_that_has_no_room_left_is_no_failure_of_the_server(make_cache: Make, said: Said) -> None:
    f = cached(cache=make_cache(timeout=TIMEOUT), namespace="deep")(lambda x: [x])
    f(1)

    def deep() -> None:
        with contextlib.suppress(RecursionError, UncacheFailed):
            f(1)
            f.uncache(2)
        deep()

    with pytest.raises(RecursionError):
        deep()
    assert f(1) == [1]
    assert [line for line in said() if "calls are computed" in line] == []
