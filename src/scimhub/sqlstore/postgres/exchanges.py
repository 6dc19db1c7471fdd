"""Exchanges and attempts in tables of the hub's PostgreSQL database, where every node's are found (DECISIONS 24).

They are ordered by their times: numbers are given as rows are written, and each node writes when its batch is full. Rows
come by COPY, on a connection of the recorder's thread, which has an event loop of its own; so neither the hub's loop nor its
other connections ever wait for them.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import asyncpg

from scimhub.distribution.delivery import Attempt
from scimhub.exchanges.records import Exchange, Found, Search
from scimhub.scim import values as scim_values
from scimhub.sqlstore import exchange_rows
from scimhub.sqlstore.attempts import COLUMNS as ATTEMPT_COLUMNS
from scimhub.sqlstore.connection import Row, SqlValue
from scimhub.sqlstore.exchange_rows import COLUMNS, Limits, Terms, Values
from scimhub.sqlstore.postgres import driver, partitions
from scimhub.sqlstore.postgres.partitions import Partition
from scimhub.sqlstore.postgres.pooling import PooledConnection
from scimhub.sqlstore.postgres.translation import translate

# Connections for looking things up; one more writes.
_READERS = 2
_CONNECT_TIMEOUT = 5.0
# Seconds: how long a part of a batch, and a search, may take.
_WRITING_TIMEOUT, _READING_TIMEOUT = 10.0, 60.0
# Prepared statements would not pay here, where little is sent; without them any pooler will do (``pooling``).
_CONNECTING: dict[str, Any] = {
    "connection_class": PooledConnection,
    "statement_cache_size": 0,
    "server_settings": {"application_name": "scimhub-exchanges"},
}
# Partitions are looked after each hour, and whenever a 64th of what may be kept has been written.
_SHARE = 64
_TABLES = {"exchanges": COLUMNS.split(", "), "attempts": ATTEMPT_COLUMNS.split(", ")}
_NEWEST_FIRST = "ORDER BY time DESC, number DESC"

Rows = dict[str, list[Values]]
_log = logging.getLogger(__name__)


class ExchangeTables:
    """See ``exchange_rows.Archive``; ``open`` makes one. Whoever needs a connection that was lost opens it again."""

    def __init__(self, url: str, pool: Any, limits: Limits, now: Callable[[], str], *, writes: bool) -> None:
        self._url = url
        self._pool = pool
        self._limits = limits
        self._now = now
        self._writes = writes
        # Everything below belongs to the recorder's thread alone.
        self._loop = asyncio.Runner()
        self._raw: Any = None
        # Days for which there are partitions.
        self._days: set[str] = set()
        # The hour in which partitions were last looked after, and the rows and bytes written since.
        self._tended = ""
        self._rows_since = self._size_since = 0

    @classmethod
    async def open(cls, url: str, limits: Limits, now: Callable[[], str], *, writes: bool = True) -> "ExchangeTables":
        """The tables in the database at the URL, which a store has made; it connects when it has to.

        Without ``writes`` they stay as they are, also what is too old.
        """
        pool = asyncpg.create_pool(
            url,
            min_size=0,
            max_size=_READERS,
            timeout=_CONNECT_TIMEOUT,
            command_timeout=_READING_TIMEOUT,
            **_CONNECTING,
        )
        return cls(url, await pool, limits, now, writes=writes)

    async def close(self) -> None:
        try:
            await asyncio.wait_for(self._pool.close(), 5)
        except TimeoutError:
            self._pool.terminate()
        await asyncio.to_thread(self._stop)

    # ------------------------------------------------------------------ reading

    async def search(self, wanted: Search, limit: int) -> Found:
        wishes = exchange_rows.wishes(wanted) + ([] if wanted.text is None else _contains(wanted.text))
        if wanted.resource is not None:
            terms = exchange_rows.terms_of(wishes + exchange_rows.times(wanted))
            sql = f"SELECT {COLUMNS} FROM exchanges WHERE resource_id <> '' AND {terms.where} {_NEWEST_FIRST} LIMIT ?"
            return Found(_exchanges(await self._fetch(sql, (*terms.values, limit))))
        terms, period = exchange_rows.terms_of(wishes), exchange_rows.terms_of(exchange_rows.times(wanted))
        newest = f"SELECT number, {COLUMNS} FROM exchanges WHERE {period.where} {_NEWEST_FIRST} LIMIT ?"
        sql = f"SELECT {COLUMNS} FROM ({newest}) AS newest WHERE {terms.where} {_NEWEST_FIRST} LIMIT ?"
        most = self._limits.searched
        found = _exchanges(await self._fetch(sql, (*period.values, most, *terms.values, limit)))
        if len(found) == limit:
            return Found(found)
        sql = f"SELECT time FROM exchanges WHERE {period.where} {_NEWEST_FIRST} OFFSET ? LIMIT 2"
        last = await self._fetch(sql, (*period.values, most - 1))
        return Found(found, last[0][0] if len(last) == 2 else None)

    async def find(self, ids: Sequence[str]) -> Sequence[Exchange]:
        sql = f"SELECT {COLUMNS} FROM exchanges WHERE id = ANY (?) ORDER BY time, number"
        return _exchanges(await self._fetch(sql, (list(ids),)))

    async def list_attempts(self, terms: Terms, limit: int) -> Sequence[Attempt]:
        sql = f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE {terms.where} {_NEWEST_FIRST} LIMIT ?"
        return [Attempt(*row) for row in await self._fetch(sql, (*terms.values, limit))]

    async def _fetch(self, sql: str, values: tuple[SqlValue | list[str], ...]) -> list[Row]:
        try:
            async with self._pool.acquire(timeout=_CONNECT_TIMEOUT) as raw, raw.transaction(readonly=True):
                rows: list[Row] = await raw.fetch(translate(sql), *values)
                return rows
        except Exception as error:
            if driver.is_unavailable(error):
                raise driver.unavailable(error) from error
            raise

    # ------------------------------------------------------------------ in the recorder's thread

    def write(self, exchanges: Iterable[Values], attempts: Iterable[Values]) -> None:
        if not self._writes:
            return
        oldest = partitions.oldest_time(self._now(), self._limits)
        rows = {"exchanges": _storable(exchanges), "attempts": _storable(attempts)}
        kept = {table: [row for row in some if _time_of(table, row) >= oldest] for table, some in rows.items()}
        self._loop.run(self._write(kept))

    async def _write(self, rows: Rows) -> None:
        raw = await self._connected()
        days = {_time_of(table, row)[:10] for table, some in rows.items() for row in some}
        if not days <= self._days:
            await partitions.make_days(raw, days)
            self._days |= days
        try:
            await _copy(raw, rows)
        except asyncpg.CheckViolationError:
            # Another node dropped a partition. What has no place any more is older than what is kept.
            there = await partitions.make_days(raw, days)
            await _copy(raw, {table: _with_place(there, table, some) for table, some in rows.items()})
        self._rows_since += max(map(len, rows.values()))
        self._size_since += sum(len(value) for some in rows.values() for row in some for value in row if isinstance(value, str))
        await self._tend(raw)

    async def _connected(self) -> Any:
        if self._raw is not None:
            try:
                await self._raw.execute("SELECT 1")
                return self._raw
            except Exception:
                # The server was started anew, or what lies between forgot the connection: nothing is lost by that.
                await self._disconnect()
        self._raw = await asyncpg.connect(self._url, timeout=_CONNECT_TIMEOUT, command_timeout=_WRITING_TIMEOUT, **_CONNECTING)
        return self._raw

    async def _tend(self, raw: Any) -> None:
        now, limits = self._now(), self._limits
        is_much = self._rows_since * _SHARE >= limits.count or self._size_since * _SHARE >= limits.size
        if not is_much and self._tended == now[:13]:
            return
        self._tended, self._rows_since, self._size_since = now[:13], 0, 0
        try:
            await partitions.tend(raw, now, limits)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            # It comes again soon; what was written stands.
            _log.warning("exchanges were not trimmed", extra={"error": f"{type(error).__name__}: {error}"})

    async def _disconnect(self) -> None:
        raw, self._raw = self._raw, None
        if raw is not None:
            with contextlib.suppress(Exception):
                await raw.close(timeout=_CONNECT_TIMEOUT)
            # A connection that is broken off is closed in the loop's next turn.
            await asyncio.sleep(0)

    def _stop(self) -> None:
        self._loop.run(self._disconnect())
        self._loop.close()


async def _copy(raw: Any, rows: Rows) -> None:
    async with raw.transaction():
        for table, columns in _TABLES.items():
            if rows[table]:
                await raw.copy_records_to_table(table, records=rows[table], columns=columns)


def _time_of(table: str, row: Values) -> str:
    return str(row[_TABLES[table].index("time")])


def _with_place(there: Iterable[Partition], table: str, rows: Iterable[Values]) -> list[Values]:
    return [row for row in rows if partitions.covers(there, table, _time_of(table, row))]


def _storable(rows: Iterable[Values]) -> list[Values]:
    """The rows without U+0000, which PostgreSQL's texts do not know and a URL may hold."""
    return [tuple(each.replace("\0", "\ufffd") if isinstance(each, str) else each for each in row) for row in rows]


def _exchanges(rows: Iterable[Row]) -> list[Exchange]:
    return [exchange_rows.exchange_of(row) for row in rows]


def _contains(text: str) -> list[tuple[str, SqlValue]]:
    """That a row contains the text in whatever case, without asking what the database's locale takes for the same letter."""
    wanted = scim_values.fold(text)
    searched = f"({exchange_rows.SEARCHED_TEXT})"
    if wanted.isascii():
        return [(f'instr(lower({searched} COLLATE "C"), ?) > 0', wanted)]
    # PostgreSQL's "C" lowers ASCII only; of the other letters those matter that are looked for. None of them is a quote.
    letters = {letter.upper(): letter for letter in wanted if not letter.isascii() and len(letter.upper()) == 1}
    lowered = f"translate(lower(normalize{searched} COLLATE \"C\"), '{''.join(letters)}', '{''.join(letters.values())}')"
    # Bringing all rows to normal form takes ten times as long as all the rest, and most have nothing but ASCII.
    return [(f"CASE WHEN octet_length{searched} > length{searched} THEN instr({lowered}, ?) > 0 ELSE FALSE END", wanted)]
