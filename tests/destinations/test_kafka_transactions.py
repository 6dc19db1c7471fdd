"""Exactly-once append: what is remembered of what was committed, and what becomes of it when the hub begins anew."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st

from scimhub.destinations import kinds
from scimhub.destinations.kafka import mark_of
from scimhub.destinations.kafka_memory import REMEMBERED, Mark, Memory
from scimhub.destinations.kafka_transactions import Transactions
from scimhub.distribution import control
from scimhub.distribution.delivery import Delivered, Message, Rejected, Retry, Subscription
from tests.destinations.broker import HERE, opened
from tests.destinations.broker_kafka import ExactlyOnceKafkaBroker
from tests.destinations.broker_list import open_broker
from tests.destinations.receivers import message
from tests.distribution.outside import open_outside
from tests.servers.running import PATIENCE

# Of a destination.
ID = "01a21acb-173a-7d39-bde9-abcdefabcdef"
_MARKS = st.builds(Mark, st.just("ab12"), st.integers(1, 2**50), st.integers(1, 2000))


@given(st.lists(_MARKS, min_size=1, max_size=60))
def test_the_memory_is_what_it_was_after_it_was_written_and_read(marks: list[Mark]):
    memory = Memory().with_more(marks)
    again = Memory.of_text(memory.text())
    assert again.epoch == "ab12"
    assert all(again.has(mark) for mark in marks)
    assert set(again.marks) == set(memory.marks)


def test_a_thousand_events_fit_into_what_a_broker_takes():
    # Every second change is another directory's, and one event in ten came in two parts.
    marks = [
        Mark("ab12cd34.abcdefabcdef", 10**12 + 2 * number, part)
        for number in range(900)
        for part in (1, 2)[: 1 + (number % 10 == 0)]
    ]
    assert len(marks) < REMEMBERED
    memory = Memory().with_more(marks)
    assert len(memory.text()) <= 4096
    assert set(Memory.of_text(memory.text()).marks) == set(memory.marks)


def test_what_does_not_fit_is_forgotten_from_its_oldest_end():
    marks = [Mark("ab", 10**9 * number, 1) for number in range(1, REMEMBERED + 1)]
    text = Memory().with_more(marks).text()
    again = Memory.of_text(text)
    assert len(text) <= 4096
    assert again.has(marks[-1])
    assert not again.has(marks[0])


def test_positions_of_another_history_mean_nothing():
    memory = Memory().with_more([Mark("before", 7, 1)])
    assert memory.has(Mark("before", 7, 1))
    assert not memory.has(Mark("restored", 7, 1))
    after = memory.with_more([Mark("restored", 3, 1)])
    assert not after.has(Mark("before", 7, 1))
    assert after.has(Mark("restored", 3, 1))


@pytest.mark.parametrize("text", ["no base85 \x7f", "ab ~~~"])
def test_what_is_no_memory_is_refused(text: str):
    with pytest.raises(ValueError):
        Memory.of_text(text)


def test_a_replay_and_a_test_have_no_mark_and_a_part_has_its_own():
    assert mark_of(event(7), ID) == Mark("ab12.abcdefabcdef", 7, 1)
    assert mark_of(event(7, id="e7_3"), ID) == Mark("ab12.abcdefabcdef", 7, 3)
    assert mark_of(event(7, replayid="r1"), ID) is None
    assert mark_of(event(7, id="e7_01a21730-16df", type="scimhub.user.deleted"), ID) is None
    assert mark_of(message("e1", type="scimhub.test"), ID) is None


# --------------------------------------------------------------------------- on Apache Kafka


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExactlyOnceKafkaBroker]:
    with open_broker("kafka-exactly-once", tmp_path_factory.mktemp("kafka")) as opened:
        assert isinstance(opened, ExactlyOnceKafkaBroker)
        yield opened


def event(position: int, id: str = "", **more: str) -> Message:
    wish = {
        "type": more.pop("type", "scimhub.user.updated"),
        "sequence": f"{position:020}",
        "epoch": "ab12",
        "partitionkey": f"k{position}",
    }
    return message(id or f"e{position}", **wish, **more)


@pytest.mark.ci
async def test_what_was_committed_is_not_appended_again_by_the_next_producer(broker: ExactlyOnceKafkaBroker):
    await broker.create("again", partitions=3)
    some = [event(position) for position in range(1, 200)]
    for _ in range(3):
        async with opened("kafka", broker.configuration("again")) as sender:
            assert set(await asyncio.gather(*(until_delivered(sender, one) for one in some))) == {Delivered()}
            assert await sender.send(event(5, replayid="r1")) == Delivered()
    arrived = await broker.received("again")
    assert sorted(one.id for one in arrived if "replayid" not in one.attributes) == sorted(one.delivery_id for one in some)
    assert sum("replayid" in one.attributes for one in arrived) == 3


@pytest.mark.ci
async def test_a_destination_that_is_made_anew_is_not_taken_for_the_former(broker: ExactlyOnceKafkaBroker, tmp_path: Path):
    await broker.create("anew")
    async with open_outside(tmp_path, kinds=kinds(HERE, lambda: 0.0)) as hub:
        for attributes in (("userName",), ("userName", "title")):
            wish = Subscription(attributes=attributes)
            destination = await hub.destination(kind="kafka", wish=wish, **broker.configuration("anew"))
            if len(attributes) == 1:
                await hub.place.user("kim", title="boss")
            await hub.caught_up()
            await control.delete(hub.engine, destination)
    arrived = await broker.received("anew")
    assert ["title" in one.data["resource"] for one in arrived] == [False, True]


@pytest.mark.ci
async def test_what_a_killed_broker_confirmed_or_had_begun_is_there_once(broker: ExactlyOnceKafkaBroker):
    """Between the confirmation of a commit and the partitions' learning of it the broker may die, and then forget to tell."""
    await broker.create("killed", partitions=3)
    some = [event(position) for position in range(1, 21)]
    async with opened("kafka", broker.configuration("killed")) as sender:
        for first in range(0, 20, 10):
            begun = [asyncio.ensure_future(until_delivered(sender, one)) for one in some[first : first + 10]]
            await asyncio.wait(begun, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.to_thread(broker.kill)
            await asyncio.to_thread(broker.start)
            assert set(await asyncio.gather(*begun)) == {Delivered()}
    arrived = await broker.received("killed")
    assert sorted(one.id for one in arrived) == sorted(one.delivery_id for one in some)


@pytest.mark.ci
async def test_a_producer_that_was_followed_by_another_appends_nothing(broker: ExactlyOnceKafkaBroker):
    await broker.create("fenced")
    async with (
        opened("kafka", broker.configuration("fenced")) as former,
        opened("kafka", broker.configuration("fenced")) as next,
    ):
        await until_delivered(former, event(1))
        await until_delivered(next, event(2))
        outcome = await former.send(event(3))
        assert isinstance(outcome, Retry)
        assert "transactional_id hub-fenced" in outcome.reason
    assert [one.attributes["sequence"][-1] for one in await broker.received("fenced")] == ["1", "2"]


@pytest.mark.ci
async def test_an_event_that_is_refused_is_told_so_and_others_go_on(broker: ExactlyOnceKafkaBroker):
    await broker.create("refusing", largest=2000)
    wish = {**broker.configuration("refusing"), "largest_message": 100_000}
    async with opened("kafka", wish) as sender:
        await until_delivered(sender, event(1))
        large = Message("e2", {**event(2).attributes, "id": "e2"}, b'{"filler":"' + b"x" * 5000 + b'"}')
        # The second time it is alone in its batch.
        outcomes = [await sender.send(large) for _ in range(2)]
        assert [type(outcome) for outcome in outcomes] == [Retry, Rejected]
        await until_delivered(sender, event(3))
    assert [one.attributes["sequence"][-1] for one in await broker.received("refusing")] == ["1", "3"]


@pytest.mark.ci
async def test_a_transaction_of_another_producer_that_is_not_ended_holds_up_nothing(broker: ExactlyOnceKafkaBroker):
    await broker.create("shared")
    other = Producer({"bootstrap.servers": broker.servers, "transactional.id": "another"})
    await asyncio.to_thread(other.init_transactions, 20)
    async with opened("kafka", broker.configuration("shared")) as sender:
        await until_delivered(sender, event(1))
        other.begin_transaction()
        other.produce("shared", key=b"other")
        await asyncio.to_thread(other.flush, 5)
        for position in (2, 3, 4):
            assert await sender.send(event(position)) == Delivered()
        await asyncio.to_thread(other.abort_transaction, 5)
        assert await sender.send(event(5)) == Delivered()
    assert [one.attributes["sequence"][-1] for one in await broker.received("shared")] == ["1", "2", "3", "4", "5"]


@pytest.mark.ci
async def test_a_fault_that_nobody_expected_is_told_to_who_waits(broker: ExactlyOnceKafkaBroker):
    await broker.create("faulty")
    configuration = {"bootstrap.servers": broker.servers, "transactional.id": "hub-faulty"}
    transactions = await Transactions.begin("faulty", configuration, 5.0)
    no_headers: Any = [("name", object())]
    async with asyncio.timeout(PATIENCE):
        error = await transactions.produce(b"key", b"", no_headers, Mark("ab12", 1, 1))
        assert error is not None
        assert "TypeError" in error.str()
        assert await transactions.produce(b"key", b"", [], Mark("ab12", 2, 1)) is not None
        await transactions.end()


@pytest.mark.ci
async def test_while_the_broker_is_gone_who_waits_is_told_and_the_thread_ends(broker: ExactlyOnceKafkaBroker):
    await broker.create("gone")
    more = {"transactional.id": "hub-gone", "message.timeout.ms": 2000, "topic.metadata.propagation.max.ms": 1000}
    transactions = await Transactions.begin("gone", {"bootstrap.servers": broker.servers, **more}, 2.0)
    assert await transactions.produce(b"key", b"", [], Mark("ab12", 1, 1)) is None
    await asyncio.to_thread(broker.kill)
    try:
        async with asyncio.timeout(PATIENCE):
            assert await transactions.produce(b"key", b"", [], Mark("ab12", 2, 1)) is not None
            await transactions.end()
    finally:
        await asyncio.to_thread(broker.start)


async def until_delivered(sender: object, one: Message) -> object:
    """The outcome, once the cluster has a coordinator for what is new to it."""
    for _ in range(50):
        outcome = await sender.send(one)  # type: ignore[attr-defined]
        if outcome == Delivered():
            break
        await asyncio.sleep(0.1)
    return outcome
