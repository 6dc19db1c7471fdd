"""What every kind of broker is told of attributes that came while its destination ran: what was previewed, in every way."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from scimhub import clock
from scimhub.destinations import kinds
from scimhub.directory import schemas
from scimhub.distribution import control, restating
from scimhub.distribution.delivery import Destination, Style, Subscription
from scimhub.distribution.preview import preview
from tests.consumer.hub import USER
from tests.destinations.broker import HERE, Arrived, Broker
from tests.destinations.broker_list import BROKERS, open_broker
from tests.distribution.outside import Hub, open_outside

BADGE = "urn:example:badge:2"
_SCHEMA = {
    "id": BADGE,
    "name": "Badge",
    "extends": ["User"],
    "attributes": [
        {"name": "level", "type": "integer"},
        {"name": "doors", "type": "complex", "multiValued": True, "subAttributes": [{"name": "value"}, {"name": "floor"}]},
        {"name": "pin", "mutability": "writeOnly", "returned": "never"},
    ],
}
_MAPPING = {
    "User": {
        "keep": True,
        "set": {
            "login": "userName",
            "badge.level": f"{BADGE}:level",
            "badge.doors": f"{BADGE}:doors.value",
            "badge.first": f'{BADGE}:doors[floor eq "1"].value',
        },
    }
}
_numbers = count(1)


@pytest.fixture(scope="module", params=BROKERS)
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with open_broker(request.param, tmp_path_factory.mktemp(request.param)) as opened:
        yield opened


async def carry_badges(hub: Hub) -> list[str]:
    """The schema comes, and people who have what it describes; one of them was there before."""
    before = await hub.place.user("before", title="clerk")
    await schemas.add_schema(hub.store, hub.place.directory, _SCHEMA, clock.now_text(), clock.new_id)
    hub.place = replace(hub.place, catalog=await schemas.load_catalog(hub.store, hub.place.directory.key))
    badge = {"level": 3, "doors": [{"value": "east", "floor": "2"}, {"value": "west", "floor": "1"}], "pin": "canary-pin"}
    people = [
        await hub.place.create("User", {"schemas": [USER, BADGE], "userName": f"u{number}", "title": "clerk", BADGE: badge})
        for number in range(5)
    ]
    await hub.place.patch("User", before, {"op": "add", "path": f"{BADGE}:level", "value": 1})
    return [before, *people]


async def previewed(hub: Hub, destination: Destination) -> dict[str, Any]:
    found = await preview(hub.store, hub.engine.place, destination, destination.subscription, samples=100)
    return {sample.resource_id: sample.now for sample in found.samples}


def last(arrived: list[Arrived]) -> dict[str, Mapping[str, Any]]:
    """By resource what the last message about it shows."""
    return {one.data["id"]: one.data["resource"] for one in arrived}


def assert_in_order(arrived: list[Arrived]) -> None:
    """No version goes back but at the start of a replay, and no id stands for two contents."""
    versions: dict[tuple[str, str], int] = {}
    contents: dict[tuple[str, str], Any] = {}
    for one in arrived:
        lane = (one.data["id"], one.attributes.get("replayid", ""))
        assert one.data["version"] >= versions.get(lane, 0)
        versions[lane] = one.data["version"]
        assert contents.setdefault((one.id, one.attributes.get("replayid", "")), one.data) == one.data


@pytest.mark.parametrize("style", ["event", pytest.param("state", marks=pytest.mark.ci)])
async def test_of_attributes_that_came_later_all_ways_tell_what_was_previewed(tmp_path: Path, broker: Broker, style: Style):
    await broker.create(place := f"contents-{next(_numbers)}")
    async with open_outside(tmp_path, kinds=kinds(HERE, lambda: 0.0), chance=0.0) as hub:
        own = {"order": "resource"} if broker.kind == "redis_streams" else {}
        wish = Subscription(style=style)
        made = await hub.destination(kind=broker.kind, secret=broker.secret, wish=wish, **broker.configuration(place), **own)
        people = await carry_badges(hub)
        await hub.caught_up()
        assert last(await broker.received(place)) == await previewed(hub, made)

        changed = await control.update(hub.engine, made, None, replace(wish, mapping=_MAPPING))
        shown = await previewed(hub, changed)
        assert shown[people[1]]["badge"] == {"level": 3, "doors": ["east", "west"], "first": "west"}
        await restating.resend(hub.engine, changed, people[:2])
        await hub.caught_up()
        await hub.nothing_held()
        told = last(await broker.received(place))
        assert [told[id] for id in people[:2]] == [shown[id] for id in people[:2]]

        began = await hub.store.last_position()
        await restating.begin(hub.engine, await hub.again())
        for id in people[::2]:
            await hub.place.patch("User", id, {"op": "replace", "path": f"{BADGE}:level", "value": 4})

        async def is_over() -> bool:
            found = await restating.progress(hub.engine, changed)
            return found is not None and found.backfill.is_over

        while not await is_over():
            await asyncio.sleep(0.01)
        await hub.caught_up()
        await hub.nothing_held()
        assert last(await broker.received(place)) == await previewed(hub, await hub.again())

        before = len(await broker.received(place))
        (first,) = await hub.store.read_changes(began, 1)
        await control.replay(hub.engine, await hub.again(), await control.position_at(hub.engine, first.time))
        await hub.caught_up()
        arrived = await broker.received(place)
        again = [one for one in arrived[before:] if one.attributes.get("replayid")]
        assert {one.data["id"] for one in again} >= set(people[::2])
        assert last(arrived) == await previewed(hub, await hub.again())
        assert_in_order(arrived)
        assert "canary-pin" not in str(arrived)
