"""The configuration of a custom HTTP API, read and checked: for each operation the request that tells it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from yarl import URL

from scimhub.destinations import http_api_lists, http_api_operations, http_authorization, http_configuration
from scimhub.destinations.egress import Policy
from scimhub.destinations.http_api_lists import Listing
from scimhub.destinations.http_api_operations import Operation
from scimhub.destinations.http_authorization import Wish
from scimhub.destinations.templates import JsonVocabulary
from scimhub.directory.errors import Invalid
from scimhub.distribution import concealment

_DEFAULTS: Final[Mapping[str, object]] = {
    "base_url": None,
    "auth": {"type": "bearer"},
    "operations": {},
    "idempotency_header": "Idempotency-Key",
    "headers": {},
    "timeout": 15,
    "concurrency": 8,
    "largest_message": 0,
    "rate": 0,
}
_NO_URL: Final = "An HTTP API needs base_url, what stands before the url of every operation, such as https://example.com/api."
VERBS: Final = ("created", "updated", "activated", "deactivated", "deleted", "member.added", "member.removed", "state")
# Asks for all that there are; it tells nothing.
LIST: Final = "list"
# Sent when an administrator checks the destination.
TEST: Final = "test"
_NAME: Final = re.compile(rf"[a-z][a-z0-9_-]*\.({'|'.join(re.escape(verb) for verb in (*VERBS, LIST))})")
_MOST_OPERATIONS: Final = 100


@dataclass(frozen=True, slots=True)
class Configuration:
    """What an HTTP API needs; ``operations`` by names such as ``user.created``. ``timeout`` is in seconds.

    ``lists`` are the requests that list, by the resource type in lower case.
    """

    base_url: str
    auth: Wish
    operations: Mapping[str, Operation]
    idempotency_header: str
    headers: Mapping[str, str]
    timeout: float
    concurrency: int
    largest_message: int
    rate: float
    lists: Mapping[str, Listing]
    # The texts of headers, which nobody is shown.
    concealed: tuple[str, ...]

    @property
    def host(self) -> str:
        return URL(self.base_url).host or ""


def check(written: Mapping[str, object], policy: Policy) -> Mapping[str, object]:
    """The configuration with its defaults; raises Invalid with every mistake."""
    filled, problems = http_configuration.fill("The configuration of an HTTP API", written, _DEFAULTS)
    http_configuration.check_url(filled["base_url"], policy, problems, _NO_URL, "base_url")
    if isinstance(filled["base_url"], str) and "?" in filled["base_url"]:
        problems.append("The base_url has a query (?…); it must end where the url of an operation begins.")
    http_authorization.check(filled["auth"], policy, problems)
    http_configuration.check_headers(filled["headers"], problems)
    if not isinstance(name := filled["idempotency_header"], str):
        problems.append("The idempotency_header must be the name of a header, or empty for none.")
    elif name:
        http_configuration.check_headers({name: "x"}, problems)
    http_configuration.check_pace(filled, problems)
    _operations(filled["operations"], problems)
    if problems:
        raise Invalid(problems)
    return filled


def read(checked: Mapping[str, object]) -> Configuration:
    """What ``check`` let pass, as a value."""
    # It was checked when it was written down; what each key holds is known.
    known = cast(dict[str, Any], {**_DEFAULTS, **checked})
    known["auth"] = http_authorization.read(known["auth"])
    known["concealed"] = tuple(text for _, text in concealment.places(checked))
    known["base_url"] = known["base_url"].rstrip("/")
    known["operations"], known["lists"] = _operations(known["operations"], [])
    return Configuration(**known)


def _operations(written: object, problems: list[str]) -> tuple[dict[str, Operation], dict[str, Listing]]:
    if not isinstance(written, Mapping) or not 0 < len(written) <= _MOST_OPERATIONS:
        problems.append(f'The operations must be an object with 1 to {_MOST_OPERATIONS} such as "user.created".')
        return {}, {}
    operations, lists = {}, {}
    for name, content in written.items():
        if name != TEST and not _NAME.fullmatch(str(name)):
            problems.append(
                f"The operation {str(name)[:80]!r} is none; write a resource type in lower case, a dot, and one of "
                f"{', '.join((*VERBS, LIST))}; or test."
            )
        elif not isinstance(content, Mapping):
            problems.append(f"The operation {name} must be an object with method, url and more.")
        elif str(name).endswith(f".{LIST}"):
            lists[str(name).removesuffix(f".{LIST}")] = http_api_lists.read(f"The operation {name}", content, problems)
        else:
            where = f"The operation {name}"
            operations[str(name)] = http_api_operations.read(where, content, problems, vocabulary=JsonVocabulary())
    problems += [_cannot_find(name) for name, listing in lists.items() if not _finds(name, listing, operations)]
    return operations, lists


def _finds(resource_type: str, listing: Listing, operations: Mapping[str, Operation]) -> bool:
    """Whether anything of what is listed could be known as ours."""
    captures = any(name.startswith(f"{resource_type}.") and one.capture_path for name, one in operations.items())
    return captures or listing.our_id is not None or listing.match is not None


def _cannot_find(resource_type: str) -> str:
    return (
        f"The operation {resource_type}.list could not tell who is ours: give it our_id or match, or let the operation that "
        "creates capture the id."
    )
