"""Connections to a server: as few as will do for all threads, none out of step, none inherited or half read."""

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from memocache import BackendUnavailable, cached
from memocache._clock import ticks
from memocache.backends import _wire
from memocache.backends.base import Cache
from memocache.backends.memcached import MemcachedConnection
from tests.faults.kinds import KINDS, Kind, Memcached, Redis
from tests.support.faults import BlackHole, Fault, FaultProxy
from tests.support.servers import wait_until
from tests.support.strict import run_strictly
from tests.support.threads import PATIENCE, at_once, start

if TYPE_CHECKING:
    from tests.support.faults import Exchange

Make = Callable[..., Cache]

# ---- threads ---------------------------------------------------------------------------------------------------------


def test_one_connection_serves_all_calls_of_a_thread(proxy: FaultProxy, make_cache: Make) -> None:
    cache = make_cache()
    assert proxy.connections == 0  # none is made before it is needed
    f = cached(cache=cache, namespace="f")(lambda x: x)
    for number in range(20):
        f(number)
        cache.set(str(number), number)
        cache.get(str(number))
        f.uncache(number)
    f.uncache_all()
    assert proxy.connections == 1


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_threads_take_connections_that_are_idle(tcp: bool, kind: type[Kind], start_server: Callable[..., Any]) -> None:
    server = start_server(tcp=tcp)
    cache = kind.cache(server.address)
    before = kind.connections(server)
    for number in range(50):  # one after the other, as the requests of a web server that has a thread for each
        start(cache.set, str(number), number).result(PATIENCE)
    assert cache.get_many(*map(str, range(50))) == list(range(50))
    assert kind.connections(server) - before == 1


@dataclass(frozen=True, kw_only=True)
class HeldUntilFull(Fault):
    """Answers wait until there are so many of them, or for as long as it takes to see that there will not be more."""

    full: threading.Barrier

    def play(self, exchange: "Exchange") -> None:
        answer = exchange.ask()
        with contextlib.suppress(threading.BrokenBarrierError):
            self.full.wait(25)
        exchange.reply(answer)


def test_a_process_has_at_most_32_connections_and_waits_for_them(
    kind: type[Kind], proxy: FaultProxy, make_cache: Make
) -> None:
    f = cached(cache=make_cache(timeout=60), namespace="f")(lambda x: x)
    f(1)
    asked = b"MGET " if kind is Redis else kind.get
    proxy.fault = HeldUntilFull(match=asked, full=threading.Barrier(_wire.MOST_CONNECTIONS))
    at_once(2 * _wire.MOST_CONNECTIONS, lambda: f(1))
    info = f.info()
    assert (info.hits, info.misses, info.failures) == (2 * _wire.MOST_CONNECTIONS, 1, 0)
    assert proxy.connections == _wire.MOST_CONNECTIONS


def test_who_gets_no_connection_in_time_computes_and_the_server_has_not_failed(
    proxy: FaultProxy, make_cache: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(_wire, "MOST_CONNECTIONS", 1)
    cache = make_cache(timeout=0.2)
    f = cached(cache=cache, namespace="f")(lambda x: x)
    f(1)
    inside, leave = threading.Event(), threading.Event()

    def take() -> None:
        server = cache._node("k") if not hasattr(cache, "_topology") else cache._topology._server
        with contextlib.suppress(BackendUnavailable):
            server.give(lambda *_: inside.set() or leave.wait(5), (), repeats=False, writes=False)

    taking = start(take)
    assert inside.wait(5)
    assert f(1) == 1
    assert "all 1 connections to it were in use" in caplog.text
    leave.set()
    taking.result(PATIENCE)
    assert f(1) == 1
    assert (f.info().hits, f.info().failures) == (1, 1)
    assert "calls are computed until it is back" not in caplog.text


def test_a_cache_that_is_dropped_closes_its_connections(kind: type[Kind], start_server: Callable[..., Any]) -> None:
    server = start_server()
    before = kind.connections(server)
    for _ in range(5):
        kind.cache(server.address).set("k", 1)
    assert wait_until(lambda: kind.connections(server) == before)


def test_many_threads_on_one_cache_never_mix(make_cache: Make) -> None:
    cache = make_cache()

    def work(number: int) -> None:
        for round_ in range(50):
            cache.set(str(number), f"{number}-{round_}")
            assert cache.get(str(number)) == f"{number}-{round_}"

    for each in [start(work, number) for number in range(12)]:
        each.result(PATIENCE)


# ---- processes -------------------------------------------------------------------------------------------------------

CACHE = """
import asyncio, ctypes, json, os, sys, threading
from memocache import MemcachedCache, RedisCache, cached

address = json.loads(sys.argv[1])
cache = {}
cache.set("k", 1)
"""
FORK = """
f = cached(cache=cache, namespace=json.loads(sys.argv[2]))(lambda pid, x: (pid, x))

def use():
    me = os.getpid()
    for x in range(50):
        assert f(me, x) == (me, x)
        assert cache.set(f"{me}", x)
        assert cache.get(f"{me}") == x
        assert f.uncache(me, x)

def use_in_children(fork, count, use):
    use()
    children = []
    for _ in range(count):
        child = fork()
        if not child:
            try:
                use()
            except BaseException:
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        children.append(child)
    use()
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * count
    use()
"""
AMONG_THREADS = """
ready, finish = threading.Barrier(5), threading.Event()

def warm():  # threads that the children do not have, with connections that they would inherit
    cache.set("k", 1)
    ready.wait(10)
    finish.wait(30)

threads = [threading.Thread(target=warm) for _ in range(4)]
for thread in threads:
    thread.start()
ready.wait(10)
use_in_children(os.fork, 4, use)
finish.set()
for thread in threads:
    thread.join()
"""


def test_forked_children_use_connections_of_their_own(kind: type[Kind], proxy: FaultProxy, prefix: str) -> None:
    assert run_strictly(CACHE.format(kind.script) + FORK + AMONG_THREADS, proxy.address, prefix) == ""
    assert 4 < proxy.connections <= 5 + 4


UNTOLD = """
@cached(cache=cache, namespace=json.loads(sys.argv[2]) + "g")
async def g(pid, x):
    return (pid, x)

def use_in_tasks_too():
    use()
    for x in range(50):
        assert asyncio.run(g(os.getpid(), x)) == (os.getpid(), x)

use_in_children(ctypes.PyDLL(None).fork, 2, use_in_tasks_too)  # as uWSGI does, and Python knows nothing of it
assert f.info().failures == g.info().failures == 0
"""


def test_a_fork_that_python_was_not_told_of_is_noticed(kind: type[Kind], server: Any, prefix: str) -> None:
    assert run_strictly(CACHE.format(kind.script) + FORK + UNTOLD, server.address, prefix) == ""


def test_a_process_may_end_without_closing_anything(kind: type[Kind], server: Any) -> None:
    assert run_strictly(CACHE.format(kind.script), server.address) == ""


# ---- bytes out of turn -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class RepeatOnDemand(Fault):
    """The answer comes at once, and a second time when the client has read it and waits for nothing."""

    wanted: threading.Event
    sent: threading.Event

    def play(self, exchange: "Exchange") -> None:
        answer = exchange.ask()
        exchange.reply(answer)
        self.wanted.wait(5)
        exchange.reply(answer)
        self.sent.set()


def test_bytes_that_nobody_asked_for_are_noticed(
    kind: type[Kind], server: Any, proxy: FaultProxy, prefix: str, make_cache: Make
) -> None:
    cache = make_cache()
    cache.set("k", "old")
    fault = RepeatOnDemand(match=kind.get, times=1, wanted=threading.Event(), sent=threading.Event())
    proxy.fault = fault
    assert cache.get("k") == "old"
    fault.wanted.set()
    assert fault.sent.wait(5)
    kind.cache(server.address, prefix).set("k", "new")
    assert cache.get("k") == "new"
    assert proxy.connections == 2


# ---- interruptions: KeyboardInterrupt, a time limit of gevent's or Celery's ------------------------------------------


class Interrupted(BaseException):
    pass


def send_signal() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)


@dataclass(frozen=True, kw_only=True)
class SignalClient(Fault):
    """The client gets a signal while it waits for the answer, which comes when that has been handled."""

    handled: threading.Event

    def play(self, exchange: "Exchange") -> None:
        answer = exchange.ask()
        send_signal()
        self.handled.wait(5)
        exchange.reply(answer)


@pytest.fixture
def handle() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Sets what a SIGUSR1 does."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda do: signal.signal(signal.SIGUSR1, lambda *_: do()) and None
    signal.signal(signal.SIGUSR1, before)


Handle = Callable[[Callable[[], object]], None]


@pytest.fixture
def interrupt(proxy: FaultProxy, handle: Handle) -> Callable[..., None]:
    """Does something and interrupts it while the answer to a command is awaited."""

    def handler() -> None:
        raise Interrupted

    def interrupted(command: bytes, do: Callable[..., object], *args: object) -> None:
        handled = threading.Event()
        proxy.fault = SignalClient(match=command, times=1, handled=handled)
        with pytest.raises(Interrupted):
            do(*args)
        handled.set()

    handle(handler)
    return interrupted


def test_after_an_interruption_nobody_reads_the_old_answer(
    kind: type[Kind], proxy: FaultProxy, make_cache: Make, interrupt: Callable[..., None]
) -> None:
    cache = make_cache()
    cache.set("alice", "A")
    cache.set("bob", "B")
    interrupt(kind.get, cache.get, "alice")
    assert cache.get("bob") == "B"
    interrupt(kind.get, cache.get, "alice")
    assert cache.set("alice", "AA")
    assert cache.get("alice") == "AA"
    interrupt(kind.get, cache.get_many, "alice", "bob")
    assert cache.get_many("bob", "alice") == ["B", "AA"]
    interrupt(b"", cache.set, "bob", "BB")
    assert not cache.add("bob", "BBB")  # the old answer would say that it was added
    cache.inc("number")
    interrupt(kind.increment, cache.inc, "number")
    assert cache.inc("number") == (3 if kind is Redis else 2)  # Redis has counted already, memcached only read
    interrupt(kind.delete, cache.delete, "number")
    if kind is Redis:
        cache.delete("number")  # of the two commands that this is, the second was not passed on
    assert not cache.delete("number")
    assert proxy.connections == 7


def test_a_function_that_is_interrupted_anywhere_gives_the_right_values_afterwards(
    kind: type[Kind], make_cache: Make, interrupt: Callable[..., None]
) -> None:
    f = cached(cache=make_cache(), namespace="f", wait=0)(lambda x: -x)
    f(0)  # the scripts are known now
    for number, command in enumerate(kind.of_a_miss, 1):
        interrupt(command, f, number)
        assert [f(-number), f(number), f(-number)] == [number, -number, number]
    interrupt(kind.delete, f.uncache, -1)
    if kind is Redis:
        f.uncache(-1)
    assert not f.uncache(-1)
    interrupt(kind.uncache_all, f.uncache_all)
    assert [f(x) for x in range(-4, 5)] == [-x for x in range(-4, 5)]


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
def test_an_interrupted_connection_attempt_leaves_nothing(
    tcp: bool, kind: type[Kind], start_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise Interrupted

    cache = kind.cache(start_server(tcp=tcp).address)
    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "connect", interrupted)
        with pytest.raises(Interrupted):
            cache.get("k")
    assert cache.set("k", 1)  # and no ResourceWarning is about


def test_a_connection_that_was_interrupted_before_it_was_made_can_go() -> None:
    """Whatever `__del__` raised would be printed in the middle of the user's own output."""
    unmade = MemcachedConnection.__new__(MemcachedConnection)
    unmade.__del__()


# ---- signals that raise nothing --------------------------------------------------------------------------------------


def test_signals_do_not_put_the_deadline_off(proxy: FaultProxy, make_cache: Make, handle: Handle) -> None:
    f = cached(cache=make_cache(timeout=0.2), namespace="f")(lambda x: -x)
    f(1)
    handle(lambda: None)
    finished = threading.Event()

    def disturb() -> None:
        for _ in range(300):  # three seconds, if nothing else ends it
            if finished.wait(0.01):
                return
            send_signal()

    proxy.fault = BlackHole()
    disturber = threading.Thread(target=disturb)
    began = ticks()
    disturber.start()
    try:
        assert f(1) == -1
        assert ticks() - began < 2
        assert f.info().failures == 1
    finally:
        finished.set()
        disturber.join()


COMMANDS = [(kind, command) for kind in KINDS.values() for command in (*kind.of_a_miss, kind.delete)]


@pytest.mark.parametrize(("kind", "command"), COMMANDS, indirect=["kind"], ids=str)
def test_a_signal_handler_may_use_the_cache_in_the_middle_of_a_command(
    command: bytes, proxy: FaultProxy, make_cache: Make, handle: Handle
) -> None:
    cache = make_cache(timeout=5)
    computed: list[int] = []
    f = cached(cache=cache, namespace="f")(lambda x: (computed.append(x), -x)[1])
    f(0)
    cache.set("k", 1)
    handled = threading.Event()
    seen: list[object] = []

    def use_the_cache() -> None:
        seen.extend([f(0), f(2), f(2), cache.inc("k"), f.uncache(2)])
        handled.set()

    handle(use_the_cache)
    proxy.fault = SignalClient(match=command, times=1, handled=handled)
    results = [f(1), f.uncache(1), f(1), f(1)]
    assert handled.wait(5)
    assert seen == [0, -2, -2, 2, True]
    assert results == [-1, True, -1, -1]
    assert sorted(computed) == [0, 1, 1, 2]
    assert f.info().failures == 0


@pytest.mark.parametrize("kind", [Memcached], indirect=True)
def test_a_signal_handler_may_use_the_cache_while_the_connection_is_looked_at(
    make_cache: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    handlers: list[Callable[[], object]] = []  # each is called once, in the middle of a poll
    real = _wire._ready

    def interrupted_ready(opened: socket.socket, *, writing: bool) -> Callable[[float], object]:
        poll, running = real(opened, writing=writing), False

        def poll_once(milliseconds: float) -> object:
            nonlocal running
            assert not running, "concurrent poll() invocation"  # as a poll object says of itself
            running = True
            while handlers:
                handlers.pop()()
            running = False
            return poll(milliseconds)

        return poll_once

    monkeypatch.setattr(_wire, "_ready", interrupted_ready)
    cache = make_cache()
    cache.set("k", 1)
    handlers.append(lambda: cache.inc("k"))
    assert [cache.get("k"), cache.get("k")] == [2, 2]
    assert not handlers
