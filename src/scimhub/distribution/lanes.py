"""What to send now, what to hold, how far the cursor may move. Pure state: no I/O, no clock, no chance.

Changes are offered in order of position. Those that the destination wants wait in a lane for each resource, at most one
message of a lane is in flight, and the cursor follows the first position that is not done. A lane that fails too long is
held: its changes leave the window, one row stands for all that is owed, and when its time comes they are read again from
the log, in order. So a failing resource costs one row and no order, and a destination that is down costs nothing.

A *state* is owed to a lane when somebody asks for it: its changes leave the window as well, and in the place of what the log
says the resource is read as it is. What is then sent covers every position up to that of its newest change, which may lie
beyond the window; the hold stays until the window has passed there, so that nothing older is sent behind it.

What is not yet settled when the process dies is sent once more: a restart begins with the settled cursor, the positions
ahead of it, and what is held.
"""

import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from scimhub.distribution.delivery import HeldCause

T = TypeVar("T")

# How many wanted changes may be beyond the cursor: what a restart may have to look at again.
CAPACITY = 1000
# How many bytes the changes that wait in memory may have, roughly.
MOST_BYTES = 8 * 1024 * 1024
# Membership changes that touch more members than this travel in several runs.
MOST_IN_RUN = 1000


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    """One wanted change. ``weight`` is how many members it touches when it may travel in a run, else 0."""

    position: int
    content: T
    weight: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Unit(Generic[T]):
    """What travels as one message.

    ``attempt`` counts from 1 the tries that were the resource's own, ``number`` all of them.
    """

    lane: str
    items: tuple[Item[T], ...]
    attempt: int
    number: int


@dataclass(frozen=True, slots=True)
class Hold:
    """A lane out of the window, as ``delivery.Held``; times in seconds. ``due`` is None when it waits for a person."""

    lane: str
    first_position: int
    since: float
    attempts: int
    due: float | None
    error: str
    cause: HeldCause = "failure"
    until: int | None = None
    removes: str = ""
    removed: int = 0
    ask: str = ""

    @property
    def is_passing(self) -> bool:
        """Whether all is sent, further than the window has come; it ends when the window is there."""
        return self.cause == "state" and self.until is not None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a settling must write to be able to go on from here."""

    cursor: int
    ahead: frozenset[int]
    holds: Sequence[Hold]
    releases: Sequence[str]


@dataclass(slots=True)
class _Lane(Generic[T]):
    items: deque[Item[T]] = field(default_factory=deque)
    in_flight: int = 0
    attempts: int = 0
    tries: int = 0
    # What was tried before and is tried again with the same bytes.
    frozen: tuple[Item[T], ...] = ()
    # Until when it rests, None when it does not.
    due: float | None = None
    hold: Hold | None = None
    # Its state was asked for while something was in flight, and begins when that has landed.
    wish: Hold | None = None
    # While held: up to where the log was read again, and the newest position that may be owed.
    read_to: int = 0
    newest: int = 0


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
        self._lanes: dict[str, _Lane[T]] = {}
        # Lanes with something to send, and held lanes whose changes must be read again; each lane is once in one of them.
        self._ready: deque[str] = deque()
        self._recalls: deque[str] = deque()
        # The same for lanes that are owed a state.
        self._told: deque[str] = deque()
        self._asks: deque[str] = deque()
        self._states_in_flight = 0
        self._state_was_last = False
        # Of holds that pass, the position that the window must reach.
        self._passing: list[tuple[int, str]] = []
        self._waiting: list[tuple[float, str]] = []
        self._changed_holds: set[str] = set()
        self._released: set[str] = set()
        for hold in holds:
            state: _Lane[T] = _Lane(hold=hold, attempts=hold.attempts, tries=hold.attempts)
            self._lanes[hold.lane] = state
            if hold.is_passing:
                self._pass(hold)
            else:
                self._rest(hold.lane, state, hold.due)

    # ------------------------------------------------------------------ reading

    @property
    def room(self) -> int:
        """How many more changes may be offered now."""
        if self._bytes >= MOST_BYTES:
            return 0
        return max(0, self._capacity - len(self._order))

    def skip(self, position: int) -> None:
        """The change at the position is none of the destination's business."""
        self.read_position = position
        self._known.discard(position)
        self._end_passing()

    def offer(self, lane: str, item: Item[T]) -> None:
        """The destination wants this change, which comes behind all that were offered."""
        self.read_position = item.position
        self._order.append(item.position)
        state = self._lanes.get(lane)
        if state is not None and state.hold is not None:
            if item.position >= state.hold.first_position:
                state.newest = item.position
            self._finish(item.position)
        elif item.position in self._known:
            self._finish(item.position)
        else:
            self._append(lane, state or self._lanes.setdefault(lane, _Lane()), item)
        self._known.discard(item.position)
        self._end_passing()

    def recall(self) -> tuple[str, int, int] | None:
        """A held lane whose time has come, and the first and last position to read again for it, for ``refill``."""
        return self._recalled(self._recalls.popleft()) if self._recalls else None

    def recall_state(self) -> tuple[str, str, int] | None:
        """A lane that is owed a state, the id of the wish, and the position that the state covers at least, for ``refill``."""
        if not self._asks:
            return None
        lane, first, last = self._recalled(self._asks.popleft())
        hold = self._lanes[lane].hold
        return lane, "" if hold is None else hold.ask, max(first - 1, last)

    def _recalled(self, lane: str) -> tuple[str, int, int]:
        state = self._lanes[lane]
        last = max(self.read_position, self._horizon)
        state.newest = max(state.newest, last)
        return lane, last + 1 if state.hold is None else state.hold.first_position, last

    def refill(self, lane: str, items: Sequence[Item[T]], read_to: int) -> None:
        """What was owed to the recalled lane up to ``read_to``, as the destination wants it now."""
        state = self._lanes[lane]
        state.items.extend(items)
        self._bytes += sum(item.size for item in items)
        state.read_to = read_to
        if items:
            self._line(state).append(lane)
        else:
            self._owe_from(lane, state, read_to + 1)

    # ------------------------------------------------------------------ sending

    def take(self, now: float, *, untried_first: bool = False, most_states: int = 1) -> Unit[T] | None:
        """The next message to send, now in flight, or None when nothing may be sent.

        ``untried_first`` prefers a lane that has not failed: as a probe it tells most. ``most_states`` is how many states may
        be in flight while there is something else to send.
        """
        self.wake(now)
        line = self._next_line(most_states)
        if not line:
            return None
        lane = next((lane for lane in line if not self._lanes[lane].tries), None) if untried_first else None
        if lane is None:
            lane = line.popleft()
        else:
            line.remove(lane)
        state = self._lanes[lane]
        self._state_was_last = line is self._told
        self._states_in_flight += self._state_was_last
        items, state.frozen = state.frozen or self._cut(state), ()
        state.in_flight += 1
        state.tries += 1
        return Unit(lane, items, state.attempts + 1, state.tries)

    def _next_line(self, most_states: int) -> deque[str]:
        """Where the next lane is taken from. Where only one is in flight at a time the two take turns."""
        if not self._ready or not self._told:
            return self._ready or self._told
        may_tell = self._states_in_flight < most_states and not (most_states == 1 and self._state_was_last)
        return self._told if may_tell else self._ready

    def _line(self, state: _Lane[T]) -> deque[str]:
        return self._told if _is_state(state.hold) else self._ready

    def owe_state(self, lane: str, now: float, ask: str) -> None:
        """The lane is owed what its resource is now; ``ask`` is the id of the wish. A removal that the brake keeps stays."""
        state = self._lanes.get(lane)
        if state is None:
            state = self._lanes[lane] = _Lane()
        elif state.hold is not None and state.hold.cause == "brake":
            return
        elif not state.in_flight:
            for line in (self._ready, self._told, self._recalls, self._asks):
                if lane in line:
                    line.remove(lane)
        wish = Hold(lane, self._first_owed(state), now, 0, now, "", "state", ask=ask)
        if not state.in_flight:
            self._begin_state(lane, state, wish)
            return
        state.wish = wish
        self._changed_holds.add(lane)
        self._released.discard(lane)

    def _first_owed(self, state: _Lane[T]) -> int:
        if state.hold is not None:
            return state.hold.first_position
        return next((item.position for item in (*state.frozen, *state.items)), self.read_position + 1)

    def _begin_state(self, lane: str, state: _Lane[T], wish: Hold) -> None:
        """Out of the window with the lane, and in the place of what it waits with the state."""
        first = min(wish.first_position, self._first_owed(state)) if state.hold is None else state.hold.first_position
        self._clear(state)
        state.hold, state.wish = replace(wish, first_position=first), None
        state.attempts = state.tries = 0
        self._changed_holds.add(lane)
        self._released.discard(lane)
        state.due = None
        self._asks.append(lane)

    def deliver(self, unit: Unit[T]) -> None:
        """The unit arrived."""
        state = self._land(unit)
        state.attempts = state.tries = 0
        self._bytes -= sum(item.size for item in unit.items)
        if state.hold is not None:
            self._owe_from(unit.lane, state, unit.items[-1].position + 1)
            return
        for item in unit.items:
            self._finish(item.position)
        if state.wish is not None:
            self._begin_state(unit.lane, state, state.wish)
        elif state.items and self._one_in_flight:
            self._ready.append(unit.lane)
        elif not state.items and not state.in_flight:
            del self._lanes[unit.lane]

    def postpone(self, unit: Unit[T]) -> None:
        """The unit was not sent, or failed by no fault of its own: it is as it was before, and others come first."""
        state = self._land(unit)
        state.frozen = unit.items
        if state.wish is not None:
            self._begin_state(unit.lane, state, state.wish)
        else:
            self._line(state).append(unit.lane)

    def wait(self, unit: Unit[T], due: float, error: str) -> None:
        """The unit failed and is tried again then; its lane stays where it is."""
        state = self._land(unit)
        state.attempts += 1
        state.frozen = unit.items
        if state.wish is not None:
            self._begin_state(unit.lane, state, state.wish)
        elif state.hold is None:
            self._rest(unit.lane, state, due)
        else:
            self._hold(unit.lane, state, state.hold.since, due, error)

    def hold(self, unit: Unit[T], now: float, due: float | None, error: str) -> None:
        """The unit failed and its lane leaves the window until then, or until a person has looked."""
        state = self._land(unit)
        state.attempts += 1
        state.frozen = unit.items
        if state.wish is not None:
            self._begin_state(unit.lane, state, state.wish)
            return
        self._hold(unit.lane, state, now if state.hold is None else state.hold.since, due, error)

    def hold_first(self, now: float, error: str) -> bool:
        """Hold the resting lane that keeps the cursor from moving; False when there is none."""
        for lane, state in self._lanes.items():
            if state.hold is None and state.due is not None and state.frozen[0].position == self._order[0]:
                self._hold(lane, state, now, state.due, error)
                return True
        return False

    def wake(self, now: float) -> None:
        """Let lanes go on whose rest is over."""
        while self._waiting and self._waiting[0][0] <= now:
            due, lane = heapq.heappop(self._waiting)
            state = self._lanes.get(lane)
            if state is not None and state.due == due:
                state.due = None
                (self._line(state) if state.frozen else self._asks if _is_state(state.hold) else self._recalls).append(lane)

    def next_due(self) -> float | None:
        """When the next resting lane may go on, None when none rests."""
        while self._waiting:
            due, lane = self._waiting[0]
            state = self._lanes.get(lane)
            if state is not None and state.due == due:
                return due
            heapq.heappop(self._waiting)  # it was held or released since
        return None

    @property
    def held(self) -> int:
        """How many lanes are held; a state that is owed and has not failed is none of them."""
        holds = (state.hold for state in self._lanes.values())
        return sum(hold is not None and not (hold.cause == "state" and not hold.attempts) for hold in holds)

    @property
    def states_under_way(self) -> int:
        """How many states are owed that have not failed."""
        holds = (state.hold for state in self._lanes.values())
        wishes = sum(state.wish is not None for state in self._lanes.values())
        return wishes + sum(_is_state(hold) and not hold.attempts for hold in holds if hold is not None)

    @property
    def has_lanes(self) -> bool:
        """Whether anything waits, rests, is in flight or is held."""
        return bool(self._lanes)

    @property
    def is_dirty(self) -> bool:
        """Whether holds or releases are still to be written."""
        return bool(self._changed_holds or self._released)

    def owes_up_to(self, position: int) -> bool:
        """Whether something at the position or before it is held, so that a replay up to there is not over yet."""
        return any(state.hold is not None and state.hold.first_position <= position for state in self._lanes.values())

    @property
    def wants_recall(self) -> bool:
        """Whether a held lane waits for ``recall``."""
        return bool(self._recalls)

    @property
    def states_ready(self) -> int:
        """How many states have been read and wait for being sent."""
        return len(self._told)

    # ------------------------------------------------------------------ settling

    @property
    def cursor(self) -> int:
        """Everything up to here has arrived, was not wanted, or is held."""
        return self._order[0] - 1 if self._order else self.read_position

    def standing(self) -> Standing:
        """What to write; ``settled`` is told once it is written."""
        holds = [hold for lane in sorted(self._changed_holds) if (hold := self._hold_of(lane)) is not None]
        return Standing(self.cursor, frozenset(self._done) | self._known, holds, sorted(self._released))

    def settled(self, standing: Standing) -> None:
        """That standing was written; what happened since is still to be written."""
        self._changed_holds -= {hold.lane for hold in standing.holds if self._hold_of(hold.lane) == hold}
        self._released -= set(standing.releases)

    # ------------------------------------------------------------------ within

    def _hold_of(self, lane: str) -> Hold | None:
        state = self._lanes.get(lane)
        return None if state is None else state.wish or state.hold

    def _cut(self, state: _Lane[T]) -> tuple[Item[T], ...]:
        """The first item, or the run of membership changes that begins with it (DECISIONS 10)."""
        taken = [state.items.popleft()]
        weight = taken[0].weight
        while weight and state.items and state.items[0].weight and weight + state.items[0].weight <= MOST_IN_RUN:
            taken.append(state.items.popleft())
            weight += taken[-1].weight
        return tuple(taken)

    def _append(self, lane: str, state: _Lane[T], item: Item[T]) -> None:
        self._bytes += item.size
        state.items.append(item)
        is_idle = len(state.items) == 1 and not state.in_flight and not state.frozen
        if is_idle or not self._one_in_flight:
            self._ready.append(lane)

    def _land(self, unit: Unit[T]) -> _Lane[T]:
        state = self._lanes[unit.lane]
        state.in_flight -= 1
        self._states_in_flight -= _is_state(state.hold)
        return state

    def _finish(self, position: int) -> None:
        self._done.add(position)
        while self._order and self._order[0] in self._done:
            self._done.discard(self._order.popleft())

    def _hold(self, lane: str, state: _Lane[T], since: float, due: float | None, error: str) -> None:
        """Owe the lane everything from what was tried on; its changes leave memory and, being owed, count as done."""
        first = state.frozen[0].position
        self._clear(state)
        if state.hold is not None and _is_state(state.hold):
            # It is read anew when it is tried again.
            state.hold = replace(state.hold, attempts=state.attempts, due=due, error=error)
        else:
            state.hold = Hold(lane, first, since, state.attempts, due, error)
        self._changed_holds.add(lane)
        self._released.discard(lane)
        self._rest(lane, state, due)

    def _clear(self, state: _Lane[T]) -> None:
        """What the lane waits with leaves memory, because a hold owes it."""
        for item in (*state.frozen, *state.items):
            self._bytes -= item.size
            if state.hold is None:
                self._finish(item.position)
            state.newest = max(state.newest, item.position)
        state.items.clear()
        state.frozen = ()

    def _owe_from(self, lane: str, state: _Lane[T], position: int) -> None:
        """The held lane has everything before the position; when nothing more is owed the hold ends."""
        if state.wish is not None and state.hold is not None:
            state.hold = replace(state.hold, first_position=position)
            self._begin_state(lane, state, state.wish)
            return
        if state.hold is not None and (state.items or state.newest > state.read_to):
            state.hold = replace(state.hold, first_position=position, attempts=0, error="", cause=_behind(state.hold), ask="")
            self._changed_holds.add(lane)
            (self._ready if state.items else self._recalls).append(lane)
            return
        if state.hold is not None and position - 1 > self.read_position:
            state.hold = replace(state.hold, first_position=position, attempts=0, due=None, error="", until=position - 1)
            self._changed_holds.add(lane)
            self._pass(state.hold)
            return
        self._changed_holds.discard(lane)
        self._released.add(lane)
        del self._lanes[lane]

    def _pass(self, hold: Hold) -> None:
        heapq.heappush(self._passing, (hold.first_position - 1, hold.lane))

    def _end_passing(self) -> None:
        """End the holds whose position the window has reached, or read on for them."""
        while self._passing and self._passing[0][0] <= self.read_position:
            position, lane = heapq.heappop(self._passing)
            state = self._lanes.get(lane)
            if state is None or state.hold is None or not state.hold.is_passing or state.hold.first_position != position + 1:
                continue  # it was asked for again since
            state.hold = replace(state.hold, until=None)
            self._owe_from(lane, state, position + 1)

    def _rest(self, lane: str, state: _Lane[T], due: float | None) -> None:
        state.due = due
        if due is not None:
            heapq.heappush(self._waiting, (due, lane))


def _is_state(hold: Hold | None) -> bool:
    return hold is not None and hold.cause == "state" and hold.until is None


def _behind(hold: Hold) -> HeldCause:
    """Why the lane is held behind what was sent of it: a state is sent once."""
    return "failure" if hold.cause == "state" else hold.cause
