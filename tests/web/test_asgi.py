"""What only Starlette and FastAPI have: dependencies, what is refused, data and middleware, clients that go."""

import asyncio
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Optional

import anyio
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Query
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.authentication import (
    AuthCredentials,
    AuthenticationBackend,
    BaseUser,
    SimpleUser,
    UnauthenticatedUser,
)
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.templating import Jinja2Templates
from starlette.websockets import WebSocket

from memocache import Cache, ConfigurationError, MemcachedCache, UnkeyableArgument, cached, uncaches
from memocache.web.asgi import MemocacheMiddleware
from tests.support.servers import MemcachedServer
from tests.support.threads import PATIENCE, Joins
from tests.web.asgi_sites import DataSite, FastAPISite, answer, bodies, get
from tests.web.matrix import Answer, Ask
from tests.web.sites import Asked, run

if TYPE_CHECKING:
    from starlette.responses import Response as NotThere


Count = Callable[[], int]


@pytest.fixture
def app() -> FastAPI:
    return FastAPI()


def said(request: HTTPConnection, count: Count) -> Response:
    return PlainTextResponse(f"{request.scope['query_string'].decode()} {count()}")


# ---- views, and functions that are none ----------------------------------------------------------------------------


def test_endpoints_without_a_request_are_ordinary(app: FastAPI, count: Count) -> None:
    @app.get("/{i}")
    @cached
    async def page(i: int, q: str = "") -> str:
        return f"{i} {q} {count()}"

    assert bodies(app, "/1?a=1", "/1?a=2", "/1?q=x", "/1") == ["1  1", "1  1", "1 x 2", "1  1"]
    assert bodies(app, "/1", Cookie="session=alice") == ["1  1"]  # nothing of it can be in the result
    assert "ETag" not in get(app, "/1").headers


def test_a_view_that_is_none_by_its_option_has_no_key_for_the_request(app: FastAPI) -> None:
    @app.get("/")
    @cached(view=False)
    async def page(request: Request) -> str:
        return ""

    with pytest.raises(UnkeyableArgument, match="'request' has no stable key"):
        get(app)


def test_a_helper_that_takes_the_request_is_a_view_whose_result_is_not_the_answer(app: FastAPI, count: Count) -> None:
    @cached
    async def menu(request: Request) -> str:
        return f"{request.url.path} {count()}"

    @app.get("/{i}")
    async def page(request: Request, i: int, menu: Annotated[str, Depends(menu)]) -> Response:
        return PlainTextResponse(menu)

    assert bodies(app, "/1", "/1", "/2") == ["/1 1", "/1 1", "/2 2"]
    assert "ETag" not in get(app, "/1").headers


def test_dependencies_and_the_schema_stay_as_they_are(count: Count) -> None:
    def made(decorate: Callable[..., Any]) -> FastAPI:
        app = FastAPI()

        def tenant(x: Annotated[str, Query(alias="tenant")] = "nobody") -> str:
            return x

        @app.get("/{i}", response_model=Answered, tags=["reports"])
        @decorate
        async def report(
            i: int, request: Request, who: Annotated[str, Depends(tenant)], page: Annotated[int, Query(ge=1)] = 1
        ) -> Any:
            """Return a report."""
            return {"i": i, "who": who, "page": page, "n": count(), "secret": "x"}

        @app.get("/plain/{i}")
        @decorate
        def plain(i: int, who: str = Depends(tenant)) -> Answered:
            return Answered(i=i, who=who, page=1, n=count())

        return app

    app = made(cached(timeout=60))
    assert app.openapi() == made(lambda function: function).openapi()
    answers = [get(app, target).text for target in ("/1?tenant=a", "/1?tenant=b", "/1?tenant=a", "/1?tenant=a&page=2")]
    assert answers == [
        '{"i":1,"who":"a","page":1,"n":1}',
        '{"i":1,"who":"b","page":1,"n":2}',
        '{"i":1,"who":"a","page":1,"n":1}',
        '{"i":1,"who":"a","page":2,"n":3}',
    ]
    assert get(app, "/1?page=0").status == 422
    assert get(app, "/plain/1?tenant=a").body == get(app, "/plain/1?tenant=a").body


class Answered(BaseModel):
    i: int
    who: str
    page: int
    n: int


def test_what_a_dependency_gives_is_the_users_to_ignore(app: FastAPI, count: Count) -> None:
    class Database:
        pass

    def database() -> Iterator[Database]:
        yield Database()

    @app.get("/ignored")
    @cached(ignore=("db",))
    def ignored(request: Request, db: Annotated[Any, Depends(database)]) -> str:
        return f"{count()}"

    @app.get("/counted")
    @cached
    def counted(request: Request, db: Annotated[Any, Depends(database)]) -> str:
        return f"{count()}"

    @app.get("/keyed/{i}")
    @cached(key=lambda request, i, db: i // 10)
    def keyed(request: Request, i: int, db: Annotated[Any, Depends(database)]) -> str:
        return f"{count()}"

    assert bodies(app, "/ignored", "/ignored", "/ignored?x") == ["1", "1", "2"]
    assert bodies(app, "/keyed/1", "/keyed/1", "/keyed/2", "/keyed/2") == ["3", "3", "4", "4"]
    assert keyed.uncache(None, 1, None) is True  # type: ignore[arg-type]
    assert bodies(app, "/keyed/1", "/keyed/2") == ["5", "4"]
    with pytest.raises(UnkeyableArgument, match=r"'db' has no stable key.*ignore=\('db',\)"):
        get(app, "/counted")


# ---- what is refused ---------------------------------------------------------------------------------------------


def takes_response(i: int, response: Response) -> None: ...
def takes_subclass(response: JSONResponse) -> None: ...
def takes_optional(response: Response | None = None) -> None: ...
def takes_old_optional(response: Optional[Response] = None) -> None: ...  # noqa: UP045
def takes_annotated(response: Annotated[Response, "injected"]) -> None: ...
async def takes_text_in_text(response: "Annotated[Optional['Response'], 1]") -> None: ...  # noqa: UP045
def takes_one_unknown(other: "NotThere", response: "Response") -> None: ...
def takes_tasks(i: int, tasks: BackgroundTasks) -> None: ...
def takes_task(tasks: BackgroundTask) -> None: ...
async def takes_socket(socket: WebSocket) -> None: ...


RESPONSE = (
    r"^takes_\w+: 'response' is a (JSON)?Response, which is of one request: a hit would set nothing on it; take it out "
    r"and return a Response instead, JSONResponse\(data, headers=\.\.\.\)$"
)
TASKS = (
    r"^takes_\w+: 'tasks' is a BackgroundTasks?, which is of one request: a hit would add no tasks to it; take it out, "
    r"and add them in an endpoint that calls the cached function$"
)
SOCKET = (
    r"^takes_socket: 'socket' is a WebSocket, which is a conversation and no request; cache a function that takes what "
    r"was said in it$"
)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        *((takes_response, RESPONSE), (takes_subclass, RESPONSE), (takes_optional, RESPONSE)),
        *((takes_old_optional, RESPONSE), (takes_annotated, RESPONSE), (takes_text_in_text, RESPONSE)),
        *((takes_one_unknown, RESPONSE), (takes_tasks, TASKS), (takes_task, TASKS), (takes_socket, SOCKET)),
    ],
)
def test_what_belongs_to_one_request_is_refused_at_decoration(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        cached(function)


def test_a_name_that_comes_later_is_refused_at_the_first_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def page(request: Request, response: "Later") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    function = cached(page)
    monkeypatch.setitem(globals(), "Later", Response)
    with pytest.raises(ConfigurationError, match=r"'response' is a Response"):
        function(Request({"type": "http"}), Response())


def test_what_can_never_be_resolved_is_told_by_what_it_is(count: Count) -> None:
    @cached
    def page(request: "NotThere") -> Response:  # a lie
        return said(request, count)  # type: ignore[arg-type]

    app = Starlette(routes=[Route("/", page)])
    assert bodies(app, "/?a", "/?b", "/?a") == ["a 1", "b 2", "a 1"]
    assert page.uncache(None) is True  # type: ignore[arg-type]


def test_a_function_that_is_no_view_may_take_a_response() -> None:
    @cached(view=False, key="{i}")
    def length(i: int, response: Response) -> int:
        return len(response.body)

    assert [length(1, Response("text")), length(1, Response())] == [4, 4]


# ---- what else is in the key ---------------------------------------------------------------------------------------


def test_host_scheme_and_mount(count: Count) -> None:
    inner = Starlette(routes=[Route("/", cached(lambda request: PlainTextResponse(f"{request.url.path} {count()}")))])
    app = Starlette(routes=[Mount("/a", inner), Mount("/b", inner)])
    assert bodies(app, "/a/", "/b/", "/a/") == [*("/a/ 1", "/b/ 2", "/a/ 1")]
    assert get(app, "/a/", host="other.example").text == "/a/ 3"


def test_whom_the_authentication_knows_is_passed_by(count: Count) -> None:
    class ByPort(AuthenticationBackend):
        async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
            user = conn.headers.get("User-Agent")
            return (AuthCredentials(), SimpleUser(user)) if user else None

    page = cached(lambda request: PlainTextResponse(f"{request.user.display_name} {count()}"))
    app = Starlette(routes=[Route("/", page)])
    app.add_middleware(AuthenticationMiddleware, backend=ByPort())
    assert [get(app, User_Agent=user).text for user in ("alice", "bob", "", "")] == ["alice 1", "bob 2", " 3", " 3"]


@pytest.mark.parametrize(
    ("user", "options", "computed"),
    [
        (None, {}, 1),
        (UnauthenticatedUser(), {}, 1),
        (SimpleUser("alice"), {}, 2),
        (BaseUser(), {}, 2),  # which raises
        (SimpleUser("alice"), {"vary": ["Cookie"]}, 1),
    ],
    ids=["none", "nobody", "somebody", "one that raises", "somebody of a cookie in the key"],
)
def test_who_is_in_the_scope_is_a_user_if_it_is_somebody(
    count: Count, user: Any, options: dict[str, Any], computed: int
) -> None:
    inner = Starlette(routes=[Route("/", cached(60, **options)(lambda request: PlainTextResponse(f"{count()}")))])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await inner({**scope, "user": user}, receive, send)

    assert bodies(app, "/", "/", Cookie="a=1" if options else "") == ["1", f"{computed}"]


@pytest.mark.parametrize("options", [{}, {"key": lambda request: ""}, {"vary": ["Cookie"]}], ids=["", "key", "vary"])
@pytest.mark.parametrize("is_plain", [False, True], ids=["Starlette's", "a dict"])
def test_what_was_put_into_the_session_before_the_view_is_in_nobody_elses_page(
    count: Count, options: dict[str, Any], is_plain: bool
) -> None:
    async def put(request: Request, call_next: Callable[[Request], Any]) -> Any:
        if is_plain:
            request.scope["session"] = {}
        request.session.setdefault("token", count())
        return await call_next(request)

    page = cached(60, **options)(lambda request: PlainTextResponse(f"{request.session['token']}"))
    app = Starlette(routes=[Route("/", page)])
    app.add_middleware(BaseHTTPMiddleware, dispatch=put)
    if not is_plain:
        app.add_middleware(SessionMiddleware, secret_key="secret")
    assert bodies(app, "/", "/") == ["1", "2"]


@pytest.mark.parametrize(
    ("headers", "computed"),
    [(None, 1), ({"X-One": "1"}, 1), ({"Set-Cookie": "a=b"}, 2), ({"Cache-Control": "no-store"}, 2)],
    ids=str,
)
def test_headers_of_an_exception_may_forbid_to_remember_it(
    count: Count, headers: dict[str, str] | None, computed: int
) -> None:
    async def page(request: Request) -> Response:
        raise HTTPException(404, f"{count()}", headers)

    app = Starlette(routes=[Route("/", cached(60, errors={HTTPException: 30})(page))])
    assert bodies(app, "/", "/") == ["1", f"{computed}"]


@pytest.mark.parametrize("is_read_before", [False, True])
def test_what_a_request_of_http_2_has_of_a_body_the_endpoint_receives(count: Count, is_read_before: bool) -> None:
    async def page(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"{(await request.body()).decode()} {count()}")

    async def read_before(request: Request) -> PlainTextResponse:
        if is_read_before:
            await request.body()
        return await cached_page(request)

    async def text(*parts: bytes) -> str:
        received = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        received.append({"type": "http.request"})
        sent: list[Any] = []

        async def receive() -> Any:
            return received.pop(0) if received else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "http_version": "2", "method": "GET", "path": "/", "headers": [(b"host", b"a")]}
        await app({**scope, "scheme": "https", "query_string": b"", "server": ("a", 443)}, receive, send)
        return str(sent[1]["body"].decode())

    cached_page = cached(page)
    app = Starlette(routes=[Route("/", read_before)])
    texts = [run(text(*parts)) for parts in ((b"", b"poi", b"son"), (), (b"", b""), (b"other",), ())]
    assert texts == ["poison 1", " 2", " 2", "other 3", " 2"]


# ---- what is stored ----------------------------------------------------------------------------------------------


@dataclass
class Report:
    total: int
    lines: list[str]


class Model(BaseModel):
    total: int


class Silent(Model):
    def __repr__(self) -> str:
        raise RuntimeError("nobody has asked for it")


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
@pytest.mark.parametrize(
    "value",
    [{"a": [1, None]}, [1, "2"], Report(1, ["x"]), Model(total=1), None, pytest.param(Silent(total=1), id="no repr")],
    ids=repr,
)
def test_a_hit_gives_what_the_endpoint_gave(value: Any, is_async: bool, count: Count) -> None:
    site, given = FastAPISite(is_async=is_async), list[Any]()
    site.mount(lambda asked: count() and value, returned=given)
    first, second = site.get(), site.get()
    assert (first.body, first.status) == (second.body, 200)
    assert count() == 2
    assert given == [value, value]


def test_on_a_shared_cache_types_are_those_of_the_hint(
    app: FastAPI, count: Count, memcached: MemcachedServer, prefix: str, caplog: Any
) -> None:
    cache = MemcachedCache([memcached.address], key_prefix=prefix)

    @app.get("/hint")
    @cached(cache=cache, namespace="hint")
    async def hint(request: Request) -> Report:
        return Report(count(), [])

    @app.get("/model")
    @cached(cache=cache, namespace="model")
    def model(request: Request) -> Model:
        return Model(total=count())

    assert [get(app, "/hint").text for _ in range(3)] == ['{"total":1,"lines":[]}'] * 3
    assert [get(app, "/model").text for _ in range(3)] == ['{"total":2}'] * 3
    assert not caplog.records


def test_what_decorators_add_to_a_response_is_not_in_the_next(count: Count) -> None:
    kept = JSONResponse({"n": 1}, headers={"Link": "a"})
    given = []

    @cached
    async def page(request: Request) -> Response:
        return kept

    async def outer(request: Request) -> Response:
        given.append(await page(request))
        given[-1].set_cookie("visit", f"{count()}")
        return given[-1]  # type: ignore[no-any-return]

    app = Starlette(routes=[Route("/", functools.wraps(page)(outer))])
    answers = [get(app) for _ in range(3)]
    assert len({each.headers["Set-Cookie"] for each in answers}) == 3
    assert len({*map(id, given), id(kept)}) == 4
    assert kept.headers.keys() == ["link", "content-length", "content-type"]
    for each in answers:
        assert (each.body, each.headers.get_all("Content-Length")) == (b'{"n":1}', ["7"])
        assert each.headers["Content-Type"] == "application/json"


def test_templates_and_redirects(count: Count, tmp_path: Any) -> None:
    (tmp_path / "page.html").write_text("<p>{{ n }}</p>")
    templates = Jinja2Templates(directory=tmp_path)

    page = cached(lambda request: templates.TemplateResponse(request, "page.html", {"n": count()}))
    moved = cached(lambda request: RedirectResponse(f"/{count()}", 308))
    app = Starlette(routes=[Route("/page", page), Route("/moved", moved)])
    assert bodies(app, "/page", "/page") == ["<p>1</p>"] * 2
    assert [get(app, "/moved").headers["Location"] for _ in range(2)] == ["/2"] * 2


class Odd(PlainTextResponse):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.headers["X-Odd"] = "1"
        await super().__call__(scope, receive, send)


def test_what_is_more_than_a_response_is_not_stored(count: Count, tmp_path: Any) -> None:
    done = []
    file = tmp_path / "file"
    file.write_text("file")
    makers: dict[str, Callable[[str], Response]] = {
        "file": lambda n: FileResponse(file),
        "background": lambda n: PlainTextResponse(n, background=BackgroundTask(done.append, n)),
        "odd": lambda n: Odd(n),
        "plain": lambda n: PlainTextResponse(n),
    }

    @cached
    async def page(request: Request) -> Response:
        return makers[request.path_params["kind"]](f"{count()}")

    app = Starlette(routes=[Route("/{kind}", page)])
    computed = {}
    for kind in makers:
        before = count()
        for _ in range(2):
            get(app, f"/{kind}")
        computed[kind] = count() - before - 1
    assert computed == dict.fromkeys(makers, 2) | {"plain": 1}
    assert len(done) == 2


def test_a_status_that_the_route_gives(app: FastAPI, count: Count) -> None:
    @app.get("/", status_code=202)
    @cached
    async def page(request: Request) -> str:
        return f"{count()}"

    assert bodies(app, "/", "/") == ["1", "2"]


# ---- the middleware ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
def test_the_middleware_finishes_what_is_made_of_data(count: Count, is_async: bool) -> None:
    def body(asked: Asked) -> dict[str, int]:
        return {"n": count()}

    without, site = FastAPISite(is_async=is_async), DataSite(is_async=is_async, has_sessions=True)
    for each in (without, site):
        each.mount(body, cached(timeout=60))
    assert "ETag" not in without.get().headers
    first, second = site.get(), site.get()
    assert first.body == second.body == b'{"n":2}'
    assert first.headers["ETag"] == second.headers["ETag"]
    assert ("Age" in first.headers, "Age" in second.headers) == (False, True)
    assert (second.headers["Cache-Control"], second.headers["Vary"]) == ("private, max-age=60", "Authorization, Cookie")
    unmodified = site.get(If_None_Match=first.headers["ETag"])
    assert (unmodified.status, unmodified.body) == (304, b"")
    assert "Content-Length" not in unmodified.headers
    assert "ETag" not in site.get("/missing").headers


def test_the_middleware_leaves_alone_what_comes_in_parts_and_what_is_no_request() -> None:
    from memocache.web._responses import DATA, ResponseHeaders, StoredResponse
    from memocache.web._rules import RequestInfo, ViewRules

    stored = StoredResponse(DATA, None, 0.0, 60.0, 0.0, ())
    asked = RequestInfo("GET", "http", "", "", "/", b"", lambda name: [], ())
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope["memocache"].headers = ResponseHeaders(asked, ViewRules(), stored, 0.0, True)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})

    run(MemocacheMiddleware(inner)({"type": "http"}, None, send))  # type: ignore[arg-type]
    assert dict(sent[0]["headers"]) == {
        b"age": b"0",
        b"cache-control": b"private, max-age=60",
        b"vary": b"Authorization, Cookie",
    }
    assert [message.get("body") for message in sent] == [None, b"a", b"b"]
    sent.clear()
    run(MemocacheMiddleware(inner)({"type": "lifespan"}, None, send))  # type: ignore[arg-type]
    assert sent[0]["headers"] == []


def test_options_of_the_middleware_that_cannot_work() -> None:
    async def nothing(scope: Any, receive: Any, send: Any) -> None: ...

    for options, message in (
        ({"statuses": [500]}, r"^statuses=\[500\]; wanted: some of 404 and 410, in a list$"),
        ({"statuses": [[404]]}, r"^statuses=\[\[404\]\]; wanted: some of 404 and 410"),
        ({"ignored_cookies": "a"}, r"^ignored_cookies='a'; wanted: names of cookies in a list, "),
        ({"ignored_cookies": [b"a"]}, r"^ignored_cookies=\[b'a'\]; wanted: names of cookies in a list, "),
        (
            {"credential_headers": "X-Key"},
            r"^credential_headers='X-Key'; wanted: names of request headers that say who",
        ),
        ({"credential_headers": ["X Key"]}, r"^credential_headers=\['X Key'\]; wanted: names of request headers"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            MemocacheMiddleware(nothing, **options)  # type: ignore[arg-type]


# ---- forgetting ----------------------------------------------------------------------------------------------------


def test_forgetting_from_other_endpoints(app: FastAPI, count: Count) -> None:
    @app.get("/{i}")
    @cached
    async def page(request: Request, i: int) -> Response:
        return PlainTextResponse(f"{count()}")

    @app.post("/forget/{i}")
    async def posted(request: Request, i: int) -> bool:
        return await page.uncache(request, i=i)

    @app.post("/same/{i}")
    @uncaches(page)
    async def same_names(request: Request, i: int) -> None: ...

    @app.post("/call/{i}")
    @uncaches(page, call=(None, "{i}"))
    async def by_call(i: int) -> None: ...

    before, other = bodies(app, "/1", "/1?a"), bodies(app, "/2")
    for way in ("forget", "same", "call"):
        assert get(app, f"/{way}/1", "POST").text == ("true" if way == "forget" else "null")
        now = bodies(app, "/1", "/1?a")
        assert not set(now) & set(before)
        before = now
    assert bodies(app, "/2") == other


def test_forgetting_a_method_of_an_endpoint(count: Count) -> None:
    class Page(HTTPEndpoint):
        @cached
        async def get(self, request: Request) -> Response:
            return said(request, count)

    class Other(Page):
        pass

    app = Starlette(routes=[Route("/page", Page), Route("/other", Other)])
    assert bodies(app, "/page", "/other", "/page?a") == [" 1", " 2", "a 3"]
    assert run(object.__new__(Page).get.uncache(None)) is True  # type: ignore[arg-type]
    assert bodies(app, "/page", "/other", "/page?a") == [" 4", " 2", "a 5"]


# ---- clients that go, and loops ----------------------------------------------------------------------------------


class Held:
    """An application whose endpoint waits until it may answer."""

    def __init__(self, cache: Cache) -> None:
        self.computed = 0
        self.entered = asyncio.Event()
        self.go = asyncio.Event()

        @cached(cache=cache, namespace="view", wait=60)
        async def page(request: Request) -> Response:
            self.computed += 1
            self.entered.set()
            await asyncio.wait_for(self.go.wait(), PATIENCE)
            return PlainTextResponse(f"{self.computed}")

        self.app = Starlette(routes=[Route("/", page)])

    def ask(self) -> "asyncio.Task[Answer]":
        return asyncio.create_task(answer(self.app, Ask("/")))


@pytest.mark.parametrize("who", ["the one that computes", "one that waits"])
def test_a_client_that_goes_leaves_the_others_alone(cache: Cache, who: str, joins: Joins) -> None:
    async def main() -> None:
        held = Held(cache)
        first = held.ask()
        await held.entered.wait()
        others = [held.ask() for _ in range(2)]
        await asyncio.to_thread(joins.wait, 2)
        gone = first if who == "the one that computes" else others.pop()
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        held.go.set()
        left = [each for each in (first, *others) if each is not gone]
        assert [each.text for each in await asyncio.gather(*left)] == ["1", "1"]
        assert (await held.ask()).text == "1"
        assert held.computed == 1

    run(main())


def test_when_the_last_client_goes_so_does_the_computation(cache: Cache) -> None:
    async def main() -> None:
        held = Held(cache)
        first = held.ask()
        await held.entered.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        held.go.set()
        assert (await held.ask()).text == "2"

    run(main())


@pytest.mark.parametrize("is_view", [True, False], ids=["view", "function"])
def test_a_middleware_that_ends_a_request_gives_its_own_answer(cache: Cache, is_view: bool) -> None:
    async def main() -> None:
        held = Held(cache)

        @cached(cache=cache, namespace="function", wait=60)
        async def slow() -> str:
            held.entered.set()
            await held.go.wait()
            return "done"

        async def page(request: Request) -> Response:
            return PlainTextResponse(await slow())

        inner = held.app if is_view else Starlette(routes=[Route("/", page)])

        async def app(scope: Any, receive: Any, send: Any) -> None:
            with anyio.CancelScope() as limit:
                ending = asyncio.create_task(end(limit))
                await inner(scope, receive, send)
            if limit.cancelled_caught:
                await PlainTextResponse("too slow", 504)(scope, receive, send)
            ending.cancel()

        async def end(limit: anyio.CancelScope) -> None:
            await held.entered.wait()
            if not held.go.is_set():
                limit.cancel()

        found = await answer(app, Ask("/"))
        assert (found.status, found.text) == (504, "too slow")
        held.go.set()
        assert (await answer(app, Ask("/"))).status == 200

    run(main())


def test_a_loop_for_each_request(cache: Cache, count: Count) -> None:
    @cached(cache=cache, namespace="view", timeout=60, stale=30)
    async def page(request: Request) -> Response:
        return PlainTextResponse(f"{count()}")

    app = Starlette(routes=[Route("/", page)])
    assert [asyncio.run(answer(app, Ask("/"))).text for _ in range(3)] == ["1"] * 3
