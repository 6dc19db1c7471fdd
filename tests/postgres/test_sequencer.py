"""No change is lost, doubled or out of order, however writers overlap: and a naive reader, in the same run, does lose some."""

import asyncio
import random
from collections import defaultdict

import asyncpg

from scimhub.sqlstore.postgres import locks, sequencer
from scimhub.sqlstore.postgres.database import PLANNING
from scimhub.sqlstore.postgres.numbering import MOVED_UNTIL_CLEANED
from scimhub.sqlstore.store import SqlStore
from tests.servers.running import PATIENCE
from tests.store_contract.conftest import open_desk

DIRECTORIES = 6
WRITERS = 12
WRITES = 25

_STAGE = """
INSERT INTO staged_changes (id, operation, directory, kind, resource_id, version, exchange_id, time)
VALUES ($1, 'updated', $2, 'User', $3, $4, 'x', '2026-11-23T10:00:00.000Z')"""


class Writing:
    """What was committed, by resource, in order of version."""

    def __init__(self) -> None:
        self.committed: defaultdict[str, list[str]] = defaultdict(list)

    async def write(self, url: str, number: int) -> None:
        """Transactions as the hub's, but slow, and one in five thought better of."""
        chance = random.Random(number)
        connection = await asyncpg.connect(url)
        for count in range(WRITES):
            directory = 1 + chance.randrange(DIRECTORIES)
            resource, change = f"r{directory}-{chance.randrange(3)}", f"{number}-{count}"
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("SELECT pg_advisory_xact_lock($1, $2)", locks.WRITING, directory)
            version = len(self.committed[resource]) + 1
            await connection.execute("INSERT INTO naive (change) VALUES ($1)", change)
            await connection.execute(_STAGE, change, directory, resource, version)
            await asyncio.sleep(chance.choice((0, 0, 0.002, 0.02)))
            if chance.random() < 0.2:
                await transaction.rollback()
            else:
                # Nobody else writes in the directory until the commit, so that the order is known before it.
                self.committed[resource].append(change)
                await transaction.commit()
        await connection.close()

    @property
    def all(self) -> set[str]:
        return {change for changes in self.committed.values() for change in changes}


async def test_changes_are_dense_complete_and_in_order_where_a_naive_reader_loses_some(open_node, url: str):
    store: SqlStore = await open_node()
    await store.database.write(lambda c: c.execute("CREATE TABLE naive (number BIGSERIAL, change TEXT)"))
    writing, done = Writing(), asyncio.Event()
    readers = [
        asyncio.create_task(read_naively(url, done)),
        asyncio.create_task(read(store, done)),
        *(asyncio.create_task(keep_numbering(url, done)) for _ in range(2)),
    ]
    await asyncio.gather(*(writing.write(url, number) for number in range(WRITERS)))
    done.set()
    naive, ours, *_ = await asyncio.gather(*readers)
    assert [position for position, _, _ in ours] == list(range(1, len(writing.all) + 1))
    by_resource = defaultdict(list)
    for _, resource, change in ours:
        by_resource[resource].append(change)
    assert by_resource == writing.committed
    # Else this run proves nothing: nobody was overtaken.
    assert naive < writing.all


async def read_naively(url: str, done: asyncio.Event) -> set[str]:
    """What is found by remembering the largest number seen."""
    connection, seen, last = await asyncpg.connect(url), set(), 0
    while True:
        is_last = done.is_set()
        for number, change in await connection.fetch("SELECT number, change FROM naive WHERE number > $1 ORDER BY 1", last):
            last = number
            seen.add(change)
        if is_last:
            await connection.close()
            return seen
        await asyncio.sleep(0.001)


async def read(store: SqlStore, done: asyncio.Event) -> list[tuple[int, str, str]]:
    """What is found by reading on behind the last position."""
    found: list[tuple[int, str, str]] = []
    while True:
        is_last = done.is_set()
        head = await store.last_position()
        changes = await store.read_changes(len(found), 1000)
        found += [(change.position, change.resource_id, change.id) for change in changes]
        if is_last and len(found) >= head:
            return found
        await asyncio.sleep(0)


async def keep_numbering(url: str, done: asyncio.Event) -> None:
    """Another node, which gives positions as well."""
    connection = await asyncpg.connect(url)
    while not done.is_set():
        await sequencer.number_changes(connection, "epoch")
        await asyncio.sleep(0)
    await connection.close()


async def test_whoever_asks_for_the_last_position_sees_what_was_committed_before(open_node, url: str):
    store, other = await open_node(), await open_node()
    blocking = await asyncpg.connect(url)
    connection = await asyncpg.connect(url)
    for count in range(1, 30):
        # Another node is about to give positions, with a snapshot of before.
        await blocking.execute("BEGIN; SELECT position FROM log_head FOR UPDATE")
        waiting = asyncio.create_task(other.last_position())
        await asyncio.sleep(0)
        await connection.execute(_STAGE, str(count), 1, "r", count)
        asked = asyncio.create_task(store.last_position())
        await asyncio.sleep(0.002)
        await blocking.execute("COMMIT")
        assert await asked == count
        await waiting
    await connection.close()
    await blocking.close()


async def test_a_large_backlog_is_numbered_in_steps(open_node, url: str):
    store: SqlStore = await open_node()
    connection = await asyncpg.connect(url)
    size = 2 * sequencer.LARGEST_STEP + 10
    await connection.executemany(_STAGE, [(str(number), 1, "r", number) for number in range(size)])
    assert await store.last_position() == size
    assert [change.version for change in await store.read_changes(size - 3, 9)] == [size - 3, size - 2, size - 1]
    await connection.close()


async def test_who_waited_for_another_to_number_a_step_gets_what_lies_behind_it_numbered(open_node, url: str):
    store: SqlStore = await open_node()
    store.database._watching.cancel()
    other = await asyncpg.connect(url)
    size = 2 * sequencer.LARGEST_STEP + 10
    await other.executemany(_STAGE, [(str(number), 1, "r", number) for number in range(size)])
    await other.execute("BEGIN")
    await other.fetchrow(sequencer._MOVE, sequencer.LARGEST_STEP, "epoch")
    asking = asyncio.create_task(store.last_position())
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(PATIENCE):
        while not await other.fetchval(waiting):
            await asyncio.sleep(0.01)
            await other.execute("SELECT pg_stat_clear_snapshot()")
    await other.execute("COMMIT")
    await other.close()
    assert await asking == size


async def test_what_a_dead_node_left_is_numbered_by_another(open_node, url: str):
    store: SqlStore = await open_node()
    woken = asyncio.Event()
    store.on_commit(woken.set)
    connection = await asyncpg.connect(url)
    await connection.execute(_STAGE, "c", 1, "r", 1)
    await connection.close()
    async with asyncio.timeout(PATIENCE):
        await woken.wait()
    assert [change.id for change in await store.read_changes(0, 9)] == ["c"]


async def test_what_was_moved_away_is_cleaned_up_and_its_room_used_again(open_node, url: str):
    store: SqlStore = await open_node()
    numbering = store.database.numbering
    connection = await asyncpg.connect(url)
    sizes = []
    for first in range(0, 8 * MOVED_UNTIL_CLEANED, MOVED_UNTIL_CLEANED):
        await connection.executemany(
            _STAGE, [(str(number), 1, "r", number) for number in range(first, first + MOVED_UNTIL_CLEANED)]
        )
        await store.last_position()
        async with asyncio.timeout(PATIENCE):
            while numbering.cleaning is not None or numbering.moved >= MOVED_UNTIL_CLEANED:
                await asyncio.sleep(0.01)
        sizes.append(await connection.fetchval("SELECT pg_relation_size('staged_changes')"))
    await connection.close()
    # What somebody might still read when it is cleaned waits for the next time.
    assert sizes[-1] <= 4 * sizes[0]


async def test_changes_are_looked_for_by_the_index_and_not_among_what_was_moved_away(open_node, url: str):
    await open_node()
    connection = await asyncpg.connect(url, server_settings=PLANNING)
    await connection.executemany(_STAGE, [(str(number), 1, "r", number) for number in range(5000)])
    for upkeep in ("ANALYZE staged_changes", "DELETE FROM staged_changes", sequencer.CLEAN):
        await connection.execute(upkeep)
        await connection.execute(f"PREPARE move (bigint, text) AS {sequencer._MOVE}")
        explained = await connection.fetch(f"EXPLAIN EXECUTE move ({sequencer.LARGEST_STEP}, 'epoch')")
        await connection.execute("DEALLOCATE move")
        plan = "\n".join(row[0] for row in explained)
        assert "using staged_changes_pkey" in plan
        assert "Seq Scan on staged_changes" not in plan
    await connection.close()


async def test_a_node_is_woken_once_by_what_it_wrote_and_when_that_has_its_position(open_node):
    store: SqlStore = await open_node()
    other: SqlStore = await open_node()
    desk, beside = await open_desk(store, "acme"), await open_desk(other, "beside")
    heads: list[int | None] = []
    store.on_commit(lambda: heads.append(store.database.known_head()))
    for count, name in enumerate(("kim", "sam", "ann"), 1):
        await desk.user(name)
        await store.last_position()
        # By the time that another node's news are heard, one's own have been, too.
        await beside.user(name)
        await other.last_position()
        async with asyncio.timeout(PATIENCE):
            while store.database.known_head() != 2 * count:
                await asyncio.sleep(0.001)
    assert heads == [1, 2, 3, 4, 5, 6]
