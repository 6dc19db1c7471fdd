"""Who enters, leaves or changes by another subscription, told to the destination: a plan of its own, applied at once."""

from collections.abc import AsyncIterator
from dataclasses import replace

from scimhub.distribution import envelope, preview, restating, times
from scimhub.distribution.backfill import Backfill
from scimhub.distribution.delivery import Destination, Subscription
from scimhub.distribution.engine import Engine
from scimhub.distribution.plans import Action, Item, Plan
from scimhub.distribution.preview import Fate

# An applied plan is kept as long as one that waits.
_KEPT_HOURS = 24.0
_ACTIONS: dict[Fate, Action] = {"enters": "add", "leaves": "remove", "changes": "change"}


async def tell(engine: Engine, destination: Destination, former: Subscription) -> Backfill | None:
    """Tell the destination, which has another subscription now, whoever looks other by it; None when nobody does.

    Raises Conflict when it cannot be told, or a backfill has not ended.
    """
    restating.check_can_be_told(engine, destination.name, destination.kind, destination.configuration)
    items = [item async for item in _items(engine, destination, former)]
    if not items:
        return None
    now = engine.given.now()
    counts: dict[str, dict[str, int]] = {}
    for item in items:
        of_action = counts.setdefault(item.action, {})
        of_action[item.resource_type] = of_action.get(item.resource_type, 0) + 1
    plan = Plan(
        id=engine.given.new_id(),
        created=times.text(now),
        expires=times.text(now + _KEPT_HOURS * 3600),
        position=await engine.given.reader.last_position(),
        subscription_version=destination.subscription_version,
        digest="",
        items=len(items),
        counts=counts,
    )
    await engine.given.store.save_plan(destination.key, plan, items)
    return await restating.begin(engine, destination, origin="subscription", plan=plan.id, total=len(items))


async def _items(engine: Engine, destination: Destination, former: Subscription) -> AsyncIterator[Item]:
    """All resources are looked at as they are now, after the change: what changes meanwhile is told by the new subscription."""
    place = engine.place
    catalog = await place.catalogs.current(destination.directory)
    was = envelope.of_destination(replace(destination, subscription=former), catalog, place.root_url, place.epoch)
    is_now = envelope.of_destination(destination, catalog, place.root_url, place.epoch)
    for kind in catalog.kinds.values():
        async for resource, fate in preview.fates(engine.given.store, destination.directory, kind, was, is_now):
            if fate in _ACTIONS:
                yield Item(resource.id, kind.name, _ACTIONS[fate], resource.version)
