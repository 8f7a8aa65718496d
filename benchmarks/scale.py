"""What becomes of a hit, a miss and the memory of an entry when there are a thousand times as many entries.

Each contestant works in processes of its own, one for each size: then its memory can be told from that of others, and
the garbage collector does not go through theirs. The processes of one contestant take turns on one core, since
two of them may differ by half: others use the machine, too.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from benchmarks.answer import Answer, Chart, Effort, Grid, Row, Told, figure
from benchmarks.command import main
from benchmarks.cores import one_core
from benchmarks.filled import HOT_KEYS, Filled
from benchmarks.roster import Roster, absent
from benchmarks.worker import Worker

SIZES: Final = (1_000, 10_000, 100_000, 1_000_000)
QUICK_SIZES: Final = (1_000, 4_000)
ENTRIES: Final = 100_000  # that are weighed at least, in several caches if these are smaller
ROUNDS: Final = 100
QUICK_ENTRIES: Final = 8_000
QUICK_ROUNDS: Final = 2
SECONDS: Final = 86_400  # longer than it takes: nothing is to expire

HOT: Final = f"A hit on one of {HOT_KEYS} hot keys"
HIT: Final = "A hit on any key"
MISS: Final = "A miss while the cache is full"
FILLING: Final = "A miss while the cache fills"
WEIGHT: Final = "Memory of an entry"
UNITS: Final = {HOT: "ns", HIT: "ns", MISS: "us", FILLING: "us", WEIGHT: "bytes"}
FACTORS: Final = {"ns": 1e9, "us": 1e6, "bytes": 1}

NOTES: Final = (
    "Room for so many entries, and filled with them; keys are ints, values None. Each in a process of its own, all "
    "on one core.",
    "Hits: the quickest of many rounds. Misses while full: the median round; while it fills: the mean of all.",
    "last / first: of the largest cache, in units of the smallest. The dict shows what the processor's caches do to "
    "it: any key of many is seldom in them.",
    "Memory: what the process grew by, without the keys, which are the same objects for all.",
)

roster = Roster()

Figures = Mapping[int, float | None]  # by size


@dataclass(frozen=True)
class Measured:
    """What was measured of one contestant: for each grid's title a figure for each size."""

    name: str
    ours: bool
    figures: Mapping[str, Figures]


@dataclass(frozen=True)
class Question:
    """What is asked, and of whom. *contestants* are found by name in the processes: there they are the module's own."""

    contestants: Roster = field(default_factory=lambda: roster)
    name: str = "scale"
    title: str = "A thousand entries, and a million"

    @property
    def packages(self) -> Iterable[str]:
        """Those that take part."""
        return self.contestants.packages

    def pieces(self, effort: Effort) -> int:
        """Return how many times `ask` tells how far it is."""
        return len(self.contestants.contestants)

    def ask(self, effort: Effort, told: Told = lambda done: None) -> Answer:
        """Return the answer: a grid for each of `UNITS`."""
        entrants, missing = self.contestants.entrants()
        measured = []
        for entrant in entrants:
            measured.append(Measured(entrant.name, entrant.ours, measure(entrant.name, effort)))
            told(f"{self.name}: {entrant.name}")
        grids = [grid(title, sizes(effort), measured, missing) for title in UNITS]
        return Answer(self.name, self.title, grids, NOTES)


def sizes(effort: Effort) -> Sequence[int]:
    return QUICK_SIZES if effort.quick else SIZES


def filled(name: str, size: int, entries: int) -> Filled:
    """Return the contestant of that *name* at work; called in a process of its own."""
    return Filled(roster.entrant(name).built, size, entries)


def measure(name: str, effort: Effort) -> dict[str, Figures]:
    """Return what the contestant of that *name* takes, for each title and size."""
    entries, rounds = (QUICK_ENTRIES, QUICK_ROUNDS) if effort.quick else (ENTRIES, ROUNDS)
    with one_core(), ExitStack() as stack:
        workers = {size: stack.enter_context(Worker(filled, name, size, entries)) for size in sizes(effort)}
        return {
            # One after the other, for filling is timed, too.
            FILLING: {size: worker.call("filling") for size, worker in workers.items()},
            WEIGHT: {size: worker.call("weight") for size, worker in workers.items()},
            HOT: {size: min(times) for size, times in in_turn(workers, "hot", rounds).items()},
            HIT: {size: min(times) for size, times in in_turn(workers, "hit", rounds).items()},
            # Last, for it drives out what is hit. Not the quickest: what leaves is sometimes cheap to find.
            MISS: {size: median(times) for size, times in in_turn(workers, "miss", rounds).items()},
        }


def in_turn(workers: Mapping[int, Worker], method: str, rounds: int) -> dict[int, list[float]]:
    times: dict[int, list[float]] = {size: [] for size in workers}
    for _ in range(rounds):
        for size, worker in workers.items():
            times[size].append(worker.call(method))
    return times


def grid(title: str, sizes: Sequence[int], measured: Sequence[Measured], missing: Mapping[str, str]) -> Grid:
    unit, last = UNITS[title], sizes[-1]
    scaled = {
        each.name: {size: known * FACTORS[unit] for size, known in each.figures[title].items() if known is not None}
        for each in measured
    }
    known = [each for each in measured if scaled[each.name]]
    known.sort(key=lambda each: scaled[each.name][last])
    rows = [Row(each.name, each.ours, cells(scaled[each.name]), scaled[each.name][last]) for each in known]
    unknown = {each.name: "not known on this system" for each in measured if not scaled[each.name]}
    columns = (*(f"{size:,} entries" for size in sizes), "last / first")
    lines = {each.name: list(scaled[each.name].items()) for each in known}
    chart = Chart(unit, kind="lines", lines=lines, x_axis="entries", log_x=True)
    return Grid(f"{title}, {unit}", columns, [*rows, *absent({**unknown, **missing})], scaled, chart)


def cells(figures: Mapping[int, float]) -> list[str]:
    first, *_, last = figures.values()
    return [*map(figure, figures.values()), f"{last / first:.2f}" if first else ""]


# ---- the contestants: a builder returns what decorates a function, with room for *size* entries ------------------


@roster.contestant("memocache", "memocache")
def ours(memocache: Any, size: int) -> Any:
    return memocache.cached(timeout=SECONDS, cache=memocache.SimpleCache(threshold=size))


@roster.contestant("functools.lru_cache", "functools")
def lru_cache(functools: Any, size: int) -> Any:
    return functools.lru_cache(maxsize=size)


@roster.contestant("cachetools TTLCache, lock", "cachetools")
def cachetools_with_lock(cachetools: Any, size: int) -> Any:
    return cachetools.cached(cachetools.TTLCache(size, SECONDS), lock=threading.Lock())


@roster.contestant("cachebox TTLCache", "cachebox")
def cachebox_ttl(cachebox: Any, size: int) -> Any:
    return cachebox.cached(cachebox.TTLCache(size, SECONDS))


@roster.contestant("moka-py ttl", "moka-py")
def moka_ttl(moka_py: Any, size: int) -> Any:
    return moka_py.cached(maxsize=size, ttl=SECONDS)


@roster.contestant("a dict, without a limit", "builtins")
def bare_dict(builtins: Any, size: int) -> Any:
    def decorate(compute: Any) -> Any:
        table: dict[int, object] = {}

        def f(number: int) -> object:
            try:
                return table[number]
            except KeyError:
                value = table[number] = compute(number)
                return value

        return f

    return decorate


question = Question()

if __name__ == "__main__":
    main([question])
