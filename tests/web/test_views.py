"""What a view of any framework does: what of a call is in the key, what is stored, what forgets it."""

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from memocache import (
    Cache,
    ConfigurationError,
    Event,
    MemcachedCache,
    NullCache,
    SimpleCache,
    SQLiteCache,
    cached,
    configure,
    disabled,
    subscribe,
    uncache_tag,
    uncaches,
)
from memocache._hooks import adapters
from memocache.web._discovery import ArgumentAdapter
from memocache.web._responses import StoredResponse
from tests.support.servers import MemcachedServer
from tests.support.threads import PATIENCE, Held, Joins, start
from tests.web.django_site import DjangoSite
from tests.web.frameworks import Make
from tests.web.matrix import Ask, Reply
from tests.web.sites import Asked, Site, View, not_cached

Count = Callable[[], int]
with_arguments = pytest.mark.sites(lambda make: make.func.has_arguments)
without_django = pytest.mark.sites(lambda make: make.func is not DjangoSite)


def page(count: Count) -> Callable[[Asked], str]:
    return lambda asked: f"{count()}"


def page_of_number(count: Count) -> Callable[..., str]:
    def body(asked: Asked, i: int) -> str:
        return f"{count()}"

    return body


# ---- the key -----------------------------------------------------------------------------------------------------


@with_arguments
def test_a_key_function_says_what_of_cookies_matters(site: Site, count: Count) -> None:
    key = site.key(lambda asked, i: asked.cookies.get("theme"))
    view = site.mount(page_of_number(count), cached(key=key), "/{i}")

    def pages(target: str) -> list[str]:
        return [site.text(target, Cookie=f"theme={theme}; other={count()}") for theme in ("light", "dark")]

    first, second = pages("/1"), pages("/2")
    assert len({*first, *second}) == 4
    assert [pages("/1"), pages("/2")] == [first, second]
    assert site.get("/1").headers["Vary"] == "Authorization, Cookie"
    assert view.uncache(1)  # both, and outside a request
    assert not set(pages("/1")) & set(first)
    assert pages("/2") == second


@with_arguments
def test_template_keys_and_ignored_arguments(site: Site, count: Count) -> None:
    def body(asked: Asked, i: int, j: int) -> str:
        return f"{count()}"

    view = site.mount(body, cached(key="{i}"), "/{i}/{j}")
    assert site.texts("/1/7", "/1/8", "/1/7") == ["1", "2", "1"]
    assert view.uncache(1, 9)  # only i counts
    assert site.texts("/1/7", "/1/8") == ["3", "4"]


def test_vary_names_headers_that_matter(site: Site, count: Count) -> None:
    site.mount(page(count), cached(vary=["X-Tenant"]))
    assert [site.text(X_Tenant=each) for each in "aba"] == ["1", "2", "1"]
    assert site.get(X_Tenant="a").headers["Vary"] == "Authorization, Cookie, X-Tenant"


def test_harmless_cookies_may_be_named(make: Make, count: Count) -> None:
    site = make(ignored_cookies=["ab_*"])
    site.mount(page(count))
    assert [site.text(Cookie=each) for each in ("ab_1=x", "ab_2=y", "_ga=1", "ab=1")] == ["1", "1", "2", "3"]


@without_django  # whose applications are told apart by the names of their URL configurations
def test_two_applications_of_one_name_do_not_share(make: Make, count: Count) -> None:
    sites = [make(), make()]
    function = sites[0].mount(page(count)).function
    sites[1].route("/", function)
    assert [site.texts("/", "/") for site in sites] == [["1", "1"], ["2", "2"]]


def test_mounted_applications_do_not_share(site: Site, count: Count) -> None:
    site.mount(page(count), cached, "/page")
    assert [site.ask(Ask(root=root)).text for root in ("/a", "/b", "/a")] == ["1", "2", "1"]


def test_hosts_that_are_not_trusted_reach_nothing(make: Make, count: Count) -> None:
    logging.getLogger("django.security.DisallowedHost").disabled = True
    site = make(hosts=["good.example"])
    site.mount(page(count))
    assert [site.ask(Ask("/", host=host)).status for host in ("evil.example", "good.example")] == [400, 200]
    assert (site.text(), count()) == ("1", 2)


@pytest.mark.parametrize("vary", ["Accept", 7, None, ["Accept Language"], ["*"], [1], [""]], ids=repr)
def test_vary_must_be_names_of_headers(vary: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^vary="):
        cached(vary=vary)


def test_at_most_eight_headers() -> None:
    with pytest.raises(ConfigurationError, match=r"^vary= names 9 headers; 8 are the most$"):
        cached(vary=[f"X-{number}" for number in range(9)])


@pytest.mark.parametrize("view", [1, 0, "yes"])
def test_view_must_be_a_bool(view: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^view=.*; wanted: True for a web view, False for no view, None"):
        cached(view=view)


# ---- what is stored ----------------------------------------------------------------------------------------------


def test_responses_are_made_anew(site: Site, count: Count) -> None:
    given: list[Any] = []
    reply = Reply(203, (("Link", "a"), ("Link", "b")), body="page")
    site.mount(lambda asked: count() and reply, returned=given)
    answers = [site.get() for _ in range(3)]
    assert len(set(map(id, given))) == 3
    assert count() == 2
    for each in answers:
        assert (each.status, each.text) == (203, "page")
        assert ",".join(each.headers.get_all("Link")) == "a,b"
        assert each.headers["Content-Type"].startswith("text/")
        assert each.headers["ETag"] == answers[0].headers["ETag"]
        assert each.headers["Cache-Control"] == "private, max-age=300"


def test_304_and_head(site: Site, count: Count) -> None:
    site.mount(page(count))
    tag = site.get().headers["ETag"]
    for method in ("GET", "HEAD"):
        unmodified = site.get("/", method, If_None_Match=f'"x", {tag}')
        assert (unmodified.status, unmodified.body, unmodified.headers["ETag"]) == (304, b"", tag)
        assert "Content-Length" not in unmodified.headers
        changed = site.get("/", method, If_None_Match='"x"')
        assert (changed.status, changed.headers["ETag"]) == (200, tag)
        assert changed.headers["Content-Length"] in ("1", None)  # None is Django's, which leaves it to middleware
    assert count() == 2


def test_what_is_raised_is_not_stored(site: Site, count: Count) -> None:
    def body(asked: Asked) -> str:
        count()
        raise site.error(404)

    site.mount(body)
    assert [site.get().status for _ in range(2)] == [404, 404]
    assert count() == 3
    assert "Cache-Control" not in site.get().headers


def test_errors_are_remembered_where_that_is_asked_for(site: Site, cache: Cache, count: Count) -> None:
    def body(asked: Asked) -> str:
        count()
        raise site.error(404)

    site.mount(body, cached(cache=cache, namespace="view", errors={type(site.error(404)): 30}))
    assert [site.get().status for _ in range(3)] == [404] * 3
    assert count() == 2


@pytest.mark.parametrize("by", ["session", "user"])
def test_what_is_raised_for_one_client_is_not_remembered(
    make: Make, count: Count, caplog: pytest.LogCaptureFixture, by: str
) -> None:
    caplog.set_level(logging.INFO, "memocache")
    user: list[str] = []

    def body(asked: Asked) -> str:
        count()
        if by == "user":
            user.append("alice")
        elif asked.query:
            asked.session()["user"] = asked.query
        raise site.error(404)

    site = make(has_sessions=True)
    site.let_in(lambda request: user)
    site.mount(body, cached(errors={type(site.error(404)): 30}))
    told: list[Event] = []
    unsubscribe = subscribe(told.append, "miss")
    for method in ("GET", "GET", "HEAD"):
        assert site.get("/?alice", method).status == 404
        user.clear()
    unsubscribe()
    assert [type(event.error) for event in told] == [type(site.error(404))] * 3
    assert count() == 4
    why = USER if by == "user" else "something of it is for one client, such as a session or a token"
    assert f": an exception was not remembered: {why} (said once for each reason)" in caplog.text
    by = "nobody"
    assert [site.get("/?").status for _ in range(2)] == [404] * 2
    assert count() == 6


def test_a_response_that_is_raised_is_given_to_nobody_else(
    site: Site, joins: Joins, caplog: pytest.LogCaptureFixture
) -> None:
    class Answered(Exception):
        pass

    held = Held(lambda: None)
    responses: list[object] = []

    def compute() -> None:
        held()
        raise Answered(site.response(Reply()))

    def body(asked: Asked) -> str:
        with pytest.raises(Answered) as caught:
            function()
        responses.append(caught.value.args[0])
        return ""

    function = cached(60, errors={Answered: 30})(compute)
    site.mount(body, not_cached)
    first = start(site.get)
    held.wait()
    second = start(site.get)
    joins.wait(1)
    held.go()
    assert [each.status for each in (first.result(PATIENCE), second.result(PATIENCE), site.get())] == [200] * 3
    assert len(set(map(id, responses))) == 3
    told = "Answered has a response or a request in it, which belong to one client, so that it was not remembered"
    assert told in caplog.text


@without_django  # where a session that was read was used
def test_a_changed_session_is_not_stored(make: Make, count: Count) -> None:
    def body(asked: Asked) -> str:
        session = asked.session()
        if asked.query:
            session["user"] = asked.query
        return f"{count()} {session.get('user')}"

    site = make(has_sessions=True)
    site.mount(body)
    assert site.texts("/?alice", "/?alice", "/", "/") == ["1 alice", "2 alice", "3 None", "3 None"]
    cookie = site.get("/?bob").headers["Set-Cookie"].partition(";")[0]
    assert site.text(Cookie=cookie) == "5 bob"
    assert site.text() == "3 None"


@pytest.mark.parametrize("reads", [False, True], ids=["unread", "read"])
@pytest.mark.parametrize("vary", ["Accept", "Accept, X-Two"])
def test_a_page_for_which_the_session_was_read_depends_on_cookies_also_as_a_hit(
    make: Make, count: Count, reads: bool, vary: str
) -> None:
    def body(asked: Asked) -> Reply:
        if reads:
            asked.session().get("user")
        return Reply(headers=(("Cache-Control", "public, max-age=60"), ("Vary", vary)), body=f"{count()}")

    site = make(has_sessions=True)
    site.mount(body)
    answers = [site.get(), site.get(), site.get(Accept="text/plain"), site.get(Accept="text/plain")]
    assert [each.body for each in answers] == [b"1", b"1", b"2", b"2"]
    for each in answers:
        assert set(each.headers["Vary"].split(", ")) == {*vary.split(", "), *(["Cookie"] if reads else [])}


@pytest.mark.parametrize("attribute", ["csp_nonce", "nonce"])
def test_a_page_with_a_nonce_is_not_stored(site: Site, count: Count, attribute: str) -> None:
    nonces: list[str] = []

    def nonce(request: Any) -> str:
        nonces.append(f"r4nd0m{len(nonces)}")
        return nonces[-1]

    site.let_in(nonce, attribute)
    site.mount(lambda asked: f"{count()} {nonces[-1] if asked.query else ''}")
    assert site.texts("/?nonce", "/?nonce", "/", "/") == ["1 r4nd0m0", "2 r4nd0m1", "3 ", "3 "]


ONE_TIME = ["<SCRIPT async Nonce='{}'>", "<style nonce={}>", '<link rel="preload"\nnonce = "{}">']
TOKENS = ['<input type=hidden name="csrf_token" value="{}">', "<META content='{}' name=x-XSRF-token>"]


@pytest.mark.parametrize("tag", [*ONE_TIME, *TOKENS])
def test_a_page_that_shows_a_nonce_or_a_token_is_not_stored(site: Site, count: Count, tag: str) -> None:
    # Wherever the application has it from.
    site.mount(lambda asked: f"{count()} <p>{tag.format('r4nd0m' if asked.query else '')}</p>")
    first = [site.text(target)[0] for target in ("/?new", "/?new", "/", "/")]
    assert first == ["1", "2", "3", "3"]


@pytest.mark.parametrize(("vary", "computed"), [((), 2), (("Cookie",), 1)], ids=["key", "vary"])
@pytest.mark.parametrize("attribute", ["csrf_token", "seasurf_csrf_token"])
def test_a_token_is_given_to_nobody_else(
    site: Site, count: Count, vary: tuple[str, ...], computed: int, attribute: str
) -> None:
    site.let_in(lambda request: f"t0k3n of {(getattr(request, 'COOKIES', None) or request.cookies)['a']}", attribute)
    key = None if vary else site.key(lambda asked: "all who have not logged in")
    site.mount(lambda asked: f"{count()} 't0k3n of {asked.cookies['a']}'", cached(key=key, vary=vary))
    assert [site.text(Cookie="a=ann")[0] for _ in range(2)] == ["1", f"{computed}"]
    assert site.text(Cookie="a=bob") == f"{computed + 1} 't0k3n of bob'"


def test_an_ordinary_function_that_returns_a_response(
    site: Site, count: Count, caplog: pytest.LogCaptureFixture
) -> None:
    helper = cached(lambda: site.response(Reply(body=f"{count()}")))
    site.mount(lambda asked: helper(), not_cached)
    assert site.texts("/", "/") == ["1", "2"]
    (record,) = caplog.records
    assert "a function that is no view returned a response" in record.getMessage()
    assert "view=True" in record.getMessage()
    assert "takes the request" in record.getMessage()


# ---- why is this page not cached? --------------------------------------------------------------------------------

NAMELESS = "it has x-api-key, which says who is there, and vary= does not name that"
COOKIE = "it has the cookie theme; see key=, vary= and the list of cookies that do not matter"
USER = "the application knows the user, and nothing in the key does"
WHY: list[tuple[str, dict[str, str], str, str]] = [
    ("plain", {"Cookie": "theme=dark"}, "fwd=bypass", COOKIE),
    ("plain", {"X_API_Key": "a"}, "fwd=bypass", NAMELESS),
    ("plain", {"Range": "bytes=0-1"}, "fwd=bypass", "it has range"),
    ("plain", {"Cache_Control": "no-store"}, "fwd=bypass", "its Cache-Control is no-store"),
    ("plain", {"User_Agent": "alice"}, "fwd=bypass", USER),
    ("cookie", {}, "fwd=miss", "it sets a cookie"),
    ("missing", {}, "fwd=miss", "its status is 404"),
    ("private", {}, "fwd=miss", "its Cache-Control is private"),
    ("stream", {}, "fwd=miss", "it is streamed"),
]
REPLIES = {
    "cookie": Reply(headers=(("Set-Cookie", "a=b"),)),
    "missing": Reply(404),
    "private": Reply(headers=(("Cache-Control", "private"),)),
    "stream": Reply(streamed=True),
}


@pytest.fixture
def explained(make: Make) -> Site:
    """A site that is being debugged, whose view answers as its query says."""
    site = make(is_debug=True)
    site.let_in(lambda request: request.headers.get("User-Agent", "") if "alice" in str(request.headers) else None)
    site.mount(lambda asked: REPLIES.get(asked.query, "page"))
    return site


@pytest.mark.parametrize(("query", "headers", "what", "why"), WHY, ids=[why for *_, why in WHY])
def test_in_debug_a_response_says_why_it_is_not_cached(
    explained: Site, caplog: pytest.LogCaptureFixture, query: str, headers: dict[str, str], what: str, why: str
) -> None:
    caplog.set_level(logging.INFO, "memocache")
    for _ in range(2):
        status = explained.get(f"/?{query}", **headers).headers.get_all("Cache-Status")
        if query != "stream" or type(explained).__name__ not in ("StarletteSite", "FastAPISite"):
            assert status == [f'memocache; {what}; detail="{why}"']
    messages = [record.getMessage() for record in caplog.records if record.name == "memocache"]
    told = "a request was passed by" if what == "fwd=bypass" else "a response was not stored"
    if query != "stream":
        assert [message.partition(": ")[2] for message in messages] == [f"{told}: {why} (said once for each reason)"]


def test_in_debug_a_response_says_that_it_is_from_the_cache(explained: Site) -> None:
    statuses = [explained.get("/?page").headers.get_all("Cache-Status") for _ in range(2)]
    assert statuses[0] == ["memocache; fwd=uri-miss; stored"]
    assert statuses[1][0] in ("memocache; hit; ttl=299", "memocache; hit; ttl=300")


def test_in_debug_a_response_does_not_say_that_it_is_stored_where_it_is_not(
    make: Make, memcached: MemcachedServer, prefix: str
) -> None:
    memory = MemcachedCache([memcached.address], key_prefix=prefix)
    large = secrets.token_hex(2_000_000)
    vary = Reply(headers=(("Vary", "Accept"),), body=large)
    site = make(is_debug=True)
    site.mount(lambda asked: "", cached(60, cache=memory, namespace="page"), "/page")
    site.mount(lambda asked: large, cached(60, cache=memory, namespace="large"), "/large")
    site.mount(lambda asked: vary, cached(60, cache=memory, namespace="vary"), "/vary")
    site.mount(lambda asked: "", cached(60, cache=NullCache(), namespace="none"), "/none")
    head = 'memocache; fwd=uri-miss; detail="it is HEAD, which stores nothing"'
    assert [site.get("/page", "HEAD").headers["Cache-Status"] for _ in range(2)] == [head] * 2
    assert site.get("/page").headers["Cache-Status"] == "memocache; fwd=uri-miss; stored"
    why = "it was computed for this request alone, or the cache did not take it; see info() of the view"
    for target in ("/large", "/vary", "/none"):
        assert site.get(target).headers["Cache-Status"] == f'memocache; fwd=uri-miss; detail="{why}"'


def test_else_a_response_says_nothing(site: Site) -> None:
    site.mount(lambda asked: REPLIES.get(asked.query, "page"))
    for target in ("/", "/", "/?cookie"):
        assert "Cache-Status" not in site.get(target).headers
    assert "Cache-Status" not in site.get("/", Cookie="a=b").headers


# ---- ordinary functions, and caches ------------------------------------------------------------------------------


def test_helpers_are_ordinary(site: Site, count: Count) -> None:
    helper = cached(lambda i: count())

    def body(asked: Asked, i: int) -> str:
        return f"{helper(i)}"

    site.mount(body, not_cached, "/{i}")
    assert site.texts("/1?a=1", "/1?a=2", "/2") == ["1", "1", "2"]
    assert "ETag" not in site.get("/1").headers
    assert helper.uncache(1)


def test_the_default_cache_and_disabled_caches(site: Site, count: Count) -> None:
    site.mount(page(count))
    assert site.texts("/", "/") == ["1", "1"]
    with disabled():
        assert site.texts("/", "/") == ["2", "3"]
    assert site.text() == "1"
    configure(SimpleCache())
    assert site.texts("/", "/") == ["4", "4"]


def test_a_function_that_can_be_no_view_is_forgotten_in_one_round_trip(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cache = SQLiteCache(tmp_path / "cache.sqlite")
    groups: list[str] = []
    for each in adapters:  # Flask's cannot know that it is no view of an application that is not there
        if type(each) is not ArgumentAdapter:
            monkeypatch.setattr(each, "is_view", lambda function: False)
    monkeypatch.setattr(cache, "forget_tag", groups.append)

    @cached(cache=cache, namespace="typed")
    def typed(i: int, name: str | None = None, *, flag: bool = False) -> int:
        return i

    @cached(cache=cache, namespace="perhaps")
    def perhaps(i) -> int:  # type: ignore[no-untyped-def]
        return int(i)

    assert [typed(1), typed.uncache(1), groups] == [1, True, []]
    assert [perhaps(1), perhaps.uncache(1), len(groups)] == [1, True, 1]


def test_what_may_be_a_view_is_said_to_have_been_there_in_an_object_of_others(prefix: str) -> None:
    perhaps = cached(cache={}, namespace=f"{prefix}perhaps")(lambda x: x)
    assert [perhaps.uncache(1), perhaps(1), perhaps.uncache(1), perhaps.uncache(1)] == [False, 1, True, False]


# ---- one outcome a request ---------------------------------------------------------------------------------------


def by_language(count: Count) -> Callable[[Asked], Reply]:
    return lambda asked: Reply(headers=(("Vary", "Accept-Language"),), body=f"{count()}")


@contextmanager
def told(view: View) -> Iterator[list[str]]:
    """Collect the outcomes of the calls inside; the figures must say the same."""
    events: list[Event] = []
    before = view.info()
    with subscribe(events.append, "hit", "stale", "miss", "wait"):
        outcomes: list[str] = []
        yield outcomes
    outcomes += [event.kind for event in events]
    after = view.info()
    for kind, name in {"hit": "hits", "stale": "stale", "miss": "misses", "wait": "waits"}.items():
        assert outcomes.count(kind) == getattr(after, name) - getattr(before, name), kind
    assert {(event.function, event.cache) for event in events} <= {(events[0].function, view.function.cache)}


def test_each_request_has_one_outcome_though_a_vary_leads_to_its_response(
    site: Site, cache: Cache, count: Count
) -> None:
    view = site.mount(by_language(count), cached(cache=cache, namespace="view"))
    with told(view) as outcomes:
        assert [site.text(Accept_Language=each) for each in ("de", "de", "en", "en")] == ["1", "1", "2", "2"]
    assert outcomes == ["miss", "hit", "miss", "hit"]
    view.forget_known_variants()  # so that it finds the marker first
    with told(view) as outcomes:
        assert site.text(Accept_Language="en") == "2"
    assert outcomes == ["hit"]
    view.forget_known_variants()
    with told(view) as outcomes:
        assert site.text(Accept_Language="fr") == "3"
    assert outcomes == ["miss"]


def test_what_a_client_asks_to_be_computed_is_a_miss_and_what_is_passed_by_has_no_outcome(
    site: Site, cache: Cache, count: Count
) -> None:
    view = site.mount(by_language(count), cached(cache=cache, namespace="view"))
    with told(view) as outcomes:
        site.get("/", "HEAD")
        site.get()
        site.get("/", "HEAD")
        site.get(Cache_Control="no-cache")
        site.get(Cache_Control="no-store")
        site.get("/", "POST")
    assert outcomes == ["miss", "miss", "hit", "miss"]


def test_a_stored_response_that_cannot_be_read_is_a_miss(
    site: Site, cache: Cache, count: Count, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = site.mount(page(count), cached(cache=cache, namespace="view"))
    with monkeypatch.context() as patched:
        patched.setattr(StoredResponse, "pack", lambda self: "no response")
        site.get()
    with told(view) as outcomes:
        assert site.texts("/", "/") == ["2", "2"]
    assert outcomes == ["miss", "hit"]


def test_who_waits_for_a_response_with_a_vary_has_one_outcome(
    site: Site, cache: Cache, count: Count, joins: Joins
) -> None:
    held = Held(by_language(count))
    view = site.mount(held, cached(cache=cache, namespace="view"))
    with told(view) as outcomes:
        calls = [start(site.text)]
        held.wait()
        calls += [start(site.text) for _ in range(2)]
        joins.wait(2)
        held.go()
        for call in calls:
            call.result(PATIENCE)
    assert len(outcomes) == 3
    assert outcomes.count("miss") == count() - 1


# ---- forgetting --------------------------------------------------------------------------------------------------


@with_arguments
def test_forgetting_takes_every_variant_of_the_call_and_no_other(site: Site, cache: Cache, count: Count) -> None:
    def body(asked: Asked, i: int) -> Reply:
        return Reply(headers=(("Vary", "X-One"),) if i == 1 else (), body=f"{count()}")

    view = site.mount(body, cached(cache=cache, namespace="view", tags=("i:{i}",)), "/{i}")

    def all_of(i: int) -> list[str]:
        return [site.text(f"/{i}{query}", X_One=one) for query in ("", "?a", "?b") for one in ("x", "y")]

    is_shared = isinstance(cache, MemcachedCache)
    for is_in_request in (True, False):  # nobody has called it; what is elsewhere cannot be counted
        assert view.uncache(1, is_in_request=is_in_request) in (False, is_shared)
    before, other = all_of(1), all_of(2)
    assert (len(set(before)), len(set(other))) == (6, 3)
    assert all_of(1) == before
    ways: list[Callable[[], Any]] = [
        lambda: view.uncache(i=1),
        lambda: view.uncache(1, is_in_request=True),
        lambda: view.uncache_where(i=1),
        lambda: uncache_tag("i:1", cache),
        lambda: uncaches(view.function, call=(*site.no_request, "{i}"))(lambda i: None)(1),
        view.uncache_all,
    ]
    for way in ways:
        assert all_of(2) == other
        way()
        now = all_of(1)
        assert all_of(1) == now
        assert not set(now) & set(before)
        before = now
    assert not set(all_of(2)) & set(other)
    view.uncache(2)
    assert all_of(1) == before


@with_arguments
def test_a_view_on_a_cache_of_a_url(site: Site, count: Count, tmp_path: Path) -> None:
    view = site.mount(page_of_number(count), cached(cache=f"sqlite:///{tmp_path}/cache.sqlite", namespace="v"), "/{i}")
    assert site.texts("/1", "/1?q", "/2", "/1", "/1?q") == ["1", "2", "3", "1", "2"]
    assert view.uncache(1) is True
    assert site.texts("/1", "/1?q", "/2") == ["4", "5", "3"]
    view.uncache_all()
    assert site.text("/2") == "6"


@with_arguments
def test_a_request_that_changes_something_forgets_what_is_stored_for_its_call(
    site: Site, cache: Cache, count: Count
) -> None:
    def body(asked: Asked, i: int) -> Reply:
        return Reply(int(asked.headers.get("X-Status", 200)), body=f"{count()}")

    told: list[str] = []
    site.mount(body, cached(cache=cache, namespace="view"), "/{i}")
    assert site.texts("/1", "/1?a=1", "/2") == ["1", "2", "3"]
    with subscribe(lambda event: told.append(event.function), "uncached"):
        for method in ("OPTIONS", "HEAD"):
            site.get("/1", method)
        for status in ("400", "500"):
            site.get("/1", "POST", X_Status=status)
        assert site.texts("/1", "/1?a=1") == ["1", "2"]
        assert told == []
        n = count()
        for method, status in (("POST", "200"), ("DELETE", "204"), ("POST", "303")):
            site.get("/1", method, X_Status=status)
            assert site.texts("/1", "/1?a=1", "/2") == [f"{n + 2}", f"{n + 3}", "3"]
            n += 3
    assert told == ["view"] * 3


def test_a_change_is_answered_though_the_cache_is_not_there(
    site: Site, own_memcached: MemcachedServer, caplog: pytest.LogCaptureFixture
) -> None:
    view = site.mount(lambda asked: "changed", cached(cache=MemcachedCache([own_memcached.address]), namespace="view"))
    own_memcached.kill()
    assert site.get("/", "POST").text == "changed"
    assert view.info().failures == 1
    assert "after a request that may have changed something, old results may be served" in caplog.text


# ---- OpenTelemetry -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_view_runs_inside_the_span_of_its_computation(site: Site, telemetry: Any, method: str) -> None:
    def page(asked: Asked) -> str:
        with telemetry.tracer.start_as_current_span("work"):
            return "text"

    view = site.mount(page)
    assert site.ask(Ask("/", method=method)).body == b"text"
    inner, ours = telemetry.spans.get_finished_spans()
    assert ours.name == f"cache.compute {view.function._self_memoizer.full_name}"
    assert inner.parent.span_id == ours.context.span_id
