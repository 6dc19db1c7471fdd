"""The kinds ``sqs`` and ``sns``: events in batches of up to ten, each delivered once AWS has confirmed that very one.

A batch is answered with success although some of its entries failed; each is looked at. No two events of a resource are
ever in the same batch, for the second might be accepted where the first was not.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, Literal

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

from scimhub.destinations import broker_connection, egress
from scimhub.destinations.aws_configuration import AwsKeys
from scimhub.destinations.broker_connection import Connection, Lost
from scimhub.destinations.egress import Policy, Refused
from scimhub.distribution.delivery import Delivered, Message, Outcome, Rejected, Retry

# Both services: so many entries in a batch.
_MOST_ENTRIES: Final = 10
# What SNS takes, and SQS took before it took four times as much: of a message, and of a whole batch.
_USUAL_LIMIT: Final = 262_144
# An administrator may have forbidden to read attributes, and still permit to send.
_HIDDEN: Final = frozenset(("AccessDenied", "AccessDeniedException", "AuthorizationError", "AuthorizationErrorException"))
# Of a batch as a whole, where one entry may be to blame.
_OF_ONE_ENTRY: Final = frozenset(("InvalidParameterValue", "InvalidParameter", "InvalidMessageContents"))
# Of credentials that end, or were taken back.
_EXPIRED: Final = frozenset(
    (
        *("ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId", "InvalidAccessKeyId"),
        *("UnrecognizedClientException", "SignatureDoesNotMatch"),
    )
)
# Filters of subscriptions look at these.
_SHOWN: Final = ("id", "type", "source", "subject")
# Characters that a message may not have, as JSON writes them otherwise (SQS, SendMessage).
_FORBIDDEN: Final = {0xFFFE: "\\ufffe", 0xFFFF: "\\uffff"}

_Client = Any


@dataclass(frozen=True, slots=True)
class Service:
    """How one of the two names what both have."""

    name: Literal["sqs", "sns"]
    shown: str
    body: str
    send: Callable[[_Client, AwsKeys, list[dict[str, Any]]], Awaitable[Mapping[str, Any]]]
    read_attributes: Callable[[_Client, AwsKeys], Awaitable[Mapping[str, Any]]]


SQS: Final = Service(
    "sqs",
    "SQS",
    "MessageBody",
    lambda client, keys, entries: client.send_message_batch(QueueUrl=keys.target, Entries=entries),
    lambda client, keys: client.get_queue_attributes(QueueUrl=keys.target, AttributeNames=["MaximumMessageSize"]),
)
SNS: Final = Service(
    "sns",
    "SNS",
    "Message",
    lambda client, keys, entries: client.publish_batch(TopicArn=keys.target, PublishBatchRequestEntries=entries),
    lambda client, keys: client.get_topic_attributes(TopicArn=keys.target),
)


@dataclass(slots=True)
class _Opened:
    """A client, and how many bytes a message may have."""

    client: _Client
    limit: int
    stack: AsyncExitStack


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """One event on its way, without the id that its batch gives it."""

    entry: Mapping[str, Any]
    size: int
    group: str
    outcome: "asyncio.Future[Outcome]"


class AwsSender:
    """One open destination. What comes in a row of rounds of the event loop is sent together."""

    def __init__(self, service: Service, id: str, keys: AwsKeys, secret_key: str, policy: Policy) -> None:
        broker_connection.quieten("botocore", "aiobotocore")
        self._id = id
        self._service = service
        self._keys = keys
        self._secret_key = secret_key
        self._policy = policy
        # It keeps what it has read of the library's descriptions of services, which is slow.
        self._session = get_session()
        self._connection: Connection[_Opened] = Connection(self._connect, _end, keys.timeout)
        self._limit = broker_connection.Renewal(self._look_at_limit)
        self._pending: list[_Waiting] = []
        self._sending: set[asyncio.Task[None]] = set()

    async def send(self, message: Message) -> Outcome:
        """Put it into the next batch, and wait for what comes of it."""
        loop = asyncio.get_running_loop()
        if not self._pending:
            loop.call_soon(self._flush)
        waiting = self._waiting(message, loop.create_future())
        self._pending.append(waiting)
        return await waiting.outcome

    async def close(self) -> None:
        """End the connections; what is being sent fails."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        await self._connection.close()

    def _waiting(self, message: Message, outcome: "asyncio.Future[Outcome]") -> _Waiting:
        body = message.body.decode().translate(_FORBIDDEN)
        shown = {f"ce_{name}": message.attributes[name] for name in _SHOWN}
        entry: dict[str, Any] = {
            self._service.body: body,
            "MessageAttributes": {name: {"DataType": "String", "StringValue": value} for name, value in shown.items()},
        }
        group = broker_connection.key_of(message)
        if self._keys.is_fifo:
            once = broker_connection.repetition_id(self._id, message)
            entry |= {"MessageGroupId": group, "MessageDeduplicationId": once}
        size = len(body.encode()) + sum(len(name) + len("String") + len(value.encode()) for name, value in shown.items())
        return _Waiting(entry, size, group, outcome)

    def _flush(self, seen: int = 0) -> None:
        # A few come with each round of the loop; as long as more do, a batch is worth waiting for.
        if seen < len(self._pending) < _MOST_ENTRIES:
            asyncio.get_running_loop().call_soon(self._flush, len(self._pending))
            return
        pending, self._pending = self._pending, []
        self._sending.add(task := asyncio.create_task(self._send_all(pending)))
        task.add_done_callback(self._sending.discard)

    async def _send_all(self, pending: Sequence[_Waiting]) -> None:
        async def send(opened: _Opened) -> None:
            if any(waiting.size > opened.limit for waiting in pending):
                await self._limit.again()
            await asyncio.gather(*[self._send_batch(opened, batch) for batch in self._cut(opened, pending)])

        try:
            await self._connection.use(send)
        except ClientError as error:
            if _code(error) in _EXPIRED:
                # The library keeps what it once read from a file, whatever stands there by now.
                self._session = get_session()
                self._connection.lose()
            _land(pending, self._refused(error))
        except (BotoCoreError, Lost, OSError, TimeoutError) as error:
            # The client stays: it connects anew by itself, and each connection's address is judged.
            _land(pending, self._failed(error))
        except BaseException:
            _land(pending, broker_connection.of_failure(Lost(), self._where, self._keys.timeout))
            raise

    async def _send_batch(self, opened: _Opened, batch: Sequence[_Waiting]) -> None:
        entries = [{"Id": str(number), **waiting.entry} for number, waiting in enumerate(batch)]
        try:
            told = await self._service.send(opened.client, self._keys, entries)
        except ClientError as error:
            if _code(error) not in _OF_ONE_ENTRY:
                raise
            if len(batch) == 1:
                _land(batch, Rejected(self._sentence(error)))
                return
            await asyncio.gather(*[self._send_batch(opened, [waiting]) for waiting in batch])
            return
        for failed in told.get("Failed", ()):
            _land([batch[int(failed["Id"])]], self._entry_failed(failed))
        _land([batch[int(done["Id"])] for done in told.get("Successful", ())], Delivered())
        _land(batch, Retry(f"{self._service.shown} did not say what became of the event.", "resource"))

    def _cut(self, opened: _Opened, pending: Sequence[_Waiting]) -> list[list[_Waiting]]:
        """Batches that the service takes, without what it would not take at all."""
        batches: list[list[_Waiting]] = []
        size = 0
        for waiting in pending:
            if waiting.size > opened.limit:
                whose = f"{self._keys.target} (MaximumMessageSize)"
                _land([waiting], broker_connection.too_large(waiting.size, opened.limit, whose))
                continue
            last = batches[-1] if batches else []
            has_room = 0 < len(last) < _MOST_ENTRIES and size + waiting.size <= max(opened.limit, _USUAL_LIMIT)
            if not has_room or any(other.group == waiting.group for other in last):
                batches.append(last := [])
                size = 0
            last.append(waiting)
            size += waiting.size
        return batches

    async def _connect(self) -> _Opened:
        keys, stack = self._keys, AsyncExitStack()
        is_key = keys.authentication == "key"
        config = AioConfig(
            connector_args={**egress.connector_arguments(self._policy)},
            max_pool_connections=keys.concurrency,
            connect_timeout=keys.timeout,
            read_timeout=keys.timeout,
            # A repetition is the pump's affair; the library would do it silently.
            retries={"total_max_attempts": 1},
            user_agent_extra="scimhub",
            warm_up_loader_caches=True,
        )
        client = await stack.enter_async_context(
            self._session.create_client(
                self._service.name,
                region_name=keys.region_of_target(),
                endpoint_url=keys.endpoint_url or None,
                aws_access_key_id=keys.access_key_id if is_key else None,
                aws_secret_access_key=self._secret_key if is_key else None,
                config=config,
            )
        )
        try:
            return _Opened(client, await self._ask_limit(client), stack)
        except BaseException:
            await stack.aclose()
            raise

    async def _look_at_limit(self) -> None:
        if (opened := self._connection.client) is not None:
            opened.limit = await self._ask_limit(opened.client)

    async def _ask_limit(self, client: _Client) -> int:
        try:
            told = await self._service.read_attributes(client, self._keys)
        except ClientError as error:
            if _code(error) not in _HIDDEN:
                raise
            return _USUAL_LIMIT
        return int(told.get("Attributes", {}).get("MaximumMessageSize", _USUAL_LIMIT))

    @property
    def _where(self) -> str:
        return self._keys.endpoint_url or f"{self._service.shown} in {self._keys.region_of_target()}"

    def _entry_failed(self, failed: Mapping[str, Any]) -> Outcome:
        sentence = f"{self._service.shown} does not take the event: {failed.get('Code')}: {failed.get('Message', '')}"[:500]
        code = str(failed.get("Code"))
        if code in _HIDDEN or code.upper().startswith("KMS"):
            # A right or a key that is missing says nothing of the event, though it counts as the sender's fault.
            return Retry(sentence, "destination")
        return Rejected(sentence) if failed.get("SenderFault") else Retry(sentence, "resource")

    def _refused(self, error: ClientError) -> Outcome:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return Retry(self._sentence(error), "destination", status=status)

    def _sentence(self, error: ClientError) -> str:
        told = error.response.get("Error", {})
        code, said = told.get("Code", "?"), told.get("Message", "")
        return f"{self._service.shown} does not take events for {self._keys.target}: {code}: {said}"[:500]

    def _failed(self, error: BaseException) -> Outcome:
        if isinstance(error, ConnectionError | HTTPClientError):
            error = _cause(error)
        if isinstance(error, BotoCoreError):
            return Retry(f"The hub cannot speak to {self._where}: {error}"[:500], "destination")
        return broker_connection.of_failure(error, self._where, self._keys.timeout)


async def _end(opened: _Opened) -> None:
    await opened.stack.aclose()


def _code(error: ClientError) -> str:
    """Such as ``ExpiredToken``, without what the older protocol writes in front of it."""
    return str(error.response.get("Error", {}).get("Code", "")).rpartition(".")[2]


def _land(some: Sequence[_Waiting], outcome: Outcome) -> None:
    """Tell those that have not been told yet."""
    for waiting in some:
        if not waiting.outcome.done():
            waiting.outcome.set_result(outcome)


def _cause(error: BaseException) -> BaseException:
    """What is behind the library's own exceptions, as far as that can be told."""
    chain = _chain(error)
    # aiohttp's own exceptions are OSErrors too; what the policy said is within them.
    chain = [getattr(found, "os_error", found) for found in chain]
    return next((found for found in chain if isinstance(found, Refused | TimeoutError | OSError)), error)


def _chain(error: BaseException) -> Sequence[BaseException]:
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        known = getattr(current, "kwargs", {})
        current = (
            known.get("error") if isinstance(known, dict) and known.get("error") else current.__cause__ or current.__context__
        )
    return chain
