"""The things that a directory consists of, as values.

Times are RFC 3339 texts in UTC with milliseconds, such as ``2026-11-23T20:41:35.123Z``; as texts they sort by time.
``key`` is the store's own small integer for a row and never leaves the process; ``id`` is what the world sees.

Values of which one request makes many are named tuples: a frozen dataclass takes four times as long to make.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Permission = Literal["read", "write"]
Returning = Literal["new", "external_id"]
Operation = Literal["created", "updated", "deleted"]


@dataclass(frozen=True, slots=True)
class Directory:
    """One isolated set of users, groups and other resources."""

    key: int
    name: str
    created: str
    # Grows with every change to the directory's schemas and resource types.
    catalog_version: int
    # Deleting takes two steps; this is when the first was taken.
    deletion_requested: str | None = None


IndexState = Literal["building", "ready", "removing"]


@dataclass(frozen=True, slots=True)
class SearchIndex:
    """What lets filters look into the texts of one attribute of a kind without reading every resource.

    ``done`` of about ``total`` resources are in it; filters use it when it is ready.
    """

    number: int
    directory: int
    kind: str
    # The key of the attribute's path.
    path: str
    state: IndexState
    has_beginnings: bool
    done: int
    total: int
    created: str


@dataclass(frozen=True, slots=True)
class Source:
    """One connection that writes to a directory."""

    key: int
    directory: int
    name: str
    dialect: str
    # What becomes of a POST with the externalId of an inactive or deleted resource (DECISIONS 13).
    returning: Returning
    created: str


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token of a source. The secret itself is kept nowhere."""

    id: str
    source: int
    # The last characters of the secret, so that a person can tell tokens apart.
    hint: str
    permissions: frozenset[Permission]
    created: str
    expires: str | None
    revoked: str | None
    last_used: str | None

    def has_expired(self, now: str) -> bool:
        """Whether its time had ended at that moment."""
        return self.expires is not None and self.expires <= now


@dataclass(frozen=True, slots=True)
class Grant:
    """What a valid bearer token opens."""

    token: Token
    source: Source
    directory: Directory


class StoredResource(NamedTuple):
    """A resource as the store has it.

    ``document`` is the JSON text that is sent out, without ``id``, ``meta``, ``externalId`` and, as rows of their own,
    without ``members`` and ``groups``. ``external_id`` is that of the source that asked, ``in_groups`` tells whether the
    resource is a member of anything.
    """

    key: int
    id: str
    kind: str
    version: int
    created: str
    last_modified: str
    document: str
    external_id: str | None
    in_groups: bool


class GroupView(NamedTuple):
    """A group that a resource belongs to, as its read-only ``groups`` shows it (RFC 7643 §4.1.2)."""

    id: str
    kind: str
    display: str | None
    direct: bool


class Change(NamedTuple):
    """One committed write to one resource (DECISIONS 7).

    ``after`` is the document after the write, None after a delete. ``before`` has the old value of each path that
    changed, null where there was none, so that the earlier state can be rebuilt; for a delete it is the whole document.
    ``members_added`` and ``members_removed`` are ids.
    """

    position: int
    id: str
    operation: Operation
    directory: int
    kind: str
    resource_id: str
    version: int
    source: int | None
    exchange_id: str
    time: str
    after: str | None
    before: Mapping[str, object]
    external_id: str | None
    members_added: tuple[str, ...]
    members_removed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What remains of a deleted resource until it is purged."""

    id: str
    kind: str
    version: int
    created: str
    deleted: str
    deleted_by: int | None
    purge_after: str
    document: str


@dataclass(frozen=True, slots=True)
class Unmapped:
    """What a source sent for a resource that no schema knew, as the text of a JSON object (DECISIONS 17)."""

    key: int
    kind: str
    resource_id: str
    source: int
    document: str
