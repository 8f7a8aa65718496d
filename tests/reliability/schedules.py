"""Threads that run one at a time, in an order drawn from a seed: at every verb and command of a cache they may change.

A schedule is the whole of what threads can do to each other there, and it can be played again.
"""

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from typing import Any
from unittest import mock

import time_machine

from memocache import _effects, _flight, _readthrough
from memocache._clock import ticks as real_ticks

WATCHDOG = 5.0  # real seconds that a thread may run without coming to one of the points
START = 1_800_000_000.0
TICK = 1e-6  # seconds; no wait is shorter

VERBS = ("look", "claim", "fill", "forget", "forget_call", "forget_tag", "peek")
COMMANDS = ("get_many", "gets", "add", "cas", "set", "delete")

Reach = Callable[[str], None]


class Killed(BaseException):
    """Raised in a thread that was to go no further."""


class Hung(AssertionError):
    """A thread does not come to a point where others may run, or nobody can go on."""


class Actor:
    """One thread of a schedule, and what it does."""

    def __init__(self, name: str, play: Callable[[], object]) -> None:
        self.name = name
        self.play = play
        self.go = threading.Semaphore(0)
        self.at = "start"
        self.ready: Callable[[], bool] | None = None  # what it waits for, if it waits
        self.until = 0.0  # virtual time when it waits no longer
        self.is_computing = self.is_frozen = self.is_over = False
        self.kill = False
        self.problem: BaseException | None = None


class Stage:
    """The threads that play schedules, and the clocks that these have: *walls* is that of timeouts."""

    def __init__(self, walls: Any) -> None:
        self._walls = walls
        self.time = 1000.0
        self.local = threading.local()
        self.schedule: Schedule | None = None
        self._idle: list[_Player] = []

    def ticks(self) -> float:
        return self.time if getattr(self.local, "actor", None) or self.schedule else real_ticks()

    def advance(self, seconds: float) -> None:
        self.time += seconds
        self._walls.shift(seconds)

    def reach(self, where: str) -> None:
        """Let others run, if this is the thread of an actor."""
        self.wait(where, None, 0.0)

    def wait(self, where: str, ready: Callable[[], bool] | None, seconds: float) -> None:
        actor: Actor | None = getattr(self.local, "actor", None)
        if actor is None or self.schedule is None:
            return
        actor.at, actor.ready, actor.until = where, ready, self.time + max(seconds, TICK)
        self.schedule.back.release()
        actor.go.acquire()
        actor.ready = None
        if actor.kill:
            raise Killed

    def player(self) -> "_Player":
        return self._idle.pop() if self._idle else _Player(self)

    def take_back(self, player: "_Player") -> None:
        self._idle.append(player)

    def close(self) -> None:
        for player in self._idle:
            player.end()

    @classmethod
    @contextmanager
    def built(cls) -> Iterator["Stage"]:
        """Have our own clocks and waiting done by a stage."""
        with time_machine.travel(START, tick=False) as walls:
            stage = cls(walls)
            with (
                mock.patch.object(_readthrough, "ticks", stage.ticks),
                mock.patch.object(_flight, "ticks", stage.ticks),
                mock.patch.object(_effects.Join, "run", lambda step: stage._join(step)),
                mock.patch.object(_effects.Sleep, "run", lambda step: stage.wait("pause", _never, step.seconds)),
            ):
                yield stage
            stage.close()

    def _join(self, step: _effects.Join) -> bool | None:
        if step.flight.thread == threading.get_ident():
            return None
        self.wait("join", lambda: step.flight.state is not None, step.seconds)
        return step.flight.state is not None


def _never() -> bool:
    return False


class _Player:
    """A thread that plays one actor after the other: a new one for each would need new connections."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._work = threading.Semaphore(0)
        self._actor: Actor | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def play(self, actor: Actor) -> None:
        self._actor = actor
        self._work.release()

    def end(self) -> None:
        self._actor = None
        self._work.release()
        self._thread.join(WATCHDOG)

    def _run(self) -> None:
        while True:
            self._work.acquire()
            actor = self._actor
            if actor is None:
                return
            self._stage.local.actor = actor
            actor.go.acquire()
            try:
                if not actor.kill:
                    Context().run(actor.play)
            except BaseException as problem:  # noqa: BLE001 - the schedule raises it
                actor.problem = problem
            actor.is_over = True
            self._stage.local.actor = None
            schedule = self._stage.schedule
            assert schedule is not None
            del actor
            self._stage.take_back(self)
            schedule.back.release()


class Schedule:
    """One order in which *actors* run, drawn by *chance*; *trace* is what they came to."""

    def __init__(self, stage: Stage, chance: random.Random) -> None:
        self.stage = stage
        self.chance = chance
        self.actors: list[Actor] = []
        self.back = threading.Semaphore(0)
        self.trace: list[str] = []
        self.waited_out = 0  # waits that ended because their time was over
        self._stickiness = chance.choice([0.0, 0.5, 0.85])

    def add(self, name: str, play: Callable[[], object]) -> Actor:
        actor = Actor(name, play)
        self.actors.append(actor)
        self.stage.player().play(actor)
        return actor

    def run(self) -> None:
        """Run the actors until all are over, or frozen."""
        self.stage.schedule = self
        latest: Actor | None = None
        while left := [each for each in self.actors if not (each.is_over or each.is_frozen)]:
            able = [each for each in left if each.ready is None or each.ready() or each.at == "pause"]
            if not able:  # they wait for what does not come
                able = [min(left, key=lambda each: each.until)]
                self.waited_out += 1
            actor = latest if latest in able and self.chance.random() < self._stickiness else self.chance.choice(able)
            assert actor is not None
            if actor.ready is not None and not actor.ready() and actor.until > self.stage.time:
                self.stage.advance(actor.until - self.stage.time)
            latest = actor
            self._go(actor)
            if len(self.trace) > 2000:
                raise Hung(f"they go on for ever: {self.trace[-20:]}")
        for actor in self.actors:
            if actor.problem is not None and not isinstance(actor.problem, Killed):
                raise actor.problem

    def thaw(self) -> None:
        """Let those that were frozen go on to their end."""
        for actor in self.actors:
            actor.is_frozen = False
        self.run()

    def clear(self) -> None:
        """End those that are not over."""
        for actor in self.actors:
            actor.kill, actor.is_frozen = True, False
        trace, self.trace = self.trace, []
        with contextlib.suppress(BaseException):
            self.run()
        self.trace = trace
        self.stage.schedule = None

    def _go(self, actor: Actor) -> None:
        self.trace.append(f"{actor.name}:{actor.at}")
        actor.go.release()
        if not self.back.acquire(timeout=WATCHDOG):
            raise Hung(f"{actor.name} hangs after {actor.at}: {self.trace}")


def hooked(cache: Any, reach: Reach) -> Any:
    """Return *cache*, with *reach* called before and after each verb, and before each command to a server."""
    parts = [cache, *(part for name in ("near", "far") if (part := getattr(cache, name, None)) is not None)]
    for part in parts:
        for verb in VERBS:
            setattr(part, verb, _verb(getattr(part, verb), verb, reach))
        for node in getattr(part, "_nodes", tuple)():
            for name in COMMANDS:
                setattr(node, name, _command(getattr(node, name), name, reach))
            node.reader = _reader(node.reader, reach)
    return cache


def _verb(call: Callable[..., Any], name: str, reach: Reach) -> Callable[..., Any]:
    def hooked_verb(*args: Any) -> Any:
        reach(name)
        answer = call(*args)
        reach(f"{name} done")
        return answer

    return hooked_verb


def _command(call: Callable[..., Any], name: str, reach: Reach) -> Callable[..., Any]:
    def hooked_command(*args: Any, **options: Any) -> Any:
        reach(f"  {name}")
        return call(*args, **options)

    return hooked_command


def _reader(reader: Callable[..., Any], reach: Reach) -> Callable[..., Any]:
    def hooked_reader(*args: Any) -> Any:
        read = reader(*args)

        def hooked_read() -> Any:
            reach("  get")
            return read()

        return hooked_read

    return hooked_reader
