"""Many who ask at once for what is not there: threads, tasks, and a fleet of workers in simulated time.

The fleet: a thousand workers each ask ten times in a hundred seconds, at random moments; a computation takes three
seconds, in which its worker asks nothing else. What others do is simulated; memocache's part is played by its cache on
memcached, by the verbs of the contract, which take the time from whoever asks.
"""

import asyncio
import heapq
import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from typing import Any, Final, Protocol

from benchmarks.decorators import SIZE, TIMEOUT, chosen
from benchmarks.harness import Effort, Peer, Peers, Survey, WrongWork, at_the_end, series
from benchmarks.report import Chart, Row, Table, absent, figure
from benchmarks.servers import MEMCACHED
from benchmarks.workers import together

STACK_BYTES: Final = 512 * 1024  # of a thread: a thousand of the usual 8 MB are refused on small machines

# ---- threads and tasks -------------------------------------------------------------------------------------------


class Herd(Protocol):
    """A cached function that many ask at once for what was never asked for."""

    def stampede(self, size: int) -> tuple[int, float]:
        """Let *size* of them ask; return computations, and seconds until the last has its value."""


class ThreadHerd:
    """Threads, and a cached function that takes its time."""

    def __init__(self, decorate: Callable[[Callable[[int], object]], Callable[[int], object]], seconds: float) -> None:
        self._lock = threading.Lock()
        self._computed = self._key = 0

        def compute(number: int) -> int:
            with self._lock:
                self._computed += 1
            time.sleep(seconds)
            return number

        self._f = decorate(compute)

    def stampede(self, size: int) -> tuple[int, float]:
        """See Herd."""
        self._key += 1
        before = self._computed

        def ask() -> tuple[float, object, float]:
            return time.perf_counter(), self._f(self._key), time.perf_counter()

        with small_stacks():
            begins, values, ends = zip(*together(size, ask), strict=True)
        return self._computed - before, checked(values, self._key, max(ends) - min(begins))


class TaskHerd:
    """Tasks, and a cached coroutine function that takes its time."""

    def __init__(self, decorate: Callable[[Any], Any], seconds: float) -> None:
        self._computed = self._key = 0

        async def compute(number: int) -> int:
            self._computed += 1
            await asyncio.sleep(seconds)
            return number

        self._f = decorate(compute)
        self._runner = asyncio.Runner()
        at_the_end.callback(self._runner.close)

    def stampede(self, size: int) -> tuple[int, float]:
        """See Herd."""
        return self._runner.run(self._ask(size))

    async def _ask(self, size: int) -> tuple[int, float]:
        self._key += 1
        before, begin = self._computed, time.perf_counter()
        values = await asyncio.gather(*(self._f(self._key) for _ in range(size)))
        return self._computed - before, checked(values, self._key, time.perf_counter() - begin)


def checked(values: Any, wanted: int, seconds: float) -> float:
    """Return *seconds*, if all *values* are those that were asked for."""
    if any(value != wanted for value in values):
        raise WrongWork("somebody was given no value, or another's")
    return seconds


@contextmanager
def small_stacks() -> Iterator[None]:
    before = threading.stack_size(STACK_BYTES)
    try:
        yield
    finally:
        threading.stack_size(before)


def on_memcached(memocache: Any, size: int) -> Any:
    at_the_end.enter_context(MEMCACHED.running())
    return memocache.cached(timeout=TIMEOUT, cache=memocache.MemcachedCache([MEMCACHED.address]), namespace="herd")


def herd_of(name: str, one: str, peers: Peers, make: Callable[[Callable[[Any], Any], float], Herd]) -> Survey:
    """Return the benchmark of *peers* whose functions *make* lets many threads, or tasks, as *one* says, ask."""

    def measure(peer: Peer, effort: Effort) -> dict[int, tuple[int, float]]:
        """Return of all rounds the most computations, and the median time, by size of the herd."""
        sizes, rounds = ((1, 10), 1) if effort.quick else ((1, 10, 100, 1000), 5)
        herd = make(peer.built(SIZE), seconds(effort))
        herd.stampede(1)  # what is done once is not of the herd
        results = {size: [herd.stampede(size) for _ in range(rounds)] for size in sizes}
        return {
            size: (max(computed for computed, _ in each), median(taken for _, taken in each))
            for size, each in results.items()
        }

    def tables(measured: Mapping[Peer, Mapping[int, Any]], missing: Mapping[str, str]) -> list[Table]:
        computed = {peer: {size: each[0] for size, each in by_size.items()} for peer, by_size in measured.items()}
        taken = {peer: {size: 1000 * each[1] for size, each in by_size.items()} for peer, by_size in measured.items()}
        options: dict[str, Any] = {"of": f"{one} {one}s", "ratio": False, "log_x": True}
        return [
            series("Computations", computed, missing, shown=lambda number: f"{number:,.0f}", **options),
            series("Until the last has its value, ms", taken, missing, **options),
        ]

    def seconds(effort: Effort) -> float:
        return 0.01 if effort.quick else 0.05

    def notes(effort: Effort) -> list[str]:
        return [
            f"Computations wait for {1000 * seconds(effort):.0f} ms. Each time another key; all {one}s begin at once.",
            "Of some rounds the most computations, and the median of the times.",
            "memocache on memcached: the server runs here, on the only core that this process then has.",
        ]

    peers["memocache on memcached"] = Peer("memocache on memcached", "memocache", on_memcached)
    return Survey(name, f"Many {one}s ask at once for what is not there", peers.values(), measure, tables, notes)


herd = herd_of(
    "herd",
    "thread",
    chosen(
        "memocache; functools.lru_cache; cachetools TTLCache, lock; cachetools TTLCache, condition; cachebox TTLCache; "
        "moka-py ttl; moka-py ttl, wait_concurrent; dogpile.cache memory"
    ),
    ThreadHerd,
)
tasks = herd_of(
    "tasks",
    "task",
    chosen(
        "memocache; moka-py ttl; moka-py ttl, wait_concurrent; cachebox TTLCache; async_lru ttl; aiocache memory; "
        "aiocache memory, stampede; cashews memory; cashews memory, lock"
    ),
    TaskHerd,
)

# ---- a fleet -----------------------------------------------------------------------------------------------------

WORKERS: Final = 1000
FLEET_TIMEOUT: Final = 60.0  # seconds, all of them simulated
COMPUTATION: Final = 3.0
BETWEEN: Final = 10.0  # two calls of one worker, on average
STALE: Final = 600.0
SCHEMES: Final = Peers()


def cycles(effort: Effort) -> int:
    return 3 if effort.quick else 40


@SCHEMES.add("get, or compute and set", "random")
class Plain:
    """A scheme that protects nothing: everybody who finds nothing computes."""

    def __init__(self, module: Any) -> None:
        self._fresh = -math.inf

    def ask(self, now: float) -> object:
        """Return what `done` is to be given if this worker is to compute; None if it is not."""
        return self if now >= self._fresh - self.early() else None

    def done(self, computing: Any, now: float) -> None:
        """Store the result."""
        self._fresh = now + FLEET_TIMEOUT

    def early(self) -> float:
        """Return how many seconds before the timeout this worker computes."""
        return 0.0


@SCHEMES.add("XFetch alone", "random")
class XFetch(Plain):
    """The same, and each worker may compute a little early, by chance."""

    def early(self) -> float:
        """See Plain."""
        return -COMPUTATION * math.log(1 - random.random())


@SCHEMES.add("memocache: stale= and a lease", "memocache")
class Ours(Plain):
    """stale= on a cache on memcached: the lease is for one, the old value for all others."""

    def __init__(self, memocache: Any) -> None:
        from memocache.backends import base

        at_the_end.enter_context(MEMCACHED.running())
        self._base, self._cache = base, memocache.MemcachedCache([MEMCACHED.address])
        self._start = time.time()

    def ask(self, now: float) -> object:
        """See Plain."""
        seen = self._cache.look("hot", ("all:fleet",), self._start + now, 2 * COMPUTATION)
        if isinstance(seen, self._base.Stale):
            return seen.lease
        return seen if isinstance(seen, self._base.Lease) else None

    def done(self, computing: Any, now: float) -> None:
        """See Plain."""
        until = self._start + now + FLEET_TIMEOUT
        cost = int(COMPUTATION * 1e6)
        self._cache.fill(computing, self._base.StaleableEntry("hot", 7, until, until + STALE, cost, fresh_until=until))
        computing.flight.resolve(7)


def computations(peer: Peer, effort: Effort) -> list[int]:
    """Return how often the hot key was computed in each of some cycles.

    A cycle begins with a computation while none is under way. The first, into an empty cache, does not count.
    """
    scheme = peer.built()
    events: list[tuple[float, int, Any]] = [(random.uniform(0, BETWEEN), worker, None) for worker in range(WORKERS)]
    heapq.heapify(events)
    counts: list[int] = []
    under_way = 0
    while True:
        now, worker, computing = heapq.heappop(events)
        if computing is not None:
            scheme.done(computing, now)
            under_way -= 1
        elif (computing := scheme.ask(now)) is not None:
            if not under_way:
                if len(counts) > cycles(effort):
                    return counts[1:]
                counts.append(0)
            counts[-1] += 1
            under_way += 1
            heapq.heappush(events, (now + COMPUTATION, worker, computing))
            continue
        heapq.heappush(events, (now + random.expovariate(1 / BETWEEN), worker, None))


def fleet_tables(measured: Mapping[Peer, list[int]], missing: Mapping[str, str]) -> list[Table]:
    """Return the computations in a cycle, on average and at most."""
    means = {peer: sum(counts) / len(counts) for peer, counts in measured.items()}
    rows = [
        Row(peer.name, peer.ours, [figure(means[peer]), f"{max(measured[peer]):,}"], means[peer])
        for peer in sorted(measured, key=means.__getitem__)
    ]
    title, data = "Computations a cycle", {peer.name: counts for peer, counts in measured.items()}
    return [Table(title, [title.lower(), "at most"], [*rows, *absent(missing)], data, Chart(title.lower()))]


fleet = Survey(
    "fleet",
    f"A fleet of {WORKERS:,} workers and one hot key (simulated)",
    SCHEMES.values(),
    computations,
    fleet_tables,
    lambda effort: [
        f"Timeout {FLEET_TIMEOUT:.0f} s; a computation takes {COMPUTATION:.0f} s; each worker asks every "
        f"{BETWEEN:.0f} s on average; {cycles(effort)} cycles.",
        "memocache's cache is a real one, on a memcached that runs here; only the time is simulated.",
    ],
)
