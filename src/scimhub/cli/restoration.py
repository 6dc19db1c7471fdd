"""Taking a backup as the hub's database. The hub must stand still: its files are exchanged under it."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path

from scimhub import clock
from scimhub.directory.errors import Conflict
from scimhub.settings import Settings
from scimhub.sqlstore.sqlite import backup, driver


@dataclass(frozen=True, slots=True)
class Restored:
    """What was done; ``put_aside`` is where the former database went."""

    database: str
    log_epoch: str
    put_aside: str | None
    # The ids of the keys with which secrets of destinations are sealed.
    keys: tuple[str, ...]

    def render(self) -> dict[str, object]:
        """As ``--json`` prints it."""
        return asdict(self)


def restore(file: Path, settings: Settings, *, is_forced: bool) -> Restored:
    """Make the backup the database of these settings; raises Conflict, StoreUnusable.

    The former database is kept beside it under another name: whoever restores has had one bad day already.
    """
    database = settings.database_file
    if database is None:
        raise Conflict("The database is PostgreSQL's: restore it with pg_restore, or as your server is restored.")
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = driver.FileLock(database)
    lock.acquire()  # a running hub holds it, and is named in the refusal
    try:
        if database.exists() and not is_forced:
            raise Conflict(f"{database} is there already; give --force to put it aside, or set SCIMHUB_DATABASE.")
        # The copy is complete and checked before anything is moved.
        fresh = database.with_name(database.name + ".restored")
        fresh.unlink(missing_ok=True)
        filled = backup.restore(file, fresh, os.urandom)
        aside = _put_aside(database) if database.exists() else None
        fresh.rename(database)
    finally:
        lock.release()
    return Restored(str(database), filled.log_epoch, None if aside is None else str(aside), filled.keys)


def _put_aside(database: Path) -> Path:
    stamp = clock.now_text().replace(":", "").replace("-", "").replace(".", "")
    aside = database.with_name(f"{database.name}.before-{stamp}")
    _move(database, aside)
    return aside


def _move(source: Path, target: Path) -> None:
    """Move a database with the write-ahead log that may hold its newest commits."""
    for suffix in ("-wal", "-shm", ""):
        part = source.with_name(source.name + suffix)
        if part.exists():
            part.rename(target.with_name(target.name + suffix))
