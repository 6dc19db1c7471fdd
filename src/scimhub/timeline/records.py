"""A timeline: what came in about somebody, what it changed, and where it went, as values; the oldest entry is the first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from scimhub.directory.records import Change
from scimhub.distribution.delivery import Attempt
from scimhub.exchanges.records import Exchange

# What became of a change at one destination. The first four are of an attempt that is kept, ``delivered`` also of none:
# then the destination's cursor has passed the change. held: the resource's lane waits for the next try or for a person;
# waiting: its turn has not come; unwanted: the subscription or an activation rule keeps it back; earlier: it was committed
# before the destination was made; lost: retention removed it before the destination had it.
Outcome = Literal["delivered", "retry", "rejected", "gone", "held", "waiting", "unwanted", "earlier", "lost"]


@dataclass(frozen=True, slots=True)
class Subject:
    """A resource that was asked for. ``name`` is its userName or what else it is called, empty when nothing tells."""

    id: str
    kind: str
    name: str
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """One path that a change touched, with its value before and after; None where there was or is none."""

    path: str
    old: object
    new: object


@dataclass(frozen=True, slots=True)
class Sent:
    """What a source sent, and the answer."""

    time: str
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class Changed:
    """What was committed. ``source`` is a name, None when no source wrote; ``is_purged``: retention took the content."""

    time: str
    change: Change
    source: str | None
    differences: Sequence[Difference]
    is_purged: bool = False


@dataclass(frozen=True, slots=True)
class Arrival:
    """What became of the change at ``position`` at one destination. Without an attempt ``time`` is the change's own.

    ``detail`` says why, in words; ``next_attempt`` is when a held lane is tried again.
    """

    time: str
    position: int
    change_id: str
    destination: str
    outcome: Outcome
    attempt: Attempt | None = None
    detail: str = ""
    next_attempt: str | None = None


Entry = Sent | Changed | Arrival


@dataclass(frozen=True, slots=True)
class Timeline:
    """``notes`` are sentences about what is not shown; ``names`` tells for ids that occur what the resources are called."""

    of: str
    subjects: Sequence[Subject]
    entries: Sequence[Entry]
    notes: Sequence[str] = ()
    names: Mapping[str, str] = field(default_factory=dict)
