"""RESP2, the protocol of Redis: commands as bytes, and answers taken apart; it knows no connection."""

import os
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeAlias

from memocache.backends._line import MOST_BYTES

__all__ = [
    "Command",
    "Incomplete",
    "Nonsense",
    "OutOfStep",
    "Proven",
    "Refusal",
    "Reply",
    "Request",
    "anything",
    "command",
    "number",
    "page",
    "status",
    "text",
    "values",
]

MOST_DEPTH: Final = 8
LONGEST_REMEMBERED: Final = 1024  # bytes of an answer


class Refusal:
    """An error that a server answered: a word that says which, and a text."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    @property
    def word(self) -> str:
        """The first word of the text, which says which error it is."""
        return self.text.partition(" ")[0]


class Status(bytes):
    """A word such as OK."""


Reply: TypeAlias = Any
"""Bytes, a number, None, a list of replies, or a Refusal: of the shape that was asked for, or the last."""
Shape: TypeAlias = Callable[[Reply], bool]
"""Tells whether a reply is one to the command at all."""


class Nonsense(Exception):
    """What came is no answer to what was asked."""


class OutOfStep(ConnectionError):
    """There came more than was asked for: perhaps none of it is the answer."""


class Incomplete(Exception):
    """There is more to come: there have to be at least *size* bytes before it is worth looking again."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size


# ---- shapes ----------------------------------------------------------------------------------------------------------


def number(reply: Reply) -> bool:
    """Tell whether it is a number."""
    return type(reply) is int


def status(reply: Reply) -> bool:
    """Tell whether it is OK, or nil where a condition did not hold."""
    return reply is None or (type(reply) is Status and reply == b"OK")


def text(reply: Reply) -> bool:
    """Tell whether it is what may stand under a key."""
    return reply is None or type(reply) is bytes


def values(count: int) -> Shape:
    """Return what tells whether it is what stands under so many keys."""
    return lambda reply: type(reply) is list and len(reply) == count and all(map(text, reply))


def page(reply: Reply) -> bool:
    """Tell whether it is a cursor, and a list of names."""
    return (
        type(reply) is list
        and len(reply) == 2
        and type(reply[0]) is bytes
        and type(reply[1]) is list
        and all(type(each) is bytes for each in reply[1])
    )


def anything(reply: Reply) -> bool:
    """Tell that it will be looked at elsewhere."""
    return True


# ---- commands and answers --------------------------------------------------------------------------------------------


class Command(NamedTuple):
    """A command as bytes, and the shape of its reply."""

    shape: Shape
    data: bytes


def command(shape: Shape, *words: bytes) -> Command:
    """Return the command of these *words*."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        parts.append(b"$%d\r\n%b\r\n" % (len(word), word))
    return Command(shape, b"".join(parts))


class Request:
    """Some commands that are sent together; and the answer to them the last time.

    A hot key has the same answer many times over, and one comparison tells that it need not be taken apart again.
    """

    __slots__ = ("_last", "commands", "data")

    def __init__(self, *commands: Command) -> None:
        self.commands = commands
        self.data = b"".join([each.data for each in commands])
        self._last: tuple[bytes, list[Reply]] | None = None

    def known(self, buffer: bytes) -> list[Reply] | None:
        """Return what *buffer* says if it is the same as the last time."""
        last = self._last
        return last[1] if last is not None and last[0] == buffer else None

    def read(self, buffer: bytes) -> tuple[list[Reply], int]:
        """Return the replies at the beginning of *buffer*, and where they end; Incomplete, Nonsense."""
        replies: list[Reply] = []
        end = 0
        for shape, _ in self.commands:
            reply, end = _parsed(buffer, end, 0)
            if type(reply) is not Refusal and not shape(reply):
                raise Nonsense("an answer to something else")
            replies.append(reply)
        if end == len(buffer) <= LONGEST_REMEMBERED:
            self._last = buffer, replies
        return replies, end


class Proven(Request):
    """The commands of a *request*, whose replies cannot be those to something else.

    Replies are told apart by their order only, and one number is like another: if two came to one command, the second
    would acknowledge whatever is asked next. So the server is to repeat a word that it cannot have said before.
    A user who may not ask for that is refused, which is less of a proof.
    """

    __slots__ = ()

    def __init__(self, request: Request) -> None:
        word = os.urandom(8).hex().encode()
        super().__init__(*request.commands, command(lambda reply: reply == word, b"ECHO", word))

    def read(self, buffer: bytes) -> tuple[list[Reply], int]:
        """Return the replies without the repeated word."""
        replies, end = super().read(buffer)
        return replies[:-1], end


def _parsed(buffer: bytes, start: int, depth: int) -> tuple[Reply, int]:
    """Return the reply that begins at *start*, and where it ends."""
    end = buffer.find(b"\r\n", start)
    if end < 0:
        if len(buffer) - start > LONGEST_REMEMBERED:
            raise Nonsense("a line without an end")
        raise Incomplete(len(buffer) + 1)
    kind, line, end = buffer[start : start + 1], buffer[start + 1 : end], end + 2
    if kind == b"$":
        size = _size(line)
        if size < 0:
            return None, end
        stop = end + size
        if len(buffer) < stop + 2:
            raise Incomplete(stop + 2)
        if buffer[stop : stop + 2] != b"\r\n":
            raise Nonsense("a value of another length than was said")
        return buffer[end:stop], stop + 2
    if kind == b"*":
        size = _size(line)
        if depth >= MOST_DEPTH:
            raise Nonsense("lists within lists")
        if size < 0:
            return None, end
        replies: list[Reply] = []
        for _ in range(size):
            reply, end = _parsed(buffer, end, depth + 1)
            replies.append(reply)
        return replies, end
    if kind == b":":
        return _number(line), end
    if kind == b"+":
        return Status(line), end
    if kind == b"-":
        return Refusal(line.decode("utf-8", "replace")), end
    raise Nonsense("no answer of Redis")


def _size(line: bytes) -> int:
    size = _number(line)
    if not -1 <= size <= MOST_BYTES:
        raise Nonsense("a length that cannot be")
    return size


def _number(line: bytes) -> int:
    try:
        return int(line)
    except ValueError:
        raise Nonsense("no number") from None
