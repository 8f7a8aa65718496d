"""DatabaseFile: the file of an SQLite cache; made once, moved aside when it is broken, by all processes in agreement.

With it are the memory that these processes share, and the checks that its path is ours alone.
"""

import contextlib
import errno
import functools
import glob
import logging
import math
import mmap
import os
import secrets
import stat
import threading
import time
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any, Final, TypeAlias

from memocache._clock import now, ticks
from memocache.errors import BackendUnavailable, ConfigurationError, one_line, with_article

try:
    import fcntl
except ImportError:  # Windows, where nobody can rename a file that others have open
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "CHECK_INTERVAL",
    "EVERYTHING",
    "DatabaseFile",
    "FileIdentity",
    "check_directory",
    "gate",
    "marks_of",
    "resolve_path",
]

log: Final = logging.getLogger("memocache")

MOST_ASIDE: Final = 3
CHECK_INTERVAL: Final = 0.05  # seconds until files are looked for that somebody else may have removed
BETWEEN_ATTEMPTS: Final = 0.005  # seconds
OURS: Final = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

gate: Final = threading.RLock()
"""Held in this process by whoever has a lock or opens a file, and by whoever forks: a child must not inherit either."""

Inode: TypeAlias = tuple[int, int]
FileIdentity: TypeAlias = tuple[Inode, Inode, tuple[Inode, Inode] | None]
"""The devices and inodes of a file, of `-shared`, and of SQLite's log and its index, if these are there: they tell them
from others of the same names."""


class DatabaseFile:
    """The file of a database, and another beside it, `-shared`, with a lock and the memory that is shared.

    The second one stays, whatever becomes of the first: whoever makes that or moves it aside holds the lock, and
    changes all marks.
    """

    def __init__(self, path: str, timeout: float, size_limit: int, *, allow_shared_directory: bool) -> None:
        self.path = path
        self._allow_shared = allow_shared_directory
        self.shared: SharedMemory | None = None
        self._shared_path = path + "-shared"
        self._log_path = path + "-wal"
        self._index_path = path + "-shm"
        self._index_size = 0
        self._map_inode: Inode | None = None  # which of them is in memory
        # Which files were there, with a mark from before, and until when that is valid.
        self._last_check: tuple[FileIdentity, object, float] | None = None
        self._timeout = timeout
        self._size_limit = size_limit

    def is_current(self, identity: FileIdentity) -> bool:
        """Return whether the files that are there now are these."""
        shared = self.shared
        if shared is None or not shared.is_whole():
            return False
        mark = shared.marks[0]
        if self.identity() != identity:
            return False
        self._last_check = identity, mark, ticks() + CHECK_INTERVAL
        self.keep_index()
        return True

    def was_current(self, identity: FileIdentity) -> bool:
        """Return whether that has been so a moment ago, and none of us has changed it since."""
        last, shared = self._last_check, self.shared
        if (
            last is None
            or shared is None
            or last[0] != identity
            or not shared.is_whole()
            or last[1] != shared.marks[0]
            or ticks() >= last[2]
        ):
            return self.is_current(identity)
        self.keep_index()
        return True

    def keep_index(self) -> None:
        """Give the index of SQLite's log, `-shm`, its size back if somebody has emptied it.

        SQLite has it in memory: what is missing there ends the process (SIGBUS). From zeros it makes the index anew.
        """
        try:
            size = os.stat(self._index_path).st_size
            if size < self._index_size:
                # Not by a descriptor: to close one drops SQLite's locks.
                os.truncate(self._index_path, self._index_size)
            else:
                self._index_size = size
        except OSError:
            self._index_size = 0

    def identity(self) -> FileIdentity | None:
        """Return which files are there now; None if the first or the second is missing."""
        try:
            return _inode(os.lstat(self.path)), _inode(os.lstat(self._shared_path)), self.sides()
        except OSError:  # or nobody lets us look: opening it will tell
            return None

    def sides(self) -> tuple[Inode, Inode] | None:
        """Return which log and index of it SQLite has now; None if it has not made one, or somebody has removed it."""
        try:
            return _inode(os.lstat(self._log_path)), _inode(os.lstat(self._index_path))
        except OSError:
            return None

    def _is_there(self, identity: FileIdentity) -> bool:
        """Return whether it is this file that is there now, whatever SQLite has beside it."""
        there = self.identity()
        return there is not None and there[:2] == identity[:2]

    def ensure(self) -> FileIdentity:
        """Return which file is there, made if need be; under `lock` only.

        Raises:
            ConfigurationError: others could have written it.
            OSError: it cannot be made.
        """
        try:
            status = check_file(self.path, allow_shared=self._allow_shared)
        except FileNotFoundError:
            for side in SIDES:  # of one that was removed, or moved aside by somebody who was killed in the middle
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.path + side)
            new = os.open(self.path, OURS | os.O_CREAT | os.O_EXCL, 0o600)
            status = os.fstat(new)
            os.close(new)
            self.mark_changed(EVERYTHING)
        assert self._map_inode is not None, "lock() goes first"
        return _inode(status), self._map_inode, self.sides()

    def move_aside(self, broken: FileIdentity, why: str) -> None:
        """Give the *broken* file another name, unless somebody else has done so; tell of it; under `lock` only."""
        if not self._is_there(broken):
            return
        when = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now()))
        aside = f"{self.path}.corrupt-{when}-{secrets.token_hex(2)}"
        # The database first: what is then left beside it belongs to nobody (see `ensure`).
        os.rename(self.path, aside)
        for side in SIDES:
            with contextlib.suppress(FileNotFoundError):
                os.rename(self.path + side, aside + side)
        self.mark_changed(EVERYTHING)
        log.warning(
            "the cache in %s is broken (%s); it begins anew, and the old file is %s", self.path, one_line(why), aside
        )
        self._remove_oldest()

    def _remove_oldest(self) -> None:
        found = [each for each in glob.glob(glob.escape(self.path) + ".corrupt-*") if not each.endswith(SIDES)]
        for old in sorted(found, key=os.path.getmtime)[:-MOST_ASIDE]:
            for each in (old, *(old + side for side in SIDES)):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(each)

    def remove(self, full: FileIdentity, why: str) -> None:
        """Remove the file that is *full*, unless somebody else has done so; tell of it; under `lock` only."""
        if not self._is_there(full):
            return
        for each in (self.path, *(self.path + side for side in SIDES)):  # the database first, as above
            with contextlib.suppress(FileNotFoundError):
                os.unlink(each)
        self.mark_changed(EVERYTHING)
        log.warning("the cache in %s begins anew: %s", self.path, why)

    def log_size(self) -> int:
        """Return how many bytes SQLite's log has."""
        try:
            return os.stat(self._log_path).st_size
        except OSError:
            return 0

    def room(self) -> float:
        """Return how many bytes the database and its log have, with those that are free on the disk."""
        if not hasattr(os, "statvfs"):
            return math.inf  # Windows
        disk = os.statvfs(os.path.dirname(self.path))
        return disk.f_bavail * disk.f_frsize + self.log_size() + os.stat(self.path).st_size

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep others, in this process and elsewhere, from making the file or moving it aside.

        Raises:
            ConfigurationError: the directory is not ours alone.
            BackendUnavailable: somebody else holds the lock for too long.
            OSError: the directory or the lock cannot be made.
        """
        deadline, pause = ticks() + self._timeout, threading.Event()
        while True:
            with gate:
                check_directory(os.path.dirname(self.path), allow_shared=self._allow_shared)
                check_side(self._shared_path, allow_shared=self._allow_shared)
                shared = os.open(self._shared_path, OURS | os.O_CREAT, 0o600)
                try:
                    if self._try_lock(shared):
                        self._map(shared)
                        self.keep_index()
                        yield
                        return
                finally:
                    os.close(shared)
            if ticks() > deadline:
                raise BackendUnavailable(f"another process holds {self._shared_path} for too long")
            pause.wait(BETWEEN_ATTEMPTS)

    def _try_lock(self, shared: int) -> bool:
        """Return whether we have got the lock, of the file that is there now."""
        try:
            if fcntl is not None:
                fcntl.flock(shared, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return _inode(os.lstat(self._shared_path)) == _inode(os.fstat(shared))
        except (BlockingIOError, FileNotFoundError):
            return False

    def _map(self, shared: int) -> None:
        inode = _inode(os.fstat(shared))
        if inode == self._map_inode and self.shared is not None and self.shared.is_whole():
            return
        # Those who have mapped one that was removed must not take what they know from there.
        self.mark_changed(EVERYTHING)
        # Opened again: a map keeps a copy of what it was made from, and with that the lock.
        again = os.open(self._shared_path, OURS)
        try:
            self.shared = SharedMemory(again, self._size_limit)
            self._map_inode = inode
        except BaseException:
            os.close(again)
            raise

    def mark_changed(self, ids: Iterable[int]) -> None:
        """Let all processes know that the entries with these *ids* are others now."""
        if self.shared is not None and self.shared.is_whole():  # else whoever makes it whole changes all marks
            self.shared.mark_changed(ids)

    def confirm(self, ids: Iterable[int], data: Iterable[bytes | None]) -> None:
        """Let all processes know that these *data* are what is under these *ids* now, unless somebody has."""
        if self.shared is not None and self.shared.is_whole():
            self.shared.confirm(ids, data)

    def touch(self, ids: Iterable[int]) -> None:
        """Note that the entries with these *ids* are asked for, or stored."""
        if self.shared is not None and self.shared.is_whole():
            self.shared.touch(ids, now())

    def idle_time(self, id_: int) -> int:
        """Return for how long nobody has asked for an entry, as a number to compare with those of others."""
        return 0 if self.shared is None or not self.shared.is_whole() else self.shared.idle_time(id_, now())


def _inode(status: os.stat_result) -> Inode:
    return status.st_dev, status.st_ino


# ---- shared memory ---------------------------------------------------------------------------------------------------

MARKS: Final = 4096
WIDTH: Final = 8
MARKS_SIZE: Final = MARKS * WIDTH
BEGINNING: Final = 64  # bytes of an entry in which its id is
CHECK_SUMS: Final = 2**24
TIME_WIDTH: Final = 4
LEAST_TIMES, MOST_TIMES = 2**10, 2**20
BYTES_PER_TIME: Final = 256  # of the cache: few entries shall share one
PER_SECOND: Final = 1000
WRAPS: Final = 2**32
EVERYTHING: Final = range(MARKS)
"""Ids that reach every mark."""


class SharedMemory:
    """Memory that the processes of a cache share: marks that tell of changes, and when entries were asked for.

    A mark is a random number. Whoever changes an entry changes the mark of its id once the change is committed, and
    before it is acknowledged. So as long as a mark is the one that was there before an entry was read, what was read
    still holds, and need not be read again. Random, not counted up: of two processes that count at once the slower
    would put an earlier number back.

    Between the change and its mark, one process may read the new entry while another still trusts the old one. So
    whoever reads what it has not known before makes sure of the mark, too, before it tells anybody. The last bits of a
    mark are a check sum of what it is for: that spares the next one the same.

    The times are for eviction: so a hit need not write to the file. Several entries may have a mark or a time in
    common.

    If somebody empties the file (a clean-up, a restore), whoever touches what was mapped of it is killed (SIGBUS). So
    before each use one asks whether it `is_whole`.
    """

    def __init__(self, file: int, size_limit: int) -> None:
        """Map the open *file*, filled in if it is new; only while nobody else does. It is closed with this.

        Raises:
            OSError: there is no room for it.
        """
        size = os.fstat(file).st_size
        if not _is_size(size):
            size = _initialize(file, size_limit)
        self._map = mmap.mmap(file, size)
        whole = memoryview(self._map)
        self.marks: Any = whole[:MARKS_SIZE].cast("Q")  # each is read and written in one piece
        """Read by `marks_of`."""
        self._times: Any = whole[MARKS_SIZE:].cast("I")
        self.mapped = size
        self.length: Callable[[], int] = functools.partial(os.lseek, file, 0, os.SEEK_END)
        """Returns the length of the file: below *mapped* if somebody has emptied it. fstat takes twice as long."""
        # Not at the exit of the process: what is called there after that would ask another file of the same number.
        weakref.finalize(self, os.close, file).atexit = False

    def is_whole(self) -> bool:
        """Return whether the file is as long as what was mapped of it."""
        return self.length() >= self.mapped

    def mark_changed(self, ids: Iterable[int]) -> None:
        """Let all processes know that the entries with these *ids* are others now, or EVERYTHING is."""
        if ids is EVERYTHING:
            self._map[:MARKS_SIZE] = os.urandom(MARKS_SIZE)
            return
        for id_ in ids:
            self.marks[id_ % MARKS] = int.from_bytes(os.urandom(WIDTH), "big")

    def confirm(self, ids: Iterable[int], data: Iterable[bytes | None]) -> None:
        """Let all processes know that these *data* are what is under these *ids* now, unless somebody has."""
        for id_, each in zip(ids, data, strict=True):
            check_sum = zlib.crc32(b"%d" % id_ if each is None else each[:BEGINNING], id_ & 0xFFFFFFFF) % CHECK_SUMS
            if self.marks[id_ % MARKS] % CHECK_SUMS != check_sum:
                self.marks[id_ % MARKS] = (
                    int.from_bytes(os.urandom(WIDTH), "big") // CHECK_SUMS * CHECK_SUMS + check_sum
                )

    def touch(self, ids: Iterable[int], now: float) -> None:
        """Note that the entries with these *ids* are asked for, or stored."""
        moment = int(now * PER_SECOND) % WRAPS
        times = self._times
        for id_ in ids:
            times[id_ % len(times)] = moment

    def idle_time(self, id_: int, now: float) -> int:
        """Return for how long, in milliseconds, nobody has asked for an entry; less by 49 days, if that is longer."""
        return (int(now * PER_SECOND) - int(self._times[id_ % len(self._times)])) % WRAPS


def _is_size(size: int) -> bool:
    """Return whether a file of this *size* is whole: its times are a power of two, as many as its maker needed."""
    times, rest = divmod(size - MARKS_SIZE, TIME_WIDTH)
    return not rest and times >= LEAST_TIMES and not times & (times - 1)


def _initialize(file: int, size_limit: int) -> int:
    times = min(MOST_TIMES, max(LEAST_TIMES, 1 << (size_limit // BYTES_PER_TIME).bit_length()))
    # All of it now: a process that writes to memory for which the disk has no room is killed.
    content = os.urandom(MARKS_SIZE) + bytes(times * TIME_WIDTH)
    os.ftruncate(file, 0)
    if os.write(file, content) < len(content):
        os.ftruncate(file, 0)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return len(content)


def marks_of(ids: Sequence[int]) -> Callable[[Any], object]:
    """Return a function that reads the marks of *ids*."""
    return itemgetter(*(id_ % MARKS for id_ in ids))


# ---- the path --------------------------------------------------------------------------------------------------------

FILE_NAME: Final = "memocache.db"
SIDES: Final = ("-wal", "-shm", "-journal")
"""The endings of the names of files that SQLite puts beside a database."""
WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


def resolve_path(given: object) -> str:
    """Return the absolute path of the database that *given* means; ConfigurationError if it means none."""
    wanted = "wanted: the path of a file, or of a directory for it, such as '~/.cache/shop/cache.db'"
    try:
        path = os.fspath(given)  # type: ignore[call-overload]
    except TypeError:
        raise ConfigurationError(f"path= got {with_article(type(given))}; {wanted}") from None
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigurationError(f"path={path!r}; {wanted}")
    if "://" in path:  # not shown: it may have a password
        raise ConfigurationError(f"path= got a URL; {wanted}. Of a URL, cache_from_url() makes a cache")
    if os.path.basename(path) == ":memory:" or os.path.basename(path).startswith("file:"):
        raise ConfigurationError(f"path={path!r} is no path; {wanted}. In memory, SimpleCache() is the cache")
    expanded = os.path.expanduser(path)
    if expanded.startswith("~"):
        raise ConfigurationError(
            f"path={path!r}: {path.split('/')[0]} is no user's home here; write the whole path "
            f"(or './{path}', if that is the name)"
        )
    path = os.path.join(os.getcwd(), expanded)
    if path.endswith(("/", os.sep)) or os.path.isdir(path):
        path = os.path.join(path, FILE_NAME)
    directory, name = os.path.split(path)
    # The directory itself must be no link; what leads to it may have some.
    above, own = os.path.split(directory.rstrip("/" + os.sep) or directory)
    if own in (os.curdir, os.pardir):
        return os.path.join(os.path.realpath(directory), name)
    return os.path.join(os.path.realpath(above), own, name)


def check_directory(directory: str, *, allow_shared: bool) -> None:
    """Make sure that *directory* is there, and that nobody other than us (and root) can put anything in its place.

    With *allow_shared* others may: whoever runs us trusts them.

    Raises:
        ConfigurationError: others could.
        OSError: it cannot be made.
    """
    missing = []
    lowest = directory
    while not os.path.lexists(lowest):
        missing.append(lowest)
        lowest = os.path.dirname(lowest)
    for each in reversed(missing):
        os.makedirs(each, 0o700, exist_ok=True)  # another process may be making it, too
    if not hasattr(os, "geteuid"):
        return  # Windows: who may write there is said in lists that Python does not read
    status = os.lstat(directory)
    if not stat.S_ISDIR(status.st_mode):
        raise ConfigurationError(f"{directory} is {_kind(status)}; wanted: a directory, itself and not a link to one")
    if allow_shared:
        return
    is_ours = status.st_uid == os.geteuid()
    above = _open_to_others(os.path.dirname(directory))
    if not is_ours:
        problem = f"{directory} belongs to user {status.st_uid}, and we are {os.geteuid()}"
    elif _others_may_write(status):
        problem = (
            f"others may write in {directory} (mode {stat.S_IMODE(status.st_mode):04o}), "
            "and so could put a database of theirs there"
        )
    elif above is not None:
        status = os.lstat(above)
        problem = (
            f"others may rename what is in {above} (user {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}), "
            "and so could put a database of theirs in place of the cache"
        )
    else:
        return
    remedies = []
    can_write = os.access(directory, os.W_OK | os.X_OK)
    if above is None and is_ours:
        remedies.append("run chmod go-w")
    if can_write and _open_to_others(directory) is None:
        inside = os.path.join(directory, "cache", FILE_NAME)
        remedies.append(f"put the cache into a directory of its own inside, which will be made: {inside}")
    remedies = remedies or ["choose a path that is yours"]
    if can_write:
        remedies.append(
            "if all who can write there may be trusted, as on a volume of a container, give allow_shared_directory=True"
        )
    raise ConfigurationError(f"{problem}; {'; or '.join(remedies)}")


def _open_to_others(directory: str) -> str | None:
    """Return the first from *directory* upwards in which others could rename a directory of ours; None if none."""
    while True:
        status = os.lstat(directory)
        # In a sticky directory, as /tmp is, others cannot rename or remove what is ours.
        if status.st_uid not in (0, os.geteuid()) or (_others_may_write(status) and not status.st_mode & stat.S_ISVTX):
            return directory
        if directory == os.path.dirname(directory):
            return None
        directory = os.path.dirname(directory)


def check_file(path: str, *, allow_shared: bool) -> os.stat_result:
    """Return the status of the database at *path*, after making sure that it and what is beside it are ours alone.

    Raises:
        ConfigurationError: they are not.
        FileNotFoundError: there is none.
    """
    found = os.lstat(path)
    _check_one(path, found, allow_shared)
    for side in SIDES:
        check_side(path + side, allow_shared=allow_shared)
    return found


def check_side(path: str, *, allow_shared: bool) -> None:
    """Make sure that what is at *path*, if there is anything, is a file of ours alone; else ConfigurationError."""
    with contextlib.suppress(FileNotFoundError):
        _check_one(path, os.lstat(path), allow_shared)


def _check_one(path: str, status: os.stat_result, allow_shared: bool) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"{path} is {_kind(status)}; wanted: a file. Remove it, or choose another path")
    if not hasattr(os, "geteuid"):
        return
    if status.st_uid != os.geteuid():
        raise ConfigurationError(
            f"{path} belongs to user {status.st_uid}, and we are {os.geteuid()}; give each user a cache of its own"
        )
    # Where a volume is mounted for a group, all that lies there is given to the group (fsGroup of Kubernetes).
    if status.st_mode & (stat.S_IWOTH if allow_shared else WRITABLE_BY_OTHERS):
        raise ConfigurationError(
            f"others may write to {path} (mode {stat.S_IMODE(status.st_mode):04o}), and may have done so; remove it"
        )
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        os.chmod(path, 0o600)


def _kind(status: os.stat_result) -> str:
    kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a directory", stat.S_IFREG: "a file"}
    return kinds.get(stat.S_IFMT(status.st_mode), "no ordinary file")


def _others_may_write(status: os.stat_result) -> bool:
    """Return whether others than the owner may write in a directory, be it by the owner's group."""
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not _is_own_group(status.st_gid)


def _is_own_group(group: int) -> bool:
    """Return whether *group* is our own, that has our name and nobody else in it: many systems give each user one."""
    import grp
    import pwd

    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return user.pw_gid == group and found.gr_name == user.pw_name and set(found.gr_mem) <= {user.pw_name}
