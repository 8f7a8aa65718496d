"""Flask over real HTTP: two workers of gunicorn that share a memcached."""

from collections.abc import Iterator

import pytest

from tests.support.servers import MemcachedServer
from tests.web.http_checks import nobody_with_cookies, the_other_forgets, the_same_etag
from tests.web.http_servers import Gunicorn

pytest.importorskip("gunicorn")


@pytest.fixture(scope="module")
def server(memcached: MemcachedServer) -> Iterator[Gunicorn]:
    url = f"memcached://{memcached.address}?prefix=gunicorn-"
    with Gunicorn("tests.web.gunicorn_app:app", MEMOCACHE_URL=url) as server:
        yield server


@pytest.mark.parametrize("path", ["/page/1?q=2", "/async/1"])
def test_two_workers_serve_the_same_with_the_same_etag(server: Gunicorn, path: str) -> None:
    the_same_etag(server, path)


def test_what_one_worker_forgets_the_other_does(server: Gunicorn) -> None:
    the_other_forgets(server)


def test_nothing_is_served_to_those_with_cookies(server: Gunicorn) -> None:
    nobody_with_cookies(server)
