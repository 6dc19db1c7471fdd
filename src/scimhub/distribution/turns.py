"""Who may work next, where many destinations want to: round the directories, and within one round its destinations.

Everything runs on one event loop. Whoever has much to send would fill each of its rounds, and whoever has one message would
wait through several such rounds. So only so much is begun in a round; what waits is taken from each in turn. While
nobody waits, nothing is delayed.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

# So many messages are begun in one round of the loop, of all destinations together: about half a millisecond's work.
AT_ONCE: Final = 2

V = TypeVar("V")
R = TypeVar("R")
# Each with the weight of what will follow.
_Waiting = deque[tuple["asyncio.Future[None]", int]]


class Turns:
    """Gives turns on one event loop; ``at_once`` of them in each of its rounds."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._left = at_once
        self._is_due = False
        # For each directory its destinations, each with who waits; all of them in the order in which they come next.
        self._directories: dict[int, dict[int, _Waiting]] = {}

    async def take(self, directory: int, destination: int, weight: int = 1) -> None:
        """Return when it is this destination's turn. ``weight`` is how many messages' work will follow."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._begin_round)
        if self._left > 0 and not self._directories:
            self._left -= weight
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._directories.setdefault(directory, {}).setdefault(destination, deque()).append((turn, weight))
        await turn

    def _begin_round(self) -> None:
        self._left = min(self._at_once, self._left + self._at_once)
        while self._left > 0 and self._directories:
            turn, weight = _next(self._directories, lambda destinations: _next(destinations, _popleft))
            if not turn.done():
                turn.set_result(None)
                self._left -= weight
        self._is_due = bool(self._directories) or self._left < self._at_once
        if self._is_due:
            asyncio.get_running_loop().call_soon(self._begin_round)


def _next(some: dict[int, V], take: Callable[[V], R]) -> R:
    """What ``take`` gives of the first of them, which then comes last; one that is empty goes."""
    key = next(iter(some))
    value = some.pop(key)
    taken = take(value)
    if value:
        some[key] = value
    return taken


def _popleft(waiting: _Waiting) -> tuple["asyncio.Future[None]", int]:
    return waiting.popleft()
