"""The rows of recorded exchanges: writing one, finding them by id, searching through them newest first.

Two indexes only: request ids grow with time and cost little, and the exchanges about one resource are what people ask for
most. Everything else is found by looking at the newest so many rows.

Ids of resources come in any order, and an index by them alone is written all over by each batch: at 300,000 rows a row cost
20 µs instead of 5. So the index is in parts, of so many numbers each; new rows fall into the newest, a search asks each.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import orjson

from scimhub.exchanges.records import NO_BODY, Body, Exchange, Found, Search
from scimhub.scim import values as scim_values
from scimhub.sqlstore.connection import Row, SqlValue
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
CREATE INDEX IF NOT EXISTS exchanges_by_resource ON exchanges (number >> 14, resource_id) WHERE resource_id <> ''"""

# From each earlier shape to the next one. In the first one an exchange had no content and four indexes, in the second one
# every answer was kept whole and the indexes by resource were not in parts.
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
)

COLUMNS = (
    "id, time, directory, source, method, path, status, duration_us, rewrites, dropped, resource_kind, resource_id, "
    "change_ids, detail, query, headers, request, request_size, request_is_cut, answer, answer_size, answer_is_cut, "
    "answer_rest"
)

_ROWS_AT_ONCE = 64
# So many rows are read by one statement of a search, and by a whole search at most.
_WINDOW = 2000
# Times follow the numbers, but for requests that took long: so many rows are allowed for.
_DISORDER = 1000


def insert(connection: SqliteConnection, table: str, columns: str, rows: Iterator[tuple[SqlValue, ...]]) -> None:
    """Write the rows, many with one statement.

    The driver lets other threads run during each statement and must then wait for its turn again: with a statement for each
    row that costs more than the writing.
    """
    one = f"({', '.join('?' * len(columns.split(',')))})"
    for some in iter(lambda: list(islice(rows, _ROWS_AT_ONCE)), []):
        # Few different lengths, so that the driver's cache keeps the compiled statements.
        while some:
            count = _ROWS_AT_ONCE if len(some) == _ROWS_AT_ONCE else 1 << (len(some).bit_length() - 1)
            sql = f"INSERT INTO {table} ({columns}) VALUES {', '.join([one] * count)}"
            connection.execute(sql, tuple(chain.from_iterable(some[:count])))
            some = some[count:]


def values_of(exchange: Exchange) -> tuple[SqlValue, ...]:
    """A row of COLUMNS."""
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
        exchange.query,
        orjson.dumps(dict(exchange.headers)).decode() if exchange.headers else "{}",
        exchange.request.text,
        exchange.request.size,
        exchange.request.is_cut,
        exchange.answer.text,
        exchange.answer.size,
        exchange.answer.is_cut,
        exchange.answer.rest,
    )


def _array(texts: tuple[str, ...]) -> str:
    return orjson.dumps(texts).decode() if texts else "[]"


def _exchange(row: Row) -> Exchange:
    values = dict(zip(COLUMNS.split(", "), row, strict=True))
    values["request"] = _body(values["request"], values.pop("request_size"), values.pop("request_is_cut"))
    answer = _body(values["answer"], values.pop("answer_size"), values.pop("answer_is_cut"))
    values["answer"] = answer._replace(rest=values.pop("answer_rest"))
    for name in ("rewrites", "dropped", "change_ids"):
        values[name] = tuple(orjson.loads(values[name]))
    return Exchange(**values | {"headers": orjson.loads(values["headers"])})


def _body(text: str | None, size: int, is_cut: int) -> Body:
    return Body(text, size, bool(is_cut)) if size else NO_BODY


# --------------------------------------------------------------------------- finding


def find(connection: SqliteConnection, ids: Sequence[str]) -> list[Exchange]:
    """Those of these request ids that are kept, oldest first."""
    sql = f"SELECT {COLUMNS} FROM exchanges WHERE id IN (SELECT value FROM json_each(?)) ORDER BY number"
    return [_exchange(row) for row in connection.fetch(sql, (orjson.dumps(list(ids)).decode(),))]


@dataclass(frozen=True, slots=True)
class _Terms:
    """A search as SQL."""

    where: str
    values: tuple[SqlValue, ...]


def search(connection: SqliteConnection, wanted: Search, limit: int, most_rows: int) -> Iterator[Found | None]:
    """The search in steps that each take milliseconds: None while it goes on, at last what was found."""
    terms = _terms(connection, wanted)
    if wanted.resource is not None:
        searched = f"{in_parts('exchanges')} WHERE resource_id <> '' AND {terms.where}"
        sql = f"SELECT {COLUMNS} FROM {searched} ORDER BY number DESC LIMIT ?"
        yield Found([_exchange(row) for row in connection.fetch(sql, (*terms.values, limit))])
        return
    first, last = _range(connection, wanted)
    sql = f"SELECT {COLUMNS} FROM exchanges WHERE number > ? AND number <= ? AND {terms.where} ORDER BY number DESC LIMIT ?"
    found: list[Exchange] = []
    end = max(first, last - most_rows)
    while last > end:
        lower = max(end, last - _WINDOW)
        rows = connection.fetch(sql, (lower, last, *terms.values, limit - len(found)))
        found += [_exchange(row) for row in rows]
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
        SELECT max(number) >> 14 FROM {table}
        UNION ALL SELECT part - 1 FROM parts WHERE part > (SELECT min(number) >> 14 FROM {table})
    )
    SELECT part FROM parts
) AS parts CROSS JOIN {table} ON number >> 14 = part"""


def _terms(connection: SqliteConnection, wanted: Search) -> _Terms:
    wishes: list[tuple[str, SqlValue]] = [
        ("directory = ?", wanted.directory),
        ("source = ?", wanted.source),
        ("status = ?", wanted.status),
        # A bulk request is answered 200 even when its operations failed; its detail tells.
        ("(status >= ? OR detail <> '')", 400 if wanted.errors_only else None),
        ("method = ?", None if wanted.method is None else wanted.method.upper()),
        ("resource_kind = ? COLLATE NOCASE", wanted.kind),
        ("resource_id = ?", wanted.resource),
        ("time >= ?", wanted.since),
        ("time < ?", wanted.until),
    ]
    if wanted.text:
        # SQLite's own lower() knows ASCII only; it needs no Python, which would slow the hub's other threads.
        lower = "lower" if wanted.text.isascii() else "folded"
        connection.create_scalar_function("folded", _folded, 1, deterministic=True)
        places = " || char(10) || ".join(("path", "query", "detail", "coalesce(request, '')", "coalesce(answer, '')"))
        wishes.append((f"instr({lower}({places}), ?) > 0", _folded(wanted.text)))
    kept = [(term, value) for term, value in wishes if value is not None]
    return _Terms(" AND ".join(("TRUE", *(term for term, _ in kept))), tuple(value for _, value in kept))


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


# --------------------------------------------------------------------------- forgetting, also for attempts


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
