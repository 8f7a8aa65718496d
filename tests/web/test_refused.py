"""What is refused, and not silently: frameworks that have no adapter, and decorations that never lead to a hit."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp.web
import pytest
import quart
from aiohttp.test_utils import TestClient as AiohttpClient
from aiohttp.test_utils import TestServer
from django.http import HttpRequest, HttpResponse
from django.views import View as DjangoView
from fastapi import APIRouter, FastAPI
from fastapi_utils.cbv import cbv
from flask import Flask
from flask.views import MethodView
from flask_restx import Api, Resource
from litestar import Litestar, Request, Response
from litestar.handlers import get as litestar_get
from litestar.testing import TestClient as LitestarClient

from memocache import Cache, ConfigurationError, SQLiteCache, cached
from tests.web.asgi_sites import get
from tests.web.django_site import DjangoSite

Count = Callable[[], int]

# ---- frameworks that have no adapter -----------------------------------------------------------------------------


def refusal(framework: str) -> str:
    return (
        rf"is a view of {framework}, whose views cannot be cached; cache a function that takes what it needs of the "
        r"request as arguments and returns data, and call that in the view$"
    )


def of_aiohttp(request: aiohttp.web.Request, i: int = 0) -> None: ...
async def of_litestar(request: Request[Any, Any, Any]) -> None: ...
def of_quart(i: int, asked: "quart.Request | None" = None) -> None: ...


@pytest.mark.parametrize(
    ("function", "framework"), [(of_aiohttp, "aiohttp"), (of_litestar, "Litestar"), (of_quart, "Quart")]
)
def test_a_view_that_says_what_it_takes_is_refused_at_decoration(function: Any, framework: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^{function.__name__} {refusal(framework)}"):
        cached(function)
    cached(view=False, key=lambda *args: 1)(function)


def test_a_response_of_aiohttp_is_given_to_nobody_else(cache: Cache, count: Count) -> None:
    async def response(q: str) -> aiohttp.web.Response:
        made = aiohttp.web.Response(text=f"{q} {count()}")
        made.set_cookie("who", f"{q}")
        return made

    helper = cached(cache=cache, namespace="helper")(response)
    view = cached(cache=cache, namespace="view")(lambda request: aiohttp.web.Response(text="page"))

    async def asked() -> list[Any]:
        async def page(request: aiohttp.web.Request) -> aiohttp.web.Response:
            return await helper(request.query["q"])

        async def refused(request: aiohttp.web.Request) -> aiohttp.web.Response:
            with pytest.raises(ConfigurationError, match=refusal("aiohttp")):
                view(request)
            return aiohttp.web.Response(text="refused")

        app = aiohttp.web.Application()
        app.router.add_get("/", page)
        app.router.add_get("/view", refused)
        async with AiohttpClient(TestServer(app)) as client:
            return [await (await client.get(target)).text() for target in ("/?q=a", "/?q=a", "/view")]

    assert asyncio.run(asked()) == ["a 1", "a 2", "refused"]
    assert helper.info().stored == 0


def test_a_response_of_litestar_is_given_to_nobody_else(cache: Cache, count: Count) -> None:
    async def response(q: str) -> Any:
        return Response(f"{q} {count()}", cookies={"who": q}, media_type="text/plain")

    helper = cached(cache=cache, namespace="helper")(response)

    @litestar_get("/")
    async def page(request: Request[Any, Any, Any]) -> Response[str]:
        return await helper(request.query_params["q"])  # type: ignore[no-any-return]

    with LitestarClient(Litestar([page])) as client:
        assert [client.get("/?q=a").text for _ in range(2)] == ["a 1", "a 2"]
    assert helper.info().stored == 0


@pytest.mark.parametrize("what", ["text", "response"])
def test_a_view_of_quart_is_refused_and_a_function_in_it_is_not(cache: Cache, count: Count, what: str) -> None:
    app = quart.Quart("tests")
    data = cached(cache=cache, namespace="data")(lambda q: f"{q} {count()}")

    async def response(q: str) -> Any:
        made = await quart.make_response(f"{q} {count()}")
        made.set_cookie("who", q)
        return made

    helper = cached(cache=cache, namespace="helper")(response)

    async def view() -> Any:
        return quart.request.args["q"]

    cached_view = cached(cache=cache, namespace="view")(view)
    app.add_url_rule("/view", "view", cached_view)

    @app.errorhandler(ConfigurationError)
    async def refused(error: ConfigurationError) -> tuple[str, int]:
        return str(error), 500

    @app.get("/")
    async def page() -> Any:
        q = quart.request.args["q"]
        return data(q) if what == "text" else await helper(q)

    async def asked() -> list[str]:
        client = app.test_client()
        return [await (await client.get(target)).get_data(True) for target in ("/?q=a", "/?q=a", "/?q=b", "/view?q=a")]

    texts = asyncio.run(asked())
    assert texts[:3] == (["a 1", "a 1", "b 2"] if what == "text" else ["a 1", "a 2", "b 3"])
    assert "is a view of Quart, whose views cannot be cached" in texts[3]


# ---- decorations that never lead to a hit ------------------------------------------------------------------------


def test_method_decorators_of_restx_are_refused_and_the_method_itself_is_cached(
    count: Count, caplog: pytest.LogCaptureFixture
) -> None:
    app = Flask("tests")
    api = Api(app)

    class Refused(Resource):  # type: ignore[misc]
        method_decorators = (cached(60),)

        def get(self, i: int) -> dict[str, int]:
            return {"n": count()}

    class Cached(Resource):  # type: ignore[misc]
        @cached(60)
        def get(self, i: int) -> dict[str, int]:
            return {"n": count()}

    api.add_resource(Refused, "/refused/<int:i>")
    api.add_resource(Cached, "/cached/<int:i>")
    assert app.test_client().get("/refused/1").status_code == 500
    assert (
        "Refused.get is decorated anew for each request, as Flask-RESTX's method_decorators are, so that no call would "
        "ever be a hit; put @cached on the method itself"
    ) in caplog.text
    assert [app.test_client().get("/cached/1").json for _ in range(2)] == [{"n": 1}] * 2


def test_class_based_views_of_fastapi_utils_are_refused_unless_self_is_ignored(count: Count) -> None:
    router = APIRouter()

    @cbv(router)
    class Items:
        @router.get("/refused/{i}")
        @cached(60)
        def refused(self, i: int) -> int:
            return count()

        @router.get("/cached/{i}")
        @cached(60, ignore=("self",))
        async def cached(self, i: int) -> int:
            return count()

    app = FastAPI()
    app.include_router(router)
    message = (
        r"Items\.refused: @cbv makes a new Items for each request, so that no call would ever be a hit; pass "
        r"ignore=\('self',\) if nothing of it matters, or cache a function that it calls$"
    )
    with pytest.raises(ConfigurationError, match=message):
        get(app, "/refused/1")
    assert [get(app, f"/cached/{i}").text for i in (1, 1, 2)] == ["1", "1", "2"]


@pytest.mark.parametrize("framework", ["flask", "flask decorators", "django"])
def test_round_as_view_a_shared_cache_needs_a_namespace(framework: str, tmp_path: Path, count: Count) -> None:
    cache = SQLiteCache(tmp_path / "cache.sqlite")

    class Page(MethodView):
        def get(self, i: int) -> str:
            return f"{count()}"

    class DjangoPage(DjangoView):  # type: ignore[misc]
        def get(self, request: HttpRequest, i: int) -> HttpResponse:
            return HttpResponse(f"{count()}")

    def view(**options: Any) -> Any:
        decorator = cached(cache=cache, **options)
        if framework == "flask decorators":
            return type("Page", (Page,), {"decorators": [decorator]}).as_view("page")  # type: ignore[attr-defined]
        return decorator(Page.as_view("page") if framework == "flask" else DjangoPage.as_view())

    with pytest.raises(ConfigurationError, match=r"a shared cache belong to; pass namespace='\.\.\.', different for"):
        view()
    found = view(namespace="page")
    if framework == "django":
        site = DjangoSite(is_async=False)
        site.route("/{i}", found)
        assert site.texts("/1", "/1", "/2") == ["1", "1", "2"]
    else:
        app = Flask("tests")
        app.add_url_rule("/<int:i>", view_func=found, endpoint="page")
        assert [app.test_client().get(f"/{i}").text for i in (1, 1, 2)] == ["1", "1", "2"]
