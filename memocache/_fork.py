"""The registry for forks: how locks, flights and connections of the parent are replaced in a child process.

Whoever holds some has a method `after_fork`, which makes them anew. A module has a function `_after_fork`, registered
with `in_child`, which calls those of the objects that it knows of.
"""

import os
from collections.abc import Callable
from typing import TypeVar

__all__ = ["around_fork", "in_child"]

C = TypeVar("C", bound=Callable[[], object])


def in_child(after_fork: C) -> C:
    """Have *after_fork* called in every child that this process forks, before anything else runs there."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=after_fork)
    return after_fork


def around_fork(before: Callable[[], object], after: Callable[[], object]) -> None:
    """Have *before* called before this process forks, and *after* in both the parent and the child."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=before, after_in_parent=after, after_in_child=after)
