"""Behind which positions a replay of everybody may begin: what is owed, or waits for an administrator, stays so."""

from collections.abc import Sequence

from scimhub.directory.errors import Conflict
from scimhub.distribution.delivery import Destination, Held
from scimhub.distribution.engine import Engine


async def check(engine: Engine, destination: Destination, after: int) -> None:
    """Raise Conflict with the reason why the replay must not begin behind that position, if there is one."""
    await _check_leaves_nothing_out(engine, destination, after)
    held = await engine.given.store.list_held(destination.key)
    _check_keeps_braked(destination, held, after)
    _check_covers(destination, held, after)


async def _check_leaves_nothing_out(engine: Engine, destination: Destination, after: int) -> None:
    """Raise Conflict when changes would be passed over that the destination has not had, and that are still kept."""
    lacks = max(destination.cursor, await engine.given.reader.purged_position())
    if after > lacks and destination.state != "behind":
        raise Conflict(
            f"Destination {destination.name} has had everything up to position {lacks} only, and a replay behind {after} would "
            f"leave out what lies between; begin behind position {lacks} or an earlier one."
        )


def _check_keeps_braked(destination: Destination, held: Sequence[Held], after: int) -> None:
    """Raise Conflict when removals would be met again that wait for an administrator, and might leave without one."""
    for one in held:
        if one.cause == "brake" and one.next_attempt is None and one.first_position > after:
            raise Conflict(
                f"The brake of destination {destination.name} has tripped and keeps removals behind position {after}; release "
                "or discard them first."
            )


def _check_covers(destination: Destination, held: Sequence[Held], after: int) -> None:
    """Raise Conflict when events of one resource that are being replayed do not all lie behind the position."""
    running = destination.replay
    if running is None or running.resource_id is None:
        return
    for one in held:
        if one.resource_id == running.resource_id and one.first_position <= min(after, running.until):
            raise Conflict(
                f"A replay of resource {one.resource_id} runs and goes on at position {one.first_position}; wait for its end,"
                f" or begin behind position {one.first_position - 1} or an earlier one, which sends that as well."
            )
