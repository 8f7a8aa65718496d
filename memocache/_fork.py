"""The registry for forks: functions that reset, in a child process, locks, flights and connections of the parent."""

import os
from collections.abc import Callable

__all__ = ["around_fork", "in_child"]


def in_child(reset: Callable[[], object]) -> None:
    """Have *reset* called in every child that this process forks, before anything else runs there."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=reset)


def around_fork(before: Callable[[], object], after: Callable[[], object]) -> None:
    """Have *before* called before this process forks, and *after* in both the parent and the child."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_parent=after, after_in_child=after)
