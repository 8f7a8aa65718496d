"""The read-through: look in the cache, or compute and fill; once, for threads and tasks alike (see _steps)."""

import logging
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

from memocache._clock import now, ticks
from memocache._entry import Entry
from memocache._flight import own_copy, waiting
from memocache._policy import Policy
from memocache._steps import Ask, Compute, Computed, Join, Pause, Raised, Step, Steps
from memocache.backends.base import Busy, Cache, Hit, Lease
from memocache.errors import BackendError, BackendUnavailable, SerializationError
from memocache.stats import Counters

__all__ = ["Site", "compute_only", "put", "read_through", "refresh"]

log: Final = logging.getLogger("memocache")

FIRST_LEASE: Final = 60.0
LEAST_LEASE: Final = 2.0
FIRST_PAUSE: Final = 0.002
LONGEST_PAUSE: Final = 0.08


Seen: TypeAlias = "Hit | Lease | Busy | None"


class NotYet:
    """The type of NOT_YET: nobody has looked."""


NOT_YET: Final = NotYet()


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
    warned: set[str] = field(default_factory=set)

    @property
    def lease(self) -> float:
        """For how many seconds a computation may hold its key."""
        return max(LEAST_LEASE, 2 * self.longest) if self.longest else FIRST_LEASE

    def look(self, key: str) -> "Seen":
        """Return what the cache says of *key*; None if it does not answer."""
        try:
            return self.cache.look(key, self.groups, now(), self.lease)
        except BackendError as error:
            # Told here, and not handed on: its traceback would keep the frames alive, and with them what they lead.
            self.failed("the cache did not answer, so the call was computed and not stored", error)
            return None

    def hit(self, entry: Entry, found: Callable[[Entry], None] | None = None, *, waited: bool = False) -> Any:
        """Count that *entry* was served, and return what the caller gets."""
        if entry.counters is None:  # it came from a cache elsewhere, which does not count for us
            if waited:
                self.counters.waits += 1
            else:
                self.counters.hits += 1
                self.counters.saved += entry.cost
        if found is not None:
            found(entry)
        return self.served(entry.value)

    def peek(self, key: str) -> Entry | None:
        """Return the fresh entry under *key*; none if the cache does not answer."""
        try:
            return self.cache.peek((key,), self.groups, now())[0]
        except BackendError as error:
            self.failed("the cache did not answer", error)
            return None

    def served(self, value: Any) -> Any:
        return value if self.copied is None else self.copied(value)

    def failed(self, what: str, error: BackendError | SerializationError | None = None) -> None:
        """Count that the cache did not do something; log the first time of each kind."""
        self.counters.failures += 1
        kind = f"{what} {type(error).__name__}"
        if kind not in self.warned:
            self.warned.add(kind)
            log.warning("%s: %s%s (said once; see info())", self.title, what, f": {error}" if error else "")


def read_through(
    site: Site, key: str, seen: "Seen | NotYet" = NOT_YET, found: Callable[[Entry], None] | None = None
) -> Steps:
    """Return the value under *key*, computed if need be.

    *seen* is what a first look has seen, if there was one. *found* is told the entry, where there is one.
    """
    budget = site.wait
    pause = FIRST_PAUSE
    waited = False
    while True:
        if seen is NOT_YET:
            seen = yield Ask(site.look, (key,))
        if seen is None:
            return (yield from _alone(site))
        if type(seen) is Hit:
            return site.hit(seen.entry, found, waited=waited)
        if type(seen) is Lease:
            if seen.unreadable is not None:
                site.failed("a stored result could not be read, so it is computed again", seen.unreadable)
            return (yield from _lead(site, seen, found))
        if budget <= 0:
            return (yield from _alone(site))
        began = ticks()
        flight = cast(Busy, seen).flight
        if flight is not None:
            with waiting(flight) as allowed:
                if not allowed:
                    return (yield from _alone(site))
                ended = yield Join(flight, budget)
            if ended is None:
                return (yield from _alone(site))
            if ended and flight.outcome != "abandoned":
                site.counters.waits += 1
                return Raised(own_copy(flight.error)) if flight.error else site.served(flight.value)
        else:
            yield Pause(min(budget, random.uniform(pause / 2, pause)))
            pause = min(2 * pause, LONGEST_PAUSE)
        seen = NOT_YET
        waited = True
        budget -= ticks() - began


def _alone(site: Site) -> Steps:
    """Compute for this caller only."""
    site.counters.misses += 1
    computed: Computed = yield Compute(None)
    return computed.value


def _lead(site: Site, lease: Lease, found: Callable[[Entry], None] | None) -> Steps:
    """Compute under *lease*, fill, and let the waiters have it."""
    created = now()  # before computing: what changes meanwhile is not in it
    site.counters.misses += 1
    try:
        computed: Computed = yield Compute(lease.flight)
        site.longest = max(site.longest, computed.cost)
        if computed.error is not None:
            yield from _give_back(site, lease)
            if isinstance(computed.error, Exception):
                lease.flight.crash(computed.error)
            return None
        value = computed.value
        try:
            lifetime = site.policy.lifetime(value, site.cache.default_lifetime)
            kept = site.served(value)  # the leader may change its own
        except Exception as error:  # noqa: BLE001 - of the user's function, for the user and the waiters to see
            yield from _give_back(site, lease)
            lease.flight.crash(error)
            return Raised(error)
        yield from _store(site, lease, kept, created, lifetime, computed.cost, found)
        lease.flight.land(kept)
        return value
    finally:
        lease.flight.abandon()  # if nothing above has ended it: a waiter leads the next


def _store(
    site: Site,
    lease: Lease,
    value: Any,
    created: float,
    lifetime: float,
    cost: float,
    found: Callable[[Entry], None] | None,
) -> Generator[Step, Any, bool]:
    """Fill *lease*; whatever prevents that is counted, and the lease is given back."""
    if lifetime <= 0:
        yield from _leave_nothing(site, lease)
        return False
    entry = Entry(
        lease.key,
        value,
        created,
        now() + lifetime,
        cost=cost,
        groups=site.groups,
        counters=None if site.cache.shared else site.counters,
    )
    try:
        stood = yield Ask(site.cache.fill, (lease, entry))
    except BackendUnavailable as error:
        site.failed("the cache did not take a result", error)
        return False
    except (BackendError, SerializationError) as error:
        site.failed("a result cannot be stored", error)
        yield from _leave_nothing(site, lease)
        return False
    if not stood:
        site.failed("a lease was lost while computing, so the result was not stored")
        return False
    site.counters.stored += 1
    if found is not None:
        found(entry)
    return True


def _leave_nothing(site: Site, lease: Lease) -> Generator[Step, Any, None]:
    """Give *lease* back for a result that is not stored; where it was to replace another, that one goes, too."""
    yield from _give_back(site, lease)
    if lease.replaces:
        try:
            yield Ask(site.cache.forget, (lease.key,))
        except BackendError as error:
            site.failed("the cache did not forget a result that was to be replaced", error)


def _give_back(site: Site, lease: Lease) -> Generator[Step, Any, None]:
    try:
        yield Ask(site.cache.fill, (lease, None))
    except BackendError as error:
        site.failed("the cache did not take a lease back", error)


def refresh(site: Site, key: str, found: Callable[[Entry], None] | None) -> Steps:
    """Compute now and store, whatever is there; return the value."""
    try:
        lease = yield Ask(site.cache.take, (key, site.groups, now(), site.lease))
    except BackendError as error:
        site.failed("the cache did not answer, so the call was computed and not stored", error)
        return (yield from _alone(site))
    return (yield from _lead(site, lease, found))


def put(site: Site, key: str, value: object) -> Steps:
    """Store *value* as if it had been computed now."""
    lifetime = site.policy.lifetime(value, site.cache.default_lifetime)
    kept = site.served(value)
    try:
        lease = yield Ask(site.cache.take, (key, site.groups, now(), site.lease))
    except BackendError as error:
        site.failed("the cache did not take a result", error)
        return
    try:
        yield from _store(site, lease, kept, now(), lifetime, 0.0, None)
        lease.flight.land(kept)
    finally:
        lease.flight.abandon()


def compute_only() -> Steps:
    """Call through: neither read nor write anything."""
    computed: Computed = yield Compute(None)
    return computed.value
