"""The verbs on the hub itself: doctor, backup, restore, exchanges, serve."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from scimhub.sqlstore.sqlite import driver
from tests.cli.command import Scimhub, column


def verdicts(scimhub: Scimhub) -> dict[str, str]:
    outcome = scimhub("doctor", "--json")
    return {finding["subject"]: finding["verdict"] for finding in json.loads(outcome.output)}


# --------------------------------------------------------------------------- doctor


def test_doctor_finds_a_fresh_place_in_order(scimhub: Scimhub):
    looked = scimhub("doctor")
    assert looked.code == 0
    assert "The first start makes it." in looked.output.replace("the first", "The first")


def test_doctor_finds_a_sound_database_in_order(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    found = verdicts(scimhub)
    assert {verdict for subject, verdict in found.items() if subject != "disk"} == {"OK"}
    assert set(found) == {"settings", "sqlite", "files", "hub", "database", "keys", "secrets", "deliveries", "disk", "clock"}


def test_doctor_tells_every_mistake_in_the_settings(scimhub: Scimhub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCIMHUB_PORT", "x")
    monkeypatch.setenv("SCIMHUB_PROT", "1")
    looked = scimhub("doctor")
    assert (looked.code, looked.output.count("FAIL  settings")) == (1, 2)


def test_doctor_notices_a_directory_that_others_may_read(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    (home / "data").chmod(0o755)
    assert verdicts(scimhub)["files"] == "WARN"


def test_doctor_notices_a_socket_that_nobody_answers(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    left_over = socket.socket(socket.AF_UNIX)
    left_over.bind("data/scimhub.sock")
    left_over.close()
    assert verdicts(scimhub)["hub"] == "WARN"


def test_doctor_notices_what_is_no_hubs_database(scimhub: Scimhub, home: Path):
    (home / "data").mkdir(mode=0o700)
    with closing(sqlite3.connect(home / "data" / "scimhub.db")) as other:
        other.execute("CREATE TABLE people (name)")
    assert verdicts(scimhub)["database"] == "FAIL"


def test_doctor_notices_that_another_process_has_the_database(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    lock = driver.FileLock(home / "data" / "scimhub.db")
    lock.acquire()
    try:
        looked = scimhub("doctor")
        assert looked.code == 1
        assert f"in use by process {os.getpid()}" in looked.output
    finally:
        lock.release()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
@pytest.mark.parametrize("days, verdict", [("30", "OK"), ("5", "WARN")])
def test_doctor_looks_at_the_certificates_expiry(
    scimhub: Scimhub, home: Path, monkeypatch: pytest.MonkeyPatch, days: str, verdict: str
):
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", days]
    subprocess.run([*words, "-subj", "/CN=hub", "-keyout", "k.pem", "-out", "c.pem"], check=True, capture_output=True)
    monkeypatch.setenv("SCIMHUB_TLS_CERTIFICATE", "c.pem")
    monkeypatch.setenv("SCIMHUB_TLS_KEY", "k.pem")
    assert verdicts(scimhub)["certificate"] == verdict
    (home / "k.pem").write_text("nonsense")
    assert verdicts(scimhub)["certificate"] == "FAIL"


# --------------------------------------------------------------------------- backup and restore


def test_a_backup_restores_what_was_there_and_begins_a_new_epoch(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    made = scimhub("backup", "copy.db", "--json").json
    assert made == {"file": str(home / "copy.db"), "size": (home / "copy.db").stat().st_size}
    scimhub("directory", "create", "later")
    restored = scimhub("restore", "copy.db", "--force", "--json").json
    assert restored["database"] == "data/scimhub.db"
    assert Path(restored["put_aside"]).exists()
    assert column(scimhub("directory", "list", "--json").json, "name") == ["acme"]
    again = scimhub("restore", "copy.db", "--force", "--json").json
    assert again["log_epoch"] != restored["log_epoch"]


def test_restoring_overwrites_nothing_unless_forced(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    scimhub("backup", "copy.db")
    refused = scimhub("restore", "copy.db")
    assert (refused.code, refused.errors) == (
        1,
        "data/scimhub.db is there already; give --force to put it aside, or set SCIMHUB_DATABASE.\n",
    )


def test_restoring_is_refused_while_the_hub_runs(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    scimhub("backup", "copy.db")
    lock = driver.FileLock(home / "data" / "scimhub.db")
    lock.acquire()
    try:
        refused = scimhub("restore", "copy.db", "--force")
    finally:
        lock.release()
    assert (refused.code, "in use by process" in refused.errors) == (1, True)


def test_a_file_that_is_no_backup_changes_nothing(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    (home / "bad.db").write_bytes(b"x" * 5000)
    assert scimhub("restore", "bad.db", "--force").code == 1
    assert scimhub("restore", "absent.db", "--force").code == 1
    assert column(scimhub("directory", "list", "--json").json, "name") == ["acme"]


def test_a_backup_does_not_overwrite(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    (home / "copy.db").write_text("precious")
    assert scimhub("backup", "copy.db").code == 1
    assert (home / "copy.db").read_text() == "precious"


# --------------------------------------------------------------------------- the rest


def test_without_traffic_there_is_no_exchange(scimhub: Scimhub):
    scimhub("directory", "create", "acme")
    assert scimhub("exchanges", "--json").json == []
    assert scimhub("exchanges").output == "No exchange is recorded that fits.\n"
    assert scimhub("exchanges", "--since", "yesterday").code == 1


def test_the_version_is_told(scimhub: Scimhub):
    assert scimhub("--version").output.startswith("scimhub ")


def test_serve_with_wrong_settings_ends_with_code_2(scimhub: Scimhub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCIMHUB_HOST", "0.0.0.0")
    refused = scimhub("serve")
    assert (refused.code, "plain HTTP could be overheard" in refused.errors) == (2, True)


def test_looking_at_the_help_loads_no_server():
    code = "import sys; from scimhub.cli import main; print({'fastapi', 'uvicorn', 'apsw'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout == "set()\n"
