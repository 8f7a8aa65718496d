"""Connections to memcached: one for each thread and server, none that is out of step, none that is inherited."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from memocache import MemcachedCache, cached
from tests.support.faults import Fault, FaultProxy
from tests.support.servers import MemcachedServer, wait_until

if TYPE_CHECKING:
    from tests.support.faults import Exchange


@pytest.fixture
def proxy(memcached: MemcachedServer) -> Iterator[FaultProxy]:
    with FaultProxy(memcached.address, unix=True) as proxy:
        yield proxy


FORKS_AMONG_THREADS = "ignore:This process:DeprecationWarning"  # said from Python 3.12 on; it is what we test


def run(script: str, *arguments: object, seconds: float = 60) -> str:
    """Run Python on *script* and return what it printed; it must end well and complain of nothing."""
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "dev",
            "-W",
            "error",
            "-W",
            FORKS_AMONG_THREADS,
            "-c",
            script,
            *map(json.dumps, arguments),
        ],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def connections(server: MemcachedServer) -> int:
    """Return how many there are; asked ten times, since the one of the last asking may still be closing."""
    return min(int(server.stats()["curr_connections"]) for _ in range(10))


# ---- threads ---------------------------------------------------------------------------------------------------------


def test_one_connection_serves_all_calls_of_a_thread(proxy: FaultProxy, prefix: str) -> None:
    cache = MemcachedCache([proxy.address], key_prefix=prefix)
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
def test_each_thread_has_a_connection_until_it_ends(tcp: bool, memcached_factory: Any) -> None:
    server = memcached_factory(tcp=tcp)
    caches = [MemcachedCache([server.address]) for _ in range(2)]
    ready, finish = threading.Barrier(9), threading.Event()

    def work(number: int) -> None:
        for _ in range(3):
            for cache in caches:
                cache.set(str(number), number)
                assert cache.get(str(number)) == number
        ready.wait(10)
        finish.wait(10)

    before = connections(server)
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    ready.wait(10)
    assert connections(server) - before == 16
    finish.set()
    for thread in threads:
        thread.join()
    assert wait_until(lambda: connections(server) == before)


def test_a_cache_that_is_dropped_closes_its_connections(own_memcached: MemcachedServer) -> None:
    before = connections(own_memcached)
    for _ in range(5):
        MemcachedCache([own_memcached.address]).set("k", 1)
    assert wait_until(lambda: connections(own_memcached) == before)


def test_many_threads_on_one_cache_never_mix(memcached: MemcachedServer, prefix: str) -> None:
    cache = MemcachedCache([memcached.address], key_prefix=prefix)
    problems: list[object] = []

    def work(number: int) -> None:
        for round_ in range(50):
            value = f"{number}-{round_}"
            cache.set(str(number), value)
            if cache.get(str(number)) != value:
                problems.append(value)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


# ---- processes -------------------------------------------------------------------------------------------------------

FORK = """
import json, os, sys, threading
from memocache import MemcachedCache, cached

cache = MemcachedCache([json.loads(sys.argv[1])], key_prefix=json.loads(sys.argv[2]))
f = cached(cache=cache, namespace="f")(lambda pid, x: (pid, x))
ready, finish = threading.Barrier(5), threading.Event()

def warm():  # threads that the children do not have, with connections that they would inherit
    cache.set("k", 1)
    ready.wait(10)
    finish.wait(30)

threads = [threading.Thread(target=warm) for _ in range(4)]
for thread in threads:
    thread.start()
ready.wait(10)

def use():
    me = os.getpid()
    for x in range(50):
        assert f(me, x) == (me, x)
        assert cache.set(f"{me}", x)
        assert cache.get(f"{me}") == x
        assert f.uncache(me, x)

use()
children = []
for _ in range(4):
    child = os.fork()
    if not child:
        try:
            use()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    children.append(child)
use()
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
use()
finish.set()
for thread in threads:
    thread.join()
"""


def test_forked_children_use_connections_of_their_own(proxy: FaultProxy, prefix: str) -> None:
    assert run(FORK, proxy.address, prefix) == ""
    assert proxy.connections == 5 + 4


LEAVE = """
import json, sys
from memocache import MemcachedCache
cache = MemcachedCache([json.loads(sys.argv[1])])
cache.set("k", 1)
"""


def test_a_process_may_end_without_closing_anything(memcached: MemcachedServer) -> None:
    assert run(LEAVE, memcached.address) == ""


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


def test_bytes_that_nobody_asked_for_are_noticed(proxy: FaultProxy, memcached: MemcachedServer, prefix: str) -> None:
    cache = MemcachedCache([proxy.address], key_prefix=prefix)
    cache.set("k", "old")
    fault = RepeatOnDemand(times=1, wanted=threading.Event(), sent=threading.Event())
    proxy.fault = fault
    assert cache.get("k") == "old"
    fault.wanted.set()
    assert fault.sent.wait(5)
    MemcachedCache([memcached.address], key_prefix=prefix).set("k", "new")
    assert cache.get("k") == "new"
    assert proxy.connections == 2
