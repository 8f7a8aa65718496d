"""Which entries leave an SQLite cache: the expired ones, and when it is full, those that nobody has asked for lately.

The ids of entries are digests, so that any run of neighbours is a random sample. Of a sample around the place where
room is needed the least recently used leave, as in Redis (redis.io/docs/latest/develop/reference/eviction); so there is
no order of all entries that every hit would have to change. Neighbours, too, lie on the same pages of the file: it is
there that a page becomes free, or has room again. What is kept is as good as with LRU, measured.
"""

import random
from collections.abc import Callable
from typing import Any, Final, TypeAlias

__all__ = ["MOST_EVICTIONS", "evict", "remove_expired"]

Execute: TypeAlias = Callable[..., Any]

MOST_EVICTIONS: Final = 16  # one after the other
SAMPLE: Final = 32
LEAVING: Final = 8  # one in so many of a sample
SWEPT: Final = 64
MOST_SWEEPS: Final = 8
GOOD_SWEEP: Final = 16  # after so many of them expired it is worth while to look on
LAST_ID: Final = 2**63 - 1

AFTER: Final = "SELECT id FROM entries WHERE id > ? ORDER BY id LIMIT ?"
BEFORE: Final = "SELECT id FROM entries WHERE id < ? ORDER BY id DESC LIMIT ?"
REMOVE: Final = "DELETE FROM entries WHERE id = ?"
SWEEP: Final = """
    DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE id >= ? ORDER BY id LIMIT ?) AND ends <= ?
"""


def evict(execute: Execute, age: Callable[[int], int], around: int, attempt: int) -> None:
    """Remove some of those around an id that nobody has asked for longest, as *age* says; more with each *attempt*."""
    size = SAMPLE << attempt
    sample = [*execute(AFTER, (around, size // 2)), *execute(BEFORE, (around, size // 2))]
    ids = sorted((id_ for (id_,) in sample), key=age, reverse=True)
    # A large value needs whole pages, which only become free when there is little left on them.
    share = max(2, LEAVING >> attempt)
    for id_ in ids[: max(1, len(ids) // share)]:
        execute(REMOVE, (id_,))


def remove_expired(execute: Execute, now: float) -> None:
    """Remove expired entries here and there; more, where there are many."""
    for _ in range(MOST_SWEEPS):
        if execute(SWEEP, (random.randint(-LAST_ID, LAST_ID), SWEPT, now)).rowcount < GOOD_SWEEP:
            return
