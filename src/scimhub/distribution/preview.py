"""What a destination sees of real resources, now and under another subscription: who would enter, leave or change.

Nothing is sent and nothing is written. All resources of the directory are looked at, in short reads.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import orjson

from scimhub.directory.errors import Invalid
from scimhub.directory.records import StoredResource
from scimhub.distribution import envelope, visibility
from scimhub.distribution.delivery import Destination, Subscription
from scimhub.distribution.envelope import Envelope
from scimhub.distribution.outlook import Place
from scimhub.distribution.snapshot import ResourceWalk
from scimhub.scim.catalog import Kind

_CHUNK = 500
# Resources looked at before others get their turn.
_TURN = 50

# stays: it is seen, and nothing about it would differ.
Fate = Literal["enters", "leaves", "changes", "stays"]
FATES: tuple[Fate, ...] = ("enters", "leaves", "changes", "stays")


@dataclass(frozen=True, slots=True)
class Sample:
    """One resource as the destination sees it now and as it would; None where it does not see it."""

    resource_id: str
    resource_type: str
    fate: Fate
    now: Mapping[str, Any] | None
    then: Mapping[str, Any] | None


@dataclass(slots=True)
class Preview:
    """How many resources of each type meet which fate, and some of them; ``looked_at`` counts all."""

    looked_at: int = 0
    counts: dict[str, dict[Fate, int]] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)


async def preview(
    store: ResourceWalk,
    place: Place,
    destination: Destination,
    proposed: Subscription,
    *,
    samples: int,
    resource_id: str | None = None,
) -> Preview:
    """What the proposed subscription would change, with ``samples`` of each fate; of one resource only if it is named.

    Raises Invalid with every mistake of the proposal.
    """
    catalog = await place.catalogs.current(destination.directory)
    if problems := visibility.untold(proposed.attributes, catalog, destination.subscription.attributes):
        raise Invalid(problems)
    now = envelope.of_destination(destination, catalog, place.root_url, place.epoch)
    wished = replace(destination, subscription=proposed)
    then = envelope.of_destination(wished, catalog, place.root_url, place.epoch)
    found = Preview()
    for kind in catalog.kinds.values():
        async for resource in resources(store, destination.directory, kind.name):
            if resource_id is None or resource.id == resource_id:
                _look(found, kind, resource, _seen(now, kind, resource), _seen(then, kind, resource), samples)
    return found


async def fates(
    store: ResourceWalk, directory: int, kind: Kind, now: Envelope, then: Envelope
) -> AsyncIterator[tuple[StoredResource, Fate]]:
    """What becomes of each resource of the kind that is seen now or then."""
    async for resource in resources(store, directory, kind.name):
        before, after = _seen(now, kind, resource), _seen(then, kind, resource)
        if before is not None or after is not None:
            yield resource, _fate(before, after)


def _fate(now: Mapping[str, Any] | None, then: Mapping[str, Any] | None) -> Fate:
    return "enters" if now is None else "leaves" if then is None else "stays" if now == then else "changes"


async def resources(store: ResourceWalk, directory: int, kind: str) -> AsyncIterator[StoredResource]:
    """All resources of the kind, in order of key and in short reads."""
    key = 0
    while chunk := await store.walk(directory, kind, key, _CHUNK):
        for number, resource in enumerate(chunk, 1):
            yield resource
            if number % _TURN == 0:
                await asyncio.sleep(0)
        key = chunk[-1].key


def _look(
    found: Preview,
    kind: Kind,
    resource: StoredResource,
    now: Mapping[str, Any] | None,
    then: Mapping[str, Any] | None,
    samples: int,
) -> None:
    found.looked_at += 1
    if now is None and then is None:
        return
    fate = _fate(now, then)
    counts = found.counts.setdefault(kind.name, dict.fromkeys(FATES, 0))
    counts[fate] += 1
    if sum(sample.fate == fate for sample in found.samples) < samples:
        found.samples.append(Sample(resource.id, kind.name, fate, now, then))


def _seen(outlook: Envelope, kind: Kind, resource: StoredResource) -> Mapping[str, Any] | None:
    """The resource as the destination sees it, None when it is outside of the scope."""
    if not outlook.interest.contains(kind.name, resource.id, orjson.loads(resource.document)):
        return None
    shown = envelope.render_state(
        outlook, kind, resource.id, resource.version, resource.last_modified, resource.document, resource.external_id
    )
    seen: Mapping[str, Any] = orjson.loads(shown)
    return seen
