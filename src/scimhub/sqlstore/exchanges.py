"""Exchanges in a database file of their own, written in batches by a thread of their own (DECISIONS 24).

The file may be deleted at any time while the hub is down. A commit does not wait for the disk: a crash of the machine may
lose the last seconds, never more.
"""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw
import orjson

from scimhub.directory.errors import StoreUnusable
from scimhub.exchanges.records import Exchange
from scimhub.sqlstore import sqlite
from scimhub.sqlstore.sqlite import Row, SqlValue

# How long the thread gathers before it writes, in seconds.
_GATHERING = 0.2
_LARGEST_BATCH = 1000
_CACHE_MIB = 4
_SHAPE = 1

_log = logging.getLogger(__name__)

_CREATE = """
CREATE TABLE IF NOT EXISTS exchanges (
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT NOT NULL,
    time          TEXT NOT NULL,
    directory     TEXT NOT NULL,
    source        TEXT NOT NULL,
    method        TEXT NOT NULL,
    path          TEXT NOT NULL,
    status        INTEGER NOT NULL,
    duration_us   INTEGER NOT NULL,
    rewrites      TEXT NOT NULL,
    dropped       TEXT NOT NULL,
    resource_kind TEXT NOT NULL,
    resource_id   TEXT NOT NULL,
    change_ids    TEXT NOT NULL,
    detail        TEXT NOT NULL,
    key_id        TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS exchanges_by_id ON exchanges (id);
CREATE INDEX IF NOT EXISTS exchanges_by_source ON exchanges (directory, source);
CREATE INDEX IF NOT EXISTS exchanges_by_resource ON exchanges (resource_id) WHERE resource_id <> '';
CREATE INDEX IF NOT EXISTS exchanges_by_time ON exchanges (time)"""

_COLUMNS = (
    "id, time, directory, source, method, path, status, duration_us, rewrites, dropped, resource_kind, resource_id, "
    "change_ids, detail"
)
_INSERT = f"INSERT INTO exchanges ({_COLUMNS}) VALUES ({', '.join('?' * len(_COLUMNS.split(',')))})"


class ExchangeFile:
    """See ``exchanges.ports.ExchangeStore``."""

    def __init__(self, path: Path, *, keep_days: int, keep_count: int, most_waiting: int, now: Callable[[], str]) -> None:
        self._most_waiting = most_waiting
        self._keep_days = keep_days
        self._keep_count = keep_count
        self._now = now
        self._dropped = 0
        self._queue: queue.SimpleQueue[Exchange | threading.Event | None] = queue.SimpleQueue()
        # Set when the thread should not wait for more before it writes.
        self._hurry = threading.Event()
        self._closed = False
        self._writing = _open(path)
        self._reading = sqlite.open_connection(path, writes=False, cache_mib=_CACHE_MIB)
        self._reading_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="scimhub-exchanges", daemon=True)
        self._thread.start()

    @classmethod
    def open(
        cls,
        database: Path,
        *,
        keep_days: int = 30,
        keep_count: int = 1_000_000,
        most_waiting: int = 20_000,
        now: Callable[[], str],
    ) -> "ExchangeFile":
        """The exchanges of the hub whose database is at that path; raises StoreUnusable.

        Those beyond ``keep_days`` or ``keep_count`` go; a burst of more than ``most_waiting`` is dropped and counted.
        """
        path = path_beside(database)
        return cls(path, keep_days=keep_days, keep_count=keep_count, most_waiting=most_waiting, now=now)

    @property
    def dropped(self) -> int:
        return self._dropped

    def record(self, exchange: Exchange) -> bool:
        if self._closed or self._queue.qsize() >= self._most_waiting:
            self._dropped += 1
            return False
        self._queue.put(exchange)
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

    async def list(
        self,
        *,
        directory: str | None = None,
        source: str | None = None,
        status: int | None = None,
        errors_only: bool = False,
        since: str | None = None,
        limit: int = 50,
    ) -> Sequence[Exchange]:
        wishes: tuple[tuple[str, SqlValue], ...] = (
            ("directory = ?", directory),
            ("source = ?", source),
            ("status = ?", status),
            # A bulk request is answered 200 even when its operations failed; its detail tells.
            ("(status >= ? OR detail <> '')", 400 if errors_only else None),
            ("time >= ?", since),
        )
        terms = [(term, value) for term, value in wishes if value is not None]
        where = " AND ".join(("TRUE", *(term for term, _ in terms)))
        sql = f"SELECT {_COLUMNS} FROM exchanges WHERE {where} ORDER BY number DESC LIMIT ?"
        return await asyncio.to_thread(self._fetch, sql, (*(value for _, value in terms), limit))

    def _fetch(self, sql: str, values: tuple[SqlValue, ...]) -> Sequence[Exchange]:
        with self._reading_lock:
            return [_exchange(row) for row in sqlite.fetch(self._reading, sql, values)]

    # ------------------------------------------------------------------ in the thread

    def _run(self) -> None:
        while True:
            entries = [self._queue.get()]
            if isinstance(entries[0], Exchange):
                self._hurry.wait(_GATHERING)
            while len(entries) < _LARGEST_BATCH and not self._queue.empty():
                entries.append(self._queue.get())
            self._write([entry for entry in entries if isinstance(entry, Exchange)])
            for entry in entries:
                if isinstance(entry, threading.Event):
                    entry.set()
            if None in entries:
                return
            if self._queue.empty():
                self._hurry.clear()

    def _write(self, exchanges: Sequence[Exchange]) -> None:
        if not exchanges:
            return
        try:
            with self._writing:
                self._writing.executemany(_INSERT, [_values(exchange) for exchange in exchanges])
                self._writing.execute(_FORGET_MANY, (self._keep_count,))
                self._writing.execute(_FORGET_OLD, (self._now(), f"-{self._keep_days} days"))
        except apsw.Error as error:
            # Exchanges are help, not truth: a full disk must not stop the hub's own work.
            self._dropped += len(exchanges)
            _log.warning("exchanges dropped", extra={"count": len(exchanges), "error": str(error)})


def path_beside(database: Path) -> Path:
    """Where the exchanges of that database are: ``hub.db`` has ``hub-exchanges.db``."""
    return database.with_name(f"{database.stem}-exchanges.db")


def _open(path: Path) -> apsw.Connection:
    with sqlite.opening(path):
        sqlite.create_file(path)
        connection = sqlite.open_connection(path, writes=True, cache_mib=_CACHE_MIB, synchronous="NORMAL")
        shape = sqlite.fetch_one(connection, "PRAGMA user_version")[0]
        if shape > _SHAPE:
            connection.close()
            raise StoreUnusable(f"{path} was written by a newer scimhub; it may be moved away, it holds only exchanges.")
        connection.execute(_CREATE)
        connection.execute(f"PRAGMA user_version = {_SHAPE}")
        return connection


_FORGET_MANY = "DELETE FROM exchanges WHERE number <= (SELECT max(number) FROM exchanges) - ?"
_FORGET_OLD = "DELETE FROM exchanges WHERE time < strftime('%Y-%m-%dT%H:%M:%fZ', ?, ?)"


def _values(exchange: Exchange) -> tuple[SqlValue, ...]:
    return (
        exchange.id,
        exchange.time,
        exchange.directory,
        exchange.source,
        exchange.method,
        exchange.path,
        exchange.status,
        exchange.duration_us,
        _array(exchange.rewrites),
        _array(exchange.dropped),
        exchange.resource_kind,
        exchange.resource_id,
        _array(exchange.change_ids),
        exchange.detail,
    )


def _array(texts: tuple[str, ...]) -> str:
    return orjson.dumps(texts).decode() if texts else "[]"


def _exchange(row: Row) -> Exchange:
    values: list[Row] = [
        tuple(orjson.loads(value)) if name in ("rewrites", "dropped", "change_ids") else value
        for name, value in zip(_COLUMNS.split(", "), row, strict=True)
    ]
    return Exchange(*values)
