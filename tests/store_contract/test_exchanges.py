"""Exchanges and attempts: batched, bounded, newest first, and never in the way, in a file or in tables."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from scimhub.exchanges.records import Body, Search
from scimhub.sqlstore.exchanges import Exchanges, open_exchanges
from scimhub.sqlstore.store import SqlStore
from tests.store_contract.harness import T1, T2
from tests.store_contract.recorded import FIRST, KEPT, TRY, ids

Open = Callable[..., Awaitable[Exchanges]]


@pytest.fixture
async def open_recording(store: SqlStore, url: str | Path) -> AsyncIterator[Open]:
    """Opens the exchanges of the one database, with other options each time."""
    opened: list[Exchanges] = []

    async def open_it(**options: object) -> Exchanges:
        opened.append(await open_exchanges(url, **({"now": lambda: T2} | options)))
        return opened[-1]

    yield open_it
    for each in opened:
        await each.close()


@pytest.fixture
async def recording(open_recording: Open) -> Exchanges:
    return await open_recording()


async def test_what_was_recorded_is_read_back_redacted(recording: Exchanges):
    assert recording.record(FIRST)
    await recording.flush()
    assert (await recording.search(Search())).exchanges == [KEPT]
    assert await recording.find(["x1", "x2"]) == [KEPT]


async def test_exchanges_are_listed_newest_first_and_narrowed(recording: Exchanges):
    for exchange in (
        FIRST,
        FIRST._replace(id="x2", source="entra", time=T1),
        FIRST._replace(id="x3", status=409, time=T1),
        FIRST._replace(id="x4", directory="other", status=500, time=T2),
    ):
        recording.record(exchange)
    await recording.flush()
    assert await ids(recording) == ["x4", "x3", "x2", "x1"]
    assert await ids(recording, limit=2) == ["x4", "x3"]
    assert await ids(recording, directory="acme") == ["x3", "x2", "x1"]
    assert await ids(recording, directory="acme", source="okta") == ["x3", "x1"]
    assert await ids(recording, errors_only=True) == ["x4", "x3"]
    assert await ids(recording, status=201) == ["x2", "x1"]
    assert await ids(recording, since=T1) == ["x4", "x3", "x2"]
    assert await ids(recording, until=T1) == ["x1"]
    assert await ids(recording, since=T1, until=T2) == ["x3", "x2"]


async def test_closing_writes_what_waits(open_recording: Open):
    recording = await open_recording()
    for number in range(2500):
        recording.record(FIRST._replace(id=f"x{number}"))
    await recording.close()
    await recording.close()
    assert not recording.record(FIRST)
    assert recording.dropped == 1
    await recording.flush()
    again = await open_recording()
    assert len(await ids(again, limit=5000)) == 2500
    await again.close()


async def test_a_burst_beyond_the_queue_is_dropped_and_counted(open_recording: Open):
    recording = await open_recording(most_waiting=0)
    assert not recording.record(FIRST)
    assert recording.dropped == 1
    await recording.flush()
    assert await ids(recording) == []


async def test_exchanges_are_searched_by_method_resource_and_text(recording: Exchanges):
    for exchange in (
        FIRST._replace(request='{"displayName":"JÜRGEN Öz"}'.encode(), request_size=28),
        FIRST._replace(id="x2", method="PATCH", resource_kind="Group", resource_id="g1", answer=b'{"a":"Needle"}'),
        FIRST._replace(id="x3", path="/scim/acme/v2/Users/needle", resource_id="", query=b"", detail="Not found."),
    ):
        recording.record(exchange)
    await recording.flush()
    assert await ids(recording, method="patch") == ["x2"]
    assert await ids(recording, resource="g1") == ["x2"]
    assert await ids(recording, kind="user") == ["x3", "x1"]
    assert await ids(recording, text="NEEDLE") == ["x3", "x2"]
    assert await ids(recording, text="jürgen ö") == ["x1"]
    assert await ids(recording, text="not FOUND") == ["x3"]
    assert await ids(recording, text="username", source="okta", method="POST") == ["x3", "x1"]
    assert await ids(recording, text="100%_") == []


async def test_a_search_says_where_it_stopped(open_recording: Open):
    recording = await open_recording(most_searched=5)
    for number in range(10):
        recording.record(
            FIRST._replace(id=f"x{number}", time=f"2026-11-23T20:00:0{number}.000Z", status=500 if number < 2 else 201)
        )
    await recording.flush()
    found = await recording.search(Search(status=500))
    assert (found.exchanges, found.searched_to) == ([], "2026-11-23T20:00:05.000Z")
    assert (await recording.search(Search(status=201), limit=3)).searched_to is None


async def test_a_time_range_is_found_without_looking_at_what_is_newer(open_recording: Open):
    recording = await open_recording(most_searched=1500)
    for number in range(6000):
        time = f"2026-11-23T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}.000Z"
        recording.record(FIRST._replace(id=f"x{number}", time=time))
    await recording.flush()
    assert await ids(recording, since="2026-11-23T00:10:00.000Z", until="2026-11-23T00:10:03.000Z") == ["x602", "x601", "x600"]


async def test_redaction_that_fails_keeps_the_rest(recording: Exchanges):
    recording.record(FIRST._replace(query=None))  # type: ignore[arg-type]
    recording.record(FIRST._replace(id="x2", headers=7))  # type: ignore[arg-type]
    await recording.flush()
    assert [(each.id, each.headers, each.request) for each in (await recording.search(Search())).exchanges] == [
        ("x2", {}, Body(None, 18)),
        ("x1", {"user-agent": "Okta"}, Body('{"userName":"ada"}', 18)),
    ]


async def test_with_off_nothing_is_recorded(open_recording: Open):
    recording = await open_recording(content="off")
    assert not recording.is_on
    assert recording.record(FIRST)
    await recording.flush()
    assert await ids(recording) == []


async def test_attempts_are_kept_and_listed_newest_first(recording: Exchanges):
    run = TRY._replace(resource_id="g1", first_position=6, position=9, number=1, outcome="delivered", status=200)
    for attempt in (TRY, TRY._replace(number=2, outcome="delivered", status=200), TRY._replace(destination="audit"), run):
        assert recording.record_attempts([attempt])
    await recording.flush()
    assert await recording.list_attempts(limit=1) == [run]
    assert [each.number for each in await recording.list_attempts(destination="crm", resource_id="u1")] == [2, 1]
    assert await recording.list_attempts(resource_id="g1", positions=(8, 8)) == [run]
    assert await recording.list_attempts(positions=(9, 20), directory="acme") == [run]
    assert await recording.list_attempts(positions=(10, 20)) == []
    assert await recording.list_attempts(destination="crm", failed_only=True) == [TRY]
    assert await recording.list_attempts(directory="other") == []


@pytest.mark.parametrize("what", ["exchanges", "attempts"])
async def test_about_so_many_are_kept_and_only_so_long(open_recording: Open, what: str):
    recording = await open_recording(keep_count=1000, keep_days=2)
    times = ["2026-11-20T00:00:00.000Z", *(f"2026-11-23T11:{n // 60:02}:{n % 60:02}.000Z" for n in range(3000))]
    for n, time in enumerate(times):
        if what == "exchanges":
            recording.record(FIRST._replace(id=time, time=time))
        else:
            recording.record_attempts([TRY._replace(time=time)])
        if n % 500 == 0:
            await recording.flush()
            kept = (
                await ids(recording, 5000)
                if what == "exchanges"
                else [each.time for each in await recording.list_attempts(limit=5000)]
            )
            # The newest without a gap, and none that is too old.
            assert kept == times[1 : n + 1][::-1][: len(kept)]
            assert min(n, 800) <= len(kept) <= 1000
    assert recording.dropped == 0
