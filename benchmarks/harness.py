"""Questions about time, contestants, and how they are measured: in turn, in one process, so that their ratios hold.

Each round times every contestant once, in random order, for a millisecond or some. What disturbs the machine then
disturbs all of them alike, and the quickest of many rounds is what the code itself takes. (Tried five times on two
cores with five busy processes: a ratio came out as 4.8 to 5.1; with turns of 12 ms, as 4.5 to 7.7.)
"""

import random
import sys
import timeit
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import Any, Final

from benchmarks.answer import FULL, OURS, QUICK, Answer, Effort, Told, Unanswerable
from benchmarks.timing import HOW, Table, Timing

__all__ = [
    "FULL",
    "OURS",
    "QUICK",
    "Answer",
    "Case",
    "Effort",
    "Missing",
    "Question",
    "Tally",
    "Told",
    "Unanswerable",
    "WrongWork",
    "imported",
    "module_name",
]

TRIALS: Final = 3  # of each number of calls while calibrating: the quickest counts

Builder = Callable[[Any], Any]


class WrongWork(Exception):
    """A contestant computed more or less often than it should have, so that its time means nothing."""


class Missing(Exception):
    """A contestant cannot take part; the message says why."""


class Tally:
    """Counts the computations, to tell a hit from a miss."""

    def __init__(self) -> None:
        self.count = 0


@dataclass(frozen=True)
class Case:
    """One call to be timed.

    Args:
        name: heads the table.
        statement: the call.
        prepare: takes what a contestant's builder returned, and returns the names that *statement* uses.
        computes: how often the cached function is computed each time.
        setup: is done before each turn of `calls` calls, and not timed; *statement* may use the names that it makes.
        most: how many calls a turn may have; None for as many as take their part of a round.
    """

    name: str
    statement: str
    prepare: Callable[[Any], dict[str, Any]] = dict
    computes: int = 0
    setup: str = ""
    most: int | None = None


@dataclass(frozen=True)
class Contestant:
    """One who takes part. *build* is given the imported *package*."""

    name: str
    package: str
    build: Builder
    cases: Collection[str] | None
    statement: str | None


@dataclass(frozen=True)
class Question:
    """What is asked, and who takes part.

    Args:
        name: the module's, for the command line.
        title: one line.
        cases: the calls to be timed, a table each.
        baseline: the contestant that all others are compared with.
        unit: of the times: "ns", "us" or "ms".
        notes: what a reader of the tables must know.
        venue: what has to be there meanwhile, such as a server; it gives further notes.
        tally: counts the computations of the cached functions.
    """

    name: str
    title: str
    cases: Sequence[Case]
    baseline: str
    unit: str
    notes: Sequence[str] = ()
    venue: Callable[[], AbstractContextManager[Sequence[str]]] = lambda: nullcontext(())
    tally: Tally = field(default_factory=Tally)
    contestants: list[Contestant] = field(default_factory=list)

    def contestant(
        self, name: str, package: str, *, cases: Collection[str] | None = None, statement: str | None = None
    ) -> Callable[[Builder], Builder]:
        """Add the decorated builder as a contestant.

        Args:
            name: as in the tables.
            package: on PyPI or in the standard library. The builder is given the module of that name; if there is
                none, the tables say so.
            cases: those it takes part in; None for all.
            statement: what it does instead of the cases' own; nothing is computed in it.
        """

        def add(build: Builder) -> Builder:
            self.contestants.append(Contestant(name, package, build, cases, statement))
            return build

        return add

    @property
    def packages(self) -> Iterable[str]:
        """Those that take part."""
        return {each.package for each in self.contestants}

    def pieces(self, effort: Effort) -> int:
        """Return how many times `ask` tells how far it is."""
        return len(self.cases) * (effort.rounds + 1)

    def ask(self, effort: Effort, told: Told = lambda done: None) -> Answer:
        """Return the answer: a table for each case."""
        with self.venue() as notes:
            grids = [self.table(case, effort, told).grid() for case in self.cases]
        return Answer(self.name, self.title, grids, (*self.notes, *notes, HOW))

    def table(self, case: Case, effort: Effort, told: Told = lambda done: None) -> Table:
        """Return what the contestants of *case* took."""
        entrants, missing = self._entrants(case)
        for entrant in entrants:
            entrant.calibrate(effort.seconds / len(entrants))
        told(f"{self.name}: {case.name}")
        for _ in range(effort.rounds):
            for entrant in random.sample(entrants, len(entrants)):
                entrant.run()
            told(f"{self.name}: {case.name}")
        return Table(case.name, self.baseline, self.unit, [each.timing() for each in entrants], missing)

    def _entrants(self, case: Case) -> tuple[list["Entrant"], dict[str, str]]:
        """Return the contestants of *case* at work, and why others are not."""
        entrants: list[Entrant] = []
        missing: dict[str, str] = {}
        for contestant in self.contestants:
            if contestant.cases is not None and case.name not in contestant.cases:
                continue
            try:
                module = imported(contestant.package)
            except Missing as reason:
                missing[contestant.name] = str(reason)
            else:
                entrants.append(Entrant(contestant, case, self.tally, module))
        return entrants, missing


class Entrant:
    """A contestant at work on one case."""

    def __init__(self, contestant: Contestant, case: Case, tally: Tally, module: ModuleType) -> None:
        self.contestant = contestant
        self._case = case
        self._statement = case.statement if contestant.statement is None else contestant.statement
        self._computes = case.computes if contestant.statement is None else 0
        self._tally = tally
        self._before = 0
        # The garbage collector stays on, as it is in an application.
        setup = f"import gc; gc.enable()\n{case.setup}\n_begun()"
        self._names = {**case.prepare(contestant.build(module)), "_begun": self._begun}
        self._timer = timeit.Timer(self._statement, setup, globals=self._names)
        self.calls = 1
        self.rounds: list[float] = []
        self._turn(TRIALS)  # fill the cache

    def calibrate(self, seconds: float) -> None:
        """Find the number of calls that takes *seconds*, or is the most there may be."""
        most = self._case.most or sys.maxsize
        while (taken := min(self._time() for _ in range(TRIALS))) < seconds / 10 and self.calls < most:
            self.calls = min(4 * self.calls, most)
        self.calls = min(max(1, round(self.calls * seconds / taken)), most)

    def run(self) -> None:
        """Take part in a round."""
        self.rounds.append(self._time() / self.calls)

    def _time(self) -> float:
        taken = self._turn(self.calls)
        computed, wanted = self._tally.count - self._before, self.calls * self._computes
        if computed != wanted:
            raise WrongWork(
                f"{self.contestant.name} computed {computed} times in {self.calls} x `{self._statement}`; "
                f"wanted: {wanted}"
            )
        return taken

    def _turn(self, calls: int) -> float:
        self._names["calls"] = calls
        return self._timer.timeit(calls)

    def _begun(self) -> None:
        self._before = self._tally.count

    def timing(self) -> Timing:
        """Return what its turns took."""
        return Timing(self.contestant.name, self.contestant.package == OURS, self.calls, self.rounds)


def imported(package: str) -> ModuleType:
    """Return the module of a *package* on PyPI.

    Raises:
        Missing: with the reason, for the tables.
    """
    try:
        return import_module(module_name(package))
    except ModuleNotFoundError:
        raise Missing("not installed") from None
    except ImportError as error:  # such as a C library that is not there
        raise Missing(f"does not import: {error}") from error


def module_name(package: str) -> str:
    """Return the module to import of a *package* on PyPI."""
    return package.replace("-", "_")
