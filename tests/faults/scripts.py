"""Programs that other processes run, which must end well and complain of nothing."""

import json
import subprocess
import sys

__all__ = ["run"]

FORKS_AMONG_THREADS = "ignore:This process:DeprecationWarning"  # said from Python 3.12 on; it is what we test


def run(script: str, *arguments: object, seconds: float = 60) -> str:
    """Run Python on *script* and return what it printed."""
    options = ["-X", "dev", "-W", "error", "-W", FORKS_AMONG_THREADS]
    done = subprocess.run(
        [sys.executable, *options, "-c", script, *map(json.dumps, arguments)],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
