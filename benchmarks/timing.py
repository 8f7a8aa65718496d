"""Times, and how they are compared: the quickest round is what the code itself takes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final

from benchmarks.answer import Chart, Grid, Row, figure

__all__ = ["HOW", "Table", "Timing"]

UNITS: Final = {"ns": 1e9, "us": 1e6, "ms": 1e3}
HOW: Final = "For one call, the quickest of many rounds; spread: how much longer the median round took."


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
    """The timings of one case, and why others have none, by name.

    Args:
        case: what was timed.
        baseline: the name of the one that all are compared with.
        unit: of the times as they are shown: "ns", "us" or "ms".
        timings: in any order.
        missing: why a contestant has no timing.
        axis: what a chart calls the times, without their unit.
    """

    case: str
    baseline: str
    unit: str
    timings: Sequence[Timing]
    missing: dict[str, str]
    axis: str = "a call"

    def ratio(self, timing: Timing) -> float | None:
        """Return *timing* in units of the baseline; None if that is missing."""
        return next((timing.best / each.best for each in self.timings if each.name == self.baseline), None)

    def grid(self) -> Grid:
        """Return it as it is shown: the quickest first, then those who are missing."""
        rows = [self._row(timing) for timing in sorted(self.timings, key=lambda timing: timing.best)]
        rows += [Row(name, False, (), None, missing=why) for name, why in self.missing.items()]
        columns = (self.unit, f"x {self.baseline}", "spread")
        return Grid(self.case, columns, rows, self._data(), Chart(f"{self.unit} {self.axis}"))

    def _row(self, timing: Timing) -> Row:
        value, ratio = timing.best * UNITS[self.unit], self.ratio(timing)
        cells = (figure(value), "" if ratio is None else figure(ratio), f"+{timing.spread:.0%}")
        return Row(timing.name, timing.ours, cells, value)

    def _data(self) -> dict[str, Any]:
        return {
            "baseline": self.baseline,
            "unit": "s",
            "timings": [
                {**asdict(each), "best": each.best, "spread": each.spread, "ratio": self.ratio(each)}
                for each in self.timings
            ],
        }
