"""A store, and a directory in it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scimhub.sqlstore.store import SqlStore
from tests.consumer.hub import Place, open_sqlite


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    opened = open_sqlite(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def place(store: SqlStore) -> Place:
    return await Place.open(store)
