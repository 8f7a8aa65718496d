"""What the process has one of: the default cache, and the switch that turns caching off."""

import contextvars
import threading

import pytest

from memocache import (
    MISSING,
    ConfigurationError,
    MemcachedCache,
    SimpleCache,
    cached,
    configure,
    default_cache,
    disabled,
)
from tests.support.threads import start
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


def test_functions_follow_a_new_default_and_never_serve_the_old_one_s_results(fresh_default: SimpleCache) -> None:
    old = f(1)
    assert f(1) is old
    configure(SimpleCache())
    new = f(1)
    assert new is not old
    assert f(1) is new
    configure(fresh_default)
    assert f(1) is f(1) is old


def test_a_default_cache_with_another_timeout_counts_for_functions_without_one() -> None:
    configure(SimpleCache(default_timeout=0.001))
    first = f()
    f.uncache()
    assert f.cache.default_timeout == 0.001
    assert first is not f()


def test_a_cache_of_its_own_does_not_follow() -> None:
    own = cached(cache=SimpleCache())(lambda: object())
    first = own()
    configure(SimpleCache())
    assert own() is first


def test_a_computation_that_began_before_lands_in_the_cache_of_before(fresh_default: SimpleCache) -> None:
    @cached
    def configuring():
        configure(SimpleCache())
        return object()

    first = configuring()
    assert configuring.peek() is MISSING
    assert configuring() is not first
    configure(fresh_default)
    assert configuring.peek() is first


@pytest.mark.parametrize(
    ("junk", "kind"), [(None, "NoneType"), ("memcached:", "str"), ([], "list"), (SimpleCache, "ABCMeta")]
)
def test_the_default_must_be_a_cache(junk: object, kind: str, fresh_default: SimpleCache) -> None:
    with pytest.raises(ConfigurationError) as refused:
        configure(junk)
    assert str(refused.value) == (
        f"configure() got {kind}; wanted: a cache object such as SimpleCache(threshold=10_000) "
        "or MemcachedCache(['127.0.0.1:11211']), a URL such as 'memcached://127.0.0.1:11211', or "
        "any object with get, set and delete"
    )
    assert default_cache() is fresh_default


def test_a_shared_default_asks_closures_for_a_namespace_when_they_are_called() -> None:
    n = 1

    @cached
    def closure():
        return n

    assert closure() == 1
    configure(MemcachedCache(["/nobody/listens"]))
    for call in (closure, closure.uncache, closure.info, lambda: closure.cache):
        with pytest.raises(ConfigurationError, match="is made inside another function and uses its variables"):
            call()
    assert f.key()  # which goes by its name


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


def test_it_holds_for_this_thread_only() -> None:
    first = f()
    seen = []
    with disabled():
        thread = threading.Thread(target=lambda: seen.extend([f(), f()]))
        thread.start()
        thread.join()
        assert f() is not first
    assert seen == [first, first]


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
            assert look.wait(30)
            seen.extend([f(), decorated_meanwhile()])

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(30)
    with disabled():
        assert f() is not first
    assert f() is f() is first
    decorated_meanwhile = cached(lambda: object())
    second = decorated_meanwhile()
    assert decorated_meanwhile() is second
    look.set()
    thread.join()
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
