"""RedisCache: values on Redis or Valkey, be it one server, one with sentinels, or a cluster."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

from memocache._policy import seconds
from memocache._url import SHARED, Recipe, Url, duration, whole
from memocache.backends._verbs import Verb, awaited, taken, verb
from memocache.backends.redis.fence import FencedCache
from memocache.backends.redis.pubsub import Channel
from memocache.backends.redis.resp import command, text
from memocache.backends.redis.shard import KEYS, LEASES, as_it_is
from memocache.errors import ConfigurationError, ValueTooLarge
from memocache.serializers import Serializer
from memocache.serializers._compression import Method
from memocache.serializers._form import COMPRESS_ABOVE, Form
from memocache.serializers._signing import Secret

if TYPE_CHECKING:
    from memocache.backends.redis.connection import RedisServer

__all__ = ["RedisCache"]

LARGEST_ITEM: Final = 48 * 1024 * 1024  # bytes; of an answer no more is read than somewhat above that


class RedisCache(FencedCache):
    """A cache on Redis or Valkey, shared by all processes that use the same one.

    Create it once and keep it around: it holds one connection for each thread and each event loop. Coroutine functions
    use it without threads. It needs no server to be created; one that is down later is a miss, and is left alone for a
    growing moment. Its keys begin with "memocache:", so that a database can be shared with other data.

    Where a server is replaced by a replica (by sentinels, or in a cluster), Redis may lose what it had acknowledged a
    moment before, a forgetting included: the old value is then served until its timeout is over.

    Example: `cache = RedisCache("redis://127.0.0.1:6379/0", key_prefix="shop:")`

    Args:
        url_or_client: "redis://user:password@host:port/db", "rediss://..." for TLS, "unix:///path/to/socket?db=0",
            "redis+cluster://host:port,host:port", "redis+sentinel://host:port,host:port/service/db"; or a client of
            redis-py or valkey-py, of which the settings are used, not the connections.
        default_timeout: seconds for which a value is kept that was given no timeout of its own; 0 for ever.
        key_prefix: stands before all keys, so that applications can share a database; printable ASCII, at most 100
            characters.
        timeout: seconds that one exchange with a server may take before it counts as down; connecting is another.
        serializer: makes bytes of values; None for a SafeSerializer.
        compress, compress_above, secret: as of MemcachedCache.
        max_item_size: the largest item in bytes that is stored, at most 48 MiB.
        connection: options of redis-py's clients, with their names: `db`, `username`, `password`, `ssl_ca_certs`, ...;
            `sentinel_username` and `sentinel_password` for sentinels.

    Raises:
        ConfigurationError: for options that cannot work; and if redis-py is not installed.
    """

    def __init__(
        self,
        url_or_client: Any = "redis://127.0.0.1:6379/0",
        default_timeout: float | str | None = 300,
        key_prefix: str = "",
        *,
        timeout: float | str = 0.5,
        serializer: Serializer | None = None,
        compress: Method | None = None,
        compress_above: int = COMPRESS_ABOVE,
        secret: Secret | None = None,
        max_item_size: int = 16 * 1024 * 1024,
        **connection: Any,
    ) -> None:
        deadline = seconds(timeout, "timeout")
        if deadline <= 0:
            raise ConfigurationError(f"timeout={timeout!r}; wanted: seconds above 0 that one exchange may take")
        if type(max_item_size) is not int or not 1024 <= max_item_size <= LARGEST_ITEM:
            raise ConfigurationError(
                f"max_item_size={max_item_size!r}; wanted: bytes, as an int from 1024 to {LARGEST_ITEM}"
            )
        servers = _where().servers(url_or_client, connection, deadline)
        self._max_item_size = max_item_size
        form = Form(serializer, compress, compress_above, secret, largest=max_item_size * 7 // 8)
        super().__init__(servers, default_timeout, key_prefix, form)
        self._channel = self._new_channel(key_prefix)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """Return the cache of a *url* whose query may have options of the cache, too; see `cache_from_url`.

        Example: `RedisCache.from_url("redis://10.0.0.1/0?prefix=shop:&default_timeout=60&timeout=0.2")`
        """
        parsed = Url(url)
        made: Self = Recipe(cls, cls.url_arguments(parsed)).make(**options)
        return made

    @classmethod
    def url_arguments(cls, url: Url) -> dict[str, Any]:
        """Return the arguments that *url* stands for."""
        options = url.options({**SHARED, "timeout": duration, "max_item_size": whole, **_where().IN_URLS})
        return {"url_or_client": url, **options}

    def __repr__(self) -> str:
        return f"RedisCache({self._servers}, default_timeout={self.default_timeout:g}, key_prefix={self._prefix!r})"

    def after_fork(self) -> None:
        """Use no connection and join no flight of the parent's."""
        super().after_fork()
        self._channel = self._new_channel(self._prefix)

    def close(self) -> None:
        """Close the connections, those that are in use after that; the cache makes new ones if it is used again."""
        self._channel.close()
        for server in self._servers.everybody():
            server.close()

    # ---- what near tiers tell each other -------------------------------------------------------------------------

    can_announce = True

    def _new_channel(self, prefix: str) -> Channel:
        servers = self._servers  # not self, whom the channel would keep alive

        def find() -> "RedisServer":
            server: RedisServer = taken(servers.masters(), as_it_is)[0]
            return server

        return Channel(f"memocache:told:{prefix}".encode(), find)

    def listen(self, heard: Callable[[str | None], object]) -> None:
        """Have *heard* called, in a thread of its own, with each text that any process announces."""
        self._channel.listen(heard)

    @verb
    def announce(self, text: str) -> Verb[None]:
        """Publish *text* to all who listen, in every process."""
        yield from self._servers.ask(0, self._channel.publishing(text))

    # ---- tasks ---------------------------------------------------------------------------------------------------

    async def awaited(
        self,
        call: Callable[..., Any],
        arguments: tuple[Any, ...],
        unwanted: Callable[[Any], object] | None = None,
        /,
    ) -> Any:
        """Return what *call* returns, from a connection of the running event loop."""
        import asyncio

        from memocache._tasks import in_own_task
        from memocache.backends.redis.loop import can_link

        steps = getattr(call, "__wrapped__", None)
        if steps is None or getattr(call, "__self__", None) is not self or not can_link(asyncio.get_running_loop()):
            return await super().awaited(call, arguments, unwanted)
        return await in_own_task(awaited(steps(self, *arguments), as_it_is, _in_task), unwanted)

    def _check_size(self, wire: str, data: bytes) -> None:
        if len(data) > self._max_item_size:
            raise ValueTooLarge(
                f"an item of {len(data)} bytes is larger than max_item_size={self._max_item_size}, so it is not stored"
            )

    # ---- what a user calls ---------------------------------------------------------------------------------------

    def _raw(self, keys: Sequence[str]) -> dict[str, bytes]:
        wires = {key: self._wire(key) for key in keys}
        commands = {key: (command(text, b"GET", self._node(wire).name(wire)),) for key, wire in wires.items()}
        replies = self._take_verb(self._for_each(commands, again=True))
        return {key: data for key, (data,) in replies.items() if data is not None}

    def set_many(self, mapping: Mapping[str, object], timeout: float | None = None) -> list[str]:
        """Store all of *mapping* for *timeout* seconds, in one round trip to each server; return what is stored."""
        lifetime = self.lifetime(timeout)
        if lifetime <= 0:
            self.delete_many(*mapping)
            return []
        commands = {}
        for key, value in mapping.items():
            wire, packed = self._wire(key), self._packed(key, value, lifetime)
            commands[key] = self._node(wire).storing(wire, packed, self._expire(lifetime))
        self._take_verb(self._for_each(commands))
        return list(mapping)

    def delete_many(self, *keys: str) -> list[str]:
        """Delete all *keys*, in one round trip to each server; return those that had something."""
        wires = {key: self._wire(key) for key in keys}
        commands = {key: self._node(wire).forgetting(wire) for key, wire in wires.items()}
        replies = self._take_verb(self._for_each(commands, again=True, urgent=True))
        return [key for key in keys if any(replies[key])]

    def clear(self) -> bool:
        """Delete everything under this key_prefix; what memocache has not stored is left alone.

        It looks at the name of every key in the database, a thousand at a time.
        """
        # Leases first, so that nothing of before is stored while the rest is being deleted.
        for kind in (LEASES, KEYS):
            self._take_verb(self._servers.delete_all(kind + self._prefix.encode("ascii")))
        return True


async def _in_task(operation: Any) -> Any:
    return await operation.in_task()


def _where() -> Any:
    """Return the module that knows redis-py."""
    try:
        from memocache.backends.redis import where
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "redis":
            raise
        raise ConfigurationError("RedisCache needs redis-py: pip install 'memocache[redis]'") from missing
    return where
