"""Settings of an application: its cache, under the names that Flask-Caching uses, and rules for all its views."""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from memocache import Cache, cache_from_url
from memocache._hooks import HookedFunction
from memocache.errors import ConfigurationError
from memocache.web._rules import CREDENTIALS, HARMLESS_COOKIES, MORE_STATUSES, STATUSES, ViewRules, is_header_name

FILE: Final = "memocache.sqlite"
Settings = Mapping[str, Any]


def view_rules(
    function: HookedFunction, cookies: tuple[str, ...], statuses: Iterable[int], credentials: Iterable[str]
) -> ViewRules:
    """Return the rules for *function* as a view.

    *cookies* are ignored, *statuses* may be stored, too, and *credentials* are more headers that say who is there.
    """
    return ViewRules(
        vary=function.vary,
        has_key_function=function.has_key_function,
        ignored_cookies=cookies,
        statuses=STATUSES.union(statuses),
        credentials=CREDENTIALS.union(credentials),
    )


def check_settings(
    get: Callable[[str, Any], Any], spell: Callable[[str], str] = "CACHE_{}".format
) -> tuple[tuple[str, ...], tuple[int, ...], tuple[str, ...]]:
    """Return IGNORED_COOKIES, STATUSES and CREDENTIAL_HEADERS, each as *get* finds it by the name that *spell* makes.

    What is not set has its default, which *get* is given, too.

    Raises:
        ConfigurationError: for settings that cannot work.
    """
    name = spell("IGNORED_COOKIES")
    cookies = get(name, HARMLESS_COOKIES)
    if not _is_list(cookies) or not all(isinstance(each, str) for each in cookies):
        raise ConfigurationError(
            f'{name}={cookies!r}; wanted: names of cookies in a list, * and ? standing for anything, such as ["_ga*"]'
        )
    name = spell("STATUSES")
    statuses = get(name, ())
    if not _is_list(statuses) or not all(each in MORE_STATUSES for each in statuses):
        raise ConfigurationError(f"{name}={statuses!r}; wanted: some of 404 and 410, in a list")
    name = spell("CREDENTIAL_HEADERS")
    headers = get(name, ())
    if not _is_list(headers) or not all(map(is_header_name, headers)):
        raise ConfigurationError(
            f"{name}={headers!r}; wanted: names of request headers that say who is there, in a "
            'list, such as ["X-Customer-Key"]'
        )
    return tuple(cookies), tuple(statuses), tuple(each.lower() for each in headers)


def _is_list(value: object) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str | bytes)


def cache_from_settings(settings: Settings) -> Cache | None:
    """Return a new cache as *settings* describe it, by MEMOCACHE_URL or else CACHE_TYPE; None if they describe none.

    Raises:
        ConfigurationError: for an unknown type, and for settings that cannot work.
    """
    url = settings.get("MEMOCACHE_URL")
    if url:
        return cache_from_url(url)
    cache_type = settings.get("CACHE_TYPE")
    if cache_type is None:
        return None
    name = str(cache_type).rpartition(".")[2].lower().removesuffix("cache")
    if name not in TYPES:
        raise ConfigurationError(
            f"CACHE_TYPE={cache_type!r}; there are: SimpleCache, MemcachedCache, RedisCache, FileSystemCache, "
            "NullCache; or give MEMOCACHE_URL, see cache_from_url"
        )
    return TYPES[name](settings, _options(settings, prefixed=name not in ("simple", "null")))


def _options(settings: Settings, *, prefixed: bool) -> dict[str, Any]:
    options = {"default_timeout": settings.get("CACHE_DEFAULT_TIMEOUT", 300)}
    if prefixed:
        options["key_prefix"] = settings.get("CACHE_KEY_PREFIX") or ""
    return {**options, **(settings.get("CACHE_OPTIONS") or {})}


def _simple(settings: Settings, options: dict[str, Any]) -> Cache:
    return cache_from_url("memory://", **{"threshold": settings.get("CACHE_THRESHOLD", 10_000), **options})


def _null(settings: Settings, options: dict[str, Any]) -> Cache:
    return cache_from_url("null://", **options)


def _memcached(settings: Settings, options: dict[str, Any]) -> Cache:
    servers = settings.get("CACHE_MEMCACHED_SERVERS")
    return cache_from_url("memcached://", **({"servers": servers} if servers else {}), **options)


def _redis(settings: Settings, options: dict[str, Any]) -> Cache:
    url = settings.get("CACHE_REDIS_URL")
    if not url:
        host, port = settings.get("CACHE_REDIS_HOST") or "127.0.0.1", settings.get("CACHE_REDIS_PORT") or 6379
        user, password = settings.get("CACHE_REDIS_USERNAME") or "", settings.get("CACHE_REDIS_PASSWORD") or ""
        secret = f"{quote(user, safe='')}:{quote(password, safe='')}@" if password else ""
        host = f"[{host}]" if ":" in host and not host.startswith("[") else host  # IPv6
        url = f"redis://{secret}{host}:{port}/{settings.get('CACHE_REDIS_DB') or 0}"
    return cache_from_url(url, **options)


def _files(settings: Settings, options: dict[str, Any]) -> Cache:
    directory = settings.get("CACHE_DIR")
    if not directory:
        raise ConfigurationError(f"CACHE_TYPE={settings['CACHE_TYPE']!r} needs CACHE_DIR, the directory of its file")
    return cache_from_url("sqlite://" + quote(os.path.join(os.path.abspath(directory), FILE)), **options)


TYPES: Final[dict[str, Callable[[Settings, dict[str, Any]], Cache]]] = {
    "simple": _simple,
    "null": _null,
    "memcached": _memcached,
    "redis": _redis,
    "filesystem": _files,
    "file": _files,
    "sqlite": _files,
}
