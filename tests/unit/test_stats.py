"""What info() counts, and what it does not."""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from memocache import Info, cached, disabled
from tests.unit.test_function import Numbered


def figures(info: Info) -> dict[str, object]:
    """Return the figures that are not 0, without those of time."""
    return {
        name: n for name, n in dataclasses.asdict(info).items() if n and not name.startswith(("seconds_", "maxsize"))
    }


def test_info_counts_each_call_once() -> None:
    f = Numbered().f
    assert f.info() == Info(currsize=0, maxsize=10_000)
    for x in (1, 1, 1, 2):
        f(x)
    assert figures(f.info()) == {"hits": 2, "misses": 2, "stored": 2, "currsize": 2}
    f.uncache(1)
    assert figures(f.info()) == {"hits": 2, "misses": 2, "stored": 2, "currsize": 1}
    f(1), f(1)
    assert figures(f.info()) == {"hits": 3, "misses": 3, "stored": 3, "currsize": 2}
    assert f.cache_info() == f.info()
    hits, misses, maxsize, currsize = f.cache_info()  # as functools' can be unpacked
    assert (hits, misses, maxsize, currsize) == (3, 3, 10_000, 2)
    assert len(str(f.info().seconds_saved)) < 12
    assert f.cache_clear() is None
    assert figures(f.info()) == {}


def test_info_counts_a_refresh_as_a_miss_and_a_put_only_as_stored() -> None:
    f = Numbered().f
    f.refresh(1)
    f.put("given", 2)
    assert figures(f.info()) == {"misses": 1, "stored": 2, "currsize": 2}


def fail() -> None:
    raise KeyError


@pytest.mark.parametrize(("options", "answer"), [({"unless": lambda result: True}, int), ({}, fail)])
def test_info_counts_what_was_not_stored_as_misses_only(options: dict[str, Any], answer: Callable[[], object]) -> None:
    f = cached(**options)(lambda: answer())
    for _ in range(2):
        with contextlib.suppress(KeyError):
            f()
    assert figures(f.info()) == {"misses": 2}


def test_info_counts_nothing_while_disabled() -> None:
    f = Numbered().f
    with disabled():
        f(1)
    assert figures(f.info()) == {}


def test_info_adds_up_the_time_that_hits_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(0, 1000, 5))
    for module in ("_flight", "_readthrough"):
        monkeypatch.setattr(f"memocache.{module}.ticks", lambda: float(next(ticks)))
    f = Numbered().f
    f(1)
    assert f.info().seconds_saved == 0
    f(1), f(1), f(1)
    assert f.info().seconds_saved == 15
