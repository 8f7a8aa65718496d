"""Other processes, which must end well: of multiprocessing, and Python on a script."""

import subprocess
import sys
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

import memocache

ROOT = Path(memocache.__file__).parents[1]


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


def run_python(*arguments: str, seed: str = "random") -> "subprocess.Popen[str]":
    """Begin Python with these *arguments* and this *seed* of its hashes."""
    environment = {"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen([sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, text=True)


def output_of(process: "subprocess.Popen[str]") -> list[str]:
    """Return the lines that *process* prints until it ends."""
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return output.split("\n")[:-1]
