"""Verbs of a cache before another one, whose operations are calls of that one: taken in threads and in tasks."""

import functools
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar, cast

from memocache._pool import Awaited
from memocache.backends._verbs import Operation, Verb

__all__ = ["ask", "take", "take_awaited"]

R = TypeVar("R")

ask: TypeAlias = functools.partial  # an operation: a method of the far cache, and its arguments


def take(verb: Verb[R]) -> R:
    """Return what comes of *verb*, in this thread."""
    try:
        return _go_on(verb, next(verb))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def _go_on(verb: Verb[R], operation: Operation) -> R:
    """Go on with *operation*; StopIteration has what comes of *verb*."""
    while True:
        try:
            answer = operation()
        except BaseException as error:  # noqa: BLE001 - it is the verb that decides
            operation = verb.throw(error)
        else:
            operation = verb.send(answer)


async def take_awaited(verb: Verb[R], awaited: Awaited, unwanted: Callable[[R], object] | None) -> R:
    """Return what comes of *verb*, without blocking the event loop; *awaited* is the far cache's own.

    A task that is cancelled does not wait. The verb is taken to its end all the same, where far's answer comes, and
    what comes of it is handed to *unwanted*.
    """

    def left_alone(answer: Any) -> None:
        try:
            result = _go_on(verb, verb.send(answer))
        except StopIteration as stop:
            result = stop.value
        if unwanted is not None:
            unwanted(result)

    try:
        operation = next(verb)
        while True:
            asked = cast("functools.partial[Any]", operation)
            try:
                answer = await awaited(asked.func, asked.args, left_alone)
            except Exception as error:  # noqa: BLE001 - as above
                operation = verb.throw(error)
            else:
                operation = verb.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
