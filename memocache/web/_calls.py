"""A call of a view, by the rules: which steps of the read-through are taken for it, and under which keys.

What is stored for a URL lies under the key of the call in the request. Where its responses have a Vary, the headers
that it names are only known when there is one: then under the URL's key lies what names them, and the response under a
key that has their values in it. Each process remembers the names, so that the next hit is one round trip.
"""

import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from memocache._binding import Binding
from memocache._clock import now
from memocache._current import is_disabled
from memocache._effects import COMPUTE_ALONE, Effects, Instead, PendingCall, StoreDecision
from memocache._entry import Origin
from memocache._options import MOST_VARY
from memocache._readthrough import compute_only, get_or_compute, peek, put_if, refresh
from memocache._view_keys import call_key, group_of
from memocache.backends.base import CacheCall
from memocache.errors import BackendError
from memocache.web._exchange import Exchange, Finish
from memocache.web._rules import Verdict, Way, judge, request_key, way_of
from memocache.web._stored import DATA, Stored

__all__ = ["Call"]

MOST_URLS: Final = 10_000
VARY_KEPT: Final = 86_400.0  # seconds, at least: longer than the responses, which come and go
ERRORS_FROM: Final = 400
UNSTORABLE_FOR: Final = 60.0  # seconds: no call waits for another, where what that computes is not for it


class Views:
    """What is known of a function as a view, on one cache in this process."""

    __slots__ = ("binding", "learned", "unstorable")

    def __init__(self, binding: Binding) -> None:
        b = binding
        self.binding = Binding(b.title, b.cache, b.keys, b.policy, b.wait, None, b.counters, keeps_errors_apart=True)
        self.learned: dict[str, tuple[str, ...]] = {}
        """By key of the URL, the request headers that its responses vary by."""
        self.unstorable: dict[str, float] = {}
        """By key of the URL, until when it is remembered that its responses cannot be stored."""

    def learn(self, key: str, names: tuple[str, ...]) -> None:
        if len(self.learned) >= MOST_URLS:
            self.learned.clear()
        self.learned[key] = names

    def is_unstorable(self, key: str) -> bool:
        until = self.unstorable.get(key)
        return until is not None and now() < until

    def note(self, key: str, *, unstorable: bool) -> None:
        if not unstorable:
            self.unstorable.pop(key, None)
            return
        if len(self.unstorable) >= MOST_URLS:
            self.unstorable.clear()
        self.unstorable[key] = now() + UNSTORABLE_FOR


class CannotServe(Exception):
    """A view has answered with an error of the server's."""


class Call:
    """A call of a view in a request."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._names: tuple[str, ...] = ()  # of headers in the key, learned from Vary
        self._keys: dict[tuple[str, ...], str] = {}  # by those names
        self._made = 0.0  # when the computation began
        self._variant: Stored | None = None  # what was computed where only the names were to be stored
        self._marker = Stored.only_vary((), 0.0)

    def begin(
        self, memo: Any, counted: tuple[object, ...], compute: Any, tagged: tuple[object, ...] | None, /
    ) -> "PendingCall | Awaitable[Any]":
        """Do what *memo*'s `begin` does: return the run, or for a coroutine function what is awaited."""
        way = way_of(self._exchange.asked, self._exchange.terms)
        if is_disabled() or (way is Way.BYPASS and self._exchange.asked.is_safe):
            return compute() if memo.is_async else PendingCall(compute_only())
        memo.become_view()
        binding: Binding = memo.binding()
        if binding.views is None:
            binding.views = Views(binding)
        self._memo, self._binding, self._views = memo, binding, binding.views
        args, kwargs = (compute.args, compute.keywords) if memo.has_key_function else ((), {})
        call = call_key(memo, binding, counted, args, kwargs)
        self._group = group_of(call)
        if way is Way.BYPASS:
            return self._change(compute)
        groups = () if tagged is None else memo.tags.groups(tagged)
        self._origin: Origin = self._views.binding.scope_of((self._group, *groups))
        self._where = self._exchange.where(shared=binding.cache.shared)
        self._call = (call, counted if memo.has_key_function else None)
        self._url = self._key()
        self._names = self._views.learned.get(self._url, ())
        coroutine = self._serve(way)
        if memo.is_async:
            return self._serve_in_task(coroutine, compute)
        background = None
        if memo.options.policy.stale:
            background = self._exchange.in_background(partial(self._computed, compute))
        return PendingView(self, coroutine, background)

    def _change(self, compute: Any) -> "PendingCall | Awaitable[Any]":
        """Have the view change something, and what is stored for the call forgotten."""
        if not self._memo.is_async:
            return PendingCall(self._changing())
        from memocache._tasks import in_task  # asyncio takes longer to import than all of ours

        return in_task(self._changing(), compute, detaches=False)

    async def _serve_in_task(self, coroutine: Effects[Any], compute: Callable[[], Awaitable[Any]]) -> Any:
        from memocache._tasks import in_task

        async def computing() -> StoreDecision:
            self._made = now()
            return self._outcome(await self._exchange.complete_in_task(await compute()))

        return self.given(await in_task(coroutine, computing, detaches=self._exchange.loop_stays))

    def _computed(self, compute: Callable[[], Any]) -> StoreDecision:
        self._made = now()
        return self.outcome(compute())

    def _key(self) -> str:
        key = self._keys.get(self._names)
        if key is None:
            exchange = self._exchange
            request = request_key(exchange.asked, exchange.terms, self._names)
            key = self._binding.keys.request_key(self._call[0], (self._where, request, self._call[1]))
            self._keys[self._names] = key
        return key

    # ---- what may wait ----------------------------------------------------------------------------------------------

    async def _serve(self, way: Way) -> Any:
        """Return an StoreDecision, of what was computed for this call, or the Stored that is there."""
        if way is Way.READ:
            return await self._only_read()
        if self._views.is_unstorable(self._url):
            result = await compute_only()
        else:
            result = await self._read_through(way)
            await self._store_variant(result)
        if type(result) is StoreDecision and self._again and way is not Way.REFRESH:
            self._views.note(self._url, unstorable=result.lifetime <= 0)
        return result

    async def _changing(self) -> Any:
        """Compute, and forget what is stored, unless that was an error: RFC 9111, section 4.4."""
        value, error, _ = await COMPUTE_ALONE
        if error is not None:
            return None
        shown = self._exchange.shown(value)
        if shown is None or shown.answer.status < ERRORS_FROM:
            site = self._views.binding
            try:
                await CacheCall(site.cache, site.cache.forget_group, (self._group,))
            except BackendError as failure:
                site.failed("after a request that may have changed something, old results may be served", failure)
        return value

    async def _read_through(self, way: Way) -> Any:
        site, origin = self._views.binding, self._origin
        for _ in range(MOST_VARY):
            key = self._key()
            result = await (refresh if way is Way.REFRESH else get_or_compute)(site, key, origin)
            if result is None or type(result) is StoreDecision:
                return result  # None: the computation raised, and whoever has begun it is going to
            if type(result) is Instead:
                return Instead(Stored.unpacked(result.value))
            stored = self._final(result)
            if stored is not None:
                return stored
        return await compute_only()

    async def _only_read(self) -> Any:
        for _ in range(MOST_VARY):
            (entry,) = await peek(self._views.binding, (self._key(),), (self._origin.groups,))
            if entry is None or now() >= entry.fresh:
                break
            stored = self._final(entry.value)
            if stored is not None:
                self._views.binding.hit(entry)
                return stored
        self._views.binding.counters.misses += 1
        return await compute_only()

    def _final(self, packed: object) -> Stored | None:
        """Return what is in *packed* if that is a result; else learn by which headers the key of that is found."""
        stored = Stored.unpacked(packed)
        if stored is None or not stored.is_only_vary:
            return stored
        self._learn(stored.vary)
        return None

    def _learn(self, names: tuple[str, ...]) -> None:
        self._names = tuple(sorted({*self._names, *names}))
        self._views.learn(self._url, self._names)

    async def _store_variant(self, result: object) -> None:
        """Store what was computed under the key of its variant, which was not known before."""
        stored, marker = self._variant, self._marker
        if type(result) is not StoreDecision or stored is None:
            return
        key = self._key()
        self._learn(stored.vary)
        proof = key, lambda packed: Stored.unpacked(packed) == marker
        await put_if(
            self._views.binding, self._key(), self._origin, stored.packed(), stored.lifetime, stored.stale, proof
        )

    # ---- what is computed, and what is given ---------------------------------------------------------------------

    _again = True  # whether what could not be stored is likely to be so the next time

    def begun(self) -> None:
        self._made = now()

    def outcome(self, value: Any) -> StoreDecision:
        """Return what is to become of what the view returned; to be called in the request."""
        return self._outcome(self._exchange.complete(value))

    def _outcome(self, value: Any) -> StoreDecision:
        exchange, policy = self._exchange, self._views.binding.policy
        shown = exchange.shown(value)
        lifetime = policy.lifetime(value, self._views.binding.cache.default_lifetime)
        if shown is None or lifetime <= 0 or exchange.is_private():
            return StoreDecision(value, None, 0.0, 0.0, shared=False)
        verdict = judge(shown.answer, exchange.terms, lifetime, policy.stale, now())
        self._again = verdict.again
        names = tuple(sorted({*self._names, *verdict.vary}))
        if verdict.lifetime <= 0 or len(names) > MOST_VARY:
            error = CannotServe(verdict.why) if verdict.failed else None
            return StoreDecision(value, None, 0.0, 0.0, shared=False, error=error)
        payload = shown.payload
        if shown.kind == DATA and self._memo.options.copied is not None:
            payload = self._memo.options.copied(payload)
        stored = Stored(shown.kind, payload, self._made, verdict.lifetime, verdict.stale, names)
        self._finish(stored, hit=False)
        return self._kept(value, stored, verdict)

    def _kept(self, value: Any, stored: Stored, verdict: Verdict) -> StoreDecision:
        if set(verdict.vary) <= set(self._names):
            return StoreDecision(value, stored.packed(), stored.lifetime, stored.stale, shared=True)
        self._variant = stored
        self._marker = Stored.only_vary(stored.vary, self._made)._replace(payload=secrets.token_hex(8))
        return StoreDecision(value, self._marker.packed(), max(stored.lifetime, VARY_KEPT), 0.0, shared=True)

    def given(self, result: StoreDecision | Stored) -> Any:
        """Return what the caller of the view gets: what the view returned, for it or another."""
        if isinstance(result, StoreDecision):
            return self._exchange.given(result.value)
        self._finish(result, hit=True)
        if result.kind == DATA:
            copied = self._memo.options.copied
            return result.payload if copied is None else copied(result.payload)
        status, headers, body = result.payload
        return self._exchange.rebuilt(status, headers, body)

    def _finish(self, stored: Stored, *, hit: bool) -> None:
        exchange = self._exchange
        exchange.finish(Finish(exchange.asked, exchange.terms, stored, now(), hit))


class PendingView(PendingCall):
    """A run in this thread: what the view returned goes through the rules."""

    __slots__ = ("_call",)

    def __init__(self, call: Call, coroutine: Effects[Any], compute: Callable[[], Any] | None) -> None:
        self._call = call
        super().__init__(coroutine, compute)
        if self.ready:
            self.value = call.given(self.value)
        else:
            call.begun()

    def computed(self, value: Any) -> Any:
        """Go on with what the view returned, and return what the caller gets."""
        try:
            outcome = self._call.outcome(value)
        except BaseException as error:
            if not self.failed(error):
                raise
            return self.value
        return self._call.given(super().computed(outcome))

    def failed(self, error: BaseException) -> bool:
        """Go on with what the view raised; true if the caller gets *value* instead."""
        if not super().failed(error):
            return False
        self.value = self._call.given(self.value)
        return True
