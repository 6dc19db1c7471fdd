"""Answers to writes are kept without what the change log has, and shown whole all the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from scimhub.exchanges import masking
from scimhub.exchanges.records import Exchange
from tests.conformance import hub as hubs
from tests.conformance.hub import Application, Hub, Json, Loop


@pytest.fixture
def application(loop: Loop, tmp_path: Path) -> Iterator[Application]:
    with hubs.opened(loop, tmp_path) as opened:
        yield opened


@pytest.fixture
def hub(application: Application) -> Hub:
    return application.hub()


def admin(hub: Hub, path: str) -> Json:
    """What the admin API answers to who owns the files."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=hub.opened.local_application)
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.get(f"http://hub/admin/v1{path}")

    answer = hub.loop.run(ask())
    assert answer.status_code == 200, answer.text
    return answer.json()


def kept(hub: Hub, answer: httpx.Response) -> Exchange:
    hub.loop.run(hub.opened.exchanges.flush())
    [exchange] = hub.loop.run(hub.opened.exchanges.find([answer.headers["x-request-id"]]))
    return exchange


def shown(hub: Hub, answer: httpx.Response) -> Json:
    return admin(hub, f"/exchanges/{answer.headers['x-request-id']}")["answer"]


def writes(hub: Hub, attributes: Json) -> list[httpx.Response]:
    """A user is created, joins a group, is patched and replaced."""
    made = hub.lenient.post("/Users", hubs.user("Zoë", **attributes))
    path = f"/Users/{made.json()['id']}"
    hub.lenient.group("crew", made.json()["id"])
    patched = hub.lenient.patch(path, {"op": "replace", "path": "nickName", "value": "Ünal"})
    return [made, patched, hub.lenient.put(path, hubs.user("Zoe", displayName="Z"))]


@pytest.mark.parametrize("attributes", [{}, {"externalId": 'a "ß"'}, {"displayName": "Zoë ☃", "title": "back\\slash"}])
def test_an_answer_is_shown_as_it_was_sent(hub: Hub, attributes: Json):
    for answer in writes(hub, attributes):
        assert answer.status_code in (200, 201)
        assert kept(hub, answer).answer.rest == "full"
        assert "displayName" not in (kept(hub, answer).answer.text or "")
        assert shown(hub, answer) == {
            "text": answer.text,
            "size": len(answer.content),
            "is_cut": False,
            "lacks_document": False,
        }


def test_a_list_and_a_timeline_show_it_whole_as_well(hub: Hub):
    made, patched, put = writes(hub, {})
    listed = admin(hub, f"/exchanges?directory={hub.directory.name}&resource={made.json()['id']}")["items"]
    assert [each["answer"]["text"] for each in listed] == [put.text, patched.text, made.text]
    traced = admin(hub, f"/directories/{hub.directory.name}/trace?of={made.json()['id']}")["entries"]
    sent = [entry["exchange"] for entry in traced if entry["entry"] == "sent" and entry["exchange"]["resource_type"] == "User"]
    assert [each["answer"]["text"] for each in sent] == [made.text, patched.text, put.text]


def test_masked_it_shows_the_structure_and_no_value(loop: Loop, tmp_path: Path):
    with hubs.opened(loop, tmp_path, exchange_content="masked") as application:
        hub = application.hub()
        for answer in writes(hub, {"displayName": "Zoë", "externalId": "x1"}):
            masked = masking.of_document(answer.json())
            assert orjson.loads(shown(hub, answer)["text"]) == masked
            assert list(orjson.loads(shown(hub, answer)["text"])) == list(answer.json())


@pytest.mark.parametrize("content", ["none", "masked"])
def test_a_hub_that_keeps_nothing_of_it_shows_nothing(loop: Loop, tmp_path: Path, content: str):
    with hubs.opened(loop, tmp_path, exchange_content=content) as application:
        hub = application.hub()
        for answer in writes(hub, {"displayName": "Zoë"}):
            assert "Zo" not in str(shown(hub, answer))
            assert shown(hub, answer)["size"] == len(answer.content)


def test_what_a_request_told_to_be_secret_is_struck_out_of_its_answer(hub: Hub):
    made = hub.lenient.post("/Users", hubs.user("kim", password="Hunter22!x", nickName="Hunter22!x", title="Cook"))
    assert made.json()["nickName"] == "Hunter22!x"
    text = shown(hub, made)["text"]
    assert "Hunter22" not in text
    assert orjson.loads(text) == made.json() | {"nickName": "[redacted]"}


def test_a_token_of_a_hub_in_the_document_is_struck_out(hub: Hub):
    token = f"scimhub_{'t' * 43}"
    made = hub.lenient.post("/Users", hubs.user("kim", title=token))
    patched = hub.lenient.patch(f"/Users/{made.json()['id']}", {"op": "replace", "path": "nickName", "value": "K"})
    for answer in (made, patched):
        assert answer.json()["title"] == token
        assert orjson.loads(shown(hub, answer)["text"]) == answer.json() | {"title": "[redacted]"}


def test_an_answer_that_shows_a_part_is_kept_as_it_is(hub: Hub):
    made = hub.lenient.request("POST", "/Users", hubs.user("kim"), params={"attributes": "userName"})
    assert kept(hub, made).answer.rest == ""
    assert shown(hub, made)["text"] == made.text


def test_an_answer_to_a_write_that_changed_nothing_is_kept_as_it_is(hub: Hub):
    made = hub.lenient.post("/Users", hubs.user("kim"))
    again = hub.lenient.put(f"/Users/{made.json()['id']}", hubs.user("kim"))
    assert "scimhub-change" not in again.headers
    assert kept(hub, again).answer.rest == ""
    assert shown(hub, again)["text"] == again.text


def test_an_answer_with_very_many_groups_is_kept_as_far_as_bodies_are(hub: Hub):
    made = hub.lenient.post("/Users", hubs.user("kim"))
    for number in range(60):
        hub.lenient.group(f"crew {number}", made.json()["id"])
    patched = hub.lenient.patch(f"/Users/{made.json()['id']}", {"op": "replace", "path": "nickName", "value": "K"})
    assert kept(hub, patched).answer.rest == ""
    assert shown(hub, patched)["text"] == patched.text


def test_when_the_change_is_purged_the_rest_stays_and_says_what_it_lacks(hub: Hub):
    made = hub.lenient.post("/Users", hubs.user("kim", displayName="Kim"))
    hub.loop.run(hub.opened.store.purge_changes(hub.loop.run(hub.opened.store.last_position())))
    answer: dict[str, Any] = shown(hub, made)
    assert answer["lacks_document"]
    document = made.json()
    assert orjson.loads(answer["text"]) == {"id": document["id"], "meta": document["meta"]}
