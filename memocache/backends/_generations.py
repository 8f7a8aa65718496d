"""The fence of a cache that can no more than get, set and delete: a generation for each key and each group.

A generation is a stamp, random bytes that stand beside the key, and under the name of each group. A value carries the
stamps that were there before its computation began, and counts only while they are the present ones. Forgetting sets
another stamp. So a value that is set too late stands there in vain; and in the place of a stamp that was evicted comes
one that nothing carries. They are random and do not count up: a counter that was evicted would begin again, and bring
old values back to life.

One computation per key is certain within this process (see _leaders). Between processes a stub stands under the key
meanwhile, put there by `add` where the object has it: that is as certain as its `add` is atomic, and no value's truth
depends on it.
"""

import threading
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Final

from memocache import _envelope
from memocache._clock import now as clock
from memocache._entry import AgingEntry, Entry
from memocache._envelope import ERROR, LEASE, Envelope
from memocache._flight import Flight
from memocache._policy import FOREVER
from memocache.backends._leaders import Leaders
from memocache.backends._node import block_of, is_stamp, new_stamp
from memocache.backends._object import ForeignObject
from memocache.backends._packed import PackedCache, due, is_lease, is_present, kept_until
from memocache.backends._verbs import Verb, verb
from memocache.backends.base import Busy, Lease, Stale
from memocache.errors import BackendError, BackendUnavailable, SerializationError
from memocache.serializers._codec import ValueCodec

__all__ = ["OWN", "GenerationCache"]

ATTEMPTS: Final = 8
PLANTINGS: Final = 3
MOST_PLACES: Final = 10_000
OWN: Final = ""  # the name, in a block, of the stamp that is a key's own


@dataclass(slots=True)
class Place:
    """Where a key and its stamps stand, and what comes before the stamps in a block."""

    key: str
    groups: tuple[str, ...]
    names: list[str]  # of the key, its own stamp, those of its groups
    heads: list[bytes]


class GenerationCache(PackedCache):
    """A cache in an object with get, set and delete."""

    longest_key = 200  # the object may have a prefix of its own

    def __init__(
        self,
        foreign: ForeignObject,
        default_timeout: float | str | None,
        key_prefix: str,
        codec: ValueCodec,
    ) -> None:
        self._object = foreign
        self._start()
        self._places: dict[str, Place] = {}
        super().__init__(default_timeout, key_prefix, codec)

    def _start(self) -> None:
        self._leaders = Leaders()
        self._planting = [threading.RLock() for _ in range(64)]

    def after_fork(self) -> None:
        """Join no flight of the parent's, and wait for none of its locks."""
        self._start()
        self._object.start_anew()

    # ---- where things stand --------------------------------------------------------------------------------------

    def _own_stamp(self, key: str) -> str:
        return f"{self._prefix}#:{self._wire(key)[len(self._prefix) :]}"

    def _place(self, key: str, groups: tuple[str, ...]) -> Place:
        place = self._places.get(key)
        if place is None or place.groups != groups:
            if len(self._places) >= MOST_PLACES:
                self._places.clear()
            names = [self._wire(key), self._own_stamp(key), *map(self._wire, groups)]
            heads = [_envelope.stamp_head(name) for name in (OWN, *groups)]
            place = self._places[key] = Place(key, groups, names, heads)
        return place

    def _read(self, place: Place) -> Verb[tuple[bytes | None, bytes]]:
        """Return what stands under the key, and the block of the present stamps; those that are missing are planted."""
        for _ in range(PLANTINGS):
            data, *stamps = yield from self._object.read(place.names)
            block = block_of(place.heads, stamps)
            if block is not None:
                return data, block
            for name, stamp in zip(place.names[1:], stamps, strict=True):
                if stamp is None or not is_stamp(stamp):
                    yield from self._plant(name)
        raise BackendUnavailable(f"{self._object.name} does not keep the stamps that it is given")

    def _plant(self, name: str) -> Verb[None]:
        """Set a stamp where there is none, one thread at a time: else each would overwrite what another has read."""
        with nullcontext() if self._object.is_async else self._planting[hash(name) % len(self._planting)]:
            (stamp,) = yield from self._object.read([name])
            if stamp is None:
                yield from self._object.add(name, new_stamp(), FOREVER)
            elif not is_stamp(stamp):  # junk of somebody else's
                yield from self._object.set(name, new_stamp(), FOREVER)

    def _named(self, names: Iterable[str]) -> Verb[dict[str, bytes | None]]:
        """Return what stands under *names*, by name."""
        different = list(dict.fromkeys(names))
        return dict(zip(different, (yield from self._object.read(different)), strict=True)) if different else {}

    def _valid(self, key: str, data: bytes | None, stamps: bytes | None) -> Envelope | None:
        """Return the envelope in *data* if it carries these *stamps*."""
        envelope = self._unpack(key, data)
        return envelope if envelope is not None and envelope.stamps == stamps else None

    # ---- what the read-through needs -----------------------------------------------------------------------------

    @verb
    def look(
        self, key: str, groups: tuple[str, ...], now: float, lease: float
    ) -> Verb[Entry | Stale | Lease | Busy | None]:
        """Return the entry; else lead the flight on *key*, with a stub for other processes; else say who does."""
        place, unreadable = self._place(key, groups), None
        for attempt in range(ATTEMPTS):
            ended = self._leaders.ended(key)
            data, stamps = yield from self._read(place)
            envelope = self._valid(key, data, stamps)
            flight = self._leaders.flight(key, stamps)
            if envelope is not None and is_present(envelope, now):
                try:
                    entry = self._opened(key, envelope)
                except SerializationError as error:
                    # Not the error itself: its traceback leads back here, and would keep the lease alive.
                    unreadable = SerializationError(str(error))
                else:
                    if type(entry) is not AgingEntry or now < due(entry, envelope):
                        return entry
                    if flight is not None or self._is_led_elsewhere(envelope, now):
                        return Stale(entry, None)
                    return Stale(entry, (yield from self._refreshing(place, now, lease, envelope, entry, ended)))
            if flight is not None:
                return Busy(flight)
            if envelope is not None and self._is_led_elsewhere(envelope, now):
                return Busy(None)
            # An `add` is refused also where something stands that is not to be read.
            empty = data is None and attempt < ATTEMPTS // 2
            taken = yield from self._claim(place, now, lease, stamps, ended, empty=empty)
            if taken is not None:
                taken.unreadable = unreadable
                return taken
        return Busy(None)

    def _new_flight(self, place: Place, lease: float) -> Flight:
        flight = Flight(place.key, place.groups, lease)
        if self._object.is_async:
            flight.thread = 0  # for others in this thread's loop may find it before the task that leads it says so
        return flight

    def _is_led_elsewhere(self, envelope: Envelope, now: float) -> bool:
        """Return whether another process computes; if it was this one, that has lost its leader."""
        return is_lease(envelope, now) and not self._leaders.has_made(envelope.nonce)

    def _claim(
        self, place: Place, now: float, lease: float, stamps: bytes, ended: int | None, *, empty: bool
    ) -> Verb[Lease | None]:
        """Lead a flight, and put a stub where it is *empty*, or over what does not count. None if one was quicker."""
        key, nonce = place.key, self._leaders.new_nonce()
        flight = self._new_flight(place, lease)
        if not self._leaders.lead(flight, stamps, ended):
            return None
        taken = Lease(key, place.groups, flight, now, nonce, stamps)
        stub, stood = self._stub(key, nonce, now, lease, stamps), False
        try:
            if empty:
                stood = yield from self._object.add(place.names[0], stub, lease)
            else:
                yield from self._object.set(place.names[0], stub, lease)
                stood = True
        finally:
            if not stood:
                self._leaders.end(flight, stamps)
        return taken if stood else None

    def _refreshing(
        self, place: Place, now: float, lease: float, envelope: Envelope, entry: AgingEntry, ended: int
    ) -> Verb[Lease | None]:
        """Return the lease to replace *entry*, the same value with another nonce meanwhile; None if somebody has it."""
        nonce, stamps = self._leaders.new_nonce(), envelope.stamps
        flight = self._new_flight(place, lease)
        if not self._leaders.lead(flight, stamps, ended):
            return None
        taken = Lease(place.key, place.groups, flight, now, nonce, stamps)
        entry.held = now + lease
        try:
            packed = self._pack(place.key, entry, envelope.created, stamps, nonce)
            yield from self._object.set(place.names[0], packed, kept_until(entry) - now)
        except (BackendError, SerializationError):
            self._leaders.end(flight, stamps)
            return None  # there is something to serve all the same
        taken.replaces, taken.old = True, entry
        return taken

    @verb
    def take(self, key: str, groups: tuple[str, ...], now: float, lease: float) -> Verb[Lease | None]:
        """Take the right to replace a value (by its nonce), or put a stub in place of anything else."""
        place = self._place(key, groups)
        taken: Lease | None
        for attempt in range(ATTEMPTS):
            data, stamps = yield from self._read(place)
            envelope = self._valid(key, data, stamps)
            if envelope is not None and envelope.kind <= ERROR:
                flight = self._new_flight(place, lease)
                self._leaders.lead(flight, stamps, None)
                taken = Lease(key, groups, flight, now, envelope.nonce, stamps)
            else:
                empty = data is None and attempt < ATTEMPTS // 2
                taken = yield from self._claim(place, now, lease, stamps, None, empty=empty)
            if taken is not None:
                taken.replaces = True
                return taken
        raise BackendUnavailable(f"the lease on {key} could not be had in {ATTEMPTS} attempts")

    @verb
    def fill(self, lease: Lease, entry: Entry | None) -> Verb[bool]:
        """Set *entry* if the lease's nonce and stamps are there; should they change meanwhile, it does not count."""
        packed = b"" if entry is None else self._pack(lease.key, entry, lease.created, lease.stamps)
        place = self._place(lease.key, lease.groups)
        try:
            data, *stamps = yield from self._object.read(place.names)
            envelope = self._valid(lease.key, data, block_of(place.heads, stamps))
            if envelope is None or envelope.nonce != lease.nonce:
                return False
            if entry is not None:
                yield from self._object.set(place.names[0], packed, kept_until(entry) - clock())
            elif envelope.kind == LEASE:  # where it was to replace a value, that stays
                yield from self._object.delete(place.names[0])
            else:
                return False
            return True
        finally:
            self._leaders.end(lease.flight, lease.stamps)

    @verb
    def forget(self, key: str) -> Verb[bool]:
        """Give the key another stamp, and see that it has it; and delete what stands there."""
        return (yield from self._forgotten(key))

    def _forgotten(self, key: str) -> Verb[bool]:
        wire, own = self._wire(key), self._own_stamp(key)
        data, before = yield from self._object.read([wire, own], urgent=True)
        (left,) = yield from self._stamp_anew(own, wire)
        if data is not None and left == data:
            with suppress(BackendError):  # it does not count any more, and only takes room
                yield from self._object.delete(wire)
        envelope, stamp = self._unpack(key, data), block_of([_envelope.stamp_head(OWN)], [before])
        if envelope is None or stamp is None or not envelope.stamps.startswith(stamp):
            return False
        now = clock()
        return is_present(envelope, now) or is_lease(envelope, now)

    @verb
    def forget_group(self, group: str) -> Verb[None]:
        """Give the group another stamp, and see that it has it."""
        yield from self._stamp_anew(self._wire(group))

    def _stamp_anew(self, name: str, *beside: str) -> Verb[list[bytes | None]]:
        """Set another stamp; return what stands under *beside* when it is there.

        Many an object says nothing when it could not set, or not get. So what was set is read. Another stamp may be
        somebody else's new one, or the old one; it is new where it was not there after we had begun.
        """
        seen: set[bytes] = set()
        for _ in range(ATTEMPTS):
            stamp = new_stamp()
            yield from self._object.set(name, stamp, FOREVER)
            after, *left = yield from self._object.read([name, *beside], urgent=True)
            if after is None:
                break
            if after == stamp or (seen and after not in seen and is_stamp(after)):
                return left
            seen.add(after)
        raise BackendUnavailable(
            f"{self._object.name} does not keep the stamp that it was given to forget by "
            "(if it never keeps anything: that is what NullCache is for)"
        )

    @verb
    def peek(self, keys: Sequence[str], groups: Sequence[tuple[str, ...]], now: float) -> Verb[list[Entry | None]]:
        """Return the entries that have not expired, in one round trip if the object can do that."""
        places = [self._place(key, own) for key, own in zip(keys, groups, strict=True)]
        found = yield from self._named([name for place in places for name in place.names])
        entries: list[Entry | None] = []
        for place in places:
            data, *stamps = [found[name] for name in place.names]
            envelope = self._valid(place.key, data, block_of(place.heads, stamps))
            entry = None
            if envelope is not None and is_present(envelope, now):
                with suppress(SerializationError):
                    entry = self._opened(place.key, envelope)
            entries.append(entry)
        return entries
