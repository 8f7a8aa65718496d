"""A cache that was filled to its limit: what that took, and what hits and misses take then."""

import gc
import os
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.harness import WrongWork

__all__ = ["HOT_KEYS", "Filled", "resident_bytes"]

HOT_KEYS: Final = 100
HITS: Final = 10_000  # of each round
MISSES: Final = 1000
STATM: Final = Path("/proc/self/statm")


class Filled:
    """Functions whose caches are full, with *entries* in all at least, so that one entry's share can be told.

    Args:
        build: takes the size of a cache, and returns what decorates a function with one.
        size: how many entries each cache has.
        entries: how many are weighed at least.
    """

    def __init__(self, build: Callable[[int], Any], size: int, entries: int) -> None:
        self._computed = 0
        self._keys = list(range(size))
        self._hot = random.sample(self._keys, min(HOT_KEYS, size))
        self._next = size
        functions = [build(size)(self._function()) for _ in range(max(1, entries // size))]
        number = len(functions) * size
        gc.collect()
        before, began = resident_bytes(), time.perf_counter()
        for f in functions:
            for key in self._keys:
                f(key)
        taken = time.perf_counter() - began
        gc.collect()
        after = resident_bytes()
        self._check(number, self._computed)
        self._f = functions[0]
        self._seconds = taken / number
        self._bytes = None if before is None or after is None else (after - before) / number

    def _function(self) -> Callable[[int], None]:
        def compute(number: int) -> None:
            self._computed += 1

        return compute

    def filling(self) -> float:
        """Return the seconds that an entry took, growing and collecting garbage included."""
        return self._seconds

    def weight(self) -> float | None:
        """Return the bytes that an entry took; None if the system does not tell."""
        return self._bytes

    def hot(self) -> float:
        """Return the seconds of a hit on one of the hot keys, always the same."""
        return self._timed(random.choices(self._hot, k=HITS), computed=0)

    def hit(self) -> float:
        """Return the seconds of a hit on any key."""
        return self._timed(random.choices(self._keys, k=HITS), computed=0)

    def miss(self) -> float:
        """Return the seconds of a miss, for which another entry has to leave."""
        first, self._next = self._next, self._next + MISSES
        return self._timed(range(first, self._next), computed=MISSES)

    def _timed(self, keys: Sequence[int], computed: int) -> float:
        f, before = self._f, self._computed
        began = time.perf_counter()
        for key in keys:
            f(key)
        taken = time.perf_counter() - began
        self._check(computed, self._computed - before)
        return taken / len(keys)

    def _check(self, wanted: int, really: int) -> None:
        if really != wanted:
            raise WrongWork(f"{really} were computed; wanted: {wanted}")


def resident_bytes() -> int | None:
    """Return how much memory this process has; None where the system does not tell.

    It counts what is not Python's own, too, as with caches in C or Rust.
    """
    try:
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
