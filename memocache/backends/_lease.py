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
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from memocache import _entry
from memocache._clock import now as clock
from memocache._entry import LEASE, VALUE, Entry, Header
from memocache._flight import Flight
from memocache.backends._node import new_stamp
from memocache.backends._server import ATTEMPTS, ServerCache, expire_after, is_fresh, is_lease
from memocache.backends.base import Busy, Hit, Lease
from memocache.errors import BackendUnavailable, SerializationError
from memocache.serializers import Serializer

__all__ = ["LeaseCache"]

AT_ONCE: Final = -1  # expire: gone with the command
MOST_STUBS: Final = 10_000


class LeaseCache(ServerCache):
    """A cache on servers with `add`, `gets` and `cas`."""

    def __init__(self, default_timeout: float | str | None, key_prefix: str, serializer: Serializer | None) -> None:
        self._start()
        super().__init__(default_timeout, key_prefix, serializer)

    def _start(self) -> None:
        # By nonce, those whose stub this process has put somewhere; for as long as somebody leads them.
        self._flights: weakref.WeakValueDictionary[bytes, Flight] = weakref.WeakValueDictionary()
        # The nonces of stubs that may still be there. One without a flight has lost its leader: the leader was
        # interrupted, or the server's answer to it was lost. The oldest leave, so that these are not too many.
        self._stubs: OrderedDict[bytes, bool] = OrderedDict()

    def after_fork(self) -> None:
        """Join no flight of the parent's."""
        self._start()

    def _stub(self, key: str, nonce: bytes, now: float, lease: float, stamps: bytes) -> bytes:
        header = Header(LEASE, 0, nonce, now, now, now + lease, 0.0)
        return _entry.pack(_entry.context(header, self._digest(key), stamps), b"")

    # ---- what the read-through needs -----------------------------------------------------------------------------

    def look(self, key: str, groups: tuple[str, ...], now: float, lease: float) -> Hit | Lease | Busy:
        """Return the entry in one round trip; else put a stub; else say whose stub is there."""
        address = self._address(key, groups)
        unreadable = None
        for _ in range(ATTEMPTS):
            data, stamps = address.ask()
            if stamps is None:
                self._plant(address.node, groups)
                continue
            envelope = None if data is None else _entry.unpack(data, address.digest)
            if envelope is not None and envelope.stamps == stamps:
                if is_fresh(envelope, now):
                    try:
                        return Hit(self._opened(key, envelope))
                    except SerializationError as error:
                        unreadable = error
                elif is_lease(envelope, now):
                    nonce = envelope.header.nonce
                    flight = self._flights.get(nonce)
                    lost_its_leader = flight is None or flight.outcome is not None
                    if lost_its_leader and self._stubs.pop(nonce, False):
                        return self._lead(key, groups, lease, nonce, stamps)
                    return Busy(flight)
            taken = self._claim(key, groups, now, lease, stamps, data)
            if taken is not None:
                taken.unreadable = unreadable
                return taken
        return Busy(None)

    def _lead(self, key: str, groups: tuple[str, ...], lease: float, nonce: bytes, stamps: bytes) -> Lease:
        """Return the lease whose stub has this *nonce*, with a flight that others in this process find by it."""
        taken = Lease(key, groups, Flight(key, groups, lease), nonce, stamps)
        self._flights[nonce] = taken.flight
        self._stubs[nonce] = True
        if len(self._stubs) > MOST_STUBS:
            self._stubs.popitem(last=False)
        return taken

    def _claim(
        self, key: str, groups: tuple[str, ...], now: float, lease: float, stamps: bytes, seen: bytes | None
    ) -> Lease | None:
        """Put a stub where *seen* was: nothing, or something that does not count. None if somebody was quicker."""
        wire = self._wire(key)
        node = self._node(wire)
        nonce = os.urandom(16)
        # Before the stub leaves: whoever reads it in this process must find the flight.
        taken = self._lead(key, groups, lease, nonce, stamps)
        stub, expire = self._stub(key, nonce, now, lease, stamps), expire_after(lease)
        try:
            if seen is None:
                stood = node.add(wire, stub, expire)
            else:
                data, swap = node.gets(wire)
                stood = data == seen and node.cas(wire, stub, swap, expire)
        except BackendUnavailable:
            # The answer was lost, perhaps not the command. If the stub is there, it is ours all the same.
            envelope = self._unpack(key, node.gets(wire, urgent=True)[0])
            if envelope is None or envelope.header.nonce != nonce:
                raise
            stood = True
        if not stood:
            self._stubs.pop(nonce, None)
            return None
        return taken

    def take(self, key: str, groups: tuple[str, ...], now: float, lease: float) -> Lease:
        """Take the right to replace a value (by its nonce), or put a stub in place of anything else."""
        address = self._address(key, groups)
        for _ in range(ATTEMPTS):
            data, stamps = address.ask()
            if stamps is None:
                self._plant(address.node, groups)
                continue
            envelope = None if data is None else _entry.unpack(data, address.digest)
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
        # Of a lease that was to replace a value there is nothing to give back: that stays.
        kinds = (LEASE,) if entry is None else (LEASE, VALUE)
        data, swap = node.gets(wire)
        envelope = self._unpack(lease.key, data)
        stands = envelope is not None and envelope.header.nonce == lease.nonce and envelope.header.kind in kinds
        filled = stands and node.cas(wire, packed, swap, expire)
        self._stubs.pop(lease.nonce, None)
        return filled

    def forget(self, key: str) -> bool:
        """Delete value or stub; acknowledged."""
        wire = self._wire(key)
        return self._node(wire).delete(wire)

    def forget_group(self, group: str) -> None:
        """Give the group another stamp on every server; raise if one of them did not answer."""
        self._on_all(lambda node: node.set(self._wire(group), new_stamp(), 0))

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
