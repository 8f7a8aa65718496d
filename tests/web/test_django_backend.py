"""MemocacheBackend in CACHES: what Django documents of its cache framework, on each of our caches."""

import asyncio
import itertools
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import caches
from django.core.cache.backends.base import CacheKeyWarning
from django.http import HttpResponse
from django.template import engines
from django.test import RequestFactory
from django.test.utils import override_settings
from django.utils.safestring import SafeString
from django.views.decorators.cache import cache_page
from freezegun import freeze_time

from memocache import ConfigurationError
from memocache.errors import SerializationError
from memocache.serializers import PickleSerializer
from tests.support.django_settings import DEFAULTS, configure

configure()

BACKEND = "memocache.web.django.MemocacheBackend"
THRESHOLDS = itertools.count(1000)  # those of one URL share a cache
KINDS = ["memory", "memcached", "redis", "sqlite"]


@pytest.fixture(params=KINDS)
def location(request: pytest.FixtureRequest, shared_url: Callable[[str], str]) -> str:
    if request.param == "memory":
        return f"memory://?threshold={next(THRESHOLDS)}"
    return "tiered+" + shared_url("redis") if request.param == "tiers" else shared_url(request.param)


class Configured:
    """Gives Django a cache, and takes it away again."""

    def __init__(self) -> None:
        self._overrides: list[override_settings] = []

    def __call__(self, location: object, alias: str = "default", **params: Any) -> Any:
        others = {**DEFAULTS["CACHES"], **({} if not self._overrides else dict(caches.settings))}
        override = override_settings(CACHES={**others, alias: {"BACKEND": BACKEND, "LOCATION": location, **params}})
        override.enable()
        self._overrides.append(override)
        return caches[alias]

    def end(self) -> None:
        for override in reversed(self._overrides):
            override.disable()


@pytest.fixture
def configured() -> Iterator[Configured]:
    made = Configured()
    yield made
    made.end()


@pytest.fixture
def cache(location: str, configured: Configured) -> Any:
    return configured(location)


def test_get_set_add_delete(cache: Any) -> None:
    assert cache.get("key") is None
    assert cache.get("key", "default") == "default"
    assert cache.set("key", "value") is None
    assert cache.get("key") == cache.get("key", "default") == "value"
    assert cache.add("key", "other") is False
    assert cache.get("key") == "value"
    assert cache.add("new", [1, {"a": (2.5, b"x")}]) is True
    assert cache.get("new") == [1, {"a": (2.5, b"x")}]
    assert (cache.delete("key"), cache.delete("key"), "key" in cache) == (True, False, False)


@pytest.mark.parametrize(
    "value", [None, "", 0, False, "memocache:", "memocache:None", "memocache:=x", "memocache:=memocache:None"], ids=repr
)
def test_every_value_is_one(cache: Any, value: object) -> None:
    cache.set("key", value)
    assert cache.get("key", "default") == value
    assert type(cache.get("key", "default")) is type(value)
    assert cache.get_many(["key", "no"]) == {"key": value}
    assert cache.has_key("key")
    assert cache.add("key", "other") is False
    assert cache.get_or_set("key", "other") == value


def test_many(cache: Any) -> None:
    assert cache.set_many({"a": 1, "b": None, "c": 3}) == []
    assert cache.get_many(["a", "b", "c", "d"]) == {"a": 1, "b": None, "c": 3}
    assert cache.delete_many(["a", "c", "d"]) is None
    assert cache.get_many(iter(["a", "b"])) == {"b": None}
    assert cache.set_many({"a": 1}, timeout=0) == []
    assert cache.get_many(["a"]) == {}


def test_counting(cache: Any) -> None:
    cache.set("n", 41)
    assert [cache.incr("n"), cache.incr("n", 10), cache.decr("n"), cache.decr("n", 51)] == [42, 52, 51, 0]
    assert cache.get("n") == 0
    for count in (cache.incr, cache.decr):
        with pytest.raises(ValueError, match="Key 'none' not found"):
            count("none")
    assert "none" not in cache


def test_timeouts(cache: Any, configured: Configured) -> None:
    with freeze_time("2030-01-01") as clock:
        cache.set("default", 1)
        cache.set("short", 1, 10)
        cache.set("ever", 1, None)
        cache.set("zero", 1, 10)
        cache.set("zero", 1, 0)
        cache.set("negative", 1, -1)
        assert cache.add("never", 1, 0) is True
        assert [key in cache for key in ("zero", "negative", "never")] == [False] * 3
        clock.tick(11)
        assert [key in cache for key in ("default", "short", "ever")] == [True, False, True]
        clock.tick(290)
        assert [key in cache for key in ("default", "ever")] == [False, True]
        clock.tick(86_400 * 365)
        assert cache.get("ever") == 1


def test_touch(cache: Any) -> None:
    with freeze_time("2030-01-01") as clock:
        cache.set("key", None, 10)
        assert cache.touch("key", 60) is True
        clock.tick(50)
        assert "key" in cache
        assert cache.touch("key", None) is True
        clock.tick(1000)
        assert cache.touch("key") is True
        clock.tick(301)
        assert (cache.touch("key"), "key" in cache) == (False, False)
        cache.set("key", 1)
        assert (cache.touch("key", 0), cache.touch("key", 0), "key" in cache) == (True, False, False)


def test_timeout_prefix_version_and_key_function(location: str, configured: Configured) -> None:
    one = configured(location, "one", TIMEOUT=None, KEY_PREFIX="p", VERSION=2)
    two = configured(location, "two", TIMEOUT=5, KEY_FUNCTION=f"{__name__}.own_key")
    with freeze_time("2030-01-01") as clock:
        one.set("key", 1)
        two.set("key", 2)
        assert (one.get("key"), one.get("key", version=1), two.get("key")) == (1, None, 2)
        assert (one.cache.get("p:2:key"), two.cache.get("own-key")) == (1, 2)
        assert one.cache is two.cache
        assert one.incr_version("key") == 3
        assert (one.get("key"), one.get("key", version=3), one.decr_version("key", version=3)) == (None, 1, 2)
        clock.tick(86_400)
        assert (one.get("key"), two.get("key")) == (1, None)


def own_key(key: str, key_prefix: str, version: int) -> str:
    return f"own-{key}{key_prefix}"


def test_clear(location: str, configured: Configured, request: pytest.FixtureRequest) -> None:
    if "memcached" in location:
        location = f"memcached://{request.getfixturevalue('own_memcached').address}"
    cache = configured(location)
    cache.set("key", 1)
    assert (cache.clear(), "key" in cache) == (None, False)


def test_in_coroutines(cache: Any) -> None:
    async def main() -> list[Any]:
        await cache.aset("a", 1)
        return [
            await cache.aget("a"),
            await cache.aget("b", "default"),
            await cache.aadd("a", 2),
            await cache.aincr("a", 4),
            await cache.adecr("a"),
            await cache.aset_many({"b": None, "c": 3}, 60),
            await cache.aget_many(["a", "b", "x"]),
            await cache.ahas_key("b"),
            await cache.atouch("a", 60),
            await cache.adelete("a"),
            await cache.adelete_many(["c"]),
            await cache.aget_many(["a", "b", "c"]),
            await cache.aget_or_set("d", lambda: 5),
        ]

    expected = [1, "default", False, 5, 4, [], {"a": 4, "b": None}, True, True, True, None, {"b": None}, 5]
    assert asyncio.run(main()) == expected


def test_all_threads_share_one_cache(cache: Any, location: str) -> None:
    cache.set("key", "value")
    seen: list[Any] = []

    def look() -> None:
        seen.extend(
            [caches["default"] is not cache, caches["default"].cache is cache.cache, caches["default"].get("key")]
        )

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [True, True, "value"]


@pytest.mark.parametrize("location", [kind for kind in KINDS if kind != "memory"], indirect=True)
def test_all_processes_share_one_cache(cache: Any, location: str) -> None:
    cache.set("key", [1])
    source = f"""
        from django.conf import settings
        settings.configure(CACHES={{"default": {{"BACKEND": {BACKEND!r}, "LOCATION": {location!r}}}}})
        from django.core.cache import cache
        print(cache.get("key"), cache.incr("n") if "n" in cache else cache.add("n", 1))
        cache.set("key", [2])
    """
    for printed in ("[1] True", "[2] 2"):
        run = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, check=True, timeout=60
        )
        assert run.stdout.strip() == printed
    assert cache.get("key") == [2]


def test_keys_that_other_backends_do_not_take_are_warned_of(cache: Any) -> None:
    with pytest.warns(CacheKeyWarning):
        cache.set("a key", 1)
    with pytest.warns(CacheKeyWarning):
        assert cache.get("a key") == 1
    with pytest.warns(CacheKeyWarning):
        cache.set("k" * 300, 2)
    with pytest.warns(CacheKeyWarning):
        assert cache.get("k" * 300) == 2


def test_options(configured: Configured) -> None:
    assert "threshold=7," in repr(configured("memory://", "a", OPTIONS={"MAX_ENTRIES": 7, "CULL_FREQUENCY": 2}).cache)
    assert "threshold=8," in repr(configured("memory://", "b", OPTIONS={"threshold": 8, "MAX_ENTRIES": 7}).cache)
    with pytest.raises(ConfigurationError):
        configured("memory://", "c", OPTIONS={"thresholds": 8})


@pytest.mark.parametrize("given", ["", "127.0.0.1:11211", ["memcached://10.0.0.1"], None], ids=repr)
def test_a_location_is_a_url(configured: Configured, given: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^CACHES has a MemocacheBackend whose LOCATION is a .* and no URL"):
        configured(given)


def test_pickles_only_by_name(configured: Configured, tmp_path: Any) -> None:
    view = cache_page(60)(lambda request: HttpResponse("page"))
    url = f"sqlite:///{tmp_path}/cache.sqlite"
    configured(url)
    with pytest.raises(SerializationError):
        view(RequestFactory().get("/"))
    configured(f"{url}-pickled", OPTIONS={"serializer": PickleSerializer("a secret of 32 bytes and some more")})
    assert [view(RequestFactory().get("/")).content for _ in range(2)] == [b"page", b"page"]


@pytest.mark.parametrize("location", [*KINDS, "tiers"], indirect=True)
def test_each_caller_has_a_value_of_its_own(cache: Any) -> None:
    value = [1]
    cache.set("set", value)
    cache.add("add", value)
    cache.set_many({"many": value})
    value.append(2)
    keys = ["set", "add", "many"]
    for key in keys:
        cache.get(key).append(3)
        cache.get_many(keys)[key].append(4)
    assert cache.get_many(keys) == {key: [1] for key in keys}


def test_no_visitor_has_the_cookie_of_another(configured: Configured) -> None:
    configured(f"memory://?threshold={next(THRESHOLDS)}")
    view = cache_page(60)(lambda request: HttpResponse("page"))
    view(RequestFactory().get("/")).set_cookie("session", "of Ann")  # as a middleware does it
    found = view(RequestFactory().get("/"))
    assert "Age" in found.headers
    assert not found.cookies


def test_what_is_in_process_is_kept_as_django_keeps_it(configured: Configured) -> None:
    cache = configured(f"memory://?threshold={next(THRESHOLDS)}")
    cache.set("key", range(3))
    assert cache.get("key") == range(3)
    with pytest.raises(SerializationError, match="pickle cannot keep"):
        cache.set("key", threading.Lock())


def test_the_cache_tag_of_templates_keeps_markup(cache: Any) -> None:
    source = "{% load cache %}{% cache 60 menu %}<b>{{ name }}</b>{% endcache %}"
    template = engines["django"].from_string(source)
    assert [template.render({"name": name}) for name in ("<one>", "two")] == ["<b>&lt;one&gt;</b>"] * 2


@pytest.mark.parametrize("text", ["<b>", "", "memocache:", "memocache:safe=", "memocache:safe=<b>", "memocache:None"])
def test_markup_is_markup_and_text_is_text(cache: Any, text: str) -> None:
    cache.set_many({"markup": SafeString(text), "text": text})
    found = cache.get_many(["markup", "text"])
    assert found == {"markup": text, "text": text}
    assert [type(found[key]) for key in ("markup", "text")] == [SafeString, str]
    assert type(cache.get("markup")) is SafeString
