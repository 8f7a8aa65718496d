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
        self._ghosts: OrderedDict[int, None] = OrderedDict()  # hashes, which take less room than keys
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
        if self._small.pop(entry.key, None) is None:
            self._main.pop(entry.key, None)

    def insert(self, entry: Entry, now: float) -> list[Entry]:
        """Add *entry*, whose key must be new, and return the entries that had to leave for it."""
        small, main = self._small, self._main
        evicted = []
        while len(small) + len(main) >= self.limit:
            self._full_once = True
            evicted.append(self._evict(now))
        ghost = hash(entry.key)
        if ghost in self._ghosts:
            del self._ghosts[ghost]
            main[entry.key] = entry
        elif self._full_once or len(small) < self._small_limit:
            small[entry.key] = entry
        else:
            main[entry.key] = entry  # nothing has been evicted yet: there is room for everybody
        return evicted

    def _evict(self, now: float) -> Entry:
        """Drop the entry that has to leave, and return it."""
        while True:
            if len(self._small) >= self._small_limit or not self._main:
                entry = self._oldest_of_small(now)
            else:
                entry = self._oldest_of_main(now)
            if entry is not None:
                return entry

    def _oldest_of_small(self, now: float) -> Entry | None:
        """Drop the oldest of the small queue and return it, or move it to main."""
        small = self._small
        entry = next(iter(small.values()))
        if now < entry.expires:
            if entry.hits - entry.seen >= PROMOTE_AT:
                entry.seen = entry.hits
                self._main[entry.key] = entry
                del small[entry.key]
                return None
            ghosts = self._ghosts
            ghosts[hash(entry.key)] = None
            if len(ghosts) > self.limit - self._small_limit:
                ghosts.popitem(last=False)
        entry.kill()  # first, as in drop
        del small[entry.key]
        return entry

    def _oldest_of_main(self, now: float) -> Entry | None:
        """Drop the oldest of the main queue and return it, or give it another round."""
        main = self._main
        entry = next(iter(main.values()))
        rounds = min(entry.hits - entry.seen, MOST)
        if rounds > 0 and now < entry.expires:
            entry.seen = entry.hits - (rounds - 1)
            main.move_to_end(entry.key)
            return None
        entry.kill()
        del main[entry.key]
        return entry
