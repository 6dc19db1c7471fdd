"""Imports through a hub that runs, and that dies in the middle."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.live import ADMIN_TOKEN, LiveHub, user, wait_until
from tests.servers.running import PATIENCE

PEOPLE = 4000


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[LiveHub]:
    hub = LiveHub(tmp_path).start()
    yield hub
    hub.stop()


def people(path: Path) -> Path:
    path.write_text("".join(json.dumps(user(f"u{n:05}@example.com", title="Clerk")) + "\n" for n in range(PEOPLE)))
    return path


def begin(hub: LiveHub, *words: str) -> subprocess.Popen[str]:
    """The command, beside the hub."""
    environment = {**os.environ, "SCIMHUB_DATABASE": str(hub.folder / "scimhub.db")}
    command = [sys.executable, "-m", "scimhub", *words]
    return subprocess.Popen(command, cwd=hub.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def acknowledged(journal: Path) -> int:
    try:
        return int(json.loads(journal.read_text())["acknowledged"])
    except FileNotFoundError:
        return 0


def position(hub: LiveHub) -> int:
    answer = httpx.get(f"{hub.url}/admin/v1/status", headers={"authorization": f"Bearer {ADMIN_TOKEN}"}, verify=False)
    return int(answer.json()["last_position"])


def check_all_there_once(hub: LiveHub) -> None:
    """Every person is there, and has been written once: as many changes as people."""
    with hub.client() as client:
        found = client.get("/Users", params={"count": 1}).json()["totalResults"]
        last = client.get("/Users", params={"filter": f'userName eq "u{PEOPLE - 1:05}@example.com"'}).json()
    assert (found, last["totalResults"], position(hub)) == (PEOPLE, 1, PEOPLE)


@pytest.mark.ci  # a hub dies and begins again
def test_an_import_whose_hub_was_killed_goes_on_and_nothing_is_lost_or_twice(hub: LiveHub, tmp_path: Path):
    file = people(tmp_path / "people.ndjson")
    journal = tmp_path / "people.ndjson.import"
    broken = begin(hub, "import", str(file))
    wait_until(lambda: acknowledged(journal) >= 1000, "a quarter of the import")
    hub.kill()
    _, errors = broken.communicate(timeout=PATIENCE)
    assert broken.returncode == 1
    assert "The hub did not answer" in errors
    assert "--resume" in errors
    hub.start()
    done = position(hub)
    assert acknowledged(journal) <= done < PEOPLE
    again = begin(hub, "import", str(file))
    assert (again.communicate(timeout=PATIENCE)[1].split(";")[0], again.returncode) == (
        f"An import was broken off (see {journal})",
        1,
    )
    resumed = begin(hub, "import", str(file), "--resume", "--json")
    output, errors = resumed.communicate(timeout=PATIENCE)
    assert resumed.returncode == 0, errors
    assert sum(json.loads(output)["counts"].values()) == PEOPLE
    check_all_there_once(hub)
    assert not journal.exists()


def test_an_interrupted_import_says_how_to_go_on_and_others_are_served_meanwhile(hub: LiveHub, tmp_path: Path):
    file = people(tmp_path / "people.ndjson")
    journal = tmp_path / "people.ndjson.import"
    running = begin(hub, "import", str(file))
    wait_until(lambda: acknowledged(journal) >= 500, "the first chunk")
    with hub.client() as client:
        assert client.get("/Users", params={"count": 1}).status_code == 200
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=PATIENCE)
    assert running.returncode == 130
    assert errors.splitlines()[-2:] == [
        "The import was interrupted.",
        "What was acknowledged is on disk. Go on with the same command and --resume.",
    ]
    changed = begin(hub, "import", str(file), "--resume", "--mode", "create")
    assert "other options (mode)" in changed.communicate(timeout=PATIENCE)[1]
    resumed = begin(hub, "import", str(file), "--resume")
    _, errors = resumed.communicate(timeout=PATIENCE)
    assert resumed.returncode == 0, errors
    check_all_there_once(hub)


def test_another_file_does_not_go_on_where_the_first_one_stopped(hub: LiveHub, tmp_path: Path):
    file = people(tmp_path / "people.ndjson")
    journal = tmp_path / "people.ndjson.import"
    running = begin(hub, "import", str(file))
    wait_until(lambda: acknowledged(journal) >= 500, "the first chunk")
    running.kill()
    running.communicate(timeout=PATIENCE)
    with file.open("a") as appended:
        appended.write("\n")
    resumed = begin(hub, "import", str(file), "--resume")
    assert "not the one whose import was broken off" in resumed.communicate(timeout=PATIENCE)[1]
    restarted = begin(hub, "import", str(file), "--restart")
    _, errors = restarted.communicate(timeout=PATIENCE)
    assert restarted.returncode == 0, errors
    check_all_there_once(hub)
