"""Processes of multiprocessing, which must end well, and are gone afterwards."""

from collections.abc import Sequence
from multiprocessing.process import BaseProcess

__all__ = ["all_end_well"]


def all_end_well(processes: Sequence[BaseProcess], seconds: float = 60) -> None:
    """Start *processes*, and wait for them: each must have ended well after so many *seconds*."""
    try:
        for process in processes:
            process.start()
        for process in processes:
            process.join(seconds)
            assert process.exitcode == 0, f"a process ended with {process.exitcode}"
    finally:
        for process in processes:
            process.kill()
            process.join()
            process.close()
