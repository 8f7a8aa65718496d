"""Topology: the servers of a RedisCache, and which of them has which keys; one server, sentinels, or a cluster.

Keys are in shards. What one request is about, a key, its lease and the generations of its tags, is in one shard, and
that is all on one server.
"""

import re
from abc import ABC, abstractmethod
from binascii import crc_hqx
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from memocache._clock import ticks
from memocache._effects import Effects, Sleep, Together, blocking
from memocache.backends._wire import WrongServer
from memocache.backends.redis import resp
from memocache.backends.redis.connection import RedisServer, RoundTrip
from memocache.backends.redis.resp import Command, ErrorReply, Reply, Request, command
from memocache.backends.redis.settings import ClientSettings, ServerAddress
from memocache.errors import BackendError, BackendUnavailable, ConfigurationError

__all__ = ["Cluster", "Sentinels", "Standalone", "Topology", "new_topology"]

SLOTS: Final = 16_384
SHARDS: Final = 64
MOST_REDIRECTIONS: Final = 5
PAUSE: Final = 1.0  # seconds between two looks at the slots of a cluster that is failing
SLOT_PAUSE: Final = 0.02  # seconds after which a slot that is on the move is asked again
SLOT_WAIT: Final = 0.25  # seconds for which it is asked again and again
MOST_ASKED: Final = 17  # servers that are asked the same
ASKING: Final = command(resp.ok_or_nil, b"ASKING")
CLUSTER_SLOTS: Final = Request(command(resp.any_reply, b"CLUSTER", b"SLOTS"), retry=True)

T = TypeVar("T")
ServerFactory: TypeAlias = Callable[[ServerAddress], RedisServer]


def new_topology(settings: ClientSettings, timeout: float) -> "Topology":
    """Return the servers that *settings* tell of; ConfigurationError if it can be none."""
    is_sentinel = settings.kind == "sentinel"

    def new_server(address: ServerAddress) -> RedisServer:
        return RedisServer(address, settings.tls, settings.options, timeout, must_be_master=is_sentinel)

    def new_sentinel(address: ServerAddress) -> RedisServer:
        return RedisServer(address, settings.tls, settings.sentinel_options, timeout, must_be_master=False)

    topology: Topology
    if settings.kind == "cluster":
        if settings.options.get("db"):
            raise ConfigurationError(f"db={settings.options['db']!r}; a cluster has the database 0 only")
        topology = Cluster(settings.addresses, new_server)
    elif is_sentinel:
        topology = Sentinels(settings.service, settings.addresses, new_sentinel, new_server)
    else:
        topology = Standalone(settings.addresses[0], new_server)
    topology.timeout = timeout
    return topology


class Topology(ABC):
    """The servers of a cache, and which of them has which shard; *hash_tags* stand before the keys of each shard.

    What is asked has one deadline, whoever and however many have to be asked for it.
    """

    hash_tags: Sequence[bytes] = (b"",)
    timeout: float
    """Seconds from a question to its deadline."""

    @abstractmethod
    async def ask(self, shard: int, request: Request) -> list[Reply]:
        """Return the replies to *request*, which is about keys of one *shard*.

        Raises BackendUnavailable. The only error among the replies is that for a script that the server does not know.
        """

    @abstractmethod
    async def masters(self) -> Sequence[RedisServer]:
        """Return the servers, each of which has some of the keys."""

    @abstractmethod
    def known_servers(self) -> Sequence[RedisServer]:
        """Return the servers that are known, sentinels included."""

    @abstractmethod
    def __str__(self) -> str:
        """Return where they are, without names and passwords."""

    def pages(self, name: bytes, *words: bytes, urgent: bool = False) -> Iterator[tuple[RedisServer, list[bytes]]]:
        """Return each server with the names there that begin with *name*, page by page, whatever the shard; it blocks.

        *words* say more of what is wanted.
        """
        pattern = (b"{*}" if len(self.hash_tags) > 1 else b"") + re.sub(rb"([\\*?\[\]^-])", rb"\\\1", name) + b"*"
        for server in blocking(self.masters()):
            cursor = b""
            while cursor != b"0":  # as it is after the last page
                scan = command(resp.scan_page, b"SCAN", cursor or b"0", b"MATCH", pattern, b"COUNT", b"1000", *words)
                (reply,) = RoundTrip(server, Request(scan, retry=True, urgent=urgent)).run()
                if type(reply) is ErrorReply:
                    raise server.refused(reply)
                cursor, names = reply
                yield server, names

    def delete_all(self, name: bytes) -> None:
        """Delete on every server each key whose name begins with *name*, whatever its shard; it blocks."""
        for server, names in self.pages(name, urgent=True):
            if names:  # one by one: in a cluster they are in many slots
                deletes = [command(resp.integer, b"DEL", each) for each in names]
                for reply in RoundTrip(server, Request(*deletes, retry=True, urgent=True)).run():
                    if type(reply) is ErrorReply:
                        raise server.refused(reply)

    async def _first_answer(
        self, servers: Sequence[RedisServer], ask: Callable[[RedisServer, float], Effects[T]], deadline: float
    ) -> T:
        """Return what *ask* makes of the first of *servers*; if that is in trouble, of another, all asked at once."""
        problem: BaseException = BackendUnavailable("there is nobody to ask")
        answer: Any = None
        share = 0.5 if len(servers) > 1 else 1.0
        for asked in (servers[:1], servers[1:MOST_ASKED]):
            seconds = (deadline - ticks()) * share
            for answer in await Together([ask(server, seconds) for server in asked]):
                if not isinstance(answer, BaseException):
                    return answer  # type: ignore[no-any-return]
                problem = answer
            share = 1.0
        try:
            raise problem
        finally:
            del problem, answer  # the traceback leads here

    async def ask_all(self, requests: Mapping[int, Request]) -> dict[int, list[Reply]]:
        """Return the replies to *requests*, by shard; raise if one was not answered, after the others have been."""
        replies: dict[int, list[Reply]] = {}
        failed: BackendError | None = None
        for shard, request in requests.items():
            try:
                replies[shard] = await self.ask(shard, request)
            except BackendError as error:
                failed = error
        if failed is not None:
            try:
                raise failed
            finally:
                del failed  # its traceback leads here
        return replies


class Standalone(Topology):
    """One server."""

    def __init__(self, address: ServerAddress, new_server: ServerFactory) -> None:
        self._server = new_server(address)

    def __str__(self) -> str:
        return self._server.name

    async def ask(self, shard: int, request: Request) -> list[Reply]:
        """Ask the server."""
        replies: list[Reply] = await RoundTrip(self._server, request)
        _check_errors(self._server, replies)
        return replies

    async def masters(self) -> Sequence[RedisServer]:
        """Return the server."""
        return [self._server]

    def known_servers(self) -> Sequence[RedisServer]:
        """Return the server."""
        return [self._server]


class Sentinels(Topology):
    """The master of a *service*, and the sentinels that know which server that is."""

    def __init__(
        self, service: str, sentinels: Sequence[ServerAddress], new_sentinel: ServerFactory, new_server: ServerFactory
    ) -> None:
        self._service = service
        self._sentinels = [new_sentinel(address) for address in sentinels]
        self._new_server = new_server
        self._servers: dict[ServerAddress, RedisServer] = {}
        self._master: RedisServer | None = None

    def __str__(self) -> str:
        return f"{','.join(sentinel.name for sentinel in self._sentinels)}/{self._service}"

    async def ask(self, shard: int, request: Request) -> list[Reply]:
        """Ask the master; if that is a replica now, the one that the sentinels name."""
        deadline = ticks() + self.timeout
        was_demoted = False
        while True:
            master = self._master or (await self._find_master(request.urgent, deadline))
            try:
                replies: list[Reply] = await RoundTrip(master, request, deadline - ticks())
            except BackendUnavailable as error:
                self._master = None
                if was_demoted or type(error.__cause__) is not WrongServer:
                    raise
                was_demoted = True
                continue
            _check_errors(master, replies)
            return replies

    async def _find_master(self, urgent: bool, deadline: float) -> RedisServer:
        """Return the master, as the first of the sentinels says that answers."""
        words = command(resp.any_reply, b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._service.encode())
        request = Request(words, retry=True, urgent=urgent)

        async def ask(sentinel: RedisServer, seconds: float) -> ServerAddress:
            (reply,) = await RoundTrip(sentinel, request, seconds)
            address = _parse_address(reply)
            if address is None:
                raise BackendUnavailable(f"the sentinel at {sentinel.name} knows no master of {self._service!r}")
            self._sentinels = [sentinel, *(each for each in self._sentinels if each is not sentinel)]
            return address

        address = await self._first_answer(self._sentinels, ask, deadline)
        if address not in self._servers:
            self._servers[address] = self._new_server(address)
        self._master = master = self._servers[address]
        return master

    async def masters(self) -> Sequence[RedisServer]:
        """Return the master."""
        return [self._master or (await self._find_master(True, ticks() + self.timeout))]

    def known_servers(self) -> Sequence[RedisServer]:
        """Return the sentinels, and all that have been masters."""
        return [*self._sentinels, *self._servers.values()]


def _hash_tags() -> list[bytes]:
    """Return the hash tag of each shard: the first that is in its part of the slots."""
    tags: dict[int, bytes] = {}
    number = 0
    while len(tags) < SHARDS:
        tag = b"{m%d}" % number
        tags.setdefault(_slot(tag) * SHARDS // SLOTS, tag)
        number += 1
    return [tags[shard] for shard in range(SHARDS)]


def _slot(tag: bytes) -> int:
    """Return the slot of all keys that begin with a hash *tag*: by the CRC-16 of what is between its braces."""
    return crc_hqx(tag[1:-1], 0) % SLOTS


class Cluster(Topology):
    """The servers of a cluster, some *seeds* of which are known.

    It has 64 shards, each a hash tag, spread evenly over its 16 384 slots; so a shard moves with its slot, generations
    along with the entries that carry them, and nothing that was forgotten comes back to life when the slots are spread
    in another way. The number of shards is part of where a key is, and so it is the same for everybody, for ever.
    """

    hash_tags = _hash_tags()

    def __init__(self, seeds: Sequence[ServerAddress], new_server: ServerFactory) -> None:
        self._new_server = new_server
        self._seeds = list(seeds)
        self._servers = {address: new_server(address) for address in seeds}
        self._owners: list[RedisServer | None] = [None] * SHARDS
        self._slots = [_slot(tag) for tag in self.hash_tags]
        self._is_outdated = True  # somebody was not where we thought
        self._refreshed_at = float("-inf")
        self._waited_at = float("-inf")  # in vain, for a slot to be where its keys are

    def __str__(self) -> str:
        return ",".join(self._servers[address].name for address in self._seeds)

    def known_servers(self) -> Sequence[RedisServer]:
        """Return all servers that have been heard of."""
        return list(self._servers.values())

    async def masters(self) -> Sequence[RedisServer]:
        """Return the servers that have slots, as the cluster says now."""
        await self._refresh(ticks() + self.timeout)
        return list(dict.fromkeys(server for server in self._owners if server is not None))

    # ---- who has what --------------------------------------------------------------------------------------------

    async def _by_owner(self, shards: Sequence[int], deadline: float) -> dict[RedisServer, list[int]]:
        """Return the *shards* of each server; leave half of the time to ask these, if they are known already."""
        unknown = any(self._owners[shard] is None for shard in shards)
        now = ticks()
        if self._is_outdated and (unknown or now >= self._refreshed_at + PAUSE):
            await self._refresh(deadline if unknown else (now + deadline) / 2)
        owners: dict[RedisServer, list[int]] = {}
        for shard in shards:
            owner = self._owners[shard]
            if owner is None:
                raise BackendUnavailable(f"nobody in the cluster at {self} has some of the keys")
            owners.setdefault(owner, []).append(shard)
        return owners

    async def _refresh(self, deadline: float) -> None:
        """Ask the servers which of them has which slots, until one answers."""
        self._refreshed_at = ticks()

        async def ask(server: RedisServer, seconds: float) -> list[tuple[int, int, ServerAddress]]:
            (reply,) = await RoundTrip(server, CLUSTER_SLOTS, seconds)
            if type(reply) is ErrorReply:
                raise server.refused(reply)
            ranges = _parse_slot_ranges(reply, server)
            if ranges is None:
                raise BackendUnavailable(f"redis at {server.name} is not of a cluster, or talks garbage")
            return ranges

        owners = [server for server in self._owners if server is not None]
        try:
            ranges = await self._first_answer(list(dict.fromkeys([*owners, *self._servers.values()])), ask, deadline)
        except BackendUnavailable:
            if not owners:
                raise
            return
        for start, end, address in ranges:
            for shard, slot in enumerate(self._slots):
                if start <= slot <= end:
                    self._owners[shard] = self._server_at(address)
        self._is_outdated = False

    def _server_at(self, address: ServerAddress) -> RedisServer:
        if address not in self._servers:
            self._servers[address] = self._new_server(address)
        return self._servers[address]

    # ---- asking --------------------------------------------------------------------------------------------------

    async def ask(self, shard: int, request: Request) -> list[Reply]:
        """Ask the server of the *shard*, and follow its redirections."""
        deadline = ticks() + self.timeout
        (server,) = await self._by_owner([shard], deadline)
        replies = await self._round_trip(server, request, deadline)
        return await self._follow(shard, server, request, replies, deadline)

    async def ask_all(self, requests: Mapping[int, Request]) -> dict[int, list[Reply]]:
        """Ask each server once, all of them at once; and follow those shards that have moved."""
        deadline = ticks() + self.timeout

        async def ask(server: RedisServer, shards: Sequence[int]) -> None:
            together = requests[shards[0]].of(each for shard in shards for each in requests[shard].commands)
            rest = await self._round_trip(server, together, deadline)
            for shard in shards:
                count = len(requests[shard].commands)
                own, rest = rest[:count], rest[count:]
                replies[shard] = await self._follow(shard, server, requests[shard], own, deadline)

        replies: dict[int, list[Reply]] = {}
        by_owner = await self._by_owner(list(requests), deadline)
        for problem in await Together([ask(server, shards) for server, shards in by_owner.items()]):
            if problem is not None:
                try:
                    raise problem
                finally:
                    del problem  # its traceback leads here
        return replies

    async def _round_trip(self, server: RedisServer, request: Request, deadline: float) -> list[Reply]:
        try:
            replies: list[Reply] = await RoundTrip(server, request, deadline - ticks())
        except BackendUnavailable:
            self._is_outdated = True
            raise
        return replies

    async def _follow(
        self, shard: int, server: RedisServer, request: Request, replies: list[Reply], deadline: float
    ) -> list[Reply]:
        """Return *replies* of *server* to *request*, with those in place of redirections that come of following them.

        Each command is followed by itself: where a slot is on the move, some keys are here and some are there already.
        """
        redirections = 0
        began = ticks()
        # Now and then only, as it may be on the move for long.
        wait_until = min(deadline, began + SLOT_WAIT) if began > self._waited_at + PAUSE else began
        while redirections < MOST_REDIRECTIONS:
            errors = [reply for reply in replies if type(reply) is ErrorReply]
            if not errors:
                return replies
            if any(map(_is_split, request.commands, replies)):
                replies = await self._read_apart(shard, server, request, replies, deadline)
                continue
            self._is_outdated = self._is_outdated or any(error.word == "CLUSTERDOWN" for error in errors)
            is_followed = _is_redirection if any(map(_is_redirection, errors)) else _is_moving
            may_wait = ticks() < wait_until
            others = [each for each in errors if not (_is_redirection(each) or (_is_moving(each) and may_wait))]
            _check_errors(server, others)
            first = next(filter(is_followed, errors), None)
            if first is None:
                return replies
            left = [each for each, reply in zip(request.commands, replies, strict=True) if is_followed(reply)]
            if first.word == "TRYAGAIN":  # until the slot has moved, or the keys of this command have
                await Sleep(SLOT_PAUSE)
                if ticks() >= wait_until:
                    self._waited_at = ticks()
                server = self._owners[shard] or server
                found = await self._round_trip(server, request.of(left), deadline)
            else:
                redirections += 1
                server = self._server_at(_redirection_target(first, server))
                if first.word == "MOVED":
                    self._owners[shard], self._is_outdated = server, True
                    found = await self._round_trip(server, request.of(left), deadline)
                else:
                    asking = request.of(each for command in left for each in (ASKING, command))
                    found = (await self._round_trip(server, asking, deadline))[1::2]
            rest = iter(found)
            replies = [next(rest) if is_followed(reply) else reply for reply in replies]
        raise BackendUnavailable(f"the cluster at {self} sends us in circles")

    async def _read_apart(
        self, shard: int, server: RedisServer, request: Request, replies: list[Reply], deadline: float
    ) -> list[Reply]:
        """Return *replies*, with the keys read one by one where they could not be read together.

        While a slot is on the move, no node reads keys some of which it does not have, be it that they are nowhere; and
        beside what is stored there is no lease. An entry counts only if its generations are those that are read, so
        they may be read one after the other: what was forgotten before is gone from both nodes.
        """
        whole = []
        for each, reply in zip(request.commands, replies, strict=True):
            if _is_split(each, reply):
                owner = self._owners[shard] or server
                single = request.of(command(resp.bulk, b"GET", key) for key in each.keys)
                found = await self._round_trip(owner, single, deadline)
                reply = await self._follow(shard, owner, single, found, deadline)
            whole.append(reply)
        return whole


def _check_errors(server: RedisServer, replies: Iterable[Reply]) -> None:
    """Raise what the first error in *replies* means, unless the caller can do something about it."""
    for reply in replies:
        if type(reply) is ErrorReply and reply.word != "NOSCRIPT":
            raise server.refused(reply)


def _is_redirection(reply: Reply) -> bool:
    return type(reply) is ErrorReply and reply.word in ("MOVED", "ASK")


def _is_moving(reply: Reply) -> bool:
    return type(reply) is ErrorReply and reply.word == "TRYAGAIN"


def _is_split(given: Command, reply: Reply) -> bool:
    """Return whether *given* is a command that reads keys, which were not in one place."""
    return bool(given.keys) and _is_moving(reply)


def _redirection_target(reply: ErrorReply, server: RedisServer) -> ServerAddress:
    """Return the address in a redirection: "MOVED 3999 127.0.0.1:6381"; without a host, that of the *server*."""
    host, _, port = reply.text.rpartition(" ")[2].rpartition(":")
    if not port.isdigit():
        raise server.refused(reply)
    return host or _host(server), int(port)


def _parse_slot_ranges(reply: Any, server: RedisServer) -> list[tuple[int, int, ServerAddress]] | None:
    """Return the ranges of slots in *reply* with the addresses of their masters; None if it is not of that form."""
    ranges: list[tuple[int, int, ServerAddress]] = []
    for each in reply if isinstance(reply, list) else [None]:
        if not (isinstance(each, list) and len(each) > 2 and type(each[0]) is type(each[1]) is int):
            return None
        node = each[2]
        if isinstance(node, list) and len(node) > 1 and not node[0]:
            node = [_host(server).encode(), *node[1:]]
        address = _parse_address(node)
        if address is None:
            return None
        ranges.append((each[0], each[1], address))
    return ranges or None


def _parse_address(reply: Any) -> tuple[str, int] | None:
    """Return host and port in *reply*, which anybody may have written."""
    if isinstance(reply, list) and len(reply) >= 2 and isinstance(reply[0], bytes):
        port = reply[1]
        number = int(port) if isinstance(port, bytes) and port.isdigit() else port
        if isinstance(number, int) and reply[0]:
            return reply[0].decode("ascii", "replace"), number
    return None


def _host(server: RedisServer) -> str:
    return server.address if isinstance(server.address, str) else server.address[0]
