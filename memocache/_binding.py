"""Site: a decorated function on one cache; what it asks there, and what it counts."""

import inspect
import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from memocache._clock import now
from memocache._compile import plain_types
from memocache._current import CacheSource, Slot
from memocache._effects import Outcome, Served
from memocache._entry import SECOND, AgingEntry, Alias, Aliases, Entry, Origin
from memocache._failure import Failure
from memocache._hints import resolved
from memocache._policy import Policy, early
from memocache._registry import as_cache
from memocache._views import frameworks, is_response
from memocache.backends.base import Busy, Cache, Lease, Stale
from memocache.errors import BackendError, ConfigurationError, UncacheFailed
from memocache.keys import KeyMaker
from memocache.stats import Counters

__all__ = ["Seen", "Site", "Place", "Places"]

FIRST_LEASE: Final = 60.0
LEAST_LEASE: Final = 2.0
MOST_ORIGINS: Final = 10_000

Seen: TypeAlias = "Entry | Stale | Lease | Busy | None"
"""What a cache says of a key; None if it does not answer."""


@dataclass(slots=True)
class Site:
    """A decorated function on one cache: all that the read-through must know of it."""

    title: str
    cache: Cache
    groups: tuple[str, ...]
    policy: Policy
    wait: float
    copied: Callable[[Any], Any] | None  # what protects an in-process value from its callers
    counters: Counters = field(default_factory=Counters)
    longest: float = 0.0  # computation seen, in seconds
    lease: float = field(init=False)  # for how many seconds a computation may hold its key
    warned: set[str] = field(default_factory=set)
    alone: bool = False  # whether an exception is for its own caller only
    origin: Origin = field(init=False)  # of the entries
    _tagged: dict[tuple[str, ...], Origin] = field(default_factory=dict)
    direct: bool = field(init=False)  # whether the cache is in this process, so that nothing in it can block
    fixed_lifetime: float | None = field(init=False)  # in process, of all results, if it depends on nothing
    near: Cache | None = field(init=False)  # the cache, or its tier, in this process: shortcuts lead there

    def __post_init__(self) -> None:
        self.lease = FIRST_LEASE
        self.origin = Origin(self.groups, self.counters)
        self.direct = not self.cache.shared
        is_plain = self.direct and self.copied is None
        self.fixed_lifetime = self.policy.fixed_lifetime(self.cache.default_lifetime) if is_plain else None
        self.near = self.cache.near
        self.cache.introduce(self.origin)

    def took(self, cost: float) -> None:
        """Learn that a computation has taken *cost* seconds, longer than all before."""
        self.longest = cost
        self.lease = max(LEAST_LEASE, 2 * cost)

    def look(self, key: str, groups: tuple[str, ...], moment: float) -> "Seen":
        """Return what the cache says of *key* at this *moment*; None if it does not answer."""
        try:
            return self.cache.look(key, groups, moment, self.lease)
        except BackendError as error:
            self.unanswered(error)
            return None

    def decline(self, seen: "Seen") -> None:
        """Give back the lease that a look has brought, if any, since nobody is there any more to compute."""
        lease = seen.lease if type(seen) is Stale else seen
        if type(lease) is not Lease:
            return
        if lease.old is not None:
            lease.old.held = 0.0
        try:
            self.cache.fill(lease, lease.old)
        except BackendError as error:
            self.failed("the cache did not take a lease back", error)
        finally:
            lease.flight.abandon()

    def filled(self, stood: bool) -> None:
        """Count that a result was stored; or tell that it was not, since its lease no longer *stood*."""
        if stood:
            self.counters.stored += 1
        else:
            self.failed("a lease was lost while computing, so the result was not stored")

    def outcome(self, value: Any) -> Outcome:
        """Return what is to become of a computed *value*; what the user's functions raise, this does."""
        if frameworks and is_response(value):
            self.failed(
                "a function that is no view returned a response, which belongs to one request, so it was not stored; "
                "return the data, or put @cached on the view itself (view=True if it is not found to be one; an "
                "endpoint of Starlette or FastAPI is one if it takes the request)"
            )
            return Outcome(value, None, 0.0, 0.0, shared=False)
        lifetime = self.policy.lifetime(value, self.cache.default_lifetime)
        kept = value if self.copied is None else self.copied(value)  # the leader may change its own
        return Outcome(value, kept, lifetime, self.policy.stale, shared=True)

    def aging(self, entry: Entry, lifetime: float, stale: float) -> AgingEntry:
        """Return *entry* as one that may be served for *stale* seconds when its timeout is over."""
        until = entry.fresh
        # In this process it is decided now when the first refreshes it; elsewhere by everyone who looks.
        fresh = until - early(entry, lifetime) if self.direct else until
        expires = until + stale
        return AgingEntry(entry.key, entry.value, fresh, expires, entry.cost, entry.origin, until=until)

    def unanswered(self, error: BackendError) -> None:
        """Count and tell that there was an *error* instead of an answer."""
        self.failed("the cache did not answer, so the call was computed and not stored", error)

    def not_forgotten(self, error: BackendError, what: str = "the call was") -> UncacheFailed:
        """Return what a forgetting raises that the cache answered with an *error*."""
        return UncacheFailed(
            f"{self.title}: the cache did not acknowledge that {what} forgotten, "
            f"so that old results may still be served: {error}"
        )

    def untaken(self, error: BackendError) -> None:
        """Count and tell that there was an *error* instead of storing."""
        self.failed("the cache did not take a result", error)

    def unseen(self, error: BackendError) -> None:
        """Count and tell that there was an *error* instead of an answer, where nothing was to be computed."""
        self.failed("the cache did not answer", error)

    def hit(self, entry: Entry, alias: "Alias | None", *, waited: bool = False) -> Entry | Served:
        """Count that *entry* is served, and return what has the value that the caller gets."""
        if not entry.counts:
            if waited:
                self.counters.waits += 1
            else:
                self.counters.hits += 1
                self.counters.saved += entry.cost / SECOND
        if type(entry.value) is Failure:
            raise entry.value.again()
        if alias is not None:
            self.cache.alias(entry, alias)
        return entry if self.copied is None else Served(self.copied(entry.value))

    def old(self, entry: AgingEntry) -> Any:
        """Count that *entry* is served while somebody refreshes it, and return the value that the caller gets."""
        if now() >= entry.until:
            self.counters.stale += 1
        elif entry.counts:
            entry.hits += 1
        else:
            self.counters.hits += 1
            self.counters.saved += entry.cost / SECOND
        return self.served(entry.value)

    def in_groups(self, tags: tuple[str, ...]) -> Origin:
        """Return the origin of the entries that are in the groups *tags*, too."""
        origin = self._tagged.get(tags)
        if origin is None:
            if len(self._tagged) >= MOST_ORIGINS:
                self._tagged.clear()
            origin = self._tagged[tags] = Origin((*self.groups, *tags), self.counters)
            self.cache.introduce(origin)
        return origin

    def served(self, value: Any) -> Any:
        if type(value) is Failure:
            raise value.again()
        return value if self.copied is None else self.copied(value)

    def failed(self, what: str, error: Exception | None = None) -> None:
        """Count that the cache did not do something; log the first time of each kind."""
        self.counters.failures += 1
        kind = f"{what} {type(error).__name__}"
        if kind not in self.warned:
            self.warned.add(kind)
            import logging  # not before something goes wrong: it takes a tenth of the whole import

            logging.getLogger("memocache").warning(
                "%s: %s%s (said once; see info())", self.title, what, f": {error}" if error else ""
            )


MOST_KEYS: Final = 10_000


class Place:
    """A function's site on one cache, with the maker of its keys there."""

    __slots__ = ("_known", "is_ready", "key", "keys", "site", "views")

    def __init__(self, keys: KeyMaker, site: Site) -> None:
        self.keys = keys
        self.site = site
        self.is_ready = site.direct
        self.key: Callable[[tuple[object, ...]], str] = keys.key if site.direct else self._remembered_key
        """Returns the key of a call."""
        self._known: dict[Hashable, str] = {}
        self.views: Any = None
        """What is known of the function as a view, if it has been one."""

    def get_ready(self, function: Callable[..., Any]) -> None:
        """Tell a shared cache the types of the results; not before a call, when every name in the hint is there."""
        self.is_ready = True
        for hint in _return_hint(function):
            self.site.cache.name_types(hint)

    def _remembered_key(self, counted: tuple[object, ...]) -> str:
        """Return the key of a call; remembered for plain arguments, since on a shared cache every hit needs it."""
        types = plain_types(counted)
        if types is None:
            return self.keys.key(counted)
        typed = (types, counted)
        key = self._known.get(typed)
        if key is None:
            key = self.keys.key(counted)
            if len(self._known) >= MOST_KEYS:
                self._known.clear()
            self._known[typed] = key
        return key


def _return_hint(function: Callable[..., Any]) -> list[object]:
    """Return the hint of the result, resolved, if there is one that can be."""
    try:
        return [resolved(function, inspect.unwrap(function).__annotations__.get("return"))]
    except Exception:  # noqa: BLE001 - then it names no types: a value that needs one is told of where it is read
        return []


MOST: Final = 16


class Places:
    """A function's places on the caches that it has used; the *aliases* lead to entries of the one in use.

    Args:
        title: what the function is called in messages.
        source: where the function's cache comes from.
        aliases: the function's shortcut, if it has one.
        make: returns a new place on a cache.
        get_ready: is told of a place that is not ready before the first call there.
    """

    __slots__ = (
        "_aliases",
        "_get_ready",
        "_is_fixed",
        "_latest",
        "_lock",
        "_make",
        "_source",
        "_title",
        "known",
        "settled",
    )

    def __init__(
        self,
        title: str,
        source: CacheSource,
        aliases: Aliases | None,
        make: Callable[[Cache], Place],
        get_ready: Callable[[Place], None],
    ) -> None:
        self._title = title
        self._source = source
        self._is_fixed = isinstance(source, Cache) or (isinstance(source, Slot) and source.is_fixed)
        self._aliases = aliases
        self._make = make
        self._get_ready = get_ready
        # One is all most functions ever have; a default cache for each test, or cache= as a function, makes more.
        self.known: tuple[Place, ...] = ()
        self._latest: Place | None = None  # unless each call asks for its cache
        self.settled: Place | None = None
        """The one in use, once it will not be another any more."""
        self.start_anew()

    def start_anew(self) -> None:
        """Have a lock that nobody holds: in the beginning, and in a process that was forked while anybody may have."""
        self._lock = threading.RLock()

    def current(self) -> Place:
        """Return the place on the cache that the function uses now."""
        if self.settled is not None:
            return self.settled
        place, slot = self._latest, self._source
        if place is not None and isinstance(slot, Slot) and not slot.is_chosen:
            site = place.site
            if site.cache is slot.cache and (self._aliases is None or self._aliases.source is site.near):
                return place
        place = self._found()
        if self._is_fixed:
            self.settled = place
        elif isinstance(slot, Slot):
            self._latest = place
        return place

    def _found(self) -> Place:
        source = self._source
        if isinstance(source, Slot):
            place = source.use(self.on)
        elif isinstance(source, Cache):
            place = self.on(source)
        else:
            returned = source()
            cache = as_cache(returned)
            if cache is None:
                raise ConfigurationError(
                    f"{self._title}: the function given as cache= returned a {type(returned).__name__}; "
                    "wanted: a cache object"
                )
            place = self.on(cache)
        if not place.is_ready:
            self._get_ready(place)
        return place

    def on(self, cache: Cache) -> Place:
        """Return the place on *cache*, which is the one in use from now on."""
        place = self._known_on(cache)
        if place is None:
            with self._lock:
                place = self._known_on(cache)
                if place is None:
                    place = self._make(cache)
                    self.known = (*self.known, place)[-MOST:]
        if self._aliases is not None and self._aliases.source is not cache.near:
            self._aliases.lead_to(cache.near)
        return place

    def _known_on(self, cache: Cache) -> Place | None:
        for place in self.known:
            if place.site.cache is cache:
                return place
        return None
