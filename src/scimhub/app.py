"""The composition root: settings in, a running hub out. The only place that knows all the parts."""

import contextlib
import logging
import os
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from scimhub import clock, destinations
from scimhub.destinations.egress import Policy
from scimhub.directory import schemas, sources
from scimhub.directory.errors import Conflict, StoreUnusable
from scimhub.directory.indexes import Builder
from scimhub.directory.listing import Paging
from scimhub.directory.schemas import Catalogs
from scimhub.distribution import failpoints, key_file, resealing, sealing
from scimhub.distribution.engine import Engine
from scimhub.distribution.outlook import Place
from scimhub.distribution.pump import Pump
from scimhub.distribution.sealing import Key, Keyring
from scimhub.distribution.snapshot import Pins
from scimhub.distribution.surroundings import Surroundings
from scimhub.scim.discovery import Offer
from scimhub.settings import Settings
from scimhub.sqlstore.exchanges import Exchanges, open_exchanges
from scimhub.sqlstore.store import SqlStore, open_store
from scimhub.telemetry import Metrics
from scimhub.web.admin_api import build_admin_api
from scimhub.web.auth import Gatekeeper
from scimhub.web.contract_api import ContractApi
from scimhub.web.feed_api import FeedApi
from scimhub.web.malformed import Malformed
from scimhub.web.reception import Reception
from scimhub.web.scim_api import ScimApi
from scimhub.web.server import Application, Server
from scimhub.web.services import Limits, Services

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hub:
    """An open hub. ``application`` answers over TCP; ``local_application`` over the Unix socket, to who owns the files."""

    store: SqlStore
    exchanges: Exchanges
    gatekeeper: Gatekeeper
    engine: Engine
    feed: FeedApi
    # What running snapshots need retention to keep.
    pins: Pins
    application: Server
    local_application: Application
    # Of all connections.
    reception: Reception
    # Made on an empty database; its secret is shown once.
    first: sources.FirstGrant | None


@contextlib.asynccontextmanager
async def open_hub(settings: Settings, *, bootstrap: bool = True, writes: bool = True) -> AsyncIterator[Hub]:
    """Open the stores, put the parts together and close them at the end, with nothing acknowledged left unwritten.

    With ``bootstrap`` an empty database gets its first directory, source and token. Without ``writes`` what is there is shown
    as it is: nothing is migrated, made or gone on with. Raises StoreUnusable, KeysUnusable.
    """
    if writes:
        _make_directories(settings)
    store = await _open_store(settings, writes=writes)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        keyring = await open_keyring(settings, store, makes_key=bootstrap, writes=writes)
        exchanges = await _open_exchanges(settings, writes=writes)
        stack.push_async_callback(exchanges.close)
        first = None
        if bootstrap:
            given = settings.bootstrap_token
            with contextlib.suppress(Conflict):  # another node, which begins at the same time, was faster
                first = await sources.bootstrap(store, None if given is None else given.get_secret_value(), clock.now_text())
        catalogs = Catalogs(store)
        if not writes:
            yield _build(settings, store, exchanges, catalogs, lambda: None, keyring, first)
            return
        for directory in await store.list_directories():
            await schemas.finish_jobs(store, directory)
        builder = Builder(store, catalogs)
        stack.push_async_callback(builder.close)
        hub = _build(settings, store, exchanges, catalogs, builder.wake, keyring, first)
        await _seal(hub.engine.given)
        yield hub


async def _open_store(settings: Settings, *, writes: bool) -> SqlStore:
    store = await open_store(
        settings.database_file or settings.database,
        new_id=clock.new_id,
        now=clock.now_text,
        random=secrets.token_bytes,
        scan_limit=settings.scan_limit,
        tombstone_days=settings.tombstone_days,
        connections=settings.database_connections,
        direct=settings.database_direct,
        writes=writes,
    )
    if store.migrated_from is not None:
        _log.info("database migrated", extra={"before": store.migrated_from})
    return store


async def _open_exchanges(settings: Settings, *, writes: bool) -> Exchanges:
    return await open_exchanges(
        settings.database_file or settings.database,
        content=settings.exchange_content,
        body_limit=settings.exchange_body_limit,
        keep_days=settings.exchange_days,
        keep_count=settings.exchange_count,
        keep_bytes=settings.exchange_megabytes * 1024 * 1024,
        now=clock.now_text,
        writes=writes,
    )


def _make_directories(settings: Settings) -> None:
    file = settings.database_file
    for directory in (settings.data_directory, *([] if file is None else [file.parent])):
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            problem = f"The directory {directory} cannot be made: {error.strerror}"
            raise StoreUnusable(
                f"{problem}; make it for the user of the hub, or set SCIMHUB_DATABASE or SCIMHUB_DATA."
            ) from error


async def _seal(given: Surroundings) -> None:
    """Seal what an earlier program left open."""
    if sealed := await resealing.seal_what_is_open(given):
        _log.info("secrets sealed", extra={"secrets": sealed, "key": given.keyring.newest})


async def open_keyring(settings: Settings, store: SqlStore, *, makes_key: bool, writes: bool = True) -> Keyring:
    """The keys with which secrets are sealed. Raises KeysUnusable.

    Where none are given one is made: at once with ``makes_key``, else when the first secret is sealed, for whoever only looks
    writes nothing. Into a database of many nodes it goes at once, unless nothing ``writes``.
    """
    own = settings.own_keys_file
    if own is not None:
        if makes_key and not own.exists():
            key_file.make(own, new_sealing_key())
        return Keyring(partial(key_file.read_if_made, own), partial(key_file.add, own), new_sealing_key)
    given: Callable[[], list[Key]] = list
    if settings.secret_keys:
        keys = [sealing.parse_key(written.get_secret_value()) for written in settings.secret_keys]
        given = keys.copy
    elif settings.secret_keys_file is not None:
        given = partial(key_file.read, settings.secret_keys_file)
    if settings.database_file is not None:
        return Keyring(given)
    # Nodes keep nothing of their own, so that without given keys the one that all of them have is in the database.
    makes_shared = writes and not settings.has_keys
    shared = await store.shared_key(sealing.write_key(new_sealing_key()) if makes_shared else None)
    if not settings.has_keys:
        _log.warning("the key of secrets is in the database itself", extra={"next": "scimhub secrets new-key"})
    return Keyring(lambda: [*given(), *([] if shared is None else [sealing.parse_key(shared)])])


def new_sealing_key() -> Key:
    """A key that there never was, named after the day."""
    return sealing.new_key(clock.now_text()[:10], secrets.token_bytes)


def _build(
    settings: Settings,
    store: SqlStore,
    exchanges: Exchanges,
    catalogs: Catalogs,
    wake_builder: Callable[[], None],
    keyring: Keyring,
    first: sources.FirstGrant | None,
) -> Hub:
    metrics = Metrics()
    gatekeeper = Gatekeeper(store, time.monotonic)
    services = _services(settings, store, exchanges, gatekeeper, catalogs, metrics)
    engine = _engine(settings, store, exchanges, catalogs, keyring)
    _measure_destinations(metrics, engine)
    reception = Reception()
    _measure_losses(metrics, exchanges, reception.malformed)
    pins = Pins(store, engine.given.node)
    feed = FeedApi(
        store, catalogs, pins, root_url=settings.base_url, now=clock.now_text, new_id=clock.new_id, monotonic=time.monotonic
    )
    admin_token = None if settings.admin_token is None else settings.admin_token.get_secret_value()

    def admin(*, trusted: bool) -> Application:
        return build_admin_api(
            store=store,
            catalogs=catalogs,
            exchanges=exchanges,
            engine=engine,
            base_url=settings.base_url,
            admin_token=admin_token,
            trusted=trusted,
            backups=settings.data_directory / "backups",
            wake_builder=wake_builder,
        )

    contract = ContractApi(settings.base_url, clock.new_id)
    server = Server(ScimApi(services), admin(trusted=False), feed, contract, metrics, store.check_alive, clock.new_id)
    return Hub(store, exchanges, gatekeeper, engine, feed, pins, server, admin(trusted=True), reception, first)


# Name, sort, description, and how it is read of a pump when the log has come so far.
_Reading = tuple[str, Literal["counter", "gauge"], str, Callable[[Pump, int], float]]
_OF_DESTINATIONS: tuple[_Reading, ...] = (
    ("destination_lag", "gauge", "Positions that a destination is behind.", lambda pump, head: max(0, head - pump.cursor)),
    ("destination_lag_seconds", "gauge", "Age of the oldest change that waits.", lambda pump, _: pump.age),
    ("destination_held", "gauge", "Resources whose delivery failed and waits.", lambda pump, _: pump.held),
    ("destination_brake_held", "gauge", "Resources whose removal the brake keeps.", lambda pump, _: pump.brake_held),
    (
        "destination_brake_tripped",
        "gauge",
        "1 while no removal is sent before an administrator has looked.",
        lambda pump, _: pump.brake.trip is not None,
    ),
    (
        "destination_oldest_leaver_seconds",
        "gauge",
        "Age of the oldest deletion or deactivation that waits and that the brake does not keep.",
        lambda pump, _: pump.leaver_age,
    ),
    ("destination_in_flight", "gauge", "Messages on their way.", lambda pump, _: pump.on_the_way),
    ("destination_concurrency", "gauge", "Messages that may be on their way.", lambda pump, _: pump.flow.limit),
    ("destination_is_failing", "gauge", "1 while nothing but a probe is sent.", lambda pump, _: pump.breaker.state != "closed"),
    ("destination_delivered", "counter", "Changes that a destination confirmed.", lambda pump, _: pump.delivered),
    ("destination_failures", "counter", "Attempts that failed.", lambda pump, _: pump.failed),
)


def _measure_destinations(metrics: Metrics, engine: Engine) -> None:
    for name, sort, description, what in _OF_DESTINATIONS:
        metrics.add_family(sort, name, description, ["directory", "destination"], partial(engine.read, what))


def _measure_losses(metrics: Metrics, exchanges: Exchanges, malformed: Malformed) -> None:
    dropped = "Exchanges and attempts that were not recorded."
    metrics.add_family("counter", "exchanges_dropped", dropped, [], lambda: [([], exchanges.dropped)])
    refused = "What was no HTTP request, or had too large a head."
    metrics.add_family("counter", "requests_malformed", refused, [], lambda: [([], malformed.count)])


def _engine(settings: Settings, store: SqlStore, exchanges: Exchanges, catalogs: Catalogs, keyring: Keyring) -> Engine:
    reach = failpoints.parse(os.environ.get(failpoints.VARIABLE, ""))
    if reach is not failpoints.reach_nothing:
        store.arm(reach)
    policy = Policy(
        allow_private=settings.egress_private,
        allow_loopback=settings.egress_loopback,
        allow_link_local=settings.egress_link_local,
        public_only=settings.egress_public_only,
        allowed=settings.egress_allowed,
        denied=settings.egress_denied,
    )
    place = Place(catalogs, settings.base_url, store.log_epoch)
    given = Surroundings(
        store=store,
        reader=store,
        attempts=exchanges,
        now=time.time,
        chance=random.random,
        random=secrets.token_bytes,
        new_id=clock.new_id,
        keyring=keyring,
        reach=reach,
        node=clock.new_id(),
        lease_seconds=settings.lease_seconds,
        monotonic=time.monotonic,
    )
    return Engine(destinations.kinds(policy, time.time, store), place, given)


def _services(
    settings: Settings,
    store: SqlStore,
    exchanges: Exchanges,
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
