"""What arrived at one destination, counted: how much, how often, how late."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from scimhub.consumer import Event


@dataclass(slots=True)
class Receipts:
    """``delays`` are seconds from the commit of the newest change in an event until the copy holds it.

    ``events`` tell of ``changes``; ``runs`` are those events that tell of more than one. ``verified`` and ``refused`` count
    signatures, ``snapshot`` the resources that the copy began with.
    """

    events: int = 0
    changes: int = 0
    runs: int = 0
    duplicates: int = 0
    verified: int = 0
    refused: int = 0
    snapshot: int = 0
    delays: list[float] = field(default_factory=list)

    def note(self, event: Event, outcome: str, arrived: float) -> None:
        """Count an event that the copy has taken; ``arrived`` is Unix time in seconds."""
        if outcome == "duplicate":
            self.duplicates += 1
            return
        self.events += 1
        if event.part == 1:
            self.changes += event.version - event.from_version + 1
        self.runs += event.version > event.from_version
        self.delays.append(max(0.0, arrived - datetime.fromisoformat(event.time).timestamp()))

    def render(self) -> dict[str, object]:
        """The counts and the latency in milliseconds as JSON values."""
        return {
            "events": self.events,
            "changes": self.changes,
            "runs": self.runs,
            "duplicates": self.duplicates,
            "signatures_verified": self.verified,
            "signatures_refused": self.refused,
            "from_snapshot": self.snapshot,
            "p50_ms": milliseconds(self.delays, 0.50),
            "p99_ms": milliseconds(self.delays, 0.99),
        }


def milliseconds(delays: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile of seconds, in milliseconds; None of nothing."""
    if not delays:
        return None
    ordered = sorted(delays)
    rank = max(1, -(-round(share * 100) * len(ordered) // 100))
    return round(ordered[rank - 1] * 1000, 1)
