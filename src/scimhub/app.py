"""The composition root: settings in, a running hub out. The only place that knows all the parts."""

import asyncio
import contextlib
import gc
import logging
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from scimhub import clock, telemetry
from scimhub.directory import schemas, sources
from scimhub.directory.errors import Fault, StoreUnavailable
from scimhub.directory.listing import Paging
from scimhub.directory.schemas import Catalogs
from scimhub.scim.discovery import Offer
from scimhub.settings import Settings
from scimhub.sqlstore.exchanges import ExchangeFile
from scimhub.sqlstore.store import SqlStore, open_store
from scimhub.telemetry import Metrics
from scimhub.web.admin_api import build_admin_api
from scimhub.web.auth import Gatekeeper
from scimhub.web.scim_api import ScimApi
from scimhub.web.server import Application, Server
from scimhub.web.services import Limits, Services

_logger = logging.getLogger(__name__)
_NOTE_TOKENS_EVERY = 30.0
_PURGE_EVERY = 3600.0


@dataclass(frozen=True, slots=True)
class Hub:
    """An open hub. ``application`` answers over TCP; ``local_application`` over the Unix socket, to who owns the files."""

    store: SqlStore
    exchanges: ExchangeFile
    gatekeeper: Gatekeeper
    application: Server
    local_application: Application
    # Made on an empty database; its secret is shown once.
    first: sources.FirstGrant | None


@contextlib.asynccontextmanager
async def open_hub(settings: Settings, *, bootstrap: bool = True) -> AsyncIterator[Hub]:
    """Open the stores, put the parts together and close them at the end, with nothing acknowledged left unwritten.

    With ``bootstrap`` an empty database gets its first directory, source and token. Raises StoreUnusable.
    """
    settings.data_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = open_store(
        settings.database,
        new_id=clock.new_id,
        now=clock.now_text,
        random=secrets.token_bytes,
        scan_limit=settings.scan_limit,
        tombstone_days=settings.tombstone_days,
    )
    with contextlib.ExitStack() as stack:
        stack.callback(store.close)
        exchanges = ExchangeFile.open(
            settings.database, keep_days=settings.exchange_days, keep_count=settings.exchange_count, now=clock.now_text
        )
        stack.callback(exchanges.close)
        first = None
        if bootstrap:
            given = settings.bootstrap_token
            first = await sources.bootstrap(store, None if given is None else given.get_secret_value(), clock.now_text())
        for directory in await store.list_directories():
            await schemas.finish_jobs(store, directory)
        yield _build(settings, store, exchanges, first)


def _build(settings: Settings, store: SqlStore, exchanges: ExchangeFile, first: sources.FirstGrant | None) -> Hub:
    metrics = Metrics()
    gatekeeper = Gatekeeper(store, time.monotonic)
    catalogs = Catalogs(store)
    services = _services(settings, store, exchanges, gatekeeper, catalogs, metrics)
    admin_token = None if settings.admin_token is None else settings.admin_token.get_secret_value()

    def admin(*, trusted: bool) -> Application:
        return build_admin_api(
            store=store,
            catalogs=catalogs,
            exchanges=exchanges,
            base_url=settings.base_url,
            admin_token=admin_token,
            trusted=trusted,
            backups=settings.data_directory / "backups",
        )

    server = Server(ScimApi(services), admin(trusted=False), metrics, store.check_alive, clock.new_id)
    return Hub(store, exchanges, gatekeeper, server, admin(trusted=True), first)


def _services(
    settings: Settings,
    store: SqlStore,
    exchanges: ExchangeFile,
    gatekeeper: Gatekeeper,
    catalogs: Catalogs,
    metrics: Metrics,
) -> Services:
    return Services(
        store=store,
        gatekeeper=gatekeeper,
        catalogs=catalogs,
        limits=Limits(settings.body_limit, settings.body_limit_groups, settings.body_limit_bulk, settings.bulk_max_operations),
        paging=Paging(store.cursor_secret, settings.page_size, settings.page_size_max, settings.cursor_lifetime, time.time),
        offer=Offer(
            bulk_operations=settings.bulk_max_operations,
            bulk_payload=settings.body_limit_bulk,
            page_size=settings.page_size,
            page_size_max=settings.page_size_max,
            cursor_lifetime=settings.cursor_lifetime,
        ),
        recorder=exchanges,
        metrics=metrics,
        now=clock.now_text,
        new_id=clock.new_id,
        discovery_is_public=settings.discovery_public,
        public_url=settings.public_url,
    )


# --------------------------------------------------------------------------- serving


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. Raises Fault when it cannot begin."""
    telemetry.configure_logging(settings.log_level, settings.log_format)
    # Before the database is opened: a start that cannot listen must not make a token that nobody sees.
    listening = _bind(settings)
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        return runner.run(_serve(settings, listening))


def _bind(settings: Settings) -> socket.socket:
    """The socket of the hub's address; raises Fault when it cannot be had."""
    host = settings.host.strip("[]")
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, settings.port))
    except OSError as error:
        bound.close()
        where = f"{host}, port {settings.port}"
        raise Fault(f"The hub cannot listen on {where}: {error.strerror}; set SCIMHUB_HOST or SCIMHUB_PORT.") from error
    return bound


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


class _Server(uvicorn.Server):
    """uvicorn's server without its signals: it raises them again when it ends, before we have closed the stores."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _stop_on_signals(server: uvicorn.Server) -> None:
    """The first signal lets requests in flight end, the second one does not wait for them."""

    def stop() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)


async def _serve(settings: Settings, listening: socket.socket) -> int:
    async with open_hub(settings) as hub:
        # What is loaded by now stays; the collector need not look through it again and again.
        gc.collect()
        gc.freeze()
        # Requests leave hardly any cycles: to look for them at every 700 objects costs a thirtieth of the hub's work.
        gc.set_threshold(20_000, 20, 20)
        server = _Server(_tcp_config(settings, hub.application))
        local_socket = _bind_local(settings.socket_path)
        local = _Server(uvicorn.Config(hub.local_application, **_COMMON))
        tasks = [
            asyncio.create_task(local.serve(sockets=[local_socket])),
            asyncio.create_task(_announce(settings, hub, server, listening)),
            asyncio.create_task(_note_used_tokens(hub)),
            asyncio.create_task(_purge_tombstones(hub)),
        ]
        _stop_on_signals(server)
        try:
            await server.serve(sockets=[listening])
        finally:
            hub.application.is_ready = False
            local.should_exit = True
            await asyncio.wait([tasks[0]], timeout=settings.shutdown_grace)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            settings.socket_path.unlink(missing_ok=True)
            await _note_once(hub)
        # A signal may come before the server has begun.
        return 0 if server.started else 1


# uvicorn's arguments are of many types.
_COMMON: dict[str, Any] = {
    "lifespan": "off",
    "access_log": False,
    "log_config": None,
    "server_header": False,
    "http": "httptools",
    "ws": "none",
}


def _tcp_config(settings: Settings, application: Application) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        # DECISIONS 23: forwarded headers are believed from exactly the proxies that are named.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=[str(network) for network in settings.trusted_proxies],
        timeout_graceful_shutdown=max(1, round(settings.shutdown_grace)),
        backlog=2048,
        **_COMMON,
    )


def _bind_local(path: Path) -> socket.socket:
    """The Unix socket of the CLI's verbs. The store's lock is held, so whatever lies there is left over."""
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    bound.bind(str(path))
    path.chmod(0o600)
    return bound


async def _announce(settings: Settings, hub: Hub, server: uvicorn.Server, listening: socket.socket) -> None:
    """Say where the hub listens, and on an empty database the token, once and on standard output only."""
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.02)
    port = listening.getsockname()[1]
    root = settings.base_url if settings.port else settings.base_url.removesuffix(":0") + f":{port}"
    _logger.info("listening", extra={"url": root})
    if hub.first is None:
        return
    name = hub.first.directory.name
    print(f"SCIM base URL: {root}/scim/{name}/v2", flush=True)
    if settings.bootstrap_token is None:
        print(f"Bearer token:  {hub.first.secret}", flush=True)
        print("The token is shown this once; it expires in a year. More: scimhub token create --help", flush=True)


async def _note_used_tokens(hub: Hub) -> None:
    while True:
        await asyncio.sleep(_NOTE_TOKENS_EVERY)
        await _note_once(hub)


async def _note_once(hub: Hub) -> None:
    try:
        await hub.store.touch_tokens(hub.gatekeeper.collect_last_used())
    except StoreUnavailable as fault:
        # When a token was last used is worth less than the hub's going on.
        _logger.warning("last use of tokens not noted", extra={"reason": str(fault)})


async def _purge_tombstones(hub: Hub) -> None:
    """Forget what was deleted longer ago than tombstones are kept, a thousand at a time."""
    while True:
        try:
            while await hub.store.purge_tombstones(clock.now_text()):
                pass
        except StoreUnavailable as fault:
            _logger.warning("tombstones not purged", extra={"reason": str(fault)})
        await asyncio.sleep(_PURGE_EVERY)
