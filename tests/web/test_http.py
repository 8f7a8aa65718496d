"""Views over real HTTP: two workers of gunicorn or uvicorn, which share a memcached.

An application has a view at /page/<i>, for which POST /forget/<i> calls `uncache`, and whose JSON says with "computed"
which computation it comes of.
"""

from collections.abc import Iterator

import pytest

from tests.support.servers import MemcachedServer
from tests.web.http_servers import Gunicorn, Hypercorn, Uvicorn, WebServer

pytest.importorskip("gunicorn")
pytest.importorskip("uvicorn")

KINDS: dict[str, tuple[type[WebServer], str]] = {
    "flask": (Gunicorn, "gunicorn_app:app"),
    "django": (Gunicorn, "django_app:wsgi"),
    "django by ASGI": (Uvicorn, "django_app:asgi"),
    "fastapi": (Uvicorn, "uvicorn_app:app"),
}
PATHS = {
    "flask": ["/page/1?q=2", "/async/1"],
    "django": ["/page/1?q=2", "/async/1", "/template/1"],
    "django by ASGI": ["/page/1?q=2", "/async/1", "/template/1"],
    "fastapi": ["/page/1?q=2", "/threads/1", "/data/1", "/starlette/1"],
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def server(kind: str, memcached: MemcachedServer) -> Iterator[WebServer]:
    make, application = KINDS[kind]
    url = f"memcached://{memcached.address}?prefix={kind.replace(' ', '-')}-"
    with make(f"tests.web.{application}", MEMOCACHE_URL=url) as server:
        yield server


def test_two_workers_serve_the_same_with_the_same_etag(server: WebServer, kind: str) -> None:
    for path in PATHS[kind]:
        answers = list(server.from_each("GET", path).values())
        assert len({answer.body for answer in answers}) == 1
        (tag,) = {answer.headers["ETag"] for answer in answers}
        again = server.from_each("GET", path, If_None_Match=tag).values()
        assert [(answer.status, answer.body, answer.headers["ETag"]) for answer in again] == [(304, b"", tag)] * 2
        head = server.from_each("HEAD", path).values()
        assert [(answer.headers["ETag"], answer.headers["Content-Length"]) for answer in head] == (
            [(tag, str(len(answers[0].body)))] * 2
        )


def test_what_one_worker_forgets_the_other_does(server: WebServer) -> None:
    for _ in range(3):
        before = server.from_each("GET", "/page/7")
        variant = server.ask("GET", "/page/7?q=x").json
        forgot = server.ask("POST", "/forget/7")
        assert forgot.body.lower() == b"true"
        after = server.from_each("GET", "/page/7")
        assert before.keys() == after.keys()  # the one that forgot, and the other
        assert {answer.json["computed"] for answer in after.values()}.isdisjoint(
            answer.json["computed"] for answer in before.values()
        )
        assert len({answer.json["computed"] for answer in after.values()}) == 1
        assert server.ask("GET", "/page/7?q=x").json["computed"] != variant["computed"]


def test_nothing_is_served_to_those_with_cookies(server: WebServer) -> None:
    known = server.ask("GET", "/page/8").json
    for _ in range(3):
        assert server.ask("GET", "/page/8", Cookie="session=alice").json["computed"] != known["computed"]
    assert server.ask("GET", "/page/8").json == known


@pytest.mark.parametrize("kind", ["fastapi"], indirect=True)  # others' handlers or servers have read the body before
def test_a_get_with_a_body_that_comes_in_chunks_is_passed_by(server: WebServer) -> None:
    known = server.ask("GET", "/page/9").json
    assert server.ask("GET", "/page/9", Transfer_Encoding="chunked", body=b"0\r\n\r\n").json != known
    assert server.ask("GET", "/page/9").json == known


BY_HTTP_2 = {"flask": "wsgi:tests.web.gunicorn_app:app", "django": "django_app:asgi", "fastapi": "uvicorn_app:app"}


@pytest.fixture(params=BY_HTTP_2)
def server_of_http_2(request: pytest.FixtureRequest) -> Iterator[Hypercorn]:
    application = BY_HTTP_2[request.param]
    with Hypercorn(application if ":tests" in application else f"tests.web.{application}") as server:
        yield server


def test_a_get_with_a_body_and_no_length_by_http_2_is_passed_by(server_of_http_2: Hypercorn) -> None:
    ask = server_of_http_2.ask_by_http_2
    poison = ask("/body", b"poison").json
    known = ask("/body").json
    assert known["body"] == ""
    other = ask("/body", b"other").json
    if poison["body"]:  # in WSGI there is none without a length
        assert (poison["body"], other["body"]) == ("poison", "other")
        assert len({each["computed"] for each in (poison, known, other)}) == 3
    assert ask("/body").json == known
    assert "age" in ask("/body").headers
