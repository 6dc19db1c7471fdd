"""The hub itself: its state, backups."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query

from scimhub.directory.errors import Conflict, Invalid
from scimhub.web.admin_models import BackupMade, Check, Finding, NewBackup, Status
from scimhub.web.administration import Administration, Parts

routes = APIRouter(tags=["hub"])

Deep = Annotated[bool, Query(alias="check", description="Let SQLite look through the whole file.")]


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
    findings = [Finding(verdict=one.verdict, subject=one.subject, sentence=one.sentence) for one in health.findings]
    return Check(
        problems=list(health.problems),
        size=health.size,
        wal_size=health.wal_size,
        free_disk=health.free_disk,
        findings=findings,
        nodes=health.nodes,
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
