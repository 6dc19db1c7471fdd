"""The first look through a file: is it readable to its end, how much is in it, who is named twice, who refers to whom.

Nothing is sent before it has ended, so that a fault on the last line is told before anything is written.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from scimhub.bulkload import names
from scimhub.bulkload.entries import Entries, Entry
from scimhub.bulkload.names import Name, Reference
from scimhub.scim.catalog import Kind

_REPORT_EVERY = 5000
_BLOCK = 1024 * 1024


@dataclass(slots=True)
class Survey:
    """What was found. Names are kept as digests; see ``names``."""

    count: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    # All keys and other names of resources in the file.
    present: set[int] = field(default_factory=set)
    # Names of managers. They get ids before they are loaded, so that others can refer to them.
    awaited: set[int] = field(default_factory=set)
    # Whom an id of the file means, by the id's digest; only for ids that something refers to. The hub gives ids of its own.
    ids: dict[int, tuple[Name, str]] = field(default_factory=dict)
    # Lines that must not be loaded, because an earlier one has the same name.
    doubles: dict[int, str] = field(default_factory=dict)
    # Lines of which not even the key is known.
    unreadable: list[int] = field(default_factory=list)
    # Ids of the file to which something refers, until they are looked up.
    _wanted: set[int] = field(default_factory=set)
    _managers: set[int] = field(default_factory=set)


def look_through(
    entries: Entries, kinds: dict[str, Kind], key: str, *, keeps_ids: bool, watch: Callable[[int], None]
) -> Survey:
    """The survey of the file; ``watch`` is told now and then how many records were looked at. Raises Unreadable."""
    survey = Survey()
    unique: set[int] = set()
    for entry in entries.read():
        survey.count += 1
        if entry.kind is None or entry.problem:
            survey.unreadable.append(entry.line)
        else:
            survey.kinds[entry.kind.name] += 1
            _note_names(survey, unique, entry, entry.kind, key, keeps_ids)
            _note_references(survey, entry, kinds)
        if survey.count % _REPORT_EVERY == 0:
            watch(survey.count)
    if survey._wanted and not keeps_ids:
        _look_up_ids(survey, entries, key)
    return survey


def _note_names(survey: Survey, unique: set[int], entry: Entry, kind: Kind, key: str, keeps_ids: bool) -> None:
    own = names.own_names(kind, entry.resource)
    key_name = find_key(kind, own, key)
    if key_name is None:
        survey.unreadable.append(entry.line)
    once = [*names.unique_names(kind, entry.resource), *([] if key_name is None else [key_name])]
    if keeps_ids and entry.id is not None:
        own.append(Name("", "id", entry.id))
        once.append(own[-1])
    double = next((name for name in once if name.digest in survey.present or name.digest in unique), None)
    if double is not None:
        sentence = f"An earlier line has the same {double.attribute} {double.value[:100]!r}; one of the two must go."
        survey.doubles[entry.line] = sentence
        return
    survey.present.update(name.digest for name in own)
    # What is among the names by which others refer to it need not be kept twice.
    unique.update(name.digest for name in once if name.digest not in survey.present)


def find_key(kind: Kind, own: Iterable[Name], key: str) -> Name | None:
    """The name by which a resource is found in the directory."""
    has_key = kind.base.find(key) is not None or key == "externalId"
    attribute = key if has_key else "displayName"
    return next((name for name in own if name.attribute == attribute), None)


def _note_references(survey: Survey, entry: Entry, kinds: dict[str, Kind]) -> None:
    manager = names.manager_of(entry.resource)
    if manager is not None:
        if manager.attribute is None:
            survey._managers.add(_id_digest(manager))
        survey.awaited.update(name.digest for name in manager.names(kinds))
    for reference in ((manager,) if manager is not None else ()) + tuple(names.members_of(entry.resource)):
        if reference.attribute is None:
            survey._wanted.add(_id_digest(reference))


def _id_digest(reference: Reference) -> int:
    return Name("", "id", reference.value).digest


def _look_up_ids(survey: Survey, entries: Entries, key: str) -> None:
    """Find what the ids stand for that somebody in the file refers to."""
    for entry in entries.read():
        if entry.id is None or entry.kind is None or entry.line in survey.doubles:
            continue
        digest = Name("", "id", entry.id).digest
        if digest in survey._wanted:
            name = names.primary(entry.kind, entry.resource, key)
            if name is not None:
                survey.ids[digest] = (name, names.spelled(name, entry.resource))
    survey.awaited.update(survey.ids[digest][0].digest for digest in survey._managers if digest in survey.ids)


def digest_of(path: Path) -> str:
    """The hash of the file's content, by which an import knows it again."""
    found = sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
