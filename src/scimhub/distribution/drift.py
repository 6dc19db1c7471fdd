"""How a destination that can be asked differs from what it was to be, as values; ``looking`` finds it out."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from scimhub.distribution.delivery import Message
from scimhub.distribution.plans import Action

# missing: in scope here, and not there; adoptable: there already, and not known as ours; extra: there, and not ours;
# different: shown with other values; members: a group that lacks members or has some beyond ours; leftover: ours, not in
# scope any more, and still there; conflict: a person must look; waiting: owed anyway; kept: an administrator discarded its
# removal.
Category = Literal["missing", "adoptable", "extra", "different", "members", "leftover", "conflict", "waiting", "kept"]
CATEGORIES: tuple[Category, ...] = (
    *("missing", "adoptable", "extra", "different", "members", "leftover", "conflict", "waiting", "kept"),
)
# What a destination that has no drift may still have.
HARMLESS: frozenset[Category] = frozenset(("extra", "waiting", "kept"))


class Unreadable(Exception):
    """The destination cannot be read now; its text says why, for the administrator."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One resource as a destination shows it.

    ``content`` has values by path, ``external_id`` is the id of ours that it shows, ``members`` are remote ids, None where it
    shows none; ``keys`` are those by which it would be found.
    """

    remote_id: str
    content: Mapping[str, object]
    external_id: str | None
    members: tuple[str, ...] | None
    keys: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Desired:
    """What the destination is to have of a resource: values by path, and the keys it would be found by there.

    ``problem`` says why it cannot be written at all.
    """

    values: Mapping[str, object] = field(default_factory=dict)
    keys: Sequence[str] = ()
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """What can be seen of a destination: its resource types, in lower case, and what cannot be told.

    ``per_minute`` is how many requests it takes, None where it says nothing; ``members_per_request`` how many memberships
    one of them changes. Texts at ``folded`` paths are compared without case. ``unable`` says by resource type and action why
    a plan cannot do it.
    """

    resource_types: Collection[str]
    shows_members: bool
    nests_groups: bool
    adopts: bool
    per_minute: float | None
    members_per_request: int
    limits: Sequence[str] = ()
    folded: Collection[str] = ()
    unable: Mapping[tuple[str, Action], str] = field(default_factory=dict)


@runtime_checkable
class Readable(Protocol):
    """A sender whose destination can be asked what it has. All raise Unreadable."""

    async def look(self) -> Sight: ...

    def list_shown(self, resource_type: str) -> AsyncIterator[Sequence[Shown]]:
        """Everything it shows of the type, each resource once."""

    async def show(self, resource_type: str, remote_id: str) -> Shown | None:
        """One resource with all that it shows of it alone; None when it is not there, or never shown alone."""

    async def desire(self, message: Message) -> Desired:
        """What the message, a state, would have it show."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One resource that differs. ``values`` has ours and theirs by path; members are ids of ours, ``strangers`` a number.

    ``was_ours`` says of what is extra that it was written by us once. ``activity`` has, of somebody who is not to be active,
    the paths that tell so.
    """

    category: Category
    resource_type: str
    resource_id: str | None = None
    remote_id: str | None = None
    version: int = 0
    reason: str = ""
    values: Mapping[str, tuple[object, object]] = field(default_factory=dict)
    lacking: Sequence[str] = ()
    beyond: Sequence[str] = ()
    strangers: int = 0
    was_ours: bool = False
    was_there: bool = False
    activity: Collection[str] = ()

    @property
    def deactivates(self) -> bool:
        """Whether somebody is active there, as far as it shows, whom the directory has deactivated."""
        return self.category == "different" and any(path in self.values for path in self.activity)


@dataclass(slots=True)
class Drift:
    """What was found. ``shown`` and ``ours`` count resources by type, ``ignored`` by type and path how many do not show it.

    ``active`` counts those of ours who are: against them the brake measures removals.
    """

    position: int
    shown: dict[str, int] = field(default_factory=dict)
    ours: dict[str, int] = field(default_factory=dict)
    active: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    ignored: dict[str, dict[str, int]] = field(default_factory=dict)
    limits: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, dict[str, int]]:
        """By resource type how many are in which category."""
        found = Counter((finding.resource_type, finding.category) for finding in self.findings)
        return {name: {category: found[name, category] for category in CATEGORIES} for name in self.shown}

    @property
    def is_none(self) -> bool:
        """Whether the destination has what it was to have."""
        return all(finding.category in HARMLESS for finding in self.findings)
