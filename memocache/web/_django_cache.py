"""MemocacheBackend: one of our caches, as Django's cache framework has them in CACHES."""

import threading
from collections.abc import Iterable, Mapping
from typing import Any, Final

from asgiref.sync import sync_to_async
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache

from memocache._fork import in_child
from memocache.backends.base import Cache
from memocache.backends.urls import cache_from_url
from memocache.errors import ConfigurationError

__all__ = ["MemocacheBackend"]

MAX_ENTRIES: Final = "MAX_ENTRIES"
CULL_FREQUENCY: Final = "CULL_FREQUENCY"

# `get` of a cache says by None that there is nothing; so None is stored as a text, and one that begins like it as such.
MARK: Final = "memocache:"
NONE: Final = f"{MARK}None"
TEXT: Final = f"{MARK}="


class MemocacheBackend(BaseCache):  # type: ignore[misc]  # Django ships no types
    """A cache of memocache for Django's cache framework: for `django.core.cache`, its sessions and its decorators.

    LOCATION is a URL, as `cache_from_url` takes it. TIMEOUT, KEY_PREFIX, VERSION and KEY_FUNCTION are as for Django's
    own backends; OPTIONS are further arguments of the cache, such as `serializer`. All threads of the process share
    the cache of one LOCATION and OPTIONS. What cannot be done raises what the cache raises.

    Bytes from a cache are never executed: values are plain data, as SafeSerializer takes them, unless OPTIONS has a
    PickleSerializer. Django's `cache_page`, which stores whole responses, needs that.

    `touch` reads the value and sets it again: a value that is set between the two is lost.

    >>> CACHES = {
    ...     "default": {
    ...         "BACKEND": "memocache.web.django.MemocacheBackend",
    ...         "LOCATION": "memcached://10.0.0.1:11211,10.0.0.2:11211",
    ...         "TIMEOUT": 60,
    ...         "KEY_PREFIX": "shop",
    ...     }
    ... }

    Raises:
        ConfigurationError: for a LOCATION or OPTIONS that cannot work.
    """

    def __init__(self, location: object, params: dict[str, Any]) -> None:
        super().__init__(params)
        if not isinstance(location, str) or "://" not in location:
            raise ConfigurationError(
                f"CACHES has a MemocacheBackend whose LOCATION is a {type(location).__name__} and no URL; "
                "wanted: one such as 'memcached://127.0.0.1:11211' or 'memory://', see cache_from_url"
            )
        self.cache = _cache_of(location, _arguments(location, params.get("OPTIONS") or {}))
        """The cache below."""

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        """Store *value* unless *key* has one; return whether it had none."""
        wire, seconds = self.make_and_validate_key(key, version), self._seconds(timeout)
        return not self.cache.has(wire) if seconds < 0 else self.cache.add(wire, _packed(value), seconds)

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        """Return the value under *key*, or *default* if there is none."""
        found = self.cache.get(self.make_and_validate_key(key, version))
        return default if found is None else _unpacked(found)

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> None:
        """Store *value* for *timeout* seconds; None for ever, 0 not at all."""
        self.cache.set(self.make_and_validate_key(key, version), _packed(value), self._seconds(timeout))

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        """Have the value under *key* expire in *timeout* seconds from now; return whether there is one."""
        wire, seconds = self.make_and_validate_key(key, version), self._seconds(timeout)
        if seconds < 0:
            return self.cache.delete(wire)
        found = self.cache.get(wire)
        return found is not None and self.cache.set(wire, found, seconds)

    def delete(self, key: Any, version: Any = None) -> bool:
        """Delete what is under *key*; return whether there was something."""
        return self.cache.delete(self.make_and_validate_key(key, version))

    def has_key(self, key: Any, version: Any = None) -> bool:
        """Return whether *key* has a value, be it None."""
        return self.cache.has(self.make_and_validate_key(key, version))

    def incr(self, key: Any, delta: int = 1, version: Any = None) -> int:
        """Add *delta* to the number under *key* atomically, and return the sum; ValueError if there is none."""
        wire = self.make_and_validate_key(key, version)
        if not self.cache.has(wire):
            raise ValueError(f"Key {key!r} not found")
        return self.cache.inc(wire, delta)

    def get_many(self, keys: Iterable[Any], version: Any = None) -> dict[Any, Any]:
        """Return the values by key, of the keys that have one; in one round trip."""
        wires = {key: self.make_and_validate_key(key, version) for key in keys}
        found = self.cache.get_dict(*wires.values())
        return {key: _unpacked(found[wire]) for key, wire in wires.items() if found[wire] is not None}

    def set_many(self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> list[Any]:
        """Store all of *data*; return the keys that could not be stored."""
        wires = {self.make_and_validate_key(key, version): key for key in data}
        seconds = self._seconds(timeout)
        stored = set(self.cache.set_many({wire: _packed(data[key]) for wire, key in wires.items()}, seconds))
        return [] if seconds < 0 else [key for wire, key in wires.items() if wire not in stored]

    def delete_many(self, keys: Iterable[Any], version: Any = None) -> None:
        """Delete what is under *keys*."""
        self.cache.delete_many(*[self.make_and_validate_key(key, version) for key in keys])

    def clear(self) -> None:
        """Delete everything in the cache, whoever put it there."""
        self.cache.clear()

    def _seconds(self, timeout: Any) -> float:
        """Return *timeout* as our caches take it: 0 is for ever, below 0 not at all."""
        if timeout is DEFAULT_TIMEOUT:
            timeout = self.default_timeout
        if timeout is None:
            return 0
        return timeout if timeout > 0 else -1

    # Django's own would take them key by key, or count up in two steps.

    async def aincr(self, key: Any, delta: int = 1, version: Any = None) -> int:
        """Do what `incr` does."""
        return await sync_to_async(self.incr)(key, delta, version)

    async def ahas_key(self, key: Any, version: Any = None) -> bool:
        """Do what `has_key` does."""
        return await sync_to_async(self.has_key)(key, version)

    async def aget_many(self, keys: Iterable[Any], version: Any = None) -> dict[Any, Any]:
        """Do what `get_many` does."""
        return await sync_to_async(self.get_many)(keys, version)

    async def aset_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: Any = None
    ) -> list[Any]:
        """Do what `set_many` does."""
        return await sync_to_async(self.set_many)(data, timeout, version)

    async def adelete_many(self, keys: Iterable[Any], version: Any = None) -> None:
        """Do what `delete_many` does."""
        await sync_to_async(self.delete_many)(keys, version)


def _packed(value: Any) -> Any:
    if value is None:
        return NONE
    return TEXT + value if isinstance(value, str) and value.startswith(MARK) else value


def _unpacked(found: Any) -> Any:
    if not isinstance(found, str) or not found.startswith(MARK):
        return found
    return None if found == NONE else found.removeprefix(TEXT)


def _arguments(location: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a cache that OPTIONS say; those that are of Django's own where they mean something."""
    arguments = {name: value for name, value in options.items() if name not in (MAX_ENTRIES, CULL_FREQUENCY)}
    if MAX_ENTRIES in options and location.startswith("memory:"):
        arguments.setdefault("threshold", options[MAX_ENTRIES])
    return arguments


# Django makes a backend for each thread and task.
_caches: Final[list[tuple[str, dict[str, Any], Cache]]] = []
_lock = threading.RLock()


def _cache_of(location: str, arguments: dict[str, Any]) -> Cache:
    """Return the one cache of this process for a *location* and *arguments*."""
    with _lock:
        for known, with_arguments, cache in _caches:
            if known == location and with_arguments == arguments:
                return cache
        cache = cache_from_url(location, **arguments)
        _caches.append((location, arguments, cache))
        return cache


def _reset_in_child() -> None:
    global _lock
    _lock = threading.RLock()


in_child(_reset_in_child)
