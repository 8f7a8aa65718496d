"""The read-through: look in the cache, or compute and fill; once, for threads and tasks alike (see _steps)."""

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

from memocache._clock import now, ticks
from memocache._entry import SECOND, Alias, Entry, Origin
from memocache._flight import own_copy, waiting
from memocache._policy import Policy
from memocache._steps import Ask, Compute, Computed, Join, Pause, Raised, Served, Step, Steps
from memocache.backends.base import Busy, Cache, Lease
from memocache.errors import BackendError, BackendUnavailable, SerializationError
from memocache.stats import Counters

__all__ = ["Seen", "Site", "compute_only", "lead", "put", "read_through", "refresh"]

FIRST_LEASE: Final = 60.0
LEAST_LEASE: Final = 2.0
FIRST_PAUSE: Final = 0.002
LONGEST_PAUSE: Final = 0.08


Seen: TypeAlias = "Entry | Lease | Busy | None"


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
    lease: float = field(init=False)  # for how many seconds a computation may hold its key
    warned: set[str] = field(default_factory=set)
    origin: Origin = field(init=False)  # of the entries
    direct: bool = field(init=False)  # whether the cache is in this process, so that nothing in it can block

    def __post_init__(self) -> None:
        self.lease = FIRST_LEASE
        self.origin = Origin(self.groups, self.counters)
        self.direct = not self.cache.shared

    def took(self, cost: float) -> None:
        """Learn that a computation has taken *cost* seconds, longer than all before."""
        self.longest = cost
        self.lease = max(LEAST_LEASE, 2 * cost)

    def look(self, key: str, moment: float) -> "Seen":
        """Return what the cache says of *key* at this *moment*; None if it does not answer."""
        try:
            return self.cache.look(key, self.groups, moment, self.lease)
        except BackendError as error:
            # Told here, and not handed on: its traceback would keep the frames alive, and with them what they lead.
            self.unanswered(error)
            return None

    def decline(self, seen: "Seen") -> None:
        """Give back the lease that a look has brought, if any, since nobody is there any more to compute."""
        if type(seen) is not Lease:
            return
        try:
            self.cache.fill(seen, None)
        except BackendError as error:
            self.failed("the cache did not take a lease back", error)
        finally:
            seen.flight.abandon()

    def unanswered(self, error: BackendError) -> None:
        """Count and tell that there was an *error* instead of an answer."""
        self.failed("the cache did not answer, so the call was computed and not stored", error)

    def hit(self, entry: Entry, alias: "Alias | None", *, waited: bool = False) -> Entry | Served:
        """Count that *entry* is served, and return what has the value that the caller gets."""
        if not self.direct:  # a cache elsewhere does not count for us
            if waited:
                self.counters.waits += 1
            else:
                self.counters.hits += 1
                self.counters.saved += entry.cost / SECOND
        if alias is not None:
            self.cache.alias(entry, alias)
        return entry if self.copied is None else Served(self.copied(entry.value))

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
            import logging  # not before something goes wrong: it takes a tenth of the whole import

            logging.getLogger("memocache").warning(
                "%s: %s%s (said once; see info())", self.title, what, f": {error}" if error else ""
            )


def read_through(site: Site, key: str, seen: "Seen | NotYet" = NOT_YET, alias: "Alias | None" = None) -> Steps:
    """Return the value under *key*, computed if need be.

    *seen* is what a first look has seen, if there was one. *alias* is to lead to the entry, in process.
    """
    budget = site.wait
    pause = FIRST_PAUSE
    waited = False
    while True:
        if seen is NOT_YET:
            seen = yield Ask(site.look, (key, now()), site.decline)
        if seen is None:
            return (yield from _alone(site))
        if type(seen) is Entry:
            return site.hit(seen, alias, waited=waited).value
        if type(seen) is Lease:
            seen.alias = alias
            return (yield from lead(site, seen))
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
    value, _, _ = yield Compute(None)
    return value


def lead(site: Site, lease: Lease) -> Steps:
    """Compute under *lease*, fill, and let the waiters have it."""
    if lease.unreadable is not None:
        site.failed("a stored result could not be read, so it is computed again", lease.unreadable)
    site.counters.misses += 1
    try:
        computed: Computed = yield Compute(lease.flight)
        value, error, cost = computed
        if cost > site.longest:
            site.took(cost)
        if error is not None:
            yield from _give_back(site, lease)
            if isinstance(error, Exception):
                lease.flight.crash(error)
            return None
        try:
            lifetime = site.policy.lifetime(value, site.cache.default_lifetime)
            kept = value if site.copied is None else site.copied(value)  # the leader may change its own
        except Exception as wrong:  # noqa: BLE001 - of the user's function, for the user and the waiters to see
            yield from _give_back(site, lease)
            lease.flight.crash(wrong)
            return Raised(wrong)
        yield from _store(site, lease, kept, lifetime, cost)
        lease.flight.land(kept)
        return value
    finally:
        if lease.flight.outcome is None:
            lease.flight.abandon()  # nothing above has ended it: a waiter leads the next


def _store(site: Site, lease: Lease, value: Any, lifetime: float, cost: float) -> Generator[Step, Any, None]:
    """Fill *lease*; whatever prevents that is counted, and the lease is given back."""
    if lifetime <= 0:
        yield from _leave_nothing(site, lease)
        return
    fresh = now() + lifetime
    entry = Entry(lease.key, value, fresh, fresh, int(cost * SECOND), site.origin)
    try:
        stood = site.cache.fill(lease, entry) if site.direct else (yield Ask(site.cache.fill, (lease, entry)))
    except BackendUnavailable as error:
        site.failed("the cache did not take a result", error)
    except (BackendError, SerializationError) as error:
        site.failed("a result cannot be stored", error)
        yield from _leave_nothing(site, lease)
    else:
        if stood:
            site.counters.stored += 1
        else:
            site.failed("a lease was lost while computing, so the result was not stored")


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


def refresh(site: Site, key: str) -> Steps:
    """Compute now and store, whatever is there; return the value."""
    try:
        lease = yield Ask(site.cache.take, (key, site.groups, now(), site.lease), site.decline)
    except BackendError as error:
        site.failed("the cache did not answer, so the call was computed and not stored", error)
        return (yield from _alone(site))
    return (yield from lead(site, lease))


def put(site: Site, key: str, value: object) -> Steps:
    """Store *value* as if it had been computed now."""
    lifetime = site.policy.lifetime(value, site.cache.default_lifetime)
    kept = site.served(value)
    try:
        lease = yield Ask(site.cache.take, (key, site.groups, now(), site.lease), site.decline)
    except BackendError as error:
        site.failed("the cache did not take a result", error)
        return
    try:
        yield from _store(site, lease, kept, lifetime, 0.0)
        lease.flight.land(kept)
    finally:
        lease.flight.abandon()


def compute_only() -> Steps:
    """Call through: neither read nor write anything."""
    value, _, _ = yield Compute(None)
    return value
