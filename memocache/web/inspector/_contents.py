"""Contents: the functions and the entries that the inspector shows, and the ways to forget them. All of it blocks."""

import os
import secrets
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from hashlib import blake2b
from itertools import islice
from typing import Any, Final, NamedTuple, cast

from memocache import Cache, Info, cached_functions, uncache_tag
from memocache._clock import ticks
from memocache._hooks import HookedFunction, function_of
from memocache.errors import BackendError, ConfigurationError
from memocache.stats import read

ON_A_PAGE: Final = 50  # entries
MOST_SEARCHED: Final = 2_000  # for one page
PATIENCE: Final = 2.0  # seconds for one page, and what the cache takes for one answer more


@dataclass(slots=True)
class FunctionFigures:
    """The figures of one function: of all processes if they are shared, else of this one."""

    name: str
    info: Info
    cache: str = ""
    minutes: tuple[Info, ...] = ()
    """The last hour, the oldest minute first; empty where nobody shares figures."""
    slowest: float = 0.0
    """Seconds of the slowest computation; 0 where that is not known."""


class Overview(NamedTuple):
    """The figures of all functions; *about* says whose they are, *troubles* what could not be had."""

    functions: list[FunctionFigures]
    about: str
    troubles: list[str]


class Row(NamedTuple):
    """An entry as the page shows it: *key* names it without telling arguments, and *handle* is what forgets it."""

    key: str
    handle: str
    age: float
    expires_in: float | None
    stale_for: float
    cost: float
    size: int | None


class Entries(NamedTuple):
    """A page of the entries of a function; *following* is where the next one begins, 0 if this is the last."""

    rows: list[Row]
    following: int
    trouble: str
    process: int = 0
    """The process that has them, if no other one has."""


class Contents:
    """The figures and entries of the functions of this process, and of all that *cache* has, if that is given."""

    is_application = True
    """False if the application is elsewhere, so that what this process has counted and stored is of no interest."""

    def __init__(self, cache: Cache | None) -> None:
        self._cache = cache
        self._salt = secrets.token_bytes(16)

    # ---- figures -------------------------------------------------------------------------------------------------

    def functions(self) -> Overview:
        """Return the figures of all functions, those with the most calls first."""
        here: dict[str, list[Info]] = {}
        caches: dict[int, Cache] = {} if self._cache is None else {id(self._cache): self._cache}
        titles: dict[str, str] = {}
        slowest: dict[str, float] = {}
        troubles = []
        for function in cached_functions():
            name = _hooked(function).full_name
            try:
                cache, info, longest = function.cache, function.info(), _hooked(function).slowest
            except Exception as error:  # noqa: BLE001 - of the user's function that finds the cache, or its URL
                troubles.append(f"The cache of {name} cannot be found: {type(error).__name__}")
                continue
            if not (cache.shared or self.is_application):
                continue
            caches[id(cache.far)] = cache
            here.setdefault(name, []).append(info)
            titles[name] = repr(cache)
            slowest[name] = max(longest, slowest.get(name, 0.0))
        found = {
            name: FunctionFigures(name, _sum(infos), titles[name], slowest=slowest[name])
            for name, infos in here.items()
        }
        about = f"Figures of process {os.getpid()} alone" if self.is_application else "No figures are shared"
        for cache in caches.values():
            try:
                shared = read(cache)
            except ConfigurationError:  # it is in this process, or cannot count
                continue
            except BackendError as error:
                troubles.append(f"The figures that processes share cannot be read: {error}")
                continue
            about = "Figures of all processes" if shared else about
            for each in shared:
                errors = found[each.function].info.errors if each.function in found else {}
                info = _sum([each.totals, Info(errors=errors)])
                title = titles.get(each.function, repr(cache))
                found[each.function] = FunctionFigures(each.function, info, title, each.minutes, each.slowest)
        if self._cache is not None and not found:
            found = self._found_in(self._cache, troubles)
        return Overview(sorted(found.values(), key=lambda each: (-each.info.calls, each.name)), about, troubles)

    def _found_in(self, cache: Cache, troubles: list[str]) -> dict[str, FunctionFigures]:
        """Return the functions of some entries, where nobody tells anything of them."""
        try:
            listing = cache.listing(limit=MOST_SEARCHED)
            listing.deadline = ticks() + PATIENCE
            names = Counter(entry.namespace for entry in islice(listing, MOST_SEARCHED))
        except BackendError as error:
            troubles.append(f"What is stored cannot be listed: {error}")
            return {}
        return {
            name: FunctionFigures(name, Info(currsize=number), repr(cache)) for name, number in names.items() if name
        }

    # ---- entries -------------------------------------------------------------------------------------------------

    def entries(self, name: str, search: str, first: int) -> Entries:
        """Return some entries of the function called *name* whose shown keys contain *search*, from the *first* on."""
        process = 0 if all(each.cache.shared for each in self._named(name)) else os.getpid()
        rows: list[Row] = []
        position, deadline = 0, ticks() + PATIENCE
        try:
            for listing, shared in self._listings(name, deadline):
                for entry in listing:
                    position += 1
                    if position <= first:
                        continue
                    key = self._digest(entry.key, shared=shared)
                    if search in key:
                        handle = entry.key if shared else key
                        times = entry.age, entry.expires_in, entry.stale_for, entry.cost
                        rows.append(Row(key, handle, *times, entry.size))
                    if len(rows) == ON_A_PAGE or position == first + MOST_SEARCHED or ticks() > deadline:
                        return Entries(rows, position, "", process)
        except BackendError as error:
            return Entries(rows, 0, str(error))
        slow = f"After {PATIENCE:g} seconds there were still others to go through; these are not all of its entries."
        return Entries(rows, 0, slow if ticks() > deadline else "", process)

    def _listings(self, name: str, deadline: float) -> Iterator[tuple[Any, bool]]:
        """Return the listings of the functions called *name*, each with True if it is of a cache that is shared."""
        found = [(_hooked(each).listing(sys.maxsize), each.cache.shared) for each in self._named(name)]
        if not found and self._cache is not None:
            found = [(self._cache.listing(name, sys.maxsize), self._cache.shared)]
        for listing, shared in found:
            listing.deadline = deadline
            yield listing, shared

    def _digest(self, key: str, *, shared: bool) -> str:
        """Return what is shown for a *key*: of a *shared* cache the digest at its end, with the version.

        In this process there may be arguments in it, so that the page has a digest of its own.
        """
        if shared:
            return key.rpartition(":")[2]
        return blake2b(key.encode("utf-8", "surrogatepass"), key=self._salt, digest_size=10).hexdigest()

    # ---- forgetting ----------------------------------------------------------------------------------------------

    def forget_entry(self, name: str, handle: str) -> bool:
        """Forget the call of the function called *name* whose entry has this *handle*; True if it was there."""
        existed = False
        for listing, shared in self._listings(name, ticks() + PATIENCE):
            if shared:  # not looked for: memcached leaves out of its list what is just being read
                existed = listing.forget(handle) or existed
                continue
            for entry in listing:
                if self._digest(entry.key, shared=False) == handle:
                    existed = listing.forget(entry.key) or existed
                    break
        return existed

    def forget_function(self, name: str) -> list[Any]:
        """Forget every call of the functions called *name*; return what has to be awaited for that."""
        named = self._named(name)
        if not named and self._cache is not None:
            self._cache.listing(name, 0).forget_all()
        return [function.uncache_all() for function in sorted(named, key=lambda each: _hooked(each).is_async)]

    def forget_tag(self, tag: str) -> None:
        """Forget every call that has *tag*."""
        try:
            uncache_tag(tag)
        finally:
            if self._cache is not None:
                uncache_tag(tag, self._cache)

    def _named(self, name: str) -> list[Any]:
        return [function for function in cached_functions() if _hooked(function).full_name == name]


def _hooked(function: Any) -> HookedFunction:
    return cast(HookedFunction, function_of(function))


def _sum(infos: Iterable[Info]) -> Info:
    """Return the sums of the figures in *infos*."""
    sums: dict[str, Any] = {}
    errors = Counter[str]()
    for info in infos:
        errors.update(info.errors)
        for each in fields(Info):
            value = getattr(info, each.name)
            if each.name != "errors" and value is not None:
                sums[each.name] = sums.get(each.name, 0) + value
    return Info(**sums, errors=errors)
