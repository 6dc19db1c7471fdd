"""One suite for every database: each opener gives a fresh, empty store."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path

import pytest

from scimhub import clock
from scimhub.directory.intents import Actor
from scimhub.sqlstore.store import SqlStore, open_file_store, open_store
from tests.store_contract.harness import T0, Desk


def counting_random() -> Callable[[int], bytes]:
    """Bytes that differ from call to call and are the same in every run."""
    calls = count()
    return lambda length: hashlib.sha256(str(next(calls)).encode()).digest()[:length]


def open_sqlite(folder: Path, **options: int) -> SqlStore:
    return open_file_store(folder / "hub.db", new_id=clock.new_id, now=lambda: T0, random=counting_random(), **options)


@pytest.fixture(params=["postgres", "sqlite"])
def database(request: pytest.FixtureRequest) -> str:
    """Which database the test runs on."""
    return request.param


@pytest.fixture
async def url(request: pytest.FixtureRequest, database: str, tmp_path: Path) -> AsyncIterator[str | Path]:
    """Where a database is in which nothing was written yet."""
    if database == "sqlite":
        yield tmp_path / "hub.db"
        return
    server = request.getfixturevalue("postgres_server")
    made = await server.create_hub_database()
    yield made
    await server.drop_database(made)


@pytest.fixture
async def open_it(url: str | Path) -> AsyncIterator[Callable[..., Awaitable[SqlStore]]]:
    """Opens the store; again and again the same one, as after a restart."""
    opened: list[SqlStore] = []

    async def open_again(**options: int) -> SqlStore:
        for earlier in opened:
            await earlier.close()
        store = await open_store(url, new_id=clock.new_id, now=lambda: T0, random=counting_random(), **options)
        opened.append(store)
        return store

    yield open_again
    for each in opened:
        await each.close()


@pytest.fixture
async def store(open_it: Callable[..., Awaitable[SqlStore]]) -> SqlStore:
    return await open_it()


@pytest.fixture
async def desk(store: SqlStore) -> Desk:
    return await open_desk(store, "acme")


async def open_desk(store: SqlStore, name: str) -> Desk:
    directory = await store.create_directory(name, T0)
    source = await store.create_source(directory.key, "okta", "lenient", "new", T0)
    return Desk(store, directory, source, Actor(directory.key, source.key, f"exchange-{name}", T0))
