"""Sites of Django: URL configurations, and settings that count while they are asked.

They are answered by the real handler, with the middleware that settings name.
"""

import asyncio
import contextlib
import functools
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from tests.support.django_settings import configure

configure()

import django  # noqa: E402
from django.core.exceptions import SuspiciousOperation  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # noqa: E402
from django.http import Http404, HttpResponse, StreamingHttpResponse  # noqa: E402
from django.test import AsyncClient, RequestFactory  # noqa: E402
from django.test.utils import override_settings  # noqa: E402
from django.urls import path as url  # noqa: E402
from django.utils import timezone, translation  # noqa: E402

from tests.web.matrix import Answer, Ask, Reply  # noqa: E402
from tests.web.sites import METHODS, Asked, Options, Site, answer_of_wsgi  # noqa: E402

django.setup()

AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
SESSIONS = ["django.contrib.sessions.middleware.SessionMiddleware"]


def urls(*routes: tuple[str, Callable[..., Any]]) -> types.ModuleType:
    """Return a URL configuration."""
    module: Any = types.ModuleType("tests.web.django_urls")
    module.urlpatterns = [url(route, view, name=route) for route, view in routes]
    return module


def let_in(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Middleware: give the request its user."""

    def middleware(request: Any) -> Any:
        site = DjangoSite._current
        assert site is not None
        attribute, who = site.who
        setattr(request, attribute, who(request))
        return get_response(request)

    return middleware


class DjangoSite(Site):
    """A URL configuration, and settings. There is one at a time: that which was asked last."""

    _current: "ClassVar[DjangoSite | None]" = None
    who: tuple[str, Callable[[Any], object]]

    def set_up(self, options: Options) -> None:
        self.urls = urls()
        self.settings: dict[str, Any] = {
            "ROOT_URLCONF": self.urls,
            "DEBUG": options.is_debug,
            "MEMOCACHE_STATUSES": options.statuses,
            "MEMOCACHE_CREDENTIAL_HEADERS": options.credential_headers,
            "ALLOWED_HOSTS": options.hosts or ["*"],
            "MIDDLEWARE": SESSIONS if options.has_sessions else [],
        }
        if options.ignored_cookies is not None:
            self.settings["MEMOCACHE_IGNORED_COOKIES"] = options.ignored_cookies

    def enter(self) -> None:
        """Let its settings be those of Django."""
        if DjangoSite._current is not self:
            DjangoSite.leave()
            self._override = override_settings(**self.settings)
            self._override.enable()
            DjangoSite._current = self

    @staticmethod
    def leave() -> None:
        """Give Django back the settings from before there was any site, and this thread its language and time zone."""
        translation.deactivate()
        timezone.deactivate()
        if DjangoSite._current is not None:
            DjangoSite._current._override.disable()
            DjangoSite._current = None

    @functools.cached_property
    def _handler(self) -> WSGIHandler:
        """What has the middleware of the settings."""
        return WSGIHandler()

    def route(self, path: str, view: Any, methods: Sequence[str] = METHODS) -> None:
        route = path.removeprefix("/").replace("{", "<int:").replace("}", ">")
        self.urls.urlpatterns.append(url(route, view, name=route))

    def asked(self, request: Any) -> Asked:
        query = request.META["QUERY_STRING"]
        return Asked(request.path, query, request.get_host(), request.headers, request.COOKIES, lambda: request.session)

    def response(self, reply: Reply) -> HttpResponse | StreamingHttpResponse:
        made: Any
        if reply.streamed:
            made = StreamingHttpResponse(iter([reply.body]), status=reply.status)
        else:
            made = HttpResponse(reply.body, status=reply.status)
        for name, value in reply.headers:
            # Of each name there is one.
            made.headers[name] = f"{made.headers[name]},{value}" if name in made.headers else value
        return made

    def error(self, status: int) -> Exception:
        return {404: Http404, 400: SuspiciousOperation}[status]()

    def let_in(self, who: Callable[[Any], object], attribute: str = "user") -> None:
        self.who = attribute, who
        self.settings["MIDDLEWARE"] = [*self.settings["MIDDLEWARE"], "tests.web.django_site.let_in"]

    def ask(self, ask: Ask) -> Answer:
        self.enter()
        return answer_of_wsgi(self._handler, ask)

    def texts_by_asgi(self, *targets: str) -> list[str]:
        """Return what a client gets where requests come by ASGI, one after the other in one event loop."""
        self.enter()

        async def asked() -> list[str]:
            client = AsyncClient()
            return [(await client.get(target)).content.decode() for target in targets]

        return asyncio.run(asked())

    @contextlib.contextmanager
    def other_request(self) -> Iterator[tuple[Any, ...]]:
        yield (RequestFactory().get("/elsewhere"),)
