"""Threads for what nobody waits for: a few at a time, the rest in a queue that is bounded."""

import functools
import threading
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from typing import Final

from memocache._fork import in_child

__all__ = ["in_background"]

MOST_THREADS: Final = 8
MOST_WAITING: Final = 1_000

# Daemons, made when they are needed: those of concurrent.futures would keep the process from ending until all is done.
_lock = threading.RLock()  # re-entrant, since a signal handler may come here, too
_waiting: Final[deque[Callable[[], object]]] = deque()
_running = 0


def in_background(call: Callable[[], object]) -> bool:
    """Have *call* done soon, in a copy of this context; false if there is too much to do already."""
    global _running
    work = functools.partial(copy_context().run, call)
    with _lock:
        if len(_waiting) >= MOST_WAITING:
            return False
        _waiting.append(work)
        if _running >= MOST_THREADS:
            return True
        _running += 1
    try:
        threading.Thread(target=_work, name="memocache refresh", daemon=True).start()
    except RuntimeError:  # no more threads, or the interpreter shuts down
        with _lock:
            _running -= 1
            if not _running:
                _waiting.remove(work)
                return False
    return True


def _work() -> None:
    global _running
    while True:
        with _lock:
            if not _waiting:
                _running -= 1
                return
            call = _waiting.popleft()
        try:
            call()
        except BaseException:
            import logging  # not before something goes wrong: it takes a tenth of the whole import

            logging.getLogger("memocache").exception("a refresh in the background failed")
        del call


def _reset_in_child() -> None:
    global _lock, _running
    _lock = threading.RLock()
    _running = 0
    _waiting.clear()


in_child(_reset_in_child)
