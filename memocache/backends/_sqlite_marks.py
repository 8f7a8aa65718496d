"""Marks that the processes of an SQLite cache share: who sees that one has changed reads the file again.

A mark is a random number in memory that all processes map. Whoever changes an entry changes the mark of its id once the
change is committed, and before it is acknowledged. So as long as a mark is the one that was there before an entry was
read, what was read still holds, and need not be read again. Random, not counted up: of two processes that count at once
the slower would put an earlier number back.
"""

import mmap
import os
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, Final

__all__ = ["EVERYTHING", "Marks", "marks_of"]

MARKS: Final = 4096
WIDTH: Final = 8
SIZE: Final = MARKS * WIDTH
EVERYTHING: Final = range(MARKS)
"""Ids that reach every mark."""


class Marks:
    """The marks in one file."""

    def __init__(self, file: int) -> None:
        """Map the open *file*, filled if need be; only while nobody else does."""
        if os.fstat(file).st_size != SIZE:
            os.ftruncate(file, 0)
            os.write(file, os.urandom(SIZE))
        self._map = mmap.mmap(file, SIZE)
        self.view: Any = memoryview(self._map).cast("Q")  # which is read and written in one piece
        """What `marks_of` reads."""

    def change(self, ids: Iterable[int]) -> None:
        """Let all processes know that the entries with these *ids* are others now, or EVERYTHING is."""
        if ids is EVERYTHING:
            self._map[:] = os.urandom(SIZE)
            return
        for id_ in ids:
            self.view[id_ % MARKS] = int.from_bytes(os.urandom(WIDTH), "big")


def marks_of(ids: Sequence[int]) -> Callable[[Any], object]:
    """Return a function that reads the marks of *ids* in a view."""
    return itemgetter(*(id_ % MARKS for id_ in ids))
