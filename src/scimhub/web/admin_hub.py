"""The hub itself: its state, the recorded exchanges, backups."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query

from scimhub import clock
from scimhub.directory.errors import Conflict, Invalid
from scimhub.exchanges.records import Exchange
from scimhub.web.admin_models import BackupMade, Check, Exchanges, ExchangeShown, NewBackup, Status
from scimhub.web.administration import Administration, Parts

routes = APIRouter(tags=["hub"])

Deep = Annotated[bool, Query(alias="check", description="Let SQLite look through the whole file.")]
InDirectory = Annotated[str | None, Query(description="Only those of this directory.")]
OfSource = Annotated[str | None, Query(description="Only those of this source.")]
ErrorsOnly = Annotated[bool, Query(description="Only those that were answered with 400 or more.")]
OfStatus = Annotated[int | None, Query(description="Only those that were answered with this status.")]
Since = Annotated[str | None, Query(description="Only those from this moment on (RFC 3339).")]
Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many, newest first.")]


@routes.get("/status", summary="Show the state of the hub")
async def get_status(parts: Parts, is_checked: Deep = False) -> Status:
    position = await parts.store.last_position()
    last = await parts.store.read_changes(position - 1, 1) if position else ()
    return Status(
        version=version("scimhub"),
        base_url=parts.base_url,
        log_epoch=parts.store.log_epoch,
        last_position=position,
        last_change=last[0].time if last else None,
        directories=len(await parts.store.list_directories()),
        check=await _check(parts) if is_checked else None,
    )


async def _check(parts: Administration) -> Check:
    health = await parts.store.check()
    return Check(problems=list(health.problems), size=health.size, wal_size=health.wal_size, free_disk=health.free_disk)


@routes.get("/exchanges", summary="List recorded exchanges, newest first")
async def list_exchanges(
    parts: Parts,
    directory: InDirectory = None,
    source: OfSource = None,
    status: OfStatus = None,
    errors_only: ErrorsOnly = False,
    since: Since = None,
    limit: Limit = 50,
) -> Exchanges:
    # Whoever asks has often just made the request in question.
    await parts.exchanges.flush()
    found = await parts.exchanges.list(
        directory=directory, source=source, status=status, errors_only=errors_only, since=_moment(since), limit=limit
    )
    return Exchanges(items=[_show(exchange) for exchange in found])


def _moment(since: str | None) -> str | None:
    if since is None:
        return None
    try:
        return clock.text(clock.parse(since))
    except ValueError:
        raise Invalid([f"since is {since[:80]!r}; it must be a time such as 2026-11-23T20:41:35Z."]) from None


def _show(exchange: Exchange) -> ExchangeShown:
    return ExchangeShown(
        id=exchange.id,
        time=exchange.time,
        directory=exchange.directory,
        source=exchange.source,
        method=exchange.method,
        path=exchange.path,
        status=exchange.status,
        duration_us=exchange.duration_us,
        rewrites=list(exchange.rewrites),
        dropped=list(exchange.dropped),
        resource_type=exchange.resource_kind,
        resource_id=exchange.resource_id,
        change_ids=list(exchange.change_ids),
        detail=exchange.detail,
    )


@routes.post("/backup", status_code=201, summary="Write a consistent copy of the database while the hub runs")
async def make_backup(parts: Parts, wish: NewBackup) -> BackupMade:
    path = _backup_path(parts, wish.file)
    if path.exists():
        raise Conflict(f"{path} is there already; a backup does not overwrite, so name another file.")
    if not path.parent.is_dir():
        raise Invalid([f"The directory {path.parent} is not there; create it first."])
    await parts.store.back_up(path)
    return BackupMade(file=str(path), size=path.stat().st_size)


def _backup_path(parts: Administration, file: str) -> Path:
    path = Path(file)
    if parts.is_local:
        if not path.is_absolute():
            raise Invalid([f"file is {file!r}; it must be an absolute path."])
        return path
    # Over the network nobody chooses where on this machine a file appears.
    if parts.backups is None or not file or path.name != file or file.startswith("."):
        raise Invalid([f"file is {file!r}; it must be a mere file name, which is kept beside the database."])
    parts.backups.mkdir(mode=0o700, exist_ok=True)
    return parts.backups / file
