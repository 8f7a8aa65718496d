"""MemcachedCache: values on one or many memcached servers. The only user of pymemcache."""

import functools
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, TypeVar

from pymemcache.client.base import Client
from pymemcache.exceptions import (
    MemcacheError,
    MemcacheServerError,
    MemcacheUnexpectedCloseError,
    MemcacheUnknownError,
)

from memocache.backends._leases import Answer, LeaseCache
from memocache.backends._wire import LONGEST_REMEMBERED, Breaker, LastReply, Sockets, seconds_allowed
from memocache.backends.urls import SHARED_OPTIONS, Url, duration, integer
from memocache.errors import BackendError, BackendUnavailable, ConfigurationError, ValueTooLarge
from memocache.keys import without_version
from memocache.serializers import Serializer
from memocache.serializers._codec import COMPRESS_ABOVE, ValueCodec
from memocache.serializers._compression import Method
from memocache.serializers._signing import Secret

__all__ = ["Server", "MemcachedCache"]

T = TypeVar("T")

RECEIVE: Final = 64 * 1024
DELETIONS: Final = frozenset((b"DELETED", b"NOT_FOUND"))
CLOSED: Final = (MemcacheUnexpectedCloseError, ConnectionError)


class Server:
    """One memcached server: a connection for each thread, and a breaker for all of them."""

    def __init__(self, address: Any, timeout: float) -> None:
        self.name = address if isinstance(address, str) else "{}:{}".format(*address)
        self._address = address
        self._timeout = timeout
        self.after_fork()

    def weight(self, key: str) -> bytes:
        """Return how much this server wants *key*: rendezvous hashing (Thaler and Ravishankar, 1998)."""
        return blake2b(f"{self.name}\0{key}".encode(), digest_size=8).digest()

    def after_fork(self) -> None:
        """Start again without connections, and with a breaker that nobody holds."""
        self._local = threading.local()
        self._breaker = Breaker(f"memcached at {self.name}")

    # ---- commands: see KVServer --------------------------------------------------------------------------------------

    def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return what is under *keys*."""
        if not keys:
            return {}
        data, others = self.reader(keys[0], keys[1:])()
        return {key: found for key, found in zip(keys, (data, *others), strict=True) if found is not None}

    def reader(self, key: str, others: Sequence[str]) -> Callable[[], Answer]:
        """Return a function that reads what is under *key* and under *others*; see KVServer."""
        question = Question([each.encode("ascii") for each in (key, *others)])
        return functools.partial(self._give, MemcachedConnection.read, (question,), True)

    def gets(self, key: str, *, urgent: bool = False) -> tuple[bytes | None, object]:
        """Return what is under *key*, and its cas id."""
        data, swap = self._ask("gets", key, again=True, urgent=urgent)
        return data, swap

    def add(self, key: str, data: bytes, expire: int) -> bool:
        """Store *data* if there is nothing under *key*."""
        return self._ask("add", key, data, expire, noreply=False) is True

    def cas(self, key: str, data: bytes, swap: object, expire: int) -> bool:
        """Store *data* if what is under *key* is still what *swap* was read with."""
        return self._ask("cas", key, data, swap, expire, noreply=False) is True

    def set(self, key: str, data: bytes, expire: int) -> None:
        """Store *data*; asked even of a server that is left alone, since it may be a forgetting."""
        if self._ask("set", key, data, expire, noreply=False, urgent=True) is not True:
            raise BackendUnavailable(f"memcached at {self.name} did not store an item")

    def delete_many(self, keys: Sequence[str]) -> list[str]:
        """Delete what is under *keys*; asked even of a server that is left alone; return those that had something."""
        deleted = self._ask("delete_each", keys, again=True, urgent=True)
        return [key for key, was_there in zip(keys, deleted, strict=True) if was_there]

    def flush(self) -> None:
        """Delete everything."""
        if self._ask("flush_all", noreply=False, urgent=True) is not True:
            raise BackendUnavailable(f"memcached at {self.name} did not flush")

    def _ask(self, command: str, *args: Any, again: bool = False, urgent: bool = False, **options: Any) -> Any:
        """Give one command of pymemcache's; see _give."""
        return self._give(MemcachedConnection.ask, (command, args, options), again, urgent)

    def _give(self, command: Callable[..., T], words: tuple[Any, ...], again: bool, urgent: bool = False) -> T:
        """Give one *command*, a method of MemcachedConnection, with its *words*.

        Args:
            command: the method.
            words: what it takes.
            again: it may be repeated on a new connection.
            urgent: it is given whatever the breaker says.
        """
        breaker = self._breaker
        if breaker.failures:
            breaker.guard(urgent=urgent)
        connection: MemcachedConnection | None = getattr(self._local, "connection", None)
        # It is busy where a signal handler or a destructor of the user's asks in the middle of a command.
        if connection is None or connection.is_busy:
            connection = self._local.connection = MemcachedConnection(self._address, self._timeout)
        was_open = False
        try:
            connection.is_busy = True
            was_open = connection.is_open()
            answer = command(connection, *words)
        except CLOSED as error:
            if not (again and was_open):
                raise self._failed(error) from error
            try:  # the server has been restarted since this thread last used the connection
                answer = command(connection, *words)
            except Exception as second:
                raise self._failed(second) from second
        except MemcacheServerError as error:
            raise self._refused(error) from error
        except Exception as error:
            raise self._failed(error) from error
        finally:
            connection.is_busy = False
        if breaker.failures:
            breaker.succeeded()
        return answer

    def _refused(self, error: MemcacheServerError) -> BackendError:
        """Return what to raise for an item that the server does not take; it is up, and others it may take."""
        reason = error.args[0]
        if b"too large" in reason:
            self._breaker.succeeded()
            return ValueTooLarge(
                f"memcached at {self.name} refuses an item for its size; raise its option -I, or lower max_item_size="
            )
        if b"out of memory" in reason:
            self._breaker.succeeded()
            return BackendUnavailable(f"memcached at {self.name} has no room for an item of this size")
        return self._failed(error)

    def _failed(self, error: Exception) -> BackendUnavailable:
        """Return what to raise for *error*, whatever it is: hostile bytes make pymemcache raise many kinds."""
        what = str(error) if isinstance(error, OSError | MemcacheError) else "an answer that makes no sense"
        return self._breaker.failure(f"{type(error).__name__}: {what}")


class StrictClient(Client):  # type: ignore[misc]
    """pymemcache's client, which takes any answer to a `delete` for an acknowledgement."""

    def delete_each(self, keys: Sequence[str]) -> list[bool]:
        """Delete what is under *keys*, in one round trip, and return of each whether there was something."""
        commands = [b"delete %b\r\n" % key.encode("ascii") for key in keys]
        return [answer == b"DELETED" for answer in self._misc_cmd(commands, b"delete", False)]

    def _misc_cmd(self, cmds: Any, cmd_name: bytes, noreply: Any, end_tokens: Any = None) -> Any:
        answers = super()._misc_cmd(cmds, cmd_name, noreply, end_tokens)
        if cmd_name == b"delete" and not DELETIONS.issuperset(answers):
            raise MemcacheUnknownError(answers)
        return answers


class Question:
    """A `get` for some keys, which remembers the last answer."""

    __slots__ = ("_last", "command", "wanted")

    def __init__(self, wanted: list[bytes]) -> None:
        self.wanted = wanted
        self.command = b"get %b\r\n" % b" ".join(wanted)
        self._last: LastReply[Answer] | None = None

    def known(self, buffer: bytes) -> Answer | None:
        """Return what *buffer* says if it is the same as the last time."""
        last = self._last
        return last[1] if last is not None and last[0] == buffer else None

    def learn(self, buffer: bytes, found: Mapping[bytes, bytes]) -> Answer:
        """Return the answer in which this was *found*; remember it if it is small. Nothing is known of b""."""
        answer = found.get(self.wanted[0]), list(map(found.get, self.wanted[1:]))
        if 0 < len(buffer) <= LONGEST_REMEMBERED:
            self._last = LastReply(buffer, answer)
        return answer


class MemcachedConnection:
    """One thread's connection to one server."""

    def __init__(self, address: Any, timeout: float) -> None:
        self._sockets = Sockets(timeout)
        self.is_busy = False  # with a command, or with a poll, which cannot be begun in the middle of another either
        self._client: Any = StrictClient(address, socket_module=self._sockets, default_noreply=False)

    def is_open(self) -> bool:
        """Return whether it is connected and in step with the server."""
        line = self._client.sock
        if line is None:
            return False
        # A server that restarted has closed it; bytes that nobody asked for would be taken for the next answer.
        if line.readable(0):
            self._client.close()
            return False
        return True

    def ask(self, command: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Give one command, connecting if need be."""
        return self._call(getattr(self._client, command), *args, **options)

    def read(self, question: "Question") -> "Answer":
        """Ask a *question*, and return the answer."""
        line = self._client.sock
        if line is None:
            return question.learn(b"", self._call(self._client.get_many, question.wanted))
        # pymemcache's own reading takes twice as long.
        try:
            buffer = line.exchange(question.command, RECEIVE)
            answer = question.known(buffer)
            if answer is None:
                whole, found = self._found(line, buffer, question.wanted)
                answer = question.learn(whole, found)
            return answer
        except BaseException:  # see _call
            self._client.close()
            raise

    def _found(self, line: Any, buffer: bytes, wanted: list[bytes]) -> tuple[bytes, dict[bytes, bytes]]:
        """Return the whole answer, of which *buffer* has come already, and what is in it for the *wanted* keys."""
        if not buffer:
            raise MemcacheUnexpectedCloseError
        found: dict[bytes, bytes] = {}
        start = 0
        while True:
            while (end := buffer.find(b"\r\n", start)) < 0:
                buffer += _more(line)
            if buffer[start:end] == b"END":
                if len(buffer) == end + 2:
                    return buffer, found
                raise MemcacheUnexpectedCloseError("there came more than was asked for")
            word, key, _, size = buffer[start:end].split(b" ")
            if word != b"VALUE" or key not in wanted or key in found:
                raise MemcacheUnknownError("an answer to something else")
            start, stop = end + 2, end + 2 + int(size)
            while len(buffer) < stop + 2:
                buffer += _more(line)
            if buffer[stop : stop + 2] != b"\r\n":
                raise MemcacheUnknownError("a value of another length than was said")
            found[key] = buffer[start:stop]
            start = stop + 2

    def _call(self, command: Callable[..., T], *args: Any, **options: Any) -> T:
        self._sockets.begin()
        try:
            return command(*args, **options)
        except BaseException:
            # Whatever interrupted it, KeyboardInterrupt included: the answer may come yet, and would be taken for the
            # next one's.
            self._client.close()
            raise

    def __del__(self) -> None:
        client = getattr(self, "_client", None)  # a signal may have come before there was one
        if client is not None:
            client.close()


def _more(line: Any) -> bytes:
    """Return what comes next on *line*; MemcacheUnexpectedCloseError if nothing ever will."""
    data: bytes = line.recv(RECEIVE)
    if not data:
        raise MemcacheUnexpectedCloseError
    return data


ITEM_OVERHEAD: Final = 64  # bytes that the server needs for an item besides key and data
DEFAULT_PORT: Final = 11211
HOST: Final = re.compile(r"[^\s/,\[\]]+")
SPELT_ADDRESS: Final = re.compile(r"(?:\[([^\[\]]+)\]|([^:]+))(?::([0-9]{1,5}))?")  # [::1]:11211 as well


class MemcachedCache(LeaseCache):
    """A cache on one or many memcached servers, shared by all processes that use the same ones.

    Create it once and keep it around: it holds one connection for each thread and server. It needs no server to be
    created; one that is down later is a miss, and is left alone for a growing moment. With many servers each key has
    its one server, whichever of them are up.

    Example: `cache = MemcachedCache(["127.0.0.1:11211"], key_prefix="shop:")`

    Args:
        servers: addresses: "host:port", "/path/to/socket", or (host, port).
        default_timeout: seconds for which a value is kept that was given no timeout of its own; 0 for ever.
        key_prefix: stands before all keys, so that applications can share a server; printable ASCII, at most 100
            characters.
        timeout: seconds that one command may take in all, connecting included, before the server counts as down.
        serializer: makes bytes of values; None for a SafeSerializer.
        compress: "zlib", or "zstd" (the extra `zstd`), for values of more than *compress_above* bytes; None for only
            what would hardly fit into an item otherwise. All processes read all of these. What grows to more than
            16 MiB when it is read is a miss.
        compress_above: bytes, as the serializer makes them.
        secret: signs all values together with their keys and times: what was not signed with it is a miss. At least 16
            bytes; or a list of such, the newest first, which signs, while what the others have signed is still read.
        max_item_size: the largest item in bytes that the servers take (their option -I).

    Raises:
        ConfigurationError: for options that cannot work.
    """

    def __init__(
        self,
        servers: "Sequence[str | tuple[str, int]] | str" = ("127.0.0.1:11211",),
        default_timeout: float | str | None = 300,
        key_prefix: str = "",
        *,
        timeout: float | str = 0.5,
        serializer: Serializer | None = None,
        compress: Method | None = None,
        compress_above: int = COMPRESS_ABOVE,
        secret: Secret | None = None,
        max_item_size: int = 1024 * 1024,
    ) -> None:
        allowed = seconds_allowed(timeout)
        if isinstance(max_item_size, bool) or not isinstance(max_item_size, int) or max_item_size < 1024:
            raise ConfigurationError(f"max_item_size={max_item_size!r}; wanted: bytes, as an int from 1024")
        self._servers = [Server(address, allowed) for address in _addresses(servers)]
        self._max_item_size = max_item_size
        codec = ValueCodec(serializer, compress, compress_above, secret, largest=max_item_size * 7 // 8)
        super().__init__(default_timeout, key_prefix, codec)

    @classmethod
    def url_arguments(cls, url: Url) -> dict[str, Any]:
        """Return the arguments that "memcached://host:port,host:port?..." or "memcached:///socket?..." stands for."""
        url.allow_only("hosts", "path")
        socket = url.path if url.path != "/" else ""
        if socket and url.hosts:
            raise url.error("it has a host and a path; wanted: host:port,host:port, or /path/to/socket")
        options = url.options({**SHARED_OPTIONS, "timeout": duration, "max_item_size": integer})
        servers = [socket] if socket else url.addresses(DEFAULT_PORT)
        return {"servers": servers, **options} if servers else options

    def __repr__(self) -> str:
        servers = ", ".join(server.name for server in self._servers)
        return f"MemcachedCache([{servers}], default_timeout={self.default_timeout:g}, key_prefix={self._prefix!r})"

    def after_fork(self) -> None:
        """Use no connection and join no flight of the parent's."""
        super().after_fork()
        for server in self._servers:
            server.after_fork()

    def _node(self, key: str) -> "Server":
        servers = self._servers
        if len(servers) == 1:
            return servers[0]
        place = without_version(key)  # all versions of a call are on one server
        return max(servers, key=lambda server: server.weight(place))

    def _nodes(self) -> Sequence["Server"]:
        return self._servers

    def _check_size(self, wire: str, data: bytes) -> None:
        size = len(wire) + len(data) + ITEM_OVERHEAD
        if size > self._max_item_size:
            raise ValueTooLarge(
                f"the value takes {size} bytes as an item, and the servers take {self._max_item_size} (max_item_size=, "
                "the server's option -I); store less, or raise both"
            )


def _addresses(servers: object) -> "list[str | tuple[str, int]]":
    given = [servers] if isinstance(servers, str) else list(servers) if isinstance(servers, list | tuple) else []
    addresses = [_address(each) for each in given]
    if not addresses or None in addresses or len(set(addresses)) < len(addresses):
        raise ConfigurationError(
            f"servers={servers!r}; wanted: a list of different addresses, each as 'host:port', '/path/to/socket' "
            "or (host, port)"
        )
    return [address for address in addresses if address is not None]


def _address(given: object) -> "str | tuple[str, int] | None":
    """Return *given* as pymemcache takes it; None if it is no address."""
    if isinstance(given, str):
        path = given.removeprefix("unix:")
        if path.startswith("/"):
            return path
        match = SPELT_ADDRESS.fullmatch(given)
        if match is None:
            return None
        host, port = match[1] or match[2], int(match[3] or DEFAULT_PORT)
    elif isinstance(given, list | tuple) and len(given) == 2:
        host, port = given
    else:
        return None
    if not isinstance(host, str) or not HOST.fullmatch(host) or type(port) is not int or not 0 < port < 65536:
        return None
    return host, port
