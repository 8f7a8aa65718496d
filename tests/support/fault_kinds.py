"""The faults that a FaultProxy can play: each says what becomes of one request."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.faults import Exchange
    from tests.support.wire import Request

__all__ = [
    "BlackHole",
    "CutAfter",
    "CutRequest",
    "Delay",
    "Drip",
    "DropRequest",
    "Endless",
    "Fault",
    "Flip",
    "Garbage",
    "HalfClose",
    "Insert",
    "LoseAnswer",
    "OneByteAtATime",
    "Refuse",
    "Repeat",
    "Reset",
    "ResetAfter",
    "SplitAt",
    "StallAfter",
    "Watch",
]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Hits requests whose line starts with *match* (None: all), *times* of them (None: until it is changed).

    This one does nothing but pass the request and its answer on.
    """

    match: bytes | None = None
    times: int | None = None

    def play(self, exchange: "Exchange") -> None:
        exchange.reply(exchange.ask())


@dataclass(frozen=True, kw_only=True)
class Watch(Fault):
    """Passes everything on, and notes the requests with how many bytes their answers have."""

    seen: "list[tuple[Request, int]]"

    def play(self, exchange: "Exchange") -> None:
        answer = exchange.ask()
        self.seen.append((exchange.request, len(answer)))
        exchange.reply(answer)


@dataclass(frozen=True)
class Delay(Fault):
    """The answer comes *seconds* late; with *request*, the server gets the request so late, client or not."""

    seconds: float
    request: bool = False

    def play(self, exchange: "Exchange") -> None:
        if self.request:
            exchange.pause(self.seconds)
        answer = exchange.ask()
        if not self.request:
            exchange.pause(self.seconds)
        exchange.reply(answer)


@dataclass(frozen=True)
class CutAfter(Fault):
    """The connection is closed after *count* bytes of the answer."""

    count: int

    def play(self, exchange: "Exchange") -> None:
        exchange.reply(exchange.ask()[: self.count])
        exchange.hang_up()


@dataclass(frozen=True)
class CutRequest(Fault):
    """The server gets *count* bytes of the request, and then sees the connection closed, as the client does."""

    count: int

    def play(self, exchange: "Exchange") -> None:
        exchange.begin_to_ask(self.count)
        exchange.hang_up()


@dataclass(frozen=True)
class ResetAfter(Fault):
    """The connection is reset (on a unix socket: closed) after *count* bytes of the answer."""

    count: int

    def play(self, exchange: "Exchange") -> None:
        exchange.reply(exchange.ask()[: self.count])
        exchange.reset()


@dataclass(frozen=True)
class StallAfter(Fault):
    """After *count* bytes of the answer, nothing ever comes on its connection."""

    count: int

    def play(self, exchange: "Exchange") -> None:
        exchange.reply(exchange.ask()[: self.count])
        exchange.swallow()


@dataclass(frozen=True)
class SplitAt(Fault):
    """The answer comes in two packets, the first of *count* bytes."""

    count: int

    def play(self, exchange: "Exchange") -> None:
        answer = exchange.ask()
        exchange.reply(answer[: self.count])
        exchange.pause(0.0002)
        exchange.reply(answer[self.count :])


@dataclass(frozen=True)
class Flip(Fault):
    """One *bit* of the byte at *place* in the answer is another."""

    place: int
    bit: int

    def play(self, exchange: "Exchange") -> None:
        answer = bytearray(exchange.ask())
        if self.place < len(answer):
            answer[self.place] ^= 1 << self.bit
        exchange.reply(bytes(answer))


@dataclass(frozen=True)
class Insert(Fault):
    """There are *data* in the answer at *place* that the server has not sent."""

    place: int
    data: bytes

    def play(self, exchange: "Exchange") -> None:
        answer = exchange.ask()
        exchange.reply(answer[: self.place] + self.data + answer[self.place :])


@dataclass(frozen=True)
class LoseAnswer(Fault):
    """The server does what it was asked to; the client sees the connection closed."""

    def play(self, exchange: "Exchange") -> None:
        exchange.ask()
        exchange.hang_up()


@dataclass(frozen=True)
class DropRequest(Fault):
    """The request gets lost and no answer comes; the connection lives on."""

    def play(self, exchange: "Exchange") -> None:
        pass


@dataclass(frozen=True)
class BlackHole(Fault):
    """The server sees nothing of this request and of later ones on its connection; no answer ever comes."""

    def play(self, exchange: "Exchange") -> None:
        exchange.swallow()


@dataclass(frozen=True)
class HalfClose(Fault):
    """No answer but its end; the client may go on writing, and the server sees nothing of it."""

    def play(self, exchange: "Exchange") -> None:
        exchange.end_of_answers()
        exchange.swallow()


@dataclass(frozen=True)
class Reset(Fault):
    """The connection is reset (on a unix socket, which knows no reset: closed); the server sees nothing."""

    def play(self, exchange: "Exchange") -> None:
        exchange.reset()


@dataclass(frozen=True)
class Garbage(Fault):
    """The server does what it was asked to; the client is sent *data* instead of the answer."""

    data: bytes

    def play(self, exchange: "Exchange") -> None:
        exchange.ask()
        exchange.reply(self.data)


@dataclass(frozen=True)
class Repeat(Fault):
    """The answer comes twice; with *late*, the second time in answer to the next request, before its own."""

    late: bool = False

    def play(self, exchange: "Exchange") -> None:
        answer = exchange.ask()
        if self.late:
            exchange.reply(answer)
            exchange.reply_to_next(answer)
        else:
            exchange.reply(answer * 2)


@dataclass(frozen=True)
class OneByteAtATime(Fault):
    """The answer comes in packets of one byte, with *pause* seconds before each."""

    pause: float = 0.001

    def play(self, exchange: "Exchange") -> None:
        answer = exchange.ask()
        for i in range(len(answer)):
            exchange.pause(self.pause)
            exchange.reply(answer[i : i + 1])


@dataclass(frozen=True)
class Drip(Fault):
    """The answer comes at *bytes_per_second*, byte for byte."""

    bytes_per_second: float

    def play(self, exchange: "Exchange") -> None:
        OneByteAtATime(1 / self.bytes_per_second).play(exchange)


@dataclass(frozen=True)
class Endless(Fault):
    """The answer is *start*, then bytes without a line end until the client closes; nothing is asked."""

    start: bytes = b""

    def play(self, exchange: "Exchange") -> None:
        exchange.reply(self.start)
        while True:
            exchange.reply(b"x" * 65_536)


@dataclass(frozen=True)
class Refuse(Fault):
    """The server is down: nobody listens, what was connected is closed. *match*, *times* mean nothing."""
