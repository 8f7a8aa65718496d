"""NullCache: caching switched off."""

from collections.abc import Sequence
from typing import Any

from memocache.backends._listing import Listing
from memocache.backends.base import MOST_LISTED, Cache, Entry, Lease, countable
from memocache.backends.urls import Url, duration

__all__ = ["NullCache"]


class NullCache(Cache):
    """A cache that keeps nothing: every call computes, as if its function were not decorated.

    For tests and for looking for faults, where what is asked for is the function itself: calls at the same time compute
    each for itself, too. Forgetting has nothing to do, and never fails. All their calls are misses.

    >>> cache = NullCache()
    >>> cache.set("answer", 42)
    False
    >>> cache.get("answer") is None
    True

    Args:
        default_timeout: is checked, for whatever stands in another cache's place.

    Raises:
        ConfigurationError: for a *default_timeout* that is no duration.
    """

    shared = False  # nobody else has to know what a key means

    def __init__(self, default_timeout: float | str | None = 300) -> None:
        super().__init__(default_timeout)

    @classmethod
    def url_arguments(cls, url: Url) -> dict[str, Any]:
        """Return the arguments that "null://" stands for."""
        url.allow_only()
        return url.options({"default_timeout": duration})

    def __repr__(self) -> str:
        return f"NullCache(default_timeout={self.default_timeout:g})"

    # ---- what a user calls ---------------------------------------------------------------------------------------

    def get(self, key: str) -> None:
        """Return None: there is nothing."""
        return

    def set(self, key: str, value: object, timeout: float | None = None) -> bool:
        """Store nothing, and say so; the *timeout* is checked."""
        self.lifetime(timeout)
        return False

    def add(self, key: str, value: object, timeout: float | None = None) -> bool:
        """Store nothing, and say so; the *timeout* is checked."""
        return self.set(key, value, timeout)

    def delete(self, key: str) -> bool:
        """Return False: there was nothing."""
        return False

    def has(self, key: str) -> bool:
        """Return False."""
        return False

    def clear(self) -> bool:
        """Return True: there is nothing."""
        return True

    def inc(self, key: str, delta: int = 1) -> int:
        """Return *delta*: the number counts from 0 each time."""
        return countable(key, delta)

    def listing(self, namespace: str | None = None, limit: int = MOST_LISTED) -> Listing:
        """Return nothing: there is nothing."""
        return Listing(self, namespace, (), lambda places: (), limit)

    # ---- what the read-through needs -----------------------------------------------------------------------------

    def look(self, key: str, tags: tuple[str, ...], now: float, lease: float) -> None:
        """Return None: whoever asks computes for itself."""
        return

    def claim(self, key: str, tags: tuple[str, ...], now: float, lease: float) -> None:
        """Return None: nothing is to be stored."""
        return

    def fill(self, lease: Lease, entry: Entry | None) -> bool:
        """Return False: nobody has a lease on anything here."""
        return False

    def forget(self, key: str) -> bool:
        """Return False: there was nothing."""
        return False

    def forget_tag(self, tag: str) -> None:
        """Do nothing: there is nothing."""

    def peek(self, keys: Sequence[str], tags: Sequence[tuple[str, ...]], now: float) -> list[Entry | None]:
        """Return None for each key."""
        return [None] * len(keys)
