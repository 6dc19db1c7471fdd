"""What a connection writes and reads: gathered to the end of the event loop's turn, and no more than both sides take."""

import asyncio
from typing import Final

# A stream may write without end in one turn: what is more goes to the transport, whose flow control then stops it.
_MOST_GATHERED: Final = 64 * 1024


class Wire:
    """A transport whose writes of one turn go out as one (docs/decisions/0012), and its flow control both ways."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport = transport
        self._loop = loop
        self._gathered: list[bytes] = []
        self._size = 0
        self._is_reading = True
        # Whether the transport holds as much as it should; who goes on writing waits.
        self.is_full = False
        self._emptied = asyncio.Event()

    @property
    def is_closing(self) -> bool:
        return self.transport.is_closing()

    def write(self, data: bytes) -> None:
        """Have it go out when the turn ends."""
        if not self._gathered:
            self._loop.call_soon(self.flush)
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
        self._gathered, self._size = [], 0

    def close(self) -> None:
        """Close, once all that was written is out."""
        self.flush()
        self.transport.close()

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

    def pause(self) -> None:
        """Read no more for now."""
        if self._is_reading:
            self._is_reading = False
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if not self._is_reading:
            self._is_reading = True
            if not self.transport.is_closing():
                self.transport.resume_reading()
