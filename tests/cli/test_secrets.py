"""``scimhub secrets``: keys are shown by their ids, rotated while nothing is lost, and named where they are missing."""

import json
from pathlib import Path

import pytest

from tests.cli.command import Scimhub

URL = "https://payroll.example.com/events"


def keys_of(home: Path) -> list[str]:
    """The lines of the key file that are keys."""
    lines = (home / "data" / "secret.keys").read_text("ascii").splitlines()
    return [line for line in lines if not line.startswith("#")]


@pytest.fixture
def sealed(scimhub: Scimhub, home: Path) -> str:
    """The id of the key under which the secrets of a destination are; it has two."""
    scimhub("directory", "create", "acme")
    words = ("destination", "create", "payroll", "--directory", "acme", "--url", URL)
    made = scimhub(*words, "--set", 'headers={"Authorization": "Bearer canary-55"}', "--json").json
    assert made["destination"]["configuration"]["headers"] == {"Authorization": "(concealed)"}
    return keys_of(home)[0].partition(":")[0]


def test_status_counts_what_is_under_which_key(scimhub: Scimhub, home: Path, sealed: str):
    found = scimhub("secrets", "status", "--json").json
    assert found == {"newest": sealed, "items": [{"key_id": sealed, "secrets": 2, "is_known": True, "unreadable": 0}]}
    shown = scimhub("secrets", "status").output
    assert sealed in shown
    assert keys_of(home)[0].partition(":")[2] not in shown


def test_looking_makes_no_key(scimhub: Scimhub, home: Path, sealed: str):
    file = home / "data" / "secret.keys"
    file.rename(home / "kept")
    scimhub("secrets", "status")
    scimhub("doctor")
    scimhub("destination", "list", "--directory", "acme")
    assert not file.exists()
    # Whoever seals something needs one.
    made = scimhub("destination", "create", "hook", "--directory", "acme", "--url", URL)
    assert (made.code, len(keys_of(home)), file.stat().st_mode & 0o777) == (0, 1, 0o600)


def test_a_rotation_adds_a_key_and_leaves_the_old_one_unused(scimhub: Scimhub, home: Path, sealed: str):
    rotated = scimhub("secrets", "rotate")
    new, old = (line.partition(":")[0] for line in keys_of(home))
    assert (rotated.code, old) == (0, sealed)
    assert f"2 of 2 secrets are sealed anew, under the key {new}." in rotated.output
    assert f"Nothing in the database is under {old} any more; backups made before still need it." in rotated.output
    assert scimhub("secrets", "status", "--json").json["items"][0] == {
        "key_id": new,
        "secrets": 2,
        "is_known": True,
        "unreadable": 0,
    }


def test_a_missing_key_is_named_and_loses_nothing_else(scimhub: Scimhub, home: Path, sealed: str):
    file = home / "data" / "secret.keys"
    file.rename(home / "kept")
    status = scimhub("secrets", "status")
    assert (status.code, "MISSING" in status.output, sealed in status.output) == (1, True, True)
    looked = scimhub("doctor")
    assert looked.code == 1
    assert f"Secrets of destinations cannot be opened: 2 under {sealed}; give these keys" in looked.output
    (listed,) = scimhub("destination", "list", "--directory", "acme", "--json").json["items"]
    # Nothing was sent yet.
    assert (listed["name"], f"sealed with the key {sealed}, which" in listed["status"]["error"]) == ("payroll", True)
    checked = scimhub("destination", "check", "payroll", "--directory", "acme")
    assert checked.code == 1
    assert f"sealed with the key {sealed}, which this hub does not have" in checked.output + checked.errors
    (home / "kept").rename(file)
    assert scimhub("secrets", "status").code == 0


def test_a_key_that_is_lost_keeps_no_other_from_being_changed(scimhub: Scimhub, home: Path, sealed: str):
    (home / "data" / "secret.keys").unlink()
    scimhub("destination", "create", "hook", "--directory", "acme", "--url", URL)
    (leaked,) = (line.partition(":")[0] for line in keys_of(home))
    rotated = scimhub("secrets", "rotate")
    new = keys_of(home)[0].partition(":")[0]
    assert new != leaked
    # It is told that not all are under the new one.
    assert (rotated.code, "MISSING" in rotated.output) == (1, True)
    found = json.loads(scimhub("secrets", "status", "--json").output)
    counts = {key["key_id"]: key["secrets"] for key in found["items"]}
    assert counts == {new: 1, leaked: 0, sealed: 2}


def test_keys_that_are_given_are_rotated_by_who_gives_them(
    scimhub: Scimhub, home: Path, sealed: str, monkeypatch: pytest.MonkeyPatch
):
    new = scimhub("secrets", "new-key").output.strip()
    monkeypatch.setenv("SCIMHUB_SECRET_KEYS", f"{new},{keys_of(home)[0]}")
    rotated = scimhub("secrets", "rotate", "--json").json
    assert (rotated["resealed"], rotated["newest"]) == (2, new.partition(":")[0])
    again = scimhub("secrets", "rotate")
    assert (again.code, again.output) == (1, "")
    assert again.errors.startswith("The keys are given to the hub, which cannot add one: make one with scimhub secrets new-key")
    monkeypatch.setenv("SCIMHUB_SECRET_KEYS", new)
    assert scimhub("secrets", "status").code == 0


def test_a_restored_backup_says_which_keys_it_needs(scimhub: Scimhub, home: Path, sealed: str):
    made = scimhub("backup", "copy.db")
    assert "The keys that open its secrets are not in it" in made.output
    assert b"canary-55" not in (home / "copy.db").read_bytes()
    assert keys_of(home)[0].partition(":")[2].encode() not in (home / "copy.db").read_bytes()
    restored = scimhub("restore", "copy.db", "--force")
    assert f"Its secrets are sealed with the keys {sealed}; the hub needs them" in restored.output
    assert scimhub("secrets", "status").code == 0


def test_with_a_server_and_without_keys_doctor_says_where_the_key_is(
    scimhub: Scimhub, home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SCIMHUB_DATABASE", "postgresql://hub@127.0.0.1:1/hub")
    (told,) = [one for one in json.loads(scimhub("doctor", "--json").output) if one["subject"] == "keys"]
    assert told["verdict"] == "WARN"
    assert told["sentence"].startswith("The key of the secrets of destinations is in the database itself")


def test_a_key_file_that_others_may_read_is_told(scimhub: Scimhub, home: Path, sealed: str):
    (home / "data" / "secret.keys").chmod(0o644)
    found = {(one["subject"], one["verdict"]) for one in json.loads(scimhub("doctor", "--json").output)}
    assert ("keys", "WARN") in found
