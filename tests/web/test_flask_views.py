"""Which functions are views, when; and what of a call is in the key."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, abort, g, jsonify, make_response, request, session
from flask.views import MethodView, View
from markupsafe import Markup

from memocache import ConfigurationError, JSONSerializer, SimpleCache, SQLiteCache, cached, configure


@pytest.fixture
def app() -> Flask:
    app = Flask(__name__)
    app.secret_key = "secret"
    return app


def bodies(app: Flask, *targets: str, **options: Any) -> list[str]:
    return [app.test_client(use_cookies=False).get(target, **options).text for target in targets]


# ---- detection ---------------------------------------------------------------------------------------------------


def above(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapped


def plain(app: Flask, count: Callable[[], int]) -> None:
    @app.route("/<int:i>")
    @cached
    def view(i: int) -> str:
        return f"{request.query_string.decode()} {count()}"


def decorated(app: Flask, count: Callable[[], int]) -> None:
    @app.route("/<int:i>")
    @above
    @above
    @cached
    def view(i: int) -> str:
        return f"{request.query_string.decode()} {count()}"


def partial(app: Flask, count: Callable[[], int]) -> None:
    @cached
    def view(prefix: str, i: int) -> str:
        return f"{request.query_string.decode()} {count()}"

    app.add_url_rule("/<int:i>", "view", functools.partial(view, ""))


def blueprint(app: Flask, count: Callable[[], int]) -> None:
    blueprint = Blueprint("b", __name__)
    plain(blueprint, count)  # type: ignore[arg-type]
    app.register_blueprint(blueprint)


def method_view(app: Flask, count: Callable[[], int]) -> None:
    class Page(MethodView):
        @cached
        def get(self, i: int) -> str:
            return f"{request.query_string.decode()} {count()}"

    app.add_url_rule("/<int:i>", view_func=Page.as_view("page"))


def class_decorators(app: Flask, count: Callable[[], int]) -> None:
    class Page(MethodView):
        decorators = [cached(timeout=60)]  # noqa: RUF012

        def get(self, i: int) -> str:
            return f"{request.query_string.decode()} {count()}"

    app.add_url_rule("/<int:i>", view_func=Page.as_view("page"))


def bound_method(app: Flask, count: Callable[[], int]) -> None:
    class Service:
        @cached
        def page(self, i: int) -> str:
            return f"{request.query_string.decode()} {count()}"

    app.service = Service()  # type: ignore[attr-defined]
    app.add_url_rule("/<int:i>", view_func=app.service.page)  # type: ignore[attr-defined]


def test_classes_that_inherit_a_method_are_told_apart(app: Flask, count: Callable[[], int]) -> None:
    class Page(View):
        title = ""

        @cached
        def dispatch_request(self) -> str:
            return f"{self.title} {count()}"

    class One(Page):
        title = "one"

    class Two(Page):
        title = "two"

    app.add_url_rule("/one", view_func=One.as_view("one"))
    app.add_url_rule("/two", view_func=Two.as_view("two"))
    assert bodies(app, "/one", "/two", "/one", "/two") == ["one 1", "two 2"] * 2
    assert One().dispatch_request.uncache()
    assert bodies(app, "/one", "/two") == ["one 3", "two 2"]


def async_view(app: Flask, count: Callable[[], int]) -> None:
    @app.route("/<int:i>")
    @cached
    async def view(i: int) -> str:
        return f"{request.query_string.decode()} {count()}"


def async_method_view(app: Flask, count: Callable[[], int]) -> None:
    class Page(MethodView):
        @cached
        async def get(self, i: int) -> str:
            return f"{request.query_string.decode()} {count()}"

    app.add_url_rule("/<int:i>", view_func=Page.as_view("page"))


def preprocessed(app: Flask, count: Callable[[], int]) -> None:
    @app.url_value_preprocessor
    def add(endpoint: str | None, values: dict[str, Any] | None) -> None:
        if values is not None:
            values["lang"] = "en"

    @app.route("/<int:i>")
    @cached
    def view(i: int, lang: str) -> str:
        return f"{request.query_string.decode()} {count()}"


def called_from_a_dispatcher(app: Flask, count: Callable[[], int]) -> None:
    @cached(view=True)
    def page(i: int) -> str:
        return f"{request.query_string.decode()} {count()}"

    views = {"page": page}
    app.add_url_rule("/<int:i>", "dispatch", lambda i: views["page"](i))


MAKERS = [
    *(plain, decorated, partial, blueprint, method_view, class_decorators, bound_method),
    *(async_view, async_method_view, preprocessed, called_from_a_dispatcher),
]


@pytest.mark.parametrize("make", MAKERS)
def test_views_are_found(make: Callable[..., None], app: Flask, count: Callable[[], int]) -> None:
    make(app, count)
    assert bodies(app, "/1?a=1", "/1?a=2", "/1?a=1", "/2?a=1") == ["a=1 1", "a=2 2", "a=1 1", "a=1 3"]
    assert [app.test_client().post("/1").status_code, app.test_client().get("/1", method="HEAD").status_code] == [
        405,
        200,
    ]
    with app.test_client() as client:  # passed by
        client.set_cookie("session", "alice")
        assert client.get("/1?a=1").text == "a=1 5"


def test_a_view_that_is_no_view_is_an_ordinary_function(app: Flask, count: Callable[[], int]) -> None:
    @app.route("/")
    @cached(view=False)
    def view() -> str:
        return f"{request.query_string.decode()} {count()}"

    assert bodies(app, "/?a=1", "/?a=2") == ["a=1 1", "a=1 1"]


def test_helpers_are_ordinary_and_views_are_views_whoever_calls_them(app: Flask, count: Callable[[], int]) -> None:
    @cached
    def helper(x: int) -> int:
        return count()

    @app.route("/inner")
    @cached
    def inner() -> str:
        return f"{request.path} {helper(1)}"

    @app.route("/outer")
    def outer() -> str:
        return inner()

    assert bodies(app, "/inner", "/outer", "/inner", "/outer?q=1") == ["/inner 1", "/outer 1", "/inner 1", "/outer 1"]
    assert (inner.info().misses, helper.info().misses) == (3, 1)
    assert "ETag" in app.test_client().get("/inner").headers
    assert "ETag" not in app.test_client().get("/outer").headers  # that is not what was cached


def test_a_helper_before_requests_is_ordinary(app: Flask, count: Callable[[], int]) -> None:
    @cached
    def settings() -> int:
        return count()

    @app.before_request
    def load() -> None:
        g.settings = settings()

    @app.route("/")
    def view() -> str:
        return f"{g.settings}"

    assert bodies(app, "/?1", "/?2") == ["1", "1"]


def test_what_was_a_hit_outside_a_request_is_none_in_one(app: Flask, count: Callable[[], int]) -> None:
    @cached
    def view() -> str:
        return f"{count()}"

    assert [view(), view()] == ["1", "1"]  # by shortcut
    app.add_url_rule("/", view_func=view)
    assert bodies(app, "/?a", "/?b", "/?a") == ["2", "3", "2"]
    assert view() == "1"
    with app.app_context():
        late = cached(lambda: f"late {count()}")
        assert [late(), late()] == ["late 4", "late 4"]
        app.view_functions["view"] = late
        assert bodies(app, "/?a", "/?b", "/?a") == ["late 5", "late 6", "late 5"]
    assert view() == "1"


def test_a_view_in_a_test_request_context(app: Flask, count: Callable[[], int]) -> None:
    @app.route("/")
    @cached
    def view() -> str:
        return f"{count()}"

    for target, expected in [("/?a", "1"), ("/?b", "2"), ("/?a", "1")]:
        with app.test_request_context(target):
            assert view() == expected
    with app.app_context():
        assert view() == "3"  # no request


def test_a_view_by_its_option_never_takes_a_shortcut(app: Flask, count: Callable[[], int]) -> None:
    @cached(view=True)
    def page() -> str:
        return f"{count()}"

    assert [page(), page()] == ["1", "1"]
    app.add_url_rule("/", "hidden", lambda: page())
    assert bodies(app, "/?a", "/?b", "/?a") == ["2", "3", "2"]


# ---- what else is in the key -------------------------------------------------------------------------------------


def test_key_is_added_and_says_what_of_cookies_matters(app: Flask, count: Callable[[], int]) -> None:
    @app.route("/<int:i>")
    @cached(key=lambda i: request.cookies.get("theme"))
    def view(i: int) -> str:
        return f"{count()}"

    def get(target: str, theme: str) -> str:
        cookies = {"Cookie": f"theme={theme}; other={count()}"}
        return app.test_client(use_cookies=False).get(target, headers=cookies).text

    first, dark, second = get("/1", "light"), get("/1", "dark"), get("/2", "light")
    assert len({first, dark, second}) == 3
    assert [get("/1", "light"), get("/1", "dark"), get("/2", "light")] == [first, dark, second]
    assert app.test_client().get("/1").headers["Vary"] == "Authorization, Cookie"
    assert view.uncache(1)  # both, and outside a request
    assert get("/1", "light") != first
    assert get("/1", "dark") != dark
    assert get("/2", "light") == second


def test_template_keys_and_ignored_arguments(app: Flask, count: Callable[[], int]) -> None:
    @app.route("/<int:i>/<name>")
    @cached(key="{i}")
    def view(i: int, name: str) -> str:
        return f"{count()}"

    assert bodies(app, "/1/a", "/1/b", "/1/a") == ["1", "2", "1"]
    assert view.uncache(1, "other")  # only i counts
    assert bodies(app, "/1/a", "/1/b") == ["3", "4"]


def test_harmless_cookies_may_be_named(app: Flask, count: Callable[[], int]) -> None:
    app.config["CACHE_IGNORED_COOKIES"] = ["ab_*"]

    @app.route("/")
    @cached
    def view() -> str:
        return f"{count()}"

    for cookie, expected in [("ab_1=x", "1"), ("ab_2=y", "1"), ("_ga=1", "2"), ("ab=1", "3")]:
        assert bodies(app, "/", headers={"Cookie": cookie}) == [expected]


def test_two_applications_of_one_name_do_not_share(count: Callable[[], int]) -> None:
    @cached
    def view() -> str:
        return f"{count()}"

    apps = [Flask("same"), Flask("same")]
    for app in apps:
        app.add_url_rule("/", view_func=view)
    assert [bodies(app, "/", "/") for app in apps] == [["1", "1"], ["2", "2"]]


def test_mounted_applications_do_not_share(app: Flask, count: Callable[[], int]) -> None:
    plain(app, count)
    assert [
        app.test_client().get("/1", environ_overrides={"SCRIPT_NAME": root}).text.strip() for root in ("/a", "/b", "/a")
    ] == ["1", "2", "1"]


def test_hosts_that_are_not_trusted_reach_nothing(app: Flask, count: Callable[[], int]) -> None:
    app.config["TRUSTED_HOSTS"] = ["good.example"]
    plain(app, count)
    assert app.test_client().get("/1", base_url="http://evil.example").status_code == 400
    assert app.test_client().get("/1", base_url="http://good.example").text == " 1"


@pytest.mark.parametrize("vary", ["Accept", 7, None, ["Accept Language"], ["*"], [1], [""]], ids=repr)
def test_vary_must_be_names_of_headers(vary: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^vary="):
        cached(vary=vary)


def test_at_most_eight_headers() -> None:
    with pytest.raises(ConfigurationError, match=r"^vary= names 9 headers; 8 are the most$"):
        cached(vary=[f"X-{number}" for number in range(9)])


@pytest.mark.parametrize("view", [1, 0, "yes"])
def test_view_must_be_a_bool(view: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^view=.*; wanted: True for a web view, False for no view, None"):
        cached(view=view)


# ---- what is stored ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "text",
        b"bytes",
        bytearray(b"bytes"),
        {"a": 1},
        [1, 2],
        ("text", 203),
        ("text", {"X-One": "1"}),
        ("text", [("X-One", "1"), ("X-One", "2")]),
        ({"a": 1}, 200, {"X-One": "1"}),
        ("text", "200 Fine"),
    ],
    ids=repr,
)
def test_plain_data_stays_plain_data(value: Any, app: Flask, count: Callable[[], int]) -> None:
    given = []

    @cached
    def view() -> Any:
        count()
        return value

    @app.route("/")
    @functools.wraps(view)
    def outer() -> Any:
        given.append(view())
        return given[-1]

    first, second = app.test_client().get("/"), app.test_client().get("/")
    assert (first.data, first.status, first.headers.getlist("X-One")) == (
        second.data,
        second.status,
        second.headers.getlist("X-One"),
    )
    assert count() == 2
    assert given == [value, value]
    assert type(given[1]) is (bytes if type(value) is bytearray else type(value))


def test_responses_are_made_anew(app: Flask, count: Callable[[], int]) -> None:
    class Own(Response):
        default_mimetype = "text/x-own"

    app.response_class = Own
    given = []

    @cached
    def view() -> Response:
        made = make_response(f"{count()}", 203)
        made.headers.add("Link", "a")
        made.headers.add("Link", "b")
        return made

    @app.route("/")
    @functools.wraps(view)
    def outer() -> Response:
        given.append(view())
        return given[-1]

    @app.after_request
    def after(response: Response) -> Response:
        response.set_cookie("visit", f"{count()}")
        return response

    answers = [app.test_client().get("/") for _ in range(3)]
    assert [each.text for each in answers] == ["1", "1", "1"]
    assert len({each.headers["Set-Cookie"] for each in answers}) == 3
    assert len(set(map(id, given))) == 3
    for each in answers:
        assert each.status_code == 203
        assert each.headers.getlist("Link") == ["a", "b"]
        assert each.mimetype == "text/x-own"
        assert each.headers["ETag"] == answers[0].headers["ETag"]


def test_jsonify_redirects_and_what_is_raised(app: Flask, count: Callable[[], int]) -> None:
    @app.route("/json")
    @cached
    def json() -> Response:
        return jsonify(n=count())

    @app.route("/abort")
    @cached
    def aborted() -> str:
        count()
        abort(404)

    assert bodies(app, "/json", "/json") == ['{"n":1}\n'] * 2
    assert [app.test_client().get("/abort").status_code for _ in range(2)] == [404, 404]
    assert count() == 4
    assert "Cache-Control" not in app.test_client().get("/abort").headers


def test_a_changed_session_is_not_stored(app: Flask, count: Callable[[], int]) -> None:
    @app.route("/")
    @cached
    def view() -> str:
        if "login" in request.args:
            session["user"] = request.args["login"]
        return f"{count()} {session.get('user')}"

    assert bodies(app, "/?login=alice", "/?login=alice", "/", "/") == ["1 alice", "2 alice", "3 None", "3 None"]
    client = app.test_client()
    assert client.get("/?login=bob").text == "4 bob"
    assert client.get("/").text == "5 bob"
    assert bodies(app, "/") == ["3 None"]


def test_what_is_streamed_or_no_response_at_all(app: Flask, count: Callable[[], int]) -> None:
    @app.route("/stream")
    @cached
    def stream() -> Any:
        return iter([f"{count()}"])

    @app.route("/none")
    @cached
    def none() -> None:
        count()

    app.config["PROPAGATE_EXCEPTIONS"] = False
    assert bodies(app, "/stream", "/stream") == ["1", "2"]
    assert [app.test_client().get("/none").status_code for _ in range(2)] == [500, 500]
    assert count() == 5


def test_copy_protects_plain_data(app: Flask) -> None:
    @app.route("/")
    @cached(copy=True)
    def view() -> dict[str, list[int]]:
        return {"a": []}

    for _ in range(3):
        with app.test_request_context():
            value = view()
            assert value == {"a": []}
            value["a"].append(1)


def test_unless_and_timeout_see_what_the_view_returned(app: Flask, count: Callable[[], int]) -> None:
    seen = []

    @app.route("/")
    @cached(timeout=lambda value: seen.append(value) or 60, unless=lambda value: value["empty"])
    def view() -> dict[str, Any]:
        return {"empty": "empty" in request.args, "n": count()}

    assert [app.test_client().get(target).json["n"] for target in ("/", "/", "/?empty", "/?empty")] == [1, 1, 2, 3]
    assert seen == [{"empty": False, "n": 1}]


@pytest.mark.parametrize("given", ["text", Markup("<b>text</b>"), {"a": [1]}, [1, 2], Response("text")])
def test_what_is_stored_as_json(app: Flask, tmp_path: Path, count: Callable[[], int], given: Any) -> None:
    @app.route("/")
    @cached(cache=SQLiteCache(tmp_path / "cache", serializer=JSONSerializer()), namespace="view")
    def view() -> Any:
        count()
        return given

    first, second = (app.test_client().get("/") for _ in range(2))
    assert count() == 2
    assert (second.data, second.mimetype, second.headers["ETag"]) == (first.data, first.mimetype, first.headers["ETag"])


@pytest.mark.parametrize("with_status", [False, True])
def test_an_ordinary_function_that_returns_a_response(
    app: Flask, count: Callable[[], int], caplog: pytest.LogCaptureFixture, with_status: bool
) -> None:
    @cached
    def helper() -> Any:
        made = make_response(f"{count()}")
        return (made, 203) if with_status else made

    @app.route("/")
    def view() -> Any:
        return helper()

    assert bodies(app, "/", "/") == ["1", "2"]
    (record,) = caplog.records
    assert "a function that is no view returned a response" in record.getMessage()
    assert "view=True" in record.getMessage()


def test_what_a_result_stands_for_is_not_asked(app: Flask, count: Callable[[], int]) -> None:
    class Proxy:
        @property
        def __class__(self) -> type:  # type: ignore[override]
            raise AssertionError("it was asked")

    @cached
    def helper() -> tuple[Proxy, int]:
        return Proxy(), count()

    assert helper()[1] == helper()[1] == 1


def test_disabled(app: Flask, count: Callable[[], int]) -> None:
    from memocache import disabled

    plain(app, count)
    assert bodies(app, "/1", "/1") == [" 1", " 1"]
    with disabled():
        assert bodies(app, "/1", "/1") == [" 2", " 3"]
    assert bodies(app, "/1") == [" 1"]
    configure(SimpleCache())
    assert bodies(app, "/1") == [" 4"]
