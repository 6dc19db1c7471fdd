"""What is Kafka's own: partitions, idempotence without gaps, what brokers answer, compacted topics."""

import asyncio
import gc
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError

from scimhub.destinations import kafka_production, kinds
from scimhub.destinations.kafka_production import _GATHERED as GATHERED
from scimhub.distribution.delivery import Delivered, Message, Outcome, Rejected, Retry
from tests.destinations.broker import HERE, opened, send
from tests.destinations.broker_kafka import MockKafkaBroker, fetch
from tests.destinations.broker_list import open_broker
from tests.destinations.receivers import message
from tests.distribution.outside import open_outside, until
from tests.servers.mock_kafka import PRODUCE


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MockKafkaBroker]:
    with open_broker("kafka", tmp_path_factory.mktemp("kafka")) as opened:
        assert isinstance(opened, MockKafkaBroker)
        yield opened


def of(key: str, id: str = "e1") -> Message:
    return message(id, subject=key, partitionkey=key)


def murmur2(key: bytes) -> int:
    """The hash by which Kafka's Java clients choose a partition, written down from its description."""
    prime, mask = 0x5BD1E995, 0xFFFFFFFF
    hash = 0x9747B28C ^ len(key)
    whole = len(key) // 4 * 4
    for first in range(0, whole, 4):
        block = int.from_bytes(key[first : first + 4], "little") * prime & mask
        block = (block ^ block >> 24) * prime & mask
        hash = (hash * prime & mask) ^ block
    if rest := key[whole:]:
        hash = (hash ^ int.from_bytes(rest, "little")) * prime & mask
    hash = (hash ^ hash >> 13) * prime & mask
    return (hash ^ hash >> 15) & 0x7FFFFFFF


# The last are those of the Java client's own tests.
@pytest.mark.parametrize("key, hash", [("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536)])
def test_the_hash_of_the_tests_is_that_of_the_java_client(key: str, hash: int):
    assert murmur2(key.encode()) == hash & 0x7FFFFFFF


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux lists the threads of a process")
async def test_a_sender_that_was_closed_leaves_no_thread_behind(broker: MockKafkaBroker):
    def threads() -> int:
        return len(os.listdir("/proc/self/task"))

    await broker.create("threads")
    gc.disable()
    try:
        counts = []
        for number in range(4):
            async with opened("kafka", broker.configuration("threads")) as sender:
                assert await sender.send(of("k", f"e{number}")) == Delivered()
            counts.append(threads())
    finally:
        gc.enable()
    # The loop's own threads for what waits come one by one.
    assert counts[-1] - counts[0] <= 3, counts


async def test_a_resource_goes_to_the_partition_to_which_java_clients_send_its_key(broker: MockKafkaBroker):
    await broker.create("partitions", partitions=7)
    async with opened("kafka", broker.configuration("partitions")) as sender:
        for number in range(40):
            assert await sender.send(of(f"resource-{number}", f"e{number}")) == Delivered()
    arrived = await broker.received("partitions")
    assert len(arrived) == 40
    assert {one.key: one.more["partition"] for one in arrived} == {one.key: murmur2(one.key.encode()) % 7 for one in arrived}


# --------------------------------------------------------------------------- what brokers answer


@pytest.mark.parametrize(
    "code, outcome",
    [
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, Retry),
        (KafkaError.INVALID_RECORD, Rejected),
        (KafkaError.POLICY_VIOLATION, Rejected),
    ],
)
async def test_each_refusal_is_understood(broker: MockKafkaBroker, code: int, outcome: type):
    topic = f"refusing-{code}"
    await broker.create(topic)
    async with opened("kafka", {**broker.configuration(topic), "timeout": 2}) as sender:
        assert await sender.send(of("u", "e0")) == Delivered()
        broker.cluster.push_errors(PRODUCE, *[code] * 3)
        told = await sender.send(of("u"))
        assert isinstance(told, outcome), told
        assert not isinstance(told, Retry) or told.blame == "destination"
        broker.cluster.clear_errors(PRODUCE)
        await until_delivered(sender, of("u", "e2"))


async def test_only_what_was_sent_alone_is_refused_for_its_size(broker: MockKafkaBroker):
    await broker.create("alone")
    async with opened("kafka", {**broker.configuration("alone"), "timeout": 2}) as sender:
        assert await sender.send(of("u", "e0")) == Delivered()
        broker.cluster.push_errors(PRODUCE, *[KafkaError.MSG_SIZE_TOO_LARGE] * 2)
        sentence = "The topic alone refused a batch for its size; the event is sent again alone."
        assert await sender.send(of("u")) == Retry(sentence, "resource")
        assert isinstance(await sender.send(of("u")), Rejected)
        assert await sender.send(of("u", "e2")) == Delivered()


async def until_delivered(sender: Any, some: Message) -> None:
    for _ in range(5):
        outcome = await sender.send(some)
        if outcome == Delivered():
            return
    raise AssertionError(outcome)


async def test_a_topic_that_is_not_there_is_named_and_used_as_soon_as_it_is(broker: MockKafkaBroker):
    await broker.create("absent")
    broker.cluster.set_topic_error("absent", KafkaError.UNKNOWN_TOPIC_OR_PART)
    async with opened("kafka", {**broker.configuration("absent"), "timeout": 1}) as sender:
        outcome = await sender.send(of("u"))
        assert isinstance(outcome, Retry)
        assert outcome.blame == "destination"
        assert "absent" in outcome.reason
        assert "nknown topic" in outcome.reason
        broker.cluster.set_topic_error("absent", KafkaError.NO_ERROR)
        await until_delivered(sender, of("u"))


async def test_too_few_replicas_and_other_passing_troubles_are_waited_out(broker: MockKafkaBroker):
    await broker.create("passing")
    async with opened("kafka", broker.configuration("passing")) as sender:
        assert await sender.send(of("u", "e0")) == Delivered()
        broker.cluster.push_errors(
            PRODUCE,
            KafkaError.NOT_ENOUGH_REPLICAS,
            KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
            KafkaError.REQUEST_TIMED_OUT,
            KafkaError.NOT_LEADER_FOR_PARTITION,
        )
        assert await sender.send(of("u")) == Delivered()


async def test_a_producer_that_can_go_on_no_more_is_replaced(broker: MockKafkaBroker):
    await broker.create("fatal")
    async with opened("kafka", broker.configuration("fatal")) as sender:
        assert await sender.send(of("u", "e0")) == Delivered()
        broker.cluster.push_errors(PRODUCE, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
        await sender.send(of("u"))
        broker.cluster.clear_errors(PRODUCE)
        await until_delivered(sender, of("u", "e2"))


async def test_the_thread_that_hears_of_records_outlives_a_defect(broker: MockKafkaBroker, monkeypatch: pytest.MonkeyPatch):
    is_raised = threading.Event()

    def explode(*_: object) -> None:
        is_raised.set()
        raise ZeroDivisionError

    await broker.create("outliving")
    monkeypatch.setattr(kafka_production, "_LOOK_EVERY_MS", 10)
    monkeypatch.setattr(kafka_production.Production, "_note_members", explode)
    async with opened("kafka", broker.configuration("outliving")) as sender, asyncio.timeout(20):
        assert await sender.send(of("u", "e0")) == Delivered()
        assert await asyncio.to_thread(is_raised.wait, 10)
        assert await sender.send(of("u", "e1")) == Delivered()


async def test_reports_leave_others_their_turn_however_many_come(broker: MockKafkaBroker):
    await broker.create("reports")
    async with opened("kafka", broker.configuration("reports")) as sender:
        assert await sender.send(of("u", "e0")) == Delivered()
        round, rounds, told = 0, [], sender._connection.client._reports
        sender.listen(lambda some: rounds.extend([round] * len(some)))
        for number in range(2 * GATHERED):
            assert sender.post(of(f"u{number}"))
            # The loop stands still, so that the library's thread calls it more than once.
            if (number + 1) % GATHERED == 0:
                wait_here(lambda number=number: len(told) > number)
        while len(rounds) < 2 * GATHERED:
            await asyncio.sleep(0)
            round += 1
    assert max(Counter(rounds).values()) == 32


async def test_records_that_come_together_are_told_of_each_and_those_that_gather_when_it_ends_as_lost(broker: MockKafkaBroker):
    await broker.create("gathering")
    told: dict[str, Outcome] = {}
    async with opened("kafka", broker.configuration("gathering")) as sender:
        assert await sender.send(of("u", "first")) == Delivered()
        sender.listen(lambda some: told.update((message.delivery_id, outcome) for message, outcome in some))
        for number in range(GATHERED + 1):
            assert sender.post(of(f"u{number}", f"e{number}"))
        await until(lambda: len(told) == GATHERED + 1, "all of them")
        assert set(told.values()) == {Delivered()}
        assert sender.post(of("u", "last"))
    assert isinstance(told["last"], Retry)
    assert (told["last"].blame, len(await broker.received("gathering"))) == ("destination", GATHERED + 2)


@pytest.mark.ci  # librdkafka's own pauses take five seconds
async def test_late_reports_of_a_producer_that_was_replaced_leave_its_successor_alone(broker: MockKafkaBroker):
    await broker.create("late")
    async with opened("kafka", broker.configuration("late")) as sender:
        assert await sender.send(of("u", "e0")) == Delivered()
        former = sender._connection.client
        told: list[Outcome] = []

        def tell(some: Sequence[tuple[Message, Outcome]]) -> None:
            told.extend(outcome for _, outcome in some)
            # Reports come in over many rounds of the loop, and for longer than the successor needs to begin.
            end = time.monotonic() + 0.0004 * len(some)
            wait_here(lambda: time.monotonic() > end)

        sender.listen(tell)
        broker.kill()
        for number in range(8000):
            assert sender.post(of(f"u{number}"))
        broker.cluster.push_errors(PRODUCE, *[KafkaError.TOPIC_AUTHORIZATION_FAILED] * 500)
        broker.start()
        await until(lambda: sender._connection.client is not former, "the first report")
        broker.cluster.clear_errors(PRODUCE)
        await until_delivered(sender, of("u", "e1"))
        assert len(told) < 8000
        successor = sender._connection.client
        await until(lambda: len(told) == 8000, "the last report")
        assert sender._connection.client is successor


def wait_here(is_so: Callable[[], bool]) -> None:
    """Wait without giving others on the loop a turn."""
    end = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < end


@pytest.mark.ci  # a record's time has to end
async def test_what_was_said_before_a_success_is_told_of_no_later_failure(broker: MockKafkaBroker):
    """Such as a password that was refused, or a broker that was away, an hour before another cause keeps records waiting."""
    await broker.create("said")
    async with opened("kafka", {**broker.configuration("said"), "timeout": 2}) as sender:
        assert await sender.send(of("a")) == Delivered()
        broker.kill()
        away = await sender.send(of("a"))
        broker.start()
        assert await sender.send(of("a")) == Delivered()
        broker.cluster.push_errors(PRODUCE, *[KafkaError.NOT_LEADER_FOR_PARTITION] * 500)
        try:
            later = await sender.send(of("a"))
        finally:
            broker.cluster.clear_errors(PRODUCE)
    assert isinstance(away, Retry)
    assert "Connection refused" in away.reason
    assert later == Retry(f"{broker.servers} did not confirm within 2 seconds.", "destination")


@pytest.mark.ci  # a record's time has to end
async def test_records_that_time_out_leave_no_gap_behind_them(broker: MockKafkaBroker, tmp_path: Path):
    await broker.create("gaps")
    async with open_outside(tmp_path, kinds=kinds(HERE, lambda: 0.0), chance=0.0) as hub:
        destination = await hub.destination(kind="kafka", **{**broker.configuration("gaps"), "timeout": 1})
        users = [await hub.place.user(f"u{number}") for number in range(5)]
        await until(lambda: hub.pump(destination).delivered, "the first deliveries")
        for round in range(2):
            broker.kill()
            failed = hub.pump(destination).failed
            for user in users:
                for step in range(3):
                    await hub.place.set(user, title=f"{round} {step}")
            await until(lambda failed=failed: hub.pump(destination).failed > failed, "a time-out")
            broker.start()
        head = await hub.store.last_position()
        await until(lambda: hub.pump(destination).cursor >= head or hub.pass_time(1), "recovery", 30)
        assert await hub.held() == {}
    arrived = await broker.received("gaps")
    for user in users:
        versions = list(dict.fromkeys(one.data["version"] for one in arrived if one.key == user))
        assert versions == list(range(1, 8))


# --------------------------------------------------------------------------- compacted topics


async def test_a_compacted_topic_gets_states_and_empty_values_for_deletes(broker: MockKafkaBroker, tmp_path: Path):
    await broker.create("compacted")
    wish = {**broker.configuration("compacted"), "format": "binary", "compacted": True}
    async with open_outside(tmp_path, kinds=kinds(HERE, lambda: 0.0)) as hub:
        await hub.destination(kind="kafka", **wish)
        user = await hub.place.user("u", title="t")
        group = await hub.place.group("g", user)
        await hub.place.members(group, remove=[user])
        await hub.place.delete("User", user)
        await hub.caught_up()
    arrived = await broker.received("compacted")
    types = {key: [one.attributes["type"] for one in arrived if one.key == key] for key in (user, group)}
    assert types == {
        user: ["scimhub.user.created", "scimhub.user.deleted"],
        group: ["scimhub.group.created", "scimhub.group.member.removed"],
    }
    last = {one.key: one for one in arrived}
    assert last[user].more["value"] is None
    assert last[user].attributes["subject"] == user
    assert set(last[group].data) == {"resourceType", "id", "version", "position", "cause", "changed", "resource"}
    assert last[group].data["resource"]["displayName"] == "g"


async def test_further_parts_of_a_group_do_not_hide_its_state(broker: MockKafkaBroker):
    await broker.create("parts")
    wish = {**broker.configuration("parts"), "format": "binary", "compacted": True}
    attributes = dict(of("g").attributes)
    async with opened("kafka", wish) as sender:
        first = Message("e1", attributes, b'{"id":"g","resource":{"id":"g"},"members":{"added":["u1"]},"part":1,"parts":2}')
        second = Message("e1_2", attributes, b'{"id":"g","members":{"added":["u2"]},"part":2,"parts":2}')
        assert [await sender.send(first), await sender.send(second)] == [Delivered(), Delivered()]
    assert [one.data for one in await broker.received("parts")] == [{"id": "g", "resource": {"id": "g"}}]


async def test_the_size_is_looked_at_before_anything_is_sent(broker: MockKafkaBroker):
    await broker.create("sizes")
    outcome = await send(broker, "sizes", Message("e1", of("u").attributes, b'"' + b"x" * 2000 + b'"'), largest_message=2000)
    assert isinstance(outcome, Rejected)
    assert outcome.reason.endswith(" bytes; the destination (largest_message) takes at most 2,000.")
    assert fetch(broker.servers, "sizes") == []
