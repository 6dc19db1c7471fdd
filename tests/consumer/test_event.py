"""Reading events, also with the independent CloudEvents library; what is none is refused with the reason."""

import json
from typing import Any

import pytest

from scimhub.consumer import Malformed, parse
from scimhub.distribution import envelope
from tests.consumer.hub import Place

STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}
TOLD: dict[str, Any] = {"resourceType": "User", "id": "u1", "version": 3, "position": 9, "cause": "write"}
GOOD: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e1",
    "source": "/directories/acme",
    "type": "scimhub.user.updated",
    "data": {**TOLD, "changed": ["title"], "resource": {"id": "u1"}},
}


async def test_both_modes_of_a_real_event_give_the_same(place: Place):
    feed = await place.feed(cursor=0)
    user = await place.user("jürgen müller", title="100 %")
    await place.group("staff", user)
    view = place.view(feed)
    for change in await place.store.read_changes(0, 10):
        notice = view.interest.assess(change)
        assert notice is not None
        (message,) = envelope.of_notice(view.envelope, notice)
        headers = {f"CE-{name}": value for name, value in message.attributes.items() if name != "datacontenttype"}
        binary = parse({**headers, "Content-Type": "application/json"}, message.data)
        assert parse(STRUCTURED, message.body) == binary
        assert (binary.verb, binary.resource_id, binary.version) == ("created", change.resource_id, change.version)
        assert binary.added == change.members_added
        assert binary.resource is not None
        assert binary.resource["id"] == change.resource_id


def test_values_of_binary_headers_are_percent_decoded():
    headers = [("ce-specversion", "1.0"), ("ce-id", "a%20%22b%22"), ("ce-source", "/x%25"), ("ce-type", "scimhub.user.deleted")]
    event = parse(headers, json.dumps(TOLD).encode())
    assert (event.id, event.source, event.verb, event.resource) == ('a "b"', "/x%", "deleted", None)


def test_an_event_that_tells_of_no_resource_has_no_verb():
    event = parse(STRUCTURED, json.dumps({**GOOD, "type": "scimhub.destination.check", "data": {"hello": 1}}).encode())
    assert not event.tells_of_resource


def test_a_run_and_a_part_are_told():
    told = {**TOLD, "fromVersion": 2, "part": 2, "parts": 5, "members": {"added": ["a"], "removed": ["b"]}}
    event = parse(STRUCTURED, json.dumps({**GOOD, "type": "scimhub.group.members.changed", "data": told}).encode())
    assert (event.verb, event.from_version, event.version, event.part, event.parts) == ("members.changed", 2, 3, 2, 5)
    assert (event.added, event.removed) == (("a",), ("b",))


@pytest.mark.parametrize(
    "headers, body",
    [
        ({}, b"{}"),
        ({"content-type": "application/json"}, json.dumps(GOOD).encode()),
        (STRUCTURED, b"{"),
        (STRUCTURED, b"\xff"),
        (STRUCTURED, b"[]"),
        (STRUCTURED, json.dumps({**GOOD, "specversion": "0.3"}).encode()),
        (STRUCTURED, json.dumps({**GOOD, "id": ""}).encode()),
        (STRUCTURED, json.dumps({**GOOD, "source": 5}).encode()),
        (STRUCTURED, json.dumps({**GOOD, "data": {**TOLD, "version": "3"}}).encode()),
        (STRUCTURED, json.dumps({**GOOD, "data": {**TOLD, "version": True}}).encode()),
        (STRUCTURED, json.dumps({**GOOD, "data": {**TOLD, "position": -1}}).encode()),
        (STRUCTURED, json.dumps({**GOOD, "data": {**TOLD, "id": None}}).encode()),
        (STRUCTURED, json.dumps({**GOOD, "data": {**TOLD, "members": []}}).encode()[:-2] + b"]}"),
        (STRUCTURED, json.dumps({**GOOD, "data": {**TOLD, "members": {"added": "abc"}}}).encode()),
        (STRUCTURED, json.dumps({**GOOD, "data": {**TOLD, "members": {"added": [1]}}}).encode()),
        (STRUCTURED, json.dumps({**GOOD, "data": {**TOLD, "resource": "x"}}).encode()),
    ],
)
def test_what_is_no_event_is_refused(headers: dict[str, str], body: bytes):
    with pytest.raises(Malformed):
        parse(headers, body)
