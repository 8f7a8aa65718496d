"""A memcached that goes and comes: left alone while it is down, asked again when it is back; answers that get lost."""

import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from pymemcache import Client

from memocache import CachedFunction, MemcachedCache, UncacheFailed, _clock, cached
from tests.support.faults import BlackHole, CutAfter, Fault, FaultProxy, LoseAnswer, Refuse, Reset
from tests.support.servers import MemcachedServer, connect, wait_until

if TYPE_CHECKING:
    from tests.support.faults import Exchange


@pytest.fixture
def proxy(memcached: MemcachedServer) -> Iterator[FaultProxy]:
    with FaultProxy(memcached.address, unix=True) as proxy:
        yield proxy


@pytest.fixture
def cache(proxy: FaultProxy, prefix: str) -> MemcachedCache:
    return MemcachedCache([proxy.address], key_prefix=prefix, timeout=5)


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock of the breaker, which goes on by itself no more."""
    now = _clock.ticks()
    monkeypatch.setattr(_clock, "ticks", lambda: now)

    def move(seconds: float) -> None:
        nonlocal now
        now += seconds

    return move


def counting(cache: MemcachedCache, wait: float = 10) -> CachedFunction[[int], int]:
    numbers = itertools.count(1)

    @cached(cache=cache, namespace="f", wait=wait)
    def f(x: int) -> int:
        return next(numbers)

    return f


# ---- down and back ---------------------------------------------------------------------------------------------------


def test_a_server_that_failed_is_left_alone(
    cache: MemcachedCache, proxy: FaultProxy, ticks: Callable[[float], None]
) -> None:
    f = counting(cache)
    f(1)
    proxy.fault = CutAfter(3)
    assert f(1) == 2
    before = len(proxy.requests), proxy.connections
    assert [f(1), f(2), f.refresh(1)] == [3, 4, 5]
    f.put(1, 1)
    ticks(0.12)
    assert f(1) == 6
    assert (len(proxy.requests), proxy.connections) == before
    assert f.info().failures == 6


def test_the_pauses_grow_to_half_a_minute(
    cache: MemcachedCache, proxy: FaultProxy, ticks: Callable[[float], None]
) -> None:
    f = counting(cache)
    proxy.fault = CutAfter(0)
    pauses = []
    for _ in range(12):
        tried, pause = len(proxy.requests), 0.0
        f(1)
        while len(proxy.requests) == tried:
            ticks(0.05)
            pause += 0.05
            f(1)
        pauses.append(pause)
    assert pauses[0] <= 0.5
    assert 15 <= pauses[-1] <= 30.1
    assert all(second > first * 0.9 for first, second in itertools.pairwise(pauses[:8]))


def test_one_caller_tries_and_success_is_for_all(
    cache: MemcachedCache, proxy: FaultProxy, ticks: Callable[[float], None]
) -> None:
    f = counting(cache)
    f(1)
    proxy.fault = Refuse()
    f(1)
    proxy.fault = BlackHole(times=1)
    ticks(31)
    before = len(proxy.requests)
    asked = threading.Thread(target=f, args=(1,))
    asked.start()
    assert wait_until(lambda: len(proxy.requests) > before)
    assert f(1) > 1  # while the other one tries, this one does not wait
    assert len(proxy.requests) == before + 1
    proxy.drop_connections()
    asked.join()
    ticks(31)
    assert [f(1), f(1), f(1)] == [1, 1, 1]


def test_uncache_tries_even_then_and_tells_all_others(
    cache: MemcachedCache, proxy: FaultProxy, ticks: Callable[[float], None]
) -> None:
    f = counting(cache)
    f(1)
    proxy.fault = Reset()
    f(1)
    for forget in (lambda: f.uncache(1), f.uncache_all):
        before = len(proxy.requests)
        with pytest.raises(UncacheFailed):
            forget()
        assert len(proxy.requests) > before
    proxy.fault = None
    assert f.uncache(1)
    assert f(1) == f(1)  # no clock was moved: the server is known to be back
    assert f.info().hits == 1


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_nobody_notices_a_restart(
    tcp: bool, memcached_factory: Callable[..., MemcachedServer], caplog: pytest.LogCaptureFixture
) -> None:
    server = memcached_factory(tcp=tcp)
    f = counting(MemcachedCache([server.address], timeout=5))
    go, done = threading.Barrier(5), threading.Barrier(5)
    seen: list[int] = []

    def work(number: int) -> None:
        for _ in range(3):
            go.wait(30)
            seen.append(f(number))
            seen.append(f(number))
            done.wait(30)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        go.wait(30)
        done.wait(30)
        f.uncache_all()
        server.restart()  # kill -9, with five warm connections
    for thread in threads:
        thread.join()
    assert f.info().failures == 0
    assert (f.info().misses, f.info().hits, len(set(seen))) == (12, 12, 12)
    assert not caplog.records


def test_a_server_that_hangs_costs_one_deadline_and_no_more(own_memcached: MemcachedServer) -> None:
    f = counting(MemcachedCache([own_memcached.address], timeout=0.1))
    f(1)
    own_memcached.pause()
    try:
        began = _clock.ticks()
        assert [f(1), f(2), f(3)] == [2, 3, 4]
        assert _clock.ticks() - began < 2
        with pytest.raises(UncacheFailed):
            f.uncache(1)
    finally:
        own_memcached.resume()


class Full(Fault):
    def play(self, exchange: "Exchange") -> None:
        exchange.reply(b"SERVER_ERROR out of memory storing object\r\n")


def test_a_full_server_is_no_outage(cache: MemcachedCache, proxy: FaultProxy, caplog: pytest.LogCaptureFixture) -> None:
    f = counting(cache)
    f(1)
    proxy.fault = Full(match=b"add ")
    with caplog.at_level(logging.WARNING, "memocache"):
        assert [f(2), f(2), f(1)] == [2, 3, 1]
    assert [record.getMessage() for record in caplog.records] == [
        "counting.<locals>.f: the cache did not answer, so the call was computed and not stored: memcached at "
        f"{proxy.address} has no room for an item of this size (said once; see info())"
    ]


# ---- answers that get lost -------------------------------------------------------------------------------------------


def test_a_lease_whose_answer_was_lost_is_known_by_its_id(cache: MemcachedCache, proxy: FaultProxy) -> None:
    f = counting(cache, wait=0)
    f(0)
    proxy.fault = LoseAnswer(match=b"add ", times=1)
    assert [f(1), f(1), f(1)] == [2, 2, 2]
    info = f.info()
    assert (info.misses, info.hits, info.stored, info.failures) == (2, 2, 2, 0)


def test_so_is_one_that_was_swapped_in(cache: MemcachedCache, proxy: FaultProxy) -> None:
    f = counting(cache, wait=0)
    f(1)
    f.uncache_all()
    proxy.fault = LoseAnswer(match=b"cas ", times=1)
    assert [f(1), f(1), f(1)] == [2, 2, 2]
    assert (f.info().stored, f.info().failures) == (2, 0)


class SilentFrom(Fault):
    """The answer is lost, and from then on the server is down."""

    def play(self, exchange: "Exchange") -> None:
        exchange.ask()
        exchange._connection.proxy.fault = CutAfter(0)
        exchange.hang_up()


@pytest.mark.parametrize("lost", [b"add ", b"gets ", b"cas "])
def test_a_stub_that_lost_its_leader_is_led_again(
    lost: bytes, cache: MemcachedCache, proxy: FaultProxy, ticks: Callable[[float], None]
) -> None:
    f = counting(cache, wait=0)
    f(0)
    proxy.fault = SilentFrom(match=lost)  # the server does it and is not heard of again, not even on a second asking
    assert f(1) == 2
    proxy.fault = None
    ticks(31)
    # Otherwise all would wait for a lease that nobody will fill. (A lost `cas` has stored the value.)
    assert [f(1), f(1)] == ([2, 2] if lost == b"cas " else [3, 3])
    assert f.info().failures == 1


class Interrupted(BaseException):
    pass


@pytest.mark.parametrize("command", ["add", "gets", "cas"])
def test_an_interrupted_leader_leaves_nobody_waiting(
    command: str, cache: MemcachedCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    f = counting(cache, wait=0)
    f(0)
    real = getattr(Client, command)

    def interrupted(*args: Any, **options: Any) -> Any:
        if command != "gets":
            real(*args, **options)
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(Client, command, interrupted)
        with pytest.raises(Interrupted):
            f(1)
    result = 3 if command == "gets" else 2  # `gets` came after a computation, and `cas` stored its result
    assert [f(1), f(1)] == [result, result]
    assert f.info().failures == 0


def test_another_processes_lease_is_never_taken_for_ours(
    cache: MemcachedCache, memcached: MemcachedServer, prefix: str
) -> None:
    elsewhere = MemcachedCache([memcached.address], key_prefix=prefix)
    begun, finish = threading.Event(), threading.Event()

    @cached(cache=elsewhere, namespace="slow")
    def slow() -> str:
        begun.set()
        assert finish.wait(10)
        return "theirs"

    ours = cached(cache=cache, namespace="slow", wait=0)(lambda: "ours")
    thread = threading.Thread(target=slow)
    thread.start()
    assert begun.wait(10)
    assert [ours(), ours()] == ["ours", "ours"]
    finish.set()
    thread.join()
    assert ours() == "theirs"


def test_a_late_stub_does_not_bring_back_what_was_forgotten(
    cache: MemcachedCache, memcached: MemcachedServer, proxy: FaultProxy
) -> None:
    # `add` is sent by somebody who is then interrupted; it arrives after an `uncache`. Who finds it computes anew.
    f = counting(cache, wait=0)
    f(0)
    held: list[bytes] = []

    class Hold(Fault):
        def play(self, exchange: "Exchange") -> None:
            held.append(exchange.request.raw)
            exchange.hang_up()

    proxy.fault = Hold(match=b"add ", times=1)
    assert f(1) == 2  # computed, not stored: the marker was not there
    assert not f.uncache(1)
    with connect(memcached.address, 5) as stream:
        stream.sendall(held[0])
        assert stream.recv(100) == b"STORED\r\n"
    assert [f(1), f(1)] == [3, 3]
