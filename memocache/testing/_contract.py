"""BackendContract: every promise as a test, on whatever cache a subclass makes."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest

from memocache.backends.base import Cache
from memocache.testing._blocking import Blocking
from memocache.testing._functions import FunctionTests
from memocache.testing._groups import GroupTests
from memocache.testing._harness import Counted
from memocache.testing._invalidation import FenceTests
from memocache.testing._methods import MethodTests
from memocache.testing._single_flight import FlightTests
from memocache.testing._staleness import AgingTests, stopped

__all__ = ["BackendContract"]


class BackendContract(MethodTests, FunctionTests, FlightTests, FenceTests, GroupTests, AgingTests):
    """The suite that a cache passes, or it is none. Subclass it in your tests, and say how to make your cache.

    Example:
        class TestMyCache(BackendContract):
            def make_cache(self) -> Cache:
                return MyCache("/tmp/cache.sock")
    """

    peer_delay: ClassVar[float] = 0.0
    """For how many seconds the cache may go on serving what another process has forgotten or replaced."""

    kinds: ClassVar[tuple[str, ...]] = ("function", "coroutine")
    """The kinds of functions that the cache serves."""

    counts_across_processes: ClassVar[bool] = True
    """Whether `inc` is atomic between processes, too; in a process it always is."""

    @abstractmethod
    def make_cache(self) -> Cache:
        """Return an empty cache with a default timeout of 300 seconds."""

    def make_peer(self, cache: Cache) -> Cache:
        """Return *cache* as another process sees it: another object over the same entries. In process: itself."""
        return cache

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run what makes cached functions for each kind of them."""
        if "counted" in metafunc.fixturenames:
            metafunc.parametrize("counted", self.kinds, indirect=True)

    @pytest.fixture
    def counted(self, request: pytest.FixtureRequest) -> Iterator[Counted]:
        """Makes cached functions: every promise holds for ordinary and for coroutine functions."""
        counted = Counted(awaited=request.param == "coroutine")
        yield counted
        counted.close()

    @pytest.fixture
    def cache(self) -> Iterator[Cache]:
        """The cache under test."""
        cache = self.make_cache()
        yield _blocking(cache)
        close = getattr(cache, "close", None)
        if close is not None:
            close()

    @pytest.fixture
    def peer(self, cache: Cache) -> Cache:
        """The cache under test, as another process sees it."""
        return _blocking(self.make_peer(cache))

    @pytest.fixture
    def catch_up(self) -> Iterator[Callable[[], None]]:
        """Lets the time pass in which what another process has forgotten or replaced may still be served."""
        if not self.peer_delay:
            yield lambda: None
            return
        with stopped() as move:
            yield lambda: move(self.peer_delay)


def _blocking(cache: Cache) -> Cache:
    return Blocking(cache) if cache.awaited_only else cache
