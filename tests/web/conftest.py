"""What the tests of every framework can ask for."""

import functools
import itertools
import weakref
from collections.abc import Callable, Iterator

import pytest

from memocache import Cache, MemcachedCache, SimpleCache, _function
from tests.support.servers import MemcachedServer, skip_or_fail
from tests.web.chromium import Chromium, find_chromium
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    program, reason = find_chromium()
    with Chromium(program or skip_or_fail(reason)) as browser:
        yield browser


@pytest.fixture
def no_other_functions(monkeypatch: pytest.MonkeyPatch, only_own_functions: None) -> None:
    """As in a process in which no other test has decorated a function: the inspector shows those of all."""
    monkeypatch.setattr(_function, "_functions", weakref.WeakValueDictionary())


@pytest.fixture
def count() -> Callable[[], int]:
    """Returns 1, 2, 3 and so on."""
    return functools.partial(next, itertools.count(1))
