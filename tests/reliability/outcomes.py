"""The outcomes of calls, as a listener is told of them: each call that returns has one, and no call has two."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from memocache import Event, subscribe
from memocache._events import OF_CALLS, _telling


class Call:
    """One call: how many outcomes it should have, how many were told, and what it raised."""

    __slots__ = ("expected", "raised", "told")

    def __init__(self, expected: int) -> None:
        self.expected = 0 if _telling.get() else expected  # what a handler does in the middle of a listener is not told
        self.told = 0
        self.raised: type[BaseException] | None = None


_call: Final[ContextVar[Call | None]] = ContextVar("call", default=None)


class Outcomes:
    """The calls of cached functions while somebody listens, with their outcomes.

    Those that raise one of *interruptions* may have none: they ended before anything had come of them.
    """

    def __init__(self, *interruptions: type[BaseException]) -> None:
        self._interruptions = interruptions
        self.is_on = False
        self.calls: list[Call] = []
        self.told = 0  # outcomes of no call that was counted

    @contextmanager
    def listening(self, on: bool = True) -> Iterator[None]:
        """Count the calls inside; there must be none under way when it begins. If it is not *on*, do not."""
        if not on:
            yield
            return
        with subscribe(self._heard, *OF_CALLS):
            self.is_on = True
            try:
                yield
            finally:
                self.is_on = False

    def _heard(self, event: Event) -> None:
        call = _call.get()
        if call is None:
            self.told += 1
        else:
            call.told += 1

    def counted(self, function: Any) -> Any:
        """Return the cached *function*, or a stand-in for it, whose calls are counted."""
        return (CountedInTasks if inspect.iscoroutinefunction(function) else Counted)(self, function)

    def odd(self) -> int:
        """Return how many calls have not the outcomes that they should have; when all of them are over."""
        return self.told + sum(
            call.told != call.expected and not (call.told < call.expected and self._is_explained(call))
            for call in self.calls
        )

    def _is_explained(self, call: Call) -> bool:
        return call.raised is not None and issubclass(call.raised, self._interruptions)

    @property
    def interrupted(self) -> int:
        """How many calls had none, since they were interrupted before."""
        return sum(call.told < call.expected and self._is_explained(call) for call in self.calls)


def listening(runner: Any) -> Any:
    """Return the *runner* of a race, whose calls are counted from now on."""
    runner.outcomes = Outcomes()
    runner.read = runner.outcomes.counted(runner.read)
    return runner


class Counted:
    """A cached *function* whose calls are counted. A signal handler may raise anywhere in it."""

    def __init__(self, outcomes: Outcomes, function: Any) -> None:
        self._outcomes = outcomes
        self._function = function

    def __getattr__(self, name: str) -> Any:
        return getattr(self._function, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._counted(self._function, 1, *args, **kwargs)

    def many(self, calls: list[Any]) -> Any:
        return self._counted(self._function.many, len(calls), calls)

    def _counted(self, function: Any, number: int, *args: Any, **kwargs: Any) -> Any:
        if not self._outcomes.is_on:
            return function(*args, **kwargs)
        call, around = Call(number), _call.get()
        try:
            self._outcomes.calls.append(call)
            _call.set(call)
            return function(*args, **kwargs)
        except BaseException as error:
            call.raised = error.__class__  # without a call, after which there might be a signal
            raise
        finally:
            _call.set(around)


class CountedInTasks(Counted):
    """The same of a coroutine function."""

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = Call(1)
        self._outcomes.calls.append(call)
        _call.set(call)  # in this task's own context
        try:
            return await self._function(*args, **kwargs)
        except BaseException as error:
            call.raised = type(error)
            raise
