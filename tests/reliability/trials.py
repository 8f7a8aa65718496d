"""One short use of a cached function, all that can be done with it; and what its caller has noticed of a fault."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from pymemcache import Client

from memocache import MISSING, Cache, SimpleCache, UncacheFailed, _clock, cached, uncache_tag
from memocache._clock import ticks
from tests.reliability.outcomes import Outcomes
from tests.support.faults import CutAfter, CutRequest, Fault, FaultProxy, Flip, Insert, ResetAfter, SplitAt, StallAfter
from tests.support.servers import Address
from tests.support.wire import Request

WAIT = 0.2  # seconds that a call waits for somebody else's computation
SLACK = 0.05  # seconds by which a call may miss its deadline
TRIES = 4  # of one fault, before it counts as late: what a busy machine holds up once, it does not every time

Value = tuple[int, int]


@contextmanager
def clock_of_breakers() -> Iterator[Callable[[], None]]:
    """Give what lets the longest pause of a breaker pass."""
    real, moved = _clock.ticks, itertools.count(1)

    def let_pass() -> None:
        seconds = 31 * next(moved)
        _clock.ticks = lambda: real() + seconds  # type: ignore[misc]

    try:
        yield let_pass
    finally:
        _clock.ticks = real  # type: ignore[misc]


class Trial:
    """A cached function in use, and what was wrong with that.

    *timeout* is how long a command may take, *heal* ends the trouble. *outcomes* are those of its calls.
    """

    def __init__(
        self, cache: Cache, timeout: float, heal: Callable[[], None], outcomes: Outcomes | None = None
    ) -> None:
        self.wrong: list[object] = []
        self.raised: list[Exception] = []
        self.longest = 0.0  # seconds that a call took
        self.fault: Fault | None = None  # that it was tried with
        self.was_hit = False  # by a fault that hits once
        self.truth = 0
        self.failures = 1  # commands of one call that may run into their deadline
        self._timeout = timeout
        self._heal = heal

        @cached(cache=cache, namespace="f", wait=WAIT, tags=("x:{x}",))
        def f(x: int) -> Value:
            return x, self.truth

        self.f: Any = f if outcomes is None else outcomes.counted(f)
        self._cache = cache

    @property
    def late(self) -> bool:
        # What is read may look like somebody else's lease as long as a lasting fault damages it: each call waits for
        # that, and `many` is two.
        waits = 0 if self.fault is None or self.fault.times is not None else 2
        return self.longest > self.failures * self._timeout + waits * WAIT + SLACK

    def work(self) -> None:
        """Do all that can be done."""
        self.read(1)
        self.read(2)
        self.read(1)
        self.check([(1, self.truth), (3, self.truth)], lambda: self.f.many([(1,), (3,)]))
        self.change(lambda: self.f.uncache(1), lambda: self.f.uncache_all())
        self.read(1)
        self.read(2)
        self.check((2, self.truth), lambda: self.f.refresh(2))
        self.check(None, lambda: self.f.put((4, self.truth), 4))
        self.read(4)
        self.change(*(lambda x=x: uncache_tag(f"x:{x}", self._cache) for x in (1, 2, 3, 4)))
        self.read(4)
        for x in (1, 4):
            if self.call(lambda x=x: self.f.peek(x)) not in ((x, self.truth), MISSING, None):
                self.wrong.append("peek")

    def read(self, x: int) -> None:
        self.check((x, self.truth), lambda: self.f(x))

    def check(self, expected: object, call: Callable[[], object]) -> None:
        found = self.call(call)
        if found != expected and not self.raised:
            self.wrong.append((found, expected))

    def call(self, call: Callable[[], object]) -> object:
        began = ticks()
        try:
            return call()
        except UncacheFailed:
            raise
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            self.raised.append(error)
            return None
        finally:
            self.longest = max(self.longest, ticks() - began)

    def change(self, *forgettings: Callable[[], object]) -> None:
        """Let there be another truth; what was not acknowledged is forgotten again, without the trouble."""
        self.truth += 1
        for forget in forgettings:
            for _ in range(20):
                try:
                    self.call(forget)
                    break
                except UncacheFailed:
                    self._heal()
            else:
                self.wrong.append("nothing could be forgotten")


class Naive(Trial):
    """The negative control: get, or compute and set, with a client of pymemcache's."""

    def __init__(self, address: Address, timeout: float, heal: Callable[[], None]) -> None:
        super().__init__(SimpleCache(), timeout, heal)
        self._client = Client(address, timeout=timeout, connect_timeout=timeout, default_noreply=False)

    def work(self) -> None:
        self.read(1)
        self.read(2)
        self.read(1)
        self.change(lambda: self._client.delete("1"), lambda: self._client.delete("2"))
        self.read(1)
        self.read(2)
        with contextlib.suppress(Exception):
            self._client.close()

    def read(self, x: int) -> None:
        self.check(b"%d %d" % (x, self.truth), lambda: self._found(x))

    def _found(self, x: int) -> bytes:
        found: bytes | None = self._client.get(str(x))
        if found is None:
            found = b"%d %d" % (x, self.truth)
            self._client.set(str(x), found, 300)
        return found


def command(request: Request) -> bytes:
    """Return what a request begins with that makes it of its kind."""
    word, space, _ = request.line.partition(b" ")
    return word + space


def at_every_byte(seen: list[tuple[Request, int]]) -> Iterator[Fault]:
    """Yield faults at every byte of what was *seen* of each command, the longest of its requests and answers."""
    requests: dict[bytes, int] = {}
    answers: dict[bytes, int] = {}
    for request, length in seen:
        start = command(request)
        requests[start] = max(requests.get(start, 0), len(request.raw))
        answers[start] = max(answers.get(start, 0), length)
    for start, length in answers.items():
        for place in range(length):
            kinds: list[Fault] = [
                CutAfter(place),
                ResetAfter(place),
                StallAfter(place),
                SplitAt(place),
                Flip(place, place % 8),
                Insert(place, b"\r\n" if place % 2 else b"\x00"),
            ]
            for fault in kinds:
                yield replace(fault, match=start, times=1)
    for start, length in requests.items():
        for place in range(length):
            yield CutRequest(place, match=start, times=1)


def tried(fault: Fault, proxy: FaultProxy, trial: Callable[[], Trial], heal: Callable[[], None]) -> Trial:
    """Return a trial that *fault* has hit; if it was late, another one."""
    for _ in range(TRIES):
        done = trial()
        done.fault = proxy.fault = fault
        done.work()
        done.was_hit = proxy.fault is not fault
        heal()
        done.work()
        if not done.late:
            break
    return done
