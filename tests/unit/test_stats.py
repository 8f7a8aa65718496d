"""What info() counts, and what it does not."""

import dataclasses

import pytest

from memocache import Info, cached, disabled
from tests.unit.test_function import Numbered


@pytest.fixture
def numbered() -> Numbered:
    return Numbered()


def figures(info: Info) -> dict[str, object]:
    """Return the figures that are not 0, without those of time."""
    return {
        name: n for name, n in dataclasses.asdict(info).items() if n and not name.startswith(("seconds_", "maxsize"))
    }


def test_info_counts_each_call_once(numbered: Numbered) -> None:
    f = numbered.f
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


def test_info_counts_a_refresh_as_a_miss_and_a_put_only_as_stored(numbered: Numbered) -> None:
    f = numbered.f
    f.refresh(1)
    f.put("given", 2)
    assert figures(f.info()) == {"misses": 1, "stored": 2, "currsize": 2}


def test_info_counts_what_was_not_stored_as_misses_only() -> None:
    f = Numbered(unless=lambda result: True).f
    f(1), f(1)
    assert figures(f.info()) == {"misses": 2}


def test_info_counts_errors_as_misses() -> None:
    @cached
    def f():
        raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            f()
    assert figures(f.info()) == {"misses": 2}


def test_info_counts_a_result_that_was_forgotten_while_it_was_computed_as_no_failure() -> None:
    @cached
    def f():
        f.uncache()

    f()
    assert figures(f.info()) == {"misses": 1}


def test_info_counts_nothing_while_disabled(numbered: Numbered) -> None:
    with disabled():
        numbered.f(1)
    assert figures(numbered.f.info()) == {}


def test_info_adds_up_the_time_that_hits_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(0, 1000, 5))
    for module in ("_flight", "_readthrough"):
        monkeypatch.setattr(f"memocache.{module}.ticks", lambda: float(next(ticks)))
    f = Numbered().f
    f(1)
    assert f.info().seconds_saved == 0
    f(1), f(1), f(1)
    assert f.info().seconds_saved == 15


def test_cache_clear_forgets_all_and_counts_from_zero(numbered: Numbered) -> None:
    f = numbered.f
    f(1), f(1)
    assert f.cache_clear() is None
    assert figures(f.info()) == {}
    assert f(1) == (1, 0, 2)
