"""From what a person knows to a timeline: a user, a group, a request id, a change id or a position.

How they are told apart: digits alone are a position; what has the form of our ids is looked for among changes, requests and
resources; and whatever it is, it may also be somebody's userName, externalId, e-mail address, displayName or employee number.
All that fits is shown in one timeline, and a note says so when it was more than one thing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from scimhub.directory.errors import Absent, Invalid
from scimhub.directory.records import Change, Directory
from scimhub.distribution import subscription
from scimhub.distribution.delivery import Attempt
from scimhub.exchanges.records import Exchange, Search
from scimhub.scim import values
from scimhub.scim.catalog import Catalog, Kind, Target
from scimhub.timeline.arrivals import Standing
from scimhub.timeline.joining import join
from scimhub.timeline.ports import Place, Records, Trail
from scimhub.timeline.records import Subject, Timeline

MOST_CHANGES = 1000
_MOST_SUBJECTS = 10
_MOST_NAMES = 200
_MOST_REFUSED = 20
# How many positions are looked through for memberships, and how many behind a request's time for its changes.
_MOST_SCANNED = 200_000
_BEHIND_REQUEST = 1000
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
# A larger number would be no position in any log.
_POSITION = re.compile(r"[0-9]{1,18}")


@dataclass(slots=True)
class _Clues:
    """What was found so far, by id: each change and exchange is in the timeline once."""

    subjects: dict[str, Subject] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)
    exchanges: dict[str, Exchange] = field(default_factory=dict)
    # What ``of`` turned out to be, such as ``a position``.
    meanings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, changes: Sequence[Change], meaning: str | None = None) -> None:
        self.changes |= {change.id: change for change in changes}
        if changes and meaning is not None:
            self.meanings.append(meaning)


async def follow(trail: Trail, records: Records, directory: Directory, catalog: Catalog, of: str, last: int = 100) -> Timeline:
    """The timeline of what ``of`` names in the directory, with its last ``last`` changes.

    Raises Absent when nothing is known by it, Invalid when it is empty.
    """
    text = of.strip()
    if not text:
        raise Invalid(["of is empty; give a userName, an externalId, an e-mail address, an id or a position."])
    # Whoever asks has often just made the request in question.
    await records.flush()
    clues = _Clues()
    await _find_point(trail, records, directory, text, clues)
    await _find_subjects(trail, directory, catalog, text, clues)
    if not _ID.fullmatch(text) and not _POSITION.fullmatch(text):
        # A request that was refused belongs to no resource, but tells whom it was about.
        refused = Search(directory=directory.name, errors_only=True, text=text)
        found = await records.search(refused, limit=_MOST_REFUSED)
        clues.exchanges |= {exchange.id: exchange for exchange in found.exchanges}
    if not clues.changes and not clues.exchanges and not clues.subjects:
        raise Absent(
            f"Nothing in directory {directory.name} is known as {text[:100]!r}: no user or group by id, userName, externalId, "
            "e-mail address or displayName, no refused request, no change and no position."
        )
    for subject in clues.subjects.values():
        await _follow_subject(trail, records, directory, subject, last, clues)
    wanted = {change.exchange_id for change in clues.changes.values()} - set(clues.exchanges)
    clues.exchanges |= {exchange.id: exchange for exchange in await records.find(sorted(wanted))}
    return await _compose(trail, records, directory, catalog, text, last, clues)


# --------------------------------------------------------------------------- what is meant


async def _find_point(trail: Trail, records: Records, directory: Directory, text: str, clues: _Clues) -> None:
    """A position, a change or a request."""
    if _POSITION.fullmatch(text):
        found = await trail.read_changes(int(text) - 1, 1)
        here = [change for change in found if change.position == int(text) and change.directory == directory.key]
        clues.add(here, "a position")
        if found and not here and found[0].position == int(text):
            clues.notes.append(f"Position {text} belongs to another directory.")
    if not _ID.fullmatch(text):
        return
    change = await trail.find_change(directory.key, text.lower())
    clues.add([] if change is None else [change], "a change")
    kept = [exchange for exchange in await records.find([text.lower()]) if exchange.directory in (directory.name, "")]
    if kept:
        clues.meanings.append("a request")
        clues.exchanges[kept[0].id] = kept[0]
        clues.add(await trail.changes_with_ids(directory.key, kept[0].change_ids))
    elif change is None:
        clues.add(await _changes_of_lost_request(trail, directory, text.lower()), "a request that is not kept")


async def _changes_of_lost_request(trail: Trail, directory: Directory, id: str) -> Sequence[Change]:
    """The changes of a request whose exchange is not kept: its id tells its time, and its changes stand near that."""
    found = _ID.fullmatch(id)
    if found is None or found.group(1) != "7":
        return []
    milliseconds = int(id.replace("-", "")[:12], 16)
    if milliseconds > _LATEST:
        return []
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    near = await trail.read_changes(await trail.position_at(moment), _BEHIND_REQUEST)
    return [change for change in near if change.exchange_id == id and change.directory == directory.key]


# The year 9999, beyond which Python has no dates.
_LATEST = 253_402_300_799_000


async def _find_subjects(trail: Trail, directory: Directory, catalog: Catalog, text: str, clues: _Clues) -> None:
    found = await trail.find_subjects(directory.key, text, list(places(catalog, text)), _MOST_SUBJECTS + 1)
    if not found and not clues.meanings:
        # Perhaps what somebody was called before, or who was deleted long ago.
        found = await trail.find_former(directory.key, text, _MOST_SUBJECTS + 1)
        if found:
            clues.notes.append(f"Nobody is known as {text[:100]!r} now; shown is who was, by the change log.")
    if len(found) > _MOST_SUBJECTS:
        clues.notes.append(f"More than {_MOST_SUBJECTS} resources are known as {text[:100]!r}; the others are left out.")
    for subject in found[:_MOST_SUBJECTS]:
        clues.subjects[subject.id] = subject
    clues.meanings += [f"the {subject.kind} {subject.name or subject.id}" for subject in clues.subjects.values()]


def places(catalog: Catalog, text: str) -> Iterator[Place]:
    """Where names are indexed that people are known by: unique, or indexed for filters, without references to others."""
    for kind in catalog.kinds.values():
        for target in _targets(kind):
            leaf = target.leaf
            refers = target.attribute is not None and target.attribute.find("$ref") is not None
            if leaf is not None and (leaf.indexed or leaf.uniqueness != "none") and not refers:
                yield Place(kind.name, target.key, (text, values.fold(text)))


def _targets(kind: Kind) -> Iterator[Target]:
    for extension, schema in [(None, kind.base), *kind.extensions.items()]:
        for attribute in schema.attributes:
            parts = attribute.sub_attributes if attribute.is_complex else (None,)
            yield from (Target(extension, attribute, part) for part in parts)


# --------------------------------------------------------------------------- what belongs to it


async def _follow_subject(
    trail: Trail, records: Records, directory: Directory, subject: Subject, last: int, clues: _Clues
) -> None:
    own = await trail.last_changes_of(directory.key, subject.id, last + 1)
    if len(own) > last:
        clues.notes.append(f"{subject.kind} {subject.name or subject.id} has earlier changes; shown are the last {last}.")
    clues.add(own[-last:])
    memberships = await trail.membership_changes(directory.key, subject.id, _MOST_SCANNED)
    clues.add(memberships.changes[-last:])
    if own and memberships.first > own[0].position:
        clues.notes.append(
            f"Memberships of {subject.name or subject.id} were looked for from position {memberships.first} on only."
        )
    found = await records.search(Search(directory=directory.name, resource=subject.id), limit=last)
    clues.exchanges |= {exchange.id: exchange for exchange in found.exchanges}


async def _compose(
    trail: Trail, records: Records, directory: Directory, catalog: Catalog, text: str, last: int, clues: _Clues
) -> Timeline:
    changes = sorted(clues.changes.values(), key=lambda change: change.position)
    attempts = {id: await _attempts_of(records, directory, id, changes) for id in {change.resource_id for change in changes}}
    purged = await trail.purged_position()
    sources = await trail.source_names(directory.key)
    standings = await _standings(trail, directory, catalog)
    entries = join(list(clues.exchanges.values()), changes, standings, attempts, sources, catalog, purged)
    if len(clues.meanings) > 1:
        clues.notes.insert(0, f"{text[:100]!r} names {', '.join(clues.meanings)}; all of it is shown.")
    unkept = len({change.exchange_id for change in changes} - set(clues.exchanges))
    if unkept:
        clues.notes.append(f"The requests of {unkept} of the changes are not kept.")
    names = await trail.names_of(directory.key, list(_ids_in(changes))[:_MOST_NAMES])
    names = {**{subject.id: subject.name for subject in clues.subjects.values() if subject.name}, **names}
    return Timeline(text, list(clues.subjects.values()), entries, clues.notes, names)


async def _attempts_of(records: Records, directory: Directory, id: str, changes: Sequence[Change]) -> Sequence[Attempt]:
    positions = [change.position for change in changes if change.resource_id == id]
    return await records.list_attempts(
        directory=directory.name, resource_id=id, positions=(positions[0], positions[-1]), limit=10_000
    )


async def _standings(trail: Trail, directory: Directory, catalog: Catalog) -> Sequence[Standing]:
    standings = []
    for destination in await trail.list_destinations(directory.key):
        try:
            interest = subscription.bind(destination.subscription, catalog)
        except Invalid:
            interest = None
        held = {held.resource_id: held for held in await trail.list_held(destination.key)}
        standings.append(Standing(destination, interest, held))
    return standings


def _ids_in(changes: Sequence[Change]) -> Mapping[str, None]:
    """The ids that occur in the changes, each once, in order."""
    ids: dict[str, None] = {}
    for change in changes:
        ids[change.resource_id] = None
        ids |= dict.fromkeys((*change.members_added[:20], *change.members_removed[:20]))
    return ids
