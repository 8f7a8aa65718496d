"""Benchmarks and peers, and how calls are timed: in turn, in one process, so that their ratios hold.

Each round times every peer once, in random order, for a millisecond or some. What disturbs the machine then disturbs
all of them alike, and the quickest of many rounds is what the code itself takes. (Tried five times on two cores with
five busy processes: a ratio came out as 4.8 to 5.1; with turns of 12 ms, as 4.5 to 7.7.)
"""

import random
import sys
import timeit
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass
from importlib import import_module
from statistics import median
from types import ModuleType
from typing import Any, Final

from benchmarks.report import OURS, Chart, Result, Row, Table, absent, figure

HOW: Final = "For one call, the quickest of many rounds; spread: how much longer the median round took."
TRIALS: Final = 3  # of each number of calls while calibrating: the quickest counts
UNITS: Final = {"ns": 1e9, "us": 1e6, "ms": 1e3}

Venue = Callable[[], AbstractContextManager[Sequence[str]]]

at_the_end: Final = ExitStack()  # what peers leave open is closed when they have been measured


class Unavailable(Exception):
    """A benchmark or a peer cannot be measured on this machine; the message says what is missing."""


class WrongWork(Exception):
    """A peer computed more or less often than it should have, so that its time means nothing."""


class Tally:
    """Counts the computations of cached functions, to tell a hit from a miss."""

    def __init__(self) -> None:
        self.count = 0


tally: Final = Tally()


@dataclass(frozen=True)
class Effort:
    """How many rounds there are, and how many seconds each takes in all; *quick* is to see that it works."""

    rounds: int
    seconds: float
    quick: bool = False


FULL: Final = Effort(rounds=250, seconds=0.015)
QUICK: Final = Effort(rounds=3, seconds=0.005, quick=True)


@dataclass(frozen=True, eq=False)
class Peer:
    """A library in one of the ways to use it; memocache is one, too."""

    name: str
    package: str  # on PyPI or in the standard library
    build: Callable[..., Any]  # is given the module of that name, and what else the benchmark says
    cases: Collection[str] | None = None  # those of a timed benchmark that it takes part in; None for all
    statement: str | None = None  # what it does instead of those; nothing is computed in it

    @property
    def ours(self) -> bool:
        """Whether it is memocache."""
        return self.package == OURS

    def module(self) -> ModuleType:
        """Return the module of the package."""
        try:
            return import_module(self.package.replace("-", "_"))
        except ModuleNotFoundError:
            raise Unavailable("not installed") from None
        except ImportError as error:  # such as a C library that is not there
            raise Unavailable(f"does not import: {error}") from error

    def built(self, *words: Any) -> Any:
        """Return what it builds with *words*, such as the size of its cache."""
        return self.build(self.module(), *words)


class Peers(dict[str, Peer]):
    """Peers by name."""

    def add(self, name: str, package: str, **options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Add a peer that the decorated function builds; *options* are a Peer's."""

        def added(build: Callable[..., Any]) -> Callable[..., Any]:
            self[name] = Peer(name, package, build, **options)
            return build

        return added


def present(peers: Collection[Peer]) -> tuple[list[Peer], dict[str, str]]:
    """Return those of *peers* whose package is there, and why the others are not, by name."""
    found, missing = [], {}
    for peer in peers:
        try:
            peer.module()
        except Unavailable as reason:
            missing[peer.name] = str(reason)
        else:
            found.append(peer)
    return found, missing


class Benchmark(ABC):
    """One measurement of several peers: what the command line needs of it."""

    name: str
    title: str
    peers: Collection[Peer]

    @property
    def packages(self) -> set[str]:
        """Those that take part, as PyPI calls them."""
        return {peer.package for peer in self.peers} - {"builtins"}

    @abstractmethod
    def run(self, effort: Effort) -> Result:
        """Return the result."""


class Group(Benchmark):
    """Benchmarks that have one title; a note tells which could not be run."""

    def __init__(self, name: str, title: str, parts: Sequence[Benchmark], notes: Sequence[str] = ()) -> None:
        self.name, self.title, self.parts, self.notes = name, title, parts, notes
        self.peers = [peer for part in parts for peer in part.peers]

    def run(self, effort: Effort) -> Result:
        """Return all their tables."""
        tables: list[Table] = []
        notes = dict.fromkeys(self.notes)
        for part in self.parts:
            try:
                result = part.run(effort)
            except Unavailable as reason:
                notes[f"{part.title}: skipped, {reason}."] = None
            else:
                tables += result.tables
                notes |= dict.fromkeys(result.notes)
        return Result(self.name, self.title, tables, [*notes])


# ---- calls, timed in turn ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One call to be timed."""

    name: str  # heads the table
    statement: str  # the call
    prepare: Callable[[Any], dict[str, Any]] = dict  # what a peer has built, as the names that the statement uses
    computes: int = 0  # how often the cached function is computed each time
    setup: str = ""  # is done before each turn of `calls` calls, and not timed; the statement may use its names
    most: int | None = None  # calls of a turn; None for as many as take their part of a round


@dataclass(frozen=True)
class TimedBenchmark(Benchmark):
    """Calls to be timed, a table each."""

    name: str
    title: str
    cases: Sequence[Case]
    peers: Collection[Peer]
    baseline: str  # the peer that all others are compared with
    unit: str  # of the times: "ns", "us" or "ms"
    notes: Sequence[str] = ()
    venue: Venue = lambda: nullcontext(())  # a server meanwhile; it gives notes
    complete: bool = False  # whether it means nothing if any of its peers is missing
    given: Sequence[Any] = ()  # what peers are built with

    def run(self, effort: Effort) -> Result:
        """Return a table for each case."""
        if self.complete:
            for peer in self.peers:
                peer.module()
        with self.venue() as notes:
            tables = [self.table(case, effort) for case in self.cases]
        return Result(self.name, self.title, tables, (*self.notes, *notes, HOW))

    def table(self, case: Case, effort: Effort) -> Table:
        """Return what the peers took for *case*."""
        peers, missing = present([peer for peer in self.peers if peer.cases is None or case.name in peer.cases])
        with at_the_end:
            turns = [_Turns(peer, case, self.given) for peer in peers]
            for each in turns:
                each.calibrate(effort.seconds / len(turns))
            for _ in range(effort.rounds):
                for each in random.sample(turns, len(turns)):
                    each.rounds.append(each.seconds() / each.calls)
        timings = [Timing(each.peer.name, each.peer.ours, each.calls, each.rounds) for each in turns]
        return timing_table(case.name, timings, self.baseline, self.unit, missing)


class _Turns:
    """One peer's turns at one case."""

    def __init__(self, peer: Peer, case: Case, given: Sequence[Any]) -> None:
        self.peer, self.calls, self.rounds = peer, 1, list[float]()
        self._statement = peer.statement or case.statement
        self._computes = 0 if peer.statement else case.computes
        self._most = case.most or sys.maxsize
        self._before = 0
        # The garbage collector stays on, as it is in an application.
        setup = f"import gc; gc.enable()\n{case.setup}\n_begun()"
        self._names = {**case.prepare(peer.built(*given)), "_begun": self._begun}
        self._timer = timeit.Timer(self._statement, setup, globals=self._names)
        self._turn(TRIALS)  # fill the cache

    def calibrate(self, seconds: float) -> None:
        """Find the number of calls that takes *seconds*, or is the most there may be."""
        while (taken := min(self.seconds() for _ in range(TRIALS))) < seconds / 10 and self.calls < self._most:
            self.calls = min(4 * self.calls, self._most)
        self.calls = min(max(1, round(self.calls * seconds / taken)), self._most)

    def seconds(self) -> float:
        """Return what a turn takes."""
        taken = self._turn(self.calls)
        computed, wanted = tally.count - self._before, self.calls * self._computes
        if computed != wanted:
            raise WrongWork(
                f"{self.peer.name} computed {computed} times in {self.calls} x `{self._statement}`; wanted: {wanted}"
            )
        return taken

    def _turn(self, calls: int) -> float:
        self._names["calls"] = calls
        return self._timer.timeit(calls)

    def _begun(self) -> None:
        self._before = tally.count


@dataclass(frozen=True)
class Timing:
    """One peer's seconds for one call: a figure for each round."""

    name: str
    ours: bool
    calls: int
    rounds: Sequence[float]

    @property
    def best(self) -> float:
        """The quickest round."""
        return min(self.rounds)

    @property
    def spread(self) -> float:
        """How far the median round is above the quickest, as a part of it."""
        return median(self.rounds) / self.best - 1


def timing_table(
    title: str, timings: Collection[Timing], baseline: str, unit: str, missing: Mapping[str, str], axis: str = "a call"
) -> Table:
    """Return *timings* beside that of the *baseline*, the quickest first; *axis*: the chart's, without its unit."""
    base = next((timing.best for timing in timings if timing.name == baseline), None)
    rows, data = [], []
    for timing in sorted(timings, key=lambda timing: timing.best):
        value, ratio = timing.best * UNITS[unit], timing.best / base if base else None
        cells = (figure(value), figure(ratio) if ratio else "", f"+{timing.spread:.0%}")
        rows.append(Row(timing.name, timing.ours, cells, value))
        data.append({**asdict(timing), "best": timing.best, "spread": timing.spread, "ratio": ratio})
    columns = (unit, f"x {baseline}", "spread")
    told = {"baseline": baseline, "unit": "s", "timings": data}
    return Table(title, columns, [*rows, *absent(missing)], told, Chart(f"{unit} {axis}"))


# ---- figures of each peer by itself ------------------------------------------------------------------------------

Figures = Mapping[int, float]  # by size


@dataclass(frozen=True)
class Survey(Benchmark):
    """Figures that each peer has by itself, one after the other."""

    name: str
    title: str
    peers: Collection[Peer]
    measure: Callable[[Peer, Effort], Any]  # returns a peer's figures
    tables: Callable[[Mapping[Peer, Any], Mapping[str, str]], Sequence[Table]]  # of the figures, and why some are none
    notes: Callable[[Effort], Sequence[str]]

    def run(self, effort: Effort) -> Result:
        """Return the tables of those who can be measured."""
        peers, missing = present(self.peers)
        measured = self.measured(peers, missing, effort)
        if not measured:
            raise Unavailable("; ".join(sorted({*missing.values()})))
        return Result(self.name, self.title, self.tables(measured, missing), self.notes(effort))

    def measured(self, peers: Sequence[Peer], missing: dict[str, str], effort: Effort) -> dict[Peer, Any]:
        """Return the figures of *peers*; put into *missing* why one has none."""
        measured = {}
        for peer in peers:
            try:
                with at_the_end:
                    measured[peer] = self.measure(peer, effort)
            except Unavailable as reason:
                missing[peer.name] = str(reason)
        return measured


def series(
    title: str,
    figures: Mapping[Peer, Figures],
    missing: Mapping[str, str],
    of: str,
    *,
    ratio: bool = True,
    shown: Callable[[float], str] = figure,
    **chart: Any,
) -> Table:
    """Return a table of figures by size, the best at the largest first, with lines that have the options *chart*.

    The sizes are *of* one thing or many, as "thread threads"; *ratio* shows the last figure as multiples of the first.
    """
    one, many = of.split()
    rows = []
    for peer in sorted(figures, key=lambda peer: [*figures[peer].values()][-1], reverse="more_is_better" in chart):
        first, *_, last = numbers = [*figures[peer].values()]
        cells = [*map(shown, numbers), *[f"{last / first:.2f}" if first else ""] * ratio]
        rows.append(Row(peer.name, peer.ours, cells, last))
    sizes = next(iter(figures.values()), ())
    columns = [*(f"{size:,} {many if size > 1 else one}" for size in sizes), *["last / first"] * ratio]
    data = {peer.name: dict(each) for peer, each in figures.items()}
    lines = {name: [*each.items()] for name, each in data.items()}
    return Table(title, columns, [*rows, *absent(missing)], data, Chart(title, lines=lines, x_axis=many, **chart))
