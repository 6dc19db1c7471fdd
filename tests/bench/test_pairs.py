"""What pairs of runs come to: the median of their differences, not the difference of their medians."""

import pytest

from bench import pairs, scenarios
from bench.pairs import Run
from bench.scenarios import Population

PEOPLE = Population([f"p{number}" for number in range(7)], [f"id-{number}" for number in range(7)])


def test_what_counts_is_the_median_of_the_pairs():
    # The machine was busy in the second pair; of medians taken apart the difference would be 60 µs.
    found = pairs.summarise("create", [Run(100e-6, 110e-6), Run(300e-6, 340e-6), Run(160e-6, 170e-6)])
    assert (found.without_us, found.with_us) == pytest.approx((160, 170))
    assert found.difference_us == pytest.approx(10)
    assert found.share == pytest.approx(0.1)


def test_the_quartiles_tell_how_far_pairs_differ():
    found = pairs.summarise("get", [Run(100e-6, (100 + share) * 1e-6) for share in (-4, 2, 4, 6, 12)])
    assert (found.lower_quartile, found.share, found.upper_quartile) == pytest.approx((-0.01, 0.04, 0.09))


def test_a_single_pair_has_no_spread():
    found = pairs.summarise("get", [Run(100e-6, 105e-6)])
    assert (found.lower_quartile, found.share, found.upper_quartile) == pytest.approx((0.05, 0.05, 0.05))


def test_each_run_sends_what_the_runs_before_it_did_not():
    [create] = [each for each in scenarios.of_users(PEOPLE) if each.name == "create"]
    first, second = (pairs.requests_of(create, 10, number) for number in (0, 1))
    assert len({*first.requests, *second.requests}) == 20
    assert b"new-10" in second.requests[0]


def test_reads_begin_again_with_the_first_when_all_were_sent():
    [get] = [each for each in scenarios.of_users(PEOPLE) if each.name == "get"]
    sent = [request for number in (0, 1, 2) for request in pairs.requests_of(get, 5, number).requests]
    assert sent == [*sent[:7], *sent[:7], sent[0]]
