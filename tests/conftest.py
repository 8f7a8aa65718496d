"""What every test can ask for: real servers, key prefixes; and a clock that does not lie to threads."""

import gc
import itertools
import secrets
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import freezegun
import pytest
from pymemcache import Client

from memocache import SimpleCache, configure
from memocache._current import configured
from memocache._flight import Flight
from memocache._hooks import adapters
from tests.support.canary import Canary
from tests.support.faults import FaultProxy
from tests.support.redis_servers import RedisCluster, RedisServer, find_redis, find_valkey
from tests.support.servers import (
    Address,
    MemcachedBinary,
    MemcachedServer,
    ServerFailed,
    TlsMemcachedServer,
    find_memcached,
    skip_or_fail,
)
from tests.support.threads import Joins

pytest_plugins = ["pytester", "tests.support.selection"]

TESTS_A_COLLECTION = 200
WITH_VIEWS = ("test_readme.py", "test_pages_web.py")
_tests = itertools.count(1)

# By default freezegun gives the real time to code that threading, queue or multiprocessing called within five
# frames: a test with threads would see both times, and which one where would change with every refactoring.
# The one module that is left alone is where pytest has its clocks from, for what it says of how long a test took.
freezegun.configure(default_ignore_list=["_pytest.timing"])


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("reliability")
    group.addoption("--chance", default="1", metavar="SEED", help="what is drawn by lot follows from")


def pytest_collection_finish() -> None:
    """Leave what all tests and libraries consist of out of every later collection: that takes seconds each."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def fresh_default() -> SimpleCache:
    """A default cache of this test's own, and no others by name."""
    cache = SimpleCache(threshold=10_000)
    configure(cache, **dict.fromkeys(configured()))
    return cache


@pytest.fixture(autouse=True)
def only_web_tests_have_frameworks(request: pytest.FixtureRequest) -> Iterator[None]:
    """As in a process that has not imported one: there, forgetting a call takes one command less."""
    held = [] if "web" in request.path.parts or request.path.name in WITH_VIEWS else adapters[:]
    for each in held:
        adapters.remove(each)
    yield
    adapters.extend(held)


@pytest.fixture
def only_own_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process in which no other test has decorated a function: `uncache_tag` asks the caches of all."""
    monkeypatch.setattr(adapters, "_functions", weakref.WeakSet())


@pytest.fixture(autouse=True)
def few_connections() -> None:
    """Close those of caches that nobody holds any more, before there are more of them than a server takes."""
    if next(_tests) % TESTS_A_COLLECTION == 0:
        gc.collect()


@pytest.fixture
def prefix() -> str:
    """A short text for the keys of this test alone: the servers are shared, and nobody empties them."""
    return f"t{secrets.token_hex(5)}-"


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Canary]:
    """A value that nobody may unpickle in this test."""
    canary = Canary(tmp_path / "unpickled")
    yield canary
    assert not canary.path.exists(), "bytes from the cache were executed"


@pytest.fixture(scope="session")
def memcached_binary() -> MemcachedBinary:
    binary, reason = find_memcached()
    return binary or skip_or_fail(reason)


@pytest.fixture(scope="session")
def memcached(memcached_binary: MemcachedBinary) -> Iterator[MemcachedServer]:
    """A memcached on a unix socket, shared by all tests: use *prefix*, and do not hurt it."""
    with MemcachedServer(binary=memcached_binary) as server:
        yield server


@pytest.fixture
def proxy(memcached: MemcachedServer) -> Iterator[FaultProxy]:
    """What stands before the memcached of all tests, and may do harm to this test's own connections."""
    with FaultProxy(memcached.address, unix=True) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def memcached_tcp(memcached_binary: MemcachedBinary) -> Iterator[MemcachedServer]:
    """A memcached on 127.0.0.1, shared by all tests: use *prefix*, and do not hurt it."""
    with MemcachedServer(tcp=True, binary=memcached_binary) as server:
        yield server


@pytest.fixture(scope="session")
def tls_memcached(memcached_binary: MemcachedBinary) -> Iterator[TlsMemcachedServer]:
    """A memcached that speaks TLS, shared by all tests: use *prefix*, and do not hurt it."""
    try:
        server = TlsMemcachedServer(binary=memcached_binary).start()
    except ServerFailed as error:
        if "TLS" not in str(error) and "-- 'Z'" not in str(error):
            raise
        skip_or_fail(f"this memcached was built without TLS: {error}")
    yield server
    server.stop()


@pytest.fixture
def memcached_factory(memcached_binary: MemcachedBinary) -> Iterator[Callable[..., MemcachedServer]]:
    """Starts memcacheds of this test's own, with the options of MemcachedServer, and stops them after it."""
    with ExitStack() as servers:

        def start(**options: Any) -> MemcachedServer:
            return servers.enter_context(MemcachedServer(binary=memcached_binary, **options))

        yield start


@pytest.fixture
def own_memcached(memcached_factory: Callable[..., MemcachedServer]) -> MemcachedServer:
    """A memcached on a unix socket that this test may kill, pause and restart."""
    return memcached_factory()


@pytest.fixture
def client_for() -> Iterator[Callable[..., Client]]:
    """Makes plain pymemcache clients for an address, and closes them after the test."""
    with ExitStack() as clients:

        def make(address: Address, timeout: float = 5.0, **options: Any) -> Client:
            client = Client(address, timeout=timeout, default_noreply=False, **options)
            clients.callback(client.close)
            return client

        yield make


@pytest.fixture
def joins(monkeypatch: pytest.MonkeyPatch) -> Joins:
    """How many have begun to wait for a computation, in threads or tasks."""
    joins, subscribe = Joins(), Flight.subscribe

    def noted(flight: Flight, wake: Callable[[], None]) -> bool:
        joins.count += getattr(wake, "__name__", "") != "_wake"  # the leader's own
        return subscribe(flight, wake)

    monkeypatch.setattr(Flight, "subscribe", noted)
    return joins


@pytest.fixture(scope="session")
def redis_binary() -> str:
    binary, reason = find_redis()
    return binary or skip_or_fail(reason)


@pytest.fixture(scope="session")
def valkey_binary() -> str:
    binary, reason = find_valkey()
    return binary or skip_or_fail(reason)


@pytest.fixture(scope="session")
def redis_server(redis_binary: str) -> Iterator[RedisServer]:
    """A Redis on a unix socket, shared by all tests: use *prefix*, and do not hurt it."""
    with RedisServer(binary=redis_binary) as server:
        yield server


@pytest.fixture(scope="session")
def valkey_server(valkey_binary: str) -> Iterator[RedisServer]:
    """A Valkey on a unix socket, shared by all tests: use *prefix*, and do not hurt it."""
    with RedisServer(binary=valkey_binary) as server:
        yield server


@pytest.fixture(scope="session")
def redis_cluster(redis_binary: str) -> Iterator[RedisCluster]:
    """A cluster of three masters, shared by all tests: use *prefix*, and do not hurt it."""
    with RedisCluster(redis_binary) as cluster:
        yield cluster


@pytest.fixture
def shared_url(request: pytest.FixtureRequest, prefix: str, tmp_path: Path) -> Callable[[str], str]:
    """Returns the URL of a cache of this test's own, by its kind: "redis", "memcached" or "sqlite"."""

    def shared_url(kind: str) -> str:
        if kind == "sqlite":
            return f"sqlite://{tmp_path}/cache.db?prefix={prefix}&timeout=10"
        if kind == "memcached":
            return f"memcached://{request.getfixturevalue('memcached').address}?prefix={prefix}&timeout=10"
        return f"{request.getfixturevalue('redis_server').url}?prefix={prefix}&timeout=10"

    return shared_url


@pytest.fixture(params=["redis", "memcached", "sqlite"])
def url(request: pytest.FixtureRequest, shared_url: Callable[[str], str]) -> str:
    """The URL of each cache that processes share."""
    return shared_url(request.param)


@pytest.fixture
def redis_factory(redis_binary: str) -> Iterator[Callable[..., RedisServer]]:
    """Starts servers of this test's own, with the options of RedisServer, and stops them after it."""
    with ExitStack() as servers:

        def start(*options: str, **more: Any) -> RedisServer:
            return servers.enter_context(RedisServer(*options, **{"binary": redis_binary, **more}))

        yield start


@pytest.fixture
def own_redis(redis_factory: Callable[..., RedisServer]) -> RedisServer:
    """A Redis on a unix socket that this test may kill, pause and restart."""
    return redis_factory()


@pytest.fixture
def telemetry() -> Iterator[Any]:
    """Two readers of a meter and the spans, while we report to them, and what ends that and begins again."""
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from memocache.observe.otel import instrument

    readers, spans, tracers = [InMemoryMetricReader(), InMemoryMetricReader()], InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    begin = partial(instrument, MeterProvider(readers), tracers)
    end = begin()
    yield SimpleNamespace(readers=readers, spans=spans, tracer=tracers.get_tracer("shop"), begin=begin, end=end)
    end()
