"""Django REST framework: the data of a view is stored, and rendered for each request; checks are done each time."""

from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.utils.decorators import method_decorator
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import action, api_view
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from memocache import Cache, cached
from memocache.web._responses import StoredResponse
from tests.web.django_site import AUTHENTICATION, SESSIONS, DjangoSite

Count = Callable[[], int]


class User:
    is_active = True

    def __init__(self, name: str) -> None:
        self.name, self.is_authenticated, self.pk = name, True, name


class ByAgent(BaseAuthentication):  # type: ignore[misc]
    """By something that is in no list of headers."""

    def authenticate(self, request: Any) -> tuple[User, None] | None:
        name = request.headers.get("User-Agent")
        return (User(name), None) if name else None


class NotFromMallory(BasePermission):  # type: ignore[misc]
    def has_permission(self, request: Any, view: Any) -> bool:
        return "mallory" not in request.META["QUERY_STRING"] and request.headers.get("X-Who") != "mallory"


class LinesRenderer(BaseRenderer):  # type: ignore[misc]
    media_type, format = "text/lines", "lines"

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        return "\n".join(f"{name}={value}" for name, value in data.items()).encode()


class NewRenderer(JSONRenderer):  # type: ignore[misc]
    media_type = "application/vnd.new+json"  # with the format of its base


FORMS = ["get", "list", "action", "below api_view", "above api_view", "dispatch", "as_view", "method_decorator"]
INSIDE = [form for form in FORMS if form not in ("above api_view", "dispatch", "as_view")]


def view_in(form: str, decorator: Any, body: Callable[[Any], Any]) -> Any:
    """Return a view of REST framework with *decorator* in one of the places where people put it."""

    def method(self: Any, request: Any, i: int) -> Any:
        return body(request)

    method.__qualname__ = f"View.{form}"

    def function(request: Any, i: int) -> Any:
        return body(request)

    function.__qualname__ = form
    options = {
        "authentication_classes": [ByAgent],
        "permission_classes": [NotFromMallory],
        "renderer_classes": [JSONRenderer, LinesRenderer, NewRenderer],
    }

    def with_options(view: Any) -> Any:
        for name, value in options.items():
            setattr(view, name, value)
        return view

    if form == "below api_view":
        return api_view(["GET"])(with_options(decorator(function)))
    if form == "above api_view":
        return decorator(api_view(["GET"])(with_options(function)))
    if form in ("list", "action"):
        made = decorator(method)
        kind = type("Items", (ViewSet,), {**options, "list": made, "extra": action(detail=False)(made)})
        return kind.as_view({"get": "list" if form == "list" else "extra"})
    if form == "get":
        return type("One", (APIView,), {**options, "get": decorator(method)}).as_view()
    kind = type("Two", (APIView,), {**options, "get": method})
    if form == "as_view":
        return decorator(kind.as_view())
    return method_decorator(decorator, name="dispatch" if form == "dispatch" else "get")(kind).as_view()


@pytest.fixture
def site() -> DjangoSite:
    return DjangoSite(is_async=False)


@pytest.mark.parametrize("form", FORMS)
def test_a_view_is_computed_once(form: str, site: DjangoSite, cache: Cache, count: Count) -> None:
    def body(request: Any) -> Response:
        return Response({"n": count(), "q": request.GET.get("q")}, headers={"X-Own": "yes"})

    site.route("/{i}", view_in(form, cached(cache=cache, namespace="view"), body))
    first, second = site.get("/1?q=a"), site.get("/1?q=a")
    assert first.json == second.json == {"n": 1, "q": "a"}
    assert (second.headers["Age"], first.headers["Age"]) == ("0", None)
    assert second.headers["Content-Type"] == "application/json"
    assert (second.headers["X-Own"], second.headers["ETag"]) == ("yes", first.headers["ETag"])
    assert site.get("/1?q=b").json["n"] == site.get("/2?q=a").json["n"] - 1 == 2
    assert site.get("/1?q=a", If_None_Match=first.headers["ETag"]).status == 304


@pytest.mark.parametrize("form", FORMS)
def test_each_client_has_the_form_that_it_wants(form: str, site: DjangoSite, cache: Cache, count: Count) -> None:
    view = view_in(form, cached(cache=cache, namespace="view"), lambda request: Response({"n": count()}))
    site.route("/{i}", view)
    for _ in range(2):
        assert set(site.get("/1", Accept="application/json").json) == {"n"}
        lines = site.get("/1", Accept="text/lines")
        assert (lines.text[:2], lines.headers["Content-Type"]) == ("n=", "text/lines; charset=utf-8")
        assert site.get("/1", Accept="application/vnd.new+json").headers["Content-Type"] == "application/vnd.new+json"
    assert count() == 4  # a computation for each form, since the view may look at it


@pytest.mark.parametrize("form", FORMS)
def test_a_user_has_a_page_of_their_own(form: str, site: DjangoSite, cache: Cache, count: Count) -> None:
    def body(request: Any) -> Response:
        return Response({"who": getattr(request.user, "name", None), "n": count()})

    site.route("/{i}", view_in(form, cached(cache=cache, namespace="view"), body))
    for user in ("alice", "bob", "alice"):
        assert site.get("/1", User_Agent=user).json["who"] == user
    if form in INSIDE:  # else a hit comes before the authentication
        first = site.get("/1", User_Agent="")
        assert first.json == site.get("/1", User_Agent="").json
        assert site.get("/1", User_Agent="alice").json["who"] == "alice"


@pytest.mark.parametrize("form", INSIDE)
def test_permissions_are_checked_for_each_request(form: str, site: DjangoSite, count: Count) -> None:
    site.route("/{i}", view_in(form, cached(60), lambda request: Response({"n": count()})))
    assert site.get("/1", User_Agent="").json == site.get("/1", User_Agent="").json == {"n": 1}
    assert site.get("/1", User_Agent="", X_Who="mallory").status in (401, 403)


def test_with_the_authentication_that_is_usual_a_view_is_stored(site: DjangoSite, count: Count) -> None:
    @api_view(["GET"])
    @cached(60)
    def below(request: Any) -> Response:
        return Response({"n": count()})

    @cached(60)
    @api_view(["GET"])
    def above(request: Any) -> Response:
        return Response({"n": count()})

    site.settings["MIDDLEWARE"] = [*SESSIONS, AUTHENTICATION]
    site.route("/below", below)
    site.route("/above", above)
    for path in ("/below", "/above"):
        assert site.get(path).json == site.get(path).json
        assert site.get(path, Cookie="sessionid=x").json != site.get(path).json


@pytest.mark.parametrize(
    "change",
    [
        lambda response: setattr(response, "status_code", 201),
        lambda response: setattr(response, "template_name", "x.html"),
        lambda response: setattr(response, "xframe_options_exempt", True),
        lambda response: response.headers.setdefault("Cache-Control", "no-store"),
        lambda response: response.set_cookie("who", "alice"),
    ],
    ids=["status", "template", "exempt from X-Frame-Options", "no-store", "cookie"],
)
def test_what_must_not_be_stored_is_not(site: DjangoSite, count: Count, change: Callable[[Response], object]) -> None:
    def body(request: Any) -> Response:
        response = Response({"n": count()})
        change(response)
        return response

    site.route("/{i}", view_in("get", cached(60), body))
    assert [site.get("/1").json["n"] for _ in range(2)] == [1, 2]


def test_other_responses_data_and_types(site: DjangoSite, cache: Cache, count: Count) -> None:
    decorator = cached(cache=cache, namespace="plain")
    site.route("/plain/{i}", view_in("get", decorator, lambda request: HttpResponse(f"{count()}")))
    assert site.texts("/plain/1", "/plain/1") == ["1", "1"]
    decorator = cached(cache=cache, namespace="typed")
    response = lambda request: Response({"n": count()}, content_type="application/vnd.shop+json")  # noqa: E731
    site.route("/typed/{i}", view_in("get", decorator, response))
    answers = [site.get("/typed/1") for _ in range(2)]
    assert [answer.headers["Content-Type"] for answer in answers] == ["application/vnd.shop+json"] * 2
    assert answers[0].json == answers[1].json == {"n": 2}


def test_what_is_added_to_the_data_for_one_client_no_other_is_given(
    site: DjangoSite, cache: Cache, count: Count
) -> None:
    class Page(APIView):  # type: ignore[misc]
        @cached(cache=cache, namespace="view")
        def get(self, request: Any, i: int) -> Response:
            return Response({"n": count(), "for": ["all"]})

        def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
            if request.headers.get("X-Who") == "staff":
                response.data["for"].append("staff")
                response.data["cost"] = 5
            return super().finalize_response(request, response, *args, **kwargs)

    site.route("/{i}", Page.as_view())
    everybody, staff = {"n": 1, "for": ["all"]}, {"n": 1, "for": ["all", "staff"], "cost": 5}
    for who, data in [("staff", staff), ("", everybody), ("staff", staff), ("", everybody)]:
        assert site.get("/1", X_Who=who).json == data


def test_what_is_given_a_request_and_returns_no_response_is_told(
    site: DjangoSite, count: Count, caplog: pytest.LogCaptureFixture
) -> None:
    helper = cached(lambda request: count())
    site.route("/{i}", view_in("get", lambda method: method, lambda request: Response({"n": helper(request)})))
    assert [site.get("/1").json["n"] for _ in range(2)] == [1, 2]
    assert "returned an int, which is no response and was not stored" in caplog.text


@pytest.mark.parametrize("payload", [None, [200, [], 1, 2], ["200", [], 1], [500, [], 1], [200, 5, 1]], ids=repr)
def test_data_that_no_view_has_stored_is_computed_again(
    site: DjangoSite, count: Count, payload: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.route("/{i}", view_in("get", cached(60), lambda request: Response({"n": count()})))
    with monkeypatch.context() as patch:
        patch.setattr(StoredResponse, "pack", lambda self: [1, "data", payload, 0.0, 9e9, 0.0, []])
        site.get("/1")
    assert [site.get("/1").json["n"] for _ in range(2)] == [2, 2]


def test_forgetting_a_method(site: DjangoSite, cache: Cache, count: Count) -> None:
    class Page(APIView):  # type: ignore[misc]
        @cached(cache=cache, namespace="view")
        def get(self, request: Any, i: int) -> Response:
            return Response({"n": count()})

    site.route("/{i}", Page.as_view())
    assert [site.get("/1?q").json["n"], site.get("/1").json["n"], site.get("/1").json["n"]] == [1, 2, 2]
    assert Page().get.uncache(None, 1)
    assert [site.get("/1?q").json["n"], site.get("/1").json["n"]] == [3, 4]
