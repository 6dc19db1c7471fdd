"""What a run measured and what came of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from scimhub.simulate.stories import Tally

# A status for requests that got no answer.
NO_ANSWER = 0

TALLIES: tuple[Tally, ...] = ("joined", "moved", "left", "deleted", "groups")


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that could not be ended. ``kind`` and ``status`` are those of the request at which it stopped."""

    phase: str
    subject: str
    kind: str
    status: int
    detail: str

    def render(self) -> dict[str, object]:
        return {
            "phase": self.phase,
            "subject": self.subject,
            "request": self.kind,
            "status": self.status or None,
            "detail": self.detail,
        }


@dataclass(slots=True)
class Report:
    """Filled while the run goes on. Durations are seconds, by the kind of request; without connection nothing was told."""

    provider: str
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    durations: dict[str, list[float]] = field(default_factory=dict)
    subjects: dict[Tally, set[str]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    retries: int = 0
    is_connected: bool = True
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        return sum(self.answers.values())

    def tally(self, of: Tally) -> int:
        """How many people joined, moved, left or were deleted; how many groups were pushed or changed."""
        return len(self.subjects.get(of, ()))

    def note_success(self, of: Tally, subject: str) -> None:
        self.subjects.setdefault(of, set()).add(subject)

    def note_answer(self, kind: str, status: int, seconds: float) -> None:
        self.answers[kind, status] += 1
        self.durations.setdefault(kind, []).append(seconds)

    def kinds(self) -> list[dict[str, object]]:
        """For each kind of request: how many, their statuses, and the latency in milliseconds."""
        return [
            {
                "request": kind,
                "count": len(durations),
                "statuses": {
                    str(status or "none"): count for (of, status), count in sorted(self.answers.items()) if of == kind
                },
                "p50_ms": _milliseconds(durations, 0.50),
                "p99_ms": _milliseconds(durations, 0.99),
            }
            for kind, durations in sorted(self.durations.items())
        ]

    def render(self) -> dict[str, object]:
        """The whole report as JSON values."""
        everything = [seconds for durations in self.durations.values() for seconds in durations]
        return {
            "provider": self.provider,
            **{of: self.tally(of) for of in TALLIES},
            "requests": self.requests,
            "retries": self.retries,
            "seconds": round(self.seconds, 3),
            "p50_ms": _milliseconds(everything, 0.50),
            "p99_ms": _milliseconds(everything, 0.99),
            "kinds": self.kinds(),
            "failures": [failure.render() for failure in self.failures],
        }


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; 0 of nothing."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 100 * len(ordered)) // 100) - 1)]


def _milliseconds(durations: Sequence[float], share: float) -> float:
    return round(percentile(durations, share) * 1000, 3)
