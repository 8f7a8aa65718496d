"""A process that asks for more and more keys: python -m tests.reliability.soak STAND KEYS SECONDS NAIVE (as JSON).

It prints, as JSON, what it took on the way: samples of memory, descriptors and threads; and the flights that are left.
"""

import functools
import gc
import itertools
import json
import sys
import threading
from typing import Any

from memocache import cached
from memocache._clock import ticks
from memocache._flight import Flight
from tests.reliability.caches import reopened
from tests.reliability.process import descriptors, resident_kib, threads

__all__ = ["main"]

THREADS = 3
PAUSE = 0.01  # seconds between two samples
SHORT_PAUSE = 0.001  # for what is over in no time


def main(stand: str, keys: int, seconds: float, naive: bool) -> dict[str, Any]:
    """Ask for *keys* distinct keys, in so many *seconds* at most; *naive*: of a dictionary."""

    def compute(x: int) -> tuple[int, str]:
        return x, "x" * 200

    f: Any = functools.cache(compute) if naive else cached(cache=reopened(stand).open("soak"), namespace="f")(compute)
    numbers = itertools.count()
    began = ticks()
    wrong: list[int] = []
    asked = [0] * THREADS
    over = threading.Event()

    def ask(own: int) -> None:
        for x in numbers:
            if x >= keys or over.is_set():
                break
            if f(x)[0] != x or (x % 7 == 0 and f(x)[0] != x):
                wrong.append(x)
            asked[own] += 1

    workers = [threading.Thread(target=ask, args=(own,)) for own in range(THREADS)]
    for worker in workers:
        worker.start()
    samples = []
    pause = threading.Event()
    while all(worker.is_alive() for worker in workers):
        pause.wait(SHORT_PAUSE if naive else PAUSE)
        samples.append((sum(asked), resident_kib(), descriptors(), threads()))
        if ticks() - began > seconds:
            over.set()
    for worker in workers:
        worker.join()
    took = ticks() - began
    gc.collect()
    flights = sum(type(each) is Flight and each.outcome is None for each in gc.get_objects())
    return {"asked": sum(asked), "wrong": len(wrong), "flights": flights, "seconds": took, "samples": samples[:-1]}


if __name__ == "__main__":
    print(json.dumps(main(*map(json.loads, sys.argv[1:]))))
