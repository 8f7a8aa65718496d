"""The functions by which users say which caches are used: configure, default_cache, uncache_tag, auncache_tag."""

from typing import TYPE_CHECKING, Final, cast

from memocache import _current
from memocache._current import CacheRef, as_cache, ref_of
from memocache._effects import blocking
from memocache._hooks import adapters
from memocache._listeners import listeners
from memocache._policy import UNSET, Unset
from memocache._readthrough import forget_tag_on
from memocache._tags import tag_name
from memocache.backends.base import Cache
from memocache.errors import BackendError, ConfigurationError, UncacheFailed, told, with_article

if TYPE_CHECKING:
    from memocache._memoizer import Memoizer
    from memocache.backends.foreign import Foreign

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
    what = f"the class {given.__name__}" if isinstance(given, type) else with_article(type(given))
    raise ConfigurationError(
        f"configure({where}) got {what}; wanted: a cache object such as SimpleCache(threshold=10_000) "
        "or MemcachedCache(['127.0.0.1:11211']), a URL such as 'memcached://127.0.0.1:11211', or "
        "any object with get, set and delete"
    )


def uncache_tag(tag: str, cache: "Cache | Foreign | str | None" = None) -> None:
    """Forget every call that has this tag (see `tags=` of `cached`), of whatever function.

    It is a fence: no call that starts after it has returned, in any process that shares the cache, is given a result
    whose computation began before. It takes one round trip to each server, however many calls there are. In a
    coroutine, use `auncache_tag`.

    >>> @cached(timeout=60, tags=("tenant:{tenant}",))
    ... def users(tenant: int) -> list[int]:
    ...     return [tenant]
    >>> users(7) is users(7)
    True
    >>> uncache_tag("tenant:7")

    Args:
        tag: the tag.
        cache: a cache object, or its name or URL. None: every cache that a function of this process uses whose `tags=`
            may give this tag, and the default one.

    Raises:
        ConfigurationError: if *tag* is no text, or *cache* no cache.
        UncacheFailed: if a cache did not acknowledge it; all others have been asked, too.
    """
    blocking(_forget_tag(tag, *_caches_for("uncache_tag", tag, cache)))


async def auncache_tag(tag: str, cache: "Cache | Foreign | str | None" = None) -> None:
    """Forget every call that has this tag, as `uncache_tag` does, without blocking the event loop."""
    from memocache._tasks import in_task  # asyncio takes longer to import than all of ours

    await in_task(_forget_tag(tag, *_caches_for("auncache_tag", tag, cache)))


def _caches_for(function: str, tag: object, given: object) -> tuple[list[Cache], list[Exception]]:
    """Return the caches on which to forget *tag*, and why some could not be found."""
    if not isinstance(tag, str) or not tag:
        raise ConfigurationError(f"{function}() got {tag!r}; wanted: a tag as text, such as 'tenant:7'")
    if given is not None:
        cache = default_cache(given) if isinstance(given, str) else as_cache(given)
        if cache is None:
            raise ConfigurationError(
                f"{function}() got cache={given!r}; wanted: a cache object, its name or URL, or None for the caches of "
                "all functions with this tag"
            )
        return [cache], []
    caches, failed = [default_cache()], list[Exception]()
    for each in cast("list[Memoizer]", adapters.functions()):
        if each.tags.may_give(tag):
            try:
                caches += each.bindings.in_use()
            except Exception as error:  # noqa: BLE001 - of the user's own function, which may need a request
                failed.append(error)
    return list({id(cache): cache for cache in caches}.values()), failed


async def _forget_tag(tag: str, caches: list[Cache], failed: list[Exception]) -> None:
    """Forget *tag* on *caches*; raise when all were asked, if one of them, or one before, has *failed*."""
    reasons = [f"cache= of a function raised {told(error)}" for error in failed]
    for cache in caches:
        try:
            await forget_tag_on(cache, tag_name(tag))
            if tell := listeners.get("uncached"):
                tell("", tag, cache)
        except (BackendError, ConfigurationError) as error:
            reasons.append(str(error) if len(caches) == 1 else f"{cache!r}: {error}")
            failed.append(error)
    if failed:
        del failed[:-1]
        who = "the cache did not acknowledge" if len(caches) == 1 else "not all caches acknowledged"
        raise UncacheFailed(
            f"{who} that the calls with this tag were forgotten, so that old results may still be served: "
            f"{'; '.join(reasons)}"
        ) from failed.pop()  # whose traceback leads here
