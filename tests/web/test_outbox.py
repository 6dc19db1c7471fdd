"""What is sent when a turn ends goes out by one call, and one connection that fails holds up no other."""

import asyncio
from typing import Any

import pytest

from scimhub.web.wire import Outbox, Wire


class Kept:
    """A transport that keeps what is written, or fails."""

    def __init__(self, fails: bool = False) -> None:
        self.written: list[bytes] = []
        self.is_aborted = False
        self._fails = fails

    def write(self, piece: bytes) -> None:
        if self._fails:
            raise OSError("broken")
        self.written.append(piece)

    def is_closing(self) -> bool:
        return self.is_aborted

    def abort(self) -> None:
        self.is_aborted = True


async def test_a_connection_that_fails_is_ended_and_the_others_are_answered(caplog: pytest.LogCaptureFixture):
    outbox, loop = Outbox(), asyncio.get_running_loop()
    transports: list[Any] = [Kept(), Kept(fails=True), Kept()]
    wires = [Wire(transport, loop, outbox) for transport in transports]
    for wire in (*wires, *wires):
        wire.write(b"x")
    assert [transport.written for transport in transports] == [[], [], []]
    await asyncio.sleep(0)
    assert [transport.written for transport in transports] == [[b"xx"], [], [b"xx"]]
    assert [transport.is_aborted for transport in transports] == [False, True, False]
    assert [record.message for record in caplog.records] == ["answer not sent"]
    # The next turn has an outbox of its own.
    wires[0].write(b"y")
    await asyncio.sleep(0)
    assert transports[0].written == [b"xx", b"y"]
