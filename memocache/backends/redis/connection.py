"""One Redis server: exchanges of requests and answers, in threads and in tasks alike, and a breaker for all of them."""

import contextlib
import logging
import threading
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from memocache.backends._breaker import Breaker
from memocache.backends._line import Line
from memocache.backends.redis.resp import (
    Incomplete,
    Nonsense,
    OutOfStep,
    Proven,
    Refusal,
    Reply,
    Request,
    anything,
    command,
)
from memocache.backends.redis.settings import Connecting
from memocache.errors import BackendUnavailable

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from memocache.backends.redis.loop import LoopLink

__all__ = ["Exchange", "RedisServer"]

log: Final = logging.getLogger("memocache")

Where: TypeAlias = str | tuple[str, int]

RECEIVE: Final = 64 * 1024
ROLE: Final = Request(command(anything, b"ROLE"))


class RedisServer:
    """One server: a connection for each thread and each event loop, and a breaker for all of them.

    With *leads*, a connection counts only if the server says that it is a master, and no replica of one.
    """

    def __init__(self, address: Where, tls: bool, options: dict[str, Any], timeout: float, *, leads: bool) -> None:
        self.address = address
        self.name = address if isinstance(address, str) else "{}:{}".format(*address)
        self.timeout = timeout
        self._connecting = Connecting(address, tls, options, timeout)
        self._leads = leads
        self.drop_connections()

    def drop_connections(self) -> None:
        """Start again without connections, and with a breaker that nobody holds."""
        self._local = threading.local()
        self._loops: dict[AbstractEventLoop, LoopLink] = {}
        self._breaker = Breaker()

    def close(self) -> None:
        """Close the connections, but for those that somebody is just using: they are closed after that."""
        for loop, link in list(self._loops.items()):
            with contextlib.suppress(RuntimeError):  # the loop has been closed
                loop.call_soon_threadsafe(link.close, EOFError())
        self.drop_connections()

    def connected(self) -> "Link":
        """Return a new connection."""
        line, connection = self._connecting.connected()
        link = Link(line, connection)
        if self._leads:
            try:
                (role,) = link.exchange(ROLE)
                if not (isinstance(role, list) and role[:1] == [b"master"]):
                    raise Nonsense("it is a replica, and not the master any more")
            except BaseException:
                link.close()
                raise
        return link

    # ---- in threads and in tasks ---------------------------------------------------------------------------------

    def give(self, request: Request, again: bool, urgent: bool) -> list[Reply]:
        """Return the replies to *request*, in this thread."""
        breaker = self._breaker
        if breaker.failures:
            self.ask_breaker(urgent)
        link: Link | None = getattr(self._local, "link", None)
        was_open = False
        try:
            # It is busy where a signal handler or a destructor of the user's asks in the middle of a command.
            if link is not None and not link.is_busy:
                was_open = link.is_open()
            if not was_open or link is None:
                link = self._local.link = self.connected()
            replies = link.exchange(request)
        except Exception as error:
            if not (again and was_open and isinstance(error, ConnectionError | EOFError)):
                raise self.failed(error) from error
            try:  # the server has been restarted since this thread last used the connection
                link = self._local.link = self.connected()
                replies = link.exchange(request)
            except Exception as second:
                raise self.failed(second) from second
        if breaker.failures:
            breaker.succeeded()
        return replies

    async def give_in_task(self, request: Request, again: bool, urgent: bool) -> list[Reply]:
        """Return the replies to *request*, in this task, without blocking its event loop."""
        from memocache.backends.redis.loop import link_in

        if self._breaker.failures:
            self.ask_breaker(urgent)
        link = None
        try:
            link, is_new = await link_in(self._loops, self)
            try:
                replies = await link.exchange(request)
            except (ConnectionError, EOFError):
                if not again or is_new:
                    raise
                link, _ = await link_in(self._loops, self)
                replies = await link.exchange(request)
        except BackendUnavailable:
            raise
        except Exception as error:
            raise self.failed(error) from error
        finally:
            del link  # an exception leads to this frame
        if self._breaker.failures:
            self._breaker.succeeded()
        return replies

    def ask_breaker(self, urgent: bool) -> None:
        """Raise BackendUnavailable if this server failed a moment ago, unless it is *urgent*."""
        if not urgent and not self._breaker.allows():
            raise BackendUnavailable(f"redis at {self.name} failed before and is left alone for a moment")

    def failed(self, error: Exception) -> BackendUnavailable:
        """Return what to raise for *error*."""
        what = str(error) or "the connection was closed"
        message = f"redis at {self.name} failed: {type(error).__name__}: {what}"
        if self._breaker.failed():
            log.warning("%s; calls are computed until it is back", message)
        return BackendUnavailable(message)

    def refused(self, refusal: Refusal) -> BackendUnavailable:
        """Return what to raise for a command that the server does not take."""
        return BackendUnavailable(f"redis at {self.name} refused a command: {refusal.text}")


class Link:
    """One thread's connection."""

    def __init__(self, line: Line, connection: Any) -> None:
        self._line: Line | None = line
        self._connection = connection
        self.is_busy = False

    def is_open(self) -> bool:
        """Return whether it is in step with the server."""
        line = self._line
        if line is None:
            return False
        # A server that restarted has closed it; bytes that nobody asked for would be taken for the next answer.
        try:
            self.is_busy = True  # a poll cannot be begun by a signal handler in the middle of one
            is_quiet = not line.readable(0)
        finally:
            self.is_busy = False
        if not is_quiet:
            self.close()
        return is_quiet

    def exchange(self, request: Request) -> list[Reply]:
        """Send *request* and return the replies."""
        line = self._line
        if line is None:
            raise EOFError
        try:
            self.is_busy = True
            buffer = line.exchange(request.data, RECEIVE)
            replies = request.known(buffer)
            if replies is None:
                replies = self._read(line, request, buffer)
            return replies
        except BaseException:
            # Whatever interrupted it, KeyboardInterrupt included: the answer may come yet, and would be taken for the
            # next one's.
            self.close()
            raise
        finally:
            self.is_busy = False

    def _read(self, line: Line, request: Request, buffer: bytes) -> list[Reply]:
        while True:
            if not buffer:
                raise EOFError
            try:
                replies, end = request.read(buffer)
            except Incomplete as incomplete:
                buffer = _filled(line, buffer, incomplete.size)
                continue
            if end != len(buffer):
                raise OutOfStep("there came more than was asked for")
            return replies

    def close(self) -> None:
        """End it."""
        self._line = None
        self._connection.disconnect()

    def detach(self) -> Any:
        """Return the socket, for somebody else to speak over and to close."""
        assert self._line is not None
        opened, self._line = self._line.detach(), None
        return opened


def _filled(line: Line, buffer: bytes, size: int) -> bytes:
    """Return *buffer* with what comes next, until it has at least *size* bytes."""
    parts, length = [buffer], len(buffer)
    while length < size:
        data = line.recv(RECEIVE)
        if not data:
            raise EOFError
        parts.append(data)
        length += len(data)
    return b"".join(parts)


class Exchange:
    """An operation of a verb: to give a *request* to a *server*; see _verbs.

    With *again* it may be repeated on a new connection; *urgent*, as a forgetting is: it is given whatever the breaker
    says, and nothing but an answer to itself acknowledges it.
    """

    __slots__ = ("again", "request", "server", "urgent")

    def __init__(self, server: RedisServer, request: Request, again: bool, urgent: bool) -> None:
        self.server = server
        self.request = Proven(request) if urgent else request
        self.again = again
        self.urgent = urgent

    def __call__(self) -> list[Reply]:
        """Do it in this thread."""
        return self.server.give(self.request, self.again, self.urgent)

    async def in_task(self) -> list[Reply]:
        """Do the same in a task."""
        return await self.server.give_in_task(self.request, self.again, self.urgent)
