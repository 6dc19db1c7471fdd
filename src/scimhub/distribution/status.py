"""How a destination fares: as its pump knows, and as the store says where no pump of this process serves it."""

from collections.abc import Sequence
from dataclasses import dataclass

from scimhub.directory.errors import Invalid
from scimhub.distribution import intake, opening, times
from scimhub.distribution.delivery import Destination, Held
from scimhub.distribution.engine import Engine
from scimhub.distribution.outlook import Outlook

# What is held without a failure: nothing is to be retried or skipped there.
_NOT_FAILED = ("brake", "leaver")
# Among so many deletions and deactivations behind the cursor the oldest that a destination lacks is looked for.
_MOST_LEAVERS = 100


@dataclass(frozen=True, slots=True)
class Status:
    """How a destination fares. ``lag`` counts positions, ``lag_seconds`` the age of the oldest change it lacks."""

    head: int
    lag: int
    lag_seconds: float
    held: int
    # Why the one of them failed that was held last, empty when nothing is held.
    held_error: str
    # Resources whose removal the brake keeps; whether it has tripped; whether it is on.
    brake_held: int
    brake_is_tripped: bool
    brake_is_on: bool
    # How old the oldest leaver is that waits and that the brake does not keep.
    oldest_leaver_seconds: float
    in_flight: int
    # The breaker's state while a pump runs, else empty; and what failed last.
    breaker: str
    error: str
    last_success: str | None
    delivered: int
    failed: int
    # How many messages may be on their way now, which adapts; 0 while no pump runs.
    concurrency: int
    # A sentence about what keeps it from being sent anything, empty when nothing does.
    waits_for: str


async def of_destination(engine: Engine, destination: Destination) -> Status:
    """How the destination fares now."""
    reader, pump = engine.given.reader, engine.find_pump(destination.key)
    head = await reader.last_position()
    cursor = destination.cursor if pump is None else pump.cursor
    waiting = await reader.read_changes(cursor, 1)
    held = await engine.given.store.list_held(destination.key)
    leaver_age = await _leaver_age(engine, destination, held) if pump is None else pump.leaver_age
    breaker = None if pump is None else pump.breaker
    last_success = None if pump is None else pump.last_success
    failed = [one for one in held if has_failed(one)]
    return Status(
        head=head,
        lag=head - cursor,
        lag_seconds=max(0.0, engine.given.now() - times.seconds(waiting[0].time)) if waiting else 0.0,
        held=len(failed),
        held_error=max(failed, key=lambda one: one.since).error if failed else "",
        brake_held=sum(one.cause == "brake" for one in held),
        brake_is_tripped="trip" in destination.brake_state,
        brake_is_on=destination.kind in engine.kinds and destination.brake.get("enabled", True) is True,
        oldest_leaver_seconds=leaver_age,
        in_flight=0 if pump is None else pump.on_the_way,
        breaker="" if breaker is None else breaker.state,
        error=destination.reason or await opening.fault(engine.given, destination) if pump is None else pump.error,
        last_success=None if last_success is None else times.text(last_success),
        delivered=0 if pump is None else pump.delivered,
        failed=0 if pump is None else pump.failed,
        concurrency=0 if pump is None else pump.flow.limit,
        waits_for=await obstacle(engine, destination),
    )


async def obstacle(engine: Engine, destination: Destination) -> str:
    """What keeps the destination from being sent anything, as a sentence; empty when nothing does."""
    if destination.kind not in engine.kinds:
        return ""
    if not engine.is_running and not await _is_served_elsewhere(engine):
        return "No hub runs; it goes on when one does."
    if destination.state != "active":
        return f"The destination is {destination.state}; it goes on when that is resumed."
    return ""


def has_failed(held: Held) -> bool:
    """Whether it waits because it failed, and not just for its turn or the brake."""
    return held.cause not in _NOT_FAILED and not (held.cause == "state" and not held.attempts)


# --------------------------------------------------------------------------- within


async def _is_served_elsewhere(engine: Engine) -> bool:
    given = engine.given
    return given.store.has_many_nodes and bool(await given.store.live_nodes(given.lease_seconds))


async def _leaver_age(engine: Engine, destination: Destination, held: Sequence[Held]) -> float:
    """How old the oldest deletion or deactivation behind the cursor is that the destination is to be told of."""
    if destination.kind not in engine.kinds:
        return 0.0
    found = await engine.given.reader.read_leavers(destination.cursor, _MOST_LEAVERS)
    kept = {one.resource_id for one in held if one.cause == "brake"}
    ours = [one for one in found if one.directory == destination.directory and one.resource_id not in kept]
    try:
        interest = (await Outlook(engine.place, destination).envelope()).interest
    except Invalid:
        return intake.age(ours[0].time if ours else None, engine.given.now())
    notices = (notice for one in ours if (notice := interest.assess(one)) is not None)
    return intake.age(next((notice.change.time for notice in notices if notice.takes), None), engine.given.now())
