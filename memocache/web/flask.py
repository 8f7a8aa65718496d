"""Flask: `@cached` on a view. The only file that imports Flask."""

import contextlib
import functools
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

try:
    import flask  # noqa: F401
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError("memocache.web.flask needs Flask: pip install 'Flask>=3.0'") from missing
import click
from flask import Flask, Response, after_this_request, current_app, g, has_app_context, has_request_context, request
from flask.cli import with_appcontext
from flask.globals import request_ctx
from flask.signals import appcontext_pushed, request_started
from flask.views import View
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Response as BaseResponse

from memocache import Cache, configure, default_cache
from memocache._hooks import Engine, HookedFunction, adapters, choose_default
from memocache._living import Living
from memocache.errors import ConfigurationError
from memocache.web._calls import ViewCall, ViewRequest
from memocache.web._discovery import RouteIndex, cached_in, walk
from memocache.web._responses import DATA, RESPONSE, Rendered, ResponseHeaders, StoredResponse, storable_headers
from memocache.web._rules import RequestInfo, ResponseInfo, ViewRules, is_identified
from memocache.web._settings import cache_from_settings, check_settings, view_rules

__all__ = ["Memocache"]

EXTENSION: Final = "memocache"
IS_URL: Final = re.compile(r"/|https?://")
KNOWN_VIEWS: Final = "memocache.views"
PLAIN: Final = (str, bytes, bytearray, dict, list)
KEPT_IN_G: Final = (str, bytes, int, float, bool, type(None))
USERS: Final = ("user", "current_user", "_login_user", "flask_httpauth_user", "_jwt_extended_jwt")
"""Attributes of `g` that applications, Flask-Login, Flask-HTTPAuth and Flask-JWT-Extended keep the user in."""


class FlaskViews:
    """The adapter of Flask, which knows the calls in a request that are calls of views."""

    responses: tuple[type, ...] = (BaseResponse,)
    requests: tuple[type, ...] = ()
    view_classes: tuple[type, ...] = (View,)

    def __init__(self) -> None:
        self._apps: Living[Flask] = Living()
        # Before a request: an entry that the fast index got outside of one must not be used in it.
        appcontext_pushed.connect(self._refresh)
        request_started.connect(self._refresh)

    def _refresh(self, app: Flask, **_: object) -> None:
        self._index(app, thorough=True)

    def _index(self, app: Flask, *, thorough: bool = False) -> RouteIndex:
        index: RouteIndex | None = app.extensions.get(KNOWN_VIEWS)
        if index is None:
            index = app.extensions.setdefault(KNOWN_VIEWS, RouteIndex())
            self._apps.add(app)
        index.update(app.view_functions, thorough=thorough)
        return index

    def endpoints_of(self, app: Flask) -> dict[HookedFunction, set[str]]:
        """Return each cached function that is a view of *app*, with its endpoints."""
        return self._index(app, thorough=True).endpoints

    def decorated(self, function: HookedFunction, /) -> None:
        """Raise ConfigurationError if a view's method is decorated in a request: that is done anew for each.

        Else a function is not known as a view before it has a route.
        """
        if has_request_context() and _is_handler(function.function):
            raise ConfigurationError(
                f"{function.title} is decorated anew for each request, as Flask-RESTX's method_decorators are, so that "
                "no call would ever be a hit; put @cached on the method itself"
            )

    def is_view(self, function: HookedFunction, /) -> bool | None:
        """Return True if it is a view of an application that has been in use here; None if none has been.

        A process that serves no requests may import views without their application.
        """
        apps = list(self._apps)
        return any(function in self.endpoints_of(app) for app in apps) if apps else None

    def bind_context(self, compute: Callable[[], Any], in_task: bool, /) -> Callable[[], Any]:
        """Return what computes in fresh contexts of the application and of the request, if these are there."""
        if not has_app_context():
            return compute
        fresh = FreshContext()

        def compute_in_context() -> Any:
            with fresh.enter():
                return compute()

        async def compute_in_task() -> Any:
            with fresh.enter():
                return await compute()

        return compute_in_task if in_task else compute_in_context

    def call(self, function: HookedFunction, arguments: Sequence[object], /) -> Callable[[Engine], Any] | None:
        """Return what begins the present call, if *function* is a view and this is in a request."""
        if not has_request_context() or function.view is False:
            return None
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        index = self._index(app)
        endpoints = index.endpoints.get(function)
        if endpoints is None and function.view is not True:
            return None
        rules = index.rules.get(function)
        if rules is None:
            rules = index.rules[function] = view_rules(function, *check_settings(app.config.get))
        return ViewCall(function, FlaskViewRequest(app, rules, endpoints)).begin


def _is_handler(function: Callable[..., Any]) -> bool:
    """Return True if *function* is a method that handles requests in the class of the present view."""
    view = current_app.view_functions.get(request.endpoint or "")
    return any(getattr(view, "view_class", None) and each is function for each in walk(view))


def _later_functions() -> list[Callable[..., Any]]:
    """Return what `after_this_request` has been given so far, but for our own."""
    functions: list[Callable[..., Any]] = request_ctx._after_request_functions
    return [each for each in functions if getattr(each, "func", None) not in (_set_headers, _add_status)]


def _http_version(environ: Mapping[str, Any]) -> str:
    return str(environ.get("SERVER_PROTOCOL", "")).rpartition("/")[2] or "1.1"


class FreshContext:
    """Contexts of its own for a computation in the background, which are torn down as a request's are.

    In that of the request, which may be over, nobody would close what is opened. `g` has what is plain of it.
    """

    def __init__(self) -> None:
        self._app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        self._request = request_ctx.copy() if has_request_context() else contextlib.nullcontext()
        self._values = {name: value for name in g if type(value := g.get(name)) in KEPT_IN_G}

    @contextlib.contextmanager
    def enter(self) -> Iterator[None]:
        with self._app.app_context(), self._request:
            for name, value in self._values.items():
                setattr(g, name, value)
            yield


def _lines(name: str) -> list[str]:
    value = request.headers.get(name)  # WSGI has one of each name
    return [] if value is None else [value]


class FlaskViewRequest(ViewRequest):
    """A request of Flask that calls a view."""

    loop_stays = False  # an async view has a loop of its own

    def __init__(self, app: Flask, rules: ViewRules, endpoints: set[str] | None) -> None:
        info = RequestInfo(
            request.method,
            request.scheme,
            request.host,
            request.root_path,
            request.path,
            request.query_string,
            _lines,
            [name.lower() for name in request.headers.keys()],  # noqa: SIM118 - it is no dict
            _http_version(request.environ),
            identified=is_identified(request.environ),
        )
        super().__init__(info, rules)
        self._app = app
        self._later = _later_functions()
        self.is_debug = app.debug
        # True if the result is the response to the request, and not only used to make it.
        self._is_response = endpoints is None or request.endpoint in endpoints

    def location(self, engine: Engine) -> tuple[object, ...]:
        """Return the application and the endpoint."""
        prefix = self._app.config.get("CACHE_KEY_PREFIX") or ""
        return (self._app.name, prefix, 0 if engine.cache.shared else engine.token(self._app), request.endpoint)

    def render(self, value: Any) -> Rendered | None:
        """Return the response that Flask makes of *value*."""
        body = value[0] if isinstance(value, tuple) and value else value
        if isinstance(body, PLAIN):
            # Without the body, which need not be made twice.
            made = self._app.make_response((b"", *value[1:]) if isinstance(value, tuple) else b"")
            return Rendered(_response_info(made), DATA, _plain(value))
        if isinstance(body, BaseResponse):
            if getattr(body, "_on_close", None) or type(body).close not in (
                BaseResponse.close,
                self._app.response_class.close,
            ):
                return None  # something is to be done when this very response has been sent
        elif callable(body):
            return None  # a WSGI application would be run
        if hasattr(body, "__next__") or body is None:
            return None
        try:
            made = self._app.make_response(value)
        except TypeError:
            return None  # Flask raises it again
        info = _response_info(made)
        if info.streamed:
            return Rendered(info, RESPONSE, None)
        return Rendered(info, RESPONSE, (made.status_code, storable_headers(info.headers), made.get_data()))

    def has_body(self) -> bool:
        """Return True if the server says that it knows where the body ends, and there is some."""
        return bool(request.environ.get("wsgi.input_terminated")) and bool(request.get_data())

    def users(self) -> Iterator[Any]:
        """Return what is in `g`, also whom Flask-Login finds by the request."""
        login = getattr(self._app, "login_manager", None)
        if getattr(login, "_request_callback", None) is not None and "_login_user" not in g:
            from flask_login import current_user  # type: ignore[import-untyped]  # the application has it

            current_user.is_authenticated  # noqa: B018 - now it is in g
        yield from map(g.get, USERS)
        yield getattr(g.get("identity"), "id", None)  # Flask-Principal has an identity for nobody, too

    def is_private(self) -> bool:
        """Return True if the session was used, or something is to be done to the response to this request."""
        is_used = self.session.modified or self.has_own_session()
        return bool(is_used) or any(each not in self._later for each in _later_functions())

    @property
    def session(self) -> Any:
        """The session; since Flask 3.1.3, who asks for it in another way has read it."""
        context: Any = request_ctx
        return context._session if hasattr(context, "_session") else context.session

    def kept(self, names: Iterable[str]) -> Iterable[str]:
        """Return what the application, Flask-Talisman, Flask-WTF or SeaSurf has in `g` or on the request."""
        found = (each for name in names for each in (g.get(name), getattr(request, name, None)))
        return [text for text in found if isinstance(text, str) and text]

    def can_serve(self, stored: StoredResponse) -> bool:
        """Return True if Flask can make a response of it."""
        if stored.kind != DATA:
            return super().can_serve(stored)
        value = stored.payload
        if not isinstance(value, tuple):
            return isinstance(value, PLAIN)
        try:
            made = self._app.make_response((b"", *value[1:]))
            return isinstance(value[0], PLAIN) and made.status_code in self.rules.statuses
        except Exception:  # noqa: BLE001 - whatever a made-up status or header leads to
            return False

    def rebuild(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> Any:
        """Return a new response of the application's class."""
        response = self._app.response_class(body, status=status, headers=Headers(list(headers)))
        if not any(name.lower() == "content-type" for name, _ in headers):
            response.headers.pop("Content-Type")  # the default one
        return response

    def with_status(self, value: Any, status: str) -> Any:
        """Return *value*; the status is added to the response that is made of it."""
        if self._is_response:
            after_this_request(functools.partial(_add_status, status))
        return value

    def set_headers(self, headers: ResponseHeaders) -> None:
        """Set *headers* after the view and its decorators, before the application's own after_request functions."""
        if self._is_response:
            after_this_request(functools.partial(_set_headers, headers))


def _response_info(made: BaseResponse) -> ResponseInfo:
    return ResponseInfo(made.status_code, list(made.headers), made.is_streamed or made.direct_passthrough)


def _plain(value: Any) -> Any:
    """Return a view's result with plain types in place of Flask's own for text and headers."""
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, Headers):
        return list(value)
    if isinstance(value, str):
        return str(value)
    return bytes(value) if isinstance(value, bytearray) else value


def _add_status(status: str, response: Response) -> Response:
    response.headers.add("Cache-Status", status)
    return response


def _set_headers(headers: ResponseHeaders, response: Response) -> Response:
    if response.status_code not in headers.rules.statuses:
        return response  # another response has taken its place
    body = None if response.is_streamed or response.direct_passthrough else response.get_data()
    for name, value in headers.to_set(list(response.headers), body).items():
        response.headers[name] = value
    if headers.is_unmodified(response.status_code, list(response.headers)):
        response.status_code = 304
        response.response = []
        response.headers.pop("Content-Length", None)
    return response


# ---- the extension -----------------------------------------------------------------------------------------------


# What Flask-Caching calls it -> what to use here.
THEIRS: Final = {
    **dict.fromkeys(("cached", "memoize"), "memocache.cached"),
    **dict.fromkeys(("delete_memoized", "delete_memoized_verhash"), "uncache() or uncache_all() of the function"),
    **dict.fromkeys(
        ("cache", "get", "set", "add", "has", "delete", "clear", "get_many", "set_many", "get_dict", "delete_many"),
        "the cache object, cache_of(app)",
    ),
}


class Memocache:
    """The extension: a cache for each application, described by its configuration, and the commands `flask memocache`.

    It is not needed for `@cached`, and makes the application's cache the default one: of its views, of whatever is
    called in its context, and of what is called outside of any, where the latest application's is used. It reads
    MEMOCACHE_URL, or else what Flask-Caching reads: CACHE_TYPE, CACHE_DEFAULT_TIMEOUT, CACHE_KEY_PREFIX,
    CACHE_THRESHOLD, CACHE_MEMCACHED_SERVERS, CACHE_REDIS_URL (or _HOST, _PORT, _USERNAME, _PASSWORD, _DB), CACHE_DIR
    and CACHE_OPTIONS. Besides, CACHE_STATUSES are statuses that may be stored, of 404 and 410, CACHE_IGNORED_COOKIES
    names of cookies that do not matter, and CACHE_CREDENTIAL_HEADERS more request headers that say who is there.

    >>> app = Flask("shop")
    >>> app.config["CACHE_TYPE"] = "SimpleCache"
    >>> Memocache(app).cache_of(app)
    SimpleCache(threshold=10000, default_timeout=300)

    Raises:
        ConfigurationError: for a configuration that cannot work.
    """

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    if not TYPE_CHECKING:  # to a checker, no attribute but these is there

        def __getattr__(self, name: str) -> object:
            use = f"; use {THEIRS[name]}" if name in THEIRS else ""
            raise AttributeError(f"the extension Memocache has no attribute {name!r}{use}", name=name, obj=self)

    def init_app(self, app: Flask) -> None:
        """Give *app* its cache and its commands; for applications that a factory makes."""
        check_settings(app.config.get)
        views.endpoints_of(app)  # from now on it is known
        cache = cache_from_settings(app.config)
        if EXTENSION not in app.extensions:
            app.cli.add_command(_command)
        app.extensions[EXTENSION] = cache
        if cache is None:
            return
        if _caches and cache not in _caches:
            choose_default(_cache_here)
        _caches.add(cache)
        configure(cache)

    def cache_of(self, app: Flask) -> Cache:
        """Return the cache of *app*: its own, or the default one if its configuration describes none."""
        return app.extensions[EXTENSION] or default_cache()


_caches: Final[Living[Cache]] = Living()


def _cache_here() -> Cache | None:
    """Return the cache of the application in whose context this is; None outside, or if it has none of its own."""
    return current_app.extensions.get(EXTENSION) if has_app_context() else None


@click.command(
    "memocache",
    # All is left to the parser that the command `memocache` has.
    help="What @cached has stored, and how to forget it.",
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@with_appcontext
def _command(arguments: tuple[str, ...]) -> None:
    """Do what the command `memocache` does, or forget the view of a URL."""
    from memocache import cli  # not before somebody wants it

    parser = cli.parser("flask memocache")
    options = parser.parse_args(arguments)
    if options.command == "uncache" and IS_URL.match(options.call or ""):
        _uncache_url(options.call)
    else:
        sys.exit(cli.run(parser, options))


def _uncache_url(url: str) -> None:
    """Forget what is stored for the view of *url*: with every query, host and variant."""
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    with app.test_request_context(url):
        if request.endpoint is None:
            raise click.ClickException(f"no view has the URL {url}")
        arguments = dict(request.view_args or {})
        for name in (None, *reversed(request.blueprints)):
            for preprocess in app.url_value_preprocessors.get(name, ()):
                preprocess(request.endpoint, arguments)
        forgotten = []
        for function in cached_in(app.view_functions[request.endpoint]):
            view_class = getattr(app.view_functions[request.endpoint], "view_class", None)
            first: tuple[object, ...] = ()
            if function.is_method and isinstance(view_class, type):
                first = (object.__new__(view_class),)
            function.forget(first, arguments)
            forgotten.append(function.title)
    if not forgotten:
        raise click.ClickException(f"the view of {url} is not cached")
    call = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    click.echo("\n".join(f"forgotten: {title}({call})" for title in forgotten))


views: Final = FlaskViews()
adapters.register(views)
