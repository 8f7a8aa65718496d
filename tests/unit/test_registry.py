"""What the process has one of: the default cache, and the switch that turns caching off."""

import contextvars
import threading

import pytest

from memocache import MISSING, SimpleCache, cached, configure, default_cache, disabled
from tests.support.refusals import refusal
from tests.support.threads import PATIENCE, start
from tests.unit.test_call import HIT_FRAMES, frames_of


@cached
def f(x=0):
    return object()


# ---- the default cache -------------------------------------------------------------------------------------------


def test_the_default_cache_is_what_was_configured(fresh_default: SimpleCache) -> None:
    assert default_cache() is fresh_default
    assert f.cache is fresh_default
    configure(other := SimpleCache())
    assert default_cache() is other
    assert f.cache is other


def test_unless_configured_it_is_a_simple_cache_for_10_000_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memocache._current.default.cache", None)
    monkeypatch.delenv("MEMOCACHE_URL", raising=False)
    assert repr(default_cache()) == "SimpleCache(threshold=10000, default_timeout=300)"
    assert default_cache() is default_cache()


# ---- disabled ----------------------------------------------------------------------------------------------------


def test_inside_disabled_every_call_computes_and_nothing_is_stored() -> None:
    with disabled():
        assert f() is not f()
        assert f.peek() is MISSING
        assert f.refresh() is not f.refresh()
        f.put(1)
        assert f() != 1
    assert f.peek() is MISSING


def test_what_was_stored_before_is_neither_read_nor_replaced_and_is_there_afterwards() -> None:
    first = f()
    assert f() is first
    with disabled():
        assert f() is not first
        f.refresh()
        f.put(1)
        assert f.peek() is MISSING
        assert f.entry() is None
        assert f.cache.get(f.key()) is first
    assert f.peek() is first
    assert f() is f() is first


def test_forgetting_works_inside() -> None:
    f(1), f(2)
    with disabled():
        assert f.uncache(1) is True
        assert f.uncache(1) is False
    assert f.peek(1) is MISSING
    with disabled():
        f.uncache_all()
    assert f.peek(2) is MISSING


def test_everywhere_means_in_all_threads() -> None:
    first = f()
    with disabled():
        assert start(f).result() is first
    with disabled(everywhere=True):
        assert f() is not first
        assert start(f).result() is not first
        with disabled():
            assert f() is not first
        assert start(f).result() is not first
    assert f() is start(f).result() is first


def test_disabled_nests() -> None:
    first = f()
    with disabled():
        with disabled():
            assert f() is not first
        assert f() is not first
    assert f() is first


def test_an_error_inside_ends_it_too() -> None:
    first = f()
    with pytest.raises(KeyError), disabled():
        raise KeyError
    assert f() is first


def test_it_holds_for_this_context_only() -> None:
    first = f()
    inside, outside = contextvars.copy_context(), contextvars.copy_context()
    switch = disabled()
    inside.run(switch.__enter__)
    assert inside.run(f) is not first
    assert outside.run(f) is first
    assert f() is first
    inside.run(switch.__exit__, None, None, None)
    assert inside.run(f) is first


def test_shortcuts_are_closed_while_it_is_on_anywhere_and_come_back_afterwards() -> None:
    first = f()
    inside, look = threading.Event(), threading.Event()
    seen = []

    def hold() -> None:
        with disabled():
            inside.set()
            assert look.wait(PATIENCE)
            seen.extend([f(), decorated_meanwhile()])

    holding = start(hold)
    assert inside.wait(PATIENCE)
    with disabled():
        assert f() is not first
    assert f() is f() is first
    decorated_meanwhile = cached(lambda: object())
    second = decorated_meanwhile()
    assert decorated_meanwhile() is second
    look.set()
    holding.result(PATIENCE)
    assert first not in seen
    assert second not in seen
    assert f() is f() is first
    assert decorated_meanwhile() is second
    assert frames_of(f) == frames_of(decorated_meanwhile) == HIT_FRAMES - 1  # beside its own


def test_a_computation_inside_that_began_outside_is_stored() -> None:
    @cached
    def outer():
        with disabled():
            return f(1), f(1)

    one, other = outer()
    assert one is not other
    assert outer() == (one, other)


def test_disabled_may_decorate() -> None:
    @disabled()
    def twice():
        return f(), f()

    one, other = twice()
    assert one is not other
    assert f() is f()


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("a coroutine function", "async def later(): return f(), f()"),
        ("a generator function", "def later(): yield f(), f()"),
        ("an async generator function", "async def later(): yield f(), f()"),
    ],
)
def test_what_runs_after_it_has_returned_it_may_not_decorate(kind: str, source: str) -> None:
    names = {"f": f}
    exec(source, names)
    assert refusal(disabled(), names["later"]) == (
        f"disabled() cannot decorate later, {kind}, which runs after it has returned; write `with disabled():` in it"
    )
