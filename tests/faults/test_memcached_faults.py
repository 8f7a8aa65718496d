"""A memcached that fails in every way: the caller of a cached function gets the right value, soon, and no exception."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from memocache import MemcachedCache, UncacheFailed
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
from tests.support.servers import MemcachedServer, wait_until
from tests.support.wire import Request

TIMEOUT = 0.05
COMMANDS = [b"get ", b"add ", b"gets ", b"cas ", b"delete ", b"set "]

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
    Garbage(b"\x00\xff\xfe\r\nVALUE\r\n"),
    Garbage(b"VALUE another 0 1\r\nx\r\nEND\r\n"),
    Garbage(b"VALUE k 0 99999999999\r\nx"),
    Garbage(b"VALUE k 0 -5\r\nx\r\nEND\r\n"),
    Garbage(b"ERROR\r\n"),
    Garbage(b"CLIENT_ERROR bad\r\n"),
    Garbage(b"SERVER_ERROR busy\r\n"),
    Garbage(b"SERVER_ERROR out of memory storing object\r\n"),
    Endless(),
    Endless(b"VALUE k 0 "),
]
HARMLESS: list[Fault] = [OneByteAtATime(0), Repeat(), Delay(0.001)]


@pytest.fixture
def proxy(memcached: MemcachedServer) -> Iterator[FaultProxy]:
    with FaultProxy(memcached.address, unix=True) as proxy:
        yield proxy


@pytest.fixture
def recover(proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return recovery(proxy, monkeypatch)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.decode().strip())
@pytest.mark.parametrize("fault", DEADLY, ids=repr)
def test_a_caller_never_notices(
    fault: Fault, command: bytes, proxy: FaultProxy, prefix: str, recover: Callable[[], None]
) -> None:
    world = World(MemcachedCache([proxy.address], key_prefix=prefix, timeout=TIMEOUT))
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


@pytest.mark.parametrize("fault", DEADLY, ids=repr)
def test_uncache_raises_exactly_when_it_was_not_acknowledged(
    fault: Fault, proxy: FaultProxy, prefix: str, recover: Callable[[], None]
) -> None:
    world = World(MemcachedCache([proxy.address], key_prefix=prefix, timeout=TIMEOUT))
    for forget, command in ((lambda: world.f.uncache(1), b"delete "), (world.f.uncache_all, b"set ")):
        world.check(1)
        proxy.fault = replace(fault, match=command)
        with pytest.raises(UncacheFailed, match="may still be served: memcached at "):
            forget()
        recover()
        world.change(recover)
        world.check(1)


@pytest.mark.parametrize("fault", HARMLESS, ids=repr)
def test_what_is_only_odd_is_no_failure(fault: Fault, proxy: FaultProxy, prefix: str) -> None:
    world = World(MemcachedCache([proxy.address], key_prefix=prefix, timeout=5))
    proxy.fault = fault
    world.check(1, 2, 1, 2)
    assert world.f.uncache(1)
    world.f.uncache_all()
    world.truth += 1
    world.check(1, 2, 1, 2)
    assert (world.f.info().failures, world.computed) == (0, 4)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.decode().strip())
def test_a_late_repeat_of_an_answer_is_not_taken_for_the_next(
    command: bytes, proxy: FaultProxy, prefix: str, recover: Callable[[], None]
) -> None:
    world = World(MemcachedCache([proxy.address], key_prefix=prefix, timeout=TIMEOUT))
    for _ in range(3):
        world.check(1, 2)
        proxy.fault = Repeat(late=True, times=1, match=command)
        world.check(2, 3, 4, 3, 4)
        world.change(recover)
        world.check(3, 1, 2, 5, 1, 2, 5)
        recover()


@pytest.mark.parametrize("lasts", [False, True], ids=["once", "lasting"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.decode().strip())
def test_an_answer_may_be_cut_anywhere(
    command: bytes, lasts: bool, proxy: FaultProxy, prefix: str, recover: Callable[[], None]
) -> None:
    world = World(MemcachedCache([proxy.address], key_prefix=prefix, timeout=5))
    seen: list[tuple[Request, int]] = []

    def work() -> None:
        world.check(1)
        world.change(recover)
        world.check(1)

    proxy.fault = Watch(match=command, seen=seen)
    work()
    for count in range(max(length for _, length in seen)):
        proxy.fault = CutAfter(count, match=command, times=None if lasts else 1)
        work()
        recover()
        world.check(1)


def test_failures_are_counted_and_told_once(
    proxy: FaultProxy, prefix: str, caplog: pytest.LogCaptureFixture, recover: Callable[[], None]
) -> None:
    world = World(MemcachedCache([proxy.address], key_prefix=prefix, timeout=TIMEOUT))
    with caplog.at_level(logging.INFO, "memocache"):
        world.check(1)
        proxy.fault = Refuse()
        world.check(*[1] * 10)
        assert world.f.peek(1) == (1, 0) or not world.f.peek(1)
        recover()
        world.check(1)
    info = world.f.info()
    assert (info.failures, info.misses, info.hits, info.stored) == (12, 11, 1, 1)
    place = proxy.address
    assert [record.getMessage().partition(" [Errno")[0] for record in caplog.records] == [
        f"memcached at {place} failed: ConnectionRefusedError:",
        "World.__init__.<locals>.f: the cache did not answer, so the call was computed and not stored: "
        f"memcached at {place} failed: ConnectionRefusedError:",
        f"World.__init__.<locals>.f: the cache did not answer: memcached at {place} failed before "
        "and is left alone for a moment (said once; see info())",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
