"""A bucket of tokens: so many at once, so many in the long run."""

import pytest

from scimhub.distribution.pace import Pace


def test_without_a_rate_nothing_waits():
    pace = Pace(None, 1)
    assert [pace.reserve(0.0) for _ in range(100)] == [0.0] * 100


def test_a_burst_goes_at_once_and_the_rest_at_the_rate():
    pace = Pace(60, 3)
    assert [pace.reserve(0.0) for _ in range(5)] == [0.0, 0.0, 0.0, 1.0, 2.0]
    assert pace.reserve(2.0) == pytest.approx(1.0)  # two have left meanwhile
    assert pace.reserve(100.0) == 0.0


def test_in_the_long_run_no_more_than_the_rate_leave():
    pace, now, sent = Pace(120, 10), 0.0, []
    for _ in range(1000):
        wait = pace.reserve(now)
        now += wait
        sent.append(now)
    assert 490 <= sent[-1] <= 500
