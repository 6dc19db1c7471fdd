"""What the brake on removals asks of the store; see ``distribution.ports.BrakeStore``."""

from collections.abc import Mapping, Sequence

import orjson

from scimhub.distribution import brake
from scimhub.distribution.delivery import Choice, Destination, HeldCause, Kept, KeptRemoval
from scimhub.sqlstore import destinations
from scimhub.sqlstore.connection import Connection, Database, Row

# --------------------------------------------------------------------------- how many there are

# Who says nothing of ``active`` is active (RFC 7643 §4.1.1); a false elsewhere in the document makes the number smaller,
# and the brake stricter.
_ACTIVE = """
SELECT count(*), coalesce(max(part.key), 0), coalesce(sum(CASE WHEN part.document LIKE '%"active":false%' THEN 0 ELSE 1 END), 0)
FROM (SELECT key, document FROM resources WHERE directory = ?1 AND kind = ?2 AND key > ?3 ORDER BY key LIMIT ?4) AS part"""
_MEMBERSHIPS = """
SELECT count(*), coalesce(max(part.key), 0),
    coalesce(sum((SELECT count(*) FROM memberships AS m WHERE m.group_key = part.key)), 0)
FROM (SELECT key FROM resources WHERE directory = ?1 AND kind = ?2 AND key > ?3 ORDER BY key LIMIT ?4) AS part"""
_LEAVERS = """
SELECT count(DISTINCT resource_id) FROM changes WHERE leaver = 1 AND position > ?1 AND directory = ?2 AND kind = ?3"""
_MEMBERS_OF = "SELECT count(*) FROM memberships WHERE group_key = ?"

# --------------------------------------------------------------------------- what is kept


def _of_change(column: str) -> str:
    """What the change says of the removal that is held, asked for each by its position.

    A join is planned while hardly anything is held, and PostgreSQL then walks the log for each of ten thousand.
    """
    return f"(SELECT {column} FROM changes AS c LEFT JOIN sources AS s ON s.key = c.source WHERE c.position = h.first_position)"


_CHOSEN = f"""
FROM held AS h
WHERE h.destination = ?1 AND h.cause = 'brake'
    AND (CAST(?2 AS TEXT) IS NULL OR {_of_change("c.exchange_id")} = ?2)
    AND (CAST(?3 AS TEXT) IS NULL OR {_of_change("s.name")} = ?3)"""
_COUNT = f"SELECT count(*) {_CHOSEN}"
_KEPT_IDS = f"SELECT h.resource_id, h.first_position {_CHOSEN}"
_TOLD = ", ".join(
    map(_of_change, ("c.kind", "c.operation", "c.time", "c.exchange_id", "s.name", "coalesce(c.after, c.before)"))
)
_KEPT_REMOVALS = f"""
SELECT h.resource_id, h.first_position, h.since, h.next_attempt, h.removes, h.removed, {_TOLD}
{_CHOSEN} AND h.first_position > ?4
ORDER BY h.first_position LIMIT ?5"""
_SORTS = """
SELECT removes, sum(removed), sum(CASE WHEN next_attempt IS NULL THEN 1 ELSE 0 END) FROM held
WHERE destination = ? AND cause = 'brake' GROUP BY removes ORDER BY removes"""
_DECIDE = """
UPDATE held SET cause = ?3, until = ?4, next_attempt = ?5, attempts = 0, error = '', removes = '', removed = 0
WHERE destination = ?1 AND resource_id = ?2"""
_KEEP = """
INSERT INTO kept (destination, resource_id, position, time) VALUES (?, ?, ?, ?)
ON CONFLICT (destination, resource_id) DO UPDATE SET time = excluded.time"""
_KEPT = """
SELECT resource_id, position, time FROM kept WHERE destination = ?1 AND resource_id > ?2 ORDER BY resource_id LIMIT ?3"""
# Chosen by ids, which are looked for among all that is kept.
_ANY_NUMBER = 2_000_000_000
_SET = "UPDATE destinations SET brake = ?, updated = ? WHERE key = ?"
_SET_STATE = "UPDATE destinations SET brake_state = ? WHERE key = ?"


def decide(connection: Connection, key: int, choice: Choice, cause: HeldCause, until: int, now: str, *, in_order: bool) -> int:
    """Let go, or give up, what the brake keeps of the choice, up to that position; of how many resources. Raises Absent."""
    known = destinations.get(connection, key)
    chosen = [row for row in _ids(connection, key, choice) if choice.resource_ids is None or row[0] in choice.resource_ids]
    for resource_id, position in chosen:
        connection.execute(_DECIDE, (key, resource_id, cause, until, now))
        if cause == "discarded":
            connection.execute(_KEEP, (key, resource_id, position, now))
    rest = connection.fetch_one(_COUNT, (key, None, None))[0]
    discards = cause == "discarded"
    state = brake.released(known.brake_state, is_over=rest == 0, until=until if in_order else 0, discards=discards)
    connection.execute(_SET_STATE, (orjson.dumps(state).decode(), key))
    return len(chosen)


def _ids(connection: Connection, key: int, choice: Choice) -> list[Row]:
    return connection.fetch(_KEPT_IDS, (key, choice.exchange_id, choice.source))


class Braking:
    """The part of the store that is about the brake."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count_active(self, directory: int, kind: str, after_key: int, limit: int) -> tuple[int, int, int]:
        return await self._counted(_ACTIVE, directory, kind, after_key, limit)

    async def count_memberships(self, directory: int, kind: str, after_key: int, limit: int) -> tuple[int, int, int]:
        return await self._counted(_MEMBERSHIPS, directory, kind, after_key, limit)

    async def count_members(self, group_key: int) -> int:
        row: Row = await self._database.read_aside(lambda connection: connection.fetch_one(_MEMBERS_OF, (group_key,)))
        return int(row[0])

    async def count_leavers(self, directory: int, kind: str, after: int) -> int:
        row: Row = await self._database.read_aside(lambda connection: connection.fetch_one(_LEAVERS, (after, directory, kind)))
        return int(row[0])

    async def set_brake(self, key: int, thresholds: Mapping[str, object], now: str) -> Destination:
        def work(connection: Connection) -> Destination:
            connection.execute(_SET, (orjson.dumps(thresholds).decode(), now, key))
            return destinations.get(connection, key)

        return await self._database.write(work)

    async def list_kept_removals(self, key: int, choice: Choice, after: int, limit: int) -> Sequence[KeptRemoval]:
        """In order of position; of the choice's resources when it names some."""

        def work(connection: Connection) -> list[KeptRemoval]:
            most = limit if choice.resource_ids is None else _ANY_NUMBER
            rows = connection.fetch(_KEPT_REMOVALS, (key, choice.exchange_id, choice.source, after, most))
            chosen = [row for row in rows if choice.resource_ids is None or row[0] in choice.resource_ids]
            return [KeptRemoval(*row) for row in chosen[:limit]]

        return await self._database.read_aside(work)

    async def count_kept_removals(self, key: int, choice: Choice) -> int:
        if choice.resource_ids is None:
            values = (key, choice.exchange_id, choice.source)
            row: Row = await self._database.read(lambda connection: connection.fetch_one(_COUNT, values))
            return int(row[0])
        rows = await self._database.read_aside(lambda connection: _ids(connection, key, choice))
        return sum(row[0] in choice.resource_ids for row in rows)

    async def sorts_kept(self, key: int) -> Sequence[tuple[str, int, int]]:
        rows = await self._database.read(lambda connection: connection.fetch(_SORTS, (key,)))
        return [(row[0], int(row[1]), int(row[2])) for row in rows]

    async def decide_kept(self, key: int, choice: Choice, cause: HeldCause, until: int, now: str, *, in_order: bool) -> int:
        def work(connection: Connection) -> int:
            return decide(connection, key, choice, cause, until, now, in_order=in_order)

        return await self._database.write(work)

    async def list_kept(self, key: int, after: str, limit: int) -> Sequence[Kept]:
        rows = await self._database.read(lambda connection: connection.fetch(_KEPT, (key, after, limit)))
        return [Kept(*row) for row in rows]

    async def _counted(self, sql: str, directory: int, kind: str, after_key: int, limit: int) -> tuple[int, int, int]:
        row: Row = await self._database.read_aside(
            lambda connection: connection.fetch_one(sql, (directory, kind, after_key, limit))
        )
        return int(row[0]), int(row[1]), int(row[2])
