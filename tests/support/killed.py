"""Processes that are killed at any moment, and what the others see: python -m tests.support.killed PATH KILLS.

Each of them changes a truth of its own, forgets, and asks for the truths of all. When it is killed, another one takes
its place. It prints, as JSON, how many were killed, asked, forgot, and were given what had been forgotten before.
"""

import json
import logging
import mmap
import os
import random
import signal
import struct
import sys
import time

from memocache import SQLiteCache, _binding, cached

__all__: list[str] = []

WORKERS = 4
LEASE = 0.2
WORDS = struct.Struct("=Q")


class Shared:
    """Numbers in memory that is shared with those that are forked; each is written by one process at a time."""

    def __init__(self, size: int) -> None:
        self._map = mmap.mmap(-1, size * WORDS.size)
        self._words = memoryview(self._map).cast("Q")

    def __getitem__(self, index: int) -> int:
        return int(self._words[index])

    def __setitem__(self, index: int, value: int) -> None:
        self._words[index] = value

    def sum(self) -> int:
        return sum(self._words)


truth, since, asked, stale, forgot = (Shared(WORKERS) for _ in range(5))


def work(own: int, path: str) -> None:
    cache = SQLiteCache(path, timeout=10)

    @cached(cache=cache, namespace="f", wait=0.02)
    def f(key: int) -> int:
        return truth[key]

    chance = random.Random()
    while True:
        key = chance.randrange(WORKERS)
        if chance.random() < 0.1:
            truth[own] += 1
            f.uncache(own)
            since[own] = truth[own]
            forgot[own] += 1
        else:
            oldest = since[key]
            stale[own] += f(key) < oldest
            asked[own] += 1


def start(own: int, path: str) -> int:
    pid = os.fork()
    if not pid:
        try:
            work(own, path)
        finally:
            os._exit(1)
    return pid


def main(path: str, kills: int) -> None:
    logging.disable()  # that leases are lost is what this is about
    _binding.FIRST_LEASE = _binding.LEAST_LEASE = LEASE  # type: ignore[misc]
    chance = random.Random()
    pids = [start(own, path) for own in range(WORKERS)]
    for _ in range(kills):
        time.sleep(chance.uniform(0.01, 0.08))
        own = chance.randrange(WORKERS)
        os.kill(pids[own], signal.SIGKILL)
        _, status = os.waitpid(pids[own], 0)
        assert os.WIFSIGNALED(status), "it had ended by itself"
        pids[own] = start(own, path)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    print(json.dumps({"asked": asked.sum(), "forgot": forgot.sum(), "stale": stale.sum(), "truth": truth.sum()}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
