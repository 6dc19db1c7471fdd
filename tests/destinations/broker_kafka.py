"""Kafka: librdkafka's mock cluster where nothing but wheels is there, Apache Kafka where it can be had."""

import asyncio
import time
from pathlib import Path
from typing import Any

from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from tests.destinations.broker import Arrived, Json, of_event
from tests.servers.kafka import SECRET, open_kafka
from tests.servers.mock_kafka import MockKafka

# The library calls only errors of transactions retriable.
_LEADERLESS = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
# Of what, of which name, and what may be done there.
Right = tuple[ResourceType, str, AclOperation]


class MockKafkaBroker:
    kind = "kafka"
    formats = ("structured", "binary")
    drops_repetitions = False
    is_durable = True
    secret = None
    # It makes a topic as soon as somebody asks for it.
    names_a_missing_place = False
    least_limit: int | None = 2000
    secured = None

    def __init__(self, folder: Path) -> None:
        self.cluster = MockKafka()
        self._largest: dict[str, int] = {}

    def start(self) -> None:
        self.cluster.set_up(is_up=True)

    def kill(self) -> None:
        self.cluster.set_up(is_up=False)

    def stop(self) -> None:
        self.cluster.close()

    def freeze(self) -> None:
        raise NotImplementedError

    def thaw(self) -> None:
        """It cannot be frozen."""

    @property
    def servers(self) -> str:
        return self.cluster.servers

    def configuration(self, place: str) -> Json:
        # The mock has no limits and cannot be asked for them.
        limit = self._largest.get(place, 1_000_000)
        return {"servers": self.servers, "topic": place, "tls": False, "timeout": 5, "largest_message": limit}

    async def create(self, place: str, *, largest: int | None = None, partitions: int = 1, **more: Any) -> None:
        self.cluster.create_topic(place, partitions)
        if largest is not None:
            self._largest[place] = largest

    async def remove(self, place: str) -> None:
        raise NotImplementedError

    async def received(self, place: str) -> list[Arrived]:
        return [read(message) for message in fetch(self.servers, place)]


class ApacheKafkaBroker:
    kind = "kafka"
    formats = ("structured", "binary")
    drops_repetitions = False
    is_durable = True
    secret = None
    names_a_missing_place = True
    least_limit: int | None = 2000

    def __init__(self, folder: Path, **properties: str) -> None:
        self._limited: set[str] = set()
        self.program, secured = open_kafka(folder, **properties)
        self.start, self.stop, self.kill = self.program.start, self.program.stop, self.program.kill
        self.freeze, self.thaw = self.program.freeze, self.program.thaw
        keys = {"servers": f"127.0.0.1:{secured}", "authentication": "plain", "username": "hub"}
        self.secured: tuple[str, Json] | None = (SECRET, keys)

    @property
    def servers(self) -> str:
        return f"127.0.0.1:{self.program.port}"

    def configuration(self, place: str) -> Json:
        # To ask a broker that is not there for a limit takes two seconds; it is asked where the limit matters.
        limit = 0 if place in self._limited else 1_000_000
        return {"servers": self.servers, "topic": place, "tls": False, "timeout": 5, "largest_message": limit}

    async def create(self, place: str, *, largest: int | None = None, partitions: int = 1, **more: str) -> None:
        config = {"min.insync.replicas": "1", **more}
        if largest is not None:
            self._limited.add(place)
            config["max.message.bytes"] = str(largest)
        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
        creating = admin.create_topics([NewTopic(place, partitions, 1, config=config)], request_timeout=60)
        try:
            await asyncio.wrap_future(creating[place])
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise

    async def limit(self, place: str, largest: int) -> None:
        """Have the topic take messages of at most that many bytes from now on."""
        entry = ConfigEntry("max.message.bytes", str(largest), incremental_operation=AlterConfigOpType.SET)
        topic = ConfigResource(ResourceType.TOPIC, place, incremental_configs=[entry])
        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
        await asyncio.wrap_future(admin.incremental_alter_configs([topic])[topic])

    async def remove(self, place: str) -> None:
        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
        await asyncio.wrap_future(admin.delete_topics([place], request_timeout=60)[place])

    async def received(self, place: str) -> list[Arrived]:
        return [read(message) for message in fetch(self.servers, place)]


class GuardedKafkaBroker(ApacheKafkaBroker):
    """The same with ACLs: the user ``hub`` has the rights that it was given, who shows no secret has all."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            folder,
            authorizer_class_name="org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            super_users="User:ANONYMOUS",
        )

    def configuration(self, place: str) -> Json:
        assert self.secured is not None
        return {"topic": place, "tls": False, "timeout": 20, **self.secured[1]}

    async def give(self, *rights: Right) -> None:
        """Let the hub do it."""
        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
        await asyncio.gather(*map(asyncio.wrap_future, admin.create_acls([_rule(AclBinding, one) for one in rights]).values()))

    async def take(self, *rights: Right) -> None:
        """Let the hub do it no longer."""
        admin = AdminClient({"bootstrap.servers": self.servers, "log_level": 0})
        taken = admin.delete_acls([_rule(AclBindingFilter, one) for one in rights])
        await asyncio.gather(*map(asyncio.wrap_future, taken.values()))


def _rule(kind: Any, right: Right) -> Any:
    of_what, name, what = right
    return kind(of_what, name, ResourcePatternType.LITERAL, "User:hub", "*", what, AclPermissionType.ALLOW)


class ExactlyOnceKafkaBroker(ApacheKafkaBroker):
    """The same, to which events are appended in transactions; the consumer sees what is committed."""

    drops_repetitions = True

    def configuration(self, place: str) -> Json:
        return {**super().configuration(place), "transactional_id": f"hub-{place}"}


def fetch(servers: str, topic: str, **more: Any) -> list[Message]:
    """All records of the topic, partition by partition; what a transaction is about to show is waited for.

    A transaction is committed once its coordinator has written so; only afterwards is each partition told, and shows it.
    """
    wish = {"bootstrap.servers": servers, "group.id": "tests", "enable.partition.eof": True, "auto.offset.reset": "earliest"}
    ends = written(Consumer({**wish, "log_level": 0, **more, "isolation.level": "read_uncommitted"}), topic)
    consumer = Consumer({**wish, "log_level": 0, **more})
    try:
        consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
        found, ended = [], set()
        while len(ended) < len(ends):
            message = consumer.poll(10)
            assert message is not None, f"no end of {topic} within 10 s"
            error = message.error()
            if error is None:
                found.append(message)
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                if message.offset() >= ends[message.partition()]:
                    ended.add(message.partition())
        return found
    finally:
        consumer.close()


def written(consumer: Consumer, topic: str) -> dict[int, int]:
    """The end of each partition, of transactions that are not ended as well."""
    try:
        partitions = consumer.list_topics(topic, 10).topics[topic].partitions
        return {one: end_of(consumer, TopicPartition(topic, one)) for one in partitions}
    finally:
        consumer.close()


def end_of(consumer: Consumer, partition: TopicPartition) -> int:
    """The offset behind the last record; a broker that has just come back is given time to lead the partition."""
    limit = time.monotonic() + 10
    while True:
        try:
            return int(consumer.get_watermark_offsets(partition, 10)[1])
        except KafkaException as raised:
            if raised.args[0].code() not in _LEADERLESS or time.monotonic() > limit:
                raise
            time.sleep(0.05)


def read(message: Message) -> Arrived:
    key = (message.key() or b"").decode()
    headers = dict(message.headers() or [])
    value = message.value()
    # For the library an event without data has an empty value, and a tombstone none.
    event = from_kafka(KafkaMessage(headers, key, value or b""), JSONFormat(), CloudEvent)
    attributes, data = of_event(event)
    more = {"headers": headers, "partition": message.partition(), "value": value, "key": message.key()}
    return Arrived(key, attributes, None if value is None else data, more)
