"""What Apache Kafka's ACLs forbid: which message names the right that lacks, and that all goes on once it is given."""

import asyncio
from collections.abc import Iterator
from itertools import count

import pytest
from confluent_kafka.admin import AclOperation, ResourceType

from scimhub.destinations import broker_connection
from scimhub.distribution.delivery import Delivered, Message, Outcome, Rejected, Retry
from scimhub.distribution.ports import Sender
from tests.destinations.broker import opened
from tests.destinations.broker_kafka import GuardedKafkaBroker, Right
from tests.destinations.broker_list import started
from tests.destinations.receivers import message
from tests.servers import kafka

pytestmark = pytest.mark.ci

TOPIC, GROUP, ID = ResourceType.TOPIC, ResourceType.GROUP, ResourceType.TRANSACTIONAL_ID
READ, WRITE, DESCRIBE = AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE
_NUMBERS = count(1)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedKafkaBroker]:
    with started("Apache Kafka with rights", GuardedKafkaBroker, tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


def event(size: int = 10) -> Message:
    """Another one each time, of another resource, whose data has about so many bytes."""
    number = next(_NUMBERS)
    attributes = {**message(f"e{number}").attributes, "sequence": f"{number:020}", "epoch": "ab", "partitionkey": f"r{number}"}
    return Message(f"e{number}", attributes, b'"' + b"x" * size + b'"')


async def send(sender: Sender, many: int = 1) -> list[Outcome]:
    """What comes of events that are sent one after the other."""
    return [await sender.send(event()) for _ in range(many)]


async def until_delivered(sender: Sender) -> None:
    """A right that was given holds a moment later; two tries in vain are what a producer may take to be another one."""
    async with asyncio.timeout(20):
        while not isinstance(await sender.send(event()), Delivered):
            await asyncio.sleep(0.01)


def assert_names(outcomes: list[Outcome], sentence: str) -> None:
    """All are the destination's own failures, and name the right."""
    for outcome in outcomes:
        assert isinstance(outcome, Retry), outcomes
        assert outcome.blame == "destination"
        assert outcome.reason.endswith(sentence), outcomes


async def test_rights_on_the_topic_are_named_each_time_and_nothing_stays_behind_when_they_come(broker: GuardedKafkaBroker):
    """Who may write nowhere has no idempotent producer at all, which its producer does not survive."""
    await broker.create("rights")
    needs = "; its user needs Write and Describe on the topic."
    write, describe = (TOPIC, "rights", WRITE), (TOPIC, "rights", DESCRIBE)
    async with opened("kafka", broker.configuration("rights"), kafka.SECRET) as sender:
        async with asyncio.timeout(120):
            assert_names(await send(sender, 3), needs)
            await broker.give(describe)
            assert_names(await send(sender, 3), needs)
            await broker.give(write)
            await until_delivered(sender)
            await broker.take(write)
            assert_names((await send(sender, 4))[1:], needs)
            await broker.give(write)
            await until_delivered(sender)
            # While many are under way.
            taking = asyncio.create_task(broker.take(write, describe))
            outcomes: list[Outcome] = []
            while not taking.done():
                outcomes += await asyncio.gather(*(sender.send(event()) for _ in range(50)))
            assert all(isinstance(outcome, Delivered | Retry) for outcome in outcomes)
            await broker.give(write, describe)
            await until_delivered(sender)
            assert await send(sender, 10) == [Delivered()] * 10


_ALL: dict[Right, str] = {
    (ID, "hub-tx", WRITE): "; its user needs Write and Describe on the transactional id hub-tx.",
    (GROUP, "hub-tx", READ): "; its user needs Read on the group hub-tx.",
    (TOPIC, "tx", WRITE): "; its user needs Write, Describe and Read on the topic.",
    (TOPIC, "tx", READ): "; its user needs Write, Describe and Read on the topic.",
}


async def test_rights_for_transactions_are_named_and_all_goes_on_when_they_come_back(broker: GuardedKafkaBroker):
    await broker.create("tx")
    wish = {**broker.configuration("tx"), "transactional_id": "hub-tx"}
    async with opened("kafka", wish, kafka.SECRET) as sender, asyncio.timeout(120):
        await broker.give(*_ALL)
        await until_delivered(sender)
        for right, needs in _ALL.items():
            await broker.take(right)
            assert_names((await send(sender, 3))[1:], needs)
            await broker.give(right)
            await until_delivered(sender)


@pytest.mark.parametrize("transactional_id", ["", "hub-sizes"])
async def test_without_the_right_to_ask_for_a_limit_small_events_are_not_refused_for_large_ones(
    broker: GuardedKafkaBroker, transactional_id: str
):
    place = f"hidden{len(transactional_id)}"
    await broker.create(place, largest=2000)
    await broker.give((TOPIC, place, WRITE), (TOPIC, place, READ), (GROUP, "hub-sizes", READ), (ID, "hub-sizes", WRITE))
    wish = {**broker.configuration(place), "transactional_id": transactional_id}
    async with opened("kafka", wish, kafka.SECRET) as sender, asyncio.timeout(120):
        await until_delivered(sender)
        await _assert_only_the_large_one_is_refused(sender)


async def test_a_limit_that_is_lowered_refuses_no_event_that_is_small_enough(broker: GuardedKafkaBroker):
    await broker.create("lowered", largest=50_000)
    await broker.give((TOPIC, "lowered", WRITE), (TOPIC, "lowered", AclOperation.DESCRIBE_CONFIGS))
    async with opened("kafka", broker.configuration("lowered"), kafka.SECRET) as sender, asyncio.timeout(120):
        await until_delivered(sender)
        await broker.limit("lowered", 2000)
        await _assert_only_the_large_one_is_refused(sender)


async def test_a_limit_that_is_raised_lets_through_what_was_refused(broker: GuardedKafkaBroker):
    await broker.create("raised", largest=2000)
    await broker.give((TOPIC, "raised", WRITE), (TOPIC, "raised", AclOperation.DESCRIBE_CONFIGS))
    async with opened("kafka", broker.configuration("raised"), kafka.SECRET) as sender, asyncio.timeout(120):
        await until_delivered(sender)
        await broker.limit("raised", 20_000)
        # All that were refused are tried at once.
        assert await asyncio.gather(*(sender.send(event(5000)) for _ in range(5))) == [Delivered()] * 5
        assert isinstance(await sender.send(event(30_000)), Rejected)


async def test_records_travel_together_again_once_the_hub_may_know_the_limit(
    broker: GuardedKafkaBroker, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(broker_connection, "_BELIEVED_SECONDS", 0.0)
    await broker.create("learnt", largest=2000)
    await broker.give((TOPIC, "learnt", WRITE))
    async with opened("kafka", broker.configuration("learnt"), kafka.SECRET) as sender, asyncio.timeout(120):
        await until_delivered(sender)
        await _assert_only_the_large_one_is_refused(sender)
        assert sender._connection.client.is_single
        await broker.give((TOPIC, "learnt", AclOperation.DESCRIBE_CONFIGS))
        # What is posted asks too.
        while (production := sender._connection.client) is not None and production.is_single:
            if not sender.post(event()):
                await sender.send(event())
            await asyncio.sleep(0)
        await until_delivered(sender)
        assert sender._connection.client.limit == 2000
        # That it was refused with this one once says nothing now.
        await broker.limit("learnt", 1_000_000)
        assert await sender.send(event(5000)) == Delivered()
        assert not sender._connection.client.is_single


async def _assert_only_the_large_one_is_refused(sender: Sender) -> None:
    """Of many at once, each tried until something came of it, as the hub does."""
    events = [event(5000 if number == 20 else 300) for number in range(40)]
    settled: dict[int, Outcome] = {}
    while len(settled) < len(events):
        left = [number for number in range(len(events)) if number not in settled]
        outcomes = await asyncio.gather(*(sender.send(events[number]) for number in left))
        settled |= {number: one for number, one in zip(left, outcomes, strict=True) if not isinstance(one, Retry)}
    assert [number for number, one in settled.items() if isinstance(one, Rejected)] == [20]
