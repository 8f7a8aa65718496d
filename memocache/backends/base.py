"""Cache: what a user calls, and the small contract that the read-through needs."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from inspect import CO_COROUTINE
from types import CoroutineType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Concatenate,
    Final,
    NamedTuple,
    ParamSpec,
    Self,
    TypeAlias,
    TypeVar,
    cast,
)

from memocache._clock import ticks
from memocache._counters import Counters
from memocache._effects import Effects, Operation, awaiting, blocking
from memocache._entry import Entry, EntryScope, FastKey, StaleableEntry
from memocache._flight import Flight
from memocache._fork import in_child
from memocache._listeners import listeners, switches
from memocache._living import Living
from memocache._policy import FOREVER, seconds
from memocache._signature import signature_of
from memocache.errors import BackendError, ConfigurationError, SerializationError, with_article

if TYPE_CHECKING:
    from memocache.backends._facts import ServerFacts
    from memocache.backends._listing import Listing
    from memocache.backends.urls import Url

__all__ = [
    "StaleableEntry",
    "Answer",
    "Busy",
    "Cache",
    "CacheCall",
    "Entry",
    "Lease",
    "Stale",
    "Usage",
    "blocks",
    "call_verb",
    "countable",
]


P = ParamSpec("P")
R = TypeVar("R")

Answer: TypeAlias = R | Coroutine[Any, Any, R]
"""The result of a verb: the answer itself, or a coroutine over operations (see `_effects`) that returns it."""


class Busy(NamedTuple):
    """Somebody computes this already: in *flight* if that is in this process, else elsewhere."""

    flight: Flight | None


class Stale(NamedTuple):
    """An entry whose timeout is over, or nearly, that may still be served; with a lease for whoever refreshes it."""

    entry: StaleableEntry
    lease: "Lease | None"


class Lease:
    """The right to fill a key, for a while. Whoever drops it without filling gives it back."""

    __slots__ = ("alias", "block", "created", "flight", "id", "key", "old", "replaces", "size", "tags", "unreadable")

    size: int
    """The bytes that were filled in, on a shared cache; not there before."""

    def __init__(
        self, key: str, tags: tuple[str, ...], flight: Flight, created: float, id_: bytes = b"", block: bytes = b""
    ) -> None:
        self.flight = flight
        self.key = key
        self.tags = tags
        self.created = created  # by the wall clock: before computing, so that what changes meanwhile is not in it
        self.id = id_  # in a shared cache it stands under or beside the key as long as the lease does
        self.block = block  # of the generations under which it was taken
        self.replaces = False  # whether something is there that readers are served meanwhile
        self.old: StaleableEntry | None = None  # what to give back if the refresh fails: it is served on
        self.unreadable: SerializationError | None = None  # why what is under the key is no hit
        self.alias: FastKey | None = None  # what shall lead to the entry, in process

    def __del__(self) -> None:
        # The leader was interrupted where no `finally` of ours could see it: nobody may wait for it.
        try:
            flight = self.flight
        except AttributeError:  # it was while it made this very lease
            return
        if flight.state is None:
            flight.abandon()


class Usage(NamedTuple):
    """The entries of a tag in an in-process cache: their number, and their hits that are not in Counters yet."""

    size: int | None = None
    limit: int | None = None
    hits: int = 0
    seconds_saved: float = 0.0


CHANGES: Final = frozenset(("add", "clear", "dec", "delete", "delete_many", "inc", "set", "set_many"))
"""The methods by which a user changes what is in a cache."""


def _ending_flights(change: Callable[..., R]) -> Callable[..., R]:
    """Return a method that does the same *change*; nobody joins afterwards what was begun without the cache."""

    @functools.wraps(change)
    def changed(self: "Cache", /, *args: Any, **kwargs: Any) -> R:
        try:
            return change(self, *args, **kwargs)
        finally:
            if self.stand_in is not None:
                self.stand_in.clear()

    return changed


# What other libraries call an option of a cache -> what it is here, in one cache or the other.
THEIRS: Final = {
    **dict.fromkeys(
        ("maxsize", "max_size", "max_entries", "capacity", "size", "threshold"), ("threshold", "size_limit")
    ),
    **dict.fromkeys(("ttl", "expire", "expiration", "default_ttl", "timeout"), ("default_timeout",)),
    **dict.fromkeys(("prefix", "namespace", "key_builder"), ("key_prefix",)),
    **dict.fromkeys(("host", "port", "hosts", "server", "endpoint", "url", "client"), ("servers", "url_or_client")),
    **dict.fromkeys(("directory", "cache_dir", "filename", "file", "database"), ("path",)),
}

MOST_LISTED: Final = 1000

EXAMPLES: Final = {
    "servers": "servers=['127.0.0.1:11211']",
    "url_or_client": "url_or_client='redis://127.0.0.1:6379/0'",
}


class Cache(ABC):
    """A place to keep values by key, safe to use from many threads.

    Create it once and keep it around. The methods from `get` to `dec` are for the user, with the names and meanings of
    `werkzeug.contrib.cache` and cachelib; here, as there, *timeout* is in seconds, None means the cache's
    `default_timeout`, and 0 means that the value never expires. They raise what goes wrong (BackendError,
    SerializationError). A user's key may be any text.

    The methods from `look` to `peek` are what the read-through needs of a cache. They raise BackendError where the
    cache cannot be reached or does not answer properly, and no other exception. *tags* are names of tags that the
    entry belongs to: `forget_tag` ends all its entries at once. What a user has `set` under the key of a call
    belongs to none, and so is no result of the call; `put` on the function makes one.
    """

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Check the names of the options: those of other libraries are answered with ours."""
        for word in options.keys() & THEIRS.keys():
            parameters = signature_of(cls.__init__).parameters
            ours = [each for each in THEIRS[word] if each in parameters]
            if ours and word not in parameters:
                right = EXAMPLES.get(ours[0], f"{ours[0]}=")
                raise ConfigurationError(f"{cls.__name__}() has no option {word!r}; use {right}")
        return super().__new__(cls)

    shared: ClassVar[bool]
    """True if other processes see the entries: then keys must be made of names that those know, too."""

    one_machine: bool = False
    """True if only processes of one machine can see the entries: they know the path of a file, too."""

    has_near: ClassVar[bool] = False
    """True if it holds entries in this process: see `near`."""

    clear_heeds_prefix: ClassVar[bool] = False
    """True if `clear` deletes only what has this cache's key_prefix."""

    can_send: ClassVar[bool] = False
    """True if `send` reaches those who `receive`."""

    awaited_only: bool = False
    """True if it serves coroutine functions only, since what is below it can only be awaited."""

    stand_in: "Cache | None" = None
    """The cache in this process with the flights of those calls that this one did not answer, once there was one."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if getattr(cls, "shared", False):
            for name in CHANGES & vars(cls).keys():
                setattr(cls, name, _ending_flights(vars(cls)[name]))

    def __init__(self, default_timeout: "float | str | None") -> None:
        given = 0 if default_timeout is None else seconds(default_timeout, "default_timeout")
        if given < 0:
            raise ConfigurationError(
                f"default_timeout={default_timeout!r} is negative; wanted: seconds above 0, or 0 for ever"
            )
        self.default_timeout = given
        self.default_lifetime = given or FOREVER
        """The default timeout in seconds, infinite where it is 0."""
        _caches.add(self)
        if "operation" in listeners:
            _tell_operations(True, self)

    @classmethod
    def url_arguments(cls, url: "Url") -> dict[str, Any]:
        """Return the arguments for a cache of this class that *url* stands for, which is one of its scheme."""
        raise url.error(f"{cls.__name__} has no URLs; make the object, {cls.__name__}(...)")

    # ---- what a user calls ---------------------------------------------------------------------------------------

    @abstractmethod
    def get(self, key: str) -> object:
        """Return the value under *key*, or None if there is none or it has expired."""

    @abstractmethod
    def set(self, key: str, value: object, timeout: float | None = None) -> bool:
        """Store *value* under *key* for *timeout* seconds; True if it is stored."""

    @abstractmethod
    def add(self, key: str, value: object, timeout: float | None = None) -> bool:
        """Store *value* unless *key* has a value already; True if it is stored."""

    @abstractmethod
    def delete(self, key: str) -> bool:
        """Delete what is under *key*; True if there was something."""

    @abstractmethod
    def has(self, key: str) -> bool:
        """Return whether *key* has a value, be it None."""

    @abstractmethod
    def clear(self) -> bool:
        """Delete everything in the cache, whoever put it there; True if that was done."""

    @abstractmethod
    def inc(self, key: str, delta: int = 1) -> int:
        """Add *delta* to the number under *key* (0 if there is none) atomically, and return the sum.

        The number keeps its time of expiry; a new one gets the default timeout. TypeError if the value is no number.
        """

    def dec(self, key: str, delta: int = 1) -> int:
        """Subtract *delta* from the number under *key* (0 if there is none) atomically, and return the rest."""
        return self.inc(key, -delta)

    def get_many(self, *keys: str) -> list[object]:
        """Return the values of *keys* in their order, None where there is none."""
        found = self.get_dict(*keys)
        return [found[key] for key in keys]

    def get_dict(self, *keys: str) -> dict[str, object]:
        """Return the values by key, None where there is none."""
        return {key: self.get(key) for key in keys}

    def set_many(self, mapping: Mapping[str, object], timeout: float | None = None) -> list[str]:
        """Store all of *mapping* for *timeout* seconds; return the keys that are stored."""
        return [key for key, value in mapping.items() if self.set(key, value, timeout)]

    def delete_many(self, *keys: str) -> list[str]:
        """Delete all *keys*; return those that had something."""
        return [key for key in keys if self.delete(key)]

    def lifetime(self, timeout: float | None) -> float:
        """Return a user's *timeout* as seconds: None is the default, 0 for ever, below 0 not at all."""
        if timeout is None:
            return self.default_lifetime
        return seconds(timeout, "timeout") or FOREVER

    # ---- what the read-through needs -----------------------------------------------------------------------------

    @abstractmethod
    def look(
        self, key: str, tags: tuple[str, ...], now: float, lease: float
    ) -> "Answer[Entry | Stale | Lease | Busy | None]":
        """Return what is fresh under *key*; else take the lease for *lease* seconds; else say who has it.

        It is one step: nobody comes between the looking and the taking. What is no longer fresh and has not expired is
        Stale; one caller gets the lease with it. None means that this caller computes for itself, and stores nothing.
        """

    @abstractmethod
    def claim(self, key: str, tags: tuple[str, ...], now: float, lease: float) -> "Answer[Lease | None]":
        """Take the right to replace what is under *key*, whatever it is; readers go on being served the entry.

        None means that nothing is to be stored.
        """

    @abstractmethod
    def fill(self, lease: Lease, entry: Entry | None) -> "Answer[bool]":
        """Store *entry* if *lease* still stands, and return whether it did; None gives the lease back.

        The lease's own *old* entry gives back the right to refresh it, from its `retry_at` on.

        Raises ValueTooLarge or SerializationError, besides BackendUnavailable, where this entry cannot be stored.
        """

    @abstractmethod
    def forget(self, key: str) -> "Answer[bool]":
        """End the entry and every lease on *key*; True if there was something.

        When it has returned, no value whose computation began before is handed out. It raises if it cannot be sure.
        """

    async def forget_call(self, keys: tuple[str, ...], tag: str) -> bool:
        """End what `forget` ends of *keys*, and `forget_tag` of *tag*; True if there was something under a key.

        It is what `uncache` does. The first is the key of the call, the last the one that it has without a version;
        what other versions have made of it is in the tag, which no other call is in. All of these keys, and what a
        server needs for the tag, are in one place: a cache of ours does it in one round trip, this one by one.
        """
        existed = False
        for key in keys:
            existed = await CacheCall(self, self.forget, (key,)) or existed
        await CacheCall(self, self.forget_tag, (tag,))
        return existed

    @abstractmethod
    def forget_tag(self, tag: str) -> "Answer[None]":
        """End all entries and leases of *tag*, as `forget` does."""

    @abstractmethod
    def peek(self, keys: Sequence[str], tags: Sequence[tuple[str, ...]], now: float) -> "Answer[list[Entry | None]]":
        """Return the entries of *keys*, each in its *tags*, that have not expired; in one round trip."""

    def server_of(self, key: str) -> str | None:
        """Return the address of the server that has *key*, if there are servers and it is known at once."""
        return None

    def size_of(self, entry: Entry, tags: Sequence[str]) -> int | None:
        """Return how many bytes *entry*, in these *tags*, takes here; None if it is an object of this process."""
        return None

    async def awaited(
        self, call: Callable[..., Any], arguments: tuple[Any, ...], unwanted: Callable[[Any], object] | None = None, /
    ) -> Any:
        """Return what *call*, one of the methods above, returns, without blocking the event loop.

        Where coroutines cannot do it, in a thread of a bounded pool. If nobody waits any more for what it returns, that
        is handed to *unwanted*, which may block.
        """
        from memocache._pool import in_own_task, in_pool  # asyncio takes longer to import than all of ours

        self.remember_loop()
        is_coroutine = getattr(getattr(call, "__code__", None), "co_flags", 0) & CO_COROUTINE
        runs_in_tasks = bool(is_coroutine) and self.runs_in_tasks()
        if not (runs_in_tasks or (is_coroutine and self.has_near)):
            return await in_pool(call_verb, (call, *arguments), unwanted)
        coroutine = call(*arguments)
        try:
            operation = coroutine.send(None)
        except StopIteration as stop:  # what is near is returned at once
            return stop.value
        if runs_in_tasks:
            return await in_own_task(awaiting(coroutine, operation), unwanted)
        return await in_pool(blocking, (coroutine, operation), unwanted)

    def runs_in_tasks(self) -> bool:
        """Return whether the operations of its coroutines, if it has some, can be done in the running event loop."""
        return False

    def remember_loop(self) -> None:
        """Learn of the running event loop, before something is done for one of its tasks in a thread of the pool."""

    # ---- what only some caches have ------------------------------------------------------------------------------

    def listing(self, namespace: str | None = None, limit: int = MOST_LISTED) -> "Listing":
        """Return the entries that are stored, or those of one *namespace*, of which *limit* are described.

        It blocks while it is iterated over. BackendError if the cache cannot tell what it holds.
        """
        raise self._cannot_list()

    def _cannot_list(self) -> BackendError:
        return BackendError(f"{self!r} has no command that tells its keys; ask for a single call, by function.entry()")

    def facts(self) -> "Sequence[ServerFacts]":
        """Return what each of its servers tells of itself; it blocks. Nothing where nobody can be asked."""
        return ()

    def forget_listed(self, key: str) -> "Answer[bool]":
        """Forget what a `listing` has told of with this *key*, of which a '#' in front may say that it is a digest."""
        return self.forget(key)

    def name_types(self, annotation: object) -> None:
        """Learn that values of the types in *annotation* (a resolved hint, or a module) may be made from bytes."""

    def usage(self, tag: str, counters: Counters) -> Usage:
        """Return what the cache holds of *tag*, with the hits that belong to *counters*; empty if it is elsewhere."""
        return Usage()

    @property
    def near(self) -> "Cache | None":
        """The cache in this process that holds entries, if any: itself, or a tier. Fast keys may lead to its entries.

        Such an entry, where its scope has counters, has counted already that `look` returns it.
        """
        return None

    @property
    def far(self) -> "Cache":
        """The cache that knows of every forgetting: itself, or the tier that processes share."""
        return self

    def alias(self, entry: Entry, alias: FastKey) -> None:
        """Let *alias* lead to *entry*, as long as it lives in `near`."""

    def introduce(self, scope: EntryScope) -> None:
        """Learn whose the entries in *scope* are, which is not to be kept alive."""

    def remember(self, known: MutableMapping[Any, Any]) -> None:
        """Empty *known*, from which values can be had again, when everything is deleted; it is not to be kept alive."""

    def receive(self, receiver: Callable[[str | None], object]) -> None:
        """Have *receiver* called, in any thread, with each text that any process sends; not in a forked process.

        None stands for texts that may have been lost, as after another connection. Best effort: nothing raises, except
        RuntimeError where there can be no thread for it; then it is asked for again.
        """

    def send(self, text: str) -> "Answer[None]":
        """Hand *text* to all receivers, in every process; best effort: BackendError where that did surely fail."""

    def after_fork(self) -> None:
        """Drop, in a child process, the locks, flights and connections of the parent."""


class CacheCall(Operation):
    """Call a verb of *cache* that may have to wait: blocking this thread, or so that the event loop goes on.

    An answer that comes when nobody waits for it any more is handed to *unwanted*.
    """

    __slots__ = ("arguments", "cache", "unwanted", "verb")

    def __init__(
        self,
        cache: Cache,
        verb: Callable[..., Any],
        arguments: tuple[Any, ...],
        unwanted: Callable[[Any], object] | None = None,
    ) -> None:
        self.cache = cache
        self.verb = verb
        self.arguments = arguments
        self.unwanted = unwanted

    def run(self) -> Any:
        """Call it in this thread."""
        return call_verb(self.verb, *self.arguments)

    async def run_in_task(self) -> Any:
        """Call it without blocking the event loop."""
        if not self.cache.shared:
            return self.verb(*self.arguments)
        return await self.cache.awaited(self.verb, self.arguments, self.unwanted)


def call_verb(verb: "Callable[..., Answer[R]]", *arguments: Any) -> R:
    """Return the answer of a cache's *verb*, in this thread."""
    answer = verb(*arguments)
    return blocking(answer) if isinstance(answer, CoroutineType) else answer  # type: ignore[return-value]


def blocks(method: "Callable[Concatenate[Any, P], Effects[R]]") -> "Callable[Concatenate[Any, P], R]":
    """Return the method that blocks this thread until the coroutine of *method* has ended."""

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return blocking(method(self, *args, **kwargs))

    return call


def countable(key: str, value: object) -> int:
    """Return *value* if it can be counted up, else raise TypeError."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{key!r} holds {with_article(type(value))}; inc and dec need an int")
    return value


_caches: Final[Living[Cache]] = Living()


# ---- what is told of operations: the verbs are others while somebody listens, so that nobody else pays -----------

OPERATIONS: Final = {
    "look": "get",
    "peek": "get_many",
    "claim": "claim",
    "fill": "set",
    "forget": "delete",
    "forget_call": "delete",
    "forget_tag": "delete_tag",
}
"""By verb, the name of the operation, as databases have it where there is one."""


def _tell_operations(on: bool, *caches: Cache) -> None:
    """Have these shared *caches*, or all that there are, tell how long each of their verbs takes; or no longer."""
    for cache in caches or _caches:
        if not cache.shared or cache.has_near:  # of two tiers, the far one tells
            continue
        for name in OPERATIONS:
            has_told = getattr(vars(cache).get(name), "tells", False)
            if on and not has_told and getattr(type(cache), name) is not Cache.forget_call:  # which are several
                setattr(cache, name, _telling(cache, name))
            elif has_told and not on:
                delattr(cache, name)


switches["operation"].append(_tell_operations)


def _telling(cache: Cache, name: str) -> Callable[..., Any]:
    """Return the verb of *cache* with this *name*, which tells those who listen how long it took."""
    verb = getattr(cache, name)

    def told(first: Any, *more: Any) -> Any:
        with _timed(cache, name, first):
            return verb(first, *more)

    async def told_in_coroutine(first: Any, *more: Any) -> Any:
        with _timed(cache, name, first):
            return await verb(first, *more)

    is_coroutine = getattr(getattr(verb, "__code__", None), "co_flags", 0) & CO_COROUTINE
    telling: Any = told_in_coroutine if is_coroutine else told
    telling.tells = True
    return cast("Callable[..., Any]", telling)


@contextmanager
def _timed(cache: Cache, name: str, first: Any) -> Iterator[None]:
    """Tell of the operation inside, the *first* argument of which is a key, keys, a lease or a tag."""
    began, error = ticks(), None
    try:
        yield
    except BaseException as problem:
        error = problem
        raise
    finally:
        if tell := listeners.get("operation"):
            key = first.key if type(first) is Lease else first if isinstance(first, str) else None
            key = first[0] if name == "forget_call" else key
            server = None if key is None or name == "forget_tag" else cache.server_of(key)
            seconds, operation = ticks() - began, OPERATIONS[name]
            tell("", key, cache, seconds=seconds, error=error, operation=operation, server=server)
        del error  # whose traceback leads here


@in_child
def _after_fork() -> None:
    for cache in _caches:
        cache.after_fork()
