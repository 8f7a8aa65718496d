"""S3-FIFO: which entry leaves when an in-process cache is full.

Yang et al., "FIFO Queues are All You Need for Cache Eviction", SOSP 2023. New entries go through a small queue; those
that were hit there more than once go on to the main queue, the others leave and are remembered by key for a while (the
ghosts), so that they go straight to main should they come back. In the main queue an entry gets another round for each
hit, at most three. A hit costs nothing but the count that the entry keeps anyway.
"""

from collections import OrderedDict
from collections.abc import Iterator

from memocache._entry import Entry

__all__ = ["S3Fifo"]

SMALL_SHARE = 0.1
PROMOTE_AT = 2  # hits in the small queue
MOST = 3  # hits that count in the main queue


class S3Fifo:
    """At most *limit* entries by key. It has no lock: its owner does."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._small_limit = max(1, int(limit * SMALL_SHARE))
        self._small: OrderedDict[str, Entry] = OrderedDict()
        self._main: OrderedDict[str, Entry] = OrderedDict()
        self._ghosts: OrderedDict[str, None] = OrderedDict()
        self._full_once = False

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def __iter__(self) -> Iterator[str]:
        yield from self._small
        yield from self._main

    def get(self, key: str) -> Entry | None:
        """Return the entry under *key*, expired or not."""
        return self._main.get(key) or self._small.get(key)

    def drop(self, entry: Entry) -> None:
        """End *entry* and remove it."""
        # Ended first: should a signal interrupt this between two lines, nobody is served an entry that is gone.
        entry.kill()
        self._main.pop(entry.key, None)
        self._small.pop(entry.key, None)

    def insert(self, entry: Entry, now: float) -> list[Entry]:
        """Add *entry*, whose key must be new, and return the entries that had to leave for it."""
        evicted = []
        while len(self) >= self.limit:
            self._full_once = True
            evicted.append(self._evict(now))
        self._queue_for(entry.key)[entry.key] = entry
        return evicted

    def _queue_for(self, key: str) -> OrderedDict[str, Entry]:
        if key in self._ghosts:
            del self._ghosts[key]
            return self._main
        if not self._full_once and len(self._small) >= self._small_limit:
            return self._main  # nothing has been evicted yet: there is room for everybody
        return self._small

    def _evict(self, now: float) -> Entry:
        while True:
            if len(self._small) >= self._small_limit or not self._main:
                entry = self._oldest_of_small(now)
            else:
                entry = self._oldest_of_main(now)
            if entry is not None:
                self.drop(entry)
                return entry

    def _oldest_of_small(self, now: float) -> Entry | None:
        """Return the oldest of the small queue if it has to leave; else move it to main."""
        entry = next(iter(self._small.values()))
        if now >= entry.expires:
            return entry
        if entry.hits - entry.seen >= PROMOTE_AT:
            entry.seen = entry.hits
            self._main[entry.key] = entry
            del self._small[entry.key]
            return None
        self._remember(entry.key)
        return entry

    def _oldest_of_main(self, now: float) -> Entry | None:
        """Return the oldest of the main queue if it has to leave; else give it another round."""
        entry = next(iter(self._main.values()))
        rounds = min(entry.hits - entry.seen, MOST)
        if rounds <= 0 or now >= entry.expires:
            return entry
        entry.seen = entry.hits - (rounds - 1)
        self._main.move_to_end(entry.key)
        return None

    def _remember(self, key: str) -> None:
        self._ghosts[key] = None
        while len(self._ghosts) > self.limit - self._small_limit:
            self._ghosts.popitem(last=False)
