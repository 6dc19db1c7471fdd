"""A real store in which tests write as an identity provider would, and what a feed of it must show."""

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import orjson
import uvicorn

from scimhub import clock
from scimhub.directory import resources, sources
from scimhub.directory.records import Directory, Source
from scimhub.directory.resources import Caller
from scimhub.directory.schemas import Catalogs
from scimhub.distribution import feed, snapshot
from scimhub.distribution.delivery import Destination, Subscription
from scimhub.distribution.feed import View
from scimhub.distribution.snapshot import Pins
from scimhub.scim import dialects
from scimhub.scim.catalog import Catalog
from scimhub.scim.notes import Notes
from scimhub.sqlstore.store import SqlStore, open_file_store
from scimhub.web.feed_api import FeedApi, Limits
from tests.keys import keep_secret
from tests.servers.running import PATIENCE

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
ROOT = "http://hub.example"
TOKEN = "token-of-the-first-feed-of-the-tests"

Json = dict[str, Any]
Result = TypeVar("Result")


def open_sqlite(folder: Path, name: str = "hub.db") -> SqlStore:
    return open_file_store(folder / name, new_id=clock.new_id, now=clock.now_text, random=os.urandom)


@dataclass
class Place:
    """One directory with one source, whose returning people get their old ids."""

    store: SqlStore
    directory: Directory
    source: Source
    catalog: Catalog
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    async def open(cls, store: SqlStore, name: str = "acme") -> "Place":
        directory = await sources.create_directory(store, name, clock.now_text())
        source = await sources.create_source(store, directory, "okta", "lenient", "external_id", clock.now_text())
        return cls(store, directory, source, await Catalogs(store).current(directory.key))

    def caller(self) -> Caller:
        exchange_id = f"exchange-{next(self.numbers)}"
        return Caller(self.directory, self.source, dialects.LENIENT, exchange_id, clock.now_text(), Catalogs(self.store))

    async def user(self, name: str, **attributes: Any) -> str:
        return await self.create("User", {"schemas": [USER], "userName": name, **attributes})

    async def group(self, name: str, *members: str, **attributes: Any) -> str:
        listed = [{"value": member} for member in members]
        return await self.create("Group", {"schemas": [GROUP], "displayName": name, "members": listed, **attributes})

    async def create(self, kind: str, body: Json) -> str:
        written = await resources.create(self.store, self.caller(), self.catalog.kinds[kind], body, Notes(), clock.new_id)
        return written.resource.id

    async def patch(self, kind: str, id: str, *operations: Json) -> None:
        body = {"schemas": [PATCH_OP], "Operations": list(operations)}
        await resources.modify(self.store, self.caller(), self.catalog.kinds[kind], id, body, Notes(), None)

    async def set(self, id: str, kind: str = "User", **values: Any) -> None:
        await self.patch(kind, id, {"op": "replace", "value": values})

    async def members(self, id: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> None:
        operations: list[Json] = []
        if add:
            operations.append({"op": "add", "path": "members", "value": [{"value": member} for member in add]})
        operations += [{"op": "remove", "path": f'members[value eq "{member}"]'} for member in remove]
        await self.patch("Group", id, *operations)

    async def delete(self, kind: str, id: str) -> None:
        await resources.delete(self.store, self.caller(), self.catalog.kinds[kind], id, None)

    async def title_of(self, id: str) -> str | None:
        found = await self.store.find(self.directory.key, "User", id, self.source.key)
        assert found is not None
        title: str | None = orjson.loads(found.document).get("title")
        return title

    # ----------------------------------------------------------------- feeds

    async def feed(
        self,
        name: str = "warehouse",
        token: str = TOKEN,
        *,
        subscription: Subscription | None = None,
        cursor: int | None = None,
    ) -> Destination:
        now = clock.now_text()
        made = await self.store.create_destination(
            self.directory.key, name, "feed", {}, subscription or Subscription(), cursor, now
        )
        await keep_secret(self.store, made.key, "token", sources.digest_of(token), token[-4:], now)
        return made

    async def again(self, destination: Destination) -> Destination:
        """The destination as the store has it now."""
        found = await self.store.find_destination(destination.directory, destination.name)
        assert found is not None
        return found

    def view(self, destination: Destination) -> View:
        return feed.open_view(destination, self.catalog, ROOT, self.store.log_epoch, self.store.cursor_secret)

    async def snapshot(self, destination: Destination) -> list[Json]:
        """The lines of a snapshot taken now."""
        position = await self.store.last_position()
        blocks = [block async for block in snapshot.lines(self.store, self.view(destination), position, clock.now_text)]
        return [orjson.loads(line) for line in b"".join(blocks).splitlines()]

    async def expected(self, destination: Destination) -> tuple[Mapping[str, tuple[str, int, Any]], Mapping[str, list[str]]]:
        """What a replica of the destination must hold, read from the store's tables and not through the snapshot.

        Resources by id as (type, version, representation without members, groups and created), members by group.
        """
        view = self.view(destination)
        found: dict[str, tuple[str, int, Any]] = {}
        members: dict[str, list[str]] = {}
        for kind in self.catalog.kinds.values():
            for id in self.ids(kind.name):
                stored = await self.store.find(self.directory.key, kind.name, id, self.source.key)
                assert stored is not None
                document = orjson.loads(stored.document)
                if not view.interest.contains(kind.name, id, document):
                    continue
                shown = {**document, "id": id, "meta": view.envelope.viewpoint.etag(stored.version)}
                if stored.external_id is not None:
                    shown["externalId"] = stored.external_id
                found[id] = (kind.name, stored.version, shown)
                if kind.has_members:
                    members[id] = sorted(await self.store.members_of(id))
        return found, {group: [id for id in ids if id in found] for group, ids in members.items()}

    def ids(self, kind: str) -> list[str]:
        """Of all resources of the kind, by the table itself."""
        sql = "SELECT id FROM resources WHERE directory = ? AND kind = ? ORDER BY key"
        return self.store.database.read_here(lambda c: [row[0] for row in c.fetch(sql, (self.directory.key, kind))])


class Loop:
    """An event loop in a thread of its own, so that a client that blocks can speak to the hub."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Result], limit: float = 60) -> Result:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(limit)

    def begin(self, work: Coroutine[Any, Any, Result]) -> "Future[Result]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def open_api(store: SqlStore, limits: Limits | None = None, pins: Pins | None = None) -> FeedApi:
    return FeedApi(
        store,
        Catalogs(store),
        pins or Pins(store, "node"),
        root_url=ROOT,
        now=clock.now_text,
        new_id=clock.new_id,
        monotonic=time.monotonic,
        limits=limits,
    )


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass
class Served:
    """A live server in the loop's thread."""

    server: _Server
    task: "asyncio.Task[None]"
    port: int

    @classmethod
    async def start(cls, application: Any, port: int = 0) -> "Served":
        config = uvicorn.Config(
            application,
            host="127.0.0.1",
            port=port,
            lifespan="off",
            interface="asgi3",
            log_config=None,
            http="httptools",
            ws="none",
            timeout_graceful_shutdown=2,
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve())
        async with asyncio.timeout(PATIENCE):
            while not server.started:
                await asyncio.sleep(0.005)
        return cls(server, task, server.servers[0].sockets[0].getsockname()[1])

    async def stop(self) -> None:
        self.server.should_exit = True
        await self.task
