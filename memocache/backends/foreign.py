"""ForeignCache: values in somebody else's object with get, set and delete; how to call it, told by its signatures."""

import inspect
import math
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from contextlib import nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from memocache import _envelope
from memocache._clock import now as clock
from memocache._effects import Operation
from memocache._entry import Entry, StaleableEntry
from memocache._envelope import ERROR, LEASE, VALUE, Envelope
from memocache._flight import Flight
from memocache._fork import in_child
from memocache._policy import FOREVER
from memocache._signature import signature_of
from memocache.backends._leases import ATTEMPTS, FencedCache, KeyState, LeaseRequest, PreparedRead
from memocache.backends._shared import (
    GENERATION_MAGIC,
    LONGEST_EXPIRY,
    block_of,
    is_generation,
    is_lease,
    is_present,
    new_generation,
)
from memocache.backends._wire import Breaker
from memocache.backends.base import Busy, Lease, blocks, countable
from memocache.errors import BackendError, BackendUnavailable, ConfigurationError, told, with_article
from memocache.keys import CALL
from memocache.serializers import Serializer
from memocache.serializers._codec import COMPRESS_ABOVE, ValueCodec
from memocache.serializers._compression import Method
from memocache.serializers._signing import Secret

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["Foreign", "ForeignObject", "is_foreign", "OWN", "ForeignCache", "wrapping"]

NEEDED: Final = ("get", "set", "delete")
MANY: Final = ("get_many", "multi_get", "get_multi", "mget")
CLEAR: Final = ("clear", "flush_all", "flushdb")
# As cachelib and Django, aiocache, pymemcache, redis-py, pylibmc have it.
TIMEOUT: Final = ("timeout", "ttl", "expire", "ex", "time")
LONG: Final = 20 * 365 * 86400  # seconds
MOST_FLIGHTS: Final = 10_000
SLOTS: Final = 1024


class Getting(Protocol):
    """An object that has get, set and delete, whatever else they take."""

    def get(self, key: Any, /) -> Any: ...
    def set(self, key: Any, value: Any, /) -> Any: ...
    def delete(self, key: Any, /) -> Any: ...


Foreign: TypeAlias = "Getting | MutableMapping[Any, Any]"
"""An object that ForeignCache takes."""


def is_foreign(given: object) -> bool:
    """Return whether *given* is a Foreign, or a class of such objects."""
    if isinstance(given, type):
        return not _missing(given) or issubclass(given, MutableMapping)
    return not _missing(given) or isinstance(given, MutableMapping)


def _missing(given: object) -> list[str]:
    return [name for name in NEEDED if not callable(getattr(given, name, None))]


class ForeignCall(Operation):
    """Call a method of somebody else's object; an error of its own becomes BackendUnavailable."""

    __slots__ = ("_arguments", "_name", "_object", "_options")

    def __init__(self, foreign: "ForeignObject", name: str, arguments: Sequence[object], options: dict[str, object]):
        self._object = foreign
        self._name = name
        self._arguments = arguments
        self._options = options

    def _call(self) -> Any:
        # By name each time: what Django calls its cache is another object in each thread.
        return getattr(self._object.given, self._name)(*self._arguments, **self._options)

    def run(self) -> Any:
        """Call it in this thread; a coroutine function is awaited in its event loop, while this thread waits."""
        foreign = self._object
        if foreign.is_async:
            return self._run_in_loop()
        try:
            return self._call()
        except Exception as error:
            raise foreign.failed(error) from error

    async def run_in_task(self) -> Any:
        """Await it."""
        try:
            return await self._call()
        except Exception as error:
            raise self._object.failed(error) from error

    def _run_in_loop(self) -> Any:
        import asyncio  # which takes longer to import than all of ours

        loop = _home.get() or self._object.loop
        if loop is None or asyncio._get_running_loop() is not None:
            raise ConfigurationError(
                f"the methods of {self._object.name} are coroutine functions, and nothing here can await them; "
                'call this as in: await cache.awaited(cache.get, ("key",))'
            )
        coroutine = self.run_in_task()
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        except RuntimeError:
            coroutine.close()
            raise BackendUnavailable("the event loop that it is used in has ended") from None
        while True:
            try:
                return future.result(GLANCE)
            except TimeoutError:  # not of the object: that has become a BackendError
                if not loop.is_running():
                    future.cancel()
                    raise BackendUnavailable("the event loop that it is used in has ended") from None


class ForeignObject:
    """Somebody else's object: its bytes are read, set and deleted by coroutines over ForeignCall."""

    def __init__(self, given: Any) -> None:
        self.name = type(given).__qualname__
        missing = _missing(given)
        if isinstance(given, type):
            raise ConfigurationError(
                f"ForeignCache() got the class {given.__name__}; wanted: one of its objects, that is kept"
            )
        self._mapped: Mapped | None = None
        if missing and isinstance(given, MutableMapping):
            given = self._mapped = Mapped(given)
        elif missing:
            raise ConfigurationError(
                f"ForeignCache() got {with_article(type(given))}, which has no {' and no '.join(missing)}; "
                "wanted: an object with get, set and delete, or a mapping such as a dict"
            )
        self.given = given
        self.loop: AbstractEventLoop | None = None  # the one in which it was awaited last
        self.is_async = self._is_async(given)
        self._get_many = _first(given, MANY)
        self._takes_list = self._get_many is not None and not _is_variadic(getattr(given, self._get_many))
        self._set_options = Timing(given.set)
        self._add_options = Timing(given.add) if _first(given, ("add",)) else None
        self._delete_options = _acknowledged(given.delete)
        self._clear = _first(given, CLEAR)
        self.after_fork()

    def _is_async(self, given: Any) -> bool:
        kinds = {name: inspect.iscoroutinefunction(getattr(given, name)) for name in NEEDED}
        if len(set(kinds.values())) == 2:
            raise ConfigurationError(
                f"ForeignCache() got {with_article(type(given))}, of which some methods are coroutine functions "
                f"({', '.join(name for name, kind in kinds.items() if kind)}) and some are not; wanted: all or none"
            )
        # The commands of redis-py's client for asyncio are ordinary functions, of which the answer is awaited.
        return kinds["get"] or inspect.iscoroutinefunction(getattr(type(given), "execute_command", None))

    def after_fork(self) -> None:
        """Use no lock that a parent process may hold."""
        self._breaker = Breaker(self.name)
        self.loop = None
        if self._mapped is not None:
            self._mapped.after_fork()

    def failed(self, error: Exception) -> BackendUnavailable:
        """Return what to raise for an *error* of the object's."""
        return BackendUnavailable(f"{self.name} failed: {told(error)}")

    def _ask(self, name: str, *arguments: object, **options: object) -> ForeignCall:
        return ForeignCall(self, name, arguments, options)

    # ---- what may wait -------------------------------------------------------------------------------------------

    async def read(self, keys: Sequence[str], *, urgent: bool = False) -> list[bytes | None]:
        """Return what is under *keys*, in their order, in one round trip if the object can do that.

        While it is failing, it is left alone for growing moments, unless it is *urgent*. Only reading decides that: an
        error of writing may be one value's own.
        """
        self._breaker.guard(urgent=urgent)
        try:
            found = await self._read(keys)
        except BackendUnavailable as error:
            self._breaker.note(error)
            raise
        self._breaker.succeeded()
        return [data if type(data) is bytes else None for data in found]

    async def _read(self, keys: Sequence[str]) -> list[object]:
        found: Any
        answers: list[object] = []
        if self._get_many is None or len(keys) == 1:
            for key in keys:
                answers.append(await self._ask("get", key))
            return answers
        found = await self._ask(self._get_many, *([list(keys)] if self._takes_list else keys))
        if isinstance(found, Mapping):
            return [found.get(key) for key in keys]
        answers = list(found) if isinstance(found, Iterable) else []
        if len(answers) != len(keys):
            raise BackendUnavailable(f"{self.name} was asked for {len(keys)} keys, and did not answer with as many")
        return answers

    async def set(self, key: str, data: bytes, lifetime: float) -> None:
        """Set *data* for at least *lifetime* seconds."""
        done = await self._ask("set", key, data, **self._set_options(lifetime))
        if done is False:
            raise BackendUnavailable(f"{self.name} did not store what it was given")

    async def add(self, key: str, data: bytes, lifetime: float) -> bool:
        """Set *data* where there is nothing; atomically if the object can. Whether it was set, as far as that says."""
        if self._add_options is None:
            await self.set(key, data, lifetime)
            return True
        try:
            done = await self._ask("add", key, data, **self._add_options(lifetime))
        except BackendUnavailable as error:
            if type(error.__cause__) is ValueError:  # aiocache's way to say that there is something
                return False
            raise
        return done is None or bool(done)

    async def delete(self, key: str) -> None:
        """Delete what is under *key*."""
        await self._ask("delete", key, **self._delete_options)

    async def clear(self) -> bool:
        """Delete everything."""
        if self._clear is None:
            raise ConfigurationError(f"clear() needs a {self.name} with clear; it has {', '.join(NEEDED)}")
        return (await self._ask(self._clear)) is not False


class Timing:
    """How a method is told for how many seconds to keep what it is given."""

    def __init__(self, method: Callable[..., Any]) -> None:
        parameters = _parameters(method)
        takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        named = [name for name in TIMEOUT if name in parameters]
        self._options = _acknowledged(method)
        # What hands on any options is taken for one like Flask-Caching, which hands them to one of cachelib's.
        self._name = named[0] if named else "timeout" if takes_any else None
        default = parameters[named[0]].default if named else None
        self._forever: dict[str, object] = {}
        if self._name == "timeout" and default is None:
            # To cachelib None is its default, and 0 for ever; but what is for ever leaves first when it is full.
            self._forever = {"timeout": LONG}
        elif self._name is not None and default not in (None, 0):
            self._forever = {self._name: None}  # to Django and aiocache; the default is one of theirs

    def __call__(self, lifetime: float) -> dict[str, object]:
        """Return the options for at least *lifetime* seconds: the envelope knows better."""
        if self._name is None:
            return self._options
        if lifetime == FOREVER or lifetime + 1 > LONGEST_EXPIRY:
            return {**self._options, **self._forever}
        return {**self._options, self._name: max(2, math.ceil(lifetime) + 1)}


class Mapped:
    """A mapping with the methods of a cache. A lock is round each of them, since not every mapping can do without."""

    def __init__(self, mapping: MutableMapping[Any, Any]) -> None:
        self._mapping = mapping
        self.after_fork()

    def after_fork(self) -> None:
        self._lock = threading.RLock()

    def get(self, key: str) -> Any:
        with self._lock:
            return self._mapping.get(key)

    def get_many(self, keys: Sequence[str]) -> list[Any]:
        with self._lock:
            return [self._mapping.get(key) for key in keys]

    def set(self, key: str, data: bytes) -> None:
        with self._lock:
            self._mapping[key] = data

    def add(self, key: str, data: bytes) -> bool:
        with self._lock:
            if key in self._mapping:
                return False
            self._mapping[key] = data
            return True

    def delete(self, key: str) -> None:
        with self._lock:
            self._mapping.pop(key, None)

    def clear(self) -> None:
        with self._lock:
            self._mapping.clear()


def _first(given: object, names: Iterable[str]) -> str | None:
    """Return the first of *names* that is a method of *given*; diskcache's FanoutCache raises where it has none."""
    for name in names:
        with suppress(Exception):
            if callable(getattr(given, name, None)):
                return name
    return None


def _parameters(method: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return signature_of(method).parameters
    except (ValueError, TypeError):  # what is written in C may not tell
        return {}


def _is_variadic(method: Callable[..., Any]) -> bool:
    return any(each.kind is each.VAR_POSITIONAL for each in list(_parameters(method).values())[:1])


def _acknowledged(method: Callable[..., Any]) -> dict[str, object]:
    """Return the options with which *method* waits for the server's answer: pymemcache's does not by itself."""
    return {"noreply": False} if "noreply" in _parameters(method) else {}


class LocalFlights:
    """Who computes what in this process, under which generations: nobody joins a flight from before a forgetting.

    Whoever has looked in the cache and found nothing leads only if no flight on the key has ended since before that
    look: its result may be there now.

    Args:
        lost: those before a fork, if their leases are known to be led by nobody any more.
    """

    def __init__(self, lost: "LocalFlights | None" = None) -> None:
        self._lock = threading.RLock()
        self._flights: dict[tuple[str, bytes], Flight] = {}
        self._ended = [0] * SLOTS  # how many flights, by the key's slot
        self._token: bytes = os.urandom(8) if lost is None else lost._token

    def new_id(self) -> bytes:
        """Return an id for a lease by which this process knows its own."""
        return self._token + os.urandom(8)

    def has_made(self, lease_id: bytes) -> bool:
        """Return whether this process has made *lease_id*, for a flight that it leads or has lost."""
        return lease_id.startswith(self._token)

    def ended(self, key: str) -> int:
        """Return a number that changes when a flight on *key* ends."""
        return self._ended[hash(key) % SLOTS]

    def flight(self, key: str, block: bytes) -> Flight | None:
        """Return the flight on *key* under these generations, if somebody leads it."""
        flight = self._flights.get((key, block))
        return None if flight is None or flight.over else flight

    def lead(self, flight: Flight, block: bytes, ended: int | None) -> bool:
        """Let *flight* be the one on its key under these generations; not if there is one, or one has *ended* since.

        With None for *ended* it takes the place of whichever is there.
        """
        key = flight.key
        with self._lock:
            if ended is not None and (self.flight(key, block) is not None or self.ended(key) != ended):
                return False
            if len(self._flights) >= MOST_FLIGHTS:  # those that have lost their leaders first
                over = [place for place, each in self._flights.items() if each.over]
                for place in over or list(self._flights)[:1]:
                    del self._flights[place]
            self._flights[key, block] = flight
            return True

    def end(self, flight: Flight, block: bytes) -> None:
        """Note that what comes of *flight*, if anything, is in the cache."""
        place = flight.key, block
        with self._lock:
            if self._flights.get(place) is flight:
                del self._flights[place]
            self._ended[hash(flight.key) % SLOTS] += 1


OWN: Final = ""  # the name, in a block, of the generation that is a key's own


@dataclass(slots=True, kw_only=True)
class ForeignRead(PreparedRead):
    """A prepared read of a key, its own generation and those of its tags."""

    names: list[str]


GLANCE: Final = 1.0  # seconds
_home: Final["ContextVar[AbstractEventLoop | None]"] = ContextVar("memocache_home", default=None)
"""The event loop in which this thread may have something awaited."""


class ForeignCache(FencedCache[ForeignRead]):
    """A cache in an object of another library, with all that this one promises.

    The object has `get`, `set` and `delete`: one of cachelib, Flask-Caching's or Django's, a pymemcache client, a
    `diskcache.Cache`, one of aiocache; or it is a mapping, such as a dict or a `cachetools.TTLCache`. Whatever else it
    has of `get_many`, `add` and `clear` is made use of. `cached(cache=...)`, `configure` and `uncache_tag` take such an
    object as it is, and make a ForeignCache of it.

    It holds bytes, also where it is in this process: a mapping may be a shelf on a disk. Beside each key it has a
    generation, random bytes that take 19 and stay until the object evicts them; so give the object a limit. It has to
    be as safe in threads as your program needs it; a mapping gets a lock. Where its methods are coroutine functions, it
    serves coroutine functions only; its own methods are then called as in `await cache.awaited(cache.get, ("key",))`.

    That a forgetting holds does not depend on the object being atomic. That a key is computed once does, for other
    processes, depend on `add`; and `inc`, `dec` and `add` of this class are atomic within the process only.

    >>> cache = ForeignCache({}, default_timeout=60)
    >>> cache.set("answer", 42)
    True
    >>> cache.get("answer")
    42

    Args:
        given: the object. Errors that it raises count as a cache that is down.
        default_timeout: seconds for which a value is kept that was given no timeout of its own; 0 for ever.
        key_prefix: stands before all keys; printable ASCII, at most 100 characters.
        serializer: makes bytes of values; None for a SafeSerializer.
        compress, compress_above, secret: as of MemcachedCache.

    Raises:
        ConfigurationError: for an object that lacks one of the three, and for options that cannot work.
    """

    longest_key = 200  # the object may have a prefix of its own

    def __init__(
        self,
        given: Foreign,
        default_timeout: float | str | None = 300,
        key_prefix: str = "",
        *,
        serializer: Serializer | None = None,
        compress: Method | None = None,
        compress_above: int = COMPRESS_ABOVE,
        secret: Secret | None = None,
    ) -> None:
        self.wrapped = given
        """The object."""
        self._object = ForeignObject(given)
        self.awaited_only = self._object.is_async
        self.after_fork()
        codec = ValueCodec(serializer, compress, compress_above, secret)
        super().__init__(default_timeout, key_prefix, codec)

    def __repr__(self) -> str:
        return (
            f"ForeignCache({self._object.name}, default_timeout={self.default_timeout:g}, key_prefix={self._prefix!r})"
        )

    def after_fork(self) -> None:
        """Join no flight of the parent's, and wait for none of its locks."""
        # What was in a dict at the fork is this process's own: whoever computes in the parent fills that of the parent.
        former = vars(self).get("_flights") if type(self.wrapped) is dict else None
        self._flights = LocalFlights(lost=former)
        self._counting = threading.RLock()
        self._init_locks = [threading.RLock() for _ in range(64)]
        self._object.after_fork()

    # ---- threads and tasks ---------------------------------------------------------------------------------------

    def runs_in_tasks(self) -> bool:
        """Return whether the object's methods are coroutine functions."""
        return self.awaited_only

    def remember_loop(self) -> None:
        """Learn where the object's methods can be awaited."""
        if self.awaited_only:
            import asyncio

            loop = self._object.loop = asyncio.get_running_loop()
            _home.set(loop)

    # ---- where things stand --------------------------------------------------------------------------------------

    def _own_generation(self, key: str) -> str:
        """Return the name of the generation that is the key's own."""
        return f"{self._prefix}#:{self._wire(key)[len(self._prefix) :]}"

    def _generation(self, tag: str) -> str:
        """Return the name of the generation of *tag*; that of a call is the own one of its key without a version."""
        return self._own_generation(tag.removeprefix(CALL)) if tag.startswith(CALL) else self._wire(tag)

    # ---- the steps of the read-through ---------------------------------------------------------------------------

    def _new_read(self, key: str, tags: tuple[str, ...]) -> ForeignRead:
        wire = self._wire(key)
        return ForeignRead(
            key=key,
            tags=tags,
            wire=wire,
            digest=self._digest(key),
            heads=[_envelope.generation_head(name) for name in (OWN, *tags)],
            names=[wire, self._own_generation(key), *map(self._generation, tags)],
        )

    async def _read(self, target: ForeignRead) -> KeyState:
        ended = self._flights.ended(target.key)
        data, *generations = await self._object.read(target.names)
        return target.interpret(None, data, generations, ended=ended)

    async def _read_many(self, targets: Sequence[ForeignRead]) -> list[KeyState]:
        found = await self._named([name for target in targets for name in target.names])
        states = []
        for target in targets:
            data, *generations = [found[name] for name in target.names]
            states.append(target.interpret(None, data, generations))
        return states

    async def _init(self, target: ForeignRead, state: KeyState, lease: float, attempt: int) -> KeyState:
        for name, generation in zip(target.names[1:], state.generations, strict=True):
            if generation is None or not is_generation(generation):
                await self._init_one(name)
        return await self._read(target)

    async def _init_one(self, name: str) -> None:
        """Set a generation where there is none, one thread at a time: each would overwrite what another has read."""
        with nullcontext() if self._object.is_async else self._init_locks[hash(name) % len(self._init_locks)]:
            (generation,) = await self._object.read([name])
            if generation is None:
                await self._object.add(name, new_generation(), FOREVER)
            elif not is_generation(generation):  # junk of somebody else's
                await self._object.set(name, new_generation(), FOREVER)

    async def _named(self, names: Iterable[str]) -> dict[str, bytes | None]:
        """Return what stands under *names*, by name."""
        different = list(dict.fromkeys(names))
        return dict(zip(different, (await self._object.read(different)), strict=True)) if different else {}

    def _leader(self, wanted: LeaseRequest[ForeignRead]) -> Busy | None:
        """Return the flight in this process, or that there is one in another."""
        envelope = wanted.state.envelope
        flight = self._flights.flight(wanted.target.key, wanted.block)
        if flight is not None:
            return Busy(flight)
        # Where it was this process, that has lost its leader.
        is_led = envelope is not None and is_lease(envelope, wanted.now) and not self._flights.has_made(envelope.id)
        return Busy(None) if is_led else None

    async def _take(self, wanted: LeaseRequest[ForeignRead], old: StaleableEntry | None = None) -> Lease | None:
        """Lead a flight in this process; and put a marker for others, or give what is *old* another id."""
        taken = self._lead(wanted, self._flights.new_id())
        if taken is None:
            return None
        is_ours = False
        try:
            packed, lifetime = self._pack_claim(wanted, taken.id, old)
            # An `add` is refused also where something stands that is not to be read.
            if wanted.state.data is None and wanted.attempt < ATTEMPTS // 2:
                is_ours = await self._object.add(wanted.target.wire, packed, lifetime)
            else:
                await self._object.set(wanted.target.wire, packed, lifetime)
                is_ours = True
        finally:
            if not is_ours:
                self._flights.end(taken.flight, wanted.block)
        return taken if is_ours else None

    def _lead(self, wanted: LeaseRequest[ForeignRead], lease_id: bytes) -> Lease | None:
        """Return the lease with this *lease_id*, whose flight others in this process find; None if one was quicker."""
        taken = wanted.lease(lease_id)
        if self._object.is_async:
            # For others in this thread's loop may find it before the task that leads it says so.
            taken.flight.thread = 0
        return taken if self._flights.lead(taken.flight, wanted.block, wanted.state.ended) else None

    async def _overrule(self, wanted: LeaseRequest[ForeignRead]) -> Lease | None:
        """Have the lease by a value's own id, or put a marker in place of anything else."""
        envelope = wanted.state.envelope
        wanted = wanted._replace(state=wanted.state._replace(ended=None))
        if envelope is None or envelope.kind > ERROR:
            return await self._take(wanted)
        return self._lead(wanted, envelope.id)

    async def _store(self, target: ForeignRead, lease: Lease, packed: bytes | None, lifetime: float) -> bool:
        """Set it if the lease's id and generations are there; should they change meanwhile, it does not count."""
        try:
            envelope = (await self._read(target)).envelope
            if envelope is None or envelope.id != lease.id:
                return False
            if packed is not None:
                await self._object.set(target.wire, packed, lifetime)
            elif envelope.kind == LEASE:  # where it was to replace a value, that stays
                await self._object.delete(target.wire)
            else:
                return False
            return True
        finally:
            self._flights.end(lease.flight, lease.block)

    # ---- forgetting ----------------------------------------------------------------------------------------------

    async def forget(self, key: str) -> bool:
        """Give the key another generation, and see that it has it; and delete what stands there."""
        return await self._forgotten(key)

    async def forget_call(self, keys: tuple[str, ...], tag: str) -> bool:
        """Give the call another generation, which its entries of all versions carry."""
        return await self._forgotten(*keys)

    async def _forgotten(self, *keys: str) -> bool:
        """Give the last of *keys* another generation, which what stands under the others carries, too."""
        own, wires = self._own_generation(keys[-1]), list(map(self._wire, keys))
        *found, before = await self._object.read([*wires, own], urgent=True)
        left = await self._renew(own, *wires)
        existed, now = False, clock()
        for key, wire, data, after in zip(keys, wires, found, left, strict=True):
            if data is not None and after == data:
                with suppress(BackendError):  # it does not count any more, and only takes room
                    await self._object.delete(wire)
            envelope = self._unpack(key, data)
            if envelope is not None and before is not None and _carries(envelope, before):
                existed = existed or is_present(envelope, now) or is_lease(envelope, now)
        return existed

    async def forget_tag(self, tag: str) -> None:
        """Give the tag another generation, and see that it has it."""
        await self._renew(self._generation(tag))

    async def _renew(self, name: str, *beside: str) -> list[bytes | None]:
        """Set another generation; return what stands under *beside* when it is there.

        Many an object says nothing when it could not set, or not get. So what was set is read. Another generation may
        be somebody else's new one, or the old one; it is new where it was not there after we had begun.
        """
        seen: set[bytes] = set()
        for _ in range(ATTEMPTS):
            generation = new_generation()
            await self._object.set(name, generation, FOREVER)
            after, *left = await self._object.read([name, *beside], urgent=True)
            if after is None:
                break
            if after == generation or (seen and after not in seen and is_generation(after)):
                return left
            seen.add(after)
        raise BackendUnavailable(
            f"{self._object.name} does not keep the generation that it was given to forget by "
            "(if it never keeps anything: that is what NullCache is for)"
        )

    def size_of(self, entry: Entry, tags: Sequence[str]) -> int | None:
        """Return how many bytes *entry* takes in the object, without its key."""
        return super().size_of(entry, (OWN, *tags))

    # ---- what a user calls ---------------------------------------------------------------------------------------

    async def _found(self, *keys: str) -> dict[str, Envelope]:
        """Return the envelopes of values that count now, be they the user's own or a function's."""
        now, present = clock(), dict[str, tuple[Envelope, list[str]]]()
        found = await self._named([name for key in keys for name in (self._wire(key), self._own_generation(key))])
        for key in keys:
            envelope = self._unpack(key, found[self._wire(key)])
            if envelope is not None and envelope.kind == VALUE and is_present(envelope, now):
                tags = _envelope.tags_of(envelope.block)[1:]
                present[key] = envelope, [self._own_generation(key), *map(self._generation, tags)]
        further = [name for _, names in present.values() for name in names if name not in found]
        if further:
            found.update(await self._named(further))
        return {
            key: envelope
            for key, (envelope, names) in present.items()
            if block_of(_heads(envelope), [found[name] for name in names]) == envelope.block
        }

    def get(self, key: str) -> object:
        """Return the value under *key*, or None if there is none or it has expired."""
        return self.get_dict(key)[key]

    @blocks
    async def get_dict(self, *keys: str) -> dict[str, object]:
        """Return the values by key, None where there is none; in one round trip if the object can do that."""
        found = await self._found(*keys)
        return {key: self._opened(key, found[key]).value if key in found else None for key in keys}

    @blocks
    async def has(self, key: str) -> bool:
        """Return whether *key* has a value, be it None."""
        return key in (await self._found(key))

    @blocks
    async def set(self, key: str, value: object, timeout: float | None = None) -> bool:
        """Store *value* under *key* for *timeout* seconds; True if it is stored."""
        lifetime = self.lifetime(timeout)
        if lifetime <= 0:
            await self._forgotten(key)
            return False
        now = clock()
        await self._put(Entry(key, value, now + lifetime), now)
        return True

    async def _put(self, entry: Entry, now: float) -> None:
        """Set *entry* under another generation, so that what is being computed now will not count."""
        generation = new_generation()
        block = block_of([_envelope.generation_head(OWN)], [generation])
        assert block is not None
        packed = self._pack(entry.key, entry, now, block)
        await self._object.set(self._own_generation(entry.key), generation, FOREVER)
        await self._object.set(self._wire(entry.key), packed, entry.expires_at - now)

    def add(self, key: str, value: object, timeout: float | None = None) -> bool:
        """Store *value* unless *key* has a value already; True if it is stored. Atomic within this process."""
        with self._counting:
            return not self.has(key) and self.set(key, value, timeout)

    @blocks
    async def delete(self, key: str) -> bool:
        """Delete what is under *key*; True if there was something."""
        return await self._forgotten(key)

    @blocks
    async def clear(self) -> bool:
        """Delete everything in the object, whoever put it there; True if that was done."""
        is_done = await self._object.clear()
        self._cleared()
        return is_done

    def inc(self, key: str, delta: int = 1) -> int:
        """Add *delta* to the number under *key*, 0 if there is none, and return the sum; atomic within this process."""
        with self._counting:
            return self._counted(key, delta)

    @blocks
    async def _counted(self, key: str, delta: int) -> int:
        now, envelope = clock(), (await self._found(key)).get(key)
        total, fresh = delta, now + self.default_lifetime
        if envelope is not None:
            old = self._opened(key, envelope)
            total, fresh = total + countable(key, old.value), old.serve_until
        await self._put(Entry(key, total, fresh), now)
        return total


def _carries(envelope: Envelope, generation: bytes) -> bool:
    return generation[len(GENERATION_MAGIC) :] in _envelope.generations_of(envelope.block)


def _heads(envelope: Envelope) -> list[bytes]:
    """Return what comes before each generation in the block of *envelope*."""
    return [_envelope.generation_head(name) for name in (OWN, *_envelope.tags_of(envelope.block)[1:])]


_made: Final["weakref.WeakValueDictionary[int, ForeignCache]"] = weakref.WeakValueDictionary()
_making = threading.RLock()


def wrapping(given: object) -> ForeignCache | None:
    """Return the one ForeignCache for the object *given*; None if it cannot be wrapped.

    The same object has the same one as long as anybody uses it, so that its functions share their flights.
    """
    if isinstance(given, type) or not is_foreign(given):
        return None
    with _making:
        cache = _made.get(id(given))
        if cache is None or cache.wrapped is not given:
            cache = _made[id(given)] = ForeignCache(given)  # type: ignore[arg-type]
        return cache


@in_child
def _after_fork() -> None:
    global _making
    _making = threading.RLock()
