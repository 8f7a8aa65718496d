import functools
import os
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import filled
from benchmarks.answer import QUICK
from benchmarks.filled import HITS, Filled
from benchmarks.harness import WrongWork
from benchmarks.roster import Roster
from benchmarks.scale import HIT, HOT, QUICK_SIZES, UNITS, WEIGHT, Measured, Question, grid, measure, roster
from benchmarks.scale import filled as work
from benchmarks.worker import Worker


def lru(size: int) -> Callable[..., Any]:
    return functools.lru_cache(maxsize=size)


class Trouble:
    def add(self, left: int, right: int) -> int:
        return left + right

    def fail(self) -> None:
        raise LookupError("there is nothing")

    def die(self) -> None:
        os._exit(7)


def no_trouble() -> Trouble:
    raise ValueError("nothing can be made")


# ---- a full cache ------------------------------------------------------------------------------------------------


def test_hits_are_hits_and_misses_are_misses_of_a_full_cache():
    made = []

    def build(size: int) -> Callable[..., Any]:
        def decorate(compute: Any) -> Any:
            made.append(functools.lru_cache(maxsize=size)(compute))
            return made[-1]

        return decorate

    full = Filled(build, 50, entries=100)
    assert [f.cache_info().currsize for f in made] == [50, 50]
    assert min(full.filling(), full.hot(), full.hit()) > 0
    assert made[0].cache_info()[:2] == (2 * HITS, 50)
    assert full.miss() > 0
    assert full.miss() > 0
    assert made[0].cache_info()[:2] == (2 * HITS, 50 + 2 * filled.MISSES)


def test_an_entry_weighs_its_share_of_what_the_process_grew_by(monkeypatch):
    sizes = iter([1000, 9000])
    monkeypatch.setattr(filled, "resident_bytes", lambda: next(sizes))
    assert Filled(lru, 20, entries=80).weight() == 100


def test_where_the_system_does_not_tell_nothing_is_weighed(monkeypatch, tmp_path):
    monkeypatch.setattr(filled, "STATM", tmp_path / "none")
    assert filled.resident_bytes() is None
    assert Filled(lru, 10, entries=10).weight() is None


@pytest.mark.skipif(not filled.STATM.exists(), reason="the system does not tell")
def test_memory_in_use_is_seen():
    before = filled.resident_bytes()
    block = bytes(50_000_000).replace(b"\0", b"\1")
    after = filled.resident_bytes()
    assert before is not None
    assert after is not None
    assert after - before > 0.9 * len(block)


def test_who_keeps_nothing_has_no_time():
    full = Filled(lambda size: lambda compute: compute, 10, entries=10)
    with pytest.raises(WrongWork, match=f"{HITS} were computed; wanted: 0"):
        full.hit()


# ---- the answer --------------------------------------------------------------------------------------------------


def test_a_grid_says_how_much_more_the_largest_takes():
    slow = Measured("slow", False, {HIT: {10: 2e-7, 1000: 3e-7}})
    ours = Measured("memocache", True, {HIT: {10: 2e-7, 1000: 2.5e-7}})
    shown = grid(HIT, (10, 1000), [slow, ours], {"absent": "not installed"})
    assert shown.title == f"{HIT}, ns"
    assert list(shown.columns) == ["10 entries", "1,000 entries", "last / first"]
    assert [(row.name, row.ours) for row in shown.rows] == [("memocache", True), ("slow", False), ("absent", False)]
    assert shown.rows[0].cells == ["200", "250", "1.25"]
    assert shown.rows[2].missing == "not installed"
    assert shown.chart is not None
    assert shown.chart.lines["slow"] == [(10, pytest.approx(200)), (1000, pytest.approx(300))]


def test_what_is_not_known_is_said():
    unknown = Measured("memocache", True, {WEIGHT: {10: None, 1000: None}})
    (row,) = grid(WEIGHT, (10, 1000), [unknown], {}).rows
    assert row.missing == "not known on this system"


def test_every_grid_has_those_present_and_those_missing():
    told: list[str] = []
    asked = Question(Roster({"functools.lru_cache": roster.contestants["functools.lru_cache"]}))
    asked.contestants.contestant("absent", "no-such-package")(lambda module, size: pytest.fail("nothing to build"))
    grids = asked.ask(QUICK, told.append).grids
    assert len(grids) == len(UNITS)
    assert all({row.name for row in shown.rows} == {"functools.lru_cache", "absent"} for shown in grids)
    assert all(shown.rows[-1].missing == "not installed" for shown in grids)
    assert len(told) <= asked.pieces(QUICK)


def test_ours_is_measured_in_processes_of_its_own():
    figures = measure("memocache", QUICK)
    assert all(set(each) == set(QUICK_SIZES) for each in figures.values())
    assert all(taken is not None and taken > 0 for taken in figures[HOT].values())


# ---- a worker ----------------------------------------------------------------------------------------------------


def test_a_worker_does_what_it_is_told():
    with Worker(Trouble) as worker:
        assert worker.call("add", 1, 2) == 3
        worker.begin("add", 3, 4)
        assert worker.result() == 7


def test_what_a_worker_raises_is_raised_here_and_it_goes_on():
    with Worker(Trouble) as worker:
        with pytest.raises(LookupError, match="there is nothing"):
            worker.call("fail")
        assert worker.call("add", 1, 1) == 2
    with Worker(no_trouble) as worker, pytest.raises(ValueError, match="nothing can be made"):
        worker.call("add", 1, 2)


def test_a_worker_that_died_is_told():
    with Worker(Trouble) as worker, pytest.raises(RuntimeError, match="died with status 7"):
        worker.call("die")


def test_a_worker_finds_its_contestant_by_name():
    assert "memocache" in roster.contestants
    with Worker(work, "functools.lru_cache", 10, 10) as worker:
        assert worker.call("filling") > 0
