"""What only Django has: views that are given the request, settings, middleware, templates, and its own caches."""

import asyncio
import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.messages import add_message
from django.core.cache import cache as cache_proxy
from django.core.cache import caches
from django.core.exceptions import DisallowedHost
from django.http import FileResponse, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.template import engines
from django.template.response import TemplateResponse
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory
from django.test.utils import override_settings
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.decorators import method_decorator
from django.utils.functional import SimpleLazyObject, empty
from django.views import View
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_protect, ensure_csrf_cookie
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import condition
from django.views.decorators.vary import vary_on_cookie
from django.views.generic import TemplateView
from freezegun import freeze_time

from memocache import Cache, ConfigurationError, SQLiteCache, cached
from tests.support.servers import wait_until
from tests.support.threads import PATIENCE, Held, start
from tests.web.django_site import SESSIONS, DjangoSite, urls

Count = Callable[[], int]
Page = Callable[[Any], HttpResponse]
Serve = Callable[..., Client]


@pytest.fixture
def serve() -> Serve:
    """Gives Django views by their routes, and settings; and returns a client."""

    def served(*routes: tuple[str, Any], **settings: Any) -> Client:
        site = DjangoSite()
        site.settings.update(settings, ROOT_URLCONF=urls(*routes))
        site.enter()
        return Client()

    return served


@pytest.fixture
def page(count: Count) -> Page:
    """A view that says how often it was computed."""
    return lambda request: HttpResponse(f"{count()}")


def bodies(client: Client, *targets: str, **headers: str) -> list[str]:
    return [client.get(target, headers=headers).content.decode() for target in targets]


def query(request: Any) -> str:
    return str(request.META["QUERY_STRING"])


ask = RequestFactory().get

# ---- views, and functions that are none --------------------------------------------------------------------------


def test_a_view_that_is_none_by_its_option_is_an_ordinary_function(serve: Serve, count: Count) -> None:
    helper = cached(view=False, ignore=("request",))(lambda request: f"{query(request)} {count()}")
    client = serve(("", lambda request: HttpResponse(helper(request))))
    assert bodies(client, "/?a=1", "/?a=2") == ["a=1 1", "a=1 1"]


def test_what_is_given_the_request_and_returns_no_response(
    serve: Serve, count: Count, caplog: pytest.LogCaptureFixture
) -> None:
    helper = cached(lambda request: f"{count()}")
    client = serve(("", lambda request: HttpResponse(helper(request))))
    assert bodies(client, "/", "/") == ["1", "2"]
    (record,) = caplog.records
    assert "returned a str, which is no response and was not stored; give it what it needs of the request" in (
        record.getMessage()
    )


@pytest.mark.parametrize("options", [{"key": "{i}"}, {"ignore": ("asked",)}])
def test_a_request_that_a_shortcut_could_not_see(count: Count, options: dict[str, Any]) -> None:
    @cached(**options)
    def view(asked: Any, i: int) -> HttpResponse | int:
        return count() if asked is None else HttpResponse(f"{query(asked)} {count()}")

    assert [view(None, 1), view(None, 1)] == [1, 1]
    assert [view(ask(f"/?{each}"), 1).content for each in "aba"] == [b"a 2", b"b 3", b"a 2"]


def test_only_the_view_of_the_request_is_given_headers(serve: Serve, page: Page) -> None:
    inner = cached(page)
    client = serve(("inner", inner), ("outer", lambda request: HttpResponse(b"outer " + inner(request).content)))
    tag = client.get("/inner").headers["ETag"]
    assert client.get("/inner", headers={"If-None-Match": tag}).status_code == 304
    assert bodies(client, "/outer", "/outer") == ["outer 2", "outer 2"]
    assert bodies(client, "/outer", if_none_match="*") == ["outer 2"]
    assert "ETag" not in client.get("/outer").headers


def test_two_classes_that_inherit_a_view_do_not_share(count: Count) -> None:
    class Base(View):
        name = "base"

        @cached
        def get(self, request: Any) -> HttpResponse:
            return HttpResponse(f"{self.name} {count()}")

    class One(Base):
        name = "one"

    @method_decorator(cached(timeout=60), name="dispatch")
    class Two(View):
        def get(self, request: Any) -> HttpResponse:
            return HttpResponse("two")

    @method_decorator(cached(timeout=60), name="dispatch")
    class Three(View):
        def get(self, request: Any) -> HttpResponse:
            return HttpResponse("three")

    views = [each.as_view() for each in (Base, One, Two, Three)]
    assert [view(ask("/")).content for view in views * 2] == [b"base 1", b"one 2", b"two", b"three"] * 2
    assert Base().get.uncache(None)
    assert [view(ask("/")).content for view in views[:2]] == [b"base 3", b"one 2"]


SHARED: list[Any] = []
in_a_file = cached(timeout=60, cache=lambda: SHARED[-1])


class DecoratedMethod(View):
    @method_decorator(in_a_file)
    def get(self, request: Any) -> HttpResponse:
        return HttpResponse("method")


@method_decorator(in_a_file, name="dispatch")
class DecoratedClass(View):
    def get(self, request: Any) -> HttpResponse:
        return HttpResponse("class")


@method_decorator([in_a_file], name="get")
class DecoratedByAList(View):
    def get(self, request: Any) -> HttpResponse:
        return HttpResponse("list")


@pytest.mark.parametrize("view", [DecoratedMethod, DecoratedClass, DecoratedByAList])
def test_on_a_shared_cache_method_decorator_leads_to_the_view(view: Any, tmp_path: Path) -> None:
    SHARED.append(SQLiteCache(tmp_path / "cache.db"))
    answers = [view.as_view()(ask(f"/{view.__name__}")) for _ in range(2)]
    assert ["Age" in each for each in answers] == [False, True]
    assert answers[0].content == answers[1].content


def test_two_calls_of_method_decorator_decorate_a_method_once(page: Page) -> None:
    decorator = cached(timeout=60)

    class Page(View):
        @method_decorator(decorator)
        def get(self, request: Any) -> HttpResponse:
            return page(request)

    before = len(decorator.cached_methods)
    for _ in range(3):
        Page.as_view()(ask("/"))
    assert len(decorator.cached_methods) == before + 1


# ---- what else is in the key -------------------------------------------------------------------------------------

LOCALE = ["django.middleware.locale.LocaleMiddleware"]


def test_language_and_time_zone(serve: Serve, count: Count) -> None:
    @cached
    def view(request: Any) -> HttpResponse:
        return HttpResponse(f"{translation.get_language()} {timezone.get_current_timezone_name()} {count()}")

    client = serve(("", view), MIDDLEWARE=LOCALE, USE_TZ=True, USE_I18N=True, TIME_ZONE="UTC")
    asked = [client.get("/", headers={"Accept-Language": each}) for each in ("de", "en", "de", "en")]
    assert [each.content.decode() for each in asked] == ["de UTC 1", "en UTC 2", "de UTC 1", "en UTC 2"]
    assert [each.headers["Content-Language"] for each in asked] == ["de", "en", "de", "en"]
    assert "Accept-Language" in asked[2].headers["Vary"]
    with timezone.override("Asia/Tokyo"):
        assert bodies(client, "/", "/") == ["en Asia/Tokyo 3", "en Asia/Tokyo 3"]
    with override_settings(USE_TZ=False), timezone.override("Europe/Paris"):
        assert bodies(client, "/") == ["en Europe/Paris 4"]


def test_a_language_that_the_view_chooses_is_not_stored(serve: Serve, page: Page) -> None:
    @cached
    def view(request: Any) -> HttpResponse:
        if request.GET.get("language"):
            translation.activate(request.GET["language"])
        return page(request)

    client = serve(("", view))
    for body in ("1", "2"):
        with translation.override("en"):
            assert bodies(client, "/?language=de") == [body]
    assert bodies(client, "/", "/") == ["3", "3"]


class LazyNonce(SimpleLazyObject):
    """As that of Django 6: false as long as nobody has asked."""

    def __bool__(self) -> bool:
        return self._wrapped is not empty


@pytest.mark.parametrize("attribute", ["_csp_nonce", "csp_nonce"])
def test_a_nonce_is_made_only_if_the_page_has_it(count: Count, attribute: str) -> None:
    site = DjangoSite(is_async=False)
    site.let_in(lambda request: LazyNonce(lambda: f"r4nd0m{count()}"), attribute)

    def view(request: Any) -> HttpResponse:
        return HttpResponse(f"{count()} {getattr(request, attribute) if query(request) else ''}")

    site.route("/", cached(view))
    assert site.texts("/", "/", "/?nonce", "/?nonce") == ["1 ", "1 ", "2 r4nd0m3", "4 r4nd0m5"]


def test_settings_that_forbid(page: Page) -> None:
    view = cached(page)
    with override_settings(ALLOWED_HOSTS=["good.example"], DEBUG_PROPAGATE_EXCEPTIONS=True):
        assert view(ask("/", HTTP_HOST="good.example")).content == b"1"
        with pytest.raises(DisallowedHost):
            view(ask("/", HTTP_HOST="evil.example"))
    message = r"^MEMOCACHE_STATUSES=\[500\]; wanted: some of 404 and 410, in a list$"
    with override_settings(MEMOCACHE_STATUSES=[500]), pytest.raises(ConfigurationError, match=message):
        view(ask("/"))


def test_url_configurations_of_the_request_s_own(page: Page) -> None:
    view = cached(page)

    def asked(urlconf: object) -> bytes:
        request = ask("/")
        request.urlconf = urlconf  # type: ignore[attr-defined]
        return view(request).content

    assert [asked(each) for each in ("one", "two", "one", urls(), urls())] == [b"1", b"2", b"1", b"3", b"3"]
    assert [asked(()), asked(())] == [b"4", b"5"]  # it has no name


def test_queries_that_are_no_ascii(page: Page) -> None:
    view = cached(page)

    def wsgi(text: str) -> bytes:
        return view(ask("/", QUERY_STRING=text.encode().decode("latin-1"))).content

    def asgi(text: str) -> bytes:
        return view(AsyncRequestFactory().get("/", QUERY_STRING=text)).content

    assert [wsgi("é=1&%C3%A9=2"), wsgi("%C3%A9=2&é=1"), wsgi("é=1&%C3%A9=2")] == [b"1", b"2", b"1"]
    assert [asgi("é=1&%C3%A9=2"), asgi("%C3%A9=2&é=1")] == [b"1", b"2"]


# ---- what is stored ----------------------------------------------------------------------------------------------

MESSAGES = [*SESSIONS, "django.contrib.messages.middleware.MessageMiddleware"]
CSRF = ["django.middleware.csrf.CsrfViewMiddleware"]


def test_where_somebodys_session_was_used_nothing_is_stored(serve: Serve, page: Page) -> None:
    @cached
    def view(request: Any) -> HttpResponse:
        if "read" in request.GET:
            request.session.get("user")
        if "login" in request.GET:
            request.session["user"] = request.GET["login"]
        return page(request)

    client = serve(("", view), MIDDLEWARE=SESSIONS)
    assert bodies(client, "/", "/", "/?read", "/?read") == ["1", "1", "2", "2"]  # nobody's is empty
    hit = client.get("/")
    assert (hit.content, "Age" in hit.headers, "Set-Cookie" in hit.headers) == (b"1", True, False)
    assert [Client().get("/?login=alice").content for _ in range(2)] == [b"3", b"4"]
    assert client.get("/?login=bob").cookies["sessionid"].value
    assert bodies(client, "/") == ["6"]  # it has a cookie now


def test_the_session_may_be_read_where_the_cookies_count(serve: Serve, count: Count) -> None:
    @cached(key=lambda request: request.session.get("user"))
    def view(request: Any) -> HttpResponse:
        if "login" in request.GET:
            request.session["user"] = request.GET["login"]
        return HttpResponse(f"{request.session.get('user')} {count()}")

    serve(("", view), MIDDLEWARE=SESSIONS)
    alice, bob = Client(), Client()
    assert [bodies(alice, "/?login=alice"), bodies(bob, "/?login=bob")] == [["alice 1"], ["bob 2"]]
    assert bodies(alice, "/", "/") == ["alice 3", "alice 3"]
    assert bodies(bob, "/", "/") == ["bob 4", "bob 4"]
    assert bodies(Client(), "/", "/") == ["None 5", "None 5"]


def test_where_the_csrf_token_was_used_nothing_is_stored(serve: Serve, count: Count) -> None:
    @cached
    def form(request: Any) -> HttpResponse:
        token = get_token(request) if "form" in request.GET else ""
        return HttpResponse(f"{token} {count()}")

    template = engines["django"].from_string("{% csrf_token %}")
    routes = {
        "": form,
        "protected": csrf_protect(form),
        "ensured": ensure_csrf_cookie(form),
        "template": cached(lambda request: TemplateResponse(request, template)),
    }
    client = serve(*routes.items(), MIDDLEWARE=CSRF)
    for target in ("/?form", "/template"):
        pages = [Client().get(target) for _ in range(2)]
        assert len({each.content for each in pages}) == 2
        assert len({each.cookies["csrftoken"].value for each in pages}) == 2
    assert bodies(client, "/", "/") == [" 3", " 3"]
    assert bodies(client, "/protected", "/protected") == [" 4", " 4"]
    assert len({Client().get("/ensured").cookies["csrftoken"].value for _ in range(2)}) == 2


def test_where_messages_were_used_nothing_is_stored(serve: Serve, page: Page) -> None:
    @cached
    def view(request: Any) -> HttpResponse:
        if "add" in request.GET:
            add_message(request, 20, "hello")
        if "show" in request.GET:
            list(request._messages)
        return page(request)

    serve(("", view), MIDDLEWARE=MESSAGES)
    for use in ("add", "show"):
        assert len({Client().get(f"/?{use}").content for _ in range(2)}) == 2
    assert bodies(Client(), "/", "/") == ["5", "5"]


_visits = itertools.count(1)


def visit(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def middleware(request: Any) -> Any:
        response = get_response(request)
        response.set_cookie("visit", f"{next(_visits)}")
        return response

    return middleware


def test_cookies_and_vary_of_middleware_that_comes_later_go_to_each(serve: Serve) -> None:
    view = cached(lambda request: HttpResponse("x" * 500))
    client = serve(("", view), MIDDLEWARE=[f"{__name__}.visit", "django.middleware.gzip.GZipMiddleware"])
    headers = {"Accept-Encoding": "gzip"}
    plain, zipped, again = (Client().get("/", headers=each) for each in ({}, headers, {}))
    assert (plain.content, again.content) == (b"x" * 500, b"x" * 500)
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert zipped.headers["ETag"] == plain.headers["ETag"]  # a weak one
    assert len({each.cookies["visit"].value for each in (plain, zipped, again)}) == 3
    assert client.get("/", headers={**headers, "If-None-Match": zipped.headers["ETag"]}).status_code == 304


def test_what_decorators_below_do_is_stored_and_above_is_done_each_time(serve: Serve, page: Page, count: Count) -> None:
    @cached
    @cache_control(public=True, max_age=7)
    @gzip_page
    def below(request: Any) -> HttpResponse:
        return HttpResponse(f"{count()}" * 500)

    by_cookie, over = cached(vary_on_cookie(page)), cache_control(public=True)(cached(page))
    client = serve(("below", below), ("cookie", by_cookie), ("over", over))
    first = client.get("/below", headers={"Accept-Encoding": "gzip"})
    assert first.headers["Cache-Control"] == "public, max-age=7"
    assert client.get("/below", headers={"Accept-Encoding": "gzip"}).content == first.content
    assert bodies(client, "/below") == ["2" * 500]
    assert bodies(client, "/cookie", "/cookie") == ["3", "4"]
    assert bodies(client, "/over", "/over") == ["5", "5"]
    assert "public" in client.get("/over").headers["Cache-Control"]


@pytest.mark.parametrize("mark", ["xframe_options_exempt", "_csp_update"])
def test_what_a_decorator_below_has_a_middleware_do_is_not_lost(
    serve: Serve, page: Page, caplog: pytest.LogCaptureFixture, mark: str
) -> None:
    def marking(request: Any) -> HttpResponse:
        response = page(request)
        setattr(response, mark, True)
        return response

    client = serve(("", cached(marking)), MIDDLEWARE=[f"{__name__}.answers_with_marks"])
    assert bodies(client, "/", "/") == [f"1 ['{mark}']", f"2 ['{mark}']"]
    assert f"a decorator has set {mark} on it for a middleware" in caplog.text
    assert "put that decorator above @cached" in caplog.text


def answers_with_marks(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Middleware that answers with the attributes of the response besides those of a new one."""

    def middleware(request: Any) -> Any:
        response = get_response(request)
        marks = sorted(vars(response).keys() - vars(HttpResponse()).keys())
        return HttpResponse(response.content + f" {marks}".encode())

    return middleware


def test_conditions_of_django_s_own(serve: Serve, page: Page) -> None:
    view = cached(condition(etag_func=lambda request: '"mine"')(page))
    client = serve(("", view), MIDDLEWARE=["django.middleware.http.ConditionalGetMiddleware"])
    assert client.get("/", headers={"If-None-Match": '"mine"'}).status_code == 304
    assert bodies(client, "/", "/") == ["1", "1"]
    hit = client.get("/", headers={"If-None-Match": '"mine"'})
    assert (hit.status_code, hit.content, hit.headers["ETag"], "Age" in hit.headers) == (304, b"", '"mine"', True)
    assert "Content-Type" not in hit.headers


def test_what_is_served_is_a_plain_response(serve: Serve, count: Count) -> None:
    given: list[Any] = []

    @cached
    def view(request: Any) -> HttpResponse:
        made = JsonResponse({"n": count()})
        if "bare" in request.GET:
            del made.headers["Content-Type"]
        return made

    client = serve(("", functools.wraps(view)(lambda request: given.append(view(request)) or given[-1])))
    answers = [client.get("/") for _ in range(3)]
    assert [type(each) for each in given] == [JsonResponse, HttpResponse, HttpResponse]
    assert [(each.json(), each.headers["Content-Type"]) for each in answers] == [({"n": 1}, "application/json")] * 3
    assert ["Content-Type" in client.get("/?bare").headers for _ in range(2)] == [False, False]


def test_what_is_streamed_or_nothing(serve: Serve, count: Count, tmp_path: Any) -> None:
    (tmp_path / "file").write_text("file")
    stream = cached(lambda request: StreamingHttpResponse(iter([f"{count()}"])))
    file = cached(lambda request: count() and FileResponse((tmp_path / "file").open("rb")))
    nothing = cached(lambda request: count() and None)
    client: Any = serve(("stream", stream), ("file", file), ("nothing", nothing))
    assert [b"".join(client.get("/stream")) for _ in range(2)] == [b"1", b"2"]
    assert [b"".join(client.get("/file")) for _ in range(2)] == [b"file", b"file"]
    for _ in range(2):
        with pytest.raises(ValueError, match="didn't return an HttpResponse object"):
            client.get("/nothing")
    assert count() == 7


def test_what_is_to_be_done_when_a_response_is_closed_is_done_each_time(serve: Serve, count: Count) -> None:
    closed: list[str] = []

    class Then(HttpResponse):
        def close(self) -> None:
            super().close()
            closed.append("its own")

    def view(request: HttpRequest) -> HttpResponse:
        response = (Then if "own" in request.GET else HttpResponse)(f"{count()}")
        if "more" in request.GET:
            response._resource_closers.append(lambda: closed.append("one more"))
        return response

    client: Any = serve(("", cached(view)))
    texts = [client.get(target).content for target in ("/?own", "/?own", "/?more", "/?more", "/", "/")]
    assert texts == [b"1", b"2", b"3", b"4", b"5", b"5"]
    assert closed == ["its own", "its own", "one more", "one more"]


# ---- templates ---------------------------------------------------------------------------------------------------


class Template:
    """Renders what its context says, and what *tell* does, with the query."""

    def __init__(self, tell: Callable[[], Any]) -> None:
        self.tell = tell

    def render(self, context: Any, request: Any = None) -> str:
        return f"{context} {query(request)} {self.tell()}"


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_response_with_a_template_is_stored_when_it_is_rendered(serve: Serve, count: Count, is_async: bool) -> None:
    after = []

    def made(request: Any) -> TemplateResponse:
        response = TemplateResponse(request, Template(count), {"a": 1})
        response.add_post_render_callback(lambda response: after.append(response))
        return response

    async def awaited(request: Any) -> TemplateResponse:
        return made(request)

    client = serve(("", cached(awaited if is_async else made)))
    first, second = client.get("/?q"), client.get("/?q")
    assert (first.content, second.content) == (b"{'a': 1} q 1", b"{'a': 1} q 1")
    assert first.headers["ETag"] == second.headers["ETag"]
    assert ("Age" in first.headers, "Age" in second.headers, len(after)) == (False, True, 1)


def test_a_callback_that_has_another_response(serve: Serve, count: Count) -> None:
    @cached
    def view(request: Any) -> TemplateResponse:
        response = TemplateResponse(request, Template(count), {})
        response.add_post_render_callback(lambda response: HttpResponse(response.content.upper() + b"X"))
        return response

    assert bodies(serve(("", view)), "/?q", "/?q") == ["{} Q 1X", "{} Q 1X"]


def test_a_template_view(serve: Serve, count: Count) -> None:
    class Page(TemplateView):
        def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
            return {"i": kwargs["i"]}

        def get_template_names(self) -> Any:
            return Template(count)

        @cached
        def get(self, request: Any, *args: Any, **kwargs: Any) -> Any:
            return super().get(request, *args, **kwargs)

    client = serve(("<int:i>", Page.as_view()))
    assert bodies(client, "/1?q", "/1?q", "/2?q") == ["{'i': 1} q 1", "{'i': 1} q 1", "{'i': 2} q 2"]


class Adding:
    """Middleware that changes templates' contexts."""

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> Any:
        return self.get_response(request)

    def process_template_response(self, request: Any, response: Any) -> Any:
        response.context_data["added"] = request.GET.get("user")
        return response


def test_where_middleware_changes_templates_they_are_not_stored(
    serve: Serve, page: Page, count: Count, caplog: pytest.LogCaptureFixture
) -> None:
    @cached
    def view(request: Any) -> HttpResponse:
        return page(request) if "plain" in request.GET else TemplateResponse(request, Template(count), {})

    client = serve(("", view), MIDDLEWARE=[f"{__name__}.Adding"])
    assert bodies(client, "/?user=a", "/?user=a") == ["{'added': 'a'} user=a 1", "{'added': 'a'} user=a 2"]
    assert [record.getMessage().partition("(said once")[0].strip() for record in caplog.records] == [
        f"{view._self_memoizer.title}: a response with a template was not stored, since something in MIDDLEWARE has "
        "process_template_response, which changes it after the view"
    ]
    assert bodies(client, "/?plain", "/?plain") == ["3", "3"]


def test_what_a_template_raises_is_the_caller_s(serve: Serve, count: Count) -> None:
    def broken() -> None:
        raise LookupError(f"{count()}")

    client = serve(("", cached(lambda request: TemplateResponse(request, Template(broken), {}))))
    for _ in range(2):
        with pytest.raises(LookupError):
            client.get("/")
    assert count() == 3


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_one_renders_and_all_are_served(serve: Serve, cache: Cache, is_async: bool) -> None:
    held = Held(lambda: "page")

    def made(request: Any) -> TemplateResponse:
        return TemplateResponse(request, Template(held), {})

    async def awaited(request: Any) -> TemplateResponse:
        return made(request)

    serve(("", cached(cache=cache, namespace="view")(awaited if is_async else made)))
    first = start(Client().get, "/")
    held.wait()
    others = [start(Client().get, "/") for _ in range(8)]
    held.go()
    answers = [call.result(PATIENCE) for call in (first, *others)]
    assert {answer.content for answer in answers} == {b"{}  page"}
    assert len({answer.headers["ETag"] for answer in answers}) == 1
    assert held.computed == 1


def test_a_fence_while_a_template_is_rendered(serve: Serve, cache: Cache) -> None:
    truth = ["old"]
    held = Held(lambda: truth[0])

    @cached(cache=cache, namespace="view")
    def view(request: Any) -> TemplateResponse:
        return TemplateResponse(request, Template(held), {})

    client = serve(("", view))
    first = start(Client().get, "/")
    held.wait()
    truth[0] = "new"
    view.uncache(None)
    held.go()
    assert first.result(PATIENCE).content == b"{}  old"
    assert bodies(client, "/", "/") == ["{}  new"] * 2
    assert held.computed == 2


# ---- event loops, refreshing, caches of Django's -----------------------------------------------------------------


def test_one_computes_in_an_event_loop(serve: Serve, cache: Cache, page: Page) -> None:
    @cached(cache=cache, namespace="view")
    async def view(request: Any) -> HttpResponse:
        await asyncio.sleep(0)
        return page(request)

    serve(("", view))

    async def main() -> list[bytes]:
        answers = await asyncio.gather(*(AsyncClient().get("/") for _ in range(20)))
        return [answer.content for answer in answers]

    assert asyncio.run(main()) == [b"1"] * 20


def test_a_refresh_has_the_language_and_the_time_zone_of_the_request(serve: Serve, cache: Cache, count: Count) -> None:
    @cached(cache=cache, namespace="view", timeout=60, stale=30)
    def view(request: Any) -> HttpResponse:
        zone = timezone.get_current_timezone_name()
        return HttpResponse(f"{translation.get_language()} {zone} {reverse('page')} {count()}")

    client = serve(("page", view), MIDDLEWARE=LOCALE, USE_TZ=True)

    def asked() -> list[str]:
        return bodies(client, "/page", accept_language="de")

    with freeze_time("2030-01-01") as clock, timezone.override("Asia/Tokyo"):
        assert asked() == ["de Asia/Tokyo /page 1"]
        clock.tick(70)
        assert asked() == ["de Asia/Tokyo /page 1"]
        assert wait_until(lambda: asked() == ["de Asia/Tokyo /page 2"])


def test_views_on_a_cache_of_django_s(serve: Serve, page: Page) -> None:
    by_alias = cached(cache=caches["default"], namespace="alias")(page)
    by_proxy = cached(cache=cache_proxy, namespace="proxy")(page)
    client = serve(("alias", by_alias), ("proxy", by_proxy))
    assert bodies(client, "/alias?1", "/alias?1", "/proxy?1", "/proxy?1") == ["1", "1", "2", "2"]
    assert by_alias.uncache(None)
    assert by_proxy.uncache(None)
    assert bodies(client, "/alias?1", "/proxy?1") == ["3", "4"]
