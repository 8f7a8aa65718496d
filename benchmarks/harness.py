"""Questions, contestants, and how they are measured: in turn, in one process, so that their ratios hold.

Each round times every contestant once, in random order, for a millisecond or some. What disturbs the machine then
disturbs all of them alike, and the quickest of many rounds is what the code itself takes. (Tried five times on two
cores with five busy processes: a ratio came out as 4.8 to 5.1; with turns of 12 ms, as 4.5 to 7.7.)
"""

import random
import timeit
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from statistics import median
from typing import Any, Final

__all__ = [
    "FULL",
    "OURS",
    "QUICK",
    "Answer",
    "Case",
    "Effort",
    "Question",
    "Table",
    "Tally",
    "Timing",
    "Unanswerable",
    "WrongWork",
    "ask",
    "pieces",
]

OURS: Final = "memocache"
TRIALS: Final = 3  # of each number of calls while calibrating: the quickest counts

Builder = Callable[[Any], Any]
Told = Callable[[str], None]


class Unanswerable(Exception):
    """A question cannot be asked on this machine; the message says what is missing."""


class WrongWork(Exception):
    """A contestant computed more or less often than it should have, so that its time means nothing."""


@dataclass(frozen=True)
class Effort:
    """How many rounds there are, and how many seconds each takes in all."""

    rounds: int
    seconds: float


FULL: Final = Effort(rounds=250, seconds=0.015)
QUICK: Final = Effort(rounds=3, seconds=0.005)


class Tally:
    """Counts the computations, to tell a hit from a miss."""

    def __init__(self) -> None:
        self.count = 0


@dataclass(frozen=True)
class Case:
    """One call to be timed.

    *prepare* takes what a contestant's builder returned, and returns the names that *statement* uses. *computes* is how
    often the cached function is computed each time.
    """

    name: str
    statement: str
    prepare: Callable[[Any], dict[str, Any]] = dict
    computes: int = 0


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
        unit: of the times: "ns" or "us".
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

    def taking_part(self, case: Case) -> list[Contestant]:
        """Return the contestants of *case*."""
        return [each for each in self.contestants if each.cases is None or case.name in each.cases]


@dataclass(frozen=True)
class Timing:
    """What one contestant took for one call, in seconds: a figure for each round."""

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


@dataclass(frozen=True)
class Table:
    """The timings of one case, the quickest first, and the names of those who are not installed."""

    case: str
    baseline: str
    timings: Sequence[Timing]
    missing: Sequence[str]

    def ratio(self, timing: Timing) -> float:
        """Return *timing* in units of the baseline."""
        return timing.best / next(each.best for each in self.timings if each.name == self.baseline)


@dataclass(frozen=True)
class Answer:
    """The tables of one question; none, and why, if it could not be asked."""

    question: Question
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    skipped: str | None = None


class Entrant:
    """A contestant at work on one case."""

    def __init__(self, contestant: Contestant, case: Case, tally: Tally, module: Any) -> None:
        self.contestant = contestant
        self._statement = case.statement if contestant.statement is None else contestant.statement
        self._computes = case.computes if contestant.statement is None else 0
        self._tally = tally
        # The garbage collector stays on, as it is in an application.
        self._timer = timeit.Timer(
            self._statement, "import gc; gc.enable()", globals=case.prepare(contestant.build(module))
        )
        self._timer.timeit(TRIALS)  # fill the cache
        self.calls = 1
        self.rounds: list[float] = []

    def calibrate(self, seconds: float) -> None:
        """Find the number of calls that takes *seconds*."""
        while (taken := min(self._time() for _ in range(TRIALS))) < seconds / 10:
            self.calls *= 4
        self.calls = max(1, round(self.calls * seconds / taken))

    def run(self) -> None:
        """Take part in a round."""
        self.rounds.append(self._time() / self.calls)

    def _time(self) -> float:
        before = self._tally.count
        taken = self._timer.timeit(self.calls)
        computed, wanted = self._tally.count - before, self.calls * self._computes
        if computed != wanted:
            raise WrongWork(
                f"{self.contestant.name} computed {computed} times in {self.calls} x `{self._statement}`; "
                f"wanted: {wanted}"
            )
        return taken

    def timing(self) -> Timing:
        return Timing(self.contestant.name, self.contestant.package == OURS, self.calls, self.rounds)


def ask(question: Question, effort: Effort, told: Told = lambda done: None) -> Answer:
    """Return the answer to *question*; *told* is called after each piece of work, `pieces` in all."""
    try:
        with question.venue() as notes:
            tables = [_table(question, case, effort, told) for case in question.cases]
            return Answer(question, tables, (*question.notes, *notes))
    except Unanswerable as reason:
        return Answer(question, skipped=str(reason))


def pieces(question: Question, effort: Effort) -> int:
    """Return how many times `ask` tells how far it is."""
    return len(question.cases) * (effort.rounds + 1)


def _table(question: Question, case: Case, effort: Effort, told: Told) -> Table:
    entrants: list[Entrant] = []
    missing: list[str] = []
    for contestant in question.taking_part(case):
        try:
            module = import_module(module_name(contestant.package))
        except ModuleNotFoundError:
            missing.append(contestant.name)
            continue
        entrants.append(Entrant(contestant, case, question.tally, module))
    for entrant in entrants:
        entrant.calibrate(effort.seconds / len(entrants))
    told(f"{question.name}: {case.name}")
    for _ in range(effort.rounds):
        for entrant in _shuffled(entrants):
            entrant.run()
        told(f"{question.name}: {case.name}")
    timings = sorted((entrant.timing() for entrant in entrants), key=lambda timing: timing.best)
    return Table(case.name, question.baseline, timings, missing)


def _shuffled(entrants: Sequence[Entrant]) -> Iterator[Entrant]:
    yield from random.sample(entrants, len(entrants))


def module_name(package: str) -> str:
    """Return the module to import of a *package* on PyPI."""
    return package.replace("-", "_")
