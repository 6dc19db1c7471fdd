"""Where removals wait: the brake of one destination at work on its lanes.

Nothing that takes something away is sent but through here. ``brake`` judges, ``lanes`` keeps, ``settling`` writes permits
before they are used, ``census`` counts whom the destination has.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from scimhub.directory.errors import StoreUnavailable
from scimhub.distribution import census
from scimhub.distribution.brake import Brake, Removal
from scimhub.distribution.delivery import Destination
from scimhub.distribution.envelope import Envelope
from scimhub.distribution.intake import STREAM, Stopped
from scimhub.distribution.lane import LET_GO, Hold, Unit
from scimhub.distribution.lanes import Lanes
from scimhub.distribution.settling import Settling
from scimhub.distribution.subscription import Notice
from scimhub.distribution.surroundings import Surroundings

# Seconds for which the brake goes by what it was told of a population.
_POPULATION_LASTS = 600.0
_AFTER_FAULT = 5.0

_log = logging.getLogger(__name__)


class Gate:
    """Lets removals of one destination through, or keeps them; ``envelope`` gives how it sees its directory now."""

    def __init__(
        self,
        destination: Destination,
        lanes: Lanes[Notice],
        settling: Settling,
        given: Surroundings,
        envelope: Callable[[], Awaitable[Envelope]],
        *,
        is_stream: bool,
    ) -> None:
        self.brake: Brake = settling.brake
        self._destination = destination
        self._lanes = lanes
        self._settling = settling
        self._given = given
        self._envelope = envelope
        self._is_stream = is_stream
        # In a stream, where nothing leaves the window: until when the removal at a position settles.
        self._settles: dict[int, float] = {}
        self._learned: dict[str, float] = {}
        self._counting: asyncio.Task[None] | None = None

    def admits(self, unit: Unit[Notice]) -> bool:
        """Whether the unit may be sent, once ``has_permit`` says so; else it is kept, or need not be sent at all."""
        removals = self._removals(unit)
        if not removals:
            return True
        hold = self._lanes.hold_of(unit.lane)
        if self._is_discarded(unit, hold):
            self._lanes.deliver(unit)
            return False
        asked = [one for one in removals if one.position > self._let_go_until(hold)]
        if not asked:
            return True
        now = self._given.now()
        self._forget_old_populations(now)
        until = self._settles.get(unit.items[0].position) if self._is_stream else None
        is_kept = hold is not None and hold.cause == "brake" and hold.first_position == unit.items[0].position
        if hold is not None and is_kept:
            until = hold.due
        was_tripped = self.brake.trip is not None
        verdict = self.brake.judge(asked, now, self._kept_besides(unit, hold), settled_until=until)
        if verdict.word == "go":
            self._lanes.let_go(unit)
            return True
        self._keep(unit, asked, hold if is_kept else None, verdict.due, now)
        if self.brake.trip is not None and not was_tripped:
            self._lanes.keep_all(_reason(None))
            self._tell_trip()
        return False

    async def has_permit(self, unit: Unit[Notice]) -> bool:
        """Wait until the unit's permit is written; False when it was kept instead, because that took too long."""
        while True:
            hold = self._lanes.hold_of(unit.lane)
            asked = [one for one in self._removals(unit) if one.position > self._let_go_until(hold)]
            if not asked or not self.brake.thresholds.enabled:
                return True
            await self._settling.reach(self.brake.edition)
            if self.brake.is_permitted(asked, self._given.now()):
                return True
            if not self.admits(unit):
                return False

    def arrived(self, unit: Unit[Notice]) -> None:
        """The unit arrived."""
        self.brake.arrive([item.position for item in unit.items if item.removed])

    def look(self) -> None:
        """What is to be done now and then: count whom the destination has, and end what is over."""
        if self.brake.trip is not None and not self._lanes.holds.by_cause["brake"] and not self._is_stream:
            self.brake.end_trip()
            _log.warning("brake is released", extra=self._names)
        if self.brake.asked and self._counting is None:
            self._counting = asyncio.create_task(self._count())

    async def close(self) -> None:
        """Stop counting."""
        if self._counting is not None:
            self._counting.cancel()
            await asyncio.gather(self._counting, return_exceptions=True)

    # ------------------------------------------------------------------ within

    def _removals(self, unit: Unit[Notice]) -> list[Removal]:
        return [Removal(item.position, item.removes, item.removed) for item in unit.items if item.removed]

    def _let_go_until(self, hold: Hold | None) -> int:
        """Up to where an administrator has let removals go."""
        if self._is_stream:
            return self.brake.released
        return hold.until or 0 if hold is not None and hold.cause in LET_GO else 0

    def _is_discarded(self, unit: Unit[Notice], hold: Hold | None) -> bool:
        until = self.brake.discarded if self._is_stream else 0
        if hold is not None and hold.cause == "discarded":
            until = hold.until or 0
        return all(item.removed > 0 for item in unit.items) and unit.items[-1].position <= until

    def _kept_besides(self, unit: Unit[Notice], hold: Hold | None) -> Mapping[str, int]:
        """How many of each sort wait besides the unit."""
        if self._is_stream:
            return self._lanes.coming(unit.lane)
        kept = dict(self._lanes.holds.kept)
        if hold is not None and hold.cause == "brake":
            kept[hold.removes] -= hold.removed
        return kept

    def _keep(
        self, unit: Unit[Notice], removals: Sequence[Removal], former: Hold | None, due: float | None, now: float
    ) -> None:
        if self._is_stream:
            if due is not None:
                self._settles = {unit.items[0].position: due}
            self._lanes.rest(unit, due)
        else:
            since = now if former is None else former.since
            sort, count = removals[0].sort, sum(removal.count for removal in removals)
            first = unit.items[0].position
            self._lanes.keep(unit, Hold(unit.lane, first, since, 0, due, _reason(due), "brake", None, sort, count))

    def _tell_trip(self) -> None:
        trip = self.brake.trip
        if trip is None:
            return
        name = self._destination.name
        more = {
            "removals": trip.count,
            "of": trip.population,
            "sort": trip.sort,
            "next": f"scimhub destination brake show {name} --directory {self._destination.directory_name}",
        }
        _log.warning("brake tripped: removals are held", extra={**self._names, **more})

    def _forget_old_populations(self, now: float) -> None:
        for sort in [sort for sort, time in self._learned.items() if not 0 <= now - time < _POPULATION_LASTS]:
            del self._learned[sort]
            self.brake.populations.pop(sort, None)

    async def _count(self) -> None:
        try:
            interest = (await self._envelope()).interest
            for sort in list(self.brake.asked):
                present = await census.count(self._given.store, self._destination.directory, interest, sort)
                now = self._given.now()
                kept = self._lanes.coming(STREAM) if self._is_stream else self._lanes.holds.kept
                self.brake.learn(sort, present, kept, now)
                self._learned[sort] = now
                if self.brake.check(kept, now):
                    self._lanes.keep_all(_reason(None))
                    self._tell_trip()
        except StoreUnavailable as fault:
            _log.warning("population not counted", extra={**self._names, "reason": str(fault)})
            await asyncio.sleep(_AFTER_FAULT)
        except Stopped:
            pass  # the pump meets it at its next change
        finally:
            self._counting = None

    @property
    def _names(self) -> dict[str, str]:
        return {"directory": self._destination.directory_name, "destination": self._destination.name}


def _reason(due: float | None) -> str:
    return "The brake has tripped; release or discard it." if due is None else "It waits for the rest of its burst to be seen."
