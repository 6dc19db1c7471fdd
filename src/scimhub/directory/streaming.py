"""Groups whose members are too many to be held at once: told piece by piece, and yet of one version.

The keys of all members and the group itself are read in one moment, which takes well under a second for a million. What the
members are called is then read while they go out. So no transaction waits for a client, however slow, and a group that
changes all the time can be read all the same.
"""

from collections.abc import AsyncIterator, Mapping, Sequence

import orjson

from scimhub.directory import representation
from scimhub.directory.errors import StoreUnavailable
from scimhub.directory.ports import ResourceStore, Roll
from scimhub.directory.records import StoredResource
from scimhub.directory.representation import Viewpoint
from scimhub.directory.resources import Caller
from scimhub.scim import listing
from scimhub.scim.catalog import Kind
from scimhub.scim.projection import Projection

# A group with more members than this is told piece by piece.
MANY = 2000
# Members in one piece.
_PIECE = 2000


class Torn(StoreUnavailable):
    """What was being told is there no longer. The rest must not follow, so that nobody takes what came for the whole."""


async def member_counts(
    store: ResourceStore, viewpoint: Viewpoint, resources: Sequence[StoredResource], projection: Projection
) -> Mapping[int, int]:
    """How many members each group among the resources has, by key; more than ``MANY`` stands for any larger number."""
    if not projection.wants("members"):
        return {}
    groups = [resource.key for resource in resources if viewpoint.catalog.kinds[resource.kind].has_members]
    return await store.member_counts(groups, MANY) if groups else {}


async def tell_list(
    store: ResourceStore,
    viewpoint: Viewpoint,
    caller: Caller,
    resources: Sequence[StoredResource],
    projection: Projection,
    counts: Mapping[int, int],
    head: bytes,
) -> AsyncIterator[bytes]:
    """The ListResponse that begins with the head, piece by piece; raises Torn when a large group has been deleted meanwhile."""
    yield head
    joint = b""
    for resource in resources:
        if counts.get(resource.key, 0) <= MANY:
            [item] = await representation.render(store, viewpoint, [resource], projection, counts=counts)
            yield joint + item
        else:
            roll = await store.find_roll(caller.directory.key, resource.kind, resource.id, caller.source.key)
            if roll is None:
                raise Torn(f"The group {resource.id} was deleted while the list was read; read it again.")
            yield joint
            async for piece in tell(store, viewpoint, roll, projection):
                yield piece
        joint = b","
    yield listing.LIST_END


async def tell(store: ResourceStore, viewpoint: Viewpoint, roll: Roll, projection: Projection) -> AsyncIterator[bytes]:
    """The group as JSON, piece by piece; raises Torn when one of its members has been deleted meanwhile."""
    kind = viewpoint.catalog.kinds[roll.group.kind]
    locations = representation.locations(viewpoint)
    [frame] = await representation.render(store, viewpoint, [roll.group], projection, without_members=True)
    yield frame[:-1]
    joint = b',"members":['
    for start in range(0, len(roll.members), _PIECE):
        text = await store.some_members_json(roll.members[start : start + _PIECE], locations)
        if text is None:
            raise Torn(f"A member of the group {roll.group.id} was deleted while it was read; read it again.")
        members = _projected(text, kind, projection)
        if members:
            yield joint + members
            joint = b","
    yield b"}" if joint != b"," else b"]}"


def _projected(text: str, kind: Kind, projection: Projection) -> bytes:
    """What is shown of the members in the JSON array, without its brackets."""
    if projection.shows_all(kind):
        return text[1:-1].encode()
    shown = projection.apply({"members": orjson.loads(text)}, kind)
    return orjson.dumps(shown.get("members", []))[1:-1]
