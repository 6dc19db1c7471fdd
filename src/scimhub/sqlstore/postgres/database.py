"""One PostgreSQL database as this node sees it: a pool of connections, the writer, and what other nodes do meanwhile.

A node keeps no state that others need. What it remembers of the database, the versions of catalogs and the log's head, it
hears of by LISTEN, and asks for every ``_POLL`` seconds in case it heard nothing.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg

from scimhub.directory.errors import Conflict, StoreUnavailable, StoreUnusable
from scimhub.sqlstore import migrations
from scimhub.sqlstore.connection import ADMINISTRATION, Claim, Connection, Health, Manner, Progress, Row, SqlValue, T, Work
from scimhub.sqlstore.dialect import Dialect
from scimhub.sqlstore.postgres import driver, examination, migrate, pooling, sequencer
from scimhub.sqlstore.postgres.dialect import POSTGRES
from scimhub.sqlstore.postgres.driver import PostgresConnection
from scimhub.sqlstore.postgres.numbering import Numbering
from scimhub.sqlstore.postgres.pooling import PooledConnection, Pooling, Way
from scimhub.sqlstore.postgres.reads import Reads
from scimhub.sqlstore.postgres.writer import Writer

_POLL = 0.25
_AFTER_FAULT = 1.0
# Seconds that a statement, a lock, and a transaction that stands still may take.
_STATEMENT_TIMEOUT, _LOCK_TIMEOUT, _IDLE_TIMEOUT = 60, 15, 10
_CONNECT_TIMEOUT = 10.0
_STATEMENTS_CACHED = 512

# How the server is to plan. Each statement once, whatever values are bound, since planning costs more than most of them; and
# from index to row, as SQLite does: the estimate for a recursion is so far off that whole tables would be read.
PLANNING = {"plan_cache_mode": "force_generic_plan", "enable_hashjoin": "off", "enable_mergejoin": "off"}

# Until its own upkeep comes by, the server believes that tables are as small as they were, and walks them.
ANALYZE = "ANALYZE resources, links, unique_values, attribute_values, memberships, unmapped, changes, tombstones"
_WITH_SECRETS = ("destination_secrets", "destinations")
_STANDING = "SELECT position, EXISTS (SELECT 1 FROM destinations) FROM log_head"
_IS_READ_ONLY = "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'"
HAS_TRIGRAMS = """
SELECT EXISTS (SELECT 1 FROM pg_opclass AS c WHERE c.opcname = 'gin_trgm_ops' AND pg_opclass_is_visible(c.oid))"""

_log = logging.getLogger(__name__)


class _PlainConnection(PooledConnection):
    """A connection that is given back as it is: whoever borrows one leaves nothing behind that would have to be reset."""

    def get_reset_query(self) -> str:
        return ""


class ServerDatabase:
    """See ``sqlstore.connection.Database``; ``open_server`` makes one."""

    dialect: Dialect = POSTGRES
    is_shared = True

    def __init__(
        self,
        way: Way,
        pool: Any,
        log_epoch: str,
        cursor_secret: bytes,
        versions: dict[int, int],
        migrated_from: int | None,
    ) -> None:
        self._way = way
        self.migrated_from = migrated_from
        self.log_epoch = log_epoch
        self.cursor_secret = cursor_secret
        self._pool = pool
        self._catalog_versions = versions
        self.numbering = Numbering(self.borrow, way.pooling, log_epoch)
        self._reads = Reads(self._borrow_for_reading)
        self._writer = Writer(self.borrow, self.numbering.note_commit, self.note_catalog_version)
        self._closed = False
        self._watching = asyncio.create_task(self._watch())

    # ------------------------------------------------------------------ reading and writing

    @contextlib.asynccontextmanager
    async def borrow(self) -> AsyncIterator[Any]:
        if self._closed:
            raise StoreUnavailable("The database is being closed.")
        async with self._pool.acquire(timeout=_CONNECT_TIMEOUT) as raw:
            yield raw

    @contextlib.asynccontextmanager
    async def _borrow_for_reading(self) -> AsyncIterator[Any]:
        async with self.borrow() as raw, pooling.reading(raw, self._way.pooling):
            yield raw

    async def read(self, work: Work[T]) -> T:
        try:
            async with self._borrow_for_reading() as raw:
                return await driver.carry_out(work, PostgresConnection(raw))
        except Exception as error:
            if driver.is_unavailable(error):
                raise driver.unavailable(error) from error
            raise

    async def fetch(self, sql: str, values: tuple[SqlValue, ...]) -> list[Row]:
        return await self._reads.fetch(sql, values)

    async def read_aside(self, work: Work[T]) -> T:
        def of_one_moment(connection: Connection) -> T:
            with connection.one_moment():
                return work(connection)

        return await self.read(of_one_moment)

    async def write(
        self,
        work: Work[T],
        claim: Claim = ADMINISTRATION,
        manner: Manner = "shared",
        committed: Callable[[T], None] | None = None,
    ) -> T:
        return await self._writer.submit(work, claim, manner, committed)

    async def erasing(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do the work, and then write the tables anew that may hold secrets; the server's own log is not ours to erase."""
        try:
            return await work()
        finally:
            for table in _WITH_SECRETS:
                async with self.borrow() as raw:
                    objection = await driver.vacuum(raw, f"VACUUM FULL {table}")
                if objection:
                    _log.warning("former secrets not erased", extra={"table": table, "reason": objection})

    # ------------------------------------------------------------------ what is remembered

    async def check_searchable(self) -> None:
        if not await self.read(lambda connection: connection.fetch_one(HAS_TRIGRAMS)[0]):
            raise Conflict(
                "The PostgreSQL database lacks the extension pg_trgm, by which texts are searched; have an administrator of it"
                " run: CREATE EXTENSION pg_trgm"
            )

    def catalog_version(self, directory: int) -> int:
        return self._catalog_versions.get(directory, 0)

    def note_catalog_version(self, directory: int, version: int) -> None:
        self._catalog_versions[directory] = version

    def known_head(self) -> int | None:
        return self.numbering.head

    def on_commit(self, wake: Callable[[], None]) -> Callable[[], None]:
        return self.numbering.on_commit(wake)

    async def number_changes(self) -> None:
        await self.numbering.number()

    def arm(self, reach: Callable[[str], None]) -> None:
        self._writer.reach = reach

    # ------------------------------------------------------------------ what other nodes do

    async def _watch(self) -> None:
        """Look after what others did, and give positions to what a node that died left without."""
        listening = asyncio.create_task(self._listen())
        try:
            while True:
                await asyncio.sleep(_POLL)
                try:
                    await self._look()
                except StoreUnavailable as fault:
                    _log.warning("the database was not looked at", extra={"reason": str(fault)})
                    await asyncio.sleep(_AFTER_FAULT)
                except Exception:
                    _log.exception("looking at the database failed")
                    await asyncio.sleep(_AFTER_FAULT)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self) -> None:
        """Learn the head whenever a node says that the log has grown, on a connection kept for that."""
        while True:
            with contextlib.suppress(Exception):  # nothing depends on it: ``_watch`` looks by itself
                await self._listen_once()
            await asyncio.sleep(_AFTER_FAULT)

    async def _listen_once(self) -> None:
        gone = asyncio.Event()
        raw = await asyncpg.connect(self._way.direct, timeout=_CONNECT_TIMEOUT)
        try:
            raw.add_termination_listener(lambda _: gone.set())
            await raw.add_listener(sequencer.CHANNEL, lambda *news: self.numbering.hear(news[-1]))
            await gone.wait()
        finally:
            raw.terminate()

    async def _look(self) -> None:
        await self.number_changes()

        def look(connection: Connection) -> tuple[Row, dict[int, int]]:
            return connection.fetch_one(_STANDING), dict(connection.fetch("SELECT key, catalog_version FROM directories"))

        known, known_head = dict(self._catalog_versions), self.numbering.head
        (head, self.numbering.has_destinations), versions = await self.read(look)
        # What this node committed meanwhile is newer than what was read.
        later = {key: version for key, version in self._catalog_versions.items() if known.get(key) != version}
        self._catalog_versions = versions | later
        self.numbering.learn_anew(head, known_head)

    # ------------------------------------------------------------------ as a whole

    async def back_up(self, target: Path, progress: Progress | None = None) -> None:
        raise StoreUnusable("The database is PostgreSQL's: back it up with pg_dump, or as your server is backed up.")

    async def analyze(self) -> None:
        try:
            async with self.borrow() as raw:
                await raw.execute(ANALYZE)
        except Exception as error:
            if not driver.is_unavailable(error):
                raise
            # Who waits for a lock here has written everything; the server's autovacuum comes to it later.
            _log.warning("the database did not look at how much there is", extra={"reason": str(driver.unavailable(error))})

    async def check_alive(self) -> None:
        if (await self.read(lambda connection: connection.fetch_one(_IS_READ_ONLY)))[0]:
            raise StoreUnavailable("The PostgreSQL server may only be read; is it a standby?")
        await self.write(lambda _: None, None)

    async def check(self) -> Health:
        given = examination.Circumstances(self._pool.get_max_size(), self._way.pooling, self._way.has_direct, IN_FORCE)
        try:
            async with self._borrow_for_reading() as raw:
                size = await raw.fetchval("SELECT pg_database_size(current_database())")
                nodes = await raw.fetchval(examination.COUNT_NODES)
                return Health((), int(size), 0, 0, tuple(await examination.examine(raw, given)), int(nodes))
        except Exception as error:
            if driver.is_unavailable(error):
                raise driver.unavailable(error) from error
            raise

    async def close(self) -> None:
        if self._closed:
            return
        await self._writer.close()
        self._closed = True
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        await self.numbering.close()
        try:
            await asyncio.wait_for(self._pool.close(), 5)
        except TimeoutError:
            self._pool.terminate()


async def open_server(
    url: str,
    *,
    now: str,
    random: Callable[[int], bytes],
    fold_version: int,
    connections: int,
    direct: str | None = None,
    writes: bool = True,
) -> ServerDatabase:
    """Connect, migrate if need be, and open; raises StoreUnusable, without ``writes`` also where a migration is lacking.

    ``direct`` leads to the server itself where the URL leads to a pooler: for migrations, and for news of other nodes.
    """
    direct = direct or url
    try:
        pooled = await pooling.detect(url, _CONNECT_TIMEOUT)
        pool = await _open_pool(url, pooled, connections)
        migrating = await asyncpg.connect(direct, timeout=_CONNECT_TIMEOUT, statement_cache_size=0)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError, ssl.SSLError, ValueError) as error:
        raise StoreUnusable(f"The PostgreSQL database cannot be opened: {driver.why_not_opened(error)}") from None
    try:
        await migrate.check_trusted(migrating)
        applied = await migrate.migrate(migrating, now=now, random=random, fold_version=fold_version, writes=writes)
        async with pool.acquire() as raw, pooling.reading(raw, pooled):
            epoch = await migrate.read_hub(raw, "log_epoch")
            secret = bytes.fromhex(await migrate.read_hub(raw, "cursor_secret"))
            versions = dict(await raw.fetch("SELECT key, catalog_version FROM directories"))
    except BaseException:
        pool.terminate()
        raise
    finally:
        migrating.terminate()
    way = Way(pooled, direct, direct != url)
    return ServerDatabase(way, pool, epoch, secret, versions, migrations.former(applied))


# What each connection is to have in force. Behind a pooler it must be set for the hub's user.
IN_FORCE = {
    "statement_timeout": f"{_STATEMENT_TIMEOUT}s",
    "lock_timeout": f"{_LOCK_TIMEOUT}s",
    "idle_in_transaction_session_timeout": f"{_IDLE_TIMEOUT}s",
    # What a directory's lock lets in must see what was committed before: not a snapshot of earlier.
    "default_transaction_isolation": "read committed",
    **PLANNING,
}


async def _open_pool(url: str, pooled: Pooling, connections: int) -> Any:
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=connections,
        connection_class=_PlainConnection,
        init=driver.prepare,
        timeout=_CONNECT_TIMEOUT,
        statement_cache_size=0 if pooled == "plain" else _STATEMENTS_CACHED,
        max_cached_statement_lifetime=0,
        # A pooler would refuse the connection for what it does not know.
        server_settings={"application_name": "scimhub", **(IN_FORCE if pooled == "none" else {})},
    )
