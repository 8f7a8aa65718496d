"""MemcachedCache: values on one or many memcached servers. The only user of pymemcache."""

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, unquote_to_bytes

from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheError, MemcacheServerError, MemcacheUnexpectedCloseError, MemcacheUnknownError

from memocache._clock import ticks
from memocache.backends._facts import ServerFacts, clock_skew, socket_open_to_others
from memocache.backends._leases import KeyData, LeaseCache
from memocache.backends._shared import READ_AT_ONCE, is_generation, new_generation, number_in
from memocache.backends._wire import (
    LONGEST_REMEMBERED,
    LastReply,
    Seat,
    Sockets,
    TlsSockets,
    WireServer,
    seconds_allowed,
)
from memocache.backends.urls import SHARED_OPTIONS, OptionType, Url, boolean, duration, integer, text
from memocache.errors import BackendError, BackendUnavailable, ConfigurationError, ValueTooLarge
from memocache.keys import without_version
from memocache.serializers import Serializer
from memocache.serializers._codec import COMPRESS_ABOVE, ValueCodec
from memocache.serializers._compression import Method
from memocache.serializers._signing import Secret

if TYPE_CHECKING:
    import ssl

__all__ = ["Server", "MemcachedCache"]

T = TypeVar("T")

RECEIVE: Final = 64 * 1024
DELETIONS: Final = frozenset((b"DELETED", b"NOT_FOUND"))
ADDITIONS: Final = frozenset((b"STORED", b"NOT_STORED"))
ADDED_AT_ONCE: Final = 1000  # numbers in one round trip
MOST_TRIES: Final = 8
CLOSED: Final = "the connection was closed"
AT_ONCE: Final = 10_000  # keys of a page: the server leaves out of its dump what we read meanwhile


class Server(WireServer["MemcachedConnection"]):
    """One memcached server."""

    def __init__(self, address: Any, timeout: float, tls_context: "ssl.SSLContext | None" = None) -> None:
        self._tls_context = tls_context
        super().__init__("memcached", address, timeout)

    def weight(self, key: str) -> bytes:
        """Return how much this server wants *key*: rendezvous hashing (Thaler and Ravishankar, 1998)."""
        return blake2b(f"{self.name}\0{key}".encode(), digest_size=8).digest()

    def connect(self, deadline: float) -> "MemcachedConnection":
        """Return a new connection."""
        connection = MemcachedConnection(self.address, self.timeout, self._tls_context)
        connection.connect(deadline)
        return connection

    # ---- commands: see LeaseServer -----------------------------------------------------------------------------------

    def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return what is under *keys*."""
        if not keys:
            return {}
        data, others = self.reader(keys[0], keys[1:])()
        return {key: found for key, found in zip(keys, (data, *others), strict=True) if found is not None}

    def reader(self, key: str, others: Sequence[str]) -> Callable[[], KeyData]:
        """Return a function that reads what is under *key* and under *others*; see LeaseServer."""
        question = Question([each.encode("ascii") for each in (key, *others)])
        return functools.partial(self.give, MemcachedConnection.read, question, True, False)

    def gets(self, key: str, *, urgent: bool = False) -> tuple[bytes | None, object]:
        """Return what is under *key*, and its cas id."""
        data, swap = self._ask("gets", key, repeats=True, writes=False, urgent=urgent)
        return data, swap

    def add(self, key: str, data: bytes, expire: int) -> bool:
        """Store *data* if there is nothing under *key*."""
        return self._ask("add", key, data, expire, noreply=False) is True

    def cas(self, key: str, data: bytes, swap: object, expire: int) -> bool:
        """Store *data* if what is under *key* is still what *swap* was read with."""
        return self._ask("cas", key, data, swap, expire, noreply=False) is True

    def set(self, key: str, data: bytes, expire: int) -> None:
        """Store *data*; asked even of a server that is left alone, since it may be a forgetting."""
        if is_generation(data):  # another one will do: if this is sent twice, and comes late, it voids what is there
            is_stored = self.give(MemcachedConnection.renew, (key, expire), repeats=True, writes=True, urgent=True)
        else:
            is_stored = self._ask("set", key, data, expire, noreply=False, urgent=True)
        if is_stored is not True:
            raise BackendUnavailable(f"memcached at {self.name} did not store an item")

    def delete(self, keys: Sequence[str], beside: Sequence[str] = ()) -> bool:
        """Delete what is under *keys* and *beside*; asked even of a server that is left alone."""
        deleted = self._ask("delete_each", (*keys, *beside), repeats=True, urgent=True)
        return any(deleted[: len(keys)])

    def count(self, amounts: dict[str, int], expire: int) -> None:
        """Add *amounts* to the numbers under these keys, and take out those that were added."""
        for _ in range(MOST_TRIES):
            sums = self._ask("incr_each", list(islice(amounts.items(), ADDED_AT_ONCE)))
            for key, total in sums.items():
                if total.isdigit():
                    del amounts[key]
            junk = [key for key, total in sums.items() if total.startswith(b"CLIENT_ERROR")]
            if junk:
                self._ask("delete_each", junk, repeats=True)
            new = {key: amounts[key] for key in sums if key in amounts}
            if new:
                for key in self._ask("add_each", new, expire):
                    del amounts[key]
            if not amounts:
                return
        raise BackendUnavailable(f"memcached at {self.name} did not take a number")

    def flush(self) -> None:
        """Delete everything."""
        if self._ask("flush_all", noreply=False, repeats=True, urgent=True) is not True:
            raise BackendUnavailable(f"memcached at {self.name} did not flush")

    def items(self, start: str) -> Iterator[tuple[str, int]]:
        """Return the key and the size of each item with this *start*, as they come over a connection of their own.

        Nothing is held back for them: the server waits while nobody takes them.
        """
        began = ticks()
        connection = None
        wanted = b"key=" + quote(start, safe="").encode("ascii")
        try:
            connection = self.connect(began + self.timeout)
            for line in connection.lines(b"lru_crawler metadump all\r\n"):
                if not line.startswith(wanted):  # nearly always, where others have much there
                    if line == b"END":
                        return
                    if not line.startswith(b"key=") and line != b"OK":  # with which 1.6.45 and later begin
                        raise self._no_listing(line)
                    continue
                item = METADUMP.match(line)
                if item is None:
                    raise self._no_listing(line)
                key = unquote_to_bytes(item[1])
                if key.isascii():  # as ours are
                    yield key.decode(), int(item[2])
        except BackendError:
            raise
        except Exception as error:
            raise self._failure(error, False, began, None) from error
        finally:
            if connection is not None:
                connection.close()

    def facts(self) -> ServerFacts:
        """Return what `stats` and `stats settings` tell, the names of the second with `settings.` before them."""
        values: dict[str, str] = {}

        def ask() -> float:
            for words, begin in (("settings",), "settings."), ((), ""):
                for name, value in self._ask("stats", *words, repeats=True, writes=False).items():
                    values[begin + name.decode("ascii", "replace")] = _stat(value)
            try:
                return float(values["time"])
            except (KeyError, ValueError):
                raise BackendUnavailable(f"memcached at {self.name} failed: what it tells has no time") from None

        skew = clock_skew(ask)
        return ServerFacts("memcached", self.name, values, skew, open_to_others=socket_open_to_others(self.address))

    def _no_listing(self, line: bytes) -> BackendError:
        answer = line.decode("ascii", "replace")
        if line.startswith(b"BUSY"):
            return BackendUnavailable(f"memcached at {self.name} lists its keys for somebody else; try again")
        return BackendError(
            f"memcached at {self.name} does not tell its keys ({answer}); start it without -X and without "
            "-o no_lru_crawler, in version 1.4.31 or later"
        )

    def _ask(
        self, command: str, *args: Any, repeats: bool = False, writes: bool = True, urgent: bool = False, **options: Any
    ) -> Any:
        """Give one command of pymemcache's; see WireServer.give."""
        return self.give(MemcachedConnection.ask, (command, args, options), repeats, writes, urgent)

    def refusal(self, error: Exception) -> BackendError | None:
        """Return what to raise for an item that the server does not take; it is up, and others it may take."""
        reason = error.args[0] if isinstance(error, MemcacheServerError) and error.args else b""
        if b"too large" in reason:
            return ValueTooLarge(
                f"memcached at {self.name} refuses an item for its size; raise its option -I, or lower max_item_size="
            )
        if b"out of memory" in reason:
            return BackendUnavailable(f"memcached at {self.name} has no room for an item of this size")
        return None

    def may_ask_again(self, error: Exception) -> bool:
        """Return whether it was not done: the server takes no more connections."""
        return isinstance(error, BrokenPipeError) or "Too many open connections" in str(error)

    def explain(self, error: Exception) -> str:
        """Return what to say of *error*, whatever it is: hostile bytes make pymemcache raise many kinds."""
        is_told = isinstance(error, OSError | EOFError | MemcacheError)
        return f"{type(error).__name__}: {error if is_told else 'an answer that makes no sense'}"


class StrictClient(Client):  # type: ignore[misc]
    """pymemcache's client, which takes any answer to a `delete` for an acknowledgement."""

    def delete_each(self, keys: Sequence[str]) -> list[bool]:
        """Delete what is under *keys*, in one round trip, and return of each whether there was something."""
        # Some versions take a last word `noreply` for the option of that name, though it is the key.
        commands = [b"delete %b%b\r\n" % (key.encode("ascii"), b" 0" if key == "noreply" else b"") for key in keys]
        return [answer == b"DELETED" for answer in self._misc_cmd(commands, b"delete", False)]

    def incr_each(self, amounts: Sequence[tuple[str, int]]) -> dict[str, bytes]:
        """Add *amounts* to the numbers under these keys, in one round trip, and return each answer by key."""
        commands = [b"incr %b %d\r\n" % (key.encode("ascii"), amount) for key, amount in amounts]
        answers = self._misc_cmd(commands, b"incr", False)
        return {key: answer for (key, _), answer in zip(amounts, answers, strict=True)}

    def add_each(self, numbers: Mapping[str, int], expire: int) -> list[str]:
        """Store *numbers* where there is nothing, in one round trip, and return the keys where that was so."""
        words = [(key.encode("ascii"), b"%d" % number) for key, number in numbers.items()]
        commands = [b"add %b 0 %d %d\r\n%b\r\n" % (key, expire, len(data), data) for key, data in words]
        answers = self._misc_cmd(commands, b"add", False)
        if not ADDITIONS.issuperset(answers):
            raise MemcacheUnknownError(answers)
        return [key for key, answer in zip(numbers, answers, strict=True) if answer == b"STORED"]

    def _raise_errors(self, line: bytes, name: bytes) -> None:
        """Raise what *line* tells of a command's *name*, if it is an error."""
        if line.startswith(b"ERROR "):  # such as "Too many open connections", of which pymemcache says nothing
            raise MemcacheServerError(line.partition(b" ")[2])
        if name != b"incr" or not line.startswith(b"CLIENT_ERROR cannot increment"):  # what is there is no number
            super()._raise_errors(line, name)

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
        self._last: LastReply[KeyData] | None = None

    def known(self, buffer: bytes) -> KeyData | None:
        """Return what *buffer* says if it is the same as the last time."""
        last = self._last
        return last[1] if last is not None and last[0] == buffer else None

    def learn(self, buffer: bytes, found: Mapping[bytes, bytes]) -> KeyData:
        """Return the answer in which this was *found*; remember it if *buffer* is all of it, not empty, and small."""
        answer = found.get(self.wanted[0]), list(map(found.get, self.wanted[1:]))
        if 0 < len(buffer) <= LONGEST_REMEMBERED:
            self._last = LastReply(buffer, answer)
        return answer


METADUMP: Final = re.compile(rb"key=(\S+)(?: \w+=\S+)*? size=(\d+)")
"""A line that tells of one item."""


class MemcachedConnection:
    """A connection to one server; see WireConnection."""

    def __init__(self, address: Any, timeout: float, tls_context: "ssl.SSLContext | None" = None) -> None:
        self.sockets = Sockets(timeout) if tls_context is None else TlsSockets(timeout, tls_context)
        self.seat: Seat | None = None
        self._client: Any = StrictClient(address, socket_module=self.sockets, default_noreply=False)

    def connect(self, deadline: float) -> None:
        """Connect until this *deadline*."""
        self.sockets.deadline = deadline
        self._client._connect()

    def is_open(self) -> bool:
        """Return whether it is connected and in step with the server."""
        # A server that restarted has closed it; bytes that nobody asked for would be taken for the next answer.
        stream = self._client.sock
        return stream is not None and not stream.readable(0)

    def ask(self, given: tuple[str, tuple[Any, ...], dict[str, Any]]) -> Any:
        """Give one command of pymemcache's."""
        command, args, options = given
        self.sockets.begin()
        try:
            return getattr(self._client, command)(*args, **options)
        except MemcacheUnexpectedCloseError:
            raise EOFError(CLOSED) from None

    def renew(self, given: tuple[str, int]) -> Any:
        """Put a new generation under a key, another one each time."""
        key, expire = given
        return self.ask(("set", (key, new_generation(), expire), {"noreply": False}))

    def read(self, question: "Question") -> "KeyData":
        """Ask a *question*, and return the answer."""
        # pymemcache's own reading takes twice as long.
        stream = self._client.sock
        buffer = stream.exchange(question.command, RECEIVE)
        answer = question.known(buffer)
        if answer is None:
            whole, found = self._found(stream, buffer, question.wanted)
            answer = question.learn(whole, found)
        return answer

    def lines(self, command: bytes) -> Iterator[bytes]:
        """Give a *command*, and return the lines of the answer, however many; each part of it has a deadline anew."""
        stream = self._client.sock
        buffer = stream.exchange(command, RECEIVE)
        while True:
            if not buffer:
                raise EOFError(CLOSED)
            *whole, rest = buffer.split(b"\n")  # as those of a dump end
            yield from (each.removesuffix(b"\r") for each in whole)
            if len(rest) > RECEIVE:
                raise MemcacheUnknownError("a line without an end")
            self.sockets.begin()
            buffer = _more(stream, rest)

    def _found(self, stream: Any, buffer: bytes, wanted: list[bytes]) -> tuple[bytes, dict[bytes, bytes]]:
        """Return the answer if *buffer*, which has come, is all of it; and what it has for the *wanted* keys."""
        if not buffer:
            raise EOFError(CLOSED)
        found: dict[bytes, bytes] = {}
        whole, left, start = buffer, set(wanted), 0
        while True:
            end = buffer.find(b"\r\n", start)
            if end < 0:
                whole, buffer, start = b"", _more(stream, buffer[start:]), 0
                continue
            if buffer[start:end] == b"END":
                if len(buffer) == end + 2:
                    return whole, found
                raise ConnectionError("there came more than was asked for")
            if not buffer.startswith(b"VALUE ", start):
                self._client._raise_errors(buffer[start:end], b"get")
            word, key, _, size = buffer[start:end].split(b" ")
            if word != b"VALUE" or key not in left:
                raise MemcacheUnknownError("an answer to something else")
            left.remove(key)
            start, stop = end + 2, end + 2 + int(size)
            missing = stop + 2 - len(buffer)
            if missing > 0:
                whole, buffer, start, stop = b"", _more(stream, buffer[start:], missing), 0, stop - start
            if buffer[stop : stop + 2] != b"\r\n":
                raise MemcacheUnknownError("a value of another length than was said")
            found[key] = buffer[start:stop]
            start = stop + 2

    def close(self) -> None:
        """Close it."""
        client = getattr(self, "_client", None)  # a signal may have come before there was one
        if client is not None:
            client.close()

    __del__ = close


def _stat(value: object) -> str:
    """Return a *value* of `stats`, of which pymemcache has made a number or a bool, as the text that it was."""
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)


def _more(stream: Any, begun: bytes, missing: int = 1) -> bytes:
    """Return what has *begun* with what comes next, until nothing is *missing*; EOFError if none comes."""
    parts = [begun]
    while missing > 0:
        data: bytes = stream.recv(RECEIVE)
        if not data:
            raise EOFError(CLOSED)
        parts.append(data)
        missing -= len(data)
    return b"".join(parts)


ITEM_OVERHEAD: Final = 64  # bytes that the server needs for an item besides key and data
DEFAULT_PORT: Final = 11211
TLS_SCHEME: Final = "memcacheds"
TLS_OPTIONS: Final[dict[str, OptionType]] = {
    **dict.fromkeys(("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"), text),
    "ssl_password": text,
    "ssl_check_hostname": boolean,
}
HOST: Final = re.compile(r"[^\s/,\[\]]+")
SPELT_ADDRESS: Final = re.compile(r"(?:\[([^\[\]]+)\]|([^:]+))(?::([0-9]{1,5}))?")  # [::1]:11211 as well


class MemcachedCache(LeaseCache):
    """A cache on one or many memcached servers, shared by all processes that use the same ones.

    Create it once and keep it around: it holds connections, at most 32 to each server. It needs no server to be
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
        tls_context: an `ssl.SSLContext`, such as `ssl.create_default_context()`, for servers that speak TLS (their
            option -Z); None for plain connections.

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
        tls_context: "ssl.SSLContext | None" = None,
    ) -> None:
        allowed = seconds_allowed(timeout)
        if isinstance(max_item_size, bool) or not isinstance(max_item_size, int) or max_item_size < 1024:
            raise ConfigurationError(f"max_item_size={max_item_size!r}; wanted: bytes, as an int from 1024")
        addresses = _addresses(servers)
        if tls_context is not None:
            _check_tls(tls_context, addresses)
        self._servers = [Server(address, allowed, tls_context) for address in addresses]
        self._max_item_size = max_item_size
        codec = ValueCodec(serializer, compress, compress_above, secret, largest=max_item_size * 7 // 8)
        super().__init__(default_timeout, key_prefix, codec)

    @classmethod
    def url_arguments(cls, url: Url) -> dict[str, Any]:
        """Return the arguments that "memcached://host:port,host:port?..." or "memcached:///socket?..." stands for.

        "memcacheds://host:port?ssl_ca_certs=..." is for servers that speak TLS.
        """
        url.allow_only("hosts", "path")
        socket = url.path if url.path != "/" else ""
        if socket and url.hosts:
            raise url.error("it has a host and a path; wanted: host:port,host:port, or /path/to/socket")
        options = url.options({**SHARED_OPTIONS, "timeout": duration, "max_item_size": integer, **TLS_OPTIONS})
        tls = {name: options.pop(name) for name in TLS_OPTIONS if name in options}
        if url.scheme == TLS_SCHEME:
            options["tls_context"] = _tls_context(url, **tls)
        elif tls:
            raise url.error("it has options of TLS; for a server that speaks it write memcacheds instead of memcached")
        servers = [socket] if socket else url.addresses(DEFAULT_PORT)
        return {"servers": servers, **options} if servers else options

    def __repr__(self) -> str:
        servers = ", ".join(server.name for server in self._servers)
        return f"MemcachedCache([{servers}], default_timeout={self.default_timeout:g}, key_prefix={self._prefix!r})"

    def after_fork(self) -> None:
        """Use no connection and join no flight of the parent's."""
        super().after_fork()
        for server in self._servers:
            server.reset()

    def _node(self, key: str) -> "Server":
        servers = self._servers
        if len(servers) == 1:
            return servers[0]
        place = without_version(key)  # all versions of a call are on one server
        return max(servers, key=lambda server: server.weight(place))

    def server_of(self, key: str) -> str:
        """Return the address of the server that has *key*."""
        return self._node(self._wire(key)).name

    def _nodes(self) -> Sequence["Server"]:
        return self._servers

    def facts(self) -> list[ServerFacts]:
        """Return what each server tells of itself."""
        return [server.facts() for server in self._servers]

    def _places(self, start: str, tag: str) -> Iterator[Sequence[tuple[str, int]]]:
        """Return the wire keys with this *start*, as the servers dump them, with the sizes of their items."""
        for server in self._servers:
            items = server.items(self._prefix + start)
            while page := dict(islice(items, AT_ONCE)):  # an item that moves to another queue meanwhile is dumped twice
                yield list(page.items())

    def _tally(self, tally: str) -> str:
        return f"{self._prefix}#tally:{tally}"

    def add_to_tally(self, tally: str, amounts: dict[str, int], lifetime: float) -> None:
        """Have the server add *amounts* to the numbers of a *tally*; all tallies are on one of the servers."""
        start = f"{self._tally(tally)}:"
        left = {start + name: amount for name, amount in amounts.items()}
        try:
            self._node(self._tally("")).count(left, self._expire(lifetime))
        finally:
            for name in [name for name in amounts if start + name not in left]:
                del amounts[name]

    def tallies(self, tallies: Sequence[str], names: Sequence[str]) -> list[dict[str, int]]:
        """Return the numbers of *tallies*, each by name."""
        server = self._node(self._tally(""))
        sums: list[dict[str, int]] = [{} for _ in tallies]
        wanted = (
            (own, name, f"{self._tally(tally)}:{name}")
            for own, tally in zip(sums, tallies, strict=True)
            for name in names
        )
        while some := list(islice(wanted, READ_AT_ONCE)):
            found = server.get_many([wire for _, _, wire in some])
            for own, name, wire in some:
                if (number := number_in(found.get(wire))) is not None:
                    own[name] = number
        return sums

    def _check_size(self, wire: str, data: bytes) -> None:
        size = len(wire) + len(data) + ITEM_OVERHEAD
        if size > self._max_item_size:
            raise ValueTooLarge(
                f"the value takes {size} bytes as an item, and the servers take {self._max_item_size} (max_item_size=, "
                "the server's option -I); store less, or raise both"
            )


def _check_tls(context: object, addresses: Sequence[object]) -> None:
    import ssl  # not before somebody wants it: it takes as long as all of ours

    if not isinstance(context, ssl.SSLContext):
        raise ConfigurationError(
            f"tls_context= got a {type(context).__name__}; wanted: an ssl.SSLContext, such as "
            "ssl.create_default_context(cafile='ca.pem')"
        )
    paths = [each for each in addresses if isinstance(each, str)]
    if paths:
        raise ConfigurationError(f"tls_context= is for hosts, and {paths[0]} is a socket of this one; drop it")


def _tls_context(
    url: Url,
    *,
    ssl_ca_certs: str | None = None,
    ssl_ca_path: str | None = None,
    ssl_certfile: str | None = None,
    ssl_keyfile: str | None = None,
    ssl_password: str | None = None,
    ssl_check_hostname: bool = True,
) -> "ssl.SSLContext":
    """Return the context that the options of *url* stand for, which are those of a RedisCache."""
    import ssl

    if ssl_certfile is None and (ssl_keyfile is not None or ssl_password is not None):
        raise url.error("it has ssl_keyfile= or ssl_password= without ssl_certfile=, to which they belong")
    try:
        context = ssl.create_default_context(cafile=ssl_ca_certs, capath=ssl_ca_path)
        context.check_hostname = ssl_check_hostname
        if ssl_certfile is not None:
            context.load_cert_chain(ssl_certfile, ssl_keyfile, ssl_password or "")
    except OSError as error:  # ssl.SSLError is one
        raise url.error(f"its certificates cannot be read: {error}") from None
    return context


def _addresses(servers: object) -> "list[str | tuple[str, int]]":
    given = [servers] if isinstance(servers, str) else list(servers) if isinstance(servers, list | tuple) else []
    addresses = [_address(each) for each in given]
    if not addresses or None in addresses or len(set(addresses)) < len(addresses):
        wanted = "wanted: a list of different addresses, each as 'host:port', '/path/to/socket' or (host, port)"
        if "://" in str(servers):  # not shown: it may have a password
            raise ConfigurationError(f"servers= got a URL; {wanted}. Of a URL, cache_from_url() makes a cache")
        raise ConfigurationError(f"servers={servers!r}; {wanted}")
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
