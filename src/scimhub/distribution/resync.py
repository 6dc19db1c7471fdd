"""Resync: what would bring a destination that can be asked to what it was to be, as a plan; and having it done.

A plan is made from a look at the destination, kept under an id, and does nothing by itself. Applying it is a backfill of the
resources that it names: the ledger learns what was seen, each resource is owed its state, and removals meet the brake.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Sequence

import orjson

from scimhub.directory.errors import Absent, Conflict
from scimhub.distribution import looking, restating, times
from scimhub.distribution.backfill import Backfill
from scimhub.distribution.brake import Brake, read_thresholds
from scimhub.distribution.delivery import Destination
from scimhub.distribution.drift import Drift, Finding, Sight
from scimhub.distribution.engine import Engine
from scimhub.distribution.looking import Watch
from scimhub.distribution.plans import ACTIONS, Action, Item, Plan

# How long a plan may be applied, and how many of its resources may have changed until then.
EXPIRES_HOURS = 24.0
MOST_MOVED_PERCENT = 5.0
_SAMPLES = 5
_CHUNK = 500


async def make(engine: Engine, destination: Destination, *, removes_extra: bool, watch: Watch) -> Plan:
    """What a resync would do now, kept under the plan's id.

    Raises Conflict for a destination that cannot be asked, Unreadable when it cannot be read now.
    """
    restating.check_can_be_told(engine, destination.name, destination.kind, destination.configuration)
    drift, sight = await looking.look(engine, destination, watch)
    items = list(_items(drift, sight, removes_extra=removes_extra))
    now = engine.given.now()
    requests = sum(_requests(item, sight) for item in items)
    plan = Plan(
        id=engine.given.new_id(),
        created=times.text(now),
        expires=times.text(now + EXPIRES_HOURS * 3600),
        position=drift.position,
        subscription_version=destination.subscription_version,
        digest=_digest(items),
        items=len(items),
        counts=_counts(items),
        samples=_samples(items),
        removes_extra=removes_extra,
        requests=requests,
        seconds=None if sight.per_minute is None else math.ceil(requests * 60 / sight.per_minute),
        verdict=_verdict(destination, items, drift, now),
        limits=drift.limits,
    )
    await engine.given.store.save_plan(destination.key, plan, items)
    return plan


async def apply(
    engine: Engine, destination: Destination, plan_id: str, *, most_moved_percent: float = MOST_MOVED_PERCENT
) -> Backfill:
    """Have the plan done; ``restating.progress`` tells how far it is.

    Raises Absent for an unknown plan, Conflict when it holds no more: it has expired, or the world has moved.
    """
    plan = await get(engine, destination, plan_id)
    again = f"Make another one: scimhub destination resync plan {destination.name} --directory {destination.directory_name}"
    if plan.expires <= times.text(engine.given.now()):
        raise Conflict(f"The plan expired at {plan.expires}. {again}")
    if plan.subscription_version != destination.subscription_version:
        raise Conflict(f"The destination's subscription was changed after the plan was made. {again}")
    last = await engine.given.store.find_backfill(destination.key)
    if last is not None and last.plan == plan.id and last.is_over:
        raise Conflict(f"The plan was applied at {last.begun}. {again}")
    moved = await _count_moved(engine, destination, plan)
    if plan.items and 100 * moved > most_moved_percent * plan.items:
        raise Conflict(
            f"{moved} of the {plan.items} resources in the plan have changed since it was made, more than "
            f"{most_moved_percent:g} %. {again}"
        )
    return await restating.begin(engine, destination, origin="plan", plan=plan.id, total=plan.items)


async def get(engine: Engine, destination: Destination, plan_id: str) -> Plan:
    """The destination's plan with that id; raises Absent."""
    plan = await engine.given.store.find_plan(destination.key, plan_id)
    if plan is None:
        raise Absent(f"Destination {destination.name} has no plan {plan_id[:80]!r}.")
    return plan


async def _count_moved(engine: Engine, destination: Destination, plan: Plan) -> int:
    moved, after = 0, ""
    while items := await engine.given.store.list_items(plan.id, after, _CHUNK):
        after = items[-1].resource_id
        versions = await engine.given.store.versions_of(destination.directory, [item.resource_id for item in items])
        moved += sum(versions.get(item.resource_id, 0) != item.version for item in items)
    return moved


# --------------------------------------------------------------------------- what is to be done


def _items(drift: Drift, sight: Sight, *, removes_extra: bool) -> Sequence[Item]:
    """What is to be done about what was found, one item for each resource of ours."""
    items: dict[str, Item] = {}
    for found in drift.findings:
        action = _action(found, removes_extra=removes_extra)
        if action is None or found.resource_id is None:
            continue
        unable = sight.unable.get((found.resource_type.lower(), action), "")
        action = "conflict" if unable else action
        before = items.get(found.resource_id)
        made = Item(
            found.resource_id,
            found.resource_type,
            action if before is None else before.action,
            found.version,
            unable or found.reason,
            found.was_there,
            found.remote_id if found.category in ("extra", "adoptable") else None,
            tuple(found.values) if before is None else before.paths,
            tuple(found.lacking),
            tuple(found.beyond),
            found.deactivates if before is None else before.deactivates,
        )
        items[found.resource_id] = made
    return list(items.values())


def _action(found: Finding, *, removes_extra: bool) -> Action | None:
    match found.category:
        case "missing":
            return "add"
        case "adoptable":
            return "adopt"
        case "different" | "members":
            return "change"
        case "leftover":
            return "remove"
        case "extra":
            # Whoever was never ours is nobody's business.
            return "remove" if removes_extra and found.was_ours else None
        case "conflict":
            return "conflict"
        case _:
            return None


def _counts(items: Sequence[Item]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {action: {} for action in ACTIONS}
    for (action, name), count in sorted(Counter((item.action, item.resource_type) for item in items).items()):
        counts[action][name] = count
    return counts


def _samples(items: Sequence[Item]) -> list[Item]:
    return [item for action in ACTIONS for item in [one for one in items if one.action == action][:_SAMPLES]]


def _digest(items: Sequence[Item]) -> str:
    sums = hashlib.sha256()
    for item in sorted(items, key=lambda item: item.resource_id):
        sums.update(orjson.dumps([item.resource_id, item.action, item.version, item.paths, item.remote_id]))
    return sums.hexdigest()[:16]


def _requests(item: Item, sight: Sight) -> int:
    """How many requests it takes, at the least."""
    each = sight.members_per_request
    members = math.ceil(len(item.members_lacking) / each) + math.ceil(len(item.members_beyond) / each)
    match item.action:
        case "conflict":
            return 0
        case "change" if members and not item.paths:
            return members
        case _:
            return 1 + members


def _verdict(destination: Destination, items: Sequence[Item], drift: Drift, now: float) -> str:
    """What the brake will make of the removals, as a sentence; empty when there are none."""
    removed = Counter(item.resource_type for item in items if item.action == "remove" or item.deactivates)
    beyond = sum(len(item.members_beyond) for item in items)
    if not removed and not beyond:
        return ""
    thresholds = read_thresholds(destination.brake)
    if not thresholds.enabled:
        return "The brake is off: every removal leaves at once."
    given = Brake(thresholds, destination.brake_state).counts(now)
    for sort, count in removed.items():
        total = count + given.get(sort, (0, 0))[1]
        # Who is to go, or went, is not among ours or not active.
        population = drift.active.get(sort, 0) + total
        if thresholds.is_met(total, population):
            place = f"{destination.name} --directory {destination.directory_name}"
            return (
                f"The brake will trip at {total} removals of {population} {sort}: they wait, and the rest is done. "
                f"Release them with: scimhub destination brake release {place} --all"
            )
    told = f" The removal of {beyond} memberships beyond ours is part of the plan, and not counted." if beyond else ""
    count = sum(removed.values())
    return f"The brake lets {count} {'removal' if count == 1 else 'removals'} leave.{told}"
