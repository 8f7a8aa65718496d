import random
import sys
from typing import Any

import pytest

from benchmarks.answer import Answer, Effort, Unanswerable
from benchmarks.harness import Case, Missing, Question, Tally, WrongWork, imported
from benchmarks.report import Report
from benchmarks.timing import Table, Timing

TINY = Effort(rounds=3, seconds=0.001)
SUM = Case("sum", "add()")


def question(*cases: Case, **options: Any) -> Question:
    asked = Question("sums", "Sums", cases=cases or [SUM], baseline="some", unit="ns", **options)
    asked.contestant("many", "functools")(lambda module: {"add": lambda: sum(range(5000))})
    asked.contestant("some", "functools")(lambda module: {"add": lambda: sum(range(1))})
    asked.contestant("absent", "no-such-package")(lambda module: pytest.fail("there is nothing to build"))
    return asked


def test_the_quickest_stands_first_and_the_missing_last():
    slow, quick = Timing("many", False, 1, [9.0, 4.0]), Timing("some", False, 1, [2.0, 8.0])
    grid = Table("sum", "some", "ns", [slow, quick], {"absent": "not installed"}).grid()
    assert [row.name for row in grid.rows] == ["some", "many", "absent"]
    assert [row.cells[1] for row in grid.rows[:2]] == ["1.00", "2.00"]
    assert [row.missing for row in grid.rows] == [None, None, "not installed"]


def test_a_table_has_all_who_are_there_and_those_who_are_not():
    told: list[str] = []
    asked = question()
    (grid,) = asked.ask(TINY, told.append).grids
    rows = {row.name: row for row in grid.rows}
    assert set(rows) == {"some", "many", "absent"}
    assert {name: row.missing for name, row in rows.items() if row.missing} == {"absent": "not installed"}
    assert rows["some"].cells[1] == "1.00"
    assert len(told) == asked.pieces(TINY)
    assert all(len(timing["rounds"]) == TINY.rounds for timing in grid.data["timings"])


def test_who_takes_part_is_known_before_anybody_is_asked():
    assert question().packages == {"functools", "no-such-package"}


def test_ratio_and_spread_are_of_the_quickest_rounds():
    ours, other = Timing("memocache", True, 1, [6.0, 3.0, 4.5]), Timing("some", False, 1, [2.0, 2.0, 9.0])
    table = Table("sum", "some", "ns", [ours, other], {})
    assert table.ratio(ours) == 1.5
    assert ours.spread == 0.5
    lines = Report({}, {}, [Answer("sums", "Sums", [table.grid()])]).text().splitlines()
    assert lines[-1].split() == [">", "memocache", "3,000,000,000", "1.50", "+50%"]


def test_without_the_baseline_there_is_no_ratio():
    (row,) = Table("sum", "some", "us", [Timing("memocache", True, 1, [3e-6])], {}).grid().rows
    assert row.cells == ("3.00", "", "+0%")


def test_a_round_has_every_contestant_once(monkeypatch):
    orders = []
    shuffle = random.sample
    monkeypatch.setattr(random, "sample", lambda entrants, n: orders.append(shuffle(entrants, n)) or orders[-1])
    question().ask(TINY)
    assert len(orders) == TINY.rounds
    assert all({entrant.contestant.name for entrant in order} == {"many", "some"} for order in orders)


@pytest.mark.parametrize(("computes", "really"), [(0, 1), (1, 0)])
def test_who_computes_more_or_less_than_agreed_has_no_time(computes, really):
    tally = Tally()

    def add() -> None:
        tally.count += really

    case = Case("sum", "add()", computes=computes)
    asked = Question("sums", "Sums", cases=[case], baseline="some", unit="ns", tally=tally)
    asked.contestant("some", "functools")(lambda module: {"add": add})
    with pytest.raises(WrongWork, match=rf"some computed \d+ times in 1 x `add\(\)`; wanted: {computes}"):
        asked.ask(TINY)


def test_what_is_set_up_before_a_turn_is_not_counted_and_a_turn_has_no_more_calls_than_it_may():
    tally, turns, taken = Tally(), [], []

    def prepare(calls: int) -> None:
        tally.count += calls
        turns.append(calls)

    case = Case("take", "take(next(numbers))", setup="prepare(calls); numbers = iter(range(calls))", most=7)
    asked = Question("takes", "Takes", cases=[case], baseline="some", unit="ns", tally=tally)
    asked.contestant("some", "functools")(lambda module: {"prepare": prepare, "take": taken.append})
    table = asked.table(case, TINY)
    assert [timing.calls for timing in table.timings] == [7]
    assert max(turns) == 7
    assert len(taken) == sum(turns)


def test_a_question_whose_venue_is_missing_raises():
    def venue() -> Any:
        raise Unanswerable("there is no server")

    with pytest.raises(Unanswerable, match="there is no server"):
        question(venue=venue).ask(TINY)


def test_a_peer_that_is_there_but_does_not_import_is_said_to_be(tmp_path, monkeypatch):
    (tmp_path / "half_there.py").write_text("raise ImportError('libhalf.so: no such file')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Missing, match=r"does not import: libhalf\.so: no such file"):
        imported("half-there")
    assert "half_there" not in sys.modules
