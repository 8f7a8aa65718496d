"""Totals: what all functions of this process have counted, by name, for those who send figures elsewhere."""

import weakref
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from memocache import cached_functions

__all__ = ["COMPUTATIONS", "OUTCOMES", "ROUND_TRIPS", "Labels", "Totals", "labels_of", "system_of"]

COUNTED: Final = {
    **{name: name for name in ("hits", "stale", "misses", "waits", "evicted", "failures", "stored", "lost", "waited")},
    "seconds_saved": "saved",
    "seconds_computed": "computed",
}
"""The figures that are summed up, by the names that `Info` has for them; and how the counters call them."""
OUTCOMES: Final = {"hits": "hit", "stale": "stale", "misses": "miss", "waits": "wait"}
"""The outcomes of a call, by the name that `Info` has for how often there was each."""
COMPUTATIONS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ROUND_TRIPS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)
"""The seconds by which histograms are divided."""
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
    """The sums of all functions by their labels, which only grow: also when a function is gone or counts from zero.

    Functions are called as in messages and events; with *are_full*, by names that tell those of all modules apart.
    """

    def __init__(self, *, are_full: bool = False) -> None:
        self._are_full = are_full
        self._last: weakref.WeakKeyDictionary[Any, Mapping[str, Any]] = weakref.WeakKeyDictionary()
        self.counts: dict[Labels, Counter[str]] = {}
        """By labels, the sums, under the names that `Info` has for them."""
        self.entries: dict[Labels, int] = {}
        """By labels, how many entries there are now, where the cache is in this process."""
        self.slowest: dict[Labels, float] = {}
        """By labels, the seconds of the longest computation."""

    def read(self) -> dict[Labels, Counter[str]]:
        """Add what has been counted since this was called last, and return just that."""
        self.entries, added = {}, dict[Labels, Counter[str]]()
        for function in cached_functions():
            memoizer = function._self_memoizer
            if not memoizer.bindings.known:  # it was not called yet
                continue
            binding = memoizer.bindings.latest
            total, usage = memoizer.counted(binding)
            labels = Labels(memoizer.namespace.name if self._are_full else memoizer.title, system_of(binding.cache))
            self._add(labels, memoizer, total.ever(), added)
            self.slowest[labels] = max(total.slowest, self.slowest.get(labels, 0.0))
            if usage.size is not None:
                self.entries[labels] = self.entries.get(labels, 0) + usage.size
        return added

    def _add(self, labels: Labels, memoizer: Any, ever: Mapping[str, Any], added: dict[Labels, Counter[str]]) -> None:
        """Add what the counters of *memoizer* have more than when they were read last, in *added*, too."""
        last = self._last.get(memoizer)
        if last == ever:
            return
        sums = self.counts.setdefault(labels, Counter())
        more = added.setdefault(labels, Counter())
        for name, counter in COUNTED.items():
            # It only grows; but the hits of an entry that just leaves may be missing in between.
            new = ever[counter] if last is None else max(0, ever[counter] - last[counter])
            sums[name] += new
            more[name] += new
        self._last[memoizer] = ever if last is None else {name: max(ever[name], last[name]) for name in ever}
