"""A memcached for the demo: one that is running already, or one of its own for the while."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Memcached", "NoServer", "find_program", "running", "started"]

START_SECONDS = 5.0
ANSWER_SECONDS = 2.0
FOLDERS = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin")


class NoServer(Exception):
    """There is no memcached to be had; the message says why."""


@dataclass(frozen=True, slots=True)
class Memcached:
    """A memcached that answers."""

    address: str
    version: str
    pid: int | None = None  # of the demo's own


def find_program() -> str | None:
    """Return the path of memcached: $MEMOCACHE_MEMCACHED (empty: none), else on the PATH and in the usual folders."""
    named = os.environ.get("MEMOCACHE_MEMCACHED")
    if named is not None:
        return named or None
    return shutil.which("memcached", path=os.pathsep.join((os.environ.get("PATH", ""), *FOLDERS)))


def running(address: str) -> Memcached:
    """Return the memcached at *address*; NoServer if it does not answer."""
    try:
        return Memcached(address, _version_at(address))
    except (OSError, ValueError) as error:
        raise NoServer(f"no memcached answers at {address}: {error}") from error


@contextmanager
def started(program: str) -> Iterator[Memcached]:
    """Start *program* on a socket in a directory of its own; stop it at the end. NoServer if it does not start."""
    with tempfile.TemporaryDirectory(prefix="mc", ignore_cleanup_errors=True) as directory:
        address, errors = str(Path(directory, "socket")), Path(directory, "stderr")
        # Root must name a user; any other could not bind in a directory that is root's alone.
        user = ["-u", "root"] if os.geteuid() == 0 else []
        command = [program, "-s", address, "-a", "700", "-m", "32", "-t", "2", *user]
        try:
            with errors.open("wb") as stderr:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
        except OSError as error:
            raise NoServer(f"{program} does not start: {error}") from error
        try:
            version = _first_answer(process, address)
            if version is None:
                process.kill()
                said = errors.read_text(errors="replace").strip() or f"status {process.wait()}"
                raise NoServer(f"{program} does not start: {said}")
            yield Memcached(address, version, process.pid)
        finally:
            process.kill()  # it has nothing to save
            process.wait()


def _first_answer(process: "subprocess.Popen[bytes]", address: str) -> str | None:
    deadline = time.perf_counter() + START_SECONDS
    while process.poll() is None and time.perf_counter() < deadline:
        try:
            return _version_at(address)
        except (OSError, ValueError):
            time.sleep(0.01)
    return None


def _version_at(address: str) -> str:
    """Return the version of the memcached at *address*; OSError or ValueError if there is none."""
    with _connected(address) as stream:
        stream.sendall(b"version\r\n")
        answer = stream.recv(100)
    found = re.fullmatch(rb"VERSION ([\w.-]+)\r\n", answer)
    if not found:
        raise ValueError("what is there does not speak memcached's text protocol")
    return found[1].decode()


def _connected(address: str) -> socket.socket:
    if not address.startswith("/"):
        host, _, port = address.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS)
    stream = socket.socket(socket.AF_UNIX)
    try:
        stream.settimeout(ANSWER_SECONDS)
        stream.connect(address)
    except BaseException:
        stream.close()
        raise
    return stream
