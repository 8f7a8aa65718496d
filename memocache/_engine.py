"""Engine of a call: what an adapter of a web framework can do with one call that it has taken over; see _hooks.

All that is stored for one call, in whatever request, has the tag of the call: so it is forgotten.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from memocache._binding import Binding
from memocache._canonical import encode
from memocache._clock import now
from memocache._effects import COMPUTE_ALONE, RAISED, Effects, Instead, PendingCall, StoreDecision
from memocache._entry import EntryScope
from memocache._hooks import Decision, adapters
from memocache._instances import token
from memocache._readthrough import (
    Follow,
    compute_alone,
    compute_only,
    forget,
    forget_tag,
    get_or_compute,
    peek,
    put_if,
)
from memocache._readthrough import refresh as refresh_call
from memocache.backends.base import Cache
from memocache.errors import BackendError, UncacheFailed, UnkeyableArgument

if TYPE_CHECKING:
    from memocache._memoizer import Memoizer

IsOwn: TypeAlias = "Callable[[Exception], bool] | None"
"""Returns True if what was raised is for its own caller only."""


class ViewState:
    """A function's binding as a view, and what adapters know about it there."""

    __slots__ = ("binding", "notes")

    def __init__(self, binding: Binding) -> None:
        self.binding = binding.for_views()
        self.notes: dict[Any, Any] = {}


class CallEngine:
    """One call of a decorated function, for the adapter that has taken it over; for tasks, see TaskEngine.

    Args:
        memoizer: the function's.
        key_args: the arguments that are part of the key.
        compute: calls the function; None if its own call does.
        tag_args: the arguments for the tags, if there are tags.
    """

    __slots__ = (
        *("_binding", "_call_key", "_compute", "_key", "_key_args", "_memoizer", "_tag", "_tag_args"),
        *("cache", "notes", "serves_old"),
    )

    notes: dict[Any, Any]
    cache: Cache
    _binding: Binding

    def __init__(
        self, memoizer: "Memoizer", key_args: tuple[object, ...], compute: Any, tag_args: tuple[object, ...] | None
    ) -> None:
        self._memoizer = memoizer
        self._key_args = key_args
        self._compute = compute
        self._tag_args = tag_args
        self.serves_old = False
        """True if the caller gets an old result in place of an error."""

    def bypass(self, deliver: Callable[[Any], Any] | None = None) -> Any:
        if deliver is None:
            return PendingCall(compute_only())
        return PendingDecision(self, compute_only, lambda value, began: value, deliver, None, None)

    def open(self) -> None:
        memoizer = self._memoizer
        memoizer.become_view()
        binding = memoizer.binding()
        if binding.views is None:
            binding.views = ViewState(binding)
        self._binding = binding.views.binding
        self.notes = binding.views.notes
        self.cache = binding.cache
        self._call_key = self._make_call_key()
        self._tag = self._binding.keys.call_tag(self._call_key)

    def _make_call_key(self) -> str:
        memoizer = self._memoizer
        args, kwargs = (self._compute.args, self._compute.keywords) if memoizer.has_key_function else ((), {})
        return _call_key(memoizer, self._binding, self._key_args, args, kwargs)

    def _scope(self) -> EntryScope:
        """Return the scope of the entries of this call; not for a call that only forgets, whose tags do not matter."""
        tags = () if self._tag_args is None else self._memoizer.tags.of_call(self._tag_args)
        return self._binding.scope_of((self._tag, *tags))

    # ---- a run ---------------------------------------------------------------------------------------------------

    def run(
        self,
        serve: Callable[[], Any],
        decide: Callable[[Any, float], Any] | None = None,
        deliver: Callable[[Any], Any] | None = None,
        is_own: Callable[[Exception], bool] | None = None,
        *,
        detaches: bool = True,
    ) -> Any:
        if decide is None or deliver is None:
            return PendingCall(serve())
        background = None
        if self._binding.policy.stale and detaches:
            background = partial(self._compute_in_background, decide, is_own)
        return PendingDecision(self, serve, decide, deliver, is_own, background)

    def _compute_in_background(self, decide: Callable[[Any, float], Any], is_own: "IsOwn") -> Any:
        began = now()
        try:
            return decide(self._compute(), began)
        except Exception as error:
            if not self.is_own(error, is_own):
                raise
            return self.decline(RAISED, error)

    def is_own(self, error: BaseException, ask: "IsOwn") -> bool:
        """Return True if `errors=` names what was raised, but it is for its own caller only, as *ask* says."""
        if ask is None or not isinstance(error, Exception):
            return False
        return self._binding.policy.error_lifetime(error) > 0 and ask(error)

    # ---- what the options say ------------------------------------------------------------------------------------

    def key(self, *parts: object) -> str:
        key_args = self._key_args if self._memoizer.has_key_function else None
        return self._binding.keys.request_key(self._call_key, (*parts, key_args))

    def token(self, value: object, /) -> int:
        return int(token(value))

    def lifetime(self, value: Any, /) -> float:
        return self._binding.policy.lifetime(value, self.cache.default_lifetime)

    @property
    def stale(self) -> float:
        return self._binding.policy.stale

    def copy(self, value: Any, /) -> Any:
        copy = self._memoizer.options.copied
        return value if copy is None else copy(value)

    def keep(self, value: Any, kept: Any, lifetime: float, stale: float = 0.0) -> Decision:
        return StoreDecision(value, kept, lifetime, stale, shared=True)

    def decline(self, value: Any, error: Exception | None = None) -> Decision:
        return StoreDecision(value, None, 0.0, 0.0, shared=False, error=error)

    # ---- what may wait -------------------------------------------------------------------------------------------

    async def compute(self) -> Any:
        return await compute_alone(self._binding, self._call_key)

    async def change(self, is_error: Callable[[Any], bool], /) -> Any:
        value, error, _ = await COMPUTE_ALONE
        if error is None and not is_error(value):
            try:
                await forget_tag(self._binding, self._tag)
            except UncacheFailed as failure:
                self._binding.count_failure(
                    "after a request that may have changed something, old results may be served",
                    cast(BackendError, failure.__cause__),
                )
        return value

    async def read_through(
        self, key: str, *, refresh: bool = False, waits: bool = True, follow: "Follow | None" = None
    ) -> tuple[Decision | None, Any]:
        def follow_to(value: Any) -> tuple[str, bool] | None:
            onward = None if follow is None else follow(value)
            if onward is not None:
                self._key = onward[0]
            return onward

        binding, scope, self._key = self._binding, self._scope(), key
        if refresh:
            result = await refresh_call(binding, key, scope, self._key_anew, is_call=True)
        else:
            result = await get_or_compute(
                binding, key, scope, made_of=self._key_anew, waits=waits, follow=follow and follow_to
            )
        if result is None or type(result) is StoreDecision:
            return result, None
        if type(result) is Instead:
            self.serves_old = True
            return None, result.value
        return None, result

    def _key_anew(self) -> str:
        """Return the key of this call, if its arguments are still the same."""
        return self._key if self._make_call_key() == self._call_key else ""

    async def peek(self, key: str, /) -> Any:
        (entry,) = await peek(self._binding, (key,), (self._scope().tags,))
        return None if entry is None or now() >= entry.serve_until else entry

    def count(self, entry: Any, /) -> Any:
        return self._binding.hit_peeked(entry)

    async def store(
        self, key: str, kept: Any, lifetime: float, stale: float, proof: tuple[str, Callable[[Any], bool]]
    ) -> bool:
        return await put_if(self._binding, key, self._scope(), kept, lifetime, stale, proof)


class TaskEngine(CallEngine):
    """The engine of a call of a coroutine function."""

    __slots__ = ()

    def bypass(self, deliver: Callable[[Any], Any] | None = None) -> Any:
        return self._compute() if deliver is None else self._compute_and_deliver(deliver)

    async def _compute_and_deliver(self, deliver: Callable[[Any], Any]) -> Any:
        return deliver(await self._compute())

    async def run(
        self,
        serve: Callable[[], Any],
        decide: Callable[[Any, float], Awaitable[Any]] | None = None,
        deliver: Callable[[Any], Any] | None = None,
        is_own: Callable[[Exception], bool] | None = None,
        *,
        detaches: bool = True,
    ) -> Any:
        from memocache._tasks import in_task  # asyncio takes longer to import than all of ours

        async def compute() -> Any:
            began = now()
            try:
                value = await self._compute()
                return value if decide is None else await decide(value, began)
            except Exception as error:
                if not self.is_own(error, is_own):
                    raise
                return self.decline(RAISED, error)

        result = await in_task(self._serve(serve), compute, detaches=detaches)
        if type(result) is StoreDecision and result.raised is not None:
            try:
                raise result.raised
            finally:
                result = None  # the traceback leads here
        return result if deliver is None else deliver(result)

    async def _serve(self, serve: Callable[[], Any]) -> Any:
        result = await serve()
        return Instead(result) if self.serves_old else result


class PendingDecision(PendingCall):
    """A call in this thread, in which an adapter decides what becomes of the computed value."""

    __slots__ = ("_decide", "_deliver", "_engine", "_is_own", "_start")

    def __init__(
        self,
        engine: CallEngine,
        serve: Callable[[], Any],
        decide: Callable[[Any, float], Any],
        deliver: Callable[[Any], Any],
        is_own: "IsOwn",
        compute: Callable[[], Any] | None,
    ) -> None:
        self._engine = engine
        self._is_own = is_own
        self._decide = decide
        self._deliver = deliver
        super().__init__(serve(), compute)
        if self.ready:
            self.value = deliver(self.value)
        else:
            self._start = now()

    def computed(self, value: Any) -> Any:
        """Go on with what the function returned, and return what the caller gets."""
        try:
            decision = self._decide(value, self._start)
        except BaseException as error:
            if not self.failed(error):
                raise
            return self.value
        return self._deliver(super().computed(decision))

    def failed(self, error: BaseException) -> bool:
        """Go on with what the function raised; return True if the caller gets *value* in its place."""
        engine = self._engine
        if not engine.is_own(error, self._is_own):
            is_served = self._end(None, error)
        else:
            is_served = self._end(engine.decline(RAISED, cast(Exception, error)), None)
        self.value = self._deliver(self.value) if is_served else None
        return is_served

    def _end(self, value: Any, error: BaseException | None) -> bool:
        super()._end(value, error)
        return self._engine.serves_old


# ---- keys and forgetting -----------------------------------------------------------------------------------------


def _call_key(
    memoizer: "Memoizer", binding: Binding, key_args: tuple[object, ...], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> str:
    """Return the key of a call, whatever the request, of the arguments in its key, *key_args*.

    A request stands there as None, and an object that is made for each request as its class. If `key=` is a function,
    which may go by the request, all arguments that can be part of a key are in it.
    """
    if not memoizer.has_key_function:
        return binding.keys.key(tuple(map(adapters.lasting, key_args)))
    try:
        bound = memoizer.signature.bind(*args, **kwargs)
    except TypeError:  # a wrapper may take more than its signature says, or less
        values: Iterable[object] = (*args, kwargs)
    else:
        bound.apply_defaults()
        values = bound.arguments.values()
    return binding.keys.key(tuple(map(_keyable, map(adapters.lasting, values))))


def _keyable(value: object) -> object:
    """Return *value*, or None if it has no stable key: the user has not asked for it to have one."""
    try:
        encode(value)
    except UnkeyableArgument:
        return None
    return value


def plan_forget(memoizer: "Memoizer", args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], Effects[bool]]:
    """Return what forgets exactly this call, as it is now, and returns True if there was anything."""
    binding = memoizer.bindings.settled or memoizer.bindings.current()
    if memoizer.may_have_views(binding):
        return _plan_forget_view(memoizer, binding, args, kwargs)
    try:
        key = memoizer.known_key(binding, memoizer.bind(*args, **kwargs))
    except UnkeyableArgument:
        if adapters.is_view(memoizer) is False:
            raise
        return _plan_forget_view(memoizer, binding, args, kwargs)  # it may have been given a request
    return partial(forget, binding, key)


def _plan_forget_view(
    memoizer: "Memoizer", binding: Binding, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Callable[[], Effects[bool]]:
    key_args = () if memoizer.has_key_function else memoizer.bind(*args, **kwargs)
    tag = binding.keys.call_tag(_call_key(memoizer, binding, key_args, args, kwargs))
    try:
        key = memoizer.known_key(binding, memoizer.bind(*args, **kwargs))
    except Exception:  # noqa: BLE001 - `key=` may need a request, or an argument be made for one
        key = None
    return partial(_forget_view, binding, tag, key)


async def _forget_view(binding: Binding, tag: str, key: str | None) -> bool:
    size = binding.cache.usage(tag, binding.counters).size
    # Before the tag, which on a ForeignCache is the generation that tells whether what is there counts.
    existed = key is not None and await forget(binding, key)
    await forget_tag(binding, tag)
    # Nobody can count the entries with a tag in a shared cache.
    return existed or (bool(size) if size is not None else binding.views is not None)
