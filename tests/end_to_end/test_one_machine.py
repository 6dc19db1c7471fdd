"""Several hubs on one machine and one PostgreSQL: in one folder, and as workers on one socket."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.live import LiveHub
from tests.end_to_end.test_operating import scimhub
from tests.servers.postgres import Server

StartHub = Callable[..., LiveHub]


@pytest.fixture
def url(postgres_server: Server) -> Iterator[str]:
    """An empty database, gone when the hubs on it have ended."""
    made = asyncio.run(postgres_server.create_database())
    yield made
    asyncio.run(postgres_server.drop_database(made))


def logged(hub: LiveHub) -> list[dict[str, Any]]:
    """The lines of its log."""
    return [json.loads(line) for line in hub.log.splitlines() if line.startswith("{")]


def told_of_the_hub(folder: Path, url: str) -> list[tuple[str, str]]:
    """What ``doctor`` says of the hub whose files are in the folder."""
    told = json.loads(scimhub(folder, "doctor", "--json", database=url, data=str(folder)).stdout)
    return [(one["verdict"], one["sentence"]) for one in told if one["subject"] == "hub"]


@pytest.mark.ci  # several starts of a hub
def test_a_local_socket_at_which_a_hub_answers_is_left_to_it(url: str, tmp_path: Path, start_hub: StartHub):
    first = start_hub(database=url, data=str(tmp_path))
    inode = (tmp_path / "scimhub.sock").stat().st_ino
    second = start_hub(database=url, data=str(tmp_path))
    [told] = [line for line in logged(second) if line["message"].startswith("another hub answers at the local socket")]
    assert (told["level"], "SCIMHUB_DATA" in told["message"]) == ("warning", True)
    [(verdict, sentence), *_] = told_of_the_hub(tmp_path, url)
    assert (verdict, f"it is reached at {first.url}" in sentence) == ("OK", True)
    assert second.stop() == 0
    assert (tmp_path / "scimhub.sock").stat().st_ino == inode
    assert told_of_the_hub(tmp_path, url)[0][0] == "OK"
    assert first.stop() == 0
    assert not (tmp_path / "scimhub.sock").exists()


@pytest.mark.ci  # several starts of a hub
def test_a_local_socket_at_which_nobody_answers_is_taken_over(url: str, tmp_path: Path, start_hub: StartHub):
    first = start_hub(database=url, data=str(tmp_path))
    first.kill()
    assert (tmp_path / "scimhub.sock").is_socket()
    [(verdict, sentence)] = told_of_the_hub(tmp_path, url)
    assert (verdict, "it is left over" in sentence, "knows 1 node, seen" in sentence) == ("WARN", True, True)
    second = start_hub(database=url, data=str(tmp_path))
    assert f"it is reached at {second.url}" in told_of_the_hub(tmp_path, url)[0][1]
    assert second.stop() == 0
    assert not (tmp_path / "scimhub.sock").exists()


@pytest.mark.ci  # several starts of a hub
def test_where_others_serve_the_doctor_says_that_no_hub_answers_here(url: str, tmp_path: Path, start_hub: StartHub):
    hubs = [start_hub(database=url, data=str(tmp_path / f"data{number}")) for number in range(2)]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    [(verdict, sentence)] = told_of_the_hub(elsewhere, url)
    assert (verdict, sentence.startswith("No hub answers on this machine at ")) == ("OK", True)
    assert "The database knows 2 nodes, seen within the last minute." in sentence
    assert [hub.stop() for hub in hubs] == [0, 0]
    [(verdict, sentence)] = told_of_the_hub(elsewhere, url)
    assert (verdict, "The hub does not run, and nothing is delivered" in sentence) == ("OK", True)
