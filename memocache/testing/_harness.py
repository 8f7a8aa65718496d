"""Functions to decorate, that note how they were computed: ordinary ones and coroutine functions, called alike."""

import asyncio
import itertools
import threading
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any

from memocache import AsyncCachedFunction, CachedFunction, cached
from memocache.backends.base import Cache
from memocache.testing._blocking import Blocking
from memocache.testing._threads import PATIENCE, started

__all__ = ["Awaited", "Calls", "Counted"]

_numbers = itertools.count(1)


class Calls:
    """What was computed, in order, and the *answer* that is given."""

    def __init__(self, answer: Callable[..., Any] = lambda *args: args) -> None:
        self.answer = answer
        self.seen: list[tuple[Any, ...]] = []

    @property
    def count(self) -> int:
        """How often it was computed."""
        return len(self.seen)


class Counted:
    """Makes cached functions `f(a, b=2)`; *awaited* ones are coroutine functions, called as if they were not."""

    def __init__(self, *, awaited: bool) -> None:
        self.awaited = awaited
        self._loops: list[asyncio.AbstractEventLoop] = []

    def __call__(
        self, cache: Cache, answer: Callable[..., Any] = lambda *args: args, **options: Any
    ) -> "tuple[CachedFunction[..., Any] | Awaited, Calls]":
        """Return a cached function of its own namespace, and the calls that computed."""
        calls = Calls(answer)
        options.setdefault("namespace", f"contract.{next(_numbers)}")
        options.setdefault("timeout", 60)

        def f(a: Any, b: Any = 2) -> Any:
            calls.seen.append((a, b))
            return calls.answer(a, b)

        async def awaited_f(a: Any, b: Any = 2) -> Any:
            if loop is None:
                return f(a, b)
            return await asyncio.wrap_future(started(copy_context().run, f, a, b))

        used = cache.inner if isinstance(cache, Blocking) else cache
        if not self.awaited:
            return cached(cache=used, **options)(f), calls
        # What goes on in the background needs a loop that does, too.
        loop = self._lasting_loop() if "stale" in options else None
        return Awaited(cached(cache=used, **options)(awaited_f), loop, cache), calls

    def _lasting_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, daemon=True).start()
        self._loops.append(loop)
        return loop

    def close(self) -> None:
        """End the loops, once nothing goes on in them."""
        for loop in self._loops:
            asyncio.run_coroutine_threadsafe(_others_done(), loop).result(PATIENCE)
            loop.call_soon_threadsafe(loop.stop)
            while loop.is_running():
                threading.Event().wait(0.001)
            loop.close()


async def _others_done() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others)


class Awaited:
    """A cached coroutine function, that is called as if it were an ordinary one: in *loop*, or one for each call."""

    def __init__(
        self, function: AsyncCachedFunction[..., Any], loop: asyncio.AbstractEventLoop | None, cache: Cache
    ) -> None:
        self.function = function
        self.loop = loop
        self._cache = cache

    @property
    def cache(self) -> Cache:
        """The cache in use, with methods that block."""
        used = self.function.cache
        return self._cache if isinstance(self._cache, Blocking) and self._cache.inner is used else used

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(self.function(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.function, name)
        if not asyncio.iscoroutinefunction(found):
            return found
        return lambda *args, **kwargs: self._run(found(*args, **kwargs))

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if self.loop is not None:
            return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()
        if asyncio._get_running_loop() is None:
            return asyncio.run(coroutine)
        # Asked for by a computation in another loop: as an ordinary function would, it blocks that.
        return started(copy_context().run, asyncio.run, coroutine).result()
