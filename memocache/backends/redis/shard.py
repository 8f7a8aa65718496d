"""A shard of the keys on Redis: what it is asked, as verbs and as a Node; and where a key is in it."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from memocache import _envelope
from memocache._envelope import Envelope
from memocache.backends._node import Address, block_of
from memocache.backends._verbs import Verb, taken
from memocache.backends.redis.resp import Command, Refusal, Reply, Request, command, number, status, text, values
from memocache.backends.redis.scripts import SWAP, Script
from memocache.errors import BackendError, BackendUnavailable

if TYPE_CHECKING:
    from memocache.backends.redis.topology import Servers

__all__ = ["KEYS", "LEASES", "Seen", "Shard", "Spot", "as_it_is", "reading", "setting"]

# Ours can be told from everybody else's; and a user's key cannot be taken for a lease.
KEYS: Final = b"memocache:"
LEASES: Final = b"memocache-lease:"


class Shard:
    """Keys that are on one server, in one slot of a cluster."""

    def __init__(self, servers: "Servers", index: int) -> None:
        self._servers = servers
        self._index = index
        self._tag = servers.tags[index]

    def name(self, wire: str) -> bytes:
        """Return the whole of what Redis calls a wire key."""
        return self._tag + KEYS + wire.encode("ascii")

    def lease(self, wire: str) -> bytes:
        """Return the name of the lease of a wire key."""
        return self._tag + LEASES + wire.encode("ascii")

    # ---- verbs ---------------------------------------------------------------------------------------------------

    def ask(self, request: Request, *, again: bool = False, urgent: bool = False) -> Verb[list[Reply]]:
        """Return the replies to *request*; see Servers."""
        return self._servers.ask(self._index, request, again=again, urgent=urgent)

    def run(self, script: Script, keys: Sequence[bytes], arguments: Sequence[bytes]) -> Verb[bool]:
        """Return what *script* answers: whether it did it."""
        rest = (b"%d" % len(keys), *keys, *arguments)
        (reply,) = yield from self.ask(Request(command(number, b"EVALSHA", script.digest, *rest)))
        if type(reply) is Refusal:  # the server has been restarted, or never had it
            (reply,) = yield from self.ask(Request(command(number, b"EVAL", script.text, *rest)))
        return bool(reply)

    # ---- as a Node -----------------------------------------------------------------------------------------------

    def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return what is under *keys*."""
        if not keys:
            return {}
        found = _now(self.ask(Request(reading(map(self.name, keys))), again=True))[0]
        return {key: data for key, data in zip(keys, found, strict=True) if data is not None}

    def reader(self, key: str, others: Sequence[str]) -> Callable[[], tuple[bytes | None, Sequence[bytes | None]]]:
        """Return a function that reads what is under *key* and under *others*; see Node."""
        return functools.partial(self._read, Request(reading(map(self.name, (key, *others)))))

    def _read(self, request: Request) -> tuple[bytes | None, Sequence[bytes | None]]:
        data, *others = _now(self.ask(request, again=True))[0]
        return data, others

    def gets(self, key: str, *, urgent: bool = False) -> tuple[bytes | None, object]:
        """Return what is under *key*, twice: with that it is swapped."""
        (data,) = _now(self.ask(Request(command(text, b"GET", self.name(key))), again=True, urgent=urgent))
        return data, data

    def add(self, key: str, data: bytes, expire: int) -> bool:
        """Store *data* if there is nothing under *key*."""
        return self.cas(key, data, b"", expire)

    def cas(self, key: str, data: bytes, swap: object, expire: int) -> bool:
        """Store *data* if what is under *key* is still what *swap* was; and end the lease."""
        assert isinstance(swap, bytes)
        return bool(_now(self.run(SWAP, (self.name(key), self.lease(key)), (swap, data, b"%d" % expire))))

    def set(self, key: str, data: bytes, expire: int) -> None:
        """Store *data*; and end the lease."""
        _now(self.ask(Request(*self.storing(key, data, expire))))

    def delete(self, key: str) -> bool:
        """Delete what is under *key*."""
        return bool(_now(self.ask(Request(command(number, b"DEL", self.name(key))), again=True, urgent=True))[0])

    def flush(self) -> None:
        """Delete everything of ours."""
        _now(self._servers.delete_all(KEYS))

    # ---- commands ------------------------------------------------------------------------------------------------

    def storing(self, key: str, data: bytes, expire: int) -> tuple[Command, Command]:
        """Return what stores *data*, and before that ends the lease, lest what is being computed comes after it."""
        return command(number, b"DEL", self.lease(key)), setting(self.name(key), data, expire)

    def forgetting(self, key: str) -> tuple[Command, Command]:
        """Return what ends the lease on *key*, and the entry: one by one, since a slot on the move takes no two."""
        return command(number, b"DEL", self.lease(key)), command(number, b"DEL", self.name(key))


Seen: TypeAlias = tuple[bytes | None, Envelope | None, bytes | None, bytes | None]
"""What is under a key, the envelope in it if that counts, the block of the present stamps, and the lease."""


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


def reading(names: Any) -> Command:
    """Return what reads what is under *names*."""
    words = list(names)
    return command(values(len(words)), b"MGET", *words)


def setting(name: bytes, data: bytes, expire: int, *conditions: bytes) -> Command:
    """Return what stores *data* for *expire* milliseconds, 0 for ever."""
    words = (b"PX", b"%d" % expire) if expire else ()
    return command(status, b"SET", name, data, *words, *conditions)


def as_it_is(error: Exception) -> BackendError:
    """Return *error*: the servers have said what it means."""
    return error if isinstance(error, BackendError) else BackendUnavailable(repr(error))


def _now(verb: Verb[Any]) -> Any:
    return taken(verb, as_it_is)
