"""Channel: what processes tell each other over Redis; heard in a thread, as long as somebody in this one listens."""

import contextlib
import socket
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from memocache._clock import ticks
from memocache.backends.redis.resp import (
    Command,
    Incomplete,
    Nonsense,
    Refusal,
    Reply,
    Request,
    anything,
    command,
    number,
)

if TYPE_CHECKING:
    from memocache.backends.redis.connection import RedisServer

__all__ = ["Channel"]

QUIET: Final = 10.0  # seconds of silence after which the server is asked whether it is still there
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
RECEIVE: Final = 64 * 1024
PING: Final = command(anything, b"PING").data
PUSH: Final = Request(Command(anything, b""))

Heard = Callable[[str | None], object]


class Channel:
    """A channel by *name* on the server that *find* returns; see `Cache.listen` for what those who listen are told.

    Its thread ends when the channel is closed, or nobody has it any more.
    """

    def __init__(self, name: bytes, find: "Callable[[], RedisServer]") -> None:
        self.name = name
        self._find = find
        self._heard: list[Heard] = []
        self._ended = threading.Event()
        self._socket: Any = None

    def listen(self, heard: Heard) -> None:
        """Have *heard* called with each text."""
        self._heard.append(heard)
        if len(self._heard) == 1:
            self._ended = threading.Event()
            arguments = (weakref.ref(self), self._ended)
            threading.Thread(target=_listen, args=arguments, name="memocache channel", daemon=True).start()

    def publishing(self, text: str) -> Request:
        """Return the request that tells all who listen *text*."""
        return Request(command(number, b"PUBLISH", self.name, text.encode("utf-8", "surrogatepass")))

    def close(self) -> None:
        """Listen no more."""
        self._ended.set()
        self._heard = []
        opened = self._socket
        if opened is not None:
            _shut(opened)

    __del__ = close

    def open(self) -> Any:
        """Return a socket over which the server says what is published; it belongs to the caller."""
        server = self._find()
        opened = server.connected().detach()
        try:
            opened.settimeout(server.timeout)
            opened.sendall(command(anything, b"SUBSCRIBE", self.name).data)
            opened.settimeout(QUIET)
        except BaseException:
            opened.close()
            raise
        self._socket = opened
        if self._ended.is_set():  # closed in the meantime
            _shut(opened)
        return opened

    def tell(self, text: str | None) -> None:
        """Tell those who listen."""
        for heard in list(self._heard):
            heard(text)


def _shut(opened: Any) -> None:
    with contextlib.suppress(OSError):
        opened.shutdown(socket.SHUT_RDWR)  # which wakes the thread that reads it, and closes it


def _listen(channel: "weakref.ref[Channel]", ended: threading.Event) -> None:
    """Be the thread of *channel*, which is not kept alive by it."""
    pause = FIRST_PAUSE
    while not ended.is_set():
        began = ticks()
        # Whatever is wrong with the server or with what it says: it is tried again, and the near tiers do without.
        try:
            own = channel()
            if own is None:
                return
            opened = own.open()
            del own
            try:
                _hear(channel, opened)
            finally:
                opened.close()
        except Exception:  # noqa: BLE001
            pause = FIRST_PAUSE if ticks() - began > LONGEST_PAUSE else min(2 * pause, LONGEST_PAUSE)
        ended.wait(pause)


def _hear(channel: "weakref.ref[Channel]", opened: Any) -> None:
    """Tell *channel* what comes, as long as there is one; raise when the connection has ended."""
    buffer, asked = b"", False
    while True:
        try:
            data = opened.recv(RECEIVE)
        except TimeoutError:
            if asked:
                raise
            opened.sendall(PING)
            asked = True
            continue
        if not data:
            raise EOFError
        buffer, asked = buffer + data, False
        while buffer:
            try:
                (push,), end = PUSH.read(buffer)
            except Incomplete:
                break
            buffer = buffer[end:]
            own = channel()
            if own is None:
                return
            _understand(own, push)
            del own


def _understand(channel: Channel, push: Reply) -> None:
    if type(push) is Refusal:
        raise Nonsense(push.text)
    match push:
        case [b"subscribe", channel.name, _]:
            channel.tell(None)  # whatever was published before, nobody here has heard it
        case [b"message", channel.name, bytes(data)]:
            try:
                text = data.decode("utf-8", "surrogatepass")
            except UnicodeDecodeError:  # somebody else's
                return
            channel.tell(text)
