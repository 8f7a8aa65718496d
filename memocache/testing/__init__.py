"""Tools for tests: the contract that every cache must pass, and assertions about calls of cached functions."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from memocache.errors import ConfigurationError

if TYPE_CHECKING:
    from memocache._function import AsyncCachedFunction, CacheMethods
    from memocache.testing._contract import BackendContract

__all__ = ["BackendContract", "assert_cached", "assert_computed"]


if not TYPE_CHECKING:  # to a checker, no name but these is there

    def __getattr__(name: str) -> object:
        if name != "BackendContract":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from memocache.testing._contract import BackendContract  # it needs freezegun, which not everybody has

        return BackendContract


@contextmanager
def assert_cached(function: "CacheMethods[..., Any] | AsyncCachedFunction[..., Any]") -> Iterator[None]:
    """Assert that inside the block *function* is called, and each call is served from the cache: none computes.

    >>> @cached(timeout=60)
    ... def area(width: int, height: int) -> int:
    ...     return width * height
    >>> area(2, 3)
    6
    >>> with assert_cached(area):
    ...     assert area(width=2, height=3) == 6

    A call that waited for another's computation was served; a refresh in the background is a computation.
    """
    before = _count_calls(function)
    yield
    calls = _count_calls(function).since(before)
    if calls.computed or not calls.served:
        raise AssertionError(f"{_title(function)} was {calls}; wanted: served at least once, and never computed")


@contextmanager
def assert_computed(
    function: "CacheMethods[..., Any] | AsyncCachedFunction[..., Any]", times: int | None = None
) -> Iterator[None]:
    """Assert that inside the block *function* is computed: so many *times*; None for at least once, and never served.

    >>> @cached(timeout=60)
    ... def size(width: int, height: int) -> int:
    ...     return width * height
    >>> with assert_computed(size, times=2):
    ...     size(2, 3), size(2, 3), size(3, 3)
    (6, 6, 9)
    """
    if times is not None and (isinstance(times, bool) or not isinstance(times, int) or times < 0):
        raise ConfigurationError(f"assert_computed(times={times!r}); wanted: a number of computations, 0 for none")
    before = _count_calls(function)
    yield
    calls = _count_calls(function).since(before)
    if times is None and (calls.served or not calls.computed):
        raise AssertionError(f"{_title(function)} was {calls}; wanted: computed at least once, and never served")
    if times is not None and calls.computed != times:
        raise AssertionError(f"{_title(function)} was {calls}; wanted: computed {_times(times)}")


class CallCount(NamedTuple):
    """The number of calls of a function that were computed, and of those that were served from the cache."""

    computed: int
    served: int

    def since(self, before: "CallCount") -> "CallCount":
        return CallCount(self.computed - before.computed, self.served - before.served)

    def __str__(self) -> str:
        from memocache._current import is_disabled

        off = " (with caching switched off, when nothing is counted)" if is_disabled() else ""
        return f"computed {_times(self.computed)} and served from the cache {_times(self.served)}{off}"


def _count_calls(function: "CacheMethods[..., Any] | AsyncCachedFunction[..., Any]") -> CallCount:
    from memocache._function import CacheMethods  # not before: it needs wrapt, and the plugin loads this module

    if not isinstance(function, CacheMethods):
        raise ConfigurationError(
            f"{getattr(function, '__qualname__', function)!r} is not cached; "
            "wanted: a function that @cached has decorated"
        )
    info = function.info()
    return CallCount(info.misses, info.hits + info.stale + info.waits)


def _title(function: Any) -> str:
    return str(function._self_memoizer.title)


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
