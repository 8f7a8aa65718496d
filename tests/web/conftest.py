"""What the tests of every framework can ask for."""

import functools
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memocache import Cache, MemcachedCache, SimpleCache
from tests.support.redis_servers import RedisServer
from tests.support.servers import MemcachedServer
from tests.web.django_site import DjangoSite
from tests.web.frameworks import SITES, Make
from tests.web.sites import Site


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for *make* or *site* on the sites of all frameworks; or on some: `@pytest.mark.sites`."""
    if "make" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("sites")
        sites = {name: make for name, make in SITES.items() if marker is None or marker.args[0](make)}
        metafunc.parametrize("make", list(sites.values()), ids=list(sites))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sites(condition): the sites of all frameworks that the test is run on")


@pytest.fixture
def site(make: Make) -> Site:
    return make()


@pytest.fixture(autouse=True)
def no_settings_of_sites() -> Iterator[None]:
    yield
    DjangoSite.leave()


@pytest.fixture(params=["simple", "memcached"])
def cache(request: pytest.FixtureRequest, prefix: str) -> Cache:
    """In process and on memcached."""
    if request.param == "simple":
        return SimpleCache(threshold=10_000)
    server: MemcachedServer = request.getfixturevalue("memcached")
    return MemcachedCache([server.address], key_prefix=prefix, timeout=5)  # whatever else this machine does


@pytest.fixture(params=["redis", "memcached", "sqlite"])
def url(
    request: pytest.FixtureRequest, memcached: MemcachedServer, redis_server: RedisServer, prefix: str, tmp_path: Path
) -> str:
    """The URL of each cache that processes share."""
    return {
        "redis": f"{redis_server.url}?prefix={prefix}&timeout=10",
        "memcached": f"memcached://{memcached.address}?prefix={prefix}&timeout=10",
        "sqlite": f"sqlite://{tmp_path / 'cache.db'}?timeout=10",
    }[request.param]


@pytest.fixture
def count() -> Callable[[], int]:
    """Returns 1, 2, 3 and so on."""
    return functools.partial(next, itertools.count(1))
