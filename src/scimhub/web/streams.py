"""Answers that take their time: what is written to a client piece by piece, and waiting while the client is still there."""

import asyncio
import logging
from types import TracebackType

from scimhub.web.exchange import ClientGone, Receive, Send

_logger = logging.getLogger(__name__)


class Client:
    """The other end of one connection, in ``async with``. ``patience`` is for how many seconds it may leave bytes unread."""

    def __init__(self, receive: Receive, send: Send, request_id: str, patience: float) -> None:
        self._receive = receive
        self._send = send
        self._request_id = request_id
        self._patience = patience
        self._gone: asyncio.Task[None] | None = None
        # Whether the answer's head is out, so that no other answer can be given.
        self.has_begun = False

    async def __aenter__(self) -> "Client":
        self._gone = asyncio.create_task(self._until_gone())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._gone is not None:
            self._gone.cancel()
            await asyncio.gather(self._gone, return_exceptions=True)

    @property
    def is_gone(self) -> bool:
        return self._gone is not None and self._gone.done()

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Until the event, at most so long; raises ClientGone as soon as the client is."""
        waiting = asyncio.create_task(event.wait())
        try:
            gone = () if self._gone is None else (self._gone,)
            await asyncio.wait((waiting, *gone), timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self.is_gone:
            raise ClientGone

    async def begin(self, content_type: bytes) -> None:
        """Send the head of a stream of what is new."""
        # nginx would else gather the answer before it passes it on.
        await self.begin_with(content_type, [(b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")])

    async def begin_with(self, content_type: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head of an answer with status 200 whose length nobody knows yet."""
        all_headers = [(b"content-type", content_type), (b"x-request-id", self._request_id.encode()), *headers]
        self.has_begun = True
        await self._send({"type": "http.response.start", "status": 200, "headers": all_headers})

    async def write(self, block: bytes) -> None:
        """Send some of the body. Raises ClientGone when the client has closed, or does not read for too long."""
        if self.is_gone:
            raise ClientGone
        await self._send_patiently({"type": "http.response.body", "body": block, "more_body": True})

    async def end(self) -> None:
        """Say that this was all; raises ClientGone as ``write`` does."""
        await self._send_patiently({"type": "http.response.body", "body": b""})

    async def _send_patiently(self, message: dict[str, object]) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._send(message)
        except TimeoutError:
            # Returning without an end is how an ASGI application has the connection closed.
            _logger.warning("slow reader cut", extra={"request_id": self._request_id, "seconds": self._patience})
            raise ClientGone from None

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
