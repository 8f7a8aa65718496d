"""Inspector: a page that shows what cached functions do and have stored, and forgets it, as an application to mount.

It is closed by default: it needs a secret, or the application's own check. It never shows values or arguments.
"""

import asyncio
import inspect
import secrets
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlencode

from memocache import Cache, default_cache
from memocache._clock import now
from memocache.errors import ConfigurationError, MemocacheError, with_article
from memocache.serializers._signing import Signer
from memocache.web.inspector._contents import Contents
from memocache.web.inspector._page import POLICY, Page, said, trouble

__all__ = ["Inspector"]

COOKIE: Final = "memocache_inspector"
LASTS: Final = 12 * 3600  # seconds, of a session
SHORTEST: Final = 16  # characters of a secret
NO_SECRET: Final = "known to everybody"
LARGEST: Final = 65_536  # bytes of a form
FORM: Final = "application/x-www-form-urlencoded"
FIELDS: Final = 20
LONGEST_NUMBER: Final = 10  # digits
SAID: Final = {
    "function": "Every call of this function is forgotten.",
    "tag": "Every call with that tag is forgotten.",
    "entry": "That call is forgotten.",
    "nothing": "That call was not found, so nothing was forgotten.",
}
Run: TypeAlias = Callable[..., Awaitable[Any]]
"""Calls a function that blocks: in this thread, or so that the event loop goes on."""

HEADERS: Final = (
    ("Content-Type", "text/html; charset=utf-8"),
    ("Content-Security-Policy", POLICY),
    ("Cache-Control", "no-store"),
    ("X-Frame-Options", "DENY"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),  # with "no-referrer", browsers would not say where a form comes from either
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)


@dataclass(frozen=True, slots=True)
class Visit:
    """A request to the page, whatever brought it; the names of *headers* are in lower case."""

    method: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes | None  # None: too large
    is_secure: bool

    @property
    def cookies(self) -> list[str]:
        """The values of our cookie: other pages of the site may have set one, too, and others in any form."""
        # Not by http.cookies, for which one odd cookie of somebody else makes all others vanish.
        pairs = [each.strip().partition("=") for each in self.headers.get("cookie", "").split(";")]
        return [value for name, _, value in pairs if name == COOKIE]

    @property
    def is_same_origin(self) -> bool:
        """True if the browser says that it comes from a page of the same host."""
        site = self.headers.get("sec-fetch-site")
        if site is not None:
            return site == "same-origin"
        host = self.headers.get("host", "")
        return host != "" and self.headers.get("origin") in (f"http://{host}", f"https://{host}")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a Visit."""

    status: HTTPStatus
    headers: list[tuple[str, str]]
    body: bytes

    def body_for(self, visit: Visit) -> bytes:
        """Return what is sent after the headers: to a HEAD nothing, or it would be read as the next answer."""
        return b"" if visit.method == "HEAD" else self.body


class Inspector:
    """A page that shows what cached functions do and have stored, and that forgets calls, tags and functions.

    It is one address, below which there is nothing. Mount `wsgi` or `asgi`, or make `django` a view.

    >>> from memocache.web.inspector import Inspector
    >>> inspector = Inspector(allow=lambda request: request.user.is_staff)

    Args:
        cache: a cache, or its URL; None for those of all functions of this process.
        secret: whoever knows it may enter: text of 16 characters or more. Processes that share the work have the same.
        allow: returns True if a request may see the page, which also means to forget. It is given the framework's own
            request where the page is mounted in Django, Flask, Starlette or FastAPI; else the environ of WSGI or the
            scope of ASGI, where it may be a coroutine function.

    Raises:
        ConfigurationError: without a secret and a check, or with both.
    """

    def __init__(
        self,
        cache: Cache | str | None = None,
        *,
        secret: str | None = None,
        allow: Callable[[Any], object] | None = None,
    ) -> None:
        if (secret is None) == (allow is None):
            raise ConfigurationError(
                "Inspector() is closed by default, and needs one way to say who may enter: secret='...', or "
                "allow=lambda request: request.user.is_staff"
            )
        if secret is not None and (not isinstance(secret, str) or len(secret) < SHORTEST):
            what = "too short a text" if isinstance(secret, str) else with_article(type(secret))
            raise ConfigurationError(
                f"Inspector(secret=...) got {what}; wanted: at least {SHORTEST} characters that nobody can guess, "
                "such as secrets.token_urlsafe() makes"
            )
        if allow is not None and not callable(allow):
            raise ConfigurationError(
                f"Inspector(allow=...) got {with_article(type(allow))}; wanted: a function that takes the request and "
                "returns True if it may see the page"
            )
        if cache is not None and not isinstance(cache, Cache | str):
            raise ConfigurationError(
                f"Inspector() got {with_article(type(cache))}; wanted: a cache object, its URL, or None for the caches "
                "of all functions"
            )
        self._contents = Contents(default_cache(cache) if isinstance(cache, str) else cache)
        self._allow = allow
        self._has_secret = secret is not None
        # Where the application itself knows who is there, all that a token has to prove is that it saw the page.
        self._signer = Signer(secret or NO_SECRET, b"inspector")
        self._secret_sign = self._sign("secret", secret or "")
        self._tickets: set[str] = set()

    # ---- the applications ----------------------------------------------------------------------------------------

    def wsgi(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """The page as an application of WSGI; a view of Flask may return it."""
        headers = {
            name[5:].replace("_", "-").lower(): str(each) for name, each in environ.items() if name[:5] == "HTTP_"
        }
        headers["content-type"] = environ.get("CONTENT_TYPE") or ""
        length = environ.get("CONTENT_LENGTH") or "0"
        size = int(length) if length.isdecimal() and len(length) < LONGEST_NUMBER else LARGEST + 1
        visit = Visit(
            environ["REQUEST_METHOD"],
            _fields(environ.get("QUERY_STRING", "")),
            headers,
            None if size > LARGEST else environ["wsgi.input"].read(size),
            environ["wsgi.url_scheme"] == "https",
        )
        reply = self._reply_here(visit, environ.get("werkzeug.request", environ))
        start_response(f"{reply.status.value} {reply.status.phrase}", reply.headers)
        return [reply.body_for(visit)]

    @property
    def asgi(self) -> Callable[[Any, Any, Any], Awaitable[None]]:
        """The page as an application of ASGI."""

        async def application(scope: Any, receive: Any, send: Any) -> None:  # servers look whether it is a function
            await self._answer(scope, receive, send)

        return application

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise ConfigurationError(f"the inspector answers HTTP only, and was asked for {scope['type']}")
        body: bytes | None = b""
        is_whole = False
        while not is_whole:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            if body is not None:
                body += message.get("body", b"")
                body = None if len(body) > LARGEST else body
            is_whole = not message.get("more_body", False)
        headers: dict[str, str] = {}
        for name, each in scope["headers"]:  # HTTP/2 sends each cookie by itself; of others there may be one only
            text, former = each.decode("latin-1"), headers.get(name.decode("latin-1").lower())
            headers[name.decode("latin-1").lower()] = text if former is None else f"{former}; {text}"
        query = _fields(scope["query_string"].decode("latin-1"))
        visit = Visit(scope["method"], query, headers, body, scope.get("scheme") == "https")
        allowed = None if self._allow is None else self._allow(_request_of(scope))
        if inspect.isawaitable(allowed):
            allowed = await allowed
        reply = await self._reply_to(visit, allowed, _in_task)
        named = [(name.lower().encode("latin-1"), each.encode("latin-1")) for name, each in reply.headers]
        await send({"type": "http.response.start", "status": reply.status.value, "headers": named})
        await send({"type": "http.response.body", "body": reply.body_for(visit)})

    def django(self, request: Any) -> Any:
        """The page as a view of Django: `path("cache/", inspector.django)`."""
        from django.http import HttpResponse

        headers = {name.lower(): each for name, each in request.headers.items()}
        query, body = _fields(request.META.get("QUERY_STRING", "")), request.body
        visit = Visit(request.method, query, headers, None if len(body) > LARGEST else body, request.is_secure())
        reply = self._reply_here(visit, request)
        response = HttpResponse(reply.body_for(visit), status=reply.status.value)
        for name, each in reply.headers:
            response[name] = each
        return response

    django.csrf_exempt = True  # type: ignore[attr-defined] # it has a token of its own

    # ---- who is there --------------------------------------------------------------------------------------------

    def ticket(self) -> str:
        """Return a query that opens the page once, without the secret; in this process."""
        ticket = secrets.token_urlsafe()
        self._tickets.add(ticket)
        return urlencode({"ticket": ticket})

    def _takes(self, ticket: str) -> bool:
        """Return True if *ticket* opens the page, which it does not any more then."""
        try:
            self._tickets.remove(ticket)  # in one step: another thread may have the same one
        except KeyError:
            return False
        return True

    def _sign(self, purpose: str, text: str) -> str:
        return self._signer.signature(text.encode("utf-8", "surrogatepass"), purpose.encode()).hex()

    def _is_signed(self, purpose: str, text: str, sign: str) -> bool:
        return secrets.compare_digest(self._sign(purpose, text), sign.encode("ascii", "replace").decode())

    def _new_session(self) -> str:
        text = f"{int(now()) + LASTS}.{secrets.token_urlsafe(18)}"
        return f"{text}.{self._sign('session', text)}"

    def _session(self, visit: Visit) -> str:
        """Return the session that a cookie stands for, empty if none does."""
        for cookie in visit.cookies:
            text, _, sign = cookie.rpartition(".")
            end = text.partition(".")[0]
            if self._is_signed("session", text, sign) and end.isdecimal() and int(end) >= now():
                return cookie
        return ""

    # ---- answers -------------------------------------------------------------------------------------------------

    def _reply_here(self, visit: Visit, request: Any) -> Reply:
        """Return the answer to *visit*, in this thread; the framework knows it as *request*."""
        allowed = None if self._allow is None else self._allow(request)
        if inspect.isawaitable(allowed):
            if inspect.iscoroutine(allowed):
                allowed.close()
            raise ConfigurationError(
                "Inspector(allow=...) returned what has to be awaited, as inspector.asgi can; wanted: True or False"
            )
        coroutine = self._reply_to(visit, allowed, _in_thread)
        try:
            coroutine.send(None)
        except StopIteration as stop:
            reply: Reply = stop.value
            return reply
        raise AssertionError("a thread does not wait for others")

    async def _reply_to(self, visit: Visit, allowed: object, run: Run) -> Reply:
        """Return the answer to *visit*; *allowed* is what the application's check says, None if there is none."""
        if callable(allowed):
            raise ConfigurationError(
                "Inspector(allow=...) returned what has to be called, such as a method without its (); wanted: True or "
                "False"
            )
        if visit.method not in ("GET", "HEAD", "POST"):
            return _reply(
                HTTPStatus.METHOD_NOT_ALLOWED, Page.note("This page is read and posted to."), Allow="GET, HEAD, POST"
            )
        session = self._session(visit)
        page = Page(self._sign("token", session), has_way_out=self._has_secret)
        if visit.method == "POST":
            return await self._reply_to_form(visit, session, allowed, page, run)
        if self._has_secret:
            if visit.method == "GET" and self._takes(visit.query.get("ticket", "")):
                return _to("said=in", _cookie(self._new_session(), visit))
            if not session:
                return _reply(HTTPStatus.FORBIDDEN, page.entrance())
        elif not allowed:
            return _reply(HTTPStatus.FORBIDDEN, Page.note("You may not see this page.", "Closed"))
        cookies = []
        if not session:
            session = self._new_session()
            cookies = _cookie(session, visit)
            page = Page(self._sign("token", session))
        status, html = await self._page_of(visit.query, page, run)
        return _reply(status, html, cookies)

    async def _page_of(self, query: Mapping[str, str], page: Page, run: Run) -> tuple[HTTPStatus, str]:
        """Return the page that *query* asks for."""
        overview = await run(self._contents.functions)
        notices = [said(SAID[query["said"]])] if query.get("said") in SAID else []
        notices += map(trouble, overview.troubles)
        search = query.get("q", "").strip()
        if "function" not in query:
            return HTTPStatus.OK, page.overview(overview, search, notices)
        figures = next((each for each in overview.functions if each.name == query["function"]), None)
        if figures is None:
            return HTTPStatus.NOT_FOUND, Page.note("There is no function of that name here.", "Not found")
        first = query.get("first", "")
        start = int(first) if first.isascii() and first.isdecimal() and len(first) < LONGEST_NUMBER else 0
        entries = await run(self._contents.entries, figures.name, search, start)
        return HTTPStatus.OK, page.function(figures, overview.about, search, notices, entries)

    async def _forget(self, form: Mapping[str, str], run: Run) -> dict[str, str]:
        """Forget what *form* says, and return the query of the page to go to."""
        name, act = form.get("function", ""), form.get("act", "")
        match act:
            case "entry":
                was_there = await run(self._contents.forget_entry, name, form.get("key", ""))
                return {"function": name, "said": act if was_there else "nothing"}
            case "function":
                await run(self._contents.forget_function, name)
                return {"function": name, "said": act}
            case "tag" if form.get("tag"):
                await run(self._contents.forget_tag, form["tag"])
        return {"said": act}

    async def _reply_to_form(self, visit: Visit, session: str, allowed: object, page: Page, run: Run) -> Reply:
        """Return the answer to a form."""
        if visit.body is None:
            return _reply(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, Page.note("That form is too large."))
        if visit.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
            return _reply(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, Page.note("That is no form of this page."))
        if not visit.is_same_origin:
            return _reply(
                HTTPStatus.FORBIDDEN,
                Page.note(
                    "That form was not sent from this page. If it was, a proxy before the application has changed the "
                    "header Host: let it pass that on."
                ),
            )
        form = _fields(visit.body.decode("utf-8", "replace"))
        if self._has_secret and "secret" in form:
            if not self._is_signed("secret", form["secret"], self._secret_sign):
                return _reply(HTTPStatus.FORBIDDEN, page.entrance("That is not the secret."))
            return _to("said=in", _cookie(self._new_session(), visit))
        if not (session if self._has_secret else allowed):
            return _reply(HTTPStatus.FORBIDDEN, Page.note("Your session is over. Go back, and enter again."))
        if not session or not self._is_signed("token", session, form.get("token", "")):
            return _reply(
                HTTPStatus.FORBIDDEN, Page.note("That form is too old. Go back, load the page again, and repeat it.")
            )
        if form.get("act") == "leave":
            return _to("said=out", _cookie("", visit))
        try:
            return _to(urlencode(await self._forget(form, run), errors="replace"))
        except MemocacheError as error:
            return _reply(HTTPStatus.SERVICE_UNAVAILABLE, Page.note(str(error), "Nothing is sure to be forgotten"))


def _fields(text: str) -> dict[str, str]:
    """Return the fields of a form or a query; none if there are too many."""
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS, errors="replace"))
    except ValueError:
        return {}


def _cookie(session: str, visit: Visit) -> list[tuple[str, str]]:
    """Return the header that begins a *session*, or ends it; without a path, browsers send it to this address only."""
    more = "; Secure" if visit.is_secure else ""
    if not session:
        more += "; Max-Age=0"
    return [("Set-Cookie", f"{COOKIE}={session}; HttpOnly; SameSite=Strict{more}")]


def _reply(status: HTTPStatus, html: str, headers: Iterable[tuple[str, str]] = (), **more: str) -> Reply:
    body = html.encode("utf-8", "replace")
    size = ("Content-Length", str(len(body)))
    return Reply(status, [*HEADERS, size, *headers, *more.items()], body)


def _to(query: str, headers: Iterable[tuple[str, str]] = ()) -> Reply:
    """Return the answer that leads on to the page with this *query*."""
    return _reply(HTTPStatus.SEE_OTHER, "", [("Location", f"?{query}"), *headers])


def _request_of(scope: Any) -> Any:
    """Return Starlette's request, where one of its applications has been asked; else the *scope* itself."""
    starlette = sys.modules.get("starlette.applications")
    if starlette is not None and isinstance(scope.get("app"), starlette.Starlette):
        return sys.modules["starlette.requests"].Request(scope)
    return scope


async def _in_thread(call: Callable[..., Any], *arguments: Any) -> Any:
    """Return what *call* returns, from this thread; what is awaitable in a list of that is awaited."""
    result = call(*arguments)
    if waiting := _waiting(result):
        asyncio.run(_all(waiting))
    return result


async def _in_task(call: Callable[..., Any], *arguments: Any) -> Any:
    """Return what *call* returns, while the event loop goes on; what is awaitable in a list of that is awaited."""
    result = await asyncio.to_thread(call, *arguments)
    await _all(_waiting(result))
    return result


def _waiting(result: Any) -> list[Awaitable[Any]]:
    return list(filter(inspect.isawaitable, result)) if isinstance(result, list) else []


async def _all(waiting: list[Awaitable[Any]]) -> None:
    for each in waiting:
        await each
