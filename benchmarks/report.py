"""Results: tables and their rows, as text, as Markdown and as JSON, under what is known of the machine."""

import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import memocache

OURS: Final = "memocache"
UNDERNEATH: Final = ("wrapt", "msgspec", "pymemcache")  # memocache's own dependencies


@dataclass(frozen=True)
class Row:
    """One peer's line of a table."""

    name: str
    ours: bool  # whether it is memocache
    cells: Sequence[str]  # its figures as text, one for each column; none if something is missing
    value: float | None  # the figure that a chart shows
    missing: str | None = None  # why there are no figures, such as "not installed"


@dataclass(frozen=True)
class Chart:
    """How a table is drawn: lines, or a bar for each row that has a value."""

    axis: str  # what the values are, with their unit
    log: bool = True  # whether their axis is logarithmic
    more_is_better: bool = False  # whether the largest value is the best, and so the first
    lines: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)  # their points, by peer
    x_axis: str = ""  # what the lines run along
    log_x: bool = False


@dataclass(frozen=True)
class Table:
    """What was measured, a row for each peer."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Row]
    data: Any = None  # goes into the JSON besides
    chart: Chart | None = None  # None if it is not drawn


@dataclass(frozen=True)
class Result:
    """The tables of one benchmark; none, and why, if it could not be run."""

    name: str
    title: str
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    skipped: str | None = None

    def remarks(self) -> Sequence[str]:
        """Return what stands below the title."""
        return [f"Skipped: {self.skipped}."] if self.skipped else self.notes


@dataclass(frozen=True)
class Report:
    """The results of one run, the machine, and the versions of what took part."""

    machine: Mapping[str, str]
    packages: Mapping[str, str | None]
    results: Sequence[Result]

    def text(self) -> str:
        """Return all for a terminal."""
        lines = [f"{name:10} {what}" for name, what in self._heading().items()]
        for result in self.results:
            lines += ["", result.title, "=" * len(result.title), *result.remarks()]
            for table in result.tables:
                lines += ["", *_text(table)]
        return "\n".join(lines)

    def markdown(self) -> str:
        """Return all for a README."""
        lines = [f"- {name}: {what}" for name, what in self._heading().items()]
        for result in self.results:
            lines += ["", f"### {result.title}", "", *result.remarks()]
            for table in result.tables:
                lines += ["", *_markdown(table)]
        return "\n".join(lines) + "\n"

    def data(self) -> dict[str, Any]:
        """Return all for JSON, with the data of each table."""
        benchmarks = {result.name: asdict(result) for result in self.results}
        return {"machine": dict(self.machine), "packages": dict(self.packages), "benchmarks": benchmarks}

    def _heading(self) -> dict[str, str]:
        listed = ", ".join(f"{name} {version or 'not installed'}" for name, version in self.packages.items())
        return {**self.machine, "packages": listed}


def absent(missing: Mapping[str, str]) -> list[Row]:
    """Return the rows of those who are *missing*, by name, with the reason."""
    return [Row(name, False, (), None, missing=why) for name, why in missing.items()]


def figure(number: float) -> str:
    """Return *number* with two or three digits that count."""
    digits = 2 if number < 10 else 1 if number < 100 else 0
    return f"{number:,.{digits}f}"


def _text(table: Table) -> Iterator[str]:
    names = max(len(table.title), *(len(row.name) + 2 for row in table.rows))
    present = [row for row in table.rows if not row.missing]
    widths = [max(8, *map(len, cells)) for cells in zip(table.columns, *(row.cells for row in present), strict=True)]

    def line(name: str, cells: Iterable[str]) -> str:
        return "  ".join([f"{name:{names}}", *(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))])

    yield line(table.title, table.columns)
    for row in table.rows:
        name = f"{'>' if row.ours else ' '} {row.name}"
        yield f"{name:{names}}  {row.missing}" if row.missing else line(name, row.cells)


def _markdown(table: Table) -> Iterator[str]:
    title = f"`{table.title}`" if "(" in table.title else table.title
    yield f"| {title} | {' | '.join(table.columns)} |"
    yield f"|---|{'--:|' * len(table.columns)}"
    for row in table.rows:
        cells = [row.missing, *[""] * (len(table.columns) - 1)] if row.missing else row.cells
        yield f"| {' | '.join(f'**{cell}**' if row.ours and cell else cell for cell in [row.name, *cells])} |"


def machine() -> dict[str, str]:
    """Return what is known of the machine and of Python."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    found = {
        "python": f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}",
        "system": platform.platform(),
        "processor": f"{os.cpu_count()} x {next(models, platform.processor() or platform.machine())}",
    }
    if hasattr(os, "getloadavg"):
        found["load"] = f"{os.getloadavg()[0]:.1f} in the minute before"
    return found


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """Return the version of each of *packages*, and of what is underneath memocache; None if it is not installed.

    What comes with Python has no version of its own and is left out.
    """
    return {name: _version(name) for name in sorted({*packages, *UNDERNEATH} - sys.stdlib_module_names)}


def _version(package: str) -> str | None:
    if package == OURS:  # whose distribution has another name: that one on the index is another project's
        return memocache.__version__
    try:
        return version(package)
    except PackageNotFoundError:
        return None
