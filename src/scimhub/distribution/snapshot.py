"""A directory as one feed sees it, as lines of JSON: where a consumer begins (DECISIONS 11).

The position is read first, then resources by key in short transactions. What is newer than the position is met again in
the feed behind it, and recognised by its version. Users come before groups, so that members are known when they are named.
A group's members follow it in lines of their own, read in chunks after the group itself: they hold at least what the
group's version says, and later changes come in the feed.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import orjson

from scimhub.directory.errors import StoreUnavailable
from scimhub.directory.records import StoredResource
from scimhub.distribution import envelope
from scimhub.distribution.feed import View
from scimhub.distribution.ports import PinStore
from scimhub.scim.catalog import Kind

FORMAT = 1
# Resources and members read at once, and members told in one line.
_CHUNK = 500
_MEMBERS = 1000
# Bytes gathered before they are handed on, and resources looked at before others get their turn.
_BLOCK = 64 * 1024
_TURN = 50


class ResourceWalk(Protocol):
    """What a walk through a directory needs of the store."""

    async def walk(self, directory: int, kind: str, after_key: int, limit: int) -> Sequence[StoredResource]:
        """Resources of the kind behind the key, in its order; with the externalId of the source that wrote last."""


class Walk(ResourceWalk, Protocol):
    """What a snapshot needs of the store."""

    async def member_ids(self, group: int, after_key: int, limit: int) -> Sequence[tuple[int, str]]:
        """Keys and ids of members of the group with that key, behind ``after_key`` and in order of key."""


class Pins:
    """Positions behind which retention must keep everything, because a snapshot of the node began there.

    The store tells other nodes, whose retention would overtake it.
    """

    def __init__(self, store: PinStore, node: str) -> None:
        self._store = store
        self._node = node
        self._held: Counter[int] = Counter()

    @asynccontextmanager
    async def hold(self, position: int) -> AsyncIterator[None]:
        """Have changes behind the position kept until this ends."""
        self._held[position] += 1
        try:
            await self._tell()
            yield
        finally:
            self._held[position] -= 1
            if not self._held[position]:
                del self._held[position]
            with suppress(StoreUnavailable):  # who next asks for the lowest tells it
                await self._tell()

    async def lowest(self) -> int | None:
        """The position behind which everything must be kept, at whatever node; None when no snapshot runs."""
        await self._tell()
        pins = (min(self._held, default=None), await self._store.lowest_pin())
        return min((pin for pin in pins if pin is not None), default=None)

    async def _tell(self) -> None:
        await self._store.pin(self._node, min(self._held, default=None))


@dataclass(slots=True)
class _Count:
    resources: int = 0
    members: int = 0


async def lines(store: Walk, view: View, position: int, now: Callable[[], str]) -> AsyncGenerator[bytes, None]:
    """The snapshot that begins at the position, which must be pinned: blocks of whole lines of JSON.

    The first line has the cursor to go on with, the last one, ``{"end":true,…}``, counts what came, so that a cut-off
    answer is never taken for a whole one.
    """
    head = {
        "snapshot": FORMAT,
        "cursor": view.cursors.write(position),
        "position": position,
        "epoch": view.envelope.viewpoint.epoch,
        "directory": view.destination.directory_name,
        "time": now(),
    }
    count = _Count()
    block = [orjson.dumps(head)]
    size = len(block[0])
    async for line in _body(store, view, count):
        block.append(line)
        size += len(line)
        if size >= _BLOCK:
            yield _joined(block)
            block, size = [], 0
    block.append(orjson.dumps({"end": True, "resources": count.resources, "members": count.members}))
    yield _joined(block)


def _joined(block: list[bytes]) -> bytes:
    return b"\n".join((*block, b""))


async def _body(store: Walk, view: View, count: _Count) -> AsyncIterator[bytes]:
    kinds = [wish.kind for wish in view.interest.wishes.values()]
    for kind in sorted(kinds, key=lambda kind: kind.has_members):
        shows_members = kind.has_members and view.interest.projection(kind).wants("members")
        async for resource in _in_scope(store, view, kind):
            count.resources += 1
            yield _resource_line(view, kind, resource)
            async for line in _member_lines(store, resource, count, shown=shows_members):
                yield line


async def _in_scope(store: Walk, view: View, kind: Kind) -> AsyncIterator[StoredResource]:
    key = 0
    while chunk := await store.walk(view.destination.directory, kind.name, key, _CHUNK):
        for number, resource in enumerate(chunk, 1):
            if view.interest.contains(kind.name, resource.id, orjson.loads(resource.document)):
                yield resource
            if number % _TURN == 0:
                await asyncio.sleep(0)
        key = chunk[-1].key


def _resource_line(view: View, kind: Kind, resource: StoredResource) -> bytes:
    shown = envelope.render_state(
        view.envelope, kind, resource.id, resource.version, resource.last_modified, resource.document, resource.external_id
    )
    line = {"resourceType": kind.name, "id": resource.id, "version": resource.version, "resource": orjson.Fragment(shown)}
    return orjson.dumps(line)


async def _member_lines(store: Walk, group: StoredResource, count: _Count, *, shown: bool) -> AsyncIterator[bytes]:
    key = 0
    while shown and (chunk := await store.member_ids(group.key, key, _MEMBERS)):
        count.members += len(chunk)
        ids = [id for _, id in chunk]
        yield orjson.dumps({"resourceType": group.kind, "id": group.id, "version": group.version, "members": ids})
        if len(chunk) < _MEMBERS:
            return
        key = chunk[-1][0]
