"""EntryInfo: what `entry()` of a cached function tells of one stored result."""

from dataclasses import dataclass
from math import isfinite

from memocache._clock import now
from memocache._entry import SECOND, Entry, EntryScope, StaleableEntry
from memocache.backends.base import Cache


@dataclass(frozen=True, slots=True)
class EntryInfo:
    """A description of the entry that is stored for one call, without its value; all times are in seconds."""

    key: str
    """The key in the cache."""
    age: float
    """The time since its computation began."""
    expires_in: float | None
    """The time until its timeout is over, which may be below 0 while it is served stale; None: never."""
    stale_for: float
    """The time for which it may be served after that, while somebody refreshes it; 0: not at all."""
    cost: float
    """How long the computation took."""
    size: int | None
    """The bytes that it takes on a shared cache, without its key; None in process."""
    tags: tuple[str, ...]
    """The tags of the call."""


def describe(entry: Entry, cache: Cache, tags: tuple[str, ...], scope: EntryScope) -> EntryInfo:
    """Return what is known of *entry* in a *scope* on *cache*, which has these *tags*."""
    end, moment = entry.fresh_until if isinstance(entry, StaleableEntry) else entry.expires_at, now()
    return EntryInfo(
        key=entry.key,
        age=max(0.0, moment - entry.serve_from),
        expires_in=end - moment if isfinite(end) else None,
        stale_for=entry.expires_at - end if isfinite(end) else 0.0,
        cost=entry.cost / SECOND,
        size=cache.size_of(entry, scope.tags),
        tags=tags,
    )
