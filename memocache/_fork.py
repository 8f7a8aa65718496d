"""What a child process must not inherit: locks that nobody in it will release, flights, connections."""

import os
from collections.abc import Callable

__all__ = ["in_child"]


def in_child(reset: Callable[[], object]) -> None:
    """Have *reset* called in every child that this process forks, before anything else runs there."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=reset)
