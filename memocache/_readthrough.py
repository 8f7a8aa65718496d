"""The read-through: look in the cache, or compute and fill; once, for threads and tasks alike (see _steps)."""

import random
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, TypeAlias, cast

from memocache._clock import now, ticks
from memocache._entry import Alias, Entry, Origin
from memocache._flight import own_copy, waiting
from memocache._leading import UNSHARED, give_back, lead, store
from memocache._site import Seen, Site
from memocache._steps import Ask, Compute, Detach, Join, Pause, Raised, Step, Steps
from memocache.backends.base import Busy, Lease, Stale
from memocache.errors import BackendError

__all__ = ["compute_only", "forget", "forget_group", "peek", "put", "put_kept", "read_through", "refresh"]

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
