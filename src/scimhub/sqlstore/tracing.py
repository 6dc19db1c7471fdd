"""Reading the log and the resources by what a person knows, for timelines; see ``timeline.ports.Trail``.

These are questions of an administrator, asked now and then: they get no index of their own, and where there is none they
look at a bounded number of the newest rows, on a thread for long reads.
"""

from collections.abc import Mapping, Sequence

import orjson

from scimhub.directory.records import Change
from scimhub.sqlstore import changes
from scimhub.sqlstore.connection import Connection, Database, Row
from scimhub.timeline.ports import Place, Scan
from scimhub.timeline.records import Subject

# How far back, in positions, former names are looked for; how many tombstones are looked at.
_MOST_SCANNED = 200_000

_PRESENT = """
SELECT r.id, r.kind, r.document, r.display, 0
FROM resources AS r """
_BURIED = """
SELECT t.id, t.kind, t.document, NULL, 1
FROM tombstones AS t """
_BY_ID = (_PRESENT + "WHERE r.id = ?2 AND r.directory = ?1", _BURIED + "WHERE t.id = ?2 AND t.directory = ?1")
_OF_DIRECTORY = "(SELECT key FROM sources WHERE directory = ?1)"
_BY_LINK = (
    _PRESENT + f"JOIN links AS l ON l.resource = r.key WHERE l.source IN {_OF_DIRECTORY} AND l.external_id = ?2",
    _BURIED + f"JOIN tombstone_links AS l ON l.tombstone = t.id WHERE l.source IN {_OF_DIRECTORY} AND l.external_id = ?2",
)
_AT_PLACE = (
    " AS v ON v.resource = r.key WHERE v.directory = ?1 AND v.kind = ?2 AND v.path = ?3 AND v.value IN (?4, ?5) LIMIT ?6"
)
_BY_VALUE = (_PRESENT + "JOIN unique_values" + _AT_PLACE, _PRESENT + "JOIN attribute_values" + _AT_PLACE)
# Every value that people are known by stands in quotes in the document; which attribute it belongs to does not matter here.
_BURIED_AS = _BURIED + "WHERE t.directory = ?1 AND instr(lower(t.document), ?2) > 0 LIMIT ?3"


def find_subjects(connection: Connection, directory: int, text: str, places: Sequence[Place], limit: int) -> list[Subject]:
    """See ``Trail.find_subjects``."""
    rows = [row for sql in (*_BY_ID, *_BY_LINK) for row in connection.fetch(sql, (directory, text))]
    for place in places:
        for sql in _BY_VALUE:
            rows += connection.fetch(sql, (directory, place.kind, place.path, *place.values, limit))
    rows += connection.fetch(_BURIED_AS, (directory, _quoted(text), limit))
    found = {row[0]: _subject(row) for row in rows}
    if text not in found:
        # Purged long ago perhaps, but the log knows the id.
        found |= {subject.id: subject for subject in _of_log(connection, directory, text)}
    return list(found.values())[:limit]


def _quoted(text: str) -> str:
    """The text as it stands in a stored document, as SQLite's lower() would write it."""
    return "".join(each.lower() if each.isascii() else each for each in orjson.dumps(text).decode())


_LAST_OF = """
SELECT resource_id, kind, coalesce(after, before), NULL, after IS NULL
FROM changes WHERE resource_id = ? AND directory = ? ORDER BY position DESC LIMIT 1"""


def _of_log(connection: Connection, directory: int, id: str) -> list[Subject]:
    return [_subject(row) for row in connection.fetch(_LAST_OF, (id, directory))]


def _subject(row: Row) -> Subject:
    id, kind, document, display, is_deleted = row
    known = {} if document is None else orjson.loads(document)
    name = known.get("userName") or display or known.get("displayName") or ""
    return Subject(id, kind, name if isinstance(name, str) else "", bool(is_deleted))


_FORMER = """
SELECT resource_id FROM changes
WHERE position > ?1 AND directory = ?2 AND instr(lower(before), ?3) > 0
GROUP BY resource_id ORDER BY max(position) DESC LIMIT ?4"""


def find_former(connection: Connection, directory: int, text: str, limit: int) -> list[Subject]:
    """See ``Trail.find_former``."""
    first = changes.last_position(connection) - _MOST_SCANNED
    rows = connection.fetch(_FORMER, (first, directory, _quoted(text), limit))
    return [subject for (id,) in rows for subject in _of_log(connection, directory, id)]


_MEMBERSHIPS = """
SELECT position FROM changes
WHERE position > ?1 AND directory = ?2 AND (instr(members_added, ?3) > 0 OR instr(members_removed, ?3) > 0)
ORDER BY position"""


def membership_changes(connection: Connection, directory: int, member: str, limit: int) -> Scan:
    """See ``Trail.membership_changes``; the last ``limit`` positions are looked at."""
    first = max(0, changes.last_position(connection) - limit)
    rows = connection.fetch(_MEMBERSHIPS, (first, directory, f'"{member}"'))
    return Scan([changes.read(connection, position - 1, 1)[0] for (position,) in rows], first + 1)


_WITH_ID = "SELECT position FROM changes WHERE id = ? AND directory = ?"
_LAST_POSITIONS = "SELECT position FROM changes WHERE resource_id = ? AND directory = ? ORDER BY position DESC LIMIT ?"


def with_ids(connection: Connection, directory: int, ids: Sequence[str]) -> list[Change]:
    """The directory's changes with these ids, in order of position."""
    rows = [row for id in ids for row in connection.fetch(_WITH_ID, (id, directory))]
    return [changes.read(connection, position - 1, 1)[0] for (position,) in sorted(rows)]


def last_of(connection: Connection, directory: int, resource_id: str, limit: int) -> list[Change]:
    """The newest changes of the resource, in order of position."""
    rows = connection.fetch(_LAST_POSITIONS, (resource_id, directory, limit))
    return [changes.read(connection, position - 1, 1)[0] for (position,) in reversed(rows)]


_NAMES = f"""{_PRESENT}
WHERE r.id IN (SELECT value FROM json_each(?2)) AND r.directory = ?1"""


class Tracing:
    """The part of the store that timelines ask; see ``timeline.ports.Trail``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_change(self, directory: int, id: str) -> Change | None:
        await self._database.number_changes()
        found = await self._database.read(lambda connection: with_ids(connection, directory, [id]))
        return found[0] if found else None

    async def changes_with_ids(self, directory: int, ids: Sequence[str]) -> Sequence[Change]:
        await self._database.number_changes()
        return await self._database.read_aside(lambda connection: with_ids(connection, directory, ids))

    async def last_changes_of(self, directory: int, resource_id: str, limit: int) -> Sequence[Change]:
        await self._database.number_changes()
        return await self._database.read_aside(lambda connection: last_of(connection, directory, resource_id, limit))

    async def membership_changes(self, directory: int, member: str, limit: int) -> Scan:
        await self._database.number_changes()
        return await self._database.read_aside(lambda connection: membership_changes(connection, directory, member, limit))

    async def find_subjects(self, directory: int, text: str, places: Sequence[Place], limit: int) -> Sequence[Subject]:
        return await self._database.read_aside(lambda connection: find_subjects(connection, directory, text, places, limit))

    async def find_former(self, directory: int, text: str, limit: int) -> Sequence[Subject]:
        return await self._database.read_aside(lambda connection: find_former(connection, directory, text, limit))

    async def names_of(self, directory: int, ids: Sequence[str]) -> Mapping[str, str]:
        def work(connection: Connection) -> Mapping[str, str]:
            rows = connection.fetch(_NAMES, (directory, orjson.dumps(list(ids)).decode()))
            subjects = [_subject(row) for row in rows]
            return {subject.id: subject.name for subject in subjects if subject.name}

        return await self._database.read_aside(work)

    async def source_names(self, directory: int) -> Mapping[int, str]:
        sql = "SELECT key, name FROM sources WHERE directory = ?"
        return dict(await self._database.read(lambda connection: connection.fetch(sql, (directory,))))
