"""One suite for every database: each opener gives a fresh, empty store."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path

import pytest

from scimhub import clock
from scimhub.directory.intents import Actor
from scimhub.sqlstore.store import SqlStore, open_file_store
from tests.store_contract.harness import T0, Desk


def counting_random() -> Callable[[int], bytes]:
    """Bytes that differ from call to call and are the same in every run."""
    calls = count()
    return lambda length: hashlib.sha256(str(next(calls)).encode()).digest()[:length]


def open_sqlite(folder: Path, **options: int) -> SqlStore:
    return open_file_store(folder / "hub.db", new_id=clock.new_id, now=lambda: T0, random=counting_random(), **options)


OPENERS = {"sqlite": open_sqlite}


@pytest.fixture(params=sorted(OPENERS))
async def open_it(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[SqlStore]]]:
    """Opens the store; again and again the same one, as after a restart."""
    opened: list[SqlStore] = []

    async def open_again(**options: int) -> SqlStore:
        for earlier in opened:
            await earlier.close()
        opened.append(OPENERS[request.param](tmp_path, **options))
        return opened[-1]

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
