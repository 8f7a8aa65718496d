"""Recorded histories of reads, puts and forgettings are linearizable; and the checker tells those that are not."""

import itertools
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memocache import cached
from tests.reliability.caches import Stand
from tests.reliability.histories import Step, is_fenced, is_linearizable
from tests.reliability.ledger import Ledger
from tests.support.race import quick_switches

KEYS = 4
THREADS = 6
STEPS = 8  # of each thread in a round: twelve on each key, about
RECORDED = "recorded histories of reads, puts and forgettings, checked for linearizability"

# ---- the checker -----------------------------------------------------------------------------------------------------

LEGAL = {
    "nothing": [],
    "a miss and a hit": [Step("read", 0, 3, "a", 1), Step("read", 4, 5, "a")],
    "a hit during the computation": [Step("read", 0, 9, "a", 1), Step("read", 2, 10, "a")],
    "forgotten meanwhile": [Step("read", 0, 9, "a", 1), Step("forget", 2, 3), Step("read", 4, 8, "b", 5)],
    "joined before it was forgotten": [
        Step("read", 0, 9, "a", 1),
        Step("read", 2, 8, "a"),
        Step("forget", 3, 4),
        Step("read", 5, 7, "b", 6),
    ],
    "two forget at once": [
        Step("read", 0, 2, "a", 1),
        Step("forget", 3, 6),
        Step("forget", 4, 7),
        Step("read", 5, 8, "a"),
        Step("read", 9, 12, "b", 10),
    ],
    "put": [Step("put", 0, 1, "a"), Step("read", 2, 3, "a"), Step("put", 4, 7, "b"), Step("read", 5, 6, "b")],
    "a put that came to nothing": [Step("put", 0, 1, "a"), Step("forget", 2, 3), Step("read", 4, 7, "b", 5)],
    "computed twice, once for oneself": [
        Step("read", 0, 6, "a", 1),
        Step("read", 2, 5, "b", 3),
        Step("read", 7, 8, "a"),
    ],
}
ILLEGAL = {
    "stale": [Step("read", 0, 2, "a", 1), Step("forget", 3, 4), Step("read", 5, 6, "a")],
    "stored after it was forgotten": [Step("read", 0, 5, "a", 1), Step("forget", 2, 3), Step("read", 6, 7, "a")],
    "two at once": [
        Step("read", 0, 5, "a", 1),
        Step("read", 2, 6, "b", 3),
        Step("read", 7, 8, "a"),
        Step("read", 9, 10, "b"),
    ],
    "out of nowhere": [Step("read", 0, 1, "a")],
    "back again": [Step("put", 0, 1, "a"), Step("put", 2, 3, "b"), Step("read", 4, 5, "b"), Step("read", 6, 7, "a")],
    "before it was computed": [Step("read", 0, 1, "a"), Step("read", 2, 4, "a", 3)],
    "joined after it was forgotten": [Step("read", 0, 9, "a", 1), Step("forget", 2, 3), Step("read", 4, 10, "a")],
}


@st.composite
def small_histories(draw: st.DrawFn) -> list[Step]:
    count = draw(st.integers(1, 5))
    moments = draw(st.permutations(range(3 * count)))
    steps = []
    for number in range(count):
        begun, middle, ended = sorted(moments[3 * number : 3 * number + 3])
        match draw(st.sampled_from(["hit", "computed", "put", "forget"])):
            case "hit":
                steps.append(Step("read", begun, ended, draw(st.integers(0, count))))
            case "computed":
                steps.append(Step("read", begun, ended, number, middle))
            case "put":
                steps.append(Step("put", begun, ended, number))
            case _:
                steps.append(Step("forget", begun, ended))
    return steps


@pytest.mark.parametrize("name", LEGAL)
def test_what_can_have_been_is_recognised(name: str) -> None:
    assert is_linearizable(LEGAL[name])


@pytest.mark.parametrize("name", ILLEGAL)
def test_what_cannot_have_been_is_recognised(name: str) -> None:
    assert not is_linearizable(ILLEGAL[name])


@pytest.mark.parametrize("name", [*LEGAL, "two at once"])
def test_what_is_fenced_is_recognised(name: str) -> None:
    assert is_fenced({**LEGAL, **ILLEGAL}[name])


@pytest.mark.parametrize("name", ["stale", "stored after it was forgotten", "out of nowhere"])
def test_what_is_not_fenced_is_recognised(name: str) -> None:
    assert not is_fenced(ILLEGAL[name])


@given(small_histories())
@settings(max_examples=500, deadline=None)
def test_what_is_linearizable_is_fenced(history: list[Step]) -> None:
    assert is_fenced(history) or not is_linearizable(history)


def by_hand(history: Sequence[Step]) -> bool:
    """Say the same as the checker by trying every order, and every choice of what was stored nowhere."""
    may_miss = [s for s in history if s.what == "put" or s.computing is not None]
    for count in range(len(may_miss) + 1):
        for missing in itertools.combinations(may_miss, count):
            rest = [step for step in history if step not in missing]
            if any(_holds(order) for order in itertools.permutations(rest)):
                return True
    return False


def _holds(order: Sequence[Step]) -> bool:
    held: object = None
    for place, step in enumerate(order):
        if any(later.latest < step.begun for later in order[place + 1 :]):
            return False
        if step.what == "read" and held != (None if step.computing is not None else step.value):
            return False
        held = None if step.what == "forget" else step.value
    return True


@given(small_histories())
@settings(max_examples=500, deadline=None)
def test_the_checker_says_the_same_as_trying_everything(history: list[Step]) -> None:
    assert is_linearizable(history) == by_hand(history)


# ---- recording -------------------------------------------------------------------------------------------------------


class Recorder:
    """Threads that use functions at once, each as a peer in another process would, in rounds with keys of their own."""

    def __init__(self, functions: Callable[[Callable[[int], int]], Sequence[Any]]) -> None:
        self._moments = itertools.count()
        self._values = itertools.count()
        self._computing = threading.local()
        self._functions = functions(self._compute)
        self.histories: dict[int, list[Step]] = {}

    def _compute(self, key: int) -> int:
        self._computing.moment = next(self._moments)
        value = next(self._values)
        if random.random() < 0.5:
            time.sleep(random.random() * 0.002)
        return value

    def round(self, number: int) -> None:
        plans = [
            [(number * KEYS + random.randrange(KEYS), random.random()) for _ in range(STEPS)] for _ in range(THREADS)
        ]
        for key in range(number * KEYS, number * KEYS + KEYS):
            self.histories[key] = []
        together = threading.Barrier(THREADS)
        problems: list[BaseException] = []

        def run(f: Any, plan: list[tuple[int, float]]) -> None:
            together.wait()
            try:
                for key, lot in plan:
                    self.histories[key].append(self._step(f, key, lot))
            except BaseException as problem:  # noqa: BLE001
                problems.append(problem)

        threads = [
            threading.Thread(target=run, args=(self._functions[number % len(self._functions)], plan))
            for number, plan in enumerate(plans)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not problems

    def _step(self, f: Any, key: int, lot: float) -> Step:
        self._computing.moment = None
        begun = next(self._moments)
        if lot < 0.15:
            f.uncache(key)
            return Step("forget", begun, next(self._moments))
        if lot < 0.22:
            value = next(self._values)
            f.put(value, key)
            return Step("put", begun, next(self._moments), value)
        value = f(key)
        return Step("read", begun, next(self._moments), value, self._computing.moment)


def not_explained(recorder: Recorder, rounds: int, holds: Callable[[list[Step]], bool] = is_linearizable) -> int:
    """Return of how many histories of so many *rounds* that does not hold."""
    with quick_switches():
        for number in range(rounds):
            recorder.round(number)
    return sum(not holds(history) for history in recorder.histories.values())


def test_every_history_is_linearizable(
    stand: Stand, kind: str, prefix: str, ledger: Ledger, scaled: Callable[[int, int], int]
) -> None:
    peers = stand.peers(1 if stand.kind.near else 3, prefix)

    def functions(compute: Callable[[int], int]) -> list[Any]:
        return [cached(cache=cache, namespace="history")(lambda key: compute(key)) for cache in peers]

    recorder = Recorder(functions)
    wrong = not_explained(recorder, scaled(100, 500), is_linearizable if stand.kind.single else is_fenced)
    ledger.add(RECORDED, kind, len(recorder.histories), not_linearizable=wrong)
    assert wrong == 0
    steps = [step for history in recorder.histories.values() for step in history]
    assert sum(step.what == "read" and step.computing is None for step in steps) > len(steps) / 10


class NaiveDict:
    """Get, or compute and set."""

    def __init__(self, compute: Callable[[int], int]) -> None:
        self._compute = compute
        self._values: dict[int, int] = {}

    def __call__(self, key: int) -> int:
        if key not in self._values:
            self._values[key] = self._compute(key)
        return self._values.get(key, -1)

    def uncache(self, key: int) -> None:
        self._values.pop(key, None)

    def put(self, value: int, key: int) -> None:
        self._values[key] = value


def test_histories_of_the_naive_way_are_not(ledger: Ledger) -> None:
    recorder = Recorder(lambda compute: [NaiveDict(compute)])
    wrong = not_explained(recorder, 100)
    ledger.naive(RECORDED, f"get, compute and set: {wrong} of {len(recorder.histories)} are not")
    assert wrong > 10
