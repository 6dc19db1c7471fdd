"""What may be asked of the writer, and what it answers (DECISIONS 1).

A request is parsed, checked and applied outside the writer, against the state it read. What reaches the writer is an
intent with its preconditions; the writer checks only those, writes the rows and the one change, and answers with an
outcome. Expected outcomes are values, not exceptions, so that one intent's refusal leaves its neighbours alone.

What every write makes is a named tuple, as in ``records``.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scimhub.directory.records import StoredResource

_NOTHING: Mapping[str, object] = {}


class Actor(NamedTuple):
    """Who writes, in which exchange, and when (RFC 3339 text, UTC, milliseconds)."""

    directory: int
    source: int
    exchange_id: str
    now: str


class Content(NamedTuple):
    """A resource's document ready to be stored.

    ``normal`` is the JSON text of the same attributes in normal form, which filters and sorting read. ``unique`` and
    ``indexed`` are pairs of a path's key and a value in normal form.
    """

    document: str
    normal: str
    display: str | None
    unique: tuple[tuple[str, str], ...]
    indexed: tuple[tuple[str, str], ...]


class Values(NamedTuple):
    """Unique and indexed values of a resource: pairs of a path's key and a value in normal form."""

    unique: Collection[tuple[str, str]]
    indexed: Collection[tuple[str, str]]


class Amendment(NamedTuple):
    """A document that takes the place of ``base``'s, and what differs of all that the store derives from it.

    ``normal`` is the JSON text of a merge patch (RFC 7396) of the normal form. ``former`` are the values that attributes
    which differ have in ``base``, ``unique`` and ``indexed`` those that the same attributes have now.
    """

    base: StoredResource
    document: str
    normal: str
    display: str | None
    former: Values
    unique: tuple[tuple[str, str], ...]
    indexed: tuple[tuple[str, str], ...]


class MemberEdit(NamedTuple):
    """A change of a group's members by id. With ``exact`` the members become just ``add``, else the rest stays."""

    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    exact: bool = False


class ExternalId(NamedTuple):
    """The externalId that the actor's source gives the resource; None takes it away."""

    value: str | None


class Create(NamedTuple):
    """Store a new resource, or revive the one whose externalId this source gave (``revive``, DECISIONS 13).

    ``catalog_version`` is, here and below, that of the catalog by which the intent was computed; None for one that does
    not depend on it.
    """

    actor: Actor
    kind: str
    id: str
    content: Content
    external_id: str | None = None
    members: tuple[str, ...] = ()
    revive: bool = False
    # JSON text of what no schema knows, kept per source and resource until a schema adopts it (DECISIONS 17).
    unmapped: str | None = None
    catalog_version: int | None = None


class Update(NamedTuple):
    """Change a resource's document, its externalId, its members, or several of them as one change.

    ``content`` goes with ``expected_version``, the version it was computed from; an Amendment is quicker to write. ``before``
    has the old value of each path that differs. A member edit alone needs no version, so that two of them never conflict.
    """

    actor: Actor
    kind: str
    id: str
    expected_version: int | None = None
    content: Content | Amendment | None = None
    before: Mapping[str, object] = _NOTHING
    external_id: ExternalId | None = None
    members: MemberEdit | None = None
    # As in Create; a PATCH merges it into what is kept, a PUT (``unmapped_exact``) replaces it.
    unmapped: str | None = None
    unmapped_exact: bool = False
    catalog_version: int | None = None


class Delete(NamedTuple):
    """Remove a resource: out of its groups, a tombstone in its place."""

    actor: Actor
    kind: str
    id: str
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class Compute:
    """Read the resource inside the writer and let ``decide`` say what to do: for those who lost too many races.

    ``decide`` may raise ScimError, which the submitter receives.
    """

    actor: Actor
    kind: str
    id: str
    decide: "Callable[[StoredResource | None], Update | Delete | Unchanged | NotFound]"
    catalog_version: int | None = None


Intent = Create | Update | Delete | Compute


class Applied(NamedTuple):
    """It is in the store. ``resource`` is its state now; after a delete, its last state."""

    resource: StoredResource
    change_id: str
    revived: bool = False


class Unchanged(NamedTuple):
    """Nothing differed: nothing was written, version and time stay (RFC 7644 §3.5.2.1)."""

    resource: StoredResource


@dataclass(frozen=True, slots=True)
class VersionConflict:
    """The resource is not at the expected version."""

    current: int


@dataclass(frozen=True, slots=True)
class CatalogConflict:
    """The intent was computed by another catalog than the directory's, which is at version ``current`` now."""

    current: int


@dataclass(frozen=True, slots=True)
class UniqueConflict:
    """Another resource has the value of this path; ``id`` is that resource's."""

    path: str
    id: str


class Reindexed(NamedTuple):
    """What rewriting derived rows met: values that others have, and the keys of resources that were changed meanwhile."""

    conflicts: Sequence[UniqueConflict]
    overtaken: Collection[int]


@dataclass(frozen=True, slots=True)
class NotFound:
    """There is no such resource of that kind in the directory."""


@dataclass(frozen=True, slots=True)
class MembersMissing:
    """These ids, at most ten, are no resources of the directory; nothing was applied (DECISIONS 15)."""

    ids: tuple[str, ...]


# What becomes of an intent that was computed by the directory's catalog.
Carried = Applied | Unchanged | VersionConflict | UniqueConflict | NotFound | MembersMissing
Outcome = Carried | CatalogConflict
