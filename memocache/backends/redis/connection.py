"""RedisServer: one server, with its connections for threads and for event loops, and a breaker for all of them."""

import asyncio  # redis-py has imported it before
import contextlib
import os
import ssl
import weakref
from collections import deque
from contextvars import Context
from typing import Any, Final

from memocache import _fork
from memocache._clock import ticks
from memocache._effects import Operation
from memocache._pool import in_pool, ring, wake
from memocache._stored_exception import own_copy
from memocache.backends._wire import LARGE, DeadlineSocket, Seat, WireServer, WrongServer, closed_with
from memocache.backends.redis import resp
from memocache.backends.redis.resp import ErrorReply, PartialReplies, ProtocolError, Reply, Request
from memocache.backends.redis.settings import Connector, ServerAddress
from memocache.errors import BackendError, BackendUnavailable

__all__ = ["RedisServer", "RoundTrip", "can_watch_sockets"]

RECEIVE: Final = 64 * 1024
CLOSED: Final = "the connection was closed"
LATE: Final = "the server does not answer in time"
LEAST: Final = 0.001  # seconds for a round trip
GRACE: Final = 0.02  # seconds in which it may be told why there is no connection in time
ROLE: Final = Request(resp.command(resp.any_reply, b"ROLE"))
WOULD_BLOCK: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class RedisServer(WireServer["Connection"]):
    """One server, with a connection for each event loop besides those for threads.

    With *must_be_master*, a connection counts only if the server says that it is a master, and no replica of one.
    """

    def __init__(
        self, address: ServerAddress, tls: bool, options: dict[str, Any], timeout: float, *, must_be_master: bool
    ) -> None:
        self._connector = Connector(address, tls, options, timeout)
        self._must_be_master = must_be_master
        super().__init__("redis", address, timeout)

    def reset(self) -> None:
        """Begin again without connections, and with breakers that nobody holds."""
        self._loops: dict[asyncio.AbstractEventLoop, LoopConnection] = {}
        super().reset()

    def close(self) -> None:
        """Close the connections, but for those that somebody is just using: they are closed after that."""
        self.drop_connections()
        self.reset()

    def drop_connections(self) -> None:
        """Use none of the present connections any more; those of threads are closed when they are idle."""
        super().drop_connections()
        for loop, connection in list(self._loops.items()):
            with contextlib.suppress(RuntimeError):  # the loop has been closed
                loop.call_soon_threadsafe(connection.close, EOFError(CLOSED))

    def connect(self, deadline: float) -> "Connection":
        """Return a new connection."""
        connection = Connection(*self._connector.connect(deadline))
        if self._must_be_master:
            try:
                (role,) = connection.exchange(ROLE)
                if not (isinstance(role, list) and role[:1] == [b"master"]):
                    raise ProtocolError("it is a replica, and not the master any more")
            except BaseException:
                connection.close()
                raise
        return connection

    def may_ask_again(self, error: Exception) -> bool:
        """Return whether a new connection may lead to another server; for the present master, sentinels are asked."""
        return isinstance(error, WrongServer) and not self._must_be_master

    def explain(self, error: Exception) -> str:
        """Return what to say of *error*."""
        if isinstance(error.__context__, TimeoutError):  # for which redis-py has words of its own
            error = error.__context__
        return str(error) if type(error) is WrongServer else f"{type(error).__name__}: {str(error) or CLOSED}"

    # ---- in tasks ------------------------------------------------------------------------------------------------

    async def exchange_in_task(self, request: Request, seconds: float | None = None) -> list[Reply]:
        """Return the replies to *request*, in this task, without blocking its event loop."""
        if os.getpid() != _fork.pid:
            _fork.notice()
        self._guard(request.writes, request.urgent)
        began = ticks()
        deadline = began + (seconds or self.timeout)
        is_new = False
        while True:
            connection = None
            was_new = is_new
            try:
                connection, is_new = await self._loop_connection(deadline)
                left = deadline - ticks()
                patience = left if is_new or was_new or not request.retry else left / 2
                replies = await connection.exchange(request, patience, left)
            except Exception as error:
                may_help = request.retry or self.may_ask_again(error)
                if connection is not None and not (is_new or was_new) and may_help and ticks() < deadline:
                    is_new = True  # the last attempt, whoever makes the connection
                    continue
                raise self._task_failure(error, request.writes, connection, is_new=is_new) from error
            finally:
                del connection  # an exception leads to this frame
            if deadline > self._tidy_at:
                self._tidy()
            self._succeeded(request.writes)
            return replies

    def _task_failure(
        self, error: Exception, writes: bool, connection: "LoopConnection | None", *, is_new: bool
    ) -> BackendError:
        """Return what to raise for *error*; note it if it is the server that failed."""
        partial = None if connection is None else connection.partial
        is_slow = isinstance(error, TimeoutError) and partial is not None and partial.size > LARGE
        is_server = is_new or connection is None or not isinstance(error, ConnectionError | EOFError | WrongServer)
        return self._failure(error, writes, ticks(), None, is_server=is_server and not is_slow)

    async def _loop_connection(self, deadline: float) -> "tuple[LoopConnection, bool]":
        """Return the open connection of this event loop, and whether it is new."""
        loop, loops = asyncio.get_running_loop(), self._loops
        connection = loops.get(loop)
        if connection is None:
            for ended in [each for each in list(loops) if each.is_closed()]:
                old = loops.pop(ended, None)  # another thread may be about to do the same
                if old is not None:
                    old.drop()
            connection = loops[loop] = LoopConnection(loop, self)
        if connection.is_open:
            return connection, False
        opening = connection.opening
        if opening is None or opening.done():
            # In an empty context: what reads the connection lives as long as that, and would keep what the variables of
            # this caller have, and its flight.
            opening = connection.opening = Context().run(loop.create_task, connection.open(deadline))
            opening.add_done_callback(lambda opened: opened.cancelled() or opened.exception())  # nobody may wait for it
        bell: asyncio.Future[None] = loop.create_future()
        opening.add_done_callback(lambda _: wake(loop, bell))
        await ring(bell, max(0.0, deadline - ticks()) + GRACE)
        if not opening.done():
            raise TimeoutError("there is no connection in time")
        opening.result()
        return connection, True

    def refused(self, reply: ErrorReply) -> BackendUnavailable:
        """Return the exception to raise for a command that the server does not take."""
        return BackendUnavailable(f"redis at {self.name} refused a command: {reply.text}")


class RoundTrip(Operation):
    """A *request* to a *server*, and the replies to it; within these *seconds*, if they are less than its timeout."""

    __slots__ = ("request", "seconds", "server")

    def __init__(self, server: RedisServer, request: Request, seconds: float | None = None) -> None:
        self.server = server
        self.seconds = None if seconds is None else max(LEAST, seconds)
        self.request = resp.EchoedRequest(request) if request.urgent else request

    def run(self) -> list[Reply]:
        """Do it in this thread."""
        request = self.request
        return self.server.give(
            Connection.exchange, request, request.retry, request.writes, request.urgent, self.seconds
        )

    async def run_in_task(self) -> list[Reply]:
        """Do it in this task."""
        return await self.server.exchange_in_task(self.request, self.seconds)


# ---- a thread's connection -------------------------------------------------------------------------------------------


class Connection:
    """A connection that one thread uses at a time: a *stream*, and its *owner*, an object of redis-py's."""

    def __init__(self, stream: DeadlineSocket, owner: Any) -> None:
        self._stream: DeadlineSocket | None = stream
        self._owner = owner
        self.sockets = stream.sockets
        self.seat: Seat | None = None

    def is_open(self) -> bool:
        """Return whether it can be used for a command."""
        # A server that restarted has closed it; bytes that nobody asked for would be taken for the next answer.
        stream = self._stream
        return stream is not None and not stream.readable(0)

    def exchange(self, request: Request) -> list[Reply]:
        """Send *request* and return the replies."""
        stream = self._stream
        if stream is None:
            raise EOFError(CLOSED)
        buffer = stream.exchange(request.data, RECEIVE)
        replies = request.recall(buffer)
        return self._read_replies(stream, request, buffer) if replies is None else replies

    def _read_replies(self, stream: DeadlineSocket, request: Request, buffer: bytes) -> list[Reply]:
        partial = PartialReplies(request)
        while buffer:
            rest = partial.take(buffer)
            if rest:
                raise resp.Desynchronized("there came more than was asked for")
            if rest is not None:
                return partial.replies
            buffer = stream.recv(RECEIVE)
        raise EOFError(CLOSED)

    def close(self) -> None:
        """Close it."""
        self._stream = None
        self._owner.disconnect()

    def detach(self) -> Any:
        """Return the socket, for the caller to use and to close."""
        assert self._stream is not None
        opened, self._stream = self._stream.detach(), None
        return opened


# ---- an event loop's connection --------------------------------------------------------------------------------------


class PendingRequest:
    """A request whose replies have not come yet; the future *ended* is done when they have, or never will."""

    __slots__ = ("ended", "error", "replies", "request")

    def __init__(self, request: Request, ended: "asyncio.Future[None]") -> None:
        self.request = request
        self.ended = ended
        self.replies: list[Reply] | None = None
        self.error: Exception | None = None

    @property
    def is_over(self) -> bool:
        """True if its replies have come, or never will."""
        return self.replies is not None or self.error is not None

    def end(self) -> None:
        """Wake whoever waits."""
        if not self.ended.done():
            self.ended.set_result(None)


class LoopConnection:
    """A connection that the tasks of one event loop share, without a thread.

    Requests leave as they come, and answers are told apart by their order. Nobody who is cancelled leaves half an
    answer behind, since it is not the task that reads it. The loop itself knows the socket only, and is told nothing to
    clean up: a loop may end at any moment, and with it the connection is of no use.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, server: RedisServer) -> None:
        self.loop = loop
        self._server = server
        self._socket: Any = None
        self._pending: deque[PendingRequest] = deque()
        self._unsent: deque[memoryview] = deque()  # what the kernel did not take at once, no copies of it
        self._closing: weakref.finalize[[], Any]
        self.partial: PartialReplies | None = None  # of the first who waits, if anything has come for it
        self._heard = 0  # how often something came
        self.opening: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """True if it can be used."""
        return self._socket is not None

    async def open(self, deadline: float) -> None:
        """Connect, in a thread of the pool: keys are negotiated there, too."""
        connection = await in_pool(self._server.connect, (deadline,), lambda connection: connection.close())
        self._socket = opened = connection.detach()
        opened.setblocking(False)
        self.partial, self._unsent = None, deque()
        self._closing = closed_with(self, opened)
        self.loop.add_reader(opened, self._on_readable)

    async def exchange(self, request: Request, patience: float, seconds: float) -> list[Reply]:
        """Send *request* and return the replies, within these *seconds*, the first bytes of any within *patience*."""
        if self._socket is None:
            raise EOFError(CLOSED)
        pending = PendingRequest(request, self.loop.create_future())
        self._pending.append(pending)
        heard = self._heard
        self._send(request.data)
        try:
            await ring(pending.ended, patience)
            if self._heard != heard and not pending.is_over and patience < seconds:
                pending.ended = self.loop.create_future()
                await ring(pending.ended, seconds - patience)
            if pending.error is not None:
                raise pending.error
            if pending.replies is None:
                self.close(TimeoutError(LATE))  # the answer may come yet, and would be taken for the next one's
                raise TimeoutError(LATE)
            return pending.replies
        finally:
            del pending  # an exception in it leads to this frame

    # ---- called by the loop --------------------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        self._unsent.append(memoryview(data))
        if len(self._unsent) == 1:
            self._send_unsent()

    def _on_writable(self) -> None:
        self.loop.remove_writer(self._socket)
        self._send_unsent()

    def _send_unsent(self) -> None:
        unsent = self._unsent
        try:
            while unsent:
                rest = unsent[0][self._socket.send(unsent[0]) :]
                if rest:
                    unsent[0] = rest
                else:
                    unsent.popleft()
        except WOULD_BLOCK:
            self.loop.add_writer(self._socket, self._on_writable)
        except OSError as error:
            self.close(error)

    def _on_readable(self) -> None:
        try:
            while True:
                data = self._socket.recv(RECEIVE)
                if not data:
                    raise EOFError(CLOSED)
                self._heard += 1
                self._feed(data)
                if not isinstance(self._socket, ssl.SSLSocket):  # that may hold more, of which the kernel knows nothing
                    return
        except WOULD_BLOCK:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this connection
            self.close(error)

    def _feed(self, data: bytes) -> None:
        """Take in *data*, and end the requests whose replies are whole."""
        pending = self._pending
        if len(pending) == 1 and self.partial is None:  # nearly always
            replies = pending[0].request.recall(data)
            if replies is not None:
                self._end_first(replies)
                return
        while data:
            if not pending:
                raise ProtocolError("an answer that nobody asked for")
            partial = self.partial = self.partial or PartialReplies(pending[0].request)
            try:
                rest = partial.take(data)
            except WrongServer as error:
                refused = pending.popleft()
                refused.error = error
                refused.end()
                raise EOFError(CLOSED) from None  # of the others nobody knows whether they were done
            if rest is None:
                return
            if rest and len(pending) == 1:
                raise resp.Desynchronized("there came more than was asked for")
            self.partial, data = None, rest
            self._end_first(partial.replies)

    def _end_first(self, replies: list[Reply]) -> None:
        pending = self._pending.popleft()
        pending.replies = replies
        pending.end()

    # ---- the end -------------------------------------------------------------------------------------------------

    def close(self, error: Exception) -> None:
        """Close it; whoever waits for an answer gets *error*."""
        self.drop()
        waiting, self._pending = self._pending, deque()
        for pending in waiting:
            pending.error = own_copy(error)
            pending.end()

    def drop(self) -> None:
        """Close the socket."""
        opened, self._socket = self._socket, None
        if opened is None:
            return
        if not self.loop.is_closed():
            self.loop.remove_reader(opened)
            self.loop.remove_writer(opened)
        opened.close()


def can_watch_sockets() -> bool:
    """Return whether the running event loop can wait for sockets; that of Windows cannot."""
    return not isinstance(asyncio.get_running_loop(), getattr(asyncio, "ProactorEventLoop", ()))
