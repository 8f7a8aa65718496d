"""One clock: time-machine moves every timeout, too (freezegun does all over the tests)."""

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
import time_machine

import memocache
from memocache import MISSING, Cache, SimpleCache, cached
from memocache._clock import ticks

# freezegun asks a module for all that it has, and `pytester` takes away what was imported since its test began.
for each in memocache.__all__:
    getattr(memocache, each)


def test_time_machine_moves_timeouts_in_threads_too(cache: Cache) -> None:
    computed: list[int] = []
    f = cached(cache=cache, namespace="f", timeout=60)(computed.append)
    with time_machine.travel(dt.datetime(2030, 1, 1, tzinfo=dt.UTC), tick=False) as clock:
        f(1)
        clock.shift(59)
        f(1)
        assert computed == [1]
        clock.shift(2)
        thread = threading.Thread(target=f, args=(1,))
        thread.start()
        thread.join()
        f(1)
        assert computed == [1, 1]


@pytest.mark.parametrize(
    "is_there",
    [
        lambda cache, f: cache.get("number") is not None,
        lambda cache, f: cache.has("number"),
        lambda cache, f: not cache.add("number", 0, 1),
        lambda cache, f: cache.inc("number", 0) == 7,
        lambda cache, f: f.peek(1) is not MISSING,
        lambda cache, f: f.entry(1) is not None,
        lambda cache, f: f.many([(1,)]) == [7],
        lambda cache, f: f(1) == 7,
        lambda cache, f: bool([*cache.listing()]) if isinstance(cache, SimpleCache) else False,
    ],
    ids=["get", "has", "add", "inc", "peek", "entry", "many", "call", "listing"],
)
def test_what_was_made_while_the_clock_was_ahead_is_not_there_too_long(
    cache: Cache, is_there: Callable[[Cache, Any], bool]
) -> None:
    answer = 7
    f = cached(cache=cache, namespace="f", timeout=60)(lambda x: answer)
    with time_machine.travel(dt.datetime(2030, 1, 1, tzinfo=dt.UTC), tick=False) as clock:
        clock.shift(3600)
        assert f(1) == 7
        assert cache.set("number", 7, 60)
        clock.shift(-3600)
        is_there(cache, f)  # in process it is, and it has its time from now on
        answer = 8
        clock.shift(61)
        assert not is_there(cache, f)


def test_who_computes_for_long_leaves_other_results_their_time() -> None:
    """What it stores was begun when the clock showed less, and yet that was not set back."""
    cache = SimpleCache(default_timeout=300)
    f = cached(cache=cache)(lambda x: [x])
    with time_machine.travel(dt.datetime(2030, 1, 1, tzinfo=dt.UTC), tick=False) as clock:
        slow = cached(cache=cache)(lambda: (clock.shift(120), f(2)))
        first = f(1)
        _, second = slow()
        assert [f.entry(x).expires_in for x in (1, 2)] == [180, 300]
        clock.shift(179)
        assert f(1) is first
        clock.shift(120)
        assert f(2) is second


def test_the_clock_of_deadlines_goes_on_while_time_stands_still() -> None:
    with time_machine.travel(dt.datetime(2030, 1, 1, tzinfo=dt.UTC), tick=False):
        before = ticks()
        while ticks() == before:
            pass


MOVING = """
import time
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

import pytest
import time_machine
from freezegun import freeze_time

START, DAY = datetime(2030, 1, 1, tzinfo=timezone.utc), timedelta(days=1)

@contextmanager
def moved_by_freezegun():
    with freeze_time(START) as clock:
        clock.tick(DAY)
        yield

@contextmanager
def moved_by_time_machine():
    with time_machine.travel(START, tick=False) as clock:
        clock.shift(DAY)
        yield

@pytest.fixture(params=[moved_by_freezegun, moved_by_time_machine])
def move(request):
    return request.param

@pytest.fixture
def moved(move):
    with move():
        yield

def is_moved():
    return time.time() == (START + DAY).timestamp()

def test_all_of_it(moved):
    assert is_moved()

def test_a_part_of_it(move):
    with move():
        assert is_moved()

@pytest.fixture
def left():
    yield (entered := [])
    entered[0].__exit__(None, None, None)

def test_until_a_fixture_ends_it(move, left):
    left.append(move())
    left[0].__enter__()
    assert is_moved()
"""


def test_how_long_a_test_took_is_told_by_a_clock_that_no_test_moves(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_moving=MOVING)
    run = pytester.inline_run("--junitxml=report.xml", "-p", "no:cacheprovider")
    run.assertoutcome(passed=6)
    reports = run.getreports("pytest_runtest_logreport")
    assert [report.nodeid for report in reports if not 0 <= report.duration < 60] == []
    cases = ElementTree.parse(pytester.path / "report.xml").iter("testcase")
    assert [case.attrib["name"] for case in cases if not 0 <= float(case.attrib["time"]) < 60] == []
