"""What becomes of hits, misses and memory with a thousand times as many entries, more threads, more processes.

At scale each peer works in processes of its own, one for each size: then its memory can be told from that of others,
and the garbage collector does not go through theirs. The processes of one peer take turns on one core, since two of
them may differ by half: others use the machine, too.
"""

import gc
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, Final

import memocache
from benchmarks.backends import BARE, ROW
from benchmarks.decorators import IN_PROCESS, SIZE, TIMEOUT, chosen
from benchmarks.harness import Effort, Figures, Peer, Peers, Survey, WrongWork, at_the_end, series
from benchmarks.report import Table
from benchmarks.servers import MEMCACHED, one_core
from benchmarks.workers import Worker, together

HOT_KEYS: Final = 100
USUAL: Final = "memocache; functools.lru_cache; cachetools TTLCache, lock; cachebox TTLCache; moka-py ttl"
Function = Callable[[int], object]

# ---- entries -----------------------------------------------------------------------------------------------------

HITS: Final = 10_000  # of each round
MISSES: Final = 1000
STATM: Final = Path("/proc/self/statm")

HOT: Final = f"A hit on one of {HOT_KEYS} hot keys"
HIT: Final = "A hit on any key"
MISS: Final = "A miss while the cache is full"
FILLING: Final = "A miss while the cache fills"
WEIGHT: Final = "Memory of an entry"
UNITS: Final = {HOT: ("ns", 1e9), HIT: ("ns", 1e9), MISS: ("us", 1e6), FILLING: ("us", 1e6), WEIGHT: ("bytes", 1)}

SCALE_NOTES: Final = (
    "Room for so many entries, and filled with them; keys are ints, values None. Each in a process of its own, all "
    "on one core.",
    "Hits: the quickest of many rounds. Misses while full: the median round; while it fills: the mean of all.",
    "last / first: of the largest cache, in units of the smallest. The dict shows what the processor's caches do to "
    "it: any key of many is seldom in them.",
    "Memory: what the process grew by, without the keys, which are the same objects for all.",
)


class Filled:
    """Functions whose caches of *size* are full, so many that *entries* are weighed: one's share can be told then."""

    def __init__(self, build: Callable[[int], Any], size: int, entries: int) -> None:
        self._computed = 0
        self._keys = list(range(size))
        self._hot = random.sample(self._keys, min(HOT_KEYS, size))
        self._next = size
        functions = [build(size)(self._function()) for _ in range(max(1, entries // size))]
        number = len(functions) * size
        gc.collect()
        before, began = resident_bytes(), time.perf_counter()
        for f in functions:
            for key in self._keys:
                f(key)
        taken = time.perf_counter() - began
        gc.collect()
        after = resident_bytes()
        self._check(number, self._computed)
        self._f = functions[0]
        self._seconds = taken / number
        self._bytes = None if before is None or after is None else (after - before) / number

    def _function(self) -> Callable[[int], None]:
        def compute(number: int) -> None:
            self._computed += 1

        return compute

    def filling(self) -> float:
        """Return the seconds that an entry took, growing and collecting garbage included."""
        return self._seconds

    def weight(self) -> float | None:
        """Return the bytes that an entry took; None if the system does not tell."""
        return self._bytes

    def hot(self) -> float:
        """Return the seconds of a hit on one of the hot keys, always the same."""
        return self._timed(random.choices(self._hot, k=HITS), computed=0)

    def hit(self) -> float:
        """Return the seconds of a hit on any key."""
        return self._timed(random.choices(self._keys, k=HITS), computed=0)

    def miss(self) -> float:
        """Return the seconds of a miss, for which another entry has to leave."""
        first, self._next = self._next, self._next + MISSES
        return self._timed(range(first, self._next), computed=MISSES)

    def _timed(self, keys: Sequence[int], computed: int) -> float:
        f, before = self._f, self._computed
        began = time.perf_counter()
        for key in keys:
            f(key)
        taken = time.perf_counter() - began
        self._check(computed, self._computed - before)
        return taken / len(keys)

    def _check(self, wanted: int, really: int) -> None:
        if really != wanted:
            raise WrongWork(f"{really} were computed; wanted: {wanted}")


def resident_bytes() -> int | None:
    """Return how much memory this process has; None where the system does not tell.

    It counts what is not Python's own, too, as with caches in C or Rust.
    """
    try:
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def filled(name: str, size: int, entries: int) -> Filled:
    """Return the peer of that *name* at work; called in a process of its own."""
    return Filled(IN_PROCESS[name].built, size, entries)


def measure_entries(peer: Peer, effort: Effort) -> dict[str, dict[int, float | None]]:
    """Return what *peer* takes, for each title and size."""
    sizes, entries, rounds = [1_000, 10_000, 100_000, 1_000_000], 100_000, 100
    if effort.quick:
        sizes, entries, rounds = [1_000, 4_000], 8_000, 2
    with one_core(), ExitStack() as stack:
        workers = {size: stack.enter_context(Worker(filled, peer.name, size, entries)) for size in sizes}

        def in_turn(method: str, rounds: int, least: Callable[[Sequence[Any]], Any]) -> dict[int, Any]:
            times = [{size: worker.call(method) for size, worker in workers.items()} for _ in range(rounds)]
            return {size: least([each[size] for each in times]) for size in sizes}

        return {
            FILLING: in_turn("filling", 1, lambda one: one[0]),
            WEIGHT: in_turn("weight", 1, lambda one: one[0]),
            HOT: in_turn("hot", rounds, min),
            HIT: in_turn("hit", rounds, min),
            # Last, for it drives out what is hit. Not the quickest: what leaves is sometimes cheap to find.
            MISS: in_turn("miss", rounds, median),
        }


def scale_tables(
    measured: Mapping[Peer, Mapping[str, Mapping[int, float | None]]], missing: Mapping[str, str]
) -> list[Table]:
    """Return a table for each of `UNITS`."""
    tables = []
    for title, (unit, factor) in UNITS.items():
        figures: dict[Peer, Figures] = {}
        unknown = dict(missing)
        for peer, by_title in measured.items():
            figures[peer] = {size: number * factor for size, number in by_title[title].items() if number is not None}
            if not figures[peer]:
                del figures[peer]
                unknown[peer.name] = "not known on this system"
        tables.append(series(f"{title}, {unit}", figures, unknown, "entry entries", log_x=True))
    return tables


scale = Survey(
    "scale",
    "A thousand entries, and a million",
    chosen(f"{USUAL}; a dict, without a limit").values(),
    measure_entries,
    scale_tables,
    lambda effort: SCALE_NOTES,
)

# ---- threads and processes, on hot keys --------------------------------------------------------------------------


SHOWN: Final[dict[str, Any]] = {"of": "thread threads", "log": False, "more_is_better": True}
PROCESSES_SHOWN: Final = SHOWN | {"of": "process processes"}


class Hot:
    """A cached function whose hot keys are all there."""

    def __init__(self, decorate: Callable[[Function], Function]) -> None:
        self._computed = 0

        def compute(number: int) -> dict[str, object]:
            self._computed += 1
            return {**ROW, "id": number}

        self._f = decorate(compute)
        for key in range(HOT_KEYS):
            self._f(key)

    def hits(self, seconds: float) -> tuple[int, float, float]:
        """Ask for the hot keys again and again, once at least; return how many hits there were, from when to when."""
        f, keys, before, hits = self._f, range(HOT_KEYS), self._computed, 0
        begin = now = time.perf_counter()
        while not hits or now - begin < seconds:
            for key in keys:
                f(key)
            hits += HOT_KEYS
            now = time.perf_counter()
        if self._computed != before:
            raise WrongWork("a hit was computed")
        return hits, begin, now

    def rate(self, threads: int, seconds: float) -> float:
        """Return how many hits so many *threads* have in a second, over *seconds* or a little more."""
        return rate(together(threads, lambda: self.hits(seconds)))


def rate(turns: Sequence[tuple[int, float, float]]) -> float:
    """Return how many hits there were in a second, from the first that began to the last that ended."""
    hits, begins, ends = zip(*turns, strict=True)
    return float(sum(hits) / (max(ends) - min(begins)))


class ThreadSurvey(Survey):
    """Hits of threads; the peers take turns, since all are in this process."""

    def measured(self, peers: Sequence[Peer], missing: dict[str, str], effort: Effort) -> dict[Peer, Any]:
        """See Survey."""
        counts, rounds, seconds = ((1, 4), 1, 0.02) if effort.quick else ((1, 2, 4, 8, 16), 10, 0.25)
        best: dict[Peer, dict[int, float]] = {peer: dict.fromkeys(counts, 0.0) for peer in peers}
        with at_the_end:
            functions = {peer: Hot(peer.built(SIZE)) for peer in peers}
            for _ in range(rounds):
                for peer in random.sample(peers, len(peers)):
                    for count in counts:
                        best[peer][count] = max(best[peer][count], functions[peer].rate(count, seconds) / 1000)
        return best


threads = ThreadSurvey(
    "threads",
    "Hits of many threads on hot keys",
    chosen(f"{USUAL}; dogpile.cache memory").values(),
    measure=lambda peer, effort: None,
    tables=lambda measured, missing: [series("1 000 hits a second, of all threads", measured, missing, **SHOWN)],
    notes=lambda effort: [
        f"Hits of all threads in a second, on {HOT_KEYS} keys that are there: the best of several rounds.",
        "last / first: of the most threads, in units of one. With one interpreter lock, more cores do not help.",
    ],
)

SHARING: Final = Peers()


@SHARING.add("memocache", "memocache")
def ours(module: Any, address: str) -> Any:
    return memocache.cached(timeout=TIMEOUT, cache=memocache.MemcachedCache([address]), namespace="processes")


@SHARING.add(BARE, "pymemcache")
def bare(pymemcache: Any, address: str) -> Any:
    def decorate(compute: Any) -> Any:
        f = ours(memocache, address)(compute)
        for number in range(HOT_KEYS):
            f(number)
        get, keys = pymemcache.Client(address).get, [f.key(number) for number in range(HOT_KEYS)]
        return lambda number: get(keys[number])

    return decorate


@SHARING.add("dogpile.cache over pymemcache", "dogpile.cache")
def dogpile_pymemcache(dogpile_cache: Any, address: str) -> Any:
    region = dogpile_cache.make_region()
    region.configure("dogpile.cache.pymemcache", expiration_time=TIMEOUT, arguments={"url": [address]})
    return region.cache_on_arguments()


def busy(name: str, address: str, cores: Sequence[int]) -> Hot:
    """Return the peer of that *name* with its hot keys on the server; called in a process of its own."""
    if cores:
        os.sched_setaffinity(0, cores)
    return Hot(SHARING[name].built(address))


def measure_processes(peer: Peer, effort: Effort) -> dict[int, float]:
    """Return how many hits in a second *peer* has, by number of processes."""
    counts, rounds, seconds = ((1, 2), 1, 0.05) if effort.quick else ((1, 2, 4, 8), 5, 0.5)
    cores = list(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    best = dict.fromkeys(counts, 0.0)
    with MEMCACHED.running(), ExitStack() as stack:
        # The server is kept on one core. These are not: a process is there to use another.
        workers = [stack.enter_context(Worker(busy, peer.name, MEMCACHED.address, cores)) for _ in range(counts[-1])]
        for worker in workers:
            worker.call("hits", 0)
        for _ in range(rounds):
            for count in counts:
                for worker in workers[:count]:
                    worker.begin("hits", seconds)
                best[count] = max(best[count], rate([worker.result() for worker in workers[:count]]))
    return best


processes = Survey(
    "processes",
    "Hits of several processes on one memcached",
    SHARING.values(),
    measure_processes,
    tables=lambda measured, missing: [series("Hits a second, of all processes", measured, missing, **PROCESSES_SHOWN)],
    notes=lambda effort: [
        f"Hits of all processes in a second, each with a connection of its own, on the same {HOT_KEYS} keys: the best "
        "of several rounds.",
        f"{BARE} gets, undecoded, the very bytes that memocache stores.",
        "last / first: of the most processes, in units of one.",
        "memcached: one thread on one core, on a unix socket; the processes run where the system puts them.",
    ],
)
