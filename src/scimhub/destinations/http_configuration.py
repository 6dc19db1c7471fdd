"""What the configurations of all destinations over HTTP have in common: addresses, headers, numbers, each checked.

Each check adds its mistakes to the list that it is given, as sentences.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final, cast

from yarl import URL

from scimhub.destinations.egress import Policy

_LONGEST_URL: Final = 2000
_TIMEOUT: Final = (1, 30)
_CONCURRENCY: Final = (1, 64)
_RATE: Final = (0, 10_000)
_LARGEST: Final = (0, 1_000_000_000)
_MOST_HEADERS: Final = 20
_LONGEST_HEADER: Final = 4000

# RFC 9110 §5.6.2, and its visible characters with blanks between them (§5.5).
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_FIELD_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")
# Headers of one connection only (RFC 9110 §7.6.1), and those that the hub sets itself.
_HOP_BY_HOP: Final = {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection"} | {
    *("te", "trailer", "transfer-encoding", "upgrade")
}
# What the domain name system can be asked for (RFC 1035 §2.3.4), with the underscores that internal names have.
_HOST_NAME: Final = re.compile(r"(?!.{254})(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
_OWN: Final = {"host", "user-agent", "accept-encoding", "expect"}
_OWN_PREFIXES: Final = ("webhook-", "ce-", "content-")


def fill(owner: str, written: Mapping[str, object], defaults: Mapping[str, object]) -> tuple[dict[str, object], list[str]]:
    """What was written with the defaults for the rest, and a sentence about each key that ``owner`` does not have."""
    filled = {**defaults, **{key: value for key, value in written.items() if key in defaults}}
    return filled, [unknown_key(owner, key, defaults) for key in written if key not in defaults]


def unknown_key(owner: str, key: str, known: Mapping[str, object]) -> str:
    """The sentence about a key that the configuration of ``owner`` does not have."""
    close = get_close_matches(key, known, 1)
    meant = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known)}."
    return f"{owner} has no key {key[:80]!r}{meant}"


def check_url(value: object, policy: Policy, problems: list[str], missing: str, name: str = "url") -> None:
    """An address that can be connected to, as far as the policy can say so beforehand; ``missing`` is said where none is."""
    if not isinstance(value, str) or not value:
        problems.append(missing)
        return
    if len(value) > _LONGEST_URL:
        problems.append(f"The {name} has {len(value)} characters; {_LONGEST_URL} are possible.")
        return
    if re.search(r"[\x00-\x20\x7f\\]", value):
        problems.append(f"The {name} contains a blank, a control character or a backslash; write it percent-encoded.")
        return
    try:
        url = URL(value)
        host, port = url.host, url.port  # may raise ValueError as well
    except ValueError as error:
        problems.append(f"The {name} cannot be read: {error}; write it such as https://example.com/events.")
        return
    if url.scheme not in ("http", "https"):
        problems.append(f"The {name} begins with {url.scheme or 'no scheme'!r}; it must begin with https:// or http://.")
        return
    if not host or not url.raw_host or port == 0:
        problems.append(f"The {name} names no host to connect to, or port 0; write it such as https://example.com/events.")
        return
    if ":" not in url.raw_host and not _HOST_NAME.fullmatch(url.raw_host):
        problems.append(f"The {name} names the host {host[:80]!r}, which can be no name of a host.")
        return
    if re.match(r"[^/]*//[^/?#]*@", value):
        problems.append(f"The {name} holds a user name or password; put credentials into headers instead.")
    if "#" in value:
        problems.append(f"The {name} has a fragment (#…), which is never sent; leave it out.")
    refusal = policy.refusal_of_host(url.raw_host)
    if refusal is not None:
        problems.append(f"The host of the {name} cannot be used: {refusal}")


def check_choice(filled: Mapping[str, object], key: str, choices: tuple[str, ...], problems: list[str]) -> None:
    """One of the choices."""
    if filled[key] not in choices:
        problems.append(f"The {key} is {shown(filled[key])}; it must be {' or '.join(choices)}.")


def check_range(
    filled: Mapping[str, object],
    key: str,
    limits: tuple[int, int],
    types: tuple[type, ...],
    what: str,
    problems: list[str],
) -> None:
    """A number within the limits; ``what`` is the sentence's word for it."""
    value, (least, most) = filled[key], limits
    is_number = isinstance(value, types) and not isinstance(value, bool)
    if not is_number or not least <= cast(float, value) <= most:
        problems.append(f"The {key} is {shown(value)}; it must be {what} from {least} to {most}.")


def check_pace(filled: Mapping[str, object], problems: list[str]) -> None:
    """``timeout``, ``concurrency`` and ``largest_message``, and the ``rate`` of a kind that has one."""
    check_range(filled, "timeout", _TIMEOUT, (int, float), "a number of seconds", problems)
    check_range(filled, "concurrency", _CONCURRENCY, (int,), "a whole number", problems)
    check_range(filled, "largest_message", _LARGEST, (int,), "a number of bytes, or 0 for no limit,", problems)
    if "rate" in filled:
        check_range(filled, "rate", _RATE, (int, float), "a number of messages a second, or 0 for no limit,", problems)


def check_headers(value: object, problems: list[str]) -> None:
    """Names and values that may be sent beside the hub's own."""
    if not isinstance(value, Mapping):
        problems.append('The headers are no object; write names and values, such as {"Authorization": "Bearer …"}.')
        return
    if len(value) > _MOST_HEADERS:
        problems.append(f"There are {len(value)} headers; {_MOST_HEADERS} are possible.")
    seen: set[str] = set()
    for name, content in value.items():
        lower = str(name).lower()
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            problems.append(f"The header name {shown(name)} has characters that a name cannot have; use letters, digits and -.")
        elif lower in _HOP_BY_HOP or lower in _OWN or lower.startswith(_OWN_PREFIXES):
            problems.append(f"The header {name[:80]} cannot be set; it belongs to the connection or to the hub.")
        elif lower in seen:
            problems.append(f"The header {name[:80]} is there twice, in different case.")
        # The value may be a credential and is therefore not shown.
        if not isinstance(content, str) or not is_field_value(content):
            problems.append(
                f"The value of the header {shown(name)} cannot be sent; "
                f"it must be a line of at most {_LONGEST_HEADER} printable ASCII characters."
            )
        seen.add(lower)


def shown(value: object) -> str:
    """The beginning of what was written."""
    return repr(value)[:80]


def is_field_value(text: str) -> bool:
    """Whether the text may be the value of a header."""
    return len(text) <= _LONGEST_HEADER and _FIELD_VALUE.fullmatch(text) is not None
