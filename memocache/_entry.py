"""An entry: a value and its times; and the shortcuts that lead to it in process."""

import threading
from collections.abc import Hashable
from math import inf
from typing import TypeAlias

from memocache.stats import Counters

__all__ = ["Alias", "Aliases", "Entry"]


class Entry:
    """A value with its times, in seconds of the wall clock.

    *created* is when its computation began, *cost* how long that took. Until *fresh* it is handed out, from *expires*
    on never. In process the very same object is found by key and by raw arguments (see Aliases), so that there is one
    truth: an entry that leaves its cache is marked with `fresh = -inf`.
    """

    ready = True  # as a Run: the call that finds it has nothing left to do

    __slots__ = (
        "aliases",
        "cost",
        "counters",
        "created",
        "expires",
        "fresh",
        "groups",
        "hits",
        "key",
        "more",
        "raw",
        "seen",
        "types",
        "value",
    )

    def __init__(
        self,
        key: str,
        value: object,
        created: float,
        fresh: float,
        expires: float | None = None,
        cost: float = 0.0,
        groups: tuple[str, ...] = (),
        counters: Counters | None = None,
    ) -> None:
        self.key = key
        self.value = value
        self.created = created
        self.fresh = fresh
        self.expires = fresh if expires is None else expires
        self.cost = cost
        self.groups = groups
        self.counters = counters  # whose hits these are
        self.hits = 0
        self.seen = 0  # the hits that the eviction policy has taken into account
        # What leads to it: the aliases of a function, the raw arguments there, and their types. Where functions share
        # an entry, there are more.
        self.aliases: Aliases | None = None
        self.raw: Hashable = None
        self.types: object = None
        self.more: list[tuple[Aliases, Hashable]] | None = None

    def kill(self) -> None:
        """Let nobody be served this entry any more."""
        self.fresh = self.expires = -inf
        aliases, self.aliases = self.aliases, None
        if aliases is not None:
            aliases.drop(self.raw, self)
            for others, raw in self.more or ():
                others.drop(raw, self)


class Aliases:
    """The shortcut from a function's raw arguments to its entries in one in-process cache, its *source*.

    *table* is read without a lock, by the function's own call. It is written under *lock* and the cache's own, and only
    while the source is the function's cache and nobody has closed it.
    """

    __slots__ = ("__weakref__", "_open", "lock", "source", "table")

    def __init__(self) -> None:
        self.table: dict[Hashable, Entry] = {}
        self.lock = threading.RLock()
        self.source: object = None
        self._open = True

    def reset(self) -> None:
        """Start again without shortcuts, in a process that was forked while anybody may have held the lock."""
        self.lock = threading.RLock()
        self.table.clear()

    def lead_to(self, source: object) -> None:
        """Lead to the entries of *source* from now on; None: to nothing."""
        with self.lock:
            self.source = source
            self.table.clear()

    def switch(self, *, on: bool) -> None:
        """Allow shortcuts, or drop those that are there and allow no new ones."""
        with self.lock:
            self._open = on
            if not on:
                self.table.clear()

    def add(self, source: object, alias: "Alias", entry: Entry) -> None:
        """Let *alias* lead to *entry*; only for *source*, under its lock."""
        with self.lock:
            if not self._open or self.source is not source:
                return
            _, raw, types = alias
            if entry.aliases is None:
                entry.raw, entry.types, entry.aliases = raw, types, self
            elif entry.types != types:
                return
            elif entry.aliases is not self:
                entry.more = [*(entry.more or ()), (self, raw)]
            self.table[raw] = entry

    def drop(self, raw: Hashable, entry: Entry) -> None:
        """Lead to *entry* from *raw* no more."""
        if self.table.get(raw) is entry:
            del self.table[raw]


Alias: TypeAlias = tuple[Aliases, Hashable, object]
"""What may lead to an entry: whose table, the raw arguments there and their types."""
