"""Which functions are views: whatever they are decorated with, and whatever class or router they stand in."""

import asyncio
import functools
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Annotated, Any

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from fastapi.routing import APIRouter
from flask import Blueprint, request
from flask.views import MethodView
from starlette.endpoints import HTTPEndpoint
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from memocache import cached
from memocache._hooks import adapters, function_of
from tests.web.asgi_sites import FastAPISite, StarletteSite
from tests.web.django_site import DjangoSite
from tests.web.flask_site import FlaskSite
from tests.web.sites import Site

Count = Callable[[], int]
Said = Callable[..., Any]
"""Makes a response that says what the query is, and counts."""

Form = Callable[..., Any]
"""Makes a view, which answers with what is said."""


def named(*forms: Form) -> dict[str, Form]:
    return {form.__name__: form for form in forms}


def above(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapped


def check(site: Site) -> None:
    """Assert that what is at /<i> of *site* is served as a view is."""
    assert site.texts("/1?a=1", "/1?a=2", "/1?a=1", "/2?a=1") == ["a=1 1", "a=2 2", "a=1 1", "a=1 3"]
    assert site.get("/1?a=1", "HEAD").headers["ETag"] == site.get("/1?a=1").headers["ETag"]
    assert site.text("/1?a=1", Cookie="session=alice") == "a=1 4"  # passed by
    assert site.text("/1?a=1") == "a=1 1"


@pytest.mark.parametrize(
    ("hint", "answer"),
    [
        *((HttpRequest, True), (WSGIRequest | HttpRequest, True), (HttpRequest | None, None), (object, None)),
        *((Any, None), ("NotDefined", None), (Parameter.empty, None), (int, False), (HttpResponse, False)),
    ],
    ids=str,
)
def test_a_function_is_a_view_or_none_or_nobody_knows(hint: Any, answer: bool | None) -> None:
    def view(request: Any) -> None: ...

    view.__annotations__ = {} if hint is Parameter.empty else {"request": hint}
    function = function_of(cached(view))
    assert function is not None
    (of_django,) = [each for each in adapters if HttpRequest in each.requests]
    assert of_django.is_view(function) is answer


# ---- Flask -------------------------------------------------------------------------------------------------------


def flask_async_function(site: FlaskSite, said: Said) -> Any:
    @cached
    async def view(i: int) -> str:
        return str(said())

    return view


def flask_method_view(site: FlaskSite, said: Said) -> Any:
    class Page(MethodView):
        get = cached(lambda self, i: said())

    return Page.as_view("page")


def flask_async_method_view(site: FlaskSite, said: Said) -> Any:
    class Page(MethodView):
        @cached
        async def get(self, i: int) -> str:
            return str(said())

    return Page.as_view("page")


def flask_class_decorators(site: FlaskSite, said: Said) -> Any:
    class Page(MethodView):
        decorators = [cached(timeout=60)]  # noqa: RUF012

        def get(self, i: int) -> str:
            return str(said())

    return Page.as_view("page")


def flask_bound_method(site: FlaskSite, said: Said) -> Any:
    class Service:
        page = cached(lambda self, i: said())

    site.service = Service()  # type: ignore[attr-defined]
    return site.service.page  # type: ignore[attr-defined]


def flask_blueprint(site: FlaskSite, said: Said) -> None:
    blueprint = Blueprint("b", __name__)
    blueprint.add_url_rule("/<int:i>", "view", cached(lambda i: said()))
    site.app.register_blueprint(blueprint)


def flask_preprocessed(site: FlaskSite, said: Said) -> Any:
    @site.app.url_value_preprocessor
    def add(endpoint: str | None, values: dict[str, Any] | None) -> None:
        if values is not None:
            values["lang"] = "en"

    return cached(lambda i, lang: said())


def flask_called_from_a_dispatcher(site: FlaskSite, said: Said) -> Any:
    views = {"page": cached(view=True)(lambda i: said())}
    return lambda i: views["page"](i)


FLASK: dict[str, Form] = {
    "function": lambda site, said: cached(lambda i: said()),
    "decorated": lambda site, said: above(above(cached(lambda i: said()))),
    "partial": lambda site, said: functools.partial(cached(lambda prefix, i: said()), ""),
}
FLASK |= named(
    *(flask_async_function, flask_method_view, flask_async_method_view, flask_class_decorators, flask_bound_method),
    *(flask_blueprint, flask_preprocessed, flask_called_from_a_dispatcher),
)


@pytest.mark.parametrize("form", FLASK.values(), ids=FLASK)
def test_views_of_flask(form: Form, count: Count) -> None:
    site = FlaskSite()
    view = form(site, lambda: f"{request.query_string.decode()} {count()}")
    if view:
        site.route("/{i}", view, ["GET"])
    check(site)
    assert site.get("/1", "POST").status == 405


# ---- Django ------------------------------------------------------------------------------------------------------


def django_async_with_keywords(said: Said) -> Any:
    @cached
    async def view(request: Any, **kwargs: Any) -> HttpResponse:
        await asyncio.sleep(0)
        return said(request)  # type: ignore[no-any-return]

    return view


def django_class(said: Said) -> Any:
    class Page(View):
        get = cached(lambda self, request, i: said(request))

    return Page.as_view()


def django_async_class(said: Said) -> Any:
    class Page(View):
        @cached
        async def get(self, request: Any, i: int) -> HttpResponse:
            return said(request)  # type: ignore[no-any-return]

    return Page.as_view()


def undecorated(said: Said) -> type[View]:
    class Page(View):
        def get(self, request: Any, i: int) -> HttpResponse:
            return said(request)  # type: ignore[no-any-return]

    return Page


def by_decorator(said: Said, decorator: Any, name: str) -> Any:
    return method_decorator(decorator, name=name)(undecorated(said)).as_view()


def django_async_method_decorator(said: Said) -> Any:
    class Page(View):
        @method_decorator(cached(timeout=300))
        async def get(self, request: Any, i: int) -> HttpResponse:
            return said(request)  # type: ignore[no-any-return]

    return Page.as_view()


DJANGO: dict[str, Form] = {
    "function": lambda said: cached(lambda request, i: said(request)),
    "odd name": lambda said: cached(lambda r, i: said(r)),
    "any arguments": lambda said: cached(lambda *args, **kwargs: said(args[0])),
    "decorated": lambda said: csrf_exempt(require_safe(above(cached(lambda request, i: said(request))))),
    "template key": lambda said: cached(key="{i}")(lambda request, i: said(request)),
    "ignoring": lambda said: cached(ignore=("request",))(lambda request, i: said(request)),
    "method decorator": lambda said: by_decorator(said, [above, cached(timeout=300)], "get"),
    "method decorator, names": lambda said: by_decorator(said, cached(key="{i}", tags=["i:{i}"]), "get"),
    "method decorator on dispatch": lambda said: by_decorator(said, cached(timeout=300), "dispatch"),
    "around as_view": lambda said: cached(undecorated(said).as_view()),
}
DJANGO |= named(django_async_with_keywords, django_class, django_async_class, django_async_method_decorator)


@pytest.mark.parametrize("form", DJANGO.values(), ids=DJANGO)
def test_views_of_django(form: Form, count: Count) -> None:
    site = DjangoSite()
    site.route("/{i}", form(lambda request: HttpResponse(f"{request.META['QUERY_STRING']} {count()}")))
    check(site)
    again = site.texts_by_asgi("/1?a=1", "/1?a=2", "/1?a=1", "/2?a=1")
    assert again == ["a=1 5", "a=2 6", "a=1 5", "a=1 7"]  # for another host


# ---- Starlette and FastAPI ---------------------------------------------------------------------------------------


def starlette_function(said: Said) -> Any:
    @cached
    async def page(request):  # type: ignore[no-untyped-def]
        return said(request)

    return page


def starlette_in_threads(said: Said) -> Any:
    @cached
    def page(request: Request) -> Response:
        return said(request)  # type: ignore[no-any-return]

    return page


def starlette_decorated(said: Said) -> Any:
    @cached
    async def page(request: Request) -> Response:
        return said(request)  # type: ignore[no-any-return]

    @functools.wraps(page)
    async def outer(request: Request) -> Any:
        return await page(request)

    return outer


def starlette_partial(said: Said) -> Any:
    @cached
    async def page(name: str, request: Request) -> Response:
        return said(request)  # type: ignore[no-any-return]

    return functools.partial(page, "x")


def starlette_variadic(said: Said) -> Any:
    @cached
    async def page(*args: Any) -> Response:
        return said(args[0])  # type: ignore[no-any-return]

    return page


def starlette_anything(said: Said) -> Any:
    @cached
    async def page(request: Any) -> Response:
        return said(request)  # type: ignore[no-any-return]

    return page


def starlette_mapping(said: Said) -> Any:
    @cached
    def page(request: "Mapping[str, Any]") -> Response:
        return said(request)  # type: ignore[no-any-return]

    return page


def starlette_class(said: Said) -> Any:
    class Page(HTTPEndpoint):
        @cached
        async def get(self, request: Request) -> Response:
            return said(request)  # type: ignore[no-any-return]

    return Page


def starlette_class_in_threads(said: Said) -> Any:
    class Page(HTTPEndpoint):
        @cached
        def get(self, request):  # type: ignore[no-untyped-def]
            return said(request)

    return Page


def starlette_bound(said: Said) -> Any:
    class Pages:
        @cached
        async def page(self, request: Request) -> Response:
            return said(request)  # type: ignore[no-any-return]

    return Pages().page


STARLETTE = [
    *(starlette_function, starlette_in_threads, starlette_decorated, starlette_partial, starlette_variadic),
    *(starlette_anything, starlette_mapping, starlette_class, starlette_class_in_threads, starlette_bound),
]


def text(count: Count) -> Said:
    return lambda request: PlainTextResponse(f"{request.scope['query_string'].decode()} {count()}")


@pytest.mark.parametrize("form", STARLETTE)
def test_endpoints_of_starlette(form: Form, count: Count) -> None:
    site = StarletteSite()
    site.app.router.routes.append(Route("/{i}", form(text(count))))
    check(site)
    assert site.get("/1", "POST").status == 405


def fastapi_function(said: Said) -> Any:
    @cached
    async def page(request: Request, i: int) -> Any:
        return said(request)

    return page


def fastapi_in_threads(said: Said) -> Any:
    @cached(ignore=("request",))
    def page(i: int, *, request: Request) -> Any:
        return said(request)

    return page


def fastapi_annotated(said: Said) -> Any:
    @cached(key="{i}")
    def page(i: int, request: Annotated[Request, "the request"]) -> Any:
        return said(request)

    return page


def fastapi_connection(said: Said) -> Any:
    @cached
    async def page(i: int, connection: HTTPConnection) -> Any:
        return said(connection)

    return page


@pytest.mark.parametrize("is_router", [False, True], ids=["application", "router"])
@pytest.mark.parametrize("form", [fastapi_function, fastapi_in_threads, fastapi_annotated, fastapi_connection])
def test_endpoints_of_fastapi(form: Form, is_router: bool, count: Count) -> None:
    site, router = FastAPISite(), APIRouter()
    routes = router if is_router else site.app
    routes.add_api_route("/{i}", form(text(count)), methods=["GET", "HEAD"])
    if is_router:
        site.app.include_router(router)
    check(site)
    assert site.get("/1", "POST").status == 405
