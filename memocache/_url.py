"""Url: a cache's URL, taken apart; and Recipe: the cache that it stands for, not made yet.

Whatever is wrong with a URL is told without any part of it that may be a password, which in a malformed one is nearly
every part.
"""

import copy
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from memocache._policy import seconds
from memocache.errors import ConfigurationError

__all__ = ["SHARED", "Kind", "Recipe", "Url", "duration", "one_of", "secrets", "similar", "text", "whole"]

Kind: TypeAlias = Callable[[str, str], Any]
"""Reads an option: from its name and its text to its value; ConfigurationError if it is none."""

# Compiled when there is a URL: most processes have none.
FORM: Final = r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#\s]*)([^?#\s]*)(?:\?([^#\s]*))?"
PLACE: Final = r"(?:\[([0-9A-Fa-f:.%]+)\]|([^:\[\]%]+))(?::([0-9]{1,5}))?"  # [::1]:11211 as well
RENAMED: Final = {"prefix": "key_prefix"}


class Url:
    """A cache's URL: "scheme://user:password@host:port,host:port/path?option=value&option=value".

    In user, password, path and options, %xx stands for a byte; a + is a +.
    """

    __slots__ = ("_query", "password", "path", "places", "scheme", "user")

    def __init__(self, url: str) -> None:
        if not isinstance(url, str):
            raise ConfigurationError(f"a cache's URL is a text, and this is a {type(url).__name__}")
        match = re.fullmatch(FORM, url)
        if match is None:
            raise ConfigurationError(
                "a cache's URL has the form scheme://host:port/path?option=value, without spaces; "
                "in a user name, a password or an option, write %23 for #, %20 for a space"
            )
        self.scheme = match[1].lower()
        userinfo, _, places = match[2].rpartition("@")
        user, _, password = userinfo.partition(":")
        self.user, self.password, self.path = _decoded(user), _decoded(password), _decoded(match[3])
        query = match[4] or ""
        found = [re.fullmatch(PLACE, place) for place in places.split(",")] if places else []
        if not all(found) or "@" in query or (places and "@" in match[3]):
            raise self.refused(
                "it cannot be taken apart; addresses are host or host:port, with a comma in between, "
                "and in a user name or a password, write %2F for /, %3A for :, %3F for ?, %40 for @"
            )
        self.places: list[tuple[str, int | None]] = [
            (each[1] or each[2], int(each[3]) if each[3] else None) for each in found if each
        ]
        """The hosts and their ports, if these are given."""
        pairs = [pair.partition("=") for pair in query.split("&") if pair]
        self._query = [(_decoded(name), _decoded(value)) for name, _, value in pairs]

    def __repr__(self) -> str:
        return f"<Url {self.scheme}://...>"

    def refused(self, problem: str) -> ConfigurationError:
        """Return the error that says what the *problem* with this URL is."""
        return ConfigurationError(f"the cache's URL {self.scheme}://...: {problem}")

    def has_only(self, *parts: str) -> None:
        """Raise ConfigurationError if there is a user, a password, places or a path, and not among *parts*."""
        for part in ("user", "password", "places", "path"):
            if part not in parts and getattr(self, part) not in ("", "/", []):
                what = {"places": "host", "user": "user name"}.get(part, part)
                raise self.refused(f"it has a {what}, which means nothing here")

    def addresses(self, port: int) -> list[tuple[str, int]]:
        """Return the hosts with their ports, *port* where none is given."""
        return [(host, port if given is None else given) for host, given in self.places]

    def options(self, kinds: Mapping[str, Kind]) -> dict[str, Any]:
        """Return the options, read by *kinds*, under the names that a cache's own arguments have."""
        found: dict[str, Any] = {}
        for name, value in self._query:
            kind = kinds.get(name)
            argument = RENAMED.get(name, name)
            if kind is None:
                raise self.refused(f"there is no option {name!r}{similar(name, kinds)}; there are: {_list(kinds)}")
            if kind is secrets:
                found.setdefault(argument, []).append(value)
            elif argument in found:
                raise self.refused(f"{name}= is given twice")
            else:
                try:
                    found[argument] = kind(name, value)
                except ConfigurationError as error:
                    raise self.refused(str(error)) from None
        return found

    def without(self, scheme: str, option: str) -> "tuple[Url, Url]":
        """Return two: without the *scheme* in front and the options that begin with *option*; and with only those."""
        rest, part = copy.copy(self), copy.copy(self)
        rest.scheme = self.scheme.removeprefix(scheme)
        rest._query = [pair for pair in self._query if not pair[0].startswith(option)]
        part._query = [pair for pair in self._query if pair[0].startswith(option)]
        return rest, part


def _decoded(quoted: str) -> str:
    from urllib.parse import unquote  # not before there is a URL

    return unquote(quoted, errors="surrogateescape")


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def similar(name: str, names: Iterable[str]) -> str:
    """Return the question whether another one of *names* is meant; nothing if none looks like *name*."""
    from difflib import get_close_matches  # not before something is wrong

    return "".join(f" (did you mean {match!r}?)" for match in get_close_matches(name, names, n=1))


# ---- kinds of options ------------------------------------------------------------------------------------------------


def text(name: str, given: str) -> str:
    """Read any text."""
    return given


def secrets(name: str, given: str) -> str:
    """Read what is not shown; if it is given several times, all of it."""
    return given


def whole(name: str, given: str) -> int:
    """Read a whole number."""
    if not re.fullmatch(r"-?[0-9]{1,18}", given):
        raise ConfigurationError(f"{name}={given!r}; wanted: a whole number")
    return int(given)


def duration(name: str, given: str) -> float:
    """Read seconds as a number, or any text that is a duration."""
    return float(given) if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", given) else seconds(given, name)


def one_of(*words: str) -> Kind:
    """Return what reads one of some *words*."""

    def word(name: str, given: str) -> str:
        if given not in words:
            raise ConfigurationError(f"{name}={given!r}; wanted: {' or '.join(words)}")
        return given

    return word


SHARED: Final[dict[str, Kind]] = {
    "prefix": text,
    "default_timeout": duration,
    "compress": one_of("zlib", "zstd"),
    "compress_above": whole,
    "secret": secrets,
}
"""The options that all caches outside the process have."""


# ---- the cache -------------------------------------------------------------------------------------------------------


class Recipe:
    """A class of caches and the arguments for one, among which may be recipes. The cache is made later."""

    __slots__ = ("_arguments", "kind")

    def __init__(self, kind: Any, arguments: dict[str, Any]) -> None:
        self.kind = kind
        self._arguments = arguments

    def make(self, **options: Any) -> Any:
        """Return the cache; *options* are arguments, too, and go before those that are there."""
        known = inspect.signature(self.kind).parameters
        for name in options:
            if name not in known:
                raise ConfigurationError(
                    f"{self.kind.__name__} has no option {name!r}{similar(name, known)}; it has: {', '.join(known)}"
                )
        arguments = {**self._arguments, **options}
        return self.kind(
            **{name: value.make() if isinstance(value, Recipe) else value for name, value in arguments.items()}
        )
