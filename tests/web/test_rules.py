"""The rules by themselves, on the matrix that every framework is tested with, and on fuzzed headers."""

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from memocache.web._responses import RESPONSE, ResponseHeaders, StoredResponse, entity_tag, storable_headers
from memocache.web._rules import (
    CREDENTIALS,
    STATUSES,
    Directives,
    RequestInfo,
    RequestMode,
    ResponseInfo,
    ViewRules,
    judge,
    parse_date,
    remove_cookies,
    request_key,
    request_mode,
    sort_query,
)
from tests.web.fuzz import combinations
from tests.web.matrix import CASES, Ask, Case, Reply

NOW = 1_700_000_000.0


def request_info(ask: Ask) -> RequestInfo:
    path, _, query = ask.target.partition("?")
    names = [name.lower() for name, _ in ask.headers]
    return RequestInfo(
        ask.method, ask.scheme, ask.host, "", path, query.encode(), ask.values, names, identified=bool(ask.user)
    )


def may_serve(first: Ask, reply: Reply, second: Ask, rules: ViewRules) -> bool:
    """Return what the rules say of a case."""
    if request_mode(request_info(first), rules)[0] not in (RequestMode.USE, RequestMode.REFRESH):
        return False
    storability = judge(ResponseInfo(reply.status, reply.headers, reply.streamed), rules, 300, 0, NOW)
    return (
        storability.lifetime > 0
        and request_mode(request_info(second), rules)[0] in (RequestMode.USE, RequestMode.READ)
        and request_key(request_info(first), rules, storability.vary)
        == request_key(request_info(second), rules, storability.vary)
    )


def view_rules(case: Case) -> ViewRules:
    return ViewRules(
        vary=tuple(name.lower() for name in case.terms.get("vary", ())),
        has_key_function=case.terms.get("keyed", False),
        statuses=STATUSES | set(case.terms.get("statuses", ())),
        credentials=CREDENTIALS | {name.lower() for name in case.terms.get("credential_headers", ())},
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_matrix(case: Case) -> None:
    assert may_serve(case.first, case.reply, case.second, view_rules(case)) is case.cached


def test_the_matrix_has_both_sides() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
    assert sum(case.cached for case in CASES) >= 30
    assert sum(not case.cached for case in CASES) >= 30


def test_fuzzed_headers() -> None:
    wrong = [
        each
        for each in combinations(10_000)
        if may_serve(each.ask, each.reply, each.ask, ViewRules()) is not each.cached
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
    assert request_mode(request_info(Ask(headers=(("Cache-Control", line),))), ViewRules())[0] is RequestMode.BYPASS


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
    storability = judge(ResponseInfo(200, list(headers.items())), ViewRules(), 300, 7, NOW)
    assert (storability.lifetime, storability.stale) == (lifetime, stale)


@pytest.mark.parametrize(
    "date",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 -0000",
    ],
)
def test_dates_are_of_greenwich(monkeypatch: pytest.MonkeyPatch, date: str) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "America/Los_Angeles")
        time.tzset()
        found = parse_date([date])
    time.tzset()
    assert found == 784_111_777


def test_not_modified_says_nothing_of_the_next_time() -> None:
    assert judge(ResponseInfo(304, ()), ViewRules(), 300, 0, NOW).is_lasting is False
    assert judge(ResponseInfo(500, ()), ViewRules(), 300, 0, NOW).is_lasting is True


@pytest.mark.parametrize(
    ("cookie", "shown"),
    [("theme\x1b[31m\x85=1", "theme\\x1b[31m\\x85"), (f"{'a' * 600}{'b' * 600}", f"{'a' * 500} ... {'b' * 500}")],
    ids=["steers", "long"],
)
def test_a_cookie_is_told_in_one_line(cookie: str, shown: str) -> None:
    why = f"it has the cookie {shown}; see key=, vary= and the list of cookies that do not matter"
    request = request_info(Ask(headers=(("Cookie", f"_ga=1; {cookie}"),)))
    assert request_mode(request, ViewRules()) == (RequestMode.BYPASS, why)


@pytest.mark.parametrize(
    ("patterns", "matter"),
    [((), ["_ga", "a.b", "a1"]), (("_g?", "a.*"), ["a1"]), (("a[1]", "_ga|a1", "A.B"), ["_ga", "a.b"]), (("*",), [])],
)
def test_patterns_of_cookies(patterns: tuple[str, ...], matter: list[str]) -> None:
    assert [pair.partition("=")[0] for pair in remove_cookies(["_ga=1; a.b=2", "a1=3"], patterns)] == matter


def test_names_of_one_name_stay_in_order_whatever_they_are_decoded_to() -> None:
    assert sort_query(b"b=1&a=2&b=0&%62=3") == (b"a=2", b"b=1", b"b=0", b"%62=3")
    assert sort_query(b"%ff=1&%fe=2") != sort_query(b"%fe=2&%ff=1")  # both are U+FFFD to some
    assert sort_query(b"a+b=1&a%20b=2") != sort_query(b"a%20b=2&a+b=1")
    assert sort_query(b"a=1&b=2;a=3") == (b"a=1", b"b=2;a=3")
    assert len(sort_query(b"&" * 100_000)) == 1001


STORED = StoredResponse(RESPONSE, (200, (), b"body"), NOW, 60.0, 0.0, ("accept-language",))


def added_headers(
    headers: Sequence[tuple[str, str]], body: bytes, rules: ViewRules, stored: StoredResponse, now: float, *, hit: bool
) -> dict[str, str]:
    return ResponseHeaders(request_info(Ask()), rules, stored, now, hit).to_set(headers, body)


def test_what_is_added() -> None:
    html = [("Content-Type", "text/html")]
    added = added_headers(html, b"body", ViewRules(), STORED, NOW + 5.9, hit=True)
    assert added == {
        "Age": "5",
        "ETag": entity_tag(html, b"body"),
        "Vary": "Accept-Language, Authorization, Cookie",
        "Cache-Control": "private, max-age=60",
    }
    assert "Age" not in added_headers(html, b"body", ViewRules(), STORED, NOW, hit=False)
    assert added_headers([("Age", "7")], b"", ViewRules(), STORED, NOW + 5, hit=True)["Age"] == "12"


def test_what_the_view_has_set_stays() -> None:
    own = [("ETag", '"mine"'), ("Cache-Control", "max-age=5"), ("Vary", "Accept, accept-language")]
    assert added_headers(own, b"body", ViewRules(), STORED, NOW, hit=False) == {}
    assert added_headers([("Vary", "Accept")], b"", ViewRules(has_key_function=True), STORED, NOW, hit=False)[
        "Vary"
    ] == ("Accept, Accept-Language, Authorization, Cookie")
    assert "Cache-Control" not in added_headers([("Expires", "0")], b"", ViewRules(), STORED, NOW, hit=False)


def test_stale_is_said() -> None:
    added = added_headers([], b"", ViewRules(), STORED._replace(stale=30.0, lifetime=float("inf")), NOW, hit=False)
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
    assert all(tag.startswith('W/"') and tag.endswith('"') and len(tag) == 36 for tag in tags)


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
    headers = ResponseHeaders(request_info(ask), ViewRules(), STORED, NOW, hit=False)
    assert headers.is_unmodified(status, response_headers) is unmodified  # type: ignore[arg-type]
    headers = replace(headers, request=request_info(Ask(method="POST", headers=ask.headers)))
    assert not headers.is_unmodified(status, response_headers)  # type: ignore[arg-type]


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
    assert storable_headers(headers) == (("Content-Type", "text/html"), ("Link", "a"), ("Link", "b"))


def test_stored_form() -> None:
    assert StoredResponse.unpack(STORED.pack()) == STORED
    assert StoredResponse.unpack(list(STORED.pack())) == STORED
    for other in (None, "page", (), (2, *STORED), STORED.pack()[:-1]):
        assert StoredResponse.unpack(other) is None
