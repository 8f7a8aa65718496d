"""Django: `@cached` on a view, and MemocacheBackend for CACHES. What of Django views need is imported here only.

A function that is given the HttpRequest is a view: the request says what of it counts, and is itself no part of the
call's key. `report.uncache(None, 7)` so forgets the call, whatever the request.

A response with a template is rendered as soon as the view has returned it, so that whoever waits can have it. Where
MIDDLEWARE has something with process_template_response, which changes it before that, it is not stored.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from types import ModuleType
from typing import Any, Final

try:
    import django  # noqa: F401
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError("memocache.web.django needs Django: pip install 'Django>=5.2'") from missing
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.messages import get_messages
from django.core.handlers.wsgi import WSGIRequest
from django.core.signals import setting_changed
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.urls import get_script_prefix, get_urlconf, set_script_prefix, set_urlconf
from django.utils import timezone, translation
from django.utils.module_loading import import_string
from django.utils.translation import get_language
from django.views import View

from memocache._memoizer import Memoizer
from memocache._views import announce
from memocache.web._arguments import Arguments, Endpoints
from memocache.web._django_cache import MemocacheBackend
from memocache.web._exchange import Exchange, Finish, Shown
from memocache.web._rules import Answer, Asked
from memocache.web._settings import checked, terms_of
from memocache.web._stored import RESPONSE, kept_headers

__all__ = ["MemocacheBackend"]

PREFIX: Final = "MEMOCACHE_"
SETTINGS: Final = (f"{PREFIX}IGNORED_COOKIES", f"{PREFIX}STATUSES")
WITHOUT_PREFIX: Final = ("content-type", "content-length")


class DjangoExchange(Exchange):
    """A call of a function that was given a request."""

    def __init__(self, memo: Memoizer, known: Arguments, request: Any) -> None:
        meta = request.META
        asked = Asked(
            request.method or "",
            request.scheme or "",
            request.get_host() if request.method else "",
            meta.get("SCRIPT_NAME", ""),
            request.path,
            _query(request),
            partial(_lines, meta),
            identified=meta.get("REMOTE_USER") is not None,
        )
        super().__init__(asked, terms_of(memo, *_settings()))
        self._memo = memo
        self._known = known
        self._request = request
        self._language = get_language() if settings.USE_I18N else None
        self._for_hit: Finish | None = None
        self._for_own: Finish | None = None
        # That of WSGI has a loop of its own for an async view.
        self.loop_stays = not isinstance(request, WSGIRequest)

    def where(self, *, shared: bool) -> tuple[object, ...]:
        """Return the URL configuration of the request's own, the language, and the time zone."""
        zone = timezone.get_current_timezone_name() if settings.USE_TZ else None
        return (_urlconf(self._request), self._language, zone)

    def complete(self, value: Any) -> Any:
        """Return *value*; rendered, if it has a template and nothing of MIDDLEWARE is to change it before."""
        return value.render() if self._is_to_be_rendered(value) else value

    async def complete_in_task(self, value: Any) -> Any:
        """Do the same where Django renders."""
        if not self._is_to_be_rendered(value):
            return value
        return await sync_to_async(value.render, thread_sensitive=True)()

    def _is_to_be_rendered(self, value: Any) -> bool:
        if not isinstance(value, SimpleTemplateResponse) or value.is_rendered:
            return False
        if not _changes_templates(tuple(settings.MIDDLEWARE)):
            return True
        self._failed(
            "a response with a template was not stored, since something in MIDDLEWARE has process_template_response, "
            "which changes it after the view"
        )
        return False

    def _failed(self, what: str) -> None:
        self._memo.binding().failed(what)

    def shown(self, value: Any) -> Shown | None:
        """Return the response that *value* is."""
        if not isinstance(value, HttpResponseBase):
            if value is not None:  # which Django is going to complain of
                self._failed(
                    f"it was given a request, and so taken for a view; it returned a {type(value).__name__}, which is "
                    "no response and was not stored; give it what it needs of the request, or view=False"
                )
            return None
        headers = _headers(value)
        is_whole = isinstance(value, HttpResponse) and getattr(value, "is_rendered", True)
        if not is_whole:
            return Shown(Answer(value.status_code, headers, streamed=True), RESPONSE, None)
        kept = (value.status_code, kept_headers(headers), value.content)
        return Shown(Answer(value.status_code, headers), RESPONSE, kept)

    def is_private(self) -> bool:
        """Return whether the session, the CSRF token or messages were used, or another language has been chosen."""
        request = self._request
        session = getattr(request, "session", None)
        if session is not None and (
            getattr(session, "modified", True)
            # Where the cookies count, what is read of the session does with them.
            or (getattr(session, "accessed", True) and not self.terms.counts("cookie"))
        ):
            return True
        if request.META.get("CSRF_COOKIE_NEEDS_UPDATE"):
            return True
        messages: Any = get_messages(request)
        if getattr(messages, "used", False) or getattr(messages, "added_new", False):
            return True
        return _urlconf(request) is NO_NAME or (settings.USE_I18N and get_language() != self._language)

    def rebuilt(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> HttpResponse:
        """Return a plain response."""
        response = HttpResponse(body, status=status)
        del response.headers["Content-Type"]
        for name, value in headers:
            response.headers[name] = value
        return self._finished(response, self._for_hit)

    def given(self, value: Any) -> Any:
        """Return the view's own response."""
        return self._finished(value, self._for_own)

    def finish(self, finish: Finish) -> None:
        """Have *finish* done as soon as there is the response, if this is the view that the request is for."""
        # Two, since an old result may be served while a new one is made.
        if not self._is_answer():
            return
        if finish.hit:
            self._for_hit = finish
        else:
            self._for_own = finish

    def _is_answer(self) -> bool:
        match = getattr(self._request, "resolver_match", None)
        return self._known.is_answer(self._memo, None if match is None else match.func)

    def _finished(self, response: Any, finish: Finish | None) -> Any:
        if finish is None:
            return response
        for name, value in finish.headers(_headers(response), response.content).items():
            response.headers[name] = value
        if finish.is_unmodified(response.status_code, _headers(response)):
            response.status_code = 304
            response.content = b""
            for name in WITHOUT_PREFIX:
                response.headers.pop(name, None)
        return response

    def in_background(self, compute: Callable[[], Any]) -> Callable[[], Any]:
        """Return what calls *compute* with what Django knows of this request in this thread only."""
        language, zone = get_language(), timezone.get_current_timezone()
        urlconf, prefix = get_urlconf(), get_script_prefix()

        def computed() -> Any:
            set_urlconf(urlconf)
            set_script_prefix(prefix)
            try:
                with translation.override(language), timezone.override(zone):
                    return compute()
            finally:
                connections.close_all()  # those to databases, which are this thread's own

        return computed


@lru_cache
def _settings() -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Return what the settings say of all views."""
    return checked({name: getattr(settings, name) for name in SETTINGS if hasattr(settings, name)}, PREFIX)


def _setting_changed(**_: object) -> None:
    """Read the settings again: a test has overridden one."""
    _settings.cache_clear()


setting_changed.connect(_setting_changed)

NO_NAME: Final = "?"


def _urlconf(request: HttpRequest) -> str | None:
    """Return the name of the URL configuration that somebody has given *request*; NO_NAME if that has none."""
    given = getattr(request, "urlconf", None)
    if isinstance(given, ModuleType):
        return given.__name__
    return given if given is None or isinstance(given, str) else NO_NAME


def _query(request: HttpRequest) -> bytes:
    query: str = request.META.get("QUERY_STRING", "")
    return query.encode("latin-1" if isinstance(request, WSGIRequest) else "utf-8", "surrogateescape")


def _lines(meta: Mapping[str, Any], name: str) -> list[str]:
    key = name.upper().replace("-", "_")
    value = meta.get(key if name in WITHOUT_PREFIX else f"HTTP_{key}")  # there is one of each name
    return [] if value is None else [str(value)]


def _headers(response: HttpResponseBase) -> list[tuple[str, str]]:
    cookies = [("Set-Cookie", cookie.OutputString()) for cookie in response.cookies.values()]
    return [*response.headers.items(), *cookies]


@lru_cache
def _changes_templates(middleware: tuple[str, ...]) -> bool:
    """Return whether some *middleware* has process_template_response; Django's own has not."""
    return any(hasattr(import_string(path), "process_template_response") for path in middleware)


announce(Endpoints(HttpRequest, DjangoExchange, {}), (HttpResponseBase,), (View,), (HttpRequest,))
