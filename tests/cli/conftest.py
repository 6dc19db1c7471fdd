"""The command line against a database of its own, without a hub running."""

from pathlib import Path

import pytest

from tests.cli.command import Scimhub, run


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the commands; the database is data/scimhub.db below it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def scimhub(home: Path) -> Scimhub:
    """The command, run in that directory."""
    return run
