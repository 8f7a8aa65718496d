"""FastAPI and Starlette over real HTTP: two workers of uvicorn that share a memcached."""

from collections.abc import Iterator

import pytest

from tests.support.servers import MemcachedServer
from tests.web.http_checks import nobody_with_cookies, the_other_forgets, the_same_etag
from tests.web.http_servers import Uvicorn

pytest.importorskip("uvicorn")


@pytest.fixture(scope="module")
def server(memcached: MemcachedServer) -> Iterator[Uvicorn]:
    url = f"memcached://{memcached.address}?prefix=uvicorn-"
    with Uvicorn("tests.web.uvicorn_app:app", MEMOCACHE_URL=url) as server:
        yield server


@pytest.mark.parametrize("path", ["/page/1?q=2", "/threads/1", "/data/1", "/starlette/1"])
def test_two_workers_serve_the_same_with_the_same_etag(server: Uvicorn, path: str) -> None:
    the_same_etag(server, path)


def test_what_one_worker_forgets_the_other_does(server: Uvicorn) -> None:
    the_other_forgets(server)


def test_nothing_is_served_to_those_with_cookies(server: Uvicorn) -> None:
    nobody_with_cookies(server)


def test_a_get_with_a_body_that_comes_in_chunks_is_passed_by(server: Uvicorn) -> None:
    known = server.ask("GET", "/page/9").json
    assert server.ask("GET", "/page/9", Transfer_Encoding="chunked", body=b"0\r\n\r\n").json != known
    assert server.ask("GET", "/page/9").json == known
