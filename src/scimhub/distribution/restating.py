"""The administrator's verbs for what a destination is told without anything having happened: backfill and resend.

Each halts the destination's pump, writes and lets it go on, as those in ``control`` do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scimhub.directory.errors import Conflict, Invalid
from scimhub.distribution import amendments, status, times
from scimhub.distribution.backfill import Backfill, Origin
from scimhub.distribution.backfilling import told_kinds
from scimhub.distribution.delivery import Destination
from scimhub.distribution.engine import Engine
from scimhub.distribution.outlook import Outlook

# Resources that one request may have sent again.
MOST_RESENT = 1000
_WHAT: dict[Origin, str] = {"plan": "A resync", "subscription": "What follows another subscription"}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a backfill is: what it has handed out, and what of that is owed still, for this or for failing.

    ``waits_for`` is a sentence about what keeps it from going on, empty when nothing does.
    """

    backfill: Backfill
    owed: int
    failed: int
    waits_for: str = ""

    @property
    def arrived(self) -> int:
        """How many of those handed out are owed no more."""
        return max(0, self.backfill.told - self.owed)


def check_can_be_told(engine: Engine, name: str, kind: str, configuration: Mapping[str, object]) -> None:
    """Raises Conflict for a destination, made or to be made, that no states can be sent to."""
    if kind not in engine.kinds:
        raise Conflict(f"Destination {name} is a {kind}: it fetches, and begins with a snapshot whenever it wants.")
    if configuration.get("order") == "stream":
        raise Conflict(
            f"Destination {name} takes all in the order of the log, which a state would overtake; "
            "use replay, or the order resource."
        )


async def check_may_begin(engine: Engine, destination: Destination) -> None:
    """Raises Conflict for a destination that cannot be told states, or that another backfill has not ended of."""
    check_can_be_told(engine, destination.name, destination.kind, destination.configuration)
    await _check_none_runs(engine, destination)


# --------------------------------------------------------------------------- backfill


async def begin(
    engine: Engine, destination: Destination, *, origin: Origin = "directory", plan: str | None = None, total: int | None = None
) -> Backfill:
    """Tell the destination what everybody in its scope is now, beside what happens; or what a plan says.

    Raises Conflict when it cannot be told, or another backfill has not ended.
    """
    await check_may_begin(engine, destination)
    count = await _population(engine, destination) if total is None else total
    now = _now(engine)
    made = Backfill(engine.given.new_id(), origin, "running", now, now, total=count, plan=plan)
    async with engine.halted(destination):
        await _check_none_runs(engine, destination)
        await engine.given.store.save_backfill(destination.key, made)
    return made


async def _population(engine: Engine, destination: Destination) -> int:
    interest = (await Outlook(engine.place, destination).envelope()).interest
    counts = await engine.given.store.count_resources(destination.directory)
    return sum(counts.get(kind.name, 0) for kind in told_kinds(interest))


async def _check_none_runs(engine: Engine, destination: Destination) -> None:
    found = await engine.given.store.find_backfill(destination.key)
    if found is not None and not found.is_over:
        what = _WHAT.get(found.origin, "A backfill")
        raise Conflict(
            f"{what} of destination {destination.name} is {found.state}: {found.looked_at} of {found.total} are looked at. "
            "Wait for its end, or cancel it."
        )


async def progress(engine: Engine, destination: Destination) -> Progress | None:
    """How far the destination's last backfill is; None when there was none."""
    found = await engine.given.store.find_backfill(destination.key)
    if found is None:
        return None
    held = [one for one in await engine.given.store.list_held(destination.key) if one.ask == found.id]
    failed = sum(one.attempts > 0 or one.cause == "brake" for one in held)
    return Progress(found, len(held), failed, "" if found.is_over else await status.obstacle(engine, destination))


async def pause(engine: Engine, destination: Destination) -> Backfill:
    """Hand out nothing more until it is resumed; what was handed out is told. Raises Conflict."""
    return await _turn(engine, destination, "running", replace(await _last(engine, destination), state="paused"))


async def resume(engine: Engine, destination: Destination) -> Backfill:
    """Go on where it was paused. Raises Conflict."""
    return await _turn(engine, destination, "paused", replace(await _last(engine, destination), state="running"))


async def cancel(engine: Engine, destination: Destination) -> Backfill:
    """End it where it is; what was handed out is told. Raises Conflict."""
    found = replace(await _last(engine, destination), state="stopped", reason="An administrator ended it.")
    return await _turn(engine, destination, "", found)


async def _last(engine: Engine, destination: Destination) -> Backfill:
    found = await engine.given.store.find_backfill(destination.key)
    if found is None:
        raise Conflict(f"Destination {destination.name} has no backfill.")
    return found


async def _turn(engine: Engine, destination: Destination, expected: str, wished: Backfill) -> Backfill:
    async with engine.halted(destination):
        # Read again: it may have come further until it was halted.
        found = await _last(engine, destination)
        if found.is_over or (expected and found.state != expected):
            raise Conflict(f"The backfill of destination {destination.name} is {found.state}.")
        turned = replace(found, state=wished.state, reason=wished.reason, updated=_now(engine))
        await engine.given.store.save_backfill(destination.key, turned)
    return turned


# --------------------------------------------------------------------------- one or a few


@dataclass(frozen=True, slots=True)
class Resent:
    """What is told again: the id of the wish, which the events' ids end with, and the resources."""

    ask: str
    resource_ids: Sequence[str]


async def resend(engine: Engine, destination: Destination, resource_ids: Sequence[str]) -> Resent:
    """Tell the destination what these resources are now, whatever it was told before.

    Raises Conflict when it cannot be told, Invalid for resources that are unknown, or none that it is told of.
    """
    check_can_be_told(engine, destination.name, destination.kind, destination.configuration)
    ids = list(dict.fromkeys(resource_ids))
    if not 0 < len(ids) <= MOST_RESENT:
        raise Invalid([f"Name from 1 to {MOST_RESENT} resources; for all of them there is a backfill."])
    interest = (await Outlook(engine.place, destination).envelope()).interest
    ask, problems, kinds = engine.given.new_id(), [], {}
    for id in ids:
        change = await engine.given.reader.read_state(id)
        if change is None or change.directory != destination.directory:
            problems.append(f"Directory {destination.directory_name} has no resource {id[:100]!r}.")
        elif interest.state_of(change, ask) is None:
            problems.append(f"Destination {destination.name} is told nothing of {change.kind} {id}, by its types or filters.")
        else:
            kinds[id] = change.kind
    if problems:
        raise Invalid(problems)
    store, now = engine.given.store, _now(engine)
    async with engine.halted(destination):
        for id, kind in kinds.items():
            await amendments.amend(store, destination.key, amendments.everything_of(id, kind), now)
        await store.owe_states(destination.key, ids, ask, now)
    return Resent(ask, ids)


def _now(engine: Engine) -> str:
    return times.text(engine.given.now())
