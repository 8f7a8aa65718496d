"""Where one request and one answer end, in memcached's text protocol and in Redis's RESP."""

import socket
from dataclasses import dataclass

STORE_COMMANDS = {b"set", b"add", b"replace", b"append", b"prepend", b"cas"}


class Stream:
    """A connected socket, read by lines and by lengths; EOFError when the other side has gone."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._unread = bytearray()

    @property
    def has_unread(self) -> bool:
        return bool(self._unread)

    def receive(self) -> None:
        """Wait for some bytes and keep them."""
        chunk = self.sock.recv(65_536)
        if not chunk:
            raise EOFError
        self._unread += chunk

    def line(self) -> bytes:
        """Return the next bytes up to and with a line end."""
        searched = 0
        while (end := self._unread.find(b"\n", searched)) < 0:
            searched = len(self._unread)
            self.receive()
        return self.exactly(end + 1)

    def exactly(self, count: int) -> bytes:
        while len(self._unread) < count:
            self.receive()
        return self._take(count)

    def everything(self) -> bytes:
        """Return what is here, without waiting."""
        return self._take(len(self._unread))

    def _take(self, count: int) -> bytes:
        taken = bytes(self._unread[:count])
        del self._unread[:count]
        return taken


@dataclass(frozen=True)
class Request:
    """One command: its first line without the line end (RESP: its words, joined by spaces), all its bytes."""

    line: bytes
    raw: bytes
    is_resp: bool = False

    @property
    def wants_answer(self) -> bool:
        words = self.line.split()
        return self.is_resp or not words or words[-1] != b"noreply"


def read_request(stream: Stream) -> Request:
    first = stream.line()
    if first.startswith(b"*"):
        return _resp_request(stream, first)
    return Request(first.rstrip(b"\r\n"), first + stream.exactly(_data_length(first.split())))


def _data_length(words: list[bytes]) -> int:
    """Return how many bytes follow a request's line."""
    if len(words) >= 5 and words[0] in STORE_COMMANDS and words[4].isdigit():
        return int(words[4]) + 2
    if len(words) >= 3 and words[0] == b"ms" and words[2].isdigit():
        return int(words[2]) + 2
    return 0


def _resp_request(stream: Stream, first: bytes) -> Request:
    raw, words = first, []
    for _ in range(int(first[1:])):
        header = stream.line()
        data = stream.exactly(int(header[1:]) + 2)
        raw += header + data
        words.append(data[:-2])
    return Request(b" ".join(words), raw, is_resp=True)


def read_answer(stream: Stream, request: Request) -> bytes:
    """Return the whole answer to *request*; b"" if it gets none, EOFError if the server closes instead."""
    if not request.wants_answer:
        return b""
    return _resp_answer(stream) if request.is_resp else _text_answer(stream)


def _text_answer(stream: Stream) -> bytes:
    answer = b""
    while True:
        line = stream.line()
        answer += line
        words = line.split()
        match words[0] if words else b"":
            case b"VALUE":
                answer += stream.exactly(int(words[3]) + 2)
            case b"STAT" | b"ITEM" | b"PREFIX":
                continue
            case b"VA":
                return answer + stream.exactly(int(words[1]) + 2)
            case _:
                return answer


def _resp_answer(stream: Stream) -> bytes:
    line = stream.line()
    kind, size = line[:1], line[1:].strip()
    if kind in b"$=!":
        return line + (stream.exactly(int(size) + 2) if int(size) >= 0 else b"")
    if kind in b"*~>%":
        count = int(size) * (2 if kind == b"%" else 1)
        return line + b"".join(_resp_answer(stream) for _ in range(count))
    return line
