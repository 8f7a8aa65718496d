"""An application of Django with one cached view, whose answers the tests decide; for us and for others' decorators.

Each site has a URL configuration of its own, that its requests name. They are answered by the real handler, with the
middleware that settings name.
"""

import itertools
import types
from collections.abc import Callable
from typing import Any

from tests.support.django_settings import configure

configure()

import django  # noqa: E402
from django.http import HttpResponse, StreamingHttpResponse  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import override_settings  # noqa: E402
from django.urls import path  # noqa: E402

from memocache import Cache, cached  # noqa: E402
from tests.web.matrix import Ask, Reply  # noqa: E402
from tests.web.sites import Decorator  # noqa: E402

django.setup()

__all__ = ["DjangoSite", "Page", "asked", "ours", "urls"]


class Page:
    """A response, with what the tests of all frameworks look at."""

    def __init__(self, response: Any) -> None:
        self.response = response
        self.status_code = response.status_code
        self.headers = response.headers
        self.data = b"".join(response) if response.streaming else response.content

    @property
    def text(self) -> str:
        return self.data.decode()


def asked(ask: Ask, client: Client | None = None) -> Page:
    """Return the answer to *ask*."""
    headers: dict[str, str] = {}
    for name, value in ask.headers:
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        headers[key] = f"{headers[key]},{value}" if key in headers else value  # as servers of WSGI do
    if ask.user:
        headers["REMOTE_USER"] = ask.user
    more = {"HTTP_HOST": ask.host, **headers}
    client = client or Client(raise_request_exception=False)
    return Page(client.generic(ask.method, ask.target, ask.body, secure=ask.scheme == "https", **more))


def urls(*routes: tuple[str, Callable[..., Any]]) -> types.ModuleType:
    """Return a URL configuration."""
    module: Any = types.ModuleType("tests.web.django_urls")
    module.urlpatterns = [path(route, view, name=route) for route, view in routes]
    return module


def ours(cache: Cache, terms: dict[str, Any] | None = None) -> Decorator:
    """Return what decorates the view with @cached, with the *terms* of a case."""
    given = terms or {}
    key = (lambda request: "same") if given.get("keyed") else None
    return cached(timeout=300, cache=cache, namespace="view", vary=given.get("vary", ()), key=key)


class DjangoSite:
    """An application that answers every request with *reply*, and a body that says how often it has computed one."""

    def __init__(self, decorator: Decorator, terms: dict[str, Any] | None = None, *, is_async: bool = False) -> None:
        self.reply = Reply()
        self.computed = 0
        self._statuses = (terms or {}).get("statuses", ())
        numbers = itertools.count(1)

        def view(request: Any) -> Any:
            self.computed = next(numbers)
            return self.returned(f"{self.computed}")

        async def awaited(request: Any) -> Any:
            return view(request)

        decorated = decorator(awaited if is_async else view)
        self._urls = urls(("page", decorated), ("page/", decorated))

    def returned(self, body: str) -> Any:
        made: Any
        if self.reply.streamed:
            made = StreamingHttpResponse(iter([body]), status=self.reply.status)
        else:
            made = HttpResponse(body, status=self.reply.status)
        for name, value in self.reply.headers:
            # Of each name there is one.
            made.headers[name] = f"{made.headers[name]},{value}" if name in made.headers else value
        return made

    def ask(self, ask: Ask) -> Page:
        with override_settings(ROOT_URLCONF=self._urls, MEMOCACHE_STATUSES=self._statuses):
            return asked(ask)
