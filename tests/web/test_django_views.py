"""Which functions are views of Django, what of a request is in the key, and what is stored."""

import asyncio
import functools
import itertools
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.messages import add_message
from django.core.exceptions import DisallowedHost
from django.http import FileResponse, Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.template import engines
from django.template.response import TemplateResponse
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory
from django.test.utils import override_settings
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_control
from django.views.decorators.csrf import csrf_exempt, csrf_protect, ensure_csrf_cookie
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import condition, require_safe
from django.views.decorators.vary import vary_on_cookie
from django.views.generic import TemplateView
from freezegun import freeze_time

from memocache import ConfigurationError, SimpleCache, SQLiteCache, cached, configure
from memocache._hooks import adapters
from memocache.web._discovery import ArgumentAdapter
from tests.web.django_site import urls

Count = Callable[[], int]


@pytest.fixture
def count() -> Count:
    return functools.partial(next, itertools.count(1))


@pytest.fixture
def serve() -> Iterator[Callable[..., Client]]:
    """Gives Django views by their routes, and returns a client."""
    overridden: list[override_settings] = []

    def served(*routes: tuple[str, Any], **settings: Any) -> Client:
        override = override_settings(ROOT_URLCONF=urls(*routes), **settings)
        override.enable()
        overridden.append(override)
        return Client()

    yield served
    for override in reversed(overridden):
        override.disable()


Serve = Callable[..., Client]


def bodies(client: Client, *targets: str, **headers: str) -> list[str]:
    return [client.get(target, headers=headers).content.decode() for target in targets]


def query(request: Any) -> str:
    return str(request.META["QUERY_STRING"])


# ---- detection ---------------------------------------------------------------------------------------------------


def above(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapped


def plain(count: Count) -> Any:
    @cached
    def view(request: Any, i: int) -> HttpResponse:
        return HttpResponse(f"{query(request)} {count()}")

    return view


def odd_name(count: Count) -> Any:
    @cached
    def view(r: Any, i: int) -> HttpResponse:
        return HttpResponse(f"{query(r)} {count()}")

    return view


def any_arguments(count: Count) -> Any:
    @cached
    def view(*args: Any, **kwargs: Any) -> HttpResponse:
        return HttpResponse(f"{query(args[0])} {count()}")

    return view


def async_with_keywords(count: Count) -> Any:
    @cached
    async def view(request: Any, **kwargs: Any) -> HttpResponse:
        return HttpResponse(f"{query(request)} {count()}")

    return view


def decorated(count: Count) -> Any:
    return csrf_exempt(require_safe(above(plain(count))))


def template_key(count: Count) -> Any:
    @cached(key="{i}")
    def view(request: Any, i: int) -> HttpResponse:
        return HttpResponse(f"{query(request)} {count()}")

    return view


def ignoring(count: Count) -> Any:
    @cached(ignore=("request",))
    def view(request: Any, i: int) -> HttpResponse:
        return HttpResponse(f"{query(request)} {count()}")

    return view


def class_based(count: Count) -> Any:
    class Page(View):
        @cached
        def get(self, request: Any, i: int) -> HttpResponse:
            return HttpResponse(f"{query(request)} {count()}")

    return Page.as_view()


def by_method_decorator(count: Count) -> Any:
    class Page(View):
        @method_decorator([above, cached(timeout=300)])
        def get(self, request: Any, i: int) -> HttpResponse:
            return HttpResponse(f"{query(request)} {count()}")

    return Page.as_view()


def by_method_decorator_with_names(count: Count) -> Any:
    class Page(View):
        @method_decorator(cached(key="{i}", tags=["i:{i}"]))
        def get(self, request: Any, i: int) -> HttpResponse:
            return HttpResponse(f"{query(request)} {count()}")

    return Page.as_view()


def by_method_decorator_on_dispatch(count: Count) -> Any:
    @method_decorator(cached(timeout=300), name="dispatch")
    class Page(View):
        def get(self, request: Any, i: int) -> HttpResponse:
            return HttpResponse(f"{query(request)} {count()}")

    return Page.as_view()


def around_as_view(count: Count) -> Any:
    class Page(View):
        def get(self, request: Any, i: int) -> HttpResponse:
            return HttpResponse(f"{query(request)} {count()}")

    return cached(Page.as_view())


def async_view(count: Count) -> Any:
    @cached
    async def view(request: Any, i: int) -> HttpResponse:
        await asyncio.sleep(0)
        return HttpResponse(f"{query(request)} {count()}")

    return view


def async_class_based(count: Count) -> Any:
    class Page(View):
        @cached
        async def get(self, request: Any, i: int) -> HttpResponse:
            return HttpResponse(f"{query(request)} {count()}")

    return Page.as_view()


def async_by_method_decorator(count: Count) -> Any:
    class Page(View):
        @method_decorator(cached(timeout=300))
        async def get(self, request: Any, i: int) -> HttpResponse:
            return HttpResponse(f"{query(request)} {count()}")

    return Page.as_view()


MAKERS = [
    *(plain, odd_name, any_arguments, decorated, template_key, ignoring, class_based, by_method_decorator),
    async_with_keywords,
    by_method_decorator_with_names,
    *(by_method_decorator_on_dispatch, around_as_view, async_view, async_class_based, async_by_method_decorator),
]


@pytest.mark.parametrize("make", MAKERS)
def test_views_are_found(make: Callable[[Count], Any], serve: Serve, count: Count) -> None:
    client = serve(("<int:i>", make(count)))
    assert bodies(client, "/1?a=1", "/1?a=2", "/1?a=1", "/2?a=1") == ["a=1 1", "a=2 2", "a=1 1", "a=1 3"]
    assert client.head("/1?a=1").headers["ETag"] == client.get("/1?a=1").headers["ETag"]
    assert bodies(client, "/1?a=1", cookie="session=alice") == ["a=1 4"]  # passed by
    assert bodies(client, "/1?a=1") == ["a=1 1"]


@pytest.mark.parametrize("make", [plain, class_based, by_method_decorator, async_view, async_class_based])
def test_views_are_found_where_requests_come_by_asgi(make: Callable[[Count], Any], serve: Serve, count: Count) -> None:
    serve(("<int:i>", make(count)))

    async def asked() -> list[str]:
        client = AsyncClient()
        targets = ("/1?a=1", "/1?a=2", "/1?a=1", "/2?a=1")
        return [(await client.get(target)).content.decode() for target in targets]

    assert asyncio.run(asked()) == ["a=1 1", "a=2 2", "a=1 1", "a=1 3"]


def test_a_view_that_is_no_view_is_an_ordinary_function(serve: Serve, count: Count) -> None:
    @cached(view=False, ignore=("request",))
    def helper(request: Any, i: int) -> str:
        return f"{query(request)} {count()}"

    client = serve(("<int:i>", lambda request, i: HttpResponse(helper(request, i))))
    assert bodies(client, "/1?a=1", "/1?a=2") == ["a=1 1", "a=1 1"]


def test_what_is_given_the_request_and_returns_no_response(
    serve: Serve, count: Count, caplog: pytest.LogCaptureFixture
) -> None:
    @cached
    def helper(request: Any) -> str:
        return f"{count()}"

    client = serve(("", lambda request: HttpResponse(helper(request))))
    assert bodies(client, "/", "/") == ["1", "2"]
    (record,) = caplog.records
    assert "returned a str, which is no response and was not stored; give it what it needs of the request" in (
        record.getMessage()
    )


def test_helpers_are_ordinary(serve: Serve, count: Count) -> None:
    @cached
    def helper(i: int) -> int:
        return count()

    client = serve(("<int:i>", lambda request, i: HttpResponse(f"{helper(i)}")))
    assert bodies(client, "/1?a=1", "/1?a=2", "/2") == ["1", "1", "2"]
    assert helper.uncache(1)


def test_a_response_of_a_function_that_is_no_view_is_not_stored(count: Count) -> None:
    @cached
    def helper() -> HttpResponse:
        return HttpResponse(f"{count()}")

    assert [helper().content, helper().content] == [b"1", b"2"]


@pytest.mark.parametrize("options", [{"key": "{i}"}, {"ignore": ("asked",)}])
def test_a_request_that_a_shortcut_could_not_see(count: Count, options: dict[str, Any]) -> None:
    @cached(**options)
    def view(asked: Any, i: int) -> HttpResponse | int:
        return count() if asked is None else HttpResponse(f"{query(asked)} {count()}")

    assert [view(None, 1), view(None, 1)] == [1, 1]
    ask = RequestFactory().get
    assert [view(ask(f"/?{each}"), 1).content for each in "aba"] == [b"a 2", b"b 3", b"a 2"]


def test_only_the_view_of_the_request_is_given_headers(serve: Serve, count: Count) -> None:
    @cached
    def inner(request: Any) -> HttpResponse:
        return HttpResponse(f"{count()}")

    def outer(request: Any) -> HttpResponse:
        return HttpResponse(b"outer " + inner(request).content)

    client = serve(("inner", inner), ("outer", outer))
    tag = client.get("/inner").headers["ETag"]
    assert client.get("/inner", headers={"If-None-Match": tag}).status_code == 304
    assert bodies(client, "/outer", "/outer") == ["outer 2", "outer 2"]
    assert bodies(client, "/outer", if_none_match="*") == ["outer 2"]
    assert "ETag" not in client.get("/outer").headers


def test_two_classes_that_inherit_a_view_do_not_share(serve: Serve, count: Count) -> None:
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
    ask = RequestFactory().get
    assert [view(ask("/")).content for view in views * 2] == [b"base 1", b"one 2", b"two", b"three"] * 2


def test_two_calls_of_method_decorator_decorate_a_method_once(count: Count) -> None:
    decorator = cached(timeout=60)

    class Page(View):
        @method_decorator(decorator)
        def get(self, request: Any) -> HttpResponse:
            return HttpResponse(f"{count()}")

    before = len(decorator._methods)
    for _ in range(3):
        Page.as_view()(RequestFactory().get("/"))
    assert len(decorator._methods) == before + 1


# ---- forgetting --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shared", [False, True], ids=["in process", "shared"])
def test_forgetting_needs_no_request(serve: Serve, count: Count, shared: bool, tmp_path: Any) -> None:
    cache = f"sqlite:///{tmp_path}/cache.sqlite" if shared else SimpleCache()

    @cached(cache=cache, namespace="view")
    def view(request: Any, i: int) -> HttpResponse:
        made = HttpResponse(f"{count()}")
        patch_vary_headers(made, ["X-One"])
        return made

    client = serve(("<int:i>", view))

    def pages() -> list[str]:
        return [body for one in "ab" for body in bodies(client, "/1", "/1?q", x_one=one)]

    before, other = pages(), bodies(client, "/2")
    assert len(set(before)) == 4
    assert pages() == before
    assert view.uncache(None, 1) is True
    after = pages()
    assert not set(after) & set(before)
    assert view.uncache(RequestFactory().get("/elsewhere"), i=1) is True
    assert not set(pages()) & set(after)
    assert bodies(client, "/2") == other
    assert view.uncache(None, 3) in (False, shared)  # what is elsewhere cannot be counted
    view.uncache_all()
    assert bodies(client, "/2") != other


def test_forgetting_a_method_and_an_awaited_view(serve: Serve, count: Count) -> None:
    class Page(View):
        @cached
        def get(self, request: Any, i: int) -> HttpResponse:
            return HttpResponse(f"{count()}")

    @cached
    async def awaited(request: Any, i: int) -> HttpResponse:
        return HttpResponse(f"{count()}")

    client = serve(("page/<int:i>", Page.as_view()), ("awaited/<int:i>", awaited))
    assert bodies(client, "/page/1", "/page/1", "/awaited/1", "/awaited/1") == ["1", "1", "2", "2"]
    assert Page().get.uncache(None, 1)
    assert asyncio.run(awaited.uncache(None, 1))
    assert bodies(client, "/page/1", "/awaited/1") == ["3", "4"]


def test_a_post_forgets(serve: Serve, count: Count) -> None:
    @csrf_exempt
    @cached
    def view(request: Any) -> HttpResponse:
        return HttpResponse(f"{count()}")

    client = serve(("", view))
    assert bodies(client, "/", "/") == ["1", "1"]
    assert client.post("/").content == b"2"
    assert bodies(client, "/", "/") == ["3", "3"]


def test_functions_that_cannot_be_views_are_forgotten_as_ever(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    cache = SQLiteCache(tmp_path / "cache.sqlite")
    groups: list[str] = []
    for each in adapters:
        if type(each) is not ArgumentAdapter:
            monkeypatch.setattr(each, "may_be_view", lambda function: False)
    monkeypatch.setattr(cache, "forget_tag", groups.append)

    @cached(cache=cache, namespace="typed")
    def typed(i: int) -> int:
        return i

    @cached(cache=cache, namespace="perhaps")
    def perhaps(i) -> int:  # type: ignore[no-untyped-def]
        return int(i)

    assert [typed(1), typed.uncache(1), groups] == [1, True, []]
    assert [perhaps(1), perhaps.uncache(1), len(groups)] == [1, True, 1]


# ---- what else is in the key -------------------------------------------------------------------------------------


def test_language_and_time_zone(serve: Serve, count: Count) -> None:
    @cached
    def view(request: Any) -> HttpResponse:
        zone = timezone.get_current_timezone_name()
        return HttpResponse(f"{translation.get_language()} {zone} {count()}")

    middleware = ["django.middleware.locale.LocaleMiddleware"]
    client = serve(("", view), MIDDLEWARE=middleware, USE_TZ=True, USE_I18N=True, TIME_ZONE="UTC")
    german, english = {"Accept-Language": "de"}, {"Accept-Language": "en"}
    asked = [client.get("/", headers=each) for each in (german, english, german, english)]
    assert [each.content.decode() for each in asked] == ["de UTC 1", "en UTC 2", "de UTC 1", "en UTC 2"]
    assert [each.headers["Content-Language"] for each in asked] == ["de", "en", "de", "en"]
    assert "Accept-Language" in asked[2].headers["Vary"]
    with timezone.override("Asia/Tokyo"):
        assert bodies(client, "/", "/") == ["en Asia/Tokyo 3", "en Asia/Tokyo 3"]
    with override_settings(USE_TZ=False), timezone.override("Europe/Paris"):
        assert bodies(client, "/") == ["en Europe/Paris 4"]


def test_a_language_that_the_view_chooses_is_not_stored(serve: Serve, count: Count) -> None:
    @cached
    def view(request: Any) -> HttpResponse:
        if request.GET.get("language"):
            translation.activate(request.GET["language"])
        return HttpResponse(f"{count()}")

    client = serve(("", view))
    with translation.override("en"):
        assert bodies(client, "/?language=de") == ["1"]
    with translation.override("en"):
        assert bodies(client, "/?language=de") == ["2"]
    assert bodies(client, "/", "/") == ["3", "3"]


def test_key_vary_and_script_name(serve: Serve, count: Count) -> None:
    @cached(key=lambda request, i: request.COOKIES.get("theme"))
    def keyed(request: Any, i: int) -> HttpResponse:
        return HttpResponse(f"{count()}")

    @cached(vary=["X-Tenant"])
    def vary(request: Any) -> HttpResponse:
        return HttpResponse(f"{count()}")

    client = serve(("keyed/<int:i>", keyed), ("vary", vary))
    cookies = ["theme=dark; a=1", "theme=light", "theme=dark; a=2"]
    assert [bodies(client, "/keyed/1", cookie=each) for each in cookies] == [["1"], ["2"], ["1"]]
    assert "Cookie" in client.get("/keyed/1").headers["Vary"]
    assert keyed.uncache(None, 1)
    assert bodies(client, "/keyed/1", cookie=cookies[0]) == ["4"]
    assert [bodies(client, "/vary", x_tenant=each) for each in "aba"] == [["5"], ["6"], ["5"]]
    mounted = [client.get("/vary", SCRIPT_NAME=root).content for root in ("/a", "/b", "/a")]
    assert mounted == [b"7", b"8", b"7"]


def test_hosts_that_are_not_allowed_reach_nothing(serve: Serve, count: Count) -> None:
    @cached
    def view(request: Any) -> HttpResponse:
        return HttpResponse(f"{count()}")

    client = serve(("", view), ALLOWED_HOSTS=["good.example"])
    assert bodies(client, "/", host="good.example") == ["1"]
    with pytest.raises(DisallowedHost), override_settings(DEBUG_PROPAGATE_EXCEPTIONS=True):
        view(RequestFactory().get("/", HTTP_HOST="evil.example"))
    logging.getLogger("django.security.DisallowedHost").disabled = True
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    assert bodies(client, "/", host="good.example") == ["1"]


def test_url_configurations_of_the_request_s_own(count: Count) -> None:
    @cached
    def view(request: Any) -> HttpResponse:
        return HttpResponse(f"{count()}")

    def asked(urlconf: object) -> bytes:
        request = RequestFactory().get("/")
        request.urlconf = urlconf  # type: ignore[attr-defined]
        return view(request).content

    assert [asked(each) for each in ("one", "two", "one", urls(), urls())] == [b"1", b"2", b"1", b"3", b"3"]
    assert [asked(()), asked(())] == [b"4", b"5"]  # it has no name


def test_settings_of_views(serve: Serve, count: Count) -> None:
    @cached
    def view(request: Any) -> HttpResponse:
        return HttpResponse(f"{count()}", status=404 if "gone" in request.GET else 200)

    client = serve(("", view), MEMOCACHE_IGNORED_COOKIES=["ab_*"], MEMOCACHE_STATUSES=[404])
    assert [bodies(client, "/", cookie=each) for each in ("ab_1=x", "ab_2=y", "_ga=1")] == [["1"], ["1"], ["2"]]
    assert bodies(client, "/?gone", "/?gone") == ["3", "3"]
    with (
        override_settings(MEMOCACHE_STATUSES=[500]),
        pytest.raises(
            ConfigurationError, match=r"^MEMOCACHE_STATUSES=\[500\]; wanted: some of 404 and 410, in a list$"
        ),
    ):
        client.get("/")


def test_queries_that_are_no_ascii(count: Count) -> None:
    @cached
    def view(request: Any) -> HttpResponse:
        return HttpResponse(f"{count()}")

    def wsgi(text: str) -> bytes:
        return view(RequestFactory().get("/", QUERY_STRING=text.encode().decode("latin-1"))).content

    def asgi(text: str) -> bytes:
        return view(AsyncRequestFactory().get("/", QUERY_STRING=text)).content

    assert [wsgi("é=1&%C3%A9=2"), wsgi("%C3%A9=2&é=1"), wsgi("é=1&%C3%A9=2")] == [b"1", b"2", b"1"]
    assert [asgi("é=1&%C3%A9=2"), asgi("%C3%A9=2&é=1")] == [b"1", b"2"]


# ---- what is stored ----------------------------------------------------------------------------------------------

SESSIONS = ["django.contrib.sessions.middleware.SessionMiddleware"]
MESSAGES = [*SESSIONS, "django.contrib.messages.middleware.MessageMiddleware"]
CSRF = ["django.middleware.csrf.CsrfViewMiddleware"]


@freeze_time("2030-01-01", real_asyncio=True)  # for Age
def test_where_the_session_was_used_nothing_is_stored(serve: Serve, count: Count) -> None:
    @cached
    def view(request: Any) -> HttpResponse:
        if "read" in request.GET:
            request.session.get("user")
        if "login" in request.GET:
            request.session["user"] = request.GET["login"]
        return HttpResponse(f"{count()}")

    client = serve(("", view), MIDDLEWARE=SESSIONS)
    assert bodies(client, "/", "/", "/?read", "/?read") == ["1", "1", "2", "3"]
    hit = client.get("/")
    assert (hit.content, hit.headers["Age"], "Set-Cookie" in hit.headers) == (b"1", "0", False)
    assert [Client().get("/?login=alice").content for _ in range(2)] == [b"4", b"5"]
    assert client.get("/?login=bob").cookies["sessionid"].value
    assert bodies(client, "/") == ["7"]  # it has a cookie now


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

    protected = csrf_protect(form)
    client = serve(("", form), ("protected", protected), ("ensured", ensure_csrf_cookie(form)), MIDDLEWARE=CSRF)
    tokens = [Client().get("/?form") for _ in range(2)]
    assert len({each.content for each in tokens}) == 2
    assert len({each.cookies["csrftoken"].value for each in tokens}) == 2
    assert bodies(client, "/", "/") == [" 3", " 3"]
    assert bodies(client, "/protected", "/protected") == [" 4", " 4"]
    assert len({Client().get("/ensured").cookies["csrftoken"].value for _ in range(2)}) == 2


def test_a_page_with_a_form_from_a_template(serve: Serve) -> None:
    template = engines["django"].from_string("{% csrf_token %}")

    @cached
    def view(request: Any) -> TemplateResponse:
        return TemplateResponse(request, template)

    serve(("", view), MIDDLEWARE=CSRF)
    pages = [Client().get("/") for _ in range(2)]
    assert len({page.content for page in pages}) == 2
    assert all("csrftoken" in page.cookies for page in pages)


def test_where_messages_were_used_nothing_is_stored(serve: Serve, count: Count) -> None:
    @cached
    def view(request: Any) -> HttpResponse:
        if "add" in request.GET:
            add_message(request, 20, "hello")
        if "show" in request.GET:
            list(request._messages)
        return HttpResponse(f"{count()}")

    serve(("", view), MIDDLEWARE=MESSAGES)
    for query in ("add", "show"):
        assert len({Client().get(f"/?{query}").content for _ in range(2)}) == 2
    assert bodies(Client(), "/", "/") == ["5", "5"]


def test_cookies_and_vary_of_middleware_that_comes_later_go_to_each(serve: Serve, count: Count) -> None:
    @cached
    def view(request: Any) -> HttpResponse:
        return HttpResponse("x" * 500)

    middleware = ["tests.web.test_django_views.visit", "django.middleware.gzip.GZipMiddleware"]
    client = serve(("", view), MIDDLEWARE=middleware)
    headers = {"Accept-Encoding": "gzip"}
    plain, zipped, again = (Client().get("/", headers=each) for each in ({}, headers, {}))
    assert (plain.content, again.content) == (b"x" * 500, b"x" * 500)
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert zipped.headers["ETag"] == "W/" + plain.headers["ETag"]
    assert len({each.cookies["visit"].value for each in (plain, zipped, again)}) == 3
    assert client.get("/", headers={**headers, "If-None-Match": zipped.headers["ETag"]}).status_code == 304


_visits = itertools.count(1)


def visit(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def middleware(request: Any) -> Any:
        response = get_response(request)
        response.set_cookie("visit", f"{next(_visits)}")
        return response

    return middleware


def test_what_decorators_below_do_is_stored_and_above_is_done_each_time(serve: Serve, count: Count) -> None:
    @cached
    @cache_control(public=True, max_age=7)
    @gzip_page
    def below(request: Any) -> HttpResponse:
        return HttpResponse(f"{count()}" * 500)

    @cached
    @vary_on_cookie
    def by_cookie(request: Any) -> HttpResponse:
        return HttpResponse(f"{count()}")

    @cache_control(public=True)
    @cached
    def over(request: Any) -> HttpResponse:
        return HttpResponse(f"{count()}")

    client = serve(("below", below), ("cookie", by_cookie), ("over", over))
    first = client.get("/below", headers={"Accept-Encoding": "gzip"})
    assert first.headers["Cache-Control"] == "public, max-age=7"
    assert client.get("/below", headers={"Accept-Encoding": "gzip"}).content == first.content
    assert bodies(client, "/below") == ["2" * 500]
    assert bodies(client, "/cookie", "/cookie") == ["3", "4"]
    assert bodies(client, "/over", "/over") == ["5", "5"]
    assert "public" in client.get("/over").headers["Cache-Control"]


@freeze_time("2030-01-01", real_asyncio=True)  # for Age
def test_conditions_of_django_s_own(serve: Serve, count: Count) -> None:
    @cached
    @condition(etag_func=lambda request: '"mine"')
    def view(request: Any) -> HttpResponse:
        return HttpResponse(f"{count()}")

    client = serve(("", view), MIDDLEWARE=["django.middleware.http.ConditionalGetMiddleware"])
    assert client.get("/", headers={"If-None-Match": '"mine"'}).status_code == 304
    assert bodies(client, "/", "/") == ["1", "1"]
    hit = client.get("/", headers={"If-None-Match": '"mine"'})
    assert (hit.status_code, hit.content, hit.headers["ETag"], hit.headers["Age"]) == (304, b"", '"mine"', "0")
    assert "Content-Type" not in hit.headers


def test_responses_are_made_anew_and_plain(serve: Serve, count: Count) -> None:
    given = []

    @cached
    def view(request: Any) -> HttpResponse:
        made = JsonResponse({"n": count()}, status=203)
        made.headers["Link"] = "a"
        if "bare" in request.GET:
            del made.headers["Content-Type"]
        return made

    @functools.wraps(view)
    def outer(request: Any) -> HttpResponse:
        given.append(view(request))
        return given[-1]  # type: ignore[no-any-return]

    client = serve(("", outer))
    answers = [client.get("/") for _ in range(3)]
    assert len(set(map(id, given))) == 3
    assert [type(each) for each in given] == [JsonResponse, HttpResponse, HttpResponse]
    for each in answers:
        assert (each.status_code, each.json(), each.headers["Link"]) == (203, {"n": 1}, "a")
        assert each.headers["Content-Type"] == "application/json"
        assert each.headers["ETag"] == answers[0].headers["ETag"]
        assert each.headers["Cache-Control"] == "private, max-age=300"
    assert ["Content-Type" in client.get("/?bare").headers for _ in range(2)] == [False, False]


def test_what_is_raised_streamed_or_nothing(serve: Serve, count: Count, tmp_path: Any) -> None:
    (tmp_path / "file").write_text("file")

    @cached
    def missing(request: Any) -> HttpResponse:
        raise Http404(f"{count()}")

    @cached
    def stream(request: Any) -> StreamingHttpResponse:
        return StreamingHttpResponse(iter([f"{count()}"]))

    @cached
    def file(request: Any) -> FileResponse:
        count()
        return FileResponse((tmp_path / "file").open("rb"))

    @cached
    def nothing(request: Any) -> None:
        count()

    client = serve(("missing", missing), ("stream", stream), ("file", file), ("nothing", nothing))
    assert [client.get("/missing").status_code for _ in range(2)] == [404, 404]
    assert [b"".join(client.get("/stream")) for _ in range(2)] == [b"3", b"4"]  # type: ignore[call-overload]
    assert [b"".join(client.get("/file")) for _ in range(2)] == [b"file", b"file"]  # type: ignore[call-overload]
    for _ in range(2):
        with pytest.raises(ValueError, match="didn't return an HttpResponse object"):
            client.get("/nothing")
    assert count() == 9


# ---- templates ---------------------------------------------------------------------------------------------------


class Template:
    """Renders what its context says, and counts."""

    def __init__(self, count: Count) -> None:
        self.count = count

    def render(self, context: Any, request: Any = None) -> str:
        return f"{context} {request.META['QUERY_STRING']} {self.count()}"


@freeze_time("2030-01-01", real_asyncio=True)  # for Age
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_response_with_a_template_is_stored_when_it_is_rendered(serve: Serve, count: Count, is_async: bool) -> None:
    after = []

    def made(request: Any) -> TemplateResponse:
        response = TemplateResponse(request, Template(count), {"a": 1})
        response.add_post_render_callback(lambda response: after.append(response))
        return response

    @cached
    async def awaited(request: Any) -> TemplateResponse:
        return made(request)

    client = serve(("", awaited if is_async else cached(made)))
    first, second = client.get("/?q"), client.get("/?q")
    assert (first.content, second.content) == (b"{'a': 1} q 1", b"{'a': 1} q 1")
    assert first.headers["ETag"] == second.headers["ETag"]
    assert (first.headers.get("Age"), second.headers["Age"], len(after)) == (None, "0", 1)


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
    serve: Serve, count: Count, caplog: pytest.LogCaptureFixture
) -> None:
    @cached
    def view(request: Any) -> HttpResponse:
        if "plain" in request.GET:
            return HttpResponse(f"{count()}")
        return TemplateResponse(request, Template(count), {})

    client = serve(("", view), MIDDLEWARE=["tests.web.test_django_views.Adding"])
    assert bodies(client, "/?user=a", "/?user=a") == ["{'added': 'a'} user=a 1", "{'added': 'a'} user=a 2"]
    assert [record.getMessage().partition("(said once")[0].strip() for record in caplog.records] == [
        f"{view._self_memoizer.title}: a response with a template was not stored, since something in MIDDLEWARE has "
        "process_template_response, which changes it after the view"
    ]
    assert bodies(client, "/?plain", "/?plain") == ["3", "3"]


def test_what_a_template_raises_is_the_caller_s(serve: Serve, count: Count) -> None:
    class Broken(Template):
        def render(self, context: Any, request: Any = None) -> str:
            raise LookupError(f"{self.count()}")

    @cached
    def view(request: Any) -> TemplateResponse:
        return TemplateResponse(request, Broken(count))

    client = serve(("", view))
    for _ in range(2):
        with pytest.raises(LookupError):
            client.get("/")
    assert count() == 3


# ---- caches of Django's ------------------------------------------------------------------------------------------


def test_views_on_a_cache_of_django_s(serve: Serve, count: Count) -> None:
    from django.core.cache import cache, caches

    @cached(cache=caches["default"], namespace="alias")
    def by_alias(request: Any) -> HttpResponse:
        return HttpResponse(f"{count()}")

    @cached(cache=cache, namespace="proxy")
    def by_proxy(request: Any) -> HttpResponse:
        return HttpResponse(f"{count()}")

    client = serve(("alias", by_alias), ("proxy", by_proxy))
    assert bodies(client, "/alias?1", "/alias?1", "/proxy?1", "/proxy?1") == ["1", "1", "2", "2"]
    assert by_alias.uncache(None)
    assert by_proxy.uncache(None)
    assert bodies(client, "/alias?1", "/proxy?1") == ["3", "4"]


def test_the_default_cache_is_what_configure_says(serve: Serve, count: Count) -> None:
    @cached
    def view(request: Any) -> HttpResponse:
        return HttpResponse(f"{count()}")

    client = serve(("", view))
    assert bodies(client, "/", "/") == ["1", "1"]
    configure(SimpleCache())
    assert bodies(client, "/", "/") == ["2", "2"]
