"""The file of an SQLite cache: made once, moved aside when it is broken, by all processes in agreement."""

import contextlib
import glob
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterator
from typing import Final, TypeAlias

from memocache._clock import now, ticks
from memocache.backends._sqlite_path import SIDES, check_directory, check_file
from memocache.errors import BackendUnavailable

try:
    import fcntl
except ImportError:  # Windows, where nobody can rename a file that others have open
    fcntl = None  # type: ignore[assignment]

__all__ = ["DataFile", "Identity"]

log: Final = logging.getLogger("memocache")

MOST_ASIDE: Final = 3
BETWEEN_ATTEMPTS: Final = 0.005  # seconds
NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)

Identity: TypeAlias = tuple[int, int]
"""What tells a file from another of the same name: its device and its inode."""


class DataFile:
    """A file that is there when it is asked for.

    Whoever makes it or moves it aside holds the lock of a file beside it, `-lock`, which stays.
    """

    def __init__(self, path: str, timeout: float) -> None:
        self.path = path
        self._timeout = timeout

    def ready(self) -> Identity:
        """Return which file is there, made if need be; under `locked` only.

        Raises:
            ConfigurationError: others could have written it.
            OSError: it cannot be made.
        """
        try:
            status = check_file(self.path)
        except FileNotFoundError:
            for side in SIDES:  # of one that was removed, or moved aside by somebody who was killed in the middle
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.path + side)
            made = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_LINK, 0o600)
            status = os.fstat(made)
            os.close(made)
        return status.st_dev, status.st_ino

    def move_aside(self, broken: Identity, why: str) -> None:
        """Give the *broken* file another name, unless somebody else has done so; tell of it; under `locked` only."""
        try:
            status = os.lstat(self.path)
        except FileNotFoundError:
            return
        if (status.st_dev, status.st_ino) != broken:
            return
        when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now()))
        aside = f"{self.path}.corrupt-{when}-{secrets.token_hex(2)}"
        # The database first: what is then left beside it belongs to nobody (see `ready`).
        os.rename(self.path, aside)
        for side in SIDES:
            with contextlib.suppress(FileNotFoundError):
                os.rename(self.path + side, aside + side)
        log.warning("the cache in %s is broken (%s); it begins anew, and the old file is %s", self.path, why, aside)
        self._remove_oldest()

    def _remove_oldest(self) -> None:
        found = [each for each in glob.glob(glob.escape(self.path) + ".corrupt-*") if not each.endswith(SIDES)]
        for old in sorted(found, key=os.path.getmtime)[:-MOST_ASIDE]:
            for each in (old, *(old + side for side in SIDES)):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(each)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from making the file or moving it aside.

        Raises:
            ConfigurationError: the directory is not ours alone.
            BackendUnavailable: somebody else holds the lock for too long.
            OSError: the directory or the lock cannot be made.
        """
        check_directory(os.path.dirname(self.path))
        lock = os.open(self.path + "-lock", os.O_RDWR | os.O_CREAT | NO_LINK, 0o600)
        try:
            self._wait_for(lock)
            yield
        finally:
            os.close(lock)

    def _wait_for(self, lock: int) -> None:
        deadline, pause = ticks() + self._timeout, threading.Event()
        while fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if ticks() > deadline:
                    raise BackendUnavailable(f"another process holds {self.path}-lock for too long") from None
                pause.wait(BETWEEN_ATTEMPTS)
