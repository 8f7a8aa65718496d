"""What was tried, how often, and what came of it: the report at the end of a run."""

import datetime as dt
import os
import platform
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

OUTCOMES = "calls that somebody listens to"


@dataclass
class Line:
    """What was tried of one sort: how often on which cache, what went wrong, and what the naive way came to."""

    tried: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    sums: dict[str, float] = field(default_factory=dict)
    most: dict[str, float] = field(default_factory=dict)
    naive: list[str] = field(default_factory=list)


class Ledger:
    """Counts what the tests of a run have tried."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}

    def add(self, what: str, cache: str, tried: int, **wrong: int) -> None:
        """Note that *what* was tried so often on a *cache*, and what went wrong; 0 where nothing did."""
        line = self.lines.setdefault(what, Line())
        line.tried[cache] += tried
        for name, count in wrong.items():
            line.wrong[name.replace("_", " ")] += count

    def sum(self, what: str, text: str, number: float) -> None:
        """Note a figure besides, of which the sum over all caches is told: *text* has a place for it."""
        sums = self.lines.setdefault(what, Line()).sums
        sums[text] = sums.get(text, 0) + number

    def most(self, what: str, text: str, number: float) -> None:
        """Note a figure besides, of which the largest of all caches is told: *text* has a place for it."""
        most = self.lines.setdefault(what, Line()).most
        most[text] = max(most.get(text, number), number)

    def naive(self, what: str, fact: str) -> None:
        """Note what became of the negative control."""
        self.lines.setdefault(what, Line()).naive.append(fact)

    def report(self, seconds: float, *, long: bool) -> Iterator[str]:
        """Say it in words and figures, as Markdown."""
        where = f"{os.cpu_count()} cores, {platform.python_implementation()} {platform.python_version()}"
        yield f"{'Long' if long else 'Quick'} run of {dt.date.today():%d %B %Y}: {seconds:.0f} s on {where}."
        yield ""
        yield "| what was tried | how often | lost, wrong or stuck | the naive way |"
        yield "|---|---|---|---|"
        for what, line in self.lines.items():
            tried = ", ".join(f"{cache} {count:,}" for cache, count in line.tried.items())
            wrong = ", ".join(f"{count:,} {name}" for name, count in line.wrong.items())
            figures = [text.format(number) for text, number in (*line.sums.items(), *line.most.items())]
            yield f"| {what} | {tried} | {'; '.join([wrong, *figures])} | {'; '.join(line.naive)} |"
        yield ""
        total = sum(sum(line.tried.values()) for line in self.lines.values())
        bad = sum(sum(line.wrong.values()) for line in self.lines.values())
        yield f"{total:,} attempts in all; {bad:,} times something was lost, wrong or stuck."


def note_outcomes(ledger: Ledger, cache: str, calls: int, odd: int, interrupted: int = 0) -> None:
    """Enter how many of so many calls on a *cache* had not one outcome each; and how many were *interrupted* before."""
    ledger.add(OUTCOMES, cache, calls, outcomes_that_do_not_add_up=odd)
    ledger.sum(OUTCOMES, "{:,.0f} interrupted before they had one", interrupted)
