"""Answers as text, as Markdown and as JSON."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks.harness import Answer, Table, Timing

__all__ = ["Report"]

UNITS: Final = {"ns": 1e9, "us": 1e6}
HOW: Final = "For one call, the quickest of many rounds; spread: how much longer the median round took."


@dataclass(frozen=True)
class Report:
    """The answers of one run, and where they come from."""

    machine: Mapping[str, str]
    packages: Mapping[str, str | None]
    answers: Sequence[Answer]

    def text(self) -> str:
        """Return all for a terminal."""
        lines = [f"{name:10} {what}" for name, what in self.machine.items()]
        lines += [f"{'packages':10} {_listed(self.packages)}"]
        for answer in self.answers:
            lines += ["", answer.question.title, "=" * len(answer.question.title), *_notes(answer)]
            for table in answer.tables:
                lines += ["", *_text_table(answer, table)]
        return "\n".join(lines)

    def markdown(self) -> str:
        """Return all for a README."""
        lines = [f"- {name}: {what}" for name, what in self.machine.items()]
        lines += [f"- packages: {_listed(self.packages)}"]
        for answer in self.answers:
            lines += ["", f"### {answer.question.title}", "", *_notes(answer)]
            for table in answer.tables:
                lines += ["", *_markdown_table(answer, table)]
        return "\n".join(lines) + "\n"

    def data(self) -> dict[str, Any]:
        """Return all for JSON, each round included; times in seconds."""
        return {
            "machine": dict(self.machine),
            "packages": dict(self.packages),
            "questions": {answer.question.name: _data(answer) for answer in self.answers},
        }


def _listed(packages: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} {version or 'not installed'}" for name, version in packages.items())


def _notes(answer: Answer) -> Iterable[str]:
    return [f"Skipped: {answer.skipped}."] if answer.skipped else [*answer.notes, HOW]


def _figures(answer: Answer, table: Table, timing: Timing) -> tuple[str, str, str]:
    """Return time, ratio and spread as they are shown."""
    time = timing.best * UNITS[answer.question.unit]
    digits = 2 if time < 10 else 1 if time < 100 else 0
    return f"{time:,.{digits}f}", f"{table.ratio(timing):.2f}", f"+{timing.spread:.0%}"


def _text_table(answer: Answer, table: Table) -> Iterator[str]:
    names = [*(timing.name for timing in table.timings), *table.missing, table.case]
    width = max(map(len, names)) + 2
    ratio = f"x {answer.question.baseline}"
    yield f"{table.case:{width}}  {answer.question.unit:>8}  {ratio:>{len(ratio)}}  spread"
    for timing in table.timings:
        name = f"{'>' if timing.ours else ' '} {timing.name}"
        time, times, spread = _figures(answer, table, timing)
        yield f"{name:{width}}  {time:>8}  {times:>{len(ratio)}}  {spread:>6}"
    for name in table.missing:
        yield f"{'  ' + name:{width}}  not installed"


def _markdown_table(answer: Answer, table: Table) -> Iterator[str]:
    yield f"| {_code(table.case)} | {answer.question.unit} | x {answer.question.baseline} | spread |"
    yield "|---|--:|--:|--:|"
    for timing in table.timings:
        cells = [timing.name, *_figures(answer, table, timing)]
        if timing.ours:
            cells = [f"**{cell}**" for cell in cells]
        yield f"| {' | '.join(cells)} |"
    for name in table.missing:
        yield f"| {name} | not installed | | |"


def _code(case: str) -> str:
    return f"`{case}`" if "(" in case else case


def _data(answer: Answer) -> dict[str, Any]:
    return {
        "title": answer.question.title,
        "unit": answer.question.unit,
        "baseline": answer.question.baseline,
        "notes": list(answer.notes),
        "skipped": answer.skipped,
        "tables": {
            table.case: {
                "timings": [
                    {**asdict(timing), "best": timing.best, "spread": timing.spread, "ratio": table.ratio(timing)}
                    for timing in table.timings
                ],
                "missing": list(table.missing),
            }
            for table in answer.tables
        },
    }
