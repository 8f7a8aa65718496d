import functools
import re
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.answer import FULL, QUICK, Effort
from benchmarks.eviction import SHARES, TRACES, Question, Trace, hit_ratio, room, traces
from benchmarks.eviction import roster as contestants
from benchmarks.roster import Roster

LOOP = list(range(30)) * 20


def fifo(size: int) -> Callable[..., Any]:
    def decorate(compute: Callable[[int], int]) -> Callable[[int], int]:
        kept: deque[int] = deque(maxlen=size)

        def f(number: int) -> int:
            if number not in kept:
                kept.append(compute(number))
            return number

        return f

    return decorate


def question(requested: dict[str, Trace]) -> Question:
    roster = Roster()
    roster.contestant("absent", "no-such-package")(lambda module, size: pytest.fail("there is nothing to build"))
    roster.contestant("first in, first out", "builtins")(lambda module, size: fifo(size))
    roster.contestant("everything", "functools")(lambda module, size: module.cache)
    roster.contestant("memocache", "memocache")(contestants.contestants["memocache"][1])
    return Question(roster, lambda effort: requested)


@pytest.mark.parametrize(
    ("requests", "lru", "first_in"),
    [
        ([1, 2, 1, 3, 1, 2], 2 / 6, 1 / 6),  # 3 drives out 2 as the least recently asked for, 1 as the oldest
        ([1, 2, 3, 1, 2, 3], 0, 0),
        ([1, 1, 1, 1], 3 / 4, 3 / 4),
    ],
)
def test_hits_are_counted_as_the_policy_would_have_them(requests, lru, first_in):
    assert hit_ratio(functools.lru_cache(maxsize=2), requests) == pytest.approx(100 * lru)
    assert hit_ratio(fifo(2), requests) == pytest.approx(100 * first_in)


def test_the_policies_that_others_simulate_have_those_ratios_too():
    libcachesim = pytest.importorskip("libcachesim")
    for policy, ratio in {"LRU": 2 / 6, "FIFO": 1 / 6}.items():
        _, build = contestants.contestants[f"libcachesim {policy}"]
        assert hit_ratio(build(libcachesim, 2), [1, 2, 1, 3, 1, 2]) == pytest.approx(100 * ratio)


def test_ours_keeps_a_part_of_a_loop_that_is_too_long():
    build = contestants.entrant("memocache").built
    assert hit_ratio(build(20), LOOP) > 20
    assert hit_ratio(functools.lru_cache(maxsize=20), LOOP) == 0


def test_there_is_room_for_a_share_of_the_distinct_keys():
    assert room([*range(1000), *range(1000)], 10) == 100
    assert room(range(100), 2) == 20


def test_all_traces_are_there_and_are_what_is_said_of_them():
    rows = re.findall(r"^\| `([\w-]+)` \| ([\d ]+) \| ([\d ]+) \|", (TRACES / "README.md").read_text(), re.MULTILINE)
    said = {name: tuple(int(number.replace(" ", "")) for number in numbers) for name, *numbers in rows}
    assert len(said) == 8
    assert said == {name: (len(requests), len(set(requests))) for name, requests in traces(FULL).items()}


def test_quick_is_a_piece_of_some_traces():
    full, quick = traces(FULL), traces(QUICK)
    assert 0 < len(quick) < len(full)
    assert all(full[name][: len(requests)] == requests for name, requests in quick.items())
    assert sum(map(len, quick.values())) < 20_000


def test_the_best_stands_first_and_the_missing_last():
    told: list[str] = []
    asked = question({"loop": LOOP})
    mean, each = asked.ask(Effort(1, 0, quick=True), told.append).grids
    assert [row.name for row in mean.rows] == ["everything", "memocache", "first in, first out", "absent"]
    assert [row.ours for row in mean.rows] == [False, True, False, False]
    assert mean.rows[-1].missing == "not installed"
    assert mean.rows[0].cells == ["95.0"] * 4  # each of 30 keys is computed once in 600 requests
    assert mean.rows[0].value == pytest.approx(95)
    assert [row.cells for row in each.rows[:1]] == [["95.0"]]
    assert len(told) <= asked.pieces(QUICK)


def test_the_mean_is_over_traces_and_sizes():
    requested = {"same": [1] * 100, "loop": LOOP}
    mean, each = question(requested).ask(QUICK).grids
    (row,) = [row for row in mean.rows if row.name == "first in, first out"]
    assert row.cells == ["49.5"] * (1 + len(SHARES))
    (row,) = [row for row in each.rows if row.name == "first in, first out"]
    assert dict(zip(each.columns, row.cells, strict=True)) == {"same": "99.0", "loop": "0.0"}
    assert mean.data["everything"]["loop"] == dict.fromkeys(SHARES, pytest.approx(95))
