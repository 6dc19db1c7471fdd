"""When a failed message is tried again, as a table, and when a destination is taken for down."""

import pytest

from scimhub.distribution import retry
from scimhub.distribution.breaker import Breaker
from scimhub.distribution.delivery import Rejected, Retry
from scimhub.distribution.retry import Again, Stop

FAILED = Retry("The receiver answered 500.")


@pytest.mark.parametrize(
    ("outcome", "attempts", "chance", "verdict"),
    [
        (FAILED, 1, 1.0, Again(1.0, holds=False)),
        (FAILED, 1, 0.25, Again(0.25, holds=False)),
        (FAILED, 2, 1.0, Again(5.0, holds=False)),
        (FAILED, 3, 0.5, Again(15.0, holds=True)),
        (FAILED, 7, 1.0, Again(3600.0, holds=True)),
        (FAILED, 50, 1.0, Again(3600.0, holds=True)),
        (FAILED, 79, 1.0, Stop()),
        (Retry("429", after=3.0), 5, 0.1, Again(3.0, holds=False)),
        (Retry("429", after=120.0), 1, 0.1, Again(120.0, holds=True)),
        (Retry("429", after=10.0**9), 1, 0.1, Again(86400.0, holds=True)),
        (Rejected("400"), 1, 1.0, Again(1.0, holds=False)),
        (Rejected("400"), 2, 1.0, Again(5.0, holds=False)),
        (Rejected("400"), 3, 1.0, Stop()),
    ],
)
def test_what_follows_from_a_failure(outcome: Retry | Rejected, attempts: int, chance: float, verdict: object) -> None:
    assert retry.judge(outcome, attempts, chance) == verdict


def fail(breaker: Breaker, lane: str, now: float, *, is_own: bool = False, after: float | None = None) -> bool:
    return breaker.fail(lane, is_own=is_own, reason="down", after=after, now=now, chance=1.0)


def test_one_poisoned_resource_never_opens_it() -> None:
    breaker = Breaker(16)
    assert not any(fail(breaker, "a", float(now)) for now in range(50))
    assert (breaker.state, breaker.limit(99.0), breaker.failures, breaker.failing_since) == ("closed", 16, 50, 0.0)


def test_failures_of_five_resources_in_a_row_open_it_and_a_success_between_them_does_not() -> None:
    breaker = Breaker(16)
    assert [fail(breaker, lane, 1.0) for lane in "abcd"] == [False] * 4
    breaker.succeed("z")
    assert [fail(breaker, lane, 2.0) for lane in "efghi"] == [False, False, False, False, True]
    assert breaker.limit(2.9) == 0
    assert breaker.limit(3.0) == 1


def test_a_failure_of_its_own_opens_it_at_once_for_as_long_as_it_asked() -> None:
    breaker = Breaker(16)
    assert fail(breaker, "a", 10.0, is_own=True, after=30.0)
    assert breaker.limit(39.9) == 0
    assert breaker.limit(40.0) == 1


def test_pauses_between_probes_double_up_to_a_minute() -> None:
    breaker, now, pauses = Breaker(4), 0.0, []
    for _ in range(9):
        fail(breaker, "a", now, is_own=True)
        pauses.append(breaker.probe_at - now)
        now = breaker.probe_at
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_messages_that_were_in_flight_when_it_opened_do_not_lengthen_the_pause() -> None:
    breaker = Breaker(16)
    fail(breaker, "a", 0.0, is_own=True)
    for lane in "bcdefgh":
        assert fail(breaker, lane, 0.1)
    assert breaker.probe_at == 1.0


def test_after_a_probe_the_load_grows_step_by_step() -> None:
    breaker = Breaker(8)
    fail(breaker, "a", 0.0, is_own=True)
    limits = []
    for _ in range(16):
        breaker.succeed("z")
        limits.append(breaker.limit(1.0))
    assert limits == [2, 2, 4, 4, 4, 4, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8]
    assert breaker.failing_since is None


def test_what_failed_while_the_destination_was_up_is_itself_to_blame_until_it_succeeds() -> None:
    breaker = Breaker(16)
    for lane in "abcde":
        fail(breaker, lane, 0.0)
    assert breaker.state == "open"
    breaker.succeed("z")
    assert [fail(breaker, lane, 5.0) for lane in "abcdeabcde"] == [False] * 10
    assert breaker.state == "closed"
    breaker.succeed("a")
    assert [fail(breaker, lane, 6.0) for lane in "afghi"] == [False, False, False, False, True]
    # A failure that is the destination's for certain opens it whoever met it.
    other = Breaker(16)
    fail(other, "a", 0.0)
    other.succeed("z")
    assert fail(other, "a", 1.0, is_own=True)
