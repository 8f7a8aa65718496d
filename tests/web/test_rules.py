"""The rules by themselves, on the matrix that every framework is tested with, and on fuzzed headers."""

import pytest

from memocache.web._finish import additions, entity_tag, is_unmodified
from memocache.web._headers import Directives
from memocache.web._query import sorted_query
from memocache.web._rules import STATUSES, Answer, Asked, Terms, Way, judge, request_key, way_of
from memocache.web._stored import RESPONSE, Stored, kept_headers
from tests.web.fuzz import combinations
from tests.web.matrix import CASES, Ask, Case, Reply

NOW = 1_700_000_000.0


def asked(ask: Ask) -> Asked:
    path, _, query = ask.target.partition("?")
    return Asked(ask.method, ask.scheme, ask.host, "", path, query.encode(), ask.values, bool(ask.user))


def may_serve(first: Ask, reply: Reply, second: Ask, terms: Terms) -> bool:
    """Return what the rules say of a case."""
    if way_of(asked(first), terms) not in (Way.USE, Way.REFRESH):
        return False
    verdict = judge(Answer(reply.status, reply.headers, reply.streamed), terms, 300, 0, NOW)
    return (
        verdict.lifetime > 0
        and way_of(asked(second), terms) in (Way.USE, Way.READ)
        and request_key(asked(first), terms, verdict.vary) == request_key(asked(second), terms, verdict.vary)
    )


def terms_of(case: Case) -> Terms:
    return Terms(
        vary=tuple(name.lower() for name in case.terms.get("vary", ())),
        keyed=case.terms.get("keyed", False),
        statuses=STATUSES | set(case.terms.get("statuses", ())),
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_matrix(case: Case) -> None:
    assert may_serve(case.first, case.reply, case.second, terms_of(case)) is case.cached


def test_the_matrix_has_both_sides() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
    assert sum(case.cached for case in CASES) >= 30
    assert sum(not case.cached for case in CASES) >= 30


def test_fuzzed_headers() -> None:
    wrong = [
        each for each in combinations(10_000) if may_serve(each.ask, each.reply, each.ask, Terms()) is not each.cached
    ]
    assert not wrong


@pytest.mark.parametrize(
    "line",
    [
        "no-store",
        "NO-STORE",
        "max-age=5,\r\n no-store",  # folded
        "max-age=5,\n\tno-store",
        'x="\\"", no-store',  # an escaped quote
        'x="a,b", no-store, y="c"',
        " \t,no-store , ",
        "x" * 100_000 + ", no-store",
        ", ".join(["a=1"] * 20_000) + ", no-store",
    ],
)
def test_no_store_is_found_wherever_it_is(line: str) -> None:
    assert "no-store" in Directives([line])


@pytest.mark.parametrize("line", ['x="no-store', "a b", "no-store;x", "é", '"no-store"', "=no-store", 'x="a"b"'])
def test_what_is_no_directive_is_said_to_be_none(line: str) -> None:
    assert Directives([line]).malformed
    assert way_of(asked(Ask(headers=(("Cache-Control", line),))), Terms()) is Way.BYPASS


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("max-age=60", 60),
        ("max-age=60, max-age=7", 7),
        ('max-age="60"', 60),
        ("max-age", 0),
        ("max-age=", 0),
        ("max-age=1.5", 0),
        ("max-age=-5", 0),
        ("max-age=+5", 0),
        ("max-age=٣", 0),
        ("max-age=" + "9" * 5000, 2**31),
        ("public", None),
    ],
)
def test_seconds(line: str, seconds: int | None) -> None:
    assert Directives([line]).seconds("max-age") == seconds


@pytest.mark.parametrize(
    ("headers", "lifetime", "stale"),
    [
        ({}, 300, 7),
        ({"Cache-Control": "max-age=20"}, 20, 7),
        ({"Cache-Control": "max-age=1000"}, 300, 7),
        ({"Cache-Control": "max-age=1, s-maxage=20"}, 20, 0),
        ({"Cache-Control": "max-age=20", "Age": "5"}, 15, 7),
        ({"Cache-Control": "must-revalidate"}, 300, 0),
        ({"Cache-Control": "stale-while-revalidate=30"}, 300, 30),
        ({"Cache-Control": "s-maxage=20, stale-while-revalidate=30"}, 20, 30),
        ({"Cache-Control": "stale-while-revalidate=30, must-revalidate"}, 300, 0),
        ({"Cache-Control": "stale-while-revalidate=30, stale-if-error=60"}, 300, 30),
        ({"Cache-Control": "stale-if-error=60"}, 300, 0),
        ({"Expires": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30, 7),
        ({"Expires": "Tue, 14 Nov 2023 22:13:50 GMT", "Cache-Control": "max-age=20"}, 20, 7),
    ],
)
def test_how_long(headers: dict[str, str], lifetime: float, stale: float) -> None:
    verdict = judge(Answer(200, list(headers.items())), Terms(), 300, 7, NOW)
    assert (verdict.lifetime, verdict.stale) == (lifetime, stale)


def test_not_modified_says_nothing_of_the_next_time() -> None:
    assert judge(Answer(304, ()), Terms(), 300, 0, NOW).again is False
    assert judge(Answer(500, ()), Terms(), 300, 0, NOW).again is True


def test_names_of_one_name_stay_in_order_whatever_they_are_decoded_to() -> None:
    assert sorted_query(b"b=1&a=2&b=0&%62=3") == (b"a=2", b"b=1", b"b=0", b"%62=3")
    assert sorted_query(b"%ff=1&%fe=2") != sorted_query(b"%fe=2&%ff=1")  # both are U+FFFD to some
    assert sorted_query(b"a+b=1&a%20b=2") != sorted_query(b"a%20b=2&a+b=1")
    assert sorted_query(b"a=1&b=2;a=3") == (b"a=1", b"b=2;a=3")
    assert len(sorted_query(b"&" * 100_000)) == 1001


STORED = Stored(RESPONSE, (200, (), b"body"), NOW, 60.0, 0.0, ("accept-language",))


def test_what_is_added() -> None:
    html = [("Content-Type", "text/html")]
    added = additions(html, b"body", Terms(), STORED, NOW + 5.9, hit=True)
    assert added == {
        "Age": "5",
        "ETag": entity_tag(html, b"body"),
        "Vary": "Accept-Language, Authorization, Cookie",
        "Cache-Control": "private, max-age=60",
    }
    assert "Age" not in additions(html, b"body", Terms(), STORED, NOW, hit=False)
    assert additions([("Age", "7")], b"", Terms(), STORED, NOW + 5, hit=True)["Age"] == "12"


def test_what_the_view_has_set_stays() -> None:
    own = [("ETag", '"mine"'), ("Cache-Control", "max-age=5"), ("Vary", "Accept, accept-language")]
    assert additions(own, b"body", Terms(), STORED, NOW, hit=False) == {}
    assert additions([("Vary", "Accept")], b"", Terms(keyed=True), STORED, NOW, hit=False)["Vary"] == (
        "Accept, Accept-Language, Authorization, Cookie"
    )
    assert "Cache-Control" not in additions([("Expires", "0")], b"", Terms(), STORED, NOW, hit=False)


def test_stale_is_said() -> None:
    added = additions([], b"", Terms(), STORED._replace(stale=30.0, lifetime=float("inf")), NOW, hit=False)
    assert added["Cache-Control"] == "private, max-age=2147483648, stale-while-revalidate=30, stale-if-error=30"


def test_entity_tags_tell_bytes_and_forms_apart() -> None:
    tags = {
        entity_tag([], b""),
        entity_tag([], b"a"),
        entity_tag([("Content-Type", "text/html")], b"a"),
        entity_tag([("content-type", "text/plain")], b"a"),
        entity_tag([("Content-Encoding", "text/plain")], b"a"),
    }
    assert len(tags) == 5
    assert entity_tag([], b"a") == entity_tag([("X-Other", "b")], b"a")
    assert all(tag.startswith('"') and tag.endswith('"') and len(tag) == 34 for tag in tags)


@pytest.mark.parametrize(
    ("request_headers", "status", "response_headers", "unmodified"),
    [
        ((("If-None-Match", '"x"'),), 200, (("ETag", '"x"'),), True),
        ((("If-None-Match", 'W/"x"'),), 200, (("ETag", '"x"'),), True),
        ((("If-None-Match", '"a", "b,c"'), ("If-None-Match", '"x"')), 200, (("ETag", '"x"'),), True),
        ((("If-None-Match", '"b,c"'),), 200, (("ETag", '"b"'),), False),
        ((("If-None-Match", "*"),), 200, (), True),
        ((("If-None-Match", '"y"'),), 200, (("ETag", '"x"'),), False),
        ((("If-None-Match", "x"),), 200, (("ETag", '"x"'),), False),
        ((("If-None-Match", '"x"'),), 301, (("ETag", '"x"'),), False),
        ((("If-None-Match", '"x"'),), 404, (("ETag", '"x"'),), False),
        ((), 200, (("ETag", '"x"'),), False),
        (
            (("If-Modified-Since", "Fri, 01 Jan 2021 00:00:00 GMT"),),
            200,
            (("Last-Modified", "Fri, 01 Jan 2021 00:00:00 GMT"),),
            True,
        ),
        (
            (("If-Modified-Since", "Fri, 01 Jan 2021 00:00:00 GMT"),),
            200,
            (("Last-Modified", "Fri, 01 Jan 2021 00:00:01 GMT"),),
            False,
        ),
        (
            (("If-Modified-Since", "Fri, 01 Jan 2021 00:00:00 GMT"), ("If-None-Match", '"y"')),
            200,
            (("Last-Modified", "Fri, 01 Jan 2021 00:00:00 GMT"), ("ETag", '"x"')),
            False,
        ),
        ((("If-Modified-Since", "yesterday"),), 200, (("Last-Modified", "Fri, 01 Jan 2021 00:00:00 GMT"),), False),
    ],
)
def test_not_modified(request_headers: object, status: int, response_headers: object, unmodified: bool) -> None:
    ask = Ask(headers=request_headers)  # type: ignore[arg-type]
    assert is_unmodified(asked(ask), status, response_headers) is unmodified  # type: ignore[arg-type]
    assert not is_unmodified(asked(Ask(method="POST", headers=ask.headers)), status, response_headers)  # type: ignore[arg-type]


def test_headers_of_one_connection_are_not_kept() -> None:
    headers = [
        ("Content-Type", "text/html"),
        ("Connection", "close, X-Hop"),
        ("x-hop", "1"),
        ("Transfer-Encoding", "chunked"),
        ("DATE", "Fri, 01 Jan 2021 00:00:00 GMT"),
        ("Content-Length", "4"),
        ("Link", "a"),
        ("Link", "b"),
    ]
    assert kept_headers(headers) == (("Content-Type", "text/html"), ("Link", "a"), ("Link", "b"))


def test_stored_form() -> None:
    assert Stored.unpacked(STORED.packed()) == STORED
    assert Stored.unpacked(list(STORED.packed())) == STORED
    for other in (None, "page", (), (2, *STORED), STORED.packed()[:-1]):
        assert Stored.unpacked(other) is None
