"""A connection to a Redis server that the tasks of one event loop share: it is asked and answers without a thread.

Requests leave as they come, and answers are told apart by their order. Nobody who is cancelled leaves half an answer
behind, since it is not the task that reads it. The loop itself knows the socket only, and is told nothing to clean up:
a loop may end at any moment, and with it the connection is of no use.
"""

import asyncio
import ssl
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from memocache._flight import own_copy
from memocache._pool import in_pool
from memocache._tasks import ring
from memocache.backends._line import MOST_BYTES, closed_with
from memocache.backends.redis.resp import Incomplete, Nonsense, OutOfStep, Reply, Request

if TYPE_CHECKING:
    from memocache.backends.redis.connection import RedisServer

__all__ = ["LoopLink", "can_link", "link_in"]

RECEIVE: Final = 64 * 1024
LATER: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Asked:
    """A request whose answer is being waited for; *bell* tells that it is over."""

    __slots__ = ("bell", "error", "replies", "request")

    def __init__(self, request: Request, bell: "asyncio.Future[None]") -> None:
        self.request = request
        self.bell = bell
        self.replies: list[Reply] | None = None
        self.error: Exception | None = None

    def end(self) -> None:
        if not self.bell.done():
            self.bell.set_result(None)


class LoopLink:
    """The connection of an event loop to a server."""

    def __init__(self, loop: asyncio.AbstractEventLoop, server: "RedisServer") -> None:
        self.loop = loop
        self._server = server
        self._socket: Any = None
        self._asked: deque[Asked] = deque()
        self._unsent = b""
        self._closing: weakref.finalize[[], Any]
        self._parts: list[bytes] = []  # of answers that are not whole yet
        self._size = 0  # of them
        self._wanted = 0  # bytes, before it is worth looking again
        self.opening: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether it can be used."""
        return self._socket is not None

    async def open(self) -> None:
        """Connect, in a thread of the pool: names are looked up there, too, and keys negotiated."""
        link = await in_pool(self._server.connected, (), lambda link: link.close())
        self._socket = opened = link.detach()
        opened.setblocking(False)
        self._parts, self._size, self._wanted, self._unsent = [], 0, 0, b""
        self._closing = closed_with(self, opened)
        self.loop.add_reader(opened, self._readable)

    async def exchange(self, request: Request) -> list[Reply]:
        """Send *request* and return the replies, within the server's timeout."""
        if self._socket is None:
            raise EOFError
        asked = Asked(request, self.loop.create_future())
        self._asked.append(asked)
        self._send(request.data)
        try:
            await ring(asked.bell, self._server.timeout)
            if asked.error is not None:
                raise asked.error
            if asked.replies is None:
                error = TimeoutError("the server does not answer in time")
                self.close(error)  # the answer may come yet, and would be taken for the next one's
                raise error
            return asked.replies
        finally:
            del asked  # an exception in it leads to this frame

    # ---- called by the loop --------------------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self._socket.send(data)
        except LATER:
            sent = 0
        except OSError as error:
            self.close(error)
            return
        if sent < len(data):
            self._unsent = data[sent:]
            self.loop.add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        data, self._unsent = self._unsent, b""
        self.loop.remove_writer(self._socket)
        self._send(data)

    def _readable(self) -> None:
        try:
            while True:
                data = self._socket.recv(RECEIVE)
                if not data:
                    raise EOFError
                self._received(data)
                if not isinstance(self._socket, ssl.SSLSocket):  # that may hold more, of which the kernel knows nothing
                    return
        except LATER:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this connection
            self.close(error)

    def _received(self, data: bytes) -> None:
        asked = self._asked
        if len(asked) == 1 and not self._parts:  # nearly always
            replies = asked[0].request.known(data)
            if replies is not None:
                self._answered(replies)
                return
        self._parts.append(data)
        self._size += len(data)
        if self._size > MOST_BYTES:
            raise Nonsense(f"the server sent more than {MOST_BYTES} bytes")
        while asked and self._size >= self._wanted:
            buffer = b"".join(self._parts)
            try:
                replies, end = asked[0].request.read(buffer)
            except Incomplete as incomplete:
                self._parts, self._wanted = [buffer], incomplete.size
                return
            rest = buffer[end:]
            if rest and len(asked) == 1:
                raise OutOfStep("there came more than was asked for")
            self._parts, self._size, self._wanted = [rest] if rest else [], len(rest), 0
            self._answered(replies)
        if self._parts and not asked:
            raise Nonsense("an answer that nobody asked for")

    def _answered(self, replies: list[Reply]) -> None:
        asked = self._asked.popleft()
        asked.replies = replies
        asked.end()

    # ---- the end -------------------------------------------------------------------------------------------------

    def close(self, error: Exception) -> None:
        """End it; whoever waits for an answer gets *error*."""
        self.drop()
        waiting, self._asked = self._asked, deque()
        for asked in waiting:
            asked.error = own_copy(error)
            asked.end()

    def drop(self) -> None:
        """Close the socket."""
        opened, self._socket = self._socket, None
        if opened is None:
            return
        if not self.loop.is_closed():
            self.loop.remove_reader(opened)
            self.loop.remove_writer(opened)
        opened.close()


def can_link(loop: asyncio.AbstractEventLoop) -> bool:
    """Return whether *loop* can wait for sockets; that of Windows cannot."""
    return not isinstance(loop, getattr(asyncio, "ProactorEventLoop", ()))


async def link_in(loops: dict[asyncio.AbstractEventLoop, LoopLink], server: "RedisServer") -> tuple[LoopLink, bool]:
    """Return the open connection of this loop to *server*, out of *loops*, and whether it is new."""
    loop = asyncio.get_running_loop()
    link = loops.get(loop)
    if link is None:
        for ended in [each for each in list(loops) if each.is_closed()]:
            old = loops.pop(ended, None)  # another thread may be about to do the same
            if old is not None:
                old.drop()
        link = loops[loop] = LoopLink(loop, server)
    if link.is_open:
        return link, False
    opening = link.opening
    if opening is None or opening.done():
        opening = link.opening = loop.create_task(link.open())
    await asyncio.wait((opening,))
    opening.result()
    return link, True
