"""The holds of one destination's lanes: what of them is still to be written, and how many there are of which sort."""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from scimhub.distribution.lane import Hold, Lane

T = TypeVar("T")


class Holds(Generic[T]):
    """Every change of a hold goes through here."""

    def __init__(self, lanes: Mapping[str, Lane[T]]) -> None:
        self._lanes = lanes
        self._changed: set[str] = set()
        self._released: set[str] = set()
        self._parked: list[tuple[int, str]] = []
        # How many lanes are held, and how many are owed a state that has not failed; how many removals of each sort the brake keeps; in how many lanes until a person looked.
        self.count = 0
        self.states = 0
        self.kept: Counter[str] = Counter()
        self.stuck = 0

    def load(self, lane: Lane[T], hold: Hold) -> None:
        """What was written before the start."""
        self.put(hold.lane, lane, hold)
        self._changed.clear()
        self.note_parked(hold.lane, lane)

    def put(self, name: str, lane: Lane[T], hold: Hold | None) -> None:
        """The lane is held so from now on, or no longer."""
        for one, sign in ((lane.hold, -1), (hold, 1)):
            self.count += sign * (one is not None and not one.is_under_way)
            self.states += sign * (one is not None and one.is_under_way)
            if one is not None and one.cause == "brake":
                self.kept[one.removes] += sign * one.removed
                self.stuck += sign * (one.due is None)
        lane.hold = hold
        into, out_of = (self._released, self._changed) if hold is None else (self._changed, self._released)
        into.add(name)
        out_of.discard(name)

    def note_parked(self, name: str, lane: Lane[T]) -> None:
        """The lane may be parked; it is then found by ``passed``."""
        if lane.is_parked:
            heapq.heappush(self._parked, (lane.first_owed, name))

    def passed(self, position: int) -> Sequence[tuple[str, Lane[T]]]:
        """The parked lanes whose changes up to that position were all they waited for."""
        found = []
        while self._parked and self._parked[0][0] <= position + 1:
            first, name = heapq.heappop(self._parked)
            lane = self._lanes.get(name)
            if lane is not None and lane.is_parked and lane.first_owed == first:
                found.append((name, lane))
        return found

    def owe_up_to(self, position: int) -> bool:
        """Whether something at the position or before it is held, so that a replay up to there is not over yet."""
        return any(lane.hold is not None and lane.first_owed <= position for lane in self._lanes.values())

    @property
    def is_dirty(self) -> bool:
        return bool(self._changed or self._released)

    def unwritten(self) -> tuple[list[Hold], list[str]]:
        """The holds that changed and the lanes that are held no longer, until ``written``."""
        lanes = [self._lanes.get(name) for name in sorted(self._changed)]
        return [lane.hold for lane in lanes if lane is not None and lane.hold is not None], sorted(self._released)

    def written(self, holds: Sequence[Hold], released: Sequence[str]) -> None:
        """These were written; what changed since is still to be."""
        for hold in holds:
            lane = self._lanes.get(hold.lane)
            if lane is not None and lane.hold == hold:
                self._changed.discard(hold.lane)
        self._released -= set(released)
