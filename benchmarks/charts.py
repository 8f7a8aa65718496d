"""Results as pictures, for a page: one SVG for each table that is to be drawn. The only user of matplotlib."""

import re
import textwrap
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import Unavailable
from benchmarks.report import Chart, Result, Table, figure

STYLE: Final = {
    "svg.fonttype": "none",  # text stays text: small, and it can be searched
    "svg.hashsalt": "memocache",  # the same picture is the same bytes
    "font.family": "sans-serif",
    "font.size": 10,
    "figure.facecolor": "white",  # opaque: to be read on a dark page, too
    "axes.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
ACCENT: Final = "#c2410c"
GREY: Final = "#94a3b8"
OTHERS: Final = ("#64748b", "#0e7490", "#4d7c0f", "#7e22ce", "#a16207", "#1d4ed8", "#be185d", "#334155")
DASHES: Final = ("-", "--", ":", "-.")
WIDTH: Final = 8.0  # inches, as everything here
BAR: Final = 0.28
FRAME: Final = 1.1  # title and axis
LINES_HEIGHT: Final = 4.2
LABEL_ROOM: Final = 1.15  # beyond the longest bar, for its figure
TITLE_CHARACTERS: Final = 90
FEW_PLACES: Final = 9  # along the lines: each has a figure on the axis
FEW_TICKS: Final = 100  # below this ratio of an axis' ends, 2 and 5 are figures on it, too


def require() -> Any:
    """Return matplotlib."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        raise Unavailable("charts need matplotlib: pip install 'matplotlib>=3.9'") from None
    return matplotlib


def draw(results: Iterable[Result], directory: Path) -> list[Path]:
    """Draw the tables of *results* that have a chart into *directory*; return the files."""
    matplotlib = require()
    directory.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with matplotlib.rc_context(STYLE):
        for result in results:
            for table in result.tables:
                if table.chart is not None and (table.chart.lines or _bars(table, table.chart)):
                    path = directory / f"{file_name(result, table)}.svg"
                    _picture(result, table, table.chart).savefig(path, metadata={"Date": None})
                    written.append(path)
    return written


def file_name(result: Result, table: Table) -> str:
    """Return the name of the picture of *table*, without its ending: it does not change from run to run."""
    title = re.sub(r"[()']", "", table.title.lower())
    return f"{result.name}-{re.sub(r'[^a-z0-9]+', '-', title).strip('-')}"


def _bars(table: Table, chart: Chart) -> list[tuple[str, float, bool]]:
    """Return name, value, and whether it is ours, the best first."""
    bars = [(row.name, row.value, row.ours) for row in table.rows if row.value is not None]
    return sorted(bars, key=lambda bar: bar[1], reverse=chart.more_is_better)


def _picture(result: Result, table: Table, chart: Chart) -> Any:
    from matplotlib.figure import Figure

    bars = _bars(table, chart)
    height = LINES_HEIGHT if chart.lines else FRAME + BAR * len(bars)
    picture = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = picture.add_subplot()
    axes.set_axisbelow(True)
    title = table.title if table.title == result.title else f"{result.title}: {table.title}"
    picture.suptitle(textwrap.fill(title, TITLE_CHARACTERS), x=0.01, ha="left", weight="bold", fontsize=11)
    if chart.lines:
        _draw_lines(axes, chart, {row.name for row in table.rows if row.ours})
    else:
        _draw_bars(axes, bars, chart)
    return picture


def _draw_bars(axes: Any, bars: Sequence[tuple[str, float, bool]], chart: Chart) -> None:
    names, values, ours = zip(*bars, strict=True)
    drawn = axes.barh(range(len(bars)), values, color=[ACCENT if each else GREY for each in ours], height=0.7)
    labels = axes.bar_label(drawn, [figure(value) for value in values], padding=4)
    axes.set_yticks(range(len(bars)), names)
    axes.invert_yaxis()  # the first on top
    for label, tick, marked in zip(labels, axes.get_yticklabels(), ours, strict=True):
        if marked:
            tick.set(color=ACCENT, weight="bold")
            label.set(color=ACCENT, weight="bold")
    axes.tick_params(axis="y", length=0)
    lowest, highest = min(values), max(values)
    if chart.log and lowest > 0:
        axes.set_xscale("log")
        left = lowest / 2  # where a bar begins means nothing here: the shortest is still to be seen
        axes.set_xlim(left, highest * (highest / left) ** (LABEL_ROOM - 1))
    else:
        axes.set_xlim(min(0, lowest * LABEL_ROOM), highest * LABEL_ROOM or 1)
    _ruled(axes, "x", chart.axis, chart.log and lowest > 0)


def _draw_lines(axes: Any, chart: Chart, ours: Collection[str]) -> None:
    best_first = sorted(chart.lines, key=lambda name: chart.lines[name][-1][1], reverse=chart.more_is_better)
    others = 0
    for name in best_first:
        x, y = zip(*chart.lines[name], strict=True)
        if name in ours:
            axes.plot(x, y, label=name, color=ACCENT, linewidth=3, marker="o", zorder=3)
        else:
            look = {"color": OTHERS[others % len(OTHERS)], "linestyle": DASHES[others % len(DASHES)]}
            axes.plot(x, y, label=name, linewidth=1.5, marker=".", **look)
            others += 1
    log = chart.log and all(y > 0 for line in chart.lines.values() for _, y in line)
    if log:
        axes.set_yscale("log")
    if chart.log_x:
        axes.set_xscale("log")
    _ruled(axes, "y", chart.axis, log)
    _ruled(axes, "x", chart.x_axis, chart.log_x)
    places = sorted({x for line in chart.lines.values() for x, _ in line})
    if len(places) <= FEW_PLACES:
        axes.set_xticks(places, minor=False)
        axes.set_xticks([], minor=True)
    legend = axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    for text in legend.get_texts():
        if text.get_text() in ours:
            text.set(color=ACCENT, weight="bold")


def _ruled(axes: Any, which: str, label: str, log: bool) -> None:
    """Give an axis its label, plain figures and a grid."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_label_text(label)
    if log:
        low, high = axis.get_view_interval()
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < FEW_TICKS else (1.0,)))
        axis.set_minor_locator(NullLocator())  # small files
    axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:,.10g}"))
    axes.grid(axis=which, color="#e2e8f0", linewidth=0.8)
