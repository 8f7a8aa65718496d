"""A cluster of Redis servers: which of them has which keys.

Keys are in shards. What one request is about, a key, its lease and the stamps of its groups, is in one shard, and that
is all on one server. A single server has one shard. A cluster has 64, each a hash tag, spread evenly over its 16 384
slots; so a shard moves with its slot, the stamps along with the entries that carry them, and nothing that was forgotten
comes back to life when the cluster is given another shape. The number of shards is part of where a key is, and so it
is the same for everybody, for ever.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from memocache._clock import ticks
from memocache.backends._verbs import Verb
from memocache.backends.redis.connection import Exchange, RedisServer, Where
from memocache.backends.redis.resp import Refusal, Reply, Request, anything, command, status
from memocache.backends.redis.settings import key_slot
from memocache.backends.redis.topology import Maker, Servers, address_in, check
from memocache.errors import BackendUnavailable

__all__ = ["Cluster"]

SLOTS: Final = 16_384
SHARDS: Final = 64
MOST_REDIRECTIONS: Final = 5
PAUSE: Final = 1.0  # seconds between two looks at the shape of a cluster that is failing
ASKING: Final = command(status, b"ASKING")
SHAPE: Final = Request(command(anything, b"CLUSTER", b"SLOTS"))


def _tags() -> list[bytes]:
    """Return the hash tag of each shard: the first that is in its part of the slots."""
    tags: dict[int, bytes] = {}
    number = 0
    while len(tags) < SHARDS:
        tag = b"{m%d}" % number
        tags.setdefault(key_slot(tag) * SHARDS // SLOTS, tag)
        number += 1
    return [tags[shard] for shard in range(SHARDS)]


class Cluster(Servers):
    """The servers of a cluster, some *seeds* of which are known."""

    tags = _tags()

    def __init__(self, seeds: Sequence[Where], make: Maker) -> None:
        self._make = make
        self._seeds = list(seeds)
        self._known = {address: make(address) for address in seeds}
        self._owners: list[RedisServer | None] = [None] * SHARDS
        self._slots = [key_slot(tag) for tag in self.tags]
        self._is_stale = True  # whether somebody was not where we thought
        self._looked = float("-inf")

    def __str__(self) -> str:
        return ",".join(self._known[address].name for address in self._seeds)

    def everybody(self) -> Sequence[RedisServer]:
        """Return the servers that are known."""
        return list(self._known.values())

    def masters(self) -> Verb[Sequence[RedisServer]]:
        """Return the servers that have slots, as the cluster says now."""
        yield from self._look()
        return list(dict.fromkeys(server for server in self._owners if server is not None))

    # ---- who has what --------------------------------------------------------------------------------------------

    def _by_owner(self, shards: Sequence[int]) -> Verb[dict[RedisServer, list[int]]]:
        """Return the *shards* of each server."""
        unknown = any(self._owners[shard] is None for shard in shards)
        if self._is_stale and (unknown or ticks() >= self._looked + PAUSE):
            yield from self._look()
        owners: dict[RedisServer, list[int]] = {}
        for shard in shards:
            owner = self._owners[shard]
            if owner is None:
                raise BackendUnavailable(f"nobody in the cluster at {self} has some of the keys")
            owners.setdefault(owner, []).append(shard)
        return owners

    def _look(self) -> Verb[None]:
        """Ask whoever answers which server has which slots."""
        self._looked = ticks()
        problem = BackendUnavailable("nobody is known of the cluster")
        owners = [server for server in self._owners if server is not None]
        for server in dict.fromkeys([*owners, *self._known.values()]):
            try:
                (reply,) = yield Exchange(server, SHAPE, True, False)
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

    def _at(self, address: Where) -> RedisServer:
        if address not in self._known:
            self._known[address] = self._make(address)
        return self._known[address]

    # ---- asking --------------------------------------------------------------------------------------------------

    def ask(self, shard: int, request: Request, *, again: bool = False, urgent: bool = False) -> Verb[list[Reply]]:
        """Ask the server of the *shard*, and follow its redirections."""
        (server,) = yield from self._by_owner([shard])
        replies = yield from self._given(server, request, again, urgent)
        return (yield from self._followed(shard, server, request, replies, again, urgent))

    def ask_all(
        self, requests: Mapping[int, Request], *, again: bool = False, urgent: bool = False
    ) -> Verb[dict[int, list[Reply]]]:
        """Ask each server once; and follow those shards that have moved."""
        replies: dict[int, list[Reply]] = {}
        failed: BackendUnavailable | None = None
        for server, shards in (yield from self._by_owner(list(requests))).items():
            together = Request(*[each for shard in shards for each in requests[shard].commands])
            try:
                found = yield from self._given(server, together, again, urgent)
                for shard in shards:
                    count = len(requests[shard].commands)
                    own, found = found[:count], found[count:]
                    replies[shard] = yield from self._followed(shard, server, requests[shard], own, again, urgent)
            except BackendUnavailable as error:
                failed = error
        if failed is not None:
            raise failed
        return replies

    def _given(self, server: RedisServer, request: Request, again: bool, urgent: bool) -> Verb[list[Reply]]:
        try:
            replies: list[Reply] = yield Exchange(server, request, again, urgent)
        except BackendUnavailable:
            self._is_stale = True
            raise
        return replies

    def _followed(
        self, shard: int, server: RedisServer, request: Request, replies: list[Reply], again: bool, urgent: bool
    ) -> Verb[list[Reply]]:
        """Return *replies* of *server* to *request*, with those in place of redirections that come of following them.

        Each command is followed by itself: where a slot is on the move, some keys are here and some are there already.
        """
        for _ in range(MOST_REDIRECTIONS):
            refusals = [reply for reply in replies if type(reply) is Refusal]
            if not refusals:
                return replies
            for refusal in refusals:
                if not _redirects(refusal):
                    self._is_stale = self._is_stale or refusal.word == "CLUSTERDOWN"
                    check(server, refusal)
            first = next(filter(_redirects, refusals), None)
            if first is None:
                return replies
            server = self._at(_redirected(first, server))
            left = [each for each, reply in zip(request.commands, replies, strict=True) if _redirects(reply)]
            if first.word == "MOVED":
                self._owners[shard], self._is_stale = server, True
                found = yield from self._given(server, Request(*left), again, urgent)
            else:
                asking = Request(*[each for command in left for each in (ASKING, command)])
                found = (yield from self._given(server, asking, again, urgent))[1::2]
            rest = iter(found)
            replies = [next(rest) if _redirects(reply) else reply for reply in replies]
        raise BackendUnavailable(f"the cluster at {self} sends us in circles")


def _redirects(reply: Reply) -> bool:
    return type(reply) is Refusal and reply.word in ("MOVED", "ASK")


def _redirected(refusal: Refusal, server: RedisServer) -> Where:
    """Return where a *refusal* sends us: "MOVED 3999 127.0.0.1:6381"; without a host, to that of the *server*."""
    place = refusal.text.rpartition(" ")[2]
    host, _, port = place.rpartition(":")
    if not port.isdigit():
        raise server.refused(refusal)
    return host or _host(server), int(port)


def _ranges(reply: Any, server: RedisServer) -> list[tuple[int, int, Where]] | None:
    """Return the ranges of slots in *reply* with the addresses of their masters; None if it is not of that form."""
    ranges: list[tuple[int, int, Where]] = []
    for each in reply if isinstance(reply, list) else [None]:
        if not (isinstance(each, list) and len(each) > 2 and type(each[0]) is type(each[1]) is int):
            return None
        node = each[2]
        if isinstance(node, list) and len(node) > 1 and not node[0]:
            node = [_host(server).encode(), *node[1:]]
        address = address_in(node)
        if address is None:
            return None
        ranges.append((each[0], each[1], address))
    return ranges or None


def _host(server: RedisServer) -> str:
    return server.address if isinstance(server.address, str) else server.address[0]
