"""Connections: the connections to an SQLite file, one for each thread; the only user of sqlite3.

SQLite itself says how a database gets hurt (sqlite.org/howtocorrupt.html), and what is done here follows from that: no
connection lives through a fork, nobody else opens or closes the file (which would drop SQLite's locks), and a file that
was removed or renamed is left by everyone who has it open.
"""

import contextlib
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Final, TypeVar
from urllib.parse import quote

from memocache import _fork
from memocache._clock import ticks
from memocache._fork import around_fork
from memocache._living import Living
from memocache.backends.sqlite.file import DatabaseFile, FileIdentity, gate
from memocache.errors import BackendUnavailable, ConfigurationError, with_article

__all__ = [
    *("BESIDE", "LEAST_PAGES", "PAGE", "Connections", "DatabaseConnection", "Error", "ErrorKind", "kind_of"),
    *("VERSION", "log_pages_of", "reason_of"),
]

T = TypeVar("T")

Error: Final = sqlite3.Error

VERSION: Final = sqlite3.sqlite_version
APPLICATION: Final = 0x6D656D6F  # "memo"
SCHEMA: Final = 1
PAGE: Final = 4096
BESIDE: Final = 1024  # bytes that a row may have beside its value
OLDEST: Final = (3, 24)  # has ON CONFLICT
STATEMENTS: Final = 64
PATIENCE: Final = 5.0  # seconds
LOG_PAGES: Final = 1000  # after so many the log is carried over into the database
LEAST_PAGES: Final = 64
DELETE_TOO_LARGE: Final = "DELETE FROM entries WHERE id = ?1 AND (typeof(data) <> 'blob' OR length(data) > ?2)"
STEPS: Final = 100_000  # of SQLite's machine, after which a query is asked for how long it runs
TABLE: Final = """
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY,  -- from the digest of the key
        ends REAL NOT NULL,  -- when nobody needs it any more
        data BLOB NOT NULL
    )
"""
"""Compared with what stands in the file, to the letter."""


class CorruptDatabase(sqlite3.Error):
    """A content of the file that is ours, and makes no sense."""


class DatabaseConnection:
    """One thread's connection to one file."""

    __slots__ = (
        *("__weakref__", "_close", "_largest", "_timeout", "deadline", "execute", "identity", "is_open"),
        *("is_transacting", "lock", "sql"),
    )

    def __init__(
        self, sql: sqlite3.Connection, file: DatabaseFile, identity: FileIdentity, timeout: float, largest: int
    ) -> None:
        self.sql = sql
        self._timeout = timeout
        self._largest = largest
        self.deadline = 0.0
        """When the query that runs has taken too long; 0 until it has made many steps."""
        self.execute = sql.execute
        self.identity = identity
        # Whoever forks closes it, which must not be in the middle of a command.
        self.lock = threading.RLock()
        self.is_open = True
        self.is_transacting = False
        # Also when its thread has ended. Not by __del__: of a cycle, the garbage collector may finish SQLite's first.
        self._close = weakref.finalize(self, _close, sql, file)
        itself = weakref.ref(self)  # SQLite keeps what it calls
        sql.set_progress_handler(lambda: _is_too_late(itself()), STEPS)

    def read(self, query: str, ids: tuple[int, ...]) -> tuple[bytes | None, ...]:
        """Return the only row that answers a *query*; CorruptDatabase if there is anything other than bytes in it."""
        with self.lock:
            self.deadline = 0.0
            try:
                row: tuple[bytes | None, ...] = self.execute(query, ids).fetchone()
            except sqlite3.DataError:  # larger than any value may be
                self.sql.executemany(DELETE_TOO_LARGE, [(id_, self._largest) for id_ in ids])
                row = self.execute(query, ids).fetchone()
        for each in row:
            if each is not None and type(each) is not bytes:
                raise CorruptDatabase(f"an entry is {with_article(type(each))}")
        return row

    def transact(self, work: Callable[[], T]) -> T:
        """Return what *work* returns; all of it is done, or nothing."""
        try:
            self.is_transacting = True
            self.execute("BEGIN IMMEDIATE")
            result = work()
            self.execute("COMMIT")
            return result
        finally:
            self.is_transacting = False
            if self.is_open and self.sql.in_transaction:
                self.close()  # which undoes it, whatever has happened

    def is_too_late(self) -> bool:
        """Return whether the query that runs has taken too long; those in a transaction are as many as a user wants."""
        if not self.deadline:
            self.deadline = ticks() + self._timeout
        return not self.is_transacting and ticks() > self.deadline

    def empty(self) -> None:
        """Delete everything, and make the file small."""
        self.execute("DELETE FROM entries")
        with contextlib.suppress(sqlite3.Error):  # others are using it: then the room is used again, and not given back
            self.execute("VACUUM")
            self.empty_log()

    def size(self) -> tuple[int, int]:
        """Return how many pages there are, and how many there may be."""
        return self.execute("PRAGMA page_count").fetchone()[0], self.execute("PRAGMA max_page_count").fetchone()[0]

    def empty_log(self) -> bool:
        """Carry the log over into the database, and empty it; False if somebody reads what was there before."""
        (is_busy, _, _) = self.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not is_busy

    @property
    def is_held(self) -> bool:
        """True as long as nobody has closed it, nor weakref, when the process ends."""
        return self._close.alive

    def close(self) -> None:
        """Close it; its thread will make another when it needs one."""
        with self.lock:
            self.is_open = False
            self._close()


def _close(sql: sqlite3.Connection, file: DatabaseFile) -> None:
    file.keep_index()
    sql.close()


def _is_too_late(connection: DatabaseConnection | None) -> bool:
    return connection is not None and connection.is_too_late()


class Connections:
    """The connections of this process to one file; no value there has more bytes than *largest*."""

    def __init__(self, file: DatabaseFile, timeout: float, size_limit: int, largest: int) -> None:
        if sqlite3.sqlite_version_info < OLDEST:
            raise ConfigurationError(
                f"SQLiteCache needs SQLite {'.'.join(map(str, OLDEST))}, and here is {sqlite3.sqlite_version}; "
                "use a newer Python, or MemcachedCache"
            )
        self.file = file
        self.most_pages = size_limit // PAGE
        self._largest = largest
        self._timeout = timeout
        self.after_fork()
        _instances.add(self)

    def after_fork(self) -> None:
        """Have no connection; where uWSGI has forked, those of the parent are not closed, as that takes its locks."""
        _inherited.append(getattr(self, "_local", None))
        self._local: Any = threading.local()
        self._all: Living[DatabaseConnection] = Living()

    def current(self) -> DatabaseConnection | None:
        """Return this thread's connection, if it has one to the file that is there now."""
        return self._own(self.file.is_current)

    def current_for_reading(self) -> DatabaseConnection | None:
        """Return this thread's connection, if it has one to the file that was there a moment ago, and is for all of us.

        Whoever reads from a file that somebody else has removed since then does not know of what was forgotten later.
        """
        return self._own(self.file.was_current)

    def _own(self, is_valid: Callable[[FileIdentity], bool]) -> DatabaseConnection | None:
        if os.getpid() != _fork.pid:
            _fork.notice()
        connection: DatabaseConnection | None = getattr(self._local, "connection", None)
        return connection if connection is not None and connection.is_open and is_valid(connection.identity) else None

    def open(self) -> DatabaseConnection:
        """Return a new connection for this thread, to the file that is there now; made if there is none.

        Raises:
            ConfigurationError: the file is not ours.
            BackendUnavailable: it is kept from us for too long.
            OSError, Error: it cannot be opened.
        """
        connection = self._local.connection = self._open()
        return connection

    def close(self) -> None:
        """Close this thread's connection."""
        connection: DatabaseConnection | None = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None

    def close_all(self) -> None:
        """Close the connections of all threads, each after its command."""
        for connection in self._all:
            # Not for ever: a destructor of the user's that runs in a command may be waiting for us.
            if connection.lock.acquire(timeout=self._timeout + PATIENCE):
                try:
                    connection.close()
                finally:
                    connection.lock.release()

    def move_aside(self, connection: DatabaseConnection, why: str) -> None:
        """Give the file of *connection* another name, since it is broken."""
        with self.file.lock():
            connection.close()
            self.file.move_aside(connection.identity, why)

    def shrink(self, connection: DatabaseConnection) -> int:
        """Empty the log on a disk that is full, and let the file grow no more than fits; return to how many pages."""
        with contextlib.suppress(sqlite3.Error):
            connection.empty_log()
        return self.fit(connection)

    def begin_anew(self, connection: DatabaseConnection, why: str) -> None:
        """Remove the file of *connection*, which nothing else can make smaller."""
        with self.file.lock():
            connection.close()
            self.file.remove(connection.identity, why)

    # ---- opening ---------------------------------------------------------------------------------------------------

    def _open(self) -> DatabaseConnection:
        for _ in range(2):
            with self.file.lock():
                identity = self.file.ensure()
                if self._have_another_log(identity):
                    self.file.remove(identity, "somebody has removed SQLite's log, or the index of that")
                    identity = self.file.ensure()
                self.close()  # not before: it says which log was the right one
                connection = self._connect(identity)
                try:
                    self._prepare(connection)
                except BaseException as error:
                    connection.close()
                    if kind_of(error) is not ErrorKind.CORRUPT:
                        raise
                    self.file.move_aside(connection.identity, reason_of(error))
                else:
                    connection.identity = *identity[:2], self.file.sides()
                    self._all.add(connection)
                    return connection
        raise BackendUnavailable(f"{self.file.path} was broken twice in a row")

    def _have_another_log(self, identity: FileIdentity) -> bool:
        """Return whether connections of ours to this file have a log, or an index, that somebody has removed since.

        Whoever opens the file now does not see what is changed in that log, and may see again what was forgotten.
        """
        database, _, sides = identity
        return any(each.is_held and each.identity[0] == database and each.identity[2] != sides for each in self._all)

    def _connect(self, identity: FileIdentity) -> DatabaseConnection:
        # `rw`: SQLite itself must not make the file, whose mode would be the umask's.
        sql = sqlite3.connect(
            f"file:{quote(os.fsencode(self.file.path))}?mode=rw",
            uri=True,
            timeout=self._timeout,
            isolation_level=None,
            check_same_thread=False,  # it may be closed in another thread, by a fork or the garbage collector
            cached_statements=STATEMENTS,
        )
        sql.text_factory = _no_text
        sql.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self._largest + BESIDE)
        # Also for those that somebody makes while we have the file open; see `_check_schema`.
        sql.setlimit(sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 0)
        sql.setlimit(sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 1)
        return DatabaseConnection(sql, self.file, identity, self._timeout, self._largest)

    def _prepare(self, connection: DatabaseConnection) -> None:
        execute = connection.execute
        execute("BEGIN")  # all at one moment: somebody whose lock was removed may be making it
        (application,) = execute("PRAGMA application_id").fetchone()
        (schema,) = execute("PRAGMA user_version").fetchone()
        schema_rows = execute("SELECT type, name, sql FROM sqlite_master").fetchall()
        execute("COMMIT")
        is_new = application == 0 and not schema_rows
        if application != APPLICATION and not is_new:
            raise ConfigurationError(
                f"{self.file.path} is a database of another program (application_id {application}); "
                "choose another path, or remove it"
            )
        if not is_new and schema != SCHEMA:
            raise CorruptDatabase(f"it has schema {schema}, and this version of memocache {SCHEMA}")
        if not is_new:
            _check_schema(schema_rows)
        # The defence that sqlite.org/security.html recommends for files that somebody else may have written.
        for setting in ("trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0"):
            execute(f"PRAGMA {setting}")
        if is_new:
            execute(f"PRAGMA page_size={PAGE}")
        (mode,) = execute("PRAGMA journal_mode=WAL").fetchone()
        if mode != "wal":
            raise ConfigurationError(f"{self.file.path} lies where SQLite cannot write ahead (WAL): use a local disk")
        execute("PRAGMA synchronous=NORMAL")
        most = self.fit(connection)
        if is_new:
            connection.transact(lambda: _create_schema(execute))
        elif most > self.most_pages:  # it was made with a larger limit
            connection.empty()
            self.fit(connection)

    def fit(self, connection: DatabaseConnection) -> int:
        """Let the file grow to the limit, or to what the disk has room for; return to how many pages it may."""
        most, execute = self.most_pages, connection.execute
        room = self.file.room() / PAGE
        if most + 2 * log_pages_of(most) > room:
            most = max(LEAST_PAGES, int(room * 2 / 3))  # the log has half of the rest, and may need twice that
        log_pages = log_pages_of(most)
        execute(f"PRAGMA wal_autocheckpoint={log_pages}")
        execute(f"PRAGMA journal_size_limit={log_pages * PAGE}")
        (most,) = execute(f"PRAGMA max_page_count={most}").fetchone()  # it cannot be less than there are
        return int(most)


def log_pages_of(most_pages: int) -> int:
    """Return after how many pages the log of a database of at most so many is carried over into it."""
    return min(LOG_PAGES, most_pages // 4)


def _check_schema(rows: Sequence[tuple[str, str, str | None]]) -> None:
    """Make sure that `entries` is the table that we make, and nothing else there acts; CorruptDatabase if not.

    A view may never end, and a trigger may put back what is deleted. Tables of others do no harm.
    """
    if ("table", "entries", TABLE.strip()) not in rows:
        raise CorruptDatabase("its table is not ours")
    for kind, name, sql in rows:
        if kind != "table" or (sql or "").startswith("CREATE VIRTUAL"):
            raise CorruptDatabase(f"it has a {kind} {name}, which a cache has not")


def _create_schema(execute: Callable[..., Any]) -> None:
    execute(TABLE)
    execute(f"PRAGMA application_id={APPLICATION}")
    execute(f"PRAGMA user_version={SCHEMA}")


def _no_text(text: bytes) -> str:
    return text.decode("latin-1")  # there is none, so it must be told from bytes, whatever it is


class ErrorKind(Enum):
    """The kind of an error, as far as the next attempt depends on it."""

    CLOSED = "the connection was closed before the command began"
    FULL = "there is no room for another page"
    CORRUPT = "the content of the file makes no sense"
    BUSY = "somebody else was writing for too long"
    OTHER = "anything else"


CODES: Final = {
    sqlite3.SQLITE_FULL: ErrorKind.FULL,
    sqlite3.SQLITE_CORRUPT: ErrorKind.CORRUPT,
    sqlite3.SQLITE_NOTADB: ErrorKind.CORRUPT,
    sqlite3.SQLITE_BUSY: ErrorKind.BUSY,
    sqlite3.SQLITE_LOCKED: ErrorKind.BUSY,
}


NOT_OUR_SCHEMA: Final = (
    *("no such table", "no such column", "table entries has", "cannot modify entries"),
    *("too many levels of trigger", "too many terms in compound"),
)


def kind_of(error: BaseException) -> ErrorKind:
    """Return the kind of *error*."""
    if isinstance(error, CorruptDatabase) or is_log_too_short(error):
        return ErrorKind.CORRUPT
    if isinstance(error, sqlite3.ProgrammingError) and "closed database" in str(error):
        return ErrorKind.CLOSED
    code: int | None = getattr(error, "sqlite_errorcode", None)
    code = -1 if code is None else code & 0xFF
    if code == sqlite3.SQLITE_ERROR and str(error).startswith(NOT_OUR_SCHEMA):
        return ErrorKind.CORRUPT
    return CODES.get(code, ErrorKind.OTHER)


def is_log_too_short(error: BaseException) -> bool:
    """Return whether SQLite's log ends where it should go on: somebody has removed it, or emptied it."""
    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_IOERR_SHORT_READ


def reason_of(error: BaseException) -> str:
    """Return what to say of an *error* for which a file is moved aside."""
    return "somebody has removed or emptied SQLite's log" if is_log_too_short(error) else str(error)


# ---- forks -----------------------------------------------------------------------------------------------------------

_instances: Final[Living[Connections]] = Living()
_inherited: Final[list[object]] = []  # what must never be closed here


def _before_fork() -> None:
    # A child that inherits a connection believes that it has the parent's locks, also for those that it opens itself.
    gate.acquire()
    for connections in _instances:
        with contextlib.suppress(Exception):
            connections.close_all()


around_fork(_before_fork, gate.release)
