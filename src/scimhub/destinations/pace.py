"""How fast a destination may be asked: a bucket of tokens, one for each request. Pure; the time is an argument."""


class Pace:
    """At most ``per_minute`` requests in the long run, ``burst`` of them at once; without a rate there is no limit."""

    def __init__(self, per_minute: float | None, burst: float) -> None:
        self._rate = None if per_minute is None else per_minute / 60
        self._burst = max(1.0, burst)
        self._tokens = self._burst
        self._filled_at: float | None = None

    def reserve(self, now: float) -> float:
        """Take one token; how many seconds to wait before its request may be sent. ``now`` only grows."""
        if self._rate is None:
            return 0.0
        if self._filled_at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        self._tokens -= 1
        return max(0.0, -self._tokens / self._rate)
