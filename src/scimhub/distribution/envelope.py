"""Changes as the events that destinations receive: CloudEvents 1.0 with the data that ``contract`` describes.

The bytes of an event are a function of the changes and the subscription, so that a retry sends the same bytes under the
same id (DECISIONS 9). One thing is not in the log: who belongs to a group that enters a destination's scope by a change of
its own attributes; the caller then brings the members of the moment, to which later changes are applied once more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from scimhub.directory.representation import Viewpoint
from scimhub.distribution import subscription
from scimhub.distribution.delivery import Destination, Message, Replay
from scimhub.distribution.subscription import MEMBERS_CHANGED, STATE, Interest, Notice
from scimhub.scim.catalog import Catalog, Kind

CONTRACT_VERSION = 1
# In front of every type.
TYPE_PREFIX = "scimhub."
# An event tells of so many members at most; what is more comes in further parts.
MEMBERS_PER_EVENT = 1000


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the events of one destination have in common. ``root_url`` is the hub's own, without a slash at its end."""

    directory_name: str
    root_url: str
    viewpoint: Viewpoint
    interest: Interest
    replay: Replay | None = None
    # The attributes of each sort of event, by type and verb, with the values that all of them have.
    attributes: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict, compare=False)


def of_destination(
    destination: Destination, catalog: Catalog, root_url: str, epoch: str, replay: Replay | None = None
) -> Envelope:
    """The envelope of its events; raises Invalid when its subscription fits the catalog no more."""
    name = destination.directory_name
    viewpoint = Viewpoint(catalog, f"{root_url}/scim/{name}/v2", epoch)
    return Envelope(name, root_url, viewpoint, subscription.bind(destination.subscription, catalog), replay)


@dataclass(slots=True)
class _Members:
    """For each member touched its final state; the order is that of the first touch."""

    states: dict[str, bool] = field(default_factory=dict)

    def note(self, notice: Notice) -> None:
        self.states.update(dict.fromkeys(notice.change.members_added, True))
        self.states.update(dict.fromkeys(notice.change.members_removed, False))

    def parts(self) -> Iterator[dict[str, list[str]]]:
        """The states in parts of at most ``MEMBERS_PER_EVENT``; one empty part when there are none."""
        states = list(self.states.items())
        for first in range(0, max(1, len(states)), MEMBERS_PER_EVENT):
            some = states[first : first + MEMBERS_PER_EVENT]
            yield {
                "added": [id for id, is_member in some if is_member],
                "removed": [id for id, is_member in some if not is_member],
            }


def of_notice(envelope: Envelope, notice: Notice, members: Sequence[str] = ()) -> list[Message]:
    """The event of one change, in several parts when it tells of many members.

    ``members`` are those of a group that enters the scope; see above. A state is the same event for the same wish only, so
    that a receiver which has seen the state takes it again when it is asked for again.
    """
    event_id = f"{notice.change.id}_{notice.ask}" if notice.ask else notice.change.id
    data = _content(notice)
    if notice.verb != "deleted":
        data["changed"] = notice.changed
        data["resource"] = orjson.Fragment(render(envelope, notice))
    if not notice.kind.has_members:
        return [_message(envelope, notice, notice.verb, event_id, orjson.dumps(data))]
    touched = _Members(dict.fromkeys(members, True))
    if notice.members:
        touched.note(notice)
    return list(_parts(envelope, notice, event_id, data, touched))


def of_check(id: str, destination: Destination, now: str) -> Message:
    """What is sent when an administrator checks a destination: an event that tells of no resource."""
    attributes = {
        "specversion": "1.0",
        "id": id,
        "source": f"/directories/{destination.directory_name}",
        "type": f"{TYPE_PREFIX}test",
        "subject": destination.id,
        "time": now,
        "datacontenttype": "application/json",
    }
    return Message(id, attributes, orjson.dumps({"destination": destination.name, "directory": destination.directory_name}))


def of_run(envelope: Envelope, notices: Sequence[Notice]) -> list[Message]:
    """One event for consecutive membership changes of one group: each member's final state (DECISIONS 10).

    Applied twice, or after a run that overlaps it, it gives the same members.
    """
    first, last = notices[0], notices[-1]
    if first is last:
        return of_notice(envelope, last)
    touched = _Members()
    for notice in notices:
        touched.note(notice)
    verbs = {notice.verb for notice in notices}
    data = _content(last)
    data["fromVersion"] = first.change.version
    data["changed"] = []
    data["resource"] = orjson.Fragment(render(envelope, last))
    merged = last if len(verbs) == 1 else Notice(last.change, last.kind, MEMBERS_CHANGED, "write", members=True)
    return list(_parts(envelope, merged, f"{first.change.id}_{last.change.id}", data, touched))


def render(envelope: Envelope, notice: Notice) -> bytes:
    """The resource after the change, which is no delete, as the destination may see it; without members and groups."""
    change, document = notice.change, notice.change.after or "{}"
    return render_state(envelope, notice.kind, change.resource_id, change.version, change.time, document, change.external_id)


def render_state(
    envelope: Envelope, kind: Kind, id: str, version: int, modified: str, document: str, external_id: str | None
) -> bytes:
    """A resource as the destination may see it, without members and groups; ``document`` is the stored one."""
    viewpoint = envelope.viewpoint
    head: dict[str, object] = {"id": id}
    if external_id is not None:
        head["externalId"] = external_id
    meta = {
        "resourceType": kind.name,
        "lastModified": modified,
        "location": viewpoint.location(kind, id),
        "version": viewpoint.etag(version),
    }
    text = b"".join((orjson.dumps(head)[:-1], b",", document.encode()[1:-1], b',"meta":', orjson.dumps(meta), b"}"))
    projection, mapped = envelope.interest.projection(kind), envelope.interest.mapped(kind)
    if mapped is None and projection.shows_all(kind):
        return text
    shown = projection.apply(orjson.loads(text), kind)
    return orjson.dumps(shown if mapped is None else mapped.apply(shown))


# --------------------------------------------------------------------------- the parts


def _content(notice: Notice) -> dict[str, Any]:
    change = notice.change
    return {
        "resourceType": notice.kind.name,
        "id": change.resource_id,
        "version": change.version,
        "position": change.position,
        "cause": notice.cause,
    }


def _parts(envelope: Envelope, notice: Notice, event_id: str, data: dict[str, Any], members: _Members) -> Iterator[Message]:
    parts = list(members.parts())
    for number, part in enumerate(parts, 1):
        is_whole = notice.verb == STATE
        part_id = event_id if number == 1 else f"{event_id}_{number}"
        verb = notice.verb if number == 1 or is_whole else _verb_of(part)
        content = data if number == 1 else {name: data[name] for name in _IN_EVERY_PART if name in data}
        if notice.kind.has_members and notice.verb != "deleted":
            content = content | {"members": {**part, "whole": True} if is_whole and notice.members else part}
        if len(parts) > 1:
            content = content | {"part": number, "parts": len(parts)}
        yield _message(envelope, notice, verb, part_id, orjson.dumps(content))


_IN_EVERY_PART = ("resourceType", "id", "version", "fromVersion", "position", "cause")


def _verb_of(part: dict[str, list[str]]) -> str:
    if part["added"] and part["removed"]:
        return MEMBERS_CHANGED
    return "member.added" if part["added"] else "member.removed"


def _message(envelope: Envelope, notice: Notice, verb: str, event_id: str, data: bytes) -> Message:
    change = notice.change
    name = notice.kind.name
    known = envelope.attributes.get((name, verb))
    if known is None:
        known = envelope.attributes[name, verb] = _attributes(envelope, name.lower(), verb)
    attributes = known.copy()
    attributes["id"] = delivery_id = event_id
    attributes["subject"] = attributes["partitionkey"] = change.resource_id
    attributes["time"] = change.time
    # Compared as a text, hence the zeros (CloudEvents extension ``sequence``).
    attributes["sequence"] = f"{change.position:020}"
    attributes["requestid"] = change.exchange_id
    replay = envelope.replay if notice.cause != "state" else None
    if replay is not None and change.position <= replay.until and replay.resource_id in (None, change.resource_id):
        attributes["replayid"] = replay.id
        delivery_id = f"{event_id}_{replay.id}"
    return Message(delivery_id, attributes, data)


def _attributes(envelope: Envelope, resource: str, verb: str) -> dict[str, str]:
    """All attributes of such events, in their order; empty are those that are each event's own."""
    # CloudEvents: names are lower-case letters and digits; values may be logged anywhere, so that none is personal.
    return {
        "specversion": "1.0",
        "id": "",
        "source": f"/directories/{envelope.directory_name}",
        "type": f"{TYPE_PREFIX}{resource}.{verb}",
        "subject": "",
        "time": "",
        "datacontenttype": "application/json",
        "dataschema": f"{envelope.root_url}/contract/{CONTRACT_VERSION}/{resource}.json",
        "sequence": "",
        "partitionkey": "",
        "requestid": "",
        # After a restored backup versions begin again lower than a receiver has seen; this tells it so.
        "epoch": envelope.viewpoint.epoch,
    }
