"""A backfill under way: ids are handed out a few at a time, beside what happens meanwhile.

Each becomes an owed state in the resource's lane, which loads the resource when its turn comes. What was handed out is
written before the checkpoint, so that a crash repeats some and loses none; a resource that fails is held and stops nothing.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import orjson

from scimhub.directory.errors import StoreUnavailable
from scimhub.distribution import failpoints, times
from scimhub.distribution.amendments import Amendment
from scimhub.distribution.backfill import Backfill, Owed
from scimhub.distribution.delivery import Destination
from scimhub.distribution.outlook import Outlook
from scimhub.distribution.plans import Item
from scimhub.distribution.ports import SharedStore
from scimhub.distribution.subscription import Interest
from scimhub.distribution.surroundings import Surroundings
from scimhub.scim.catalog import Kind

# Ids handed out at once, and so many under way that no more are.
CHUNK = 200
MOST_UNDER_WAY = 400
_AFTER_FAULT = 1.0

_log = logging.getLogger(__name__)


class Teller(Protocol):
    """What tells the states; a pump does."""

    async def owe_states(self, owed: Sequence[Owed], ask: str) -> None:
        """Tell what these resources are now; written when this ends."""

    async def wait_for_states(self, most: int) -> None:
        """Until at most so many of those that are owed have neither arrived nor failed."""

    async def amend(self, amendment: Amendment) -> None:
        """Correct the ledger by what the destination was seen to have."""


@dataclass(frozen=True, slots=True)
class _Chunk:
    """What to hand out, how many were looked at for that, and the checkpoint behind it."""

    owed: Sequence[Owed]
    looked_at: int
    kind: str
    after: str
    amendments: Sequence[Amendment] = ()


async def run(destination: Destination, outlook: Outlook, begun: Backfill, teller: Teller, given: Surroundings) -> Backfill:
    """Hand out what is left of the backfill, and see it told; how it ended. Cancel it to stop."""
    names = {"directory": destination.directory_name, "destination": destination.name, "backfill": begun.id}
    backfill = begun
    while not backfill.is_over:
        try:
            async for chunk in _chunks(given.store, destination, outlook, backfill):
                await _hand_out(chunk, backfill, teller)
                given.reach(failpoints.AFTER_CHUNK)
                backfill = _behind(chunk, backfill, given)
                await given.store.save_backfill(destination.key, backfill)
            await teller.wait_for_states(0)
            # Whoever sees that it is done sees nothing owed any more.
            await teller.owe_states((), backfill.id)
            done = replace(backfill, state="done", updated=times.text(given.now()))
            await given.store.save_backfill(destination.key, done)
            backfill = done
        except StoreUnavailable as fault:
            _log.warning("backfill waits for the database", extra={**names, "reason": str(fault)})
            await asyncio.sleep(_AFTER_FAULT)
    _log.info("backfill done", extra={**names, "told": backfill.told})
    return backfill


async def _hand_out(chunk: _Chunk, backfill: Backfill, teller: Teller) -> None:
    await teller.wait_for_states(MOST_UNDER_WAY - CHUNK)
    for amendment in chunk.amendments:
        await teller.amend(amendment)
    await teller.owe_states(chunk.owed, backfill.id)


def _behind(chunk: _Chunk, backfill: Backfill, given: Surroundings) -> Backfill:
    """The backfill with its checkpoint behind the chunk."""
    return replace(
        backfill,
        kind=chunk.kind,
        after=chunk.after,
        looked_at=backfill.looked_at + chunk.looked_at,
        told=backfill.told + len(chunk.owed),
        updated=times.text(given.now()),
    )


def _chunks(store: SharedStore, destination: Destination, outlook: Outlook, backfill: Backfill) -> AsyncIterator[_Chunk]:
    match backfill.origin:
        case "directory":
            return _of_directory(store, destination, outlook, backfill)
        case "log":
            return _of_log(store, destination, backfill)
        case "plan" | "subscription":
            return _of_plan(store, backfill)


async def _of_directory(
    store: SharedStore, destination: Destination, outlook: Outlook, backfill: Backfill
) -> AsyncIterator[_Chunk]:
    """Everybody in scope by key, users before groups so that members are known when they are named."""
    interest = (await outlook.envelope()).interest
    kinds = told_kinds(interest)
    names = [kind.name for kind in kinds]
    first = names.index(backfill.kind) if backfill.kind in names else 0
    for number, kind in enumerate(kinds[first:]):
        key = int(backfill.after) if number == 0 and backfill.kind == kind.name else 0
        while found := await store.walk(destination.directory, kind.name, key, CHUNK):
            key = found[-1].key
            owed = [Owed(one.id) for one in found if interest.contains(kind.name, one.id, orjson.loads(one.document))]
            yield _Chunk(owed, len(found), kind.name, str(key))


def told_kinds(interest: Interest) -> list[Kind]:
    """The resource types whose states the destination is told, in the order in which a backfill goes."""
    kinds = [wish.kind for wish in interest.wishes.values() if interest.tells_states(wish.kind.name)]
    return sorted(kinds, key=lambda kind: kind.has_members)


async def _of_log(store: SharedStore, destination: Destination, backfill: Backfill) -> AsyncIterator[_Chunk]:
    """Whatever changed, once in each chunk; who is deleted or out of the scope is told so."""
    position = int(backfill.after)
    while found := await store.changed_resources(destination.directory, position, backfill.until, CHUNK):
        looked_at = found[-1][0] - position
        position = found[-1][0]
        first = {id: position for position, id in reversed(found)}
        yield _Chunk([Owed(id, since) for id, since in first.items()], looked_at, "", str(position))


async def _of_plan(store: SharedStore, backfill: Backfill) -> AsyncIterator[_Chunk]:
    """What the plan says, users and other resources before groups."""
    for kind in ("", "Group"):
        if backfill.kind == "Group" and kind == "":
            continue
        after = backfill.after if backfill.kind == kind else ""
        while found := await store.list_items(backfill.plan or "", after, CHUNK):
            after = found[-1].resource_id
            some = [one for one in found if (one.resource_type == "Group") == (kind == "Group") and one.action != "conflict"]
            amended = [amendment for one in some if (amendment := _amendment(one)) is not None]
            owed = [Owed(one.resource_id, removes=one.resource_type if one.deactivates else "") for one in some]
            yield _Chunk(owed, len(some), kind, after, amended)


def _amendment(item: Item) -> Amendment | None:
    """What the ledger must learn before the state is told; None when it knows all."""
    if not (item.is_missing or item.remote_id or item.paths or item.members_lacking or item.members_beyond):
        return None
    return Amendment(
        item.resource_id,
        item.resource_type,
        item.is_missing,
        item.remote_id,
        item.paths,
        item.members_lacking,
        item.members_beyond,
    )
