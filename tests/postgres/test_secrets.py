"""Secrets in a PostgreSQL database: sealed, moved there as they are, and sealed where an earlier program left them open."""

import os
import random
import time
from pathlib import Path

import asyncpg

from scimhub import clock
from scimhub.app import open_hub
from scimhub.distribution import control, resealing
from scimhub.distribution.delivery import Secret, Subscription
from scimhub.distribution.surroundings import Surroundings
from scimhub.settings import Settings
from scimhub.sqlstore import copying
from scimhub.sqlstore.store import SqlStore
from tests.distribution.outside import Noted
from tests.keys import KEY, SEALING_KEYS, keep_secret, keyring
from tests.store_contract.conftest import open_desk, open_sqlite
from tests.store_contract.harness import T1

CANARY = "canary-51c8"
CONFIGURATION = {"url": "https://a.example", "headers": {"Authorization": f"Bearer {CANARY}"}}


def surroundings(store: SqlStore) -> Surroundings:
    return Surroundings(
        store=store,
        reader=store,
        attempts=Noted(),
        now=time.time,
        chance=lambda: 1.0,
        random=random.randbytes,
        new_id=clock.new_id,
        keyring=keyring(),
    )


async def everything(url: str) -> str:
    """All that a dump of the two tables would show."""
    raw = await asyncpg.connect(url)
    rows = [
        row[0] for table in ("destinations", "destination_secrets") for row in await raw.fetch(f"SELECT t::text FROM {table} t")
    ]
    secrets = [bytes(row[0]).decode("latin-1") for row in await raw.fetch("SELECT value FROM destination_secrets")]
    await raw.close()
    return "\n".join(rows + secrets)


async def test_what_an_earlier_program_wrote_is_sealed(url: str, open_node):
    store = await open_node()
    desk = await open_desk(store, "acme")
    made = await store.create_destination(desk.directory.key, "payroll", "webhook", CONFIGURATION, Subscription(), 0, T1)
    await keep_secret(store, made.key, "password", CANARY.encode(), "", T1)
    assert CANARY in await everything(url)  # the control
    given = surroundings(store)
    assert await resealing.seal_what_is_open(given) == 2
    assert CANARY not in await everything(url)
    opened = [given.keyring.open(one, made.id) for one in await store.list_secrets(made.key)]
    assert sorted(one.purpose for one in opened) == ["concealed", "password"]
    assert all(CANARY.encode() in one.value for one in opened)
    assert await resealing.seal_what_is_open(given) == 0


async def test_a_copy_keeps_what_is_sealed_under_the_same_keys(tmp_path: Path, url: str, open_node):
    store = open_sqlite(tmp_path)
    desk, ring = await open_desk(store, "acme"), keyring()
    secret = ring.seal(Secret("s1", "password", CANARY.encode(), "", T1, None), "d1", os.urandom)
    made = await store.create_destination(
        desk.directory.key, "payroll", "webhook", {"url": "x"}, Subscription(), 0, T1, [secret], "d1"
    )
    assert made.id == "d1"
    await store.close()
    await copying.copy_database(tmp_path / "hub.db", url, now=T1, random=os.urandom)
    there = await open_node()
    (kept,) = await there.list_secrets(made.key)
    assert kept == secret
    assert ring.open(kept, "d1").value == CANARY.encode()
    assert CANARY not in await everything(url)


async def test_without_given_keys_all_nodes_have_one_and_given_keys_take_over(url: str, tmp_path: Path):
    first, second = Settings(database=url, data=tmp_path / "first"), Settings(database=url, data=tmp_path / "second")
    async with open_hub(first) as here, open_hub(second) as there:
        ours = here.engine.given.keyring
        assert ours.ids == there.engine.given.keyring.ids
        assert not ours.can_grow
        directory = (await here.store.list_directories())[0]
        webhook = {"url": "https://a.example/x"}
        await control.create(here.engine, directory, "payroll", "webhook", webhook, Subscription())
    given = Settings(database=url, data=tmp_path / "third", secret_keys=SEALING_KEYS)
    async with open_hub(given) as hub:
        assert hub.engine.given.keyring.ids == [KEY.id, *ours.ids]
        assert (await resealing.reseal(hub.engine.given)).resealed == 1
        assert [(use.key_id, use.secrets, use.unreadable) for use in await resealing.survey(hub.engine.given)] == [
            (KEY.id, 1, 0),
            (ours.newest, 0, 0),
        ]
