"""Changes as the events that destinations receive: CloudEvents 1.0 with the data that ``contract`` describes.

The bytes of an event are a function of the changes and the subscription, so that a retry sends the same bytes under the
same id (DECISIONS 9). One thing is not in the log: who belongs to a group that enters a destination's scope by a change of
its own attributes; the caller then brings the members of the moment, to which later changes are applied once more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from scimhub.directory.records import Change
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
    # By type and verb: what all such events have in common.
    forms: dict[tuple[str, str], "_Form"] = field(default_factory=dict, compare=False)


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
    change, kind, verb, _, changed, tells_members, _, _, ask = notice
    event_id = f"{change.id}_{ask}" if ask else change.id
    content = ""
    if verb != "deleted":
        paths = orjson.dumps(changed).decode() if changed else "[]"
        content = f',"changed":{paths},"resource":{_shown_after(envelope, kind, change)}'
    if not kind.has_members:
        return [_message(envelope, notice, verb, event_id, content)]
    touched = _Members(dict.fromkeys(members, True))
    if tells_members:
        touched.note(notice)
    return list(_parts(envelope, notice, event_id, content, touched))


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
    first_version = first.change.version
    content = f',"fromVersion":{first_version},"changed":[],"resource":{_shown_after(envelope, last.kind, last.change)}'
    merged = last if len(verbs) == 1 else Notice(last.change, last.kind, MEMBERS_CHANGED, "write", members=True)
    return list(_parts(envelope, merged, f"{first.change.id}_{last.change.id}", content, touched, first_version))


def render_state(
    envelope: Envelope, kind: Kind, id: str, version: int, modified: str, document: str, external_id: str | None
) -> bytes:
    """A resource as the destination may see it, without members and groups; ``document`` is the stored one."""
    return _shown(envelope, kind, id, version, modified, document, external_id).encode()


# --------------------------------------------------------------------------- the parts


class _Form(NamedTuple):
    """What all events of one type and verb have in common."""

    # All attributes, in their order; empty are those that are each event's own.
    attributes: dict[str, str]
    # The text of the data in front of the resource's id.
    beginning: str


def _shown_after(envelope: Envelope, kind: Kind, change: Change) -> str:
    """The resource after the change, which is no delete, as the destination may see it; without members and groups."""
    _, _, _, _, _, id, version, _, _, time, document, _, external_id, _, _ = change
    return _shown(envelope, kind, id, version, time, document or "{}", external_id)


def _shown(envelope: Envelope, kind: Kind, id: str, version: int, modified: str, document: str, external_id: str | None) -> str:
    named = "" if external_id is None else f',"externalId":{orjson.dumps(external_id).decode()}'
    _, base_url, epoch = envelope.viewpoint
    # Spliced, not parsed; see ``directory.representation``.
    text = (
        f'{{"id":"{id}"{named},{document[1:-1]},"meta":{{"resourceType":"{kind.name}","lastModified":"{modified}",'
        f'"location":"{base_url}{kind.endpoint}/{id}","version":"W/\\"{epoch}.{version}\\""}}}}'
    )
    return envelope.interest.shown(kind, text)


def _parts(
    envelope: Envelope, notice: Notice, event_id: str, content: str, members: _Members, first_version: int | None = None
) -> Iterator[Message]:
    """The event of a group: its first part has the content, each part some of the members."""
    parts = list(members.parts())
    has_members = notice.kind.has_members and notice.verb != "deleted"
    is_whole = notice.verb == STATE
    begins = "" if first_version is None else f',"fromVersion":{first_version}'
    for number, part in enumerate(parts, 1):
        verb = notice.verb if number == 1 or is_whole else _verb_of(part)
        text, more = (content, "") if number == 1 else ("", begins)
        if has_members:
            told = {**part, "whole": True} if is_whole and notice.members else part
            text += f',"members":{orjson.dumps(told).decode()}'
        if len(parts) > 1:
            text += f',"part":{number},"parts":{len(parts)}'
        yield _message(envelope, notice, verb, event_id if number == 1 else f"{event_id}_{number}", text, more)


def _verb_of(part: dict[str, list[str]]) -> str:
    if part["added"] and part["removed"]:
        return MEMBERS_CHANGED
    return "member.added" if part["added"] else "member.removed"


def _message(envelope: Envelope, notice: Notice, verb: str, event_id: str, content: str, more: str = "") -> Message:
    """The event with that text behind what the data of each part has, and ``more`` behind the version."""
    change, kind, _, cause, *_ = notice
    position, _, _, _, _, resource_id, version, _, exchange_id, time, *_ = change
    form = envelope.forms.get((kind.name, verb)) or _form(envelope, kind.name, verb)
    attributes = form.attributes.copy()
    attributes["id"] = delivery_id = event_id
    attributes["subject"] = attributes["partitionkey"] = resource_id
    attributes["time"] = time
    # Compared as a text, hence the zeros (CloudEvents extension ``sequence``).
    attributes["sequence"] = f"{position:020}"
    attributes["requestid"] = exchange_id
    replay = envelope.replay
    if replay is not None and _is_replayed(replay, notice):
        attributes["replayid"] = replay.id
        delivery_id = f"{event_id}_{replay.id}"
    # Names and ids hold no character that JSON would escape.
    data = f'{form.beginning}{resource_id}","version":{version}{more},"position":{position},"cause":"{cause}"{content}}}'
    return Message(delivery_id, attributes, data.encode())


def _form(envelope: Envelope, resource_type: str, verb: str) -> _Form:
    attributes = _attributes(envelope, resource_type.lower(), verb)
    form = envelope.forms[resource_type, verb] = _Form(attributes, f'{{"resourceType":"{resource_type}","id":"')
    return form


def _is_replayed(replay: Replay, notice: Notice) -> bool:
    change = notice.change
    return notice.cause != "state" and change.position <= replay.until and replay.resource_id in (None, change.resource_id)


def _attributes(envelope: Envelope, resource: str, verb: str) -> dict[str, str]:
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
