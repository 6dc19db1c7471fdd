"""Directories and what an administrator adds to them; see ``directory.ports.DirectoryStore``."""

from collections.abc import Mapping, Sequence
from functools import partial

import orjson

from scimhub.directory.errors import Absent, Conflict
from scimhub.directory.intents import Content, Reindexed, UniqueConflict
from scimhub.directory.records import Directory, Unmapped
from scimhub.sqlstore import changes, counters, memberships, rows, searching
from scimhub.sqlstore.connection import Connection, Database

# How many resources, or positions of the log, one transaction of a directory's deletion takes.
_DELETED_AT_ONCE = 1000
_BLANKED_AT_ONCE = 20_000

_CREATE = """
INSERT INTO directories (name, created, catalog_version, additions) VALUES (?, ?, 1, '{}')
ON CONFLICT (name) DO NOTHING
RETURNING key"""
_COLUMNS = "SELECT key, name, created, catalog_version, deletion_requested FROM directories"


def find(connection: Connection, key: int) -> Directory:
    """The directory with the key; raises Absent."""
    row = connection.fetch_one(f"{_COLUMNS} WHERE key = ?", (key,))
    if row is None:
        raise Absent("The directory is not there any more.")
    return Directory(*row)


def create(connection: Connection, name: str, now: str) -> Directory:
    """A new directory; raises Conflict when the name is taken."""
    made = connection.fetch_one(_CREATE, (name, now))
    if made is None:
        raise Conflict(f"There is a directory {name} already.")
    return find(connection, made[0])


_REQUEST_DELETION = "UPDATE directories SET deletion_requested = coalesce(deletion_requested, ?) WHERE key = ?"


def request_deletion(connection: Connection, key: int, now: str) -> Directory:
    """Note the first step of the deletion; a second request changes nothing."""
    connection.execute(_REQUEST_DELETION, (now, key))
    return find(connection, key)


def find_additions(connection: Connection, key: int) -> dict[str, object]:
    """What was added to the standard schemas and types; raises Absent."""
    row = connection.fetch_one("SELECT additions FROM directories WHERE key = ?", (key,))
    if row is None:
        raise Absent("The directory is not there any more.")
    document: dict[str, object] = orjson.loads(row[0])
    return document


_SAVE_ADDITIONS = """
UPDATE directories SET additions = ?1, catalog_version = catalog_version + 1
WHERE key = ?2 AND (CAST(?3 AS BIGINT) IS NULL OR catalog_version = ?3) RETURNING catalog_version"""


def save_additions(connection: Connection, key: int, text: str, expected: int | None) -> int:
    """Keep the document; the catalog's next version. Raises Absent, or Conflict unless it is at the expected one."""
    row = connection.fetch_one(_SAVE_ADDITIONS, (text, key, expected))
    if row is None:
        name = find(connection, key).name
        raise Conflict(f"The schemas of directory {name} were changed by somebody else meanwhile; look at them and try again.")
    return int(row[0])


# --------------------------------------------------------------------------- deleting


def _begin_deletion(connection: Connection, key: int) -> None:
    """Close the door: without tokens nobody writes what would have to be deleted again."""
    directory = find(connection, key)
    if directory.deletion_requested is None:
        raise Conflict(f"The deletion of directory {directory.name} was not requested.")
    connection.execute("DELETE FROM destinations WHERE directory = ?", (key,))
    for index in searching.of_directory(connection, key):
        searching.drop(connection, index)
    connection.execute("DELETE FROM tokens WHERE source IN (SELECT key FROM sources WHERE directory = ?)", (key,))


def _delete_some(connection: Connection, key: int) -> bool:
    """Delete some of the directory's resources; whether there were any."""
    keys = connection.fetch("SELECT key FROM resources WHERE directory = ? LIMIT ?", (key, _DELETED_AT_ONCE))
    for (resource,) in keys:
        memberships.remove_all(connection, resource)
        rows.remove(connection, resource)
    return bool(keys)


def _blank_some(connection: Connection, directory: int, after: int) -> None:
    changes.blank(connection, directory, after, _BLANKED_AT_ONCE)


def _finish_deletion(connection: Connection, key: int) -> bool:
    """Delete the rest and the directory itself; False when a resource has come in between."""
    if _delete_some(connection, key):
        return False
    connection.execute("DELETE FROM tombstones WHERE directory = ?", (key,))
    connection.execute("DELETE FROM counters WHERE directory = ?", (key,))
    connection.execute("DELETE FROM tokens WHERE source IN (SELECT key FROM sources WHERE directory = ?)", (key,))
    connection.execute("DELETE FROM sources WHERE directory = ?", (key,))
    connection.execute("DELETE FROM directories WHERE key = ?", (key,))
    return True


# --------------------------------------------------------------------------- content that schemas change


def reindex(connection: Connection, directory: int, kind: str, contents: Mapping[int, Content]) -> Reindexed:
    """Rewrite the derived rows of resources whose document is still the content's."""
    conflicts: list[UniqueConflict] = []
    overtaken: set[int] = set()
    for key, content in contents.items():
        if not rows.renew_normal(connection, directory, key, content):
            overtaken.add(key)
        else:
            held = rows.conflicts(connection, directory, kind, key, content.unique)
            paths = {conflict.path for conflict in held}
            free = tuple(pair for pair in content.unique if pair[0] not in paths)
            present = rows.values_of(connection, key)
            rows.replace_unique(connection, directory, kind, key, present.unique, free)
            rows.replace_index(connection, directory, kind, key, present.indexed, content.indexed)
            conflicts += held
    return Reindexed(conflicts, overtaken)


# The limit counts resources, so that no resource's rows are torn apart by a page's end.
_UNMAPPED = """
SELECT u.resource, u.kind, r.id, u.source, u.document
FROM unmapped AS u JOIN resources AS r ON r.key = u.resource
WHERE u.directory = ?1 AND u.kind = ?2 AND u.resource IN (
    SELECT DISTINCT resource FROM unmapped WHERE directory = ?1 AND kind = ?2 AND resource > ?3 ORDER BY resource LIMIT ?4)
ORDER BY u.resource, u.source"""


def unmapped(connection: Connection, directory: int, kind: str, after: int, limit: int) -> list[Unmapped]:
    """What sources sent for the next resources behind the key that no schema knew."""
    return [Unmapped(*row) for row in connection.fetch(_UNMAPPED, (directory, kind, after, limit))]


_HOLDING = "SELECT source, resource, document FROM unmapped WHERE directory = ? AND instr(document, ?) > 0"


def drop_unmapped(connection: Connection, directory: int, names: Sequence[str]) -> None:
    """Forget the content under these top-level names."""
    written = [orjson.dumps(name).decode() for name in names]
    rows_of = {row[:2]: row[2] for name in written for row in connection.fetch(_HOLDING, (directory, name))}
    for (source, resource), document in rows_of.items():
        content = orjson.loads(document)
        rest = {name: value for name, value in content.items() if name not in names}
        if not rest:
            connection.execute("DELETE FROM unmapped WHERE source = ? AND resource = ?", (source, resource))
        elif len(rest) < len(content):
            values = (orjson.dumps(rest).decode(), source, resource)
            connection.execute("UPDATE unmapped SET document = ? WHERE source = ? AND resource = ?", values)


# --------------------------------------------------------------------------- the store's part


class Directories:
    """The part of ``directory.ports.DirectoryStore`` that is about directories themselves."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_directory(self, name: str, now: str) -> Directory:
        def note(created: Directory) -> None:
            self._database.note_catalog_version(created.key, created.catalog_version)

        return await self._database.write(lambda connection: create(connection, name, now), committed=note)

    async def list_directories(self) -> list[Directory]:
        return await self._database.read(
            lambda connection: [Directory(*row) for row in connection.fetch(f"{_COLUMNS} ORDER BY name")]
        )

    async def find_directory(self, name: str) -> Directory | None:
        row = await self._database.read(lambda connection: connection.fetch_one(f"{_COLUMNS} WHERE name = ?", (name,)))
        return None if row is None else Directory(*row)

    async def request_directory_deletion(self, directory: int, now: str) -> Directory:
        return await self._database.write(lambda connection: request_deletion(connection, directory, now))

    async def delete_directory(self, directory: int) -> None:
        """In many transactions; one that a crash ends can be asked for again. Its changes stay, blanked."""

        def forget(_: object) -> None:
            self._database.note_catalog_version(directory, 0)

        await self._database.write(lambda connection: _begin_deletion(connection, directory), directory, "alone", forget)
        # Who looked meanwhile has seen it once more.
        while not await self._database.write(
            lambda connection: _finish_deletion(connection, directory), directory, "alone", forget
        ):
            pass
        await self._database.number_changes()
        newest = await self._database.read(changes.last_position)
        for after in range(0, newest, _BLANKED_AT_ONCE):
            await self._database.write(partial(_blank_some, directory=directory, after=after), directory, "alone")

    async def count_resources(self, directory: int) -> Mapping[str, int]:
        return await self._database.read(lambda connection: counters.by_kind(connection, directory))

    def catalog_version(self, directory: int) -> int:
        return self._database.catalog_version(directory)

    async def find_additions(self, directory: int) -> Mapping[str, object]:
        return await self._database.read(lambda connection: find_additions(connection, directory))

    async def save_additions(self, directory: int, additions: Mapping[str, object], expected: int | None = None) -> int:
        def note(version: int) -> None:
            self._database.note_catalog_version(directory, version)

        text = orjson.dumps(additions).decode()
        # Nobody writes to the directory meanwhile, so that each write finds the catalog as it was computed by or as it is now.
        return await self._database.write(
            lambda connection: save_additions(connection, directory, text, expected), directory, "alone", note
        )

    async def reindex(self, directory: int, kind: str, contents: Mapping[int, Content]) -> Reindexed:
        return await self._database.write(lambda connection: reindex(connection, directory, kind, contents), directory, "alone")

    async def unmapped(self, directory: int, kind: str, after: int, limit: int) -> Sequence[Unmapped]:
        return await self._database.read_aside(lambda connection: unmapped(connection, directory, kind, after, limit))

    async def drop_unmapped(self, directory: int, names: Sequence[str]) -> None:
        await self._database.write(lambda connection: drop_unmapped(connection, directory, names), directory, "alone")
