"""The configuration of a destination of kind ``kafka``."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from scimhub.destinations import broker_configuration
from scimhub.destinations.broker_configuration import FORMAT, NetworkKeys, Server, choice, key, number, servers, switch, text
from scimhub.distribution.delivery import Format

PORT: Final = 9092
_WITH_NAME: Final = ("plain", "scram-sha-256", "scram-sha-512")


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaKeys(NetworkKeys):
    """Which cluster and topic, and how. ``largest_message`` is in bytes; 0 asks the topic what it takes.

    ``compacted`` is for a topic that keeps the last record of each key: the value is then the state, nothing a delete. With a
    ``transactional_id`` each event is appended exactly once.
    """

    subject: ClassVar[str] = "A kafka"

    servers: object = key(servers(PORT))
    topic: str = key(text("a topic's name", pattern=r"[A-Za-z0-9._-]+"))
    format: Format = key(FORMAT, "structured")
    compacted: bool = key(switch, False)
    transactional_id: str = key(text("a transactional id", may_be_empty=True), "")
    compression: str = key(choice("none", "gzip", "snappy", "lz4", "zstd"), "none")
    largest_message: int = key(number(0, 1_000_000_000), 0)
    authentication: str = key(choice("none", *_WITH_NAME), "none")
    username: str = key(text("a user's name", may_be_empty=True), "")
    concurrency: int = key(number(1, 1000), 1000)

    def servers_to_judge(self) -> tuple[Server, ...]:
        return broker_configuration.read_servers(self.servers, PORT)

    def problems(self) -> Iterator[str]:
        yield from NetworkKeys.problems(self)
        yield from broker_configuration.credentials_problems(self.authentication, self.username, named=_WITH_NAME)
        if self.compacted and self.format != "binary":
            yield "A compacted topic needs the format binary: in a structured event a delete would not be an empty value."
