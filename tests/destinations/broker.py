"""What the contract suite needs of each kind: its broker, real, with its consumer and its administrator."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from scimhub.destinations import kinds
from scimhub.destinations.egress import Policy
from scimhub.distribution import envelope
from scimhub.distribution.delivery import Message, Outcome
from scimhub.distribution.outlook import Outlook
from scimhub.distribution.ports import Sender
from tests.destinations import receivers
from tests.distribution.outside import Hub

Json = dict[str, Any]
HERE = Policy(allow_loopback=True)


@dataclass
class Arrived:
    """One message as a consumer got it: its event as the CloudEvents library read it, None for a tombstone's data."""

    key: str
    attributes: Mapping[str, str]
    data: Any
    # Whatever else the message carries, for the tests of its kind.
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.attributes["id"]


class Broker(Protocol):
    """One kind's broker. A *place* is what events go to: a topic, a queue, a stream."""

    kind: str
    formats: Sequence[str]
    # What comes twice under the same id is kept once, at least for some minutes.
    drops_repetitions: bool
    # What was confirmed outlives kill -9.
    is_durable: bool
    # Whether a place that nobody made is an error, not made by the first event.
    names_a_missing_place: bool
    # What a place may be told to take at most, in bytes; None when there is no such limit.
    least_limit: int | None
    # What a destination must bring along to be made at all.
    secret: str | None
    # A secret that the broker takes and the keys that ask for it; None when it lets everybody in.
    secured: tuple[str, Json] | None

    def start(self) -> None: ...

    def stop(self) -> None:
        """Properly, at the end."""

    def kill(self) -> None: ...

    def freeze(self) -> None:
        """It takes what comes, and confirms nothing until ``thaw``; raises NotImplementedError where that cannot be had."""

    def thaw(self) -> None: ...

    async def create(self, place: str, *, largest: int | None = None) -> None:
        """Make the place; it takes messages of at most that many bytes."""

    async def remove(self, place: str) -> None:
        """Take the place away with all that is in it."""

    def configuration(self, place: str) -> Json:
        """What a destination of the kind needs to send there; the place need not exist."""

    async def received(self, place: str) -> list[Arrived]:
        """All that is in the place, in order."""


def of_structured(body: bytes) -> tuple[dict[str, str], Any]:
    """A structured event read by the CloudEvents library."""
    message = HTTPMessage({"content-type": "application/cloudevents+json"}, body)
    return of_event(from_http(message, JSONFormat(), CloudEvent))


def of_event(event: BaseCloudEvent) -> tuple[dict[str, str], Any]:
    attributes = dict(event.get_attributes())
    time = attributes["time"]
    attributes["time"] = time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return attributes, event.get_data()


async def expected(hub: Hub, name: str = "payroll") -> list[Message]:
    """Every event that the destination must have got by now, made from the log itself."""
    destination = await hub.again(name)
    wrapping = await Outlook(hub.engine.place, destination).envelope()
    found = []
    for change in await hub.store.read_changes(0, 10_000):
        notice = wrapping.interest.assess(change)
        if notice is not None:
            found += envelope.of_notice(wrapping, notice)
    return found


@asynccontextmanager
async def opened(kind: str, configuration: Json, password: str = "", policy: Policy = HERE) -> AsyncIterator[Sender]:
    """A sender without a hub round it."""
    technology = kinds(policy, lambda: 0.0)[kind]
    destination = replace(receivers.destination(""), kind=kind, configuration=technology.check(configuration))
    sender = technology.open(destination, [receivers.secret(password.encode(), "password")] if password else [])
    try:
        yield sender
    finally:
        await sender.close()


async def send(broker: Broker, place: str, message: Message | None = None, password: str | None = None, **more: Any) -> Outcome:
    """What comes of one message; ``more`` is configuration."""
    secret = (password or broker.secret) or ""
    async with opened(broker.kind, {**broker.configuration(place), **more}, secret) as sender:
        return await sender.send(message or receivers.message())
