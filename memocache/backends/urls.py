"""URLs of caches: cache_from_url, the schemes and the class that each stands for, and the options in a URL.

No error shows any part of a URL that may be a password, which in a malformed one is nearly every part.
"""

import copy
import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from memocache._policy import seconds
from memocache._signature import signature_of
from memocache.backends.base import Cache
from memocache.errors import ConfigurationError, with_article

__all__ = [
    "SHARED_OPTIONS",
    "OptionType",
    "Recipe",
    "Url",
    "boolean",
    "cache_from_url",
    "choice",
    "duration",
    "integer",
    "recipe_for",
    "secrets",
    "suggestion",
    "text",
    "tier_arguments",
]

OptionType: TypeAlias = Callable[[str, str], Any]
"""Reads an option of a URL: takes its name and text and returns its value; ConfigurationError if it is none."""

REDIS: Final = "memocache.backends.redis:RedisCache"
TIERED: Final = "tiered+"

SCHEMES: Final = {
    "memory": "memocache.backends.simple:SimpleCache",
    "memcached": "memocache.backends.memcached:MemcachedCache",
    "memcacheds": "memocache.backends.memcached:MemcachedCache",  # TLS
    "redis": REDIS,
    "rediss": REDIS,
    "redis+cluster": REDIS,
    "rediss+cluster": REDIS,
    "redis+sentinel": REDIS,
    "rediss+sentinel": REDIS,
    "unix": REDIS,
    "sqlite": "memocache.backends.sqlite:SQLiteCache",
    "gae": "memocache.backends.gae:GAEMemcachedCache",
    "null": "memocache.backends.null:NullCache",
    TIERED: "memocache.backends.tiered:TieredCache",  # before the scheme of the far tier
}

# Compiled when there is a URL: most processes have none.
URL_PATTERN: Final = r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#\s]*)([^?#\s]*)(?:\?([^#\s]*))?"
HOST_PATTERN: Final = r"(?:\[([0-9A-Fa-f:.%]+)\]|([^:\[\]%]+))(?::([0-9]{1,5}))?"  # [::1]:11211 as well
ARGUMENT_NAMES: Final = {"prefix": "key_prefix"}


def cache_from_url(url: str, **options: Any) -> Cache:
    """Return a new cache as *url* describes it.

    The scheme says which: `memory://`, `memcached://host:port,host:port`, ...; the query has the options that the class
    takes as arguments, durations as seconds or as text such as "5m". In user names, passwords, paths and options, %xx
    stands for a byte. `tiered+` in front of a shared cache's scheme puts a near tier before it, whose options begin
    with `near_`: "tiered+redis://10.0.0.1?prefix=app&near_timeout=5".

    >>> cache_from_url("memory://?threshold=1000&default_timeout=5m")
    SimpleCache(threshold=1000, default_timeout=300)

    Args:
        url: the URL. No part of it that may be a password is shown in an error.
        options: arguments of the class for which a URL has no words, such as `serializer=`; they go before the URL's.

    Raises:
        ConfigurationError: for a scheme or an option that there is not, and for options that cannot work.
    """
    cache: Cache = recipe_for(Url(url)).make(**options)
    return cache


class Url:
    """A cache's URL: "scheme://user:password@host:port,host:port/path?option=value&option=value".

    In user, password, path and options, %xx stands for a byte; a + is a +.

    With *must_exist*, as for whoever only looks at a cache, a file that is not there is an error, and is not made.
    """

    __slots__ = ("_query", "hosts", "must_exist", "password", "path", "scheme", "user")

    def __init__(self, url: str, *, must_exist: bool = False) -> None:
        self.must_exist = must_exist
        if not isinstance(url, str):
            raise ConfigurationError(f"a cache's URL is a text, and this is {with_article(type(url))}")
        match = re.fullmatch(URL_PATTERN, url)
        if match is None:
            raise ConfigurationError(
                "a cache's URL has the form scheme://host:port/path?option=value, without spaces, such as "
                "redis://127.0.0.1:6379/0?prefix=shop: or sqlite:///tmp/shop/cache.db; "
                "in a user name, a password or an option, write %23 for #, %20 for a space"
            )
        self.scheme = match[1].lower()
        userinfo, _, hosts = match[2].rpartition("@")
        user, _, password = userinfo.partition(":")
        self.user, self.password, self.path = _unquote(user), _unquote(password), _unquote(match[3])
        query = match[4] or ""
        found = [re.fullmatch(HOST_PATTERN, host) for host in hosts.split(",")] if hosts else []
        if not all(found) or "@" in query or (hosts and "@" in match[3]):
            raise self.error(
                "it cannot be taken apart; addresses are host or host:port, with a comma in between, "
                "and in a user name or a password, write %2F for /, %3A for :, %3F for ?, %40 for @"
            )
        self.hosts: list[tuple[str, int | None]] = [
            (each[1] or each[2], int(each[3]) if each[3] else None) for each in found if each
        ]
        """The hosts and their ports, if these are given."""
        pairs = [pair.partition("=") for pair in query.split("&") if pair]
        self._query = [(_unquote(name), _unquote(value)) for name, _, value in pairs]

    def __repr__(self) -> str:
        return f"<Url {self.scheme}://...>"

    def error(self, problem: str) -> ConfigurationError:
        """Return the error that says what the *problem* with this URL is."""
        return ConfigurationError(f"the cache's URL {self.scheme}://...: {problem}")

    def allow_only(self, *parts: str) -> None:
        """Raise ConfigurationError if there is a user, a password, hosts or a path, and not among *parts*."""
        for part in ("user", "password", "hosts", "path"):
            if part not in parts and getattr(self, part) not in ("", "/", []):
                what = {"hosts": "host", "user": "user name"}.get(part, part)
                raise self.error(f"it has a {what}, which means nothing here")

    def addresses(self, port: int) -> list[tuple[str, int]]:
        """Return the hosts with their ports, *port* where none is given."""
        return [(host, port if given is None else given) for host, given in self.hosts]

    def options(self, types: Mapping[str, OptionType]) -> dict[str, Any]:
        """Return the options, each read by its own of *types*, under the names that a cache's own arguments have."""
        found: dict[str, Any] = {}
        for name, value in self._query:
            kind = types.get(name)
            argument = ARGUMENT_NAMES.get(name, name)
            if kind is None:
                raise self.error(f"there is no option {name!r}{suggestion(name, types)}; there are: {_join(types)}")
            if kind is secrets:
                found.setdefault(argument, []).append(value)
            elif argument in found:
                raise self.error(f"{name}= is given twice")
            else:
                try:
                    found[argument] = kind(name, value)
                except ConfigurationError as error:
                    raise self.error(str(error)) from None
        return found

    def split_off(self, scheme: str, option: str) -> "tuple[Url, Url]":
        """Return this URL without the *scheme* in front and options that start with *option*, and one with these."""
        rest, part = copy.copy(self), copy.copy(self)
        rest.scheme = self.scheme.removeprefix(scheme)
        rest._query = [pair for pair in self._query if not pair[0].startswith(option)]
        part._query = [pair for pair in self._query if pair[0].startswith(option)]
        return rest, part


def _unquote(quoted: str) -> str:
    from urllib.parse import unquote  # not before there is a URL

    return unquote(quoted, errors="surrogateescape")


def _join(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def suggestion(name: str, names: Iterable[str]) -> str:
    """Return the question whether another one of *names* is meant; nothing if none looks like *name*."""
    from difflib import get_close_matches  # not before something is wrong

    return "".join(f" (did you mean {match!r}?)" for match in get_close_matches(name, names, n=1))


# ---- types of options ------------------------------------------------------------------------------------------------


def text(name: str, given: str) -> str:
    """Read any text."""
    return given


def secrets(name: str, given: str) -> str:
    """Read what is not shown; if it is given several times, all of it."""
    return given


def integer(name: str, given: str) -> int:
    """Read a whole number."""
    if not re.fullmatch(r"-?[0-9]{1,18}", given):
        raise ConfigurationError(f"{name}={given!r}; wanted: a whole number")
    return int(given)


def boolean(name: str, given: str) -> bool:
    """Read true or false."""
    words = {"true": True, "1": True, "false": False, "0": False}
    if given.lower() not in words:
        raise ConfigurationError(f"{name}={given!r}; wanted: true or false")
    return words[given.lower()]


def duration(name: str, given: str) -> float:
    """Read seconds as a number, or any text that is a duration."""
    return float(given) if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", given) else seconds(given, name)


def choice(*words: str) -> OptionType:
    """Return the type of an option that is one of *words*."""

    def word(name: str, given: str) -> str:
        if given not in words:
            raise ConfigurationError(f"{name}={given!r}; wanted: {' or '.join(words)}")
        return given

    return word


SHARED_OPTIONS: Final[dict[str, OptionType]] = {
    "prefix": text,
    "default_timeout": duration,
    "compress": choice("zlib", "zstd"),
    "compress_above": integer,
    "secret": secrets,
}
"""The options that all caches outside the process have."""


# ---- from a URL to a cache -------------------------------------------------------------------------------------------


class Recipe:
    """A class of caches and the arguments for one, which may be recipes as well. The cache is made later."""

    __slots__ = ("_arguments", "kind")

    def __init__(self, kind: Any, arguments: dict[str, Any]) -> None:
        self.kind = kind
        self._arguments = arguments

    def make(self, **options: Any) -> Any:
        """Return the cache; *options* are arguments, too, and go before those that are there."""
        known = signature_of(self.kind).parameters
        for name in options:
            if name not in known:
                raise ConfigurationError(
                    f"{self.kind.__name__} has no option {name!r}{suggestion(name, known)}; it has: {', '.join(known)}"
                )
        arguments = {**self._arguments, **options}
        return self.kind(
            **{name: value.make() if isinstance(value, Recipe) else value for name, value in arguments.items()}
        )


def recipe_for(url: Url) -> Recipe:
    """Return what makes the cache of *url*; ConfigurationError if that can be none."""
    scheme = TIERED if url.scheme.startswith(TIERED) else url.scheme
    known = [name for name, target in SCHEMES.items() if _has_module(target)]
    if scheme not in known:
        known_schemes = ", ".join(name if name == TIERED else f"{name}://" for name in known)
        raise url.error(f"there is no such scheme{suggestion(scheme, known)}; there are: {known_schemes}")
    module, _, name = SCHEMES[scheme].partition(":")
    kind: type[Cache] = getattr(importlib.import_module(module), name)
    return Recipe(kind, kind.url_arguments(url))


def tier_arguments(url: Url) -> dict[str, Any]:
    """Return the two tiers of *url* as recipes, and the near timeout, by the names that TieredCache has for them."""
    far, near = url.split_off(TIERED, "near_")
    options = near.options({"near_timeout": duration, "near_threshold": integer})
    threshold = options.pop("near_threshold", None)
    memory = Url("memory://" if threshold is None else f"memory://?threshold={threshold}")
    return {"near": recipe_for(memory), "far": recipe_for(far), **options}


def _has_module(target: str) -> bool:
    """Return whether the module of *target* is there; what that needs itself is missed when a cache is made."""
    import importlib.util  # not before there is a URL

    return importlib.util.find_spec(target.partition(":")[0]) is not None
