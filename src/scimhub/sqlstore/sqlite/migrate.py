"""Brings a database file to the shape that this program expects; see ``sqlstore.migrations``."""

from collections.abc import Callable

import apsw

from scimhub.directory.errors import StoreUnusable
from scimhub.sqlstore import migrations
from scimhub.sqlstore.migrations import Migration
from scimhub.sqlstore.sqlite.driver import SqliteConnection

# Every SQLite from 3.7.0 to 3.51.2 can lose committed data when a WAL is reset; https://sqlite.org/wal.html
OLDEST_SQLITE = (3, 51, 3)
# "SCIM" in the header's application id, so that `file` and we know whose database it is.
APPLICATION_ID = 0x5343494D

_JOURNAL = """
CREATE TABLE IF NOT EXISTS migrations (
    number  INTEGER PRIMARY KEY,
    name    TEXT NOT NULL,
    applied TEXT NOT NULL
) STRICT"""


def known_migrations() -> tuple[Migration, ...]:
    """The migrations that came with this program, in order."""
    return migrations.known("scimhub.sqlstore.sqlite")


def check_sqlite(version: str) -> None:
    """Raise StoreUnusable when that version of SQLite cannot be trusted with committed data."""
    if tuple(int(part) for part in version.split(".")) < OLDEST_SQLITE:
        oldest = ".".join(map(str, OLDEST_SQLITE))
        raise StoreUnusable(f"SQLite {version} can lose committed data; {oldest} or newer is needed.")


def migrate(
    connection: SqliteConnection,
    *,
    now: str,
    random: Callable[[int], bytes],
    fold_version: int,
    steps: tuple[Migration, ...] | None = None,
    writes: bool = True,
) -> list[int]:
    """Apply what is missing, each migration in a transaction of its own; the numbers that were applied.

    ``random`` gives that many random bytes, for the log's first epoch. Raises StoreUnusable for a database that is
    newer than the program, or no hub's at all; without ``writes`` also for one that lacks a migration.
    """
    steps = known_migrations() if steps is None else steps
    check_sqlite(apsw.sqlite_lib_version())
    done = check_known(connection, steps)
    missing = [step for step in steps if step.number not in done]
    if missing and not writes:
        raise migrations.incomplete(done, steps)
    for step in missing:
        first = not done and step is missing[0]
        hub = {**migrations.new_history(random), "fold_version": str(fold_version)} if first else {}
        _apply(connection, step, now, hub)
    return [step.number for step in missing]


def check_known(connection: SqliteConnection, steps: tuple[Migration, ...] | None = None) -> set[int]:
    """The migrations that the database has had; raises StoreUnusable when this program does not know them all."""
    done = _applied(connection)
    migrations.check_not_newer(done, known_migrations() if steps is None else steps)
    return done


def read_hub(connection: SqliteConnection, name: str) -> str:
    """The hub's own value of that name, such as ``log_epoch``."""
    row = connection.fetch_one("SELECT value FROM hub WHERE name = ?", (name,))
    if row is None:
        raise StoreUnusable(f"The database has no {name}; it is not a complete hub database.")
    return str(row[0])


def renew_epoch(connection: SqliteConnection, random: Callable[[int], bytes]) -> str:
    """Give the log a new epoch, so that cursors and ETags of the former history are recognised as such."""
    history = migrations.new_history(random)
    _write_hub(connection, history)
    return history["log_epoch"]


def _applied(connection: SqliteConnection) -> set[int]:
    names = {row[0] for row in connection.fetch("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if "migrations" in names:
        return {row[0] for row in connection.fetch("SELECT number FROM migrations")}
    if names:
        raise StoreUnusable("The file is an SQLite database, but not a hub's; name another path.")
    return set()


def _apply(connection: SqliteConnection, step: Migration, now: str, hub: dict[str, str]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(_JOURNAL)
        connection.execute(step.sql)
        connection.execute("INSERT INTO migrations (number, name, applied) VALUES (?, ?, ?)", (step.number, step.name, now))
        _write_hub(connection, hub)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _write_hub(connection: SqliteConnection, values: dict[str, str]) -> None:
    connection.executemany(
        "INSERT INTO hub (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        list(values.items()),
    )
