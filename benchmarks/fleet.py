"""How often a fleet of workers computes one hot key each time it runs out: a simulation, in simulated time.

A thousand workers each ask ten times in a hundred seconds, at random moments; a computation takes three seconds, in
which its worker asks nothing else. What others do is simulated; memocache's part is played by its cache on memcached,
by the verbs of the contract, which take the time from whoever asks.
"""

import heapq
import math
import random
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from benchmarks.answer import Answer, Chart, Effort, Grid, Row, Told, figure
from benchmarks.command import main
from benchmarks.roster import Roster, absent
from benchmarks.server import MemcachedServer

WORKERS: Final = 1000
TIMEOUT: Final = 60.0  # seconds, all of them simulated
COMPUTATION: Final = 3.0
BETWEEN: Final = 10.0  # two calls of one worker, on average
STALE: Final = 600.0
CYCLES: Final = 40
QUICK_CYCLES: Final = 3

roster = Roster()
server = MemcachedServer()


class Scheme(Protocol):
    """What protects the computation, or does not."""

    def ask(self, now: float) -> object:
        """Return what `done` is to be given if this worker is to compute; None if it is not."""

    def done(self, computing: Any, now: float) -> None:
        """Store the result."""


class Plain:
    """Get, or compute and set: everybody who finds nothing computes."""

    def __init__(self) -> None:
        self._fresh = -math.inf

    def ask(self, now: float) -> object:
        """See Scheme."""
        return self if now >= self._fresh - self.early() else None

    def done(self, computing: Any, now: float) -> None:
        """See Scheme."""
        self._fresh = now + TIMEOUT

    def early(self) -> float:
        """Return how many seconds before the timeout this worker computes."""
        return 0.0


class XFetch(Plain):
    """The same, and each worker may compute a little early, by chance."""

    def early(self) -> float:
        """See Plain."""
        return -COMPUTATION * math.log(1 - random.random())


class Ours:
    """stale= on a cache on memcached: the lease is for one, the old value for all others."""

    def __init__(self, base: Any, cache: Any) -> None:
        self._base, self._cache = base, cache
        self._start = time.time()

    def ask(self, now: float) -> object:
        """See Scheme."""
        seen = self._cache.look("hot", ("all:fleet",), self._start + now, 2 * COMPUTATION)
        if isinstance(seen, self._base.Stale):
            return seen.lease
        return seen if isinstance(seen, self._base.Lease) else None

    def done(self, computing: Any, now: float) -> None:
        """See Scheme."""
        until = self._start + now + TIMEOUT
        cost = int(COMPUTATION * 1e6)
        self._cache.fill(computing, self._base.StaleableEntry("hot", 7, until, until + STALE, cost, fresh_until=until))
        computing.flight.resolve(7)


def computations(scheme: Scheme, cycles: int) -> list[int]:
    """Return how often the hot key was computed in each of so many *cycles*.

    A cycle begins with a computation while none is under way. The first, into an empty cache, does not count.
    """
    events = [(random.uniform(0, BETWEEN), worker, None) for worker in range(WORKERS)]
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
                if len(counts) > cycles:
                    return counts[1:]
                counts.append(0)
            counts[-1] += 1
            under_way += 1
            heapq.heappush(events, (now + COMPUTATION, worker, computing))
            continue
        heapq.heappush(events, (now + random.expovariate(1 / BETWEEN), worker, None))


@dataclass(frozen=True)
class Question:
    """What is asked, and of whom."""

    contestants: Roster = field(default_factory=lambda: roster)
    name: str = "fleet"
    title: str = f"A fleet of {WORKERS:,} workers and one hot key (simulated)"

    @property
    def packages(self) -> Iterable[str]:
        """Those that take part."""
        return self.contestants.packages

    def pieces(self, effort: Effort) -> int:
        """Return how many times `ask` tells how far it is."""
        return len(self.contestants.contestants)

    def ask(self, effort: Effort, told: Told = lambda done: None) -> Answer:
        """Return the answer: computations in a cycle, on average and at most."""
        entrants, missing = self.contestants.entrants()
        rows, data = [], {}
        for entrant in entrants:
            with ExitStack() as venue:
                scheme = entrant.built(venue)()
                data[entrant.name] = counts = computations(scheme, QUICK_CYCLES if effort.quick else CYCLES)
            mean = sum(counts) / len(counts)
            rows.append(Row(entrant.name, entrant.ours, [figure(mean), f"{max(counts):,}"], mean))
            told(f"{self.name}: {entrant.name}")
        rows.sort(key=lambda row: row.value or 0)
        columns = ["computations a cycle", "at most"]
        grid = Grid("Computations a cycle", columns, [*rows, *absent(missing)], data, Chart("computations a cycle"))
        return Answer(self.name, self.title, [grid], notes(effort))


def notes(effort: Effort) -> list[str]:
    return [
        f"Timeout {TIMEOUT:.0f} s; a computation takes {COMPUTATION:.0f} s; each worker asks every {BETWEEN:.0f} s on "
        f"average; {QUICK_CYCLES if effort.quick else CYCLES} cycles.",
        "memocache's cache is a real one, on a memcached that runs here; only the time is simulated.",
    ]


# ---- the contestants: a builder returns what makes a Scheme; *venue* closes what it opens ------------------------


@roster.contestant("get, or compute and set", "random")
def plain(random: Any, venue: ExitStack) -> Callable[[], Scheme]:
    return Plain


@roster.contestant("XFetch alone", "random")
def xfetch(random: Any, venue: ExitStack) -> Callable[[], Scheme]:
    return XFetch


@roster.contestant("memocache: stale= and a lease", "memocache")
def ours(memocache: Any, venue: ExitStack) -> Callable[[], Scheme]:
    from memocache.backends import base

    venue.enter_context(server.running())
    return lambda: Ours(base, memocache.MemcachedCache([server.address]))


question = Question()

if __name__ == "__main__":
    main([question])
