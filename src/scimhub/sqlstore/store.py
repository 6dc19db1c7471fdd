"""Opens a store: one object that keeps every port of ``directory``. The only module that chooses a driver."""

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from scimhub.directory.errors import StoreUnusable
from scimhub.sqlstore import backup, database, selection, sqlite
from scimhub.sqlstore.changes import Changes
from scimhub.sqlstore.database import Database, Health
from scimhub.sqlstore.destinations import Destinations
from scimhub.sqlstore.directories import Directories
from scimhub.sqlstore.execution import Rules
from scimhub.sqlstore.ledger import Ledgers
from scimhub.sqlstore.resources import Resources
from scimhub.sqlstore.sources import Sources
from scimhub.sqlstore.tracing import Tracing
from scimhub.sqlstore.walking import Walking

# How long a tombstone remembers what was deleted (DECISIONS 13).
DEFAULT_TOMBSTONE_DAYS = 30


class SqlStore(Resources, Changes, Directories, Sources, Destinations, Ledgers, Walking, Tracing):
    """A hub's database: ResourceStore, DirectoryStore, ChangeLog, DestinationStore, Ledger in one, and its own upkeep."""

    def __init__(self, opened: Database, rules: Rules, scan_limit: int) -> None:
        Directories.__init__(self, opened)
        Resources.__init__(self, opened, rules, scan_limit)
        Changes.__init__(self, opened)
        Sources.__init__(self, opened, rules.new_id)
        Destinations.__init__(self, opened, rules.new_id)
        Ledgers.__init__(self, opened)
        Walking.__init__(self, opened)
        Tracing.__init__(self, opened)
        self.database = opened

    @property
    def log_epoch(self) -> str:
        """Names the history that positions and versions belong to; it changes when a backup is restored."""
        return self.database.log_epoch

    @property
    def cursor_secret(self) -> bytes:
        """What page cursors are signed with; it lives as long as the database."""
        return self.database.cursor_secret

    async def back_up(self, target: Path, progress: backup.Progress | None = None) -> None:
        """Copy the database into a new file while it runs; see ``backup.back_up``."""
        await backup.back_up(self.database, target, progress)

    def arm(self, reach: Callable[[str], None]) -> None:
        """Have a test's dice thrown after what a transaction wrote, and after its commit."""
        self.database.arm(reach)

    async def check(self) -> Health:
        """What ``scimhub doctor`` asks of the database."""
        return await self.database.check()

    async def check_alive(self) -> None:
        """Raise StoreUnavailable unless the database can be read, and the writer answers."""
        self.database.read(lambda connection: sqlite.fetch_one(connection, "SELECT 1"))
        await self.database.write(lambda _: None)

    def close(self) -> None:
        """Finish what waits, then close; the file lock is free afterwards. It blocks, and may be called twice."""
        self.database.close()


def open_store(
    url: str | Path,
    *,
    new_id: Callable[[], str],
    now: Callable[[], str],
    random: Callable[[int], bytes] = os.urandom,
    fold_version: int = 1,
    scan_limit: int = selection.DEFAULT_SCAN_LIMIT,
    tombstone_days: int = DEFAULT_TOMBSTONE_DAYS,
) -> SqlStore:
    """The store at the URL (``sqlite:///relative/path``, ``sqlite:////absolute/path`` or a plain path), made if need be.

    ``new_id`` must be safe to call from any thread; ``random`` gives that many random bytes. Raises StoreUnusable.
    """
    opened = database.open_database(path_of(url), now=now(), random=random, fold_version=fold_version)
    try:
        return SqlStore(opened, Rules(new_id, tombstone_days), scan_limit)
    except BaseException:
        opened.close()
        raise


def path_of(url: str | Path) -> Path:
    """The file that the URL or path names; raises StoreUnusable for a database that is not SQLite."""
    if isinstance(url, Path):
        return url
    if "://" not in url:
        return Path(url)
    parts = urlsplit(url)
    if parts.scheme != "sqlite":
        raise StoreUnusable(f"There is no driver for {parts.scheme}: databases yet; write sqlite:///path/to/hub.db.")
    if parts.netloc or not parts.path.removeprefix("/"):
        raise StoreUnusable(f"{url} names no file; write sqlite:///path/to/hub.db.")
    # As SQLAlchemy writes it: three slashes before a relative path, four before an absolute one.
    return Path(unquote(parts.path.removeprefix("/")))
