"""TieredCache: values in this process, before a cache that processes share."""

import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

from memocache._clock import now as clock
from memocache._policy import Duration, seconds
from memocache._url import Url
from memocache.backends._far import ask
from memocache.backends._schemes import tiers
from memocache.backends._tiers import Tiers
from memocache.backends._verbs import Verb, verb
from memocache.backends.base import Cache
from memocache.backends.simple import SimpleCache
from memocache.errors import ConfigurationError

__all__ = ["TieredCache"]

R = TypeVar("R")

_nears: Final["weakref.WeakSet[SimpleCache]"] = weakref.WeakSet()
"""The near tiers that there are."""


class TieredCache(Tiers):
    """A cache in this process (*near*) before one that processes share (*far*).

    What was read from *far* is served from *near* for at most *near_timeout* seconds, and never longer than *far*
    itself would serve it. A hit there takes no round trip, and hardly longer than on a SimpleCache.

    In this process, forgetting is as absolute as ever: no call that starts after it has returned is given a result
    whose computation began before. Another process, whose near tier knows nothing of it, may go on serving the old
    result for *near_timeout* at most. On a RedisCache the processes tell each other, so that it is mostly a moment; but
    a message may be lost, and then it is *near_timeout* again.

    A value is read from *far* as an object of its own, which *near* hands to everybody: see `copy=` of `cached`.

    Example: `cache = TieredCache(SimpleCache(threshold=1000), MemcachedCache(["127.0.0.1:11211"]), near_timeout=5)`

    Args:
        near: a SimpleCache of this tier's own, empty.
        far: the cache that all processes use; its `default_timeout` is this one's.
        near_timeout: how long *near* may serve a value without asking *far*; seconds, a timedelta or text such as "5s",
            above 0.

    Raises:
        ConfigurationError: for tiers that cannot work.
    """

    def __init__(self, near: SimpleCache, far: Cache, near_timeout: Duration = 5) -> None:
        _check(near, far)
        given = seconds(near_timeout, "near_timeout")
        if given <= 0:
            raise ConfigurationError(
                f"near_timeout={near_timeout!r}; wanted: a duration above 0 for which the near tier may serve a value "
                "without asking the far one. Without a near tier, use the far cache itself"
            )
        _nears.add(near)
        super().__init__(near, far, given)

    @classmethod
    def url_arguments(cls, url: Url) -> dict[str, Any]:
        """Return the arguments that "tiered+..." stands for."""
        return tiers(url)

    def __repr__(self) -> str:
        return f"TieredCache({self._near!r}, {self._far!r}, near_timeout={self._near_timeout:g})"

    def close(self) -> None:
        """Close the far cache, where there is something to close; the cache can be used again."""
        self._channel.reset()
        close = getattr(self._far, "close", None)
        if close is not None:
            close()

    # ---- what a user calls ---------------------------------------------------------------------------------------

    @verb
    def get(self, key: str) -> Verb[object]:
        """Return the value under *key*, or None if there is none or it has expired; from near, if it is there."""
        values = yield from self._got((key,))
        return values[key]

    @verb
    def get_many(self, *keys: str) -> Verb[list[object]]:
        """Return the values of *keys* in their order, None where there is none; from near those that are there."""
        values = yield from self._got(keys)
        return [values[key] for key in keys]

    @verb
    def get_dict(self, *keys: str) -> Verb[dict[str, object]]:
        """Return the values by key, None where there is none; from near those that are there."""
        return (yield from self._got(keys))

    def _got(self, keys: Sequence[str]) -> Verb[dict[str, object]]:
        values = self._near.get_dict(*keys)
        missing = [key for key, value in values.items() if value is None]
        # What a user has set is in no group. Of the results of functions only far can say whether they count.
        entries = yield from self._peeked(missing, [()] * len(missing), clock())
        found = {key: entry.value for key, entry in zip(missing, entries, strict=True) if entry is not None}
        rest = [key for key in missing if key not in found]
        if rest:
            found.update((yield ask(self._far.get_dict, *rest)))
        return values | found

    @verb
    def has(self, key: str) -> Verb[bool]:
        """Return whether *key* has a value, be it None."""
        return self._near.has(key) or bool((yield ask(self._far.has, key)))

    @verb
    def set(self, key: str, value: object, timeout: float | None = None) -> Verb[bool]:
        """Store *value* in far, from where near has it when it is asked for; True if it is stored."""
        return (yield from self._changed((key,), ask(self._far.set, key, value, timeout)))

    @verb
    def add(self, key: str, value: object, timeout: float | None = None) -> Verb[bool]:
        """Store *value* in far unless *key* has a value there already; True if it is stored."""
        return (yield from self._changed((key,), ask(self._far.add, key, value, timeout)))

    @verb
    def delete(self, key: str) -> Verb[bool]:
        """Delete what is under *key*; True if there was something."""
        return (yield from self._forgotten(key))

    @verb
    def clear(self) -> Verb[bool]:
        """Delete everything in both tiers, whoever put it there."""
        try:
            done: bool = yield ask(self._far.clear)
        finally:
            self._near.clear()
        yield from self._channel.send_all()
        return done

    @verb
    def inc(self, key: str, delta: int = 1) -> Verb[int]:
        """Add *delta* to the number under *key* in far atomically, and return the sum."""
        return (yield from self._changed((key,), ask(self._far.inc, key, delta)))

    @verb
    def dec(self, key: str, delta: int = 1) -> Verb[int]:
        """Subtract *delta* from the number under *key* in far atomically, and return the rest."""
        return (yield from self._changed((key,), ask(self._far.dec, key, delta)))

    @verb
    def set_many(self, mapping: Mapping[str, object], timeout: float | None = None) -> Verb[list[str]]:
        """Store all of *mapping* in far for *timeout* seconds; return the keys that are stored."""
        return (yield from self._changed(tuple(mapping), ask(self._far.set_many, mapping, timeout)))

    @verb
    def delete_many(self, *keys: str) -> Verb[list[str]]:
        """Delete all *keys*; return those that had something in far."""
        return (yield from self._changed(keys, ask(self._far.delete_many, *keys)))

    def _changed(self, keys: Sequence[str], change: "ask[R]") -> Verb[R]:
        """Return what the *change* of *keys* in far returns; near forgets them, be it what it may."""
        try:
            result: R = yield change
        finally:
            for key in keys:
                self._near.forget(key)
        for key in keys:
            yield from self._channel.send_key(key)
        return result


def _check(near: object, far: object) -> None:
    """Raise ConfigurationError if these cannot be the tiers of one cache."""
    if not isinstance(near, SimpleCache):
        raise ConfigurationError(
            f"near= got a {type(near).__name__}; wanted: a SimpleCache, such as SimpleCache(threshold=1000)"
        )
    if near in _nears or len(near):
        raise ConfigurationError(
            "near= is in use already, and what it holds would be served here, too; "
            "wanted: a new SimpleCache, for this tier alone"
        )
    if isinstance(far, TieredCache):
        raise ConfigurationError("far= is a TieredCache itself; wanted: its far cache, with one near tier before it")
    if not isinstance(far, Cache):
        raise ConfigurationError(
            f"far= got a {type(far).__name__}; wanted: a cache that processes share, "
            "such as MemcachedCache(['127.0.0.1:11211'])"
        )
    if not far.shared:
        raise ConfigurationError(
            f"far= is a {type(far).__name__}, which is in this process like the near tier; "
            "wanted: a cache that processes share, such as MemcachedCache(['127.0.0.1:11211'])"
        )
