"""A process that is killed or stopped: python -m tests.reliability.worker STAND PREFIX LEASE KEYS (as JSON).

It computes f(x) for every x of KEYS at once, in threads, says so, and goes on when it is told to by a line of input.
"""

import json
import logging
import sys
import threading

from memocache import _binding, cached
from tests.reliability.caches import reopened
from tests.reliability.outcomes import Outcomes

__all__: list[str] = []


def main(stand: str, prefix: str, lease: float, keys: list[int]) -> None:
    logging.disable()  # that a lease was lost is what this is about
    _binding.FIRST_LEASE = lease  # type: ignore[misc]
    computing, go = threading.Barrier(len(keys) + 1), threading.Event()

    outcomes = Outcomes()

    @outcomes.counted
    @cached(cache=reopened(stand).open(prefix), namespace="f")
    def f(x: int) -> tuple[int, str]:
        computing.wait()
        go.wait()
        return x, "before"

    threads = [threading.Thread(target=f, args=(x,)) for x in keys]
    with outcomes.listening():
        for thread in threads:
            thread.start()
        computing.wait()
        print("computing", flush=True)
        sys.stdin.readline()
        go.set()
        for thread in threads:
            thread.join()
    assert len(outcomes.calls) == len(keys)
    assert not outcomes.odd()
    print("done", flush=True)


if __name__ == "__main__":
    main(*map(json.loads, sys.argv[1:]))
