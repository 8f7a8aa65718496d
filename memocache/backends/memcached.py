"""MemcachedCache: values on one or many memcached servers."""

import re
from collections.abc import Sequence
from typing import Any, Final

from memocache._policy import seconds
from memocache.backends._lease import LeaseCache
from memocache.backends._memcached import Server
from memocache.backends.urls import SHARED_OPTIONS, Url, duration, integer
from memocache.errors import ConfigurationError, ValueTooLarge
from memocache.serializers import Serializer
from memocache.serializers._codec import COMPRESS_ABOVE, ValueCodec
from memocache.serializers._compression import Method
from memocache.serializers._signing import Secret

__all__ = ["MemcachedCache"]

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
        deadline = seconds(timeout, "timeout")
        if deadline <= 0:
            raise ConfigurationError(f"timeout={timeout!r}; wanted: seconds above 0 that one command may take")
        if isinstance(max_item_size, bool) or not isinstance(max_item_size, int) or max_item_size < 1024:
            raise ConfigurationError(f"max_item_size={max_item_size!r}; wanted: bytes, as an int from 1024")
        self._servers = [Server(address, deadline) for address in _addresses(servers)]
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
            server.drop_connections()

    def _node(self, key: str) -> "Server":
        servers = self._servers
        return servers[0] if len(servers) == 1 else max(servers, key=lambda server: server.weight(key))

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
