"""When this node gives changes their positions, and who is then woken (docs/decisions/0032).

One task does so behind commits, once for as many as came meanwhile. It tells all nodes, each of which believes it and asks
nobody. Where there is no destination at all, nobody waits, and the look that comes every quarter of a second will do.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from scimhub.directory.errors import StoreUnavailable
from scimhub.sqlstore.connection import ADMINISTRATION, Claim
from scimhub.sqlstore.postgres import driver, sequencer
from scimhub.sqlstore.postgres.pooling import Pooling

Borrow = Callable[[], AbstractAsyncContextManager[Any]]

# So many changes are moved out of the table in which they waited before it is cleaned: some milliseconds of work.
MOVED_UNTIL_CLEANED = 2000

_log = logging.getLogger(__name__)


class Numbering:
    """The newest position that this node knows of, and whoever waits for later ones. ``borrow`` lends a connection."""

    def __init__(self, borrow: Borrow, pooling: Pooling, epoch: str) -> None:
        self._borrow = borrow
        self._pooling = pooling
        self._epoch = epoch
        self.head = -1
        # Whether anybody may be waiting, here or elsewhere.
        self.has_destinations = True
        self._wakes: tuple[Callable[[], None], ...] = ()
        self._numbering: asyncio.Task[None] | None = None
        self._has_unnumbered = False
        # How many changes were moved since the last cleaning.
        self.moved = 0
        self.cleaning: asyncio.Task[None] | None = None
        self._is_uncleaned = False

    def on_commit(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have ``wake`` called when the head has grown; returns what ends it."""
        self._wakes = (*self._wakes, wake)

        def end() -> None:
            self._wakes = tuple(other for other in self._wakes if other is not wake)

        return end

    # ------------------------------------------------------------------ giving positions

    def note_commit(self, claim: Claim) -> None:
        """This node committed: what was written in a directory may have added changes."""
        if self.has_destinations and claim is not None and claim > ADMINISTRATION:
            self._has_unnumbered = True
            if self._numbering is None:
                self._numbering = asyncio.create_task(self._number_on())

    async def number(self) -> None:
        """Give positions to all that is committed; raises StoreUnavailable."""
        try:
            async with self._borrow() as raw, contextlib.AsyncExitStack() as stack:
                if self._pooling == "plain":
                    await stack.enter_async_context(raw.transaction())
                numbered = await sequencer.number_changes(raw, self._epoch)
        except Exception as error:
            if driver.is_unavailable(error):
                raise driver.unavailable(error) from error
            raise
        if numbered.head is not None:
            self.learn(numbered.head)
        self.moved += numbered.moved
        if self.moved >= MOVED_UNTIL_CLEANED and self.cleaning is None:
            self.moved = 0
            self.cleaning = asyncio.create_task(self._clean())

    async def _number_on(self) -> None:
        try:
            while self._has_unnumbered:
                self._has_unnumbered = False
                await self.number()
        except StoreUnavailable as fault:
            _log.warning("changes not numbered yet", extra={"reason": str(fault)})
        except Exception:
            _log.exception("changes not numbered yet")
        finally:
            self._numbering = None

    async def _clean(self) -> None:
        try:
            async with self._borrow() as raw:
                objection = await driver.vacuum(raw, sequencer.CLEAN)
        except Exception as error:
            objection = f"{type(error).__name__}: {error}"
        if objection and not self._is_uncleaned:
            # Nothing depends on it but speed, and the server's autovacuum comes by. Once, however often it is tried.
            _log.warning("staged changes not cleaned", extra={"reason": objection})
        self._is_uncleaned = bool(objection)
        self.cleaning = None

    # ------------------------------------------------------------------ hearing of positions

    def hear(self, news: str) -> None:
        """Some node told its head."""
        head = sequencer.head_told(news, self._epoch)
        if head is not None:
            self.learn(head)

    def learn(self, head: int) -> None:
        if head > self.head:
            self.head = head
            for wake in self._wakes:
                wake()

    def learn_anew(self, head: int, known: int) -> None:
        """The database said so, when it was asked at a time at which ``known`` was known."""
        if head < known:
            # A standby that lacks the last of it has become the server.
            self.head = -1
        self.learn(head)

    async def close(self) -> None:
        tasks = [task for task in (self._numbering, self.cleaning) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
