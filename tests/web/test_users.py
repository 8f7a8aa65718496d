"""Whose page is it: a user whom the application has let in is given nobody else's page, wherever it keeps the user."""

from collections.abc import Callable
from typing import Any

import flask
import flask_login
import pytest
from django.contrib.auth.middleware import get_user
from django.http import HttpResponse
from django.test import Client
from django.urls import path
from django.utils.functional import SimpleLazyObject
from flask import Flask, g
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from ninja import NinjaAPI
from ninja.decorators import decorate_view
from werkzeug.local import LocalProxy

from memocache import Cache, ConfigurationError, cached
from memocache.web._rules import is_user
from memocache.web._settings import check_settings
from tests.web.django_site import AUTHENTICATION, SESSIONS, DjangoSite, urls
from tests.web.frameworks import Make
from tests.web.sites import Asked, Site

Count = Callable[[], int]


class User:
    """As most frameworks have it."""

    def __init__(self, name: str) -> None:
        self.name, self.is_authenticated = name, bool(name)


class OldUser:
    def __init__(self, name: str) -> None:
        self.name = name

    def is_authenticated(self) -> bool:
        return bool(self.name)


class Row:
    """As the one of a database is: with no word of authentication, and false to the eye."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __len__(self) -> int:
        return 0


class Broken:
    @property
    def is_authenticated(self) -> bool:
        raise RuntimeError("no database")


KINDS: dict[str, Callable[[str], object]] = {
    "with is_authenticated": User,
    "with is_authenticated()": OldUser,
    "a row, or None": lambda name: Row(name) if name else None,
    "a name": lambda name: name,
    "a dict": lambda name: {"name": name} if name else {},
    "lazy": lambda name: SimpleLazyObject(lambda: User(name)),
    "lazy, or None": lambda name: SimpleLazyObject(lambda: Row(name) if name else None),
    "a proxy": lambda name: LocalProxy(lambda: User(name)),
    "one that raises": lambda name: Broken() if name else None,
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_users_page_is_not_given_to_another(site: Site, count: Count, kind: str) -> None:
    # By something that is in no list of headers, as an address of a client.
    site.let_in(lambda request: KINDS[kind](request.headers.get("User-Agent", "")))
    site.mount(lambda asked: f"page {count()} of {asked.headers.get('User-Agent')}")
    for user in ("alice", "bob", "alice"):
        assert site.text(User_Agent=user) == f"page {count() - 1} of {user}"
    nobody = [site.text(User_Agent="") for _ in range(2)]
    assert nobody[0] == nobody[1]
    assert site.text(User_Agent="alice").endswith("of alice")
    assert site.get(User_Agent="bob").headers["Age"] is None
    assert [site.text(User_Agent="") for _ in range(2)] == nobody


def test_who_is_let_in_by_the_view_itself_is_not_given_away(site: Site, count: Count) -> None:
    known = User("")
    site.let_in(lambda request: known)

    def body(asked: Asked) -> str:
        known.is_authenticated = asked.headers.get("User-Agent") == "alice"
        return f"page {count()}"

    site.mount(body)
    assert site.text(User_Agent="alice") == "page 1"
    known.is_authenticated = False
    assert [site.text(User_Agent="") for _ in range(2)] == ["page 2", "page 2"]


def test_a_key_function_says_whose_page_it_is(site: Site, cache: Cache, count: Count) -> None:
    site.let_in(lambda request: User(request.headers.get("User-Agent", "")))
    key = site.key(lambda asked: asked.headers.get("User-Agent"))
    site.mount(lambda asked: f"{count()}", cached(key=key, cache=cache, namespace="view"))
    assert [site.text(User_Agent=user) for user in ("alice", "bob", "alice", "bob")] == ["1", "2", "1", "2"]


def test_a_user_who_is_known_by_a_header_in_the_key_has_a_page(site: Site, count: Count) -> None:
    site.let_in(lambda request: User(request.headers.get("X-API-Key", "")))
    site.mount(lambda asked: f"{count()}", cached(vary=["X-API-Key"]))
    assert [site.text(X_API_Key=user) for user in ("alice", "bob", "alice", "bob")] == ["1", "2", "1", "2"]


def test_a_user_who_is_known_by_something_else_than_the_key_has_none(site: Site, count: Count) -> None:
    site.let_in(lambda request: User(request.headers.get("User-Agent", "")))
    site.mount(lambda asked: f"{count()}", cached(vary=["X-API-Key", "Cookie"]))
    assert [site.text(User_Agent="alice", Cookie=cookie) for cookie in ("", "", "_ga=1")] == ["1", "2", "3"]


def test_a_request_of_a_user_that_changes_something_forgets(site: Site, count: Count) -> None:
    site.let_in(lambda request: User(request.headers.get("User-Agent", "")))
    site.mount(lambda asked: f"{count()}")
    assert [site.text(User_Agent=""), site.text(User_Agent="")] == ["1", "1"]
    site.get("/", "POST", User_Agent="alice")
    assert site.text(User_Agent="") == "3"


@pytest.mark.sites(lambda make: make.func is not DjangoSite)  # see below
def test_somebodys_session_is_given_to_nobody_else_though_its_cookie_does_not_matter(make: Make, count: Count) -> None:
    site = make(has_sessions=True, ignored_cookies=["session"])

    def body(asked: Asked) -> str:
        session = asked.session()
        if asked.query:
            session["cart"] = asked.query
        return f"{count()} {session.get('cart')}"

    site.mount(body)
    cookie = site.get("/?tea").headers["Set-Cookie"].partition(";")[0]
    assert [site.text(Cookie=cookie) for _ in range(2)] == ["2 tea", "3 tea"]
    assert site.texts("/", "/") == ["4 None", "4 None"]


@pytest.mark.parametrize("value", [None, False, "", 0, {}, [], ()], ids=repr)
def test_nobody(value: object) -> None:
    assert not is_user(value)


@pytest.mark.parametrize(
    "value", [True, "x", 7, {"a": 1}, Row(""), object()], ids=["True", "text", "number", "dict", "row", "object"]
)
def test_somebody(value: object) -> None:
    assert is_user(value)


# ---- headers that say who is there -------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["X-Key", ["X Key"], [7], [""], 7, ["*"]], ids=repr)
def test_headers_that_say_who_is_there_must_be_names(value: Any) -> None:
    wanted = (
        r"^CACHE_CREDENTIAL_HEADERS=.*; wanted: names of request headers that say who is there, in a list, such as "
    )
    with pytest.raises(ConfigurationError, match=wanted):
        check_settings({"CACHE_CREDENTIAL_HEADERS": value}.get)


def test_more_headers_say_who_is_there(make: Make, count: Count) -> None:
    site = make(credential_headers=["X-Customer"])
    site.mount(lambda asked: f"{count()}")
    assert [site.text(X_Customer=user) for user in ("a", "a")] == ["1", "2"]
    assert [site.text(X_API_Key=user) for user in ("a", "a")] == ["3", "4"]  # as well
    assert [site.text(X_Other=user) for user in ("a", "b")] == ["5", "5"]


@pytest.mark.parametrize(
    ("environ", "identified"),
    [
        ({}, False),
        ({"REMOTE_USER": "alice"}, True),
        ({"REMOTE_USER": ""}, True),
        ({"SSL_CLIENT_VERIFY": "SUCCESS"}, True),
        ({"SSL_CLIENT_VERIFY": "GENEROUS"}, True),
        ({"SSL_CLIENT_VERIFY": "NONE"}, False),
        ({"SSL_CLIENT_VERIFY": ""}, False),
    ],
    ids=str,
)
def test_whom_the_server_has_let_in(count: Count, environ: dict[str, str], identified: bool) -> None:
    app = Flask("tests")
    app.add_url_rule("/", "page", cached(lambda: f"{count()}"))
    site = DjangoSite(is_async=False)
    site.route("/", cached(lambda request: HttpResponse(f"{count()}")))
    site.enter()
    texts = [app.test_client().get("/", environ_overrides=environ).text for _ in range(2)]
    texts += [Client().get("/", **environ).content.decode() for _ in range(2)]  # type: ignore[arg-type]
    assert texts == (["1", "2", "3", "4"] if identified else ["1", "1", "2", "2"])


# ---- Flask -------------------------------------------------------------------------------------------------------


@pytest.fixture
def login() -> Flask:
    """An application with Flask-Login, whose users are known by what they send and not by a cookie."""
    app = Flask("tests")
    app.secret_key = "secret"
    manager = flask_login.LoginManager(app)

    @manager.request_loader
    def load(request: flask.Request) -> Any:
        name = request.headers.get("User-Agent", "")
        if name in ("", "mallory"):
            return None
        user: Any = flask_login.UserMixin()
        user.name = user.id = name
        return user

    return app


def name() -> str:
    return str(getattr(flask_login.current_user, "name", "nobody"))


@pytest.mark.parametrize("looks", ["above", "inside", "never"])
def test_flask_login_knows_a_user_by_the_request(login: Flask, count: Count, looks: str) -> None:
    page = cached(lambda: f"{count()}" if looks == "never" else f"{count()} {name()}")
    login.add_url_rule("/", view_func=flask_login.login_required(page) if looks == "above" else page)
    client = login.test_client()

    def bodies(*users: str) -> list[str]:
        return [client.get("/", headers={"User-Agent": user}).text.partition(" ")[0] for user in users]

    assert bodies("alice", "bob", "alice") == ["1", "2", "3"]
    if looks == "above":
        assert client.get("/", headers={"User-Agent": ""}).status_code == 401
    else:
        assert bodies("", "mallory", "", "alice", "") == ["4", "4", "4", "5", "4"]


def test_a_session_that_says_that_it_is_empty_is_nobody_s(count: Count) -> None:
    class Session(SecureCookieSession):
        def __init__(self) -> None:
            super().__init__({"_permanent": True})  # as those of Flask-Session

        def __bool__(self) -> bool:
            return len(self) > 1

    app = Flask("tests")
    app.session_interface = SecureCookieSessionInterface()
    app.session_interface.session_class = Session
    app.secret_key = "secret"
    app.add_url_rule("/", "page", cached(lambda: f"{count()} {flask.session.get('cart')}"))
    assert [app.test_client().get("/").text for _ in range(2)] == ["1 None", "1 None"]


@pytest.mark.parametrize("attribute", ["user", "current_user", "flask_httpauth_user", "_jwt_extended_jwt", "identity"])
def test_whom_g_knows(count: Count, attribute: str) -> None:
    class Identity:  # of Flask-Principal
        def __init__(self, name: str) -> None:
            self.id = name or None

    app = Flask("tests")
    user = Identity if attribute == "identity" else str
    app.before_request(lambda: setattr(g, attribute, user(flask.request.headers.get("User-Agent", ""))))
    app.add_url_rule("/", "page", cached(lambda: f"{count()}"))
    client = app.test_client()
    texts = [client.get("/", headers={"User-Agent": each}).text for each in ("alice", "bob", "", "", "alice")]
    assert texts == ["1", "2", "3", "3", "4"]


# ---- Django ------------------------------------------------------------------------------------------------------


def wrap_user(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Middleware: wrap Django's own user, as that of django-otp does."""

    def middleware(request: Any) -> Any:
        user = request.user
        request.user = SimpleLazyObject(lambda: user)
        return get_response(request)

    return middleware


@pytest.fixture(params=["own", "wrapped"])
def authenticated(request: pytest.FixtureRequest) -> DjangoSite:
    """A site with Django's own authentication, by its session; its user may be wrapped once more."""
    site = DjangoSite(is_async=False)
    wrapping = [f"{__name__}.wrap_user"] if request.param == "wrapped" else []
    site.settings["MIDDLEWARE"] = [*SESSIONS, AUTHENTICATION, *wrapping]
    return site


def test_django_asks_for_no_user_where_there_is_no_cookie(authenticated: DjangoSite, count: Count) -> None:
    authenticated.mount(lambda asked: f"{count()}")
    assert authenticated.texts("/", "/") == ["1", "1"]
    assert authenticated.text(Cookie="sessionid=x") == "2"
    assert authenticated.texts_by_asgi("/", "/") == ["3", "3"]  # of another host


def test_nobodys_session_is_the_same_for_all_and_somebodys_is_not(authenticated: DjangoSite, count: Count) -> None:
    authenticated.settings["MEMOCACHE_IGNORED_COOKIES"] = ["sessionid"]
    authenticated.route("/", cached(lambda request: HttpResponse(f"{count()} {request.session.get('cart')}")))
    authenticated.route("/user", cached(lambda request: HttpResponse(f"{count()} {request.user.is_authenticated}")))
    assert authenticated.texts("/", "/") == ["1 None", "1 None"]
    assert authenticated.texts("/user", "/user") == ["2 False", "2 False"]
    authenticated.route("/add", lambda request: HttpResponse(request.session.update({"cart": "tea"})))
    cookie = authenticated.get("/add").headers["Set-Cookie"].partition(";")[0]
    for target in ("/?2", "/user?2"):
        assert len(set(authenticated.texts(target, target, Cookie=cookie))) == 2


def test_djangos_own_user_is_asked_if_it_is_known_already(count: Count) -> None:
    class Known:
        _cached_user = User("alice")

    user = SimpleLazyObject(lambda: get_user(Known()))
    assert user.name == "alice"
    site = DjangoSite(is_async=False)
    site.let_in(lambda request: user)
    site.route("/", cached(lambda request: HttpResponse(f"{count()}")))
    assert site.texts("/", "/") == ["1", "2"]


class Key:
    """django-ninja's way to say who may call."""

    def __call__(self, request: Any) -> str | None:
        return request.headers.get("User-Agent") or None


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_django_ninja_has_let_somebody_in(count: Count, is_async: bool) -> None:
    api = NinjaAPI(urls_namespace=f"tests {count()} {is_async}")
    body: Any = lambda request: {"n": count(), "who": request.auth}  # noqa: E731
    if is_async:

        async def async_body(request: Any) -> Any:
            return {"n": count(), "who": request.auth}

        body = async_body
    api.get("/", auth=Key())(decorate_view(cached(60))(body))
    site = DjangoSite(is_async=False)
    site.settings["ROOT_URLCONF"] = urls()
    site.settings["ROOT_URLCONF"].urlpatterns = [path("", api.urls)]
    site.enter()
    client = Client(raise_request_exception=False)
    for user in ("alice", "bob", "alice"):
        assert client.get("/", headers={"User-Agent": user}).json()["who"] == user
    assert client.get("/", headers={"User-Agent": ""}).status_code == 401
