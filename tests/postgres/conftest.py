"""Stores on one PostgreSQL database, as several nodes have it open."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from scimhub import clock
from scimhub.sqlstore.store import SqlStore, open_store
from tests.servers.postgres import Server

# For a test of what makes the tables.
EMPTY = pytest.mark.parametrize("url", ["empty"], indirect=True)


@pytest.fixture
async def url(request: pytest.FixtureRequest, postgres_server: Server) -> AsyncIterator[str]:
    """A database with the hub's tables and nothing in them, or an empty one; see ``EMPTY``."""
    is_empty = getattr(request, "param", None) == "empty"
    made = await (postgres_server.create_database() if is_empty else postgres_server.create_hub_database())
    yield made
    await postgres_server.drop_database(made)


@pytest.fixture
async def open_node(url: str) -> AsyncIterator[Callable[[], Awaitable[SqlStore]]]:
    """Opens the database once more, as another node does."""
    opened: list[SqlStore] = []

    async def open_it() -> SqlStore:
        opened.append(await open_store(url, new_id=clock.new_id, now=clock.now_text, connections=5))
        return opened[-1]

    yield open_it
    for store in opened:
        await store.close()
