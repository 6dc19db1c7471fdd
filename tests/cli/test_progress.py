"""What long work says where there is no terminal."""

import pytest

from scimhub.cli.progress import Lines, watching


def test_a_line_comes_every_few_seconds_with_rate_and_remaining_time(capsys: pytest.CaptureFixture[str]):
    now = 0.0
    lines = Lines(lambda: now)
    for now in (0.0, 1.0, 2.0, 5.0, 6.0, 10.0):
        lines.tell("loading", round(now * 1000), 20_000)
    now = 20.0
    lines.tell("removing", 3, 0)
    assert capsys.readouterr().err.splitlines() == [
        "loading: 5,000 of 20,000, 1,000/s, 15 s left",
        "loading: 10,000 of 20,000, 1,000/s, 10 s left",
        "removing: 3, 0/s",
    ]


def test_the_remaining_time_goes_by_the_pace_of_lately(capsys: pytest.CaptureFixture[str]):
    now = 0.0
    lines = Lines(lambda: now)
    for second in range(0, 121, 5):
        now = float(second)
        lines.tell("loading", 100 * min(second, 60) + 10 * max(second - 60, 0), 7000)
    assert capsys.readouterr().err.splitlines()[-1] == "loading: 6,600 of 7,000, 10/s, 40 s left"


def test_for_a_machine_nothing_is_said(capsys: pytest.CaptureFixture[str]):
    with watching(is_silent=True) as watch:
        watch("loading", 1, 2)
    assert capsys.readouterr() == ("", "")
