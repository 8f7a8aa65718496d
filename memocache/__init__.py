"""The caching decorator: `@cached(timeout=300)`, right by default, over any cache."""

from memocache._decorator import cached
from memocache._function import BoundCachedFunction, CachedFunction
from memocache._memo import MISSING
from memocache._registry import configure, default_cache, disabled
from memocache.backends.base import Cache
from memocache.backends.memcached import MemcachedCache
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
from memocache.serializers import JSONSerializer, PickleSerializer, SafeSerializer, Serializer
from memocache.stats import Info

__all__ = [
    "cached",
    "CachedFunction",
    "BoundCachedFunction",
    "MISSING",
    "configure",
    "default_cache",
    "disabled",
    "Cache",
    "SimpleCache",
    "MemcachedCache",
    "Serializer",
    "SafeSerializer",
    "JSONSerializer",
    "PickleSerializer",
    "Info",
    "MemocacheError",
    "ConfigurationError",
    "UnkeyableArgument",
    "SerializationError",
    "BackendError",
    "BackendUnavailable",
    "ValueTooLarge",
    "UncacheFailed",
]
