"""cache_from_url(): which class of caches the scheme of a URL stands for. It is imported when it is asked for."""

import importlib
import importlib.util
from typing import Any, Final

from memocache._url import Recipe, Url, duration, similar, whole
from memocache.backends.base import Cache

__all__ = ["SCHEMES", "cache_from_url", "recipe", "tiers"]

REDIS: Final = "memocache.backends.redis:RedisCache"
TIERED: Final = "tiered+"

SCHEMES: Final = {
    "memory": "memocache.backends.simple:SimpleCache",
    "memcached": "memocache.backends.memcached:MemcachedCache",
    "redis": REDIS,
    "rediss": REDIS,
    "redis+cluster": REDIS,
    "rediss+cluster": REDIS,
    "redis+sentinel": REDIS,
    "rediss+sentinel": REDIS,
    "unix": REDIS,
    "sqlite": "memocache.backends.sqlite:SQLiteCache",
    "gae": "memocache.backends.gae:GAEMemcachedCache",
    "null": "memocache.backends.null:NullCache",
    TIERED: "memocache.backends.tiered:TieredCache",  # before the scheme of the far tier
}


def cache_from_url(url: str, **options: Any) -> Cache:
    """Return a new cache as *url* describes it.

    The scheme says which: `memory://`, `memcached://host:port,host:port`, ...; the query has the options that the class
    takes as arguments, durations as seconds or as text such as "5m". In user names, passwords, paths and options, %xx
    stands for a byte. `tiered+` in front of a shared cache's scheme puts a near tier before it, whose options begin
    with `near_`: "tiered+redis://10.0.0.1?prefix=app&near_timeout=5".

    >>> cache_from_url("memory://?threshold=1000&default_timeout=5m")
    SimpleCache(threshold=1000, default_timeout=300)

    Args:
        url: the URL. No part of it that may be a password is shown in an error.
        options: arguments of the class for which a URL has no words, such as `serializer=`; they go before the URL's.

    Raises:
        ConfigurationError: for a scheme or an option that there is not, and for options that cannot work.
    """
    cache: Cache = recipe(Url(url)).make(**options)
    return cache


def recipe(url: Url) -> Recipe:
    """Return what makes the cache of *url*; ConfigurationError if that can be none."""
    scheme = TIERED if url.scheme.startswith(TIERED) else url.scheme
    known = [name for name, target in SCHEMES.items() if _is_there(target)]
    if scheme not in known:
        listed = ", ".join(name if name == TIERED else f"{name}://" for name in known)
        raise url.refused(f"there is no such scheme{similar(scheme, known)}; there are: {listed}")
    module, _, name = SCHEMES[scheme].partition(":")
    kind: type[Cache] = getattr(importlib.import_module(module), name)
    return Recipe(kind, kind.url_arguments(url))


def tiers(url: Url) -> dict[str, Any]:
    """Return the two tiers of *url* as recipes, and the near timeout, by the names that TieredCache has for them."""
    far, near = url.without(TIERED, "near_")
    options = near.options({"near_timeout": duration, "near_threshold": whole})
    threshold = options.pop("near_threshold", None)
    memory = Url("memory://" if threshold is None else f"memory://?threshold={threshold}")
    return {"near": recipe(memory), "far": recipe(far), **options}


def _is_there(target: str) -> bool:
    # The module, that is: what it needs is told when a cache is made.
    return importlib.util.find_spec(target.partition(":")[0]) is not None
