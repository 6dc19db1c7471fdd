"""States that a destination is told of many resources, as a value: of all, of those that changed, or as a plan says.

``backfilling`` does it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

# running: ids are handed out; paused: a person stopped it; done: all were handed out and none is under way; stopped: a
# person gave it up.
State = Literal["running", "paused", "done", "stopped"]
Origin = Literal["directory", "log", "plan", "subscription"]


@dataclass(frozen=True, slots=True)
class Backfill:
    """One backfill of a destination, of which there is one at a time, and how far it is.

    ``id`` marks the events. ``after`` is the checkpoint: in the directory ``kind`` and a key, in the log a position, in
    ``plan``, which a resync or another subscription made, a resource id. ``until`` is the last position of the log, ``total``
    how many are to be looked at.
    """

    id: str
    origin: Origin
    state: State
    begun: str
    updated: str
    total: int = 0
    looked_at: int = 0
    told: int = 0
    kind: str = ""
    after: str = ""
    until: int = 0
    plan: str | None = None
    reason: str = ""

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "stopped")


@dataclass(frozen=True, slots=True)
class Owed:
    """A resource of which the state is owed.

    ``since`` is the first position of what the state stands for, None when the log is read up to there already;
    ``removes`` the resource type as which it is counted if the state shows it inactive to a destination that has it active.
    """

    resource_id: str
    since: int | None = None
    removes: str = ""


class BackfillStore(Protocol):
    """Where backfills are kept, and what they walk through."""

    async def find_backfill(self, destination: int) -> Backfill | None:
        """The destination's last one."""

    async def save_backfill(self, destination: int, backfill: Backfill) -> None:
        """Write it in the place of the one before."""

    async def count_resources(self, directory: int) -> Mapping[str, int]:
        """How many of each resource type the directory has."""

    async def versions_of(self, directory: int, ids: Sequence[str]) -> Mapping[str, int]:
        """The versions of those of the resources that are there."""

    async def changed_resources(self, directory: int, after: int, until: int, limit: int) -> Sequence[tuple[int, str]]:
        """Positions and resource ids of the directory's next changes, in order; also of those that retention emptied."""
