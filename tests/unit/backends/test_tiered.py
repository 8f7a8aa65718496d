"""TieredCache: what is near, for how long, and that in this process it is never older than a forgetting."""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from freezegun import freeze_time

from memocache import (
    MISSING,
    BackendUnavailable,
    ConfigurationError,
    MemcachedCache,
    SimpleCache,
    TieredCache,
    UncacheFailed,
    cache_from_url,
    cached,
    configure,
    disabled,
)
from memocache._effects import blocking
from memocache._readthrough import put_if
from memocache.backends.base import call_verb
from tests.support.refusals import refusal
from tests.support.servers import MemcachedServer
from tests.support.threads import PATIENCE, start
from tests.support.tiers import FORGETTINGS, NEAR, Unfenced, World, change


@pytest.fixture
def make(memcached: MemcachedServer, prefix: str) -> Callable[..., World]:
    return lambda **options: World(memcached.address, prefix=prefix, **options)


@pytest.fixture
def world(make: Callable[..., World]) -> World:
    return make()


# ---- what cannot work ------------------------------------------------------------------------------------------------

FAR = MemcachedCache(["127.0.0.1:1"])
USED = SimpleCache()
USED.set("key", 1)
TIERED = TieredCache(SimpleCache(), FAR)


WANTED_NEAR = "wanted: a SimpleCache, such as SimpleCache(threshold=1000)"
WANTED_FAR = "wanted: a cache that processes share, such as MemcachedCache(['127.0.0.1:11211'])"
IN_USE = (
    "near= is in use already, and what it holds would be served here, too; "
    "wanted: a new SimpleCache, for this tier alone"
)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"near": FAR}, f"near= got a MemcachedCache; {WANTED_NEAR}"),
        ({"near": 500}, f"near= got an int; {WANTED_NEAR}"),
        ({"near": TIERED}, f"near= got a TieredCache; {WANTED_NEAR}"),
        ({"near": USED}, IN_USE),
        ({"near": TIERED.near}, IN_USE),
        ({"far": SimpleCache()}, f"far= is a SimpleCache, which is in this process like the near tier; {WANTED_FAR}"),
        ({"far": "127.0.0.1:11211"}, f"far= got a str; {WANTED_FAR}"),
        ({"far": TIERED}, "far= is a TieredCache itself; wanted: its far cache, with one near tier before it"),
        (
            {"near_timeout": 0},
            "near_timeout=0; wanted: a duration above 0 for which the near tier may serve a value without asking the "
            "far one. Without a near tier, use the far cache itself",
        ),
        (
            {"near_timeout": None},
            "near_timeout=None is a NoneType; wanted: seconds as a number, a timedelta, or text such as '90s', '5m', "
            "'1h30m' or '2d'",
        ),
    ],
)
def test_tiers_that_cannot_work_are_refused(options: dict[str, Any], said: str) -> None:
    assert refusal(TieredCache, **{"near": SimpleCache(), "far": FAR, **options}) == said


def test_a_cache_that_was_refused_is_free() -> None:
    near = SimpleCache()
    with pytest.raises(ConfigurationError):
        TieredCache(near, FAR, near_timeout=-1)
    tiered = TieredCache(near, FAR, near_timeout="1m")
    assert (tiered.near, tiered.far, tiered.default_timeout) == (near, FAR, 300)
    assert repr(tiered) == (
        "TieredCache(SimpleCache(threshold=500, default_timeout=300), "
        "MemcachedCache([127.0.0.1:1], default_timeout=300, key_prefix=''), near_timeout=60)"
    )


# ---- for how long ----------------------------------------------------------------------------------------------------


def test_a_hit_asks_nobody(world: World) -> None:
    assert world.near() == [1, 1]
    assert world.computed == 1
    assert [world.f(x=1) for _ in range(10)] == [[1, 1]] * 10
    assert world.far.asked == []


def test_what_others_forget_is_served_for_near_timeout_at_most(world: World) -> None:
    with freeze_time("2030-01-01") as clock:
        world.near()
        clock.tick(timedelta(seconds=1))
        world.truth = 2
        assert world.g.uncache(1) is True
        assert world.g(1) == [1, 2]
        clock.tick(timedelta(seconds=3.4))
        assert world.f(1) == [1, 1]  # and being asked for it does not make it younger
        clock.tick(timedelta(seconds=0.6))
        assert world.f(1) == [1, 2]


@pytest.mark.parametrize(
    "forget", ["uncache", "uncache_all", "uncache_tag", "delete", "clear", "put", "refresh", "set"]
)
def test_others_see_it_after_near_timeout(world: World, forget: str) -> None:
    with freeze_time("2030-01-01") as clock:
        world.near()
        clock.tick(timedelta(seconds=0.5))
        world.truth = 2
        change(world.g, forget, world.truth)
        clock.tick(timedelta(seconds=NEAR))
        assert world.f(1) == [1, 2]


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (lambda f: f(1), [1, 2]),
        (lambda f: f.many([(1,)]), [[1, 2]]),
        (lambda f: f.peek(1), MISSING),
        (lambda f: f.cache.get(f.key(1)), None),
        (lambda f: f.cache.has(f.key(1)), False),
    ],
    ids=["call", "many", "peek", "get", "has"],
)
def test_near_serves_nothing_for_longer_where_the_clock_is_set_back(
    world: World, ask: Callable[[Any], object], answer: object
) -> None:
    with freeze_time("2030-01-01") as clock:
        world.near()
        world.truth = 2
        assert world.g.uncache(1) is True
        clock.tick(timedelta(hours=-1))
        assert ask(world.f) == answer


def test_near_serves_nothing_beyond_its_timeout(make: Callable[..., World]) -> None:
    world = make(timeout=3)
    with freeze_time("2030-01-01") as clock:
        world.near()
        clock.tick(timedelta(seconds=2.9))
        world.truth = 2
        assert world.f(1) == [1, 1]
        clock.tick(timedelta(seconds=0.1))
        assert world.f.peek(1) is MISSING
        assert world.f(1) == [1, 2]


def test_what_is_old_is_served_by_far_and_refreshed_by_one(make: Callable[..., World]) -> None:
    world = make(timeout=3, stale=600)
    with freeze_time("2030-01-01") as clock:
        world.near()
        clock.tick(timedelta(seconds=3))
        world.truth = 2
        go, stored = threading.Event(), threading.Event()
        world.far.before["fill"] = lambda: go.wait(PATIENCE)
        world.far.after["fill"] = stored.set
        assert world.f(1) == world.g(1) == [1, 1]
        go.set()
        assert stored.wait(PATIENCE)
        assert world.f.info().stale == 1
        assert world.f(1) == world.g(1) == [1, 2]
        assert world.computed == 2


def test_it_is_read_from_far_once_in_near_timeout(world: World) -> None:
    with freeze_time("2030-01-01") as clock:
        value = world.near()
        for _ in range(10):
            clock.tick(timedelta(seconds=NEAR))
            again = world.f(1)
            assert again == value
            assert again is not value
            value = again
            assert world.f(1) is value
        assert world.far.asked == ["look"] * 10


def test_at_the_end_of_near_timeout_one_asks_far_and_the_others_are_served(world: World) -> None:
    with freeze_time("2030-01-01") as clock:
        value = world.near()
        clock.tick(timedelta(seconds=NEAR * 0.95))
        asking, go = threading.Event(), threading.Event()
        world.far.before["look"] = lambda: asking.set() or go.wait(PATIENCE)
        one = start(world.f, 1)
        assert asking.wait(PATIENCE)
        assert [world.f(1) is value for _ in range(10)] == [True] * 10
        assert world.far.asked == ["look"]
        go.set()
        assert one.result(PATIENCE) == value
        assert world.f(1) is one.result()
        clock.tick(timedelta(seconds=NEAR * 0.5))
        assert world.f(1) is one.result()
        assert world.far.asked == ["look"]


def test_while_far_is_down_near_serves_to_the_end_of_its_time(own_memcached: MemcachedServer, prefix: str) -> None:
    world = World(own_memcached.address, prefix=prefix)
    with freeze_time("2030-01-01") as clock:
        value = world.near()
        own_memcached.kill()
        clock.tick(timedelta(seconds=NEAR * 0.95))
        assert world.f(1) is value
        assert world.far.asked == ["look"]
        assert world.f.info().failures == 0
        clock.tick(timedelta(seconds=NEAR * 0.05))
        world.truth = 2
        assert world.f(1) == [1, 2]
        assert world.f.info().failures == 1


# ---- the fence -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("forget", FORGETTINGS)
def test_what_was_forgotten_here_is_not_served_here(make: Callable[..., World], forget: str) -> None:
    world = make(unless=lambda result: result is None)
    world.near()
    world.truth = 2
    change(world.f, forget, world.truth)
    assert world.f(1) == world.f(1) == [1, 2]
    assert world.g(1) == [1, 2]


@pytest.mark.parametrize("forget", FORGETTINGS)
@pytest.mark.parametrize("read", ["f", "peek", "many", "get"])
def test_what_was_read_before_a_forgetting_is_not_near_after(
    make: Callable[..., World], forget: str, read: str
) -> None:
    world = make(unless=lambda result: result is None)
    world.f(1)
    readers: dict[str, Callable[[], Any]] = {
        "f": lambda: world.f(1),
        "peek": lambda: world.f.peek(1),
        "many": lambda: world.f.many([(1,)])[0],
        "get": lambda: world.cache.get(world.f.key(1)),
    }

    def forgotten() -> None:
        world.truth = 2
        start(change, world.f, forget, world.truth).result(PATIENCE)

    world.far.after[{"f": "look", "get": "get_dict"}.get(read, "peek")] = forgotten
    assert readers[read]() == [1, 1]  # it had begun before
    assert world.f(1) == world.f(1) == [1, 2]


def test_tiers_without_a_fence_are_caught(world: World) -> None:
    f = world.on(Unfenced(SimpleCache(), world.far, near_timeout=NEAR))
    f(1)

    def forgotten() -> None:
        world.truth = 2
        start(change, f, "uncache", world.truth).result(PATIENCE)

    world.far.after["look"] = forgotten
    assert f(1) == [1, 1]
    assert f(1) == [1, 1]


class NearFirst(TieredCache):
    """Tiers that forget the wrong way round."""

    def forget_call(self, keys: tuple[str, ...], tag: str) -> Any:
        self._near.forget(keys[0])
        return self._far.forget_call(keys, tag)


@pytest.mark.parametrize(("kind", "given"), [(TieredCache, 2), (NearFirst, 1)])
def test_far_is_forgotten_before_near(world: World, kind: type[TieredCache], given: int) -> None:
    f = world.on(kind(SimpleCache(), world.far, near_timeout=NEAR))
    f(1)
    world.far.before["forget_call"] = lambda: start(f, 1).result(PATIENCE)  # a reader comes in between
    world.truth = 2
    f.uncache(1)
    assert f(1) == [1, given]


@pytest.mark.parametrize("forget", ["uncache", "uncache_all", "uncache_tag", "uncache_where"])
def test_a_forgetting_that_far_does_not_acknowledge_raises_and_near_forgets(
    own_memcached: MemcachedServer, prefix: str, forget: str
) -> None:
    world = World(own_memcached.address, prefix=prefix)
    world.near()
    own_memcached.kill()
    assert world.f(1) == [1, 1]
    world.truth = 2
    with pytest.raises(UncacheFailed):
        change(world.f, forget, world.truth)
    assert world.f(1) == [1, 2]  # computed, as far is not there
    assert len(world.cache.near) == 0


@pytest.mark.parametrize("change_", ["set", "delete", "clear", "inc"])
def test_a_change_that_far_does_not_acknowledge_is_none_that_near_hides(
    own_memcached: MemcachedServer, prefix: str, change_: str
) -> None:
    world = World(own_memcached.address, prefix=prefix)
    world.cache.set("key", 1)
    assert world.cache.get("key") == 1
    assert len(world.cache.near) == 1
    own_memcached.kill()
    arguments = {"set": ("key", 2), "delete": ("key",), "inc": ("key",)}.get(change_, ())
    with pytest.raises(BackendUnavailable, match=own_memcached.socket_path):
        getattr(world.cache, change_)(*arguments)
    assert len(world.cache.near) == 0


# ---- figures ---------------------------------------------------------------------------------------------------------


def test_a_near_hit_is_a_hit(make: Callable[..., World]) -> None:
    near = SimpleCache(threshold=2)
    world = make(near=near)
    world.near()
    assert (world.f.info().hits, world.f.info().misses) == (2, 1)
    world.f.many([(1,), (2,)])
    info = world.f.info()
    assert (info.hits, info.misses, info.currsize, info.maxsize) == (3, 2, 1, 2)
    world.f.peek(1)
    for x in range(5):
        world.f.put([x, 1], x)
        world.f(x)
        world.f(x)
    info = world.f.info()
    assert (info.hits, info.misses, info.currsize, info.maxsize) == (13, 2, 2, 2)  # those that had to leave count on
    assert info.seconds_saved > 0
    world.f.cache_clear()
    assert world.f.info().hits == world.f.info().currsize == 0


@pytest.mark.parametrize("options", [{}, {"copy": True}, {"key": lambda x: x}], ids=["alias", "copy", "key"])
def test_every_kind_of_near_hit_counts_once(make: Callable[..., World], options: Any) -> None:
    world = make(**options)
    with freeze_time("2030-01-01") as clock:
        for _ in range(20):
            world.f(1)
            clock.tick(timedelta(seconds=0.45))
        assert (world.f.info().hits, world.f.info().misses) == (19, 1)


def test_two_functions_that_share_entries_count_all_hits_together(world: World) -> None:
    other = world.on(world.cache)
    for _ in range(4):
        world.f(1)
        other(1)
    assert world.f.info().hits + other.info().hits == 7


# ---- values ----------------------------------------------------------------------------------------------------------


def test_what_the_caller_does_to_what_it_computed_stays_its_own(world: World) -> None:
    world.f(1).append("changed")
    assert world.f(1) == [1, 1]


def test_copy_protects_what_is_near(make: Callable[..., World]) -> None:
    world = make(copy=True)
    world.f(1)
    for _ in range(3):
        world.f(1).append("changed")
    assert world.f(1) == [1, 1]
    assert world.far.asked.count("look") == 2


def test_without_copy_it_is_one_object_until_it_is_read_again(world: World) -> None:
    with freeze_time("2030-01-01") as clock:
        world.near().append("changed")
        assert world.f(1) == [1, 1, "changed"]
        clock.tick(timedelta(seconds=NEAR))
        assert world.f(1) == [1, 1]


def test_an_exception_is_remembered_near(make: Callable[..., World], monkeypatch: pytest.MonkeyPatch) -> None:
    world = make(errors={LookupError: 60})

    @cached(cache=world.cache, namespace="raises", errors={LookupError: 60})
    def f(x: int) -> None:
        raise LookupError(x)

    for _ in range(4):
        with pytest.raises(LookupError):
            f(1)
    assert world.far.asked.count("look") == 2
    assert world.cache.get(f.key(1)) is None
    assert (f.info().misses, f.info().hits) == (1, 3)


# ---- many, the default, the switch -----------------------------------------------------------------------------------


def test_many_asks_far_once_for_what_is_not_near(world: World) -> None:
    world.f.many([(x,) for x in range(6)])
    world.f(0)
    world.far.asked.clear()
    assert [value[0] for value in world.f.many([(x,) for x in range(6)])] == list(range(6))
    assert world.far.asked == ["peek"]
    world.f.many([(x,) for x in range(6)])
    assert world.far.asked == ["peek"]


def test_as_the_default_it_has_shortcuts_and_leaves_none_behind(world: World) -> None:
    calls = []

    @cached(namespace="of the default")
    def f(x: int) -> int:
        calls.append(x)
        return x

    f(1)
    configure(world.cache)
    for _ in range(3):
        assert f(1) == 1
    looks = world.far.asked.count("look")
    table = f._self_memoizer._fast_index.table
    assert list(table) == [1]
    for _ in range(3):
        assert f(1) == 1
    with disabled():
        f(1)
    assert calls == [1, 1, 1]
    configure(world.far)
    assert not table
    f(1)
    assert not table
    assert world.far.asked.count("look") == looks + 1
    assert f._self_memoizer._fast_index.source is None


def test_a_url_makes_both_tiers_and_functions_have_shortcuts(memcached: MemcachedServer, prefix: str) -> None:
    url = f"tiered+memcached://{memcached.address}?prefix={prefix}&near_timeout=1m&near_threshold=7"
    tiers = cache_from_url(url)
    assert repr(tiers) == (
        "TieredCache(SimpleCache(threshold=7, default_timeout=300), "
        f"MemcachedCache([{memcached.address}], default_timeout=300, key_prefix='{prefix}'), near_timeout=60)"
    )

    @cached(cache=url, namespace="by url")
    def f(x: int) -> int:
        return x

    for _ in range(3):
        f(1)
    assert list(f._self_memoizer._fast_index.table) == [1]


def test_shared_caches_by_url_have_none() -> None:
    f: Any = cached(cache="memcached://127.0.0.1:1", namespace="by url")(lambda x: x)
    assert f._self_memoizer._fast_index is None


# ---- what a user calls -----------------------------------------------------------------------------------------------


def test_get_has_it_near_and_never_beyond_its_life(world: World) -> None:
    cache = world.cache
    with freeze_time("2030-01-01") as clock:
        cache.set("key", {"a": 1}, timeout=7)
        value = cache.get("key")
        assert cache.get("key") is value
        assert cache.has("key") is True
        assert world.far.asked == ["peek"]
        world.elsewhere.set("key", {"a": 2}, timeout=7)
        clock.tick(timedelta(seconds=4))
        assert cache.get("key") is value
        clock.tick(timedelta(seconds=1))
        assert cache.get("key") == {"a": 2}
        clock.tick(timedelta(seconds=2))
        assert cache.get("key") is None
        assert cache.has("key") is False


def test_none_is_a_value_that_is_near(world: World) -> None:
    world.cache.set("key", None)
    assert world.cache.get_many("key", "key", "nothing") == [None, None, None]
    assert world.cache.has("key") is True
    world.far.asked.clear()
    assert world.cache.get("key") is None
    assert world.far.asked == []


def test_a_counter_counts_in_far(world: World) -> None:
    assert [world.cache.inc("n"), world.cache.get("n"), world.elsewhere.inc("n")] == [1, 1, 2]
    assert [world.cache.inc("n", 5), world.cache.get("n"), world.cache.dec("n"), world.cache.get("n")] == [7, 7, 6, 6]
    assert world.cache.add("n", 1) is False
    assert world.cache.get("n") == 6


def test_a_result_is_got_by_its_key_and_not_longer_than_it_counts(world: World) -> None:
    world.f(1)
    key = world.f.key(1)
    assert world.cache.get(key) == [1, 1]
    world.near()
    assert world.cache.get(key) == [1, 1]
    assert world.far.asked == []
    world.f.uncache_all()
    assert world.cache.get(key) is None


@pytest.mark.parametrize("forget", ["uncache", "uncache_all", "uncache_tag"])
def test_what_is_proved_by_another_entry_is_not_proved_by_what_is_near(world: World, forget: str) -> None:
    """A variant of a page is stored if the marker stands that was stored with it: far knows, near may not yet."""
    world.near()
    change(world.g, forget, world.truth)
    binding, key, scope = world.f._self_memoizer.locate((1,), {})
    assert world.f.peek(1) == [1, 1]  # near does not know

    def store(variant: str) -> object:
        blocking(put_if(binding, variant, scope, "page", 60, 0, (key, lambda value: True)))
        (entry,) = call_verb(world.far.peek, (variant,), (scope.tags,), time.time())
        return entry and entry.value

    assert store("variant") is None
    world.cache.near.clear()
    world.f(1)
    assert store("variant") == "page"
