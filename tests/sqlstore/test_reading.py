"""Reading: short on the caller's thread, long on threads of their own, and never behind one's own write."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
import uvloop

from scimhub.directory.errors import StoreUnavailable
from scimhub.sqlstore.store import SqlStore
from tests.store_contract.conftest import open_sqlite


def mapped_bytes(connection: apsw.Connection) -> int:
    [(size,)] = connection.execute("PRAGMA mmap_size").fetchall()
    return int(size)


async def test_long_reads_map_the_file_and_short_ones_do_not(store: SqlStore):
    assert store.database.read_here(mapped_bytes) == 0
    assert await store.database.read_aside(mapped_bytes) > 0


async def test_look_ups_map_the_file_while_nothing_is_written_and_miss_no_commit(store: SqlStore):
    async def mapped() -> bool:
        [(size,)] = await store.database.fetch("PRAGMA mmap_size", ())
        return int(size) > 0

    async def count() -> int:
        [(number,)] = await store.database.fetch("SELECT count(*) FROM hub WHERE name LIKE 'look-up-%'", ())
        return int(number)

    async def add(name: str) -> None:
        await store.database.write(lambda connection: connection.execute("INSERT INTO hub VALUES (?, '')", (name,)))

    async def until_mapped() -> None:
        async with asyncio.timeout(30):
            while not await mapped():
                await asyncio.sleep(0.05)

    for number in range(3):
        await until_mapped()
        assert await count() == 2 * number
        # Seen by the connection that has just read through the mapping, if it is asked, and by the other one.
        await add(f"look-up-{number}-a")
        assert await count() == 2 * number + 1
        assert not await mapped()
        await add(f"look-up-{number}-b")
        assert await count() == 2 * number + 2


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_who_was_answered_reads_what_was_written(tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop]):
    store = open_sqlite(tmp_path)

    def is_there(name: str) -> Callable[[Any], bool]:
        return lambda connection: bool(connection.fetch("SELECT 1 FROM hub WHERE name = ?", (name,)))

    async def write_and_look(worker: int) -> None:
        for number in range(20):
            name = f"{worker}-{number}"
            assert not store.database.read_here(is_there(name))
            await store.database.write(
                lambda connection, name=name: connection.execute("INSERT INTO hub VALUES (?, '')", (name,))
            )
            assert store.database.read_here(is_there(name))
            assert await store.database.read_aside(is_there(name))

    async def all_workers() -> None:
        await asyncio.gather(*map(write_and_look, range(32)))

    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(all_workers())
    finally:
        store.database.close_here()


async def test_who_reads_when_the_store_is_closed_hears_that_it_is(tmp_path: Path):
    store = open_sqlite(tmp_path)
    # More than once, so that both connections have the cursor that they keep.
    for _ in range(3):
        assert await store.database.fetch("SELECT 1", ()) == [(1,)]
    await store.close()
    with pytest.raises(StoreUnavailable, match="being closed"):
        await store.database.fetch("SELECT 1", ())
