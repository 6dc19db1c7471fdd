"""What destinations have been given, under ids of their own; see ``distribution.ledger.Ledger``."""

from collections.abc import Sequence

import orjson

from scimhub.distribution.ledger import Entry, MemberState, Pending, Remote
from scimhub.sqlstore.connection import Connection, Database, Row, SqlValue

_COLUMNS = "resource_id, resource_type, state, version, updated, remote_id, etag, written, awaits, delete_at"

# --------------------------------------------------------------------------- resources

_FIND = f"SELECT {_COLUMNS} FROM remote_resources WHERE destination = ? AND resource_id = ?"
_CLAIM = f"SELECT {_COLUMNS} FROM remote_resources WHERE destination = ? AND resource_type = ? AND remote_id = ?"
_LIST = f"""
SELECT {_COLUMNS},
    (SELECT count(*) FROM remote_members AS m
     WHERE m.destination = t.destination AND m.group_id = t.resource_id AND m.state <> 'written')
FROM remote_resources AS t
WHERE t.destination = ? AND t.resource_id > ?
ORDER BY t.resource_id LIMIT ?"""
# Sorted here: asked for an order, SQLite goes by the index that has it and reads all of the destination's resources.
_AWAITING = f"SELECT {_COLUMNS} FROM remote_resources WHERE destination = ? AND awaits = ? AND awaits IS NOT NULL"
_DUE = f"""
SELECT {_COLUMNS} FROM remote_resources
WHERE destination = ? AND delete_at IS NOT NULL AND delete_at <= ? ORDER BY delete_at LIMIT ?"""
_SAVE = """
INSERT INTO remote_resources
    (destination, resource_id, resource_type, state, version, updated, remote_id, etag, written, awaits, delete_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (destination, resource_id) DO UPDATE SET resource_type = excluded.resource_type, state = excluded.state,
    version = excluded.version, updated = excluded.updated, remote_id = excluded.remote_id, etag = excluded.etag,
    written = excluded.written, awaits = excluded.awaits, delete_at = excluded.delete_at"""
_RELEASE = """
UPDATE remote_resources SET remote_id = NULL, etag = NULL, state = 'gone', delete_at = NULL
WHERE destination = ? AND resource_id = ?"""
_CLAIMS = """
SELECT remote_id, resource_id FROM remote_resources
WHERE destination = ?1 AND resource_type = ?2 AND remote_id IN (SELECT value FROM json_each(?3))"""
_EXISTS = "SELECT 1 FROM destinations WHERE key = ?"

# A resource type and a remote id of it.
_Claim = tuple[str, str | None]


def find(connection: Connection, destination: int, resource_id: str) -> Remote | None:
    """What is known of the resource."""
    row = connection.fetch_one(_FIND, (destination, resource_id))
    return None if row is None else _remote(row)


def find_claim(connection: Connection, destination: int, resource_type: str, remote_id: str) -> Remote | None:
    """Who has the remote id."""
    row = connection.fetch_one(_CLAIM, (destination, resource_type, remote_id))
    return None if row is None else _remote(row)


def list_entries(connection: Connection, destination: int, after: str, limit: int) -> list[Entry]:
    """The next entries, in order of resource id."""
    rows = connection.fetch(_LIST, (destination, after, limit))
    return [Entry(_remote(row[:-1]), row[-1]) for row in rows]


def list_awaiting(connection: Connection, destination: int, resource_id: str) -> list[Remote]:
    """Those that wait for the resource's remote id."""
    found = [_remote(row) for row in connection.fetch(_AWAITING, (destination, resource_id))]
    return sorted(found, key=lambda remote: remote.resource_id)


def list_due(connection: Connection, destination: int, now: str, limit: int) -> list[Remote]:
    """Those to be deleted by now."""
    return [_remote(row) for row in connection.fetch(_DUE, (destination, now, limit))]


def save(connection: Connection, destination: int, remotes: Sequence[Remote], releases: str | None = None) -> list[bool]:
    """Write the rows; False for each of which another resource has the remote id. Nothing when the destination is gone."""
    if connection.fetch_one(_EXISTS, (destination,)) is None:
        return [True] * len(remotes)
    if releases is not None:
        connection.execute(_RELEASE, (destination, releases))
    claims = _claims(connection, destination, remotes)
    held = {resource_id: claim for claim, resource_id in claims.items()}
    is_saved, rows = list[bool](), list[tuple[SqlValue, ...]]()
    for one in remotes:
        claim = (one.resource_type, one.remote_id)
        if is_free := one.remote_id is None or claims.get(claim, one.resource_id) == one.resource_id:
            # What it had before somebody behind it may have.
            claims.pop(held.get(one.resource_id, claim), None)
            claims[claim] = one.resource_id
            rows.append(_row(destination, one))
        is_saved.append(is_free)
    connection.executemany(_SAVE, rows)
    return is_saved


def _claims(connection: Connection, destination: int, remotes: Sequence[Remote]) -> dict[_Claim, str]:
    """Who has the remote ids of these, by resource type and remote id."""
    wanted: dict[str, list[str]] = {}
    for one in remotes:
        if one.remote_id is not None:
            wanted.setdefault(one.resource_type, []).append(one.remote_id)
    found: dict[_Claim, str] = {}
    for resource_type, ids in wanted.items():
        for id, resource_id in connection.fetch(_CLAIMS, (destination, resource_type, orjson.dumps(ids).decode())):
            found[resource_type, id] = resource_id
    return found


def _row(destination: int, remote: Remote) -> tuple[SqlValue, ...]:
    values = (remote.resource_id, remote.resource_type, remote.state, remote.version, remote.updated, remote.remote_id)
    written = orjson.dumps(remote.written, option=orjson.OPT_SORT_KEYS).decode()
    return (destination, *values, remote.etag, written, remote.awaits, remote.delete_at)


def _remote(row: Row) -> Remote:
    values = list(row)
    values[7] = orjson.loads(row[7])
    return Remote(*values)


# --------------------------------------------------------------------------- members

_ADD = """
INSERT INTO remote_members (destination, group_id, member_id, state) VALUES (?, ?, ?, 'waiting')
ON CONFLICT (destination, group_id, member_id) DO UPDATE
SET state = CASE WHEN remote_members.state = 'written' THEN 'written' ELSE 'waiting' END"""
_REMOVE = "UPDATE remote_members SET state = 'leaving' WHERE destination = ? AND group_id = ? AND member_id = ?"
_PENDING = """
SELECT m.member_id, r.remote_id, r.resource_type
FROM remote_members AS m
LEFT JOIN remote_resources AS r ON r.destination = m.destination AND r.resource_id = m.member_id
WHERE m.destination = ? AND m.group_id = ? AND m.state = ?
ORDER BY m.member_id"""
_PENDING_MEMBER = """
SELECT m.member_id, r.remote_id, r.resource_type
FROM remote_members AS m
LEFT JOIN remote_resources AS r ON r.destination = m.destination AND r.resource_id = m.member_id
WHERE m.destination = ? AND m.group_id = ? AND m.state = ? AND m.member_id = ?"""
_ADDED = """
UPDATE remote_members SET state = 'written'
WHERE destination = ? AND group_id = ? AND member_id = ? AND state = 'waiting'"""
_REMOVED = "DELETE FROM remote_members WHERE destination = ? AND group_id = ? AND member_id = ? AND state = 'leaving'"
_GROUPS = "SELECT group_id FROM remote_members WHERE destination = ? AND member_id = ? AND state = ?"
_FORGET_MEMBERSHIPS = """
UPDATE remote_members SET state = 'waiting' WHERE destination = ? AND member_id = ? AND state = 'written'"""
_FORGET_LEAVING = "DELETE FROM remote_members WHERE destination = ? AND group_id = ? AND state = 'leaving'"
_FORGET_WRITTEN = "UPDATE remote_members SET state = 'waiting' WHERE destination = ? AND group_id = ? AND state = 'written'"
_FORGET_ALL = "DELETE FROM remote_members WHERE destination = ? AND group_id = ?"


def note_members(connection: Connection, destination: int, group: str, added: Sequence[str], removed: Sequence[str]) -> None:
    """What the group's members are to be; nothing when the destination is gone."""
    if connection.fetch_one(_EXISTS, (destination,)) is None:
        return
    connection.executemany(_ADD, [(destination, group, member) for member in added])
    connection.executemany(_REMOVE, [(destination, group, member) for member in removed])


_WHOLE = """
INSERT INTO remote_members (destination, group_id, member_id, state, told) VALUES (?, ?, ?, 'waiting', ?)
ON CONFLICT (destination, group_id, member_id) DO UPDATE SET told = excluded.told,
    state = CASE WHEN remote_members.state = 'written' THEN 'written' ELSE 'waiting' END"""
_OTHERS_LEAVE = """
UPDATE remote_members SET state = 'leaving' WHERE destination = ? AND group_id = ? AND told IS DISTINCT FROM ?"""
_OWE = """
INSERT INTO remote_members (destination, group_id, member_id, state) VALUES (?, ?, ?, ?)
ON CONFLICT (destination, group_id, member_id) DO UPDATE SET state = excluded.state"""


def note_whole(connection: Connection, destination: int, group: str, members: Sequence[str], told: str, is_last: bool) -> None:
    """A part of all members; nothing when the destination is gone."""
    if connection.fetch_one(_EXISTS, (destination,)) is None:
        return
    connection.executemany(_WHOLE, [(destination, group, member, told) for member in members])
    if is_last:
        connection.execute(_OTHERS_LEAVE, (destination, group, told))


def owe_members(connection: Connection, destination: int, group: str, added: Sequence[str], removed: Sequence[str]) -> None:
    """Have these memberships written, whatever their state; nothing when the destination is gone."""
    if connection.fetch_one(_EXISTS, (destination,)) is None:
        return
    connection.executemany(_OWE, [(destination, group, member, "waiting") for member in added])
    connection.executemany(_OWE, [(destination, group, member, "leaving") for member in removed])


def list_pending(connection: Connection, destination: int, group: str, state: MemberState, member: str | None) -> list[Pending]:
    """The group's memberships in that state, or that of one member."""
    if member is None:
        rows = connection.fetch(_PENDING, (destination, group, state))
    else:
        rows = connection.fetch(_PENDING_MEMBER, (destination, group, state, member))
    return [Pending(*row) for row in rows]


def confirm_members(connection: Connection, destination: int, group: str, added: Sequence[str], removed: Sequence[str]) -> None:
    """These additions and removals were written."""
    connection.executemany(_ADDED, [(destination, group, member) for member in added])
    connection.executemany(_REMOVED, [(destination, group, member) for member in removed])


def forget_members(connection: Connection, destination: int, group: str, for_good: bool) -> None:
    """The group is gone there."""
    if for_good:
        connection.execute(_FORGET_ALL, (destination, group))
        return
    connection.execute(_FORGET_LEAVING, (destination, group))
    connection.execute(_FORGET_WRITTEN, (destination, group))


# --------------------------------------------------------------------------- the store's part


class Ledgers:
    """The part of the store that is the ledger of all destinations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_remote(self, destination: int, resource_id: str) -> Remote | None:
        return await self._database.read(lambda connection: find(connection, destination, resource_id))

    async def find_claim(self, destination: int, resource_type: str, remote_id: str) -> Remote | None:
        return await self._database.read(lambda connection: find_claim(connection, destination, resource_type, remote_id))

    async def list_remotes(self, destination: int, after: str, limit: int) -> Sequence[Entry]:
        return await self._database.read_aside(lambda connection: list_entries(connection, destination, after, limit))

    async def save_remote(self, destination: int, remote: Remote, *, releases: str | None = None) -> bool:
        [is_saved] = await self._database.write(
            lambda connection: save(connection, destination, [remote], releases), -destination
        )
        return is_saved

    async def save_remotes(self, destination: int, remotes: Sequence[Remote]) -> Sequence[bool]:
        return await self._database.write(lambda connection: save(connection, destination, remotes), -destination)

    async def list_awaiting(self, destination: int, resource_id: str) -> Sequence[Remote]:
        return await self._database.read(lambda connection: list_awaiting(connection, destination, resource_id))

    async def list_due(self, destination: int, now: str, limit: int) -> Sequence[Remote]:
        return await self._database.read(lambda connection: list_due(connection, destination, now, limit))

    async def note_members(self, destination: int, group: str, added: Sequence[str], removed: Sequence[str]) -> None:
        await self._database.write(
            lambda connection: note_members(connection, destination, group, added, removed), -destination
        )

    async def note_whole(self, destination: int, group: str, members: Sequence[str], told: str, *, is_last: bool) -> None:
        await self._database.write(
            lambda connection: note_whole(connection, destination, group, members, told, is_last), -destination
        )

    async def owe_members(self, destination: int, group: str, added: Sequence[str], removed: Sequence[str]) -> None:
        await self._database.write(lambda connection: owe_members(connection, destination, group, added, removed), -destination)

    async def owe_all_members(self, destination: int, group: str) -> None:
        values = (destination, group)
        await self._database.write(lambda connection: connection.run(_FORGET_WRITTEN, values), -destination)

    async def list_pending(
        self, destination: int, group: str, state: MemberState, member: str | None = None
    ) -> Sequence[Pending]:
        def work(connection: Connection) -> list[Pending]:
            return list_pending(connection, destination, group, state, member)

        return await self._database.read_aside(work) if member is None else await self._database.read(work)

    async def confirm_members(self, destination: int, group: str, added: Sequence[str], removed: Sequence[str]) -> None:
        await self._database.write(
            lambda connection: confirm_members(connection, destination, group, added, removed), -destination
        )

    async def list_groups_of(self, destination: int, member: str, state: MemberState) -> Sequence[str]:
        rows = await self._database.read(lambda connection: connection.fetch(_GROUPS, (destination, member, state)))
        return sorted(row[0] for row in rows)

    async def forget_memberships(self, destination: int, member: str) -> None:
        values = (destination, member)
        await self._database.write(lambda connection: connection.run(_FORGET_MEMBERSHIPS, values), -destination)

    async def forget_members(self, destination: int, group: str, *, for_good: bool) -> None:
        await self._database.write(lambda connection: forget_members(connection, destination, group, for_good), -destination)
