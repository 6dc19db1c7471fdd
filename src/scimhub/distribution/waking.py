"""Who waits for changes is called in the event loop after commits: once for as many as come in one of its turns."""

import asyncio
import contextlib
from collections.abc import Callable

from scimhub.distribution.ports import ChangeReader


class Waking:
    """Calls ``wake`` from ``begin`` to ``end``. Both are called in the loop; twice is as good as once."""

    def __init__(self, log: ChangeReader, wake: Callable[[], None]) -> None:
        self._log = log
        self._wake = wake
        self._is_pending = False
        self._end: Callable[[], None] | None = None

    def begin(self) -> None:
        """What is committed from now on wakes."""
        if self._end is None:
            loop = asyncio.get_running_loop()
            self._end = self._log.on_commit(lambda: self._note_commit(loop))

    def end(self) -> None:
        if self._end is not None:
            self._end()
            self._end = None

    def _note_commit(self, loop: asyncio.AbstractEventLoop) -> None:
        # Perhaps in the writer's thread. Who is woken reads behind this, so that one pending call serves many commits.
        if not self._is_pending:
            self._is_pending = True
            with contextlib.suppress(RuntimeError):  # the loop may have closed
                loop.call_soon_threadsafe(self._call)

    def _call(self) -> None:
        self._is_pending = False
        self._wake()
