"""However often a cached function is called, and in whatever way, all references and the memory stay as they are.

That is C's to get wrong, wherever a call may end: in a hit, in what the generated call is left with, in an exception.
"""

import asyncio
import datetime as dt
import functools
import gc
import inspect
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import freezegun
import pytest
import time_machine

from memocache import SimpleCache, cached, disabled
from memocache._entry import Entry
from memocache._native import hit
from tests.support.selection import examples
from tests.unit.test_hit import compiled  # noqa: F401 - it skips these, too

CALLS: Final = examples(100_000)
SLOW_CALLS: Final = CALLS if CALLS == 100_000 else CALLS // 20
FEW: Final = 10  # references, as to None: asyncio keeps some for later in its debug mode
SPARE: Final = 200  # blocks of memory: what the interpreter keeps for later
ROUNDS: Final = 3  # that may have more: what is kept for later comes once, what is lost comes with all calls


class Hostile:
    """An argument that raises where it is hashed, or compared with the 1 that hashes as it does."""

    def __init__(self, error: BaseException, *, hashes: bool) -> None:
        self.error, self.hashes = error, hashes

    def __hash__(self) -> int:
        if self.hashes:
            return 1
        raise self.error.with_traceback(None)

    def __eq__(self, other: object) -> bool:
        raise self.error.with_traceback(None)

    def __cache_key__(self) -> str:
        return "hostile"


class Broken(BaseException):
    """What reaches the caller of a hit."""


DEFAULT: Final = "the default"


class World:
    """Functions of all kinds on a cache, and what they are called with; each was called once."""

    def __init__(self) -> None:
        self.cache = cache = SimpleCache()
        self.decorated = decorated = cached(timeout="1d", cache=cache)  # however busy the machine is
        self.first, self.word, self.name = "the first", "the third", "".join(["fir", "st"])
        self.one = decorated(lambda first: [first])
        self.two = decorated(lambda first, second=DEFAULT: [first, second])
        self.none = decorated(lambda: [None])
        self.mixed = decorated(lambda first, /, second=DEFAULT, *, third=DEFAULT: [first, second, third])
        self.nine = decorated(lambda a, b=2, c=3, d=4, e=5, f=6, g=7, h=8, i=9: [a, b, c, d, e, f, g, h, i])
        self.stars = decorated(lambda first, *args, **kwargs: [first, args, kwargs])
        self.unstored = cached(timeout=lambda value: 0, cache=cache)(lambda first, second=DEFAULT: self)
        self.failing = decorated(lambda first: 1 / 0)

        @decorated
        @functools.wraps(lambda first, second=DEFAULT: None)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return [args, kwargs]

        @decorated
        async def awaited(first: Any, second: Any = DEFAULT) -> Any:
            return [first, second]

        class Account:
            @decorated
            def rows(self, page: Any, *, size: Any = DEFAULT) -> Any:
                return [page, size]

            @decorated
            def all(self) -> Any:
                return [None]

            @classmethod
            @decorated
            def inside(cls, page: Any) -> Any:
                return [page]

            @decorated
            @classmethod
            def outside(cls, page: Any) -> Any:
                return [page]

            @staticmethod
            @decorated
            def static(page: Any) -> Any:
                return [page]

            @decorated
            async def later(self, page: Any) -> Any:
                return [page]

        self.wrapper, self.awaited, self.Account = wrapper, awaited, Account
        self.account = Account()
        self.bound, self.bound_later = self.account.rows, self.account.later
        self.by_hash = Hostile(ValueError("hash"), hashes=False)
        self.by_comparison = Hostile(ValueError("eq"), hashes=True)
        self.breaking = Hostile(Broken("eq"), hashes=True)
        self.one(1), self.two(1, 2)  # what they are compared with
        self.loop = asyncio.new_event_loop()

    def objects(self) -> list[object]:
        """Return all whose references are counted."""
        mine = list(vars(self).values())
        entries = [each for each in self.cache._queue.everything() if each.args is not None]
        of_entries = [each for entry in entries for each in (entry.value, entry.args, entry.arg_types)]
        functions = [each for each in mine if hasattr(each, "_self_table")]
        fields = [getattr(each, name, None) for each in functions for name in ("_self_table", "_self_call")]
        others = [None, NotImplemented, DEFAULT, tuple, str, int, list, Entry, time.time, hit.missing]
        return [*mine, *entries, *of_entries, *fields, *others, self.Account.__dict__["rows"]]


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.loop.close()


def refused(call: Callable[[], object], kind: type[BaseException] = TypeError) -> Callable[[], None]:
    """Return what makes a *call* that raises a *kind* of exception."""

    def attempt() -> None:
        try:
            call()
        except kind:
            return
        raise AssertionError(f"no {kind.__name__}")

    return attempt


def left(coroutine: Any) -> None:
    """Do not await *coroutine*."""
    coroutine.close()


HITS: Final[dict[str, Callable[[World], Any]]] = {
    "one argument": lambda w: w.one(w.first),
    "one argument by name": lambda w: w.one(first=w.first),
    "a name that is not interned": lambda w: w.one(**{w.name: w.first}),
    "two arguments": lambda w: w.two(w.first, w.word),
    "a default": lambda w: w.two(w.first),
    "the default": lambda w: w.two(w.first, DEFAULT),
    "no arguments": lambda w: w.none(),
    "all ways": lambda w: w.mixed(w.first, third=w.word, second=w.word),
    "only names": lambda w: w.two(second=w.word, first=w.first),
    "nine parameters": lambda w: w.nine(w.first, i=w.word),
    "stars": lambda w: w.stars(w.first),
    "a wrapper": lambda w: w.wrapper(w.first),
    "a method": lambda w: w.account.rows(w.first),
    "a method, by name": lambda w: w.account.rows(page=w.first, size=w.word),
    "a method of nothing else": lambda w: w.account.all(),
    "a method by its class": lambda w: w.Account.rows(w.account, w.first),
    "a bound method": lambda w: w.bound(w.first),
    "a class method inside": lambda w: w.account.inside(w.first),
    "a class method outside": lambda w: w.Account.outside(w.first),
    "a static method": lambda w: w.account.static(w.first),
    "awaited": lambda w: w.awaited(w.first),
    "awaited, by name": lambda w: w.awaited(second=w.word, first=w.first),
    "an awaited method": lambda w: w.account.later(w.first),
    "an awaited bound method": lambda w: w.bound_later(w.first),
}


OTHERS: Final[dict[str, Callable[[World], Any]]] = {
    "left to the cache": lambda w: w.two([w.first]),
    "nothing stored": lambda w: w.unstored(w.first),
    "a computation that raises": lambda w: refused(lambda: w.failing(w.first), ZeroDivisionError)(),
    "no keyable argument": lambda w: refused(lambda: w.two(w))(),
    "too few": lambda w: refused(lambda: w.two())(),
    "too many": lambda w: refused(lambda: w.two(w.first, w.word, w.word))(),
    "twice": lambda w: refused(lambda: w.two(w.first, first=w.first))(),
    "an unknown name": lambda w: refused(lambda: w.two(w.first, unknown=w.word))(),
    "no name": lambda w: refused(lambda: w.mixed(first=w.first))(),
    "a method of nothing": lambda w: refused(lambda: w.Account.rows())(),
    "too few, awaited": lambda w: refused(lambda: w.awaited())(),
    "a hash that raises": lambda w: w.two(w.by_hash, w.first),
    "a hash that raises, alone": lambda w: w.one(w.by_hash),
    "a comparison that raises": lambda w: w.two(w.by_comparison, 2),
    "a comparison that raises, alone": lambda w: w.one(w.by_comparison),
    "a comparison that breaks off": lambda w: refused(lambda: w.one(w.breaking), Broken)(),
    "left to the cache, awaited": lambda w: w.awaited([w.first]),
    "a hash that raises, awaited": lambda w: w.awaited(w.by_hash),
    "forgotten": lambda w: (w.one(w.first), w.one.uncache(w.first)),
    "forgotten in a method": lambda w: (w.account.rows(w.first), w.account.rows.uncache(w.first)),
    "nothing to forget": lambda w: w.one.uncache(w.word),
    "forgotten, awaited": lambda w: w.awaited.uncache(w.first),
    "disabled": lambda w: _while_disabled(w),
    "never awaited": lambda w: left(w.awaited(w.first)),
    "thrown into": lambda w: refused(lambda: w.awaited(w.first).throw(Broken()), Broken)(),
    "bound": lambda w: (w.account.rows, w.Account.inside, w.one.__get__(w, World), w.one.__get__(None, World)),
    "an entry": lambda w: Entry("key", w.first, 1.0, 2.0, w.cache),
    "an entry with a value that holds others": lambda w: Entry("key", [w.first], 1.0),
    "no entry": lambda w: refused(lambda: Entry("key", [w.first], w.word))(),
    "a new look-up": lambda w: hit.lookup({}, {}, 1)(w.first, w.word),
    "a look-up of too little": lambda w: hit.lookup({}, {}, 1)(w.first),
}


def _while_disabled(world: World) -> None:
    with disabled():
        world.one(world.first)


def flat(
    world: World, path: Callable[[World], Any], calls: int, objects: Sequence[object] = (), spare: int = SPARE
) -> None:
    """Assert that many calls of *path* leave all as it is."""

    async def repeat(times: int) -> None:
        for _ in range(times):
            result = path(world)
            if inspect.iscoroutine(result):
                await result

    def done(times: int) -> tuple[list[int], int]:
        world.loop.run_until_complete(repeat(times))
        gc.collect()
        return [sys.getrefcount(each) for each in objects], sys.getallocatedblocks()

    world.loop.run_until_complete(repeat(2))
    objects = objects or world.objects()
    before, blocks = done(10)
    grown: list[int] = []
    while not grown or (grown[-1] >= spare and len(grown) < ROUNDS):
        after, more_blocks = done(calls)
        changed = [(repr(o)[:80], b, a) for o, b, a in zip(objects, before, after, strict=True) if abs(a - b) > FEW]
        assert not changed
        grown.append(more_blocks - blocks)
        blocks = more_blocks
    assert min(grown) < spare, grown


@pytest.mark.parametrize("path", HITS.values(), ids=HITS)
def test_hits_leave_all_as_it_is(path: Callable[[World], Any], world: World) -> None:
    async def value() -> Any:
        result = path(world)
        return await result if inspect.iscoroutine(result) else result

    first, second = (world.loop.run_until_complete(value()) for _ in range(2))
    assert first is second  # else it is none
    flat(world, path, CALLS)


@pytest.mark.parametrize("path", OTHERS.values(), ids=OTHERS)
def test_calls_that_are_no_hits_leave_all_as_it_is(path: Callable[[World], Any], world: World) -> None:
    flat(world, path, SLOW_CALLS)


@pytest.mark.parametrize("move", [freezegun.freeze_time, time_machine.travel])
@pytest.mark.parametrize("name", ["one argument", "a method", "awaited"])
def test_hits_while_the_clock_is_moved_leave_all_as_it_is(move: Any, name: str, world: World) -> None:
    with move(dt.datetime(2030, 1, 1), tick=False):
        flat(world, HITS[name], SLOW_CALLS)


@pytest.mark.parametrize("name", ["one argument", "a method", "awaited"])
def test_calls_that_find_what_has_expired_leave_all_as_it_is(name: str, world: World) -> None:
    def expired(world: World) -> Any:
        for entry in world.cache._queue.everything():
            entry.serve_until = entry.expires_at = 0.0
        return {"awaited": world.awaited, "one argument": world.one, "a method": world.account.rows}[name](world.first)

    flat(world, expired, SLOW_CALLS)


@pytest.mark.parametrize("error", [OSError("no clock"), Broken("no clock")])
def test_calls_with_a_clock_that_raises_leave_all_as_it_is(
    error: BaseException, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.one(world.first)

    def broken() -> float:
        raise error.with_traceback(None)

    def call(world: World) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(time, "time", broken)
            refused(lambda: world.one(world.first), type(error))()

    flat(world, call, SLOW_CALLS // 10)


def test_functions_that_come_and_go_leave_all_as_it_is(world: World) -> None:
    def made(world: World) -> None:
        class Account:
            @world.decorated
            def rows(self, page: Any) -> Any:
                return [page]

        Account().rows(world.first)
        Account.rows.uncache_all()

    functions = SLOW_CALLS // 200
    # Of each there stay a number in `keys`, and the name of a file; where frameworks are watched, some blocks more.
    flat(world, made, functions, [world.first, world.cache, hit.missing, tuple], spare=20 * functions + SPARE)
