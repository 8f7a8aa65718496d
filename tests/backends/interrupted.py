"""A process that is interrupted at random moments while it uses a MemcachedCache: python -m tests.backends.interrupted.

The arguments are the server's address as JSON and how often to interrupt. It prints what it saw.
"""

import contextlib
import json
import random
import signal
import sys
import threading
from typing import Any

from memocache import MemcachedCache, cached

__all__ = ["Interrupted", "main"]


class Interrupted(BaseException):
    """What gevent's and Celery's time limits raise is no Exception, either."""


def main(address: str, times: int) -> dict[str, Any]:
    """Use a cache and be interrupted *times* times; return how often a wrong value was seen."""
    cache = MemcachedCache([address], key_prefix="i")
    working = threading.Event()
    finished = False
    seen = {"interrupted": 0, "wrong": 0, "calls": 0, "hits": 0}
    chance = random.Random(7)

    @cached(cache=cache, namespace="f", wait=0.2)
    def f(x: int) -> int:
        return x * x

    def interrupt(*_: object) -> None:
        if working.is_set():
            working.clear()  # one at a time
            raise Interrupted

    signal.signal(signal.SIGUSR1, interrupt)
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def disturb() -> None:
        pause = threading.Event()
        while not finished:
            working.wait(0.1)
            pause.wait(random.Random().random() * 0.002)
            signal.pthread_kill(main_thread, signal.SIGUSR1)

    def use() -> None:
        number = chance.randrange(20)
        kind = chance.randrange(4)
        if kind == 0:
            seen["wrong"] += f(number) != number * number
        elif kind == 1:
            f.uncache(number)
        elif kind == 2:
            cache.set(str(number), number)
        else:
            seen["wrong"] += cache.get(str(number)) not in (None, number)
        seen["calls"] += 1

    disturber = threading.Thread(target=disturb)
    disturber.start()
    while seen["interrupted"] < times:
        try:
            working.set()
            for _ in range(100):
                use()
        except Interrupted:
            seen["interrupted"] += 1
    finished = True
    with contextlib.suppress(Interrupted):
        disturber.join()
    working.clear()
    for number in range(20):
        f.uncache(number)
        seen["wrong"] += [f(number), f(number)] != [number * number] * 2
    seen["hits"] = f.info().hits
    return seen


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]), int(sys.argv[2]))))
