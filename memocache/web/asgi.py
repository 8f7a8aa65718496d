"""Starlette and FastAPI: `@cached` on an endpoint. The only file that imports Starlette.

An endpoint that takes the request is a view: its URL and headers are in the key, and it is itself no part of the call's
key. `page.uncache(None, 7)` so forgets the call, whatever the request. What takes no request is an ordinary function.
"""

import copy
import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

try:
    import starlette  # noqa: F401
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError("memocache.web.asgi needs Starlette: pip install 'starlette>=0.40'") from missing
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from memocache._hooks import Engine, HookedFunction, adapters
from memocache.errors import ConfigurationError
from memocache.web._calls import ViewRequest
from memocache.web._discovery import ArgumentAdapter, RequestParameters
from memocache.web._responses import DATA, RESPONSE, Rendered, ResponseHeaders, StoredResponse, storable_headers
from memocache.web._rules import HARMLESS_COOKIES, RequestInfo, ResponseInfo
from memocache.web._settings import check_settings, view_rules

__all__ = ["MemocacheMiddleware"]

Pairs: TypeAlias = Sequence[tuple[str, str]]

IN_SCOPE: Final = "memocache"
DEPENDS: Final = "fastapi.params"
CLASS_BASED: Final = "__cbv_class__"  # what fastapi-utils gives to a class
DEEPEST: Final = 20  # dependencies of dependencies
USERS: Final = ("user", "current_user")
"""Attributes of `request.state` that applications keep the user in."""

# Type of what a framework makes for one request -> why a function that takes it cannot be cached, and what to do.
REFUSED: Final[dict[type, str]] = {
    Response: "which is of one request: a hit would set nothing on it; take it out and return a Response instead, "
    "JSONResponse(data, headers=...)",
    BackgroundTask: "which is of one request: a hit would add no tasks to it; take it out, and add them in an endpoint "
    "that calls the cached function",
    WebSocket: "which is a conversation and no request; cache a function that takes what was said in it",
}


class PendingResponse:
    """The response to one request, and the headers that it will get."""

    def __init__(
        self,
        ignored_cookies: tuple[str, ...] = HARMLESS_COOKIES,
        statuses: Iterable[int] = (),
        credentials: Iterable[str] = (),
    ) -> None:
        self.settings = ignored_cookies, statuses, credentials
        self.headers: ResponseHeaders | None = None
        self.status = ""


class AsgiViewRequest(ViewRequest):
    """A request of HTTP that a function was given."""

    def __init__(self, function: HookedFunction, parameters: RequestParameters, request: Request) -> None:
        scope = self._scope = request.scope
        pending = scope.get(IN_SCOPE)
        self._has_middleware = pending is not None
        self._pending: PendingResponse = pending or PendingResponse()
        info = RequestInfo(
            scope["method"],
            scope["scheme"],
            _host(request),
            scope.get("root_path", ""),
            scope["path"],
            scope.get("query_string", b""),
            request.headers.getlist,
            request.headers.keys(),
            scope.get("http_version", "1.1"),
        )
        super().__init__(info, view_rules(function, *self._pending.settings))
        self._is_response = parameters.is_response_of(function, scope.get("endpoint"))
        self._headers: ResponseHeaders | None = None
        self._former_session = _contents(self.session)
        self.is_debug = bool(getattr(scope.get("app"), "debug", False))
        self._request = request

    def location(self, engine: Engine) -> tuple[object, ...]:
        """Return a number for the application, in this process; the key has the path."""
        app = self._scope.get("app")
        return (0 if engine.cache.shared or app is None else engine.token(app),)

    def render(self, value: Any) -> Rendered | None:
        """Return the response that *value* is, or that FastAPI makes of it if it is data."""
        if isinstance(value, Response):
            if value.background is not None or not _is_whole(value):
                return None
            headers = value.headers.items()
            kept = (value.status_code, storable_headers(headers), bytes(value.body))
            return Rendered(ResponseInfo(value.status_code, headers), RESPONSE, kept)
        if hasattr(value, "__next__") or hasattr(value, "__anext__"):
            return None
        route = self._scope.get("route") if self._is_response else None
        return Rendered(ResponseInfo(getattr(route, "status_code", None) or 200, ()), DATA, value)

    def has_body(self) -> bool:
        """Return True if somebody has read a body; an ordinary function cannot."""
        return bool(getattr(self._request, "_body", b""))

    async def has_body_in_task(self) -> bool:
        """Return True if there is a body; what was received of it the endpoint receives once more."""
        request = self._request
        if hasattr(request, "_body") or getattr(request, "_stream_consumed", False):
            return bool(getattr(request, "_body", b"read"))
        receive = request.receive
        received = [await receive()]
        while not received[-1].get("body") and received[-1].get("more_body"):
            received.append(await receive())
        has_body = bool(received[-1].get("body"))

        async def receive_again() -> Message:
            return received.pop(0) if received else await receive()

        request._receive = receive_again
        return has_body

    def users(self) -> Iterable[Any]:
        """Return what is in `request.state`, and whom the authentication has let in."""
        return [self._scope.get("user"), *map(self._state().get, USERS)]

    def kept(self, names: Iterable[str]) -> Iterable[str]:
        """Return what the application has in `request.state`."""
        state = self._state()
        return [text for name in names if isinstance(text := state.get(name), str) and text]

    def _state(self) -> Mapping[str, Any]:
        state = self._scope.get("state") or {}
        return state if isinstance(state, Mapping) else vars(state).get("_state", {})

    def is_private(self) -> bool:
        """Return whether the session was changed, by the view or before it, or is that of somebody not in the key."""
        session = self.session
        is_changed = getattr(session, "modified", False) or _contents(session) != self._former_session
        return bool(is_changed) or self.has_own_session()

    def headers_of(self, error: Exception) -> Iterable[tuple[str, str]]:
        """Return the headers of Starlette's HTTPException, and of FastAPI's."""
        return (error.headers or {}).items() if isinstance(error, HTTPException) else ()

    @property
    def session(self) -> Any:
        """The session, if there is one."""
        return self._scope.get("session")

    def can_serve(self, stored: StoredResponse) -> bool:
        """Return True for any data, which FastAPI checks itself, and for a response."""
        return stored.kind == DATA or super().can_serve(stored)

    def rebuild(self, status: int, headers: Pairs, body: bytes) -> Any:
        """Return a plain response."""
        content: bytes | None = body
        if self._headers is not None and self._is_response and not self._has_middleware:
            status, headers, content = _with_headers(self._headers, status, headers, body)
        response = Response(content, status)
        for name, value in headers:
            response.headers.append(name, value)
        return response

    def deliver(self, value: Any) -> Any:
        """Return a copy, if it was stored: the view may keep the one that it returned."""
        if self._headers is None or not isinstance(value, Response):
            return value
        return self.rebuild(value.status_code, storable_headers(value.headers.items()), bytes(value.body))

    def with_status(self, value: Any, status: str) -> Any:
        """Return *value* with the status; what FastAPI makes of data gets it from the middleware."""
        if self._is_response and isinstance(value, Response):
            value.headers["Cache-Status"] = status
        elif self._is_response:
            self._pending.status = status
        return value

    def set_headers(self, headers: ResponseHeaders) -> None:
        """Set *headers* at once on a Response; what FastAPI makes of data gets them from the middleware."""
        # After a hit that was stale, this is called again for the new result, which is not served.
        if headers.hit or self._headers is None:
            self._headers = headers
            if self._is_response:
                self._pending.headers = headers


def _host(request: Request) -> str:
    hosts = request.headers.getlist("host")
    if hosts:
        return ",".join(hosts)
    name, port = request.scope.get("server") or ("", None)
    return f"{name}:{port}"


def _contents(session: Any) -> object:
    """Return the contents of the *session*, if there is one."""
    try:
        return copy.deepcopy(session)
    except Exception:  # noqa: BLE001 - then it is taken as changed
        return object()


def _is_whole(response: Response) -> bool:
    """Return True if *response* is no more than its status, headers and body."""
    if isinstance(response, StreamingResponse | FileResponse) or not hasattr(response, "body"):
        return False
    sends = next(base for base in type(response).__mro__ if "__call__" in vars(base))
    return sends.__module__.partition(".")[0] in ("starlette", "fastapi")  # a class from elsewhere may do anything


def _with_headers(
    added: ResponseHeaders, status: int, headers: Pairs, body: bytes | None
) -> tuple[int, Pairs, bytes | None]:
    """Return the response with the headers *added*, or as 304; *body* is None if it comes in parts."""
    if status not in added.rules.statuses:
        return status, headers, body  # another response has taken its place
    new = added.to_set(headers, body)
    names = {name.lower() for name in new}
    headers = [*(pair for pair in headers if pair[0].lower() not in names), *new.items()]
    if body is not None and added.is_unmodified(status, headers):
        return 304, [pair for pair in headers if pair[0].lower() != "content-length"], b""
    return status, headers, body


class MemocacheMiddleware:
    """Adds Age, ETag, Vary and Cache-Control to what FastAPI makes of the data that a cached endpoint returns.

    It is not needed for `@cached`, nor for endpoints that return a Response: to that they are added at once. It goes
    inside of all others: add it first. A response that comes in parts has no ETag.

    >>> from fastapi import FastAPI
    >>> app = FastAPI()
    >>> app.add_middleware(MemocacheMiddleware, statuses=[404])

    Args:
        app: the next application.
        statuses: more statuses of responses that may be stored, of 404 and 410.
        ignored_cookies: names of cookies that do not matter; * and ? are wildcards. None: the usual ones of analytics.
        credential_headers: more request headers that say who is there, besides the usual ones.

    Raises:
        ConfigurationError: for options that cannot work.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        statuses: Collection[int] = (),
        ignored_cookies: Collection[str] | None = None,
        credential_headers: Collection[str] = (),
    ) -> None:
        settings: dict[str, Any] = {"statuses": statuses, "credential_headers": credential_headers}
        if ignored_cookies is not None:
            settings["ignored_cookies"] = ignored_cookies
        self.app = app
        self._settings = check_settings(settings.get, str.lower)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        pending = scope[IN_SCOPE] = PendingResponse(*self._settings)
        await self.app(scope, receive, ResponseSender(pending, send))


class ResponseSender:
    """A sender of a response: of its start not before its first part, which the headers depend on."""

    def __init__(self, pending: PendingResponse, send: Send) -> None:
        self._pending = pending
        self._send = send
        self._start: Message | None = None

    async def __call__(self, message: Message) -> None:
        """Send *message*; the start of a response waits for the next message."""
        if message["type"] == "http.response.start" and self._pending.status:
            status = (b"cache-status", self._pending.status.encode("latin-1"))
            message = {**message, "headers": [*message.get("headers", ()), status]}
        if message["type"] == "http.response.start" and self._pending.headers is not None:
            self._start = message
            return
        if self._start is not None and self._pending.headers is not None:
            start, self._start = self._start, None
            message = self._with_headers(start, message, self._pending.headers)
            await self._send(start)
        await self._send(message)

    def _with_headers(self, start: Message, message: Message, added: ResponseHeaders) -> Message:
        """Return *message* as it is to be sent; *start* is changed in place."""
        headers: Pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start.get("headers", ())]
        body = None
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            body = bytes(message.get("body", b""))
        start["status"], headers, body = _with_headers(added, start["status"], headers, body)
        if body is not None:
            message = {**message, "body": body}
        start["headers"] = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return message


def _refuse_what_is_closed(function: HookedFunction) -> None:
    """Raise ConfigurationError if *function* is computed in the background with what FastAPI has closed by then."""
    if not function.is_refreshed_later:
        return
    for parameter in function.signature.parameters.values():
        try:
            hint = function.hint_of(parameter)
        except Exception:  # noqa: BLE001 - from whatever a name stands for that is not defined yet
            hint = parameter.annotation
        if any(map(_yields, _dependencies(parameter.default, hint))):
            raise ConfigurationError(
                f"{function.title}: {parameter.name!r} comes from a dependency with yield, which is closed with the "
                "request, and stale= computes when that may be over; leave stale= out, or open it in the function"
            )


def _dependencies(default: Any, hint: Any) -> Iterator[Callable[..., Any]]:
    """Return what FastAPI calls for a parameter with this *default* and this resolved *hint*."""
    for each in (default, *getattr(hint, "__metadata__", ())):
        if type(each).__module__ == DEPENDS and hasattr(each, "dependency"):
            yield each.dependency or getattr(hint, "__origin__", hint)


def _yields(dependency: Any, deepest: int = DEEPEST) -> bool:
    """Return True if *dependency*, or one that it depends on, goes on after the request."""
    for each in (dependency, getattr(dependency, "__call__", None)):  # noqa: B004 - of an object that is called
        if inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each):
            return True
    try:
        parameters = inspect.signature(dependency, eval_str=True).parameters.values()
    except Exception:  # noqa: BLE001 - it has none, or one of a name that is not defined yet
        return False
    return deepest > 0 and any(
        _yields(inner, deepest - 1) for each in parameters for inner in _dependencies(each.default, each.annotation)
    )


class AsgiAdapter(ArgumentAdapter):
    """The adapter of Starlette and FastAPI, which knows what FastAPI injects, too."""

    def decorated(self, function: HookedFunction, /) -> None:
        """Raise ConfigurationError if the function takes something that is made for one request."""
        super().decorated(function)
        _refuse_what_is_closed(function)

    def call(self, function: HookedFunction, arguments: Sequence[object], /) -> Callable[[Engine], Any] | None:
        """Return what begins the present call, if there is a request among its arguments."""
        if (
            function.is_method
            and arguments
            and hasattr(type(arguments[0]), CLASS_BASED)
            and function.is_in_key(next(iter(function.signature.parameters)))
        ):
            raise ConfigurationError(
                f"{function.title}: @cbv makes a new {type(arguments[0]).__name__} for each request, so that no call "
                "would ever be a hit; pass ignore=('self',) if nothing of it matters, or cache a function that it calls"
            )
        return super().call(function, arguments)


adapters.register(AsgiAdapter(Request, AsgiViewRequest, (Response,), (HTTPEndpoint,), REFUSED, HTTPConnection))
