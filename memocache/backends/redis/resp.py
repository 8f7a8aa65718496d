"""RESP2, the protocol of Redis: commands as bytes, and replies parsed; it knows no connection."""

import os
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, TypeAlias

from memocache.backends._wire import LONGEST_REMEMBERED, MOST_BYTES, LastReply, WrongServer

__all__ = [
    *("Command", "Desynchronized", "EchoedRequest", "ErrorReply", "PartialReplies", "ProtocolError"),
    *("Reply", "Request", "any_reply", "bulk", "bulks", "command", "integer", "length", "ok_or_nil", "pairs"),
    "scan_page",
]

MAX_DEPTH: Final = 8
LONGEST_LINE: Final = 1024  # bytes
WRONG_SERVER: Final = ("READONLY", "MASTERDOWN", "LOADING", "NOREPLICAS", "NOAUTH")
"""The errors of a server that was demoted, that reads its data, or that does not know this connection any more."""


class ErrorReply:
    """An error that a server replied: a word that says which, and a text."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    @property
    def word(self) -> str:
        """The first word of the text, which says which error it is."""
        return self.text.partition(" ")[0]


class SimpleString(bytes):
    """A word such as OK."""


Reply: TypeAlias = Any
"""Bytes, a number, None, a list of replies, or an ErrorReply: of the shape that the command asks for, or the last."""
SoFar: TypeAlias = tuple[list[Reply], list[tuple[list[Reply], int]]]
"""The replies that are whole, and the lists that the next one is in the middle of: the innermost last, with lengths."""
Shape: TypeAlias = Callable[[Reply], bool]
"""A check that tells whether a reply can be one to the command at all."""


class ProtocolError(Exception):
    """Bytes from the server that are no reply to the command."""


class Desynchronized(ConnectionError):
    """More bytes than the reply has: perhaps none of them is the reply."""


class NeedMoreData(Exception):
    """The end of the data before that of the reply, whose next part begins at *start*; *missing* bytes at least."""

    def __init__(self, start: int, missing: int) -> None:
        super().__init__()
        self.start = start
        self.missing = missing


# ---- shapes ----------------------------------------------------------------------------------------------------------


def integer(reply: Reply) -> bool:
    """Tell whether it is a number."""
    return type(reply) is int


def length(reply: Reply) -> bool:
    """Tell whether it is a number, of a command that only reads."""
    return integer(reply)


def ok_or_nil(reply: Reply) -> bool:
    """Tell whether it is OK, or nil where a condition did not hold."""
    return reply is None or (type(reply) is SimpleString and reply == b"OK")


def bulk(reply: Reply) -> bool:
    """Tell whether it can be the content of a key."""
    return reply is None or type(reply) is bytes


def bulks(count: int) -> Shape:
    """Return the check for the contents of *count* keys."""
    return lambda reply: type(reply) is list and len(reply) == count and all(map(bulk, reply))


def pairs(reply: Reply) -> bool:
    """Tell whether it can be the names and the values in a hash."""
    return type(reply) is list and len(reply) % 2 == 0 and all(type(each) is bytes for each in reply)


def scan_page(reply: Reply) -> bool:
    """Tell whether it is a cursor, and a list of names."""
    return (
        type(reply) is list
        and len(reply) == 2
        and type(reply[0]) is bytes
        and type(reply[1]) is list
        and all(type(each) is bytes for each in reply[1])
    )


def any_reply(reply: Reply) -> bool:
    """Accept every reply: the caller checks it."""
    return True


CHANGES: Final = (integer, ok_or_nil)
"""The shapes of the replies to commands that change something."""


# ---- commands and replies --------------------------------------------------------------------------------------------


class Command(NamedTuple):
    """A command as bytes, and the shape of its reply; and the *keys* of one that only reads what is under them."""

    shape: Shape
    data: bytes
    keys: tuple[bytes, ...] = ()


def command(shape: Shape, *words: bytes) -> Command:
    """Return the command of these *words*."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        parts.append(b"$%d\r\n%b\r\n" % (len(word), word))
    return Command(shape, b"".join(parts))


class Request:
    """Some commands that are sent together; it remembers the last reply.

    With *retry* it may be repeated on a new connection; *urgent*, as a forgetting is: it is sent whatever the breaker
    says, and nothing but an answer to itself acknowledges it. It *writes* if one of the commands does.
    """

    __slots__ = ("_last", "commands", "data", "retry", "urgent", "writes")

    def __init__(self, *commands: Command, retry: bool = False, urgent: bool = False) -> None:
        self.commands = commands
        self.retry = retry
        self.urgent = urgent
        self.writes = any(each.shape in CHANGES for each in commands)
        self.data = b"".join([each.data for each in commands])
        self._last: LastReply[list[Reply]] | None = None

    def of(self, commands: Iterable[Command]) -> "Request":
        """Return the request of these *commands*, as urgent as this one."""
        return Request(*commands, retry=self.retry, urgent=self.urgent)

    def recall(self, buffer: bytes) -> list[Reply] | None:
        """Return the replies in *buffer* if it is the same as the last time."""
        last = self._last
        return last[1] if last is not None and last[0] == buffer else None

    def parse(self, buffer: bytes, so_far: SoFar) -> tuple[list[Reply], int]:
        """Return the replies, and where they end in *buffer*, which goes on where what is read *so_far* has ended.

        Raises NeedMoreData, when as much of it as can be read is in *so_far*; ProtocolError, or WrongServer.
        """
        replies, lists = so_far
        is_all = not replies and not lists
        end = 0
        for shape, _, _ in self.commands[len(replies) :]:
            reply, end = _parse_reply(buffer, end, lists)
            if type(reply) is not ErrorReply and not shape(reply):
                raise ProtocolError("an answer to something else")
            replies.append(reply)
        for reply in replies:
            if type(reply) is ErrorReply and reply.word in WRONG_SERVER:
                raise WrongServer(reply.text)
        if is_all and end == len(buffer) <= LONGEST_REMEMBERED:
            self._last = LastReply(buffer, replies)
        return replies, end


class EchoedRequest(Request):
    """The commands of a *request*, with one more that proves whose replies they are.

    Replies are told apart by their order only, and one number is like another: if two came to one command, the second
    would acknowledge whatever is asked next. So the server is to repeat a word that it cannot have said before.
    A user who may not ask for that gets an error reply, which is less of a proof.
    """

    __slots__ = ()

    def __init__(self, request: Request) -> None:
        word = os.urandom(8).hex().encode()
        echo = command(lambda reply: reply == word, b"ECHO", word)
        super().__init__(*request.commands, echo, retry=request.retry, urgent=request.urgent)

    def parse(self, buffer: bytes, so_far: SoFar) -> tuple[list[Reply], int]:
        """Return the replies without the repeated word."""
        replies, end = super().parse(buffer, so_far)
        return replies[:-1], end


class PartialReplies:
    """The replies to a *request*, as far as they have come: what has been read of them is not read again."""

    __slots__ = ("_missing", "_parts", "_request", "_so_far", "replies", "size")

    def __init__(self, request: Request) -> None:
        self.replies: list[Reply] = []
        """All of them, when these are whole."""
        self.size = 0
        """How many bytes have come."""
        self._request = request
        self._so_far: SoFar = ([], [])
        self._parts: list[bytes] = []  # not read yet
        self._missing = 0  # bytes, at least, before it is worth reading on

    def take(self, piece: bytes) -> bytes | None:
        """Take in the next *piece*, and return what is in it beyond the replies; None as long as they are not whole.

        Raises ProtocolError, or WrongServer.
        """
        self.size += len(piece)
        if self.size > MOST_BYTES:
            raise ProtocolError(f"the server sent more than {MOST_BYTES} bytes")
        self._parts.append(piece)
        self._missing -= len(piece)
        if self._missing > 0:
            return None
        unread = b"".join(self._parts)
        try:
            self.replies, end = self._request.parse(unread, self._so_far)
        except NeedMoreData as need:
            self._parts, self._missing = [unread[need.start :]], need.missing
            return None
        return unread[end:]


def _parse_reply(buffer: bytes, start: int, lists: list[tuple[list[Reply], int]]) -> tuple[Reply, int]:
    """Return the reply that begins, or goes on, at *start*, and where it ends; see SoFar for the *lists*."""
    while True:
        end = buffer.find(b"\r\n", start)
        if end < 0:
            if len(buffer) - start > LONGEST_LINE:
                raise ProtocolError("a line without an end")
            raise NeedMoreData(start, 1)
        kind, line, end = buffer[start : start + 1], buffer[start + 1 : end], end + 2
        reply: Reply
        if kind == b"$":
            size, reply = _parse_size(line), None
            if size >= 0:
                stop = end + size
                if len(buffer) < stop + 2:
                    raise NeedMoreData(start, stop + 2 - len(buffer))
                if buffer[stop : stop + 2] != b"\r\n":
                    raise ProtocolError("a value of another length than was said")
                reply, end = buffer[end:stop], stop + 2
        elif kind == b"*":
            size = _parse_size(line)
            if len(lists) >= MAX_DEPTH:
                raise ProtocolError("lists within lists")
            if size > 0:
                lists.append(([], size))
                start = end
                continue
            reply = [] if size == 0 else None
        elif kind == b":":
            reply = _parse_int(line)
        elif kind == b"+":
            reply = SimpleString(line)
        elif kind == b"-":
            reply = ErrorReply(line.decode("utf-8", "replace"))
        else:
            raise ProtocolError("no answer of Redis")
        while lists:
            items, length = lists[-1]
            items.append(reply)
            if len(items) < length:
                break
            lists.pop()
            reply = items
        else:
            return reply, end
        start = end


def _parse_size(line: bytes) -> int:
    size = _parse_int(line)
    if not -1 <= size <= MOST_BYTES:
        raise ProtocolError("a length that cannot be")
    return size


def _parse_int(line: bytes) -> int:
    try:
        return int(line)
    except ValueError:
        raise ProtocolError("no number") from None
