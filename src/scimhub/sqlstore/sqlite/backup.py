"""Copies of the database: made while the hub runs, and opened again as a hub with a new history (DECISIONS 25)."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import quote

import apsw

from scimhub.directory.errors import StoreUnusable
from scimhub.sqlstore.connection import Progress
from scimhub.sqlstore.sqlite import driver, migrate
from scimhub.sqlstore.sqlite.driver import SqliteConnection

T = TypeVar("T")


class BareWriter(Protocol):
    """Who carries work out on the writing connection, outside any transaction: the open database."""

    async def write_bare(self, work: Callable[[SqliteConnection], T]) -> T: ...


# Two megabytes: a step the other writes hardly notice.
_PAGES_A_STEP = 500
_CACHE_MIB = 8
_KEYS = "SELECT DISTINCT key_id FROM destination_secrets WHERE key_id IS NOT NULL ORDER BY key_id"


@dataclass(frozen=True, slots=True)
class Filled:
    """A database that was made of a backup: its new epoch, and the ids of the keys that its secrets need."""

    log_epoch: str
    keys: tuple[str, ...]


async def back_up(database: "BareWriter", target: Path, progress: Progress | None = None) -> None:
    """Copy the running database into a new file, in steps between the other writes; raises StoreUnusable.

    The steps use the writer's connection: SQLite then carries each page that changes meanwhile into the copy, where
    any other connection would have to begin again with every write.
    """
    partial = _begin(target)
    with driver.opening(partial):
        copy = SqliteConnection(str(partial))
        try:
            await _copy(database, copy, progress)
        except BaseException:
            copy.close()
            os.unlink(partial)
            raise
        copy.close()
        # On a thread: to read a large copy takes seconds, in which the hub goes on.
        if not await asyncio.to_thread(_is_sound, partial):
            os.unlink(partial)
            raise StoreUnusable(f"The database is damaged, so that there is no backup {target}; {driver.RESTORE}.")
        _settle(partial, target)


async def _copy(database: "BareWriter", copy: SqliteConnection, progress: Progress | None) -> None:
    backup = await database.write_bare(lambda connection: copy.backup("main", connection, "main"))
    try:
        while not await database.write_bare(lambda _: backup.step(_PAGES_A_STEP)):
            if progress is not None:
                progress(backup.page_count - backup.remaining, backup.page_count)
        if progress is not None:
            progress(backup.page_count, backup.page_count)
    finally:
        await database.write_bare(lambda _: backup.finish())


def restore(backup: Path, target: Path, random: Callable[[int], bytes]) -> Filled:
    """Make a database of a backup, and give its log a new epoch; raises StoreUnusable.

    With the new epoch, ETags and cursors from the time after the backup are not mistaken for those to come.
    """
    if not backup.exists():
        raise StoreUnusable(f"There is no backup {backup}.")
    partial = _begin(target)
    try:
        with driver.opening(backup):
            filled = _fill(backup, partial, random)
            _settle(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return filled


def _fill(backup: Path, partial: Path, random: Callable[[int], bytes]) -> Filled:
    source = _open_to_read(backup)
    copy = SqliteConnection(str(partial))
    try:
        with copy.backup("main", source, "main") as steps:
            steps.step(-1)
        if not _passes_check(copy):
            raise StoreUnusable(f"The backup {backup} is damaged; take another one.")
        migrate.check_known(copy)
        return Filled(migrate.renew_epoch(copy, random), _keys(copy))
    finally:
        copy.close()
        source.close()


def _is_sound(path: Path) -> bool:
    connection = _open_to_read(path)
    try:
        return _passes_check(connection)
    finally:
        connection.close()


def _open_to_read(path: Path) -> SqliteConnection:
    """A file to which nobody writes. A copied database may have its write-ahead log beside it; what has none is given none."""
    has_log = path.with_name(f"{path.name}-wal").exists()
    uri = f"file:{quote(str(path.absolute()))}{'' if has_log else '?immutable=1'}"
    return SqliteConnection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)


def _passes_check(connection: SqliteConnection) -> bool:
    try:
        return connection.fetch("PRAGMA quick_check") == [("ok",)]
    except (apsw.CorruptError, apsw.NotADBError):
        return False


def _keys(copy: SqliteConnection) -> tuple[str, ...]:
    # A backup of before there were destinations has no such table.
    has_secrets = copy.fetch("SELECT 1 FROM sqlite_schema WHERE name = 'destination_secrets'")
    return tuple(row[0] for row in copy.fetch(_KEYS)) if has_secrets else ()


def _begin(target: Path) -> Path:
    """An empty file beside the target; only a finished copy gets the target's name."""
    if target.exists():
        raise StoreUnusable(f"{target} exists already; name a new file.")
    partial = target.with_name(target.name + ".partial")
    with driver.opening(partial):
        partial.unlink(missing_ok=True)
        driver.create_file(partial)
    return partial


def _settle(partial: Path, target: Path) -> None:
    """Give the finished file its name, for good."""
    _flush(partial)
    os.rename(partial, target)
    _flush(target.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
