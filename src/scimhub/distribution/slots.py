"""How many requests are on their way to one destination, where a message is more work than its request.

What is written down before and behind a request waits for the disk. A destination that is not to wait meanwhile is given
more messages than requests are permitted, and each of them takes a slot for as long as it asks.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from scimhub.distribution.delivery import Delivered, Outcome, Retry

_FAULTS = 500
_TOO_MANY = 429


class TurnedAway(Exception):
    """Nothing may be asked of the destination now; what was to be sent was not sent, or not all of it."""


class Slots:
    """Slots for requests, on one event loop: whoever waits longest has the next.

    ``limit`` says how many there are at the moment, and none while nothing may be asked. ``note`` hears what came of each
    request as far as it tells of the destination, and when it was begun.
    """

    def __init__(self, limit: Callable[[], int], note: Callable[[Outcome, float], None] = lambda outcome, begun: None) -> None:
        self.taken = 0
        self._limit = limit
        self._note = note
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def are_short(self) -> bool:
        """Whether at least as many wait as have one: for a while the destination has enough to do."""
        return len(self._waiting) >= self.taken > 0

    async def take(self) -> None:
        """Return when there is a slot, which is then taken; raises TurnedAway."""
        limit = self._limit()
        if limit > self.taken and not self._waiting:
            self.taken += 1
            return
        if limit < 1:
            raise TurnedAway
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        # There may be more slots than when somebody was let in last.
        self._let_in()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._leave()
            raise
        if self._limit() < 1:
            self._leave()
            raise TurnedAway

    def give(self, status: int | None, begun: float) -> None:
        """Let go of a slot: the request that began then was answered so, or not at all."""
        is_fine = status is not None and status < _FAULTS and status != _TOO_MANY
        self._note(Delivered(status) if is_fine else Retry("", "destination", None, status), begun)
        self._leave()

    def turn_away(self) -> None:
        """Nothing may be asked now: nobody waits for that any longer."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(TurnedAway())

    def _leave(self) -> None:
        self.taken -= 1
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self.taken < self._limit():
            turn = self._waiting.popleft()
            if not turn.done():
                self.taken += 1
                turn.set_result(None)
