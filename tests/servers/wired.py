"""Requests of httpx that go through the hub's own protocol, as bytes, without a socket between."""

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

import httptools
import httpx
import uvicorn
from uvicorn.server import ServerState

from scimhub.web.protocol import Protocol
from scimhub.web.reception import Reception

# What connections to an application share, as they do in a hub.
_RECEPTIONS: WeakKeyDictionary[Any, tuple[uvicorn.Config, Reception]] = WeakKeyDictionary()


class Wired(httpx.AsyncBaseTransport):
    """Each request has a connection of its own to the application."""

    def __init__(self, application: Any) -> None:
        if application not in _RECEPTIONS:
            config = uvicorn.Config(application, lifespan="off", log_config=None, proxy_headers=False)
            _RECEPTIONS[application] = config, Reception()
        self._config, self._reception = _RECEPTIONS[application]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        first = b"%b %b HTTP/1.1" % (request.method.encode(), request.url.raw_path)
        head = b"\r\n".join([first, *[b"%b: %b" % line for line in request.headers.raw], b"", b""])
        wire = _Wire(request.method)
        protocol = Protocol(self._config, ServerState(), {}, asyncio.get_running_loop(), reception=self._reception)
        protocol.connection_made(wire)
        try:
            protocol.data_received(head + body)
            await wire.is_answered.wait()
            # An answer that was broken off must not pass for a whole one.
            if not wire.is_whole:
                raise httpx.RemoteProtocolError("The connection was closed amid the answer.", request=request)
        finally:
            protocol.connection_lost(None)
        return httpx.Response(wire.status, headers=wire.headers, content=bytes(wire.body))


class MemoryTransport(asyncio.Transport):
    """A connection without a socket: what is written is taken at once."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 80), "peername": ("192.0.2.1", 50_000)})
        self._is_closed = False

    def close(self) -> None:
        self._is_closed = True

    def abort(self) -> None:
        self.close()

    def is_closing(self) -> bool:
        return self._is_closed

    def can_write_eof(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """What was sent is here already."""

    def resume_reading(self) -> None:
        """There is nothing more."""


class _Wire(MemoryTransport):
    """The client's end: reads the answer to one request. Also the parser's callbacks."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()
        self.is_whole = False
        self.is_answered = asyncio.Event()
        self._method = method
        self._parser: Any = httptools.HttpResponseParser(self)

    # ------------------------------------------------------------------ the transport

    def write(self, data: Any) -> None:
        if not self.is_whole:
            self._parser.feed_data(bytes(data))

    def close(self) -> None:
        super().close()
        self.is_answered.set()

    # ------------------------------------------------------------------ the parser

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self._method == "HEAD":
            self.on_message_complete()

    def on_body(self, part: bytes) -> None:
        self.body += part

    def on_message_complete(self) -> None:
        self.is_whole = True
        self.is_answered.set()
