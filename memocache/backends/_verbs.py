"""Verbs of a cache as generators of operations on its client; so that each is written once, for threads and for tasks.

A verb yields operations, functions without arguments, and is sent what comes of them. The driver of threads calls
them; that of tasks awaits what they return.
"""

import functools
from collections.abc import Awaitable, Callable, Generator
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Protocol, TypeAlias, TypeVar

from memocache.errors import BackendError, BackendUnavailable

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["Operation", "Verb", "awaited", "from_thread", "taken", "verb"]

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

Operation: TypeAlias = Callable[[], Any]
Verb: TypeAlias = Generator[Operation, Any, R]
Failed: TypeAlias = Callable[[Exception], BackendError]
"""What makes of an operation's error the one that the verb raises."""

Begun: TypeAlias = Callable[[Any], Awaitable[Any]]

GLANCE: Final = 1.0  # seconds


class Takes(Protocol):
    """A cache that takes verbs."""

    def _take_verb(self, verb: Verb[R]) -> R: ...


def verb(steps: Callable[Concatenate[Any, P], Verb[R]]) -> Callable[Concatenate[Any, P], R]:
    """Return the method that blocks until the verb *steps* is done; that itself is its `__wrapped__`."""

    @functools.wraps(steps)
    def blocking(self: Takes, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._take_verb(steps(self, *args, **kwargs))

    return blocking


def taken(verb: Verb[R], failed: Failed) -> R:
    """Return what comes of *verb*; its operations block."""
    try:
        operation = next(verb)
        while True:
            try:
                answer = operation()
            except Exception as error:  # noqa: BLE001 - whatever somebody else's client raises
                operation = _thrown(verb, error, failed)
            else:
                operation = verb.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


async def awaited(verb: Verb[R], failed: Failed, begun: Begun = lambda operation: operation()) -> R:
    """Return what comes of *verb*; its operations return awaitables, or what *begun* makes of them is one."""
    try:
        operation = next(verb)
        while True:
            try:
                answer = await begun(operation)
            except Exception as error:  # noqa: BLE001
                operation = _thrown(verb, error, failed)
            else:
                operation = verb.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def _thrown(verb: Verb[Any], error: Exception, failed: Failed) -> Operation:
    """Have *verb* go on with what *failed* makes of *error*."""
    problem = failed(error)
    if problem is not error:
        problem.__cause__ = error
    try:
        return verb.throw(problem)
    finally:
        del problem, error  # whose tracebacks lead here, and would keep what the frames of the verb have taken


def from_thread(verb: Verb[R], failed: Failed, loop: "AbstractEventLoop") -> R:
    """Return what comes of *verb*, which is awaited in *loop*, while this other thread waits."""
    import asyncio  # which takes longer to import than all of ours

    coroutine = awaited(verb, failed)
    try:
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    except RuntimeError:
        coroutine.close()
        raise BackendUnavailable("the event loop that it is used in has ended") from None
    while True:
        try:
            return future.result(GLANCE)
        except TimeoutError:  # not of an operation: that has become a BackendError
            if not loop.is_running():
                future.cancel()
                raise BackendUnavailable("the event loop that it is used in has ended") from None
