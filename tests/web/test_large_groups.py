"""A group with very many members goes out piece by piece, and is of one version or not whole."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from scimhub import app
from scimhub.app import Hub
from scimhub.directory import streaming
from scimhub.directory.intents import Actor
from scimhub.settings import Settings
from tests.servers.postgres import Server
from tests.store_contract.harness import T0, Desk

TOKEN = "bootstrap-token-of-the-tests"
COUNT = 2 * streaming.MANY + 500
Json = dict[str, Any]


@dataclass
class Answer:
    """What an ASGI application sent. ``is_whole``: it said that this was all."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    is_whole: bool = False

    @property
    def json(self) -> Json:
        assert self.is_whole
        parsed: Json = json.loads(b"".join(self.pieces))
        return parsed


@dataclass
class Place:
    """A hub with a group of many users; ``ids`` are theirs."""

    hub: Hub
    desk: Desk
    group: str
    ids: list[str]

    async def ask(
        self, path: str, method: str = "GET", after_head: Callable[[], Awaitable[object]] | None = None, **headers: str
    ) -> Answer:
        """The answer; ``after_head`` is done when the first piece is out."""
        answer = Answer()
        path, _, query = path.partition("?")
        given = {"authorization": f"Bearer {TOKEN}", "host": "hub.example", **headers}
        scope = {
            "type": "http",
            "method": method,
            "path": f"/scim/default/v2{path}",
            "scheme": "https",
            "query_string": query.encode(),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in given.items()],
        }

        async def receive() -> Json:
            await asyncio.Event().wait()
            raise AssertionError("the client stays")

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
                return
            if message["body"]:
                answer.pieces.append(message["body"])
            answer.is_whole = not message.get("more_body", False)
            if after_head is not None and len(answer.pieces) == 1:
                await after_head()

        await self.hub.application(scope, receive, send)
        return answer


@pytest.fixture(params=["sqlite", "postgres"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    url = str(tmp_path / "hub.db")
    server: Server | None = None
    if request.param == "postgres":
        server = request.getfixturevalue("postgres_server")
        url = await server.create_database()
    settings = Settings(database=url, data=tmp_path, bootstrap_token=TOKEN, database_connections=5)
    async with app.open_hub(settings) as hub:
        directory = await hub.store.find_directory("default")
        assert directory is not None
        [source] = await hub.store.list_sources(directory.key)
        desk = Desk(hub.store, directory, source, Actor(directory.key, source.key, "exchange", T0))
        users = await asyncio.gather(*(desk.user(f"user{number:05}") for number in range(COUNT)))
        ids = [one.id for one in sorted(users, key=lambda one: one.key)]
        group = await desk.group("Everybody", *ids)
        yield Place(hub, desk, group.id, ids)
    if server is not None:
        await server.drop_database(url)


async def test_a_large_group_is_whole_and_comes_in_pieces(place: Place):
    answer = await place.ask(f"/Groups/{place.group}")
    assert answer.status == 200
    assert "content-length" not in answer.headers
    assert answer.headers["content-type"] == "application/scim+json"
    assert answer.headers["etag"] == answer.json["meta"]["version"]
    assert answer.headers["content-location"] == f"https://hub.example/scim/default/v2/Groups/{place.group}"
    assert [member["value"] for member in answer.json["members"]] == place.ids
    first = answer.json["members"][0]
    assert first == {"value": place.ids[0], "$ref": f"https://hub.example/scim/default/v2/Users/{place.ids[0]}", "type": "User"}
    assert answer.json["displayName"] == "Everybody"
    assert len(answer.pieces) >= 4
    assert max(map(len, answer.pieces)) < 1_000_000


async def test_a_small_group_is_answered_at_once_with_its_length(place: Place):
    few = await place.desk.group("Few", *place.ids[:3])
    answer = await place.ask(f"/Groups/{few.id}")
    assert (len(answer.pieces), len(answer.json["members"])) == (1, 3)
    assert answer.headers["content-length"] == str(len(answer.pieces[0]))
    nobody = await place.desk.group("Nobody")
    assert "members" not in (await place.ask(f"/Groups/{nobody.id}")).json


async def test_what_is_not_asked_for_is_not_told(place: Place):
    head = await place.ask(f"/Groups/{place.group}", "HEAD")
    assert (head.status, head.pieces, head.is_whole) == (200, [], True)
    assert "content-length" not in head.headers
    known = await place.ask(f"/Groups/{place.group}", if_none_match=head.headers["etag"])
    assert (known.status, known.pieces) == (304, [])
    without = await place.ask(f"/Groups/{place.group}?excludedAttributes=members")
    assert (set(without.json), "content-length" in without.headers) == ({"id", "meta", "displayName"}, True)
    values = await place.ask(f"/Groups/{place.group}?attributes=members.value")
    assert set(values.json) == {"id", "members"}
    assert values.json["members"] == [{"value": id} for id in place.ids]
    nothing = await place.ask(f"/Groups/{place.group}?attributes=displayName")
    assert set(nothing.json) == {"id", "displayName"}


async def test_a_change_in_the_middle_is_not_seen(place: Place):
    async def change() -> None:
        await place.desk.edit(place.group, remove=(place.ids[-1],))
        more = await place.desk.user("newcomer")
        await place.desk.edit(place.group, add=(more.id,))

    answer = await place.ask(f"/Groups/{place.group}", after_head=change)
    assert [member["value"] for member in answer.json["members"]] == place.ids
    assert answer.headers["etag"] == answer.json["meta"]["version"]
    again = await place.ask(f"/Groups/{place.group}")
    assert [member["value"] for member in again.json["members"]][:-1] == place.ids[:-1]
    assert again.headers["etag"] != answer.headers["etag"]


async def test_a_member_that_is_deleted_in_the_middle_breaks_the_answer_off(place: Place):
    answer = await place.ask(f"/Groups/{place.group}", after_head=lambda: place.desk.delete(place.ids[-1]))
    assert (answer.status, answer.is_whole) == (200, False)
    again = await place.ask(f"/Groups/{place.group}")
    assert [member["value"] for member in again.json["members"]] == place.ids[:-1]


async def test_a_list_with_large_groups_comes_in_pieces_too(place: Place):
    few = await place.desk.group("Few", *place.ids[:3])
    answer = await place.ask("/Groups?startIndex=1&count=10")
    assert "content-length" not in answer.headers
    assert (answer.json["totalResults"], answer.json["itemsPerPage"], answer.json["startIndex"]) == (2, 2, 1)
    large, small = answer.json["Resources"]
    assert (large["id"], len(large["members"]), small["id"], len(small["members"])) == (place.group, COUNT, few.id, 3)
    single = await place.ask(f"/Groups/{place.group}")
    assert large == single.json
    found = await place.ask("/Groups?filter=displayName%20eq%20%22few%22")
    assert "content-length" in found.headers


async def test_a_large_group_that_goes_breaks_a_list_off(place: Place):
    answer = await place.ask("/Groups", after_head=lambda: place.desk.delete(place.group, "Group"))
    assert (answer.status, answer.is_whole) == (200, False)
