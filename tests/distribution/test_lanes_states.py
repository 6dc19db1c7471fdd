"""States that are owed to lanes: random runs with asks and crashes between any two steps, and each rule by itself."""

import random
from dataclasses import dataclass, field, replace

import pytest

from scimhub.distribution.lane import Hold, Item, Unit
from scimhub.distribution.owing import OwingLanes
from tests.distribution.test_lanes import CAPACITY, STEPS, World

LANES = ("a", "b", "c")


@dataclass
class Asking(World):
    """A world in which somebody asks for states; what a state covers counts as received."""

    # Of each lane the position up to which the receiver confirmed everything: as this process knows, and as was written.
    confirmed: dict[str, int] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)
    # Of lanes whose state somebody asked for, the newest position then, until a message has told as much.
    asked: dict[str, int] = field(default_factory=dict)

    def restart(self) -> None:
        """All that was not written is forgotten."""
        self.in_flight = []
        self.confirmed = dict(self.written)
        self.lanes = self.opened()

    def opened(self) -> OwingLanes[str]:
        world = self

        class Watched(OwingLanes[str]):
            def deliver(self, unit: Unit[str]) -> None:
                world.confirmed[unit.lane] = max(world.confirmed.get(unit.lane, 0), unit.items[-1].position)
                super().deliver(unit)

        return Watched(self.cursor, self.ahead, list(self.holds.values()), capacity=CAPACITY)

    def newest(self, lane: str) -> int | None:
        return next((position for position in range(len(self.log), 0, -1) if self.log[position - 1] == lane), None)

    def ask(self) -> None:
        """It is asked for, and that is written."""
        lane = self.random.choice(LANES)
        self.owing.owe_state(lane, self.now, "ask")
        self.settle()
        if (newest := self.newest(lane)) is not None:
            self.asked[lane] = newest

    @property
    def owing(self) -> OwingLanes[str]:
        assert isinstance(self.lanes, OwingLanes)
        return self.lanes

    def read_states(self) -> None:
        self.lanes.wake(self.now)
        while (wish := self.owing.recall_state()) is not None:
            lane, hold, covered = wish
            newest = self.newest(lane)
            items = [] if newest is None else [Item(newest, hold.ask, size=10)]
            self.lanes.refill(lane, items, max(covered, newest or 0))

    def launch(self) -> None:
        if (unit := self.lanes.take(self.now)) is not None:
            if unit.items[0].content != "ask":
                assert unit.items[0].position > self.confirmed.get(unit.lane, 0), f"{unit} comes behind a newer one"
            self.in_flight.append(unit)

    def land(self) -> None:
        before = {lane: len(messages) for lane, messages in self.received.items()}
        units = list(self.in_flight)
        super().land()
        for unit in units:
            got = self.received[unit.lane]
            if unit not in self.in_flight and len(got) > before.get(unit.lane, 0) and unit.items[0].content == "ask":
                last = unit.items[-1].position
                got[-1] = tuple(range(1, last + 1))
                if last >= self.asked.get(unit.lane, 0):
                    self.asked.pop(unit.lane, None)

    def settle(self) -> None:
        self.written = dict(self.confirmed)
        super().settle()

    def release(self) -> None:
        """As a person does it: what is owed as a state stays that, and what only waits for the window as well."""
        self.settle()
        for lane, hold in self.holds.items():
            if hold.cause in ("failure", "state"):
                self.holds[lane] = replace(hold, attempts=0, due=self.now, error="")
        self.restart()

    def finish(self) -> None:
        self.is_healthy = True
        self.release()
        for _ in range(40 * len(self.log) + 400):
            self.now += 30
            for step in (self.read, self.recall, self.read_states, self.launch, self.land):
                step()
        self.settle()
        self.settle()

    def check(self) -> None:
        assert self.cursor == len(self.log)
        assert not self.holds
        assert not self.asked
        for lane in LANES:
            wanted = {position for position, owner in enumerate(self.log, 1) if owner == lane}
            had: set[int] = set()
            for message in self.received[lane]:
                assert {position for position in wanted if position < message[0]} <= had
                had |= set(message)
            assert wanted <= had


@pytest.mark.parametrize("seed", range(200))
def test_a_state_arrives_and_nothing_older_behind_it_whatever_crashes(seed: int) -> None:
    world = Asking(random.Random(seed))
    steps = (*(step.__name__ for step in STEPS), "ask", "read_states", "read_states")
    for _ in range(300):
        getattr(world, world.random.choice(steps))()
        if world.random.random() < 0.03:
            world.crash()
        if world.random.random() < 0.01:
            world.release()
    world.finish()
    world.check()
    assert world.crashes > 0


def offered(*lanes: str) -> OwingLanes[str]:
    made: OwingLanes[str] = OwingLanes(0)
    for position, lane in enumerate(lanes, 1):
        made.offer(lane, Item(position, ""))
    return made


def take(lanes: OwingLanes[str], now: float = 9.0) -> Unit[str]:
    unit = lanes.take(now)
    assert unit is not None
    return unit


def tell(lanes: OwingLanes[str], position: int) -> None:
    """The state that is owed is read; its newest change is there."""
    lanes.wake(9.0)
    wish = lanes.recall_state()
    assert wish is not None
    lane, hold, covered = wish
    lanes.refill(lane, [Item(position, hold.ask)], max(covered, position))


def test_a_state_takes_the_place_of_what_waits_in_the_window() -> None:
    lanes = offered("a", "a", "b", "a")
    lanes.owe_state("a", 5.0, "ask")
    assert lanes.standing().holds == [Hold("a", 1, 5.0, 0, 5.0, "", "state", ask="ask")]
    tell(lanes, 4)
    a, b = take(lanes), take(lanes)
    assert (b.lane, [item.position for item in a.items]) == ("b", [4])
    lanes.deliver(a)
    assert (lanes.standing().holds, lanes.standing().releases) == ([], ["a"])
    lanes.deliver(b)
    assert lanes.cursor == 4


def test_a_state_from_beyond_the_window_keeps_what_is_older_from_being_sent() -> None:
    lanes = offered("b")
    lanes.owe_state("a", 5.0, "ask")
    tell(lanes, 3)
    lanes.deliver(take(lanes))
    lanes.deliver(take(lanes))
    (hold,) = lanes.standing().holds
    assert (hold.first_position, hold.until, hold.due, hold.cause) == (4, 3, None, "leaver")
    again: OwingLanes[str] = OwingLanes(1, holds=[hold])
    for each in (lanes, again):
        each.offer("a", Item(2, ""))
        each.offer("a", Item(3, ""))
        assert each.take(6.0) is None
        each.offer("a", Item(4, ""))
        assert "a" in each.standing().releases
        assert [item.position for item in take(each).items] == [4]


def test_what_changes_while_a_state_is_on_its_way_follows_it() -> None:
    lanes = offered("b")
    lanes.owe_state("b", 5.0, "ask")
    tell(lanes, 1)
    state = take(lanes)
    lanes.offer("b", Item(2, ""))
    assert lanes.take(6.0) is None
    lanes.deliver(state)
    assert lanes.recall() == ("b", 2, 2)
    (hold,) = lanes.standing().holds
    assert (hold.cause, hold.first_position) == ("failure", 2)


def test_a_state_that_is_asked_for_while_something_is_in_flight_waits_for_that() -> None:
    lanes = offered("a", "a")
    first = take(lanes)
    lanes.owe_state("a", 5.0, "ask")
    assert lanes.recall_state() is None
    assert lanes.states_under_way == 1
    lanes.deliver(first)
    assert lanes.take(5.0) is None
    tell(lanes, 2)
    assert [item.content for item in take(lanes).items] == ["ask"]


def test_a_state_that_fails_is_read_anew_and_is_one_of_those_that_are_held() -> None:
    lanes: OwingLanes[str] = OwingLanes(7)
    lanes.owe_state("a", 5.0, "ask")
    tell(lanes, 3)
    assert (lanes.holds.by_cause["state"], lanes.states_under_way) == (1, 1)
    lanes.hold(take(lanes), 6.0, 66.0, "500")
    assert (lanes.holds.by_cause["state"], lanes.states_under_way) == (1, 0)
    assert lanes.standing().holds == [Hold("a", 8, 5.0, 1, 66.0, "500", "state", ask="ask")]
    lanes.wake(66.0)
    assert lanes.recall() is None
    tell(lanes, 9)
    assert [item.position for item in take(lanes, 66.0).items] == [9]


def test_what_the_brake_keeps_is_not_told_as_a_state() -> None:
    lanes: OwingLanes[str] = OwingLanes(7, holds=[Hold("a", 3, 1.0, 0, None, "", "brake")])
    lanes.owe_state("a", 5.0, "ask")
    assert lanes.recall_state() is None


def test_states_leave_half_of_the_room_to_what_happens() -> None:
    lanes = offered(*(f"tail-{number}" for number in range(8)))
    for number in range(8):
        lanes.owe_state(f"state-{number}", 1.0, "ask")
        tell(lanes, 3)
    lanes.most_states = 2
    first = [take(lanes).lane.partition("-")[0] for _ in range(4)]
    assert sorted(first) == ["state", "state", "tail", "tail"]
    assert {take(lanes).lane.partition("-")[0] for _ in range(6)} == {"tail"}
    # With nothing else to send they have all of it.
    assert {take(lanes).lane.partition("-")[0] for _ in range(6)} == {"state"}


def test_states_and_what_happens_take_turns_where_one_is_in_flight() -> None:
    lanes = offered(*(f"tail-{number}" for number in range(4)))
    for number in range(4):
        lanes.owe_state(f"state-{number}", 1.0, "ask")
        tell(lanes, 3)
    sent = []
    for _ in range(8):
        unit = take(lanes)
        sent.append(unit.lane.partition("-")[0])
        lanes.deliver(unit)
    assert sorted(sent[:2]) == sorted(sent[2:4]) == sorted(sent[4:6]) == ["state", "tail"]
