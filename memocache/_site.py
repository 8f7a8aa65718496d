"""Site: a decorated function on one cache; what it asks there, and what it counts."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from memocache._clock import now
from memocache._entry import SECOND, AgingEntry, Alias, Entry, Origin
from memocache._policy import Policy, StoredException, refresh_margin
from memocache._steps import Outcome, Served
from memocache._views import frameworks, is_response
from memocache.backends.base import Busy, Cache, Lease, Stale
from memocache.errors import BackendError, UncacheFailed
from memocache.stats import Counters

__all__ = ["Seen", "Site"]

FIRST_LEASE: Final = 60.0
LEAST_LEASE: Final = 2.0
MOST_ORIGINS: Final = 10_000

Seen: TypeAlias = "Entry | Stale | Lease | Busy | None"
"""What a cache says of a key; None if it does not answer."""


@dataclass(slots=True)
class Site:
    """A decorated function on one cache: all that the read-through must know of it."""

    title: str
    cache: Cache
    groups: tuple[str, ...]
    policy: Policy
    wait: float
    copied: Callable[[Any], Any] | None  # what protects an in-process value from its callers
    counters: Counters = field(default_factory=Counters)
    longest: float = 0.0  # computation seen, in seconds
    lease: float = field(init=False)  # for how many seconds a computation may hold its key
    warned: set[str] = field(default_factory=set)
    alone: bool = False  # whether an exception is for its own caller only
    origin: Origin = field(init=False)  # of the entries
    _tagged: dict[tuple[str, ...], Origin] = field(default_factory=dict)
    direct: bool = field(init=False)  # whether the cache is in this process, so that nothing in it can block
    fixed_lifetime: float | None = field(init=False)  # in process, of all results, if it depends on nothing
    near: Cache | None = field(init=False)  # the cache, or its tier, in this process: shortcuts lead there

    def __post_init__(self) -> None:
        self.lease = FIRST_LEASE
        self.origin = Origin(self.groups, self.counters)
        self.direct = not self.cache.shared
        is_plain = self.direct and self.copied is None
        self.fixed_lifetime = self.policy.fixed_lifetime(self.cache.default_lifetime) if is_plain else None
        self.near = self.cache.near
        self.cache.introduce(self.origin)

    def took(self, cost: float) -> None:
        """Learn that a computation has taken *cost* seconds, longer than all before."""
        self.longest = cost
        self.lease = max(LEAST_LEASE, 2 * cost)

    def look(self, key: str, groups: tuple[str, ...], moment: float) -> "Seen":
        """Return what the cache says of *key* at this *moment*; None if it does not answer."""
        try:
            return self.cache.look(key, groups, moment, self.lease)
        except BackendError as error:
            self.unanswered(error)
            return None

    def decline(self, seen: "Seen") -> None:
        """Give back the lease that a look has brought, if any, since nobody is there any more to compute."""
        lease = seen.lease if type(seen) is Stale else seen
        if type(lease) is not Lease:
            return
        if lease.old is not None:
            lease.old.held = 0.0
        try:
            self.cache.fill(lease, lease.old)
        except BackendError as error:
            self.failed("the cache did not take a lease back", error)
        finally:
            lease.flight.abandon()

    def filled(self, stood: bool) -> None:
        """Count that a result was stored; or tell that it was not, since its lease no longer *stood*."""
        if stood:
            self.counters.stored += 1
        else:
            self.failed("a lease was lost while computing, so the result was not stored")

    def outcome(self, value: Any) -> Outcome:
        """Return what is to become of a computed *value*; what the user's functions raise, this does."""
        if frameworks and is_response(value):
            self.failed(
                "a function that is no view returned a response, which belongs to one request, so it was not stored; "
                "return the data, or put @cached on the view itself (view=True if it is not found to be one; an "
                "endpoint of Starlette or FastAPI is one if it takes the request)"
            )
            return Outcome(value, None, 0.0, 0.0, shared=False)
        lifetime = self.policy.lifetime(value, self.cache.default_lifetime)
        kept = value if self.copied is None else self.copied(value)  # the leader may change its own
        return Outcome(value, kept, lifetime, self.policy.stale, shared=True)

    def aging(self, entry: Entry, lifetime: float, stale: float) -> AgingEntry:
        """Return *entry* as one that may be served for *stale* seconds when its timeout is over."""
        until = entry.fresh
        # In this process it is decided now when the first refreshes it; elsewhere by everyone who looks.
        fresh = until - refresh_margin(entry, lifetime) if self.direct else until
        expires = until + stale
        return AgingEntry(entry.key, entry.value, fresh, expires, entry.cost, entry.origin, until=until)

    def unanswered(self, error: BackendError) -> None:
        """Count and tell that there was an *error* instead of an answer."""
        self.failed("the cache did not answer, so the call was computed and not stored", error)

    def not_forgotten(self, error: BackendError, what: str = "the call was") -> UncacheFailed:
        """Return what a forgetting raises that the cache answered with an *error*."""
        return UncacheFailed(
            f"{self.title}: the cache did not acknowledge that {what} forgotten, "
            f"so that old results may still be served: {error}"
        )

    def untaken(self, error: BackendError) -> None:
        """Count and tell that there was an *error* instead of storing."""
        self.failed("the cache did not take a result", error)

    def unseen(self, error: BackendError) -> None:
        """Count and tell that there was an *error* instead of an answer, where nothing was to be computed."""
        self.failed("the cache did not answer", error)

    def hit(self, entry: Entry, alias: "Alias | None", *, waited: bool = False) -> Entry | Served:
        """Count that *entry* is served, and return what has the value that the caller gets."""
        if not entry.counts:
            if waited:
                self.counters.waits += 1
            else:
                self.counters.hits += 1
                self.counters.saved += entry.cost / SECOND
        if type(entry.value) is StoredException:
            raise entry.value.rebuild()
        if alias is not None:
            self.cache.alias(entry, alias)
        return entry if self.copied is None else Served(self.copied(entry.value))

    def old(self, entry: AgingEntry) -> Any:
        """Count that *entry* is served while somebody refreshes it, and return the value that the caller gets."""
        if now() >= entry.until:
            self.counters.stale += 1
        elif entry.counts:
            entry.hits += 1
        else:
            self.counters.hits += 1
            self.counters.saved += entry.cost / SECOND
        return self.served(entry.value)

    def in_groups(self, tags: tuple[str, ...]) -> Origin:
        """Return the origin of the entries that are in the groups *tags*, too."""
        origin = self._tagged.get(tags)
        if origin is None:
            if len(self._tagged) >= MOST_ORIGINS:
                self._tagged.clear()
            origin = self._tagged[tags] = Origin((*self.groups, *tags), self.counters)
            self.cache.introduce(origin)
        return origin

    def served(self, value: Any) -> Any:
        if type(value) is StoredException:
            raise value.rebuild()
        return value if self.copied is None else self.copied(value)

    def failed(self, what: str, error: Exception | None = None) -> None:
        """Count that the cache did not do something; log the first time of each kind."""
        self.counters.failures += 1
        kind = f"{what} {type(error).__name__}"
        if kind not in self.warned:
            self.warned.add(kind)
            import logging  # not before something goes wrong: it takes a tenth of the whole import

            logging.getLogger("memocache").warning(
                "%s: %s%s (said once; see info())", self.title, what, f": {error}" if error else ""
            )
