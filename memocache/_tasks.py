"""The driver that takes the steps of a read-through in tasks of asyncio; for the one in threads, see _steps.

A computation that others may join is led in a task of its own, which also takes the steps that follow it. So a caller
that is cancelled leaves the others alone; when the last of them is, the task is. The caller is the first that waits.
"""

import asyncio
import contextlib
import functools
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import copy_context
from typing import Any, Final

from memocache._clock import ticks
from memocache._effects import Ask, Compute, Detach, Instead, Join, Pause, Raised, Step, Steps
from memocache._flight import Flight, enclosing
from memocache._pool import Awaited, hand_over, wake
from memocache.errors import BackendError, ConfigurationError

__all__ = ["TaskRun", "in_own_task", "ring"]

STANDING: Final = 1.0  # seconds by which a loop's clock differs from ours if a test tool has stopped it


class TaskRun:
    """One run of *steps* in asyncio, with what *computes*.

    *awaited* calls a method of the cache without blocking the event loop; None where none of them can block.
    """

    __slots__ = ("_awaited", "_compute", "_detaches", "_loop", "_steps", "_task")

    def __init__(
        self,
        steps: Steps,
        compute: Callable[[], Awaitable[Any]],
        awaited: Awaited | None,
        *,
        detaches: bool = True,
    ) -> None:
        self._loop = running_loop()
        self._steps = steps
        self._compute = compute
        self._awaited = awaited
        self._detaches = detaches  # whether what is done in the background has a loop to go on in
        self._task: asyncio.Task[Any] | None = None  # while it computes

    async def result(self) -> Any:
        """Take all steps, and return what the caller gets."""
        return await self._go_on(None)

    async def _go_on(self, answer: Any) -> Any:
        """Take the steps that are left, the next of them with *answer*."""
        steps, led = self._steps, False
        try:
            step = steps.send(answer)
            answer = None  # there may have been an exception in it, whose traceback leads here
            while True:
                if type(step) is Compute:
                    if step.flight is not None:
                        led = True
                        return await self._led(step.flight)
                    step = steps.send((await self._compute(), None, 0.0))
                    continue
                try:
                    answer = await self._taken(step)
                except Exception as error:  # noqa: BLE001 - it is the generator that decides
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as stop:
            result = stop.value
        finally:
            if not led:
                steps.close()
        if type(result) is Raised:
            raise result.error
        return result

    async def _taken(self, step: Step) -> Any:
        if type(step) is Ask:
            return step.take() if self._awaited is None else await self._asked(step, self._awaited)
        if type(step) is Join:
            return await _joined(step.flight, step.seconds)
        if type(step) is Detach:
            if not self._detaches:
                return False
            step.flight.leave_caller()
            return keep(self._loop.create_task(TaskRun(step.steps, self._compute, self._awaited).alone()))
        assert type(step) is Pause
        await ring(self._loop.create_future(), step.seconds)
        return None

    async def _asked(self, step: Ask, awaited: Awaited) -> Any:
        try:
            return await awaited(step.call, step.arguments, step.unwanted)
        except BackendError as error:
            if step.excuse is None:
                raise
            step.excuse(error)
            return None

    async def alone(self) -> None:
        """Take all steps; nobody waits for what comes of them. What goes wrong is for the steps to tell."""
        enclosing.set(None)
        with contextlib.suppress(Exception):
            await self.result()

    # ---- leading -------------------------------------------------------------------------------------------------

    async def _led(self, flight: Flight) -> Any:
        """Compute in a task of its own, and return what comes of it."""
        flight.lead_in(self._loop, self._cancel)
        flight.subscribe(self._wake)
        task = self._task = self._loop.create_task(self._lead(flight))
        task.add_done_callback(self._ended)
        is_last = False
        try:
            while not task.done():
                try:
                    await asyncio.wait((task,))
                except asyncio.CancelledError:
                    if is_last:  # it waits for what the computation has to clean up, as without us
                        self._cancel()
                    elif not flight.leave(self._wake):
                        raise
                    is_last = True
            return task.result()
        finally:
            flight.leave(self._wake)

    async def _lead(self, flight: Flight) -> Any:
        enclosing.set(flight)  # in this task's own context
        began = ticks()
        try:
            value = await self._compute()
        except GeneratorExit:
            self._steps.close()
            raise
        except BaseException as error:
            self._task = flight.desert = None
            result = await self._go_on((None, error, ticks() - began))
            if type(result) is not Instead:
                raise
        else:
            self._task = flight.desert = None  # what is computed may as well be stored
            enclosing.set(flight.parent)
            result = await self._go_on((value, None, ticks() - began))
        return result.value if type(result) is Instead else result

    def _wake(self) -> None:
        """Stand for the caller among those who wait: it is the task itself that wakes it."""

    def _cancel(self) -> None:
        """Cancel the computation, from any thread."""
        # After what the loop has to do already: a task that is cancelled before it has begun would never begin.
        with contextlib.suppress(RuntimeError):  # the loop has been closed
            self._loop.call_soon_threadsafe(self._cancel_here)

    def _cancel_here(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._task = None
        if not task.cancelled():
            task.exception()  # whoever waited for it has been told
        self._steps.close()  # somebody else has cancelled it before it began


async def _joined(flight: Flight, seconds: float) -> bool | None:
    """Wait until *flight* has ended, at most *seconds*; see Join."""
    loop = asyncio.get_running_loop()
    if flight.thread == threading.get_ident() and flight.loop is not loop:
        return None  # it is led below us on this thread's stack
    try:
        tell, ended = _bell(loop)
        if flight.subscribe(tell):
            await ring(ended, seconds)
    except BaseException as error:  # whoever has merely waited too long may as well have the result stored
        if flight.leave(tell) and isinstance(error, asyncio.CancelledError):
            # As the last one, wait for what the computation has to clean up: without us it would be awaited.
            tell, ended = _bell(loop)
            if flight.subscribe(tell):
                await ended
        raise
    return flight.outcome is not None


def _bell(loop: asyncio.AbstractEventLoop) -> "tuple[Callable[[], None], asyncio.Future[None]]":
    """Return a future of *loop*, and what any thread may call to have it done."""
    ended: asyncio.Future[None] = loop.create_future()
    return functools.partial(wake, loop, ended), ended


async def ring(bell: "asyncio.Future[None]", seconds: float) -> None:
    """Wait until *bell* is done, at most *seconds* of real time."""
    loop = bell.get_loop()
    alarm: asyncio.TimerHandle | threading.Timer
    if abs(loop.time() - ticks()) < STANDING:
        alarm = loop.call_later(seconds, wake, loop, bell)
    else:  # a test tool has stopped the loop's clock, and with it all its timers
        alarm = threading.Timer(min(seconds, threading.TIMEOUT_MAX), wake, (loop, bell))
        alarm.daemon = True
        alarm.start()
    try:
        await bell
    finally:
        alarm.cancel()


# A loop itself keeps no task alive.
_kept: Final[set["asyncio.Task[Any]"]] = set()


def keep(task: "asyncio.Task[Any]") -> bool:
    """Keep *task* until it is done, or its loop has ended."""
    _kept.difference_update([each for each in _kept if each.get_loop().is_closed()])
    _kept.add(task)
    task.add_done_callback(_kept.discard)
    return True


async def in_own_task(coroutine: Coroutine[Any, Any, Any], unwanted: Callable[[Any], object] | None) -> Any:
    """Return what *coroutine* returns, in a task of its own: whoever is cancelled meanwhile leaves no half of it.

    What it returns when nobody waits for it any more is handed to *unwanted*, in a thread of the pool.
    """
    task = asyncio.get_running_loop().create_task(coroutine)
    keep(task)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if unwanted is not None:
            here = copy_context()
            task.add_done_callback(lambda task: hand_over(task, lambda result: here.run(unwanted, result)))
        raise


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running loop of asyncio; ConfigurationError where there is none, as in trio."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "a cached coroutine function needs a running event loop of asyncio, and there is none here; "
            "with trio, run it in one, or cache an ordinary function that is called in a thread"
        ) from None
