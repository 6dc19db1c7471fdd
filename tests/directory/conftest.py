"""A real store in a temporary directory."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scimhub import clock
from scimhub.sqlstore.store import SqlStore, open_file_store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    opened = open_file_store(tmp_path / "hub.db", new_id=clock.new_id, now=clock.now_text, random=os.urandom)
    yield opened
    await opened.close()
