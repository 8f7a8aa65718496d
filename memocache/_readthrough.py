"""The read-through: look in the cache, or wait, or compute and store; written once, for threads and tasks alike.

What a look at a key finds, and what is done then:

    Entry               a hit
    Stale(old, None)    somebody refreshes it: serve the old value
    Stale(old, lease)   we refresh it: in the background, else here
    Lease               a miss, and ours: compute, store, wake those who wait
    Busy(flight)        a miss, and somebody computes: wait, then look again
    None                compute for this caller only
    UNANSWERED          the cache did not answer: begin again with what stands in for it, and store nothing
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import _AsyncGeneratorContextManager, _GeneratorContextManager, suppress
from copy import deepcopy
from enum import Enum
from types import CoroutineType
from typing import Any, Final, TypeAlias, cast

from memocache._binding import Binding, LookupResult
from memocache._chance import chance
from memocache._clock import now, ticks
from memocache._effects import (
    COMPUTE_ALONE,
    Compute,
    Computed,
    InBackground,
    Instead,
    Join,
    PendingCall,
    Raised,
    Sleep,
    StoreDecision,
    blocking,
)
from memocache._entry import SECOND, Entry, EntryScope, FastKey, StaleableEntry
from memocache._flight import collecting, enclosing, leave
from memocache._hooks import adapters
from memocache._listeners import listeners
from memocache._signature import is_awaited_once, is_read_once
from memocache._stored_exception import StoredException, holds, own_copy
from memocache.backends.base import Busy, Cache, CacheCall, Lease, Stale
from memocache.errors import BackendError, BackendUnavailable, SerializationError
from memocache.keys import BUILTIN_TYPES, version_suffixes

FIRST_SLEEP: Final = 0.002
LONGEST_SLEEP: Final = 0.08
ONE_SHOT: Final = (
    "the function returned an iterator, whose first reader uses it up, so it was not stored; return a list, or what is "
    "in the file"
)
AWAITED_ONCE: Final = (
    "the function returned what can be awaited once only, so it was not stored; "
    "await it in a coroutine function (async def), and put @cached on that"
)
ENTERED_ONCE: Final = (
    "the function returned a context manager that can be entered once only, so it was not stored; return what it gives"
)
OF_ONE_REQUEST: Final = "has a response or a request in it, which belong to one client"
NO_ANSWER: Final = "the cache did not answer, so the call was computed and not stored"
NOT_TAKEN: Final = "the cache did not take a result"

UNSHARED: Final = object()
"""The value of a flight whose result is for its own caller only."""

MadeOf: TypeAlias = "tuple[object, ...] | Callable[[], str]"
"""The arguments of which a key was made; or what makes it anew of what they are now."""

Proof: TypeAlias = "tuple[str, Callable[[Any], bool]]"

Follow: TypeAlias = "Callable[[Any], tuple[str, bool] | None]"
"""Takes a stored value, and returns None if that is the result of the call. Else the key to go on with, and whether to
wait there; the same key as before if the value is to be computed again in its place."""


class NoResult(Enum):
    """A lack of a look's result: nobody has looked yet; or the cache did not answer."""

    NOT_LOOKED = "not looked"
    UNANSWERED = "unanswered"


NOT_LOOKED: Final = NoResult.NOT_LOOKED
UNANSWERED: Final = NoResult.UNANSWERED


async def get_or_compute(
    binding: Binding,
    key: str,
    scope: EntryScope,
    fast_key: "FastKey | None" = None,
    found: "LookupResult | NoResult" = NOT_LOOKED,
    made_of: "MadeOf | None" = None,
    *,
    waits: bool = True,
    follow: "Follow | None" = None,
) -> Any:
    """Return the value under *key*, computed if need be; its entry is of this *scope*.

    *fast_key* is to lead to the entry, in process. *found* is the answer of a first look, if there was one. *made_of*
    is what the key was made of. If it does not wait, it computes alone what somebody else computes. *follow* says which
    stored values only lead to another key.
    """
    budget = binding.wait
    sleep = FIRST_SLEEP
    began: float | None = None  # to wait, if it has
    while True:
        if found is NOT_LOOKED:
            found = await _look(binding, key, scope)
        if found is UNANSWERED:
            binding, found = binding.stand_in(), NOT_LOOKED
            continue
        if found is None:
            return await compute_alone(binding, key)
        if follow is not None and (onward := await _followed(binding, found, follow)) is not None:
            if onward[0] == key:
                return await refresh(binding, key, scope, made_of, is_call=True)
            (key, waits), found = onward, NOT_LOOKED
            continue
        if isinstance(found, Entry):
            return binding.hit(found, fast_key, None if began is None else ticks() - began)
        if type(found) is Stale:
            lease = found.lease
            if lease is None:
                return binding.serve_old(found.entry)
            bind = adapters.bind_context if adapters else None
            if await InBackground(_lead(binding, lease, scope, made_of=made_of), lease.flight, bind):
                return binding.serve_old(found.entry)
            lease.alias = fast_key
            return await _lead(binding, lease, scope, found.entry, made_of, is_call=True)
        if type(found) is Lease:
            found.alias = fast_key
            return await _lead(binding, found, scope, None, made_of, is_call=True)
        if budget <= 0 or not waits:
            return await compute_alone(binding, key)
        since = ticks()
        began = since if began is None else began
        flight = cast(Busy, found).flight
        if flight is None:  # in another process: look again in a moment
            await Sleep(min(budget, chance.uniform(sleep / 2, sleep)))
            sleep = min(2 * sleep, LONGEST_SLEEP)
        else:
            ended = await Join(flight, budget)
            if ended is None or flight.value is UNSHARED:
                return await compute_alone(binding, key)
            if ended and flight.state != "abandoned":
                onward = None if follow is None or flight.error else follow(flight.value)
                if onward is None:
                    binding.count_wait(key, ticks() - began)
                    return Raised(own_copy(flight.error)) if flight.error else binding.serve(flight.value)
                key, waits = onward
        found = NOT_LOOKED
        budget -= ticks() - since


def begin_fast(
    binding: Binding,
    key: str,
    scope: EntryScope,
    fast_key: "FastKey | None",
    compute: Callable[[], Any] | None,
    made_of: "MadeOf",
) -> "PendingCall | PendingLeadFast | Entry":
    """Begin the call of an ordinary function: `get_or_compute` once more, without a coroutine for what is usual.

    A first look that hits needs nothing else: in the coroutine it takes 1.47 x as many instructions on memcached, and
    1.34 x on Redis. A usual miss in process is led by PendingLeadFast. All else is left to the coroutine. What is
    returned has a *value*, and is *ready* if that is the result.
    """
    cache = binding.cache
    found: Any
    if binding.is_simple:
        # With the clock's own function: see `now`.
        found = cache.look(key, scope.tags, time.time(), binding.lease_seconds, PendingLeadFast)  # type: ignore[call-arg]
        if type(found) is PendingLeadFast:
            try:
                found.binding, found.scope, found.alias = binding, scope, fast_key
                binding.counters.misses += 1
                if not collecting or threading.get_ident() not in collecting:
                    enclosing.set(found.flight)
            except BaseException:
                found.flight.state = "abandoned"  # no call: after a RecursionError there is no room for one
                raise
            return found
    else:
        try:
            found = cache.look(key, scope.tags, time.time(), binding.lease_seconds)
            if type(found) is CoroutineType:
                found = blocking(found)
        except BackendError as error:
            binding.count_failure(NO_ANSWER, error)
            found = UNANSWERED
    if isinstance(found, Entry):  # as Binding.hit does
        value = found.value
        if not found.counts_its_hits:
            binding.counters.hits += 1
            binding.counters.seconds_saved += found.cost / SECOND
        if listeners:
            binding.tell_served("hit", found)
        if type(value) is StoredException:
            raise value.rebuild()
        if fast_key is not None:
            cache.alias(found, fast_key)
        return found if binding.copy is None else PendingCall.finished(binding.copy(value))
    return PendingCall(get_or_compute(binding, key, scope, fast_key, found, made_of), compute)


async def _look(binding: Binding, key: str, scope: EntryScope) -> "LookupResult | NoResult":
    cache = binding.cache
    try:
        if binding.is_direct:
            return cast("LookupResult", cache.look(key, scope.tags, now(), binding.lease_seconds))
        arguments = (key, scope.tags, now(), binding.lease_seconds)
        return cast("LookupResult", await CacheCall(cache, cache.look, arguments, binding.decline))
    except BackendError as error:
        # Told here, and not handed on: its traceback would keep the frames alive, and with them what they lead.
        binding.count_failure(NO_ANSWER, error)
        return UNANSWERED


async def _followed(binding: Binding, found: Any, follow: "Follow") -> "tuple[str, bool] | None":
    """Return what *follow* says of the value that was *found*, if there is one; then what only leads on is no hit."""
    entry = found.entry if type(found) is Stale else found
    if not isinstance(entry, Entry) or type(entry.value) is StoredException:
        return None
    onward = follow(entry.value)
    if onward is not None:
        if type(found) is Stale:
            if found.lease is not None:
                await _give_back(binding, found.lease)
                found.lease.flight.abandon()
        elif entry.counts_its_hits:
            entry.hits -= 1
    return onward


async def _claim(binding: Binding, key: str, scope: EntryScope, failure: str) -> Lease | None:
    """Return the right to replace what is under *key*; None if nothing is to be stored, perhaps for a *failure*."""
    cache = binding.cache
    try:
        arguments = (key, scope.tags, now(), binding.lease_seconds)
        return cast("Lease | None", await CacheCall(cache, cache.claim, arguments, binding.decline))
    except BackendError as error:
        binding.count_failure(failure, error)
        return None
    finally:
        if cache.stand_in is not None:
            cache.stand_in.forget(key)


async def compute_alone(binding: Binding, key: str | None) -> Any:
    """Compute for this caller only, which counts as a miss; *key* is that of a call, None if it is none."""
    binding.counters.misses += 1
    began, error = ticks(), None
    try:
        value, error, _ = await COMPUTE_ALONE
        if type(value) is StoreDecision:
            error = value.raised
        return value
    finally:
        if key is not None and listeners:
            binding.tell_miss(key, ticks() - began, error)


async def compute_only() -> Any:
    """Call through: neither read nor write anything."""
    value, _, _ = await COMPUTE_ALONE
    return value


# ---- leading: computing under a lease, storing, and waking those who wait ----------------------------------------


async def _lead(
    binding: Binding,
    lease: Lease,
    scope: EntryScope,
    old: StaleableEntry | None = None,
    made_of: "MadeOf | None" = None,
    *,
    is_call: bool = False,
) -> Any:
    """Compute under *lease* and store; if that fails, the caller is served what is *old*.

    *is_call* is whether a call waits for it, rather than a refresh.
    """
    flight = lease.flight
    if lease.unreadable is not None:
        binding.count_failure("a stored result could not be read, so it is computed again", lease.unreadable)
    binding.counters.misses += 1
    if flight.is_left and _have_changed(binding, lease, made_of):
        return await _give_up(binding, lease)
    try:
        computed = cast(Computed, await Compute(flight))
    except BaseException as error:
        flight.abandon()  # it was not computed: a waiter leads the next
        if is_call and listeners:
            binding.tell_miss(lease.key, None, error)
        raise
    return await _lead_on(binding, lease, scope, *computed, old=old, made_of=made_of, is_call=is_call)


async def _lead_on(
    binding: Binding,
    lease: Lease,
    scope: EntryScope,
    value: Any,
    error: BaseException | None,
    cost: float,
    old: StaleableEntry | None = None,
    made_of: "MadeOf | None" = None,
    *,
    is_call: bool,
) -> Any:
    """Go on after the computation, which returned *value* or raised *error*, in *cost* seconds."""
    flight = lease.flight
    try:
        binding.counters.seconds_computed += cost
        if cost > binding.longest:
            binding.note_cost(cost)
        if flight.is_left and _have_changed(binding, lease, made_of):
            await _give_up(binding, lease)
            return value
        if error is not None:
            if not await _is_served_old(binding, lease, scope, error, cost, old):
                return None
            is_call = False  # it is told as stale
            return Instead(binding.serve_old(cast(StaleableEntry, old)))
        try:
            decision = value if type(value) is StoreDecision else _decide(binding, value)
        except Exception as wrong:  # noqa: BLE001 - of the user's function, for the user and the waiters to see
            await _give_back(binding, lease, wrong)
            # For the waiters without a traceback, which leads to what is above here, and from there to the flight.
            _fail(binding, lease, wrong if (own := own_copy(wrong)) is wrong else own.with_traceback(None))
            return Raised(wrong)
        if decision.error is not None:
            error = decision.raised
            await _give_back(binding, lease, decision.error)
            flight.resolve(UNSHARED)
            is_call = is_call and old is None
            return value if old is None else Instead(binding.serve_old(old))
        decision.is_stored = await _store(binding, lease, scope, decision.kept, decision.lifetime, cost, decision.stale)
        flight.resolve(decision.kept if decision.shared else UNSHARED)
        return value
    finally:
        if flight.state is None:
            flight.abandon()  # nothing above has ended it: a waiter leads the next
        if is_call and listeners:
            binding.tell_miss(lease.key, cost, error)


class ArgumentsChanged(Exception):
    """The content of an argument is not that of which the key was made."""


def _have_changed(binding: Binding, lease: Lease, made_of: "MadeOf | None") -> bool:
    """Return True if the arguments have another key by now than that of *lease*."""
    if made_of is None:
        return False
    try:
        return (binding.keys.key(made_of) if isinstance(made_of, tuple) else made_of()) != lease.key
    except Exception:  # noqa: BLE001 - they have none any more, or a function given as key= is not made for them
        return True


async def _give_up(binding: Binding, lease: Lease) -> None:
    """Store nothing for a call that nobody waits for, whose arguments were changed."""
    try:
        changed = ArgumentsChanged("the arguments were changed while it was computed for nobody")
        await _give_back(binding, lease, changed)
        if lease.old is None:
            binding.count_failure("a result was not stored", changed)
        lease.flight.resolve(UNSHARED)
    finally:
        if lease.flight.state is None:
            lease.flight.abandon()


def _decide(binding: Binding, value: Any) -> StoreDecision:
    """Return what is to become of a computed *value*; what the user's functions raise, this does."""
    why = _why_used_up(type(value)) or (adapters.refusal(value) if adapters else "")
    if why:
        binding.count_failure(why)
        return StoreDecision(value, None, 0.0, 0.0, shared=False)
    lifetime = binding.policy.lifetime(value, binding.cache.default_lifetime)
    try:
        kept = value if binding.copy is None else binding.copy(value)  # the leader may change its own
    except Exception as error:
        if binding.copy is not deepcopy:  # a function of the user's, whose errors are the user's to see
            raise
        binding.count_failure("a result cannot be copied, as copy=True asks, so it was not stored", error)
        return StoreDecision(value, None, 0.0, 0.0, shared=False)
    return StoreDecision(value, kept, lifetime, binding.policy.stale, shared=True)


def _why_used_up(kind: type) -> str:
    """Return why nobody but the first can use what is of this *kind*, such as an iterator; empty if others can."""
    if id(kind) in BUILTIN_TYPES:  # to find that these have no such method takes half as long as to store them
        return ""
    if is_read_once(kind):
        return ONE_SHOT
    # A coroutine of Python's own is refused, see Policy.lifetime.
    if is_awaited_once(kind) and kind is not CoroutineType:
        return AWAITED_ONCE
    # Not by issubclass: these are abstract, so that it takes long, and asks the hash of a class.
    if kind is _GeneratorContextManager or kind is _AsyncGeneratorContextManager:
        return ENTERED_ONCE
    return ""


class PendingLeadFast(Lease):
    """A lease in a SimpleCache, and the call that leads under it, where nothing is to be decided and nothing can wait.

    It is `_lead` once more, for the usual miss: the coroutine takes 1.27 x as many instructions, and a PendingCall
    beside the lease a tenth more. Whatever is not usual, it hands to `_lead_on`.
    """

    __slots__ = ("binding", "scope")

    ready = False  # as a PendingCall
    value = None
    binding: Binding
    scope: EntryScope

    def computed(self, value: Any) -> Any:
        """Store what the function returned, and return it."""
        binding, kind = self.binding, type(value)
        lifetime = binding.fixed_lifetime
        is_result = id(kind) in BUILTIN_TYPES or (
            kind is not StoreDecision and kind is not CoroutineType and not _why_used_up(kind)
        )
        if lifetime is None or not is_result or (adapters and adapters.refusal(value)):
            return self._end(value, None)
        cost, flight = self._leave(), self.flight
        try:
            binding.counters.seconds_computed += cost
            if cost > binding.longest:
                binding.note_cost(cost)
            end = time.time() + lifetime  # see `now`
            entry = Entry(self.key, value, end, int(cost * SECOND), self.scope)
            try:
                if binding.cache.fill(self, entry):
                    binding.counters.stored += 1
                    if listeners:
                        binding.tell_stored(self, entry)
                elif flight.over:  # else it was forgotten meanwhile, as it should be
                    binding.count_lost_lease()
            except (BackendError, SerializationError) as error:
                blocking(_not_stored(binding, self, error))
            flight.resolve(value)
        finally:
            if flight.state is None:
                flight.abandon()
            if listeners:
                binding.tell_miss(self.key, cost)
        return value

    def failed(self, error: BaseException) -> bool:
        """Go on with what the function raised; the caller raises it."""
        self._end(None, error)
        return False

    def _leave(self) -> float:
        """Leave the flight, and return how many seconds were computed in it."""
        flight = self.flight
        cost = ticks() - flight.began
        if enclosing.get() is flight:
            enclosing.set(flight.parent)
        else:
            leave(flight)
        return cost

    def _end(self, value: Any, error: BaseException | None) -> Any:
        cost = self._leave()
        lead: Any = None
        try:
            lead = _lead_on(self.binding, self, self.scope, value, error, cost, is_call=True)
            return PendingCall(lead).value
        except RecursionError:
            if lead is not None:
                lead.close()  # else it is told of as never awaited, if it has not begun
            if self.flight.state is None:
                enclosing.set(self.flight)  # there was no room on the stack to end it: whoever is above does
            raise
        finally:
            if self.flight.state is not None:
                del self.flight  # which has the error, whose traceback leads here


async def _is_served_old(
    binding: Binding, lease: Lease, scope: EntryScope, error: BaseException, cost: float, old: StaleableEntry | None
) -> bool:
    """Go on after a computation that raised *error*; return whether the caller is served what is *old* instead."""
    lifetime = binding.policy.error_lifetime(error)
    is_of_one_request = lifetime > 0 and _is_of_one_request(error)
    stored = None
    if lifetime and isinstance(error, Exception) and not is_of_one_request:
        stored = StoredException.of(error)
    if stored is not None:
        await _store(binding, lease, scope, stored, lifetime, cost)
    else:
        if lifetime:
            why = OF_ONE_REQUEST if is_of_one_request else "cannot be copied"
            binding.count_failure(f"{type(error).__qualname__} {why}, so that it was not remembered")
        await _give_back(binding, lease, error)
    if not isinstance(error, Exception):
        return False
    _fail(binding, lease, error)
    return old is not None and stored is None


def _is_of_one_request(error: BaseException) -> bool:
    return bool(adapters) and holds(error, adapters.of_one_request)


def _fail(binding: Binding, lease: Lease, error: Exception) -> None:
    if binding.keeps_errors_apart or _is_of_one_request(error):
        lease.flight.resolve(UNSHARED)
    else:
        lease.flight.fail(error)


async def _store(
    binding: Binding, lease: Lease, scope: EntryScope, value: Any, lifetime: float, cost: float, stale: float = 0.0
) -> bool:
    """Fill *lease* and return True; whatever prevents that is counted, and the lease is given back."""
    if lifetime <= 0 or binding.keeps_nothing:
        await _leave_nothing(binding, lease)
        return False
    end = time.time() + lifetime  # see `now`
    entry = Entry(lease.key, value, end, int(cost * SECOND), scope)
    if type(value) is StoredException:
        lease.alias = None  # which would hand it out as a value
    elif stale:
        entry = binding.staleable(entry, lifetime, stale)
    try:
        if await _fill(binding, lease, entry):
            binding.counters.stored += 1
            if listeners:
                binding.tell_stored(lease, entry)
            return True
        if lease.flight.over:  # else it was forgotten meanwhile, as it should be
            binding.count_lost_lease()
    except (BackendError, SerializationError) as error:
        await _not_stored(binding, lease, error)
    return False


async def _not_stored(binding: Binding, lease: Lease, error: Exception) -> None:
    """Count and tell that the cache did not take a result; if it never will, nothing shall stand in its place."""
    if isinstance(error, BackendUnavailable):
        binding.count_failure(NOT_TAKEN, error)
        if lease.old is None:  # if the server is well all the same, other processes need not wait for nobody
            with suppress(BackendError):
                await _fill(binding, lease, None)
    else:
        binding.count_failure("a result cannot be stored", error)
        await _leave_nothing(binding, lease)


async def _fill(binding: Binding, lease: Lease, entry: Entry | None) -> bool:
    cache = binding.cache
    if binding.is_direct:
        return cast(bool, cache.fill(lease, entry))
    return bool(await CacheCall(cache, cache.fill, (lease, entry)))


async def _leave_nothing(binding: Binding, lease: Lease) -> None:
    """Give *lease* back for a result that is not stored; where it was to replace another, that one goes, too."""
    await _give_back(binding, lease)
    if lease.replaces:
        cache = binding.cache
        try:
            await CacheCall(cache, cache.forget, (lease.key,))
        except BackendError as error:
            binding.count_failure("the cache did not forget a result that was to be replaced", error)


async def _give_back(binding: Binding, lease: Lease, error: BaseException | None = None) -> None:
    """Give *lease* back; if it was to refresh something, that is served on, and an *error* is counted."""
    old = lease.old
    if old is not None:
        old.retry_at = 0.0
        if isinstance(error, Exception):
            old.back_off(now())
    try:
        await _fill(binding, lease, old)
    except BackendError as unavailable:
        binding.count_failure("the cache did not take a lease back", unavailable)
    if old is not None and isinstance(error, Exception):
        binding.count_failure("a refresh raised, so that the old result is served on", error)


# ---- what else can be done with a call ---------------------------------------------------------------------------


async def refresh(
    binding: Binding, key: str, scope: EntryScope, made_of: "MadeOf | None" = None, *, is_call: bool = False
) -> Any:
    """Compute now and store, whatever is there; return the value. *made_of* is what the key was made of.

    *is_call* is whether that is a call, which has an outcome.
    """
    lease = await _claim(binding, key, scope, NO_ANSWER)
    if lease is None:
        return await compute_alone(binding, key if is_call else None)
    return await _lead(binding, lease, scope, None, made_of, is_call=is_call)


async def put(binding: Binding, key: str, scope: EntryScope, value: object) -> None:
    """Store *value* as if it had been computed now."""
    lifetime = binding.policy.lifetime(value, binding.cache.default_lifetime)
    if why := _why_used_up(type(value)):
        binding.count_failure(why)
        lifetime = 0.0
    await put_if(binding, key, scope, binding.serve(value), lifetime, binding.policy.stale)


async def put_if(
    binding: Binding,
    key: str,
    scope: EntryScope,
    kept: Any,
    lifetime: float,
    stale: float,
    proof: "Proof | None" = None,
) -> bool:
    """Store what is *kept* of a result, and return True if the cache has taken it.

    With *proof* it was computed under the lease of another key: it is stored only if nothing of the *scope* was
    forgotten since. The proof is that key, and a function that knows what was filled in there. Our own lease is taken
    before we look whether that still stands: a forgetting before takes it away, and one after voids our lease.
    """
    lease = await _claim(binding, key, scope, NOT_TAKEN)
    if lease is None:
        return False
    try:
        if proof is not None and not await _stands(binding, scope, *proof):
            await _give_back(binding, lease)
            return False
        is_stored = await _store(binding, lease, scope, kept, lifetime, 0.0, stale)
        lease.flight.resolve(kept)
        return is_stored
    finally:
        lease.flight.abandon()


async def _stands(binding: Binding, scope: EntryScope, key: str, is_ours: Callable[[Any], bool]) -> bool:
    # Not from near, which may not know yet what another process has forgotten.
    (entry,) = await peek(binding, (key,), (scope.tags,), binding.cache.far)
    return entry is not None and is_ours(entry.value)


async def forget(binding: Binding, key: str) -> bool:
    """Forget the call with this *key* in all versions, and return whether there was anything.

    In process that is of any version; elsewhere of its own and of none, as the keys of others are not known there.
    """
    if binding.is_direct:
        return forget_direct(binding, key)
    cache, keys, tag = binding.cache, binding.keys.call_keys(key), binding.keys.call_tag(key)
    try:
        existed = bool(await CacheCall(cache, cache.forget_call, (keys, tag)))
        if tell := listeners.get("uncached"):
            tell(binding.counters.name, key, cache)
        return existed
    except BackendError as error:
        raise binding.not_forgotten(error) from error
    finally:  # last: nobody who starts when this has returned joins what began before
        if cache.stand_in is not None:
            for each in keys:
                cache.stand_in.forget(each)
            cache.stand_in.forget_tag(tag)


def forget_direct(binding: Binding, key: str) -> bool:
    """Do what `forget` does where nothing can wait: the coroutine would take 1.34 x as many instructions."""
    cache: Any = binding.cache  # a call of `cast` would take a hundredth of all
    try:
        existed: bool = cache.forget(key)
        if version_suffixes:
            for other in binding.keys.other_versions(key):
                existed = cache.forget(other) or existed
        if listeners and (tell := listeners.get("uncached")):
            tell(binding.counters.name, key, cache)
        return existed
    except BackendError as error:
        raise binding.not_forgotten(error) from error


async def forget_tag(binding: Binding, tag: str) -> None:
    """Forget every call with this *tag*."""
    try:
        await forget_tag_on(binding.cache, tag)
    except BackendError as error:
        raise binding.not_forgotten(error, "its calls were") from error
    if tell := listeners.get("uncached"):
        tell(binding.counters.name, tag, binding.cache)


async def forget_tag_on(cache: Cache, tag: str) -> None:
    """Forget what has this *tag* on *cache*, and on what stands in for it; BackendError if it did not acknowledge."""
    try:
        await CacheCall(cache, cache.forget_tag, (tag,))
    finally:  # last: nobody who starts when this has returned joins what began before
        if cache.stand_in is not None:
            cache.stand_in.forget_tag(tag)


async def peek(
    binding: Binding, keys: Sequence[str], tags: Sequence[tuple[str, ...]], cache: Cache | None = None
) -> list[Entry | None]:
    """Return the entries under *keys*, with their *tags*; none if the cache, or that tier of it, does not answer."""
    if not keys:
        return []
    cache = binding.cache if cache is None else cache
    try:
        return cast("list[Entry | None]", await CacheCall(cache, cache.peek, (keys, tags, now())))
    except BackendError as error:
        binding.count_failure("the cache did not answer", error)
        return [None] * len(keys)
