"""Clocks that jump, the end of summer, the year 2038, and timeouts of every size."""

import datetime as dt
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import time_machine

from memocache import ConfigurationError, cached
from tests.reliability.caches import Stand
from tests.reliability.ledger import Ledger

CLOCK = "jumps of the clock, and timeouts of every size"
HOUR, DAY, YEAR = 3600.0, 86400.0, 365 * 86400.0
MOMENTS = {
    "the beginning of 2030": dt.datetime(2030, 1, 1, tzinfo=dt.UTC).timestamp(),
    "clocks are put forward": dt.datetime(2030, 3, 31, 0, 59, 30, tzinfo=dt.UTC).timestamp(),
    "clocks are put back": dt.datetime(2030, 10, 27, 0, 59, 30, tzinfo=dt.UTC).timestamp(),
    "the end of 31 bits": 2.0**31 - 30,
    "after 31 bits": 2.0**31 + 10,
    "the end of 32 bits": 2.0**32 - 30,
    "a leap second": dt.datetime(2016, 12, 31, 23, 59, 30, tzinfo=dt.UTC).timestamp(),
    "1970": 100.0,
}
TIMEOUTS = [0.001, 0.5, 1, 59.9, DAY, 30 * DAY - 1, 30 * DAY, 30 * DAY + 1, YEAR, 10 * YEAR, 100 * YEAR]


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def counting(stand: Stand, prefix: str) -> Callable[..., Any]:
    """Returns a new cached function that counts its computations."""
    cache, names = stand.open(prefix), itertools.count()

    def make(timeout: float | None) -> Any:
        numbers = itertools.count(1)
        return cached(cache=cache, namespace=f"n{next(names)}", timeout=timeout)(lambda x: next(numbers))

    return make


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_minute_is_a_minute(counting: Callable[..., Any], kind: str, moment: str, ledger: Ledger) -> None:
    f = counting(60)
    with time_machine.travel(MOMENTS[moment], tick=False) as clock:
        assert f(1) == 1
        clock.shift(59)
        assert f(1) == 1
        clock.shift(2)
        assert [f(1), f(1)] == [2, 2]
    ledger.add(CLOCK, kind, 1, wrong=0)


@pytest.mark.parametrize("jump", [-HOUR, HOUR, -DAY, YEAR, -1.0, 1.0])
def test_a_clock_may_jump(counting: Callable[..., Any], kind: str, jump: float, ledger: Ledger) -> None:
    f = counting(60)
    with time_machine.travel(MOMENTS["the beginning of 2030"], tick=False) as clock:
        f(1)
        clock.shift(jump)
        seen = f(1)
        assert f(1) == seen  # a cache again, whatever it made of the old value
        assert f.uncache(1)
        assert f(1) == f(1) == seen + 1
        clock.shift(-jump)
        seen = f(1)
        f.uncache_all()
        assert f(1) == f(1) == seen + 1
        clock.shift(61)
        assert f(1) == seen + 2
    ledger.add(CLOCK, kind, 1, wrong=0)


@pytest.mark.parametrize("timeout", [*TIMEOUTS, None])
def test_any_timeout(counting: Callable[..., Any], kind: str, timeout: float | None, ledger: Ledger) -> None:
    f = counting(timeout)
    with time_machine.travel(MOMENTS["the beginning of 2030"], tick=False) as clock:
        assert [f(1), f(1)] == [1, 1]
        clock.shift(10 * YEAR if timeout is None else 0.9 * timeout)
        assert f(1) == 1
        if timeout is not None:
            clock.shift(0.2 * timeout)
            assert f(1) == 2
    ledger.add(CLOCK, kind, 1, wrong=0)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True, "", "soon", 10**400, [60]])
def test_what_is_no_timeout_is_refused(timeout: Any, ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError, match="timeout="):
        cached(timeout=timeout)(lambda x: x)
