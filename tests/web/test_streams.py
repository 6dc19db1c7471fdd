"""Server-sent events and snapshots over real connections: resuming, silence, slow readers, stopping."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from scimhub import clock
from scimhub.sqlstore.store import SqlStore
from scimhub.web.feed_api import FeedApi, Limits
from tests.consumer.hub import TOKEN, Place, Served, open_api, open_sqlite
from tests.keys import keep_secret
from tests.servers.running import PATIENCE

PATH = "/feed/v1/acme/events"
Json = dict[str, Any]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    opened = open_sqlite(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def place(store: SqlStore) -> Place:
    return await Place.open(store)


@dataclass
class Running:
    api: FeedApi
    served: Served

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.served.port}{PATH}"


@asynccontextmanager
async def running(store: SqlStore, limits: Limits | None = None) -> AsyncIterator[Running]:
    api = open_api(store, limits)
    served = await Served.start(api)
    yield Running(api, served)
    await api.close()
    async with asyncio.timeout(PATIENCE):
        await served.stop()


@dataclass
class Frame:
    id: str = ""
    event: str = ""
    data: Json = field(default_factory=dict)
    comment: str = ""
    retry: str = ""


@asynccontextmanager
async def stream(hub: Running, last: str | None = None, **query: Any) -> AsyncIterator[AsyncIterator[Frame]]:
    headers = {"authorization": f"Bearer {TOKEN}", "accept": "text/event-stream"}
    if last is not None:
        headers["last-event-id"] = last
    async with (
        httpx.AsyncClient(timeout=30, verify=False) as client,
        client.stream("GET", hub.url, headers=headers, params=query) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        assert len(answer.headers["x-request-id"]) == 36
        yield frames(answer)


async def frames(answer: httpx.Response) -> AsyncIterator[Frame]:
    frame = Frame()
    async for line in answer.aiter_lines():
        if not line:
            yield frame
            frame = Frame()
            continue
        name, _, value = line.partition(": ")
        setattr(frame, name or "comment", json.loads(value) if name == "data" else value)


async def events(source: AsyncIterator[Frame], count: int) -> list[Frame]:
    found: list[Frame] = []
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            frame = await anext(source)
            if frame.event:
                found.append(frame)
    return found


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_stream_begins_with_what_is_there_and_goes_on_with_what_comes(place: Place, store: SqlStore):
    await place.feed(cursor=0)
    await place.user("anna")
    async with running(store) as hub, stream(hub) as source:
        assert (await anext(source)).retry == "1000"
        (first,) = await events(source, 1)
        assert (first.event, first.data["type"]) == ("scimhub.user.created", "scimhub.user.created")
        assert first.id == first.data["cursor"]
        await place.user("ben")
        (second,) = await events(source, 1)
        assert second.data["data"]["resource"]["userName"] == "ben"


async def test_a_stream_resumes_behind_the_last_event(place: Place, store: SqlStore):
    made = await place.feed(cursor=0)
    for name in ("anna", "ben", "cleo"):
        await place.user(name)
    async with running(store) as hub:
        async with stream(hub) as source:
            found = await events(source, 3)
        # The header wins: EventSource repeats the URL that it began with.
        async with stream(hub, last=found[1].id, after=found[0].id) as source:
            (again,) = await events(source, 1)
            assert again == found[2]
        async with stream(hub, after=found[0].id, types="user.created") as source:
            assert await events(source, 2) == found[1:]
    assert (await place.again(made)).cursor == 2


async def test_silence_is_filled_with_comments_that_move_the_id(place: Place, store: SqlStore):
    await place.feed(cursor=0)
    elsewhere = await Place.open(store, "elsewhere")
    async with running(store, Limits(keep_alive=0.05)) as hub:
        async with stream(hub) as source:
            await elsewhere.user("stranger")
            async with asyncio.timeout(PATIENCE):
                quiet = [frame async for frame in _first(source, 6)]
            assert {frame.comment for frame in quiet[1:]} == {"keep-alive"}
            assert len({frame.id for frame in quiet[1:]} - {""}) <= 2
        await place.user("anna")
        async with stream(hub, last=quiet[-1].id) as source:
            (first,) = await events(source, 1)
            assert first.data["data"]["position"] == 2


async def _first(source: AsyncIterator[Frame], count: int) -> AsyncIterator[Frame]:
    for _ in range(count):
        yield await anext(source)


async def test_a_cursor_that_leads_nowhere_is_gone_before_a_stream_begins(place: Place, store: SqlStore):
    await place.feed()
    async with running(store) as hub, httpx.AsyncClient(verify=False) as client:
        headers = {"authorization": f"Bearer {TOKEN}", "accept": "text/event-stream", "last-event-id": "nonsense"}
        answer = await client.get(hub.url, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (410, "application/problem+json")


@pytest.mark.parametrize("act", ["revoke", "pause", "delete", "change"])
async def test_a_stream_ends_soon_after_its_right_has_ended(place: Place, store: SqlStore, act: str):
    made = await place.feed()
    now = clock.now_text()
    async with running(store, Limits(recheck=0.05, remembered=0)) as hub, stream(hub) as source:
        assert (await anext(source)).retry == "1000"
        match act:
            case "revoke":
                new = await keep_secret(store, made.key, "token", b"x" * 32, "xxxx", now)
                await store.expire_secrets(made.key, "token", new.id, now)
            case "pause":
                await store.set_state(made.key, "paused", "", now)
            case "delete":
                await store.delete_destination(made.key)
            case "change":
                from scimhub.distribution.delivery import Subscription

                await store.update_destination(made.key, {}, Subscription(types=("user.*",)), now)
        async with asyncio.timeout(PATIENCE):
            rest = [frame async for frame in source]
        assert [frame.retry for frame in rest] == ["2000"]


async def test_a_stream_ends_after_its_time_so_that_the_return_acknowledges(place: Place, store: SqlStore):
    await place.feed()
    async with running(store, Limits(stream=0.1)) as hub, stream(hub) as source:
        async with asyncio.timeout(PATIENCE):
            assert [frame.retry async for frame in source] == ["1000", "2000"]


async def test_stopping_ends_streams_with_a_hint(place: Place, store: SqlStore):
    await place.feed()
    async with running(store) as hub:
        async with stream(hub) as source:
            assert (await anext(source)).retry == "1000"
            hub.api.stop()
            async with asyncio.timeout(PATIENCE):
                assert [frame.retry async for frame in source] == ["2000"]
        assert hub.api._open.total() == 0


async def test_a_client_that_goes_is_noticed_without_a_write(place: Place, store: SqlStore):
    await place.feed()
    async with running(store) as hub:
        async with stream(hub) as source:
            await anext(source)
            assert hub.api._open.total() == 1
        await until(lambda: hub.api._open.total() == 0)


@pytest.mark.parametrize("what", ["events", "snapshot"])
async def test_a_client_that_does_not_read_is_cut_and_costs_others_nothing(place: Place, store: SqlStore, what: str):
    await place.feed(cursor=0)
    for number in range(30):
        await place.user(f"user{number}", title="x" * 500_000)
    async with running(store, Limits(patience=0.3)) as hub:
        reader, writer = await asyncio.open_connection("127.0.0.1", hub.served.port, limit=1024)
        head = [f"GET /feed/v1/acme/{what} HTTP/1.1", "Host: x", f"Authorization: Bearer {TOKEN}", "Accept: text/event-stream"]
        writer.write("\r\n".join([*head, "", ""]).encode())
        await until(lambda: hub.api._open.total() == 1)
        begun = asyncio.get_running_loop().time()
        async with httpx.AsyncClient(timeout=PATIENCE, verify=False) as client:
            answer = await client.get(hub.url, headers={"authorization": f"Bearer {TOKEN}"}, params={"limit": 1})
            assert len(answer.json()["items"]) == 1
        await until(lambda: hub.api._open.total() == 0)
        # Without ``patience`` it would be thirty.
        assert asyncio.get_running_loop().time() - begun < 20
        # What had been written is still there to read; then the connection is closed, without the end that counts.
        async with asyncio.timeout(PATIENCE):
            received = b""
            while block := await reader.read(1 << 20):
                received += block
        assert len(received) < 12_000_000
        assert b'"end":true' not in received
        writer.close()
        await writer.wait_closed()
