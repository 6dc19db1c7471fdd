"""The command line against a database of its own, without a hub running, and small files."""

import shutil
from pathlib import Path

import pytest

from tests.cli.command import Scimhub, run


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the commands; the database is data/scimhub.db below it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub's files, closed, in which the directories acme and copy have the source hr."""
    folder = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for directory in ("acme", "copy"):
            assert run("directory", "create", directory).code == 0
            assert run("source", "create", "hr", "-d", directory).code == 0
    return folder


@pytest.fixture
def scimhub(home: Path, prepared: Path) -> Scimhub:
    """The command, in a directory of files of its own with that hub."""
    shutil.copytree(prepared, home, dirs_exist_ok=True)
    return run
