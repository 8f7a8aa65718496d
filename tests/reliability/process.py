"""Processes: those that tests start, and what Linux says of this one: its memory, descriptors and threads."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.support.strict import STRICT, complaints

STATUS = Path("/proc/self/status")


def run(module: str, *arguments: object, flags: Sequence[str] = STRICT, may_complain: bool = False) -> str:
    """Return what a module of this package printed, with *arguments* as JSON."""
    command = [sys.executable, *flags, "-m", f"tests.reliability.{module}", *map(json.dumps, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert may_complain or complaints(done.stderr) == ""
    return done.stdout


def _status(name: str) -> int:
    if not STATUS.exists():
        return 0
    (line,) = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1])


def resident_kib() -> int:
    return _status("VmRSS")


def start_peak() -> None:
    """Let the peak begin with what is resident now."""
    if STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")


def peak_kib() -> int:
    return _status("VmHWM")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if STATUS.exists() else 0


def threads() -> int:
    return threading.active_count()
