"""The call that is written for a function does, with its shortcut, what the slow path does without one.

Both are taken through the same random operations in lockstep. What the caller gets is compared, what was computed and
with which arguments, and what was counted; and the arguments with those that the function itself would have had.

The slow path takes no shortcut since its `cache=` is a function, which each call has to ask; and where a miss or a
forgetting in process has a fast way, in what is named `_fast`, it goes through the coroutines instead. Whether a
shortcut was taken the cache itself can tell, since it is not asked for the entry then.

Another implementation of the call would be another Runner, in IMPLEMENTATIONS. `--chance=7` has other operations drawn.
"""

import asyncio
import datetime as dt
import inspect
import linecache
import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import pytest
import time_machine
from freezegun import freeze_time

from memocache import (
    Info,
    SimpleCache,
    _compile,
    _function,
    _memoizer,
    cached,
    configure,
    default_cache,
    disabled,
    uncache_tag,
)
from memocache._chance import chance
from memocache._effects import PendingCall, blocking
from memocache._native import hit
from memocache._readthrough import PendingLeadFast, begin_fast, forget, forget_direct, get_or_compute
from tests.support.calls import (
    SUBJECTS,
    Missing,
    Operation,
    Subject,
    defined,
    operations,
    plainest,
    publish,
    shrunk,
    spelt,
)
from tests.support.selection import examples
from tests.support.threads import PATIENCE

MOST_CALLS: Final = 20_000
CALLS: Final = examples(MOST_CALLS)
PER_SUBJECT: Final = -(-CALLS // len(SUBJECTS))
START: Final = dt.datetime(2030, 1, 1)
LEAST_MOVE: Final = 11  # seconds: what ends so is over, and what does not has so long left that none are lost by chance
DEEPEST: Final = 2  # computations inside one another


class Quit(BaseException):
    """What a computation raises that is no Exception."""


class Asked(SimpleCache):
    """A cache that counts how often it is asked for an entry."""

    looks = 0
    is_slow = False

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        look = self.look

        def asked(*args: Any) -> Any:
            self.looks += 1
            return look(*args)

        self.look = asked  # not as a method: the calls of a class with a `look` of its own are led by the coroutine


@dataclass(frozen=True)
class Outcome:
    """What came of an operation, as text: what its caller got, and what was computed for that.

    *raised* is the name of the exception, if there was one; *same_as* the number of the first operation that gave the
    very same list.
    """

    result: str
    computed: tuple[str, ...]
    raised: str = ""
    same_as: int | None = None


class Runner:
    """A subject in a world of its own: its cache, its clock, its computations. Its subclasses say how it is called.

    Args:
        loop: in which the coroutine functions are called; None for ordinary ones.
        clock: moves the time; None leaves it alone, and what is stored is moved instead.
    """

    def __init__(self, subject: Subject, loop: asyncio.AbstractEventLoop | None, clock: Any, seed: int) -> None:
        self.subject = subject
        self._signature = subject.signature
        self._is_aging = not {"stale", "jitter"}.isdisjoint(subject.options)
        self._loop = loop
        self._clock = clock
        self._now = START
        self._chance = random.Random(seed)  # of what computations do
        self._serial = 0
        self._computed: list[str] = []
        self._depth = 0
        self._given: list[tuple[int, object]] = []
        self.figures: dict[str, float] = {}
        """Those that were asked for last."""
        self._caches: list[Asked] = []
        self._name = f"parity_{type(self).__name__.lower()}"
        self.new_cache()
        self._numbers = iter(range(1, 1000))
        self._faces: list[Any] = []
        self._owners: list[type] = []
        if subject.is_method:
            owner, other = self._defined(0)
            self._owners = [owner, owner, other]
        else:
            self._faces = [self._defined(number) for number in range(subject.functions)]
        self._instances: list[Any] = [owner(next(self._numbers)) for owner in self._owners]

    # ---- its world -----------------------------------------------------------------------------------------------

    def new_cache(self) -> None:
        self.cache = Asked(self.subject.threshold, default_timeout=60)
        self._caches.append(self.cache)
        configure(**{self._name: self.cache})

    @property
    def looks(self) -> int:
        return sum(cache.looks for cache in self._caches)

    def decorated(self, function: Any) -> Any:
        """Return *function* as it is called here."""
        raise NotImplementedError

    def _defined(self, number: int) -> Any:
        drive = self._driven if self._loop is None else self._awaited
        return defined(
            self.subject,
            self.decorated,
            lambda given: drive(self._steps(number, given)),
            is_async=self._loop is not None,
        )

    # ---- its computations ----------------------------------------------------------------------------------------

    @staticmethod
    def _driven(steps: Any) -> Any:
        answer = None
        while True:
            try:
                answer = steps.send(answer)
            except StopIteration as stop:
                return stop.value

    @staticmethod
    async def _awaited(steps: Any) -> Any:
        answer = None
        with closing(steps):
            while True:
                try:
                    step = steps.send(answer)
                except StopIteration as stop:
                    return stop.value
                answer = await step

    def _steps(self, number: int, given: dict[str, Any]) -> Any:
        """Do what a computation of function *number* does, and yield what may have to be awaited."""
        self._computed.append(f"{number}: {given!r}")
        self._serial += 1
        serial = self._serial
        deed = self._deed()
        args, kwargs = ((), {}) if self.subject.is_method else spelt(self._signature, given)
        result: Any = [serial]
        self._depth += 1
        try:
            match deed:
                case "empty":
                    return (None, False, 0, 0.0, "", b"", ())[serial % 7]
                case "none":
                    return None
                case "missing":
                    raise Missing(serial, "one")
                case "wrong":
                    raise KeyError(serial) from ZeroDivisionError(serial)
                case "quit":
                    raise Quit(serial)
                case "slow":
                    self._tick(4)
                case "uncache":
                    result.append((yield self._faces[number].uncache(*args, **kwargs)))
                case "put":
                    yield self._faces[number].put([serial, "put"], *args, **kwargs)
                case "again" if self._depth < DEEPEST:
                    result.append((yield self._faces[number](*args, **kwargs)))
                case "other" if self._depth < DEEPEST:
                    result.append((yield self._faces[number](3, **kwargs)))
            return result
        finally:
            self._depth -= 1

    def _deed(self) -> str:
        """Draw what the next computation does."""
        return self._chance.choice(self.subject.deeds)

    def _tick(self, seconds: int) -> None:
        if self._clock is not None:
            self._clock.tick(dt.timedelta(seconds=seconds))
        elif seconds >= LEAST_MOVE:
            for cache in self._caches:
                for entry in cache._queue.everything():
                    entry.move(-seconds)

    # ---- what is done with it ------------------------------------------------------------------------------------

    def outcome(self, number: int, operation: Operation) -> Outcome:
        """Do *operation*, the one with this *number*, and return what came of it."""
        if self._clock is not None:
            self._clock.move_to(self._now)
        if self._is_aging:
            chance.seed(number)  # when a result ends is drawn
        publish(*self._owners)
        self._computed = []
        result, raised = None, ""
        try:
            result = _in_thread(self._done, operation) if operation.in_thread else self._done(operation)
            told = _told(result)
        except (Exception, Quit) as error:  # noqa: BLE001 - to be compared, whatever it is
            raised, told = type(error).__name__, f"{self._stage} raised {_told_error(error)}"
        if self._is_aging:
            self._wait_for_background()
        if self._clock is not None:
            self._now = self._clock()
        outcome = Outcome(told, tuple(self._computed), raised, self._first_given(number, result))
        if isinstance(result, Info):
            self.figures = {name: n for name, n in asdict(replace(result, maxsize=0)).items() if name != "errors"}
        # A caller that changes what it was given: with copy= that is its own.
        if type(result) is list and "copy" in self.subject.options:
            result.append("changed")
        return outcome

    def _first_given(self, number: int, result: Any) -> int | None:
        """Return in which operation this very list was given first."""
        if type(result) is not list:
            return None
        for first, each in self._given:
            if each is result:
                return first
        self._given.append((number, result))
        return None

    def _done(self, operation: Operation) -> Any:
        """Return what the *operation* returns."""
        self._stage = "the call"
        with _switch(operation.disabled):
            return self._awaited_result(self._call(operation)())

    def _awaited_result(self, result: Any) -> Any:
        if not inspect.iscoroutine(result):
            return result
        assert self._loop is not None
        self._stage = "awaiting"
        return self._loop.run_until_complete(result)

    def _call(self, operation: Operation) -> Callable[[], Any]:
        """Return what does the *operation*."""
        verb, args, kwargs = operation.verb, operation.args, dict(operation.kwargs)
        if verb == "tick":
            return lambda: self._tick(operation.given)
        if verb == "clear":
            return self.cache.clear
        if verb == "configure":
            return self.new_cache
        if verb == "uncache_tag":
            return lambda: uncache_tag(operation.given, self.cache)
        if verb == "renew":
            return lambda: self._renew(operation.which)
        if verb == "change":
            return lambda: setattr(self._instances[operation.which], "number", next(self._numbers))
        function, first = self._target(operation)
        match verb:
            case "call" if self.subject.is_method and not operation.is_by_class and self._serial % 2:
                return _unbound_call(self._instances[operation.which], args, kwargs)
            case "call":
                return lambda: function(*first, *args, **kwargs)
            case "put":
                return lambda: function.put(operation.given, *first, *args, **kwargs)
            case "many":
                return lambda: function.many([_with_first(first, each) for each in operation.given])
            case "set":
                return lambda: self.cache.set(function.key(*first, *args, **kwargs), operation.given)
            case "delete":
                return lambda: self.cache.delete(function.key(*first, *args, **kwargs))
            case "info" | "cache_clear" | "uncache_all":
                return getattr(function, verb)
            case "uncache_where":
                return lambda: function.uncache_where(**kwargs)
            case _:
                return lambda: getattr(function, verb)(*first, *args, **kwargs)

    def _target(self, operation: Operation) -> tuple[Any, tuple[Any, ...]]:
        """Return what *operation* is done with, and what has to stand before the arguments."""
        if not self.subject.is_method:
            return self._faces[operation.which], ()
        if not operation.is_by_class:
            return self._instances[operation.which].f, ()
        needs_instance = self.subject.form in ("method", "assigned method")
        return self._owners[operation.which].f, (self._instances[operation.which],) if needs_instance else ()

    def _renew(self, which: int) -> None:
        """Let an instance go, and have another: mostly in the same place, and so with the same id."""
        self._instances[which] = None
        self._instances[which] = self._owners[which](next(self._numbers))

    def _wait_for_background(self) -> None:
        if self._loop is not None:
            if others := asyncio.all_tasks(self._loop):
                self._loop.run_until_complete(asyncio.wait(others))
            return
        for thread in threading.enumerate():
            if thread.name == "memocache refresh":
                thread.join(PATIENCE)


def _unbound_call(instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], Any]:
    """Return what calls the method as it mostly stands in code, so that Python may do that without binding it first."""
    given = [*(f"args[{at}]" for at in range(len(args))), *(f"{name}=kwargs[{name!r}]" for name in kwargs)]
    call = compile(f"instance.f({', '.join(given)})", "<call>", "eval")
    return lambda: eval(call, {"instance": instance, "args": args, "kwargs": kwargs})


def _in_thread(work: Callable[[Any], Any], given: Any) -> Any:
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(work, given).result()


def _with_first(first: tuple[Any, ...], call: Any) -> Any:
    return call if isinstance(call, dict) else (*first, *call)


def _switch(where: str) -> AbstractContextManager[object]:
    return disabled(everywhere=where == "everywhere") if where else nullcontext()


def _told(result: Any) -> str:
    if isinstance(result, Info):
        # How long computations really took is never the same.
        result = replace(result, seconds_saved=0.0, seconds_computed=0.0, waited=0.0)
    return f"{type(result).__name__} {result!r}"


def _told_error(error: BaseException) -> str:
    chain = []
    each: BaseException | None = error
    while each is not None:
        chain.append(f"{type(each).__module__}.{type(each).__qualname__}{each.args!r} {each} {vars(each)!r}")
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return " from ".join(chain)


# ---- the implementations -----------------------------------------------------------------------------------------


class Slow(Runner):
    """Each call makes its key, and asks the cache, in the coroutines of the read-through: see `slow_ways`."""

    def new_cache(self) -> None:
        super().new_cache()
        self.cache.is_slow = True

    def decorated(self, function: Any) -> Any:
        cache = (lambda: default_cache(self._name)) if self.subject.is_by_name else lambda: self.cache
        return cached(cache=cache, namespace="parity", **self.subject.options)(function)


class Generated(Runner):
    """A call finds what is stored in this process by its arguments."""

    def decorated(self, function: Any) -> Any:
        cache = self._name if self.subject.is_by_name else self.cache
        return cached(cache=cache, namespace="parity", **self.subject.options)(function)


def leave_out_c(patch: pytest.MonkeyPatch) -> None:
    """Have functions that are decorated now served by the call that is written for them alone."""
    for module in (_compile, _function):
        patch.setattr(module, "hit", None)


class Written(Generated):
    """The call that is written for the function is all that there is, as where nothing is compiled."""

    def decorated(self, function: Any) -> Any:
        with pytest.MonkeyPatch.context() as patch:
            leave_out_c(patch)
            return super().decorated(function)


class Undecorated(Runner):
    """The function itself: what it is called with, and which calls it takes."""

    def decorated(self, function: Any) -> Any:
        return function

    def _deed(self) -> str:
        return "none"


@pytest.fixture(autouse=True)
def slow_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the caches of Slow used by coroutines alone: elsewhere `begin_fast` and `forget_direct` stand for them."""

    def begin(binding: Any, key: str, scope: Any, fast_key: Any, compute: Any, key_args: Any) -> Any:
        if binding.cache.is_slow:
            return PendingCall(get_or_compute(binding, key, scope, fast_key, made_of=key_args), compute)
        return begin_fast(binding, key, scope, fast_key, compute, key_args)

    def forget_call(binding: Any, key: str) -> bool:
        return blocking(forget(binding, key)) if binding.cache.is_slow else forget_direct(binding, key)

    monkeypatch.setattr(_memoizer, "begin_fast", begin)
    monkeypatch.setattr(_memoizer, "forget_direct", forget_call)


IMPLEMENTATIONS: Final = (Generated,) if hit is None else (Generated, Written)
"""What is compared with the slow path: hits in C, where they are compiled, and those of the call that is written."""


def broken(kind: type[Runner], pattern: str, replacement: str) -> type[Runner]:
    """Return a *kind* of runner whose call is written anew, with something in its lines replaced."""

    class Broken(kind):
        def decorated(self, function: Any) -> Any:
            made = super().decorated(function)
            code, variables = made.__call__.__code__, made.__call__.__globals__
            lines = re.sub(r"def \w+", "def f", "".join(linecache.getlines(code.co_filename)))
            lines, replaced = re.subn(pattern, replacement, lines)
            assert replaced, lines
            written: dict[str, Any] = {}
            exec(lines, variables, written)
            type(made).__call__ = staticmethod(written["f"])
            return made

    return Broken


# ---- comparing ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """What the last of the operations that were *done* came to, which should not be."""

    done: Sequence[Operation]
    found: str

    def __str__(self) -> str:
        lines = [f"{number:4} {operation}" for number, operation in enumerate(self.done)]
        return "\n".join([*lines, self.found])


class Comparison:
    """An implementation of the call, the *other*, beside the slow path, for one subject.

    Args:
        loop: where the functions are coroutine functions, in which they are called; else None.
    """

    def __init__(
        self, subject: Subject, other: type[Runner], loop: Any, clock: Any, seed: int, slow: type[Runner] = Slow
    ) -> None:
        self.title = f"--chance={seed}: {'async ' if loop else ''}{subject}"
        self.slow: Runner
        self.other: Runner
        self.raised: set[str] = set()

        def new_runners() -> Undecorated:
            self.slow, self.other = (kind(subject, loop, clock, seed) for kind in (slow, other))
            return Undecorated(subject, None, clock, seed)  # it awaits nothing, so it need not be a coroutine function

        self._new_runners = new_runners
        self._drawn = operations(subject, random.Random(f"{seed} {subject}"), PER_SUBJECT)

    def difference(self, todo: Sequence[Operation]) -> Difference | None:
        """Do all *todo* with both, from the beginning; return the first difference."""
        itself = self._new_runners()
        for number, operation in enumerate(todo):
            expected, found = self.slow.outcome(number, operation), self.other.outcome(number, operation)
            self.raised.add(found.raised)
            where = ""
            if found != expected:
                where = f"Slow: {expected}"
            if operation.verb in ("call", "renew", "change"):
                direct = itself.outcome(number, operation)
                if operation.verb == "call" and _is_other_call(found, direct):
                    where = f"the function itself: {direct}"
            if where:
                return Difference(todo[: number + 1], f"{type(self.other).__name__}: {found}\n{where}")
        return None

    def smallest_difference(self) -> Difference | None:
        """Do all operations; return the first difference, with the few operations that show it."""
        first = self.difference(list(self._drawn))
        if first is None:
            return None
        few = shrunk(first.done, lambda todo: self.difference(todo) is not None)
        return self.difference(few) or first


def _is_other_call(found: Outcome, direct: Outcome) -> bool:
    """Return whether *found* is the outcome of another call than the function itself takes, of which *direct* is."""
    if not direct.computed:  # it takes no such call
        return found != direct
    return bool(found.computed) and found.computed[0] != direct.computed[0]


def frozen() -> Any:
    """Return what stops the clock; once for many subjects, since that takes longer than most of them."""
    return freeze_time(START, real_asyncio=True)


class Travelled:
    """time-machine's clock, with the methods that freezegun's has."""

    def __init__(self, coordinates: Any) -> None:
        self.move_to, self.tick = coordinates.move_to, coordinates.shift

    def __call__(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC).replace(tzinfo=None)


@contextmanager
def travelled() -> Iterator[Travelled]:
    with time_machine.travel(START, tick=False) as coordinates:
        yield Travelled(coordinates)


CLOCKS: Final = (frozen, travelled, nullcontext)
"""Who moves the time: freezegun, time-machine, or nobody."""


# ---- the tests ---------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def same_chance() -> Iterator[None]:
    """Leave to chance what follows a test, which has it follow from a seed."""
    state = chance.getstate()
    yield
    chance.setstate(state)


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> int:
    """What all operations follow from."""
    return int(pytestconfig.getoption("--chance"))


@pytest.fixture(params=["threads", "tasks"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop | None]:
    """The event loop that coroutine functions are called in; None: they are ordinary functions."""
    loop = asyncio.new_event_loop() if request.param == "tasks" else None
    yield loop
    if loop is not None:
        loop.close()


@pytest.mark.parametrize("kind", IMPLEMENTATIONS)
def test_a_call_does_what_the_slow_path_does(kind: type[Runner], loop: Any, seed: int) -> None:
    wrong: list[str] = []
    raised: set[str] = set()
    figures: Counter[str] = Counter()
    for number, new_clock in enumerate(CLOCKS):
        with new_clock() as clock:
            for subject in SUBJECTS[(seed + number) % len(CLOCKS) :: len(CLOCKS)]:
                comparison = Comparison(subject, kind, loop, clock, seed)
                difference = comparison.smallest_difference()
                if difference is not None:
                    wrong.append(f"{comparison.title}, {new_clock.__name__}\n{difference}")
                raised |= comparison.raised
                figures.update(comparison.other.figures)
    assert not wrong, "\n\n".join(wrong)
    # Else it would be for nothing.
    assert raised >= {"", "TypeError", "UnkeyableArgument", "ConfigurationError", "Missing", "KeyError", "Quit"}
    rare = ("stale", "failures") if CALLS == MOST_CALLS else ()
    assert all(figures[each] for each in ("hits", "misses", "stored", *rare)), figures


@pytest.mark.parametrize("kind", IMPLEMENTATIONS)
def test_a_hit_is_found_without_the_cache_wherever_there_is_a_shortcut(
    kind: type[Runner], loop: Any, seed: int
) -> None:
    with frozen() as clock:
        for subject in SUBJECTS:
            comparison = Comparison(replace(subject, deeds=("new",)), kind, loop, clock, seed)
            assert comparison.difference([plainest(subject)] * 3) is None
            slow, other = comparison.slow.looks, comparison.other.looks
            assert (other < slow) == subject.has_shortcut, str(subject)


FAULTS: Final = {
    "types": (r"if not \(.+\):", "if False:", ["call", "call"]),
    "expiry": (r"\w+\.serve_from <= \w+\.time\(\) < ", "0.0 < ", ["call", "tick", "call"]),
    "counts": (r"\w+\.hits \+= 1", "pass", ["call", "call", "info"]),
    "value": (r"return \w+_entry\.value", "return [*_memocache_entry.value]", ["call", "call"]),
    "order": (r"(function\W+)a, b\)", r"\1b, a)", ["call"]),
    "default": (r"b=\w+", "b=3", ["call"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_call_that_is_broken_is_found(fault: str, loop: Any) -> None:
    pattern, replacement, wanted = FAULTS[fault]
    subject = Subject("a, b=2", {"timeout": 1}, pools=((1, True, 2), (2, 3)))
    with frozen() as clock:
        difference = Comparison(subject, broken(Written, pattern, replacement), loop, clock, 1).smallest_difference()
    assert difference is not None
    assert [each.verb.replace("many", "call") for each in difference.done] == wanted, str(difference)
    assert str(difference).count("\n") == len(wanted) + 1


def test_a_call_that_is_broken_in_the_slow_path_too_is_found(loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pattern, replacement, wanted = FAULTS["default"]
    leave_out_c(monkeypatch)
    other, slow = (broken(kind, pattern, replacement) for kind in (Generated, Slow))
    with frozen() as clock:
        difference = Comparison(Subject("a, b=2"), other, loop, clock, 1, slow).smallest_difference()
    assert difference is not None
    assert [each.verb for each in difference.done] == wanted, str(difference)
    assert "the function itself: Outcome" in str(difference)


def test_the_operations_follow_from_the_seed_and_are_of_every_kind() -> None:
    def drawn(subject: Subject) -> list[Operation]:
        return [*operations(subject, random.Random(str(subject)), PER_SUBJECT)]

    todo = [each for subject in SUBJECTS for each in drawn(subject)]
    again = drawn(SUBJECTS[-1])
    assert [*map(str, again)] == [*map(str, todo[-len(again) :])]
    verbs = Counter(each.verb for each in todo)
    assert verbs["call"] == PER_SUBJECT * len(SUBJECTS) >= CALLS
    assert verbs.keys() == {
        *("call", "uncache", "put", "refresh", "peek", "many", "key", "delete", "set", "info", "tick", "configure"),
        *("renew", "change", "clear", "cache_clear", "uncache_all", "uncache_tag", "uncache_where"),
    }
    assert {each.disabled for each in todo} == {"", "here", "everywhere"}
    assert {each.is_by_class for each in todo} == {each.in_thread for each in todo} == {False, True}
    assert len({each.parameters for each in SUBJECTS}) >= 60


def test_a_fast_way_that_does_something_else_is_noticed(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    original = PendingLeadFast.computed
    monkeypatch.setattr(PendingLeadFast, "computed", lambda pending, value: [original(pending, value)])
    with frozen() as clock:
        found = (Comparison(subject, Generated, None, clock, seed).smallest_difference() for subject in SUBJECTS)
        assert any(found)
