"""How many resources of a sort a destination has in its scope: what the brake measures removals against.

Read in short transactions, some thousands at a time; without a filter the database counts, with one each resource is asked.
"""

import orjson

from scimhub.distribution.delivery import MEMBERS
from scimhub.distribution.ports import BrakeStore
from scimhub.distribution.subscription import Interest, is_active
from scimhub.scim.catalog import Kind

_CHUNK = 2000
# Documents are read and understood here, and others must have their turn.
_FEW = 200


async def count(store: BrakeStore, directory: int, interest: Interest, sort: str) -> int:
    """How many active resources of the sort, a resource type, the destination has in scope; or how many memberships."""
    if sort != MEMBERS:
        return await _count_resources(store, directory, interest, sort) if sort in interest.wishes else 0
    kinds = [wish.kind for wish in interest.wishes.values() if wish.kind.has_members]
    return sum([await _count_memberships(store, directory, interest, kind) for kind in kinds])


async def _count_resources(store: BrakeStore, directory: int, interest: Interest, kind: str) -> int:
    found = after = 0
    if interest.wants_all(kind):
        seen = _CHUNK
        while seen == _CHUNK:
            seen, after, active = await store.count_active(directory, kind, after, _CHUNK)
            found += active
        return found
    while True:
        chunk = await store.walk(directory, kind, after, _FEW)
        for resource in chunk:
            document = orjson.loads(resource.document)
            found += is_active(document) and interest.contains(kind, resource.id, document)
        if len(chunk) < _FEW:
            return found
        after = chunk[-1].key


async def _count_memberships(store: BrakeStore, directory: int, interest: Interest, kind: Kind) -> int:
    found = after = 0
    if interest.wants_all(kind.name):
        seen = _FEW
        while seen == _FEW:
            seen, after, members = await store.count_memberships(directory, kind.name, after, _FEW)
            found += members
        return found
    while True:
        chunk = await store.walk(directory, kind.name, after, _FEW)
        for group in chunk:
            if interest.contains(kind.name, group.id, orjson.loads(group.document)):
                found += await store.count_members(group.key)
        if len(chunk) < _FEW:
            return found
        after = chunk[-1].key
