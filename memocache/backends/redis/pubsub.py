"""Channel: a Redis channel for texts from process to process; a thread receives them, as long as it is open."""

import contextlib
import logging
import socket
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from memocache._clock import ticks
from memocache._flight import start_thread
from memocache.backends.redis import resp
from memocache.backends.redis.resp import Command, ErrorReply, PartialReplies, ProtocolError, Reply, Request, command
from memocache.errors import one_line

if TYPE_CHECKING:
    from memocache.backends.redis.connection import RedisServer

__all__ = ["Channel"]

log: Final = logging.getLogger("memocache")

QUIET: Final = 10.0  # seconds of silence after which the server is asked whether it is still there
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
RECEIVE: Final = 64 * 1024
PING: Final = command(resp.any_reply, b"PING").data
PUSH: Final = Request(Command(resp.any_reply, b""))

Receiver = Callable[[str | None], object]


class Channel:
    """A channel by *name* on the server that *find_server* returns; see `Cache.receive` for what receivers get.

    Its thread ends when the channel is closed, or nobody has it any more.
    """

    def __init__(self, name: bytes, find_server: "Callable[[], RedisServer]") -> None:
        self.name = name
        self._find_server = find_server
        self._receivers: list[Receiver] = []
        self._ended = threading.Event()
        self._socket: Any = None
        self._refused: set[str] = set()

    def receive(self, receiver: Receiver) -> None:
        """Have *receiver* called with each text; RuntimeError if there can be no thread for that."""
        self._receivers.append(receiver)
        if len(self._receivers) == 1:
            self._ended = threading.Event()
            try:
                start_thread("memocache channel", _run, weakref.ref(self), self._ended)
            except RuntimeError:
                self._receivers = []
                raise

    def publish(self, text: str) -> Request:
        """Return the request that sends *text* to all receivers."""
        return Request(command(resp.integer, b"PUBLISH", self.name, text.encode("utf-8", "surrogatepass")))

    def close(self) -> None:
        """Receive no more."""
        self._ended.set()
        self._receivers = []
        opened = self._socket
        if opened is not None:
            _shut_down(opened)

    __del__ = close

    def subscribe(self) -> Any:
        """Return a socket on which the server sends the texts; it belongs to the caller."""
        server = self._find_server()
        opened = server.connect(ticks() + server.timeout).detach()
        try:
            opened.settimeout(server.timeout)
            opened.sendall(command(resp.any_reply, b"SUBSCRIBE", self.name).data)
            opened.settimeout(QUIET)
        except BaseException:
            opened.close()
            raise
        self._socket = opened
        if self._ended.is_set():  # closed in the meantime
            _shut_down(opened)
        return opened

    def was_refused(self, what: str, why: str) -> None:
        """Tell the log once that the server lets us not do *what* with the channel."""
        if what in self._refused:
            return
        self._refused.add(what)
        log.warning(
            "the user may not %s on the channel %s, so that near tiers of other processes serve what was forgotten "
            "until near_timeout is over: %s (said once)",
            what,
            self.name.decode("ascii"),
            one_line(why),
        )

    def handle(self, push: Reply) -> None:
        """Hand the text in a *push* of the server's to the receivers."""
        if type(push) is ErrorReply:
            self.was_refused("subscribe", push.text)
            raise ProtocolError(push.text)
        match push:
            case [b"subscribe", self.name, _]:
                text = None  # whatever was published before, nobody here has received it
            case [b"message", self.name, bytes(data)]:
                try:
                    text = data.decode("utf-8", "surrogatepass")
                except UnicodeDecodeError:  # somebody else's
                    return
            case _:
                return
        for receiver in list(self._receivers):
            receiver(text)


def _shut_down(opened: Any) -> None:
    with contextlib.suppress(OSError):
        opened.shutdown(socket.SHUT_RDWR)  # which wakes the thread that reads it, and closes it


def _run(channel: "weakref.ref[Channel]", ended: threading.Event) -> None:
    """Be the thread of *channel*, which is not kept alive by it."""
    pause = FIRST_PAUSE
    while not ended.is_set():
        began = ticks()
        # Whatever is wrong with the server or with what it says: it is tried again, and the near tiers do without.
        try:
            own = channel()
            if own is None:
                return
            opened = own.subscribe()
            del own
            try:
                _read_pushes(channel, opened)
            finally:
                opened.close()
        except Exception:  # noqa: BLE001
            pause = FIRST_PAUSE if ticks() - began > LONGEST_PAUSE else min(2 * pause, LONGEST_PAUSE)
        ended.wait(pause)


def _read_pushes(channel: "weakref.ref[Channel]", opened: Any) -> None:
    """Hand *channel* what comes, as long as there is one; raise when the connection has ended."""
    partial, is_pinged = PartialReplies(PUSH), False
    while True:
        try:
            data = opened.recv(RECEIVE)
        except TimeoutError:
            if is_pinged:
                raise
            opened.sendall(PING)
            is_pinged = True
            continue
        if not data:
            raise EOFError
        is_pinged = False
        while data and (rest := partial.take(data)) is not None:
            (push,), partial, data = partial.replies, PartialReplies(PUSH), rest
            own = channel()
            if own is None:
                return
            own.handle(push)
            del own
