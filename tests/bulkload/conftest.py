"""The command line against a database of its own, without a hub running, and small files."""

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
    """The command, in a directory of files where the directories acme and copy have the source hr."""
    for directory in ("acme", "copy"):
        run("directory", "create", directory)
        run("source", "create", "hr", "-d", directory)
    return run
