"""uvicorn's HTTP protocol, but what one turn of the event loop writes to a connection goes out once, at the turn's end.

uvicorn writes an answer's head and its body apart, and uvloop gives each piece to the kernel at once. A client on the same
machine, a proxy for one, is then woken twice for each answer and in the midst of the others (docs/decisions/0012).
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# A stream may write without end in one turn: what is more goes to the transport, whose flow control then stops it.
_MOST_GATHERED = 64 * 1024


class Protocol(HttpToolsProtocol):
    """One connection of a client."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's has all of a Transport without inheriting from it, and so has ours.
        gathering: object = _Gathering(cast(asyncio.Transport, transport), self.loop)
        super().connection_made(cast(asyncio.Transport, gathering))


class _Gathering:
    """A transport that gathers what is written; all else is the business of the real one."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._gathered: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:  # a method of any type
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._gathered:
            self._loop.call_soon(self._flush)
        self._gathered.append(data)
        self._size += len(data)
        if self._size > _MOST_GATHERED:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        gathered = self._gathered
        if gathered and not self._transport.is_closing():
            # To copy a long body costs more than to write its head apart.
            for piece in gathered if self._size > _MOST_GATHERED else (b"".join(gathered),):
                self._transport.write(piece)
        self._gathered, self._size = [], 0
