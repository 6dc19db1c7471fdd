"""The values of lanes: one change that is wanted, what travels as a message, why a lane is held, and one lane's state."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from scimhub.distribution.delivery import MEMBERS, HeldCause

T = TypeVar("T")

# What an administrator has decided about what the brake kept: it holds up to the position of that moment.
LET_GO: frozenset[HeldCause] = frozenset(("released", "discarded"))


# Not frozen, since one is made for each change: to set the fields of a frozen one takes five times as long.
@dataclass(slots=True)
class Item(Generic[T]):
    """One wanted change. ``weight`` is how many members it touches when it may travel in a run, else 0.

    ``removes`` and ``removed`` say what it takes away from the destination, as ``delivery.Held`` does; ``returns`` that it
    brings the resource back, so that a removal which still waits need not be told.
    """

    position: int
    content: T
    weight: int = 0
    size: int = 0
    removes: str = ""
    removed: int = 0
    returns: bool = False
    # What is told is the state of the moment, so that one message does for all that wait.
    is_state: bool = False

    @property
    def is_leaver(self) -> bool:
        """Whether it takes away the resource itself."""
        return self.removed > 0 and self.removes != MEMBERS


@dataclass(slots=True, eq=False)
class Unit(Generic[T]):
    """What travels as one message.

    ``attempt`` counts from 1 the tries that were the resource's own, ``number`` all of them.
    """

    lane: str
    items: tuple[Item[T], ...]
    attempt: int
    number: int
    # Whether it takes something away, so that the brake is to be asked.
    is_removal: bool = False


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
    # What the brake keeps; of a state that is owed also what it would take away beyond what the log says.
    removes: str = ""
    removed: int = 0
    # Not empty: the state is owed, whatever the log says, and this is the id of the wish for it.
    ask: str = ""

    @property
    def is_under_way(self) -> bool:
        """Whether it is a state that has neither failed nor been kept."""
        return self.cause == "state" and not self.attempts


@dataclass(frozen=True, slots=True)
class Standing:
    """What a settling must write to be able to go on from here."""

    cursor: int
    ahead: frozenset[int]
    holds: Sequence[Hold]
    releases: Sequence[str]


@dataclass(slots=True)
class Lane(Generic[T]):
    items: deque[Item[T]] = field(default_factory=deque)
    in_flight: int = 0
    attempts: int = 0
    tries: int = 0
    # How many leavers are among the items and what was tried.
    leavers: int = 0
    # What was tried before and is tried again with the same bytes.
    frozen: tuple[Item[T], ...] = ()
    # Until when it rests, None when it does not.
    due: float | None = None
    hold: Hold | None = None
    # While held: up to where the log was read again, and the newest position that may be owed.
    read_to: int = 0
    newest: int = 0
    # Whether it is among those that are ready or to be recalled.
    is_queued: bool = False
    # Beyond the window: a leaver that is to overtake as soon as nothing of the lane is in flight, or 0; and since when.
    leaver: int = 0
    leaver_since: float = 0.0
    # Where the resource came back while the lane was held by the brake, or 0.
    returned: int = 0

    @property
    def is_parked(self) -> bool:
        """Whether all up to the hold's position arrived, and it only waits for the window to come there."""
        hold = self.hold
        return hold is not None and hold.cause == "leaver" and hold.due is None

    def cut(self, most: int) -> tuple[Item[T], ...]:
        """The first item, or the run of membership changes that begins with it, of at most so many members (DECISIONS 10)."""
        first = self.items.popleft()
        if not (first.weight or first.is_state):
            return (first,)
        taken = [first]
        while first.is_state and self.items and self.items[0].is_state:
            taken.append(self.items.popleft())
        weight = first.weight
        # What a person gives up, or the brake keeps, takes nothing else along.
        is_apart = self.hold is not None and self.hold.cause in ("brake", "discarded")
        while weight and self.items and self.items[0].weight and weight + self.items[0].weight <= most:
            following = self.items[0]
            if is_apart and (following.removed > 0) != (first.removed > 0):
                break
            if self.hold is not None and first.position <= (self.hold.until or 0) < following.position:
                break
            taken.append(self.items.popleft())
            weight += taken[-1].weight
        return tuple(taken)

    @property
    def owes_state(self) -> bool:
        """Whether its resource is to be told as it is, and not as the log says."""
        return self.hold is not None and bool(self.hold.ask)

    @property
    def first_owed(self) -> int:
        """From where on everything is owed while it is held, else 0."""
        return 0 if self.hold is None else self.hold.first_position

    @property
    def until(self) -> int | None:
        """How far the log is to be read for the lane, whatever is to become of it now."""
        return max(self.leaver, 0 if self.hold is None else self.hold.until or 0) or None

    def failure(self, lane: str, since: float, due: float | None, error: str) -> Hold:
        """The hold for what failed now; what an administrator or a resync has asked for goes on being that."""
        former: HeldCause = "failure" if self.hold is None else self.hold.cause
        cause: HeldCause = "failure" if former in ("brake", "leaver") else former
        made = Hold(lane, self.frozen[0].position, since, self.attempts, due, error, cause, self.until)
        if self.hold is None or not self.hold.ask:
            return made
        # A state goes on standing for all that was owed when it was asked for: what it takes away is counted from there.
        was = self.hold
        return replace(made, first_position=was.first_position, ask=was.ask, removes=was.removes, removed=was.removed)


def unkept(hold: Hold) -> Hold:
    """What is owed, and due, once the brake has no part in it. A state that fails then asks the brake again."""
    going = replace(hold, due=hold.since, attempts=0, error="", cause="failure")
    return going if hold.ask else replace(going, removes="", removed=0)
