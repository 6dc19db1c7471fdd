"""The configuration of a destination of kind ``rabbitmq``."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from scimhub.destinations import broker_configuration
from scimhub.destinations.broker_configuration import FORMAT, NetworkKeys, Server, choice, key, number, servers, text
from scimhub.distribution.delivery import Format

PORT: Final = 5672
TLS_PORT: Final = 5671
# What a routing key may be made of, besides fixed text. The id of a resource is personal to nobody.
PARTS: Final = ("directory", "resource", "verb", "id")
_TEMPLATE: Final = re.compile(r"(?:[^{}\s]|\{(?:" + "|".join(PARTS) + r")\})*")


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitKeys(NetworkKeys):
    """Which exchange, and how. ``largest_message`` is in bytes and must not exceed the broker's ``max_message_size``."""

    subject: ClassVar[str] = "A rabbitmq"

    server: object = key(servers(PORT, 1))
    virtual_host: str = key(text("a virtual host"), "/")
    # Empty is the default exchange, whose routing keys are names of queues.
    exchange: str = key(text("an exchange's name", may_be_empty=True), "")
    routing_key: str = key(text("a routing key"), "{resource}.{verb}")
    format: Format = key(FORMAT, "structured")
    largest_message: int = key(number(1000, 536_870_912), 16_777_216)
    authentication: str = key(choice("password", "none"), "password")
    username: str = key(text("a user's name", may_be_empty=True), "")
    concurrency: int = key(number(1, 1000), 200)

    def servers_to_judge(self) -> tuple[Server, ...]:
        return broker_configuration.read_servers(self.server, TLS_PORT if self.tls else PORT)

    def problems(self) -> Iterator[str]:
        yield from NetworkKeys.problems(self)
        yield from broker_configuration.credentials_problems(self.authentication, self.username, named=("password",))
        if not _TEMPLATE.fullmatch(self.routing_key):
            parts = ", ".join("{" + part + "}" for part in PARTS)
            yield f"The routing_key is {self.routing_key!r}; write text without blanks, and of {parts} what you need."
