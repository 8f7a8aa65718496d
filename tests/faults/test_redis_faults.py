"""A Redis that fails in every way: the caller of a cached function gets the right value, soon, and no exception."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from memocache import BackendUnavailable, RedisCache, UncacheFailed, cached
from memocache._entry import Entry
from memocache.backends.base import Lease, call_verb
from tests.support.faults import (
    BlackHole,
    CutAfter,
    Delay,
    Drip,
    DropRequest,
    Endless,
    Fault,
    FaultProxy,
    Garbage,
    HalfClose,
    LoseAnswer,
    OneByteAtATime,
    Refuse,
    Repeat,
    Reset,
    Watch,
)
from tests.support.faulty import World, recovery
from tests.support.redis_servers import RedisServer
from tests.support.servers import wait_until
from tests.support.wire import Request

TIMEOUT = 0.05

COMMANDS = [b"MGET ", b"EVALSHA ", b"EVAL ", b"DEL ", b"SET "]

DEADLY: list[Fault] = [
    Refuse(),
    BlackHole(),
    DropRequest(),
    HalfClose(),
    Reset(),
    LoseAnswer(),
    Delay(10),
    Delay(10, request=True),
    Drip(10),
    Drip(50),  # each byte in time, the whole of them never
    Garbage(b""),
    Garbage(b"\r\n"),
    Garbage(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    Garbage(b"\x00\xff\xfe\r\n$5\r\n"),
    Garbage(b"$99999999999\r\nx"),
    Garbage(b"$-5\r\nx\r\n"),
    Garbage(b"$1\r\nxyz\r\n"),
    Garbage(b"*1\r\n" * 100_000),
    Garbage(b"*2147483647\r\n$-1\r\n"),
    Garbage(b"+PONG\r\n"),
    Garbage(b"*1\r\n:1\r\n"),
    Garbage(b":one\r\n"),
    Garbage(b":1\r\n" * 9),
    Garbage(b"-ERR bad\r\n"),
    Garbage(b"-MOVED 1 \xff\r\n"),
    Garbage(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n"),
    Garbage(b"-LOADING Redis is loading the dataset in memory\r\n"),
    Endless(),
    Endless(b"$"),
    Endless(b"$67000000\r\n"),
]
HARMLESS: list[Fault] = [OneByteAtATime(0), Delay(0.001)]


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(redis_server.address, unix=True) as proxy:
        yield proxy


@pytest.fixture
def recover(proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return recovery(proxy, monkeypatch)


@pytest.fixture(params=["function", "coroutine"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner | None]:
    if request.param == "function":
        yield None
    else:
        with asyncio.Runner() as runner:
            yield runner


def cache_at(proxy: FaultProxy, prefix: str, timeout: float = TIMEOUT) -> RedisCache:
    return RedisCache(f"unix://{proxy.address}", key_prefix=prefix, timeout=timeout)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.decode().strip())
@pytest.mark.parametrize("fault", DEADLY, ids=lambda fault: repr(fault)[:60])
def test_a_caller_never_notices(
    fault: Fault,
    command: bytes,
    proxy: FaultProxy,
    prefix: str,
    recover: Callable[[], None],
    runner: asyncio.Runner | None,
) -> None:
    world = World(cache_at(proxy, prefix), runner)
    world.check(1, 2)
    for times in (1, None):
        proxy.fault = replace(fault, match=command, times=times)
        world.check(1, 3, 1)
        world.change(recover)
        world.check(1, 2)
        recover()
        world.check(1, 2)

    def is_a_cache_again() -> bool:
        recover()
        world.check(1, 2)
        before = world.computed
        world.check(1, 2)
        return world.computed == before

    assert wait_until(is_a_cache_again)


@pytest.mark.parametrize("fault", DEADLY, ids=lambda fault: repr(fault)[:60])
def test_uncache_raises_exactly_when_it_was_not_acknowledged(
    fault: Fault, proxy: FaultProxy, prefix: str, recover: Callable[[], None], runner: asyncio.Runner | None
) -> None:
    world = World(cache_at(proxy, prefix), runner)
    for forget in (lambda: world.f.uncache(1), world.f.uncache_all):
        world.check(1)
        proxy.fault = replace(fault, match=b"DEL ")
        with pytest.raises(UncacheFailed, match="may still be served: redis at "):
            forget()
        recover()
        world.change(recover)
        world.check(1)


@pytest.mark.parametrize("fault", HARMLESS, ids=repr)
def test_what_is_only_odd_is_no_failure(
    fault: Fault, proxy: FaultProxy, prefix: str, runner: asyncio.Runner | None
) -> None:
    world = World(cache_at(proxy, prefix, timeout=5), runner)
    proxy.fault = fault
    world.check(1, 2, 1, 2)
    assert world.f.uncache(1)
    world.f.uncache_all()
    world.truth += 1
    world.check(1, 2, 1, 2)
    assert (world.f.info().failures, world.computed) == (0, 4)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.decode().strip())
def test_a_repeat_of_an_answer_is_not_taken_for_the_next(
    command: bytes,
    late: bool,
    proxy: FaultProxy,
    prefix: str,
    recover: Callable[[], None],
    runner: asyncio.Runner | None,
) -> None:
    world = World(cache_at(proxy, prefix), runner)
    for _ in range(3):
        world.check(1, 2)
        proxy.fault = Repeat(late=late, times=1, match=command)
        world.check(2, 3, 4, 3, 4)
        world.change(recover)
        world.check(3, 1, 2, 5, 1, 2, 5)
        recover()


@pytest.mark.parametrize("lasts", [False, True], ids=["once", "lasting"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.decode().strip())
def test_an_answer_may_be_cut_anywhere(
    command: bytes,
    lasts: bool,
    proxy: FaultProxy,
    prefix: str,
    recover: Callable[[], None],
    runner: asyncio.Runner | None,
) -> None:
    world = World(cache_at(proxy, prefix, timeout=5), runner)
    seen: list[tuple[Request, int]] = []

    def work() -> None:
        world.check(1)
        world.change(recover)
        world.check(1)

    proxy.fault = Watch(match=command, seen=seen)
    work()
    longest = max((length for _, length in seen), default=0)
    for count in range(0, longest, 1 if longest < 50 else 7):
        proxy.fault = CutAfter(count, match=command, times=None if lasts else 1)
        work()
        recover()
        world.check(1)


def test_a_claim_whose_answer_is_lost_is_known_by_its_token(
    proxy: FaultProxy, prefix: str, runner: asyncio.Runner | None
) -> None:
    """Not so redis-py's own retries: its `SET NX` says that somebody else has the lock."""
    world = World(cache_at(proxy, prefix, timeout=5), runner)
    world.check(9)  # the script is known now
    proxy.fault = LoseAnswer(times=1, match=b"EVALSHA ")
    world.check(1, 1, 1)
    assert (world.computed, world.f.info().failures) == (2, 0)


def test_redis_py_alone_would_lock_itself_out(proxy: FaultProxy, prefix: str) -> None:
    import redis

    with redis.Redis(unix_socket_path=proxy.address) as client:
        client.ping()
        proxy.fault = LoseAnswer(times=1, match=b"SET ")
        assert client.set(f"{prefix}lock", "token", nx=True, px=10_000) is None
        assert client.get(f"{prefix}lock") == b"token"


def test_a_lease_whose_claim_failed_is_taken_over_when_it_turns_out_to_be_there(
    proxy: FaultProxy, prefix: str, recover: Callable[[], None]
) -> None:
    cached(cache=cache_at(proxy, prefix), namespace="f")(lambda x: x)(9)  # the script is known now
    with FaultProxy(proxy.address, unix=True) as outer:
        cache = cache_at(outer, prefix)
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
    fault: Fault, proxy: FaultProxy, prefix: str, recover: Callable[[], None]
) -> None:
    cache = cache_at(proxy, prefix)
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


def test_a_server_that_failed_is_left_alone_for_a_moment(
    proxy: FaultProxy, prefix: str, runner: asyncio.Runner | None, recover: Callable[[], None]
) -> None:
    world = World(cache_at(proxy, prefix), runner)
    world.check(1)
    proxy.fault = BlackHole()
    world.check(1)
    before = len(proxy.requests), proxy.connections
    world.check(*range(20))
    assert (len(proxy.requests), proxy.connections) == before
    with pytest.raises(UncacheFailed):  # but a forgetting is tried all the same
        world.f.uncache(1)
    assert len(proxy.requests) > before[0]
    recover()
    world.check(1)


def test_failures_are_counted_and_told_once(
    proxy: FaultProxy, prefix: str, caplog: pytest.LogCaptureFixture, recover: Callable[[], None]
) -> None:
    world = World(cache_at(proxy, prefix))
    with caplog.at_level(logging.INFO, "memocache"):
        world.check(1)
        proxy.fault = Refuse()
        world.check(*[1] * 10)
        recover()
        world.check(1)
    info = world.f.info()
    assert (info.failures, info.misses, info.hits, info.stored) == (10, 11, 1, 1)
    assert len(caplog.records) == 2
    assert caplog.records[0].getMessage().startswith(f"redis at {proxy.address} failed: ConnectionError: ")
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_the_lease_is_an_own_key_with_a_time_to_live(redis_server: RedisServer, prefix: str) -> None:
    cache = RedisCache(redis_server.url, key_prefix=prefix)
    lease = call_verb(cache.look, "k", (), 1e9, 60)
    assert isinstance(lease, Lease)
    with redis_server.client() as client:
        assert client.get(f"memocache-lease:{prefix}k") == lease.id
        assert 50_000 < client.pttl(f"memocache-lease:{prefix}k") <= 61_000
        assert call_verb(cache.forget, "k") is True
        assert client.exists(f"memocache-lease:{prefix}k") == 0
