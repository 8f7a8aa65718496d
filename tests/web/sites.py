"""A site: an application of one framework, whose views are ordinary functions that know no framework.

What all frameworks promise alike is tested once, over Site; flask_site, django_site and asgi_sites make sites of them.
A body is such a function: it is called with what it may want to know of the request, and the arguments in the URL.
"""

import asyncio
import contextlib
import functools
import inspect
import io
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from threading import Thread
from typing import Any
from urllib.parse import unquote
from wsgiref.util import setup_testing_defaults

from memocache import Cache, Info, SimpleCache, cached
from tests.support.threads import PATIENCE
from tests.web.fuzz import Combination
from tests.web.matrix import PLAIN, Answer, Ask, Case, Reply

METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE"]
THREADS = 32  # more than wait for each other in any test
Decorator = Callable[..., Any]
"""Decorates a view, as `cached(timeout=300)` does."""
Body = Callable[..., Any]
"""Returns the text of the response, a Reply, or a response of the framework."""


@functools.cache
def loop() -> asyncio.AbstractEventLoop:
    """Return the event loop of all sites that need one; it runs in a thread of its own, as a server's does."""
    made = asyncio.new_event_loop()
    made.set_default_executor(ThreadPoolExecutor(THREADS))
    Thread(target=made.run_forever, daemon=True).start()
    return made


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return what *coroutine* returns in the loop of the sites."""
    return asyncio.run_coroutine_threadsafe(coroutine, loop()).result(2 * PATIENCE)


def finished(result: Any) -> Any:
    """Return *result*, or what it gives if it is to be awaited."""
    return run(result) if inspect.iscoroutine(result) else result


@dataclass(frozen=True)
class Asked:
    """What a body may want to know of a request."""

    path: str
    query: str
    host: str
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    session: Callable[[], Any]


class View:
    """A view of a site: the decorated function, and how to forget its results, wherever that is called from."""

    def __init__(self, site: "Site", function: Any) -> None:
        self.site, self.function = site, function

    def uncache(self, *args: Any, is_in_request: bool = False, **kwargs: Any) -> bool:
        if not is_in_request:
            return bool(finished(self.function.uncache(*self.site.no_request, *args, **kwargs)))
        with self.site.other_request() as first:
            return bool(finished(self.function.uncache(*first, *args, **kwargs)))

    def uncache_where(self, **arguments: Any) -> None:
        finished(self.function.uncache_where(**arguments))

    def uncache_all(self) -> None:
        finished(self.function.uncache_all())

    def info(self) -> Info:
        found: Info = self.function.info()
        return found

    def forget_known_variants(self) -> None:
        """Let it know as little of the responses' Vary as another process does."""
        self.function._self_memoizer.binding().views = None


@dataclass(frozen=True)
class Options:
    """What a site may have, in the way of its framework.

    Args:
        statuses: those that may be stored, besides the usual ones.
        ignored_cookies: names of harmless ones; None for the usual.
        credential_headers: request headers that say who is there, besides the usual ones.
        hosts: the only ones that it answers for; None for any.
        has_sessions: whether it has sessions, in cookies.
        is_debug: whether it is being debugged.
    """

    statuses: Sequence[int] = ()
    ignored_cookies: Sequence[str] | None = None
    credential_headers: Sequence[str] = ()
    hosts: Sequence[str] | None = None
    has_sessions: bool = False
    is_debug: bool = False


class Site(ABC):
    """An application; if it *is_async*, its views are coroutine functions."""

    no_request: tuple[None, ...] = (None,)
    """What stands for the request where a call of a view is named."""
    has_arguments = True
    """Whether what is in the URL is an argument of the view."""
    is_served_by_loop = False
    """Whether one event loop serves all requests; else a view that is awaited has one until it returns."""

    def __init__(self, *, is_async: bool = False, **options: Any) -> None:
        self.is_async = is_async
        self.set_up(Options(**options))

    @property
    def loop_ends_with_request(self) -> bool:
        return self.is_async and not self.is_served_by_loop

    @abstractmethod
    def set_up(self, options: Options) -> None: ...

    @abstractmethod
    def route(self, path: str, view: Any, methods: Sequence[str] = METHODS) -> None:
        """Lead requests for *path*, such as "/page/{i}" where i is an integer, to a *view* of the framework."""

    @abstractmethod
    def asked(self, request: Any) -> Asked: ...

    @abstractmethod
    def response(self, reply: Reply) -> Any:
        """Return *reply* as a response of the framework."""

    @abstractmethod
    def error(self, status: int) -> Exception:
        """Return what a view of the framework raises to be answered with *status*."""

    @abstractmethod
    def let_in(self, who: Callable[[Any], object], attribute: str = "user") -> None:
        """Have the application keep as the user of each request what *who* returns for the framework's request.

        Or as something else, with an *attribute* of another name.
        """

    @abstractmethod
    def ask(self, ask: Ask) -> Answer:
        """Return what a client gets; what a view raises is a 500 to it."""

    def answers(self, asks: Iterable[Ask]) -> list[Answer]:
        """Return what a client gets who asks for one after the other."""
        return [self.ask(each) for each in asks]

    @abstractmethod
    def other_request(self) -> contextlib.AbstractContextManager[tuple[Any, ...]]:
        """Be in a request for another URL, and return what stands for the request in a call of a view."""

    def parameters(self, body: Body) -> list[inspect.Parameter]:
        """Return those of the view that is made of *body*."""
        return [
            inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD),
            *list(inspect.signature(body).parameters.values())[1:],
        ]

    def arguments(self, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return the request and the arguments of the body, of those *given* to the view."""
        return given.pop("request"), given

    def plain_view(self, body: Body) -> Any:
        """Return a view of the framework that answers with what *body* returns."""
        signature = inspect.Signature(self.parameters(body))

        def view(*args: Any, **kwargs: Any) -> Any:
            request, arguments = self.arguments(signature.bind(*args, **kwargs).arguments)
            returned = body(self.asked(request), **arguments)
            reply = Reply(body=returned) if isinstance(returned, str) else returned
            return self.response(reply) if isinstance(reply, Reply) else reply

        async def awaited(*args: Any, **kwargs: Any) -> Any:
            return await asyncio.to_thread(view, *args, **kwargs)  # a body may block

        made: Any = awaited if self.is_async else view
        made.__signature__ = signature
        made.__qualname__ = f"view_{next(_numbers)}"
        return made

    def mount(self, body: Body, decorator: Decorator = cached, *paths: str, returned: list[Any] | None = None) -> View:
        """Answer requests for *paths*, "/" by default, with *body* decorated; collect what that has *returned*."""
        function = decorator(self.plain_view(body))
        for path in paths or ("/",):
            self.route(path, function if returned is None else self._collecting(function, returned))
        return View(self, function)

    def _collecting(self, function: Any, returned: list[Any]) -> Any:
        @functools.wraps(function)
        def outer(*args: Any, **kwargs: Any) -> Any:
            returned.append(function(*args, **kwargs))
            return returned[-1]

        @functools.wraps(function)
        async def async_outer(*args: Any, **kwargs: Any) -> Any:
            returned.append(await function(*args, **kwargs))
            return returned[-1]

        return async_outer if self.is_async else outer

    def key(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a key function of the framework's views, of one that is called as bodies are."""

        def key(*args: Any) -> Any:
            given = dict(zip(names, args, strict=True))
            request, arguments = self.arguments(given)
            return function(self.asked(request), **arguments)

        parameters = self.parameters(function)
        names = [each.name for each in parameters]
        key.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return key

    def get(self, target: str = "/", method: str = "GET", **headers: str) -> Answer:
        named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return self.ask(Ask(target, named, method))

    def text(self, target: str = "/", **headers: str) -> str:
        return self.get(target, **headers).text

    def texts(self, *targets: str, **headers: str) -> list[str]:
        return [self.text(target, **headers) for target in targets]


_numbers = itertools.count(1)


def answer_of_wsgi(app: Callable[..., Iterable[bytes]], ask: Ask) -> Answer:
    """Return the answer of *app*, asked as a server of WSGI asks it: it joins the lines of a header."""
    path, _, query = ask.target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": ask.method,
        "SCRIPT_NAME": ask.root,
        "PATH_INFO": unquote(path, "latin-1"),
        "QUERY_STRING": query,
        "HTTP_HOST": ask.host,
        "wsgi.url_scheme": ask.scheme,
        "wsgi.input": io.BytesIO(ask.body),
    }
    if ask.body:
        environ["CONTENT_LENGTH"] = str(len(ask.body))
    if ask.user:
        environ["REMOTE_USER"] = ask.user
    for name, value in ask.headers:
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    setup_testing_defaults(environ)
    begun: list[tuple[str, list[tuple[str, str]]]] = []
    parts: Any = app(environ, lambda status, headers, error=None: begun.append((status, headers)))
    body = b"".join(parts)
    if hasattr(parts, "close"):
        parts.close()
    status, headers = begun[-1]
    return Answer.of(int(status.partition(" ")[0]), headers, b"" if ask.method == "HEAD" else body)


# ---- sites with one page -----------------------------------------------------------------------------------------


def not_cached(function: Any) -> Any:
    """Decorate a view with nothing."""
    return function


class OnePage:
    """A site that answers every request with *reply*, and a body that says how often it has computed one."""

    def __init__(self, site: Site, decorator: Decorator) -> None:
        self.site, self.reply, self.computed = site, Reply(), 0
        site.mount(self._computed, decorator, "/page", "/page/")

    def _computed(self, asked: Asked) -> Reply:
        self.computed += 1
        return replace(self.reply, body=f"{self.computed}")

    def ask(self, ask: Ask) -> Answer:
        return self.site.ask(ask)


def ours(site: Site, cache: Cache, terms: Mapping[str, Any] | None = None) -> OnePage:
    """Return a page with @cached, and the *terms* of a case."""
    given = terms or {}
    key = site.key(lambda asked: "same") if given.get("keyed") else None
    return OnePage(site, cached(timeout=300, cache=cache, namespace="view", vary=given.get("vary", ()), key=key))


def is_served(page: OnePage, first: Ask, second: Ask) -> bool:
    """Return whether *second* is answered with what the first has left."""
    one = page.ask(first)
    assert page.computed == 1
    two = page.ask(second)
    hit = page.computed == 1
    if hit and second.method != "HEAD":
        assert two.body == one.body
    assert two.status == one.status
    assert "Age" in two.headers or not hit
    return hit


def check(case: Case, make: Callable[..., Site]) -> None:
    """Assert that a site does in *case* what may be done; *make* makes one."""
    options = {name: case.terms[name] for name in ("statuses", "credential_headers") if name in case.terms}
    page = ours(make(**options), SimpleCache(), case.terms)
    page.reply = case.reply
    assert is_served(page, case.first, case.second) is case.cached
    # A decorator that stores nothing would pass half of them.
    assert is_served(ours(make(), SimpleCache()), PLAIN, PLAIN)


def wrong_in(page: OnePage, combinations: list[Combination]) -> list[Combination]:
    """Return those that the page stores though it may not, or does not though it may: each is asked for twice."""
    computed = [0]

    def asks() -> Iterator[Ask]:
        for each in combinations:
            page.reply = each.reply
            yield from (each.ask, each.ask)
            computed.append(page.computed)

    answers = page.site.answers(asks())
    return [
        each
        for each, one, two, (before, after) in zip(
            combinations, answers[::2], answers[1::2], itertools.pairwise(computed), strict=True
        )
        if (after - before, one.body == two.body) != ((1, True) if each.cached else (2, False))
    ]
