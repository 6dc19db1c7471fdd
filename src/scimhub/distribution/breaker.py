"""Is the destination itself down? Then nothing is sent but a probe, nothing is held, and the cursor simply waits.

One failure that is the destination's own opens it, and so do failures of several resources in a row with no success
between them: a poisoned resource alone never does, because it is always the same one. A success shows that the
destination was up, and so that the resources which failed before it are themselves to blame: until one of them succeeds
its failures are its own. A refusal of what a resource has is the resource's own as soon as the destination has taken
anything, for whoever is down refuses nothing. After a successful probe the number of messages in flight doubles step by
step, once a second at most, so that a receiver that comes back is not run over, nor what many receivers have in front of
them.
"""

from typing import Literal

from scimhub.distribution.delivery import Rejected, Retry

# So many different resources failing in a row are taken for a failing destination.
_FAILING_LANES = 5
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
# Seconds between two doublings.
_RAMP_EVERY = 1.0

# So many different resources refused in a row are taken for a destination that takes nothing any more. Each of those before
# waits for a person, so that it is also how many such a destination costs at most.
_REFUSED_LANES = 1000
# Answers to what a request holds; others, such as 404, also come from where no application is.
_OF_CONTENT = frozenset((400, 409, 413, 422))

# More suspects than this are forgotten; they are found again.
_MOST_SUSPECTS = 10_000

State = Literal["closed", "open"]
# Whose a failure is: the destination's for certain; the destination's unless others succeed meanwhile; not to be told from
# one failure; or the resource's, whose content is refused.
Fault = Literal["certain", "likely", "unknown", "refused"]


def fault_of(outcome: Retry | Rejected) -> Fault:
    """Whose fault a failure is, as far as it says so itself."""
    if isinstance(outcome, Rejected):
        is_of_content = outcome.status is None or outcome.status < 400 or outcome.status in _OF_CONTENT
        return "refused" if is_of_content else "unknown"
    if outcome.blame == "resource":
        return "unknown"
    # Most often a token that may nothing more; but an application may also protect one of its owners.
    return "likely" if outcome.status == 403 else "certain"


class Breaker:
    """Says how many messages may be in flight. Times are seconds of any clock that only grows."""

    def __init__(self, concurrency: int) -> None:
        self.state: State = "closed"
        # Since when there was no success, None while all is well; and how many attempts failed since.
        self.failing_since: float | None = None
        self.failures = 0
        self.reason = ""
        self._concurrency = concurrency
        self._limit = concurrency
        self._successes = 0
        self._doubled_at = 0.0
        self._failing: set[str] = set()
        self._suspects: set[str] = set()
        self._has_taken = False
        self._refused: set[str] = set()
        self._pause = _FIRST_PAUSE
        self.probe_at = 0.0
        # Until then it asked to be left alone.
        self._rests_until = 0.0

    def limit(self, now: float) -> int:
        """How many messages may be in flight now."""
        if self.state == "closed":
            return self._limit
        return 1 if now >= self.probe_at else 0

    def succeed(self, lane: str, now: float) -> None:
        """A message of the lane arrived."""
        self._has_taken = True
        self._refused.clear()
        if self.state == "closed" and self.failing_since is None and self._limit == self._concurrency and not self._suspects:
            return  # all is well, as nearly always
        if not self._close(now):
            return
        if self._limit < self._concurrency:
            self._successes += 1
            if self._successes >= self._limit and not 0 <= now - self._doubled_at < _RAMP_EVERY:
                self._limit, self._successes, self._doubled_at = min(self._concurrency, 2 * self._limit), 0, now
        self._suspects |= self._failing
        self._suspects.discard(lane)
        if len(self._suspects) > _MOST_SUSPECTS:
            self._suspects.clear()
        self._failing.clear()
        self.failing_since, self.failures, self._pause, self.reason = None, 0, _FIRST_PAUSE, ""

    def fail(self, lane: str, *, fault: Fault, reason: str, after: float | None, now: float, chance: float) -> bool:
        """A message of the lane failed; whether that is not to be counted against the lane, but the destination's fault.

        ``after`` is what the destination asked for in seconds, if it did.
        """
        if fault == "refused" and self._is_of_lane(lane):
            self._close(now)
            return False
        self.failing_since = now if self.failing_since is None else self.failing_since
        self.failures += 1
        if fault != "certain" and lane in self._suspects:
            return False
        is_new = lane not in self._failing
        self._failing.add(lane)
        was_open = self.state != "closed"
        if not was_open and fault in ("unknown", "refused") and len(self._failing) < _FAILING_LANES:
            return False
        # Whoever asks for no patience at all has asked for nothing: a probe must not follow the other without a pause.
        pause = after or self._pause * (0.5 + chance / 2)
        self._rests_until = max(self._rests_until, now + (after or 0.0))
        if not was_open or now >= self.probe_at:
            self.probe_at = now + pause
            # Who answers is not down: until all were refused once, one of them may be taken.
            if fault != "refused" or not is_new:
                self._pause = min(_LONGEST_PAUSE, 2 * self._pause)
        self.state, self.reason = "open", reason
        return True

    def _is_of_lane(self, lane: str) -> bool:
        """Whether a refusal is the lane's own: it is unless nothing else is taken either."""
        self._refused.add(lane)
        return self._has_taken and len(self._refused) < _REFUSED_LANES

    def _close(self, now: float) -> bool:
        """It answers: if it was open, begin with one message. False while it rests as it asked, whatever was under way then."""
        if self.state == "closed":
            return True
        if now < self._rests_until:
            return False
        self.state, self._limit, self._successes, self._doubled_at = "closed", 1, 0, now
        return True
