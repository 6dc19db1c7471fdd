"""Exchanges and attempts in a database file of their own (DECISIONS 24).

The file may be deleted at any time while the hub is down. A commit does not wait for the disk: a crash of the machine may
lose the last seconds, never more.

Bodies are not compressed: most have one or two kilobytes, and compressing them costs as much as all the rest.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from scimhub.directory.errors import StoreUnusable
from scimhub.distribution.delivery import Attempt
from scimhub.exchanges.records import Exchange, Found, Search
from scimhub.sqlstore import exchange_rows
from scimhub.sqlstore.attempts import COLUMNS as ATTEMPT_COLUMNS
from scimhub.sqlstore.exchange_rows import Limits, Terms, Values
from scimhub.sqlstore.sqlite import driver, exchange_sql
from scimhub.sqlstore.sqlite.driver import SqliteConnection

_CACHE_MIB = 8
_SHAPE = len(exchange_sql.MIGRATIONS) + 1
# A page holds fourteen bodies of some 2 KiB, and is written less often than smaller ones. A file that is there keeps its own.
_PAGE_SIZE = 32768
# At 8 MiB of log; nobody waits for this file's checkpoints.
_CHECKPOINT_PAGES = 250
_TABLES = ("exchanges", "attempts")
_WHEN_DAMAGED = "move it away, for it holds only what came in and was answered, and start again"

T = TypeVar("T")
_log = logging.getLogger(__name__)


class ExchangeFile:
    """See ``exchange_rows.Archive``. Raises StoreUnusable; without ``writes`` also for a file of an older shape."""

    def __init__(self, database: Path, limits: Limits, now: Callable[[], str], *, writes: bool = True) -> None:
        self._limits = limits
        self._now = now
        path = path_beside(database)
        self._writing = _open(path) if writes else None
        self._reading = driver.open_connection(path, writes=False, cache_mib=_CACHE_MIB) if writes else _open_for_reading(path)
        self._reading_lock = threading.Lock()

    async def close(self) -> None:
        self._reading.close()
        if self._writing is not None:
            self._writing.close()

    # ------------------------------------------------------------------ reading

    async def search(self, wanted: Search, limit: int) -> Found:
        return await asyncio.to_thread(self._search, wanted, limit)

    def _search(self, wanted: Search, limit: int) -> Found:
        steps = exchange_sql.search(self._reading, wanted, limit, self._limits.searched)
        while True:
            # The lock is given back between two steps, so that a long search keeps nobody from a short one.
            with self._reading_lock:
                found = next(steps)
            if found is not None:
                return found

    async def find(self, ids: Sequence[str]) -> Sequence[Exchange]:
        return await asyncio.to_thread(self._read, lambda connection: exchange_sql.find(connection, ids))

    async def list_attempts(self, terms: Terms, limit: int) -> Sequence[Attempt]:
        return await asyncio.to_thread(self._read, lambda connection: exchange_sql.list_attempts(connection, terms, limit))

    def _read(self, work: Callable[[SqliteConnection], T]) -> T:
        with self._reading_lock:
            return work(self._reading)

    # ------------------------------------------------------------------ in the recorder's thread

    def write(self, exchanges: Iterable[Values], attempts: Iterable[Values]) -> None:
        connection = self._writing
        if connection is None:
            return
        with connection:
            before = connection.total_changes()
            exchange_sql.insert(connection, "exchanges", exchange_rows.COLUMNS, exchanges)
            exchange_sql.insert(connection, "attempts", ATTEMPT_COLUMNS, attempts)
            self._forget(connection, connection.total_changes() - before)

    def _forget(self, connection: SqliteConnection, written: int) -> None:
        """Remove what is too old or too much; all of it by number, for which no index is needed."""
        limits = self._limits
        cutoff = connection.fetch_one("SELECT strftime('%Y-%m-%dT%H:%M:%fZ', ?, ?)", (self._now(), f"-{limits.days} days"))
        for table in _TABLES:
            exchange_sql.forget_beyond(connection, table, limits.count, cutoff[0], most=2 * written + 1000)
        page_size = connection.fetch_one("PRAGMA page_size")[0]
        # Of what the file may hold an eighth is for the batch that comes next and for pages that are half empty.
        limit = limits.size * 7 // 8 // page_size
        for _ in range(20):
            used = _pages_used(connection)
            if used <= limit:
                return
            for table in _TABLES:
                exchange_sql.forget_part(connection, table, (used - limit) / used)


def _pages_used(connection: SqliteConnection) -> int:
    pages: int = connection.fetch_one("PRAGMA page_count")[0]
    free: int = connection.fetch_one("PRAGMA freelist_count")[0]
    return pages - free


def path_beside(database: Path) -> Path:
    """Where the exchanges of that database are: ``hub.db`` has ``hub-exchanges.db``."""
    return database.with_name(f"{database.stem}-exchanges.db")


def _open(path: Path) -> SqliteConnection:
    with driver.opening(path, when_damaged=_WHEN_DAMAGED):
        driver.create_file(path)
        if path.stat().st_size == 0:
            _give_page_size(path)
        connection = driver.open_connection(path, writes=True, cache_mib=_CACHE_MIB, synchronous="NORMAL")
        shape = _shape(connection, path)
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        with connection:
            # A file that has no shape yet is new.
            for step in exchange_sql.MIGRATIONS[shape - 1 :] if shape else ():
                connection.execute(step)
            if 0 < shape < _SHAPE:
                _log.info("exchanges file brought to its new shape", extra={"file": path.name})
            connection.execute(exchange_sql.CREATE)
            connection.execute(f"PRAGMA user_version = {_SHAPE}")
        return connection


def _open_for_reading(path: Path) -> SqliteConnection:
    """A connection to the file as it is, or to nothing where there is none yet."""
    if not path.exists() or path.stat().st_size == 0:
        empty = SqliteConnection(":memory:")
        empty.execute(exchange_sql.CREATE)
        return empty
    with driver.opening(path, when_damaged=_WHEN_DAMAGED):
        connection = driver.open_connection(path, writes=False, cache_mib=_CACHE_MIB)
        if _shape(connection, path) < _SHAPE:
            connection.close()
            raise StoreUnusable(
                f"{path} was written by an older scimhub; the next start of the hub brings it to its new shape: scimhub serve."
            )
        return connection


def _shape(connection: SqliteConnection, path: Path) -> int:
    """The shape of the file, 0 of one that has none yet; raises StoreUnusable for a newer one than is known here."""
    shape: int = connection.fetch_one("PRAGMA user_version")[0]
    if shape > _SHAPE:
        connection.close()
        raise StoreUnusable(f"{path} was written by a newer scimhub; it may be moved away, it holds only exchanges.")
    return shape


def _give_page_size(path: Path) -> None:
    """Give a new file larger pages than the usual: of exchanges with bodies only one would fit into those."""
    connection = SqliteConnection(str(path))
    connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
    connection.execute("VACUUM")
    connection.close()
