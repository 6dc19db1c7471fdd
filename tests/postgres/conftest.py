"""Stores on one PostgreSQL database, as several nodes have it open."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from scimhub import clock
from scimhub.sqlstore.store import SqlStore, open_store
from tests.servers.postgres import Server


@pytest.fixture
async def url(postgres_server: Server) -> AsyncIterator[str]:
    """An empty database."""
    made = await postgres_server.create_database()
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
