"""Waiting in asyncio: a pool of threads for what blocks, bells that any thread can ring, tasks that are kept alive."""

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Final

from memocache._clock import ticks
from memocache._flight import Flight, serving
from memocache._fork import in_child, notice
from memocache.errors import ConfigurationError

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

MOST_THREADS: Final = 16
LOOK_AGAIN: Final = 0.5  # seconds after which a waiter looks whether the event loop of its leader has been closed
STANDING: Final = 1.0  # seconds by which a loop's clock differs from ours if a test tool has stopped it

_pool: "ThreadPoolExecutor | None" = None


def _threads() -> "ThreadPoolExecutor":
    """Return the pool; RuntimeError where there can be none any more, since the interpreter shuts down."""
    global _pool
    notice()  # the threads of a parent's pool do not run here
    if _pool is None:
        from concurrent.futures import ThreadPoolExecutor  # which cannot be imported at the end

        _pool = ThreadPoolExecutor(MOST_THREADS, "memocache")
    return _pool


async def in_pool(
    call: Callable[..., Any], arguments: tuple[Any, ...], unwanted: Callable[[Any], object] | None = None
) -> Any:
    """Return what *call* returns, in a thread of the pool and in a copy of this task's context.

    A task that is cancelled does not wait; the call goes on, since half of it may be done, and what it returns is
    handed to *unwanted*. Where there are no threads, it is called here, and blocks.
    """
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    job: Future[Any] = Future()
    job.add_done_callback(lambda _: wake(loop, done))
    jobs = [job]
    work = jobs, (threading.get_ident(), loop), copy_context(), call, arguments
    try:
        _threads().submit(_do, *work)
    except RuntimeError:  # no more threads, or the interpreter shuts down
        _do(*work)
    try:
        await done
        return job.result()
    except asyncio.CancelledError:
        if unwanted is not None:
            job.add_done_callback(lambda job: hand_over(job, unwanted))
        raise
    finally:
        del job, jobs, work  # an exception in it leads to this frame


def _do(
    jobs: list[Future[Any]],
    served: tuple[int, asyncio.AbstractEventLoop],
    context: Context,
    call: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    """Do the job, unless somebody has taken it: the pool keeps what it had no thread for, and may have one later."""
    try:
        job = jobs.pop()
    except IndexError:
        return
    here = threading.get_ident()
    serving[here] = served
    try:
        try:
            result = context.run(call, *arguments)
        finally:
            serving.pop(here, None)  # before anybody goes on
    except BaseException as error:  # noqa: BLE001 - it is for whoever waits
        job.set_exception(error)
        del job  # the traceback leads here
    else:
        job.set_result(result)


def hand_over(job: "Future[Any] | asyncio.Future[Any]", unwanted: Callable[[Any], object]) -> None:
    """Hand what came of *job* to *unwanted*, in a thread of the pool."""
    if not job.cancelled() and job.exception() is None:
        with contextlib.suppress(RuntimeError):  # the interpreter shuts down
            _threads().submit(unwanted, job.result())


def wake(loop: asyncio.AbstractEventLoop, done: "asyncio.Future[None]") -> None:
    """Let *done* be over, from any thread."""
    with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits there
        loop.call_soon_threadsafe(_be_done, done)


def _be_done(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_result(None)


async def join(flight: Flight, seconds: float) -> bool | None:
    """Wait until *flight* has ended, at most *seconds*; None if that can never be."""
    loop = asyncio.get_running_loop()
    if flight.thread == threading.get_ident() and flight.loop is not loop:
        return None  # it is led below us on this thread's stack
    if notice():
        return None  # it is led in the parent
    try:
        tell, ended = _bell(loop)
        if flight.subscribe(tell):
            await ring(ended, seconds)
    except BaseException as error:  # whoever has merely waited too long may as well have the result stored
        if flight.leave(tell, error) and isinstance(error, asyncio.CancelledError):
            await _wait_for_cleanup(flight, error)
        raise
    return flight.state is not None


async def _wait_for_cleanup(flight: Flight, why: asyncio.CancelledError) -> None:
    """Wait, as the last who did, until *flight* has cleaned up after it was cancelled; not for one whose loop ended."""
    while not flight.has_lost_its_leader:
        loop = asyncio.get_running_loop()
        tell, ended = _bell(loop)
        try:
            if flight.subscribe(tell):
                await ring(ended, LOOK_AGAIN)
        except asyncio.CancelledError as again:
            if flight.loop is not loop or not is_same_cancellation(again, why):
                raise
        finally:
            flight.leave(tell)


# How the messages of anyio's cancellations begin, in its versions.
SCOPES: Final = ("Cancelled via cancel scope ", "Cancelled by cancel scope ")


def is_of_scope(error: BaseException | None) -> bool:
    """Return whether *error* is a cancellation by one of anyio's scopes."""
    return error is not None and bool(error.args) and str(error.args[0]).startswith(SCOPES)


def is_same_cancellation(error: asyncio.CancelledError, former: asyncio.CancelledError) -> bool:
    """Return whether *error* is *former* once more: anyio cancels a task at each turn of the loop until it has ended.

    The second reaches no cleanup: anyio itself would spare one that is shielded, which cannot be seen from here.
    """
    return is_of_scope(error) and error.args == former.args


async def sleep(seconds: float) -> None:
    """Wait for *seconds* of real time."""
    await ring(asyncio.get_running_loop().create_future(), seconds)


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


def keep(task: "asyncio.Task[Any]") -> None:
    """Keep *task* until it is done, or its loop has ended."""
    _kept.difference_update([each for each in _kept if each.get_loop().is_closed()])
    _kept.add(task)
    task.add_done_callback(_kept.discard)


async def in_own_task(coroutine: Coroutine[Any, Any, Any], unwanted: Callable[[Any], object] | None = None) -> Any:
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
    finally:
        del task  # an exception in it leads to this frame


async def all_of(calls: "list[Coroutine[Any, Any, Any]]") -> list[Any]:
    """Return the results of *calls*, made at once; when all are over, the first that failed raises.

    Whoever is cancelled meanwhile has them cancelled, waits until they are over, and raises its own cancellation.
    """
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(call) for call in calls]
    task: asyncio.Task[Any] | None = None
    running: list[asyncio.Task[Any]] = []
    cancelled: asyncio.CancelledError | None = None
    try:
        while running := [task for task in tasks if not task.done()]:
            try:
                await asyncio.wait(running)
            except asyncio.CancelledError as error:
                if cancelled is None or not is_same_cancellation(error, cancelled):
                    for task in running:
                        task.cancel(message_of(error))
                cancelled = error
        for task in tasks:
            if not task.cancelled():
                task.exception()  # the first is raised, and asyncio need not tell of the others
        if cancelled is not None:
            raise cancelled
        return list(map(asyncio.Task.result, tasks))
    finally:
        cancelled = task = None  # what is raised has a traceback that leads here
        running = tasks = []


def message_of(error: BaseException | None) -> Any:
    """Return the message with which to hand on the cancellation *error*.

    None for one of anyio's: in a task that is not in its scope, every scope would take it for its own.
    """
    return None if error is None or not error.args or is_of_scope(error) else error.args[0]


def running_loop() -> asyncio.AbstractEventLoop:
    """Return the running loop of asyncio; ConfigurationError where there is none, as in trio."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise ConfigurationError(
            "a cached coroutine function needs a running event loop of asyncio, and there is none here; "
            "with trio, run it in one, or cache an ordinary function that is called in a thread"
        ) from None


@in_child
def _after_fork() -> None:
    global _pool
    _pool = None
