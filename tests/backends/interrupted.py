"""A process that gets signals at random moments while it uses its caches: python -m tests.backends.interrupted.

The arguments, as JSON, are the address of a memcached, how many signals to send, and whether their handler raises (as
KeyboardInterrupt and the time limits of gevent and Celery do) or uses the caches itself. It prints what it saw.
"""

import contextlib
import json
import random
import signal
import sys
import threading

from memocache import MemcachedCache, SimpleCache, cached

__all__ = ["Interrupted", "main"]

NUMBERS = 20


class Interrupted(BaseException):
    pass


def main(address: str, times: int, raises: bool) -> dict[str, int]:
    """Use caches and be interrupted *times* times; return how often, and how often a wrong value was seen."""
    shared, near = MemcachedCache([address], key_prefix="i", timeout=5), SimpleCache(threshold=10)
    working = threading.Event()
    finished = False
    seen = {"signals": 0, "calls": 0, "hits": 0}
    wrong: list[object] = []  # not a number: to count is not atomic
    chance = random.Random(7)
    functions = [cached(cache=cache, namespace="f", wait=0.2)(lambda x: x * x) for cache in (shared, near)]
    of_handler = [cached(cache=cache, namespace="g", wait=0.2)(lambda x: -x) for cache in (shared, near)]

    def check(found: object, *right: object) -> None:
        if found not in right:
            wrong.append(found)

    def handle(*_: object) -> None:
        if not working.is_set():
            return
        working.clear()  # one at a time
        seen["signals"] += 1
        if raises:
            raise Interrupted
        number = seen["signals"] % NUMBERS
        for g in of_handler:
            check(g(number), -number)
            g.uncache(number - 1)
            g.cache.set(f"{number}", number)
            check(g.cache.get(f"{number}"), number)

    def use() -> None:
        number, kind = chance.randrange(NUMBERS), chance.randrange(4)
        for f in functions:
            if kind == 0:
                check(f(number), number * number)
            elif kind == 1:
                f.uncache(number)
            elif kind == 2:
                f.cache.set(f"{number}", number)
            else:
                check(f.cache.get(f"{number}"), None, number)
            seen["calls"] += 1

    signal.signal(signal.SIGUSR1, handle)
    main_thread = threading.main_thread().ident
    assert main_thread is not None

    def disturb() -> None:
        pause = threading.Event()
        while not finished:
            working.wait(0.1)
            pause.wait(random.random() * 0.002)
            signal.pthread_kill(main_thread, signal.SIGUSR1)

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        while seen["signals"] < times:
            with contextlib.suppress(Interrupted):
                working.set()
                for _ in range(10):
                    use()
    finally:
        finished = True
        working.clear()
        disturber.join()
    for f in functions:
        for number in range(NUMBERS):
            f.uncache(number)
            check([f(number), f(number)], [number * number] * 2)
        seen["hits"] += f.info().hits
    return {**seen, "wrong": len(wrong)}


if __name__ == "__main__":
    print(json.dumps(main(*map(json.loads, sys.argv[1:]))))
