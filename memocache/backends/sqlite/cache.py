"""SQLiteCache: values in a file, for the processes of one machine."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

from memocache._clock import now as clock
from memocache._envelope import VALUE
from memocache._policy import seconds
from memocache._url import SHARED, Url, duration, whole
from memocache.backends._lease import LeaseCache
from memocache.backends._packed import is_present
from memocache.backends.sqlite.database import Database
from memocache.backends.sqlite.path import resolved
from memocache.errors import ConfigurationError, ValueTooLarge
from memocache.serializers import Serializer
from memocache.serializers._compression import Method
from memocache.serializers._form import COMPRESS_ABOVE, Form
from memocache.serializers._signing import Secret

__all__ = ["SQLiteCache"]

GIBIBYTE: Final = 1024**3
LEAST_SIZE: Final = 1024**2
SHARE_OF_ONE: Final = 8  # one value has an eighth of all room at most
LARGEST_VALUE: Final = 10**9 - 1024  # SQLite's own limit, and some for the key


class SQLiteCache(LeaseCache):
    """A cache in an SQLite file, shared by all processes of one machine that use the same one. It outlives them.

    Create it once and keep it around: it holds one connection for each thread. The file belongs to one user: it and its
    directory are made for that user alone, and refused if others could write there. It has to lie on a local disk:
    SQLite's log, and the marks that tell the processes what has changed, are in memory that they share.

    When it is full, entries leave that nobody has asked for lately: the least recently used of a random sample. A file
    that is broken is moved aside, to a name with `.corrupt-` and the time, and the cache begins anew; so it does when
    the file is removed. After a power failure (not after a crash of the program) what was forgotten in the last moments
    may be there again: SQLite runs with synchronous=NORMAL.

    Example: `cache = SQLiteCache("~/.cache/shop/cache.db")`

    Args:
        path: the file, or an existing directory for it; the directories that are missing are made.
        default_timeout: seconds for which a value is kept that was given no timeout of its own; 0 for ever.
        key_prefix: stands before all keys, so that applications can share a file; printable ASCII, at most 100
            characters.
        timeout: seconds that one command may wait for other processes before the cache counts as down.
        serializer: makes bytes of values; None for a SafeSerializer.
        compress, compress_above, secret: as of MemcachedCache; without *compress*, nothing is compressed.
        size_limit: bytes that the file may grow to, from 1 MiB; the log and what the processes share take up to 8 MiB
            more. One value may have an eighth of it. Give all processes the same: where the file is larger, the cache
            begins anew.

    Raises:
        ConfigurationError: for options that cannot work, and for a file or a directory that is not ours alone.
    """

    def __init__(
        self,
        path: "str | os.PathLike[str]",
        default_timeout: float | str | None = 300,
        key_prefix: str = "",
        *,
        timeout: float | str = 0.5,
        serializer: Serializer | None = None,
        compress: Method | None = None,
        compress_above: int = COMPRESS_ABOVE,
        secret: Secret | None = None,
        size_limit: int = GIBIBYTE,
    ) -> None:
        deadline = seconds(timeout, "timeout")
        if deadline <= 0:
            raise ConfigurationError(f"timeout={timeout!r}; wanted: seconds above 0 that one command may take")
        if isinstance(size_limit, bool) or not isinstance(size_limit, int) or size_limit < LEAST_SIZE:
            raise ConfigurationError(f"size_limit={size_limit!r}; wanted: bytes, as an int from {LEAST_SIZE} (1 MiB)")
        self._largest = min(size_limit // SHARE_OF_ONE, LARGEST_VALUE)
        self._database = Database(resolved(path), deadline, size_limit)
        super().__init__(default_timeout, key_prefix, Form(serializer, compress, compress_above, secret))
        self._database.open()

    @classmethod
    def url_arguments(cls, url: Url) -> dict[str, Any]:
        """Read `sqlite:///path/of/cache.db?size_limit=...`."""
        url.has_only("path")
        return {"path": url.path, **url.options({**SHARED, "timeout": duration, "size_limit": whole})}

    def __repr__(self) -> str:
        return (
            f"SQLiteCache({self._database.path!r}, default_timeout={self.default_timeout:g}, "
            f"key_prefix={self._prefix!r})"
        )

    def close(self) -> None:
        """Close this thread's connection; those of other threads end with them. Another use opens it again."""
        self._database.close()

    def after_fork(self) -> None:
        """Join no flight of the parent's; its connections were closed before the fork."""
        super().after_fork()
        self._database.start_anew()

    def _node(self, key: str) -> Database:
        return self._database

    def _nodes(self) -> Sequence[Database]:
        return (self._database,)

    def _wire(self, key: str) -> str:
        return f"{self._prefix}\0{key}"

    def _check_size(self, wire: str, data: bytes) -> None:
        if len(data) > self._largest:
            raise ValueTooLarge(
                f"the value takes {len(data)} bytes, and the cache takes {self._largest} at most (an eighth of "
                "size_limit=); store less, or raise it"
            )

    def get(self, key: str) -> object:
        """Return the value under *key*, or None if there is none or it has expired."""
        data, envelope, _ = self._address(key, ()).ask()
        if data is None:
            return None
        if envelope is not None and envelope.kind == VALUE and is_present(envelope, clock()):
            return self._opened(key, envelope).value
        return super().get(key)  # a result of a function's, in its groups

    def set_many(self, mapping: Mapping[str, object], timeout: float | None = None) -> list[str]:
        """Store all of *mapping* for *timeout* seconds, in one transaction; return the keys that are stored."""
        lifetime = self.lifetime(timeout)
        if lifetime <= 0:
            self.delete_many(*mapping)
            return []
        packed = {self._wire(key): self._packed(key, value, lifetime) for key, value in mapping.items()}
        self._database.set_many(packed)
        return list(mapping)

    def delete_many(self, *keys: str) -> list[str]:
        """Delete all *keys*, in one transaction; return those that had something."""
        by_wire = {self._wire(key): key for key in keys}
        return [by_wire[wire] for wire in self._database.delete_many(by_wire)]
