"""RedisCache: values on Redis or Valkey, be it one server, one with sentinels, or a cluster.

The fence: what stands for a computation is a lease beside the key, with a random nonce and the stamps of the key's
groups in it. A script takes it, if all is as it was seen; another stores the result, while that very lease is there and
the stamps are those under which it was taken. Forgetting deletes the lease, and with it the right to fill, and the
entry; acknowledged. A group is forgotten by deleting its stamp: the next one who looks plants another, which no entry
carries.

Everything is written once, as verbs (see _verbs), for threads and for tasks.
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, TypeVar

from memocache import _envelope
from memocache._clock import now as clock
from memocache._entry import AgingEntry, Entry
from memocache._envelope import LEASE, NONCE, Envelope
from memocache._policy import FOREVER, seconds
from memocache._url import SHARED, Recipe, Url, duration, whole
from memocache.backends._node import STAMP_MAGIC, Address, block_of, is_stamp, new_stamp
from memocache.backends._packed import due, is_lease, is_present, kept_until
from memocache.backends._redis_channel import Channel
from memocache.backends._redis_scripts import CLAIM, FILL, GIVE_BACK
from memocache.backends._redis_shard import KEYS, LEASES, Shard, as_it_is, reading, setting
from memocache.backends._resp import Command, Reply, Request, command, number
from memocache.backends._server import ATTEMPTS, ServerCache
from memocache.backends._stubs import Stubs
from memocache.backends._verbs import Verb, awaited, taken, verb
from memocache.backends.base import Busy, Lease, Stale
from memocache.errors import BackendError, BackendUnavailable, ConfigurationError, SerializationError, ValueTooLarge
from memocache.serializers import Serializer
from memocache.serializers._compression import Method
from memocache.serializers._form import COMPRESS_ABOVE, Form
from memocache.serializers._signing import Secret

if TYPE_CHECKING:
    from memocache.backends._redis_server import RedisServer

__all__ = ["RedisCache"]

R = TypeVar("R")

MARGIN: Final = 1.0  # seconds for which a server keeps what is over: the entry itself knows better
STAMP_MARGIN: Final = 3600.0
LARGEST_ITEM: Final = 48 * 1024 * 1024  # bytes; of an answer no more is read than somewhat above that

Seen: TypeAlias = tuple[bytes | None, Envelope | None, bytes | None, bytes | None]
"""What is under a key, the envelope in it if that counts, the block of the present stamps, and the lease."""

Stamped: TypeAlias = tuple[bytes | None, Envelope | None, bytes, bytes | None]


@dataclass(slots=True, kw_only=True)
class Spot(Address):
    """The address of a key on Redis."""

    shard: Shard
    names: list[bytes]  # of the key, its lease, its groups' stamps
    question: Request
    _said: tuple[list[Reply], Seen] | None = None  # what was answered the last time, and what that means

    def seen(self, replies: list[Reply]) -> Seen:
        """Return what the *replies* to the question mean."""
        said = self._said
        if said is not None and said[0] is replies:
            return said[1]
        data, lease, *stamps = replies[0]
        block = block_of(self.heads, stamps)
        envelope = None if data is None else _envelope.unpack(data, self.digest)
        counts = envelope is not None and envelope.stamps == block
        seen = data, envelope if counts else None, block, lease
        self._said = replies, seen
        return seen


class RedisCache(ServerCache):
    """A cache on Redis or Valkey, shared by all processes that use the same one.

    Create it once and keep it around: it holds one connection for each thread and each event loop. Coroutine functions
    use it without threads. It needs no server to be created; one that is down later is a miss, and is left alone for a
    growing moment. Its keys begin with "memocache:", so that a database can be shared with other data.

    Where a server is replaced by a replica (by sentinels, or in a cluster), Redis may lose what it had acknowledged a
    moment before, a forgetting included: the old value is then served until its timeout is over.

    Example: `cache = RedisCache("redis://127.0.0.1:6379/0", key_prefix="shop:")`

    Args:
        url_or_client: "redis://user:password@host:port/db", "rediss://..." for TLS, "unix:///path/to/socket?db=0",
            "redis+cluster://host:port,host:port", "redis+sentinel://host:port,host:port/service/db"; or a client of
            redis-py or valkey-py, of which the settings are used, not the connections.
        default_timeout: seconds for which a value is kept that was given no timeout of its own; 0 for ever.
        key_prefix: stands before all keys, so that applications can share a database; printable ASCII, at most 100
            characters.
        timeout: seconds that one exchange with a server may take before it counts as down; connecting is another.
        serializer: makes bytes of values; None for a SafeSerializer.
        compress, compress_above, secret: as of MemcachedCache.
        max_item_size: the largest item in bytes that is stored, at most 48 MiB.
        connection: options of redis-py's clients, with their names: `db`, `username`, `password`, `ssl_ca_certs`, ...;
            `sentinel_username` and `sentinel_password` for sentinels.

    Raises:
        ConfigurationError: for options that cannot work; and if redis-py is not installed.
    """

    def __init__(
        self,
        url_or_client: Any = "redis://127.0.0.1:6379/0",
        default_timeout: float | str | None = 300,
        key_prefix: str = "",
        *,
        timeout: float | str = 0.5,
        serializer: Serializer | None = None,
        compress: Method | None = None,
        compress_above: int = COMPRESS_ABOVE,
        secret: Secret | None = None,
        max_item_size: int = 16 * 1024 * 1024,
        **connection: Any,
    ) -> None:
        deadline = seconds(timeout, "timeout")
        if deadline <= 0:
            raise ConfigurationError(f"timeout={timeout!r}; wanted: seconds above 0 that one exchange may take")
        if type(max_item_size) is not int or not 1024 <= max_item_size <= LARGEST_ITEM:
            raise ConfigurationError(
                f"max_item_size={max_item_size!r}; wanted: bytes, as an int from 1024 to {LARGEST_ITEM}"
            )
        self._servers = _where().servers(url_or_client, connection, deadline)
        self._shards = [Shard(self._servers, index) for index in range(len(self._servers.tags))]
        self._max_item_size = max_item_size
        self._stubs = Stubs()
        self._channel = self._new_channel(key_prefix)
        form = Form(serializer, compress, compress_above, secret, largest=max_item_size * 7 // 8)
        super().__init__(default_timeout, key_prefix, form)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """Return the cache of a *url* whose query may have options of the cache, too; see `cache_from_url`.

        Example: `RedisCache.from_url("redis://10.0.0.1/0?prefix=shop:&default_timeout=60&timeout=0.2")`
        """
        parsed = Url(url)
        made: Self = Recipe(cls, cls.url_arguments(parsed)).make(**options)
        return made

    @classmethod
    def url_arguments(cls, url: Url) -> dict[str, Any]:
        """Return the arguments that *url* stands for."""
        options = url.options({**SHARED, "timeout": duration, "max_item_size": whole, **_where().IN_URLS})
        return {"url_or_client": url, **options}

    def __repr__(self) -> str:
        return f"RedisCache({self._servers}, default_timeout={self.default_timeout:g}, key_prefix={self._prefix!r})"

    def after_fork(self) -> None:
        """Use no connection and join no flight of the parent's."""
        self._stubs = Stubs()
        self._channel = self._new_channel(self._prefix)
        for server in self._servers.everybody():
            server.drop_connections()

    def close(self) -> None:
        """Close the connections, but for those that another thread or loop is using; the cache can be used again."""
        self._channel.close()
        for server in self._servers.everybody():
            server.drop_connections()

    # ---- what near tiers tell each other -------------------------------------------------------------------------

    can_announce = True

    def _new_channel(self, prefix: str) -> Channel:
        servers = self._servers  # not self, whom the channel would keep alive

        def find() -> "RedisServer":
            server: RedisServer = taken(servers.masters(), as_it_is)[0]
            return server

        return Channel(f"memocache:told:{prefix}".encode(), find)

    def listen(self, heard: Callable[[str | None], object]) -> None:
        """Have *heard* called, in a thread of its own, with each text that any process announces."""
        self._channel.listen(heard)

    @verb
    def announce(self, text: str) -> Verb[None]:
        """Publish *text* to all who listen, in every process."""
        yield from self._servers.ask(0, self._channel.publishing(text))

    # ---- threads and tasks ---------------------------------------------------------------------------------------

    def _take_verb(self, verb: Verb[R]) -> R:
        return taken(verb, as_it_is)

    async def awaited(
        self,
        call: Callable[..., Any],
        arguments: tuple[Any, ...],
        unwanted: Callable[[Any], object] | None = None,
        /,
    ) -> Any:
        """Return what *call* returns, from a connection of the running event loop."""
        import asyncio

        from memocache._tasks import in_own_task
        from memocache.backends._redis_loop import can_link

        steps = getattr(call, "__wrapped__", None)
        if steps is None or getattr(call, "__self__", None) is not self or not can_link(asyncio.get_running_loop()):
            return await super().awaited(call, arguments, unwanted)
        return await in_own_task(awaited(steps(self, *arguments), as_it_is, _in_task), unwanted)

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
        return 0 if seconds == FOREVER else math.ceil((max(0.0, seconds) + MARGIN) * 1000)

    def _check_size(self, wire: str, data: bytes) -> None:
        if len(data) > self._max_item_size:
            raise ValueTooLarge(
                f"an item of {len(data)} bytes is larger than max_item_size={self._max_item_size}, so it is not stored"
            )

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
        try:
            if entry is None:
                return (yield from spot.shard.run(GIVE_BACK, spot.names[:2], (lease.nonce,)))
            data = self._pack(lease.key, entry, lease.created, lease.stamps)
            self._check_size(spot.wire, data)
            expire = b"%d" % self._expire(kept_until(entry) - clock())
            arguments = (lease.nonce, data, expire, *_each(lease.stamps))
            return (yield from spot.shard.run(FILL, spot.names, arguments))
        finally:
            self._stubs.drop(lease.nonce)

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
        seen: dict[str, Seen] = {}
        for together, replies in (yield from self._together(spots)):
            seen.update((key, spots[key].seen([reply])) for key, reply in zip(together, replies, strict=True))
        entries: list[Entry | None] = []
        for key in keys:
            envelope = seen[key][1]
            try:
                counts = envelope is not None and is_present(envelope, now)
                entries.append(self._opened(key, envelope) if counts and envelope is not None else None)
            except SerializationError:
                entries.append(None)
        return entries

    def _together(self, spots: Mapping[str, Spot]) -> Verb[list[tuple[list[str], list[Reply]]]]:
        """Return the keys of each shard, and the replies to the questions of their *spots*."""
        by_shard: dict[int, list[str]] = {}
        for key, spot in spots.items():
            by_shard.setdefault(self._shard(spot.wire), []).append(key)
        requests = {
            index: Request(*[each for key in keys for each in spots[key].question.commands])
            for index, keys in by_shard.items()
        }
        replies = yield from self._servers.ask_all(requests, again=True)
        return [(keys, replies[index]) for index, keys in by_shard.items()]

    # ---- what a user calls ---------------------------------------------------------------------------------------

    def _raw(self, keys: Sequence[str]) -> dict[str, bytes]:
        return self._take_verb(self._read(keys))

    def _read(self, keys: Sequence[str]) -> Verb[dict[str, bytes]]:
        wires = dict.fromkeys(keys)
        by_shard = self._by_shard(wires)
        requests = {
            index: Request(reading([self._shards[index].name(self._wire(key)) for key in own]))
            for index, own in by_shard.items()
        }
        replies = yield from self._servers.ask_all(requests, again=True)
        found: dict[str, bytes] = {}
        for index, own in by_shard.items():
            for key, data in zip(own, replies[index][0], strict=True):
                if data is not None:
                    found[key] = data
        return found

    def _by_shard(self, keys: Iterable[str]) -> dict[int, list[str]]:
        by_shard: dict[int, list[str]] = {}
        for key in keys:
            by_shard.setdefault(self._shard(self._wire(key)), []).append(key)
        return by_shard

    def set_many(self, mapping: Mapping[str, object], timeout: float | None = None) -> list[str]:
        """Store all of *mapping* for *timeout* seconds, in one round trip to each server; return what is stored."""
        lifetime = self.lifetime(timeout)
        if lifetime <= 0:
            self.delete_many(*mapping)
            return []
        expire = self._expire(lifetime)
        packed = {key: self._packed(key, value, lifetime) for key, value in mapping.items()}
        self._on_each(packed, lambda shard, key: shard.storing(self._wire(key), packed[key], expire))
        return list(packed)

    def delete_many(self, *keys: str) -> list[str]:
        """Delete all *keys*, in one round trip to each server; return those that had something."""
        replies = self._on_each(dict.fromkeys(keys), lambda shard, key: shard.forgetting(self._wire(key)))
        return [key for key in keys if any(replies[key])]

    def _on_each(
        self, keys: Iterable[str], commands: Callable[[Shard, str], tuple[Command, Command]]
    ) -> dict[str, list[Reply]]:
        """Give two commands for each of *keys*, and return the replies."""
        by_shard = self._by_shard(keys)
        requests = {
            index: Request(*[each for key in own for each in commands(self._shards[index], key)])
            for index, own in by_shard.items()
        }
        replies = self._take_verb(self._servers.ask_all(requests, urgent=True))
        return {
            key: replies[index][2 * number : 2 * number + 2]
            for index, own in by_shard.items()
            for number, key in enumerate(own)
        }

    def clear(self) -> bool:
        """Delete everything under this key_prefix; what memocache has not stored is left alone.

        It looks at the name of every key in the database, a thousand at a time.
        """
        # Leases first, so that nothing of before is stored while the rest is being deleted.
        for kind in (LEASES, KEYS):
            self._take_verb(self._servers.delete_all(kind + self._prefix.encode("ascii")))
        return True


async def _in_task(operation: Any) -> Any:
    return await operation.in_task()


def _where() -> Any:
    """Return the module that knows redis-py."""
    try:
        from memocache.backends import _redis_where
    except ModuleNotFoundError as missing:
        if missing.name != "redis":
            raise
        raise ConfigurationError("RedisCache needs redis-py: pip install 'memocache[redis]'") from missing
    return _redis_where


def _stands(spot: Spot, held: bytes, stamps: bytes, now: float) -> bool:
    """Return whether *held* is the lease of somebody who may be computing what is wanted."""
    stub = _envelope.unpack(held, spot.digest)
    return stub is not None and stub.kind == LEASE and stub.stamps == stamps and is_lease(stub, now)


def _each(block: bytes) -> list[bytes]:
    """Return the stamps in a *block*, as they stand on the server."""
    return [STAMP_MAGIC + stamp for stamp in _envelope.stamps_of(block)]
