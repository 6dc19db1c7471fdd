"""The command line against a database of its own, without a hub running or with one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import Scimhub, run
from tests.end_to_end.live import LiveHub
from tests.end_to_end.receiver import Receiver


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the commands; the database is data/scimhub.db below it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def scimhub(home: Path) -> Scimhub:
    """The command, run in that directory."""
    return run


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveHub]:
    """A hub that runs, and whose database the commands name."""
    started = LiveHub(tmp_path, {"SCIMHUB_EGRESS_LOOPBACK": "true"}).start()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCIMHUB_DATABASE", str(tmp_path / "scimhub.db"))
    yield started
    started.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as opened:
        yield opened
