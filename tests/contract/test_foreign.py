"""ForeignCache: how somebody else's object is called, what its failures become, and that one object is one cache."""

import asyncio
import gc
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import aiocache
import pytest
import redis.asyncio
from django.core.cache import cache as proxy
from django.core.cache import caches

from memocache import (
    MISSING,
    BackendUnavailable,
    ConfigurationError,
    ForeignCache,
    SerializationError,
    UncacheFailed,
    cached,
    configure,
    default_cache,
    uncache_tag,
)
from memocache._effects import blocking
from memocache._entry import Entry, EntryScope
from memocache._flight import Flight
from memocache._policy import FOREVER
from memocache.backends import foreign
from memocache.backends.base import Busy, Lease, call_verb
from memocache.backends.foreign import LONG, ForeignObject
from memocache.testing._harness import PATIENCE, Gate, start
from tests.support import django_settings
from tests.support.refusals import refusal

DAY = 86400
GROUPS = ("all:foreign",)


class Store:
    """The least that a ForeignCache takes; it notes what it was asked for."""

    def __init__(self) -> None:
        self.data: dict[str, Any] = {}
        self.asked: list[str] = []

    def get(self, key: str) -> Any:
        self.asked.append("get")
        return self.data.get(key)

    def set(self, key: str, value: Any) -> Any:
        self.asked.append("set")
        self.data[key] = value

    def delete(self, key: str) -> Any:
        self.asked.append("delete")
        self.data.pop(key, None)


class Many(Store):
    def get_many(self, *keys: str) -> Any:
        self.asked.append("get_many")
        return [self.data.get(key) for key in keys]


class AsyncStore(Store):
    async def get(self, key: str) -> Any:
        await asyncio.sleep(0)
        return super().get(key)

    async def set(self, key: str, value: Any) -> Any:
        await asyncio.sleep(0)
        super().set(key, value)

    async def delete(self, key: str) -> Any:
        await asyncio.sleep(0)
        super().delete(key)


def function(cache: Any, answer: Callable[[int], Any] = lambda x: [x], **options: Any) -> Any:
    calls: list[int] = []

    def f(x: int) -> Any:
        calls.append(x)
        return answer(x)

    f.__qualname__ = "f"
    made = cached(cache=cache, namespace="foreign", **options)(f)
    made.calls = calls
    return made


# ---- how an object is called -------------------------------------------------------------------------------------


def recording(source: str) -> tuple[Any, list[dict[str, Any]]]:
    """Return an object whose `set` has the parameters in *source*, and the options that it is called with."""
    seen: list[dict[str, Any]] = []
    namespace: dict[str, Any] = {"seen": seen, "SENTINEL": object()}
    exec(f"def set(self, key, value{source}):\n    seen.append({{**locals()}})", namespace)
    return type("Recording", (Store,), {"set": namespace["set"]})(), seen


@pytest.mark.parametrize(
    ("source", "short", "forever"),
    [
        (", timeout=None", {"timeout": 61}, {"timeout": LONG}),  # cachelib
        (", timeout=None, mgmt_element=False", {"timeout": 61}, {"timeout": LONG}),
        (", timeout=SENTINEL, version=None", {"timeout": 61}, {"timeout": None}),  # Django
        (", ttl=SENTINEL, dumps_fn=None", {"ttl": 61}, {"ttl": None}),  # aiocache
        (", expire=0, noreply=None, flags=None", {"expire": 61, "noreply": False}, {"expire": 0, "noreply": False}),
        (", expire=None, read=False, tag=None", {"expire": 61}, {"expire": None}),  # diskcache
        (", ex=None, px=None, nx=False", {"ex": 61}, {"ex": None}),  # redis-py
        (", time=0", {"time": 61}, {"time": 0}),  # pylibmc
        (", **kwargs", {"kwargs": {"timeout": 61}}, {"kwargs": {"timeout": LONG}}),  # Flask-Caching
        ("", {}, {}),  # dogpile
    ],
)
def test_a_timeout_is_passed_as_the_signature_says(source: str, short: Any, forever: Any) -> None:
    given, seen = recording(source)
    foreign = ForeignObject(given)
    for lifetime in (60.0, FOREVER, 40 * DAY):
        blocking(foreign.set("key", b"data", lifetime))
    for options, wanted in zip(seen, (short, forever, forever), strict=True):
        assert {name: options[name] for name in wanted} == wanted
        assert (options["key"], options["value"]) == ("key", b"data")


@pytest.mark.parametrize("lifetime", [0.001, 0.5, 1.0])
def test_an_object_keeps_things_a_little_longer_than_they_count(lifetime: float) -> None:
    given, seen = recording(", timeout=None")
    blocking(ForeignObject(given).set("key", b"data", lifetime))
    assert seen[0]["timeout"] == 2


def test_a_hit_is_one_get_many_where_there_is_one() -> None:
    for store, asked in ((Many(), ["get_many"]), (Store(), ["get"] * 3)):
        f = function(store)
        f(1)
        store.asked.clear()
        assert f(1) == [1]
        assert store.asked == asked


@pytest.mark.parametrize(
    "get_many",
    [
        lambda self, *keys: [self.data.get(key) for key in keys],
        lambda self, keys, version=None: {key: self.data[key] for key in keys if key in self.data},
        lambda self, keys: (self.data.get(key, "no value") for key in keys),
    ],
    ids=["cachelib", "Django", "dogpile"],
)
@pytest.mark.parametrize("name", ["get_many", "multi_get", "get_multi", "mget"])
def test_get_many_is_known_in_all_its_forms(get_many: Any, name: str) -> None:
    kind = type("Kind", (Store,), {name: get_many})
    f = function(kind())
    assert [f(1), f(1), f(2), f.peek(3)] == [[1], [1], [2], MISSING]
    assert f.calls == [1, 2]


def test_an_answer_of_another_length_is_none() -> None:
    kind = type("Kind", (Store,), {"get_many": lambda self, *keys: []})
    with pytest.raises(BackendUnavailable, match="Kind was asked for 2 keys, and did not answer with as many"):
        ForeignCache(kind()).get("key")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (5, "ForeignCache() got an int, which has no get and no set and no delete"),
        ("redis://", "ForeignCache() got a str, which has no get and no set and no delete"),
        (type("Odd", (), {"get": print, "set": 5, "delete": print})(), "ForeignCache() got an Odd, which has no set"),
    ],
)
def test_what_is_missing_is_said(given: Any, message: str) -> None:
    wanted = "an object with get, set and delete, or a mapping such as a dict"
    assert refusal(ForeignCache, given) == f"{message}; wanted: {wanted}"


def test_an_object_may_raise_where_it_is_asked_for_more_than_it_has() -> None:
    class Strict(Store):  # as diskcache's FanoutCache
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    f = cached(cache=Strict(), namespace="strict")(lambda x: [x])
    assert (f(1), f(1), f.info().hits, f.uncache(1), f.peek(1)) == ([1], [1], 1, True, MISSING)


def test_a_class_and_half_an_async_object_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"got the class Store; wanted: one of its objects, that is kept"):
        ForeignCache(Store)  # type: ignore[arg-type]
    half = type("Half", (Store,), {"get": AsyncStore.get})
    with pytest.raises(ConfigurationError, match=r"a Half, of which some methods are coroutine functions \(get\)"):
        ForeignCache(half())


def test_what_cannot_be_cleared_says_so() -> None:
    with pytest.raises(ConfigurationError, match=r"clear\(\) needs a Store with clear; it has get, set, delete"):
        ForeignCache(Store()).clear()


def test_keys_have_the_prefix_and_nothing_else_stands_there() -> None:
    store = {"theirs": 1}
    f = function(ForeignCache(store, key_prefix="app:"))
    f(1)
    f.cache.set("schlüssel", 1)
    assert all(key.startswith("app:") and key.isascii() for key in store if key != "theirs")
    assert len(store) == 6
    assert all(type(value) is bytes for key, value in store.items() if key != "theirs")


def test_a_prefix_parts_what_shares_an_object() -> None:
    store: dict[str, bytes] = {}
    one, other = ForeignCache(store, key_prefix="a:"), ForeignCache(store, key_prefix="b:")
    one.set("key", 1)
    assert other.get("key") is None


def test_a_repr_tells_no_secrets() -> None:
    store = Store()
    store.password = "hunter2"  # type: ignore[attr-defined]
    assert repr(ForeignCache(store, key_prefix="x:")) == "ForeignCache(Store, default_timeout=300, key_prefix='x:')"


def test_values_of_other_types_than_bytes_are_nothing() -> None:
    store = Store()
    cache = ForeignCache(store)
    cache.set("key", 1)
    for key in store.data:
        store.data[key] = "junk"
    assert cache.get("key") is None
    f = function(store)
    assert [f(1), f(1)] == [[1], [1]]
    assert f.calls == [1]


# ---- the objects of others ---------------------------------------------------------------------------------------


def is_a_cache(f: Any) -> bool:
    return [f(1), f(1), f.uncache(1), f(1), f.calls] == [[1], [1], True, [1], [1, 1]]


def test_django_s_caches() -> None:
    django_settings.configure()
    for cache in (caches["default"], proxy):  # the latter finds that of its thread
        f = function(cache, timeout=60)
        assert is_a_cache(f)
        f.uncache_all()


def test_flask_caching_s_cache() -> None:
    flask, flask_caching = pytest.importorskip("flask"), pytest.importorskip("flask_caching")
    app = flask.Flask("app")
    cache = flask_caching.Cache(config={"CACHE_TYPE": "SimpleCache"})
    f = function(cache, timeout=60)  # before the application is there
    cache.init_app(app)
    with app.app_context():
        assert is_a_cache(f)


def test_a_region_of_dogpile() -> None:
    region = pytest.importorskip("dogpile.cache").make_region().configure("dogpile.cache.memory")
    assert is_a_cache(function(region, timeout=60))


# ---- the fence ---------------------------------------------------------------------------------------------------


def naive(store: Store, compute: Callable[[], object]) -> object:
    """Get, or compute and set."""
    found = store.get("key")
    if found is None:
        found = compute()
        store.set("key", found)
    return found


class Late(Many):
    """A set of the data that *late* accepts arrives only when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.late: Callable[[str], bool] = lambda key: False
        self.entered, self.go = threading.Event(), threading.Event()

    def set(self, key: str, value: Any) -> None:
        if self.late(key):
            self.late = lambda key: False
            self.entered.set()
            assert self.go.wait(PATIENCE)
        super().set(key, value)


@pytest.mark.parametrize("how", ["uncache", "uncache_all", "uncache_tag"])
def test_a_value_that_is_set_too_late_is_there_in_vain(how: str) -> None:
    """Which no check before the setting could prevent: it is under way already."""
    store = Late()
    f = function(store, lambda x: "old" if len(f.calls) == 1 else "new", tags=("x:{x}",))
    key = f.key(1)
    f.peek(1)
    # The first set of the key is the marker's, where there is no `add`.
    sets: list[str] = []
    store.late = lambda at: at == key and (sets.append(at) or len(sets) == 2)
    before = start(f, 1)
    assert store.entered.wait(PATIENCE)
    if how == "uncache":
        assert f.uncache(1) is True
    elif how == "uncache_all":
        f.uncache_all()
    else:
        uncache_tag("x:1", store)
    assert f(1) == "new"
    store.go.set()
    assert before.result(PATIENCE) == "old"
    assert f(1) == "new"


def test_a_naive_cache_would_serve_it() -> None:
    store = Late()
    store.late = lambda key: True
    before = start(naive, store, lambda: "old")
    assert store.entered.wait(PATIENCE)
    store.delete("key")
    assert naive(store, lambda: "new") == "new"
    store.go.set()
    before.result(PATIENCE)
    assert naive(store, lambda: "new") == "old"


@pytest.mark.parametrize("evicted", ["#:", "all:"])
def test_a_stamp_that_was_evicted_brings_nothing_back(evicted: str) -> None:
    store = Many()
    gate = Gate(lambda x, _: "old")
    f = function(store, lambda x: gate(x, 0) if len(f.calls) == 1 else "new")
    before = gate.hold(f, 1)
    f.uncache(1)
    f.uncache_all()
    for key in [key for key in store.data if evicted in key]:
        del store.data[key]
    gate.open()
    assert before.result(PATIENCE) == "old"
    assert f(1) == "new"


def test_a_flight_is_joined_by_those_only_who_found_its_generation() -> None:
    cache = ForeignCache({})
    moment = time.time()
    first = call_verb(cache.look, "key", GROUPS, moment, 60)
    assert isinstance(first, Lease)
    joined = call_verb(cache.look, "key", GROUPS, moment, 60)
    assert isinstance(joined, Busy)
    assert joined.flight is first.flight
    call_verb(cache.forget, "key")
    second = call_verb(cache.look, "key", GROUPS, moment, 60)
    assert isinstance(second, Lease)
    assert second.flight is not first.flight
    assert call_verb(cache.fill, first, Entry("key", "old", moment + 60, scope=EntryScope(GROUPS))) is False
    joined = call_verb(cache.look, "key", GROUPS, moment, 60)
    assert isinstance(joined, Busy)
    assert joined.flight is second.flight


def test_who_looked_before_a_flight_ended_looks_again() -> None:
    """Else the result is computed twice: the flight is over, and was not there yet when it looked."""
    store = Many()
    f = function(store)
    f.peek(1)
    f(2)  # puts a generation of the tag there
    read, looked, go = store.get_many, threading.Event(), threading.Event()

    def slow(*keys: str) -> Any:
        found = read(*keys)
        if threading.current_thread() is not threading.main_thread() and found[1] is not None:
            looked.set()
            assert go.wait(PATIENCE)
        return found

    f(1)
    f.uncache(1)
    store.get_many = slow  # type: ignore[method-assign]
    late = start(f, 1)
    assert looked.wait(PATIENCE)
    assert f(1) == [1]
    go.set()
    assert late.result(PATIENCE) == [1]
    assert f.calls == [2, 1, 1]


def test_of_too_many_flights_those_leave_first_that_nobody_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "MOST_FLIGHTS", 3)
    flights = foreign.LocalFlights()
    made = [Flight(f"key {number}", (), 60) for number in range(5)]

    def led() -> list[bool]:
        return [flights.flight(each.key, b"") is each for each in made]

    assert all(flights.lead(each, b"", None) for each in made[:3])
    made[1].abandon()
    flights.lead(made[3], b"", None)
    assert led() == [True, False, True, True, False]
    flights.lead(made[4], b"", None)
    assert led() == [False, False, True, True, True]
    assert not flights.lead(made[4], b"", flights.ended("key 4"))
    assert flights.lead(made[4], b"another", flights.ended("key 4"))
    before = flights.ended("key 2")
    flights.end(made[2], b"")
    assert not flights.lead(made[2], b"", before)  # its result may be there since
    assert flights.lead(made[2], b"", flights.ended("key 2"))


# ---- failures ----------------------------------------------------------------------------------------------------


class Failing(Many):
    """Each method that is in *broken* raises."""

    def __init__(self, *broken: str) -> None:
        super().__init__()
        self.broken = set(broken)

    def __getattribute__(self, name: str) -> Any:
        if name in ("get", "get_many", "set", "delete") and name in self.broken:
            return self._fail
        return super().__getattribute__(name)

    def _fail(self, *args: Any, **options: Any) -> Any:
        self.asked.append("failed")
        raise LookupError("out of order")


def test_whatever_the_object_raises_the_call_is_computed(caplog: pytest.LogCaptureFixture) -> None:
    store = Failing()
    f = function(store)
    store.broken = {"get", "get_many", "set", "delete"}
    assert [f(1) for _ in range(20)] == [[1]] * 20
    assert f.info().failures == 20
    assert f.peek(1) is MISSING
    assert store.asked.count("failed") < 10  # it is left alone
    told = [record.getMessage() for record in caplog.records]
    assert told[0] == "Failing failed: LookupError: out of order; calls are computed until it is back"
    assert len(told) == 3


def test_only_forgetting_raises() -> None:
    store = Failing()
    f = function(store, tags=("x:{x}",))
    f(1)
    store.broken = {"get", "get_many", "set", "delete"}
    assert [f(1) for _ in range(9)] == [[1]] * 9  # so that it is left alone
    for forget in (lambda: f.uncache(1), f.uncache_all, lambda: uncache_tag("x:1", store)):
        with pytest.raises(UncacheFailed, match="Failing failed: LookupError: out of order"):
            forget()
    store.broken = set()
    assert f.uncache(1) is True


@pytest.mark.parametrize(
    "set_",
    [lambda *args: None, lambda *args: True, lambda *args: False, lambda self, key, value: self.data.pop(key, None)],
    ids=["None", "True", "False", "dropped"],
)
def test_a_forgetting_that_the_object_swallows_raises(set_: Any) -> None:
    store = Many()
    f = function(store)
    f(1)
    type_ = type("Silent", (Many,), {"set": set_})
    store.__class__ = type_
    for forget in (lambda: f.uncache(1), f.uncache_all):
        with pytest.raises(
            UncacheFailed, match=r"did not store|does not keep the generation that it was given to forget by"
        ):
            forget()


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("how", ["uncache", "uncache_all"])
def test_a_forgetting_raises_also_where_the_object_swallows_what_goes_before(how: str, lost: int) -> None:
    """It says of the old generation that there is none, loses the new one, and has the old one again."""
    store = Store()
    f = function(store)
    f(1)

    class Faltering(Store):
        sets = 0

        def get(self, key: str) -> Any:
            return super().get(key) if self.sets >= lost else None

        def set(self, key: str, value: Any) -> None:
            self.sets += 1

    store.__class__ = Faltering
    with pytest.raises(UncacheFailed, match="does not keep the generation that it was given to forget by"):
        f.uncache(1) if how == "uncache" else f.uncache_all()


def test_two_that_forget_at_once_are_content_with_each_other_s_generations() -> None:
    store = Many()
    f = function(store)
    f(1)
    cache, others = f.cache, [3]

    class Contended(Many):
        def set(self, key: str, value: Any) -> None:
            super().set(key, value)
            if key.startswith("all:") and others[0]:
                others[0] -= 1
                call_verb(cache.forget_tag, key)  # which another one sets before we have read ours

    store.__class__ = Contended
    f.uncache_all()
    assert f.peek(1) is MISSING
    assert others == [0]


def test_an_object_that_keeps_nothing_computes_and_cannot_forget() -> None:
    kind = type("Dummy", (Store,), {"set": lambda self, key, value: True})
    f = function(kind())
    assert [f(1), f(1)] == [[1], [1]]
    assert f.info().failures == 2
    with pytest.raises(UncacheFailed, match="that is what NullCache is for"):
        f.uncache(1)


def test_a_set_that_says_false_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    store = Many()
    f = function(store)
    f(2)
    store.__class__ = type("Full", (Many,), {"set": lambda self, key, value: False})
    f(1)
    assert (f.info().failures, f.info().stored) == (1, 1)
    assert "did not store what it was given" in caplog.text


def test_a_value_without_a_form_as_bytes_leaves_no_flight() -> None:
    f = function({}, lambda x: threading.Lock())
    f(1)
    f(1)
    assert f.calls == [1, 1]
    with pytest.raises(SerializationError):
        f.cache.set("key", threading.Lock())


# ---- one object, one cache ---------------------------------------------------------------------------------------


def test_functions_on_one_object_share_its_cache() -> None:
    store: dict[str, bytes] = {}
    assert function(store).cache is function(store).cache
    assert function(store).cache is not function({}).cache
    assert function(lambda: store).cache is function(store).cache
    configure(store)
    assert default_cache() is function(store).cache
    assert function(ForeignCache(store)).cache is not default_cache()


def test_an_object_that_nobody_uses_any_more_is_let_go() -> None:
    class Mapping(OrderedDict[str, bytes]):
        pass

    import weakref

    store = Mapping()
    f = function(store)
    f(1)
    gone = weakref.ref(store)
    del f, store
    gc.collect()
    assert gone() is None


def test_what_can_be_called_and_has_the_three_is_a_cache() -> None:
    class Callable_(Many):
        def __call__(self) -> None:
            raise AssertionError

    f = function(Callable_())
    assert [f(1), f(1), f.calls] == [[1], [1], [1]]


def test_after_a_fork_nobody_waits_for_the_parent_s_locks() -> None:
    cache = ForeignCache({})
    cache._counting.acquire()  # by this thread; another one would wait
    cache.set("a", 1)
    pid = os.fork()
    if pid == 0:
        other = start(cache.inc, "a")
        os._exit(0 if other.result(PATIENCE) == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of a fork among threads
def test_after_a_fork_nobody_waits_for_what_the_parent_computes_into_its_own_dict() -> None:
    gate, parent = Gate(lambda a, b: "old"), os.getpid()

    @cached(cache=ForeignCache({}), namespace="foreign", wait=2 * PATIENCE)
    def f(x: int) -> str:
        return str(gate(x, x)) if os.getpid() == parent else "new"

    before = gate.hold(f, 1)
    pid = os.fork()
    if pid == 0:
        found = [start(f, 1).result(PATIENCE) for _ in range(2)]
        os._exit(0 if found == ["new", "new"] and f.info().hits == 1 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    gate.open()
    assert [before.result(PATIENCE), f(1)] == ["old", "old"]


# ---- objects that are awaited ------------------------------------------------------------------------------------


def test_ordinary_functions_are_refused_where_the_object_is_awaited() -> None:
    message = (
        "f is an ordinary function, and the methods of ForeignCache(AsyncStore, default_timeout=300, key_prefix='') "
        "can only be awaited; make it a coroutine function (async def), or give it another cache"
    )
    assert refusal(function, AsyncStore()) == message
    store = AsyncStore()
    f = function(lambda: store)
    assert refusal(f, 1) == message


def test_methods_are_refused_where_nothing_can_await_them() -> None:
    cache = ForeignCache(AsyncStore())

    async def inside() -> None:
        cache.get("key")

    for call in (lambda: cache.get("key"), lambda: cache.inc("key"), lambda: asyncio.run(inside())):
        assert refusal(call) == (
            "the methods of AsyncStore are coroutine functions, and nothing here can await them; "
            'call this as in: await cache.awaited(cache.get, ("key",))'
        )


@pytest.mark.parametrize("kind", ["aiocache", "redis"])
def test_methods_can_be_awaited_and_called_in_threads_of_the_loop(kind: str, request: pytest.FixtureRequest) -> None:
    store: Any = aiocache.SimpleMemoryCache()
    if kind == "redis":  # its methods are ordinary functions
        store = redis.asyncio.Redis.from_url(request.getfixturevalue("redis_factory")().url)
    calls: list[int] = []

    @cached(cache=store, namespace="foreign", tags=("x:{x}",))
    async def f(x: int) -> list[int]:
        calls.append(x)
        return [x]

    async def main() -> None:
        cache = f.cache
        assert [await f(1), await f(1), calls] == [[1], [1], [1]]
        assert await cache.awaited(cache.set, ("a", 1)) is True
        assert await cache.awaited(cache.inc, ("a",)) == 2
        assert await cache.awaited(cache.get_many, ("a", "b")) == [2, None]
        await asyncio.to_thread(uncache_tag, "x:1", store)
        assert await f.peek(1) is MISSING
        if kind == "redis":
            await store.aclose()

    asyncio.run(main())


def test_a_loop_that_has_ended_is_told_of() -> None:
    cache = ForeignCache(AsyncStore())
    asyncio.run(cache.awaited(cache.set, ("a", 1)))
    with pytest.raises(BackendUnavailable, match="the event loop that it is used in has ended"):
        cache.get("a")


class Slow(AsyncStore):
    """An object whose `set` takes until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go, self.deleted = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def set(self, key: str, value: Any) -> None:
        if not key.startswith(("#", "all")):
            self.entered.set()
            await self.go.wait()
        await super().set(key, value)

    async def delete(self, key: str) -> None:
        await super().delete(key)
        self.deleted.set()


def test_a_lease_that_came_for_a_cancelled_caller_is_given_back() -> None:
    async def main() -> None:
        store = Slow()

        @cached(cache=store, namespace="foreign", wait=0.05)
        async def f(x: int) -> str:
            return "computed"

        caller = asyncio.create_task(f(1))
        await store.entered.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        store.go.set()
        await store.deleted.wait()
        assert f.key(1) not in store.data
        assert await f(1) == "computed"
        assert f.info().stored == 1

    asyncio.run(main())


def test_tasks_that_ask_at_once_are_served_by_one() -> None:
    calls: list[int] = []

    @cached(cache=AsyncStore(), namespace="foreign")
    async def f(x: int) -> int:
        calls.append(x)
        await asyncio.sleep(0)
        return x

    async def main() -> None:
        assert await asyncio.gather(*(f(1) for _ in range(50))) == [1] * 50

    asyncio.run(main())
    assert calls == [1]
