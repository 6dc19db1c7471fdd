"""An outcome and the number of attempts so far: when again, or stop. Pure: chance and time are arguments."""

from dataclasses import dataclass

from scimhub.distribution.delivery import Rejected, Retry

# Seconds before the second attempt, the third, and so on; then hourly. Chance shortens each ("full jitter"), so that what
# failed together does not come back together.
DELAYS = (1.0, 5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)
# Three days of hourly attempts; then a person must look.
MOST_ATTEMPTS = len(DELAYS) + 72
# What a destination refuses for good is tried so often, since receivers are mended too.
MOST_REFUSALS = 3
# A Retry-After beyond this is cut.
LONGEST_DELAY = 24 * 3600.0
# A lane that waits longer is held: it must not keep the window from moving on.
LONGEST_WAIT_IN_WINDOW = 10.0


@dataclass(frozen=True, slots=True)
class Again:
    """Try again so many seconds from now; ``holds`` says that the lane leaves the window until then."""

    delay: float
    holds: bool


@dataclass(frozen=True, slots=True)
class Stop:
    """Try no more before a person says so."""


Verdict = Again | Stop


def judge(outcome: Retry | Rejected, attempts: int, chance: float) -> Verdict:
    """What follows from a failure; ``attempts`` counts this one too, ``chance`` is from 0 to 1."""
    most = MOST_REFUSALS if isinstance(outcome, Rejected) else MOST_ATTEMPTS
    if attempts >= most:
        return Stop()
    base = DELAYS[min(attempts, len(DELAYS)) - 1]
    if isinstance(outcome, Retry) and outcome.after is not None:
        # It says how long to wait at least: a receiver that always asks for a moment must not use up three days of attempts.
        wished = min(max(outcome.after, base * chance), LONGEST_DELAY)
        return Again(wished, wished > LONGEST_WAIT_IN_WINDOW)
    return Again(base * chance, base > LONGEST_WAIT_IN_WINDOW)
