import builtins
import importlib.util
import re
from pathlib import Path

import pytest

from benchmarks.answer import Answer, Chart, Grid, Row, Unanswerable
from benchmarks.charts import ACCENT, draw, file_name, require

installed = importlib.util.find_spec("matplotlib") is not None
matplotlib = pytest.mark.skipif(not installed, reason="matplotlib is not installed: pip install 'matplotlib>=3.9'")


def row(name: str, value: float | None, *, ours: bool = False) -> Row:
    return Row(name, ours, [] if value is None else [str(value)], value, "not installed" if value is None else None)


NANOSECONDS = Chart("ns a call")


def grid(title: str = "f(1)", chart: Chart | None = NANOSECONDS) -> Grid:
    rows = [row("slow", 4000.0), row("memocache", 300.0, ours=True), row("quick", 70.0), row("absent", None)]
    return Grid(title, ["ns"], rows, chart=chart)


def drawn(directory: Path, *grids: Grid) -> dict[str, str]:
    files = draw([Answer("hit", "A hit", grids)], directory)
    assert sorted(files) == sorted(directory.iterdir())
    return {file.name: file.read_text(encoding="utf-8") for file in files}


def texts(svg: str) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("f(1)", "hit-f1"),
        ("f(1, b=2, c=4)", "hit-f1-b-2-c-4"),
        ("miss: forget, call", "hit-miss-forget-call"),
        ("a thread's µs", "hit-a-threads-s"),
    ],
)
def test_a_picture_has_a_name_that_stays(title, name):
    assert file_name(Answer("hit", "A hit"), grid(title)) == name


def test_without_matplotlib_it_is_named_with_its_bound(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "matplotlib":
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(Unanswerable) as missing:
        require()
    assert str(missing.value) == "charts need matplotlib: pip install 'matplotlib>=3.9'"


@matplotlib
def test_bars_are_sorted_labelled_and_ours_is_marked(tmp_path):
    (svg,) = drawn(tmp_path, grid()).values()
    said = texts(svg)
    assert "A hit: f(1)" in said
    assert "ns a call" in said
    assert [each for each in said if each in {"quick", "memocache", "slow", "absent"}] == ["quick", "memocache", "slow"]
    assert {"70.0", "300", "4,000"} <= set(said)
    assert svg.count(f'style="fill: {ACCENT}"') == 1, "one bar"
    assert "fill: #ffffff" in svg, "a background of its own"


@matplotlib
def test_more_may_be_better(tmp_path):
    (svg,) = drawn(tmp_path, grid(chart=Chart("hits a second", more_is_better=True))).values()
    assert [each for each in texts(svg) if each in {"quick", "memocache", "slow"}] == ["slow", "memocache", "quick"]


@matplotlib
def test_a_value_of_nothing_has_no_place_on_a_logarithmic_axis_but_is_drawn(tmp_path):
    rows = [row("memocache", 0.0, ours=True), row("other", 10.0)]
    (svg,) = drawn(tmp_path, Grid("lost", ["lost"], rows, chart=Chart("lost"))).values()
    assert {"memocache", "0.00", "other", "10.0"} <= set(texts(svg))


@matplotlib
def test_lines_have_a_legend_with_the_best_first_and_ours_thicker(tmp_path):
    lines = {"slow": [(1, 10.0), (2, 12.0)], "memocache": [(1, 30.0), (2, 60.0)]}
    chart = Chart("hits a second", kind="lines", lines=lines, x_axis="threads", more_is_better=True)
    (svg,) = drawn(tmp_path, grid("threads", chart)).values()
    said = texts(svg)
    assert [each for each in said if each in lines] == ["memocache", "slow"]
    assert {"threads", "hits a second", "1", "2"} <= set(said)
    assert len(re.findall(rf"stroke: {ACCENT}; stroke-width: 3", svg)) == 2, "the line, and its sample in the legend"


@matplotlib
def test_what_has_no_chart_or_no_value_is_not_drawn(tmp_path):
    nobody = Grid("nobody", ["ns"], [row("absent", None)], chart=Chart("ns a call"))
    assert drawn(tmp_path, nobody, grid("no chart", chart=None)) == {}


@matplotlib
def test_the_same_figures_are_the_same_bytes(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert drawn(first, grid()) == drawn(second, grid())
    assert "<dc:date>" not in drawn(first, grid())["hit-f1.svg"]
