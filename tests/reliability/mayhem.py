"""Processes that use a cache and may be killed at any moment, as they read, compute, store or forget.

The one that kills them changes the truth of some keys and forgets; each of them does so with a key of its own.
"""

import logging
import multiprocessing
import random
import time
from contextlib import suppress
from typing import Any

from memocache import Event, UncacheFailed, _binding, cached, subscribe
from memocache._events import OF_CALLS
from tests.reliability.caches import Stand, reopened
from tests.support import race

WORKERS = 3
KEYS = 4 + WORKERS  # the last are the workers' own
COMPUTING = 0.002  # seconds at most
LEASE = 0.2  # seconds: those that die are soon followed

_processes = multiprocessing.get_context("forkserver")


class Mayhem:
    """Workers on a *stand*, each of whom can be killed and replaced; *naive* ones get, or compute and set."""

    def __init__(self, stand: Stand, prefix: str, *, naive: bool = False) -> None:
        # Without locks: whoever is killed would keep them.
        self._truth = _processes.RawArray("Q", KEYS)
        self._floor = _processes.RawArray("Q", KEYS)  # the oldest truth that whoever asks from now on may be given
        # Reads, those that were stale, what the workers forgot; calls while somebody listens, and outcomes of them.
        self._counts = [_processes.RawArray("Q", 5) for _ in range(WORKERS)]
        self.calls = self.odd = self.interrupted = 0  # of workers that are gone
        self._where = stand.spelt(), prefix, naive
        self._delay = 2 * stand.kind.near  # until which others may be served what was near them
        _processes.set_forkserver_preload([__name__])
        self._workers = [self._started(number) for number in range(WORKERS)]
        self._f: Any = cached(cache=stand.open(prefix), namespace="f")(lambda key: int(self._truth[key]))
        self._naive = race.naive_memcached(int, stand.where) if naive else None
        self._forget: Any = self._f.uncache if self._naive is None else self._naive.forget

    def _started(self, number: int) -> Any:
        own = KEYS - 1 - number
        arguments = (self._where, self._delay, own, self._truth, self._floor, self._counts[number])
        process = _processes.Process(target=_work, args=arguments, daemon=True)
        process.start()
        return process

    @property
    def reads(self) -> int:
        return sum(counts[0] for counts in self._counts)

    @property
    def stale(self) -> int:
        return sum(counts[1] for counts in self._counts)

    @property
    def forgotten(self) -> int:
        return sum(counts[2] for counts in self._counts)

    def kill_one(self) -> None:
        number = random.randrange(WORKERS)
        self._end_one(number)
        self._workers[number] = self._started(number)

    def _end_one(self, number: int) -> None:
        """Kill one, who may have been in the middle of a call, and add up the outcomes of its calls."""
        self._workers[number].kill()
        self._workers[number].join()
        self._workers[number].close()
        counts = self._counts[number]
        calls, told = counts[3:]
        self.calls += calls
        self.interrupted += calls - told == 1
        self.odd += calls - told not in (0, 1)
        counts[3] = counts[4] = 0

    def change(self) -> None:
        """Let there be another truth, and forget the old one until that is acknowledged."""
        key = random.randrange(KEYS - WORKERS)
        self._truth[key] += 1
        for _ in range(1_000):
            try:
                self._forget(key)
                break
            except UncacheFailed:
                time.sleep(0.01)
        else:
            raise AssertionError("nothing could be forgotten")
        time.sleep(self._delay)
        self._floor[key] = self._truth[key]

    def end(self) -> None:
        if self._naive is not None:
            self._naive._client().close()
        for number in range(WORKERS):
            self._end_one(number)


def _work(where: tuple[str, str, bool], delay: float, own: int, truth: Any, floor: Any, counts: Any) -> None:
    logging.disable()  # that leases are lost is what this is about
    _binding.FIRST_LEASE = _binding.LEAST_LEASE = LEASE  # type: ignore[misc]
    spelt, prefix, naive = where
    stand = reopened(spelt)

    def compute(key: int) -> int:
        value = int(truth[key])
        time.sleep(random.random() * COMPUTING)
        return value

    f: Any = cached(cache=stand.open(prefix), namespace="f")(lambda key: compute(key))
    others = race.naive_memcached(compute, stand.where)
    read, refresh, forget = (others.read, others.read, others.forget) if naive else (f, f.refresh, f.uncache)
    chance = random.Random()

    def told(_: Event) -> None:
        counts[4] += 1

    is_told = not naive and bool(own % 2 or not stand.kind.has_fast_hits)
    if is_told:
        subscribe(told, *OF_CALLS)
    while True:
        if chance.random() < 0.02:
            truth[own] += 1
            with suppress(UncacheFailed):
                forget(own)
                time.sleep(delay)
                floor[own] = truth[own]
                counts[2] += 1
        key = chance.randrange(KEYS)
        oldest = floor[key]
        if chance.random() < 0.02:
            value = refresh(key)
        else:
            counts[3] += is_told
            value = read(key)
        counts[1] += value < oldest
        counts[0] += 1
