"""How many hits on one memcached several processes have together, in a second."""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import memocache
from benchmarks.answer import Answer, Chart, Effort, Grid, Row, Told, figure
from benchmarks.command import main
from benchmarks.harness import WrongWork
from benchmarks.memcached import BARE, ROW
from benchmarks.roster import Entrant, Roster, absent
from benchmarks.server import MemcachedServer
from benchmarks.worker import Worker

PROCESSES: Final = (1, 2, 4, 8)
QUICK_PROCESSES: Final = (1, 2)
ROUNDS: Final = 5
QUICK_ROUNDS: Final = 1
SECONDS: Final = 0.5  # of a round
QUICK_SECONDS: Final = 0.05
TIMEOUT: Final = 86_400
HOT_KEYS: Final = 100

NOTES: Final = (
    f"Hits of all processes in a second, each with a connection of its own, on the same {HOT_KEYS} keys: the best of "
    "several rounds.",
    f"{BARE} gets, undecoded, the very bytes that memocache stores.",
    "last / first: of the most processes, in units of one.",
)

roster = Roster()
server = MemcachedServer()


class Busy:
    """A contestant in a process of its own, with the hot keys on the server."""

    def __init__(self, name: str, address: str, cores: Sequence[int]) -> None:
        if cores:
            os.sched_setaffinity(0, cores)
        self._computed = 0

        def compute(number: int) -> dict[str, object]:
            self._computed += 1
            return {**ROW, "id": number}

        self._asked = roster.entrant(name).built(address)(compute)
        for number in range(HOT_KEYS):
            self._asked(number)

    def hits(self, seconds: float) -> tuple[int, float, float]:
        """Ask for the hot keys again and again; return how many hits there were, from when to when."""
        asked, computed, done = self._asked, self._computed, 0
        begin = now = time.perf_counter()
        while not done or now - begin < seconds:
            for number in range(HOT_KEYS):
                asked(number)
            done += HOT_KEYS
            now = time.perf_counter()
        if self._computed != computed:
            raise WrongWork("a hit was computed")
        return done, begin, now


@dataclass(frozen=True)
class Question:
    """What is asked, and of whom. *contestants* are found by name in the processes: there they are the module's own."""

    contestants: Roster = field(default_factory=lambda: roster)
    name: str = "processes"
    title: str = "Hits of several processes on one memcached"

    @property
    def packages(self) -> Iterable[str]:
        """Those that take part."""
        return self.contestants.packages

    def pieces(self, effort: Effort) -> int:
        """Return how many times `ask` tells how far it is."""
        return len(self.contestants.contestants)

    def ask(self, effort: Effort, told: Told = lambda done: None) -> Answer:
        """Return the answer: all the hits in a second, for each number of processes."""
        entrants, missing = self.contestants.entrants()
        cores = list(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        rates = {}
        with server.running() as notes:
            for entrant in entrants:
                rates[entrant.name] = measure(entrant.name, cores, effort)
                told(f"{self.name}: {entrant.name}")
        said = [note.partition(";")[0] for note in notes]  # where it runs is not true of these processes
        return Answer(self.name, self.title, [grid(entrants, rates, missing)], [*NOTES, *said])


def measure(name: str, cores: Sequence[int], effort: Effort) -> dict[int, float]:
    """Return how many hits in a second the contestant of that *name* has, by number of processes."""
    quick = (QUICK_PROCESSES, QUICK_ROUNDS, QUICK_SECONDS)
    counts, rounds, seconds = quick if effort.quick else (PROCESSES, ROUNDS, SECONDS)
    best = dict.fromkeys(counts, 0.0)
    with ExitStack() as stack:
        # The server is kept on one core. These are not: a process is there to use another.
        workers = [stack.enter_context(Worker(Busy, name, server.address, cores)) for _ in range(counts[-1])]
        for worker in workers:
            worker.call("hits", 0)
        for _ in range(rounds):
            for count in counts:
                best[count] = max(best[count], rate(workers[:count], seconds))
    return best


def rate(workers: Sequence[Worker], seconds: float) -> float:
    """Return how many hits these processes have in a second, together."""
    for worker in workers:
        worker.begin("hits", seconds)
    hits, begins, ends = zip(*(worker.result() for worker in workers), strict=True)
    return float(sum(hits) / (max(ends) - min(begins)))


def grid(entrants: Sequence[Entrant], rates: Mapping[str, Mapping[int, float]], missing: Mapping[str, str]) -> Grid:
    rows = []
    for entrant in sorted(entrants, key=lambda entrant: max(rates[entrant.name].values()), reverse=True):
        one, *_, most = figures = list(rates[entrant.name].values())
        rows.append(Row(entrant.name, entrant.ours, [*map(figure, figures), f"{most / one:.2f}"], most))
    counts = rates[entrants[0].name]
    columns = (*(f"{count} process{'es' * (count > 1)}" for count in counts), "last / first")
    lines = {name: list(each.items()) for name, each in rates.items()}
    chart = Chart("hits a second, of all processes", False, "lines", True, lines, "processes")
    return Grid("Hits a second, of all processes", columns, [*rows, *absent(missing)], rates, chart)


# ---- the contestants: a builder is given the server's address, and returns what decorates a function -------------


@roster.contestant("memocache", "memocache")
def ours(memocache: Any, address: str) -> Any:
    return memocache.cached(timeout=TIMEOUT, cache=memocache.MemcachedCache([address]), namespace="processes")


@roster.contestant(BARE, "pymemcache")
def bare(pymemcache: Any, address: str) -> Any:
    def decorate(compute: Any) -> Any:
        f = ours(memocache, address)(compute)
        for number in range(HOT_KEYS):
            f(number)
        get, keys = pymemcache.Client(address).get, [f.key(number) for number in range(HOT_KEYS)]
        return lambda number: get(keys[number])

    return decorate


@roster.contestant("dogpile.cache over pymemcache", "dogpile.cache")
def dogpile_pymemcache(dogpile_cache: Any, address: str) -> Any:
    region = dogpile_cache.make_region()
    region.configure("dogpile.cache.pymemcache", expiration_time=TIMEOUT, arguments={"url": [address]})
    return region.cache_on_arguments()


question = Question()

if __name__ == "__main__":
    main([question])
