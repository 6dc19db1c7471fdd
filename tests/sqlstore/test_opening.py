"""Opening and refusing: the lock, migrations, URLs, file modes, and what survives a kill."""

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import apsw
import pytest

from scimhub.directory.errors import StoreUnusable
from scimhub.sqlstore.migrations import Migration
from scimhub.sqlstore.sqlite import driver, migrate
from scimhub.sqlstore.store import SqlStore
from tests.servers.running import PATIENCE
from tests.store_contract.conftest import counting_random, open_sqlite
from tests.store_contract.harness import T0
from tests.store_contract.kept_secrets import KEPT, LEFT

MIGRATIONS = migrate.known_migrations()


def test_only_the_owner_may_read_the_files(tmp_path: Path):
    opened = open_sqlite(tmp_path)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    opened.database.close_here()
    assert set(modes) == {"hub.db", "hub.db-wal", "hub.db.lock"}
    assert set(modes.values()) == {0o600}


def test_the_writer_waits_for_the_disk(tmp_path: Path):
    driver.create_file(tmp_path / "hub.db")
    connection = driver.open_connection(tmp_path / "hub.db", writes=True, cache_mib=1)
    assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    assert connection.execute("PRAGMA synchronous").fetchall() == [(2,)]
    connection.close()


_COUNT_ELSEWHERE = """
import apsw, sys
print(apsw.Connection(sys.argv[1]).execute("SELECT count(*) FROM hub WHERE name = 'written'").fetchall()[0][0])
"""


def count_elsewhere(path: Path) -> subprocess.CompletedProcess[str]:
    """What a program that knows nothing of the lock file finds in the database, or why it does not."""
    return subprocess.run([sys.executable, "-c", _COUNT_ELSEWHERE, str(path)], capture_output=True, text=True, check=False)


async def test_no_other_process_gets_at_an_open_database_and_any_can_at_a_closed_one(tmp_path: Path):
    opened = open_sqlite(tmp_path)
    try:
        await opened.database.write(lambda connection: connection.execute("INSERT INTO hub VALUES ('written', '')").close())
        looked = count_elsewhere(tmp_path / "hub.db")
        assert looked.returncode != 0
        assert "BusyError" in looked.stderr
    finally:
        opened.database.close_here()
    assert count_elsewhere(tmp_path / "hub.db").stdout == "1\n"


def test_a_missing_directory_is_told(tmp_path: Path):
    with pytest.raises(StoreUnusable, match="cannot be opened"):
        open_sqlite(tmp_path / "nowhere")


def test_another_programs_file_is_not_touched(tmp_path: Path):
    path = tmp_path / "hub.db"
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE songs (title)")
    connection.close()
    with pytest.raises(StoreUnusable, match="not a hub's"):
        open_sqlite(tmp_path)
    path.write_bytes(b"no database at all, but long enough to look at" * 100)
    with pytest.raises(StoreUnusable, match="no SQLite database"):
        open_sqlite(tmp_path)


# --------------------------------------------------------------------------- the lock

_HOLD = "import sys; from pathlib import Path; from tests.store_contract.conftest import open_sqlite; "


def start(program: str, *arguments: str) -> "subprocess.Popen[str]":
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def test_a_second_process_is_refused_with_the_number_of_the_first(tmp_path: Path):
    program = (
        _HOLD
        + "opened = open_sqlite(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read(); opened.database.close_here()"
    )
    with start(program, str(tmp_path)) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        with pytest.raises(StoreUnusable, match=f"process {child.pid};"):
            open_sqlite(tmp_path)
        child.communicate("", timeout=PATIENCE)
    open_sqlite(tmp_path).database.close_here()


def test_whoever_has_the_database_for_a_moment_keeps_nobody_from_opening_it(tmp_path: Path):
    first = open_sqlite(tmp_path)
    leaving = threading.Timer(0.2, first.database.close_here)
    leaving.start()
    open_sqlite(tmp_path).database.close_here()
    leaving.join()


def test_a_second_process_is_told_that_postgresql_takes_several(tmp_path: Path):
    first = open_sqlite(tmp_path)
    with pytest.raises(StoreUnusable, match="PostgreSQL"):
        open_sqlite(tmp_path)
    first.database.close_here()


def test_a_second_store_in_the_same_process_is_refused(tmp_path: Path):
    first = open_sqlite(tmp_path)
    with pytest.raises(StoreUnusable, match=str(os.getpid())):
        open_sqlite(tmp_path)
    first.database.close_here()
    first.database.close_here()
    open_sqlite(tmp_path).database.close_here()


_WRITE_UNTIL_KILLED = """
import asyncio, sys
from pathlib import Path
from tests.store_contract.conftest import open_desk, open_sqlite

async def write(desk, first):
    for number in range(first, 100_000, 8):
        stored = await desk.user(f"user{number}")
        print(stored.id, flush=True)

async def main():
    desk = await open_desk(open_sqlite(Path(sys.argv[1])), "acme")
    await asyncio.gather(*(write(desk, first) for first in range(8)))

asyncio.run(main())
"""


async def test_everything_acknowledged_survives_a_kill(tmp_path: Path):
    with start(_WRITE_UNTIL_KILLED, str(tmp_path)) as child:
        assert child.stdout is not None
        acknowledged = [child.stdout.readline().strip() for _ in range(500)]
        child.send_signal(signal.SIGKILL)
        acknowledged += [line.strip() for line in child.stdout.read().split("\n")[:-1]]
    opened = open_sqlite(tmp_path)
    try:
        found = [await opened.find(1, "User", id, 1) for id in acknowledged]
        assert None not in found
        changes = await opened.read_changes(0, 100_000)
        assert [change.position for change in changes] == list(range(1, len(changes) + 1))
        assert set(acknowledged) <= {change.resource_id for change in changes}
        assert (await opened.count_resources(1))["User"] == len(changes)
        assert (await opened.check()).problems == ()
    finally:
        opened.database.close_here()


# --------------------------------------------------------------------------- migrations


def open_raw(path: Path) -> apsw.Connection:
    driver.create_file(path)
    return driver.open_connection(path, writes=True, cache_mib=1)


def run(connection: apsw.Connection, *steps: Migration) -> list[int]:
    return migrate.migrate(connection, now=T0, random=counting_random(), fold_version=7, steps=steps or None)


def test_migrations_are_applied_once_and_recorded(tmp_path: Path):
    connection = open_raw(tmp_path / "hub.db")
    assert run(connection) == [step.number for step in MIGRATIONS]
    assert run(connection) == []
    recorded = connection.execute("SELECT number, name, applied FROM migrations").fetchall()
    assert recorded == [(step.number, step.name, T0) for step in MIGRATIONS]
    assert migrate.read_hub(connection, "fold_version") == "7"
    assert len(migrate.read_hub(connection, "log_epoch")) == 8
    assert len(bytes.fromhex(migrate.read_hub(connection, "cursor_secret"))) == 32
    connection.close()


def test_secrets_that_were_kept_for_adoption_go_with_a_migration(tmp_path: Path):
    connection = open_raw(tmp_path / "hub.db")
    run(connection, *[step for step in MIGRATIONS if step.number < 10])
    for number, document in enumerate(KEPT):
        connection.execute("INSERT INTO unmapped VALUES (1, ?, 1, 'User', ?, NULL)", (number, document))
    run(connection)
    assert connection.execute("SELECT resource, document FROM unmapped ORDER BY 1").fetchall() == LEFT
    connection.close()


def test_a_later_migration_keeps_the_epoch(tmp_path: Path):
    connection = open_raw(tmp_path / "hub.db")
    run(connection)
    epoch = migrate.read_hub(connection, "log_epoch")
    later = Migration(9001, "9001_later.sql", "CREATE TABLE later (a) ; CREATE INDEX later_a ON later (a)")
    assert run(connection, *MIGRATIONS, later) == [9001]
    assert migrate.read_hub(connection, "log_epoch") == epoch
    connection.close()


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path):
    connection = open_raw(tmp_path / "hub.db")
    run(connection)
    broken = Migration(9001, "9001_broken.sql", "CREATE TABLE later (a); CREATE TABLE later (a)")
    with pytest.raises(apsw.SQLError):
        run(connection, *MIGRATIONS, broken)
    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'later'").fetchall() == [(0,)]
    assert run(connection) == []
    connection.close()


async def test_a_database_of_a_newer_program_is_refused(tmp_path: Path):
    open_sqlite(tmp_path).database.close_here()
    connection = open_raw(tmp_path / "hub.db")
    connection.execute("INSERT INTO migrations (number, name, applied) VALUES (9001, '9001_later.sql', '')")
    connection.close()
    with pytest.raises(StoreUnusable, match="migration 9001, this program knows"):
        open_sqlite(tmp_path)


@pytest.mark.parametrize("version", ["3.7.0", "3.40.1", "3.51.2"])
def test_an_sqlite_that_can_lose_data_is_refused(version: str):
    with pytest.raises(StoreUnusable, match=f"SQLite {version} can lose committed data; 3.51.3"):
        migrate.check_sqlite(version)


@pytest.mark.parametrize("version", ["3.51.3", "3.54.0", "4.0.0"])
def test_an_sqlite_without_that_fault_is_taken(version: str):
    migrate.check_sqlite(version)


def test_every_row_with_personal_content_names_a_key(store: SqlStore):
    connection = store.database
    named = {
        table: {
            row[0]
            for row in connection.read_here(
                lambda c, t=table: c.execute(f"SELECT name FROM pragma_table_info('{t}')").fetchall()
            )
        }
        for table in (
            "resources",
            "links",
            "unique_values",
            "attribute_values",
            "unmapped",
            "changes",
            "tombstones",
            "tombstone_links",
        )
    }
    assert [table for table, columns in named.items() if not {"key_id", "directory"} <= columns] == []


def test_the_epoch_stays_over_restarts(tmp_path: Path):
    first = open_sqlite(tmp_path)
    history = (first.log_epoch, first.cursor_secret)
    first.database.close_here()
    second = open_sqlite(tmp_path)
    assert (second.log_epoch, second.cursor_secret) == history
    second.database.close_here()
