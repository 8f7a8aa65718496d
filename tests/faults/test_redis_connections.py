"""Connections to Redis: one for each thread and event loop, none that is out of step, none that is inherited."""

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from memocache import BackendUnavailable, RedisCache, cached
from memocache._clock import ticks
from tests.faults.test_memcached_connections import FORK, LEAVE, RepeatOnDemand, run
from tests.faults.test_memcached_interrupts import InterruptClient, Interrupted, SignalClient, send_signal
from tests.support.faults import BlackHole, FaultProxy
from tests.support.redis_servers import RedisServer
from tests.support.servers import wait_until


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(redis_server.address, unix=True) as proxy:
        yield proxy


def url(proxy: FaultProxy) -> str:
    return f"unix://{proxy.address}"


def connections(server: RedisServer) -> int:
    """Return how many there are, besides the one that asks."""
    with server.client() as client:
        return int(client.info("clients")["connected_clients"]) - 1


# ---- threads ---------------------------------------------------------------------------------------------------------


def test_one_connection_serves_all_calls_of_a_thread(proxy: FaultProxy, prefix: str) -> None:
    cache = RedisCache(url(proxy), key_prefix=prefix)
    assert proxy.connections == 0  # none is made before it is needed
    f = cached(cache=cache, namespace="f")(lambda x: x)
    for number in range(20):
        f(number)
        cache.set(str(number), number)
        cache.get(str(number))
        f.uncache(number)
    f.uncache_all()
    assert proxy.connections == 1


def test_each_thread_has_a_connection_until_it_ends(own_redis: RedisServer) -> None:
    cache = RedisCache(own_redis.url)
    ready, finish = threading.Barrier(9), threading.Event()

    def work(number: int) -> None:
        cache.set(str(number), number)
        assert cache.get(str(number)) == number
        ready.wait(10)
        finish.wait(10)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    ready.wait(10)
    assert connections(own_redis) == 8
    finish.set()
    for thread in threads:
        thread.join()
    assert wait_until(lambda: connections(own_redis) == 0)


def test_a_cache_that_is_dropped_or_closed_closes_its_connections(own_redis: RedisServer) -> None:
    RedisCache(own_redis.url).set("k", 1)
    assert wait_until(lambda: connections(own_redis) == 0)
    cache = RedisCache(own_redis.url)
    cache.set("k", 2)
    cache.close()
    assert wait_until(lambda: connections(own_redis) == 0)
    assert cache.get("k") == 2


def test_closing_closes_the_connections_of_loops_too(own_redis: RedisServer) -> None:
    cache = RedisCache(own_redis.url)
    f = cached(cache=cache, namespace="f")(doubled)

    async def ask() -> None:
        assert await f(1) == 2
        cache.close()
        await asyncio.sleep(0)
        assert await asyncio.to_thread(wait_until, lambda: connections(own_redis) == 0)
        assert await f(1) == 2

    asyncio.run(ask())
    assert f.info().failures == 0


# ---- tasks -----------------------------------------------------------------------------------------------------------


def test_the_tasks_of_a_loop_share_a_connection(proxy: FaultProxy, prefix: str) -> None:
    f = cached(cache=RedisCache(url(proxy), key_prefix=prefix), namespace="f")(doubled)

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


LOOPS = """
import asyncio, json, sys
from memocache import RedisCache, cached

cache = RedisCache("unix://" + json.loads(sys.argv[1]), key_prefix=json.loads(sys.argv[2]))

@cached(cache=cache, namespace="f")
async def f(x):
    return x

async def ask():
    assert await asyncio.gather(*[f(x) for x in range(10)]) == list(range(10))

asyncio.run(ask())
asyncio.run(ask())
loop = asyncio.new_event_loop()
loop.run_until_complete(ask())
loop.close()  # and nobody told it to clean up
del loop
asyncio.run(ask())
"""


def test_loops_may_end_as_they_like(redis_server: RedisServer, prefix: str) -> None:
    assert run(LOOPS, redis_server.address, prefix) == ""


def test_a_loop_that_has_ended_leaves_no_connection(own_redis: RedisServer) -> None:
    f = cached(cache=RedisCache(own_redis.url), namespace="f")(doubled)
    for _ in range(5):
        asyncio.run(f(1))
    assert wait_until(lambda: connections(own_redis) <= 2)  # of the last one, and of a thread of the pool


def test_a_restart_is_not_noticed_in_a_loop(own_redis: RedisServer) -> None:
    f = cached(cache=RedisCache(own_redis.url), namespace="f")(doubled)

    async def ask() -> None:
        for _ in range(3):
            assert [await f(1), await f(1), await f.uncache(1)] == [2, 2, True]
            own_redis.restart()  # which forgets the scripts, too

    asyncio.run(ask())
    assert f.info().failures == 0


def test_a_task_that_is_cancelled_anywhere_leaves_no_half_of_anything(proxy: FaultProxy, prefix: str) -> None:
    f = cached(cache=RedisCache(url(proxy), key_prefix=prefix, timeout=10), namespace="f", wait=0.5)(doubled)

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


def test_a_lease_that_a_cancelled_task_has_taken_is_given_back(proxy: FaultProxy, prefix: str) -> None:
    cache = RedisCache(url(proxy), key_prefix=prefix, timeout=10)
    f = cached(cache=cache, namespace="f", wait=5)(doubled)
    reached, go = threading.Event(), threading.Event()

    async def ask() -> None:
        await f(9)  # the script is known now, and the generation is there
        proxy.fault = HeldBack(match=b"EVALSHA ", times=1, reached=reached, go=go)
        task = asyncio.create_task(f(1))
        while not reached.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go.set()
        began = ticks()
        assert await f(1) == 2
        assert ticks() - began < 4

    asyncio.run(ask())


class HeldBack(InterruptClient):
    """The answer waits until it may *go*."""

    def __init__(self, *, match: bytes, times: int, reached: threading.Event, go: threading.Event) -> None:
        super().__init__(match=match, times=times, done=go)
        object.__setattr__(self, "reached", reached)

    def play(self, exchange: object) -> None:
        answer = exchange.ask()  # type: ignore[attr-defined]
        self.reached.set()  # type: ignore[attr-defined]
        self.done.wait(5)
        exchange.reply(answer)  # type: ignore[attr-defined]


def test_a_hung_server_does_not_hold_a_task_when_the_clocks_stand_still(proxy: FaultProxy, prefix: str) -> None:
    from freezegun import freeze_time

    f = cached(cache=RedisCache(url(proxy), key_prefix=prefix, timeout=0.1), namespace="f")(doubled)
    with freeze_time("2030-01-01"):

        async def ask() -> None:
            assert await f(1) == 2
            proxy.fault = BlackHole()
            assert await f(1) == 2

        asyncio.run(ask())
    assert f.info().failures == 1


# ---- processes -------------------------------------------------------------------------------------------------------


def of_redis(script: str) -> str:
    return script.replace("MemcachedCache", "RedisCache").replace(
        "[json.loads(sys.argv[1])]", '"unix://" + json.loads(sys.argv[1])'
    )


def test_forked_children_use_connections_of_their_own(proxy: FaultProxy, prefix: str) -> None:
    assert run(of_redis(FORK), proxy.address, prefix) == ""
    assert proxy.connections == 5 + 4


def test_a_process_may_end_without_closing_anything(redis_server: RedisServer) -> None:
    assert run(of_redis(LEAVE), redis_server.address) == ""


FORK_IN_LOOP = """
import asyncio, json, os, sys
from memocache import RedisCache, cached

cache = RedisCache("unix://" + json.loads(sys.argv[1]), key_prefix=json.loads(sys.argv[2]))

@cached(cache=cache, namespace="f")
async def f(x):
    return x

async def ask():
    for x in range(20):
        assert await f(x) == x

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
    assert run(FORK_IN_LOOP, redis_server.address, prefix) == ""


# ---- bytes out of turn, interruptions --------------------------------------------------------------------------------


def test_bytes_that_nobody_asked_for_are_noticed(proxy: FaultProxy, redis_server: RedisServer, prefix: str) -> None:
    cache = RedisCache(url(proxy), key_prefix=prefix)
    cache.set("k", "old")
    fault = RepeatOnDemand(match=b"GET ", times=1, wanted=threading.Event(), sent=threading.Event())
    proxy.fault = fault
    assert cache.get("k") == "old"
    fault.wanted.set()
    assert fault.sent.wait(5)
    RedisCache(redis_server.url, key_prefix=prefix).set("k", "new")
    assert cache.get("k") == "new"
    assert proxy.connections == 2


@pytest.fixture
def interrupt(proxy: FaultProxy) -> Iterator[Callable[..., None]]:
    """Does something and interrupts it while the answer to a command is awaited."""

    def handler(*_: object) -> None:
        raise Interrupted

    def interrupted(command: bytes, do: Callable[..., object], *args: object) -> None:
        done = threading.Event()
        proxy.fault = InterruptClient(match=command, times=1, done=done)
        with pytest.raises(Interrupted):
            do(*args)
        done.set()

    before = signal.signal(signal.SIGUSR1, handler)
    yield interrupted
    signal.signal(signal.SIGUSR1, before)


def test_after_an_interruption_nobody_reads_the_old_answer(
    proxy: FaultProxy, prefix: str, interrupt: Callable[..., None]
) -> None:
    cache = RedisCache(url(proxy), key_prefix=prefix)
    cache.set("alice", "A")
    cache.set("bob", "B")
    interrupt(b"GET ", cache.get, "alice")
    assert cache.get("bob") == "B"
    interrupt(b"DEL ", cache.delete, "bob")
    cache.delete("bob")
    assert not cache.delete("bob")  # the old answer would say that there was something
    cache.inc("number")
    interrupt(b"EVALSHA ", cache.inc, "number")
    assert cache.inc("number") == 3
    f = cached(cache=cache, namespace="f", wait=0)(lambda x: -x)
    for number, command in enumerate([b"MGET ", b"SET ", b"EVALSHA "], 1):
        interrupt(command, f, number) if command != b"SET " else f.uncache_all()
        assert [f(-number), f(number), f(-number)] == [number, -number, number]


def test_an_interrupted_connection_attempt_leaves_nothing(
    redis_factory: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise Interrupted

    for server in (redis_factory(), redis_factory(tcp=True)):
        cache = RedisCache(server.url)
        with monkeypatch.context() as patch:
            patch.setattr(socket.socket, "connect", interrupted)
            with pytest.raises(Interrupted):
                cache.get("k")
        assert cache.set("k", 1)  # and no ResourceWarning is about


@pytest.mark.parametrize("command", [b"MGET ", b"EVALSHA ", b"DEL "])
def test_a_signal_handler_may_use_the_cache_in_the_middle_of_a_command(
    command: bytes, proxy: FaultProxy, prefix: str
) -> None:
    cache = RedisCache(url(proxy), key_prefix=prefix, timeout=5)
    computed: list[int] = []
    f = cached(cache=cache, namespace="f")(lambda x: (computed.append(x), -x)[1])
    f(0)
    cache.set("k", 1)
    handled = threading.Event()
    seen: list[object] = []

    def use_the_cache(*_: object) -> None:
        seen.extend([f(0), f(2), f(2), cache.inc("k"), f.uncache(2)])
        handled.set()

    before = signal.signal(signal.SIGUSR1, use_the_cache)
    try:
        proxy.fault = SignalClient(match=command, times=1, handled=handled)
        results = [f(1), f.uncache(1), f(1), f(1)]
        assert handled.wait(5)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen == [0, -2, -2, 2, True]
    assert results == [-1, True, -1, -1]
    assert sorted(computed) == [0, 1, 1, 2]
    assert f.info().failures == 0


def test_signals_do_not_put_the_deadline_off(proxy: FaultProxy, prefix: str) -> None:
    cache = RedisCache(url(proxy), key_prefix=prefix, timeout=0.2)
    cache.set("k", 1)
    finished = threading.Event()

    def disturb() -> None:
        for _ in range(300):  # three seconds, if nothing else ends it
            if finished.wait(0.01):
                return
            send_signal()

    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    proxy.fault = BlackHole()
    disturber = threading.Thread(target=disturb)
    began = ticks()
    disturber.start()
    try:
        with pytest.raises(BackendUnavailable):
            cache.get("k")
        assert ticks() - began < 2
    finally:
        finished.set()
        disturber.join()
        signal.signal(signal.SIGUSR1, before)
