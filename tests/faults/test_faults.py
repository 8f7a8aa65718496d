"""A server that fails in every way: the caller of a cached function gets the right value, soon, and no exception."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from memocache import UncacheFailed
from memocache.backends.base import Cache
from tests.faults.kinds import DRIVERS, Kind, Redis
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
from tests.support.faulty import World
from tests.support.servers import wait_until
from tests.support.wire import Request

TIMEOUT = 0.05
DEADLY: list[Fault] = [
    *(Refuse(), BlackHole(), DropRequest(), HalfClose(), Reset(), LoseAnswer(), Delay(10), Delay(10, request=True)),
    *(Drip(10), Drip(50)),  # each byte in time, the whole of them never
    *(Garbage(b""), Garbage(b"\r\n"), Garbage(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Endless()),
]
HARMLESS: list[Fault] = [OneByteAtATime(0), Delay(0.001)]
MakeWorld = Callable[..., World]
Recover = Callable[[], None]


def each_of(values: Callable[[type[Kind]], list[Any]]) -> pytest.MarkDecorator:
    """Run a test on each kind of server, in a loop too if it has connections of loops, with each of the *values*."""
    found = [(kind, in_loop, each) for kind, in_loop in DRIVERS for each in values(kind)]
    ids = [f"{kind.name}{' in a loop' if in_loop else ''} {each!r}"[:80] for kind, in_loop, each in found]
    return pytest.mark.parametrize(("kind", "runner", "each"), found, indirect=["kind", "runner"], ids=ids)


def deadly(kind: type[Kind]) -> list[Fault]:
    return [*DEADLY, *map(Garbage, kind.garbage), *map(Endless, kind.endless)]


@pytest.fixture
def make_world(make_cache: Callable[..., Cache], runner: asyncio.Runner | None) -> MakeWorld:
    return lambda timeout=TIMEOUT: World(make_cache(timeout=timeout), runner)


@each_of(lambda kind: [replace(fault, match=command) for fault in deadly(kind) for command in kind.commands])
def test_a_caller_never_notices(each: Fault, proxy: FaultProxy, make_world: MakeWorld, recover: Recover) -> None:
    world = make_world()
    world.check(1, 2)
    for times in (1, None):
        proxy.fault = replace(each, times=times)
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


@each_of(deadly)
def test_uncache_raises_exactly_when_it_was_not_acknowledged(
    kind: type[Kind], each: Fault, proxy: FaultProxy, make_world: MakeWorld, recover: Recover
) -> None:
    world = make_world()
    for forget, command in ((lambda: world.f.uncache(1), kind.delete), (world.f.uncache_all, kind.uncache_all)):
        world.check(1)
        proxy.fault = replace(each, match=command)
        with pytest.raises(UncacheFailed, match=f"may still be served: {kind.name} at "):
            forget()
        recover()
        world.change(recover)
        world.check(1)


@each_of(lambda kind: HARMLESS)
def test_what_is_only_odd_is_no_failure(each: Fault, proxy: FaultProxy, make_world: MakeWorld) -> None:
    world = make_world(timeout=5)
    proxy.fault = each
    world.check(1, 2, 1, 2)
    assert world.f.uncache(1)
    world.f.uncache_all()
    world.truth += 1
    world.check(1, 2, 1, 2)
    assert (world.f.info().failures, world.computed) == (0, 4)


@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
@each_of(lambda kind: list(kind.commands))
def test_a_repeat_of_an_answer_is_not_taken_for_the_next(
    each: bytes, late: bool, proxy: FaultProxy, make_world: MakeWorld, recover: Recover
) -> None:
    world = make_world()
    for _ in range(3):
        world.check(1, 2)
        proxy.fault = Repeat(late=late, times=1, match=each)
        world.check(2, 3, 4, 3, 4)
        world.change(recover)
        world.check(3, 1, 2, 5, 1, 2, 5)
        recover()


@pytest.mark.parametrize("lasts", [False, True], ids=["once", "lasting"])
@each_of(lambda kind: list(kind.commands))
def test_an_answer_may_be_cut_anywhere(
    each: bytes, lasts: bool, proxy: FaultProxy, make_world: MakeWorld, recover: Recover
) -> None:
    world = make_world(timeout=5)
    seen: list[tuple[Request, int]] = []

    def work() -> None:
        world.check(1)
        world.change(recover)
        world.check(1)

    proxy.fault = Watch(match=each, seen=seen)
    work()
    longest = max((length for _, length in seen), default=0)
    for count in range(0, longest, 1 if longest < 50 else 7):
        proxy.fault = CutAfter(count, match=each, times=None if lasts else 1)
        work()
        recover()
        world.check(1)


@each_of(lambda kind: ["anything"])
def test_a_server_that_failed_is_left_alone_for_a_moment(
    each: str, proxy: FaultProxy, make_world: MakeWorld, recover: Recover
) -> None:
    world = make_world()
    world.check(1)
    proxy.fault = BlackHole()
    world.check(1)
    before = len(proxy.requests), proxy.connections
    world.check(*range(20))
    assert (len(proxy.requests), proxy.connections) == before
    with pytest.raises(UncacheFailed):  # but a forgetting is tried all the same
        world.f.uncache(1)
    assert wait_until(lambda: (len(proxy.requests), proxy.connections) != before)  # the proxy may be late
    recover()
    world.check(1)


def test_failures_are_counted_and_told_once(
    kind: type[Kind],
    proxy: FaultProxy,
    make_cache: Callable[..., Cache],
    caplog: pytest.LogCaptureFixture,
    recover: Recover,
) -> None:
    world = World(make_cache(timeout=TIMEOUT))
    with caplog.at_level(logging.INFO, "memocache"):
        world.check(1)
        proxy.fault = Refuse()
        world.check(*[1] * 10)
        assert world.f.peek(1) == (1, 0) or not world.f.peek(1)
        recover()
        world.check(1)
    info = world.f.info()
    assert (info.failures, info.misses, info.hits, info.stored) == (12, 11, 1, 1)
    error = "ConnectionError:" if kind is Redis else "ConnectionRefusedError:"
    function = "World.__init__.<locals>.f: the cache did not answer"
    place = f"{kind.name} at {proxy.address} failed"
    said = [record.getMessage().partition(" [Errno")[0] for record in caplog.records]
    for found, expected in zip(
        said,
        [
            f"{place}: {error}",
            f"{function}, so the call was computed and not stored: {place}: {error}",
            f"{function}: {place} before and is left alone for a moment (said once; see info())",
            f"{kind.name} at {proxy.address} is back",
        ],
        strict=True,
    ):
        assert found.startswith(expected)
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
