"""How calls are timed, and how results are shown."""

import builtins
import importlib.util
import random
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.charts import ACCENT, draw, file_name, require
from benchmarks.harness import Case, Effort, Peer, TimedBenchmark, Timing, Unavailable, WrongWork, tally, timing_table
from benchmarks.report import Chart, Report, Result, Row, Table

TINY = Effort(rounds=3, seconds=0.001)
SUM = Case("sum", "add()")
PEERS = [
    Peer("many", "functools", lambda module: {"add": lambda: sum(range(5000))}),
    Peer("some", "functools", lambda module: {"add": lambda: sum(range(1))}),
    Peer("absent", "no-such-package", lambda module: pytest.fail("there is nothing to build")),
]

matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed: pip install 'matplotlib>=3.9'"
)


def timed(*peers: Peer, case: Case = SUM, **options: Any) -> TimedBenchmark:
    return TimedBenchmark("sums", "Sums", [case], peers or PEERS, baseline="some", unit="ns", **options)


# ---- timing ------------------------------------------------------------------------------------------------------


def test_a_table_has_all_who_are_there_and_those_who_are_not():
    (table,) = timed().run(TINY).tables
    rows = {row.name: row for row in table.rows}
    assert {name: row.missing for name, row in rows.items()} == {"some": None, "many": None, "absent": "not installed"}
    assert rows["some"].cells[1] == "1.00"
    assert all(len(timing["rounds"]) == TINY.rounds for timing in table.data["timings"])
    assert timed().packages == {"functools", "no-such-package"}


def test_ratio_and_spread_are_of_the_quickest_rounds_and_the_quickest_stands_first():
    ours, other = Timing("memocache", True, 1, [6.0, 3.0, 4.5]), Timing("some", False, 1, [2.0, 2.0, 9.0])
    table = timing_table("sum", [ours, other], "some", "ns", {"absent": "not installed"})
    assert [row.name for row in table.rows] == ["some", "memocache", "absent"]
    assert table.rows[1].cells == ("3,000,000,000", "1.50", "+50%")
    lines = Report({}, {}, [Result("sums", "Sums", [table])]).text().splitlines()
    assert lines[-2].split() == [">", "memocache", "3,000,000,000", "1.50", "+50%"]
    assert lines[-1].split() == ["absent", "not", "installed"]


def test_without_the_baseline_there_is_no_ratio():
    (row,) = timing_table("sum", [Timing("memocache", True, 1, [3e-6])], "some", "us", {}).rows
    assert row.cells == ("3.00", "", "+0%")


def test_a_round_has_every_peer_once(monkeypatch):
    orders = []
    shuffle = random.sample
    monkeypatch.setattr(random, "sample", lambda turns, n: orders.append(shuffle(turns, n)) or orders[-1])
    timed().run(TINY)
    assert len(orders) == TINY.rounds
    assert all({each.peer.name for each in order} == {"many", "some"} for order in orders)


@pytest.mark.parametrize(("computes", "really"), [(0, 1), (1, 0)])
def test_who_computes_more_or_less_than_agreed_has_no_time(computes, really):
    def add() -> None:
        tally.count += really

    benchmark = timed(Peer("some", "functools", lambda module: {"add": add}), case=Case("sum", "add()", dict, computes))
    with pytest.raises(WrongWork, match=rf"some computed \d+ times in 1 x `add\(\)`; wanted: {computes}"):
        benchmark.run(TINY)


def test_what_is_set_up_before_a_turn_is_not_counted_and_a_turn_has_no_more_calls_than_it_may():
    turns, taken = [], []

    def prepare(calls: int) -> None:
        tally.count += calls
        turns.append(calls)

    case = Case("take", "take(next(numbers))", setup="prepare(calls); numbers = iter(range(calls))", most=7)
    benchmark = timed(Peer("some", "functools", lambda module: {"prepare": prepare, "take": taken.append}), case=case)
    assert [timing["calls"] for timing in benchmark.run(TINY).tables[0].data["timings"]] == [7]
    assert max(turns) == 7
    assert len(taken) == sum(turns)


def test_a_benchmark_that_needs_all_its_peers_is_not_run_without_one():
    with pytest.raises(Unavailable, match="not installed"):
        timed(complete=True).run(TINY)


def test_a_peer_that_is_there_but_does_not_import_is_said_to_be(tmp_path, monkeypatch):
    (tmp_path / "half_there.py").write_text("raise ImportError('libhalf.so: no such file')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Unavailable, match=r"does not import: libhalf\.so: no such file"):
        Peer("half", "half-there", dict).module()
    assert "half_there" not in sys.modules


# ---- pictures ----------------------------------------------------------------------------------------------------


def row(name: str, value: float | None, *, ours: bool = False) -> Row:
    return Row(name, ours, [] if value is None else [str(value)], value, "not installed" if value is None else None)


def table(title: str = "f(1)", **chart: Any) -> Table:
    rows = [row("slow", 4000.0), row("memocache", 300.0, ours=True), row("quick", 70.0), row("absent", None)]
    return Table(title, ["ns"], rows, chart=Chart("ns a call", **chart))


def drawn(directory: Path, *tables: Table) -> dict[str, str]:
    files = draw([Result("hit", "A hit", tables)], directory)
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
    assert file_name(Result("hit", "A hit"), table(title)) == name


def test_without_matplotlib_it_is_named_with_its_bound(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "matplotlib":
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(Unavailable) as missing:
        require()
    assert str(missing.value) == "charts need matplotlib: pip install 'matplotlib>=3.9'"


@matplotlib
def test_bars_are_sorted_labelled_and_ours_is_marked(tmp_path):
    (svg,) = drawn(tmp_path, table()).values()
    said = texts(svg)
    assert {"A hit: f(1)", "ns a call", "70.0", "300", "4,000"} <= set(said)
    assert [each for each in said if each in {"quick", "memocache", "slow", "absent"}] == ["quick", "memocache", "slow"]
    assert svg.count(f'style="fill: {ACCENT}"') == 1, "one bar"
    assert "fill: #ffffff" in svg, "a background of its own"


@matplotlib
def test_more_may_be_better(tmp_path):
    (svg,) = drawn(tmp_path, table(more_is_better=True)).values()
    assert [each for each in texts(svg) if each in {"quick", "memocache", "slow"}] == ["slow", "memocache", "quick"]


@matplotlib
def test_a_value_of_nothing_has_no_place_on_a_logarithmic_axis_but_is_drawn(tmp_path):
    rows = [row("memocache", 0.0, ours=True), row("other", 10.0)]
    (svg,) = drawn(tmp_path, Table("lost", ["lost"], rows, chart=Chart("lost"))).values()
    assert {"memocache", "0.00", "other", "10.0"} <= set(texts(svg))


@matplotlib
def test_lines_have_a_legend_with_the_best_first_and_ours_thicker(tmp_path):
    lines = {"slow": [(1, 10.0), (2, 12.0)], "memocache": [(1, 30.0), (2, 60.0)]}
    (svg,) = drawn(tmp_path, table("threads", lines=lines, x_axis="threads", more_is_better=True)).values()
    said = texts(svg)
    assert [each for each in said if each in lines] == ["memocache", "slow"]
    assert {"threads", "ns a call", "1", "2"} <= set(said)
    assert len(re.findall(rf"stroke: {ACCENT}; stroke-width: 3", svg)) == 2, "the line, and its sample in the legend"


@matplotlib
def test_what_has_no_chart_or_no_value_is_not_drawn(tmp_path):
    nobody = Table("nobody", ["ns"], [row("absent", None)], chart=Chart("ns a call"))
    assert drawn(tmp_path, nobody, Table("no chart", ["ns"], [row("memocache", 1.0)])) == {}


@matplotlib
def test_the_same_figures_are_the_same_bytes(tmp_path):
    first, second = drawn(tmp_path / "first", table()), drawn(tmp_path / "second", table())
    assert first == second
    assert "<dc:date>" not in first["hit-f1.svg"]
