"""The facts of the Redis servers of a cache: what they tell of themselves, and which commands they refuse."""

import os
from collections.abc import Iterator
from typing import Any, Final

from memocache._clock import ticks
from memocache._effects import blocking
from memocache.backends._facts import ServerFacts, clock_skew, socket_open_to_others
from memocache.backends._wire import WrongServer
from memocache.backends.redis import resp
from memocache.backends.redis.connection import RedisServer, RoundTrip
from memocache.backends.redis.resp import ErrorReply, Request, command
from memocache.backends.redis.topology import Topology
from memocache.errors import BackendUnavailable

__all__ = ["facts_of"]

ABSENT: Final = b"0" * 40  # the digest of no script


def facts_of(topology: Topology, begin: bytes, channel: bytes) -> list[ServerFacts]:
    """Return the facts of each master; a key that begins with *begin*, and the *channel*, are used to try commands."""
    key = topology.hash_tags[0] + begin + b"doctor-" + os.urandom(8).hex().encode()
    return [_facts(server, key, channel) for server in blocking(topology.masters())]


def _facts(server: RedisServer, key: bytes, channel: bytes) -> ServerFacts:
    values: dict[str, str] = {}
    for line in _text(_ask(server, b"INFO")).splitlines():
        name, separator, value = line.partition(":")
        if separator:
            values[name] = value
    for setting in (b"save", b"appendfsync"):
        reply = _ask(server, b"CONFIG", b"GET", setting)
        if isinstance(reply, list) and len(reply) == 2:
            values[setting.decode()] = _text(reply[1])
    return ServerFacts(
        "redis",
        server.name,
        values,
        clock_skew(lambda: _time(server)) if isinstance(_ask(server, b"TIME"), list) else None,
        dict(_refused(server, key, channel)),
        socket_open_to_others(server.address),
    )


def _refused(server: RedisServer, key: bytes, channel: bytes) -> Iterator[tuple[str, str]]:
    """Try each command that a cache gives, and return those that are refused, with the answers.

    In a cluster the key may be another server's: that is said only of a command that is allowed.
    """
    trials: dict[str, tuple[bytes, ...]] = {
        "set": (key, b"", b"PX", b"1000"),
        "get": (key,),
        "mget": (key,),
        "getrange": (key, b"0", b"1"),
        "strlen": (key,),
        "pttl": (key,),
        "pexpire": (key, b"1000"),
        "persist": (key,),
        "eval": (b"return 1", b"1", key),
        "evalsha": (ABSENT, b"1", key),
        "scan": (b"0", b"COUNT", b"1"),
        "echo": (b"1",),
        "ping": (),
        "publish": (channel, b""),
        "del": (key,),
        "hincrby": (key, b"", b"0"),
        "hgetall": (key,),
    }
    for name, words in (*trials.items(), ("del", (key,))):
        try:
            reply = _ask(server, name.upper().encode(), *words)
        except BackendUnavailable as error:
            if type(error.__cause__) is not WrongServer:
                raise
            reply = ErrorReply(str(error.__cause__))
        if isinstance(reply, ErrorReply) and reply.word not in ("MOVED", "ASK", "TRYAGAIN", "NOSCRIPT"):
            yield name, reply.text
    if (answer := _subscription(server, channel)) is not None:
        yield "subscribe", answer


def _subscription(server: RedisServer, channel: bytes) -> str | None:
    """Return what is said to a subscription, over a connection of its own, if it is refused."""
    try:
        connection = server.connect(ticks() + server.timeout)
        try:
            (reply,) = connection.exchange(Request(command(resp.any_reply, b"SUBSCRIBE", channel)))
        finally:
            connection.close()
    except Exception as error:
        raise BackendUnavailable(f"redis at {server.name} failed: {server.explain(error)}") from error
    return reply.text if isinstance(reply, ErrorReply) else None


def _ask(server: RedisServer, *words: bytes) -> Any:
    # Urgent: also if it has just refused to take a value, for which it is left alone.
    (reply,) = RoundTrip(server, Request(command(resp.any_reply, *words), retry=True, urgent=True)).run()
    return reply


def _time(server: RedisServer) -> float:
    try:
        seconds, micros = map(int, _ask(server, b"TIME"))
    except (TypeError, ValueError) as error:
        raise BackendUnavailable(f"redis at {server.name} failed: what it tells is no time") from error
    return seconds + micros / 1e6


def _text(reply: Any) -> str:
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else ""
