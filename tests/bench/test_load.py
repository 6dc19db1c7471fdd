"""The load generator counts what it sends, reads long answers to their end, and notices a wrong one."""

import pytest

from bench import load, requests, servers
from bench.load import Traffic, UnexpectedAnswer


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
