"""uvicorn's HTTP protocol, but what one turn of the event loop writes to a connection goes out once, at the turn's end.

uvicorn writes an answer's head and its body apart, and uvloop gives each piece to the kernel at once. A client on the same
machine, a proxy for one, is then woken twice for each answer and in the midst of the others (docs/decisions/0012). Who has
the whole of an answer may write it in one step (docs/decisions/0027).
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from scimhub.web.exchange import AT_ONCE, Headers, Scope

# A stream may write without end in one turn: what is more goes to the transport, whose flow control then stops it.
_MOST_GATHERED = 64 * 1024
# Seconds that a connection without a request still has when the server stops.
_LAST_REQUEST = 0.25


class Protocol(HttpToolsProtocol):
    """One connection of a client."""

    _is_ending = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's has all of a Transport without inheriting from it, and so has ours.
        gathering: object = _Gathering(cast(asyncio.Transport, transport), self.loop)
        super().connection_made(cast(asyncio.Transport, gathering))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        # ASGI leaves this place to servers; uvicorn's type knows only what is agreed upon.
        self.scope["extensions"] = cast(Any, {AT_ONCE: self._write_whole})

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        if self._is_ending and self.cycle is not None:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """The server stops: what is under way is answered as the last of this connection, and so is what comes a moment later.

        uvicorn closes at once where nothing is under way. A request may be on its way all the same, above all when the
        connection is new; with several workers another one would have taken it.
        """
        self._is_ending = True
        if self._is_idle():
            self.loop.call_later(_LAST_REQUEST, self._close_idle)
        else:
            self.cycle.keep_alive = False

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _close_idle(self) -> None:
        if self._is_idle():
            self.transport.close()

    def _write_whole(self, scope: Scope, status: int, headers: Headers, body: bytes) -> bool:
        """Write the whole answer, and do what the cycle's ``send`` does besides; False, with nothing done, where that must.

        The headers say how long the body is, as all do that ``Answer`` makes. uvicorn looks at each name and value with a
        pattern; one look at the head tells as well that nothing in it begins another line.
        """
        # Bound to the connection, not to its cycle: what refers to itself would have to wait for the cycle collector.
        cycle = self.cycle
        if cycle is None or cycle.scope is not scope or cycle.flow.write_paused or cycle.disconnected:
            return False
        lines = [*cycle.default_headers, *headers]
        if not cycle.keep_alive:
            lines.append((b"connection", b"close"))
        head = b"".join([STATUS_LINE[status], *[b"%b: %b\r\n" % line for line in lines], b"\r\n"])
        if head.count(b"\n") != len(lines) + 2 or head.count(b"\r") != len(lines) + 2:
            raise RuntimeError("A header holds the end of a line.")
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        self.transport.write(head)
        self.transport.write(body)
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        return True


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
