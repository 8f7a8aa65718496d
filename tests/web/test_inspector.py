"""The inspector: who may enter, what is shown and forgotten, over real HTTP as each framework mounts it."""

import asyncio
import io
import os
import re
import socket
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from memocache import Cache, MemcachedCache, RedisCache, SQLiteCache, cached
from memocache.errors import ConfigurationError
from memocache.stats import share
from memocache.web.inspector import Inspector, _contents
from tests.support.redis_servers import RedisServer
from tests.support.servers import wait_until
from tests.web.inspector_site import FACES, SECRET, Visitor, served

pytestmark = pytest.mark.usefixtures("no_other_functions")


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def report() -> Any:
    @cached(timeout=300, tags=("tenant:{tenant}",), namespace="shop.report")
    def report(tenant: int, month: str = "May") -> str:
        return f"the value of {tenant}"

    return report


@pytest.fixture
def visitor(face: str) -> Iterator[Visitor]:
    with served(face, Inspector(secret=SECRET)) as url, Visitor(url) as visitor:
        yield visitor


# ---- closed by default ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"secret": SECRET, "allow": bool}])
def test_there_is_one_way_to_say_who_may_enter(options: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"closed by default, and needs one way.*secret='\.\.\.', or allow="):
        Inspector(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"secret": "short"}, r"secret=\.\.\.\) got too short a text; wanted: at least 16 characters"),
        ({"secret": b"a secret of the tests"}, r"secret=\.\.\.\) got a bytes; wanted: at least 16 characters"),
        ({"secret": ""}, r"secret=\.\.\.\) got too short a text"),
        ({"allow": True}, r"allow=\.\.\.\) got a bool; wanted: a function that takes the request"),
        ({"cache": 7, "secret": SECRET}, r"Inspector\(\) got an int; wanted: a cache object, its URL, or None"),
    ],
)
def test_what_cannot_work_is_refused_at_once(options: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        Inspector(**options)
    assert 'short"' not in str(caught.value)


def test_without_the_secret_nothing_is_shown(visitor: Visitor, report: Any) -> None:
    report(7)
    for answer in (visitor.page(), visitor.page("?function=shop.report"), visitor.enter("another secret, as long")):
        assert answer.status_code == 403
        assert "report" not in answer.text
        assert visitor.cookies.get("memocache_inspector") is None
    assert "That is not the secret." in answer.text


def test_with_the_secret_figures_are_shown(visitor: Visitor, report: Any) -> None:
    report(7), report(7)
    answer = visitor.enter()
    assert (answer.status_code, answer.headers["Location"]) == (303, "?said=in")
    page = visitor.page()
    assert page.status_code == 200
    assert "50.0 %" in page.text
    assert re.search(r"Slowest computations</h2><ol><li>.*report.*<b>[\d.e-]+ ms</b>", page.text)
    assert "the value of" not in page.text
    one = visitor.page("?function=shop.report")
    assert one.status_code == 200
    assert "the value of" not in one.text
    assert visitor.page("?function=nobody").status_code == 404


def test_a_forged_or_old_cookie_opens_nothing(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor.enter()
    (session,) = [each.value for each in visitor.cookies.jar]
    assert session is not None
    end, number, sign = session.split(".")
    for forged in (
        f"{int(end) + 1}.{number}.{sign}",
        f"{end}.{number}.{'0' * 64}",
        f"{end}.{number}",
        "",
        "...",
        "\xff",
    ):
        visitor.cookies.clear()
        answer = visitor.get(visitor.url, headers={"Cookie": f"memocache_inspector={forged}".encode("latin-1")})
        assert answer.status_code == 403
    import memocache.web.inspector as module

    monkeypatch.setattr(module, "now", lambda: float(end) + 1)
    assert visitor.get(visitor.url, headers={"Cookie": f"memocache_inspector={session}"}).status_code == 403


def test_the_cookie_cannot_be_read_nor_sent_from_elsewhere(visitor: Visitor) -> None:
    cookie = visitor.enter().headers["Set-Cookie"]
    assert re.fullmatch(r"memocache_inspector=[\w.-]+; HttpOnly; SameSite=Strict", cookie)
    assert SECRET not in cookie


OTHER_COOKIES = (
    *('a={"x": 1}', "b", "expires=1", "c[d]=e", 'f="not closed', "=g", "h=i j", "caf\xe9=au lait"),
    *("memocache_inspector=of.another.page", "memocache_inspector="),
)


@pytest.mark.parametrize("other", OTHER_COOKIES)
def test_cookies_of_other_pages_do_not_shut_it(visitor: Visitor, other: str) -> None:
    visitor.enter()
    (session,) = [f"{each.name}={each.value}" for each in visitor.cookies.jar]
    visitor.cookies.clear()
    for cookies in (f"{other}; {session}", f"{session}; {other}", f"{other};{session};{other}"):
        headers = {"Cookie": cookies.encode("latin-1")}
        assert visitor.get(visitor.url, headers=headers).status_code == 200


def test_cookies_that_a_browser_sends_one_by_one() -> None:
    inspector = Inspector(secret=SECRET)
    session = f"memocache_inspector={inspector._new_session()}".encode()
    scope: dict[str, Any] = {"type": "http", "method": "GET", "query_string": b"", "scheme": "https"}
    scope["headers"] = [(b"cookie", b"a=b"), (b"cookie", session), (b"cookie", b"c=d")]
    sent = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(inspector.asgi(scope, receive, send))  # type: ignore[arg-type]
    assert sent[0]["status"] == 200


def test_every_answer_has_the_headers_that_protect_it(visitor: Visitor) -> None:
    outside = [visitor.page(), visitor.enter("another secret, as long")]
    inside = [visitor.enter(), visitor.page(), visitor.page("?function=nobody"), visitor.send_form(act="tag")]
    assert [each.status_code for each in [*outside, *inside]] == [403, 403, 303, 200, 404, 403]
    for answer in [*outside, *inside]:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert " style=" not in answer.text
        assert not re.search(r"\son\w+=", answer.text)


@pytest.mark.parametrize("face", ["wsgi", "django", "asgi"], indirect=True)  # the others refuse it themselves
def test_other_methods_are_refused(visitor: Visitor) -> None:
    answer = visitor.put(visitor.url)
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD, POST")


def test_a_head_is_a_get_without_its_body(visitor: Visitor) -> None:
    visitor.enter()
    head = visitor.head(visitor.url)
    assert (head.status_code, head.content) == (200, b"")


def answer_to(url: str, request: str) -> tuple[int, bytes]:
    """Return the status of the answer to a *request* as it stands, and all bytes after its headers."""
    address = urlsplit(url)
    host = f"Host: {address.netloc}\r\nOrigin: http://{address.netloc}\r\nConnection: close\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
        connection.sendall(f"{request}\r\n{host}\r\n".encode("latin-1"))
        head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def test_nothing_follows_the_headers_of_a_head(visitor: Visitor) -> None:
    assert answer_to(visitor.url, "HEAD /cache/ HTTP/1.1") == (403, b"")
    cookie = visitor.enter().headers["Set-Cookie"].partition(";")[0]
    for page, status in (("", 200), ("?function=nobody", 404)):
        assert answer_to(visitor.url, f"HEAD /cache/{page} HTTP/1.1\r\nCookie: {cookie}") == (status, b"")


@pytest.mark.parametrize("length", ["-1", "1e3", "7" * 4000, "7" * 5000])
@pytest.mark.parametrize("face", ["wsgi", "flask"], indirect=True)  # the others read the length themselves
def test_a_length_that_is_none(visitor: Visitor, length: str) -> None:
    form = f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}"
    status, body = answer_to(visitor.url, f"POST /cache/ HTTP/1.1\r\n{form}")
    assert status in (400, 413)  # 400 of the server itself
    assert b"Traceback" not in body


# ---- the application's own check -----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_allowed", [True, False])
def test_the_application_says_who_may_enter(face: str, report: Any, is_allowed: bool) -> None:
    report(7)
    asked = []

    def allow(request: Any) -> bool:
        asked.append(request)
        return is_allowed

    with served(face, Inspector(allow=allow)) as url, Visitor(url) as visitor:
        page = visitor.page()
        assert page.status_code == (200 if is_allowed else 403)
        assert ("report" in page.text) is is_allowed
        assert ("<h1>Closed</h1><p>You may not see this page.</p>" in page.text) is not is_allowed
        if is_allowed:
            assert visitor.send_form(token=visitor.token, act="function", function="shop.report").status_code == 303
            assert report.entry(7) is None
        else:
            assert visitor.send_form(act="function", function="shop.report").status_code == 403
            assert report.entry(7) is not None
    kinds = {"flask": "flask.wrappers.Request", "django": "django.core.handlers.wsgi.WSGIRequest"}
    kinds["fastapi"] = "starlette.requests.Request"
    kind = type(asked[0])
    assert f"{kind.__module__}.{kind.__qualname__}" == kinds.get(face, "builtins.dict")


@pytest.mark.parametrize("is_allowed", [True, False])
def test_a_coroutine_may_say_it_where_it_can_be_awaited(face: str, is_allowed: bool, report: Any) -> None:
    async def allow(request: Any) -> bool:
        return is_allowed

    with served(face, Inspector(allow=allow)) as url, Visitor(url) as visitor:
        status = visitor.page().status_code
    if face in ("asgi", "fastapi"):
        assert status == (200 if is_allowed else 403)
    else:
        assert status == 500  # and so it is closed


@pytest.mark.parametrize("wrong", ["a method", "an error"])
def test_a_check_that_goes_wrong_opens_nothing(face: str, report: Any, wrong: str) -> None:
    report(7)

    class User:
        def is_staff(self) -> bool:
            return False

    def allow(request: Any) -> Any:
        if wrong == "an error":
            raise LookupError("nobody is there")
        return User().is_staff  # without ()

    with served(face, Inspector(allow=allow)) as url, Visitor(url) as visitor:
        visitor.headers["Connection"] = "close"  # as servers do after an error
        assert visitor.page().status_code == 500
        assert visitor.send_form(act="function", function="shop.report").status_code == 500
    assert report.entry(7) is not None


def test_a_check_that_is_a_method_says_what_to_do() -> None:
    inspector = Inspector(allow=lambda request: "".isalpha)
    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO()}
    with pytest.raises(ConfigurationError, match=r"returned what has to be called, such as a method without its \(\)"):
        inspector.wsgi(environ, lambda *_: None)


# ---- forgetting ----------------------------------------------------------------------------------------------------


def test_a_function_and_a_tag_are_forgotten(visitor: Visitor, report: Any) -> None:
    visitor.enter()
    name = "shop.report"
    for fields, place in (
        ({"act": "function", "function": name}, f"?function={name}"),
        ({"act": "tag", "tag": "tenant:7"}, "?said=tag"),
    ):
        report(7)
        answer = visitor.send_form(token=visitor.token, **fields)
        assert answer.status_code == 303
        assert answer.headers["Location"].replace("%3C", "<").replace("%3E", ">").startswith(place)
        assert report.entry(7) is None
        assert "forgotten." in visitor.page(answer.headers["Location"]).text


@pytest.mark.parametrize("face", ["wsgi"], indirect=True)
def test_entries_in_process_are_told_from_those_that_processes_share(
    visitor: Visitor, report: Any, tmp_path: Path
) -> None:
    @cached(timeout=300, namespace="shop.prices", cache=SQLiteCache(tmp_path / "cache.db"))
    def prices() -> int:
        return 7

    report(7), prices()
    visitor.enter()
    assert f"These are in the memory of process {os.getpid()}." in visitor.page("?function=shop.report").text
    assert "in the memory of process" not in visitor.page("?function=shop.prices").text
    elsewhere = visitor.send_form(token=visitor.token, act="entry", function="shop.report", key="of another process")
    assert "That call was not found, so nothing was forgotten." in visitor.page(elsewhere.headers["Location"]).text
    assert report.entry(7) is not None


def test_a_coroutine_function_is_forgotten(visitor: Visitor) -> None:
    @cached(timeout=300, namespace="shop.rates")
    async def rates(day: int) -> int:
        return day

    asyncio.run(rates(1))
    visitor.enter()
    assert visitor.send_form(token=visitor.token, act="function", function="shop.rates").status_code == 303
    assert asyncio.run(rates.entry(1)) is None


def test_forgetting_needs_the_token_of_the_session(visitor: Visitor, report: Any) -> None:
    report(7)
    act = {"act": "function", "function": "shop.report"}
    assert visitor.send_form(**act).status_code == 403  # no session
    visitor.enter()
    with Visitor(visitor.url) as other:
        other.enter()
        theirs = other.token
    for token in ({}, {"token": ""}, {"token": "0" * 64}, {"token": theirs}, {"token": "\udcff\u20ac"}):
        safe = {name: value.encode("utf-8", "replace").decode() for name, value in token.items()}
        assert visitor.send_form(**safe, **act).status_code == 403
    assert visitor.get(visitor.url, params={"token": visitor.token, **act}).status_code in (200, 404)
    assert report.entry(7) is not None
    assert visitor.send_form(token=visitor.token, **act).status_code == 303
    assert report.entry(7) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "http://["},
        {"Origin": "ftp://127.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "multipart/form-data; boundary=x"},
    ],
    ids=repr,
)
def test_a_form_of_another_page_does_nothing(visitor: Visitor, report: Any, headers: dict[str, str]) -> None:
    report(7)
    visitor.enter()
    act = {"token": visitor.token, "act": "function", "function": "shop.report"}
    assert visitor.send_form(headers, **act).status_code in (403, 415)
    assert report.entry(7) is not None


def test_a_form_that_is_too_large_is_not_read(visitor: Visitor, report: Any) -> None:
    visitor.enter()
    answer = visitor.send_form(token=visitor.token, act="tag", tag="x" * 70_000)
    assert answer.status_code == 413
    many = {f"f{number}": "" for number in range(30)}
    assert visitor.send_form(token=visitor.token, act="tag", tag="x", **many).status_code == 403


def test_whoever_leaves_has_to_enter_again(visitor: Visitor) -> None:
    visitor.enter()
    assert visitor.send_form(token=visitor.token, act="leave").status_code == 303
    assert visitor.page().status_code == 403


def test_a_ticket_opens_the_page_once(face: str) -> None:
    inspector = Inspector(secret=SECRET)
    ticket = inspector.ticket()
    with served(face, inspector) as url, Visitor(url) as visitor, Visitor(url) as other:
        assert visitor.head(f"{url}?{ticket}").status_code == 403  # as a program does that shows links beforehand
        answer = visitor.page(f"?{ticket}")
        assert (answer.status_code, answer.headers["Location"]) == (303, "?said=in")
        assert visitor.page().status_code == 200
        assert other.page(f"?{ticket}").status_code == 403
        assert other.page("?ticket=").status_code == 403


# ---- caches that are down, or large ----------------------------------------------------------------------------------


@pytest.fixture(params=["redis", "memcached"])
def server(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(f"own_{request.param}")


def cache_on(server: Any) -> Cache:
    return RedisCache(server.url) if isinstance(server, RedisServer) else MemcachedCache([server.address])


@pytest.mark.parametrize("face", ["wsgi", "asgi"], indirect=True)
def test_a_server_that_goes_down_is_told_and_nothing_is_said_to_be_forgotten(face: str, server: Any) -> None:
    cache = cache_on(server)

    @cached(timeout=300, namespace="shop.report", cache=cache, tags=("tenant:{tenant}",))
    def report(tenant: int) -> int:
        return tenant

    report(7)
    share(cache)()
    with served(face, Inspector(secret=SECRET)) as url, Visitor(url) as visitor:
        visitor.enter()
        token = visitor.token
        assert "Figures of all processes" in visitor.page().text
        key = re.search(r'name="key" value="([^"]+)"', visitor.page("?function=shop.report").text)
        assert key is not None
        server.kill()
        for page in ("", "?function=shop.report"):
            answer = visitor.page(page)
            assert answer.status_code == 200
            assert 'role="alert"' in answer.text
            assert "shop.report" in answer.text  # what this process knows
        acts = ({"act": "function"}, {"act": "tag", "tag": "tenant:7"}, {"act": "entry", "key": key[1]})
        for act in acts:
            answer = visitor.send_form(token=token, function="shop.report", **act)
            assert answer.status_code == 503
            assert "Nothing is sure to be forgotten" in answer.text
        server.restart()
        wait_until(lambda: report(8) == 8 and report.entry(8) is not None)  # it is asked again after a while
        assert visitor.send_form(token=token, act="function", function="shop.report").status_code == 303
        assert report.entry(8) is None


@pytest.mark.parametrize("face", ["wsgi"], indirect=True)
def test_pages_lead_to_the_last_entry(visitor: Visitor, report: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_contents, "PATIENCE", 60.0)
    report.many([(number,) for number in range(5_120)])
    visitor.enter()
    for first, count, more in ((5_050, 50, "first=5100"), (5_100, 20, None)):
        page = visitor.page(f"?function=shop.report&first={first}").text
        assert page.count('class="key"') == count
        assert re.findall("first=[0-9]+", page) == ([] if more is None else [more])


MANY = 200_000


def test_a_page_reads_no_more_than_it_shows(own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = RedisCache(own_redis.url)

    @cached(timeout=300, namespace="shop.report", cache=cache)
    def report(tenant: int) -> int:
        return tenant

    @cached(timeout=300, namespace="shop.other", cache=cache)
    def other(tenant: int) -> int:
        return tenant

    report(7)
    with own_redis.client() as client:
        (name,) = client.scan_iter("*shop.report*")
        copy = "local v = redis.call('get', KEYS[1]) for i = 1, ARGV[2] do "
        copy += "redis.call('set', ARGV[1] .. string.format('%032x', i), v) end"
        client.eval(copy, 1, name, name[:-32], MANY)

        def asked(page: str) -> tuple[int, int, str]:
            """Return how many commands a page takes, how much memory, and what is on it."""
            client.config_resetstat()
            tracemalloc.start()
            answer = visitor.page(page).text
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return sum(each["calls"] for each in client.info("commandstats").values()), peak, answer

        monkeypatch.setattr(_contents, "PATIENCE", 60.0)  # whatever else this machine does
        with served("wsgi", Inspector(secret=SECRET)) as url, Visitor(url) as visitor:
            visitor.enter()
            visitor.page("?function=shop.report")
            for page, shown in (("", 0), ("&q=fffffffffffff", 0), ("&first=1000", 50)):
                commands, memory, text = asked(f"?function=shop.report{page}")
                assert text.count('class="key"') == (shown or text.count('class="key"')) <= 50
                assert "More entries" in text
                assert commands < 40_000  # of a beginning and a size for each entry that is gone through
                assert memory < 30e6
            monkeypatch.setattr(_contents, "PATIENCE", 0.0)
            for page in ("?function=shop.other", "?function=shop.report&first=999999999"):  # none of so many
                commands, _, text = asked(page)
                assert "there were still others to go through" in text
                assert "More entries" not in text
                assert commands < 2_500
