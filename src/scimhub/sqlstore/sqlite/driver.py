"""SQLite itself: opening connections with the right settings, the lock file, and what the driver's faults mean."""

import errno
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import apsw

from scimhub.directory.errors import StoreUnavailable, StoreUnusable
from scimhub.sqlstore.connection import Row, SqlValue
from scimhub.sqlstore.dialect import Dialect
from scimhub.sqlstore.sqlite.dialect import SQLITE
from scimhub.sqlstore.text_index import GONE

# Near 4,000 pages a checkpoint is short enough; 20,000 gave a p99 of 62-118 ms. See also ``checkpoints``.
_CHECKPOINT_PAGES = 4000
_BUSY_MILLISECONDS = 5000
_STATEMENTS_CACHED = 256
_MAPPED = 4 * 1024**3
_LARGEST_IDLE_WAL = 64 * 1024 * 1024
# SQLite's file access for one process with many connections: one lock on the file for as long as it is open, in place of
# two calls to the kernel for each statement and four for each commit, and no -shm file. Another process finds it locked.
_ONE_PROCESS = "unix-excl"


def create_file(path: Path) -> None:
    """Make sure that the file is there and only its owner may read it; SQLite gives the -wal file the same mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    os.chmod(path, 0o600)


def open_connection(
    path: Path, *, writes: bool, cache_mib: int, synchronous: str = "FULL", mapped: bool = False
) -> "SqliteConnection":
    """A connection to an existing database file in WAL mode. One that does not write refuses to.

    ``mapped`` spares copying pages: the members of a large group, whose rows lie apart, come three times faster. Each
    commit of the writer takes the mapping away, so that for short reads it costs more than it spares.
    """
    connection = SqliteConnection(
        str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=_ONE_PROCESS, statementcachesize=_STATEMENTS_CACHED
    )
    connection.set_busy_timeout(_BUSY_MILLISECONDS)
    # A misspelt column name in double quotes must be an error, not a text.
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
    connection.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
    # Else SQLite looks at bound values when it plans, and compiles many a statement anew at every call: five times slower.
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
    connection.execute(f"PRAGMA cache_size = {-1024 * cache_mib}")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA journal_mode = WAL")
    if writes:
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {_LARGEST_IDLE_WAL}")
        # Only administration tables declare references; the hot tables pay nothing for this.
        connection.execute("PRAGMA foreign_keys = ON")
    else:
        connection.execute("PRAGMA query_only = ON")
    if mapped:
        connection.execute(f"PRAGMA mmap_size = {_MAPPED}")
    return connection


_NEWEST_KEY = "SELECT seq FROM sqlite_sequence WHERE name = 'resources'"


class SqliteConnection(apsw.Connection):
    """A connection of the driver that is one of ``sqlstore.connection`` as well."""

    dialect: Dialect = SQLITE
    # The last key that was given out, once the file has been asked; only the writer gives any.
    _newest_key: int | None = None

    @cached_property
    def kept(self) -> apsw.Cursor:
        """One cursor for all statements that are carried out to their end at once: to make one costs half a microsecond."""
        return self.cursor()

    def execute(self, sql: str, values: tuple[SqlValue, ...] | None = None, /) -> Any:  # type: ignore[override]
        # What has no values may be a pragma, whose row nobody reads: a cursor that is kept would keep it going.
        if values is None:
            return super().execute(sql)
        # It is not given out, since whoever has it could close it.
        self.kept.execute(sql, values)
        return None

    def executemany(self, sql: str, rows: Iterable[tuple[SqlValue, ...]], /) -> None:  # type: ignore[override]
        self.kept.executemany(sql, rows)

    def fetch(self, sql: str, values: tuple[SqlValue, ...] = (), /) -> list[Row]:
        # To the end, so that no read holds the write-ahead log back.
        return self.kept.execute(sql, values).fetchall()

    def fetch_one(self, sql: str, values: tuple[SqlValue, ...] = (), /) -> Row:
        # Most have one: to reset a statement that stands before its end takes a call of its own.
        rows = self.kept.execute(sql, values).fetchall()
        return rows[0] if rows else None

    def run(self, sql: str, values: tuple[SqlValue, ...] = (), /) -> int:
        self.kept.execute(sql, values)
        return self.changes()

    @property
    def written(self) -> int:
        return self.total_changes()

    @property
    def is_spoilt(self) -> bool:
        return False

    def has_lost(self, error: Exception) -> bool:
        # SQLite rolls everything back by itself on some faults; then the neighbours' writes are gone as well.
        return is_unavailable(error) or not self.in_transaction

    def new_key(self) -> int:
        if self._newest_key is None:
            # The file remembers keys of rows that are gone.
            newest = self.fetch_one(_NEWEST_KEY)
            self._newest_key = 0 if newest is None else int(newest[0])
        self._newest_key += 1
        return self._newest_key

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        self.execute("BEGIN")
        try:
            yield
        finally:
            if self.in_transaction:
                self.execute("COMMIT")


# What to do with a database that is damaged.
RESTORE = "restore a backup with: scimhub restore FILE --force"


@contextmanager
def opening(path: Path, *, when_damaged: str = RESTORE) -> Iterator[None]:
    """Turns the faults of opening a file into StoreUnusable; ``when_damaged`` says what to do if it is that."""
    try:
        yield
    except (apsw.Error, OSError) as error:
        raise StoreUnusable(f"The database {path} cannot be opened: {_why_not_opened(error, when_damaged)}") from error


def _why_not_opened(error: BaseException, when_damaged: str) -> str:
    """Why, and what to do about it."""
    if isinstance(error, PermissionError):
        return f"this user may not open {error.filename}; run the command as the user of the hub, or give that user the files."
    if isinstance(error, OSError):
        advice = _ADVICE.get(error.errno or 0, "set SCIMHUB_DATABASE to the path of a file")
        return f"{error.filename}: {error.strerror}; {advice}."
    if isinstance(error, apsw.NotADBError):
        return f"it is no SQLite database; name the right file, or {when_damaged}."
    if isinstance(error, apsw.CorruptError):
        return f"it is damaged; {when_damaged}."
    return str(unavailable(error) if is_unavailable(error) else error)


_ADVICE = {
    errno.ENOSPC: "make room, and try again",
    errno.EDQUOT: "make room, and try again",
    errno.EROFS: "have that disk mounted for writing, or set SCIMHUB_DATABASE to a file on another one",
}


# Seconds. A verb of the command line has the lock for less, and must not keep a hub from starting.
_PATIENCE = 2.0


def _lock(descriptor: int, patience: float) -> None:
    """Lock the file; raises BlockingIOError when another process still has it after so many seconds."""
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.02)
        else:
            return


class FileLock:
    """The right to be the one process that has the database open (DECISIONS 22). It ends with the process."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock or raise StoreUnusable naming the process that has it, and goes on having it for a while."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor, _PATIENCE)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreUnusable(
                f"The database is in use by process {holder}; one process at a time may open it ({self._path} is locked). "
                "With PostgreSQL several may: SCIMHUB_DATABASE=postgresql://…"
            ) from error
        # The number is for the message above only: on a full disk it is missed, and nothing else.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back. The file stays: removing it could take the lock from a process that just opened it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


# Faults after which nothing can be said about the transaction, with what an administrator should look at.
_UNAVAILABLE: dict[type[BaseException], str] = {
    apsw.FullError: "The disk, or the database's page limit, is full; make room, and try again",
    apsw.IOError: "The disk gave an input/output error; the system's log says more",
    apsw.NoMemError: "SQLite ran out of memory",
    MemoryError: "The process ran out of memory",
    apsw.CorruptError: f"The database file is damaged; {RESTORE}",
    apsw.NotADBError: "The file is no SQLite database any more",
    apsw.CantOpenError: "A file of the database could not be opened; see that the user of the hub may write there",
    apsw.ReadOnlyError: "The database may only be read; give its files to the user of the hub, on a disk that may be written",
    apsw.PermissionsError: "Access to the database was denied",
    apsw.BusyError: "Another program holds the database's lock; end it, such as an open sqlite3, and try again",
    apsw.LockedError: "A table of the database is locked",
    apsw.ProtocolError: "The database's lock files are in disorder",
    apsw.InterruptError: "The operation was interrupted",
    apsw.ConnectionClosedError: "The database is being closed",
    # That of the cursor that is kept.
    apsw.CursorClosedError: "The database is being closed",
}


def is_unavailable(error: BaseException) -> bool:
    """Whether the fault is the database's state, not the statement's mistake."""
    return isinstance(error, tuple(_UNAVAILABLE)) or _lacks_index(error)


def _lacks_index(error: BaseException) -> bool:
    return isinstance(error, apsw.SQLError) and str(error).startswith(("no such table: search_", "no such table: beginnings_"))


def unavailable(error: BaseException) -> StoreUnavailable:
    """The driver's fault in the words of ``directory.errors``."""
    if _lacks_index(error):
        return StoreUnavailable(f"{GONE}.")
    for known, meaning in _UNAVAILABLE.items():
        if isinstance(error, known):
            return StoreUnavailable(f"{meaning}.")
    return StoreUnavailable(f"The database transaction was lost ({type(error).__name__}).")
