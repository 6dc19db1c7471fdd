"""The change log: one row for each committed write to one resource, at dense positions (DECISIONS 7)."""

from collections.abc import Callable
from functools import cache

import orjson

from scimhub import clock
from scimhub.directory.intents import Actor
from scimhub.directory.records import Change, Operation
from scimhub.sqlstore.connection import Connection, Database, Row
from scimhub.sqlstore.dialect import Dialect
from scimhub.sqlstore.memberships import NO_DELTA, Delta

# A read of more rows than this leaves the caller's thread.
_QUICK_ROWS = 100


@cache
def _append(dialect: Dialect) -> str:
    # On SQLite the position is the rowid: it takes the largest there is plus one, so what was rolled back leaves no gap.
    return f"""
INSERT INTO {dialect.appends_to}
    (id, operation, directory, kind, resource_id, version, source, exchange_id, time, after, before, external_id,
     members_added, members_removed, leaver)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""


def append(
    connection: Connection,
    actor: Actor,
    change_id: str,
    operation: Operation,
    kind: str,
    resource_id: str,
    version: int,
    time: str,
    after: str | None,
    external_id: str | None,
    before: str | None = None,
    delta: Delta = NO_DELTA,
) -> str:
    """Record one write of the actor; the change's id. ``before`` is the text of a JSON object, see ``Change``."""
    connection.execute(
        _append(connection.dialect),
        (
            change_id,
            operation,
            actor.directory,
            kind,
            resource_id,
            version,
            actor.source,
            actor.exchange_id,
            time,
            after,
            before,
            external_id,
            orjson.dumps(delta.added).decode() if delta.added else None,
            orjson.dumps(delta.removed).decode() if delta.removed else None,
            1 if operation == "deleted" or (before is not None and _deactivates(before, after)) else None,
        ),
    )
    return change_id


def _deactivates(before: str, after: str | None) -> bool:
    """Whether ``active`` became false, by the look of the texts: quick, and now and then yes where it is not so.

    Who finds the change by this looks at it before believing it (``distribution.subscription``).
    """
    was_active = '"active":true' in before or '"active":null' in before
    return was_active and after is not None and '"active":false' in after


_COLUMNS = """
    position, id, operation, directory, kind, resource_id, version, source, exchange_id, time, after, before, external_id,
    members_added, members_removed"""
_READ = f"SELECT {_COLUMNS} FROM changes WHERE position > ? ORDER BY position LIMIT ?"


def read(connection: Connection, after: int, limit: int) -> list[Change]:
    """The changes behind the position, in order."""
    return [_change(row) for row in connection.fetch(_READ, (after, limit))]


def last_position(connection: Connection) -> int:
    """The newest position, 0 when nothing was ever written."""
    row: Row = connection.fetch_one("SELECT coalesce(max(position), 0) FROM changes")
    return int(row[0])


_OF_RESOURCE = f"""
SELECT {_COLUMNS}
FROM changes WHERE resource_id = ? AND position BETWEEN ? AND ? ORDER BY position LIMIT ?"""


def read_of(connection: Connection, resource_id: str, first: int, last: int, limit: int) -> list[Change]:
    """The changes of one resource at these positions, in order."""
    return [_change(row) for row in connection.fetch(_OF_RESOURCE, (resource_id, first, last, limit))]


_LEAVERS = f"SELECT {_COLUMNS} FROM changes WHERE leaver = 1 AND position > ? ORDER BY position LIMIT ?"


def read_leavers(connection: Connection, after: int, limit: int) -> list[Change]:
    """The deletions and deactivations behind the position, in order, and now and then a change that is neither."""
    return [_change(row) for row in connection.fetch(_LEAVERS, (after, limit))]


# Times of neighbours may be out of order by as long as a request takes; a replay may begin a little early, never late.
_CLOCK_DISORDER = 60


def position_at(connection: Connection, time: str) -> int:
    """A position behind which everything from that time on lies, by halving."""
    early = clock.later(time, seconds=-_CLOCK_DISORDER)
    low, high = 0, last_position(connection)
    while low < high:
        middle = (low + high + 1) // 2
        (found,) = connection.fetch_one("SELECT time FROM changes WHERE position = ?", (middle,))
        if found < early:
            low = middle
        else:
            high = middle - 1
    return low


# --------------------------------------------------------------------------- retention

# Personal data goes, the position and who wrote when stay.
_BLANKED = "after = NULL, before = NULL, external_id = NULL, members_added = NULL, members_removed = NULL"
_BLANK = f"""
UPDATE changes SET {_BLANKED}
WHERE directory = ?1 AND position > ?2 AND position <= ?2 + ?3"""


def blank(connection: Connection, directory: int, after: int, count: int) -> None:
    """Blank the directory's changes among the ``count`` positions behind ``after``."""
    connection.execute(_BLANK, (directory, after, count))


_PURGED = "changes_purged"
_NOTE_PURGED = """
INSERT INTO hub (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"""
_PURGE = f"UPDATE changes SET {_BLANKED} WHERE position > ? AND position <= ?"


def purged_position(connection: Connection) -> int:
    """The position up to which content has been blanked; 0 at first."""
    row = connection.fetch_one("SELECT value FROM hub WHERE name = ?", (_PURGED,))
    return 0 if row is None else int(row[0])


def purge(connection: Connection, until: int) -> None:
    """Blank the content of all changes up to that position; positions, ids and versions stay."""
    connection.execute(_PURGE, (purged_position(connection), until))
    connection.execute(_NOTE_PURGED, (_PURGED, str(until)))


_MEMBERS = """
SELECT member.id
FROM resources AS home
JOIN memberships AS m ON m.group_key = home.key
JOIN resources AS member ON member.key = m.member
WHERE home.id = ? LIMIT ?"""
_ALL = 2**62


def members_of(connection: Connection, resource_id: str, most: int | None = None) -> list[str]:
    """The ids of the group's members now, or of so many of them."""
    return [row[0] for row in connection.fetch(_MEMBERS, (resource_id, _ALL if most is None else most))]


def _change(row: Row) -> Change:
    before, added, removed = row[11], row[13], row[14]
    values: Row = (
        *row[:11],
        {} if before is None else orjson.loads(before),
        row[12],
        () if added is None else tuple(orjson.loads(added)),
        () if removed is None else tuple(orjson.loads(removed)),
    )
    return Change(*values)


class Changes:
    """The part of the store that is the change log; see ``directory.ports.ChangeLog`` and ``distribution.ports``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_changes(self, after: int, limit: int) -> list[Change]:
        if limit <= _QUICK_ROWS:
            return await self._database.read(lambda connection: read(connection, after, limit))
        return await self._database.read_aside(lambda connection: read(connection, after, limit))

    async def read_changes_of(self, resource_id: str, first: int, last: int, limit: int) -> list[Change]:
        def work(connection: Connection) -> list[Change]:
            return read_of(connection, resource_id, first, last, limit)

        return await self._database.read(work) if limit <= _QUICK_ROWS else await self._database.read_aside(work)

    async def read_leavers(self, after: int, limit: int) -> list[Change]:
        return await self._database.read(lambda connection: read_leavers(connection, after, limit))

    async def last_position(self) -> int:
        await self._database.number_changes()
        return await self._database.read(last_position)

    async def known_position(self) -> int:
        head = self._database.known_head()
        return await self._database.read(last_position) if head is None else head

    async def purged_position(self) -> int:
        return await self._database.read(purged_position)

    async def position_at(self, time: str) -> int:
        await self._database.number_changes()
        return await self._database.read(lambda connection: position_at(connection, time))

    async def members_of(self, resource_id: str) -> list[str]:
        return await self._database.read_aside(lambda connection: members_of(connection, resource_id))

    async def purge_changes(self, until: int) -> None:
        await self._database.write(lambda connection: purge(connection, until), manner="alone")

    def on_commit(self, wake: Callable[[], None]) -> Callable[[], None]:
        return self._database.on_commit(wake)
