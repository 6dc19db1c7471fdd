"""Exactly-once append to Kafka: records, and the memory of which events they were, are committed in one transaction.

The memory is the metadata of an offset that a consumer group of the producer's own commits (KIP-447), so that whoever opens
the destination next reads it, and leaves out what a crash repeats. Opening fences the producer before it: what that one had
not committed is aborted (KIP-98).

A commit is confirmed when the coordinator has it, before the partitions are told; a broker that is killed between may come
back and tell them never (Apache Kafka 4.4, seven times of twelve). So nothing counts as delivered that consumers do not see,
and opening ends, by an abort of its own, what a broker forgot to end.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from scimhub.destinations.kafka_memory import Mark, Memory
from scimhub.destinations.kafka_reading import Reading

_MOST_IN_TRANSACTION: Final = 500
_LOOK_SECONDS: Final = 0.02

_log = logging.getLogger(__name__)

Headers = list[tuple[str, str]]


@dataclass(slots=True, eq=False)
class _Record:
    key: bytes
    value: bytes | None
    headers: Headers
    mark: Mark
    report: "asyncio.Future[KafkaError | None]"
    error: KafkaError | None = None
    partition: int = 0
    offset: int = -1

    def note(self, error: KafkaError | None, appended: Any) -> None:
        """What the broker says of it alone."""
        self.error = error
        self.partition, self.offset = appended.partition(), appended.offset()


class Transactions:
    """A transactional producer, and a thread that commits what came meanwhile, again and again."""

    def __init__(self, topic: str, producer: Producer, reading: Reading, memory: Memory, seconds: float) -> None:
        self._topic = topic
        self._producer = producer
        self._reading = reading
        self._memory = memory
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Record] = []
        self._awake = threading.Condition()
        self._is_over = False
        self._is_lost = False
        self._thread = threading.Thread(target=self._run, name=f"kafka {topic}", daemon=True)
        self._thread.start()

    @classmethod
    async def begin(cls, topic: str, configuration: Mapping[str, Any], seconds: float) -> "Transactions":
        """Fence whoever had the transactional id, and read what was committed; raises KafkaException or Foreign."""
        producer, reading, memory = await asyncio.to_thread(_opened, topic, configuration, seconds)
        return cls(topic, producer, reading, memory, seconds)

    def produce(self, key: bytes, value: bytes | None, headers: Headers, mark: Mark) -> "asyncio.Future[KafkaError | None]":
        """None once the record is there for consumers, or was before; else what the brokers say, and then make another one."""
        report: asyncio.Future[KafkaError | None] = self._loop.create_future()
        with self._awake:
            self._waiting.append(_Record(key, value, headers, mark, report))
            self._awake.notify()
        return report

    async def end(self) -> None:
        """Abort what is not committed, tell who waits for it, and stop."""
        with self._awake:
            self._is_over = True
            self._awake.notify()
        self._tell(self._waiting, KafkaError(KafkaError._PURGE_QUEUE))
        # Some of the library's calls wait for a broker without end; then the thread stays behind until one is there, and
        # whatever it still would commit is fenced.
        while self._thread.is_alive():  # noqa: ASYNC110 - an event could not be set by a thread that hangs
            await asyncio.sleep(_LOOK_SECONDS)

    # ------------------------------------------------------------------ in the thread

    def _run(self) -> None:
        while (records := self._next()) is not None:
            if self._is_lost:
                self._tell_soon(records, KafkaError(KafkaError._PURGE_QUEUE))
                continue
            fresh: list[_Record] = []
            for record in records:
                if self._memory.has(record.mark):
                    self._tell_soon([record], None)
                else:
                    fresh.append(record)
            try:
                if fresh:
                    self._commit(fresh)
                self._tell_soon(fresh, None)
            except Exception as raised:
                # What nobody knows the next one reads. This one's next commit might end what it must not.
                self._is_lost = True
                error = _said(raised)
                if is_refusal(error):
                    # Of another record.
                    error = KafkaError(KafkaError._PURGE_QUEUE)
                for record in fresh:
                    self._tell_soon([record], record.error if is_refusal(record.error) else error)
        self._reading.close()

    def _next(self) -> list[_Record] | None:
        """What waits, None at the end."""
        with self._awake:
            while not self._waiting and not self._is_over:
                self._awake.wait()
            if self._is_over:
                return None
            some, self._waiting = self._waiting[:_MOST_IN_TRANSACTION], self._waiting[_MOST_IN_TRANSACTION:]
            return some

    def _commit(self, records: Sequence[_Record]) -> None:
        """Commit them together, and see them; raises KafkaException, and then none of them is there, or nobody knows."""
        memory = self._memory.with_more([record.mark for record in records])
        text = memory.text()
        try:
            self._producer.begin_transaction()
            for record in records:
                # The library takes more kinds of values than these, and its lists are invariant.
                wide: Any = record.headers
                try:
                    self._producer.produce(self._topic, record.value, record.key, headers=wide, on_delivery=record.note)
                except KafkaException as raised:
                    record.error = raised.args[0]
                    raise
            self._flush(records)
            offset = TopicPartition(self._topic, 0, 1, metadata=text)
            group = self._reading.membership
            self._persist(lambda seconds: self._producer.send_offsets_to_transaction([offset], group, seconds))
            self._persist(self._producer.commit_transaction)
        except KafkaException:
            self._abort()
            raise
        # Of several records in a partition the first one is that of the transaction.
        first = {record.partition: record.offset for record in reversed(records)}
        if hidden := self._reading.await_ends(first):
            _end_unended(self._topic, self._producer, self._reading, hidden, self._seconds)
        if self._reading.brought() != text:
            raise KafkaException(KafkaError(KafkaError._FENCED))
        self._memory = memory

    def _flush(self, records: Sequence[_Record]) -> None:
        try:
            left = self._producer.flush(self._seconds)
        except SystemError as odd:
            # The library raises a fatal error while it reports on records, and trips over it.
            raise (odd.__cause__ if isinstance(odd.__cause__, KafkaException) else odd) from None
        if left:
            raise KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT))
        for record in records:
            # To go on would be in vain, and the library's next call may not return (librdkafka 2.16).
            if record.error is not None:
                raise KafkaException(self._cause() if record.error.code() in _PURGED else record.error)

    def _cause(self) -> KafkaError:
        """Why the transaction failed, where its records are told no more than that it did."""
        try:
            # In vain, and then it says why.
            self._producer.begin_transaction()
        except KafkaException as raised:
            said: KafkaError = raised.args[0]
            return said
        return KafkaError(KafkaError._PURGE_QUEUE)

    def _persist(self, act: Callable[[float], object]) -> None:
        """Do it, and again for as long as the library says that another try may help."""
        tries = 3
        while True:
            tries -= 1
            try:
                act(self._seconds)
                return
            except KafkaException as raised:
                if not tries or not raised.args[0].retriable():
                    raise

    def _abort(self) -> None:
        # Where that fails the producer is lost, and the next one's opening aborts it.
        with contextlib.suppress(KafkaException):
            self._producer.abort_transaction(self._seconds)

    def _tell_soon(self, records: Sequence[_Record], error: KafkaError | None) -> None:
        if records:
            with contextlib.suppress(RuntimeError):  # the loop may have closed
                self._loop.call_soon_threadsafe(self._tell, list(records), error)

    @staticmethod
    def _tell(records: Sequence[_Record], error: KafkaError | None) -> None:
        for record in records:
            if not record.report.done():
                record.report.set_result(error)


def _said(raised: Exception) -> KafkaError:
    """What the brokers said, or that nobody expected it: who waits is told in any case."""
    if isinstance(raised, KafkaException):
        said: KafkaError = raised.args[0]
        return said
    _log.error("transaction failed", exc_info=raised)
    return KafkaError(KafkaError._FAIL, f"the transaction failed ({type(raised).__name__})")


# What a broker says of one record; what else fails is the cluster's own trouble or the administrator's.
_REFUSALS: Final = frozenset(
    (KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG, KafkaError.POLICY_VIOLATION, KafkaError.MSG_SIZE_TOO_LARGE)
)
_PURGED: Final = frozenset((KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT))


def is_refusal(error: KafkaError | None) -> bool:
    """Whether it is the record that is refused, or the batch in which it travelled."""
    return error is not None and error.code() in _REFUSALS


def _opened(topic: str, configuration: Mapping[str, Any], seconds: float) -> tuple[Producer, Reading, Memory]:
    producer = Producer(dict(configuration), logger=_log)
    producer.init_transactions(seconds)
    reading = Reading(topic, configuration["transactional.id"], configuration, seconds)
    try:
        _end_unended(topic, producer, reading, reading.unended(), seconds)
        return producer, reading, reading.memory()
    except BaseException:
        reading.close()
        raise


def _end_unended(topic: str, producer: Producer, reading: Reading, partitions: Collection[int], seconds: float) -> None:
    """Abort what a broker forgot to end, in these partitions and in the memory, by a transaction that nobody sees.

    What was ended stays as it is, so that the memory afterwards tells which of both it was.
    """
    producer.begin_transaction()
    for partition in partitions:
        # A compacted topic takes nothing without a key.
        producer.produce(topic, key=b"", partition=partition)
    producer.flush(seconds)
    producer.send_offsets_to_transaction([TopicPartition(topic, 0, 1)], reading.membership, seconds)
    producer.abort_transaction(seconds)
