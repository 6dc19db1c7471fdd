"""Opens a store: one object that keeps every port of ``directory``. Only this and ``exchanges`` choose a driver."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NotRequired, TypedDict, Unpack
from urllib.parse import urlsplit

from scimhub.sqlstore import selection
from scimhub.sqlstore.braking import Braking
from scimhub.sqlstore.changes import Changes
from scimhub.sqlstore.connection import Database, Health, Progress
from scimhub.sqlstore.destinations import Destinations
from scimhub.sqlstore.directories import Directories
from scimhub.sqlstore.execution import Rules
from scimhub.sqlstore.leases import Leases
from scimhub.sqlstore.ledger import Ledgers
from scimhub.sqlstore.resources import Resources
from scimhub.sqlstore.resyncs import Resyncs
from scimhub.sqlstore.searching import Searching
from scimhub.sqlstore.secrets import Secrets
from scimhub.sqlstore.sources import Sources
from scimhub.sqlstore.sqlite import database as sqlite_database
from scimhub.sqlstore.states import States
from scimhub.sqlstore.tracing import Tracing
from scimhub.sqlstore.walking import Walking

# How long a tombstone remembers what was deleted (DECISIONS 13).
DEFAULT_TOMBSTONE_DAYS = 30
DEFAULT_CONNECTIONS = 20
POSTGRES_SCHEMES = ("postgresql", "postgres")


class Options(TypedDict):
    """What a store is opened with. ``new_id`` must be safe to call from any thread; ``random`` gives that many bytes."""

    new_id: Callable[[], str]
    now: Callable[[], str]
    random: NotRequired[Callable[[int], bytes]]
    fold_version: NotRequired[int]
    scan_limit: NotRequired[int]
    tombstone_days: NotRequired[int]
    # The most connections of this process to a PostgreSQL server.
    connections: NotRequired[int]
    # The URL of that server itself, where the store's own leads to a pooler.
    direct: NotRequired[str | None]
    # False: whoever opens it only looks, so that nothing is made or migrated; what lacks a migration is refused.
    writes: NotRequired[bool]


class SqlStore(
    Resources,
    Changes,
    Directories,
    Sources,
    Destinations,
    Secrets,
    Braking,
    Leases,
    Ledgers,
    Walking,
    Tracing,
    States,
    Resyncs,
    Searching,
):
    """A hub's database: ResourceStore, DirectoryStore, ChangeLog, DestinationStore, Ledger in one, and its own upkeep."""

    def __init__(self, opened: Database, rules: Rules, scan_limit: int) -> None:
        Directories.__init__(self, opened)
        Resources.__init__(self, opened, rules, scan_limit)
        Changes.__init__(self, opened)
        Sources.__init__(self, opened, rules.new_id)
        Destinations.__init__(self, opened, rules.new_id)
        Braking.__init__(self, opened)
        Secrets.__init__(self, opened)
        Leases.__init__(self, opened)
        Ledgers.__init__(self, opened)
        Walking.__init__(self, opened)
        Tracing.__init__(self, opened)
        Searching.__init__(self, opened)
        States.__init__(self, opened)
        Resyncs.__init__(self, opened)
        self.database = opened

    @property
    def log_epoch(self) -> str:
        """Names the history that positions and versions belong to; it changes when a backup is restored."""
        return self.database.log_epoch

    @property
    def cursor_secret(self) -> bytes:
        """What page cursors are signed with; it lives as long as the database."""
        return self.database.cursor_secret

    @property
    def migrated_from(self) -> int | None:
        """The migration that the database was at before it was opened; None when it was new, or needed none."""
        return self.database.migrated_from

    async def back_up(self, target: Path, progress: Progress | None = None) -> None:
        """Copy the database into a new file while it runs; raises StoreUnusable."""
        await self.database.back_up(target, progress)

    def arm(self, reach: Callable[[str], None]) -> None:
        """Have a test's dice thrown after what a transaction wrote, and after its commit."""
        self.database.arm(reach)

    async def check(self) -> Health:
        """What ``scimhub doctor`` asks of the database."""
        return await self.database.check()

    async def analyze(self) -> None:
        """Have the database see how much there is of what, after much was loaded; a warning where it cannot now."""
        await self.database.analyze()

    async def check_alive(self) -> None:
        """Raise StoreUnavailable unless the database can be read, and the writer answers."""
        await self.database.check_alive()

    async def close(self) -> None:
        """Finish what waits, then close; another may open the database afterwards. It may be called twice."""
        await self.database.close()


async def open_store(url: str | Path, **options: Unpack[Options]) -> SqlStore:
    """The store at the URL ``postgresql://…``, or in the SQLite file at the path; made if need be.

    Raises StoreUnusable.
    """
    if isinstance(url, str) and urlsplit(url).scheme in POSTGRES_SCHEMES:
        # Its driver takes a while to load, and only who needs it has to have it.
        from scimhub.sqlstore.postgres import database as postgres_database

        opened = await postgres_database.open_server(
            url,
            now=options["now"](),
            random=options.get("random", os.urandom),
            fold_version=options.get("fold_version", 1),
            connections=options.get("connections", DEFAULT_CONNECTIONS),
            direct=options.get("direct"),
            writes=options.get("writes", True),
        )
        return _store_of(opened, options)
    return open_file_store(Path(url), **options)


def open_file_store(path: Path, **options: Unpack[Options]) -> SqlStore:
    """The store in the SQLite file, made if need be. It blocks for as long as migrations take. Raises StoreUnusable."""
    opened = sqlite_database.open_file(
        path,
        now=options["now"](),
        random=options.get("random", os.urandom),
        fold_version=options.get("fold_version", 1),
        writes=options.get("writes", True),
    )
    return _store_of(opened, options)


def _store_of(opened: Database, options: Options) -> SqlStore:
    rules = Rules(options["new_id"], options.get("tombstone_days", DEFAULT_TOMBSTONE_DAYS))
    return SqlStore(opened, rules, options.get("scan_limit", selection.DEFAULT_SCAN_LIMIT))
