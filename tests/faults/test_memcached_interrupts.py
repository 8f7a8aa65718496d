"""A call on memcached that is interrupted: KeyboardInterrupt, a time limit of gevent's or Celery's."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from memocache import MemcachedCache, cached
from memocache._clock import ticks
from memocache.backends import _wire
from memocache.backends.memcached import MemcachedConnection
from tests.support.faults import BlackHole, Fault, FaultProxy
from tests.support.servers import MemcachedServer

if TYPE_CHECKING:
    from tests.support.faults import Exchange


@pytest.fixture
def proxy(memcached: MemcachedServer) -> Iterator[FaultProxy]:
    with FaultProxy(memcached.address, unix=True) as proxy:
        yield proxy


class Interrupted(BaseException):
    pass


@dataclass(frozen=True, kw_only=True)
class InterruptClient(Fault):
    """The client gets a signal while it waits for the answer, which comes when it has been interrupted."""

    done: threading.Event

    def play(self, exchange: "Exchange") -> None:
        answer = exchange.ask()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        self.done.wait(5)
        exchange.reply(answer)


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
    cache = MemcachedCache([proxy.address], key_prefix=prefix)
    cache.set("alice", "A")
    cache.set("bob", "B")
    interrupt(b"get ", cache.get, "alice")
    assert cache.get("bob") == "B"
    interrupt(b"get ", cache.get, "alice")
    assert cache.set("alice", "AA")
    assert cache.get("alice") == "AA"
    interrupt(b"get ", cache.get_many, "alice", "bob")
    assert cache.get_many("bob", "alice") == ["B", "AA"]
    interrupt(b"set ", cache.set, "bob", "BB")
    assert not cache.add("bob", "BBB")  # the old answer, STORED, would say that it was added
    interrupt(b"gets ", cache.inc, "number")
    assert cache.inc("number") == 1
    interrupt(b"delete ", cache.delete, "number")
    assert not cache.delete("number")
    assert proxy.connections == 7


def test_a_function_that_is_interrupted_anywhere_gives_the_right_values_afterwards(
    proxy: FaultProxy, memcached: MemcachedServer, prefix: str, interrupt: Callable[..., None]
) -> None:
    cache = MemcachedCache([proxy.address], key_prefix=prefix)
    f = cached(cache=cache, namespace="f", wait=0)(lambda x: -x)
    commands = [b"get ", b"add ", b"gets ", b"cas "]
    for number, command in enumerate(commands, 1):
        interrupt(command, f, number)
        assert [f(-number), f(number), f(-number)] == [number, -number, number]
    interrupt(b"delete ", f.uncache, -1)
    assert not f.uncache(-1)
    interrupt(b"set ", f.uncache_all)
    assert [f(x) for x in range(-4, 5)] == [-x for x in range(-4, 5)]


@pytest.mark.parametrize("server", ["memcached", "memcached_tcp"], ids=["unix", "tcp"])
def test_an_interrupted_connection_attempt_leaves_nothing(
    server: str, request: pytest.FixtureRequest, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise Interrupted

    cache = MemcachedCache([request.getfixturevalue(server).address], key_prefix=prefix)
    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "connect", interrupted)
        with pytest.raises(Interrupted):
            cache.get("k")
    assert cache.set("k", 1)  # and no ResourceWarning is about


# ---- signals that raise nothing --------------------------------------------------------------------------------------


@pytest.fixture
def handle() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Sets what a SIGUSR1 does."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda do: signal.signal(signal.SIGUSR1, lambda *_: do())
    signal.signal(signal.SIGUSR1, before)


def send_signal() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)


def test_signals_do_not_put_the_deadline_off(
    proxy: FaultProxy, prefix: str, handle: Callable[[Callable[[], object]], None]
) -> None:
    cache = MemcachedCache([proxy.address], key_prefix=prefix, timeout=0.2)
    f = cached(cache=cache, namespace="f")(lambda x: -x)
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
    finally:
        finished.set()
        disturber.join()


@dataclass(frozen=True, kw_only=True)
class SignalClient(Fault):
    """The client gets a signal while it waits for the answer, which comes when that has been handled."""

    handled: threading.Event

    def play(self, exchange: "Exchange") -> None:
        answer = exchange.ask()
        send_signal()
        self.handled.wait(5)
        exchange.reply(answer)


@pytest.mark.parametrize("command", [b"get ", b"add ", b"gets ", b"cas ", b"delete "])
def test_a_signal_handler_may_use_the_cache_in_the_middle_of_a_command(
    command: bytes, proxy: FaultProxy, prefix: str, handle: Callable[[Callable[[], object]], None]
) -> None:
    cache = MemcachedCache([proxy.address], key_prefix=prefix, timeout=5)
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


def test_a_signal_handler_may_use_the_cache_while_the_connection_is_looked_at(
    memcached: MemcachedServer, prefix: str, monkeypatch: pytest.MonkeyPatch
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
    cache = MemcachedCache([memcached.address], key_prefix=prefix)
    cache.set("k", 1)
    handlers.append(lambda: cache.inc("k"))
    assert [cache.get("k"), cache.get("k")] == [2, 2]
    assert not handlers


def test_a_connection_that_was_interrupted_before_it_was_made_can_go() -> None:
    """Whatever `__del__` raised would be printed in the middle of the user's own output."""
    unmade = MemcachedConnection.__new__(MemcachedConnection)
    unmade.__del__()
