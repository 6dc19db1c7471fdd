"""One request of a connection as an ASGI application has it: its messages in, and its answer out."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

from scimhub.scim.errors import ScimError
from scimhub.web.exchange import Headers, Scope, scim_error
from scimhub.web.wire import Wire

# Bytes of a body that wait for the application before the client is stopped.
_MOST_WAITING: Final = 64 * 1024
# A body of up to this many bytes is copied behind its head, so that both are one write.
_LONGEST_COPIED: Final = 64 * 1024
_STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode() for status in HTTPStatus}
_LINE: Final = b": ".join
_FAILED: Final = b"Internal Server Error"
_HEADERS_OF_FAILED: Final = ((b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(_FAILED)))
# RFC 9110 §6.4.1: answers that never have content.
_WITHOUT_CONTENT: Final = frozenset((204, 304))

_logger = logging.getLogger(__name__)


class Cycle:
    """A request and its answer. ``completed`` is called when the answer is whole; ``keeps_alive`` then says what follows.

    With ``is_awaited`` the client waits for an interim answer before it sends the body (RFC 9110 §10.1.1).
    """

    # Slots, since each request makes one.
    __slots__ = (
        *("call", "keeps_alive", "has_begun", "is_complete", "is_disconnected", "is_read", "scope", "task"),
        *("_wire", "_method", "_path", "_version", "_more_headers", "_is_awaited"),
        *("_completed", "_body", "_waiting", "_is_told", "_arrival", "_owed"),
    )

    def __init__(
        self,
        wire: Wire,
        method: str,
        path: bytes,
        version: str,
        more_headers: Headers,
        completed: Callable[[], None],
        *,
        keeps_alive: bool,
        is_awaited: bool,
    ) -> None:
        # What answers, and what it is given; for an application of ASGI with its scope, which is kept here as well.
        self.call: tuple[Callable[..., Awaitable[None]], *tuple[object, ...]] | None = None
        self.scope: Scope | None = None
        self.keeps_alive = keeps_alive
        # Whether the answer's head has been written, and whether all of it has.
        self.has_begun = False
        self.is_complete = False
        self.is_disconnected = False
        # Whether the whole request has been received.
        self.is_read = False
        self.task: asyncio.Task[None] | None = None
        self._wire = wire
        self._method = method
        self._path = path
        self._version = version
        self._more_headers = more_headers
        self._is_awaited = is_awaited
        self._completed = completed
        self._body: list[bytes] = []
        self._waiting = 0
        self._is_told = False
        self._arrival: asyncio.Future[None] | None = None
        # How many of the bytes that Content-Length announced are still to be written; None where the answer is chunked.
        self._owed: int | None = 0

    # ------------------------------------------------------------------ what comes from the connection

    def take(self, data: bytes) -> None:
        """Some of the body is here."""
        if not self.is_complete:
            self._body.append(data)
            self._waiting += len(data)
            if self._waiting > _MOST_WAITING:
                self._wire.pause("body")
            self._wake()

    def end(self) -> None:
        """The request is whole."""
        self.is_read = True
        self._wake()

    def disconnect(self) -> None:
        """The client is gone; what is still sent to it is dropped."""
        self.is_disconnected = not self.is_complete
        self._wake()

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    # ------------------------------------------------------------------ to and from the application

    async def run(self, tasks: set[asyncio.Task[None]]) -> None:
        """Have it answered; what is left undone ends the connection. ``tasks`` are those that run."""
        try:
            # Taken out, so that nothing here refers to itself, which only the cycle collector would free.
            call, self.call = self.call, None
            if call is not None:
                await call[0](*call[1:])
            if not (self.is_complete or self.is_disconnected):
                _logger.error("no whole answer", extra={"path": self._path.decode()})
                self._give_up()
        except Exception:
            _logger.exception("no answer", extra={"path": self._path.decode()})
            self._give_up()
        except BaseException:
            self._wire.close()
            raise
        finally:
            if self.task is not None:
                tasks.discard(self.task)

    def _give_up(self) -> None:
        if self.is_complete:
            # The connection is the next request's by now.
            return
        self.keeps_alive = False
        if self.has_begun or self.is_disconnected:
            self._wire.close()
        else:
            self._write_whole(500, _HEADERS_OF_FAILED, b"" if self._method == "HEAD" else _FAILED)

    async def receive(self) -> dict[str, Any]:
        """The next part of the request's body; ``http.disconnect`` when there is nobody, or nothing to say, any more."""
        # Within another answer this would be a part of that.
        if self._is_awaited and not self.has_begun:
            self._is_awaited = False
            self._wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self._body or (self.is_read and not self._is_told) or self.is_disconnected or self.is_complete):
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        if self.is_disconnected or self.is_complete:
            return {"type": "http.disconnect"}
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        if self._waiting > _MOST_WAITING:
            self._wire.resume("body")
        self._body, self._waiting = [], 0
        self._is_told = self.is_read
        return {"type": "http.request", "body": body, "more_body": not self.is_read}

    async def send(self, message: Any) -> None:
        """One of ASGI's two messages of an answer, after what went before is with the client."""
        if self._wire.is_full and not self.is_disconnected:
            await self._wire.emptied()
        if self.is_disconnected:
            return
        if self.is_complete or (message["type"] == "http.response.start") is self.has_begun:
            raise RuntimeError(f"{message['type']} is out of order.")
        if self.has_begun:
            self._continue(message.get("body", b""), is_last=not message.get("more_body", False))
        else:
            self._begin(message["status"], message.get("headers", ()))

    def _begin(self, status: int, headers: Headers) -> None:
        lines = [(name.lower(), value) for name, value in headers]
        named = dict(lines)
        if named.get(b"connection", b"").lower() == b"close":
            self.keeps_alive = False
            lines.remove((b"connection", named[b"connection"]))
        if b"content-length" in named:
            self._owed = int(named[b"content-length"])
        elif status not in _WITHOUT_CONTENT and self._method != "HEAD":
            self._owed = None
            if self._version == "1.1":
                lines.append((b"transfer-encoding", b"chunked"))
        self._wire.write(self._head(status, lines))
        self.has_begun = True

    def _continue(self, body: bytes, *, is_last: bool) -> None:
        if self._method == "HEAD":
            self._owed = 0
        elif self._owed is not None:
            self._owed -= len(body)
            if self._owed < 0 or (is_last and self._owed):
                raise RuntimeError("The answer has another length than its head says.")
            self._wire.write(body)
        elif self._version == "1.1":
            chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            self._wire.write(chunk + b"0\r\n\r\n" if is_last else chunk)
        else:
            # RFC 9112 §6.3: an older client reads until the connection is closed.
            self._wire.write(body)
        if is_last:
            self._complete()

    def write_whole(self, status: int, headers: Headers, body: bytes) -> bool:
        """The whole answer in one step, whose headers say how long it is; False where the client has not read enough."""
        if self._wire.is_full or self.is_disconnected:
            return False
        self._write_whole(status, headers, body)
        return True

    def _write_whole(self, status: int, headers: Headers, body: bytes) -> None:
        head = self._head(status, headers)
        self.has_begun = self.is_complete = True
        if len(body) < _LONGEST_COPIED:
            self._wire.write(head + body)
        else:
            self._wire.write(head)
            self._wire.write(body)
        if self._arrival is not None:
            self._wake()
        self._completed()

    def _complete(self) -> None:
        self.is_complete = True
        self._wake()
        self._completed()

    def _head(self, status: int, headers: Headers) -> bytes:
        """The status and header lines; raises RuntimeError when one of them would begin another."""
        lines = [_STATUS_LINES[status], *map(_LINE, self._more_headers), *map(_LINE, headers)]
        if not self.keeps_alive:
            lines.append(b"connection: close")
        lines.append(b"\r\n")
        head = b"\r\n".join(lines)
        if head.count(b"\n") != len(lines) or head.count(b"\r") != len(lines):
            raise RuntimeError("A header holds the end of a line.")
        return head


def refusal(status: int, more_headers: Headers, path: bytes, detail: str) -> bytes:
    """The answer to what is no request: below ``/scim/``, as far as its path was read, an error message of SCIM."""
    body, content_type = HTTPStatus(status).phrase.encode(), b"text/plain; charset=utf-8"
    if path.startswith(b"/scim/"):
        answer = scim_error(ScimError(status, "invalidSyntax" if status == 400 else None, detail))
        body, content_type = answer.body, answer.content_type
    lines = map(_LINE, more_headers)
    content = (b"content-type: " + content_type, b"content-length: %d" % len(body), b"connection: close")
    return b"\r\n".join((_STATUS_LINES[status], *lines, *content, b"", body))
