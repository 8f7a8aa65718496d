"""The race for the fence: readers and writers at once, and how many reads were stale.

By itself: python -m tests.support.race [seconds].

A writer changes the truth and calls `uncache`. When that has returned, nobody who asks later may be given the truth of
before. Next to our caches runs what most others do: get, or compute and set. It must be caught, or the race is too slow
to catch anybody.
"""

import asyncio
import contextlib
import logging
import multiprocessing
import random
import sqlite3
import sys
import tempfile
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
from memocache.backends.base import Cache, Entry
from tests.support.redis_servers import RedisServer, find_redis
from tests.support.servers import Address, MemcachedServer

__all__ = [
    "Tally",
    "Truth",
    "in_processes",
    "in_threads",
    "late_tiers",
    "naive_dict",
    "naive_files",
    "naive_memcached",
    "our_client",
    "our_files",
    "naive_tiers",
    "naive_sqlite",
    "naive_redis",
    "our_memcached",
    "our_redis",
    "our_redis_in_tasks",
    "our_shaky_memcached",
    "our_shaky_sqlite",
    "our_shaky_redis",
    "our_simple",
    "our_tiers",
    "our_sqlite",
    "quick_switches",
]

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

    def __init__(self, compute: Compute, cache: Cache) -> None:
        self.read = cached(cache=cache, namespace="race")(compute)
        self.forget = self.read.uncache


def our_memcached(compute: Compute, address: Address) -> Runner:
    return Ours(compute, MemcachedCache([address], timeout=10))


class Persistent(Ours):
    """One who goes on forgetting until it is acknowledged."""

    def __init__(self, compute: Compute, cache: Cache) -> None:
        super().__init__(compute, cache)
        self.forget = self._insist

    def _insist(self, key: int) -> bool:
        while True:
            try:
                return self.read.uncache(key)
            except UncacheFailed:
                time.sleep(0.01)


def our_shaky_memcached(compute: Compute, address: Address) -> Runner:
    """For a server that is killed and stopped meanwhile."""
    return Persistent(compute, MemcachedCache([address], timeout=0.1))


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


def our_shaky_redis(compute: Compute, url: str) -> Runner:
    return Persistent(compute, RedisCache(url, timeout=0.1))


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


class Unfenced(TieredCache):
    def look(self, key: str, groups: tuple[str, ...], now: float, lease: float) -> Any:
        (entry,) = self._near.peek((key,), (groups,), now)
        if entry is not None:
            return entry
        found = self._far.look(key, groups, now, lease)
        if isinstance(found, Entry):
            self._near.fill(self._near.claim(key, groups, now, lease), self._twin(found, groups, now))
        return found


class naive_memcached:
    """Get, or compute and set, as it is done everywhere."""

    def __init__(self, compute: Compute, address: Address) -> None:
        self._compute = compute
        self._address = address
        self._local = threading.local()

    def _client(self) -> Any:
        if not hasattr(self._local, "client"):
            self._local.client = Client(self._address, timeout=10, default_noreply=False)
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


class naive_files:
    """The same in files."""

    def __init__(self, compute: Compute, directory: str) -> None:
        self._compute = compute
        self._cache = FileSystemCache(directory, threshold=0)

    def read(self, key: int) -> int:
        found = self._cache.get(f"naive{key}")
        if found is not None:
            return int(found)
        value = self._compute(key)
        self._cache.set(f"naive{key}", value, 300)
        return value

    def forget(self, key: int) -> None:
        self._cache.delete(f"naive{key}")


class naive_sqlite:
    """The same in a file."""

    def __init__(self, compute: Compute, path: str) -> None:
        self._compute = compute
        self._path = path
        self._local = threading.local()
        with contextlib.suppress(sqlite3.OperationalError):  # another process is just doing it, and it stays
            self._ask("PRAGMA journal_mode=WAL")
        self._ask("CREATE TABLE IF NOT EXISTS naive (key INTEGER PRIMARY KEY, value INTEGER)")

    def _ask(self, statement: str, *values: int) -> list[Any]:
        if not hasattr(self._local, "connection"):
            self._local.connection = sqlite3.connect(self._path, timeout=10, isolation_level=None)
        return self._local.connection.execute(statement, values).fetchall()

    def read(self, key: int) -> int:
        for (found,) in self._ask("SELECT value FROM naive WHERE key = ?", key):
            return int(found)
        value = self._compute(key)
        self._ask("INSERT OR REPLACE INTO naive VALUES (?, ?)", key, value)
        return value

    def forget(self, key: int) -> None:
        self._ask("DELETE FROM naive WHERE key = ?", key)


class naive_redis:
    """The same on Redis."""

    def __init__(self, compute: Compute, url: str) -> None:
        self._compute = compute
        self._client = redis.from_url(url)

    def read(self, key: int) -> int:
        found = self._client.get(f"naive{key}")
        if found is not None:
            return int(found)
        value = self._compute(key)
        self._client.set(f"naive{key}", value, ex=300)
        return value

    def forget(self, key: int) -> None:
        self._client.delete(f"naive{key}")


class naive_dict:
    """The same in a process."""

    def __init__(self, compute: Compute, _: None) -> None:
        self._compute = compute
        self._values: dict[int, int] = {}

    def read(self, key: int) -> int:
        try:
            return self._values[key]
        except KeyError:
            value = self._values[key] = self._compute(key)
            return value

    def forget(self, key: int) -> None:
        self._values.pop(key, None)


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
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if problems:
        raise problems[0]
    return sum(tallies, computed)


def _process(maker: Maker, where: Any, truth: Truth, seconds: float, ready: Any, results: Any) -> None:
    logging.disable()  # that a lease was lost is what this is about
    ready.wait(60)  # importing takes longer in some than in others
    results.put(in_threads(maker, where, truth, seconds))


def in_processes(maker: Maker, where: Any, seconds: float) -> Tally:
    """Run two threads in each of four processes."""
    ready, results = _spawn.Barrier(PROCESSES), _spawn.SimpleQueue()
    arguments = (maker, where, Truth(), seconds, ready, results)
    processes = [_spawn.Process(target=_process, args=arguments) for _ in range(PROCESSES)]
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join(seconds + 60)
            assert process.exitcode == 0, f"a process of the race ended with {process.exitcode}"
        return sum((results.get() for _ in processes), Tally())
    finally:
        for process in processes:
            process.kill()
            process.join()
            process.close()
        results.close()


@contextmanager
def quick_switches() -> Iterator[None]:
    """Have Python switch threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def main(seconds: float) -> None:
    """Print a table."""
    logging.disable()
    print(f"{'':32}{'reads':>9}{'stale':>9}{'forgot':>9}{'computed':>9}   in {seconds:g} s each")
    with MemcachedServer() as server:
        for maker in (naive_memcached, our_memcached, our_client, naive_tiers, late_tiers, our_tiers):
            _print(f"{maker.__name__}, {PROCESSES} processes", in_processes(maker, server.address, seconds))
        with quick_switches():
            for maker in (naive_dict, our_simple, naive_tiers, our_tiers):
                _print(f"{maker.__name__}, 8 threads", in_threads(maker, server.address, Truth(), seconds, threads=8))
    with tempfile.TemporaryDirectory() as directory:
        for maker in (naive_files, our_files):
            _print(f"{maker.__name__}, {PROCESSES} processes", in_processes(maker, directory, seconds))
        for maker in (naive_sqlite, our_sqlite):
            path = f"{directory}/{maker.__name__}"
            _print(f"{maker.__name__}, {PROCESSES} processes", in_processes(maker, path, seconds))

    binary, reason = find_redis()
    if binary is None:
        print(reason)
    else:
        with RedisServer(binary=binary) as server:
            for maker in (naive_redis, our_redis, our_redis_in_tasks):
                _print(f"{maker.__name__}, {PROCESSES} processes", in_processes(maker, server.url, seconds))


def _print(what: str, tally: Tally) -> None:
    print(f"{what:32}" + "".join(f"{number:9,}" for number in astuple(tally)))


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 8)
