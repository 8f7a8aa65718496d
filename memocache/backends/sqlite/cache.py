"""SQLiteCache: values in a file, for the processes of one machine.

Which entries leave: the expired ones, and when it is full, those that nobody has asked for lately. The ids of entries
are digests, so that any run of neighbours is a random sample. Of a sample around the place where room is needed the
least recently used leave, as in Redis (redis.io/docs/latest/develop/reference/eviction); so there is no order of all
entries that every hit would have to change. Neighbours, too, lie on the same pages of the file: it is there that a page
becomes free, or has room again. What is kept is as good as with LRU, measured.
"""

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar

from memocache._chance import chance
from memocache._clock import now as clock
from memocache._clock import ticks
from memocache._envelope import VALUE, end_of, key_digest
from memocache.backends._facts import ServerFacts
from memocache.backends._leases import KeyData, LeaseCache
from memocache.backends._shared import BEGINNING, Found, is_present, no_key
from memocache.backends._wire import LONGEST_REMEMBERED, Breaker, seconds_allowed
from memocache.backends.sqlite.connection import (
    BESIDE,
    LEAST_PAGES,
    PAGE,
    VERSION,
    Connections,
    DatabaseConnection,
    Error,
    ErrorKind,
    kind_of,
    log_pages_of,
    reason_of,
)
from memocache.backends.sqlite.file import (
    CHECK_INTERVAL,
    EVERYTHING,
    DatabaseFile,
    check_directory,
    marks_of,
    resolve_path,
)
from memocache.backends.urls import SHARED_OPTIONS, Url, boolean, duration, integer
from memocache.errors import BackendUnavailable, ConfigurationError, ValueTooLarge
from memocache.serializers import Serializer
from memocache.serializers._codec import COMPRESS_ABOVE, ValueCodec
from memocache.serializers._compression import Method
from memocache.serializers._signing import Secret

__all__ = ["SQLiteCache"]

T = TypeVar("T")
Execute: TypeAlias = Callable[..., Any]

GIBIBYTE: Final = 1024**3
LEAST_SIZE: Final = 1024**2
SHARE_OF_ONE: Final = 8  # one value has an eighth of all room at most
LARGEST_VALUE: Final = 10**9 - BESIDE  # by SQLite's own limit

ATTEMPTS: Final = 4
WRITTEN_BESIDE: Final = 8 * PAGE  # to the log, besides the value
PAGES_PER_VALUE: Final = 16  # that a value may need besides those for its own bytes
SOMETIMES: Final = 16  # one in so many new entries has expired ones removed
AT_ONCE: Final = 500  # keys in one statement

# ?1 is the id everywhere.
STORE: Final = "INSERT INTO entries (id, ends, data) VALUES (?1, ?2, ?3)"
ADD: Final = f"{STORE} ON CONFLICT (id) DO NOTHING"
SET: Final = f"{STORE} ON CONFLICT (id) DO UPDATE SET ends = ?2, data = ?3"
SWAP: Final = "UPDATE entries SET ends = ?2, data = ?3 WHERE id = ?1 AND data = ?4"
DELETE_PRESENT: Final = "DELETE FROM entries WHERE id = ?1 AND ends > ?2"
DELETE_SAME: Final = "DELETE FROM entries WHERE id = ?1 AND data = ?2"
DELETE: Final = "DELETE FROM entries WHERE id = ?1"
GET: Final = "(SELECT data FROM entries WHERE id = ?)"
MOST_JOINED: Final = 50  # tables; SQLite takes 64

MOST_EVICTIONS: Final = 16  # one after the other
SAMPLE: Final = 32
LEAVING: Final = 8  # one in so many of a sample
SWEPT: Final = 64
MOST_SWEEPS: Final = 8
GOOD_SWEEP: Final = 16  # after so many of them expired it is worth while to look on
LAST_ID: Final = 2**63 - 1

LISTED: Final = "#[0-9a-f]{32}"
PAGE_FROM: Final = f"""
    SELECT id, substr(data, 1, {BEGINNING}), length(data) FROM entries WHERE id >= ? AND ends > ? ORDER BY id LIMIT ?
"""
AFTER: Final = "SELECT id FROM entries WHERE id > ? ORDER BY id LIMIT ?"
BEFORE: Final = "SELECT id FROM entries WHERE id < ? ORDER BY id DESC LIMIT ?"
SWEEP: Final = """
    DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE id >= ? ORDER BY id LIMIT ?) AND ends <= ?
"""


# ---- the cache -------------------------------------------------------------------------------------------------------


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
        timeout: seconds that one command may wait for other processes before the cache is taken as down.
        serializer: makes bytes of values; None for a SafeSerializer.
        compress, compress_above, secret: as of MemcachedCache; without *compress*, nothing is compressed.
        size_limit: bytes that the file may grow to, from 1 MiB; the log and what the processes share take up to 12 MiB
            more. One value may have an eighth of it. Give all processes the same: where the file is larger, the cache
            begins anew. A disk that has less room is the limit.
        allow_shared_directory: True accepts a directory that belongs to somebody else, or in which others may write, as
            a volume of a container does. The file is ours alone all the same. Whoever can write there can remove it, or
            bring back an older one of ours.

    Raises:
        ConfigurationError: for options that cannot work, and for a file or a directory that is not ours alone.
    """

    one_machine = True

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
        allow_shared_directory: bool = False,
    ) -> None:
        allowed = seconds_allowed(timeout)
        if isinstance(size_limit, bool) or not isinstance(size_limit, int) or size_limit < LEAST_SIZE:
            raise ConfigurationError(f"size_limit={size_limit!r}; wanted: bytes, as an int from {LEAST_SIZE} (1 MiB)")
        if not isinstance(allow_shared_directory, bool):
            raise ConfigurationError(f"allow_shared_directory={allow_shared_directory!r}; wanted: True or False")
        self._largest = min(size_limit // SHARE_OF_ONE, LARGEST_VALUE)
        self._database = Database(
            resolve_path(path), allowed, size_limit, self._largest, allow_shared_directory=allow_shared_directory
        )
        super().__init__(default_timeout, key_prefix, ValueCodec(serializer, compress, compress_above, secret))
        self._database.open()

    @classmethod
    def url_arguments(cls, url: Url) -> dict[str, Any]:
        """Read `sqlite:///path/of/cache.db?size_limit=...`."""
        url.allow_only("path")
        if url.path.startswith("/~"):
            raise url.error("a ~ means nothing in it; write the whole path, such as sqlite:///home/ann/cache.db")
        types = {"timeout": duration, "size_limit": integer, "allow_shared_directory": boolean}
        arguments = {"path": url.path, **url.options({**SHARED_OPTIONS, **types})}
        if url.must_exist:
            path = resolve_path(url.path)
            try:
                size = os.lstat(path).st_size
            except OSError as error:
                raise url.error(f"there is no file {path} to look at: {error.strerror}; give its whole path") from None
            # A file that is larger than the limit begins anew, and a value is deleted that is larger than its share:
            # whoever only looks need not know the limit of those who write.
            arguments.setdefault("size_limit", max(GIBIBYTE, SHARE_OF_ONE * size))
        return arguments

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
        self._database.after_fork()

    def _node(self, key: str) -> "Database":
        return self._database

    def _nodes(self) -> "Sequence[Database]":
        return (self._database,)

    def _wire(self, key: str) -> str:
        try:
            return self._prefix + "\0" + key
        except TypeError:
            raise no_key(key) from None

    def _check_size(self, wire: str, data: bytes) -> None:
        if len(data) > self._largest:
            raise ValueTooLarge(
                f"the value takes {len(data)} bytes, and the cache takes {self._largest} at most (an eighth of "
                "size_limit=); store less, or raise it"
            )

    def get(self, key: str) -> object:
        """Return the value under *key*, or None if there is none or it has expired."""
        data, envelope, *_ = self._prepare(key, ()).ask()
        if data is None:
            return None
        if envelope is not None and envelope.kind == VALUE and is_present(envelope, clock()):
            return self._opened(key, envelope).value
        return super().get(key)  # a result of a function's, with its tags

    def facts(self) -> list[ServerFacts]:
        """Return what is known of the file."""
        return [self._database.facts()]

    def _places(self, start: str, tag: str) -> Iterator[Sequence[Found]]:
        """Return the entries that are in *tag*, if any, page by page: keys are not kept in the file."""
        for page in self._database.pages():
            yield [each for each in page if not tag or tag.encode() in each.data]

    def _found(self, places: Sequence[Found]) -> Iterator[Found]:
        return iter(places)

    def forget_listed(self, key: str) -> bool:
        """Delete the entry whose key has this digest."""
        if not re.fullmatch(LISTED, key):
            return self.forget(key)
        return self._database.delete_id(int.from_bytes(bytes.fromhex(key[1:])[:8], "big", signed=True))

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


# ---- the database ----------------------------------------------------------------------------------------------------


class DatabaseFull(BackendUnavailable):
    """A lack of room for another page."""


class Database:
    """One file with entries, as a LeaseServer; its commands are one statement or one transaction each.

    It has a breaker for those who write or open it: readers need not wait for anybody.
    """

    def __init__(
        self, path: str, timeout: float, size_limit: int, largest: int, *, allow_shared_directory: bool
    ) -> None:
        self.path = path
        self._file = DatabaseFile(path, timeout, size_limit, allow_shared_directory=allow_shared_directory)
        self._connections = Connections(self._file, timeout, size_limit, largest)
        self._most_logged = 2 * log_pages_of(size_limit // PAGE) * PAGE
        self._written = 0  # bytes, about, since the log was looked at
        self.after_fork()

    def after_fork(self) -> None:
        """Have a breaker that nobody holds, and no connection: in the beginning, and in a process that was forked."""
        self._breaker = Breaker(f"SQLite at {self.path}")
        self._connections.after_fork()

    def open(self) -> None:
        """Open the file, made if need be; ConfigurationError if it must not be used, nothing if it cannot be now."""
        try:
            self._connections.open()
        except (BackendUnavailable, Error, OSError) as error:
            self._breaker.failure(str(error))

    def close(self) -> None:
        """Close this thread's connection."""
        self._connections.close()

    # ---- commands: see LeaseServer -------------------------------------------------------------------------------

    def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return what is under *keys*."""
        found: dict[str, bytes] = {}
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            first, others = self.reader(some[0], some[1:])()
            found.update((key, data) for key, data in zip(some, (first, *others), strict=True) if data is not None)
        return found

    def reader(self, key: str, others: Sequence[str]) -> Callable[[], KeyData]:
        """Return a function that reads what is under *key* and under *others*; see LeaseServer."""
        ids = tuple(map(id_of, (key, *others)))
        query = _select(len(ids))
        marks_in = marks_of(ids)
        file = self._file
        last: tuple[KeyData, object, float] | None = None  # with the marks from before, and until when it holds at most

        def read() -> KeyData:
            nonlocal last
            known = last  # another thread may change it meanwhile
            shared = file.shared
            marks = marks_in(shared.marks) if shared is not None and shared.length() >= shared.mapped else None
            if known is not None and known[1] == marks and marks is not None and ticks() < known[2]:
                return known[0]
            row = self._read(query, ids)
            file.touch(ids)
            answer = row[0], row[1:]
            if known is not None and known[0] == answer:
                answer = known[0]
            else:
                file.confirm(ids, row)
            small = row[0] is not None and len(row[0]) <= LONGEST_REMEMBERED
            last = (answer, marks, ticks() + CHECK_INTERVAL) if small else None
            return answer

        return read

    def gets(self, key: str, *, urgent: bool = False) -> tuple[bytes | None, object]:
        """Return what is under *key*, twice: it is what a swap goes by, since no two writings are alike."""
        id_ = id_of(key)
        # Whoever was killed between a change and its mark must not keep those waiting who remember what was before.
        self._file.mark_changed((id_,))
        (data,) = self._run(lambda connection: connection.read(_select(1), (id_,)), urgent=urgent)
        return data, data

    def add(self, key: str, data: bytes, expire: int) -> bool:
        """Store *data* if there is nothing under *key*."""
        added = self._store(ADD, key, data) == 1
        if not chance.randrange(SOMETIMES):
            with contextlib.suppress(BackendUnavailable):  # it may as well be left undone
                self._run(lambda connection: remove_expired(connection.execute, clock()), changes=())
        return added

    def cas(self, key: str, data: bytes, swap: object, expire: int) -> bool:
        """Store *data* if what is under *key* is still what was read as *swap*; remove it where *expire* is below 0."""
        if expire < 0:
            return self._change(DELETE_SAME, id_of(key), swap) == 1
        return self._store(SWAP, key, data, swap) == 1

    def set(self, key: str, data: bytes, expire: int) -> None:
        """Store *data*; tried whatever the breaker says, since it may be a forgetting."""
        self._store(SET, key, data, urgent=True)

    def delete(self, keys: Sequence[str], beside: Sequence[str] = ()) -> bool:
        """Delete what is under *keys* and *beside*, at one moment; tried whatever the breaker says.

        One statement deletes all: between two, somebody could compute anew, and the second would delete that. It is no
        transaction, in the middle of which a signal handler could not do the same.
        """
        ids, now = tuple(map(id_of, (*keys, *beside))), clock()
        own = ids[: len(keys)]

        def delete(connection: DatabaseConnection) -> bool:
            had = connection.execute(_select_present(len(own)), (*own, now)).fetchone()
            deleted = connection.execute(_delete(len(ids)), ids).rowcount
            return had is not None and deleted > 0  # else somebody else has deleted it meanwhile

        return self._forget(delete, ids, True)

    def flush(self) -> None:
        """Delete everything."""
        self._forget(DatabaseConnection.empty, EVERYTHING, None)

    def facts(self) -> ServerFacts:
        """Return the facts of the file: its size, what it may grow to, and whether others may write beside it."""
        pages, most = self._run(DatabaseConnection.size)
        values = {"version": VERSION, "size": str(pages * PAGE), "size_limit": str(most * PAGE)}
        directory = os.path.dirname(self.path)
        try:
            check_directory(directory, allow_shared=False)
        except ConfigurationError:
            return ServerFacts("sqlite", self.path, values, open_to_others=directory)
        return ServerFacts("sqlite", self.path, values)

    # ---- what there is -------------------------------------------------------------------------------------------

    def pages(self) -> Iterator[list[Found]]:
        """Return what has not expired, page by page."""
        now, first = clock(), -LAST_ID - 1
        while True:
            rows = self._run(functools.partial(_page, arguments=(first, now, AT_ONCE)))
            # Somebody else may have put there what are no bytes.
            yield [Found("", data, size) for _, data, size in rows if type(data) is bytes]
            if len(rows) < AT_ONCE or rows[-1][0] == LAST_ID:
                return
            first = rows[-1][0] + 1

    def delete_id(self, id_: int) -> bool:
        """Delete the entry with this *id_*; tried whatever the breaker says."""
        return self._forget(lambda connection: connection.execute(DELETE, (id_,)).rowcount > 0, [id_], True)

    # ---- many in one transaction -------------------------------------------------------------------------------------

    def set_many(self, items: Mapping[str, bytes]) -> None:
        """Store *items*, all of them."""
        rows = [_row(key, data) for key, data in items.items()]
        try:
            self._run(
                lambda connection: connection.transact(lambda: connection.sql.executemany(SET, rows)),
                changes=[row[0] for row in rows],
                urgent=True,
            )
        except DatabaseFull:
            for key, data in items.items():
                self.set(key, data, 0)

    def delete_many(self, keys: Iterable[str]) -> list[str]:
        """Delete what is under *keys*, all of it; return those that had something."""
        now, ids = clock(), {key: id_of(key) for key in keys}

        def delete(execute: Execute) -> list[str]:
            had = [key for key, id_ in ids.items() if execute(DELETE_PRESENT, (id_, now)).rowcount]
            for id_ in ids.values():
                execute(DELETE, (id_,))
            return had

        return self._forget(
            lambda connection: connection.transact(lambda: delete(connection.execute)), list(ids.values()), list(ids)
        )

    # ---- how they are given ------------------------------------------------------------------------------------------

    def _read(self, query: str, ids: tuple[int, ...]) -> tuple[bytes | None, ...]:
        """Return what `_run` does, in less time where nothing goes wrong."""
        connection = self._connections.current_for_reading()
        if connection is not None:
            with contextlib.suppress(Error):
                return connection.read(query, ids)
        return self._run(lambda connection: connection.read(query, ids))

    def _store(self, statement: str, key: str, data: bytes, *more: object, urgent: bool = False) -> int:
        """Give a *statement* that stores *data*, with *more* values, and make room if need be."""
        for attempt in range(MOST_EVICTIONS):
            try:
                row = _row(key, data)
                self._file.touch(row[:1])
                self._written += len(data)
                return self._change(statement, *row, *more, urgent=urgent)
            except DatabaseFull as full:
                self._make_room(id_of(key), attempt, len(data), full)
        raise BackendUnavailable(f"SQLite at {self.path} has no room for {len(data)} bytes")

    def _make_room(self, around: int, attempt: int, needed: int, full: DatabaseFull) -> None:
        pages, most = self._run(DatabaseConnection.size)
        if pages + needed // PAGE + PAGES_PER_VALUE < most:  # it is the disk
            if pages <= LEAST_PAGES:
                raise self._breaker.failure(str(full)) from full
            most = self._run(self._connections.shrink)
        if needed // PAGE > most // SHARE_OF_ONE:
            raise BackendUnavailable(f"the disk of SQLite at {self.path} has no room for {needed} bytes") from full
        try:
            self._run(
                lambda connection: connection.transact(
                    lambda: evict(connection.execute, self._file.idle_time, around, attempt)
                ),
                changes=(),
                urgent=True,
            )
        except DatabaseFull as error:  # there is not even room for the log of that
            self._begin_anew(str(error))

    def _begin_anew(self, why: str) -> None:
        """Remove the file, and what it holds on the disk, where nothing else makes room."""
        try:
            connection = self._connections.current() or self._connections.open()
            self._connections.begin_anew(connection, why)
        except (Error, OSError, ConfigurationError) as error:
            raise self._breaker.failure(str(error)) from error

    def _keep_log_small(self) -> None:
        """Empty the log if it has grown. Whoever reads for long keeps it from that: then begin anew, and leave him."""
        self._written = 0
        if self._file.log_size() <= self._most_logged:
            return
        with contextlib.suppress(BackendUnavailable):  # the next one may
            if not self._run(DatabaseConnection.empty_log, changes=()):
                self._begin_anew("somebody reads from it for long, and its log would grow without a limit")

    def _forget(self, work: Callable[[DatabaseConnection], T], changes: Sequence[int], everything: T) -> T:
        """Return what *work* returns, which deletes; where the disk has no room even for that, delete *everything*."""
        try:
            return self._run(work, changes=changes, urgent=True)
        except DatabaseFull as full:
            self._begin_anew(str(full))
            return everything

    def _change(self, statement: str, id_: int, *values: object, urgent: bool = False) -> int:
        """Return how many entries a *statement* has changed: one or none."""
        return self._run(
            lambda connection: connection.execute(statement, (id_, *values)).rowcount, changes=(id_,), urgent=urgent
        )

    def _run(
        self, work: Callable[[DatabaseConnection], T], *, changes: Sequence[int] | None = None, urgent: bool = False
    ) -> T:
        """Return what *work* returns on this thread's connection.

        Args:
            work: does one statement or one transaction.
            changes: the ids of the entries that it changes, other than by removing what nobody needs; None if it only
                reads.
            urgent: it is done whatever the breaker says.

        Raises:
            BackendUnavailable: it was not done.
            DatabaseFull: it needs more room than there is.
        """
        breaker, writes = self._breaker, changes is not None
        if writes and self._written > self._most_logged // 8:
            self._keep_log_small()
        for _ in range(ATTEMPTS):
            connection = self._connections.current()
            if writes and connection is not None and connection.is_transacting:
                raise BackendUnavailable("a signal handler or a destructor came in the middle of a transaction")
            if writes or connection is None:
                breaker.guard(urgent=urgent)
            try:
                if connection is None:
                    connection = self._connections.open()
                with connection.lock:
                    try:
                        connection.deadline = 0.0
                        answer = work(connection)
                    finally:
                        if changes:
                            self._file.mark_changed(changes)
            except Error as error:
                if not self._recover(connection, error):
                    raise self._breaker.failure(str(error)) from error
            except (OSError, BackendUnavailable, ConfigurationError) as error:
                raise self._breaker.failure(str(error)) from error
            else:
                if writes:
                    breaker.succeeded()
                    self._written += WRITTEN_BESIDE
                return answer
        raise self._breaker.failure("it was taken away again and again")

    def _recover(self, connection: DatabaseConnection | None, error: Exception) -> bool:
        """Return whether another attempt may do better after an *error*; DatabaseFull if there has to be room first."""
        if connection is None:
            return False
        kind = kind_of(error)
        if kind is ErrorKind.FULL:
            raise DatabaseFull(str(error)) from error
        if kind is ErrorKind.CORRUPT:
            with contextlib.suppress(OSError, BackendUnavailable, ConfigurationError):
                self._connections.move_aside(connection, reason_of(error))
                return True
        if kind is ErrorKind.OTHER or kind is ErrorKind.CLOSED:  # the latter also by weakref, when the process ends
            connection.close()  # the next command begins with another
        return kind is ErrorKind.CLOSED


def id_of(key: str) -> int:
    """Return the id of the entry under *key*. Should two keys ever have the same, their envelopes tell them apart."""
    return int.from_bytes(key_digest(key)[:8], "big", signed=True)


def _page(connection: DatabaseConnection, arguments: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = connection.execute(PAGE_FROM, arguments).fetchall()
    return rows


def _row(key: str, data: bytes) -> tuple[int, float, bytes]:
    return id_of(key), end_of(data), data


@functools.cache
def _select(number: int) -> str:
    """Return the statement that asks for a *number* of ids at once."""
    if number > MOST_JOINED:
        return f"SELECT {', '.join([GET] * number)}"
    # An expression of its own would be a copy of a value, which takes 40 % longer where that is large.
    joined = "".join(f" LEFT JOIN entries e{at} ON e{at}.id = ?" for at in range(number))
    return f"SELECT {', '.join(f'e{at}.data' for at in range(number))} FROM (SELECT 1){joined}"


@functools.cache
def _select_present(number: int) -> str:
    """Return the statement that gives a row if there is one of a *number* of ids that has not ended by then."""
    return f"SELECT 1 FROM entries WHERE id IN ({', '.join('?' * number)}) AND ends > ? LIMIT 1"


@functools.cache
def _delete(number: int) -> str:
    """Return the statement that deletes a *number* of ids at once."""
    return f"DELETE FROM entries WHERE id IN ({', '.join('?' * number)})"


def evict(execute: Execute, idle_time: Callable[[int], int], around: int, attempt: int) -> None:
    """Remove the longest idle of the entries around an id; more with each *attempt*."""
    size = SAMPLE << attempt
    sample = [*execute(AFTER, (around, size // 2)), *execute(BEFORE, (around, size // 2))]
    ids = sorted((id_ for (id_,) in sample), key=idle_time, reverse=True)
    # A large value needs whole pages, which only become free when there is little left on them.
    share = max(2, LEAVING >> attempt)
    for id_ in ids[: max(1, len(ids) // share)]:
        execute(DELETE, (id_,))


def remove_expired(execute: Execute, now: float) -> None:
    """Remove expired entries here and there; more, where there are many."""
    for _ in range(MOST_SWEEPS):
        if execute(SWEEP, (chance.randint(-LAST_ID, LAST_ID), SWEPT, now)).rowcount < GOOD_SWEEP:
            return
