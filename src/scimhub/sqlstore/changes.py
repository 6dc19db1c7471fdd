"""The change log: one row for each committed write to one resource, at dense positions (DECISIONS 7)."""

import apsw
import orjson

from scimhub.directory.intents import Actor
from scimhub.directory.records import Change, Operation
from scimhub.sqlstore import sqlite
from scimhub.sqlstore.database import Database
from scimhub.sqlstore.memberships import NO_DELTA, Delta
from scimhub.sqlstore.sqlite import Row

# A read of more rows than this leaves the caller's thread.
_QUICK_ROWS = 100

# The position is the rowid: SQLite takes the largest there is plus one, so what was rolled back leaves no gap.
_APPEND = """
INSERT INTO changes
    (id, operation, directory, kind, resource_id, version, source, exchange_id, time, after, before, external_id,
     members_added, members_removed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""


def append(
    connection: apsw.Connection,
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
        _APPEND,
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
        ),
    )
    return change_id


_READ = """
SELECT position, id, operation, directory, kind, resource_id, version, source, exchange_id, time, after, before, external_id,
    members_added, members_removed
FROM changes WHERE position > ? ORDER BY position LIMIT ?"""


def read(connection: apsw.Connection, after: int, limit: int) -> list[Change]:
    """The changes behind the position, in order."""
    return [_change(row) for row in sqlite.fetch(connection, _READ, (after, limit))]


def last_position(connection: apsw.Connection) -> int:
    """The newest position, 0 when nothing was ever written."""
    row: Row = sqlite.fetch_one(connection, "SELECT coalesce(max(position), 0) FROM changes")
    return int(row[0])


# Personal data goes, the position and who wrote when stay.
_BLANK = """
UPDATE changes SET after = NULL, before = NULL, external_id = NULL, members_added = NULL, members_removed = NULL
WHERE directory = ?1 AND position > ?2 AND position <= ?2 + ?3"""


def blank(connection: apsw.Connection, directory: int, after: int, count: int) -> None:
    """Blank the directory's changes among the ``count`` positions behind ``after``."""
    connection.execute(_BLANK, (directory, after, count))


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
    """The part of the store that is the change log; see ``directory.ports.ChangeLog``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_changes(self, after: int, limit: int) -> list[Change]:
        if limit <= _QUICK_ROWS:
            return self._database.read(lambda connection: read(connection, after, limit))
        return await self._database.read_aside(lambda connection: read(connection, after, limit))

    async def last_position(self) -> int:
        return self._database.read(last_position)
