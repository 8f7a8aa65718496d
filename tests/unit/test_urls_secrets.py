"""No password and no secret is ever shown: not in an error, a traceback, a log or a repr; malformed URLs included."""

import logging
import traceback
from collections.abc import Callable

import pytest

from memocache import (
    BackendError,
    ConfigurationError,
    MemcachedCache,
    PickleSerializer,
    SQLiteCache,
    cache_from_url,
    cached,
    configure,
    default_cache,
)
from memocache.backends.urls import SCHEMES, SHARED_OPTIONS, Recipe, Url, secrets

CANARY = "canary7f3a"
LONG = f"{CANARY}-with-16-bytes-or-more"

SPELT = [
    "{scheme}://user:{canary}@host",
    "{scheme}://:{canary}@host:6379/0",
    "{scheme}://{canary}@host",
    "{scheme}://:{canary}",
    "{scheme}://:{canary}/x",
    "{scheme}://:{canary}?x",
    "{scheme}://user:{canary}/x@host",
    "{scheme}://user:1/{canary}@host",
    "{scheme}://user:x?{canary}@host",
    "{scheme}://user:x?y={canary}@host/0",
    "{scheme}://user:1?{canary}=z@host/0",
    "{scheme}://user:x#{canary}@host/0",
    "{scheme}://user:x {canary}@host/0",
    "{scheme}://user:{canary}@host:port/0",
    "{scheme}://user:{canary}@host:99999999",
    "{scheme}://user:{canary}@[host",
    "{scheme}://user:{canary}@host/path/that/is/none",
    "{scheme}://user:{canary}@host?unknown=1",
    "{scheme}://user:{canary}@host?default_timeout=never",
    "{scheme}://user:%ZZ{canary}@host",
    "{scheme}://host?secret={canary}",
    "{scheme}://host?secret={canary}&unknown=1",
    "{scheme}://host?default_timeout=x&secret={canary}",
    "{scheme}://host?secret={canary}&default_timeout=-5",
    "{scheme}:/user:{canary}@host",
    "{scheme}//:{canary}@host",
    "{scheme}:{canary}",
    ":{canary}@host",
    "user:{canary}@host",
    "host?secret={canary}",
    "un{scheme}://user:{canary}@host",
    "tiered+{scheme}://user:{canary}@host?near_timeout=x",
    "tiered+{scheme}://user:{canary}@host?near_unknown=x",
]


def shown(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize("scheme", [*(scheme for scheme in SCHEMES if scheme != "tiered+"), "nonsense"])
@pytest.mark.parametrize("spelt", SPELT)
def test_no_error_shows_a_password(
    scheme: str, spelt: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    url = spelt.format(scheme=scheme, canary=CANARY)

    def by_environment() -> object:
        monkeypatch.setattr("memocache._current.default.cache", None)
        monkeypatch.setenv("MEMOCACHE_URL", url)
        return default_cache()

    calls: list[Callable[[], object]] = [
        lambda: cache_from_url(url),
        lambda: cache_from_url(url, default_timeout=5),
        lambda: cached(cache=url)(shown),
        lambda: configure(url),
        lambda: configure(sessions=url),
        by_environment,
        lambda: Url(url),
    ]
    with caplog.at_level(logging.DEBUG):
        for call in calls:
            try:
                assert CANARY not in repr(call())
            except ConfigurationError as error:
                assert CANARY not in shown(error)  # noqa: PT017
    assert CANARY not in caplog.text


@pytest.mark.parametrize("call", [cached, SQLiteCache, MemcachedCache, lambda url: MemcachedCache([url])])
def test_no_error_shows_a_url_that_is_in_the_wrong_place(call: Callable[[str], object]) -> None:
    with pytest.raises(ConfigurationError) as refused:
        call(f"redis://user:{CANARY}@host")
    assert CANARY not in shown(refused.value)


@pytest.mark.parametrize(
    "spelt", ["memcached://127.0.0.1:1?secret={}", "memcached://127.0.0.1:1?secret={0}&secret=x{0}"]
)
def test_a_cache_that_fails_does_not_show_its_secret(spelt: str, caplog: pytest.LogCaptureFixture) -> None:
    url = spelt.format(LONG)
    with caplog.at_level(logging.DEBUG):
        f = cached(cache=url, namespace="f")(str.upper)
        assert f("x") == "X"
        for call in (f.uncache, f.cache.get):
            with pytest.raises(BackendError) as failed:
                call("x")
            assert CANARY not in shown(failed.value)
    assert caplog.records
    assert CANARY not in caplog.text
    things = [f, f.cache, f.info(), vars(f.cache), PickleSerializer(LONG), MemcachedCache(secret=[LONG])]
    things += [Url(url), Recipe(MemcachedCache, MemcachedCache.url_arguments(Url(url)))]
    assert CANARY not in repr(things)


def test_the_option_that_holds_a_secret_is_one_that_is_not_shown() -> None:
    assert SHARED_OPTIONS["secret"] is secrets
