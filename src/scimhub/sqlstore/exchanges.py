"""Exchanges and attempts in a database file of their own, written in batches by a thread of their own (DECISIONS 24).

The thread also redacts what it is given: the event loop only hands over references. The file may be deleted at any time while
the hub is down. A commit does not wait for the disk: a crash of the machine may lose the last seconds, never more.

Bodies are not compressed: most have one or two kilobytes, and compressing them costs as much as all the rest.
"""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import apsw

from scimhub.directory.errors import StoreUnusable
from scimhub.distribution.delivery import Attempt
from scimhub.exchanges import redaction
from scimhub.exchanges.records import DEFAULT_BODY_LIMIT, Content, Exchange, Found, Received, Search
from scimhub.sqlstore import attempts, exchange_rows
from scimhub.sqlstore.sqlite import driver
from scimhub.sqlstore.sqlite.driver import SqliteConnection

MIB = 1024 * 1024
# How long the thread gathers before it writes, and how long it rests before it looks for what has grown old, in seconds.
_GATHERING = 0.5
_RESTING = 3600.0
_LARGEST_BATCH = 5000
# Bodies that wait for the thread; beyond that only their beginnings are kept waiting.
_MOST_WAITING_BYTES = 64 * MIB
_MOST_SEARCHED = 100_000
_CACHE_MIB = 8
_SHAPE = len(exchange_rows.MIGRATIONS) + 1
_PAGE_SIZE = 8192
# At 8 MiB of log; nobody waits for this file's checkpoints.
_CHECKPOINT_PAGES = 1000
_TABLES = ("exchanges", "attempts")

T = TypeVar("T")
_log = logging.getLogger(__name__)


class ExchangeFile:
    """See ``exchanges.ports.ExchangeStore`` and ``distribution.ports.AttemptLog``; ``open`` makes one."""

    def __init__(
        self,
        path: Path,
        *,
        content: Content,
        body_limit: int,
        keep_days: int,
        keep_count: int,
        keep_bytes: int,
        most_waiting: int,
        most_searched: int,
        now: Callable[[], str],
    ) -> None:
        self._content: Content = content
        self._body_limit = body_limit
        self._most_waiting = most_waiting
        self._most_searched = most_searched
        self._keep_days = keep_days
        self._keep_count = keep_count
        self._keep_bytes = keep_bytes
        self._now = now
        self._dropped = 0
        # Bytes of bodies that were handed over, counted by who records, and that were taken, counted by the thread.
        self._handed_over = 0
        self._taken = 0
        self._queue: queue.SimpleQueue[Received | Attempt | threading.Event | None] = queue.SimpleQueue()
        # Set when the thread should not wait for more before it writes.
        self._hurry = threading.Event()
        self._closed = False
        self._writing = _open(path)
        self._reading = driver.open_connection(path, writes=False, cache_mib=_CACHE_MIB)
        self._reading_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="scimhub-exchanges", daemon=True)
        self._thread.start()

    @classmethod
    def open(
        cls,
        database: Path,
        *,
        content: Content = "full",
        body_limit: int = DEFAULT_BODY_LIMIT,
        keep_days: int = 30,
        keep_count: int = 1_000_000,
        keep_bytes: int = 1024 * MIB,
        most_waiting: int = 20_000,
        most_searched: int = _MOST_SEARCHED,
        now: Callable[[], str],
    ) -> "ExchangeFile":
        """The exchanges of the hub whose database is at that path; raises StoreUnusable.

        The oldest exchanges and attempts beyond ``keep_days`` or ``keep_count`` go, and when the file holds ``keep_bytes``; a
        burst of more than ``most_waiting`` is dropped and counted. A search looks at ``most_searched`` exchanges.
        """
        return cls(
            path_beside(database),
            content=content,
            body_limit=body_limit,
            keep_days=keep_days,
            keep_count=keep_count,
            keep_bytes=keep_bytes,
            most_waiting=most_waiting,
            most_searched=most_searched,
            now=now,
        )

    # ------------------------------------------------------------------ recording

    @property
    def dropped(self) -> int:
        return self._dropped

    @property
    def is_on(self) -> bool:
        return self._content != "off"

    def record(self, received: Received) -> bool:
        if not self.is_on:
            return True
        size = len(received.request) + len(received.answer)
        if self._handed_over - self._taken > _MOST_WAITING_BYTES:
            limit = self._body_limit
            received = received._replace(request=received.request[:limit], answer=received.answer[:limit])
            size = len(received.request) + len(received.answer)
        if not self._put(received):
            return False
        self._handed_over += size
        return True

    def record_attempt(self, attempt: Attempt) -> bool:
        return self._put(attempt)

    def _put(self, entry: Received | Attempt) -> bool:
        if self._closed or self._queue.qsize() >= self._most_waiting:
            self._dropped += 1
            return False
        self._queue.put(entry)
        return True

    async def flush(self) -> None:
        if self._closed:
            return
        written = threading.Event()
        self._queue.put(written)
        self._hurry.set()
        await asyncio.to_thread(written.wait)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._hurry.set()
        self._thread.join()
        self._reading.close()
        self._writing.close()

    # ------------------------------------------------------------------ reading

    async def search(self, wanted: Search, limit: int = 50) -> Found:
        return await asyncio.to_thread(self._search, wanted, limit)

    def _search(self, wanted: Search, limit: int) -> Found:
        steps = exchange_rows.search(self._reading, wanted, limit, self._most_searched)
        while True:
            # The lock is given back between two steps, so that a long search keeps nobody from a short one.
            with self._reading_lock:
                found = next(steps)
            if found is not None:
                return found

    async def find(self, ids: Sequence[str]) -> Sequence[Exchange]:
        return await asyncio.to_thread(self._read, lambda connection: exchange_rows.find(connection, ids))

    async def list_attempts(
        self,
        *,
        directory: str | None = None,
        destination: str | None = None,
        resource_id: str | None = None,
        positions: tuple[int, int] | None = None,
        failed_only: bool = False,
        limit: int = 100,
    ) -> Sequence[Attempt]:
        return await asyncio.to_thread(
            self._read,
            lambda connection: attempts.search(connection, directory, destination, resource_id, positions, failed_only, limit),
        )

    def _read(self, work: Callable[[SqliteConnection], T]) -> T:
        with self._reading_lock:
            return work(self._reading)

    # ------------------------------------------------------------------ in the thread

    def _run(self) -> None:
        while True:
            try:
                entries = [self._queue.get(timeout=_RESTING)]
            except queue.Empty:
                self._write([])
                continue
            if isinstance(entries[0], Received | Attempt):
                self._hurry.wait(_GATHERING)
            # A batch is a small part of what the file may hold, so that it never grows far beyond.
            room = min(8 * MIB, self._keep_bytes // 16) - _size_of(entries[0])
            while len(entries) < _LARGEST_BATCH and room > 0 and not self._queue.empty():
                entries.append(self._queue.get())
                room -= _size_of(entries[-1])
            self._write(entries)
            for entry in entries:
                if isinstance(entry, threading.Event):
                    entry.set()
            if None in entries:
                return
            if self._queue.empty():
                self._hurry.clear()

    def _write(self, entries: Sequence[Received | Attempt | threading.Event | None]) -> None:
        received = [entry for entry in entries if isinstance(entry, Received)]
        tried = [entry for entry in entries if isinstance(entry, Attempt)]
        if entries and not received and not tried:
            return
        try:
            with self._writing:
                exchanges = (exchange_rows.values_of(self._redact(each)) for each in received)
                exchange_rows.insert(self._writing, "exchanges", exchange_rows.COLUMNS, exchanges)
                exchange_rows.insert(self._writing, "attempts", attempts.COLUMNS, map(attempts.values_of, tried))
                self._forget(len(entries))
        except apsw.Error as error:
            # Exchanges are help, not truth: a full disk must not stop the hub's own work.
            self._dropped += len(received) + len(tried)
            _log.warning("exchanges dropped", extra={"count": len(received) + len(tried), "error": str(error)})
        self._taken += sum(len(each.request) + len(each.answer) for each in received)

    def _redact(self, received: Received) -> Exchange:
        try:
            return redaction.redact(received, self._content, self._body_limit)
        except Exception:
            # Whatever a client managed to send, it must neither end this thread nor be stored as it came.
            _log.exception("an exchange could not be redacted; its content is not kept", extra={"request_id": received.id})
            return redaction.bare(received)

    def _forget(self, written: int) -> None:
        """Remove what is too old or too much; all of it by number, for which no index is needed."""
        connection = self._writing
        cutoff = connection.fetch_one("SELECT strftime('%Y-%m-%dT%H:%M:%fZ', ?, ?)", (self._now(), f"-{self._keep_days} days"))
        for table in _TABLES:
            exchange_rows.forget_beyond(connection, table, self._keep_count, cutoff[0], most=2 * written + 1000)
        page_size = connection.fetch_one("PRAGMA page_size")[0]
        # Of what the file may hold an eighth is for the batch that comes next and for pages that are half empty.
        limit = self._keep_bytes * 7 // 8 // page_size
        for _ in range(20):
            used = _pages_used(connection)
            if used <= limit:
                return
            for table in _TABLES:
                exchange_rows.forget_part(connection, table, (used - limit) / used)


def _size_of(entry: Received | Attempt | threading.Event | None) -> int:
    return len(entry.request) + len(entry.answer) + 500 if isinstance(entry, Received) else 500


def _pages_used(connection: SqliteConnection) -> int:
    pages: int = connection.fetch_one("PRAGMA page_count")[0]
    free: int = connection.fetch_one("PRAGMA freelist_count")[0]
    return pages - free


def path_beside(database: Path) -> Path:
    """Where the exchanges of that database are: ``hub.db`` has ``hub-exchanges.db``."""
    return database.with_name(f"{database.stem}-exchanges.db")


def _open(path: Path) -> SqliteConnection:
    with driver.opening(path):
        driver.create_file(path)
        if path.stat().st_size == 0:
            _give_page_size(path)
        connection = driver.open_connection(path, writes=True, cache_mib=_CACHE_MIB, synchronous="NORMAL")
        shape = connection.fetch_one("PRAGMA user_version")[0]
        if shape > _SHAPE:
            connection.close()
            raise StoreUnusable(f"{path} was written by a newer scimhub; it may be moved away, it holds only exchanges.")
        connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        with connection:
            # A file that has no shape yet is new.
            for step in exchange_rows.MIGRATIONS[shape - 1 :] if shape else ():
                connection.execute(step)
            if 0 < shape < _SHAPE:
                _log.info("exchanges file brought to its new shape", extra={"file": path.name})
            connection.execute(exchange_rows.CREATE)
            connection.execute(attempts.CREATE)
            connection.execute(f"PRAGMA user_version = {_SHAPE}")
        return connection


def _give_page_size(path: Path) -> None:
    """Give a new file larger pages than the usual: of exchanges with bodies only one would fit into those."""
    connection = SqliteConnection(str(path))
    connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
    connection.execute("VACUUM")
    connection.close()
