"""Walking through a directory by key, for snapshots: short reads, none of which holds a transaction open for the next."""

from collections.abc import Sequence

from scimhub.directory.records import StoredResource
from scimhub.sqlstore.connection import Connection, Database

# The externalId is that of the source which wrote last, as in the last change of the resource.
SELECT = """
SELECT r.key, r.id, r.kind, r.version, r.created, r.last_modified, r.document,
    (SELECT l.external_id FROM links AS l WHERE l.source = r.modified_by AND l.resource = r.key),
    (SELECT 1 FROM memberships AS m WHERE m.member = r.key LIMIT 1) IS NOT NULL
FROM resources AS r"""
_RESOURCES = f"""{SELECT}
WHERE r.directory = ? AND r.kind = ? AND r.key > ?
ORDER BY r.key LIMIT ?"""


def resources(connection: Connection, directory: int, kind: str, after_key: int, limit: int) -> list[StoredResource]:
    """The next resources of the kind, in order of key."""
    return [StoredResource(*row) for row in connection.fetch(_RESOURCES, (directory, kind, after_key, limit))]


_MEMBERS = """
SELECT m.member, r.id FROM memberships AS m CROSS JOIN resources AS r ON r.key = m.member
WHERE m.group_key = ? AND m.member > ?
ORDER BY m.member LIMIT ?"""


def member_ids(connection: Connection, group: int, after_key: int, limit: int) -> list[tuple[int, str]]:
    """Keys and ids of the group's next members, in order of key."""
    return connection.fetch(_MEMBERS, (group, after_key, limit))


class Walking:
    """The part of the store that walks; see ``distribution.snapshot.Walk``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def walk(self, directory: int, kind: str, after_key: int, limit: int) -> Sequence[StoredResource]:
        return await self._database.read_aside(lambda connection: resources(connection, directory, kind, after_key, limit))

    async def member_ids(self, group: int, after_key: int, limit: int) -> Sequence[tuple[int, str]]:
        return await self._database.read_aside(lambda connection: member_ids(connection, group, after_key, limit))
