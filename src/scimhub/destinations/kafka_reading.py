"""What consumers of a topic see of the transactions that were committed there, and the memory that these brought along."""

import logging
import time
from collections.abc import Collection, Mapping
from typing import Any, Final

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from scimhub.destinations.kafka_memory import Memory

# How often the library and we look again for what a transaction is about to show.
_LOOK_MS: Final = 2
_MOST_LOOK_SECONDS: Final = 0.1
# How long it may be hidden whether a transaction is ended.
_HIDDEN_SECONDS: Final = 0.2
_OPTIONS: Final = frozenset(("bootstrap.servers", "client.id", "log_level", "socket.keepalive.enable"))
_SECURITY: Final = ("security.", "sasl.", "ssl.")

_log = logging.getLogger(__name__)


class Foreign(Exception):
    """The consumer group of that name belongs to somebody else."""


class Reading:
    """A consumer of what is committed, in the group of that name; ``seconds`` is how long the cluster may take to answer.

    All methods wait, and raise KafkaException.
    """

    def __init__(self, topic: str, group: str, configuration: Mapping[str, Any], seconds: float) -> None:
        wish = {name: value for name, value in configuration.items() if name in _OPTIONS or name.startswith(_SECURITY)}
        reading = {**wish, "group.id": group, "enable.auto.commit": False, "retry.backoff.ms": _LOOK_MS}
        self._topic = topic
        self._group = group
        self._seconds = seconds
        self._admin = AdminClient(wish, logger=_log)
        self._consumer = Consumer(reading, logger=_log)

    @property
    def membership(self) -> object:
        """The group as a transaction names it."""
        return self._consumer.consumer_group_metadata()

    def brought(self) -> str:
        """The text that the last transaction brought along, once that one is ended; empty before the first."""
        (kept,) = self._consumer.committed([TopicPartition(self._topic, 0)], self._seconds)
        if kept.error is not None:
            raise KafkaException(kept.error)
        return kept.metadata or ""

    def memory(self) -> Memory:
        """What that text says; raises Foreign."""
        text = self.brought()
        try:
            return Memory.of_text(text) if text else Memory()
        except ValueError:
            raise Foreign(f"The consumer group {self._group} has offsets that are not the hub's") from None

    def await_ends(self, first: Mapping[int, int]) -> list[int]:
        """Wait until the transaction whose first records have these offsets, one for each partition, is ended there.

        The partitions where that cannot be told: another producer's transaction began before and is not ended.
        """
        begun = time.monotonic()
        while True:
            # Consumers see nothing from the first record on of whatever transaction is not ended.
            ends = self._ends(first, IsolationLevel.READ_COMMITTED)
            unseen = [partition for partition, end in ends.items() if end <= first[partition]]
            waited = time.monotonic() - begun
            if not unseen or (waited > _HIDDEN_SECONDS and all(ends[partition] < first[partition] for partition in unseen)):
                return unseen
            if waited > self._seconds:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "What was committed does not appear in the topic"))
            time.sleep(min(_MOST_LOOK_SECONDS, _LOOK_MS / 1000 + waited / 10))

    def unended(self) -> list[int]:
        """The partitions in which some transaction, of whomever, is not ended."""
        partitions = self._admin.list_topics(self._topic, self._seconds).topics[self._topic].partitions
        written = self._ends(partitions, IsolationLevel.READ_UNCOMMITTED)
        return [one for one, end in self._ends(partitions, IsolationLevel.READ_COMMITTED).items() if end < written[one]]

    def close(self) -> None:
        """Leave; nothing is written."""
        self._consumer.close()

    def _ends(self, partitions: Collection[int], level: IsolationLevel) -> dict[int, int]:
        """The offset behind the last record that a consumer of that level may see."""
        newest: Any = OffsetSpec
        asked = {TopicPartition(self._topic, partition): newest.latest() for partition in partitions}
        if not asked:
            return {}
        told = self._admin.list_offsets(asked, isolation_level=level, request_timeout=self._seconds)
        return {partition.partition: answer.result().offset for partition, answer in told.items()}
