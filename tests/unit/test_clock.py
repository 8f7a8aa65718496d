"""One clock: time-machine moves every timeout, too (freezegun does all over the tests)."""

import datetime as dt
import threading
from xml.etree import ElementTree

import pytest
import time_machine

from memocache import Cache, cached
from memocache._clock import ticks


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
