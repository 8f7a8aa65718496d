"""The race for the fence: readers and writers at once, and how many reads were stale.

A writer changes the truth and calls `uncache`. When that has returned, nobody who asks later may be given the truth of
before. Next to our caches runs what most others do: get, or compute and set. It must be caught, or the race is too slow
to catch anybody.
"""

import asyncio
import contextlib
import itertools
import logging
import multiprocessing
import random
import sqlite3
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import Any, Protocol

import redis
from cachelib import FileSystemCache
from pymemcache import Client, PooledClient

from memocache import (
    ForeignCache,
    MemcachedCache,
    RedisCache,
    SimpleCache,
    SQLiteCache,
    TieredCache,
    UncacheFailed,
    cached,
)
from memocache._clock import ticks
from memocache.backends.base import Cache
from tests.support.processes import all_end_well
from tests.support.servers import Address
from tests.support.tiers import Unfenced

KEYS = 4
FORGETTING = 0.06
PROCESSES, THREADS = 4, 2
COMPUTING = 0.001  # seconds at most
NEAR = 0.01  # seconds

_spawn = multiprocessing.get_context("spawn")


@dataclass
class Tally:
    """What came of a race."""

    reads: int = 0
    stale: int = 0
    forgotten: int = 0
    computed: int = 0
    listened: int = 0  # calls whose outcomes somebody was told
    odd: int = 0  # those that had not one each

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))


class Truth:
    """What there is to cache: a number for each key, that only grows. Processes share it."""

    def __init__(self) -> None:
        self._now = _spawn.RawArray("Q", KEYS)
        self._since = _spawn.RawArray("Q", KEYS)
        self._lock = _spawn.Lock()

    def __getitem__(self, key: int) -> int:
        return int(self._now[key])

    def oldest(self, key: int) -> int:
        """Return the oldest truth that whoever asks from now on may be given."""
        return int(self._since[key])

    def change(self, key: int, forget: Callable[[int], object]) -> int:
        """Change the truth and forget; return the new one."""
        with self._lock:
            self._now[key] += 1
            new = int(self._now[key])
        forget(key)
        with self._lock:
            self._since[key] = max(self._since[key], new)
        return new


class Sight:
    """The oldest truth that one thread may be given, where others' forgetting may be unknown for *delay* seconds."""

    def __init__(self, truth: Truth, delay: float, own: list[int]) -> None:
        self._truth = truth
        self._delay = delay
        self._own = own  # what was forgotten in this process, which is known at once
        self._past: list[deque[tuple[float, int]]] = [deque([(0.0, 0)]) for _ in range(KEYS)]

    def oldest(self, key: int) -> int:
        if not self._delay:
            return self._truth.oldest(key)
        now, past = ticks(), self._past[key]
        past.append((now, self._truth.oldest(key)))
        while len(past) > 1 and past[1][0] < now - self._delay:
            past.popleft()
        return max(past[0][1], self._own[key])


class Runner(Protocol):
    """One who takes part: it is made in each process, and used by its threads at once."""

    def read(self, key: int) -> int: ...
    def forget(self, key: int) -> object: ...


Compute = Callable[[int], int]
Maker = Callable[[Compute, Any], Runner]


class Ours:
    delay = 0.0  # for how long others' forgetting may be unknown
    outcomes: Any = None  # of the calls, if somebody listens

    def __init__(self, compute: Compute, cache: Cache, **options: Any) -> None:
        self.read = cached(cache=cache, namespace="race", **options)(compute)
        self.forget = self.read.uncache


class InVersions:
    """A program's two releases at once, of which one process has both: one reads in its version, each may forget."""

    def __init__(self, read: Callable[[int, int], int], forget: Callable[[int, int], object]) -> None:
        self._read = read
        self._forget = forget
        self._turns = itertools.count()

    def read(self, key: int) -> int:
        return self._read(next(self._turns) % 2 + 1, key)

    def forget(self, key: int) -> object:
        return self._forget(next(self._turns) % 2 + 1, key)


def _in_versions(compute: Compute, cache: Cache) -> Runner:
    releases = {version: cached(cache=cache, namespace="race", version=version)(compute) for version in (1, 2)}
    return InVersions(lambda version, key: releases[version](key), lambda version, key: releases[version].uncache(key))


def naive_versions(compute: Compute, address: Address) -> Runner:
    """The version is part of the key, and forgetting goes by that key: it does not reach the other release."""
    cache = MemcachedCache([address], timeout=10)
    releases = {version: cached(cache=cache, namespace=f"race.{version}")(compute) for version in (1, 2)}
    return InVersions(lambda version, key: releases[version](key), lambda version, key: releases[version].uncache(key))


def memcached_versions(compute: Compute, address: Address) -> Runner:
    return _in_versions(compute, MemcachedCache([address], timeout=10))


def redis_versions(compute: Compute, url: str) -> Runner:
    return _in_versions(compute, RedisCache(url, timeout=10))


def sqlite_versions(compute: Compute, path: str) -> Runner:
    return _in_versions(compute, SQLiteCache(path, timeout=10))


def simple_versions(compute: Compute, _: None) -> Runner:
    return _in_versions(compute, SimpleCache())


def file_versions(compute: Compute, directory: str) -> Runner:
    return _in_versions(compute, ForeignCache(FileSystemCache(directory, threshold=0)))


def our_memcached(compute: Compute, address: Address) -> Runner:
    return Ours(compute, MemcachedCache([address], timeout=10))


class Persistent(Ours):
    """One who goes on forgetting until it is acknowledged."""

    def __init__(self, compute: Compute, cache: Cache, **options: Any) -> None:
        super().__init__(compute, cache, **options)
        self.forget = self._insist

    def _insist(self, key: int) -> bool:
        while True:
            try:
                return self.read.uncache(key)
            except UncacheFailed:
                time.sleep(0.01)


def our_files(compute: Compute, directory: str) -> Runner:
    """On an object of somebody else's, that has no compare-and-swap and an `add` that is not atomic."""
    return Ours(compute, ForeignCache(FileSystemCache(directory, threshold=0)))


def our_client(compute: Compute, address: Address) -> Runner:
    return Ours(compute, ForeignCache(PooledClient(address, timeout=10)))


def our_sqlite(compute: Compute, path: str) -> Runner:
    return Ours(compute, SQLiteCache(path, timeout=10))


def our_shaky_sqlite(compute: Compute, path: str) -> Runner:
    """For a file that is removed and broken meanwhile."""
    return Persistent(compute, SQLiteCache(path, timeout=10))


def our_redis(compute: Compute, url: str) -> Runner:
    return Ours(compute, RedisCache(url, timeout=10))


class InTasks(Ours):
    """The same for a coroutine function, in an event loop of each thread's own."""

    def __init__(self, compute: Compute, cache: Cache) -> None:
        async def awaited(key: int) -> int:
            return compute(key)

        self._function = cached(cache=cache, namespace="race")(awaited)
        self._local = threading.local()
        self.read = lambda key: self._run(self._function(key))
        self.forget = lambda key: self._run(self._function.uncache(key))

    def _run(self, coroutine: Any) -> Any:
        if not hasattr(self._local, "runner"):
            self._local.runner = asyncio.Runner()
        return self._local.runner.run(coroutine)


def our_redis_in_tasks(compute: Compute, url: str) -> Runner:
    return InTasks(compute, RedisCache(url, timeout=10))


def our_simple(compute: Compute, _: None) -> Runner:
    return Ours(compute, SimpleCache())


def our_tiers(compute: Compute, address: Address) -> Runner:
    return _tiers(TieredCache, compute, address)


def naive_tiers(compute: Compute, address: Address) -> Runner:
    """What is read from far is put into near, whatever was forgotten meanwhile."""
    return _tiers(Unfenced, compute, address)


def late_tiers(compute: Compute, address: Address) -> Runner:
    """What is near is served for longer than the race allows."""
    return _tiers(TieredCache, compute, address, near_timeout=5 * NEAR)


def _tiers(kind: type[TieredCache], compute: Compute, address: Address, near_timeout: float = NEAR) -> Runner:
    ours = Ours(compute, kind(SimpleCache(), MemcachedCache([address], timeout=10), near_timeout=near_timeout))
    ours.delay = NEAR + 0.001  # the clocks of timeouts and of the race are two
    return ours


class Naive:
    """Get, or compute and set, as it is done everywhere; each thread has a client of its own."""

    connect: Callable[[Any], Any]

    def __init__(self, compute: Compute, where: Any) -> None:
        self._compute = compute
        self._where = where
        self._local = threading.local()

    def _client(self) -> Any:
        if not hasattr(self._local, "client"):
            self._local.client = self.connect(self._where)
        return self._local.client

    def read(self, key: int) -> int:
        found = self._client().get(f"naive{key}")
        if found is not None:
            return int(found)
        value = self._compute(key)
        self._client().set(f"naive{key}", b"%d" % value, 300)
        return value

    def forget(self, key: int) -> None:
        self._client().delete(f"naive{key}")


class naive_memcached(Naive):
    connect = staticmethod(lambda address: Client(address, timeout=10, default_noreply=False))


class naive_files(Naive):
    connect = staticmethod(lambda directory: FileSystemCache(directory, threshold=0))


class naive_redis(Naive):
    connect = staticmethod(redis.from_url)


class naive_dict(Naive):
    """The same in a process, on one dictionary."""

    connect = staticmethod(lambda table: table)

    def __init__(self, compute: Compute, _: None) -> None:
        super().__init__(compute, _Table())


class _Table(dict[str, bytes]):
    def set(self, key: str, value: bytes, seconds: int) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


class naive_sqlite(Naive):
    connect = staticmethod(lambda path: _Rows(path))


class _Rows:
    def __init__(self, path: str) -> None:
        self._ask = sqlite3.connect(path, timeout=10, isolation_level=None).execute
        with contextlib.suppress(sqlite3.OperationalError):  # another process is just doing it, and it stays
            self._ask("PRAGMA journal_mode=WAL")
        self._ask("CREATE TABLE IF NOT EXISTS naive (key TEXT PRIMARY KEY, value BLOB)")

    def get(self, key: str) -> bytes | None:
        row = self._ask("SELECT value FROM naive WHERE key = ?", (key,)).fetchone()
        return row and row[0]

    def set(self, key: str, value: bytes, seconds: int) -> None:
        self._ask("INSERT OR REPLACE INTO naive VALUES (?, ?)", (key, value))

    def delete(self, key: str) -> None:
        self._ask("DELETE FROM naive WHERE key = ?", (key,))


def _run(runner: Runner, truth: Truth, until: float, tally: Tally, own: list[int]) -> None:
    chance = random.Random()
    sight = Sight(truth, getattr(runner, "delay", 0.0), own)
    while ticks() < until:
        key = chance.randrange(KEYS)
        if chance.random() < FORGETTING:
            own[key] = max(truth.change(key, runner.forget), own[key])
            tally.forgotten += 1
        else:
            oldest = sight.oldest(key)
            tally.stale += runner.read(key) < oldest
            tally.reads += 1


def in_threads(maker: Maker, where: Any, truth: Truth, seconds: float, threads: int = THREADS) -> Tally:
    """Run *threads* in this process."""
    computed = Tally()

    def compute(key: int) -> int:
        value = truth[key]
        computed.computed += 1
        time.sleep(random.random() * COMPUTING)
        return value

    runner = maker(compute, where)
    outcomes = getattr(runner, "outcomes", None)
    until = ticks() + seconds
    tallies = [Tally() for _ in range(threads)]
    own = [0] * KEYS
    problems: list[BaseException] = []

    def run(tally: Tally) -> None:
        try:
            _run(runner, truth, until, tally, own)
        except BaseException as problem:  # noqa: BLE001 - a thread must not fail in silence
            problems.append(problem)

    running = [threading.Thread(target=run, args=(tally,)) for tally in tallies]
    with contextlib.nullcontext() if outcomes is None else outcomes.listening():
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
    if problems:
        raise problems[0]
    if outcomes is not None:
        computed.listened, computed.odd = len(outcomes.calls), outcomes.odd()
    return sum(tallies, computed)


def _process(maker: Maker, where: Any, truth: Truth, seconds: float, ready: Any, results: Any) -> None:
    logging.disable()  # that a lease was lost is what this is about
    ready.wait(60)  # importing takes longer in some than in others
    results.put(in_threads(maker, where, truth, seconds))


def in_processes(maker: Maker, where: Any, seconds: float) -> Tally:
    """Run two threads in each of four processes."""
    ready, results = _spawn.Barrier(PROCESSES), _spawn.SimpleQueue()
    arguments = (maker, where, Truth(), seconds, ready, results)
    all_end_well([_spawn.Process(target=_process, args=arguments) for _ in range(PROCESSES)], seconds + 60)
    tally = sum((results.get() for _ in range(PROCESSES)), Tally())
    results.close()
    return tally


@contextmanager
def quick_switches() -> Iterator[None]:
    """Have Python switch threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
