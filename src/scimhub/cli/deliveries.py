"""What ``scimhub doctor`` says of destinations: which nothing reaches, what waits for a person, who left and is not told."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from scimhub.cli import connection, output
from scimhub.cli.connection import Refused, Way, path_of
from scimhub.cli.finding import Finding
from scimhub.directory.errors import Fault
from scimhub.settings import Settings

# The deadline of docs/brake.md.
_LEAVER_DEADLINE = 300.0
_SUBJECT = "deliveries"


async def examine(settings: Settings) -> list[Finding]:
    """A finding for each thing that somebody must look at, or one that says that all is well."""
    try:
        async with connection.open_way(settings, writes=False) as way:
            shown = [one for name in await _directories(way) for one in await _items(way, "directories", name, "destinations")]
    except (Refused, Fault) as error:
        return [Finding("FAIL", _SUBJECT, str(error))]
    findings = [finding for one in shown for finding in _of_destination(one)]
    if findings:
        return findings
    what = (
        "There is no destination."
        if not shown
        else f"Nothing waits for a person at {output.counted(len(shown), 'destination')}."
    )
    return [Finding("OK", _SUBJECT, what)]


async def _directories(way: Way) -> Sequence[str]:
    return [one["name"] for one in await _items(way, "directories")]


async def _items(way: Way, *parts: str) -> Sequence[Mapping[str, Any]]:
    found: Mapping[str, Any] = orjson.loads(await way.ask("GET", path_of(*parts)))
    items: Sequence[Mapping[str, Any]] = found["items"]
    return items


def _of_destination(shown: Mapping[str, Any]) -> Iterator[Finding]:
    status, place = shown["status"], f"{shown['name']} --directory {shown['directory']}"
    name = f"{shown['directory']}/{shown['name']}"
    because = f": {shown['reason'].rstrip('.')}" if shown["reason"] else ""
    match shown["state"]:
        case "active":
            if status["breaker"] == "open":
                yield _warn(f"{name} fails, and only a probe is sent: {status['error']}", f"destination check {place}")
        case "behind":
            yield _fail(f"{name} lacks changes that are no longer kept{because}.", f"destination show {place}")
        case "failing":
            yield _fail(f"{name} was stopped because it failed{because}.", f"destination resume {place}")
        case state:
            yield _warn(f"{name} is {state}{because}.", f"destination resume {place}")
    age = status["oldest_leaver_seconds"]
    if age > _LEAVER_DEADLINE:
        yield _fail(
            f"{name} has not been told for {_duration(age)} that somebody left; the deadline is five minutes.",
            f"destination show {place}",
        )
    if status["brake_is_tripped"]:
        held = output.counted(status["brake_held"], "removal")
        yield _warn(f"The brake of {name} has tripped and holds {held}.", f"destination brake show {place}")
    if status["held"]:
        held = output.counted(status["held"], "resource")
        yield _warn(f"{name} lacks {held} whose delivery failed.", f"destination held list {place}")


def _fail(sentence: str, verb: str) -> Finding:
    return Finding("FAIL", _SUBJECT, f"{sentence} Next: scimhub {verb}")


def _warn(sentence: str, verb: str) -> Finding:
    return Finding("WARN", _SUBJECT, f"{sentence} Next: scimhub {verb}")


def _duration(seconds: float) -> str:
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}s"
    return f"{seconds:.0f} seconds"
