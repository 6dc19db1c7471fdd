"""Exchanges: batched, bounded, newest first, and never in the way."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from scimhub.directory.errors import StoreUnusable
from scimhub.distribution.delivery import Attempt
from scimhub.exchanges.records import Body, Exchange, Received, Search
from scimhub.sqlstore import exchange_rows, exchanges
from scimhub.sqlstore.exchanges import ExchangeFile
from tests.store_contract.harness import T0, T1, T2

FIRST = Received(
    id="x1",
    time=T0,
    directory="acme",
    source="okta",
    method="POST",
    path="/scim/acme/v2/Users",
    status=201,
    duration_us=1234,
    rewrites=["string-boolean"],
    dropped=["favouriteColour"],
    resource_kind="User",
    resource_id="u1",
    change_ids=["c1", "c2"],
    query=b"attributes=userName",
    headers={b"user-agent": b"Okta", b"authorization": b"Bearer x"},
    request=b'{"userName":"ada"}',
    request_size=18,
    answer=b'{"id":"u1"}',
    answer_size=11,
)
KEPT = Exchange(
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
    query="attributes=userName",
    headers={"user-agent": "Okta"},
    request=Body('{"userName":"ada"}', 18),
    answer=Body('{"id":"u1"}', 11),
)


@pytest.fixture
async def file(tmp_path: Path) -> AsyncIterator[ExchangeFile]:
    opened = ExchangeFile.open(tmp_path / "hub.db", now=lambda: T2)
    yield opened
    opened.close()


async def ids(file: ExchangeFile, limit: int = 50, **wanted: Any) -> list[str]:
    return [exchange.id for exchange in (await file.search(Search(**wanted), limit)).exchanges]


async def test_what_was_recorded_is_read_back_redacted(file: ExchangeFile):
    assert file.record(FIRST)
    await file.flush()
    assert (await file.search(Search())).exchanges == [KEPT]
    assert await file.find(["x1", "x2"]) == [KEPT]


async def test_exchanges_are_listed_newest_first_and_narrowed(file: ExchangeFile):
    for exchange in (
        FIRST,
        FIRST._replace(id="x2", source="entra", time=T1),
        FIRST._replace(id="x3", status=409, time=T1),
        FIRST._replace(id="x4", directory="other", status=500, time=T2),
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
    assert await ids(file, until=T1) == ["x1"]
    assert await ids(file, since=T1, until=T2) == ["x3", "x2"]


async def test_closing_writes_what_waits(tmp_path: Path):
    file = ExchangeFile.open(tmp_path / "hub.db", now=lambda: T2)
    for number in range(2500):
        file.record(FIRST._replace(id=f"x{number}"))
    file.close()
    file.close()
    assert not file.record(FIRST)
    assert file.dropped == 1
    await file.flush()
    again = ExchangeFile.open(tmp_path / "hub.db", now=lambda: T2)
    assert len(await ids(again, limit=5000)) == 2500
    again.close()


async def test_only_so_many_are_kept_and_only_so_long(tmp_path: Path):
    file = ExchangeFile.open(tmp_path / "hub.db", keep_count=3, keep_days=1, now=lambda: T2)
    file.record(FIRST._replace(id="old", time="2026-11-20T00:00:00.000Z"))
    for number in range(2):
        file.record(FIRST._replace(id=f"x{number}"))
    await file.flush()
    assert await ids(file) == ["x1", "x0"]
    for number in range(2, 6):
        file.record(FIRST._replace(id=f"x{number}"))
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


async def test_exchanges_are_searched_by_method_resource_and_text(file: ExchangeFile):
    for exchange in (
        FIRST._replace(request='{"displayName":"JÜRGEN Öz"}'.encode(), request_size=28),
        FIRST._replace(id="x2", method="PATCH", resource_kind="Group", resource_id="g1", answer=b'{"a":"Needle"}'),
        FIRST._replace(id="x3", path="/scim/acme/v2/Users/needle", resource_id="", query=b"", detail="Not found."),
    ):
        file.record(exchange)
    await file.flush()
    assert await ids(file, method="patch") == ["x2"]
    assert await ids(file, resource="g1") == ["x2"]
    assert await ids(file, kind="user") == ["x3", "x1"]
    assert await ids(file, text="NEEDLE") == ["x3", "x2"]
    assert await ids(file, text="jürgen ö") == ["x1"]
    assert await ids(file, text="not FOUND") == ["x3"]
    assert await ids(file, text="username", source="okta", method="POST") == ["x3", "x1"]
    assert await ids(file, text="100%_") == []


async def test_a_search_says_where_it_stopped(tmp_path: Path):
    file = ExchangeFile.open(tmp_path / "hub.db", most_searched=5, now=lambda: T2)
    for number in range(10):
        file.record(FIRST._replace(id=f"x{number}", time=f"2026-11-23T20:00:0{number}.000Z", status=500 if number < 2 else 201))
    await file.flush()
    found = await file.search(Search(status=500))
    assert (found.exchanges, found.searched_to) == ([], "2026-11-23T20:00:05.000Z")
    assert (await file.search(Search(status=201), limit=3)).searched_to is None
    file.close()


async def test_a_time_range_is_found_without_looking_at_what_is_newer(tmp_path: Path):
    file = ExchangeFile.open(tmp_path / "hub.db", most_searched=1500, now=lambda: T2)
    for number in range(6000):
        time = f"2026-11-23T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}.000Z"
        file.record(FIRST._replace(id=f"x{number}", time=time))
    await file.flush()
    assert await ids(file, since="2026-11-23T00:10:00.000Z", until="2026-11-23T00:10:03.000Z") == ["x602", "x601", "x600"]
    file.close()


async def test_the_file_stops_growing(tmp_path: Path):
    limit = 2 * 1024 * 1024
    file = ExchangeFile.open(tmp_path / "hub.db", keep_bytes=limit, now=lambda: T2)
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
    file.close()


async def test_redaction_that_fails_keeps_the_rest(file: ExchangeFile):
    file.record(FIRST._replace(query=None))  # type: ignore[arg-type]
    file.record(FIRST._replace(id="x2", headers={b"user-agent": 7}))  # type: ignore[dict-item]
    await file.flush()
    assert [(each.id, each.headers, each.request) for each in (await file.search(Search())).exchanges] == [
        ("x2", {}, Body(None, 18)),
        ("x1", {"user-agent": "Okta"}, Body('{"userName":"ada"}', 18)),
    ]


async def test_with_off_nothing_is_recorded(tmp_path: Path):
    file = ExchangeFile.open(tmp_path / "hub.db", content="off", now=lambda: T2)
    assert not file.is_on
    assert file.record(FIRST)
    await file.flush()
    assert await ids(file) == []
    file.close()


async def test_a_file_of_the_first_shape_is_migrated(tmp_path: Path):
    path = exchanges.path_beside(tmp_path / "hub.db")
    connection = apsw.Connection(str(path))
    connection.execute(FIRST_SHAPE)
    connection.close()
    file = ExchangeFile.open(tmp_path / "hub.db", now=lambda: T2)
    file.record(FIRST._replace(id="x2"))
    await file.flush()
    former = Exchange(*KEPT[:8], resource_kind="User", resource_id="u1")
    assert (await file.search(Search())).exchanges == [KEPT._replace(id="x2"), former]
    file.close()
    connection = apsw.Connection(str(path))
    names = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'index'")}
    assert names == {"exchanges_by_id", "exchanges_by_resource", "attempts_by_resource"}
    connection.close()


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


# --------------------------------------------------------------------------- attempts

TRY = Attempt(T0, "acme", "crm", "d1", "c1", "u1", 5, 5, 1, "retry", 503, 1200, "It answered 503.", "busy")


async def test_attempts_are_kept_and_listed_newest_first(file: ExchangeFile):
    run = replace(TRY, resource_id="g1", first_position=6, position=9, number=1, outcome="delivered", status=200)
    for attempt in (TRY, replace(TRY, number=2, outcome="delivered", status=200), replace(TRY, destination="audit"), run):
        assert file.record_attempt(attempt)
    await file.flush()
    assert await file.list_attempts(limit=1) == [run]
    assert [each.number for each in await file.list_attempts(destination="crm", resource_id="u1")] == [2, 1]
    assert await file.list_attempts(resource_id="g1", positions=(8, 8)) == [run]
    assert await file.list_attempts(positions=(9, 20), directory="acme") == [run]
    assert await file.list_attempts(positions=(10, 20)) == []
    assert await file.list_attempts(destination="crm", failed_only=True) == [TRY]
    assert await file.list_attempts(directory="other") == []


async def test_attempts_have_the_limits_of_exchanges(tmp_path: Path):
    file = ExchangeFile.open(tmp_path / "hub.db", keep_count=3, keep_days=1, now=lambda: T2)
    for number in range(5):
        file.record_attempt(replace(TRY, number=number, time=T2))
    await file.flush()
    assert [each.number for each in await file.list_attempts()] == [4, 3, 2]
    file.close()


@pytest.mark.parametrize("table", ["exchanges", "attempts"])
def test_what_is_about_one_resource_is_found_by_the_index(tmp_path: Path, table: str):
    ExchangeFile.open(tmp_path / "hub.db", now=lambda: T2).close()
    connection = apsw.Connection(str(exchanges.path_beside(tmp_path / "hub.db")))
    terms = "resource_id <> '' AND resource_id = 'u1'"
    sql = f"EXPLAIN QUERY PLAN SELECT {table}.time FROM {exchange_rows.in_parts(table)} WHERE {terms}"
    steps = [row[3] for row in connection.execute(sql)]
    connection.close()
    assert [step for step in steps if f"{table} USING INDEX {table}_by_resource (<expr>=? AND resource_id=?)" in step], steps


async def test_what_is_about_one_resource_is_found_in_every_part_of_the_index(tmp_path: Path):
    file = ExchangeFile.open(tmp_path / "hub.db", keep_count=100_000, now=lambda: T2)
    for number in range(50_000):
        file.record(FIRST._replace(id=f"x{number}", resource_id="rare" if number % 9_999 == 0 else "often", request=b""))
        if number % 10_000 == 0:
            await file.flush()
    await file.flush()
    assert await ids(file, resource="rare") == ["x49995", "x39996", "x29997", "x19998", "x9999", "x0"]
    assert await ids(file, resource="rare", limit=2, until=T1) == ["x49995", "x39996"]
    assert await ids(file, resource="none") == []
    file.close()
