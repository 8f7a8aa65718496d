"""Servers and workers that are killed and stopped under load: nothing forgotten comes back, and nobody is stuck."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from pymemcache.exceptions import MemcacheUnexpectedCloseError

from memocache import _binding, cached
from memocache._clock import ticks
from tests.reliability.caches import KINDS, Stand, kinds, reopened
from tests.reliability.ledger import Ledger, note_outcomes
from tests.reliability.mayhem import WORKERS, Mayhem
from tests.reliability.outcomes import Outcomes, listening
from tests.support import race
from tests.support.servers import Server, wait_until

SERVERS = "servers killed and restarted, or stopped, under load: calls meanwhile"
COMPUTING = "workers killed while they computed"
RECOVERY = 0.5  # seconds after the lease
LEASE = 0.6
USING = "workers killed while they used the cache: calls meanwhile"

# ---- servers ---------------------------------------------------------------------------------------------------------


def racer(compute: race.Compute, where: str) -> race.Runner:
    stand = reopened(where)
    # Whoever waits for another in an outage does not learn what other processes forget meanwhile; see docs/reliability.
    runner = race.Persistent(compute, stand.open("race", 0.1), wait=0)
    runner.delay = stand.kind.near  # type: ignore[attr-defined]
    return listening(runner) if os.getpid() % 2 or not stand.kind.has_fast_hits else runner


GONE = OSError, MemcacheUnexpectedCloseError  # a server that dies in the middle of a command resets, or just ends


class naive_racer(race.naive_memcached):
    """Get, or compute and set; where the server does not answer, compute."""

    def __init__(self, compute: race.Compute, where: str) -> None:
        super().__init__(compute, reopened(where).where)

    def read(self, key: int) -> int:
        try:
            return super().read(key)
        except GONE:
            return self._compute(key)

    def forget(self, key: int) -> None:
        while True:
            with contextlib.suppress(*GONE):
                return super().forget(key)
            time.sleep(0.01)


@contextmanager
def harmed(server: Server, kills: int, stops: int, seconds: float) -> Iterator[list[str]]:
    """Kill and stop *server* so often within about so many *seconds*, all in some order."""
    done: list[str] = []
    over = threading.Event()
    harms = ["killed"] * kills + ["stopped"] * stops
    random.shuffle(harms)

    def harm() -> None:
        for what in harms:
            if over.wait(random.uniform(0.5, 1.0) * seconds / len(harms)):
                return
            if what == "killed":
                server.restart()
            else:
                server.pause()
                over.wait(0.15)
                server.resume()
            done.append(what)

    thread = threading.Thread(target=harm)
    thread.start()
    try:
        yield done
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("kind", kinds(server=True))
def test_nothing_stale_while_the_server_is_killed_and_stopped(
    own_stand: Stand, kind: str, ledger: Ledger, scaled: Callable[[int, int], int]
) -> None:
    kills, stops, seconds = scaled(6, 15), scaled(4, 10), scaled(3, 12)
    assert own_stand.server is not None
    with harmed(own_stand.server, kills, stops, seconds) as done:
        ours = race.in_processes(racer, own_stand.spelt(), seconds)
    ledger.add(SERVERS, kind, ours.reads, stale_reads=ours.stale)
    note_outcomes(ledger, kind, ours.listened, ours.odd)
    ledger.sum(SERVERS, "killed {:.0f} times", done.count("killed"))
    ledger.sum(SERVERS, "stopped {:.0f} times", done.count("stopped"))
    assert ours.stale == ours.odd == 0
    assert ours.reads > 50 * seconds
    assert len(done) > (kills + stops) / 2


def test_the_naive_way_is_stale(ledger: Ledger) -> None:
    with KINDS["memcached"].stand() as stand:
        assert stand.server is not None
        with harmed(stand.server, 3, 2, 2):
            naive = race.in_processes(naive_racer, stand.spelt(), 2)
    ledger.naive(SERVERS, f"get, compute and set: {naive.stale:,} of {naive.reads:,} calls stale")
    assert naive.stale > 0


# ---- workers ---------------------------------------------------------------------------------------------------------


class Workers:
    """Processes that compute f(x), each for some x of its own; those of the other half are stopped, not killed."""

    def __init__(self, stand: Stand, prefix: str, keys: list[list[int]]) -> None:
        self.processes = []
        with ExitStack() as running:
            for own in keys:
                arguments = [json.dumps(each) for each in (stand.spelt(), prefix, LEASE, own)]
                command = [sys.executable, "-m", "tests.reliability.worker", *arguments]
                process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                self.processes.append(running.enter_context(process))
                running.callback(process.kill)
            for process in self.processes:
                assert process.stdout is not None
                assert process.stdout.readline() == "computing\n"
            self._running = running.pop_all()

    def hit(self, how: signal.Signals, half: int) -> None:
        for process in self.processes[half::2]:
            os.kill(process.pid, how)

    def go(self) -> None:
        """Let those that were stopped end what they were doing."""
        self.hit(signal.SIGCONT, 1)
        for process in self.processes[1::2]:
            out, _ = process.communicate("go\n", timeout=60)
            assert out == "done\n"

    def close(self) -> None:
        self._running.close()


@pytest.mark.parametrize("kind", kinds(shared=True))
def test_whoever_waits_for_the_dead_takes_over(
    stand: Stand,
    kind: str,
    prefix: str,
    ledger: Ledger,
    outcomes: Outcomes,
    scaled: Callable[[int, int], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_binding, "FIRST_LEASE", LEASE)
    slowest = 0.0
    hit = 0
    for number in range(scaled(1, 4)):
        own = f"{prefix}{number}-"
        keys = [[10 * worker, 10 * worker + 1] for worker in range(4)]
        f = outcomes.counted(cached(cache=stand.open(own), namespace="f", wait=60)(lambda x: (x, "after")))
        workers = Workers(stand, own, keys)
        try:
            workers.hit(signal.SIGKILL, 0)
            workers.hit(signal.SIGSTOP, 1)
            began = ticks()
            flat = [x for each in keys for x in each]
            threads = [threading.Thread(target=f, args=(x,)) for x in flat]
            with outcomes.listening():
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(60)
            slowest = max(slowest, ticks() - began - LEASE)
            assert [f.peek(x) for x in flat] == [(x, "after") for x in flat]
            workers.go()  # what they computed comes too late
            assert [f(x) for x in flat] == [(x, "after") for x in flat]
            assert f.info().stored == len(flat)
            hit += len(workers.processes)
        finally:
            workers.close()
    ledger.add(COMPUTING, kind, hit, stuck=0)
    ledger.most(COMPUTING, "recovered within the lease + {:.2f} s", max(slowest, 0))
    assert slowest < RECOVERY


def test_a_lock_without_a_lease_is_stuck(ledger: Ledger) -> None:
    """The negative control: a lock by `add`, deleted when it has been computed."""
    with KINDS["memcached"].stand() as stand:
        naive = race.naive_memcached(lambda x: x, stand.where)
        client = naive._client()
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, json.dumps(stand.where)], stdout=subprocess.PIPE, text=True
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        holder.kill()
        holder.communicate()
        assert not wait_until(lambda: client.add("lock", b"ours"), LEASE + RECOVERY)
        client.close()
    ledger.naive(COMPUTING, "a lock by `add`, deleted when it has been computed: stuck for ever")


HOLDER = """
import json, sys, time
from pymemcache import Client
Client(json.loads(sys.argv[1]), default_noreply=False).add("lock", b"theirs")
print("locked", flush=True)
time.sleep(60)
"""


def raged(mayhem: Mayhem, kills: int, *, until_stale: bool = False) -> tuple[int, int]:
    """Return how often *mayhem*'s workers read while so many were killed, and how often that was stale.

    With *until_stale* that is enough, and no more are killed.
    """
    try:
        for _ in range(kills):
            for _ in range(10):
                mayhem.change()
                # Often while what the change before has made somebody compute is not stored yet.
                time.sleep(random.random() * random.choice((0.002, 0.02)))
            mayhem.kill_one()
            if until_stale and mayhem.stale:
                break
        return mayhem.reads, mayhem.stale
    finally:
        mayhem.end()


@pytest.mark.parametrize("kind", kinds(shared=True))
def test_workers_may_be_killed_at_any_moment(
    own_stand: Stand, kind: str, ledger: Ledger, scaled: Callable[[int, int], int]
) -> None:
    kills = scaled(10, 60)
    mayhem = Mayhem(own_stand, "mayhem")
    reads, stale = raged(mayhem, kills)
    ledger.add(USING, kind, reads, stale_reads=stale)
    note_outcomes(ledger, kind, mayhem.calls, mayhem.odd, mayhem.interrupted)
    ledger.sum(USING, "{:.0f} workers killed", kills)
    assert stale == mayhem.odd == 0
    assert mayhem.interrupted <= kills + WORKERS
    assert reads > 20 * kills
    assert mayhem.forgotten > kills / 2
    f: Any = cached(cache=own_stand.open("mayhem"), namespace="f", wait=60)(lambda x: x)
    assert [f(x) for x in range(100, 103)] == [100, 101, 102]
    if kind == "SQLite":
        with contextlib.closing(sqlite3.connect(f"{own_stand.where}/cache.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert not [name for name in os.listdir(own_stand.where) if ".corrupt-" in name]


def test_naive_workers_are_stale(ledger: Ledger) -> None:
    with KINDS["memcached"].stand() as stand:
        reads, stale = raged(Mayhem(stand, "mayhem", naive=True), 100, until_stale=True)
    ledger.naive(USING, f"get, compute and set: {stale:,} of {reads:,} calls stale")
    assert stale > 0
