"""Entry: a value and its times; EntryScope: where entries come from; FastIndex: leads to entries in process."""

import threading
import weakref
from collections.abc import Hashable
from math import inf
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from memocache._counters import Counters
from memocache._native import hit

NEVER: Final = -inf  # the moment until which nobody is served
SECOND: Final = 1e6  # in the unit of an entry's cost
FIRST_BACKOFF: Final = 1.0
LONGEST_BACKOFF: Final = 30.0

E = TypeVar("E")


def compiled(plain: type[E]) -> type[E]:
    """Return the class of the same fields in C, if there is one, with the methods of the *plain* one."""
    if hit is None:
        return plain
    for name, thing in vars(plain).items():
        if name not in plain.__slots__ and name not in ("__init__", "__slots__", "__module__"):  # type: ignore[attr-defined]
            setattr(hit.Entry, name, thing)
    return hit.Entry  # type: ignore[no-any-return]


@compiled
class Entry:
    """A value with its times, in seconds of the wall clock.

    *cost* is how long its computation took, in microseconds. From *serve_from* until *serve_until* it is handed out
    without a question, from *expires_at* on never; only for a StaleableEntry are these two moments. There may be
    millions of entries, so each has no more than it needs.

    In process the very same object is found by key and by raw arguments (see FastIndex), so that there is one truth: an
    entry that leaves its cache is marked with `serve_until = -inf`.
    """

    __slots__ = (
        "arg_types",
        "args",
        "cost",
        "expires_at",
        "hits",
        "hits_counted",
        "key",
        "scope",
        "serve_from",
        "serve_until",
        "value",
    )

    def __init__(
        self, key: str, value: object, serve_until: float, cost: float = 0, scope: "EntryScope | None" = None
    ) -> None:
        self.key = key
        self.value = value
        self.serve_from = 0.0  # when its cache took it: before, the clock has been set back
        self.serve_until = self.expires_at = serve_until
        self.cost = cost
        self.scope = scope  # None for what a user has set
        self.hits = 0
        # The hits that the eviction policy has taken into account; less those that only it is to know of.
        self.hits_counted = 0
        # The raw arguments that lead to it in the fast indexes of its scope, and their types; None if there are none.
        self.args: Hashable = None
        self.arg_types: object = None

    ready = True  # as a PendingCall: the call that finds it has nothing left to do

    @property
    def counts_its_hits(self) -> bool:
        """True if it is in this process, and its hits are those of a function."""
        return self.scope is not None and self.scope.counters is not None

    def move(self, seconds: float) -> None:
        """Let it end so many *seconds* later, or earlier."""
        self.serve_from += seconds
        self.serve_until += seconds
        self.expires_at = self.serve_until

    def end(self) -> None:
        """Let nobody be served this entry any more."""
        self.serve_until = self.expires_at = NEVER
        scope = self.scope
        if self.arg_types is None or scope is None:
            return
        for reference in scope.indexes:
            index = reference()
            if index is not None:
                table = index.table
                if table.get(self.args) is self:
                    table.pop(self.args, None)  # `disabled` may have emptied it since


if TYPE_CHECKING or hit is None:
    CollectedEntry = Entry
else:
    CollectedEntry = hit.CollectedEntry


class StaleableEntry(CollectedEntry):
    """An entry that may be handed out when its timeout is over, while somebody refreshes it: until *expires_at*.

    *fresh_until* is when its timeout is over, and *serve_until* when the first may refresh it, which may be a little
    earlier. After a refresh that failed, nobody tries again before *retry_at*.
    """

    __slots__ = ("backoff", "expires_at", "fresh_until", "retry_at")

    def __init__(
        self,
        key: str,
        value: object,
        serve_until: float,
        expires_at: float,
        cost: float = 0,
        scope: "EntryScope | None" = None,
        *,
        fresh_until: float,
        retry_at: float = 0.0,
        backoff: float = 0.0,
    ) -> None:
        super().__init__(key, value, serve_until, cost, scope)
        self.expires_at = expires_at
        self.fresh_until = fresh_until
        self.retry_at = retry_at
        self.backoff = backoff  # seconds from the last failure to the next attempt

    def move(self, seconds: float) -> None:
        expires_at = self.expires_at + seconds
        super().move(seconds)
        self.expires_at = expires_at
        self.fresh_until += seconds
        self.retry_at += seconds

    def back_off(self, now: float) -> None:
        """Let nobody try to refresh it for a while, that grows with every failure."""
        self.backoff = min(LONGEST_BACKOFF, max(FIRST_BACKOFF, 2 * self.backoff))
        self.retry_at = now + self.backoff


class EntryScope:
    """Where entries come from: a function on one cache, with what is the same for all of them."""

    __slots__ = ("__weakref__", "counters", "indexes", "tags")

    def __init__(self, tags: tuple[str, ...], counters: Counters | None = None) -> None:
        self.tags = tags
        self.counters = counters  # whose hits those of the entries are
        # Those that lead to the entries: of one function, or of more, since those of one namespace share their entries.
        # Weakly, since nobody knows how many there will be; and so that an entry leads to no other (see _hit.c).
        self.indexes: tuple[weakref.ref[FastIndex], ...] = ()

    def link(self, fast_index: "FastIndex") -> None:
        """Note that *fast_index* leads to entries from here."""
        self.indexes = (*(each for each in self.indexes if each() is not None), fast_index.reference)


class FastIndex:
    """A table from the raw arguments of a function to its entries in one in-process cache, its *source*.

    *table* is read without a lock, by the function's own call. It is written under *lock* and the cache's own, and only
    while the source is the function's cache and nobody has closed it.
    """

    __slots__ = ("__weakref__", "_closed", "_open", "lock", "reference", "source", "table")

    def __init__(self) -> None:
        self.reference = weakref.ref(self)
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
            _gone = self._emptied()

    def switch(self, *, on: bool) -> None:
        """Let it lead to entries; or let it lead to none, and empty it."""
        with self.lock:
            self._open = on
            if not on:
                _gone = self._emptied()

    def close(self) -> None:
        """Lead to nothing any more, for good."""
        with self.lock:
            self._closed = True
            _gone = self._emptied()

    def _emptied(self) -> dict[Hashable, Entry]:
        """Empty the table; return what was in it, for the caller to let go of outside the lock.

        A destructor of a result may call a cached function, and a cache's lock comes before this one.
        """
        table = self.table.copy()
        self.table.clear()
        return table

    def add(self, source: object, fast_key: "FastKey", entry: Entry) -> None:
        """Let *fast_key* lead to *entry*; only for *source*, under its lock."""
        with self.lock:
            if not self._open or self._closed or self.source is not source:
                return
            _, args, arg_types = fast_key
            scope = entry.scope
            if scope is None:
                return
            if entry.arg_types is None:
                entry.args, entry.arg_types = args, arg_types
            elif entry.arg_types != arg_types or entry.args != args:
                return
            if self.reference not in scope.indexes:
                scope.link(self)
            self.table[args] = entry


FastKey: TypeAlias = tuple[FastIndex, Hashable, object]
"""A key of a fast index: the index, the raw arguments in its table, and their types."""
