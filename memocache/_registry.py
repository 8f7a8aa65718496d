"""What the process has one of: the default cache, the switch of `disabled`, the shortcuts round both."""

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, TypeVar

from memocache._entry import Aliases
from memocache._fork import in_child
from memocache._tags import tag_group
from memocache.backends.base import Cache
from memocache.backends.simple import SimpleCache
from memocache.errors import BackendError, ConfigurationError, UncacheFailed

__all__ = [
    "configure",
    "default_cache",
    "disabled",
    "is_disabled",
    "present_default",
    "register",
    "uncache_tag",
    "with_default",
]

DEFAULT_THRESHOLD: Final = 10_000

T = TypeVar("T")


_lock = threading.RLock()
_aliases: Final["weakref.WeakSet[Aliases]"] = weakref.WeakSet()
_aliases_of_default: Final["weakref.WeakSet[Aliases]"] = weakref.WeakSet()
# Where `disabled(everywhere=True)` is on, there is something in it: so it is as good as True, and costs no call.
_everywhere: Final[list[None]] = []
_disabled: Final[ContextVar[bool | list[None]]] = ContextVar("memocache_disabled", default=_everywhere)
is_disabled: Final[Callable[[], bool | list[None]]] = _disabled.get
"""True, or as good, if this thread or task is inside `disabled`, or the process is."""
_default: Cache | None = None
_disabled_contexts = 0


def register(aliases: Aliases, *, of_default: bool) -> None:
    """Keep *aliases* (weakly) among the shortcuts that `disabled` drops, and `configure` those *of_default*."""
    with _lock:
        _aliases.add(aliases)
        if of_default:
            _aliases_of_default.add(aliases)
        aliases.switch(on=not _disabled_contexts)


def default_cache() -> Cache:
    """Return the cache of the functions that name none: that of `configure`, else a SimpleCache for 10,000 entries.

    >>> default_cache() is default_cache()
    True
    """
    global _default
    with _lock:
        if _default is None:
            _default = SimpleCache(threshold=DEFAULT_THRESHOLD)
        return _default


def configure(cache: Cache) -> None:
    """Make *cache* the default, also for functions that are decorated already.

    What the former default cache holds stays there, and does not count any more.

    >>> configure(SimpleCache(threshold=50_000))

    Raises:
        ConfigurationError: if *cache* is no cache object.
    """
    global _default
    if not isinstance(cache, Cache):
        raise ConfigurationError(
            f"configure() got {type(cache).__name__}; wanted: a cache object such as SimpleCache(threshold=10_000) "
            "or MemcachedCache(['127.0.0.1:11211'])"
        )
    with _lock:
        _default = cache
        for aliases in list(_aliases_of_default):
            aliases.lead_to(None)


def uncache_tag(tag: str, cache: Cache | None = None) -> None:
    """Forget every call that has this tag (see `tags=` of `cached`), of whatever function; on *cache* or the default.

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
        ConfigurationError: if *tag* is no text, or *cache* no cache object.
        UncacheFailed: if the cache did not acknowledge it.
    """
    if not isinstance(tag, str) or not tag:
        raise ConfigurationError(f"uncache_tag() got {tag!r}; wanted: a tag as text, such as 'tenant:7'")
    if cache is not None and not isinstance(cache, Cache):
        raise ConfigurationError(f"uncache_tag() got cache={cache!r}; wanted: a cache object, or None for the default")
    try:
        (default_cache() if cache is None else cache).forget_group(tag_group(tag))
    except BackendError as error:
        raise UncacheFailed(
            f"the cache did not acknowledge that the calls with the tag {tag!r} were forgotten, "
            f"so that old results may still be served: {error}"
        ) from error


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


def present_default() -> Cache | None:
    """Return the default cache if there is one already, and do not wait for `configure`."""
    return _default


def with_default(use: Callable[[Cache], T]) -> T:
    """Return what *use* makes of the default cache; `configure` waits until it has."""
    with _lock:
        return use(default_cache())


def _reset_in_child() -> None:
    global _lock
    _lock = threading.RLock()
    for aliases in list(_aliases):
        aliases.reset()


in_child(_reset_in_child)
