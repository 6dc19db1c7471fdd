"""The pull feed over its ASGI surface, on a real store."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from scimhub import clock
from scimhub.consumer import Replica
from scimhub.distribution.delivery import Subscription
from scimhub.distribution.feed import Cursors, Expired, Foreign, Good
from scimhub.distribution.snapshot import Pins
from scimhub.sqlstore.sqlite import backup
from scimhub.sqlstore.store import SqlStore
from scimhub.web.feed_api import FeedApi, Limits
from tests.consumer.hub import ROOT, TOKEN, Place, open_api, open_sqlite
from tests.keys import keep_secret
from tests.servers.running import PATIENCE

OTHER_TOKEN = "token-of-another-feed-of-the-tests"
EVENTS = "/feed/v1/acme/events"
SNAPSHOT = "/feed/v1/acme/snapshot"
Json = dict[str, Any]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    opened = open_sqlite(tmp_path)
    yield opened
    await opened.close()


@pytest.fixture
async def place(store: SqlStore) -> Place:
    return await Place.open(store)


@pytest.fixture
async def api(store: SqlStore) -> AsyncIterator[FeedApi]:
    opened = open_api(store, Limits(remembered=0))
    yield opened
    await opened.close()


def client_of(api: FeedApi, token: str | None = TOKEN) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(api, raise_app_exceptions=False)
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    return httpx.AsyncClient(transport=transport, base_url=ROOT, headers=headers, timeout=60)


@pytest.fixture
async def client(api: FeedApi) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(api) as opened:
        yield opened


async def page(client: httpx.AsyncClient, path: str = EVENTS, **query: Any) -> Json:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert len(answer.headers["x-request-id"]) == 36
    return answer.json()


def problem(answer: httpx.Response, status: int) -> Json:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.headers["x-request-id"]) == 36
    body = answer.json()
    assert body["status"] == status
    return body


def types(page: Json) -> list[str]:
    return [item["type"].removeprefix("scimhub.") for item in page["items"]]


# --------------------------------------------------------------------------- pages


async def test_a_page_has_the_events_in_order_and_says_where_to_go_on(place: Place, client: httpx.AsyncClient):
    await place.feed(cursor=0)
    user = await place.user("anna", title="boss")
    group = await place.group("staff", user)
    await place.set(user, active=False)
    first = await page(client, limit=2)
    assert types(first) == ["user.created", "group.created"]
    assert (first["up_to_date"], first["head"]) == (False, 3)
    assert [item["data"]["position"] for item in first["items"]] == [1, 2]
    assert first["items"][0]["subject"] == user
    assert first["items"][0]["source"] == "/directories/acme"
    assert first["items"][0]["data"]["resource"]["title"] == "boss"
    assert first["items"][0]["data"]["resource"]["meta"]["location"] == f"{ROOT}/scim/acme/v2/Users/{user}"
    assert first["items"][1]["data"]["members"] == {"added": [user], "removed": []}
    assert first["items"][1]["data"]["id"] == group
    second = await page(client, after=first["next"])
    assert (types(second), second["up_to_date"]) == (["user.deactivated"], True)
    last = await page(client, after=second["next"])
    assert (last["items"], last["up_to_date"], last["next"]) == ([], True, second["next"])


async def test_each_event_has_the_cursor_that_goes_on_behind_it(place: Place, client: httpx.AsyncClient):
    await place.feed(cursor=0)
    for name in ("anna", "ben", "cleo"):
        await place.user(name)
    items = (await page(client))["items"]
    again = await page(client, after=items[0]["cursor"])
    assert again["items"] == items[1:]
    assert (await page(client, after=items[2]["cursor"]))["items"] == []


async def test_all_parts_of_one_change_are_on_one_page(place: Place, client: httpx.AsyncClient):
    many = await crowd(place, 2120)
    await place.feed()
    await place.set(many[0], title="before")
    group = await place.group("large")
    await place.members(group, add=many)
    answered = await page(client, limit=3)
    parts = answered["items"][2:]
    assert [part["data"]["part"] for part in parts] == [1, 2, 3]
    assert sorted(id for part in parts for id in part["data"]["members"]["added"]) == sorted(many)
    # Whoever stops between two parts gets the whole change again.
    assert (await page(client, after=parts[1]["cursor"]))["items"] == parts
    assert (await page(client, after=parts[2]["cursor"]))["items"] == []


async def crowd(place: Place, count: int) -> list[str]:
    return list(await asyncio.gather(*(place.user(f"one of many {number}") for number in range(count))))


async def test_without_a_cursor_a_feed_goes_on_where_its_consumer_acknowledged_last(
    place: Place, store: SqlStore, client: httpx.AsyncClient, api: FeedApi
):
    await place.user("before the feed")
    made = await place.feed()
    await place.user("anna")
    first = await page(client)
    assert [item["data"]["resource"]["userName"] for item in first["items"]] == ["anna"]
    # Reading acknowledges nothing, presenting does.
    assert (await page(client))["items"] == first["items"]
    await page(client, after=first["next"])
    assert (await page(client))["items"] == []
    await place.user("ben")
    second = await page(client)
    assert [item["data"]["resource"]["userName"] for item in second["items"]] == ["ben"]
    await page(client, after=second["next"])
    await api.close()
    assert (await place.again(made)).cursor == 3
    async with client_of(open_api(store)) as restarted:
        assert (await page(restarted))["items"] == []


async def test_an_administrator_who_moves_the_cursor_is_heeded(place: Place, store: SqlStore, client: httpx.AsyncClient):
    made = await place.feed(cursor=0)
    await place.user("anna")
    await page(client, after=(await page(client))["next"])
    await store.move_cursor(made.key, 0, None)
    async with client_of(open_api(store)) as restarted:
        assert types(await page(restarted)) == ["user.created"]


async def test_acknowledgements_are_written_coarsely_and_the_last_one_too(place: Place, api: FeedApi):
    made = await place.feed(cursor=0)
    api._acknowledgements._every = 0.2
    async with client_of(api) as client:
        for number in range(3):
            await place.user(f"user{number}")
            await page(client, after=(await page(client))["next"])
        assert (await place.again(made)).cursor == 1
        async with asyncio.timeout(PATIENCE):
            while (await place.again(made)).cursor != 3:
                await asyncio.sleep(0.01)


# --------------------------------------------------------------------------- what is shown


async def test_the_filter_is_a_scope_and_a_group_that_enters_brings_its_members(place: Place, client: httpx.AsyncClient):
    wanted = Subscription(
        filters={"User": 'title eq "boss"', "Group": 'displayName sw "open"'}, attributes=("title", "members")
    )
    await place.feed(subscription=wanted)
    user = await place.user("anna", title="clerk")
    group = await place.group("hidden", user)
    assert (await page(client))["items"] == []
    await place.set(user, title="boss")
    await place.set(group, "Group", displayName="open")
    await place.set(user, title="clerk")
    entered, staff, left = (await page(client))["items"]
    assert (entered["type"], entered["data"]["cause"]) == ("scimhub.user.created", "scope")
    assert set(entered["data"]["resource"]) == {"id", "schemas", "title"}
    assert (staff["type"], staff["data"]["cause"]) == ("scimhub.group.created", "scope")
    assert staff["data"]["members"]["added"] == [user]
    assert (left["type"], left["data"]["cause"]) == ("scimhub.user.deleted", "scope")
    assert "resource" not in left["data"]


async def test_types_narrow_one_request(place: Place, client: httpx.AsyncClient):
    await place.feed(cursor=0, subscription=Subscription(types=("user.*", "group.deleted")))
    user = await place.user("anna")
    group = await place.group("staff", user)
    await place.delete("Group", group)
    assert types(await page(client)) == ["user.created", "group.deleted"]
    assert types(await page(client, types="group.*")) == ["group.deleted"]
    assert types(await page(client, types="user.deleted,group.created")) == []
    refused = problem(await client.get(EVENTS, params={"types": "user.invented"}), 400)
    assert "user.invented" in refused["problems"][0]


async def test_a_feed_shows_its_own_directory_only_and_its_cursor_moves_on(place: Place, client: httpx.AsyncClient):
    await place.feed(cursor=0)
    elsewhere = await Place.open(place.store, "elsewhere")
    for number in range(5):
        await elsewhere.user(f"stranger{number}")
    answered = await page(client)
    assert (answered["items"], answered["up_to_date"], answered["head"]) == ([], True, 5)
    await place.user("anna")
    assert types(await page(client, after=answered["next"])) == ["user.created"]


COPIES = """
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
INSERT INTO changes (id, operation, directory, kind, resource_id, version, source, exchange_id, time, after)
SELECT c.id || '-' || i, c.operation, c.directory, c.kind, c.resource_id, c.version, c.source, c.exchange_id, c.time, c.after
FROM changes AS c, n WHERE c.position = ?1"""


async def test_a_page_looks_through_a_bounded_range(place: Place, store: SqlStore, client: httpx.AsyncClient):
    await place.feed(cursor=0)
    elsewhere = await Place.open(store, "elsewhere")
    await elsewhere.user("stranger")
    await store.database.write(lambda connection: connection.fetch(COPIES, (1, 10_500)))
    await place.user("anna")
    first = await page(client)
    assert (first["items"], first["up_to_date"], first["head"]) == ([], False, 10_502)
    second = await page(client, after=first["next"])
    assert (types(second), second["up_to_date"]) == (["user.created"], True)
    # Who waits is not sent away with nothing for that.
    assert types(await page(client, wait=30)) == ["user.created"]


async def test_a_page_is_full_when_it_is_large(place: Place, client: httpx.AsyncClient):
    await place.feed(cursor=0)
    for number in range(6):
        await place.user(f"user{number}", title="x" * 900_000)
    first = await page(client)
    assert (len(first["items"]), first["up_to_date"]) == (5, False)
    assert len((await page(client, after=first["next"]))["items"]) == 1


# --------------------------------------------------------------------------- waiting


async def test_ten_long_polls_are_woken_by_one_commit(place: Place, client: httpx.AsyncClient, api: FeedApi):
    await place.feed()
    polls = [asyncio.create_task(page(client, wait=30)) for _ in range(10)]
    await until(lambda: sum(api._open.values()) == 10)
    # Of no interest: nobody is woken for good.
    await (await Place.open(place.store, "elsewhere")).user("stranger")
    async with asyncio.timeout(PATIENCE):
        await place.user("anna")
        answers = await asyncio.gather(*polls)
    assert [types(answer) for answer in answers] == [["user.created"]] * 10
    assert len(place.store.database._wakes) == 1


async def until(condition: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_long_poll_that_sees_nothing_ends_when_its_time_is_over(place: Place, client: httpx.AsyncClient):
    await place.feed()
    answered = await page(client, wait=1)
    assert (answered["items"], answered["up_to_date"]) == ([], True)


async def test_stopping_ends_long_polls(place: Place, client: httpx.AsyncClient, api: FeedApi):
    await place.feed()
    poll = asyncio.create_task(page(client, wait=30))
    await until(lambda: sum(api._open.values()) == 1)
    # Well before the poll's own end.
    async with asyncio.timeout(20):
        await api.close()
        assert (await poll)["items"] == []


async def test_a_feed_has_only_so_many_readers(place: Place, store: SqlStore):
    await place.feed()
    api = open_api(store, Limits(readers=1))
    async with client_of(api) as client:
        poll = asyncio.create_task(page(client, wait=30))
        await until(lambda: sum(api._open.values()) == 1)
        crowded = await client.get(EVENTS)
        assert problem(crowded, 429)["detail"].startswith("The feed has too many readers")
        assert crowded.headers["retry-after"] == "5"
        await api.close()
        await poll
        assert api._open.total() == 0


async def test_a_feed_that_changes_during_a_long_poll_is_gone(place: Place, store: SqlStore):
    made = await place.feed()
    api = open_api(store, Limits(remembered=0))
    async with client_of(api) as client:
        poll = asyncio.create_task(client.get(EVENTS, params={"wait": 30}))
        await until(lambda: sum(api._open.values()) == 1)
        await store.update_destination(made.key, {}, Subscription(types=("group.*",)), clock.now_text())
        await place.user("anna")
        problem(await poll, 410)
        await api.close()


# --------------------------------------------------------------------------- who may read


async def test_wrong_or_absent_tokens_are_refused(place: Place, api: FeedApi):
    await place.feed()
    async with client_of(api, None) as anonymous:
        absent = await anonymous.get(EVENTS)
    problem(absent, 401)
    assert absent.headers["www-authenticate"] == 'Bearer realm="scimhub"'
    async with client_of(api, "a-token-that-nobody-made") as stranger:
        wrong = await stranger.get(EVENTS)
    problem(wrong, 401)
    assert wrong.headers["www-authenticate"] == 'Bearer realm="scimhub", error="invalid_token"'
    async with client_of(api) as client:
        in_url = await client.get(EVENTS, params={"access_token": TOKEN})
    problem(in_url, 400)


async def test_another_directory_is_forbidden_whether_it_exists(place: Place, client: httpx.AsyncClient):
    await place.feed()
    await Place.open(place.store, "elsewhere")
    answers = [
        await client.get(f"/feed/v1/{name}/{what}") for name in ("elsewhere", "nowhere") for what in ("events", "snapshot")
    ]
    bodies = [problem(answer, 403) for answer in answers]
    assert all(body == bodies[0] for body in bodies)
    assert {answer.headers["www-authenticate"] for answer in answers} == {'Bearer realm="scimhub", error="insufficient_scope"'}


async def test_a_revoked_token_is_refused_within_a_second(place: Place, store: SqlStore):
    # The one test that waits for the second that a token is remembered.
    made = await place.feed()
    client = client_of(open_api(store))
    await page(client)
    new = await keep_secret(store, made.key, "token", b"x" * 32, "xxxx", clock.now_text())
    await store.expire_secrets(made.key, "token", new.id, clock.now_text())
    async with asyncio.timeout(3):
        while (await client.get(EVENTS)).status_code == 200:
            await asyncio.sleep(0.05)
    problem(await client.get(EVENTS), 401)


async def test_a_paused_feed_asks_for_patience_and_keeps_its_place(place: Place, store: SqlStore, api: FeedApi):
    made = await place.feed(cursor=0)
    await place.user("anna")
    await store.set_state(made.key, "paused", "maintenance", clock.now_text())
    async with client_of(api) as client:
        for path in (EVENTS, SNAPSHOT):
            answer = await client.get(path)
            assert "maintenance" in problem(answer, 503)["detail"]
            assert answer.headers["retry-after"] == "30"
        await store.set_state(made.key, "active", "", clock.now_text())
        assert types(await page(client)) == ["user.created"]


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
async def test_only_get_is_possible(place: Place, client: httpx.AsyncClient, method: str):
    await place.feed()
    answer = await client.request(method, EVENTS)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize("path", ["/feed/v1/acme", "/feed/v1/acme/", "/feed/v1/acme/other", "/feed/v1/acme/events/x"])
async def test_other_paths_are_not_found(place: Place, client: httpx.AsyncClient, path: str):
    problem(await client.get(path), 404)


@pytest.mark.parametrize(
    "query, told",
    [
        ("limit=0", ["limit"]),
        ("limit=1001", ["limit"]),
        ("limit=ten", ["limit"]),
        ("limit=%2B5", ["limit"]),
        ("limit=", ["limit"]),
        ("wait=31", ["wait"]),
        ("wait=-1&limit=x&typo=1", ["typo", "limit", "wait"]),
        ("after=a&after=b", ["after"]),
        ("after=%ff", ["percent-encoded"]),
    ],
)
async def test_bad_parameters_are_named_each(place: Place, client: httpx.AsyncClient, query: str, told: list[str]):
    await place.feed()
    body = problem(await client.get(f"{EVENTS}?{query}"), 400)
    assert len(body["problems"]) == len(told)
    assert all(name in sentence for name, sentence in zip(told, body["problems"], strict=True))


async def test_a_snapshot_takes_no_parameters(place: Place, client: httpx.AsyncClient):
    await place.feed()
    problem(await client.get(f"{SNAPSHOT}?limit=5"), 400)


# --------------------------------------------------------------------------- cursors that lead nowhere


def gone(answer: httpx.Response) -> str:
    body = problem(answer, 410)
    assert body["snapshot"] == f"{ROOT}{SNAPSHOT}"
    assert answer.headers["link"] == f'<{ROOT}{SNAPSHOT}>; rel="snapshot"'
    return body["detail"]


async def test_a_tampered_or_foreign_cursor_is_gone(place: Place, client: httpx.AsyncClient, api: FeedApi):
    await place.feed(cursor=0)
    await place.feed("another", OTHER_TOKEN, cursor=0)
    await place.user("anna")
    ours = (await page(client))["next"]
    async with client_of(api, OTHER_TOKEN) as other:
        theirs = (await page(other))["next"]
    body, _, signature = ours.partition(".")
    other_body, _, _ = theirs.partition(".")
    flipped = signature[:-2] + ("A" if signature[-2] != "A" else "B") + signature[-1]
    for cursor in (
        theirs,
        body,
        f"{body}.",
        f"{other_body}.{signature}",
        f"{body}.{flipped}",
        f"{ours}=",
        "1",
        "é",
        "." * 5000,
    ):
        assert "not given out" in gone(await client.get(EVENTS, params={"after": cursor})), cursor
    assert (await page(client, after=ours))["items"] == []


async def test_a_cursor_of_the_time_before_a_restore_is_gone(
    place: Place, store: SqlStore, client: httpx.AsyncClient, tmp_path: Path
):
    await place.feed(cursor=0)
    await place.user("anna")
    cursor = (await page(client))["next"]
    await store.back_up(tmp_path / "backup.db")
    restored_to = tmp_path / "restored" / "hub.db"
    restored_to.parent.mkdir()
    backup.restore(tmp_path / "backup.db", restored_to, os.urandom)
    restored = open_sqlite(restored_to.parent)
    try:
        async with client_of(open_api(restored)) as again:
            assert "by this hub as it is now" in gone(await again.get(EVENTS, params={"after": cursor}))
    finally:
        await restored.close()


def test_another_epoch_or_a_position_that_was_never_reached_is_expired():
    cursors = Cursors(b"secret", "e1", "d1", 1)
    written = cursors.write(7)
    assert cursors.parse(written, purged=7, head=7) == Good(7)
    assert isinstance(cursors.parse(written, purged=8, head=8), Expired)
    assert isinstance(cursors.parse(written, purged=0, head=6), Expired)
    assert isinstance(replace(cursors, epoch="e2").parse(written, 0, 9), Expired)
    assert isinstance(replace(cursors, subscription_version=2).parse(written, 0, 9), Expired)
    assert isinstance(replace(cursors, destination="d2").parse(written, 0, 9), Foreign)
    assert isinstance(replace(cursors, secret=b"another").parse(written, 0, 9), Foreign)


async def test_another_subscription_makes_cursors_void(place: Place, store: SqlStore, api: FeedApi, client: httpx.AsyncClient):
    made = await place.feed(cursor=0)
    cursor = (await page(client))["next"]
    await store.update_destination(made.key, {}, Subscription(attributes=("userName",)), clock.now_text())
    assert "subscription has changed" in gone(await client.get(EVENTS, params={"after": cursor}))


async def test_what_retention_took_is_gone_with_and_without_a_cursor(place: Place, store: SqlStore, client: httpx.AsyncClient):
    await place.feed(cursor=0)
    for name in ("anna", "ben", "cleo"):
        await place.user(name)
    items = (await page(client))["items"]
    await store.purge_changes(2)
    assert "up to 2" in gone(await client.get(EVENTS, params={"after": items[0]["cursor"]}))
    gone(await client.get(EVENTS))
    assert (await page(client, after=items[1]["cursor"]))["items"] == items[2:]


async def test_a_feed_that_is_behind_is_gone_until_a_snapshot_was_read(place: Place, store: SqlStore, api: FeedApi):
    made = await place.feed(cursor=0)
    await place.user("anna")
    async with client_of(api) as client:
        cursor = (await page(client))["next"]
        await store.set_state(made.key, "behind", "It did not read for 30 days.", clock.now_text())
        assert "30 days" in gone(await client.get(EVENTS, params={"after": cursor}))
        lines = await snapshot_of(client)
        assert (await page(client, after=lines[0]["cursor"]))["items"] == []
    again = await place.again(made)
    assert (again.state, again.cursor) == ("active", 1)


# --------------------------------------------------------------------------- snapshots


async def snapshot_of(client: httpx.AsyncClient) -> list[Json]:
    answer = await client.get(SNAPSHOT)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert len(answer.headers["x-request-id"]) == 36
    return [httpx.Response(200, content=line).json() for line in answer.text.splitlines()]


async def test_a_snapshot_has_what_is_in_scope_and_an_end(place: Place, client: httpx.AsyncClient):
    wanted = Subscription(filters={"User": "active ne false"}, attributes=("userName", "displayName", "members"))
    await place.feed(subscription=wanted)
    anna = await place.user("anna", title="boss", externalId="x-anna")
    ben = await place.user("ben", active=False)
    # Of an identity provider's connection test (DECISIONS 21).
    await place.user("jctest.1@example.com")
    group = await place.group("staff", anna, ben)
    head, first, staff, members, end = await snapshot_of(client)
    assert (head["snapshot"], head["position"], head["directory"]) == (1, 4, "acme")
    assert (first["resourceType"], first["id"], first["version"]) == ("User", anna, 1)
    assert {name: value for name, value in first["resource"].items() if name != "schemas"} == {"id": anna, "userName": "anna"}
    assert staff["resource"]["displayName"] == "staff"
    assert members == {"resourceType": "Group", "id": group, "version": 1, "members": [anna, ben]}
    assert end == {"end": True, "resources": 2, "members": 2}
    assert (await page(client, after=head["cursor"]))["items"] == []


async def test_members_come_in_lines_of_a_thousand_and_only_if_they_may_be_seen(
    place: Place, api: FeedApi, client: httpx.AsyncClient
):
    await place.feed()
    await place.feed("narrow", OTHER_TOKEN, subscription=Subscription(attributes=("displayName",)))
    many = await crowd(place, 2300)
    await place.group("large", *many)
    lines = await snapshot_of(client)
    assert [len(line["members"]) for line in lines if "members" in line and "id" in line] == [1000, 1000, 300]
    assert lines[-1] == {"end": True, "resources": 2301, "members": 2300}
    with Replica() as replica:
        assert replica.replace(lines) == 2301
        assert len(replica.parked()) == 0
    async with client_of(api, OTHER_TOKEN) as narrow:
        assert (await snapshot_of(narrow))[-1] == {"end": True, "resources": 2301, "members": 0}


async def test_retention_is_pinned_while_a_snapshot_runs(place: Place, store: SqlStore):
    await place.feed()
    await crowd(place, 700)
    pins = Pins(store, "node")
    api = open_api(store, pins=pins)
    seen: list[int | None] = []

    async def send(message: Any) -> None:
        seen.append(await pins.lowest())

    async def receive() -> Any:
        await asyncio.Event().wait()

    await api(scope(SNAPSHOT), receive, send)
    assert len(seen) >= 4
    assert set(seen) == {700}
    assert await pins.lowest() is None
    await api.close()


def scope(path: str, **headers: str) -> Json:
    pairs = {"authorization": f"Bearer {TOKEN}", **headers}
    return {
        "type": "http",
        "method": "GET",
        "path": path,
        "scheme": "http",
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in pairs.items()],
    }


async def test_pins_hold_the_lowest_position_and_may_be_held_twice(store: SqlStore):
    pins = Pins(store, "node")
    async with pins.hold(5), pins.hold(3):
        async with pins.hold(3):
            assert await pins.lowest() == 3
        assert await pins.lowest() == 3
    assert await pins.lowest() is None


async def test_a_feed_has_only_so_many_snapshots_at_once(place: Place, store: SqlStore):
    await place.feed()
    api = open_api(store, Limits(snapshots=1))
    free = asyncio.Event()

    async def send(message: Any) -> None:
        await free.wait()

    async def receive() -> Any:
        await asyncio.Event().wait()

    running = asyncio.create_task(api(scope(SNAPSHOT), receive, send))
    await until(lambda: sum(api._open.values()) == 1)
    async with client_of(api) as client:
        problem(await client.get(SNAPSHOT), 429)
        free.set()
        await running
        await snapshot_of(client)
    await api.close()
