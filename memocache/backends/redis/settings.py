"""Settings: where Redis is, from a URL or from a client, and how to connect to it. The only user of redis-py."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from redis.connection import Connection as RedisPyConnection
from redis.connection import SSLConnection, UnixDomainSocketConnection
from redis.exceptions import RedisError

from memocache.backends._wire import CipherSocket, DeadlineSocket, Sockets
from memocache.backends.urls import OptionType, Url, boolean, integer, suggestion, text
from memocache.errors import ConfigurationError, with_article

__all__ = ["URL_OPTIONS", "ClientSettings", "Connector", "ServerAddress", "read_settings"]

ServerAddress: TypeAlias = str | tuple[str, int]
"""The path of a socket, or a host and a port."""

PORT: Final = 6379
SENTINEL_PORT: Final = 26379
SENTINEL: Final = "sentinel_"
SCHEMES: Final = (
    *("unix", "redis", "redis+cluster", "redis+sentinel"),
    *("rediss", "rediss+cluster", "rediss+sentinel"),  # TLS
)


URL_OPTIONS: Final[dict[str, OptionType]] = {
    "db": integer,
    "username": text,
    "password": text,
    "client_name": text,
    "sentinel_username": text,
    "sentinel_password": text,
    "ssl_ca_certs": text,
    "ssl_ca_path": text,
    "ssl_certfile": text,
    "ssl_keyfile": text,
    "ssl_password": text,
    "ssl_cert_reqs": text,
    "ssl_check_hostname": boolean,
}
"""The options of a connection, those of redis-py's clients, as a URL may have them."""

OPTIONS: Final = (*URL_OPTIONS, "credential_provider", "ssl_ca_data", "ssl_ciphers", "ssl_min_version")

CLIENT_OPTIONS: Final = ("db", "username", "password", "credential_provider", "client_name")
"""The settings of a client that count here, besides all that begin with ssl_."""


@dataclass(frozen=True)
class ClientSettings:
    """The addresses of the servers, and the options of the connections to them."""

    kind: str
    addresses: list[ServerAddress]
    tls: bool
    options: dict[str, Any] = field(repr=False)
    service: str = ""
    sentinel_options: dict[str, Any] = field(default_factory=dict, repr=False)


def read_settings(given: Any, options: Mapping[str, Any]) -> ClientSettings:
    """Return the settings that a URL or a client stands for; ConfigurationError if it can be none."""
    for name in options:
        if name not in OPTIONS:
            raise ConfigurationError(
                f"RedisCache has no option {name!r}{suggestion(name, OPTIONS)}; "
                f"options of the connection are: {', '.join(OPTIONS)}"
            )
    if isinstance(given, str):
        url = Url(given)
        return _from_url(url, {**url.options(URL_OPTIONS), **options})
    if isinstance(given, Url):
        return _from_url(given, dict(options))
    settings = _from_client(given)
    if settings is None:
        raise ConfigurationError(
            f"RedisCache() got {with_article(type(given))}; wanted: a URL such as 'redis://127.0.0.1:6379/0', "
            "or a client of redis-py or valkey-py"
        )
    if options:
        raise ConfigurationError(
            f"RedisCache() got a client and {', '.join(options)}; give the options to the client itself"
        )
    return settings


def _from_url(url: Url, options: dict[str, Any]) -> ClientSettings:
    """Return the settings in *url*, with these further *options*."""
    scheme, _, kind = url.scheme.partition("+")
    kind = kind or "single"
    if url.scheme not in SCHEMES:
        raise url.error(
            "wanted: redis://host:port/db, rediss:// for TLS, unix:///path/to/socket, "
            "redis+cluster://host:port,host:port, or redis+sentinel://host:port,host:port/service/db"
        )
    for name, value in (("username", url.user), ("password", url.password)):
        if value:
            options.setdefault(name, value)
    if scheme == "unix":
        if url.hosts or url.path in ("", "/"):
            raise url.error("wanted: unix:///path/to/socket")
        return ClientSettings("single", [url.path], False, options)
    is_tls = scheme == "rediss"
    if not is_tls and any(name.startswith("ssl_") for name in options):
        raise url.error("it has options of TLS; for a server that speaks it write rediss instead of redis")
    sentinel = {name.removeprefix(SENTINEL): options.pop(name) for name in list(options) if name.startswith(SENTINEL)}
    parts = [part for part in url.path.split("/") if part]
    service = ""
    if kind == "sentinel":
        if not parts:
            raise url.error("wanted: the name of the service behind the hosts, as in redis+sentinel://host/mymaster")
        service = parts.pop(0)
        if is_tls:
            sentinel.update({name: value for name, value in options.items() if name.startswith("ssl_")})
    elif sentinel:
        raise url.error("it has options of sentinels; for these write redis+sentinel")
    if len(parts) > 1 or (parts and not parts[0].isdecimal()):
        raise url.error("what is behind the hosts is no number of a database")
    if parts:
        options.setdefault("db", int(parts[0]))
    port = SENTINEL_PORT if kind == "sentinel" else PORT
    addresses: list[ServerAddress] = [*url.addresses(port)]
    if kind == "single" and len(addresses) > 1:
        raise url.error("it has several hosts; for those write redis+cluster or redis+sentinel")
    return ClientSettings(kind, addresses or [("127.0.0.1", port)], is_tls, options, service, sentinel)


def _from_client(client: Any) -> ClientSettings | None:
    """Return the settings of a *client* of redis-py, or of valkey-py, which is made alike; None if it is none."""
    nodes = getattr(client, "nodes_manager", None)
    if nodes is not None:
        options = nodes.connection_kwargs
        addresses = [(node.host, int(node.port)) for node in nodes.startup_nodes.values()]
        is_tls = bool(options.get("ssl")) or _is_tls(options.get("connection_class"))
        return ClientSettings("cluster", [*addresses], is_tls, _usable(options))
    pool = getattr(client, "connection_pool", None)
    if pool is None:
        return None
    options, is_tls = pool.connection_kwargs, _is_tls(pool.connection_class)
    manager = getattr(pool, "sentinel_manager", None)
    if manager is not None:
        sentinels = [each.connection_pool.connection_kwargs for each in manager.sentinels]
        return ClientSettings(
            "sentinel",
            [_address(each) for each in sentinels],
            is_tls,
            _usable(options),
            pool.service_name,
            _usable(sentinels[0]),
        )
    return ClientSettings("single", [_address(options)], is_tls, _usable(options))


def _address(options: dict[str, Any]) -> ServerAddress:
    if "path" in options:
        return str(options["path"])
    return options.get("host", "localhost"), int(options.get("port", PORT))


def _is_tls(kind: Any) -> bool:
    return "SSL" in getattr(kind, "__name__", "")  # of valkey-py as well


def _usable(options: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in options.items()
        if value is not None and (name in CLIENT_OPTIONS or name.startswith("ssl_"))
    }


# ---- connections of redis-py -----------------------------------------------------------------------------------------


class _WithDeadline:
    """A connection of redis-py whose socket has a deadline for all of it."""

    sockets: Sockets
    stream: DeadlineSocket

    def connect_stream(self, family: Any, address: Any) -> DeadlineSocket:
        self.stream = DeadlineSocket(self.sockets, family)
        self.stream.connect(address)
        return self.stream


class _Tcp(_WithDeadline, RedisPyConnection):
    def _connect(self) -> DeadlineSocket:
        return self.connect_stream(Sockets.AF_UNSPEC, (self.host, self.port))


class _Unix(_WithDeadline, UnixDomainSocketConnection):
    def _connect(self) -> DeadlineSocket:
        return self.connect_stream(Sockets.AF_UNIX, self.path)


class _Tls(_WithDeadline, SSLConnection):
    def _connect(self) -> DeadlineSocket:
        opened = self.connect_stream(Sockets.AF_UNSPEC, (self.host, self.port)).detach()
        try:
            opened.settimeout(self.sockets.left())
            self.stream = CipherSocket(self.sockets, Sockets.AF_UNSPEC)
            self.stream.adopt(self._wrap_socket_with_ssl(opened))  # type: ignore[no-untyped-call]
        except BaseException:  # an interrupt as well: nobody else knows of this socket yet
            opened.close()
            raise
        return self.stream


class Connector:
    """A maker of connections to one server, that gives names and passwords, and selects the database.

    redis-py connects; the commands after that, and their deadlines, are our own affair.
    """

    def __init__(self, address: ServerAddress, tls: bool, options: dict[str, Any], timeout: float) -> None:
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
            self._new_connection()
        except (RedisError, TypeError, ValueError) as error:
            raise ConfigurationError(f"the options of the connection to Redis cannot work: {error}") from error

    def _new_connection(self) -> Any:
        return self._kind(**self._options)  # which does not connect yet

    def connect(self, deadline: float) -> tuple[DeadlineSocket, Any]:
        """Return a socket that is ready for commands, and its owner, to be kept and at the end `disconnect`ed."""
        connection = self._new_connection()
        connection.sockets = sockets = Sockets(self._timeout)
        sockets.deadline = deadline
        try:
            connection.connect()
        except BaseException:
            connection.disconnect()
            raise
        return connection.stream, connection
