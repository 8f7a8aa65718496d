"""ForeignCache: the cache that is there already, whatever has get, set and delete."""

import threading
import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeVar

from memocache import _envelope
from memocache._clock import now as clock
from memocache._entry import Entry
from memocache._envelope import VALUE, Envelope
from memocache._fork import in_child
from memocache._policy import FOREVER
from memocache.backends._generations import OWN, GenerationCache
from memocache.backends._node import block_of, new_stamp
from memocache.backends._object import Foreign, ForeignObject, is_foreign
from memocache.backends._packed import is_present
from memocache.backends._verbs import Verb, awaited, from_thread, taken, verb
from memocache.backends.base import countable
from memocache.errors import ConfigurationError
from memocache.serializers import Serializer
from memocache.serializers._codec import COMPRESS_ABOVE, ValueCodec
from memocache.serializers._compression import Method
from memocache.serializers._signing import Secret

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["ForeignCache", "is_foreign", "wrapping"]

R = TypeVar("R")

_home: Final["ContextVar[AbstractEventLoop | None]"] = ContextVar("memocache_home", default=None)
"""The event loop in which this thread may have something awaited."""


class ForeignCache(GenerationCache):
    """A cache in an object of another library, with all that this one promises.

    The object has `get`, `set` and `delete`: one of cachelib, Flask-Caching's or Django's, a pymemcache client, a
    `diskcache.Cache`, one of aiocache; or it is a mapping, such as a dict or a `cachetools.TTLCache`. Whatever else it
    has of `get_many`, `add` and `clear` is made use of. `cached(cache=...)`, `configure` and `uncache_tag` take such an
    object as it is, and make a ForeignCache of it.

    It holds bytes, also where it is in this process: a mapping may be a shelf on a disk. Beside each key it has a stamp
    of 19 bytes, that stays until the object evicts it; so give the object a limit. It has to be as safe in threads as
    your program needs it; a mapping gets a lock. Where its methods are coroutine functions, it serves coroutine
    functions only; its own methods are then called as in `await cache.awaited(cache.get, ("key",))`.

    That a forgetting holds does not depend on the object being atomic. That a key is computed once does, for other
    processes, depend on `add`; and `inc`, `dec` and `add` of this class are atomic within the process only.

    >>> cache = ForeignCache({}, default_timeout=60)
    >>> cache.set("answer", 42)
    True
    >>> cache.get("answer")
    42

    Args:
        given: the object. Errors that it raises count as a cache that is down.
        default_timeout: seconds for which a value is kept that was given no timeout of its own; 0 for ever.
        key_prefix: stands before all keys; printable ASCII, at most 100 characters.
        serializer: makes bytes of values; None for a SafeSerializer.
        compress, compress_above, secret: as of MemcachedCache.

    Raises:
        ConfigurationError: for an object that lacks one of the three, and for options that cannot work.
    """

    def __init__(
        self,
        given: Foreign,
        default_timeout: float | str | None = 300,
        key_prefix: str = "",
        *,
        serializer: Serializer | None = None,
        compress: Method | None = None,
        compress_above: int = COMPRESS_ABOVE,
        secret: Secret | None = None,
    ) -> None:
        self.wrapped = given
        """The object."""
        self._counting = threading.RLock()
        self._loop: AbstractEventLoop | None = None
        codec = ValueCodec(serializer, compress, compress_above, secret)
        super().__init__(ForeignObject(given), default_timeout, key_prefix, codec)
        self.awaited_only = self._object.is_async

    def __repr__(self) -> str:
        return (
            f"ForeignCache({self._object.name}, default_timeout={self.default_timeout:g}, key_prefix={self._prefix!r})"
        )

    def after_fork(self) -> None:
        """Join no flight of the parent's, and wait for none of its locks."""
        super().after_fork()
        self._counting = threading.RLock()
        self._loop = None

    # ---- threads and tasks ---------------------------------------------------------------------------------------

    def _take_verb(self, verb: Verb[R]) -> R:
        if not self.awaited_only:
            return taken(verb, self._object.failed)
        from asyncio import _get_running_loop

        loop = _home.get() or self._loop
        if loop is None or _get_running_loop() is not None:
            verb.close()
            raise ConfigurationError(
                f"the methods of {self._object.name} are coroutine functions, and nothing here can await them; "
                'call this as in: await cache.awaited(cache.get, ("key",))'
            )
        return from_thread(verb, self._object.failed, loop)

    async def awaited(
        self,
        call: Callable[..., Any],
        arguments: tuple[Any, ...],
        unwanted: Callable[[Any], object] | None = None,
        /,
    ) -> Any:
        """Return what *call* returns: from the object's own coroutine functions, or else from a thread of the pool."""
        if not self.awaited_only:
            return await super().awaited(call, arguments, unwanted)
        import asyncio

        from memocache._pool import in_own_task

        loop = self._loop = asyncio.get_running_loop()
        _home.set(loop)
        steps = getattr(call, "__wrapped__", None)
        if steps is None:
            return await super().awaited(call, arguments, unwanted)
        return await in_own_task(awaited(steps(self, *arguments), self._object.failed), unwanted)

    # ---- what a user calls ---------------------------------------------------------------------------------------

    def _found(self, *keys: str) -> Verb[dict[str, Envelope]]:
        """Return the envelopes of values that count now, be they the user's own or a function's."""
        now, present = clock(), dict[str, tuple[Envelope, list[str]]]()
        found = yield from self._named([name for key in keys for name in (self._wire(key), self._own_stamp(key))])
        for key in keys:
            envelope = self._unpack(key, found[self._wire(key)])
            if envelope is not None and envelope.kind == VALUE and is_present(envelope, now):
                groups = _envelope.stamp_names(envelope.stamps)[1:]
                present[key] = envelope, [self._own_stamp(key), *map(self._wire, groups)]
        further = [name for _, names in present.values() for name in names if name not in found]
        if further:
            found.update((yield from self._named(further)))
        return {
            key: envelope
            for key, (envelope, names) in present.items()
            if block_of(_heads(envelope), [found[name] for name in names]) == envelope.stamps
        }

    def get(self, key: str) -> object:
        """Return the value under *key*, or None if there is none or it has expired."""
        return self.get_dict(key)[key]

    @verb
    def get_dict(self, *keys: str) -> Verb[dict[str, object]]:
        """Return the values by key, None where there is none; in one round trip if the object can do that."""
        found = yield from self._found(*keys)
        return {key: self._opened(key, found[key]).value if key in found else None for key in keys}

    @verb
    def has(self, key: str) -> Verb[bool]:
        """Return whether *key* has a value, be it None."""
        return key in (yield from self._found(key))

    @verb
    def set(self, key: str, value: object, timeout: float | None = None) -> Verb[bool]:
        """Store *value* under *key* for *timeout* seconds; True if it is stored."""
        lifetime = self.lifetime(timeout)
        if lifetime <= 0:
            yield from self._forgotten(key)
            return False
        now = clock()
        yield from self._put(Entry(key, value, now + lifetime), now)
        return True

    def _put(self, entry: Entry, now: float) -> Verb[None]:
        """Set *entry* under another stamp, so that what is being computed now will not count."""
        stamp = new_stamp()
        block = block_of([_envelope.stamp_head(OWN)], [stamp])
        assert block is not None
        packed = self._pack(entry.key, entry, now, block)
        yield from self._object.set(self._own_stamp(entry.key), stamp, FOREVER)
        yield from self._object.set(self._wire(entry.key), packed, entry.expires - now)

    def add(self, key: str, value: object, timeout: float | None = None) -> bool:
        """Store *value* unless *key* has a value already; True if it is stored. Atomic within this process."""
        with self._counting:
            return not self.has(key) and self.set(key, value, timeout)

    @verb
    def delete(self, key: str) -> Verb[bool]:
        """Delete what is under *key*; True if there was something."""
        return (yield from self._forgotten(key))

    @verb
    def clear(self) -> Verb[bool]:
        """Delete everything in the object, whoever put it there; True if that was done."""
        return (yield from self._object.clear())

    def inc(self, key: str, delta: int = 1) -> int:
        """Add *delta* to the number under *key*, 0 if there is none, and return the sum; atomic within this process."""
        with self._counting:
            return self._counted(key, delta)

    @verb
    def _counted(self, key: str, delta: int) -> Verb[int]:
        now, envelope = clock(), (yield from self._found(key)).get(key)
        total, fresh = delta, now + self.default_lifetime
        if envelope is not None:
            old = self._opened(key, envelope)
            total, fresh = total + countable(key, old.value), old.fresh
        yield from self._put(Entry(key, total, fresh), now)
        return total


def _heads(envelope: Envelope) -> list[bytes]:
    """Return what comes before each stamp in the block of *envelope*."""
    return [_envelope.stamp_head(name) for name in (OWN, *_envelope.stamp_names(envelope.stamps)[1:])]


_made: Final["weakref.WeakValueDictionary[int, ForeignCache]"] = weakref.WeakValueDictionary()
_making = threading.RLock()


def wrapping(given: object) -> ForeignCache | None:
    """Return the one ForeignCache for the object *given*; None if it cannot be wrapped.

    The same object has the same one as long as anybody uses it, so that its functions share their flights.
    """
    if isinstance(given, type) or not is_foreign(given):
        return None
    with _making:
        cache = _made.get(id(given))
        if cache is None or cache.wrapped is not given:
            cache = _made[id(given)] = ForeignCache(given)  # type: ignore[arg-type]
        return cache


def _reset_in_child() -> None:
    global _making
    _making = threading.RLock()


in_child(_reset_in_child)
