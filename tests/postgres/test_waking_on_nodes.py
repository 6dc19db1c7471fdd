"""Whoever waits for changes is woken soon, whatever leases, other nodes and other hubs of the database do meanwhile."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import asyncpg

from scimhub import clock
from scimhub.sqlstore.store import open_store
from tests.consumer.hub import Place
from tests.postgres.test_leases import create, join, positions, until
from tests.store_contract.conftest import open_desk

__all__ = ["join"]


@asynccontextmanager
async def locked(url: str, table: str) -> AsyncIterator[None]:
    """Nobody can read the table meanwhile."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {table}")
            yield
    finally:
        await connection.close()


async def looks_at_leases(url: str, count: int) -> None:
    """Until the one node has looked so often."""
    connection = await asyncpg.connect(url)
    seen: set[object] = set()
    async with asyncio.timeout(10):
        while len(seen) <= count:
            seen.add(await connection.fetchval("SELECT seen FROM nodes"))
            await asyncio.sleep(0.01)
    await connection.close()


async def test_a_pump_that_was_begun_while_leases_were_looked_at_is_woken(join, url: str):
    node = await join("a")
    place = await Place.open(node.store)
    async with locked(url, "held"):
        creating = asyncio.create_task(create(node, place))
        await until(lambda: node.engine._waking.is_on)
        # A look that found no pump yet has ended when the next one begins.
        await looks_at_leases(url, 2)
    await creating
    await looks_at_leases(url, 2)
    await place.user("kim")
    await until(lambda: positions(node) == [1])


async def test_news_of_a_hub_in_another_schema_put_nobody_to_sleep(url: str):
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE SCHEMA one; CREATE SCHEMA two")
    async with AsyncExitStack() as stack:
        stores = []
        for name in ("one", "two"):
            schema = f"{url}?search_path={name}"
            stores.append(await open_store(schema, new_id=clock.new_id, now=clock.now_text, connections=5))
            stack.push_async_callback(stores[-1].close)
        async with asyncio.timeout(5):
            while await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'") < 2:
                await asyncio.sleep(0.01)
        few, many = await open_desk(stores[0], "few"), await open_desk(stores[1], "many")
        woken = asyncio.Event()
        loop = asyncio.get_running_loop()
        stores[0].on_commit(lambda: loop.call_soon_threadsafe(woken.set))
        for turn in range(3):
            for number in range(5):
                await many.user(f"user{turn}{number}")
            await stores[1].last_position()
            woken.clear()
            await few.user(f"user{turn}")
            async with asyncio.timeout(3):
                await woken.wait()
    await connection.close()


async def test_what_is_written_where_no_destination_runs_arrives_without_waiting_for_a_look(join):
    first, second = await join("a"), await join("b")
    place = await Place.open(first.store)
    destination = await create(first, place)
    await until(lambda: first.serves(destination) != second.serves(destination))
    other = replace(place, store=second.store if first.serves(destination) else first.store)
    took = []
    for number in range(20):
        await other.user(f"user{number}")
        begun = time.perf_counter()
        await until(lambda count=number + 1: len(positions(first, second)) == count)
        took.append(time.perf_counter() - begun)
    # What is written on the node that serves takes 12 ms; each of the two looks every 250, so that waiting for them takes 125.
    assert statistics.mean(took) < 0.06
