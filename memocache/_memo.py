"""Memo: one decorated function, with its options, its keys, and its site on the cache in use."""

import threading
import time
import weakref
from collections.abc import Callable, Hashable, Sequence
from inspect import Signature
from typing import Any, Final

from memocache._call import Writer
from memocache._entry import Alias, Aliases, Entry
from memocache._fork import in_child
from memocache._instances import Owner, tokens
from memocache._missing import MISSING
from memocache._options import Options
from memocache._place import Place, plain_types
from memocache._readthrough import Seen, Site, compute_only, lead, put, read_through, refresh
from memocache._records import has_own_key
from memocache._registry import is_disabled, present_default, register, with_default
from memocache._steps import Run, Served
from memocache.backends.base import Cache, Lease
from memocache.errors import BackendError, ConfigurationError, UncacheFailed
from memocache.keys import Counted, KeyMaker, Namespace
from memocache.stats import Info

__all__ = ["Memo"]

MOST_PLACES: Final = 16

_memos: Final["weakref.WeakSet[Memo]"] = weakref.WeakSet()


class Memo:
    """One decorated function: all that its public face does is done here, with arguments as they were given."""

    def __init__(self, function: Callable[..., Any], signature: Signature, options: Options) -> None:
        self.function = function
        self.options = options
        self.namespace = Namespace(function, options.namespace)
        self.title = self.namespace.title
        self._counted = Counted(self.title, signature, options.key, options.ignore)
        self._owner = Owner(function)
        self.start_anew()
        # One is all most functions ever have; a default cache for each test, or cache= as a function, makes more.
        self._places: tuple[Place, ...] = ()
        self._latest: Place | None = None  # unless each call asks for its cache
        self._fixed = isinstance(options.cache, Cache)
        self._settled: Place | None = None  # once it will not change any more
        self._aliases = self._own_aliases()
        self._instance_at = self._counted.instance_at if self._owner.is_named else None
        self._types: dict[object, object] = {}
        self._writer = Writer(
            function,
            signature,
            self._counted.names if self._counted.function is None else (),
            begin=self.begin,
            key_function=self._counted.function,
            aliases=self._aliases,
            instance=None if self._instance_at is None else self._counted.names[self._instance_at],
        )
        self.call = self._writer.call()
        self._counted_of: Callable[..., tuple[object, ...]] | None = None
        # Refuse now what will be refused.
        if isinstance(options.cache, Cache):
            self._place_on(options.cache)
        else:
            KeyMaker(self.title, "", self._counted, options.version, self._owner.owns, shared=False)

    def _own_aliases(self) -> Aliases | None:
        options = self.options
        if self._counted.function is not None or options.copied is not None:
            return None
        if options.cache is not None and (not isinstance(options.cache, Cache) or options.cache.shared):
            return None
        aliases = Aliases()
        register(aliases, of_default=options.cache is None)
        return aliases

    # ---- where its entries are -----------------------------------------------------------------------------------

    def place(self) -> Place:
        """Return the function's site on the cache that it uses now."""
        if self._settled is not None:
            return self._settled
        place = self._latest
        if place is not None:
            cache = place.site.cache
            if cache is present_default() and (self._aliases is None or self._aliases.source is cache):
                return place
        place = self._find_place()
        if self._fixed:
            self._settled = place
        elif self.options.cache is None:
            self._latest = place
        return place

    def _find_place(self) -> Place:
        given = self.options.cache
        if given is None:
            place = with_default(self._place_on)
        elif isinstance(given, Cache):
            place = self._place_on(given)
        else:
            cache = given()
            if not isinstance(cache, Cache):
                raise ConfigurationError(
                    f"{self.title}: the function given as cache= returned a {type(cache).__name__}; "
                    "wanted: a cache object"
                )
            place = self._place_on(cache)
        if not place.is_ready:
            self._check_name()
            place.get_ready(self.function)
        return place

    def _place_on(self, cache: Cache) -> Place:
        place = self._known_place(cache)
        if place is None:
            with self._lock:
                place = self._known_place(cache)
                if place is None:
                    place = self._new_place(cache)
                    self._places = (*self._places, place)[-MOST_PLACES:]
        if self._aliases is not None and self._aliases.source is not cache and not cache.shared:
            self._aliases.lead_to(cache)
        return place

    def _known_place(self, cache: Cache) -> Place | None:
        for place in self._places:
            if place.site.cache is cache:
                return place
        return None

    def start_anew(self) -> None:
        """Have a lock that nobody holds: in the beginning, and in a process that was forked while anybody may have."""
        self._lock = threading.RLock()
        _memos.add(self)

    def _new_place(self, cache: Cache) -> Place:
        options = self.options
        namespace = self.namespace.text(shared=cache.shared)
        keys = KeyMaker(self.title, namespace, self._counted, options.version, self._owner.owns, shared=cache.shared)
        site = Site(self.title, cache, (keys.group,), options.policy, options.wait, options.copied)
        return Place(keys, site)

    def _check_name(self) -> None:
        """Raise ConfigurationError if another cached function goes by this one's name; not before both are there."""
        other = getattr(self.namespace.found(), "_self_memo", None)
        if self.options.namespace is None and isinstance(other, Memo) and not other.namespace.is_of(self.function):
            raise ConfigurationError(
                f"{self.title} goes by the same name as another cached function of its module, so that the two would "
                "share entries in a shared cache; give one another name, or pass namespace='...'"
            )

    # ---- methods -------------------------------------------------------------------------------------------------

    def serve_instances(self) -> None:
        """Learn that the function is a method of whatever stands first in its arguments."""
        self._owner.is_anything = True

    def bound_call(self) -> Callable[..., Any] | None:
        """Return the call of the function's bound twins, if it can have some."""
        return self._writer.bound()

    # ---- a call --------------------------------------------------------------------------------------------------

    def begin(self, counted: tuple[object, ...]) -> Run | Entry | Served:
        """Run a call as far as its computation, for the function's own call to go on with."""
        if is_disabled():
            return Run(compute_only())
        place = self._settled or self.place()
        site = place.site
        key = place.key(counted)
        alias = self._alias(counted) if site.direct else None
        # Looked at here, since a hit needs none of the steps, and with the clock's own function: see `now`.
        seen: Seen
        try:
            seen = site.cache.look(key, site.groups, time.time(), site.lease)
        except BackendError as error:
            site.unanswered(error)
            seen = None
        if type(seen) is Entry:
            return site.hit(seen, alias)
        if type(seen) is Lease:
            seen.alias = alias
            return Run(lead(site, seen))
        return Run(read_through(site, key, seen, alias))

    def _alias(self, counted: tuple[object, ...]) -> "Alias | None":
        """Return what makes the next call with these arguments find the entry at once, where that is safe."""
        aliases = self._aliases
        if aliases is None:
            return None
        raw: Sequence[Hashable] = counted
        typed: Sequence[object] = counted
        if self._instance_at is not None:
            at = self._instance_at
            known = tokens.get(id(counted[at]))
            if known is None or has_own_key(counted[at]):  # what that says may change, while a token does not
                return None
            typed = counted[:at] + counted[at + 1 :]
            raw = (*counted[:at], known, *counted[at + 1 :])
        types = plain_types(typed)
        if types is None:
            return None
        # As they are written in _call; one tuple of types for all entries.
        return aliases, raw[0] if len(raw) == 1 else raw, self._types.setdefault(types, types)

    # ---- what the public face does -------------------------------------------------------------------------------

    @property
    def _bind(self) -> Callable[..., tuple[object, ...]]:
        """What binds a call and returns the arguments that count."""
        if self._counted_of is None:
            self._counted_of = self._writer.counted()
        return self._counted_of

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        return self.place().keys.key(self._bind(*args, **kwargs))

    def uncache(self, /, *args: Any, **kwargs: Any) -> bool:
        """Forget exactly this call, and return whether there was anything to forget; see CachedFunction."""
        place = self.place()
        counted = (self._counted_of or self._bind)(*args, **kwargs)
        alias = self._alias(counted) if place.site.direct else None
        entry = None if alias is None else alias[0].table.get(alias[1])
        # An entry that these arguments lead to knows its key, which takes long to make.
        key = entry.key if entry is not None and alias and entry.types == alias[2] else place.keys.key(counted)
        try:
            return place.site.cache.forget(key)
        except BackendError as error:
            raise UncacheFailed(
                f"{self.title}: the cache did not acknowledge that the call was forgotten, "
                f"so that its old result may still be served: {error}"
            ) from error

    def uncache_all(self) -> None:
        place = self.place()
        try:
            place.site.cache.forget_group(place.keys.group)
        except BackendError as error:
            raise UncacheFailed(
                f"{self.title}: the cache did not acknowledge that all calls were forgotten, "
                f"so that old results may still be served: {error}"
            ) from error

    def refresh(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        place, counted = self.place(), self._bind(*args, **kwargs)
        steps = compute_only() if is_disabled() else refresh(place.site, place.keys.key(counted))
        run = Run(steps)
        if run.ready:
            return run.value
        try:
            value = self.function(*args, **kwargs)
        except BaseException as error:
            run.failed(error)
            raise
        return run.computed(value)

    def peek(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        place = self.place()
        key = place.keys.key(self._bind(*args, **kwargs))
        entry = None if is_disabled() else place.site.peek(key)
        return MISSING if entry is None else place.site.served(entry.value)

    def put(self, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        place = self.place()
        key = place.keys.key(self._bind(*args, **kwargs))
        if not is_disabled():
            Run(put(place.site, key, value))

    def info(self) -> Info:
        place = self.place()
        counters = place.site.counters
        usage = place.site.cache.usage(place.keys.group, counters)
        return Info(
            hits=counters.hits + usage.hits,
            misses=counters.misses,
            waits=counters.waits,
            failures=counters.failures,
            stored=counters.stored,
            seconds_saved=counters.saved + usage.saved,
            currsize=usage.size,
            maxsize=usage.limit,
        )

    def clear(self) -> None:
        """Forget every call, and count from zero."""
        self.uncache_all()
        self.place().site.counters.reset()


def _start_anew() -> None:
    for memo in list(_memos):
        memo.start_anew()


in_child(_start_anew)
