"""Which Redis server a key is on: the only one, or the master that sentinels know; for a cluster see `cluster`."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from memocache.backends._verbs import Verb
from memocache.backends.redis.connection import Exchange, RedisServer, Where
from memocache.backends.redis.resp import Refusal, Reply, Request, anything, command, number, page
from memocache.errors import BackendError, BackendUnavailable

__all__ = ["Maker", "Sentinels", "Servers", "Single", "address_in", "check"]

Maker: TypeAlias = Callable[[Where], RedisServer]


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
        """Ask the server."""
        replies: list[Reply] = yield Exchange(self._server, request, again, urgent)
        for reply in replies:
            if type(reply) is Refusal:
                check(self._server, reply)
        return replies

    def masters(self) -> Verb[Sequence[RedisServer]]:
        """Return the server."""
        yield from ()
        return [self._server]

    def everybody(self) -> Sequence[RedisServer]:
        """Return the server."""
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
        """Ask the master, or the one that sentinels name where it is a replica now."""
        for _ in range(2):
            master = self._master or (yield from self._found(urgent))
            try:
                replies: list[Reply] = yield Exchange(master, request, again, urgent)
            except BackendUnavailable:
                self._master = None
                raise
            refusal = next((reply for reply in replies if type(reply) is Refusal), None)
            if refusal is None:
                return replies
            if refusal.word != "READONLY":
                check(master, refusal)
                return replies
            self._master = None
        assert refusal is not None
        raise master.refused(refusal)

    def _found(self, urgent: bool) -> Verb[RedisServer]:
        """Return the master, as the first of the sentinels says that answers."""
        question = Request(command(anything, b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._service.encode()))
        problem = BackendUnavailable("there is no sentinel")
        for sentinel in list(self._sentinels):
            try:
                (reply,) = yield Exchange(sentinel, question, True, urgent)
            except BackendUnavailable as error:
                problem = error
                continue
            address = address_in(reply)
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
        """Return the master."""
        return [self._master or (yield from self._found(True))]

    def everybody(self) -> Sequence[RedisServer]:
        """Return the sentinels, and all that have been masters."""
        return [*self._sentinels, *self._known.values()]


def check(server: RedisServer, refusal: Refusal) -> None:
    """Raise what a *refusal* means, unless the caller can do something about it."""
    if refusal.word != "NOSCRIPT":
        raise server.refused(refusal)


def address_in(reply: Any) -> tuple[str, int] | None:
    """Return host and port in *reply*, which anybody may have written."""
    if isinstance(reply, list) and len(reply) >= 2 and isinstance(reply[0], bytes):
        port = reply[1]
        number = int(port) if isinstance(port, bytes) and port.isdigit() else port
        if isinstance(number, int) and reply[0]:
            return reply[0].decode("ascii", "replace"), number
    return None
