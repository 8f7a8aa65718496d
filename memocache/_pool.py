"""The threads that wait for caches elsewhere, so that an event loop does not."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any, Final, Protocol

from memocache._fork import in_child

__all__ = ["Awaited", "hand_over", "in_pool", "wake"]

MOST_THREADS: Final = 16

_pool: ThreadPoolExecutor | None = None


class Awaited(Protocol):
    """What calls something that may block, without blocking the event loop."""

    async def __call__(
        self,
        call: Callable[..., Any],
        arguments: tuple[Any, ...],
        unwanted: Callable[[Any], object] | None = None,
        /,
    ) -> Any:
        """Return what *call* returns; if nobody waits for that any more when it comes, hand it to *unwanted*."""


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(MOST_THREADS, "memocache")
    return _pool


async def in_pool(
    call: Callable[..., Any], arguments: tuple[Any, ...], unwanted: Callable[[Any], object] | None = None
) -> Any:
    """Return what *call* returns, in a thread of the pool and in a copy of this task's context.

    A task that is cancelled does not wait; the call goes on, since half of it may be done, and what it returns is
    handed to *unwanted*.
    """
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    job = _threads().submit(copy_context().run, call, *arguments)
    job.add_done_callback(lambda _: wake(loop, done))
    try:
        await done
        return job.result()
    except asyncio.CancelledError:
        if unwanted is not None:
            job.add_done_callback(lambda job: hand_over(job, unwanted))
        raise
    finally:
        del job  # an exception in it leads to this frame


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


def _reset_in_child() -> None:
    global _pool
    _pool = None


in_child(_reset_in_child)
