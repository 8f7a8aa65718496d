"""GAEMemcachedCache, on the stub of the App Engine SDK: it needs `pip install -e '.[test,gae]'`."""

import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

# It is imported without its warnings, of which it has some: only here, and only while that lasts.
pytest.importorskip("google.appengine.ext.testbed", reason="the App Engine SDK is not installed")
from google.appengine.api import apiproxy_stub_map, memcache, namespace_manager
from google.appengine.ext import testbed
from google.appengine.runtime import apiproxy_errors

from memocache import (
    MISSING,
    BackendUnavailable,
    GAEMemcachedCache,
    SerializationError,
    SimpleCache,
    UncacheFailed,
    ValueTooLarge,
    cache_from_url,
    cached,
    stats,
    uncache_tag,
)
from memocache.backends.base import Cache
from memocache.testing import BackendContract
from memocache.testing._harness import PATIENCE, Gate
from tests.support import race
from tests.support.refusals import refusal
from tests.support.servers import wait_until


@pytest.fixture(autouse=True)
def stub() -> Iterator[Any]:
    """The SDK's own memcache, in this process."""
    bed = testbed.Testbed()
    bed.activate()
    bed.init_memcache_stub()
    stub = bed.get_stub("memcache")
    stub._gettime = lambda: time.time()  # which freezegun moves, and the stub's default argument it does not
    yield stub
    bed.deactivate()


class TestGAEMemcachedCache(BackendContract):
    def make_cache(self) -> Cache:
        return GAEMemcachedCache()

    def make_peer(self, cache: Cache) -> Cache:
        return GAEMemcachedCache()


class TestGAEMemcachedCacheInANamespace(BackendContract):
    def make_cache(self) -> Cache:
        return GAEMemcachedCache(key_prefix="shop:", namespace="tenant-7", client=memcache.Client())

    def make_peer(self, cache: Cache) -> Cache:
        return GAEMemcachedCache(key_prefix="shop:", namespace="tenant-7")


def function(cache: Cache, answer: Any = lambda x: [x]) -> Any:
    calls: list[int] = []

    @cached(cache=cache, namespace="gae", tags=("x:{x}",))
    def f(x: int) -> Any:
        calls.append(x)
        return answer(x)

    f.calls = calls
    return f


# ---- namespaces --------------------------------------------------------------------------------------------------


def test_without_a_namespace_the_one_that_is_set_counts() -> None:
    f = function(GAEMemcachedCache())
    for tenant in ("one", "two", "one", "two"):
        namespace_manager.set_namespace(tenant)
        assert f(1) == [1]
    assert f.calls == [1, 1]
    f.uncache(1)
    namespace_manager.set_namespace("one")
    assert f.peek(1) == [1]
    f.uncache_all()
    assert f.peek(1) is MISSING
    namespace_manager.set_namespace("")


def test_a_namespace_is_the_same_whatever_is_set() -> None:
    f = function(GAEMemcachedCache(namespace="fixed"))
    for tenant in ("one", "two"):
        namespace_manager.set_namespace(tenant)
        f(1)
    namespace_manager.set_namespace("")
    assert f.calls == [1]
    assert memcache.get(f.key(1), namespace="fixed") is not None
    assert memcache.get(f.key(1)) is None


# ---- figures of all instances ------------------------------------------------------------------------------------


def test_figures_are_shared_and_kept_through_an_outage(
    monkeypatch: pytest.MonkeyPatch, stub: Any, only_own_functions: None
) -> None:
    monkeypatch.setattr(stats, "_totals", None)
    cache = GAEMemcachedCache(key_prefix="shop:")
    f = function(SimpleCache())
    f(1), f(1)
    with stats.share(cache, every=3600) as sharing:
        assert sharing.flush()
        with monkeypatch.context() as down:
            Outage(down, stub)
            f(1)
            assert not sharing.flush()
        assert wait_until(sharing.flush)
    (figures,) = [each for each in stats.read(cache) if each.function == "gae"]
    assert (figures.totals.hits, figures.totals.misses) == (2, 1)
    assert sum(minute.calls for minute in figures.minutes) == 3


# ---- what the SDK would hide -------------------------------------------------------------------------------------


class Outage:
    """The service as it is when it is down: each command fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, stub: Any) -> None:
        self.commands = 0
        monkeypatch.setattr(stub, "MakeSyncCall", self._fail)

    def _fail(self, *args: Any, **options: Any) -> None:
        self.commands += 1
        raise apiproxy_errors.ApplicationError(1, "out of order")


def test_an_outage_is_no_miss(monkeypatch: pytest.MonkeyPatch, stub: Any) -> None:
    cache = GAEMemcachedCache()
    f = function(cache)
    f(1)
    outage = Outage(monkeypatch, stub)
    assert memcache.get("a") is None  # as the SDK has it
    with pytest.raises(BackendUnavailable, match="the memcache of App Engine failed: ApplicationError"):
        cache.get("a")
    outage.commands = 0
    assert [f(1) for _ in range(50)] == [[1]] * 50
    assert outage.commands < 10  # it is left alone
    assert f.info().failures == 50
    for forget in (lambda: f.uncache(1), f.uncache_all, lambda: uncache_tag("x:1", cache)):
        with pytest.raises(UncacheFailed, match="out of order"):
            forget()
    for call in (lambda: cache.set("a", 1), cache.clear, lambda: cache.inc("a")):
        with pytest.raises(BackendUnavailable):
            call()


def test_a_command_that_the_server_did_not_do_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = GAEMemcachedCache()
    f = function(cache)
    f(1)
    monkeypatch.setattr(memcache.Client, "delete_multi_async", lambda *args, rpc, **options: Done(None))
    with pytest.raises(UncacheFailed, match="the memcache of App Engine did not delete an item"):
        f.uncache(1)
    monkeypatch.setattr(
        memcache.Client,
        "set_multi_async",
        lambda self, mapping, rpc, **options: Done(dict.fromkeys(mapping, memcache.MemcacheSetResponse.ERROR)),
    )
    with pytest.raises(UncacheFailed, match="the memcache of App Engine did not store an item"):
        f.uncache_all()


class Done:
    """A command that has succeeded, with this answer."""

    def __init__(self, answer: Any) -> None:
        self.get_result = lambda: answer

    def check_success(self) -> None: ...


def test_without_a_service_calls_are_computed() -> None:
    before = apiproxy_stub_map.apiproxy
    apiproxy_stub_map.apiproxy = apiproxy_stub_map.APIProxyStubMap()
    try:
        f = function(GAEMemcachedCache())
        assert f(1) == [1]
        assert f.info().failures == 1
    finally:
        apiproxy_stub_map.apiproxy = before


# ---- values ------------------------------------------------------------------------------------------------------


class Canary:
    loaded = 0

    def __reduce__(self) -> Any:
        return Canary.load, ()

    @classmethod
    def load(cls) -> None:
        cls.loaded += 1


@pytest.mark.parametrize("client", ["module", "client"])
@pytest.mark.parametrize("junk", [Canary(), "text", 5, True, b"bytes", b""], ids=lambda junk: type(junk).__name__)
def test_what_others_put_there_is_a_miss_and_never_unpickled(junk: object, client: str) -> None:
    cache = GAEMemcachedCache(client=memcache if client == "module" else memcache.Client())
    f = function(cache)
    f(1)
    key = f.key(1)
    memcache.set(key, junk)
    assert cache.get(key) is None
    assert f(1) == f(1) == [1]
    assert f.calls == [1, 1]
    assert cache.add("b", 1) is True
    memcache.set("b", junk)
    assert cache.inc("b", 3) == 3
    assert Canary.loaded == 0
    if isinstance(junk, Canary):
        memcache.set("canary", junk)
        memcache.get("canary")
        assert Canary.loaded == 1  # it would have been seen
        Canary.loaded = 0


def test_what_is_too_large_is_said_before_it_is_sent() -> None:
    cache = GAEMemcachedCache()
    large = random.randbytes(1_000_000)
    assert cache.set("a", large[:999_000]) is True
    with pytest.raises(ValueTooLarge, match=r"the value takes 1000\d\d\d bytes, and the memcache of App Engine takes"):
        cache.set("a", large)
    f = function(cache, lambda x: large)
    assert [f(1) == large, f(1) == large, len(f.calls), f.info().failures] == [True, True, 2, 2]
    assert cache.set("a", b"x" * 5_000_000) is True  # compressed, it is small


def test_a_url_stands_for_it() -> None:
    cache = cache_from_url("gae://?namespace=shop&prefix=a%3A&timeout=1s&secret=0123456789abcdef")
    assert repr(cache) == "GAEMemcachedCache(default_timeout=300, key_prefix='a:', namespace='shop')"
    assert cache.set("a", 1) is True
    assert GAEMemcachedCache(60, "a:", namespace="shop", secret="0123456789abcdef").get("a") == 1
    with pytest.raises(SerializationError):
        GAEMemcachedCache(60, "a:", namespace="shop").get("a")


def test_nothing_is_remembered_of_what_was_swapped() -> None:
    cache = GAEMemcachedCache()
    f = function(cache)
    for number in range(100):
        f(number)
    assert cache._service._reading._cas_ids == {}


# ---- options -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"namespace": ""}, "namespace=''; wanted: 1 to 100 letters, digits, '.', '_' or '-', or None"),
        ({"namespace": "a b"}, "namespace='a b'; wanted: 1 to 100 letters, digits, '.', '_' or '-', or None"),
        ({"namespace": 5}, "namespace=5; wanted"),
        ({"timeout": 0}, "timeout=0; wanted: seconds above 0 that one command may take"),
        ({"client": 5}, "client= got an int; wanted: the module google.appengine.api.memcache, or a Client of it"),
        ({"key_prefix": "a b"}, "key_prefix='a b'; wanted"),
    ],
)
def test_options_that_cannot_work_are_refused(options: Any, message: str) -> None:
    assert message in refusal(GAEMemcachedCache, **options)


def test_it_says_what_it_is() -> None:
    assert (
        repr(GAEMemcachedCache(60, "a:", namespace="b"))
        == "GAEMemcachedCache(default_timeout=60, key_prefix='a:', namespace='b')"
    )


# ---- the fence ---------------------------------------------------------------------------------------------------


def test_a_swap_that_another_thread_has_read_for_meanwhile_fails() -> None:
    """The SDK remembers by key what to swap; if threads shared that, the last reading would count for all."""
    cache = GAEMemcachedCache()
    gate = Gate(lambda x, _: "old")
    f = function(cache, lambda x: gate(x, 0) if len(f.calls) == 1 else "new")
    before = gate.hold(f, 1)
    service, key = cache._service, f.key(1)
    data, swap = service.gets(key)
    f.uncache(1)
    assert f(1) == "new"
    service.gets(key)
    assert service.cas(key, data, swap, 60) is False
    gate.open()
    assert before.result(PATIENCE) == "old"
    assert f(1) == "new"


class naive(race.Naive):
    connect = staticmethod(lambda _: memcache)


def ours(compute: race.Compute, _: None) -> race.Runner:
    return race.Ours(compute, GAEMemcachedCache())


def test_no_stale_read_in_eight_threads() -> None:
    with race.quick_switches():
        control = race.in_threads(naive, None, race.Truth(), 1, threads=8)
        tally = race.in_threads(ours, None, race.Truth(), 2, threads=8)
    assert control.stale > 0, "the race is too slow to catch anybody"
    assert tally.stale == 0
    assert 0 < tally.computed < tally.reads
    assert tally.reads > 500
