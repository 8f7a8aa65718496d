"""Memo: one decorated function, with its options, its keys, and its site on the cache in use.

What can be done with a call is in its two kinds, for functions that block (_memo_threads) and for coroutine functions
(_memo_tasks).
"""

import asyncio
import functools
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from inspect import Signature
from typing import Any, ClassVar, Final, TypeAlias, cast

from memocache._binding import Place, Places, Seen, Site
from memocache._clock import now
from memocache._compile import Writer, shortcut
from memocache._current import Slot
from memocache._effects import Run, Served, Steps
from memocache._entry import Aliases, Entry, Origin
from memocache._fork import in_child
from memocache._instances import Owner
from memocache._missing import MISSING
from memocache._options import Options
from memocache._readthrough import Led, compute_only, forget_group, peek, put, read_through, refresh
from memocache._registry import is_disabled, register
from memocache._tags import Tags
from memocache._tasks import TaskRun, keep
from memocache._view_keys import forgetting, may_have_views
from memocache._views import decorated, frameworks, view_call
from memocache.backends.base import Cache, Lease
from memocache.errors import BackendError, ConfigurationError, UncacheFailed, UnkeyableArgument
from memocache.keys import Counted, KeyMaker, Namespace
from memocache.stats import Info

__all__ = ["Memo", "memos", "Looked", "spelt", "ThreadMemo", "TaskMemo", "forget_in_task"]

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


Spelling: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]


def spelt(first: tuple[Any, ...], call: object) -> Spelling:
    """Return *call*, a tuple of positional or a dict of named arguments, with *first* before them."""
    if isinstance(call, tuple):
        return (*first, *call), {}
    if isinstance(call, dict):
        return first, call
    raise TypeError(
        f"many() got {call!r}, a {type(call).__name__}; "
        f"wanted: calls, each a tuple of arguments, such as ({call!r},), or a dict of named ones"
    )


class Looked:
    """What is stored for some *calls* of *memo*'s function, in one round trip."""

    def __init__(self, memo: Memo, calls: Sequence[Spelling]) -> None:
        located = [memo.located(args, kwargs) for args, kwargs in calls]
        self.site = located[0][0] if located else memo.place().site
        self._keys = [key for _, key, _ in located]
        self._groups = [origin.groups for _, _, origin in located]

    def peek(self) -> Steps:
        """Return what is there of each call."""
        return peek(self.site, self._keys, self._groups)

    def fresh(self, entries: Sequence[Entry | None]) -> list[Entry | None]:
        """Return those of *entries* that are fresh; what is older its own call shall have refreshed."""
        moment = now()
        return [entry if entry is not None and moment < entry.fresh else None for entry in entries]

    def hit(self, entry: Entry) -> Any:
        """Count that *entry* is served, and return the value that the caller gets."""
        if entry.counts:
            entry.hits += 1
        return self.site.hit(entry, None).value


class ThreadMemo(Memo):
    """An ordinary function that was decorated."""

    is_async = False

    def begin(
        self,
        counted: tuple[object, ...],
        compute: Callable[[], Any] | None = None,
        *,
        tagged: tuple[object, ...] | None = None,
    ) -> Run | Entry | Served:
        """Run a call as far as its computation, for the function's own call to go on with."""
        if frameworks:
            view = view_call(self, counted, compute)
            if view is not None:
                return cast("Run", view.begin(self, counted, compute, tagged))
        if is_disabled():
            return Run(compute_only())
        place = self.places.settled or self.places.current()
        site = place.site
        key = place.key(counted)
        alias = self.alias(counted) if site.near is not None else None
        origin = site.origin if tagged is None else self.origin(site, tagged)
        # Looked at here, since a hit needs none of the steps, and with the clock's own function: see `now`.
        seen: Seen
        try:
            seen = site.cache.look(key, origin.groups, time.time(), site.lease)
        except BackendError as error:
            site.unanswered(error)
            seen = None
        if type(seen) is Lease:
            seen.alias = alias
            return Led(site, seen, origin)
        if isinstance(seen, Entry):
            return site.hit(seen, alias)
        return Run(read_through(site, key, origin, seen, alias), compute)

    def uncache(self, /, *args: Any, **kwargs: Any) -> bool:
        place = self.places.settled or self.places.current()
        if may_have_views(self, place):
            return bool(Run(forgetting(self, args, kwargs)[1]).value)
        try:
            key = self.known_key(place, (self._counted_of or self.bind)(*args, **kwargs))
        except UnkeyableArgument:
            return bool(Run(forgetting(self, args, kwargs)[1]).value)
        try:
            return place.site.cache.forget(key)  # as the steps of `forget` do, which would take half as long again
        except BackendError as error:
            raise place.site.not_forgotten(error) from error

    def uncache_all(self) -> None:
        place = self.place()
        Run(forget_group(place.site, place.keys.group))

    def uncache_where(self, some: dict[str, Any]) -> None:
        Run(forget_group(self.place().site, self.tags.where(some)))

    def refresh(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        run = Run(compute_only() if is_disabled() else refresh(*self.located(args, kwargs)))
        if run.ready:
            return run.value
        try:
            value = self.function(*args, **kwargs)
        except BaseException as error:
            run.failed(error)
            raise
        return run.computed(value)

    def many(self, first: tuple[Any, ...], calls: Iterable[object]) -> list[Any]:
        asked = [spelt(first, call) for call in calls]
        if is_disabled():
            return [self.function(*args, **kwargs) for args, kwargs in asked]
        looked = Looked(self, asked)
        entries = looked.fresh(Run(looked.peek()).value)
        return [
            looked.hit(entry) if entry is not None else self.call(*args, **kwargs)
            for entry, (args, kwargs) in zip(entries, asked, strict=True)
        ]

    def peek(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        site, key, origin = self.located(args, kwargs)
        (entry,) = (None,) if is_disabled() else Run(peek(site, (key,), (origin.groups,))).value
        return MISSING if entry is None else site.served(entry.value)

    def put(self, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        steps = put(*self.located(args, kwargs), value)
        if not is_disabled():
            Run(steps)

    def clear(self) -> None:
        self.uncache_all()
        self.place().site.counters.reset()


class TaskMemo(Memo):
    """A coroutine function that was decorated."""

    is_async = True

    async def begin(  # type: ignore[override]
        self,
        counted: tuple[object, ...],
        compute: Callable[[], Awaitable[Any]],
        *,
        tagged: tuple[object, ...] | None = None,
    ) -> Any:
        """Return the result of a call that is no hit in process: what is there, or what *compute* makes."""
        if frameworks:
            view = view_call(self, counted, compute)
            if view is not None:
                return await view.begin(self, counted, compute, tagged)
        if is_disabled():
            return await compute()
        place = self.places.settled or self.places.current()
        site = place.site
        key = place.key(counted)
        origin = site.origin if tagged is None else self.origin(site, tagged)
        alias = self.alias(counted) if site.near is not None else None
        if not site.direct:
            return await _taken(site, read_through(site, key, origin, alias=alias), compute)
        seen = site.look(key, origin.groups, now())
        if isinstance(seen, Entry):
            return site.hit(seen, alias).value
        return await _taken(site, read_through(site, key, origin, seen, alias), compute)

    async def uncache(self, /, *args: Any, **kwargs: Any) -> bool:
        site, steps = forgetting(self, args, kwargs)
        return bool(await _taken(site, steps))

    async def uncache_all(self) -> None:
        place = self.place()
        await _taken(place.site, forget_group(place.site, place.keys.group))

    async def uncache_where(self, some: dict[str, Any]) -> None:
        site, group = self.place().site, self.tags.where(some)
        await _taken(site, forget_group(site, group))

    async def refresh(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        compute = partial(self.function, *args, **kwargs)
        if is_disabled():
            return await compute()
        site, key, origin = self.located(args, kwargs)
        return await _taken(site, refresh(site, key, origin), compute)

    async def many(self, first: tuple[Any, ...], calls: Iterable[object]) -> list[Any]:
        asked = [spelt(first, call) for call in calls]
        if is_disabled():
            return await _in_order([self.function(*args, **kwargs) for args, kwargs in asked])
        looked = Looked(self, asked)
        entries = looked.fresh(await _taken(looked.site, looked.peek()))
        return await _in_order(
            [
                _given(looked, entry) if entry is not None else self.call(*args, **kwargs)
                for entry, (args, kwargs) in zip(entries, asked, strict=True)
            ]
        )

    async def peek(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        site, key, origin = self.located(args, kwargs)
        (entry,) = (None,) if is_disabled() else await _taken(site, peek(site, (key,), (origin.groups,)))
        return MISSING if entry is None else site.served(entry.value)

    async def put(self, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        site, key, origin = self.located(args, kwargs)
        if not is_disabled():
            await _taken(site, put(site, key, origin, value), partial(self.function, *args, **kwargs))

    async def clear(self) -> None:
        await self.uncache_all()
        self.place().site.counters.reset()


async def _given(looked: Looked, entry: Entry) -> Any:
    return looked.hit(entry)


async def _in_order(calls: list[Awaitable[Any]]) -> list[Any]:
    """Return the results of *calls*, made at once; when all are over, the first that failed raises."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


async def forget_in_task(todo: list[tuple[Site, Steps]]) -> None:
    """Take all the steps that forget something; also if this task is cancelled, since what they forget has changed."""
    task = asyncio.get_running_loop().create_task(_forgotten(todo))
    keep(task)
    await asyncio.shield(task)


async def _forgotten(todo: list[tuple[Site, Steps]]) -> None:
    failed = None
    for site, steps in todo:
        try:
            await _taken(site, steps)
        except UncacheFailed as error:  # the others can be forgotten all the same
            failed = error
    if failed is not None:
        raise failed


async def _nothing() -> None:
    """Stand for the computation of steps that have none."""


async def _taken(site: Site, steps: Steps, compute: Callable[[], Awaitable[Any]] = _nothing) -> Any:
    """Take *steps* as far as they go, and return what the caller gets."""
    return await TaskRun(steps, compute, None if site.direct else site.cache.awaited).result()
