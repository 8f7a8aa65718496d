"""Sites of Starlette and FastAPI; and how to ask their applications.

They are asked as a server asks them, so that every line of a header arrives as it was sent, in an event loop that all
of them share.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import unquote

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.authentication import SimpleUser
from starlette.exceptions import HTTPException
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from memocache.web.asgi import MemocacheMiddleware
from tests.web.matrix import Answer, Ask, Reply
from tests.web.sites import METHODS, Asked, Body, Options, Site, run


async def answer(app: Any, ask: Ask, *, raises: bool = True) -> Answer:
    """Return the answer of *app*, or raise what it raises, if it *raises* or there is no answer."""
    path, _, query = ask.target.partition("?")
    headers = [("host", ask.host), *ask.headers]
    if ask.body:
        headers.append(("content-length", str(len(ask.body))))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": ask.method,
        "scheme": ask.scheme,
        "path": unquote(ask.root + path),
        "raw_path": (ask.root + path).encode(),
        "query_string": query.encode(),
        "root_path": ask.root,
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        "state": {},
    }
    if ask.user:
        scope["user"] = SimpleUser(ask.user)
    body = iter([{"type": "http.request", "body": ask.body, "more_body": False}])
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return next(body, {"type": "http.disconnect"})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    try:
        await app(scope, receive, send)
    except Exception:
        if raises or not sent:
            raise
    start, *parts = sent
    assert start["type"] == "http.response.start"
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
    return Answer.of(start["status"], headers, b"".join(part.get("body", b"") for part in parts))


class StarletteSite(Site):
    """An application of Starlette; its endpoints are given nothing but the request."""

    has_arguments = False
    is_served_by_loop = True

    def set_up(self, options: Options) -> None:
        self.app: Any = self.application()
        self.app.debug = options.is_debug
        if options.statuses or options.ignored_cookies or options.credential_headers:
            self.app.add_middleware(
                MemocacheMiddleware,
                statuses=options.statuses,
                ignored_cookies=options.ignored_cookies,
                credential_headers=options.credential_headers,
            )
        if options.hosts:
            self.app.add_middleware(TrustedHostMiddleware, allowed_hosts=options.hosts)
        if options.has_sessions:
            self.app.add_middleware(SessionMiddleware, secret_key="secret")

    def application(self) -> Any:
        return Starlette()

    def route(self, path: str, view: Any, methods: Sequence[str] = METHODS) -> None:
        self.app.add_route(path.replace("}", ":int}"), view, methods=methods)

    def parameters(self, body: Body) -> list[inspect.Parameter]:
        return [inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Request)]

    def arguments(self, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        request = given["request"]
        return request, request.path_params

    def asked(self, request: Any) -> Asked:
        host, url = request.headers["Host"], request.url
        return Asked(url.path, url.query, host, request.headers, request.cookies, lambda: request.session)

    def response(self, reply: Reply) -> Response:
        made: Response
        if reply.streamed:
            made = StreamingResponse(iter([reply.body]), reply.status)
        else:
            made = PlainTextResponse(reply.body, reply.status)
        for name, value in reply.headers:
            made.headers.append(name, value)
        return made

    def error(self, status: int) -> HTTPException:
        return HTTPException(status)

    def let_in(self, who: Callable[[Any], object], attribute: str = "user") -> None:
        async def let_in(request: Request, call_next: Callable[[Request], Any]) -> Any:
            setattr(request.state, attribute, who(request))
            return await call_next(request)

        self.app.add_middleware(BaseHTTPMiddleware, dispatch=let_in)

    def ask(self, ask: Ask) -> Answer:
        return self.answers([ask])[0]

    def answers(self, asks: Iterable[Ask]) -> list[Answer]:
        async def in_turn() -> list[Answer]:
            return [await answer(self.app, each, raises=False) for each in asks]

        found: list[Answer] = run(in_turn())
        return found

    @contextlib.contextmanager
    def other_request(self) -> Iterator[tuple[Any, ...]]:
        yield (Request({"type": "http"}),)


class FastAPISite(StarletteSite):
    """An application of FastAPI; its endpoints are given the arguments in the URL, too."""

    has_arguments = True

    def application(self) -> Any:
        return FastAPI()

    def route(self, path: str, view: Any, methods: Sequence[str] = METHODS) -> None:
        self.app.add_api_route(path.replace("}", ":int}"), view, methods=methods, response_model=None)

    def parameters(self, body: Body) -> list[inspect.Parameter]:
        of_url = list(inspect.signature(body).parameters.values())[1:]
        return [*super().parameters(body), *(each.replace(annotation=int) for each in of_url)]

    def arguments(self, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return given.pop("request"), given


class DataSite(FastAPISite):
    """Its endpoints return plain data, of which the middleware finishes the response."""

    def application(self) -> Any:
        made = FastAPI()
        made.add_middleware(MemocacheMiddleware)
        return made

    def response(self, reply: Reply) -> Any:
        assert reply == Reply(body=reply.body)
        return {"n": reply.body}


# ---- applications that no site makes -----------------------------------------------------------------------------


def get(app: Any, target: str = "/", method: str = "GET", host: str = "good.example", **headers: str) -> Answer:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    found: Answer = run(answer(app, Ask(target, named, method, host=host)))
    return found


def bodies(app: Any, *targets: str, **headers: str) -> list[str]:
    return [get(app, target, **headers).text.strip('"') for target in targets]
