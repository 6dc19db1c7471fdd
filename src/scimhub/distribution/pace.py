"""How fast a destination may be asked: a bucket of tokens, one for each request. Pure; the time is an argument."""

from typing import Final

_ROUNDING: Final = 1e-9


class Pace:
    """At most ``per_minute`` requests in the long run, ``burst`` of them at once; without a rate there is no limit."""

    def __init__(self, per_minute: float | None, burst: float) -> None:
        self._rate = None if per_minute is None else per_minute / 60
        self._burst = max(1.0, burst)
        self._tokens = self._burst
        self._filled_at: float | None = None

    def reserve(self, now: float, count: int = 1) -> float:
        """Take so many tokens; how many seconds to wait before the last request may be sent. ``now`` only grows."""
        if self._rate is None:
            return 0.0
        self._fill(now, self._rate)
        self._tokens -= count
        return max(0.0, -self._tokens / self._rate)

    def room(self, most: int, now: float) -> int:
        """How many tokens, of at most so many, can be taken now without waiting."""
        if self._rate is None:
            return most
        self._fill(now, self._rate)
        return min(most, int(self._tokens + _ROUNDING))

    def ready_in(self, now: float) -> float:
        """How many seconds until a token could be taken without waiting; 0 when one can now."""
        if self._rate is None:
            return 0.0
        self._fill(now, self._rate)
        missing = 1 - self._tokens
        # What is left of dividing and multiplying is no token.
        return missing / self._rate if missing > _ROUNDING else 0.0

    def _fill(self, now: float, rate: float) -> None:
        if self._filled_at is not None:
            # A clock that was set back fills nothing.
            self._tokens = min(self._burst, self._tokens + max(0.0, now - self._filled_at) * rate)
        self._filled_at = now
