"""The statements of the exchanges' file: its shape, writing, searching newest first, and forgetting.

Two indexes only: request ids grow with time and cost little, and the exchanges about one resource are what people ask for
most. Everything else is found by looking at the newest so many rows.

Ids of resources come in any order, and an index by them alone is written all over by each batch: at 300,000 rows a row cost
20 µs instead of 5. So the index is in parts, of 4,096 numbers each; new rows fall into the newest, a search asks each.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

import orjson

from scimhub.distribution.delivery import Attempt
from scimhub.exchanges.records import Exchange, Found, Search
from scimhub.scim import values as scim_values
from scimhub.sqlstore import attempts, exchange_rows
from scimhub.sqlstore.connection import Row, SqlValue
from scimhub.sqlstore.exchange_rows import COLUMNS, Terms, Values
from scimhub.sqlstore.sqlite.driver import SqliteConnection

CREATE = """
CREATE TABLE IF NOT EXISTS exchanges (
    number         INTEGER PRIMARY KEY,
    id             TEXT NOT NULL,
    time           TEXT NOT NULL,
    directory      TEXT NOT NULL,
    source         TEXT NOT NULL,
    method         TEXT NOT NULL,
    path           TEXT NOT NULL,
    status         INTEGER NOT NULL,
    duration_us    INTEGER NOT NULL,
    rewrites       TEXT NOT NULL,
    dropped        TEXT NOT NULL,
    resource_kind  TEXT NOT NULL,
    resource_id    TEXT NOT NULL,
    change_ids     TEXT NOT NULL,
    detail         TEXT NOT NULL,
    key_id         TEXT,
    query          TEXT NOT NULL DEFAULT '',
    headers        TEXT NOT NULL DEFAULT '{}',
    -- NULL with a size: there was a body, which is not kept.
    request        TEXT,
    request_size   INTEGER NOT NULL DEFAULT 0,
    request_is_cut INTEGER NOT NULL DEFAULT 0,
    answer         TEXT,
    answer_size    INTEGER NOT NULL DEFAULT 0,
    answer_is_cut  INTEGER NOT NULL DEFAULT 0,
    -- Whether the resource's document is missing in the answer, and how it may be shown: see Body.
    answer_rest    TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX IF NOT EXISTS exchanges_by_id ON exchanges (id);
CREATE INDEX IF NOT EXISTS exchanges_by_resource ON exchanges (number >> 12, resource_id) WHERE resource_id <> '';
CREATE TABLE IF NOT EXISTS attempts (
    number         INTEGER PRIMARY KEY,
    time           TEXT NOT NULL,
    directory      TEXT NOT NULL,
    destination    TEXT NOT NULL,
    delivery_id    TEXT NOT NULL,
    change_id      TEXT NOT NULL,
    resource_id    TEXT NOT NULL,
    first_position INTEGER NOT NULL,
    position       INTEGER NOT NULL,
    attempt        INTEGER NOT NULL,
    outcome        TEXT NOT NULL,
    status         INTEGER,
    duration_us    INTEGER NOT NULL,
    detail         TEXT NOT NULL,
    excerpt        TEXT NOT NULL,
    key_id         TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS attempts_by_resource ON attempts (number >> 12, resource_id)"""

# From each earlier shape to the next one. In the first one an exchange had no content and four indexes, in the second one
# every answer was kept whole and the indexes by resource were not in parts, in the third these were four times as large.
MIGRATIONS = (
    """
DROP INDEX IF EXISTS exchanges_by_source;
DROP INDEX IF EXISTS exchanges_by_time;
ALTER TABLE exchanges ADD COLUMN query TEXT NOT NULL DEFAULT '';
ALTER TABLE exchanges ADD COLUMN headers TEXT NOT NULL DEFAULT '{}';
ALTER TABLE exchanges ADD COLUMN request TEXT;
ALTER TABLE exchanges ADD COLUMN request_size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE exchanges ADD COLUMN request_is_cut INTEGER NOT NULL DEFAULT 0;
ALTER TABLE exchanges ADD COLUMN answer TEXT;
ALTER TABLE exchanges ADD COLUMN answer_size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE exchanges ADD COLUMN answer_is_cut INTEGER NOT NULL DEFAULT 0""",
    """
DROP INDEX IF EXISTS exchanges_by_resource;
DROP INDEX IF EXISTS attempts_by_resource;
ALTER TABLE exchanges ADD COLUMN answer_rest TEXT NOT NULL DEFAULT ''""",
    """
DROP INDEX IF EXISTS exchanges_by_resource;
DROP INDEX IF EXISTS attempts_by_resource""",
)

_ROWS_AT_ONCE = 64
# One statement of a search reads so many rows.
_WINDOW = 2000
# Rows are numbered when a request ends and searched by when it began: a long one may be so many rows out of order.
_DISORDER = 1000


def insert(connection: SqliteConnection, table: str, columns: str, rows: Iterable[Values]) -> None:
    """Write the rows, many with one statement.

    The driver lets other threads run during each statement and must then wait for its turn again: with a statement for each
    row that costs more than the writing.
    """
    one = f"({', '.join('?' * len(columns.split(',')))})"
    left = iter(rows)
    for some in iter(lambda: list(islice(left, _ROWS_AT_ONCE)), []):
        # Few different lengths, so that the driver's cache keeps the compiled statements.
        while some:
            count = _ROWS_AT_ONCE if len(some) == _ROWS_AT_ONCE else 1 << (len(some).bit_length() - 1)
            sql = f"INSERT INTO {table} ({columns}) VALUES {', '.join([one] * count)}"
            connection.execute(sql, tuple(chain.from_iterable(some[:count])))
            some = some[count:]


# --------------------------------------------------------------------------- finding


def find(connection: SqliteConnection, ids: Sequence[str]) -> list[Exchange]:
    """Those of these request ids that are kept, oldest first."""
    sql = f"SELECT {COLUMNS} FROM exchanges WHERE id IN (SELECT value FROM json_each(?)) ORDER BY number"
    return [exchange_rows.exchange_of(row) for row in connection.fetch(sql, (orjson.dumps(list(ids)).decode(),))]


def list_attempts(connection: SqliteConnection, terms: Terms, limit: int) -> list[Attempt]:
    """The newest attempts that fit, newest first."""
    searched = "attempts" if terms.resource_id is None else in_parts("attempts")
    sql = f"SELECT {attempts.COLUMNS} FROM {searched} WHERE {terms.where} ORDER BY number DESC LIMIT ?"
    return [Attempt(*row) for row in connection.fetch(sql, (*terms.values, limit))]


def search(connection: SqliteConnection, wanted: Search, limit: int, most_rows: int) -> Iterator[Found | None]:
    """The search in steps that each take milliseconds: None while it goes on, at last what was found."""
    terms = _terms(connection, wanted)
    if wanted.resource is not None:
        searched = f"{in_parts('exchanges')} WHERE resource_id <> '' AND {terms.where}"
        sql = f"SELECT {COLUMNS} FROM {searched} ORDER BY number DESC LIMIT ?"
        yield Found([exchange_rows.exchange_of(row) for row in connection.fetch(sql, (*terms.values, limit))])
        return
    first, last = _range(connection, wanted)
    sql = f"SELECT {COLUMNS} FROM exchanges WHERE number > ? AND number <= ? AND {terms.where} ORDER BY number DESC LIMIT ?"
    found: list[Exchange] = []
    end = max(first, last - most_rows)
    while last > end:
        lower = max(end, last - _WINDOW)
        rows = connection.fetch(sql, (lower, last, *terms.values, limit - len(found)))
        found += [exchange_rows.exchange_of(row) for row in rows]
        if len(found) == limit:
            yield Found(found)
            return
        last = lower
        yield None
    row = connection.fetch_one("SELECT time FROM exchanges WHERE number > ? ORDER BY number LIMIT 1", (end,))
    yield Found(found, row[0] if end > first and row is not None else None)


def in_parts(table: str) -> str:
    """The table for a FROM in which an equal ``resource_id`` is found by the index: each of its parts is asked in turn."""
    return f"""(
    WITH RECURSIVE parts (part) AS (
        SELECT max(number) >> 12 FROM {table}
        UNION ALL SELECT part - 1 FROM parts WHERE part > (SELECT min(number) >> 12 FROM {table})
    )
    SELECT part FROM parts
) AS parts CROSS JOIN {table} ON number >> 12 = part"""


def _terms(connection: SqliteConnection, wanted: Search) -> Terms:
    wishes = exchange_rows.wishes(wanted) + exchange_rows.times(wanted)
    if wanted.text:
        # SQLite's own lower() knows ASCII only; it needs no Python, which would slow the hub's other threads.
        lower = "lower" if wanted.text.isascii() else "folded"
        connection.create_scalar_function("folded", _folded, 1, deterministic=True)
        wishes.append((f"instr({lower}({exchange_rows.SEARCHED_TEXT}), ?) > 0", _folded(wanted.text)))
    return exchange_rows.terms_of(wishes)


def _folded(*texts: SqlValue) -> str:
    return scim_values.fold(str(texts[0]))


def _range(connection: SqliteConnection, wanted: Search) -> tuple[int, int]:
    """The number before the first and that of the last row whose time may lie within what is wanted."""
    first, last = bounds(connection, "exchanges")
    begin = first - 1 if wanted.since is None else _number_at(connection, wanted.since, first, last) - 1 - _DISORDER
    end = last if wanted.until is None else _number_at(connection, wanted.until, first, last) + _DISORDER
    return max(first - 1, begin), min(last, end)


def _number_at(connection: SqliteConnection, time: str, first: int, last: int) -> int:
    """The number of about the first row from that time on."""
    sql = "SELECT time FROM exchanges WHERE number >= ? ORDER BY number LIMIT 1"
    while first < last:
        middle = (first + last) // 2
        row = connection.fetch_one(sql, (middle,))
        if row is not None and row[0] < time:
            first = middle + 1
        else:
            last = middle
    return first


# --------------------------------------------------------------------------- forgetting


def bounds(connection: SqliteConnection, table: str) -> tuple[int, int]:
    """The smallest and the largest number in the table; 1 and 0 when it is empty."""
    row: Row = connection.fetch_one(f"SELECT (SELECT min(number) FROM {table}), (SELECT max(number) FROM {table})")
    return (1, 0) if row[0] is None else (row[0], row[1])


def forget_beyond(connection: SqliteConnection, table: str, count: int, oldest: str, most: int) -> None:
    """Remove the oldest rows beyond the count, and at most so many that are older than ``oldest``."""
    first, last = bounds(connection, table)
    if last - first + 1 > count:
        connection.execute(f"DELETE FROM {table} WHERE number <= ?", (last - count,))
        first = last - count + 1
    row = connection.fetch_one(f"SELECT time FROM {table} WHERE number >= ? ORDER BY number LIMIT 1", (first,))
    if row is not None and row[0] < oldest:
        connection.execute(f"DELETE FROM {table} WHERE number < ? AND time < ?", (first + most, oldest))


def forget_part(connection: SqliteConnection, table: str, part: float) -> None:
    """Remove that part of the rows, the oldest ones."""
    first, last = bounds(connection, table)
    if last >= first:
        connection.execute(f"DELETE FROM {table} WHERE number < ?", (first + int((last - first + 1) * part) + 1,))
