"""Moving a hub from an SQLite file to a PostgreSQL database: every row as it is, under the same keys, ids and positions.

All of it is one transaction at the target, so that a copy is whole or not there at all.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson

from scimhub.directory import additions
from scimhub.directory.errors import StoreUnusable
from scimhub.scim.paths import parse_attribute
from scimhub.sqlstore import searching
from scimhub.sqlstore.connection import Progress, Row, SqlValue
from scimhub.sqlstore.postgres import database as postgres
from scimhub.sqlstore.postgres import driver
from scimhub.sqlstore.postgres.driver import PostgresConnection
from scimhub.sqlstore.sqlite import database as sqlite

# Each behind those that it refers to.
_TABLES: Final = (
    "directories",
    "sources",
    "tokens",
    "resources",
    "links",
    "unique_values",
    "attribute_values",
    "memberships",
    "unmapped",
    "counters",
    "changes",
    "tombstones",
    "tombstone_links",
    "destinations",
    "destination_secrets",
    "held",
    "kept",
    "remote_resources",
    "remote_members",
    "backfills",
    "plans",
    "plan_items",
)
# Tables whose keys the server gives out, and the column.
_COUNTED: Final = (("directories", "key"), ("sources", "key"), ("destinations", "key"), ("counters", "number"))
_CHUNK = 5000

_INDEXES = """
SELECT s.directory, s.kind, s.path, s.created, d.additions
FROM search_indexes AS s JOIN directories AS d ON d.key = s.directory WHERE s.state <> 'removing' ORDER BY s.number"""

_GIVE = "INSERT INTO hub (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
_COUNT_ON = "SELECT setval(pg_get_serial_sequence('{0}', '{1}'), coalesce(max({1}), 0) + 1, FALSE) FROM {0}"
_NEWEST_KEY = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'resources'"


async def copy_database(
    source: Path, target: str, *, now: str, random: Callable[[int], bytes], progress: Progress | None = None
) -> dict[str, int]:
    """Copy the hub in the SQLite file, which must not run, into the empty PostgreSQL database; the rows of each table.

    Raises StoreUnusable.
    """
    hub = _open_source(source, now, random)
    try:
        server = await postgres.open_server(target, now=now, random=random, fold_version=1, connections=4)
        try:
            async with server.borrow() as raw:
                return await _copy(hub, raw, progress or _tell_nobody)
        except Exception as error:
            if driver.is_unavailable(error):
                raise StoreUnusable(f"The copy was broken off, and nothing of it is kept: {error}") from error
            raise
        finally:
            await server.close()
    finally:
        await hub.close()


async def _copy(hub: sqlite.FileDatabase, raw: Any, progress: Progress) -> dict[str, int]:
    if await raw.fetchval("SELECT EXISTS (SELECT 1 FROM directories)"):
        raise StoreUnusable("The target holds a hub with directories already; name an empty database.")
    counts = {table: int(_read(hub, f"SELECT count(*) FROM {table}")[0][0]) for table in _TABLES}
    total, done = sum(counts.values()), 0
    async with raw.transaction():
        # A large table takes longer than any statement of the hub may.
        await raw.execute("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
        for table in _TABLES:
            columns = [row[0] for row in _read(hub, "SELECT name FROM pragma_table_info(?)", (table,))]
            for rows in _chunks(hub, table, columns):
                await raw.copy_records_to_table(table, records=rows, columns=columns)
                done += len(rows)
                progress(done, total)
        await _carry_on(hub, raw)
        await raw.execute(postgres.ANALYZE)
        indexes = hub.read_here(lambda connection: connection.fetch(_INDEXES))
        counts["search_indexes_left_out"] = 0
        if indexes and not await raw.fetchval(postgres.HAS_TRIGRAMS):
            counts["search_indexes_left_out"] = len(indexes)
        else:
            await driver.carry_out(partial(_begin_indexes, indexes), PostgresConnection(raw))
    return counts


def _begin_indexes(indexes: list[Row], connection: PostgresConnection) -> None:
    """Make the search indexes, which the hub then fills as it does new ones."""
    for directory, kind_name, path, created, stored in indexes:
        kind = additions.build(additions.read(orjson.loads(stored)), 0).kinds[kind_name]
        target = kind.resolve(parse_attribute(path), short_names=False)
        if target is not None:
            searching.create(connection, directory, kind, target, created)


def _open_source(source: Path, now: str, random: Callable[[int], bytes]) -> sqlite.FileDatabase:
    if not source.exists():
        raise StoreUnusable(f"There is no database {source}.")
    return sqlite.open_file(source, now=now, random=random, fold_version=1)


def _read(hub: sqlite.FileDatabase, sql: str, values: tuple[SqlValue, ...] = ()) -> list[Row]:
    return hub.read_here(lambda connection: connection.fetch(sql, values))


def _chunks(hub: sqlite.FileDatabase, table: str, columns: list[str]) -> Iterator[list[Row]]:
    """The rows, some at a time, each chunk found by where the one before ended: by the table's primary key."""
    keys = [row[0] for row in _read(hub, "SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk", (table,))]
    shown = ", ".join("json(normal)" if column == "normal" else column for column in columns)
    places = [columns.index(key) for key in keys]
    order, marks = ", ".join(keys), ", ".join("?" * len(keys))
    where: str = "TRUE"
    last: tuple[SqlValue, ...] = ()
    while True:
        rows = _read(hub, f"SELECT {shown} FROM {table} WHERE {where} ORDER BY {order} LIMIT {_CHUNK}", last)
        if not rows:
            return
        yield rows
        where, last = f"({order}) > ({marks})", tuple(rows[-1][place] for place in places)


async def _carry_on(hub: sqlite.FileDatabase, raw: Any) -> None:
    """Have the target go on where the file stands: history, positions, and keys that were never given out."""
    await raw.executemany(_GIVE, _read(hub, "SELECT name, value FROM hub"))
    await raw.execute("UPDATE log_head SET position = (SELECT coalesce(max(position), 0) FROM changes)")
    for table, column in _COUNTED:
        await raw.execute(_COUNT_ON.format(table, column))
    newest = int(_read(hub, _NEWEST_KEY)[0][0])
    await raw.execute("SELECT setval('resource_keys', $1, FALSE)", newest + 1)
    await raw.execute("UPDATE destinations SET lease_owner = NULL")


def _tell_nobody(done: int, total: int) -> None:
    """Where nobody wants to know how far it is."""
