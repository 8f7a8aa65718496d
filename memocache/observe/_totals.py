"""Totals: what all functions of this process have counted, by name, for those who send figures elsewhere."""

import sys
import weakref
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from memocache import cached_functions
from memocache._binding import Figures
from memocache.errors import ConfigurationError, logger

LONGEST_INTERVAL: Final = 1e9  # seconds; with more than ten times that, threads cannot wait
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


def check_thread(function: str, every: object) -> None:
    """Check that the thread that *function* is to start, which does its work *every* so many seconds, can do so.

    Raises:
        ConfigurationError: if *every* are no seconds for a thread to wait.
    """
    if isinstance(every, bool) or not isinstance(every, int | float) or not 0 < every <= LONGEST_INTERVAL:
        raise ConfigurationError(f"{function}() got every={every!r}; wanted: seconds above 0, such as 10")
    uwsgi: Any = sys.modules.get("uwsgi")  # it is there in uWSGI only
    if uwsgi is None:
        return
    given, missing = uwsgi.opt.keys(), []
    if given.isdisjoint(("enable-threads", "threads", "gevent")):
        missing.append("enable-threads")
    is_forked_later = uwsgi.worker_id() == 0 and (uwsgi.masterpid() != 0 or uwsgi.numproc > 1)
    if is_forked_later and given.isdisjoint(("lazy-apps", "lazy", "py-call-osafterfork")):
        missing.append("lazy-apps")
    if missing:
        logger().warning(
            "%s() needs a thread in each worker of uWSGI, and without %s there is none, so that what they count is "
            "lost; set %s = true",
            function,
            " and ".join(missing),
            " = true and ".join(missing),
        )


class Labels(NamedTuple):
    """The labels of a figure: the name of the function, and the sort of the cache that it uses."""

    function: str
    system: str


def system_of(cache: Any) -> str:
    """Return the sort of a *cache*, such as "redis"; of somebody else's object, the name of its class."""
    name = type(cache).__name__
    return type(cache.wrapped).__name__ if name == "ForeignCache" else SYSTEMS.get(name, name)


def labels_of(function: str, cache: Any) -> Labels:
    """Return the labels of what an event tells of a *function* and a *cache*, which may be the name of a server."""
    return Labels(function, cache if isinstance(cache, str) else system_of(cache))


class Totals:
    """The sums of all functions by their labels, which only grow: also when a function is gone or counts from zero."""

    def __init__(self) -> None:
        self._known: dict[int, Known] = {}  # by the id of what its function is
        self.counts: dict[Labels, Counter[str]] = {}
        """By labels, the sums, under the names that `Info` has for them."""
        self.entries: dict[Labels, int] = {}
        """By labels, how many entries there are now, where the cache is in this process."""
        self.slowest: dict[Labels, float] = {}
        """By labels, the seconds of the longest computation."""

    def read(self) -> dict[Labels, Counter[str]]:
        """Add what has been counted since this was called last, and return just that."""
        self.entries, added = {}, dict[Labels, Counter[str]]()
        for place, known in list(self._known.items()):
            if known.memoizer() is None:  # it has gone since then
                del self._known[place]
                self._add(known, added)
        for function in cached_functions():
            memoizer = function._self_memoizer
            if not memoizer.bindings.known:  # it was not called yet
                continue
            known = self._known.get(id(memoizer)) or Known(memoizer)
            if known.memoizer() is not memoizer:  # which has gone in this very moment
                self._add(known, added)
                known = Known(memoizer)
            self._known[id(memoizer)] = known
            known.figures, known.cache = memoizer.bindings.figures(), memoizer.bindings.latest.cache
            known.labels = Labels(memoizer.namespace.name, system_of(known.cache))
            size = self._add(known, added)
            if size is not None:
                self.entries[known.labels] = self.entries.get(known.labels, 0) + size
        return added

    def let_go(self) -> None:
        """Keep no cache alive for a function that goes, since nobody reads any more."""
        for known in self._known.values():
            known.figures = known.cache = None

    def _add(self, known: "Known", added: dict[Labels, Counter[str]]) -> int | None:
        """Add what a function has counted since the last time, in *added*, too; return how many entries it has."""
        if known.figures is None:
            return None
        total, usage = known.figures.sum(known.cache)
        labels, last = known.labels, known.last
        ever: Mapping[str, Any] = total.ever()
        self.slowest[labels] = max(total.slowest, self.slowest.get(labels, 0.0))
        if last != ever:
            sums = self.counts.setdefault(labels, Counter())
            more = added.setdefault(labels, Counter())
            for name, number in ever.items():
                # It only grows; but the hits of an entry that just leaves may be missing in between.
                new = max(0, number - last[name]) if last else number
                sums[name] += new
                more[name] += new
            known.last = {name: max(ever[name], last[name]) for name in ever} if last else ever
        return usage.size


class Known:
    """A function that was read: its figures, and what they were then. It is not kept alive; its caches are."""

    __slots__ = ("cache", "figures", "labels", "last", "memoizer")
    labels: Labels

    def __init__(self, memoizer: Any) -> None:
        self.memoizer = weakref.ref(memoizer)
        self.figures: Figures | None = None
        self.cache: Any = None
        self.last: Mapping[str, Any] = {}
