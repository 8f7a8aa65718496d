"""What the tests of faults have in common: a cached function on a cache that fails, and how that recovers."""

import asyncio
import inspect
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from memocache import CachedFunction, UncacheFailed, _clock, cached
from memocache.backends.base import Cache
from tests.support.faults import FaultProxy

PATIENCE = 3.0  # far more than the few timeouts that a call may take: this machine may be busy


class Run:
    """A cached coroutine function that is called as if it were an ordinary one, in the loop of *runner*."""

    def __init__(self, function: Any, runner: asyncio.Runner) -> None:
        self._function, self._runner = function, runner

    def __call__(self, *args: Any) -> Any:
        return self._runner.run(self._function(*args))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._function, name)
        if not inspect.iscoroutinefunction(found):
            return found
        return lambda *args: self._runner.run(found(*args))


class World:
    """A cached function, and the truth that it returns; a coroutine function if there is a *runner* for it."""

    def __init__(self, cache: Cache, runner: asyncio.Runner | None = None) -> None:
        self.truth = 0
        self.computed = 0

        def f(x: int) -> tuple[int, int]:
            self.computed += 1
            return x, self.truth

        async def awaited_f(x: int) -> tuple[int, int]:
            return f(x)

        decorate = cached(cache=cache, namespace="f", wait=0.2)
        self.f: Any = decorate(f) if runner is None else Run(decorate(awaited_f), runner)

    def check(self, *numbers: int) -> None:
        for x in numbers:
            began = _clock.ticks()
            assert self.f(x) == (x, self.truth)
            assert _clock.ticks() - began < PATIENCE

    def change(self, heal: Callable[[], None]) -> None:
        """Let there be another truth; as long as the old one has not been forgotten, *heal*."""
        self.truth += 1
        for _ in range(100):
            try:
                self.f.uncache(1)
                self.f.uncache_all()
            except UncacheFailed:
                heal()
            else:
                return
        raise AssertionError("the old truth could not be forgotten")


def counting(cache: Cache, **options: Any) -> CachedFunction[..., int]:
    """Return a cached function of any x that returns 1, 2, 3 and so on."""
    numbers = itertools.count(1)

    @cached(cache=cache, namespace="f", **options)
    def f(x: int = 0) -> int:
        return next(numbers)

    return f


def recovery(proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return what heals the server and lets the longest pause of a breaker pass."""
    moved = itertools.count(1)
    real = _clock.ticks

    def heal() -> None:
        proxy.fault = None
        seconds = 31 * next(moved)
        monkeypatch.setattr(_clock, "ticks", lambda: real() + seconds)

    return heal
