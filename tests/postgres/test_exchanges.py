"""Exchanges in tables that several nodes share: partitions, lost connections, and what each node sees of the others."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import httpx
import pytest
from pydantic import SecretStr

from scimhub.app import open_hub
from scimhub.directory.errors import StoreUnavailable
from scimhub.exchanges.records import Search
from scimhub.settings import Settings
from scimhub.sqlstore.exchange_rows import Limits
from scimhub.sqlstore.exchanges import Exchanges, open_exchanges
from scimhub.sqlstore.postgres import partitions
from scimhub.sqlstore.postgres.partitions import Partition
from tests.keys import SEALING_KEYS
from tests.servers.postgres import Server
from tests.servers.running import PATIENCE
from tests.store_contract.harness import T0, T1, T2
from tests.store_contract.recorded import FIRST, KEPT, TRY, ids

Open = Callable[..., Awaitable[Exchanges]]


@pytest.fixture
async def recording_at(open_node, url: str) -> AsyncIterator[Open]:
    """Opens the exchanges of the database once more, as another node does."""
    await open_node()
    opened: list[Exchanges] = []

    async def open_it(**options: object) -> Exchanges:
        opened.append(await open_exchanges(url, **({"now": lambda: T2} | options)))
        return opened[-1]

    yield open_it
    for each in opened:
        await each.close()


@pytest.fixture
async def raw(url: str, open_node) -> AsyncIterator[asyncpg.Connection]:
    """A connection that looks at the tables."""
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


async def names(raw: asyncpg.Connection, table: str = "exchanges") -> list[str]:
    return [each.name for each in reversed(await partitions.list_partitions(raw)) if each.table == table]


# --------------------------------------------------------------------------- several nodes


async def test_nodes_find_each_others_exchanges_and_attempts(recording_at: Open):
    first, second = await recording_at(), await recording_at()
    first.record(FIRST._replace(id="x1", time=T0))
    second.record(FIRST._replace(id="x2", time=T1))
    first.record(FIRST._replace(id="x3", time=T2))
    second.record_attempts([TRY])
    await asyncio.gather(second.flush(), first.flush())
    for node in (first, second):
        assert await ids(node) == ["x3", "x2", "x1"]
        assert await node.find(["x1"]) == [KEPT]
        assert await node.list_attempts() == [TRY]


async def test_who_only_looks_makes_and_drops_no_partition(recording_at: Open, raw: asyncpg.Connection):
    await (await recording_at(writes=False)).close()
    assert await partitions.list_partitions(raw) == []


async def test_an_administrator_finds_at_one_node_what_came_in_at_another(url: str, tmp_path: Path):
    first = Settings(database=url, data=tmp_path / "first", bootstrap_token=SecretStr("t" * 40), secret_keys=SEALING_KEYS)
    second = Settings(database=url, data=tmp_path / "second", secret_keys=SEALING_KEYS)
    async with open_hub(first) as here, open_hub(second) as there:
        sender = httpx.AsyncClient(transport=httpx.ASGITransport(here.application), base_url="http://hub")
        administrator = httpx.AsyncClient(
            transport=httpx.ASGITransport(there.local_application), base_url="http://hub/admin/v1"
        )
        async with sender, administrator:
            user = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ada", "password": "geheim-7c1"}
            headers = {"Authorization": f"Bearer {'t' * 40}", "Content-Type": "application/scim+json"}
            made = await sender.post("/scim/default/v2/Users", json=user, headers=headers)
            assert made.status_code == 201
            await here.exchanges.flush()
            shown = await administrator.get(f"/exchanges/{made.headers['x-request-id']}")
            assert (shown.json()["status"], "geheim" in shown.text, "ada" in shown.text) == (201, False, True)
            await there.store.database.number_changes()
            traced = (await administrator.get("/directories/default/trace", params={"of": "ada"})).json()
            assert [entry["entry"] for entry in traced["entries"]][:2] == ["sent", "changed"]
    assert list(tmp_path.glob("**/*.db")) == []


async def test_nodes_that_begin_together_make_a_days_partitions_once(recording_at: Open, raw: asyncpg.Connection):
    nodes = [await recording_at() for _ in range(4)]
    for number, node in enumerate(nodes):
        node.record(FIRST._replace(id=f"x{number}"))
    await asyncio.gather(*(node.flush() for node in nodes))
    assert [node.dropped for node in nodes] == [0, 0, 0, 0]
    assert len(await ids(nodes[0])) == 4
    assert await names(raw) == ["exchanges_20261123", "exchanges_20261124"]


# --------------------------------------------------------------------------- partitions


async def test_a_partition_is_made_ahead_and_dropped_when_all_of_it_is_too_old(recording_at: Open, raw: asyncpg.Connection):
    now = ["2026-11-23T12:00:00.000Z"]
    recording = await recording_at(keep_days=2, now=lambda: now[0])
    for day in range(23, 27):
        now[0] = f"2026-11-{day}T12:00:00.000Z"
        recording.record(FIRST._replace(id=f"x{day}", time=now[0]))
        recording.record_attempts([TRY._replace(time=now[0])])
        await recording.flush()
    assert await ids(recording) == ["x26", "x25", "x24"]
    for table in partitions.TABLES:
        assert await names(raw, table) == [f"{table}_202611{day}" for day in (24, 25, 26, 27)]
    kinds = await raw.fetch(
        "SELECT relpersistence FROM pg_class WHERE relname ~ '^(exchanges|attempts)_2026.*' AND relkind = 'r'"
    )
    assert {row[0] for row in kinds} == {b"u"}


async def test_the_tables_stop_growing(recording_at: Open, raw: asyncpg.Connection):
    limit = 4 * 1024 * 1024
    recording = await recording_at(keep_bytes=limit)
    sizes = []
    for second in range(30):
        for number in range(100):
            time = f"2026-11-23T11:00:{second:02}.{number:03}Z"
            # Of different digits each time, which do not compress.
            body = str(7 ** (3000 + number + second)).encode()
            recording.record(FIRST._replace(id=time, time=time, request=b'{"a":"' + body + b'"}', request_size=len(body) + 8))
        await recording.flush()
        sizes.append(sum(each.size for each in await partitions.list_partitions(raw)))
    assert max(sizes) <= limit
    assert sizes[-1] > limit // 2
    kept = await ids(recording, limit=5000)
    assert kept[0] == "2026-11-23T11:00:29.099Z"
    assert kept == sorted(kept, reverse=True)
    assert 500 < len(kept) < 2500
    assert recording.dropped == 0


async def test_what_is_older_than_a_dropped_partition_is_left_out_and_the_rest_is_kept(
    recording_at: Open, raw: asyncpg.Connection
):
    recording, another = await recording_at(), await recording_at(keep_count=160)
    recording.record(FIRST)
    await recording.flush()
    for number in range(300):
        another.record(FIRST._replace(id=f"x{number}", time=f"2026-11-23T11:{number // 60:02}:{number % 60:02}.000Z"))
    await another.flush()
    oldest = (await partitions.list_partitions(raw))[-1].lower
    assert oldest > T0
    recording.record(FIRST._replace(id="late"))
    recording.record(FIRST._replace(id="new", time=T2))
    await recording.flush()
    assert (recording.dropped, (await ids(recording))[0], await recording.find(["late"])) == (0, "new", [])


def partition(table: str, lower: str, upper: str, rows: int, size: int = 0) -> Partition:
    return Partition(table, f"{table} {lower}", lower, upper, rows, size)


PARTITIONS = [
    partition("exchanges", "2026-11-24", "2026-11-25", 0),
    partition("exchanges", "2026-11-23T10", "2026-11-24", 60, 600),
    partition("attempts", "2026-11-23", "2026-11-24", 10, 100),
    partition("exchanges", "2026-11-23", "2026-11-23T10", 50, 500),
    partition("exchanges", "2026-11-22", "2026-11-23", 40, 400),
    partition("attempts", "2026-11-21", "2026-11-22", 5, 50),
]
NOW = "2026-11-23T12:00:00.000Z"


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(30, 1000, 10_000, 1), []),
        (Limits(1, 1000, 10_000, 1), ["attempts 2026-11-21"]),
        (Limits(30, 150, 10_000, 1), ["exchanges 2026-11-22"]),
        (Limits(30, 100, 10_000, 1), ["exchanges 2026-11-23", "exchanges 2026-11-22"]),
        # What is written to stays, however much it is.
        (Limits(30, 10, 10_000, 1), ["exchanges 2026-11-23", "exchanges 2026-11-22", "attempts 2026-11-21"]),
        (Limits(30, 1000, 1300, 1), ["exchanges 2026-11-22", "attempts 2026-11-21"]),
    ],
)
def test_the_oldest_partitions_are_superfluous(limits: Limits, expected: list[str]):
    assert [each.name for each in partitions.superfluous(PARTITIONS, NOW, limits)] == expected


def test_a_partition_that_is_written_to_is_cut_at_a_sixteenth():
    assert [each.name for each in partitions.large(PARTITIONS, NOW, Limits(1, 960, 100_000, 1))] == ["exchanges 2026-11-23T10"]
    assert partitions.large(PARTITIONS, NOW, Limits(1, 961, 9601, 1)) == []
    assert [each.name for each in partitions.large(PARTITIONS, NOW, Limits(1, 961, 9600, 1))] == ["exchanges 2026-11-23T10"]


LOOKED_UP = (
    ("SELECT * FROM exchanges WHERE time >= '2026-11' ORDER BY time DESC, number DESC LIMIT 10", "pkey"),
    ("SELECT * FROM exchanges WHERE id = ANY ('{x1,x2}')", "id_idx"),
    (
        "SELECT * FROM exchanges WHERE resource_id <> '' AND resource_id = 'u1' ORDER BY time DESC, number DESC LIMIT 10",
        "resource_id",
    ),
    ("SELECT * FROM attempts WHERE resource_id = 'u1' ORDER BY time DESC, number DESC LIMIT 10", "resource_id"),
)


async def test_what_is_asked_for_most_is_found_by_an_index(recording_at: Open, raw: asyncpg.Connection):
    recording = await recording_at()
    recording.record(FIRST)
    await recording.flush()
    await raw.execute("SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off")
    for sql, index in LOOKED_UP:
        plan = "\n".join(row[0] for row in await raw.fetch(f"EXPLAIN {sql}"))
        assert index in plan, plan
        assert "Seq Scan" not in plan, plan
        assert "Sort" not in plan, plan


# --------------------------------------------------------------------------- what goes wrong


async def test_a_terminated_connection_is_made_again_and_loses_nothing(
    recording_at: Open, open_node, postgres_server: Server, url: str
):
    store, recording, another = await open_node(), await recording_at(), await recording_at()
    recording.record(FIRST)
    await recording.flush()
    assert len(await ids(recording)) == 1
    name = url.rpartition("/")[2]
    ended = await postgres_server.administer(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{name}' AND application_name = 'scimhub-exchanges'"
    )
    assert len(ended) >= 2
    recording.record(FIRST._replace(id="x2"))
    another.record(FIRST._replace(id="x3"))
    await asyncio.gather(recording.flush(), another.flush(), store.check_alive())
    assert (recording.dropped, another.dropped) == (0, 0)
    async with asyncio.timeout(PATIENCE):
        while len(await ids(recording)) != 3:
            await asyncio.sleep(0)


async def test_while_the_server_is_away_exchanges_are_dropped_and_counted_and_nobody_waits(
    recording_at: Open, postgres_server: Server, url: str, caplog: pytest.LogCaptureFixture
):
    recording = await recording_at()
    recording.record(FIRST)
    await recording.flush()
    name = url.rpartition("/")[2]
    await postgres_server.administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await postgres_server.administer(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    for number in range(3):
        assert recording.record(FIRST._replace(id=f"lost{number}"))
        assert recording.record_attempts([TRY])
        await recording.flush()
    assert recording.dropped == 6
    with pytest.raises((StoreUnavailable, asyncpg.PostgresError)):
        await recording.search(Search())
    await postgres_server.administer(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    recording.record(FIRST._replace(id="x2"))
    await recording.flush()
    assert (recording.dropped, await ids(recording)) == (6, ["x2", "x1"])
    told = [record.message for record in caplog.records if record.name.startswith("scimhub.sqlstore.exchanges")]
    assert told == ["exchanges are dropped", "exchanges are kept again"]


async def test_a_search_that_takes_long_keeps_no_batch_from_being_written(recording_at: Open, raw: asyncpg.Connection):
    recording = await recording_at()
    recording.record(FIRST)
    await recording.flush()
    async with raw.transaction():
        await raw.fetch("SELECT id FROM exchanges")
        # Its locks are held until the transaction ends; a new day comes meanwhile.
        recording.record(FIRST._replace(id="x2", time="2026-11-22T12:00:00.000Z"))
        await recording.flush()
        assert await ids(recording) == ["x1", "x2"]
    assert recording.dropped == 0


async def test_what_cannot_be_trimmed_now_is_kept_until_it_can(
    recording_at: Open, raw: asyncpg.Connection, caplog: pytest.LogCaptureFixture
):
    recording = await recording_at(keep_count=16)
    recording.record(FIRST)
    await recording.flush()
    async with raw.transaction():
        await raw.fetch("SELECT id FROM exchanges")
        recording.record(FIRST._replace(id="x2", time=T1))
        await recording.flush()
        assert await ids(recording) == ["x2", "x1"]
    assert recording.dropped == 0
    assert [record.message for record in caplog.records] == ["exchanges were not trimmed"]
    before = await names(raw)
    recording.record(FIRST._replace(id="x3", time=T2))
    await recording.flush()
    assert len(await names(raw)) == len(before) + 1


async def test_a_character_that_texts_cannot_hold_is_replaced(recording_at: Open):
    recording = await recording_at()
    recording.record(FIRST._replace(path="/scim/a\0b"))
    await recording.flush()
    assert [each.path for each in (await recording.search(Search())).exchanges] == ["/scim/a\ufffdb"]
    assert recording.dropped == 0
