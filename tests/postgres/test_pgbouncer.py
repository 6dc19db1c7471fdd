"""A hub behind pgbouncer in transaction mode: the same work, by connections that are another one after each transaction."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from scimhub import clock
from scimhub.directory.errors import StoreUnavailable
from scimhub.directory.intents import Applied, MemberEdit, UniqueConflict, Update
from scimhub.directory.ports import Selection
from scimhub.exchanges.records import Received, Search
from scimhub.scim.catalog import standard_catalog
from scimhub.sqlstore.exchanges import open_exchanges
from scimhub.sqlstore.postgres import pooling
from scimhub.sqlstore.store import SqlStore, open_store
from tests.postgres.conftest import EMPTY
from tests.servers import pgbouncer, running
from tests.servers.postgres import Server
from tests.servers.running import PATIENCE, Missing
from tests.store_contract import test_members, test_searching, test_writing
from tests.store_contract.conftest import open_desk
from tests.store_contract.harness import T0, Desk, applied
from tests.store_contract.test_reading import condition

USER = standard_catalog().kinds["User"]
OpenNode = Callable[..., Awaitable[SqlStore]]


@pytest.fixture(scope="module")
def bouncer(postgres_server: Server) -> Iterator[int]:
    """The port of a pgbouncer in front of the server."""
    try:
        with pgbouncer.pooling(postgres_server) as port:
            yield port
    except Missing as missing:
        if running.IS_REQUIRED:
            raise
        running.left_out["pgbouncer"] = str(missing)
        pytest.skip(str(missing))


@pytest.fixture
def pooled(url: str, bouncer: int) -> str:
    """The URL of the database by way of pgbouncer."""
    return url.replace(f":{urlsplit(url).port}/", f":{bouncer}/")


@pytest.fixture
async def open_node(url: str, pooled: str) -> AsyncIterator[OpenNode]:
    opened: list[SqlStore] = []

    async def open_it(direct: str | None = None) -> SqlStore:
        opened.append(await open_store(pooled, new_id=clock.new_id, now=clock.now_text, connections=5, direct=direct))
        return opened[-1]

    yield open_it
    for store in opened:
        await store.close()


async def test_what_lies_between_is_recognised(url: str, pooled: str):
    assert await pooling.detect(url, 10) == "none"
    expected = "prepared" if pgbouncer.version(pgbouncer.program()) >= (1, 21) else "plain"
    assert await pooling.detect(pooled, 10) == expected


@EMPTY
async def test_nodes_that_start_together_make_the_tables_once(open_node: OpenNode):
    stores = await asyncio.gather(*(open_node() for _ in range(4)))
    assert len({store.log_epoch for store in stores}) == 1


async def test_several_nodes_write_and_read_side_by_side(open_node: OpenNode):
    first, second, third = [await open_node() for _ in range(3)]
    desk = await open_desk(first, "acme")
    desks = [Desk(store, desk.directory, desk.source, desk.actor, desk.ids) for store in (first, second, third)]
    outcomes = await asyncio.gather(*(each.try_user(f"user{n:03}") for n in range(60) for each in desks))
    assert sum(isinstance(one, Applied) for one in outcomes) == 60
    assert sum(isinstance(one, UniqueConflict) for one in outcomes) == 120
    made = [one.resource for one in outcomes if isinstance(one, Applied)]
    group = await desk.group("staff")

    def add(at: Desk, id: str):
        return at.store.submit(Update(at.actor, "Group", group.id, members=MemberEdit(add=(id,))))

    edits, found = await asyncio.gather(
        asyncio.gather(*(add(desks[n % 3], one.id) for n, one in enumerate(made))),
        asyncio.gather(*(desks[n % 3].find(made[n % 60].id) for n in range(300))),
    )
    assert sorted(applied(one).resource.version for one in edits) == list(range(2, 62))
    assert [one.id for one in found if one] == [made[n % 60].id for n in range(300)]
    assert sorted(await desk.members(group.id)) == sorted(one.id for one in made)
    wanted = [Selection(desk.directory.key, desk.source.key, {USER: condition(f'userName sw "user0{n}"')}) for n in range(6)]
    pages = await asyncio.gather(*(desks[n % 3].store.select(each) for n, each in enumerate(wanted * 5)))
    assert [page.total for page in pages] == [10] * 30
    changes = await desk.changes()
    assert [change.position for change in changes] == list(range(1, len(changes) + 1))
    assert len(changes) == 60 + 1 + 60


@pytest.mark.parametrize("is_direct", [False, True])
async def test_what_a_node_writes_the_others_hear_of(open_node: OpenNode, url: str, is_direct: bool):
    first, second = [await open_node(url if is_direct else None) for _ in range(2)]
    desk = await open_desk(first, "acme")
    woken = asyncio.Event()
    loop = asyncio.get_running_loop()
    second.database.on_commit(lambda: loop.call_soon_threadsafe(woken.set))
    version = await first.save_additions(desk.directory.key, {})
    await desk.user("kim")
    async with asyncio.timeout(PATIENCE):
        await woken.wait()
        while second.catalog_version(desk.directory.key) != version:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "case",
    [
        test_members.test_members_and_content_together_are_one_change,
        test_members.test_members_are_shown_with_place_type_and_name,
        test_members.test_groups_of_groups_are_shown_as_indirect,
        *(value for name, value in vars(test_writing).items() if name.startswith("test_") and "open_it" not in str(value)),
    ],
    ids=lambda case: case.__name__,
)
async def test_the_store_keeps_its_contract(open_node: OpenNode, case: Callable[..., Awaitable[None]]):
    if set(case.__code__.co_varnames[: case.__code__.co_argcount]) != {"desk"}:
        pytest.skip("It asks for more than a desk.")
    await case(await open_desk(await open_node(), "acme"))


async def test_a_search_index_is_built(open_node: OpenNode, url: str):
    await test_searching.with_trigrams(url)
    desk = await open_desk(await open_node(), "acme")
    await asyncio.gather(*(test_searching.write(desk, f"user{number:04}") for number in range(1200)))
    await test_searching.add(desk, "userName")
    await test_searching.build(desk)
    assert await test_searching.found(desk, 'userName ew "r1100"') == ["user1100"]


async def test_connections_that_the_server_breaks_off_are_replaced(open_node: OpenNode, url: str):
    desk = await open_desk(await open_node(), "acme")
    connection = await asyncpg.connect(url)
    sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()"
    await connection.fetchval(sql, url.rpartition("/")[2])
    await connection.close()
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                assert await desk.user("kim")
                return
            except StoreUnavailable:
                # What was under way is lost, what comes behind it is not.
                continue


async def test_exchanges_of_two_nodes_are_kept(open_node: OpenNode, pooled: str, tmp_path: Path):
    await open_node()
    both = [await open_exchanges(pooled, now=lambda: T0) for _ in range(2)]
    try:
        for number in range(40):
            received = Received(
                id=f"x{number}", time=T0, directory="acme", source="okta", method="POST", path="/", status=201, duration_us=1
            )
            assert both[number % 2].record(received)
        for each in both:
            await each.flush()
        found = await asyncio.gather(*(each.search(Search(), 100) for each in both * 5))
        assert [len(one.exchanges) for one in found] == [40] * 10
    finally:
        for each in both:
            await each.close()
