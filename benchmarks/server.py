"""A memcached of the benchmarks' own."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.answer import Unanswerable

__all__ = ["MemcachedServer"]

START_SECONDS: Final = 10.0


class MemcachedServer:
    """One memcached on a unix socket, on the same core as its only client: what they wait for is then only each other.

    On two cores the same code takes 1 to 4 times as long, as the scheduler likes.
    """

    address = ""  # while it runs

    @contextmanager
    def running(self) -> Iterator[Sequence[str]]:
        """Run it meanwhile, and tell how.

        Raises:
            Unanswerable: if there is none to run.
        """
        binary = shutil.which("memcached")
        if binary is None or not hasattr(socket, "AF_UNIX"):
            raise Unanswerable("there is no memcached on PATH (Debian, Ubuntu: apt install memcached)")
        # The path of a unix socket is short, so no other directory than the system's.
        with tempfile.TemporaryDirectory(prefix="mc") as directory, _one_core() as core:
            self.address = str(Path(directory, "s"))
            options = ["-s", self.address, "-a", "700", "-t", "1", "-m", "64"]
            if hasattr(os, "geteuid") and os.geteuid() == 0:
                options += ["-u", "root"]
            process = subprocess.Popen([binary, *options], stdin=subprocess.DEVNULL)
            try:
                version = _version(self.address, process)
                yield [f"memcached {version}, -t 1, on a unix socket; client and server {core}."]
            finally:
                process.kill()  # it has nothing to save
                process.wait()


@contextmanager
def _one_core() -> Iterator[str]:
    """Keep this process, and those that it starts, on one core, where the system lets us."""
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


def _version(address: str, process: "subprocess.Popen[bytes]") -> str:
    """Return the version that the server at *address* says it has, as soon as it answers."""
    deadline = time.perf_counter() + START_SECONDS
    while process.poll() is None and time.perf_counter() < deadline:
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(START_SECONDS)
                line.connect(address)
                line.sendall(b"version\r\n")
                return line.recv(100).decode().removeprefix("VERSION ").strip()
        except OSError:
            time.sleep(0.01)
    raise Unanswerable(f"memcached did not start; status {process.returncode}")
