"""States that a destination is told of many resources, beside what happens meanwhile: of all, of those that changed, or as
a plan says.

A backfill hands out ids, a few at a time; each becomes an owed state in the resource's lane, which loads the resource when
its turn comes. What was handed out is written before the checkpoint, so that a crash repeats some and loses none. Where the
ids come from is a ``Source``.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import orjson

from scimhub.directory.errors import StoreUnavailable
from scimhub.distribution.outlook import Outlook
from scimhub.distribution.snapshot import Walk
from scimhub.scim.catalog import Kind

# running: ids are handed out; paused: a person stopped it; done: all were handed out and none is under way; stopped: it
# ended by itself, and ``reason`` says why.
State = Literal["running", "paused", "done", "stopped"]
Origin = Literal["directory", "log", "plan"]

# Ids handed out at once, and so many under way that no more are.
CHUNK = 200
MOST_UNDER_WAY = 400
_AFTER_FAULT = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backfill:
    """One backfill of a destination, of which there is one at a time, and how far it is.

    ``id`` marks the events. ``after`` is the checkpoint: in the directory ``kind`` and a key, in the log a position, in the
    plan ``plan`` a resource id. ``until`` is the last position of the log, ``total`` how many are to be looked at.
    """

    id: str
    origin: Origin
    state: State
    begun: str
    updated: str
    total: int = 0
    looked_at: int = 0
    told: int = 0
    kind: str = ""
    after: str = ""
    until: int = 0
    plan: str | None = None
    reason: str = ""

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "stopped")


class BackfillStore(Walk, Protocol):
    """Where backfills are kept, and what they walk through."""

    async def find_backfill(self, destination: int) -> Backfill | None:
        """The destination's last one."""

    async def save_backfill(self, destination: int, backfill: Backfill) -> None:
        """Write it in the place of the one before."""

    async def changed_resources(self, directory: int, after: int, until: int, limit: int) -> Sequence[tuple[int, str]]:
        """Positions and resource ids of the directory's next changes, in order; also of those that retention emptied."""
