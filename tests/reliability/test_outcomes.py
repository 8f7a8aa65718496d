"""The count of outcomes finds what is told twice, or never: the negative control of all tests that use it."""

from collections.abc import Callable
from typing import Any

import pytest

from memocache import SimpleCache, cached
from memocache._binding import Binding
from tests.reliability.ledger import OUTCOMES, Ledger
from tests.reliability.outcomes import Outcomes
from tests.support.threads import Held, Joins, start


def used(joins: Joins) -> Outcomes:
    """Return the outcomes of a hit, a miss, one that raises, one that waits, and of three at once."""
    outcomes, held = Outcomes(), Held(lambda x: 1 / x)
    f = outcomes.counted(cached(cache=SimpleCache(), wait=60)(lambda x: held(x)))
    with outcomes.listening():
        calls = [start(f, 1)]
        held.wait()
        calls.append(start(f, 1))
        joins.wait(1)
        held.go()
        assert [call.result(60) for call in calls] == [1, 1]
        with pytest.raises(ZeroDivisionError):
            f(0)
        assert f(1) == 1
        assert f.many([(1,), (2,), (3,)]) == [1, 1 / 2, 1 / 3]
        f.refresh(1)
        f.put(1, 1)
    assert len(outcomes.calls) == 5
    return outcomes


def test_they_add_up(joins: Joins) -> None:
    assert used(joins).odd() == 0


def twice(tell: Callable[..., None]) -> Callable[..., None]:
    def tell_twice(*args: Any) -> None:
        tell(*args)
        tell(*args)

    return tell_twice


def never(tell: Callable[..., None]) -> Callable[..., None]:
    return lambda *args: None


@pytest.mark.parametrize("wrongly", [twice, never])
@pytest.mark.parametrize("name", ["tell_served", "tell_miss", "count_wait"])
def test_what_is_told_wrongly_is_found(
    wrongly: Any, name: str, joins: Joins, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Binding, name, wrongly(getattr(Binding, name)))
    odd = used(joins).odd()
    if name == "tell_miss":
        ledger.naive(OUTCOMES, f"misses told {wrongly.__name__}: {odd} of 5 do not add up")
    assert odd >= 1


def test_what_was_not_interrupted_has_no_excuse() -> None:
    outcomes = Outcomes(KeyboardInterrupt)
    f = outcomes.counted(cached(cache=SimpleCache(), key=lambda x: 1 / x)(lambda x: x))
    with outcomes.listening(), pytest.raises(ZeroDivisionError):
        f(0)
    assert (outcomes.odd(), outcomes.interrupted) == (1, 0)
