"""A server and its connections: sockets with one deadline for a whole exchange, idle connections, and the breaker.

A connection that fails is not a server that failed: what may be repeated is sent once more, on a new connection, within
the same deadline. The server has failed if a new connection does, too.
"""

import contextlib
import logging
import os
import select
import socket
import threading
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Protocol, TypeVar

from memocache import _clock, _fork
from memocache._chance import chance
from memocache._clock import ticks
from memocache._listeners import listeners
from memocache._policy import seconds
from memocache.backends._names import Place, host_of
from memocache.errors import BackendError, BackendUnavailable, ConfigurationError, LeftAlone

if TYPE_CHECKING:
    import ssl

MOST_BYTES: Final = 64 * 1024 * 1024
LONGEST_REMEMBERED: Final = 1024  # bytes of a reply
KEEPALIVE: Final = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}

log: Final = logging.getLogger("memocache")

M = TypeVar("M")
T = TypeVar("T")
W = TypeVar("W")
C = TypeVar("C", bound="WireConnection")


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
    """Stands in for the `socket` module in one pymemcache client: it makes sockets with the deadline set by `begin`."""

    AF_UNIX = getattr(socket, "AF_UNIX", None)
    AF_UNSPEC = socket.AF_UNSPEC
    SOCK_STREAM = socket.SOCK_STREAM
    IPPROTO_TCP = socket.IPPROTO_TCP
    TCP_NODELAY = socket.TCP_NODELAY

    def __init__(self, seconds: float) -> None:
        self.seconds = self.patience = seconds  # that each call has, and in which the first of its answer has to come
        self.deadline = 0.0
        self.room = MOST_BYTES
        self.unsent = 0  # bytes of the command that the kernel did not take at once

    def begin(self) -> None:
        """Begin a call."""
        self.deadline = ticks() + self.seconds
        self.room = MOST_BYTES
        self.unsent = 0

    @property
    def began(self) -> float:
        """When the last call began."""
        return self.deadline - self.seconds

    @property
    def bytes_moved(self) -> int:
        """How many bytes of the last call took a while."""
        return max(MOST_BYTES - self.room, self.unsent)

    def wait(self) -> float:
        """Return the seconds for which the next bytes of the answer may be waited for."""
        left = self.left()
        return left if self.room < MOST_BYTES else min(left, max(0.0, left - self.seconds + self.patience))

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
        """Return the address as it is: DeadlineSocket tries all that a name stands for, pymemcache only the first."""
        return [(socket.AF_UNSPEC, socket.SOCK_STREAM, 0, "", (host, port))]

    def socket(self, family: int, *_: Any) -> "DeadlineSocket":
        """Return a socket that is not connected yet."""
        return DeadlineSocket(self, family)


class DeadlineSocket:
    """As much of a socket as pymemcache and redis-py use."""

    def __init__(self, sockets: Sockets, family: int) -> None:
        self.sockets = sockets
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
            self._connect((self._family, address), self.sockets.left())
        else:
            host_of(*address[:2]).connect(self._connect, self.sockets.left)

    def _connect(self, place: Place, seconds: float) -> None:
        family, address = place
        self._socket = opened = socket.socket(family, socket.SOCK_STREAM)
        try:
            opened.settimeout(seconds)
            if family != Sockets.AF_UNIX:
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # What is between us and the server forgets connections on which nothing is said.
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for name, value in KEEPALIVE.items():
                    if hasattr(socket, name):  # not everywhere
                        opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
            opened.connect(address)
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
                self.sockets.unsent = len(data)
                if not _ready(self._socket, writing=True)(self.sockets.left() * 1000):
                    raise TimeoutError("the server does not take a command in time") from None
            if sent == len(data):
                return

    def recv(self, size: int) -> bytes:
        """Return up to *size* bytes within the deadline."""
        assert self._socket is not None
        if not self.readable(self.sockets.wait() * 1000):
            raise TimeoutError("the server does not answer in time")
        return self.sockets.takes(self._socket.recv(size))

    def recv_into(self, buffer: Any) -> int:
        """Receive into *buffer*, as redis-py does with hiredis; return how many bytes."""
        data = self.recv(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def exchange(self, command: bytes, size: int) -> bytes:
        """Begin a call: send *command*, and return up to *size* bytes of the answer."""
        # As begin, sendall and recv do one after the other; every hit takes this way.
        sockets, opened = self.sockets, self._socket
        assert opened is not None
        sockets.deadline = ticks() + sockets.seconds
        try:
            sent = opened.send(command)
        except BlockingIOError:
            sent = 0
        if sent < len(command):
            self.sendall(command[sent:])
        sockets.room = MOST_BYTES
        if not self.readable(sockets.patience * 1000):
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
    """A socket over TLS: Python's own may hold bytes that the kernel knows nothing of."""

    def adopt(self, connected: socket.socket) -> None:
        super().adopt(connected)
        poll, pending = self.readable, connected.pending  # type: ignore[attr-defined]
        self.readable = lambda milliseconds: pending() or poll(milliseconds)

    def sendall(self, data: bytes) -> None:
        assert self._socket is not None
        self._socket.settimeout(self.sockets.left())
        self._socket.sendall(data)

    def recv(self, size: int) -> bytes:
        assert self._socket is not None
        self._socket.settimeout(max(1e-6, self.sockets.wait()))  # 0 would be: not at all
        return self.sockets.takes(self._socket.recv(size))

    def exchange(self, command: bytes, size: int) -> bytes:
        self.sockets.begin()
        self.sendall(command)
        return self.recv(size)


class TlsSockets(Sockets):
    """Stands in for the `socket` module, too; its sockets speak TLS, as *context* says."""

    def __init__(self, seconds: float, context: "ssl.SSLContext") -> None:
        super().__init__(seconds)
        self.context = context

    def socket(self, family: int, *_: Any) -> "DeadlineSocket":
        """Return a socket that is not connected yet."""
        return TlsSocket(self, family)


class TlsSocket(CipherSocket):
    """A socket that begins with a handshake, within the same deadline."""

    sockets: TlsSockets

    def connect(self, address: Any) -> None:
        self._host = address[0]
        super().connect(address)

    def adopt(self, connected: socket.socket) -> None:
        connected.settimeout(self.sockets.left())
        super().adopt(self.sockets.context.wrap_socket(connected, server_hostname=self._host))


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
MOST_TOLD: Final = 8  # different problems of one outage; and problems in a minute
MINUTE: Final = 60.0


class Breaker:
    """Breaker: leaves a server that failed alone; after each failure in a row for twice as long, at most 30 s.

    When a pause is over, one caller is let through to try, and the others wait for what comes of it. Whoever is in a
    hurry looks at *failures* first: without any, there is nothing to ask, and of a success nothing to note. The log is
    told of each different problem once, and once of the end, which another breaker of the same server shares; of a
    server that comes and goes all the time, of eight problems a minute.
    """

    def __init__(self, name: str, sharing: "Breaker | None" = None) -> None:
        self.name = name  # of the server
        self.failures = 0  # in a row
        self.failing: set[Breaker] = set() if sharing is None else sharing.failing  # of this one and the other
        self._told: set[str] = set() if sharing is None else sharing._told  # the problems of this outage
        self._logged: set[str] = set() if sharing is None else sharing._logged  # those that the log was told
        self._logged_at: deque[float] = deque(maxlen=MOST_TOLD) if sharing is None else sharing._logged_at
        self._lock = threading.RLock()  # a signal handler may ask while this thread has it
        self._closed_until = 0.0
        self._pause = 0.0
        self._trying = False

    def guard(self, *, urgent: bool = False) -> None:
        """Raise LeftAlone if the server is left alone now, unless what it is to be asked is *urgent*."""
        if self.failures and not urgent and not self.allows():
            raise LeftAlone(f"{self.name} failed before and is left alone for a moment")

    def failure(self, problem: str) -> BackendUnavailable:
        """Note a failure, and return what to raise for it."""
        failure = BackendUnavailable(f"{self.name} failed: {problem}")
        self.note(failure)
        return failure

    def note(self, failure: BackendUnavailable) -> None:
        """Note a *failure*; the log is told of it, unless it was told the same since the server answered last."""
        self.failed()
        problem = str(failure)
        with self._lock:
            is_new = problem not in self._told and len(self._told) < MOST_TOLD
            if is_new:
                self._told.add(problem)
            now, times = _clock.ticks(), self._logged_at
            is_quiet = len(times) == MOST_TOLD and now < times[0] + MINUTE
            is_logged = not is_quiet and problem in self._told - self._logged
            if is_logged:
                self._logged.add(problem)
                times.append(now)
        if is_logged:
            log.warning("%s; calls are computed until it is back", problem)
        if is_new and (tell := listeners.get("failed")):
            tell("", None, self.name, error=failure)

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

    def failed(self) -> None:
        """Begin another pause, twice as long as the last one; the log is told by `note`."""
        with self._lock:
            if self.failures and not self._trying and _clock.ticks() < self._closed_until:
                # Of a call that was under way when the first failed: a hiccup that twenty threads met is still one.
                return
            self._trying = False
            self.failures += 1
            self.failing.add(self)
            longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self.failures - 1, 20))
            # Not all processes at the same moment: a server that comes back has enough to do.
            self._pause = chance.uniform(longest / 2, longest)
            self._closed_until = _clock.ticks() + self._pause

    def succeeded(self) -> None:
        """Note that the server answered."""
        if not self.failures:
            return
        with self._lock:
            self.failures = 0
            self._trying = False
            self.failing.discard(self)
            was_told, was_logged = bool(self._told), bool(self._logged)
            self._told.clear()
            self._logged.clear()
        if was_logged:
            log.warning("%s is back", self.name)
        if was_told and (tell := listeners.get("recovered")):
            tell("", None, self.name)


MOST_CONNECTIONS: Final = 32
LARGE: Final = 16 * 1024  # bytes of one exchange: if these take too long, it need not be the server
OLD: Final = 10.0  # seconds without use after which a connection is not good enough for what may not be repeated
TIDY: Final = 30.0  # seconds between two looks at those that are idle
IDLE: Final = 60.0  # seconds without use after which a connection is closed
FULL: Final = 1.0  # seconds for which no more connections are made, if the server takes no more


class WrongServer(Exception):
    """A refusal by a server that is not, or not yet, the one to ask: it was demoted, or reads its data."""


class Exhausted(TimeoutError):
    """All connections that there may be were in use, until the deadline."""


OURS: Final = (Exhausted, RecursionError, MemoryError)  # what this process lacks, not the server


class Seat:
    """The right to have a connection, which lasts for as long as that."""

    __slots__ = ("__weakref__",)


class WireConnection(Protocol):
    """A connection that one thread uses at a time."""

    sockets: Sockets
    seat: Seat | None

    def is_open(self) -> bool:
        """Return whether it is connected and in step with the server."""

    def close(self) -> None:
        """Close it."""


class WireServer(ABC, Generic[C]):
    """One server: the connections that this process has to it, and a breaker for all of them, one more for writes.

    Connections belong to nobody: a thread takes one that is idle, or makes one, and puts it back. There are at most 32;
    then it waits for one, within the deadline.
    """

    def __init__(self, kind: str, address: str | tuple[str, int], timeout: float) -> None:
        self.address = address
        self.name = address if isinstance(address, str) else "{}:{}".format(*address)
        self.title = f"{kind} at {self.name}"
        self.timeout = timeout
        self._host = None if isinstance(address, str) else host_of(*address)
        if self._host is not None:
            self._host.add_user(self)
        self.reset()

    def reset(self) -> None:
        """Begin again without connections, and with breakers that nobody holds."""
        self._reads = Breaker(self.title)
        self._writes = Breaker(self.title, self._reads)
        self._failing = self._reads.failing
        self._lock = threading.RLock()  # a signal handler may ask while this thread has it
        self._waiting: deque[Any] = deque()  # the gates of threads that wait for a connection
        self._tidy_at = 0.0
        self._full_until = 0.0
        self._drop_idle()

    def _drop_idle(self) -> None:
        """Close the connections that are idle, and those in use when they are put back."""
        self._idle: list[C] = []
        self._seats: weakref.WeakSet[Seat] = weakref.WeakSet()

    def drop_connections(self) -> None:
        """Use none of the present connections any more; those of threads are closed when they are idle."""
        self._drop_idle()

    @abstractmethod
    def connect(self, deadline: float) -> C:
        """Return a new connection."""

    def give(
        self,
        command: Callable[[C, W], T],
        what: W,
        repeats: bool,
        writes: bool,
        urgent: bool = False,
        seconds: float | None = None,
    ) -> T:
        """Give one *command* to a connection, and return the answer.

        Args:
            command: a method of the connection's.
            what: what that takes.
            repeats: it may be given twice.
            writes: it changes something on the server.
            urgent: it is given whatever the breakers say.
            seconds: that it may take, if not *timeout*.
        """
        if os.getpid() != _fork.pid:
            _fork.notice()
        if self._failing:
            self._guard(writes, urgent)
        idle = self._idle
        try:
            connection = idle.pop()
        except IndexError:
            return self._give_anew(command, what, repeats, writes, seconds)
        sockets = connection.sockets
        if not repeats or seconds is not None:
            if not repeats and ticks() > sockets.deadline + OLD:
                self._lose(connection)
                return self._give_anew(command, what, repeats, writes, seconds)
            sockets.seconds = seconds or self.timeout
            sockets.patience = sockets.seconds / 2 if repeats else sockets.seconds
        if not connection.is_open():
            self._lose(connection)
            return self._give_anew(command, what, repeats, writes, seconds)
        try:
            answer = command(connection, what)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this connection
            self._lose(connection)
            return self._give_again(error, connection, command, what, repeats, writes)
        except BaseException:  # an interrupt: the answer may come yet, and would be taken for the next one's
            self._lose(connection)
            raise
        if not repeats or seconds is not None:
            sockets.seconds, sockets.patience = self.timeout, self.timeout / 2
        idle.append(connection)
        if self._waiting:
            self._wake()
        if sockets.deadline > self._tidy_at:
            self._tidy()
        if self._failing:
            self._succeeded(writes)
        return answer

    def _give_again(
        self, error: Exception, connection: C, command: Callable[[C, W], T], what: W, repeats: bool, writes: bool
    ) -> T:
        """Give it on another connection after this *error* on one that was used before, if that may help."""
        sockets = connection.sockets
        left = sockets.deadline - ticks()
        if isinstance(error, TimeoutError | WrongServer):
            self._drop_idle()  # they may be dead, or lead to the same, as well
        if self.refusal(error) is None and left > 0 and (repeats or self.may_ask_again(error)):
            return self._give_anew(command, what, repeats, writes, left, sockets.began)
        is_server = not isinstance(error, ConnectionError | EOFError | WrongServer)  # a new connection will tell
        raise self._failure(error, writes, sockets.began, sockets, is_server=is_server) from error

    def _give_anew(
        self,
        command: Callable[[C, W], T],
        what: W,
        repeats: bool,
        writes: bool,
        seconds: float | None,
        began: float | None = None,
    ) -> T:
        """Give it on a connection that is new, or that somebody has just used."""
        now = ticks()
        began = now if began is None else began
        deadline = now + (seconds or self.timeout)
        problems: list[Exception] = []  # emptied at the end, since their tracebacks lead here
        while True:
            connection: C | None = None
            try:
                connection, idle = self._borrow(deadline, problems)
                sockets = connection.sockets
                sockets.seconds = sockets.patience = deadline - ticks()
                if sockets.seconds <= 0:
                    raise problems.pop() if problems else Exhausted("there was no connection to it in time")
                answer = command(connection, what)
            except Exception as error:
                problems.clear()
                if connection is None:
                    raise self._failure(error, writes, began, None) from error
                self._lose(connection)
                if self._seats and (repeats or self.may_ask_again(error)) and not isinstance(error, TimeoutError):
                    # As it says where it takes no more connections: those that there are have to be enough.
                    problems[:], self._full_until = [error], ticks() + FULL
                    continue
                raise self._failure(error, writes, began, connection.sockets) from error
            except BaseException:
                if connection is not None:
                    self._lose(connection)
                raise
            problems.clear()
            sockets.seconds, sockets.patience = self.timeout, self.timeout / 2
            idle.append(connection)
            if self._waiting:
                self._wake()
            self._succeeded(writes)
            return answer

    # ---- whose fault it is ---------------------------------------------------------------------------------------

    def refusal(self, error: Exception) -> BackendError | None:
        """Return what to raise for *error* if it is the answer of a server that is well."""
        return None

    def may_ask_again(self, error: Exception) -> bool:
        """Return whether what ended in *error* was not done, and may be asked of a new connection."""
        return False

    @abstractmethod
    def explain(self, error: Exception) -> str:
        """Return what to say of *error*."""

    def _guard(self, writes: bool, urgent: bool) -> None:
        """Raise LeftAlone if the server is left alone now."""
        self._reads.guard(urgent=urgent)
        if writes:
            self._writes.guard(urgent=urgent)

    def _succeeded(self, writes: bool) -> None:
        """Note that the server answered."""
        self._reads.succeeded()
        if writes:
            self._writes.succeeded()

    def _failure(
        self, error: Exception, writes: bool, began: float, sockets: Sockets | None, *, is_server: bool = True
    ) -> BackendError:
        """Return what to raise for *error*, which ended what *began* then; note it if it is the server that failed."""
        refused = self.refusal(error)
        if refused is not None:
            self._succeeded(writes)
            return refused
        problem = self.explain(error)
        is_slow = isinstance(error, TimeoutError) and sockets is not None and sockets.bytes_moved > LARGE
        # Others may have had their answers meanwhile: then it takes no more connections, say, and those are enough.
        is_well = type(error) is not WrongServer and any(each.sockets.began > began for each in list(self._idle))
        if not is_server or is_slow or is_well or isinstance(error, OURS):
            return BackendUnavailable(f"{self.title} failed: {problem}")
        return (self._writes if writes else self._reads).failure(problem)

    # ---- connections ---------------------------------------------------------------------------------------------

    def _borrow(self, deadline: float, problems: list[Exception]) -> tuple[C, list[C]]:
        """Return a connection, and where it is to be put back: one that is idle, a new one, or the next to come back.

        Where the server takes no more of them, those that there are have to be enough. What is raised if none comes
        back in time is the last of the *problems* that there were with a new one.
        """
        while True:
            idle = self._idle
            try:
                connection = idle.pop()
            except IndexError:
                pass
            else:
                if connection.is_open():
                    return connection, idle
                self._lose(connection)
                continue
            seat = self._take_seat()
            if seat is None:
                self._wait(deadline, problems)
                continue
            try:
                connection = self.connect(deadline)
            except BaseException as error:
                seat = None
                self._wake()
                if not isinstance(error, Exception) or not self._seats:
                    raise
                problems[:], self._full_until = [error], ticks() + FULL
                continue
            connection.seat = seat
            return connection, idle

    def _take_seat(self) -> Seat | None:
        """Return the right to make a connection, if there may be another one now."""
        with self._lock:
            count = len(self._seats)
            if count and (count >= MOST_CONNECTIONS or ticks() < self._full_until):
                return None
            seat = Seat()
            self._seats.add(seat)
            return seat

    def _wait(self, deadline: float, problems: list[Exception]) -> None:
        """Wait until there may be a connection; raise if there is none in time."""
        gate = threading.Lock()
        gate.acquire()
        self._waiting.append(gate)
        try:
            # Appended first and looked at second, while who puts one back does it the other way round.
            if self._idle or len(self._seats) == 0:
                return
            if not gate.acquire(timeout=max(0.0, deadline - ticks())):
                raise problems.pop() if problems else Exhausted(f"all {len(self._seats)} connections to it were in use")
        except BaseException:
            if gate not in self._waiting:  # what it was woken for is for another one
                self._wake()
            raise
        finally:
            with contextlib.suppress(ValueError):
                self._waiting.remove(gate)

    def _wake(self) -> None:
        """Have one of those who wait look for a connection."""
        with contextlib.suppress(IndexError):
            self._waiting.popleft().release()

    def _lose(self, connection: C) -> None:
        """Close *connection*, which is not idle, and is not put back."""
        connection.close()
        connection.seat = None
        self._wake()

    def _tidy(self) -> None:
        """Close those that nobody has used for a while; and see whether the name stands for the same address."""
        if self._host is not None:
            self._host.look_again()
        now = ticks()
        self._tidy_at = now + self.timeout + TIDY
        idle = self._idle
        for connection in list(idle):
            if connection.sockets.deadline < now - IDLE:
                with contextlib.suppress(ValueError):  # somebody has taken it meanwhile
                    idle.remove(connection)
                    self._lose(connection)
