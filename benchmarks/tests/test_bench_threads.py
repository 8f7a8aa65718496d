import functools
import threading
from typing import Any

import pytest

from benchmarks.answer import QUICK
from benchmarks.harness import WrongWork
from benchmarks.roster import Roster
from benchmarks.threads import HOT_KEYS, QUICK_THREADS, Hot, Question, grid
from benchmarks.threads import roster as contestants


def test_all_threads_ask():
    asking = set()

    def decorate(compute: Any) -> Any:
        cached = functools.lru_cache(compute)

        def f(number: int) -> object:
            asking.add(threading.current_thread())
            return cached(number)

        return f

    hot = Hot(decorate)
    asking.clear()
    assert hot.rate(5, seconds=0) > 0
    assert len(asking) == 5
    assert threading.current_thread() not in asking


def test_all_hot_keys_are_there_before_and_are_hit():
    numbers: list[int] = []

    def decorate(compute: Any) -> Any:
        cached = functools.lru_cache(compute)
        return lambda number: numbers.append(number) or cached(number)

    hot = Hot(decorate)
    assert numbers == list(range(HOT_KEYS))
    hot.rate(1, seconds=0)
    assert numbers == 2 * list(range(HOT_KEYS))


def test_who_computes_has_no_rate():
    with pytest.raises(WrongWork, match="a hit was computed"):
        Hot(lambda compute: compute).rate(2, seconds=0)


def test_the_quickest_stands_first_and_the_missing_last():
    roster = Roster()
    for name in ("functools.lru_cache", "memocache"):
        roster.contestants[name] = contestants.contestants[name]
    roster.contestant("absent", "no-such-package")(lambda module: pytest.fail("there is nothing to build"))
    told: list[str] = []
    asked = Question(roster)
    (shown,) = asked.ask(QUICK, told.append).grids
    assert {row.name for row in shown.rows[:2]} == {"functools.lru_cache", "memocache"}
    assert shown.rows[0].value >= shown.rows[1].value
    assert [row.ours for row in shown.rows if row.name == "memocache"] == [True]
    assert shown.rows[2].missing == "not installed"
    assert len(shown.columns) == len(QUICK_THREADS) + 1
    assert len(told) == asked.pieces(QUICK)


def test_a_row_says_what_is_left_of_one_threads_rate():
    (entrant,) = [contestants.entrant("memocache")]
    (row,) = grid((1, 16), [entrant], {"memocache": {1: 4e6, 16: 3e6}}, {}).rows
    assert row.cells == ["4,000", "3,000", "0.75"]
    assert row.value == 3e6
