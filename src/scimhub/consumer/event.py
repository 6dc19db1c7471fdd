"""One event of the hub, read from a webhook or a feed: a CloudEvent 1.0 whose data tells of one resource."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from .webhook import Headers, by_lower_name

_PREFIX = "scimhub."
_STRUCTURED = "application/cloudevents+json"


class Malformed(Exception):
    """What arrived is no event of the hub; its text says where it differs. Answer 400."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to one resource.

    ``verb`` is created, updated, activated, deactivated, deleted, member.added, member.removed, members.changed or state,
    or empty for an event that tells of no resource, such as a destination's check. ``version`` grows per resource,
    ``position`` over the whole hub. ``resource`` is the resource after it; None for a deletion and for parts behind the
    first. ``added`` and ``removed`` are ids of members.
    """

    id: str
    source: str
    type: str
    verb: str
    resource_type: str = ""
    resource_id: str = ""
    version: int = 0
    position: int = 0
    # ``scope``: it was neither created nor deleted, it began or ceased to be what this destination is told of. ``state``:
    # nothing happened; what the resource is now is told, maybe once more, or that it is there no longer.
    cause: str = "write"
    changed: tuple[str, ...] = ()
    resource: Mapping[str, Any] | None = None
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    # ``added``, in all parts together, is everybody who is a member.
    is_whole: bool = False
    # Several changes of members told as one: the first version of them. Equal to ``version`` in a single change.
    from_version: int = 0
    part: int = 1
    parts: int = 1
    time: str = ""
    # The history that version and position belong to: another one after the hub was restored from a backup.
    epoch: str = ""
    # Where to go on in the feed behind this event; None in a webhook.
    cursor: str | None = None

    @property
    def tells_of_resource(self) -> bool:
        return bool(self.verb)


def parse(headers: Headers, body: bytes) -> Event:
    """The event of a webhook, whichever mode of CloudEvents it was sent in; raises Malformed."""
    given = by_lower_name(headers)
    content_type = given.get("content-type", "").partition(";")[0].strip().lower()
    if content_type == _STRUCTURED:
        return from_json(_load(body))
    if "ce-specversion" in given:
        attributes: dict[str, Any] = {
            # CloudEvents HTTP binding §3.1.3.2: values are percent-encoded.
            name.removeprefix("ce-"): unquote(value)
            for name, value in given.items()
            if name.startswith("ce-")
        }
        return from_json({**attributes, "data": _load(body)})
    raise Malformed(f"The content type {content_type[:80]!r} is not {_STRUCTURED}, and there is no header ce-specversion.")


def from_json(written: object) -> Event:
    """The event that a CloudEvent's JSON form says, as a feed's page has it in ``items``; raises Malformed."""
    if not isinstance(written, dict):
        raise Malformed("An event must be a JSON object.")
    if written.get("specversion") != "1.0":
        raise Malformed(f"specversion is {str(written.get('specversion'))[:20]!r}; it must be 1.0.")
    id, source, type = (_text(written, name) for name in ("id", "source", "type"))
    cursor = written.get("cursor")
    common: dict[str, Any] = {
        "time": str(written.get("time", "")),
        "epoch": str(written.get("epoch", "")),
        "cursor": cursor if isinstance(cursor, str) else None,
    }
    told = written.get("data")
    kind, _, verb = type.removeprefix(_PREFIX).partition(".")
    if not (type.startswith(_PREFIX) and isinstance(told, dict) and "version" in told and kind and verb):
        return Event(id, source, type, "", **common)
    return _of_resource(id, source, type, verb, told, common)


def _of_resource(id: str, source: str, type: str, verb: str, told: Mapping[str, Any], common: Mapping[str, Any]) -> Event:
    version = _number(told, "version")
    members = told.get("members") or {}
    resource = told.get("resource")
    if not isinstance(members, dict) or not (resource is None or isinstance(resource, dict)):
        raise Malformed("data.members and data.resource must be JSON objects.")
    return Event(
        id=id,
        source=source,
        type=type,
        verb=verb,
        resource_type=_text(told, "resourceType"),
        resource_id=_text(told, "id"),
        version=version,
        position=_number(told, "position"),
        cause=str(told.get("cause", "write")),
        changed=_texts(told.get("changed", ()), "changed"),
        resource=resource,
        added=_texts(members.get("added", ()), "members.added"),
        removed=_texts(members.get("removed", ()), "members.removed"),
        is_whole=members.get("whole") is True,
        from_version=_number(told, "fromVersion") if "fromVersion" in told else version,
        part=_number(told, "part") if "part" in told else 1,
        parts=_number(told, "parts") if "parts" in told else 1,
        **common,
    )


def _load(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError as error:
        raise Malformed("The body is not JSON.") from error


def _text(holder: Mapping[str, Any], name: str) -> str:
    value = holder.get(name)
    if not isinstance(value, str) or not value:
        raise Malformed(f"{name} must be a string that is not empty.")
    return value


def _number(holder: Mapping[str, Any], name: str) -> int:
    value = holder.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise Malformed(f"data.{name} must be a whole number.")
    return value


def _texts(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, Iterable) or isinstance(value, str) or not all(isinstance(each, str) for each in value):
        raise Malformed(f"data.{name} must be a list of strings.")
    return tuple(value)
