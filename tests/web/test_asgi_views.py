"""Which endpoints of Starlette and FastAPI are views, and what is refused; what of a call is in the key, and stored."""

import functools
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Optional

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Query
from fastapi.routing import APIRouter
from freezegun import freeze_time
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.responses import StreamingResponse as Streaming
from starlette.routing import Mount, Route
from starlette.templating import Jinja2Templates
from starlette.websockets import WebSocket

from memocache import (
    ConfigurationError,
    MemcachedCache,
    SimpleCache,
    UnkeyableArgument,
    cached,
    configure,
    uncaches,
)
from memocache._hooks import adapters
from memocache.web._discovery import ArgumentAdapter
from memocache.web.asgi import MemocacheMiddleware
from tests.support.servers import MemcachedServer
from tests.web.asgi_sites import Answer, answer, run
from tests.web.matrix import Ask

if TYPE_CHECKING:
    from starlette.responses import Response as NotThere


@pytest.fixture
def app() -> FastAPI:
    return FastAPI()


def get(app: Any, target: str = "/", method: str = "GET", host: str = "good.example", **headers: str) -> Answer:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    found: Answer = run(answer(app, Ask(target, named, method, host=host)))
    return found


def bodies(app: Any, *targets: str, **headers: str) -> list[str]:
    return [get(app, target, **headers).text.strip('"') for target in targets]


# ---- detection ---------------------------------------------------------------------------------------------------


def above(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return wrapped


def said(request: HTTPConnection, count: Callable[[], int]) -> Response:
    return PlainTextResponse(f"{request.scope['query_string'].decode()} {count()}")


def starlette_function(count: Callable[[], int]) -> Any:
    @cached
    async def page(request):  # type: ignore[no-untyped-def]
        return said(request, count)

    return Starlette(routes=[Route("/{i}", page)])


def starlette_in_threads(count: Callable[[], int]) -> Any:
    @cached
    def page(request: Request) -> Response:
        return said(request, count)

    return Starlette(routes=[Route("/{i}", page)])


def starlette_decorated(count: Callable[[], int]) -> Any:
    @above
    @above
    @cached
    async def page(request: Request) -> Response:
        return said(request, count)

    return Starlette(routes=[Route("/{i}", page)])


def starlette_partial(count: Callable[[], int]) -> Any:
    @cached
    async def page(name: str, request: Request) -> Response:
        return said(request, count)

    return Starlette(routes=[Route("/{i}", functools.partial(page, "x"))])


def starlette_variadic(count: Callable[[], int]) -> Any:
    @cached
    async def page(*args: Any) -> Response:
        return said(args[0], count)

    return Starlette(routes=[Route("/{i}", page)])


def starlette_anything(count: Callable[[], int]) -> Any:
    @cached
    async def page(request: Any) -> Response:
        return said(request, count)

    return Starlette(routes=[Route("/{i}", page)])


def starlette_mapping(count: Callable[[], int]) -> Any:
    @cached
    def page(request: "Mapping[str, Any]") -> Response:
        return said(request, count)  # type: ignore[arg-type]

    return Starlette(routes=[Route("/{i}", page)])


def starlette_class(count: Callable[[], int]) -> Any:
    class Page(HTTPEndpoint):
        @cached
        async def get(self, request: Request) -> Response:
            return said(request, count)

    return Starlette(routes=[Route("/{i}", Page)])


def starlette_class_in_threads(count: Callable[[], int]) -> Any:
    class Page(HTTPEndpoint):
        @cached
        def get(self, request):  # type: ignore[no-untyped-def]
            return said(request, count)

    return Starlette(routes=[Route("/{i}", Page)])


def starlette_bound(count: Callable[[], int]) -> Any:
    class Pages:
        @cached
        async def page(self, request: Request) -> Response:
            return said(request, count)

    pages = Pages()
    app = Starlette(routes=[Route("/{i}", pages.page)])
    app.state.pages = pages
    return app


def fastapi_function(count: Callable[[], int]) -> Any:
    app = FastAPI()

    @app.get("/{i}")
    @cached
    async def page(request: Request, i: int) -> Any:
        return said(request, count)

    return app


def fastapi_in_threads(count: Callable[[], int]) -> Any:
    app = FastAPI()

    @app.get("/{i}")
    @cached(ignore=("request",))
    def page(i: int, *, request: Request) -> Any:
        return said(request, count)

    return app


def fastapi_router(count: Callable[[], int]) -> Any:
    router = APIRouter()

    @router.get("/{i}")
    @cached(key="{i}")
    def page(i: int, request: Annotated[Request, "the request"]) -> Any:
        return said(request, count)

    app = FastAPI()
    app.include_router(router)
    return app


def fastapi_connection(count: Callable[[], int]) -> Any:
    app = FastAPI()

    @app.get("/{i}")
    @cached
    async def page(i: int, connection: HTTPConnection) -> Any:
        return said(connection, count)

    return app


MAKERS = [
    *(starlette_function, starlette_in_threads, starlette_decorated, starlette_partial, starlette_variadic),
    *(starlette_anything, starlette_mapping, starlette_class, starlette_class_in_threads, starlette_bound),
    *(fastapi_function, fastapi_in_threads, fastapi_router, fastapi_connection),
]


@pytest.mark.parametrize("make", MAKERS)
def test_endpoints_that_take_the_request_are_views(make: Callable[..., Any], count: Callable[[], int]) -> None:
    app = make(count)
    assert bodies(app, "/1?a=1", "/1?a=2", "/1?a=1", "/2?a=1") == ["a=1 1", "a=2 2", "a=1 1", "a=1 3"]
    assert get(app, "/1", "POST").status_code == 405
    assert bodies(app, "/1?a=1", Cookie="session=alice") == ["a=1 4"]  # passed by
    with freeze_time(real_asyncio=True):
        first, second = get(app, "/1"), get(app, "/1")
    assert (first.headers["ETag"], "Age" in first.headers) == (second.headers["ETag"], False)
    assert second.headers["Age"] == "0"
    assert (second.headers["Cache-Control"], second.headers["Vary"]) == (
        "private, max-age=300",
        "Authorization, Cookie",
    )


def test_endpoints_without_a_request_are_ordinary(app: FastAPI, count: Callable[[], int]) -> None:
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


def test_a_helper_that_takes_the_request_is_a_view_whose_result_is_not_the_answer(
    app: FastAPI, count: Callable[[], int]
) -> None:
    @cached
    async def menu(request: Request) -> str:
        return f"{request.url.path} {count()}"

    @app.get("/{i}")
    async def page(request: Request, i: int, menu: Annotated[str, Depends(menu)]) -> Response:
        return PlainTextResponse(menu)

    assert bodies(app, "/1", "/1", "/2") == ["/1 1", "/1 1", "/2 2"]
    assert "ETag" not in get(app, "/1").headers


def test_dependencies_and_the_schema_stay_as_they_are(count: Callable[[], int]) -> None:
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
    assert get(app, "/1?page=0").status_code == 422
    assert get(app, "/plain/1?tenant=a").data == get(app, "/plain/1?tenant=a").data


class Answered(BaseModel):
    i: int
    who: str
    page: int
    n: int


def test_what_a_dependency_gives_is_the_users_to_ignore(app: FastAPI, count: Callable[[], int]) -> None:
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


def test_what_can_never_be_resolved_is_told_by_what_it_is(count: Callable[[], int]) -> None:
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


def test_it_says_which_extra_is_missing() -> None:
    source = """if True:
        import sys
        sys.modules["starlette"] = None
        try:
            import memocache.web.asgi
        except ModuleNotFoundError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "memocache.web.asgi needs Starlette: pip install 'starlette>=0.40'"


# ---- what else is in the key -------------------------------------------------------------------------------------


def test_host_scheme_and_mount(count: Callable[[], int]) -> None:
    @cached
    async def page(request: Request) -> Response:
        return PlainTextResponse(f"{request.url.path} {count()}")

    inner = Starlette(routes=[Route("/", page, name="page")])
    app = Starlette(routes=[Mount("/a", inner), Mount("/b", inner)])
    assert bodies(app, "/a/", "/b/", "/a/") == [*("/a/ 1", "/b/ 2", "/a/ 1")]
    assert get(app, "/a/", host="other.example").text == "/a/ 3"


def test_hosts_that_are_not_trusted_reach_nothing(count: Callable[[], int]) -> None:
    app = starlette_function(count)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["good.example"])
    assert get(app, "/1", host="evil.example").status_code == 400
    assert get(app, "/1").text == " 1"


def test_two_applications_do_not_share(count: Callable[[], int]) -> None:
    @cached
    async def page(request: Request) -> Response:
        return PlainTextResponse(f"{count()}")

    apps = [Starlette(routes=[Route("/", page)]) for _ in range(2)]
    assert [bodies(app, "/", "/") for app in apps] == [["1", "1"], ["2", "2"]]


def test_key_and_vary_say_what_of_a_request_matters(app: FastAPI, count: Callable[[], int]) -> None:
    @app.get("/key/{i}")
    @cached(key=lambda i, request: request.cookies.get("theme"))
    async def by_key(i: int, request: Request) -> Response:
        return PlainTextResponse(f"{count()}")

    @app.get("/vary/{i}")
    @cached(vary=["Accept-Language"])
    def by_vary(i: int, request: Request) -> Response:
        return PlainTextResponse(f"{count()}")

    def themes() -> list[str]:
        return [get(app, "/key/1", Cookie=f"theme={theme}; other={count()}").text for theme in ("light", "dark")]

    first = themes()
    assert themes() == first
    assert len(set(first)) == 2
    assert run(by_key.uncache(1, None)) is True  # type: ignore[arg-type]
    assert not set(themes()) & set(first)
    one, two = (get(app, "/vary/1", Accept_Language=language) for language in ("de", "en"))
    assert one.text != two.text
    assert get(app, "/vary/1", Accept_Language="de").text == one.text
    assert one.headers["Vary"] == "Accept-Language, Authorization, Cookie"


def test_whom_the_authentication_knows_is_passed_by(count: Callable[[], int]) -> None:
    class ByPort(AuthenticationBackend):
        async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
            user = conn.headers.get("X-User")
            return (AuthCredentials(), SimpleUser(user)) if user else None

    @cached
    async def page(request: Request) -> Response:
        return PlainTextResponse(f"{request.user.display_name} {count()}")

    app = Starlette(routes=[Route("/", page)])
    app.add_middleware(AuthenticationMiddleware, backend=ByPort())
    assert [get(app, X_User=user).text for user in ("alice", "bob", "", "")] == ["alice 1", "bob 2", " 3", " 3"]


# ---- what is stored ----------------------------------------------------------------------------------------------


@dataclass
class Report:
    total: int
    lines: list[str]


class Model(BaseModel):
    total: int


def a_dict() -> Any:
    return {"a": [1, None]}


def a_list() -> Any:
    return [1, "2"]


def a_dataclass() -> Any:
    return Report(1, ["x"])


def a_model() -> Any:
    return Model(total=1)


def nothing() -> Any:
    return None


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
@pytest.mark.parametrize("make", [a_dict, a_list, a_dataclass, a_model, nothing])
def test_a_hit_gives_what_the_endpoint_gave(make: Callable[[], Any], is_async: bool, count: Callable[[], int]) -> None:
    given = []

    def view(request: Request) -> Any:
        count()
        return make()

    async def awaited(request: Request) -> Any:
        return view(request)

    page = cached(awaited if is_async else view)

    async def outer(request: Request) -> Any:
        given.append(await page(request) if is_async else page(request))
        return given[-1]

    app = FastAPI()
    app.add_api_route("/", outer)
    first, second = get(app), get(app)
    assert (first.data, first.status_code) == (second.data, 200)
    assert count() == 2
    assert given == [make(), make()]


def test_on_a_shared_cache_types_are_those_of_the_hint(
    app: FastAPI, count: Callable[[], int], memcached: MemcachedServer, prefix: str, caplog: Any
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
    # A model is more than its fields: no serializer takes it.
    assert [get(app, "/model").text for _ in range(3)] == [f'{{"total":{number}}}' for number in (2, 3, 4)]
    (record,) = caplog.records
    assert "a result cannot be stored" in record.getMessage()


def test_responses_are_made_anew(count: Callable[[], int], tmp_path: Any) -> None:
    kept = JSONResponse({"n": 1}, 203)
    kept.headers.append("Link", "a")
    kept.headers.append("Link", "b")
    given = []

    @cached
    async def page(request: Request) -> Response:
        count()
        return kept

    async def outer(request: Request) -> Response:
        given.append(await page(request))
        given[-1].set_cookie("visit", f"{count()}")  # as decorators and FastAPI add to it
        return given[-1]  # type: ignore[no-any-return]

    app = Starlette(routes=[Route("/", functools.wraps(page)(outer))])
    answers = [get(app) for _ in range(3)]
    assert [each.data for each in answers] == [b'{"n":1}'] * 3
    assert len({each.headers["Set-Cookie"] for each in answers}) == 3
    assert len({*map(id, given), id(kept)}) == 4
    assert kept.headers.keys() == ["content-length", "content-type", "link", "link"]
    for each in answers:
        assert each.status_code == 203
        assert each.headers.getlist("Link") == ["a", "b"]
        assert each.headers.getlist("Content-Length") == ["7"]
        assert each.headers["Content-Type"] == "application/json"
        assert each.headers["ETag"] == answers[0].headers["ETag"]
    assert count() == 5


def test_templates_and_redirects(count: Callable[[], int], tmp_path: Any) -> None:
    (tmp_path / "page.html").write_text("<p>{{ n }}</p>")
    templates = Jinja2Templates(directory=tmp_path)

    @cached
    async def page(request: Request) -> Response:
        return templates.TemplateResponse(request, "page.html", {"n": count()})

    @cached
    def moved(request: Request) -> Response:
        return RedirectResponse(f"/{count()}", 308)

    app = Starlette(routes=[Route("/page", page), Route("/moved", moved)])
    assert bodies(app, "/page", "/page") == ["<p>1</p>"] * 2
    assert [get(app, "/moved").headers["Location"] for _ in range(2)] == ["/2"] * 2


class Odd(PlainTextResponse):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.headers["X-Odd"] = "1"
        await super().__call__(scope, receive, send)


def test_what_is_more_than_a_response_is_not_stored(count: Callable[[], int], tmp_path: Any) -> None:
    done = []
    file = tmp_path / "file"
    file.write_text("file")
    makers: dict[str, Callable[[str], Response]] = {
        "stream": lambda n: Streaming(iter([n])),
        "file": lambda n: FileResponse(file),
        "background": lambda n: PlainTextResponse(n, background=BackgroundTask(done.append, n)),
        "cookie": lambda n: PlainTextResponse(n, headers={"Set-Cookie": "a=b"}),
        "odd": lambda n: Odd(n),
        "error": lambda n: PlainTextResponse(n, 500),
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


def test_an_http_exception_is_not_stored(app: FastAPI, count: Callable[[], int]) -> None:
    @app.get("/forgotten")
    @cached
    async def forgotten(request: Request) -> str:
        raise HTTPException(404, f"{count()}")

    @app.get("/remembered")
    @cached(errors={HTTPException: 30})
    def remembered(request: Request) -> str:
        raise HTTPException(410, f"{count()}")

    assert bodies(app, "/forgotten", "/forgotten") == ['{"detail":"1"}', '{"detail":"2"}']
    assert "Cache-Control" not in get(app, "/forgotten").headers
    assert [get(app, "/remembered").status_code for _ in range(2)] == [410, 410]
    assert bodies(app, "/remembered") == ['{"detail":"4"}']


def test_a_changed_session_is_not_stored(count: Callable[[], int]) -> None:
    @cached
    async def page(request: Request) -> Response:
        login = request.query_params.get("login")
        if login:
            request.session["user"] = login
        return PlainTextResponse(f"{count()} {request.session.get('user')}")

    app = Starlette(routes=[Route("/", page)])
    app.add_middleware(SessionMiddleware, secret_key="secret")
    assert bodies(app, "/?login=alice", "/?login=alice", "/", "/") == ["1 alice", "2 alice", "3 None", "3 None"]
    cookie = get(app, "/?login=bob").headers["Set-Cookie"].partition(";")[0]
    assert bodies(app, "/", Cookie=cookie) == ["5 bob"]
    assert bodies(app, "/") == ["3 None"]


def test_a_status_that_the_route_gives(app: FastAPI, count: Callable[[], int]) -> None:
    @app.get("/", status_code=202)
    @cached
    async def page(request: Request) -> str:
        return f"{count()}"

    assert bodies(app, "/", "/") == ["1", "2"]


def test_an_ordinary_function_that_returns_a_response(
    app: FastAPI, count: Callable[[], int], caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/")
    @cached
    async def page() -> Any:
        return PlainTextResponse(f"{count()}")

    assert bodies(app, "/", "/") == ["1", "2"]
    (record,) = caplog.records
    assert "a function that is no view returned a response" in record.getMessage()
    assert "takes the request" in record.getMessage()


# ---- the response ------------------------------------------------------------------------------------------------


def test_304_and_head(count: Callable[[], int]) -> None:
    app = starlette_function(count)
    tag = get(app, "/1").headers["ETag"]
    for method in ("GET", "HEAD"):
        unmodified = get(app, "/1", method, If_None_Match=f'"x", {tag}')
        assert (unmodified.status_code, unmodified.data, unmodified.headers["ETag"]) == (304, b"", tag)
        assert "Content-Length" not in unmodified.headers
        changed = get(app, "/1", method, If_None_Match='"x"')
        assert (changed.status_code, changed.headers["ETag"], changed.headers["Content-Length"]) == (200, tag, "2")
    assert count() == 2


@freeze_time("2030-01-01", real_asyncio=True)  # for Age
@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
def test_the_middleware_finishes_what_is_made_of_data(app: FastAPI, count: Callable[[], int], is_async: bool) -> None:
    def page(request: Request) -> dict[str, int]:
        return {"n": count()}

    async def awaited(request: Request) -> dict[str, int]:
        return page(request)

    app.get("/")(cached(timeout=60)(awaited if is_async else page))
    assert "ETag" not in get(app).headers
    app = FastAPI(routes=app.routes)
    app.add_middleware(MemocacheMiddleware)
    app.add_middleware(SessionMiddleware, secret_key="secret")
    first, second = get(app), get(app)
    assert first.data == second.data == b'{"n":2}'
    assert first.headers["ETag"] == second.headers["ETag"]
    assert ("Age" in first.headers, second.headers["Age"]) == (False, "0")
    assert (second.headers["Cache-Control"], second.headers["Vary"]) == ("private, max-age=60", "Authorization, Cookie")
    unmodified = get(app, If_None_Match=first.headers["ETag"])
    assert (unmodified.status_code, unmodified.data) == (304, b"")
    assert "Content-Length" not in unmodified.headers
    assert "ETag" not in get(app, "/missing").headers


def test_the_middleware_leaves_alone_what_comes_in_parts_and_what_is_no_request() -> None:
    from memocache.web._responses import DATA, ResponseHeaders, StoredResponse
    from memocache.web._rules import RequestInfo, ViewRules

    stored = StoredResponse(DATA, None, 0.0, 60.0, 0.0, ())
    asked = RequestInfo("GET", "http", "", "", "/", b"", lambda name: [])
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


def test_the_middleware_has_options(app: FastAPI, count: Callable[[], int]) -> None:
    @app.get("/")
    @cached
    async def page(request: Request) -> Response:
        return PlainTextResponse(f"{count()}", 404)

    app.add_middleware(MemocacheMiddleware, statuses=[404], ignored_cookies=["ab_*"])
    for cookie, expected in [("ab_1=x", "1"), ("ab_2=y", "1"), ("_ga=1", "2"), ("ab=1", "3")]:
        assert bodies(app, "/", Cookie=cookie) == [expected]


def test_options_of_the_middleware_that_cannot_work() -> None:
    async def nothing(scope: Any, receive: Any, send: Any) -> None: ...

    with pytest.raises(ConfigurationError, match=r"^statuses= has 500; wanted: some of 404 and 410$"):
        MemocacheMiddleware(nothing, statuses=[500])
    with pytest.raises(ConfigurationError, match=r"^ignored_cookies='a' is one text; wanted: a list of names$"):
        MemocacheMiddleware(nothing, ignored_cookies="a")


# ---- forgetting --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
def test_forgetting_with_a_request_or_without_one(app: FastAPI, count: Callable[[], int], is_async: bool) -> None:
    def view(request: Request, i: int) -> Response:
        return PlainTextResponse(f"{count()}", headers={"Vary": "X-One"})

    async def awaited(request: Request, i: int) -> Response:
        return view(request, i)

    page: Any = cached(tags=["i:{i}"])(awaited if is_async else view)
    app.get("/{i}")(page)

    def forget(*args: Any, **kwargs: Any) -> Any:
        forgot = page.uncache(*args, **kwargs)
        return run(forgot) if is_async else forgot

    @app.post("/forget/{i}")
    async def posted(request: Request, i: int) -> bool:
        forgot = page.uncache(request, i=i)
        return bool(await forgot if is_async else forgot)

    @app.post("/same/{i}")
    @uncaches(page)
    async def same_names(request: Request, i: int) -> None: ...

    @app.post("/call/{i}")
    @uncaches(page, call=(None, "{i}"))
    async def by_call(i: int) -> None: ...

    def all_of(i: int) -> list[str]:
        return [get(app, f"/{i}{query}", X_One=one).text for query in ("", "?a") for one in ("x", "y")]

    assert forget(Request({"type": "http"}), 1) is False  # though nobody has called it yet
    before, other = all_of(1), all_of(2)
    assert all_of(1) == before
    assert len(set(before)) == 4
    ways: list[Callable[[], Any]] = [
        lambda: forget(None, i=1),
        lambda: forget(None, 1),
        lambda: forget(Request({"type": "http"}), 1),
        lambda: get(app, "/forget/1", "POST"),
        lambda: get(app, "/same/1", "POST"),
        lambda: get(app, "/call/1", "POST"),
        lambda: run(page.uncache_where(i=1)) if is_async else page.uncache_where(i=1),
    ]
    for way in ways:
        way()
        now = all_of(1)
        assert not set(now) & set(before)
        assert all_of(1) == now
        before = now
    assert all_of(2) == other
    assert forget(None, 3) is False
    assert get(app, "/forget/1", "POST").text == "true"
    run(page.uncache_all()) if is_async else page.uncache_all()
    assert not set(all_of(2)) & set(other)


def test_forgetting_a_method_of_an_endpoint(count: Callable[[], int]) -> None:
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


def test_a_function_that_takes_no_request_is_forgotten_in_one_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    # Flask's adapter cannot know that it is no view of an application that is not there.
    for each in adapters:
        if type(each) is not ArgumentAdapter:
            monkeypatch.setattr(each, "may_be_view", lambda function: False)
    cache = SimpleCache()
    groups = []
    cache.forget_tag = groups.append  # type: ignore[method-assign]
    typed = cached(cache=cache)(typed_function)
    typed(1)
    assert typed.uncache(1) is True
    assert groups == []


def typed_function(i: int, name: str | None = None, *, flag: bool = False) -> int:
    return i


def test_the_default_cache(app: FastAPI, count: Callable[[], int]) -> None:
    @app.get("/")
    @cached
    async def page(request: Request) -> str:
        return f"{count()}"

    assert bodies(app, "/", "/") == ["1", "1"]
    configure(SimpleCache())
    assert bodies(app, "/", "/") == ["2", "2"]
