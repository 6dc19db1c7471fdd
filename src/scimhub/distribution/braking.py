"""The administrator's verbs on a destination's brake: look, release, discard, set."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import orjson

from scimhub.directory.errors import Absent, Conflict, Invalid
from scimhub.distribution import brake, times
from scimhub.distribution.brake import Brake, Thresholds, Trip
from scimhub.distribution.delivery import Choice, Destination, HeldCause, Kept, KeptRemoval
from scimhub.distribution.engine import Engine

_log = logging.getLogger(__name__)

# The names by which people know a resource, the first that it has.
_NAMES = ("userName", "displayName")
_KEPT_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Sort:
    """One sort of removal: a resource type, or members."""

    name: str
    # How many are kept, and how many had a permit within ten minutes and a day.
    held: int
    last_10_minutes: int
    last_24_hours: int


@dataclass(frozen=True, slots=True)
class BrakeStatus:
    """How the brake stands. ``settling`` and ``waiting`` count resources: for a minute, and for an administrator."""

    thresholds: Thresholds
    trip: Trip | None
    settling: int
    waiting: int
    sorts: Sequence[Sort]


@dataclass(frozen=True, slots=True)
class Plan:
    """Of how many resources something would be, or was, decided, and some of their removals."""

    count: int
    samples: Sequence[KeptRemoval]


async def status(engine: Engine, destination: Destination) -> BrakeStatus:
    """How the destination's brake stands; raises Conflict for one that fetches."""
    _check_kind(engine, destination)
    thresholds = brake.read_thresholds(destination.brake)
    state = Brake(thresholds, destination.brake_state)
    counts = state.counts(engine.given.now())
    kept = {name: (held, waiting) for name, held, waiting in await engine.given.store.sorts_kept(destination.key)}
    waiting = sum(waiting for _, waiting in kept.values())
    count = await engine.given.store.count_kept_removals(destination.key, Choice())
    names = sorted(kept.keys() | counts.keys())
    sorts = [Sort(name, kept.get(name, (0, 0))[0], *counts.get(name, (0, 0))) for name in names]
    return BrakeStatus(thresholds, state.trip, count - waiting, waiting, sorts)


async def list_removals(
    engine: Engine, destination: Destination, choice: Choice, *, after: int = 0, limit: int = 100
) -> Sequence[KeptRemoval]:
    """What the brake keeps, in order of position."""
    _check_kind(engine, destination)
    return await engine.given.store.list_kept_removals(destination.key, choice, after, limit)


async def list_kept(engine: Engine, destination: Destination, *, after: str = "", limit: int = 100) -> Sequence[Kept]:
    """The resources that the destination keeps because their removal was discarded."""
    return await engine.given.store.list_kept(destination.key, after, limit)


async def count_overruled(engine: Engine, destination: Destination, resource_ids: Sequence[str] | None, behind: int = 0) -> int:
    """Of how many resources, or of these, a removal that was discarded lies behind the position, so that telling again what
    lies there tells of it after all."""
    wanted = None if resource_ids is None else set(resource_ids)
    count, after = 0, ""
    while some := await engine.given.store.list_kept(destination.key, after, _KEPT_AT_ONCE):
        count += sum(one.position > behind and (wanted is None or one.resource_id in wanted) for one in some)
        after = some[-1].resource_id
    return count


async def plan(engine: Engine, destination: Destination, choice: Choice, samples: int) -> Plan:
    """What a decision on the choice would concern; nothing is done."""
    _check_kind(engine, destination)
    count = await engine.given.store.count_kept_removals(destination.key, choice)
    if choice.resource_ids is not None and count < len(choice.resource_ids):
        shown = await engine.given.store.list_kept_removals(destination.key, choice, 0, len(choice.resource_ids))
        missing = sorted(choice.resource_ids - {one.resource_id for one in shown})
        raise Absent(f"The brake of destination {destination.name} keeps no removal of {', '.join(missing[:10])}.")
    return Plan(count, await engine.given.store.list_kept_removals(destination.key, choice, 0, samples) if samples else ())


async def decide(engine: Engine, destination: Destination, choice: Choice, *, discards: bool) -> int:
    """Release the choice, which is then sent, or discard it, which is then never sent; of how many resources.

    What is decided holds for what the log has of these resources now. The brake's windows begin anew. Raises Absent for a
    resource of which nothing is kept, Conflict for a destination from which nothing can be taken out of order.
    """
    _check_kind(engine, destination)
    in_order = destination.configuration.get("order") == "stream"
    if in_order and not choice.is_all:
        raise Conflict(
            f"Destination {destination.name} takes all in order, so that its brake stops everything; release or discard all."
        )
    async with engine.halted(destination):
        await plan(engine, destination, choice, 0)
        until, now = await engine.given.reader.last_position(), times.text(engine.given.now())
        cause: HeldCause = "discarded" if discards else "released"
        count = await engine.given.store.decide_kept(destination.key, choice, cause, until, now, in_order=in_order)
    _log.warning(f"removals {cause}", extra={**_names(destination), "resources": count})
    return count


async def set_thresholds(engine: Engine, destination: Destination, wish: Mapping[str, object]) -> Destination:
    """Other thresholds from now on; what is held stays held. Raises Invalid with every mistake."""
    _check_kind(engine, destination)
    thresholds = brake.read_thresholds(wish)
    async with engine.halted(destination):
        now = times.text(engine.given.now())
        changed = await engine.given.store.set_brake(destination.key, asdict(thresholds), now)
    _log.warning(
        "brake set" if thresholds.enabled else "brake switched off", extra={**_names(destination), **asdict(thresholds)}
    )
    return changed


def name_of(removal: KeptRemoval) -> str:
    """By what people know the resource; empty when the change does not tell any more."""
    document = {} if removal.document is None else orjson.loads(removal.document)
    return next((str(document[name]) for name in _NAMES if document.get(name)), "")


def check_choice(resource_ids: Sequence[str] | None, exchange_id: str | None, source: str | None, everything: bool) -> Choice:
    """The choice; raises Invalid unless it is said in exactly one way."""
    if [resource_ids is not None, exchange_id is not None, source is not None, everything].count(True) != 1:
        raise Invalid(["Say of what: ids of resources, the id of an exchange, a source, or all; exactly one of them."])
    return Choice(None if resource_ids is None else frozenset(resource_ids), exchange_id, source)


def _names(destination: Destination) -> dict[str, str]:
    return {"directory": destination.directory_name, "destination": destination.name}


def _check_kind(engine: Engine, destination: Destination) -> None:
    if destination.kind not in engine.kinds:
        raise Conflict(f"Destination {destination.name} is a {destination.kind}: it fetches, and a brake cannot hold anything.")
