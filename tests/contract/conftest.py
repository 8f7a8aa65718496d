"""The servers that the tests of this folder empty: they are nobody else's."""

from collections.abc import Callable, Iterator

import pytest

from tests.support.servers import MemcachedServer


@pytest.fixture(scope="package")
def contract_memcached(start_memcached: Callable[..., MemcachedServer]) -> MemcachedServer:
    return start_memcached(tcp=True)


@pytest.fixture(scope="package")
def three_memcacheds(start_memcached: Callable[..., MemcachedServer]) -> list[MemcachedServer]:
    return [start_memcached() for _ in range(3)]


@pytest.fixture(scope="package")
def start_memcached(memcached_binary: object) -> Iterator[Callable[..., MemcachedServer]]:
    """Starts servers of this folder's own."""
    servers: list[MemcachedServer] = []

    def start(**options: object) -> MemcachedServer:
        servers.append(MemcachedServer(binary=memcached_binary, **options))
        return servers[-1].__enter__()

    yield start
    for server in servers:
        server.__exit__(None, None, None)
