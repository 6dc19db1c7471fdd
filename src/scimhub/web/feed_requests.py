"""What a request to a feed asks for, and the ways in which it is turned away."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from scimhub.distribution.delivery import Destination
from scimhub.distribution.feed import DEFAULT_LIMIT, LARGEST_LIMIT
from scimhub.scim.errors import ScimError
from scimhub.web.exchange import PROBLEM_JSON, Answer, Request, problem

PREFIX = "/feed/v1/"
LONGEST_WAIT = 30
EVENT_STREAM = "text/event-stream"
# Seconds: after how long a paused feed, or one with too many readers, may be asked again.
PAUSED_RETRY = 30
CROWDED_RETRY = 5

_NUMBER = re.compile(r"[0-9]{1,9}")
_EVENTS = ("after", "limit", "types", "wait")


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters of a request for events; ``after`` is None where the consumer left it to us."""

    after: str | None = None
    limit: int = DEFAULT_LIMIT
    types: tuple[str, ...] = ()
    wait: int = 0


def parse(request: Request, place: str) -> Asked | Answer:
    """What is asked of ``events`` or ``snapshot``; a problem 400 that names each mistake."""
    try:
        pairs = request.query()
    except ScimError as error:
        return bad_request([error.detail])
    allowed = _EVENTS if place == "events" else ()
    names = [name for name, _ in pairs]
    problems = [
        f"There is no parameter {name[:40]!r}; {place} takes {', '.join(allowed) or 'none'}."
        for name in dict.fromkeys(names)
        if name not in allowed
    ]
    problems += [f"The parameter {name} is given twice; send it once." for name in allowed if names.count(name) > 1]
    given = dict(pairs)
    limit = _number(given, "limit", 1, LARGEST_LIMIT, DEFAULT_LIMIT, problems)
    wait = _number(given, "wait", 0, LONGEST_WAIT, 0, problems)
    if problems:
        return bad_request(problems)
    types = tuple(name.strip() for name in given.get("types", "").split(",") if name.strip())
    # EventSource repeats the URL that it began with; where it is now it says in the header.
    after = (request.header(b"last-event-id") if wants_stream(request) else None) or given.get("after")
    return Asked(after, limit, types, wait)


def wants_stream(request: Request) -> bool:
    """Whether the client asks for server-sent events."""
    accepted = (request.header(b"accept") or "").lower()
    return any(part.partition(";")[0].strip() == EVENT_STREAM for part in accepted.split(","))


def _number(given: dict[str, str], name: str, lowest: int, highest: int, default: int, problems: list[str]) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or not lowest <= int(text) <= highest:
        problems.append(f"{name} is {text[:40]!r}; it must be a whole number from {lowest} to {highest}.")
        return default
    return int(text)


# --------------------------------------------------------------------------- turning away


def bad_request(problems: Sequence[str]) -> Answer:
    """400, each mistake by itself in ``problems``."""
    body = {
        "type": "about:blank",
        "title": "Bad request",
        "status": 400,
        "detail": " ".join(problems),
        "problems": list(problems),
    }
    return Answer(400, orjson.dumps(body), content_type=PROBLEM_JSON)


def not_found() -> Answer:
    """404 for a path that is no feed's."""
    return problem(404, "Not found", f"A feed has two addresses: {PREFIX}{{directory}}/events and …/snapshot.")


def not_allowed() -> Answer:
    """405."""
    answer = problem(405, "Method not allowed", "A feed is only read: send GET.")
    answer.headers.append((b"allow", b"GET"))
    return answer


def unauthorized(status: int, detail: str, challenge: str) -> Answer:
    """400, 401 or 403 with the challenge of RFC 6750 §3."""
    title = {400: "Bad request", 401: "Unauthorized"}.get(status, "Forbidden")
    answer = problem(status, title, detail)
    answer.headers.append((b"www-authenticate", challenge.encode()))
    return answer


def expired(reason: str, root_url: str, directory: str) -> Answer:
    """410 with the snapshot's address: never an empty page (DECISIONS 26)."""
    address = f"{root_url}{PREFIX}{directory}/snapshot"
    body = {
        "type": "about:blank",
        "title": "Gone",
        "status": 410,
        "detail": f"{reason} Read the snapshot, and go on with the cursor in its first line.",
        "snapshot": address,
    }
    answer = Answer(410, orjson.dumps(body), content_type=PROBLEM_JSON)
    answer.headers.append((b"link", f'<{address}>; rel="snapshot"'.encode()))
    return answer


def paused(destination: Destination) -> Answer:
    """503 while somebody has stopped the feed; its place is kept."""
    why = f": {destination.reason.rstrip('.')}" if destination.reason else ""
    return later(503, f"The feed {destination.name} is {destination.state}{why}; resume it to read on.", PAUSED_RETRY)


def crowded(what: str) -> Answer:
    """429 when one feed is read by too many at once."""
    return later(429, f"The feed has too many {what} open at once; close some.", CROWDED_RETRY)


def later(status: int, detail: str, seconds: int) -> Answer:
    """429 or 503 with Retry-After."""
    answer = problem(status, "Too many requests" if status == 429 else "Service unavailable", detail)
    answer.headers.append((b"retry-after", str(seconds).encode()))
    return answer
