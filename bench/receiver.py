"""Receivers of webhooks for the benchmark: one that notes when each event came, and one that never answers.

``python -m bench.receiver note|silent PORT``. What was noted is read with ``GET /arrivals``: a line of event id and time for
each event, and with ``GET /count`` their number.
"""

import asyncio
import re
import sys
import time
from typing import cast

from bench.load import pin
from bench.servers import LOAD_CORE

_ID = re.compile(rb'"id":"([^"]+)"')
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_OK = b"HTTP/1.1 204 No Content\r\n\r\n"
# A run of membership changes counts for each version that it tells of.
_RUN = re.compile(rb'"version":(\d+).{0,80}?"fromVersion":(\d+)')

arrivals: list[tuple[str, float]] = []
changes = 0
# Whether what comes is left where it is for now; only who fetches can do so.
is_held = False


class Noting(asyncio.Protocol):
    """Reads requests from one connection and answers each at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # of a stream connection
        self._received = bytearray()

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end])
            length = _LENGTH.search(head)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self._received) < size:
                return
            body = bytes(self._received[end + 4 : size])
            del self._received[:size]
            self._transport.write(_answer(head, body))


def _answer(head: bytes, body: bytes) -> bytes:
    global changes, is_held
    if head.startswith(b"POST"):
        found = _ID.search(body)
        if found is not None:
            arrivals.append((found[1].decode(), time.time()))
            run = _RUN.search(body)
            changes += 1 if run is None else int(run[1]) - int(run[2]) + 1
        return _OK
    if head.startswith((b"GET /hold", b"GET /go")):
        is_held = head.startswith(b"GET /hold")
        return _OK
    told = str(changes) if head.startswith(b"GET /count") else "\n".join(f"{id} {moment!r}" for id, moment in arrivals)
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(told)}\r\n\r\n{told}".encode()


class Silent(asyncio.Protocol):
    """Takes everything and never answers."""


async def _serve(sort: str, port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Noting if sort == "note" else Silent, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    pin(LOAD_CORE)
    uvloop.run(_serve(sys.argv[1], int(sys.argv[2])))
