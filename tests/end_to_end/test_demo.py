"""``scimhub demo`` as somebody starts it who has just installed scimhub: nothing set, nothing running."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.end_to_end.live import wait_until
from tests.servers.running import PATIENCE

PEOPLE = 12
SAID = "\n".join


def start(home: Path, *words: str) -> subprocess.Popen[str]:
    temporary = home / "tmp"
    temporary.mkdir(parents=True)
    return subprocess.Popen(
        [sys.executable, "-m", "scimhub", "demo", "--people", str(PEOPLE), *words],
        cwd=home,
        env={"HOME": str(home), "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def remains(home: Path) -> list[str]:
    """The hubs that still run below the folder, and the temporary files."""
    return [path.name for path in (home / "tmp").iterdir()]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, tuple[int, Any]]]]:
    """A demonstration left alone, and one of whose copies one is spoilt meanwhile: exit code and result of each."""
    home = tmp_path_factory.mktemp("demo")
    processes = {
        "good": start(home / "good", "--json"),
        "spoilt": start(home / "spoilt", "--json", "--folder", str(home / "spoilt" / "kept")),
    }
    try:
        spoil(home / "spoilt" / "kept" / "copies" / "okta-webhook.db")
        ended = {}
        for name, process in processes.items():
            told, said = process.communicate(timeout=PATIENCE)
            assert told, said
            ended[name] = (process.returncode, json.loads(told))
        yield home, ended
    finally:
        for process in processes.values():
            if process.poll() is None:
                process.terminate()
                process.wait(PATIENCE)


def spoil(copy: Path) -> None:
    """Have the copy hold somebody whom the hub never had."""

    def has_resources() -> bool:
        if not copy.exists():
            return False
        with closing(sqlite3.connect(f"file:{copy}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'resources'").fetchone() == (1,)

    wait_until(has_resources, "the copy of the webhook")
    with closing(sqlite3.connect(copy, timeout=10)) as connection, connection:
        ghost = ("ghost", "User", 1, 0, '{"userName": "ghost@tidewater.example"}')
        connection.execute("INSERT INTO resources (id, type, version, floor, resource) VALUES (?, ?, ?, ?, ?)", ghost)


def holding(directory: str, holder: str, users: int, groups: int, memberships: int) -> dict[str, object]:
    counts = {"users": users, "groups": groups, "memberships": memberships}
    return {"directory": directory, "holder": holder, **counts, "equal": True, "differences": []}


def test_every_copy_equals_the_hub(both):
    home, ended = both
    code, result = ended["good"]
    assert (code, result["good"], result["problems"]) == (0, True, [])
    assert result["holdings"] == [
        *(holding("okta", holder, 12, 2, 10) for holder in ("hub", "webhook", "feed")),
        *(holding("entra", holder, 11, 2, 11) for holder in ("hub", "webhook", "feed")),
    ]
    assert remains(home / "good") == []


def test_every_change_arrived_once_and_signed(both):
    _, result = both[1]["good"]
    found = {(each["directory"], each["destination"]): each for each in result["destinations"]}
    assert list(found) == [("okta", "webhook"), ("okta", "feed"), ("entra", "webhook"), ("entra", "feed")]
    # The feeds' consumers come when all have joined; what was before is in their snapshots.
    assert {key: (each["changes"], each["from_snapshot"]) for key, each in found.items()} == {
        ("okta", "webhook"): (26, 0),
        ("okta", "feed"): (10, 14),
        ("entra", "webhook"): (41, 0),
        ("entra", "feed"): (14, 14),
    }
    for (_, destination), each in found.items():
        assert (each["duplicates"], each["signatures_refused"]) == (0, 0)
        # The test event of each webhook is signed too.
        assert each["signatures_verified"] == (each["events"] + 1 if destination == "webhook" else 0)
        assert 0 < each["p50_ms"] <= each["p99_ms"] < 10_000


def test_the_stories_were_told_and_three_timelines_shown(both):
    _, result = both[1]["good"]
    told = {(each["directory"], each["story"]): each for each in result["stories"]}
    assert {key: [each[of] for of in ("joined", "moved", "left", "deleted")] for key, each in told.items()} == {
        ("okta", "join"): [12, 0, 0, 0],
        ("okta", "move"): [0, 4, 0, 0],
        ("okta", "leave"): [0, 0, 2, 0],
        ("entra", "join"): [12, 0, 0, 0],
        ("entra", "move"): [0, 4, 0, 0],
        ("entra", "leave"): [0, 0, 2, 1],
    }
    assert [(each["part"], each["directory"]) for each in result["timelines"]] == [
        ("joiner", "okta"),
        ("mover", "entra"),
        ("leaver", "entra"),
    ]
    joiner, _, leaver = (SAID(each["lines"]) for each in result["timelines"])
    assert f"User {result['timelines'][0]['user']}, id " in joiner
    assert "sent       okta: POST /Users → 201" in joiner
    assert "delivered  webhook: position " in joiner
    assert "deleted by entra" in leaver
    assert "waiting" not in joiner + leaver


def test_a_copy_that_differs_is_named_and_the_exit_code_is_1(both):
    home, ended = both
    code, result = ended["spoilt"]
    assert (code, result["good"], result["problems"]) == (1, False, [])
    differing = [each for each in result["holdings"] if not each["equal"]]
    assert differing == [
        {
            "directory": "okta",
            "holder": "webhook",
            "users": 13,
            "groups": 2,
            "memberships": 10,
            "equal": False,
            "differences": ["User ghost@tidewater.example is there, and the hub has it not."],
        }
    ]
    # The folder was named, so it stays; the hub in it does not run.
    assert not (home / "spoilt" / "kept" / "scimhub.sock").exists()
    assert (home / "spoilt" / "kept" / "scimhub.db").exists()


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder in which there is room for the path of a socket, however many processes the tests run in."""
    with tempfile.TemporaryDirectory(prefix="t") as name:
        yield Path(name)


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"])
def test_nothing_is_left_of_a_demonstration_that_is_ended_in_the_middle(number: signal.Signals, code: int, short_path: Path):
    process = start(short_path)
    assert process.stdout is not None
    url = process.stdout.readline().removeprefix("A hub runs at ").partition(",")[0]
    assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
    os.kill(process.pid, number)
    _, said = process.communicate(timeout=PATIENCE)
    assert (process.returncode, said) == (code, "The demonstration was ended before it was over.\n")
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/readyz", trust_env=False)
    assert remains(short_path) == []


def test_a_folder_that_was_used_before_is_refused(tmp_path: Path):
    (tmp_path / "kept" / "copies").mkdir(parents=True)
    process = start(tmp_path / "home", "--folder", str(tmp_path / "kept"))
    _, said = process.communicate(timeout=PATIENCE)
    expected = f"The folder {tmp_path / 'kept'} has the files of an earlier demonstration; name another one.\n"
    assert (process.returncode, said) == (1, expected)
