"""Whose turn it is: which lanes may send, which must be read again, and which rest until when. Pure state."""

import heapq
from collections import deque
from collections.abc import Mapping
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
        self._resting: list[tuple[float, str]] = []

    def add(self, name: str, lane: Lane[T], *, is_recalled: bool = False) -> None:
        """It is the lane's turn to send, or to be read again."""
        lane.is_queued = True
        (self._recalls if is_recalled else self._urgent if lane.leavers else self._ready).append(name)

    def hasten(self, name: str) -> None:
        """The lane, if it is ready to send, has got a leaver."""
        if name in self._ready:
            self._ready.remove(name)
            self._urgent.append(name)

    def remove(self, name: str, lane: Lane[T]) -> None:
        """The lane, if it is ready to send, shall not."""
        if lane.is_queued:
            (self._ready if name in self._ready else self._urgent).remove(name)
            lane.is_queued = False

    def take(self, *, untried_first: bool) -> tuple[str, Lane[T]] | None:
        """Whose turn it is to send: leavers before others; of those who have not failed yet if ``untried_first``."""
        name = None
        if untried_first:
            names = (name for queue in (self._urgent, self._ready) for name in queue)
            name = next((name for name in names if self._lanes[name].tries == 0), None)
        if name is not None:
            self.remove(name, self._lanes[name])
        elif self._urgent or self._ready:
            name = (self._urgent or self._ready).popleft()
        else:
            return None
        lane = self._lanes[name]
        lane.is_queued = False
        return name, lane

    def recall(self) -> tuple[str, Lane[T]] | None:
        """Whose turn it is to be read again."""
        if not self._recalls:
            return None
        name = self._recalls.popleft()
        lane = self._lanes[name]
        lane.is_queued = False
        return name, lane

    @property
    def has_recalls(self) -> bool:
        return bool(self._recalls)

    def rest(self, name: str, lane: Lane[T], due: float | None) -> None:
        """Nothing of the lane until then, or until somebody says so."""
        lane.due = due
        if due is not None:
            heapq.heappush(self._resting, (due, name))

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
