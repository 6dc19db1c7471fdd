"""What is Redis' own: positions as entry ids, what is beyond them, memory, disk and replicas."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scimhub.destinations import kinds
from scimhub.distribution import control
from scimhub.distribution.delivery import Delivered, Message, Rejected, Retry
from tests.destinations.broker import HERE, opened, send
from tests.destinations.broker_list import open_broker
from tests.destinations.broker_redis import RedisBroker
from tests.destinations.receivers import message
from tests.distribution.outside import open_outside, until
from tests.servers.proxy import Proxy


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisBroker]:
    with open_broker("redis_streams", tmp_path_factory.mktemp("redis")) as opened:
        assert isinstance(opened, RedisBroker)
        yield opened


def at(position: int, id: str | None = None) -> Message:
    return message(id or f"e{position}", sequence=f"{position:020}")


async def test_entries_are_in_the_order_of_the_log_over_all_resources(broker: RedisBroker, tmp_path: Path):
    async with open_outside(tmp_path, kinds=kinds(HERE, lambda: 0.0)) as hub:
        destination = await hub.destination(kind="redis_streams", **broker.configuration("ordered"))
        await control.pause(hub.engine, destination)
        users = [await hub.place.user(f"u{number}") for number in range(4)]
        for step in range(3):
            for user in reversed(users):
                await hub.place.set(user, title=f"t{step}")
        await control.resume(hub.engine, await hub.again())
        await hub.caught_up()
        head = await hub.store.last_position()
    arrived = await broker.received("ordered")
    assert [one.more["entry"] for one in arrived] == [f"{position}-0" for position in range(1, head + 1)]


async def test_an_event_that_is_there_already_counts_as_delivered_and_is_not_repeated(broker: RedisBroker):
    for some in (at(1), at(2), at(1), at(2)):
        assert await send(broker, "again", some) == Delivered()
    assert [one.more["entry"] for one in await broker.received("again")] == ["1-0", "2-0"]


async def test_what_the_stream_is_beyond_and_does_not_have_is_refused(broker: RedisBroker):
    assert await send(broker, "beyond", at(5)) == Delivered()
    for some in (at(4), at(5, "another")):
        outcome = await send(broker, "beyond", some)
        assert isinstance(outcome, Rejected)
        assert "The stream beyond is beyond position" in outcome.reason
    assert [one.id for one in await broker.received("beyond")] == ["e5"]


async def test_a_refusal_stops_a_destination_that_takes_all_in_order(broker: RedisBroker, tmp_path: Path):
    assert await send(broker, "ahead", at(1000)) == Delivered()
    async with open_outside(tmp_path, kinds=kinds(HERE, lambda: 0.0)) as hub:
        destination = await hub.destination(kind="redis_streams", **broker.configuration("ahead"))
        await hub.place.user("u")
        await until(lambda: hub.engine.find_pump(destination.key) is None or hub.pass_time(5), "the stop")
        stopped = await hub.again()
        assert stopped.state == "failing"
        assert stopped.reason.startswith("It takes all in order and refuses position 1: The stream ahead is beyond position 1")
        assert await hub.held() == {}


async def test_further_parts_stand_behind_the_first_and_once(broker: RedisBroker):
    parts = [at(7), at(7, "e7_2"), at(7, "e7_3")]
    for some in [at(6), *parts, *parts, at(8)]:
        assert await send(broker, "parts", some) == Delivered()
    assert [(one.id, one.more["entry"]) for one in await broker.received("parts")] == [
        *(("e6", "6-0"), ("e7", "7-0"), ("e7_2", "7-1"), ("e7_3", "7-2"), ("e8", "8-0")),
    ]


async def test_a_further_part_costs_no_more_for_those_before_it(broker: RedisBroker):
    """The event of a group with a hundred thousand members has a hundred parts, of which each looks whether it is there."""

    async def sent_by_redis() -> int:
        async with broker.connect() as administrator:
            return int((await administrator.info("stats"))["total_net_output_bytes"])

    size, count = 10_000, 40
    ids = ["e9", *(f"e9_{number}" for number in range(2, count))]
    parts = [Message(id, at(9, id).attributes, b'"' + b"x" * size + b'"') for id in ids]
    before = await sent_by_redis()
    async with opened("redis_streams", broker.configuration("costly")) as sender:
        for part in parts:
            assert await sender.send(part) == Delivered()
    assert await sent_by_redis() - before < 2 * size * count
    assert [one.id for one in await broker.received("costly")] == [part.attributes["id"] for part in parts]


async def test_a_test_event_takes_no_position_from_an_event(broker: RedisBroker):
    test = message("t")
    del test.attributes["sequence"]  # type: ignore[attr-defined]
    for some in (test, at(1), test, at(1, "e1_2"), at(2), test, at(3)):
        assert await send(broker, "tests", some) == Delivered()
    entries = [(one.id, one.more["entry"]) for one in await broker.received("tests")]
    assert entries == [
        *(("t", "0-1"), ("e1", "1-0"), ("t", "1-1"), ("e1_2", "1-2"), ("e2", "2-0"), ("t", "2-1"), ("e3", "3-0")),
    ]


async def test_with_the_order_of_resources_a_repetition_is_appended_again(broker: RedisBroker):
    for some in (at(2), at(1), at(1)):
        assert await send(broker, "free", some, order="resource") == Delivered()
    assert [one.id for one in await broker.received("free")] == ["e2", "e1", "e1"]


async def test_a_stream_is_trimmed_to_about_the_entries_that_it_may_have(broker: RedisBroker):
    async with opened("redis_streams", {**broker.configuration("trimmed"), "most_entries": 100}) as sender:
        for position in range(1, 501):
            assert await sender.send(at(position)) == Delivered()
    assert 100 <= len(await broker.received("trimmed")) < 300


async def test_a_key_that_is_no_stream_is_told(broker: RedisBroker):
    async with broker.connect() as client:
        await client.set("text", "x")
    outcome = await send(broker, "text", at(1))
    assert isinstance(outcome, Retry)
    assert outcome.blame == "destination"
    assert "WRONGTYPE" in outcome.reason


async def test_without_memory_the_destination_waits(broker: RedisBroker):
    async with broker.connect() as client:
        await client.config_set("maxmemory", "1")
        try:
            outcome = await send(broker, "full", at(1))
        finally:
            await client.config_set("maxmemory", "0")
    assert isinstance(outcome, Retry)
    assert outcome.blame == "destination"
    assert "used memory" in outcome.reason
    assert await send(broker, "full", at(1)) == Delivered()


async def test_what_waits_for_a_replica_is_appended_once_however_often_it_is_tried(broker: RedisBroker):
    wish = {**broker.configuration("lacking"), "order": "resource", "replicas": 1, "timeout": 1}
    async with opened("redis_streams", wish) as sender:
        for _ in range(3):
            assert [type(await sender.send(at(number))) for number in (1, 2)] == [Retry, Retry]
        assert [one.id for one in await broker.received("lacking")] == ["e1", "e2"]
        async with broker.connect() as administrator:
            await administrator.delete("lacking")
        # What is not there any more comes again.
        assert isinstance(await sender.send(at(1)), Retry)
        assert [one.id for one in await broker.received("lacking")] == ["e1"]


@pytest.mark.parametrize("order", ["stream", "resource"])
async def test_a_server_that_became_a_replica_is_left_for_the_one_that_took_its_place(tmp_path: Path, order: str):
    servers = []
    for name in ("former", "next"):
        (tmp_path / name).mkdir()
        servers.append(RedisBroker(tmp_path / name))
        servers[-1].start()
    former, following = servers
    way = Proxy(former.program.port)
    way.start()
    try:
        wish = {**former.configuration("moved"), "server": f"127.0.0.1:{way.port}", "order": order}
        async with opened("redis_streams", wish) as sender, former.connect() as administrator:
            assert await sender.send(at(1)) == Delivered()
            # The connection to it lives on; only a new one is led to the other.
            await administrator.execute_command("REPLICAOF", "127.0.0.1", following.program.port)
            way.target = following.program.port
            outcome = await sender.send(at(2))
            assert isinstance(outcome, Retry)
            assert (outcome.blame, "read only replica" in outcome.reason) == ("destination", True)
            assert await sender.send(at(2)) == Delivered()
        assert [one.id for one in await following.received("moved")] == ["e2"]
    finally:
        way.kill()
        for server in servers:
            server.stop()


async def test_a_command_that_the_server_does_not_know_repeats_nothing_personal(tmp_path: Path):
    broker = RedisBroker(tmp_path, "--rename-command", "XADD", "")
    broker.start()
    try:
        outcome = await send(broker, "renamed", Message("canary", at(1, "canary").attributes, b'"canary"'))
    finally:
        broker.stop()
    assert outcome == Retry("Redis does not take the event: unknown command 'XADD'.", "destination")


async def test_an_entry_counts_once_it_is_on_disk_if_that_is_wanted(broker: RedisBroker):
    assert await send(broker, "disk", at(1), disk=True) == Delivered()
    async with broker.connect() as client:
        await client.config_set("appendonly", "no")
        try:
            outcome = await send(broker, "disk", at(2), disk=True)
        finally:
            await client.config_set("appendonly", "yes")
    assert isinstance(outcome, Retry)
    assert "appendonly" in outcome.reason


async def test_replicas_that_are_not_there_keep_an_event_from_counting(broker: RedisBroker):
    # The second time it is in the stream already, and still not where it must be.
    for _ in range(2):
        outcome = await send(broker, "replicas", at(1), replicas=2, timeout=1)
        assert outcome == Retry("0 of 2 replicas confirmed in time, the disk 0.", "destination")
    assert await send(broker, "replicas", at(1), disk=True) == Delivered()
    assert len(await broker.received("replicas")) == 1
