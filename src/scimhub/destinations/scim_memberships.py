"""Members of groups at a SCIM application: what the ledger says is owed, written as additions and removals in chunks.

A member that the application does not have yet waits in the ledger and holds nobody up; when it comes, it is added. What
the application shows of a group's members is never read: several applications hide it, and lists of others are not ours.
"""

from collections.abc import Sequence
from typing import Final

from scimhub.destinations import scim_application, scim_content
from scimhub.destinations.http_outcomes import Failure
from scimhub.destinations.scim_ability import Ability
from scimhub.destinations.scim_application import Application, Reply
from scimhub.destinations.scim_content import Json
from scimhub.destinations.scim_profile import Profile
from scimhub.destinations.scim_resources import Resources
from scimhub.distribution.delivery import Rejected, Retry
from scimhub.distribution.ledger import Ledger, MemberState, Pending, Remote

# To a change of members: the group or the member is not there, or it was none.
_REFUSALS: Final = (400, 404, 409)


class Memberships:
    """The members of one destination's groups."""

    def __init__(self, key: int, profile: Profile, application: Application, ledger: Ledger, resources: Resources) -> None:
        self._key = key
        self._profile = profile
        self._application = application
        self._ledger = ledger
        self._resources = resources

    async def write(self, group: Remote, ability: Ability, member: str | None = None) -> None:
        """Write what is owed of the group's members, or of that one; raises Failure."""
        leaving = await self._pending(group, "leaving", member)
        # Nothing is to be taken from a group for somebody who is not there.
        absent = [one.member_id for one in leaving if one.remote_id is None]
        if absent:
            await self._ledger.confirm_members(self._key, group.resource_id, (), absent)
        leaving = [one for one in leaving if one.remote_id is not None]
        waiting = [one for one in await self._pending(group, "waiting", member) if self._may_be_added(one)]
        if not leaving and not waiting:
            return
        if ability.group_update == "put":
            await self._put(group, leaving, waiting)
            return
        most = self._profile.members_per_patch
        # By a filter each takes an operation of its own.
        fewer = most if self._profile.member_removal == "value" else min(most, self._profile.operations_per_patch)
        for first in range(0, len(leaving), fewer):
            await self._remove(group, leaving[first : first + fewer])
        for first in range(0, len(waiting), most):
            await self._add(group, waiting[first : first + most])

    async def _pending(self, group: Remote, state: MemberState, member: str | None) -> Sequence[Pending]:
        return await self._ledger.list_pending(self._key, group.resource_id, state, member)

    def _may_be_added(self, one: Pending) -> bool:
        return one.remote_id is not None and (self._profile.nested_groups or one.resource_type != "Group")

    # ------------------------------------------------------------------ as differences

    async def _add(self, group: Remote, some: Sequence[Pending]) -> None:
        values = [{"value": one.remote_id} for one in some]
        reply = await self._patch(group, [{"op": "add", "path": "members", "value": values}])
        if reply.status in _REFUSALS:
            await self._check_group(group)
            if len(some) > 1:
                await self._add_each(group, some)
                return
            raise Failure(_refused(some[0], reply))
        await self._ledger.confirm_members(self._key, group.resource_id, [one.member_id for one in some], ())

    async def _add_each(self, group: Remote, some: Sequence[Pending]) -> None:
        """One by one, so that whom the application refuses keeps nobody else out."""
        refused: Failure | None = None
        for one in some:
            try:
                await self._add(group, [one])
            except Failure as failure:
                if not isinstance(failure.outcome, Rejected):
                    raise
                refused = refused or failure
        if refused is not None:
            raise refused

    async def _remove(self, group: Remote, some: Sequence[Pending]) -> None:
        if self._profile.member_removal == "value":
            values = [{"value": one.remote_id} for one in some]
            operations: list[Json] = [{"op": "remove", "path": "members", "value": values}]
        else:
            operations = [{"op": "remove", "path": f'members[value eq "{_escaped(one)}"]'} for one in some]
        reply = await self._patch(group, operations)
        if reply.status in _REFUSALS:
            await self._check_group(group)
            if len(some) > 1:
                for one in some:
                    await self._remove(group, [one])
                return
            if reply.scim_type != "noTarget" and reply.status != 404:
                raise Failure(_refused(some[0], reply))
            # It was no member, which is all that was wanted.
        await self._ledger.confirm_members(self._key, group.resource_id, (), [one.member_id for one in some])

    async def _patch(self, group: Remote, operations: list[Json]) -> Reply:
        path = scim_application.path_of("Group", group.remote_id)
        return await self._application.ask("PATCH", path, scim_content.patch(operations), expected=_REFUSALS)

    async def _check_group(self, group: Remote) -> None:
        """Whether the refusal was about the group; then it is to be made anew, and the attempt ends."""
        if await self._resources.is_there(group):
            return
        await self._resources.lose(group)
        raise Failure(Retry("The application has the group no more; it is made anew."))

    # ------------------------------------------------------------------ as a whole

    async def _put(self, group: Remote, leaving: Sequence[Pending], waiting: Sequence[Pending]) -> None:
        """The group as the application has it, but with the members that the ledger says: for those without PATCH."""
        path = scim_application.path_of("Group", group.remote_id)
        current = await self._application.ask("GET", path, query={"excludedAttributes": "members"}, expected=(404,))
        if current.status == 404:
            await self._check_group(group)
        written = await self._ledger.list_pending(self._key, group.resource_id, "written")
        members = [{"value": one.remote_id} for one in (*written, *waiting) if one.remote_id is not None]
        body = scim_content.body_of(current.document, "Group", attributes=None, single=())
        await self._application.ask("PUT", path, {**body, "members": members})
        added, removed = [one.member_id for one in waiting], [one.member_id for one in leaving]
        await self._ledger.confirm_members(self._key, group.resource_id, added, removed)


def _escaped(one: Pending) -> str:
    return (one.remote_id or "").replace("\\", "\\\\").replace('"', '\\"')


def _refused(one: Pending, reply: Reply) -> Rejected:
    shown = f" ({reply.scim_type})" if reply.scim_type else ""
    return Rejected(f"The application refuses our {one.member_id} as a member: {reply.status}{shown}.", reply.status)
