"""A proxy between a client and a real server that breaks what passes through it, as it is told to."""

import contextlib
import selectors
import socket
import struct
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Self

from tests.support.servers import Address, connect, free_port
from tests.support.wire import Request, Stream, read_answer, read_request

JOIN_SECONDS = 5.0


class Exchange:
    """One request on one connection, and what can be done with it."""

    def __init__(self, connection: "_Connection", request: Request) -> None:
        self._connection = connection
        self._client = connection.client.sock
        self.request = request

    def ask(self) -> bytes:
        """Send the request to the server and return its whole answer."""
        server = self._connection.server()
        server.sock.sendall(self.request.raw)
        return read_answer(server, self.request)

    def begin_to_ask(self, count: int) -> None:
        """Send *count* bytes of the request to the server, and do not wait for what it says."""
        self._connection.server().sock.sendall(self.request.raw[:count])

    def reply(self, data: bytes) -> None:
        self._client.sendall(data)

    def reply_to_next(self, data: bytes) -> None:
        """Send *data* when the next request has come, before its answer."""
        self._connection.owed = data

    def pause(self, seconds: float) -> None:
        if self._connection.proxy.closing.wait(seconds):
            self.hang_up()

    def swallow(self) -> NoReturn:
        while True:
            self._connection.client.receive()
            self._connection.client.everything()

    def end_of_answers(self) -> None:
        self._client.shutdown(socket.SHUT_WR)

    def hang_up(self) -> NoReturn:
        raise EOFError

    def reset(self) -> NoReturn:
        self._connection.ends_abruptly = True
        raise EOFError


# ---- the faults: each says what becomes of one request ---------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Hits requests whose line starts with *match* (None: all), *times* of them (None: until it is changed).

    This one does nothing but pass the request and its answer on.
    """

    match: bytes | None = None
    times: int | None = None

    def play(self, exchange: Exchange) -> None:
        exchange.reply(exchange.ask())


@dataclass(frozen=True, kw_only=True)
class Watch(Fault):
    """Passes everything on, and notes the requests with how many bytes their answers have."""

    seen: list[tuple[Request, int]]

    def play(self, exchange: Exchange) -> None:
        answer = exchange.ask()
        self.seen.append((exchange.request, len(answer)))
        exchange.reply(answer)


@dataclass(frozen=True)
class Delay(Fault):
    """The answer comes *seconds* late; with *request*, the server gets the request so late, client or not."""

    seconds: float
    request: bool = False

    def play(self, exchange: Exchange) -> None:
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

    def play(self, exchange: Exchange) -> None:
        exchange.reply(exchange.ask()[: self.count])
        exchange.hang_up()


@dataclass(frozen=True)
class CutRequest(Fault):
    """The server gets *count* bytes of the request, and then sees the connection closed, as the client does."""

    count: int

    def play(self, exchange: Exchange) -> None:
        exchange.begin_to_ask(self.count)
        exchange.hang_up()


@dataclass(frozen=True)
class ResetAfter(Fault):
    """The connection is reset (on a unix socket: closed) after *count* bytes of the answer."""

    count: int

    def play(self, exchange: Exchange) -> None:
        exchange.reply(exchange.ask()[: self.count])
        exchange.reset()


@dataclass(frozen=True)
class StallAfter(Fault):
    """After *count* bytes of the answer, nothing ever comes on its connection."""

    count: int

    def play(self, exchange: Exchange) -> None:
        exchange.reply(exchange.ask()[: self.count])
        exchange.swallow()


@dataclass(frozen=True)
class SplitAt(Fault):
    """The answer comes in two packets, the first of *count* bytes."""

    count: int

    def play(self, exchange: Exchange) -> None:
        answer = exchange.ask()
        exchange.reply(answer[: self.count])
        exchange.pause(0.0002)
        exchange.reply(answer[self.count :])


@dataclass(frozen=True)
class Flip(Fault):
    """One *bit* of the byte at *place* in the answer is another."""

    place: int
    bit: int

    def play(self, exchange: Exchange) -> None:
        answer = bytearray(exchange.ask())
        if self.place < len(answer):
            answer[self.place] ^= 1 << self.bit
        exchange.reply(bytes(answer))


@dataclass(frozen=True)
class Insert(Fault):
    """There are *data* in the answer at *place* that the server has not sent."""

    place: int
    data: bytes

    def play(self, exchange: Exchange) -> None:
        answer = exchange.ask()
        exchange.reply(answer[: self.place] + self.data + answer[self.place :])


@dataclass(frozen=True)
class LoseAnswer(Fault):
    """The server does what it was asked to; the client sees the connection closed."""

    def play(self, exchange: Exchange) -> None:
        exchange.ask()
        exchange.hang_up()


@dataclass(frozen=True)
class DropRequest(Fault):
    """The request gets lost and no answer comes; the connection lives on."""

    def play(self, exchange: Exchange) -> None:
        pass


@dataclass(frozen=True)
class BlackHole(Fault):
    """The server sees nothing of this request and of later ones on its connection; no answer ever comes."""

    def play(self, exchange: Exchange) -> None:
        exchange.swallow()


@dataclass(frozen=True)
class HalfClose(Fault):
    """No answer but its end; the client may go on writing, and the server sees nothing of it."""

    def play(self, exchange: Exchange) -> None:
        exchange.end_of_answers()
        exchange.swallow()


@dataclass(frozen=True)
class Reset(Fault):
    """The connection is reset (on a unix socket, which knows no reset: closed); the server sees nothing."""

    def play(self, exchange: Exchange) -> None:
        exchange.reset()


@dataclass(frozen=True)
class Garbage(Fault):
    """The server does what it was asked to; the client is sent *data* instead of the answer."""

    data: bytes

    def play(self, exchange: Exchange) -> None:
        exchange.ask()
        exchange.reply(self.data)


@dataclass(frozen=True)
class Repeat(Fault):
    """The answer comes twice; with *late*, the second time in answer to the next request, before its own."""

    late: bool = False

    def play(self, exchange: Exchange) -> None:
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

    def play(self, exchange: Exchange) -> None:
        answer = exchange.ask()
        for i in range(len(answer)):
            exchange.pause(self.pause)
            exchange.reply(answer[i : i + 1])


@dataclass(frozen=True)
class Drip(Fault):
    """The answer comes at *bytes_per_second*, byte for byte."""

    bytes_per_second: float

    def play(self, exchange: Exchange) -> None:
        OneByteAtATime(1 / self.bytes_per_second).play(exchange)


@dataclass(frozen=True)
class Endless(Fault):
    """The answer is *start*, then bytes without a line end until the client closes; nothing is asked."""

    start: bytes = b""

    def play(self, exchange: Exchange) -> None:
        exchange.reply(self.start)
        while True:
            exchange.reply(b"x" * 65_536)


@dataclass(frozen=True)
class Refuse(Fault):
    """The server is down: nobody listens, what was connected is closed. *match*, *times* mean nothing."""


# ---- the proxy -------------------------------------------------------------------------------------------------------


class _Connection:
    """A client's connection and, from the first request on that needs it, one of its own to the server."""

    def __init__(self, proxy: "FaultProxy", client: socket.socket) -> None:
        self.proxy = proxy
        self.client = Stream(client)
        self.ends_abruptly = False
        self.is_forgotten = False
        self.owed = b""
        self._server: Stream | None = None
        self._lock = threading.Lock()  # nobody may shut a socket down whose number has been given to another
        self._is_over = False
        self.thread = threading.Thread(target=self._run, name="fault-proxy-connection", daemon=True)

    def server(self) -> Stream:
        if self._server is None:
            stream = _without_delay(connect(self.proxy.upstream))
            with self._lock:
                self._server = Stream(stream)
                if self._is_over:
                    raise EOFError
        return self._server

    def end(self) -> None:
        """Make the thread's calls on the sockets return."""
        with self._lock:
            self._is_over = True
            for stream in self._streams():
                with contextlib.suppress(OSError):
                    stream.sock.shutdown(socket.SHUT_RDWR)

    def _streams(self) -> list[Stream]:
        return [self.client] if self._server is None else [self.client, self._server]

    def _run(self) -> None:
        try:
            while True:
                self._wait_for_client()
                request = read_request(self.client)
                if self.is_forgotten:
                    Exchange(self, request).swallow()
                self._pay_what_is_owed()
                self.proxy.fault_for(request).play(Exchange(self, request))
        except (EOFError, OSError):
            pass
        finally:
            self._close()

    def _wait_for_client(self) -> None:
        """Return when the client has sent something; what the server says unasked is passed on."""
        while not self.client.has_unread:
            with selectors.DefaultSelector() as selector:
                for stream in self._streams():
                    selector.register(stream.sock, selectors.EVENT_READ, stream)
                ready = [key.data for key, _ in selector.select()]
            for stream in ready:
                stream.receive()
            self._pass_on_unasked()
        self._pass_on_unasked()

    def _pass_on_unasked(self) -> None:
        if self._server is not None:
            self.client.sock.sendall(self._server.everything())

    def _pay_what_is_owed(self) -> None:
        owed, self.owed = self.owed, b""
        self.client.sock.sendall(owed)

    def _close(self) -> None:
        if self.ends_abruptly:
            self.client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        else:
            self.end()  # a forked child may hold a copy of the socket, and closing ours would end nothing
        with self._lock:
            for stream in self._streams():
                stream.sock.close()


class _Door:
    """A listening socket, and the thread that accepts what comes."""

    def __init__(self, address: Address, admit: Callable[[socket.socket], None]) -> None:
        self._listener = _listen(address)
        self._admit = admit
        self._waker, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="fault-proxy-door", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while self._woken not in [key.fileobj for key, _ in selector.select()]:
                try:
                    client, _ = self._listener.accept()
                except (BlockingIOError, ConnectionAbortedError):  # the client has left already
                    continue
                self._admit(client)

    def close(self) -> None:
        self._waker.send(b"x")
        self._thread.join(JOIN_SECONDS)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # a forked child may hold a copy that would go on listening
        for sock in (self._listener, self._waker, self._woken):
            sock.close()


class FaultProxy:
    """Stands between clients and the server at *upstream*; `fault` says what it does to them, None: nothing.

    Where *upstream* is changed, new connections lead to another server.

    It listens at *address*, on a unix socket with *unix*, or on 127.0.0.1 and a free port. It knows where requests and
    answers end, in memcached's text protocol and in RESP. A fault that has hit its last time is None again.
    """

    def __init__(
        self, upstream: Address, *, unix: bool = False, fault: Fault | None = None, address: Address | None = None
    ) -> None:
        self.upstream = upstream
        self.connections = 0  # how many were accepted, ever
        self.requests: list[bytes] = []  # the first lines of those that came
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._hits_left: int | None = None
        self._live: list[_Connection] = []
        self._door: _Door | None = None
        self._directory = tempfile.TemporaryDirectory(prefix="mc")
        self.address = address or (str(Path(self._directory.name, "s")) if unix else ("127.0.0.1", free_port()))
        self.fault = fault

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def fault(self) -> Fault | None:
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        """Play this from the next request on."""
        with self._lock:
            self._fault = fault
            self._hits_left = fault.times if fault else None
        if isinstance(fault, Refuse):
            self._stop_listening()
            self.drop_connections()
        elif self._door is None:
            self._door = _Door(self.address, self._admit)

    def drop_connections(self) -> None:
        """Close every connection, as a server does that restarts; new ones are welcome."""
        with self._lock:
            live = list(self._live)
        for connection in live:
            connection.end()

    def forget_connections(self) -> None:
        """Let nothing pass on the present connections, without a word, as a NAT does that has forgotten them."""
        with self._lock:
            for connection in self._live:
                connection.is_forgotten = True

    def close(self) -> None:
        """End everything: connections, threads, sockets."""
        self.closing.set()
        self._stop_listening()
        self.drop_connections()
        for connection in self._live:
            connection.thread.join(JOIN_SECONDS)
        self._directory.cleanup()
        hung = [connection for connection in self._live if connection.thread.is_alive()]
        assert not hung, f"{len(hung)} threads of the proxy hang"

    def fault_for(self, request: Request) -> Fault:
        """Note the request and return what becomes of it."""
        with self._lock:
            self.requests.append(request.line)
            fault = self._fault
            if fault is None or isinstance(fault, Refuse) or not request.line.startswith(fault.match or b""):
                return Fault()
            if self._hits_left is not None:
                self._hits_left -= 1
                if self._hits_left <= 0:
                    self._fault = None
            return fault

    def _admit(self, client: socket.socket) -> None:
        client.setblocking(True)
        connection = _Connection(self, _without_delay(client))
        with self._lock:
            self.connections += 1
            self._live = [other for other in self._live if other.thread.is_alive()]
            self._live.append(connection)
            connection.thread.start()

    def _stop_listening(self) -> None:
        if self._door is not None:
            self._door.close()
            self._door = None


def _listen(address: Address) -> socket.socket:
    listener = socket.socket(socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX)
    try:
        if isinstance(address, tuple):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            Path(address).unlink(missing_ok=True)
        listener.setblocking(False)
        listener.bind(address)
        listener.listen(128)
    except BaseException:
        listener.close()
        raise
    return listener


def _without_delay(stream: socket.socket) -> socket.socket:
    if stream.family == socket.AF_INET:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return stream
