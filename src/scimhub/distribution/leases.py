"""Who of several nodes sends to a destination: whoever holds its lease.

A lease ends by itself unless it is kept, by the database's clock; each taking gives it the next epoch. A node begins nothing
new in the second half of what it knows to be left, by its own clock that only goes forward, and nothing that it settles under
an older epoch is written. So a node that was stopped and goes on, not knowing that its lease has passed to another, can
neither send nor settle, but for a message whose sending had passed the check when it was stopped.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

DEFAULT_SECONDS = 15.0
# Seconds between two looks at the leases; each is one statement.
LOOK_EVERY = 1.0


class LeaseLost(Exception):
    """Another node holds the lease, or may soon."""


@dataclass(slots=True)
class Lease:
    """The right to send to one destination. Times are seconds of a clock that only goes forward."""

    epoch: int
    until: float
    seconds: float

    def check(self, now: float) -> None:
        """Raise LeaseLost unless something may be begun now."""
        if now > self.until - self.seconds / 2:
            raise LeaseLost

    def renew(self, asked_at: float) -> None:
        """The lease was kept by a question that was asked then; one that was lost stays so."""
        self.until = asked_at + self.seconds


def preferred(destination: str, nodes: Iterable[str]) -> str | None:
    """Which of the nodes should send to the destination with that id; each node gets its share, and keeps it when others go."""
    return max(nodes, key=lambda node: hashlib.sha256(f"{node}\0{destination}".encode()).digest(), default=None)
