"""A call of a view in a request: under which keys its response is read and stored, by the rules of HTTP.

The response lies under a key made of the call and the request. If responses of a URL have a Vary, the headers in it are
known only when there is a response: then a marker with their names lies under the key of the URL, and the response
under a key that has their values in it. Each process remembers the names, so that the next hit is one round trip.
"""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from memocache._binding import Binding
from memocache._clock import now
from memocache._current import is_disabled
from memocache._effects import COMPUTE_ALONE, Effects, Instead, PendingCall, StoreDecision
from memocache._entry import EntryScope
from memocache._options import MOST_VARY
from memocache._readthrough import compute_only, get_or_compute, peek, put_if, refresh
from memocache._view_keys import call_key, group_of
from memocache.backends.base import CacheCall
from memocache.errors import BackendError
from memocache.web._responses import DATA, Rendered, ResponseHeaders, StoredResponse
from memocache.web._rules import RequestInfo, RequestMode, Storability, ViewRules, judge, request_key, request_mode

__all__ = ["ViewCall", "ViewRequest"]

MOST_URLS: Final = 10_000
VARY_LIFETIME: Final = 86_400.0  # seconds, at least: a marker outlives the responses that it leads to
FIRST_ERROR: Final = 400
UNSTORABLE_FOR: Final = 60.0  # seconds in which no call waits for another's response, since it would not be stored


class ViewRequest(ABC):
    """ViewRequest: a request that calls a view, with what only the adapter of its framework knows.

    Args:
        info: the request.
        rules: what the user has said about the view.
    """

    loop_stays: bool = True
    """For coroutine functions: True if the event loop goes on after the request."""

    def __init__(self, info: RequestInfo, rules: ViewRules) -> None:
        self.info = info
        self.rules = rules

    @abstractmethod
    def location(self, *, shared: bool) -> tuple[object, ...]:
        """Return the part of the key that says where the view is called, such as the application and the endpoint.

        For a *shared* cache, these must be names that other processes know, too.
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

    @abstractmethod
    def is_private(self) -> bool:
        """Return True if something for this client only is not in the response yet but will be, such as its session."""

    @abstractmethod
    def rebuild(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> Any:
        """Return a new response from a stored one."""

    def deliver(self, value: Any) -> Any:
        """Return what the caller gets for *value*, which was computed for this call."""
        return value

    @abstractmethod
    def set_headers(self, headers: ResponseHeaders) -> None:
        """Set *headers* on the response to this request, if that is the response of this view."""

    @abstractmethod
    def bind_context(self, compute: Callable[[], Any]) -> Callable[[], Any]:
        """Return a function that calls *compute* in another thread as if in this request, which may be over by then.

        Not for coroutine functions: they are computed in a task that has a copy of the context variables.
        """


class UrlMemory:
    """UrlMemory: what this process knows about the URLs of a view, on one cache."""

    __slots__ = ("binding", "learned", "unstorable")

    def __init__(self, binding: Binding) -> None:
        self.binding = binding.for_views()
        self.learned: dict[str, tuple[str, ...]] = {}
        """Key of a URL -> the request headers that its responses depend on."""
        self.unstorable: dict[str, float] = {}
        """Key of a URL -> until when its responses are taken as ones that cannot be stored."""

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


class ServerError(Exception):
    """The response of a view is an error of the server."""


class ViewCall:
    """ViewCall: a call of a view in a request."""

    def __init__(self, request: ViewRequest) -> None:
        self._request = request
        self._names: tuple[str, ...] = ()  # headers in the key, learned from Vary
        self._keys: dict[tuple[str, ...], str] = {}  # by the names of headers
        self._began = 0.0  # when the computation began
        self._variant: StoredResponse | None = None  # the response, where a marker was stored first
        self._marker = StoredResponse.vary_marker((), 0.0)

    def begin(
        self, memo: Any, counted: tuple[object, ...], compute: Any, tagged: tuple[object, ...] | None, /
    ) -> "PendingCall | Awaitable[Any]":
        """Begin the call as *memo*'s `begin` does: return the pending call, or what is to be awaited."""
        mode = request_mode(self._request.info, self._request.rules)
        if is_disabled() or (mode is RequestMode.BYPASS and self._request.info.is_safe):
            return compute() if memo.is_async else PendingCall(compute_only())
        memo.become_view()
        binding: Binding = memo.binding()
        if binding.views is None:
            binding.views = UrlMemory(binding)
        self._memo, self._binding, self._views = memo, binding, binding.views
        args, kwargs = (compute.args, compute.keywords) if memo.has_key_function else ((), {})
        call = call_key(memo, binding, counted, args, kwargs)
        self._group = group_of(call)
        if mode is RequestMode.BYPASS:
            return self._begin_change(compute)
        groups = () if tagged is None else memo.tags.groups(tagged)
        self._origin: EntryScope = self._views.binding.scope_of((self._group, *groups))
        self._location = self._request.location(shared=binding.cache.shared)
        self._call = (call, counted if memo.has_key_function else None)
        self._url = self._key()
        self._names = self._views.learned.get(self._url, ())
        coroutine = self._serve(mode)
        if memo.is_async:
            return self._serve_in_task(coroutine, compute)
        background = None
        if memo.options.policy.stale:
            background = self._request.bind_context(partial(self._compute_in_background, compute))
        return PendingView(self, coroutine, background)

    def _begin_change(self, compute: Any) -> "PendingCall | Awaitable[Any]":
        """Call a view that may change something, and forget what is stored for the call."""
        if not self._memo.is_async:
            return PendingCall(self._compute_and_forget())
        from memocache._tasks import in_task  # asyncio takes longer to import than all of ours

        return in_task(self._compute_and_forget(), compute, detaches=False)

    async def _serve_in_task(self, coroutine: Effects[Any], compute: Callable[[], Awaitable[Any]]) -> Any:
        from memocache._tasks import in_task

        async def compute_decision() -> StoreDecision:
            self._began = now()
            return self._decide(await self._request.complete_in_task(await compute()))

        return self.deliver(await in_task(coroutine, compute_decision, detaches=self._request.loop_stays))

    def _compute_in_background(self, compute: Callable[[], Any]) -> StoreDecision:
        self._began = now()
        return self.decide(compute())

    def _key(self) -> str:
        key = self._keys.get(self._names)
        if key is None:
            request = request_key(self._request.info, self._request.rules, self._names)
            key = self._binding.keys.request_key(self._call[0], (self._location, request, self._call[1]))
            self._keys[self._names] = key
        return key

    # ---- what may wait -------------------------------------------------------------------------------------------

    async def _serve(self, mode: RequestMode) -> Any:
        """Return the StoreDecision of what was computed for this call, or the StoredResponse that was found."""
        if mode is RequestMode.READ:
            return await self._read()
        if self._views.is_unstorable(self._url):
            result = await compute_only()
        else:
            result = await self._read_through(mode)
            await self._store_variant(result)
        if type(result) is StoreDecision and self._is_lasting and mode is not RequestMode.REFRESH:
            self._views.set_unstorable(self._url, unstorable=result.lifetime <= 0)
        return result

    async def _compute_and_forget(self) -> Any:
        """Compute, and forget what is stored for the call, unless the response is an error: RFC 9111, section 4.4."""
        value, error, _ = await COMPUTE_ALONE
        if error is not None:
            return None
        rendered = self._request.render(value)
        if rendered is None or rendered.response.status < FIRST_ERROR:
            binding = self._views.binding
            try:
                await CacheCall(binding.cache, binding.cache.forget_tag, (self._group,))
            except BackendError as failure:
                binding.failed("after a request that may have changed something, old results may be served", failure)
        return value

    async def _read_through(self, mode: RequestMode) -> Any:
        binding, scope = self._views.binding, self._origin
        for _ in range(MOST_VARY):
            key = self._key()
            result = await (refresh if mode is RequestMode.REFRESH else get_or_compute)(binding, key, scope)
            if result is None or type(result) is StoreDecision:
                return result  # None: the computation raised, and its caller raises that
            if type(result) is Instead:
                return Instead(StoredResponse.unpack(result.value))
            stored = self._open(result)
            if stored is not None:
                return stored
        return await compute_only()

    async def _read(self) -> Any:
        for _ in range(MOST_VARY):
            (entry,) = await peek(self._views.binding, (self._key(),), (self._origin.groups,))
            if entry is None or now() >= entry.fresh:
                break
            stored = self._open(entry.value)
            if stored is not None:
                self._views.binding.hit(entry)
                return stored
        self._views.binding.counters.misses += 1
        return await compute_only()

    def _open(self, packed: object) -> StoredResponse | None:
        """Return the response in *packed*; None if it is a marker: then learn the headers that lead to the response."""
        stored = StoredResponse.unpack(packed)
        if stored is None or not stored.is_vary_marker:
            return stored
        self._learn(stored.vary)
        return None

    def _learn(self, names: tuple[str, ...]) -> None:
        self._names = tuple(sorted({*self._names, *names}))
        self._views.learn(self._url, self._names)

    async def _store_variant(self, result: object) -> None:
        """Store the response under its own key, which was not known before, when a marker was stored."""
        stored, marker = self._variant, self._marker
        if type(result) is not StoreDecision or stored is None:
            return
        key = self._key()
        self._learn(stored.vary)
        proof = key, lambda packed: StoredResponse.unpack(packed) == marker
        await put_if(
            self._views.binding, self._key(), self._origin, stored.pack(), stored.lifetime, stored.stale, proof
        )

    # ---- the response --------------------------------------------------------------------------------------------

    _is_lasting = True  # whether the next response is likely to be refused, if this one was

    def note_start(self) -> None:
        self._began = now()

    def decide(self, value: Any) -> StoreDecision:
        """Return what to do with *value*, the view's result; called in the request."""
        return self._decide(self._request.complete(value))

    def _decide(self, value: Any) -> StoreDecision:
        request, policy = self._request, self._views.binding.policy
        rendered = request.render(value)
        lifetime = policy.lifetime(value, self._views.binding.cache.default_lifetime)
        if rendered is None or lifetime <= 0 or request.is_private():
            return StoreDecision(value, None, 0.0, 0.0, shared=False)
        storability = judge(rendered.response, request.rules, lifetime, policy.stale, now())
        self._is_lasting = storability.is_lasting
        names = tuple(sorted({*self._names, *storability.vary}))
        if storability.lifetime <= 0 or len(names) > MOST_VARY:
            error = ServerError(storability.why) if storability.is_error else None
            return StoreDecision(value, None, 0.0, 0.0, shared=False, error=error)
        payload = rendered.payload
        if rendered.kind == DATA and self._memo.options.copied is not None:
            payload = self._memo.options.copied(payload)
        stored = StoredResponse(rendered.kind, payload, self._began, storability.lifetime, storability.stale, names)
        self._set_headers(stored, hit=False)
        return self._keep(value, stored, storability)

    def _keep(self, value: Any, stored: StoredResponse, storability: Storability) -> StoreDecision:
        if set(storability.vary) <= set(self._names):
            return StoreDecision(value, stored.pack(), stored.lifetime, stored.stale, shared=True)
        self._variant = stored
        self._marker = StoredResponse.vary_marker(stored.vary, self._began)._replace(payload=secrets.token_hex(8))
        return StoreDecision(value, self._marker.pack(), max(stored.lifetime, VARY_LIFETIME), 0.0, shared=True)

    def deliver(self, result: StoreDecision | StoredResponse) -> Any:
        """Return what the caller of the view gets."""
        if isinstance(result, StoreDecision):
            return self._request.deliver(result.value)
        self._set_headers(result, hit=True)
        if result.kind == DATA:
            copied = self._memo.options.copied
            return result.payload if copied is None else copied(result.payload)
        status, headers, body = result.payload
        return self._request.rebuild(status, headers, body)

    def _set_headers(self, stored: StoredResponse, *, hit: bool) -> None:
        request = self._request
        request.set_headers(ResponseHeaders(request.info, request.rules, stored, now(), hit))


class PendingView(PendingCall):
    """PendingView: a call in this thread; the view's result goes through the rules."""

    __slots__ = ("_call",)

    def __init__(self, call: ViewCall, coroutine: Effects[Any], compute: Callable[[], Any] | None) -> None:
        self._call = call
        super().__init__(coroutine, compute)
        if self.ready:
            self.value = call.deliver(self.value)
        else:
            call.note_start()

    def computed(self, value: Any) -> Any:
        """Go on with what the view returned, and return what the caller gets."""
        try:
            outcome = self._call.decide(value)
        except BaseException as error:
            if not self.failed(error):
                raise
            return self.value
        return self._call.deliver(super().computed(outcome))

    def failed(self, error: BaseException) -> bool:
        """Go on with what the view raised; return True if the caller gets *value* in its place."""
        if not super().failed(error):
            return False
        self.value = self._call.deliver(self.value)
        return True
