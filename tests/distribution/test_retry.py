"""When a failed message is tried again, as a table, and when a destination is taken for down."""

import random
from collections import defaultdict
from itertools import pairwise

import pytest

from scimhub.distribution import retry
from scimhub.distribution.breaker import Breaker, Fault, fault_of
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
        (Retry("429", after=3.0), 1, 0.1, Again(3.0, holds=False)),
        (Retry("429", after=3.0), 5, 0.1, Again(60.0, holds=True)),
        (Retry("429", after=0.0), 2, 0.5, Again(2.5, holds=False)),
        (Retry("429", after=120.0), 1, 0.1, Again(120.0, holds=True)),
        (Retry("429", after=10.0**9), 1, 0.1, Again(86400.0, holds=True)),
        (Rejected("400"), 1, 1.0, Again(1.0, holds=False)),
        (Rejected("400"), 2, 1.0, Again(5.0, holds=False)),
        (Rejected("400"), 3, 1.0, Stop()),
    ],
)
def test_what_follows_from_a_failure(outcome: Retry | Rejected, attempts: int, chance: float, verdict: object) -> None:
    assert retry.judge(outcome, attempts, chance) == verdict


def fail(breaker: Breaker, lane: str, now: float, *, fault: Fault = "unknown", after: float | None = None) -> bool:
    return breaker.fail(lane, fault=fault, reason="down", after=after, now=now, chance=1.0)


def test_one_poisoned_resource_never_opens_it() -> None:
    breaker = Breaker(16)
    assert not any(fail(breaker, "a", float(now)) for now in range(50))
    assert (breaker.state, breaker.limit(99.0), breaker.failures, breaker.failing_since) == ("closed", 16, 50, 0.0)


def test_failures_of_five_resources_in_a_row_open_it_and_a_success_between_them_does_not() -> None:
    breaker = Breaker(16)
    assert [fail(breaker, lane, 1.0) for lane in "abcd"] == [False] * 4
    breaker.succeed("z", 2.0)
    assert [fail(breaker, lane, 2.0) for lane in "efghi"] == [False, False, False, False, True]
    assert breaker.limit(2.9) == 0
    assert breaker.limit(3.0) == 1


def test_a_failure_of_its_own_opens_it_at_once_for_as_long_as_it_asked() -> None:
    breaker = Breaker(16)
    assert fail(breaker, "a", 10.0, fault="certain", after=30.0)
    assert breaker.limit(39.9) == 0
    assert breaker.limit(40.0) == 1


@pytest.mark.parametrize("refused", [False, True])
def test_what_was_under_way_when_it_asked_for_a_rest_does_not_end_the_rest(refused: bool) -> None:
    breaker = Breaker(16)
    breaker.succeed("z", 9.0)
    assert fail(breaker, "a", 10.0, fault="certain", after=30.0)
    if refused:
        assert not fail(breaker, "b", 10.5, fault="refused")
    else:
        breaker.succeed("b", 10.5)
    assert (breaker.state, breaker.limit(39.9), breaker.limit(40.0), breaker.reason) == ("open", 0, 1, "down")
    breaker.succeed("b", 40.5)
    assert (breaker.state, breaker.reason) == ("closed", "")


def test_pauses_between_probes_double_up_to_a_minute() -> None:
    breaker, now, pauses = Breaker(4), 0.0, []
    for _ in range(9):
        fail(breaker, "a", now, fault="certain")
        pauses.append(breaker.probe_at - now)
        now = breaker.probe_at
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_whoever_asks_for_no_pause_is_given_the_usual_one() -> None:
    breaker, now, pauses = Breaker(4), 0.0, []
    for _ in range(3):
        fail(breaker, "a", now, fault="certain", after=0.0)
        pauses.append(breaker.probe_at - now)
        now = breaker.probe_at
    assert pauses == [1, 2, 4]


def test_messages_that_were_in_flight_when_it_opened_do_not_lengthen_the_pause() -> None:
    breaker = Breaker(16)
    fail(breaker, "a", 0.0, fault="certain")
    for lane in "bcdefgh":
        assert fail(breaker, lane, 0.1)
    assert breaker.probe_at == 1.0


def test_after_a_probe_the_load_doubles_once_a_second_and_only_with_what_arrives() -> None:
    breaker = Breaker(8)
    fail(breaker, "a", 0.0, fault="certain")
    limits = []
    for tenth in range(10, 50):
        breaker.succeed("z", tenth / 10)
        limits.append(breaker.limit(tenth / 10))
    assert limits == [1] * 10 + [2] * 10 + [4] * 10 + [8] * 10
    assert breaker.failing_since is None
    slow = Breaker(8)
    fail(slow, "a", 0.0, fault="certain")
    for second in range(5):
        slow.succeed("z", 10.0 * second)
    # 1, then 2 after one, then 4 after two more.
    assert slow.limit(50.0) == 4


def test_a_clock_that_is_set_back_does_not_keep_the_load_small() -> None:
    breaker = Breaker(4)
    fail(breaker, "a", 100.0, fault="certain")
    breaker.succeed("z", 101.0)
    for _ in range(4):
        breaker.succeed("z", 5.0)
    assert breaker.limit(5.0) == 2


@pytest.mark.parametrize("seed", range(5))
def test_twenty_destinations_that_recover_at_once_come_back_step_by_step(seed: int) -> None:
    """All of them behind one gateway, which is down for five minutes; a message then takes a twentieth of a second."""
    dice, up_at, end, tick = random.Random(seed), 300.0, 390.0, 0.05
    breakers = [Breaker(16) for _ in range(20)]
    for breaker in breakers:
        breaker.fail("first", fault="certain", reason="down", after=None, now=0.0, chance=dice.random())
    seconds: dict[int, int] = defaultdict(int)
    for step in range(int(end / tick)):
        now = step * tick
        for breaker in breakers:
            for number in range(breaker.limit(now)):
                seconds[int(now)] += 1
                if now >= up_at:
                    breaker.succeed(str(number), now + tick)
                else:
                    breaker.fail(str(number), fault="certain", reason="down", after=None, now=now + tick, chance=dice.random())
    curve = [seconds[second] for second in range(int(end))]
    full = 20 * 16 / tick
    # While it is down hardly anything is asked: a probe of each, half a minute to a minute apart.
    assert max(curve[120:300]) <= 20
    assert sum(curve[120:300]) <= 20 * 8
    # What comes back comes back over a minute, and in no second does it more than double beyond a few probes.
    assert all(after <= 2.2 * before + 60 for before, after in pairwise(curve[300:]))
    assert curve[300] <= 0.02 * full
    assert curve[-1] >= 0.95 * full


def test_what_failed_while_the_destination_was_up_is_itself_to_blame_until_it_succeeds() -> None:
    breaker = Breaker(16)
    for lane in "abcde":
        fail(breaker, lane, 0.0)
    assert breaker.state == "open"
    breaker.succeed("z", 2.0)
    assert [fail(breaker, lane, 5.0) for lane in "abcdeabcde"] == [False] * 10
    assert breaker.state == "closed"
    breaker.succeed("a", 5.5)
    assert [fail(breaker, lane, 6.0) for lane in "afghi"] == [False, False, False, False, True]
    # A failure that is the destination's for certain opens it whoever met it.
    other = Breaker(16)
    fail(other, "a", 0.0)
    other.succeed("z", 0.5)
    assert fail(other, "a", 1.0, fault="certain")


@pytest.mark.parametrize(
    ("outcome", "fault"),
    [
        (Rejected("too large"), "refused"),
        (Rejected("no success", 200), "refused"),
        *((Rejected("", status), "refused") for status in (400, 409, 413, 422)),
        *((Rejected("", status), "unknown") for status in (404, 405, 406, 415, 451)),
        (Retry("", "destination", status=403), "likely"),
        *((Retry("", "destination", status=status), "certain") for status in (None, 401, 429, 503)),
        (Retry("", "resource", status=500), "unknown"),
    ],
)
def test_whose_fault_a_failure_is_as_far_as_it_says(outcome: Retry | Rejected, fault: Fault) -> None:
    assert fault_of(outcome) == fault


def test_refusals_by_a_destination_that_has_taken_something_are_each_the_resources_own() -> None:
    breaker = Breaker(16)
    breaker.succeed("z", 0.0)
    assert not any(fail(breaker, f"lane-{number}", 1.0, fault="refused") for number in range(999))
    assert (breaker.state, breaker.limit(1.0), breaker.failing_since) == ("closed", 16, None)
    # So many are no coincidence: it takes nothing any more.
    assert [fail(breaker, f"more-{number}", 2.0, fault="refused") for number in range(5)] == [False] * 4 + [True]
    breaker.succeed("z", 9.0)
    assert not fail(breaker, "other", 9.5, fault="refused")


def test_a_destination_that_has_taken_nothing_and_refuses_all_is_asked_about_each_before_it_is_left_alone() -> None:
    breaker, now, pauses = Breaker(4), 0.0, []
    assert [fail(breaker, lane, now, fault="refused") for lane in "abcde"] == [False] * 4 + [True]
    for lane in "fghijklabcdefgh":
        now = breaker.probe_at
        assert fail(breaker, lane, now, fault="refused")
        pauses.append(breaker.probe_at - now)
    assert pauses == [1] * 8 + [2, 4, 8, 16, 32, 60, 60]
    breaker.succeed("z", now)
    # Now it is known whose fault that was.
    assert not any(fail(breaker, lane, now, fault="refused") for lane in "abcdefghijklmnop")


def test_a_refusal_shows_that_a_destination_is_up_again() -> None:
    breaker = Breaker(16)
    breaker.succeed("z", 0.0)
    fail(breaker, "a", 1.0, fault="certain")
    assert breaker.state == "open"
    assert not fail(breaker, "b", 2.0, fault="refused")
    assert (breaker.state, breaker.limit(2.0)) == ("closed", 1)


def test_who_may_not_be_touched_is_found_out_by_the_others_success() -> None:
    breaker = Breaker(16)
    assert fail(breaker, "owner", 0.0, fault="likely")
    assert fail(breaker, "owner", 1.0, fault="likely")
    breaker.succeed("z", 2.0)
    assert not fail(breaker, "owner", 3.0, fault="likely")
    assert breaker.state == "closed"
    assert fail(breaker, "other", 4.0, fault="likely")
