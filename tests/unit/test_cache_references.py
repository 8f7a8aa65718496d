"""Caches by URL and by name: shared, made late, configured after what uses them, and configured again."""

import gc
import weakref
from typing import Any

import pytest

from memocache import (
    MISSING,
    Cache,
    ConfigurationError,
    MemcachedCache,
    SimpleCache,
    _current,
    cache_from_url,
    cached,
    configure,
    default_cache,
    disabled,
    uncache_tag,
)
from memocache._current import CacheRef, configured, ref_of
from tests.support.refusals import refusal
from tests.support.threads import at_once


@pytest.fixture(autouse=True)
def no_caches_by_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_current, "_at_url", {})


def named(name: str | None, **options: Any) -> Any:
    @cached(cache=name, namespace="by name", **options)
    def f(x: int = 0) -> object:
        return object()

    return f


# ---- by URL ----------------------------------------------------------------------------------------------------------


def test_functions_that_give_one_url_share_one_cache() -> None:
    url = "memory://?threshold=123"
    f, g, h = named(url), named(url), named("memory://?threshold=124")
    assert f() is g() is f()
    assert f.cache is g.cache is default_cache(url) is not h.cache
    assert repr(f.cache) == "SimpleCache(threshold=123, default_timeout=300)"
    assert h() is not f()
    assert cache_from_url(url) is not f.cache  # that makes one each time
    configure(url, other=url)
    assert default_cache() is default_cache("other") is f.cache


def test_it_is_made_when_it_is_first_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(SimpleCache, "_reset", lambda *_, reset=SimpleCache._reset: made.append(1) or reset(*_))
    f, g = named("memory://?threshold=5"), named("memory://?threshold=5")
    f.key, f.__wrapped__
    assert made == []
    f(), g()
    assert made == [1]


def test_threads_that_need_it_at_once_make_one() -> None:
    functions, caches = [named("memory://?threshold=6") for _ in range(16)], []

    def call() -> None:
        f = functions.pop()
        f()
        caches.append(f.cache)

    at_once(16, call)
    assert [cache is caches[0] for cache in caches] == [True] * 16


def test_a_shared_url_asks_closures_for_a_namespace_at_decoration() -> None:
    n = 1

    def closure() -> int:
        return n

    with pytest.raises(ConfigurationError, match="is made inside another function and uses its variables"):
        cached(cache="memcached://nowhere.invalid")(closure)
    assert cached(cache="memory://")(closure)() == 1
    assert cached(cache="memcached://nowhere.invalid", namespace="n")(closure).key().startswith("v1:n:")


@pytest.mark.parametrize("cache", ["memory://?threshold=9", "here"])
def test_a_hit_in_process_takes_the_shortcut(cache: str) -> None:
    configure(here=SimpleCache())
    f = named(cache)
    first = f(1)
    assert f(1) is first
    index = f._self_memoizer._fast_index
    assert [entry.value for entry in index.table.values()] == [first]
    with disabled():
        assert f(1) is not first
        assert not index.table
    assert f(1) is first


def test_no_shortcut_is_looked_for_where_there_can_be_none() -> None:
    assert named("memcached://nowhere.invalid")._self_memoizer._fast_index is None


def test_a_shared_cache_is_not_looked_up_again_at_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = []
    monkeypatch.setattr(
        CacheRef, "use", lambda ref, use, original=CacheRef.use: looked_up.append(ref) or original(ref, use)
    )
    configure("memcached:///nobody/listens", sessions="memcached:///nobody/else")
    for f in (named("sessions"), cached(namespace="f")(lambda: 1), named("memcached:///nobody/either")):
        f(), f(), f.peek()
        assert len(looked_up) == 1
        looked_up.clear()


# ---- by name ---------------------------------------------------------------------------------------------------------


def test_a_name_is_configured_before_or_after() -> None:
    f = named("sessions")
    configure(sessions=SimpleCache(threshold=7), reports="memory://?threshold=8")
    g = named("reports")
    assert f() is f()
    assert g() is g() is not f()
    assert repr((f.cache, g.cache)) == (
        "(SimpleCache(threshold=7, default_timeout=300), SimpleCache(threshold=8, default_timeout=300))"
    )
    assert default_cache("sessions") is f.cache is not default_cache()
    assert configured() == ["reports", "sessions"]


@pytest.fixture(params=[None, "sessions"], ids=["the default", "by name"])
def name(request: pytest.FixtureRequest) -> str | None:
    """What functions give as cache=, before it is configured."""
    return request.param


def use(name: str | None, cache: Cache) -> None:
    if name is None:
        configure(cache)
    else:
        configure(**{name: cache})


def test_functions_follow_and_never_serve_what_the_former_cache_holds(name: str | None) -> None:
    one, two = SimpleCache(), SimpleCache()
    use(name, one)
    f, others = named(name), [cached(cache=SimpleCache())(lambda: object()), named("other")]
    configure(other=SimpleCache())
    kept = [other() for other in others]
    old = f(1)
    assert f(1) is old
    use(name, two)
    new = f(1)
    assert new is not old
    assert f(1) is new
    use(name, one)
    assert f(1) is f(1) is old
    use(name, MemcachedCache(["/nobody/listens"]))
    assert f(1) is not f(1)
    assert f.info().failures == 2
    use(name, one)
    assert f(1) is f(1) is old
    assert [other() for other in others] == kept


def test_a_computation_that_began_before_lands_in_the_cache_of_before(name: str | None) -> None:
    one, two = SimpleCache(), SimpleCache()
    use(name, one)

    @cached(cache=name)
    def configuring() -> object:
        use(name, two)
        return object()

    first = configuring()
    assert configuring.peek() is MISSING
    assert configuring() is not first
    use(name, one)
    assert configuring.peek() is first


def test_a_default_and_names_are_configured_in_one_go_or_not_at_all(fresh_default: SimpleCache) -> None:
    other = SimpleCache()
    configure(other, sessions=other)
    assert default_cache() is default_cache("sessions") is other
    for bad in ({"a": SimpleCache(), "b": 5}, {"a": SimpleCache(), "b": "memory://?x=1"}):
        with pytest.raises(ConfigurationError):
            configure(fresh_default, **bad)
    assert default_cache() is other
    assert configured() == ["sessions"]


def test_a_name_that_is_not_configured_is_told_with_those_that_are() -> None:
    f = named("sessions")
    for there, known in (("none", {}), ("reports, users", {"users": SimpleCache(), "reports": SimpleCache()})):
        if known:
            configure(**known)
        for call in (f, f.uncache, f.peek, f.info, lambda: f.cache, lambda: default_cache("sessions")):
            assert refusal(call) == (
                "no cache is configured as 'sessions'; call configure(sessions=...) before what uses it; "
                f"there are: {there}"
            )
    with pytest.raises(ConfigurationError, match="no cache is configured as 'sessions'"):
        uncache_tag("a", "sessions")


def test_a_name_can_be_taken_away() -> None:
    f = named("sessions")
    configure(sessions=SimpleCache())
    assert f() is f()
    configure(sessions=None)
    assert configured() == []
    with pytest.raises(ConfigurationError, match="no cache is configured as 'sessions'"):
        f()


def test_tags_are_forgotten_by_name_and_by_url() -> None:
    configure(sessions=SimpleCache())
    for name in ("sessions", "memory://?threshold=3"):
        f = named(name, tags=("x:{x}",))
        first = f(1)
        uncache_tag("x:2", name)
        uncache_tag("x:1", default_cache())
        assert f(1) is first
        uncache_tag("x:1", name)
        assert f(1) is not first


@pytest.mark.parametrize("name", ["", "a b", "a-b", "5", "redis:/x", "memory:", "user:canary@host/", "a.b"])
def test_what_is_neither_a_name_nor_a_url_is_refused_and_not_shown(name: str) -> None:
    for call in (lambda: cached(cache=name), lambda: default_cache(name), lambda: configure(**{name: SimpleCache()})):
        assert refusal(call) == (
            "cache= got a text that is neither a URL, such as 'redis://127.0.0.1:6379' or 'sqlite:///tmp/shop.db', nor "
            "a name to give to configure(), of letters, digits and _"
        )


A_CACHE = (
    "wanted: a cache object such as SimpleCache(threshold=10_000) or MemcachedCache(['127.0.0.1:11211']), "
    "a URL such as 'memcached://127.0.0.1:11211', or any object with get, set and delete"
)


@pytest.mark.parametrize(
    ("positional", "named", "message"),
    [
        ((), {}, "configure() got nothing; wanted: the default cache, or caches by name"),
        ((), {"cache": SimpleCache()}, "configure() takes the default cache without a name; drop the cache= before it"),
        ((), {"default": 5}, "configure() takes the default cache without a name; drop the default= before it"),
        ((), {"sessions": 5}, f"configure(sessions=) got an int; {A_CACHE}"),
        ((), {"sessions": "reports"}, f"configure(sessions=) got a str; {A_CACHE}"),
        ((None,), {}, f"configure() got a NoneType; {A_CACHE}"),
        (("memcached:",), {}, f"configure() got a str; {A_CACHE}"),
        (([],), {}, f"configure() got a list; {A_CACHE}"),
        ((SimpleCache,), {}, f"configure() got the class SimpleCache; {A_CACHE}"),
    ],
)
def test_configure_says_what_it_wants(positional: Any, named: Any, message: str, fresh_default: SimpleCache) -> None:
    assert refusal(configure, *positional, **named) == message
    assert default_cache() is fresh_default


def test_a_reference_keeps_no_function_alive() -> None:
    configure(sessions=SimpleCache())
    f = named("sessions")
    f()
    gone = weakref.ref(f._self_memoizer._fast_index)
    configure(sessions=SimpleCache())  # the entries of the former one know it, too
    del f
    gc.collect()
    assert gone() is None


def test_one_name_is_one_reference() -> None:
    assert ref_of("sessions") is ref_of("sessions")
    assert ref_of(None) is _current.default
    assert isinstance(ref_of("memory://"), CacheRef)
