"""Flask: `@cached` on a view. The only file that imports Flask."""

import functools
import inspect
import operator
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from flask import (
    Flask,
    Response,
    after_this_request,
    copy_current_request_context,
    current_app,
    has_request_context,
    request,
    session,
)
from flask.signals import appcontext_pushed, request_started
from flask.views import View
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Response as BaseResponse

from memocache._bound import Twin
from memocache._function import Face
from memocache._instances import token
from memocache._memo import Memo
from memocache._views import announce
from memocache.web._calls import Call
from memocache.web._exchange import Exchange, Finish, Shown
from memocache.web._rules import HARMLESS_COOKIES, STATUSES, Answer, Asked, Terms
from memocache.web._stored import DATA, RESPONSE, kept_headers

__all__ = ["FlaskExchange"]

HANDLERS: Final = ("dispatch_request", "get", "post", "head", "options", "delete", "put", "trace", "patch")
DEEPEST: Final = 200
PLAIN: Final = (str, bytes, bytearray, dict, list)


class Registered:
    """The cached functions that are reachable from an application's views, and the endpoints that each is one of."""

    def __init__(self) -> None:
        self._seen: list[Any] = []
        self.endpoints: dict[Memo, set[str]] = {}
        self.terms: dict[Memo, Terms] = {}

    def update(self, views: dict[str, Any], *, thorough: bool) -> None:
        """Work out anew what is reachable, if there are other views than before."""
        seen = self._seen
        if len(seen) == len(views) and (not thorough or all(map(operator.is_, seen, views.values()))):
            return
        endpoints: dict[Memo, set[str]] = {}
        now = dict(views)
        for endpoint, view in now.items():
            for memo in _memos_in(view):
                endpoints.setdefault(memo, set()).add(endpoint)
        for memo in endpoints:
            if memo.options.view is not False:
                memo.become_view()
        self.endpoints, self._seen = endpoints, list(now.values())


def _memos_in(view: Any) -> Iterator[Memo]:
    """Return the cached functions among *view* and what it wraps, and the methods of its class."""
    todo: list[Any] = [view]
    met: set[int] = set()
    while todo and len(met) < DEEPEST:
        found = todo.pop()
        if found is None or id(found) in met:
            continue
        met.add(id(found))
        if isinstance(type(found), type) and issubclass(type(found), Face | Twin):
            yield found._self_memo
        for name in ("__wrapped__", "__func__"):
            todo.append(getattr(found, name, None))
        if isinstance(found, functools.partial):
            todo.append(found.func)
        made = getattr(found, "view_class", None)
        if isinstance(made, type):
            todo += [inspect.getattr_static(made, name, None) for name in HANDLERS]


class Views:
    """The adapter: which calls in a request are those of views."""

    def __init__(self) -> None:
        self._apps: weakref.WeakKeyDictionary[Flask, Registered] = weakref.WeakKeyDictionary()
        # Before a request, so that no shortcut made outside of one is taken in it.
        appcontext_pushed.connect(self._refresh)
        request_started.connect(self._refresh)

    def _refresh(self, app: Flask, **_: object) -> None:
        self._registered(app, thorough=True)

    def _registered(self, app: Flask, *, thorough: bool = False) -> Registered:
        registered = self._apps.get(app)
        if registered is None:
            registered = self._apps.setdefault(app, Registered())
        registered.update(app.view_functions, thorough=thorough)
        return registered

    def call(self, memo: Memo, /) -> Call | None:
        """Return the call of *memo*'s function, if it is in a request, and that of a view."""
        if not has_request_context():
            return None
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        registered = self._registered(app)
        endpoints = registered.endpoints.get(memo)
        if endpoints is None and memo.options.view is not True:
            return None
        terms = registered.terms.get(memo)
        if terms is None:
            terms = registered.terms[memo] = _terms(app, memo)
        return Call(FlaskExchange(app, terms, endpoints))


def _terms(app: Flask, memo: Memo) -> Terms:
    return Terms(
        vary=memo.options.vary,
        keyed=memo.has_key_function,
        harmless=tuple(app.config.get("CACHE_IGNORED_COOKIES", HARMLESS_COOKIES)),
        statuses=STATUSES | frozenset(app.config.get("CACHE_STATUSES", ())),
    )


def _lines(name: str) -> list[str]:
    value = request.headers.get(name)  # WSGI has one of each name
    return [] if value is None else [value]


class FlaskExchange(Exchange):
    """A call of a view in a request of Flask's."""

    loop_stays = False  # an async view has a loop of its own

    def __init__(self, app: Flask, terms: Terms, endpoints: set[str] | None) -> None:
        asked = Asked(
            request.method,
            request.scheme,
            request.host,
            request.root_path,
            request.path,
            request.query_string,
            _lines,
        )
        super().__init__(asked, terms)
        self._app = app
        # The response to the request is this call's, and not merely made with the help of it.
        self._answers = endpoints is None or request.endpoint in endpoints

    def where(self, *, shared: bool) -> tuple[object, ...]:
        """Return the application and the endpoint."""
        prefix = self._app.config.get("CACHE_KEY_PREFIX") or ""
        return (self._app.name, prefix, 0 if shared else int(token(self._app)), request.endpoint)

    def shown(self, value: Any) -> Shown | None:
        """Return how Flask makes a response of *value*."""
        body = value[0] if isinstance(value, tuple) and value else value
        if isinstance(body, PLAIN):
            # Its class and headers, without making the body twice.
            made = self._app.make_response((b"", *value[1:]) if isinstance(value, tuple) else b"")
            return Shown(_answer(made), DATA, _plain(value))
        if callable(body) and not isinstance(body, BaseResponse):
            return None  # a WSGI application would be run
        if hasattr(body, "__next__") or body is None:
            return None
        try:
            made = self._app.make_response(value)
        except TypeError:
            return None  # Flask is going to say so
        answer = _answer(made)
        if answer.streamed:
            return Shown(answer, RESPONSE, None)
        return Shown(answer, RESPONSE, (made.status_code, kept_headers(answer.headers), made.get_data()))

    def is_private(self) -> bool:
        """Return whether the session was changed."""
        return bool(session.modified)

    def rebuilt(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> Any:
        """Return a response of the application's class."""
        return self._app.response_class(body, status=status, headers=Headers(list(headers)))

    def finish(self, finish: Finish) -> None:
        """Have *finish* done after the view and its decorators, before the application's own after_request."""
        if self._answers:
            after_this_request(functools.partial(_finished, finish))

    def in_background(self, compute: Callable[[], Any]) -> Callable[[], Any]:
        """Return what calls *compute* in a copy of the context of this request."""
        return copy_current_request_context(compute)


def _answer(made: BaseResponse) -> Answer:
    return Answer(made.status_code, list(made.headers), made.is_streamed or made.direct_passthrough)


def _plain(value: Any) -> Any:
    """Return what a view returned, with text and headers of Flask's own types made plain."""
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, Headers):
        return list(value)
    if isinstance(value, str):
        return str(value)
    return bytes(value) if isinstance(value, bytearray) else value


def _finished(finish: Finish, response: Response) -> Response:
    if response.status_code not in finish.terms.statuses:
        return response  # something else has come of it
    body = None if response.is_streamed or response.direct_passthrough else response.get_data()
    for name, value in finish.headers(list(response.headers), body).items():
        response.headers[name] = value
    if finish.is_unmodified(response.status_code, list(response.headers)):
        response.status_code = 304
        response.response = []
        response.headers.pop("Content-Length", None)
    return response


announce(Views(), (BaseResponse,), (View,))
