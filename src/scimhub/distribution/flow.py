"""How many messages may be on their way to one destination, and how soon the next may begin. Pure; times are arguments.

The number adapts (additive increase, multiplicative decrease): it halves when the destination cannot keep up, which shows by
what it says, by answers that do not come in time, or by answers that take much longer than they did; it grows by a
little with each round of answers, up to what is configured. A rate, if one is configured, is kept beside it.
"""

from collections.abc import Mapping
from typing import Final

from scimhub.distribution.delivery import Delivered, Outcome
from scimhub.distribution.pace import Pace

# HTTP's words for too much: Too Many Requests, Service Unavailable, Gateway Timeout.
_TOO_MUCH: Final = frozenset((429, 503, 504))
# Answers count as slow when they take so many times as long as the quickest, and longer than so many seconds.
_SLOWER: Final = 4.0
_SLOW: Final = 0.5
# How much one answer counts in the smoothed time, and by how much the quickest is forgotten with each.
_WEIGHT: Final = 0.125
_FORGET: Final = 1.00002
# In so many steps the limit grows from nothing to all.
_STEPS: Final = 32


class Flow:
    """The state of one destination. ``most`` is what is configured, ``rate`` in messages a second, ``timeout`` in seconds."""

    def __init__(self, most: int, rate: float | None = None, timeout: float | None = None) -> None:
        self.limit = most
        self._most = most
        self._step = max(1, most // _STEPS)
        self._timeout = timeout
        self._pace = Pace(None if rate is None else rate * 60, 1.0 if rate is None else rate)
        self._successes = 0
        # Seconds that answers take: smoothed, and the quickest.
        self._usual: float | None = None
        self._quickest: float | None = None
        # When the limit fell last; what was begun before says nothing about the new one.
        self._fell_at = float("-inf")

    def ready_in(self, now: float) -> float:
        """How many seconds until the rate lets the next message begin; 0 when it may now."""
        return self._pace.ready_in(now)

    def room(self, most: int, now: float) -> int:
        """How many messages the rate lets begin now, of so many."""
        return self._pace.room(most, now)

    def begin(self, count: int, now: float) -> None:
        """So many messages are begun."""
        self._pace.reserve(now, count)

    def note(self, outcome: Outcome, begun: float, now: float, under_way: int, count: int = 1) -> None:
        """What came now of so many messages that were begun then, to a destination that is not known to be down.

        ``under_way`` counts those on their way, these among them: what is not used up does not have to grow.
        """
        seconds = now - begun if now > begun else 0.0
        if isinstance(outcome, Delivered):
            if under_way >= self.limit:
                self._grow(count)
            self._time(seconds, count)
        is_late = self._timeout is not None and seconds >= self._timeout
        if begun >= self._fell_at and (is_late or self._is_slow or outcome.status in _TOO_MUCH):
            self.limit, self._successes, self._fell_at = max(1, self.limit // 2), 0, now
            self._usual = None

    def _grow(self, count: int) -> None:
        self._successes += count
        while self._successes >= self.limit:
            self._successes -= self.limit
            self.limit = min(self._most, self.limit + self._step)

    def _time(self, seconds: float, count: int) -> None:
        # As of one after the other, in closed form.
        self._usual = seconds if self._usual is None else seconds + (1 - _WEIGHT) ** count * (self._usual - seconds)
        self._quickest = seconds if self._quickest is None else min(seconds, self._quickest * _FORGET**count)

    @property
    def _is_slow(self) -> bool:
        usual = self._usual
        # Alone, slowness is the destination's own and not a queue's.
        if usual is None or usual <= _SLOW or self._quickest is None or self.limit == 1:
            return False
        return usual > _SLOWER * self._quickest


def of_configuration(configuration: Mapping[str, object]) -> Flow:
    """As the destination is configured; without ``concurrency`` one message after the other."""
    most, rate, timeout = (configuration.get(key) for key in ("concurrency", "rate", "timeout"))
    return Flow(
        most if isinstance(most, int) else 1,
        float(rate) if isinstance(rate, int | float) and rate else None,
        float(timeout) if isinstance(timeout, int | float) else None,
    )
