"""The secrets of destinations, as they are kept: sealed, but for the digests of feeds' tokens."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from scimhub.directory.errors import Absent, Conflict
from scimhub.distribution.delivery import Purpose, Secret
from scimhub.distribution.ports import SealedUse
from scimhub.sqlstore.connection import Connection, Database

T = TypeVar("T")

_COLUMNS = "s.id, s.purpose, s.value, s.hint, s.created, s.expires, s.key_id"
_SELECT = f"SELECT {_COLUMNS} FROM destination_secrets AS s"
_KEEP = """
INSERT INTO destination_secrets (id, destination, purpose, value, hint, created, key_id) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING"""
_EXPIRE = """
UPDATE destination_secrets SET expires = ?4
WHERE destination = ?1 AND purpose = ?2 AND id <> ?3 AND (expires IS NULL OR expires > ?4)"""
_DROP = "DELETE FROM destination_secrets WHERE destination = ?1 AND purpose = ?2 AND id <> ?3"
_NOT_UNDER = f"""
SELECT t.id, {_COLUMNS}
FROM destination_secrets AS s
JOIN destinations AS t ON t.key = s.destination
WHERE s.purpose <> 'token' AND (s.key_id IS NULL OR s.key_id <> ?1) AND s.id > ?2
ORDER BY s.id LIMIT ?3"""
_RESEAL = "UPDATE destination_secrets SET value = ?3, key_id = ?4 WHERE id = ?1 AND value = ?2"
_SHARE_KEY = "INSERT INTO hub (name, value) VALUES ('sealing_key', ?) ON CONFLICT (name) DO NOTHING"
_COUNT = "SELECT key_id, count(*) FROM destination_secrets WHERE purpose <> 'token' GROUP BY key_id ORDER BY key_id"


def add(connection: Connection, key: int, secret: Secret) -> None:
    """Keep the secret of the destination, which must be there; raises Conflict when another one has the same."""
    values = (secret.id, key, secret.purpose, secret.value, secret.hint, secret.created, secret.key_id)
    if connection.run(_KEEP, values) == 0:
        raise Conflict("Another destination has the same secret; choose another one.")


def set_concealed(connection: Connection, key: int, secret: Secret | None) -> None:
    """Let the destination have this as its only secret of that purpose, or none."""
    connection.execute(_DROP, (key, "concealed", "" if secret is None else secret.id))
    if secret is not None and connection.fetch_one("SELECT 1 FROM destination_secrets WHERE id = ?", (secret.id,)) is None:
        add(connection, key, secret)


def list_all(connection: Connection, key: int) -> list[Secret]:
    """All secrets of the destination, the newest first."""
    rows = connection.fetch(f"{_SELECT} WHERE s.destination = ? ORDER BY s.created DESC, s.id DESC", (key,))
    return [Secret(*row) for row in rows]


class Secrets:
    """The part of the store that is about secrets."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_secret(self, key: int, secret: Secret) -> None:
        def work(connection: Connection) -> None:
            if connection.fetch_one("SELECT 1 FROM destinations WHERE key = ?", (key,)) is None:
                raise Absent("The destination is not there any more.")
            add(connection, key, secret)

        await self._database.write(work)

    async def list_secrets(self, key: int) -> Sequence[Secret]:
        return await self._database.read(lambda connection: list_all(connection, key))

    async def expire_secrets(self, key: int, purpose: Purpose, keep: str, expires: str) -> None:
        await self._database.write(lambda connection: connection.run(_EXPIRE, (key, purpose, keep, expires)))

    async def delete_expired_secrets(self, now: str) -> None:
        sql = "DELETE FROM destination_secrets WHERE expires <= ?"
        await self._database.write(lambda connection: connection.run(sql, (now,)))

    async def list_secrets_not_under(self, key_id: str, after: str, limit: int) -> Sequence[tuple[str, Secret]]:
        rows = await self._database.read(lambda connection: connection.fetch(_NOT_UNDER, (key_id, after, limit)))
        return [(row[0], Secret(*row[1:])) for row in rows]

    async def reseal_secret(self, before: Secret, after: Secret) -> bool:
        values = (before.id, before.value, after.value, after.key_id)
        return await self._database.write(lambda connection: connection.run(_RESEAL, values)) > 0

    async def count_secrets(self) -> Sequence[SealedUse]:
        return [SealedUse(*row) for row in await self._database.read(lambda connection: connection.fetch(_COUNT))]

    async def shared_key(self, written: str | None = None) -> str | None:
        """The sealing key that the database itself keeps: the given one when it had none; None when it has none."""

        def work(connection: Connection) -> str | None:
            if written is not None:
                connection.execute(_SHARE_KEY, (written,))
            row = connection.fetch_one("SELECT value FROM hub WHERE name = 'sealing_key'")
            return None if row is None else str(row[0])

        # Where keys are given, which is at every start, there is nothing to write.
        return await (self._database.read(work) if written is None else self._database.write(work))

    async def erasing(self, work: Callable[[], Awaitable[T]]) -> T:
        return await self._database.erasing(work)
