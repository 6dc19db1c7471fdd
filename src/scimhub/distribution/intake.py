"""From the log into the lanes of one destination: what is new, and what is owed to held lanes and read again."""

from collections import deque
from collections.abc import Callable, Sequence

from scimhub.directory.errors import Invalid
from scimhub.directory.records import Change
from scimhub.distribution import delivery, envelope, times
from scimhub.distribution.delivery import Destination
from scimhub.distribution.lane import Item
from scimhub.distribution.outlook import Outlook
from scimhub.distribution.owing import OwingLanes
from scimhub.distribution.subscription import Notice
from scimhub.distribution.surroundings import Surroundings

# Changes asked for at once: few, which are read on the spot, and many while there is much to catch up with.
_FEW, _MANY = 100, 500
_OWED_AT_ONCE = 100

# The lane of a destination that takes everything in order; no resource has this id.
STREAM = ""


class Stopped(Exception):
    """The destination must not be served any longer; it is to be put into that state for that reason."""

    def __init__(self, state: delivery.State, reason: str) -> None:
        super().__init__(reason)
        self.state = state


class Intake:
    """Reads for one destination and fills its lanes; raises Stopped when it cannot be served any longer."""

    def __init__(
        self, destination: Destination, outlook: Outlook, lanes: OwingLanes[Notice], given: Surroundings, *, joins_runs: bool
    ) -> None:
        # The whole stream is then one lane: it never leaves the window, for nothing may overtake it (DECISIONS 10).
        self.is_stream = destination.configuration.get("order") == "stream"
        self._destination = destination
        self._outlook = outlook
        self._lanes = lanes
        self._given = given
        self._joins_runs = joins_runs
        # Position and time of each change that was read and wanted, to tell how old the oldest is that waits.
        self._wanted: deque[tuple[int, str]] = deque()
        self._more, self._wakes = True, 0

    def wake(self) -> None:
        """There are new changes."""
        self._more = True
        self._wakes += 1

    @property
    def can_go_on(self) -> bool:
        """Whether there is more to read, and room for it."""
        return self._more and self._lanes.room >= _FEW

    @property
    def is_blocked(self) -> bool:
        """Whether there is more to read, and no room until something is done."""
        return self._more and self._lanes.room < _FEW and self._lanes.has_lanes

    @property
    def oldest(self) -> str | None:
        """When the oldest change was committed that waits and is not held, None when none does."""
        return next((time for position, time in self._wanted if position > self._lanes.cursor), None)

    def forget(self, cursor: int) -> None:
        """Everything up to the cursor is settled."""
        while self._wanted and self._wanted[0][0] <= cursor:
            self._wanted.popleft()

    async def read(self) -> None:
        """Offer what is new, as far as there is room."""
        if not self._more or self.is_blocked:
            return
        wanted = min(self._lanes.room, _FEW if self._lanes.read_position - self._lanes.cursor < _FEW else _MANY)
        wakes = self._wakes
        changes = await self._given.reader.read_changes(self._lanes.read_position, wanted)
        await self._offer(changes)
        # What was committed while we read has woken us, and may not be among what was read.
        self._more = len(changes) == wanted or self._wakes != wakes

    async def recall(self, may_go_on: Callable[[], bool]) -> None:
        """Read again what is owed to held lanes whose time has come, while there is room and leave."""
        self._lanes.wake(self._given.now())
        while self._lanes.room and may_go_on() and (wish := self._lanes.recall()) is not None:
            lane, first, last = wish
            owed = await self._given.reader.read_changes_of(lane, first, last, _OWED_AT_ONCE)
            read_to = owed[-1].position if len(owed) == _OWED_AT_ONCE else last
            interest = (await self.envelope()).interest
            notices = [self._assess(change, interest.assess) for change in owed]
            self._lanes.refill(lane, [self._item(notice) for notice in notices if notice is not None], read_to)

    async def recall_states(self, may_go_on: Callable[[], bool]) -> None:
        """Read what resources are now of which the state is owed, a few at a time: they are to be sent as they are then."""
        while self._lanes.room and may_go_on() and (wish := self._lanes.recall_state()) is not None:
            lane, ask, covered = wish
            change = await self._given.reader.read_state(lane)
            interest = (await self.envelope()).interest
            notice = None
            if change is not None and change.directory == self._destination.directory:
                covered, notice = max(covered, change.position), interest.state_of(change, ask)
            self._lanes.refill(lane, [] if notice is None else [self._item(notice)], covered)

    async def envelope(self) -> envelope.Envelope:
        """How the destination is told of changes now."""
        try:
            return await self._outlook.envelope()
        except Invalid as fault:
            raise Stopped("failing", f"Its subscription cannot be used any more: {fault}") from fault

    # ------------------------------------------------------------------ within

    async def _offer(self, changes: Sequence[Change]) -> None:
        interest = (await self.envelope()).interest
        for change in changes:
            notice = self._assess(change, interest.assess)
            if notice is None:
                self._lanes.skip(change.position)
                continue
            self._wanted.append((change.position, change.time))
            self._lanes.offer(STREAM if self.is_stream else change.resource_id, self._item(notice))

    def _assess(self, change: Change, assess: Callable[[Change], Notice | None]) -> Notice | None:
        if change.directory != self._destination.directory:
            return None
        if change.after is None and not change.before:
            raise Stopped("behind", f"Retention removed change {change.position} before it was delivered; a resync is needed.")
        return assess(change)

    def _item(self, notice: Notice) -> Item[Notice]:
        change = notice.change
        touched = len(change.members_added) + len(change.members_removed)
        size = len(change.after or "") + 40 * touched
        return Item(change.position, notice, touched if notice.is_run and self._joins_runs else 0, size)


def age(oldest: str | None, now: float) -> float:
    """How many seconds ago that was; 0 for None."""
    return 0.0 if oldest is None else now - times.seconds(oldest)
