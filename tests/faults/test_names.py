"""Names of hosts: who looks them up, for how long, and which of the addresses that they stand for is used."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from memocache import UncacheFailed, cached
from memocache._clock import ticks
from memocache.backends import _names
from memocache.backends.base import Cache
from tests.faults.kinds import Kind, each_driver
from tests.support.faults import FaultProxy, Refuse
from tests.support.faulty import World
from tests.support.servers import connect, free_port, wait_until

TIMEOUT = 0.5
NAME = "cache.internal"


class Resolver:
    """What answers for NAME: with *hosts*, when it may; or with an error, if these are none."""

    def __init__(self) -> None:
        self.hosts = ["127.0.0.1"]
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._real = socket.getaddrinfo

    def getaddrinfo(self, host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host != NAME:
            return self._real(host, port, *args, **options)
        self.asked += 1
        self.may_answer.wait(30)
        if not self.hosts:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in self.hosts
        ]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver.getaddrinfo)
    yield resolver
    resolver.may_answer.set()


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def listen(server: Any, port: int) -> Iterator[Callable[..., FaultProxy]]:
    """Has something listen at a host and the *port*, in front of the server or of another one."""
    with ExitStack() as proxies:
        yield lambda host, upstream=None: proxies.enter_context(
            FaultProxy(upstream or server.address, address=(host, port))
        )


@pytest.fixture
def black_hole(port: int) -> Iterator[str]:
    """A host where nothing answers to those who connect to the *port*."""
    host = "127.0.0.9"
    with socket.create_server((host, port), backlog=0), ExitStack() as clients:
        for _ in range(4):  # after these, the kernel drops what comes
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex((host, port))
        with pytest.raises(TimeoutError):
            connect((host, port), 0.1)
        yield host


@pytest.fixture
def make_cache(kind: type[Kind], port: int, prefix: str, resolver: Resolver) -> Callable[..., Cache]:
    """Makes caches of what the name stands for."""
    return lambda **options: kind.cache((NAME, port), prefix, **{"timeout": TIMEOUT, **options})


@pytest.fixture
def world(make_cache: Callable[..., Cache], runner: asyncio.Runner | None) -> World:
    return World(make_cache(), runner)


def let_pass(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let so many seconds have passed since the name was looked up."""
    now = _names.ticks
    monkeypatch.setattr(_names, "ticks", lambda: now() + seconds)


@each_driver
def test_a_resolver_that_is_silent_costs_one_deadline(world: World, resolver: Resolver, listen: Any) -> None:
    listen("127.0.0.1")
    resolver.may_answer.clear()
    for _ in range(3):
        began = ticks()
        world.check(1)
        assert ticks() - began < TIMEOUT + 1
    began = ticks()
    with pytest.raises(UncacheFailed, match=r"the address of cache\.internal is not known yet"):
        world.f.uncache(1)
    assert ticks() - began < TIMEOUT + 1
    assert resolver.asked == 1  # nobody else asks while it is being asked
    resolver.may_answer.set()

    def is_known() -> bool:
        before = world.computed
        world.check(1, 1)
        return world.computed <= before + 1 and world.f.info().hits > 0

    assert wait_until(is_known, 20)
    assert resolver.asked <= 2


@each_driver
def test_a_name_that_nobody_knows_is_a_server_that_failed(world: World, resolver: Resolver, listen: Any) -> None:
    resolver.hosts = []
    world.check(1)
    with pytest.raises(UncacheFailed, match="Temporary failure in name resolution"):
        world.f.uncache(1)


@each_driver
def test_a_first_address_that_is_dead_takes_its_part_of_the_time_only(
    world: World, resolver: Resolver, listen: Any, black_hole: str
) -> None:
    proxy = listen("127.0.0.99")
    resolver.hosts = [black_hole, "127.0.0.99"]
    began = ticks()
    world.check(1)
    assert ticks() - began < TIMEOUT + 1
    world.check(1)
    assert (world.computed, world.f.info().failures) == (1, 0)
    proxy.drop_connections()
    began = ticks()
    assert world.f.uncache(1)  # on a new connection, and the dead address goes last now
    assert ticks() - began < TIMEOUT / 2


@each_driver
def test_the_last_answer_is_kept(
    world: World, resolver: Resolver, listen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = listen("127.0.0.1")
    world.check(1)
    for silent in (True, False):
        resolver.hosts = []
        if silent:
            resolver.may_answer.clear()
        let_pass(100, monkeypatch)
        proxy.drop_connections()
        world.check(1)
        assert world.f.uncache(1)
        world.check(1)
        resolver.may_answer.set()
    assert world.f.info().failures == 0
    assert wait_until(lambda: resolver.asked > 1)


def test_a_name_that_moves_moves_for_the_whole_process(
    kind: type[Kind],
    make_cache: Callable[..., Cache],
    resolver: Resolver,
    listen: Any,
    start_server: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old, new = listen("127.0.0.1"), listen("127.0.0.2", start_server().address)
    truth = ["old"]
    caches = [make_cache(timeout=5), make_cache(timeout=5)]
    functions = [cached(cache=cache, namespace="f")(lambda: truth[0]) for cache in caches]
    step, done = threading.Barrier(3), threading.Barrier(3)
    seen: list[str] = []

    def work(f: Any) -> None:
        for _ in range(3):
            step.wait(30)
            seen.append(f())
            done.wait(30)

    threads = [threading.Thread(target=work, args=(f,)) for f in functions]
    for thread in threads:
        thread.start()

    def both() -> list[str]:
        seen.clear()
        step.wait(30)
        done.wait(30)
        return seen

    assert both() == ["old", "old"]
    resolver.hosts = ["127.0.0.2"]
    truth[0] = "new"
    let_pass(100, monkeypatch)
    old.drop_connections()  # so that somebody looks
    functions[0]()
    assert wait_until(lambda: resolver.asked > 1)
    host = _names.host_of(NAME, old.address[1])
    assert wait_until(lambda: host._answered is None)
    before = old.connections
    functions[0].uncache()
    assert both() == ["new", "new"]
    assert both() == ["new", "new"]
    assert (old.connections, new.connections > 0) == (before, True)
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("hosts", [["127.0.0.3", "127.0.0.2"], ["127.0.0.2", "127.0.0.3"]], ids=str)
def test_all_processes_take_the_same_of_several_addresses(
    hosts: list[str], make_cache: Callable[..., Cache], resolver: Resolver, listen: Any
) -> None:
    first, second = listen("127.0.0.2"), listen("127.0.0.3")
    resolver.hosts = hosts
    cache = make_cache(timeout=5)
    cache.set("k", 1)
    assert (first.connections, second.connections) == (1, 0)
    first.fault = Refuse()
    assert cache.get("k") == 1
    assert second.connections == 1


def test_an_address_is_no_name(
    kind: type[Kind], server: Any, listen: Any, port: int, prefix: str, resolver: Resolver
) -> None:
    listen("127.0.0.1")
    assert kind.cache(("127.0.0.1", port), prefix, timeout=5).set("k", 1)
    assert not [each for each in threading.enumerate() if each.name == "memocache names"]
    assert _names.host_of("::1", 5)._places == [(socket.AF_INET6, ("::1", 5, 0, 0))]
