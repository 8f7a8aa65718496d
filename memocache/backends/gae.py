"""GAEMemcachedCache: values in the memcache of App Engine. The only user of its SDK."""

import copy
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from memocache.backends._leases import LeaseCache
from memocache.backends._wire import Breaker, seconds_allowed
from memocache.backends.urls import SHARED_OPTIONS, Url, duration, text
from memocache.errors import BackendUnavailable, ConfigurationError, ValueTooLarge, told, with_article
from memocache.serializers import Serializer
from memocache.serializers._codec import COMPRESS_ABOVE, ValueCodec
from memocache.serializers._compression import Method
from memocache.serializers._signing import Secret

__all__ = ["GAEMemcachedCache"]

LARGEST_VALUE: Final = 1_000_000  # bytes
SAFE_NAMESPACE: Final = re.compile(r"[0-9A-Za-z._-]{1,100}")
LONG_AGO: Final = 30 * 86400 + 1  # an absolute time, since it is more than 30 days
NEEDED: Final = ("Client", "create_rpc", "MemcacheSetResponse")
MISSING, DELETED = 1, 2  # what came of a delete


class GAEMemcachedCache(LeaseCache):
    """A cache in the memcache of an application on Google App Engine, shared by all its instances.

    It needs the App Engine SDK for Python 3: `pip install 'appengine-python-standard>=2'`. Fences and leases are those
    of MemcachedCache. Values are bytes of the serializer's; what others have pickled under a key is never unpickled.

    Example: `cache = GAEMemcachedCache(key_prefix="shop:")`

    Args:
        default_timeout: seconds for which a value is kept that was given no timeout of its own; 0 for ever.
        key_prefix: stands before all keys; printable ASCII, at most 100 characters.
        namespace: the SDK's namespace, in which the keys are; None for the one that is set when it is asked
            (`namespace_manager`), each with entries of its own. What is refreshed in the background (`stale=`) has
            none set, and needs it to be given here.
        client: the SDK's module `google.appengine.api.memcache`, or a `Client` of it to be copied; None for the module.
        serializer: makes bytes of values; None for a SafeSerializer.
        compress, compress_above, secret: as of MemcachedCache.
        timeout: seconds that one command may take.

    Raises:
        ConfigurationError: if the SDK is not there, and for options that cannot work.
    """

    def __init__(
        self,
        default_timeout: float | str | None = 300,
        key_prefix: str = "",
        *,
        namespace: str | None = None,
        client: Any = None,
        serializer: Serializer | None = None,
        compress: Method | None = None,
        compress_above: int = COMPRESS_ABOVE,
        secret: Secret | None = None,
        timeout: float | str = 0.5,
    ) -> None:
        if namespace is not None and not (isinstance(namespace, str) and SAFE_NAMESPACE.fullmatch(namespace)):
            raise ConfigurationError(
                f"namespace={namespace!r}; wanted: 1 to 100 letters, digits, '.', '_' or '-', "
                "or None for the namespace that is set"
            )
        self._service = Service(client, namespace, seconds_allowed(timeout))
        codec = ValueCodec(serializer, compress, compress_above, secret, largest=LARGEST_VALUE * 7 // 8)
        super().__init__(default_timeout, key_prefix, codec)

    @classmethod
    def url_arguments(cls, url: Url) -> dict[str, Any]:
        """Return the arguments that "gae://?namespace=...&prefix=..." stands for."""
        url.allow_only()
        return url.options({**SHARED_OPTIONS, "namespace": text, "timeout": duration})

    def __repr__(self) -> str:
        return (
            f"GAEMemcachedCache(default_timeout={self.default_timeout:g}, key_prefix={self._prefix!r}, "
            f"namespace={self._service.namespace!r})"
        )

    def after_fork(self) -> None:
        """Join no flight of the parent's, and hold no lock of its."""
        super().after_fork()
        self._service.after_fork()

    def _node(self, key: str) -> "Service":
        return self._service

    def _nodes(self) -> Sequence["Service"]:
        return (self._service,)

    def _check_size(self, wire: str, data: bytes) -> None:
        if len(data) > LARGEST_VALUE:
            raise ValueTooLarge(
                f"the value takes {len(data)} bytes, and the memcache of App Engine takes {LARGEST_VALUE}; store less"
            )


class Service:
    """The memcache of App Engine, as a LeaseServer.

    The SDK's own methods answer an outage as if there were nothing. So each command is given as an RPC, with a
    deadline, and the RPC is asked whether it has succeeded.
    """

    def __init__(self, client: Any, namespace: str | None, deadline: float) -> None:
        self.namespace = namespace
        self._deadline = deadline
        given = None
        if client is not None and not all(hasattr(client, name) for name in NEEDED):
            if not hasattr(client, "_cas_ids"):
                raise ConfigurationError(
                    f"client= got {with_article(type(client))}; wanted: the module google.appengine.api.memcache, "
                    "or a Client of it"
                )
            given, client = client, None
        self._memcache: Any = _sdk() if client is None else client
        self._given = given
        self._reading = self._new_client()
        self.after_fork()

    def after_fork(self) -> None:
        """Use a breaker that nobody holds."""
        self._breaker = Breaker("the memcache of App Engine")

    def _new_client(self) -> Any:
        """Return a client that has read nothing for a `cas` yet: it knows that by key, for one thread only."""
        if self._given is None:
            return self._memcache.Client(unpickler=NothingPickled)
        client = copy.copy(self._given)
        client._cas_ids, client._unpickler_factory = {}, NothingPickled
        return client

    # ---- commands: see LeaseServer -----------------------------------------------------------------------------------

    def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return what is under *keys*."""
        return self._read(self._reading, keys) if keys else {}

    def reader(self, key: str, others: Sequence[str]) -> Callable[[], tuple[bytes | None, list[bytes | None]]]:
        """Return a function that reads what is under *key* and under *others*."""
        return functools.partial(self._read_in_order, key, [key, *others])

    def _read_in_order(self, key: str, keys: list[str]) -> tuple[bytes | None, list[bytes | None]]:
        found = self._read(self._reading, keys)
        return found.get(key), [found.get(other) for other in keys[1:]]

    def _read(self, client: Any, keys: Sequence[str], *, urgent: bool = False, **options: Any) -> Mapping[str, bytes]:
        found = self._give(client.get_multi_async, list(keys), urgent=urgent, **options)
        # What is of another type somebody else has put there: there is something, and it is nothing of ours.
        return {key: data if type(data) is bytes else b"" for key, data in found.items()}

    def gets(self, key: str, *, urgent: bool = False) -> tuple[bytes | None, object]:
        """Return what is under *key*, and the client that knows with which id to swap it."""
        client = self._new_client()
        return self._read(client, [key], urgent=urgent, for_cas=True).get(key), client

    def add(self, key: str, data: bytes, expire: int) -> bool:
        """Store *data* if there is nothing under *key*."""
        return self._stored(self._reading.add_multi_async, key, data, expire)

    def cas(self, key: str, data: bytes, swap: Any, expire: int) -> bool:
        """Store *data* if what is under *key* is still what *swap* was read with."""
        return self._stored(swap.cas_multi_async, key, data, expire)

    def set(self, key: str, data: bytes, expire: int) -> None:
        """Store *data*; asked even while it is left alone, since it may be a forgetting."""
        if not self._stored(self._reading.set_multi_async, key, data, expire, urgent=True):
            raise BackendUnavailable("the memcache of App Engine did not store an item")

    def delete(self, keys: Sequence[str], beside: Sequence[str] = ()) -> bool:
        """Delete what is under *keys* and *beside*; asked even while it is left alone."""
        all_keys = [*keys, *beside]
        statuses = self._give(self._reading.delete_multi_async, all_keys, urgent=True) or ()
        if len(statuses) != len(all_keys) or not {MISSING, DELETED}.issuperset(statuses):
            raise BackendUnavailable("the memcache of App Engine did not delete an item")
        return DELETED in statuses[: len(keys)]

    def flush(self) -> None:
        """Delete everything, in all namespaces."""
        self._give(self._reading.flush_all_async, urgent=True, everywhere=True)

    def _stored(self, command: Callable[..., Any], key: str, data: bytes, expire: int, *, urgent: bool = False) -> bool:
        expire = LONG_AGO if expire < 0 else expire
        status = self._give(command, {key: data}, urgent=urgent, time=expire)[key]
        statuses = self._memcache.MemcacheSetResponse
        if status == statuses.STORED:
            return True
        if status not in (statuses.NOT_STORED, statuses.EXISTS):
            raise BackendUnavailable("the memcache of App Engine did not store an item")
        return False

    def _give(
        self, command: Callable[..., Any], *words: Any, urgent: bool = False, everywhere: bool = False, **options: Any
    ) -> Any:
        """Give one *command* of the SDK's, and return what it answers; *urgent*: whatever the breaker says."""
        breaker = self._breaker
        breaker.guard(urgent=urgent)
        if not everywhere:
            options["namespace"] = self.namespace
        try:
            rpc = command(*words, rpc=self._memcache.create_rpc(deadline=self._deadline), **options)
            rpc.check_success()
            answer = rpc.get_result()
        except Exception as error:
            raise breaker.failure(told(error)) from error
        breaker.succeeded()
        return answer


class NothingPickled:
    """Stands for an unpickler: nothing of ours is pickled, and what others have pickled is not to be trusted."""

    def __init__(self, file: object) -> None:
        """Take any file, and read none."""

    def load(self) -> None:
        """Return None."""


def _sdk() -> Any:
    try:
        from google.appengine.api import memcache
    except ImportError as error:
        raise ConfigurationError(
            "GAEMemcachedCache needs the App Engine SDK: pip install 'appengine-python-standard>=2'"
        ) from error
    return memcache
