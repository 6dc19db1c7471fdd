"""The kind ``kafka``: each event is a record keyed by its resource's id, delivered once all in-sync replicas have it.

An idempotent producer may still lose one record of a key and deliver the next, when a record waits longer than its time
limit. Here no two records of a key are ever under way, so that what failed is sent again before anything that follows.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, TypeVar

import orjson
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType

from scimhub.destinations import (
    broker_configuration,
    broker_connection,
    cloudevents_http,
    dialling,
    kafka_production,
    kafka_transactions,
)
from scimhub.destinations.broker_configuration import Server
from scimhub.destinations.broker_connection import Connection, Lost
from scimhub.destinations.egress import Policy, Refused
from scimhub.destinations.kafka_configuration import PORT, KafkaKeys
from scimhub.destinations.kafka_memory import Mark
from scimhub.destinations.kafka_production import Production, Record, Reports
from scimhub.destinations.kafka_reading import Foreign
from scimhub.destinations.kafka_transactions import Headers, Transactions
from scimhub.distribution.delivery import Delivered, Message, Outcome, Rejected, Retry
from scimhub.distribution.subscription import MEMBERS_CHANGED, VERBS

# After one of these a producer goes on failing for minutes or for ever, so the next message makes another one. A time-out
# is not among them: only the same producer's next epoch makes the broker refuse records that may still be on their way.
_LASTING: Final = frozenset(
    (
        *(KafkaError._FATAL, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION),
        *(KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED),
    )
)
# Another producer with the same transactional id has begun.
_FENCED: Final = frozenset((KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH))
# Events that tell of one change, whose positions say which: replays and states are repetitions that are meant.
_OF_CHANGES: Final = frozenset((*VERBS, MEMBERS_CHANGED))
_OF_MARKS: Final = frozenset(("sequence", "epoch"))
# Parts of an event's data that make no sense as a state.
_OF_MEMBERS: Final = frozenset(("members", "part", "parts"))
_ASK_SECONDS: Final = 2.0
# What librdkafka would take by itself, in bytes.
_USUAL_LIMIT: Final = 1_000_000
_LEAST_TRANSACTION_MS: Final = 60_000
# A transaction may wait for the one before it.
_TRANSACTION_PATIENCE: Final = 3

_DELIVERED: Final = Delivered()
_STRUCTURED: Final[Headers] = [("content-type", cloudevents_http.STRUCTURED)]

_log = logging.getLogger(__name__)

C = TypeVar("C")


class KafkaSender:
    """One open destination: a producer, and a thread that waits for what the brokers say."""

    def __init__(self, id: str, keys: KafkaKeys, password: str, policy: Policy) -> None:
        self._id = id
        self._keys = keys
        self._password = password
        self._policy = policy
        self._servers = broker_configuration.read_servers(keys.servers, PORT)
        self._where = ", ".join(broker_configuration.address(server) for server in self._servers)
        self._connection: Connection[Production] = Connection(self._connect, Production.end, keys.timeout)
        self._transactions: Connection[Transactions] = Connection(self._begin, Transactions.end, keys.timeout)
        self._limit = broker_connection.Renewal(self._look_at_limit)
        # The limit with which a batch was refused for its size; where no other is known, each record travels alone.
        self._refused_limit = 0
        self._tell: Callable[[Sequence[tuple[Message, Outcome]]], None] | None = None

    async def send(self, message: Message) -> Outcome:
        """Produce it and wait for the report; of a compacted topic's member lists there is nothing to send."""
        record = self._record_of(message)
        if record is None:
            return Delivered()
        mark = mark_of(message, self._id) if self._keys.transactional_id else None
        production = self._connection.client
        try:
            if production is None:
                production = await self._connection.use(_itself)
            if (production.is_single or not record.fits(production.limit)) and not self._keys.largest_message:
                await self._limit.again()
                production = await self._connection.use(_itself)
            if not record.fits(production.limit):
                return broker_connection.too_large(record.size, production.limit, self._limit_is_whose())
            # The library's own time limit ends the waiting; another one here would let it send what we gave up.
            if mark is None:
                error = await production.append(record)
            else:
                error = await self._append(record, mark)
            return Delivered() if error is None else self._failed(error, record, production)
        except BufferError:
            return Retry("The producer's queue is full.", "destination")
        except KafkaException as raised:
            return self._failed(raised.args[0], record, production)
        except Foreign as foreign:
            return Retry(f"{foreign}; give the destination another transactional_id.", "destination")
        except (Lost, OSError, TimeoutError) as failure:
            return broker_connection.of_failure(failure, self._where, self._keys.timeout)

    def listen(self, tell: Callable[[Sequence[tuple[Message, Outcome]]], None]) -> None:
        """Have ``tell`` called with what comes of messages that are posted."""
        self._tell = tell

    def post(self, message: Message) -> bool:
        """Produce it without waiting, if the producer is there and takes it at once."""
        production = self._connection.client
        if production is None or self._keys.transactional_id:
            return False
        if production.is_single and self._limit.is_due and not self._keys.largest_message:
            # It is asked whether the hub may know the limit by now, with which records travel together again.
            return False
        record = self._record_of(message)
        if record is None or not record.fits(production.limit):
            return False
        production.post(record, message)
        return True

    async def close(self) -> None:
        """End the producer; what is being sent fails."""
        await self._transactions.close()
        await self._connection.close()

    async def _append(self, record: Record, mark: Mark) -> KafkaError | None:
        """Have it committed, unless it is in the topic."""
        transactions = self._transactions.client
        if transactions is None:
            transactions = await self._transactions.use(_itself)
        error: KafkaError | None = KafkaError(KafkaError._TIMED_OUT)
        try:
            async with asyncio.timeout(_TRANSACTION_PATIENCE * self._keys.timeout):
                error = await transactions.produce(record.key, record.value, record.headers, mark)
        finally:
            if error is not None and self._transactions.client is transactions:
                # Whether it was committed nobody knows; the next one reads it.
                self._transactions.lose()
        return error

    async def _begin(self) -> Transactions:
        servers = await self._judged_servers()
        plain, seconds = self._connection.client, self._keys.timeout
        limit, is_single = (_USUAL_LIMIT, False) if plain is None else (plain.limit, plain.is_single)
        configuration = {
            **kafka_production.options(self._keys, self._password, limit, servers, is_single=is_single),
            "transactional.id": self._keys.transactional_id,
            "transaction.timeout.ms": max(_LEAST_TRANSACTION_MS, int(seconds * 1000)),
        }
        return await Transactions.begin(self._keys.topic, configuration, seconds)

    async def _connect(self) -> "Production":
        servers = await self._judged_servers()
        await self._judge_members(await asyncio.to_thread(self._ask_members, servers))
        asked = None if self._keys.largest_message else await asyncio.to_thread(self._ask_limit, servers)
        limit = self._keys.largest_message or asked or _USUAL_LIMIT
        if not (is_single := limit == self._refused_limit):
            self._refused_limit = 0
        return Production(
            self._keys.topic,
            limit,
            is_single,
            kafka_production.options(self._keys, self._password, limit, servers, is_single=is_single),
            self._look_at,
            self._landed,
        )

    async def _look_at_limit(self) -> None:
        """Ask the topic for its limit; if it is another by now, the next message makes another producer."""
        production = self._connection.client
        limit = await asyncio.to_thread(self._ask_limit, await self._judged_servers())
        if production is not None and limit not in (None, production.limit) and self._connection.client is production:
            self._connection.lose()

    async def _judged_servers(self) -> str:
        """Where to begin; without TLS by address, so that no name is asked for again. Raises Refused."""
        found: list[Server] = []
        for server in self._servers:
            judged = await dialling.judge(self._policy, server)
            # A certificate is for the name: whoever answers in its place gets no further than its own certificate.
            found += [server] if self._keys.tls else [(entry[4][0], entry[4][1]) for entry in judged]
        return ",".join(map(broker_configuration.address, found))

    async def _judge_members(self, members: Sequence[Server]) -> None:
        """Raise Refused when a broker of the cluster, as it names itself, may not be reached."""
        for member in members:
            with contextlib.suppress(socket.gaierror):  # a name without an address is left to the library
                await dialling.judge(self._policy, member)

    def _look_at(self, members: Sequence[Server]) -> None:
        """Judge the brokers that the library knows by now; it makes its connections itself."""

        async def look() -> None:
            try:
                await self._judge_members(members)
            except Refused as refusal:
                _log.warning("broker refused", extra={"servers": self._where, "reason": str(refusal)})
                self._connection.lose()

        self._looking = asyncio.ensure_future(look())

    def _record_of(self, message: Message) -> Record | None:
        """The record; None when a compacted topic is not to be told."""
        attributes = message.attributes
        key = broker_connection.key_of(message).encode()
        if self._keys.format == "structured":
            return Record(key, message.body, _STRUCTURED)
        value: bytes | None = message.data
        if self._keys.compacted and attributes["type"].endswith(".deleted"):
            # Nothing as the value is what lets the topic forget the key; the headers still tell what happened.
            value = None
        elif self._keys.compacted:
            content = orjson.loads(message.data)
            if content.get("part", 1) > 1:
                return None
            value = orjson.dumps({name: value for name, value in content.items() if name not in _OF_MEMBERS})
        return Record(key, value, list(zip(_header_names(tuple(attributes)), attributes.values(), strict=True)))

    def _landed(self, production: Production, reports: Reports) -> None:
        if self._tell is not None:
            told = [(message, self._refusal(message, error, production) if error else _DELIVERED) for message, error in reports]
            self._tell(told)

    def _refusal(self, message: Message, error: KafkaError, production: Production) -> Outcome:
        record = self._record_of(message)
        return _DELIVERED if record is None else self._failed(error, record, production)

    def _failed(self, error: KafkaError, record: Record, production: Production | None) -> Outcome:
        if production is not None and production.fatal is not None:
            # All that such a producer still says is that it is dead.
            error = production.fatal
        code, said, topic = error.code(), error.str().rstrip("."), self._keys.topic
        # What a producer that was replaced still reports says nothing of its successor.
        if (error.fatal() or code in _LASTING) and self._connection.client is production:
            self._connection.lose()
        if code == KafkaError.MSG_SIZE_TOO_LARGE and production is not None and not production.is_single:
            # Perhaps it was too large only with others in its batch.
            if self._connection.client is production:
                self._refused_limit = production.limit
                self._connection.lose()
            return Retry(f"The topic {topic} refused a batch for its size; the event is sent again alone.")
        if code == KafkaError.MSG_SIZE_TOO_LARGE:
            what = f"The event has {record.size:,} bytes; the topic {topic} takes less (max.message.bytes)"
            return Rejected(f"{what}; set largest_message to what it takes.")
        if code in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
            return broker_connection.of_failure(Lost(), self._where, self._keys.timeout)
        if kafka_transactions.is_refusal(error):
            return Rejected(f"Kafka refuses the record: {said}.")
        if code in _FENCED:
            taken = f"Another producer has the transactional_id {self._keys.transactional_id}"
            return Retry(f"{taken}; it must be this destination's own.", "destination")
        if code == KafkaError._MSG_TIMED_OUT:
            cause = f"; {production.noted.rstrip('.')}" if production is not None and production.noted else ""
            return Retry(f"{self._where} did not confirm within {self._keys.timeout:g} seconds{cause}.", "destination")
        return Retry(f"Kafka does not take records for the topic {topic}: {said}{self._lacks(code)}.", "destination")

    def _lacks(self, code: int) -> str:
        """The right that the hub lacks where the brokers say no more than that it lacks one; empty for other failures."""
        match code:
            case KafkaError.TOPIC_AUTHORIZATION_FAILED | KafkaError.CLUSTER_AUTHORIZATION_FAILED:
                # Who may write to no topic at all may not even have an idempotent producer.
                rights = "Write, Describe and Read" if self._keys.transactional_id else "Write and Describe"
                return f"; its user needs {rights} on the topic"
            case KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
                return f"; its user needs Write and Describe on the transactional id {self._keys.transactional_id}"
            case KafkaError.GROUP_AUTHORIZATION_FAILED:
                return f"; its user needs Read on the group {self._keys.transactional_id}"
        return ""

    def _limit_is_whose(self) -> str:
        if self._keys.largest_message:
            return "the destination (largest_message)"
        return f"the topic {self._keys.topic} (max.message.bytes)"

    def _ask_members(self, servers: str) -> list[Server]:
        """The brokers of the cluster as it names them, before any of them is connected to; empty when nobody answers."""
        with contextlib.suppress(Exception):  # why nobody answers the first record tells
            admin = AdminClient(kafka_production.options(self._keys, self._password, _USUAL_LIMIT, servers), logger=_log)
            told = admin.list_topics(self._keys.topic, _ASK_SECONDS)
            return [(str(broker.host), broker.port) for broker in told.brokers.values()]
        return []

    def _ask_limit(self, servers: str) -> int | None:
        """How many bytes a batch of the topic may have; None when the hub may not know. Waits for the cluster."""
        resource = ConfigResource(ResourceType.TOPIC, self._keys.topic)
        with contextlib.suppress(Exception):  # without the answer the usual limit holds
            admin = AdminClient(kafka_production.options(self._keys, self._password, _USUAL_LIMIT, servers), logger=_log)
            told = admin.describe_configs([resource], request_timeout=_ASK_SECONDS)[resource].result(_ASK_SECONDS)
            return int(told["max.message.bytes"].value)
        return None


async def _itself(client: C) -> C:
    return client


def mark_of(message: Message, destination_id: str) -> Mark | None:
    """Which event of the destination the message is; None for one that may come again on purpose, such as a replay's."""
    attributes = message.attributes
    verb = attributes["type"].partition(".")[2].partition(".")[2]
    if not attributes.keys() >= _OF_MARKS or "replayid" in attributes or verb not in _OF_CHANGES:
        return None
    part = attributes["id"].partition("_")[2] or "1"
    # Behind a state's id stands who asked for it.
    # One that is made anew under the same transactional id tells its own events; the end of its id tells it from the former.
    history = f"{attributes['epoch']}.{destination_id[-12:]}"
    return Mark(history, int(attributes["sequence"]), int(part)) if part.isdecimal() else None


@cache
def _header_names(attributes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple("content-type" if name == "datacontenttype" else f"ce_{name}" for name in attributes)
