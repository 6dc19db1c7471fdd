"""The lanes of one destination, alone: random runs with a crash between any two steps, and what the rules are good for."""

import random
from collections import defaultdict
from dataclasses import dataclass, field, replace

import pytest

from scimhub.distribution.lane import Hold, Item, Unit
from scimhub.distribution.lanes import Lanes

CAPACITY = 12


@dataclass
class World:
    """A log, what is written of a destination, and what its receiver has got; time moves by hand."""

    random: random.Random
    one_in_flight: bool = True
    now: float = 0.0
    # The lane of each wanted position, None for one that is not wanted; position 1 is first.
    log: list[str | None] = field(default_factory=list)
    cursor: int = 0
    ahead: frozenset[int] = frozenset()
    holds: dict[str, Hold] = field(default_factory=dict)
    received: dict[str, list[tuple[int, ...]]] = field(default_factory=lambda: defaultdict(list))
    in_flight: list[Unit[str]] = field(default_factory=list)
    crashes: int = 0
    overtakings: int = 0
    is_healthy: bool = False

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """All that was not written is forgotten."""
        self.in_flight = []
        holds = list(self.holds.values())
        self.lanes: Lanes[str] = Lanes(self.cursor, self.ahead, holds, capacity=CAPACITY, one_in_flight=self.one_in_flight)

    # ------------------------------------------------------------------ the steps a pump makes

    def write_changes(self) -> None:
        for _ in range(self.random.randrange(1, 6)):
            self.log.append(self.random.choice(["a", "b", "c", None]))

    def read(self) -> None:
        for position in range(self.lanes.read_position + 1, len(self.log) + 1):
            if not self.lanes.room:
                return
            lane = self.log[position - 1]
            if lane is None:
                self.lanes.skip(position)
            else:
                self.lanes.offer(lane, self.item(position))

    def item(self, position: int) -> Item[str]:
        return Item(position, "", weight=self.random.choice((0, 1)), size=10)

    def scout(self) -> None:
        """Somebody leaves beyond the window, and overtakes."""
        beyond = [position for position in range(self.lanes.read_position + 1, len(self.log) + 1) if self.log[position - 1]]
        if beyond and self.lanes.may_overtake:
            position = self.random.choice(beyond)
            self.lanes.overtake(self.log[position - 1] or "", position, self.now)
            self.overtakings += 1

    def recall(self) -> None:
        self.lanes.wake(self.now)
        wish = self.lanes.recall()
        if wish is None:
            return
        lane, first, last = wish
        owed = [position for position in range(first, last + 1) if self.log[position - 1] == lane]
        some = owed[:3]
        self.lanes.refill(lane, [self.item(position) for position in some], last if some == owed else some[-1])

    def launch(self) -> None:
        if (unit := self.lanes.take(self.now)) is not None:
            self.in_flight.append(unit)

    def land(self) -> None:
        if not self.in_flight:
            return
        unit = self.in_flight.pop(self.random.randrange(len(self.in_flight)))
        fate = "arrives" if self.is_healthy else self.random.choice(("arrives", "arrives", "lost", "waits", "held", "shelved"))
        # A receiver may have got what it never confirmed.
        if fate == "arrives" or self.random.random() < 0.3:
            self.received[unit.lane].append(tuple(item.position for item in unit.items))
        match fate:
            case "arrives":
                self.lanes.deliver(unit)
            case "lost":
                self.lanes.postpone(unit)
            case "waits":
                self.lanes.wait(unit, self.now + self.random.random() * 5, "waits")
            case "held":
                self.lanes.hold(unit, self.now, self.now + self.random.random() * 20, "held")
            case "shelved":
                self.lanes.hold(unit, self.now, None, "a person must look")

    def settle(self) -> None:
        standing = self.lanes.standing()
        assert standing.cursor >= self.cursor
        assert all(position > standing.cursor for position in standing.ahead)
        assert len(standing.ahead) <= CAPACITY
        self.cursor, self.ahead = standing.cursor, standing.ahead
        self.holds |= {hold.lane: hold for hold in standing.holds}
        for lane in standing.releases:
            self.holds.pop(lane, None)
        if self.random.random() < 0.8:
            self.lanes.settled(standing)
        else:
            self.crash()

    def crash(self) -> None:
        self.crashes += 1
        self.restart()

    def pass_time(self) -> None:
        self.now += self.random.random() * 4

    def release(self) -> None:
        """A person lets a lane go on, which the pump learns by beginning anew."""
        self.settle()
        for lane, hold in self.holds.items():
            if hold.cause == "failure":
                self.holds[lane] = replace(hold, attempts=0, due=self.now, error="")
        self.restart()

    def finish(self) -> None:
        """The receiver is well from now on; everything must arrive."""
        self.is_healthy = True
        self.release()
        for _ in range(40 * len(self.log) + 400):
            self.now += 30
            for step in (self.read, self.recall, self.launch, self.land):
                step()
        self.settle()
        self.settle()

    # ------------------------------------------------------------------ the checker

    def check(self) -> None:
        assert self.cursor == len(self.log)
        assert not self.holds
        for lane in ("a", "b", "c"):
            wanted = [position for position, owner in enumerate(self.log, 1) if owner == lane]
            had: set[int] = set()
            for message in self.received[lane]:
                earlier = {position for position in wanted if position < message[0]}
                assert earlier <= had, f"{message} of {lane} came before {sorted(earlier - had)}"
                assert set(message) == {position for position in wanted if message[0] <= position <= message[-1]}
                had |= set(message)
            assert had == set(wanted)
            # Whatever was repeated, the receiver ends with what is newest.
            assert not wanted or self.received[lane][-1][-1] == wanted[-1]


STEPS = (
    World.write_changes,
    World.read,
    World.read,
    World.recall,
    World.scout,
    World.launch,
    World.launch,
    World.land,
    World.land,
    World.settle,
    World.pass_time,
)


def run(seed: int, steps: int, crash_rate: float, *, one_in_flight: bool = True) -> World:
    world = World(random.Random(seed), one_in_flight)
    for _ in range(steps):
        world.random.choice(STEPS)(world)
        if world.random.random() < crash_rate:
            world.crash()
        if world.random.random() < 0.01:
            world.release()
    world.finish()
    return world


@pytest.mark.parametrize("seed", range(150))
def test_every_change_arrives_in_the_order_of_its_resource_whatever_crashes(seed: int) -> None:
    world = run(seed, 300, 0.03)
    world.check()
    assert world.crashes > 0
    assert world.overtakings > 0


@pytest.mark.parametrize("seed", range(20))
def test_without_a_crash_nothing_that_was_confirmed_is_sent_again(seed: int) -> None:
    world = World(random.Random(seed), is_healthy=True)
    for _ in range(300):
        world.random.choice(STEPS[:-2])(world)
    world.finish()
    world.check()
    sent = [position for messages in world.received.values() for message in messages for position in message]
    assert len(sent) == len(set(sent))


def test_order_breaks_when_a_resource_may_have_two_messages_in_flight() -> None:
    """The control: the checker must see what the rule prevents."""
    broken = 0
    for seed in range(20):
        world = World(random.Random(seed), one_in_flight=False, is_healthy=True)
        for position in range(1, 9):
            world.log.append("a")
            world.lanes.offer("a", Item(position, ""))
        for _ in range(8):
            world.launch()
        for _ in range(8):
            world.land()
        world.settle()
        try:
            world.check()
        except AssertionError:
            broken += 1
    assert broken >= 15


def offered(*lanes: str, weight: int = 0) -> Lanes[str]:
    made: Lanes[str] = Lanes(0)
    for position, lane in enumerate(lanes, 1):
        made.offer(lane, Item(position, "", weight))
    return made


def take(lanes: Lanes[str], now: float = 0.0) -> Unit[str]:
    unit = lanes.take(now)
    assert unit is not None
    return unit


def test_a_held_lane_lets_the_cursor_pass_and_counts_what_comes_later_as_owed() -> None:
    lanes = offered("a", "b", "a")
    first, second = take(lanes), take(lanes)
    lanes.hold(first, now=5.0, due=65.0, error="500")
    lanes.deliver(second)
    lanes.offer("a", Item(4, ""))
    standing = lanes.standing()
    assert (standing.cursor, standing.ahead) == (4, frozenset())
    assert standing.holds == [Hold("a", 1, 5.0, 1, 65.0, "500")]
    assert lanes.take(64.9) is None
    assert not lanes.wants_recall
    lanes.wake(65.0)
    assert lanes.recall() == ("a", 1, 4)


def test_a_resting_lane_keeps_the_cursor_and_its_neighbours_are_remembered_ahead_of_it() -> None:
    lanes = offered("a", "b", "c")
    a, b, c = take(lanes), take(lanes), take(lanes)
    lanes.wait(a, due=3.0, error="500")
    lanes.deliver(c)
    lanes.deliver(b)
    assert (lanes.cursor, lanes.standing().ahead) == (0, frozenset({2, 3}))
    assert lanes.take(2.9) is None
    again = take(lanes, 3.0)
    assert (again.items, again.attempt) == (a.items, 2)


def test_membership_changes_of_one_group_travel_as_one_run_and_are_repeated_as_it() -> None:
    lanes = offered("g", "g", "g", weight=1)
    run = take(lanes)
    assert [item.position for item in run.items] == [1, 2, 3]
    lanes.wait(run, due=1.0, error="500")
    lanes.offer("g", Item(4, "", 1))
    assert [item.position for item in take(lanes, 1.0).items] == [1, 2, 3]


def test_a_run_ends_before_a_change_of_another_sort_and_before_too_many_members() -> None:
    lanes: Lanes[str] = Lanes(0)
    for position, weight in enumerate((600, 400, 1, 0, 5), 1):
        lanes.offer("g", Item(position, "", weight))
    runs = []
    while (unit := lanes.take(0.0)) is not None:
        runs.append([item.position for item in unit.items])
        lanes.deliver(unit)
    assert runs == [[1, 2], [3], [4], [5]]


def test_the_window_is_bounded_by_number_and_by_size() -> None:
    lanes: Lanes[str] = Lanes(0, capacity=3)
    for position in (1, 2, 3):
        assert lanes.room == 4 - position
        lanes.offer(str(position), Item(position, ""))
    assert lanes.room == 0
    large: Lanes[str] = Lanes(0)
    large.offer("a", Item(1, "", size=9 * 1024 * 1024))
    assert large.room == 0
    large.deliver(take(large))
    assert large.room == 1000


def test_the_lane_that_blocks_a_full_window_can_be_held() -> None:
    lanes = offered("a", "b")
    lanes.wait(take(lanes), due=9.0, error="500")
    lanes.deliver(take(lanes))
    assert lanes.cursor == 0
    assert lanes.hold_first(4.0, "in the way")
    assert lanes.cursor == 2
    assert lanes.standing().holds == [Hold("a", 1, 4.0, 1, 9.0, "in the way")]
    assert not lanes.hold_first(4.0, "in the way")


def test_whoever_leaves_goes_before_all_others_and_behind_what_is_owed_of_the_same_resource():
    lanes: Lanes[str] = Lanes(0)
    for position, lane in enumerate(("a", "b", "c", "b"), 1):
        lanes.offer(lane, Item(position, ""))
    lanes.offer("b", Item(5, "", removes="User", removed=1))
    order = []
    while (unit := lanes.take(0.0)) is not None:
        order += [item.position for item in unit.items]
        lanes.deliver(unit)
    assert order == [2, 4, 5, 1, 3]


def test_a_leaver_beyond_the_window_takes_along_what_its_resource_is_owed_and_is_not_met_again():
    lanes = offered("a", "b")
    lanes.overtake("b", 9, now=4.0)
    assert lanes.standing().holds == [Hold("b", 2, 4.0, 0, 4.0, "", "leaver", 9)]
    lanes.wake(4.0)
    assert lanes.recall() == ("b", 2, 9)
    lanes.refill("b", [Item(2, ""), Item(7, ""), Item(9, "", removes="User", removed=1)], 9)
    for position in (2, 7, 9):
        unit = take(lanes)
        assert [item.position for item in unit.items] == [position]
        lanes.deliver(unit)
    # The row stays, or a restart would send 7 again when the window comes there.
    assert lanes.standing().holds == [Hold("b", 10, 4.0, 0, None, "", "leaver", 9)]
    again: Lanes[str] = Lanes(2, (), lanes.standing().holds)
    for position in range(3, 9):
        assert not again.offer("b", Item(position, ""))
    assert not again.offer("b", Item(9, "", removes="User", removed=1))
    assert again.standing().releases == ["b"]
    assert (again.cursor, again.has_lanes, again.offer("b", Item(10, ""))) == (9, False, True)


def test_a_leaver_overtakes_when_what_is_in_flight_has_landed():
    lanes = offered("a", "a")
    first = take(lanes)
    lanes.overtake("a", 9, now=4.0)
    assert lanes.holds.count == 0
    lanes.deliver(first)
    assert lanes.standing().holds == [Hold("a", 2, 4.0, 0, 4.0, "", "leaver", 9)]


def kept(position: int, due: float | None) -> Hold:
    return Hold("a", position, 1.0, 0, due, "", "brake", None, "User", 1)


def test_who_comes_back_while_the_brake_keeps_the_removal_is_told_of_that_alone():
    lanes: Lanes[str] = Lanes(0)
    lanes.offer("a", Item(1, "", removes="User", removed=1))
    assert lanes.keep(take(lanes), kept(1, due=None))
    assert (lanes.holds.kept, lanes.holds.stuck, lanes.cursor) == ({"User": 1}, 1, 1)
    lanes.offer("a", Item(2, ""))
    lanes.offer("a", Item(3, "", returns=True))
    assert (lanes.holds.kept["User"], lanes.holds.stuck) == (0, 0)
    assert lanes.recall() == ("a", 3, 3)
    in_window: Lanes[str] = Lanes(0)
    in_window.offer("a", Item(1, "", removes="User", removed=1))
    in_window.offer("a", Item(2, ""))
    in_window.offer("a", Item(3, "", returns=True))
    assert not in_window.keep(take(in_window), kept(1, due=None))
    assert [item.position for item in take(in_window).items] == [3]
    assert in_window.holds.count == 0
