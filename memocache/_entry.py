"""Entry: a value and its times; EntryScope: where entries come from; FastIndex: leads to entries in process."""

import threading
import weakref
from collections.abc import Collection, Hashable
from math import inf
from typing import Final, TypeAlias

from memocache.stats import Counters

__all__ = ["SECOND", "StaleableEntry", "FastKey", "FastIndex", "Entry", "EntryScope"]

SECOND: Final = 1e6  # in the unit of an entry's cost
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 30.0


class Entry:
    """A value with its times, in seconds of the wall clock.

    *cost* is how long its computation took, in microseconds. Until *fresh* it is handed out, from *expires* on never.
    There may be millions of entries, so each has no more than it needs.

    In process the very same object is found by key and by raw arguments (see FastIndex), so that there is one truth: an
    entry that leaves its cache is marked with `fresh = -inf`.
    """

    ready = True  # as a Run: the call that finds it has nothing left to do

    __slots__ = (
        "cost",
        "expires",
        "fresh",
        "hits",
        "key",
        "origin",
        "raw",
        "seen",
        "types",
        "value",
    )

    def __init__(
        self,
        key: str,
        value: object,
        fresh: float,
        expires: float | None = None,
        cost: int = 0,
        origin: "EntryScope | None" = None,
    ) -> None:
        self.key = key
        self.value = value
        self.fresh = fresh
        self.expires = fresh if expires is None else expires
        self.cost = cost
        self.origin = origin  # None for what a user has set
        self.hits = 0
        self.seen = 0  # the hits that the eviction policy has taken into account
        # The raw arguments that lead to it in the fast indexes of its origin, and their types; None if there are none.
        self.raw: Hashable = None
        self.types: object = None

    @property
    def counts(self) -> bool:
        """True if it is in this process, and its hits are those of a function."""
        return self.origin is not None and self.origin.counters is not None

    def kill(self) -> None:
        """Let nobody be served this entry any more."""
        self.fresh = self.expires = -inf
        origin = self.origin
        if self.types is None or origin is None:
            return
        for index in origin.indexes:
            if index.table.get(self.raw) is self:
                index.table.pop(self.raw, None)  # `disabled` may have emptied it since


class StaleableEntry(Entry):
    """An entry that may be handed out when its timeout is over, while somebody refreshes it: until *expires*.

    *until* is when its timeout is over, and *fresh* when the first may refresh it, which may be a little earlier. After
    a refresh that failed, nobody tries again before *held*.
    """

    __slots__ = ("held", "pause", "until")

    def __init__(
        self,
        key: str,
        value: object,
        fresh: float,
        expires: float,
        cost: int = 0,
        origin: "EntryScope | None" = None,
        *,
        until: float,
        held: float = 0.0,
        pause: float = 0.0,
    ) -> None:
        super().__init__(key, value, fresh, expires, cost, origin)
        self.until = until
        self.held = held
        self.pause = pause  # seconds from the last failure to the next attempt

    def hold(self, now: float) -> None:
        """Let nobody try to refresh it for a while, that grows with every failure."""
        self.pause = min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * self.pause))
        self.held = now + self.pause


class EntryScope:
    """Where entries come from: a function on one cache, with what is the same for all of them."""

    __slots__ = ("__weakref__", "counters", "groups", "indexes")

    def __init__(self, groups: tuple[str, ...], counters: Counters | None = None) -> None:
        self.groups = groups
        self.counters = counters  # whose hits those of the entries are
        # Those that lead to the entries: of one function, or of more, since those of one namespace share their entries.
        self.indexes: Collection[FastIndex] = ()

    def link(self, entry: Entry, fast_index: "FastIndex", raw: Hashable, types: object) -> bool:
        """Note that *fast_index* leads to *entry* from *raw* arguments of these *types*; false if they must not."""
        if entry.types is None:
            entry.raw, entry.types = raw, types
        elif entry.types != types or entry.raw != raw:
            return False
        if fast_index not in self.indexes:
            # Weakly, where there are more: nobody knows how many functions will share a namespace.
            self.indexes = (fast_index,) if not self.indexes else weakref.WeakSet((*self.indexes, fast_index))
        return True


class FastIndex:
    """A table from the raw arguments of a function to its entries in one in-process cache, its *source*.

    *table* is read without a lock, by the function's own call. It is written under *lock* and the cache's own, and only
    while the source is the function's cache and nobody has closed it.
    """

    __slots__ = ("__weakref__", "_closed", "_open", "lock", "source", "table")

    def __init__(self) -> None:
        self.table: dict[Hashable, Entry] = {}
        self.lock = threading.RLock()
        self.source: object = None
        self._open = True
        self._closed = False

    def after_fork(self) -> None:
        """Start again empty, in a process that was forked while anybody may have held the lock."""
        self.lock = threading.RLock()
        self.table.clear()

    def lead_to(self, source: object) -> None:
        """Lead to the entries of *source* from now on; None: to nothing."""
        with self.lock:
            self.source = source
            self.table.clear()

    def switch(self, *, on: bool) -> None:
        """Let it lead to entries; or let it lead to none, and empty it."""
        with self.lock:
            self._open = on
            if not on:
                self.table.clear()

    def close(self) -> None:
        """Lead to nothing any more, for good."""
        with self.lock:
            self._closed = True
            self.table.clear()

    def add(self, source: object, fast_key: "FastKey", entry: Entry) -> None:
        """Let *fast_key* lead to *entry*; only for *source*, under its lock."""
        with self.lock:
            if not self._open or self._closed or self.source is not source:
                return
            _, raw, types = fast_key
            if entry.origin is not None and entry.origin.link(entry, self, raw, types):
                self.table[raw] = entry


FastKey: TypeAlias = tuple[FastIndex, Hashable, object]
"""A key of a fast index: the index, the raw arguments in its table, and their types."""
