"""Hubs that run in processes of their own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.end_to_end.live import LiveHub


@pytest.fixture(scope="session")
def live_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveHub]:
    """One hub that many tests share; they use names of their own."""
    hub = LiveHub(tmp_path_factory.mktemp("hub")).start()
    yield hub
    hub.stop()


@pytest.fixture
def start_hub(tmp_path: Path) -> Iterator[Callable[..., LiveHub]]:
    """Start a hub for this test alone, with settings of its own."""
    hubs: list[LiveHub] = []

    def start(*words: str, **settings: str) -> LiveHub:
        folder = tmp_path / f"hub{len(hubs)}"
        folder.mkdir()
        hubs.append(LiveHub(folder, {f"SCIMHUB_{name.upper()}": value for name, value in settings.items()}, words=words))
        return hubs[-1].start()

    yield start
    for hub in hubs:
        hub.stop()
