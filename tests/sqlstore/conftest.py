"""One SQLite store with one directory, on a real file."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scimhub.sqlstore.store import SqlStore
from tests.store_contract.conftest import open_desk, open_sqlite
from tests.store_contract.harness import Desk


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    opened = open_sqlite(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def desk(store: SqlStore) -> Desk:
    return await open_desk(store, "acme")
