"""Memo: one decorated function, with its options, its keys, and its site on the cache in use.

What can be done with a call is in its two kinds, for functions that block (_memo_threads) and for coroutine functions
(_memo_tasks).
"""

import functools
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from inspect import Signature
from typing import Any, ClassVar, Final

from memocache._call import Writer
from memocache._entry import Aliases, Origin
from memocache._fork import in_child
from memocache._instances import Owner
from memocache._options import Options
from memocache._place import Place
from memocache._places import Places
from memocache._registry import register
from memocache._shortcuts import shortcut
from memocache._site import Site
from memocache._slots import Slot
from memocache._tags import Tags
from memocache._views import decorated
from memocache.backends.base import Cache
from memocache.errors import ConfigurationError
from memocache.keys import Counted, KeyMaker, Namespace
from memocache.stats import Info

__all__ = ["Memo", "memos"]

_memos: Final["weakref.WeakSet[Memo]"] = weakref.WeakSet()


class Memo(ABC):
    """One decorated function: all that its public face does is done here, with arguments as they were given."""

    is_async: ClassVar[bool]
    """Whether it is a coroutine function, so that what it does is awaited."""

    def __init__(self, function: Callable[..., Any], signature: Signature, options: Options) -> None:
        self.function = function
        self.options = options
        self.namespace = Namespace(function, options.namespace)
        self.title = self.namespace.title
        self.signature = signature
        self._counted = Counted(self.title, signature, options.key, options.ignore)
        self.tags = Tags(self.title, options.tags, signature.parameters)
        self._owner = Owner(function)
        self._aliases = self._own_aliases()
        self.places = Places(self.title, options.cache, self._aliases, self._new_place, self._get_ready)
        _memos.add(self)
        self._instance_at = self._counted.instance_at if self._owner.is_named else None
        self.alias = shortcut(self._aliases, len(self._counted.names), self._instance_at)
        self.notes: dict[object, Any] = {}
        """What each adapter of a web framework has found out about the function."""
        self._writer = Writer(
            function,
            signature,
            self._counted.names if self._counted.function is None else (),
            begin=self.begin,
            key_function=self._counted.function,
            aliases=self._aliases,
            instance=None if self._instance_at is None else self._counted.names[self._instance_at],
            is_async=self.is_async,
            hands_over=bool(options.policy.stale) or not self._counted.are_all,
            tagged=self.tags.names if self.tags else None,
        )
        self._counted_of: Callable[..., tuple[object, ...]] | None = None
        self._tagged_of: Callable[..., tuple[object, ...]] | None = None
        # Refuse now what will be refused.
        if isinstance(options.cache, Cache):
            self.places.on(options.cache)
        else:
            self._key_maker(shared=isinstance(options.cache, Slot) and options.cache.shared)
        decorated(self)

    def _own_aliases(self) -> Aliases | None:
        cache = self.options.cache
        if self._counted.function is not None or self.options.copied is not None or self.options.view:
            return None
        if not isinstance(cache, Cache | Slot) or not cache.has_near:
            return None
        if not set(self.tags.names).issubset(self._counted.names):
            return None  # calls that count as one may have different tags, and each is only served what has its own
        aliases = Aliases()
        register(aliases)
        if isinstance(cache, Slot):
            cache.follow(aliases)
        return aliases

    # ---- where its entries are -----------------------------------------------------------------------------------

    def place(self) -> Place:
        """Return the function's place on the cache that it uses now."""
        return self.places.current()

    def _new_place(self, cache: Cache) -> Place:
        options = self.options
        if cache.awaited_only and not self.is_async:
            raise ConfigurationError(
                f"{self.title} is an ordinary function, and the methods of {cache!r} can only be awaited; "
                "make it a coroutine function (async def), or give it another cache"
            )
        keys = self._key_maker(shared=cache.shared)
        site = Site(self.title, cache, (keys.group,), options.policy, options.wait, options.copied)
        return Place(keys, site)

    def _key_maker(self, *, shared: bool) -> KeyMaker:
        """Return the maker of its keys on a cache that is *shared* or not; ConfigurationError if it can have none."""
        namespace = self.namespace.text(shared=shared)
        return KeyMaker(self.title, namespace, self._counted, self.options.version, self._owner, shared=shared)

    def _get_ready(self, place: Place) -> None:
        """Begin to use *place*; ConfigurationError if another cached function goes by this one's name.

        Not at decoration, when that may not be there yet.
        """
        other = getattr(self.namespace.found(), "_self_memo", None)
        if self.options.namespace is None and isinstance(other, Memo) and not other.namespace.is_of(self.function):
            raise ConfigurationError(
                f"{self.title} goes by the same name as another cached function of its module, so that the two would "
                "share entries in a shared cache; give one another name, or pass namespace='...'"
            )
        place.get_ready(self.function)

    # ---- views ----------------------------------------------------------------------------------------------------

    @property
    def has_key_function(self) -> bool:
        """Whether key= is a function, so that what counts is what it returns."""
        return self._counted.function is not None

    @property
    def instance_at(self) -> int | None:
        """Where among the arguments that count a method's instance would be."""
        return self._counted.instance_at

    @property
    def is_method(self) -> bool:
        """Whether the function is written in the body of a class."""
        return self._owner.is_named

    def counts(self, parameter: str) -> bool:
        """Return whether what is given for *parameter* is part of the key as it is."""
        return parameter in self._counted.names

    def become_view(self) -> None:
        """Take no shortcut any more, since what is served depends on the request."""
        if self._aliases is not None:
            self._aliases.close()

    # ---- its own call ---------------------------------------------------------------------------------------------

    @functools.cached_property
    def call(self) -> Callable[..., Any]:
        """The function's own call: written when it is called first, since that takes longer than all else here."""
        return self._writer.call()

    # ---- methods -------------------------------------------------------------------------------------------------

    def serve_instances(self) -> None:
        """Learn that the function is a method of whatever stands first in its arguments."""
        self._owner.be_anything()

    def bound_call(self) -> Callable[..., Any] | None:
        """Return the call of the function's bound twins, if it can have some."""
        return self._writer.bound()

    # ---- what needs no waiting -----------------------------------------------------------------------------------

    @property
    def bind(self) -> Callable[..., tuple[object, ...]]:
        """What binds a call and returns the arguments that count."""
        if self._counted_of is None:
            self._counted_of = self._writer.counted()
        return self._counted_of

    def located(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Site, str, Origin]:
        """Return the site of a call, and its key and origin there."""
        place = self.place()
        site, key = place.site, place.keys.key(self.bind(*args, **kwargs))
        if not self.tags:
            return site, key, site.origin
        if self._tagged_of is None:
            self._tagged_of = self._writer.tagged()
        return site, key, self.origin(site, self._tagged_of(*args, **kwargs))

    def origin(self, site: Site, tagged: tuple[object, ...]) -> Origin:
        """Return the origin on *site* of the call whose arguments for the tags are *tagged*."""
        return site.in_groups(self.tags.groups(tagged)) if self.tags else site.origin

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        return self.located(args, kwargs)[1]

    def known_key(self, place: Place, counted: tuple[object, ...]) -> str:
        """Return the key of a call: it takes long to make, and an entry that the arguments lead to knows it."""
        alias = self.alias(counted) if place.site.near is not None else None
        entry = None if alias is None else alias[0].table.get(alias[1])
        return entry.key if entry is not None and alias and entry.types == alias[2] else place.keys.key(counted)

    def info(self) -> Info:
        place = self.place()
        counters = place.site.counters
        usage = place.site.cache.usage(place.keys.group, counters)
        return Info(
            hits=counters.hits + usage.hits,
            misses=counters.misses,
            stale=counters.stale,
            waits=counters.waits,
            failures=counters.failures,
            stored=counters.stored,
            seconds_saved=counters.saved + usage.saved,
            currsize=usage.size,
            maxsize=usage.limit,
        )

    def forget_in_process(self) -> None:
        """Forget every call that is stored in this process, and count from zero on every cache."""
        for place in self.places.known:
            if place.site.near is not None:
                place.site.near.forget_group(place.keys.group)
            place.site.counters.reset()

    # ---- what may wait: for coroutine functions, each of these returns an awaitable --------------------------------

    @abstractmethod
    def begin(
        self,
        counted: tuple[object, ...],
        compute: Callable[[], Any] | None = None,
        *,
        tagged: tuple[object, ...] | None = None,
    ) -> Any:
        """Begin a call that is no hit in process, for the function's own call to go on with.

        *compute* calls the function, where somebody else than that may have to. *tagged* are the arguments that its
        tags name.
        """

    @abstractmethod
    def uncache(self, /, *args: Any, **kwargs: Any) -> Any:
        """Forget exactly this call, and return whether there was anything to forget; see CachedFunction."""

    @abstractmethod
    def uncache_all(self) -> Any:
        """Forget every call."""

    @abstractmethod
    def uncache_where(self, some: dict[str, Any]) -> Any:
        """Forget the calls with *some* arguments."""

    @abstractmethod
    def many(self, first: tuple[Any, ...], calls: Iterable[object]) -> Any:
        """Return the results of *calls*, whose arguments *first* stands before."""

    @abstractmethod
    def refresh(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Compute a call now, store and return the result."""

    @abstractmethod
    def peek(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what is stored for a call, or MISSING."""

    @abstractmethod
    def put(self, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Store *value* as the result of a call."""

    @abstractmethod
    def clear(self) -> Any:
        """Forget every call, and count from zero."""


def memos() -> "list[Memo]":
    """Return those of the functions that were decorated in this process and are still there."""
    return list(_memos)


def _start_anew() -> None:
    for memo in memos():
        memo.places.start_anew()


in_child(_start_anew)
