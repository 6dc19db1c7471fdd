"""Serving until a signal comes: the sockets, the servers on them, and what is done now and then beside them."""

import asyncio
import gc
import logging
import os
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any, cast

import uvicorn

from scimhub import certificates, clock, telemetry
from scimhub.app import Hub, open_hub
from scimhub.directory.errors import Fault, StoreUnavailable
from scimhub.distribution import retention
from scimhub.settings import Settings
from scimhub.web.feed_api import FeedApi
from scimhub.web.protocol import Protocol

_logger = logging.getLogger(__name__)
# uvicorn tells of each server when it starts and stops; of the one for this machine that would be the same lines again.
_TOLD_ALREADY: ContextVar[bool] = ContextVar("told already", default=False)
_NOTE_TOKENS_EVERY = 30.0
_PURGE_EVERY = 3600.0
_UNLOCK_EVERY = 30.0
_LOOK_AT_CERTIFICATE_EVERY = 30.0


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code. Raises Fault when it cannot begin."""
    # Who renews a certificate does not know that the hub is just beginning, and reads the files soon.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    telemetry.configure_logging(settings.log_level, settings.log_format)
    # Before the database is opened: a start that cannot listen must not make a token that nobody sees.
    listening = bind(settings)
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        return runner.run(_serve(settings, listening, bind_local(settings.socket_path)))


def prepare(settings: Settings) -> None:
    """Bring the database to its shape, make the first token on an empty one, and say so; for workers that begin then."""

    async def open_once() -> None:
        async with open_hub(settings) as hub:
            _tell_first(settings.base_url, hub, settings)

    with asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(open_once())


def serve_on(settings: Settings, listening: socket.socket, local: socket.socket | None, *, begun: Callable[[], object]) -> int:
    """Serve on a socket that is bound, as one of several; ``begun`` is called when requests are answered.

    On ``local`` this one answers the verbs of the command line on this machine as well.
    """
    telemetry.configure_logging(settings.log_level, settings.log_format)
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        return runner.run(_serve(settings, listening, nullcontext(local), bootstrap=False, begun=begun))


def bind(settings: Settings) -> socket.socket:
    """The socket of the hub's address; raises Fault when it cannot be had, or not with the certificate that is set."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is not None and key is not None and (flaw := certificates.flaw(certificate, key)):
        raise Fault(flaw)
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


@contextmanager
def bind_local(path: Path) -> Iterator[socket.socket | None]:
    """The Unix socket of the command line's verbs, for as long as it is served; None where another hub answers at the path.

    What is there and answers nobody was left by a hub that is gone, and is taken over.
    """
    if _answers(path):
        _logger.warning(
            "another hub answers at the local socket, so that commands on this machine reach that one and not this; "
            "give each hub a data folder of its own with SCIMHUB_DATA",
            extra={"socket": str(path)},
        )
        yield None
        return
    bound, inode = _take_over(path)
    try:
        yield bound
    finally:
        bound.close()
        with suppress(FileNotFoundError):
            if path.stat().st_ino == inode:
                path.unlink()


def _take_over(path: Path) -> tuple[socket.socket, int]:
    """A socket that listens at the path in the place of what was there, and its inode."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    fresh = path.with_name(f"{path.name}.{os.getpid() % 10_000}")
    fresh.unlink(missing_ok=True)
    bound.bind(str(fresh))
    fresh.chmod(0o600)
    # Before it has its name: whoever looks there from now on finds somebody.
    bound.listen()
    inode = fresh.stat().st_ino
    fresh.rename(path)
    return bound, inode


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except BlockingIOError:
            # Somebody listens, and as many wait there as may.
            return True
        except OSError:
            return False
        return True


def _new_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


def _have_little_collected() -> None:
    # What is loaded by now stays; the collector need not look through it again and again.
    gc.collect()
    gc.freeze()
    # Requests leave hardly any cycles: to look for them at every 700 objects costs a thirtieth of the hub's work.
    gc.set_threshold(20_000, 20, 20)


class _Server(uvicorn.Server):
    """uvicorn's server without its signals: it raises them again when it ends, before we have closed the stores."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _stop_on_signals(server: uvicorn.Server, feed: FeedApi, signals: Iterable[signal.Signals]) -> None:
    """The first signal lets requests in flight end, the second one does not wait for them."""

    def stop() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True
        # Its readers wait for changes for as long as they like; the server would wait for them.
        feed.stop()

    for number in signals:
        asyncio.get_running_loop().add_signal_handler(number, stop)


async def _serve(
    settings: Settings,
    listening: socket.socket,
    local_binding: AbstractContextManager[socket.socket | None],
    *,
    bootstrap: bool = True,
    begun: Callable[[], object] = lambda: None,
) -> int:
    async with AsyncExitStack() as stack:
        hub = await stack.enter_async_context(open_hub(settings, bootstrap=bootstrap))
        _have_little_collected()
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        server = _Server(_tcp_config(settings, hub))
        await hub.engine.start()
        local = _Server(uvicorn.Config(hub.local_application, http=_protocol(hub), **_COMMON))
        local_socket = stack.enter_context(local_binding)
        tasks = [
            asyncio.create_task(_serve_locally(local, local_socket)),
            asyncio.create_task(_announce(settings, hub, server, listening, begun)),
            *_begin_upkeep(settings, hub, server.config, takes_signals=bootstrap),
        ]
        # Ctrl-C reaches all workers, and the first process tells them as well: twice would mean not to wait.
        _stop_on_signals(server, hub.feed, (signal.SIGTERM, signal.SIGINT) if bootstrap else (signal.SIGTERM,))
        try:
            await server.serve(sockets=[listening])
        finally:
            hub.application.is_ready = False
            await hub.engine.close()
            await hub.feed.close()
            local.should_exit = True
            await asyncio.wait([tasks[0]], timeout=settings.shutdown_grace)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with suppress(StoreUnavailable):  # worth less than an end in order
                await _note_used_tokens(hub)
        # A signal may come before the server has begun.
        return 0 if server.started else 1


# uvicorn's arguments are of many types.
_COMMON: dict[str, Any] = {
    "lifespan": "off",
    "access_log": False,
    "log_config": None,
    "server_header": False,
    # Proxies keep connections for a minute: whoever closes first must not be the hub.
    "timeout_keep_alive": 75,
    "ws": "none",
}


def _protocol(hub: Hub) -> Any:
    """What uvicorn calls for each connection, as it would call a class."""
    return partial(Protocol, reception=hub.reception)


def _tcp_config(settings: Settings, hub: Hub) -> uvicorn.Config:
    return uvicorn.Config(
        hub.application,
        http=_protocol(hub),
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        # DECISIONS 23: forwarded headers are believed from exactly the proxies that are named.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=[str(network) for network in settings.trusted_proxies],
        timeout_graceful_shutdown=max(1, round(settings.shutdown_grace)),
        backlog=2048,
        **_COMMON,
    )


async def _serve_locally(local: uvicorn.Server, at: socket.socket | None) -> None:
    _TOLD_ALREADY.set(True)
    if at is not None:
        await local.serve(sockets=[at])


def _is_news(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or not _TOLD_ALREADY.get()


async def _announce(
    settings: Settings, hub: Hub, server: uvicorn.Server, listening: socket.socket, begun: Callable[[], object]
) -> None:
    """Say where the hub listens, and on an empty database the token, once and on standard output only."""
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.02)
    host, port = listening.getsockname()[:2]
    root = settings.base_url if settings.port else settings.base_url.removesuffix(":0") + f":{port}"
    _logger.info("listening", extra={"url": root, "address": host, "port": port})
    _tell_first(root, hub, settings)
    begun()


def _tell_first(root: str, hub: Hub, settings: Settings) -> None:
    if hub.first is None:
        return
    name = hub.first.directory.name
    print(f"SCIM base URL: {root}/scim/{name}/v2", flush=True)
    if settings.bootstrap_token is None:
        print(f"Bearer token:  {hub.first.secret}", flush=True)
        print("The token is shown this once; it expires in a year. More: scimhub token create --help", flush=True)


def _begin_upkeep(settings: Settings, hub: Hub, config: uvicorn.Config, *, takes_signals: bool) -> list[asyncio.Task[None]]:
    """What is done now and then."""
    works = (
        repeat(partial(_note_used_tokens, hub), _NOTE_TOKENS_EVERY, "last use of tokens not noted"),
        repeat(hub.engine.unlock, _UNLOCK_EVERY, "missing keys not looked for"),
        repeat(partial(_purge_tombstones, hub), _PURGE_EVERY, "tombstones not purged"),
        repeat(partial(_purge_changes, hub, settings), _PURGE_EVERY, "changes not purged"),
        _renew_certificate(settings, config, takes_signals=takes_signals),
    )
    return [asyncio.create_task(work) for work in works]


async def _renew_certificate(settings: Settings, config: uvicorn.Config, *, takes_signals: bool) -> None:
    """Serve with a certificate renewed on disk, within half a minute, or at once after SIGHUP, which else does nothing."""
    asked = asyncio.Event()
    if takes_signals:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, asked.set)
    if settings.tls_certificate is None or settings.tls_key is None:
        return
    if not config.loaded:
        config.load()
    renewal = certificates.Renewal(cast(ssl.SSLContext, config.ssl), settings.tls_certificate, settings.tls_key)
    while True:
        # Not wait_for, which with Python 3.11 may forget that it was cancelled.
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_AT_CERTIFICATE_EVERY):
                await asked.wait()
        asked.clear()
        renewal.look()


async def repeat(act: Callable[[], Awaitable[object]], every: float, failed: str) -> None:
    """Do it now and every so many seconds, whatever comes of it; ``failed`` tells in the log that it was not done."""
    while True:
        try:
            await act()
        except StoreUnavailable as fault:
            _logger.warning(failed, extra={"reason": str(fault)})
        except Exception:
            # A defect of ours, perhaps in one destination: what comes next may well be done.
            _logger.exception(failed)
        await asyncio.sleep(every)


async def _note_used_tokens(hub: Hub) -> None:
    await hub.store.touch_tokens(hub.gatekeeper.collect_last_used())


async def _purge_tombstones(hub: Hub) -> None:
    """Forget what was deleted longer ago than tombstones are kept, a thousand at a time."""
    while await hub.store.purge_tombstones(clock.now_text()):
        pass


async def _purge_changes(hub: Hub, settings: Settings) -> None:
    """Keep the change log within its limits, let secrets go whose time has ended, and have senders do what is due."""
    limits = retention.Limits(settings.change_days, settings.change_count, settings.change_days_max)
    await retention.purge(hub.store, hub.store, limits, clock.now_text(), hub.pins.lowest, hub.engine.halted)
    await hub.engine.drop_expired_secrets()
    await hub.engine.tend()
