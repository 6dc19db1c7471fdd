"""What becomes of a destination of style ``state`` when changes that it lacks are gone: it is told who changed, as they are.

Positions and ids of changes stay for ever, so that this is exact: nobody who changed is left out, also who was deleted.
"""

import logging

from scimhub.distribution.backfill import Backfill
from scimhub.distribution.delivery import Destination
from scimhub.distribution.ports import SharedStore

_log = logging.getLogger(__name__)


def can_catch_up(destination: Destination) -> bool:
    """Whether it is helped by states: one that is told every change must be helped by a person."""
    return destination.subscription.style == "state"


async def catch_up(store: SharedStore, destination: Destination, head: int, id: str, now: str) -> None:
    """Tell the destination what everybody is now who changed behind its cursor, and go on at the newest position.

    Nobody else may be writing where it stands. A backfill that runs is begun anew with it.
    """
    former = await store.find_backfill(destination.key)
    after = destination.cursor
    if former is not None and former.origin == "log" and not former.is_over:
        after = min(after, int(former.after))
    made = Backfill(id, "log", "running", now, now, total=head - after, after=str(after), until=head)
    await store.save_backfill(destination.key, made)
    held = [one.resource_id for one in await store.list_held(destination.key)]
    await store.owe_states(destination.key, held, id, now)
    await store.owe_states_of_kept(destination.key, id)
    await store.move_cursor(destination.key, head, None)
    names = {"directory": destination.directory_name, "destination": destination.name}
    _log.warning(
        "changes are gone before they were delivered: states are told in their place",
        extra={**names, "after": after, "until": head},
    )
