"""The list of search indexes, and the work on them: made, filled in short steps, taken away; see ``text_index``.

A step notes how far it came in its own transaction, so that it does not matter who does the next one, or whether two do.
"""

from collections.abc import Sequence
from functools import partial

from scimhub.directory.errors import Conflict, StoreUnavailable
from scimhub.directory.records import SearchIndex
from scimhub.scim.catalog import Kind, Target
from scimhub.sqlstore import counters, filter_keys, target_sql
from scimhub.sqlstore.connection import Connection, Database
from scimhub.sqlstore.target_sql import Context
from scimhub.sqlstore.text_index import Source

# Resources put in by one transaction, which others wait for.
_STEP = 500
# How often it is tried to get at the table of resources for long enough to make a trigger on it.
_TRIES = 5

_COLUMNS = "SELECT number, directory, kind, path, state, has_beginnings, done, total, created FROM search_indexes"
_CREATE = """
INSERT INTO search_indexes (directory, kind, path, state, has_beginnings, total, created)
VALUES (?, ?, ?, 'building', ?, ?, ?)
ON CONFLICT (directory, kind, path) DO NOTHING
RETURNING number"""
_NEXT_KEYS = """
SELECT r.key FROM search_indexes AS s JOIN resources AS r ON r.directory = s.directory AND r.kind = s.kind AND r.key > s.walked
WHERE s.number = ? ORDER BY r.key LIMIT ?"""
_NOTE = "UPDATE search_indexes SET walked = ?, done = done + ? WHERE number = ?"
_WALKED = "SELECT walked FROM search_indexes WHERE number = ?"
_BECOME = "UPDATE search_indexes SET state = ? WHERE number = ?"
_RENEW_CATALOG = "UPDATE directories SET catalog_version = catalog_version + 1 WHERE key = ? RETURNING catalog_version"


def find(connection: Connection, number: int) -> SearchIndex | None:
    """The search index with that number."""
    row = connection.fetch_one(f"{_COLUMNS} WHERE number = ?", (number,))
    return None if row is None else _shown(row)


def of_directory(connection: Connection, directory: int) -> list[SearchIndex]:
    """The directory's search indexes, in order of kind and path."""
    rows = connection.fetch(f"{_COLUMNS} WHERE directory = ? ORDER BY kind, path", (directory,))
    return [_shown(row) for row in rows]


def _shown(row: Sequence[object]) -> SearchIndex:
    number, directory, kind, path, state, has_beginnings, *rest = row
    # The columns' own types.
    return SearchIndex(number, directory, kind, path, state, bool(has_beginnings), *rest)  # type: ignore[arg-type]


def create(connection: Connection, directory: int, kind: Kind, target: Target, now: str) -> SearchIndex:
    """Make the tables and what keeps them from this commit on; what was there before is put in by ``fill_some``.

    Raises Conflict when the attribute has one.
    """
    has_beginnings = not filter_keys.has_look_up(target, kind)
    total = counters.total(connection, directory, (kind.name,))
    values = (directory, kind.name, target.key, has_beginnings, total, now)
    made = connection.fetch(_CREATE, values)
    if not made:
        raise Conflict(f"{target.key} of {kind.name} has a search index already; see scimhub index list.")
    number = int(made[0][0])
    source = _source(connection, directory, kind, target)
    for statement in connection.dialect.texts.make(number, source, has_beginnings=has_beginnings):
        connection.run(statement)
    return SearchIndex(number, directory, kind.name, target.key, "building", has_beginnings, 0, total, now)


def fill_some(connection: Connection, number: int, kind: Kind, target: Target) -> tuple[SearchIndex | None, int | None]:
    """Put the next resources in; the index as it is then, and the version of the catalog when that has come to know it."""
    index = find(connection, number)
    if index is None or index.state != "building":
        return index, None
    keys = [row[0] for row in connection.fetch(_NEXT_KEYS, (number, _STEP))]
    version = None
    if keys:
        source = _source(connection, index.directory, kind, target)
        walked = connection.fetch_one(_WALKED, (number,))[0]
        for statement in connection.dialect.texts.fill(number, source, has_beginnings=index.has_beginnings):
            connection.run(statement, (walked, keys[-1]))
        connection.run(_NOTE, (keys[-1], len(keys), number))
    if len(keys) < _STEP:
        for statement in connection.dialect.texts.settle(number):
            connection.run(statement)
        version = _become(connection, index, "ready")
    return find(connection, number), version


def give_up(connection: Connection, number: int) -> tuple[SearchIndex | None, int | None]:
    """Have filters use the index no longer; as it is then, and the version of the catalog that does not know it."""
    index = find(connection, number)
    if index is None or index.state == "removing":
        return index, None
    version = _become(connection, index, "removing")
    return find(connection, number), version


def _become(connection: Connection, index: SearchIndex, state: str) -> int:
    connection.run(_BECOME, (state, index.number))
    return int(connection.fetch(_RENEW_CATALOG, (index.directory,))[0][0])


def drop(connection: Connection, index: SearchIndex) -> None:
    """Take the index away, with all that it holds."""
    if connection.run("DELETE FROM search_indexes WHERE number = ?", (index.number,)):
        for statement in connection.dialect.texts.drop(index.number, has_beginnings=index.has_beginnings):
            connection.run(statement)


def _source(connection: Connection, directory: int, kind: Kind, target: Target) -> Source:
    dialect = connection.dialect
    # What lies in ``normal`` does not depend on who asks.
    place = target_sql.place(target, Context(directory, kind, 0, "", "", dialect))
    values = f"SELECT {place.value} AS value" + (f" FROM {place.rows}" if place.rows else "")
    return Source(directory, kind.name, values, dialect.json_differs(target_sql.json_path(target)))


class Searching:
    """The part of the store that keeps search indexes; see ``directory.ports.IndexStore``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_indexes(self, directory: int) -> list[SearchIndex]:
        return await self._database.read(lambda connection: of_directory(connection, directory))

    async def create_index(self, directory: int, kind: Kind, target: Target, now: str) -> SearchIndex:
        await self._database.check_searchable()
        work = partial(create, directory=directory, kind=kind, target=target, now=now)
        for tries_left in reversed(range(_TRIES)):
            try:
                return await self._database.write(work, directory, "alone")
            except StoreUnavailable:
                # Somebody reads long; see ``postgres.text_index``.
                if not tries_left:
                    raise
        raise AssertionError("unreachable")

    async def fill_index(self, index: SearchIndex, kind: Kind, target: Target) -> SearchIndex | None:
        work = partial(fill_some, number=index.number, kind=kind, target=target)
        return await self._renewing(index, work)

    async def give_up_index(self, index: SearchIndex) -> SearchIndex | None:
        return await self._renewing(index, partial(give_up, number=index.number))

    async def drop_index(self, index: SearchIndex) -> None:
        await self._database.write(lambda connection: drop(connection, index), index.directory, "alone")

    async def _renewing(self, index: SearchIndex, work: "partial[tuple[SearchIndex | None, int | None]]") -> SearchIndex | None:
        def note(done: tuple[SearchIndex | None, int | None]) -> None:
            if done[1] is not None:
                self._database.note_catalog_version(index.directory, done[1])

        found, _ = await self._database.write(work, index.directory, "alone", note)
        return found
