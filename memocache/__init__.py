"""The caching decorator: `@cached(timeout=300)`, right by default, over any cache."""

import importlib
from typing import TYPE_CHECKING, Final

from memocache._config import auncache_tag, configure, default_cache, uncache_tag
from memocache._counters import Info
from memocache._current import disabled
from memocache._decorator import cached
from memocache._missing import MISSING
from memocache.backends.base import Cache
from memocache.backends.simple import SimpleCache
from memocache.errors import (
    BackendError,
    BackendUnavailable,
    ConfigurationError,
    MemocacheError,
    SerializationError,
    UncacheFailed,
    UnkeyableArgument,
    ValueTooLarge,
)

if TYPE_CHECKING:
    from memocache import errors as errors
    from memocache import keys as keys
    from memocache import serializers as serializers
    from memocache import stats as stats
    from memocache._code import code
    from memocache._entry_info import EntryInfo
    from memocache._events import Event, subscribe, watched
    from memocache._function import (
        AsyncBoundCachedFunction,
        AsyncCachedFunction,
        BoundCachedFunction,
        CachedFunction,
        cached_functions,
    )
    from memocache._uncaches import uncaches
    from memocache.backends.foreign import ForeignCache
    from memocache.backends.gae import GAEMemcachedCache
    from memocache.backends.memcached import MemcachedCache
    from memocache.backends.null import NullCache
    from memocache.backends.redis import RedisCache
    from memocache.backends.sqlite import SQLiteCache
    from memocache.backends.tiered import TieredCache
    from memocache.backends.urls import cache_from_url
    from memocache.serializers import JSONSerializer, PickleSerializer, SafeSerializer, Serializer

__all__ = [
    "cached",
    "CachedFunction",
    "BoundCachedFunction",
    "AsyncCachedFunction",
    "AsyncBoundCachedFunction",
    "MISSING",
    "cache_from_url",
    "configure",
    "default_cache",
    "disabled",
    "code",
    "auncache_tag",
    "uncache_tag",
    "uncaches",
    "cached_functions",
    "subscribe",
    "watched",
    "Event",
    "Cache",
    "SimpleCache",
    "MemcachedCache",
    "GAEMemcachedCache",
    "TieredCache",
    "RedisCache",
    "ForeignCache",
    "NullCache",
    "SQLiteCache",
    "Serializer",
    "SafeSerializer",
    "JSONSerializer",
    "PickleSerializer",
    "Info",
    "EntryInfo",
    "MemocacheError",
    "ConfigurationError",
    "UnkeyableArgument",
    "SerializationError",
    "BackendError",
    "BackendUnavailable",
    "ValueTooLarge",
    "UncacheFailed",
]

__version__ = "0.1.0"  # pyproject.toml reads it here: looking into the metadata would double the time of an import

# Imported when they are first asked for, with what they need: wrapt; for caches elsewhere pymemcache, sqlite3, msgspec.
_LATER: Final = {
    "CachedFunction": "memocache._function",
    "BoundCachedFunction": "memocache._function",
    "AsyncCachedFunction": "memocache._function",
    "AsyncBoundCachedFunction": "memocache._function",
    "cached_functions": "memocache._function",
    "code": "memocache._code",
    "uncaches": "memocache._uncaches",
    "Event": "memocache._events",
    "subscribe": "memocache._events",
    "watched": "memocache._events",
    "EntryInfo": "memocache._entry_info",
    "cache_from_url": "memocache.backends.urls",
    "MemcachedCache": "memocache.backends.memcached",
    "GAEMemcachedCache": "memocache.backends.gae",
    "TieredCache": "memocache.backends.tiered",
    "RedisCache": "memocache.backends.redis",
    "ForeignCache": "memocache.backends.foreign",
    "NullCache": "memocache.backends.null",
    "SQLiteCache": "memocache.backends.sqlite",
    "Serializer": "memocache.serializers",
    "SafeSerializer": "memocache.serializers",
    "JSONSerializer": "memocache.serializers",
    "PickleSerializer": "memocache.serializers",
}
_MODULES_LATER: Final = ("serializers", "stats")

if not TYPE_CHECKING:  # to a checker, no name but these is there

    def __getattr__(name: str) -> object:
        if name in _MODULES_LATER:
            return importlib.import_module(f"{__name__}.{name}")
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(importlib.import_module(_LATER[name]), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_MODULES_LATER}.difference(("Final", "TYPE_CHECKING", "importlib")))
