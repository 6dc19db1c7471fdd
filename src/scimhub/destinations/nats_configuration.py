"""The configuration of a destination of kind ``nats``."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from scimhub.destinations import broker_configuration, nats_credentials
from scimhub.destinations.broker_configuration import FORMAT, NetworkKeys, Server, choice, key, number, servers, text
from scimhub.distribution.delivery import Format

PORT: Final = 4222
# What a subject may be made of, besides fixed tokens.
PARTS: Final = ("directory", "resource", "verb", "id")
_TOKEN: Final = re.compile(r"[^\s.*>{}]+|\{(" + "|".join(PARTS) + r")\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsKeys(NetworkKeys):
    """Which JetStream, and how. ``stream``, if named, is the only one that may take the events."""

    subject: ClassVar[str] = "A nats"

    servers: object = key(servers(PORT))
    subject_template: str = key(
        text("tokens with dots between them", longest=500), "scimhub.{directory}.{resource}.{verb}.{id}"
    )
    stream: str = key(text("a stream's name", pattern=r"[^\s.*>/\\]+", may_be_empty=True), "")
    format: Format = key(FORMAT, "structured")
    authentication: str = key(choice("none", "password", "token", "credentials"), "none")
    username: str = key(text("a user's name", may_be_empty=True), "")
    concurrency: int = key(number(1, 1000), 256)

    def servers_to_judge(self) -> tuple[Server, ...]:
        return broker_configuration.read_servers(self.servers, PORT)

    @classmethod
    def secret_problems(cls, configuration: Mapping[str, object], text: str) -> Iterator[str]:
        if configuration.get("authentication") == "credentials":
            try:
                nats_credentials.canonical(text)
            except nats_credentials.NoCredentials as unfit:
                yield str(unfit)

    def problems(self) -> Iterator[str]:
        yield from NetworkKeys.problems(self)
        yield from broker_configuration.credentials_problems(self.authentication, self.username, named=("password",))
        for token in self.subject_template.split("."):
            if not _TOKEN.fullmatch(token):
                yield (
                    f"The subject_template has the token {token[:80]!r}; write letters, digits, - and _, "
                    f"or one of {', '.join('{' + part + '}' for part in PARTS)}."
                )
