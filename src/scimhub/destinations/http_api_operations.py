"""The requests of a custom HTTP API's configuration, read and checked one by one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from scimhub.destinations import http_configuration, templates
from scimhub.destinations.templates import Source, UrlTemplate, Words
from scimhub.distribution import rules
from scimhub.distribution.rules import Rule

Format = Literal["json", "form"]

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
KEYS: Final = dict.fromkeys(("method", "url", "headers", "body", "format", "success", "capture"))
_SUCCESS_KEYS: Final = dict.fromkeys(("status", "path", "equals"))


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


def read(
    where: str,
    content: Mapping[str, object],
    problems: list[str],
    *,
    vocabulary: Words,
    keys: Mapping[str, None] = KEYS,
    methods: tuple[str, ...] = METHODS,
) -> Operation:
    """The request; ``vocabulary`` tells what may be named in it, ``keys`` what may be written of it."""
    problems += [http_configuration.unknown_key(where, str(key), keys) for key in content if key not in keys]
    method, form = content.get("method"), content.get("format", "json")
    if method not in methods:
        problems.append(f"{where} needs a method, one of {', '.join(methods)}.")
    if form not in ("json", "form"):
        problems.append(f"{where} has a format that is neither json nor form.")
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
    capture = None if capture_path == "" else json_path(f"{where}, capture:", capture_path, problems)
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
    read_value = None if path is None else json_path(f"{where}, success:", path, problems)
    return Success(frozenset(listed), str(path or ""), read_value, written.get("equals"))


def json_path(where: str, text: object, problems: list[str]) -> Callable[[object], object] | None:
    """What reads the value at the path of any JSON; None when the path has a mistake."""
    try:
        return templates.read_json(text if isinstance(text, str) else "")
    except ValueError as error:
        problems.append(f"{where} {error}")
        return None
