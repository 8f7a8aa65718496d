"""Binding: one function on one cache, with its keys, its policy and its counters there; Bindings: all of a function."""

import contextlib
import threading
from collections.abc import Callable, Hashable, Iterable
from sys import getsizeof
from typing import Any, Final, TypeAlias

from memocache._canonical import fast_types, plain_types
from memocache._clock import now
from memocache._counters import Counters
from memocache._current import CacheRef, CacheSource, as_cache
from memocache._entry import SECOND, Entry, EntryScope, FastIndex, FastKey, StaleableEntry
from memocache._hints import result_hints
from memocache._listeners import listeners
from memocache._missing import MISSING
from memocache._policy import Policy, refresh_margin
from memocache._stored_exception import StoredException
from memocache.backends.base import Busy, Cache, CacheCall, Lease, Stale, Usage
from memocache.backends.simple import SimpleCache
from memocache.errors import BackendError, ConfigurationError, LeftAlone, UncacheFailed, logger, told, with_article
from memocache.keys import KeyMaker

FIRST_LEASE: Final = 60.0
LEAST_LEASE: Final = 2.0
MOST_SCOPES: Final = 10_000
KNOWN_BYTES: Final = 4 * 2**20  # of one function
KNOWN_OVERHEAD: Final = 400  # bytes, about, of a call besides its arguments
LARGEST_KNOWN: Final = KNOWN_BYTES // 64
MOST_BINDINGS: Final = 16
MOST_REASONS: Final = 8  # for which a function is told that the cache did not do something
NO_DIGITS: Final = dict.fromkeys(map(ord, "0123456789"))

LookupResult: TypeAlias = "Entry | Stale | Lease | Busy | None"
"""A cache's answer about a key; None if each caller is to compute for itself."""


def _not_none(value: Any) -> Any:
    return MISSING if value is None else value


class Binding:
    """One function on one cache: all that the read-through must know of it.

    Args:
        title: the function's name in messages.
        cache: the cache.
        keys: makes its keys there.
        policy: for how long results are kept.
        wait: seconds to wait for another call's computation.
        copy: what protects an in-process value from its callers.
        counters: what is counted.
        keeps_errors_apart: whether an exception is for its own caller only.
    """

    __slots__ = (
        *("_known_keys", "_scopes", "_stand_in", "_warned", "cache", "copy", "counters", "event_cache"),
        *("fixed_lifetime", "is_direct", "is_ready", "is_simple", "is_versioned", "keeps_errors_apart"),
        *("keeps_nothing", "key", "keys", "lease_seconds", "longest", "near", "policy", "scope", "title"),
        *("views", "wait"),
    )

    def __init__(
        self,
        title: str,
        cache: Cache,
        keys: KeyMaker,
        policy: Policy,
        wait: float,
        copy: Callable[[Any], Any] | None,
        counters: Counters,
        *,
        keeps_errors_apart: bool = False,
    ) -> None:
        self.title = title
        self.cache = cache
        self.event_cache = cache
        """The cache of which events tell: of what stands in for one, that."""
        self.keys = keys
        self.policy = policy
        self.wait = wait
        self.copy = copy
        self.counters = counters
        self.keeps_errors_apart = keeps_errors_apart
        self.longest = 0.0  # computation that was seen, in seconds
        self.lease_seconds = FIRST_LEASE  # for which a computation may hold its key
        self.is_direct = not cache.shared
        """True if the cache is in this process, so that nothing in it can block."""
        self.is_simple = isinstance(cache, SimpleCache) and type(cache).look is SimpleCache.look
        """True if it is a SimpleCache, whose leases can be of another kind."""
        is_plain = self.is_direct and copy is None
        self.fixed_lifetime = policy.fixed_lifetime(cache.default_lifetime) if is_plain else None
        """In process, the lifetime of all results, if it depends on nothing."""
        self.near = cache.near
        """The cache, or its tier, in this process: the fast index leads there."""
        self.is_ready = self.is_direct
        self.is_versioned = keys.has_version and not self.is_direct
        """True if the results of a call are in a tag of the call, by which other versions forget them, too."""
        self.key: Callable[[tuple[object, ...]], str] = keys.key if self.is_direct else self._remembered_key
        """Returns the key of a call."""
        self.views: Any = None
        """The state of the function as a view, if it has been one; None if not."""
        self.keeps_nothing = False
        """True if nothing is stored there: it is a stand-in."""
        self._stand_in: Binding | None = None
        self._known_keys = KnownKeys()
        self._warned: dict[str, set[str]] = {}  # the reasons that were logged, by what was not done
        self._scopes: dict[tuple[str, ...], EntryScope] = {}
        self.scope = EntryScope((keys.all_tag,), self.counters)
        """The scope of the entries of calls without tags."""
        cache.introduce(self.scope)
        cache.remember(self._known_keys)

    def for_views(self) -> "Binding":
        """Return the same for the function's calls as a view: they are counted together, and exceptions kept apart.

        A None that somebody else has stored is served as MISSING: a view stores none.
        """
        return Binding(
            self.title, self.cache, self.keys, self.policy, self.wait, _not_none, self.counters, keeps_errors_apart=True
        )

    def stand_in(self) -> "Binding":
        """Return the same on what stands in for the cache, for a call that it does not answer.

        That is a cache in this process that keeps nothing: there are the flights of such calls, which others can join.
        """
        if self._stand_in is None:
            # Of two threads' both keep the first: an entry of a dict is set in one step.
            cache = vars(self.cache).setdefault("stand_in", SimpleCache(threshold=1))
            made = Binding(self.title, cache, self.keys, self.policy, self.wait, self.copy, self.counters)
            made.keeps_errors_apart, made.keeps_nothing = self.keeps_errors_apart, True
            made.event_cache = self.cache
            self._stand_in = made
        return self._stand_in

    # ---- keys and scopes -----------------------------------------------------------------------------------------

    def get_ready(self, function: Callable[..., Any]) -> None:
        """Learn the types of the results on a shared cache; not before a call, when every name in the hint is there."""
        from memocache.serializers._schema import schema_digest  # with what such a cache has imported anyway

        hints = result_hints(function)
        for hint in hints:
            self.cache.name_types(hint)
        schema = schema_digest(hints)
        if schema is not None:
            self.keys.add_schema(schema)
            self.is_versioned = True
        self.is_ready = True  # last: another thread makes keys as soon as it is

    def _remembered_key(self, key_args: tuple[object, ...]) -> str:
        """Return the key of a call; remembered for plain arguments, since on a shared cache every hit needs it."""
        types = plain_types(key_args)
        if types is None:
            return self.keys.key(key_args)
        typed = (types, key_args)
        key = self._known_keys.get(typed)
        if key is None:
            key = self.keys.key(key_args)
            if fast_types(key_args) is not None:
                self._known_keys.learn(typed, key_args, key)
        return key

    def scope_of(self, tags: tuple[str, ...]) -> EntryScope:
        """Return the scope of the entries that have these *tags*."""
        scope = self._scopes.get(tags)
        if scope is None:
            if len(self._scopes) >= MOST_SCOPES:
                self._scopes.clear()
            scope = self._scopes[tags] = EntryScope((self.keys.all_tag, *tags), self.counters)
            self.cache.introduce(scope)
        return scope

    # ---- what the cache answers ---------------------------------------------------------------------------------

    def note_cost(self, cost: float) -> None:
        """Learn that a computation has taken *cost* seconds, longer than all before."""
        self.longest = cost
        self.counters.slowest = max(self.counters.slowest, cost)
        self.lease_seconds = max(LEAST_LEASE, 2 * cost)

    def decline(self, found: LookupResult) -> None:
        """Give back the lease that a look has brought, if any, since nobody is there any more to compute."""
        lease = found.lease if type(found) is Stale else found
        if type(lease) is not Lease:
            return
        if lease.old is not None:
            lease.old.retry_at = 0.0
        try:
            CacheCall(self.cache, self.cache.fill, (lease, lease.old)).run()
        except BackendError as error:
            self.count_failure("the cache did not take a lease back", error)
        finally:
            lease.flight.abandon()

    def staleable(self, entry: Entry, lifetime: float, stale: float) -> StaleableEntry:
        """Return *entry* as one that may be served for *stale* seconds when its timeout is over."""
        until = entry.serve_until
        # In this process it is decided now when the first refreshes it; elsewhere by everyone who looks.
        fresh = until - refresh_margin(entry, lifetime) if self.is_direct else until
        expires = until + stale
        return StaleableEntry(entry.key, entry.value, fresh, expires, entry.cost, entry.scope, fresh_until=until)

    def not_forgotten(self, error: BackendError, what: str = "the call was") -> UncacheFailed:
        """Return what a forgetting raises that the cache answered with an *error*."""
        return UncacheFailed(
            f"{self.title}: the cache did not acknowledge that {what} forgotten, "
            f"so that old results may still be served: {error}"
        )

    def hit(self, entry: Entry, fast_key: "FastKey | None" = None, waited: float | None = None) -> Any:
        """Count that *entry* is served, perhaps after some seconds *waited*; return the value that the caller gets."""
        if waited is not None:
            if entry.counts_its_hits:  # the look has taken it for a hit
                self.counters.hits -= 1
                self.counters.seconds_saved -= entry.cost / SECOND
            self.count_wait(entry.key, waited)
        else:
            if not entry.counts_its_hits:
                self.counters.hits += 1
                self.counters.seconds_saved += entry.cost / SECOND
            if listeners:
                self.tell_served("hit", entry)
        value = entry.value
        if type(value) is StoredException:
            raise value.rebuild()
        if fast_key is not None:
            self.cache.alias(entry, fast_key)
        return value if self.copy is None else self.copy(value)

    def hit_peeked(self, entry: Entry) -> Any:
        """Do the same for an *entry* that was peeked at, which has counted nothing."""
        if entry.counts_its_hits:
            entry.hits += 1
        return self.hit(entry)

    def serve_old(self, entry: StaleableEntry) -> Any:
        """Count that *entry* is served while somebody refreshes it, and return the value that the caller gets."""
        is_stale = now() >= entry.fresh_until
        if is_stale:
            self.counters.stale += 1
        elif entry.counts_its_hits:
            entry.hits += 1
        else:
            self.counters.hits += 1
            self.counters.seconds_saved += entry.cost / SECOND
        if listeners:
            self.tell_served("stale" if is_stale else "hit", entry)
        return self.serve(entry.value)

    def tell_served(self, kind: str, entry: Entry) -> None:
        """Tell those who listen to this *kind* of event that *entry* is served."""
        if tell := listeners.get(kind):
            age = max(0.0, now() - entry.serve_from) if entry.serve_from else None
            tell(self.counters.name, entry.key, self.event_cache, age=age)

    def count_wait(self, key: str, seconds: float) -> None:
        """Count that a call is served the result of another, for which it has waited so many *seconds*."""
        self.counters.waits += 1
        self.counters.waited += seconds
        if tell := listeners.get("wait"):
            tell(self.counters.name, key, self.event_cache, seconds=seconds)

    def tell_miss(self, key: str, seconds: float | None, error: BaseException | None = None) -> None:
        """Tell those who listen that a call was computed, perhaps in so many *seconds*, or with an *error*."""
        if tell := listeners.get("miss"):
            tell(self.counters.name, key, self.event_cache, seconds=seconds, error=error)

    def tell_stored(self, lease: Lease, entry: Entry) -> None:
        """Tell those who listen that the cache took *entry* under *lease*."""
        if tell := listeners.get("stored"):
            size = getattr(lease, "size", None)
            tell(self.counters.name, entry.key, self.cache, seconds=entry.cost / SECOND, size=size)

    def count_lost_lease(self) -> None:
        """Count that a result was not stored, since it took longer than its lease. Nothing failed."""
        self.counters.lost += 1
        self._warn("a lease was lost while computing, so the result was not stored")

    def serve(self, value: Any) -> Any:
        """Return what the caller gets of a stored *value*; raise what it stands for, if that is an exception."""
        if type(value) is StoredException:
            raise value.rebuild()
        return value if self.copy is None else self.copy(value)

    def count_failure(self, what: str, error: Exception | None = None) -> None:
        """Count that the cache did not do something; log the first time of each kind, and of each reason for it."""
        self.counters.failures += 1
        self.counters.errors[what] = self.counters.errors.get(what, 0) + 1
        if tell := listeners.get("failed"):
            tell(self.counters.name, None, self.event_cache, error=error)
        self._warn(what, error)

    def _warn(self, what: str, error: Exception | None = None) -> None:
        # Sizes and times are no reasons of their own; that a server is left alone is said by what came before.
        said = told(error) if error else ""
        reason = said.translate(NO_DIGITS)
        reasons = self._warned.setdefault(what, set())
        if reason not in reasons and len(reasons) < MOST_REASONS and not (reasons and type(error) is LeftAlone):
            reasons.add(reason)
            with contextlib.suppress(ImportError):  # of logging, in a destructor at the very end
                logger().warning("%s: %s%s (said once; see info())", self.title, what, f": {said}" if said else "")


class KnownKeys(dict[Hashable, str]):
    """The keys of calls by the raw arguments, which it keeps alive: so these have little room, and large ones none."""

    __slots__ = ("__weakref__", "_room")
    __hash__ = object.__hash__  # type: ignore[assignment]  # each is one of its own
    __eq__ = object.__eq__

    def __init__(self) -> None:
        self._room = KNOWN_BYTES

    def learn(self, typed: Hashable, key_args: tuple[object, ...], key: str) -> None:
        """Remember the *key* of the call with *key_args*, which stand with their types in *typed*."""
        size = KNOWN_OVERHEAD + sum(map(getsizeof, key_args))
        if size > LARGEST_KNOWN:
            return
        if size > self._room:
            self.clear()
        self._room -= size
        self[typed] = key

    def clear(self) -> None:
        """Forget all of them."""
        self._room = KNOWN_BYTES
        super().clear()


class Bindings:
    """A function's bindings on the caches that it has used; the *fast_index* lead to entries of the one in use.

    Args:
        title: what the function is called in messages.
        source: where the function's cache comes from.
        fast_index: the function's, if it has one.
        make: returns a new binding on a cache.
        get_ready: is told of a binding that is not ready before the first call there.
    """

    __slots__ = (
        *("_fast_index", "_get_ready", "_is_fixed", "_latest", "_lock", "_make", "_source", "_title"),
        *("known", "past", "settled"),
    )

    def __init__(
        self,
        title: str,
        source: CacheSource,
        fast_index: FastIndex | None,
        make: Callable[[Cache], Binding],
        get_ready: Callable[[Binding], None],
    ) -> None:
        self._title = title
        self._source = source
        self._is_fixed = isinstance(source, Cache) or (isinstance(source, CacheRef) and source.is_fixed)
        self._fast_index = fast_index
        self._make = make
        self._get_ready = get_ready
        # One is all most functions ever have; a default cache for each test, or cache= as a function, makes more.
        self.known: tuple[Binding, ...] = ()
        self.past = Counters()
        """The figures on those that are not known any more."""
        self._latest: Binding | None = None  # unless each call asks for its cache
        self.settled: Binding | None = None
        """The one in use, once it will not be another any more."""
        self.after_fork()

    def after_fork(self) -> None:
        """Have a lock that nobody holds: in the beginning, and in a process that was forked while anybody may have."""
        self._lock = threading.RLock()

    def current(self) -> Binding:
        """Return the binding on the cache that the function uses now."""
        if self.settled is not None:
            return self.settled
        binding, ref = self._latest, self._source
        if (
            binding is not None
            and isinstance(ref, CacheRef)
            and not ref.is_chosen
            and binding.cache is ref.cache
            and (self._fast_index is None or self._fast_index.source is binding.near)
        ):
            return binding
        binding = self._found()
        if self._is_fixed:
            self.settled = binding
        elif isinstance(ref, CacheRef):
            self._latest = binding
        return binding

    def _found(self) -> Binding:
        source = self._source
        if isinstance(source, CacheRef):
            binding = source.use(self.on)
        elif isinstance(source, Cache):
            binding = self.on(source)
        else:
            returned = source()
            cache = as_cache(returned)
            if cache is None:
                raise ConfigurationError(
                    f"{self._title}: the function given as cache= returned {with_article(type(returned))}; "
                    "wanted: a cache object"
                )
            binding = self.on(cache)
        if not binding.is_ready:
            self._get_ready(binding)
        return binding

    @property
    def latest(self) -> Binding:
        """The one that was used last, as far as that is known; there has to be one. No cache is asked for."""
        return self.settled or self._latest or self.known[-1]

    def figures(self) -> "Figures":
        """Return the figures on all caches."""
        return Figures(self.past, self.known)

    def in_use(self) -> list[Cache]:
        """Return the caches on which the function may have results that its calls are given; none if it has none yet.

        Where a function chooses one for each call, these are those of the latest calls, and the one for a call now.
        """
        source = self._source
        if isinstance(source, Cache):
            return [source]
        used = [binding.cache for binding in self.known]
        if isinstance(source, CacheRef):
            return [*(used if source.is_chosen else ()), *source.find()]
        cache = as_cache(source())
        return used if cache is None else [*used, cache]

    def on(self, cache: Cache) -> Binding:
        """Return the binding on *cache*, which is the one in use from now on."""
        binding = self._known_on(cache)
        if binding is None:
            with self._lock:
                binding = self._known_on(cache)
                if binding is None:
                    binding = self._make(cache)
                    for gone in self.known[: -MOST_BINDINGS + 1]:
                        self.past.add(gone.counters)
                    self.known = (*self.known[-MOST_BINDINGS + 1 :], binding)
        if self._fast_index is not None and self._fast_index.source is not cache.near:
            self._fast_index.lead_to(cache.near)
        return binding

    def _known_on(self, cache: Cache) -> Binding | None:
        for binding in self.known:
            if binding.cache is cache:
                return binding
        return None


class Figures:
    """The figures of a function on all the caches that it has used, without the function, which may go meanwhile."""

    __slots__ = ("_past", "_present")

    def __init__(self, past: Counters, known: Iterable[Binding]) -> None:
        self._past = past
        self._present = [(each.cache, each.keys.all_tag, each.counters) for each in known]

    def sum(self, cache: Cache) -> tuple[Counters, Usage]:
        """Return the sums, and what is held on *cache*."""
        total, usage = Counters(), Usage()
        total.add(self._past)
        for each, tag, counters in self._present:
            total.add(counters)
            held = each.usage(tag, counters)
            total.hits += held.hits
            total.seconds_saved += held.seconds_saved
            if each is cache:
                usage = held
        return total, usage


class VersionedBindings(Bindings):
    """The bindings of a function whose *version* may change while it is in use, so that each call asks for it."""

    __slots__ = ("_used", "_version")

    def __init__(self, *args: Any, version: Callable[[], object]) -> None:
        super().__init__(*args)
        self._is_fixed = False
        self._version = version
        self._used: object = None

    def current(self) -> Binding:
        """Return the binding on the cache that the function uses now, with the keys of its version now."""
        version = self._version()
        if version != self._used:
            with self._lock:
                if version != self._used:
                    self.known = tuple([self._make(binding.cache) for binding in self.known])
                    self._used = version
        return self._found()
