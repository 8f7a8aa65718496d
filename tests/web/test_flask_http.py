"""Flask over real HTTP: two workers of gunicorn that share a memcached."""

from collections.abc import Iterator

import pytest

from tests.servers import MemcachedServer
from tests.web.http_servers import Gunicorn

pytest.importorskip("gunicorn")


@pytest.fixture(scope="module")
def server(memcached: MemcachedServer) -> Iterator[Gunicorn]:
    url = f"memcached://{memcached.address}?prefix=gunicorn-"
    with Gunicorn("tests.web.gunicorn_app:app", MEMOCACHE_URL=url) as server:
        yield server


@pytest.mark.parametrize("path", ["/page/1?q=2", "/async/1"])
def test_two_workers_serve_the_same_with_the_same_etag(server: Gunicorn, path: str) -> None:
    answers = list(server.from_each("GET", path).values())
    assert len({answer.body for answer in answers}) == 1
    (tag,) = {answer.headers["ETag"] for answer in answers}
    again = server.from_each("GET", path, If_None_Match=tag).values()
    assert [(answer.status, answer.body, answer.headers["ETag"]) for answer in again] == [(304, b"", tag)] * 2
    head = server.from_each("HEAD", path).values()
    assert [(answer.headers["ETag"], answer.headers["Content-Length"]) for answer in head] == (
        [(tag, str(len(answers[0].body)))] * 2
    )


def test_what_one_worker_forgets_the_other_does(server: Gunicorn) -> None:
    for _ in range(3):
        before = server.from_each("GET", "/page/7")
        variant = server.ask("GET", "/page/7?q=x").json
        forgot = server.ask("POST", "/forget/7")
        assert forgot.body == b"True"
        after = server.from_each("GET", "/page/7")
        assert before.keys() == after.keys()  # the one that forgot, and the other
        assert {answer.json["computed"] for answer in after.values()}.isdisjoint(
            answer.json["computed"] for answer in before.values()
        )
        assert len({answer.json["computed"] for answer in after.values()}) == 1
        assert server.ask("GET", "/page/7?q=x").json["computed"] != variant["computed"]


def test_nothing_is_served_to_those_with_cookies(server: Gunicorn) -> None:
    known = server.ask("GET", "/page/8").json
    for _ in range(3):
        assert server.ask("GET", "/page/8", Cookie="session=alice").json["computed"] != known["computed"]
    assert server.ask("GET", "/page/8").json == known
