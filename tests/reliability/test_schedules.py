"""Whatever order threads and processes come in, between any two steps of a cache: nothing forgotten is given out."""

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from memocache import SimpleCache, _chance, cached
from memocache.errors import BackendUnavailable
from tests.reliability.caches import KINDS, Stand
from tests.reliability.ledger import Ledger
from tests.reliability.outcomes import Outcomes
from tests.reliability.schedules import Actor, Hung, Schedule, Stage, hooked

SCHEDULES = "schedules of get, get, uncache, expire and crash, changing at every step"
OUTAGES = "the same in one process, where the cache does not answer most looks"
UNANSWERED = 0.9  # of looks
TIMEOUT, LEASE, WAIT = 300.0, 60.0, 0.3
KEY = 1


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage.built() as stage:
        yield stage


class Play:
    """A function in the hands of actors, of whom each uses one of some *peers*; what it returns may only grow."""

    def __init__(self, stage: Stage, functions: Callable[[Callable[[int], int]], list[Any]]) -> None:
        self.stage = stage
        self.truth = 0
        self.floor = 0  # the oldest truth that whoever asks from now on may be given
        self.stale: list[str] = []
        self.functions = functions(self._compute)
        self.computed = 0

    def _compute(self, _: int) -> int:
        actor: Actor | None = getattr(self.stage.local, "actor", None)
        self.computed += 1
        if actor is not None:
            actor.is_computing = True
        self.stage.reach("compute")
        value = self.truth
        self.stage.reach("computed")
        if actor is not None:
            actor.is_computing = False
        return value

    # ---- what actors do ------------------------------------------------------------------------------------------

    def get(self, f: Any) -> None:
        oldest = self.floor
        if f(KEY) < oldest:
            self.stale.append("get")

    def refresh(self, f: Any) -> None:
        oldest = self.floor
        if f.refresh(KEY) < oldest:
            self.stale.append("refresh")

    def uncache(self, f: Any) -> None:
        self.truth += 1
        new = self.truth
        f.uncache(KEY)
        self.floor = max(self.floor, new)

    def uncache_all(self, f: Any) -> None:
        self.truth += 1
        new = self.truth
        f.uncache_all()
        self.floor = max(self.floor, new)

    def look_again(self, forget: Callable[[Any], None], f: Any) -> None:
        forget(f)
        self.get(f)

    def expire(self, chance: random.Random) -> None:
        self.stage.advance(chance.choice([LEASE, TIMEOUT]) + 1)

    def crash(self, schedule: Schedule, chance: random.Random) -> None:
        """Stop one that computes: as if its process had been killed, or by an exception as KeyboardInterrupt."""
        computing = [actor for actor in schedule.actors if actor.is_computing and not actor.is_frozen]
        if computing:
            victim = chance.choice(computing)
            if chance.random() < 0.5:
                victim.is_frozen = True
            else:
                victim.kill = True


class Outage:
    """A cache that does not answer most looks, while it is *on*."""

    on = False

    def __init__(self, cache: Any) -> None:
        self._look = cache.look
        cache.look = self._look_or_fail

    def _look_or_fail(self, *arguments: Any) -> Any:
        if Outage.on and random.random() < UNANSWERED:
            raise BackendUnavailable("it does not answer")
        return self._look(*arguments)


def one(
    stage: Stage, functions: Callable[[Callable[[int], int]], list[Any]], seed: int, *, looks_again: bool = False
) -> tuple[Play, Schedule]:
    """Play one schedule, and check what is left behind; who forgets *looks again* if that is so."""
    chance = random.Random(seed)
    random.seed(seed)
    _chance.chance.seed(seed)
    play, schedule = Play(stage, functions), Schedule(stage, chance)
    some = play.functions
    if chance.random() < 0.5:
        some[0](KEY)  # there is something to begin with
    for number in range(2 + (chance.random() < 0.4)):
        schedule.add(f"get{number}", partial(play.get, chance.choice(some)))
    forget = play.uncache_all if chance.random() < 0.25 else play.uncache
    for number in range(1 + (chance.random() < 0.4)):
        f = chance.choice(some)
        schedule.add(f"uncache{number}", partial(play.look_again, forget, f) if looks_again else partial(forget, f))
    if chance.random() < 0.2:
        schedule.add("refresh", partial(play.refresh, chance.choice(some)))
    if chance.random() < 0.4:
        schedule.add("expire", lambda: play.expire(chance))
    crashes = chance.random() < 0.4
    if crashes:
        schedule.add("crash", lambda: play.crash(schedule, chance))
    try:
        schedule.run()
        _check(play, schedule)
        if any(actor.is_frozen for actor in schedule.actors):
            schedule.thaw()  # what comes of it now comes too late
            _check(play, schedule)
    finally:
        schedule.clear()
    return play, schedule


def _check(play: Play, schedule: Schedule) -> None:
    """Check that everybody gets the truth, and that it is a cache again when the leases of the dead are over."""
    schedule.stage.advance(LEASE + 1)
    for f in play.functions:
        if f(KEY) < play.floor:
            play.stale.append("afterwards")
    before = play.computed
    for f in play.functions:
        f(KEY)
    if play.computed != before and not Outage.on:
        play.stale.append("not cached")


class Peers:
    """Functions on a cache as two processes see it, forgotten between two schedules."""

    def __init__(
        self, stand: Stand, stage: Stage, prefix: str, count: int = 2, outcomes: Outcomes | None = None
    ) -> None:
        self._outcomes = outcomes or Outcomes()
        peers = stand.peers(1 if stand.kind.near else count, prefix)
        for cache in dict.fromkeys(peers):
            Outage(cache)
            hooked(cache, stage.reach)
        self._peers = list(dict.fromkeys(peers))
        self._number = 0

    def __call__(self, compute: Callable[[int], int]) -> list[Any]:
        self._number += 1
        made = [
            cached(cache=cache, namespace=f"n{self._number}", timeout=TIMEOUT, wait=WAIT)(lambda key: compute(key))
            for cache in self._peers
        ]
        return [self._outcomes.counted(each) for each in made]


def test_no_order_lets_anything_stale_through(
    stand: Stand,
    kind: str,
    prefix: str,
    stage: Stage,
    seed: int,
    ledger: Ledger,
    outcomes: Outcomes,
    scaled: Callable[[int, int], int],
) -> None:
    functions = Peers(stand, stage, prefix, outcomes=outcomes)
    count = scaled(1_000, 2_000)
    for number in range(seed * 1_000_000, seed * 1_000_000 + count):
        try:
            with outcomes.listening(number % 2 == 0 or not stand.kind.has_fast_hits):
                play, schedule = one(stage, functions, number)
        except Hung as problem:
            raise AssertionError(f"schedule {number} on {kind}: {problem}") from problem
        assert not play.stale, f"schedule {number} on {kind}: {play.stale}, {schedule.trace}"
    ledger.add(SCHEDULES, kind, count, stale_reads=0, deadlocks=0)


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "in process"])
def test_no_order_lets_anything_stale_through_in_an_outage(
    stand: Stand,
    kind: str,
    prefix: str,
    stage: Stage,
    seed: int,
    ledger: Ledger,
    outcomes: Outcomes,
    scaled: Callable[[int, int], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Others may wait for what is computed without the cache, but not if it was begun before a forgetting."""
    functions, joined = Peers(stand, stage, prefix, 1, outcomes), 0
    count = scaled(300, 2_000)
    monkeypatch.setattr(Outage, "on", True)
    for number in range(seed * 1_000_000, seed * 1_000_000 + count):
        with outcomes.listening():
            play, schedule = one(stage, functions, number, looks_again=True)
        assert not play.stale, f"schedule {number} on {kind}: {play.stale}, {schedule.trace}"
        joined += sum(f.info().waits for f in play.functions)
    ledger.add(OUTAGES, kind, count, stale_reads=0, deadlocks=0)
    assert joined > count / 20


def test_an_outage_without_the_fence_is_caught(
    stage: Stage, prefix: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Outage, "on", True)
    monkeypatch.setattr(SimpleCache, "forget", lambda self, key: False)
    monkeypatch.setattr(SimpleCache, "forget_tag", lambda self, tag: None)
    with KINDS["a dict"].stand() as stand:
        functions, caught = Peers(stand, stage, prefix, 1), 0
        for seed in range(600):
            play, _ = one(stage, functions, seed, looks_again=True)
            caught += bool(play.stale)
    ledger.naive(OUTAGES, f"computations that no forgetting ends: {caught} of 600 stale")
    assert caught > 3


def test_a_schedule_can_be_played_again(stand: Stand, prefix: str, stage: Stage) -> None:
    functions = Peers(stand, stage, prefix)
    for seed in range(20):
        first, second = (one(stage, functions, seed)[1].trace for _ in range(2))
        assert first == second
        assert len(first) > 5


# ---- the negative controls -------------------------------------------------------------------------------------------


class NaiveSet:
    """Get, or compute and set."""

    values: dict[int, int]

    def __init__(self, compute: Callable[[int], int], reach: Callable[[str], None]) -> None:
        self.values = {}
        self._compute = compute
        self._reach = reach

    def __call__(self, key: int) -> int:
        self._reach("get")
        found = self.values.get(key)
        return self.refresh(key) if found is None else found

    def refresh(self, key: int) -> int:
        value = self._compute(key)
        self._reach("set")
        self.values[key] = value
        return value

    def uncache(self, key: int) -> None:
        self._reach("delete")
        self.values.pop(key, None)

    def uncache_all(self) -> None:
        self._reach("clear")
        self.values.clear()


class NaiveLock(NaiveSet):
    """A lock by `add`, a second look, compute and set; the lock is deleted at last."""

    locked = False

    def __call__(self, key: int) -> int:
        for _ in range(50):
            self._reach("get")
            found = self.values.get(key)
            if found is not None:
                return found
            self._reach("add")
            if not self.locked:
                self.locked = True
                try:
                    return self.refresh(key)
                finally:
                    self._reach("unlock")
                    self.locked = False
        return self._compute(key)


@pytest.mark.parametrize("naive", [NaiveSet, NaiveLock])
def test_the_naive_way_is_caught(naive: type[NaiveSet], stage: Stage, ledger: Ledger) -> None:
    caught = 0
    for seed in range(300):
        play, _ = one(stage, lambda compute: [naive(compute, stage.reach)], seed)
        caught += any(each in ("get", "afterwards") for each in play.stale)
    ledger.naive(SCHEDULES, f"{(naive.__doc__ or '').partition('.')[0].lower()}: {caught} of 300 stale")
    assert caught > 15


def test_the_watchdog_barks(stage: Stage) -> None:
    def go_on() -> None:
        for _ in range(5_000):
            stage.reach("again")

    schedule = Schedule(stage, random.Random(1))
    schedule.add("waits", lambda: stage.wait("nothing", lambda: False, 1e9))
    schedule.add("goes on", go_on)
    with pytest.raises(Hung, match="they go on for ever"):
        schedule.run()
    schedule.clear()
    assert all(actor.is_over for actor in schedule.actors)
