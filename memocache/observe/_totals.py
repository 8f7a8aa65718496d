"""Totals: what all functions of this process have counted, by name, for those who send figures elsewhere."""

import weakref
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from memocache import cached_functions

__all__ = ["OUTCOMES", "Labels", "Totals", "labels_of", "system_of"]

COUNTED: Final = ("hits", "stale", "misses", "waits", "evicted", "failures", "seconds_saved")
OUTCOMES: Final = {"hits": "hit", "stale": "stale", "misses": "miss", "waits": "wait"}
"""The outcomes of a call, by the name that `Info` has for how often there was each."""
SYSTEMS: Final = {
    "SimpleCache": "memory",
    "MemcachedCache": "memcached",
    "GAEMemcachedCache": "gae_memcache",
    "RedisCache": "redis",
    "SQLiteCache": "sqlite",
    "TieredCache": "tiered",
    "NullCache": "none",
}


class Labels(NamedTuple):
    """The labels of a figure: the name of the function, and the sort of the cache that it uses."""

    function: str
    system: str


def system_of(cache: Any) -> str:
    """Return the sort of a *cache*, such as "redis"; of somebody else's object, the name of its class."""
    name = type(getattr(cache, "object", cache)).__name__
    return SYSTEMS.get(name, name)


def labels_of(function: str, cache: Any) -> Labels:
    """Return the labels of what an event tells of a *function* and a *cache*, which may be the name of a server."""
    return Labels(function, cache if isinstance(cache, str) else system_of(cache))


class Totals:
    """The sums of all functions by their labels, which only grow: also when a function is gone or counts from zero."""

    def __init__(self) -> None:
        self._last: weakref.WeakKeyDictionary[Any, Mapping[str, float]] = weakref.WeakKeyDictionary()
        self.counts: dict[Labels, Counter[str]] = {}
        """By labels, the sums, under the names that `Info` has for them."""
        self.entries: dict[Labels, int] = {}
        """By labels, how many entries there are now, where the cache is in this process."""

    def read(self) -> dict[Labels, Counter[str]]:
        """Add what has been counted since this was called last, and return just that."""
        self.entries, added = {}, dict[Labels, Counter[str]]()
        for function in cached_functions():
            memoizer = function._self_memoizer
            if not memoizer.bindings.known:  # it was not called yet, and asking would make its cache
                continue
            try:
                info, cache = memoizer.info(), memoizer.binding().cache
            except Exception:  # noqa: BLE001 - of a function given as cache=, which may need a request
                continue
            labels = Labels(memoizer.title, system_of(cache))
            now = {name: getattr(info, name) for name in COUNTED}
            last = self._last.get(memoizer, {})
            if any(now[name] < last.get(name, 0) for name in COUNTED if name != "seconds_saved"):
                last = {}  # it counts from zero since `cache_clear`
            sums = self.counts.setdefault(labels, Counter())
            more = added.setdefault(labels, Counter())
            for name, number in now.items():
                new = max(0, number - last.get(name, 0))
                sums[name] += new
                more[name] += new
            self._last[memoizer] = now
            if info.currsize is not None:
                self.entries[labels] = self.entries.get(labels, 0) + info.currsize
        return added
