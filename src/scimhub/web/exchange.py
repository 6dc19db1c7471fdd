"""One HTTP request and our answer to it, thinly over ASGI: what the routes read from and what they return."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import unquote, unquote_to_bytes

import orjson

from scimhub.scim import errors
from scimhub.scim.errors import ScimError

# ASGI's own types are open dictionaries; nothing behind this module sees them.
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

Headers = Sequence[tuple[bytes, bytes]]

SCIM_JSON = b"application/scim+json"
# Where a scope has among its extensions what writes a whole answer in one step, given the scope, status, headers and body. It
# says whether it has done so; else, as with servers that do not have it, the answer is sent as ASGI says.
AT_ONCE = "scimhub.at_once"
_MOST_PARAMETERS = 100
PROBLEM_JSON = b"application/problem+json"


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


class Channel(Protocol):
    """Where a request comes from and its answer goes: ASGI's two functions, and one that spares both messages."""

    @property
    def receive(self) -> Receive: ...

    @property
    def send(self) -> Send: ...

    def write_whole(self, status: int, headers: Headers, body: bytes) -> bool:
        """Write the whole answer in one step; False, with nothing done, where it must be sent."""


class ScopeChannel:
    """The channel of an ASGI scope."""

    __slots__ = ("_scope", "receive", "send")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self.receive = receive
        self.send = send

    def write_whole(self, status: int, headers: Headers, body: bytes) -> bool:
        write = self._scope.get("extensions", {}).get(AT_ONCE)
        return write is not None and write(self._scope, status, headers, body)


class Head:
    """The header lines of a request, with names in lower case. Requests share it, so that nothing in it is changed."""

    __slots__ = ("headers", "length", "lines")

    def __init__(self, lines: Headers) -> None:
        self.lines = lines
        headers = dict(lines)
        self.headers: Mapping[bytes, bytes] = headers if len(headers) == len(lines) else _joined(lines)
        announced = self.headers.get(b"content-length", b"0")
        # Of the body, in bytes; -1 where the head does not tell it, or tells more than any limit.
        self.length = int(announced) if len(announced) < 18 and announced.isdigit() else -1


@dataclass(slots=True)
class Request:
    """A request as the routes see it: method, path, headers by lower-case name."""

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    scheme: str
    query_string: bytes
    _receive: Receive
    # The body, where all of it came with the head; None where it has to be received.
    whole: bytes | None = None

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def query(self) -> Sequence[tuple[str, str]]:
        """The query's pairs in order; raises ScimError for bytes that are not UTF-8."""
        if not self.query_string:
            return ()
        try:
            text = self.query_string.decode("ascii")
            if "&" not in text:
                name, _, value = text.partition("=")
                return ((_decoded(name), _decoded(value)),)
            fields = text.split("&", _MOST_PARAMETERS)
            if len(fields) > _MOST_PARAMETERS:
                raise ValueError
            parted = [field.partition("=") for field in fields if field]
            return [(_decoded(name), _decoded(value)) for name, _, value in parted]
        except ValueError as error:
            raise errors.invalid_value("The query string is not percent-encoded UTF-8 with at most 100 parameters.") from error

    async def body(self, limit: int) -> bytes:
        """The whole body; raises ScimError 413 as soon as it is known to be longer than the limit in bytes."""
        announced = self.headers.get(b"content-length")
        if announced is not None and announced.isdigit() and int(announced[:18]) > limit:
            raise too_large(limit)
        if self.whole is not None:
            return self.whole
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _decoded(text: str) -> str:
    """The text of a part of a query, as HTML forms write it; raises ValueError for bytes that are not UTF-8."""
    if "+" in text:
        text = text.replace("+", " ")
    if "%" not in text:
        return text
    # What nearly every filter has, in a fifth of the time. Neither makes a new escape of what stands around it.
    text = text.replace("%20", " ").replace("%22", '"').replace("%40", "@")
    # ``unquote`` itself would first look for what is not ASCII, at more than the cost of the rest.
    return unquote_to_bytes(text).decode() if "%" in text else text


def read_request(scope: Scope, receive: Receive) -> Request:
    """The request of an ASGI scope."""
    raw_path = scope.get("raw_path")
    path = decode_path(raw_path) if raw_path and b"%2" in raw_path else scope["path"]
    return Request(scope["method"], path, Head(scope["headers"]).headers, scope["scheme"], scope["query_string"], receive)


def decode_path(raw: bytes) -> str:
    """The decoded path, in which an escaped slash stays as it was sent: it divides nothing (RFC 3986 §2.2)."""
    path = raw.decode("ascii")
    return unquote(path.replace("%2F", "%252F").replace("%2f", "%252f")) if "%" in path else path


def _joined(lines: Headers) -> dict[bytes, bytes]:
    """The headers of which some have one name: of two that are no lists, none may win silently (RFC 9110 §5.3).

    Joined they are refused where they are read.
    """
    headers: dict[bytes, bytes] = {}
    for name, value in lines:
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def too_large(limit: int) -> ScimError:
    # RFC 7644 §3.7.4: the body of a 413 names the limit that was exceeded.
    return ScimError(413, None, f"The request body is larger than the limit of {limit} bytes; send less at once.")


@dataclass(slots=True)
class Answer:
    """Status, headers and body of an answer."""

    status: int
    body: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    content_type: bytes = SCIM_JSON
    # In the place of a body one that is too large to be held, whose length nobody knows.
    pieces: AsyncIterator[bytes] | None = None

    async def send(self, scope: Scope, send: Send, request_id: str) -> None:
        """Send the answer to the request of the scope."""
        await self.give(ScopeChannel(scope, _nothing, send), scope["method"], request_id)

    async def give(self, channel: Channel, method: str, request_id: str) -> None:
        """Give the answer to a request with the method; to HEAD without its body."""
        status, body = self.status, self.body
        headers = [*self.headers, (b"x-request-id", request_id.encode())]
        if body or self.pieces is not None:
            headers.append((b"content-type", self.content_type))
        # RFC 9110 §8.6: HEAD may leave out a length that only the answer's making would tell.
        if status not in (204, 304) and self.pieces is None:
            headers.append((b"content-length", b"%d" % len(body)))
        if method == "HEAD":
            body = b""
        if not channel.write_whole(status, headers, body):
            await channel.send({"type": "http.response.start", "status": status, "headers": headers})
            await channel.send({"type": "http.response.body", "body": body})


async def _nothing() -> MutableMapping[str, Any]:
    raise AssertionError("whoever only sends reads nothing")


def scim_error(error: ScimError) -> Answer:
    """The error message of RFC 7644 §3.12."""
    return Answer(error.status, orjson.dumps(error.body()))


def problem(status: int, title: str, detail: str) -> Answer:
    """A problem of RFC 9457, for the routes that are not SCIM's."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Answer(status, orjson.dumps(body), content_type=PROBLEM_JSON)
