"""From the log into the lanes of one destination: what is new, and what is owed to held lanes and read again."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from scimhub.directory.errors import Invalid
from scimhub.directory.records import Change
from scimhub.distribution import delivery, envelope, times, turns
from scimhub.distribution.delivery import MEMBERS, Destination, Kept
from scimhub.distribution.gate import STREAM
from scimhub.distribution.lane import Hold, Item, Unit
from scimhub.distribution.outlook import Outlook
from scimhub.distribution.owing import OwingLanes
from scimhub.distribution.subscription import Interest, Notice, tells_active
from scimhub.distribution.surroundings import Surroundings

# Changes asked for at once: few, which are read on the spot, and many while there is much to catch up with.
_FEW, _MANY = 50, 500
# Of many, so many are looked at in one turn: as much work as to begin ``turns.AT_ONCE`` messages.
_IN_A_TURN = 50
_OWED_AT_ONCE = 100
_LEAVERS_AT_ONCE = 100


class Stopped(Exception):
    """The destination must not be served any longer; it is to be put into that state for that reason."""

    def __init__(self, state: delivery.State, reason: str) -> None:
        super().__init__(reason)
        self.state = state


class Intake:
    """Reads for one destination and fills its lanes; raises Stopped when it cannot be served any longer."""

    def __init__(
        self,
        destination: Destination,
        outlook: Outlook,
        lanes: OwingLanes[Notice],
        given: Surroundings,
        kept: Sequence[Kept],
        *,
        joins_runs: bool,
    ) -> None:
        # The whole stream is then one lane: it never leaves the window, for nothing may overtake it (DECISIONS 10).
        self.is_stream = destination.configuration.get("order") == "stream"
        self._destination = destination
        self._outlook = outlook
        self._lanes = lanes
        self._given = given
        self._joins_runs = joins_runs
        self._tells_states = destination.subscription.style == "state"
        # Resources that the destination keeps because their removal at that position was discarded; and those of them that no
        # longer are so.
        self._kept = {one.resource_id: one.position for one in kept}
        self.returned: set[str] = set()
        # Position and time of each change that was read and wanted, to tell how old the oldest is that waits.
        self._wanted: deque[tuple[int, str]] = deque()
        self._more, self._wakes = True, 0
        # Up to where the log was searched for leavers beyond the window, and how often it had been woken then.
        self._scouted, self._scouted_wakes = 0, -1
        # When each leaver was committed that was met and has not arrived, by position.
        self._leavers: dict[int, str] = {}

    def wake(self) -> None:
        """There are new changes."""
        self._more = True
        self._wakes += 1

    @property
    def read_position(self) -> int:
        """Up to where the log was read."""
        return self._lanes.read_position

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

    @property
    def oldest_leaver(self) -> str | None:
        """When the oldest deletion or deactivation was committed that waits and is not kept by the brake."""
        return min(self._leavers.values(), default=None)

    def dismiss(self, unit: Unit[Notice]) -> None:
        """The unit is not to be sent now."""
        for item in unit.items:
            self._leavers.pop(item.position, None)

    def note_arrival(self, unit: Unit[Notice]) -> None:
        """The unit arrived."""
        self.dismiss(unit)
        if self._kept and any(item.is_leaver or item.content.ask for item in unit.items):
            self._no_longer_kept(unit.items[0].content.change.resource_id)

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
        for first in range(0, len(changes), _IN_A_TURN):
            if wanted > _FEW:
                await self._given.turns.take(self._destination.directory, self._destination.key, turns.AT_ONCE)
            await self._offer(changes[first : first + _IN_A_TURN])
        # What was committed while we read has woken us, and may not be among what was read.
        self._more = len(changes) == wanted or self._wakes != wakes

    async def scout(self) -> None:
        """While the window is full: have leavers beyond it overtake what lies between."""
        if not self.is_blocked or self.is_stream or not self._lanes.may_overtake or self._scouted_wakes == self._wakes:
            return
        wakes, after = self._wakes, max(self._scouted, self._lanes.read_position)
        found = await self._given.reader.read_leavers(after, _LEAVERS_AT_ONCE)
        interest = (await self.envelope()).interest
        for change in found:
            notice = self._assess(change, interest.assess)
            if notice is not None and notice.takes:
                self._leavers[change.position] = change.time
                self._lanes.overtake(change.resource_id, change.position, self._given.now())
        self._scouted = found[-1].position if found else after
        if len(found) < _LEAVERS_AT_ONCE:
            self._scouted_wakes = wakes

    async def recall(self, may_go_on: Callable[[], bool]) -> None:
        """Read again what is owed to held lanes whose time has come, while there is room and leave."""
        self._lanes.wake(self._given.now())
        while self._lanes.may_recall and may_go_on() and (wish := self._lanes.recall()) is not None:
            lane, first, last = wish
            owed = await self._given.reader.read_changes_of(lane, first, last, _OWED_AT_ONCE)
            read_to = owed[-1].position if len(owed) == _OWED_AT_ONCE else last
            interest = (await self.envelope()).interest
            notices = [notice for change in owed if (notice := self._assess(change, interest.assess)) is not None]
            self._leavers |= {notice.change.position: notice.change.time for notice in notices if notice.takes}
            self._lanes.refill(lane, [self._item(notice) for notice in notices], read_to)

    async def recall_states(self, may_go_on: Callable[[], bool]) -> None:
        """Read what resources are now of which the state is owed, a few at a time: they are to be sent as they are then."""
        while self._lanes.may_recall and may_go_on() and (wish := self._lanes.recall_state()) is not None:
            lane, hold, covered = wish
            change = await self._given.reader.read_state(lane)
            interest = (await self.envelope()).interest
            notice = None
            if change is not None and change.directory == self._destination.directory:
                covered, notice = max(covered, change.position), interest.state_of(change, hold.ask)
            item = None if notice is None else await self._with_removals(self._item(notice), hold, interest)
            self._lanes.refill(lane, [] if item is None else [item], covered)

    async def count_removals(self, sort: str, after: int, until: int) -> int:
        """How many of the sort the changes behind ``after``, up to ``until``, take away from the destination."""
        interest = (await self.envelope()).interest
        count = 0
        while after < until and (changes := await self._given.reader.read_changes(after, min(_MANY, until - after))):
            notices = (self._assess(change, interest.assess) for change in changes)
            removals = (self._removal(notice) for notice in notices if notice is not None)
            count += sum(removed for removes, removed in removals if removes == sort)
            after = changes[-1].position
        return count

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
            waits = self._lanes.offer(STREAM if self.is_stream else change.resource_id, self._item(notice))
            if waits and notice.takes:
                self._leavers[change.position] = change.time

    def _assess(self, change: Change, assess: Callable[[Change], Notice | None]) -> Notice | None:
        if change.directory != self._destination.directory:
            return None
        if _is_empty(change):
            raise Stopped("behind", f"Retention removed change {change.position} before it was delivered; a resync is needed.")
        return assess(change)

    def _item(self, notice: Notice) -> Item[Notice]:
        # Taken apart at once: a named field costs three times as much, and this runs for each change.
        position, _, _, _, _, resource_id, _, _, _, _, after, _, _, members_added, members_removed = notice.change
        _, kind, _, _, _, _, takes, returns, ask = notice
        touched = len(members_added) + len(members_removed)
        size = len(after or "") + 40 * touched
        weight = touched if touched and notice.is_run and self._joins_runs else 0
        is_kept = resource_id in self._kept
        removes, removed = self._removal(notice) if takes or members_removed or is_kept else ("", 0)
        # A state says "returns" of everybody in scope, also of who is inactive; of a group's members it is known later.
        if returns and is_kept and not removed and not (ask and kind.has_members):
            self._no_longer_kept(resource_id)
        is_state = self._tells_states and not kind.has_members and not ask
        return Item(position, notice, weight, size, removes, removed, returns, is_state)

    def _removal(self, notice: Notice) -> tuple[str, int]:
        """As what, and how often, the brake counts what the notice takes away; nothing is no time."""
        change = notice.change
        # To a destination that keeps somebody, whatever shows that he is inactive is his removal.
        is_kept = change.resource_id in self._kept
        if notice.takes or (is_kept and '"active":false' in (change.after or "")):
            return notice.kind.name, 1
        if notice.members and change.members_removed:
            return MEMBERS, len(change.members_removed)
        return "", 0

    async def _with_removals(self, item: Item[Notice], hold: Hold, interest: Interest) -> Item[Notice]:
        """The state with what it takes away that nobody was told of: the brake asks of that, too."""
        state = item.content.change
        if item.removed:
            return item
        has_come_back = not item.content.kind.has_members and tells_active(state.after)
        if hold.cause == "discarded" and state.position <= (hold.until or 0) and not has_come_back:
            # What an administrator gave up is given up as a whole; of who came back nothing is.
            return replace(item, removes=MEMBERS if item.content.kind.has_members else state.kind, removed=1)
        if hold.cause == "brake" and item.content.kind.has_members:
            return replace(item, removes=hold.removes, removed=hold.removed)
        if not item.content.kind.has_members:
            takes = not has_come_back and await self._deactivates(state, hold, interest)
            return replace(item, removes=state.kind, removed=1) if takes else item
        # A destination that keeps members still has those who went since then.
        owed = await self._untold(state, min(hold.first_position, self._kept.get(state.resource_id, hold.first_position)))
        taken: set[str] = set()
        for change in owed:
            taken = (taken | set(change.members_removed)) - set(change.members_added)
        if any(_is_empty(change) for change in owed):
            # Retention emptied what says who went; a ledger has whom the destination was given.
            written = await self._given.store.list_pending(self._destination.key, state.resource_id, "written")
            taken |= {one.member_id for one in written} - set(state.members_added)
        return replace(item, removes=MEMBERS, removed=len(taken)) if taken and item.content.members else item

    async def _deactivates(self, state: Change, hold: Hold, interest: Interest) -> bool:
        """Whether the destination has somebody active whom the state shows inactive, as far as that can be known."""
        if hold.removed:
            return True
        owed = await self._untold(state, hold.first_position)
        # What retention emptied may have deactivated; who was created by it was never there.
        if owed and _is_empty(owed[0]) and owed[0].operation == "created":
            return False
        notices = (interest.assess(change) for change in owed if not _is_empty(change))
        return any(_is_empty(change) for change in owed) or any(notice is not None and notice.takes for notice in notices)

    async def _untold(self, state: Change, first: int) -> Sequence[Change]:
        """What the log has of the resource from the position on, up to its state."""
        found: list[Change] = []
        while True:
            some = await self._given.reader.read_changes_of(state.resource_id, first, state.position, _OWED_AT_ONCE)
            found += some
            if len(some) < _OWED_AT_ONCE:
                return found
            first = some[-1].position + 1

    def _no_longer_kept(self, resource_id: str) -> None:
        if resource_id in self._kept:
            del self._kept[resource_id]
            self.returned.add(resource_id)


def _is_empty(change: Change) -> bool:
    """Whether retention removed what the change says."""
    return change.after is None and not change.before


def age(oldest: str | None, now: float) -> float:
    """How many seconds ago that was; 0 for None."""
    return 0.0 if oldest is None else now - times.seconds(oldest)
