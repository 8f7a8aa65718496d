"""The breaker: how long a server that failed is left alone."""

from collections.abc import Callable

import pytest

from memocache import _clock, subscribe
from memocache.backends._wire import FIRST_PAUSE, LONGEST_PAUSE, Breaker
from tests.support.threads import at_once


class Ticks:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Ticks:
    ticks = Ticks()
    monkeypatch.setattr(_clock, "ticks", ticks)
    return ticks


@pytest.fixture
def pause_of(ticks: Ticks) -> Callable[[Breaker], float]:
    """Waits until a breaker lets somebody through, and returns how long that took."""

    def pause(breaker: Breaker) -> float:
        began = ticks.now
        while not breaker.allows():
            ticks.now += 0.001
            assert ticks.now - began < 60
        return ticks.now - began

    return pause


def test_nothing_is_held_back_before_a_failure(ticks: Ticks) -> None:
    breaker = Breaker("the server")
    assert all(breaker.allows() for _ in range(10))
    breaker.succeeded()
    assert breaker.allows()


def test_pauses_grow_and_end(pause_of: Callable[[Breaker], float]) -> None:
    breaker = Breaker("the server")
    pauses = []
    for _ in range(20):
        breaker.failed()
        pauses.append(pause_of(breaker))
    for number, pause in enumerate(pauses):
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2**number)
        assert longest / 2 <= pause <= longest + 0.001
    assert (FIRST_PAUSE, LONGEST_PAUSE) == (0.25, 30)


def test_two_processes_do_not_come_back_together(pause_of: Callable[[Breaker], float]) -> None:
    pauses = set()
    for _ in range(5):
        breaker = Breaker("the server")
        breaker.failed()
        pauses.add(pause_of(breaker))
    assert len(pauses) > 1


def test_success_lets_everybody_through_and_starts_again(ticks: Ticks, pause_of: Callable[[Breaker], float]) -> None:
    breaker = Breaker("the server")
    for _ in range(6):
        breaker.failed()
        pause_of(breaker)
    breaker.succeeded()
    assert all(breaker.allows() for _ in range(10))
    breaker.failed()
    assert pause_of(breaker) <= FIRST_PAUSE + 0.001


def test_one_caller_tries_when_the_pause_is_over(ticks: Ticks) -> None:
    breaker = Breaker("the server")
    breaker.failed()
    for _ in range(3):  # whoever tries may be gone before it can tell: then another one tries after a pause
        ticks.now += FIRST_PAUSE
        answers: list[bool] = []
        at_once(16, lambda answers=answers: answers.append(breaker.allows()))  # type: ignore[misc]
        assert sorted(answers) == [False] * 15 + [True]


def test_one_hiccup_that_many_calls_meet_is_one_failure(ticks: Ticks, pause_of: Callable[[Breaker], float]) -> None:
    breaker = Breaker("the server")
    for _ in range(64):
        breaker.failed()
        ticks.now += 0.001
    assert pause_of(breaker) < FIRST_PAUSE
    for _ in range(64):
        breaker.failed()
    assert FIRST_PAUSE - 0.001 <= pause_of(breaker) <= 2 * FIRST_PAUSE + 0.001


def test_a_server_that_comes_and_goes_does_not_flood_the_log(ticks: Ticks, caplog: pytest.LogCaptureFixture) -> None:
    breaker = Breaker("the server")
    events: list[str] = []
    with subscribe(lambda event: events.append(event.kind), "failed", "recovered"):
        for _ in range(500):  # in less than a minute
            breaker.failure("hiccup")
            breaker.succeeded()
            ticks.now += 0.1
    told = ["the server failed: hiccup; calls are computed until it is back", "the server is back"]
    assert [record.getMessage() for record in caplog.records] == told * 8
    assert events == ["failed", "recovered"] * 500
    caplog.clear()
    breaker.failure("hiccup")
    assert not caplog.records
    ticks.now += 60  # one that stays away is told of all the same
    breaker.failure("hiccup")
    breaker.succeeded()
    assert [record.getMessage() for record in caplog.records] == told
