"""Memory that the processes of an SQLite cache share: marks that tell of changes, and when entries were asked for.

A mark is a random number. Whoever changes an entry changes the mark of its id once the change is committed, and before
it is acknowledged. So as long as a mark is the one that was there before an entry was read, what was read still holds,
and need not be read again. Random, not counted up: of two processes that count at once the slower would put an earlier
number back.

The times are for eviction: so a hit need not write to the file.
"""

import mmap
import os
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, Final

__all__ = ["EVERYTHING", "Shared", "marks_of"]

MARKS: Final = 4096
WIDTH: Final = 8
TIMES: Final = 512 * 1024
TIME_WIDTH: Final = 4
PER_SECOND: Final = 1000
WRAPS: Final = 2**32
MARKS_SIZE: Final = MARKS * WIDTH
SIZE: Final = MARKS_SIZE + TIMES * TIME_WIDTH
EVERYTHING: Final = range(MARKS)
"""Ids that reach every mark."""


class Shared:
    """What is in one file of that kind; several entries may have a mark or a time in common."""

    def __init__(self, file: int) -> None:
        """Map the open *file*, filled in if it is new; only while nobody else does."""
        if os.fstat(file).st_size != SIZE:
            os.ftruncate(file, 0)
            os.write(file, os.urandom(MARKS_SIZE))
            os.ftruncate(file, SIZE)
        self._map = mmap.mmap(file, SIZE)
        whole = memoryview(self._map)
        self.marks: Any = whole[:MARKS_SIZE].cast("Q")  # each is read and written in one piece
        """What `marks_of` reads."""
        self._times: Any = whole[MARKS_SIZE:].cast("I")

    def change(self, ids: Iterable[int]) -> None:
        """Let all processes know that the entries with these *ids* are others now, or EVERYTHING is."""
        if ids is EVERYTHING:
            self._map[:MARKS_SIZE] = os.urandom(MARKS_SIZE)
            return
        for id_ in ids:
            self.marks[id_ % MARKS] = int.from_bytes(os.urandom(WIDTH), "big")

    def use(self, ids: Iterable[int], now: float) -> None:
        """Note that the entries with these *ids* are asked for, or stored."""
        moment = int(now * PER_SECOND) % WRAPS
        for id_ in ids:
            self._times[id_ % TIMES] = moment

    def age(self, id_: int, now: float) -> int:
        """Return for how long, in milliseconds, nobody has asked for an entry; less by 49 days, if that is longer."""
        return (int(now * PER_SECOND) - int(self._times[id_ % TIMES])) % WRAPS


def marks_of(ids: Sequence[int]) -> Callable[[Any], object]:
    """Return a function that reads the marks of *ids*."""
    return itemgetter(*(id_ % MARKS for id_ in ids))
