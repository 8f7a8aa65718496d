"""What only Redis has: connections of event loops, which tasks share, and leases that are keys of their own."""

import asyncio
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
import redis
from freezegun import freeze_time

from memocache import BackendUnavailable, RedisCache, SimpleCache, cached
from memocache._clock import ticks
from memocache._entry import Entry
from memocache.backends.base import Lease, call_verb
from tests.faults.kinds import Redis
from tests.support.faults import BlackHole, DropRequest, Fault, FaultProxy, LoseAnswer
from tests.support.faulty import World
from tests.support.redis_servers import RedisServer
from tests.support.servers import wait_until
from tests.support.strict import run_strictly

if TYPE_CHECKING:
    from tests.support.faults import Exchange

Make = Callable[..., RedisCache]
Recover = Callable[[], None]
TIMEOUT = 0.05


@pytest.fixture
def kind() -> type[Redis]:
    return Redis


# ---- connections -----------------------------------------------------------------------------------------------------


def test_a_cache_that_is_closed_closes_its_connections(own_redis: RedisServer) -> None:
    cache = RedisCache(own_redis.url)
    cache.set("k", 2)
    cache.close()
    assert wait_until(lambda: Redis.connections(own_redis) == 0)
    assert cache.get("k") == 2


def test_closing_closes_the_connections_of_loops_too(own_redis: RedisServer) -> None:
    cache = RedisCache(own_redis.url)
    f = cached(cache=cache, namespace="f")(doubled)

    async def ask() -> None:
        assert await f(1) == 2
        cache.close()
        await asyncio.sleep(0)
        assert await asyncio.to_thread(wait_until, lambda: Redis.connections(own_redis) == 0)
        assert await f(1) == 2

    asyncio.run(ask())
    assert f.info().failures == 0


# ---- tasks -----------------------------------------------------------------------------------------------------------


def test_the_tasks_of_a_loop_share_a_connection(proxy: FaultProxy, make_cache: Make) -> None:
    f = cached(cache=make_cache(), namespace="f")(doubled)

    async def ask() -> list[int]:
        return await asyncio.gather(*[f(x) for x in range(100)])

    for round_ in (1, 2):
        assert asyncio.run(ask()) == [2 * x for x in range(100)]
        assert proxy.connections == round_
    info = f.info()
    assert (info.hits, info.misses, info.failures) == (100, 100, 0)
    assert not [each for each in threading.enumerate() if each.name.startswith("memocache refresh")]


async def doubled(x: int) -> int:
    return 2 * x


def test_large_results_come_back_in_a_loop(redis_server: RedisServer, prefix: str) -> None:
    async def large(x: int) -> bytes:
        return os.urandom(3_000_000)

    f = cached(cache=RedisCache(redis_server.url, key_prefix=prefix, timeout=10), namespace="f")(large)

    async def ask() -> list[bytes]:
        return await asyncio.gather(*[f(x) for x in (1, 2, 3, 1)])

    assert asyncio.run(ask()) == asyncio.run(ask())
    assert f.info().failures == 0


def test_a_large_result_is_sent_without_copies_of_its_rest(
    redis_server: RedisServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, copied = socket.socket.send, list[int]()

    def counted(self: socket.socket, data: bytes | memoryview) -> int:
        copied.append(len(data) if type(data) is bytes else 0)
        return send(self, data)

    monkeypatch.setattr(socket.socket, "send", counted)

    async def large(x: int) -> bytes:
        return bytes(5_000_000)

    f = cached(cache=RedisCache(redis_server.url, key_prefix=prefix, timeout=10), namespace="f")(large)
    asyncio.run(f(1))
    assert f.info().stored == 1
    assert len(copied) > 10
    assert sum(copied) < 2 * 5_000_000


CACHED = """
import asyncio, json, os, sys
from memocache import RedisCache, cached

cache = RedisCache("unix://" + json.loads(sys.argv[1]), key_prefix=json.loads(sys.argv[2]))

@cached(cache=cache, namespace="f")
async def f(x):
    return x

async def ask():
    assert await asyncio.gather(*[f(x) for x in range(10)]) == list(range(10))

"""
LOOPS = """
asyncio.run(ask())
asyncio.run(ask())
loop = asyncio.new_event_loop()
loop.run_until_complete(ask())
loop.close()  # and nobody told it to clean up
del loop
asyncio.run(ask())
"""


def test_loops_may_end_as_they_like(redis_server: RedisServer, prefix: str) -> None:
    assert run_strictly(CACHED + LOOPS, redis_server.address, prefix) == ""


def test_a_loop_that_has_ended_leaves_no_connection(own_redis: RedisServer) -> None:
    f = cached(cache=RedisCache(own_redis.url), namespace="f")(doubled)
    for _ in range(5):
        asyncio.run(f(1))
    assert wait_until(lambda: Redis.connections(own_redis) <= 2)  # of the last one, and of a thread of the pool


def test_the_connection_of_a_loop_keeps_nothing_of_the_call_that_opened_it(
    redis_server: RedisServer, prefix: str
) -> None:
    f = cached(cache=RedisCache(redis_server.url, key_prefix=prefix), namespace="f")(doubled)

    @cached(cache=SimpleCache(), timeout=lambda _: 0)
    async def around() -> set[int]:
        return {await f(1)}

    async def ask() -> None:
        result = weakref.ref(await around())
        assert await f(1) == 2  # the connection is still there
        assert result() is None

    asyncio.run(ask())


def test_a_restart_is_not_noticed_in_a_loop(own_redis: RedisServer) -> None:
    f = cached(cache=RedisCache(own_redis.url), namespace="f")(doubled)

    async def ask() -> None:
        for _ in range(3):
            assert [await f(1), await f(1), await f.uncache(1)] == [2, 2, True]
            own_redis.restart()  # which forgets the scripts, too

    asyncio.run(ask())
    assert f.info().failures == 0


def test_a_task_that_is_cancelled_anywhere_leaves_no_half_of_anything(make_cache: Make) -> None:
    f = cached(cache=make_cache(timeout=10), namespace="f", wait=0.5)(doubled)

    async def cancel_after(steps: int, number: int) -> bool:
        task = asyncio.create_task(f(number))
        for _ in range(steps):
            await asyncio.sleep(0)
        cancelled = task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return cancelled

    async def ask() -> None:
        await f(-1)
        for steps in range(60):
            await cancel_after(steps, steps)
            assert await f(-1) == -2
            assert await f(steps) == 2 * steps
            assert await f(steps + 1000) == 2 * steps + 2000

    asyncio.run(ask())
    info = f.info()
    assert info.failures == 0
    assert info.misses <= 1 + 60 * 3


def test_a_lease_that_a_cancelled_task_has_taken_is_given_back(proxy: FaultProxy, make_cache: Make) -> None:
    cache = make_cache(timeout=10)
    f = cached(cache=cache, namespace="f", wait=5)(doubled)
    reached, go = threading.Event(), threading.Event()

    async def ask() -> None:
        await f(9)  # the script is known now, and the generation is there
        proxy.fault = HeldBack(match=b"EVALSHA ", times=1, reached=reached, go=go)
        task = asyncio.create_task(f(1))
        assert await asyncio.to_thread(reached.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()
        began = ticks()
        assert await f(1) == 2
        assert ticks() - began < 4

    asyncio.run(ask())


@dataclass(frozen=True, kw_only=True)
class HeldBack(Fault):
    """The answer waits until it may *go*."""

    reached: threading.Event
    go: threading.Event

    def play(self, exchange: "Exchange") -> None:
        answer = exchange.ask()
        self.reached.set()
        self.go.wait(5)
        exchange.reply(answer)


def test_a_hung_server_does_not_hold_a_task_when_the_clocks_stand_still(proxy: FaultProxy, make_cache: Make) -> None:
    f = cached(cache=make_cache(timeout=0.1), namespace="f")(doubled)
    with freeze_time("2030-01-01"):

        async def ask() -> None:
            assert await f(1) == 2
            proxy.fault = BlackHole()
            assert await f(1) == 2

        asyncio.run(ask())
    assert f.info().failures == 1


FORK_IN_LOOP = """
async def main():
    await ask()
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    await ask()

asyncio.run(main())
child = os.fork()
if not child:
    try:
        asyncio.run(ask())
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
asyncio.run(ask())
assert f.info().failures == 0
"""


def test_a_process_may_fork_while_a_loop_runs(redis_server: RedisServer, prefix: str) -> None:
    assert run_strictly(CACHED + FORK_IN_LOOP, redis_server.address, prefix) == ""


# ---- leases ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("runner", [False, True], indirect=True, ids=["function", "coroutine"])
def test_a_claim_whose_answer_is_lost_is_known_by_its_token(
    proxy: FaultProxy, make_cache: Make, runner: asyncio.Runner | None
) -> None:
    """Not so redis-py's own retries: its `SET NX` says that somebody else has the lock."""
    world = World(make_cache(timeout=5), runner)
    world.check(9)  # the script is known now
    proxy.fault = LoseAnswer(times=1, match=b"EVALSHA ")
    world.check(1, 1, 1)
    assert (world.computed, world.f.info().failures) == (2, 0)


def test_redis_py_alone_would_lock_itself_out(proxy: FaultProxy, prefix: str) -> None:
    with redis.Redis(unix_socket_path=proxy.address) as client:
        client.ping()
        proxy.fault = LoseAnswer(times=1, match=b"SET ")
        assert client.set(f"{prefix}lock", "token", nx=True, px=10_000) is None
        assert client.get(f"{prefix}lock") == b"token"


def test_a_lease_whose_claim_failed_is_taken_over_when_it_turns_out_to_be_there(
    proxy: FaultProxy, prefix: str, make_cache: Make, recover: Recover
) -> None:
    cached(cache=make_cache(timeout=TIMEOUT), namespace="f")(lambda x: x)(9)  # the script is known now
    with FaultProxy(proxy.address, unix=True) as outer:
        cache = Redis.cache(outer.address, prefix, timeout=TIMEOUT)
        proxy.fault = BlackHole(match=b"MGET memocache-lease:")  # by which it is looked whether the lease is there
        outer.fault = LoseAnswer(times=1, match=b"EVALSHA ")
        moment = time.time()
        assert unanswered(cache, moment)
        recover()
        lease = call_verb(cache.look, "k", (), moment, 60)
        assert isinstance(lease, Lease)
        assert call_verb(cache.fill, lease, None) is True


def unanswered(cache: RedisCache, moment: float) -> bool:
    try:  # pytest.raises would keep the traceback, and with it the lease
        call_verb(cache.look, "k", (), moment, 60)
    except BackendUnavailable:
        return True
    return False


@pytest.mark.parametrize("fault", [DropRequest(), LoseAnswer()], ids=repr)
def test_a_lease_that_was_not_filled_does_not_keep_others_waiting(
    fault: Fault, proxy: FaultProxy, make_cache: Make, recover: Recover
) -> None:
    cache = make_cache(timeout=TIMEOUT)
    cached(cache=cache, namespace="f")(lambda x: x)(9)  # the scripts are known now
    moment = time.time()
    lease = call_verb(cache.look, "k", (), moment, 60)
    assert isinstance(lease, Lease)
    proxy.fault = replace(fault, match=b"EVAL")
    with pytest.raises(BackendUnavailable):
        call_verb(cache.fill, lease, Entry("k", 1, moment + 60))
    lease.flight.abandon()
    recover()
    seen = call_verb(cache.look, "k", (), moment, 60)
    assert isinstance(seen, Lease if fault == DropRequest() else Entry)


def test_the_lease_is_an_own_key_with_a_time_to_live(redis_server: RedisServer, prefix: str) -> None:
    cache = RedisCache(redis_server.url, key_prefix=prefix)
    lease = call_verb(cache.look, "k", (), 1e9, 60)
    assert isinstance(lease, Lease)
    with redis_server.client() as client:
        assert client.get(f"memocache-lease:{prefix}k") == lease.id
        assert 50_000 < client.pttl(f"memocache-lease:{prefix}k") <= 61_000
        assert call_verb(cache.forget, "k") is True
        assert client.exists(f"memocache-lease:{prefix}k") == 0
