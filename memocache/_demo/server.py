"""The demo's memcached: one that is running already, or one that the demo starts for the while."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

__all__ = ["DemoError", "Memcached", "connect", "find_program", "start"]

START_SECONDS = 5.0
ANSWER_SECONDS = 2.0
FOLDERS = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin")


class DemoError(Exception):
    """The demo, or a part of it, cannot be shown; the message says why."""


class Memcached(NamedTuple):
    """A memcached that answers; *pid* is the process if the demo has started it."""

    address: str
    version: str
    pid: int | None = None


def find_program() -> str | None:
    """Return the path of memcached: $MEMOCACHE_MEMCACHED (empty: none), else on the PATH and in the usual folders."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *FOLDERS))
    return os.environ.get("MEMOCACHE_MEMCACHED", shutil.which("memcached", path=path)) or None


def connect(address: str) -> Memcached:
    """Return the memcached at *address*; DemoError if it does not answer."""
    try:
        return Memcached(address, _ask_version(address))
    except (OSError, ValueError) as error:
        raise DemoError(f"no memcached answers at {address}: {error}") from error


@contextmanager
def start(program: str | None) -> Iterator[Memcached]:
    """Start *program* on a socket in a directory of its own; stop it at the end. DemoError if it does not start."""
    if program is None:
        raise DemoError("there is no memcached on this machine")
    with tempfile.TemporaryDirectory(prefix="mc", ignore_cleanup_errors=True) as directory:
        address, errors = str(Path(directory, "socket")), Path(directory, "stderr")
        # Root must name a user; any other could not bind in a directory that is root's alone.
        user = ["-u", "root"] if os.geteuid() == 0 else []
        command = [program, "-s", address, "-a", "700", "-m", "32", "-t", "2", *user]
        try:
            with errors.open("wb") as stderr:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
        except OSError as error:
            raise DemoError(f"{program} does not start: {error}") from error
        try:
            version = _wait_for_version(process, address)
            if version is None:
                process.kill()
                reason = errors.read_text(errors="replace").strip() or f"status {process.wait()}"
                raise DemoError(f"{program} does not start: {reason}")
            yield Memcached(address, version, process.pid)
        finally:
            process.kill()  # it has nothing to save
            process.wait()


def _wait_for_version(process: "subprocess.Popen[bytes]", address: str) -> str | None:
    deadline = time.perf_counter() + START_SECONDS
    while process.poll() is None and time.perf_counter() < deadline:
        try:
            return _ask_version(address)
        except (OSError, ValueError):
            time.sleep(0.01)
    return None


def _ask_version(address: str) -> str:
    """Return the version of the memcached at *address*; OSError or ValueError if there is none."""
    if address.startswith("/"):
        stream = socket.socket(socket.AF_UNIX)
    else:
        host, _, port = address.rpartition(":")
        stream = socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS)
    with stream:
        if address.startswith("/"):
            stream.settimeout(ANSWER_SECONDS)
            stream.connect(address)
        stream.sendall(b"version\r\n")
        match = re.fullmatch(rb"VERSION ([\w.-]+)\r\n", stream.recv(100))
    if not match:
        raise ValueError("what is there does not speak memcached's text protocol")
    return match[1].decode()
