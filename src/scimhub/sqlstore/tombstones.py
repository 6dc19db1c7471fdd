"""What remains of deleted resources, so that a returning person can get the old id back (DECISIONS 13)."""

from dataclasses import dataclass

import orjson

from scimhub import clock
from scimhub.directory.intents import Actor
from scimhub.directory.records import StoredResource, Tombstone
from scimhub.sqlstore import rows
from scimhub.sqlstore.connection import Connection

_BURY = """
INSERT INTO tombstones (id, directory, kind, version, created, deleted, deleted_by, purge_after, document, unique_keys)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_BURY_LINKS = """
INSERT INTO tombstone_links (source, external_id, tombstone, directory)
SELECT source, external_id, ?2, directory FROM links WHERE resource = ?1"""


def bury(connection: Connection, actor: Actor, stored: StoredResource, version: int, deleted: str, days: int) -> None:
    """Make a tombstone of a resource whose rows are still there. ``version`` is that of the deletion."""
    unique_keys = orjson.dumps(rows.unique_values(connection, stored.key)).decode()
    connection.execute(
        _BURY,
        (
            stored.id,
            actor.directory,
            stored.kind,
            version,
            stored.created,
            deleted,
            actor.source,
            clock.later(deleted, days=days),
            stored.document,
            unique_keys,
        ),
    )
    connection.execute(_BURY_LINKS, (stored.key, stored.id))


@dataclass(frozen=True, slots=True)
class Revivable:
    """What a tombstone hands on to the resource that takes its id again."""

    id: str
    version: int
    created: str


_FIND_REVIVABLE = """
SELECT t.id, t.version, t.created
FROM tombstone_links AS l
JOIN tombstones AS t ON t.id = l.tombstone
WHERE l.source = ? AND l.external_id = ? AND t.directory = ? AND t.kind = ? AND t.purge_after > ?
ORDER BY t.deleted DESC LIMIT 1"""


def find_revivable(connection: Connection, actor: Actor, kind: str, external_id: str) -> Revivable | None:
    """The last deleted resource that the actor's source gave this externalId, within its window."""
    values = (actor.source, external_id, actor.directory, kind, actor.now)
    row = connection.fetch_one(_FIND_REVIVABLE, values)
    return None if row is None else Revivable(*row)


_RETURN_LINKS = """
INSERT INTO links (source, resource, external_id, directory)
SELECT source, ?2, external_id, directory FROM tombstone_links WHERE tombstone = ?1"""


def open_for(connection: Connection, id: str, key: int) -> None:
    """Give the tombstone's links to the resource with that key, and remove the tombstone."""
    connection.execute(_RETURN_LINKS, (id, key))
    connection.execute("DELETE FROM tombstones WHERE id = ?", (id,))


_FIND = """
SELECT id, kind, version, created, deleted, deleted_by, purge_after, document
FROM tombstones WHERE id = ? AND directory = ?"""


def find(connection: Connection, directory: int, id: str) -> Tombstone | None:
    """The directory's tombstone with that id."""
    row = connection.fetch_one(_FIND, (id, directory))
    return None if row is None else Tombstone(*row)


_PURGE = "DELETE FROM tombstones WHERE id IN (SELECT id FROM tombstones WHERE purge_after <= ? LIMIT ?)"


def purge(connection: Connection, now: str, limit: int) -> int:
    """Remove tombstones whose time has passed, at most ``limit``; how many there were."""
    return connection.run(_PURGE, (now, limit))
