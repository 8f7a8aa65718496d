"""A strict interpreter: another process, where each warning is an error, and whatever is said on stderr is one, too."""

import json
import re
import subprocess
import sys

FORKS_AMONG_THREADS = "ignore:This process:DeprecationWarning"  # said from Python 3.12 on; it is what we test
STRICT = ["-X", "dev", "-W", "error", "-W", FORKS_AMONG_THREADS]

# The debug mode of asyncio, which is part of "-X dev", says this after 0.1 s: of a busy machine, not of us.
SLOW = re.compile(r"^Executing <.+> took \d+\.\d+ seconds\n", re.MULTILINE)


def run_strictly(script: str, *arguments: object, seconds: float = 60) -> str:
    """Run Python on *script*, with *arguments* as JSON, and return what it printed."""
    done = subprocess.run(
        [sys.executable, *STRICT, "-c", script, *map(json.dumps, arguments)],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert (done.returncode, complaints(done.stderr)) == (0, "")
    return done.stdout


def complaints(said: str) -> str:
    """Return what was *said* on stderr, without what depends on how busy the machine is."""
    return SLOW.sub("", said)
