"""The configuration of a webhook, read and checked: every mistake is told at once, and unknown keys are refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from yarl import URL

from scimhub.destinations import http_configuration
from scimhub.destinations.egress import Policy
from scimhub.directory.errors import Invalid
from scimhub.distribution.delivery import Format

Signature = Literal["hmac", "ed25519"]

_DEFAULTS: Final[Mapping[str, object]] = {
    "url": None,
    "format": "structured",
    "timeout": 15,
    "headers": {},
    "concurrency": 16,
    "largest_message": 0,
    "rate": 0,
    "signature": "hmac",
}
_NO_URL: Final = "A webhook needs url, the address to which events are posted, such as https://example.com/events."


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a webhook needs. ``timeout`` is in seconds, for one whole attempt."""

    url: URL
    format: Format
    timeout: float
    headers: Mapping[str, str]
    concurrency: int
    largest_message: int
    rate: float
    signature: Signature


def check(written: Mapping[str, object], policy: Policy) -> Mapping[str, object]:
    """The configuration with its defaults; raises Invalid with every mistake."""
    filled, problems = http_configuration.fill("A webhook's configuration", written, _DEFAULTS)
    http_configuration.check_url(filled["url"], policy, problems, _NO_URL)
    http_configuration.check_choice(filled, "format", ("structured", "binary"), problems)
    http_configuration.check_choice(filled, "signature", ("hmac", "ed25519"), problems)
    http_configuration.check_pace(filled, problems)
    http_configuration.check_headers(filled["headers"], problems)
    if problems:
        raise Invalid(problems)
    return filled


def read(checked: Mapping[str, object]) -> Configuration:
    """What ``check`` let pass, as a value."""
    # It was checked when it was written down; what each key holds is known.
    known = cast(dict[str, Any], {**_DEFAULTS, **checked})
    known["url"] = URL(known["url"])
    return Configuration(**known)
