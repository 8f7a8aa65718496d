"""Functions to decorate, that note how they were computed: ordinary ones and coroutine functions, called alike."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any

from memocache import AsyncCachedFunction, CachedFunction, cached
from memocache.backends.base import Cache
from memocache.testing._threads import started

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
            return f(a, b)

        if self.awaited:
            return Awaited(cached(cache=cache, **options)(awaited_f)), calls
        return cached(cache=cache, **options)(f), calls


class Awaited:
    """A cached coroutine function, that is called as if it were an ordinary one: in an event loop for each call."""

    def __init__(self, function: AsyncCachedFunction[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return _run(self.function(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.function, name)
        if not asyncio.iscoroutinefunction(found):
            return found
        return lambda *args, **kwargs: _run(found(*args, **kwargs))


def _run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    # Asked for by a computation in another loop: as an ordinary function would, it blocks that.
    return started(copy_context().run, asyncio.run, coroutine).result()
