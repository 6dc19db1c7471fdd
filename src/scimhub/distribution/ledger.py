"""What a destination that keeps resources of its own has been given: under which id, which version, which values.

A SCIM application and a custom HTTP API name a person by an id of their own, and what they show may differ from what they
were sent. So we never ask them what to do next: the ledger says what was written, and which memberships are still owed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

# creating: it was asked for, and the answer is not known; present: it is there, as last written; left: it was deactivated
# because it left the scope or was deleted; gone: it is there no more.
RemoteState = Literal["creating", "present", "left", "gone"]
MemberState = Literal["waiting", "written", "leaving"]


@dataclass(frozen=True, slots=True)
class Remote:
    """One resource at one destination.

    ``written`` has for each path the digest of the value last written, so that the ledger tells differences and holds
    nothing personal. ``awaits`` is the id of a resource of ours whose remote id is still to be written into this one.
    """

    resource_id: str
    resource_type: str
    state: RemoteState
    version: int
    updated: str
    remote_id: str | None = None
    etag: str | None = None
    written: Mapping[str, str] = field(default_factory=dict)
    awaits: str | None = None
    delete_at: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A remote resource as it is listed; ``waiting`` counts members that are still to be added or removed."""

    remote: Remote
    waiting: int


@dataclass(frozen=True, slots=True)
class Pending:
    """A membership that is to be written; ``remote_id`` is the member's, None when it is not there."""

    member_id: str
    remote_id: str | None
    resource_type: str | None


class Ledger(Protocol):
    """Where it is kept. ``destination`` is the destination's key. All raise StoreUnavailable."""

    async def find_remote(self, destination: int, resource_id: str) -> Remote | None: ...

    async def find_claim(self, destination: int, resource_type: str, remote_id: str) -> Remote | None:
        """Who of ours has that remote id."""

    async def list_remotes(self, destination: int, after: str, limit: int) -> Sequence[Entry]:
        """In order of resource id, behind ``after``."""

    async def save_remote(self, destination: int, remote: Remote, *, releases: str | None = None) -> bool:
        """Write this in the place of what is known of the resource; False when another one has its remote id.

        ``releases`` is a resource that gives up its remote id in the same step.
        """

    async def save_remotes(self, destination: int, remotes: Sequence[Remote]) -> Sequence[bool]:
        """The same for several resources, in one step and in their order."""

    async def list_awaiting(self, destination: int, resource_id: str) -> Sequence[Remote]:
        """Those that wait for the remote id of that resource."""

    async def list_due(self, destination: int, now: str, limit: int) -> Sequence[Remote]:
        """Those whose deletion is due."""

    async def note_members(self, destination: int, group: str, added: Sequence[str], removed: Sequence[str]) -> None:
        """What the members of the group are to be, before it is written."""

    async def note_whole(self, destination: int, group: str, members: Sequence[str], told: str, *, is_last: bool) -> None:
        """A part of what all members of the group are to be; behind the last one whoever ``told`` did not name leaves."""

    async def owe_members(self, destination: int, group: str, added: Sequence[str], removed: Sequence[str]) -> None:
        """Have these written again, whatever was written before: the destination lacks them, or has them beyond ours."""

    async def owe_all_members(self, destination: int, group: str) -> None:
        """Have all the group's members written again."""

    async def list_pending(
        self, destination: int, group: str, state: MemberState, member: str | None = None
    ) -> Sequence[Pending]:
        """The group's memberships in that state, or only that of one member."""

    async def confirm_members(self, destination: int, group: str, added: Sequence[str], removed: Sequence[str]) -> None:
        """These have been written."""

    async def list_groups_of(self, destination: int, member: str, state: MemberState) -> Sequence[str]:
        """The groups in which the member's membership is in that state."""

    async def forget_memberships(self, destination: int, member: str) -> None:
        """The member is gone at the destination, and so are its memberships: they are to be written again."""

    async def forget_members(self, destination: int, group: str, *, for_good: bool) -> None:
        """The group is gone at the destination: its members are to be written again, or never more."""
