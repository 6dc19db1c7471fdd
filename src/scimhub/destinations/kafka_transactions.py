"""Exactly-once append to Kafka: records, and the memory of which events they were, are committed in one transaction.

The memory is the metadata of an offset that a consumer group of the producer's own commits (KIP-447), so that whoever opens
the destination next reads it, and leaves out what a crash repeats. Opening fences the producer before it: what that one had
not committed is aborted (KIP-98).
"""

import asyncio
import base64
import contextlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from scimhub.distribution import settling

# A crash repeats at most so many events.
REMEMBERED: Final = settling.MOST_REPEATED
# What brokers take as metadata unless told otherwise (offset.metadata.max.bytes).
_MOST_METADATA: Final = 4096
_MOST_IN_TRANSACTION: Final = 500
_LOOK_SECONDS: Final = 0.02

_log = logging.getLogger(__name__)

Headers = list[tuple[str, str]]


class Foreign(Exception):
    """The consumer group of that name belongs to somebody else."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Which event a record is: positions are those of one history of the log, and large events come in parts, from 1."""

    epoch: str
    position: int
    part: int


@dataclass(slots=True, eq=False)
class _Record:
    key: bytes
    value: bytes | None
    headers: Headers
    mark: Mark
    report: "asyncio.Future[KafkaError | None]"
    error: KafkaError | None = None

    def note(self, error: KafkaError | None, _: object) -> None:
        """What the broker says of it alone."""
        self.error = error


class Memory:
    """The newest marks that were committed, as a text that fits into an offset's metadata."""

    def __init__(self, epoch: str = "", marks: Sequence[tuple[int, int]] = ()) -> None:
        self.epoch = epoch
        # In the order in which they were committed.
        self.marks = dict.fromkeys(marks)

    def has(self, mark: Mark) -> bool:
        """Whether the event is in the topic."""
        return mark.epoch == self.epoch and (mark.position, mark.part) in self.marks

    def with_more(self, marks: Sequence[Mark]) -> "Memory":
        """The memory once these are committed, too; positions of another history are none of its business any more."""
        epoch = marks[-1].epoch
        kept = list(self.marks) if epoch == self.epoch else []
        kept += [(mark.position, mark.part) for mark in marks if mark.epoch == epoch]
        return Memory(epoch, kept[-REMEMBERED:])

    def text(self) -> str:
        """The epoch, a space, and the marks in order of position, each by its distance to the one before."""
        text = self._text(list(self.marks))
        # Only where other directories' changes lie between in their millions.
        marks = list(self.marks)
        while len(text) > _MOST_METADATA:
            marks = marks[len(marks) // 10 + 1 :]
            text = self._text(marks)
        return text

    def _text(self, marks: Sequence[tuple[int, int]]) -> str:
        written, former = bytearray(), 0
        for position, part in sorted(marks):
            _write(written, (position - former) * 2 + (part > 1))
            if part > 1:
                _write(written, part)
            former = position
        return f"{self.epoch} {base64.b85encode(bytes(written)).decode()}"

    @classmethod
    def of_text(cls, text: str) -> "Memory":
        """What ``text`` gave; raises ValueError for anything else."""
        epoch, _, coded = text.partition(" ")
        numbers = list(_read(base64.b85decode(coded)))
        marks, position = [], 0
        while numbers:
            distance = numbers.pop()
            position += distance // 2
            marks.append((position, numbers.pop() if distance % 2 else 1))
        return cls(epoch, marks)


def _write(written: bytearray, number: int) -> None:
    """Seven bits a byte, the highest bit where more follows."""
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    written.append(number)


def _read(coded: bytes) -> list[int]:
    """The numbers, the first of them last."""
    numbers, number, shift = [], 0, 0
    for byte in coded:
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(number)
            number = shift = 0
    if shift:
        raise ValueError("The last number is not complete.")
    return numbers[::-1]


class Transactions:
    """A transactional producer, and a thread that commits what came meanwhile, again and again."""

    def __init__(self, topic: str, producer: Producer, consumer: Consumer, memory: Memory, seconds: float) -> None:
        self._topic = topic
        self._producer = producer
        self._consumer = consumer
        self._memory = memory
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Record] = []
        self._awake = threading.Condition()
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name=f"kafka {topic}", daemon=True)
        self._thread.start()

    @classmethod
    async def begin(cls, topic: str, configuration: Mapping[str, Any], seconds: float) -> "Transactions":
        """Fence whoever had the transactional id, and read what was committed; raises KafkaException or Foreign."""
        producer, consumer, memory = await asyncio.to_thread(_opened, topic, configuration, seconds)
        return cls(topic, producer, consumer, memory, seconds)

    def produce(self, key: bytes, value: bytes | None, headers: Headers, mark: Mark) -> "asyncio.Future[KafkaError | None]":
        """None once the record is committed, or was before; else what the brokers say."""
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
            except KafkaException as raised:
                for record in fresh:
                    self._tell_soon([record], record.error if is_refusal(record.error) else raised.args[0])
        self._consumer.close()

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
        """Commit them together; raises KafkaException, and then none of them is in the topic, or nobody knows."""
        memory = self._memory.with_more([record.mark for record in records])
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
            self._flush()
            offset = TopicPartition(self._topic, 0, 1, metadata=memory.text())
            metadata = self._consumer.consumer_group_metadata()
            self._persist(lambda seconds: self._producer.send_offsets_to_transaction([offset], metadata, seconds))
            self._persist(self._producer.commit_transaction)
        except KafkaException:
            self._abort()
            raise
        self._memory = memory

    def _flush(self) -> None:
        try:
            left = self._producer.flush(self._seconds)
        except SystemError as odd:
            # The library raises a fatal error while it reports on records, and trips over it.
            raise (odd.__cause__ if isinstance(odd.__cause__, KafkaException) else odd) from None
        if left:
            raise KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT))

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


# What a broker says of one record; what else fails is the cluster's own trouble or the administrator's.
_REFUSALS: Final = frozenset(
    (KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG, KafkaError.POLICY_VIOLATION, KafkaError.MSG_SIZE_TOO_LARGE)
)


def is_refusal(error: KafkaError | None) -> bool:
    """Whether it is the record that is refused, or the batch in which it travelled."""
    return error is not None and error.code() in _REFUSALS


def _opened(topic: str, configuration: Mapping[str, Any], seconds: float) -> tuple[Producer, Consumer, Memory]:
    id = configuration["transactional.id"]
    producer = Producer(dict(configuration), logger=_log)
    producer.init_transactions(seconds)
    reading = {name: value for name, value in configuration.items() if name in _FOR_READING or name.startswith(_SECURITY)}
    consumer = Consumer({**reading, "group.id": id, "enable.auto.commit": False}, logger=_log)
    try:
        (kept,) = consumer.committed([TopicPartition(topic, 0)], seconds)
        if kept.error is not None:
            raise KafkaException(kept.error)
        return producer, consumer, Memory.of_text(kept.metadata) if kept.metadata else Memory()
    except ValueError:
        consumer.close()
        raise Foreign(f"The consumer group {id} has offsets that are not the hub's") from None
    except BaseException:
        consumer.close()
        raise


_FOR_READING: Final = frozenset(("bootstrap.servers", "client.id", "log_level", "socket.keepalive.enable"))
_SECURITY: Final = ("security.", "sasl.", "ssl.", "resolve_cb")
