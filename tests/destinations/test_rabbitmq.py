"""What is RabbitMQ's own: routing, queues that refuse, channels that die."""

import asyncio
from collections.abc import Iterator

import pytest

from scimhub.destinations.rabbitmq_configuration import PARTS
from scimhub.distribution.delivery import Delivered, Message, Rejected, Retry
from tests.destinations.broker import opened, send
from tests.destinations.broker_list import open_broker
from tests.destinations.broker_rabbitmq import RabbitBroker
from tests.destinations.receivers import message
from tests.servers import rabbitmq

pytestmark = pytest.mark.ci


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitBroker]:
    with open_broker("rabbitmq", tmp_path_factory.mktemp("rabbitmq")) as opened:
        assert isinstance(opened, RabbitBroker)
        yield opened


async def test_what_no_queue_takes_is_a_failure_although_the_broker_confirms_it(broker: RabbitBroker):
    async with await broker.connect() as connection:
        channel = await connection.channel()
        await channel.declare_exchange("unbound", "topic", durable=True)
    for wish in ({}, {"exchange": "", "routing_key": "no-such-queue"}):
        outcome = await send(broker, "unbound", **wish)
        assert isinstance(outcome, Retry)
        assert outcome.blame == "destination"
        assert outcome.reason.startswith("No queue takes what the ")
        assert wish.get("routing_key", "user.updated") in outcome.reason


async def test_the_default_exchange_puts_events_into_the_queue_of_that_name(broker: RabbitBroker):
    await broker.create("by-name")
    assert await send(broker, "by-name", exchange="", routing_key="by-name") == Delivered()
    assert len(await broker.received("by-name")) == 1


async def test_the_routing_key_has_the_parts_that_were_asked_for_and_nothing_personal(broker: RabbitBroker):
    await broker.create("parts")
    template = ".".join("{" + part + "}" for part in PARTS)
    some = message(type="scimhub.group.member.added", subject="g1")
    assert await send(broker, "parts", some, routing_key=template) == Delivered()
    (arrived,) = await broker.received("parts")
    assert arrived.more["routing_key"] == "acme.group.member.added.g1"


async def test_a_queue_that_refuses_makes_the_destination_wait(broker: RabbitBroker):
    await broker.create("full", **{"x-max-length": 1, "x-overflow": "reject-publish"})
    assert await send(broker, "full") == Delivered()
    outcome = await send(broker, "full")
    assert outcome == Retry("RabbitMQ did not accept the event (nack); a queue may be full.", "destination")


async def test_an_event_that_kills_the_channel_is_refused_alone(broker: RabbitBroker):
    await broker.create("channel")
    large = Message("large", message().attributes, b'"' + b"x" * 100_000 + b'"')
    async with opened("rabbitmq", broker.configuration("channel")) as sender:
        outcomes = await asyncio.gather(*(sender.send(one) for one in (message("e1"), large, message("e2"))))
        assert isinstance(outcomes[1], Rejected)
        assert not any(isinstance(one, Rejected) for one in (outcomes[0], outcomes[2]))
        assert Delivered() in [await sender.send(message("e3")) for _ in range(2)]
        # What was learnt is not forgotten: this one never reaches the broker.
        assert isinstance(await sender.send(large), Rejected)
        assert await sender.send(message("e4")) == Delivered()


async def test_the_message_id_is_that_of_the_delivery(broker: RabbitBroker):
    await broker.create("ids")
    assert await send(broker, "ids", Message("e1_r1", message("e1").attributes, b"{}")) == Delivered()
    (arrived,) = await broker.received("ids")
    assert (arrived.id, arrived.more["message_id"]) == ("e1", "e1_r1")


@pytest.mark.parametrize(
    "alarm, end",
    [
        (("set_vm_memory_high_watermark", "0.0000001"), ("set_vm_memory_high_watermark", "0.4")),
        (("set_disk_free_limit", "100000GB"), ("set_disk_free_limit", "1MB")),
    ],
    ids=["memory", "disk"],
)
async def test_an_alarm_is_told_and_costs_no_repetition_however_often_it_is_tried(
    broker: RabbitBroker, alarm: tuple[str, str], end: tuple[str, str]
):
    await broker.create(place := f"alarm-{alarm[0]}")
    async with opened("rabbitmq", {**broker.configuration(place), "timeout": 1}) as sender:
        assert await sender.send(message("e1")) == Delivered()
        await asyncio.to_thread(rabbitmq.control, broker.program, *alarm)
        try:
            outcomes = [await sender.send(message(id)) for id in ("e2", "e3", "e3", "e3")]
        finally:
            await asyncio.to_thread(rabbitmq.control, broker.program, *end)
        reason = f"{broker.server} blocks its publishers: it is short of memory or disk (an alarm)."
        assert outcomes == [Retry(reason, "destination")] * 4
        assert await sender.send(message("e3")) == Delivered()
    # The broker tells of an alarm to who publishes: what that was is with it.
    assert [one.id for one in await broker.received(place)] == ["e1", "e2", "e3"]


async def test_an_exchange_that_is_gone_is_named_each_time(broker: RabbitBroker):
    await broker.create("leaves")
    async with opened("rabbitmq", broker.configuration("leaves")) as sender:
        assert await sender.send(message("e1")) == Delivered()
        await broker.remove("leaves")
        outcomes = [await sender.send(message("e2")) for _ in range(4)]
        assert outcomes == [Retry("RabbitMQ has no exchange leaves in the virtual host /.", "destination")] * 4
        await broker.create("leaves")
        assert await sender.send(message("e2")) == Delivered()
