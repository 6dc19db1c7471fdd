"""The holds of one destination's lanes: what of them is still to be written, and how many there are of which sort."""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from scimhub.distribution.delivery import HeldCause, Replay
from scimhub.distribution.lane import Hold, Lane, unkept

T = TypeVar("T")


class Holds(Generic[T]):
    """Every change of a hold goes through here."""

    def __init__(self, lanes: Mapping[str, Lane[T]]) -> None:
        self._lanes = lanes
        self._changed: set[str] = set()
        self._released: set[str] = set()
        self._parked: list[tuple[int, str]] = []
        # How many lanes are held for which cause; how many are owed a state that has not failed; how many removals of each sort
        # the brake keeps, and in how many lanes until a person has looked.
        self.by_cause: Counter[HeldCause] = Counter()
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
            if one is None:
                continue
            self.by_cause[one.cause] += sign
            self.states += sign * one.is_under_way
            if one.cause == "brake":
                self.kept[one.removes] += sign * one.removed
                self.stuck += sign * (one.due is None)
        lane.hold = hold
        into, out_of = (self._released, self._changed) if hold is None else (self._changed, self._released)
        into.add(name)
        out_of.discard(name)

    def find(self, name: str) -> Hold | None:
        """Why the lane is held, None when it is not."""
        lane = self._lanes.get(name)
        return None if lane is None else lane.hold

    def let_go(self, name: str) -> None:
        """The brake has let go what it kept of the lane, which is in flight."""
        lane = self._lanes[name]
        if lane.hold is not None and lane.hold.cause == "brake":
            self.put(name, lane, unkept(lane.hold))

    def keep_all(self, error: str) -> None:
        """What settles waits for a person from now on."""
        for name, lane in self._lanes.items():
            hold = lane.hold
            if hold is not None and hold.cause == "brake" and hold.due is not None:
                self.put(name, lane, replace(hold, due=None, error=error))
                if not lane.is_queued:
                    lane.due = None

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

    @property
    def count(self) -> int:
        """How many lanes are held."""
        return sum(self.by_cause.values())

    def owe(self, replay: Replay) -> bool:
        """Whether something of the replay is held, so that it is not over yet."""
        if replay.resource_id is None:
            return any(lane.hold is not None and lane.first_owed <= replay.until for lane in self._lanes.values())
        hold = self.find(replay.resource_id)
        return hold is not None and hold.first_position <= replay.until

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
