"""Destinations of a directory: made, checked, stopped, replayed, and what is held for them."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query

from scimhub.directory import sources
from scimhub.directory.errors import Invalid
from scimhub.distribution import braking, control, preview, rescoping, restating, status
from scimhub.distribution.delivery import Destination
from scimhub.web import naming
from scimhub.web.administration import Administration, Parts
from scimhub.web.destination_models import (
    CheckResult,
    DestinationMade,
    Destinations,
    DestinationShown,
    DestinationWish,
    HeldList,
    LedgerPage,
    NewDestination,
    PauseWish,
    PreviewShown,
    PreviewWish,
    ReplayShown,
    ReplayWish,
    Retried,
    RetryWish,
    RotationWish,
    SkipWish,
    show_destination,
    show_entry,
    show_made,
    show_outcome,
    show_owed,
    show_preview,
)

routes = APIRouter(tags=["destinations"])
_ALL = "/directories/{directory}/destinations"
_ONE = f"{_ALL}/{{name}}"


async def _find(parts: Administration, directory: str, name: str) -> Destination:
    return await control.get(parts.engine, await sources.get_directory(parts.store, directory), name)


async def _show(parts: Administration, destination: Destination) -> DestinationShown:
    return show_destination(destination, await status.of_destination(parts.engine, destination))


@routes.get(_ALL, summary="List the destinations with their lag")
async def list_destinations(parts: Parts, directory: str) -> Destinations:
    home = await sources.get_directory(parts.store, directory)
    found = await parts.engine.given.store.list_destinations(home.key)
    return Destinations(items=[await _show(parts, destination) for destination in found])


@routes.post(_ALL, status_code=201, summary="Create a destination; its secret is shown this once")
async def create_destination(parts: Parts, directory: str, wish: NewDestination) -> DestinationMade:
    home = await sources.get_directory(parts.store, directory)
    if wish.backfill:
        _check_backfill(parts, wish)
    made = await control.create(
        parts.engine,
        home,
        wish.name,
        wish.kind,
        wish.configuration,
        wish.subscription.read(),
        after=wish.after,
        secret=wish.secret,
        thresholds=None if wish.brake is None else wish.brake.model_dump(),
        is_paused=wish.paused,
    )
    if wish.backfill:
        await restating.begin(parts.engine, made.destination)
    return show_made(made, await status.of_destination(parts.engine, made.destination))


def _check_backfill(parts: Administration, wish: NewDestination) -> None:
    """Raises Invalid or Conflict before anything is made: a secret is shown but once."""
    if wish.after is not None:
        raise Invalid(["A backfill begins with the newest change; leave out after, or backfill."])
    technology = parts.engine.kinds.get(wish.kind)
    checked = wish.configuration if technology is None else technology.check(wish.configuration)
    restating.check_can_be_told(parts.engine, wish.name, wish.kind, checked)


@routes.get(_ONE, summary="Show a destination")
async def get_destination(parts: Parts, directory: str, name: str) -> DestinationShown:
    return await _show(parts, await _find(parts, directory, name))


@routes.patch(
    _ONE,
    summary="Change a destination's configuration or subscription",
    description=(
        "It holds for changes from now on: who enters or leaves by another filter is not told until something about them "
        "changes, unless apply is given. A feed's cursor of before is answered with 410 and the snapshot's address."
    ),
)
async def update_destination(parts: Parts, directory: str, name: str, wish: DestinationWish) -> DestinationShown:
    found = await _find(parts, directory, name)
    subscription = None if wish.subscription is None else wish.subscription.read()
    if wish.apply:
        await restating.check_may_begin(parts.engine, found)
    changed = await control.update(parts.engine, found, wish.configuration, subscription)
    if wish.apply:
        await rescoping.tell(parts.engine, changed, found.subscription)
    return await _show(parts, changed)


@routes.delete(_ONE, status_code=204, summary="Remove a destination with its secrets and what it is owed")
async def delete_destination(parts: Parts, directory: str, name: str) -> None:
    await control.delete(parts.engine, await _find(parts, directory, name))


@routes.post(f"{_ONE}/check", summary="Send a test event now")
async def check_destination(parts: Parts, directory: str, name: str) -> CheckResult:
    return show_outcome(await control.check(parts.engine, await _find(parts, directory, name)))


@routes.post(f"{_ONE}/pause", summary="Send nothing until it is resumed")
async def pause_destination(parts: Parts, directory: str, name: str, wish: PauseWish) -> DestinationShown:
    return await _show(parts, await control.pause(parts.engine, await _find(parts, directory, name), wish.reason))


@routes.post(f"{_ONE}/resume", summary="Go on where it stopped")
async def resume_destination(parts: Parts, directory: str, name: str) -> DestinationShown:
    return await _show(parts, await control.resume(parts.engine, await _find(parts, directory, name)))


@routes.post(f"{_ONE}/secret", summary="Rotate the secret; the former one holds for the overlap")
async def rotate_secret(parts: Parts, directory: str, name: str, wish: RotationWish) -> DestinationMade:
    found = await _find(parts, directory, name)
    made = await control.rotate(parts.engine, found, overlap_hours=wish.overlap_hours, secret=wish.secret)
    return show_made(made, await status.of_destination(parts.engine, made.destination))


@routes.post(f"{_ONE}/replay", summary="Send events once more, from a position or a time, of all or of one resource")
async def replay_events(parts: Parts, directory: str, name: str, wish: ReplayWish) -> ReplayShown:
    home = await sources.get_directory(parts.store, directory)
    found = await control.get(parts.engine, home, name)
    if (wish.after is None) == (wish.since is None):
        raise Invalid(["A replay begins behind a position (after) or at a time (since); give one of the two."])
    after = (wish.after if wish.since is None else await control.position_at(parts.engine, wish.since)) or 0
    id = None if wish.resource is None else await naming.id_of(parts, home, wish.resource)
    overrules = await braking.count_overruled(parts.engine, found, None if id is None else [id], after)
    if not wish.dry_run and id is None:
        found = await control.replay(parts.engine, found, after)
    elif not wish.dry_run and id is not None:
        found = await control.replay_resource(parts.engine, found, id, after)
    return ReplayShown(**dict(await _show(parts, found)), overrules=overrules)


@routes.get(f"{_ONE}/held", summary="List the resources whose delivery waits")
async def list_held(parts: Parts, directory: str, name: str) -> HeldList:
    owed = await control.list_owed(parts.engine, await _find(parts, directory, name))
    return HeldList(items=[show_owed(one) for one in owed])


@routes.post(f"{_ONE}/held/retry", summary="Try held deliveries now")
async def retry_held(parts: Parts, directory: str, name: str, wish: RetryWish) -> Retried:
    found = await _find(parts, directory, name)
    return Retried(retried=await control.retry_held(parts.engine, found, wish.resource_id))


@routes.post(f"{_ONE}/held/skip", status_code=204, summary="Give up a held event, or all that is held of a resource")
async def skip_held(parts: Parts, directory: str, name: str, wish: SkipWish) -> None:
    found = await _find(parts, directory, name)
    await control.skip_held(parts.engine, found, wish.resource_id, everything=wish.everything)


@routes.get(f"{_ONE}/ledger", summary="List what the destination was given, under which ids")
async def list_ledger(
    parts: Parts, directory: str, name: str, after: str = "", limit: Annotated[int, Query(ge=1, le=1000)] = 100
) -> LedgerPage:
    found = await _find(parts, directory, name)
    entries = await parts.store.list_remotes(found.key, after, limit)
    following = entries[-1].remote.resource_id if len(entries) == limit else None
    return LedgerPage(items=[show_entry(entry) for entry in entries], next=following)


@routes.post(
    f"{_ONE}/preview",
    summary="Show what the destination sees of real resources, and what another mapping or filter would change",
    description="Nothing is saved and nothing is sent. All resources of the directory are looked at.",
)
async def preview_destination(parts: Parts, directory: str, name: str, wish: PreviewWish) -> PreviewShown:
    found = await _find(parts, directory, name)
    now = found.subscription
    proposed = replace(
        now,
        filters=now.filters if wish.filters is None else wish.filters,
        attributes=now.attributes if wish.attributes is None else tuple(wish.attributes),
        mapping=now.mapping if wish.mapping is None else wish.mapping,
    )
    seen = await preview.preview(
        parts.store, parts.engine.place, found, proposed, samples=wish.samples, resource_id=wish.resource_id
    )
    return show_preview(seen)
