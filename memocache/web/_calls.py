"""A call of a view, by the rules: which steps of the read-through are taken for it, and under which keys.

What is stored for a URL lies under the key of the call in the request. Where its responses have a Vary, the headers
that it names are only known when there is one: then under the URL's key lies what names them, and the response under a
key that has their values in it. Each process remembers the names, so that the next hit is one round trip.
"""

import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from memocache._binding import Place, Site
from memocache._clock import now
from memocache._effects import Ask, Compute, Instead, Outcome, Run, Steps
from memocache._entry import Origin
from memocache._options import MOST_VARY
from memocache._pool import Awaited
from memocache._readthrough import compute_only, peek, put_kept, read_through, refresh
from memocache._registry import is_disabled
from memocache._tasks import TaskRun
from memocache._view_keys import call_key, group_of
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

    __slots__ = ("learned", "site", "unstorable")

    def __init__(self, site: Site) -> None:
        policy, counters = site.policy, site.counters
        self.site = Site(site.title, site.cache, site.groups, policy, site.wait, None, counters, alone=True)
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
    ) -> "Run | Awaitable[Any]":
        """Do what *memo*'s `begin` does: return the run, or for a coroutine function what is awaited."""
        way = way_of(self._exchange.asked, self._exchange.terms)
        if is_disabled() or (way is Way.BYPASS and self._exchange.asked.is_safe):
            return compute() if memo.is_async else Run(compute_only())
        memo.become_view()
        place: Place = memo.place()
        if place.views is None:
            place.views = Views(place.site)
        self._memo, self._place, self._views = memo, place, place.views
        args, kwargs = (compute.args, compute.keywords) if memo.has_key_function else ((), {})
        call = call_key(memo, place, counted, args, kwargs)
        self._group = group_of(call)
        if way is Way.BYPASS:
            return self._change(compute)
        groups = () if tagged is None else memo.tags.groups(tagged)
        self._origin: Origin = self._views.site.in_groups((self._group, *groups))
        self._where = self._exchange.where(shared=place.site.cache.shared)
        self._call = (call, counted if memo.has_key_function else None)
        self._url = self._key()
        self._names = self._views.learned.get(self._url, ())
        steps = self._steps(way)
        if memo.is_async:
            return self._awaited(steps, compute)
        background = None
        if memo.options.policy.stale:
            background = self._exchange.in_background(partial(self._computed, compute))
        return CallRun(self, steps, background)

    def _change(self, compute: Any) -> "Run | Awaitable[Any]":
        """Have the view change something, and what is stored for the call forgotten."""
        if not self._memo.is_async:
            return Run(self._changing())
        return TaskRun(self._changing(), compute, self._waits, detaches=False).result()

    @property
    def _waits(self) -> Awaited | None:
        cache = self._views.site.cache
        return cache.awaited if cache.shared else None

    async def _awaited(self, steps: Steps, compute: Callable[[], Awaitable[Any]]) -> Any:
        async def computing() -> Outcome:
            self._made = now()
            return self._outcome(await self._exchange.complete_in_task(await compute()))

        run = TaskRun(steps, computing, self._waits, detaches=self._exchange.loop_stays)
        return self.given(await run.result())

    def _computed(self, compute: Callable[[], Any]) -> Outcome:
        self._made = now()
        return self.outcome(compute())

    def _key(self) -> str:
        key = self._keys.get(self._names)
        if key is None:
            exchange = self._exchange
            request = request_key(exchange.asked, exchange.terms, self._names)
            key = self._place.keys.request_key(self._call[0], (self._where, request, self._call[1]))
            self._keys[self._names] = key
        return key

    # ---- steps ---------------------------------------------------------------------------------------------------

    def _steps(self, way: Way) -> Steps:
        """Return an Outcome, of what was computed for this call, or the Stored that is there."""
        if way is Way.READ:
            return (yield from self._only_read())
        if self._views.is_unstorable(self._url):
            result = yield from compute_only()
        else:
            result = yield from self._read_through(way)
            yield from self._store_variant(result)
        if type(result) is Outcome and self._again and way is not Way.REFRESH:
            self._views.note(self._url, unstorable=result.lifetime <= 0)
        return result

    def _changing(self) -> Steps:
        """Compute, and forget what is stored, unless that was an error: RFC 9111, section 4.4."""
        value, error, _ = yield Compute(None)
        if error is not None:
            return None
        shown = self._exchange.shown(value)
        if shown is None or shown.answer.status < ERRORS_FROM:
            site = self._views.site
            excuse = partial(site.failed, "after a request that may have changed something, old results may be served")
            yield Ask(site.cache.forget_group, (self._group,), excuse=excuse)
        return value

    def _read_through(self, way: Way) -> Steps:
        site, origin = self._views.site, self._origin
        for _ in range(MOST_VARY):
            key = self._key()
            steps = refresh(site, key, origin) if way is Way.REFRESH else read_through(site, key, origin)
            result = yield from steps
            if result is None or type(result) is Outcome:
                return result  # None: the computation raised, and whoever has begun it is going to
            if type(result) is Instead:
                return Instead(Stored.unpacked(result.value))
            stored = self._final(result)
            if stored is not None:
                return stored
        return (yield from compute_only())

    def _only_read(self) -> Steps:
        for _ in range(MOST_VARY):
            (entry,) = yield from peek(self._views.site, (self._key(),), (self._origin.groups,))
            if entry is None or now() >= entry.fresh:
                break
            stored = self._final(entry.value)
            if stored is not None:
                self._views.site.hit(entry, None)
                return stored
        self._views.site.counters.misses += 1
        return (yield from compute_only())

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

    def _store_variant(self, result: object) -> Steps:
        """Store what was computed under the key of its variant, which was not known before."""
        stored, marker = self._variant, self._marker
        if type(result) is not Outcome or stored is None:
            return
        key = self._key()
        self._learn(stored.vary)
        proof = key, lambda packed: Stored.unpacked(packed) == marker
        yield from put_kept(
            self._views.site, self._key(), self._origin, stored.packed(), stored.lifetime, stored.stale, proof
        )

    # ---- what is computed, and what is given ---------------------------------------------------------------------

    _again = True  # whether what could not be stored is likely to be so the next time

    def begun(self) -> None:
        self._made = now()

    def outcome(self, value: Any) -> Outcome:
        """Return what is to become of what the view returned; to be called in the request."""
        return self._outcome(self._exchange.complete(value))

    def _outcome(self, value: Any) -> Outcome:
        exchange, policy = self._exchange, self._views.site.policy
        shown = exchange.shown(value)
        lifetime = policy.lifetime(value, self._views.site.cache.default_lifetime)
        if shown is None or lifetime <= 0 or exchange.is_private():
            return Outcome(value, None, 0.0, 0.0, shared=False)
        verdict = judge(shown.answer, exchange.terms, lifetime, policy.stale, now())
        self._again = verdict.again
        names = tuple(sorted({*self._names, *verdict.vary}))
        if verdict.lifetime <= 0 or len(names) > MOST_VARY:
            error = CannotServe(verdict.why) if verdict.failed else None
            return Outcome(value, None, 0.0, 0.0, shared=False, error=error)
        payload = shown.payload
        if shown.kind == DATA and self._memo.options.copied is not None:
            payload = self._memo.options.copied(payload)
        stored = Stored(shown.kind, payload, self._made, verdict.lifetime, verdict.stale, names)
        self._finish(stored, hit=False)
        return self._kept(value, stored, verdict)

    def _kept(self, value: Any, stored: Stored, verdict: Verdict) -> Outcome:
        if set(verdict.vary) <= set(self._names):
            return Outcome(value, stored.packed(), stored.lifetime, stored.stale, shared=True)
        self._variant = stored
        self._marker = Stored.only_vary(stored.vary, self._made)._replace(payload=secrets.token_hex(8))
        return Outcome(value, self._marker.packed(), max(stored.lifetime, VARY_KEPT), 0.0, shared=True)

    def given(self, result: Outcome | Stored) -> Any:
        """Return what the caller of the view gets: what the view returned, for it or another."""
        if isinstance(result, Outcome):
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


class CallRun(Run):
    """A run in this thread: what the view returned goes through the rules."""

    __slots__ = ("_call",)

    def __init__(self, call: Call, steps: Steps, compute: Callable[[], Any] | None) -> None:
        self._call = call
        super().__init__(steps, compute)
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
