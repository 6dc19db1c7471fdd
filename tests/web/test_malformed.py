"""What is no request: all of it is counted, and the log does not grow with it."""

import asyncio
import logging
from functools import partial

import pytest

from scimhub.web.malformed import Malformed
from scimhub.web.protocol import Protocol
from scimhub.web.reception import Reception
from tests.web.connections import answered, serving
from tests.web.test_connections import reader


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "scimhub.web.malformed"]


async def test_whoever_sends_nonsense_again_and_again_gets_three_lines_and_all_is_counted(caplog: pytest.LogCaptureFixture):
    malformed = Malformed()
    async with asyncio.timeout(30), serving(reader, partial(Protocol, reception=Reception(malformed))) as port:
        for _ in range(19):
            assert (await answered(port, [b"nonsense\r\n\r\n"])).startswith(b"HTTP/1.1 400 ")
        endless = [b"GET /a HTTP/1.1\r\nHost: hub\r\nX: ", *[b"x" * 50_000] * 20]
        assert (await answered(port, endless)).startswith(b"HTTP/1.1 431 ")
    assert (malformed.count, len(lines(caplog))) == (20, 3)
    assert {vars(record)["client"] for record in lines(caplog)} == {"127.0.0.1"}


async def test_many_addresses_get_no_more_lines_than_the_minute_has(caplog: pytest.LogCaptureFixture):
    malformed = Malformed()
    for number in range(10_000):
        malformed.note(f"2001:db8::{number:x}", "nonsense")
    assert (malformed.count, len(lines(caplog))) == (10_000, 60)


async def test_at_the_end_of_a_minute_what_was_left_out_is_counted_and_the_next_one_begins(caplog: pytest.LogCaptureFixture):
    malformed = Malformed(minute=0.05)
    for _ in range(5):
        malformed.note("192.0.2.1", "nonsense")
    async with asyncio.timeout(10):
        while len(lines(caplog)) < 4:
            await asyncio.sleep(0.01)
    last = vars(lines(caplog)[-1])
    assert (last["message"], last["count"], last["clients"]) == ("more that is no HTTP request", 2, ["192.0.2.1"])
    malformed.note("192.0.2.1", "nonsense")
    assert (lines(caplog)[-1].message, malformed.count) == ("no HTTP request", 6)
