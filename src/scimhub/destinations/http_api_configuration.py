"""The configuration of a custom HTTP API, read and checked: for each operation the request that tells it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from yarl import URL

from scimhub.destinations import http_authorization, http_configuration, templates
from scimhub.destinations.egress import Policy
from scimhub.destinations.http_authorization import Wish
from scimhub.destinations.templates import JsonVocabulary, Source, UrlTemplate
from scimhub.directory.errors import Invalid
from scimhub.distribution import concealment, rules
from scimhub.distribution.rules import Rule

Format = Literal["json", "form"]

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
# Sent when an administrator checks the destination.
TEST: Final = "test"
_NAME: Final = re.compile(rf"[a-z][a-z0-9_-]*\.({'|'.join(re.escape(verb) for verb in VERBS)})")
_METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_KEYS: Final = dict.fromkeys(("method", "url", "headers", "body", "format", "success", "capture"))
_SUCCESS_KEYS: Final = dict.fromkeys(("status", "path", "equals"))
_MOST_OPERATIONS: Final = 100


@dataclass(frozen=True, slots=True)
class Success:
    """When an answer is a success: one of the statuses, and maybe a value in its JSON."""

    statuses: frozenset[int]
    path: str
    read: Callable[[object], object] | None
    equals: object


@dataclass(frozen=True, slots=True)
class Operation:
    """One request. ``capture`` reads the destination's id of the resource from the answer's JSON."""

    method: str
    url: UrlTemplate
    headers: Mapping[str, Rule[Source]]
    body: Rule[Source] | None
    format: Format
    success: Success
    capture: Callable[[object], object] | None
    capture_path: str
    # The names that the request asks for.
    uses: frozenset[str]


@dataclass(frozen=True, slots=True)
class Configuration:
    """What an HTTP API needs; ``operations`` by names such as ``user.created``. ``timeout`` is in seconds."""

    base_url: str
    auth: Wish
    operations: Mapping[str, Operation]
    idempotency_header: str
    headers: Mapping[str, str]
    timeout: float
    concurrency: int
    largest_message: int
    rate: float
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
    known["operations"] = _operations(known["operations"], [])
    return Configuration(**known)


def _operations(written: object, problems: list[str]) -> dict[str, Operation]:
    if not isinstance(written, Mapping) or not 0 < len(written) <= _MOST_OPERATIONS:
        problems.append(f'The operations must be an object with 1 to {_MOST_OPERATIONS} such as "user.created".')
        return {}
    operations = {}
    for name, content in written.items():
        if name != TEST and not _NAME.fullmatch(str(name)):
            problems.append(
                f"The operation {str(name)[:80]!r} is none; write a resource type in lower case, a dot, and one of "
                f"{', '.join(VERBS)}; or test."
            )
        elif not isinstance(content, Mapping):
            problems.append(f"The operation {name} must be an object with method, url and more.")
        else:
            operations[str(name)] = _operation(f"The operation {name}", content, problems)
    return operations


def _operation(where: str, content: Mapping[str, object], problems: list[str]) -> Operation:
    problems += [http_configuration.unknown_key(where, str(key), _KEYS) for key in content if key not in _KEYS]
    method, form = content.get("method"), content.get("format", "json")
    if method not in _METHODS:
        problems.append(f"{where} needs a method, one of {', '.join(_METHODS)}.")
    if form not in ("json", "form"):
        problems.append(f"{where} has a format that is neither json nor form.")
    vocabulary = JsonVocabulary()
    url = UrlTemplate((), ())
    try:
        url = templates.parse_url(content.get("url"), vocabulary)
    except ValueError as error:
        problems.append(f"{where} {str(error).rstrip('.')}.")
    parser = rules.Parser(vocabulary, problems)
    body = parser.rule(content["body"], f"{where}, body") if "body" in content else None
    headers = _headers(where, content.get("headers", {}), parser, problems)
    success = _success(where, content.get("success", {}), problems)
    capture_path = content.get("capture", "")
    capture = None if capture_path == "" else _json_path(f"{where}, capture:", capture_path, problems)
    return Operation(
        str(method),
        url,
        headers,
        body,
        "form" if form == "form" else "json",
        success,
        capture,
        str(capture_path),
        frozenset(vocabulary.used),
    )


def _headers(where: str, written: object, parser: rules.Parser[Source], problems: list[str]) -> Mapping[str, Rule[Source]]:
    if not isinstance(written, Mapping):
        problems.append(f"{where} has headers that are no object of names and rules.")
        return {}
    # What a rule makes of an event is looked at when it is sent; a constant is known now.
    constants = {name: rule["constant"] for name, rule in written.items() if isinstance(rule, Mapping) and "constant" in rule}
    texts = {name: text for name, text in constants.items() if isinstance(text, str) and text}
    http_configuration.check_headers({**dict.fromkeys(written, "x"), **texts}, problems)
    return {str(name): parser.rule(rule, f"{where}, header {str(name)[:80]}:") for name, rule in written.items()}


def _success(where: str, written: object, problems: list[str]) -> Success:
    if not isinstance(written, Mapping) or not set(written) <= set(_SUCCESS_KEYS):
        problems.append(f"{where} has a success that is no object with status, and maybe path and equals.")
        written = {}
    statuses = written.get("status", list(range(200, 300)))
    listed = statuses if isinstance(statuses, list) else [statuses]
    if not listed or not all(type(one) is int and 100 <= one <= 599 for one in listed):
        problems.append(f"{where} has a success status that is no number from 100 to 599, or list of them.")
        listed = []
    if ("path" in written) != ("equals" in written):
        problems.append(f"{where} has a success with only one of path and equals; they belong together.")
    path = written.get("path")
    read_value = None if path is None else _json_path(f"{where}, success:", path, problems)
    return Success(frozenset(listed), str(path or ""), read_value, written.get("equals"))


def _json_path(where: str, text: object, problems: list[str]) -> Callable[[object], object] | None:
    try:
        return templates.read_json(text if isinstance(text, str) else "")
    except ValueError as error:
        problems.append(f"{where} {error}")
        return None
