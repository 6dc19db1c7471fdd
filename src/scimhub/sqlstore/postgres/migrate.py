"""Brings a PostgreSQL database to the shape that this program expects; see ``sqlstore.migrations``.

All that is missing is applied in one transaction under a lock, so that of several nodes that start at once one migrates and
the others find it done.
"""

from collections.abc import Callable
from typing import Any

import asyncpg

from scimhub.directory.errors import StoreUnusable
from scimhub.sqlstore import migrations
from scimhub.sqlstore.postgres import locks

OLDEST_POSTGRES = 15
_JOURNAL = """
CREATE TABLE IF NOT EXISTS migrations (
    number  BIGINT PRIMARY KEY,
    name    TEXT NOT NULL,
    applied TEXT NOT NULL
)"""
_NOTE = "INSERT INTO migrations (number, name, applied) VALUES ($1, $2, $3)"
_TABLES = "SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = current_schema() AND tablename <> 'migrations'"
_GIVE = "INSERT INTO hub (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


async def migrate(raw: Any, *, now: str, random: Callable[[int], bytes], fold_version: int, writes: bool = True) -> list[int]:
    """Apply what is missing; the numbers that were applied.

    Raises StoreUnusable for a database that is newer than the program, no hub's at all, or on too old a server;
    without ``writes`` also for one that lacks a migration.
    """
    version = raw.get_server_version().major
    if version < OLDEST_POSTGRES:
        raise StoreUnusable(f"The server is PostgreSQL {version}; {OLDEST_POSTGRES} or newer is needed.")
    steps = migrations.known("scimhub.sqlstore.postgres")
    async with raw.transaction():
        # A large table takes longer than any statement of the hub may, and other nodes wait for that.
        await raw.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
        await raw.execute("SELECT pg_advisory_xact_lock($1, 0)", locks.MIGRATION)
        try:
            done = await _applied(raw)
            migrations.check_not_newer(done, steps)
            missing = [step for step in steps if step.number not in done]
            if missing and not writes:
                raise migrations.incomplete(done, steps)
            for step in missing:
                await raw.execute(step.sql)
                await raw.execute(_NOTE, step.number, step.name, now)
            if missing and not done:
                await raw.executemany(_GIVE, [*migrations.new_history(random).items(), ("fold_version", str(fold_version))])
        except asyncpg.InsufficientPrivilegeError as error:
            raise StoreUnusable(
                f"The user may not make tables in the database ({error}); grant it CREATE on the schema."
            ) from error
    return [step.number for step in missing]


async def check_trusted(raw: Any) -> None:
    """Raise StoreUnusable where what is acknowledged could be lost, or could not be kept to begin with."""
    if await raw.fetchval("SELECT pg_is_in_recovery()"):
        raise StoreUnusable(
            "The server is a standby, which may only be read; name the primary, or all with target_session_attrs=primary."
        )
    if await raw.fetchval("SHOW synchronous_commit") == "off":
        raise StoreUnusable(
            "synchronous_commit is off, so that a crash could lose what was acknowledged; set it on for the hub's user:"
            " ALTER ROLE … SET synchronous_commit = on"
        )
    encoding = await raw.fetchval("SHOW server_encoding")
    if encoding != "UTF8":
        raise StoreUnusable(f"The database's encoding is {encoding}; make one with ENCODING 'UTF8', which keeps all names.")


async def _applied(raw: Any) -> set[int]:
    """The migrations that the database has had."""
    if await raw.fetchval("SELECT to_regclass('migrations')") is None:
        if await raw.fetchval(_TABLES):
            raise StoreUnusable("The database has tables, but they are not a hub's; name another one, or another schema.")
        await raw.execute(_JOURNAL)
    return {row["number"] for row in await raw.fetch("SELECT number FROM migrations")}


async def read_hub(raw: Any, name: str) -> str:
    """The hub's own value of that name, such as ``log_epoch``."""
    value = await raw.fetchval("SELECT value FROM hub WHERE name = $1", name)
    if value is None:
        raise StoreUnusable(f"The database has no {name}; it is not a complete hub database.")
    return str(value)
