"""cache_from_url, and MEMOCACHE_URL: what a URL stands for, and how a wrong one is refused."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from memocache import Cache, ConfigurationError, MemcachedCache, SimpleCache, cache_from_url, cached, default_cache
from memocache.backends import urls
from memocache.backends.urls import SCHEMES, Url, choice, duration, integer, recipe_for, secrets, text
from tests.support.servers import MemcachedServer

CANNOT = (
    "it cannot be taken apart; addresses are host or host:port, with a comma in between, "
    "and in a user name or a password, write %2F for /, %3A for :, %3F for ?, %40 for @"
)
NO_FORM = (
    "a cache's URL has the form scheme://host:port/path?option=value, without spaces, such as "
    "redis://127.0.0.1:6379/0?prefix=shop: or sqlite:///tmp/shop/cache.db; "
    "in a user name, a password or an option, write %23 for #, %20 for a space"
)


def refusal(call: Callable[..., object], *args: Any, **options: Any) -> str:
    with pytest.raises(ConfigurationError) as refused:
        call(*args, **options)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    return str(refused.value)


# ---- what they stand for ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory://", "SimpleCache(threshold=500, default_timeout=300)"),
        ("memory:///", "SimpleCache(threshold=500, default_timeout=300)"),
        ("MEMORY://?threshold=1000&default_timeout=60", "SimpleCache(threshold=1000, default_timeout=60)"),
        ("memory://?default_timeout=1h30m&", "SimpleCache(threshold=500, default_timeout=5400)"),
        ("memory://?default_timeout=0", "SimpleCache(threshold=500, default_timeout=0)"),
        ("memory://?default_timeout=0.5", "SimpleCache(threshold=500, default_timeout=0.5)"),
        ("memcached://", "MemcachedCache([127.0.0.1:11211], default_timeout=300, key_prefix='')"),
        (
            "memcached://10.0.0.1:11211,cache,[::1]:5?prefix=app&default_timeout=60",
            "MemcachedCache([10.0.0.1:11211, cache:11211, ::1:5], default_timeout=60, key_prefix='app')",
        ),
        (
            "memcached:///run/mem%20cached.sock?prefix=a+b%3A",
            "MemcachedCache([/run/mem cached.sock], default_timeout=300, key_prefix='a+b:')",
        ),
        (
            "tiered+memcached://",
            "TieredCache(SimpleCache(threshold=500, default_timeout=300), "
            "MemcachedCache([127.0.0.1:11211], default_timeout=300, key_prefix=''), near_timeout=5)",
        ),
        (
            "tiered+memcached://h:1,i?near_timeout=1m&prefix=app&near_threshold=7&default_timeout=9",
            "TieredCache(SimpleCache(threshold=7, default_timeout=300), "
            "MemcachedCache([h:1, i:11211], default_timeout=9, key_prefix='app'), near_timeout=60)",
        ),
    ],
)
def test_a_url_stands_for_a_cache(url: str, shown: str) -> None:
    cache = cache_from_url(url)
    assert repr(cache) == shown
    assert cache_from_url(url) is not cache


def test_it_is_the_cache_that_it_says(memcached: MemcachedServer, prefix: str) -> None:
    options = "compress=zlib&compress_above=0&timeout=5s&max_item_size=2000&default_timeout=1m"
    cache = cache_from_url(f"memcached://{memcached.address}?prefix={prefix}&secret=0123456789abcdef&{options}")
    old = MemcachedCache([memcached.address], key_prefix=prefix, secret="0123456789abcdef", timeout=5)
    new = cache_from_url(
        f"memcached://{memcached.address}?prefix={prefix}&secret=fedcba9876543210&secret=0123456789abcdef&timeout=5s"
    )
    assert cache.set("k", ["x"] * 1000)
    assert old.get("k") == new.get("k") == ["x"] * 1000


def test_arguments_for_which_a_url_has_no_words_are_given_beside_it() -> None:
    cache = cache_from_url("memory://?threshold=7&default_timeout=5", default_timeout="1m")
    assert repr(cache) == "SimpleCache(threshold=7, default_timeout=60)"
    assert refusal(cache_from_url, "memory://", treshold=5) == (
        "SimpleCache has no option 'treshold' (did you mean 'threshold'?); it has: threshold, default_timeout"
    )


def test_no_class_is_imported_but_the_one() -> None:
    script = (
        "import sys, memocache; memocache.cache_from_url('memory://'); memocache.cached(cache='memory://'); "
        "print(*sys.modules)"
    )
    run = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert not {"pymemcache", "redis", "sqlite3", "google", "msgspec"} & set(run.stdout.split())
    assert not {target.partition(":")[0] for target in SCHEMES.values()} & set(run.stdout.split()) - {
        "memocache.backends.simple"
    }


def test_every_scheme_that_is_there_makes_a_cache_of_its_class() -> None:
    for scheme, target in SCHEMES.items():
        if urls._has_module(target) and scheme != "tiered+":
            made = recipe_for(Url(f"{scheme}:///tmp/x" if scheme in ("sqlite", "unix") else f"{scheme}://"))
            assert f"{made.kind.__module__}:{made.kind.__name__}" == target
            assert made.kind.url_arguments is not Cache.url_arguments


class NoUrls(SimpleCache):
    """A class that does not know them."""

    @classmethod
    def url_arguments(cls, url: Url) -> dict[str, Any]:
        return super(SimpleCache, cls).url_arguments(url)


def test_a_class_has_no_urls_unless_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCHEMES, "mine", f"{__name__}:NoUrls")
    assert refusal(cache_from_url, "mine://") == (
        "the cache's URL mine://...: NoUrls has no URLs; make the object, NoUrls(...)"
    )


# ---- tiers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "tiered+memcached://?near_timout=5",
            "tiered+memcached://...: there is no option 'near_timout' (did you mean 'near_timeout'?); "
            "there are: near_threshold, near_timeout",
        ),
        (
            "tiered+memcached://?threshold=5",
            "memcached://...: there is no option 'threshold'; there are: compress, compress_above, default_timeout, "
            "max_item_size, prefix, secret, ssl_ca_certs, ssl_ca_path, ssl_certfile, ssl_check_hostname, ssl_keyfile, "
            "ssl_password, timeout",
        ),
        ("tiered+memcached://?near_timeout=x", "tiered+memcached://...: near_timeout='x' is not a duration; wanted: "),
        ("tiered+memcache://", "memcache://...: there is no such scheme (did you mean 'memcached'?); there are: "),
    ],
)
def test_the_options_of_both_tiers_are_checked(url: str, message: str) -> None:
    assert refusal(cache_from_url, url).startswith(f"the cache's URL {message}")


# ---- what is refused -------------------------------------------------------------------------------------------------

THERE = "memory://, memcached://, memcacheds://"


@pytest.fixture
def these_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more schemes than two, whatever there is."""
    monkeypatch.setattr(urls, "_has_module", lambda target: target.endswith((":SimpleCache", ":MemcachedCache")))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", NO_FORM),
        ("memory", NO_FORM),
        ("memory:", NO_FORM),
        ("memory:/x", NO_FORM),
        ("://", NO_FORM),
        ("memory:// ", NO_FORM),
        ("memory://?threshold=5#x", NO_FORM),
        ("memory://\n", NO_FORM),
        (b"memory://", "a cache's URL is a text, and this is a bytes"),
        (None, "a cache's URL is a text, and this is a NoneType"),
        ("memcache://", f"memcache://...: there is no such scheme (did you mean 'memcached'?); there are: {THERE}"),
        ("ftp://x", f"ftp://...: there is no such scheme; there are: {THERE}"),
        ("redis://x", f"redis://...: there is no such scheme; there are: {THERE}"),
        (
            "memory://?treshold=5",
            "memory://...: there is no option 'treshold' (did you mean 'threshold'?); "
            "there are: default_timeout, threshold",
        ),
        ("memory://?threshold=1&threshold=2", "memory://...: threshold= is given twice"),
        ("memory://?threshold=many", "memory://...: threshold='many'; wanted: a whole number"),
        ("memory://?threshold=1.5", "memory://...: threshold='1.5'; wanted: a whole number"),
        ("memory://?threshold", "memory://...: threshold=''; wanted: a whole number"),
        ("memory://host", "memory://...: it has a host, which means nothing here"),
        ("memory:///path", "memory://...: it has a path, which means nothing here"),
        ("memcached://user@host", "memcached://...: it has a user name, which means nothing here"),
        ("memcached://:pass@host", "memcached://...: it has a password, which means nothing here"),
        ("memcached://a:b:c", f"memcached://...: {CANNOT}"),
        ("memcached://a,,b", f"memcached://...: {CANNOT}"),
        ("memcached://a:123456", f"memcached://...: {CANNOT}"),
        ("memcached://a?x=@", f"memcached://...: {CANNOT}"),
        ("memcached://a/b@c", f"memcached://...: {CANNOT}"),
        (
            "memcached://host/socket",
            "memcached://...: it has a host and a path; wanted: host:port,host:port, or /path/to/socket",
        ),
        ("memcached://?compress=gzip", "memcached://...: compress='gzip'; wanted: zlib or zstd"),
        (
            "memcached://?timeout=soon",
            "memcached://...: timeout='soon' is not a duration; wanted: seconds as a number, a timedelta, or text such "
            "as '90s', '5m', '1h30m' or '2d'",
        ),
    ],
)
def test_a_wrong_url_is_refused_also_at_decoration(these_two: None, url: Any, message: str) -> None:
    expected = f"the cache's URL {message}" if "://..." in message.partition(";")[0] else message
    assert refusal(cache_from_url, url) == expected
    if isinstance(url, str) and "://" in url:
        assert refusal(cached, cache=url) == expected


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memory://?threshold=0", "threshold=0; wanted: the most entries the cache may hold, an int from 1"),
        ("memcached://?timeout=0", "timeout=0.0; wanted: seconds above 0 that one command may take"),
    ],
)
def test_what_only_the_cache_itself_knows_is_refused_when_it_is_made(url: str, message: str) -> None:
    f = cached(cache=url)(refusal)
    for call in (lambda: cache_from_url(url), lambda: f(1), f.info):
        with pytest.raises(ConfigurationError) as refused:
            call()
        assert str(refused.value) == message


def test_kinds_of_options() -> None:
    url = Url("x://u%40:p%2F%3A@h?a=%26%3D&b=-5&c=1m&d=yes&e=1&e=%C3%BC&f=+%20")
    assert (url.user, url.password, url.addresses(7)) == ("u@", "p/:", [("h", 7)])
    kinds = {"a": text, "b": integer, "c": duration, "d": choice("yes", "no"), "e": secrets, "f": text}
    assert url.options(kinds) == {"a": "&=", "b": -5, "c": 60.0, "d": "yes", "e": ["1", "ü"], "f": "+ "}
    assert repr(url) == "<Url x://...>"


# ---- the environment -------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    monkeypatch.setattr("memocache._current.default.cache", None)
    return lambda url: monkeypatch.setenv("MEMOCACHE_URL", url)


def test_the_environment_says_which_cache_is_the_default(environment: Callable[[str], None]) -> None:
    f = cached(lambda: object())
    environment("memory://?threshold=77")  # after the decoration, before the first call
    assert f() is f()
    assert repr(default_cache()) == repr(f.cache) == "SimpleCache(threshold=77, default_timeout=300)"
    environment("memory://?threshold=78")
    assert repr(default_cache()) == "SimpleCache(threshold=77, default_timeout=300)"


def test_an_empty_variable_says_nothing(environment: Callable[[str], None]) -> None:
    environment("")
    assert repr(default_cache()) == "SimpleCache(threshold=10000, default_timeout=300)"


def test_what_is_configured_goes_before_the_environment(
    environment: Callable[[str], None], fresh_default: SimpleCache
) -> None:
    from memocache import configure

    environment("nonsense")
    configure(fresh_default)
    assert default_cache() is fresh_default


@pytest.mark.parametrize("url", ["nonsense", "memory://?treshold=5", "memory://?threshold=0", "name"])
def test_a_wrong_variable_is_named(environment: Callable[[str], None], url: str) -> None:
    environment(url)
    f = cached(lambda: 1)
    for call in (default_cache, f, f.uncache, f.info):
        assert refusal(call).startswith("MEMOCACHE_URL in the environment: ")
