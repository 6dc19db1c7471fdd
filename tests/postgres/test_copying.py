"""A hub moves from SQLite to PostgreSQL with everything that anybody could refer to."""

import asyncio
import os
from pathlib import Path

import asyncpg
import pytest

from scimhub import clock
from scimhub.directory.errors import StoreUnusable
from scimhub.distribution.delivery import Subscription
from scimhub.sqlstore import copying
from scimhub.sqlstore.store import open_file_store
from tests.cli.command import run
from tests.postgres.conftest import EMPTY
from tests.store_contract import test_searching
from tests.store_contract.conftest import open_desk, open_sqlite
from tests.store_contract.harness import T1, Desk, applied

pytestmark = EMPTY

WHEN = {"now": T1, "random": os.urandom}


async def fill(folder: Path) -> Desk:
    """A hub with people, groups within groups, what was deleted, and a destination; closed again."""
    store = open_sqlite(folder)
    desk = await open_desk(store, "acme")
    users = [(await desk.user(f"user{n}", external_id=f"e{n}")).id for n in range(12)]
    inner = await desk.group("inner", *users[:5])
    await desk.group("outer", inner.id, *users[5:8])
    await desk.delete(users[0])
    await desk.link(users[1], "other")
    token = await store.create_token(desk.source.key, b"d" * 32, "hint", frozenset({"read"}), None, T1)
    assert token.hint == "hint"
    await store.create_destination(desk.directory.key, "payroll", "webhook", {"url": "x"}, Subscription(), 3, T1)
    await store.save_additions(desk.directory.key, {"schemas": ["s"]})
    return desk


async def estimates(url: str) -> dict[str, int]:
    """How many rows the server's planner believes some tables to have; -1 when it never looked."""
    raw = await asyncpg.connect(url)
    try:
        sql = "SELECT relname, reltuples::int FROM pg_class WHERE relname IN ('resources', 'unique_values', 'memberships')"
        return dict(await raw.fetch(sql))
    finally:
        await raw.close()


async def test_after_an_import_the_server_knows_how_much_there_is(
    tmp_path: Path, url: str, open_node, monkeypatch: pytest.MonkeyPatch
):
    await open_desk(await open_node(), "acme")
    monkeypatch.chdir(tmp_path)
    for name in ("SCIMHUB_TEST_POSTGRES", "SCIMHUB_TEST_PGBOUNCER", "SCIMHUB_VECTORS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SCIMHUB_DATABASE", url)
    lines = "".join(f"user{number}\n" for number in range(1200))
    (tmp_path / "people.csv").write_text(f"userName\n{lines}")
    words = ("import", "people.csv", "--directory", "acme", "--source", "okta")
    done = await asyncio.to_thread(run, *words)
    assert done.code == 0, done.errors
    found = await estimates(url)
    assert (found["resources"], found["unique_values"]) == (1200, 1200)


async def test_everything_is_the_same_under_the_same_keys_and_the_hub_goes_on(tmp_path: Path, url: str, open_node):
    desk = await fill(tmp_path)
    before = desk.store
    expected = {
        "changes": await desk.changes(),
        "resources": [await before.walk(desk.directory.key, kind, 0, 99) for kind in ("User", "Group")],
        "destinations": await before.list_destinations(),
        "directories": await before.list_directories(),
        "counts": await before.count_resources(desk.directory.key),
        "tombstone": await before.find_tombstone(desk.directory.key, "acme-0001"),
        "grant": await before.find_grant(b"d" * 32),
        "history": (before.log_epoch, before.cursor_secret, before.catalog_version(desk.directory.key)),
    }
    members = {id: await desk.members(id) for id in ("acme-0013", "acme-0014")}
    await before.close()
    told: list[tuple[int, int]] = []
    counts = await copying.copy_database(tmp_path / "hub.db", url, progress=lambda *at: told.append(at), **WHEN)
    assert (counts["resources"], counts["changes"], told[-1][0]) == (13, len(expected["changes"]), sum(counts.values()))
    assert await estimates(url) == {"resources": 13, "unique_values": 11, "memberships": 8}
    store = await open_node()
    there = Desk(store, desk.directory, desk.source, desk.actor, desk.ids)
    assert {
        "changes": await there.changes(),
        "resources": [await store.walk(desk.directory.key, kind, 0, 99) for kind in ("User", "Group")],
        "destinations": await store.list_destinations(),
        "directories": await store.list_directories(),
        "counts": await store.count_resources(desk.directory.key),
        "tombstone": await store.find_tombstone(desk.directory.key, "acme-0001"),
        "grant": await store.find_grant(b"d" * 32),
        "history": (store.log_epoch, store.cursor_secret, store.catalog_version(desk.directory.key)),
    } == expected
    assert {id: await there.members(id) for id in members} == members
    # New rows get keys and positions behind the old ones.
    made = applied(await there.try_user("new")).resource
    assert made.key > max(one.key for some in expected["resources"] for one in some)
    assert (await there.changes())[-1].position == len(expected["changes"]) + 1
    assert (await open_desk(store, "second")).directory.key > desk.directory.key


@pytest.mark.parametrize("has_trigrams", [True, False])
async def test_search_indexes_are_made_anew_where_they_can_be(tmp_path: Path, url: str, open_node, has_trigrams: bool):
    desk = await fill(tmp_path)
    await desk.store.save_additions(desk.directory.key, {})
    await test_searching.add(desk, "userName")
    await desk.store.close()
    if has_trigrams:
        await test_searching.with_trigrams(url)
    counts = await copying.copy_database(tmp_path / "hub.db", url, **WHEN)
    assert counts["search_indexes_left_out"] == (0 if has_trigrams else 1)
    there = Desk(await open_node(), desk.directory, desk.source, desk.actor, desk.ids)
    await test_searching.build(there)
    states = [(index.path, index.state) for index in await there.store.list_indexes(desk.directory.key)]
    assert states == ([("userName", "ready")] if has_trigrams else [])
    assert await test_searching.found(there, 'userName co "ser7"') == ["user7"]


async def test_only_an_empty_database_is_filled(tmp_path: Path, url: str, open_node):
    await (await fill(tmp_path)).store.close()
    await open_desk(await open_node(), "there")
    with pytest.raises(StoreUnusable, match="holds a hub with directories"):
        await copying.copy_database(tmp_path / "hub.db", url, **WHEN)


async def test_a_hub_that_runs_is_not_copied(tmp_path: Path, url: str):
    desk = await fill(tmp_path)
    with pytest.raises(StoreUnusable, match="in use by process"):
        await copying.copy_database(tmp_path / "hub.db", url, **WHEN)
    await desk.store.close()


async def test_a_copy_that_breaks_off_leaves_nothing(tmp_path: Path, url: str):
    await (await fill(tmp_path)).store.close()

    class Broken(Exception):
        pass

    def break_off(done: int, total: int) -> None:
        if done == total:
            raise Broken

    with pytest.raises(Broken):
        await copying.copy_database(tmp_path / "hub.db", url, progress=break_off, **WHEN)
    raw = await asyncpg.connect(url)
    assert await raw.fetchval("SELECT count(*) FROM resources") == 0
    await raw.close()
    assert (await copying.copy_database(tmp_path / "hub.db", url, **WHEN))["resources"] == 13
    store = open_file_store(tmp_path / "hub.db", new_id=clock.new_id, now=clock.now_text)
    assert len(await store.list_directories()) == 1
    await store.close()
