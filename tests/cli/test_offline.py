"""Verbs that open the database themselves, because no hub runs: who only looks changes nothing, and faults are sentences."""

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from scimhub import clock
from scimhub.sqlstore.sqlite import driver, migrate
from tests.cli.command import Scimhub

MIGRATIONS = migrate.known_migrations()
LOOKING = (
    "directory list",
    "directory show acme",
    "source list -d acme",
    "token list -d acme -s okta",
    "schema list -d acme",
    "index list -d acme",
    "destination list -d acme",
    "exchanges",
    "trace 7c -d acme",
    "secrets status",
    "export --directory acme",
)


def make_older(home: Path) -> Path:
    """A database as the program before this one left it."""
    path = home / "data" / "scimhub.db"
    path.parent.mkdir(mode=0o700)
    driver.create_file(path)
    connection = driver.open_connection(path, writes=True, cache_mib=1)
    migrate.migrate(connection, now=clock.now_text(), random=bytes, fold_version=1, steps=MIGRATIONS[:-1])
    connection.close()
    return path


def contents(home: Path) -> dict[str, bytes]:
    """What the files of the database hold, but for the number of who had the lock last."""
    return {path.name: path.read_bytes() for path in (home / "data").iterdir() if path.suffix != ".lock"}


@pytest.mark.parametrize("words", LOOKING)
def test_who_only_looks_leaves_an_older_database_as_it_is_and_says_what_it_needs(scimhub: Scimhub, home: Path, words: str):
    make_older(home)
    before = contents(home)
    looked = scimhub(*words.split())
    assert (looked.code, looked.output) == (1, "")
    assert f"at migration {len(MIGRATIONS) - 1}, this program needs {len(MIGRATIONS)}" in looked.errors
    assert "scimhub serve brings it there" in looked.errors
    assert contents(home) == before


def test_doctor_tells_of_an_older_database_and_leaves_it_as_it_is(scimhub: Scimhub, home: Path):
    make_older(home)
    before = contents(home)
    told = scimhub("doctor")
    assert told.code == 1
    assert [line.split()[0] for line in told.output.splitlines() if " database " in line] == ["FAIL"]
    assert "scimhub serve brings it there" in told.output
    assert contents(home) == before


def test_a_backup_changes_nothing_in_what_it_copies(scimhub: Scimhub, home: Path):
    path = make_older(home)
    before = contents(home)
    refused = scimhub("backup", "hub.backup")
    assert (refused.code, "have that one back it up before" in refused.errors) == (1, True)
    assert (contents(home), (home / "hub.backup").exists()) == (before, False)
    path.unlink()
    scimhub("directory", "create", "acme")
    assert scimhub("backup", "hub.backup").code == 0
    assert scimhub("restore", "hub.backup", "--force").code == 0
    assert [one["name"] for one in scimhub("directory", "list", "--json").json] == ["acme"]


def test_who_writes_migrates_and_says_so(scimhub: Scimhub, home: Path):
    make_older(home)
    made = scimhub("directory", "create", "acme", "--json")
    assert made.json["name"] == "acme"
    former = len(MIGRATIONS) - 1
    assert made.errors == (
        f"data/scimhub.db was at migration {former}; it is this program's now, and an older scimhub refuses it.\n"
    )
    assert scimhub("directory", "list").errors == ""


@pytest.mark.parametrize("words", ["directory list", "directory create other"])
def test_a_newer_database_is_refused_by_all(scimhub: Scimhub, home: Path, words: str):
    scimhub("directory", "create", "acme")
    connection = apsw.Connection(str(home / "data" / "scimhub.db"))
    connection.execute("INSERT INTO migrations VALUES (9999, 'later', '')")
    connection.close()
    told = scimhub(*words.split())
    assert told.code == 1
    assert "opened by a newer scimhub" in told.errors


def test_an_older_exchanges_file_is_left_to_the_hubs_start(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    connection = apsw.Connection(str(home / "data" / "scimhub-exchanges.db"))
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    told = scimhub("directory", "list")
    assert (told.code, "scimhub-exchanges.db was written by an older scimhub" in told.errors) == (1, True)


def test_who_only_looks_makes_no_file_of_exchanges(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    (home / "data" / "scimhub-exchanges.db").unlink()
    assert scimhub("exchanges").code == scimhub("directory", "list").code == 0
    assert {path.name for path in (home / "data").iterdir()} == {"scimhub.db", "scimhub.db.lock"}


def in_a_process(home: Path, *words: str, prepare: Callable[[], None] | None = None) -> tuple[int, str]:
    """The exit code and the sentences of a command that runs by itself."""
    done = subprocess.run(
        [sys.executable, "-m", "scimhub", *words],
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=prepare,
    )
    return done.returncode, done.stderr


def allow_small_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (16384, 16384))


def test_a_disk_that_takes_nothing_is_told_in_one_sentence(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    (home / "data" / "scimhub-exchanges.db").unlink()
    code, told = in_a_process(home, "directory", "list", prepare=allow_small_files)
    assert (code, told) == (0, "")
    for number in range(9):
        scimhub("source", "create", f"s{number}", "-d", "acme")
    code, told = in_a_process(home, "schema", "add", str(big_schema(home)), "-d", "acme", prepare=allow_small_files)
    assert (code, told.count("\n"), "system's log" in told) == (1, 1, True), told


def big_schema(home: Path) -> Path:
    names = "\n".join(f"  - name: attribute{number}" for number in range(900))
    path = home / "big.yaml"
    path.write_text(f"id: urn:example:big\nname: Big\nattributes:\n{names}\n")
    return path


@contextmanager
def held_by_another_program(path: Path) -> Iterator[None]:
    holder = apsw.Connection(str(path))
    holder.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        holder.execute("ROLLBACK")
        holder.close()


def test_a_lock_that_another_program_holds_is_told_with_what_to_do(scimhub: Scimhub, home: Path):
    scimhub("directory", "create", "acme")
    with held_by_another_program(home / "data" / "scimhub.db"):
        code, told = in_a_process(home, "directory", "list")
    assert (code, "end it, such as an open sqlite3, and try again." in told) == (1, True)
