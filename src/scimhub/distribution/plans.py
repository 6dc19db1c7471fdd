"""What a resync would do at a destination, as values that are kept until somebody has it done."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

# add: made there; adopt: there already, and ours from now on; change: written again; remove: taken away as a deletion
# is; conflict: nothing is done, because a person must look.
Action = Literal["add", "adopt", "change", "remove", "conflict"]
ACTIONS: tuple[Action, ...] = ("add", "adopt", "change", "remove", "conflict")


@dataclass(frozen=True, slots=True)
class Item:
    """What is to be done about one resource, and what the destination was seen to lack or to have too much of.

    ``version`` is that of the resource when the plan was made, 0 when it is deleted. ``is_missing`` says that the destination
    has it no more, ``remote_id`` what it has instead of nothing; ``paths`` differ there; members are ids of ours.
    ``deactivates`` says that it is active there and is not to be, so that the brake counts it as a removal.
    """

    resource_id: str
    resource_type: str
    action: Action
    version: int
    reason: str = ""
    is_missing: bool = False
    remote_id: str | None = None
    paths: tuple[str, ...] = ()
    members_lacking: tuple[str, ...] = ()
    members_beyond: tuple[str, ...] = ()
    deactivates: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What a resync would do; ``Item`` by item it is kept beside this.

    ``digest`` names the items, ``position`` is the newest one when they were found. ``counts`` has for each action how many
    of which resource type; ``seconds`` is how long it takes at least, None where the destination publishes no limit.
    ``verdict`` is what the brake will make of the removals, ``limits`` what could not be looked at.
    """

    id: str
    created: str
    expires: str
    position: int
    subscription_version: int
    digest: str
    items: int
    counts: Mapping[str, Mapping[str, int]]
    samples: Sequence[Item] = ()
    removes_extra: bool = False
    requests: int = 0
    seconds: float | None = None
    verdict: str = ""
    limits: Sequence[str] = field(default_factory=list)


class PlanStore(Protocol):
    """Where plans are kept."""

    async def save_plan(self, destination: int, plan: Plan, items: Sequence[Item]) -> None:
        """Keep the plan, and none of the destination's that have expired when it was made."""

    async def find_plan(self, destination: int, id: str) -> Plan | None: ...

    async def list_plans(self, destination: int) -> Sequence[Plan]:
        """The newest first."""

    async def list_items(self, plan: str, after: str, limit: int) -> Sequence[Item]:
        """In order of resource id, behind ``after``."""
