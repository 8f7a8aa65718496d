"""Whatever is done to a cached function, in any order, it does what a plain dictionary with times would."""

import datetime as dt
import functools
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import time_machine
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from memocache import MISSING, _flight, cached, uncache_tag
from tests.reliability.caches import Stand
from tests.reliability.ledger import Ledger
from tests.reliability.outcomes import Outcomes
from tests.support.servers import wait_until

MODEL = "steps of state machines, compared with a dictionary"
START = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
TIMEOUT, REMEMBERED = 60.0, 30.0
FIRST_BACKOFF, LONGEST_BACKOFF = 1.0, 30.0  # between refreshes that fail
NUMBERS = 4


class Known(Exception):
    """What a call may raise, and is remembered."""


@dataclass
class Held:
    """What the dictionary holds of one call."""

    value: Any
    until: float
    expires: float
    next_try: float = 0.0
    pause: float = 0.0


class Model(RuleBasedStateMachine):
    """One function on one cache, beside a dictionary; *stale* is for how long it serves what is old.

    Without, it remembers what it raised.
    """

    stale = 0.0
    make: Callable[[Callable[[int, int], Any], float], Any]
    """Returns the cached function."""
    names = itertools.count()
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.travel = time_machine.travel(START, tick=False)
        self.clock = self.travel.start()
        self.serial = 0
        self.failures = 0  # of refreshes
        self.failing: set[int] = set()
        self.held: dict[int, Held] = {}

    def teardown(self) -> None:
        self.travel.stop()

    @initialize()
    def begin(self) -> None:
        self.f = type(self).make(self.compute, self.stale)

    def compute(self, x: int, group: int) -> tuple[int, int]:
        self.serial += 1
        if x in self.failing:
            raise Known(self.serial)
        return x, self.serial

    # ---- the dictionary ------------------------------------------------------------------------------------------

    def present(self, x: int) -> Held | None:
        held = self.held.get(x)
        return held if held is not None and time.time() < held.expires else None

    def computed(self, x: int, serial: int) -> Any:
        """Note what the call number *serial* came to, and return it."""
        now = time.time()
        if x not in self.failing:
            self.held[x] = Held((x, serial), now + TIMEOUT, now + TIMEOUT + self.stale)
            return x, serial
        if not self.stale:
            self.held[x] = Held(Known(serial), now + REMEMBERED, now + REMEMBERED)
        return Known(serial)

    def expected(self, x: int) -> Any:
        """Return what a call gives, and note what comes of it."""
        now, held = time.time(), self.present(x)
        if held is None:
            return self.computed(x, self.serial + 1)
        if held.until <= now and held.next_try <= now:
            self.computed(x, self.serial + 1)
            if x in self.failing:  # the old one is served on, and it is tried again later and later
                held.pause = min(LONGEST_BACKOFF, max(FIRST_BACKOFF, 2 * held.pause))
                held.next_try = now + held.pause
                self.failures += 1
        return held.value

    @staticmethod
    def outcome(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Known as error:
            return error

    def same(self, found: Any, expected: Any) -> None:
        assert repr(found) == repr(expected), (found, expected)

    # ---- what can be done ----------------------------------------------------------------------------------------

    numbers = st.integers(0, NUMBERS - 1)

    @rule(x=numbers)
    def call(self, x: int) -> None:
        expected = self.expected(x)
        self.same(self.outcome(lambda: self.f(x, x % 2)), expected)
        self.settle()

    def settle(self) -> None:
        """Wait for what is done in the background."""
        if self.stale:
            assert wait_until(lambda: not (_flight._running or _flight._waiting))

    @rule(x=numbers)
    def uncache(self, x: int) -> None:
        was_there = self.present(x) is not None
        self.held.pop(x, None)
        found = self.f.uncache(x, group=x % 2)
        if was_there:
            self.same(found, True)

    @rule()
    def uncache_all(self) -> None:
        self.held.clear()
        self.same(self.f.uncache_all(), None)

    @rule(group=st.integers(0, 1))
    def uncache_where(self, group: int) -> None:
        self.forget_tag(group)
        self.same(self.f.uncache_where(group=group), None)

    @rule(group=st.integers(0, 1))
    def uncache_tag(self, group: int) -> None:
        self.forget_tag(group)
        uncache_tag(f"group:{group}", self.f.cache)

    def forget_tag(self, group: int) -> None:
        self.held = {x: held for x, held in self.held.items() if x % 2 != group}

    @rule(x=numbers)
    def put(self, x: int) -> None:
        self.serial += 1
        self.f.put((x, self.serial), x, x % 2)
        now = time.time()
        self.held[x] = Held((x, self.serial), now + TIMEOUT, now + TIMEOUT + self.stale)

    @rule(x=numbers)
    def refresh(self, x: int) -> None:
        if x in self.failing:
            return
        expected = self.computed(x, self.serial + 1)
        self.same(self.f.refresh(x, group=x % 2), expected)

    @rule(x=numbers)
    def peek(self, x: int) -> None:
        held = self.present(x)
        self.same(self.outcome(lambda: self.f.peek(x, x % 2)), MISSING if held is None else held.value)

    @rule(some=st.lists(numbers, min_size=1, max_size=4))
    def many(self, some: list[int]) -> None:
        if self.failing or any(isinstance(held.value, Known) for held in self.held.values()) or self.stale:
            return
        expected = [self.expected(x) if self.present(x) else None for x in some]
        found = self.f.many([(x, x % 2) for x in some])
        for x in some:
            if self.present(x) is None:
                self.held[x] = Held(found[some.index(x)], time.time() + TIMEOUT, time.time() + TIMEOUT + self.stale)
        self.same(found, [self.held[x].value for x in some])
        assert all(each is None or each == found[place] for place, each in enumerate(expected))

    @rule()
    def clear(self) -> None:
        self.held.clear()
        self.f.cache.clear()

    @rule(seconds=st.sampled_from([0.5, 5.5, 29.5, 59.5, 61.5, 119.5, 3600.5]))
    def time_passes(self, seconds: float) -> None:
        self.clock.shift(seconds)

    @rule(x=numbers)
    def fail(self, x: int) -> None:
        self.failing ^= {x}

    @invariant()
    def nothing_else_failed(self) -> None:
        type(self).steps += 1
        if hasattr(self, "f"):
            assert self.f.info().failures == self.failures


def machine(
    make: Callable[[Callable[[int, int], Any], float], Any], stale: float, base: type[Model] = Model
) -> type[Model]:
    return type("Machine", (base,), {"make": staticmethod(make), "stale": stale, "steps": 0})


def run(made: type[Model], runs: int, steps: int, **more: Any) -> None:
    run_state_machine_as_test(
        made,
        settings=settings(
            max_examples=runs,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            **more,
        ),
    )


@pytest.mark.parametrize("stale", [0.0, 60.0], ids=["", "stale"])
def test_it_does_what_a_dictionary_would(
    stand: Stand,
    kind: str,
    prefix: str,
    stale: float,
    ledger: Ledger,
    outcomes: Outcomes,
    scaled: Callable[[int, int], int],
) -> None:
    cache = stand.open(prefix)
    numbers = itertools.count()

    def make(compute: Callable[[int, int], Any], stale: float) -> Any:
        f = cached(
            cache=cache,
            namespace=f"n{next(numbers)}",
            timeout=TIMEOUT,
            stale=stale,
            errors=None if stale else {Known: REMEMBERED},
            tags=("group:{group}",),
        )(lambda x, group: compute(x, group))
        return outcomes.counted(f)

    made = machine(make, stale)
    ways = [True, False] if stand.kind.has_fast_hits else [True]
    for listened in ways:
        with outcomes.listening(listened):
            run(made, scaled(15, 60) // len(ways), 50)
    ledger.add(MODEL, kind, made.steps, different=0)


class Bucketed:
    """The recipe that is often given: lru_cache, with the time in minutes as one more argument."""

    def __init__(self, compute: Callable[[int, int], Any]) -> None:
        self.cache = self
        self._cached = functools.lru_cache(lambda minute, x, group: compute(x, group))

    def __call__(self, x: int, group: int) -> Any:
        return self._cached(int(time.time() // TIMEOUT), x, group)

    def uncache(self, x: int, group: int) -> bool:
        self._cached.cache_clear()
        return True

    def uncache_all(self) -> None:
        self._cached.cache_clear()

    def clear(self) -> None:
        self._cached.cache_clear()

    def info(self) -> Any:
        return type("Info", (), {"failures": 0})


class OnlySome(Model):
    """What the recipe can do."""

    uncache_where = uncache_tag = put = refresh = peek = many = None  # type: ignore[assignment]


def test_the_naive_way_does_not(ledger: Ledger) -> None:
    made = machine(lambda compute, stale: Bucketed(compute), 0.0, OnlySome)
    with pytest.raises((AssertionError, ExceptionGroup)):
        run(made, 50, 30, phases=[Phase.generate])
    ledger.naive(MODEL, f"lru_cache with the minute as an argument: different after {made.steps} steps")
