"""Memory that the processes of an SQLite cache share: marks that tell of changes, and when entries were asked for.

A mark is a random number. Whoever changes an entry changes the mark of its id once the change is committed, and before
it is acknowledged. So as long as a mark is the one that was there before an entry was read, what was read still holds,
and need not be read again. Random, not counted up: of two processes that count at once the slower would put an earlier
number back.

Between the change and its mark, one process may read the new entry while another still trusts the old one. So whoever
reads what it has not known before makes sure of the mark, too, before it tells anybody. The last bits of a mark say for
what it is: that spares the next one the same.

The times are for eviction: so a hit need not write to the file.
"""

import errno
import mmap
import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, Final

__all__ = ["EVERYTHING", "Shared", "marks_of"]

MARKS: Final = 4096
WIDTH: Final = 8
MARKS_SIZE: Final = MARKS * WIDTH
BEGINNING: Final = 64  # bytes of an entry in which its nonce is
TELLING: Final = 2**24  # how many marks differ in what they are for
TIME_WIDTH: Final = 4
LEAST_TIMES, MOST_TIMES = 2**10, 2**20
BYTES_PER_TIME: Final = 256  # of the cache: few entries shall share one
PER_SECOND: Final = 1000
WRAPS: Final = 2**32
EVERYTHING: Final = range(MARKS)
"""Ids that reach every mark."""


class Shared:
    """What is in one file of that kind; several entries may have a mark or a time in common."""

    def __init__(self, file: int, size_limit: int) -> None:
        """Map the open *file*, filled in if it is new; only while nobody else does.

        Raises:
            OSError: there is no room for it.
        """
        size = os.fstat(file).st_size
        if not _is_size(size):
            size = _fill_in(file, size_limit)
        self._map = mmap.mmap(file, size)
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

    def vouch(self, ids: Iterable[int], data: Iterable[bytes | None]) -> None:
        """Let all processes know that these *data* are what is under these *ids* now, unless somebody has."""
        for id_, each in zip(ids, data, strict=True):
            telling = zlib.crc32(b"%d" % id_ if each is None else each[:BEGINNING], id_ & 0xFFFFFFFF) % TELLING
            if self.marks[id_ % MARKS] % TELLING != telling:
                self.marks[id_ % MARKS] = int.from_bytes(os.urandom(WIDTH), "big") // TELLING * TELLING + telling

    def use(self, ids: Iterable[int], now: float) -> None:
        """Note that the entries with these *ids* are asked for, or stored."""
        moment = int(now * PER_SECOND) % WRAPS
        times = self._times
        for id_ in ids:
            times[id_ % len(times)] = moment

    def age(self, id_: int, now: float) -> int:
        """Return for how long, in milliseconds, nobody has asked for an entry; less by 49 days, if that is longer."""
        return (int(now * PER_SECOND) - int(self._times[id_ % len(self._times)])) % WRAPS


def _is_size(size: int) -> bool:
    """Return whether a file of this *size* is whole: its times are a power of two, as many as its maker needed."""
    times, rest = divmod(size - MARKS_SIZE, TIME_WIDTH)
    return not rest and times >= LEAST_TIMES and not times & (times - 1)


def _fill_in(file: int, size_limit: int) -> int:
    times = min(MOST_TIMES, max(LEAST_TIMES, 1 << (size_limit // BYTES_PER_TIME).bit_length()))
    # All of it now: a process that writes to memory for which the disk has no room is killed.
    content = os.urandom(MARKS_SIZE) + bytes(times * TIME_WIDTH)
    os.ftruncate(file, 0)
    if os.write(file, content) < len(content):
        os.ftruncate(file, 0)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return len(content)


def marks_of(ids: Sequence[int]) -> Callable[[Any], object]:
    """Return a function that reads the marks of *ids*."""
    return itemgetter(*(id_ % MARKS for id_ in ids))
