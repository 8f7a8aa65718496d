"""One computation per key in a process, whatever happens to whoever computes; on a SimpleCache and on a memcached."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from freezegun import freeze_time

from memocache import MISSING, Cache, CachedFunction, cached
from memocache import _flight as flights
from memocache._clock import now
from memocache._flight import Flight
from tests.support.threads import PATIENCE, Held, Joins, start


def cached_on(cache: Cache, answer: Callable[..., Any], **options: Any) -> CachedFunction[[Any], Any]:
    @cached(cache=cache, **{"namespace": "f", **options})
    def f(x: Any) -> Any:
        return answer(x)

    return f


# ---- many at once ----------------------------------------------------------------------------------------------------


def test_sixty_four_threads_on_a_cold_key_compute_once(cache: Cache) -> None:
    rounds, threads = 20, 64
    computed: list[int] = []
    ready = threading.Barrier(threads)
    f = cached_on(cache, lambda x: (computed.append(x), [x])[1])

    def work() -> list[Any]:
        seen = []
        for number in range(rounds):
            ready.wait(PATIENCE)
            seen.append(f(number))
        return seen

    for result in [start(work) for _ in range(threads)]:
        assert result.result(PATIENCE) == [[number] for number in range(rounds)]
    assert computed == list(range(rounds))
    info = f.info()
    assert (info.misses, info.stored, info.failures) == (rounds, rounds, 0)
    assert info.hits + info.waits == rounds * (threads - 1)


def test_different_keys_do_not_wait_for_each_other(cache: Cache) -> None:
    both = threading.Barrier(2)
    f = cached_on(cache, lambda x: (both.wait(PATIENCE), x)[1])
    one, two = start(f, 1), start(f, 2)
    assert (one.result(PATIENCE), two.result(PATIENCE)) == (1, 2)


def test_nothing_is_left_behind(cache: Cache) -> None:
    f = cached_on(cache, lambda x: x)
    for number in range(50):
        f(number)
        f.refresh(number)
        f.put(number, number)
    assert len(getattr(cache, "_own_leases", cache)._flights) == 0  # type: ignore[attr-defined]


# ---- errors ----------------------------------------------------------------------------------------------------------


class NeedsTwo(Exception):
    """Its constructor takes what its args do not have."""

    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.reason = reason


def caused() -> Exception:
    error = ValueError("v")
    error.__cause__ = LookupError("cause")
    return error


ERRORS: dict[str, Callable[[], Exception]] = {
    "ValueError": lambda: ValueError("no", 7),
    "KeyError": KeyError,
    "OSError": lambda: OSError(2, "gone", "file"),
    "UnicodeError": lambda: UnicodeError("ascii", b"\xff"),
    "a constructor of its own": lambda: NeedsTwo(7, reason="r"),
    "a cause": caused,
}


def depth(error: BaseException) -> int:
    trace, count = error.__traceback__, 0
    while trace is not None:
        trace, count = trace.tb_next, count + 1
    return count


@pytest.mark.parametrize("which", ERRORS)
def test_an_exception_reaches_every_waiter_as_its_own(which: str, cache: Cache, joins: Joins) -> None:
    error = ERRORS[which]()

    def fail(x: int) -> None:
        raise error

    held = Held(lambda x: x)
    f = cached_on(cache, lambda x: (held(x), fail(x)))
    calls = [start(f, 1)]
    held.wait()
    calls += [start(f, 1) for _ in range(10)]
    joins.wait(10)
    held.go()
    seen: list[Any] = [call.exception(PATIENCE) for call in calls]
    assert seen[0] is error
    for each in seen:
        assert (type(each), each.args, str(each), vars(each)) == (type(error), error.args, str(error), vars(error))
        assert repr(each.__cause__) == repr(error.__cause__)
        assert depth(each) < 12  # where it was raised, and the waiter's own way there: no other waiters'
    assert len(set(map(id, seen))) == len(seen)
    assert f.info().waits == 10
    with pytest.raises(type(error)):
        f(1)  # it is not kept
    assert held.computed == 2
    assert f.peek(1) is MISSING


# ---- a leader that does not come back --------------------------------------------------------------------------------


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_leader_that_is_interrupted_hands_over(interrupt: type[BaseException], cache: Cache, joins: Joins) -> None:
    def answer(x: int) -> str:
        if held.computed == 1:
            raise interrupt
        return "second"

    held = Held(lambda x: x)
    f = cached_on(cache, lambda x: (held(x), answer(x))[1])
    leader = start(f, 1)
    held.wait()
    waiters = [start(f, 1) for _ in range(5)]
    joins.wait(5)
    held.go()
    assert type(leader.exception(PATIENCE)) is interrupt
    assert [waiter.result(PATIENCE) for waiter in waiters] == ["second"] * 5
    assert held.computed == 2  # one of them led, for all
    assert f(1) == "second"
    assert f.info().failures == 0


def test_a_leader_whose_thread_ends_without_a_word_hands_over(cache: Cache) -> None:
    f = cached_on(cache, lambda x: "anew", wait=0)
    f(0)
    binding = f._self_memoizer.binding()

    def leave() -> str:  # without filling the lease or giving it back
        return type(cache.look(f.key(1), binding.scope.tags, now(), 60)).__name__

    assert start(leave).result(PATIENCE) == "Lease"
    assert (f(1), f.info().stored) == ("anew", 2)


@contextmanager
def moving_clocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Gives what moves the clocks that leases go by."""
    moved, ticks = 0.0, flights.ticks
    with freeze_time() as clock, monkeypatch.context() as patch:
        patch.setattr(flights, "ticks", lambda: ticks() + moved)

        def move(seconds: float) -> None:
            nonlocal moved
            moved += seconds
            clock.tick(seconds)

        yield move


def test_a_lease_that_is_over_is_taken_over(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(lambda x: held.computed)
    f = cached_on(cache, held, timeout=1000, wait=0)
    with moving_clocks(monkeypatch) as later:
        first = start(f, 1)
        held.wait()
        later(59)
        assert [f(1), f(1)] == [1, 2]  # alone, and not stored
        later(2)
        assert [f(1), f(1), f(1)] == [3, 3, 3]
        held.go()
        assert first.result(PATIENCE) == 0
        assert f(1) == 3  # the late result was not stored
    assert (f.info().stored, f.info().lost, f.info().failures) == (1, 1, 0)


def test_a_long_computation_is_stored(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(lambda x: x)
    f = cached_on(cache, held, timeout=1000)
    with moving_clocks(monkeypatch) as later:
        first = start(f, 1)
        held.wait()
        later(59)
        held.go()
        assert first.result(PATIENCE) == 1
        assert f.peek(1) == 1
    assert (f.info().stored, f.info().failures) == (1, 0)


# ---- a waiter --------------------------------------------------------------------------------------------------------


class Interrupted(BaseException):
    pass


def test_a_waiter_that_is_interrupted_disturbs_nobody(cache: Cache, joins: Joins) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted

    held = Held(lambda x: x)
    f = cached_on(cache, held)
    leader = start(f, 1)
    held.wait()
    others = [start(f, 1) for _ in range(3)]
    joins.wait(3)
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        me = threading.main_thread().ident
        assert me is not None
        start(lambda: (joins.wait(4), signal.pthread_kill(me, signal.SIGUSR1)))
        with pytest.raises(Interrupted):
            f(1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    held.go()
    assert [call.result(PATIENCE) for call in (leader, *others)] == [1] * 4
    assert (f(1), held.computed, f.info().waits) == (1, 1, 3)


def test_a_flight_may_be_ended_twice_at_the_same_moment() -> None:
    """The one finds that somebody waits, and the other has woken it before the one could."""

    class JustEmptied(list[Any]):
        def __bool__(self) -> bool:
            return True

    flight = Flight("key", (), 60)
    flight._wake = JustEmptied()
    flight.resolve(1)
    assert (flight.state, flight.value) == ("resolved", 1)
