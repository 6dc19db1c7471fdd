"""A private RabbitMQ, where the operating system has one: a place is an exchange and a queue bound to it.

The queue is a classic one: after kill -9 of this old version's only node a quorum queue finds no leader any more.
"""

from pathlib import Path
from typing import Any

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from cloudevents.core.bindings.amqp import AMQPMessage, from_amqp
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from tests.destinations.broker import Arrived, Json, of_event
from tests.servers import rabbitmq


class RabbitBroker:
    kind = "rabbitmq"
    formats = ("structured", "binary")
    drops_repetitions = False
    is_durable = True
    secret = None
    names_a_missing_place = True
    # The broker's own limit is in its configuration, the same for all.
    least_limit: int | None = 100_000
    secured = ("guest", {"authentication": "password", "username": "guest"})

    def __init__(self, folder: Path) -> None:
        self.program = rabbitmq.open_rabbitmq(folder)
        self.start, self.kill = self.program.start, self.program.kill
        self.freeze, self.thaw = self.program.freeze, self.program.thaw
        self._taken: dict[str, list[Arrived]] = {}

    def stop(self) -> None:
        self.program.kill()
        rabbitmq.stop_names(self.program)

    @property
    def server(self) -> str:
        return f"127.0.0.1:{self.program.port}"

    def configuration(self, place: str) -> Json:
        return {"server": self.server, "exchange": place, "tls": False, "timeout": 10, "authentication": "none"}

    async def create(self, place: str, *, largest: int | None = None, **arguments: Any) -> None:
        async with await self.connect() as connection:
            channel = await connection.channel()
            exchange = await channel.declare_exchange(place, aio_pika.ExchangeType.TOPIC, durable=True)
            queue = await channel.declare_queue(place, durable=True, arguments=arguments)
            await queue.bind(exchange, "#")

    async def remove(self, place: str) -> None:
        async with await self.connect() as connection:
            channel = await connection.channel()
            await channel.exchange_delete(place)
            await channel.queue_delete(place)
        self._taken.pop(place, None)

    async def received(self, place: str) -> list[Arrived]:
        """All that ever was in the place; what is taken out of it is kept here."""
        taken = self._taken.setdefault(place, [])
        async with await self.connect() as connection:
            queue = await (await connection.channel()).get_queue(place)
            while (message := await queue.get(no_ack=True, fail=False)) is not None:
                taken.append(read(message))
        return list(taken)

    async def connect(self) -> AbstractConnection:
        return await aio_pika.connect(f"amqp://guest:guest@{self.server}/")


def read(message: AbstractIncomingMessage) -> Arrived:
    properties, headers = {"content-type": message.content_type}, dict(message.headers)
    attributes, data = of_event(from_amqp(AMQPMessage(properties, headers, message.body), JSONFormat(), CloudEvent))
    assert message.message_id is not None
    assert (message.type, message.delivery_mode) == (attributes["type"], aio_pika.DeliveryMode.PERSISTENT)
    more = {"message_id": message.message_id, "routing_key": message.routing_key}
    return Arrived(attributes["subject"], attributes, data, more)
