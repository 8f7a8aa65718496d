"""A call of a view in a request: under which keys its response is read and stored, by the rules of HTTP.

The response lies under a key made of the call and the request. If responses of a URL have a Vary, the headers in it are
known only when there is a response: then a marker with their names lies under the key of the URL, and the response
under a key that has their values in it. Each process remembers the names, so that the next hit is one round trip.
"""

import logging
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from memocache._clock import now
from memocache._hooks import Decision, Engine, HookedFunction
from memocache.web._responses import DATA, RESPONSE, Rendered, ResponseHeaders, StoredResponse
from memocache.web._rules import (
    MOST_VARY,
    NONCES,
    TOKENS,
    RequestInfo,
    RequestMode,
    Storability,
    ViewRules,
    is_user,
    is_user_in_key,
    judge,
    request_key,
    request_mode,
    shows_nonce,
    shows_token,
    why_forbidden,
)

MOST_URLS: Final = 10_000
VARY_LIFETIME: Final = 86_400.0  # seconds, at least: a marker outlives the responses that it leads to
FIRST_ERROR: Final = 400
USER: Final = "the application knows the user, and nothing in the key does"
PRIVATE: Final = "something of it is for one client, such as a session or a token"
BODY: Final = "it has a body"
HEAD: Final = "it is HEAD, which stores nothing"
NOT_TAKEN: Final = "it was computed for this request alone, or the cache did not take it; see info() of the view"
MOST_REASONS: Final = 100
LOGGER: Final = logging.getLogger("memocache")
UNSTORABLE_FOR: Final = 60.0  # seconds in which no call waits for another's response, since it would not be stored


class ViewRequest(ABC):
    """A request that calls a view, with what only the adapter of its framework knows.

    Args:
        info: the request.
        rules: what the user has said about the view.
    """

    loop_stays: bool = True
    """For coroutine functions: True if the event loop goes on after the request."""
    is_debug: bool = False
    """True if the application is being debugged: then each response says what the cache did."""

    def __init__(self, info: RequestInfo, rules: ViewRules) -> None:
        self.info = info
        self.rules = rules

    @abstractmethod
    def location(self, engine: Engine) -> tuple[object, ...]:
        """Return the part of the key that says where the view is called, such as the application and the endpoint.

        For a shared cache, these must be names that other processes know, too.
        """

    def complete(self, value: Any) -> Any:
        """Return *value*, the view's result, after what the framework does with it first."""
        return value

    async def complete_in_task(self, value: Any) -> Any:
        """Do the same for a coroutine function, without blocking the event loop."""
        return self.complete(value)

    @abstractmethod
    def render(self, value: Any) -> Rendered | None:
        """Return the response that the framework makes of *value*, the view's result; None if it is not known yet."""

    def has_body(self) -> bool:
        """Return True if the request has a body, though its headers say nothing of one, as they may in HTTP/2."""
        return False

    async def has_body_in_task(self) -> bool:
        """Do the same for a coroutine function; this may wait for the body."""
        return self.has_body()

    def has_user(self) -> bool:
        """Return True if the application knows who is there, wherever it keeps that."""
        try:
            return any(map(is_user, self.users()))
        except Exception:  # noqa: BLE001 - of the application's own, which the view may see
            return True

    @abstractmethod
    def users(self) -> Iterable[Any]:
        """Return what the application keeps as the user of the request, in each place where it may do so."""

    @abstractmethod
    def is_private(self) -> bool:
        """Return True if something for this client only is not in the response yet but will be, such as its session."""

    def headers_of(self, error: Exception) -> Iterable[tuple[str, str]]:
        """Return the headers that the response to *error* will have from it."""
        return ()

    @property
    @abstractmethod
    def session(self) -> Any:
        """The session of the request, or None; asked for here, it does not count as read."""

    def has_own_session(self) -> bool:
        """Return True if something of the session was in use that is not known by what is part of the key.

        Where no cookie came, it was put there in this request.
        """
        session = self.session
        is_in_key = self.rules.is_in_key("cookie") and bool(self.info.values("cookie"))
        is_filled = isinstance(session, Mapping) and bool(session)  # whose class may say what does not count
        return is_filled and not is_in_key and bool(getattr(session, "accessed", True))

    def kept(self, names: Iterable[str]) -> Iterable[str]:
        """Return the texts, none of them empty, that the application keeps under these *names* for this request."""
        return ()

    def can_serve(self, stored: StoredResponse) -> bool:
        """Return True if a view can have returned what is *stored*."""
        return stored.kind == RESPONSE and stored.payload[0] in self.rules.statuses

    @abstractmethod
    def rebuild(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> Any:
        """Return a new response from a stored one."""

    def rebuild_data(self, payload: Any) -> Any:
        """Return what a view returns for the plain data in *payload*."""
        return payload

    def deliver(self, value: Any) -> Any:
        """Return what the caller gets for *value*, which was computed for this call."""
        return value

    @abstractmethod
    def with_status(self, value: Any, status: str) -> Any:
        """Return *value*, the view's result, with the header Cache-Status added to the response."""

    @abstractmethod
    def set_headers(self, headers: ResponseHeaders) -> None:
        """Set *headers* on the response to this request, if that is the response of this view."""


class UrlMemory:
    """The knowledge of this process about the URLs of a view, on one cache."""

    __slots__ = ("learned", "unstorable")

    def __init__(self) -> None:
        self.learned: dict[str, tuple[str, ...]] = {}
        """Key of a URL -> the request headers that its responses depend on."""
        self.unstorable: dict[str, float] = {}
        """Key of a variant of a URL -> until when its responses are taken as ones that cannot be stored."""

    def learn(self, key: str, names: tuple[str, ...]) -> None:
        if len(self.learned) >= MOST_URLS:
            self.learned.clear()
        self.learned[key] = names

    def is_unstorable(self, key: str) -> bool:
        until = self.unstorable.get(key)
        return until is not None and now() < until

    def set_unstorable(self, key: str, *, unstorable: bool) -> None:
        if not unstorable:
            self.unstorable.pop(key, None)
            return
        if len(self.unstorable) >= MOST_URLS:
            self.unstorable.clear()
        self.unstorable[key] = now() + UNSTORABLE_FOR


def cache_status(what: str, why: str = "") -> str:
    """Return a value of Cache-Status, RFC 9211."""
    detail = re.sub(r"[^ !#-\[\]-~]", "?", why)
    return f'memocache; {what}; detail="{detail}"' if why else f"memocache; {what}"


class ServerError(Exception):
    """The response of a view is an error of the server."""


class ViewCall:
    """A call of a view in a request."""

    def __init__(self, function: HookedFunction, request: ViewRequest) -> None:
        self._function = function
        self._request = request
        self._names: tuple[str, ...] = ()  # headers in the key, learned from Vary
        self._keys: dict[tuple[str, ...], str] = {}  # by the names of headers
        self._found: StoredResponse | None = None  # the latest that was read
        self._variant: StoredResponse | None = None  # the response, where a marker was stored first
        self._marker: StoredResponse | None = None  # that marker
        self._why = ""  # it is not cached
        self._is_lasting = True  # False if the next response may be stored, though this one was refused

    def begin(self, engine: Engine) -> Any:
        """Begin the call; return what `engine.run` returns."""
        request = self._request
        mode, self._why = request_mode(request.info, request.rules)
        if mode is not RequestMode.BYPASS and self._is_for_user():
            mode, self._why = RequestMode.BYPASS, USER
        if mode is RequestMode.BYPASS and request.info.is_safe:
            return self._bypass(engine)
        if mode is RequestMode.BYPASS or not request.info.may_have_body:
            return self._run(engine, mode)
        if self._function.is_async:
            return self._run_without_body(engine, mode)
        return self._bypass(engine, BODY) if request.has_body() else self._run(engine, mode)

    async def _run_without_body(self, engine: Engine, mode: RequestMode) -> Any:
        has_body = await self._request.has_body_in_task()
        return await (self._bypass(engine, BODY) if has_body else self._run(engine, mode))

    def _bypass(self, engine: Engine, why: str = "") -> Any:
        self._why = why or self._why
        self._tell("a request was passed by")
        if not self._request.is_debug:
            return engine.bypass()
        return engine.bypass(lambda value: self._request.with_status(value, cache_status("fwd=bypass", self._why)))

    def _tell(self, what: str) -> None:
        """Log once for each reason that a page is not cached, and why."""
        if self._why and LOGGER.isEnabledFor(logging.INFO):
            told: set[str] = self._function.notes.setdefault(ViewCall, set())
            if self._why not in told and len(told) < MOST_REASONS:
                told.add(self._why)
                LOGGER.info("%s: %s: %s (said once for each reason)", self._function.title, what, self._why)

    def _run(self, engine: Engine, mode: RequestMode) -> Any:
        request = self._request
        engine.open()
        self._engine = engine
        if mode is RequestMode.BYPASS:  # it may change something
            return engine.run(partial(engine.change, self._is_error))
        memory: UrlMemory | None = engine.notes.get(UrlMemory)
        if memory is None:
            memory = engine.notes[UrlMemory] = UrlMemory()
        self._memory = memory
        self._location = request.location(engine)
        self._url = self._key()
        self._names = memory.learned.get(self._url, ())
        self._is_refresh = mode is RequestMode.REFRESH
        serve = self._read if mode is RequestMode.READ else self._serve
        if not self._function.is_async:
            return engine.run(serve, self._decide, self._deliver, self._is_own)
        return engine.run(serve, self._decide_in_task, self._deliver, self._is_own, detaches=request.loop_stays)

    def _is_for_user(self) -> bool:
        """Return True for a user whom the application knows, and who is not known by what is part of the key."""
        request = self._request
        return not is_user_in_key(request.info, request.rules) and request.has_user()

    def _is_error(self, value: Any) -> bool:
        rendered = self._request.render(value)
        return rendered is not None and rendered.response.status >= FIRST_ERROR

    def _key(self) -> str:
        key = self._keys.get(self._names)
        if key is None:
            request = request_key(self._request.info, self._request.rules, self._names)
            key = self._keys[self._names] = self._engine.key(self._location, request)
        return key

    # ---- what may wait -------------------------------------------------------------------------------------------

    async def _serve(self) -> Decision | StoredResponse | None:
        """Return the StoredResponse that was found, or the Decision on what was computed for this call."""
        key, waits = self._way()
        decision, packed = await self._engine.read_through(
            key, refresh=self._is_refresh, waits=waits, follow=self._follow
        )
        if packed is not None:
            return self._found
        if decision is None:
            return None
        if self._variant is not None:
            decision.is_stored = await self._store_variant(self._variant)
        if self._is_lasting and not self._is_refresh:
            self._memory.set_unstorable(self._key(), unstorable=decision.lifetime <= 0)
        return decision

    def _way(self) -> tuple[str, bool]:
        """Return the key to look under, by what is known of the URL, and whether to wait there."""
        key = self._key()
        return key, not self._memory.is_unstorable(key)

    def _follow(self, packed: object) -> tuple[str, bool] | None:
        """Return the way to go on from what is *packed*, if it is no response of this view."""
        stored = self._found = self._open(packed)
        if stored is None:
            self._function.warn("a stored response could not be read, so it is computed again")
        return None if stored is not None and not stored.is_vary_marker else self._way()

    async def _read(self) -> Decision | StoredResponse | None:
        """Do the same, and store nothing: for HEAD."""
        for _ in range(MOST_VARY):
            entry = await self._engine.peek(self._key())
            stored = None if entry is None else self._open(entry.value)
            if stored is None:
                break
            if not stored.is_vary_marker:
                self._engine.count(entry)
                return stored
        return await self._engine.compute()

    def _open(self, packed: object) -> StoredResponse | None:
        """Return what is *packed*; None if it can be none of ours. If it is a marker, learn the headers in it."""
        stored = StoredResponse.unpack(packed)
        if stored is None:
            return None
        if not stored.is_vary_marker:
            return stored if self._request.can_serve(stored) else None
        names = {*self._names, *stored.vary}
        if len(names) > MOST_VARY or len(names) == len(self._names):
            return None  # it leads nowhere
        self._learn(stored.vary)
        return stored

    def _learn(self, names: tuple[str, ...]) -> None:
        self._names = tuple(sorted({*self._names, *names}))
        self._memory.learn(self._url, self._names)

    async def _store_variant(self, stored: StoredResponse) -> bool:
        """Store the response under its own key, which was not known before, when a marker was stored."""
        key, marker = self._key(), self._marker
        self._learn(stored.vary)
        proof = key, lambda packed: StoredResponse.unpack(packed) == marker
        return await self._engine.store(self._key(), stored.pack(), stored.lifetime, stored.stale, proof)

    # ---- the response --------------------------------------------------------------------------------------------

    def _decide(self, value: Any, began: float) -> Decision:
        """Return what to do with *value*, the view's result; called in the request."""
        return self._judge(self._request.complete(value), began)

    async def _decide_in_task(self, value: Any, began: float) -> Decision:
        return self._judge(await self._request.complete_in_task(value), began)

    def _judge(self, value: Any, began: float) -> Decision:
        engine, request = self._engine, self._request
        rendered = request.render(value)
        lifetime = engine.lifetime(value)
        if rendered is None:
            return self._decline(value, "it is no whole response: a stream, or something is to be done with it later")
        if lifetime <= 0:
            return self._decline(value, "timeout= or unless= says so")
        if request.is_private():
            return self._decline(value, PRIVATE)
        if self._is_for_user():
            return self._decline(value, USER)
        if why := self._why_own(rendered):
            return self._decline(value, why)
        storability = judge(rendered.response, request.rules, lifetime, engine.stale, now())
        self._is_lasting = storability.is_lasting
        # Frameworks add this Vary where a session was read, and so to no hit.
        is_read = getattr(request.session, "accessed", False) and not request.rules.is_in_key("cookie")
        names = tuple(sorted({*self._names, *storability.vary, *(("cookie",) if is_read else ())}))
        if storability.lifetime <= 0 or len(names) > MOST_VARY:
            if not storability.is_error and len(names) <= MOST_VARY:
                self._learn(storability.vary)  # or other variants were taken for ones that cannot be stored
            why = storability.why or f"its Vary names more than {MOST_VARY} headers"
            return self._decline(value, why, is_error=storability.is_error)
        payload = engine.copy(rendered.payload) if rendered.kind == DATA else rendered.payload
        stored = StoredResponse(rendered.kind, payload, began, storability.lifetime, storability.stale, names)
        self._set_headers(stored, hit=False)
        return self._keep(value, stored, storability)

    def _why_own(self, rendered: Rendered) -> str:
        """Return what in the body is for this request only, or for this client; empty if nothing is."""
        request = self._request
        if rendered.contains(shows_nonce, request.kept(NONCES)):
            return "it has a nonce"
        is_in_key = "cookie" in request.rules.vary and request.info.values("cookie")
        if not is_in_key and rendered.contains(shows_token, request.kept(TOKENS)):
            return "it has a token against forged forms, and vary= does not name Cookie"
        return ""

    def _decline(self, value: Any, why: str, *, is_error: bool = False) -> Decision:
        self._why = why
        self._tell("a response was not stored")
        return self._engine.decline(value, ServerError(why) if is_error else None)

    def _is_own(self, error: Exception) -> bool:
        """Return True if what the view raised is for this client only."""
        request = self._request
        why = PRIVATE if request.is_private() else USER if self._is_for_user() else ""
        self._why = why or why_forbidden(request.headers_of(error))
        self._is_lasting = False
        self._tell("an exception was not remembered")
        return bool(self._why)

    def _keep(self, value: Any, stored: StoredResponse, storability: Storability) -> Decision:
        if set(storability.vary) <= set(self._names):
            return self._engine.keep(value, stored.pack(), stored.lifetime, stored.stale)
        self._variant = stored
        marker = StoredResponse.vary_marker(stored.vary, stored.created)._replace(payload=secrets.token_hex(8))
        self._marker = marker
        return self._engine.keep(value, marker.pack(), max(stored.lifetime, VARY_LIFETIME))

    def _deliver(self, result: Decision | StoredResponse) -> Any:
        """Return what the caller of the view gets."""
        request = self._request
        if not isinstance(result, StoredResponse):
            value = request.deliver(result.value)
            if result.lifetime <= 0:
                status = cache_status("fwd=miss", self._why)
            elif result.is_stored:
                status = cache_status("fwd=uri-miss; stored")
            else:
                status = cache_status("fwd=uri-miss", HEAD if request.info.method == "HEAD" else NOT_TAKEN)
        else:
            self._set_headers(result, hit=True)
            if result.kind == DATA:
                value = request.rebuild_data(self._engine.copy(result.payload))
            else:
                value = request.rebuild(*result.payload)
            status = cache_status(f"hit; ttl={int(result.created + result.lifetime - now())}")
        return request.with_status(value, status) if request.is_debug else value

    def _set_headers(self, stored: StoredResponse, *, hit: bool) -> None:
        request = self._request
        request.set_headers(ResponseHeaders(request.info, request.rules, stored, now(), hit))
