"""Applications of Starlette and FastAPI with one cached endpoint, whose answers the tests decide; and how to ask them.

They are asked as a server asks them, so that every line of a header arrives as it was sent, in an event loop that all
tests share.
"""

import asyncio
import atexit
import functools
import itertools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.authentication import SimpleUser
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from memocache import Cache, cached
from memocache.web.asgi import MemocacheMiddleware
from tests.web.matrix import Ask, Reply
from tests.web.sites import Decorator

__all__ = ["Answer", "AsgiSite", "DataSite", "FastAPISite", "StarletteSite", "answer", "ours", "run"]

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE"]


@dataclass(frozen=True)
class Answer:
    status_code: int
    headers: Headers
    data: bytes

    @property
    def text(self) -> str:
        return self.data.decode()


@functools.cache
def loop() -> asyncio.AbstractEventLoop:
    made = asyncio.new_event_loop()
    atexit.register(made.close)
    return made


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return what *coroutine* returns in the loop of the tests."""
    return loop().run_until_complete(coroutine)


async def answer(app: Any, ask: Ask) -> Answer:
    """Return the answer of *app*."""
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
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
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

    await app(scope, receive, send)
    start, *parts = sent
    assert start["type"] == "http.response.start"
    return Answer(start["status"], Headers(raw=start["headers"]), b"".join(part.get("body", b"") for part in parts))


def ours(cache: Cache, terms: dict[str, Any] | None = None) -> Decorator:
    """Return what decorates the endpoint with @cached, with the *terms* of a case."""
    given = terms or {}
    key = (lambda request: "same") if given.get("keyed") else None
    return cached(timeout=300, cache=cache, namespace="view", vary=given.get("vary", ()), key=key)


class AsgiSite:
    """An application that answers every request with *reply*, and a body that says how often it has computed one."""

    framework: Callable[[], Any]

    def __init__(self, decorator: Decorator, terms: dict[str, Any] | None = None, *, is_async: bool = True) -> None:
        self.reply = Reply()
        self.computed = 0
        numbers = itertools.count(1)

        def view(request: Request) -> Any:
            self.computed = next(numbers)
            return self.returned(f"{self.computed}")

        async def awaited(request: Request) -> Any:
            return view(request)

        self.app = self.made(decorator(awaited if is_async else view))
        statuses = (terms or {}).get("statuses", ())
        if statuses:
            self.app.add_middleware(MemocacheMiddleware, statuses=statuses)

    def made(self, view: Any) -> Any:
        return Starlette(routes=[Route(path, view, methods=METHODS) for path in ("/page", "/page/")])

    def returned(self, body: str) -> Any:
        made: Response
        if self.reply.streamed:
            made = StreamingResponse(iter([body]), self.reply.status)
        else:
            made = JSONResponse(body, self.reply.status)
        for name, value in self.reply.headers:
            made.headers.append(name, value)
        return made

    def ask(self, ask: Ask) -> Answer:
        found: Answer = run(answer(self.app, ask))
        return found


class StarletteSite(AsgiSite):
    pass


class FastAPISite(AsgiSite):
    def made(self, view: Any) -> FastAPI:
        app = FastAPI()
        for path in ("/page", "/page/"):
            app.add_api_route(path, view, methods=METHODS, response_model=None)
        return app


class DataSite(FastAPISite):
    """Its endpoint returns plain data, which is all that there is of its reply."""

    def made(self, view: Any) -> FastAPI:
        app = super().made(view)
        app.add_middleware(MemocacheMiddleware)
        return app

    def returned(self, body: str) -> Any:
        assert self.reply == Reply()
        return {"n": body}
