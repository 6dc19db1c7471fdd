"""A hub is filled by its own commands, copied to another database, and read page by page."""

import asyncio
import http.client
import json

import pytest

from bench import pages, requests, seed, servers
from bench.servers import Place

PEOPLE, STRANGERS = 7, 2


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("filled"))
    with servers.hub(place):
        filling = seed.fill_hub(place, PEOPLE, STRANGERS, [3, 7])
    return place, filling


@pytest.fixture(params=["sqlite", "postgres"])
def copied(request, filled, tmp_path):
    """A place with a copy of the filled hub."""
    if request.param == "sqlite":
        place = Place(tmp_path)
        seed.copy(filled[0], place)
        yield place
        return
    server = request.getfixturevalue("postgres_server")
    url = asyncio.run(server.create_database())
    place = Place(tmp_path, url, server.running.pid)
    seed.copy(filled[0], place)
    yield place
    asyncio.run(server.drop_database(url))


def get(port: int, path: str) -> dict[str, object]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", requests.ROOT + path, headers={"Authorization": f"Bearer {servers.TOKEN}"})
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    assert answer.status == 200, body
    return body


def test_what_was_filled_and_copied_is_there_under_the_ids_that_were_told(filled, copied):
    filling = filled[1]
    assert filling.size == PEOPLE + STRANGERS + 2
    with servers.hub(copied, f"{requests.ROOT}/Users/{filling.people.ids[0]}") as hub:
        last = get(hub.port, f"/Users/{filling.people.ids[-1]}")
        assert last["userName"] == f"{filling.people.names[-1]}@tidewater.example"
        members = {member["value"] for member in get(hub.port, f"/Groups/{filling.groups[3]}")["members"]}
        assert members == set(filling.people.ids[:3])
        everybody = pages.walk(hub.port, 4)
        assert (everybody.users, everybody.cursor) == (PEOPLE + STRANGERS, None)
        part = pages.walk(hub.port, 2, 3)
        assert part.users == 4
        assert part.cursor is not None
        assert pages.time_page(hub.port, f"count=2&cursor={part.cursor}", 3) > 0
        assert (hub.database_cpu_seconds() > 0) == (copied.url is not None)


def test_a_command_that_fails_says_why(filled, tmp_path):
    with pytest.raises(RuntimeError, match="copy-database failed"):
        seed.copy(filled[0], Place(tmp_path, "sqlite:///nowhere.db"))


def test_a_page_that_is_refused_is_an_error(filled):
    with servers.hub(filled[0]) as hub, pytest.raises(RuntimeError, match="gave 400"):
        pages.time_page(hub.port, "count=2&cursor=nonsense", 1)
