"""One computation per key and lease among processes; and what a forked child does not inherit."""

import asyncio
import json
import multiprocessing
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from freezegun import freeze_time

from memocache import CachedFunction, MemcachedCache, _binding, cached
from tests.support.faults import FaultProxy
from tests.support.forks import UNDER_LOAD
from tests.support.processes import all_end_well
from tests.support.servers import Address, MemcachedServer, wait_until
from tests.support.strict import run_strictly
from tests.support.threads import PATIENCE, start

Other = Callable[..., AbstractContextManager["subprocess.Popen[str]"]]


@pytest.fixture
def other(memcached: MemcachedServer, prefix: str) -> Other:
    """Runs another process, which has said that it computes f(1)."""

    @contextmanager
    def run(lease: float = 60) -> Iterator["subprocess.Popen[str]"]:
        arguments = [json.dumps(each) for each in (memcached.address, prefix, lease)]
        command = [sys.executable, "-m", "tests.support.other_process", *arguments]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "computing\n"
            yield process
            process.kill()

    return run


def ours_on(address: Address, prefix: str, **options: Any) -> CachedFunction[[int], str]:
    @cached(cache=MemcachedCache([address], key_prefix=prefix, timeout=10), namespace="f", **options)
    def f(x: int) -> str:
        return "ours"

    return f


# ---- leases ----------------------------------------------------------------------------------------------------------


def test_another_processes_result_is_waited_for(other: Other, proxy: FaultProxy, prefix: str) -> None:
    f = ours_on(proxy.address, prefix, wait=60)
    with other() as process:
        call = start(f, 1)
        assert wait_until(lambda: len(proxy.requests) > 3)  # it looks again and again, and does not compute
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        assert process.stdout.readline() == "theirs\n"
    assert call.result(PATIENCE) == "theirs"
    info = f.info()
    assert (info.waits, info.misses) == (1, 0)


def test_another_processes_result_is_not_waited_for_longer_than_wait(
    other: Other, memcached: MemcachedServer, prefix: str
) -> None:
    with other():
        f = ours_on(memcached.address, prefix, wait=0.05)
        assert [f(1), f(1)] == ["ours", "ours"]
        assert f.info().stored == 0


def test_a_forgotten_lease_is_not_waited_for(other: Other, memcached: MemcachedServer, prefix: str) -> None:
    f = ours_on(memcached.address, prefix, wait=60)
    with other() as process:
        assert f.uncache(1)
        assert start(f, 1).result(PATIENCE) == "ours"
        out, _ = process.communicate("go\n", timeout=PATIENCE)
        assert out == "theirs\n"
    assert f(1) == "ours"


def test_the_lease_of_a_process_that_was_killed_runs_out(other: Other, memcached: MemcachedServer, prefix: str) -> None:
    with other() as process:
        process.kill()
        f = ours_on(memcached.address, prefix, wait=0, timeout=1000)
        assert f(1) == "ours"
        assert f.info().stored == 0
        with freeze_time() as clock:
            clock.tick(61)
            assert f(1) == "ours"
        assert f.info().stored == 1


def test_whoever_waits_for_a_process_that_was_killed_takes_over(
    other: Other, proxy: FaultProxy, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_binding, "FIRST_LEASE", 0.3)
    with other(lease=0.3) as process:
        process.kill()
        f = ours_on(proxy.address, prefix, wait=60)
        assert f(1) == "ours"
    assert f.info().stored == 1  # else it has waited, and computed for itself alone
    assert f(1) == "ours"


ROUNDS = 30
_spawn = multiprocessing.get_context("spawn")


def _take_part(address: Address, prefix: str, computed: Any, ready: Any, results: Any, awaited: bool) -> None:
    def f(x: int) -> int:
        with computed.get_lock():
            computed[x] += 1
        return -x

    async def awaited_f(x: int) -> int:
        return f(x)

    async def crowd(x: int) -> int:
        (value,) = set(await asyncio.gather(*(asked(x) for _ in range(20))))
        return value

    cache = MemcachedCache([address], key_prefix=prefix, timeout=10)
    asked: Any = cached(cache=cache, namespace="f", wait=60)(awaited_f if awaited else f)
    seen = []
    for number in range(ROUNDS):
        ready.wait(60)
        seen.append(asyncio.run(crowd(number)) if awaited else asked(number))
    results.put(seen)


@pytest.mark.parametrize("awaited", [False, True], ids=["function", "coroutine"])
def test_four_processes_compute_once(memcached: MemcachedServer, prefix: str, awaited: bool) -> None:
    computed, ready, results = _spawn.Array("i", ROUNDS), _spawn.Barrier(4), _spawn.SimpleQueue()
    arguments = (memcached.address, prefix, computed, ready, results, awaited)
    all_end_well([_spawn.Process(target=_take_part, args=arguments) for _ in range(4)])
    assert [results.get() for _ in range(4)] == [[-number for number in range(ROUNDS)]] * 4
    assert list(computed) == [1] * ROUNDS
    results.close()


# ---- fork ------------------------------------------------------------------------------------------------------------

PREAMBLE = """
import json, os, sys, threading
from memocache import MemcachedCache, SimpleCache, TieredCache, cached
from tests.support.forks import child
address, prefix = map(json.loads, sys.argv[1:])
"""

IN_A_FLIGHT = """
entered, go = threading.Event(), threading.Event()
parent = os.getpid()

@cached(cache=CACHE, namespace="f", wait=WAIT)
def f(x):
    if os.getpid() == parent:
        entered.set()
        go.wait(20)
        return "parent"
    return "child"

results = []
leader = threading.Thread(target=lambda: results.append(f(1)))
leader.start()
entered.wait(20)
print(child(lambda: [f(1), f(2), f(2)]))
go.set()
leader.join()
print(results, f(1))
"""

IN_A_COMPUTATION = """
@cached(cache=CACHE, namespace="f", wait=WAIT)
def f(x):
    return x if x < 0 or os.getpid() != parent else child(lambda: [f(x), f(-1)])

parent = os.getpid()
print(f(1), f(1))
"""

WITH_THE_LOCK = """
inside, go = threading.Event(), threading.Event()
f = cached(cache=CACHE, namespace="f", wait=WAIT)(lambda x: x)

def hold():
    with f._self_memoizer.bindings._lock:
        inside.set()
        go.wait(20)

holder = threading.Thread(target=hold)
holder.start()
inside.wait(20)
print(child(lambda: [cached(cache=CACHE)(lambda x: -x)(1), f(1), f(1)]))
go.set()
holder.join()
"""

IN_A_FIRST_CALL = """
inside, go = threading.Event(), threading.Event()

class Held:
    "A function whose own call a thread is about to write."
    __slots__ = "__dict__", "__qualname__", "__weakref__"

    @property
    def __module__(self):
        if threading.current_thread() is not threading.main_thread():
            inside.set()
            go.wait(20)
        return __name__

    def __call__(self, x):
        return x

held = Held()
held.__qualname__ = "held"
f, g = cached(cache=CACHE, namespace="f")(held), cached(cache=CACHE, namespace="g")(lambda x: -x)
caller = threading.Thread(target=f, args=(1,))
caller.start()
inside.wait(20)
print(child(lambda: [g(1), f(1), f.uncache(1)]))
go.set()
caller.join()
"""


@pytest.fixture
def script(memcached: MemcachedServer, prefix: str) -> Callable[..., str]:
    """Runs Python on a script and returns what it printed."""

    def run(text: str, **values: str) -> str:
        for name, value in values.items():
            text = text.replace(name, value)
        return run_strictly(PREAMBLE + text, memcached.address, prefix)

    return run


ON_MEMCACHED = "MemcachedCache([address], key_prefix=prefix, timeout=10)"
ON_TIERS = f"TieredCache(SimpleCache(), {ON_MEMCACHED}, near_timeout=60)"


def test_a_child_forked_in_the_middle_of_a_flight_computes_itself(script: Callable[..., str]) -> None:
    assert script(IN_A_FLIGHT, CACHE="SimpleCache()", WAIT="1000") == (
        "['child', 'child', 'child']\n['parent'] parent\n"
    )


@pytest.mark.parametrize("cache", [ON_MEMCACHED, ON_TIERS])
def test_on_a_shared_cache_it_is_another_process(cache: str, script: Callable[..., str]) -> None:
    assert script(IN_A_FLIGHT, CACHE=cache, WAIT="0.05") == ("['child', 'child', 'child']\n['parent'] parent\n")


@pytest.mark.parametrize(("cache", "wait"), [("SimpleCache()", "1000"), (ON_MEMCACHED, "0.05"), (ON_TIERS, "0.05")])
def test_a_computation_may_fork(cache: str, wait: str, script: Callable[..., str]) -> None:
    assert script(IN_A_COMPUTATION, CACHE=cache, WAIT=wait) == "[1, -1] [1, -1]\n"


def test_a_child_forked_while_others_hold_every_lock_works(script: Callable[..., str]) -> None:
    assert script("cache = SimpleCache(threshold=10)\n" + UNDER_LOAD) == ""


def test_a_child_forked_while_another_thread_has_the_lock_of_a_function_works(script: Callable[..., str]) -> None:
    assert script(WITH_THE_LOCK, CACHE="lambda: SimpleCache()", WAIT="1000") == "[-1, 1, 1]\n"


@pytest.mark.parametrize("cache", ["SimpleCache()", ON_MEMCACHED])
def test_a_child_forked_while_another_thread_calls_a_function_first_works(
    cache: str, script: Callable[..., str]
) -> None:
    assert script(IN_A_FIRST_CALL, CACHE=cache) == "[-1, 1, True]\n"
