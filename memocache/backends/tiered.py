"""TieredCache: values in this process, before a cache that processes share."""

import contextlib
import os
import weakref
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from math import inf
from typing import Any, Final, TypeVar

from memocache._clock import now as clock
from memocache._counters import Counters
from memocache._entry import Entry, EntryScope, FastKey, StaleableEntry
from memocache._policy import Duration, seconds
from memocache.backends._facts import ServerFacts
from memocache.backends._listing import DIGEST, Listing
from memocache.backends.base import MOST_LISTED, Busy, Cache, CacheCall, Lease, Stale, Usage, blocks
from memocache.backends.simple import SimpleCache
from memocache.backends.urls import Url, tier_arguments
from memocache.errors import BackendError, ConfigurationError, with_article
from memocache.keys import call_tag

__all__ = ["ForgetChannel", "TieredCache"]

KEY: Final = "key"
TAG: Final = "group"  # on the wire
ALL: Final = "all"


class ForgetChannel:
    """The way by which near tiers tell each other of what was forgotten: it sends through *far*, and clears *near*.

    It is a courtesy: a message may be lost, and near's own timeout is what holds.
    """

    def __init__(self, near: Cache, far: Cache) -> None:
        self._near = near
        self._far = far
        self.reset()

    def reset(self) -> None:
        """Be another sender, that does not receive yet: in the beginning, and in a process that was forked."""
        self._name = os.urandom(8).hex()
        self._is_receiving = not self._far.can_send

    def receive(self) -> None:
        """Receive from now on; not before there is something in near, since it may take a thread."""
        if self._is_receiving:
            return
        self._is_receiving = True
        here = weakref.ref(self)

        def receiver(message: str | None) -> None:
            channel = here()
            if channel is not None:
                channel.handle(message)

        try:
            self._far.receive(receiver)
        except RuntimeError:  # no more threads, or the interpreter shuts down: the next who looks tries again
            self._is_receiving = False

    def handle(self, message: str | None) -> None:
        """Have near forget what another one says was forgotten; all of it, if messages may have been lost."""
        name, what, which = (*("" if message is None else message).split(" ", 2), "", "")[:3]
        if message is None or (name != self._name and what == ALL):
            self._near.clear()
        elif name != self._name and what == KEY:
            self._near.forget(which)
            self._near.forget_tag(call_tag(which))
        elif name != self._name and what == TAG:
            self._near.forget_tag(which)

    async def send_key(self, key: str) -> None:
        """Tell that *key* was forgotten or replaced in far; without a version, that it was so in all versions."""
        await self._send(f"{KEY} {key}")

    async def send_tag(self, tag: str) -> None:
        """Tell that *tag* was forgotten in far."""
        await self._send(f"{TAG} {tag}")

    async def send_all(self) -> None:
        """Tell that far is empty."""
        await self._send(ALL)

    async def _send(self, what: str) -> None:
        if self._far.can_send:
            # If it fails, it is forgotten all the same, and elsewhere within near_timeout.
            with contextlib.suppress(BackendError):
                await CacheCall(self._far, self._far.send, (f"{self._name} {what}",))


R = TypeVar("R")

TICKET: Final = 60.0  # seconds that an answer of far may take and still be put into near
EARLY: Final = 0.1  # of near_timeout: so much before its end, the first who comes asks far for all


_nears: Final["weakref.WeakSet[SimpleCache]"] = weakref.WeakSet()
"""The near tiers that there are."""


class TieredCache(Cache):
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

    shared = True
    has_near = True

    def __init__(self, near: SimpleCache, far: Cache, near_timeout: Duration = 5) -> None:
        _check(near, far)
        given = seconds(near_timeout, "near_timeout")
        if given <= 0:
            raise ConfigurationError(
                f"near_timeout={near_timeout!r}; wanted: a duration above 0 for which the near tier may serve a value "
                "without asking the far one. Without a near tier, use the far cache itself"
            )
        _nears.add(near)
        self._near = near
        self._far = far
        self._near_timeout = given
        self._latest = -inf  # moment that the wall clock has shown
        self._channel = ForgetChannel(near, far)
        # By tags: what far gives does not say whose it is.
        self._scopes: weakref.WeakValueDictionary[tuple[str, ...], EntryScope] = weakref.WeakValueDictionary()
        self.awaited_only, self.one_machine = far.awaited_only, far.one_machine
        super().__init__(far.default_timeout)

    @classmethod
    def url_arguments(cls, url: Url) -> dict[str, Any]:
        """Return the arguments that "tiered+..." stands for."""
        return tier_arguments(url)

    def __repr__(self) -> str:
        return f"TieredCache({self._near!r}, {self._far!r}, near_timeout={self._near_timeout:g})"

    def close(self) -> None:
        """Close the far cache, where there is something to close; the cache can be used again."""
        self._channel.reset()
        close = getattr(self._far, "close", None)
        if close is not None:
            close()

    def _ask(self, verb: Callable[..., Any], *arguments: Any) -> CacheCall:
        return CacheCall(self._far, verb, arguments)

    def runs_in_tasks(self) -> bool:
        """Return whether far can be asked in the running event loop."""
        return self._far.runs_in_tasks()

    def remember_loop(self) -> None:
        """Let far learn of the running event loop."""
        self._far.remember_loop()

    @property
    def near(self) -> SimpleCache:
        """The tier in this process."""
        return self._near

    @property
    def far(self) -> Cache:
        """The tier that processes share."""
        return self._far

    # ---- from far to near ----------------------------------------------------------------------------------------

    # Whatever is put into near, somebody may be forgetting at that very moment. So a ticket is taken first, which is a
    # lease of near's own; then far is asked; then near takes what came of it, if the ticket still stands. Forgetting
    # goes the same way, far first: its end in near voids the tickets of all who may have asked far before.

    def _near_entry(self, entry: Entry, tags: tuple[str, ...], moment: float) -> Entry | None:
        """Return what near may serve of *entry*, which far had at this *moment* or later; None if it is not fresh."""
        end = moment + self._near_timeout
        if entry.serve_until <= moment:
            return None
        scope = entry.scope or self._scopes.get(tags) or EntryScope(tags)
        if entry.serve_until <= end:
            return Entry(entry.key, entry.value, entry.serve_until, entry.cost, scope)
        # Near takes that for an entry to be refreshed: one asks far, and the others are served meanwhile.
        early = end - self._near_timeout * EARLY
        return StaleableEntry(entry.key, entry.value, early, end, entry.cost, scope, fresh_until=end)

    def _notice(self, now: float) -> None:
        """Empty near if the wall clock was set back: nobody knows how old it is, what is there."""
        if now < self._latest - self._near_timeout:
            self._near.clear()
            self._latest = now
        elif now > self._latest:
            self._latest = now

    async def look(
        self, key: str, tags: tuple[str, ...], now: float, lease: float
    ) -> Entry | Stale | Lease | Busy | None:
        """Return the entry in near, asking nobody; else what far says, whose entry near then has."""
        self._notice(now)
        seen = self._near.look(key, tags, now, TICKET)
        if isinstance(seen, Entry):
            return seen
        old, ticket = (seen.entry, seen.lease) if type(seen) is Stale else (None, seen)
        if old is not None and ticket is None:
            return _hit(old)
        self._channel.receive()
        found = near_entry = None
        try:
            found = await self._ask(self._far.look, key, tags, now, lease)
            if isinstance(found, Entry):
                near_entry = self._near_entry(found, tags, now)
        except BackendError:
            if old is None:
                raise
            return _hit(old)  # its time is not over yet
        finally:
            is_near = type(ticket) is Lease and self._near.fill(ticket, near_entry)
        return _hit(near_entry) if is_near and near_entry is not None else found

    async def claim(self, key: str, tags: tuple[str, ...], now: float, lease: float) -> Lease | None:
        """Take far's lease."""
        taken: Lease | None = await self._ask(self._far.claim, key, tags, now, lease)
        return taken

    async def fill(self, lease: Lease, entry: Entry | None) -> bool:
        """Fill far's *lease*; near forgets what it has, and will have *entry* from far."""
        # Not from here: far need not tell whether its tag was forgotten meanwhile, and the caller may change it.
        try:
            stood: bool = await self._ask(self._far.fill, lease, entry)
        finally:
            if entry is not None and entry is not lease.old:
                self._near.forget(lease.key)
        if stood and lease.replaces and lease.old is None:
            await self._channel.send_key(lease.key)
        return stood

    async def forget(self, key: str) -> bool:
        """Forget in far, then in near, be far's answer what it may."""
        # Far first: the other way round, a reader could refill near from far in between.
        try:
            was_far: bool = await self._ask(self._far.forget, key)
        finally:
            was_near = self._near.forget(key)
        await self._channel.send_key(key)
        return was_far or was_near

    async def forget_call(self, keys: tuple[str, ...], tag: str) -> bool:
        """Forget the call in far, then in near."""
        try:
            was_far: bool = await self._ask(self._far.forget_call, keys, tag)
        finally:
            was_near = [key for key in keys if self._near.forget(key)]
            self._near.forget_tag(tag)
        await self._channel.send_key(keys[-1])
        return was_far or bool(was_near)

    async def forget_tag(self, tag: str) -> None:
        """Forget the tag in far, then in near."""
        try:
            await self._ask(self._far.forget_tag, tag)
        finally:
            self._near.forget_tag(tag)
        await self._channel.send_tag(tag)

    async def peek(self, keys: Sequence[str], tags: Sequence[tuple[str, ...]], now: float) -> list[Entry | None]:
        """Return the entries in near, and in one round trip to far those that are not there; near then has these."""
        self._notice(now)
        entries = self._near.peek(keys, tags, now)
        missing = [at for at, entry in enumerate(entries) if entry is None or now >= entry.serve_until]
        if not missing:
            return entries
        self._channel.receive()
        tickets = [self._near.claim(keys[at], tags[at], now, TICKET) for at in missing]
        found: Sequence[Entry | None] = [None] * len(missing)
        try:
            found = await self._ask(self._far.peek, [keys[at] for at in missing], [tags[at] for at in missing], now)
        finally:
            for at, ticket, entry in zip(missing, tickets, found, strict=True):
                near_entry = None if entry is None else self._near_entry(entry, tags[at], now)
                is_near = self._near.fill(ticket, near_entry)
                entries[at] = near_entry if is_near and near_entry is not None else entry
        return entries

    def listing(self, namespace: str | None = None, limit: int = MOST_LISTED) -> Listing:
        """Return the entries in far."""
        return self._far.listing(namespace, limit).through(self)

    def facts(self) -> Sequence[ServerFacts]:
        """Return what the servers of far tell."""
        return self._far.facts()

    async def forget_listed(self, key: str) -> bool:
        """Forget in far, then in near; all of near, where far tells a digest only."""
        try:
            was_far: bool = await self._ask(self._far.forget_listed, key)
        finally:
            if key.startswith(DIGEST):
                self._near.clear()
            else:
                self._near.forget(key)
        await (self._channel.send_all() if key.startswith(DIGEST) else self._channel.send_key(key))
        return was_far

    # ---- what near knows of functions ----------------------------------------------------------------------------

    def name_types(self, annotation: object) -> None:
        """Let far make values of the types in *annotation*."""
        self._far.name_types(annotation)

    def introduce(self, scope: EntryScope) -> None:
        """Let near count the hits of *scope*'s entries for it."""
        self._scopes[scope.tags] = scope

    def remember(self, known: MutableMapping[Any, Any]) -> None:
        """Let far empty *known* when everything is deleted."""
        self._far.remember(known)

    def usage(self, tag: str, counters: Counters) -> Usage:
        """Return what near holds of *tag*."""
        return self._near.usage(tag, counters)

    def alias(self, entry: Entry, alias: FastKey) -> None:
        """Let *alias* lead to *entry*, as long as it lives in near."""
        self._near.alias(entry, alias)

    def after_fork(self) -> None:
        """Be another tier than the parent's to all others."""
        self._channel.reset()
        if self._far.can_send:
            # Before it has asked far, it does not listen; and what is near would keep it from asking.
            self._near.after_fork()
            self._near.clear()

    # ---- what a user calls ---------------------------------------------------------------------------------------

    def get(self, key: str) -> object:
        """Return the value under *key*, or None if there is none or it has expired; from near, if it is there."""
        return self.get_dict(key)[key]

    @blocks
    async def get_dict(self, *keys: str) -> dict[str, object]:
        """Return the values by key, None where there is none; from near those that are there."""
        now = clock()
        self._notice(now)
        values = self._near.get_dict(*keys)
        missing = [key for key, value in values.items() if value is None]
        # What a user has set is in no tag. Of the results of functions only far can say whether they count.
        entries = await self.peek(missing, [()] * len(missing), now)
        found = {key: entry.value for key, entry in zip(missing, entries, strict=True) if entry is not None}
        rest = [key for key in missing if key not in found]
        if rest:
            found.update(await self._ask(self._far.get_dict, *rest))
        return values | found

    @blocks
    async def has(self, key: str) -> bool:
        """Return whether *key* has a value, be it None."""
        self._notice(clock())
        return self._near.has(key) or bool(await self._ask(self._far.has, key))

    @blocks
    async def set(self, key: str, value: object, timeout: float | None = None) -> bool:
        """Store *value* in far, from where near has it when it is asked for; True if it is stored."""
        return await self._changed((key,), self._ask(self._far.set, key, value, timeout))

    @blocks
    async def add(self, key: str, value: object, timeout: float | None = None) -> bool:
        """Store *value* in far unless *key* has a value there already; True if it is stored."""
        return await self._changed((key,), self._ask(self._far.add, key, value, timeout))

    @blocks
    async def delete(self, key: str) -> bool:
        """Delete what is under *key*; True if there was something."""
        return await self.forget(key)

    @blocks
    async def clear(self) -> bool:
        """Delete everything in both tiers, whoever put it there."""
        try:
            done: bool = await self._ask(self._far.clear)
        finally:
            self._near.clear()
        await self._channel.send_all()
        return done

    @blocks
    async def inc(self, key: str, delta: int = 1) -> int:
        """Add *delta* to the number under *key* in far atomically, and return the sum."""
        return await self._changed((key,), self._ask(self._far.inc, key, delta))

    @blocks
    async def set_many(self, mapping: Mapping[str, object], timeout: float | None = None) -> list[str]:
        """Store all of *mapping* in far for *timeout* seconds; return the keys that are stored."""
        return await self._changed(tuple(mapping), self._ask(self._far.set_many, mapping, timeout))

    @blocks
    async def delete_many(self, *keys: str) -> list[str]:
        """Delete all *keys*; return those that had something in far."""
        return await self._changed(keys, self._ask(self._far.delete_many, *keys))

    async def _changed(self, keys: Sequence[str], change: CacheCall) -> R:
        """Return what the *change* of *keys* in far returns; near forgets them, be it what it may."""
        try:
            result: R = await change
        finally:
            for key in keys:
                self._near.forget(key)
        for key in keys:
            await self._channel.send_key(key)
        return result


def _hit(entry: Entry) -> Entry:
    """Return *entry*, which is in near, and has to count that."""
    entry.hits += 1
    return entry


def _check(near: object, far: object) -> None:
    """Raise ConfigurationError if these cannot be the tiers of one cache."""
    if not isinstance(near, SimpleCache):
        raise ConfigurationError(
            f"near= got {with_article(type(near))}; wanted: a SimpleCache, such as SimpleCache(threshold=1000)"
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
            f"far= got {with_article(type(far))}; wanted: a cache that processes share, "
            "such as MemcachedCache(['127.0.0.1:11211'])"
        )
    if not far.shared:
        raise ConfigurationError(
            f"far= is {with_article(type(far))}, which is in this process like the near tier; "
            "wanted: a cache that processes share, such as MemcachedCache(['127.0.0.1:11211'])"
        )
