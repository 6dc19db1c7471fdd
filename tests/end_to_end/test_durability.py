"""A 2xx means that it is in the store: through kill -9, through SIGTERM, and through fifty clients at once."""

import asyncio
import json
import socket
from collections.abc import Callable

import httpx
import pytest

from tests.end_to_end.live import TOKEN, LiveHub, group, patch, user, wait_until

WRITERS = 16
ENOUGH = 400


async def write_until_killed(hub: LiveHub, group_id: str) -> tuple[dict[str, str], set[str], set[str]]:
    """Write as fast as it goes, kill the hub in the middle; users by id, members and deleted ids that were acknowledged."""
    created: dict[str, str] = {}
    members: set[str] = set()
    deleted: set[str] = set()

    async def write(client: httpx.AsyncClient, writer: int) -> None:
        number = 0
        while True:
            number += 1
            name = f"writer{writer}-{number}"
            answer = await client.post("/Users", json=user(name))
            assert answer.status_code == 201, answer.text
            id = answer.json()["id"]
            created[id] = name
            edit = patch({"op": "add", "path": "members", "value": [{"value": id}]})
            answer = await client.patch(f"/Groups/{group_id}", json=edit)
            assert answer.status_code == 204, answer.text
            members.add(id)
            if number % 5 == 0:
                # What is under way when the hub dies may or may not happen; only what was answered counts.
                members.discard(id)
                answer = await client.delete(f"/Users/{id}")
                assert answer.status_code == 204, answer.text
                deleted.add(id)

    async def kill_when_busy() -> None:
        while len(created) < ENOUGH:
            await asyncio.sleep(0.005)
        hub.kill()

    async with hub.async_client(WRITERS) as client:
        writers = [asyncio.create_task(write(client, number)) for number in range(WRITERS)]
        await asyncio.wait_for(kill_when_busy(), 60)
        ends = await asyncio.gather(*writers, return_exceptions=True)
    assert all(isinstance(end, httpx.TransportError) for end in ends), ends
    return created, members, deleted


def all_of(client: httpx.Client, endpoint: str) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    cursor = ""
    while True:
        page = client.get(endpoint, params={"cursor": cursor, "count": "200"}).json()
        found |= {resource["id"]: resource for resource in page["Resources"]}
        cursor = page.get("nextCursor", "")
        if not cursor:
            return found


def test_kill_9_loses_nothing_that_was_acknowledged(start_hub: Callable[..., LiveHub]):
    hub = start_hub()
    with hub.client() as client:
        group_id = client.post("/Groups", json=group("Everyone")).json()["id"]
    created, members, deleted = asyncio.run(write_until_killed(hub, group_id))
    assert len(deleted) > 0
    hub.start()
    with hub.client() as client:
        found = all_of(client, "/Users")
        # A delete may have been carried out without its answer having arrived.
        unanswered = {id for id, name in created.items() if int(name.split("-")[1]) % 5 == 0} - deleted
        assert {id for id in created.keys() - deleted - unanswered if found.get(id, {}).get("userName") != created[id]} == set()
        assert deleted & found.keys() == set()
        stored = {member["value"] for member in client.get(f"/Groups/{group_id}").json()["members"]}
        assert members - stored == set()
        assert stored - found.keys() == set(), "the group has members that are not there"


def test_sigterm_finishes_what_is_in_flight(start_hub: Callable[..., LiveHub]):
    hub = start_hub()
    body = json.dumps(user("late")).encode()
    head = (
        f"POST /scim/default/v2/Users HTTP/1.1\r\nHost: 127.0.0.1:{hub.port}\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/scim+json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", hub.port), timeout=30) as connection:
        connection.sendall(head + body[:10])
        with hub.client() as client:  # the hub has read what came before this answer
            assert client.get("/ServiceProviderConfig").status_code == 200
        hub.terminate()
        wait_until(lambda: not hub.accepts_connections(), "the closing of the door")
        connection.sendall(body[10:])
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 201 "), answer
    assert hub.stop() == 0
    hub.start()
    with hub.client() as client:
        assert client.get("/Users", params={"filter": 'userName eq "late"'}).json()["totalResults"] == 1


@pytest.mark.parametrize("form", ["add", "remove", "add and remove"])
def test_fifty_patches_at_once_on_one_group_end_with_exactly_their_union(live_hub: LiveHub, form: str):
    async def run() -> tuple[set[str], set[str]]:
        async with live_hub.async_client(50) as client:
            made = await asyncio.gather(*(client.post("/Users", json=user(f"{form}-{number}")) for number in range(100)))
            ids = [answer.json()["id"] for answer in made]
            present, absent = ids[:50], ids[50:]
            group_id = (await client.post("/Groups", json=group(f"Union {form}", *present))).json()["id"]

            def operations(number: int) -> list[dict[str, object]]:
                add = {"op": "add", "path": "members", "value": [{"value": absent[number]}]}
                remove = {"op": "remove", "path": f'members[value eq "{present[number]}"]'}
                return {"add": [add], "remove": [remove], "add and remove": [add, remove]}[form]

            edits = await asyncio.gather(*(client.patch(f"/Groups/{group_id}", json=patch(*operations(n))) for n in range(50)))
            assert {edit.status_code for edit in edits} == {204}
            members = (await client.get(f"/Groups/{group_id}")).json().get("members", [])
            expected = {"add": set(ids), "remove": set(), "add and remove": set(absent)}[form]
            return {member["value"] for member in members}, expected

    found, expected = asyncio.run(run())
    assert found == expected
