"""Where removals are stopped: the judgement of the brake, done on the lanes. Pure state: no I/O, no clock.

Whatever takes something away from the destination goes through here each time it is to be sent. ``guard`` writes the permits.
"""

from collections.abc import Mapping
from typing import Generic, TypeVar

from scimhub.distribution.brake import Brake, Removal
from scimhub.distribution.lane import LET_GO, Hold, Unit
from scimhub.distribution.lanes import Lanes

T = TypeVar("T")

# The lane of a destination that takes everything in order; no resource has this id.
STREAM = ""
_TRIPPED = "The brake has tripped: release or discard it."
_SETTLES = "The brake waits for the rest of its burst to be seen."


class Gate(Generic[T]):
    """Lets removals through, or keeps them. In a stream nothing leaves the window: there a removal stops all that follows."""

    def __init__(self, brake: Brake, lanes: Lanes[T], *, is_stream: bool) -> None:
        self.brake = brake
        self._lanes = lanes
        self._is_stream = is_stream
        # In a stream: until when the removal at a position settles.
        self._settles: dict[int, float] = {}

    def admits(self, unit: Unit[T], now: float) -> bool:
        """Whether the unit may be sent once its permit is written; else it is kept, or need not be sent at all."""
        hold = self._lanes.holds.find(unit.lane)
        if self._is_discarded(unit, hold):
            self._lanes.deliver(unit)
            return False
        asked = self.asked(unit)
        if not asked:
            return True
        first = unit.items[0].position
        kept = hold if hold is not None and hold.cause == "brake" and hold.first_position == first else None
        until = self._settles.get(first) if kept is None else kept.due
        was_tripped = self.brake.trip is not None
        verdict = self.brake.judge(asked, now, self._waiting(unit, hold), settled_until=until)
        if verdict.word == "go":
            self._lanes.holds.let_go(unit.lane)
            return True
        self._keep(unit, asked, now if kept is None else kept.since, verdict.due)
        if self.brake.trip is not None and not was_tripped:
            self._lanes.holds.keep_all(_TRIPPED)
        return False

    def asked(self, unit: Unit[T]) -> list[Removal]:
        """The removals in the unit that need a permit: all but those that an administrator has released."""
        if not self.brake.thresholds.enabled:
            return []
        hold = self._lanes.holds.find(unit.lane)
        until = self.brake.released if self._is_stream else 0
        if hold is not None and hold.cause in LET_GO:
            until = hold.until or 0
        found = (item for item in unit.items if item.removed and item.position > until)
        return [Removal(item.position, item.removes, item.removed) for item in found]

    def arrived(self, unit: Unit[T]) -> None:
        """The unit arrived."""
        self.brake.arrive([item.position for item in unit.items if item.removed])

    def learn(self, sort: str, present: int, unread: int, now: float) -> None:
        """So many of the sort are in the destination's scope now; the brake may trip because of what settles.

        ``unread`` of them went since, as the log says beyond what was read: the destination has them still.
        """
        coming = self._lanes.coming()
        self.brake.learn(sort, present + unread + coming.get(sort, 0), self._lanes.holds.kept, now)
        if self.brake.check(sort, coming if self._is_stream else self._lanes.holds.kept, now):
            self._lanes.holds.keep_all(_TRIPPED)

    def end_trip(self) -> bool:
        """Whether the brake had tripped and keeps nothing any longer, so that it lets removals go again."""
        if self.brake.trip is None or self._is_stream or self._lanes.holds.by_cause["brake"]:
            return False
        self.brake.end_trip()
        return True

    # ------------------------------------------------------------------ within

    def _is_discarded(self, unit: Unit[T], hold: Hold | None) -> bool:
        until = self.brake.discarded if self._is_stream else 0
        if hold is not None and hold.cause == "discarded":
            until = hold.until or 0
        return all(item.removed > 0 and item.position <= until for item in unit.items)

    def _waiting(self, unit: Unit[T], hold: Hold | None) -> Mapping[str, int]:
        """How many of each sort wait besides the unit."""
        if self._is_stream:
            return self._lanes.coming()
        kept = dict(self._lanes.holds.kept)
        if hold is not None and hold.cause == "brake":
            kept[hold.removes] -= hold.removed
        return kept

    def _keep(self, unit: Unit[T], removals: list[Removal], since: float, due: float | None) -> None:
        first = unit.items[0].position
        if self._is_stream:
            self._settles = {} if due is None else {first: due}
            self._lanes.rest(unit, due)
            return
        error = _TRIPPED if due is None else _SETTLES
        count = sum(removal.count for removal in removals)
        self._lanes.keep(unit, Hold(unit.lane, first, since, 0, due, error, "brake", None, removals[0].sort, count))
