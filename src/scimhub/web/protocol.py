"""One connection of a client: httptools reads its requests, and their answers go out in the order of the requests.

The server that listens, stops and knows all connections is uvicorn's; its own protocol costs twice as much for a request
(docs/decisions/0033).
"""

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import Any, Final, cast

import httptools
import uvicorn
from uvicorn.server import ServerState

from scimhub.web.cycle import Cycle, refusal
from scimhub.web.exchange import Head, Headers, Request, Scope, decode_path
from scimhub.web.reception import Reception
from scimhub.web.scopes import Scopes
from scimhub.web.server import SCIM_PREFIX, Application, Serve
from scimhub.web.wire import Wire

# When the server stops, a connection without a request is closed after so many seconds.
_LAST_REQUEST: Final = 0.25
# The largest head of a request in bytes, and the largest trailer. What arrived together with its beginning is not counted.
_LARGEST_HEAD: Final = 64 * 1024
# Seconds before the connection of a client that is still sending is closed behind its answer.
_LINGERING: Final = 30.0
_SCIM_PREFIX: Final = SCIM_PREFIX.encode()
# The headers that say where a body ends.
_FRAMING: Final = (b"content-length", b"transfer-encoding")


class _Refused(Exception):
    """The parser accepts the request, but HTTP forbids it. The status and the detail say what is wrong."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class Protocol(asyncio.Protocol):
    """The parser's callbacks (``on_…``), those of the transport, and what uvicorn's server asks of a connection."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        reception: Reception,
    ) -> None:
        if not config.loaded:
            config.load()
        # uvicorn's own types are narrower than ASGI's.
        self._application = cast(Application, config.loaded_app)
        # The hub's own has it, unless something stands before it that must see the scope.
        self._serve_scim: Serve | None = getattr(config.loaded_app, "serve_scim", None)
        # Seconds for which the client may be silent, between requests or amid one.
        self._patience: float = config.timeout_keep_alive
        self._state = server_state
        self._app_state = app_state
        self._reception = reception
        self._loop = _loop or asyncio.get_running_loop()
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._is_ending = False
        # Bytes received since the last progress: the start of a request, the end of its head, or a piece of its body.
        self._size = 0
        # The request that is being read: whether the parser is still in its head, and what it has found so far.
        self._is_in_head = self._expects = self._is_coded = False
        self._hosts = 0
        self._url = b""
        self._lines: list[tuple[bytes, bytes]] = []
        # What came at once, when a request began with it.
        self._beginning = b""
        self._reading: Cycle | None = None
        # The request that is being answered, and those the client sent after it without waiting (pipelining).
        self._answering: Cycle | None = None
        self._behind: deque[Cycle] = deque()
        # How many bytes had been sent when the timer last looked; None when nothing waited to be sent.
        self._passed_on: int | None = None

    # ------------------------------------------------------------------ the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's has all of a Transport without inheriting from it.
        self._wire = Wire(cast(asyncio.Transport, transport), self._loop, self._reception.outbox)
        self._scopes = Scopes(transport, self._app_state, self._write_whole)
        self._state.connections.add(cast(Any, self))
        self._timer: asyncio.TimerHandle = self._loop.call_later(self._patience, self._look_for_silence)

    def connection_lost(self, error: Exception | None) -> None:
        self._state.connections.discard(cast(Any, self))
        self._parser = None
        self._timer.cancel()
        if self._answering is not None:
            self._answering.disconnect()
        self._behind.clear()
        self._wire.empty()

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            return
        self._wire.active_at = self._loop.time()
        if self._answering is None and self._reading is None and not self._is_in_head:
            whole = self._reception.heads.recall(data)
            if whole is not None:
                self._size = 0
                method, target, head, body = whole
                cycle = self._cycle(method, target, "1.1", head, keeps_alive=not self._is_ending, body=body)
                cycle.end()
                self._begin(cycle)
                return
            self._beginning = data
        self._size += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as wish:
            self._stay(data[wish.args[0] :])
        except httptools.HttpParserError as error:
            self._refuse_nonsense(error)
        if self._size > _LARGEST_HEAD and self._parser is not None:
            detail = f"The request's head, or what stands behind its body, is larger than {_LARGEST_HEAD} bytes."
            self._note_malformed(detail)
            self._refuse(431, detail)

    def eof_received(self) -> None:
        """The client sends no more. Most that do so are gone, and streams must learn of it: the transport closes."""

    def pause_writing(self) -> None:
        self._wire.fill()

    def resume_writing(self) -> None:
        self._wire.empty()

    # ------------------------------------------------------------------ the parser

    def on_message_begin(self) -> None:
        self._is_in_head, self._size, self._expects, self._hosts, self._is_coded = True, 0, False, 0, False
        self._url, self._lines = b"", []

    def on_url(self, part: bytes) -> None:
        self._url += part

    def on_header(self, name: bytes, value: bytes) -> None:
        # Behind a body in chunks there may be more of them, which are none of the request's own (RFC 9110 §6.5).
        if self._is_in_head:
            name = name.lower()
            self._lines.append((name, value))
            if name == b"expect":
                self._expects = value.lower() == b"100-continue"
            elif name == b"host":
                self._hosts += 1
            elif name == b"transfer-encoding":
                self._is_coded = self._is_coded or value.lower() != b"chunked"

    def on_headers_complete(self) -> None:
        self._is_in_head, self._size = False, 0
        parser = cast(httptools.HttpRequestParser, self._parser)
        version = parser.get_http_version()
        self._check_head(version)
        head = Head(self._lines)
        keeps_alive = version == "1.1" and parser.should_keep_alive()
        cycle = self._cycle(
            parser.get_method().decode("ascii"),
            self._url,
            version,
            head,
            keeps_alive=keeps_alive and not self._is_ending,
            # RFC 9110 §15.2: older clients do not know interim answers.
            is_awaited=self._expects and version == "1.1",
        )
        if self._beginning and keeps_alive:
            self._reception.heads.learn(self._beginning, head)
        self._beginning = b""
        self._reading = cycle
        if self._answering is None:
            self._begin(cycle)
        else:
            self._behind.append(cycle)
            self._wire.pause("request")

    def _check_head(self, version: str) -> None:
        """Raise _Refused for what RFC 9112 has refused and the parser takes."""
        if self._hosts > 1 or (version == "1.1" and not self._hosts):
            # RFC 9112 §3.2: whom the request is for must be said, and once.
            raise _Refused(400, f"The request has {self._hosts} Host headers; send one.")
        if self._is_coded:
            # RFC 9112 §6.1: a coding that is not undone would be taken for the body itself.
            raise _Refused(501, "The only Transfer-Encoding that is known is chunked; send the body without another one.")

    def _cycle(
        self,
        method: str,
        target: bytes,
        version: str,
        head: Head,
        *,
        keeps_alive: bool,
        is_awaited: bool = False,
        body: bytes | None = None,
    ) -> Cycle:
        """The request, for whoever answers it, with its whole body if that is here."""
        if target.startswith(b"/") and b"#" not in target:
            path, _, query = target.partition(b"?")
        else:
            url = httptools.parse_url(target)
            path, query = url.path, url.query or b""
        more_headers = self._state.default_headers
        cycle = Cycle(
            self._wire, method, path, version, more_headers, self._completed, keeps_alive=keeps_alive, is_awaited=is_awaited
        )
        if self._serve_scim is not None and path.startswith(_SCIM_PREFIX):
            request = Request(method, decode_path(path), head.headers, self._scopes.scheme, query, cycle.receive, body)
            cycle.call = (self._serve_scim, request, cycle)
        else:
            if body:
                cycle.take(body)
            scope = cycle.scope = self._scopes.make(method, path, query, version, head.lines)
            cycle.call = (self._application, scope, cycle.receive, cycle.send)
        return cycle

    def on_body(self, part: bytes) -> None:
        self._size = 0
        if self._reading is not None:
            self._reading.take(part)

    def on_message_complete(self) -> None:
        if self._reading is not None:
            self._reading.end()
            self._reading = None

    def _stay(self, rest: bytes) -> None:
        """Read on after a wish for another protocol, which nobody need grant (RFC 9110 §7.8): ``rest`` may begin the body.

        The parser takes the request for whole; another one reads what follows its head, and nothing behind that.
        """
        last = self._last
        framing = [line for line in self._lines if line[0] in _FRAMING]
        if last is None or not framing:
            self._end_reading()
            return
        last.is_read, last.keeps_alive = False, False
        self._reading = last
        callbacks = SimpleNamespace(on_body=self.on_body, on_message_complete=self.on_message_complete)
        self._parser = httptools.HttpRequestParser(callbacks)
        head = b"".join([b"POST / HTTP/1.1\r\nconnection: close\r\n", *[b"%b: %b\r\n" % line for line in framing], b"\r\n"])
        try:
            self._parser.feed_data(head + rest)
        except httptools.HttpParserError as error:
            self._refuse_nonsense(error)

    # ------------------------------------------------------------------ the answers

    @property
    def _last(self) -> Cycle | None:
        """The last request that is here and not answered."""
        return self._behind[-1] if self._behind else self._answering

    def _begin(self, cycle: Cycle) -> None:
        self._answering = cycle
        tasks = self._state.tasks
        cycle.task = self._loop.create_task(cycle.run(tasks))
        tasks.add(cycle.task)

    def _completed(self) -> None:
        """The answer is written: the next one, or none for now."""
        cycle, self._answering = self._answering, None
        self._wire.active_at = self._loop.time()
        if cycle is None or not cycle.keeps_alive:
            if cycle is None or cycle.is_read:
                self._close()
            else:
                self._linger()
            return
        if self._wire.is_reading:
            # Then nothing is behind: while something is, nothing more is read.
            return
        self._wire.resume("body")
        if self._behind:
            self._begin(self._behind.popleft())
        if not self._behind:
            self._wire.resume("request")

    def _write_whole(self, scope: Scope, status: int, headers: Headers, body: bytes) -> bool:
        """Write the whole answer to the request of the scope; False, with nothing done, where the client has not read enough.

        Bound to the connection, not to its cycle: what refers to itself would have to wait for the cycle collector.
        """
        cycle = self._answering
        return cycle is not None and cycle.scope is scope and cycle.write_whole(status, headers, body)

    # ------------------------------------------------------------------ the end

    def _refuse_nonsense(self, error: httptools.HttpParserError) -> None:
        refused = error.__context__
        if isinstance(refused, _Refused):
            self._note_malformed(refused.detail)
            self._refuse(refused.status, refused.detail)
            return
        # What failed in a callback has parts of the address in its text, and that may tell of persons.
        reason = repr(error) if refused is None else type(refused).__name__
        self._note_malformed(reason)
        told = str(error) if refused is None else "its address is none"
        self._refuse(400, f"What was sent is not HTTP/1.1: {told}.")

    def _note_malformed(self, reason: str) -> None:
        client = self._scopes.client
        self._reception.malformed.note(client[0] if client else "", reason)

    def _refuse(self, status: int, detail: str) -> None:
        """What comes is no request: say so where nothing else is to be answered first, and close."""
        reading, answering = self._reading, self._answering
        if answering is None or answering is reading:
            if reading is None or not reading.has_begun:
                self._wire.write(refusal(status, self._state.default_headers, self._url, detail))
            if answering is not None:
                answering.disconnect()
            self._linger()
        else:
            if reading is not None:
                self._behind.remove(reading)
            self._end_reading()

    def _end_reading(self) -> None:
        """Read nothing more: the connection ends with the answer to the last request that is here."""
        self._parser = None
        if self._reading is not None:
            self._reading.end()
            self._reading = None
        last = self._last
        if last is None:
            self._close()
        else:
            last.keeps_alive = False

    def shutdown(self) -> None:
        """The server stops: what is under way is answered as the last of this connection, and so is what comes a moment later.

        A request may be on its way, above all when the connection is new; with several workers another one would have
        taken it.
        """
        self._is_ending = True
        last = self._last
        if last is None:
            self._loop.call_later(_LAST_REQUEST, self._close_unless_answering)
        else:
            last.keeps_alive = False

    def _close_unless_answering(self) -> None:
        if self._answering is None:
            self._close()

    def _look_for_silence(self) -> None:
        """Close when the client has been silent for too long, unless it waits for us or takes what it was sent."""
        before, self._passed_on = self._passed_on, self._wire.passed_on()
        is_taking = before != self._passed_on
        is_sending = self._reading is not None and self._wire.is_reading
        is_awaited = (self._answering is None or is_sending or self._wire.is_closing) and not is_taking
        left = self._wire.active_at + self._patience - self._loop.time() if is_awaited else self._patience
        if left <= 0 and (self._wire.is_closing or self._passed_on is not None):
            # A close would wait for the client to take what was written; it does not.
            self._wire.transport.abort()
            return
        if left <= 0:
            self._close()
        self._timer = self._loop.call_later(left if left > 0 else self._patience, self._look_for_silence)

    def _linger(self) -> None:
        """Close behind the answer to a client that is still sending.

        Closing at once would reset the connection, and the client could lose an answer it has not read yet (RFC 9112 §9.6).
        """
        self._parser = None
        self._wire.end()
        self._loop.call_later(_LINGERING, self._close)

    def _close(self) -> None:
        self._parser = None
        self._wire.close()
