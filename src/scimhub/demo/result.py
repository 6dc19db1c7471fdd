"""What came of a demonstration: what each copy holds compared with the hub, and what arrived how late."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from scimhub.demo.equality import States
from scimhub.demo.receipts import Receipts
from scimhub.demo.timelines import Part
from scimhub.simulate.report import Report
from scimhub.simulate.stories import Story


@dataclass(frozen=True, slots=True)
class Told:
    """One story that a provider has told; ``began`` is RFC 3339 in UTC with milliseconds."""

    directory: str
    story: Story
    began: str
    report: Report


@dataclass(frozen=True, slots=True)
class Holding:
    """What ``holder`` (hub, webhook or feed) holds of a directory, and how that differs from what it should be.

    The hub is compared with what its provider believes, every other one with the hub.
    """

    directory: str
    holder: str
    users: int
    groups: int
    memberships: int
    differences: tuple[str, ...]

    @property
    def verdict(self) -> str:
        return "equal" if not self.differences else f"{len(self.differences)} differences"

    def render(self) -> dict[str, object]:
        return {
            "directory": self.directory,
            "holder": self.holder,
            "users": self.users,
            "groups": self.groups,
            "memberships": self.memberships,
            "equal": not self.differences,
            "differences": list(self.differences),
        }


@dataclass(frozen=True, slots=True)
class Flow:
    """What arrived at one destination."""

    directory: str
    destination: str
    receipts: Receipts

    def render(self) -> dict[str, object]:
        return {"directory": self.directory, "destination": self.destination, **self.receipts.render()}


@dataclass(frozen=True, slots=True)
class Timeline:
    """``lines`` are what ``scimhub trace`` prints about the user, ``since`` is when the story of the part began."""

    part: Part
    directory: str
    user: str
    since: str
    lines: tuple[str, ...]

    def render(self) -> dict[str, object]:
        return {"part": self.part, "directory": self.directory, "user": self.user, "lines": list(self.lines)}


@dataclass(slots=True)
class Result:
    """Filled as the demonstration goes on; ``problems`` are what went wrong beside differences. Times are seconds."""

    people: int
    seed: int
    told: list[Told] = field(default_factory=list)
    timelines: list[Timeline] = field(default_factory=list)
    holdings: list[Holding] = field(default_factory=list)
    flows: list[Flow] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    seconds_of_stories: float = 0.0
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Everything is equal, and nothing went wrong."""
        return not self.problems and not any(holding.differences for holding in self.holdings)

    def render(self) -> dict[str, object]:
        """All of it as JSON values."""
        return {
            "people": self.people,
            "seed": self.seed,
            "good": self.is_good,
            "problems": self.problems,
            "holdings": [holding.render() for holding in self.holdings],
            "destinations": [flow.render() for flow in self.flows],
            "stories": [{"directory": each.directory, "story": each.story, **each.report.render()} for each in self.told],
            "timelines": [timeline.render() for timeline in self.timelines],
            "seconds_of_stories": round(self.seconds_of_stories, 2),
            "seconds": round(self.seconds, 2),
        }


def holding(directory: str, holder: str, states: States, differences: Sequence[str]) -> Holding:
    """The states counted."""
    return Holding(
        directory=directory,
        holder=holder,
        users=sum(state.type == "User" for state in states.values()),
        groups=sum(state.type == "Group" for state in states.values()),
        memberships=sum(len(state.members) for state in states.values()),
        differences=tuple(differences),
    )
