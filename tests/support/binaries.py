"""How the tests get a real memcached: an installed one, or a copy of their own that needs no root."""

import functools
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from memocache._clock import ticks

OWN_COPY = Path(__file__).resolve().parents[2] / ".cache" / "memcached"
UNPACK_SECONDS = 60.0


class NoMemcached(Exception):
    """There is no usable memcached; the message says why."""


@dataclass(frozen=True)
class MemcachedBinary:
    """An executable, and where its libraries are if the system does not know them."""

    path: str
    library_path: str = ""

    @property
    def environ(self) -> dict[str, str]:
        extra = {"LD_LIBRARY_PATH": self.library_path} if self.library_path else {}
        return {**os.environ, **extra}

    def checked(self) -> "MemcachedBinary":
        """Return itself if it starts, else raise NoMemcached."""
        command = [self.path, "-V"]
        try:
            run = subprocess.run(command, env=self.environ, capture_output=True, text=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoMemcached(f"{self.path} does not start: {error}") from error
        if run.returncode or not run.stdout.startswith("memcached"):
            raise NoMemcached(f"{self.path} does not start: {(run.stderr or run.stdout).strip()}")
        return self


def find_memcached() -> tuple[MemcachedBinary | None, str]:
    """Return a memcached that starts and "", or None and the reason with what to do about it.

    $MEMOCACHE_MEMCACHED goes first, then the PATH and the usual folders, then a copy of our own, which is
    unpacked from Debian's packages if there is none.
    """
    try:
        if named := os.environ.get("MEMOCACHE_MEMCACHED"):
            return MemcachedBinary(named).checked(), ""
        folders = [os.environ.get("PATH", ""), "/usr/bin", "/usr/sbin", "/usr/local/bin"]
        if installed := shutil.which("memcached", path=os.pathsep.join(folders)):
            return MemcachedBinary(installed).checked(), ""
        return _own_copy(), ""
    except NoMemcached as error:
        return None, (
            f"no memcached for the tests: {error}. Install one (on Debian, as root: apt-get update && "
            "apt-get install -y memcached), or set MEMOCACHE_MEMCACHED=/path/to/memcached."
        )


def _own_copy() -> MemcachedBinary:
    if not OWN_COPY.exists():
        return _fetched_once()
    try:
        return _copy_in(OWN_COPY).checked()
    except NoMemcached as error:
        # Not replaced here: another test run may be about to start it.
        raise NoMemcached(f"{error} (remove {OWN_COPY} to have it fetched anew)") from error


def _fetched_once() -> MemcachedBinary:
    binary, problem = _try_to_fetch()
    if binary is None:
        raise NoMemcached(problem)
    return binary


@functools.cache  # a machine without a network pays for finding that out once a run
def _try_to_fetch() -> tuple[MemcachedBinary | None, str]:
    try:
        return unpack_memcached(OWN_COPY), ""
    except NoMemcached as error:
        return None, str(error)


def _copy_in(folder: Path) -> MemcachedBinary:
    libraries = sorted({str(library.parent) for library in folder.glob("**/lib*.so.*")})
    return MemcachedBinary(str(folder / "usr/bin/memcached"), os.pathsep.join(libraries))


def unpack_memcached(folder: Path, seconds: float = UNPACK_SECONDS) -> MemcachedBinary:
    """Unpack Debian's memcached and its libraries to *folder*, without root and within *seconds*."""
    for tool in ("apt-get", "apt-cache", "dpkg"):
        if shutil.which(tool) is None:
            raise NoMemcached(f"none is installed, and without {tool} it cannot be fetched")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}-") as scratch:
            unpacked = Path(scratch, "root")
            _fetch(Path(scratch), unpacked, ticks() + seconds)
            _copy_in(unpacked).checked()
            _move_unless_there(unpacked, folder)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoMemcached(f"none is installed, and it could not be fetched: {error}") from error
    return _copy_in(folder).checked()


def _fetch(scratch: Path, unpacked: Path, deadline: float) -> None:
    def call(*command: str | Path) -> str:
        run = subprocess.run(
            command,
            cwd=scratch,
            env={**os.environ, "LC_ALL": "C"},  # what they print is parsed
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=max(0.0, deadline - ticks()),
            check=False,
        )
        if run.returncode:
            hint = "is there a network, and have the lists of packages been fetched, as root: apt-get update?"
            raise NoMemcached(f"none is installed, and {command[0]} says: {run.stderr.strip()[-300:]} ({hint})")
        return run.stdout

    # The libraries' names differ between releases (libevent-2.1-7, libevent-2.1-7t64), so they are looked up.
    words = [line.split() for line in call("apt-cache", "depends", "memcached").splitlines()]
    depends = [name for kind, name in (w for w in words if len(w) == 2) if kind == "Depends:"]
    libraries = [name for name in depends if name.startswith("lib") and not name.startswith("libc6")]
    call("apt-get", "-o", "Acquire::Retries=1", "download", "memcached", *libraries)
    for package in scratch.glob("*.deb"):
        call("dpkg", "-x", package, unpacked)


def _move_unless_there(unpacked: Path, folder: Path) -> None:
    try:
        unpacked.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another test run was faster, and its copy is as good
            raise
