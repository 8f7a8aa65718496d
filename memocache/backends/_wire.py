"""A connection's socket with one deadline for a whole exchange, and the breaker that leaves a failed server alone."""

import logging
import random
import select
import socket
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar

from memocache import _clock
from memocache._clock import ticks
from memocache._policy import seconds
from memocache.errors import BackendUnavailable, ConfigurationError

__all__ = [
    *("LONGEST_REMEMBERED", "MOST_BYTES", "Breaker", "CipherSocket", "DeadlineSocket", "LastReply", "Sockets"),
    *("closed_with", "seconds_allowed"),
]

MOST_BYTES: Final = 64 * 1024 * 1024
LONGEST_REMEMBERED: Final = 1024  # bytes of a reply

log: Final = logging.getLogger("memocache")

M = TypeVar("M")


class LastReply(NamedTuple, Generic[M]):
    """The last reply to a question, and its *meaning*.

    A hot key has the same reply many times over, and one comparison tells that it need not be read again.
    """

    raw: Any
    meaning: M


def seconds_allowed(timeout: object, work: str = "command") -> float:
    """Return *timeout* as the seconds that one *work* may take; ConfigurationError if it is none."""
    allowed = seconds(timeout, "timeout")
    if allowed <= 0:
        raise ConfigurationError(f"timeout={timeout!r}; wanted: seconds above 0 that one {work} may take")
    return allowed


class Sockets:
    """Stands in for the `socket` module in one pymemcache client: it makes lines with the deadline set by `begin`."""

    AF_UNIX = getattr(socket, "AF_UNIX", None)
    AF_UNSPEC = socket.AF_UNSPEC
    SOCK_STREAM = socket.SOCK_STREAM
    IPPROTO_TCP = socket.IPPROTO_TCP
    TCP_NODELAY = socket.TCP_NODELAY

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds  # that each call has
        self.deadline = 0.0
        self.room = 0

    def begin(self) -> None:
        """Begin a call."""
        self.deadline = ticks() + self.seconds
        self.room = MOST_BYTES

    def left(self) -> float:
        """Return the seconds that the call has left; TimeoutError if none."""
        seconds = self.deadline - ticks()
        if seconds <= 0:
            raise TimeoutError("the deadline of the call is over")
        return seconds

    def takes(self, data: bytes) -> bytes:
        """Return *data* that came in; OSError if it is more than any answer may have."""
        self.room -= len(data)
        if self.room < 0:
            raise OSError(f"the server sent more than {MOST_BYTES} bytes in one answer")
        return data

    def getaddrinfo(self, host: str, port: int, *_: Any) -> list[tuple[Any, ...]]:
        """Return the address as it is: the line tries all that the name stands for, pymemcache would only the first."""
        return [(socket.AF_UNSPEC, socket.SOCK_STREAM, 0, "", (host, port))]

    def socket(self, family: int, *_: Any) -> "DeadlineSocket":
        """Return a line that is not connected yet."""
        return DeadlineSocket(self, family)


class DeadlineSocket:
    """As much of a socket as pymemcache and redis-py use."""

    def __init__(self, sockets: Sockets, family: int) -> None:
        self._sockets = sockets
        self._family = family
        self._socket: socket.socket | None = None
        self._closing: weakref.finalize[[], Any]
        self.readable: Callable[[float], object] = bool
        """Waits so many milliseconds, and tells whether there is something to read."""

    def settimeout(self, seconds: float | None) -> None:
        """Do nothing: the deadline is the call's, not the socket's."""

    def setsockopt(self, *_: Any) -> None:
        """Do nothing: `connect` sets what is needed."""

    def connect(self, address: Any) -> None:
        """Connect within the deadline; to the first of the addresses that a host's name stands for that answers."""
        if self._family == Sockets.AF_UNIX:
            self._connect(self._family, address)
            return
        host, port = address
        problem: OSError | None = None
        for family, _, _, _, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            try:
                self._connect(family, place)
            except OSError as error:
                problem = problem or error
            else:
                return
        raise problem or OSError(f"{host} has no address")

    def _connect(self, family: int, place: Any) -> None:
        self._socket = opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            opened.settimeout(self._sockets.left())
            if family != Sockets.AF_UNIX:
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.connect(place)
            self.adopt(opened)
        except BaseException:  # an interrupt as well: nobody else knows of this socket yet
            opened.close()
            raise

    def adopt(self, connected: socket.socket) -> None:
        """Speak over a socket that is *connected* already."""
        # Each step asks first whether it may go on: Python's own timeouts cost a system call more, and those of the
        # kernel begin anew with each signal.
        connected.settimeout(0)
        self._socket = connected
        self._closing = closed_with(self, connected)
        self.readable = _ready(connected, writing=False)

    def sendall(self, data: bytes) -> None:
        """Send *data* within the deadline."""
        assert self._socket is not None
        sent = 0
        while True:
            try:
                sent += self._socket.send(memoryview(data)[sent:] if sent else data)
            except BlockingIOError:
                if not _ready(self._socket, writing=True)(self._sockets.left() * 1000):
                    raise TimeoutError("the server does not take a command in time") from None
            if sent == len(data):
                return

    def recv(self, size: int) -> bytes:
        """Return up to *size* bytes within the deadline."""
        assert self._socket is not None
        if not self.readable(self._sockets.left() * 1000):
            raise TimeoutError("the server does not answer in time")
        return self._sockets.takes(self._socket.recv(size))

    def recv_into(self, buffer: Any) -> int:
        """Receive into *buffer*, and return how many bytes."""
        data = self.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def exchange(self, command: bytes, size: int) -> bytes:
        """Begin a call: send *command*, and return up to *size* bytes of the answer."""
        # As begin, sendall and recv do one after the other; every hit takes this way.
        sockets, opened = self._sockets, self._socket
        assert opened is not None
        sockets.deadline = ticks() + sockets.seconds
        try:
            sent = opened.send(command)
        except BlockingIOError:
            sent = 0
        if sent < len(command):
            self.sendall(command[sent:])
        if not self.readable(sockets.seconds * 1000):
            raise TimeoutError("the server does not answer in time")
        data = opened.recv(size)
        sockets.room = MOST_BYTES - len(data)
        return data

    def shutdown(self, how: int) -> None:
        """Let both sides know that this is over, whoever else holds a copy."""
        if self._socket is not None:
            self._socket.shutdown(how)

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()

    def detach(self) -> socket.socket:
        """Return the socket, which somebody else speaks over from now on."""
        opened, self._socket = self._socket, None
        assert opened is not None
        self._closing.detach()
        return opened


class CipherSocket(DeadlineSocket):
    """A line over TLS: the socket may hold bytes that the kernel knows nothing of."""

    def adopt(self, connected: socket.socket) -> None:
        super().adopt(connected)
        poll, pending = self.readable, connected.pending  # type: ignore[attr-defined]
        self.readable = lambda milliseconds: pending() or poll(milliseconds)

    def sendall(self, data: bytes) -> None:
        assert self._socket is not None
        self._socket.settimeout(self._sockets.left())
        self._socket.sendall(data)

    def recv(self, size: int) -> bytes:
        assert self._socket is not None
        self._socket.settimeout(self._sockets.left())
        return self._sockets.takes(self._socket.recv(size))

    def exchange(self, command: bytes, size: int) -> bytes:
        self._sockets.begin()
        self.sendall(command)
        return self.recv(size)


def closed_with(owner: object, opened: socket.socket) -> "weakref.finalize[[], Any]":
    """Have *opened* closed when nobody has its *owner* any more, without the warning that it was forgotten."""
    # A destructor would not do: when the garbage collector finds both, the socket's may be the first.
    return weakref.finalize(owner, opened.close)


def _ready(opened: socket.socket, *, writing: bool) -> Callable[[float], object]:
    """Return a function that waits so many milliseconds for *opened*, and tells whether it can be read, or written."""
    if not hasattr(select, "poll"):  # Windows
        readers, writers = ([], [opened]) if writing else ([opened], [])
        return lambda milliseconds: any(select.select(readers, writers, [], milliseconds / 1000))
    poll = select.poll()
    poll.register(opened, select.POLLOUT if writing else select.POLLIN)
    return poll.poll


FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 30.0


class Breaker:
    """Breaker: leaves a server that failed alone; after each failure in a row for twice as long, at most 30 s.

    When a pause is over, one caller is let through to try, and the others wait for what comes of it. Whoever is in a
    hurry looks at *failures* first: without any, there is nothing to ask, and of a success nothing to note.
    """

    def __init__(self, name: str) -> None:
        self.name = name  # of the server
        self.failures = 0  # in a row
        self._lock = threading.RLock()  # a signal handler may ask while this thread has it
        self._closed_until = 0.0
        self._pause = 0.0
        self._trying = False

    def guard(self, *, urgent: bool = False) -> None:
        """Raise BackendUnavailable if the server is left alone now, unless what it is to be asked is *urgent*."""
        if self.failures and not urgent and not self.allows():
            raise BackendUnavailable(f"{self.name} failed before and is left alone for a moment")

    def failure(self, problem: str) -> BackendUnavailable:
        """Note a failure, and return what to raise for it."""
        failure = BackendUnavailable(f"{self.name} failed: {problem}")
        self.note(failure)
        return failure

    def note(self, failure: BackendUnavailable) -> None:
        """Note a *failure*; the log is told of the first in a row."""
        if self.failed():
            log.warning("%s; calls are computed until it is back", str(failure))

    def allows(self) -> bool:
        """Return whether the server may be asked now."""
        if not self.failures:
            return True
        with self._lock:
            now = _clock.ticks()
            if now < self._closed_until:
                return False
            self._closed_until = now + self._pause
            self._trying = True
            return True

    def failed(self) -> bool:
        """Note a failure; true for the first in a row."""
        with self._lock:
            if self.failures and not self._trying and _clock.ticks() < self._closed_until:
                # Of a call that was under way when the first failed: a hiccup that twenty threads met is still one.
                return False
            self._trying = False
            self.failures += 1
            longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self.failures - 1, 20))
            # Not all processes at the same moment: a server that comes back has enough to do.
            self._pause = random.uniform(longest / 2, longest)
            self._closed_until = _clock.ticks() + self._pause
            return self.failures == 1

    def succeeded(self) -> None:
        """Note that the server answered."""
        if self.failures:
            with self._lock:
                self.failures = 0
                self._trying = False
