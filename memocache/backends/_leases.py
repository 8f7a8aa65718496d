"""The fence of memcached and its kin: a lease is a stub under the key, filled by compare-and-swap.

A miss puts a stub with a random nonce under the key (`add`). Whoever put it computes, reads the key again, and swaps
the value in if the stub is still its own. Forgetting is an acknowledged `delete`: it takes value or stub away, and
with the stub the right to fill. The swap is guarded by the nonce, not by the cas id of the `add`: ids start again at 1
when a server does. After Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013, section 3.2.1, in the commands of
the text protocol.

A group is a stamp: random bytes under the group's name, read in the same round trip as the key. Entries and stubs
carry the stamps under which they were made, and count only while those are the present ones. A stamp that was evicted
is replaced by another, so that nothing comes back to life.
"""

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from memocache._clock import now as clock
from memocache._entry import Entry, StaleableEntry
from memocache._envelope import ERROR, LEASE, Envelope
from memocache._flight import Flight
from memocache.backends._shared import (
    ATTEMPTS,
    SKEW,
    PreparedRead,
    ServerCache,
    due,
    expire_after,
    is_lease,
    is_present,
    kept_until,
    new_stamp,
    stamps_in,
)
from memocache.backends.base import Busy, Lease, Stale
from memocache.errors import BackendError, BackendUnavailable, SerializationError
from memocache.serializers._codec import ValueCodec

__all__ = ["LeaseCache", "OwnLeases", "LocalFlights"]

AT_ONCE: Final = -1  # expire: gone with the command


class LeaseCache(ServerCache):
    """A cache on servers with `add`, `gets` and `cas`."""

    def __init__(self, default_timeout: float | str | None, key_prefix: str, codec: ValueCodec) -> None:
        self._stubs = OwnLeases()
        super().__init__(default_timeout, key_prefix, codec)

    def after_fork(self) -> None:
        """Join no flight of the parent's."""
        self._stubs = OwnLeases()

    # ---- what the read-through needs -----------------------------------------------------------------------------

    def look(self, key: str, groups: tuple[str, ...], now: float, lease: float) -> Entry | Stale | Lease | Busy:
        """Return the entry in one round trip; else put a stub; else say whose stub is there."""
        address = self._addresses.get(key)
        if address is None or address.groups is not groups:
            address = self._address(key, groups)
        unreadable = None
        for _ in range(ATTEMPTS):
            data, envelope, stamps = address.ask()
            if stamps is None:
                data, envelope, stamps = self._planted(address)
            # As is_present says; every hit takes this way.
            if envelope is not None and envelope.kind <= ERROR and envelope.created - SKEW <= now < envelope.expires:
                try:
                    entry = self._opened(key, envelope)
                except SerializationError as error:
                    # Not the error itself: its traceback leads back here, and would keep the lease alive.
                    unreadable = SerializationError(str(error))
                else:
                    if type(entry) is not StaleableEntry or now < due(entry, envelope):
                        return entry
                    return Stale(entry, self._refreshing(address, now, lease, data, envelope, entry, stamps))
            elif envelope is not None and is_lease(envelope, now):
                flight = self._stubs.flight(envelope.nonce)
                taken = self._taken_over(address, now, lease, envelope.nonce, stamps)
                return Busy(flight) if taken is None else taken
            taken = self._claim(address, now, lease, data, stamps)
            if taken is not None:
                taken.unreadable = unreadable
                return taken
        return Busy(None)

    def _planted(self, address: PreparedRead) -> tuple[bytes | None, Envelope | None, bytes]:
        """Plant stamps for groups that have none, and return what is at *address* then."""
        for _ in range(ATTEMPTS):
            self._plant(address.node, address.groups)
            data, envelope, stamps = address.ask()
            if stamps is not None:
                return data, envelope, stamps
        raise BackendUnavailable("the server does not keep the stamps of groups")

    def _lead(self, address: PreparedRead, now: float, lease: float, nonce: bytes, stamps: bytes) -> Lease:
        return self._stubs.lead(address.key, address.groups, now, lease, nonce, stamps)

    def _taken_over(self, address: PreparedRead, now: float, lease: float, nonce: bytes, stamps: bytes) -> Lease | None:
        return self._stubs.taken_over(address.key, address.groups, now, lease, nonce, stamps)

    def _refreshing(
        self,
        address: PreparedRead,
        now: float,
        lease: float,
        data: bytes | None,
        envelope: Envelope,
        entry: StaleableEntry,
        stamps: bytes,
    ) -> Lease | None:
        """Return the lease to replace *entry*, the same value with another nonce meanwhile; None if somebody has it."""
        if now < entry.held:
            taken = self._taken_over(address, now, lease, envelope.nonce, stamps)
        else:
            nonce, entry.held = os.urandom(16), now + lease
            taken = self._lead(address, now, lease, nonce, stamps)
            try:
                packed = self._pack(address.key, entry, envelope.created, stamps, nonce)
                found, swap = address.node.gets(address.wire)
                stood = found == data and address.node.cas(
                    address.wire, packed, swap, expire_after(kept_until(entry) - now)
                )
            except (BackendError, SerializationError):
                return None  # there is something to serve all the same; if the lease stands, the next look has it
            if not stood:
                self._stubs.drop(nonce)
                return None
        if taken is not None:
            taken.replaces, taken.old = True, entry
        return taken

    def _claim(self, address: PreparedRead, now: float, lease: float, old: bytes | None, stamps: bytes) -> Lease | None:
        """Put a stub where nothing was, or *old* data that does not count. None if somebody was quicker."""
        key, wire, node = address.key, address.wire, address.node
        nonce = os.urandom(16)
        # Before the stub leaves: whoever reads it in this process must find the flight.
        taken = self._lead(address, now, lease, nonce, stamps)
        stub, expire = self._stub(key, nonce, now, lease, stamps), expire_after(lease)
        try:
            if old is None:
                stood = node.add(wire, stub, expire)
            else:
                data, swap = node.gets(wire)
                stood = data == old and node.cas(wire, stub, swap, expire)
        except BackendUnavailable:
            # The answer was lost, perhaps not the command. If the stub is there, it is ours all the same.
            envelope = self._unpack(key, node.gets(wire, urgent=True)[0])
            if envelope is None or envelope.nonce != nonce:
                raise
            stood = True
        if not stood:
            self._stubs.drop(nonce)
            return None
        return taken

    def claim(self, key: str, groups: tuple[str, ...], now: float, lease: float) -> Lease:
        """Take the right to replace a value (by its nonce), or put a stub in place of anything else."""
        address = self._address(key, groups)
        taken: Lease | None
        for _ in range(ATTEMPTS):
            data, envelope, stamps = address.ask()
            if stamps is None:
                data, envelope, stamps = self._planted(address)
            if envelope is not None and envelope.kind <= ERROR:
                taken = Lease(key, groups, Flight(key, groups, lease), now, envelope.nonce, stamps)
            else:
                taken = self._claim(address, now, lease, data, stamps)
            if taken is not None:
                taken.replaces = True
                return taken
        raise BackendUnavailable(f"the lease on {key} could not be had in {ATTEMPTS} attempts")

    def fill(self, lease: Lease, entry: Entry | None) -> bool:
        """Swap *entry* in if what is under the key still has the lease's nonce; None takes our stub away."""
        wire = self._wire(lease.key)
        node = self._node(wire)
        packed, expire = b"", AT_ONCE
        if entry is not None:
            packed = self._pack(lease.key, entry, lease.created, lease.stamps)
            expire = expire_after(kept_until(entry) - clock())
            self._check_size(wire, packed)
        data, swap = node.gets(wire)
        envelope = self._unpack(lease.key, data)
        stands = envelope is not None and envelope.nonce == lease.nonce
        if entry is None:  # of a lease that was to replace a value there is nothing to give back: that stays
            stands = stands and envelope is not None and envelope.kind == LEASE
        filled = stands and node.cas(wire, packed, swap, expire)
        if filled:  # else it may still be there, where what was read was damaged, and nobody leads it
            self._stubs.drop(lease.nonce)
        return filled

    def forget(self, key: str) -> bool:
        """Delete value or stub; acknowledged."""
        wire = self._wire(key)
        return self._node(wire).delete(wire)

    def forget_tag(self, group: str) -> None:
        """Give the group another stamp on every server; raise if one of them did not answer."""
        self._on_all(lambda node: node.set(self._wire(group), new_stamp(), 0))

    def peek(self, keys: Sequence[str], groups: Sequence[tuple[str, ...]], now: float) -> list[Entry | None]:
        """Return the entries that have not expired, in one round trip to each server."""
        by_wire = {self._wire(key): (key, own) for key, own in zip(keys, groups, strict=True)}
        entries: dict[str, Entry] = {}
        for node, wires in self._by_node(by_wire):
            names = {group: self._wire(group) for wire in wires for group in by_wire[wire][1]}
            found = node.get_many([*wires, *names.values()])
            for wire in wires:
                key, own = by_wire[wire]
                envelope = self._unpack(key, found.get(wire))
                stamps = stamps_in(found, {group: names[group] for group in own})
                if envelope is None or envelope.stamps != stamps or not is_present(envelope, now):
                    continue
                try:
                    entries[key] = self._opened(key, envelope)
                except SerializationError:
                    continue
        return [entries.get(key) for key in keys]


MOST: Final = 10_000


class OwnLeases:
    """The stubs that this process has put on servers, by nonce, and who leads what they stand for."""

    def __init__(self) -> None:
        # By nonce, those whose stub this process has put somewhere; for as long as somebody leads them.
        self._flights: weakref.WeakValueDictionary[bytes, Flight] = weakref.WeakValueDictionary()
        # The nonces of stubs that may still be there. One without a flight has lost its leader: the leader was
        # interrupted, or the server's answer to it was lost. The oldest leave, so that these are not too many.
        self._nonces: OrderedDict[bytes, bool] = OrderedDict()

    def flight(self, nonce: bytes) -> Flight | None:
        """Return the flight in this process whose stub has this *nonce*."""
        return self._flights.get(nonce)

    def lead(self, key: str, groups: tuple[str, ...], now: float, lease: float, nonce: bytes, stamps: bytes) -> Lease:
        """Return the lease whose stub has this *nonce*, with a flight that others in this process find by it."""
        flight = Flight(key, groups, lease)
        self._flights[nonce] = flight
        self._nonces[nonce] = True
        if len(self._nonces) > MOST:
            self._nonces.popitem(last=False)
        return Lease(key, groups, flight, now, nonce, stamps)

    def taken_over(
        self, key: str, groups: tuple[str, ...], now: float, lease: float, nonce: bytes, stamps: bytes
    ) -> Lease | None:
        """Return the lease whose stub this process has put, if it has lost its leader."""
        flight = self._flights.get(nonce)
        if (flight is None or flight.has_lost_its_leader) and self._nonces.pop(nonce, False):
            return self.lead(key, groups, now, lease, nonce, stamps)
        return None

    def drop(self, nonce: bytes) -> None:
        """Note that the stub is not there, or not any more."""
        self._nonces.pop(nonce, None)


MOST_FLIGHTS: Final = 10_000
SLOTS: Final = 1024


class LocalFlights:
    """Who computes what in this process, under which stamps; so that nobody joins a flight from before a forgetting.

    Whoever has looked in the cache and found nothing leads only if no flight on the key has ended since before that
    look: its result may be there now.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._flights: dict[tuple[str, bytes], Flight] = {}
        self._ended = [0] * SLOTS  # how many flights, by the key's slot
        self._token = os.urandom(8)

    def new_nonce(self) -> bytes:
        """Return a nonce by which this process knows its own."""
        return self._token + os.urandom(8)

    def has_made(self, nonce: bytes) -> bool:
        """Return whether this process has made *nonce*, for a flight that it leads or has lost."""
        return nonce.startswith(self._token)

    def ended(self, key: str) -> int:
        """Return a number that changes when a flight on *key* ends."""
        return self._ended[hash(key) % SLOTS]

    def flight(self, key: str, stamps: bytes) -> Flight | None:
        """Return the flight on *key* under these *stamps*, if somebody leads it."""
        flight = self._flights.get((key, stamps))
        return None if flight is None or flight.over else flight

    def lead(self, flight: Flight, stamps: bytes, ended: int | None) -> bool:
        """Let *flight* be the one on its key under these *stamps*; not if there is one, or one has *ended* since.

        With None for *ended* it takes the place of whichever is there.
        """
        key = flight.key
        with self._lock:
            if ended is not None and (self.flight(key, stamps) is not None or self.ended(key) != ended):
                return False
            if len(self._flights) >= MOST_FLIGHTS:  # those that have lost their leaders first
                over = [place for place, each in self._flights.items() if each.over]
                for place in over or list(self._flights)[:1]:
                    del self._flights[place]
            self._flights[key, stamps] = flight
            return True

    def end(self, flight: Flight, stamps: bytes) -> None:
        """Note that what comes of *flight*, if anything, is in the cache."""
        place = flight.key, stamps
        with self._lock:
            if self._flights.get(place) is flight:
                del self._flights[place]
            self._ended[hash(flight.key) % SLOTS] += 1
