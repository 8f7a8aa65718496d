"""A memcached that goes and comes: left alone while it is down, asked again when it is back; answers that get lost."""

import itertools
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from pymemcache import Client

from memocache import MemcachedCache, UncacheFailed, cached
from tests.faults.kinds import Memcached
from tests.support.faults import BlackHole, CutAfter, CutRequest, Fault, FaultProxy, LoseAnswer, Refuse, Reset
from tests.support.faulty import counting
from tests.support.servers import MemcachedServer, connect, wait_until
from tests.support.threads import PATIENCE, start

if TYPE_CHECKING:
    from tests.support.faults import Exchange


@pytest.fixture
def kind() -> type[Memcached]:
    return Memcached


@pytest.fixture
def cache(make_cache: Callable[..., MemcachedCache]) -> MemcachedCache:
    return make_cache(timeout=5)


# ---- down and back ---------------------------------------------------------------------------------------------------


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
    asked = start(f, 1)
    assert wait_until(lambda: len(proxy.requests) > before)
    assert f(1) > 1  # while the other one tries, this one does not wait
    assert len(proxy.requests) == before + 1
    proxy.drop_connections()
    asked.result(PATIENCE)
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

    threads = [start(work, number) for number in range(4)]
    for _ in range(3):
        go.wait(30)
        done.wait(30)
        f.uncache_all()
        server.restart()  # kill -9, with five warm connections
    for thread in threads:
        thread.result(PATIENCE)
    assert f.info().failures == 0
    assert (f.info().misses, f.info().hits, len(set(seen))) == (12, 12, 12)
    assert not caplog.records


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


@pytest.mark.parametrize("fault", [Full(match=b"cas ", times=1), CutRequest(0, match=b"cas ", times=1)])
def test_a_result_that_the_server_did_not_take_holds_nobody_up(
    fault: Fault, cache: MemcachedCache, proxy: FaultProxy
) -> None:
    f = counting(cache)
    proxy.fault = fault
    assert f(1) == 1
    assert f.info().errors == {"the cache did not take a result": 1}
    assert not f.uncache(1)  # no lease is left, for which other processes would wait


# ---- answers that get lost -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [b"add ", b"cas "])
def test_a_lease_whose_answer_was_lost_is_known_by_its_id(
    command: bytes, cache: MemcachedCache, proxy: FaultProxy
) -> None:
    f = counting(cache, wait=0)
    f(0 if command == b"add " else 1)
    if command == b"cas ":
        f.uncache_all()  # so that what is there is swapped for the lease
    proxy.fault = LoseAnswer(match=command, times=1)
    assert [f(1), f(1), f(1)] == [2, 2, 2]
    info = f.info()
    assert (info.misses, info.hits, info.stored, info.failures) == (2, 2, 2, 0)


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
    theirs = start(slow)
    assert begun.wait(10)
    assert [ours(), ours()] == ["ours", "ours"]
    finish.set()
    assert theirs.result(PATIENCE) == ours() == "theirs"


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
