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
import weakref
from collections.abc import Sequence
from typing import Final

from memocache import _entry
from memocache._clock import now as clock
from memocache._entry import LEASE, VALUE, Entry, Header
from memocache._flight import Flight
from memocache.backends._server import ATTEMPTS, ServerCache, expire_after, is_fresh, is_lease, new_stamp
from memocache.backends.base import Busy, Hit, Lease
from memocache.errors import BackendError, BackendUnavailable, SerializationError
from memocache.serializers import Serializer

__all__ = ["LeaseCache"]

AT_ONCE: Final = -1  # expire: gone with the command


class LeaseCache(ServerCache):
    """A cache on servers with `add`, `gets` and `cas`."""

    def __init__(self, default_timeout: float | str | None, key_prefix: str, serializer: Serializer | None) -> None:
        # By nonce, those whose stub this process has put somewhere; for as long as somebody leads them.
        self._flights: weakref.WeakValueDictionary[bytes, Flight] = weakref.WeakValueDictionary()
        super().__init__(default_timeout, key_prefix, serializer)

    def after_fork(self) -> None:
        """Join no flight of the parent's."""
        self._flights = weakref.WeakValueDictionary()

    def _stub(self, key: str, nonce: bytes, now: float, lease: float, stamps: bytes) -> bytes:
        header = Header(LEASE, 0, nonce, now, now, now + lease, 0.0)
        return _entry.pack(_entry.context(header, self._digest(key), stamps), b"")

    # ---- what the read-through needs -----------------------------------------------------------------------------

    def look(self, key: str, groups: tuple[str, ...], now: float, lease: float) -> Hit | Lease | Busy:
        """Return the entry in one round trip; else put a stub; else say whose stub is there."""
        wire = self._wire(key)
        node = self._node(wire)
        unreadable = None
        for _ in range(ATTEMPTS):
            found, stamps = self._read(node, (wire,), groups)
            if stamps is None:
                self._plant(node, groups)
                continue
            data = found.get(wire)
            envelope = self._unpack(key, data)
            if envelope is not None and envelope.stamps == stamps:
                if is_fresh(envelope, now):
                    try:
                        return Hit(self._opened(key, envelope))
                    except SerializationError as error:
                        unreadable = error
                elif is_lease(envelope, now):
                    return Busy(self._flights.get(envelope.header.nonce))
            taken = self._claim(key, groups, now, lease, stamps, data)
            if taken is not None:
                taken.unreadable = unreadable
                return taken
        return Busy(None)

    def _claim(
        self, key: str, groups: tuple[str, ...], now: float, lease: float, stamps: bytes, seen: bytes | None
    ) -> Lease | None:
        """Put a stub where *seen* was: nothing, or something that does not count. None if somebody was quicker."""
        wire = self._wire(key)
        node = self._node(wire)
        nonce = os.urandom(16)
        flight = Flight(key, groups, lease)
        # Before the stub leaves: whoever reads it in this process must find the flight.
        self._flights[nonce] = flight
        taken = Lease(key, groups, flight, nonce, stamps)
        stub, expire = self._stub(key, nonce, now, lease, stamps), expire_after(lease)
        try:
            if seen is None:
                stood = node.add(wire, stub, expire)
            else:
                data, swap = node.gets(wire)
                stood = data == seen and node.cas(wire, stub, swap, expire)
        except BackendUnavailable:
            # The answer was lost, perhaps not the command. If the stub is there, it is ours all the same.
            envelope = self._unpack(key, node.get_many([wire]).get(wire))
            stood = envelope is not None and envelope.header.nonce == nonce
        return taken if stood else None

    def take(self, key: str, groups: tuple[str, ...], now: float, lease: float) -> Lease:
        """Take the right to replace a value (by its nonce), or put a stub in place of anything else."""
        wire = self._wire(key)
        node = self._node(wire)
        for _ in range(ATTEMPTS):
            found, stamps = self._read(node, (wire,), groups)
            if stamps is None:
                self._plant(node, groups)
                continue
            data = found.get(wire)
            envelope = self._unpack(key, data)
            taken: Lease | None
            if envelope is not None and envelope.stamps == stamps and envelope.header.kind == VALUE:
                taken = Lease(key, groups, Flight(key, groups, lease), envelope.header.nonce, stamps)
            else:
                taken = self._claim(key, groups, now, lease, stamps, data)
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
            packed, expire = self._pack(lease.key, entry, lease.stamps), expire_after(entry.expires - clock())
            self._check_size(wire, packed)
        data, swap = node.gets(wire)
        envelope = self._unpack(lease.key, data)
        if envelope is None or envelope.header.nonce != lease.nonce:
            return False
        if entry is None and envelope.header.kind != LEASE:
            return False  # the lease was to replace a value: that stays
        return node.cas(wire, packed, swap, expire)

    def forget(self, key: str) -> bool:
        """Delete value or stub; acknowledged."""
        wire = self._wire(key)
        return self._node(wire).delete(wire)

    def forget_group(self, group: str) -> None:
        """Give the group another stamp on every server; raise if one of them did not answer."""
        failed: BackendError | None = None
        for node in self._nodes():
            try:
                node.set(self._wire(group), new_stamp(), 0)
            except BackendError as error:  # the others first: as much as can be forgotten is
                failed = error
        if failed is not None:
            raise failed

    def peek(self, keys: Sequence[str], groups: tuple[str, ...], now: float) -> list[Entry | None]:
        """Return the fresh entries, in one round trip to each server."""
        by_wire = {self._wire(key): key for key in keys}
        entries: dict[str, Entry] = {}
        for node, wires in self._by_node(by_wire):
            found, stamps = self._read(node, wires, groups)
            for wire in wires:
                key = by_wire[wire]
                envelope = self._unpack(key, found.get(wire))
                if envelope is None or envelope.stamps != stamps or not is_fresh(envelope, now):
                    continue
                try:
                    entries[key] = self._opened(key, envelope)
                except SerializationError:
                    continue
        return [entries.get(key) for key in keys]
