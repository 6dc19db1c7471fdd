"""The configurations of destinations of the kinds ``sqs`` and ``sns``."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from yarl import URL

from scimhub.destinations import broker_configuration
from scimhub.destinations.broker_configuration import Keys, Server, choice, key, number, text

_REGION: Final = re.compile(r"[a-z]{2}(?:-[a-z]+)+-[0-9]")


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsKeys(Keys):
    """How AWS is spoken to. Without ``endpoint_url`` it is the region's own."""

    region: str = key(text("a region such as eu-central-1", pattern=_REGION.pattern, may_be_empty=True), "")
    endpoint_url: str = key(text("an address such as https://sqs.eu-central-1.amazonaws.com", may_be_empty=True), "")
    authentication: str = key(choice("environment", "key"), "environment")
    access_key_id: str = key(text("an access key's id", pattern=r"\w+", may_be_empty=True), "")
    concurrency: int = key(number(1, 500), 100)

    @property
    def target(self) -> str:
        """The queue or topic."""
        raise NotImplementedError

    @property
    def is_fifo(self) -> bool:
        """Whether it keeps order; AWS demands this ending of those that do."""
        return self.target.endswith(".fifo")

    def servers_to_judge(self) -> tuple[Server, ...]:
        url = URL(self.endpoint_url)
        return ((url.host, url.port or 443),) if url.host else ()

    def problems(self) -> Iterator[str]:
        yield from broker_configuration.credentials_problems(
            self.authentication, self.access_key_id, named=("key",), name="access_key_id"
        )
        if self.endpoint_url and not _is_web_address(self.endpoint_url):
            yield f"The endpoint_url is {self.endpoint_url!r}; it must be an address such as https://sqs.example.com."
        if not self.region_of_target():
            yield "The region is not told by the queue or topic; set region, such as eu-central-1."

    def region_of_target(self) -> str:
        """The region as it is set, or as the queue's address or the topic's name tells it; empty when none does."""
        found = _REGION.search(self.target)
        return self.region or (found[0] if found is not None else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class SqsKeys(AwsKeys):
    """Which queue."""

    subject: ClassVar[str] = "An sqs"

    queue_url: str = key(text("a queue's address, such as https://sqs.eu-central-1.amazonaws.com/123456789012/identity"))

    @property
    def target(self) -> str:
        return self.queue_url

    def problems(self) -> Iterator[str]:
        yield from AwsKeys.problems(self)
        if not _is_web_address(self.queue_url):
            yield f"The queue_url is {self.queue_url!r}; it must be the whole address that AWS shows for the queue."

    def servers_to_judge(self) -> tuple[Server, ...]:
        host = URL(self.queue_url).host if _is_web_address(self.queue_url) else None
        return (*AwsKeys.servers_to_judge(self), *(((host, 443),) if host else ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class SnsKeys(AwsKeys):
    """Which topic."""

    subject: ClassVar[str] = "An sns"

    topic_arn: str = key(text("a topic's ARN", pattern=r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+(\.fifo)?"))

    @property
    def target(self) -> str:
        return self.topic_arn


def _is_web_address(text: str) -> bool:
    try:
        url = URL(text)
        return url.scheme in ("http", "https") and bool(url.host) and url.user is None and bool(url.port)
    except ValueError:
        return False
