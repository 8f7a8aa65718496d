"""Answers as text, as Markdown and as JSON."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.answer import Answer, Grid, Row

__all__ = ["Report"]


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
            lines += ["", answer.title, "=" * len(answer.title), *_notes(answer)]
            for grid in answer.grids:
                lines += ["", *_text_table(grid)]
        return "\n".join(lines)

    def markdown(self) -> str:
        """Return all for a README."""
        lines = [f"- {name}: {what}" for name, what in self.machine.items()]
        lines += [f"- packages: {_listed(self.packages)}"]
        for answer in self.answers:
            lines += ["", f"### {answer.title}", "", *_notes(answer)]
            for grid in answer.grids:
                lines += ["", *_markdown_table(grid)]
        return "\n".join(lines) + "\n"

    def data(self) -> dict[str, Any]:
        """Return all for JSON, with what each grid tells besides."""
        return {
            "machine": dict(self.machine),
            "packages": dict(self.packages),
            "questions": {answer.name: _data(answer) for answer in self.answers},
        }


def _listed(packages: Mapping[str, str | None]) -> str:
    return ", ".join(f"{name} {version or 'not installed'}" for name, version in packages.items())


def _notes(answer: Answer) -> Iterable[str]:
    return [f"Skipped: {answer.skipped}."] if answer.skipped else answer.notes


def _text_table(grid: Grid) -> Iterator[str]:
    names = max(len(grid.title), *(len(row.name) + 2 for row in grid.rows))
    widths = [
        max(len(head), *(len(row.cells[place]) for row in grid.rows if not row.missing), 8)
        for place, head in enumerate(grid.columns)
    ]
    yield _line(f"{grid.title:{names}}", grid.columns, widths)
    for row in grid.rows:
        name = f"{'>' if row.ours else ' '} {row.name}"
        yield f"{name:{names}}  {row.missing}" if row.missing else _line(f"{name:{names}}", row.cells, widths)


def _line(name: str, cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join([name, *(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))])


def _markdown_table(grid: Grid) -> Iterator[str]:
    yield f"| {_code(grid.title)} | {' | '.join(grid.columns)} |"
    yield f"|---|{'--:|' * len(grid.columns)}"
    for row in grid.rows:
        yield f"| {' | '.join(_markdown_cells(row, len(grid.columns)))} |"


def _markdown_cells(row: Row, columns: int) -> list[str]:
    if row.missing:
        return [row.name, row.missing, *[""] * (columns - 1)]
    cells = [row.name, *row.cells]
    return [f"**{cell}**" if cell else cell for cell in cells] if row.ours else cells


def _code(title: str) -> str:
    return f"`{title}`" if "(" in title else title


def _data(answer: Answer) -> dict[str, Any]:
    return {
        "title": answer.title,
        "notes": list(answer.notes),
        "skipped": answer.skipped,
        "grids": {
            grid.title: {"columns": list(grid.columns), "rows": [asdict(row) for row in grid.rows], "data": grid.data}
            for grid in answer.grids
        },
    }
