"""What there is to know of redis-py: how it connects to a server, and its clients' settings. Its only user."""

from dataclasses import dataclass, field
from typing import Any, Final

from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.crc import key_slot
from redis.exceptions import RedisError

from memocache.backends._line import CipherLine, Line, Sockets
from memocache.errors import ConfigurationError

__all__ = ["ClientSettings", "Connecting", "key_slot", "settings_of"]

OPTIONS: Final = ("db", "username", "password", "credential_provider", "client_name")
"""Of a client's settings, what matters here as well; and all that begin with ssl_."""


class _Lined:
    """A connection of redis-py's whose socket is a line, with the deadline of ours."""

    sockets: Sockets
    line: Line

    def connect_line(self, family: Any, address: Any) -> Line:
        line = Line(self.sockets, family)
        line.connect(address)
        return line


class _Tcp(_Lined, Connection):
    def _connect(self) -> Line:
        self.line = self.connect_line(Sockets.AF_UNSPEC, (self.host, self.port))
        return self.line


class _Unix(_Lined, UnixDomainSocketConnection):
    def _connect(self) -> Line:
        self.line = self.connect_line(Sockets.AF_UNIX, self.path)
        return self.line


class _Tls(_Lined, SSLConnection):
    def _connect(self) -> Line:
        opened = self.connect_line(Sockets.AF_UNSPEC, (self.host, self.port)).detach()
        try:
            opened.settimeout(self.sockets.left())
            self.line = CipherLine(self.sockets, Sockets.AF_UNSPEC)
            self.line.adopt(self._wrap_socket_with_ssl(opened))  # type: ignore[no-untyped-call]
        except BaseException:  # an interrupt as well: nobody else knows of this socket yet
            opened.close()
            raise
        return self.line


class Connecting:
    """Makes connections to one server, with names and passwords given and the database selected.

    redis-py makes them; what is said over them afterwards, and for how long, is our own affair.
    """

    def __init__(self, address: "str | tuple[str, int]", tls: bool, options: dict[str, Any], timeout: float) -> None:
        self._timeout = timeout
        self._options = {
            **({"path": address} if isinstance(address, str) else {"host": address[0], "port": address[1]}),
            **options,
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
            "protocol": 2,
        }
        self._kind: Any = _Unix if isinstance(address, str) else _Tls if tls else _Tcp
        try:
            self._made()
        except (RedisError, TypeError, ValueError) as error:
            raise ConfigurationError(f"the options of the connection to Redis cannot work: {error}") from error

    def _made(self) -> Any:
        return self._kind(**self._options)  # which does not connect yet

    def connected(self) -> tuple[Line, Any]:
        """Return a line that is ready for commands, and what has to be kept as long as it is, and `disconnect`ed."""
        connection = self._made()
        connection.sockets = sockets = Sockets(self._timeout)
        sockets.begin()
        try:
            connection.connect()
        except BaseException:
            connection.disconnect()
            raise
        return connection.line, connection


@dataclass(frozen=True)
class ClientSettings:
    """Where a client's servers are, and how it connects to them."""

    kind: str
    addresses: "list[str | tuple[str, int]]"
    tls: bool
    options: dict[str, Any] = field(repr=False)
    service: str = ""
    sentinel_options: dict[str, Any] | None = field(default=None, repr=False)


def settings_of(client: Any) -> ClientSettings | None:
    """Return the settings of a *client* of redis-py, or of valkey-py, which is made alike; None if it is none."""
    nodes = getattr(client, "nodes_manager", None)
    if nodes is not None:
        options = nodes.connection_kwargs
        addresses = [(node.host, int(node.port)) for node in nodes.startup_nodes.values()]
        is_tls = bool(options.get("ssl")) or _is_tls(options.get("connection_class"))
        return ClientSettings("cluster", [*addresses], is_tls, _known(options))
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        return None
    options, is_tls = pool.connection_kwargs, _is_tls(pool.connection_class)
    manager = getattr(pool, "sentinel_manager", None)
    if manager is not None:
        pools = [each.connection_pool for each in manager.sentinels]
        theirs = pools[0].connection_kwargs
        return ClientSettings(
            "sentinel",
            [_address(each.connection_kwargs) for each in pools],
            is_tls,
            _known(options),
            pool.service_name,
            _known(theirs),
        )
    return ClientSettings("single", [_address(options)], is_tls, _known(options))


def _address(options: dict[str, Any]) -> "str | tuple[str, int]":
    if "path" in options:
        return str(options["path"])
    return options.get("host", "localhost"), int(options.get("port", 6379))


def _is_tls(kind: Any) -> bool:
    return "SSL" in getattr(kind, "__name__", "")  # of valkey-py as well


def _known(options: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in options.items()
        if value is not None and (name in OPTIONS or name.startswith("ssl_"))
    }
