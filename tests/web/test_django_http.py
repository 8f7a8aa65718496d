"""Django over real HTTP: two workers that share a memcached, of gunicorn and of uvicorn."""

from collections.abc import Iterator

import pytest

from tests.support.servers import MemcachedServer
from tests.web.http_checks import nobody_with_cookies, the_other_forgets, the_same_etag
from tests.web.http_servers import Gunicorn, Uvicorn, WebServer

SERVERS = {"wsgi": Gunicorn, "asgi": Uvicorn}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, memcached: MemcachedServer) -> Iterator[WebServer]:
    pytest.importorskip("gunicorn" if request.param == "wsgi" else "uvicorn")
    url = f"memcached://{memcached.address}?prefix=django-{request.param}-"
    with SERVERS[request.param](f"tests.web.django_app:{request.param}", MEMOCACHE_URL=url) as server:
        yield server


@pytest.mark.parametrize("path", ["/page/1?q=2", "/async/1", "/template/1"])
def test_two_workers_serve_the_same_with_the_same_etag(server: WebServer, path: str) -> None:
    the_same_etag(server, path)


def test_what_one_worker_forgets_the_other_does(server: WebServer) -> None:
    the_other_forgets(server)


def test_nothing_is_served_to_those_with_cookies(server: WebServer) -> None:
    nobody_with_cookies(server)
