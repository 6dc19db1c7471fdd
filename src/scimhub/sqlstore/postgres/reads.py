"""Short look-ups that many requests ask at once, asked together (``together``).

While one question is on its way, the same one with other values waits for it and then goes with all that have come
meanwhile: under load a batch is as large as the load, and alone nobody waits.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from scimhub.sqlstore.connection import Row
from scimhub.sqlstore.postgres import driver, together
from scimhub.sqlstore.postgres.together import Values

_LARGEST = 128

_Asked = tuple[Values, "asyncio.Future[list[Row]]"]


class Reads:
    """The look-ups of one node. ``borrow`` lends a connection."""

    def __init__(self, borrow: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        self._borrow = borrow
        self._waiting: defaultdict[str, deque[_Asked]] = defaultdict(deque)
        self._asking: dict[str, asyncio.Task[None]] = {}

    async def fetch(self, sql: str, values: Values) -> list[Row]:
        """All rows of the SELECT; raises StoreUnavailable."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Row]] = loop.create_future()
        self._waiting[sql].append((values, future))
        if sql not in self._asking:
            self._asking[sql] = loop.create_task(self._ask(sql))
        return await future

    async def _ask(self, sql: str) -> None:
        waiting = self._waiting[sql]
        while waiting:
            await self._ask_once(sql, [waiting.popleft() for _ in range(min(len(waiting), _LARGEST))])
        del self._asking[sql], self._waiting[sql]

    async def _ask_once(self, sql: str, some: list[_Asked]) -> None:
        try:
            async with self._borrow() as raw:
                answers = await together.fetch_each(raw, sql, [values for values, _ in some])
        except Exception as error:
            if len(some) > 1 and not driver.is_unavailable(error):
                # The fault is one question's: the others get their answers.
                for one in some:
                    await self._ask_once(sql, [one])
                return
            fault = driver.unavailable(error) if driver.is_unavailable(error) else error
            for _, future in some:
                if not future.done():
                    future.set_exception(fault)
            return
        for (_, future), rows in zip(some, answers, strict=True):
            if not future.done():
                future.set_result(rows)
