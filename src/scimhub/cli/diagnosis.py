"""What ``scimhub doctor`` looks at. Each finding is a verdict and a sentence; a bad one says what to do."""

import asyncio
import os
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apsw

from scimhub import certificates, clock
from scimhub import settings as settings_of
from scimhub.cli import connection, deliveries, output
from scimhub.cli.connection import NotRunning, Refused
from scimhub.cli.finding import Finding
from scimhub.directory.errors import Fault, StoreEmpty, StoreUnusable
from scimhub.settings import Settings, SettingsError
from scimhub.sqlstore.sqlite import migrate

_MIB = 1024 * 1024
_LITTLE_DISK = 1024 * _MIB
_NO_DISK = 100 * _MIB


def examine(config: Path | None) -> list[Finding]:
    """Everything there is to find, in the order in which one would mend it."""
    try:
        settings = settings_of.load(config)
    except SettingsError as error:
        return [Finding("FAIL", "settings", problem) for problem in error.problems]
    findings = [Finding("OK", "settings", "The settings that this command reads are sound.")]
    findings += [] if settings.database_file is None else [_sqlite()]
    findings += [*_directory(settings.data_directory), *_certificate(settings)]
    status, found = asyncio.run(_database(settings))
    findings += found
    findings += _keys(settings)
    if status is not None:
        findings.append(asyncio.run(_secrets(settings)))
        findings += asyncio.run(deliveries.examine(settings))
    findings.append(_disk(settings, status))
    findings.append(_clock(status))
    return findings


def _sqlite() -> Finding:
    version = apsw.sqlite_lib_version()
    try:
        migrate.check_sqlite(version)
    except StoreUnusable as error:
        return Finding("FAIL", "sqlite", f"{error} Install a newer apsw.")
    return Finding("OK", "sqlite", f"SQLite {version} keeps what it commits.")


def _directory(directory: Path) -> Iterator[Finding]:
    if not os.path.exists(directory):
        yield Finding("OK", "files", f"The directory {directory} is not there yet; the first start makes it.")
        return
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("FAIL", "files", f"This user cannot write in {directory}; give the directory to the user of the hub.")
        return
    if stat.S_IMODE(directory.stat().st_mode) & 0o077:
        yield Finding(
            "WARN", "files", f"Others may look into {directory}, which holds people's data; run: chmod 700 {directory}"
        )
        return
    yield Finding("OK", "files", f"Only its owner may look into {directory}.")


def _certificate(settings: Settings) -> Iterator[Finding]:
    if settings.tls_certificate is None or settings.tls_key is None:
        return
    if flaw := certificates.flaw(settings.tls_certificate, settings.tls_key):
        yield Finding("FAIL", "certificate", flaw)
        return
    end = certificates.expiry(settings.tls_certificate)
    if end is None:
        yield Finding("WARN", "certificate", f"The time of expiry of {settings.tls_certificate} cannot be read.")
    elif end <= datetime.now(UTC):
        yield Finding("FAIL", "certificate", f"{settings.tls_certificate} expired on {clock.text(end)}; get a new one.")
    elif end <= datetime.now(UTC) + timedelta(days=14):
        yield Finding("WARN", "certificate", f"{settings.tls_certificate} expires on {clock.text(end)}; renew it now.")
    else:
        yield Finding("OK", "certificate", f"{settings.tls_certificate} holds until {clock.text(end)}.")


async def _database(settings: Settings) -> tuple[dict[str, Any] | None, list[Finding]]:
    """The state of the hub that runs, else of its database."""
    request = connection.request_of("GET", "/status", {"check": "true"})
    findings: list[Finding] = []
    try:
        try:
            status = await connection.ask_running(settings, request)
            findings += _running(settings, status)
        except NotRunning:
            findings = [_standing_still(settings)]
            file = settings.database_file
            if file is not None and not file.exists():
                text = f"There is no database {file} yet; the first start makes it."
                return None, [*findings, Finding("OK", "database", text)]
            status = await connection.ask_database(settings, request)
            findings = [_standing_still(settings, status["check"]["nodes"])]
    except StoreEmpty as error:
        then = "" if settings.database_file else " Run doctor again then: it examines the server as well."
        return None, [*findings, Finding("OK", "database", f"{error}{then}")]
    except Refused as error:
        return None, [*findings, Finding("FAIL", "database", " ".join(error.problems))]
    except Fault as error:
        return None, [*findings, Finding("FAIL", "database", str(error))]
    if status["check"]["problems"]:
        text = (
            f"The database is damaged ({status['check']['problems'][0]}); restore a backup with: scimhub restore FILE --force"
        )
        return status, [*findings, Finding("FAIL", "database", text)]
    size = (status["check"]["size"] + status["check"]["wal_size"]) / _MIB
    changes = output.counted(status["last_position"], "change")
    text = f"{settings.database_shown} is sound and up to date: {size:.1f} MiB, {changes}."
    of_server = [Finding(**found) for found in status["check"]["findings"]]
    return status, [*findings, Finding("OK", "database", text), *of_server]


def _keys(settings: Settings) -> Iterator[Finding]:
    """Where the keys are with which secrets of destinations are sealed, and against whom that helps."""
    path = settings.secret_keys_file or settings.own_keys_file
    if path is None and not settings.secret_keys:
        yield Finding(
            "WARN",
            "keys",
            "The key of the secrets of destinations is in the database itself: whoever can read that, or a dump of it, can "
            "open all of them. Make one with scimhub secrets new-key, set secret_keys or secret_keys_file on every node, and "
            "run scimhub secrets rotate.",
        )
        return
    if path is None:
        helps = "they protect the secrets of destinations in the database and its backups"
        yield Finding("OK", "keys", f"The keys come from the settings; {helps}, not from who may read the hub's settings.")
        return
    try:
        mode = path.stat().st_mode
    except PermissionError:
        yield Finding("FAIL", "keys", f"This user may not look at the key file {path}; run the command as the user of the hub.")
        return
    except FileNotFoundError:
        yield Finding("OK", "keys", f"There is no key file {path} yet; the first start makes it.")
        return
    if stat.S_IMODE(mode) & 0o077:
        yield Finding("WARN", "keys", f"Others may read the key file {path}; run: chmod 600 {path}")
    where = "beside the database, " if path == settings.own_keys_file else ""
    yield Finding(
        "OK",
        "keys",
        f"The keys lie {where}in {path}: a backup or a copied database shows no secret of a destination, but whoever can read "
        "that file as well can open them all. Keep a copy of it apart; without it those secrets are lost.",
    )


async def _secrets(settings: Settings) -> Finding:
    """Whether all secrets can be opened."""
    request = connection.request_of("GET", "/secrets")
    try:
        try:
            found = await connection.ask_running(settings, request)
        except NotRunning:
            found = await connection.ask_database(settings, request)
    except (Refused, Fault) as error:
        return Finding("FAIL", "secrets", str(error))
    lost = [f"{key['unreadable']} under {key['key_id']}" for key in found["items"] if key["unreadable"]]
    if lost:
        text = f"Secrets of destinations cannot be opened: {', '.join(lost)}; give these keys, or rotate the secrets."
        return Finding("FAIL", "secrets", text)
    total = sum(key["secrets"] for key in found["items"])
    if total <= 1:
        return Finding("OK", "secrets", "The one secret can be opened." if total else "No destination has a secret.")
    return Finding("OK", "secrets", f"All {total} secrets of destinations can be opened.")


def _running(settings: Settings, status: dict[str, Any]) -> Iterator[Finding]:
    yield Finding(
        "OK",
        "hub",
        f"The hub runs, version {status['version']}, and answers on its socket; it is reached at {status['base_url']}.",
    )
    if status["base_url"] != settings.base_url:
        yield Finding(
            "WARN",
            "hub",
            f"By the settings that this command reads it would be reached at {settings.base_url}: give this command the hub's "
            "--config and environment, or restart the hub if they were changed.",
        )


def _standing_still(settings: Settings, nodes: int | None = None) -> Finding:
    """What there is to say where no hub answers; ``nodes`` are those that the database knows, None before it was asked."""
    if settings.socket_path.exists():
        left_over = f"Nobody answers on {settings.socket_path}; it is left over, and the next start removes it."
        return Finding("WARN", "hub", f"{left_over} {_elsewhere(nodes)}" if nodes else left_over)
    if nodes:
        text = (
            f"No hub answers on this machine at {settings.socket_path}. {_elsewhere(nodes)} If one of them is on this machine, "
            "give this command its --config and environment."
        )
        return Finding("OK", "hub", text)
    # Of a server that cannot be asked nobody knows whether others serve from it.
    is_known = settings.database_file is not None or nodes is not None
    what = "The hub does not run, and nothing is delivered" if is_known else "No hub answers on this machine"
    return Finding("OK", "hub", f"{what}; start it with scimhub serve, and reach it at {settings.base_url}.")


def _elsewhere(nodes: int) -> str:
    return f"The database knows {output.counted(nodes, 'node')}, seen within the last minute."


def _disk(settings: Settings, status: dict[str, Any] | None) -> Finding:
    directory = next(
        path for path in (settings.data_directory, *settings.data_directory.absolute().parents) if os.path.exists(path)
    )
    free = shutil.disk_usage(directory).free
    shown = f"{free / _MIB:.0f} MiB are free at {settings.data_directory}"
    if free < _NO_DISK:
        return Finding("FAIL", "disk", f"Only {shown}; writes will soon fail, so make room.")
    # A backup beside the database needs as much again.
    if free < max(_LITTLE_DISK, status["check"]["size"] if status is not None else 0):
        return Finding("WARN", "disk", f"{shown}; that is little for a growing database and its backup.")
    return Finding("OK", "disk", f"{shown}.")


def _clock(status: dict[str, Any] | None) -> Finding:
    now = clock.now_text()
    newest = status["last_change"] if status is not None else None
    if newest is not None and newest > now:
        sentence = f"The clock says {now}, but the newest change was made at {newest}; set the clock, best with NTP."
        return Finding("FAIL", "clock", sentence)
    return Finding("OK", "clock", f"The clock says {now} (UTC), which is after every change.")
