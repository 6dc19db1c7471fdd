"""A destination is served by one node at a time, and by another soon after that one has gone, stopped or stood still."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from scimhub import clock
from scimhub.directory.errors import StoreUnavailable
from scimhub.directory.schemas import Catalogs
from scimhub.distribution import control, leases
from scimhub.distribution.delivery import Delivered, Destination, Gone, Message, Outcome, Subscription
from scimhub.distribution.engine import Engine
from scimhub.distribution.leases import LeaseLost
from scimhub.distribution.outlook import Place as Where
from scimhub.distribution.ports import Settlement
from scimhub.distribution.surroundings import Surroundings
from scimhub.sqlstore.store import SqlStore
from tests.consumer.hub import Place
from tests.distribution.outside import Noted, Outside, deliver
from tests.keys import keyring
from tests.servers.running import PATIENCE

SECONDS = 2.0


@dataclass
class Node:
    """One node, whose clock a test can stop; it has not noticed anything then."""

    name: str
    store: SqlStore
    outside: Outside
    engine: Engine
    stopped_at: list[float] = field(default_factory=list)

    def stand_still(self) -> None:
        """Keep no lease any longer, as a process does that is stopped."""
        assert self.engine._minding is not None
        self.engine._minding.cancel()

    def serves(self, destination: Destination) -> bool:
        return self.engine.find_pump(destination.key) is not None


@pytest.fixture
async def join(open_node) -> AsyncIterator[object]:
    """Starts one more node."""
    nodes: list[Node] = []

    async def join_as(name: str, seconds: float = SECONDS) -> Node:
        store, outside = await open_node(), Outside()
        given = Surroundings(
            store=store,
            reader=store,
            attempts=Noted(),
            now=time.time,
            chance=lambda: 1.0,
            random=bytes,
            new_id=clock.new_id,
            keyring=keyring(),
            node=name,
            lease_seconds=seconds,
        )
        engine = Engine({"scripted": outside}, Where(Catalogs(store), "https://hub.example", store.log_epoch), given)
        await engine.start()
        nodes.append(Node(name, store, outside, engine))
        return nodes[-1]

    yield join_as
    for node in nodes:
        await node.engine.close()


async def until(condition, limit: float = PATIENCE) -> None:
    async with asyncio.timeout(limit):
        while not condition():
            await asyncio.sleep(0.01)


async def create(node: Node, place: Place, name: str = "payroll") -> Destination:
    made = await control.create(node.engine, place.directory, name, "scripted", {}, Subscription(), after=0)
    return made.destination


def positions(*nodes: Node) -> list[int]:
    return sorted(position for node in nodes for position in node.outside.positions())


async def test_one_of_two_nodes_serves_a_destination_and_nothing_comes_twice(join):
    first, second = await join("a"), await join("b")
    place = await Place.open(first.store)
    destination = await create(first, place)
    for number in range(20):
        await place.user(f"user{number}")
    await until(lambda: len(positions(first, second)) == 20)
    await until(lambda: first.serves(destination) != second.serves(destination))
    assert positions(first, second) == list(range(1, 21))


async def test_destinations_are_shared_out_and_a_node_that_stops_hands_over_at_once(join):
    first, second = [await join(name, seconds=60) for name in ("a", "b")]
    place = await Place.open(first.store)
    made = [await create(first, place, f"target{number}") for number in range(8)]
    ours = [one for one in made if leases.preferred(one.id, ("a", "b")) == "a"]
    await until(lambda: all(first.serves(one) == (one in ours) and second.serves(one) != (one in ours) for one in made))
    begun = time.monotonic()
    await second.engine.close()
    await until(lambda: all(first.serves(one) for one in made))
    # Without waiting for leases to end.
    assert time.monotonic() - begun < 30


@asynccontextmanager
async def writing(place: Place) -> AsyncIterator[list[str]]:
    """Changes of a few people go on all the while."""
    made: list[str] = []
    done = asyncio.Event()

    async def write() -> None:
        while not done.is_set():
            made.append(await place.user(f"user{len(made)}"))
            await asyncio.sleep(0.01)

    task = asyncio.create_task(write())
    try:
        yield made
    finally:
        done.set()
        await task


async def test_a_node_that_stood_still_neither_sends_nor_settles_for_a_lease_it_lost(join):
    first = await join("a")
    place = await Place.open(first.store)
    destination = await create(first, place)
    second = await join("b")
    async with writing(place):
        await until(lambda: first.serves(destination) != second.serves(destination))
        still, other = (first, second) if first.serves(destination) else (second, first)
        pump = still.engine.find_pump(destination.key)
        assert pump is not None
        still.stand_still()
        await until(lambda: other.serves(destination))
        sent = len(still.outside.arrivals)
        # What it sent last, it sent in the first half of what it knew to be left.
        with pytest.raises(LeaseLost):
            pump.lease.check(time.monotonic())
        with pytest.raises(LeaseLost):
            await still.store.settle(destination.key, Settlement(0, lease_epoch=pump.lease.epoch))
        await until(lambda: not still.serves(destination))
        assert len(still.outside.arrivals) == sent
    head = await place.store.last_position()
    await until(lambda: set(range(1, head + 1)) <= set(positions(first, second)))


async def test_a_pump_that_was_not_sure_of_its_lease_gives_it_back(join):
    first, second = await join("a"), await join("b")
    place = await Place.open(first.store)
    destination = await create(first, place)
    await until(lambda: first.serves(destination) != second.serves(destination))
    unsure = first if first.serves(destination) else second
    pump = unsure.engine.find_pump(destination.key)
    assert pump is not None
    # Its node kept the lease, but was too slow to hear of it.
    pump.lease.until = time.monotonic()
    for number in range(3):
        await place.user(f"user{number}")
    await until(lambda: positions(first, second) == [1, 2, 3])


async def test_a_verb_that_took_longer_than_the_lease_is_not_answered_as_done(join):
    first, second = await join("a"), await join("b")
    place = await Place.open(first.store)
    destination = await create(first, place)
    await until(lambda: first.serves(destination) != second.serves(destination))
    slow = first if leases.preferred(destination.id, ("a", "b")) == "b" else second
    other = second if slow is first else first

    async def change_slowly() -> None:
        async with slow.engine.halted(destination):
            slow.stand_still()
            await until(lambda: other.serves(destination))

    with pytest.raises(StoreUnavailable, match="another node serves"):
        await change_slowly()


async def test_order_holds_for_each_resource_over_a_change_of_nodes(join):
    first, second = await join("a"), await join("b")
    place = await Place.open(first.store)
    destination = await create(first, place)
    arrivals: list[tuple[str, int]] = []

    def note(message: Message) -> Outcome:
        arrivals.append((message.attributes["subject"], int(message.attributes["sequence"])))
        return deliver(message)

    first.outside.scripts["payroll"] = second.outside.scripts["payroll"] = note
    person = await place.user("kim")
    for number in range(30):
        await place.set(person, userName=f"kim{number}")
        if number in (10, 20):
            serving = first if first.serves(destination) else second
            pump = serving.engine.find_pump(destination.key)
            if pump is not None:
                await serving.engine._hand_over(pump)
    head = await place.store.last_position()
    await until(lambda: bool(arrivals) and arrivals[-1][1] == head)
    found = [sequence for subject, sequence in arrivals if subject == person]
    assert sorted(set(found)) == list(range(1, head + 1))
    assert found == sorted(found)


async def test_an_administrator_at_any_node_pauses_what_another_one_serves(join):
    first, second = await join("a"), await join("b")
    place = await Place.open(first.store)
    destination = await create(first, place)
    await until(lambda: first.serves(destination) != second.serves(destination))
    other = second if first.serves(destination) else first
    await control.pause(other.engine, destination)
    assert not first.serves(destination)
    assert not second.serves(destination)
    await place.user("kim")
    await control.resume(other.engine, await control.get(other.engine, place.directory, "payroll"))
    await until(lambda: len(positions(first, second)) == 1)


async def apart(first: Node, second: Node, destination: Destination) -> tuple[Node, Node]:
    """Who serves the destination and who does not, once that is settled."""
    wanted, other = (first, second) if leases.preferred(destination.id, ("a", "b")) == first.name else (second, first)
    await until(lambda: wanted.serves(destination) and not other.serves(destination))
    return wanted, other


async def test_a_destination_that_stopped_by_itself_is_resumed_at_any_node(join):
    first, second = await join("a"), await join("b")
    place = await Place.open(first.store)
    destination = await create(first, place)
    serving, other = await apart(first, second, destination)
    serving.outside.scripts["payroll"] = lambda _: Gone("It is no more.")
    await place.user("kim")
    await until(lambda: not serving.serves(destination))
    await control.resume(other.engine, await control.get(other.engine, place.directory, "payroll"))


async def test_a_lease_without_a_pump_goes_to_who_should_have_it(join):
    first, second = await join("a"), await join("b")
    place = await Place.open(first.store)
    destination = await create(first, place)
    serving, other = await apart(first, second, destination)
    async with other.engine.halted(destination):
        pass
    pump = other.engine.find_pump(destination.key)
    assert pump is not None
    # As when the database answered too late once.
    pump.lease.until = -1e9
    await place.user("kim")
    await until(lambda: serving.serves(destination))


async def test_a_node_that_stops_while_it_hands_over_settles_and_gives_its_lease(join):
    first, second = await join("a"), await join("b")
    place = await Place.open(first.store)
    destination = await create(first, place)
    serving, other = await apart(first, second, destination)
    answered = asyncio.Event()

    async def answer_late(_: Message) -> Outcome:
        await answered.wait()
        return Delivered()

    serving.outside.scripts["payroll"] = answer_late
    await place.user("kim")
    pump = serving.engine.find_pump(destination.key)
    assert pump is not None
    await until(lambda: pump.in_flight == 1)
    serving.engine._spawn_hand_over(pump)
    await until(lambda: not serving.serves(destination))
    closing = asyncio.create_task(serving.engine.close())
    asyncio.get_running_loop().call_later(0.1, answered.set)
    await closing
    found = await control.get(other.engine, place.directory, "payroll")
    assert found.cursor == 1
    assert await other.store.take_lease(destination.key, "c", SECONDS) is not None or other.serves(destination)


async def test_a_destination_that_cannot_be_opened_does_not_end_the_keeping_of_leases(join):
    only = await join("a")
    place = await Place.open(only.store)
    good, bad = await create(only, place, "z"), await create(only, place, "a")
    pump = only.engine.find_pump(bad.key)
    assert pump is not None
    open_one = only.outside.open

    def refuse(destination: Destination, secrets: object):
        if destination.name == "a":
            raise RuntimeError("no")
        return open_one(destination, secrets)

    only.outside.open = refuse
    await only.engine._hand_over(pump)
    pump = only.engine.find_pump(good.key)
    assert pump is not None
    until_then = pump.lease.until
    await until(lambda: pump.lease.until > until_then + leases.LOOK_EVERY)
    assert only.engine._minding is not None
    assert not only.engine._minding.done()
