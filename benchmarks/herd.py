"""What happens when many threads ask at once for what is not there: how often it is computed, and how long all wait.

The same is asked of tasks in `benchmarks.tasks`.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final, Protocol

from benchmarks.answer import Answer, Chart, Effort, Grid, Row, Told, Unanswerable, figure
from benchmarks.command import main
from benchmarks.harness import WrongWork
from benchmarks.roster import Entrant, Roster, absent
from benchmarks.server import MemcachedServer

HERDS: Final = (1, 10, 100, 1000)
QUICK_HERDS: Final = (1, 10)
ROUNDS: Final = 5
QUICK_ROUNDS: Final = 1
SECONDS: Final = 0.05  # of a computation
QUICK_SECONDS: Final = 0.01
STACK_BYTES: Final = 512 * 1024  # of a thread: a thousand of the usual 8 MB are refused on small machines
SIZE: Final = 1000
TIMEOUT: Final = 86_400

roster = Roster()
server = MemcachedServer()

Cached = Callable[[int], object]


class Herded(Protocol):
    """A cached function that many ask at once for what was never asked for."""

    def stampede(self, size: int) -> tuple[int, float]:
        """Let *size* of them ask; return computations, and seconds for all."""


class Cold:
    """A cached function that takes its time."""

    def __init__(self, decorate: Callable[[Cached], Cached], seconds: float) -> None:
        self._lock = threading.Lock()
        self._computed = 0
        self._key = 0

        def compute(number: int) -> int:
            with self._lock:
                self._computed += 1
            time.sleep(seconds)
            return number

        self._f = decorate(compute)

    def stampede(self, size: int) -> tuple[int, float]:
        """Let *size* threads ask at once for what was never asked for; return computations, and seconds for all."""
        self._key += 1
        before = self._computed
        barrier = threading.Barrier(size + 1)
        herd = [Asker(self._f, self._key, barrier) for _ in range(size)]
        for each in herd:
            each.start()
        barrier.wait()
        for each in herd:
            each.join()
        if any(each.value != self._key for each in herd):
            raise WrongWork("somebody was given no value, or another's")
        return self._computed - before, max(each.end for each in herd) - min(each.begin for each in herd)


class Asker(threading.Thread):
    """One of the herd."""

    def __init__(self, f: Cached, key: int, barrier: threading.Barrier) -> None:
        super().__init__()
        self._f, self._key, self._barrier = f, key, barrier
        self.value: object = None
        self.begin = self.end = 0.0

    def run(self) -> None:
        """Wait for the others, then ask."""
        self._barrier.wait()
        self.begin = time.perf_counter()
        self.value = self._f(self._key)
        self.end = time.perf_counter()


@dataclass(frozen=True)
class Measured:
    """What was measured of one contestant, by size of the herd."""

    name: str
    ours: bool
    computations: Mapping[int, int]
    seconds: Mapping[int, float]


@dataclass(frozen=True)
class Question:
    """What is asked, and of whom."""

    contestants: Roster = field(default_factory=lambda: roster)
    name: str = "herd"
    title: str = "Many threads ask at once for what is not there"
    who: str = "thread"
    cold: Callable[[Callable[[Any], Any], float], Herded] = Cold

    @property
    def packages(self) -> Iterable[str]:
        """Those that take part."""
        return self.contestants.packages

    def pieces(self, effort: Effort) -> int:
        """Return how many times `ask` tells how far it is."""
        return len(self.contestants.contestants)

    def ask(self, effort: Effort, told: Told = lambda done: None) -> Answer:
        """Return the answer: computations, and the time until the last thread has its value."""
        entrants, missing = self.contestants.entrants()
        measured = []
        with small_stacks():
            for entrant in entrants:
                try:
                    measured.append(measure(entrant, effort, self.cold))
                except Unanswerable as reason:
                    missing[entrant.name] = str(reason)
                told(f"{self.name}: {entrant.name}")
        grids = [computations(measured, missing, self.who), times(measured, missing, self.who)]
        return Answer(self.name, self.title, grids, notes(effort, self.who))


@contextmanager
def small_stacks() -> Iterator[None]:
    before = threading.stack_size(STACK_BYTES)
    try:
        yield
    finally:
        threading.stack_size(before)


def measure(
    entrant: Entrant, effort: Effort, cold_: Callable[[Callable[[Any], Any], float], Herded] = Cold
) -> Measured:
    """Let herds of all sizes loose on *entrant*: of all rounds the most computations, and the median time."""
    herds, rounds, seconds = (QUICK_HERDS, QUICK_ROUNDS, QUICK_SECONDS) if effort.quick else (HERDS, ROUNDS, SECONDS)
    with ExitStack() as venue:
        cold = cold_(entrant.built(venue), seconds)
        cold.stampede(1)  # what is done once is not of the herd
        results = {size: [cold.stampede(size) for _ in range(rounds)] for size in herds}
    return Measured(
        entrant.name,
        entrant.ours,
        {size: max(computed for computed, _ in each) for size, each in results.items()},
        {size: median(taken for _, taken in each) for size, each in results.items()},
    )


def computations(measured: Sequence[Measured], missing: Mapping[str, str], who: str) -> Grid:
    figures = {each.name: each.computations for each in measured}
    return grid("Computations", measured, figures, missing, lambda number: f"{number:,.0f}", who)


def times(measured: Sequence[Measured], missing: Mapping[str, str], who: str) -> Grid:
    figures = {each.name: {size: 1000 * taken for size, taken in each.seconds.items()} for each in measured}
    return grid("Until the last has its value, ms", measured, figures, missing, figure, who)


def grid(
    title: str,
    measured: Sequence[Measured],
    figures: Mapping[str, Mapping[int, float]],
    missing: Mapping[str, str],
    shown: Callable[[float], str],
    who: str,
) -> Grid:
    rows = [
        Row(each.name, each.ours, [shown(number) for number in figures[each.name].values()], most)
        for most, each in sorted(
            ((list(figures[each.name].values())[-1], each) for each in measured), key=lambda pair: pair[0]
        )
    ]
    columns = [f"{size:,} {who}{'s' * (size > 1)}" for size in measured[0].seconds]
    lines = {name: list(each.items()) for name, each in figures.items()}
    chart = Chart(title.lower(), kind="lines", lines=lines, x_axis=f"{who}s", log_x=True)
    return Grid(title, columns, [*rows, *absent(missing)], figures, chart)


def notes(effort: Effort, who: str) -> list[str]:
    seconds = QUICK_SECONDS if effort.quick else SECONDS
    return [
        f"The computation waits for {1000 * seconds:.0f} ms. Each time another key; all {who}s begin at once.",
        "Of some rounds the most computations, and the median of the times.",
        "memocache on memcached: the server runs here, on the only core that this process then has.",
    ]


# ---- the contestants: a builder returns what decorates a function; *venue* closes what it opens ------------------


@roster.contestant("memocache", "memocache")
def ours(memocache: Any, venue: ExitStack) -> Any:
    return memocache.cached(timeout=TIMEOUT, cache=memocache.SimpleCache(threshold=SIZE))


@roster.contestant("memocache on memcached", "memocache")
def ours_on_memcached(memocache: Any, venue: ExitStack) -> Any:
    venue.enter_context(server.running())
    return memocache.cached(timeout=TIMEOUT, cache=memocache.MemcachedCache([server.address]), namespace="herd")


@roster.contestant("functools.lru_cache", "functools")
def lru_cache(functools: Any, venue: ExitStack) -> Any:
    return functools.lru_cache(maxsize=SIZE)


@roster.contestant("cachetools TTLCache, lock", "cachetools")
def cachetools_with_lock(cachetools: Any, venue: ExitStack) -> Any:
    return cachetools.cached(cachetools.TTLCache(SIZE, TIMEOUT), lock=threading.Lock())


@roster.contestant("cachetools TTLCache, condition", "cachetools")
def cachetools_with_condition(cachetools: Any, venue: ExitStack) -> Any:
    return cachetools.cached(cachetools.TTLCache(SIZE, TIMEOUT), condition=threading.Condition())


@roster.contestant("cachebox TTLCache", "cachebox")
def cachebox_ttl(cachebox: Any, venue: ExitStack) -> Any:
    return cachebox.cached(cachebox.TTLCache(SIZE, TIMEOUT))


@roster.contestant("moka-py ttl", "moka-py")
def moka_ttl(moka_py: Any, venue: ExitStack) -> Any:
    return moka_py.cached(maxsize=SIZE, ttl=TIMEOUT)


@roster.contestant("moka-py ttl, wait_concurrent", "moka-py")
def moka_waiting(moka_py: Any, venue: ExitStack) -> Any:
    return moka_py.cached(maxsize=SIZE, ttl=TIMEOUT, wait_concurrent=True)


@roster.contestant("dogpile.cache memory", "dogpile.cache")
def dogpile_memory(dogpile_cache: Any, venue: ExitStack) -> Any:
    region = dogpile_cache.make_region().configure("dogpile.cache.memory", expiration_time=TIMEOUT)
    return region.cache_on_arguments()


question = Question()

if __name__ == "__main__":
    main([question])
