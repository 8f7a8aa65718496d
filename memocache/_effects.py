"""Effects: the operations that code waits for, and the driver that performs them in a thread; for tasks, see _tasks.

Code that may have to wait is written once, as coroutines. What they await in the end are operations, each of which
knows how it is done by a thread (`run`) and by a task of asyncio (`run_in_task`). `blocking` drives a coroutine in this
thread, and `awaiting` in a task; where it computes, PendingCall and `_tasks.in_task` do.

A coroutine never calls the user's function itself: at `Compute` the driver hands back to the function's own call, which
computes in its own frame and goes on with `PendingCall.computed` or `PendingCall.failed`. So a recursive function needs
one frame of ours a level.
"""

import contextlib
import functools
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from memocache._clock import ticks
from memocache._flight import Flight, collecting, enclosing, in_background, leave, start_thread, waiting
from memocache._fork import notice

R = TypeVar("R")

Effects: TypeAlias = Coroutine["Operation", Any, R]
"""A coroutine over operations."""


class Operation:
    """Something to wait for."""

    __slots__ = ()

    def __await__(self) -> Generator["Operation", Any, Any]:
        return (yield self)

    def run(self) -> Any:
        """Do it in this thread, and return what came of it."""
        raise NotImplementedError(f"{type(self).__name__} is for the driver to do")

    async def run_in_task(self) -> Any:
        """Do it in this task, without blocking its event loop."""
        return self.run()


class Join(Operation):
    """Wait until *flight* has ended, at most *seconds*; the answer is whether it has, None if it waits for us."""

    __slots__ = ("flight", "seconds")

    def __init__(self, flight: Flight, seconds: float) -> None:
        self.flight = flight
        self.seconds = seconds

    def run(self) -> bool | None:
        """Block this thread."""
        if notice() or sys.is_finalizing():
            return None  # it is led in the parent; or by a thread that does not go on
        # What this thread leads cannot be waited for here: by a signal handler or a destructor on top of its leader, or
        # by an ordinary function in the event loop of its task.
        with waiting(self.flight, threading.get_ident()) as allowed:
            return self.flight.join(self.seconds) if allowed else None

    async def run_in_task(self) -> bool | None:
        """Wait in this task; see `_pool.join`."""
        from memocache._pool import join  # asyncio takes longer to import than all of ours

        with waiting(self.flight) as allowed:
            return await join(self.flight, self.seconds) if allowed else None


class Sleep(Operation):
    """Wait for *seconds*."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def run(self) -> None:
        """Block this thread."""
        time.sleep(self.seconds)

    async def run_in_task(self) -> None:
        """Let others run meanwhile."""
        from memocache._pool import sleep

        await sleep(self.seconds)


class Together(Operation):
    """Run *coroutines*, which do not compute, at once; the answer is a list of what they return, or raise."""

    __slots__ = ("coroutines",)

    def __init__(self, coroutines: Sequence[Effects[Any]]) -> None:
        self.coroutines = coroutines

    def run(self) -> list[Any]:
        """Run each in a thread of its own."""
        return at_once([functools.partial(blocking, each) for each in self.coroutines])

    async def run_in_task(self) -> list[Any]:
        """Run each in a task of its own."""
        import asyncio  # it takes longer to import than all of ours

        return await asyncio.gather(*map(awaiting, self.coroutines), return_exceptions=True)


def at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """Do all *calls*, the last in this thread, the others each in one of its own; return what they return or raise."""
    answers: list[Any] = [None] * len(calls)

    def do(number: int) -> None:
        try:
            answers[number] = calls[number]()
        except Exception as error:  # noqa: BLE001 - it is the caller who decides
            answers[number] = error

    threads = []
    here = []  # for which there are no threads: too many of them, or the interpreter shuts down
    for number in range(len(calls) - 1):
        try:
            threads.append(start_thread("memocache servers", do, number))
        except RuntimeError:
            here.append(number)
    for number in (*here, *range(len(calls))[-1:]):
        do(number)
    for thread in threads:
        thread.join()
    try:
        return answers.copy()
    finally:
        answers.clear()  # the tracebacks of the errors in it lead here


class InBackground(Operation):
    """Run *coroutine*, which leads *flight*, in the background; the answer is whether that is going to be done.

    If it is not, the coroutine is closed. *bind* makes what computes there of what computes here; its second argument
    is true in a task.
    """

    __slots__ = ("bind", "coroutine", "flight")

    def __init__(
        self,
        coroutine: Effects[Any],
        flight: Flight,
        bind: Callable[[Callable[[], Any], bool], Callable[[], Any]] | None = None,
    ) -> None:
        self.coroutine = coroutine
        self.flight = flight
        self.bind = bind


class Compute(Operation):
    """Call the function; the answer is a Computed. *flight* is led by it, if any."""

    __slots__ = ("flight",)

    def __init__(self, flight: Flight | None) -> None:
        self.flight = flight


COMPUTE_ALONE: Final = Compute(None)

Computed: TypeAlias = tuple[object, BaseException | None, float]
"""A computation's result, or what it raised; and in how many seconds."""


RAISED: Final = object()
"""The value of a StoreDecision on what a function has raised, where that is for its own caller only."""


class StoreDecision:
    """The fate of a computed value: what of it is *kept*, for how long (0: it is not), and then *stale*.

    One that is not *shared* is for its own caller only: whoever waits for it computes alone. With an *error* it is that
    of a computation which has failed without raising: what is stored stays there. *is_stored* is whether the cache has
    taken it, in the end.
    """

    __slots__ = ("error", "is_stored", "kept", "lifetime", "shared", "stale", "value")

    def __init__(
        self, value: Any, kept: Any, lifetime: float, stale: float, *, shared: bool, error: Exception | None = None
    ) -> None:
        self.error = error
        self.value = value
        self.kept = kept
        self.lifetime = lifetime
        self.stale = stale
        self.shared = shared
        self.is_stored = False

    @property
    def raised(self) -> Exception | None:
        """The exception that the function has raised, if this is the fate of that; else None."""
        return self.error if self.value is RAISED else None


class Instead:
    """The result of a coroutine that has another *value* for the caller than what was computed or raised."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Raised:
    """The result of a coroutine that ends with an error for the caller: it cannot raise every exception itself."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


def blocking(coroutine: Effects[R], operation: Operation | None = None) -> R:
    """Run *coroutine*, which does not compute, to its end in this thread, and return what it returns.

    *operation* is what it waits for, if it has begun already.
    """
    try:
        if operation is None:
            operation = coroutine.send(None)
        while True:
            try:
                answer = operation.run()
            except BaseException as error:  # noqa: BLE001 - it is the coroutine that decides
                operation = coroutine.throw(error)
            else:
                operation = coroutine.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


async def awaiting(coroutine: Effects[R], operation: Operation | None = None) -> R:
    """Do what `blocking` does in a task, without blocking its event loop."""
    try:
        if operation is None:
            operation = coroutine.send(None)
        while True:
            try:
                answer = await operation.run_in_task()
            except BaseException as error:  # noqa: BLE001 - it is the coroutine that decides
                operation = coroutine.throw(error)
            else:
                operation = coroutine.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


class PendingCall:
    """A call in this thread as far as its computation; then `computed` or `failed` goes on.

    *ready* is whether *coroutine* has ended without computing: then *value* is its result. What it has done in the
    background is done with *compute*.
    """

    __slots__ = ("_began", "_compute", "_coroutine", "_flight", "ready", "value")

    def __init__(self, coroutine: Effects[Any], compute: Callable[[], Any] | None = None) -> None:
        self._coroutine = coroutine
        self._compute = compute
        self.value: Any = None
        self.ready = False
        self._advance(None)

    @classmethod
    def finished(cls, value: Any) -> "PendingCall":
        """Return a call that has nothing left to do but to return *value*."""
        pending = cls.__new__(cls)
        pending.value, pending.ready = value, True
        return pending

    def _advance(self, answer: Any) -> None:
        coroutine = self._coroutine
        operation: Any
        try:
            operation = coroutine.send(answer)
            while type(operation) is not Compute:
                try:
                    answer = self._detach(operation) if type(operation) is InBackground else operation.run()
                except BaseException as error:  # noqa: BLE001 - it is the coroutine that decides
                    operation = coroutine.throw(error)
                else:
                    operation = coroutine.send(answer)
        except StopIteration as stop:
            result = stop.value
        else:
            self._flight = flight = operation.flight
            if flight is not None and (not collecting or threading.get_ident() not in collecting):
                enclosing.set(flight)
            self._began = ticks()
            return
        if type(result) is Raised:
            try:
                raise result.error  # here, where it keeps its own cause and context
            finally:
                result = operation = None  # the traceback leads here: an exception that it leads to is not let go of
        self.value = result
        self.ready = True

    def _detach(self, operation: InBackground) -> bool:
        if self._compute is None:
            operation.coroutine.close()
            return False
        come_back = operation.flight.leave_caller()
        compute = self._compute if operation.bind is None else operation.bind(self._compute, False)
        is_accepted = in_background(functools.partial(_run_alone, operation, compute))
        if not is_accepted:
            operation.coroutine.close()
            come_back()
        return is_accepted

    def computed(self, value: Any) -> Any:
        """Go on with what the function returned, and return what the caller gets."""
        self._end(value, None)
        return self.value

    def failed(self, error: BaseException) -> bool:
        """Go on with what the function raised; the caller raises it, unless this is true: then there is *value*."""
        return self._end(None, error)

    def _leave(self) -> float:
        """Leave the flight that was computed in, and return how many seconds that took."""
        cost = ticks() - self._began
        flight = self._flight
        if flight is not None:
            if enclosing.get() is flight:
                enclosing.set(flight.parent)
            else:
                leave(flight)
        return cost

    def _end(self, value: Any, error: BaseException | None) -> bool:
        """Go on with what came of the computation; return whether the caller gets something else instead."""
        answer = value, error, self._leave()
        try:
            self._advance(answer)
        except RecursionError:
            if self._flight is not None and self._flight.state is None:
                enclosing.set(self._flight)  # there was no room on the stack to end it: whoever is above does
            raise
        finally:
            self._flight = None  # which has the error, whose traceback leads here
        if type(self.value) is not Instead:
            return False
        self.value = self.value.value
        return True


def _run_alone(operation: InBackground, compute: Callable[[], Any]) -> None:
    """Run what was detached, in a thread in which nobody waits for it. What goes wrong is for the coroutine to tell."""
    enclosing.set(None)
    operation.flight.thread = threading.get_ident()
    pending = PendingCall(operation.coroutine)
    del operation  # which has the flight, and that the error, whose traceback leads here
    if pending.ready:
        return
    try:
        value = compute()
    except BaseException as error:  # noqa: BLE001
        pending.failed(error)
        return
    with contextlib.suppress(Exception):
        pending.computed(value)
