"""Methods that ask another cache in between: written once, as steps, and taken in threads and in tasks."""

import functools
from collections.abc import Callable, Generator
from typing import Any, Concatenate, Final, ParamSpec, TypeAlias, TypeVar

from memocache._pool import Awaited

__all__ = ["Steps", "steps_of", "take", "take_awaited", "verb"]

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")

Question: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...]]
"""A method of the other cache, and its arguments; the answer is what it returns, or raises."""
Steps: TypeAlias = Generator[Question, Any, T]

STEPS: Final = "__wrapped__"


def verb(steps: Callable[Concatenate[S, P], Steps[T]]) -> Callable[Concatenate[S, P], T]:
    """Make a method of *steps* that takes them in the caller's thread."""

    @functools.wraps(steps)
    def taken(self: S, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return take(steps(self, *args, **kwargs))

    return taken


def steps_of(method: Callable[..., Any]) -> Callable[..., Steps[Any]] | None:
    """Return the steps that a bound *method* was made of, to be called with its object; None if it was not."""
    return getattr(method, STEPS, None)


def take(steps: Steps[T]) -> T:
    """Take *steps* in this thread, and return their result."""
    try:
        return _go_on(steps, next(steps))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def _go_on(steps: Steps[T], question: Question) -> T:
    """Take *steps* from *question* on; StopIteration has their result."""
    while True:
        call, arguments = question
        try:
            answer = call(*arguments)
        except BaseException as error:  # noqa: BLE001 - it is the steps that decide
            question = steps.throw(error)
        else:
            question = steps.send(answer)


async def take_awaited(steps: Steps[T], awaited: Awaited, unwanted: Callable[[T], object] | None) -> T:
    """Take *steps* without blocking the event loop, and return their result.

    *awaited* is the other cache's own. A task that is cancelled does not wait; the steps are taken to their end all the
    same, where the answer comes, and their result is handed to *unwanted*.
    """

    def left_alone(answer: Any) -> None:
        try:
            result = _go_on(steps, steps.send(answer))
        except StopIteration as stop:
            result = stop.value
        if unwanted is not None:
            unwanted(result)

    try:
        call, arguments = next(steps)
        while True:
            try:
                answer = await awaited(call, arguments, left_alone)
            except Exception as error:  # noqa: BLE001 - as above
                call, arguments = steps.throw(error)
            else:
                call, arguments = steps.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]
