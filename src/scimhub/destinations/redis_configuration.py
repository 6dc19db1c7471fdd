"""The configuration of a destination of kind ``redis_streams``."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from scimhub.destinations import broker_configuration
from scimhub.destinations.broker_configuration import NetworkKeys, Server, choice, key, number, servers, switch, text

PORT: Final = 6379


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisKeys(NetworkKeys):
    """Which stream, and how.

    With ``order`` stream an entry's id is the event's position: nothing comes twice, and all of it one after the other.
    ``most_entries`` trims the stream, 0 does not. ``disk`` and ``replicas`` are what must have an entry before it counts.
    """

    subject: ClassVar[str] = "A redis_streams"

    server: object = key(servers(PORT, 1))
    stream: str = key(text("a key"))
    order: Literal["stream", "resource"] = key(choice("stream", "resource"), "stream")
    most_entries: int = key(number(0, 10**12), 0)
    disk: bool = key(switch, False)
    replicas: int = key(number(0, 10), 0)
    database: int = key(number(0, 10_000), 0)
    authentication: str = key(choice("none", "password"), "none")
    username: str = key(text("a user's name", may_be_empty=True), "")
    concurrency: int = key(number(1, 256), 32)

    def servers_to_judge(self) -> tuple[Server, ...]:
        return broker_configuration.read_servers(self.server, PORT)

    def problems(self) -> Iterator[str]:
        yield from NetworkKeys.problems(self)
        if self.username and self.authentication == "none":
            yield "A username has no use with the authentication none; use password, or leave it out."
