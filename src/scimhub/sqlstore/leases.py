"""Leases on destinations, and which nodes are alive and what they pin; see ``distribution.ports``: LeaseStore, PinStore.

Where the database has one process only, a lease is that process's for the taking. Where it has many, the database's clock
decides: the nodes' own clocks need not agree.
"""

from collections.abc import Mapping, Sequence

from scimhub.sqlstore.connection import Connection, Database

_TAKE_ALONE = "UPDATE destinations SET lease_epoch = lease_epoch + 1, lease_owner = ? WHERE key = ? RETURNING lease_epoch"
_TAKE = """
UPDATE destinations
SET lease_epoch = lease_epoch + 1, lease_owner = ?1, lease_wanted = FALSE, lease_until = now() + make_interval(secs => ?3)
WHERE key = ?2 AND (lease_owner IS NULL OR lease_until < now() OR lease_owner = ?1)
RETURNING lease_epoch"""
_KEEP = """
UPDATE destinations SET lease_until = now() + make_interval(secs => ?2)
WHERE lease_owner = ?1 AND lease_until >= now()
RETURNING key, lease_epoch, lease_wanted"""
_GIVE = "UPDATE destinations SET lease_owner = NULL WHERE key = ? AND lease_owner = ?"
_GIVE_ALL = "UPDATE destinations SET lease_owner = NULL WHERE lease_owner = ?"
_ASK = "UPDATE destinations SET lease_wanted = TRUE WHERE key = ? AND lease_owner IS NOT NULL"
_BE_SEEN = "INSERT INTO nodes (id, seen) VALUES (?, now()) ON CONFLICT (id) DO UPDATE SET seen = excluded.seen"
_FORGET = "DELETE FROM nodes WHERE seen < now() - make_interval(secs => ?)"
# A node that was seen so lately may be about to send what its snapshots need.
_PIN_SECONDS = 600
_PIN = """
INSERT INTO nodes (id, seen, pinned) VALUES (?, now(), ?) ON CONFLICT (id) DO UPDATE SET pinned = excluded.pinned"""
_UNPIN = "UPDATE nodes SET pinned = NULL WHERE id = ?"
_LOWEST_PIN = "SELECT min(pinned) FROM nodes WHERE seen >= now() - make_interval(secs => ?)"
_ALIVE = "SELECT id FROM nodes WHERE seen >= now() - make_interval(secs => ?) ORDER BY id"


class Leases:
    """The part of the store that is about leases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def has_many_nodes(self) -> bool:
        """Whether other processes may have the database open as well."""
        return self._database.is_shared

    async def take_lease(self, key: int, owner: str, seconds: float) -> int | None:
        if not self._database.is_shared:
            taken = await self._database.write(lambda connection: connection.fetch_one(_TAKE_ALONE, (owner, key)), None)
        else:
            taken = await self._database.write(lambda connection: connection.fetch_one(_TAKE, (owner, key, seconds)), None)
        return None if taken is None else int(taken[0])

    async def keep_leases(self, owner: str, seconds: float) -> Mapping[int, tuple[int, bool]]:
        def work(connection: Connection) -> Mapping[int, tuple[int, bool]]:
            connection.run(_BE_SEEN, (owner,))
            return {key: (epoch, wanted) for key, epoch, wanted in connection.fetch(_KEEP, (owner, seconds))}

        return await self._database.write(work, None)

    async def give_lease(self, key: int, owner: str) -> None:
        await self._database.write(lambda connection: connection.run(_GIVE, (key, owner)), None)

    async def ask_for_lease(self, key: int) -> None:
        await self._database.write(lambda connection: connection.run(_ASK, (key,)), None)

    async def live_nodes(self, seconds: float) -> Sequence[str]:
        return [row[0] for row in await self._database.read(lambda connection: connection.fetch(_ALIVE, (seconds,)))]

    async def pin(self, owner: str, position: int | None) -> None:
        if not self._database.is_shared:
            return
        sql, values = (_UNPIN, (owner,)) if position is None else (_PIN, (owner, position))
        await self._database.write(lambda connection: connection.run(sql, values), None)

    async def lowest_pin(self) -> int | None:
        if not self._database.is_shared:
            return None
        row = await self._database.read(lambda connection: connection.fetch_one(_LOWEST_PIN, (_PIN_SECONDS,)))
        return None if row[0] is None else int(row[0])

    async def leave(self, owner: str, seconds: float) -> None:
        def work(connection: Connection) -> None:
            connection.run("DELETE FROM nodes WHERE id = ?", (owner,))
            connection.run(_GIVE_ALL, (owner,))
            connection.run(_FORGET, (100 * seconds,))

        await self._database.write(work, None)
