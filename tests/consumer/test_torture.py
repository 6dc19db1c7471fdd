"""Random histories of a real directory, told badly: the replica ends as the hub is, whatever the order.

The events are those of the hub itself (envelope and subscription), as a feed has them and as webhooks have them, with runs
of membership changes that overlap.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson
import pytest

from scimhub.consumer import Event, Replica, parse
from scimhub.distribution import envelope
from scimhub.distribution.delivery import Destination, Message, Subscription
from scimhub.distribution.subscription import Notice
from scimhub.sqlstore.store import SqlStore
from tests.consumer.hub import Place

WANTED = Subscription(filters={"User": 'title ne "secret"', "Group": 'not (displayName sw "hidden")'})


@dataclass
class History:
    """A random identity provider; ``people`` and ``groups`` are the ids that are there."""

    place: Place
    random: random.Random
    people: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    born: int = 0

    async def step(self) -> None:
        await getattr(self, self.random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0])()

    async def join(self) -> None:
        name, self.born = f"person{self.born}", self.born + 1
        title = self.random.choice(["engineer", "secret"])
        id = await self.place.user(name, externalId=f"x-{name}", title=title, active=True)
        self.names[id] = name
        self.people.append(id)

    async def returns(self) -> None:
        if self.gone:
            id = self.gone.pop(self.random.randrange(len(self.gone)))
            again = await self.place.user(self.names[id], externalId=f"x-{self.names[id]}", title="engineer")
            assert again == id
            self.people.append(id)

    async def move(self) -> None:
        if self.people:
            id = self.random.choice(self.people)
            await self.place.set(id, title=self.random.choice(["engineer", "secret", "boss"]))

    async def rest(self) -> None:
        if self.people:
            await self.place.set(self.random.choice(self.people), active=self.random.random() < 0.5)

    async def leave(self) -> None:
        if self.people:
            id = self.people.pop(self.random.randrange(len(self.people)))
            await self.place.delete("User", id)
            self.gone.append(id)

    async def found(self) -> None:
        self.born += 1
        name = f"{self.random.choice(['open', 'hidden'])}-{self.born}"
        self.groups.append(await self.place.group(name, *self.some(), externalId=f"x-{self.born}"))
        self.names[self.groups[-1]] = f"x-{self.born}"

    async def rename(self) -> None:
        if self.groups:
            name = f"{self.random.choice(['open', 'hidden'])}-{self.random.random()}"
            await self.place.set(self.random.choice(self.groups), "Group", displayName=name)

    async def dissolve(self) -> None:
        if self.groups:
            id = self.groups.pop(self.random.randrange(len(self.groups)))
            await self.place.delete("Group", id)
            if self.random.random() < 0.6:
                again = await self.place.group("open-again", *self.some(), externalId=self.names[id])
                assert again == id
                self.groups.append(id)

    async def mingle(self) -> None:
        if self.groups:
            await self.place.members(self.random.choice(self.groups), add=self.some(), remove=self.some())

    def some(self) -> list[str]:
        return self.random.sample(self.people, min(len(self.people), self.random.randrange(4)))


_WEIGHTS = {"join": 3, "returns": 2, "move": 3, "rest": 2, "leave": 2, "found": 1.5, "rename": 2, "dissolve": 1, "mingle": 8}


def arrived(message: Message, chance: random.Random) -> Event:
    """The message as it comes out of a webhook's request in one of the two modes of CloudEvents."""
    if chance.random() < 0.5:
        return parse({"Content-Type": "application/cloudevents+json; charset=UTF-8"}, message.body)
    headers = {f"ce-{name}": value for name, value in message.attributes.items() if name != "datacontenttype"}
    return parse({**headers, "content-type": "application/json"}, message.data)


async def notices_of(place: Place, destination: Destination) -> list[Notice]:
    view = place.view(destination)
    found = [view.interest.assess(change) for change in await place.store.read_changes(0, 100_000)]
    return [notice for notice in found if notice is not None]


async def single(place: Place, destination: Destination, notices: Sequence[Notice]) -> list[Message]:
    messages = []
    for notice in notices:
        enters = notice.cause == "scope" and notice.verb == "created" and notice.kind.has_members
        members = await place.store.members_of(notice.change.resource_id) if enters else ()
        messages += envelope.of_notice(place.view(destination).envelope, notice, members)
    return messages


async def with_runs(place: Place, destination: Destination, notices: Sequence[Notice], chance: random.Random) -> list[Message]:
    """As webhooks have it: consecutive membership changes joined, now and then once more with what followed."""
    messages = []
    shared = place.view(destination).envelope
    for _, theirs in groupby(sorted(notices, key=lambda n: (n.change.resource_id, n.change.position)), _id_of):
        for is_run, some in groupby(theirs, lambda notice: notice.is_run):
            stretch = list(some)
            if not is_run:
                messages += await single(place, destination, stretch)
                continue
            begin = 0
            while begin < len(stretch):
                end = chance.randint(begin + 1, len(stretch))
                messages += envelope.of_run(shared, stretch[begin:end])
                # A crash before settling: the next run begins somewhere inside this one.
                begin = chance.randint(begin + 1, end)
    return messages


def _id_of(notice: Notice) -> str:
    return notice.change.resource_id


def interleaved(events: Sequence[Event], chance: random.Random) -> Iterator[Event]:
    """In order for each resource, in any order across them; some twice, some once more long after."""
    lanes: dict[str, list[Event]] = {}
    for event in events:
        lanes.setdefault(event.resource_id, []).append(event)
    late: list[Event] = []
    while lanes:
        id = chance.choice(list(lanes))
        event = lanes[id].pop(0)
        if not lanes[id]:
            del lanes[id]
        yield event
        if chance.random() < 0.1:
            yield event
        if chance.random() < 0.2:
            late.append(event)
        if late and chance.random() < 0.2:
            yield late.pop(chance.randrange(len(late)))
    yield from late


def shuffled(events: Sequence[Event], chance: random.Random) -> Iterator[Event]:
    """In no order whatsoever, a third of them twice."""
    told = [*events, *chance.sample(list(events), len(events) // 3)]
    chance.shuffle(told)
    yield from told


async def assert_equal(replica: Replica, place: Place, destination: Destination) -> None:
    compare(replica, *await place.expected(destination))


def compare(replica: Replica, found: Mapping[str, tuple[str, int, Any]], members: Mapping[str, list[str]]) -> None:
    held = {one.id: one for one in replica.resources()}
    assert {id: (one.type, one.version) for id, one in held.items()} == {id: one[:2] for id, one in found.items()}
    for id, (_, _, shown) in found.items():
        assert {**held[id].resource, "meta": held[id].resource["meta"]["version"]} == shown
    assert {group: replica.members_of(group) for group in members} == members


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("tell", [interleaved, shuffled])
@pytest.mark.parametrize("joined", [False, True], ids=["single", "runs"])
async def test_a_replica_fed_by_webhooks_ends_as_the_hub_is(place: Place, tmp_path: Path, seed: int, tell: Any, joined: bool):
    chance = random.Random(seed)
    destination = await place.feed(subscription=WANTED, cursor=0)
    history = History(place, chance)
    for _ in range(120):
        await history.step()
    notices = await notices_of(place, destination)
    told = await (with_runs(place, destination, notices, chance) if joined else single(place, destination, notices))
    events = [arrived(message, chance) for message in told]
    replica = Replica(tmp_path / "replica.db")
    for event in tell(events, chance):
        if chance.random() < 0.05:
            # A restart in the middle.
            replica.close()
            replica = Replica(tmp_path / "replica.db")
        replica.apply(event)
    await assert_equal(replica, place, destination)
    assert {replica.apply(event) for event in events} == {"duplicate"}
    replica.close()


@pytest.mark.parametrize("seed", range(8))
async def test_a_replica_that_begins_with_a_snapshot_in_the_middle_ends_as_the_hub_is(place: Place, seed: int):
    chance = random.Random(1000 + seed)
    destination = await place.feed(subscription=WANTED, cursor=0)
    history = History(place, chance)
    for _ in range(60):
        await history.step()
    lines = await place.snapshot(destination)
    for _ in range(60):
        await history.step()
    events = [arrived(message, chance) for message in await single(place, destination, await notices_of(place, destination))]
    with Replica() as replica:
        # What was told before the snapshot is forgotten; what comes of it afterwards brings nobody back.
        for event in chance.sample(events, len(events) // 4):
            replica.apply(event)
        replica.replace(lines)
        for event in interleaved(events, chance):
            replica.apply(event)
        await assert_equal(replica, place, destination)


async def test_a_fuzzy_snapshot_taken_while_all_is_written_is_mended_by_the_tail(place: Place, store: SqlStore):
    chance = random.Random(7)
    destination = await place.feed(subscription=WANTED, cursor=0)
    history = History(place, chance)
    for _ in range(60):
        await history.step()
    position = await store.last_position()
    older = await place.snapshot(destination)
    for _ in range(40):
        await history.step()
    newer = await place.snapshot(destination)
    # Each resource as an early or as a late walker met it, a group's members perhaps later than itself.
    lines = [{**older[0], "position": position}]
    lines += _mixed(older, newer, chance)
    lines.append({"end": True, "resources": _count(lines), "members": sum(len(line.get("members", ())) for line in lines)})
    with Replica() as replica:
        replica.replace(lines)
        view = place.view(destination)
        for change in await store.read_changes(position, 100_000):
            notice = view.interest.assess(change)
            for message in await single(place, destination, [notice]) if notice else ():
                replica.apply(arrived(message, chance))
        await assert_equal(replica, place, destination)


def _mixed(older: list[Any], newer: list[Any], chance: random.Random) -> Iterator[Any]:
    early = {line["id"]: line for line in older[1:-1] if "resource" in line}
    late = {line["id"]: line for line in newer[1:-1] if "resource" in line}
    late_members = {line["id"]: line for line in newer[1:-1] if "members" in line}
    for id in [*early, *(id for id in late if id not in early)]:
        met = chance.choice([both[id] for both in (early, late) if id in both])
        if id in early and id not in late and chance.random() < 0.5:
            continue
        yield met
        if met["resourceType"] == "Group" and id in late_members:
            yield {**late_members[id], "version": met["version"]}


def _count(lines: list[Any]) -> int:
    return sum("resource" in line for line in lines)


async def test_a_control_that_forgets_versions_ends_otherwise(place: Place):
    """The torture is worth something: without comparing versions the same stories end differently."""
    chance = random.Random(3)
    destination = await place.feed(subscription=WANTED, cursor=0)
    history = History(place, chance)
    for _ in range(120):
        await history.step()
    events = [arrived(message, chance) for message in await single(place, destination, await notices_of(place, destination))]
    held: dict[str, Any] = {}
    for event in shuffled(events, chance):
        if event.verb == "deleted":
            held.pop(event.resource_id, None)
        elif event.resource is not None:
            held[event.resource_id] = orjson.dumps(event.version)
    found, _ = await place.expected(destination)
    assert {id: int(version) for id, version in held.items()} != {id: one[1] for id, one in found.items()}
