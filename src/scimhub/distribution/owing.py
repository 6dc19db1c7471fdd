"""Lanes that are owed *states* as well: what a resource is now, in the place of what the log says happened to it.

A state is owed when somebody asks for it. What waits in the lane leaves the window, the resource is read when its turn comes,
and what is sent covers every position up to that of its newest change. That may lie beyond the window; the lane is then held
until the window has passed there, so that nothing older is sent behind it, not even after a crash.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import TypeVar

from scimhub.distribution.lane import LET_GO, Hold, Lane, Standing, Unit
from scimhub.distribution.lanes import CAPACITY, Lanes

T = TypeVar("T")


class OwingLanes(Lanes[T]):
    """``most_states`` is how many states may be in flight while there is something else to send."""

    def __init__(self, cursor: int, ahead: Iterable[int] = (), holds: Iterable[Hold] = (), *, capacity: int = CAPACITY) -> None:
        super().__init__(cursor, ahead, holds, capacity=capacity)
        self.most_states = 1
        self._states_in_flight = 0
        self._state_was_last = False
        # Asked for while something of the lane was in flight; each begins when that has landed.
        self._wishes: dict[str, Hold] = {}

    def owe_state(self, lane: str, now: float, ask: str, *, since: int | None = None, removes: str = "") -> None:
        """The lane is owed what its resource is now; ``ask`` is the id of the wish.

        It stands for all that the log has of the resource from ``since`` on, if that is given, and takes away a resource of
        the type ``removes`` if it shows that one inactive. What the brake keeps of it, and what an administrator decided about
        that, is not touched.
        """
        state = self._lanes.setdefault(lane, Lane())
        hold = state.hold
        if hold is not None and (hold.cause == "brake" or hold.cause in LET_GO):
            return
        first = next((item.position for item in (*state.frozen, *state.items)), self.read_position + 1)
        first = state.first_owed or first
        if hold is not None and hold.ask:
            removes = removes or hold.removes
        first = first if since is None else min(first, since)
        wish = Hold(lane, first, now, 0, now, "", "state", None, removes, int(bool(removes)), ask)
        if state.in_flight:
            self._wishes[lane] = wish
        else:
            self._begin(lane, state, wish)

    def recall_state(self) -> tuple[str, Hold, int] | None:
        """A lane that is owed a state, its hold, and the position that the state covers at least, for ``refill``."""
        turn = self._queues.ask()
        # Only a lane that owes a state, and so is held, is among those that are asked for.
        if turn is None or (hold := turn[1].hold) is None:
            return None
        lane, state = turn
        covered = max(self.read_position, self._horizon, state.first_owed - 1)
        state.newest = max(state.newest, covered)
        return lane, hold, covered

    @property
    def states_under_way(self) -> int:
        """How many states are owed that have not failed."""
        return self.holds.states + len(self._wishes)

    @property
    def states_ready(self) -> int:
        """How many states have been read and wait for being sent."""
        return self._queues.told

    # ------------------------------------------------------------------ beside what lanes do without them

    def take(self, now: float, *, untried_first: bool = False) -> Unit[T] | None:
        # Where only one is in flight at a time the two take turns.
        is_full = self._states_in_flight >= self.most_states or (self.most_states == 1 and self._state_was_last)
        self._queues.states_go_first = not is_full
        unit = super().take(now, untried_first=untried_first)
        if unit is not None:
            self._state_was_last = self._lanes[unit.lane].owes_state
            self._states_in_flight += self._state_was_last
        return unit

    def _land(self, unit: Unit[T]) -> Lane[T]:
        state = super()._land(unit)
        if self._states_in_flight:
            self._states_in_flight -= state.owes_state
        return state

    def deliver(self, unit: Unit[T]) -> None:
        super().deliver(unit)
        if self._wishes:
            self._grant(unit.lane)

    def postpone(self, unit: Unit[T]) -> None:
        super().postpone(unit)
        self._grant(unit.lane)

    def rest(self, unit: Unit[T], due: float | None) -> None:
        super().rest(unit, due)
        self._grant(unit.lane)

    def wait(self, unit: Unit[T], due: float, error: str) -> None:
        super().wait(unit, due, error)
        self._grant(unit.lane)

    def hold(self, unit: Unit[T], now: float, due: float | None, error: str) -> None:
        super().hold(unit, now, due, error)
        self._grant(unit.lane)

    def keep(self, unit: Unit[T], hold: Hold) -> bool:
        is_kept = super().keep(unit, hold)
        self._grant(unit.lane)
        return is_kept

    def standing(self) -> Standing:
        standing = super().standing()
        if not self._wishes:
            return standing
        holds = [hold for hold in standing.holds if hold.lane not in self._wishes]
        releases = [lane for lane in standing.releases if lane not in self._wishes]
        return replace(standing, holds=[*holds, *self._wishes.values()], releases=releases)

    # ------------------------------------------------------------------ within

    def _grant(self, lane: str) -> None:
        """Begin with the lane's wish if there is one and nothing of the lane is in flight."""
        if lane not in self._wishes:
            return
        state = self._lanes.get(lane)
        if state is not None and state.in_flight:
            return
        wish = self._wishes.pop(lane)
        if state is None or state.hold is None or state.hold.cause != "brake":
            self._begin(lane, self._lanes.setdefault(lane, Lane()), wish)

    def _begin(self, lane: str, state: Lane[T], wish: Hold) -> None:
        """Out of the window with the lane, and in the place of what it waits with the state."""
        self._queues.remove(lane, state)
        waits = next((item.position for item in (*state.frozen, *state.items)), wish.first_position)
        state.attempts = state.tries = 0
        first = min(wish.first_position, state.first_owed or waits)
        self._hold(lane, state, wish if first == wish.first_position else replace(wish, first_position=first))
