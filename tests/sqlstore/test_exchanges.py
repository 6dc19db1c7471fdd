"""What the file of exchanges has of its own; the rest is in ``store_contract``."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import apsw
import pytest

from scimhub.directory.errors import StoreUnusable
from scimhub.exchanges import redaction
from scimhub.exchanges.records import Exchange, Received, Search
from scimhub.sqlstore.exchanges import Exchanges, open_file_exchanges
from scimhub.sqlstore.sqlite import exchange_sql, exchanges
from tests.store_contract.harness import T0, T1, T2
from tests.store_contract.recorded import FIRST, KEPT, TRY, ids


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[Exchanges]:
    opened = open_file_exchanges(tmp_path / "hub.db", now=lambda: T2)
    yield opened
    await opened.close()


async def test_only_so_many_are_kept_and_only_so_long(tmp_path: Path):
    file = open_file_exchanges(tmp_path / "hub.db", keep_count=3, keep_days=1, now=lambda: T2)
    file.record(FIRST._replace(id="old", time="2026-11-20T00:00:00.000Z"))
    for number in range(2):
        file.record(FIRST._replace(id=f"x{number}"))
    await file.flush()
    assert await ids(file) == ["x1", "x0"]
    for number in range(2, 6):
        file.record(FIRST._replace(id=f"x{number}"))
    await file.flush()
    assert await ids(file) == ["x5", "x4", "x3"]
    await file.close()


async def test_a_disk_that_refuses_stops_nobody(file: Exchanges, tmp_path: Path):
    path = exchanges.path_beside(tmp_path / "hub.db")
    assert path.name == "hub-exchanges.db"
    other = apsw.Connection(str(path))
    other.execute("DROP TABLE exchanges")
    assert file.record(FIRST)
    await file.flush()
    assert file.dropped == 1
    other.close()


async def test_what_cannot_be_looked_through_is_lost_and_the_thread_lives_on(file: Exchanges, monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> list[bool]:
        raise ValueError("no such thing")

    async with asyncio.timeout(10):
        with monkeypatch.context() as patch:
            patch.setattr(redaction, "keeps_all", fail)
            assert file.record(FIRST)
            await file.flush()
        assert file.dropped == 1
        assert file.record(FIRST)
        await file.flush()
    assert await ids(file) == [FIRST.id]


async def test_whatever_goes_wrong_beside_a_full_disk_the_thread_lives_on(file: Exchanges, monkeypatch: pytest.MonkeyPatch):
    calls: list[object] = []

    def fail(some: Sequence[Received], *_: object) -> list[bool]:
        calls.append(some)
        if len(calls) > 1:
            raise SystemExit(3)
        return [False] * len(some)

    def refuse(*_: object) -> None:
        raise apsw.FullError("database or disk is full")

    async with asyncio.timeout(10):
        with monkeypatch.context() as patch:
            patch.setattr(redaction, "keeps_all", fail)
            patch.setattr(exchanges.ExchangeFile, "write", refuse)
            for _ in range(100):
                assert file.record(FIRST)
            await file.flush()
        assert file.record(FIRST)
        await file.flush()
    assert (len(calls), file.dropped, await ids(file)) == (2, 100, [FIRST.id])


async def test_a_loss_is_told_also_after_a_fault_that_lost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    is_refused = threading.Event()

    def refuse(*_: object) -> None:
        is_refused.set()
        raise apsw.FullError("database or disk is full")

    monkeypatch.setattr("scimhub.sqlstore.exchanges._RESTING", 0.01)
    monkeypatch.setattr(exchanges.ExchangeFile, "write", refuse)
    file = open_file_exchanges(tmp_path / "hub.db", now=lambda: T2)
    assert await asyncio.to_thread(is_refused.wait, 10)
    # One more turn of the thread, which has noted the fault by then.
    await file.flush()
    file.record(FIRST)
    await file.close()
    assert (file.dropped, caplog.text.count("exchanges are dropped")) == (1, 1)


def test_a_newer_file_is_refused(tmp_path: Path):
    connection = apsw.Connection(str(tmp_path / "hub-exchanges.db"))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreUnusable, match="newer scimhub"):
        open_file_exchanges(tmp_path / "hub.db", now=lambda: T2)


async def test_the_file_stops_growing(tmp_path: Path):
    limit = 2 * 1024 * 1024
    file = open_file_exchanges(tmp_path / "hub.db", keep_bytes=limit, now=lambda: T2)
    path = exchanges.path_beside(tmp_path / "hub.db")
    sizes = []
    for part in range(12):
        for number in range(300):
            file.record(FIRST._replace(id=f"x{part}-{number}", request=b'{"a":"' + b"x" * 3000 + b'"}', request_size=3008))
        await file.flush()
        # As SQLite does by itself now and then: bring what is in the write-ahead log into the file.
        other = apsw.Connection(str(path))
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        other.close()
        sizes.append(path.stat().st_size)
    # 12 × 300 × 3 kB would be 11 MB.
    assert max(sizes) <= limit
    assert sizes[-1] > limit // 2
    kept = await ids(file, limit=1000)
    assert kept[0] == "x11-299"
    assert 300 < len(kept) < 800
    assert (file.dropped, await ids(file, resource="u1", limit=1)) == (0, ["x11-299"])
    await file.close()


async def test_a_file_of_the_first_shape_is_migrated(tmp_path: Path):
    path = exchanges.path_beside(tmp_path / "hub.db")
    connection = apsw.Connection(str(path))
    connection.execute(FIRST_SHAPE)
    connection.close()
    file = open_file_exchanges(tmp_path / "hub.db", now=lambda: T2)
    file.record(FIRST._replace(id="x2"))
    await file.flush()
    former = Exchange(*KEPT[:8], resource_kind="User", resource_id="u1")
    assert (await file.search(Search())).exchanges == [KEPT._replace(id="x2"), former]
    await file.close()
    connection = apsw.Connection(str(path))
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'index'")}
    assert names == {"exchanges_by_id", "exchanges_by_resource", "attempts_by_resource"}
    connection.close()


async def test_larger_parts_of_an_index_are_made_smaller(tmp_path: Path):
    file = open_file_exchanges(tmp_path / "hub.db", now=lambda: T2)
    file.record(FIRST)
    file.record_attempts([TRY])
    await file.close()
    connection = apsw.Connection(str(exchanges.path_beside(tmp_path / "hub.db")))
    connection.execute(THIRD_SHAPE)
    connection.close()
    file = open_file_exchanges(tmp_path / "hub.db", now=lambda: T2)
    assert await ids(file, resource=FIRST.resource_id) == [FIRST.id]
    assert await file.list_attempts(resource_id=TRY.resource_id) == [TRY]
    await file.close()
    connection = apsw.Connection(str(exchanges.path_beside(tmp_path / "hub.db")))
    made = [row[0] for row in connection.execute("SELECT sql FROM sqlite_schema WHERE name LIKE '%_by_resource'")]
    connection.close()
    assert [sql for sql in made if "(number >> 12, resource_id)" not in sql] == []
    assert len(made) == 2


THIRD_SHAPE = """
DROP INDEX exchanges_by_resource;
DROP INDEX attempts_by_resource;
CREATE INDEX exchanges_by_resource ON exchanges (number >> 14, resource_id) WHERE resource_id <> '';
CREATE INDEX attempts_by_resource ON attempts (number >> 14, resource_id);
PRAGMA user_version = 3"""

FIRST_SHAPE = f"""
CREATE TABLE exchanges (
    number        INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT NOT NULL,
    time          TEXT NOT NULL,
    directory     TEXT NOT NULL,
    source        TEXT NOT NULL,
    method        TEXT NOT NULL,
    path          TEXT NOT NULL,
    status        INTEGER NOT NULL,
    duration_us   INTEGER NOT NULL,
    rewrites      TEXT NOT NULL,
    dropped       TEXT NOT NULL,
    resource_kind TEXT NOT NULL,
    resource_id   TEXT NOT NULL,
    change_ids    TEXT NOT NULL,
    detail        TEXT NOT NULL,
    key_id        TEXT
) STRICT;
CREATE INDEX exchanges_by_id ON exchanges (id);
CREATE INDEX exchanges_by_source ON exchanges (directory, source);
CREATE INDEX exchanges_by_resource ON exchanges (resource_id) WHERE resource_id <> '';
CREATE INDEX exchanges_by_time ON exchanges (time);
INSERT INTO exchanges VALUES
    (1, 'x1', '{T0}', 'acme', 'okta', 'POST', '/scim/acme/v2/Users', 201, 1234, '[]', '[]', 'User', 'u1', '[]', '', NULL);
PRAGMA user_version = 1"""


async def test_attempts_have_the_limits_of_exchanges(tmp_path: Path):
    file = open_file_exchanges(tmp_path / "hub.db", keep_count=3, keep_days=1, now=lambda: T2)
    for number in range(5):
        file.record_attempts([TRY._replace(number=number, time=T2)])
    await file.flush()
    assert [each.number for each in await file.list_attempts()] == [4, 3, 2]
    await file.close()


@pytest.mark.parametrize("table", ["exchanges", "attempts"])
async def test_what_is_about_one_resource_is_found_by_the_index(tmp_path: Path, table: str):
    await open_file_exchanges(tmp_path / "hub.db", now=lambda: T2).close()
    connection = apsw.Connection(str(exchanges.path_beside(tmp_path / "hub.db")))
    terms = "resource_id <> '' AND resource_id = 'u1'"
    sql = f"EXPLAIN QUERY PLAN SELECT {table}.time FROM {exchange_sql.in_parts(table)} WHERE {terms}"
    steps = [row[3] for row in connection.execute(sql)]
    connection.close()
    assert [step for step in steps if f"{table} USING INDEX {table}_by_resource (<expr>=? AND resource_id=?)" in step], steps


async def test_what_is_about_one_resource_is_found_in_every_part_of_the_index(tmp_path: Path):
    file = open_file_exchanges(tmp_path / "hub.db", keep_count=100_000, now=lambda: T2)
    for number in range(50_000):
        file.record(FIRST._replace(id=f"x{number}", resource_id="rare" if number % 9_999 == 0 else "often", request=b""))
        if number % 10_000 == 0:
            await file.flush()
    await file.flush()
    assert await ids(file, resource="rare") == ["x49995", "x39996", "x29997", "x19998", "x9999", "x0"]
    assert await ids(file, resource="rare", limit=2, until=T1) == ["x49995", "x39996"]
    assert await ids(file, resource="none") == []
    await file.close()
