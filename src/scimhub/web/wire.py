"""What a connection writes and reads: gathered to the end of the event loop's turn, and no more than both sides take."""

import asyncio
import logging
from typing import Final, Literal

_logger = logging.getLogger(__name__)
# A stream may write without end in one turn: what is more goes to the transport, whose flow control then stops it.
_MOST_GATHERED: Final = 64 * 1024


class Outbox:
    """The wires that have something to send when the turn of the event loop ends: one call of the loop for all of them."""

    def __init__(self) -> None:
        self._wires: list[Wire] = []

    def add(self, wire: "Wire", loop: asyncio.AbstractEventLoop) -> None:
        if not self._wires:
            loop.call_soon(self._flush)
        self._wires.append(wire)

    def _flush(self) -> None:
        wires, self._wires = self._wires, []
        for wire in wires:
            try:
                wire.flush()
            except Exception:
                # The others' answers must not suffer.
                _logger.exception("answer not sent")
                wire.transport.abort()


class Wire:
    """A transport whose writes of one turn go out as one (docs/decisions/0012), and its flow control both ways."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, outbox: Outbox) -> None:
        self.transport = transport
        self._loop = loop
        self._outbox = outbox
        self._gathered: list[bytes] = []
        self._size = 0
        # How many bytes the transport was given so far.
        self._given = 0
        # Why nothing is read for now: as much of a body waits as may, or a whole request does.
        self._reasons: set[Literal["body", "request"]] = set()
        # When the client was last heard of, answered or let go on, by the loop's clock.
        self.active_at = loop.time()
        # Whether the transport holds as much as it should; who goes on writing waits.
        self.is_full = False
        self._emptied = asyncio.Event()

    @property
    def is_closing(self) -> bool:
        return self.transport.is_closing()

    @property
    def is_reading(self) -> bool:
        return not self._reasons

    def write(self, data: bytes) -> None:
        """Have it go out when the turn ends."""
        if not self._gathered:
            self._outbox.add(self, self._loop)
        self._gathered.append(data)
        self._size += len(data)
        if self._size > _MOST_GATHERED:
            self.flush()

    def flush(self) -> None:
        """Give the transport what was gathered."""
        gathered = self._gathered
        if gathered and not self.transport.is_closing():
            # To copy a long body costs more than to write its head apart.
            for piece in gathered if self._size > _MOST_GATHERED else (b"".join(gathered),):
                self.transport.write(piece)
            self._given += self._size
        self._gathered, self._size = [], 0

    def close(self) -> None:
        """Close, once all that was written is out."""
        self.flush()
        self.transport.close()

    def end(self) -> None:
        """Say that nothing more is written, where the transport can, and go on reading."""
        self.flush()
        if not self.transport.is_closing() and self.transport.can_write_eof():
            self.transport.write_eof()
        self.resume("body")
        self.resume("request")

    def fill(self) -> None:
        """The transport says that it holds enough."""
        self.is_full = True
        self._emptied.clear()

    def empty(self) -> None:
        """The transport takes more, or is gone."""
        self.is_full = False
        self._emptied.set()

    async def emptied(self) -> None:
        """Wait for that."""
        await self._emptied.wait()

    def passed_on(self) -> int | None:
        """How many bytes went out so far, where some still wait; None where all are out."""
        waiting = self.transport.get_write_buffer_size()
        return self._given - waiting if waiting else None

    def pause(self, reason: Literal["body", "request"]) -> None:
        """Read no more for now."""
        if not self._reasons:
            self.transport.pause_reading()
        self._reasons.add(reason)

    def resume(self, reason: Literal["body", "request"]) -> None:
        """Read on, unless there is another reason not to."""
        if reason in self._reasons:
            self._reasons.remove(reason)
            if not (self._reasons or self.transport.is_closing()):
                self.active_at = self._loop.time()
                self.transport.resume_reading()
