"""Servers of the benchmarks' own."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.answer import Unanswerable
from benchmarks.cores import one_core

__all__ = ["MemcachedServer", "RedisServer"]

START_SECONDS: Final = 10.0
LINE_END: Final = b"\r\n"


class Server(ABC):
    """One server on a unix socket, on the same core as its only client: what they wait for is then only each other.

    On two cores the same code takes 1 to 4 times as long, as the scheduler likes.
    """

    binary: str  # its name on PATH
    package: str  # Debian's, that has it
    address = ""  # while it runs

    @abstractmethod
    def options(self) -> Sequence[str]:
        """Return what makes it listen at its address, and how."""

    @abstractmethod
    def version(self) -> str:
        """Return what it says of itself; OSError if it does not answer yet."""

    @contextmanager
    def running(self) -> Iterator[Sequence[str]]:
        """Run it meanwhile, and tell how.

        Raises:
            Unanswerable: if there is none to run.
        """
        binary = shutil.which(self.binary)
        if binary is None or not hasattr(socket, "AF_UNIX"):
            raise Unanswerable(f"there is no {self.binary} on PATH (Debian, Ubuntu: apt install {self.package})")
        # The path of a unix socket is short, so no other directory than the system's.
        with tempfile.TemporaryDirectory(prefix="mc") as directory, one_core() as core:
            self.address = str(Path(directory, "s"))
            words = [binary, *self.options()]
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            try:
                yield [f"{self._answered(process)}, on a unix socket; client and server {core}."]
            finally:
                process.kill()  # it has nothing to save
                process.wait()

    def _answered(self, process: "subprocess.Popen[bytes]") -> str:
        """Return the version as soon as it answers."""
        deadline = time.perf_counter() + START_SECONDS
        while process.poll() is None and time.perf_counter() < deadline:
            try:
                return self.version()
            except OSError:
                time.sleep(0.01)
        raise Unanswerable(f"{self.binary} did not start; status {process.returncode}")

    def ask(self, command: bytes) -> str:
        """Return the beginning of what it answers to *command*."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(START_SECONDS)
            line.connect(self.address)
            line.sendall(command)
            return line.recv(1000).decode()


class MemcachedServer(Server):
    """One memcached."""

    binary = package = "memcached"

    def options(self) -> Sequence[str]:
        """Return its words: one thread, 64 MB."""
        options = ["-s", self.address, "-a", "700", "-t", "1", "-m", "64"]
        return [*options, "-u", "root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else options

    def version(self) -> str:
        """Return what it answers to `version`."""
        return f"memcached {self.ask(b'version' + LINE_END).removeprefix('VERSION ').strip()}, -t 1"


class RedisServer(Server):
    """One Redis."""

    binary = package = "redis-server"

    def options(self) -> Sequence[str]:
        """Return its words: it saves nothing."""
        saving = ["--save", "", "--appendonly", "no", "--dir", str(Path(self.address).parent)]
        return ["--port", "0", "--unixsocket", self.address, "--unixsocketperm", "700", *saving]

    def version(self) -> str:
        """Return what it answers to `INFO`."""
        found = re.search(r"redis_version:(\S+)", self.ask(b"INFO server" + LINE_END))
        if found is None:
            raise ConnectionError("it is not ready yet")
        return f"Redis {found[1]}"
