"""How far each feed's consumer is: what it presented last, written to the store now and then.

A consumer acknowledges all up to a cursor by presenting it. To write that down at each page would cost a transaction a
page; what is written every few seconds decides only how much retention keeps, and where a consumer begins that brings no
cursor.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from scimhub.directory.errors import StoreUnavailable
from scimhub.distribution.delivery import Destination
from scimhub.distribution.ports import DestinationStore

WRITE_EVERY = 5.0

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Standing:
    """``written`` is what the store has of us, ``former`` what it had before, which a remembered destination may show."""

    acknowledged: int
    written: int
    former: int
    replay_until: int | None
    written_at: float


class Acknowledgements:
    """What the consumers of all feeds acknowledged. ``monotonic`` gives seconds; ``close`` writes what is left."""

    def __init__(self, store: DestinationStore, monotonic: Callable[[], float], every: float = WRITE_EVERY) -> None:
        self._store = store
        self._monotonic = monotonic
        self._every = every
        self._standings: dict[int, _Standing] = {}
        self._task: asyncio.Task[None] | None = None

    def position(self, destination: Destination) -> int:
        """Up to where the consumer has everything."""
        return self._standing(destination).acknowledged

    async def note(self, destination: Destination, position: int) -> None:
        """The consumer has everything up to the position; an earlier one than before changes nothing."""
        standing = self._standing(destination)
        standing.acknowledged = max(standing.acknowledged, position)
        if standing.acknowledged == standing.written:
            return
        if self._monotonic() - standing.written_at >= self._every:
            await self._write(destination.key, standing)
        elif self._task is None:
            # Else what the last request before a long silence acknowledged would not be written.
            self._task = asyncio.create_task(self._write_later())

    async def close(self) -> None:
        """Write all that is not written."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._write_all()

    def _standing(self, destination: Destination) -> _Standing:
        known = self._standings.get(destination.key)
        if known is None or destination.cursor not in (known.written, known.former):
            # The first time, or somebody else has moved the cursor: then that holds.
            cursor = destination.cursor
            until = destination.replay.until if destination.replay is not None else None
            known = self._standings[destination.key] = _Standing(cursor, cursor, cursor, until, -self._every)
        return known

    async def _write_later(self) -> None:
        await asyncio.sleep(self._every)
        self._task = None
        await self._write_all()

    async def _write_all(self) -> None:
        for key, standing in list(self._standings.items()):
            if standing.acknowledged != standing.written:
                await self._write(key, standing)

    async def _write(self, key: int, standing: _Standing) -> None:
        position = standing.acknowledged
        standing.written_at = self._monotonic()
        is_over = standing.replay_until is not None and position >= standing.replay_until
        try:
            is_written = await self._store.acknowledge(key, standing.written, position, replay_is_over=is_over)
        except StoreUnavailable as fault:
            # The consumer goes on; the next writing tells more than this one.
            _logger.warning("feed cursor not written", extra={"destination": key, "reason": str(fault)})
            return
        standing.former, standing.written = standing.written, position
        if not is_written and self._standings.get(key) is standing:
            # Another node knows of more, or an administrator took the cursor back: then that holds.
            del self._standings[key]
