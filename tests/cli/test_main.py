"""The verbs on the hub itself: doctor, backup, restore, exchanges, serve."""

import json
import os
import re
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
from tests.end_to_end.live import LiveHub
from tests.servers.running import PATIENCE


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


def test_doctor_counts_what_lies_in_the_write_ahead_log(scimhub: Scimhub, hub: LiveHub):
    told = re.search(r"sound and up to date: ([0-9.]+) MiB, 0 changes\.", scimhub("doctor").output)
    assert told is not None
    assert float(told[1]) > 0


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


# --------------------------------------------------------------------------- who may not, and what cannot be

# What root may do to the files of others is no right of it, and can be given away.
_ANYBODY = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-dac_override,-dac_read_search")


def run_as_anybody(*words: str) -> subprocess.CompletedProcess[str]:
    """The command of a user to whom no file of the hub belongs."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can make files that belong to somebody else")
    return subprocess.run(
        [*_ANYBODY, sys.executable, "-m", "scimhub", *words], capture_output=True, text=True, check=False, timeout=PATIENCE
    )


@pytest.mark.parametrize("words", [("serve",), ("directory", "list"), ("backup", "copy.db"), ("export", "-o", "all.ndjson")])
def test_a_user_who_may_not_look_into_the_data_folder_is_told_whom_to_be(scimhub: Scimhub, home: Path, words: tuple[str, ...]):
    scimhub("directory", "create", "acme")
    os.chown(home / "data", 65534, 65534)
    refused = run_as_anybody(*words)
    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1)
    assert "run the command as the user of the hub" in refused.stderr


def test_doctor_says_whom_to_be_where_it_may_not_look(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    os.chown(home / "data", 65534, 65534)
    looked = run_as_anybody("doctor", "--json")
    found = {finding["subject"]: finding["verdict"] for finding in json.loads(looked.stdout)}
    assert (looked.returncode, looked.stderr) == (1, "")
    assert (found["files"], found["database"], found["keys"]) == ("FAIL", "FAIL", "FAIL")


def test_a_data_folder_that_cannot_be_made_is_told_in_a_sentence(scimhub: Scimhub, home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SCIMHUB_DATABASE", "/proc/nowhere/scimhub.db")
    refused = scimhub("directory", "create", "acme")
    assert (refused.code, refused.errors) == (
        1,
        "The directory /proc/nowhere cannot be made: No such file or directory; make it for the user of the hub, or set "
        "SCIMHUB_DATABASE or SCIMHUB_DATA.\n",
    )


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
@pytest.mark.parametrize(
    "fault, reason", [("other", "not that of the certificate"), ("text", "no PEM file"), ("locked", "encrypted")]
)
def test_a_start_with_a_certificate_that_does_not_work_makes_no_database(
    home: Path, monkeypatch: pytest.MonkeyPatch, fault: str, reason: str
):
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=hub"]
    for name in ("hub", "other"):
        subprocess.run([*words, "-keyout", f"{name}.key", "-out", f"{name}.pem"], check=True, capture_output=True)
    (home / "text.key").write_text("nonsense")
    locked = ["openssl", "rsa", "-aes128", "-passout", "pass:abcd", "-in", "hub.key", "-out", "locked.key"]
    subprocess.run(locked, check=True, capture_output=True)
    monkeypatch.setenv("SCIMHUB_TLS_CERTIFICATE", "hub.pem")
    monkeypatch.setenv("SCIMHUB_TLS_KEY", f"{fault}.key")
    monkeypatch.setenv("SCIMHUB_PORT", "0")
    # In a process of its own, because it takes the log over.
    words = [sys.executable, "-m", "scimhub", "serve"]
    refused = subprocess.run(words, capture_output=True, text=True, check=False, timeout=PATIENCE)
    # On an empty database the first start makes a token, which would never be shown.
    assert (refused.returncode, refused.stdout, (home / "data").exists()) == (1, "", False)
    assert reason in refused.stderr
    assert refused.stderr.endswith("(SCIMHUB_TLS_CERTIFICATE, SCIMHUB_TLS_KEY).\n")


# --------------------------------------------------------------------------- what is damaged, and disks that are full


def damage(database: Path) -> None:
    """Overwrite the page of the sources, as a bad disk would."""
    with closing(sqlite3.connect(database)) as opened:
        size = opened.execute("PRAGMA page_size").fetchone()[0]
        page = opened.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'sources'").fetchone()[0]
    with database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xfe" * size)


def test_of_a_damaged_database_there_is_no_backup(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    damage(home / "data" / "scimhub.db")
    refused = scimhub("backup", "copy.db")
    assert (refused.code, refused.output, sorted(path.name for path in home.iterdir())) == (1, "", ["data"])
    assert refused.errors.endswith(
        f"The database is damaged, so that there is no backup {home / 'copy.db'}; restore a backup with: "
        "scimhub restore FILE --force.\n"
    )


def test_doctor_says_how_a_damaged_database_is_mended(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    damage(home / "data" / "scimhub.db")
    looked = scimhub("doctor")
    assert looked.code == 1
    assert "scimhub restore FILE --force" in looked.output
    assert "run scimhub doctor" not in looked.output


def test_a_record_of_exchanges_that_is_damaged_may_be_moved_away(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    (home / "data" / "scimhub-exchanges.db").write_text("junk")
    assert "scimhub-exchanges.db cannot be opened: it is no SQLite database; name the right file, or move it away" in (
        scimhub("directory", "list").errors
    )


def test_an_export_to_a_full_disk_names_the_file(scimhub: Scimhub, home: Path, monkeypatch: pytest.MonkeyPatch):
    scimhub("directory", "create", "acme")
    (home / "all.ndjson.new").mkdir()
    refused = scimhub("export", "--directory", "acme", "-o", "all.ndjson")
    assert (refused.code, refused.errors) == (1, "all.ndjson cannot be written: Is a directory; nothing of it is kept.\n")
