"""The registry for forks: how locks, flights and connections of the parent are replaced in a child process.

Whoever holds some has a method `after_fork`, which makes them anew. A module has a function `_after_fork`, registered
with `in_child`, which calls those of the objects that it knows of.

uWSGI forks without Python's knowledge, unless it is told to (`py-call-osafterfork`). So where a connection or a thread
of a pool is taken, or a flight is waited for, the process id is compared with *pid*.
"""

import os
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

C = TypeVar("C", bound=Callable[[], object])

pid = os.getpid()
"""The process for which all was made."""
is_child = False
"""True if this process was forked from another in which all of this was there."""

_in_child: Final[list[Callable[[], object]]] = []
_locks: Final[dict[int, Any]] = {}  # by process: nobody in this one holds that of another


def in_child(after_fork: C) -> C:
    """Have *after_fork* called in every child that this process forks, before anything else of ours runs there."""
    _in_child.append(after_fork)
    return after_fork


def notice() -> bool:
    """Make all anew if this is a child in which that was not done yet; return whether it was."""
    global is_child, pid
    me = os.getpid()
    if pid == me:
        return False
    with _locks.setdefault(me, threading.RLock()):
        if pid == me:
            return False
        is_child = True
        pid = me  # first, since whoever makes something anew may take a connection
        for after_fork in _in_child:
            after_fork()
    return True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=notice)


def around_fork(before: Callable[[], object], after: Callable[[], object]) -> None:
    """Have *before* called before this process forks, and *after* in both the parent and the child."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_parent=after, after_in_child=after)
