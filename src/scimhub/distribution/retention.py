"""How long the change log keeps the content of changes: by age and number, never past a destination that still needs it,
until a stated maximum - and then loud (DECISIONS 7).

Positions, ids and versions stay for ever; only what a change says of a person goes.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import timedelta

from scimhub import clock
from scimhub.distribution import catching_up
from scimhub.distribution.delivery import Destination
from scimhub.distribution.ports import ChangeReader, SharedStore

# So many changes are blanked in one transaction; writers wait for no longer than that takes.
_AT_ONCE = 5000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Changes older than ``days`` or beyond the newest ``count`` go; those a destination lacks only after ``most_days``."""

    days: int
    count: int
    most_days: int


Halted = Callable[[Destination], AbstractAsyncContextManager[None]]


async def purge(
    reader: ChangeReader,
    store: SharedStore,
    limits: Limits,
    now: str,
    pinned: Callable[[], Awaitable[int | None]],
    halted: Halted,
    new_id: Callable[[], str] = clock.new_id,
) -> int:
    """Blank what need not be kept any longer; the position up to which that is so now.

    ``pinned`` is the lowest position that a running snapshot still needs behind it; ``halted`` stops a destination's pump,
    so that nobody else writes where it stands (``Engine.halted``).
    """
    head, purged = await reader.last_position(), await reader.purged_position()
    old = await reader.position_at(_days_before(now, limits.days))
    ancient = await reader.position_at(_days_before(now, limits.most_days))
    needed = [head]
    destinations = [one for one in await store.list_destinations() if one.state != "behind"]
    for destination in destinations:
        held = await store.list_held(destination.key)
        needed += [destination.cursor, *(one.first_position - 1 for one in held if not one.ask)]
    pin = await pinned()
    needed += [] if pin is None else [pin]
    target = max(min(max(old, head - limits.count), *needed), ancient)
    # Told before anything goes: no pump may meet a change that is gone and not know why.
    for destination in destinations:
        if await _lacks(store, destination, target):
            async with halted(destination):
                await _tell(store, destination, target, now, new_id)
    while purged < target:
        purged = min(purged + _AT_ONCE, target)
        await reader.purge_changes(purged)
    return purged


async def _lacks(store: SharedStore, destination: Destination, target: int) -> bool:
    held = await store.list_held(destination.key)
    return destination.cursor < target or any(one.first_position <= target for one in held if not one.ask)


async def _tell(store: SharedStore, known: Destination, purged: int, now: str, new_id: Callable[[], str]) -> None:
    """Say loudly that a destination is overtaken: nobody must believe that it has everything."""
    destination = await store.find_destination(known.directory, known.name)
    if destination is None:
        return
    names = {"directory": destination.directory_name, "destination": destination.name}
    if catching_up.can_catch_up(destination):
        await catching_up.catch_up(store, destination, max(purged, destination.cursor), new_id(), now)
        return
    if destination.cursor < purged:
        reason = (
            f"It had everything up to position {destination.cursor} when changes up to {purged} reached the longest time "
            "that they are kept; it lacks what lies between and needs a resync."
        )
        _log.error("destination left behind", extra={**names, "cursor": destination.cursor, "purged": purged})
        await store.set_state(destination.key, "behind", reason, now)
    for held in await store.list_held(destination.key):
        if held.first_position <= purged and not held.ask:
            place = f"{destination.name} {held.resource_id} --directory {destination.directory_name}"
            reason = (
                f"Its changes from position {held.first_position} to {purged} are no longer kept; tell what it is now with: "
                f"scimhub destination resend {place}"
            )
            _log.error("held delivery left behind", extra={**names, "resource": held.resource_id})
            rest = replace(
                held, first_position=purged + 1, next_attempt=None, error=reason, cause="failure", removes="", removed=0
            )
            await store.change_held(destination.key, rest)


def _days_before(now: str, days: int) -> str:
    return clock.text(clock.parse(now) - timedelta(days=days))
