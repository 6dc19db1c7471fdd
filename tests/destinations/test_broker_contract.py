"""What every kind of broker keeps, each on a real one: the same tests for all, from the change log to the consumer's hands."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import orjson
import pytest

from scimhub.destinations import kinds
from scimhub.distribution import control, restating
from scimhub.distribution.delivery import Delivered, Destination, Retry, Subscription
from tests.destinations.broker import HERE, Arrived, Broker, expected
from tests.destinations.broker_list import BROKERS, open_broker
from tests.distribution.outside import Hub, open_outside, until

CANARIES = ("canary-user", "canary-title", "Canary Group")
_numbers = count(1)


@pytest.fixture(scope="module", params=BROKERS)
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The broker of one kind, the same for all of its tests, which use places of their own."""
    with open_broker(request.param, tmp_path_factory.mktemp(request.param)) as opened:
        yield opened


@pytest.fixture
def place() -> str:
    return f"place-{next(_numbers)}"


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Hub]:
    async with open_outside(folder, kinds=kinds(HERE, lambda: 0.0), chance=0.0) as hub:
        yield hub


async def connect(hub: Hub, broker: Broker, place: str, **more: Any) -> Destination:
    return await hub.destination(kind=broker.kind, **{"secret": broker.secret, **broker.configuration(place), **more})


async def work(hub: Hub) -> None:
    """What people do in a day: 24 changes of 6 resources, some of them of the same at once."""
    users = [await hub.place.user(f"canary-user-{number}", title="canary-title", locale="de-DE ü€😀") for number in range(4)]
    group = await hub.place.group("Canary Group", users[0])
    await hub.place.members(group, add=users[1:3])
    for user in users[:3]:
        for step in range(3):
            await hub.place.set(user, title=f"canary-title-{step}")
    await hub.place.members(group, add=[users[3]], remove=[users[0]])
    await hub.place.members(group, add=[users[0]])
    await hub.place.delete("User", users[3])
    await hub.place.set(group, "Group", displayName="Canary Group of another name")
    await hub.place.delete("Group", group)


def by_resource(arrived: list[Arrived]) -> dict[str, list[str]]:
    """For each resource the ids of its events in order of arrival, a repetition only where it came first."""
    found: dict[str, list[str]] = defaultdict(list)
    for one in arrived:
        if one.id not in found[one.attributes["subject"]]:
            found[one.attributes["subject"]].append(one.id)
    return dict(found)


async def check_all(hub: Hub, arrived: list[Arrived], most_repeated: int = 0) -> None:
    """Complete, in order for each resource, equal to the log, and repeated under the same id at most so often."""
    wanted = await expected(hub)
    order: dict[str, list[str]] = defaultdict(list)
    for message in wanted:
        order[message.attributes["subject"]].append(message.delivery_id)
    assert by_resource(arrived) == order
    content = {message.delivery_id: (dict(message.attributes), orjson.loads(message.data)) for message in wanted}
    for one in arrived:
        assert (dict(one.attributes), one.data) == content[one.id]
        assert one.key == one.attributes["subject"]
    assert len(wanted) <= len(arrived) <= len(wanted) + most_repeated


# --------------------------------------------------------------------------- all is well


@pytest.mark.parametrize("format", ["structured", "binary"])
async def test_every_change_arrives_whole_and_in_order_for_each_resource(
    tmp_path: Path, broker: Broker, place: str, format: str
):
    if format not in broker.formats:
        pytest.skip(f"{broker.kind} has no {format} mode")
    await broker.create(place)
    async with running(tmp_path) as hub:
        await connect(hub, broker, place, **({"format": format} if len(broker.formats) > 1 else {}))
        await work(hub)
        await hub.caught_up()
        await check_all(hub, await broker.received(place))


async def test_two_destinations_that_share_a_place_keep_nothing_from_each_other(tmp_path: Path, broker: Broker, place: str):
    await broker.create(place)
    async with running(tmp_path) as hub:
        names = {"payroll": ("userName",), "access": ("userName", "title")}
        for name, attributes in names.items():
            # What a destination must have for itself alone.
            own = {"order": "resource"} if broker.kind == "redis_streams" else {}
            own |= {"transactional_id": f"{place}-{name}"} if "transactional_id" in broker.configuration(place) else {}
            await connect(hub, broker, place, name=name, wish=Subscription(attributes=attributes), **own)
        await work(hub)
        await hub.caught_up(*names)
        wanted = [message for name in names for message in await expected(hub, name)]
        arrived = await broker.received(place)
    assert sorted((one.id, orjson.dumps(one.data)) for one in arrived) == sorted(
        (message.delivery_id, orjson.dumps(orjson.loads(message.data))) for message in wanted
    )


async def test_membership_changes_are_not_joined(tmp_path: Path, broker: Broker, place: str):
    await broker.create(place)
    async with running(tmp_path) as hub:
        destination = await connect(hub, broker, place)
        await control.pause(hub.engine, destination)
        users = [await hub.place.user(f"u{number}") for number in range(5)]
        group = await hub.place.group("readers")
        for user in users:
            await hub.place.members(group, add=[user])
        await control.resume(hub.engine, await hub.again())
        await hub.caught_up()
        types = [one.attributes["type"] for one in await broker.received(place) if one.attributes["subject"] == group]
        assert types == ["scimhub.group.created", *["scimhub.group.member.added"] * 5]
        await check_all(hub, await broker.received(place))


async def test_a_backfill_tells_everybody_beside_what_happens(tmp_path: Path, broker: Broker, place: str):
    await broker.create(place)
    async with running(tmp_path) as hub:
        ids = [await hub.place.user(f"u{number}") for number in range(40)]
        await hub.place.group("readers", *ids[:5])
        destination = await connect(hub, broker, place, after=None)
        if destination.configuration.get("order") == "stream":
            pytest.skip("A stream takes all in the order of the log")
        begun = await restating.begin(hub.engine, destination)
        for id in ids[::3]:
            await hub.place.set(id, title="boss")

        async def is_over() -> bool:
            found = await restating.progress(hub.engine, destination)
            return found is not None and found.backfill.is_over

        while not await is_over():
            await asyncio.sleep(0.01)
        await hub.caught_up()
        # A change that waits for its resource's state lets the cursor pass.
        await hub.nothing_held()
        arrived = await broker.received(place)
        newest: dict[str, int] = defaultdict(int)
        for one in arrived:
            assert one.data["version"] >= newest[one.data["id"]]
            newest[one.data["id"]] = one.data["version"]
        assert newest == {id: 2 if id in ids[::3] else 1 for id in newest}
        assert len(newest) == 41
        told = [one for one in arrived if one.attributes["type"].endswith(".state")]
        assert {one.attributes["subject"] for one in told} == set(newest)
        assert all(one.id.endswith(begun.id) for one in told)


async def test_check_sends_a_test_event_and_disturbs_nothing(tmp_path: Path, broker: Broker, place: str):
    await broker.create(place)
    async with running(tmp_path) as hub:
        destination = await connect(hub, broker, place)
        await hub.place.user("before")
        await hub.caught_up()
        assert isinstance(await control.check(hub.engine, destination), Delivered)
        await hub.place.user("after")
        await hub.caught_up()
        first, test, last = await broker.received(place)
        assert test.attributes["type"] == "scimhub.test"
        assert test.data == {"destination": "payroll", "directory": "acme"}
        await check_all(hub, [first, last])


# --------------------------------------------------------------------------- the broker is away


async def test_without_the_broker_nothing_is_held_and_all_arrives_when_it_comes(tmp_path: Path, broker: Broker, place: str):
    await broker.create(place)
    async with running(tmp_path) as hub:
        broker.kill()
        try:
            destination = await connect(hub, broker, place, timeout=1)
            checked = await control.check(hub.engine, destination)
            assert isinstance(checked, Retry)
            assert checked.blame == "destination"
            await work(hub)
            await until(lambda: hub.pump(destination).breaker.state == "open", "the breaker's opening")
            assert await hub.held() == {}
            assert hub.pump(destination).cursor == 0
        finally:
            broker.start()
        await broker.create(place)
        await recovered(hub, destination)
        await check_all(hub, await broker.received(place))


async def test_a_broker_that_dies_at_work_loses_nothing_that_it_confirmed(tmp_path: Path, broker: Broker, place: str):
    if not broker.is_durable:
        pytest.skip(f"the {broker.kind} of the tests keeps nothing beyond its end")
    await broker.create(place)
    async with running(tmp_path) as hub:
        destination = await connect(hub, broker, place, timeout=3)
        await work(hub)
        await until(lambda: hub.pump(destination).delivered > 3, "the first deliveries")
        broker.kill()
        await work_more(hub)
        broker.start()
        await recovered(hub, destination)
        concurrency = destination.configuration["concurrency"]
        assert isinstance(concurrency, int)
        await check_all(hub, await broker.received(place), 0 if broker.drops_repetitions else concurrency)
        assert await hub.held() == {}


async def test_a_place_that_is_removed_and_made_again_gets_all_that_came_after(tmp_path: Path, broker: Broker, place: str):
    if not broker.names_a_missing_place:
        pytest.skip(f"{broker.kind} makes its places itself")
    await broker.create(place)
    async with running(tmp_path) as hub:
        destination = await connect(hub, broker, place, timeout=2)
        await work(hub)
        await hub.caught_up()
        before = len(await expected(hub))
        await broker.remove(place)
        await work_more(hub)
        await until(lambda: hub.pump(destination).breaker.state == "open", "the breaker's opening")
        # What was under way when it went away may say less.
        await until(lambda: place in hub.pump(destination).error or hub.pass_time(1), "a reason that names it")
        assert await hub.held() == {}
        await broker.create(place)
        await recovered(hub, destination)
        wanted = [message.delivery_id for message in (await expected(hub))[before:]]
        arrived = [one.id for one in await broker.received(place)]
        assert sorted(arrived) == sorted(wanted)
        assert await hub.held() == {}


async def test_a_broker_that_takes_all_and_confirms_nothing_is_waited_for(tmp_path: Path, broker: Broker, place: str):
    await broker.create(place)
    async with running(tmp_path) as hub:
        destination = await connect(hub, broker, place, timeout=1)
        await work(hub)
        await hub.caught_up()
        try:
            broker.freeze()
        except NotImplementedError:
            pytest.skip(f"this {broker.kind} cannot be frozen")
        try:
            await work_more(hub)
            await until(lambda: hub.pump(destination).breaker.state == "open", "the breaker's opening")
            # Others of a transaction that was not confirmed are told that it broke off.
            said = ("did not confirm within 1 seconds", "broke off before the event was confirmed")
            assert any(one in hub.pump(destination).error for one in said)
            assert await hub.held() == {}
        finally:
            broker.thaw()
        await recovered(hub, destination)
        # What was sent and not confirmed may be there, and comes again.
        await check_all(hub, await broker.received(place), 0 if broker.drops_repetitions else hub.pump(destination).failed)
        assert await hub.held() == {}


async def recovered(hub: Hub, destination: Destination) -> None:
    """Until the destination is found to be well again and has all; nobody waits for the breaker's pauses."""
    head = await hub.store.last_position()
    await until(lambda: hub.pump(destination).cursor >= head or hub.pass_time(1), "recovery")
    await hub.caught_up()


async def work_more(hub: Hub) -> None:
    for number in range(10):
        id = await hub.place.user(f"late-{number}")
        await hub.place.set(id, title="t")


async def test_what_a_crash_of_the_hub_repeats_has_the_same_ids_and_content(tmp_path: Path, broker: Broker, place: str):
    await broker.create(place)
    async with running(tmp_path) as hub:
        destination = await connect(hub, broker, place)
        await work(hub)
        await hub.caught_up()
        before = len(await expected(hub))
        # As if it had died before anything of this was settled.
        async with hub.engine.halted(destination):
            sql = "UPDATE destinations SET cursor = 0, ahead = '[]' WHERE key = ?"
            await hub.store.database.write(lambda connection: connection.execute(sql, (destination.key,)))
        await hub.caught_up()
        arrived = await broker.received(place)
        await check_all(hub, arrived, before)
        assert len(arrived) == (before if broker.drops_repetitions else 2 * before)


# --------------------------------------------------------------------------- the broker refuses


async def test_without_the_place_nothing_is_held_and_the_reason_names_it(tmp_path: Path, broker: Broker, place: str):
    if not broker.names_a_missing_place:
        pytest.skip(f"{broker.kind} makes its places itself")
    async with running(tmp_path) as hub:
        destination = await connect(hub, broker, place)
        checked = await control.check(hub.engine, destination)
        assert isinstance(checked, Retry)
        assert checked.blame == "destination"
        assert place in checked.reason
        await work(hub)
        await until(lambda: hub.pump(destination).breaker.state == "open", "the breaker's opening")
        assert await hub.held() == {}
        await broker.create(place)
        await recovered(hub, destination)
        await check_all(hub, await broker.received(place))


async def test_what_is_too_large_is_refused_with_both_sizes_and_holds_its_own_resource_only(
    tmp_path: Path, broker: Broker, place: str
):
    if broker.least_limit is None:
        pytest.skip(f"{broker.kind} has no limit that an event could reach")
    await broker.create(place, largest=broker.least_limit)
    async with running(tmp_path) as hub:
        destination = await connect(hub, broker, place)
        large = await hub.place.user("large", title="x" * broker.least_limit)
        small = await hub.place.user("small")
        await until(lambda: hub.pump(destination).held == 1 or hub.pass_time(1), "the hold")
        await hub.caught_up()
        (reason,) = (await hub.held()).values()
        assert large in await hub.held()
        assert "bytes" in reason
        assert f"{broker.least_limit:,}" in reason
        assert [one.attributes["subject"] for one in await broker.received(place)] == [small]


async def test_a_wrong_secret_is_told_and_is_the_destinations_failure(tmp_path: Path, broker: Broker, place: str):
    if broker.secured is None:
        pytest.skip(f"the {broker.kind} of the tests lets everybody in")
    await broker.create(place)
    secret, keys = broker.secured
    async with running(tmp_path) as hub:
        destination = await connect(hub, broker, place, secret="canary-secret", **keys)
        checked = await control.check(hub.engine, destination)
        assert isinstance(checked, Retry)
        assert checked.blame == "destination"
        assert "canary-secret" not in checked.reason + checked.excerpt
        made = await control.rotate(hub.engine, destination, secret=secret)
        assert made.secret == ""
        assert isinstance(await control.check(hub.engine, destination), Delivered)
        stored = await hub.secrets(destination.name)
        assert [one.value.decode() for one in stored if one.expires is None] == [secret]
        # A former password is of no use to anybody.
        assert all(one.expires <= one.created or one.expires[:16] <= stored[0].created[:16] for one in stored if one.expires)


async def test_nothing_personal_is_in_logs_attempts_holds_or_states(
    tmp_path: Path, broker: Broker, place: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    await broker.create(place, largest=broker.least_limit)
    async with running(tmp_path) as hub:
        destination = await connect(hub, broker, place)
        await work(hub)
        if broker.least_limit is not None:
            await hub.place.user("canary-user-large", title="canary-title" * broker.least_limit)
        broker.kill()
        try:
            await hub.place.user("canary-user-of-the-dead")
            await until(lambda: hub.pump(destination).failed, "a failure")
        finally:
            broker.start()
        await broker.create(place, largest=broker.least_limit)
        await recovered(hub, destination)
        assert hub.noted.attempts
        told = [caplog.text, *map(repr, hub.noted.attempts), repr(await hub.held()), repr(await hub.again())]
        told += [repr(record.__dict__) for record in caplog.records]
    assert [canary for canary in CANARIES for text in told if canary in text] == []
