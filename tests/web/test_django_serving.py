"""Views of Django under load and over time: waiting, growing old, two tenants; in process and on memcached."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.http import HttpResponse, JsonResponse
from django.template.response import TemplateResponse
from django.test import AsyncClient
from django.test.utils import override_settings
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers
from freezegun import freeze_time

from memocache import Cache, MemcachedCache, cached
from tests.support.servers import MemcachedServer, wait_until
from tests.support.threads import PATIENCE, Held, start
from tests.web.django_site import Page, asked, urls
from tests.web.matrix import Ask
from tests.web.tenants import TASKS, requests

Serve = Callable[..., None]


@pytest.fixture
def serve() -> Iterator[Serve]:
    overridden: list[override_settings] = []

    def served(*routes: tuple[str, Any], **settings: Any) -> None:
        override = override_settings(ROOT_URLCONF=urls(*routes), **settings)
        override.enable()
        overridden.append(override)

    yield served
    for override in reversed(overridden):
        override.disable()


def ask(target: str = "/", **headers: str) -> Page:
    return asked(Ask(target, tuple((name.replace("_", "-"), value) for name, value in headers.items())))


def get(target: str = "/", **headers: str) -> str:
    return ask(target, **headers).text


# ---- waiting -----------------------------------------------------------------------------------------------------


class Rendered:
    """A template whose rendering can be held."""

    def __init__(self, held: Held) -> None:
        self.held = held

    def render(self, context: Any, request: Any = None) -> str:
        return str(self.held())


@pytest.mark.parametrize("kind", ["response", "template", "async", "async template"])
def test_one_computes_and_all_are_served(serve: Serve, cache: Cache, kind: str) -> None:
    held = Held(lambda: "page")

    def made(request: Any) -> HttpResponse:
        return TemplateResponse(request, Rendered(held)) if "template" in kind else HttpResponse(held())

    async def awaited(request: Any) -> HttpResponse:
        return made(request) if "template" in kind else await asyncio.to_thread(made, request)

    serve(("", cached(cache=cache, namespace="view")(awaited if "async" in kind else made)))
    first = start(get)
    held.wait()
    others = [start(ask) for _ in range(8)]
    held.go()
    assert first.result(PATIENCE) == "page"
    answers = [other.result(PATIENCE) for other in others]
    assert {answer.text for answer in answers} == {"page"}
    assert len({answer.headers["ETag"] for answer in answers}) == 1
    assert held.computed == 1


def test_one_computes_in_an_event_loop(serve: Serve, cache: Cache, count: Callable[[], int]) -> None:
    @cached(cache=cache, namespace="view")
    async def view(request: Any) -> HttpResponse:
        await asyncio.sleep(0)
        return HttpResponse(f"{count()}")

    serve(("", view))

    async def main() -> list[bytes]:
        answers = await asyncio.gather(*(AsyncClient().get("/") for _ in range(20)))
        return [answer.content for answer in answers]

    assert asyncio.run(main()) == [b"1"] * 20


def test_a_fence_while_a_template_is_rendered(serve: Serve, cache: Cache) -> None:
    truth = ["old"]
    held = Held(lambda: truth[0])

    @cached(cache=cache, namespace="view")
    def view(request: Any) -> TemplateResponse:
        return TemplateResponse(request, Rendered(held))

    serve(("", view))
    first = start(get)
    held.wait()
    truth[0] = "new"
    view.uncache(None)
    held.go()
    assert first.result(PATIENCE) == "old"
    assert [get(), get()] == ["new"] * 2
    assert held.computed == 2


# ---- growing old -------------------------------------------------------------------------------------------------


def test_age_and_expiry(serve: Serve, cache: Cache, count: Callable[[], int]) -> None:
    @cached(cache=cache, namespace="view", timeout=60)
    def view(request: Any) -> HttpResponse:
        return HttpResponse(f"{count()}")

    serve(("", view))
    with freeze_time("2030-01-01") as clock:
        assert ask().headers["Cache-Control"] == "private, max-age=60"
        clock.tick(9)
        assert ask().headers["Age"] == "9"
        clock.tick(52)
        assert get() == "2"


def test_stale_is_served_while_one_refreshes_as_in_the_request(
    serve: Serve, cache: Cache, count: Callable[[], int]
) -> None:
    @cached(cache=cache, namespace="view", timeout=60, stale=30)
    def view(request: Any) -> HttpResponse:
        zone = timezone.get_current_timezone_name()
        return HttpResponse(f"{translation.get_language()} {zone} {reverse('page')} {count()}")

    serve(("page", view), MIDDLEWARE=["django.middleware.locale.LocaleMiddleware"], USE_TZ=True)
    with freeze_time("2030-01-01") as clock, timezone.override("Asia/Tokyo"):
        assert get("/page", accept_language="de") == "de Asia/Tokyo /page 1"
        clock.tick(70)
        old = ask("/page", accept_language="de")
        assert (old.text, old.headers["Age"]) == ("de Asia/Tokyo /page 1", "70")
        assert wait_until(lambda: get("/page", accept_language="de") == "de Asia/Tokyo /page 2")


def test_stale_instead_of_an_error(serve: Serve, cache: Cache, count: Callable[[], int]) -> None:
    @cached(cache=cache, namespace="view", timeout=60, stale=30)
    async def view(request: Any) -> HttpResponse:
        number = count()
        return HttpResponse(f"{number}", status=200 if number == 1 else 503)

    serve(("", view))
    with freeze_time("2030-01-01", real_asyncio=True) as clock:
        assert get() == "1"
        clock.tick(70)
        old = ask()
        assert (old.text, old.status_code, old.headers["Age"]) == ("1", 200, "70")


# ---- two tenants -------------------------------------------------------------------------------------------------


def test_two_tenants_never_meet(serve: Serve, memcached: MemcachedServer, prefix: str) -> None:
    cache = MemcachedCache([memcached.address], key_prefix=prefix)
    computed = itertools.count(1)

    def page(who: str | None, i: int) -> JsonResponse:
        return JsonResponse({"tenant": who, "i": i, "n": next(computed)})

    def tenant(request: Any) -> str | None:
        found: str | None = request.headers.get("X-Tenant")
        return found

    @cached(cache=cache, namespace="by key", key=lambda request, i: tenant(request))
    def by_key(request: Any, i: int) -> JsonResponse:
        return page(tenant(request), i)

    @cached(cache=cache, namespace="by vary", vary=("X-Tenant",))
    def by_vary(request: Any, i: int) -> JsonResponse:
        return page(tenant(request), i)

    @cached(cache=cache, namespace="by learned")
    def by_learned(request: Any, i: int) -> JsonResponse:
        made = page(tenant(request), i)
        patch_vary_headers(made, ["X-Tenant"])
        return made

    @cached(cache=cache, namespace="by cookie")
    def by_cookie(request: Any, i: int) -> JsonResponse:
        return page(request.COOKIES.get("tenant"), i)

    @cached(cache=cache, namespace="by host")
    def by_host(request: Any, i: int) -> JsonResponse:
        return page(request.get_host().partition(".")[0], i)

    views = {"key": by_key, "vary": by_vary, "learned": by_learned, "cookie": by_cookie, "host": by_host}
    serve(*((f"{name}/<int:i>", view) for name, view in views.items()))

    def wrong(seed: int) -> int:
        count = 0
        for each in requests(seed):
            count += each.is_wrong(asked(each.ask).response.json())
            if each.forgets:
                by_learned.uncache(None, each.i)
        return count

    with ThreadPoolExecutor(TASKS) as pool:
        assert sum(pool.map(wrong, range(TASKS))) == 0
    hits = {name: view.info().hits for name, view in views.items()}
    assert hits.pop("cookie") == 0  # with cookies, of which nobody has said what matters
    assert all(each > 1000 for each in hits.values()), hits
