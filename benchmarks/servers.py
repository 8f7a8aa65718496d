"""Servers of the benchmarks' own, on one core with their clients."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.harness import Unavailable

START_SECONDS: Final = 10.0


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


class Server:
    """A server on a unix socket, on the same core as its only client: what they wait for is then only each other.

    On two cores the same code takes 1 to 4 times as long, as the scheduler likes.
    *options* makes it listen at its address; *answer* finds its version in what it answers to *command*.
    """

    def __init__(
        self, binary: str, options: Callable[[Path], Sequence[str]], command: bytes, answer: str, about: str
    ) -> None:
        self._binary, self._options, self._command, self._answer, self._about = binary, options, command, answer, about
        self.address = ""  # while it runs

    @contextmanager
    def running(self) -> Iterator[Sequence[str]]:
        """Run it meanwhile, and tell how."""
        binary = shutil.which(self._binary)
        if binary is None or not hasattr(socket, "AF_UNIX"):
            raise Unavailable(f"there is no {self._binary} on PATH (Debian, Ubuntu: apt install {self._binary})")
        # The path of a unix socket is short, so no other directory than the system's.
        with tempfile.TemporaryDirectory(prefix="mc") as directory, one_core() as core:
            self.address = str(Path(directory, "s"))
            words = [binary, *self._options(Path(self.address))]
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            try:
                yield [f"{self._version(process)}, on a unix socket; client and server {core}."]
            finally:
                process.kill()  # it has nothing to save
                process.wait()

    def _version(self, process: "subprocess.Popen[bytes]") -> str:
        """Return the version as soon as it answers."""
        deadline = time.perf_counter() + START_SECONDS
        while process.poll() is None and time.perf_counter() < deadline:
            try:
                with socket.socket(socket.AF_UNIX) as line:
                    line.settimeout(START_SECONDS)
                    line.connect(self.address)
                    line.sendall(self._command)
                    found = re.search(self._answer, line.recv(1000).decode())
            except OSError:
                found = None
            if found is not None:
                return self._about.format(found[1])
            time.sleep(0.01)
        raise Unavailable(f"{self._binary} did not start; status {process.returncode}")


def _memcached(address: Path) -> Sequence[str]:
    """Return its options: one thread, 64 MB."""
    as_root = ["-u", "root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return ["-s", str(address), "-a", "700", "-t", "1", "-m", "64", *as_root]


def _redis(address: Path) -> Sequence[str]:
    """Return its options: it saves nothing."""
    saving = ["--save", "", "--appendonly", "no", "--dir", str(address.parent)]
    return ["--port", "0", "--unixsocket", str(address), "--unixsocketperm", "700", *saving]


MEMCACHED: Final = Server("memcached", _memcached, b"version\r\n", r"VERSION (\S+)", "memcached {}, -t 1")
REDIS: Final = Server("redis-server", _redis, b"INFO server\r\n", r"redis_version:(\S+)", "Redis {}")
