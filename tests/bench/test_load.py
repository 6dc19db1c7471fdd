"""The load generator counts what it sends, reads long answers to their end, and notices a wrong one."""

import pytest

from bench import load, report, requests, servers
from bench.load import Traffic, UnexpectedAnswer
from bench.rounds import Row


@pytest.fixture(scope="module")
def hello():
    with servers.hello() as server:
        yield server


@pytest.mark.parametrize("length", [0, 1, 1800, 3_000_000])
def test_every_request_is_answered_to_the_last_byte(hello, length):
    measured = load.run(Traffic([requests.hello(length)] * 40, 200), hello.port, connections=8)
    assert (measured.answered, measured.body_length) == (40, length)
    assert list(measured.latencies) == sorted(measured.latencies)


def test_traffic_that_repeats_ends_with_its_time(hello):
    measured = load.run(Traffic([requests.hello(1)], 200, repeat=True, seconds=0.1), hello.port, connections=2)
    assert measured.answered > 2
    assert 0.1 <= measured.elapsed < 5


def test_an_unexpected_status_is_an_error(hello):
    with pytest.raises(UnexpectedAnswer, match="200 OK"):
        load.run(Traffic([requests.hello(1)], 201), hello.port, connections=1)


def row(scenario: str, members: int | None, ratio: float, cpu: float, target: float | None) -> Row:
    return Row(scenario, 100_000, members, 1000.0, 1.0, 2.0, 10_000.0, ratio, cpu, 20.0, target, 5.0)


def test_the_aims_are_judged():
    rows = [
        row("get", None, 0.49, 40, 0.5),
        row("put", None, 0.1, 90, None),
        row("member add", 1_000, 0.2, 100, 0.13),
        row("member add", 100_000, 0.13, 149, 0.13),
    ]
    assert [(finding["reached"], finding["met"]) for finding in report.targets(rows)] == [
        (0.49, False),
        (0.2, True),
        (0.13, True),
        (1.49, True),
    ]
