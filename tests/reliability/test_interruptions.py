"""Signals at any moment, forks under load, and an interpreter that ends in the middle of a refresh."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from memocache import cached
from memocache._clock import ticks
from tests.reliability.caches import KINDS, Stand
from tests.reliability.ledger import Ledger, note_outcomes
from tests.reliability.process import run

SIGNALS = "signals at random moments"
FORKS = "forks under load"
LEAVING = "interpreters that end in the middle of a refresh"


@pytest.mark.parametrize("raises", [True, False], ids=["that-raise", "that-use-the-cache"])
def test_signals_at_random_moments(
    own_stand: Stand, kind: str, raises: bool, ledger: Ledger, scaled: Callable[[int, int], int]
) -> None:
    count = scaled(200, 300)
    # Python complains where a signal comes in the middle of a destructor, or leaves it a socket to close.
    seen = json.loads(run("interrupted", own_stand.spelt(), count, raises, False, flags=[], may_complain=True))
    ledger.add(SIGNALS, kind, seen["signals"], wrong_values=seen["wrong"])
    note_outcomes(ledger, kind, seen["listened"], seen["odd"], seen["interrupted"])
    assert (seen["signals"], seen["wrong"], seen["odd"]) == (count, 0, 0)
    assert seen["calls"] > count
    assert seen["hits"] >= 20


def test_forks_under_load(own_stand: Stand, kind: str, ledger: Ledger, scaled: Callable[[int, int], int]) -> None:
    seen = json.loads(run("forking", own_stand.spelt(), scaled(15, 20), False))
    ledger.add(FORKS, kind, seen["forks"], wrong_values_or_hung=seen["wrong"])
    note_outcomes(ledger, kind, seen["listened"], seen["odd"])
    assert seen["wrong"] == seen["odd"] == 0


@pytest.mark.parametrize("awaited", [False, True], ids=["function", "coroutine"])
def test_leaving_in_the_middle_of_a_refresh(
    stand: Stand, kind: str, prefix: str, awaited: bool, ledger: Ledger, scaled: Callable[[int, int], int]
) -> None:
    for number in range(scaled(1, 5)):
        own = f"{prefix}{number}"
        assert run("leaving", stand.spelt(), own, awaited) == "old\n"
        f: Any = cached(cache=stand.open(own), namespace="f", timeout=60, stale=60, wait=0)(lambda x: "new")
        assert f(1) in ("old", "new")  # nobody waits for the one that has left
        f.uncache(1)
        assert [f(1), f(1)] == ["new", "new"]
        ledger.add(LEAVING, kind, 1, stuck=0)


@pytest.mark.parametrize("way", ["atexit", "atexit, in use", "a thread that is left", "no room for a stack"])
def test_where_no_thread_can_be_started(stand: Stand, prefix: str, way: str) -> None:
    answers = [1, 1, [1, 2], True, 3]
    may_complain = way == "atexit, in use"  # of sockets that are opened once more when weakref has closed them
    assert json.loads(run("ending", stand.spelt(), prefix, way, may_complain=may_complain)) == [
        answers,
        answers,
        [{}, {}],
    ]


def test_the_naive_way_is_wrong(ledger: Ledger) -> None:
    with KINDS["memcached"].stand() as stand:
        plain = ["-W", "ignore"]
        signals = json.loads(run("interrupted", stand.spelt(), 200, True, True, flags=plain, may_complain=True))
        forks = json.loads(run("forking", stand.spelt(), 200, True, flags=plain, may_complain=True))
    ledger.naive(SIGNALS, f"a plain connection: {signals['wrong']} wrong values of {signals['signals']}")
    ledger.naive(FORKS, f"a plain connection: {forks['wrong']} wrong values in {forks['forks']} forks")
    assert signals["wrong"] > 5
    assert forks["wrong"] > 5


STAYS = """
import time
from concurrent.futures import ThreadPoolExecutor
ThreadPoolExecutor().submit(time.sleep, 1)
"""


def test_a_pool_of_threads_keeps_an_interpreter(ledger: Ledger) -> None:
    """The negative control: refreshes in concurrent.futures."""
    began = ticks()
    subprocess.run([sys.executable, "-c", STAYS], check=True, capture_output=True)
    kept = ticks() - began
    ledger.naive(LEAVING, f"a refresh of 1 s in concurrent.futures: kept it for {kept:.1f} s")
    assert kept > 0.9
