"""What threads that ask for the same few keys cost one another: all of their hits together, in a second."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.answer import Answer, Chart, Effort, Grid, Row, Told, figure
from benchmarks.command import main
from benchmarks.harness import WrongWork
from benchmarks.roster import Entrant, Roster, absent

THREADS: Final = (1, 2, 4, 8, 16)
QUICK_THREADS: Final = (1, 4)
ROUNDS: Final = 10
QUICK_ROUNDS: Final = 1
SECONDS: Final = 0.25  # of a round: the interpreter changes threads 200 times a second
QUICK_SECONDS: Final = 0.02
HOT_KEYS: Final = 100
SIZE: Final = 1000
TIMEOUT: Final = 86_400

NOTES: Final = (
    f"Hits of all threads in a second, on {HOT_KEYS} keys that are there: the best of several rounds.",
    "last / first: of the most threads, in units of one. With one interpreter lock, more cores do not help.",
)

roster = Roster()

Cached = Callable[[int], object]


class Hot:
    """A cached function whose hot keys are all there."""

    def __init__(self, decorate: Callable[[Cached], Cached]) -> None:
        self._computed = 0

        def compute(number: int) -> int:
            self._computed += 1
            return number

        self._f = decorate(compute)
        for key in range(HOT_KEYS):
            self._f(key)

    def rate(self, threads: int, seconds: float) -> float:
        """Return how many hits so many *threads* have in a second, over *seconds* or a little more."""
        turns = [Turns(self._f, seconds) for _ in range(threads)]
        before = self._computed
        together(turns)
        if self._computed != before:
            raise WrongWork("a hit was computed")
        return sum(each.hits for each in turns) / (max(each.end for each in turns) - min(each.begin for each in turns))


class Turns:
    """What one thread does: it goes through the hot keys again and again."""

    def __init__(self, f: Cached, seconds: float) -> None:
        self._f, self._seconds = f, seconds
        self.hits, self.begin, self.end = 0, 0.0, 0.0

    def run(self, barrier: threading.Barrier) -> None:
        """Wait for the others, then go through them once at least."""
        f, keys = self._f, range(HOT_KEYS)
        barrier.wait()
        self.begin = time.perf_counter()
        while not self.hits or self.end - self.begin < self._seconds:
            for key in keys:
                f(key)
            self.hits += HOT_KEYS
            self.end = time.perf_counter()


def together(turns: Sequence[Turns]) -> None:
    """Run them, each in a thread, from the same moment on."""
    barrier = threading.Barrier(len(turns))
    threads = [threading.Thread(target=each.run, args=(barrier,)) for each in turns]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@dataclass(frozen=True)
class Question:
    """What is asked, and of whom."""

    contestants: Roster = field(default_factory=lambda: roster)
    name: str = "threads"
    title: str = "Hits of many threads on hot keys"

    @property
    def packages(self) -> Iterable[str]:
        """Those that take part."""
        return self.contestants.packages

    def pieces(self, effort: Effort) -> int:
        """Return how many times `ask` tells how far it is."""
        return QUICK_ROUNDS if effort.quick else ROUNDS

    def ask(self, effort: Effort, told: Told = lambda done: None) -> Answer:
        """Return the answer: all the hits in a second, for each number of threads."""
        entrants, missing = self.contestants.entrants()
        counts, seconds = (QUICK_THREADS, QUICK_SECONDS) if effort.quick else (THREADS, SECONDS)
        functions = {entrant.name: Hot(entrant.built()) for entrant in entrants}
        best: dict[str, dict[int, float]] = {entrant.name: dict.fromkeys(counts, 0.0) for entrant in entrants}
        for _ in range(self.pieces(effort)):
            for name in random.sample(list(functions), len(functions)):
                for count in counts:
                    best[name][count] = max(best[name][count], functions[name].rate(count, seconds))
            told(self.name)
        return Answer(self.name, self.title, [grid(counts, entrants, best, missing)], NOTES)


def grid(
    counts: Sequence[int],
    entrants: Sequence[Entrant],
    best: Mapping[str, Mapping[int, float]],
    missing: Mapping[str, str],
) -> Grid:
    rows = []
    for entrant in sorted(entrants, key=lambda entrant: best[entrant.name][counts[-1]], reverse=True):
        rates = best[entrant.name]
        cells = [*(figure(rate / 1000) for rate in rates.values()), f"{rates[counts[-1]] / rates[counts[0]]:.2f}"]
        rows.append(Row(entrant.name, entrant.ours, cells, rates[counts[-1]]))
    columns = (*(f"{count} thread{'s' * (count > 1)}" for count in counts), "last / first")
    lines = {name: [(count, rate / 1e6) for count, rate in rates.items()] for name, rates in best.items()}
    chart = Chart(
        "million hits a second, of all threads", kind="lines", more_is_better=True, lines=lines, x_axis="threads"
    )
    return Grid("1 000 hits a second, of all threads", columns, [*rows, *absent(missing)], best, chart)


# ---- the contestants: a builder returns what decorates a function ------------------------------------------------


@roster.contestant("memocache", "memocache")
def ours(memocache: Any) -> Any:
    return memocache.cached(timeout=TIMEOUT, cache=memocache.SimpleCache(threshold=SIZE))


@roster.contestant("functools.lru_cache", "functools")
def lru_cache(functools: Any) -> Any:
    return functools.lru_cache(maxsize=SIZE)


@roster.contestant("cachetools TTLCache, lock", "cachetools")
def cachetools_with_lock(cachetools: Any) -> Any:
    return cachetools.cached(cachetools.TTLCache(SIZE, TIMEOUT), lock=threading.Lock())


@roster.contestant("cachebox TTLCache", "cachebox")
def cachebox_ttl(cachebox: Any) -> Any:
    return cachebox.cached(cachebox.TTLCache(SIZE, TIMEOUT))


@roster.contestant("moka-py ttl", "moka-py")
def moka_ttl(moka_py: Any) -> Any:
    return moka_py.cached(maxsize=SIZE, ttl=TIMEOUT)


@roster.contestant("dogpile.cache memory", "dogpile.cache")
def dogpile_memory(dogpile_cache: Any) -> Any:
    region = dogpile_cache.make_region().configure("dogpile.cache.memory", expiration_time=TIMEOUT)
    return region.cache_on_arguments()


question = Question()

if __name__ == "__main__":
    main([question])
