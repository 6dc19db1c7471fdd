"""What resources are now, for destinations that are told their states; see ``distribution.ports.StateReader``."""

from collections.abc import Mapping, Sequence
from typing import Literal

import orjson

from scimhub.directory.records import Change, StoredResource
from scimhub.sqlstore import changes, counters, walking
from scimhub.sqlstore.connection import Connection, Database

_RESOURCE = f"{walking.SELECT} WHERE r.id = ?"
_NEWEST = """
SELECT position, id, operation, directory, kind, version, source, exchange_id, time
FROM changes WHERE resource_id = ? ORDER BY position DESC LIMIT 1"""
# A commit is seen before its change has a position, where another step gives that; and a group may have any number of members.
_Unread = Literal["unnumbered", "large"]
# So many members are read while everything else waits.
_FEW_MEMBERS = 100


def read(connection: Connection, resource_id: str, most: int | None = None) -> Change | _Unread | None:
    """The newest change of the resource, with the document and all its members, if there are no more of them than ``most``."""
    with connection.one_moment():
        row = connection.fetch_one(_NEWEST, (resource_id,))
        found = connection.fetch_one(_RESOURCE, (resource_id,))
        members = (
            () if found is None else tuple(changes.members_of(connection, resource_id, None if most is None else most + 1))
        )
    if most is not None and len(members) > most:
        return "large"
    if row is None:
        return None if found is None else "unnumbered"
    position, id, operation, directory, kind, version, source, exchange_id, time = row
    resource = None if found is None else StoredResource(*found)
    if (operation == "deleted") != (resource is None) or (resource is not None and resource.version != version):
        return "unnumbered"
    return Change(
        position,
        id,
        "deleted" if resource is None else "updated",
        directory,
        kind,
        resource_id,
        version,
        source,
        exchange_id,
        time,
        after=None if resource is None else resource.document,
        before={},
        external_id=None if resource is None else resource.external_id,
        members_added=members,
        members_removed=(),
    )


_VERSIONS = "SELECT id, version FROM resources WHERE directory = ?1 AND id IN (SELECT value FROM json_each(?2))"
_CHANGED = """
SELECT position, resource_id FROM changes WHERE position > ? AND position <= ? AND directory = ? ORDER BY position LIMIT ?"""


class States:
    """The part of the store that says what resources are now."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_state(self, resource_id: str) -> Change | None:
        # Its newest change has its position as soon as this is asked, unless another one was committed meanwhile.
        while True:
            await self._database.number_changes()
            found = await self._database.read(lambda connection: read(connection, resource_id, _FEW_MEMBERS))
            if found == "large":
                found = await self._database.read_aside(lambda connection: read(connection, resource_id))
            if found != "unnumbered" and found != "large":
                return found

    async def versions_of(self, directory: int, ids: Sequence[str]) -> Mapping[str, int]:
        values = (directory, orjson.dumps(list(ids)).decode())
        return dict(await self._database.read_aside(lambda connection: connection.fetch(_VERSIONS, values)))

    async def count_resources(self, directory: int) -> Mapping[str, int]:
        return await self._database.read(lambda connection: counters.by_kind(connection, directory))

    async def changed_resources(self, directory: int, after: int, until: int, limit: int) -> Sequence[tuple[int, str]]:
        values = (after, until, directory, limit)
        rows = await self._database.read_aside(lambda connection: connection.fetch(_CHANGED, values))
        return [(position, id) for position, id in rows]
