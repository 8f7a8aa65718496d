"""Events: what happens to the calls of cached functions and to caches, told to those who subscribe."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, Self, TypeAlias, get_args

from memocache._flight import collecting
from memocache._fork import in_child
from memocache._listeners import listeners, switches
from memocache._signature import ONE_VALUE, check_function
from memocache.errors import ConfigurationError, logger, with_article

Kind: TypeAlias = Literal[
    "hit", "stale", "miss", "wait", "stored", "uncached", "evicted", "failed", "recovered", "operation"
]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
OF_CALLS: Final[tuple[Kind, ...]] = ("hit", "stale", "miss", "wait")
USUAL: Final[tuple[Kind, ...]] = KINDS[:-1]  # operations are told to those who ask for them: there are a few a call


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a call of a cached function, to an entry, or to a server.

    Each call gives exactly one of hit, stale, miss and wait; one that waited and then computed is a miss. `refresh`,
    `put` and `peek` give none of them, `many` one a call, and calls inside `disabled` none.
    """

    kind: Kind
    """The kind: hit, stale, miss, wait; stored, uncached, evicted; failed, recovered; operation."""
    function: str
    """The function with its module, such as "shop.report", or its `namespace=`.

    Empty for what concerns a tag, a server or an operation.
    """
    key: str | None
    """The key of the call in the cache; of what was uncached with others, the tag. None where there is neither."""
    cache: Any
    """The cache. Of what happened to a server, the server's name."""
    seconds: float | None = None
    """Of a miss and of what was stored, how long it was computed; of a wait and of an operation, how long it took."""
    age: float | None = None
    """Of a hit, and of what is stale, the seconds since its computation began; None where that is not known.

    Of what a TieredCache has near, since it came there.
    """
    size: int | None = None
    """Of what was stored on a shared cache, its bytes there; None in process."""
    error: BaseException | None = None
    """Of a miss, the exception that the function raised; of a failure or an operation, why, where the cache said so."""
    operation: str | None = None
    """Of an operation, its name: get, get_many, claim, set, delete or delete_tag."""
    server: str | None = None
    """Of an operation, the server that has the key, where that is known."""


Listener: TypeAlias = Callable[[Event], object]

_listening: Final[dict[str, tuple[Listener, ...]]] = {}  # by kind
_lock = threading.RLock()
_telling: Final[ContextVar[bool]] = ContextVar("memocache_telling", default=False)
Marks: TypeAlias = tuple[Callable[[], object], Callable[[], object]]
_IN_CONTEXT: Final[Marks] = partial(_telling.set, True), partial(_telling.set, False)
_in_destructor: Final[list[int]] = []  # the thread in which one tells that the garbage collector runs
_failed: Final[set[int]] = set()  # the listeners, by id, that raised: each is said once


class Subscription:
    """A listener that is told of some kinds of events, until it is called or left as a context."""

    __slots__ = ("_kinds", "_listener")

    def __init__(self, listener: Listener, kinds: tuple[Kind, ...]) -> None:
        self._listener = listener
        self._kinds = kinds
        with _lock:
            for kind in kinds:
                _listening[kind] = (*_listening.get(kind, ()), listener)
                if kind not in listeners:
                    listeners[kind] = partial(_tell, kind)
                    _switch(kind, on=True)

    def __call__(self) -> None:
        """End it; once it has ended, that does nothing."""
        with _lock:
            kinds, self._kinds = self._kinds, ()
            if kinds:
                _failed.discard(id(self._listener))  # which another may have then
            for kind in kinds:
                former = _listening[kind]
                at = next(at for at, each in enumerate(former) if each is self._listener)  # others may be equal to it
                left = _listening[kind] = former[:at] + former[at + 1 :]
                if not left:
                    del listeners[kind]
                    _switch(kind, on=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self()


def _switch(kind: str, *, on: bool) -> None:
    for switch in switches.get(kind, ()):
        switch(on)


def subscribe(listener: Listener, *kinds: Kind) -> Subscription:
    """Have *listener* called with each Event of these *kinds*, from any function and thread; return what ends it.

    It is called in the thread of whoever caused the event, never under a lock of ours. What it raises is logged once,
    and the call goes on. What it does with cached functions itself is not told to anybody. Who listens to hits makes
    those in process slower; nobody else does.

    >>> calls = []
    >>> end = subscribe(lambda event: calls.append(event.kind), "hit", "miss")
    >>> @cached(timeout=60)
    ... def area(width, height=1):
    ...     return width * height
    >>> area(3), area(3)
    (3, 3)
    >>> end()
    >>> calls
    ['miss', 'hit']

    Args:
        listener: a function of one Event, which must not block.
        kinds: any of hit, stale, miss, wait, stored, uncached, evicted, failed, recovered and operation; none for all
            but operation.

    Raises:
        ConfigurationError: if *listener* cannot be called with an Event, or a kind is none of these.
    """
    if not callable(listener):
        raise ConfigurationError(
            f"subscribe() got {with_article(type(listener))}; wanted: a function that takes one Event"
        )
    check_function("subscribe()", listener, ONE_VALUE, "with an Event", "a function that takes one")
    for kind in kinds:
        if kind not in KINDS:
            raise ConfigurationError(
                f"subscribe() got the kind {kind!r}; wanted: {', '.join(KINDS)}, or none for all but the last"
            )
    return Subscription(listener, tuple(dict.fromkeys(kinds)) or USUAL)


def _tell(
    kind: Kind,
    function: str,
    key: str | None,
    cache: object,
    *,
    seconds: float | None = None,
    age: float | None = None,
    size: int | None = None,
    error: BaseException | None = None,
    operation: str | None = None,
    server: str | None = None,
) -> None:
    """Tell the listeners of an event; not of what one of them has caused itself."""
    if _telling.get() or (_in_destructor and threading.get_ident() in _in_destructor):
        return
    begin, end = _IN_CONTEXT
    if collecting and threading.get_ident() in collecting:  # a ContextVar must not be set there, see `collecting`
        begin, end = partial(_in_destructor.append, threading.get_ident()), _in_destructor.clear
    event = Event(kind, function, key, cache, seconds, age, size, error, operation, server)
    try:  # *begin* in it, and no functions in Python: a signal handler may raise when they have returned
        begin()
        for listener in _listening[kind]:
            try:
                listener(event)
            except Exception:  # noqa: BLE001 - the call is not to fail for it
                _log(listener)
    finally:
        end()


def _log(listener: Listener) -> None:
    if id(listener) in _failed:
        return
    _failed.add(id(listener))
    logger().exception("a listener to events raised (said once): %r", listener)


# ---- the calls of one context --------------------------------------------------------------------------------------

_watching: Final[ContextVar[tuple[list[Event], ...]]] = ContextVar("memocache_watched", default=())


@contextmanager
def watched() -> Iterator[list[Event]]:
    """Collect the events of the calls that are made inside: one of hit, stale, miss or wait for each.

    Those of this thread or task are collected, and of the tasks and `asyncio.to_thread` calls begun in it.

    >>> @cached(timeout=60)
    ... def area(width, height=1):
    ...     return width * height
    >>> with watched() as calls:
    ...     area(3), area(3)
    (3, 3)
    >>> [call.kind for call in calls]
    ['miss', 'hit']
    """
    calls: list[Event] = []

    def collect(event: Event) -> None:
        if any(each is calls for each in _watching.get()):
            calls.append(event)

    token = _watching.set((*_watching.get(), calls))
    try:
        with Subscription(collect, OF_CALLS):
            yield calls
    finally:
        _watching.reset(token)


@in_child
def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()
