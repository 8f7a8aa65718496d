"""Fenced caches: the steps of a look, a claim and a fill where processes share a cache; and memcached's leases.

`FencedCache` has the steps, the same for all of these caches. What differs is where the lease is, and how it is taken
and filled so that nobody comes between: that is for the hooks of

* `LeaseCache`, below: a marker under the key itself, by `add`, `gets` and `cas`; memcached, App Engine and SQLite;
* `RedisCache`: a marker beside the key, by Lua scripts;
* `ForeignCache`: generations only, which every object with get, set and delete can keep.

Forgetting takes away what a lease needs in order to fill: its marker, or a generation under which it was taken.

A tag has a generation: random bytes under the tag's name, read in the same round trip as the key. Entries and leases
carry the generations under which they were made, and count only while those are the present ones. A generation that
was evicted is replaced by another, so that nothing comes back to life.
"""

import functools
import math
import os
import time
import weakref
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from memocache import _envelope
from memocache._effects import at_once, blocking
from memocache._entry import Entry, StaleableEntry
from memocache._envelope import ERROR, LEASE, Envelope
from memocache._flight import Flight
from memocache.backends._shared import (
    BEGINNING,
    SKEW,
    Found,
    KVServer,
    PackedCache,
    ServerCache,
    block_of,
    due,
    expire_after,
    is_generation,
    is_lease,
    is_present,
    kept_until,
    new_generation,
)
from memocache.backends._wire import LONGEST_REMEMBERED, LastReply
from memocache.backends.base import Busy, Lease, Stale, blocks
from memocache.errors import BackendError, BackendUnavailable, SerializationError
from memocache.serializers._codec import ValueCodec

ATTEMPTS: Final = 8
INITS: Final = 3
MOST_READS: Final = 10_000
FETCHED: Final = 1024**2  # bytes that are read at a time for a list
GONE: Final = -1  # expire: at once


class KeyState(NamedTuple):
    """A key and its tags, as one read found them."""

    data: bytes | None
    envelope: Envelope | None  # the one in the data, if it carries the present generations
    block: bytes | None  # of the present generations; None if a tag has none
    generations: Sequence[bytes | None]  # as they were read
    marker: bytes | None = None  # of the lease, where that is beside the key
    ended: int | None = None  # how many flights had, where only this process knows of them


@dataclass(slots=True, kw_only=True)
class PreparedRead:
    """All that is needed to ask for a key and to know the reply; made once, since that takes longer than a hit."""

    key: str
    tags: tuple[str, ...]
    wire: str
    digest: bytes
    heads: list[bytes]  # what stands before each generation in a block
    _last: LastReply[KeyState] | None = None

    def interpret(
        self,
        reply: object,
        data: bytes | None,
        generations: Sequence[bytes | None],
        marker: bytes | None = None,
        ended: int | None = None,
    ) -> KeyState:
        """Return the state that these parts of a *reply* tell of; remembered, unless that is None."""
        block = block_of(self.heads, generations)
        envelope = None if data is None else _envelope.unpack(data, self.digest)
        counts = envelope is not None and envelope.block == block
        state = KeyState(data, envelope if counts else None, block, generations, marker, ended)
        if reply is not None:  # long ones are not remembered: there are many reads
            self._last = LastReply(reply, state) if data is None or len(data) <= LONGEST_REMEMBERED else None
        return state


R = TypeVar("R", bound=PreparedRead)
T = TypeVar("T")


class LeaseRequest(NamedTuple, Generic[R]):
    """A wish for the lease on a key."""

    target: R
    state: KeyState  # in which the key was found
    block: bytes  # of the generations
    now: float
    seconds: float
    attempt: int

    def lease(self, lease_id: bytes) -> Lease:
        """Return the lease with this *lease_id*, and with a new flight."""
        target = self.target
        flight = Flight(target.key, target.tags, self.seconds)
        return Lease(target.key, target.tags, flight, self.now, lease_id, self.block)


class FencedCache(PackedCache, Generic[R]):
    """A cache that processes share. Its verbs are coroutines over operations; *R* is what it prepares for a key."""

    def __init__(self, default_timeout: float | str | None, key_prefix: str, codec: ValueCodec) -> None:
        super().__init__(default_timeout, key_prefix, codec)
        self._reads: dict[str, R] = {}

    # ---- what the read-through needs -----------------------------------------------------------------------------

    async def look(
        self, key: str, tags: tuple[str, ...], now: float, lease: float, state: KeyState | None = None
    ) -> Entry | Stale | Lease | Busy | None:
        """Return the entry in one round trip; else take the lease; else say who has it.

        *state* is what a first read found, if there was one.
        """
        target = self._prepare(key, tags)
        unreadable = None
        for attempt in range(ATTEMPTS):
            if state is None:
                state = await self._read(target)
            block = state.block
            if block is None:
                state, block = await self._read_complete(target, state, lease)
            envelope, old = state.envelope, None
            if envelope is not None and envelope.created - SKEW > now:
                self._clocks_differ(envelope.created - now)
            elif envelope is not None and is_present(envelope, now):
                try:
                    entry = self._opened(key, envelope)
                except SerializationError as error:
                    # Not the error itself: its traceback leads back here, and would keep the lease alive.
                    unreadable = SerializationError(str(error))
                    state = state._replace(envelope=None)
                else:
                    if type(entry) is not StaleableEntry or now < due(entry, envelope):
                        return entry
                    old = entry
            wanted = LeaseRequest(target, state, block, now, lease, attempt)
            leader = self._leader(wanted)
            if old is not None:
                return Stale(old, await self._refresh_lease(wanted, old, leader))
            if leader is not None:
                return leader
            taken = await self._take(wanted)
            if taken is not None:
                taken.unreadable = unreadable
                return taken
            state = None
        return Busy(None)

    async def _refresh_lease(
        self, wanted: LeaseRequest[R], old: StaleableEntry, leader: Lease | Busy | None
    ) -> Lease | None:
        """Return the lease to replace *old*, which is served meanwhile; None if somebody has it."""
        if leader is None:
            try:
                leader = await self._take(wanted, old)
            except (BackendError, SerializationError):
                return None  # there is something to serve all the same; if the lease stands, the next look has it
        if type(leader) is not Lease:
            return None
        leader.replaces, leader.old = True, old
        return leader

    async def claim(self, key: str, tags: tuple[str, ...], now: float, lease: float) -> Lease | None:
        """Take the right to replace what is under *key* from whoever has it."""
        target = self._prepare(key, tags)
        for attempt in range(ATTEMPTS):
            state = await self._read(target)
            block = state.block
            if block is None:
                state, block = await self._read_complete(target, state, lease)
            taken = await self._overrule(LeaseRequest(target, state, block, now, lease, attempt))
            if taken is not None:
                taken.replaces = True
                return taken
        raise BackendUnavailable(f"the lease on {key} could not be had in {ATTEMPTS} attempts")

    async def fill(self, lease: Lease, entry: Entry | None) -> bool:
        """Store *entry* if *lease* still stands; None gives the lease back."""
        target = self._prepare(lease.key, lease.tags)
        if entry is None:
            return await self._store(target, lease, None, 0.0)
        packed = self._pack(lease.key, entry, lease.created, lease.block)
        self._check_size(target.wire, packed)
        lease.size = len(packed)
        return await self._store(target, lease, packed, kept_until(entry) - time.time())  # see `now`

    async def peek(self, keys: Sequence[str], tags: Sequence[tuple[str, ...]], now: float) -> list[Entry | None]:
        """Return the entries that have not expired, in one round trip to each server."""
        targets = [self._prepare(key, own) for key, own in zip(keys, tags, strict=True)]
        states = await self._read_many(targets)
        return [self._peeked(target.key, state.envelope, now) for target, state in zip(targets, states, strict=True)]

    def _peeked(self, key: str, envelope: Envelope | None, now: float) -> Entry | None:
        try:
            return self._opened(key, envelope) if envelope is not None and is_present(envelope, now) else None
        except SerializationError:
            return None

    def _cleared(self) -> None:
        super()._cleared()
        self._reads.clear()

    # ---- reading: a key and the generations of its tags in one round trip ----------------------------------------

    def _prepare(self, key: str, tags: tuple[str, ...]) -> R:
        """Return the read of *key* with these *tags*, which is remembered."""
        target = self._reads.get(key)
        if target is None or (target.tags is not tags and target.tags != tags):
            if len(self._reads) >= MOST_READS:
                self._reads.clear()
            target = self._reads[key] = self._new_read(key, tags)
        return target

    @abstractmethod
    def _new_read(self, key: str, tags: tuple[str, ...]) -> R:
        """Return the read of *key* with these *tags*."""

    @abstractmethod
    async def _read(self, target: R) -> KeyState:
        """Return the state of *target*, in one round trip."""

    @abstractmethod
    async def _read_many(self, targets: Sequence[R]) -> Sequence[KeyState]:
        """Return the states of *targets*, in one round trip to each server."""

    async def _read_complete(self, target: R, state: KeyState, lease: float) -> tuple[KeyState, bytes]:
        """Return the state and its block, when those tags that have no generation in *state* have been given one."""
        for attempt in range(INITS):
            state = await self._init(target, state, lease, attempt)
            if state.block is not None:
                return state, state.block
        raise BackendUnavailable("the server does not keep the generations of tags")

    @abstractmethod
    async def _init(self, target: R, state: KeyState, lease: float, attempt: int) -> KeyState:
        """Give a generation to each tag that has none in *state*, and return what is there then.

        Over a generation only another may be put.
        """

    # ---- leases --------------------------------------------------------------------------------------------------

    @abstractmethod
    def _leader(self, wanted: LeaseRequest[R]) -> Lease | Busy | None:
        """Return who has what is *wanted*, also where it is to rest after a refresh that failed; None if nobody has.

        It is the lease itself if it is this process that has it, and whoever led it there is lost.
        """

    @abstractmethod
    async def _take(self, wanted: LeaseRequest[R], old: StaleableEntry | None = None) -> Lease | None:
        """Take the lease if all is as it was found; None if somebody was quicker.

        What is *old*, if anything, is to be served meanwhile.
        """

    @abstractmethod
    async def _overrule(self, wanted: LeaseRequest[R]) -> Lease | None:
        """Take the lease whoever has it; None if it could not be had at once."""

    def _pack_claim(self, wanted: LeaseRequest[R], lease_id: bytes, old: StaleableEntry | None) -> tuple[bytes, float]:
        """Return what says under the key that the lease is taken, and for how long: a marker, or *old* with its id."""
        target, envelope = wanted.target, wanted.state.envelope
        if old is None or envelope is None:
            return self._pack_lease(target.key, lease_id, wanted.now, wanted.seconds, wanted.block), wanted.seconds
        old.retry_at = wanted.now + wanted.seconds
        return self._pack(target.key, old, envelope.created, wanted.block, lease_id), kept_until(old) - wanted.now

    @abstractmethod
    async def _store(self, target: R, lease: Lease, packed: bytes | None, lifetime: float) -> bool:
        """Store what is *packed* for *lifetime* seconds if *lease* stands, and end it; None ends it only."""


# ---- leases by compare-and-swap --------------------------------------------------------------------------------------


KeyData: TypeAlias = tuple[bytes | None, Sequence[bytes | None]]
"""The data under a key, and under others."""
Read: TypeAlias = Callable[[], KeyData]


class LeaseServer(KVServer, Protocol):
    """A server of a LeaseCache."""

    def reader(self, key: str, others: Sequence[str]) -> Read:
        """Return a function that reads what is under *key* and, in their order, under *others*, in one round trip.

        While the answer is what it was the last time, the function may return the same object.
        """

    def delete(self, keys: Sequence[str], beside: Sequence[str] = ()) -> bool:
        """Delete what is under *keys* and *beside*, acknowledged, in one round trip; return whether *keys* had any."""

    def flush(self) -> None:
        """Delete everything."""


@dataclass(slots=True, kw_only=True)
class ServerRead(PreparedRead):
    """A prepared read of a key on its server."""

    node: LeaseServer
    read: Read  # the key's data, and the generations of its tags

    def ask(self) -> KeyState:
        """Return the state of the key, in one round trip."""
        reply = self.read()
        last = self._last
        if last is not None and last[0] is reply:
            return last[1]
        return self.interpret(reply, *reply)


class LeaseCache(FencedCache[ServerRead], ServerCache):
    """A cache on servers with `add`, `gets` and `cas`. A lease is a marker under the key.

    A miss puts a marker with a random id under the key (`add`). Whoever put it computes, reads the key again, and swaps
    the value in if the marker is still its own. Forgetting is an acknowledged `delete`: it takes value or marker away,
    and with the marker the right to fill. The swap is guarded by the marker's id, not by the cas id of the `add`: those
    start again at 1 when a server does. After Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013, section
    3.2.1, in the commands of the text protocol.

    A value has an id as well. Who refreshes it gives it another, and may then replace it as if it were a marker.
    """

    def __init__(self, default_timeout: float | str | None, key_prefix: str, codec: ValueCodec) -> None:
        self._own_leases = OwnLeases()
        super().__init__(default_timeout, key_prefix, codec)

    def after_fork(self) -> None:
        """Join no flight of the parent's."""
        self._own_leases = OwnLeases()

    # ---- the verbs: servers answer in this thread, so that these are no coroutines -------------------------------

    def look(  # type: ignore[override]
        self, key: str, tags: tuple[str, ...], now: float, lease: float
    ) -> Entry | Stale | Lease | Busy | None:
        """Return what FencedCache.look returns: that once more, for a plain hit.

        In the coroutine a hit takes 1.25 x as many instructions on memcached.
        """
        target = self._reads.get(key)
        if target is None or target.tags is not tags:
            target = self._prepare(key, tags)
        state = target.ask()
        envelope = state[1]
        if envelope is not None and envelope.kind <= ERROR and envelope.created - SKEW <= now < envelope.expires_at:
            try:
                entry = self._opened(key, envelope)
            except SerializationError:
                pass
            else:
                if type(entry) is not StaleableEntry or now < due(entry, envelope):
                    return entry
        return blocking(super().look(key, tags, now, lease, state))

    claim = blocks(FencedCache.claim)  # type: ignore[assignment]
    fill = blocks(FencedCache.fill)  # type: ignore[assignment]
    peek = blocks(FencedCache.peek)  # type: ignore[assignment]

    def forget(self, key: str) -> bool:
        """Delete value or marker; acknowledged."""
        wire = self._wire(key)
        return self._node(wire).delete((wire,))

    def forget_call(self, keys: tuple[str, ...], tag: str) -> bool:  # type: ignore[override]
        """Delete values, markers, and the tag's generation beside them; whoever looks next makes another."""
        wires = [self._wire(key) for key in keys]
        return self._node(wires[0]).delete(wires, (self._wire(tag),))

    def forget_listed(self, key: str) -> bool:
        """Delete the value; acknowledged."""
        wire = self._listed_wire(key)
        return self._node(wire).delete((wire,))

    def forget_tag(self, tag: str) -> None:
        """Give the tag another generation on every server; raise if one of them did not answer."""
        self._on_all(lambda node: node.set(self._wire(tag), new_generation(), 0))

    def clear(self) -> bool:
        """Delete everything on the servers, whoever put it there, whatever its key_prefix."""
        self._on_all(lambda node: node.flush())
        self._cleared()
        return True

    def _found(self, places: Sequence[Any]) -> Iterator[Found]:
        """Return what is under these wire keys, *places* being pairs of one and its size; about 1 MiB at a time."""
        some: list[str] = []
        room = FETCHED
        for wire, size in [*places, ("", math.inf)]:
            room -= size
            if some and room < 0:
                for node, wires in self._by_node(some):
                    for each, data in node.get_many(wires).items():
                        yield Found(each, data[:BEGINNING], len(data))
                some, room = [], FETCHED - size
            some.append(wire)

    # ---- its servers ---------------------------------------------------------------------------------------------

    @abstractmethod
    def _node(self, key: str) -> LeaseServer:
        """Return the server of a wire *key*."""

    @abstractmethod
    def _nodes(self) -> Sequence[LeaseServer]:
        """Return all servers."""

    def _by_node(self, wires: Iterable[str]) -> list[tuple[LeaseServer, list[str]]]:
        """Return the *wires* of each server."""
        shards: dict[int, tuple[LeaseServer, list[str]]] = {}
        for wire in wires:
            node = self._node(wire)
            shards.setdefault(id(node), (node, []))[1].append(wire)
        return list(shards.values())

    def _on_all(self, command: Callable[[LeaseServer], None]) -> None:
        """Give *command* to every server; raise if one of them did not answer, after the others have done it."""
        _answers([functools.partial(command, node) for node in self._nodes()])

    def _raw(self, keys: Sequence[str]) -> dict[str, bytes]:
        by_wire = {self._wire(key): key for key in keys}
        answers = _answers([functools.partial(node.get_many, wires) for node, wires in self._by_node(by_wire)])
        return {by_wire[wire]: data for answer in answers for wire, data in answer.items()}

    # ---- their steps ---------------------------------------------------------------------------------------------

    def _new_read(self, key: str, tags: tuple[str, ...]) -> ServerRead:
        wire = self._wire(key)
        node = self._node(wire)
        return ServerRead(
            key=key,
            tags=tags,
            wire=wire,
            digest=self._digest(key),
            heads=[_envelope.generation_head(tag) for tag in tags],
            node=node,
            read=node.reader(wire, list(map(self._wire, tags))),
        )

    async def _read(self, target: ServerRead) -> KeyState:
        return target.ask()

    async def _read_many(self, targets: Sequence[ServerRead]) -> list[KeyState]:
        states: dict[str, KeyState] = {}
        by_wire = {target.wire: (target, list(map(self._wire, target.tags))) for target in targets}
        by_node = self._by_node(by_wire)
        names_of = (dict.fromkeys([*own, *(name for wire in own for name in by_wire[wire][1])]) for _, own in by_node)
        reads = [functools.partial(node.get_many, list(all)) for (node, _), all in zip(by_node, names_of, strict=True)]
        for (_, wires), found in zip(by_node, _answers(reads), strict=True):
            for wire in wires:
                target, names = by_wire[wire]
                states[wire] = target.interpret(None, found.get(wire), list(map(found.get, names)))
        return [states[target.wire] for target in targets]

    async def _init(self, target: ServerRead, state: KeyState, lease: float, attempt: int) -> KeyState:
        node = target.node
        for tag in target.tags:
            name = self._wire(tag)
            if not node.add(name, new_generation(), 0) and not is_generation(node.get_many([name]).get(name, b"")):
                node.set(name, new_generation(), 0)  # junk of somebody else's
        return target.ask()

    def _leader(self, wanted: LeaseRequest[ServerRead]) -> Lease | Busy | None:
        envelope = wanted.state.envelope
        if envelope is None or not is_lease(envelope, wanted.now):
            return None
        return self._own_leases.leader(wanted, envelope.id)

    async def _take(self, wanted: LeaseRequest[ServerRead], old: StaleableEntry | None = None) -> Lease | None:
        """Put a marker where nothing was, or something that does not count; or give what is *old* another id."""
        before, wire, node = wanted.state.data, wanted.target.wire, wanted.target.node
        # Before the marker leaves: whoever reads it in this process must find the flight.
        taken = self._own_leases.lead(wanted, os.urandom(16))
        packed, lifetime = self._pack_claim(wanted, taken.id, old)
        expire = expire_after(lifetime)
        try:
            if before is None:
                is_ours = node.add(wire, packed, expire)
            else:
                data, swap = node.gets(wire)
                is_ours = data == before and node.cas(wire, packed, swap, expire)
        except BackendUnavailable:
            # The answer was lost, perhaps not the command. If the marker is there, it is ours all the same.
            if old is not None:
                raise
            envelope = self._unpack(taken.key, node.gets(wire, urgent=True)[0])
            if envelope is None or envelope.id != taken.id:
                raise
            return taken
        if is_ours:
            return taken
        self._own_leases.drop(taken.id)
        return None

    async def _overrule(self, wanted: LeaseRequest[ServerRead]) -> Lease | None:
        """Have the lease by a value's own id, or put a marker in place of anything else."""
        envelope = wanted.state.envelope
        return await self._take(wanted) if envelope is None or envelope.kind > ERROR else wanted.lease(envelope.id)

    async def _store(self, target: ServerRead, lease: Lease, packed: bytes | None, lifetime: float) -> bool:
        """Swap it in if what is under the key still has the lease's id; None takes our marker away."""
        wire, node = target.wire, target.node
        data, swap = node.gets(wire)
        envelope = self._unpack(target.key, data)
        if envelope is None or envelope.id != lease.id:
            return False
        if packed is not None:
            is_stored = node.cas(wire, packed, swap, expire_after(lifetime))
        else:  # of a lease that was to replace a value there is nothing to give back: that stays
            is_stored = envelope.kind == LEASE and node.cas(wire, b"", swap, GONE)
        if is_stored:  # else it may still be there, where what was read was damaged, and nobody leads it
            self._own_leases.drop(lease.id)
        return is_stored


def _answers(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Ask servers at once, since each may take until its deadline; raise if one failed, after all have been asked."""
    answers = at_once(calls)
    for answer in answers:
        if isinstance(answer, Exception):
            try:
                raise answer
            finally:
                del answer, answers  # the traceback leads here
    return answers


# ---- who computes in this process ------------------------------------------------------------------------------------

MOST_IDS: Final = 10_000


class OwnLeases:
    """The leases whose markers this process has put on servers, by id, and who leads what they stand for."""

    def __init__(self) -> None:
        # By id, those whose marker this process has put somewhere; for as long as somebody leads them.
        self._flights: weakref.WeakValueDictionary[bytes, Flight] = weakref.WeakValueDictionary()
        # The ids of markers that may still be there. One without a flight has lost its leader: the leader was
        # interrupted, or the server's answer to it was lost. The oldest leave, so that these are not too many.
        self._ids: OrderedDict[bytes, bool] = OrderedDict()

    def lead(self, wanted: LeaseRequest[Any], lease_id: bytes) -> Lease:
        """Return the lease with this *lease_id*, with a flight that others in this process find by it."""
        lease = wanted.lease(lease_id)
        self._flights[lease_id] = lease.flight
        self._ids[lease_id] = True
        if len(self._ids) > MOST_IDS:
            self._ids.popitem(last=False)
        return lease

    def leader(self, wanted: LeaseRequest[Any], lease_id: bytes) -> Lease | Busy:
        """Return who leads the lease with this *lease_id*: the lease itself, if it is ours and has lost its leader."""
        flight = self._flights.get(lease_id)
        if (flight is None or flight.has_lost_its_leader) and self._ids.pop(lease_id, False):
            return self.lead(wanted, lease_id)
        return Busy(flight)

    def drop(self, lease_id: bytes) -> None:
        """Note that the marker is not there, or not any more."""
        self._ids.pop(lease_id, None)
