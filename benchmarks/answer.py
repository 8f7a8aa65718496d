"""What a question is, and what its answer consists of: nothing here knows how it is measured, nor how it is shown."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

__all__ = [
    "FULL",
    "OURS",
    "QUICK",
    "Answer",
    "Asked",
    "Chart",
    "Effort",
    "Grid",
    "Row",
    "Told",
    "Unanswerable",
    "figure",
]

OURS: Final = "memocache"

Told = Callable[[str], None]


class Unanswerable(Exception):
    """A question cannot be asked on this machine; the message says what is missing."""


@dataclass(frozen=True)
class Effort:
    """How many rounds there are, and how many seconds each takes in all; *quick* is to see that it works."""

    rounds: int
    seconds: float
    quick: bool = False


FULL: Final = Effort(rounds=250, seconds=0.015)
QUICK: Final = Effort(rounds=3, seconds=0.005, quick=True)


@dataclass(frozen=True)
class Row:
    """What is said of one contestant.

    Args:
        name: the contestant's.
        ours: whether it is memocache.
        cells: its figures as text, one for each column; none if something is *missing*.
        value: the figure that a chart shows.
        missing: why there are no figures, such as "not installed".
    """

    name: str
    ours: bool
    cells: Sequence[str]
    value: float | None
    missing: str | None = None


@dataclass(frozen=True)
class Chart:
    """How a grid is drawn.

    Args:
        axis: what the values are, with their unit.
        log: whether their axis is logarithmic.
        kind: "bars", one for each row that has a value, or "lines".
        more_is_better: whether the largest value is the best, and so the first bar.
        lines: the points of each line, by the name of the contestant.
        x_axis: what the lines run along.
        log_x: whether that is logarithmic.
    """

    axis: str
    log: bool = True
    kind: str = "bars"
    more_is_better: bool = False
    lines: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    x_axis: str = ""
    log_x: bool = False


@dataclass(frozen=True)
class Grid:
    """A table, and with a *chart* also a picture.

    Args:
        title: what was measured; it stands above the names.
        columns: the heads of the rows' cells.
        rows: in the order in which they are shown.
        data: what JSON is told besides.
        chart: how it is drawn; None if it is not.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]
    data: Any = None
    chart: Chart | None = None


@dataclass(frozen=True)
class Answer:
    """The grids of one question; none, and why, if it could not be asked."""

    name: str
    title: str
    grids: Sequence[Grid] = ()
    notes: Sequence[str] = ()
    skipped: str | None = None


class Asked(Protocol):
    """A question: what the command line needs of it."""

    @property
    def name(self) -> str:
        """The module's, for the command line."""

    @property
    def title(self) -> str:
        """One line."""

    @property
    def packages(self) -> Iterable[str]:
        """Those that take part, as PyPI calls them."""

    def pieces(self, effort: Effort) -> int:
        """Return how many times `ask` tells how far it is."""

    def ask(self, effort: Effort, told: Told) -> Answer:
        """Return the answer; *told* is called with a few words after each piece of work.

        Raises:
            Unanswerable: if it cannot be asked here.
        """


def figure(number: float) -> str:
    """Return *number* with two or three digits that count."""
    digits = 2 if number < 10 else 1 if number < 100 else 0
    return f"{number:,.{digits}f}"
