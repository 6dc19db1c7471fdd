"""The kind ``rabbitmq``: each event is a persistent message, delivered once the broker has confirmed it to be in a queue.

A broker confirms what it can route nowhere as well, and drops it. Every message is therefore mandatory: what comes back is
a failure of the destination.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from ssl import SSLContext
from typing import Any, Final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractExchange, DeliveryMode
from aio_pika.exceptions import (
    AMQPConnectionError,
    AMQPError,
    AuthenticationError,
    ChannelClosed,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    ProbableAuthenticationError,
    PublishError,
)
from aiormq.connection import TransportFactory
from yarl import URL

from scimhub.destinations import broker_configuration, broker_connection, cloudevents_http, dialling
from scimhub.destinations.broker_connection import Connection, Lost
from scimhub.destinations.dialling import Streams
from scimhub.destinations.egress import Policy
from scimhub.destinations.rabbitmq_configuration import PORT, RabbitKeys
from scimhub.distribution.delivery import Delivered, Message, Outcome, Rejected, Retry
from scimhub.distribution.envelope import TYPE_PREFIX

_MAX_SIZE: Final = re.compile(r"message size .* max size (\d+)")
# AMQP 0-9-1 §3.1: a short string, such as a routing key, has so many bytes at most.
_LONGEST_KEY: Final = 255


@dataclass(frozen=True, slots=True)
class _Opened:
    connection: AbstractConnection
    channel: AbstractChannel
    exchange: AbstractExchange
    # Returns as soon as the broker takes messages; while it is short of memory or disk it has publishers wait.
    room: Callable[[], Awaitable[object]]


class _Transport(TransportFactory):
    """How the library connects: to an address that the policy permits."""

    def __init__(self, policy: Policy, tls: SSLContext | None) -> None:
        self._policy = policy
        self._tls = tls

    async def create(self, url: URL, **_: Any) -> Streams:
        try:
            return await dialling.open_streams(self._policy, (url.host or "", url.port or PORT), self._tls)
        except OSError as error:
            # What the library raises of its own transports.
            raise AMQPConnectionError(*error.args) from error


class RabbitSender:
    """One open destination, with one channel. A lost connection is not mended behind our back."""

    def __init__(self, keys: RabbitKeys, password: str, policy: Policy) -> None:
        broker_connection.quieten("aio_pika", "aiormq")
        self._keys = keys
        self._password = password
        self._policy = policy
        (self._server,) = keys.servers_to_judge()
        self._where = broker_configuration.address(self._server)
        self._limit = keys.largest_message
        self._limit_is_whose = "the destination (largest_message)"
        # Why the last channel was closed.
        self._closed_by: Outcome | None = None
        self._connection: Connection[_Opened] = Connection(self._connect, _end, keys.timeout)

    async def send(self, message: Message) -> Outcome:
        """Publish it once and wait until the broker has it in a queue."""
        is_structured = self._keys.format == "structured"
        body = message.body if is_structured else message.data
        if len(body) > self._limit:
            return broker_connection.too_large(len(body), self._limit, self._limit_is_whose)
        routing_key = routing_key_of(self._keys.routing_key, message)
        if len(routing_key.encode()) > _LONGEST_KEY:
            return Rejected(f"The routing key has {len(routing_key.encode())} bytes; AMQP takes at most {_LONGEST_KEY}.")
        attributes = message.attributes
        properties = aio_pika.Message(
            body,
            headers=None if is_structured else {f"cloudEvents_{name}": value for name, value in _shown(message).items()},
            content_type=cloudevents_http.STRUCTURED if is_structured else attributes["datacontenttype"],
            message_id=message.delivery_id,
            type=attributes["type"],
            app_id="scimhub",
            delivery_mode=DeliveryMode.PERSISTENT,
        )

        async def publish(opened: _Opened) -> None:
            # What is written meanwhile would wait in the connection, each repetition as one message more.
            await opened.room()
            await opened.exchange.publish(properties, routing_key, mandatory=True)

        try:
            await self._connection.use(publish)
        except (AMQPError, ChannelInvalidStateError, Lost, OSError, TimeoutError) as error:
            if isinstance(error, TimeoutError) and await self._is_blocked():
                return Retry(f"{self._where} blocks its publishers: it is short of memory or disk (an alarm).", "destination")
            return self._failed(error, routing_key, len(body))
        return Delivered()

    async def close(self) -> None:
        """End the connection; what is being sent fails."""
        await self._connection.close()

    async def _connect(self) -> _Opened:
        keys, (host, port), self._closed_by = self._keys, self._server, None
        has_name = keys.authentication == "password"
        connection = await aio_pika.connect(
            host=host,
            port=port,
            login=keys.username if has_name else "guest",
            password=self._password if has_name else "guest",
            virtualhost=keys.virtual_host,
            ssl=keys.tls,
            connection_class=partial(_connection, _Transport(self._policy, broker_connection.tls_context(keys))),
            client_properties={"connection_name": "scimhub"},
            timeout=keys.timeout,
        )
        try:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            is_default = not keys.exchange
            exchange = channel.default_exchange if is_default else await channel.get_exchange(keys.exchange, ensure=True)
            if (transport := connection.transport) is None:
                raise Lost
            opened = _Opened(connection, channel, exchange, transport.ready)
        except BaseException:
            await connection.close()
            raise
        # A channel dies of many things; what was not confirmed on it may have been stored or not.
        channel.close_callbacks.add(lambda *_: self._connection.lose())
        return opened

    async def _is_blocked(self) -> bool:
        if (opened := self._connection.client) is None:
            return False
        try:
            async with asyncio.timeout(0):
                await opened.room()
        except TimeoutError:
            return True
        return False

    def _failed(self, error: BaseException, routing_key: str, size: int) -> Outcome:
        exchange = f"the exchange {self._keys.exchange}" if self._keys.exchange else "the default exchange"
        match error:
            case PublishError():
                reason = f"No queue takes what {exchange} gets with the routing key {routing_key}; bind one."
            case DeliveryError():
                return Retry("RabbitMQ did not accept the event (nack); a queue may be full.", "destination")
            case ChannelNotFoundEntity():
                reason = f"RabbitMQ has no exchange {self._keys.exchange} in the virtual host {self._keys.virtual_host}."
            case ChannelPreconditionFailed() if (found := _MAX_SIZE.search(str(error))) is not None:
                # It costs the channel, and with it all that were under way; the next is looked at before it is sent.
                self._limit, self._limit_is_whose = int(found[1]), "RabbitMQ (max_message_size)"
                if size > self._limit:
                    return broker_connection.too_large(size, self._limit, self._limit_is_whose)
                return broker_connection.of_failure(Lost(), self._where, self._keys.timeout)
            case AuthenticationError() | ProbableAuthenticationError():
                reason = f"{self._where} does not let the hub in; check its user, virtual host and secret."
            case AMQPConnectionError():
                return broker_connection.of_failure(error.__cause__ or error, self._where, self._keys.timeout)
            case ChannelInvalidStateError():
                # It is there until the library has told that it is closed; of the cause it knows nothing.
                self._connection.lose()
                return self._closed_by or broker_connection.of_failure(Lost(), self._where, self._keys.timeout)
            case AMQPError():
                reason = f"RabbitMQ answered: {_said(error)}."
            case _:
                return broker_connection.of_failure(error, self._where, self._keys.timeout)
        outcome = Retry(reason, "destination")
        if isinstance(error, ChannelClosed):
            self._closed_by = outcome
        return outcome


def _connection(transport: _Transport, url: URL, *more: Any, **arguments: Any) -> aio_pika.Connection:
    connection = aio_pika.Connection(url, *more, **arguments)
    # It hands this on to the library below it, and has no argument for it.
    connection.kwargs["transport_factory"] = transport
    return connection


def routing_key_of(template: str, message: Message) -> str:
    """The routing key of the event; its words are those of a type, such as ``group.member.added``."""
    resource, _, verb = message.attributes["type"].removeprefix(TYPE_PREFIX).partition(".")
    directory = message.attributes["source"].rpartition("/")[2]
    return template.format(directory=directory, resource=resource, verb=verb or resource, id=message.attributes["subject"])


def _shown(message: Message) -> dict[str, str]:
    """The attributes that become headers: all but the content type, which is a property."""
    return {name: value for name, value in message.attributes.items() if name != "datacontenttype"}


def _said(error: BaseException) -> str:
    return str(error)[:300].rstrip(".")


async def _end(opened: _Opened) -> None:
    await opened.connection.close()
