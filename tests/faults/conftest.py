"""What the tests of connections and faults can ask for: a kind of server, one of them, and a proxy before it."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from memocache import _clock
from memocache.backends.base import Cache
from tests.faults.kinds import KINDS, Kind
from tests.support.faults import FaultProxy
from tests.support.faulty import recovery


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def kind(request: pytest.FixtureRequest) -> type[Kind]:
    found: type[Kind] = request.param
    return found


@pytest.fixture
def server(kind: type[Kind], request: pytest.FixtureRequest) -> Any:
    """A server that all tests share: use *prefix*, and do not hurt it."""
    return request.getfixturevalue(kind.server)


@pytest.fixture
def start_server(kind: type[Kind], request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Starts servers of this test's own."""
    found: Callable[..., Any] = request.getfixturevalue(kind.factory)
    return found


@pytest.fixture
def proxy(server: Any) -> Iterator[FaultProxy]:
    with FaultProxy(server.address, unix=True) as proxy:
        yield proxy


@pytest.fixture
def make_cache(kind: type[Kind], proxy: FaultProxy, prefix: str) -> Callable[..., Cache]:
    """Makes caches that reach the server through *proxy*."""
    return lambda **options: kind.cache(proxy.address, prefix, **options)


@pytest.fixture
def recover(proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Heals the server, and lets the longest pause of a breaker pass."""
    return recovery(proxy, monkeypatch)


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock of breakers and deadlines, which goes on by itself no more."""
    now = _clock.ticks()
    monkeypatch.setattr(_clock, "ticks", lambda: now)

    def move(seconds: float) -> None:
        nonlocal now
        now += seconds

    return move


@pytest.fixture
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner | None]:
    """An event loop, if the parameter says so, or None."""
    if request.param:
        with asyncio.Runner() as runner:
            yield runner
    else:
        yield None
