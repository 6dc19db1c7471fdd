"""What ``scimhub doctor`` says of a PostgreSQL server, and where the hub refuses to work with one."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest

from scimhub import app, clock
from scimhub.cli import diagnosis
from scimhub.directory.errors import StoreUnavailable, StoreUnusable
from scimhub.settings import Settings
from scimhub.sqlstore.connection import Finding
from scimhub.sqlstore.postgres import driver, examination, sequencer
from scimhub.sqlstore.postgres.examination import Circumstances
from scimhub.sqlstore.store import SqlStore, open_store
from tests.servers import postgres
from tests.servers.postgres import Server
from tests.servers.running import PATIENCE
from tests.store_contract.kept_secrets import KEPT, LEFT

GIVEN = Circumstances(20, "none", has_direct=False, wanted={})


@pytest.fixture(scope="module")
def durable() -> Iterator[Server]:
    """A server that waits for the disk, as one must."""
    with postgres.serving(durable=True) as server:
        yield server


@pytest.fixture
async def url(durable: Server) -> AsyncIterator[str]:
    made = await durable.create_hub_database()
    yield made
    await durable.drop_database(made)


@pytest.fixture
async def store(url: str) -> AsyncIterator[SqlStore]:
    opened = await open_store(url, new_id=clock.new_id, now=clock.now_text)
    yield opened
    await opened.close()


@pytest.fixture
async def raw(url: str, store: SqlStore) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    yield connection
    await connection.close()


async def found(raw: Any, given: Circumstances = GIVEN) -> dict[str, Finding]:
    return {finding.subject: finding for finding in await examination.examine(raw, given)}


async def test_a_server_as_it_should_be_is_found_so(store: SqlStore):
    health = await store.check()
    subjects = ["postgresql", "durability", "encoding", "privileges", "connections", "clocks", "pg_trgm", "staging"]
    assert [finding.subject for finding in health.findings] == [*subjects, "transactions"]
    # The tests' user is the superuser that made the server.
    assert [finding.subject for finding in health.findings if finding.verdict != "OK"] == ["privileges"]
    assert health.size > 1_000_000


async def test_what_could_lose_writes_is_a_failure(postgres_server: Server, raw: Any):
    await raw.execute("SET synchronous_commit = off")
    finding = (await found(raw))["durability"]
    assert (finding.verdict, "synchronous_commit is off" in finding.sentence) == ("FAIL", True)
    made = await postgres_server.create_hub_database()
    careless = await open_store(made, new_id=clock.new_id, now=clock.now_text)
    [finding] = [one for one in (await careless.check()).findings if one.subject == "durability"]
    await careless.close()
    await postgres_server.drop_database(made)
    assert (finding.verdict, finding.sentence[:33]) == ("FAIL", "fsync and full_page_writes is off"[:33])


async def test_more_connections_than_there_are_is_a_warning(raw: Any):
    finding = (await found(raw, Circumstances(500, "none", has_direct=False, wanted={})))["connections"]
    assert finding.verdict == "WARN"
    assert "1 node with up to 504 connections each want more than the 197" in finding.sentence


async def test_a_long_transaction_is_named_with_what_ends_it(url: str, raw: Any):
    other = await asyncpg.connect(url, server_settings={"application_name": "report"})
    await other.execute("BEGIN")
    old = {"pid": other.get_server_pid(), "application": "report", "seconds": 1200.0}
    finding = examination._transactions(old)
    assert "report has been open for 20 minutes" in finding.sentence
    assert f"pg_terminate_backend({other.get_server_pid()})" in finding.sentence
    # The statement itself sees it, and it is not long yet.
    row = await raw.fetchrow(examination._OLDEST)
    assert (row["pid"], row["application"], row["seconds"] < 60) == (other.get_server_pid(), "report", True)
    await other.close()


async def test_privileges_are_those_that_the_user_has(durable: Server, url: str, raw: Any):
    await raw.execute("CREATE ROLE reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    try:
        await raw.execute("SET ROLE reader")
        finding = (await found(raw))["privileges"]
        assert (finding.verdict, "The user reader may not write its tables" in finding.sentence) == ("FAIL", True)
        await raw.execute(
            "RESET ROLE; GRANT ALL ON ALL TABLES IN SCHEMA public TO reader; GRANT CREATE ON SCHEMA public TO reader"
        )
        await raw.execute("SET ROLE reader")
        finding = (await found(raw))["privileges"]
        assert (finding.verdict, "does not own the hub's tables" in finding.sentence) == ("WARN", True)
        # The server does nothing for him, and calls it a warning: nobody may take it for done.
        await raw.execute("RESET ROLE; REVOKE ALL ON staged_changes FROM reader; SET ROLE reader")
        objection = await driver.vacuum(raw, sequencer.CLEAN)
        # 15 and 16 say "only table or database owner can vacuum it".
        assert "vacuum" in objection
        assert "staged_changes" in objection
    finally:
        await raw.execute("RESET ROLE; DROP OWNED BY reader; DROP ROLE reader")


@pytest.mark.parametrize(
    "ahead, verdict", [(0.2, "OK"), (-0.9, "OK"), (2.0, "WARN"), (-20.0, "WARN"), (40.0, "FAIL"), (-3600.0, "FAIL")]
)
def test_clocks_that_differ_are_told_apart(ahead: float, verdict: str):
    assert examination._clocks(ahead).verdict == verdict


async def test_a_vacuum_that_was_done_meets_no_objection(raw: Any):
    assert await driver.vacuum(raw, sequencer.CLEAN) == ""


@pytest.mark.parametrize(
    "options, sentence",
    [
        (
            "sslmode=verify-full",
            "needs the certificate of the authority that signed the server's; name the file with sslrootcert",
        ),
        ("sslmode=verify-full&sslrootcert=missing.pem", "a file that its URL names is not there"),
        ("sslmode=nonsense", "`sslmode` parameter must be one of"),
    ],
)
async def test_what_a_url_lacks_is_told_without_a_part_of_it(
    url: str, options: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(StoreUnusable) as refused:
        await open_store(f"{url}?{options}", new_id=clock.new_id, now=clock.now_text)
    assert sentence in str(refused.value)
    assert str(urlsplit(url).password) not in str(refused.value)


async def test_behind_a_pooler_the_commands_are_told_that_set_what_it_does_not_send(raw: Any):
    wanted = {"plan_cache_mode": "force_generic_plan", "enable_hashjoin": "off"}
    findings = await examination.examine(raw, Circumstances(20, "plain", has_direct=False, wanted=wanted))
    sentences = [finding.sentence for finding in findings if finding.subject == "pooler"]
    assert "ALTER ROLE postgres SET enable_hashjoin = 'off';" in sentences[0]
    assert "max_prepared_statements" in sentences[1]
    assert "SCIMHUB_DATABASE_DIRECT" in sentences[2]
    await raw.execute("SET enable_hashjoin = off; SET plan_cache_mode = force_generic_plan")
    [finding] = [
        one
        for one in await examination.examine(raw, Circumstances(20, "prepared", has_direct=True, wanted=wanted))
        if one.subject == "pooler"
    ]
    assert finding.verdict == "OK"


async def test_a_database_whose_writes_may_be_lost_is_not_opened(durable: Server, url: str):
    name = url.rpartition("/")[2]
    await durable.administer(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with pytest.raises(StoreUnusable, match="synchronous_commit is off"):
        await open_store(url, new_id=clock.new_id, now=clock.now_text)


async def test_a_database_that_cannot_keep_all_names_is_not_opened(durable: Server, url: str):
    await durable.administer("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        with pytest.raises(StoreUnusable, match="encoding is LATIN1"):
            await open_store(durable.url("latin"), new_id=clock.new_id, now=clock.now_text)
    finally:
        await durable.administer("DROP DATABASE latin")


async def test_a_standby_is_refused_and_a_hub_that_finds_itself_on_one_is_not_ready(durable: Server, url: str, store: SqlStore):
    await store.check_alive()
    name = url.rpartition("/")[2]
    # What a server tells that may only be read, told by one that may be written.
    await durable.administer(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    fresh = await asyncpg.connect(url)
    assert await fresh.fetchval("SELECT current_setting('transaction_read_only')") == "on"
    await fresh.close()
    await durable.administer(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await store.check_alive()
            except StoreUnavailable as fault:
                if "may only be read" in str(fault):
                    break
            await asyncio.sleep(0.05)


async def tables(url: str) -> list[str]:
    raw = await asyncpg.connect(url)
    try:
        rows = await raw.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY 1")
        return [row[0] for row in rows]
    finally:
        await raw.close()


async def test_who_only_looks_does_not_migrate_a_server(url: str):
    await (await open_store(url, new_id=clock.new_id, now=clock.now_text)).close()
    raw = await asyncpg.connect(url)
    try:
        newest = await raw.fetchval(
            "DELETE FROM migrations WHERE number = (SELECT max(number) FROM migrations) RETURNING number"
        )
        with pytest.raises(StoreUnusable, match=f"at migration {newest - 1}, this program needs {newest}"):
            await open_store(url, new_id=clock.new_id, now=clock.now_text, writes=False)
        assert await raw.fetchval("SELECT max(number) FROM migrations") == newest - 1
    finally:
        await raw.close()


async def test_secrets_that_were_kept_for_adoption_go_with_a_migration(url: str):
    await (await open_store(url, new_id=clock.new_id, now=clock.now_text)).close()
    raw = await asyncpg.connect(url)
    try:
        await raw.execute("DELETE FROM migrations WHERE number = 12")
        rows = [(number, document) for number, document in enumerate(KEPT)]
        await raw.executemany("INSERT INTO unmapped VALUES (1, $1, 1, 'User', $2, NULL)", rows)
        await (await open_store(url, new_id=clock.new_id, now=clock.now_text)).close()
        left = await raw.fetch("SELECT resource, document FROM unmapped ORDER BY 1")
    finally:
        await raw.close()
    assert [(row[0], json.loads(row[1])) for row in left] == [(number, json.loads(document)) for number, document in LEFT]


def _set_environment(monkeypatch: pytest.MonkeyPatch, url: str, folder: Path) -> None:
    for name in ("SCIMHUB_TEST_POSTGRES", "SCIMHUB_TEST_PGBOUNCER", "SCIMHUB_VECTORS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SCIMHUB_DATABASE", url)
    monkeypatch.setenv("SCIMHUB_DATA", str(folder))


async def test_the_doctor_leaves_an_empty_database_empty(durable: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    url = await durable.create_database()
    _set_environment(monkeypatch, url, tmp_path)
    [told] = [found for found in await asyncio.to_thread(diagnosis.examine, None) if found.subject == "database"]
    assert (told.verdict, "the first start of the hub fills it" in told.sentence) == ("OK", True)
    assert await tables(url) == []
    await durable.drop_database(url)


async def test_the_doctor_and_readiness_tell_it(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    _set_environment(monkeypatch, url, tmp_path)
    findings = await asyncio.to_thread(diagnosis.examine, None)
    told = {finding.subject: finding.verdict for finding in findings}
    assert (told["postgresql"], told["durability"], told["clocks"], told["staging"]) == ("OK", "OK", "OK", "OK")
    assert "sqlite" not in told
    assert all(set(finding.render()) == {"verdict", "subject", "sentence"} for finding in findings)
    async with app.open_hub(Settings(database=url, data=tmp_path)) as hub:
        transport = httpx.ASGITransport(hub.application)
        async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
            assert (await client.get("/readyz")).status_code == 200
            await hub.store.close()
            answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["detail"] == "The database is being closed. scimhub doctor says more."


async def test_a_real_standby_is_refused_and_what_was_opened_is_ready_after_it_is_promoted():
    with postgres.serving(durable=True) as server:
        url = await server.create_database()
        first = await open_store(url, new_id=clock.new_id, now=clock.now_text)
        await first.create_directory("acme", clock.now_text())
        await first.close()
        server.stop()
        # In recovery it waits for more of the log, and may be read as long as nobody promotes it.
        (server.folder / "data" / "standby.signal").touch()
        server.start()
        raw = await asyncpg.connect(url)
        try:
            assert await raw.fetchval("SELECT pg_is_in_recovery()")
            with pytest.raises(
                StoreUnusable, match="The server is a standby, which may only be read; name the primary"
            ) as refused:
                await open_store(url, new_id=clock.new_id, now=clock.now_text)
            assert str(refused.value).count("\n") == 0
            assert await raw.fetchval("SELECT pg_promote()")
        finally:
            await raw.close()
        promoted = await open_store(url, new_id=clock.new_id, now=clock.now_text)
        await promoted.check_alive()
        assert [one.name for one in await promoted.list_directories()] == ["acme"]
        await promoted.close()
