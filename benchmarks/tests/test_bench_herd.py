import functools
import threading
from typing import Any

import pytest

from benchmarks.answer import QUICK
from benchmarks.harness import WrongWork
from benchmarks.herd import QUICK_HERDS, Cold, Question, small_stacks
from benchmarks.herd import roster as contestants
from benchmarks.roster import Roster


def question(*names: str) -> Question:
    roster = Roster({name: contestants.contestants[name] for name in names})
    roster.contestant("absent", "no-such-package")(lambda module, venue: pytest.fail("there is nothing to build"))
    return Question(roster)


def test_ours_computes_once_and_each_time_another_key():
    keys: list[int] = []

    def decorate(compute: Any) -> Any:
        decorated = contestants.entrant("memocache").built(None)
        return decorated(lambda number: keys.append(number) or compute(number))

    cold = Cold(decorate, seconds=0)
    computations = [cold.stampede(20)[0] for _ in range(3)]
    assert computations == [1, 1, 1]
    assert len(set(keys)) == 3


def test_where_nothing_is_shared_all_compute():
    computations, taken = Cold(lambda compute: compute, seconds=0).stampede(8)
    assert computations == 8
    assert taken > 0


def test_a_herd_asks_from_as_many_threads():
    asking = set()

    def decorate(compute: Any) -> Any:
        return lambda number: asking.add(threading.current_thread()) or compute(number)

    Cold(decorate, seconds=0).stampede(8)
    assert len(asking) == 8


@pytest.mark.parametrize("wrong", [None, 7.5])
def test_who_is_given_another_value_has_no_figures(wrong):
    with pytest.raises(WrongWork, match="no value, or another's"):
        Cold(lambda compute: lambda number: wrong, seconds=0).stampede(2)


def test_the_answer_tells_computations_and_times():
    told: list[str] = []
    asked = question("functools.lru_cache", "memocache")
    computations, times = asked.ask(QUICK, told.append).grids
    (ours,) = [row for row in computations.rows if row.ours]
    assert ours.cells == ["1"] * len(QUICK_HERDS)
    assert computations.rows[0].value == 1
    assert [row.missing for row in times.rows] == [None, None, "not installed"]
    assert times.rows[0].value <= times.rows[1].value
    assert len(told) <= asked.pieces(QUICK)


def test_without_a_server_only_one_contestant_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    computations, _ = question("memocache", "memocache on memcached").ask(QUICK).grids
    by_name = {row.name: row for row in computations.rows}
    assert by_name["memocache"].missing is None
    assert "no memcached" in str(by_name["memocache on memcached"].missing)


def test_stacks_are_small_meanwhile_only():
    before = threading.stack_size()
    with small_stacks():
        assert threading.stack_size() == 512 * 1024
    assert threading.stack_size() == before


def test_lru_cache_lets_a_herd_compute_while_one_is_at_it():
    all_inside = threading.Barrier(4)

    def decorate(compute: Any) -> Any:
        def together(number: int) -> int:
            all_inside.wait(10)
            return compute(number)

        return functools.lru_cache(together)

    assert Cold(decorate, seconds=0).stampede(4)[0] == 4
