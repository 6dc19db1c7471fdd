"""Verbs that show what a destination has: beside a hub that keeps another directory of its own as a SCIM application."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import run
from tests.end_to_end.live import TOKEN, LiveHub, user, wait_until


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveHub]:
    hub = LiveHub(tmp_path_factory.mktemp("hub"), {"SCIMHUB_EGRESS_LOOPBACK": "true"}).start()
    yield hub
    hub.stop()


@pytest.fixture
def running(live: LiveHub, monkeypatch: pytest.MonkeyPatch) -> LiveHub:
    """The commands of this process find the hub by its database."""
    monkeypatch.chdir(live.folder)
    monkeypatch.setenv("SCIMHUB_DATABASE", str(live.folder / "scimhub.db"))
    return live


def test_an_application_is_made_from_a_file_checked_and_its_ledger_listed(running: LiveHub, tmp_path: Path):
    # The application is another directory of the same hub.
    run("directory", "create", "acme")
    run("source", "create", "okta", "--directory", "acme")
    token = run("token", "create", "--directory", "acme", "--source", "okta", "--json").json["secret"]
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "app.yaml").write_text("base_url: https://elsewhere.example/scim\ntimeout: 5\nprofile: generic\n")
    words = ("--kind", "scim_app", "--configuration", str(tmp_path / "app.yaml"), "--set", f"base_url={running.scim_url}")

    refused = run("destination", "create", "app", "--directory", "acme", *words)
    assert (refused.code, refused.errors) == (
        1,
        "So configured it needs the secret that the destination gave out; bring it with --secret-file FILE.\n",
    )
    secret = ("--secret-file", str(tmp_path / "token"))
    made = run("destination", "create", "app", "--directory", "acme", *words, *secret)
    assert (made.code, made.errors) == (0, "")
    assert TOKEN not in made.output
    assert made.output.endswith("\nNext: scimhub destination check app --directory acme\n")
    assert f'"base_url": "{running.scim_url}"' in made.output

    checked = run("destination", "check", "app", "--directory", "acme")
    assert (checked.code, checked.output.splitlines()[0]) == (0, "The test event arrived: 200.")

    assert run("destination", "ledger", "app", "--directory", "acme").output == "Destination app was given nothing that fits.\n"
    with running.client(token) as client:
        id = client.post(f"{running.url}/scim/acme/v2/Users", json=user("kim")).json()["id"]

    def listed() -> bool:
        return bool(run("destination", "ledger", "app", "--directory", "acme", "--state", "present", "--json").json["items"])

    wait_until(listed, "the person's arrival")
    (entry,) = run("destination", "ledger", "app", "--directory", "acme", "--json").json["items"]
    assert (entry["resource_id"], entry["resource_type"], entry["version"]) == (id, "User", 1)
    shown = run("destination", "ledger", "app", "--directory", "acme").output
    assert entry["remote_id"] in shown
    rotated = run("destination", "rotate", "app", "--directory", "acme")
    assert (rotated.code, rotated.errors.count("--secret-file")) == (1, 1)
    brought = run("destination", "rotate", "app", "--directory", "acme", *secret)
    assert (brought.code, brought.output) == (0, "The secret that you brought is in use.\n")


def test_a_configuration_that_cannot_be_read_is_told(running: LiveHub, tmp_path: Path):
    for content in ("[1, 2]", "a: [", None):
        file = tmp_path / "configuration"
        if content is None:
            file.unlink()
        else:
            file.write_text(content)
        refused = run("destination", "create", "odd", "--kind", "scim_app", "--configuration", str(file))
        assert (refused.code, len(refused.errors.splitlines()) > 0) == (2, True)
    # What YAML knows and JSON does not is sent as a text.
    for content in (json.dumps({"base_url": "ftp://x"}), "base_url: https://a.example\nsince: 2026-01-01\n2026-01-01: x"):
        (tmp_path / "configuration").write_text(content)
        refused = run("destination", "create", "odd", "--kind", "scim_app", "--configuration", str(tmp_path / "configuration"))
        assert (refused.code, bool(refused.errors)) == (1, True)


def test_a_preview_shows_who_enters_leaves_and_changes(running: LiveHub, tmp_path: Path):
    with running.client() as client:
        ids = [client.post("/Users", json=user(name, title="clerk")).json()["id"] for name in ("ann", "ben")]
        client.post("/Users", json=user("cat", title="boss"))
    run("destination", "create", "hook", "--url", "http://127.0.0.1:1/", "--filter", 'title eq "clerk"')
    (tmp_path / "mapping.yaml").write_text("User:\n  keep: true\n  set:\n    nickName: userName\n")
    words = ("preview", "hook", "--mapping", str(tmp_path / "mapping.yaml"))

    shown = run("destination", *words, "--filter", 'title pr and userName ne "ben"', "--samples", "1")
    assert (shown.code, shown.errors) == (0, "")
    lines = shown.output.splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["type", "enters", "leaves", "changes", "stays"],
        ["User", "1", "1", "1", "0"],
    ]
    assert f"User {ids[1]} leaves" in lines
    assert lines[lines.index(f"User {ids[0]} changes") + 1 :][:1] == ['  nickName: - → "ann"']

    (sample,) = run("destination", *words, "--resource", ids[0], "--json").json["samples"]
    assert (sample["fate"], sample["then"]["nickName"]) == ("changes", "ann")
    (tmp_path / "mapping.yaml").write_text("User: {set: {a: shoeSize}}")
    refused = run("destination", *words)
    assert (refused.code, refused.errors.count("shoeSize")) == (1, 1)
    run("destination", "update", "hook", "--mapping", str(tmp_path / "mapping.yaml"), "--yes")
    (tmp_path / "mapping.yaml").write_text("User: {set: {a: userName}}")
    saved = run("destination", "update", "hook", "--mapping", str(tmp_path / "mapping.yaml"), "--yes", "--json").json
    assert saved["subscription"]["mapping"] == {"User": {"set": {"a": "userName"}}}
    (tmp_path / "mapping.yaml").write_text("{}")
    cleared = run("destination", "update", "hook", "--mapping", str(tmp_path / "mapping.yaml"), "--yes", "--json").json
    assert cleared["subscription"]["mapping"] == {}
