"""The file of an SQLite cache: made once, moved aside when it is broken, by all processes in agreement."""

import contextlib
import glob
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

from memocache._clock import now, ticks
from memocache.backends.sqlite.path import SIDES, check_directory, check_file, check_side
from memocache.backends.sqlite.shared import EVERYTHING, Shared
from memocache.errors import BackendUnavailable

try:
    import fcntl
except ImportError:  # Windows, where nobody can rename a file that others have open
    fcntl = None  # type: ignore[assignment]

__all__ = ["AT_LEAST_EVERY", "EVERYTHING", "DataFile", "Identity", "gate"]

log: Final = logging.getLogger("memocache")

MOST_ASIDE: Final = 3
AT_LEAST_EVERY: Final = 0.05  # seconds until files are looked for that somebody else may have removed
BETWEEN_ATTEMPTS: Final = 0.005  # seconds
OURS: Final = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

gate: Final = threading.RLock()
"""Held in this process by whoever has a lock or opens a file, and by whoever forks: a child must not inherit either."""

Identity: TypeAlias = tuple[tuple[int, int], tuple[int, int]]
"""What tells a file and the one beside it from others of the same names: their devices and inodes."""


class DataFile:
    """A file that is there when it is asked for.

    Beside it is another, `-shared`, with a lock and the memory that is shared. It stays, whatever becomes of the first:
    whoever makes that or moves it aside holds the lock, and changes all marks.
    """

    def __init__(self, path: str, timeout: float, size_limit: int) -> None:
        self.path = path
        self.shared: Shared | None = None
        self._beside = path + "-shared"
        self._mapped: tuple[int, int] | None = None  # which of them is in memory
        self._seen: tuple[Identity, object, float] | None = None  # with a mark from before, and until when that counts
        self._timeout = timeout
        self._size_limit = size_limit

    def is_still(self, identity: Identity) -> bool:
        """Return whether the files that are there now are these."""
        mark = None if self.shared is None else self.shared.marks[0]
        if self.identity() != identity:
            return False
        self._seen = identity, mark, ticks() + AT_LEAST_EVERY
        return True

    def was_just(self, identity: Identity) -> bool:
        """Return whether that has been so a moment ago, and none of us has changed it since."""
        seen, shared = self._seen, self.shared
        if seen is None or shared is None or seen[0] != identity or seen[1] != shared.marks[0] or ticks() >= seen[2]:
            return self.is_still(identity)
        return True

    def identity(self) -> Identity | None:
        """Return which files are there now; None if one is missing."""
        try:
            return _which(os.lstat(self.path)), _which(os.lstat(self._beside))
        except OSError:  # or nobody lets us look: opening it will tell
            return None

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
            made = os.open(self.path, OURS | os.O_CREAT | os.O_EXCL, 0o600)
            status = os.fstat(made)
            os.close(made)
            self.changed(EVERYTHING)
        return _which(status), _which(os.lstat(self._beside))

    def move_aside(self, broken: Identity, why: str) -> None:
        """Give the *broken* file another name, unless somebody else has done so; tell of it; under `locked` only."""
        if self.identity() != broken:
            return
        when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now()))
        aside = f"{self.path}.corrupt-{when}-{secrets.token_hex(2)}"
        # The database first: what is then left beside it belongs to nobody (see `ready`).
        os.rename(self.path, aside)
        for side in SIDES:
            with contextlib.suppress(FileNotFoundError):
                os.rename(self.path + side, aside + side)
        self.changed(EVERYTHING)
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
        """Keep others, in this process and elsewhere, from making the file or moving it aside.

        Raises:
            ConfigurationError: the directory is not ours alone.
            BackendUnavailable: somebody else holds the lock for too long.
            OSError: the directory or the lock cannot be made.
        """
        deadline, pause = ticks() + self._timeout, threading.Event()
        while True:
            with gate:
                check_directory(os.path.dirname(self.path))
                check_side(self._beside)
                shared = os.open(self._beside, OURS | os.O_CREAT, 0o600)
                try:
                    if self._is_locked(shared):
                        self._map(shared)
                        yield
                        return
                finally:
                    os.close(shared)
            if ticks() > deadline:
                raise BackendUnavailable(f"another process holds {self._beside} for too long")
            pause.wait(BETWEEN_ATTEMPTS)

    def _is_locked(self, shared: int) -> bool:
        """Return whether we have got the lock, of the file that is there now."""
        try:
            if fcntl is not None:
                fcntl.flock(shared, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _which(os.lstat(self._beside)) == _which(os.fstat(shared))
        except (BlockingIOError, FileNotFoundError):
            return False

    def _map(self, shared: int) -> None:
        which = _which(os.fstat(shared))
        if which == self._mapped:
            return
        # Those who have mapped one that was removed must not take what they know from there.
        self.changed(EVERYTHING)
        # Opened again: a map keeps a copy of what it was made from, and with that the lock.
        again = os.open(self._beside, OURS)
        try:
            self.shared = Shared(again, self._size_limit)
            self._mapped = which
        finally:
            os.close(again)

    def changed(self, ids: Iterable[int]) -> None:
        """Let all processes know that the entries with these *ids* are others now."""
        if self.shared is not None:
            self.shared.change(ids)

    def vouch(self, ids: Iterable[int], data: Iterable[bytes | None]) -> None:
        """Let all processes know that these *data* are what is under these *ids* now, unless somebody has."""
        if self.shared is not None:
            self.shared.vouch(ids, data)

    def used(self, ids: Iterable[int]) -> None:
        """Note that the entries with these *ids* are asked for, or stored."""
        if self.shared is not None:
            self.shared.use(ids, now())

    def age(self, id_: int) -> int:
        """Return for how long nobody has asked for an entry, as a number to compare with those of others."""
        return 0 if self.shared is None else self.shared.age(id_, now())


def _which(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
