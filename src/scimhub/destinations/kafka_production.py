"""A producer that works, and the thread that waits for what the brokers say of its records."""

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

import orjson
from confluent_kafka import KafkaError, KafkaException, Producer

from scimhub.destinations.broker_configuration import Server
from scimhub.destinations.kafka_configuration import KafkaKeys
from scimhub.destinations.kafka_transactions import Headers
from scimhub.distribution.delivery import Message

# Key and headers have no more bytes than this; if they have after all the library refuses the record.
_HEADERS_AT_MOST: Final = 32 * 1024
# A record is larger than what is in it by about so many bytes.
_RECORD_OVERHEAD: Final = 100
_POLL_SECONDS: Final = 0.1
# How often the brokers of the cluster are looked at again, in milliseconds.
_LOOK_EVERY_MS: Final = 5000
# The least that librdkafka may be told, in bytes.
_LEAST_LIMIT: Final = 1000
# So many reports are told in one round of the loop.
_REPORTS_AT_ONCE: Final = 32
# While at least so many records are under way others gather, up to so many, and for so many seconds at most.
_MANY: Final = 16
_GATHERED: Final = 128
_GATHERING: Final = 0.005

# What came of records that were posted: of each the message, and what the brokers say, None if all is well.
Reports = Sequence[tuple[Message, KafkaError | None]]

_log = logging.getLogger(__name__)


class Record(NamedTuple):
    """What is appended. The library takes the texts of headers as quickly as their bytes."""

    key: bytes
    value: bytes | None
    headers: Headers

    @property
    def size(self) -> int:
        """In bytes, a little more than what a batch would need for it alone."""
        headers = sum(len(name) + len(value.encode()) for name, value in self.headers)
        return _RECORD_OVERHEAD + len(self.key) + len(self.value or b"") + headers

    def fits(self, limit: int) -> bool:
        """Whether it has at most so many bytes."""
        # To count the headers costs as much as to make them, and nearly never matters.
        return len(self.value or b"") + _HEADERS_AT_MOST <= limit or self.size <= limit


class Production:
    """A producer that works, and its thread."""

    def __init__(
        self,
        topic: str,
        limit: int,
        is_single: bool,
        configuration: Mapping[str, Any],
        look_at: Callable[[Sequence[Server]], None],
        landed: Callable[["Production", Reports], None],
    ) -> None:
        self.limit = limit
        # Whether each record travels alone.
        self.is_single = is_single
        # The last thing that the library said about the cluster as a whole, since a record was confirmed.
        self.noted = ""
        # What the producer did not survive.
        self.fatal: KafkaError | None = None
        self._topic = topic
        self._loop = asyncio.get_running_loop()
        # What came of records: of those that were posted, and of those for which somebody waits.
        self._reports: deque[tuple[Message, KafkaError | None]] = deque()
        self._answers: deque[tuple[asyncio.Future[KafkaError | None], KafkaError | None]] = deque()
        # What was posted and is not with the library yet, how many of what was posted are, and what ends the gathering.
        self._gathered: list[tuple[Record, Message]] = []
        self._under_way = 0
        self._releasing: asyncio.Handle | None = None
        self._look_at, self._landed = look_at, landed
        told = {"error_cb": self._note, "stats_cb": self._note_members, "statistics.interval.ms": _LOOK_EVERY_MS}
        self._producer = Producer({**configuration, **told}, logger=_log)
        self._is_landing = False
        self._is_over = False
        self._thread = threading.Thread(target=self._poll, name=f"kafka {topic}", daemon=True)
        self._thread.start()

    def post(self, record: Record, message: Message) -> None:
        """Have what the brokers say of the record told; where few are under way it leaves at the end of the loop's round."""
        self._gathered.append((record, message))
        if len(self._gathered) >= _GATHERED:
            self._release()
        elif self._releasing is None:
            wait = _GATHERING if self._under_way >= _MANY else 0.0
            self._releasing = self._loop.call_later(wait, self._release) if wait else self._loop.call_soon(self._release)

    async def append(self, record: Record) -> KafkaError | None:
        """Wait for it; raises BufferError and KafkaException."""
        said: asyncio.Future[KafkaError | None] = self._loop.create_future()
        self._produce(record, partial(self._note_answer, said))
        return await said

    def _end_gathering(self) -> list[tuple[Record, Message]]:
        """What was gathered, which counts as under way from now on."""
        if self._releasing is not None:
            self._releasing.cancel()
            self._releasing = None
        gathered, self._gathered = self._gathered, []
        self._under_way += len(gathered)
        return gathered

    def _release(self) -> None:
        """Give over what was gathered."""
        note = self._note_report
        for record, message in self._end_gathering():
            try:
                self._produce(record, partial(note, message))
            except BufferError:
                self._refuse(message, KafkaError(KafkaError._QUEUE_FULL))
            except KafkaException as raised:
                self._refuse(message, raised.args[0])

    def _refuse(self, message: Message, error: KafkaError) -> None:
        """The library does not take it."""
        self._reports.append((message, error))
        self._loop.call_soon(self._begin_landing)

    def _produce(self, record: Record, note: Callable[[KafkaError | None, object], None]) -> None:
        key, value, headers = record
        # The library takes more kinds of values than these, and its lists are invariant.
        wide: Any = headers
        self._producer.produce(self._topic, value, key, headers=wide, on_delivery=note)

    async def end(self) -> None:
        """Forget what is not confirmed, tell who waits for it, and stop."""
        self._is_over = True
        for _, message in self._end_gathering():
            self._refuse(message, KafkaError(KafkaError._PURGE_QUEUE))
        self._producer.purge()
        await asyncio.to_thread(self._thread.join)
        self._listen(0)
        self._begin_landing()
        await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        # Its callbacks refer to us: the library's threads would stay until the cycle collector comes by.
        del self._producer

    def _poll(self) -> None:
        while not self._is_over:
            self._listen(_POLL_SECONDS)
            if self._reports or self._answers:
                # One call for all that came at once: each wakes the loop.
                with contextlib.suppress(RuntimeError):  # the loop may have closed
                    self._loop.call_soon_threadsafe(self._begin_landing)

    def _listen(self, seconds: float) -> None:
        """Take what the library says."""
        try:
            self._producer.poll(seconds)
        except Exception as raised:
            # Where it trips over that while it reports on records, it is the cause of what it raises.
            cause = raised.__cause__ if isinstance(raised, SystemError) else raised
            if isinstance(cause, KafkaException):
                # Of what no producer survives it does not tell but raises; the reports on its records come after that.
                self.fatal = cause.args[0]
                return
            # A defect of ours. The thread must live on, or nobody would hear of any record again.
            _log.exception("kafka reports failed")

    def _note_report(self, message: Message, error: KafkaError | None, _: object) -> None:
        if error is None:
            self.noted = ""
        self._reports.append((message, error))

    def _note_answer(self, said: "asyncio.Future[KafkaError | None]", error: KafkaError | None, _: object) -> None:
        if error is None:
            self.noted = ""
        self._answers.append((said, error))

    def _begin_landing(self) -> None:
        if not self._is_landing:
            self._land()

    def _land(self) -> None:
        self._is_landing = False
        if count := min(len(self._reports), _REPORTS_AT_ONCE):
            self._under_way -= count
            self._landed(self, [self._reports.popleft() for _ in range(count)])
        for _ in range(min(len(self._answers), _REPORTS_AT_ONCE)):
            said, error = self._answers.popleft()
            if not said.done():
                said.set_result(error)
        if self._reports or self._answers:
            # Others on the loop have their turn between.
            self._is_landing = True
            self._loop.call_soon(self._land)

    def _note(self, error: KafkaError) -> None:
        self.noted = error.str()

    def _note_members(self, statistics: str) -> None:
        """Called by the library now and then, with JSON that has the brokers it knows."""
        brokers = orjson.loads(statistics)["brokers"].values()
        names = [broker["nodename"].rpartition(":") for broker in brokers if broker["nodeid"] >= 0]
        members = [(host.strip("[]"), int(port)) for host, _, port in names if host and int(port) > 0]
        with contextlib.suppress(RuntimeError):  # the loop may have closed
            self._loop.call_soon_threadsafe(self._look_at, members)


def options(keys: KafkaKeys, password: str, limit: int, servers: str, *, is_single: bool = False) -> dict[str, Any]:
    """How librdkafka names what we want of it; ``limit`` is in bytes, for a record and a batch, if that may have several."""
    security = ("SASL_" if keys.authentication != "none" else "") + ("SSL" if keys.tls else "PLAINTEXT")
    chosen: dict[str, Any] = {
        "bootstrap.servers": servers,
        "client.id": "scimhub",
        "security.protocol": security,
        # It brings acks=all and order with it.
        "enable.idempotence": True,
        # As Java's clients do, so that their records of the same key are in the same partition.
        "partitioner": "murmur2_random",
        "compression.type": keys.compression,
        "message.max.bytes": max(_LEAST_LIMIT, limit),
        # A broker refuses a batch that is too large, and with it records that are not.
        "batch.size": 1 if is_single else max(1, limit),
        "message.timeout.ms": int(keys.timeout * 1000),
        "topic.metadata.propagation.max.ms": min(5000, int(keys.timeout * 500)),
        # Records gather before they are given to it, while many are under way; so batches grow with the load, of which each
        # costs the library as much as ten records, and the broker more (docs/decisions/0034).
        "linger.ms": 0,
        "max.in.flight.requests.per.connection": 3,
        "socket.keepalive.enable": True,
        "log.connection.close": False,
        # What is worth saying comes as an outcome.
        "log_level": 2,
    }
    if keys.authentication != "none":
        chosen |= {
            "sasl.mechanism": keys.authentication.upper(),
            "sasl.username": keys.username,
            "sasl.password": password,
        }
    files = {
        "ssl.ca.location": keys.ca_file,
        "ssl.certificate.location": keys.certificate_file,
        "ssl.key.location": keys.key_file,
    }
    return chosen | {name: path for name, path in files.items() if path}
