"""A process that forks while its threads use a cache: python -m tests.reliability.forking STAND FORKS NAIVE (as JSON).

It prints how many values were wrong, in the children and in itself. In the naive way it ends when enough were: how soon
that is, is a matter of chance.
"""

import contextlib
import json
import logging
import os
import signal
import sys
import threading
from typing import Any

from pymemcache import Client

from memocache import cached
from tests.reliability.caches import reopened
from tests.reliability.interrupted import Naive
from tests.reliability.outcomes import Outcomes

THREADS = 3
PATIENCE = 20  # seconds that a child has
ENOUGH_WRONG = 6


def main(stand: str, forks: int, naive: bool) -> dict[str, int]:
    """Fork so often at most; every child uses the cache at once, as its parent goes on doing."""
    logging.disable()  # leases are lost all the time
    place, outcomes = reopened(stand), Outcomes()
    f: Any
    if naive:
        f = Naive(Client(place.where, timeout=1, default_noreply=False), lambda x: x * x)
    else:
        f = outcomes.counted(cached(cache=place.open("k"), namespace="f")(lambda x: x * x))
    stop = threading.Event()
    wrong: list[object] = []

    def load(number: int) -> None:
        while not stop.is_set():
            for x in range(number, 30, THREADS if naive else 1):
                if f(x) != x * x:
                    wrong.append(x)
                with contextlib.suppress(Exception):
                    f.uncache(x)

    threads = [threading.Thread(target=load, args=(number,)) for number in range(1 if naive else THREADS)]
    forked = bad = 0
    with outcomes.listening():
        for thread in threads:
            thread.start()
        while forked < forks and not (naive and bad + len(wrong) >= ENOUGH_WRONG):
            forked += 1
            bad += _child(f, naive, outcomes)
        stop.set()
        for thread in threads:
            thread.join()
    listened, odd = len(outcomes.calls), outcomes.odd()
    return {"forks": forked, "wrong": bad + len(wrong), "listened": listened, "odd": odd}


def _child(f: Any, naive: bool, outcomes: Outcomes) -> int:
    """Return whether anything was wrong in a child."""
    pid = os.fork()
    if pid:
        return int(os.waitpid(pid, 0)[1] != 0)
    signal.alarm(PATIENCE)
    status = 1
    outcomes.calls.clear()  # those that were under way are the parent's
    try:
        values = [f(x) for x in range(10)]
        cache = f.cache
        cache.set("own", os.getpid() if not naive else 1)
        f.uncache(3)
        status = int([*values, f(3)] != [*(x * x for x in range(10)), 9] or outcomes.odd())
    except BaseException:  # noqa: BLE001 - a child must not go on as its parent
        if not naive:
            sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


if __name__ == "__main__":
    print(json.dumps(main(*map(json.loads, sys.argv[1:]))))
