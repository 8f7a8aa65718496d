"""A process that gets signals at random moments while it uses a cache: python -m tests.reliability.interrupted.

The arguments, as JSON, are the stand, how many signals to send, whether their handler raises (as KeyboardInterrupt and
the time limits of gevent and Celery do) or uses the cache itself, and whether to use it in the naive way. It prints
what it saw.
"""

import contextlib
import json
import random
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from pymemcache import Client

from memocache import cached
from memocache._clock import ticks
from tests.reliability.caches import Stand, reopened
from tests.reliability.outcomes import Outcomes

NUMBERS = 20
LONGEST_PAUSE = 0.002  # seconds between two signals


class Interrupted(BaseException):
    pass


class Naive:
    """The negative control: get, or compute and set, over a plain connection."""

    def __init__(self, client: Any, compute: Callable[[int], int]) -> None:
        self.cache = self
        self._client = client
        self._compute = compute

    def __call__(self, number: int) -> int:
        found = self.get(f"f{number}")
        if found is None:
            found = self._compute(number)
            self.set(f"f{number}", found)
        return found

    def uncache(self, number: int) -> bool:
        return bool(self._client.delete(f"f{number}"))

    def get(self, key: str) -> int | None:
        try:
            found = self._client.get(key)
        except Exception:  # noqa: BLE001 - so that one bad answer is one wrong value
            return -1
        return None if found is None else int(found)

    def set(self, key: str, number: int) -> None:
        with contextlib.suppress(Exception):
            self._client.set(key, number)


class Use:
    """What is done all the time, and what a signal's handler does; and what was wrong with it."""

    def __init__(self, stand: Stand, raises: bool, naive: bool) -> None:
        self.outcomes = Outcomes(Interrupted)
        if naive:
            client = Client(stand.where, timeout=5, default_noreply=False)
            self.f: Any = Naive(client, lambda x: x * x)
            self.g: Any = Naive(client, lambda x: -x)
        else:
            cache, counted = stand.open("i"), self.outcomes.counted
            self.f = counted(cached(cache=cache, namespace="f", wait=0.2)(lambda x: x * x))
            self.g = counted(cached(cache=cache, namespace="g", wait=0.2)(lambda x: -x))
        self.raises = raises
        self.is_working = False  # no Event: a handler that came in the middle of `set` would wait for its lock
        self.signals = self.calls = 0
        self.wrong: list[object] = []  # not a number: to count is not atomic
        self._chance = random.Random(7)

    def check(self, found: object, *right: object) -> None:
        if found not in right:
            self.wrong.append(found)

    def handle(self, *_: object) -> None:
        if not self.is_working:
            return
        self.is_working = False  # one at a time
        self.signals += 1
        if self.raises:
            raise Interrupted
        number, g = self.signals % NUMBERS, self.g
        self.check(g(number), -number)
        g.uncache(number - 1)
        g.cache.set(f"{number}", number)
        self.check(g.cache.get(f"{number}"), number)

    def once(self) -> None:
        number, f = self._chance.randrange(NUMBERS), self.f
        match self._chance.randrange(4):
            case 0:
                self.check(f(number), number * number)
            case 1:
                f.uncache(number)
            case 2:
                f.cache.set(f"{number}", number)
            case _:
                self.check(f.cache.get(f"{number}"), None, number)
        self.calls += 1

    def until(self, signals: int) -> None:
        while self.signals < signals:
            with contextlib.suppress(Interrupted):
                self.is_working = True
                for _ in range(10):
                    self.once()
                self.is_working = False


def main(stand: str, signals: int, raises: bool, naive: bool) -> dict[str, int]:
    """Use a cache and be interrupted; return how often, and how often a wrong value was seen."""
    use = Use(reopened(stand), raises, naive)
    has_fast_hits = reopened(stand).kind.has_fast_hits
    finished = threading.Event()
    began = ticks()
    use.once()
    longest_pause = max(LONGEST_PAUSE, 3 * (ticks() - began))  # or a call that has to connect first would never end
    signal.signal(signal.SIGUSR1, use.handle)
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def disturb() -> None:
        while not finished.wait(random.random() * longest_pause):
            if use.is_working:
                signal.pthread_kill(main_thread, signal.SIGUSR1)

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        if has_fast_hits:  # those, while nobody listens
            use.until(signals // 2)
        with use.outcomes.listening():
            use.until(signals)
            use.is_working = False
    finally:
        finished.set()
        use.is_working = False
        disturber.join()
    hits = 0
    if not naive:
        for number in range(NUMBERS):
            use.f.uncache(number)
            use.check([use.f(number), use.f(number)], [number * number] * 2)
        hits = use.f.info().hits
    return {
        "signals": use.signals,
        "calls": use.calls,
        "hits": hits,
        "wrong": len(use.wrong),
        "listened": len(use.outcomes.calls),
        "odd": use.outcomes.odd(),
        "interrupted": use.outcomes.interrupted,
    }


if __name__ == "__main__":
    print(json.dumps(main(*map(json.loads, sys.argv[1:]))))
