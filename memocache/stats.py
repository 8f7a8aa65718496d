"""Counters and Info: the figures of a cached function."""

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Counters", "Info"]


@dataclass(frozen=True, slots=True)
class Info:
    """The figures of one function on the cache in use, counted in this process.

    A call is counted once: as a hit if it was served a stored value, as stale if the timeout of that was over, as a
    wait if it was served the result of a computation that another call had begun, else as a miss. A refresh, also one
    in the background, is a miss, too. A failure is whatever was not done for us: the cache was down, a value
    could not be stored, a computation took longer than its lease, a refresh in the background raised. *stored*
    counts the results that were stored, *seconds_saved* adds up the computation times of the entries that were hit.
    *currsize* and *maxsize* are None where the cache is not in this process; of a TieredCache they are its near tier's.
    """

    hits: int = 0
    misses: int = 0
    stale: int = 0
    waits: int = 0
    failures: int = 0
    stored: int = 0
    seconds_saved: float = 0.0
    currsize: int | None = None
    maxsize: int | None = None

    def __iter__(self) -> Iterator[int | None]:
        """Go through the figures of functools: `hits, misses, maxsize, currsize = f.cache_info()`."""
        return iter((self.hits, self.misses, self.maxsize, self.currsize))


class Counters:
    """The running figures of one function on one cache.

    Incremented without a lock: with its global lock, CPython does not switch
    threads between the reading and the writing of `x.n += 1`.
    """

    __slots__ = ("failures", "hits", "misses", "saved", "stale", "stored", "waits")

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Start again at zero."""
        self.hits = self.misses = self.stale = self.waits = self.failures = self.stored = 0
        self.saved = 0.0
