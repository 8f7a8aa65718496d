"""Forked children, for scripts that others run."""

import os
import signal
import sys
from collections.abc import Callable

# What follows where there is a *cache*: children that are forked while other threads use it have what they need of it.
UNDER_LOAD = """
import logging
logging.disable()  # leases are lost all the time
f = cached(cache=cache, namespace="f")(lambda x: x)
stop = threading.Event()

def load(number):
    while not stop.is_set():
        for x in range(30):
            cache.set(f"{number}-{x}", x)
            f(x)
            f.uncache(x)

threads = [threading.Thread(target=load, args=(number,)) for number in range(3)]
for thread in threads:
    thread.start()
for number in range(40):
    seen = child(lambda: [cache.set("k", number), cache.get("k"), f(100), f.uncache(100)])
    assert seen == f"[True, {number}, 100, True]"
    assert not cache.shared or cache.get("k") == number
stop.set()
for thread in threads:
    thread.join()
"""


def child(work: Callable[[], object]) -> str:
    """Run *work* in a forked child and return what it returned, as text; an alarm ends a child that hangs."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        signal.alarm(20)
        try:
            os.write(write, str(work()).encode())
            os._exit(0)
        except BaseException:  # noqa: BLE001 - the parent is told
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    assert os.waitpid(pid, 0)[1] == 0
    return text
