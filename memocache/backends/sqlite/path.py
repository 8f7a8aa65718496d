"""Where an SQLite cache lies: a path of ours alone, checked before anything is opened there."""

import contextlib
import os
import stat
from typing import Final

from memocache.errors import ConfigurationError

__all__ = ["SIDES", "check_directory", "check_file", "check_side", "resolved"]

FILE_NAME: Final = "memocache.db"
SIDES: Final = ("-wal", "-shm", "-journal")
"""What SQLite puts beside a database, as endings of its name."""
WRITABLE_BY_OTHERS: Final = stat.S_IWGRP | stat.S_IWOTH


def resolved(given: object) -> str:
    """Return the absolute path of the database that *given* means; ConfigurationError if it means none."""
    wanted = "wanted: the path of a file, or of a directory for it, such as '~/.cache/shop/cache.db'"
    try:
        path = os.fspath(given)  # type: ignore[call-overload]
    except TypeError:
        raise ConfigurationError(f"path= got a {type(given).__name__}; {wanted}") from None
    if not isinstance(path, str) or not path or "\0" in path:
        raise ConfigurationError(f"path={path!r}; {wanted}")
    if path == ":memory:" or path.startswith("file:"):
        raise ConfigurationError(f"path={path!r} is no path; {wanted}. In memory, SimpleCache() is the cache")
    path = os.path.join(os.getcwd(), os.path.expanduser(path))
    if path.endswith(("/", os.sep)) or os.path.isdir(path):
        path = os.path.join(path, FILE_NAME)
    directory, name = os.path.split(path)
    # The directory itself must be no link; what leads to it may have some.
    above, own = os.path.split(directory.rstrip("/" + os.sep) or directory)
    if own in (os.curdir, os.pardir):
        return os.path.join(os.path.realpath(directory), name)
    return os.path.join(os.path.realpath(above), own, name)


def check_directory(directory: str) -> None:
    """Make sure that *directory* is there, and that nobody but us (and root) can put anything in its place.

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
    if status.st_uid != os.geteuid():
        raise ConfigurationError(
            f"{directory} belongs to user {status.st_uid}, and we are {os.geteuid()}; put the cache into a directory "
            f"of its own inside, which will be made: {os.path.join(directory, 'cache', FILE_NAME)}"
        )
    if _is_open_to_others(status):
        raise ConfigurationError(
            f"others may write in {directory} (mode {stat.S_IMODE(status.st_mode):04o}), and so could put a database "
            f"of theirs there; run chmod go-w, or use a directory inside, which will be made"
        )
    above = directory
    while (above := os.path.dirname(above)) != directory:
        directory = above
        status = os.lstat(above)
        # In a sticky directory, as /tmp is, others cannot rename or remove what is ours.
        if status.st_uid not in (0, os.geteuid()) or (_is_open_to_others(status) and not status.st_mode & stat.S_ISVTX):
            raise ConfigurationError(
                f"others may rename what is in {above} (user {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}),"
                " and so could put a database of theirs in place of the cache; choose a path that is yours"
            )


def check_file(path: str) -> os.stat_result:
    """Return the status of the database at *path*, after making sure that it and what is beside it are ours alone.

    Raises:
        ConfigurationError: they are not.
        FileNotFoundError: there is none.
    """
    found = os.lstat(path)
    _check_one(path, found)
    for side in SIDES:
        check_side(path + side)
    return found


def check_side(path: str) -> None:
    """Make sure that what is at *path*, if there is anything, is a file of ours alone; else ConfigurationError."""
    with contextlib.suppress(FileNotFoundError):
        _check_one(path, os.lstat(path))


def _check_one(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"{path} is {_kind(status)}; wanted: a file. Remove it, or choose another path")
    if not hasattr(os, "geteuid"):
        return
    if status.st_uid != os.geteuid():
        raise ConfigurationError(
            f"{path} belongs to user {status.st_uid}, and we are {os.geteuid()}; give each user a cache of its own"
        )
    if status.st_mode & WRITABLE_BY_OTHERS:
        raise ConfigurationError(
            f"others may write to {path} (mode {stat.S_IMODE(status.st_mode):04o}), and may have done so; remove it"
        )
    if status.st_mode & (stat.S_IRGRP | stat.S_IROTH):
        os.chmod(path, 0o600)


def _kind(status: os.stat_result) -> str:
    kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a directory", stat.S_IFREG: "a file"}
    return kinds.get(stat.S_IFMT(status.st_mode), "no ordinary file")


def _is_open_to_others(status: os.stat_result) -> bool:
    """Return whether others than the owner may write in a directory, be it by the owner's group."""
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not _is_private(status.st_gid)


def _is_private(group: int) -> bool:
    """Return whether *group* is our own, that has our name and nobody else in it: many systems give each user one."""
    import grp
    import pwd

    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return user.pw_gid == group and found.gr_name == user.pw_name and set(found.gr_mem) <= {user.pw_name}
