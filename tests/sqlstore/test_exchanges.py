"""Exchanges: batched, bounded, newest first, and never in the way."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from scimhub.directory.errors import StoreUnusable
from scimhub.exchanges.records import Exchange
from scimhub.sqlstore import exchanges
from scimhub.sqlstore.exchanges import ExchangeFile
from tests.store_contract.harness import T0, T1, T2

FIRST = Exchange(
    id="x1",
    time=T0,
    directory="acme",
    source="okta",
    method="POST",
    path="/scim/acme/v2/Users",
    status=201,
    duration_us=1234,
    rewrites=("string-boolean",),
    dropped=("favouriteColour",),
    resource_kind="User",
    resource_id="u1",
    change_ids=("c1", "c2"),
    detail="",
)


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[ExchangeFile]:
    opened = ExchangeFile.open(tmp_path / "hub.db", now=lambda: T2)
    yield opened
    opened.close()


async def ids(file: ExchangeFile, **wanted: object) -> list[str]:
    return [exchange.id for exchange in await file.list(**wanted)]


async def test_what_was_recorded_is_read_back(file: ExchangeFile):
    assert file.record(FIRST)
    await file.flush()
    assert await file.list() == [FIRST]


async def test_exchanges_are_listed_newest_first_and_narrowed(file: ExchangeFile):
    for exchange in (
        FIRST,
        replace(FIRST, id="x2", source="entra", time=T1),
        replace(FIRST, id="x3", status=409, time=T1),
        replace(FIRST, id="x4", directory="other", status=500, time=T2),
    ):
        file.record(exchange)
    await file.flush()
    assert await ids(file) == ["x4", "x3", "x2", "x1"]
    assert await ids(file, limit=2) == ["x4", "x3"]
    assert await ids(file, directory="acme") == ["x3", "x2", "x1"]
    assert await ids(file, directory="acme", source="okta") == ["x3", "x1"]
    assert await ids(file, errors_only=True) == ["x4", "x3"]
    assert await ids(file, status=201) == ["x2", "x1"]
    assert await ids(file, since=T1) == ["x4", "x3", "x2"]


async def test_closing_writes_what_waits(tmp_path: Path):
    file = ExchangeFile.open(tmp_path / "hub.db", now=lambda: T2)
    for number in range(2500):
        file.record(replace(FIRST, id=f"x{number}"))
    file.close()
    file.close()
    assert not file.record(FIRST)
    assert file.dropped == 1
    await file.flush()
    again = ExchangeFile.open(tmp_path / "hub.db", now=lambda: T2)
    assert len(await again.list(limit=5000)) == 2500
    again.close()


async def test_only_so_many_are_kept_and_only_so_long(tmp_path: Path):
    file = ExchangeFile.open(tmp_path / "hub.db", keep_count=3, keep_days=1, now=lambda: T2)
    file.record(replace(FIRST, id="old", time="2026-11-20T00:00:00.000Z"))
    for number in range(2):
        file.record(replace(FIRST, id=f"x{number}"))
    await file.flush()
    assert await ids(file) == ["x1", "x0"]
    for number in range(2, 6):
        file.record(replace(FIRST, id=f"x{number}"))
    await file.flush()
    assert await ids(file) == ["x5", "x4", "x3"]
    file.close()


async def test_a_burst_beyond_the_queue_is_dropped_and_counted(tmp_path: Path):
    file = ExchangeFile.open(tmp_path / "hub.db", most_waiting=0, now=lambda: T2)
    assert not file.record(FIRST)
    assert file.dropped == 1
    await file.flush()
    assert await ids(file) == []
    file.close()


async def test_a_disk_that_refuses_stops_nobody(file: ExchangeFile, tmp_path: Path):
    path = exchanges.path_beside(tmp_path / "hub.db")
    assert path.name == "hub-exchanges.db"
    other = apsw.Connection(str(path))
    other.execute("DROP TABLE exchanges")
    assert file.record(FIRST)
    await file.flush()
    assert file.dropped == 1
    other.close()


def test_a_newer_file_is_refused(tmp_path: Path):
    connection = apsw.Connection(str(tmp_path / "hub-exchanges.db"))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreUnusable, match="newer scimhub"):
        ExchangeFile.open(tmp_path / "hub.db", now=lambda: T2)
