"""Destinations, where they stand and what is held for them; see ``distribution.ports.DestinationStore``."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from scimhub.directory.errors import Absent, Conflict
from scimhub.distribution.delivery import Destination, Held, Replay, Secret, State, Subscription
from scimhub.distribution.leases import LeaseLost
from scimhub.distribution.ports import Settlement
from scimhub.sqlstore import changes, directories
from scimhub.sqlstore import secrets as secret_rows
from scimhub.sqlstore.connection import Connection, Database, Row, SqlValue

_SELECT = """
SELECT t.key, t.id, t.directory, d.name, t.name, t.kind, t.configuration, t.subscription, t.subscription_version, t.state,
    t.reason, t.cursor, t.ahead, t.replay_id, t.replay_until, t.replay_resource, t.created, t.updated, t.brake, t.brake_state
FROM destinations AS t
JOIN directories AS d ON d.key = t.directory"""

# --------------------------------------------------------------------------- destinations

_CREATE = """
INSERT INTO destinations
    (id, directory, name, kind, configuration, subscription, subscription_version, state, reason, cursor, ahead, created,
     updated, brake)
VALUES (?, ?, ?, ?, ?, ?, 1, 'active', '', ?, '[]', ?, ?, ?)
ON CONFLICT (directory, name) DO NOTHING
RETURNING key"""


def create(
    connection: Connection,
    id: str,
    directory: int,
    name: str,
    kind: str,
    configuration: Mapping[str, object],
    subscription: Subscription,
    cursor: int | None,
    now: str,
    brake: Mapping[str, object] | None = None,
) -> Destination:
    """A new destination; raises Absent or Conflict."""
    home = directories.find(connection, directory)
    start = changes.last_position(connection) if cursor is None else cursor
    wish, thresholds = _subscription_text(subscription), orjson.dumps(brake or {}).decode()
    values = (id, directory, name, kind, orjson.dumps(configuration).decode(), wish, start, now, now, thresholds)
    made = connection.fetch_one(_CREATE, values)
    if made is None:
        raise Conflict(f"Directory {home.name} has a destination {name} already.")
    return get(connection, made[0])


def get(connection: Connection, key: int) -> Destination:
    """The destination with the key; raises Absent."""
    row = connection.fetch_one(f"{_SELECT} WHERE t.key = ?", (key,))
    if row is None:
        raise Absent("The destination is not there any more.")
    return _destination(row)


_UPDATE = """
UPDATE destinations
SET configuration = ?2, subscription = ?3, updated = ?4,
    subscription_version = CASE WHEN subscription = ?3 THEN subscription_version ELSE subscription_version + 1 END
WHERE key = ?1"""


def update(
    connection: Connection, key: int, configuration: Mapping[str, object], subscription: Subscription, now: str
) -> Destination:
    """Give the destination these; raises Absent."""
    connection.execute(_UPDATE, (key, orjson.dumps(configuration).decode(), _subscription_text(subscription), now))
    return get(connection, key)


def set_state(connection: Connection, key: int, state: State, reason: str, now: str) -> Destination:
    """Put the destination into the state; raises Absent."""
    connection.execute("UPDATE destinations SET state = ?, reason = ?, updated = ? WHERE key = ?", (state, reason, now, key))
    return get(connection, key)


_MOVE = """
UPDATE destinations SET cursor = ?2, ahead = '[]', replay_id = ?3, replay_until = ?4, replay_resource = NULL WHERE key = ?1"""


def move_cursor(connection: Connection, key: int, cursor: int, replay: Replay | None) -> Destination:
    """Put the cursor there; raises Absent."""
    connection.execute(_MOVE, (key, cursor, None if replay is None else replay.id, None if replay is None else replay.until))
    # Their events are met again on the way; what lies before the cursor stays owed.
    connection.execute("DELETE FROM held WHERE destination = ? AND first_position > ?", (key, cursor))
    return get(connection, key)


def delete(connection: Connection, key: int) -> None:
    """Remove the destination with all that belongs to it; raises Absent."""
    get(connection, key)
    connection.execute("DELETE FROM destinations WHERE key = ?", (key,))


def _subscription_text(subscription: Subscription) -> str:
    wish: dict[str, object] = {
        "types": subscription.types,
        "filters": subscription.filters,
        "attributes": subscription.attributes,
    }
    # Left out where there is none, so that what was written before there were mappings stays the same text.
    wish |= {"mapping": subscription.mapping} if subscription.mapping else {}
    wish |= {"style": subscription.style} if subscription.style != "event" else {}
    return orjson.dumps(wish, option=orjson.OPT_SORT_KEYS).decode()


def _destination(row: Row) -> Destination:
    wish: dict[str, Any] = orjson.loads(row[7])
    values: list[Any] = list(row)
    values[6] = orjson.loads(row[6])
    style = wish.get("style", "event")
    values[7] = Subscription(tuple(wish["types"]), wish["filters"], tuple(wish["attributes"]), wish.get("mapping", {}), style)
    values[12] = frozenset(orjson.loads(row[12]))
    values[18:20] = [orjson.loads(row[18]), orjson.loads(row[19])]
    values[13:16] = [None if row[13] is None else Replay(*row[13:16])]
    return Destination(*values)


_REPLAY = "UPDATE destinations SET replay_id = ?2, replay_until = ?3, replay_resource = ?4 WHERE key = ?1"


def replay_held(connection: Connection, key: int, replay: Replay, held: Held) -> Destination:
    """Begin a replay of what is owed of one resource; raises Absent."""
    connection.execute(_REPLAY, (key, replay.id, replay.until, replay.resource_id))
    changed = get(connection, key)
    hold(connection, key, held)
    return changed


_ACKNOWLEDGE = """
UPDATE destinations
SET cursor = ?3,
    replay_id = CASE WHEN ?4 = 1 THEN NULL ELSE replay_id END,
    replay_until = CASE WHEN ?4 = 1 THEN NULL ELSE replay_until END
WHERE key = ?1 AND cursor >= ?2 AND cursor < ?3"""

# --------------------------------------------------------------------------- settling

_SETTLE = """
UPDATE destinations
SET cursor = ?2, ahead = ?3,
    replay_id = CASE WHEN ?4 = 1 THEN NULL ELSE replay_id END,
    replay_until = CASE WHEN ?4 = 1 THEN NULL ELSE replay_until END
WHERE key = ?1 AND (CAST(?5 AS BIGINT) IS NULL OR lease_epoch = ?5)"""
_HOLD = """
INSERT INTO held
    (destination, resource_id, first_position, since, attempts, next_attempt, error, cause, until, removes, removed, ask)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (destination, resource_id) DO UPDATE SET first_position = excluded.first_position, since = excluded.since,
    attempts = excluded.attempts, next_attempt = excluded.next_attempt, error = excluded.error,
    cause = excluded.cause, until = excluded.until, removes = excluded.removes, removed = excluded.removed,
    ask = excluded.ask"""
_NOTE_BRAKE = "UPDATE destinations SET brake_state = ? WHERE key = ?"
_NO_LONGER_KEPT = "DELETE FROM kept WHERE destination = ? AND resource_id = ?"
_RELEASE = "DELETE FROM held WHERE destination = ? AND resource_id = ?"
_OWE_STATE = """
INSERT INTO held (destination, resource_id, first_position, since, attempts, next_attempt, error, cause, ask)
SELECT t.key, ?2, t.cursor + 1, ?4, 0, ?4, '', 'state', ?3 FROM destinations AS t WHERE t.key = ?1
ON CONFLICT (destination, resource_id) DO UPDATE SET cause = 'state', ask = excluded.ask, attempts = 0, until = NULL,
    next_attempt = excluded.next_attempt, error = '', removes = '', removed = 0
WHERE held.cause NOT IN ('brake', 'released', 'discarded')"""
_STATES_OF_KEPT = """
UPDATE held SET ask = ?2 WHERE destination = ?1 AND cause IN ('brake', 'released', 'discarded')"""
_HELD = """
SELECT resource_id, first_position, since, attempts, next_attempt, error, cause, until, removes, removed, ask FROM held"""


def settle(connection: Connection, key: int, settlement: Settlement) -> None:
    """Write where the destination stands; one transaction, see ``Settlement``. Nothing when it is gone.

    Raises LeaseLost when it has another lease than the settlement's.
    """
    ahead = orjson.dumps(sorted(settlement.ahead)).decode()
    values = (key, settlement.cursor, ahead, int(settlement.replay_is_over), settlement.lease_epoch)
    if connection.run(_SETTLE, values) == 0:
        if connection.fetch_one("SELECT 1 FROM destinations WHERE key = ?", (key,)) is not None:
            raise LeaseLost
        return
    connection.executemany(_HOLD, [_held_row(key, held) for held in settlement.holds])
    connection.executemany(_RELEASE, [(key, resource_id) for resource_id in settlement.releases])
    if settlement.brake_state is not None:
        connection.execute(_NOTE_BRAKE, (orjson.dumps(settlement.brake_state).decode(), key))
    for resource_id in settlement.returned:
        connection.execute(_NO_LONGER_KEPT, (key, resource_id))


def hold(connection: Connection, key: int, held: Held) -> None:
    """Write what is owed of one resource, whether something was written before or not."""
    connection.execute(_HOLD, _held_row(key, held))


def _held_row(key: int, held: Held) -> tuple[SqlValue, ...]:
    values = (held.resource_id, held.first_position, held.since, held.attempts, held.next_attempt, held.error)
    return (key, *values, held.cause, held.until, held.removes, held.removed, held.ask)


def list_held(connection: Connection, key: int) -> list[Held]:
    """What is held for the destination, in order of position."""
    rows = connection.fetch(f"{_HELD} WHERE destination = ? ORDER BY first_position, resource_id", (key,))
    return [Held(*row) for row in rows]


def _check_held(connection: Connection, key: int, resource_id: str) -> None:
    row = connection.fetch_one("SELECT 1 FROM held WHERE destination = ? AND resource_id = ?", (key, resource_id))
    if row is None:
        raise Absent(f"Nothing is held for resource {resource_id[:100]!r}.")


# --------------------------------------------------------------------------- the store's part


_OWNER = f"""{_SELECT}
JOIN destination_secrets AS s ON s.destination = t.key
WHERE s.purpose = 'token' AND s.value = ?1 AND (s.expires IS NULL OR s.expires > ?2)"""


class Destinations:
    """The part of the store that is about destinations."""

    def __init__(self, database: Database, new_id: Callable[[], str]) -> None:
        self._database = database
        self._new_id = new_id

    async def create_destination(
        self,
        directory: int,
        name: str,
        kind: str,
        configuration: Mapping[str, object],
        subscription: Subscription,
        cursor: int | None,
        now: str,
        secrets: Sequence[Secret] = (),
        id: str | None = None,
        brake: Mapping[str, object] | None = None,
        paused: str = "",
    ) -> Destination:
        own_id = self._new_id() if id is None else id
        if cursor is None:
            await self._database.number_changes()

        def work(connection: Connection) -> Destination:
            made = create(connection, own_id, directory, name, kind, configuration, subscription, cursor, now, brake)
            for secret in secrets:
                secret_rows.add(connection, made.key, secret)
            return set_state(connection, made.key, "paused", paused, now) if paused else made

        return await self._database.write(work)

    async def list_destinations(self, directory: int | None = None) -> Sequence[Destination]:
        where = "WHERE CAST(?1 AS BIGINT) IS NULL OR t.directory = ?1 ORDER BY d.name, t.name"
        rows = await self._database.read(lambda connection: connection.fetch(f"{_SELECT} {where}", (directory,)))
        return [_destination(row) for row in rows]

    async def find_destination(self, directory: int, name: str) -> Destination | None:
        where = "WHERE t.directory = ? AND t.name = ?"
        row = await self._database.read(lambda connection: connection.fetch_one(f"{_SELECT} {where}", (directory, name)))
        return None if row is None else _destination(row)

    async def find_destination_by_token(self, digest: bytes, now: str) -> Destination | None:
        row = await self._database.read(lambda connection: connection.fetch_one(_OWNER, (digest, now)))
        return None if row is None else _destination(row)

    async def update_destination(
        self,
        key: int,
        configuration: Mapping[str, object],
        subscription: Subscription,
        now: str,
        concealed: Secret | None = None,
    ) -> Destination:
        def work(connection: Connection) -> Destination:
            updated = update(connection, key, configuration, subscription, now)
            secret_rows.set_concealed(connection, key, concealed)
            return updated

        return await self._database.write(work)

    async def set_state(self, key: int, state: State, reason: str, now: str) -> Destination:
        return await self._database.write(lambda connection: set_state(connection, key, state, reason, now))

    async def move_cursor(self, key: int, cursor: int, replay: Replay | None) -> Destination:
        return await self._database.write(lambda connection: move_cursor(connection, key, cursor, replay))

    async def replay_held(self, key: int, replay: Replay, held: Held) -> Destination:
        return await self._database.write(lambda connection: replay_held(connection, key, replay, held))

    async def acknowledge(self, key: int, former: int, position: int, *, replay_is_over: bool = False) -> bool:
        values = (key, former, position, int(replay_is_over))
        return await self._database.write(lambda connection: connection.run(_ACKNOWLEDGE, values), None) > 0

    async def delete_destination(self, key: int) -> None:
        await self._database.write(lambda connection: delete(connection, key))

    async def settle(self, key: int, settlement: Settlement) -> None:
        await self._database.write(lambda connection: settle(connection, key, settlement), None)

    async def list_held(self, key: int) -> Sequence[Held]:
        return await self._database.read(lambda connection: list_held(connection, key))

    async def change_held(self, key: int, held: Held) -> None:
        def work(connection: Connection) -> None:
            _check_held(connection, key, held.resource_id)
            hold(connection, key, held)

        await self._database.write(work)

    async def owe_states(self, key: int, resource_ids: Sequence[str], ask: str, now: str) -> None:
        def work(connection: Connection) -> None:
            connection.executemany(_OWE_STATE, [(key, id, ask, now) for id in resource_ids])

        await self._database.write(work)

    async def owe_states_of_kept(self, key: int, ask: str) -> None:
        await self._database.write(lambda connection: connection.execute(_STATES_OF_KEPT, (key, ask)))

    async def release_held(self, key: int, resource_id: str) -> None:
        def work(connection: Connection) -> None:
            _check_held(connection, key, resource_id)
            connection.execute(_RELEASE, (key, resource_id))

        await self._database.write(work)
