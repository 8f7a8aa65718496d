"""S3-FIFO: which entry leaves when an in-process cache is full.

Yang et al., "FIFO Queues are All You Need for Cache Eviction", SOSP 2023. New entries go through a small queue; those
that were hit there more than once go on to the main queue, the others leave and are remembered by key for a while (the
ghosts), so that they go straight to main should they come back. In the main queue an entry gets another round for each
hit, at most three. A hit costs no more than the count that the entry keeps anyway.

How large the small queue should be depends on what is asked for, so it is learnt, as in ARC (Megiddo and Modha, FAST
2003): those that leave the main queue are remembered, too. A key that comes back from small would have been kept by a
larger small queue, one from main by a larger main queue; the rarer of the two sorts weighs more. But only while that
can be so: who has been away for longer than the whole room lasts, as in a loop that is too long for it, would have left
a larger queue, too. How long that is, is told by moves: an entry comes to the young end of a queue. Where all comes
back soon and then no more, the small queue gets nearly all the room, and who came first leaves first.
"""

from collections import deque
from collections.abc import Iterable
from math import sqrt
from typing import Final

from memocache._entry import Entry

SMALL_SHARE: Final = 0.05  # to begin with
LEAST_SHARE: Final = 0.01
MOST_SHARE: Final = 0.95
STEP: Final = 1 / 80  # of the root of the limit: a small cache learns in some turns of its keys, a large one in a part
MOMENTS: Final = 32  # in as many moves as there is room for entries
PROMOTE_AT: Final = 2  # hits in the small queue
MOST: Final = 3  # hits that the main queue looks at
MOST_GAPS: Final = 16  # that an order may have besides one for each entry


class Queue(dict[str, Entry]):
    """Entries by key, and the order in which they came. An entry that is dropped leaves a gap in that.

    A signal handler or a destructor of the user's may use the cache in the middle of each of these methods. Then the
    entries and the order may differ: an order that names too little begins anew when it is empty.
    """

    __slots__ = ("_gaps", "_order")

    def __init__(self) -> None:
        self._order: deque[str] = deque()
        self._gaps: dict[str, int] = {}  # by key, how many of its first places stand for nothing

    def append(self, entry: Entry) -> bool:
        """Add *entry* as the youngest, unless there is another under its key; return whether it is there."""
        key = entry.key
        if self.setdefault(key, entry) is not entry:
            return False
        self._order.append(key)
        return True

    def oldest(self) -> Entry | None:
        """Return the entry that came first, None if there is none."""
        gaps = self._gaps
        while self:
            order = self._order
            if not order:
                order.extend(self)
            key = order[0]
            entry = self.get(key)
            if entry is not None and key not in gaps:
                return entry
            self._close_gap(order.popleft())
        return None

    def _close_gap(self, key: str) -> None:
        more = self._gaps.pop(key, 0) - 1
        if more > 0:
            self._gaps[key] = more

    def pop_oldest(self, entry: Entry) -> Entry | None:
        """Remove *entry*, which is the oldest, and return what was under its key."""
        gone = self.pop(entry.key, None)
        if gone is entry:
            self._order.popleft()
        return gone

    def renew_oldest(self) -> None:
        """Make the oldest the youngest."""
        self._order.rotate(-1)

    def drop(self, key: str) -> Entry | None:
        """Remove what is under *key*, and return it."""
        gone = self.pop(key, None)
        if gone is None:
            return None
        gaps = self._gaps
        gaps[key] = gaps.get(key, 0) + 1
        if len(self._order) > 2 * len(self) + MOST_GAPS:
            self._close_gaps()
        return gone

    def _close_gaps(self) -> None:
        seen = self._order.copy()
        gaps = self._gaps.copy()
        order: deque[str] = deque()
        for key in seen:
            left = gaps.get(key, 0)
            if left:
                gaps[key] = left - 1
            else:
                order.append(key)
        if self._order == seen:  # nobody has come in between; else another time
            self._order, self._gaps = order, {}


class S3Fifo:
    """At most *limit* entries by key. It has no lock: its owner does."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._small_limit = max(1.0, limit * SMALL_SHARE)
        self._small = Queue()
        self._main = Queue()
        self._moves = 0
        # Ghosts by hash, which takes less room than a key: the moment at which they left, with a minus if it was the
        # main queue. A moment is the number of moves when it began. It takes no room, since many share it.
        self._ghosts: dict[int, int] = {}
        self._ghost_order: deque[int] = deque()
        self._small_ghosts = 0
        self._moment, self._moment_of_main, self._next_moment = 1, -1, 0
        self._full_once = False

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def everything(self) -> list[Entry]:
        """Return all entries."""
        return [*self._small.values(), *self._main.values()]

    def get(self, key: str) -> Entry | None:
        """Return the entry under *key*, expired or not."""
        return self._main.get(key) or self._small.get(key)

    def present(self, keys: Iterable[str]) -> list[Entry]:
        """Return the entries under *keys*, as far as there are some."""
        main, small = self._main.get, self._small.get
        return [entry for key in keys if (entry := main(key) or small(key))]

    def present_keys(self, keys: Iterable[str]) -> set[str]:
        """Return those of *keys* that have an entry."""
        return self._main.keys() & keys | self._small.keys() & keys

    def drop(self, entry: Entry) -> list[Entry]:
        """End *entry* and remove it, with what a signal handler may just have put under its key; return what left."""
        # Ended first: should a signal interrupt this between two lines, nobody is served an entry that is gone.
        entry.end()
        left, key = [], entry.key
        for queue in (self._small, self._main):
            if key in queue and (gone := queue.drop(key)) is not None:
                left.append(gone)
                if gone is not entry:
                    gone.end()
        return left

    def has_in_main(self, entry: Entry) -> bool:
        """Return whether *entry* is in the main queue."""
        return self._main.get(entry.key) is entry

    def insert(self, entry: Entry, now: float, *, to_main: bool = False) -> list[Entry]:
        """Add *entry*, whose key must be new, and return the entries that had to leave for it.

        *to_main*: to the main queue, where one under its key was before.
        """
        small, main = self._small, self._main
        evicted = self._make_room(now) if len(small) + len(main) >= self.limit else []
        if self._full_once:
            self._moves += 1
            if self._moves > self._next_moment:
                self._begin_moment()
            if (ghost := hash(entry.key)) in self._ghosts:
                to_main = self._come_back(ghost) or to_main
        elif len(small) + 1 > self._small_limit:  # until something is evicted there is room for everybody
            to_main = True
        if not (main if to_main else small).append(entry):  # a handler has put another there in the middle of this
            entry.end()
            evicted.append(entry)
        return evicted

    def _make_room(self, now: float) -> list[Entry]:
        """Let entries leave until there is room for another, and return them."""
        self._full_once = True
        small, main = self._small, self._main
        evicted: list[Entry] = []
        while True:
            queue = small if len(small) + 1 > self._small_limit or not main else main
            entry = queue.oldest()
            if entry is not None:  # else a handler has emptied the queue
                if now < entry.expires_at:
                    hits = entry.hits - entry.hits_counted
                    if queue is main and hits > 0:  # it gets another round
                        entry.hits_counted = entry.hits - (min(hits, MOST) - 1)
                        main.renew_oldest()
                        self._moves += 1
                        continue
                    if hits >= PROMOTE_AT and self._promote(entry):
                        continue
                    self._remember(entry.key, self._moment if queue is small else self._moment_of_main)
                entry.end()  # first, as in drop
                gone = queue.pop_oldest(entry)
                if gone is not None:
                    evicted.append(gone)
                    if gone is not entry:
                        gone.end()
            if len(small) + len(main) < self.limit:
                return evicted

    def _promote(self, entry: Entry) -> bool:
        """Move *entry*, the oldest of the small queue, to main; false if there is another under its key."""
        entry.hits_counted = entry.hits
        if not self._main.append(entry):
            return False
        self._small.pop_oldest(entry)
        self._moves += 1
        return True

    def _begin_moment(self) -> None:
        self._moment = max(1, self._moves)
        self._moment_of_main = -self._moment
        self._next_moment = self._moves + self.limit // MOMENTS

    def _remember(self, key: str, moment: int) -> None:
        """Make a ghost of what was under *key*."""
        ghosts, order, limit, ghost = self._ghosts, self._ghost_order, self.limit, hash(key)
        if ghost in ghosts and ghosts.pop(ghost, 0) > 0:
            self._small_ghosts -= 1
        ghosts[ghost] = moment
        if moment > 0:
            self._small_ghosts += 1
        order.append(ghost)
        # A ghost that has come back leaves its place in the order: so there are more of those.
        while len(ghosts) > limit or len(order) > 2 * limit:
            if ghosts.pop(order.popleft(), 0) > 0:
                self._small_ghosts -= 1

    def _come_back(self, ghost: int) -> bool:
        """Learn how large the small queue should be, and return whether it was that which the ghost left."""
        small = self._small_ghosts
        main = len(self._ghosts) - small
        moment = self._ghosts.pop(ghost, -1)
        away = self._moves - abs(moment)
        step = STEP * sqrt(self.limit)
        if moment > 0:
            self._small_ghosts -= 1
            if away > self.limit - len(self._small):
                return True
            wanted = self._small_limit + step * max(1.0, main / max(1, small))
        else:
            if away > 2 * self._small_limit:  # what main could gain, and as many moves are in the small queue
                return False
            wanted = self._small_limit - step * max(1.0, small / max(1, main))
        self._small_limit = max(1.0, self.limit * LEAST_SHARE, min(self.limit * MOST_SHARE, wanted))
        return moment > 0
