"""Listing: the entries that a cache holds, found page by page; StoredEntry: what is told of one, without its value."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final

from memocache._clock import ticks
from memocache._listeners import listeners
from memocache.backends.base import Cache, call_verb
from memocache.errors import BackendError, ConfigurationError, UncacheFailed
from memocache.keys import all_tag, call_tag, without_version

DIGEST: Final = "#"
"""Stands before the key of a StoredEntry where the cache has only a digest of it."""
AT_ONCE: Final = 100  # entries that are described in one round trip


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """A description of an entry that was found in a cache; all times are in seconds."""

    key: str
    """The key in the cache; where the cache has a digest of it only, that, with a '#' before it."""
    namespace: str
    """Whose results it is with: the name of the function, or its `namespace=`; empty if the cache does not tell."""
    tag: str
    """The name of the tag that all results of that namespace have; empty for what a user has set."""
    age: float
    """The time since its computation began."""
    expires_in: float | None
    """The time until its timeout is over, which may be below 0 while it may be served stale; None: never."""
    stale_for: float
    """The time for which it may be served after that; 0: not at all."""
    cost: float
    """How long the computation took."""
    size: int | None
    """The bytes that it takes on a shared cache, without its key; None in process."""


class Listing:
    """An iterator over the entries of a *cache*, or of one *namespace* in it, in no order; it can be used once.

    It reads from the cache as it goes on, and holds one page of it at a time: what moves meanwhile may be told twice.
    At most *limit* are told of; the rest is only counted. It raises BackendError where the cache does not answer, be it
    in the middle.
    """

    def __init__(
        self,
        cache: Cache,
        namespace: str | None,
        pages: Iterable[Sequence[Any]],
        describe: Callable[[Sequence[Any]], Iterable[StoredEntry]],
        limit: int,
    ) -> None:
        self.deadline = inf
        """The time on `ticks` at which it ends between two pages, whatever is left."""
        self.others = 0
        """How many more there are, when the iterator has ended; about, since some may have been forgotten."""
        self._cache = cache
        self._namespace = namespace
        self._entries = self._described(pages, describe, limit)

    def _described(
        self, pages: Iterable[Sequence[Any]], describe: Callable[[Sequence[Any]], Iterable[StoredEntry]], left: int
    ) -> Iterator[StoredEntry]:
        for page in pages:
            if ticks() > self.deadline:
                return
            position = 0
            while left > 0 and position < len(page):
                some = page[position : position + min(left, AT_ONCE)]
                position += len(some)
                for entry in describe(some):
                    left -= 1
                    yield entry
            self.others += len(page) - position

    def __iter__(self) -> Iterator[StoredEntry]:
        return self._entries

    def __next__(self) -> StoredEntry:
        return next(self._entries)

    def through(self, cache: Cache) -> "Listing":
        """Return this listing, of the far tier of *cache*: whatever it forgets is forgotten in both tiers."""
        self._cache = cache
        return self

    # ---- forgetting ----------------------------------------------------------------------------------------------

    def forget(self, key: str) -> bool:
        """Forget the call whose entry has been told of with this *key*, as `uncache` does; it blocks.

        Return whether there was something. UncacheFailed if the cache did not acknowledge it.
        """
        if key.startswith(DIGEST):
            return bool(self._forgotten(key, self._cache.forget_listed, key))
        call = without_version(key)
        return bool(self._forgotten(key, self._cache.forget_call, tuple(dict.fromkeys((key, call))), call_tag(call)))

    def forget_all(self) -> None:
        """Forget every call of the namespace, as `uncache_all` does; it blocks. UncacheFailed as above."""
        if self._namespace is None:
            raise ConfigurationError("a listing of a whole cache cannot forget it all; use clear(), or name a function")
        tag = all_tag(self._namespace)
        self._forgotten(tag, self._cache.forget_tag, tag)

    def _forgotten(self, what: str, verb: Callable[..., Any], *arguments: Any) -> Any:
        cache = self._cache
        try:
            answer = call_verb(verb, *arguments)
        except BackendError as error:
            raise UncacheFailed(
                f"the cache did not acknowledge that {what} was forgotten, so that it may still be served: {error}"
            ) from error
        finally:  # nobody who starts when this has returned joins what began before
            if cache.stand_in is not None:
                cache.stand_in.clear()
        if tell := listeners.get("uncached"):
            tell(self._namespace or "", what, cache)
        return answer
