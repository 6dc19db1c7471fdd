"""Reading and writing resources: the part of the store that every SCIM request uses; see ``directory.ports``."""

from collections.abc import Mapping, Sequence

from scimhub.directory.intents import Intent, Outcome
from scimhub.directory.ports import Page, Roll, Selection
from scimhub.directory.records import GroupView, StoredResource, Tombstone
from scimhub.sqlstore import execution, lookup, memberships, rows, selection, tombstones
from scimhub.sqlstore.connection import Connection, Database
from scimhub.sqlstore.execution import Rules
from scimhub.sqlstore.selection import Asked

# A group with more members than this is written out on another thread.
_QUICK_MEMBERS = 500
_QUICK_KEYS = 200


class Resources:
    """See ``directory.ports.ResourceStore``. ``scan_limit`` is the most resources read for one unindexed answer."""

    def __init__(self, database: Database, rules: Rules, scan_limit: int) -> None:
        self._database = database
        self._rules = rules
        self._scan_limit = scan_limit

    async def find(self, directory: int, kind: str, id: str, source: int) -> StoredResource | None:
        found = await self._database.fetch(rows.FIND, (source, id, directory, kind))
        return StoredResource._make(found[0]) if found else None

    async def select(self, wanted: Selection) -> Page:
        database = self._database
        question = lookup.question(wanted, database.dialect)
        if question is not None:
            page = lookup.page_of(wanted, await database.fetch(*question))
            if page is not None:
                return page
        asked = Asked(wanted, database.log_epoch, database.dialect)

        def select(connection: Connection) -> Page:
            return selection.select(connection, asked, self._scan_limit)

        if selection.is_quick(asked):
            return await database.read(select)
        return await database.read_aside(select)

    async def groups_of(self, keys: Sequence[int]) -> Mapping[int, Sequence[GroupView]]:
        if not keys:
            return {}
        if len(keys) > _QUICK_KEYS:
            return await self._database.read_aside(lambda connection: memberships.groups_of(connection, keys))
        # Each request that shows somebody asks this, so that those of many may be asked together.
        values = memberships.groups_values(keys)
        found = await self._database.fetch(memberships.DIRECT_GROUPS, values)
        if memberships.are_nested(found):
            found = await self._database.fetch(memberships.ALL_GROUPS, values)
        return memberships.groups_in(found)

    async def member_counts(self, groups: Sequence[int], limit: int) -> Mapping[int, int]:
        return await self._database.read(lambda connection: memberships.counts(connection, groups, limit))

    async def members_json(self, group: int, locations: Mapping[str, str], count: int | None = None) -> str | None:
        def write_out(connection: Connection) -> str | None:
            return memberships.members_json(connection, group, locations)

        if count is None:
            count = (await self.member_counts([group], _QUICK_MEMBERS))[group]
        if count > _QUICK_MEMBERS:
            return await self._database.read_aside(write_out)
        return await self._database.read(write_out) if count else None

    async def find_roll(self, directory: int, kind: str, id: str, source: int) -> Roll | None:
        def find(connection: Connection) -> Roll | None:
            # For SQLite's threads; with PostgreSQL it is one moment already.
            with connection.one_moment():
                found = rows.find(connection, directory, kind, id, source)
                return None if found is None else Roll(found, memberships.keys(connection, found.key))

        return await self._database.read_aside(find)

    async def some_members_json(self, keys: Sequence[int], locations: Mapping[str, str]) -> str | None:
        return await self._database.read_aside(lambda connection: memberships.some_json(connection, keys, locations))

    async def submit(self, intent: Intent) -> Outcome:
        is_large = execution.names_many(intent)
        if not is_large and execution.may_touch_many(intent):
            is_large = await self._database.read(lambda connection: execution.touches_many(connection, intent))
        work = execution.CarryOut(intent, self._rules)
        return await self._database.write(work, intent.actor.directory, "alone" if is_large else "shared")

    async def find_tombstone(self, directory: int, id: str) -> Tombstone | None:
        return await self._database.read(lambda connection: tombstones.find(connection, directory, id))

    async def purge_tombstones(self, now: str, limit: int = 1000) -> int:
        """Remove tombstones whose window has passed; how many there were."""
        return await self._database.write(lambda connection: tombstones.purge(connection, now, limit), None)
