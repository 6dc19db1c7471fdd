"""Whoever waits for changes is woken soon, whatever leases, other nodes and other hubs of the database do meanwhile."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import asyncpg
import pytest

from scimhub import clock
from scimhub.sqlstore.postgres import database
from scimhub.sqlstore.store import open_store
from tests.consumer.hub import Place
from tests.postgres.test_leases import create, join, positions, until
from tests.servers.running import PATIENCE
from tests.store_contract.conftest import open_desk

__all__ = ["join"]


async def test_news_of_a_hub_in_another_schema_put_nobody_to_sleep(url: str):
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE SCHEMA one; CREATE SCHEMA two")
    async with AsyncExitStack() as stack:
        stores = []
        for name in ("one", "two"):
            schema = f"{url}?search_path={name}"
            stores.append(await open_store(schema, new_id=clock.new_id, now=clock.now_text, connections=5))
            stack.push_async_callback(stores[-1].close)
        async with asyncio.timeout(PATIENCE):
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
            async with asyncio.timeout(PATIENCE):
                await woken.wait()
    await connection.close()


async def test_what_is_written_where_no_destination_runs_arrives_without_waiting_for_a_look(
    join, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(database, "_POLL", 60)
    first, second = await join("a"), await join("b")
    place = await Place.open(first.store)
    destination = await create(first, place)
    await until(lambda: first.serves(destination) != second.serves(destination))
    other = replace(place, store=second.store if first.serves(destination) else first.store)
    for count in range(1, 4):
        await other.user(f"user{count}")
        await until(lambda count=count: len(positions(first, second)) == count)
