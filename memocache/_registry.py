"""What the process has one of: its caches by name, the switch of `disabled`, the shortcuts round that."""

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from memocache import _current as _slots
from memocache._current import Slot, slot_of
from memocache._entry import Aliases
from memocache._fork import in_child
from memocache._policy import UNSET, Unset
from memocache._tags import tag_group
from memocache.backends.base import Cache
from memocache.errors import BackendError, ConfigurationError, UncacheFailed

if TYPE_CHECKING:
    from memocache.backends._object import Foreign

__all__ = [
    "as_cache",
    "configure",
    "default_cache",
    "disabled",
    "is_disabled",
    "register",
    "uncache_tag",
]

RESERVED: Final = ("cache", "default")  # for what stands in the first place, and so is no good name

_lock = threading.RLock()
_aliases: Final["weakref.WeakSet[Aliases]"] = weakref.WeakSet()
# Where `disabled(everywhere=True)` is on, there is something in it: so it is as good as True, and costs no call.
_everywhere: Final[list[None]] = []
_disabled: Final[ContextVar[bool | list[None]]] = ContextVar("memocache_disabled", default=_everywhere)
is_disabled: Final[Callable[[], bool | list[None]]] = _disabled.get
"""True, or as good, if this thread or task is inside `disabled`, or the process is."""
_disabled_contexts = 0


def register(aliases: Aliases) -> None:
    """Keep *aliases* (weakly) among the shortcuts that `disabled` drops."""
    with _lock:
        _aliases.add(aliases)
        aliases.switch(on=not _disabled_contexts)


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
    return slot_of(name).get()


def configure(default: "Cache | Foreign | str | Unset" = UNSET, /, **named: "Cache | Foreign | str | None") -> None:
    """Make a cache the default, and others known by name; also for functions that are decorated already.

    A cache is given as an object, ours or any with `get`, `set` and `delete`, or as a URL (see `cache_from_url`). What
    the former cache holds stays there, and does not count any more.

    >>> configure(SimpleCache(threshold=50_000))
    >>> @cached(timeout=60, cache="sessions")
    ... def session(number: int) -> dict[str, int]:
    ...     return {"number": number}
    >>> configure(sessions="memory://?threshold=1000", reports=SimpleCache())
    >>> session.cache
    SimpleCache(threshold=1000, default_timeout=300)

    Args:
        default: the cache of all functions that name none.
        named: by name, the caches of those that say `cache="name"`; None takes a name away.

    Raises:
        ConfigurationError: for anything else; then nothing is changed.
    """
    if isinstance(default, Unset) and not named:
        raise ConfigurationError("configure() got nothing; wanted: the default cache, or caches by name")
    for name in RESERVED:
        if name in named:
            raise ConfigurationError(f"configure() takes the default cache without a name; drop the {name}= before it")
    caches: dict[Slot, Cache | None] = {_slots.default: _checked(default)} if not isinstance(default, Unset) else {}
    for name, given in named.items():
        caches[slot_of(name)] = None if given is None else _checked(given, f"{name}=")
    for slot, cache in caches.items():
        slot.put(cache)


def _checked(given: object, where: str = "") -> Cache:
    """Return the cache that is *given* to configure, or made from the URL."""
    if isinstance(given, str):
        cache = slot_of(given).get() if "://" in given else None
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
        used.forget_group(tag_group(tag))
    except BackendError as error:
        raise UncacheFailed(
            f"the cache did not acknowledge that the calls with the tag {tag!r} were forgotten, "
            f"so that old results may still be served: {error}"
        ) from error


def as_cache(given: object) -> Cache | None:
    """Return the cache that *given* is or can be used as; None if it is none."""
    if isinstance(given, Cache):
        return given
    from memocache.backends.foreign import wrapping  # not before it is needed: its serializer takes time to import

    return wrapping(given)


@contextmanager
def disabled(*, everywhere: bool = False) -> Iterator[None]:
    """Call through while inside: decorated functions compute, and neither read nor store anything.

    It holds for the present thread or task. Forgetting still forgets: a fence that was asked for must hold afterwards.

    >>> with disabled():
    ...     pass  # every call computes

    Args:
        everywhere: True for all threads and tasks of the process.
    """
    global _disabled_contexts
    token = _disabled.set(True)
    if everywhere:
        _everywhere.append(None)
    with _lock:
        _disabled_contexts += 1
        # A shortcut does not look at the switch, so there must be none while it is on anywhere.
        for aliases in list(_aliases):
            aliases.switch(on=False)
    try:
        yield
    finally:
        if everywhere:
            _everywhere.pop()
        with _lock:
            _disabled_contexts -= 1
            if not _disabled_contexts:
                for aliases in list(_aliases):
                    aliases.switch(on=True)
        _disabled.reset(token)


def _reset_in_child() -> None:
    global _lock
    _lock = threading.RLock()
    for aliases in list(_aliases):
        aliases.reset()


in_child(_reset_in_child)
