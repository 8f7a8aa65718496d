"""The read-through: look in the cache, or compute and fill; once, for threads and tasks alike (see _steps)."""

import random
from collections.abc import Callable, Generator, Sequence
from types import CoroutineType
from typing import Any, Final, TypeAlias, cast

from memocache._binding import Seen, Site
from memocache._clock import now, ticks
from memocache._effects import Ask, Compute, Computed, Detach, Instead, Join, Outcome, Pause, Raised, Run, Step, Steps
from memocache._entry import SECOND, AgingEntry, Alias, Entry, Origin
from memocache._failure import Failure
from memocache._flight import own_copy, waiting
from memocache._views import frameworks, is_response
from memocache.backends.base import Busy, Lease, Stale
from memocache.errors import BackendError, BackendUnavailable, SerializationError

__all__ = [
    "compute_only",
    "forget",
    "forget_group",
    "peek",
    "put",
    "put_kept",
    "read_through",
    "refresh",
    "UNSHARED",
    "Led",
    "give_back",
    "lead",
    "store",
]

FIRST_PAUSE: Final = 0.002
LONGEST_PAUSE: Final = 0.08

Proof: TypeAlias = "tuple[str, Callable[[Any], bool]]"


class NotYet:
    """The type of NOT_YET: nobody has looked."""


NOT_YET: Final = NotYet()


def read_through(
    site: Site, key: str, origin: Origin, seen: "Seen | NotYet" = NOT_YET, alias: "Alias | None" = None
) -> Steps:
    """Return the value under *key*, computed if need be; as an entry of this *origin*.

    *seen* is what a first look has seen, if there was one. *alias* is to lead to the entry, in process.
    """
    budget = site.wait
    pause = FIRST_PAUSE
    waited = False
    while True:
        if seen is NOT_YET:
            seen = yield Ask(site.cache.look, (key, origin.groups, now(), site.lease), site.decline, site.unanswered)
        if seen is None:
            return (yield from _alone(site))
        if isinstance(seen, Entry):
            return site.hit(seen, alias, waited=waited).value
        if type(seen) is Stale:
            lease = seen.lease
            if lease is None:
                return site.old(seen.entry)
            if (yield Detach(lead(site, lease, origin), lease.flight)):
                return site.old(seen.entry)
            lease.alias = alias
            return (yield from lead(site, lease, origin, seen.entry))
        if type(seen) is Lease:
            seen.alias = alias
            return (yield from lead(site, seen, origin))
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
            if flight.value is UNSHARED:
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


def refresh(site: Site, key: str, origin: Origin) -> Steps:
    """Compute now and store, whatever is there; return the value."""
    lease = yield Ask(site.cache.take, (key, origin.groups, now(), site.lease), site.decline, site.unanswered)
    if lease is None:
        return (yield from _alone(site))
    return (yield from lead(site, lease, origin))


def put(site: Site, key: str, origin: Origin, value: object) -> Steps:
    """Store *value* as if it had been computed now."""
    lifetime = site.policy.lifetime(value, site.cache.default_lifetime)
    yield from put_kept(site, key, origin, site.served(value), lifetime, site.policy.stale)


def put_kept(
    site: Site, key: str, origin: Origin, kept: Any, lifetime: float, stale: float, proof: "Proof | None" = None
) -> Generator[Step, Any, None]:
    """Store what is *kept* of a result.

    With *proof* it was computed under the lease of another key: it is stored only if nothing of the *origin* was
    forgotten since. That is the key, and what knows what was filled in there. Our own lease is taken before we look
    whether that still stands: a forgetting before takes it away, and one after voids our lease.
    """
    lease = yield Ask(site.cache.take, (key, origin.groups, now(), site.lease), site.decline, site.untaken)
    if lease is None:
        return
    try:
        if proof is not None and not (yield from _stands(site, origin, *proof)):
            yield from give_back(site, lease)
            return
        yield from store(site, lease, origin, kept, lifetime, 0.0, stale)
        lease.flight.land(kept)
    finally:
        lease.flight.abandon()


def _stands(site: Site, origin: Origin, key: str, is_ours: Callable[[Any], bool]) -> Generator[Step, Any, bool]:
    (entry,) = yield from peek(site, (key,), (origin.groups,))
    return entry is not None and is_ours(entry.value)


def forget(site: Site, key: str) -> Steps:
    """Forget what is under *key*, and return whether there was anything."""
    try:
        return (yield Ask(site.cache.forget, (key,)))
    except BackendError as error:
        raise site.not_forgotten(error) from error


def forget_group(site: Site, group: str) -> Steps:
    """Forget every call in *group*."""
    try:
        yield Ask(site.cache.forget_group, (group,))
    except BackendError as error:
        raise site.not_forgotten(error, "its calls were") from error


def peek(site: Site, keys: Sequence[str], groups: Sequence[tuple[str, ...]]) -> Steps:
    """Return the entries under *keys*, as members of their *groups*; none if the cache does not answer."""
    entries = (yield Ask(site.cache.peek, (keys, groups, now()), excuse=site.unseen)) if keys else []
    return [None] * len(keys) if entries is None else entries


def compute_only() -> Steps:
    """Call through: neither read nor write anything."""
    value, _, _ = yield Compute(None)
    return value


UNSHARED: Final = object()
"""Lands where a result is for its own caller only."""


def lead(site: Site, lease: Lease, origin: Origin, old: AgingEntry | None = None) -> Steps:
    """Compute under *lease*, fill, and let the waiters have it; if that fails, the caller is served what is *old*."""
    _missed(site, lease)
    try:
        computed: Computed = yield Compute(lease.flight)
    except BaseException:
        lease.flight.abandon()  # it was not computed: a waiter leads the next
        raise
    return (yield from _finished(site, lease, origin, computed, old))


class Led(Run):
    """A run of `lead`, in less time: since nothing comes before the computation, its steps begin after that."""

    __slots__ = ("_lease", "_origin", "_site")

    def __init__(self, site: Site, lease: Lease, origin: Origin) -> None:
        self._site = site
        self._lease = lease
        self._origin = origin
        self.value = None
        self.ready = False
        _missed(site, lease)
        self._begin(lease.flight)

    def computed(self, value: Any) -> Any:
        """Go on with what the function returned, and return what the caller gets."""
        site, lease = self._site, self._lease
        lifetime, kind = site.fixed_lifetime, type(value)
        is_result = kind is not Outcome and kind is not CoroutineType and not (frameworks and is_response(value))
        if lifetime is None or not is_result:
            return super().computed(value)
        # Nothing is left to decide, and nothing in this process can block: what `_finished` would do is done at once.
        cost = self._ended()
        flight = lease.flight
        try:
            if cost > site.longest:
                site.took(cost)
            entry = _entry(lease, self._origin, value, lifetime, cost)
            try:
                site.filled(site.cache.fill(lease, entry))
            except (BackendError, SerializationError) as error:
                Run(_not_taken(site, lease, error))
            flight.land(value)
        finally:
            if flight.outcome is None:
                flight.abandon()
        return value

    def _conclude(self, computed: Computed) -> None:
        self._steps = _finished(self._site, self._lease, self._origin, computed)
        self._advance(None)


def _missed(site: Site, lease: Lease) -> None:
    """Count a miss, which is going to be computed under *lease*."""
    if lease.unreadable is not None:
        site.failed("a stored result could not be read, so it is computed again", lease.unreadable)
    site.counters.misses += 1


def _finished(site: Site, lease: Lease, origin: Origin, computed: Computed, old: AgingEntry | None = None) -> Steps:
    """Do what follows the computation, and return what the caller gets, as `lead` does."""
    value, error, cost = computed
    try:
        if cost > site.longest:
            site.took(cost)
        if error is not None:
            lifetime = site.policy.remembered(error)
            if lifetime and isinstance(error, Exception):
                yield from store(site, lease, origin, Failure.of(error), lifetime, cost)
            else:
                yield from give_back(site, lease, error)
            if not isinstance(error, Exception):
                return None
            _crash(site, lease, error)
            return None if old is None or lifetime else Instead(site.old(old))
        try:
            outcome = value if type(value) is Outcome else site.outcome(value)
        except Exception as wrong:  # noqa: BLE001 - of the user's function, for the user and the waiters to see
            yield from give_back(site, lease, wrong)
            _crash(site, lease, wrong)
            return Raised(wrong)
        if outcome.error is not None:
            yield from give_back(site, lease, outcome.error)
            lease.flight.land(UNSHARED)
            return value if old is None else Instead(site.old(old))
        yield from store(site, lease, origin, outcome.kept, outcome.lifetime, cost, outcome.stale)
        lease.flight.land(outcome.kept if outcome.shared else UNSHARED)
        return value
    finally:
        if lease.flight.outcome is None:
            lease.flight.abandon()  # nothing above has ended it: a waiter leads the next


def _crash(site: Site, lease: Lease, error: Exception) -> None:
    if site.alone:
        lease.flight.land(UNSHARED)
    else:
        lease.flight.crash(error)


def store(
    site: Site, lease: Lease, origin: Origin, value: Any, lifetime: float, cost: float, stale: float = 0.0
) -> Generator[Step, Any, None]:
    """Fill *lease*; whatever prevents that is counted, and the lease is given back."""
    if lifetime <= 0:
        yield from _leave_nothing(site, lease)
        return
    entry = _entry(lease, origin, value, lifetime, cost)
    if type(value) is Failure:
        lease.alias = None  # which would hand it out as a value
    elif stale:
        entry = site.aging(entry, lifetime, stale)
    try:
        stood = yield Ask(site.cache.fill, (lease, entry))
    except (BackendError, SerializationError) as error:
        yield from _not_taken(site, lease, error)
    else:
        site.filled(stood)


def _entry(lease: Lease, origin: Origin, value: object, lifetime: float, cost: float) -> Entry:
    fresh = now() + lifetime
    return Entry(lease.key, value, fresh, fresh, int(cost * SECOND), origin)


def _not_taken(site: Site, lease: Lease, error: Exception) -> Generator[Step, Any, None]:
    """Count and tell that the cache did not take a result; if it never will, nothing shall stand in its place."""
    if isinstance(error, BackendUnavailable):
        site.untaken(error)
    else:
        site.failed("a result cannot be stored", error)
        yield from _leave_nothing(site, lease)


def _leave_nothing(site: Site, lease: Lease) -> Generator[Step, Any, None]:
    """Give *lease* back for a result that is not stored; where it was to replace another, that one goes, too."""
    yield from give_back(site, lease)
    if lease.replaces:
        try:
            yield Ask(site.cache.forget, (lease.key,))
        except BackendError as error:
            site.failed("the cache did not forget a result that was to be replaced", error)


def give_back(site: Site, lease: Lease, error: BaseException | None = None) -> Generator[Step, Any, None]:
    """Give *lease* back; if it was to refresh something, that is served on, and an *error* is counted."""
    old = lease.old
    if old is not None:
        old.held = 0.0
        if isinstance(error, Exception):
            old.hold(now())
    try:
        yield Ask(site.cache.fill, (lease, old))
    except BackendError as unavailable:
        site.failed("the cache did not take a lease back", unavailable)
    if old is not None and isinstance(error, Exception):
        site.failed("a refresh raised, so that the old result is served on", error)
