"""What is remembered of who asks: never longer than it holds, and of nobody else."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scimhub import clock
from tests.conformance import hub as hubs
from tests.conformance.hub import Application, Client, Loop

BADGES = {
    "schemas": [
        {
            "id": "urn:example:badges:User",
            "name": "Badges",
            "attributes": [{"name": "badge", "type": "string", "multiValued": False, "returned": "default"}],
        }
    ],
    "extensions": {"User": ["urn:example:badges:User"]},
}


@pytest.fixture
def application(loop: Loop, tmp_path: Path) -> Iterator[Application]:
    with hubs.opened(loop, tmp_path, public_url=None) as opened:
        yield opened


def test_a_revoked_token_is_refused_a_second_later_though_its_requests_are_all_alike(application: Application):
    hub = application.hub()
    client, store = hub.lenient, hub.opened.store
    made = client.user("kim")
    [source] = [one for one in hub.loop.run(store.list_sources(hub.directory.key)) if one.name]
    [token] = hub.loop.run(store.list_tokens(source.key))
    assert client.get(f"/Users/{made['id']}").status_code == 200
    hub.loop.run(store.revoke_token(source.key, token.id, clock.now_text()))
    revoked = time.monotonic()
    while client.get(f"/Users/{made['id']}").status_code == 200:
        assert time.monotonic() < revoked + 5
    refused = client.get(f"/Users/{made['id']}")
    assert (refused.status_code, "not known" in refused.text) == (401, True)
    # Well under five, and with room for a slow machine.
    assert time.monotonic() - revoked < 3


def test_a_changed_schema_is_seen_by_the_next_request_of_the_same_kind(application: Application):
    hub = application.hub()
    made = hub.lenient.user("kim")
    path = f"/Users/{made['id']}"
    set_badge = hubs.replace("urn:example:badges:User:badge", "7")
    dropped = hub.lenient.patch(path, set_badge)
    assert "urn:example:badges:User" not in dropped.json()
    hub.add_schema(BADGES)
    assert hub.lenient.patch(path, set_badge).json()["urn:example:badges:User"] == {"badge": "7"}


def test_each_name_of_the_hub_is_answered_under_that_name(application: Application):
    hub = application.hub()
    made = hub.lenient.user("kim")
    for host in ("one.example", "two.example:8443", "one.example"):
        answer = hub.lenient.get(f"/Users/{made['id']}", headers={"host": host})
        location = f"https://{host}/scim/{hub.directory.name}/v2/Users/{made['id']}"
        assert answer.json()["meta"]["location"].partition("://")[2] == location.partition("://")[2]
        assert answer.headers["content-location"] == answer.json()["meta"]["location"]
    assert hub.lenient.get("/Users", headers={"host": "not a host"}).status_code == 400


def test_a_known_token_opens_no_other_directory_and_no_url(application: Application):
    hub, other = application.hub(), application.hub()
    client = hub.lenient
    assert client.get("/Users").status_code == 200
    stranger = Client(client.loop, client.application, other.directory.name, client.token)
    assert stranger.get("/Users").status_code == 403
    assert client.get("/Users", access_token="x").status_code == 400
    assert client.get("/Users").status_code == 200
