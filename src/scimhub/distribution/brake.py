"""May this removal leave now? The brake of one destination on removals, as pure state: no I/O, no clock (DECISIONS 27).

A removal takes somebody away from the destination. It needs a *permit*, which is written before the removal is sent; permits
are counted by sort, that is by resource type, with memberships as a sort of their own. A few go at once. Once a window holds
five, each further one *settles*: it waits out of the window for a minute, in which the rest of its burst can be seen. What
settles and what had a permit are counted together; when they meet a threshold the brake *trips*, and until an administrator
has looked no removal leaves.

A permit belongs to the minute in which it was given, and a removal is sent in that minute or asks again, its former permit
then not counted. So whatever fails, crashes or moves to another node in between, no window ever has as many removals sent as
the threshold. A permit is remembered by its position until the removal has arrived and that is written: a repetition after a
crash is not counted twice.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from scimhub.directory.errors import Invalid

# Seconds of the two windows. The short one decides what is a burst; the long one, which holds the short one, what is too much.
_BURST: Final = 600
_DAY: Final = 24 * 3600
_MINUTE: Final = 60
# So many removals of a burst go at once.
_FREE: Final = 5
# Seconds for which a count of the population is believed where it does not trip the brake.
_LASTS: Final = 600.0
# Seconds until it is asked again whether the population is known.
_ASK_AGAIN: Final = 1.0


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When the brake trips: at ``count`` removals that are ``percent`` of the population or more, or at the small ones."""

    enabled: bool = True
    count: int = 50
    percent: float = 10
    small_count: int = 5
    small_percent: float = 50
    settle_seconds: float = 60

    def is_met(self, removals: int, population: int) -> bool:
        """Whether so many are too many of so many."""
        pairs = ((self.count, self.percent), (self.small_count, self.small_percent))
        return any(removals >= count and 100 * removals >= percent * population for count, percent in pairs)

    @property
    def fewest(self) -> int:
        """Fewer removals than this are never too many, whatever the population is."""
        return min(self.count, self.small_count)


@dataclass(frozen=True, slots=True)
class Removal:
    """Something that a change takes away: so many of a sort, a resource type or ``members``."""

    position: int
    sort: str
    count: int


@dataclass(frozen=True, slots=True)
class Trip:
    """When the brake tripped, in seconds since 1970, and because of how many removals of what population."""

    time: float
    sort: str
    count: int
    population: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """``go`` with the permit that was given; ``settle`` until ``due``, in seconds; or ``keep`` for a person."""

    word: Literal["go", "settle", "keep"]
    due: float | None = None


_GO: Final = Verdict("go")
_KEEP: Final = Verdict("keep")


class Brake:
    """The brake of one destination. All times are seconds since 1970.

    ``populations`` has for each sort how many the destination had before the burst, as far as that is known.
    """

    def __init__(self, thresholds: Thresholds, state: Mapping[str, Any]) -> None:
        self.thresholds = thresholds
        self.trip = Trip(*state["trip"]) if state.get("trip") else None
        # Where nothing may leave the window: removals up to here were released, or discarded, by an administrator.
        self.released: int = state.get("released", 0)
        self.discarded: int = state.get("discarded", 0)
        self.populations: dict[str, int] = {}
        # When each was counted.
        self.learned: dict[str, float] = {}
        # Sorts of which the population must be known to go on.
        self.asked: set[str] = set()
        # Grows with each change that must be written.
        self.edition = 0
        self._given: dict[str, Counter[int]] = {
            sort: Counter({int(minute): count for minute, count in given.items()})
            for sort, given in state.get("given", {}).items()
        }
        # By position: sort, count and minute of each removal that has a permit and has not arrived.
        self._permits: dict[int, tuple[str, int, int]] = {
            int(position): (sort, count, minute) for position, (sort, count, minute) in state.get("permits", {}).items()
        }

    def judge(
        self, removals: Sequence[Removal], now: float, kept: Mapping[str, int], *, settled_until: float | None = None
    ) -> Verdict:
        """What is to become of the removals of one message; a permit that this gives must be written before it is sent.

        ``kept`` counts by sort what else the brake keeps now; ``settled_until`` is when these had settled, if they did.
        """
        if not self.thresholds.enabled:
            return _GO
        if self.trip is not None:
            return _KEEP
        self._forget(now)
        if self.is_permitted(removals, now):
            return _GO
        wanted: Counter[str] = Counter()
        for removal in removals:
            wanted[removal.sort] += removal.count
        is_burst = any(self._count(sort, now, _BURST, removals) + kept.get(sort, 0) >= _FREE for sort in wanted)
        # What has had a permit settled then; it failed, or its minute has passed.
        settles = is_burst and self.thresholds.settle_seconds > 0 and not self._had_permits(removals)
        waits = False
        for sort, count in wanted.items():
            total = self._count(sort, now, _DAY, removals) + kept.get(sort, 0) + count
            if total < self.thresholds.fewest:
                continue
            population = self.populations.get(sort)
            is_met = population is not None and self.thresholds.is_met(total, population)
            if population is None or (is_met and not self._is_new(sort, now)):
                # Not known, or known from before others came: to be counted, and meanwhile nothing leaves.
                self.asked.add(sort)
                waits = True
            elif self._trips(sort, total, population, now):
                return _KEEP
        if waits:
            rest = self.thresholds.settle_seconds if settles and settled_until is None else 0.0
            return Verdict("settle", max(now + max(rest, _ASK_AGAIN), settled_until or 0.0))
        if settled_until is not None and settled_until > now:
            return Verdict("settle", settled_until)
        if settled_until is None and settles:
            return Verdict("settle", now + self.thresholds.settle_seconds)
        self._permit(removals, now)
        return _GO

    def is_permitted(self, removals: Sequence[Removal], now: float) -> bool:
        """Whether they have permits of this minute."""
        permits = (self._permits.get(removal.position) for removal in removals)
        return all(permit is not None and permit[2] == now // _MINUTE for permit in permits)

    def _had_permits(self, removals: Sequence[Removal]) -> bool:
        return all(removal.position in self._permits for removal in removals)

    def check(self, sort: str, kept: Mapping[str, int], now: float) -> bool:
        """Whether the brake trips because of what settles of the sort, of which the population was learnt just now."""
        if self.trip is not None or not self.thresholds.enabled or not kept.get(sort):
            return False
        return self._trips(sort, self._count(sort, now, _DAY) + kept[sort], self.populations[sort], now)

    def learn(self, sort: str, present: int, kept: Mapping[str, int], now: float) -> None:
        """So many of the sort are in the destination's scope now; those that went, or are to go, it had before."""
        self.asked.discard(sort)
        self.learned[sort] = now
        self.populations[sort] = present + self._count(sort, now, _DAY) + kept.get(sort, 0)

    def arrive(self, positions: Sequence[int]) -> None:
        """What had a permit has arrived; it stays counted."""
        for position in positions:
            if self._permits.pop(position, None) is not None:
                self.edition += 1

    def end_trip(self) -> None:
        """Nothing is kept any longer."""
        self.trip = None
        self.edition += 1

    def counts(self, now: float) -> dict[str, tuple[int, int]]:
        """For each sort how many had a permit within ten minutes and within a day."""
        sorts = {sort: (self._count(sort, now, _BURST), self._count(sort, now, _DAY)) for sort in self._given}
        return {sort: pair for sort, pair in sorts.items() if pair[1]}

    def state(self) -> dict[str, Any]:
        """What must be written to go on from here."""
        trip = self.trip
        state: dict[str, Any] = {
            "given": {sort: {str(minute): count for minute, count in one.items()} for sort, one in self._given.items() if one},
            "permits": {str(position): list(permit) for position, permit in self._permits.items()},
            "trip": None if trip is None else [trip.time, trip.sort, trip.count, trip.population],
            "released": self.released,
            "discarded": self.discarded,
        }
        return {name: value for name, value in state.items() if value}

    # ------------------------------------------------------------------ within

    def _is_new(self, sort: str, now: float) -> bool:
        # In half a second a source that writes much makes more people than a small directory had.
        return self.learned.get(sort, now) == now

    def _trips(self, sort: str, count: int, population: int, now: float) -> bool:
        if not self.thresholds.is_met(count, population):
            return False
        self.trip = Trip(now, sort, count, population)
        self.edition += 1
        return True

    def _permit(self, removals: Sequence[Removal], now: float) -> None:
        minute = int(now // _MINUTE)
        for removal in removals:
            former = self._permits.get(removal.position)
            if former is not None:
                self._given[former[0]][former[2]] -= former[1]
            self._permits[removal.position] = (removal.sort, removal.count, minute)
            self._given.setdefault(removal.sort, Counter())[minute] += removal.count
        self.edition += 1

    def _count(self, sort: str, now: float, seconds: int, without: Sequence[Removal] = ()) -> int:
        """How many had a permit in the window. A minute counts until all of it is out of the window."""
        oldest = int((now - seconds) // _MINUTE)
        count = sum(count for minute, count in self._given.get(sort, {}).items() if minute >= oldest)
        for removal in without:
            former = self._permits.get(removal.position)
            if former is not None and former[0] == sort and former[2] >= oldest:
                count -= former[1]
        return count

    def _forget(self, now: float) -> None:
        """What is out of every window, and populations of long ago."""
        for sort in [sort for sort, time in self.learned.items() if not 0 <= now - time < _LASTS]:
            del self.learned[sort]
            self.populations.pop(sort, None)
        oldest = int((now - _DAY) // _MINUTE)
        for given in self._given.values():
            for minute in [minute for minute, count in given.items() if minute < oldest or not count]:
                del given[minute]
        for position in [position for position, permit in self._permits.items() if permit[2] < oldest]:
            del self._permits[position]


def released(state: Mapping[str, Any], *, is_over: bool, until: int = 0, discards: bool = False) -> dict[str, Any]:
    """The state after an administrator's decision: the windows begin anew; ``is_over`` when nothing is kept any longer.

    ``until`` is how far a destination that takes all in order need not ask, or must not be told of removals.
    """
    kept = {} if is_over else {"trip": state.get("trip")}
    former = {name: state[name] for name in ("released", "discarded") if name in state}
    return {**former, **kept, **({"discarded" if discards else "released": until} if until else {})}


def read_thresholds(written: Mapping[str, object]) -> Thresholds:
    """The thresholds that an administrator wrote, with defaults for the rest; raises Invalid with every mistake."""
    names = [field.name for field in fields(Thresholds)]
    problems = [f"The brake has no {name[:40]!r}; it has {', '.join(names)}." for name in written if name not in names]
    for name, value in written.items():
        if name == "enabled":
            if not isinstance(value, bool):
                problems.append("The brake's enabled is true or false.")
        elif name in names and (isinstance(value, bool) or not _fits(name, value)):
            problems.append(_LIMITS[name][2])
    if problems:
        raise Invalid(problems)
    return Thresholds(**written)  # type: ignore[arg-type]  # checked above


# The least and the most of each, and what is said of another.
_LIMITS: Final[dict[str, tuple[float, float, str]]] = {
    "count": (1, 1_000_000_000, "The brake's count is a whole number from 1."),
    "small_count": (1, 1_000_000_000, "The brake's small_count is a whole number from 1."),
    "percent": (0, 100, "The brake's percent is a number from 0 to 100."),
    "small_percent": (0, 100, "The brake's small_percent is a number from 0 to 100."),
    "settle_seconds": (0, 3600, "The brake's settle_seconds is a number from 0 to 3600."),
}


def _fits(name: str, value: object) -> bool:
    least, most, _ = _LIMITS[name]
    is_count = name.endswith("count")
    return isinstance(value, int if is_count else (int, float)) and least <= value <= most
