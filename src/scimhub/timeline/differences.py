"""What a change changed, from what to what: read from the change alone."""

from collections.abc import Iterator, Mapping, Sequence

import orjson

from scimhub.directory.records import Change
from scimhub.timeline.records import Difference


def differences_of(change: Change) -> Sequence[Difference]:
    """The paths that the change touched, with the values before and after it.

    A path is one of ``scim.diff.changed_paths``. A creation has no values before it, a deletion none after; both are told
    attribute by attribute, without ``schemas``. The externalId that came with a creation is told too.
    """
    if change.operation == "deleted":
        return [Difference(path, value, None) for path, value in _flat(change.before)]
    after = {} if change.after is None else orjson.loads(change.after)
    if change.operation == "created":
        given = [] if change.external_id is None else [Difference("externalId", None, change.external_id)]
        return [*given, *(Difference(path, None, value) for path, value in _flat(after))]
    return [Difference(path, old, _at(after, path)) for path, old in change.before.items()]


def is_purged(change: Change) -> bool:
    """Whether retention, or the removal of a directory, has taken the content of the change."""
    return change.after is None and not change.before and not change.members_added and not change.members_removed


def _flat(document: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in document.items():
        if name.startswith("urn:") and isinstance(value, Mapping):
            yield from ((f"{name}:{path}", item) for part, each in value.items() for path, item in _parts(part, each))
        elif name != "schemas":
            yield from _parts(name, value)


def _parts(name: str, value: object) -> Iterator[tuple[str, object]]:
    """The value at its path; of an object its parts."""
    if isinstance(value, Mapping):
        yield from ((f"{name}.{part}", item) for part, item in value.items())
    else:
        yield name, value


def _at(document: Mapping[str, object], path: str) -> object:
    holder: object = document
    name = path
    if path.startswith("urn:"):
        urn, _, name = path.rpartition(":")
        holder = document.get(urn)
    for part in name.split("."):
        holder = holder.get(part) if isinstance(holder, Mapping) else None
    return holder
