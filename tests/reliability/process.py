"""What the system says of this process: its memory, descriptors and threads. Only Linux does."""

import os
import threading
from pathlib import Path

__all__ = ["descriptors", "peak_kib", "resident_kib", "start_peak", "threads"]

STATUS = Path("/proc/self/status")


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
