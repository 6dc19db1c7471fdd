"""The brake of a destination: how it stands, what it keeps, and what an administrator decides about that."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query

from scimhub.directory import sources
from scimhub.distribution import braking, control
from scimhub.distribution.delivery import Choice, Destination
from scimhub.web.administration import Administration, Parts
from scimhub.web.brake_models import (
    BrakeShown,
    DecisionShown,
    DecisionWish,
    KeptPage,
    RemovalPage,
    ThresholdsWish,
    show_brake,
    show_decision,
    show_kept,
    show_removal,
)

routes = APIRouter(tags=["destinations"])
_BRAKE = "/directories/{directory}/destinations/{name}/brake"
Limit = Annotated[int, Query(ge=1, le=1000)]


async def _find(parts: Administration, directory: str, name: str) -> Destination:
    return await control.get(parts.engine, await sources.get_directory(parts.store, directory), name)


@routes.get(_BRAKE, summary="Show how the brake on removals stands")
async def get_brake(parts: Parts, directory: str, name: str) -> BrakeShown:
    return show_brake(await braking.status(parts.engine, await _find(parts, directory, name)))


@routes.put(_BRAKE, summary="Set the thresholds of the brake, or switch it off")
async def set_brake(parts: Parts, directory: str, name: str, wish: ThresholdsWish) -> BrakeShown:
    found = await _find(parts, directory, name)
    return show_brake(await braking.status(parts.engine, await braking.set_thresholds(parts.engine, found, wish.model_dump())))


@routes.get(f"{_BRAKE}/removals", summary="List the removals that the brake keeps")
async def list_removals(
    parts: Parts,
    directory: str,
    name: str,
    after: int = 0,
    limit: Limit = 100,
    exchange_id: str | None = None,
    source: str | None = None,
) -> RemovalPage:
    found, choice = await _find(parts, directory, name), Choice(None, exchange_id, source)
    some = await braking.list_removals(parts.engine, found, choice, after=after, limit=limit)
    return RemovalPage(items=[show_removal(one) for one in some], next=some[-1].position if len(some) == limit else None)


@routes.get(f"{_BRAKE}/kept", summary="List the resources that the destination keeps because their removal was discarded")
async def list_kept(parts: Parts, directory: str, name: str, after: str = "", limit: Limit = 100) -> KeptPage:
    some = await braking.list_kept(parts.engine, await _find(parts, directory, name), after=after, limit=limit)
    return KeptPage(items=[show_kept(one) for one in some], next=some[-1].resource_id if len(some) == limit else None)


@routes.post(f"{_BRAKE}/release", summary="Send removals that the brake keeps")
async def release_removals(parts: Parts, directory: str, name: str, wish: DecisionWish) -> DecisionShown:
    return await _decide(parts, await _find(parts, directory, name), wish, discards=False)


@routes.post(
    f"{_BRAKE}/discard",
    summary="Give up removals that the brake keeps",
    description="The destination keeps these resources; their removal is never sent, and what comes later of them is.",
)
async def discard_removals(parts: Parts, directory: str, name: str, wish: DecisionWish) -> DecisionShown:
    return await _decide(parts, await _find(parts, directory, name), wish, discards=True)


async def _decide(parts: Administration, found: Destination, wish: DecisionWish, *, discards: bool) -> DecisionShown:
    choice = braking.check_choice(wish.resource_ids, wish.exchange_id, wish.source, wish.all)
    plan = await braking.plan(parts.engine, found, choice, wish.samples)
    if wish.dry_run:
        return show_decision(plan, done=False)
    count = await braking.decide(parts.engine, found, choice, discards=discards)
    return show_decision(replace(plan, count=count), done=True)
