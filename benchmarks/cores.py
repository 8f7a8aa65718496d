"""Cores: where the processes of a benchmark run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["one_core"]


@contextmanager
def one_core() -> Iterator[str]:
    """Keep this process, and those that it starts, on one core, where the system lets us; give what to say of that."""
    if not hasattr(os, "sched_setaffinity"):
        yield "wherever the system puts them"
        return
    cores = os.sched_getaffinity(0)
    core = max(cores)  # interrupts are often served by the first
    os.sched_setaffinity(0, {core})
    try:
        yield f"pinned to core {core}"
    finally:
        os.sched_setaffinity(0, cores)
