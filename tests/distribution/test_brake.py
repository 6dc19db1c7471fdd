"""The brake alone: what it says of removals, and that no interleaving with crashes lets more out than the threshold allows."""

import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scimhub.directory.errors import Invalid
from scimhub.distribution import brake
from scimhub.distribution.brake import Brake, Removal, Thresholds
from scimhub.distribution.gate import Gate
from scimhub.distribution.lane import Hold, Item, Unit
from scimhub.distribution.lanes import Lanes

NOW = 1_700_000_000.0
DAY = 24 * 3600


def removal(position: int, sort: str = "User", count: int = 1) -> Removal:
    return Removal(position, sort, count)


def given_brake(population: int | None = 1000, **thresholds: Any) -> Brake:
    made = Brake(Thresholds(**thresholds), {})
    if population is not None:
        made.populations["User"] = population
    return made


# --------------------------------------------------------------------------- one verdict


def test_the_first_five_of_a_burst_go_at_once_and_the_sixth_settles():
    made = given_brake()
    verdicts = [made.judge([removal(position)], NOW, {}) for position in range(1, 7)]
    assert [verdict.word for verdict in verdicts] == ["go"] * 5 + ["settle"]
    assert verdicts[5].due == NOW + 60


def test_what_has_settled_goes_and_a_burst_is_over_after_ten_minutes():
    made = given_brake()
    for position in range(1, 6):
        made.judge([removal(position)], NOW, {})
    assert made.judge([removal(6)], NOW + 60, {}, settled_until=NOW + 60).word == "go"
    assert made.judge([removal(7)], NOW + 60, {}).word == "settle"
    assert made.judge([removal(7)], NOW + 12 * 60, {}).word == "go"


@pytest.mark.parametrize(
    ("population", "removals", "trips"),
    [
        (1000, 99, False),
        (1000, 100, True),
        (500, 49, False),
        (500, 50, True),
        (100, 49, False),
        (100, 50, True),
        (12, 5, False),
        (12, 6, True),
        (10, 5, True),
        (4, 4, False),
        (10_000, 999, False),
        (10_000, 1000, True),
    ],
)
def test_fifty_of_ten_percent_or_five_of_fifty_percent_trip_it(population: int, removals: int, trips: bool):
    made = given_brake(population)
    verdict = made.judge([removal(1)], NOW, {"User": removals - 1})
    assert (verdict.word == "keep") == trips
    assert (made.trip is not None) == trips


def test_once_it_has_tripped_every_removal_of_every_sort_is_kept():
    made = given_brake(10)
    assert made.judge([removal(1)], NOW, {"User": 4}).word == "keep"
    assert made.judge([removal(2, "Group")], NOW + 2 * DAY, {}).word == "keep"
    made.end_trip()
    assert made.judge([removal(2, "Group")], NOW, {}).word == "go"


def test_sorts_are_counted_apart():
    made = given_brake(10_000)
    made.populations["Group"] = 8
    for position in range(1, 5):
        assert made.judge([removal(position, "Group")], NOW, {"User": 300}).word == "go"
    assert made.judge([removal(5, "Group")], NOW, {"User": 300}).word == "keep"
    assert (made.trip and (made.trip.sort, made.trip.count, made.trip.population)) == ("Group", 5, 8)


def test_a_large_removal_of_memberships_trips_it_alone():
    made = given_brake()
    made.populations["members"] = 600
    assert made.judge([removal(1, "members", 49)], NOW, {}).word == "go"
    assert made.judge([removal(2, "members", 60)], NOW + 2 * DAY, {}).word == "keep"


def test_while_the_population_is_not_known_nothing_goes_that_could_be_too_much():
    made = given_brake(None)
    for position in range(1, 5):
        assert made.judge([removal(position)], NOW, {}).word == "go"
    assert made.asked == set()
    assert made.judge([removal(5)], NOW, {}).word == "settle"
    assert made.asked == {"User"}
    made.learn("User", 4, {"User": 1}, NOW)
    assert made.populations == {"User": 9}
    assert made.check("User", {"User": 1}, NOW)


def test_a_population_that_has_grown_since_is_counted_again_before_it_trips():
    made = given_brake(None)
    made.learn("User", 9, {}, NOW)
    assert made.judge([removal(1)], NOW + 60, {"User": 4}).word == "settle"
    assert (made.trip, made.asked) == (None, {"User"})
    made.learn("User", 500, {"User": 5}, NOW + 61)
    assert not made.check("User", {"User": 5}, NOW + 61)
    made.learn("User", 2, {"User": 5}, NOW + 62)
    assert made.check("User", {"User": 5}, NOW + 62)


def test_a_population_of_half_a_second_ago_is_too_old_to_trip_it():
    made = given_brake(None)
    made.learn("User", 16, {}, NOW)
    assert made.judge([removal(1)], NOW + 0.5, {"User": 15}).word == "settle"
    assert (made.trip, made.asked) == (None, {"User"})
    made.learn("User", 300, {"User": 16}, NOW + 0.6)
    assert not made.check("User", {"User": 16}, NOW + 0.6)


def test_the_count_of_one_sort_trips_nothing_by_an_old_number_of_another():
    made = given_brake(None)
    made.learn("Group", 8, {}, NOW)
    kept = {"Group": 5, "User": 5}
    made.learn("User", 500, kept, NOW + 300)
    assert not made.check("User", kept, NOW + 300)
    made.learn("Group", 3, kept, NOW + 301)
    assert made.check("Group", kept, NOW + 301)


def test_the_day_counts_though_no_ten_minutes_hold_much():
    made = given_brake(100)
    times = [NOW + 15 * 60 * number for number in range(60)]
    words = [made.judge([removal(position)], time, {}).word for position, time in enumerate(times, 1)]
    assert words == ["go"] * 49 + ["keep"] * 11


def test_a_permit_is_of_its_minute_and_is_not_counted_twice_when_it_is_renewed():
    made = given_brake(10)
    for position in range(1, 5):
        made.judge([removal(position)], NOW, {})
    assert made.is_permitted([removal(1)], NOW)
    assert not made.is_permitted([removal(1)], NOW + 60)
    for later in (60, 600, 3600):
        assert made.judge([removal(1)], NOW + later, {}).word == "go"
    assert made.counts(NOW + 3600) == {"User": (1, 4)}
    assert made.judge([removal(5)], NOW + 3600, {}).word == "keep"


def test_what_arrived_stays_counted_and_its_permit_goes():
    made = given_brake(10)
    made.judge([removal(1)], NOW, {})
    made.arrive([1])
    assert (made.counts(NOW), made.state().get("permits")) == ({"User": (1, 1)}, None)


def test_its_state_survives_being_written():
    made = given_brake(10)
    for position in range(1, 5):
        made.judge([removal(position)], NOW, {})
    again = Brake(Thresholds(), made.state())
    again.populations["User"] = 10
    assert again.is_permitted([removal(1)], NOW)
    assert again.judge([removal(5)], NOW, {}).word == "keep"
    assert Brake(Thresholds(), again.state()).trip == again.trip


def test_switched_off_it_lets_everything_go_and_counts_nothing():
    made = given_brake(10, enabled=False)
    assert {made.judge([removal(position)], NOW, {}).word for position in range(100)} == {"go"}
    assert made.state() == {}


def test_a_decision_begins_the_windows_anew_and_ends_the_trip_when_nothing_is_left():
    made = given_brake(10)
    made.judge([removal(1)], NOW, {"User": 4})
    assert "trip" in brake.released(made.state(), is_over=False)
    assert brake.released(made.state(), is_over=True) == {}
    assert brake.released({"discarded": 3}, is_over=True, until=9) == {"discarded": 3, "released": 9}


@pytest.mark.parametrize(
    ("wish", "problem"),
    [
        ({"enabled": 1}, "enabled is true or false"),
        ({"count": 0}, "count is a whole number from 1"),
        ({"small_count": 2.5}, "small_count is a whole number"),
        ({"percent": 101}, "percent is a number from 0 to 100"),
        ({"settle_seconds": True}, "settle_seconds is a number from 0 to 3600"),
        ({"limit": 3}, "has no 'limit'; it has enabled, count"),
    ],
)
def test_wrong_thresholds_are_refused(wish: dict[str, object], problem: str):
    with pytest.raises(Invalid, match=problem):
        brake.read_thresholds(wish)
    assert brake.read_thresholds({"count": 7}) == Thresholds(count=7)


# --------------------------------------------------------------------------- whatever happens in between


@dataclass
class World:
    """Lanes behind a gate, a log, and what is written; the receiver remembers when it got what."""

    random: random.Random
    writes_permits: bool = True
    is_healthy: bool = False
    now: float = NOW
    # Lane and sort of each position: what it is for the gate.
    log: list[tuple[str, str]] = field(default_factory=list)
    cursor: int = 0
    ahead: frozenset[int] = frozenset()
    holds: dict[str, Hold] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    received: list[tuple[float, str, int]] = field(default_factory=list)
    in_flight: list[tuple[Unit[str], int]] = field(default_factory=list)
    people: int = 0
    gone: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for _ in range(20):
            self.join()
        self.restart()

    def restart(self) -> None:
        self.in_flight = []
        self.lanes: Lanes[str] = Lanes(self.cursor, self.ahead, list(self.holds.values()), capacity=12)
        thresholds = Thresholds(count=6, percent=10, small_count=4, small_percent=50)
        self.brake = Brake(thresholds, self.state)
        self.written = self.brake.edition
        self.gate: Gate[str] = Gate(self.brake, self.lanes, is_stream=False)

    # ------------------------------------------------------------------ what happens in the directory

    def join(self) -> None:
        self.people += 1
        self.log.append((f"p{self.people}", "joins"))

    def update(self) -> None:
        if present := self.present():
            self.log.append((self.random.choice(present), "updates"))

    def leave(self) -> None:
        for _ in range(self.random.choice((1, 1, 2, 7))):
            if present := self.present():
                lane = self.random.choice(present)
                self.gone.add(lane)
                self.log.append((lane, "leaves"))

    def come_back(self) -> None:
        if self.gone:
            lane = self.random.choice(sorted(self.gone))
            self.gone.discard(lane)
            self.log.append((lane, "returns"))

    def present(self) -> list[str]:
        return [name for number in range(1, self.people + 1) if (name := f"p{number}") not in self.gone]

    # ------------------------------------------------------------------ the steps of a pump

    def read(self) -> None:
        for position in range(self.lanes.read_position + 1, len(self.log) + 1):
            if not self.lanes.room:
                return
            self.lanes.offer(self.log[position - 1][0], self.item(position))

    def item(self, position: int) -> Item[str]:
        sort = self.log[position - 1][1]
        leaves = sort == "leaves"
        return Item(position, sort, removes="User" if leaves else "", removed=int(leaves), returns=sort == "returns")

    def recall(self) -> None:
        self.lanes.wake(self.now)
        if (wish := self.lanes.recall()) is not None:
            lane, first, last = wish
            owed = [position for position in range(first, last + 1) if self.log[position - 1][0] == lane]
            self.lanes.refill(lane, [self.item(position) for position in owed], last)

    def scout(self) -> None:
        beyond = range(self.lanes.read_position + 1, len(self.log) + 1)
        leavers = [position for position in beyond if self.log[position - 1][1] == "leaves"]
        if leavers and self.lanes.may_overtake:
            position = self.random.choice(leavers)
            self.lanes.overtake(self.log[position - 1][0], position, self.now)

    def launch(self) -> None:
        unit = self.lanes.take(self.now)
        if unit is not None and self.gate.admits(unit, self.now):
            self.in_flight.append((unit, self.brake.edition))

    def land(self) -> None:
        if not self.in_flight:
            return
        unit, edition = self.in_flight.pop(self.random.randrange(len(self.in_flight)))
        asked = self.gate.asked(unit)
        if asked and self.writes_permits:
            if self.written < edition:
                self.settle()
                if unit.lane not in self.lanes._lanes or self.written < edition:
                    return  # it died while it wrote
            if not self.brake.is_permitted(asked, self.now):
                if self.gate.admits(unit, self.now):
                    self.in_flight.append((unit, self.brake.edition))
                return
        fate = "arrives" if self.is_healthy else self.random.choice(("arrives", "arrives", "arrives", "lost", "waits", "held"))
        if fate == "arrives" or self.random.random() < 0.5:
            self.received += [(self.now, item.content, item.position) for item in unit.items]
        match fate:
            case "arrives":
                self.gate.arrived(unit)
                self.lanes.deliver(unit)
            case "lost":
                self.lanes.postpone(unit)
            case "waits":
                self.lanes.wait(unit, self.now + self.random.random() * 300, "500")
            case "held":
                self.lanes.hold(unit, self.now, self.now + self.random.random() * 5000, "500")

    def settle(self) -> None:
        standing, edition = self.lanes.standing(), self.brake.edition
        self.cursor, self.ahead = standing.cursor, standing.ahead
        self.holds |= {hold.lane: hold for hold in standing.holds}
        for lane in standing.releases:
            self.holds.pop(lane, None)
        if self.writes_permits:
            self.state = self.brake.state()
        if self.is_healthy or self.random.random() < 0.9:
            self.lanes.settled(standing)
            self.written = edition
        else:
            self.restart()

    def count(self) -> None:
        for sort in list(self.brake.asked):
            unread = {lane for lane, what in self.log[self.lanes.read_position :] if what == "leaves"}
            self.gate.learn(sort, len(self.present()), len(unread), self.now)
        self.gate.end_trip()

    def pass_time(self) -> None:
        self.now += self.random.choice((1.0, 20.0, 61.0, 400.0, 5000.0))

    def crash(self) -> None:
        self.restart()

    # ------------------------------------------------------------------ the checker

    def most_in_a_window(self) -> int:
        """The most removals that the receiver got within a day; one that came twice is one."""
        removals = [(time, position) for time, sort, position in self.received if sort == "leaves"]
        return max((len({p for t, p in removals if time - DAY <= t <= time}) for time, _ in removals), default=0)

    def limit(self) -> int:
        """Never more than this may have left within a window: one less than the least that trips."""
        thresholds = self.brake.thresholds
        return next(n for n in range(1, 1000) if thresholds.is_met(n, self.people)) - 1


# What happens, and how often.
STEPS = {
    "join": 2.0,
    "update": 3,
    "leave": 3,
    "come_back": 1,
    "pass_time": 3,
    "crash": 0.5,
    "read": 8,
    "recall": 6,
    "scout": 2,
    "launch": 12,
    "land": 12,
    "settle": 4,
    "count": 4,
}
PUMPING = ("read", "recall", "launch", "land", "count")


def run(seed: int, steps: int, **world: Any) -> World:
    made = World(random.Random(seed), **world)
    for step in made.random.choices(list(STEPS), list(STEPS.values()), k=steps):
        getattr(made, step)()
    return made


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10**9), st.integers(100, 1200))
def test_no_interleaving_lets_more_removals_out_than_the_threshold_allows(seed: int, steps: int):
    made = run(seed, steps)
    assert made.most_in_a_window() <= made.limit()


def test_the_checker_sees_what_happens_when_permits_are_not_written():
    """The control: a crash then forgets what has left."""
    worlds = [run(seed, 1000, writes_permits=False) for seed in range(20)]
    assert any(world.most_in_a_window() > world.limit() for world in worlds)


@pytest.mark.parametrize(("settle_seconds", "leave"), [(60, 5), (0, 99)])
def test_of_a_burst_five_leave_before_it_is_seen_and_without_settling_all_but_the_last(settle_seconds: float, leave: int):
    lanes: Lanes[str] = Lanes(0)
    made = given_brake(1000, settle_seconds=settle_seconds)
    gate: Gate[str] = Gate(made, lanes, is_stream=False)
    for position in range(1, 201):
        lanes.offer(f"p{position}", Item(position, "", removes="User", removed=1))
    sent = 0
    while (unit := lanes.take(NOW)) is not None:
        if gate.admits(unit, NOW):
            sent += 1
            lanes.deliver(unit)
    assert sent == leave
    assert made.trip is not None
    assert (made.trip.count, made.trip.population) == (100, 1000)
    assert (lanes.holds.stuck, lanes.next_due(), lanes.cursor) == (200 - leave, None, 200)


def test_a_stream_stops_at_the_removal_that_must_not_go():
    lanes: Lanes[str] = Lanes(0)
    made = given_brake(8)
    gate: Gate[str] = Gate(made, lanes, is_stream=True)
    for position in range(1, 8):
        lanes.offer("", Item(position, "", removes="User", removed=int(position > 1)))
    first = lanes.take(NOW)
    assert first is not None
    assert gate.admits(first, NOW)
    lanes.deliver(first)
    removal = lanes.take(NOW)
    assert removal is not None
    assert not gate.admits(removal, NOW)
    assert (made.trip is not None, lanes.take(NOW + DAY), lanes.cursor) == (True, None, 1)


@pytest.mark.parametrize("seed", range(60))
def test_adds_and_updates_arrive_and_what_is_released_arrives_in_order(seed: int):
    made = run(seed, 800)
    made.is_healthy = True
    _pump(made)
    _check_order(made, without={lane for lane, hold in made.holds.items() if hold.cause == "brake"})
    for _ in range(20):
        if not made.holds:
            break
        for lane, hold in made.holds.items():
            if hold.cause == "brake":
                until = len(made.log)
                made.holds[lane] = Hold(lane, hold.first_position, hold.since, 0, made.now, "", "released", until)
        made.state = brake.released(made.state, is_over=True)
        made.restart()
        _pump(made)
    assert (made.cursor, made.holds) == (len(made.log), {})
    _check_order(made, without=set())


def _pump(made: World) -> None:
    for _ in range(600):
        made.now += 100
        for step in PUMPING:
            getattr(made, step)()
    made.settle()


def _check_order(made: World, without: set[str]) -> None:
    """Of each resource all arrived in order, but a removal and what lies between it and the return that cancelled it."""
    had: dict[str, set[int]] = defaultdict(set)
    cancelled: Counter[str] = Counter()
    for _, _, position in made.received:
        lane = made.log[position - 1][0]
        missing = {p for p, (owner, _) in enumerate(made.log[: position - 1], 1) if owner == lane} - had[lane]
        if missing:
            first = min(missing)
            assert made.log[first - 1][1] == "leaves", f"{position} of {lane} came before {first}"
            assert any(made.log[p - 1] == (lane, "returns") for p in range(first, position + 1)), (lane, first, position)
            cancelled[lane] += 1
            had[lane] |= missing
        had[lane].add(position)
    for lane in {owner for owner, _ in made.log} - without:
        wanted = {p for p, (owner, _) in enumerate(made.log, 1) if owner == lane}
        assert had[lane] == wanted, f"{lane} lacks {sorted(wanted - had[lane])}"
