"""One open database file: the lock, the writer, and a reading connection for each thread that asks.

Short reads run on the caller's thread, because they take microseconds and a change of thread takes tens of them. Long
reads run on a few threads of their own. No read holds a transaction open between two calls.
"""

import asyncio
import shutil
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import apsw

from scimhub.directory.errors import StoreUnavailable
from scimhub.sqlstore import migrations
from scimhub.sqlstore.connection import ADMINISTRATION, Claim, Health, Manner, Progress, Row, SqlValue
from scimhub.sqlstore.dialect import Dialect
from scimhub.sqlstore.sqlite import backup, driver, migrate
from scimhub.sqlstore.sqlite.checkpoints import Checkpointer
from scimhub.sqlstore.sqlite.dialect import SQLITE
from scimhub.sqlstore.sqlite.driver import SqliteConnection
from scimhub.sqlstore.sqlite.writer import FileWork, T, Writer

# SQLite looks through all of it at nearly every commit until the file has 1 GiB (docs/performance-log.md, gain 18).
_WRITER_CACHE_MIB = 8
_READER_CACHE_MIB = 32
_READING_THREADS = 2
# Seconds after a commit, behind which short reads go through a mapping of the file (docs/decisions/0040).
_QUIET = 0.5


class FileDatabase:
    """An open, migrated database; see ``sqlstore.connection.Database``."""

    dialect: Dialect = SQLITE
    is_shared = False

    def __init__(
        self, path: Path, lock: driver.FileLock, connection: SqliteConnection, migrated_from: int | None = None
    ) -> None:
        self.path = path
        self.migrated_from = migrated_from
        self.log_epoch = migrate.read_hub(connection, "log_epoch")
        self.cursor_secret = bytes.fromhex(migrate.read_hub(connection, "cursor_secret"))
        self._lock = lock
        # When the file counts as quiet, by the monotonic clock.
        self._quiet_from = 0.0
        self._local = threading.local()
        self._readers: list[SqliteConnection] = []
        self._closed = False
        self._pool = ThreadPoolExecutor(_READING_THREADS, "scimhub-read", initializer=self._expect_long_reads)
        self._writing = connection
        self._wakes: tuple[Callable[[], None], ...] = ()
        # One process owns the file, so memory may answer what every request asks.
        self._catalog_versions: dict[int, int] = dict(connection.fetch("SELECT key, catalog_version FROM directories"))
        self._checkpointer = Checkpointer(path, connection, self._committed)
        self._writer = Writer(connection, self.catalog_version)

    async def read(self, work: FileWork[T]) -> T:
        """What the work returns, on the caller's thread."""
        return self.read_here(work)

    async def fetch(self, sql: str, values: tuple[SqlValue, ...]) -> list[Row]:
        """All rows of one look-up, on the caller's thread."""
        # As ``read_here``, less its calls: it is a part of nearly every request.
        try:
            local = self._local
            connection = local.mapped if monotonic() > self._quiet_from else local.connection
        except AttributeError:
            connection = self._connect()
        try:
            rows: list[Row] = connection.kept.execute(sql, values).fetchall()
        except apsw.Error as error:
            if driver.is_unavailable(error):
                raise driver.unavailable(error) from error
            raise
        return rows

    def read_here(self, work: FileWork[T]) -> T:
        """What the work returns, on this thread's connection. Raises StoreUnavailable."""
        try:
            connection = self._local.connection
        except AttributeError:
            connection = self._connect()
        try:
            return work(connection)
        except apsw.Error as error:
            if driver.is_unavailable(error):
                raise driver.unavailable(error) from error
            raise

    async def read_aside(self, work: FileWork[T]) -> T:
        """As ``read``, on a thread for reads that take long."""
        if self._closed:
            raise StoreUnavailable("The database is being closed.")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self.read_here, work)

    async def write(
        self,
        work: FileWork[T],
        claim: Claim = ADMINISTRATION,
        manner: Manner = "shared",
        committed: Callable[[T], None] | None = None,
    ) -> T:
        """Have the writer do the work; see ``Writer.submit``. There is but one writer: nothing needs to be claimed."""
        return await self._writer.submit(work, manner, committed)

    async def write_bare(self, work: FileWork[T]) -> T:
        """Have the writer do the work outside any transaction."""
        return await self._writer.submit(work, "bare")

    async def erasing(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work with SQLite writing zeros over what is deleted, and then empty the write-ahead log."""
        await self.write_bare(lambda connection: connection.execute("PRAGMA secure_delete = ON"))
        try:
            return await work()
        finally:
            await self.write_bare(lambda connection: connection.execute("PRAGMA secure_delete = OFF"))
            await self.write_bare(lambda connection: connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE))

    async def check_searchable(self) -> None:
        """Nothing: SQLite brings all that is needed."""

    def catalog_version(self, directory: int) -> int:
        return self._catalog_versions.get(directory, 0)

    def note_catalog_version(self, directory: int, version: int) -> None:
        self._catalog_versions[directory] = version

    async def number_changes(self) -> None:
        """Nothing: the writer gives them."""

    def known_head(self) -> int | None:
        """Nothing is remembered of what takes microseconds to read."""
        return None

    def on_commit(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have ``wake``, which must not block, called in the writer's thread after each commit; returns what ends it."""
        self._wakes = (*self._wakes, wake)

        def end() -> None:
            self._wakes = tuple(other for other in self._wakes if other is not wake)

        return end

    def arm(self, reach: Callable[[str], None]) -> None:
        """Have ``reach`` told of two places in the writer's thread: before a commit, and after it."""

        def before_commit() -> bool:
            reach("after_write")
            return False  # do not roll back

        self._writing.set_commit_hook(before_commit)
        self.on_commit(lambda: reach("after_commit"))

    def _committed(self) -> None:
        self._quiet_from = monotonic() + _QUIET
        for wake in self._wakes:
            wake()

    async def analyze(self) -> None:
        """Nothing: SQLite chooses its ways by the indexes alone, as long as nobody has analysed it."""

    async def check_alive(self) -> None:
        await self.read(lambda connection: connection.fetch_one("SELECT 1"))
        await self.write(lambda _: None)

    async def check(self) -> Health:
        """Let SQLite look through the whole file, and measure it."""

        def quick_check(connection: SqliteConnection) -> tuple[str, ...]:
            rows = connection.fetch("PRAGMA quick_check")
            return tuple(str(row[0]) for row in rows if row[0] != "ok")

        problems = await self.read_aside(quick_check)
        wal = self.path.with_name(self.path.name + "-wal")
        wal_size = wal.stat().st_size if wal.exists() else 0
        return Health(problems, self.path.stat().st_size, wal_size, shutil.disk_usage(self.path.parent).free)

    async def back_up(self, target: Path, progress: Progress | None = None) -> None:
        """Copy the file while it is written to; see ``backup.back_up``."""
        await backup.back_up(self, target, progress)

    async def close(self) -> None:
        self.close_here()

    def close_here(self) -> None:
        """Finish what waits, close everything, and give up the lock. It blocks; closing twice does nothing more."""
        if self._closed:
            return
        self._closed = True
        self._pool.shutdown(wait=True)
        self._checkpointer.close()
        self._writer.close()
        for connection in self._readers:
            connection.close()
        self._lock.release()

    def _expect_long_reads(self) -> None:
        self._local.reads_long = True

    def _connect(self) -> SqliteConnection:
        if self._closed:
            raise StoreUnavailable("The database is being closed.")
        mapped = connection = self._open_reader(mapped=True)
        if not getattr(self._local, "reads_long", False):
            connection = self._open_reader(mapped=False)
        self._local.connection, self._local.mapped = connection, mapped
        return connection

    def _open_reader(self, *, mapped: bool) -> SqliteConnection:
        connection = driver.open_connection(self.path, writes=False, cache_mib=_READER_CACHE_MIB, mapped=mapped)
        self._readers.append(connection)
        return connection


def open_file(path: Path, *, now: str, random: Callable[[int], bytes], fold_version: int, writes: bool = True) -> FileDatabase:
    """Lock, create if need be, migrate and open the file; raises StoreUnusable.

    One that is not to write takes the file as it is, or refuses it, and has no write succeed. What a hub that was killed left
    in the write-ahead log goes into the database all the same: SQLite brings it there.
    """
    lock = driver.FileLock(path)
    try:
        with driver.opening(path):
            lock.acquire()
            if writes:
                driver.create_file(path)
            connection = driver.open_connection(path, writes=writes, cache_mib=_WRITER_CACHE_MIB)
            try:
                applied = migrate.migrate(connection, now=now, random=random, fold_version=fold_version, writes=writes)
                return FileDatabase(path, lock, connection, migrations.former(applied))
            except BaseException:
                connection.close()
                raise
    except BaseException:
        lock.release()
        raise
