"""What stands between the hub and the server, such as pgbouncer, and what it does not let through.

A pooler in transaction mode gives each transaction to whichever connection to the server is free. What is prepared in one is
then not there in the next, unless the pooler takes care of that (pgbouncer from 1.21 with ``max_prepared_statements``). So
where it does not, every statement goes within a transaction, whose statements all reach the same connection.
"""

import contextlib
import secrets
from collections.abc import AsyncIterator
from typing import Any, Literal, NamedTuple

import asyncpg

# none: the server itself; prepared: a pooler that knows prepared statements; plain: one that does not.
Pooling = Literal["none", "prepared", "plain"]


class Way(NamedTuple):
    """How the server is reached: by what, and at which URL directly. Without a URL of its own that is the same one."""

    pooling: Pooling
    direct: str
    has_direct: bool


_SELF = "SELECT pg_backend_pid()"
_IS_PREPARED = "SELECT EXISTS (SELECT 1 FROM pg_prepared_statements WHERE name = $1)"
# Connections of several processes come to the same connection of the server, where names must not meet.
_OURS = secrets.token_hex(4)


class PooledConnection(asyncpg.Connection):  # type: ignore[misc]
    """A connection whose prepared statements have names that no other process gives."""

    def _get_unique_id(self, prefix: str) -> str:
        return f"{super()._get_unique_id(prefix)}{_OURS}"


async def detect(url: str, seconds: float) -> Pooling:
    """What the URL leads to; raises what the driver raises."""
    raw = await asyncpg.connect(url, timeout=seconds, statement_cache_size=0, connection_class=PooledConnection)
    try:
        async with raw.transaction():
            # A pooler gives out process ids of its own, by which it knows its clients.
            if await raw.fetchval(_SELF) == raw.get_server_pid():
                return "none"
            # One that takes care of prepared statements gives them names of its own.
            name = f"scimhub_{secrets.token_hex(4)}"
            # What is not held is closed at once.
            statement = await raw.prepare("SELECT 1", name=name)
            is_there = await raw.fetchval(_IS_PREPARED, statement.get_name())
            return "plain" if is_there else "prepared"
    finally:
        raw.terminate()


@contextlib.asynccontextmanager
async def reading(raw: Any, pooling: Pooling) -> AsyncIterator[Any]:
    """The connection, within a transaction where single statements would not do; what is read is then of one moment."""
    if pooling == "plain":
        async with raw.transaction(isolation="repeatable_read", readonly=True):
            yield raw
    else:
        yield raw
