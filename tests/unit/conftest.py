"""The fixtures of the unit tests, and the event loop of those that are coroutine functions."""

import asyncio
import inspect

import pytest

from memocache import Cache, MemcachedCache, SimpleCache
from tests.support.servers import MemcachedServer


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine function in an event loop of its own."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture(params=["in process", "memcached"])
def cache(request: pytest.FixtureRequest, prefix: str) -> Cache:
    """A cache in process, and one on memcached."""
    if request.param == "in process":
        return SimpleCache(threshold=1000)
    server: MemcachedServer = request.getfixturevalue("memcached")
    return MemcachedCache([server.address], key_prefix=prefix, timeout=5)
