"""Members as rows: added and removed as sets, without ever loading a group's members.

Ids come in as one JSON array, so that the SQL text does not depend on how many there are, and the difference made comes
back from the statement that made it.
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from scimhub.directory.intents import MemberEdit
from scimhub.directory.records import GroupView
from scimhub.sqlstore.connection import Connection, Row, SqlValue

_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Delta:
    """The ids of the members that came and went, each in order of id."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)


NO_DELTA = Delta()

MISSING = """
SELECT wanted.value FROM json_each(?1) AS wanted
WHERE NOT EXISTS (SELECT 1 FROM resources AS r WHERE r.id = wanted.value AND r.directory = ?2)
GROUP BY wanted.value ORDER BY min(wanted.key) LIMIT ?3"""
ADD = """
INSERT INTO memberships (group_key, member)
SELECT ?1, r.key FROM json_each(?2) AS wanted CROSS JOIN resources AS r ON r.id = wanted.value AND r.directory = ?3
WHERE true
ON CONFLICT DO NOTHING
RETURNING (SELECT id FROM resources WHERE key = member)"""
REMOVE = """
DELETE FROM memberships
WHERE group_key = ?1 AND member IN (
    SELECT r.key FROM json_each(?2) AS wanted CROSS JOIN resources AS r ON r.id = wanted.value)
RETURNING (SELECT id FROM resources WHERE key = member)"""
_REMOVE_OTHERS = """
DELETE FROM memberships
WHERE group_key = ?1 AND member NOT IN (
    SELECT r.key FROM json_each(?2) AS wanted CROSS JOIN resources AS r ON r.id = wanted.value)
RETURNING (SELECT id FROM resources WHERE key = member)"""


def missing(connection: Connection, directory: int, ids: Sequence[str]) -> tuple[str, ...]:
    """The first few of the ids that are no resources of the directory."""
    if not ids:
        return ()
    rows = connection.fetch(MISSING, missing_values(directory, ids))
    return tuple(str(row[0]) for row in rows)


def missing_values(directory: int, ids: Sequence[str]) -> tuple[SqlValue, ...]:
    """What is bound to ``MISSING``."""
    return (_array(ids), directory, _MOST_NAMED)


def add_values(group: int, directory: int, ids: Sequence[str]) -> tuple[SqlValue, ...]:
    """What is bound to ``ADD``."""
    return (group, _array(ids), directory)


def removed_by(wish: MemberEdit) -> list[str]:
    """The ids that the edit removes. What is both removed and added stays or comes: it must not appear as having gone."""
    return sorted(set(wish.remove).difference(wish.add))


def remove_values(group: int, wish: MemberEdit) -> tuple[SqlValue, ...]:
    """What is bound to ``REMOVE``."""
    return (group, _array(removed_by(wish)))


def edit(connection: Connection, directory: int, group: int, wish: MemberEdit) -> Delta:
    """Carry out the edit and say what it changed. Ids to add must exist; ids to remove need not (RFC 7644 §3.5.2.2)."""
    if wish.exact:
        removed = _changed(connection, _REMOVE_OTHERS, (group, _array(wish.add)))
    else:
        removed = _changed(connection, REMOVE, remove_values(group, wish)) if wish.remove else ()
    return Delta(add(connection, directory, group, wish.add), removed)


def add(connection: Connection, directory: int, group: int, ids: Sequence[str]) -> tuple[str, ...]:
    """Make the resources members; the ids of those that were not."""
    return _changed(connection, ADD, add_values(group, directory, ids)) if ids else ()


def _changed(connection: Connection, sql: str, values: tuple[SqlValue, ...]) -> tuple[str, ...]:
    return tuple(sorted(str(row[0]) for row in connection.fetch(sql, values)))


def _array(ids: Sequence[str]) -> str:
    return orjson.dumps(list(ids)).decode()


def remove_all(connection: Connection, key: int) -> None:
    """Take the resource out of all its groups, and all its members out of it."""
    connection.execute("DELETE FROM memberships WHERE member = ?", (key,))
    connection.execute("DELETE FROM memberships WHERE group_key = ?", (key,))


_COUNT_UP_TO = """
SELECT (SELECT count(*) FROM (SELECT 1 FROM memberships WHERE group_key = ?1 LIMIT ?2) AS inside)
     + (SELECT count(*) FROM (SELECT 1 FROM memberships WHERE member = ?1 LIMIT ?2) AS outside)"""


def is_many(connection: Connection, key: int, limit: int) -> bool:
    """Whether the resource has, or is among, more than ``limit`` members; found without counting them all."""
    row = connection.fetch_one(_COUNT_UP_TO, (key, limit + 1))
    return bool(row[0] > limit)


# --------------------------------------------------------------------------- reading

_COUNTS = """
SELECT CAST(wanted.value AS BIGINT),
    (SELECT count(*) FROM (SELECT 1 FROM memberships AS m WHERE m.group_key = CAST(wanted.value AS BIGINT) LIMIT ?2) AS inside)
FROM json_each(?1) AS wanted"""
_KEYS = "SELECT member FROM memberships WHERE group_key = ? AND member > ? ORDER BY member LIMIT ?"
_KEYS_AT_ONCE = 50_000


def counts(connection: Connection, groups: Sequence[int], limit: int) -> dict[int, int]:
    """How many members each of the groups has; of more than ``limit`` no more than one is counted."""
    return dict(connection.fetch(_COUNTS, (orjson.dumps(list(groups)).decode(), limit + 1)))


def keys(connection: Connection, group: int) -> Sequence[int]:
    """The keys of all members, in their order and eight bytes each."""
    found = array("q")
    last = 0
    while chunk := connection.fetch(_KEYS, (group, last, _KEYS_AT_ONCE)):
        found.extend(row[0] for row in chunk)
        last = found[-1]
    return found


def some_json(connection: Connection, keys: Sequence[int], locations: Mapping[str, str]) -> str | None:
    """The resources with these keys as members in the text of a JSON array; None when one of them is gone."""
    values = (orjson.dumps(list(keys)).decode(), orjson.dumps(dict(locations)).decode())
    text, amount = connection.fetch_one(connection.dialect.some_members_json(), values)
    return str(text) if amount == len(keys) else None


# The last column tells whether the group is in a group itself; not with EXISTS, see ``rows.COLUMNS``.
DIRECT_GROUPS = """
SELECT m.member, r.id, r.kind, r.display, TRUE,
    (SELECT 1 FROM memberships AS p WHERE p.member = m.group_key LIMIT 1) IS NOT NULL
FROM json_each(?1) AS wanted
CROSS JOIN memberships AS m ON m.member = CAST(wanted.value AS BIGINT)
CROSS JOIN resources AS r ON r.key = m.group_key
ORDER BY m.member, m.group_key"""

# UNION keeps each (member, group, direct) once, so that groups that contain each other end the recursion.
ALL_GROUPS = """
WITH RECURSIVE reached (member, group_key, direct) AS (
    SELECT m.member, m.group_key, 1
    FROM json_each(?1) AS wanted CROSS JOIN memberships AS m ON m.member = CAST(wanted.value AS BIGINT)
    UNION
    SELECT reached.member, m.group_key, 0 FROM reached CROSS JOIN memberships AS m ON m.member = reached.group_key
)
SELECT reached.member, r.id, r.kind, r.display, max(reached.direct) AS is_direct
FROM reached CROSS JOIN resources AS r ON r.key = reached.group_key
GROUP BY reached.member, reached.group_key, r.id, r.kind, r.display
ORDER BY reached.member, is_direct DESC, reached.group_key"""


def groups_of(connection: Connection, keys: Sequence[int]) -> dict[int, list[GroupView]]:
    """The groups of each of the resources, direct ones first; a resource without any has no entry."""
    rows = connection.fetch(DIRECT_GROUPS, groups_values(keys))
    if are_nested(rows):
        rows = connection.fetch(ALL_GROUPS, groups_values(keys))
    return groups_in(rows)


def groups_values(keys: Sequence[int]) -> tuple[SqlValue, ...]:
    """What is bound to ``DIRECT_GROUPS`` and to ``ALL_GROUPS``."""
    return (orjson.dumps(list(keys)).decode(),)


def are_nested(rows: Sequence[Row]) -> bool:
    """Whether what ``DIRECT_GROUPS`` gave is not all, since groups among it are in groups themselves.

    Few directories nest their groups, and the recursion costs twice as much as the look-up.
    """
    return any(row[5] for row in rows)


def groups_in(rows: Sequence[Row]) -> dict[int, list[GroupView]]:
    """What either statement gave, by member."""
    groups: dict[int, list[GroupView]] = {}
    for member, id, kind, display, direct, *_ in rows:
        groups.setdefault(member, []).append(GroupView(id, kind, display, bool(direct)))
    return groups


def members_json(connection: Connection, group: int, locations: Mapping[str, str]) -> str | None:
    """The members as the text of a JSON array, oldest resource first; None when there are none."""
    row = connection.fetch_one(connection.dialect.members_json(), (group, orjson.dumps(dict(locations)).decode()))
    return None if row[0] == "[]" else str(row[0])
