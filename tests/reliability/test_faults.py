"""What passes between cache and server is broken at every byte, and at random: no caller notices more than a moment."""

import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from memocache import UncacheFailed, cached
from tests.reliability.caches import Stand, kinds
from tests.reliability.ledger import Ledger
from tests.reliability.outcomes import Outcomes
from tests.reliability.trials import Naive, Trial, at_every_byte, clock_of_breakers, command, tried
from tests.support.faults import (
    BlackHole,
    Delay,
    Drip,
    DropRequest,
    Fault,
    FaultProxy,
    Flip,
    Garbage,
    HalfClose,
    Insert,
    LoseAnswer,
    OneByteAtATime,
    Repeat,
    Reset,
    StallAfter,
    Watch,
)
from tests.support.wire import Request

TIMEOUT = 0.03
AT_EVERY_BYTE = "faults at every byte of every command and answer"
AT_RANDOM = "faults at random"


class Broken:
    """A cache that a FaultProxy stands before."""

    def __init__(
        self, stand: Stand, proxy: FaultProxy, let_pass: Callable[[], None], prefix: str, outcomes: Outcomes
    ) -> None:
        self.proxy = proxy
        self.outcomes = outcomes
        self._let_pass = let_pass
        self.cache = stand.behind(proxy.address).open(prefix, TIMEOUT)

    def heal(self) -> None:
        self.proxy.fault = None
        self._let_pass()

    def trial(self) -> Trial:
        return Trial(self.cache, TIMEOUT, self.heal, self.outcomes)

    def naive(self) -> Trial:
        return Naive(self.proxy.address, TIMEOUT, self.heal)

    def seen(self, trial: Trial) -> list[tuple[Request, int]]:
        """Return what passes while *trial* is at work."""
        seen: list[tuple[Request, int]] = []
        self.proxy.fault = Watch(seen=seen)
        trial.work()
        self.proxy.fault = None
        return seen

    def played(self, faults: list[Fault], trial: Callable[[], Trial]) -> list[Trial]:
        return [tried(fault, self.proxy, trial, self.heal) for fault in faults]


@pytest.fixture(params=kinds(wire=True))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def broken(stand: Stand, prefix: str, outcomes: Outcomes) -> Iterator[Broken]:
    assert stand.server is not None
    with FaultProxy(stand.server.address, unix=True) as proxy, clock_of_breakers() as let_pass, outcomes.listening():
        yield Broken(stand, proxy, let_pass, prefix, outcomes)


def note(ledger: Ledger, what: str, kind: str, trials: list[Trial]) -> None:
    """Enter in the ledger what came of *trials*, and fail if anything was wrong."""
    wrong = [(each.fault, each.wrong) for each in trials if each.wrong]
    raised = [(each.fault, each.raised) for each in trials if each.raised]
    late = [(each.fault, each.longest) for each in trials if each.late]
    ledger.add(what, kind, len(trials), wrong_values=len(wrong), exceptions=len(raised), late_calls=len(late))
    assert (wrong, raised, late) == ([], [], [])


def share(faults: list[Fault], most: int) -> list[Fault]:
    """Return at most so many of *faults*, from all over them."""
    return faults if len(faults) <= most else random.sample(faults, most)


def test_at_every_byte(broken: Broken, kind: str, ledger: Ledger, scaled: Callable[[int, int], int]) -> None:
    faults = share(list(at_every_byte(broken.seen(broken.trial()))), scaled(250, 1_500))
    assert len(faults) >= scaled(250, 1_200)
    trials = broken.played(faults, broken.trial)
    hit = [each for each in trials if each.was_hit]  # some commands are given once, such as Redis's EVAL
    note(ledger, AT_EVERY_BYTE, kind, hit)
    assert len(hit) > 0.5 * len(trials)
    assert broken.trial().f.info().failures == 0


def at_random(commands: list[bytes]) -> Fault:
    place = random.randrange(300)
    return replace(
        random.choice(
            [
                Delay(random.random() * 2 * TIMEOUT, request=random.random() < 0.5),
                BlackHole(),
                DropRequest(),
                HalfClose(),
                Reset(),
                LoseAnswer(),
                Drip(random.choice([50, 10_000])),
                OneByteAtATime(0),
                Repeat(),
                Repeat(late=True),
                StallAfter(place),
                Flip(place, random.randrange(8)),
                Insert(place, random.randbytes(random.randrange(1, 9))),
                Garbage(random.randbytes(random.randrange(40))),
                Garbage(random.choice(JUNK)),
            ]
        ),
        match=random.choice([None, *commands]),
        times=random.choice([1, 1, 2, 3, None]),
    )


JUNK = [
    b"",
    b"\r\n",
    b"END\r\n",
    b"STORED\r\n",
    b"DELETED\r\n\r\n",
    b"VALUE k 0 1\r\nx\r\nEND\r\n",
    b"VALUE k 0 99999999999\r\nx",
    b"SERVER_ERROR out of memory storing object\r\n",
    b"+OK\r\n",
    b"$-1\r\n",
    b":1\r\n",
    b"$5\r\nhello\r\n",
    b"*2\r\n$1\r\na\r\n$-1\r\n",
    b"-ERR unknown\r\n",
    b"-LOADING\r\n",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
]


def test_at_random(broken: Broken, kind: str, ledger: Ledger, scaled: Callable[[int, int], int]) -> None:
    commands = sorted({command(request) for request, _ in broken.seen(broken.trial())})
    faults = [at_random(commands) for _ in range(scaled(100, 700))]

    def trial() -> Trial:
        made = broken.trial()
        made.failures = 2  # a lasting fault may hold up what asks whether a lost command was done all the same
        return made

    note(ledger, AT_RANDOM, kind, broken.played(faults, trial))


def test_nothing_of_the_user_s_is_told(
    broken: Broken, kind: str, caplog: pytest.LogCaptureFixture, ledger: Ledger
) -> None:
    told: list[str] = []
    plain = cached(cache=broken.cache, namespace="f", wait=0)(lambda given: {"canary of a value": given})
    f = broken.outcomes.counted(plain)
    faults = [*(Garbage(junk) for junk in JUNK), BlackHole(), Reset(), Flip(100, 1), StallAfter(20)]
    with caplog.at_level(logging.DEBUG):
        for fault in faults:
            broken.proxy.fault = fault
            f("canary of an argument")
            for forget in (lambda: f.uncache("canary of an argument"), f.uncache_all):
                try:
                    forget()
                except UncacheFailed as error:
                    told.append(str(error))
            broken.heal()
    assert len(told) > len(faults) / 2
    assert caplog.text
    assert "canary" not in caplog.text + "".join(told)
    ledger.add("messages and logs of faults, searched for arguments and values", kind, len(faults), told=0)


@pytest.mark.parametrize("kind", ["memcached"])
def test_the_naive_way_fails(broken: Broken, ledger: Ledger) -> None:
    faults = share(list(at_every_byte(broken.seen(broken.naive()))), 150)
    trials = broken.played(faults, broken.naive)
    wrong, raised = sum(bool(each.wrong) for each in trials), sum(bool(each.raised) for each in trials)
    ledger.naive(AT_EVERY_BYTE, f"get, compute and set: {wrong} wrong values and {raised} exceptions of {len(trials)}")
    assert wrong > 3
    assert raised > 30
