"""One SQLite file as a node of a cache: its commands, each one statement or one transaction."""

import contextlib
import functools
import logging
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from memocache._clock import now as clock
from memocache._clock import ticks
from memocache._envelope import end_of, key_digest
from memocache.backends._breaker import Breaker
from memocache.backends._node import LONGEST_REMEMBERED, Answer
from memocache.backends.sqlite.connection import (
    PAGE,
    Connection,
    Connections,
    Error,
    is_broken,
    is_busy,
    is_closed,
    is_full,
)
from memocache.backends.sqlite.file import AT_LEAST_EVERY, EVERYTHING, DataFile
from memocache.backends.sqlite.room import MOST_EVICTIONS, evict, remove_expired
from memocache.backends.sqlite.shared import marks_of
from memocache.errors import BackendUnavailable, ConfigurationError

__all__ = ["Database"]

log: Final = logging.getLogger("memocache")

T = TypeVar("T")

ATTEMPTS: Final = 4
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


class Full(BackendUnavailable):
    """There is no room for another page."""


class Database:
    """One file, the entries in it, and a breaker for those who write or open it: readers need not wait for anybody."""

    def __init__(self, path: str, timeout: float, size_limit: int) -> None:
        self.path = path
        self._file = DataFile(path, timeout, size_limit)
        self._connections = Connections(self._file, timeout, size_limit)
        self._most_pages = size_limit // PAGE
        self.start_anew()

    def start_anew(self) -> None:
        """Have a breaker that nobody holds: in the beginning, and in a process that was forked."""
        self._breaker = Breaker()

    def open(self) -> None:
        """Open the file, made if need be; ConfigurationError if it must not be used, nothing if it cannot be now."""
        try:
            self._connections.new()
        except (BackendUnavailable, Error, OSError) as error:
            self._failed(error)

    def close(self) -> None:
        """Close this thread's connection."""
        self._connections.close()

    # ---- commands: see Node ------------------------------------------------------------------------------------------

    def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return what is under *keys*."""
        found: dict[str, bytes] = {}
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            first, others = self.reader(some[0], some[1:])()
            found.update((key, data) for key, data in zip(some, (first, *others), strict=True) if data is not None)
        return found

    def reader(self, key: str, others: Sequence[str]) -> Callable[[], Answer]:
        """Return a function that reads what is under *key* and under *others*; see Node."""
        ids = tuple(map(id_of, (key, *others)))
        question = _question(len(ids))
        marks_in = marks_of(ids)
        file = self._file
        last: tuple[Answer, object, float] | None = None  # with the marks from before, and until when it holds at most

        def read() -> Answer:
            nonlocal last
            known = last
            shared = file.shared
            marks = None if shared is None else marks_in(shared.marks)
            if known is not None and known[1] == marks and ticks() < known[2]:
                return known[0]
            row = self._read(question, ids)
            file.used(ids)
            answer = row[0], row[1:]
            if known is not None and known[0] == answer:
                answer = known[0]
            else:
                file.vouch(ids, row)
            small = row[0] is not None and len(row[0]) <= LONGEST_REMEMBERED
            last = (answer, marks, ticks() + AT_LEAST_EVERY) if small else None
            return answer

        return read

    def gets(self, key: str, *, urgent: bool = False) -> tuple[bytes | None, object]:
        """Return what is under *key*, twice: it is what a swap goes by, since no two writings are alike."""
        id_ = id_of(key)
        # Whoever was killed between a change and its mark must not keep those waiting who remember what was before.
        self._file.changed((id_,))
        (data,) = self._give(lambda on: on.read(_question(1), (id_,)), urgent=urgent)
        return data, data

    def add(self, key: str, data: bytes, expire: int) -> bool:
        """Store *data* if there is nothing under *key*."""
        added = self._store(ADD, key, data) == 1
        if not random.randrange(SOMETIMES):
            self._quietly(lambda connection: remove_expired(connection.execute, clock()))
        return added

    def cas(self, key: str, data: bytes, swap: object, expire: int) -> bool:
        """Store *data* if what is under *key* is still what was read as *swap*; remove it where *expire* is below 0."""
        if expire < 0:
            return self._change(DELETE_SAME, id_of(key), swap) == 1
        return self._store(SWAP, key, data, swap) == 1

    def set(self, key: str, data: bytes, expire: int) -> None:
        """Store *data*; tried whatever the breaker says, since it may be a forgetting."""
        self._store(SET, key, data, urgent=True)

    def delete(self, key: str) -> bool:
        """Delete what is under *key*; tried whatever the breaker says."""
        id_ = id_of(key)
        if self._change(DELETE_PRESENT, id_, clock(), urgent=True):
            return True
        self._change(DELETE, id_, urgent=True)
        return False

    def flush(self) -> None:
        """Delete everything."""
        self._give(Connection.empty, changes=EVERYTHING, urgent=True)

    # ---- many in one transaction -------------------------------------------------------------------------------------

    def set_many(self, items: Mapping[str, bytes]) -> None:
        """Store *items*, all of them."""
        rows = [_row(key, data) for key, data in items.items()]
        try:
            self._give(
                lambda on: on.transact(lambda: on.sql.executemany(SET, rows)),
                changes=[row[0] for row in rows],
                urgent=True,
            )
        except Full:
            for key, data in items.items():
                self.set(key, data, 0)

    def delete_many(self, keys: Iterable[str]) -> list[str]:
        """Delete what is under *keys*, all of it; return those that had something."""
        now, ids = clock(), {key: id_of(key) for key in keys}

        def work(execute: Callable[..., Any]) -> list[str]:
            had = [key for key, id_ in ids.items() if execute(DELETE_PRESENT, (id_, now)).rowcount]
            for id_ in ids.values():
                execute(DELETE, (id_,))
            return had

        return self._give(lambda on: on.transact(lambda: work(on.execute)), changes=list(ids.values()), urgent=True)

    # ---- how they are given ------------------------------------------------------------------------------------------

    def _read(self, question: str, ids: tuple[int, ...]) -> tuple[bytes | None, ...]:
        """Return what `_give` does, in less time where nothing goes wrong."""
        connection = self._connections.reading()
        if connection is not None:
            with contextlib.suppress(Error):
                return connection.read(question, ids)
        return self._give(lambda on: on.read(question, ids))

    def _store(self, statement: str, key: str, data: bytes, *more: object, urgent: bool = False) -> int:
        """Give a *statement* that stores *data*, with *more* values, and make room if need be."""
        for attempt in range(MOST_EVICTIONS):
            try:
                row = _row(key, data)
                self._file.used(row[:1])
                return self._change(statement, *row, *more, urgent=urgent)
            except Full as full:
                self._make_room(id_of(key), attempt, len(data), full)
        raise BackendUnavailable(f"SQLite at {self.path} has no room for {len(data)} bytes")

    def _make_room(self, around: int, attempt: int, needed: int, full: Full) -> None:
        (pages,) = self._give(lambda connection: connection.execute("PRAGMA page_count").fetchone())
        if pages + needed // PAGE + PAGES_PER_VALUE < self._most_pages:
            raise self._failed(full) from full  # it is the disk
        try:
            self._give(
                lambda on: on.transact(lambda: evict(on.execute, self._file.age, around, attempt)),
                changes=(),
                urgent=True,
            )
        except Full as error:
            raise self._failed(error) from error

    def _change(self, statement: str, id_: int, *values: object, urgent: bool = False) -> int:
        """Return how many entries a *statement* has changed: one or none."""
        return self._give(lambda on: on.execute(statement, (id_, *values)).rowcount, changes=(id_,), urgent=urgent)

    def _quietly(self, work: Callable[[Connection], object]) -> None:
        """Do *work* that may as well be left undone."""
        with contextlib.suppress(BackendUnavailable):
            self._give(work, changes=())

    def _give(
        self, work: Callable[[Connection], T], *, changes: Sequence[int] | None = None, urgent: bool = False
    ) -> T:
        """Return what *work* returns on this thread's connection.

        Args:
            work: does one statement or one transaction.
            changes: the ids of the entries that it changes, other than by removing what nobody needs; None if it only
                reads.
            urgent: it is done whatever the breaker says.

        Raises:
            BackendUnavailable: it was not done.
            Full: it needs more room than there is.
        """
        breaker, writes = self._breaker, changes is not None
        for _ in range(ATTEMPTS):
            connection = self._connections.own()
            if writes and connection is not None and connection.is_transacting:
                raise BackendUnavailable("a signal handler or a destructor came in the middle of a transaction")
            if breaker.failures and (writes or connection is None) and not urgent and not breaker.allows():
                raise BackendUnavailable(f"SQLite at {self.path} failed before and is left alone for a moment")
            try:
                if connection is None:
                    connection = self._connections.new()
                with connection.lock:
                    try:
                        answer = work(connection)
                    finally:
                        if changes:
                            self._file.changed(changes)
            except Error as error:
                if not self._is_mended(connection, error):
                    raise self._failed(error) from error
            except (OSError, BackendUnavailable, ConfigurationError) as error:
                raise self._failed(error) from error
            else:
                if writes and breaker.failures:
                    breaker.succeeded()
                return answer
        raise self._failed(BackendUnavailable("it was taken away again and again"))

    def _is_mended(self, connection: Connection | None, error: Exception) -> bool:
        """Return whether another attempt may do better after an *error*; Full if there has to be room first."""
        if connection is None:
            return False
        if is_closed(error):
            return True
        if is_full(error):
            raise Full(str(error)) from error
        if is_broken(error):
            with contextlib.suppress(OSError, BackendUnavailable, ConfigurationError):
                self._connections.move_aside(connection, str(error))
                return True
        elif not is_busy(error):
            connection.close()  # the next command begins with another
        return False

    def _failed(self, error: Exception) -> BackendUnavailable:
        message = f"SQLite at {self.path} failed: {error}"
        if self._breaker.failed():
            log.warning("%s; calls are computed until it is back", message)
        return BackendUnavailable(message)


def id_of(key: str) -> int:
    """Return the id of the entry under *key*. Should two keys ever have the same, their envelopes tell them apart."""
    return int.from_bytes(key_digest(key)[:8], "big", signed=True)


def _row(key: str, data: bytes) -> tuple[int, float, bytes]:
    return id_of(key), end_of(data), data


@functools.cache
def _question(number: int) -> str:
    """Return the statement that asks for a *number* of ids at once."""
    return f"SELECT {', '.join([GET] * number)}"
