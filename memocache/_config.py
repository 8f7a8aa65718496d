"""The functions by which users say which caches are used: configure, default_cache, uncache_tag."""

from typing import TYPE_CHECKING, Final

from memocache import _current
from memocache._current import CacheRef, as_cache, ref_of
from memocache._policy import UNSET, Unset
from memocache._tags import tag_name
from memocache.backends.base import Cache, CacheCall
from memocache.errors import BackendError, ConfigurationError, UncacheFailed

if TYPE_CHECKING:
    from memocache.backends.foreign import Foreign

__all__ = ["configure", "default_cache", "uncache_tag"]

RESERVED: Final = ("cache", "default")  # for what stands in the first place, and so is no good name


def default_cache(name: str | None = None) -> Cache:
    """Return the cache of the functions that name none; or of those that name *name*.

    That is what `configure` was given; else what the environment variable MEMOCACHE_URL describes; else a SimpleCache
    for 10,000 entries.

    >>> default_cache() is default_cache()
    True

    Args:
        name: a name or a URL, as `cache=` of `cached` takes it; None for the default.

    Raises:
        ConfigurationError: if no cache is configured under *name*, or MEMOCACHE_URL cannot work.
    """
    return ref_of(name).get()


def configure(default: "Cache | Foreign | str | Unset" = UNSET, /, **named: "Cache | Foreign | str | None") -> None:
    """Make a cache the default, and others known by name; also for functions that are decorated already.

    A cache is given as an object, ours or any with `get`, `set` and `delete`, or as a URL (see `cache_from_url`). What
    the former cache holds stays there, and is not used any more.

    >>> configure(SimpleCache(threshold=50_000))
    >>> @cached(timeout=60, cache="sessions")
    ... def session(number: int) -> dict[str, int]:
    ...     return {"number": number}
    >>> configure(sessions="memory://?threshold=1000", reports=SimpleCache())
    >>> session.cache
    SimpleCache(threshold=1000, default_timeout=300)

    Args:
        default: the cache of all functions that name none.
        named: by name, the caches of those that pass `cache="name"`; None takes a name away.

    Raises:
        ConfigurationError: for anything else; then nothing is changed.
    """
    if isinstance(default, Unset) and not named:
        raise ConfigurationError("configure() got nothing; wanted: the default cache, or caches by name")
    for name in RESERVED:
        if name in named:
            raise ConfigurationError(f"configure() takes the default cache without a name; drop the {name}= before it")
    caches: dict[CacheRef, Cache | None] = (
        {_current.default: _checked(default)} if not isinstance(default, Unset) else {}
    )
    for name, given in named.items():
        caches[ref_of(name)] = None if given is None else _checked(given, f"{name}=")
    for ref, cache in caches.items():
        ref.put(cache)


def _checked(given: object, where: str = "") -> Cache:
    """Return the cache that is *given* to configure, or made from the URL."""
    if isinstance(given, str):
        cache = ref_of(given).get() if "://" in given else None
    else:
        cache = as_cache(given)
    if cache is not None:
        return cache
    raise ConfigurationError(
        f"configure({where}) got {type(given).__name__}; wanted: a cache object such as SimpleCache(threshold=10_000) "
        "or MemcachedCache(['127.0.0.1:11211']), a URL such as 'memcached://127.0.0.1:11211', or "
        "any object with get, set and delete"
    )


def uncache_tag(tag: str, cache: "Cache | Foreign | str | None" = None) -> None:
    """Forget every call that has this tag (see `tags=` of `cached`), of whatever function; on *cache* or the default.

    *cache* is a cache object, or its name or URL.

    It is a fence: no call that starts after it has returned, in any process that shares the cache, is given a result
    whose computation began before. It takes one round trip to each server, however many calls there are; from a
    coroutine, call it in a thread (`asyncio.to_thread`) where the cache is on a server.

    >>> @cached(timeout=60, tags=("tenant:{tenant}",))
    ... def users(tenant: int) -> list[int]:
    ...     return [tenant]
    >>> users(7) is users(7)
    True
    >>> uncache_tag("tenant:7")

    Raises:
        ConfigurationError: if *tag* is no text, or *cache* no cache.
        UncacheFailed: if the cache did not acknowledge it.
    """
    if not isinstance(tag, str) or not tag:
        raise ConfigurationError(f"uncache_tag() got {tag!r}; wanted: a tag as text, such as 'tenant:7'")
    used = default_cache(cache) if cache is None or isinstance(cache, str) else as_cache(cache)
    if used is None:
        raise ConfigurationError(
            f"uncache_tag() got cache={cache!r}; wanted: a cache object, its name or URL, or None for the default"
        )
    try:
        CacheCall(used, used.forget_tag, (tag_name(tag),)).run()
    except BackendError as error:
        raise UncacheFailed(
            f"the cache did not acknowledge that the calls with this tag were forgotten, "
            f"so that old results may still be served: {error}"
        ) from error
    finally:
        if used.stand_in is not None:
            used.stand_in.forget_tag(tag_name(tag))
