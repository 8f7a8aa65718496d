"""Which entries leave an SQLite cache: the expired ones, and when it is full, those that nobody has asked for lately.

The ids of entries are digests, so that any run of neighbours is a random sample. Of a sample around the place where
room is needed the least recently used leave, as in Redis (redis.io/docs/latest/develop/reference/eviction); so there is
no order of all entries that every hit would have to change. Neighbours, too, lie on the same pages of the file: it is
there that a page becomes free, or has room again.
"""

import random
from collections.abc import Callable
from typing import Any, Final, TypeAlias

__all__ = ["FIRST_SAMPLE", "evict", "remove_expired"]

Execute: TypeAlias = Callable[..., Any]

FIRST_SAMPLE: Final = 32
LEAVING: Final = 4  # one in so many of a sample
SWEPT: Final = 64
MOST_SWEEPS: Final = 8
GOOD_SWEEP: Final = 16  # after so many of them expired it is worth while to look on
LAST_ID: Final = 2**63 - 1

NEXT: Final = "SELECT id, ends, used FROM entries WHERE id >= ? ORDER BY id LIMIT ?"
BEFORE: Final = "SELECT id, ends, used FROM entries WHERE id < ? ORDER BY id DESC LIMIT ?"
REMOVE: Final = "DELETE FROM entries WHERE id = ?"
SWEEP: Final = """
    DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE id >= ? ORDER BY id LIMIT ?) AND ends <= ?
"""


def evict(execute: Execute, around: int, size: int, now: float) -> int:
    """Remove, of *size* entries around an id, those that have expired and the least recently used; how many."""
    half = size // 2
    sample = [*execute(NEXT, (around, half)), *execute(BEFORE, (around, half))]
    sample.sort(key=lambda row: (row[1] > now, row[2]))
    expired = sum(ends <= now for _, ends, _ in sample)
    leaving = sample[: max(expired, len(sample) // LEAVING, 1)]
    for id_, _, _ in leaving:
        execute(REMOVE, (id_,))
    return len(leaving)


def remove_expired(execute: Execute, now: float) -> None:
    """Remove expired entries here and there; more, where there are many."""
    for _ in range(MOST_SWEEPS):
        if execute(SWEEP, (random.randint(-LAST_ID, LAST_ID), SWEPT, now)).rowcount < GOOD_SWEEP:
            return
