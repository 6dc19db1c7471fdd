"""The gate of one destination in its surroundings: permits are written before use, populations counted, trips told."""

import asyncio
import logging
from collections.abc import Callable

from scimhub.directory.errors import StoreUnavailable
from scimhub.distribution import census
from scimhub.distribution.delivery import Destination
from scimhub.distribution.gate import Gate
from scimhub.distribution.intake import Intake, Stopped
from scimhub.distribution.lane import Unit
from scimhub.distribution.settling import Settling
from scimhub.distribution.subscription import Interest, Notice
from scimhub.distribution.surroundings import Surroundings

_AFTER_FAULT = 5.0
# A count that the pump's reading overtakes is made anew, so many times in all.
_MOST_COUNTS = 3

_log = logging.getLogger(__name__)


class Guard:
    """Asks the gate for each unit that removes; ``intake`` knows how the destination sees its directory, and what was read.

    ``wake`` has the pump look again: what was counted may have tripped the brake, which is then to be written and told.
    """

    def __init__(
        self,
        destination: Destination,
        gate: Gate[Notice],
        settling: Settling,
        given: Surroundings,
        intake: Intake,
        wake: Callable[[], None],
    ) -> None:
        self._destination = destination
        self._gate = gate
        self._settling = settling
        self._given = given
        self._intake = intake
        self._wake = wake
        self._counting: asyncio.Task[None] | None = None
        self._has_told = gate.brake.trip is not None

    def admits(self, unit: Unit[Notice]) -> bool:
        """Whether the unit may be sent, if ``has_permit`` says so, too."""
        return self._gate.admits(unit, self._given.now())

    async def has_permit(self, unit: Unit[Notice]) -> bool:
        """Wait until the unit's permit is written; False when it was kept instead, because that took too long."""
        while asked := self._gate.asked(unit):
            await self._settling.reach(self._gate.brake.edition)
            if self._gate.brake.is_permitted(asked, self._given.now()):
                return True
            if not self.admits(unit):
                return False
        return True

    def look(self) -> None:
        """What is to be done now and then: tell what has happened, and count whom the destination has."""
        brake = self._gate.brake
        if brake.trip is not None and not self._has_told:
            self._has_told = True
            self._tell_trip()
        if self._gate.end_trip() or (brake.trip is None and self._has_told):
            self._has_told = False
            _log.warning("brake lets removals go again", extra=self._names)
        if brake.asked and self._counting is None:
            self._counting = asyncio.create_task(self._count())

    async def close(self) -> None:
        """Stop counting."""
        if self._counting is not None:
            self._counting.cancel()
            await asyncio.gather(self._counting, return_exceptions=True)

    # ------------------------------------------------------------------ within

    def _tell_trip(self) -> None:
        trip = self._gate.brake.trip
        if trip is not None:
            told = {"removals": trip.count, "of": trip.population, "sort": trip.sort}
            place = f"{self._destination.name} --directory {self._destination.directory_name}"
            more = {**told, "next": f"scimhub destination brake show {place}"}
            _log.warning("brake tripped: removals are held", extra={**self._names, **more})

    async def _count(self) -> None:
        try:
            interest = (await self._intake.envelope()).interest
            for sort in list(self._gate.brake.asked):
                began = await self._given.reader.last_position()
                present = await census.count(self._given.store, self._destination.directory, interest, sort)
                unread, twice = await self._count_leaving(interest, sort, began)
                self._gate.learn(sort, max(0, present - twice), unread, self._given.now())
        except StoreUnavailable as fault:
            _log.warning("population not counted", extra={**self._names, "reason": str(fault)})
            await asyncio.sleep(_AFTER_FAULT)
        except Stopped:
            pass  # the pump meets it at its next change
        finally:
            self._counting = None
            self._wake()

    async def _count_leaving(self, interest: Interest, sort: str, began: int) -> tuple[int, int]:
        """How many of the sort left behind what was read, and how many left since the count began, at that position.

        The former is 0, by which the brake is stricter, where it is not known: with a filter most of those who left may never
        have been in the scope. The latter wait, and may have been counted as present before; so the brake is stricter by those
        who had gone by then.
        """
        is_known = sort in interest.wishes and interest.wants_all(sort)
        reader, directory, unread, twice = self._given.reader, self._destination.directory, 0, 0
        for _ in range(_MOST_COUNTS):
            read = self._intake.read_position
            unread = await self._given.store.count_leavers(directory, sort, read) if is_known else 0
            twice = await self._intake.count_removals(sort, began, await reader.last_position() if is_known else read)
            if read == self._intake.read_position:
                return unread, twice
        return 0, twice

    @property
    def _names(self) -> dict[str, str]:
        return {"directory": self._destination.directory_name, "destination": self._destination.name}
