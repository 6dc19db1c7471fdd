"""Where one destination stands, written down: a few times a second, and beside its loop, for a commit waits for the disk."""

import asyncio
import logging
from collections.abc import Callable

from scimhub.directory.errors import StoreUnavailable
from scimhub.distribution import brake, times
from scimhub.distribution.brake import Brake
from scimhub.distribution.delivery import Destination
from scimhub.distribution.lanes import Lanes
from scimhub.distribution.leases import Lease
from scimhub.distribution.outlook import Outlook
from scimhub.distribution.ports import Settlement
from scimhub.distribution.subscription import Notice
from scimhub.distribution.surroundings import Surroundings

# Seconds between two settlings, and between two that only say that nothing concerned the destination.
_SETTLE_EVERY = 0.2
_NOTE_EVERY = 5.0
_MOST_UNSETTLED = 500
# A crash repeats no more changes than this; what remembers what it has, such as a transaction of Kafka's, builds on it.
MOST_REPEATED = 1000
_AFTER_FAULT = 1.0
_NEVER = 60.0

_log = logging.getLogger(__name__)


class Settling:
    """Settles one destination; ``tell`` hears what has gone wrong, or None when it went well."""

    def __init__(
        self, destination: Destination, lease: Lease, outlook: Outlook, lanes: Lanes[Notice], given: Surroundings
    ) -> None:
        self._destination = destination
        self._lease = lease
        self._outlook = outlook
        self._lanes = lanes
        self._given = given
        self._beside: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._unsettled = 0
        self._settled_at = given.now()
        self.brake = Brake(brake.read_thresholds(destination.brake), destination.brake_state)
        # Which edition of the brake's state is written, and up to where everything is settled.
        self._edition = self.brake.edition
        self.cursor = destination.cursor
        # Resources of which it need not be remembered any longer that the destination keeps them.
        self.returned: set[str] = set()

    def count(self, delivered: int) -> None:
        """So many more changes have arrived."""
        self._unsettled += delivered

    def room(self, limit: int, in_flight: int) -> int:
        """How many more may be sent before the next settling, where ``limit`` may be in flight and so many are."""
        return min(limit, MOST_REPEATED - self._unsettled) - in_flight

    def due(self) -> float | None:
        """When to settle next; None while it is being done."""
        if self._beside is not None:
            return None
        now = self._given.now()
        self._settled_at = min(self._settled_at, now + _AFTER_FAULT)  # the clock may have been set back
        if self._lanes.holds.is_dirty or self._unsettled or self._edition < self.brake.edition:
            return self._settled_at + (_SETTLE_EVERY if self._unsettled < _MOST_UNSETTLED else 0.0)
        return self._settled_at + _NOTE_EVERY if self._lanes.cursor != self.cursor else now + _NEVER

    def begin(self, tell: Callable[[Exception | None], None]) -> None:
        """Settle beside the loop: a commit waits for the disk, and the next messages need not."""
        self._beside = asyncio.create_task(self._settle_beside(tell))

    async def end(self) -> None:
        """Wait for what was begun."""
        if self._beside is not None:
            await self._beside

    async def settle(self) -> None:
        """Write where the destination stands; raises StoreUnavailable or LeaseLost."""
        async with self._one_at_a_time:
            await self._settle()

    async def reach(self, edition: int) -> None:
        """Have that edition of the brake's state written; whoever waits at the same time is served by the same writing."""
        while self._edition < edition:
            async with self._one_at_a_time:
                if self._edition < edition:
                    await self._settle()

    async def _settle_beside(self, tell: Callable[[Exception | None], None]) -> None:
        failed = None
        try:
            await self.settle()
        except StoreUnavailable as fault:
            self._settled_at = self._given.now() + _AFTER_FAULT
            names = {"directory": self._destination.directory_name, "destination": self._destination.name}
            _log.warning("pump waits for the database", extra={**names, "reason": str(fault)})
        except Exception as error:
            failed = error
        self._beside = None
        tell(failed)

    async def _settle(self) -> None:
        standing, unsettled = self._lanes.standing(), self._unsettled
        edition, returned = self.brake.edition, sorted(self.returned)
        replay = self._outlook.replay
        is_over = replay is not None and standing.cursor >= replay.until and not self._lanes.holds.owe(replay)
        self._given.reach("before_settle")
        settlement = Settlement(
            standing.cursor,
            standing.ahead,
            [times.held_of(hold) for hold in standing.holds],
            standing.releases,
            is_over,
            self._lease.epoch,
            None if edition == self._edition else self.brake.state(),
            returned,
        )
        await self._given.store.settle(self._destination.key, settlement)
        self._given.reach("after_settle")
        self._lanes.settled(standing)
        self._edition = edition
        self.returned.difference_update(returned)
        if is_over:
            self._outlook.end_replay()
        self._unsettled -= unsettled  # more may have arrived meanwhile
        self._settled_at, self.cursor = self._given.now(), standing.cursor
