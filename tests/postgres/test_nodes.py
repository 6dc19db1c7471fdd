"""Several nodes on one database: what one does, the others know within a second; and they write side by side."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator

import asyncpg
import orjson
import pytest

from scimhub import clock
from scimhub.directory import resources, schemas, sources
from scimhub.directory.errors import Conflict, StoreUnavailable
from scimhub.directory.intents import Applied, MemberEdit, UniqueConflict, Update
from scimhub.directory.resources import Caller
from scimhub.directory.schemas import Catalogs
from scimhub.distribution import retention
from scimhub.distribution.acknowledging import Acknowledgements
from scimhub.distribution.delivery import Destination, Subscription
from scimhub.distribution.retention import Limits
from scimhub.distribution.snapshot import Pins
from scimhub.scim.dialects import LENIENT
from scimhub.scim.errors import ScimError
from scimhub.scim.notes import Notes
from scimhub.sqlstore.store import SqlStore
from scimhub.web.auth import Gatekeeper, Refused
from tests.postgres.conftest import EMPTY
from tests.servers.running import PATIENCE
from tests.store_contract.conftest import open_desk
from tests.store_contract.harness import T0, USER_URN, Desk, applied
from tests.web.test_auth import request


async def another(desk: Desk, store: SqlStore) -> Desk:
    """The same desk at another node."""
    return Desk(store, desk.directory, desk.source, desk.actor, desk.ids)


async def until(condition, limit: float = PATIENCE) -> None:
    async with asyncio.timeout(limit):
        while not await condition():
            await asyncio.sleep(0.01)


@EMPTY
async def test_nodes_that_start_together_make_the_tables_once(open_node):
    stores = await asyncio.gather(*(open_node() for _ in range(4)))
    assert len({store.log_epoch for store in stores}) == 1


async def test_what_one_node_writes_the_other_reads_at_once(open_node):
    first, second = await open_node(), await open_node()
    desk = await open_desk(first, "acme")
    made = await desk.user("kim")
    assert await (await another(desk, second)).find(made.id) == made


async def test_a_name_is_given_once_whichever_node_is_asked(open_node):
    first, second = await open_node(), await open_node()
    desk = await open_desk(first, "acme")
    there = await another(desk, second)
    outcomes = await asyncio.gather(*(each.try_user(f"user{n}") for n in range(40) for each in (desk, there)))
    assert sum(isinstance(one, Applied) for one in outcomes) == 40
    assert sum(isinstance(one, UniqueConflict) for one in outcomes) == 40


async def test_nobody_is_written_into_a_directory_that_another_node_has_deleted(open_node):
    first, second = await open_node(), await open_node()
    desk = await open_desk(first, "acme")
    other = await open_desk(first, "other")
    there = await another(desk, second)
    await first.request_directory_deletion(desk.directory.key, T0)
    writing = [asyncio.create_task(there.try_user(f"user{number}")) for number in range(40)]
    await first.delete_directory(desk.directory.key)
    # Whoever had a grant until now writes with it for up to a second more.
    late = [asyncio.create_task(there.try_user(f"late{number}")) for number in range(3)]
    ended = await asyncio.gather(*writing, *late, return_exceptions=True)
    refused = [one for one in ended if isinstance(one, ScimError)]
    assert all(isinstance(one, Applied | ScimError) for one in ended)
    assert ended[-3:] == refused[-3:]
    assert (refused[0].status, str(refused[0])) == (404, "The directory is not there any more.")
    sql = "SELECT count(*) FROM resources WHERE directory = ?"
    assert await first.database.read(lambda connection: connection.fetch_one(sql, (desk.directory.key,))) == (0,)
    assert await (await another(other, second)).user("kim")


async def test_additions_at_two_nodes_end_with_exactly_the_union(open_node):
    first, second = await open_node(), await open_node()
    desk = await open_desk(first, "acme")
    there = await another(desk, second)
    users = await desk.users(60)
    group = await desk.group("staff")

    def adding(at: Desk, id: str):
        return at.store.submit(Update(at.actor, "Group", group.id, members=MemberEdit(add=(id,))))

    outcomes = await asyncio.gather(*(adding((desk, there)[n % 2], id) for n, id in enumerate(users)))
    assert all(isinstance(one, Applied) for one in outcomes)
    assert sorted(await desk.members(group.id)) == sorted(users)
    assert sorted(one.resource.version for one in map(applied, outcomes)) == list(range(2, 62))


async def test_of_two_nodes_that_a_feed_acknowledges_to_neither_takes_its_cursor_back(open_node):
    first, second = await open_node(), await open_node()
    desk = await open_desk(first, "acme")
    await desk.users(30)
    key = (await first.create_destination(desk.directory.key, "pull", "feed", {}, Subscription(), 0, T0)).key

    async def known(store: SqlStore):
        found = await store.find_destination(desk.directory.key, "pull")
        assert found is not None
        return found

    here, there = (Acknowledgements(store, lambda: 0.0, every=3600) for store in (first, second))
    await there.note(await known(second), 5)
    await there.note(await known(second), 12)  # to be written later
    await here.note(await known(first), 20)
    assert (await known(first)).cursor == 20
    await there.close()
    assert (await known(first)).cursor == 20
    assert there.position(await known(second)) == 20
    # Whom an administrator took back stays there, whatever a node has still to write.
    await there.note(await known(second), 25)
    await first.move_cursor(key, 3, None)
    await there.close()
    assert (await known(first)).cursor == 3
    await there.note(await known(second), 4)
    await there.close()
    assert (await known(first)).cursor == 4
    await here.close()


async def test_a_revoked_token_is_refused_at_every_node_within_a_second(open_node):
    first, second = await open_node(), await open_node()
    desk = await open_desk(first, "acme")
    token, secret = await sources.create_token(first, desk.source, {"read"}, None, clock.now_text())
    gatekeepers = [Gatekeeper(store, time.monotonic) for store in (first, second)]
    asking = request(f"Bearer {secret}")

    async def last_admission(gatekeeper: Gatekeeper) -> float:
        """When it was asked and let in for the last time."""
        last = -math.inf
        while True:
            asked = time.monotonic()
            try:
                await gatekeeper.admit(asking, clock.now_text())
            except Refused:
                return last
            last = asked
            await asyncio.sleep(0.001)

    async with asyncio.timeout(PATIENCE):
        asked = [asyncio.create_task(last_admission(gatekeeper)) for gatekeeper in gatekeepers]
        while not all(gatekeeper.collect_last_used() for gatekeeper in gatekeepers):
            await asyncio.sleep(0.001)
        await first.revoke_token(desk.source.key, token.id, clock.now_text())
        revoked = time.monotonic()
        late = [await task - revoked for task in asked]
    assert max(late) <= 1.0
    # Both had remembered it, or nothing was shown.
    assert min(late) > -1.0


async def test_a_new_catalog_reaches_every_node_by_itself_and_soon(open_node):
    from scimhub.sqlstore.postgres import database

    first, second = await open_node(), await open_node()
    desk = await open_desk(first, "acme")
    version = await first.save_additions(desk.directory.key, {"schemas": []})

    async def has_arrived() -> bool:
        return second.catalog_version(desk.directory.key) == version

    # By news, or by a look: within a second where the machine has time for either.
    assert database._POLL < 0.5
    await until(has_arrived)


async def test_a_node_that_has_not_heard_of_a_new_catalog_writes_by_it_all_the_same(open_node):
    first, second = await open_node(), await open_node()
    desk = await open_desk(first, "acme")
    badge = {"id": "urn:example:Badge", "name": "Badge", "attributes": [{"name": "number", "indexed": True}]}
    body = {"schemas": [USER_URN, badge["id"]], "userName": "kim", badge["id"]: {"number": "B-1"}}
    catalogs = Catalogs(second)
    kind = (await catalogs.current(desk.directory.key)).kinds["User"]
    await schemas.add_schema(first, desk.directory, badge, T0, clock.new_id)
    # As if it had heard nothing yet.
    second.database.note_catalog_version(desk.directory.key, 1)
    caller = Caller(desk.directory, desk.source, LENIENT, "exchange", T0, catalogs)
    written = await resources.create(second, caller, kind, body, Notes(), clock.new_id)
    assert orjson.loads(written.resource.document)[badge["id"]] == {"number": "B-1"}
    sql = "SELECT value FROM attribute_values WHERE path = 'urn:example:Badge:number'"
    assert await second.database.read(lambda connection: connection.fetch(sql)) == [("b-1",)]


async def test_schemas_added_at_two_nodes_are_all_there_or_refused(open_node):
    first, second = await open_node(), await open_node()
    desk = await open_desk(first, "acme")

    def schema(number: int) -> dict[str, object]:
        attribute = {"name": "floor", "type": "string"}
        return {"id": f"urn:example:s{number}", "name": f"S{number}", "extends": ["User"], "attributes": [attribute]}

    async def add(store: SqlStore, number: int) -> int | None:
        try:
            await schemas.add_schema(store, desk.directory, schema(number), T0, clock.new_id)
        except Conflict:
            return None
        return number

    done = await asyncio.gather(*(add((first, second)[number % 2], number) for number in range(6)))
    there = await first.find_additions(desk.directory.key)
    assert {f"urn:example:s{number}" for number in done if number is not None} == {each["id"] for each in there["schemas"]}
    assert any(number is not None for number in done)


async def test_a_catalog_that_was_just_changed_is_not_forgotten_by_looking(open_node):
    store = await open_node()
    desk = await open_desk(store, "acme")
    for _ in range(20):
        version = await store.save_additions(desk.directory.key, {})
        await store.database._look()
        assert store.catalog_version(desk.directory.key) == version


async def test_a_snapshot_at_one_node_keeps_the_retention_of_another_back(open_node):
    first, second = await open_node(), await open_node()
    desk = await open_desk(first, "acme")
    await desk.users(9)

    async def purge() -> int:
        lowest = Pins(second, "second").lowest
        return await retention.purge(second, second, Limits(1, 2, 30), clock.now_text(), lowest, nobody_runs)

    pins = Pins(first, "first")
    async with pins.hold(5):
        async with pins.hold(3):
            assert await purge() == 3
        assert await purge() == 5
        # A node that died says nothing any more, and has said so much.
        sql = "UPDATE nodes SET seen = seen - interval '11 minutes' WHERE id = 'first'"
        await first.database.write(lambda connection: connection.run(sql), None)
        assert await purge() == 9
    assert await second.lowest_pin() is None


@contextlib.asynccontextmanager
async def nobody_runs(_: Destination) -> AsyncIterator[None]:
    """In the place of ``Engine.halted``, where there is no engine."""
    yield


async def test_connections_that_are_killed_lose_nothing_that_was_acknowledged(open_node, url: str):
    store: SqlStore = await open_node()
    desk = await open_desk(store, "acme")
    acknowledged: list[str] = []
    refused = 0
    done = asyncio.Event()

    async def kill() -> None:
        connection = await asyncpg.connect(url)
        sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"
        while not done.is_set():
            await connection.fetchval(sql, url.rpartition("/")[2])
            await asyncio.sleep(0.05)
        await connection.close()

    async def write(number: int) -> None:
        nonlocal refused
        for count in range(15):
            try:
                acknowledged.append(applied(await desk.try_user(f"user-{number}-{count}")).resource.id)
            except StoreUnavailable:
                refused += 1

    killing = asyncio.create_task(kill())
    await asyncio.gather(*(write(number) for number in range(8)))
    done.set()
    await killing
    there = [id for id in acknowledged if await desk.find(id) is not None]
    assert there == acknowledged
    changes = await desk.changes()
    assert [change.position for change in changes] == list(range(1, len(changes) + 1))
    assert {change.resource_id for change in changes} >= set(acknowledged)
    # One whose commit's answer was lost may be there all the same; no more than those.
    assert len(acknowledged) <= len(changes) <= len(acknowledged) + refused


async def test_a_node_that_stands_still_within_a_transaction_does_not_hold_up_the_others(open_node, url: str):
    store: SqlStore = await open_node()
    desk = await open_desk(store, "acme")
    still = await asyncpg.connect(url, server_settings={"idle_in_transaction_session_timeout": "300ms"})
    from scimhub.sqlstore.postgres import locks

    await still.execute(f"BEGIN; SELECT pg_advisory_xact_lock({locks.WRITING}, {desk.directory.key})")
    async with asyncio.timeout(PATIENCE):
        assert isinstance(await desk.try_user("kim"), Applied)
    still.terminate()


async def test_a_server_that_cannot_be_reached_is_named(tmp_path):
    from scimhub import clock
    from scimhub.directory.errors import StoreUnusable
    from scimhub.sqlstore.store import open_store

    with pytest.raises(StoreUnusable, match="cannot be opened"):
        await open_store("postgresql://hub@127.0.0.1:1/hub", new_id=clock.new_id, now=clock.now_text)


@EMPTY
async def test_a_database_that_is_no_hubs_is_refused(url: str):
    from scimhub import clock
    from scimhub.directory.errors import StoreUnusable
    from scimhub.sqlstore.store import open_store

    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE customers (id INT)")
    await connection.close()
    with pytest.raises(StoreUnusable, match="not a hub's"):
        await open_store(url, new_id=clock.new_id, now=clock.now_text)


async def test_edits_of_one_group_by_two_sources_at_once_get_versions_of_their_own(open_node):
    store = await open_node()
    desk = await open_desk(store, "acme")
    other = desk.of(await store.create_source(desk.directory.key, "entra", "lenient", "new", desk.actor.now))
    users = await desk.users(4)
    group = await desk.group("staff")
    edits = zip((desk, other, desk, other), users, strict=True)
    outcomes = await asyncio.gather(*(at.edit(group.id, add=(id,)) for at, id in edits))
    assert sorted(applied(one).resource.version for one in outcomes) == [2, 3, 4, 5]
    assert [change.version for change in await desk.changes() if change.resource_id == group.id] == [1, 2, 3, 4, 5]


async def test_a_look_up_that_the_server_refuses_fails_alone(open_node):
    store = await open_node()
    desk = await open_desk(store, "acme")
    made = await desk.user("kim")
    outcomes = await asyncio.gather(*(desk.find(id) for id in (made.id, "\0", made.id)), return_exceptions=True)
    assert (outcomes[0], outcomes[2]) == (made, made)
    assert isinstance(outcomes[1], asyncpg.PostgresError)


async def test_a_node_waits_for_as_long_as_another_one_migrates(open_node, url: str, monkeypatch: pytest.MonkeyPatch):
    from scimhub.sqlstore.postgres import database, locks

    monkeypatch.setattr(database, "_LOCK_TIMEOUT", 1)
    migrating = await asyncpg.connect(url)
    await migrating.execute("SELECT pg_advisory_lock($1, 0)", locks.MIGRATION)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(opening := asyncio.ensure_future(open_node())), 2)
    await migrating.close()
    assert await (await opening).list_directories() == []


@pytest.mark.ci  # the hub waits fifteen seconds for a lock
async def test_statistics_that_cannot_be_made_now_fail_nobody(open_node, url: str, caplog: pytest.LogCaptureFixture):
    store = await open_node()
    other = await asyncpg.connect(url)
    try:
        async with other.transaction():
            # As a VACUUM or the building of an index has it.
            await other.execute("LOCK TABLE resources IN SHARE UPDATE EXCLUSIVE MODE")
            await store.analyze()
        assert "the database did not look at how much there is" in caplog.text
    finally:
        await other.close()


@pytest.mark.parametrize("claim", [None, 1])
async def test_whatever_a_unit_raises_the_writer_goes_on_and_who_waits_hears_of_it(open_node, claim: int | None):
    def panic(_: object) -> None:
        raise Panic

    class Panic(BaseException):
        """As what was compiled raises it."""

    node = await open_node()
    async with asyncio.timeout(10):
        with pytest.raises(StoreUnavailable, match="The writer failed"):
            await node.database.write(panic, claim)
        assert await node.database.write(lambda _: "done", claim) == "done"
