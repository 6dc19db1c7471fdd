"""Whose turn it is: which lanes may send, which must be read again, and which rest until when. Pure state."""

import heapq
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from scimhub.distribution.lane import Lane

T = TypeVar("T")


class Queues(Generic[T]):
    """Each lane is once in one of the queues."""

    def __init__(self, lanes: Mapping[str, Lane[T]]) -> None:
        self._lanes = lanes
        # Lanes with something to send, those with a leaver apart, and held lanes whose changes must be read again.
        self._ready: deque[str] = deque()
        self._urgent: deque[str] = deque()
        self._recalls: deque[str] = deque()
        # The same for lanes that owe a state: what has been read, and what is to be.
        self._told: deque[str] = deque()
        self._asks: deque[str] = deque()
        self.states_go_first = True
        self._resting: list[tuple[float, str]] = []

    def add(self, name: str, lane: Lane[T], *, is_recalled: bool = False) -> None:
        """It is the lane's turn to send, or to be read again."""
        lane.is_queued = True
        if is_recalled:
            (self._asks if lane.owes_state else self._recalls).append(name)
        else:
            (self._urgent if lane.leavers else self._told if lane.owes_state else self._ready).append(name)

    def hasten(self, name: str) -> None:
        """The lane, if it is ready to send, has got a leaver."""
        if name in self._ready:
            self._ready.remove(name)
            self._urgent.append(name)

    def remove(self, name: str, lane: Lane[T]) -> None:
        """It is not the lane's turn."""
        if lane.is_queued:
            queues = (self._ready, self._urgent, self._told, self._recalls, self._asks)
            next(queue for queue in queues if name in queue).remove(name)
            lane.is_queued = False

    def take(self, *, untried_first: bool) -> tuple[str, Lane[T]] | None:
        """Whose turn it is to send: leavers before others, then states if ``states_go_first``, and else what happened.

        Of those who have not failed yet if ``untried_first``.
        """
        first, second = (self._told, self._ready) if self.states_go_first else (self._ready, self._told)
        if untried_first:
            names = (name for queue in (self._urgent, first, second) for name in queue)
            name = next((name for name in names if self._lanes[name].tries == 0), None)
            if name is not None:
                self.remove(name, lane := self._lanes[name])
                return name, lane
        return self._next_of(self._urgent or first or second)

    def recall(self) -> tuple[str, Lane[T]] | None:
        """Whose turn it is to be read again."""
        return self._next_of(self._recalls)

    def ask(self) -> tuple[str, Lane[T]] | None:
        """Whose state it is time to read."""
        return self._next_of(self._asks)

    def _next_of(self, queue: deque[str]) -> tuple[str, Lane[T]] | None:
        if not queue:
            return None
        name = queue.popleft()
        lane = self._lanes[name]
        lane.is_queued = False
        return name, lane

    @property
    def told(self) -> int:
        """How many states have been read and wait for being sent."""
        return len(self._told)

    @property
    def has_others(self) -> bool:
        """Whether something is ready to be sent that is no state."""
        return bool(self._ready or self._urgent)

    @property
    def has_recalls(self) -> bool:
        return bool(self._recalls)

    def rest(self, name: str, lane: Lane[T], due: float | None) -> None:
        """Nothing of the lane until then, or until somebody says so."""
        lane.due = due
        if due is not None:
            heapq.heappush(self._resting, (due, name))

    @property
    def resting(self) -> Iterator[str]:
        """The lanes that rest until some time, and now and then one that no longer does."""
        return (name for _, name in self._resting)

    def wake(self, now: float) -> None:
        """Let lanes go on whose rest is over."""
        while self._resting and self._resting[0][0] <= now:
            due, name = heapq.heappop(self._resting)
            lane = self._lanes.get(name)
            if lane is not None and lane.due == due:
                lane.due = None
                self.add(name, lane, is_recalled=not lane.frozen)

    def next_due(self) -> float | None:
        """When the next resting lane may go on, None when none rests."""
        while self._resting:
            due, name = self._resting[0]
            lane = self._lanes.get(name)
            if lane is not None and lane.due == due:
                return due
            heapq.heappop(self._resting)  # it was held or released since
        return None
