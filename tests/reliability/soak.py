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

THREADS = 3
SAMPLED = 100  # every so many keys


def main(stand: str, keys: int, seconds: float, naive: bool) -> dict[str, Any]:
    """Ask for *keys* distinct keys, in so many *seconds* at most; *naive*: of a dictionary."""

    def compute(x: int) -> tuple[int, str]:
        return x, "x" * 200

    f: Any = functools.cache(compute) if naive else cached(cache=reopened(stand).open("soak"), namespace="f")(compute)
    numbers = itertools.count()
    began = ticks()
    wrong: list[int] = []
    asked = [0] * THREADS
    samples: list[tuple[int, int, int, int]] = []
    sampling = threading.Lock()  # which has files open itself
    over = threading.Event()
    all_done = threading.Barrier(THREADS)  # until which none of the threads is missing

    def ask(own: int) -> None:
        for x in numbers:
            if x >= keys or over.is_set():
                break
            if f(x)[0] != x or (x % 7 == 0 and f(x)[0] != x):
                wrong.append(x)
            asked[own] += 1
            if x % SAMPLED == 0:
                with sampling:
                    samples.append((sum(asked), resident_kib(), descriptors(), threads()))
        all_done.wait(60)

    workers = [threading.Thread(target=ask, args=(own,)) for own in range(THREADS)]
    for worker in workers:
        worker.start()
    workers[0].join(seconds)
    over.set()
    for worker in workers:
        worker.join()
    took = ticks() - began
    gc.collect()
    flights = sum(type(each) is Flight and each.state is None for each in gc.get_objects())
    return {"asked": sum(asked), "wrong": len(wrong), "flights": flights, "seconds": took, "samples": sorted(samples)}


if __name__ == "__main__":
    print(json.dumps(main(*map(json.loads, sys.argv[1:]))))
