"""SimpleCache: values in this process, bounded and expiring."""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from math import inf
from typing import TYPE_CHECKING, Any, Final

from memocache._clock import now as clock
from memocache._counters import Counters
from memocache._entry import SECOND, Entry, FastKey, StaleableEntry
from memocache._flight import Flight
from memocache._listeners import listeners
from memocache._stored_exception import StoredException
from memocache.backends._s3fifo import S3Fifo
from memocache.backends.base import MOST_LISTED, Busy, Cache, Lease, Stale, Usage, countable
from memocache.backends.urls import Url, duration, integer
from memocache.errors import ConfigurationError
from memocache.keys import ALL, all_tag

if TYPE_CHECKING:
    from memocache.backends._listing import Listing, StoredEntry

__all__ = ["TaggedEntries", "SimpleCache"]

GAPS: Final = 2  # one of so many keys may be a gap,
MOST_GAPS: Final = 24  # where there are more keys than these
AT_ONCE: Final = 1000  # entries of a page
LEAST_STEP: Final = 60.0  # seconds by which a clock is set back before anybody cares


class Keys(list[str]):
    """The keys of a tag's entries, some of which may have left: the *gaps*."""

    __slots__ = ("gaps",)

    def __init__(self, keys: Iterable[str] = ()) -> None:
        super().__init__(keys)
        self.gaps = 0


class TaggedEntries:
    """The entries of each tag that has any, of those in a *queue*: their keys, which takes a quarter of a dict's room.

    It has no lock: its owner does. A signal handler or a destructor of the user's may use the cache in the middle of
    each of these methods.
    """

    __slots__ = ("_keys", "_queue", "closings")

    def __init__(self, queue: S3Fifo) -> None:
        self._queue = queue
        self._keys: dict[str, Keys] = {}
        self.closings = 0
        """How often gaps were closed; who joined before that and is not in the queue yet has to join again."""

    def __len__(self) -> int:
        return len(self._keys)

    def members(self, tag: str) -> list[Entry]:
        """Return the entries of *tag*."""
        present = self._queue.present(dict.fromkeys(self._keys.get(tag, ())))
        return [entry for entry in present if entry.scope is not None and tag in entry.scope.tags]

    def keys(self, tag: str) -> list[str]:
        """Return the keys of *tag*, with those of entries that have left."""
        return list(self._keys.get(tag, ()))

    def join(self, key: str, tags: tuple[str, ...]) -> None:
        """Put the entry under *key* into *tags*."""
        for tag in tags:
            keys: Keys | None = None
            while keys is None or self._keys.get(tag) is not keys:  # a handler may just have closed its gaps
                keys = self._keys.get(tag)
                if keys is None:
                    keys = self._keys[tag] = Keys()
                keys.append(key)

    def part(self, tags: tuple[str, ...]) -> None:
        """Take an entry, which is not in the queue any more, out of *tags*."""
        for tag in tags:
            keys = self._keys.get(tag)
            if keys is not None:
                keys.gaps = gaps = keys.gaps + 1
                size = len(keys)
                if gaps * GAPS > size + MOST_GAPS or gaps >= size:
                    self._close_gaps(tag, keys)

    def _close_gaps(self, tag: str, keys: Keys) -> None:
        seen = len(keys)
        left = Keys(self._queue.present_keys(keys))
        self.closings += 1
        if len(keys) != seen or self._keys.get(tag) is not keys:
            return  # somebody has come in between: another time
        if left:
            self._keys[tag] = left
        else:
            del self._keys[tag]


class SimpleCache(Cache):
    """A cache in this process: the values themselves, at most *threshold* of them.

    When it is full, entries leave by S3-FIFO, which keeps what is asked for again. A value is handed out as the object
    it is, not as a copy: see `copy=` of `cached`.

    >>> cache = SimpleCache(threshold=1000, default_timeout=60)
    >>> cache.set("answer", 42)
    True
    >>> cache.get("answer")
    42

    Args:
        threshold: the most entries it holds, at least 1.
        default_timeout: seconds for which a value is kept that was given no timeout of its own; 0 for ever.

    Raises:
        ConfigurationError: for a *threshold* below 1 or a *default_timeout* that is no duration.
    """

    shared = False
    has_near = True

    def __init__(self, threshold: int = 500, default_timeout: float | str | None = 300) -> None:
        if isinstance(threshold, bool) or not isinstance(threshold, int) or threshold < 1:
            raise ConfigurationError(
                f"threshold={threshold!r}; wanted: the most entries the cache may hold, an int from 1"
            )
        self._threshold = threshold
        self._reset()
        super().__init__(default_timeout)

    @classmethod
    def url_arguments(cls, url: Url) -> dict[str, Any]:
        """Return the arguments that "memory://?threshold=...&default_timeout=..." stands for."""
        url.allow_only()
        return url.options({"threshold": integer, "default_timeout": duration})

    def _reset(self) -> None:
        # Re-entrant, since the garbage collector may run a destructor of the user's at any allocation below, and that
        # may call this cache.
        self._lock = threading.RLock()
        self._queue = S3Fifo(self._threshold)
        self._tagged = TaggedEntries(self._queue)
        self._flights: dict[str, Flight] = {}
        self._latest = -inf  # moment that the wall clock has shown
        self._untold: list[Entry] = []  # evicted, for the listeners to be told outside of the lock

    def __repr__(self) -> str:
        return f"SimpleCache(threshold={self._threshold}, default_timeout={self.default_timeout:g})"

    def __len__(self) -> int:
        return len(self._queue)

    def after_fork(self) -> None:
        """Keep the entries, but neither flights nor, where another thread was just writing, anything."""
        writing = not self._lock.acquire(blocking=False)
        if writing:
            self._reset()
        else:
            self._lock = threading.RLock()
            self._flights = {}

    def _notice(self, now: float) -> None:
        """Let entries that were made while the wall clock was ahead of *now*, by more than a step, end as much earlier.

        Whoever looks at the times of entries calls this first, if it shows less than before. A call for nothing would
        take 1 % of a miss.
        """
        if now >= self._latest - LEAST_STEP:
            return
        with self._lock:
            ahead, self._latest = self._latest - now, now
            for entry in self._queue.everything():
                entry.move(-ahead)

    # ---- under the lock ------------------------------------------------------------------------------------------

    def _present(self, key: str, now: float) -> Entry | None:
        if now < self._latest:
            self._notice(now)
        else:
            self._latest = now
        entry = self._queue.get(key)
        if entry is None or now >= entry.expires_at or type(entry.value) is StoredException:
            return None
        return entry

    def _store(self, entry: Entry, now: float) -> list[Entry]:
        """Put *entry*, which was made at *now*, in; return what left, for the caller to let go of outside the lock."""
        queue, key, left, was_main = self._queue, entry.key, [], False
        old = queue.get(key)
        if old is not None:  # what is asked for often is so under its new value, too; and that was asked for once more
            entry.hits_counted = old.hits_counted - old.hits - 1
            was_main = queue.has_in_main(old)
            left = self._remove(old)
        entry.serve_from = now
        tagged, scope = self._tagged, entry.scope
        closings = tagged.closings
        # First: should a signal come between, the tag must not miss an entry.
        if scope is not None:
            tagged.join(key, scope.tags)
        evicted = queue.insert(entry, now, to_main=was_main)
        if tagged.closings != closings and scope is not None:
            tagged.join(key, scope.tags)
        for each in evicted:
            if listeners and "evicted" in listeners:
                self._untold.append(each)
            self._left(each, evicted=1)
        left += evicted
        return left

    def _remove(self, entry: Entry) -> list[Entry]:
        left = self._queue.drop(entry)
        for gone in left:
            self._left(gone)
        return left

    def _remove_key(self, key: str) -> list[Entry]:
        entry = self._queue.get(key)
        return [] if entry is None else self._remove(entry)

    def _left(self, entry: Entry, evicted: int = 0) -> None:
        scope = entry.scope
        if scope is None:
            return
        counters = scope.counters
        if counters is not None:
            counters.evicted += evicted
            if entry.hits:
                counters.hits += entry.hits
                counters.seconds_saved += entry.hits * entry.cost / SECOND
        self._tagged.part(scope.tags)

    def _tell_evicted(self) -> None:
        """Tell the listeners, outside of the lock, which entries had to leave for others."""
        evicted, self._untold = self._untold, []
        tell = listeners.get("evicted")
        for entry in evicted:
            counters = None if entry.scope is None else entry.scope.counters
            if tell is not None:
                tell("" if counters is None else counters.name, entry.key, self)

    # ---- what the read-through needs -----------------------------------------------------------------------------

    def look(
        self, key: str, tags: tuple[str, ...], now: float, lease: float, kind: type[Lease] = Lease
    ) -> Entry | Stale | Lease | Busy:
        """Return the entry, or lead the flight on *key*, with a lease of that *kind*, or say which one to join."""
        if now < self._latest:
            self._notice(now)
        else:
            self._latest = now
        with self._lock:
            entry = self._queue.get(key)
            if entry is not None and now < entry.serve_until and _belongs(entry, tags):
                entry.hits += 1
                return entry
            flight = self._flights.get(key)
            # One of other tags may be older than a forgetting of these.
            is_led = flight is not None and flight.tags == tags and not flight.over
            old = None
            if type(entry) is StaleableEntry and now < entry.expires_at and _belongs(entry, tags):
                if is_led or now < entry.retry_at:
                    return Stale(entry, None)
                old = entry
            elif is_led:
                return Busy(flight)
            flight = Flight(key, tags, lease)
            # Registered last: if there is no room on the stack for one of these, no flight is left without a leader.
            taken = kind(key, tags, flight, now)
            self._flights[key] = flight
        if old is None:
            return taken
        taken.replaces, taken.old = True, old
        return Stale(old, taken)

    def claim(self, key: str, tags: tuple[str, ...], now: float, lease: float) -> Lease:
        """Lead a new flight on *key*; one that was under way will not store its result."""
        if now < self._latest:
            self._notice(now)
        else:
            self._latest = now
        with self._lock:
            flight = Flight(key, tags, lease)
            taken = Lease(key, tags, flight, now)
            self._flights[key] = flight
        taken.replaces = True
        return taken

    def fill(self, lease: Lease, entry: Entry | None) -> bool:
        """Store *entry* if the lease's flight is still the one on its key."""
        left: list[Entry] = []
        key, own, alias = lease.key, lease.flight, lease.alias
        with self._lock:
            if self._flights.get(key) is not own:
                return False
            if entry is not None and entry is not lease.old:  # that is here, with what has been noted in it
                left = self._store(entry, lease.created)
                if alias is not None:
                    alias[0].add(self, alias, entry)
            flight = self._flights.pop(key, None)
            stood = flight is own
            if not stood:  # a handler has come between, and has forgotten or taken it
                left += self._remove_key(key) if entry is None else self._remove(entry)
                if flight is not None:
                    self._flights[key] = flight
        left.clear()
        if self._untold:
            self._tell_evicted()
        return stood

    def forget(self, key: str) -> bool:
        """End the entry and the flight on *key*: those who joined it get its result, nobody else does."""
        with self._lock:
            flight = self._flights.pop(key, None)
            entry = self._queue.get(key)  # let go of outside the lock
            if entry is None:
                return flight is not None
            was_present = time.time() < entry.expires_at  # see `now` of _clock
            left = self._queue.drop(entry)  # as `_remove`; they are let go of when this returns, outside the lock
            for gone in left:
                self._left(gone)
        return was_present or flight is not None

    def forget_tag(self, tag: str) -> None:
        """End all entries and flights of *tag*."""
        left: list[Entry] = []
        with self._lock:
            for flight in list(self._flights.values()):
                if tag in flight.tags:
                    self._flights.pop(flight.key, None)
            for entry in self._tagged.members(tag):
                left += self._remove(entry)
        left.clear()

    def peek(self, keys: Sequence[str], tags: Sequence[tuple[str, ...]], now: float) -> list[Entry | None]:
        """Return the entries of *keys* that have not expired."""
        if now < self._latest:
            self._notice(now)
        with self._lock:
            entries = [self._queue.get(key) for key in keys]
        return [
            entry if entry and now < entry.expires_at and _belongs(entry, own) else None
            for entry, own in zip(entries, tags, strict=True)
        ]

    def usage(self, tag: str, counters: Counters) -> Usage:
        """Return how many entries *tag* has, and the hits of those that belong to *counters*."""
        with self._lock:
            entries = self._tagged.members(tag)
        hits, saved = 0, 0.0  # outside of the lock, since it takes long; whoever leaves meanwhile is in the list
        for entry in entries:
            if entry.hits and entry.scope is not None and entry.scope.counters is counters:
                hits += entry.hits
                saved += entry.hits * entry.cost
        return Usage(size=len(entries), limit=self._threshold, hits=hits, seconds_saved=saved / SECOND)

    def listing(self, namespace: str | None = None, limit: int = MOST_LISTED) -> "Listing":
        """Return the entries, or those of one *namespace*, of which *limit* are described."""
        from memocache.backends._listing import Listing  # to make its dataclass takes a twentieth of the whole import

        pages = self._pages("" if namespace is None else all_tag(namespace))
        return Listing(self, namespace, pages, self._described, limit)

    def _pages(self, tag: str) -> Iterator[list[Entry]]:
        self._notice(clock())
        with self._lock:
            keys = self._tagged.keys(tag) if tag else [entry.key for entry in self._queue.everything()]
        for start in range(0, len(keys), AT_ONCE):
            with self._lock:
                entries = self._queue.present(dict.fromkeys(keys[start : start + AT_ONCE]))
            now = clock()
            yield [each for each in entries if now < each.expires_at and (not tag or tag in _tags(each))]

    def _described(self, entries: Sequence[Entry]) -> Iterator["StoredEntry"]:
        from memocache.backends._listing import StoredEntry

        now = clock()
        for entry in entries:
            end = entry.fresh_until if isinstance(entry, StaleableEntry) else entry.expires_at
            scope = entry.scope
            yield StoredEntry(
                key=entry.key,
                namespace="" if scope is None or scope.counters is None else scope.counters.name,
                tag=next((tag for tag in _tags(entry) if tag.startswith(ALL)), ""),
                age=max(0.0, now - entry.serve_from),
                expires_in=end - now if end < inf else None,
                stale_for=entry.expires_at - end if end < inf else 0.0,
                cost=entry.cost / SECOND,
                size=None,
            )

    @property
    def near(self) -> "SimpleCache":
        """The cache itself."""
        return self

    def alias(self, entry: Entry, alias: FastKey) -> None:
        """Let *alias* lead to *entry*, if that is still here."""
        with self._lock:
            if self._queue.get(entry.key) is entry:
                alias[0].add(self, alias, entry)

    # ---- what a user calls ---------------------------------------------------------------------------------------

    def get(self, key: str) -> object:
        """Return the value under *key*, or None if there is none or it has expired."""
        with self._lock:
            entry = self._present(key, clock())
            if entry is None:
                return None
            entry.hits_counted -= 1  # a hit for eviction, of which a function's counters know nothing
            return entry.value

    def has(self, key: str) -> bool:
        """Return whether *key* has a value, be it None."""
        with self._lock:
            return self._present(key, clock()) is not None

    def set(self, key: str, value: object, timeout: float | None = None) -> bool:
        """Store *value* under *key* for *timeout* seconds; True if it is stored."""
        return self._put(key, value, timeout, replace=True)

    def add(self, key: str, value: object, timeout: float | None = None) -> bool:
        """Store *value* unless *key* has a value already; True if it is stored."""
        return self._put(key, value, timeout, replace=False)

    def _put(self, key: str, value: object, timeout: float | None, *, replace: bool) -> bool:
        lifetime, now = self.lifetime(timeout), clock()
        left: list[Entry] = []
        with self._lock:
            if self._present(key, now) is not None and not replace:
                return False
            self._flights.pop(key, None)  # what is being computed now would be older than this value
            if lifetime > 0:
                left = self._store(Entry(key, value, now + lifetime), now)
            else:
                left = self._remove_key(key)
        left.clear()
        if self._untold:
            self._tell_evicted()
        return lifetime > 0

    def delete(self, key: str) -> bool:
        """Delete what is under *key*; True if there was something."""
        return self.forget(key)

    def clear(self) -> bool:
        """Delete everything."""
        with self._lock:
            self._flights.clear()
            for entry in self._queue.everything():
                entry.end()  # first: should a handler raise here, nobody is served what `forget` would not find
            # At once: what a handler adds is in both.
            fresh = S3Fifo(self._threshold)
            queue, self._queue, self._tagged = self._queue, fresh, TaggedEntries(fresh)
            left = queue.everything()
            for entry in left:
                entry.end()  # there may be more by now
                self._left(entry)
        left.clear()
        return True

    def inc(self, key: str, delta: int = 1) -> int:
        """Add *delta* to the number under *key* atomically, and return the sum."""
        now = clock()
        left: list[Entry] = []
        with self._lock:
            entry = self._present(key, now)
            old = 0 if entry is None else countable(key, entry.value)
            fresh = now + self.default_lifetime if entry is None else entry.serve_until
            self._flights.pop(key, None)
            left = self._store(Entry(key, old + delta, fresh), now)
        left.clear()
        if self._untold:
            self._tell_evicted()
        return old + delta


def _tags(entry: Entry) -> tuple[str, ...]:
    return () if entry.scope is None else entry.scope.tags


def _belongs(entry: Entry, tags: tuple[str, ...]) -> bool:
    """Return whether *entry* is the result of a function in these *tags*."""
    return entry.scope is not None and entry.scope.tags == tags
