"""The tools of the contract's tests: functions that log their calls, a clock that stands still, threads."""

import asyncio
import inspect
import itertools
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import copy_context
from datetime import timedelta
from typing import Any

from freezegun import freeze_time

from memocache import AsyncCachedFunction, CachedFunction, cached
from memocache.backends.base import Cache

PATIENCE = 30.0  # seconds until a test says that something hangs

_numbers = itertools.count(1)


def start(call: Callable[..., Any], *args: Any) -> "Future[Any]":
    """Call *call* in a thread of its own, and return its result as a future."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call(*args))
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


@contextmanager
def freeze_clock() -> Iterator[Any]:
    """Stop the clock, and yield a function that moves it on by seconds."""
    with freeze_time("2030-01-01") as clock:
        yield lambda seconds: clock.tick(timedelta(seconds=seconds))


def wait_for(f: Any, condition: Any) -> Any:
    """Return the info of the cached function *f* as soon as it fulfils *condition*: refreshes run in the background."""
    pause = threading.Event()
    for _ in range(int(PATIENCE * 1000)):
        info = f.info()
        if condition(info):
            return info
        pause.wait(0.001)
    raise AssertionError(info)


class Gate:
    """A gate in a computation: it computes *answer* only when the test has opened the gate."""

    def __init__(self, answer: Callable[..., Any] = lambda a, b: (a, b)) -> None:
        self._answer = answer
        self._entered = threading.Event()
        self._opened = threading.Event()

    def __call__(self, a: Any, b: Any) -> Any:
        self._entered.set()
        assert self._opened.wait(PATIENCE)
        return self._answer(a, b)

    def wait(self) -> None:
        """Wait until a computation has come to the gate."""
        assert self._entered.wait(PATIENCE)

    def hold(self, call: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Start a call, and return its future when the call has come to the gate."""
        future = start(call, *args)
        self.wait()
        return future

    def open(self) -> None:
        """Let the computations go on."""
        self._opened.set()


class CallLog:
    """The arguments of all computations of a function, in order; and the *answer* that computes."""

    def __init__(self, answer: Callable[..., Any]) -> None:
        self.answer = answer
        self.arguments: list[tuple[Any, ...]] = []

    @property
    def count(self) -> int:
        """The number of computations."""
        return len(self.arguments)


class Decorator:
    """A maker of cached functions `f(a, b=2)`: ordinary ones, or coroutine functions that are called like those."""

    def __init__(self, *, coroutines: bool) -> None:
        self._coroutines = coroutines
        self._loops: list[asyncio.AbstractEventLoop] = []
        self._runner = LoopRunner()

    def __call__(
        self, cache: Cache, answer: Callable[..., Any] = lambda *args: args, **options: Any
    ) -> "tuple[CachedFunction[..., Any] | BlockingFunction, CallLog]":
        """Return a cached function with a namespace of its own, and the log of its computations."""
        calls = CallLog(answer)
        options.setdefault("namespace", f"contract.{next(_numbers)}")
        options.setdefault("timeout", 60)

        def f(a: Any, b: Any = 2) -> Any:
            calls.arguments.append((a, b))
            return calls.answer(a, b)

        async def coroutine(a: Any, b: Any = 2) -> Any:
            if loop is None:
                return f(a, b)
            return await asyncio.wrap_future(start(copy_context().run, f, a, b))

        used = cache.inner if isinstance(cache, BlockingCache) else cache
        if not self._coroutines:
            return cached(cache=used, **options)(f), calls
        # A refresh in the background needs an event loop that goes on after the call.
        loop = self._start_loop() if "stale" in options else None
        return BlockingFunction(cached(cache=used, **options)(coroutine), loop or self._runner, cache), calls

    def _start_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, daemon=True).start()
        self._loops.append(loop)
        return loop

    def close(self) -> None:
        """Stop the event loops, once their tasks are done."""
        self._runner.close()
        for loop in self._loops:
            asyncio.run_coroutine_threadsafe(_wait_for_tasks(), loop).result(PATIENCE)
            loop.call_soon_threadsafe(loop.stop)
            while loop.is_running():
                threading.Event().wait(0.001)
            loop.close()


async def _wait_for_tasks() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if others:
        await asyncio.wait(others)


class LoopRunner:
    """A runner of coroutines, one after the other: of its own thread in one loop, of others in one loop a coroutine."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._thread = threading.get_ident()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Return what *coroutine* returns."""
        if asyncio._get_running_loop() is not None:
            # Called by a computation in another loop: as an ordinary function would, it blocks that loop.
            return start(copy_context().run, asyncio.run, coroutine).result()
        if threading.get_ident() != self._thread:
            return asyncio.run(coroutine)
        return self._runner.run(coroutine, context=copy_context())

    def close(self) -> None:
        """End the loop."""
        self._runner.close()


class BlockingFunction:
    """A cached coroutine function that is called like an ordinary one: in *loop*, or by a runner of loops."""

    def __init__(
        self, function: AsyncCachedFunction[..., Any], loop: asyncio.AbstractEventLoop | LoopRunner, cache: Cache
    ) -> None:
        self._function = function
        self._loop = loop
        self._cache = cache

    @property
    def cache(self) -> Cache:
        """The cache in use, with methods that block."""
        used = self._function.cache
        return self._cache if isinstance(self._cache, BlockingCache) and self._cache.inner is used else used

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(self._function(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._function, name)
        if not inspect.iscoroutinefunction(member):
            return member
        return lambda *args, **kwargs: self._run(member(*args, **kwargs))

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        if isinstance(self._loop, LoopRunner):
            return self._loop.run(coroutine)
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


def _block(name: str) -> Any:
    def method(self: "BlockingCache", *args: Any, **last: Any) -> Any:
        # Arguments are named only at the end: a timeout, a delta.
        return asyncio.run(self.inner.awaited(getattr(self.inner, name), (*args, *last.values())))

    return method


class BlockingCache(Cache):
    """A cache whose methods block, over *inner*, whose methods can only be awaited; each call runs its own loop."""

    def __init__(self, inner: Cache) -> None:
        super().__init__(inner.default_timeout)
        self.inner = inner
        self.shared = inner.shared  # type: ignore[misc]

    get, get_dict, set, add = map(_block, ("get", "get_dict", "set", "add"))
    delete, has, clear, inc = map(_block, ("delete", "has", "clear", "inc"))
    look, claim, fill, peek = map(_block, ("look", "claim", "fill", "peek"))
    forget, forget_call, forget_tag = map(_block, ("forget", "forget_call", "forget_tag"))
