"""Starlette and FastAPI: `@cached` on an endpoint. The only file that imports Starlette.

An endpoint that takes the request is a view: the request says what of it counts, and is itself no part of the call's
key. `page.uncache(None, 7)` so forgets the call, whatever the request. What takes no request is an ordinary function.
"""

import copy
from collections.abc import Callable, Collection, Iterable, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any, Final, TypeAlias

try:
    import starlette  # noqa: F401
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError("memocache.web.asgi needs Starlette: pip install 'starlette>=0.40'") from missing
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from memocache._instances import token
from memocache._memoizer import Memoizer
from memocache._views import announce
from memocache.errors import ConfigurationError
from memocache.web._arguments import Arguments, Endpoints
from memocache.web._exchange import Exchange, Finish, Shown
from memocache.web._rules import HARMLESS_COOKIES, MORE_STATUSES, Answer, Asked
from memocache.web._settings import terms_of
from memocache.web._stored import DATA, RESPONSE, kept_headers

__all__ = ["MemocacheMiddleware"]

Pairs: TypeAlias = Sequence[tuple[str, str]]

IN_SCOPE: Final = "memocache"

# What a framework injects for one request -> why nothing of it can be cached, and what to do.
REFUSED: Final[dict[type, str]] = {
    Response: "which is of one request: a hit would set nothing on it; take it out and return a Response instead, "
    "JSONResponse(data, headers=...)",
    BackgroundTask: "which is of one request: a hit would add no tasks to it; take it out, and add them in an endpoint "
    "that calls the cached function",
    WebSocket: "which is a conversation and no request; cache a function that takes what was said in it",
}


class Pending:
    """What is to be done with the response to one request."""

    def __init__(self, statuses: Iterable[int] = (), harmless: tuple[str, ...] = HARMLESS_COOKIES) -> None:
        self.statuses = statuses
        self.harmless = harmless
        self.finish: Finish | None = None


class AsgiExchange(Exchange):
    """A call of a function that was given a request of HTTP."""

    def __init__(self, memo: Memoizer, known: Arguments, request: Request) -> None:
        scope = self._scope = request.scope
        pending = scope.get(IN_SCOPE)
        self._is_finished_later = pending is not None
        self._pending: Pending = pending or Pending()
        asked = Asked(
            scope["method"],
            scope["scheme"],
            _host(request),
            scope.get("root_path", ""),
            scope["path"],
            scope.get("query_string", b""),
            request.headers.getlist,
            identified=bool(getattr(scope.get("user"), "is_authenticated", "user" in scope)),
        )
        super().__init__(asked, terms_of(memo, self._pending.harmless, self._pending.statuses))
        self._answers = known.is_answer(memo, scope.get("endpoint"))
        self._finish: Finish | None = None
        self._session = _session(scope)

    def where(self, *, shared: bool) -> tuple[object, ...]:
        """Return the application, in this process; the key has the path."""
        app = self._scope.get("app")
        return (0 if shared or app is None else int(token(app)),)

    def shown(self, value: Any) -> Shown | None:
        """Return the response that *value* is, or that FastAPI makes of the data that it is."""
        if isinstance(value, Response):
            if value.background is not None or not _is_whole(value):
                return None
            headers = value.headers.items()
            kept = (value.status_code, kept_headers(headers), bytes(value.body))
            return Shown(Answer(value.status_code, headers), RESPONSE, kept)
        if hasattr(value, "__next__") or hasattr(value, "__anext__"):
            return None
        route = self._scope.get("route") if self._answers else None
        return Shown(Answer(getattr(route, "status_code", None) or 200, ()), DATA, value)

    def is_private(self) -> bool:
        """Return whether the session was changed."""
        return _session(self._scope) != self._session

    def rebuilt(self, status: int, headers: Pairs, body: bytes) -> Any:
        """Return a plain response."""
        content: bytes | None = body
        if self._finish is not None and self._answers and not self._is_finished_later:
            status, headers, content = _finished(self._finish, status, headers, body)
        response = Response(content, status)
        for name, value in headers:
            response.headers.append(name, value)
        return response

    def given(self, value: Any) -> Any:
        """Return a response of its own, where it was stored: the view may have returned one that it keeps."""
        if self._finish is None or not isinstance(value, Response):
            return value
        return self.rebuilt(value.status_code, kept_headers(value.headers.items()), bytes(value.body))

    def finish(self, finish: Finish) -> None:
        """Have *finish* done at once with a response; with what FastAPI makes of data, by the middleware."""
        # An old result may have been served before the one that refreshes it comes to this.
        if finish.hit or self._finish is None:
            self._finish = finish
            if self._answers:
                self._pending.finish = finish

    def in_background(self, compute: Callable[[], Any]) -> Callable[[], Any]:
        """Return what calls *compute* with the context variables that are here."""
        return partial(copy_context().run, compute)


def _host(request: Request) -> str:
    hosts = request.headers.getlist("host")
    if hosts:
        return ",".join(hosts)
    name, port = request.scope.get("server") or ("", None)
    return f"{name}:{port}"


def _session(scope: Scope) -> object:
    """Return what is in the session, and whether it says that it was changed."""
    session = scope.get("session")
    try:
        return getattr(session, "modified", None), copy.deepcopy(session)
    except Exception:  # noqa: BLE001 - then it is never the same as before
        return object()


def _is_whole(response: Response) -> bool:
    """Return whether *response* is no more than its status, headers and body."""
    if isinstance(response, StreamingResponse | FileResponse) or not hasattr(response, "body"):
        return False
    sends = next(base for base in type(response).__mro__ if "__call__" in vars(base))
    return sends.__module__.partition(".")[0] in ("starlette", "fastapi")  # and nothing of somebody else's


def _finished(finish: Finish, status: int, headers: Pairs, body: bytes | None) -> tuple[int, Pairs, bytes | None]:
    """Return the response as it is to be sent; *body* None if it comes in parts."""
    if status not in finish.terms.statuses:
        return status, headers, body  # something else has come of it
    added = finish.headers(headers, body)
    names = {name.lower() for name in added}
    headers = [*(pair for pair in headers if pair[0].lower() not in names), *added.items()]
    if body is not None and finish.is_unmodified(status, headers):
        return 304, [pair for pair in headers if pair[0].lower() != "content-length"], b""
    return status, headers, body


class MemocacheMiddleware:
    """Adds Age, ETag, Vary and Cache-Control to what FastAPI makes of the data that a cached endpoint returns.

    It is not needed for `@cached`, nor for endpoints that return a Response: to that they are added at once. It goes
    inside of all others: `add_middleware` calls it first. A response that comes in parts has no ETag.

    >>> from fastapi import FastAPI
    >>> app = FastAPI()
    >>> app.add_middleware(MemocacheMiddleware, statuses=[404])

    Args:
        app: what it stands before.
        statuses: those of responses that may be stored, too, of 404 and 410.
        ignored_cookies: names of cookies that do not matter, * and ? standing for anything. None: the usual ones of
            analytics.

    Raises:
        ConfigurationError: for options that cannot work.
    """

    def __init__(
        self, app: ASGIApp, *, statuses: Collection[int] = (), ignored_cookies: Collection[str] | None = None
    ) -> None:
        for status in statuses:
            if status not in MORE_STATUSES:
                raise ConfigurationError(f"statuses= has {status!r}; wanted: some of 404 and 410")
        if isinstance(ignored_cookies, str):
            raise ConfigurationError(f"ignored_cookies={ignored_cookies!r} is one text; wanted: a list of names")
        self.app = app
        self._statuses = frozenset(statuses)
        self._harmless = HARMLESS_COOKIES if ignored_cookies is None else tuple(ignored_cookies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        pending = scope[IN_SCOPE] = Pending(self._statuses, self._harmless)
        await self.app(scope, receive, Finishing(pending, send))


class Finishing:
    """Sends a response when it has been finished."""

    def __init__(self, pending: Pending, send: Send) -> None:
        self._pending = pending
        self._send = send
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        """Send *message*; the start of a response not before what comes next."""
        if message["type"] == "http.response.start" and self._pending.finish is not None:
            self._start = message
            return
        if self._start is not None and self._pending.finish is not None:
            start, self._start = self._start, None
            message = self._finished(start, message, self._pending.finish)
            await self._send(start)
        await self._send(message)

    def _finished(self, start: Message, message: Message, finish: Finish) -> Message:
        """Return *message*, and change *start*, as they are to be sent."""
        headers: Pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start.get("headers", ())]
        body = None
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            body = bytes(message.get("body", b""))
        start["status"], headers, body = _finished(finish, start["status"], headers, body)
        if body is not None:
            message = {**message, "body": body}
        start["headers"] = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return message


announce(Endpoints(Request, AsgiExchange, REFUSED), (Response,), (HTTPEndpoint,), (HTTPConnection,))
