"""CacheRefs: where functions find the cache that they use by name: the default, others by name or by URL."""

import os
import threading
from collections.abc import Callable, Generator
from contextlib import _GeneratorContextManager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from memocache._entry import FastIndex
from memocache._fork import in_child
from memocache._listeners import switches
from memocache._living import Living
from memocache._signature import generator_kind, is_awaited
from memocache.backends.base import Cache
from memocache.backends.simple import SimpleCache
from memocache.errors import ConfigurationError, title_of

if TYPE_CHECKING:
    from memocache.backends.foreign import Foreign

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

CacheSource: TypeAlias = "Cache | CacheRef | Callable[[], Cache | Foreign]"
"""Where a function's cache comes from."""

DEFAULT_THRESHOLD: Final = 10_000
VARIABLE: Final = "MEMOCACHE_URL"

_lock = threading.RLock()


class CacheRef:
    """A place for a cache. Functions may be decorated with it before there is one, and follow when there is another."""

    __slots__ = ("_choose", "_followers", "_make", "cache", "has_near", "is_fixed", "one_machine", "shared")

    def __init__(
        self,
        make: Callable[[], Cache],
        *,
        is_fixed: bool = False,
        shared: bool = False,
        one_machine: bool = True,
        has_near: bool = True,
    ) -> None:
        self._make = make
        self._followers: Living[FastIndex] = Living()
        self.cache: Cache | None = None
        """The cache in it, if there is one already."""
        self._choose: Callable[[], Cache | None] | None = None
        self.is_fixed = is_fixed  # whether the cache in it stays the same
        self.shared = shared  # whether every cache that may be in it is shared
        self.one_machine = one_machine  # whether one may be for one machine only
        self.has_near = has_near  # whether one may hold entries in this process

    def get(self) -> Cache:
        """Return the cache in it, made if need be; where one of several is chosen, that."""
        with _lock:
            chosen = self._choose() if self._choose is not None else None
            if chosen is not None:
                return chosen
            if self.cache is None:
                self.cache = self._make()
            return self.cache

    def find(self) -> list[Cache]:
        """Return the cache in it, made if need be; none where nothing is configured under its name."""
        return [] if self.cache is None and not (self is default or self.is_fixed) else [self.get()]

    def use(self, make: Callable[[Cache], T]) -> T:
        """Return what *make* makes of the cache in it; `put` waits until it has."""
        with _lock:
            return make(self.get())

    def put(self, cache: Cache | None) -> None:
        """Put another *cache* in; None for none."""
        with _lock:
            self.cache = cache
            for index in self._followers:
                index.lead_to(None)

    def follow(self, fast_index: FastIndex) -> None:
        """Empty *fast_index* (kept weakly) whenever another cache is put in."""
        with _lock:
            self._followers.add(fast_index)
            if self._choose is not None:
                fast_index.close()

    @property
    def is_chosen(self) -> bool:
        """True if each call asks anew which of several caches it is."""
        return self._choose is not None

    def choose(self, choose: Callable[[], Cache | None]) -> None:
        """Use what *choose* returns, where it returns a cache; and use no fast index any more, which would not ask."""
        with _lock:
            self._choose = choose
            for index in self._followers:
                index.close()


def ref_of(given: str | None) -> CacheRef:
    """Return the ref of the cache that goes by what is *given*: a URL, a name, or None for the default.

    Raises:
        ConfigurationError: it is neither, or the URL is that of no cache.
    """
    if given is None:
        return default
    if "://" in given:
        return _ref_at(given)
    if not given.isidentifier():  # which may be a URL with a mistake and a password, and so is not shown
        raise ConfigurationError(
            "cache= got a text that is neither a URL, such as 'redis://127.0.0.1:6379' or 'sqlite:///tmp/shop.db', nor "
            "a name to give to configure(), of letters, digits and _"
        )
    with _lock:
        if given not in _named:
            _named[given] = CacheRef(lambda: _unknown(given))
        return _named[given]


def configured() -> list[str]:
    """Return the names under which there is a cache."""
    with _lock:
        return sorted(name for name, ref in _named.items() if ref.cache is not None)


def _ref_at(url: str) -> CacheRef:
    from memocache.backends.urls import Url, recipe_for

    with _lock:
        if url not in _at_url:
            made_by = recipe_for(Url(url))
            kind = made_by.kind
            _at_url[url] = CacheRef(
                made_by.make,
                is_fixed=True,
                shared=kind.shared,
                one_machine=kind.one_machine or kind.has_near,  # of tiers, the far one says it
                has_near=kind.has_near,
            )
        return _at_url[url]


def _unknown(name: str) -> Cache:
    there = ", ".join(configured()) or "none"
    raise ConfigurationError(
        f"no cache is configured as {name!r}; call configure({name}=...) before what uses it; there are: {there}"
    )


def _first_default() -> Cache:
    url = os.environ.get(VARIABLE)
    if not url:
        return SimpleCache(threshold=DEFAULT_THRESHOLD)
    try:
        return _ref_at(url).get()
    except ConfigurationError as error:
        raise ConfigurationError(f"{VARIABLE} in the environment: {error}") from None


default: Final = CacheRef(_first_default)
_named: Final[dict[str, CacheRef]] = {}
_at_url: Final[dict[str, CacheRef]] = {}


# ---- disabled -----------------------------------------------------------------------------------------------------

_indexes: Final[Living[FastIndex]] = Living()
# Where `disabled(everywhere=True)` is on, there is something in it: so it is as good as True, and costs no call.
_everywhere: Final[list[None]] = []
_disabled: Final[ContextVar[bool | list[None]]] = ContextVar("memocache_disabled", default=_everywhere)
is_disabled: Final[Callable[[], bool | list[None]]] = _disabled.get
"""True, or as good, if this thread or task is inside `disabled`, or the process is."""
_closings = 0  # those who need the fast indexes to be empty: `disabled`, and who listens to hits


def register(fast_index: FastIndex) -> None:
    """Keep *fast_index* (weakly) among those that `disabled` switches off."""
    with _lock:
        _indexes.add(fast_index)
        fast_index.switch(on=not _closings)


def _close_fast_indexes(close: bool) -> None:
    """Let no fast index lead to anything from now on, so that each call takes the miss path; or let them again."""
    global _closings
    with _lock:
        _closings += 1 if close else -1
        for index in _indexes:
            index.switch(on=not _closings)


switches["hit"].append(_close_fast_indexes)


def as_cache(given: object) -> Cache | None:
    """Return the cache that *given* is or can be used as; None if it is none."""
    if isinstance(given, Cache):
        return given
    from memocache.backends.foreign import wrapping  # not before it is needed: its serializer takes time to import

    return wrapping(given)


class Disabled(_GeneratorContextManager[None]):
    """The result of `disabled`. It decorates ordinary functions only: of others, a call merely begins inside."""

    def __call__(self, function: F) -> F:
        if what := "a coroutine function" if is_awaited(function) else generator_kind(function):
            raise ConfigurationError(
                f"disabled() cannot decorate {title_of(function)}, {what}, which runs after it has returned; write "
                "`with disabled():` in it"
            )
        return super().__call__(function)


def disabled(*, everywhere: bool = False) -> Disabled:
    """Switch caching off while inside: decorated functions compute, and neither read nor store anything.

    It holds for the present thread or task. Forgetting still forgets: a fence that was asked for must hold afterwards.

    >>> with disabled():
    ...     pass  # every call computes

    Args:
        everywhere: True for all threads and tasks of the process.
    """
    return Disabled(_switched_off, (), {"everywhere": everywhere})


def _switched_off(*, everywhere: bool) -> Generator[None, None, None]:
    token = _disabled.set(True)
    if everywhere:
        _everywhere.append(None)
    _close_fast_indexes(True)  # they do not look at the switch, so they must be empty while that is on anywhere
    try:
        yield
    finally:
        if everywhere:
            _everywhere.pop()
        _close_fast_indexes(False)
        _disabled.reset(token)


@in_child
def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()
    for index in _indexes:
        index.after_fork()
