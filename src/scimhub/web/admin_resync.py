"""What a destination is told without anything having happened: backfill and resend; and drift and resync of those that can
be asked what they have.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from scimhub.directory import sources
from scimhub.directory.errors import Absent, Conflict, Fault
from scimhub.distribution import braking, control, looking, restating, resync
from scimhub.distribution.delivery import Destination
from scimhub.distribution.drift import Unreadable
from scimhub.distribution.looking import Watch
from scimhub.web import naming
from scimhub.web.administration import Administration, Parts
from scimhub.web.resync_models import (
    ApplyWish,
    BackfillShown,
    DriftShown,
    Plans,
    PlanShown,
    PlanWish,
    ResendWish,
    Resent,
    show_drift,
    show_plan,
    show_progress,
)

_log = logging.getLogger(__name__)
routes = APIRouter(tags=["destinations"])
_ONE = "/directories/{directory}/destinations/{name}"
_NDJSON = "application/x-ndjson"
_LINES: dict[int | str, dict[str, Any]] = {200: {"content": {_NDJSON: {}}}}
# Seconds between two lines that say how far it is.
_TELL_EVERY = 0.5
Telling = Annotated[
    bool, Query(description="Answer with lines of JSON: progress while it is looked at, then result or problems.")
]


async def _find(parts: Administration, directory: str, name: str) -> Destination:
    return await control.get(parts.engine, await sources.get_directory(parts.store, directory), name)


async def _progress(parts: Administration, destination: Destination) -> BackfillShown:
    found = await restating.progress(parts.engine, destination)
    if found is None:
        raise Absent(f"Destination {destination.name} has no backfill.")
    return show_progress(found)


# --------------------------------------------------------------------------- backfill and resend


@routes.post(f"{_ONE}/backfill", status_code=201, summary="Tell a destination what everybody in its scope is")
async def begin_backfill(parts: Parts, directory: str, name: str) -> BackfillShown:
    found = await _find(parts, directory, name)
    await restating.begin(parts.engine, found)
    return await _progress(parts, found)


@routes.get(f"{_ONE}/backfill", summary="Show how far the last backfill is")
async def get_backfill(parts: Parts, directory: str, name: str) -> BackfillShown:
    return await _progress(parts, await _find(parts, directory, name))


@routes.post(f"{_ONE}/backfill/pause", summary="Hand out nothing more until it is resumed")
async def pause_backfill(parts: Parts, directory: str, name: str) -> BackfillShown:
    found = await _find(parts, directory, name)
    await restating.pause(parts.engine, found)
    return await _progress(parts, found)


@routes.post(f"{_ONE}/backfill/resume", summary="Go on where it was paused")
async def resume_backfill(parts: Parts, directory: str, name: str) -> BackfillShown:
    found = await _find(parts, directory, name)
    await restating.resume(parts.engine, found)
    return await _progress(parts, found)


@routes.post(f"{_ONE}/backfill/cancel", summary="End the backfill where it is")
async def cancel_backfill(parts: Parts, directory: str, name: str) -> BackfillShown:
    found = await _find(parts, directory, name)
    await restating.cancel(parts.engine, found)
    return await _progress(parts, found)


@routes.post(f"{_ONE}/resend", summary="Tell a destination what a person or a group is now, whatever it was told before")
async def resend(parts: Parts, directory: str, name: str, wish: ResendWish) -> Resent:
    home = await sources.get_directory(parts.store, directory)
    found = await control.get(parts.engine, home, name)
    ids = [await naming.id_of(parts, home, text) for text in wish.resources]
    overrules = await braking.count_overruled(parts.engine, found, ids)
    if wish.dry_run:
        return Resent(id=None, resources=ids, overrules=overrules)
    resent = await restating.resend(parts.engine, found, ids)
    return Resent(id=resent.ask, resources=list(resent.resource_ids), overrules=overrules)


# --------------------------------------------------------------------------- drift and resync


@routes.post(
    f"{_ONE}/drift",
    summary="Compare what a destination shows with what it was to have",
    description="Everything that it shows is read, page by page. Nothing is written.",
    response_model=DriftShown,
    responses=_LINES,
)
async def look_at(
    parts: Parts,
    directory: str,
    name: str,
    samples: Annotated[int, Query(ge=0, le=1000, description="So many of each category.")] = 5,
    values: Annotated[bool, Query(description="Show the values that differ, which are personal.")] = False,
    progress: Telling = False,
) -> Response:
    found = await _find(parts, directory, name)

    async def look(watch: Watch) -> BaseModel:
        drift, _ = await looking.look(parts.engine, found, watch)
        return show_drift(drift, samples, with_values=values)

    return await _answer(look, progress=progress)


@routes.post(
    f"{_ONE}/resync/plans",
    summary="Plan what would bring a destination to what it was to have",
    description="The destination is looked at as for a drift report. The plan does nothing by itself, and expires.",
    response_model=PlanShown,
    responses=_LINES,
)
async def plan_resync(parts: Parts, directory: str, name: str, wish: PlanWish, progress: Telling = False) -> Response:
    found = await _find(parts, directory, name)

    async def make(watch: Watch) -> BaseModel:
        return show_plan(await resync.make(parts.engine, found, removes_extra=wish.remove_extra, watch=watch))

    return await _answer(make, progress=progress)


@routes.get(f"{_ONE}/resync/plans", summary="List the plans that were made")
async def list_plans(parts: Parts, directory: str, name: str) -> Plans:
    found = await _find(parts, directory, name)
    return Plans(items=[show_plan(plan) for plan in await parts.engine.given.store.list_plans(found.key)])


@routes.get(f"{_ONE}/resync/plans/{{plan}}", summary="Show a plan")
async def get_plan(parts: Parts, directory: str, name: str, plan: str) -> PlanShown:
    return show_plan(await resync.get(parts.engine, await _find(parts, directory, name), plan))


@routes.post(f"{_ONE}/resync/apply", status_code=201, summary="Have a plan done; the backfill tells how far it is")
async def apply_plan(parts: Parts, directory: str, name: str, wish: ApplyWish) -> BackfillShown:
    found = await _find(parts, directory, name)
    await resync.apply(parts.engine, found, wish.plan, most_moved_percent=wish.most_moved_percent)
    return await _progress(parts, found)


# --------------------------------------------------------------------------- looking on


async def _answer(work: Callable[[Watch], Awaitable[BaseModel]], *, progress: bool) -> Response:
    """What the work finds, as JSON; or as lines that say how far it is before."""
    if progress:
        return StreamingResponse(_lines(work), media_type=_NDJSON)
    try:
        found = await work(_watch_nothing)
    except Unreadable as error:
        raise Conflict(f"The destination cannot be read now: {error}") from error
    return Response(found.model_dump_json(), media_type="application/json")


def _watch_nothing(phase: str, done: int, total: int) -> None:
    """For who waits without looking on."""


async def _lines(work: Callable[[Watch], Awaitable[BaseModel]]) -> AsyncIterator[bytes]:
    told: list[tuple[str, int, int]] = []
    task = asyncio.ensure_future(work(lambda phase, done, total: told.append((phase, done, total))))
    try:
        while not task.done():
            await asyncio.wait([task], timeout=_TELL_EVERY)
            if told:
                phase, done, total = told[-1]
                told.clear()
                yield orjson.dumps({"progress": {"phase": phase, "done": done, "total": total}}) + b"\n"
        yield _last_line(task)
    finally:
        task.cancel()


def _last_line(task: "asyncio.Future[BaseModel]") -> bytes:
    try:
        return b'{"result":' + task.result().model_dump_json().encode() + b"}\n"
    except Unreadable as error:
        problems = [f"The destination cannot be read now: {error}"]
    except Fault as error:
        problems = [str(error)]
    except Exception:
        # The answer has begun, so that no status can say it any more.
        _log.exception("looking at a destination failed")
        problems = ["The hub failed at it; its log says why."]
    return orjson.dumps({"problems": problems}) + b"\n"
