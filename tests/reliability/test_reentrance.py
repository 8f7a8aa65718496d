"""A signal handler or a destructor uses a cache in process in the middle of what its thread does there, anywhere."""

import contextlib
import dis
import itertools
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import pytest

from memocache import Event, SimpleCache, _events, cached, subscribe
from memocache.backends import _s3fifo, simple
from tests.reliability import naive_lru
from tests.reliability.ledger import Ledger
from tests.reliability.naive_lru import NaiveLru

ANYWHERE = "handlers that use the cache in the middle of any of its steps"
RAISED = "handlers that raise in the middle of any step of a cache"
FILES = {simple.__file__, _s3fifo.__file__, naive_lru.__file__}
# Where CPython looks for signals, and where the garbage collector may run.
BREAKS = ("CALL", "RESUME", "JUMP_BACKWARD", "BUILD_", "LIST_APPEND", "FOR_ITER", "BINARY_OP")


class Interruption:
    """Calls *handler* once, at the *number*th place where Python might."""

    def __init__(self, number: int, handler: Callable[[], object]) -> None:
        self.left = number
        self._handler = handler
        self._after: dict[FrameType, bool] = {}

    @property
    def has_come(self) -> bool:
        return self.left < 0

    def __enter__(self) -> None:
        sys.settrace(self._trace)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename not in FILES or self.has_come:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            may_come = self._after.get(frame, True)
            name = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            self._after[frame] = name.startswith(BREAKS)
            if may_come:
                self.left -= 1
                if self.has_come:
                    sys.settrace(None)
                    self._handler()
        return self._trace


class World:
    """A small cache that is full, with a function that is in a group of its own for each parity."""

    def __init__(self) -> None:
        self.cache = SimpleCache(threshold=6)
        self.truth = 0
        self.f = cached(cache=self.cache, namespace="f", tags=("parity:{parity}",))(self._compute_of)
        for x in range(5):
            self.f(x, x % 2)
            self.f(x, x % 2)
        self.cache.set("own", 0)

    @property
    def _compute_of(self) -> Callable[[int, int], tuple[int, int]]:
        return lambda x, parity: (x, self.truth)

    def change(self, *forgettings: Callable[[], object]) -> None:
        self.truth += 1
        for forget in forgettings:
            forget()

    def _forget_all(self) -> None:
        self.f.uncache_all()
        assert self.f.info().currsize == 0

    def check(self) -> None:
        """Check that all is forgotten when it is forgotten, by each of the ways, and that it is a cache again."""
        for forget in (
            lambda: [self.f.uncache(x, x % 2) for x in range(10)],
            self._forget_all,
            lambda: [self.f.uncache_where(parity=parity) for parity in (0, 1)],
            lambda: self.cache.clear(),
        ):
            for x in range(10):
                self.f(x, x % 2)
            self.change(forget)
            assert [self.f(x, x % 2) for x in range(10)] == [(x, self.truth) for x in range(10)]
        for x in range(30):
            self.cache.set(f"s{x}", x)
            self.f(x, x % 2)
            before = self.f.info().misses
            assert self.f(x, x % 2) == (x, self.truth)
            assert self.f.info().misses == before
        assert len(self.cache) <= 6
        self.cache.clear()
        assert not self.cache._tagged


@pytest.fixture(autouse=True)
def _gaps_are_closed_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simple, "MOST_GAPS", 0)


DOINGS: dict[str, Callable[[World], object]] = {
    "a hit": lambda w: w.f(1, 1),
    "a miss": lambda w: w.f(7, 1),
    "set": lambda w: w.cache.set("own", 1),
    "set another": lambda w: w.cache.set("another", 1),
    "add": lambda w: w.cache.add("another", 1),
    "inc": lambda w: w.cache.inc("own"),
    "uncache": lambda w: w.f.uncache(1, 1),
    "uncache all": lambda w: w.f.uncache_all(),
    "uncache where": lambda w: w.f.uncache_where(parity=1),
    "clear": lambda w: w.cache.clear(),
    "put": lambda w: w.f.put((1, w.truth), 1, 1),
    "refresh": lambda w: w.f.refresh(1, 1),
    "much": lambda w: [w.cache.set(f"{x}", x) for x in range(12)],
    "info": lambda w: w.f.info(),
}


class Interrupted(BaseException):
    """What a handler raises, as that of Ctrl-C does."""


def interrupt(_: World) -> None:
    raise Interrupted


def tried(doing: str, handler: Callable[[World], object], what: str, every: int) -> int:
    """Let *handler* come at every so many places of *doing*, each in a world of its own; return how many there were."""
    times = 0
    for number in itertools.count(0, every):
        world = World()
        interruption = Interruption(number, partial(handler, world))
        try:
            with interruption, contextlib.suppress(Interrupted):
                DOINGS[doing](world)
            world.check()
        except Exception as problem:
            raise AssertionError(f"{what} in the middle of {doing}, place {number}: {problem!r}") from problem
        if not interruption.has_come:
            break
        times += 1
    return times


@pytest.mark.parametrize("doing", DOINGS)
def test_a_handler_may_come_anywhere(doing: str, ledger: Ledger, scaled: Callable[[int, int], int]) -> None:
    times = sum(tried(doing, handler, what, scaled(53, 4)) for what, handler in DOINGS.items())
    ledger.add(ANYWHERE, "in process", times, wrong_values=0, exceptions=0)


@pytest.mark.parametrize("doing", DOINGS)
def test_a_handler_may_raise_anywhere(doing: str, ledger: Ledger, scaled: Callable[[int, int], int]) -> None:
    times = tried(doing, interrupt, "an exception", scaled(7, 1))
    ledger.add(RAISED, "in process", times, wrong_values=0, exceptions=0)


def test_a_handler_may_raise_anywhere_in_the_telling_of_an_event(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And who listens is told of what comes after that."""
    monkeypatch.setattr(sys.modules[__name__], "FILES", {_events.__file__})
    monkeypatch.setattr(sys.modules[__name__], "BREAKS", ("CALL", "RESUME", "JUMP_BACKWARD"))  # only signals raise
    for number in itertools.count():
        told: list[Event] = []
        f = cached(cache=SimpleCache())(lambda x: x)
        with subscribe(told.append):
            interruption = Interruption(number, partial(interrupt, World()))
            with interruption, contextlib.suppress(Interrupted):
                f(1)
            told.clear()
            f(2)
        assert [event.kind for event in told] == ["stored", "miss"], f"place {number}"
        if not interruption.has_come:
            break
    ledger.add(RAISED, "in process", number, wrong_values=0, exceptions=0)
    assert number > 5


def test_the_naive_way_breaks(ledger: Ledger) -> None:
    broken = tried = 0
    handlers: list[Callable[[NaiveLru], object]] = [lambda lru: lru.set(9, 9), lambda lru: lru.delete(0)]
    for handler in handlers:
        for number in itertools.count():
            lru = NaiveLru(3)
            for key in range(3):
                lru.set(key, key)
            interruption = Interruption(number, partial(handler, lru))
            try:
                with interruption:
                    lru.set(4, 4)
                    lru.get(1)
            except (KeyError, RuntimeError, StopIteration):
                broken += 1
            broken += len(lru) > 3
            if not interruption.has_come:
                break
            tried += 1
    ledger.naive(ANYWHERE, f"an ordered dictionary with a re-entrant lock: broken by {broken} of {tried}")
    assert broken > 1
