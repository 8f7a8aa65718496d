"""The driver that runs coroutines over operations in tasks of asyncio; for the one in threads, see _effects.

A computation that others may join is led in a task of its own, which also does what follows it. So a caller that is
cancelled leaves the others alone; when the last of them is, the task is. The caller is the first that waits.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from memocache._clock import ticks
from memocache._effects import Compute, Effects, InBackground, Instead, Operation, Raised
from memocache._flight import Flight, enclosing
from memocache._pool import is_same_cancellation, keep, message_of, running_loop


async def _nothing() -> None:
    """Stand for the computation of a coroutine that has none."""


async def in_task(
    coroutine: Effects[Any], compute: Callable[[], Awaitable[Any]] = _nothing, *, detaches: bool = True
) -> Any:
    """Run *coroutine* without blocking the event loop, and return what the caller gets.

    *compute* calls the function. *detaches* is whether what is done in the background has a loop to go on in.
    """
    return await TaskDriver(coroutine, compute, detaches=detaches).resume(None)


class TaskDriver:
    """One run of *coroutine* in asyncio, with what *compute* awaits."""

    __slots__ = ("_compute", "_coroutine", "_detaches", "_loop", "_task")

    def __init__(self, coroutine: Effects[Any], compute: Callable[[], Awaitable[Any]], *, detaches: bool) -> None:
        self._coroutine = coroutine
        self._compute = compute
        self._detaches = detaches
        self._task: asyncio.Task[Any] | None = None  # while it computes
        try:
            self._loop = running_loop()
        except BaseException:
            coroutine.close()
            raise

    async def resume(self, answer: Any) -> Any:
        """Do all that is left, the next of it with *answer*, and return what the caller gets."""
        coroutine, is_led = self._coroutine, False
        operation: Any
        try:
            operation = coroutine.send(answer)
            answer = None  # there may have been an exception in it, whose traceback leads here
            while True:
                if type(operation) is Compute:
                    if operation.flight is not None:
                        is_led = True
                        leading = self._lead_in_task(operation.flight)
                        operation = answer = None  # these lead to the flight, that to the error, its traceback here
                        return await leading
                    try:
                        answer = await self._compute(), None, 0.0
                    except BaseException as error:
                        with contextlib.suppress(StopIteration):
                            coroutine.send((None, error, 0.0))
                        raise
                    operation = coroutine.send(answer)
                    answer = None
                    continue
                try:
                    answer = await self._perform(operation)
                except Exception as error:  # noqa: BLE001 - it is the coroutine that decides
                    operation = coroutine.throw(error)
                else:
                    operation = coroutine.send(answer)
        except StopIteration as stop:
            result = stop.value
        finally:
            if not is_led:
                coroutine.close()
        if type(result) is Raised:
            try:
                raise result.error
            finally:
                result = operation = None  # as above
        return result

    async def _perform(self, operation: Operation) -> Any:
        if type(operation) is not InBackground:
            return await operation.run_in_task()
        if not self._detaches:
            operation.coroutine.close()
            return False
        operation.flight.leave_caller()
        compute = self._compute if operation.bind is None else operation.bind(self._compute, True)
        driver = TaskDriver(operation.coroutine, compute, detaches=True)
        keep(self._loop.create_task(driver._run_alone()))
        return True

    async def _run_alone(self) -> None:
        """Do all of it; nobody waits for what comes of it. What goes wrong is for the coroutine to tell."""
        enclosing.set(None)
        with contextlib.suppress(Exception):
            await self.resume(None)

    # ---- leading -------------------------------------------------------------------------------------------------

    async def _lead_in_task(self, flight: Flight) -> Any:
        """Compute in a task of its own, and return what comes of it."""
        flight.lead_in(self._loop, self._cancel)
        flight.subscribe(self._wake)
        task = self._task = self._loop.create_task(self._lead(flight))
        task.add_done_callback(self._after)
        cancelled: asyncio.CancelledError | None = None  # by which it left as the last
        try:
            while not task.done():
                try:
                    await asyncio.wait((task,))
                except asyncio.CancelledError as error:
                    if cancelled is None:
                        if not flight.leave(self._wake, error):
                            flight.is_left = True
                            raise
                    elif not is_same_cancellation(error, cancelled):
                        self._cancel(error)  # it waits for what the computation has to clean up, as without us
                    cancelled = error
            if cancelled is not None and task.cancelled():
                raise cancelled  # the caller's own, and not that of the task
            return task.result()
        finally:
            flight.leave(self._wake)
            del cancelled, task, flight  # what is raised has a traceback that leads here

    async def _lead(self, flight: Flight) -> Any:
        enclosing.set(flight)  # in this task's own context
        began = ticks()
        try:
            value = await self._compute()
        except GeneratorExit:
            self._coroutine.close()
            raise
        except BaseException as error:
            self._task = flight.cancel = None
            del flight  # which has the error, whose traceback leads here
            result = await self.resume((None, error, ticks() - began))
            if type(result) is not Instead:
                raise
        else:
            self._task = flight.cancel = None  # what is computed may as well be stored
            enclosing.set(flight.parent)
            del flight
            result = await self.resume((value, None, ticks() - began))
        return result.value if type(result) is Instead else result

    def _wake(self) -> None:
        """Stand for the caller among those who wait: it is the task itself that wakes it."""

    def _cancel(self, why: BaseException | None = None) -> None:
        """Cancel the computation, from any thread."""
        # After what the loop has to do already: a task that is cancelled before it has begun would never begin.
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(self._cancel_here, message_of(why))

    def _cancel_here(self, message: Any) -> None:
        if self._task is not None:
            self._task.cancel(message)

    def _after(self, task: "asyncio.Task[Any]") -> None:
        self._task = None
        if not task.cancelled():
            task.exception()  # whoever waited for it has been told
        self._coroutine.close()  # somebody else has cancelled it before it began
