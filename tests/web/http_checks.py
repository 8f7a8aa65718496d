"""What a site of any framework must do under a real server, with two workers that share a memcached.

It has a view at /page/<i>, for which POST /forget/<i> calls `uncache`, and whose JSON says with "computed" which
computation it comes of.
"""

from tests.web.http_servers import WebServer

__all__ = ["nobody_with_cookies", "the_other_forgets", "the_same_etag"]


def the_same_etag(server: WebServer, path: str) -> None:
    answers = list(server.from_each("GET", path).values())
    assert len({answer.body for answer in answers}) == 1
    (tag,) = {answer.headers["ETag"] for answer in answers}
    again = server.from_each("GET", path, If_None_Match=tag).values()
    assert [(answer.status, answer.body, answer.headers["ETag"]) for answer in again] == [(304, b"", tag)] * 2
    head = server.from_each("HEAD", path).values()
    assert [(answer.headers["ETag"], answer.headers["Content-Length"]) for answer in head] == (
        [(tag, str(len(answers[0].body)))] * 2
    )


def the_other_forgets(server: WebServer) -> None:
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


def nobody_with_cookies(server: WebServer) -> None:
    known = server.ask("GET", "/page/8").json
    for _ in range(3):
        assert server.ask("GET", "/page/8", Cookie="session=alice").json["computed"] != known["computed"]
    assert server.ask("GET", "/page/8").json == known
