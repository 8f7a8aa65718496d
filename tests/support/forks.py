"""Forked children, for scripts that others run."""

import os
import signal
import sys
from collections.abc import Callable

__all__ = ["child"]


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
