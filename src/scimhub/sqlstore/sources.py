"""Sources and their tokens; see ``directory.ports.DirectoryStore``."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scimhub.directory.errors import Absent, Conflict
from scimhub.directory.records import Directory, Grant, Permission, Returning, Source, Token
from scimhub.sqlstore import directories
from scimhub.sqlstore.connection import Connection, Database

_SOURCE = "SELECT key, directory, name, dialect, on_return, created FROM sources"
_TOKEN = "SELECT id, source, hint, permissions, created, expires, revoked, last_used FROM tokens"  # noqa: S105


# --------------------------------------------------------------------------- sources

_CREATE = """
INSERT INTO sources (directory, name, dialect, on_return, created) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (directory, name) WHERE deleted IS NULL DO NOTHING
RETURNING key"""
_UPDATE = "UPDATE sources SET dialect = ?, on_return = ? WHERE key = ? AND deleted IS NULL"


def create(connection: Connection, directory: int, name: str, dialect: str, returning: Returning, now: str) -> Source:
    """A new source; raises Absent or Conflict."""
    home = directories.find(connection, directory)
    made = connection.fetch_one(_CREATE, (directory, name, dialect, returning, now))
    if made is None:
        raise Conflict(f"Directory {home.name} has a source {name} already.")
    return get(connection, made[0])


def get(connection: Connection, key: int) -> Source:
    """The source with the key; raises Absent."""
    row = connection.fetch_one(f"{_SOURCE} WHERE key = ? AND deleted IS NULL", (key,))
    if row is None:
        raise Absent("The source is not there any more.")
    return Source(*row)


def update(connection: Connection, key: int, dialect: str, returning: Returning) -> Source:
    """Give the source these settings; raises Absent."""
    connection.execute(_UPDATE, (dialect, returning, key))
    return get(connection, key)


def delete(connection: Connection, key: int, now: str) -> None:
    """Revoke the source's tokens and forget what only it knows; the row stays for those who ask who wrote."""
    get(connection, key)
    connection.execute("UPDATE sources SET deleted = ? WHERE key = ?", (now, key))
    connection.execute("UPDATE tokens SET revoked = coalesce(revoked, ?) WHERE source = ?", (now, key))
    connection.execute("DELETE FROM links WHERE source = ?", (key,))
    connection.execute("DELETE FROM tombstone_links WHERE source = ?", (key,))
    connection.execute("DELETE FROM unmapped WHERE source = ?", (key,))


# --------------------------------------------------------------------------- tokens

_INSERT_GRANTED = """
INSERT INTO tokens (id, source, digest, hint, permissions, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (digest) DO NOTHING"""
_TOUCH = "UPDATE tokens SET last_used = ?2 WHERE id = ?1 AND (last_used IS NULL OR last_used < ?2)"


def create_token(connection: Connection, token: Token, digest: bytes) -> Token:
    """Store the token; raises Absent, or Conflict when another has the same secret."""
    get(connection, token.source)
    permissions = " ".join(sorted(token.permissions))
    values = (token.id, token.source, digest, token.hint, permissions, token.created, token.expires)
    if connection.run(_INSERT_GRANTED, values) == 0:
        raise Conflict("Another token has the same secret; choose another one.")
    return token


def revoke_token(connection: Connection, source: int, token_id: str, now: str) -> Token:
    """Note that the token opens nothing any more; a second time changes nothing. Raises Absent."""
    connection.execute("UPDATE tokens SET revoked = coalesce(revoked, ?) WHERE id = ? AND source = ?", (now, token_id, source))
    row = connection.fetch_one(f"{_TOKEN} WHERE id = ? AND source = ?", (token_id, source))
    if row is None:
        raise Absent(f"The source has no token {token_id[:80]!r}.")
    return _token(row)


_FIND_GRANT = """
SELECT t.id, t.source, t.hint, t.permissions, t.created, t.expires, t.revoked, t.last_used,
    s.key, s.directory, s.name, s.dialect, s.on_return, s.created,
    d.key, d.name, d.created, d.catalog_version, d.deletion_requested
FROM tokens AS t
JOIN sources AS s ON s.key = t.source
JOIN directories AS d ON d.key = s.directory
WHERE t.digest = ?"""


def find_grant(connection: Connection, digest: bytes) -> Grant | None:
    """What the token with the digest opens."""
    row = connection.fetch_one(_FIND_GRANT, (digest,))
    return None if row is None else Grant(_token(row[:8]), Source(*row[8:14]), Directory(*row[14:]))


def touch(connection: Connection, last_used: Sequence[tuple[str, str]]) -> None:
    """Note when tokens, by id, were last used; later than what is there."""
    connection.executemany(_TOUCH, last_used)


def _token(row: Any) -> Token:
    id, source, hint, permissions, created, expires, revoked, last_used = row
    return Token(id, source, hint, frozenset(permissions.split()), created, expires, revoked, last_used)


# --------------------------------------------------------------------------- the store's part


class Sources:
    """The part of ``directory.ports.DirectoryStore`` that is about sources and tokens."""

    def __init__(self, database: Database, new_id: Callable[[], str]) -> None:
        self._database = database
        self._new_id = new_id

    async def create_source(self, directory: int, name: str, dialect: str, returning: Returning, now: str) -> Source:
        return await self._database.write(lambda connection: create(connection, directory, name, dialect, returning, now))

    async def update_source(self, source: int, dialect: str, returning: Returning) -> Source:
        return await self._database.write(lambda connection: update(connection, source, dialect, returning))

    async def list_sources(self, directory: int) -> list[Source]:
        sql = f"{_SOURCE} WHERE directory = ? AND deleted IS NULL ORDER BY name"
        return await self._database.read(lambda connection: [Source(*row) for row in connection.fetch(sql, (directory,))])

    async def find_source(self, directory: int, name: str) -> Source | None:
        sql = f"{_SOURCE} WHERE directory = ? AND name = ? AND deleted IS NULL"
        row = await self._database.read(lambda connection: connection.fetch_one(sql, (directory, name)))
        return None if row is None else Source(*row)

    async def delete_source(self, source: int, now: str) -> None:
        await self._database.write(lambda connection: delete(connection, source, now), manner="alone")

    async def create_token(
        self, source: int, digest: bytes, hint: str, permissions: frozenset[Permission], expires: str | None, now: str
    ) -> Token:
        token = Token(self._new_id(), source, hint, permissions, now, expires, None, None)
        return await self._database.write(lambda connection: create_token(connection, token, digest))

    async def list_tokens(self, source: int) -> list[Token]:
        sql = f"{_TOKEN} WHERE source = ? ORDER BY created, id"
        return await self._database.read(lambda connection: [_token(row) for row in connection.fetch(sql, (source,))])

    async def revoke_token(self, source: int, token_id: str, now: str) -> Token:
        return await self._database.write(lambda connection: revoke_token(connection, source, token_id, now))

    async def find_grant(self, digest: bytes) -> Grant | None:
        return await self._database.read(lambda connection: find_grant(connection, digest))

    async def touch_tokens(self, last_used: Mapping[str, str]) -> None:
        values: Sequence[tuple[str, str]] = list(last_used.items())
        if values:
            await self._database.write(lambda connection: touch(connection, values), None)
