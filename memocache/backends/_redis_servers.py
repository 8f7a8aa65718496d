"""Which Redis server a key is on: the only one, the master that sentinels know, or one of a cluster.

Keys are in shards. What one request is about, a key, its lease and the stamps of its groups, is in one shard, and that
is all on one server. A single server has one shard. A cluster has 64, each a hash tag, spread evenly over its 16 384
slots; so a shard moves with its slot, the stamps along with the entries that carry them, and nothing that was forgotten
comes back to life when the cluster is given another shape. The number of shards is part of where a key is, and so it
is the same for everybody, for ever.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from memocache._clock import ticks
from memocache.backends._redis_client import key_slot
from memocache.backends._redis_server import Exchange, RedisServer, Where
from memocache.backends._resp import Command, Refusal, Reply, Request, anything, command, number, page, status
from memocache.backends._verbs import Verb
from memocache.errors import BackendError, BackendUnavailable

__all__ = ["Cluster", "Sentinels", "Servers", "Single"]

SLOTS: Final = 16_384
SHARDS: Final = 64
MOST_REDIRECTIONS: Final = 5
PAUSE: Final = 1.0  # seconds between two looks at the shape of a cluster that is failing
ASKING: Final = command(status, b"ASKING")
SHAPE: Final = Request(command(anything, b"CLUSTER", b"SLOTS"))

Maker = Callable[[Where], RedisServer]


def _tags() -> list[bytes]:
    """Return the hash tag of each shard: the first that is in its part of the slots."""
    tags: dict[int, bytes] = {}
    number = 0
    while len(tags) < SHARDS:
        tag = b"{m%d}" % number
        tags.setdefault(key_slot(tag) * SHARDS // SLOTS, tag)
        number += 1
    return [tags[shard] for shard in range(SHARDS)]


class Servers(ABC):
    """Some servers; *tags* stand in front of the keys of each shard."""

    tags: Sequence[bytes] = (b"",)

    @abstractmethod
    def ask(self, shard: int, request: Request, *, again: bool = False, urgent: bool = False) -> Verb[list[Reply]]:
        """Return the replies to *request*, which is about keys of one *shard*.

        Raises BackendUnavailable. See Exchange for *again* and *urgent*. The only refusal among the replies is of a
        script that the server does not know.
        """

    @abstractmethod
    def masters(self) -> Verb[Sequence[RedisServer]]:
        """Return the servers, each of which has some of the keys."""

    @abstractmethod
    def everybody(self) -> Sequence[RedisServer]:
        """Return the servers that are known."""

    @abstractmethod
    def __str__(self) -> str:
        """Return where they are, without names and passwords."""

    def delete_all(self, name: bytes) -> Verb[None]:
        """Delete on every server what is called *name* and more, whatever its shard."""
        pattern = (b"{*}" if len(self.tags) > 1 else b"") + re.sub(rb"([\\*?\[\]^-])", rb"\\\1", name) + b"*"
        for server in (yield from self.masters()):
            cursor = b"0"
            while True:
                scan = command(page, b"SCAN", cursor, b"MATCH", pattern, b"COUNT", b"1000")
                (reply,) = yield Exchange(server, Request(scan), True, True)
                if type(reply) is Refusal:
                    raise server.refused(reply)
                cursor, names = reply
                if names:  # one by one: in a cluster they are in many slots
                    deleting = Request(*[command(number, b"DEL", each) for each in names])
                    replies = yield Exchange(server, deleting, True, True)
                    for each in replies:
                        if type(each) is Refusal:
                            raise server.refused(each)
                if cursor == b"0":
                    break

    def ask_all(
        self, requests: Mapping[int, Request], *, again: bool = False, urgent: bool = False
    ) -> Verb[dict[int, list[Reply]]]:
        """Return the replies to *requests*, by shard; raise if one was not answered, after the others have been."""
        replies: dict[int, list[Reply]] = {}
        failed: BackendError | None = None
        for shard, request in requests.items():
            try:
                replies[shard] = yield from self.ask(shard, request, again=again, urgent=urgent)
            except BackendError as error:
                failed = error
        if failed is not None:
            raise failed
        return replies


class Single(Servers):
    """One server."""

    def __init__(self, address: Where, make: Maker) -> None:
        self._server = make(address)

    def __str__(self) -> str:
        return self._server.name

    def ask(self, shard: int, request: Request, *, again: bool = False, urgent: bool = False) -> Verb[list[Reply]]:
        replies: list[Reply] = yield Exchange(self._server, request, again, urgent)
        for reply in replies:
            if type(reply) is Refusal:
                _check(self._server, reply)
        return replies

    def masters(self) -> Verb[Sequence[RedisServer]]:
        yield from ()
        return [self._server]

    def everybody(self) -> Sequence[RedisServer]:
        return [self._server]


class Sentinels(Servers):
    """The master of a *service*, which sentinels know."""

    def __init__(self, service: str, sentinels: Sequence[Where], make_sentinel: Maker, make: Maker) -> None:
        self._service = service
        self._sentinels = [make_sentinel(address) for address in sentinels]
        self._make = make
        self._known: dict[Where, RedisServer] = {}
        self._master: RedisServer | None = None

    def __str__(self) -> str:
        return f"{','.join(sentinel.name for sentinel in self._sentinels)}/{self._service}"

    def ask(self, shard: int, request: Request, *, again: bool = False, urgent: bool = False) -> Verb[list[Reply]]:
        for _ in range(2):
            master = self._master or (yield from self._found())
            try:
                replies: list[Reply] = yield Exchange(master, request, again, urgent)
            except BackendUnavailable:
                self._master = None
                raise
            refusal = next((reply for reply in replies if type(reply) is Refusal), None)
            if refusal is None:
                return replies
            if refusal.word != "READONLY":
                _check(master, refusal)
                return replies
            self._master = None
        assert refusal is not None
        raise master.refused(refusal)

    def _found(self) -> Verb[RedisServer]:
        """Return the master, as the first of the sentinels says that answers."""
        question = Request(command(anything, b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._service.encode()))
        problem = BackendUnavailable("there is no sentinel")
        for sentinel in list(self._sentinels):
            try:
                (reply,) = yield Exchange(sentinel, question, True, False)
            except BackendUnavailable as error:
                problem = error
                continue
            address = _address(reply)
            if address is None:
                problem = BackendUnavailable(f"the sentinel at {sentinel.name} knows no master of {self._service!r}")
                continue
            self._sentinels.remove(sentinel)
            self._sentinels.insert(0, sentinel)
            if address not in self._known:
                self._known[address] = self._make(address)
            self._master = master = self._known[address]
            return master
        raise problem

    def masters(self) -> Verb[Sequence[RedisServer]]:
        return [self._master or (yield from self._found())]

    def everybody(self) -> Sequence[RedisServer]:
        return [*self._sentinels, *self._known.values()]


class Cluster(Servers):
    """The servers of a cluster, some *seeds* of which are known."""

    tags = _tags()

    def __init__(self, seeds: Sequence[Where], make: Maker) -> None:
        self._make = make
        self._seeds = list(seeds)
        self._known = {address: make(address) for address in seeds}
        self._owners: list[RedisServer | None] = [None] * SHARDS
        self._slots = [key_slot(tag) for tag in self.tags]
        self._is_stale = True
        self._looked = float("-inf")

    def __str__(self) -> str:
        return ",".join(self._known[address].name for address in self._seeds)

    def ask(self, shard: int, request: Request, *, again: bool = False, urgent: bool = False) -> Verb[list[Reply]]:
        if self._is_stale and (self._owners[shard] is None or ticks() >= self._looked + PAUSE):
            yield from self._look(urgent)
        server = self._owners[shard]
        if server is None:
            raise BackendUnavailable(f"the cluster at {self} has nobody for some of the keys")
        asked = request
        for _ in range(MOST_REDIRECTIONS):
            try:
                replies: list[Reply] = yield Exchange(server, asked, again, urgent)
            except BackendUnavailable:
                self._is_stale = True
                raise
            if asked is not request:
                replies = replies[1::2]
            refusal = next((reply for reply in replies if type(reply) is Refusal), None)
            if refusal is None:
                return replies
            if refusal.word not in ("MOVED", "ASK"):
                self._is_stale = self._is_stale or refusal.word == "CLUSTERDOWN"
                _check(server, refusal)
                return replies
            place = _redirected(refusal, server)
            if place is None:
                raise server.refused(refusal)
            server, asked = self._at(place), request
            if refusal.word == "MOVED":
                self._owners[shard], self._is_stale = server, True
            else:
                asked = Request(*[each for command in request.commands for each in (ASKING, command)])
        assert refusal is not None
        raise server.refused(refusal)

    def _at(self, address: Where) -> RedisServer:
        if address not in self._known:
            self._known[address] = self._make(address)
        return self._known[address]

    def _look(self, urgent: bool) -> Verb[None]:
        """Ask whoever answers which server has which slots."""
        self._looked = ticks()
        problem = BackendUnavailable("nobody is known of the cluster")
        owners = [server for server in self._owners if server is not None]
        for server in dict.fromkeys([*owners, *self._known.values()]):
            try:
                (reply,) = yield Exchange(server, SHAPE, True, urgent)
            except BackendUnavailable as error:
                problem = error
                continue
            ranges = _ranges(reply, server)
            if ranges is None:
                problem = BackendUnavailable(f"redis at {server.name} is not of a cluster, or talks garbage")
                continue
            for start, end, address in ranges:
                for shard, slot in enumerate(self._slots):
                    if start <= slot <= end:
                        self._owners[shard] = self._at(address)
            self._is_stale = False
            return
        if not owners:
            raise problem

    def masters(self) -> Verb[Sequence[RedisServer]]:
        yield from self._look(True)
        return list(dict.fromkeys(server for server in self._owners if server is not None))

    def everybody(self) -> Sequence[RedisServer]:
        return list(self._known.values())

    def ask_all(
        self, requests: Mapping[int, Request], *, again: bool = False, urgent: bool = False
    ) -> Verb[dict[int, list[Reply]]]:
        """Ask each server once; and those shards again that have moved."""
        by_server: dict[RedisServer, list[int]] = {}
        for shard in requests:
            owner = self._owners[shard]
            if owner is not None and not self._is_stale:
                by_server.setdefault(owner, []).append(shard)
        replies: dict[int, list[Reply]] = {}
        for server, shards in by_server.items():
            commands: list[Command] = [each for shard in shards for each in requests[shard].commands]
            try:
                found: list[Reply] = yield Exchange(server, Request(*commands), again, urgent)
            except BackendUnavailable:
                self._is_stale = True
                continue
            for shard in shards:
                count = len(requests[shard].commands)
                own, found = found[:count], found[count:]
                if not any(type(reply) is Refusal for reply in own):
                    replies[shard] = own
        left = {shard: request for shard, request in requests.items() if shard not in replies}
        if left:
            replies.update((yield from super().ask_all(left, again=again, urgent=urgent)))
        return replies


def _check(server: RedisServer, refusal: Refusal) -> None:
    """Raise what a *refusal* means, unless the caller can do something about it."""
    if refusal.word != "NOSCRIPT":
        raise server.refused(refusal)


def _address(reply: Any) -> tuple[str, int] | None:
    """Return host and port in *reply*, which anybody may have written."""
    if isinstance(reply, list) and len(reply) >= 2 and isinstance(reply[0], bytes):
        port = reply[1]
        number = int(port) if isinstance(port, bytes) and port.isdigit() else port
        if isinstance(number, int) and reply[0]:
            return reply[0].decode("ascii", "replace"), number
    return None


def _redirected(refusal: Refusal, server: RedisServer) -> Where | None:
    """Return where a *refusal* sends us: "MOVED 3999 127.0.0.1:6381"; without a host, to that of the *server*."""
    place = refusal.text.rpartition(" ")[2]
    host, _, port = place.rpartition(":")
    return (host or _host(server), int(port)) if port.isdigit() else None


def _ranges(reply: Any, server: RedisServer) -> list[tuple[int, int, Where]] | None:
    """Return the ranges of slots in *reply* with the addresses of their masters; None if it is not of that form."""
    ranges: list[tuple[int, int, Where]] = []
    for each in reply if isinstance(reply, list) else [None]:
        if not (isinstance(each, list) and len(each) > 2 and type(each[0]) is type(each[1]) is int):
            return None
        node = each[2]
        if isinstance(node, list) and len(node) > 1 and not node[0]:
            node = [_host(server).encode(), *node[1:]]
        address = _address(node)
        if address is None:
            return None
        ranges.append((each[0], each[1], address))
    return ranges or None


def _host(server: RedisServer) -> str:
    return server.address if isinstance(server.address, str) else server.address[0]
