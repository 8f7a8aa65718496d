"""RedisCache: values on Redis or Valkey, be it one server, one with sentinels, or a cluster.

A lease is a marker beside the key, with a random id and the generations of the key's tags in it. A script puts it
there, if all is as it was found; another stores the result, while that very marker is there and the generations are
those under which it was taken. Forgetting deletes the marker, and with it the right to fill, and the entry;
acknowledged. A tag is forgotten by deleting its generation: the next one who looks puts another there, which no entry
carries.

Everything is written once, as coroutines over round trips (see `_effects`), for threads and for tasks.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha1
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Self

from memocache import _envelope
from memocache._effects import blocking
from memocache._entry import StaleableEntry
from memocache._envelope import ID, LEASE
from memocache.backends._facts import ServerFacts
from memocache.backends._leases import FencedCache, KeyState, LeaseRequest, OwnLeases, PreparedRead
from memocache.backends._shared import (
    BEGINNING,
    GENERATION_MAGIC,
    READ_AT_ONCE,
    Found,
    ServerCache,
    is_generation,
    is_lease,
    is_present,
    new_generation,
    number_in,
)
from memocache.backends._wire import seconds_allowed
from memocache.backends.base import Busy, Lease
from memocache.backends.redis import resp
from memocache.backends.redis.pubsub import Channel
from memocache.backends.redis.resp import Command, ErrorReply, Reply, Request, command
from memocache.backends.urls import SHARED_OPTIONS, Recipe, Url, duration, integer
from memocache.errors import BackendUnavailable, ConfigurationError, ValueTooLarge
from memocache.keys import without_version
from memocache.serializers import Serializer
from memocache.serializers._codec import COMPRESS_ABOVE, ValueCodec
from memocache.serializers._compression import Method
from memocache.serializers._signing import Secret

if TYPE_CHECKING:
    from memocache.backends.redis.connection import RedisServer
    from memocache.backends.redis.topology import Topology

__all__ = ["RedisCache"]

LARGEST_ITEM: Final = 48 * 1024 * 1024  # bytes; of an answer no more is read than somewhat above that
MARGIN: Final = 1.0  # seconds for which a server keeps what is over: the entry itself knows better
GENERATION_MARGIN: Final = 3600.0
ADDED_AT_ONCE: Final = 1000  # numbers in one script, which keeps the server from all else
LONGEST_EXPIRY: Final = 1e9  # seconds; what is to be kept for longer is kept for ever

# Ours can be told from everybody else's; and a user's key cannot be taken for a lease.
KEYS: Final = b"memocache:"
LEASES: Final = b"memocache-lease:"


# ---- scripts: keys come first, the key, its lease, and the generations of its tags -----------------------------------


class Script:
    """A Lua script, which Redis runs in one step, and the digest under which servers remember it."""

    def __init__(self, text: str) -> None:
        self.text = text.encode()
        self.digest = sha1(self.text, usedforsecurity=False).hexdigest().encode()


CLAIM: Final = Script("""
local function stands(key, seen) return (redis.call('GET', key) or '') == seen end
local nonce = redis.pcall('GETRANGE', KEYS[1], 8, 23)
if type(nonce) == 'table' then
  if not string.find(nonce.err, 'WRONGTYPE', 1, true) then
    return redis.error_reply('NOPERM the command getrange is needed: ' .. nonce.err)
  end
  nonce = ''
end
if nonce ~= ARGV[1] or not stands(KEYS[2], ARGV[2]) then return 0 end
for i = 3, #KEYS do
  if not stands(KEYS[i], ARGV[i + 2]) then return 0 end
end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
return 1
""")
"""Take the lease, if all is as it was found: the id under the key, the lease, the generations.

Arguments: the id and the lease that were found (empty: none), the new lease, its milliseconds; the generations found.
"""

FILL: Final = Script("""
local function call(name, ...)
  local reply = redis.pcall(name, ...)
  if type(reply) == 'table' and reply.err then error('the command ' .. name .. ' is needed: ' .. reply.err, 0) end
  return reply
end
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
for i = 3, #KEYS do
  if redis.call('GET', KEYS[i]) ~= ARGV[i + 1] then return 0 end
end
local ms = tonumber(ARGV[3])
if ms == 0 then redis.call('SET', KEYS[1], ARGV[2]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ms) end
for i = 3, #KEYS do
  local left = call('pttl', KEYS[i])
  if ms == 0 then call('persist', KEYS[i])
  elseif left >= 0 and left < ms then call('pexpire', KEYS[i], 2 * ms) end
end
return 1
""")
"""Store a value under the key, if the lease and the generations are those under which it was made; and end the lease.

The generations are kept for as long as the value. Arguments: the lease, the value, its milliseconds (0: for ever); the
generations.
"""

GIVE_BACK: Final = Script("""
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[2])
""")
"""End the lease. Argument: the lease."""

SWAP: Final = Script("""
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
if ARGV[3] == '0' then redis.call('SET', KEYS[1], ARGV[2]) else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1
""")
"""Store a user's value instead of another, and end the lease.

Arguments: the old (empty: none), the new, its milliseconds.
"""


ADD: Final = Script("""
for i = 2, #ARGV, 2 do
  local reply = redis.pcall('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1])
  if type(reply) == 'table' then
    if string.find(reply.err, 'WRONGTYPE', 1, true) then
      redis.call('DEL', KEYS[1])
    elseif not string.find(reply.err, 'integer', 1, true) and not string.find(reply.err, 'overflow', 1, true) then
      if not string.find(reply.err, 'run th', 1, true) then return reply end  -- it has no memory, or is a replica
      return redis.error_reply('NOPERM the command hincrby is needed: ' .. reply.err)
    end
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
if ARGV[1] ~= '0' then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 1
""")
"""Add to the numbers in a hash; what is none begins anew.

Arguments: its milliseconds (0: for ever); each name and what to add.
"""


# ---- shards ----------------------------------------------------------------------------------------------------------


class Shard:
    """Keys that are on one server, in one slot of a cluster; a KVServer."""

    def __init__(self, topology: "Topology", index: int) -> None:
        self._topology = topology
        self._index = index
        self._tag = topology.hash_tags[index]

    def name(self, wire: str) -> bytes:
        """Return the whole name of a wire key in Redis."""
        return self._tag + KEYS + wire.encode("ascii")

    def lease_name(self, wire: str) -> bytes:
        """Return the name of the lease of a wire key."""
        return self._tag + LEASES + wire.encode("ascii")

    # ---- requests ------------------------------------------------------------------------------------------------

    async def ask(self, request: Request) -> list[Reply]:
        """Return the replies to *request*; see Topology."""
        return await self._topology.ask(self._index, request)

    async def run(self, script: Script, keys: Sequence[bytes], arguments: Sequence[bytes]) -> bool:
        """Run *script*, and return whether it did it."""
        rest = (b"%d" % len(keys), *keys, *arguments)
        (reply,) = await self.ask(Request(command(resp.integer, b"EVALSHA", script.digest, *rest)))
        if type(reply) is ErrorReply:  # the server has been restarted, or never had it
            (reply,) = await self.ask(Request(command(resp.integer, b"EVAL", script.text, *rest)))
        return bool(reply)

    # ---- as a KVServer -----------------------------------------------------------------------------------------------

    def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return what is under *keys*."""
        if not keys:
            return {}
        found = blocking(self.ask(Request(_mget(map(self.name, keys)), retry=True)))[0]
        return {key: data for key, data in zip(keys, found, strict=True) if data is not None}

    def gets(self, key: str, *, urgent: bool = False) -> tuple[bytes | None, object]:
        """Return what is under *key*, twice: with that it is swapped."""
        (data,) = blocking(self.ask(Request(command(resp.bulk, b"GET", self.name(key)), retry=True, urgent=urgent)))
        return data, data

    def add(self, key: str, data: bytes, expire: int) -> bool:
        """Store *data* if there is nothing under *key*."""
        return self.cas(key, data, b"", expire)

    def cas(self, key: str, data: bytes, swap: object, expire: int) -> bool:
        """Store *data* if what is under *key* is still what *swap* was; and end the lease."""
        assert isinstance(swap, bytes)
        return bool(blocking(self.run(SWAP, (self.name(key), self.lease_name(key)), (swap, data, b"%d" % expire))))

    def set(self, key: str, data: bytes, expire: int) -> None:
        """Store *data*; and end the lease."""
        blocking(self.ask(Request(*self.set_commands(key, data, expire))))

    # ---- commands ------------------------------------------------------------------------------------------------

    def set_commands(self, key: str, data: bytes, expire: int) -> tuple[Command, Command]:
        """Return the commands that end the lease, lest a result of before comes later, and then store *data*."""
        return command(resp.integer, b"DEL", self.lease_name(key)), _set(self.name(key), data, expire)

    def forget_commands(self, key: str) -> tuple[Command, Command]:
        """Return the commands that end the lease and the entry: two, as a slot on the move takes one key a command."""
        return command(resp.integer, b"DEL", self.lease_name(key)), command(resp.integer, b"DEL", self.name(key))


@dataclass(slots=True, kw_only=True)
class ShardRead(PreparedRead):
    """A prepared read of a key in its shard."""

    shard: Shard
    names: list[bytes]  # of the key, its lease, the generations of its tags
    request: Request

    def state(self, replies: list[Reply]) -> KeyState:
        """Return the state of the key, as *replies* to the request tell."""
        last = self._last
        if last is not None and last[0] is replies:
            return last[1]
        data, marker, *generations = replies[-1]
        return self.interpret(replies, data, generations, marker)


def _mget(names: Iterable[bytes]) -> Command:
    """Return the command that reads the content of *names*."""
    words = tuple(names)
    return command(resp.bulks(len(words)), b"MGET", *words)._replace(keys=words)


def _set(name: bytes, data: bytes, expire: int, *conditions: bytes) -> Command:
    """Return the command that stores *data* for *expire* milliseconds, 0 for ever."""
    words = (b"PX", b"%d" % expire) if expire else ()
    return command(resp.ok_or_nil, b"SET", name, data, *words, *conditions)


# ---- the cache -------------------------------------------------------------------------------------------------------


class RedisCache(FencedCache[ShardRead], ServerCache):
    """A cache on Redis or Valkey, shared by all processes that use the same one.

    Create it once and keep it around: it holds at most 32 connections, and one for each event loop. Coroutine functions
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
        allowed = seconds_allowed(timeout, "exchange")
        if type(max_item_size) is not int or not 1024 <= max_item_size <= LARGEST_ITEM:
            raise ConfigurationError(
                f"max_item_size={max_item_size!r}; wanted: bytes, as an int from 1024 to {LARGEST_ITEM}"
            )
        settings = _redis_settings().read_settings(url_or_client, connection)
        from memocache.backends.redis.topology import new_topology  # not before it is clear that there is redis-py

        self._topology = topology = new_topology(settings, allowed)
        self._shards = [Shard(topology, index) for index in range(len(topology.hash_tags))]
        self._own_leases = OwnLeases()
        self._max_item_size = max_item_size
        codec = ValueCodec(serializer, compress, compress_above, secret, largest=max_item_size * 7 // 8)
        super().__init__(default_timeout, key_prefix, codec)
        self._channel = self._new_channel(key_prefix)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """Return the cache of a *url* whose query may have options of the cache, too; see `cache_from_url`.

        Example: `RedisCache.from_url("redis://10.0.0.1/0?prefix=shop:&default_timeout=60&timeout=0.2")`
        """
        cache: Self = Recipe(cls, cls.url_arguments(Url(url))).make(**options)
        return cache

    @classmethod
    def url_arguments(cls, url: Url) -> dict[str, Any]:
        """Return the arguments that *url* stands for."""
        options = url.options(
            {**SHARED_OPTIONS, "timeout": duration, "max_item_size": integer, **_redis_settings().URL_OPTIONS}
        )
        return {"url_or_client": url, **options}

    def __repr__(self) -> str:
        return f"RedisCache({self._topology}, default_timeout={self.default_timeout:g}, key_prefix={self._prefix!r})"

    def after_fork(self) -> None:
        """Use no connection and join no flight of the parent's."""
        self._own_leases = OwnLeases()
        for server in self._topology.known_servers():
            server.reset()
        self._channel = self._new_channel(self._prefix)

    def close(self) -> None:
        """Close the connections, those that are in use after that; the cache makes new ones if it is used again."""
        self._channel.close()
        for server in self._topology.known_servers():
            server.close()

    # ---- where a key is ------------------------------------------------------------------------------------------

    def _shard_index(self, wire: str) -> int:
        count = len(self._shards)
        if count == 1:
            return 0
        place = without_version(wire)  # all versions of a call are in one slot
        return int.from_bytes(blake2b(place.encode("ascii"), digest_size=4).digest()) % count

    def server_of(self, key: str) -> str | None:
        """Return the address of the server, if there is one alone."""
        servers = self._topology.known_servers()
        return servers[0].name if len(servers) == 1 else None

    def _node(self, key: str) -> Shard:
        return self._shards[self._shard_index(key)]

    def _new_read(self, key: str, tags: tuple[str, ...]) -> ShardRead:
        wire = self._wire(key)
        shard = self._node(wire)
        names = [shard.name(wire), shard.lease_name(wire), *(shard.name(self._wire(tag)) for tag in tags)]
        return ShardRead(
            key=key,
            tags=tags,
            wire=wire,
            digest=self._digest(key),
            heads=[_envelope.generation_head(tag) for tag in tags],
            shard=shard,
            names=names,
            request=Request(_mget(names), retry=True),
        )

    def _expire(self, seconds: float) -> int:
        return 0 if seconds > LONGEST_EXPIRY else math.ceil((max(0.0, seconds) + MARGIN) * 1000)

    # ---- the steps of the read-through ---------------------------------------------------------------------------

    async def _read(self, target: ShardRead) -> KeyState:
        return target.state(await target.shard.ask(target.request))

    async def _read_many(self, targets: Sequence[ShardRead]) -> list[KeyState]:
        replies = await self._ask_by_wire({target.wire: target.request.commands for target in targets}, retry=True)
        return [target.state(replies[target.wire]) for target in targets]

    async def _init(self, target: ShardRead, state: KeyState, lease: float, attempt: int) -> KeyState:
        expire = self._expire(lease + GENERATION_MARGIN)
        # What is no generation the second time is junk of somebody else's.
        conditions = () if attempt else (b"NX",)
        inits = [
            _set(name, new_generation(), expire, *conditions)
            for name, generation in zip(target.names[2:], state.generations, strict=True)
            if not is_generation(generation or b"")
        ]
        return target.state(await target.shard.ask(Request(*inits, *target.request.commands)))

    def _leader(self, wanted: LeaseRequest[ShardRead]) -> Lease | Busy | None:
        envelope, marker = wanted.state.envelope, wanted.state.marker
        if marker is not None:
            held = _envelope.unpack(marker, wanted.target.digest)
            if held is not None and held.kind == LEASE and held.block == wanted.block and is_lease(held, wanted.now):
                return self._own_leases.leader(wanted, marker)
        is_resting = envelope is not None and is_present(envelope, wanted.now) and wanted.now < envelope.retry_at
        return Busy(None) if is_resting else None

    async def _take(self, wanted: LeaseRequest[ShardRead], old: StaleableEntry | None = None) -> Lease | None:
        """Have a script put a marker beside the key."""
        target, state, taken = wanted.target, wanted.state, self._lead(wanted)
        lease_id = b"" if state.data is None else state.data[ID]
        expire = b"%d" % self._expire(wanted.seconds)
        arguments = (lease_id, state.marker or b"", taken.id, expire, *_generations(taken))
        try:
            is_ours = await target.shard.run(CLAIM, target.names, arguments)
        except BackendUnavailable:
            # The answer was lost, perhaps not the command. If the marker is there, it is ours all the same.
            if not await self._holds(target, taken):
                raise
            return taken
        if is_ours:
            return taken
        self._own_leases.drop(taken.id)
        return None

    async def _overrule(self, wanted: LeaseRequest[ShardRead]) -> Lease | None:
        """Put a marker over whichever is there."""
        target, taken = wanted.target, self._lead(wanted)
        try:
            await target.shard.ask(Request(_set(target.names[1], taken.id, self._expire(wanted.seconds))))
        except BackendUnavailable:
            if not await self._holds(target, taken):
                raise
        return taken

    def _lead(self, wanted: LeaseRequest[ShardRead]) -> Lease:
        """Return a lease, with a flight that others in this process find by its marker, which is its id as well."""
        marker = self._pack_lease(wanted.target.key, os.urandom(16), wanted.now, wanted.seconds, wanted.block)
        # Before it leaves: whoever reads it in this process must find the flight.
        return self._own_leases.lead(wanted, marker)

    async def _holds(self, target: ShardRead, lease: Lease) -> bool:
        """Return whether *lease* is on the server."""
        (found,) = await target.shard.ask(Request(_mget(target.names[1:2]), retry=True, urgent=True))
        return bool(found == [lease.id])

    async def _store(self, target: ShardRead, lease: Lease, packed: bytes | None, lifetime: float) -> bool:
        """Have a script store it if the marker is still there and the generations are those of the lease."""
        if packed is None:
            is_stored = await target.shard.run(GIVE_BACK, target.names[:2], (lease.id,))
        else:
            arguments = (lease.id, packed, b"%d" % self._expire(lifetime), *_generations(lease))
            is_stored = await target.shard.run(FILL, target.names, arguments)
        if is_stored:  # else, or if there was no answer, it may still be there, and nobody leads it
            self._own_leases.drop(lease.id)
        return is_stored

    # ---- forgetting ----------------------------------------------------------------------------------------------

    async def forget(self, key: str) -> bool:
        """Delete the lease and the entry; acknowledged."""
        wire = self._wire(key)
        shard = self._node(wire)
        return any(await shard.ask(Request(*shard.forget_commands(wire), retry=True, urgent=True)))

    async def forget_call(self, keys: tuple[str, ...], tag: str) -> bool:
        """Delete leases, entries, and the tag's generation, which lies beside them; acknowledged."""
        wires = [self._wire(key) for key in keys]
        shard = self._node(wires[0])
        deletes = [each for wire in wires for each in shard.forget_commands(wire)]
        generation = command(resp.integer, b"DEL", shard.name(self._wire(tag)))
        *replies, _ = await shard.ask(Request(*deletes, generation, retry=True, urgent=True))
        return any(replies)

    async def forget_tag(self, tag: str) -> None:
        """Delete the tag's generation in every shard; raise if one of them was not acknowledged."""
        wire = self._wire(tag)
        deletes = [command(resp.integer, b"DEL", shard.name(wire)) for shard in self._shards]
        requests = {index: Request(delete, retry=True, urgent=True) for index, delete in enumerate(deletes)}
        await self._topology.ask_all(requests)

    async def _ask_by_wire(
        self, commands: Mapping[str, Sequence[Command]], *, retry: bool = False, urgent: bool = False
    ) -> dict[str, list[Reply]]:
        """Give the *commands* of each wire key, in one round trip to each server, and return the replies to each."""
        by_shard: dict[int, list[str]] = {}
        for wire in commands:
            by_shard.setdefault(self._shard_index(wire), []).append(wire)
        requests = {
            index: Request(*[each for wire in own for each in commands[wire]], retry=retry, urgent=urgent)
            for index, own in by_shard.items()
        }
        replies = await self._topology.ask_all(requests)
        found: dict[str, list[Reply]] = {}
        for index, own in by_shard.items():
            rest = iter(replies[index])
            found.update((wire, list(islice(rest, len(commands[wire])))) for wire in own)
        return found

    # ---- what there is -------------------------------------------------------------------------------------------

    def facts(self) -> list[ServerFacts]:
        """Return what each server tells of itself, and which commands it refuses."""
        from memocache.backends.redis.facts import facts_of

        return facts_of(self._topology, KEYS + self._prefix.encode("ascii"), self._channel_name(self._prefix))

    def _places(self, start: str, tag: str) -> Iterator[Sequence[str]]:
        """Return the wire keys with this *start*, page by page, as SCAN finds them."""
        for _, names in self._topology.pages(KEYS + (self._prefix + start).encode("ascii"), b"TYPE", b"string"):
            yield [each.partition(KEYS)[2].decode() for each in dict.fromkeys(names) if each.isascii()]

    def _found(self, places: Sequence[str]) -> Iterator[Found]:
        commands = {wire: _beginning(self._node(wire).name(wire)) for wire in places}
        for wire, (data, size) in blocking(self._ask_by_wire(commands, retry=True)).items():
            yield Found(wire, data, size)

    async def forget_listed(self, key: str) -> bool:
        """Delete the lease and the entry; acknowledged."""
        wire = self._listed_wire(key)
        shard = self._node(wire)
        return any(await shard.ask(Request(*shard.forget_commands(wire), retry=True, urgent=True)))

    # ---- tallies -------------------------------------------------------------------------------------------------

    def _tally(self, tally: str) -> str:
        return f"{self._prefix}#tally:{tally}"

    def add_to_tally(self, tally: str, amounts: dict[str, int], lifetime: float) -> None:
        """Have a script add *amounts* to the numbers of a *tally*, a hash; all tallies are in one shard."""
        shard, expire = self._node(self._tally("")), b"%d" % self._expire(lifetime)
        while amounts:
            some = dict(islice(amounts.items(), ADDED_AT_ONCE))
            words = [word for name, amount in some.items() for word in (name.encode(), b"%d" % amount)]
            blocking(shard.run(ADD, (shard.name(self._tally(tally)),), (expire, *words)))
            for name in some:
                del amounts[name]

    def tallies(self, tallies: Sequence[str], names: Sequence[str]) -> list[dict[str, int]]:
        """Return the numbers of *tallies*, each by name: in one round trip, or in more if there are many."""
        shard = self._node(self._tally(""))
        hashes = [command(resp.pairs, b"HGETALL", shard.name(self._tally(tally))) for tally in tallies]
        replies: list[Any] = []
        at_once = max(1, READ_AT_ONCE // max(1, len(names)))
        for start in range(0, len(hashes), at_once):
            replies += blocking(shard.ask(Request(*hashes[start : start + at_once], retry=True)))
        return [
            {
                name.decode("utf-8", "replace"): number
                for name, data in zip(reply[::2], reply[1::2], strict=True)
                if (number := number_in(data)) is not None
            }
            for reply in replies
        ]

    # ---- messages between near tiers -------------------------------------------------------------------------------

    clear_heeds_prefix = True
    can_send = True

    def _new_channel(self, prefix: str) -> Channel:
        topology = self._topology  # not self, whom the channel would keep alive

        def find_server() -> "RedisServer":
            server: RedisServer = blocking(topology.masters())[0]
            return server

        return Channel(self._channel_name(prefix), find_server)

    @staticmethod
    def _channel_name(prefix: str) -> bytes:
        return f"memocache:told:{prefix}".encode()

    def receive(self, receiver: Callable[[str | None], object]) -> None:
        """Have *receiver* called, in a thread of its own, with each text that any process sends."""
        self._channel.receive(receiver)

    async def send(self, text: str) -> None:
        """Publish *text* to all receivers, in every process."""
        try:
            await self._topology.ask(0, self._channel.publish(text))
        except BackendUnavailable as error:
            if "NOPERM" in str(error):
                self._channel.was_refused("publish", str(error))
            raise

    # ---- tasks ---------------------------------------------------------------------------------------------------

    def runs_in_tasks(self) -> bool:
        """Return whether the running event loop can wait for sockets; that of Windows cannot."""
        from memocache.backends.redis.connection import can_watch_sockets

        return can_watch_sockets()

    def _check_size(self, wire: str, data: bytes) -> None:
        if len(data) > self._max_item_size:
            raise ValueTooLarge(
                f"an item of {len(data)} bytes is larger than max_item_size={self._max_item_size}, so it is not stored"
            )

    # ---- what a user calls ---------------------------------------------------------------------------------------

    def _raw(self, keys: Sequence[str]) -> dict[str, bytes]:
        by_wire = {self._wire(key): key for key in keys}
        commands = {wire: (command(resp.bulk, b"GET", self._node(wire).name(wire)),) for wire in by_wire}
        replies = blocking(self._ask_by_wire(commands, retry=True))
        return {by_wire[wire]: data for wire, (data,) in replies.items() if data is not None}

    def set_many(self, mapping: Mapping[str, object], timeout: float | None = None) -> list[str]:
        """Store all of *mapping* for *timeout* seconds, in one round trip to each server; return what is stored."""
        lifetime = self.lifetime(timeout)
        if lifetime <= 0:
            self.delete_many(*mapping)
            return []
        commands = {}
        for key, value in mapping.items():
            wire, packed = self._wire(key), self._packed(key, value, lifetime)
            commands[wire] = self._node(wire).set_commands(wire, packed, self._expire(lifetime))
        blocking(self._ask_by_wire(commands))
        return list(mapping)

    def delete_many(self, *keys: str) -> list[str]:
        """Delete all *keys*, in one round trip to each server; return those that had something."""
        wires = {key: self._wire(key) for key in keys}
        commands = {wire: self._node(wire).forget_commands(wire) for wire in wires.values()}
        replies = blocking(self._ask_by_wire(commands, retry=True, urgent=True))
        return [key for key in keys if any(replies[wires[key]])]

    def clear(self) -> bool:
        """Delete everything under this key_prefix; what memocache has not stored is left alone.

        It looks at the name of every key in the database, a thousand at a time.
        """
        # Leases first, so that nothing of before is stored while the rest is being deleted.
        for kind in (LEASES, KEYS):
            self._topology.delete_all(kind + self._prefix.encode("ascii"))
        self._cleared()
        return True


def _beginning(name: bytes) -> tuple[Command, Command]:
    """Return the commands that read the first bytes under *name*, and how many there are."""
    return (command(resp.bulk, b"GETRANGE", name, b"0", b"%d" % (BEGINNING - 1)), command(resp.length, b"STRLEN", name))


def _generations(lease: Lease) -> list[bytes]:
    """Return the generations under which *lease* was taken, as they stand on the server."""
    return [GENERATION_MAGIC + generation for generation in _envelope.generations_of(lease.block)]


def _redis_settings() -> Any:
    """Return the module `settings`, which imports redis-py; ConfigurationError if that is not installed."""
    try:
        from memocache.backends.redis import settings
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "redis":
            raise
        raise ConfigurationError("RedisCache needs redis-py: pip install 'redis>=6'") from missing
    return settings
