"""What to send now, what to hold, how far the cursor may move. Pure state: no I/O, no clock, no chance.

Changes are offered in order of position. Those that the destination wants wait in a lane for each resource, at most one
message of a lane is in flight, and the cursor follows the first position that is not done. A lane that fails too long is
held: its changes leave the window, one row stands for all that is owed, and when its time comes they are read again from
the log, in order. So a failing resource costs one row and no order, and a destination that is down costs nothing.

Whoever leaves goes first: a lane with a removal is taken before the others, and a *leaver* that is still beyond the window
overtakes what lies between. Its resource's changes are then read from the log at once, and the row stays until the window
has passed there, so that no restart sends them again behind their removal.

What is not yet settled when the process dies is sent once more: a restart begins with the settled cursor, the positions
ahead of it, and what is held.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Generic, TypeVar

from scimhub.distribution.delivery import HeldCause
from scimhub.distribution.holds import Holds
from scimhub.distribution.lane import LET_GO, Hold, Item, Lane, Standing, Unit, unkept
from scimhub.distribution.queues import Queues

T = TypeVar("T")

# How many wanted changes may be beyond the cursor: what a restart may have to look at again.
CAPACITY = 1000
# How many bytes the changes that wait in memory may have, roughly.
MOST_BYTES = 8 * 1024 * 1024
# Membership changes that touch more members than this travel in several runs.
MOST_IN_RUN = 1000


class Lanes(Generic[T]):
    """The state of one destination between reading the log and settling."""

    def __init__(
        self,
        cursor: int,
        ahead: Iterable[int] = (),
        holds: Iterable[Hold] = (),
        *,
        capacity: int = CAPACITY,
        one_in_flight: bool = True,
    ) -> None:
        self.read_position = cursor
        self._capacity = capacity
        # False only in the test that shows what the rule is good for.
        self._one_in_flight = one_in_flight
        self._known = set(ahead)
        # How far the log was read before the restart: what lies ahead of the cursor may be owed by a hold.
        self._horizon = max(self._known, default=cursor)
        self._order: deque[int] = deque()
        self._done: set[int] = set()
        self._bytes = 0
        # How many changes were read again and have not arrived, and their bytes, which are not among the others.
        self._recalled = self._recalled_bytes = 0
        self._lanes: dict[str, Lane[T]] = {}
        self._queues: Queues[T] = Queues(self._lanes)
        self.holds: Holds[T] = Holds(self._lanes)
        for hold in holds:
            state: Lane[T] = Lane(attempts=hold.attempts, tries=hold.attempts)
            self._lanes[hold.lane] = state
            self.holds.load(state, hold)
            self._queues.rest(hold.lane, state, hold.due)

    # ------------------------------------------------------------------ reading

    @property
    def room(self) -> int:
        """How many more changes may be offered now."""
        if self._bytes >= MOST_BYTES:
            return 0
        return max(0, self._capacity - len(self._order))

    @property
    def may_recall(self) -> bool:
        """Whether there is memory for what is read again, which a full window must not keep from going on."""
        return self._recalled_bytes < MOST_BYTES and self._recalled < self._capacity

    def skip(self, position: int) -> None:
        """The change at the position is none of the destination's business."""
        self.read_position = position
        self._known.discard(position)

    def offer(self, lane: str, item: Item[T]) -> bool:
        """The destination wants this change, which comes behind all that were offered; whether it waits in the window now."""
        self.read_position = item.position
        self._order.append(item.position)
        state = self._lanes.get(lane)
        if state is not None and state.is_parked and item.position >= state.first_owed:
            self._end_hold(lane, state)
            state = None
        if state is not None and state.hold is not None:
            if item.position >= state.hold.first_position:
                state.newest = max(state.newest, item.position)
                if item.returns:
                    self._note_return(lane, state, item.position)
            self._finish(item.position)
        elif item.position in self._known:
            self._finish(item.position)
        else:
            self._append(lane, state or self._lanes.setdefault(lane, Lane()), item)
            return True
        self._known.discard(item.position)
        return False

    @property
    def may_overtake(self) -> bool:
        """Whether all is read that was before the restart: only then is it known what of a resource has arrived."""
        return self.read_position >= self._horizon

    def overtake(self, lane: str, position: int, now: float) -> None:
        """A leaver is at the position, beyond the window: what its resource is owed up to there is to be sent now."""
        if position <= self.read_position:
            return
        state = self._lanes.setdefault(lane, Lane())
        hold = state.hold
        if hold is not None and (hold.cause in LET_GO or position < hold.first_position):
            return
        if hold is not None:
            was_parked = state.is_parked
            state.newest = max(state.newest, position)
            self.holds.put(
                lane, state, replace(hold, until=max(position, hold.until or 0), due=now if was_parked else hold.due)
            )
            if was_parked:
                self._queues.add(lane, state, is_recalled=True)
            return
        state.leaver, state.leaver_since = max(state.leaver, position), now
        if not state.in_flight and state.due is None:
            self._begin_overtaking(lane, state)

    def recall(self) -> tuple[str, int, int] | None:
        """A held lane whose time has come, and the first and last position to read again for it, for ``refill``."""
        turn = self._queues.recall()
        if turn is None:
            return None
        lane, state = turn
        last = max(self.read_position, self._horizon, 0 if state.hold is None else state.hold.until or 0)
        state.newest = max(state.newest, last)
        return lane, last + 1 if state.hold is None else state.hold.first_position, last

    def refill(self, lane: str, items: Sequence[Item[T]], read_to: int) -> None:
        """What was owed to the recalled lane up to ``read_to``, as the destination wants it now."""
        state = self._lanes[lane]
        state.items.extend(items)
        state.leavers += sum(item.is_leaver for item in items)
        self._recalled += len(items)
        self._recalled_bytes += sum(item.size for item in items)
        state.read_to = read_to
        if items:
            self._queues.add(lane, state)
        else:
            self._owe_from(lane, state, read_to + 1)

    # ------------------------------------------------------------------ sending

    def take(self, now: float, *, untried_first: bool = False) -> Unit[T] | None:
        """The next message to send, now in flight, or None when nothing may be sent.

        ``untried_first`` prefers a lane that has not failed: as a probe it tells most.
        """
        self._queues.wake(now)
        turn = self._queues.take(untried_first=untried_first)
        if turn is None:
            return None
        lane, state = turn
        items, state.frozen = state.frozen or state.cut(MOST_IN_RUN), ()
        state.in_flight += 1
        state.tries += 1
        is_removal = bool(items[0].removed) if len(items) == 1 else any(item.removed for item in items)
        return Unit(lane, items, state.attempts + 1, state.tries, is_removal)

    def deliver(self, unit: Unit[T]) -> None:
        """The unit arrived, or need not be sent any more."""
        state = self._land(unit)
        state.attempts = state.tries = 0
        if unit.is_removal:
            state.leavers -= sum(item.is_leaver for item in unit.items)
        size = unit.items[0].size if len(unit.items) == 1 else sum([item.size for item in unit.items])
        if state.hold is not None:
            self._recalled -= len(unit.items)
            self._recalled_bytes -= size
            self._owe_from(unit.lane, state, unit.items[-1].position + 1)
            return
        self._bytes -= size
        for item in unit.items:
            self._finish(item.position)
        if state.leaver > self.read_position and not state.in_flight:
            self._begin_overtaking(unit.lane, state)
        elif state.items and self._one_in_flight:
            self._queues.add(unit.lane, state)
        elif not state.items and not state.in_flight:
            del self._lanes[unit.lane]

    def postpone(self, unit: Unit[T]) -> None:
        """The unit was not sent, or failed by no fault of its own: it is as it was before, and others come first."""
        state = self._land(unit)
        state.frozen = unit.items
        self._queues.add(unit.lane, state)

    def rest(self, unit: Unit[T], due: float | None) -> None:
        """The unit is not to be sent before then, or not before a person has looked; its lane stays where it is."""
        state = self._land(unit)
        state.tries -= 1
        state.frozen = unit.items
        self._queues.rest(unit.lane, state, due)

    # ------------------------------------------------------------------ removals

    def coming(self) -> Mapping[str, int]:
        """How many of each sort wait to be removed, and neither have been tried nor are kept by the brake."""
        found: Counter[str] = Counter()
        for state in self._lanes.values():
            if state.hold is None or state.hold.cause != "brake":
                for item in (*(() if state.tries else state.frozen), *state.items):
                    found[item.removes] += item.removed
        return found

    def keep(self, unit: Unit[T], hold: Hold) -> bool:
        """The brake keeps the unit out of the window, as the hold says; False when its resource has come back since.

        Then the unit and what lies between are dropped: the destination was never told that it went.
        """
        state = self._land(unit)
        state.tries -= 1
        state.frozen = unit.items
        if self._drop_until_return(unit.lane, state):
            return False
        ask = "" if state.hold is None else state.hold.ask
        self._hold(unit.lane, state, replace(hold, until=state.until, ask=ask))
        return True

    # ------------------------------------------------------------------ failures

    def wait(self, unit: Unit[T], due: float, error: str) -> None:
        """The unit failed and is tried again then; its lane stays where it is."""
        state = self._land(unit)
        state.attempts += 1
        state.frozen = unit.items
        if state.hold is None:
            self._queues.rest(unit.lane, state, due)
        else:
            self._hold(unit.lane, state, state.failure(unit.lane, state.hold.since, due, error))

    def hold(self, unit: Unit[T], now: float, due: float | None, error: str) -> None:
        """The unit failed and its lane leaves the window until then, or until a person has looked."""
        state = self._land(unit)
        state.attempts += 1
        state.frozen = unit.items
        since = now if state.hold is None else state.hold.since
        self._hold(unit.lane, state, state.failure(unit.lane, since, due, error))

    def hold_first(self, now: float, error: str) -> bool:
        """Hold the resting lane that keeps the cursor from moving; False when there is none."""
        for lane in self._queues.resting:
            state = self._lanes.get(lane)
            if state and state.hold is None and state.due is not None and state.frozen[0].position == self._order[0]:
                self._hold(lane, state, state.failure(lane, now, state.due, error))
                return True
        return False

    def wake(self, now: float) -> None:
        """Let lanes go on whose rest is over."""
        self._queues.wake(now)

    def next_due(self) -> float | None:
        """When the next resting lane may go on, None when none rests."""
        return self._queues.next_due()

    @property
    def has_lanes(self) -> bool:
        """Whether anything waits, rests, is in flight or is held."""
        return bool(self._lanes)

    @property
    def wants_recall(self) -> bool:
        """Whether a held lane waits for ``recall``."""
        return self._queues.has_recalls

    # ------------------------------------------------------------------ settling

    @property
    def cursor(self) -> int:
        """Everything up to here has arrived, was not wanted, or is held."""
        return self._order[0] - 1 if self._order else self.read_position

    def standing(self) -> Standing:
        """What to write; ``settled`` is told once it is written."""
        for lane, state in self.holds.passed(self.read_position):
            self._end_hold(lane, state)
        holds, released = self.holds.unwritten()
        return Standing(self.cursor, frozenset(self._done) | self._known, holds, released)

    def settled(self, standing: Standing) -> None:
        """That standing was written; what happened since is still to be written."""
        self.holds.written(standing.holds, standing.releases)

    # ------------------------------------------------------------------ within

    def _append(self, lane: str, state: Lane[T], item: Item[T]) -> None:
        self._bytes += item.size
        state.items.append(item)
        state.leavers += item.is_leaver
        is_idle = len(state.items) == 1 and not state.in_flight and not state.frozen
        if is_idle or not self._one_in_flight:
            self._queues.add(lane, state)
        elif item.removed and item.is_leaver and state.is_queued:
            self._queues.hasten(lane)

    def _land(self, unit: Unit[T]) -> Lane[T]:
        state = self._lanes[unit.lane]
        state.in_flight -= 1
        return state

    def _finish(self, position: int) -> None:
        self._done.add(position)
        while self._order and self._order[0] in self._done:
            self._done.discard(self._order.popleft())

    def _hold(self, lane: str, state: Lane[T], hold: Hold) -> None:
        """Owe the lane everything from what was tried on; its changes leave memory and, being owed, count as done."""
        self._drop(state, len(state.items))
        state.leaver = 0
        self.holds.put(lane, state, hold)
        self._queues.rest(lane, state, hold.due)

    def _drop(self, state: Lane[T], count: int) -> None:
        """Forget what was tried and so many items behind it: they are done, or owed by the lane's hold."""
        for item in (*state.frozen, *(state.items.popleft() for _ in range(count))):
            state.leavers -= item.is_leaver
            state.newest = max(state.newest, item.position)
            if state.hold is None:
                self._bytes -= item.size
                self._finish(item.position)
            else:
                self._recalled -= 1
                self._recalled_bytes -= item.size
        state.frozen = ()

    def _begin_overtaking(self, lane: str, state: Lane[T]) -> None:
        """Hold the lane so that all of it is read from the log, as far as its leaver."""
        first = next((item.position for item in (*state.frozen, *state.items)), self.read_position + 1)
        self._queues.remove(lane, state)
        state.newest = max(state.newest, state.leaver)
        since = state.leaver_since
        hold = Hold(lane, first, since, state.attempts, since, "", "leaver", state.leaver)
        self._hold(lane, state, hold)

    def _note_return(self, lane: str, state: Lane[T], position: int) -> None:
        """The resource of a lane that is held came back: what the brake keeps of it until then need not be told."""
        hold = state.hold
        if hold is None or hold.cause != "brake" or position <= hold.first_position:
            return
        if state.items or state.frozen or state.in_flight:
            state.returned = state.returned or position
            return
        self.holds.put(lane, state, replace(unkept(hold), first_position=position))
        state.due = None
        if not state.is_queued:
            self._queues.add(lane, state, is_recalled=True)

    def _drop_until_return(self, lane: str, state: Lane[T]) -> bool:
        """Drop what was to be kept and all up to where its resource comes back; False when it does not."""
        place = next((number for number, item in enumerate(state.items) if item.returns), None)
        if place is None and not (state.hold is not None and state.returned > state.frozen[0].position):
            return False
        self._drop(state, len(state.items) if place is None else place)
        first = state.items[0].position if state.items else state.returned
        if state.hold is not None:
            self.holds.put(lane, state, replace(unkept(state.hold), first_position=first))
        state.returned = 0
        self._queues.add(lane, state, is_recalled=not state.items)
        return True

    def _owe_from(self, lane: str, state: Lane[T], position: int) -> None:
        """The held lane has everything before the position; when nothing more is owed the hold ends, or is parked."""
        hold = state.hold
        if hold is None:
            return
        if state.items or state.newest > state.read_to:
            cause: HeldCause = "failure" if hold.cause in ("brake", "state") else hold.cause
            going = replace(hold, first_position=position, attempts=0, error="", cause=cause, removes="", removed=0, ask="")
            self.holds.put(lane, state, going)
            self._queues.add(lane, state, is_recalled=not state.items)
            return
        behind = state.read_to + 1
        if behind - 1 > (self.read_position if hold.ask else max(self.read_position, self._horizon)):
            parked = Hold(lane, behind, hold.since, 0, None, "", "leaver", behind - 1)
            self.holds.put(lane, state, parked)
            self.holds.note_parked(lane, state)
            return
        self._end_hold(lane, state)

    def _end_hold(self, lane: str, state: Lane[T]) -> None:
        self.holds.put(lane, state, None)
        del self._lanes[lane]
