"""Django: `@cached` on a view, and MemocacheBackend for CACHES. The command is in `management`.

A function that is given the HttpRequest is a view: its URL and headers are in the key, and it is itself no part of the
call's key. So `report.uncache(None, 7)` forgets the call, whatever the request was.

A response with a template is rendered as soon as the view has returned it, so that other calls that wait can have it.
If MIDDLEWARE has a process_template_response, which changes the template before that, the response is not stored.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from types import ModuleType
from typing import Any, Final

try:
    import django  # noqa: F401
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError("memocache.web.django needs Django: pip install 'Django>=5.2'") from missing
from asgiref.sync import ThreadSensitiveContext, sync_to_async
from django.conf import settings
from django.contrib.messages import get_messages
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache
from django.core.handlers.wsgi import WSGIRequest
from django.core.signals import setting_changed
from django.db import connections
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse
from django.urls import get_script_prefix, get_urlconf, set_script_prefix, set_urlconf
from django.utils import timezone, translation
from django.utils.functional import LazyObject, empty
from django.utils.module_loading import import_string
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.views import View

from memocache import Cache, PickleSerializer, cache_from_url
from memocache._hooks import Engine, HookedFunction, adapters
from memocache.errors import ConfigurationError, with_article
from memocache.web._calls import ViewRequest
from memocache.web._discovery import ArgumentAdapter, RequestParameters
from memocache.web._responses import RESPONSE, Rendered, ResponseHeaders, storable_headers
from memocache.web._rules import RequestInfo, ResponseInfo, is_identified
from memocache.web._settings import check_settings, view_rules

__all__ = ["DjangoViewRequest", "MemocacheBackend", "response_headers"]

WITHOUT_PREFIX: Final = ("content-type", "content-length")
USERS: Final = ("user", "auth")
"""Attributes of a request that Django, REST framework, Ninja and applications keep the user in."""
MARKS_OF_RESPONSES: Final = ("xframe_options_", "_csp_")
"""The beginnings of attributes of a response by which decorators tell Django's middleware, or django-csp's, of it."""
LOGIN: Final = "django.contrib.auth.middleware"


class DjangoViewRequest(ViewRequest):
    """A request that a function was given."""

    def __init__(self, function: HookedFunction, parameters: RequestParameters, request: Any) -> None:
        meta = request.META
        info = RequestInfo(
            request.method or "",
            request.scheme or "",
            request.get_host() if request.method else "",
            meta.get("SCRIPT_NAME", ""),
            request.path,
            _query(request),
            partial(_lines, meta),
            [*map(_header_name, meta)],
            _http_version(request),
            identified=is_identified(meta),
        )
        super().__init__(info, view_rules(function, *_settings()))
        self._function = function
        self._parameters = parameters
        self._request = request
        self.is_debug = settings.DEBUG
        self._language = get_language() if settings.USE_I18N else None
        self._headers_of_hit: ResponseHeaders | None = None
        self._headers_of_new: ResponseHeaders | None = None
        # In WSGI an async view gets an event loop of its own.
        self.loop_stays = not isinstance(request, WSGIRequest)

    def location(self, engine: Engine) -> tuple[object, ...]:
        """Return the request's own URL configuration, the language, and the time zone."""
        zone = timezone.get_current_timezone_name() if settings.USE_TZ else None
        return (_urlconf(self._request), self._language, zone)

    def complete(self, value: Any) -> Any:
        """Return *value*; rendered, if it has a template and no middleware changes that first."""
        return value.render() if self._must_render(value) else value

    async def complete_in_task(self, value: Any) -> Any:
        """Do the same in the thread where Django renders."""
        if not self._must_render(value):
            return value
        return await sync_to_async(value.render, thread_sensitive=True)()

    def _must_render(self, value: Any) -> bool:
        if not isinstance(value, SimpleTemplateResponse) or value.is_rendered:
            return False
        if not _changes_templates(tuple(settings.MIDDLEWARE)):
            return True
        self._function.warn(
            "a response with a template was not stored, since something in MIDDLEWARE has process_template_response, "
            "which changes it after the view"
        )
        return False

    def render(self, value: Any) -> Rendered | None:
        """Return the response that *value* is."""
        if not isinstance(value, HttpResponseBase):
            if value is not None:  # Django raises an error for None
                self._function.warn(
                    f"it was given a request, and so taken for a view; it returned {with_article(type(value))}, which "
                    "is no response and was not stored; give it what it needs of the request, or view=False"
                )
            return None
        if self._is_marked(value):
            return None
        headers = response_headers(value)
        is_whole = isinstance(value, HttpResponse) and getattr(value, "is_rendered", True)
        if not is_whole:
            return Rendered(ResponseInfo(value.status_code, headers, streamed=True), RESPONSE, None)
        kept = (value.status_code, storable_headers(headers), value.content)
        return Rendered(ResponseInfo(value.status_code, headers), RESPONSE, kept)

    def _is_marked(self, response: HttpResponseBase) -> bool:
        """Return True if something is to be done to *response* that would not be done to a stored one; warn of it."""
        if _is_closed_with_more(response):
            return True
        mark = next((name for name in vars(response) if name.startswith(MARKS_OF_RESPONSES)), None)
        if mark is not None:
            self._function.warn(
                f"a response was not stored, since a decorator has set {mark} on it for a middleware, and on a stored "
                "one it would be missing; put that decorator above @cached"
            )
        return mark is not None

    def has_body(self) -> bool:
        """Return True if there is a body; in ASGI it has been read before the view is called."""
        try:
            return bool(self._request.body)
        except Exception:  # noqa: BLE001 - it is too large, or somebody has read it
            return True

    def users(self) -> Iterator[Any]:
        """Return what is on the request, whoever has set it."""
        for name in USERS:
            user = getattr(self._request, name, None)
            # Whom Django itself has yet to look up is known by a cookie, and those were looked at.
            if not _is_waiting(user) or getattr(vars(user).get("_setupfunc"), "__module__", None) != LOGIN:
                yield user

    def is_private(self) -> bool:
        """Return True if the session, the CSRF token or messages were used, or another language was chosen."""
        request, session = self._request, self.session
        if session is not None and (
            getattr(session, "modified", True)
            # If cookies are part of the key, so is what the view reads from the session; nobody's is empty for all.
            or (
                getattr(session, "accessed", True)
                and getattr(session, "session_key", "?") is not None
                and not self.rules.is_in_key("cookie")
            )
        ):
            return True
        if request.META.get("CSRF_COOKIE_NEEDS_UPDATE"):
            return True
        messages: Any = get_messages(request)
        if getattr(messages, "used", False) or getattr(messages, "added_new", False):
            return True
        return _urlconf(request) is NO_NAME or (settings.USE_I18N and get_language() != self._language)

    @property
    def session(self) -> Any:
        """The session, if there is one."""
        return getattr(self._request, "session", None)

    def kept(self, names: Iterable[str]) -> Iterable[str]:
        """Return what Django 6, django-csp or the application has on the request, if something has asked for it."""
        found = (getattr(self._request, name, None) for name in names)
        return [text for each in found if each is not None and not _is_waiting(each) and (text := str(each))]

    def rebuild(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> HttpResponse:
        """Return a plain response."""
        response = HttpResponse(body, status=status)
        del response.headers["Content-Type"]
        for name, value in headers:
            response.headers[name] = value
        return self._finished(response, self._headers_of_hit)

    def deliver(self, value: Any) -> Any:
        """Return the view's own response."""
        return self._finished(value, self._headers_of_new)

    def with_status(self, value: Any, status: str) -> Any:
        """Return *value* with the status, if it is the response to the request."""
        if isinstance(value, HttpResponseBase) and self._is_response():
            value.headers["Cache-Status"] = status
        return value

    def set_headers(self, headers: ResponseHeaders) -> None:
        """Set *headers* as soon as there is the response, if this is the view of the request."""
        # Two, since an old response may be served while a new one is made.
        if not self._is_response():
            return
        if headers.hit:
            self._headers_of_hit = headers
        else:
            self._headers_of_new = headers

    def _is_response(self) -> bool:
        match = getattr(self._request, "resolver_match", None)
        return self._parameters.is_response_of(self._function, None if match is None else match.func)

    def _finished(self, response: Any, headers: ResponseHeaders | None) -> Any:
        if headers is None:
            return response
        for name, value in headers.to_set(response_headers(response), response.content).items():
            response.headers[name] = value
        if headers.is_unmodified(response.status_code, response_headers(response)):
            response.status_code = 304
            response.content = b""
            for name in WITHOUT_PREFIX:
                response.headers.pop(name, None)
        return response


def _is_closed_with_more(response: HttpResponseBase) -> bool:
    """Return True if something is done when *response* is closed, once it has been sent."""
    is_whole = isinstance(response, HttpResponse)
    return is_whole and (type(response).close is not HttpResponseBase.close or bool(response._resource_closers))


def _is_waiting(value: object) -> bool:
    """Return True if *value* is a lazy object that nobody has asked for its value."""
    return isinstance(value, LazyObject) and object.__getattribute__(value, "_wrapped") is empty


@lru_cache
def _settings() -> tuple[tuple[str, ...], tuple[int, ...], tuple[str, ...]]:
    """Return the names of cookies, the statuses and the headers that the settings have for all views."""
    return check_settings(partial(getattr, settings), "MEMOCACHE_{}".format)


def _setting_changed(**_: object) -> None:
    """Read the settings again after a test has overridden one."""
    _settings.cache_clear()


setting_changed.connect(_setting_changed)

NO_NAME: Final = "?"


def _urlconf(request: HttpRequest) -> str | None:
    """Return the name of the URL configuration that *request* was given, if any; NO_NAME if it has no name."""
    urlconf = getattr(request, "urlconf", None)
    if isinstance(urlconf, ModuleType):
        return urlconf.__name__
    return urlconf if urlconf is None or isinstance(urlconf, str) else NO_NAME


def _http_version(request: HttpRequest) -> str:
    # In WSGI a body without a length is no body to Django.
    return str(getattr(request, "scope", {}).get("http_version", "1.1"))


def _query(request: HttpRequest) -> bytes:
    query: str = request.META.get("QUERY_STRING", "")
    return query.encode("latin-1" if isinstance(request, WSGIRequest) else "utf-8", "surrogateescape")


def _lines(meta: Mapping[str, Any], name: str) -> list[str]:
    key = name.upper().replace("-", "_")
    value = meta.get(key if name in WITHOUT_PREFIX else f"HTTP_{key}")  # one line of each name
    return [] if value is None else [str(value)]


@lru_cache
def _header_name(key: str) -> str:
    """Return the name of the header that has this *key* in META; for another key, what is no header's name."""
    return key[5:].replace("_", "-").lower() if key.startswith("HTTP_") else ""


def response_headers(response: HttpResponseBase) -> list[tuple[str, str]]:
    """Return the headers of *response*, with its cookies."""
    cookies = [("Set-Cookie", cookie.OutputString()) for cookie in response.cookies.values()]
    return [*response.headers.items(), *cookies]


@lru_cache
def _changes_templates(middleware: tuple[str, ...]) -> bool:
    """Return True if some *middleware* has process_template_response; Django's own has none."""
    return any(hasattr(import_string(path), "process_template_response") for path in middleware)


# ---- MemocacheBackend --------------------------------------------------------------------------------------------

MAX_ENTRIES: Final = "MAX_ENTRIES"
CULL_FREQUENCY: Final = "CULL_FREQUENCY"

# `get` of a cache returns None for nothing; so None is stored as a text, and a text that begins like that gets a mark.
MARK: Final = "memocache:"
NONE: Final = f"{MARK}None"
TEXT: Final = f"{MARK}="
SAFE: Final = f"{MARK}safe="  # before markup, which is more than a text: what {% cache %} stores


class MemocacheBackend(BaseCache):  # type: ignore[misc]  # Django ships no types
    """A cache of memocache for Django's cache framework, its sessions and its decorators.

    LOCATION is a URL, as `cache_from_url` takes it. TIMEOUT, KEY_PREFIX, VERSION and KEY_FUNCTION are as for Django's
    own backends; OPTIONS are further arguments of the cache, such as `serializer`. All threads of the process share
    the cache of one LOCATION and OPTIONS. What cannot be done raises what the cache raises.

    Bytes from a cache are never executed: values are plain data, as SafeSerializer takes them, unless OPTIONS has a
    PickleSerializer. Django's `cache_page`, which stores whole responses, needs that. In process any value that pickle
    takes can be stored; as from Django's own backends, whoever gets it has a copy of their own.

    `touch` reads the value and sets it again: a value that is set between the two is lost.

    >>> CACHES = {
    ...     "default": {
    ...         "BACKEND": "memocache.web.django.MemocacheBackend",
    ...         "LOCATION": "memcached://10.0.0.1:11211,10.0.0.2:11211",
    ...         "TIMEOUT": 60,
    ...         "KEY_PREFIX": "shop",
    ...     }
    ... }

    Raises:
        ConfigurationError: for a LOCATION or OPTIONS that cannot work.
    """

    def __init__(self, location: object, params: dict[str, Any]) -> None:
        super().__init__(params)
        if not isinstance(location, str) or "://" not in location:
            raise ConfigurationError(
                f"CACHES has a MemocacheBackend whose LOCATION is {with_article(type(location))} and no URL; "
                "wanted: one such as 'memcached://127.0.0.1:11211' or 'memory://', see cache_from_url"
            )
        self.cache = _cache_of(location, _cache_arguments(location, params.get("OPTIONS") or {}))
        """The cache below."""

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        """Store *value* unless *key* has one; return whether it had none."""
        wire, seconds = self.make_and_validate_key(key, version), self._seconds(timeout)
        return not self.cache.has(wire) if seconds < 0 else self.cache.add(wire, self._packed(value), seconds)

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        """Return the value under *key*, or *default* if there is none."""
        found = self.cache.get(self.make_and_validate_key(key, version))
        return default if found is None else self._unpacked(found)

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> None:
        """Store *value* for *timeout* seconds; None for ever, 0 not at all."""
        self.cache.set(self.make_and_validate_key(key, version), self._packed(value), self._seconds(timeout))

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        """Have the value under *key* expire in *timeout* seconds from now; return whether there is one."""
        wire, seconds = self.make_and_validate_key(key, version), self._seconds(timeout)
        if seconds < 0:
            return self.cache.delete(wire)
        found = self.cache.get(wire)
        return found is not None and self.cache.set(wire, found, seconds)

    def delete(self, key: Any, version: Any = None) -> bool:
        """Delete what is under *key*; return whether there was something."""
        return self.cache.delete(self.make_and_validate_key(key, version))

    def has_key(self, key: Any, version: Any = None) -> bool:
        """Return whether *key* has a value, be it None."""
        return self.cache.has(self.make_and_validate_key(key, version))

    def incr(self, key: Any, delta: int = 1, version: Any = None) -> int:
        """Add *delta* to the number under *key* atomically, and return the sum; ValueError if there is none."""
        wire = self.make_and_validate_key(key, version)
        if not self.cache.has(wire):
            raise ValueError(f"Key {key!r} not found")
        return self.cache.inc(wire, delta)

    def get_many(self, keys: Iterable[Any], version: Any = None) -> dict[Any, Any]:
        """Return the values by key, of the keys that have one; in one round trip."""
        wires = {key: self.make_and_validate_key(key, version) for key in keys}
        found = self.cache.get_dict(*wires.values())
        return {key: self._unpacked(found[wire]) for key, wire in wires.items() if found[wire] is not None}

    def set_many(self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> list[Any]:
        """Store all of *data*; return the keys that could not be stored."""
        wires = {self.make_and_validate_key(key, version): key for key in data}
        seconds = self._seconds(timeout)
        stored = set(self.cache.set_many({wire: self._packed(data[key]) for wire, key in wires.items()}, seconds))
        return [] if seconds < 0 else [key for wire, key in wires.items() if wire not in stored]

    def delete_many(self, keys: Iterable[Any], version: Any = None) -> None:
        """Delete what is under *keys*."""
        self.cache.delete_many(*[self.make_and_validate_key(key, version) for key in keys])

    def clear(self) -> None:
        """Delete everything in the cache, whoever put it there."""
        self.cache.clear()

    def _seconds(self, timeout: Any) -> float:
        """Return *timeout* as our caches take it: 0 is for ever, below 0 not at all."""
        if timeout is DEFAULT_TIMEOUT:
            timeout = self.default_timeout
        if timeout is None:
            return 0
        return timeout if timeout > 0 else -1

    def _packed(self, value: Any) -> Any:
        packed = _pack(value)
        return _copy_of(packed) if self.cache.has_near else packed

    def _unpacked(self, found: Any) -> Any:
        return _unpack(_copy_of(found) if self.cache.has_near else found)

    # Django's own methods would take the keys one by one, or count up in two steps.

    async def aincr(self, key: Any, delta: int = 1, version: Any = None) -> int:
        """Do what `incr` does."""
        return await sync_to_async(self.incr)(key, delta, version)

    async def ahas_key(self, key: Any, version: Any = None) -> bool:
        """Do what `has_key` does."""
        return await sync_to_async(self.has_key)(key, version)

    async def aget_many(self, keys: Iterable[Any], version: Any = None) -> dict[Any, Any]:
        """Do what `get_many` does."""
        return await sync_to_async(self.get_many)(keys, version)

    async def aset_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: Any = None
    ) -> list[Any]:
        """Do what `set_many` does."""
        return await sync_to_async(self.set_many)(data, timeout, version)

    async def adelete_many(self, keys: Iterable[Any], version: Any = None) -> None:
        """Do what `delete_many` does."""
        await sync_to_async(self.delete_many)(keys, version)


# By pickle, as Django's own cache in process does it, and not by deepcopy: that would ask a QuerySet's database again.
# Signed like all that is unpickled here.
_COPIER: Final = PickleSerializer(secrets.token_bytes(32))
UNCHANGING: Final = frozenset((str, bytes, int, float, bool))


def _copy_of(value: Any) -> Any:
    """Return a copy of what is in process, where else a middleware would give all visitors the cookie of one."""
    return value if type(value) in UNCHANGING else _COPIER.loads(_COPIER.dumps(value, b""), b"")


def _pack(value: Any) -> Any:
    if value is None:
        return NONE
    if type(value) is SafeString:
        return SAFE + value
    return TEXT + value if isinstance(value, str) and value.startswith(MARK) else value


def _unpack(found: Any) -> Any:
    if not isinstance(found, str) or not found.startswith(MARK):
        return found
    if found.startswith(SAFE):
        return SafeString(found.removeprefix(SAFE))
    return None if found == NONE else found.removeprefix(TEXT)


def _cache_arguments(location: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a cache from OPTIONS; of Django's own options those that have a meaning there."""
    arguments = {name: value for name, value in options.items() if name not in (MAX_ENTRIES, CULL_FREQUENCY)}
    if MAX_ENTRIES in options and location.startswith("memory:"):
        arguments.setdefault("threshold", options[MAX_ENTRIES])
    return arguments


# Django makes a backend for each thread and task: they share the caches here.
_caches: Final[list[tuple[str, dict[str, Any], Cache]]] = []


def _cache_of(location: str, arguments: dict[str, Any]) -> Cache:
    """Return the one cache of this process for a *location* and *arguments*."""
    cache = _known_cache(location, arguments)
    if cache is None:
        # Without a lock, which a child process might inherit held: of caches made at once, the first one is used.
        _caches.append((location, arguments, cache_from_url(location, **arguments)))
        cache = _known_cache(location, arguments)
        assert cache is not None
    return cache


def _known_cache(location: str, arguments: dict[str, Any]) -> Cache | None:
    return next((cache for known, used, cache in _caches if known == location and used == arguments), None)


def _bind_context(compute: Callable[[], Any], in_task: bool) -> Callable[[], Any]:
    """Return what computes with what Django keeps of a request, and closes the connections that it has opened."""
    if not settings.configured:
        return compute
    if in_task:
        return partial(_compute_in_task, compute)
    language, zone = get_language(), timezone.get_current_timezone()
    urlconf, prefix = get_urlconf(), get_script_prefix()

    def compute_in_context() -> Any:
        set_urlconf(urlconf)
        set_script_prefix(prefix)
        try:
            with translation.override(language), timezone.override(zone):
                return compute()
        finally:
            connections.close_all()  # the database connections of this thread

    return compute_in_context


async def _compute_in_task(compute: Callable[[], Any]) -> Any:
    if not settings.DATABASES:
        return await compute()
    # In a thread of its own: that of the request may be gone, or in the middle of a transaction.
    async with ThreadSensitiveContext():
        try:
            return await compute()
        finally:
            await sync_to_async(connections.close_all)()


adapters.register(
    ArgumentAdapter(HttpRequest, DjangoViewRequest, (HttpResponseBase,), (View,), bind_context=_bind_context)
)
