"""Places: where a function's entries are, on the cache in use and on those that were."""

import threading
from collections.abc import Callable
from typing import Final

from memocache._entry import Aliases
from memocache._place import Place
from memocache._registry import as_cache
from memocache._slots import CacheSource, Slot
from memocache.backends.base import Cache
from memocache.errors import ConfigurationError

__all__ = ["Places"]

MOST: Final = 16


class Places:
    """A function's places on the caches that it has used; the *aliases* lead to entries of the one in use.

    Args:
        title: what the function is called in messages.
        source: where the function's cache comes from.
        aliases: the function's shortcut, if it has one.
        make: returns a new place on a cache.
        get_ready: is told of a place that is not ready before the first call there.
    """

    __slots__ = (
        "_aliases",
        "_get_ready",
        "_is_fixed",
        "_latest",
        "_lock",
        "_make",
        "_source",
        "_title",
        "known",
        "settled",
    )

    def __init__(
        self,
        title: str,
        source: CacheSource,
        aliases: Aliases | None,
        make: Callable[[Cache], Place],
        get_ready: Callable[[Place], None],
    ) -> None:
        self._title = title
        self._source = source
        self._is_fixed = isinstance(source, Cache) or (isinstance(source, Slot) and source.is_fixed)
        self._aliases = aliases
        self._make = make
        self._get_ready = get_ready
        # One is all most functions ever have; a default cache for each test, or cache= as a function, makes more.
        self.known: tuple[Place, ...] = ()
        self._latest: Place | None = None  # unless each call asks for its cache
        self.settled: Place | None = None
        """The one in use, once it will not be another any more."""
        self.start_anew()

    def start_anew(self) -> None:
        """Have a lock that nobody holds: in the beginning, and in a process that was forked while anybody may have."""
        self._lock = threading.RLock()

    def current(self) -> Place:
        """Return the place on the cache that the function uses now."""
        if self.settled is not None:
            return self.settled
        place, slot = self._latest, self._source
        if place is not None and isinstance(slot, Slot) and not slot.is_chosen:
            site = place.site
            if site.cache is slot.cache and (self._aliases is None or self._aliases.source is site.near):
                return place
        place = self._found()
        if self._is_fixed:
            self.settled = place
        elif isinstance(slot, Slot):
            self._latest = place
        return place

    def _found(self) -> Place:
        source = self._source
        if isinstance(source, Slot):
            place = source.use(self.on)
        elif isinstance(source, Cache):
            place = self.on(source)
        else:
            returned = source()
            cache = as_cache(returned)
            if cache is None:
                raise ConfigurationError(
                    f"{self._title}: the function given as cache= returned a {type(returned).__name__}; "
                    "wanted: a cache object"
                )
            place = self.on(cache)
        if not place.is_ready:
            self._get_ready(place)
        return place

    def on(self, cache: Cache) -> Place:
        """Return the place on *cache*, which is the one in use from now on."""
        place = self._known_on(cache)
        if place is None:
            with self._lock:
                place = self._known_on(cache)
                if place is None:
                    place = self._make(cache)
                    self.known = (*self.known, place)[-MOST:]
        if self._aliases is not None and self._aliases.source is not cache.near:
            self._aliases.lead_to(cache.near)
        return place

    def _known_on(self, cache: Cache) -> Place | None:
        for place in self.known:
            if place.site.cache is cache:
                return place
        return None
