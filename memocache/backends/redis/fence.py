"""The fence on Redis: a lease beside the key, taken and used up by scripts, that any forgetting deletes.

What stands for a computation is a lease beside the key, with a random nonce and the stamps of the key's groups in it. A
script takes it, if all is as it was seen; another stores the result, while that very lease is there and the stamps are
those under which it was taken. Forgetting deletes the lease, and with it the right to fill, and the entry;
acknowledged. A group is forgotten by deleting its stamp: the next one who looks plants another, which no entry carries.

Everything is written once, as verbs (see _verbs), for threads and for tasks.
"""

import contextlib
import math
import os
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from memocache import _envelope
from memocache._clock import now as clock
from memocache._entry import AgingEntry, Entry
from memocache._envelope import LEASE, NONCE, Envelope
from memocache.backends._node import STAMP_MAGIC, is_stamp, new_stamp
from memocache.backends._packed import due, is_lease, is_present, kept_until
from memocache.backends._server import ATTEMPTS, ServerCache
from memocache.backends._stubs import Stubs
from memocache.backends._verbs import Verb, taken, verb
from memocache.backends.base import Busy, Lease, Stale
from memocache.backends.redis.resp import Command, Reply, Request, command, number
from memocache.backends.redis.scripts import CLAIM, FILL, GIVE_BACK
from memocache.backends.redis.shard import Shard, Spot, as_it_is, reading, setting
from memocache.errors import BackendError, BackendUnavailable, SerializationError
from memocache.serializers._form import Form

if TYPE_CHECKING:
    from memocache.backends.redis.topology import Servers

__all__ = ["FencedCache"]

R = TypeVar("R")

MARGIN: Final = 1.0  # seconds for which a server keeps what is over: the entry itself knows better
STAMP_MARGIN: Final = 3600.0
LONGEST_EXPIRY: Final = 1e9  # seconds; what is to be kept for longer is kept for ever

Stamped: TypeAlias = tuple[bytes | None, Envelope | None, bytes, bytes | None]
"""What is under a key, as in Seen, with a stamp for each group."""


class FencedCache(ServerCache):
    """A cache on *servers* that run scripts."""

    def __init__(self, servers: "Servers", default_timeout: float | str | None, key_prefix: str, form: Form) -> None:
        self._servers = servers
        self._shards = [Shard(servers, index) for index in range(len(servers.tags))]
        self._stubs = Stubs()
        super().__init__(default_timeout, key_prefix, form)

    def after_fork(self) -> None:
        """Use no connection and join no flight of the parent's."""
        self._stubs = Stubs()
        for server in self._servers.everybody():
            server.drop_connections()

    def _take_verb(self, verb: Verb[R]) -> R:
        return taken(verb, as_it_is)

    # ---- where a key is ------------------------------------------------------------------------------------------

    def _shard(self, wire: str) -> int:
        count = len(self._shards)
        return 0 if count == 1 else int.from_bytes(blake2b(wire.encode("ascii"), digest_size=4).digest()) % count

    def _node(self, key: str) -> Shard:
        return self._shards[self._shard(key)]

    def _nodes(self) -> Sequence[Shard]:
        return self._shards

    def _new_address(self, key: str, groups: tuple[str, ...]) -> Spot:
        wire = self._wire(key)
        shard = self._node(wire)
        others = [self._wire(group) for group in groups]
        names = [shard.name(wire), shard.lease(wire), *map(shard.name, others)]
        return Spot(
            key=key,
            wire=wire,
            node=shard,
            read=shard.reader(wire, others),
            digest=self._digest(key),
            groups=groups,
            heads=[_envelope.stamp_head(group) for group in groups],
            shard=shard,
            names=names,
            question=Request(reading(names)),
        )

    def _spot(self, key: str, groups: tuple[str, ...]) -> Spot:
        spot = self._addresses.get(key)
        if spot is None or spot.groups is not groups:
            spot = self._address(key, groups)
        assert type(spot) is Spot
        return spot

    def _expire(self, seconds: float) -> int:
        return 0 if seconds > LONGEST_EXPIRY else math.ceil((max(0.0, seconds) + MARGIN) * 1000)

    # ---- what the read-through needs -----------------------------------------------------------------------------

    @verb
    def look(
        self, key: str, groups: tuple[str, ...], now: float, lease: float
    ) -> Verb[Entry | Stale | Lease | Busy | None]:
        """Return the entry in one round trip; else take the lease; else say whose lease is there."""
        spot = self._spot(key, groups)
        unreadable = None
        for _ in range(ATTEMPTS):
            seen = yield from self._asked(spot, lease)
            _, envelope, stamps, held = seen
            if envelope is not None and is_present(envelope, now):
                try:
                    entry = self._opened(key, envelope)
                except SerializationError as error:
                    # Not the error itself: its traceback leads back here, and would keep the lease alive.
                    unreadable = SerializationError(str(error))
                else:
                    if type(entry) is not AgingEntry or now < due(entry, envelope):
                        return entry
                    return Stale(entry, (yield from self._refreshing(spot, now, lease, entry, seen)))
            if held is not None and _stands(spot, held, stamps, now):
                flight = self._stubs.flight(held)
                taken = self._stubs.taken_over(key, groups, now, lease, held, stamps)
                return Busy(flight) if taken is None else taken
            taken = yield from self._claim(spot, now, lease, seen)
            if taken is not None:
                taken.unreadable = unreadable
                return taken
        return Busy(None)

    def _asked(self, spot: Spot, lease: float) -> Verb[Stamped]:
        """Return what is at *spot*, with a stamp for each group: those that have none are given one."""
        replies = yield from spot.shard.ask(spot.question, again=True)
        seen = spot.seen(replies)
        for conditions in ((b"NX",), ()):
            if seen[2] is not None:
                break
            expire = self._expire(lease + STAMP_MARGIN)
            # Over a stamp only another may be put. What is no stamp the second time is junk of somebody else's.
            missing = [
                name for name, stamp in zip(spot.names[2:], replies[-1][2:], strict=True) if not is_stamp(stamp or b"")
            ]
            plants = [setting(name, new_stamp(), expire, *conditions) for name in missing]
            replies = yield from spot.shard.ask(Request(*plants, *spot.question.commands))
            seen = spot.seen(replies[-1:])
        data, envelope, stamps, held = seen
        if stamps is None:
            raise BackendUnavailable("the server does not keep the stamps of groups")
        return data, envelope, stamps, held

    def _refreshing(self, spot: Spot, now: float, lease: float, entry: AgingEntry, seen: Stamped) -> Verb[Lease | None]:
        """Return the lease to replace *entry*, which is served meanwhile; None if somebody has it."""
        _, _, stamps, held = seen
        if held is not None and _stands(spot, held, stamps, now):
            taken = self._stubs.taken_over(spot.key, spot.groups, now, lease, held, stamps)
        elif now < entry.held:
            return None
        else:
            try:
                taken = yield from self._claim(spot, now, lease, seen)
            except BackendError:
                return None  # there is something to serve all the same; if the lease stands, the next look has it
        if taken is not None:
            taken.replaces, taken.old = True, entry
        return taken

    def _lead(self, spot: Spot, now: float, lease: float, stamps: bytes) -> Lease:
        """Return a lease, with a flight that others in this process find by what will stand for it on the server."""
        stub = self._stub(spot.key, os.urandom(16), now, lease, stamps)
        # Before it leaves: whoever reads it in this process must find the flight.
        return self._stubs.lead(spot.key, spot.groups, now, lease, stub, stamps)

    def _claim(self, spot: Spot, now: float, lease: float, seen: Stamped) -> Verb[Lease | None]:
        """Take the lease if all is as it was *seen*. None if somebody was quicker."""
        data, _, stamps, held = seen
        taken = self._lead(spot, now, lease, stamps)
        nonce = b"" if data is None else data[NONCE]
        arguments = (nonce, held or b"", taken.nonce, b"%d" % self._expire(lease), *_each(stamps))
        try:
            stood = yield from spot.shard.run(CLAIM, spot.names, arguments)
        except BackendUnavailable:
            # The answer was lost, perhaps not the command. If the lease is there, it is ours all the same.
            stood = yield from self._is_there(spot, taken)
            if not stood:
                raise
        if not stood:
            self._stubs.drop(taken.nonce)
            return None
        return taken

    def _is_there(self, spot: Spot, lease: Lease) -> Verb[bool]:
        (found,) = yield from spot.shard.ask(Request(reading(spot.names[1:2])), again=True, urgent=True)
        return bool(found == [lease.nonce])

    @verb
    def take(self, key: str, groups: tuple[str, ...], now: float, lease: float) -> Verb[Lease | None]:
        """Take the lease from whoever has it."""
        spot = self._spot(key, groups)
        _, _, stamps, _ = yield from self._asked(spot, lease)
        taken = self._lead(spot, now, lease, stamps)
        taken.replaces = True
        try:
            yield from spot.shard.ask(Request(setting(spot.names[1], taken.nonce, self._expire(lease))))
        except BackendUnavailable:
            if not (yield from self._is_there(spot, taken)):
                raise
        return taken

    @verb
    def fill(self, lease: Lease, entry: Entry | None) -> Verb[bool]:
        """Store *entry* if the lease is still there and the stamps are those under which it was taken."""
        spot = self._spot(lease.key, lease.groups)
        if entry is None:
            filled = yield from spot.shard.run(GIVE_BACK, spot.names[:2], (lease.nonce,))
        else:
            data = self._pack(lease.key, entry, lease.created, lease.stamps)
            self._check_size(spot.wire, data)
            expire = b"%d" % self._expire(kept_until(entry) - clock())
            arguments = (lease.nonce, data, expire, *_each(lease.stamps))
            filled = yield from spot.shard.run(FILL, spot.names, arguments)
        if filled:  # else, or if there was no answer, it may still be there, and nobody leads it
            self._stubs.drop(lease.nonce)
        return filled

    @verb
    def forget(self, key: str) -> Verb[bool]:
        """Delete the lease and the entry; acknowledged."""
        wire = self._wire(key)
        shard = self._node(wire)
        return any((yield from shard.ask(Request(*shard.forgetting(wire)), again=True, urgent=True)))

    @verb
    def forget_group(self, group: str) -> Verb[None]:
        """Delete the group's stamp in every shard; raise if one of them was not acknowledged."""
        wire = self._wire(group)
        requests = {
            index: Request(command(number, b"DEL", shard.name(wire))) for index, shard in enumerate(self._shards)
        }
        yield from self._servers.ask_all(requests, again=True, urgent=True)

    @verb
    def peek(self, keys: Sequence[str], groups: Sequence[tuple[str, ...]], now: float) -> Verb[list[Entry | None]]:
        """Return the entries that have not expired, in one round trip to each server."""
        spots = {key: self._spot(key, own) for key, own in zip(keys, groups, strict=True)}
        replies = yield from self._for_each({key: spot.question.commands for key, spot in spots.items()}, again=True)
        entries: dict[str, Entry] = {}
        for key, spot in spots.items():
            _, envelope, _, _ = spot.seen(replies[key])
            if envelope is not None and is_present(envelope, now):
                with contextlib.suppress(SerializationError):
                    entries[key] = self._opened(key, envelope)
        return [entries.get(key) for key in keys]

    def _for_each(
        self, commands: Mapping[str, Sequence[Command]], *, again: bool = False, urgent: bool = False
    ) -> Verb[dict[str, list[Reply]]]:
        """Give the *commands* of each key, in one round trip to each server, and return the replies by key."""
        by_shard: dict[int, list[str]] = {}
        for key in commands:
            by_shard.setdefault(self._shard(self._wire(key)), []).append(key)
        requests = {index: Request(*[each for key in own for each in commands[key]]) for index, own in by_shard.items()}
        replies = yield from self._servers.ask_all(requests, again=again, urgent=urgent)
        found: dict[str, list[Reply]] = {}
        for index, own in by_shard.items():
            rest = iter(replies[index])
            found.update((key, list(islice(rest, len(commands[key])))) for key in own)
        return found


def _stands(spot: Spot, held: bytes, stamps: bytes, now: float) -> bool:
    """Return whether *held* is the lease of somebody who may be computing what is wanted."""
    stub = _envelope.unpack(held, spot.digest)
    return stub is not None and stub.kind == LEASE and stub.stamps == stamps and is_lease(stub, now)


def _each(block: bytes) -> list[bytes]:
    """Return the stamps in a *block*, as they stand on the server."""
    return [STAMP_MAGIC + stamp for stamp in _envelope.stamps_of(block)]
