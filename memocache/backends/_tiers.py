"""Tiers: how a cache in this process stands before one that processes share, for the read-through."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from memocache._entry import AgingEntry, Alias, Entry, Origin
from memocache.backends._far import ask, take, take_awaited
from memocache.backends._forget_channel import ForgetChannel
from memocache.backends._verbs import Verb, verb
from memocache.backends.base import Busy, Cache, Lease, Stale, Usage
from memocache.backends.simple import SimpleCache
from memocache.errors import BackendError
from memocache.stats import Counters

__all__ = ["Tiers"]

TICKET: Final = 60.0  # seconds that an answer of far may take and still be put into near
EARLY: Final = 0.1  # of near_timeout: so much before its end, the first who comes asks far for all

R = TypeVar("R")


class Tiers(Cache):
    """What a function's entries go through: *near* before *far*, for *near_timeout* seconds at a time.

    Whatever is put into near, somebody may be forgetting at that very moment. So a ticket is taken first, which is a
    lease of near's own; then far is asked; then near takes what came of it, if the ticket still stands. Forgetting goes
    the same way, far first: its end in near voids the tickets of all who may have asked far before.
    """

    shared = True
    has_near = True

    def __init__(self, near: SimpleCache, far: Cache, near_timeout: float) -> None:
        self._near = near
        self._far = far
        self._near_timeout = near_timeout
        self._channel = ForgetChannel(near, far)
        # By groups: what far gives does not say whose it is.
        self._origins: weakref.WeakValueDictionary[tuple[str, ...], Origin] = weakref.WeakValueDictionary()
        self.awaited_only = far.awaited_only
        super().__init__(far.default_timeout)

    @property
    def near(self) -> SimpleCache:
        """The tier in this process."""
        return self._near

    @property
    def far(self) -> Cache:
        """The tier that processes share."""
        return self._far

    # ---- from far to near ----------------------------------------------------------------------------------------

    def _twin(self, entry: Entry, groups: tuple[str, ...], moment: float) -> Entry | None:
        """Return what near may serve of *entry*, which far had at this *moment* or later; None if it is not fresh."""
        end = moment + self._near_timeout
        if entry.fresh <= moment:
            return None
        origin = entry.origin or self._origins.get(groups) or Origin(groups)
        if entry.fresh <= end:
            return Entry(entry.key, entry.value, entry.fresh, entry.fresh, entry.cost, origin)
        # Near takes that for an entry to be refreshed: one asks far, and the others are served meanwhile.
        early = end - self._near_timeout * EARLY
        return AgingEntry(entry.key, entry.value, early, end, entry.cost, origin, until=end)

    @verb
    def look(
        self, key: str, groups: tuple[str, ...], now: float, lease: float
    ) -> Verb[Entry | Stale | Lease | Busy | None]:
        """Return the entry in near, asking nobody; else what far says, whose entry near then has."""
        seen = self._near.look(key, groups, now, TICKET)
        if isinstance(seen, Entry):
            return seen
        old, ticket = (seen.entry, seen.lease) if type(seen) is Stale else (None, seen)
        if old is not None and ticket is None:
            return _hit(old)
        self._channel.receive()
        found = twin = None
        try:
            found = yield ask(self._far.look, key, groups, now, lease)
            if isinstance(found, Entry):
                twin = self._twin(found, groups, now)
        except BackendError:
            if old is None:
                raise
            return _hit(old)  # its time is not over yet
        finally:
            is_near = type(ticket) is Lease and self._near.fill(ticket, twin)
        return _hit(twin) if is_near and twin is not None else found

    @verb
    def take(self, key: str, groups: tuple[str, ...], now: float, lease: float) -> Verb[Lease | None]:
        """Take far's lease."""
        taken: Lease | None = yield ask(self._far.take, key, groups, now, lease)
        return taken

    @verb
    def fill(self, lease: Lease, entry: Entry | None) -> Verb[bool]:
        """Fill far's *lease*; near forgets what it has, and will have *entry* from far."""
        # Not from here: far need not tell whether its group was forgotten meanwhile, and the caller may change it.
        try:
            stood: bool = yield ask(self._far.fill, lease, entry)
        finally:
            if entry is not None and entry is not lease.old:
                self._near.forget(lease.key)
        if stood and lease.replaces and lease.old is None:
            yield from self._channel.send_key(lease.key)
        return stood

    @verb
    def forget(self, key: str) -> Verb[bool]:
        """Forget in far, then in near, be far's answer what it may."""
        return (yield from self._forgotten(key))

    def _forgotten(self, key: str) -> Verb[bool]:
        # Far first: the other way round, a reader could refill near from far in between.
        try:
            was_far: bool = yield ask(self._far.forget, key)
        finally:
            was_near = self._near.forget(key)
        yield from self._channel.send_key(key)
        return was_far or was_near

    @verb
    def forget_group(self, group: str) -> Verb[None]:
        """Forget the group in far, then in near."""
        try:
            yield ask(self._far.forget_group, group)
        finally:
            self._near.forget_group(group)
        yield from self._channel.send_group(group)

    @verb
    def peek(self, keys: Sequence[str], groups: Sequence[tuple[str, ...]], now: float) -> Verb[list[Entry | None]]:
        """Return the entries in near, and in one round trip to far those that are not there; near then has these."""
        return (yield from self._peeked(keys, groups, now))

    def _peeked(self, keys: Sequence[str], groups: Sequence[tuple[str, ...]], now: float) -> Verb[list[Entry | None]]:
        entries = self._near.peek(keys, groups, now)
        missing = [at for at, entry in enumerate(entries) if entry is None or now >= entry.fresh]
        if not missing:
            return entries
        self._channel.receive()
        tickets = [self._near.take(keys[at], groups[at], now, TICKET) for at in missing]
        found: Sequence[Entry | None] = [None] * len(missing)
        try:
            found = yield ask(self._far.peek, [keys[at] for at in missing], [groups[at] for at in missing], now)
        finally:
            for at, ticket, entry in zip(missing, tickets, found, strict=True):
                twin = None if entry is None else self._twin(entry, groups[at], now)
                is_near = self._near.fill(ticket, twin)
                entries[at] = twin if is_near and twin is not None else entry
        return entries

    # ---- what near knows of functions ----------------------------------------------------------------------------

    def name_types(self, annotation: object) -> None:
        """Let far make values of the types in *annotation*."""
        self._far.name_types(annotation)

    def introduce(self, origin: Origin) -> None:
        """Let near count the hits of *origin*'s entries for it."""
        self._origins[origin.groups] = origin

    def usage(self, group: str, counters: Counters) -> Usage:
        """Return what near holds of *group*."""
        return self._near.usage(group, counters)

    def alias(self, entry: Entry, alias: Alias) -> None:
        """Let *alias* lead to *entry*, as long as it lives in near."""
        self._near.alias(entry, alias)

    async def awaited(
        self,
        call: Callable[..., Any],
        arguments: tuple[Any, ...],
        unwanted: Callable[[Any], object] | None = None,
        /,
    ) -> Any:
        """Ask far in its own way not to block; what is near is returned at once."""
        steps = getattr(call, "__wrapped__", None)
        if steps is None:
            return await super().awaited(call, arguments, unwanted)
        return await take_awaited(steps(self, *arguments), self._far.awaited, unwanted)

    def _take_verb(self, verb: Verb[R]) -> R:
        return take(verb)

    def after_fork(self) -> None:
        """Be another tier than the parent's to all others."""
        self._channel.reset()
        if self._far.can_send:
            # Before it has asked far, it does not listen; and what is near would keep it from asking.
            self._near.after_fork()
            self._near.clear()


def _hit(entry: Entry) -> Entry:
    """Return *entry*, which is in near, and has to count that."""
    entry.hits += 1
    return entry
