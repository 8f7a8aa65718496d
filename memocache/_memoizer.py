"""Memoizer: one decorated function, with its options and its keys; what can be done with its calls, and how it waits.

What may have to wait is written once, as coroutines over operations. A Memoizer runs them: for an ordinary function
`_run` blocks this thread, for a coroutine function it returns what is awaited.
"""

import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from inspect import Parameter
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar, cast

from memocache._binding import Binding, Bindings, VersionedBindings
from memocache._clock import now
from memocache._compile import CallCompiler, fast_key_maker
from memocache._counters import FIGURES, Counters, Info
from memocache._current import CacheRef, is_disabled, register
from memocache._effects import Effects, PendingCall, blocking
from memocache._engine import CallEngine, TaskEngine, plan_forget
from memocache._entry import Entry, EntryScope, FastIndex
from memocache._fork import in_child
from memocache._hints import classes_in, resolved
from memocache._hooks import adapters
from memocache._instances import Owner
from memocache._missing import MISSING
from memocache._options import Options
from memocache._readthrough import (
    MadeOf,
    PendingLeadFast,
    begin_fast,
    compute_only,
    forget,
    forget_direct,
    forget_tag,
    get_or_compute,
    peek,
    put,
    refresh,
)
from memocache._signature import POSITIONAL, BelievedSignature
from memocache._tags import Tags
from memocache.backends.base import Cache
from memocache.errors import ConfigurationError, UnkeyableArgument, with_article
from memocache.keys import KeyMaker, KeySpec, Namespace

if TYPE_CHECKING:
    from memocache._code import CodeListing, FunctionCode
    from memocache.backends._listing import Listing

T = TypeVar("T")

Call: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]
"""The arguments of a call, positional and named."""


Tracer: TypeAlias = Callable[[Callable[..., Any], str, bool], Callable[..., Any]]
"""Takes a function, its name and whether it is a coroutine function; returns what its calls call in its place."""

tracers: Final[list[Tracer]] = []


def trace_with(tracer: Tracer) -> Callable[[], None]:
    """Have *tracer* around the computations of all functions; return what ends it. Calls pay nothing without one."""

    def retrace(change: Callable[[Tracer], None]) -> None:
        change(tracer)
        for memoizer in adapters.functions():
            cast(Memoizer, memoizer).trace()

    retrace(tracers.append)
    return partial(retrace, tracers.remove)


class lazy(Generic[T]):
    """An attribute that its method makes when it is first asked for; of two threads' both keep the first.

    functools.cached_property has one lock for all instances until Python 3.11: a child that is forked while anybody
    holds it hangs. From 3.12 on it has none, and each thread keeps its own.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    def __get__(self, instance: object, owner: type) -> T:
        return cast(T, vars(instance).setdefault(self._make.__name__, self._make(instance)))


class Memoizer:
    """One decorated function: all that a CachedFunction can do is done here, with arguments as they were given."""

    def __init__(
        self,
        function: Callable[..., Any],
        believed: BelievedSignature,
        options: Options,
        kind: type | None = None,
        *,
        is_async: bool,
        plain: "Memoizer | None" = None,
    ) -> None:
        self.function = function
        self._traced = function  # with those around it who trace computations
        self.proxy: Callable[[], Any]
        """Returns the CachedFunction, as long as that is there."""
        self.is_async = is_async
        """True if it is a coroutine function, so that its methods are awaited."""
        self.options = options
        self._plain = plain  # the same function where it is no method, see `as_method`
        self.namespace: Namespace = (
            Namespace(function, options.namespace, options.key, options.cache) if plain is None else plain.namespace
        )
        self.title = self.namespace.title
        self._believed = believed
        self.signature = believed.signature
        self.is_called_as_written = believed.as_written
        self.owner = Owner(function, kind)
        """Says what the first argument counts as."""
        is_method = self.owner.is_possible
        self._spec = KeySpec(self.title, believed, options.key, options.ignore, is_method=is_method)
        self.tags = Tags(self.title, options.tags, believed.signature.parameters)
        self.code: FunctionCode | None = plain.code if plain is not None else self._own_code()
        """Its code, if that is its version."""
        self._fast_index = self._new_fast_index()
        of_bindings = self.title, options.cache, self._fast_index, self._new_binding, self._get_ready
        self.bindings: Bindings = (
            Bindings(*of_bindings) if self.code is None else VersionedBindings(*of_bindings, version=self.code.version)
        )
        self._instance_at = self._spec.instance_at if self.owner.is_possible or plain is not None else None
        self.fast_key = fast_key_maker(
            self._fast_index, len(self._spec.names), self._instance_at, self.owner, is_open=believed.is_open
        )
        # For adapters of web frameworks, see HookedFunction.
        self.notes: dict[Any, Any] = {}
        self.view, self.vary = options.view, options.vary
        self.has_key_function: bool = self._spec.function is not None
        self.is_refreshed_later = bool(options.policy.stale)
        self.is_method = self.owner.is_possible
        self._compiler = CallCompiler(
            function,
            believed,
            self._spec.names if self._spec.function is None else (),
            begin=self.begin_in_task if is_async else self.begin,
            key_function=self._spec.function,
            fast_index=self._fast_index,
            instance=None if self._instance_at is None else self._spec.names[self._instance_at],
            is_async=is_async,
            hands_over=bool(options.policy.stale) or not self._spec.are_all,
            tag_args=self.tags.names if self.tags else None,
            has_unnamed=options.key is None,
        )
        # As many positional arguments are in the key just as they are given, and need not be bound; -1 for none.
        parameters = believed.signature.parameters
        is_plain = not believed.as_written and self._spec.function is None and self._spec.names == tuple(parameters)
        are_positional = all(each.kind in POSITIONAL for each in parameters.values())
        self._number_as_given = len(parameters) if is_plain and are_positional else -1
        self._key_args_of: Callable[..., tuple[object, ...]] | None = None
        self._tag_args_of: Callable[..., tuple[object, ...]] | None = None
        # Refuse now what will be refused.
        if isinstance(options.cache, Cache):
            self.bindings.on(options.cache)
        else:
            ref = options.cache if isinstance(options.cache, CacheRef) else None
            self._key_maker(shared=ref is not None and ref.shared, one_machine=ref is None or ref.one_machine)
        adapters.decorated(self)
        if tracers:  # after that: who comes later finds it there
            self.trace()

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled, and copied, as what its function has: `f.uncache` is a method of this."""
        return attrgetter("_self_memoizer"), (self.proxy(),)

    def _own_code(self) -> "FunctionCode | None":
        if self.options.version is None or "memocache._code" not in sys.modules:
            return None  # without that nobody has called code()
        from memocache._code import function_code

        return function_code(self.title, self.function, self.options.version)

    def _new_fast_index(self) -> FastIndex | None:
        cache = self.options.cache
        if self._spec.function is not None or self.options.copied is not None or self.options.view:
            return None
        if self.code is not None:
            return None  # each call looks whether it is still the same
        if not isinstance(cache, Cache | CacheRef) or not cache.has_near:
            return None
        if self.tags.may_change or not set(self.tags.names).issubset(self._spec.names):
            return None  # calls with one key may have different tags, and each is only served what has its own
        fast_index = FastIndex()
        register(fast_index)
        if isinstance(cache, CacheRef):
            cache.follow(fast_index)
        return fast_index

    # ---- where its entries are -----------------------------------------------------------------------------------

    def binding(self) -> Binding:
        """Return the function's binding to the cache that it uses now."""
        return self.bindings.current()

    def _new_binding(self, cache: Cache) -> Binding:
        options = self.options
        if cache.awaited_only and not self.is_async:
            raise ConfigurationError(
                f"{self.title} is an ordinary function, and the methods of {cache!r} can only be awaited; "
                "make it a coroutine function (async def), or give it another cache"
            )
        keys = self._key_maker(shared=cache.shared, one_machine=cache.one_machine)
        if self._plain is not None:
            counters = self._plain.bindings.on(cache).counters
        else:  # those of the binding that it replaces, if there is one
            counters = next(
                (each.counters for each in self.bindings.known if each.cache is cache), Counters(self.namespace.name)
            )
        return Binding(self.title, cache, keys, options.policy, options.wait, options.copied, counters)

    def _key_maker(self, *, shared: bool, one_machine: bool) -> KeyMaker:
        """Return the maker of its keys on a cache that is *shared* or not; ConfigurationError if it can have none."""
        namespace = self.namespace.text(shared=shared, one_machine=one_machine)
        version = self.options.version if self.code is None else self.code.latest()
        return KeyMaker(
            *(self.title, namespace, self._spec, version, self.owner),
            shared=shared,
            head_numbers=self.namespace.head_numbers,
        )

    def _get_ready(self, binding: Binding) -> None:
        """Begin to use *binding*; ConfigurationError if other processes find another function by this one's name."""
        self.namespace.check()
        binding.get_ready(self.function)

    # ---- for adapters of web frameworks, as HookedFunction says --------------------------------------------------

    @property
    def full_name(self) -> str:
        """The function's name with its module, or its `namespace=`."""
        return self.namespace.name

    @property
    def slowest(self) -> float:
        """The seconds of the longest computation that this process has seen."""
        return self.bindings.figures().sum(self.binding().cache)[0].slowest

    def types_of(self, parameter: Parameter, /) -> list[type | None]:
        """Return the classes in the hint of *parameter*."""
        return list(classes_in(self.hint_of(parameter)))

    def hint_of(self, parameter: Parameter, /) -> Any:
        """Return the hint of *parameter*, resolved."""
        return resolved(self.function, parameter.annotation)

    def warn(self, what: str, /) -> None:
        """Count a failure, and log the first of each kind."""
        self.binding().count_failure(what)

    def forget(self, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> bool:
        """Do what `uncache` does, and block until it is done, also for a coroutine function."""
        return blocking(plan_forget(self, args, kwargs)())

    def is_in_key(self, parameter: str, /) -> bool:
        """Return whether what is given for *parameter* is part of the key as it is."""
        return parameter in self._spec.names

    def may_have_views(self, binding: Binding) -> bool:
        """Return True if an adapter may have stored something at *binding*."""
        if binding.is_direct:
            return binding.views is not None  # only this process stores anything there
        return bool(adapters) and adapters.is_view(self) is not False if self.view is None else self.view

    def become_view(self) -> None:
        """Use the fast index no more, since the request decides what is served."""
        if self._fast_index is not None:
            self._fast_index.close()

    # ---- its own call ---------------------------------------------------------------------------------------------

    @lazy
    def call(self) -> Callable[..., Any]:
        """The function's own call: written when it is called first, since that takes longer than all else here."""
        return self._compiler.call()

    def serve_hits(self, function: Any) -> None:
        """Let the cached *function* serve hits in process before its own call does."""
        self._compiler.serve(function)

    # ---- methods -------------------------------------------------------------------------------------------------

    def as_method(self) -> "Memoizer":
        """Return the same function as a method of classes that it is not written in, where an instance comes first.

        Where it is called by itself, that is an argument like others.
        """
        return Memoizer(self.function, self._believed, self.options, is_async=self.is_async, plain=self)

    def bound_call(self) -> Callable[..., Any] | None:
        """Return the call of the function's bound proxies, if it can have some."""
        return self._compiler.bound()

    def trace(self) -> None:
        """Have those who trace computations now around the function, and nobody else."""
        self._traced = self.function
        for tracer in tracers:
            self._traced = tracer(self._traced, self.full_name, self.is_async)
        self._compiler.compute_with(self._traced)

    # ---- what needs no waiting -----------------------------------------------------------------------------------

    @property
    def bind(self) -> Callable[..., tuple[object, ...]]:
        """A function that binds a call and returns the arguments that are part of the key."""
        if self._key_args_of is None:
            self._key_args_of = self._compiler.key_args()
        return self._key_args_of

    def locate(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], key_args: tuple[object, ...] | None = None
    ) -> tuple[Binding, str, EntryScope]:
        """Return the binding of a call, and its key and scope there; *key_args* are what `bind` makes of the call."""
        binding = self.binding()
        key = binding.keys.key(self.bind(*args, **kwargs) if key_args is None else key_args)
        return binding, key, self._scope(binding, key, self._tag_args(args, kwargs) if self.tags else None)

    def _tag_args(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[object, ...]:
        """Return the arguments of a call that its tags name."""
        if self._tag_args_of is None:
            self._tag_args_of = self._compiler.tag_args()
        return self._tag_args_of(*args, **kwargs)

    def _scope(self, binding: Binding, key: str, tag_args: tuple[object, ...] | None) -> EntryScope:
        """Return the scope on *binding* of the call with this *key* whose arguments for the tags are *tag_args*."""
        tags = () if tag_args is None else self.tags.of_call(tag_args)
        if binding.is_versioned:
            tags = (*tags, binding.keys.call_tag(key))
        return binding.scope_of(tags) if tags else binding.scope

    def _made_of(self, binding: Binding, key_args: tuple[object, ...], compute: Any) -> "MadeOf":
        """Return what the key of a call was made of: its *key_args*; where they are made of the arguments, those."""
        if not self.has_key_function:
            return key_args
        return lambda: binding.keys.key(self.bind(*compute.args, **compute.keywords))

    def key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """Return the key of a call in the cache."""
        return self.locate(args, kwargs)[1]

    def known_key(self, binding: Binding, key_args: tuple[object, ...]) -> str:
        """Return the key of a call: it takes long to make, and an entry that the arguments lead to knows it."""
        if binding.near is not None and (fast_key := self.fast_key(key_args)) is not None:
            index, args, arg_types = fast_key
            entry = index.table.get(args)
            if entry is not None and entry.arg_types == arg_types:
                return entry.key
        return binding.keys.key(key_args)

    def info(self) -> Info:
        """Return the figures of the function, on all caches that it has used."""
        cache = self.binding().cache
        total, usage = self.bindings.figures().sum(cache)
        total.seconds_saved, total.seconds_computed = round(total.seconds_saved, 6), round(total.seconds_computed, 6)
        figures: dict[str, Any] = {name: getattr(total, name) for name in FIGURES}
        return Info(**figures, currsize=usage.size, maxsize=usage.limit, errors=total.errors)

    def listing(self, limit: int) -> "Listing":
        """Return the entries of the function on the cache in use, of which *limit* are described."""
        binding = self.binding()
        return binding.cache.listing(binding.keys.namespace, limit)

    def code_listing(self) -> "CodeListing":
        """Return a listing of the code that is its version."""
        if self.code is None:
            raise ConfigurationError(f"{self.title} has no version=memocache.code(), so that nobody looks at its code")
        return self.code.listing()

    def forget_in_process(self) -> None:
        """Forget every call that is stored in this process, and count from zero on every cache."""
        for binding in self.bindings.known:
            if binding.near is not None:
                binding.near.forget_tag(binding.keys.all_tag)
            binding.counters.reset()
        self.bindings.past.reset()

    # ---- calls ---------------------------------------------------------------------------------------------------

    def begin(
        self,
        key_args: tuple[object, ...],
        compute: Callable[[], Any] | None = None,
        *,
        tag_args: tuple[object, ...] | None = None,
    ) -> PendingCall | PendingLeadFast | Entry:
        """Begin a call that is no hit in process, for the function's own call to go on with.

        *compute* calls the function, where somebody else than that may have to. *tag_args* are the arguments that its
        tags name.
        """
        if is_disabled():
            return PendingCall(compute_only())
        if adapters and (begin := adapters.find_call(self, key_args, compute)):
            return cast("PendingCall", begin(CallEngine(self, key_args, compute, tag_args)))
        binding = self.bindings.settled or self.bindings.current()
        key = binding.key(key_args)
        fast_key = self.fast_key(key_args) if binding.near is not None else None
        is_plain = tag_args is None and not binding.is_versioned
        scope = binding.scope if is_plain else self._scope(binding, key, tag_args)
        made_of = key_args if self._spec.function is None else self._made_of(binding, key_args, compute)
        return begin_fast(binding, key, scope, fast_key, compute, made_of)

    async def begin_in_task(
        self,
        key_args: tuple[object, ...],
        compute: Callable[[], Awaitable[Any]],
        *,
        tag_args: tuple[object, ...] | None = None,
    ) -> Any:
        """Return the result of a coroutine function's call that is no hit in process."""
        if is_disabled():
            return await compute()
        if adapters and (begin := adapters.find_call(self, key_args, compute)):
            return await begin(TaskEngine(self, key_args, compute, tag_args))
        binding = self.bindings.settled or self.bindings.current()
        key = binding.key(key_args)
        fast_key = self.fast_key(key_args) if binding.near is not None else None
        is_plain = tag_args is None and not binding.is_versioned
        scope = binding.scope if is_plain else self._scope(binding, key, tag_args)
        made_of = self._made_of(binding, key_args, compute)
        return await self._run(get_or_compute(binding, key, scope, fast_key, made_of=made_of), compute)

    @lazy
    def _run(self) -> Callable[..., Any]:
        """Runs a coroutine over operations to its end; for a coroutine function, what it returns is awaited."""
        if not self.is_async:
            return blocking
        from memocache._tasks import in_task  # asyncio takes longer to import than all of ours

        return in_task

    def uncache(self, /, *args: Any, **kwargs: Any) -> Any:
        """Forget exactly this call, and return whether there was anything to forget; see CachedFunction."""
        binding = self.bindings.settled or self.bindings.current()
        # As `may_have_views`, whose call would take a hundredth of all of it in process.
        if binding.views is None if binding.is_direct else not self.may_have_views(binding):
            try:
                is_bound = len(args) == self._number_as_given and not kwargs
                key = self.known_key(binding, args if is_bound else (self._key_args_of or self.bind)(*args, **kwargs))
            except UnkeyableArgument:
                pass
            else:
                if binding.is_direct and not self.is_async:
                    return forget_direct(binding, key)
                return self._run(forget(binding, key))
        return self._run(plan_forget(self, args, kwargs)())

    def uncache_all(self) -> Any:
        """Forget every call."""
        binding = self.binding()
        return self._run(forget_tag(binding, binding.keys.all_tag))

    def uncache_where(self, some: dict[str, Any]) -> Any:
        """Forget the calls with *some* arguments."""
        return self._run(forget_tag(self.binding(), self.tags.where(some)))

    def peek(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what is stored for a call, or MISSING."""
        return self._run(self._peek(*self.locate(args, kwargs)))

    async def _peek(self, binding: Binding, key: str, scope: EntryScope) -> Any:
        if is_disabled():
            return MISSING
        (entry,) = await peek(binding, (key,), (scope.tags,))
        return MISSING if entry is None else binding.serve(entry.value)

    def entry(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what is known of what is stored for a call, or None."""
        binding, key, scope = self.locate(args, kwargs)
        tags = self.tags.texts(self._tag_args(args, kwargs)) if self.tags else ()
        return self._run(self._entry(binding, key, scope, tags))

    async def _entry(self, binding: Binding, key: str, scope: EntryScope, tags: tuple[str, ...]) -> Any:
        from memocache._entry_info import describe  # its dataclass takes a while to make, and few ask

        if is_disabled():
            return None
        (entry,) = await peek(binding, (key,), (scope.tags,), binding.cache.far)
        return None if entry is None else describe(entry, binding.cache.far, tags, scope)

    def put(self, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Store *value* as the result of a call."""
        return self._run(self._put(value, *self.locate(args, kwargs)))

    async def _put(self, value: Any, binding: Binding, key: str, scope: EntryScope) -> None:
        if not is_disabled():
            await put(binding, key, scope, value)

    def clear(self) -> Any:
        """Forget every call, and count from zero."""
        return self._run(self._clear(self.binding()))

    async def _clear(self, binding: Binding) -> None:
        await forget_tag(binding, binding.keys.all_tag)
        self.forget_in_process()  # there the entries have counted hits

    def refresh(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Compute a call now, store and return the result."""
        compute = partial(self._traced, *args, **kwargs)
        if is_disabled():
            coroutine = compute_only()
        else:
            key_args = self.bind(*args, **kwargs)
            binding, key, scope = self.locate(args, kwargs, key_args)
            # Only a task can be left by its caller, so that the arguments may change.
            made_of = self._made_of(binding, key_args, compute) if self.is_async else None
            coroutine = refresh(binding, key, scope, made_of)
        if self.is_async:
            return self._run(coroutine, compute)
        pending = PendingCall(coroutine)
        if pending.ready:
            return pending.value
        try:
            value = self._traced(*args, **kwargs)
        except BaseException as error:
            pending.failed(error)
            raise
        return pending.computed(value)

    # ---- many calls at once --------------------------------------------------------------------------------------

    def many(self, first: tuple[Any, ...], calls: Iterable[object]) -> Any:
        """Return the results of *calls*, whose arguments *first* stands before."""
        try:
            calls = iter(calls)
        except TypeError:
            raise TypeError(
                f"many() got {with_article(type(calls))}; wanted: an iterable of calls, such as [(7,), (8,)]"
            ) from None
        asked = [as_call(first, call) for call in calls]
        if self.is_async:
            return self._many_in_task(asked)
        if is_disabled():
            return [self._traced(*args, **kwargs) for args, kwargs in asked]
        binding, look = self._look_for(asked)
        return [
            binding.hit_peeked(entry) if entry is not None else self.call(*args, **kwargs)
            for entry, (args, kwargs) in zip(blocking(look), asked, strict=True)
        ]

    async def _many_in_task(self, asked: "list[Call]") -> list[Any]:
        from memocache._pool import all_of  # asyncio takes longer to import than all of ours

        if is_disabled():
            return await all_of([_call_later(self._traced, args, kwargs) for args, kwargs in asked])
        binding, look = self._look_for(asked)
        return await all_of(
            [
                _hit_later(binding, entry) if entry is not None else self.call(*args, **kwargs)
                for entry, (args, kwargs) in zip(await self._run(look), asked, strict=True)
            ]
        )

    def _look_for(self, calls: Sequence[Call]) -> "tuple[Binding, Effects[list[Entry | None]]]":
        """Return the binding of *calls*, and a look there for the fresh entry of each, in one round trip."""
        located = [self.locate(args, kwargs) for args, kwargs in calls]
        binding = located[0][0] if located else self.binding()
        keys, tags = [key for _, key, _ in located], [scope.tags for _, _, scope in located]
        return binding, _fresh_entries(binding, keys, tags)


def as_call(first: tuple[Any, ...], given: object) -> Call:
    """Return the call that is *given* as a tuple of positional or a dict of named arguments, with *first* before."""
    if isinstance(given, tuple):
        return (*first, *given), {}
    if isinstance(given, dict):
        return first, dict(given)  # who makes the calls may make each in the same dict
    raise TypeError(
        f"a call is given as {with_article(type(given))}; "  # without its arguments, which may be secret
        "wanted: a tuple of arguments, such as (7,), or a dict of named ones"
    )


async def _fresh_entries(binding: Binding, keys: Sequence[str], tags: Sequence[tuple[str, ...]]) -> list[Entry | None]:
    """Return the entries under *keys* that are fresh; what is older its own call shall have refreshed."""
    entries = await peek(binding, keys, tags)
    moment = now()
    return [entry if entry is not None and moment < entry.serve_until else None for entry in entries]


async def _hit_later(binding: Binding, entry: Entry) -> Any:
    """Serve *entry* when this is awaited, as calls are."""
    return binding.hit_peeked(entry)


async def _call_later(function: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call *function* when this is awaited: one that does not take its arguments leaves the other calls alone."""
    return await function(*args, **kwargs)


@in_child
def _after_fork() -> None:
    for memoizer in adapters.functions():
        cast(Memoizer, memoizer).bindings.after_fork()
