"""What only Flask has: views that are not given the request, contexts, and plain data for responses."""

import functools
import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, after_this_request, g, jsonify, make_response, request
from flask.views import View
from markupsafe import Markup

from memocache import Cache, JSONSerializer, SQLiteCache, cached
from memocache._hooks import function_of
from memocache.web.flask import views
from tests.support.race import quick_switches

Count = Callable[[], int]


@pytest.fixture
def app() -> Flask:
    return Flask(__name__)


def texts(app: Flask, *targets: str) -> list[str]:
    return [app.test_client(use_cookies=False).get(target).text for target in targets]


# ---- views, and functions that are none --------------------------------------------------------------------------


def test_classes_that_inherit_a_method_are_told_apart(app: Flask, count: Count) -> None:
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
    assert texts(app, "/one", "/two", "/one", "/two") == ["one 1", "two 2"] * 2
    assert One().dispatch_request.uncache()
    assert texts(app, "/one", "/two") == ["one 3", "two 2"]
    assert One.dispatch_request.uncache(One())
    assert texts(app, "/one", "/two") == ["one 4", "two 2"]


def test_a_view_that_is_none_by_its_option_is_an_ordinary_function(app: Flask, count: Count) -> None:
    @app.route("/")
    @cached(view=False)
    def view() -> str:
        return f"{request.query_string.decode()} {count()}"

    assert texts(app, "/?a=1", "/?a=2") == ["a=1 1", "a=1 1"]


def test_helpers_are_ordinary_and_views_are_views_whoever_calls_them(app: Flask, count: Count) -> None:
    @cached
    def helper(x: int) -> int:
        return count()

    @app.before_request
    def load() -> None:
        g.settings = helper(1)

    @app.route("/inner")
    @cached
    def inner() -> str:
        return f"{request.path} {helper(1)}"

    @app.route("/outer")
    def outer() -> str:
        return inner()

    assert texts(app, "/inner", "/outer", "/inner", "/outer?q=1") == ["/inner 1", "/outer 1", "/inner 1", "/outer 1"]
    assert (inner.info().misses, helper.info().misses) == (3, 1)
    assert "ETag" in app.test_client().get("/inner").headers
    assert "ETag" not in app.test_client().get("/outer").headers  # that is not what was cached


def test_what_was_a_hit_outside_a_request_is_none_in_one(app: Flask, count: Count) -> None:
    @cached
    def view() -> str:
        return f"{count()}"

    assert [view(), view()] == ["1", "1"]  # by shortcut
    app.add_url_rule("/", view_func=view)
    assert texts(app, "/?a", "/?b", "/?a") == ["2", "3", "2"]
    assert view() == "1"
    with app.app_context():
        late = cached(lambda: f"late {count()}")
        assert [late(), late()] == ["late 4", "late 4"]
        app.view_functions["view"] = late
        assert texts(app, "/?a", "/?b", "/?a") == ["late 5", "late 6", "late 5"]
    assert view() == "1"


class App:
    """What is known of an application."""

    def __init__(self) -> None:
        self.extensions: dict[str, Any] = {}
        self.view_functions: dict[str, Any] = {}


def test_applications_may_come_while_all_of_them_are_gone_through(count: Count) -> None:
    function = function_of(cached(lambda: count()))
    assert function is not None
    stop, kept = threading.Event(), list[Any]()

    def make() -> None:
        while not stop.is_set():
            kept.append(App())
            del kept[:-200]
            views.endpoints_of(kept[-1])

    with quick_switches():
        thread = threading.Thread(target=make)
        thread.start()
        try:
            while len(kept) < 200:
                pass
            for _ in range(1000):
                assert not views.is_view(function)
        finally:
            stop.set()
            thread.join()


def test_a_view_in_a_test_request_context(app: Flask, count: Count) -> None:
    @app.route("/")
    @cached
    def view() -> str:
        return f"{count()}"

    for target, expected in [("/?a", "1"), ("/?b", "2"), ("/?a", "1")]:
        with app.test_request_context(target):
            assert view() == expected
    with app.app_context():
        assert view() == "3"  # no request


def test_a_view_by_its_option_never_takes_a_shortcut(app: Flask, count: Count) -> None:
    @cached(view=True)
    def page() -> str:
        return f"{count()}"

    assert [page(), page()] == ["1", "1"]
    app.add_url_rule("/", "hidden", lambda: page())
    assert texts(app, "/?a", "/?b", "/?a") == ["2", "3", "2"]


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
def test_plain_data_stays_plain_data(value: Any, app: Flask, cache: Cache, count: Count) -> None:
    given = []

    @cached(cache=cache, namespace="view")
    def view() -> Any:
        count()
        return value

    @app.route("/")
    @functools.wraps(view)
    def outer() -> Any:
        given.append(view())
        return given[-1]

    first, second = app.test_client().get("/"), app.test_client().get("/")
    for each in ("data", "status"):
        assert getattr(first, each) == getattr(second, each)
    assert first.headers.getlist("X-One") == second.headers.getlist("X-One")
    assert count() == 2
    assert given == [value, value]
    assert type(given[1]) is (bytes if type(value) is bytearray else type(value))


def test_responses_are_of_the_application_s_class_and_each_has_cookies_of_its_own(app: Flask, count: Count) -> None:
    class Own(Response):
        default_mimetype = "text/x-own"

    app.response_class = Own

    @app.route("/own")
    @cached
    def own() -> Response:
        return make_response(f"{count()}", 203)

    @app.route("/json")
    @cached
    def json() -> Response:
        return jsonify(n=count())

    @app.route("/bare")
    @cached
    def bare() -> Response:
        made = make_response(f"{count()}")
        del made.headers["Content-Type"]
        return made

    @app.after_request
    def after(response: Response) -> Response:
        response.set_cookie("visit", f"{count()}")
        return response

    for target, body, mimetype in [
        ("/own", "1", "text/x-own"),
        ("/json", '{"n":5}\n', "application/json"),
        ("/bare", "9", None),
    ]:
        answers = [app.test_client().get(target) for _ in range(3)]
        assert [(each.text, each.mimetype) for each in answers] == [(body, mimetype)] * 3
        assert len({each.headers["Set-Cookie"] for each in answers}) == 3


def test_what_is_streamed_or_no_response_at_all(app: Flask, count: Count) -> None:
    @app.route("/stream")
    @cached
    def stream() -> Any:
        return iter([f"{count()}"])

    @app.route("/none")
    @cached
    def none() -> None:
        count()

    app.config["PROPAGATE_EXCEPTIONS"] = False
    assert texts(app, "/stream", "/stream") == ["1", "2"]
    assert [app.test_client().get("/none").status_code for _ in range(2)] == [500, 500]
    assert count() == 5


def test_a_body_whose_end_the_server_knows_is_passed_by(app: Flask, count: Count) -> None:
    app.add_url_rule("/", "page", cached(lambda: f"{request.get_data(as_text=True)} {count()}"))
    environ = {"wsgi.input_terminated": True, "SERVER_PROTOCOL": "HTTP/2"}

    def text(body: bytes) -> str:
        return app.test_client().get("/", environ_overrides={**environ, "wsgi.input": io.BytesIO(body)}).text

    assert [text(body) for body in (b"poison", b"", b"", b"other")] == ["poison 1", " 2", " 2", "other 3"]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_what_is_to_be_done_after_this_request_is_not_stored(app: Flask, count: Count, is_async: bool) -> None:
    def body() -> str:
        visitor = request.cookies.get("visitor") or f"visitor-{count()}"
        if request.args:

            @after_this_request
            def remember(response: Response) -> Response:
                response.set_cookie("visitor", visitor)
                return response

        return visitor

    async def awaited() -> str:
        return body()

    app.before_request(lambda: after_this_request(lambda response: response) and None)  # for every request
    app.add_url_rule("/", "page", cached(awaited if is_async else body))
    answers = [app.test_client().get(target) for target in ("/?c", "/?c", "/", "/")]
    assert [answer.text for answer in answers] == ["visitor-1", "visitor-2", "visitor-3", "visitor-3"]
    assert [answer.headers.get("Set-Cookie", "")[:17] for answer in answers] == [
        *("visitor=visitor-1", "visitor=visitor-2", "", "")
    ]


def test_a_view_inside_a_view_does_not_keep_it_from_being_stored(app: Flask, count: Count) -> None:
    inner = cached(view=True)(lambda: f"{count()}")
    app.add_url_rule("/", "page", cached(lambda: inner()))
    assert [app.test_client().get("/").text for _ in range(2)] == ["1", "1"]
    assert "Age" in app.test_client().get("/").headers


def test_what_is_to_be_done_when_a_response_is_closed_is_done_each_time(app: Flask, count: Count) -> None:
    closed: list[str] = []

    class Then(Response):
        def close(self) -> None:
            super().close()
            closed.append("its own")

    def body() -> Response:
        response = (Then if "own" in request.args else Response)(f"{count()}")
        if "more" in request.args:
            response.call_on_close(lambda: closed.append("one more"))
        return response

    app.add_url_rule("/", "page", cached(body))
    texts = []
    for target in ("/?own", "/?own", "/?more", "/?more", "/", "/"):
        answer = app.test_client().get(target)
        texts.append(answer.text)
        answer.close()
    assert texts == ["1", "2", "3", "4", "5", "5"]
    assert closed == ["its own", "its own", "one more", "one more"]


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


def test_unless_and_timeout_see_what_the_view_returned(app: Flask, count: Count) -> None:
    seen = []

    @app.route("/")
    @cached(timeout=lambda value: seen.append(value) or 60, unless=lambda value: value["empty"])
    def view() -> dict[str, Any]:
        return {"empty": "empty" in request.args, "n": count()}

    assert [app.test_client().get(target).json["n"] for target in ("/", "/", "/?empty", "/?empty")] == [1, 1, 2, 3]
    assert seen == [{"empty": False, "n": 1}]


@pytest.mark.parametrize("given", ["text", Markup("<b>text</b>"), {"a": [1]}, [1, 2], Response("text")])
def test_what_is_stored_as_json(app: Flask, tmp_path: Path, count: Count, given: Any) -> None:
    @app.route("/")
    @cached(cache=SQLiteCache(tmp_path / "cache", serializer=JSONSerializer()), namespace="view")
    def view() -> Any:
        count()
        return given

    first, second = (app.test_client().get("/") for _ in range(2))
    assert count() == 2
    assert (second.data, second.mimetype, second.headers["ETag"]) == (first.data, first.mimetype, first.headers["ETag"])


def test_an_ordinary_function_that_returns_a_response_and_a_status(app: Flask, count: Count) -> None:
    helper = cached(lambda: (make_response(f"{count()}"), 203))
    app.add_url_rule("/", "view", lambda: helper())
    assert texts(app, "/", "/") == ["1", "2"]


def test_a_body_and_a_status_are_stored_as_their_hint_says(app: Flask, cache: Cache, count: Count) -> None:
    @app.route("/")
    @cached(cache=cache, namespace="view")
    def view() -> tuple[str, int]:
        return f"{count()}", 203

    answers = [app.test_client().get("/") for _ in range(2)]
    assert [(each.text, each.status_code) for each in answers] == [("1", 203)] * 2


def test_what_a_result_stands_for_is_not_asked(app: Flask, count: Count) -> None:
    class Proxy:
        @property
        def __class__(self) -> type:  # type: ignore[override]
            raise AssertionError("it was asked")

    helper = cached(lambda: (Proxy(), count()))
    assert helper()[1] == helper()[1] == 1
