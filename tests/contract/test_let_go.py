"""Exceptions that calls raise: each is let go of with its last reference, and with it all that its frames have.

A cycle would keep that until the garbage collector runs: a request, a file, a connection.
"""

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memocache import (
    Cache,
    ForeignCache,
    MemcachedCache,
    RedisCache,
    SimpleCache,
    SQLiteCache,
    TieredCache,
    UncacheFailed,
    cached,
    uncache_tag,
    uncaches,
)
from tests.support.redis_servers import RedisServer
from tests.support.servers import MemcachedServer, wait_until


class Failure(Exception):
    pass


class Broken:
    """An object that fails as a cache."""

    def get(self, key: str) -> Any:
        raise OSError("broken")

    delete = get

    def set(self, key: str, value: Any, timeout: float) -> Any:
        raise OSError("broken")


MAKERS: dict[str, Callable[..., Cache]] = {
    "in process": lambda *_: SimpleCache(),
    "memcached": lambda memcached, *_: MemcachedCache([memcached]),
    "redis": lambda _, redis, *rest: RedisCache(redis),
    "sqlite": lambda *where: SQLiteCache(where[-1] / "cache.db"),
    "tiers": lambda _, redis, *rest: TieredCache(SimpleCache(), RedisCache(redis)),
    "a dict": lambda *_: ForeignCache({}),
}
UNREACHABLE: dict[str, Callable[..., Cache]] = {
    "no memcached": lambda *_: MemcachedCache(["127.0.0.1:1"]),
    "no memcached of two": lambda *_: MemcachedCache(["127.0.0.1:1", "127.0.0.1:2"]),
    "no redis": lambda *_: RedisCache("redis://127.0.0.1:1/0"),
    "no host": lambda *_: RedisCache("redis://no-such-host.invalid/0"),
    "no object": lambda *_: ForeignCache(Broken()),
}


@pytest.fixture(params=[*MAKERS, *UNREACHABLE])
def cache(
    request: pytest.FixtureRequest, contract_memcached: MemcachedServer, redis_server: RedisServer, tmp_path: Path
) -> Iterator[Cache]:
    logging.disable()  # pytest keeps what is logged, with the errors in it
    made = {**MAKERS, **UNREACHABLE}[request.param](contract_memcached.address, redis_server.url, tmp_path)
    gc.collect()
    gc.disable()
    yield made
    gc.enable()
    logging.disable(logging.NOTSET)


class Left:
    """The objects that frames had and exceptions that were raised, none of which is to be there any more."""

    def __init__(self) -> None:
        self._seen: list[weakref.ref[Any]] = []
        self._lock = threading.Lock()

    def note(self, something: Any) -> Any:
        with self._lock:
            self._seen.append(weakref.ref(something))
        return something

    def __call__(self, call: Callable[..., Any], *args: Any) -> bool:
        """Call with these arguments; return whether something is left of that."""
        self._call(call, args)
        return self.is_something_left()

    def _call(self, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        held = self.note(Failure())  # noqa: F841 - the traceback leads to this frame
        try:
            call(*args)
        except (Failure, UncacheFailed) as error:
            self.note(error)

    async def after(self, call: Callable[..., Any], *args: Any) -> bool:
        """Do the same with a coroutine function."""
        held = self.note(Failure())
        try:
            await call(*args)
        except (Failure, UncacheFailed) as error:
            self.note(error)
        del held
        return await asyncio.to_thread(self.is_something_left)  # the loop lets go of its tasks meanwhile

    def is_something_left(self) -> bool:
        return not wait_until(lambda: all(each() is None for each in self._seen))  # threads let go a moment later


def refuses(result: object) -> bool:
    raise Failure


def test_what_a_call_raises(cache: Cache) -> None:
    left = Left()
    begun, go = threading.Event(), threading.Event()

    @cached(cache=cache, namespace="fails", errors={KeyError: 60})
    def fails(x: int) -> int:
        held = left.note(Failure())  # noqa: F841
        begun.set()
        assert go.wait(10)
        raise Failure

    unless = cached(cache=cache, namespace="unless", unless=refuses)(lambda x: x)
    old = cached(cache=cache, namespace="old", timeout=1e-9, stale=60)(fails.__wrapped__)
    threads = [threading.Thread(target=left, args=(fails, 1)) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert begun.wait(10)
    go.set()
    for thread in threads:
        thread.join()
    threads.clear()
    assert not left.is_something_left()
    assert not left(fails, 1)
    assert not left(fails.refresh, 2)
    assert not left(fails.many, [(3,), (4,)])
    assert not left(unless, 1)
    old.put(1, 1)
    assert not left(old, 1)  # refreshed in the background
    writers = uncaches(fails)(fails.__wrapped__), uncaches(fails)(lambda x: x)
    for method in (fails.peek, fails.entry, fails.uncache, *writers):
        assert not left(method, 1)
    assert not left(fails.uncache_all)
    assert not left(uncache_tag, "tag", cache)


def test_what_a_coroutine_function_raises(cache: Cache) -> None:
    left = Left()

    @cached(cache=cache, namespace="fails")
    async def fails(x: int) -> int:
        held = left.note(Failure())  # noqa: F841
        await asyncio.sleep(0)
        raise Failure

    @cached(cache=cache, namespace="unless", unless=refuses)
    async def unless(x: int) -> int:
        return x

    async def together() -> None:
        for each in await asyncio.gather(*(fails(5) for _ in range(3)), return_exceptions=True):
            left.note(each)
        del each

    old = cached(cache=cache, namespace="old", timeout=1e-9, stale=60)(fails.__wrapped__)

    async def main() -> None:
        assert not await left.after(fails, 1)
        assert not await left.after(together)
        assert not await left.after(fails.refresh, 2)
        assert not await left.after(fails.many, [(3,), (4,)])
        assert not await left.after(unless, 1)
        await old.put(1, 1)
        assert not await left.after(old, 1)
        for method in (fails.peek, fails.entry, fails.uncache):
            assert not await left.after(method, 1)
        assert not await left.after(fails.uncache_all)

    asyncio.run(main())
