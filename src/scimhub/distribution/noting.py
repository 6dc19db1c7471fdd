"""Writes into a ledger what becomes of resources, that of several in one step: a commit costs as much for one as for ten."""

import asyncio
from collections.abc import Callable
from typing import Final

from scimhub.distribution.ledger import Ledger, Remote

# While nobody waits for them, rows are gathered for so many seconds, or until there are so many.
_PATIENCE: Final = 0.003
_ENOUGH: Final = 32


class Noting:
    """Writes for one destination, on one event loop. ``has_time`` says whether nobody waits for what is written."""

    def __init__(self, destination: int, ledger: Ledger, has_time: Callable[[], bool]) -> None:
        self._destination = destination
        self._ledger = ledger
        self._has_time = has_time
        self._waiting: list[tuple[Remote, asyncio.Future[bool]]] = []
        self._writing: asyncio.Task[None] | None = None
        self._enough = asyncio.Event()

    async def save(self, remote: Remote) -> bool:
        """Return when this is written in the place of what is known of the resource; False when another has its remote id.

        Raises StoreUnavailable.
        """
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((remote, written))
        if len(self._waiting) >= _ENOUGH:
            self._enough.set()
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        return await written

    async def _write(self) -> None:
        """Write until nothing is left; what comes meanwhile goes together."""
        try:
            while self._waiting:
                if self._has_time():
                    await self._gather()
                some, self._waiting = self._waiting, []
                self._enough.clear()
                await self._write_some(some)
        finally:
            self._writing = None

    async def _gather(self) -> None:
        timer = asyncio.get_running_loop().call_later(_PATIENCE, self._enough.set)
        await self._enough.wait()
        timer.cancel()

    async def _write_some(self, some: list[tuple[Remote, asyncio.Future[bool]]]) -> None:
        try:
            results = await self._ledger.save_remotes(self._destination, [remote for remote, _ in some])
        except Exception as error:
            # Each of them hears of it; whoever does not wait any longer need not.
            for _, written in some:
                if not written.done():
                    written.set_exception(error)
            return
        for (_, written), is_written in zip(some, results, strict=True):
            if not written.done():
                written.set_result(is_written)
